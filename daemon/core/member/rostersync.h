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
 * Beside heads go states (5: head and members' digest). Where heads agree and members differ, the
 * two hold other receipts: the driver sends digests with these (6), and the answerer exchanges all
 * statements of the buckets that differ (3 and 4).
 *
 * Every message can be answered without memory of the one before. Work with a peer ends when heads
 * agree, or when PV_ROSTERSYNC_TRIES rounds brought nothing new: then it rests (1 to 16 min),
 * because the two refuse each other's statements for good, and the event DISAGREES is given. A peer
 * that does not answer is left to rest without an event.
 *
 *   IDLE     heads agree, or nothing is known    --head differs-->            QUEUED
 *   QUEUED   waits for one of two places         --a place is free-->         WORKING
 *   WORKING  messages flow                       --heads agree-->             IDLE  (event AGREES)
 *                                                --no progress-->             RESTING (DISAGREES)
 *                                                --peer_down-->               gone
 *   RESTING  until its time                      --time, a new head-->        QUEUED
 */
#ifndef PV_ROSTERSYNC_H
#define PV_ROSTERSYNC_H

#include "proto/ip/inband.h"
#include "proto/roster/roster.h"

enum {
    PV_ROSTERSYNC_MAX_PEERS = 16384,
    PV_ROSTERSYNC_MAX_WORKING = 2, /* peers at a time, DESIGN 7 */
    PV_ROSTERSYNC_RATE = 20000,    /* bytes a second to one peer, DESIGN 7 */
    PV_ROSTERSYNC_TRIES = 12,      /* rounds without anything new */
    PV_ROSTERSYNC_SILENT = 5,      /* rounds without any answer */
    PV_ROSTERSYNC_LIST = 1024, /* prefixes noted to be asked for or sent; more come next round */
};
#define PV_ROSTERSYNC_ROUND    PV_S(1)    /* of silence: ask again, doubling to 8 s */
#define PV_ROSTERSYNC_REST     PV_S(60)   /* doubling to 16 min */
#define PV_ROSTERSYNC_ALONE    PV_MS(100) /* so long, where nobody else tells them */
#define PV_ROSTERSYNC_ANNOUNCE PV_S(2)    /* after a change of our own: tell the peers our head */

struct pv_rostersync; /* opaque */

/* own: this node's identity key, copied. rng is kept. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_rostersync_new(struct pv_rostersync **ret_sync, const uint8_t *own,
                                    const struct pv_rng *rng);
struct pv_rostersync *pv_rostersync_free(struct pv_rostersync *s); /* NULL is fine; returns NULL */

/* The roster to work on, borrowed until the next call; NULL: in no network. Forgets all peers. */
void pv_rostersync_set_roster(struct pv_rostersync *s, struct pv_roster *roster);

/* In-band messages reach this member from now on (a session, and a path). PV_ERR_LIMIT,
 * PV_ERR_NOMEM. Repeating it is fine. */
PV_MUST_CHECK int pv_rostersync_peer_up(struct pv_rostersync *s, const uint8_t *peer, pv_ns now);
/* They do not, or it is no member any more. */
void pv_rostersync_peer_down(struct pv_rostersync *s, const uint8_t *peer, pv_ns now);

/* The head of a peer's roster was seen (signal, description), and its members' digest, NULL where
 * it told none. Peers that are not up are ignored. */
void pv_rostersync_head_seen(struct pv_rostersync *s, const uint8_t *peer,
                             const uint8_t head[static PV_STATEMENT_HASH_LEN],
                             const uint8_t *members, pv_ns now);
/* Our own roster changed, whatever the reason. */
void pv_rostersync_changed(struct pv_rostersync *s, pv_ns now);
/* The same, and nobody else tells the peers (the coordinator is away): they hear of it at once. */
void pv_rostersync_changed_alone(struct pv_rostersync *s, pv_ns now);

/* The same, of a removal: every peer is told our head at once, and asked for its own. */
void pv_rostersync_ask(struct pv_rostersync *s, pv_ns now);
/* Has this peer told a head that is the same as ours is now: does it know all that we know? */
bool pv_rostersync_knows(struct pv_rostersync *s, const uint8_t *peer);

/* The body of an in-band message of type 2 from a member that is up. PV_ERR_MALFORMED, or
 * PV_ERR_NOT_FOUND (a peer that is not up): dropped. Unknown ops are ignored. */
PV_MUST_CHECK int pv_rostersync_handle(struct pv_rostersync *s, const uint8_t *peer,
                                       struct pv_view body, pv_ns now);

void pv_rostersync_handle_timeout(struct pv_rostersync *s, pv_ns now);
pv_ns pv_rostersync_next_timeout(const struct pv_rostersync *s);

struct pv_rostersync_transmit {
    uint8_t peer[PV_SIGN_PK_LEN];
    size_t len;
    uint8_t body[PV_INBAND_WHOLE_MAX];
};
/* One message to send now. PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_rostersync_poll_transmit(struct pv_rostersync *s,
                                              struct pv_rostersync_transmit *ret_tx, pv_ns now);

enum pv_rostersync_event_type {
    PV_ROSTERSYNC_EV_AGREES,    /* after work: both have the same statements */
    PV_ROSTERSYNC_EV_DISAGREES, /* they keep differing: worth a report */
    /* They have the same statements and other members, and exchanging receipts did not help. */
    PV_ROSTERSYNC_EV_DIFFERS,
};
struct pv_rostersync_event {
    enum pv_rostersync_event_type type;
    uint8_t peer[PV_SIGN_PK_LEN];
};
/* PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_rostersync_poll_event(struct pv_rostersync *s,
                                           struct pv_rostersync_event *ret_event);

#endif /* PV_ROSTERSYNC_H */
