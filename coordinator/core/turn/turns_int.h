/* SPDX-License-Identifier: MIT */
/*
 * turns_int.h - what the files of the TURN server share. Not for others.
 *
 * Each file calls only those above it in this list, so that none of them needs the others to be
 * understood:
 *
 *   turns_sock.c    output of a call, room for timers, members by address; relay sockets of static
 *                   users: wanted, reserved, closed
 *   turns_alloc.c   allocations, channels, permissions
 *   turns_auth.c    who sent this request, and refusing
 *   turns_door.c    members' doors: wanted, opened, what comes in and goes out
 *   turns_relay.c   the way of relayed datagrams
 *   turns_request.c what each request does
 *   turns_member.c  members: online, offline, gone
 *   turns.c         making and freeing, the batch, time, what became of opening a relay socket,
 * what the operator may change while it runs
 */
#pragma once

#include "base/bucket.h"
#include "base/heap.h"
#include "coordinator/core/turn/stuns.h"
#include "coordinator/core/turn/turnpeer.h"
#include "coordinator/core/turn/turns.h"
#include "coordinator/core/turn/turntab.h"
#include "proto/stun/stun.h"
#include "proto/stun/turn.h"

enum {
    PV_TWAY_KEY =
        52, /* bytes: stream 8, socket 4, family 2, port 2, address 16, own address 16, 4 free */
    PV_TMEMBER_KEY = PV_TURNAUTH_NET_LEN + 8, /* network id, last half of the virtual address */
    PV_TMEMBER_WHO = PV_TURNAUTH_MEMBER_LEN,  /* network id, node pk */
    PV_TMEMBER_USER =
        16,             /* characters of a member's user name (turnauth.c: 12 bytes in base64url) */
    PV_TPLACE_KEY = 20, /* bytes: family 2, port 2, address 16 */
    PV_TDOOR_KEY = 4 + PV_TPLACE_KEY, /* bytes: number of the door's socket, place of the peer */
    PV_TTOKEN_LEN = 8,                /* bytes of a RESERVATION-TOKEN, RFC 8656 s18.10 */
    PV_TSHOWN_MAX = 64, /* addresses that relay sockets show, twice PV_TURNS_OWN_MAX */
    /* Bytes of an output: the longest data in a Data indication with its header and attributes. */
    PV_TSCRATCH = PV_TURNS_DATAGRAM_MAX + 128,
    /* RFC 5766 clients take channel numbers up to 0x7FFF; nothing else on these ports begins so. */
    PV_TCHANNEL_MAX = 0x7FFF,
};

/* The 5-tuple of a client. */
struct pv_tway {
    uint8_t key[PV_TWAY_KEY]; /* all of the 5-tuple, for the tables */
    uint64_t stream;          /* the connection, whose transport is TCP; 0: UDP */
    uint32_t sock;            /* UDP: the owner's number of the socket */
    struct pv_addr src;       /* of the client */
    struct pv_addr local;     /* to which the client sends; without port, which follows from sock */
};

/* A timer that says to what it belongs. */
enum pv_ttimer_kind {
    PV_TTIMER_MEMBER,
    PV_TTIMER_ALLOC,
    PV_TTIMER_RELAY,
};
struct pv_ttimer {
    struct pv_heap_node node;
    enum pv_ttimer_kind kind;
};

struct pv_talloc;

/* A channel of an allocation (RFC 8656 s12). */
struct pv_tchan {
    struct pv_tchan *next;    /* of the same allocation */
    struct pv_talloc *owner;  /* the allocation */
    struct pv_tchan *reverse; /* members: the peer's channel back to the owner; NULL: none known */
    struct pv_addr peer;
    uint16_t number;
    pv_ns until; /* it expires then */

    /* To a peer beyond its owner's door, of which the table `door_peers` has PV_TURNS_DOOR_PEERS at
     * most; none of a door that is closed. */
    bool at_door;               /* it is in the table */
    uint8_t door[PV_TDOOR_KEY]; /* its key there */
    pv_ns heard;                /* when the peer last sent; 0: never */
};

