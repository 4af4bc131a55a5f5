/* SPDX-License-Identifier: MIT */
/* Relay sockets of static users: wanted, bound to a port, reserved, found as somebody's peer,
 * closed. They are numbers and states here; the owner opens and closes the real ones when it
 * polls. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "coordinator/core/turn/turns_int.h"

/* --- the queue of what the owner has to do --------------------------------------------------- */

/* A socket stands in the queue once. When it is closed before anybody polled, the owner is only
 * told to close it. */
static void enqueue(struct pv_turns *t, struct pv_trelay *r)
{
    if (r->queued)
        return;
    r->queued = true;
    r->next_op = NULL;
    if (t->ops_tail == NULL)
        t->ops_head = r;
    else
        t->ops_tail->next_op = r;
    t->ops_tail = r;
}

/* The number is free again only now, when the owner knows that the socket is to be closed. */
static void free_relay(struct pv_turns *t, struct pv_trelay *r)
{
    t->relays[r->sock - PV_TURNS_RELAY0] = NULL;
    t->n_relays--;
    pv_relaystat_set(&t->stats, PV_RELAYSTAT_SOCKETS, t->n_relays);
    free(r);
}

/* Closing needs no answer, so the socket is forgotten as soon as the owner has been told. */
int pv_turns_poll_socket(struct pv_turns *t, struct pv_turns_socket *ret_op)
{
    struct pv_trelay *r = t->ops_head;
    if (r == NULL)
        return PV_ERR_AGAIN;
    t->ops_head = r->next_op;
    if (t->ops_head == NULL)
        t->ops_tail = NULL;
    r->queued = false;
    ret_op->sock = r->sock;
    ret_op->open = r->state != PV_TRELAY_CLOSING;
    ret_op->addr = r->bind;
    if (ret_op->open)
        r->state = PV_TRELAY_ASKED;
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
    if (pv_addr_ip_len(local) > 0 && pv_tfamily(local) == family)
        return *local;
    return t->relay_other[family];
}

bool pv_trelay_can(const struct pv_turns *t, size_t family, const struct pv_addr *local)
{
    return bind_addr(t, family, local).family != PV_AF_NONE;
}

void pv_trelay_locate(const struct pv_turns *t, struct pv_trelay *r, size_t family,
                      const struct pv_addr *local)
{
    const struct pv_addr *shown = &t->relay_public[family];
    r->bind = bind_addr(t, family, local);
    r->shown = shown->family != PV_AF_NONE ? *shown : r->bind;
}

/* It stands in files that nobody changes when a program restarts, so it is made of what stays:
 * network and key of the member, and a secret, or a member could make keys until one has the port
 * of another's door. */
static uint32_t draw_of_door(const struct pv_turns *t, const struct pv_trelay *r, uint32_t n)
{
    const uint8_t tries = (uint8_t)r->tries;
    uint8_t hash[PV_BLAKE2B_LEN];
    pv_blake2b(hash, pv_view(t->door_key, sizeof(t->door_key)),
               pv_view(r->alloc->member->who, PV_TMEMBER_WHO), pv_view(&tries, 1));
    return pv_load_be32(hash) % n;
}

/* The port is random over the whole range (RFC 8656 s7.2, RFC 6056): a stranger who wants to send
 * to a relayed address first has to find it. */
void pv_trelay_choose_port(struct pv_turns *t, struct pv_trelay *r)
{
    uint32_t n = (uint32_t)t->port_hi - t->port_lo + 1;
    uint32_t draw = r->is_door ? draw_of_door(t, r, n) : pv_rng_below(&t->rng, n);
    uint16_t port = (uint16_t)(t->port_lo + draw);
    if (r->even && port % 2 == 1)
        port = port == t->port_lo ? (uint16_t)(port + 1) : (uint16_t)(port - 1);
    r->bind.port = port;
    r->shown.port = port;
}

bool pv_trelay_port_fits(const struct pv_turns *t, const struct pv_trelay *r)
{
    uint16_t last = r->bind.port;
    if (r->reserve)
        last++;
    return r->bind.port >= t->port_lo && last <= t->port_hi && (!r->even || r->bind.port % 2 == 0);
}

