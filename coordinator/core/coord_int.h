/* SPDX-License-Identifier: MIT */
/*
 * coord_int.h - what the files of the coordinator's control half share. Not for others. Each calls
 * only those above it in this list:
 *
 *   bulk.c         statements for members: whose turn it is, and the pages
 *   coord_conns.c  connections, their lists, how they begin to count and end, those of members that
 *                  were removed or left
 *   hello.c        who a connection is, and whether it is let in
 *   request.c      what each other request of a node does
 *   coord_input.c  bytes that come in, and what waited
 *   coord_homes.c  networks that come from and go to other coordinators
 *   coord.c        making and freeing, connections, store operations, rest and time, the link to
 * the relay half, members that are gone, what is counted, what the operator asks
 */
#pragma once

#include "coordinator/core/broker.h"
#include "coordinator/core/conn.h"
#include "coordinator/core/coord.h"
#include "coordinator/core/copies.h"
#include "coordinator/core/homes.h"
#include "coordinator/core/member/registry.h"
#include "coordinator/core/pages.h"
#include "coordinator/core/places.h"
#include "coordinator/core/turn/regulars.h"

_Static_assert((int)PV_TURNAUTH_NET_LEN == (int)PV_NETWORK_ID_LEN, "the relay's network id");
_Static_assert((int)PV_TURNAUTH_NODE_LEN == (int)PV_SIGN_PK_LEN, "the relay's node is its key");

struct pv_coord {
    struct pv_rng rng;
    const struct pv_log *log;
    uint8_t *sk; /* guarded: Ed25519 secret key, its X25519 form, and what secret points to */
    uint8_t dh_pk[PV_DH_LEN]; /* of its X25519 form */
    uint8_t *secret;          /* PV_CTL_SECRET_LEN bytes that a create has to bring */
    bool open;
    const struct pv_kem *kem; /* NULL: no hybrid keys */
    const char *const *stun;
    size_t n_stun;
    bool has_tls;
    struct pv_ctl_tls tls;
    struct pv_coord_limits limits;

    uint64_t
        common_us; /* by the clock that it shares with others, at common_at; 0: there is none */
    pv_ns common_at;
    uint64_t wall_us; /* wall clock at wall_at */
    pv_ns wall_at;
    bool started; /* the epoch is fixed */
    bool ending;  /* shut down: no new connections */

    struct pv_map map;
    struct pv_conn *conns;
    struct pv_places strangers;      /* places of connections that have not shown who they are */
    struct pv_places members_places; /* the same, from addresses of members */
    struct pv_regulars regulars;
    struct pv_heap timers;
    struct pv_conn *ready_head, *ready_tail;
    struct pv_cnet *bulk_head, *bulk_tail; /* networks with statements to send */
    struct pv_pages pages;                 /* of them, as they are sent */

    struct pv_cnet *billed; /* whose request was worked on last; NULL: nobody's */
    struct pv_heap rests;   /* resting networks */
    struct pv_cnet *gone;   /* networks with members whose connections are still to end */

    struct pv_registry registry;
    struct pv_broker broker;
    struct pv_copies copies;
    struct pv_homes homes;
    uint64_t first_epoch;            /* of the receipts; 0: the clock says */
    pv_ns swept_at;                  /* networks that are not used were looked for */
    pv_ns drain_at;                  /* homes are not given away before */
    bool alone;                      /* no other coordinator takes homes */
    bool homes_came;                 /* a network, since the owner asked */
    pv_ns gave_at;                   /* the last network went to another; 0: none did */
    pv_ns balance_at;                /* the same, when others have fewer */
    struct pv_relaycore *relay;      /* may be another thread's: only its link is used here */
    struct pv_relaylink *link;       /* the relay's link, this end of it */
    struct pv_bucket_table *sources; /* connections */
    struct pv_bucket crowd;          /* connections beyond these, of members' addresses */
    struct pv_bucket_table *creates; /* networks, with --open */
    struct pv_coord_stats stats;     /* the counters of it */
};

/* --- bulk.c ---------------------------------------------------------------------------------- */

/*
 * Statements are most of what a coordinator sends, and nobody waits for them as for an answer or a
 * signal: pages are made one by one when nothing else is to be done, and their owner may do
 * something else after each.
 */

/* The log has grown: all members are told in a round. */
void pv_bulk_news(struct pv_coord *c, struct pv_cnet *net);
/* A member waits for statements by itself: it asked, or had no room in its turn. first: before the
 * others, as it had its turn and goes on: who came first has the whole log first, where turns for
 * each page would let all of them end together. */
void pv_bulk_want(struct pv_coord *c, struct pv_conn *s, bool first);
/* A connection leaves its network. */
void pv_bulk_forget(struct pv_conn *s);
/* Whose turn it is, once each; NULL: nobody waits. */
struct pv_conn *pv_bulk_next(struct pv_coord *c);
/* Does a member wait for statements: the page that it asked for, or news? */
bool pv_bulk_is_behind(const struct pv_conn *s);
/* Sends it one page of them, or notes that it is stalled. */
void pv_bulk_send_page(struct pv_coord *c, struct pv_conn *s, pv_ns now);

