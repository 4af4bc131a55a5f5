/* SPDX-License-Identifier: MIT */
/*
 * coord.h - the control half of the coordinator as one pure machine: connections, networks,
 * presence, signals. The shell in coordinator/ and the simulator drive it. It composes
 *
 *   conn      one connection: hello, requests, limits
 *   registry  networks and their rosters, reservations, receipts, store operations
 *   broker    who is online, subscriptions, signals
 *   relaylink what it tells the relay half, and messages of TURN clients by stream
 *
 * and it owns the relay half (relaycore.h: STUN, TURN), which its owner drives beside it.
 *
 * The owner's turn is:
 *   now = one clock reading; pv_coord_set_wall(wall clock)
 *   feed what happened:  accept, handle_bytes, wrote, closed, handle_job, handle_relay,
 *                        handle_timeout
 *   drain what it wants: poll_ready and poll_job, each until PV_ERR_AGAIN
 *   sleep until next_timeout() or something happens
 *
 * Single thread; never calls back, never blocks. Time is `now`; the wall clock is used for
 * receipts, invite windows and time_us only.
 */
#pragma once

#include "base/addr.h"
#include "base/log.h"
#include "base/pv.h"
#include "coordinator/core/member/netlimits.h"
#include "coordinator/core/member/storeop.h"
#include "coordinator/core/turn/relaycore.h"
#include "proto/control/ctlmsg.h"

enum {
    PV_COORD_CLOCK_S = 60,     /* ours: by which the clock may differ from the database's */
    PV_COORD_APPLICANT_S = 30, /* seconds an applicant may take in all, DESIGN 3 */
    PV_COORD_HELLO_S = 10, /* ours: seconds from accept to a valid hello, or to the end of STUN */
    /* Ours: while more than half of the applicants' places are taken, seconds to the first byte,
     * and from it to a hello. Three round trips take one and a half seconds on the slowest line. */
    PV_COORD_HURRY_BYTE_S = 1,
    PV_COORD_HURRY_HELLO_S = 2,
    PV_COORD_SHARE = 4,    /* ours: a busy network gets a quarter of the control thread's time */
    PV_COORD_DEAD_S = 25,  /* seconds of silence after which a member is offline, DESIGN 4 */
    PV_COORD_LINGER_S = 2, /* ours: seconds to write out a last message */
};

/* Ours: a network that owes this much of the control thread's time rests. It is half of
 * the delay that the members of other networks would notice. */
#define PV_COORD_DEBT PV_MS(20)

/* The switches of coordinator.conf that the core looks at. */
struct pv_coord_switches {
    bool open; /* create needs no secret */
};

/* The settings that may change while the coordinator runs. The texts and the table are kept until
 * the next policy, or until free. */
struct pv_coord_policy {
    struct pv_coord_switches switches;
    const char *const *stun; /* "HOST:PORT", told to nodes when they come the next time */
    size_t n_stun;           /* <= PV_CTL_ADDRS_MAX */
    const struct pv_netlimits_table *net_limits; /* what is there already stays; NULL: none */
};

struct pv_coord_config {
    const uint8_t *sk;     /* PV_SIGN_SK_LEN bytes, copied to guarded memory */
    const uint8_t *secret; /* PV_CTL_SECRET_LEN bytes; what create must bring */
    struct pv_coord_policy policy;
    struct pv_coord_limits limits;
    const struct pv_turns_config *relay; /* not kept; coordinator_pk is filled in. NULL: no relay */
    const struct pv_kem *kem; /* kept; NULL: control channels have the keys of their handshake */
    /* Several coordinators share the store: nothing is loaded, networks come when somebody knocks
     * for them (PV_STOREOP_HOME). */
    bool homes;
};

struct pv_coord; /* opaque */

/* rng and log are kept. PV_ERR_NOMEM, PV_ERR_AUTH (no usable key). */
PV_MUST_CHECK int pv_coord_new(struct pv_coord **ret_coord, const struct pv_coord_config *cfg,
                               const struct pv_rng *rng, const struct pv_log *log);
struct pv_coord *pv_coord_free(struct pv_coord *c); /* wipes; NULL is fine; returns NULL */

/*
 * Takes in the stored statements, row by row in ascending (epoch, n), before the first accept. A
 * statement that does not verify is left out and logged. A row without a good mark is verified and
 * gets one, which its owner stores for the next start. PV_ERR_NOMEM.
 */