/* Numbers are used again late, since the search goes on behind the last one: a datagram under way
 * must not meet another allocation. A free slot exists, for there are as many slots as sockets may
 * be. */
int pv_trelay_new(struct pv_turns *t, struct pv_trelay **ret_relay)
{
    if (t->n_relays >= t->limits.relays)
        return PV_ERR_LIMIT;
    while (t->relays[t->next_relay] != NULL)
        t->next_relay = (t->next_relay + 1) % t->limits.relays;
    struct pv_trelay *r = calloc(1, sizeof(*r));
    if (r == NULL || pv_tturns_reserve(t) < 0) {
        free(r);
        return PV_ERR_NOMEM;
    }
    r->sock = (uint32_t)(PV_TURNS_RELAY0 + t->next_relay);
    r->timer.kind = PV_TTIMER_RELAY;
    t->relays[t->next_relay] = r;
    t->n_relays++;
    pv_relaystat_set(&t->stats, PV_RELAYSTAT_SOCKETS, t->n_relays);
    t->next_relay = (t->next_relay + 1) % t->limits.relays;
    *ret_relay = r;
    return PV_OK;
}

void pv_trelay_ask(struct pv_turns *t, struct pv_trelay *r)
{
    r->state = PV_TRELAY_WANTED;
    enqueue(t, r);
}

/* A reserved port counts from the request on that asks for it, so that many at once find the
 * limit. */
static void hold(struct pv_trelay *r, struct pv_tuser *user, bool promised)
{
    r->holder = user;
    r->promised = promised;
    user->n_socks++;
    user->n_reserved += promised ? 1 : 0;
}

static void let_go(struct pv_trelay *r)
{
    if (r->holder == NULL)
        return;
    r->holder->n_socks--;
    r->holder->n_reserved -= r->promised ? 1 : 0;
    r->holder = NULL;
    r->promised = false;
}

void pv_trelay_hand_on(struct pv_trelay *r, struct pv_trelay *odd)
{
    struct pv_tuser *user = r->holder;
    hold(odd, user, r->promised);
    let_go(r);
    hold(r, user, false);
}

/* r is the allocation's from now on, open or not: the end of the allocation closes it. */
int pv_trelay_want(struct pv_turns *t, struct pv_talloc *a, size_t family, bool even, bool reserve)
{
    struct pv_trelay *r = NULL;
    int e = pv_trelay_new(t, &r);
    if (e < 0)
        return e;
    pv_trelay_locate(t, r, family, &a->way.local);
    r->alloc = a;
    hold(r, a->user, reserve);
    r->even = even;
    r->reserve = reserve;
    a->relays[family] = r;
    pv_trelay_choose_port(t, r);
    pv_trelay_ask(t, r);
    return PV_OK;
}

/* --- relays of this server as peers ---------------------------------------------------------- */

void pv_tplace_of(const struct pv_addr *a, uint8_t key[static PV_TPLACE_KEY])
{
    pv_store_be16(key, a->family);
    pv_store_be16(key + 2, a->port);
    memcpy(key + 4, a->ip, 16);
}

static bool is_shown_at(const struct pv_tshown *s, const struct pv_addr *ip)
{
    return s->n > 0 && pv_addr_equal_ip(&s->ip, ip);
}

/* Counts the sockets that show an address, to answer whether anybody relays there (permissions are
 * by address without a port, RFC 8656 s9). A machine has few addresses; one that finds no place in
 * the list is only not found as a neighbour. */