/* --- coord_conns.c --------------------------------------------------------------------------- */

/* Wall clock at now: microseconds and seconds since 1970. */
uint64_t pv_coord_wall_us(const struct pv_coord *c, pv_ns now);
uint64_t pv_coord_wall(const struct pv_coord *c, pv_ns now);

/* A limit has turned something away. */
static inline void pv_coord_count(struct pv_coord *c, enum pv_coord_limit limit)
{
    c->stats.limits[limit]++;
}

/* NULL: no such connection. */
struct pv_conn *pv_coord_find(const struct pv_coord *c, uint64_t id);
/* Puts s on the list of poll_ready, and takes it off; harmless when it is there, or is not. */
void pv_coord_mark_ready(struct pv_coord *c, struct pv_conn *s);
void pv_coord_unmark_ready(struct pv_coord *c, struct pv_conn *s);
/* Gives s a place among the guests, and ends the connection that loses its own for it.
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_coord_seat(struct pv_coord *c, struct pv_conn *s, pv_ns now);
/* s became a member: counts, presence of its node, the older connection of it ends. PV_ERR_LIMIT,
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_coord_enter(struct pv_coord *c, struct pv_conn *s, pv_ns now);
/* Ends a connection with a last message; its node is offline at once. */
void pv_coord_end(struct pv_coord *c, struct pv_conn *s, enum pv_ctl_error error,
                  const char *message, pv_ns now);
void pv_coord_end_with(struct pv_coord *c, struct pv_conn *s, const struct pv_ctl_failure *failure,
                       pv_ns now);
/* The same, and answers with it the request that the connection holds. */
void pv_coord_refuse(struct pv_coord *c, struct pv_conn *s, enum pv_ctl_error error,
                     const char *message, pv_ns now);
/* Ends a connection without a word: its bytes were no control channel, or there is no memory. */
void pv_coord_drop(struct pv_coord *c, struct pv_conn *s, pv_ns now);
/* The transport is gone, or everything has been written: out of all lists, and freed. */
void pv_coord_forget(struct pv_coord *c, struct pv_conn *s, pv_ns now);

/* --- members that are gone ------------------------------------------------------------------- */

/* Ends the connections of some of those in net->gone; of the others in later turns. */
void pv_gone_drop(struct pv_coord *c, struct pv_cnet *net, pv_ns now);
/* The same for the network that waits longest; which one it was. NULL: none waits, or they rest. */
struct pv_cnet *pv_gone_handle_timeout(struct pv_coord *c, pv_ns now);
/* Whose turn it would be. */
struct pv_cnet *pv_gone_next(const struct pv_coord *c);

/* --- hello.c --------------------------------------------------------------------------------- */

/* Judges a hello and answers it. *msg NULL afterwards: it is kept, and answered later. */
void pv_hello_handle(struct pv_coord *c, struct pv_conn *s, struct pv_ctl_msg **msg, pv_ns now);

/* --- request.c ------------------------------------------------------------------------------- */

/* Works on one message and takes it. Never while s->working and the message changes something: see
 * pv_request_must_wait(). */
void pv_request_handle(struct pv_coord *c, struct pv_conn *s, struct pv_ctl_msg *msg, pv_ns now);
/* Does this message have to wait for the request under way? */
bool pv_request_must_wait(const struct pv_conn *s, const struct pv_ctl_msg *msg);
/* Has this type a row in request.c's table? (tests) */
bool pv_request_is_handled(enum pv_ctl_type type);
/* Answers a finished work and takes it; s is NULL when its connection is gone. */
void pv_request_done(struct pv_coord *c, struct pv_conn *s, struct pv_work *work, pv_ns now);
/* Sends the presence that a member waits for, as far as there is room. */
void pv_request_push(struct pv_conn *s);

/* --- coord_input.c --------------------------------------------------------------------------- */

/* Requests that the connection held back go on, as far as it may, at its network's cost. */
void pv_coord_resume(struct pv_coord *c, struct pv_conn *s, pv_ns now);
/* Answers finished works of the registry, and wakes the members of changed networks. It follows
 * everything that may have reached the registry, so that no answer waits for another event. */
void pv_coord_settle(struct pv_coord *c, pv_ns now);

/* --- coord_homes.c --------------------------------------------------------------------------- */

/* A network is not this coordinator's any more. Its connections are ending; what the store is doing
 * for it ends by itself, and where homes come and go its memory is freed when nothing refers to it.
 */
void pv_coord_forget_net(struct pv_coord *c, struct pv_cnet *net);
/* The store has answered an operation with PV_HOMES_OP. */
void pv_coord_home_answered(struct pv_coord *c, const struct pv_storeop_result *result, pv_ns now);
void pv_coord_homes_timeout(struct pv_coord *c, pv_ns now);
pv_ns pv_coord_homes_next(const struct pv_coord *c);
