/* SPDX-License-Identifier: MIT */
/*
 * turns.h - the coordinator's TURN server (RFC 8656) as one pure machine: datagrams of all its
 * sockets in, datagrams out, in batches. Binding requests are stuns.h's.
 *
 * Two kinds of users:
 *   members       (DESIGN 6) one allocation a node, without a socket: its relayed address is
 *                 virtual, datagrams pass from allocation to allocation in memory, inside one
 *                 network; no permission is needed; the newest authenticated Allocate moves the
 *                 allocation, channels included; it lives while the node's control channel or its
 *                 TURN lifetime does. Credentials go out in welcome (turnauth.h); the owner
 *                 reports members that go online and offline. One that asks for it also has a
 *                 phone port, where the operator allows it: a real UDP port that follows from its
 *                 key, to which strangers send WireGuard's messages, and nothing else.
 *   static users  stock clients: real relay sockets on random ports, which the owner opens and
 *                 closes when poll_socket asks; permissions, channels, quotas, judged peers.
 *
 * The owner's turn:
 *   pv_turns_batch(datagrams) -> send what pv_turns_out() gives -> for each poll_socket: do it;
 *   pv_turns_opened() -> send pv_turns_out() again. Every call that produces output forgets the
 *   output before it.
 *
 * A relayed datagram is rewritten in place: output points into the input's buffers, so these have
 * to live, and be writable, until the output is sent. Nothing is allocated for a datagram.
 * Single thread; no clock, socket or entropy of its own.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "coordinator/core/turn/relaystats.h"
#include "coordinator/core/turn/stuns.h"
#include "coordinator/core/turn/turnauth.h"
#include "crypto/hash.h"

enum {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    PV_TURNS_BATCH = 32, /* a server clears 2 KiB for each when it begins */
#else
    PV_TURNS_BATCH = 4096, /* ours: datagrams a call; a deep queue makes long runs */
#endif
    PV_TURNS_DATAGRAM_MAX = 2048, /* ours: bytes, above any Ethernet MTU in use but jumbo */
    /* Bytes of an answer to an unauthenticated request, but for FINGERPRINT: of 400; of 401 and 438
     * as before RFC 8489; with its features. And at most. */
    PV_TURNS_UNAUTH_LEAST = 28,
    PV_TURNS_UNAUTH_PLAIN = 72,
    PV_TURNS_UNAUTH_FEATURES = 100,
    PV_TURNS_UNAUTH_MAX = 108,
    PV_TURNS_USERS_MAX = 64,        /* ours: static users */
    PV_TURNS_NETS_MAX = 256,        /* ours: networks with a bandwidth of their own */
    PV_TURNS_ALLOW_MAX = 16,        /* ours: ranges of peers allowed by the configuration */
    PV_TURNS_OWN_MAX = 1024,        /* ours: own addresses; containers bring many */
    PV_TURNS_RELAY0 = 1024,         /* ours: number of the first relay socket; below: listeners */
    PV_TURNS_MEMBERS_MAX = 65536,   /* ours: members known, 3 times the connections; more: 508 */
    PV_TURNS_LIFETIME_S = 600,      /* default and least lifetime, RFC 8656 s3.2 */
    PV_TURNS_LIFETIME_MAX_S = 3600, /* RFC 8656 s7.2 */
    PV_TURNS_GRACE_S = 30,   /* ours: a member's allocation outlives its control channel by this */
    PV_TURNS_RESERVE_S = 30, /* an odd port is held, RFC 8656 s7.2 */
    /* Ours: one in this many of a user's allocations may be an odd port held for later, and two in
     * any case. Stock clients reserve one with each allocation, and many share a user. */
    PV_TURNS_RESERVED_PART = 4,
    PV_TURNS_RESERVED_MIN = 2,
    PV_TURNS_PORT_TRIES = 16, /* ours: ports tried for one relay socket, then 508 */

    PV_TURNS_PHONE_PORTS_MAX = 1024, /* ours: phone ports at once */
    PV_TURNS_PHONE_PORTS = 16,       /* ours: unless the operator says otherwise */
    PV_TURNS_PHONE_PORTS_NET = 4, /* ours: of them one network's, unless the operator says more */
    /* Ours: messages a second and at once, that come in at phone ports from where their members
     * have no channel: of one source network (/24, /56), at one phone port. A phone that roams
     * sends the first few so. A longer message counts once for each PV_TURNS_PHONE_PORT_UNIT bytes
     * that it has begun, the length of a handshake's. */
    PV_TURNS_PHONE_PORT_SOURCE_RATE = 32,
    PV_TURNS_PHONE_PORT_SOURCE_BURST = 64,
    PV_TURNS_PHONE_PORT_RATE = 64,
    PV_TURNS_PHONE_PORT_BURST = 128,
    PV_TURNS_PHONE_PORT_UNIT = 148,
    PV_TURNS_PHONE_PORT_OPENS =
        4, /* ours: phone ports of one member opened at once; one a second afterwards */
    PV_TURNS_PHONE_PORT_SOURCES = 4096, /* ours: source networks remembered */
    PV_TURNS_PHONE_PORT_PEERS = 256, /* ours: channels of one member by which its phones come in */
    /* Ours: bytes a second and at once, that leave by a phone port for where nothing has come
     * from. */
    PV_TURNS_PHONE_PORT_KNOCK_RATE = 4096,
    PV_TURNS_PHONE_PORT_KNOCK_BURST = 16384,
};

