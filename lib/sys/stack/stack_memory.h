/* SPDX-License-Identifier: MIT */
/*
 * stack_memory.h - the memory of lwIP, counted. For lib/sys/stack only.
 *
 * lwIP gets no more than PV_STACK_MEMORY. Above PV_STACK_MEMORY_EASE connections have small
 * windows, so that a member with many connections cannot use it up.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_STACK_MEMORY = 384 << 20,      /* bytes, ours */
    PV_STACK_MEMORY_EASE = 128 << 20, /* bytes, ours */
};

/* Returns how many bytes lwIP has. */
size_t pv_stack_memory(void);
