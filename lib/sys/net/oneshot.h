/* SPDX-License-Identifier: MIT */
/*
 * oneshot.h - a small TCP service in an event loop: a client connects, asks one thing, gets one
 * answer, and the connection ends.
 *
 * The owner reads the question and makes the answer. Nothing blocks. A few clients are served at a
 * time; further ones wait in the kernel's queue, and one that is too slow is cut off. One thread.
 */
#pragma once

#include "base/pv.h"
#include "sys/proc/loop.h"

enum {
    PV_ONESHOT_CONNS = 8,      /* at once */
    PV_ONESHOT_ASK_MAX = 8192, /* bytes of a question */
};
#define PV_ONESHOT_ASK_TIME PV_S(2)  /* until the question is whole */
#define PV_ONESHOT_TIME     PV_S(10) /* from then to the connection's end */

struct pv_oneshot; /* opaque */

struct pv_oneshot_config {
    int fd; /* listening, as of pv_stream_listen(); the service's from now on, also on failure */
    /* The answer to what has come so far: PV_OK and a text that is free()d, PV_ERR_AGAIN: more is
     * needed (not when there are PV_ONESHOT_ASK_MAX bytes), else: hang up. */
    int (*answer)(void *ctx, struct pv_view asked, pv_ns now, char **ret_text, size_t *ret_len);
    void *ctx;
};

PV_MUST_CHECK int pv_oneshot_new(struct pv_oneshot **ret_oneshot, struct pv_loop *loop,
                                 const struct pv_oneshot_config *cfg); /* PV_ERR_NOMEM */
/* Ends connections whose time is up. NULL is fine. */
void pv_oneshot_handle_timeout(struct pv_oneshot *o, pv_ns now);
pv_ns pv_oneshot_next_timeout(const struct pv_oneshot *o); /* PV_NEVER: none, or o is NULL */
struct pv_oneshot *pv_oneshot_free(struct pv_oneshot *o);  /* NULL is fine; returns NULL */
