/* SPDX-License-Identifier: MIT */
/*
 * descx.h - the exchange of descriptions with one peer: numbering, acknowledging, resending.
 *
 * Each side keeps one description, always whole, numbered (gen, rev) (DESIGN 5). It is sent when
 * it changes and again after 250 ms, doubling to 8 s, until the other's `re` names it. This machine
 * holds the numbers only; what a description says, and how it travels, is the peer's business.
 *
 * An acknowledgement is the own description sent again with the same numbers and a new `re`, so a
 * received duplicate may be a repetition (our answer was lost) or an acknowledgement. Duplicates
 * are answered a bounded number of times per received revision: enough for any loss, and two
 * sides that answer each other fall silent.
 */
#pragma once

#include "base/pv.h"

#define PV_DESCX_FIRST_RESEND PV_MS(250) /* DESIGN 5 */
#define PV_DESCX_MAX_RESEND   PV_S(8)    /* DESIGN 5 */
/* Ours: between descriptions on average. A peer can draw one by each of its own, or by an answer to
 * a check that names another address of ours, and all peers share what the coordinator takes. */
#define PV_DESCX_EVERY PV_MS(100)

enum {
    PV_DESCX_DUP_ANSWERS = 8, /* ours: answers to one received revision beyond the first */
    PV_DESCX_MAX_SENDS = 12,  /* ours: unanswered sendings of one revision, about 60 s */
    PV_DESCX_AT_ONCE = 20,    /* ours: sent at once, before that average holds */
};

/* The number of one description. gen 0: none. */
struct pv_descx_id {
    uint64_t gen; /* microseconds of wall clock when it began, strictly increasing */
    uint64_t rev; /* 1.. */
};

/* A zeroed exchange has nothing to say and has heard nothing. */
struct pv_descx {
    struct pv_descx_id own;    /* gen 0: no description yet */
    struct pv_descx_id theirs; /* newest accepted */
    bool acked;                /* the other side has own */
    bool sent;                 /* own left at least once under its number */
    bool due;                  /* send now */
    uint64_t content;          /* what own said when it left last, see pv_descx_says() */
    unsigned sends;            /* of own, since it changed or was asked for again */
    unsigned answers;          /* to duplicates of theirs */
    pv_ns resend_at;           /* PV_NEVER or 0: none */
    pv_ns backoff;
    pv_ns spent_until; /* PV_DESCX_EVERY for each that left, from then on */
};

enum pv_descx_verdict {
    PV_DESCX_STALE,     /* older than what we have: ignore everything in it */
    PV_DESCX_DUPLICATE, /* the one we have */
    PV_DESCX_NEW_REV,   /* newer within the same gen: merge */
    PV_DESCX_NEW_GEN,   /* the other side began anew: restart */
};

/* A new gen of ours: rev 1, to be sent at once. gen must exceed the last one. */
void pv_descx_begin(struct pv_descx *x, uint64_t gen);
/* Our description changed (or first has content): next rev, to be sent at once. */
void pv_descx_changed(struct pv_descx *x);
/* The contents of own as a hash, before it is sent: where something else left under its number it
 * takes the next one. For parts of it that change without a reason to send it. */
void pv_descx_says(struct pv_descx *x, uint64_t content);
/* The number of our generation turned out to be too low; it is the same generation under another
 * one. Only while it is not acknowledged. */
void pv_descx_renumber(struct pv_descx *x, uint64_t gen);
/* While that may turn out: it is repeated for as long as it is not acknowledged. */
void pv_descx_insist(struct pv_descx *x, pv_ns now);
/* Forget our own description; nothing is sent until begin(). The state heard from the peer stays.
 */
void pv_descx_end(struct pv_descx *x);

/* One of theirs arrived: its number and its `re`. Schedules the answer it needs. */
enum pv_descx_verdict pv_descx_receive(struct pv_descx *x, struct pv_descx_id theirs,
                                       struct pv_descx_id re);

/* True when own must be sent now; marks it sent and arms the next resend. */
bool pv_descx_take_due(struct pv_descx *x, pv_ns now);
/* When take_due() must be called: it may have come, 0 = at once; PV_NEVER = nothing to send. */
pv_ns pv_descx_next_timeout(const struct pv_descx *x);
/* Start resending anew what is not acknowledged: a new way to the peer opened. */
void pv_descx_kick(struct pv_descx *x);
/* Send own again although it was acknowledged: the peer may have restarted and forgotten it. */
void pv_descx_repeat(struct pv_descx *x);
