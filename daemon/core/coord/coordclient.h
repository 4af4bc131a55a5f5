/* SPDX-License-Identifier: MIT */
/*
 * coordclient.h - this node's connection to its coordinator: found among several addresses, proven,
 * kept alive, made again (DESIGN 4).
 *
 * A pure stream machine. It connects, says hello, matches answers to requests and notices death;
 * what messages mean (rosters, presence, signals, joining) is its owner's business, which gets them
 * parsed. No name resolution, no store. Not thread-safe.
 *
 *   STOPPED    --start-->                                   CONNECTING
 *   CONNECTING --first address whose Noise handshake is done--> HELLO     (the others are closed)
 *   HELLO      --welcome-->                                 ONLINE        (event ONLINE)
 *   HELLO      --refused-->                                 WAITING       (event REFUSED)
 *   any        --closed, silent, all addresses failed-->    WAITING       (event OFFLINE)
 *   CONNECTING --no address is found-->                     WAITING       (event OFFLINE)
 *   WAITING    --0.5 to 30 s (coordwait.h); kick-->         CONNECTING
 *   ONLINE     --moved, silent after a kick-->              CONNECTING    (event OFFLINE)
 *   ONLINE     --silent for 2 s, another address proven-->  HELLO         (event OFFLINE)
 *   HELLO      --refused: the network's home is elsewhere--> CONNECTING   (event AWAY)
 *   ONLINE     --bye: the same-->                           CONNECTING    (events OFFLINE, AWAY)
 *
 * In a round an address that refuses is tried again, after the pause that else follows a round, for
 * as long as others are silent.
 *
 * Several coordinators may have one key, of which one is the home of the network. One that is not
 * says so, and is tried last until one is; after PV_COORDDETOUR_HOPS of them it waits as after a
 * refusal, so that two that disagree are not run between.
 *
 * A client that was replaced by a newer connection of its own key (a cloned machine), or sent away
 * from so many that let it in before, waits 15 to 30 s. A welcome makes the waits short again, but
 * not the fourth and further ones in a row after which no connection lasted for 10 s and a ping.
 */
#pragma once

#include "base/addr.h"
#include "base/fifo.h"
#include "base/log.h"
#include "base/pv.h"
#include "base/remedy.h"
#include "daemon/core/coord/coorddetour.h"
#include "daemon/core/node/streamkinds.h"
#include "proto/control/ctlmsg.h"

enum {
    PV_COORDCLIENT_MAX_ADDRS = 16,     /* tried in one round */
    PV_COORDCLIENT_MAX_PENDING = 1024, /* requests without an answer */
};
#define PV_COORDCLIENT_STAGGER PV_MS(250) /* RFC 8305 s5 */
#define PV_COORDCLIENT_CONNECT PV_S(10)   /* ours: from connect to welcome */
#define PV_COORDCLIENT_GUESS   PV_S(2)    /* ours: a few round trips, TLS and all */

struct pv_coordclient_config {
    struct pv_rng rng;
    const struct pv_log *log;
    const uint8_t *sign_sk; /* identity, PV_SIGN_SK_LEN bytes; borrowed for its life */
    const uint8_t *sign_pk;
    const uint8_t *dh_sk;       /* transport key, 32 bytes; borrowed; read for each attempt */
    const struct pv_kem *kem;   /* offered for hybrid keys (control.h); NULL: none */
    struct pv_streams *streams; /* borrowed: what is opened, closed and written, */
    enum pv_stream_kind kind;   /* of which kind */
    /* borrowed; events of struct pv_coordclient_event, oldest first, for the owner to take. Events
     * that wait are freed with the client. */
    struct pv_fifo *events;
};

/* Where to connect, and as whom. */
struct pv_coordclient_target {
    uint8_t coordinator[PV_SIGN_PK_LEN]; /* identity key, pinned */
    enum pv_ctl_role role;
    bool has_network; /* false: to create one */
    uint8_t network[PV_CTL_NETWORK_LEN];
    struct pv_ctl_cursor have; /* of the next hello; see pv_coordclient_set_have() */
    bool must_hybrid;          /* a connection that does not become hybrid is closed */
};

enum pv_coordclient_state {
    PV_COORDCLIENT_STOPPED,
    PV_COORDCLIENT_CONNECTING,
    PV_COORDCLIENT_HELLO,
    PV_COORDCLIENT_ONLINE,
    PV_COORDCLIENT_WAITING,
};

