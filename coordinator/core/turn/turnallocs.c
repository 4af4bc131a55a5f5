/* SPDX-License-Identifier: MIT */
/* turnallocs.c - allocations with their channels and permissions (RFC 8656 s3.2, s9, s12). */
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "coordinator/core/turn/turns_int.h"
#include "proto/stun/turn.h"

/* --- members by address ---------------------------------------------------------------------- */

bool pv_turns_member_is_virtual(const struct pv_turns *t, const struct pv_addr *addr)
{
    return addr->family == PV_AF_INET6 && memcmp(addr->ip, t->prefix, sizeof(t->prefix)) == 0;
}

void pv_turns_member_id(const uint8_t *net, const struct pv_addr *addr,
                        uint8_t id[static PV_TURNS_MEMBER_KEY])
{
    memcpy(id, net, PV_TURNAUTH_NET_LEN);
    memcpy(id + PV_TURNAUTH_NET_LEN, addr->ip + 8, 8); /* the other half is the same for all */
}

struct pv_turns_member *pv_turns_member_at(const struct pv_turns *t, const uint8_t *net,
                                           const struct pv_addr *addr)
{
    uint8_t id[PV_TURNS_MEMBER_KEY];
    if (!pv_turns_member_is_virtual(t, addr) || addr->port != PV_TURN_VIRTUAL_PORT)
        return NULL;
    pv_turns_member_id(net, addr, id);
    return pv_turntab_find(&t->members, id);
}

void pv_turns_member_rearm(struct pv_turns *t, struct pv_turns_member *m)
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
    SLOTS_MIN = 8, /* slots of the first index of channels, enough for a client of few peers */
    PERMS_MIN = 4, /* of the first list of permissions */
};
/* Ours: datagrams that are under way when an allocation moves have arrived or are lost by then. */
#define FORMER_TIME PV_S(5)

/* --- allocations ----------------------------------------------------------------------------- */

/* Counts an allocation up or down, for other threads. This thread is the only writer, so reading
 * and storing apart is safe. */
static void show_count(struct pv_turns *t, const struct pv_turns_account *user, int change)
{
    enum pv_relaystat what =
        user != NULL ? PV_RELAYSTAT_STATIC_ALLOCATIONS : PV_RELAYSTAT_MEMBER_ALLOCATIONS;
    uint64_t n = pv_relaystat_get(&t->stats, what);
    pv_relaystat_set(&t->stats, what, change > 0 ? n + 1 : n - 1);
    if (user != NULL)
        pv_relaystat_add_user(&t->stats, (size_t)(user - t->users), PV_RELAYSTAT_USER_ALLOCATIONS,
                              change);
}

