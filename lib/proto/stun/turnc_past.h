/* SPDX-License-Identifier: MIT */
/*
 * turnc_past.h - the channel numbers of peers that a TURN client needs no more. The server goes on
 * knowing them, and while it does it gives neither the peer another number nor the number to
 * another peer (RFC 8656 s12): a peer that comes back gets its former number. In caller's memory;
 * zeroed is empty.
 */
#ifndef PV_TURNC_PAST_H
#define PV_TURNC_PAST_H

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_TURNC_PAST_MAX = 64, /* ours: the oldest is forgotten */
};
#define PV_TURNC_PAST_FOR PV_S(900) /* a channel's 10 min and 5 more, RFC 8656 s12 */

struct pv_turnc_past {
    struct {
        struct pv_addr peer;
        uint16_t number; /* 0 = unused */
        pv_ns until;     /* from then on the server has forgotten it */
    } list[PV_TURNC_PAST_MAX];
    size_t next;
};

/* peer's channel is given up. */
void pv_turnc_past_add(struct pv_turnc_past *past, const struct pv_addr *peer, uint16_t number,
                       pv_ns now);
/* The number that peer had, which is forgotten here; 0 = none. */
uint16_t pv_turnc_past_take(struct pv_turnc_past *past, const struct pv_addr *peer, pv_ns now);
/* May the server still know the number? */
bool pv_turnc_past_has(const struct pv_turnc_past *past, uint16_t number, pv_ns now);

#endif /* PV_TURNC_PAST_H */