/* A permission of a static user's allocation (RFC 8656 s9). */
struct pv_tperm {
    struct pv_addr ip; /* of the peer; port 0 */
    pv_ns until;       /* it expires then */
    bool here;         /* good for what is relayed here only: the address is otherwise forbidden */
};

/* A static user, from the configuration. */
struct pv_tuser {
    char name[PV_TURNAUTH_USER_BUF];
    uint8_t hash[PV_SHA256_LEN]; /* USERHASH */
    struct pv_turnauth_key key;  /* made of the password */
    uint32_t n_allocs;           /* allocations now, for the quota */
    uint32_t n_reserved;         /* odd ports held for a later allocation, or promised to one */
    uint32_t n_socks;            /* relay sockets, of allocations and reserved */
    struct pv_bucket up, down;   /* bandwidth to peers and to clients, of all its allocations */
};

/* A member of a network, as its welcome made it known. */
struct pv_tmember {
    uint8_t id[PV_TMEMBER_KEY];        /* key of the table `members` */
    uint8_t user[PV_TMEMBER_USER];     /* key of the table `by_user` */
    uint8_t who[PV_TMEMBER_WHO];       /* network id and node pk */
    struct pv_addr addr;               /* its relayed address, which is virtual */
    struct pv_turnauth_key key;        /* made of the password in its welcome */
    uint32_t serial;                   /* of the nonce of its last welcome */
    bool spent;                        /* that nonce has allocated */
    uint8_t spent_by[PV_TWAY_KEY];     /* spent: the 5-tuple for which the nonce is good since */
    bool online;                       /* its control channel is up */
    pv_ns offline_at;                  /* not online: since when */
    struct pv_talloc *alloc;           /* its allocation; NULL: none */
    uint8_t former[PV_TWAY_KEY];       /* the 5-tuple that the allocation had before it moved */
    pv_ns former_until;                /* data from `former` counts until then; 0: there is none */
    uint32_t bandwidth;                /* bytes a second, of its network; 0: no limit */
    struct pv_bucket up, down;         /* bandwidth from it and to it */
    struct pv_bucket unsigned_answers; /* to its 5-tuple: a nonce that has expired, above all */
    struct pv_bucket strangers;  /* messages that came in at its door from no channel's peer */
    struct pv_bucket knocks;     /* bytes out of it to whoever has not sent */
    struct pv_bucket door_opens; /* doors that it asked for */
    struct pv_ttimer timer;      /* offline: the end of its allocation, and of this */
};

enum pv_trelay_state {
    PV_TRELAY_WANTED,  /* queued to be opened */
    PV_TRELAY_ASKED,   /* the owner is opening it */
    PV_TRELAY_OPEN,    /* it relays */
    PV_TRELAY_CLOSING, /* queued to be closed, then forgotten */
};

/* An address that relay sockets of allocations show. */
struct pv_tshown {
    struct pv_addr ip; /* port 0 */
    uint32_t n;        /* sockets that show it; 0: this place is free */
};

/* A relay socket. */
struct pv_trelay {
    uint32_t sock; /* its number, from PV_TURNS_RELAY0 on */
    enum pv_trelay_state state;
    struct pv_addr bind;          /* with port */
    struct pv_addr shown;         /* what the client is told; port as bind */
    uint8_t place[PV_TPLACE_KEY]; /* open: `shown` as key of the table `by_place` */
    struct pv_tshown *counted;    /* where `shown` is counted; NULL: nowhere */
    struct pv_talloc *alloc;      /* NULL: reserved, or being closed */
    struct pv_tuser *holder;      /* whose sockets it counts among; NULL: being closed, a door */
    bool is_door;                 /* of the member that has alloc */
    bool promised;                /* it counts among the holder's reserved ports */
    struct pv_trelay *pair;       /* EVEN-PORT with R: the other of the two, until both are open */
    bool even;                    /* its port has to be even */
    bool reserve;                 /* the odd port above is still to be opened */
    unsigned tries;               /* ports that were taken */
    uint8_t token[PV_TTOKEN_LEN]; /* reserved: the token that its next client has to show */
    struct pv_ttimer timer;       /* reserved: the end of that */
    struct pv_trelay *next_op;    /* in the queue of what the owner has to do */
    bool queued;                  /* it stands in that queue */
};

