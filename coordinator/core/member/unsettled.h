/* SPDX-License-Identifier: MIT */
/*
 * unsettled.h - networks whose statements are not settled yet. One that somebody filled may take
 * long, so each is settled a little at a time, and others are served between. Single thread.
 */
#ifndef PV_UNSETTLED_H
#define PV_UNSETTLED_H

#include "coordinator/core/member/cnet.h"

enum {
    PV_UNSETTLED_START = 1024 * 1024, /* ours: steps of a network before the first connection */
};

/* In the order in which they have their turns. */
struct pv_unsettled {
    struct pv_cnet *first, *last;
};

/* Settles net, at most so many steps. Not PV_OK (PV_ERR_AGAIN, PV_ERR_NOMEM): it is in the list
 * now, and goes on in its turn. */
PV_MUST_CHECK int pv_unsettled_settle(struct pv_unsettled *u, struct pv_cnet *net, size_t steps,
                                      const struct pv_log *log);
void pv_unsettled_remove(struct pv_unsettled *u, struct pv_cnet *net); /* not in the list is fine */
/* Whose turn is it? Networks that rest are passed over. NULL: nobody's. */
struct pv_cnet *pv_unsettled_next(const struct pv_unsettled *u);

#endif /* PV_UNSETTLED_H */
