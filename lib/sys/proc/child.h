/* SPDX-License-Identifier: MIT */
/* child.h - processes that go on as another part of this program, with little of what it has. */
#pragma once

#include <sys/types.h>

#include "base/pv.h"

/* Keeps these descriptors (at most 8, those below 0 mean nothing) and the standard streams, closes
 * every other one. A lock or listener that a child holds by accident would outlive the daemon. */
void pv_child_keep_fds(const int *fds, size_t n);

/* Forks a process that runs be(). `ps` shows it as name. It has its end of a socket pair, the
 * descriptors of also[] (-1: nothing; NULL: none) and the standard streams, nothing else. It
 * ignores SIGINT, SIGTERM, SIGHUP, SIGPIPE and SIGQUIT. *ret_fd: our end. -errno. */
PV_MUST_CHECK int pv_child_fork(const char *name, void (*be)(int fd, pid_t parent, const void *ctx),
                                const void *ctx, const int also[2], int *ret_fd, pid_t *ret_pid);