/* An allocation (RFC 8656 s3.2): of a member or of a static user. */
struct pv_talloc {
    struct pv_tway way;             /* key first: the table's */
    bool attached;                  /* in the table of ways */
    struct pv_tmember *member;      /* NULL: it is a static user's */
    struct pv_tuser *user;          /* NULL: it is a member's */
    uint8_t txid[PV_STUN_TXID_LEN]; /* of the Allocate that made it, RFC 8656 s7.2 */
    pv_ns until;                    /* its lifetime ends then */
    struct pv_tchan *chans;         /* list of its channels */
    struct pv_tchan **by_number;    /* index of them, open addressing */
    size_t n_slots;                 /* of by_number: 0 or a power of two */
    size_t n_chans;
    struct pv_tchan *last; /* the channel that was last found by its peer */

    /* Members. */
    struct pv_trelay *door; /* NULL: none */
    uint16_t door_error;    /* why there is none though it was asked for; 0: nothing was amiss */
    bool door_failed;       /* it could not be opened, which is still to be told */

    /* Static users. */
    struct pv_ttimer timer;
    struct pv_tperm *perms;
    size_t n_perms, cap_perms;
    struct pv_trelay *relays[2]; /* IPv4, IPv6; NULL: no relayed address of that family */
    bool pending;                /* not answered yet: sockets are being opened */
    bool sha256;                 /* the Allocate is answered with MESSAGE-INTEGRITY-SHA256 */
    bool sha_key;                /* the key of that answer is made with SHA-256 */
    bool fingerprint;            /* that answer has FINGERPRINT */
    bool has_token;              /* a port was reserved for it */
    uint8_t token[PV_TTOKEN_LEN];
    uint16_t family_error; /* of the additional family, 0: none */
    bool old_numbers;      /* that error is told by the attribute number from before RFC 8656 */
};

enum {
    PV_TUNMET_MAX = 64, /* ours: about 3 KiB */
};

/* A member that is online, and for which there was no memory. */
struct pv_tunmet {
    uint8_t net[PV_TURNAUTH_NET_LEN];
    uint8_t node[PV_TURNAUTH_NODE_LEN];
    uint32_t serial; /* of the nonce in its welcome */
};

struct pv_turns {
    struct pv_rng rng;
    bool enabled;
    struct pv_stuns *stuns; /* borrowed: its token buckets */
    struct pv_turnauth auth;
    uint8_t prefix[8]; /* of virtual addresses */
    struct pv_turns_limits limits;
    struct pv_turns_net nets[PV_TURNS_NETS_MAX];
    size_t n_nets;
    uint16_t port_lo, port_hi;                                     /* of relay sockets */
    struct pv_addr relay_bind[2], relay_public[2], relay_other[2]; /* as in pv_turns_config */
    struct pv_prefix allow[PV_TURNS_ALLOW_MAX];
    struct pv_addr own[PV_TURNS_OWN_MAX];
    struct pv_turnpeer_rules rules; /* points to allow and own */
    struct pv_tuser *users;
    size_t n_users;

    struct pv_tunmet unmet[PV_TUNMET_MAX]; /* oldest first */
    size_t n_unmet;

    struct pv_turntab ways;       /* struct pv_talloc by way.key */
    struct pv_turntab formers;    /* struct pv_tmember by former */
    struct pv_turntab members;    /* struct pv_tmember by id */
    struct pv_turntab by_user;    /* struct pv_tmember by user */
    struct pv_turntab by_token;   /* reserved struct pv_trelay by token */
    struct pv_turntab by_place;   /* open struct pv_trelay by place; no doors */
    struct pv_turntab door_peers; /* struct pv_tchan by door */
    struct pv_heap timers;
    size_t n_allocs; /* attached or not */

    struct pv_trelay **relays; /* limits.relays slots, by sock - PV_TURNS_RELAY0 */
    size_t n_relays;           /* slots in use */
    size_t next_relay;         /* the slot at which the search for a free one begins */
    struct pv_tshown shown[PV_TSHOWN_MAX];
    struct pv_trelay *ops_head, *ops_tail; /* what the owner has to do */

