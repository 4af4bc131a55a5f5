/* SPDX-License-Identifier: MIT */
/* turns.c - the TURN server. Each section calls only those above it: relay sockets of static
 * users and what all use; allocations, channels, permissions; who sent a request; members'
 * phone ports; the way of relayed datagrams; requests; members; and the whole: making and freeing,
 * the batch, time. */
#include "coordinator/core/turn/turns.h"

#include <stdlib.h>
#include <string.h>

#include "base/bucket.h"
#include "base/bytes.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/vec.h"
#include "coordinator/core/turn/stuns.h"
#include "coordinator/core/turn/turnpeer.h"
#include "coordinator/core/turn/turntab.h"
#include "crypto/ct.h"
#include "crypto/sign.h"
#include "proto/stun/demux.h"
#include "proto/stun/stun.h"
#include "proto/stun/turn.h"

enum {
    WAY_KEY =
        52, /* bytes: stream 8, socket 4, family 2, port 2, address 16, own address 16, 4 free */
    MEMBER_KEY = PV_TURNAUTH_NET_LEN + 8, /* network id, last half of the virtual address */
    MEMBER_WHO = PV_TURNAUTH_MEMBER_LEN,  /* network id, node pk */
    MEMBER_USER = 16, /* characters of a member's user name (turnauth.c: 12 bytes in base64url) */
    PLACE_KEY = 20,   /* bytes: family 2, port 2, address 16 */
    PHONE_PORT_KEY =
        4 + PLACE_KEY, /* bytes: number of the phone port's socket, place of the peer */
    TOKEN_LEN = 8,     /* bytes of a RESERVATION-TOKEN, RFC 8656 s18.10 */
    SHOWN_MAX = 64,    /* ours: addresses that relay sockets show at one time */
    /* Bytes of an output: the longest data in a Data indication with its header and attributes. */
    SCRATCH = PV_TURNS_DATAGRAM_MAX + 128,
    /* RFC 5766 clients take channel numbers up to 0x7FFF; nothing else on these ports begins so. */
    CHANNEL_MAX = 0x7FFF,
};

/* The 5-tuple of a client. */
struct way {
    uint8_t key[WAY_KEY]; /* all of the 5-tuple, for the tables */
    uint64_t stream;      /* the connection, whose transport is TCP; 0: UDP */
    uint32_t sock;        /* UDP: the owner's number of the socket */
    struct pv_addr src;   /* of the client */
    struct pv_addr local; /* to which the client sends; without port, which follows from sock */
};

/* A timer that says to what it belongs. */
enum timer_kind {
    TIMER_MEMBER,
    TIMER_ALLOC,
    TIMER_RELAY,
};
struct timer {
    struct pv_heap_node node;
    enum timer_kind kind;
};

struct alloc;

/* A channel of an allocation (RFC 8656 s12). */
struct chan {
    struct chan *next;    /* of the same allocation */
    struct alloc *owner;  /* the allocation */
    struct chan *reverse; /* members: the peer's channel back to the owner; NULL: none known */
    struct pv_addr peer;
    uint16_t number;
    pv_ns until; /* it expires then */

    /* To a peer beyond its owner's phone port, of which the table `phone_port_peers` has
     * PV_TURNS_PHONE_PORT_PEERS at most; none of a phone port that is closed. */
    bool at_phone_port;                 /* it is in the table */
    uint8_t phone_port[PHONE_PORT_KEY]; /* its key there */
    pv_ns heard;                        /* when the peer last sent; 0: never */
};

/* A permission of a static user's allocation (RFC 8656 s9). */
struct perm {
    struct pv_addr ip; /* of the peer; port 0 */
    pv_ns until;       /* it expires then */
    bool here;         /* good for what is relayed here only: the address is otherwise forbidden */
};

/* A static user, from the configuration. */
struct user {
    char name[PV_TURNAUTH_USER_BUF];
    uint8_t hash[PV_SHA256_LEN]; /* USERHASH */
    struct pv_turnauth_key key;  /* made of the password */
    uint32_t n_allocs;           /* allocations now, for the quota */
    uint32_t n_reserved;         /* odd ports held for a later allocation, or promised to one */
    uint32_t n_socks;            /* relay sockets, of allocations and reserved */
    struct pv_bucket up, down;   /* bandwidth to peers and to clients, of all its allocations */
};

/* A member of a network, as its welcome made it known. */
struct member {
    uint8_t id[MEMBER_KEY];            /* key of the table `members` */
    uint8_t user[MEMBER_USER];         /* key of the table `by_user` */
    uint8_t who[MEMBER_WHO];           /* network id and node pk */
    struct pv_addr addr;               /* its relayed address, which is virtual */
    struct pv_turnauth_key key;        /* made of the password in its welcome */
    uint32_t serial;                   /* of the nonce of its last welcome */
    bool spent;                        /* that nonce has allocated */
    uint8_t spent_by[WAY_KEY];         /* spent: the 5-tuple for which the nonce is good since */
    bool online;                       /* its control channel is up */
    pv_ns offline_at;                  /* not online: since when */
    struct alloc *alloc;               /* its allocation; NULL: none */
    uint8_t former[WAY_KEY];           /* the 5-tuple that the allocation had before it moved */
    pv_ns former_until;                /* data from `former` counts until then; 0: there is none */
    uint32_t bandwidth;                /* bytes a second, of its network; 0: no limit */
    struct pv_bucket up, down;         /* bandwidth from it and to it */
    struct pv_bucket unsigned_answers; /* to its 5-tuple: a nonce that has expired, above all */
    struct pv_bucket strangers; /* messages that came in at its phone port from no channel's peer */
    struct pv_bucket knocks;    /* bytes out of it to whoever has not sent */
    struct pv_bucket phone_port_opens; /* phone ports that it asked for */
    struct timer timer;                /* offline: the end of its allocation, and of this */
};

enum relay_state {
    RELAY_WANTED,  /* queued to be opened */
    RELAY_ASKED,   /* the owner is opening it */
    RELAY_OPEN,    /* it relays */
    RELAY_CLOSING, /* queued to be closed, then forgotten */
};

/* An address that relay sockets of allocations show. */
struct shown {
    struct pv_addr ip; /* port 0 */
    uint32_t n;        /* sockets that show it; 0: this place is free */
};

/* A relay socket. */
struct relay {
    uint32_t sock; /* its number, from PV_TURNS_RELAY0 on */
    enum relay_state state;
    struct pv_addr bind;       /* with port */
    struct pv_addr shown;      /* what the client is told; port as bind */
    uint8_t place[PLACE_KEY];  /* open: `shown` as key of the table `by_place` */
    struct shown *counted;     /* where `shown` is counted; NULL: nowhere */
    struct alloc *alloc;       /* NULL: reserved, or being closed */
    struct user *holder;       /* whose sockets it counts among; NULL: being closed, a phone port */
    bool is_phone_port;        /* of the member that has alloc */
    bool promised;             /* it counts among the holder's reserved ports */
    struct relay *pair;        /* EVEN-PORT with R: the other of the two, until both are open */
    bool even;                 /* its port has to be even */
    bool reserve;              /* the odd port above is still to be opened */
    unsigned tries;            /* ports that were taken */
    uint8_t token[TOKEN_LEN];  /* reserved: the token that its next client has to show */
    struct timer timer;        /* reserved: the end of that */
    struct relay *prev, *next; /* in the queue of what the owner has to do */
    bool queued;               /* it stands in that queue */
};

/* An allocation (RFC 8656 s3.2): of a member or of a static user. */
struct alloc {
    struct way way;                 /* key first: the table's */
    bool attached;                  /* in the table of ways */
    struct member *member;          /* NULL: it is a static user's */
    struct user *user;              /* NULL: it is a member's */
    uint8_t txid[PV_STUN_TXID_LEN]; /* of the Allocate that made it, RFC 8656 s7.2 */
    pv_ns until;                    /* its lifetime ends then */
    struct chan *chans;             /* list of its channels */
    struct chan **by_number;        /* index of them, open addressing */
    size_t n_slots;                 /* of by_number: 0 or a power of two */
    size_t n_chans;
    struct chan *last; /* the channel that was last found by its peer */

    /* Members. */
    struct relay *phone_port;  /* NULL: none */
    uint16_t phone_port_error; /* why there is none though it was asked for; 0: nothing was amiss */
    bool phone_port_failed;    /* it could not be opened, which is still to be told */

    /* Static users. */
    struct timer timer;
    struct perm *perms;
    size_t n_perms, cap_perms;
    struct relay *relays[2]; /* IPv4, IPv6; NULL: no relayed address of that family */
    bool pending;            /* not answered yet: sockets are being opened */
    bool sha256;             /* the Allocate is answered with MESSAGE-INTEGRITY-SHA256 */
    bool sha_key;            /* the key of that answer is made with SHA-256 */
    bool fingerprint;        /* that answer has FINGERPRINT */
    bool has_token;          /* a port was reserved for it */
    uint8_t token[TOKEN_LEN];
    uint16_t family_error; /* of the additional family, 0: none */
    bool old_numbers;      /* that error is told by the attribute number from before RFC 8656 */
};

enum {
    UNMET_MAX = 64, /* ours: about 3 KiB */
};

/* A member that is online, and for which there was no memory. */
struct unmet {
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
    struct user *users;
    size_t n_users;

    struct unmet unmet[UNMET_MAX]; /* oldest first */
    size_t n_unmet;

    struct pv_turntab ways;             /* struct alloc by way.key */
    struct pv_turntab formers;          /* struct member by former */
    struct pv_turntab members;          /* struct member by id */
    struct pv_turntab by_user;          /* struct member by user */
    struct pv_turntab by_token;         /* reserved struct relay by token */
    struct pv_turntab by_place;         /* open struct relay by place; no phone ports */
    struct pv_turntab phone_port_peers; /* struct chan by phone port */
    struct pv_heap timers;
    size_t n_allocs; /* attached or not */

    struct relay **relays; /* limits.relays slots, by sock - PV_TURNS_RELAY0 */
    size_t n_relays;       /* slots in use */
    size_t next_relay;     /* the slot at which the search for a free one begins */
    struct shown shown[SHOWN_MAX];
    struct relay *ops; /* what the owner has to do */

    uint32_t n_phone_ports; /* opened or being opened */
    struct pv_bucket_table *phone_port_sources;
    uint8_t phone_port_key[PV_BLAKE2B_LEN]; /* as in pv_turns_config */

    uint64_t next_txid; /* of Data indications */
    struct pv_relaystats stats;
    struct pv_turns_out out[PV_TURNS_BATCH]; /* n_out of them are to be sent */
    size_t n_out;
    uint8_t (*scratch)[SCRATCH]; /* one an output */
};

/* A request under way. */
struct req {
    const struct way *way;
    const struct pv_stun_msg *msg;
    pv_ns now;
    bool fingerprint;      /* the answer has FINGERPRINT, as the request has */
    struct user *user;     /* authenticated as this static user; NULL: as a member */
    struct member *member; /* authenticated as this member; NULL: as a static user */
    bool sha256;           /* the answer has MESSAGE-INTEGRITY-SHA256 */
    bool sha_key;          /* the key is made by SHA-256 */
    bool unspent;          /* its nonce is welcome's, and has not allocated yet */
};

static inline size_t family_of(const struct pv_addr *a)
{
    return a->family == PV_AF_INET6 ? 1 : 0;
}

/* Each reason for a drop has a counter of its own: "it does not work" becomes a name in `status`.
 */
static void count(struct pv_turns *t, enum pv_relaystat what)
{
    pv_relaystat_add(&t->stats, what, 1);
}

/* Room in the heap of timers for one more thing that has one. PV_ERR_NOMEM. The room is made
 * before anything is added, so setting a timer cannot fail in the middle of a change. */
static int turns_reserve(struct pv_turns *t)
{
    return pv_heap_reserve(&t->timers, t->members.n + t->n_allocs + t->n_relays + 1);
}

static void member_meet(struct pv_turns *t);

/* --- the queue of what the owner has to do --------------------------------------------------- */

/* A socket stands in the queue once. When it is closed before anybody polled, the owner is only
 * told to close it. */
static void enqueue(struct pv_turns *t, struct relay *r)
{
    if (r->queued)
        return;
    r->queued = true;
    PV_LIST_ADD(t->ops, r);
}

/* The number is free again only now, when the owner knows that the socket is to be closed. */
static void free_relay(struct pv_turns *t, struct relay *r)
{
    t->relays[r->sock - PV_TURNS_RELAY0] = NULL;
    t->n_relays--;
    pv_relaystat_set(&t->stats, PV_RELAYSTAT_SOCKETS, t->n_relays);
    free(r);
}

/* Closing needs no answer, so the socket is forgotten as soon as the owner has been told. */
int pv_turns_poll_socket(struct pv_turns *t, struct pv_turns_socket *ret_op)
{
    struct relay *r = t->ops;
    if (r == NULL)
        return PV_ERR_AGAIN;
    PV_LIST_DEL(t->ops, r);
    r->queued = false;
    ret_op->sock = r->sock;
    ret_op->open = r->state != RELAY_CLOSING;
    ret_op->addr = r->bind;
    if (ret_op->open)
        r->state = RELAY_ASKED;
    else
        free_relay(t, r);
    return PV_OK;
}

/* --- addresses and ports --------------------------------------------------------------------- */

/* Returns the address to which a relay socket of that family is bound; PV_AF_NONE: there is none.
 * On a machine with several, the address that the client reached is the best guess for one that its
 * peers reach. */
static struct pv_addr bind_addr(const struct pv_turns *t, size_t family,
                                const struct pv_addr *local)
{
    if (t->relay_bind[family].family != PV_AF_NONE)
        return t->relay_bind[family];
    if (pv_addr_ip_len(local) > 0 && family_of(local) == family)
        return *local;
    return t->relay_other[family];
}

/* Can relay sockets of this family (0, 1) be had for a client that sent to `local`? */
static bool relay_can(const struct pv_turns *t, size_t family, const struct pv_addr *local)
{
    return bind_addr(t, family, local).family != PV_AF_NONE;
}

/* Where that is bound, and what strangers are told, without ports. */
static void relay_locate(const struct pv_turns *t, struct relay *r, size_t family,
                         const struct pv_addr *local)
{
    const struct pv_addr *shown = &t->policy.relay_public[family];
    r->bind = bind_addr(t, family, local);
    r->shown = shown->family != PV_AF_NONE ? *shown : r->bind;
}

/* It stands in files that nobody changes when a program restarts, so it is made of what stays:
 * network and key of the member, and a secret, or a member could make keys until one has the port
 * of another's phone port. */
static uint32_t draw_of_phone_port(const struct pv_turns *t, const struct relay *r, uint32_t n)
{
    const uint8_t tries = (uint8_t)r->tries;
    uint8_t hash[PV_BLAKE2B_LEN];
    pv_blake2b(hash, pv_view(t->phone_port_key, sizeof(t->phone_port_key)),
               pv_view(r->alloc->member->who, MEMBER_WHO), pv_view(&tries, 1));
    return pv_load_be32(hash) % n;
}

/* Draws a port of the range, an even one where that is wanted; a phone port's follows from its
 * member's key. The port is random over the whole range (RFC 8656 s7.2, RFC 6056): a stranger
 * who wants to send to a relayed address first has to find it. */
static void relay_choose_port(struct pv_turns *t, struct relay *r)
{
    uint32_t n = (uint32_t)t->policy.port_hi - t->policy.port_lo + 1;
    uint32_t draw = r->is_phone_port ? draw_of_phone_port(t, r, n) : pv_rng_below(&t->rng, n);
    uint16_t port = (uint16_t)(t->policy.port_lo + draw);
    if (r->even && port % 2 == 1)
        port = port == t->policy.port_lo ? (uint16_t)(port + 1) : (uint16_t)(port - 1);
    r->bind.port = port;
    r->shown.port = port;
}

/* A pair needs an odd port of the range above the even one. */
static bool relay_port_fits(const struct pv_turns *t, const struct relay *r)
{
    uint16_t last = r->bind.port;
    if (r->reserve)
        last++;
    return r->bind.port >= t->policy.port_lo && last <= t->policy.port_hi &&
           (!r->even || r->bind.port % 2 == 0);
}

