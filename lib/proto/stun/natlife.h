/* SPDX-License-Identifier: MIT */
/*
 * natlife.h - measures in the background how long the NAT keeps a binding: one that is silent, and
 * one that is used all the time but has an absolute end (RFC 4787 s4.3; RFC 5780 s4.6).
 *
 * A machine of five calls in caller's memory, for one server. It owns no sockets: it names them by
 * number, and the owner opens PV_NATLIFE_SOCKETS of them on ports of their own. Each of the first
 * ones asks the server twice, three seconds apart (a binding that carried traffic both ways, as one
 * that is kept does), and is left alone for a time of its own; then the last one, the watch, makes
 * the server answer to it (RESPONSE-PORT). The watch asks every five seconds and sees when its own
 * address becomes another one. About 60 small datagrams each way, in two and a half minutes; twice
 * that where an absolute end shows. Not thread-safe.
 *
 *   IDLE      --start-->                                           MEASURING
 *   MEASURING --every silence is judged, no end was seen in 150 s--> DONE
 *   MEASURING --the same age a second time-->                       DONE (absolute)
 *   any       --stop, start-->                                      IDLE, MEASURING
 *
 * A NAT that restarts once is not one with an absolute end: the second binding has to die at the
 * same age. A question that the server or the line leaves open stays unknown.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "proto/stun/stunc.h"

enum {
    PV_NATLIFE_SILENCES = 7, /* ours: silences tried at once, each on a socket of its own */
    PV_NATLIFE_WATCH = PV_NATLIFE_SILENCES, /* number of the socket that is never silent */
    PV_NATLIFE_SOCKETS, /* how many sockets the owner opens: the silences' and the watch's */
};
#define PV_NATLIFE_EVERY PV_S(5)   /* ours: between questions of the watch; how exact an end is */
#define PV_NATLIFE_LOOK  PV_S(150) /* ours: for an absolute end, TRAVERSAL 4 has 50 to 75 s */
#define PV_NATLIFE_MOST  PV_S(110) /* TRAVERSAL 4: no more is ever made of it */
/* ours: keepalives closer together would cost more than they keep */
#define PV_NATLIFE_LEAST PV_S(10)

struct pv_natlife_result {
    bool known; /* every silence was judged: the two limits below hold */
    /* a silent binding lives at least this long; 0: not even the shortest silence */
    pv_ns idle_min;
    pv_ns idle_max; /* a silent binding is dead after this; PV_NEVER: it outlived every silence */
    pv_ns absolute; /* a binding in use is ended at this age; 0: no such end was seen */
};

/* Fields belong to natlife.c. */
struct pv_natlife_silence {
    int state; /* enum silence_state of natlife.c */
    struct pv_stunc stunc;
    uint16_t port;    /* public port of the silent binding, as the server sees it */
    pv_ns ask_at;     /* when the next step is due; PV_NEVER while an answer is awaited */
    pv_ns asked_from; /* when the first question to the silent binding left */
    unsigned asks;    /* questions sent so far */
    /* One id for all questions: whichever of them is answered, it proves the same. */
    uint8_t txid[PV_STUN_TXID_LEN];
};
struct pv_natlife {
    bool running;
    struct pv_addr server;
    struct pv_rng rng;
    pv_ns started, now;
    struct pv_natlife_silence silences[PV_NATLIFE_SILENCES];
    struct pv_stunc watch;
    pv_ns watch_at;         /* when the watch asks next */
    pv_ns answered;         /* when the watch was last answered */
    struct pv_addr mapped;  /* the watch's public address; PV_AF_NONE: none seen yet */
    pv_ns since, confirmed; /* when that address was seen first and last */
    pv_ns last_age;         /* age at which the watch's previous binding ended; 0: none has ended */
    unsigned ends;          /* bindings of the watch that ended */
    bool looked;            /* the watch has looked long enough for an absolute lifetime */
    struct pv_natlife_result result;
};

/* Begins a measurement from nothing. All sockets must be fresh: a binding that is already there has
 * a life that was not observed. */
void pv_natlife_start(struct pv_natlife *l, const struct pv_addr *server, const struct pv_rng *rng,
                      pv_ns now);
bool pv_natlife_is_running(const struct pv_natlife *l);

/* A datagram came on socket sock from src. 0: it was an answer that was waited for;
 * PV_ERR_NOT_FOUND or a decoder's status: it was not. */
PV_MUST_CHECK int pv_natlife_handle_input(struct pv_natlife *l, unsigned sock,
                                          const struct pv_addr *src, struct pv_view datagram,
                                          pv_ns now);
void pv_natlife_handle_timeout(struct pv_natlife *l, pv_ns now);
pv_ns pv_natlife_next_timeout(const struct pv_natlife *l); /* PV_NEVER when idle */

/* The next datagram for the server into buf, and the socket it leaves from. PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_natlife_poll_transmit(struct pv_natlife *l, uint8_t buf[static PV_STUNC_MTU],
                                           size_t *ret_len, unsigned *ret_sock);

/* Returns the findings so far. They stay after the measurement has ended. */
const struct pv_natlife_result *pv_natlife_result(const struct pv_natlife *l);
/* The keepalive interval that follows from a result: four fifths of the proven life, between
 * PV_NATLIFE_LEAST and PV_NATLIFE_MOST. Returns `otherwise` while the life is not known. */
pv_ns pv_natlife_interval(const struct pv_natlife_result *result, pv_ns otherwise);
