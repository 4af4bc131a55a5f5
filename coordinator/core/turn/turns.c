/* SPDX-License-Identifier: MIT */
/* turns.c - the TURN server as a whole: its life, the batch of input, timers, policy, and what
 * becomes of opening relay sockets. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "coordinator/core/turn/turns_int.h"
#include "crypto/ct.h"
#include "crypto/sign.h"
#include "proto/stun/turn.h"

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
        struct pv_turns_account *u = &t->users[i];
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
    pv_turntab_init(&t->ways, offsetof(struct pv_turns_alloc, way.key), PV_TURNS_WAY_KEY, WAYS_MAX,
                    rng);
    pv_turntab_init(&t->formers, offsetof(struct pv_turns_member, former), PV_TURNS_WAY_KEY,
                    PV_TURNS_MEMBERS_MAX, rng);
    pv_turntab_init(&t->members, offsetof(struct pv_turns_member, id), PV_TURNS_MEMBER_KEY,
                    PV_TURNS_MEMBERS_MAX, rng);
    pv_turntab_init(&t->by_user, offsetof(struct pv_turns_member, user), PV_TURNS_MEMBER_USER,
                    PV_TURNS_MEMBERS_MAX, rng);
    pv_turntab_init(&t->phone_port_peers, offsetof(struct pv_turns_chan, phone_port),
                    PV_TURNS_PHONE_PORT_KEY, PHONE_PORT_PEERS_MAX, rng);
    int r = take_config(t, cfg);
    if (r == PV_OK)
        r = pv_bucket_table_new(&t->phone_port_sources, PV_TURNS_PHONE_PORT_SOURCES,
                                PV_TURNS_PHONE_PORT_SOURCE_RATE, PV_TURNS_PHONE_PORT_SOURCE_BURST,
                                rng);
    if (r == PV_OK) {
        pv_turntab_init(&t->by_token, offsetof(struct pv_turns_relay, token), PV_TURNS_TOKEN_LEN,
                        t->limits.relays, rng);
        pv_turntab_init(&t->by_place, offsetof(struct pv_turns_relay, place), PV_TURNS_PLACE_KEY,
                        t->limits.relays, rng);
        t->relays = calloc(t->limits.relays, sizeof(struct pv_turns_relay *));
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

/* Frees members first, with their allocations; then static users' allocations, then sockets that
 * are only reserved. Nobody polls from now on, so the queue is emptied here: a socket is freed as
 * it leaves the queue. */
