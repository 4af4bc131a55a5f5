/* SPDX-License-Identifier: MIT */
/*
 * recall.h - where each member was last reached directly, and when to try there while there is
 * no coordinator to ask (DESIGN 5 "Without the coordinator").
 *
 * It keeps up to four addresses a member, newest first, says which are to be stored, and gets them
 * back after a restart. While the coordinator is away it says whom to try: at 0, 1, 3 and 5
 * s, then every 15 s, at most PV_RECALL_AT_ONCE members at a time, those first that are wanted or
 * were reached last. A member is left alone when it is reached, and 10 minutes after the last wish,
 * start or change of our own addresses. The trial itself (a WireGuard initiation to each of the
 * addresses) is the owner's business. Not thread-safe.
 *
 * State of a member, while switched on:
 *   WAITING --a place is free, or it is wanted--> TRYING  (0 s)
 *   TRYING --not wanted, six trials, others wait--> WAITING (behind them)
 *   any     --reached-->                          REACHED
 *   REACHED --path gone-->                        WAITING
 *   any     --10 minutes without a reason-->      QUIET
 *   QUIET   --want, moved, switched on anew-->    WAITING
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "crypto/sign.h"
#include "daemon/core/jobs/job.h"

enum {
    PV_RECALL_AT_ONCE = 32, /* members tried at once */
};
#define PV_RECALL_GRACE   PV_MS(300) /* ours: the coordinator gets that long to answer first */
#define PV_RECALL_EVERY   PV_S(15)   /* DESIGN 5 */
#define PV_RECALL_FOR     PV_S(600)  /* ours: as long as an idle path is kept */
#define PV_RECALL_ANEW    PV_S(5)    /* ours: a new wish does not begin the quick trials earlier */
#define PV_RECALL_STORE   PV_S(5)    /* ours: between two stores of one member's new addresses */
#define PV_RECALL_REFRESH PV_S(600)  /* ours: between two stores of nothing but a newer time */

/* A member and its addresses, newest first. */
struct pv_recall_item {
    uint8_t pk[PV_SIGN_PK_LEN];
    size_t n;
    struct pv_recall_addr addrs[PV_RECALL_ADDRS];
};

/* All that is known of a member; the owner keeps it. */
struct pv_recall_peer {
    struct pv_recall *recall; /* NULL: nothing is known yet */
    struct pv_recall_item item;
    bool reached;
    bool wanted;     /* within PV_RECALL_FOR, and not reached since */
    bool forgotten;  /* the store was told; nothing more is learned of it */
    pv_ns reason_at; /* last wish, start or move; counts while there is a next one */
    pv_ns tried_at;  /* 0 = never */
    uint64_t turn;   /* among those that wait: the lower first */
    uint8_t place;   /* among those that are tried; UINT8_MAX: none */
    unsigned trials; /* in this place */
    pv_ns next_at;   /* the next of them */
    bool dirty;      /* to be stored, */
    pv_ns store_at;  /* then */
    struct pv_recall_peer *next_dirty;
    pv_ns stored_at;                    /* 0 = not in this life */
    struct pv_recall_peer *prev, *next; /* all of them (base/list.h) */
};

/* The owner's functions. item is borrowed. */
struct pv_recall_hands {
    /* The struct of the member pk, at the same place until pv_recall_gone(); make: zeroed when it
     * is asked for first. NULL: there is no such member, nothing is kept of it, or no memory. */
    struct pv_recall_peer *(*kept)(void *owner, const uint8_t *pk, bool make);
    /* pv_recall_handle_timeout(): try there now. */
    void (*attempt)(void *owner, const struct pv_recall_item *item, pv_ns now);
    /* The same: store this now in place of what is stored of the member (n = 0: nothing). */
    void (*keep)(void *owner, const struct pv_recall_item *item);
    void *owner; /* borrowed */
};

struct pv_recall; /* opaque */

/* PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_recall_new(struct pv_recall **ret_recall, const struct pv_recall_hands *hands);
/* All members are gone by now. NULL is fine; returns NULL. */
struct pv_recall *pv_recall_free(struct pv_recall *r);

/* --- facts in ------------------------------------------------------------------------------ */

/* The stored addresses, at start: one address of a member. Unusable ones, those beyond the limit,
 * and those of nobody are ignored. */
void pv_recall_load(struct pv_recall *r, const uint8_t pk[static PV_SIGN_PK_LEN],
                    const struct pv_recall_addr *addr);
/* The member is reached directly at this address, now (wall clock seen_s). */
void pv_recall_note(struct pv_recall *r, const uint8_t pk[static PV_SIGN_PK_LEN],
                    const struct pv_addr *addr, uint64_t seen_s, pv_ns now);
/* A path to it answers (also a relayed one), or no longer. */
void pv_recall_set_reached(struct pv_recall *r, const uint8_t pk[static PV_SIGN_PK_LEN],
                           bool reached, pv_ns now);
/* Somebody wants to talk to it. */
void pv_recall_want(struct pv_recall *r, const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now);
/* It is a member no more: forgotten, on disk too. */
void pv_recall_forget(struct pv_recall *r, const uint8_t pk[static PV_SIGN_PK_LEN]);
/* The network was left: the store forgets all by itself. */
void pv_recall_clear(struct pv_recall *r);
/* The owner is about to free or to zero what it keeps; the disk is told nothing. */
void pv_recall_gone(struct pv_recall_peer *x);
/* Is the coordinator away? Repeating what was said changes nothing. */
void pv_recall_set_on(struct pv_recall *r, bool on, pv_ns now);
/* Our own addresses changed: everybody who is not reached is tried anew. */
void pv_recall_moved(struct pv_recall *r, pv_ns now);
/* A store failed: all of it is to be stored again. */
void pv_recall_store_all(struct pv_recall *r, pv_ns now);

/* Also what is due since the last call into it. */
void pv_recall_handle_timeout(struct pv_recall *r, pv_ns now);
pv_ns pv_recall_next_timeout(const struct pv_recall *r); /* PV_NEVER if idle */

/* --- questions ----------------------------------------------------------------------------- */

/* The facts known of a member; n = 0 when nothing is. */
void pv_recall_get(const struct pv_recall *r, const uint8_t pk[static PV_SIGN_PK_LEN],
                   struct pv_recall_item *ret_item);
/* Is it being tried? */
bool pv_recall_is_trying(const struct pv_recall *r, const uint8_t pk[static PV_SIGN_PK_LEN]);