int pv_turns_alloc_new(struct pv_turns *t, const struct pv_turns_way *way,
                       struct pv_turns_member *member, struct pv_turns_account *user,
                       struct pv_turns_alloc **ret_alloc)
{
    struct pv_turns_alloc *a = calloc(1, sizeof(*a));
    if (a == NULL || pv_turns_reserve(t) < 0) {
        free(a);
        return PV_ERR_NOMEM;
    }
    a->way = *way;
    a->member = member;
    a->user = user;
    a->timer.kind = PV_TURNS_TIMER_ALLOC;
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

struct pv_turns_alloc *pv_turns_alloc_find(const struct pv_turns *t, const struct pv_turns_way *way)
{
    return pv_turntab_find(&t->ways, way->key);
}

void pv_turns_alloc_detach(struct pv_turns *t, struct pv_turns_alloc *a)
{
    if (a->attached)
        pv_turntab_del(&t->ways, a);
    a->attached = false;
}

struct pv_turns_alloc *pv_turns_alloc_of_data(const struct pv_turns *t,
                                              const struct pv_turns_way *way, pv_ns now)
{
    struct pv_turns_alloc *a = pv_turns_alloc_find(t, way);
    if (a != NULL)
        return a;
    const struct pv_turns_member *m = pv_turntab_find(&t->formers, way->key);
    return m == NULL || m->former_until <= now ? NULL : m->alloc;
}

void pv_turns_member_settled(struct pv_turns *t, struct pv_turns_member *m)
{
    if (m->former_until != 0)
        pv_turntab_del(&t->formers, m);
    m->former_until = 0;
}

/* A client whose NAT gave it another port goes on sending by the old one until it hears of the new
 * one. Somebody else may have had that way before: the newest counts, for it is who sends there
 * now. */
static void remember_former(struct pv_turns *t, const struct pv_turns_alloc *a, pv_ns now)
{
    struct pv_turns_member *m = a->member;
    struct pv_turns_member *other = pv_turntab_find(&t->formers, a->way.key);
    pv_turns_member_settled(t, m);
    if (other != NULL)
        pv_turns_member_settled(t, other);
    memcpy(m->former, a->way.key, sizeof(m->former));
    if (pv_turntab_add(&t->formers, m) == PV_OK) /* without memory it is lost, as on the network */
        m->former_until = now + FORMER_TIME;
}

int pv_turns_alloc_move(struct pv_turns *t, struct pv_turns_alloc *a,
                        const struct pv_turns_way *way, pv_ns now)
{
    if (a->attached && a->member != NULL)
        remember_former(t, a, now);
    pv_turns_alloc_detach(t, a);
    a->way = *way;
    int r = pv_turntab_add(&t->ways, a);
    a->attached = r == PV_OK;
    return r;
}

/* Both ends of a pair point to each other; whichever ends first leaves nothing behind in the
 * other. */
static void unlink_reverse(struct pv_turns_chan *c)
{
    if (c->reverse != NULL)
        c->reverse->reverse = NULL;
    c->reverse = NULL;
}

static void leave_phone_port(struct pv_turns *t, struct pv_turns_chan *c)
{
    if (c->at_phone_port)
        pv_turntab_del(&t->phone_port_peers, c);
    c->at_phone_port = false;
}

static void free_chan(struct pv_turns *t, struct pv_turns_chan *c)
{
    unlink_reverse(c);
    leave_phone_port(t, c);
    free(c);
}

void pv_turns_alloc_free(struct pv_turns *t, struct pv_turns_alloc *a)
{
    pv_turns_alloc_detach(t, a);
    while (a->chans != NULL) {
        struct pv_turns_chan *c = a->chans;
        a->chans = c->next;
        free_chan(t, c);
    }
    if (a->phone_port != NULL)
        pv_turns_relay_close(t, a->phone_port);
    for (size_t i = 0; i < PV_ARRAY_LEN(a->relays); i++) {
        if (a->relays[i] != NULL)
            pv_turns_relay_close(t, a->relays[i]);
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
static size_t slot_of(const struct pv_turns_alloc *a, uint16_t number)
{
    size_t i = (number * 0x9e37u >> 4) & (a->n_slots - 1);
    while (a->by_number[i] != NULL && a->by_number[i]->number != number)
        i = (i + 1) & (a->n_slots - 1);
    return i;
}

struct pv_turns_chan *pv_turns_chan_by_number(const struct pv_turns_alloc *a, uint16_t number)
{
    return a->n_slots == 0 ? NULL : a->by_number[slot_of(a, number)];
}

struct pv_turns_chan *pv_turns_chan_by_peer(struct pv_turns_alloc *a, const struct pv_addr *peer)
{
    if (a->last != NULL && pv_addr_equal(&a->last->peer, peer))
        return a->last;
    for (struct pv_turns_chan *c = a->chans; c != NULL; c = c->next) {
        if (pv_addr_equal(&c->peer, peer)) {
            a->last = c;
            return c;
        }
    }
    return NULL;
}

/* Makes the index anew with n_slots; the list of channels is what counts, so nothing is lost when
 * there is no memory. */
static int reindex(struct pv_turns_alloc *a, size_t n_slots)
{
    struct pv_turns_chan **slots = calloc(n_slots, sizeof(struct pv_turns_chan *));
    if (slots == NULL)
        return PV_ERR_NOMEM;
    free(a->by_number);
    a->by_number = slots;
    a->n_slots = n_slots;
    for (struct pv_turns_chan *c = a->chans; c != NULL; c = c->next)
        slots[slot_of(a, c->number)] = c;
    return PV_OK;
}

/* Drops channels whose time is over. The index keeps its size, so this cannot fail; it is filled
 * anew, since taking entries out of a run of open addressing would hide those behind them. */
static void drop_expired_channels(struct pv_turns *t, struct pv_turns_alloc *a, pv_ns now)
{
    size_t before = a->n_chans;
    for (struct pv_turns_chan **at = &a->chans; *at != NULL;) {
        struct pv_turns_chan *c = *at;
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
    memset(a->by_number, 0, a->n_slots * sizeof(struct pv_turns_chan *));
    for (struct pv_turns_chan *c = a->chans; c != NULL; c = c->next)
        a->by_number[slot_of(a, c->number)] = c;
}

/* When both members have a channel to the other, a datagram needs no search at all: each channel
 * knows the one it comes out of. */
static void link_reverse(struct pv_turns *t, struct pv_turns_chan *c)
{
    const struct pv_turns_member *me = c->owner->member;
    struct pv_turns_member *peer = pv_turns_member_at(t, me->who, &c->peer);
    if (peer == NULL || peer->alloc == NULL)
        return;
    struct pv_turns_chan *back = pv_turns_chan_by_peer(peer->alloc, &me->addr);
    if (back == NULL || back == c)
        return;
    unlink_reverse(c);
    unlink_reverse(back);
    c->reverse = back;
    back->reverse = c;
}

struct pv_turns_chan *pv_turns_chan_by_phone_port(const struct pv_turns *t,
                                                  const struct pv_turns_relay *phone_port,
                                                  const struct pv_addr *peer)
{
    uint8_t key[PV_TURNS_PHONE_PORT_KEY];
    pv_turns_phone_port_key(phone_port, peer, key);
    return pv_turntab_find(&t->phone_port_peers, key);
}

void pv_turns_chan_leave_phone_port(struct pv_turns *t, struct pv_turns_alloc *a)
{
    for (struct pv_turns_chan *c = a->chans; c != NULL; c = c->next)
        leave_phone_port(t, c);
}

static size_t count_at_phone_port(const struct pv_turns_alloc *a)
{
    size_t n = 0;
    for (const struct pv_turns_chan *c = a->chans; c != NULL; c = c->next)
        n += c->at_phone_port;
    return n;
}

/* A phone port is flooded by anybody, so the channel to whoever sends is found without a search.
 * Without memory, or room, the peer stays a stranger. */
static void note_phone_port_peer(struct pv_turns *t, struct pv_turns_chan *c)
{
    const struct pv_turns_relay *phone_port = c->owner->phone_port;
    if (phone_port == NULL || c->at_phone_port || pv_turns_member_is_virtual(t, &c->peer) ||
        count_at_phone_port(c->owner) >= PV_TURNS_PHONE_PORT_PEERS)
        return;
    pv_turns_phone_port_key(phone_port, &c->peer, c->phone_port);
    c->at_phone_port = pv_turntab_add(&t->phone_port_peers, c) == PV_OK;
}

int pv_turns_chan_bind(struct pv_turns *t, struct pv_turns_alloc *a, uint16_t number,
                       const struct pv_addr *peer, pv_ns now)
{
    for (struct pv_turns_chan *old = a->member != NULL ? a->chans : NULL; old != NULL;
         old = old->next) {
        if ((old->number == number) != pv_addr_equal(&old->peer, peer))
            old->until = now;
    }
    drop_expired_channels(t, a, now);
    struct pv_turns_chan *c = pv_turns_chan_by_number(a, number);
    if (c != NULL && !pv_addr_equal(&c->peer, peer))
        return PV_ERR_EXISTS;
    if (c == NULL && pv_turns_chan_by_peer(a, peer) != NULL)
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
        *c = (struct pv_turns_chan){.next = a->chans, .owner = a, .peer = *peer, .number = number};
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
static struct pv_turns_perm *find_perm(const struct pv_turns_alloc *a, const struct pv_addr *ip)
{
    for (size_t i = 0; i < a->n_perms; i++) {
        if (pv_addr_equal_ip(&a->perms[i].ip, ip))
            return &a->perms[i];
    }
    return NULL;
}

const struct pv_turns_perm *pv_turns_perm_of(const struct pv_turns_alloc *a,
                                             const struct pv_addr *ip, pv_ns now)
{
    const struct pv_turns_perm *p = find_perm(a, ip);
    return p != NULL && p->until > now ? p : NULL;
}

size_t pv_turns_perm_room(const struct pv_turns *t, struct pv_turns_alloc *a, pv_ns now)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_perms; i++) {
        if (a->perms[i].until > now)
            a->perms[n++] = a->perms[i];
    }
    a->n_perms = n;
    return n < t->limits.permissions ? t->limits.permissions - n : 0;
}

int pv_turns_perm_add(struct pv_turns *t, struct pv_turns_alloc *a, const struct pv_addr *ip,
                      pv_ns now)
{
    struct pv_turns_perm *p = find_perm(a, ip);
    if (p != NULL) {
        p->until = now + PV_TURN_PERMISSION_TIME;
        return PV_OK;
    }
    if (pv_turns_perm_room(t, a, now) == 0)
        return PV_ERR_LIMIT;
    void *perms = pv_vec_room(a->perms, a->n_perms, &a->cap_perms, PERMS_MIN, sizeof(a->perms[0]));
    if (perms == NULL)
        return PV_ERR_NOMEM;
    a->perms = perms;
    a->perms[a->n_perms] = (struct pv_turns_perm){.ip = *ip,
                                                  .until = now + PV_TURN_PERMISSION_TIME,
                                                  .here = !pv_turnpeer_is_allowed(ip, &t->rules)};
    a->perms[a->n_perms++].ip.port = 0;
    return PV_OK;
}