    uint32_t doors, doors_per_net; /* as in pv_turns_policy, without 0 for a default */
    uint32_t n_doors;              /* opened or being opened */
    struct pv_bucket_table *door_sources;
    uint8_t door_key[PV_BLAKE2B_LEN]; /* as in pv_turns_config */

    uint64_t next_txid; /* of Data indications */
    struct pv_relaystats stats;
    struct pv_turns_out out[PV_TURNS_BATCH]; /* n_out of them are to be sent */
    size_t n_out;
    uint8_t (*scratch)[PV_TSCRATCH]; /* one an output */
};

/* --- what all use: turns_sock.c -------------------------------------------------------------- */

/* The next output and its scratch; NULL when there is no more room in this call. */
struct pv_turns_out *pv_tout_new(struct pv_turns *t, uint8_t **ret_scratch);
/* The same, addressed to a client. */
struct pv_turns_out *pv_tout_to(struct pv_turns *t, const struct pv_tway *way,
                                uint8_t **ret_scratch);
/* Finishes a message of a writer as output, or takes it back. */
void pv_tout_end(struct pv_turns *t, struct pv_turns_out *out, struct pv_stun_writer *w);

/* Takes a datagram out of a bucket of bytes that holds a second's worth. True: there is no limit
 * (rate 0), or it is kept. */
PV_MUST_CHECK bool pv_tout_may(uint32_t rate, struct pv_bucket *b, size_t len, pv_ns now);
/* Data of `peer` for a client by one of its channels, else as a Data indication. It is copied. c:
 * the channel, NULL: none. */
void pv_tout_data(struct pv_turns *t, const struct pv_talloc *to, const struct pv_tchan *c,
                  const struct pv_addr *peer, struct pv_view data, pv_ns now);

/* Room in the heap of timers for one more thing that has one. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_tturns_reserve(struct pv_turns *t);
/* Tries again to make members for which there was no memory. */
void pv_tmember_meet(struct pv_turns *t);
/* The key of a member in t->members. */
void pv_tmember_id(const uint8_t *net, const struct pv_addr *addr,
                   uint8_t id[static PV_TMEMBER_KEY]);
/* The member of this network with this virtual address; NULL: none. */
struct pv_tmember *pv_tmember_at(const struct pv_turns *t, const uint8_t *net,
                                 const struct pv_addr *addr);
/* Sets the time at which an offline member is forgotten. */
void pv_tmember_rearm(struct pv_turns *t, struct pv_tmember *m);
bool pv_tmember_is_virtual(const struct pv_turns *t, const struct pv_addr *addr);

/* --- turns_auth.c ---------------------------------------------------------------------------- */

/* A request under way. */
struct pv_treq {
    const struct pv_tway *way;
    const struct pv_stun_msg *msg;
    pv_ns now;
    bool fingerprint;          /* the answer has FINGERPRINT, as the request has */
    struct pv_tuser *user;     /* authenticated as this static user; NULL: as a member */
    struct pv_tmember *member; /* authenticated as this member; NULL: as a static user */
    bool sha256;               /* the answer has MESSAGE-INTEGRITY-SHA256 */
    bool sha_key;              /* the key is made by SHA-256 */
    bool unspent;              /* its nonce is welcome's, and has not allocated yet */
};
/* Who sent it? False: it has been answered, or must not be. */
bool pv_tauth_check(struct pv_turns *t, struct pv_treq *q);
struct pv_view pv_tauth_key(const struct pv_treq *q);
/* Begins an authenticated answer; pv_tauth_end() adds integrity and sends it. NULL: no room. */
struct pv_turns_out *pv_tauth_begin(struct pv_turns *t, const struct pv_treq *q,
                                    enum pv_stun_class cls, struct pv_stun_writer *w);
void pv_tauth_end(struct pv_turns *t, const struct pv_treq *q, struct pv_turns_out *out,
                  struct pv_stun_writer *w);