/* For its answer (turns.c), which repeats and completes what relay_want() began. Numbers are
 * used again late, since the search goes on behind the last one: a datagram under way must not
 * meet another allocation. A free slot exists, for there are as many slots as sockets may be. */
static int relay_new(struct pv_turns *t, struct relay **ret_relay)
{
    if (t->n_relays >= t->limits.relays)
        return PV_ERR_LIMIT;
    while (t->relays[t->next_relay] != NULL)
        t->next_relay = (t->next_relay + 1) % t->limits.relays;
    struct relay *r = calloc(1, sizeof(*r));
    if (r == NULL || turns_reserve(t) < 0) {
        free(r);
        return PV_ERR_NOMEM;
    }
    r->sock = (uint32_t)(PV_TURNS_RELAY0 + t->next_relay);
    r->timer.kind = TIMER_RELAY;
    t->relays[t->next_relay] = r;
    t->n_relays++;
    pv_relaystat_set(&t->stats, PV_RELAYSTAT_SOCKETS, t->n_relays);
    t->next_relay = (t->next_relay + 1) % t->limits.relays;
    *ret_relay = r;
    return PV_OK;
}

/* Queues it to be opened by the owner. */
static void relay_ask(struct pv_turns *t, struct relay *r)
{
    r->state = RELAY_WANTED;
    enqueue(t, r);
}

/* A reserved port counts from the request on that asks for it, so that many at once find the
 * limit. */
static void hold(struct relay *r, struct user *user, bool promised)
{
    r->holder = user;
    r->promised = promised;
    user->n_socks++;
    user->n_reserved += promised ? 1 : 0;
}

static void let_go(struct relay *r)
{
    if (r->holder == NULL)
        return;
    r->holder->n_socks--;
    r->holder->n_reserved -= r->promised ? 1 : 0;
    r->holder = NULL;
    r->promised = false;
}

/* The odd port that was promised to r's request is kept by odd from now on, for the same user. */
static void relay_hand_on(struct relay *r, struct relay *odd)
{
    struct user *user = r->holder;
    hold(odd, user, r->promised);
    let_go(r);
    hold(r, user, false);
}

/* A relay socket for a's family; it is asked for. PV_ERR_LIMIT, PV_ERR_NOMEM. R is the
 * allocation's from now on, open or not: the end of the allocation closes it. */
static int relay_want(struct pv_turns *t, struct alloc *a, size_t family, bool even, bool reserve)
{
    struct relay *r = NULL;
    int e = relay_new(t, &r);
    if (e < 0)
        return e;
    relay_locate(t, r, family, &a->way.local);
    r->alloc = a;
    hold(r, a->user, reserve);
    r->even = even;
    r->reserve = reserve;
    a->relays[family] = r;
    relay_choose_port(t, r);
    relay_ask(t, r);
    return PV_OK;
}

/* --- relays of this server as peers ---------------------------------------------------------- */

/* Writes family, port and address as the key of a table. */
static void place_of(const struct pv_addr *a, uint8_t key[static PLACE_KEY])
{
    pv_store_be16(key, a->family);
    pv_store_be16(key + 2, a->port);
    memcpy(key + 4, a->ip, 16);
}

static bool is_shown_at(const struct shown *s, const struct pv_addr *ip)
{
    return s->n > 0 && pv_addr_equal_ip(&s->ip, ip);
}

/* Counts the sockets that show an address, to answer whether anybody relays there (permissions are
 * by address without a port, RFC 8656 s9). A machine has few addresses; one that finds no place in
 * the list is only not found as a neighbour. */
static void count_shown(struct pv_turns *t, struct relay *r)
{
    struct shown *free_one = NULL;
    for (size_t i = 0; i < SHOWN_MAX && r->counted == NULL; i++) {
        if (is_shown_at(&t->shown[i], &r->shown))
            r->counted = &t->shown[i];
        else if (t->shown[i].n == 0 && free_one == NULL)
            free_one = &t->shown[i];
    }
    if (r->counted == NULL && free_one != NULL) {
        free_one->ip = r->shown;
        r->counted = free_one;
    }
    if (r->counted != NULL)
        r->counted->n++;
}

/* The open relay socket that shows this address, NULL: none. Address and port name exactly one
 * open socket. */
static struct relay *relay_at(const struct pv_turns *t, const struct pv_addr *shown)
{
    uint8_t key[PLACE_KEY];
    place_of(shown, key);
    return pv_turntab_find(&t->by_place, key);
}

/* It is open: found by what it shows from now on. */
static void relay_set_open(struct pv_turns *t, struct relay *r)
{
    r->state = RELAY_OPEN;
    if (r->alloc != NULL)
        count_shown(t, r);
    place_of(&r->shown, r->place);
    /* Without memory, or when two bound addresses show the same one, it is reached from outside
     * only. */
    if (relay_at(t, &r->shown) == NULL)
        (void)!pv_turntab_add(&t->by_place, r);
}

/* Is this peer relayed here itself, for another allocation than a? exact: this very address,
 * else any of its IP address. Two clients that both need the relay meet so; nothing else of the
 * coordinator is reached, for what they say to each other never leaves it. An
 * allocation's own sockets do not count as its neighbours, or a client could make this server
 * relay to itself by way of its own address. */
static bool relay_is_neighbour(const struct pv_turns *t, const struct alloc *a,
                               const struct pv_addr *peer, bool exact)
{
    if (exact) {
        const struct relay *r = relay_at(t, peer);
        return r != NULL && r->alloc != NULL && r->alloc != a;
    }
    uint32_t own = 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(a->relays); i++)
        own += a->relays[i] != NULL && a->relays[i]->counted != NULL &&
               is_shown_at(a->relays[i]->counted, peer);
    for (size_t i = 0; i < SHOWN_MAX; i++) {
        if (is_shown_at(&t->shown[i], peer))
            return t->shown[i].n > own;
    }
    return false;
}

/* --- reservations, closing ------------------------------------------------------------------- */

/* The reserved socket of a token, now a's; NULL: none. A token is good once. */
static struct relay *relay_redeem(struct pv_turns *t, struct alloc *a,
                                  const uint8_t token[static TOKEN_LEN])
{
    struct relay *r = pv_turntab_find(&t->by_token, token);
    if (r == NULL)
        return NULL;
    pv_turntab_del(&t->by_token, r);
    pv_heap_set(&t->timers, &r->timer.node, PV_NEVER);
    r->alloc = a;
    let_go(r);
    hold(r, a->user, false);
    count_shown(t, r);
    a->relays[family_of(&r->bind)] = r;
    return r;
}

/* The other half of a pair ends with it when nobody has it yet. It leaves all tables at once, so
 * nothing finds it while it waits in the queue. */
static void relay_close(struct pv_turns *t, struct relay *r)
{
    if (r->pair != NULL) {
        struct relay *other = r->pair;
        other->pair = NULL;
        r->pair = NULL;
        if (other->alloc == NULL)
            relay_close(t, other);
    }
    if (pv_turntab_find(&t->by_token, r->token) == r)
        pv_turntab_del(&t->by_token, r);
    pv_turntab_del(&t->by_place, r);
    if (r->counted != NULL)
        r->counted->n--;
    r->counted = NULL;
    if (r->is_phone_port)
        pv_relaystat_set(&t->stats, PV_RELAYSTAT_PHONE_PORTS, --t->n_phone_ports);
    let_go(r);
    pv_heap_set(&t->timers, &r->timer.node, PV_NEVER);
    r->alloc = NULL;
    r->state = RELAY_CLOSING; /* a socket that was never asked for: closing it does nothing */
    enqueue(t, r);
}

/* --- output ---------------------------------------------------------------------------------- */

/* The next output and its scratch; NULL when there is no more room in this call. Each output has
 * its own scratch, because several of one batch are sent together, after the last of them was
 * written. */
static struct pv_turns_out *out_new(struct pv_turns *t, uint8_t **ret_scratch)
{
    if (t->n_out == PV_TURNS_BATCH)
        return NULL;
    if (ret_scratch != NULL)
        *ret_scratch = t->scratch[t->n_out];
    return &t->out[t->n_out++];
}

/* The same, addressed to a client. */
static struct pv_turns_out *out_to(struct pv_turns *t, const struct way *way, uint8_t **ret_scratch)
{
    struct pv_turns_out *out = out_new(t, ret_scratch);
    if (out != NULL)
        *out = (struct pv_turns_out){
            .dst = way->src, .local = way->local, .sock = way->sock, .stream = way->stream};
    return out;
}

/* Finishes a message of a writer as output, or takes it back. A message that did not fit, or
 * whose attribute was too long, is taken back: it must be the last output, which holds as
 * nothing else is begun in between. */
static void out_end(struct pv_turns *t, struct pv_turns_out *out, struct pv_stun_writer *w)
{
    size_t len = 0;
    if (pv_stun_write_end(w, &len) == PV_OK)
        out->data = pv_view(w->buf, len);
    else
        t->n_out--; /* it was the last one */
}

const struct pv_turns_out *pv_turns_out(const struct pv_turns *t, size_t *ret_n)
{
    *ret_n = t->n_out;
    return t->out;
}

void pv_turns_sent(struct pv_turns *t)
{
    t->n_out = 0;
}

/* Takes a datagram out of a bucket of bytes that holds a second's worth. True: there is no limit
 * (rate 0), or it is kept. At least one datagram of any size: with a low limit large ones would
 * never pass. */
static bool out_may(uint32_t rate, struct pv_bucket *b, size_t len, pv_ns now)
{
    return rate == 0 || pv_bucket_take(b, rate, rate > 65536 ? rate : 65536, (uint32_t)len, now);
}

/* The transaction id of a Data indication (RFC 8656 s11.4) means nothing; ours are counted, so that
 * captures can be read. */
static void put_indication(struct pv_turns *t, const struct alloc *to, const struct pv_addr *peer,
                           struct pv_view data)
{
    uint8_t txid[PV_STUN_TXID_LEN] = {'p', 'v'};
    uint8_t *buf = NULL;
    struct pv_turns_out *out = out_to(t, &to->way, &buf);
    struct pv_stun_writer w;
    if (out == NULL)
        return;
    pv_store_be64(txid + 4, t->next_txid++);
    pv_stun_write_begin(&w, buf, SCRATCH, PV_STUN_INDICATION, PV_TURN_DATA, txid);
    pv_stun_put_xor_addr(&w, PV_TURN_ATTR_XOR_PEER_ADDRESS, peer);
    pv_stun_put(&w, PV_TURN_ATTR_DATA, data);
    out_end(t, out, &w);
}

/* Data of `peer` for a client by one of its channels, else as a Data indication. It is copied. c:
 * the channel, NULL: none. */
static void out_data(struct pv_turns *t, const struct alloc *to, const struct chan *c,
                     const struct pv_addr *peer, struct pv_view data, pv_ns now)
{
    uint8_t *buf = NULL;
    if (c == NULL || c->until <= now) {
        put_indication(t, to, peer, data);
        return;
    }
    struct pv_turns_out *out = out_to(t, &to->way, &buf);
    if (out == NULL)
        return;
    pv_turn_channel_header(buf, c->number, (uint16_t)data.len);
    memcpy(buf + PV_TURN_CHANNEL_HEADER, data.ptr, data.len);
    out->data = pv_view(buf, data.len + PV_TURN_CHANNEL_HEADER);
}

/* --- members by address ---------------------------------------------------------------------- */

static bool member_is_virtual(const struct pv_turns *t, const struct pv_addr *addr)
{
    return addr->family == PV_AF_INET6 && memcmp(addr->ip, t->prefix, sizeof(t->prefix)) == 0;
}

/* The key of a member in t->members. The network is in the key: the same node has an allocation
 * in each of its networks, and nobody reaches the other network's by its address. */
static void member_id(const uint8_t *net, const struct pv_addr *addr, uint8_t id[static MEMBER_KEY])
{
    memcpy(id, net, PV_TURNAUTH_NET_LEN);
    memcpy(id + PV_TURNAUTH_NET_LEN, addr->ip + 8, 8); /* the other half is the same for all */
}

/* The member of this network with this virtual address; NULL: none. Any other port is not a
 * member: members have one relayed address, at a fixed port. */
static struct member *member_at(const struct pv_turns *t, const uint8_t *net,
                                const struct pv_addr *addr)
{
    uint8_t id[MEMBER_KEY];
    if (!member_is_virtual(t, addr) || addr->port != PV_TURN_VIRTUAL_PORT)
        return NULL;
    member_id(net, addr, id);
    return pv_turntab_find(&t->members, id);
}

/* Sets the time at which an offline member is forgotten. A member that is online has no
 * deadline: it may allocate at any time. Offline, it is remembered as long as its allocation
 * lives, and at least for the grace that a reconnect takes. */
static void member_rearm(struct pv_turns *t, struct member *m)
{
    pv_ns until = PV_NEVER;
    if (!m->online) {
        until = m->offline_at + PV_S(PV_TURNS_GRACE_S);
        if (m->alloc != NULL && m->alloc->until > until)
            until = m->alloc->until;
    }
    pv_heap_set(&t->timers, &m->timer.node, until);
}

/* --- allocations, channels, permissions ------------------------------------------------------ */

enum {
    SLOTS_MIN = 8, /* of the first index of channels: a client of few peers needs no more */
    PERMS_MIN = 4, /* of the first list of permissions */
};
/* Ours: datagrams that are under way when an allocation moves have arrived or are lost by then. */
#define FORMER_TIME PV_S(5)

/* --- allocations ----------------------------------------------------------------------------- */

/* Counts an allocation up or down, for other threads. This thread is the only writer, so reading
 * and storing apart is safe. */
static void show_count(struct pv_turns *t, const struct user *user, int change)
{
    enum pv_relaystat what =
        user != NULL ? PV_RELAYSTAT_STATIC_ALLOCATIONS : PV_RELAYSTAT_MEMBER_ALLOCATIONS;
    uint64_t n = pv_relaystat_get(&t->stats, what);
    pv_relaystat_set(&t->stats, what, change > 0 ? n + 1 : n - 1);
    if (user != NULL)
        pv_relaystat_add_user(&t->stats, (size_t)(user - t->users), PV_RELAYSTAT_USER_ALLOCATIONS,
                              change);
}

/* An allocation of a member or static user at this way, which must be free. PV_ERR_LIMIT,
 * PV_ERR_NOMEM. Room for its timer is made first, so nothing can fail once the allocation is in
 * the table. */
static int alloc_new(struct pv_turns *t, const struct way *way, struct member *member,
                     struct user *user, struct alloc **ret_alloc)
{
    struct alloc *a = calloc(1, sizeof(*a));
    if (a == NULL || turns_reserve(t) < 0) {
        free(a);
        return PV_ERR_NOMEM;
    }
    a->way = *way;
    a->member = member;
    a->user = user;
    a->timer.kind = TIMER_ALLOC;
    int r = pv_turntab_add(&t->ways, a);
    if (r < 0) {
        free(a);
        return r;
    }
    a->attached = true;
    t->n_allocs++;
    if (user != NULL)
        user->n_allocs++;
    show_count(t, user, 1);
    *ret_alloc = a;
    return PV_OK;
}

/* A detached allocation is not found: its client is known, but not where it is. */
static struct alloc *alloc_find(const struct pv_turns *t, const struct way *way)
{
    return pv_turntab_find(&t->ways, way->key);
}

static void alloc_detach(struct pv_turns *t, struct alloc *a)
{
    if (a->attached)
        pv_turntab_del(&t->ways, a);
    a->attached = false;
}

/* The allocation that data from there belongs to: it is there, or has just moved away. Data may
 * come by the old way for a while after a move (remember_former). Requests may not: these are
 * answered to the way they came by. */
static struct alloc *alloc_of_data(const struct pv_turns *t, const struct way *way, pv_ns now)
{
    struct alloc *a = alloc_find(t, way);
    if (a != NULL)
        return a;
    const struct member *m = pv_turntab_find(&t->formers, way->key);
    return m == NULL || m->former_until <= now ? NULL : m->alloc;
}

/* Data from the member's former 5-tuple is nobody's from now on. */
static void member_settled(struct pv_turns *t, struct member *m)
{
    if (m->former_until != 0)
        pv_turntab_del(&t->formers, m);
    m->former_until = 0;
}

