/* SPDX-License-Identifier: MIT */
/*
 * turns_int.h - what the files of the TURN server share. Nobody else includes it. A file calls only
 * files above it in this list: turnrelays, turnout, turnallocs, turnmembers, turncreds, turnphone,
 * turndata, turnrequests, turns.
 */
#pragma once

#include "base/bucket.h"
#include "base/heap.h"
#include "base/list.h"
#include "coordinator/core/turn/stuns.h"
#include "coordinator/core/turn/turnpeer.h"
#include "coordinator/core/turn/turns.h"
#include "coordinator/core/turn/turntab.h"
#include "proto/stun/stun.h"

enum {
    PV_TURNS_WAY_KEY =
        52, /* bytes: stream 8, socket 4, family 2, port 2, address 16, own address 16, 4 free */
    PV_TURNS_MEMBER_KEY =
        PV_TURNAUTH_NET_LEN + 8,                  /* network id, last half of the virtual address */
    PV_TURNS_MEMBER_WHO = PV_TURNAUTH_MEMBER_LEN, /* network id, node pk */
    PV_TURNS_MEMBER_USER =
        16, /* characters of a member's user name (turnauth.c: 12 bytes in base64url) */
    PV_TURNS_PLACE_KEY = 20, /* bytes: family 2, port 2, address 16 */
    PV_TURNS_PHONE_PORT_KEY =
        4 + PV_TURNS_PLACE_KEY, /* bytes: number of the phone port's socket, place of the peer */
    PV_TURNS_TOKEN_LEN = 8,     /* bytes of a RESERVATION-TOKEN, RFC 8656 s18.10 */
    PV_TURNS_SHOWN_MAX = 64,    /* ours: addresses that relay sockets show at one time */
    /* Bytes of an output: the longest data in a Data indication with its header and attributes. */
    PV_TURNS_SCRATCH = PV_TURNS_DATAGRAM_MAX + 128,
    /* RFC 5766 clients take channel numbers up to 0x7FFF; nothing else on these ports begins so. */
    PV_TURNS_CHANNEL_MAX = 0x7FFF,
};

/* The 5-tuple of a client. */
struct pv_turns_way {
    uint8_t key[PV_TURNS_WAY_KEY]; /* all of the 5-tuple, for the tables */
    uint64_t stream;               /* the connection, whose transport is TCP; 0: UDP */
    uint32_t sock;                 /* UDP: the owner's number of the socket */
    struct pv_addr src;            /* of the client */
    struct pv_addr local; /* to which the client sends; without port, which follows from sock */
};

/* A timer that says to what it belongs. */
enum pv_turns_timer_kind {
    PV_TURNS_TIMER_MEMBER,
    PV_TURNS_TIMER_ALLOC,
    PV_TURNS_TIMER_RELAY,
};
struct pv_turns_timer {
    struct pv_heap_node node;
    enum pv_turns_timer_kind kind;
};

struct pv_turns_alloc;

/* A channel of an allocation (RFC 8656 s12). */
struct pv_turns_chan {
    struct pv_turns_chan *next;   /* of the same allocation */
    struct pv_turns_alloc *owner; /* the allocation */
    struct pv_turns_chan
        *reverse; /* members: the peer's channel back to the owner; NULL: none known */
    struct pv_addr peer;
    uint16_t number;
    pv_ns until; /* it expires then */

    /* To a peer beyond its owner's phone port, of which the table `phone_port_peers` has
     * PV_TURNS_PHONE_PORT_PEERS at most; none of a phone port that is closed. */
    bool at_phone_port;                          /* it is in the table */
    uint8_t phone_port[PV_TURNS_PHONE_PORT_KEY]; /* its key there */
    pv_ns heard;                                 /* when the peer last sent; 0: never */
};

/* A permission of a static user's allocation (RFC 8656 s9). */
struct pv_turns_perm {
    struct pv_addr ip; /* of the peer; port 0 */
    pv_ns until;       /* it expires then */
    bool here;         /* good for what is relayed here only: the address is otherwise forbidden */
};

