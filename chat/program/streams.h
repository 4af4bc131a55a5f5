/* SPDX-License-Identifier: MIT */
/*
 * streams.h - the byte streams of p2pvpn-chatd: its control clients, which come from the usher, and
 * connections over the overlay, which p2pvpnd makes and hands over. Moves bytes between descriptors
 * and the machines.
 */
#pragma once

#include "base/log.h"
#include "base/pv.h"
#include "base/streams.h"
#include "sys/helper/usher.h"
#include "sys/proc/loop.h"

struct pv_chatstreams; /* opaque */

/* The machines; sids have their kinds. */
struct pv_chatstreams_host {
    void *host;
    /* A control client came. PV_ERR_LIMIT: it is told so and closed. */
    int (*accepted)(void *host, uint32_t uid, bool may_change, uint32_t *ret_sid, pv_ns now);
    void (*bytes)(void *host, uint32_t sid, struct pv_view bytes, pv_ns now);
    /* A control client passed a descriptor, which is the host's now, with its next bytes. */
    void (*passed)(void *host, uint32_t sid, int fd, pv_ns now);
    void (*closed)(void *host, uint32_t sid, pv_ns now);
    struct pv_view (*out)(void *host, uint32_t sid); /* until the next call */
    void (*wrote)(void *host, uint32_t sid, size_t n, pv_ns now);
};

struct pv_chatstreams_config {
    struct pv_loop *loop; /* borrowed, as all pointers here */
    const struct pv_log *log;
    struct pv_usher *usher;
    bool own; /* of p2pvpnd --user: its user may change all, and nobody else comes in */
    struct pv_chatstreams_host host;
};

PV_MUST_CHECK int pv_chatstreams_new(struct pv_chatstreams **ret_all,
                                     const struct pv_chatstreams_config *cfg);
/* Takes fd, a connection over the overlay. Without memory it is closed, and so told. */
void pv_chatstreams_add(struct pv_chatstreams *all, uint32_t sid, int fd, pv_ns now);
/* Writes what the machine has for this stream, or reads on. */
void pv_chatstreams_look(struct pv_chatstreams *all, uint32_t sid, pv_ns now);
/* Writes what is left of it and closes it; the machine no longer knows it. Returns false if there
 * is no such stream. */
bool pv_chatstreams_close(struct pv_chatstreams *all, uint32_t sid, pv_ns now);
/* Takes the descriptor of a stream out of the loop; the machine is told nothing. -1: no such. */
int pv_chatstreams_take(struct pv_chatstreams *all, uint32_t sid);
/* Takes fd, which goes out with the next byte of this control client. */
void pv_chatstreams_pass(struct pv_chatstreams *all, uint32_t sid, int fd);
/* Closes all connections over the overlay; the machine is told nothing. */
void pv_chatstreams_drop(struct pv_chatstreams *all);
/* Ends streams that could not be written out in time; when to call again. */
pv_ns pv_chatstreams_timeout(struct pv_chatstreams *all, pv_ns now);
/* Returns true if the usher, from which clients come, has ended. */
bool pv_chatstreams_is_over(const struct pv_chatstreams *all);
struct pv_chatstreams *pv_chatstreams_free(struct pv_chatstreams *all); /* returns NULL */