/* A client whose NAT gave it another port goes on sending by the old one until it hears of the new
 * one. Somebody else may have had that way before: the newest counts, for it is who sends there
 * now. */
static void remember_former(struct pv_turns *t, const struct alloc *a, pv_ns now)
{
    struct member *m = a->member;
    struct member *other = pv_turntab_find(&t->formers, a->way.key);
    member_settled(t, m);
    if (other != NULL)
        member_settled(t, other);
    memcpy(m->former, a->way.key, sizeof(m->former));
    if (pv_turntab_add(&t->formers, m) == PV_OK) /* without memory it is lost, as on the network */
        m->former_until = now + FORMER_TIME;
}

/* Moves a member's to another 5-tuple, which must be free. PV_ERR_NOMEM: it is detached. Without
 * memory the allocation stays, detached: the client's next Allocate finds it again with all its
 * channels. */
static int alloc_move(struct pv_turns *t, struct alloc *a, const struct way *way, pv_ns now)
{
    if (a->attached && a->member != NULL)
        remember_former(t, a, now);
    alloc_detach(t, a);
    a->way = *way;
    int r = pv_turntab_add(&t->ways, a);
    a->attached = r == PV_OK;
    return r;
}

/* Both ends of a pair point to each other; whichever ends first leaves nothing behind in the
 * other. */
static void unlink_reverse(struct chan *c)
{
    if (c->reverse != NULL)
        c->reverse->reverse = NULL;
    c->reverse = NULL;
}

static void leave_phone_port(struct pv_turns *t, struct chan *c)
{
    if (c->at_phone_port)
        pv_turntab_del(&t->phone_port_peers, c);
    c->at_phone_port = false;
}

static void free_chan(struct pv_turns *t, struct chan *c)
{
    unlink_reverse(c);
    leave_phone_port(t, c);
    free(c);
}

/* With all that it has. Frees an allocation with its channels, the shortcuts of others to them,
 * its relay sockets and its timer. */
static void alloc_free(struct pv_turns *t, struct alloc *a)
{
    alloc_detach(t, a);
    while (a->chans != NULL) {
        struct chan *c = a->chans;
        a->chans = c->next;
        free_chan(t, c);
    }
    if (a->phone_port != NULL)
        relay_close(t, a->phone_port);
    for (size_t i = 0; i < PV_ARRAY_LEN(a->relays); i++) {
        if (a->relays[i] != NULL)
            relay_close(t, a->relays[i]);
    }
    if (a->member != NULL)
        a->member->alloc = NULL;
    if (a->user != NULL)
        a->user->n_allocs--;
    show_count(t, a->user, -1);
    pv_heap_set(&t->timers, &a->timer.node, PV_NEVER);
    t->n_allocs--;
    free(a->by_number);
    free(a->perms);
    free(a);
}

/* --- channels -------------------------------------------------------------------------------- */

/* The numbers of a client's channels count up, so they are spread (Fibonacci hashing, Knuth 6.4).
 * The index is at most half full, so the search finds a free slot. */
static size_t slot_of(const struct alloc *a, uint16_t number)
{
    size_t i = (number * 0x9e37u >> 4) & (a->n_slots - 1);
    while (a->by_number[i] != NULL && a->by_number[i]->number != number)
        i = (i + 1) & (a->n_slots - 1);
    return i;
}

static struct chan *chan_by_number(const struct alloc *a, uint16_t number)
{
    return a->n_slots == 0 ? NULL : a->by_number[slot_of(a, number)];
}

/* The list is searched, but a client mostly talks to one peer for many datagrams: that one is found
 * without a search. */
static struct chan *chan_by_peer(struct alloc *a, const struct pv_addr *peer)
{
    if (a->last != NULL && pv_addr_equal(&a->last->peer, peer))
        return a->last;
    for (struct chan *c = a->chans; c != NULL; c = c->next) {
        if (pv_addr_equal(&c->peer, peer)) {
            a->last = c;
            return c;
        }
    }
    return NULL;
}

/* Makes the index anew with n_slots; the list of channels is what counts, so nothing is lost when
 * there is no memory. */
static int reindex(struct alloc *a, size_t n_slots)
{
    struct chan **slots = calloc(n_slots, sizeof(struct chan *));
    if (slots == NULL)
        return PV_ERR_NOMEM;
    free(a->by_number);
    a->by_number = slots;
    a->n_slots = n_slots;
    for (struct chan *c = a->chans; c != NULL; c = c->next)
        slots[slot_of(a, c->number)] = c;
    return PV_OK;
}

/* Drops channels whose time is over. The index keeps its size, so this cannot fail; it is filled
 * anew, since taking entries out of a run of open addressing would hide those behind them. */
static void drop_expired_channels(struct pv_turns *t, struct alloc *a, pv_ns now)
{
    size_t before = a->n_chans;
    for (struct chan **at = &a->chans; *at != NULL;) {
        struct chan *c = *at;
        if (c->until > now) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        free_chan(t, c);
        a->n_chans--;
    }
    a->last = NULL;
    if (a->n_chans == before)
        return;
    memset(a->by_number, 0, a->n_slots * sizeof(struct chan *));
    for (struct chan *c = a->chans; c != NULL; c = c->next)
        a->by_number[slot_of(a, c->number)] = c;
}

/* When both members have a channel to the other, a datagram needs no search at all: each channel
 * knows the one it comes out of. */
static void link_reverse(struct pv_turns *t, struct chan *c)
{
    const struct member *me = c->owner->member;
    struct member *peer = member_at(t, me->who, &c->peer);
    if (peer == NULL || peer->alloc == NULL)
        return;
    struct chan *back = chan_by_peer(peer->alloc, &me->addr);
    if (back == NULL || back == c)
        return;
    unlink_reverse(c);
    unlink_reverse(back);
    c->reverse = back;
    back->reverse = c;
}

static void phone_port_key(const struct relay *phone_port, const struct pv_addr *peer,
                           uint8_t key[static PHONE_PORT_KEY])
{
    pv_store_be32(key, phone_port->sock);
    place_of(peer, key + 4);
}

/* The channel of this phone port's member to that peer; NULL: none, or it has expired and is
 * gone. */
static struct chan *chan_by_phone_port(const struct pv_turns *t, const struct relay *phone_port,
                                       const struct pv_addr *peer)
{
    uint8_t key[PHONE_PORT_KEY];
    phone_port_key(phone_port, peer, key);
    return pv_turntab_find(&t->phone_port_peers, key);
}

/* The phone port of this allocation is closed: its channels lead beyond no other phone port, which
 * may get the same number. */
static void chan_leave_phone_port(struct pv_turns *t, struct alloc *a)
{
    for (struct chan *c = a->chans; c != NULL; c = c->next)
        leave_phone_port(t, c);
}

static size_t count_at_phone_port(const struct alloc *a)
{
    size_t n = 0;
    for (const struct chan *c = a->chans; c != NULL; c = c->next)
        n += c->at_phone_port;
    return n;
}

/* A phone port is flooded by anybody, so the channel to whoever sends is found without a search.
 * Without memory, or room, the peer stays a stranger. */
static void note_phone_port_peer(struct pv_turns *t, struct chan *c)
{
    const struct relay *phone_port = c->owner->phone_port;
    if (phone_port == NULL || c->at_phone_port || member_is_virtual(t, &c->peer) ||
        count_at_phone_port(c->owner) >= PV_TURNS_PHONE_PORT_PEERS)
        return;
    phone_port_key(phone_port, &c->peer, c->phone_port);
    c->at_phone_port = pv_turntab_add(&t->phone_port_peers, c) == PV_OK;
}

/* PV_ERR_EXISTS: number or peer is bound otherwise; PV_ERR_LIMIT, PV_ERR_NOMEM. A member's
 * newest binding replaces whatever stood against it, as it may have forgotten what it bound
 * before a restart (ours). A stock client's bindings stand until they expire, as RFC 8656 s12.2
 * wants. */
static int chan_bind(struct pv_turns *t, struct alloc *a, uint16_t number,
                     const struct pv_addr *peer, pv_ns now)
{
    for (struct chan *old = a->member != NULL ? a->chans : NULL; old != NULL; old = old->next) {
        if ((old->number == number) != pv_addr_equal(&old->peer, peer))
            old->until = now;
    }
    drop_expired_channels(t, a, now);
    struct chan *c = chan_by_number(a, number);
    if (c != NULL && !pv_addr_equal(&c->peer, peer))
        return PV_ERR_EXISTS;
    if (c == NULL && chan_by_peer(a, peer) != NULL)
        return PV_ERR_EXISTS;
    if (c == NULL) {
        if (a->n_chans >= t->limits.channels)
            return PV_ERR_LIMIT;
        if ((a->n_chans + 1) * 2 > a->n_slots) {
            int r = reindex(a, a->n_slots == 0 ? SLOTS_MIN : a->n_slots * 2);
            if (r < 0)
                return r;
        }
        c = calloc(1, sizeof(*c));
        if (c == NULL)
            return PV_ERR_NOMEM;
        *c = (struct chan){.next = a->chans, .owner = a, .peer = *peer, .number = number};
        a->chans = c;
        a->n_chans++;
        a->by_number[slot_of(a, number)] = c;
    }
    c->until = now + PV_TURN_CHANNEL_LIFETIME;
    note_phone_port_peer(t, c);
    if (a->member != NULL && c->reverse == NULL)
        link_reverse(t, c);
    return PV_OK;
}

/* --- permissions ----------------------------------------------------------------------------- */

/* A permission is for all ports of an address (RFC 8656 s9). An expired one is found too, to be
 * used again. */
static struct perm *find_perm(const struct alloc *a, const struct pv_addr *ip)
{
    for (size_t i = 0; i < a->n_perms; i++) {
        if (pv_addr_equal_ip(&a->perms[i].ip, ip))
            return &a->perms[i];
    }
    return NULL;
}

/* The permission for this address, NULL: none. */
static const struct perm *perm_of(const struct alloc *a, const struct pv_addr *ip, pv_ns now)
{
    const struct perm *p = find_perm(a, ip);
    return p != NULL && p->until > now ? p : NULL;
}

/* How many more permissions it may have. Expired permissions are thrown out first: they count
 * for nothing. */
static size_t perm_room(const struct pv_turns *t, struct alloc *a, pv_ns now)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_perms; i++) {
        if (a->perms[i].until > now)
            a->perms[n++] = a->perms[i];
    }
    a->n_perms = n;
    return n < t->limits.permissions ? t->limits.permissions - n : 0;
}

/* PV_ERR_LIMIT, PV_ERR_NOMEM. The peer has been judged by now. `here` is
 * decided once, at this moment: an address that is otherwise forbidden was allowed because
 * somebody relays here behind it, and only for that. */
static int perm_add(struct pv_turns *t, struct alloc *a, const struct pv_addr *ip, pv_ns now)
{
    struct perm *p = find_perm(a, ip);
    if (p != NULL) {
        p->until = now + PV_TURN_PERMISSION_TIME;
        return PV_OK;
    }
    if (perm_room(t, a, now) == 0)
        return PV_ERR_LIMIT;
    void *perms = pv_vec_room(a->perms, a->n_perms, &a->cap_perms, PERMS_MIN, sizeof(a->perms[0]));
    if (perms == NULL)
        return PV_ERR_NOMEM;
    a->perms = perms;
    a->perms[a->n_perms] = (struct perm){.ip = *ip,
                                         .until = now + PV_TURN_PERMISSION_TIME,
                                         .here = !pv_turnpeer_is_allowed(ip, &t->rules)};
    a->perms[a->n_perms++].ip.port = 0;
    return PV_OK;
}

/* --- long-term credentials (RFC 8489 s9.2.4) -------------------------------------------------- */

enum {
    ALGORITHM_MD5 = 1,    /* RFC 8489 s18.5.1 */
    ALGORITHM_SHA256 = 2, /* RFC 8489 s18.5.1 */
    FINGERPRINT_LEN = 8,
};

/* PASSWORD-ALGORITHMS as it is offered: SHA-256, MD5, both without parameters. */
static const uint8_t algorithms[8] = {0, ALGORITHM_SHA256, 0, 0, 0, ALGORITHM_MD5, 0, 0};

/* A member that relays goes on under a flood of strangers: every hour its nonce expires, and it
 * needs one answer to go on with the next. A stranger who forges its source only makes it hear of a
 * new nonce. */
static bool may_answer(struct pv_turns *t, const struct req *q)
{
    const struct alloc *there = alloc_find(t, q->way);
    if (there == NULL || there->member == NULL)
        return pv_stuns_may_answer(t->stuns, &q->way->src, q->now);
    return pv_stuns_may_answer_member(t->stuns, &there->member->unsigned_answers, &q->way->src,
                                      q->now);
}

/* The offer in an answer to a request that nobody has signed for. */
enum offer {
    OFFER_NOTHING,  /* the request was a bad one: it is no use to try again */
    OFFER_PLAIN,    /* a nonce, as before RFC 8489 */
    OFFER_FEATURES, /* and a choice of algorithms */
};

/* Such an answer is short, takes a token from the shared buckets, and has PV_STUNS_GAIN times the
 * bytes of its request at most: a poor amplifier for a forged source. False: a request as short as
 * no client sends it gets none. */
static bool choose_offer(const struct req *q, unsigned code, enum offer *ret_offer)
{
    static const size_t lens[] = {[OFFER_NOTHING] = PV_TURNS_UNAUTH_LEAST,
                                  [OFFER_PLAIN] = PV_TURNS_UNAUTH_PLAIN,
                                  [OFFER_FEATURES] = PV_TURNS_UNAUTH_FEATURES};
    size_t most = PV_STUNS_GAIN * q->msg->raw.len - (q->fingerprint ? FINGERPRINT_LEN : 0);
    enum offer offer = code == PV_STUN_E_BAD_REQUEST ? OFFER_NOTHING : OFFER_FEATURES;
    bool is_forgeable = q->way->stream == 0;
    if (is_forgeable && offer == OFFER_FEATURES && lens[offer] > most)
        offer = OFFER_PLAIN;
    *ret_offer = offer;
    return !is_forgeable || lens[offer] <= most;
}

/* A nonce says how to try again (RFC 8489 s9.2.4). */
static void answer_unsigned(struct pv_turns *t, const struct req *q, unsigned code)
{
    char buf_nonce[PV_TURNAUTH_NONCE_BUF];
    struct pv_stun_writer w;
    uint8_t *buf = NULL;
    enum offer offer;
    if (!choose_offer(q, code, &offer) || !may_answer(t, q))
        return;
    struct pv_turns_out *out = out_to(t, q->way, &buf);
    if (out == NULL)
        return;
    pv_relaystat_add(&t->stats, PV_RELAYSTAT_REFUSED, 1);
    pv_stun_write_answer(&w, buf, PV_TURNS_UNAUTH_MAX, PV_STUN_ERROR, q->msg);
    pv_stun_put_error(&w, code, "");
    if (offer != OFFER_NOTHING) {
        const char *nonce =
            pv_turnauth_nonce(&t->auth, &q->way->src, q->now, offer == OFFER_FEATURES, buf_nonce);
        pv_stun_put(&w, PV_STUN_ATTR_REALM, pv_view(PV_TURNAUTH_REALM, strlen(PV_TURNAUTH_REALM)));
        pv_stun_put(&w, PV_STUN_ATTR_NONCE, pv_view(nonce, strlen(nonce)));
    }
    if (offer == OFFER_FEATURES)
        pv_stun_put(&w, PV_STUN_ATTR_PASSWORD_ALGORITHMS, pv_view(algorithms, sizeof(algorithms)));
    if (q->fingerprint)
        pv_stun_put_fingerprint(&w);
    out_end(t, out, &w);
}

/* --- the sender of a request ------------------------------------------------------------------ */

/* There are at most 64 names, so they are compared one by one. */
static struct user *user_by_name(struct pv_turns *t, struct pv_view name)
{
    for (size_t i = 0; i < t->n_users; i++) {
        if (pv_view_equal(name, pv_view(t->users[i].name, strlen(t->users[i].name))))
            return &t->users[i];
    }
    return NULL;
}

/* Clients that know RFC 8489 s9.2 send a hash, so that nobody on the way reads the name. */
static struct user *user_by_hash(struct pv_turns *t, struct pv_view hash)
{
    for (size_t i = 0; i < t->n_users; i++) {
        if (pv_view_equal(hash, pv_view(t->users[i].hash, PV_SHA256_LEN)))
            return &t->users[i];
    }
    return NULL;
}