/* A static user, from the configuration. */
struct pv_turns_account {
    char name[PV_TURNAUTH_USER_BUF];
    uint8_t hash[PV_SHA256_LEN]; /* USERHASH */
    struct pv_turnauth_key key;  /* made of the password */
    uint32_t n_allocs;           /* allocations now, for the quota */
    uint32_t n_reserved;         /* odd ports held for a later allocation, or promised to one */
    uint32_t n_socks;            /* relay sockets, of allocations and reserved */
    struct pv_bucket up, down;   /* bandwidth to peers and to clients, of all its allocations */
};

/* A member of a network, as its welcome made it known. */
struct pv_turns_member {
    uint8_t id[PV_TURNS_MEMBER_KEY];    /* key of the table `members` */
    uint8_t user[PV_TURNS_MEMBER_USER]; /* key of the table `by_user` */
    uint8_t who[PV_TURNS_MEMBER_WHO];   /* network id and node pk */
    struct pv_addr addr;                /* its relayed address, which is virtual */
    struct pv_turnauth_key key;         /* made of the password in its welcome */
    uint32_t serial;                    /* of the nonce of its last welcome */
    bool spent;                         /* that nonce has allocated */
    uint8_t spent_by[PV_TURNS_WAY_KEY]; /* spent: the 5-tuple for which the nonce is good since */
    bool online;                        /* its control channel is up */
    pv_ns offline_at;                   /* not online: since when */
    struct pv_turns_alloc *alloc;       /* its allocation; NULL: none */
    uint8_t former[PV_TURNS_WAY_KEY];   /* the 5-tuple that the allocation had before it moved */
    pv_ns former_until;                 /* data from `former` counts until then; 0: there is none */
    uint32_t bandwidth;                 /* bytes a second, of its network; 0: no limit */
    struct pv_bucket up, down;          /* bandwidth from it and to it */
    struct pv_bucket unsigned_answers;  /* to its 5-tuple: a nonce that has expired, above all */
    struct pv_bucket strangers; /* messages that came in at its phone port from no channel's peer */
    struct pv_bucket knocks;    /* bytes out of it to whoever has not sent */
    struct pv_bucket phone_port_opens; /* phone ports that it asked for */
    struct pv_turns_timer timer;       /* offline: the end of its allocation, and of this */
};

enum pv_turns_relay_state {
    PV_TURNS_RELAY_WANTED,  /* queued to be opened */
    PV_TURNS_RELAY_ASKED,   /* the owner is opening it */
    PV_TURNS_RELAY_OPEN,    /* it relays */
    PV_TURNS_RELAY_CLOSING, /* queued to be closed, then forgotten */
};

/* An address that relay sockets of allocations show. */
struct pv_turns_shown {
    struct pv_addr ip; /* port 0 */
    uint32_t n;        /* sockets that show it; 0: this place is free */
};

/* A relay socket. */
struct pv_turns_relay {
    uint32_t sock; /* its number, from PV_TURNS_RELAY0 on */
    enum pv_turns_relay_state state;
    struct pv_addr bind;               /* with port */
    struct pv_addr shown;              /* what the client is told; port as bind */
    uint8_t place[PV_TURNS_PLACE_KEY]; /* open: `shown` as key of the table `by_place` */
    struct pv_turns_shown *counted;    /* where `shown` is counted; NULL: nowhere */
    struct pv_turns_alloc *alloc;      /* NULL: reserved, or being closed */
    struct pv_turns_account
        *holder;        /* whose sockets it counts among; NULL: being closed, a phone port */
    bool is_phone_port; /* of the member that has alloc */
    bool promised;      /* it counts among the holder's reserved ports */
    struct pv_turns_relay *pair; /* EVEN-PORT with R: the other of the two, until both are open */
    bool even;                   /* its port has to be even */
    bool reserve;                /* the odd port above is still to be opened */
    unsigned tries;              /* ports that were taken */
    uint8_t token[PV_TURNS_TOKEN_LEN];  /* reserved: the token that its next client has to show */
    struct pv_turns_timer timer;        /* reserved: the end of that */
    struct pv_turns_relay *prev, *next; /* in the queue of what the owner has to do */
    bool queued;                        /* it stands in that queue */
};

