/* SPDX-License-Identifier: MIT */
/*
 * event.h - eventfd: how one thread wakes another that sleeps in its loop or in poll().
 *
 * Many raises before the clear count as one. raise and clear may be called from any thread.
 */
#pragma once

#include "base/pv.h"

/* A non-blocking descriptor, readable while raised; close with close(2). -errno. */
PV_MUST_CHECK int pv_event_open(int *ret_fd);
void pv_event_raise(int fd);
void pv_event_clear(int fd);