/* Finds a static user or a member. Members' names are derived from a secret, so no static user has
 * one by chance. */
static bool find_user(struct pv_turns *t, struct req *q)
{
    struct pv_view v;
    if (pv_stun_find(q->msg, PV_STUN_ATTR_USERNAME, &v) == PV_OK) {
        q->user = user_by_name(t, v);
        if (q->user == NULL && v.len == MEMBER_USER)
            q->member = pv_turntab_find(&t->by_user, v.ptr);
        if (q->user == NULL && q->member == NULL && v.len == MEMBER_USER && t->n_unmet > 0) {
            member_meet(t);
            q->member = pv_turntab_find(&t->by_user, v.ptr);
        }
    } else if (pv_stun_find(q->msg, PV_STUN_ATTR_USERHASH, &v) == PV_OK) {
        q->user = user_by_hash(t, v);
    }
    return q->user != NULL || q->member != NULL;
}

/* --- the nonce ------------------------------------------------------------------------------- */

/*
 * Ours: the nonce is looked at before the integrity, so that a flood with stale nonces costs no
 * HMAC. One of welcome stands for one Allocate of its member, and then for that 5-tuple.
 */
static bool nonce_is_good(struct pv_turns *t, struct req *q)
{
    struct pv_view text;
    struct pv_turnauth_nonce nonce;
    if (pv_stun_find(q->msg, PV_STUN_ATTR_NONCE, &text) < 0 ||
        pv_turnauth_check(&t->auth, text, &q->way->src, q->now, &nonce) < 0)
        return false;
    if (!nonce.welcome)
        return true;
    struct member *m = q->member;
    if (m == NULL || nonce.serial != m->serial ||
        pv_turnauth_check_welcome(&t->auth, &nonce, pv_view(m->who, sizeof(m->who))) < 0)
        return false;
    q->unspent = !m->spent && q->msg->method == PV_TURN_ALLOCATE;
    return q->unspent || (m->spent && memcmp(m->spent_by, q->way->key, sizeof(m->spent_by)) == 0);
}

/* --- the algorithm --------------------------------------------------------------------------- */

/* A request has to have both attributes or neither, the list as it was offered, and one algorithm
 * of it (RFC 8489 s9.2.4). */
static bool take_algorithm(struct req *q)
{
    struct pv_view one;
    struct pv_view list;
    bool has_one = pv_stun_find(q->msg, PV_STUN_ATTR_PASSWORD_ALGORITHM, &one) == PV_OK;
    bool has_list = pv_stun_find(q->msg, PV_STUN_ATTR_PASSWORD_ALGORITHMS, &list) == PV_OK;
    if (!has_one && !has_list)
        return true;
    if (!has_one || !has_list || !pv_view_equal(list, pv_view(algorithms, sizeof(algorithms))) ||
        one.len != 4 || pv_load_be16(one.ptr + 2) != 0)
        return false;
    uint16_t algorithm = pv_load_be16(one.ptr);
    q->sha256 = true;
    q->sha_key = algorithm == ALGORITHM_SHA256;
    return q->sha_key || algorithm == ALGORITHM_MD5;
}

/* The client chooses by PASSWORD-ALGORITHM which of the two hashes of the password counts. */
static struct pv_view auth_key(const struct req *q)
{
    const struct pv_turnauth_key *key = q->user != NULL ? &q->user->key : &q->member->key;
    return q->sha_key ? pv_view(key->sha256, sizeof(key->sha256))
                      : pv_view(key->md5, sizeof(key->md5));
}

/* Who sent it? False: it has been answered, or must not be. The order is the RFC's (RFC 8489
 * s9.2.4), because it decides which error a request gets that is wrong in several ways; but for
 * the nonce, which comes before the integrity here. An unknown user is told the same as a wrong
 * password: names cannot be found out. */
static bool auth_check(struct pv_turns *t, struct req *q)
{
    bool sha256 = pv_stun_has(q->msg, PV_STUN_ATTR_MESSAGE_INTEGRITY_SHA256);
    if (!sha256 && !pv_stun_has(q->msg, PV_STUN_ATTR_MESSAGE_INTEGRITY)) {
        answer_unsigned(t, q, PV_STUN_E_UNAUTHENTICATED);
        return false;
    }
    if ((!pv_stun_has(q->msg, PV_STUN_ATTR_USERNAME) &&
         !pv_stun_has(q->msg, PV_STUN_ATTR_USERHASH)) ||
        !pv_stun_has(q->msg, PV_STUN_ATTR_REALM) || !pv_stun_has(q->msg, PV_STUN_ATTR_NONCE) ||
        !take_algorithm(q)) {
        answer_unsigned(t, q, PV_STUN_E_BAD_REQUEST);
        return false;
    }
    bool known = find_user(t, q);
    if (!nonce_is_good(t, q)) {
        answer_unsigned(t, q, PV_TURN_E_STALE_NONCE);
        return false;
    }
    int r = !known   ? PV_ERR_AUTH
            : sha256 ? pv_stun_check_integrity_sha256(q->msg, auth_key(q))
                     : pv_stun_check_integrity(q->msg, auth_key(q));
    if (r < 0)
        answer_unsigned(t, q, PV_STUN_E_UNAUTHENTICATED);
    return r == PV_OK;
}

/* --- signed answers -------------------------------------------------------------------------- */

/* Begins an authenticated answer; auth_end() adds integrity and sends it. NULL: no room. */
static struct pv_turns_out *auth_begin(struct pv_turns *t, const struct req *q,
                                       enum pv_stun_class cls, struct pv_stun_writer *w)
{
    uint8_t *buf = NULL;
    struct pv_turns_out *out = out_to(t, q->way, &buf);
    if (out != NULL)
        pv_stun_write_answer(w, buf, SCRATCH, cls, q->msg);
    return out;
}

static void auth_end(struct pv_turns *t, const struct req *q, struct pv_turns_out *out,
                     struct pv_stun_writer *w)
{
    if (q->sha256)
        pv_stun_put_integrity_sha256(w, auth_key(q));
    else
        pv_stun_put_integrity(w, auth_key(q));
    if (q->fingerprint)
        pv_stun_put_fingerprint(w);
    out_end(t, out, w);
}

/* An authenticated error. The text of an error stays empty: clients go by the number, and a
 * shorter answer is a worse amplifier. */
static void auth_refuse(struct pv_turns *t, const struct req *q, unsigned code)
{
    struct pv_stun_writer w;
    struct pv_turns_out *out = auth_begin(t, q, PV_STUN_ERROR, &w);
    if (out == NULL)
        return;
    pv_relaystat_add(&t->stats, PV_RELAYSTAT_REFUSED, 1);
    pv_stun_put_error(&w, code, "");
    auth_end(t, q, out, &w);
}

/* --- phone ports ------------------------------------------------------------------------------ */

/* A member that asks for a phone port has a UDP port here, to which machines that know nothing of
 * this relay send WireGuard's messages. The port follows from the member's key, so that it is the
 * same after every restart; a datagram that comes in goes to the member as from any relay socket,
 * and is looked at no further than to see that it has the form of such a message. */

enum {
    PHONE_PORTS_PART = 4, /* ours: of the relay sockets, those that phone ports may have */
};

/* --- the port -------------------------------------------------------------------------------- */

/* Those of one network are counted where they are: there are few, and few ask. */
static uint32_t count_of_net(const struct pv_turns *t, const uint8_t *net)
{
    uint32_t n = 0;
    for (size_t i = 0; i < t->limits.relays; i++) {
        const struct relay *r = t->relays[i];
        n += r != NULL && r->is_phone_port && r->alloc != NULL &&
             memcmp(r->alloc->member->who, net, PV_TURNAUTH_NET_LEN) == 0;
    }
    return n;
}

/* IPv4 where there is any: a machine that has only IPv6 reaches it by its network's NAT64. Returns
 * 0 or an error code. */
static uint16_t open_phone_port(struct pv_turns *t, struct alloc *a, pv_ns now)
{
    size_t family = relay_can(t, 0, &a->way.local) ? 0 : 1;
    struct relay *r = NULL;
    if (t->policy.phone_ports == 0)
        return PV_TURN_E_FORBIDDEN;
    if (count_of_net(t, a->member->who) >= t->policy.phone_ports_per_net)
        return PV_TURN_E_QUOTA_REACHED;
    /* Static users keep most of the sockets that there are. */
    if (t->n_phone_ports >= t->policy.phone_ports ||
        t->n_phone_ports >= t->limits.relays / PHONE_PORTS_PART ||
        !pv_bucket_take(&a->member->phone_port_opens, 1, PV_TURNS_PHONE_PORT_OPENS, 1, now) ||
        !relay_can(t, family, &a->way.local) || relay_new(t, &r) < 0)
        return PV_TURN_E_NO_CAPACITY;
    r->is_phone_port = true;
    r->alloc = a;
    a->phone_port = r;
    pv_relaystat_set(&t->stats, PV_RELAYSTAT_PHONE_PORTS, ++t->n_phone_ports);
    relay_locate(t, r, family, &a->way.local);
    relay_choose_port(t, r);
    relay_ask(t, r);
    return 0;
}

static void close_phone_port(struct pv_turns *t, struct alloc *a)
{
    chan_leave_phone_port(t, a);
    if (a->phone_port != NULL)
        relay_close(t, a->phone_port);
    a->phone_port = NULL;
}

/* An authenticated Allocate or Refresh of this member's allocation asks for a phone port, or does
 * not: it is opened, kept, or closed. One that could not be opened is told as such once; the wish
 * after that tries again. When the operator allows fewer, those who ask next give theirs up. */
static void phone_port_wish(struct pv_turns *t, const struct req *q, struct alloc *a)
{
    bool failed = a->phone_port_failed;
    a->phone_port_failed = false;
    if (!pv_stun_has(q->msg, PV_TURN_ATTR_PHONE_PORT) || t->n_phone_ports > t->policy.phone_ports)
        close_phone_port(t, a);
    if (a->phone_port == NULL && !failed && pv_stun_has(q->msg, PV_TURN_ATTR_PHONE_PORT))
        a->phone_port_error = open_phone_port(t, a, q->now);
}

/* The answer to the wish, if q has one. An address once it is open, else a code as in
 * ADDRESS-ERROR-CODE (RFC 8656 s18.12); 0: it is being opened. */
static void phone_port_put(const struct pv_turns *t, const struct req *q, const struct alloc *a,
                           struct pv_stun_writer *w)
{
    uint8_t range[4];
    const uint8_t error[4] = {0, 0, (uint8_t)(a->phone_port_error / 100),
                              (uint8_t)(a->phone_port_error % 100)};
    if (!pv_stun_has(q->msg, PV_TURN_ATTR_PHONE_PORT))
        return;
    if (a->phone_port == NULL || a->phone_port->state != RELAY_OPEN) {
        pv_stun_put(w, PV_TURN_ATTR_PHONE_PORT, pv_view(error, sizeof(error)));
        return;
    }
    pv_store_be16(range, t->policy.port_lo);
    pv_store_be16(range + 2, t->policy.port_hi);
    pv_stun_put_xor_addr(w, PV_TURN_ATTR_PHONE_PORT, &a->phone_port->shown);
    pv_stun_put(w, PV_TURN_ATTR_PORT_RANGE, pv_view(range, sizeof(range)));
}

/* The owner has tried to open it. Another program, or a socket of a static user, may have the
 * port. The next one follows from the key as well. */
static void phone_port_opened(struct pv_turns *t, struct relay *r, int status)
{
    if (status == PV_OK) {
        r->state = RELAY_OPEN;
    } else if (status == PV_ERR_EXISTS && ++r->tries < PV_TURNS_PORT_TRIES) {
        relay_choose_port(t, r);
        relay_ask(t, r);
    } else {
        r->alloc->phone_port_failed = true;
        r->alloc->phone_port_error = PV_TURN_E_NO_CAPACITY;
        close_phone_port(t, r->alloc);
    }
}

/* --- datagrams ------------------------------------------------------------------------------- */

/* Messages 1 to 4 as WireGuard has them (whitepaper s5.4): the bits that it reserves are 0. */
static bool is_wireguard(struct pv_view data)
{
    enum pv_demux kind = pv_demux(data);
    return kind >= PV_DEMUX_WG_INITIATION && kind <= PV_DEMUX_WG_DATA && data.ptr[3] == 0;
}

/* The source is asked first, so that one that floods does not use up the phone port's share. A long
 * message costs more, which keeps strangers to a hundredth of what a relay carries for a member. */
static bool may_enter(struct pv_turns *t, struct member *m, const struct pv_addr *peer, size_t len,
                      pv_ns now)
{
    uint32_t units = (uint32_t)((len + PV_TURNS_PHONE_PORT_UNIT - 1) / PV_TURNS_PHONE_PORT_UNIT);
    return pv_bucket_table_take(t->phone_port_sources, peer, units, now) &&
           pv_bucket_take(&m->strangers, PV_TURNS_PHONE_PORT_RATE, PV_TURNS_PHONE_PORT_BURST, units,
                          now);
}

/* Static users may be allowed to reach networks of the operator's; members of any network get no
 * further there than to answer. */
static bool is_public(const struct pv_turns *t, const struct pv_addr *peer)
{
    struct pv_turnpeer_rules rules = t->rules;
    rules.n_allow = 0;
    return pv_turnpeer_is_allowed(peer, &rules);
}

static void count_by_phone_port(struct pv_turns *t, size_t len)
{
    pv_relaystat_add(&t->stats, PV_RELAYSTAT_PHONE_PORT_PACKETS, 1);
    pv_relaystat_add(&t->stats, PV_RELAYSTAT_PHONE_PORT_BYTES, len);
}

/* May this member's allocation have a channel to that peer beyond its phone port? */
static bool phone_port_may_reach(const struct pv_turns *t, const struct alloc *a,
                                 const struct pv_addr *peer)
{
    return a->phone_port != NULL && a->phone_port->state == RELAY_OPEN &&
           a->phone_port->bind.family == peer->family && pv_turnpeer_is_allowed(peer, &t->rules);
}

/* A datagram that came in at the phone port r, and one of a member to a peer beyond its phone port;
 * c: the channel it came in, NULL: none. A member binds a channel to whoever it has found to be its
 * phone; all others are strangers, which share a little. */
static void phone_port_in(struct pv_turns *t, const struct relay *r, const struct pv_addr *peer,
                          struct pv_view data, pv_ns now)
{
    struct alloc *a = r->alloc;
    if (r->state != RELAY_OPEN || !a->attached) {
        count(t, PV_RELAYSTAT_DROP_NO_ALLOCATION);
        return;
    }
    if (!is_wireguard(data)) {
        count(t, PV_RELAYSTAT_DROP_PHONE_PORT_FOREIGN);
        return;
    }
    struct chan *c = chan_by_phone_port(t, r, peer);
    if (c != NULL && c->until > now) {
        c->heard = now;
    } else if (!pv_turnpeer_is_allowed(peer, &t->rules)) {
        count(t, PV_RELAYSTAT_DROP_NO_PERMISSION);
        return;
    } else if (!may_enter(t, a->member, peer, data.len, now)) {
        count(t, PV_RELAYSTAT_DROP_PHONE_PORT_LIMIT);
        return;
    }
    if (!out_may(a->member->bandwidth, &a->member->down, data.len, now)) {
        count(t, PV_RELAYSTAT_DROP_BANDWIDTH);
        return;
    }
    count_by_phone_port(t, data.len);
    out_data(t, a, c, peer, data, now);
}

/* Nobody shall have this machine send to strangers: to an address from which nothing came of late
 * goes just enough for answers to handshakes, and to be heard again after a restart. */