struct pv_turns_user {
    const char *name;     /* 1..PV_TURNAUTH_USER_MAX characters */
    const char *password; /* at most 512 characters */
};

/* Zero = the default. */
struct pv_turns_limits {
    uint32_t relays;      /* 4096 relay sockets, half of them shared evenly by the users; 508 */
    uint32_t permissions; /* 256 of one allocation of a static user; 508 */
    uint32_t channels;    /* 1024 of one allocation; 508 */
};

/* The bandwidth of one network's members, in the place of everybody's; 0: no limit. */
struct pv_turns_net {
    uint8_t net[PV_TURNAUTH_NET_LEN];
    uint32_t bandwidth;
};

/* The settings that an operator may change while the server runs; zero as in the limits. */
struct pv_turns_policy {
    uint32_t per_user;  /* 128 allocations and reserved ports of one static user; 486 */
    uint32_t bandwidth; /* bytes a second in each direction of one user or member; 0: no limit */
    uint16_t port_lo, port_hi;      /* relay ports; 0: 49152-65535 (RFC 8656 s7.2) */
    struct pv_addr relay_public[2]; /* what clients are told, as relay_bind of pv_turns_config */
    struct pv_prefix allow[PV_TURNS_ALLOW_MAX]; /* peers allowed against the default */
    size_t n_allow;
    struct pv_turns_net nets[PV_TURNS_NETS_MAX];
    size_t n_nets;
    uint32_t phone_ports;         /* at most PV_TURNS_PHONE_PORTS_MAX; 0: none */
    uint32_t phone_ports_per_net; /* of them one network's; 0: PV_TURNS_PHONE_PORTS_NET */
};

struct pv_turns_config {
    bool enabled;                  /* false: Binding requests only */
    const uint8_t *coordinator_pk; /* PV_SIGN_PK_LEN bytes, not kept */
    /* The secret that phone ports' ports follow from, the same after every start: nobody else shall
     * find a key with a given port. Copied and wiped at the end. */
    uint8_t phone_port_key[PV_BLAKE2B_LEN];
    const struct pv_turns_user *users; /* copied as keys */
    size_t n_users;                    /* <= PV_TURNS_USERS_MAX */
    /* Where relay sockets are bound; PV_AF_NONE: the address to which the client sent, if that has
     * the family. Ports are ignored. [0] IPv4, [1] IPv6. */
    struct pv_addr relay_bind[2];
    struct pv_addr relay_other[2]; /* bound when neither relay_bind nor the client has the family */
    const struct pv_addr *own;     /* addresses of this machine, refused as peers, copied */
    size_t n_own;
    struct pv_turns_limits limits;
    struct pv_turns_policy policy; /* at first */
};

struct pv_turns; /* opaque */

enum pv_turns_holder {
    PV_TURNS_NOBODY,
    PV_TURNS_USER,   /* a static user: any TURN client */
    PV_TURNS_MEMBER, /* a member: its p2pvpnd */
};

/* rng is kept; stuns is borrowed until free: its token buckets are shared (DESIGN 6). PV_ERR_NOMEM,
 * PV_ERR_LIMIT (too many users, ranges, or a name or password too long), PV_ERR_CRYPTO. */
PV_MUST_CHECK int pv_turns_new(struct pv_turns **ret_turns, const struct pv_turns_config *cfg,
                               struct pv_stuns *stuns, const struct pv_rng *rng);
struct pv_turns *pv_turns_free(struct pv_turns *t); /* wipes; NULL is fine; returns NULL */

/* Holds from now on, for the members and allocations that are there, too; permissions that were
 * given stay until they expire. The counts of the policy are within their limits. */
void pv_turns_set_policy(struct pv_turns *t, const struct pv_turns_policy *policy);
/* Is it switched on? */
bool pv_turns_enabled(const struct pv_turns *t);