struct pv_coordclient; /* opaque */

/* PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_coordclient_new(struct pv_coordclient **ret_client,
                                     const struct pv_coordclient_config *cfg);
struct pv_coordclient *pv_coordclient_free(struct pv_coordclient *c); /* NULL is fine */

/* --- life ---------------------------------------------------------------------------------- */

/* Connects to target and stays connected until stop(). Addresses may be empty: set_addrs()
 * follows, or not_found(). A running connection is dropped. PV_ERR_AUTH: the key is no
 * coordinator's key. */
PV_MUST_CHECK int pv_coordclient_start(struct pv_coordclient *c,
                                       const struct pv_coordclient_target *target,
                                       const struct pv_coordclient_addr *addrs, size_t n,
                                       pv_ns now);
/* Another coordinator is tried from the next attempt on, after the same wait. PV_ERR_STATE: it is
 * not WAITING; PV_ERR_AUTH: the key is no coordinator's key. Then nothing changes. */
PV_MUST_CHECK int pv_coordclient_turn(struct pv_coordclient *c,
                                      const struct pv_coordclient_target *target);
/* Fresh addresses (names resolved again). Used from the next attempt on; at once while it had
 * none. */
void pv_coordclient_set_addrs(struct pv_coordclient *c, const struct pv_coordclient_addr *addrs,
                              size_t n, pv_ns now);
/* Returns true if the client stands still because it has no address. */
bool pv_coordclient_wants_addrs(const struct pv_coordclient *c);
/* No address was found: the client waits as after a round that failed, and then wants addresses
 * again (event OFFLINE without a text). Nothing where it wants none. */
void pv_coordclient_not_found(struct pv_coordclient *c, pv_ns now);
/* Where the coordinator that sent us away says that the network's home is: tried next, in this
 * round or the one that begins. */
void pv_coordclient_detour(struct pv_coordclient *c, const struct pv_addr *addr, pv_ns now);
void pv_coordclient_set_have(struct pv_coordclient *c, struct pv_ctl_cursor have);
void pv_coordclient_stop(struct pv_coordclient *c);
/* The network may have changed: a waiting client connects at once, a connected one makes sure with
 * a ping that must be answered within three round trips and 0.5 s (at most 3 s), else it connects
 * at once. */
void pv_coordclient_kick(struct pv_coordclient *c, pv_ns now);
/* The machine slept: as a kick, and a client that was connecting begins anew, for the time of its
 * attempts has passed in sleep. */
void pv_coordclient_woke(struct pv_coordclient *c, pv_ns now);
/* Servers see this node at another address than before, or it found one more: as a kick, but it
 * shortens no later wait, and none at all of who was dropped. The coordinator is such a server. */
void pv_coordclient_remapped(struct pv_coordclient *c, pv_ns now);
/* The connection to the coordinator may have failed: a connected client pings at that time, which
 * may have come, where no ping is out and none is due before. Silence ends nothing by itself, but
 * then other addresses are looked at (coordpulse.h). */
void pv_coordclient_doubt(struct pv_coordclient *c, pv_ns at);
/* When something came from it last; 0: never on this connection. */
pv_ns pv_coordclient_heard_at(const struct pv_coordclient *c);
/* Until then packets may wait for what only the coordinator can help with: the pauses between
 * attempts are shorter. Of many nodes that come back only those hurry, and they are in within
 * seconds. */
void pv_coordclient_hurry(struct pv_coordclient *c, pv_ns until, pv_ns now);
/* An address of this node is gone, most likely the connection's: drops it and connects at once. */
void pv_coordclient_moved(struct pv_coordclient *c, pv_ns now);

enum pv_coordclient_state pv_coordclient_state(const struct pv_coordclient *c);
/* Of the connection in use or tried last; NULL: none. */
const struct pv_addr *pv_coordclient_addr(const struct pv_coordclient *c);
/* " (tried 198.51.100.7:3478 and 2 more)": where it is looked for, by a public address if there is
 * one; "" while that is not known, and of NULL. Returns buf. */
enum {
    PV_COORDCLIENT_TRIED_BUF = PV_CONNECT_AT_BUF + 32,
};
const char *pv_coordclient_tried(const struct pv_coordclient *c,
                                 char buf[static PV_COORDCLIENT_TRIED_BUF]);
/* The address of the HTTP proxy on the way of the connection in use or tried last; PV_AF_NONE:
 * none. And "HOST:PORT" of the coordinator there, "" before the first attempt. */