/* An allocation (RFC 8656 s3.2): of a member or of a static user. */
struct pv_turns_alloc {
    struct pv_turns_way way;          /* key first: the table's */
    bool attached;                    /* in the table of ways */
    struct pv_turns_member *member;   /* NULL: it is a static user's */
    struct pv_turns_account *user;    /* NULL: it is a member's */
    uint8_t txid[PV_STUN_TXID_LEN];   /* of the Allocate that made it, RFC 8656 s7.2 */
    pv_ns until;                      /* its lifetime ends then */
    struct pv_turns_chan *chans;      /* list of its channels */
    struct pv_turns_chan **by_number; /* index of them, open addressing */
    size_t n_slots;                   /* of by_number: 0 or a power of two */
    size_t n_chans;
    struct pv_turns_chan *last; /* the channel that was last found by its peer */

    /* Members. */
    struct pv_turns_relay *phone_port; /* NULL: none */
    uint16_t phone_port_error; /* why there is none though it was asked for; 0: nothing was amiss */
    bool phone_port_failed;    /* it could not be opened, which is still to be told */

    /* Static users. */
    struct pv_turns_timer timer;
    struct pv_turns_perm *perms;
    size_t n_perms, cap_perms;
    struct pv_turns_relay *relays[2]; /* IPv4, IPv6; NULL: no relayed address of that family */
    bool pending;                     /* not answered yet: sockets are being opened */
    bool sha256;                      /* the Allocate is answered with MESSAGE-INTEGRITY-SHA256 */
    bool sha_key;                     /* the key of that answer is made with SHA-256 */
    bool fingerprint;                 /* that answer has FINGERPRINT */
    bool has_token;                   /* a port was reserved for it */
    uint8_t token[PV_TURNS_TOKEN_LEN];
    uint16_t family_error; /* of the additional family, 0: none */
    bool old_numbers;      /* that error is told by the attribute number from before RFC 8656 */
};

enum {
    PV_TURNS_UNMET_MAX = 64, /* ours: about 3 KiB */
};

/* A member that is online, and for which there was no memory. */
struct pv_turns_unmet {
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
    struct pv_turns_policy policy;                /* defaults filled in */
    struct pv_addr relay_bind[2], relay_other[2]; /* as in pv_turns_config */
    struct pv_addr own[PV_TURNS_OWN_MAX];
    struct pv_turnpeer_rules rules; /* points to policy.allow and own */
    struct pv_turns_account *users;
    size_t n_users;

    struct pv_turns_unmet unmet[PV_TURNS_UNMET_MAX]; /* oldest first */
    size_t n_unmet;

    struct pv_turntab ways;             /* struct pv_turns_alloc by way.key */
    struct pv_turntab formers;          /* struct pv_turns_member by former */
    struct pv_turntab members;          /* struct pv_turns_member by id */
    struct pv_turntab by_user;          /* struct pv_turns_member by user */
    struct pv_turntab by_token;         /* reserved struct pv_turns_relay by token */
    struct pv_turntab by_place;         /* open struct pv_turns_relay by place; no phone ports */
    struct pv_turntab phone_port_peers; /* struct pv_turns_chan by phone port */
    struct pv_heap timers;
    size_t n_allocs; /* attached or not */

    struct pv_turns_relay **relays; /* limits.relays slots, by sock - PV_TURNS_RELAY0 */
    size_t n_relays;                /* slots in use */
    size_t next_relay;              /* the slot at which the search for a free one begins */
    struct pv_turns_shown shown[PV_TURNS_SHOWN_MAX];
    struct pv_turns_relay *ops; /* what the owner has to do */

    uint32_t n_phone_ports; /* opened or being opened */
    struct pv_bucket_table *phone_port_sources;
    uint8_t phone_port_key[PV_BLAKE2B_LEN]; /* as in pv_turns_config */

    uint64_t next_txid; /* of Data indications */
    struct pv_relaystats stats;
    struct pv_turns_out out[PV_TURNS_BATCH]; /* n_out of them are to be sent */
    size_t n_out;
    uint8_t (*scratch)[PV_TURNS_SCRATCH]; /* one an output */
};