/* --- members --------------------------------------------------------------------------------- */

/* The secret of members' credentials, read only; the control half may have a copy to welcome
 * them. */
const struct pv_turnauth *pv_turns_auth(const struct pv_turns *t);
/* A member's control channel is up: it may allocate with the nonce of this serial and no older one.
 * net and node have PV_TURNAUTH_NET_LEN and PV_TURNAUTH_NODE_LEN bytes. PV_ERR_UNSUPPORTED (no
 * relay), PV_ERR_LIMIT, PV_ERR_NOMEM, PV_ERR_CRYPTO: no relay for it. */
PV_MUST_CHECK int pv_turns_online(struct pv_turns *t, const uint8_t *net, const uint8_t *node,
                                  uint32_t serial);
/* Its control channel ended: the allocation lives as long as its TURN lifetime. */
void pv_turns_offline(struct pv_turns *t, const uint8_t *net, const uint8_t *node, pv_ns now);
/* It was revoked or left: credentials and allocation end at once. */
void pv_turns_gone(struct pv_turns *t, const uint8_t *net, const uint8_t *node);
/* Forgets all members, and every allocation of a TURN connection: a command about them got lost. */
void pv_turns_forget(struct pv_turns *t);

/* --- datagrams ------------------------------------------------------------------------------- */

struct pv_turns_in {
    struct pv_addr src;
    struct pv_addr local; /* the address it came to; the port is ignored */
    uint32_t sock;        /* listener: chosen by the owner, < PV_TURNS_RELAY0; or relay socket */
    uint64_t stream;      /* not 0: a message of this TURN connection over TCP */
    uint8_t *ptr;         /* may be written to; until the output is sent */
    size_t len;
};

struct pv_turns_out {
    struct pv_addr dst;
    struct pv_addr local; /* source address; PV_AF_NONE: the socket's */
    uint32_t sock;
    uint64_t stream;     /* not 0: for this connection (ChannelData still needs its padding) */
    bool df;             /* with DF (a relay socket; RFC 8656 s14) */
    struct pv_view data; /* until the next call or the end of the input's buffers */
};

/* Is it TURN: ChannelData, or STUN of a method other than Binding? The rest is stuns.h's. */
bool pv_turns_is_turn(struct pv_view datagram);
/* Handles up to PV_TURNS_BATCH datagrams, in order; returns how many. At most one output each. */
size_t pv_turns_batch(struct pv_turns *t, const struct pv_turns_in *in, size_t n, pv_ns now);
/* The same, behind the output there is: handles what its room allows, 0 when there is none.
 * Datagrams from relay sockets are copied, so their buffers may be used again before the output is
 * sent. */
size_t pv_turns_add(struct pv_turns *t, const struct pv_turns_in *in, size_t n, pv_ns now);
/* The output has been sent. */
void pv_turns_sent(struct pv_turns *t);
/* The output of the last call, to be sent. */
const struct pv_turns_out *pv_turns_out(const struct pv_turns *t, size_t *ret_n);
/* Returns whose allocation a TURN connection over TCP holds, or has under way. */
enum pv_turns_holder pv_turns_stream_holder(const struct pv_turns *t, uint64_t stream);
/* A TURN connection over TCP is gone. */
void pv_turns_stream_closed(struct pv_turns *t, uint64_t stream);

/* --- relay sockets --------------------------------------------------------------------------- */

struct pv_turns_socket {
    uint32_t sock;       /* its number from now on, >= PV_TURNS_RELAY0 */
    bool open;           /* open and bind to addr, then call pv_turns_opened(); else close */
    struct pv_addr addr; /* PV_AF_INET or PV_AF_INET6, with port */
};
/* PV_ERR_AGAIN: nothing to do. */
PV_MUST_CHECK int pv_turns_poll_socket(struct pv_turns *t, struct pv_turns_socket *ret_op);
/* The result of opening: PV_OK, PV_ERR_EXISTS (port in use: another is tried), or an error. */
void pv_turns_opened(struct pv_turns *t, uint32_t sock, int status, pv_ns now);

/* --- time, questions ------------------------------------------------------------------------- */

void pv_turns_handle_timeout(struct pv_turns *t, pv_ns now);
pv_ns pv_turns_next_timeout(const struct pv_turns *t);

/* Channels of members to peers beyond their phone ports. */
size_t pv_turns_phone_port_peers(const struct pv_turns *t);
/* Its counters, for any thread, until pv_turns_free(). The owner may add what it drops itself. */
struct pv_relaystats *pv_turns_counters(struct pv_turns *t);
