/* SPDX-License-Identifier: MIT */
/*
 * coordpulse.h - does the coordinator still live? When this node pings it, how long its silence
 * lasts, and what that means: first that other addresses are worth a look, then its end.
 *
 * A look costs nobody anything while it answers, and the connection in use stays meanwhile: packets
 * that got lost, or a network that pauses for a few seconds, end nothing. Pure.
 */
#pragma once

#include "base/pv.h"

#define PV_COORDPULSE_PING PV_S(10) /* between pings, DESIGN 4 */
/* Where a look could find another coordinator: with the look and a handshake a member is there 10 s
 * after its own has fallen silent. */
#define PV_COORDPULSE_PING_OTHERS PV_S(6)
#define PV_COORDPULSE_DEAD        PV_S(25) /* of silence, DESIGN 4 */
/* A ping without an answer; ours: TCP has repeated it three times by then. */
#define PV_COORDPULSE_LOOK PV_S(2)
/* It is two round trips where that is longer, up to this; ours. */
#define PV_COORDPULSE_SLOW PV_S(6)

struct pv_coordpulse {
    pv_ns ping_at;      /* the next ping, however much comes in: the coordinator must hear of us */
    pv_ns heard_at;     /* when something came last */
    pv_ns must_hear_by; /* dead after that */
    pv_ns look_at;      /* other addresses are worth a look then; PV_NEVER: never */
    pv_ns pinged_at;    /* when the last ping left; 0 = none is out */
    unsigned n_out;     /* pings that are out */
    bool kicked;        /* must_hear_by was shortened: the network changed */
    pv_ns rtt;          /* of the last ping; 0 = unknown */
    uint64_t time_us;   /* the coordinator's clock at time_at; 0 = never told */
    pv_ns time_at;
    pv_ns time_off; /* it was off by that at most then */
};

/* The hello that left at pinged_at was answered by a welcome. others: a look would have addresses
 * to try. */
void pv_coordpulse_begin(struct pv_coordpulse *p, bool others, pv_ns now);
/* It is time for a ping; sent: it could leave. One that could not is tried an interval later. */
void pv_coordpulse_pinged(struct pv_coordpulse *p, bool sent, bool others, pv_ns now);
/* The next ping is due at that time, if not before. */
void pv_coordpulse_hasten(struct pv_coordpulse *p, pv_ns at);
void pv_coordpulse_answered(struct pv_coordpulse *p, pv_ns now); /* the ping */
/* Every message that comes proves that the way still works. */
void pv_coordpulse_heard(struct pv_coordpulse *p, pv_ns now);
/* The network may have changed: call after a ping has left. Only three round trips and a bit are
 * left for an answer. */
void pv_coordpulse_kick(struct pv_coordpulse *p, pv_ns now);
/* True once a silence: look at other addresses now. */
PV_MUST_CHECK bool pv_coordpulse_take_look(struct pv_coordpulse *p, pv_ns now);
/* It read its clock about half a round trip ago: Unix microseconds. Of several answers the one that
 * took least counts, and an older one less and less. */
void pv_coordpulse_note_time(struct pv_coordpulse *p, uint64_t time_us, pv_ns now);
uint64_t pv_coordpulse_time_us(const struct pv_coordpulse *p, pv_ns now); /* 0 = unknown */

bool pv_coordpulse_is_dead(const struct pv_coordpulse *p, pv_ns now);
bool pv_coordpulse_is_due(const struct pv_coordpulse *p, pv_ns now); /* a ping */
pv_ns pv_coordpulse_next(const struct pv_coordpulse *p);
