/* SPDX-License-Identifier: MIT */
/*
 * rostersync.h - two nodes whose roster heads differ exchange what is missing, in-band (type 2,
 * DESIGN 3 and 7; docs/PROTOCOL-PEERS.md "In-band control").
 *
 * A pure datagram machine for all peers of a node. Bodies of in-band messages go in and out,
 * framing and sealing are others' work; anything may be lost, doubled or late. Arriving statements
 * are merged into the roster; the owner polls the roster's events after every call. Control thread
 * only.
 *
 * Of two peers the one with the lower identity key drives, the other answers, so that nothing is
 * asked for twice:
 *
 *   driver --- 0 head ---------------------------> answerer     and back: heads are compared
 *   driver --- 1 digests of 256 buckets ---------> answerer
 *   driver <-- 2 hash prefixes of a bucket ------- answerer     for each bucket that differs
 *   driver --- 3 wanted prefixes, 4 statements --> answerer
 *   driver <-- 4 statements ---------------------- answerer
 *
 * With each head goes a digest of the cards, which buckets hold, too, and beside them go states (5:
 * with the members' digest). Where heads and cards agree and members differ, the two hold other
 * receipts: the driver sends digests with these (6), and the answerer exchanges all
 * statements of the buckets that differ (3 and 4).
 *
 * Every message can be answered without memory of the one before. Work with a peer ends when heads
 * agree, or when PV_ROSTERSYNC_TRIES rounds brought nothing new: then it rests (1 to 16 min),
 * because the two refuse each other's statements for good, and the owner is told DISAGREES. A peer
 * that does not answer is left to rest without a word.
 *
 *   IDLE     heads agree, or nothing is known    --head differs-->            QUEUED
 *   QUEUED   waits for one of two places         --a place is free-->         WORKING
 *   WORKING  messages flow                       --heads agree-->             IDLE  (AGREES)
 *                                                --no progress-->             RESTING (DISAGREES)
 *                                                --its turn, and others wait--> QUEUED
 *                                                --peer_down-->               gone
 *   RESTING  until its time                      --time, a new head-->        QUEUED
 */
#pragma once

#include "base/bucket.h"
#include "base/heap.h"
#include "proto/ip/inband.h"
#include "proto/roster/roster.h"

enum {
    PV_ROSTERSYNC_MAX_WORKING = 2, /* peers at a time, DESIGN 7 */
    PV_ROSTERSYNC_RATE = 20000,    /* bytes a second to one peer, DESIGN 7 */
    PV_ROSTERSYNC_TRIES = 12,      /* rounds without anything new */
    PV_ROSTERSYNC_SILENT = 5,      /* rounds without any answer */
    PV_ROSTERSYNC_LIST = 1024, /* prefixes noted to be asked for or sent; more come next round */
};
#define PV_ROSTERSYNC_ROUND    PV_S(1)    /* of silence: ask again, doubling to 8 s */
#define PV_ROSTERSYNC_TURN     PV_S(5)    /* ours: of work, when others wait for a place */
#define PV_ROSTERSYNC_REST     PV_S(60)   /* doubling to 16 min */
#define PV_ROSTERSYNC_ALONE    PV_MS(100) /* so long, where nobody else tells them */
#define PV_ROSTERSYNC_ANNOUNCE PV_S(2)    /* after a change of our own: tell the peers our head */

struct pv_rostersync; /* opaque */

enum pv_rostersync_state {
    PV_ROSTERSYNC_IDLE,
    PV_ROSTERSYNC_QUEUED,
    PV_ROSTERSYNC_WORKING,
    PV_ROSTERSYNC_RESTING,
};

/* The machine's state of a peer, in its owner's memory: zeroed before the peer is up for the first
 * time, and of no concern to the owner. */
struct pv_rostersync_peer {
    bool up;
    bool drive; /* we are the lower key */
    enum pv_rostersync_state state;
    bool has_head;
    uint8_t head[PV_STATEMENT_HASH_LEN];    /* theirs, as seen last */
    uint8_t cards[PV_STATEMENT_HASH_LEN];   /* their cards' digest; ours until they have told it */
    bool has_members;                       /* with that head */
    uint8_t members[PV_STATEMENT_HASH_LEN]; /* the same of their members' digest */
    bool say_head;
    bool say_state;                  /* head and members' digest */
    bool ask_state;                  /* the same, and to be answered */
    struct pv_rostersync_work *work; /* WORKING */
    unsigned tries;                  /* rounds since something new came */
    unsigned silent;                 /* rounds since anything came */
    unsigned rests;                  /* in a row */
    pv_ns due;                       /* end of the round, or of the rest */
    pv_ns turn_ends;                 /* WORKING: whoever waits goes before it from then on */
    pv_ns send_at;                   /* pacing: nothing before */
    struct pv_bucket taken;
    struct pv_heap_node timer;
    bool is_ready; /* it is in the list of those that have something to be sent */
    struct pv_rostersync_peer *prev_ready, *next_ready;
    struct pv_rostersync_peer *prev, *next; /* of those that are up */
};

