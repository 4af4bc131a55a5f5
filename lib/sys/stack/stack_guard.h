/* SPDX-License-Identifier: MIT */
/*
 * stack_guard.h - which TCP segments lwIP processes. For lib/sys/stack only.
 *
 * lwIP ends the process when an assertion fails, and some assertions depend on what a member sends.
 * The guard drops each segment that could lead to one, and each segment that would use more than
 * the member's share.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_STACK_BACKLOG = 255, /* unfinished handshakes of a listener: lwIP's largest backlog */
    PV_STACK_LATE = 3072,   /* segments of a connection that came too early: a window of them */
};

/* Returns true if lwIP may process this packet now. The packet is welcome (pv_stack_is_welcome()).
 * It reads lwIP's connections, so call it right before lwIP's input. */
bool pv_stack_guard_allows(struct pv_view packet);