/* A request under way. */
struct pv_turns_req {
    const struct pv_turns_way *way;
    const struct pv_stun_msg *msg;
    pv_ns now;
    bool fingerprint;               /* the answer has FINGERPRINT, as the request has */
    struct pv_turns_account *user;  /* authenticated as this static user; NULL: as a member */
    struct pv_turns_member *member; /* authenticated as this member; NULL: as a static user */
    bool sha256;                    /* the answer has MESSAGE-INTEGRITY-SHA256 */
    bool sha_key;                   /* the key is made by SHA-256 */
    bool unspent;                   /* its nonce is welcome's, and has not allocated yet */
};

static inline size_t pv_turns_family_of(const struct pv_addr *a)
{
    return a->family == PV_AF_INET6 ? 1 : 0;
}

/* Each reason for a drop has a counter of its own: "it does not work" becomes a name in `status`.
 */
static inline void pv_turns_count(struct pv_turns *t, enum pv_relaystat what)
{
    pv_relaystat_add(&t->stats, what, 1);
}

/* Room in the heap of timers for one more thing that has one. PV_ERR_NOMEM. The room is made
 * before anything is added, so setting a timer cannot fail in the middle of a change. */
static inline int pv_turns_reserve(struct pv_turns *t)
{
    return pv_heap_reserve(&t->timers, t->members.n + t->n_allocs + t->n_relays + 1);
}

/* --- turnrelays.c ----------------------------------------------------------------------------- */

/* Returns true if relay sockets of this family (0: IPv4, 1: IPv6) exist for a client that sent to
 * `local`. */
bool pv_turns_relay_can(const struct pv_turns *t, size_t family, const struct pv_addr *local);

/* Sets the address to which r binds and the address that strangers are told, both without a port.
 */
void pv_turns_relay_locate(const struct pv_turns *t, struct pv_turns_relay *r, size_t family,
                           const struct pv_addr *local);

/* Draws a port of the range, an even one if that is wanted. It is random over the whole range (RFC
 * 8656 s7.2, RFC 6056), so a stranger must find a relayed address first. A phone port follows from
 * its member's key. */
void pv_turns_relay_choose_port(struct pv_turns *t, struct pv_turns_relay *r);

/* Returns true if the port suits r: the even port of a pair needs an odd one of the range above it.
 */
bool pv_turns_relay_port_fits(const struct pv_turns *t, const struct pv_turns_relay *r);

/* Makes a relay socket with a free number. PV_ERR_NOMEM, PV_ERR_LIMIT. The search goes on behind
 * the last number, because a datagram under way must not meet another allocation. */
int pv_turns_relay_new(struct pv_turns *t, struct pv_turns_relay **ret_relay);

/* Queues r for the owner to open. */
void pv_turns_relay_ask(struct pv_turns *t, struct pv_turns_relay *r);

/* Gives odd the place that r's request was promised, for the same user. */
void pv_turns_relay_hand_on(struct pv_turns_relay *r, struct pv_turns_relay *odd);

/* Makes a relay socket for this family of a, and asks the owner to open it. PV_ERR_LIMIT,
 * PV_ERR_NOMEM. It belongs to the allocation from now on: the end of the allocation closes it. */
int pv_turns_relay_want(struct pv_turns *t, struct pv_turns_alloc *a, size_t family, bool even,
                        bool reserve);

/* Writes the key of a peer beyond a phone port in t->phone_port_peers. */
void pv_turns_phone_port_key(const struct pv_turns_relay *phone_port, const struct pv_addr *peer,
                             uint8_t key[static PV_TURNS_PHONE_PORT_KEY]);

/* Returns the open relay socket that shows this address and port; NULL: none. */
struct pv_turns_relay *pv_turns_relay_at(const struct pv_turns *t, const struct pv_addr *shown);

/* Marks r as open. From now on it is found by the address that it shows. */
void pv_turns_relay_set_open(struct pv_turns *t, struct pv_turns_relay *r);

/* Returns true if the peer is relayed here, for another allocation than a. exact: by this address
 * and port; else by any port of the IP address. So two clients that both need the relay can meet,
 * and reach nothing else of the coordinator. An allocation's own sockets do not count, or a client
 * could make this server relay to itself. */