static void phone_port_out(struct pv_turns *t, const struct alloc *a, const struct chan *c,
                           const struct pv_addr *peer, struct pv_view data, pv_ns now)
{
    struct member *m = a->member;
    bool heard = c != NULL && c->heard != 0 && now - c->heard < PV_TURN_PERMISSION_TIME;
    if (!phone_port_may_reach(t, a, peer) || (!heard && !is_public(t, peer))) {
        count(t, PV_RELAYSTAT_DROP_NO_PERMISSION);
        return;
    }
    if (!is_wireguard(data)) {
        count(t, PV_RELAYSTAT_DROP_PHONE_PORT_FOREIGN);
        return;
    }
    if (!heard && !pv_bucket_take(&m->knocks, PV_TURNS_PHONE_PORT_KNOCK_RATE,
                                  PV_TURNS_PHONE_PORT_KNOCK_BURST, (uint32_t)data.len, now)) {
        count(t, PV_RELAYSTAT_DROP_PHONE_PORT_LIMIT);
        return;
    }
    if (!out_may(m->bandwidth, &m->up, data.len, now)) {
        count(t, PV_RELAYSTAT_DROP_BANDWIDTH);
        return;
    }
    struct pv_turns_out *out = out_new(t, NULL);
    if (out == NULL)
        return;
    count_by_phone_port(t, data.len);
    *out = (struct pv_turns_out){.dst = *peer, .sock = a->phone_port->sock, .data = data};
}

/* --- the way of relayed datagrams ------------------------------------------------------------ */

/* This runs for each of them, so nothing here allocates, and a payload is moved only where its
 * answer is longer than what came. */

/* --- between members ------------------------------------------------------------------------- */

/* Data of a client, in the input's buffer. */
struct client_data {
    uint8_t *ptr;
    size_t len;
};

/* Between two members, in memory. data lies in the input with at least 4 bytes before it (the
 * header of ChannelData, or that of the attribute DATA), so a header is written in front and
 * nothing is copied. back: the receiver's channel, if the sender's is linked to it. No permission
 * is asked for: both are members of one network, which is all a permission could say. */
static void to_member(struct pv_turns *t, const struct alloc *from, const struct chan *back,
                      const struct pv_addr *peer, struct client_data data, pv_ns now)
{
    struct alloc *to = back == NULL ? NULL : back->owner;
    if (to == NULL) {
        struct member *m = member_at(t, from->member->who, peer);
        to = m == NULL ? NULL : m->alloc;
        if (to != NULL)
            back = chan_by_peer(to, &from->member->addr);
    }
    /* Detached: the member is known, its connection or NAT binding is gone. */
    if (to == NULL || !to->attached) {
        count(t, PV_RELAYSTAT_DROP_NO_PEER);
        return;
    }
    /* Both directions count: one member must neither flood nor be flooded. */
    if (!out_may(from->member->bandwidth, &from->member->up, data.len, now) ||
        !out_may(to->member->bandwidth, &to->member->down, data.len, now)) {
        count(t, PV_RELAYSTAT_DROP_BANDWIDTH);
        return;
    }
    pv_relaystat_add(&t->stats, PV_RELAYSTAT_MEMBER_PACKETS, 1);
    pv_relaystat_add(&t->stats, PV_RELAYSTAT_MEMBER_BYTES, data.len);
    if (back == NULL || back->until <= now) {
        out_data(t, to, NULL, &from->member->addr, pv_view(data.ptr, data.len), now);
        return;
    }
    struct pv_turns_out *out = out_to(t, &to->way, NULL);
    if (out == NULL)
        return;
    uint8_t *start = data.ptr - PV_TURN_CHANNEL_HEADER;
    pv_turn_channel_header(start, back->number, (uint16_t)data.len);
    out->data = pv_view(start, data.len + PV_TURN_CHANNEL_HEADER);
}

/* --- static users ---------------------------------------------------------------------------- */

/* Counts a datagram that is relayed for this static user, once and not at both of its ends. */
static void count_of_user(struct pv_turns *t, const struct user *user, size_t len)
{
    size_t i = (size_t)(user - t->users);
    pv_relaystat_add_user(&t->stats, i, PV_RELAYSTAT_USER_PACKETS, 1);
    pv_relaystat_add_user(&t->stats, i, PV_RELAYSTAT_USER_BYTES, (int64_t)len);
    pv_relaystat_add(&t->stats, PV_RELAYSTAT_STATIC_PACKETS, 1);
    pv_relaystat_add(&t->stats, PV_RELAYSTAT_STATIC_BYTES, len);
}

/* Passes a peer's datagram from a relay socket on to its client. Permission comes before bandwidth:
 * strangers must not use up the bandwidth of the user's peers. The payload is copied, since a
 * header has to stand before it and the buffer of a relay socket is used again at once. */
static void to_client(struct pv_turns *t, const struct relay *r, const struct pv_addr *peer,
                      struct pv_view data, pv_ns now)
{
    struct alloc *a = r == NULL ? NULL : r->alloc;
    if (a == NULL || a->pending || !a->attached || r->state != RELAY_OPEN) {
        count(t, PV_RELAYSTAT_DROP_NO_ALLOCATION);
        return;
    }
    if (perm_of(a, peer, now) == NULL) {
        count(t, PV_RELAYSTAT_DROP_NO_PERMISSION);
        return;
    }
    if (!out_may(t->policy.bandwidth, &a->user->down, data.len, now)) {
        count(t, PV_RELAYSTAT_DROP_BANDWIDTH);
        return;
    }
    count_of_user(t, a->user, data.len);
    out_data(t, a, chan_by_peer(a, peer), peer, data, now);
}

/* Sends data of a static user's client to a peer: out of the allocation's socket of that family,
 * with a permission only (RFC 8656 s9), so that nobody can use this machine to reach where it was
 * not judged fit to send. */
static void to_peer(struct pv_turns *t, struct alloc *a, const struct pv_addr *peer,
                    struct pv_view data, bool df, pv_ns now)
{
    const struct relay *r = a->relays[family_of(peer)];
    const struct perm *perm = perm_of(a, peer, now);
    if (r == NULL || r->state != RELAY_OPEN) {
        count(t, PV_RELAYSTAT_DROP_NO_ALLOCATION);
        return;
    }
    if (perm == NULL) {
        count(t, PV_RELAYSTAT_DROP_NO_PERMISSION);
        return;
    }
    if (!out_may(t->policy.bandwidth, &a->user->up, data.len, now)) {
        count(t, PV_RELAYSTAT_DROP_BANDWIDTH);
        return;
    }
    /* Relayed here too: it goes over in memory, where no NAT before this machine and no firewall
     * on it stands in the way. */
    if (perm->here) {
        to_client(t, relay_at(t, peer), &r->shown, data, now);
        return;
    }
    struct pv_turns_out *out = out_new(t, NULL);
    if (out == NULL)
        return;
    count_of_user(t, a->user, data.len);
    *out = (struct pv_turns_out){.dst = *peer, .sock = r->sock, .df = df, .data = data};
}

/* A datagram on a relay socket. The number may name no socket any more: it was closed while its
 * datagrams were being read. */
static void relay_from_peer(struct pv_turns *t, const struct pv_turns_in *in, pv_ns now)
{
    size_t i = in->sock - PV_TURNS_RELAY0;
    const struct relay *r = i < t->limits.relays ? t->relays[i] : NULL;
    if (r != NULL && r->is_phone_port)
        phone_port_in(t, r, &in->src, pv_view(in->ptr, in->len), now);
    else
        to_client(t, r, &in->src, pv_view(in->ptr, in->len), now);
}

/* --- from a client --------------------------------------------------------------------------- */

/* Handles ChannelData (RFC 8656 s12.5). By UDP there may be padding behind the data, so the length
 * in the header counts, not the datagram's. */
static void relay_channel_data(struct pv_turns *t, const struct way *way, uint8_t *ptr, size_t len,
                               pv_ns now)
{
    if (len < PV_TURN_CHANNEL_HEADER)
        return;
    size_t data_len = pv_load_be16(ptr + 2);
    struct alloc *a = alloc_of_data(t, way, now);
    struct chan *c = a == NULL ? NULL : chan_by_number(a, pv_load_be16(ptr));
    if (a == NULL) {
        count(t, PV_RELAYSTAT_DROP_NO_ALLOCATION);
        return;
    }
    if (c == NULL || c->until <= now) {
        count(t, PV_RELAYSTAT_DROP_NO_CHANNEL);
        return;
    }
    if (len - PV_TURN_CHANNEL_HEADER < data_len) {
        count(t, PV_RELAYSTAT_DROP_MALFORMED);
        return;
    }
    uint8_t *data = ptr + PV_TURN_CHANNEL_HEADER;
    if (a->member == NULL)
        to_peer(t, a, &c->peer, pv_view(data, data_len), false, now);
    else if (!member_is_virtual(t, &c->peer))
        phone_port_out(t, a, c, &c->peer, pv_view(data, data_len), now);
    else
        to_member(t, a, c->reverse, &c->peer, (struct client_data){data, data_len}, now);
}

/* Handles a Send indication (RFC 8656 s11.2). One with an attribute that has to be understood and
 * is not is dropped, since an indication gets no error. */
static void relay_send(struct pv_turns *t, const struct way *way, const struct pv_stun_msg *msg,
                       pv_ns now)
{
    static const uint16_t known[] = {PV_TURN_ATTR_XOR_PEER_ADDRESS, PV_TURN_ATTR_DATA,
                                     PV_TURN_ATTR_DONT_FRAGMENT};
    uint16_t unknown;
    struct pv_addr peer;
    struct pv_view data;
    struct alloc *a = alloc_of_data(t, way, now);
    if (a == NULL) {
        count(t, PV_RELAYSTAT_DROP_NO_ALLOCATION);
        return;
    }
    if (pv_stun_get_xor_addr(msg, PV_TURN_ATTR_XOR_PEER_ADDRESS, &peer) < 0 ||
        pv_stun_find(msg, PV_TURN_ATTR_DATA, &data) < 0 ||
        pv_stun_list_unknown(msg, known, PV_ARRAY_LEN(known), &unknown, 1) > 0) {
        count(t, PV_RELAYSTAT_DROP_MALFORMED);
        return;
    }
    if (a->member == NULL) {
        to_peer(t, a, &peer, data, pv_stun_has(msg, PV_TURN_ATTR_DONT_FRAGMENT), now);
        return;
    }
    struct chan *c = chan_by_peer(a, &peer);
    if (!member_is_virtual(t, &peer)) {
        phone_port_out(t, a, c, &peer, data, now);
        return;
    }
    /* The input may be written to: pv_turns_in says so, a decoded message only borrows it. */
    union {
        const uint8_t *in;
        uint8_t *out;
    } bytes = {.in = data.ptr};
    to_member(t, a, c == NULL ? NULL : c->reverse, &peer, (struct client_data){bytes.out, data.len},
              now);
}

/* --- requests -------------------------------------------------------------------------------- */

/* A request is authenticated before it comes here. The order of checks is that of RFC 8656 (s7 to
 * s12) throughout: it decides which error a request gets that is wrong in several ways. */

enum {
    FAMILY_BIT4 = 1,
    FAMILY_BIT6 = 2,
    UNKNOWN_MAX = 8, /* ours: attributes named in a 420; more of them say nothing new */
};

/* --- attributes ------------------------------------------------------------------------------ */

/* Answers 420 to a request with attributes that have to be understood (below 0x8000, RFC 8489
 * s14) and are not. This comes after authentication, so strangers cannot make this server list
 * anything. */
static bool refuse_unknown(struct pv_turns *t, const struct req *q)
{
    static const uint16_t known[] = {
        PV_STUN_ATTR_USERNAME,
        PV_STUN_ATTR_USERHASH,
        PV_STUN_ATTR_REALM,
        PV_STUN_ATTR_NONCE,
        PV_STUN_ATTR_MESSAGE_INTEGRITY,
        PV_STUN_ATTR_MESSAGE_INTEGRITY_SHA256,
        PV_STUN_ATTR_PASSWORD_ALGORITHM,
        PV_STUN_ATTR_PADDING,
        PV_TURN_ATTR_CHANNEL_NUMBER,
        PV_TURN_ATTR_LIFETIME,
        PV_TURN_ATTR_XOR_PEER_ADDRESS,
        PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY,
        PV_TURN_ATTR_EVEN_PORT,
        PV_TURN_ATTR_REQUESTED_TRANSPORT,
        PV_TURN_ATTR_DONT_FRAGMENT,
        PV_TURN_ATTR_RESERVATION_TOKEN,
    };
    uint16_t unknown[UNKNOWN_MAX];
    struct pv_stun_writer w;
    size_t n = pv_stun_list_unknown(q->msg, known, PV_ARRAY_LEN(known), unknown, UNKNOWN_MAX);
    if (n == 0)
        return false;
    struct pv_turns_out *out = auth_begin(t, q, PV_STUN_ERROR, &w);
    if (out == NULL)
        return true;
    pv_relaystat_add(&t->stats, PV_RELAYSTAT_REFUSED, 1);
    pv_stun_put_error(&w, PV_STUN_E_UNKNOWN_ATTRIBUTE, "");
    pv_stun_put_unknown(&w, unknown, n);
    auth_end(t, q, out, &w);
    return true;
}

/* Returns FAMILY_BIT4 or 6; 0: absent; -1: malformed or another family. The value is one byte and
 * three that are reserved (RFC 8656 s18.6). */
static int get_family(const struct pv_stun_msg *msg, uint16_t type)
{
    struct pv_view v;
    if (pv_stun_find(msg, type, &v) < 0)
        return 0;
    if (v.len != 4)
        return -1;
    return v.ptr[0] == PV_TURN_FAMILY_IPV4   ? FAMILY_BIT4
           : v.ptr[0] == PV_TURN_FAMILY_IPV6 ? FAMILY_BIT6
                                             : -1;
}

/* Returns seconds within the limits of this server; 0 only when the client asked for it, which ends
 * the allocation (RFC 8656 s7.2, s8.2). */
static uint32_t get_lifetime(const struct pv_stun_msg *msg)
{
    uint32_t s = 0;
    if (pv_stun_get_u32(msg, PV_TURN_ATTR_LIFETIME, &s) < 0)
        return PV_TURNS_LIFETIME_S;
    if (s == 0)
        return 0;
    if (s > PV_TURNS_LIFETIME_MAX_S)
        return PV_TURNS_LIFETIME_MAX_S;
    return s < PV_TURNS_LIFETIME_S ? PV_TURNS_LIFETIME_S : s;
}

/* The rest is rounded up, so an allocation that has just been made has all of its time. */
static uint32_t seconds_left(const struct alloc *a, pv_ns now)
{
    return a->until <= now ? 0 : (uint32_t)((a->until - now + PV_S(1) - 1) / PV_S(1));
}

/* The nonce of welcome has served: from now on it is good for this 5-tuple only. An attacker who
 * reads it from a log or the wire later cannot allocate with it. */
static void spend_nonce(const struct req *q)
{
    if (!q->unspent)
        return;
    q->member->spent = true;
    memcpy(q->member->spent_by, q->way->key, sizeof(q->member->spent_by));
}

/* --- Allocate: the answer -------------------------------------------------------------------- */

/* Writes the attributes of a granted allocation (RFC 8656 s7.2). When one of two families failed,
 * ADDRESS-ERROR-CODE says so; clients from before that RFC know it by another number. */
static void put_allocation(const struct pv_turns *t, struct pv_stun_writer *w, const struct req *q,
                           const struct alloc *a)
{
    if (a->member != NULL) {
        pv_stun_put_xor_addr(w, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &a->member->addr);
        phone_port_put(t, q, a, w);
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(a->relays); i++) {
        if (a->relays[i] != NULL)
            pv_stun_put_xor_addr(w, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &a->relays[i]->shown);
    }
    pv_stun_put_u32(w, PV_TURN_ATTR_LIFETIME, seconds_left(a, q->now));
    if (a->has_token)
        pv_stun_put(w, PV_TURN_ATTR_RESERVATION_TOKEN, pv_view(a->token, sizeof(a->token)));
    if (a->family_error != 0) {
        const uint8_t error[4] = {PV_TURN_FAMILY_IPV6, 0, (uint8_t)(a->family_error / 100),
                                  (uint8_t)(a->family_error % 100)};
        pv_stun_put(w,
                    a->old_numbers ? PV_TURN_ATTR_ADDRESS_ERROR_CODE_OLD
                                   : PV_TURN_ATTR_ADDRESS_ERROR_CODE,
                    pv_view(error, sizeof(error)));
    }
    pv_stun_put_xor_addr(w, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &a->way.src);
}