PV_MUST_CHECK int pv_coord_load(struct pv_coord *c, struct pv_storerow *row);
/* The same for the entries of logs, after all statements. */
PV_MUST_CHECK int pv_coord_load_entry(struct pv_coord *c, const struct pv_storerow *row);

/* Wall clock now, Unix microseconds; may jump. The first call fixes the epoch of the receipts. */
void pv_coord_set_wall(struct pv_coord *c, uint64_t wall_us, pv_ns now);

/* The clock that this coordinator has in common with others, the database's, says wall_us at `at`.
 * While the wall clock differs from it by more than PV_COORD_CLOCK_S no statement gets a receipt:
 * times of receipts never fall, so those of a clock that is wrong would outlast its correction. */
void pv_coord_set_common(struct pv_coord *c, uint64_t wall_us, pv_ns at);
/* By how many seconds the wall clock is ahead of that (negative: behind), once that is too much; 0:
 * it is not, or there is none. */
int64_t pv_coord_ahead(const struct pv_coord *c, pv_ns now);

/* Sets the TLS addresses and pin in every welcome. The owner speaks TLS; this machine never sees
 * it. *tls is copied but for the addresses, which are kept until free. It may change at any time.
 * NULL: there is no TLS. */
void pv_coord_set_tls(struct pv_coord *c, const struct pv_ctl_tls *tls);

/* --- connections; id is chosen by the caller and never used again ---------------------------- */

/*
 * A connection came in. When no applicant's place is free, it gets that of the oldest connection of
 * the source that has the most (places.h), which poll_ready closes. PV_ERR_LIMIT, PV_ERR_NOMEM:
 * close it, id is not known here.
 */
PV_MUST_CHECK int pv_coord_accept(struct pv_coord *c, uint64_t id, const struct pv_addr *source,
                                  pv_ns now);
/* The address of this machine that the connection came to: STUN tells its client. */
void pv_coord_came_to(struct pv_coord *c, uint64_t id, const struct pv_addr *local);
/* The connection speaks TLS, whose handshake the owner limits in time (tlsgate.h). */
void pv_coord_speaks_tls(struct pv_coord *c, uint64_t id);
/* Did members come from this address lately? */
PV_MUST_CHECK bool pv_coord_is_regular(const struct pv_coord *c, const struct pv_addr *source,
                                       pv_ns now);
/* Bytes received. Takes them all; call it only while wants_bytes(), at most 64 KiB at once. */
void pv_coord_handle_bytes(struct pv_coord *c, uint64_t id, struct pv_view data, pv_ns now);
/* False while an earlier request is under way or output is full: leave bytes in the socket, until
 * poll_ready names the connection again. */
bool pv_coord_wants_bytes(struct pv_coord *c, uint64_t id);
/* Returns true if the connection's client is known to read TLS records as one stream of bytes.
 * Other clients of TURN get a record for each message. */
bool pv_coord_reads_stream(const struct pv_coord *c, uint64_t id);
/* Is it a member's? An owner that has no time for all serves these first. */
bool pv_coord_is_member(const struct pv_coord *c, uint64_t id);
/* Bytes to write; empty when none. Valid until the next call that is not a question. */
struct pv_view pv_coord_out(struct pv_coord *c, uint64_t id);
void pv_coord_wrote(struct pv_coord *c, uint64_t id, size_t n, pv_ns now);
/*
 * How long the last handle_bytes, wrote, poll_ready, handle_job or handle_timeout took, by the
 * owner's clock; to be told after each of them. The network whose requests it worked on, if any,
 * owes this time and pays back a quarter of all time that passes. A
 * network that owes PV_COORD_DEBT rests until it has paid: the requests of its members wait in
 * their sockets, answers of the store to it here, and the control thread has time for other
 * networks.
 */
void pv_coord_bill(struct pv_coord *c, pv_ns spent, pv_ns now);
/* The owner had nothing to do for a moment: no network has to rest for others. */
void pv_coord_idle(struct pv_coord *c, pv_ns now);
bool pv_coord_rests(const struct pv_coord *c); /* does any? */
/* The transport is gone; the id is forgotten. */
void pv_coord_closed(struct pv_coord *c, uint64_t id, pv_ns now);

enum pv_coord_ready_kind {
    PV_COORD_READY_IO,    /* look at out() and wants_bytes() again */
    PV_COORD_READY_CLOSE, /* close the transport now; the id is forgotten */
};
struct pv_coord_ready {
    uint64_t id;
    enum pv_coord_ready_kind kind;
    bool bulk; /* it got statements, which come after all that is urgent */
};
/* Is the next one more urgent than statements? Do any statements wait? */
bool pv_coord_is_urgent(const struct pv_coord *c);
bool pv_coord_has_bulk(const struct pv_coord *c);
/* Connections of who is not a member (yet). */
size_t pv_coord_strangers(const struct pv_coord *c);
/* The next connection that changed. PV_ERR_AGAIN: none. An owner may leave some of them for its
 * next turn, which then comes at once. */