bool pv_turns_relay_is_neighbour(const struct pv_turns *t, const struct pv_turns_alloc *a,
                                 const struct pv_addr *peer, bool exact);

/* Returns the reserved socket of a token, which is a's from now on; NULL: none. A token is good
 * once. */
struct pv_turns_relay *pv_turns_relay_redeem(struct pv_turns *t, struct pv_turns_alloc *a,
                                             const uint8_t token[static PV_TURNS_TOKEN_LEN]);

/* Closes r, and the other half of its pair if no allocation has that yet. r leaves all tables at
 * once, so nothing finds it while it waits in the queue. */
void pv_turns_relay_close(struct pv_turns *t, struct pv_turns_relay *r);

/* --- turnout.c -------------------------------------------------------------------------------- */

/* Returns the next output, and its own scratch buffer; NULL: no more room in this call. Outputs of
 * a batch are sent together, so none may share a buffer. */
struct pv_turns_out *pv_turns_out_new(struct pv_turns *t, uint8_t **ret_scratch);

/* The same, addressed to a client. */
struct pv_turns_out *pv_turns_out_to(struct pv_turns *t, const struct pv_turns_way *way,
                                     uint8_t **ret_scratch);

/* Ends the message of a writer as output. A message that did not fit is taken back: it must be the
 * last output. */
void pv_turns_out_end(struct pv_turns *t, struct pv_turns_out *out, struct pv_stun_writer *w);

/* Takes len bytes out of a bucket that holds one second's worth. Returns true if there is no limit
 * (rate 0) or it is kept. A full bucket passes a datagram of any size, or a low limit would never
 * let large ones pass. */
bool pv_turns_out_may(uint32_t rate, struct pv_bucket *b, size_t len, pv_ns now);

/* Sends a copy of data from `peer` to a client: by channel c, or as a Data indication if c is NULL.
 */
void pv_turns_out_data(struct pv_turns *t, const struct pv_turns_alloc *to,
                       const struct pv_turns_chan *c, const struct pv_addr *peer,
                       struct pv_view data, pv_ns now);

/* --- turnallocs.c ----------------------------------------------------------------------------- */

/* Returns true if the address is one of members' virtual addresses. */
bool pv_turns_member_is_virtual(const struct pv_turns *t, const struct pv_addr *addr);

/* Writes the key of a member in t->members. It contains the network, because a node has an
 * allocation in each of its networks, and the networks must not reach each other. */
void pv_turns_member_id(const uint8_t *net, const struct pv_addr *addr,
                        uint8_t id[static PV_TURNS_MEMBER_KEY]);

/* Returns the member of this network with this virtual address and port; NULL: none. */
struct pv_turns_member *pv_turns_member_at(const struct pv_turns *t, const uint8_t *net,
                                           const struct pv_addr *addr);

/* Sets the time at which an offline member is forgotten: the end of its allocation, and at least
 * the grace that a reconnect takes. A member that is online has no deadline, as it may allocate at
 * any time. */
void pv_turns_member_rearm(struct pv_turns *t, struct pv_turns_member *m);

/* Makes an allocation of a member or of a static user at this 5-tuple, which must be free.
 * PV_ERR_LIMIT, PV_ERR_NOMEM. Room for its timer is made first, so nothing fails once it is in the
 * table. */
int pv_turns_alloc_new(struct pv_turns *t, const struct pv_turns_way *way,
                       struct pv_turns_member *member, struct pv_turns_account *user,
                       struct pv_turns_alloc **ret_alloc);

/* Returns the attached allocation of this 5-tuple; NULL: none. */
struct pv_turns_alloc *pv_turns_alloc_find(const struct pv_turns *t,
                                           const struct pv_turns_way *way);

/* Takes an allocation out of the table of 5-tuples; its client no longer finds it. */
void pv_turns_alloc_detach(struct pv_turns *t, struct pv_turns_alloc *a);

/* Returns the allocation that data from this 5-tuple belongs to; NULL: none. Data may use the
 * former 5-tuple for a while after a move. Requests may not: they are answered to the 5-tuple they
 * came from. */