enum pv_rostersync_outcome {
    PV_ROSTERSYNC_AGREES,    /* after work: both have the same statements */
    PV_ROSTERSYNC_DISAGREES, /* they keep differing: worth a report */
    /* They have the same statements and other members, and exchanging receipts did not help. */
    PV_ROSTERSYNC_DIFFERS,
};

struct pv_rostersync_config {
    const uint8_t *own; /* this node's identity key, copied */
    struct pv_rng rng;
    /* Both are called out of the machine's functions, and may not call it. A body that cannot be
     * sent is lost, as on the way. */
    void (*send)(void *owner, struct pv_rostersync_peer *p, struct pv_view body);
    void (*tell)(void *owner, struct pv_rostersync_peer *p, enum pv_rostersync_outcome outcome,
                 pv_ns now);
    void *owner;
};

/* PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_rostersync_new(struct pv_rostersync **ret_sync,
                                    const struct pv_rostersync_config *cfg);
/* No peer is up any more, and the owner may free what it gave. */
struct pv_rostersync *pv_rostersync_free(struct pv_rostersync *s); /* NULL is fine; returns NULL */

/* The roster to work on, borrowed until the next call; NULL: in no network. Forgets all peers. */
void pv_rostersync_set_roster(struct pv_rostersync *s, struct pv_roster *roster);

/* In-band messages reach the member with this identity key from now on (a session, and a path). p
 * stays where it is until it is down. PV_ERR_STATE (no roster), PV_ERR_NOMEM. Repeating it is fine.
 */
PV_MUST_CHECK int pv_rostersync_peer_up(struct pv_rostersync *s, struct pv_rostersync_peer *p,
                                        const uint8_t *pk, pv_ns now);
/* They do not, or it is no member any more. */
void pv_rostersync_peer_down(struct pv_rostersync *s, struct pv_rostersync_peer *p, pv_ns now);

/* The head of a peer's roster was seen (signal, description), and its members' digest. A peer that
 * is not up, or NULL, is ignored. */
void pv_rostersync_head_seen(struct pv_rostersync *s, struct pv_rostersync_peer *p,
                             const uint8_t head[static PV_STATEMENT_HASH_LEN],
                             const uint8_t members[static PV_STATEMENT_HASH_LEN], pv_ns now);
/* Our own roster changed, whatever the reason. */
void pv_rostersync_changed(struct pv_rostersync *s, pv_ns now);
/* The same, and nobody else tells the peers (the coordinator is away): they hear of it at once. */
void pv_rostersync_changed_alone(struct pv_rostersync *s, pv_ns now);

/* The same, of a removal: every peer is told our head at once, and asked for its own. */
void pv_rostersync_ask(struct pv_rostersync *s, pv_ns now);
/* Has this peer told a head that is the same as ours is now: does it know all that we know? NULL,
 * and one that is not up, do not. */
bool pv_rostersync_knows(struct pv_rostersync *s, const struct pv_rostersync_peer *p);

/* It has left, and waits to hear who knows: it is told our head at once, and nothing more. One that
 * is not up is told nothing. */
void pv_rostersync_last_word(struct pv_rostersync *s, struct pv_rostersync_peer *p);

/* The body of an in-band message of type 2 from a member that is up. PV_ERR_MALFORMED, or
 * PV_ERR_NOT_FOUND (a peer that is not up, or NULL): dropped. */
PV_MUST_CHECK int pv_rostersync_handle(struct pv_rostersync *s, struct pv_rostersync_peer *p,
                                       struct pv_view body, pv_ns now);

void pv_rostersync_handle_timeout(struct pv_rostersync *s, pv_ns now);
pv_ns pv_rostersync_next_timeout(const struct pv_rostersync *s);

/* Sends what is due. */
void pv_rostersync_run(struct pv_rostersync *s, pv_ns now);