static void answer_allocated(struct pv_turns *t, const struct req *q, const struct alloc *a)
{
    struct pv_stun_writer w;
    struct pv_turns_out *out = auth_begin(t, q, PV_STUN_SUCCESS, &w);
    if (out == NULL)
        return;
    put_allocation(t, &w, q, a);
    auth_end(t, q, out, &w);
}

/* Answers the Allocate of a static user once its sockets are there (code 0), or with an error.
 * The request is gone by now; a header with its transaction id is made up for the answer, and
 * how it was signed was kept with the allocation. */
static void request_allocated(struct pv_turns *t, struct alloc *a, unsigned code, pv_ns now)
{
    uint8_t header[PV_STUN_HEADER_LEN] = {0};
    struct pv_stun_msg msg = {.method = PV_TURN_ALLOCATE, .raw = pv_view(header, sizeof(header))};
    pv_store_be32(header + 4, PV_STUN_COOKIE);
    memcpy(header + 8, a->txid, sizeof(a->txid));
    struct way way = a->way;
    struct req q = {.way = &way,
                    .msg = &msg,
                    .now = now,
                    .fingerprint = a->fingerprint,
                    .user = a->user,
                    .sha256 = a->sha256,
                    .sha_key = a->sha_key};
    a->pending = false;
    if (code == 0) {
        answer_allocated(t, &q, a);
        return;
    }
    alloc_free(t, a);
    auth_refuse(t, &q, code);
}

/* --- Allocate: members ----------------------------------------------------------------------- */

/* A node that asks again, from wherever it is now, gets its allocation moved there with all its
 * channels: ours, where RFC 8656 s7.2 would answer 437. Members have one relayed address, which is
 * an IPv6 one and no socket, so there is nothing to reserve. */
static void allocate_member(struct pv_turns *t, struct req *q, struct alloc *there)
{
    struct member *m = q->member;
    int family = get_family(q->msg, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY);
    int r = PV_OK;
    if (family != FAMILY_BIT6 || pv_stun_has(q->msg, PV_TURN_ATTR_ADDITIONAL_ADDRESS_FAMILY)) {
        auth_refuse(t, q, PV_TURN_E_FAMILY_NOT_SUPPORTED);
        return;
    }
    if (pv_stun_has(q->msg, PV_TURN_ATTR_RESERVATION_TOKEN)) {
        auth_refuse(t, q, PV_STUN_E_BAD_REQUEST);
        return;
    }
    if (m->alloc == NULL)
        r = alloc_new(t, q->way, m, NULL, &m->alloc);
    else if (there == NULL)
        r = alloc_move(t, m->alloc, q->way, q->now);
    if (r < 0) {
        auth_refuse(t, q, PV_TURN_E_NO_CAPACITY);
        return;
    }
    /* A member that has forgotten its channels in a restart hears phones of before by Data
     * indications, until it binds them again; one that moved binds them at once. */
    if (memcmp(m->alloc->txid, q->msg->txid, PV_STUN_TXID_LEN) != 0)
        chan_leave_phone_port(t, m->alloc);
    uint32_t lifetime = get_lifetime(q->msg);
    memcpy(m->alloc->txid, q->msg->txid, PV_STUN_TXID_LEN);
    /* A lifetime of 0 makes no sense in an Allocate; it counts as the default. */
    m->alloc->until = q->now + PV_S(lifetime == 0 ? PV_TURNS_LIFETIME_S : lifetime);
    member_rearm(t, m);
    phone_port_wish(t, q, m->alloc);
    spend_nonce(q);
    answer_allocated(t, q, m->alloc);
}

/* --- Allocate: static users ------------------------------------------------------------------ */

/* The wishes in an Allocate of a static user. */
struct allocate_wish {
    unsigned families; /* FAMILY_BIT */
    bool additional;   /* IPv6 besides IPv4: the allocation counts without it too */
    bool old_numbers;  /* it asked by the attribute number from before RFC 8656 */
    bool even;         /* an even port */
    bool reserve;      /* the odd port above that is wanted, too, for later */
    bool has_token;    /* a port reserved before */
    uint8_t token[TOKEN_LEN];
};

/* Does the checks 5 to 9 of RFC 8656 s7.2. Returns 0 or an error code. */
static unsigned read_families(const struct pv_turns *t, const struct req *q,
                              struct allocate_wish *w)
{
    int one = get_family(q->msg, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY);
    int more = get_family(q->msg, PV_TURN_ATTR_ADDITIONAL_ADDRESS_FAMILY);
    if (more == 0) {
        more = get_family(q->msg, PV_TURN_ATTR_ADDITIONAL_ADDRESS_FAMILY_OLD);
        w->old_numbers = more != 0;
    }
    if ((one != 0 && more != 0) || (more != 0 && more != FAMILY_BIT6))
        return PV_STUN_E_BAD_REQUEST;
    if (one < 0)
        return PV_TURN_E_FAMILY_NOT_SUPPORTED;
    w->additional = more != 0;
    w->families = w->additional ? FAMILY_BIT4 | FAMILY_BIT6
                  : one == 0    ? FAMILY_BIT4
                                : (unsigned)one;
    if (w->has_token && (one != 0 || more != 0))
        return PV_STUN_E_BAD_REQUEST;
    if (w->reserve && w->additional)
        return PV_STUN_E_BAD_REQUEST;
    if (w->has_token)
        return 0;
    bool can4 = relay_can(t, 0, &q->way->local);
    bool can6 = relay_can(t, 1, &q->way->local);
    if ((w->families == FAMILY_BIT6 && !can6) || ((w->families & FAMILY_BIT4) != 0 && !can4))
        return PV_TURN_E_FAMILY_NOT_SUPPORTED;
    return 0;
}

/* Reads all wishes before anything is made. Returns 0 or an error code. A token and a wish for
 * ports exclude each other. */
static unsigned read_wish(const struct pv_turns *t, const struct req *q, struct allocate_wish *w)
{
    struct pv_view v;
    *w = (struct allocate_wish){0};
    if (pv_stun_find(q->msg, PV_TURN_ATTR_RESERVATION_TOKEN, &v) == PV_OK) {
        if (v.len != sizeof(w->token) || pv_stun_has(q->msg, PV_TURN_ATTR_EVEN_PORT))
            return PV_STUN_E_BAD_REQUEST;
        w->has_token = true;
        memcpy(w->token, v.ptr, sizeof(w->token));
    }
    if (pv_stun_find(q->msg, PV_TURN_ATTR_EVEN_PORT, &v) == PV_OK) {
        if (v.len != 1)
            return PV_STUN_E_BAD_REQUEST;
        w->even = true;
        w->reserve = (v.ptr[0] & 0x80) != 0;
    }
    return read_families(t, q, w);
}

/* Asks for the sockets. Returns 0 or an error code; on an error the sockets end with the
 * allocation. An additional family that cannot be had is an error of its own in the answer, not of
 * the request. */
static unsigned want_sockets(struct pv_turns *t, const struct req *q, struct alloc *a,
                             const struct allocate_wish *w)
{
    if (w->has_token)
        return relay_redeem(t, a, w->token) == NULL ? PV_TURN_E_NO_CAPACITY : 0;
    if ((w->families & FAMILY_BIT4) != 0 && relay_want(t, a, 0, w->even, w->reserve) < 0)
        return PV_TURN_E_NO_CAPACITY;
    if ((w->families & FAMILY_BIT6) == 0)
        return 0;
    if (!relay_can(t, 1, &q->way->local)) {
        a->family_error = PV_TURN_E_FAMILY_NOT_SUPPORTED;
        return 0;
    }
    if (relay_want(t, a, 1, w->even, w->reserve) == PV_OK)
        return 0;
    a->family_error = PV_TURN_E_NO_CAPACITY;
    return w->additional ? 0 : PV_TURN_E_NO_CAPACITY;
}

/* Is there a relay socket for this user? Half of all are kept for those who have less than an even
 * part of that half: nobody finds all of them taken. */
static bool has_socket_for(const struct pv_turns *t, const struct user *user)
{
    size_t part = t->limits.relays / 2 / (t->n_users > 0 ? t->n_users : 1), kept = 0;
    if (user->n_socks < part)
        return true;
    for (size_t i = 0; i < t->n_users; i++)
        kept += t->users[i].n_socks < part ? part - t->users[i].n_socks : 0;
    return t->n_relays + kept < t->limits.relays;
}

/* May this user have what it wishes for? Ports that are reserved for it count like allocations, or
 * it could hold every socket with them. Returns 0 or an error code. */
static unsigned judge_quota(const struct pv_turns *t, const struct user *user,
                            const struct allocate_wish *w)
{
    uint32_t held = user->n_allocs + user->n_reserved;
    uint32_t reserved_max = t->policy.per_user / PV_TURNS_RESERVED_PART;
    if (reserved_max < PV_TURNS_RESERVED_MIN)
        reserved_max = PV_TURNS_RESERVED_MIN;
    if (w->has_token && user->n_reserved > 0)
        held--; /* it becomes an allocation */
    if (held >= t->policy.per_user || (w->reserve && user->n_reserved >= reserved_max))
        return PV_TURN_E_QUOTA_REACHED;
    return w->has_token || has_socket_for(t, user) ? 0 : PV_TURN_E_NO_CAPACITY;
}

/* The allocation exists from now on, `pending`: it counts towards the user's quota and holds the
 * 5-tuple while sockets are being opened. Only a reserved socket is there already, and can be
 * answered at once. */
static void allocate_static(struct pv_turns *t, struct req *q)
{
    struct allocate_wish wish;
    struct alloc *a = NULL;
    unsigned code = read_wish(t, q, &wish);
    if (code == 0)
        code = judge_quota(t, q->user, &wish);
    if (code == 0 && alloc_new(t, q->way, NULL, q->user, &a) < 0)
        code = PV_TURN_E_NO_CAPACITY;
    if (code != 0) {
        auth_refuse(t, q, code);
        return;
    }
    uint32_t lifetime = get_lifetime(q->msg);
    memcpy(a->txid, q->msg->txid, PV_STUN_TXID_LEN);
    a->until = q->now + PV_S(lifetime == 0 ? PV_TURNS_LIFETIME_S : lifetime);
    pv_heap_set(&t->timers, &a->timer.node, a->until);
    a->sha256 = q->sha256;
    a->sha_key = q->sha_key;
    a->fingerprint = q->fingerprint;
    a->old_numbers = wish.old_numbers;
    a->pending = true;
    code = want_sockets(t, q, a, &wish);
    if (code != 0 || wish.has_token)
        request_allocated(t, a, code, q->now);
}

/* The 5-tuple is in use: a repeated request gets its answer again, all others are refused. */
static void answer_again(struct pv_turns *t, const struct req *q, const struct alloc *there)
{
    if (there->user == NULL || there->user != q->user ||
        memcmp(there->txid, q->msg->txid, PV_STUN_TXID_LEN) != 0)
        auth_refuse(t, q, PV_TURN_E_ALLOCATION_MISMATCH);
    else if (!there->pending)
        answer_allocated(t, q, there);
}

/* Does the checks in the RFC's order, which decides the error of a request that fails several. */
static void handle_allocate(struct pv_turns *t, struct req *q)
{
    struct pv_view v;
    struct alloc *there = alloc_find(t, q->way);
    if (there != NULL && (q->member == NULL || there->member != q->member))
        answer_again(t, q, there);
    else if (pv_stun_find(q->msg, PV_TURN_ATTR_REQUESTED_TRANSPORT, &v) < 0 || v.len != 4)
        auth_refuse(t, q, PV_STUN_E_BAD_REQUEST);
    else if (v.ptr[0] != PV_TURN_TRANSPORT_UDP)
        auth_refuse(t, q, PV_TURN_E_TRANSPORT_NOT_SUPPORTED);
    else if (q->member != NULL)
        allocate_member(t, q, there);
    else
        allocate_static(t, q);
}

/* --- Refresh --------------------------------------------------------------------------------- */

/* Returns the families in which the allocation has a relayed address, FAMILY_BIT. */
static unsigned families_of(const struct alloc *a)
{
    if (a->member != NULL)
        return FAMILY_BIT6;
    return (a->relays[0] != NULL ? FAMILY_BIT4 : 0u) | (a->relays[1] != NULL ? FAMILY_BIT6 : 0u);
}

/* The answer is written before anything is freed, since it is signed with keys of the allocation's
 * user and goes to its way. A lifetime of 0 ends the allocation, or, with a family, the half of it
 * (RFC 8656 s8.2). */
static void handle_refresh(struct pv_turns *t, struct req *q, struct alloc *a)
{
    int family = get_family(q->msg, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY);
    uint32_t lifetime = get_lifetime(q->msg);
    struct pv_stun_writer w;
    if (family < 0 || (family != 0 && ((unsigned)family & families_of(a)) == 0)) {
        auth_refuse(t, q, PV_TURN_E_PEER_FAMILY_MISMATCH);
        return;
    }
    bool half = family != 0 && (unsigned)family != families_of(a);
    if (a->member != NULL)
        phone_port_wish(t, q, a);
    struct pv_turns_out *out = auth_begin(t, q, PV_STUN_SUCCESS, &w);
    if (out == NULL)
        return;
    pv_stun_put_u32(&w, PV_TURN_ATTR_LIFETIME, lifetime);
    if (a->member != NULL)
        phone_port_put(t, q, a, &w);
    auth_end(t, q, out, &w);
    if (lifetime > 0) {
        a->until = q->now + PV_S(lifetime);
        if (a->user != NULL)
            pv_heap_set(&t->timers, &a->timer.node, a->until);
        else
            member_rearm(t, a->member);
    } else if (half) {
        size_t i = family == FAMILY_BIT6 ? 1 : 0;
        struct relay *r = a->relays[i];
        a->relays[i] = NULL;
        relay_close(t, r);
    } else {
        struct member *m = a->member;
        alloc_free(t, a);
        if (m != NULL)
            member_rearm(t, m);
    }
}

/* --- permissions and channels ---------------------------------------------------------------- */

/* May this allocation have that peer? exact: at this port, else at any. 0 or an error code. Members
 * reach members only, and by a phone port what static users may: what turnpeer.h allows; these also
 * another client of this relay. */
static unsigned judge_peer(const struct pv_turns *t, const struct alloc *a,
                           const struct pv_addr *peer, bool exact)
{
    unsigned bit = peer->family == PV_AF_INET6 ? FAMILY_BIT6 : FAMILY_BIT4;
    if (a->member != NULL && phone_port_may_reach(t, a, peer))
        return 0;
    if ((families_of(a) & bit) == 0)
        return PV_TURN_E_PEER_FAMILY_MISMATCH;
    bool allowed = a->member != NULL ? member_is_virtual(t, peer)
                                     : pv_turnpeer_is_allowed(peer, &t->rules) ||
                                           relay_is_neighbour(t, a, peer, exact);
    return allowed ? 0 : PV_TURN_E_FORBIDDEN;
}

/* Answers success without attributes. */
static void answer_done(struct pv_turns *t, const struct req *q)
{
    struct pv_stun_writer w;
    struct pv_turns_out *out = auth_begin(t, q, PV_STUN_SUCCESS, &w);
    if (out != NULL)
        auth_end(t, q, out, &w);
}

/* All peers of a CreatePermission are judged before the first is let in: the request counts wholly
 * or not at all (RFC 8656 s10.2). Repeated addresses are counted twice here, which only refuses a
 * request that is odd anyway. */
static unsigned judge_peers(struct pv_turns *t, const struct req *q, struct alloc *a, size_t *ret_n)
{
    size_t fresh = 0;
    size_t n = 0;
    for (size_t i = 0; i < pv_stun_covered(q->msg); i++) {
        struct pv_addr peer;
        if (q->msg->attrs[i].type != PV_TURN_ATTR_XOR_PEER_ADDRESS)
            continue;
        if (pv_stun_attr_xor_addr(q->msg, i, &peer) < 0)
            return PV_STUN_E_BAD_REQUEST;
        unsigned code = judge_peer(t, a, &peer, false);
        if (code != 0)
            return code;
        n++;
        if (perm_of(a, &peer, q->now) == NULL)
            fresh++;
    }
    *ret_n = n;
    if (a->user != NULL && fresh > perm_room(t, a, q->now))
        return PV_TURN_E_NO_CAPACITY;
    return n == 0 ? PV_STUN_E_BAD_REQUEST : 0;
}