/* An authenticated error. */
void pv_tauth_refuse(struct pv_turns *t, const struct pv_treq *q, unsigned code);

/* --- turns_request.c ------------------------------------------------------------------------- */

void pv_trequest_handle(struct pv_turns *t, struct pv_treq *q);
/* Answers the Allocate of a static user once its sockets are there (code 0), or with an error. */
void pv_trequest_allocated(struct pv_turns *t, struct pv_talloc *a, unsigned code, pv_ns now);

/* --- turns_alloc.c --------------------------------------------------------------------------- */

/* An allocation of a member or static user at this way, which must be free. PV_ERR_LIMIT,
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_talloc_new(struct pv_turns *t, const struct pv_tway *way,
                                struct pv_tmember *member, struct pv_tuser *user,
                                struct pv_talloc **ret_alloc);
void pv_talloc_free(struct pv_turns *t, struct pv_talloc *a); /* with all that it has */
struct pv_talloc *pv_talloc_find(const struct pv_turns *t, const struct pv_tway *way);
/* The allocation that data from there belongs to: it is there, or has just moved away. */
struct pv_talloc *pv_talloc_of_data(const struct pv_turns *t, const struct pv_tway *way, pv_ns now);
/* Moves a member's to another 5-tuple, which must be free. PV_ERR_NOMEM: it is detached. */
PV_MUST_CHECK int pv_talloc_move(struct pv_turns *t, struct pv_talloc *a, const struct pv_tway *way,
                                 pv_ns now);
/* Data from the member's former 5-tuple is nobody's from now on. */
void pv_tmember_settled(struct pv_turns *t, struct pv_tmember *m);
void pv_talloc_detach(struct pv_turns *t, struct pv_talloc *a);

struct pv_tchan *pv_tchan_by_number(const struct pv_talloc *a, uint16_t number);
struct pv_tchan *pv_tchan_by_peer(struct pv_talloc *a, const struct pv_addr *peer);
/* The channel of this door's member to that peer; NULL: none, or it has expired and is gone. */
struct pv_tchan *pv_tchan_by_door(const struct pv_turns *t, const struct pv_trelay *door,
                                  const struct pv_addr *peer);
/* The door of this allocation is closed: its channels lead beyond no other door, which may get the
 * same number. */
void pv_tchan_leave_door(struct pv_turns *t, struct pv_talloc *a);
/* PV_ERR_EXISTS: number or peer is bound otherwise; PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_tchan_bind(struct pv_turns *t, struct pv_talloc *a, uint16_t number,
                                const struct pv_addr *peer, pv_ns now);
/* The permission for this address, NULL: none. */
const struct pv_tperm *pv_tperm_of(const struct pv_talloc *a, const struct pv_addr *ip, pv_ns now);
/* PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_tperm_add(struct pv_turns *t, struct pv_talloc *a, const struct pv_addr *ip,
                               pv_ns now);
/* How many more permissions it may have. */
size_t pv_tperm_room(const struct pv_turns *t, struct pv_talloc *a, pv_ns now);

/* --- turns_sock.c ---------------------------------------------------------------------------- */

static inline size_t pv_tfamily(const struct pv_addr *a)
{
    return a->family == PV_AF_INET6 ? 1 : 0;
}
/* Writes family, port and address as the key of a table. */
void pv_tplace_of(const struct pv_addr *a, uint8_t key[static PV_TPLACE_KEY]);
/* Can relay sockets of this family (0, 1) be had for a client that sent to `local`? */
bool pv_trelay_can(const struct pv_turns *t, size_t family, const struct pv_addr *local);
/* Where that is bound, and what strangers are told, without ports. */
void pv_trelay_locate(const struct pv_turns *t, struct pv_trelay *r, size_t family,
                      const struct pv_addr *local);
/* A relay socket for a's family; it is asked for. PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_trelay_want(struct pv_turns *t, struct pv_talloc *a, size_t family, bool even,
                                 bool reserve);
/* The odd port that was promised to r's request is kept by odd from now on, for the same user. */
void pv_trelay_hand_on(struct pv_trelay *r, struct pv_trelay *odd);
/* The reserved socket of a token, now a's; NULL: none. */
struct pv_trelay *pv_trelay_redeem(struct pv_turns *t, struct pv_talloc *a,
                                   const uint8_t token[static PV_TTOKEN_LEN]);
