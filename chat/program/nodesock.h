/* SPDX-License-Identifier: MIT */
/*
 * nodesock.h - the unix socket to p2pvpnd: connects, again and again while nobody is there, and
 * moves the bytes of chat's end (chat/nodecall.h).
 *
 *   AWAY    --connected-->                PENDING
 *   PENDING --the node's first bytes-->   THERE
 *   THERE   --an answer takes too long, or the connection ends--> AWAY
 *
 * A node that hangs, or that has another chat, leaves the connection PENDING: nothing is asked
 * there.
 */
#pragma once

#include "chat/nodecall.h"
#include "sys/proc/loop.h"

struct pv_nodesock; /* opaque */

struct pv_nodesock_config {
    struct pv_loop *loop; /* borrowed, as all pointers here */
    const char *path;
    struct pv_nodecall_config call; /* without wait, now, shutter and owner */
};

PV_MUST_CHECK int pv_nodesock_new(struct pv_nodesock **ret_sock,
                                  const struct pv_nodesock_config *cfg);
struct pv_nodecall *pv_nodesock_call(struct pv_nodesock *s);
/* Gives chat what came, writes what waits, and connects; when to call again. */
pv_ns pv_nodesock_run(struct pv_nodesock *s, pv_ns now);
struct pv_nodesock *pv_nodesock_free(struct pv_nodesock *s); /* NULL is fine; returns NULL */