static void count_shown(struct pv_turns *t, struct pv_trelay *r)
{
    struct pv_tshown *free_one = NULL;
    for (size_t i = 0; i < PV_TSHOWN_MAX && r->counted == NULL; i++) {
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

void pv_trelay_set_open(struct pv_turns *t, struct pv_trelay *r)
{
    r->state = PV_TRELAY_OPEN;
    if (r->alloc != NULL)
        count_shown(t, r);
    pv_tplace_of(&r->shown, r->place);
    /* Without memory, or when two bound addresses show the same one, it is reached from outside
     * only. */
    if (pv_trelay_at(t, &r->shown) == NULL)
        (void)!pv_turntab_add(&t->by_place, r);
}

/* Address and port name exactly one open socket. */
struct pv_trelay *pv_trelay_at(const struct pv_turns *t, const struct pv_addr *shown)
{
    uint8_t key[PV_TPLACE_KEY];
    pv_tplace_of(shown, key);
    return pv_turntab_find(&t->by_place, key);
}

/* An allocation's own sockets do not count as its neighbours, or a client could make this server
 * relay to itself by way of its own address. */
bool pv_trelay_is_neighbour(const struct pv_turns *t, const struct pv_talloc *a,
                            const struct pv_addr *peer, bool exact)
{
    if (exact) {
        const struct pv_trelay *r = pv_trelay_at(t, peer);
        return r != NULL && r->alloc != NULL && r->alloc != a;
    }
    uint32_t own = 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(a->relays); i++)
        own += a->relays[i] != NULL && a->relays[i]->counted != NULL &&
               is_shown_at(a->relays[i]->counted, peer);
    for (size_t i = 0; i < PV_TSHOWN_MAX; i++) {
        if (is_shown_at(&t->shown[i], peer))
            return t->shown[i].n > own;
    }
    return false;
}

/* --- reservations, closing ------------------------------------------------------------------- */

/* A token is good once. */
struct pv_trelay *pv_trelay_redeem(struct pv_turns *t, struct pv_talloc *a,
                                   const uint8_t token[static PV_TTOKEN_LEN])
{
    struct pv_trelay *r = pv_turntab_find(&t->by_token, token);
    if (r == NULL)
        return NULL;
    pv_turntab_del(&t->by_token, r);
    pv_heap_set(&t->timers, &r->timer.node, PV_NEVER);
    r->alloc = a;
    let_go(r);
    hold(r, a->user, false);
    count_shown(t, r);
    a->relays[pv_tfamily(&r->bind)] = r;
    return r;
}

/* The other half of a pair ends with it when nobody has it yet. It leaves all tables at once, so
 * nothing finds it while it waits in the queue. */
void pv_trelay_close(struct pv_turns *t, struct pv_trelay *r)
{
    if (r->pair != NULL) {
        struct pv_trelay *other = r->pair;
        other->pair = NULL;
        r->pair = NULL;
        if (other->alloc == NULL)
            pv_trelay_close(t, other);
    }
    if (pv_turntab_find(&t->by_token, r->token) == r)
        pv_turntab_del(&t->by_token, r);
    pv_turntab_del(&t->by_place, r);
    if (r->counted != NULL)
        r->counted->n--;
    r->counted = NULL;
    if (r->is_door)
        pv_relaystat_set(&t->stats, PV_RELAYSTAT_DOORS, --t->n_doors);
    let_go(r);
    pv_heap_set(&t->timers, &r->timer.node, PV_NEVER);
    r->alloc = NULL;
    r->state = PV_TRELAY_CLOSING; /* a socket that was never asked for: closing it does nothing */
    enqueue(t, r);
}

/* --- what all use ---------------------------------------------------------------------------- */

/* The TURN server's state as all its other files see it: the output of a call, room for timers, and
 * members by their virtual address. Nothing here calls up. */

/* --- output ---------------------------------------------------------------------------------- */

/* Each output has its own scratch, because several of one batch are sent together, after the last
 * of them was written. */
struct pv_turns_out *pv_tout_new(struct pv_turns *t, uint8_t **ret_scratch)
{
    if (t->n_out == PV_TURNS_BATCH)
        return NULL;
    if (ret_scratch != NULL)
        *ret_scratch = t->scratch[t->n_out];
    return &t->out[t->n_out++];
}

struct pv_turns_out *pv_tout_to(struct pv_turns *t, const struct pv_tway *way,
                                uint8_t **ret_scratch)
{
    struct pv_turns_out *out = pv_tout_new(t, ret_scratch);
    if (out != NULL)
        *out = (struct pv_turns_out){
            .dst = way->src, .local = way->local, .sock = way->sock, .stream = way->stream};
    return out;
}

/* A message that did not fit, or whose attribute was too long, is taken back: it must be the last
 * output, which holds as nothing else is begun in between. */
void pv_tout_end(struct pv_turns *t, struct pv_turns_out *out, struct pv_stun_writer *w)
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

/* At least one datagram of any size: with a low limit large ones would never pass. */
bool pv_tout_may(uint32_t rate, struct pv_bucket *b, size_t len, pv_ns now)
{
    return rate == 0 || pv_bucket_take(b, rate, rate > 65536 ? rate : 65536, (uint32_t)len, now);
}

/* The transaction id of a Data indication (RFC 8656 s11.4) means nothing; ours are counted, so that
 * captures can be read. */
static void put_indication(struct pv_turns *t, const struct pv_talloc *to,
                           const struct pv_addr *peer, struct pv_view data)
{
    uint8_t txid[PV_STUN_TXID_LEN] = {'p', 'v'};
    uint8_t *buf = NULL;
    struct pv_turns_out *out = pv_tout_to(t, &to->way, &buf);
    struct pv_stun_writer w;
    if (out == NULL)
        return;
    pv_store_be64(txid + 4, t->next_txid++);
    pv_stun_write_begin(&w, buf, PV_TSCRATCH, PV_STUN_INDICATION, PV_TURN_DATA, txid);
    pv_stun_put_xor_addr(&w, PV_TURN_ATTR_XOR_PEER_ADDRESS, peer);
    pv_stun_put(&w, PV_TURN_ATTR_DATA, data);
    pv_tout_end(t, out, &w);
}

void pv_tout_data(struct pv_turns *t, const struct pv_talloc *to, const struct pv_tchan *c,
                  const struct pv_addr *peer, struct pv_view data, pv_ns now)
{
    uint8_t *buf = NULL;
    if (c == NULL || c->until <= now) {
        put_indication(t, to, peer, data);
        return;
    }
    struct pv_turns_out *out = pv_tout_to(t, &to->way, &buf);
    if (out == NULL)
        return;
    pv_turn_channel_header(buf, c->number, (uint16_t)data.len);
    memcpy(buf + PV_TURN_CHANNEL_HEADER, data.ptr, data.len);
    out->data = pv_view(buf, data.len + PV_TURN_CHANNEL_HEADER);
}

/* --- timers ---------------------------------------------------------------------------------- */

/* The room is made before anything is added, so setting a timer cannot fail in the middle of a
 * change. */
int pv_tturns_reserve(struct pv_turns *t)
{
    return pv_heap_reserve(&t->timers, t->members.n + t->n_allocs + t->n_relays + 1);
}

/* --- members by address ---------------------------------------------------------------------- */

bool pv_tmember_is_virtual(const struct pv_turns *t, const struct pv_addr *addr)
{
    return addr->family == PV_AF_INET6 && memcmp(addr->ip, t->prefix, sizeof(t->prefix)) == 0;
}

/* The network is in the key: the same node has an allocation in each of its networks, and nobody
 * reaches the other network's by its address. */
void pv_tmember_id(const uint8_t *net, const struct pv_addr *addr,
                   uint8_t id[static PV_TMEMBER_KEY])
{
    memcpy(id, net, PV_TURNAUTH_NET_LEN);
    memcpy(id + PV_TURNAUTH_NET_LEN, addr->ip + 8, 8); /* the other half is the same for all */
}

/* Any other port is not a member: members have one relayed address, at a fixed port. */
struct pv_tmember *pv_tmember_at(const struct pv_turns *t, const uint8_t *net,
                                 const struct pv_addr *addr)
{
    uint8_t id[PV_TMEMBER_KEY];
    if (!pv_tmember_is_virtual(t, addr) || addr->port != PV_TURN_VIRTUAL_PORT)
        return NULL;
    pv_tmember_id(net, addr, id);
    return pv_turntab_find(&t->members, id);
}

/* A member that is online has no deadline: it may allocate at any time. Offline, it is remembered
 * as long as its allocation lives, and at least for the grace that a reconnect takes. */
void pv_tmember_rearm(struct pv_turns *t, struct pv_tmember *m)
{
    pv_ns until = PV_NEVER;
    if (!m->online) {
        until = m->offline_at + PV_S(PV_TURNS_GRACE_S);
        if (m->alloc != NULL && m->alloc->until > until)
            until = m->alloc->until;
    }
    pv_heap_set(&t->timers, &m->timer.node, until);
}