struct pv_turns_alloc *pv_turns_alloc_of_data(const struct pv_turns *t,
                                              const struct pv_turns_way *way, pv_ns now);

/* Forgets the member's former 5-tuple: data from there belongs to nobody. */
void pv_turns_member_settled(struct pv_turns *t, struct pv_turns_member *m);

/* Moves a member's allocation to another 5-tuple, which must be free. PV_ERR_NOMEM: the allocation
 * is detached, and the client's next Allocate finds it with all its channels. */
int pv_turns_alloc_move(struct pv_turns *t, struct pv_turns_alloc *a,
                        const struct pv_turns_way *way, pv_ns now);

/* Frees an allocation with its channels, the links of other channels to them, its relay sockets and
 * its timer. */
void pv_turns_alloc_free(struct pv_turns *t, struct pv_turns_alloc *a);

/* Returns the channel with this number; NULL: none. */
struct pv_turns_chan *pv_turns_chan_by_number(const struct pv_turns_alloc *a, uint16_t number);

/* Returns the channel to this peer; NULL: none. A client mostly sends many datagrams to one peer,
 * so the channel found last is tried before the list. */
struct pv_turns_chan *pv_turns_chan_by_peer(struct pv_turns_alloc *a, const struct pv_addr *peer);

/* Returns the channel of this phone port's member to that peer; NULL: none, or it has expired and
 * is freed. */
struct pv_turns_chan *pv_turns_chan_by_phone_port(const struct pv_turns *t,
                                                  const struct pv_turns_relay *phone_port,
                                                  const struct pv_addr *peer);

/* Takes all channels of the allocation from its phone port, which was closed: another phone port
 * may get its number. */
void pv_turns_chan_leave_phone_port(struct pv_turns *t, struct pv_turns_alloc *a);

/* Binds a channel number to a peer, or refreshes the binding. PV_ERR_EXISTS: a static user's
 * number or peer is bound otherwise (RFC 8656 s12.2); PV_ERR_LIMIT, PV_ERR_NOMEM. A member's
 * newest binding replaces older ones, because the member may have forgotten them before a
 * restart (ours). */
int pv_turns_chan_bind(struct pv_turns *t, struct pv_turns_alloc *a, uint16_t number,
                       const struct pv_addr *peer, pv_ns now);

/* Returns the permission for this address; NULL: none. */
const struct pv_turns_perm *pv_turns_perm_of(const struct pv_turns_alloc *a,
                                             const struct pv_addr *ip, pv_ns now);

/* Drops expired permissions, and returns how many more the allocation may have. */
size_t pv_turns_perm_room(const struct pv_turns *t, struct pv_turns_alloc *a, pv_ns now);

/* Adds or refreshes a permission. PV_ERR_LIMIT, PV_ERR_NOMEM. The peer has been judged. `here` is
 * decided now: an otherwise forbidden address was allowed because it is relayed here, and for that
 * alone. */
int pv_turns_perm_add(struct pv_turns *t, struct pv_turns_alloc *a, const struct pv_addr *ip,
                      pv_ns now);

/* --- turnmembers.c ---------------------------------------------------------------------------- */

/* Ends the member's allocation, wipes and frees the member. */
void pv_turns_member_forget(struct pv_turns *t, struct pv_turns_member *m);

/* Returns the bytes a second that a member of this network may have, its network's limit or else
 * everybody's; 0: no limit. */
uint32_t pv_turns_policy_bandwidth(const struct pv_turns *t, const uint8_t *net);

/* Tries again to make members for which there was no memory. */
void pv_turns_member_meet(struct pv_turns *t);

/* --- turncreds.c ------------------------------------------------------------------------------ */

/* Authenticates a request and sets q->user or q->member. Returns false if the request has been
 * answered or must not be. The checks are in the order of RFC 8489 s9.2.4, which decides the error
 * of a request that is wrong in several ways, except that the nonce comes before the integrity. An
 * unknown user gets the same answer as a wrong password, so names cannot be found out. */
bool pv_turns_auth_check(struct pv_turns *t, struct pv_turns_req *q);

