/* SPDX-License-Identifier: MIT */
/*
 * nodecall.h - chat's end of the socket to the node: a struct pv_overlay whose functions ask the
 * node by frames, and the frames that the node sends, given to a struct pv_overlay_told.
 *
 * FIND, NEXT, MAY, LINK and SIGN wait for their answer: the node answers from its tables and never
 * waits for chat. So each answer is the node's present one. What find()
 * answered is remembered: it is good until the node tells of a change, and for VALID at most; and
 * it is what is known while the node is away, so that people keep their names and messages can be
 * written to them.
 *
 * While the node is away nobody is there, may() is NOT_KNOWN, link() is UNKNOWN, sign() fails, and
 * messages and requests are lost; own() says that nothing is up. When it is back own() tells all
 * facts, and chat looks at everything anew.
 *
 * The owner connects, moves bytes by the pipe, and calls pv_nodecall_run() after bytes came. Not
 * thread-safe.
 */
#pragma once

#include "base/log.h"
#include "chat/nodepipe.h"

struct pv_nodecall_config {
    struct pv_rng rng;
    const struct pv_log *log;
    struct pv_overlay_told told; /* chat */
    const char *away; /* explain() while the node is away: why, and what to do; borrowed */
    /* Writes what the pipe has to write, waits for bytes of the node, and gives them to the pipe.
     * Not PV_OK: the node is away, or hangs; the owner closes the socket. */
    int (*wait)(void *owner);
    pv_ns (*now)(void *owner);
    void (*shutter)(void *owner, int fd); /* closes a descriptor */
    void *owner;
};

enum pv_nodecall_state {
    PV_NODECALL_AWAY,  /* no connection */
    PV_NODECALL_THERE, /* the node is connected */
    PV_NODECALL_ENDED, /* the node hangs or broke the rules: the owner closes the socket */
};

struct pv_nodecall; /* opaque */

PV_MUST_CHECK int pv_nodecall_new(struct pv_nodecall **ret_call,
                                  const struct pv_nodecall_config *cfg); /* PV_ERR_NOMEM */
struct pv_nodecall *pv_nodecall_free(struct pv_nodecall *c);             /* returns NULL */

/* The functions by which chat asks; valid as long as c. */
struct pv_overlay pv_nodecall_overlay(struct pv_nodecall *c);

/* The owner has connected. An earlier connection has ended by now. */
void pv_nodecall_up(struct pv_nodecall *c);
/* The connection is closed: tells chat what that means for it. */
void pv_nodecall_down(struct pv_nodecall *c, pv_ns now);
enum pv_nodecall_state pv_nodecall_state(const struct pv_nodecall *c);
/* The bytes of the present connection; NULL: none. */
struct pv_nodepipe *pv_nodecall_pipe(struct pv_nodecall *c);
/* Gives chat what the node told. Not to be called from a function of struct pv_overlay. */
void pv_nodecall_run(struct pv_nodecall *c, pv_ns now);