PV_MUST_CHECK int pv_coord_poll_ready(struct pv_coord *c, struct pv_coord_ready *ret_ready,
                                      pv_ns now);

/* --- store operations ------------------------------------------------------------------------ */

/* The next operation; the caller owns and frees it. PV_ERR_AGAIN: none. */
PV_MUST_CHECK int pv_coord_poll_job(struct pv_coord *c, struct pv_storeop **ret_op);
/* The answer to a polled operation, exactly once each; unknown ids are ignored. */
void pv_coord_handle_job(struct pv_coord *c, const struct pv_storeop_result *result, pv_ns now);

/* --- the relay ------------------------------------------------------------------------------- */

/*
 * The relay half, which has what comes by UDP and its own sockets and timers (relaycore.h). The
 * owner may run it on another thread, from before the first connection until before
 * pv_coord_free(): this machine speaks with it by its link only.
 */
struct pv_relaycore *pv_coord_relay(struct pv_coord *c);
/* Does the relay's owner have to be woken? The answer is yes once for everything that happened
 * since the last call. */
bool pv_coord_wakes_relay(struct pv_coord *c);
/* Takes the relay's messages for connections by TCP; call it when the relay's owner says so. False:
 * there is more, call again after others had their turn. */
PV_MUST_CHECK bool pv_coord_handle_relay(struct pv_coord *c, pv_ns now);
/* Counters of the relay: for any thread, until pv_coord_free(). */
const struct pv_relaystats *pv_coord_relay_stats(const struct pv_coord *c);

/* --- time and end ---------------------------------------------------------------------------- */

void pv_coord_handle_timeout(struct pv_coord *c, pv_ns now);
pv_ns pv_coord_next_timeout(const struct pv_coord *c); /* PV_NEVER when nothing is timed */
/* Says bye to every connection and accepts no more; poll_ready gives CLOSE as they are flushed. */
void pv_coord_shutdown(struct pv_coord *c, pv_ns now);

/* --- questions (status, tests) --------------------------------------------------------------- */

/* Limits that can turn a connection or request away. */
enum pv_coord_limit {
    PV_COORD_LIMIT_CONNS,
    PV_COORD_LIMIT_APPLICANTS, /* connections that lost their place to a newer one */
    PV_COORD_LIMIT_SOURCE,
    PV_COORD_LIMIT_REQUESTS,
    PV_COORD_LIMIT_NETWORK,
    PV_COORD_LIMIT_SIGNALS, /* the rate of signals and of copies of messages */
    PV_COORD_LIMIT_COPIES,  /* the room for copies, quotas in storeop.h */
    PV_COORD_LIMIT_CREATES,
    PV_COORD_LIMIT_SUBSCRIPTIONS,
    PV_COORD_LIMIT_FULL, /* no more networks here, or no more addresses in one */
    PV_COORD_LIMITS,
};
/* "connections", "requests", ... */
const char *pv_coord_limit_name(enum pv_coord_limit limit);

/* Each number has a row in report.c, but for the limits, which go by their names. */
struct pv_coord_stats {
    uint64_t conns;       /* open connections */
    uint64_t online;      /* nodes online */
    uint64_t networks;    /* networks in the registry */
    uint64_t statements;  /* in the logs of all networks */
    uint64_t jobs;        /* store operations under way */
    uint64_t failed;      /* connections that ended by a wrong handshake, message or hello */
    uint64_t signals;     /* passed on */
    uint64_t homes_taken; /* networks that came, where several coordinators share a store */
    uint64_t homes_given; /* that were given away, or let go as nobody used them */
    uint64_t homes_lost;  /* that others took */
    uint64_t moved;       /* nodes that were told to go to another coordinator */
    uint64_t accepted;    /* connections */
    uint64_t requests;    /* of nodes, within their rate */
    uint64_t refused;     /* connections and requests turned away by any limit: the sum of limits */
    uint64_t limits[PV_COORD_LIMITS]; /* turned away, by the limit that was hit */
};
void pv_coord_stats(const struct pv_coord *c, struct pv_coord_stats *ret_stats);

/* --- the operator ---------------------------------------------------------------------------- */