/* Begins an authenticated answer, which pv_turns_auth_end() ends; NULL: no room. */
struct pv_turns_out *pv_turns_auth_begin(struct pv_turns *t, const struct pv_turns_req *q,
                                         enum pv_stun_class cls, struct pv_stun_writer *w);

/* Ends an answer that pv_turns_auth_begin() began: signs it, and adds FINGERPRINT if the request
 * had it. */
void pv_turns_auth_end(struct pv_turns *t, const struct pv_turns_req *q, struct pv_turns_out *out,
                       struct pv_stun_writer *w);

/* Answers with an authenticated error. Its reason phrase is empty: clients go by the number, and a
 * shorter answer amplifies less. */
void pv_turns_auth_refuse(struct pv_turns *t, const struct pv_turns_req *q, unsigned code);

/* --- turnphone.c ------------------------------------------------------------------------------ */

/* Opens, keeps or closes the member's phone port, as an authenticated Allocate or Refresh wishes. A
 * port that could not be opened is reported once; the next wish tries again. If the operator has
 * lowered the limit, members that ask give theirs up. */
void pv_turns_phone_port_wish(struct pv_turns *t, const struct pv_turns_req *q,
                              struct pv_turns_alloc *a);

/* Writes the answer to the wish, if q has one: the address once the port is open, else a code as in
 * ADDRESS-ERROR-CODE (RFC 8656 s18.12); 0: it is being opened. */
void pv_turns_phone_port_put(const struct pv_turns *t, const struct pv_turns_req *q,
                             const struct pv_turns_alloc *a, struct pv_stun_writer *w);

/* Takes the owner's result of opening a phone port. If another program or a static user has the
 * port, the next port, which follows from the key too, is tried. */
void pv_turns_phone_port_opened(struct pv_turns *t, struct pv_turns_relay *r, int status);

/* Returns true if this member's allocation may have a channel to that peer through its phone port.
 */
bool pv_turns_phone_port_may_reach(const struct pv_turns *t, const struct pv_turns_alloc *a,
                                   const struct pv_addr *peer);

/* Takes a datagram that came in at phone port r. A member binds a channel to each peer that it
 * knows to be its phone; all others are strangers and share a small budget. */
void pv_turns_phone_port_in(struct pv_turns *t, const struct pv_turns_relay *r,
                            const struct pv_addr *peer, struct pv_view data, pv_ns now);

/* Takes a member's datagram to a peer beyond its phone port; c: the channel that it came in, NULL:
 * none. To an address from which nothing came of late goes just enough for handshakes, so this
 * machine cannot be used to send to strangers. */
void pv_turns_phone_port_out(struct pv_turns *t, const struct pv_turns_alloc *a,
                             const struct pv_turns_chan *c, const struct pv_addr *peer,
                             struct pv_view data, pv_ns now);

/* --- turndata.c ------------------------------------------------------------------------------- */

/* Takes a datagram of a relay socket. Its number may name no socket, if the socket was closed while
 * its datagrams were being read. */
void pv_turns_relay_from_peer(struct pv_turns *t, const struct pv_turns_in *in, pv_ns now);

/* Handles ChannelData (RFC 8656 s12.5). By UDP there may be padding behind the data, so the length
 * in the header counts. */
void pv_turns_relay_channel_data(struct pv_turns *t, const struct pv_turns_way *way, uint8_t *ptr,
                                 size_t len, pv_ns now);

/* Handles a Send indication (RFC 8656 s11.2). One with an unknown comprehension-required attribute
 * is dropped, because an indication gets no error. */
void pv_turns_relay_send(struct pv_turns *t, const struct pv_turns_way *way,
                         const struct pv_stun_msg *msg, pv_ns now);

/* --- turnrequests.c --------------------------------------------------------------------------- */

/* Answers the Allocate of a static user once its sockets are there (code 0), or with an error. The
 * request is gone by now: the answer is made of its transaction id and signing method, which the
 * allocation kept. */
void pv_turns_request_allocated(struct pv_turns *t, struct pv_turns_alloc *a, unsigned code,
                                pv_ns now);

/* Authenticates and answers one request. Unknown methods get no answer, not even a request for
 * credentials. */
void pv_turns_request_handle(struct pv_turns *t, struct pv_turns_req *q);