/* Members need no permissions; the request tells them whether the peer could have one. */
static void handle_create_permission(struct pv_turns *t, struct req *q, struct alloc *a)
{
    size_t n = 0;
    unsigned code = judge_peers(t, q, a, &n);
    for (size_t i = 0; code == 0 && a->user != NULL && i < pv_stun_covered(q->msg); i++) {
        struct pv_addr peer;
        if (q->msg->attrs[i].type == PV_TURN_ATTR_XOR_PEER_ADDRESS &&
            pv_stun_attr_xor_addr(q->msg, i, &peer) == PV_OK && perm_add(t, a, &peer, q->now) < 0)
            code = PV_TURN_E_NO_CAPACITY;
    }
    if (code != 0)
        auth_refuse(t, q, code);
    else
        answer_done(t, q);
}

/* Returns 0 or an error code. A binding brings a permission with it (RFC 8656 s12.2), so the room
 * for that is looked for first: a channel without one would swallow data. Stock clients may use
 * numbers of RFC 5766, up to 0x7FFF. */
static unsigned handle_channel_bind(struct pv_turns *t, const struct req *q, struct alloc *a)
{
    uint32_t number;
    struct pv_addr peer;
    if (pv_stun_get_u32(q->msg, PV_TURN_ATTR_CHANNEL_NUMBER, &number) < 0 ||
        pv_stun_get_xor_addr(q->msg, PV_TURN_ATTR_XOR_PEER_ADDRESS, &peer) < 0)
        return PV_STUN_E_BAD_REQUEST;
    number >>= 16;
    if (number < PV_TURN_CHANNEL_MIN ||
        number > (a->member != NULL ? (uint32_t)PV_TURN_CHANNEL_MAX : (uint32_t)CHANNEL_MAX))
        return PV_STUN_E_BAD_REQUEST;
    unsigned code = judge_peer(t, a, &peer, true);
    if (code != 0)
        return code;
    if (a->user != NULL && perm_of(a, &peer, q->now) == NULL && perm_room(t, a, q->now) == 0)
        return PV_TURN_E_NO_CAPACITY;
    int r = chan_bind(t, a, (uint16_t)number, &peer, q->now);
    if (r == PV_ERR_EXISTS)
        return PV_STUN_E_BAD_REQUEST; /* and no permission with it */
    if (r == PV_OK && a->user != NULL)
        r = perm_add(t, a, &peer, q->now);
    return r < 0 ? PV_TURN_E_NO_CAPACITY : 0;
}

/* --- dispatch -------------------------------------------------------------------------------- */

/* These requests need an allocation, answered and of the same credentials (441 else, RFC 8656 s4).
 * A member that came back has the same struct. */
static void with_allocation(struct pv_turns *t, struct req *q)
{
    struct alloc *a = alloc_find(t, q->way);
    if (a == NULL || a->pending) {
        auth_refuse(t, q, PV_TURN_E_ALLOCATION_MISMATCH);
        return;
    }
    if (a->member != q->member || a->user != q->user) {
        auth_refuse(t, q, PV_TURN_E_WRONG_CREDENTIALS);
        return;
    }
    if (q->msg->method == PV_TURN_REFRESH) {
        handle_refresh(t, q, a);
    } else if (q->msg->method == PV_TURN_CREATE_PERMISSION) {
        handle_create_permission(t, q, a);
    } else {
        unsigned code = handle_channel_bind(t, q, a);
        if (code != 0)
            auth_refuse(t, q, code);
        else
            answer_done(t, q);
    }
}

/* Unknown methods get no answer, not even a request for credentials. */
static void request_handle(struct pv_turns *t, struct req *q)
{
    switch (q->msg->method) {
    case PV_TURN_ALLOCATE:
    case PV_TURN_REFRESH:
    case PV_TURN_CREATE_PERMISSION:
    case PV_TURN_CHANNEL_BIND:
        break;
    default:
        return;
    }
    if (!auth_check(t, q) || refuse_unknown(t, q))
        return;
    if (q->msg->method == PV_TURN_ALLOCATE)
        handle_allocate(t, q);
    else
        with_allocation(t, q);
}

/* --- members --------------------------------------------------------------------------------- */

/* A member comes with a welcome, goes offline with its control channel, and ends with its removal.
 */

/* Both halves are hashes: of the coordinator's key, and of the node's. 64 bits of the latter are
 * enough to find a member, not to be one: member_find() compares the key. */
static struct pv_addr virtual_addr(const struct pv_turns *t, const uint8_t *node)
{
    uint8_t hash[PV_BLAKE2B_LEN];
    uint8_t ip[16];
    pv_blake2b(hash, pv_view(node, PV_TURNAUTH_NODE_LEN), pv_view(NULL, 0), pv_view(NULL, 0));
    memcpy(ip, t->prefix, 8);
    memcpy(ip + 8, hash, 8);
    return pv_addr6(ip, PV_TURN_VIRTUAL_PORT);
}

/* The member itself, not another one with the same 64 bits of hash; NULL: not known. */
static struct member *member_find(const struct pv_turns *t, const uint8_t *net, const uint8_t *node)
{
    struct pv_addr addr = virtual_addr(t, node);
    struct member *m = member_at(t, net, &addr);
    return m != NULL && memcmp(m->who + PV_TURNAUTH_NET_LEN, node, PV_TURNAUTH_NODE_LEN) == 0
               ? m
               : NULL;
}

/* Ends its allocation and frees it. Wiped before it is freed: it holds the key of the member's
 * password. */
static void member_forget(struct pv_turns *t, struct member *m)
{
    if (m->alloc != NULL)
        alloc_free(t, m->alloc);
    member_settled(t, m);
    pv_turntab_del(&t->members, m);
    pv_turntab_del(&t->by_user, m);
    pv_relaystat_set(&t->stats, PV_RELAYSTAT_MEMBERS, t->members.n);
    pv_heap_set(&t->timers, &m->timer.node, PV_NEVER);
    pv_wipe(m, sizeof(*m));
    free(m);
}

/* Bytes a second that a member of this network may have; 0: no limit. The network's own, else
 * that of all. */
static uint32_t policy_bandwidth(const struct pv_turns *t, const uint8_t *net)
{
    for (size_t i = 0; i < t->policy.n_nets; i++) {
        if (memcmp(t->policy.nets[i].net, net, PV_TURNAUTH_NET_LEN) == 0)
            return t->policy.nets[i].bandwidth;
    }
    return t->policy.bandwidth;
}

/* Name and password are derived again here rather than handed over by the control thread: both ends
 * have the same secret (turnauth.h), so secrets need not cross the ring. */
static int new_member(struct pv_turns *t, const uint8_t *net, const uint8_t *node,
                      struct member **ret_member)
{
    char user[PV_TURNAUTH_USER_BUF];
    char password[PV_TURNAUTH_PASSWORD_BUF];
    struct member *m = calloc(1, sizeof(*m));
    if (m == NULL || turns_reserve(t) < 0) {
        free(m);
        return PV_ERR_NOMEM;
    }
    m->timer.kind = TIMER_MEMBER;
    m->bandwidth = policy_bandwidth(t, net);
    m->addr = virtual_addr(t, node);
    member_id(net, &m->addr, m->id);
    memcpy(m->who, net, PV_TURNAUTH_NET_LEN);
    memcpy(m->who + PV_TURNAUTH_NET_LEN, node, PV_TURNAUTH_NODE_LEN);
    pv_turnauth_member(&t->auth, pv_view(m->who, sizeof(m->who)), user, password);
    memcpy(m->user, user, sizeof(m->user));
    int r = pv_turnauth_key(user, password, &m->key);
    pv_wipe(password, sizeof(password));
    if (r == PV_OK && pv_turntab_find(&t->members, m->id) != NULL)
        r = PV_ERR_LIMIT; /* 64 bits of two keys are the same: the first has the address */
    if (r == PV_OK)
        r = pv_turntab_add(&t->members, m);
    if (r == PV_OK) {
        r = pv_turntab_add(&t->by_user, m);
        if (r < 0)
            pv_turntab_del(&t->members, m);
    }
    if (r < 0) {
        pv_wipe(m, sizeof(*m));
        free(m);
        return r;
    }
    pv_relaystat_set(&t->stats, PV_RELAYSTAT_MEMBERS, t->members.n);
    *ret_member = m;
    return PV_OK;
}

/* --- without memory --------------------------------------------------------------------------- */

static void forget_unmet(struct pv_turns *t, const uint8_t *net, const uint8_t *node)
{
    for (size_t i = 0; i < t->n_unmet; i++) {
        struct unmet *u = &t->unmet[i];
        if (memcmp(u->net, net, sizeof(u->net)) != 0 || memcmp(u->node, node, sizeof(u->node)) != 0)
            continue;
        memmove(u, u + 1, (--t->n_unmet - i) * sizeof(*u));
        return;
    }
}

/* Its connection may last for weeks without another welcome, so it is remembered until its Allocate
 * comes. Of too many the oldest relays again after its next welcome. */
static void remember_unmet(struct pv_turns *t, const uint8_t *net, const uint8_t *node,
                           uint32_t serial)
{
    if (t->n_unmet == UNMET_MAX)
        memmove(t->unmet, t->unmet + 1, --t->n_unmet * sizeof(t->unmet[0]));
    struct unmet *u = &t->unmet[t->n_unmet++];
    memcpy(u->net, net, sizeof(u->net));
    memcpy(u->node, node, sizeof(u->node));
    u->serial = serial;
}

/* Tries again to make members for which there was no memory. */
static void member_meet(struct pv_turns *t)
{
    for (size_t n = t->n_unmet; n > 0; n--) {
        const struct unmet u = t->unmet[0];
        (void)!pv_turns_online(t, u.net, u.node, u.serial); /* else it is the last one now */
    }
}

/* A newer serial makes the nonces of all earlier welcomes worthless, so only the newest connection
 * of a node can allocate. */
int pv_turns_online(struct pv_turns *t, const uint8_t *net, const uint8_t *node, uint32_t serial)
{
    if (!t->enabled)
        return PV_ERR_UNSUPPORTED;
    forget_unmet(t, net, node);
    struct member *m = member_find(t, net, node);
    int r = m == NULL ? new_member(t, net, node, &m) : PV_OK;
    if (r == PV_ERR_NOMEM)
        remember_unmet(t, net, node, serial);
    if (r < 0)
        return r;
    m->online = true;
    m->serial = serial;
    m->spent = false;
    member_rearm(t, m);
    return PV_OK;
}

/* The allocation stays: data goes on while the node finds its way back to the coordinator. */
void pv_turns_offline(struct pv_turns *t, const uint8_t *net, const uint8_t *node, pv_ns now)
{
    struct member *m = member_find(t, net, node);
    forget_unmet(t, net, node);
    if (m == NULL || !m->online)
        return;
    m->online = false;
    m->offline_at = now;
    member_rearm(t, m);
}

void pv_turns_gone(struct pv_turns *t, const uint8_t *net, const uint8_t *node)
{
    struct member *m = member_find(t, net, node);
    forget_unmet(t, net, node);
    if (m != NULL)
        member_forget(t, m);
}

/* A command about a member was lost, so the relay does not know any more which members may relay.
 * All of them are back with their next welcome; allocations of connections end too, as an end may
 * have been among what was lost. */
void pv_turns_forget(struct pv_turns *t)
{
    struct member *m;
    t->n_unmet = 0;
    while ((m = pv_turntab_any(&t->members)) != NULL)
        member_forget(t, m);
    for (size_t i = 0; i < t->ways.n_slots;) {
        struct alloc *a = t->ways.slots[i].entry;
        if (a == NULL || a->way.stream == 0) {
            i++;
            continue;
        }
        alloc_free(t, a);
        i = 0; /* others have moved */
    }
}

/* --- the server's life ------------------------------------------------------------------------ */

enum {
    WAYS_MAX = 1 << 18,   /* ours: 5-tuples, four times PV_TURNS_MEMBERS_MAX for static users */
    METHOD_MASK = 0x3eef, /* of a message type: all but the two bits of the class, RFC 8489 s5 */
    PHONE_PORT_PEERS_MAX = 1 << 18, /* ours: peers beyond phone ports that have a channel */
    PASSWORD_MAX = 512, /* ours: characters; with the name and realm it fits pv_turnauth_key() */
};

/* Zero in a configuration stands for the default (turns.h). */
static uint32_t or_default(uint32_t value, uint32_t standard)
{
    return value == 0 ? standard : value;
}

/* Passwords are kept as keys only (RFC 8656 s6): a leak of this memory opens this server, not the
 * other places where the user has the same password. */
static int take_users(struct pv_turns *t, const struct pv_turns_config *cfg)
{
    if (cfg->n_users > PV_TURNS_USERS_MAX)
        return PV_ERR_LIMIT;
    /* One more than needed, because calloc(0) may say NULL without being out of memory. */
    t->users = calloc(cfg->n_users + 1, sizeof(*t->users));
    if (t->users == NULL)
        return PV_ERR_NOMEM;
    for (size_t i = 0; i < cfg->n_users; i++) {
        struct user *u = &t->users[i];
        size_t len = strlen(cfg->users[i].name);
        if (len == 0 || len > PV_TURNAUTH_USER_MAX || strlen(cfg->users[i].password) > PASSWORD_MAX)
            return PV_ERR_LIMIT;
        memcpy(u->name, cfg->users[i].name, len + 1);
        /* Counted before the keys are made: pv_turns_free() wipes what is counted. */
        t->n_users++;
        int r = pv_turnauth_key(u->name, cfg->users[i].password, &u->key);
        if (r == PV_OK)
            r = pv_turnauth_userhash(u->name, u->hash);
        if (r < 0)
            return r;
    }
    return PV_OK;
}

/* Copies the configuration. The virtual prefix is a ULA (RFC 4193) made of the coordinator's key,
 * so each node can compute the relayed address of any other without asking. */
static int take_config(struct pv_turns *t, const struct pv_turns_config *cfg)
{
    uint8_t hash[PV_BLAKE2B_LEN];
    if (cfg->n_own > PV_TURNS_OWN_MAX || cfg->policy.port_hi < cfg->policy.port_lo)
        return PV_ERR_LIMIT;
    pv_blake2b(hash, pv_view(cfg->coordinator_pk, PV_SIGN_PK_LEN), pv_view(NULL, 0),
               pv_view(NULL, 0));
    memcpy(t->phone_port_key, cfg->phone_port_key, sizeof(t->phone_port_key));
    t->prefix[0] = 0xfd;
    memcpy(t->prefix + 1, hash, 5); /* as pv_turn_virtual_addr() */
    t->limits = (struct pv_turns_limits){
        .relays = or_default(cfg->limits.relays, 4096),
        .permissions = or_default(cfg->limits.permissions, 256),
        .channels = or_default(cfg->limits.channels, 1024),
    };
    memcpy(t->relay_bind, cfg->relay_bind, sizeof(t->relay_bind));
    memcpy(t->relay_other, cfg->relay_other, sizeof(t->relay_other));
    if (cfg->n_own > 0)
        memcpy(t->own, cfg->own, cfg->n_own * sizeof(t->own[0]));
    t->rules =
        (struct pv_turnpeer_rules){.allow = t->policy.allow, .own = t->own, .n_own = cfg->n_own};
    pv_turns_set_policy(t, &cfg->policy);
    return take_users(t, cfg);
}

/* The last two tables get their size from the configuration. pv_turns_free() takes any half-made
 * server apart, as the first tables exist by then. */
