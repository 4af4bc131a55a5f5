/* SPDX-License-Identifier: MIT */
/*
 * served.h - the `serve` processes of this user on this machine: each tells others what it serves,
 * at an abstract Unix socket that the kernel forgets with it. Nothing is in a file, so nothing is
 * left behind. One thread.
 */
#pragma once

#include <sys/types.h>

#include "base/addr.h"

/* A port that one serves. Strings are borrowed. */
struct pv_served {
    const char *socket; /* of which p2pvpnd */
    uint16_t port;      /* of the overlay */
    bool udp;
    const char *to; /* "127.0.0.1:80" */
};

/* Answers those of this user who ask, by a process of its own: anybody may connect to an abstract
 * socket, and pass a descriptor whose last close takes for ever. It ends with this one. -errno. */
PV_MUST_CHECK int pv_served_begin(const struct pv_served *what, pid_t *ret_pid);
void pv_served_end(pid_t pid);

/* Calls fn with each process of this user that serves something; pid 0: the number is not to be
 * seen here, as it is in another container. -errno: the kernel does not say which there are. */
typedef void pv_served_fn(void *ctx, const struct pv_served *what, pid_t pid);
PV_MUST_CHECK int pv_served_each(pv_served_fn *fn, void *ctx);