void pv_trelay_close(struct pv_turns *t, struct pv_trelay *r);
/*
 * Is this peer relayed here itself, for another allocation than a? exact: this very address, else
 * any of its IP address. Two clients that both need the relay meet so; nothing else of the
 * coordinator is reached, for what they say to each other never leaves it (turns_relay.c).
 */
bool pv_trelay_is_neighbour(const struct pv_turns *t, const struct pv_talloc *a,
                            const struct pv_addr *peer, bool exact);
/* The open relay socket that shows this address, NULL: none. */
struct pv_trelay *pv_trelay_at(const struct pv_turns *t, const struct pv_addr *shown);

/* For its answer (turns.c), which repeats and completes what pv_trelay_want() began. */
PV_MUST_CHECK int pv_trelay_new(struct pv_turns *t, struct pv_trelay **ret_relay);
/* Draws a port of the range, an even one where that is wanted; a door's follows from its member's
 * key. */
void pv_trelay_choose_port(struct pv_turns *t, struct pv_trelay *r);
/* A pair needs an odd port of the range above the even one. */
bool pv_trelay_port_fits(const struct pv_turns *t, const struct pv_trelay *r);
/* Queues it to be opened by the owner. */
void pv_trelay_ask(struct pv_turns *t, struct pv_trelay *r);
/* It is open: found by what it shows from now on. */
void pv_trelay_set_open(struct pv_turns *t, struct pv_trelay *r);

/* --- turns_door.c ---------------------------------------------------------------------------- */

/* An authenticated Allocate or Refresh of this member's allocation asks for a door, or does not:
 * it is opened, kept, or closed. */
void pv_tdoor_wish(struct pv_turns *t, const struct pv_treq *q, struct pv_talloc *a);
/* The answer to the wish, if q has one. */
void pv_tdoor_put(const struct pv_treq *q, const struct pv_talloc *a, struct pv_stun_writer *w);
/* The owner has tried to open it. */
void pv_tdoor_opened(struct pv_turns *t, struct pv_trelay *r, int status);
/* May this member's allocation have a channel to that peer beyond its door? */
bool pv_tdoor_may_reach(const struct pv_turns *t, const struct pv_talloc *a,
                        const struct pv_addr *peer);
/* A datagram that came in at the door r, and one of a member to a peer beyond its door; c: the
 * channel it came in, NULL: none. */
void pv_tdoor_in(struct pv_turns *t, const struct pv_trelay *r, const struct pv_addr *peer,
                 struct pv_view data, pv_ns now);
void pv_tdoor_out(struct pv_turns *t, const struct pv_talloc *a, const struct pv_tchan *c,
                  const struct pv_addr *peer, struct pv_view data, pv_ns now);

/* --- turns_relay.c --------------------------------------------------------------------------- */

void pv_trelay_channel_data(struct pv_turns *t, const struct pv_tway *way, uint8_t *ptr, size_t len,
                            pv_ns now);
void pv_trelay_send(struct pv_turns *t, const struct pv_tway *way, const struct pv_stun_msg *msg,
                    pv_ns now);
/* A datagram on a relay socket. */
void pv_trelay_from_peer(struct pv_turns *t, const struct pv_turns_in *in, pv_ns now);

/* --- policy: turns.c ------------------------------------------------------------------------- */

/* Bytes a second that a member of this network may have; 0: no limit. */
uint32_t pv_tpolicy_bandwidth(const struct pv_turns *t, const uint8_t *net);

/* --- turns_member.c -------------------------------------------------------------------------- */

/* The member itself, not another one with the same 64 bits of hash; NULL: not known. */
struct pv_tmember *pv_tmember_find(const struct pv_turns *t, const uint8_t *net,
                                   const uint8_t *node);
/* Ends its allocation and frees it. */
void pv_tmember_forget(struct pv_turns *t, struct pv_tmember *m);