int pv_turns_new(struct pv_turns **ret_turns, const struct pv_turns_config *cfg,
                 struct pv_stuns *stuns, const struct pv_rng *rng)
{
    struct pv_turns *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return PV_ERR_NOMEM;
    t->rng = *rng;
    t->enabled = cfg->enabled;
    t->stuns = stuns;
    pv_heap_init(&t->timers);
    pv_turnauth_init(&t->auth, rng);
    pv_turntab_init(&t->ways, offsetof(struct alloc, way.key), WAY_KEY, WAYS_MAX, rng);
    pv_turntab_init(&t->formers, offsetof(struct member, former), WAY_KEY, PV_TURNS_MEMBERS_MAX,
                    rng);
    pv_turntab_init(&t->members, offsetof(struct member, id), MEMBER_KEY, PV_TURNS_MEMBERS_MAX,
                    rng);
    pv_turntab_init(&t->by_user, offsetof(struct member, user), MEMBER_USER, PV_TURNS_MEMBERS_MAX,
                    rng);
    pv_turntab_init(&t->phone_port_peers, offsetof(struct chan, phone_port), PHONE_PORT_KEY,
                    PHONE_PORT_PEERS_MAX, rng);
    int r = take_config(t, cfg);
    if (r == PV_OK)
        r = pv_bucket_table_new(&t->phone_port_sources, PV_TURNS_PHONE_PORT_SOURCES,
                                PV_TURNS_PHONE_PORT_SOURCE_RATE, PV_TURNS_PHONE_PORT_SOURCE_BURST,
                                rng);
    if (r == PV_OK) {
        pv_turntab_init(&t->by_token, offsetof(struct relay, token), TOKEN_LEN, t->limits.relays,
                        rng);
        pv_turntab_init(&t->by_place, offsetof(struct relay, place), PLACE_KEY, t->limits.relays,
                        rng);
        t->relays = calloc(t->limits.relays, sizeof(struct relay *));
        t->scratch = calloc(PV_TURNS_BATCH, sizeof(t->scratch[0]));
        if (t->relays == NULL || t->scratch == NULL)
            r = PV_ERR_NOMEM;
    }
    if (r < 0)
        pv_turns_free(t);
    else
        *ret_turns = t;
    return r;
}

/* Members go first, and their allocations with them; then those of static users, then sockets that
 * are only reserved. Nobody polls any more, so the queue is emptied here: a socket is freed as it
 * leaves the queue. */
struct pv_turns *pv_turns_free(struct pv_turns *t)
{
    struct member *m;
    struct alloc *a;
    struct pv_turns_socket op;
    if (t == NULL)
        return NULL;
    while ((m = pv_turntab_any(&t->members)) != NULL)
        member_forget(t, m);
    while ((a = pv_turntab_any(&t->ways)) != NULL)
        alloc_free(t, a);
    for (size_t i = 0; t->relays != NULL && i < t->limits.relays; i++) {
        if (t->relays[i] != NULL && t->relays[i]->state != RELAY_CLOSING)
            relay_close(t, t->relays[i]);
    }
    while (pv_turns_poll_socket(t, &op) == PV_OK)
        ;
    pv_turntab_done(&t->ways);
    pv_turntab_done(&t->formers);
    pv_turntab_done(&t->members);
    pv_turntab_done(&t->by_user);
    pv_turntab_done(&t->by_token);
    pv_turntab_done(&t->by_place);
    pv_turntab_done(&t->phone_port_peers);
    pv_bucket_table_free(t->phone_port_sources);
    pv_heap_done(&t->timers);
    if (t->users != NULL)
        pv_wipe(t->users, t->n_users * sizeof(*t->users));
    free(t->users);
    free(t->relays);
    free(t->scratch);
    pv_turnauth_done(&t->auth);
    pv_wipe(t->phone_port_key, sizeof(t->phone_port_key));
    free(t);
    return NULL;
}

bool pv_turns_enabled(const struct pv_turns *t)
{
    return t->enabled;
}

const struct pv_turnauth *pv_turns_auth(const struct pv_turns *t)
{
    return &t->auth;
}

/* --- input ----------------------------------------------------------------------------------- */

/* Writes the 5-tuple of a datagram as the key of a table. A stream's number stands for all of it,
 * as it is never used again; for UDP the socket's number stands for the local port. All bytes of
 * the key are set, since tables compare them all. */
static struct way make_way(const struct pv_turns_in *in)
{
    struct way way = {.stream = in->stream, .sock = in->sock, .src = in->src, .local = in->local};
    way.local.port = 0;
    pv_store_be64(way.key, in->stream);
    if (in->stream != 0) /* the connection is the 5-tuple */
        return way;
    pv_store_be32(way.key + 8, in->sock);
    pv_store_be16(way.key + 12, in->src.family);
    pv_store_be16(way.key + 14, in->src.port);
    memcpy(way.key + 16, in->src.ip, 16);
    memcpy(way.key + 32, in->local.ip, 16);
    return way;
}

/* FINGERPRINT is checked where there is one (RFC 8489 s7.3): a datagram with a wrong one is not
 * STUN. Answers then carry one too. Indications other than Send have no meaning for a server (RFC
 * 8656 s11). */
static void handle_stun(struct pv_turns *t, const struct pv_turns_in *in, const struct way *way,
                        pv_ns now)
{
    struct pv_stun_msg msg;
    if (pv_stun_decode(pv_view(in->ptr, in->len), &msg) < 0)
        return;
    struct req q = {.way = way,
                    .msg = &msg,
                    .now = now,
                    .fingerprint = pv_stun_has(&msg, PV_STUN_ATTR_FINGERPRINT)};
    if (q.fingerprint && pv_stun_check_fingerprint(&msg) < 0)
        return;
    if (msg.cls == PV_STUN_REQUEST)
        request_handle(t, &q);
    else if (msg.cls == PV_STUN_INDICATION && msg.method == PV_TURN_SEND)
        relay_send(t, way, &msg, now);
}

/* The socket and the first byte tell the kinds of datagrams apart (RFC 7983 s7). On a relay socket
 * all of them are data. The rest gets no answer. */
static void handle_one(struct pv_turns *t, const struct pv_turns_in *in, pv_ns now)
{
    if (in->len > PV_TURNS_DATAGRAM_MAX) {
        pv_relaystat_add(&t->stats, PV_RELAYSTAT_DROP_MALFORMED, 1);
        return;
    }
    if (in->sock >= PV_TURNS_RELAY0) {
        relay_from_peer(t, in, now);
        return;
    }
    if (in->len < PV_TURN_CHANNEL_HEADER)
        return;
    struct way way = make_way(in);
    if (in->ptr[0] >= 0x40 && in->ptr[0] <= 0x7f)
        relay_channel_data(t, &way, in->ptr, in->len, now);
    else if (in->ptr[0] < 4)
        handle_stun(t, in, &way, now);
}

/* A switched-off relay takes everything and does nothing with it, so that callers need not ask. */
size_t pv_turns_add(struct pv_turns *t, const struct pv_turns_in *in, size_t n, pv_ns now)
{
    size_t room = PV_TURNS_BATCH - t->n_out;
    if (n > room)
        n = room;
    for (size_t i = 0; t->enabled && i < n; i++)
        handle_one(t, &in[i], now);
    return n;
}

size_t pv_turns_batch(struct pv_turns *t, const struct pv_turns_in *in, size_t n, pv_ns now)
{
    t->n_out = 0;
    return pv_turns_add(t, in, n, now);
}

bool pv_turns_is_turn(struct pv_view datagram)
{
    if (datagram.len < PV_TURN_CHANNEL_HEADER)
        return false;
    if (datagram.ptr[0] >= 0x40 && datagram.ptr[0] <= 0x7f)
        return true;
    /* STUN with the cookie, and a method other than Binding in any class. */
    return datagram.len >= PV_STUN_HEADER_LEN && datagram.ptr[0] < 4 &&
           pv_load_be32(datagram.ptr + 4) == PV_STUN_COOKIE &&
           (pv_load_be16(datagram.ptr) & METHOD_MASK) != PV_STUN_BINDING;
}

/* Finds the allocation of a connection over TCP, whose number alone is its 5-tuple. */
static struct alloc *of_stream(const struct pv_turns *t, uint64_t stream)
{
    struct pv_turns_in in = {.stream = stream};
    struct way way = make_way(&in);
    return alloc_find(t, &way);
}

bool pv_turns_has_stream(const struct pv_turns *t, uint64_t stream)
{
    return of_stream(t, stream) != NULL;
}

void pv_turns_stream_closed(struct pv_turns *t, uint64_t stream)
{
    struct alloc *a = of_stream(t, stream);
    t->n_out = 0;
    if (a == NULL)
        return;
    if (a->member != NULL)
        alloc_detach(t, a); /* it comes back, and its channels are still there */
    else
        alloc_free(t, a);
}

/* --- timers that are due, and questions ------------------------------------------------------- */

/* A timer belongs to a member that is offline, to an allocation of a static user, or to a reserved
 * socket; in each case its time is over. */
static void end_timer(struct pv_turns *t, struct timer *timer)
{
    switch (timer->kind) {
    case TIMER_MEMBER:
        member_forget(t, PV_CONTAINER_OF(timer, struct member, timer));
        break;
    case TIMER_ALLOC:
        alloc_free(t, PV_CONTAINER_OF(timer, struct alloc, timer));
        break;
    case TIMER_RELAY:
        relay_close(t, PV_CONTAINER_OF(timer, struct relay, timer));
        break;
    }
}

void pv_turns_handle_timeout(struct pv_turns *t, pv_ns now)
{
    struct pv_heap_node *node;
    t->n_out = 0;
    /* Freeing one thing may free others, which takes their timers out of the heap: the next is
     * looked for anew. */
    while ((node = pv_heap_pop_due(&t->timers, now)) != NULL)
        end_timer(t, PV_CONTAINER_OF(node, struct timer, node));
}

pv_ns pv_turns_next_timeout(const struct pv_turns *t)
{
    return pv_heap_next(&t->timers);
}

size_t pv_turns_phone_port_peers(const struct pv_turns *t)
{
    return t->phone_port_peers.n;
}

struct pv_relaystats *pv_turns_counters(struct pv_turns *t)
{
    return &t->stats;
}

/* --- what the operator may change ------------------------------------------------------------ */

enum {
    PER_USER = 128,  /* ours: allocations of a static user (turns.h) */
    PORT_LO = 49152, /* RFC 8656 s7.2 */
    PORT_HI = 65535, /* RFC 8656 s7.2 */
};

/* A public address, which clients are told, leads to this machine, so it is refused as a peer
 * (turnpeer.h). Addresses that are public no more stay refused. */
static void add_own(struct pv_turns *t, const struct pv_addr *a)
{
    for (size_t i = 0; i < t->rules.n_own; i++) {
        if (pv_addr_equal_ip(&t->own[i], a))
            return;
    }
    if (t->rules.n_own < PV_TURNS_OWN_MAX && a->family != PV_AF_NONE)
        t->own[t->rules.n_own++] = *a;
}

void pv_turns_set_policy(struct pv_turns *t, const struct pv_turns_policy *policy)
{
    t->policy = *policy;
    t->policy.per_user = or_default(policy->per_user, PER_USER);
    t->policy.port_lo = (uint16_t)or_default(policy->port_lo, PORT_LO);
    t->policy.port_hi = (uint16_t)or_default(policy->port_hi, PORT_HI);
    t->policy.phone_ports_per_net =
        or_default(policy->phone_ports_per_net, PV_TURNS_PHONE_PORTS_NET);
    t->rules.n_allow = policy->n_allow;
    add_own(t, &policy->relay_public[0]);
    add_own(t, &policy->relay_public[1]);
    for (size_t i = 0; i < t->members.n_slots; i++) {
        struct member *m = t->members.slots[i].entry;
        if (m != NULL)
            m->bandwidth = policy_bandwidth(t, m->who);
    }
}

/* --- what became of opening a relay socket --------------------------------------------------- */

/* After the owner has tried to open one, the server goes on with another port, with its odd
 * neighbour, or with the answer to the Allocate that waits for it. */

/* Can the Allocate be answered? A pair that is still wanted, or of which one half is missing, is
 * not open. */
static bool all_open(const struct alloc *a)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(a->relays); i++) {
        const struct relay *r = a->relays[i];
        if (r != NULL && (r->state != RELAY_OPEN || r->pair != NULL || r->reserve))
            return false;
    }
    return true;
}

/* There is no socket for this family. IPv6 as an additional family only costs that half (RFC 8656
 * s7.2); without the first socket the whole allocation fails. */
static void give_up(struct pv_turns *t, struct relay *r, pv_ns now)
{
    struct alloc *a = r->alloc;
    size_t family = family_of(&r->bind);
    if (family == 0 || a->relays[0] == NULL) {
        request_allocated(t, a, PV_TURN_E_NO_CAPACITY, now);
        return;
    }
    a->family_error = PV_TURN_E_NO_CAPACITY;
    a->relays[family] = NULL;
    relay_close(t, r);
    if (all_open(a))
        request_allocated(t, a, 0, now);
}

/* The port was taken. A pair that lost its odd half begins anew with another even port: the even
 * one that is open already cannot be kept, its neighbour will not become free. tries counts over
 * all of them, so that a full range ends in an error. */
static void try_another_port(struct pv_turns *t, struct relay *r, pv_ns now)
{
    struct alloc *a = r->alloc;
    size_t family = family_of(&r->bind);
    unsigned tries = r->tries + 1;
    if (tries >= PV_TURNS_PORT_TRIES) {
        give_up(t, r, now);
        return;
    }
    if (r->state == RELAY_OPEN) { /* it is open, its neighbour could not be */
        bool reserve = r->reserve;
        a->relays[family] = NULL;
        relay_close(t, r);
        if (relay_want(t, a, family, true, reserve) < 0) {
            request_allocated(t, a, PV_TURN_E_NO_CAPACITY, now);
            return;
        }
        a->relays[family]->tries = tries;
        return;
    }
    r->tries = tries;
    relay_choose_port(t, r);
    relay_ask(t, r);
}

/* The even one is open: now the odd one above it, which has no allocation yet. A later Allocate
 * with the token gets it (RFC 8656 s7.2). */
static void want_neighbour(struct pv_turns *t, struct relay *r, pv_ns now)
{
    struct relay *odd = NULL;
    if (!relay_port_fits(t, r)) {
        try_another_port(t, r, now);
        return;
    }
    if (relay_new(t, &odd) < 0) {
        give_up(t, r, now);
        return;
    }
    odd->bind = r->bind;
    odd->shown = r->shown;
    odd->bind.port++;
    odd->shown.port++;
    odd->pair = r;
    r->pair = odd;
    relay_hand_on(r, odd);
    relay_ask(t, odd);
}

/* Only a taken port is worth another try; any other failure would come again. The token is random,
 * and the client alone is told it, so nobody else can take the reserved port. */
static void neighbour_opened(struct pv_turns *t, struct relay *odd, int status, pv_ns now)
{
    struct relay *r = odd->pair;
    r->pair = NULL;
    odd->pair = NULL;
    if (status == PV_OK) {
        pv_rng_fill(&t->rng, odd->token, sizeof(odd->token));
        relay_set_open(t, odd);
        status = pv_turntab_add(&t->by_token, odd);
    }
    if (status < 0) {
        relay_close(t, odd);
        if (status == PV_ERR_EXISTS)
            try_another_port(t, r, now);
        else
            give_up(t, r, now);
        return;
    }
    pv_heap_set(&t->timers, &odd->timer.node, now + PV_S(PV_TURNS_RESERVE_S));
    memcpy(r->alloc->token, odd->token, sizeof(odd->token));
    r->alloc->has_token = true;
    r->reserve = false;
    if (all_open(r->alloc))
        request_allocated(t, r->alloc, 0, now);
}

/* The owner has tried to open a socket. An answer for a socket that is closed by now, because the
 * allocation ended meanwhile, finds the number free or in another state and is ignored. */
void pv_turns_opened(struct pv_turns *t, uint32_t sock, int status, pv_ns now)
{
    size_t i = sock - PV_TURNS_RELAY0;
    struct relay *r = i < t->limits.relays ? t->relays[i] : NULL;
    t->n_out = 0;
    if (r == NULL || r->state != RELAY_ASKED)
        return;
    if (r->is_phone_port) {
        phone_port_opened(t, r, status);
        return;
    }
    if (r->pair != NULL && r->alloc == NULL) {
        neighbour_opened(t, r, status, now);
        return;
    }
    if (status == PV_OK && r->even && r->bind.port % 2 == 1)
        status = PV_ERR_EXISTS; /* a range of one odd port */
    if (status == PV_ERR_EXISTS) {
        try_another_port(t, r, now);
    } else if (status < 0) {
        give_up(t, r, now);
    } else {
        relay_set_open(t, r);
        if (r->reserve)
            want_neighbour(t, r, now);
        else if (all_open(r->alloc))
            request_allocated(t, r->alloc, 0, now);
    }
}