/* A network as its operator sees it. */
struct pv_coord_network {
    const uint8_t *id; /* PV_NETWORK_ID_LEN bytes */
    const char *name;  /* what its root called it */
    uint64_t members;  /* active ones */
    uint64_t online;   /* of them, and of those whose membership is over until they renew it */
    uint64_t statements;
    uint64_t bytes;  /* of the statements */
    uint64_t seen_s; /* Unix seconds when a member was last here; 0: none has been in this run */
};
/* Calls each for every network. */
void pv_coord_networks(const struct pv_coord *c, pv_ns now,
                       void (*each)(void *ctx, const struct pv_coord_network *net), void *ctx);
/* The secret that create must bring from now on. */
void pv_coord_set_secret(struct pv_coord *c, const uint8_t secret[static PV_CTL_SECRET_LEN]);
/* From now on. relay: a block of malloc(), which is taken. */
void pv_coord_set_policy(struct pv_coord *c, const struct pv_coord_policy *policy,
                         struct pv_turns_policy *relay);
/* Begins to end a network: nothing more of it is given to the store, and its owner orders
 * PV_STOREOP_DROP behind what was. PV_ERR_NOT_FOUND; PV_ERR_EXISTS: it is being ended. */
PV_MUST_CHECK int pv_coord_drop_begin(struct pv_coord *c,
                                      const uint8_t id[static PV_NETWORK_ID_LEN]);
/* The store has answered. done: its nodes are sent away, and it is unknown from now on; else it
 * goes on. */
void pv_coord_drop_end(struct pv_coord *c, const uint8_t id[static PV_NETWORK_ID_LEN], bool done,
                       pv_ns now);

/* --- several coordinators -------------------------------------------------------------------- */

/* A network that this coordinator is the home of, and the fence of that. */
struct pv_coord_home {
    uint8_t network[PV_NETWORK_ID_LEN];
    int64_t fence;
};
/* All homes of this coordinator as the store had them at asked_at or later: the members of others
 * are let go, as another coordinator has those. The list is put in order. False: one that it has
 * not came after the question, so it is to be asked again. */
PV_MUST_CHECK bool pv_coord_homes_are(struct pv_coord *c, struct pv_coord_home *list, size_t n,
                                      pv_ns asked_at, pv_ns now);
/* Has a network come since this was asked last? Others may have taken it before the store's answer
 * was here: the list is to be asked for. */
PV_MUST_CHECK bool pv_coord_homes_came(struct pv_coord *c);
/* few: homes of the coordinator that has the fewest, of those that take any. Gives one away now and
 * then when this one has more. UINT64_MAX: no other takes any, and none is given away, even while
 * it drains: its members would come back at once. */
void pv_coord_balance(struct pv_coord *c, uint64_t few, pv_ns now);
/* For tests. Has this type of request a row in the table of handlers? */
bool pv_coord_serves(enum pv_ctl_type type);
/* For tests. The pages that are kept, and a network as it is in memory; NULL: it is not. */
const struct pv_pages *pv_coord_pages(const struct pv_coord *c);
const struct pv_cnet *pv_coord_network(const struct pv_coord *c, const uint8_t *id);

/* Gives all homes away, and those that come, until it is told otherwise. */
void pv_coord_drain(struct pv_coord *c, bool on);
bool pv_coord_is_draining(const struct pv_coord *c);
size_t pv_coord_n_homes(const struct pv_coord *c);
/* Ours: so long members of a home that was given away may still send through this relay: 2 s after
 * they are at the other's (relay/relayway.c), and they are there within a second or so. */
#define PV_COORD_LEFT PV_S(4)
/* When nobody uses this relay any more for a home that was given away; 0: none was. */
pv_ns pv_coord_left_at(const struct pv_coord *c);
/* The epoch of the first receipts, before pv_coord_set_wall(): no other coordinator has it. */
void pv_coord_set_epoch(struct pv_coord *c, uint64_t epoch);

/* Open connections by what they are. */
struct pv_coord_kinds {
    uint64_t members;    /* a node's control channel */
    uint64_t applicants; /* somebody who creates or joins a network */
    uint64_t turn;       /* TURN clients with an allocation */
    uint64_t stun;       /* STUN and TURN clients without one */
    uint64_t opening;    /* nothing is known yet */
    uint64_t closing;    /* the last message is being written */
    uint64_t hybrid;     /* of members and applicants: channels whose keys ML-KEM takes part in */
};
/* Looks at every connection: for people, not for every turn. */
void pv_coord_kinds(const struct pv_coord *c, struct pv_coord_kinds *ret_kinds);
