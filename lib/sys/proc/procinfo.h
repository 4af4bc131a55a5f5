/* SPDX-License-Identifier: MIT */
/*
 * procinfo.h - what the kernel says of this process and its parent, for metrics; and memory of this
 * process that it no longer needs. Any thread.
 */
#pragma once

#include <sys/types.h>

#include "base/metrics.h"
#include "base/pv.h"

/* All zero when /proc is not to be read; fds alone when we may not look there. */
void pv_procinfo_read(struct pv_metrics_process *ret_process);

/* A descriptor that is readable once the parent of this process, which the caller takes for parent,
 * has ended; -1: the kernel has none. PV_ERR_CLOSED: it has ended already. */
PV_MUST_CHECK int pv_procinfo_watch_parent(pid_t parent, int *ret_fd);

/* Gives back the pages of the program and its libraries that cannot have been written: code,
 * constants. The kernel has them in its cache, and pages that are used come back one by one
 * (adr/0098). Breakpoints that a debugger set there are gone. */
void pv_pages_drop_code(void);
