/* SPDX-License-Identifier: MIT */
/*
 * coordevents.h - what coordclient.h has to remember for its owner and of its requests: events that
 * were not taken yet, and requests that were not answered yet.
 */
#ifndef PV_COORDEVENTS_H
#define PV_COORDEVENTS_H

#include "daemon/core/coord/coordclient.h"

struct pv_coordevents_item;

/* Oldest first. */
struct pv_coordevents {
    struct pv_coordevents_item *first, **end;
};

void pv_coordevents_init(struct pv_coordevents *e);
void pv_coordevents_done(struct pv_coordevents *e);
/* Takes ev.msg, also without memory: then the event is lost, and the connection is not to be
 * trusted to be complete. */
PV_MUST_CHECK int pv_coordevents_put(struct pv_coordevents *e, struct pv_coordclient_event ev);
/* PV_ERR_AGAIN: none. */
PV_MUST_CHECK int pv_coordevents_take(struct pv_coordevents *e,
                                      struct pv_coordclient_event *ret_event);

struct pv_coordpending {
    uint64_t id; /* 0: the place is free */
    enum pv_ctl_type type;
    uint64_t tag;
};

/* A free place; NULL: there is none. */
struct pv_coordpending *
pv_coordpending_place(struct pv_coordpending all[static PV_COORDCLIENT_MAX_PENDING]);
/* The request with this number, which is answered; id 0: there is none. */
struct pv_coordpending
pv_coordpending_take(struct pv_coordpending all[static PV_COORDCLIENT_MAX_PENDING], uint64_t id);

#endif /* PV_COORDEVENTS_H */