const struct pv_addr *pv_coordclient_via(const struct pv_coordclient *c);
const char *pv_coordclient_place(const struct pv_coordclient *c,
                                 char buf[static PV_CONNECT_AT_BUF]);
/* The most telling answer of proxies in the last round of attempts. */
struct pv_coordclient_proxy {
    struct pv_connect_answer answer; /* OPEN: one opened the way, in this round */
    bool guess;                      /* what it was asked for is a guess */
    char to[PV_CONNECT_AT_BUF];      /* what it was asked for */
};
const struct pv_coordclient_proxy *pv_coordclient_proxy(const struct pv_coordclient *c);
/* Returns true if so many connections in a row ended soon after their welcome that the client waits
 * longer and longer. */
bool pv_coordclient_is_dropped(const struct pv_coordclient *c);
/* Returns true if that connection is inside TLS. */
bool pv_coordclient_is_tls(const struct pv_coordclient *c);
/* ONLINE: does ML-KEM take part in its keys? */
bool pv_coordclient_is_hybrid(const struct pv_coordclient *c);
/* As must_hybrid of the target, from the next attempt on. */
void pv_coordclient_set_must_hybrid(struct pv_coordclient *c, bool must);
pv_ns pv_coordclient_rtt(const struct pv_coordclient *c); /* of the last ping; 0 = unknown */
/* The coordinator's wall clock now, Unix microseconds, as far as half a round trip tells; 0 =
 * unknown. */
uint64_t pv_coordclient_time_us(const struct pv_coordclient *c, pv_ns now);
/* Binds signatures to this connection (join). PV_ERR_STATE unless ONLINE. */
PV_MUST_CHECK int pv_coordclient_handshake_hash(const struct pv_coordclient *c,
                                                uint8_t ret_hash[static PV_CTL_HASH_LEN]);

/* --- requests ------------------------------------------------------------------------------ */

/*
 * Sends a request: msg's type and fields; kind and id are set here. Exactly one event ANSWER with
 * tag follows, or OFFLINE, which ends all requests, as start() and stop() do without an event.
 *   PV_ERR_STATE     not ONLINE
 *   PV_ERR_LIMIT     too much is waiting already
 *   PV_ERR_NO_SPACE  longer than a message may be
 *   PV_ERR_NOMEM
 */
PV_MUST_CHECK int pv_coordclient_request(struct pv_coordclient *c, struct pv_ctl_msg *msg,
                                         uint64_t tag);

enum pv_coordclient_event_type {
    PV_COORDCLIENT_EV_ONLINE,  /* msg: the welcome */
    PV_COORDCLIENT_EV_REFUSED, /* msg: the error that answered hello; it tries again later */
    PV_COORDCLIENT_EV_AWAY,    /* msg: error or bye "moved"; it tries other addresses now */
    PV_COORDCLIENT_EV_OFFLINE, /* status, text: why; requests under way get no answer */
    PV_COORDCLIENT_EV_ANSWER,  /* request, tag, msg: an answer of its type, or PV_CTL_ERROR */
    PV_COORDCLIENT_EV_PUSH,    /* msg */
};
struct pv_coordclient_event {
    enum pv_coordclient_event_type type;
    enum pv_ctl_type request; /* ANSWER: what was asked */
    uint64_t tag;             /* ANSWER */
    int status;               /* OFFLINE */
    struct pv_reason why;     /* OFFLINE; the text is NULL: by pv_coordclient_not_found() */
    struct pv_ctl_msg *msg;   /* owned by the taker: pv_ctl_msg_free(); may be NULL */
};

/* --- streams (TCP), as node/part.h has them; sids are never 0 and below 2^28 ------------------ */

void pv_coordclient_proxied(void *client, uint32_t sid, const struct pv_connect_answer *answer,
                            pv_ns now);
void pv_coordclient_connected(void *client, uint32_t sid, pv_ns now);
void pv_coordclient_handle_bytes(void *client, uint32_t sid, struct pv_view bytes, pv_ns now);
void pv_coordclient_closed(void *client, uint32_t sid, int status, pv_ns now);
struct pv_view pv_coordclient_out(void *client, uint32_t sid);
void pv_coordclient_wrote(void *client, uint32_t sid, size_t n, pv_ns now);

void pv_coordclient_handle_timeout(struct pv_coordclient *c, pv_ns now);
pv_ns pv_coordclient_next_timeout(const struct pv_coordclient *c);
