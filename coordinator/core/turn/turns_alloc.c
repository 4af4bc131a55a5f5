/* SPDX-License-Identifier: MIT */
/* Allocations, their channels and permissions, and how each datagram finds its own. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/vec.h"
#include "coordinator/core/turn/turns_int.h"

enum {
    SLOTS_MIN = 8, /* of the first index of channels: a client of few peers needs no more */
    PERMS_MIN = 4, /* of the first list of permissions */
};
/* Ours: datagrams that are under way when an allocation moves have arrived or are lost by then. */
#define FORMER_TIME PV_S(5)

/* --- allocations ----------------------------------------------------------------------------- */

/* Counts an allocation up or down, for other threads. This thread is the only writer, so reading
 * and storing apart is safe. */
static void show_count(struct pv_turns *t, const struct pv_tuser *user, int change)
{
    enum pv_relaystat what =
        user != NULL ? PV_RELAYSTAT_STATIC_ALLOCATIONS : PV_RELAYSTAT_MEMBER_ALLOCATIONS;
    uint64_t n = pv_relaystat_get(&t->stats, what);
    pv_relaystat_set(&t->stats, what, change > 0 ? n + 1 : n - 1);
    if (user != NULL)
        pv_relaystat_add_user(&t->stats, (size_t)(user - t->users), PV_RELAYSTAT_USER_ALLOCATIONS,
                              change);
}