struct pv_turns *pv_turns_free(struct pv_turns *t)
{
    struct pv_turns_member *m;
    struct pv_turns_alloc *a;
    struct pv_turns_socket op;
    if (t == NULL)
        return NULL;
    while ((m = pv_turntab_any(&t->members)) != NULL)
        pv_turns_member_forget(t, m);
    while ((a = pv_turntab_any(&t->ways)) != NULL)
        pv_turns_alloc_free(t, a);
    for (size_t i = 0; t->relays != NULL && i < t->limits.relays; i++) {
        if (t->relays[i] != NULL && t->relays[i]->state != PV_TURNS_RELAY_CLOSING)
            pv_turns_relay_close(t, t->relays[i]);
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
static struct pv_turns_way make_way(const struct pv_turns_in *in)
{
    struct pv_turns_way way = {
        .stream = in->stream, .sock = in->sock, .src = in->src, .local = in->local};
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
static void handle_stun(struct pv_turns *t, const struct pv_turns_in *in,
                        const struct pv_turns_way *way, pv_ns now)
{
    struct pv_stun_msg msg;
    if (pv_stun_decode(pv_view(in->ptr, in->len), &msg) < 0)
        return;
    struct pv_turns_req q = {.way = way,
                             .msg = &msg,
                             .now = now,
                             .fingerprint = pv_stun_has(&msg, PV_STUN_ATTR_FINGERPRINT)};
    if (q.fingerprint && pv_stun_check_fingerprint(&msg) < 0)
        return;
    if (msg.cls == PV_STUN_REQUEST)
        pv_turns_request_handle(t, &q);
    else if (msg.cls == PV_STUN_INDICATION && msg.method == PV_TURN_SEND)
        pv_turns_relay_send(t, way, &msg, now);
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
        pv_turns_relay_from_peer(t, in, now);
        return;
    }
    if (in->len < PV_TURN_CHANNEL_HEADER)
        return;
    struct pv_turns_way way = make_way(in);
    if (in->ptr[0] >= 0x40 && in->ptr[0] <= 0x7f)
        pv_turns_relay_channel_data(t, &way, in->ptr, in->len, now);
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
static struct pv_turns_alloc *of_stream(const struct pv_turns *t, uint64_t stream)
{
    struct pv_turns_in in = {.stream = stream};
    struct pv_turns_way way = make_way(&in);
    return pv_turns_alloc_find(t, &way);
}

enum pv_turns_holder pv_turns_stream_holder(const struct pv_turns *t, uint64_t stream)
{
    const struct pv_turns_alloc *a = of_stream(t, stream);
    return a == NULL ? PV_TURNS_NOBODY : a->member != NULL ? PV_TURNS_MEMBER : PV_TURNS_USER;
}

void pv_turns_stream_closed(struct pv_turns *t, uint64_t stream)
{
    struct pv_turns_alloc *a = of_stream(t, stream);
    t->n_out = 0;
    if (a == NULL)
        return;
    if (a->member != NULL)
        pv_turns_alloc_detach(t, a); /* it comes back, and its channels are still there */
    else
        pv_turns_alloc_free(t, a);
}

/* --- timers that are due, and questions ------------------------------------------------------- */

/* A timer belongs to a member that is offline, to an allocation of a static user, or to a reserved
 * socket; in each case its time is over. */
static void end_timer(struct pv_turns *t, struct pv_turns_timer *timer)
{
    switch (timer->kind) {
    case PV_TURNS_TIMER_MEMBER:
        pv_turns_member_forget(t, PV_CONTAINER_OF(timer, struct pv_turns_member, timer));
        break;
    case PV_TURNS_TIMER_ALLOC:
        pv_turns_alloc_free(t, PV_CONTAINER_OF(timer, struct pv_turns_alloc, timer));
        break;
    case PV_TURNS_TIMER_RELAY:
        pv_turns_relay_close(t, PV_CONTAINER_OF(timer, struct pv_turns_relay, timer));
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
        end_timer(t, PV_CONTAINER_OF(node, struct pv_turns_timer, node));
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
        struct pv_turns_member *m = t->members.slots[i].entry;
        if (m != NULL)
            m->bandwidth = pv_turns_policy_bandwidth(t, m->who);
    }
}

/* --- what became of opening a relay socket --------------------------------------------------- */

/* After the owner has tried to open one, the server goes on with another port, with its odd
 * neighbour, or with the answer to the Allocate that waits for it. */

/* Returns true if the Allocate can be answered. A pair that is still wanted, or that lacks one
 * half, is not open. */
static bool all_open(const struct pv_turns_alloc *a)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(a->relays); i++) {
        const struct pv_turns_relay *r = a->relays[i];
        if (r != NULL && (r->state != PV_TURNS_RELAY_OPEN || r->pair != NULL || r->reserve))
            return false;
    }
    return true;
}

/* There is no socket for this family. IPv6 as an additional family only costs that half (RFC 8656
 * s7.2); without the first socket the whole allocation fails. */
static void give_up(struct pv_turns *t, struct pv_turns_relay *r, pv_ns now)
{
    struct pv_turns_alloc *a = r->alloc;
    size_t family = pv_turns_family_of(&r->bind);
    if (family == 0 || a->relays[0] == NULL) {
        pv_turns_request_allocated(t, a, PV_TURN_E_NO_CAPACITY, now);
        return;
    }
    a->family_error = PV_TURN_E_NO_CAPACITY;
    a->relays[family] = NULL;
    pv_turns_relay_close(t, r);
    if (all_open(a))
        pv_turns_request_allocated(t, a, 0, now);
}

/* The port was taken. A pair that lost its odd half begins anew with another even port: the even
 * one that is open already cannot be kept, its neighbour will not become free. tries counts over
 * all of them, so that a full range ends in an error. */
static void try_another_port(struct pv_turns *t, struct pv_turns_relay *r, pv_ns now)
{
    struct pv_turns_alloc *a = r->alloc;
    size_t family = pv_turns_family_of(&r->bind);
    unsigned tries = r->tries + 1;
    if (tries >= PV_TURNS_PORT_TRIES) {
        give_up(t, r, now);
        return;
    }
    if (r->state == PV_TURNS_RELAY_OPEN) { /* it is open, its neighbour could not be */
        bool reserve = r->reserve;
        a->relays[family] = NULL;
        pv_turns_relay_close(t, r);
        if (pv_turns_relay_want(t, a, family, true, reserve) < 0) {
            pv_turns_request_allocated(t, a, PV_TURN_E_NO_CAPACITY, now);
            return;
        }
        a->relays[family]->tries = tries;
        return;
    }
    r->tries = tries;
    pv_turns_relay_choose_port(t, r);
    pv_turns_relay_ask(t, r);
}

/* The even one is open: now the odd one above it, which has no allocation yet. A later Allocate
 * with the token gets it (RFC 8656 s7.2). */
static void want_neighbour(struct pv_turns *t, struct pv_turns_relay *r, pv_ns now)
{
    struct pv_turns_relay *odd = NULL;
    if (!pv_turns_relay_port_fits(t, r)) {
        try_another_port(t, r, now);
        return;
    }
    if (pv_turns_relay_new(t, &odd) < 0) {
        give_up(t, r, now);
        return;
    }
    odd->bind = r->bind;
    odd->shown = r->shown;
    odd->bind.port++;
    odd->shown.port++;
    odd->pair = r;
    r->pair = odd;
    pv_turns_relay_hand_on(r, odd);
    pv_turns_relay_ask(t, odd);
}

/* Only a taken port is worth another try; any other failure would come again. The token is random,
 * and the client alone is told it, so nobody else can take the reserved port. */
static void neighbour_opened(struct pv_turns *t, struct pv_turns_relay *odd, int status, pv_ns now)
{
    struct pv_turns_relay *r = odd->pair;
    r->pair = NULL;
    odd->pair = NULL;
    if (status == PV_OK) {
        pv_rng_fill(&t->rng, odd->token, sizeof(odd->token));
        pv_turns_relay_set_open(t, odd);
        status = pv_turntab_add(&t->by_token, odd);
    }
    if (status < 0) {
        pv_turns_relay_close(t, odd);
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
        pv_turns_request_allocated(t, r->alloc, 0, now);
}

/* The owner has tried to open a socket. An answer for a socket that is closed by now, because the
 * allocation ended meanwhile, finds the number free or in another state and is ignored. */
void pv_turns_opened(struct pv_turns *t, uint32_t sock, int status, pv_ns now)
{
    size_t i = sock - PV_TURNS_RELAY0;
    struct pv_turns_relay *r = i < t->limits.relays ? t->relays[i] : NULL;
    t->n_out = 0;
    if (r == NULL || r->state != PV_TURNS_RELAY_ASKED)
        return;
    if (r->is_phone_port) {
        pv_turns_phone_port_opened(t, r, status);
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
        pv_turns_relay_set_open(t, r);
        if (r->reserve)
            want_neighbour(t, r, now);
        else if (all_open(r->alloc))
            pv_turns_request_allocated(t, r->alloc, 0, now);
    }
}
