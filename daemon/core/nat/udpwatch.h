/* SPDX-License-Identifier: MIT */
/*
 * udpwatch.h - does UDP get through from here at all? Many networks let only TCP out, some only
 * port 443 (DESIGN 4 "UDP blocked", RFC 8445 s2: TURN over TCP is for them).
 *
 * A small machine. The owner lets the STUN servers be asked when take_ask() says so, and tells of
 * every answer that came by UDP. Nothing heard PV_UDPWATCH_VERDICT after a question, while TCP was:
 * blocked, until something is heard; asked again once a minute. Where TCP is silent as well the
 * server may be gone, which says nothing of UDP. UDP that was open is asked when a network change
 * or a suspect path gives reason, and when nothing was heard for longer than the bindings'
 * refreshing takes. It owns no socket and sends nothing. Not thread-safe.
 */
#pragma once

#include "base/pv.h"

#define PV_UDPWATCH_VERDICT PV_MS(1200) /* ours: three requests, at 0, 250 and 750 ms */
#define PV_UDPWATCH_REFRESH PV_S(25)    /* between refreshes, unless told otherwise */
#define PV_UDPWATCH_SILENCE PV_S(8)     /* ours: beyond that; a refresh with its repetitions */
#define PV_UDPWATCH_RETRY   PV_S(60)

struct pv_udpwatch { /* zeroed at first: idle */
    bool on;
    pv_ns refresh; /* 0 = PV_UDPWATCH_REFRESH */
    bool blocked;
    bool known; /* there was an answer, or a verdict */
    bool ask;
    bool changed;
    pv_ns asked_at;
    pv_ns since;      /* when that was asked of which the silence made it blocked */
    pv_ns verdict_at; /* 0 = no question is open */
    pv_ns next_ask;
};

/* There is somebody to ask, and TCP reached him: from now on UDP's silence means something. Asks.
 * Repeating is harmless. */
void pv_udpwatch_start(struct pv_udpwatch *w, pv_ns now);
/* There is no server to ask any longer: counts as not blocked. */
void pv_udpwatch_stop(struct pv_udpwatch *w);
/* The network changed, or a path became suspect: asks. */
void pv_udpwatch_doubt(struct pv_udpwatch *w, pv_ns now);
/* The machine slept: asks, and a verdict that was pending has its time once more. */
void pv_udpwatch_woke(struct pv_udpwatch *w, pv_ns now);
/* How often the servers are asked anyway, to keep bindings. */
void pv_udpwatch_set_refresh(struct pv_udpwatch *w, pv_ns refresh);
/* A server answered by UDP. */
void pv_udpwatch_heard(struct pv_udpwatch *w, pv_ns now);

/* tcp: when the server was heard last by TCP; 0 = it is not connected. */
void pv_udpwatch_handle_timeout(struct pv_udpwatch *w, pv_ns tcp, pv_ns now);
pv_ns pv_udpwatch_next_timeout(const struct pv_udpwatch *w); /* PV_NEVER if idle */

/* True once per question: ask the servers now, by UDP and by TCP. */
PV_MUST_CHECK bool pv_udpwatch_take_ask(struct pv_udpwatch *w);
/* True once after the verdict changed. */
PV_MUST_CHECK bool pv_udpwatch_take_changed(struct pv_udpwatch *w);
bool pv_udpwatch_is_blocked(const struct pv_udpwatch *w);
/* Where it is: since when, at the latest. An answer from before says nothing of it. */
pv_ns pv_udpwatch_since(const struct pv_udpwatch *w);
/* "open", "blocked", "unknown" */
const char *pv_udpwatch_word(const struct pv_udpwatch *w);