/* Room for its timer is made first, so nothing can fail once the allocation is in the table. */
int pv_talloc_new(struct pv_turns *t, const struct pv_tway *way, struct pv_tmember *member,
                  struct pv_tuser *user, struct pv_talloc **ret_alloc)
{
    struct pv_talloc *a = calloc(1, sizeof(*a));
    if (a == NULL || pv_tturns_reserve(t) < 0) {
        free(a);
        return PV_ERR_NOMEM;
    }
    a->way = *way;
    a->member = member;
    a->user = user;
    a->timer.kind = PV_TTIMER_ALLOC;
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
struct pv_talloc *pv_talloc_find(const struct pv_turns *t, const struct pv_tway *way)
{
    return pv_turntab_find(&t->ways, way->key);
}

void pv_talloc_detach(struct pv_turns *t, struct pv_talloc *a)
{
    if (a->attached)
        pv_turntab_del(&t->ways, a);
    a->attached = false;
}

/* Data may come by the old way for a while after a move (remember_former). Requests may not: these
 * are answered to the way they came by. */
struct pv_talloc *pv_talloc_of_data(const struct pv_turns *t, const struct pv_tway *way, pv_ns now)
{
    struct pv_talloc *a = pv_talloc_find(t, way);
    if (a != NULL)
        return a;
    const struct pv_tmember *m = pv_turntab_find(&t->formers, way->key);
    return m == NULL || m->former_until <= now ? NULL : m->alloc;
}

void pv_tmember_settled(struct pv_turns *t, struct pv_tmember *m)
{
    if (m->former_until != 0)
        pv_turntab_del(&t->formers, m);
    m->former_until = 0;
}

/* A client whose NAT gave it another port goes on sending by the old one until it hears of the new
 * one. Somebody else may have had that way before: the newest counts, for it is who sends there
 * now. */
static void remember_former(struct pv_turns *t, const struct pv_talloc *a, pv_ns now)
{
    struct pv_tmember *m = a->member;
    struct pv_tmember *other = pv_turntab_find(&t->formers, a->way.key);
    pv_tmember_settled(t, m);
    if (other != NULL)
        pv_tmember_settled(t, other);
    memcpy(m->former, a->way.key, sizeof(m->former));
    if (pv_turntab_add(&t->formers, m) == PV_OK) /* without memory it is lost, as on the network */
        m->former_until = now + FORMER_TIME;
}

/* Without memory the allocation stays, detached: the client's next Allocate finds it again with all
 * its channels. */
int pv_talloc_move(struct pv_turns *t, struct pv_talloc *a, const struct pv_tway *way, pv_ns now)
{
    if (a->attached && a->member != NULL)
        remember_former(t, a, now);
    pv_talloc_detach(t, a);
    a->way = *way;
    int r = pv_turntab_add(&t->ways, a);
    a->attached = r == PV_OK;
    return r;
}

/* Both ends of a pair point to each other; whichever ends first leaves nothing behind in the
 * other. */
static void unlink_reverse(struct pv_tchan *c)
{
    if (c->reverse != NULL)
        c->reverse->reverse = NULL;
    c->reverse = NULL;
}

static void leave_door(struct pv_turns *t, struct pv_tchan *c)
{
    if (c->at_door)
        pv_turntab_del(&t->door_peers, c);
    c->at_door = false;
}

static void free_chan(struct pv_turns *t, struct pv_tchan *c)
{
    unlink_reverse(c);
    leave_door(t, c);
    free(c);
}

/* Frees an allocation with its channels, the shortcuts of others to them, its relay sockets and its
 * timer. */
void pv_talloc_free(struct pv_turns *t, struct pv_talloc *a)
{
    pv_talloc_detach(t, a);
    while (a->chans != NULL) {
        struct pv_tchan *c = a->chans;
        a->chans = c->next;
        free_chan(t, c);
    }
    if (a->door != NULL)
        pv_trelay_close(t, a->door);
    for (size_t i = 0; i < PV_ARRAY_LEN(a->relays); i++) {
        if (a->relays[i] != NULL)
            pv_trelay_close(t, a->relays[i]);
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
static size_t slot_of(const struct pv_talloc *a, uint16_t number)
{
    size_t i = (number * 0x9e37u >> 4) & (a->n_slots - 1);
    while (a->by_number[i] != NULL && a->by_number[i]->number != number)
        i = (i + 1) & (a->n_slots - 1);
    return i;
}

struct pv_tchan *pv_tchan_by_number(const struct pv_talloc *a, uint16_t number)
{
    return a->n_slots == 0 ? NULL : a->by_number[slot_of(a, number)];
}

/* The list is searched, but a client mostly talks to one peer for many datagrams: that one is found
 * without a search. */
struct pv_tchan *pv_tchan_by_peer(struct pv_talloc *a, const struct pv_addr *peer)
{
    if (a->last != NULL && pv_addr_equal(&a->last->peer, peer))
        return a->last;
    for (struct pv_tchan *c = a->chans; c != NULL; c = c->next) {
        if (pv_addr_equal(&c->peer, peer)) {
            a->last = c;
            return c;
        }
    }
    return NULL;
}

/* Makes the index anew with n_slots; the list of channels is what counts, so nothing is lost when
 * there is no memory. */
static int reindex(struct pv_talloc *a, size_t n_slots)
{
    struct pv_tchan **slots = calloc(n_slots, sizeof(struct pv_tchan *));
    if (slots == NULL)
        return PV_ERR_NOMEM;
    free(a->by_number);
    a->by_number = slots;
    a->n_slots = n_slots;
    for (struct pv_tchan *c = a->chans; c != NULL; c = c->next)
        slots[slot_of(a, c->number)] = c;
    return PV_OK;
}

/* Drops channels whose time is over. The index keeps its size, so this cannot fail; it is filled
 * anew, since taking entries out of a run of open addressing would hide those behind them. */
static void drop_expired_channels(struct pv_turns *t, struct pv_talloc *a, pv_ns now)
{
    size_t before = a->n_chans;
    for (struct pv_tchan **at = &a->chans; *at != NULL;) {
        struct pv_tchan *c = *at;
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
    memset(a->by_number, 0, a->n_slots * sizeof(struct pv_tchan *));
    for (struct pv_tchan *c = a->chans; c != NULL; c = c->next)
        a->by_number[slot_of(a, c->number)] = c;
}

/* When both members have a channel to the other, a datagram needs no search at all: each channel
 * knows the one it comes out of. */
static void link_reverse(struct pv_turns *t, struct pv_tchan *c)
{
    const struct pv_tmember *me = c->owner->member;
    struct pv_tmember *peer = pv_tmember_at(t, me->who, &c->peer);
    if (peer == NULL || peer->alloc == NULL)
        return;
    struct pv_tchan *back = pv_tchan_by_peer(peer->alloc, &me->addr);
    if (back == NULL || back == c)
        return;
    unlink_reverse(c);
    unlink_reverse(back);
    c->reverse = back;
    back->reverse = c;
}

static void door_key(const struct pv_trelay *door, const struct pv_addr *peer,
                     uint8_t key[static PV_TDOOR_KEY])
{
    pv_store_be32(key, door->sock);
    pv_tplace_of(peer, key + 4);
}

struct pv_tchan *pv_tchan_by_door(const struct pv_turns *t, const struct pv_trelay *door,
                                  const struct pv_addr *peer)
{
    uint8_t key[PV_TDOOR_KEY];
    door_key(door, peer, key);
    return pv_turntab_find(&t->door_peers, key);
}

void pv_tchan_leave_door(struct pv_turns *t, struct pv_talloc *a)
{
    for (struct pv_tchan *c = a->chans; c != NULL; c = c->next)
        leave_door(t, c);
}

static size_t count_at_door(const struct pv_talloc *a)
{
    size_t n = 0;
    for (const struct pv_tchan *c = a->chans; c != NULL; c = c->next)
        n += c->at_door;
    return n;
}

/* A door is flooded by anybody, so the channel to whoever sends is found without a search. Without
 * memory, or room, the peer stays a stranger. */
static void note_door_peer(struct pv_turns *t, struct pv_tchan *c)
{
    const struct pv_trelay *door = c->owner->door;
    if (door == NULL || c->at_door || pv_tmember_is_virtual(t, &c->peer) ||
        count_at_door(c->owner) >= PV_TURNS_DOOR_PEERS)
        return;
    door_key(door, &c->peer, c->door);
    c->at_door = pv_turntab_add(&t->door_peers, c) == PV_OK;
}

/* A member's newest binding replaces whatever stood against it, as it may have forgotten what it
 * bound before a restart (ours). A stock client's bindings stand until they expire, as RFC 8656
 * s12.2 wants. */
int pv_tchan_bind(struct pv_turns *t, struct pv_talloc *a, uint16_t number,
                  const struct pv_addr *peer, pv_ns now)
{
    for (struct pv_tchan *old = a->member != NULL ? a->chans : NULL; old != NULL; old = old->next) {
        if ((old->number == number) != pv_addr_equal(&old->peer, peer))
            old->until = now;
    }
    drop_expired_channels(t, a, now);
    struct pv_tchan *c = pv_tchan_by_number(a, number);
    if (c != NULL && !pv_addr_equal(&c->peer, peer))
        return PV_ERR_EXISTS;
    if (c == NULL && pv_tchan_by_peer(a, peer) != NULL)
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
        *c = (struct pv_tchan){.next = a->chans, .owner = a, .peer = *peer, .number = number};
        a->chans = c;
        a->n_chans++;
        a->by_number[slot_of(a, number)] = c;
    }
    c->until = now + PV_TURN_CHANNEL_LIFETIME;
    note_door_peer(t, c);
    if (a->member != NULL && c->reverse == NULL)
        link_reverse(t, c);
    return PV_OK;
}

/* --- permissions ----------------------------------------------------------------------------- */

/* A permission is for all ports of an address (RFC 8656 s9). An expired one is found too, to be
 * used again. */
static struct pv_tperm *find_perm(const struct pv_talloc *a, const struct pv_addr *ip)
{
    for (size_t i = 0; i < a->n_perms; i++) {
        if (pv_addr_equal_ip(&a->perms[i].ip, ip))
            return &a->perms[i];
    }
    return NULL;
}

const struct pv_tperm *pv_tperm_of(const struct pv_talloc *a, const struct pv_addr *ip, pv_ns now)
{
    const struct pv_tperm *p = find_perm(a, ip);
    return p != NULL && p->until > now ? p : NULL;
}

/* Expired permissions are thrown out first: they count for nothing. */
size_t pv_tperm_room(const struct pv_turns *t, struct pv_talloc *a, pv_ns now)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_perms; i++) {
        if (a->perms[i].until > now)
            a->perms[n++] = a->perms[i];
    }
    a->n_perms = n;
    return n < t->limits.permissions ? t->limits.permissions - n : 0;
}

/* The peer has been judged by now (turns_request.c). `here` is decided once, at this moment: an
 * address that is otherwise forbidden was allowed because somebody relays here behind it, and only
 * for that. */
int pv_tperm_add(struct pv_turns *t, struct pv_talloc *a, const struct pv_addr *ip, pv_ns now)
{
    struct pv_tperm *p = find_perm(a, ip);
    if (p != NULL) {
        p->until = now + PV_TURN_PERMISSION_TIME;
        return PV_OK;
    }
    if (pv_tperm_room(t, a, now) == 0)
        return PV_ERR_LIMIT;
    void *perms = pv_vec_room(a->perms, a->n_perms, &a->cap_perms, PERMS_MIN, sizeof(a->perms[0]));
    if (perms == NULL)
        return PV_ERR_NOMEM;
    a->perms = perms;
    a->perms[a->n_perms] = (struct pv_tperm){.ip = *ip,
                                             .until = now + PV_TURN_PERMISSION_TIME,
                                             .here = !pv_turnpeer_is_allowed(ip, &t->rules)};
    a->perms[a->n_perms++].ip.port = 0;
    return PV_OK;
}
