/* SPDX-License-Identifier: MIT */
/* turnrelays.c - the relay sockets of static users and of phone ports: their numbers, addresses and
 * ports; what the owner has to open and close; which of them are peers of each other. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "coordinator/core/turn/turns_int.h"
#include "crypto/sign.h"

/* --- the queue of what the owner has to do --------------------------------------------------- */

/* A socket stands in the queue once. When it is closed before anybody polled, the owner is only
 * told to close it. */
static void enqueue(struct pv_turns *t, struct pv_turns_relay *r)
{
    if (r->queued)
        return;
    r->queued = true;
    PV_LIST_ADD(t->ops, r);
}

/* The number is free again only now, when the owner knows that the socket is to be closed. */
static void free_relay(struct pv_turns *t, struct pv_turns_relay *r)
{
    t->relays[r->sock - PV_TURNS_RELAY0] = NULL;
    t->n_relays--;
    pv_relaystat_set(&t->stats, PV_RELAYSTAT_SOCKETS, t->n_relays);
    free(r);
}

/* Closing needs no answer, so the socket is forgotten as soon as the owner has been told. */
int pv_turns_poll_socket(struct pv_turns *t, struct pv_turns_socket *ret_op)
{
    struct pv_turns_relay *r = t->ops;
    if (r == NULL)
        return PV_ERR_AGAIN;
    PV_LIST_DEL(t->ops, r);
    r->queued = false;
    ret_op->sock = r->sock;
    ret_op->open = r->state != PV_TURNS_RELAY_CLOSING;
    ret_op->addr = r->bind;
    if (ret_op->open)
        r->state = PV_TURNS_RELAY_ASKED;
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
    if (pv_addr_ip_len(local) > 0 && pv_turns_family_of(local) == family)
        return *local;
    return t->relay_other[family];
}

bool pv_turns_relay_can(const struct pv_turns *t, size_t family, const struct pv_addr *local)
{
    return bind_addr(t, family, local).family != PV_AF_NONE;
}

void pv_turns_relay_locate(const struct pv_turns *t, struct pv_turns_relay *r, size_t family,
                           const struct pv_addr *local)
{
    const struct pv_addr *shown = &t->policy.relay_public[family];
    r->bind = bind_addr(t, family, local);
    r->shown = shown->family != PV_AF_NONE ? *shown : r->bind;
}

/* It stands in files that nobody changes when a program restarts, so it is made of what stays:
 * network and key of the member, and a secret, or a member could make keys until one has the port
 * of another's phone port. */
static uint32_t draw_of_phone_port(const struct pv_turns *t, const struct pv_turns_relay *r,
                                   uint32_t n)
{
    const uint8_t tries = (uint8_t)r->tries;
    uint8_t hash[PV_BLAKE2B_LEN];
    pv_blake2b(hash, pv_view(t->phone_port_key, sizeof(t->phone_port_key)),
               pv_view(r->alloc->member->who, PV_TURNS_MEMBER_WHO), pv_view(&tries, 1));
    return pv_load_be32(hash) % n;
}

void pv_turns_relay_choose_port(struct pv_turns *t, struct pv_turns_relay *r)
{
    uint32_t n = (uint32_t)t->policy.port_hi - t->policy.port_lo + 1;
    uint32_t draw = r->is_phone_port ? draw_of_phone_port(t, r, n) : pv_rng_below(&t->rng, n);
    uint16_t port = (uint16_t)(t->policy.port_lo + draw);
    if (r->even && port % 2 == 1)
        port = port == t->policy.port_lo ? (uint16_t)(port + 1) : (uint16_t)(port - 1);
    r->bind.port = port;
    r->shown.port = port;
}

bool pv_turns_relay_port_fits(const struct pv_turns *t, const struct pv_turns_relay *r)
{
    uint16_t last = r->bind.port;
    if (r->reserve)
        last++;
    return r->bind.port >= t->policy.port_lo && last <= t->policy.port_hi &&
           (!r->even || r->bind.port % 2 == 0);
}

int pv_turns_relay_new(struct pv_turns *t, struct pv_turns_relay **ret_relay)
{
    if (t->n_relays >= t->limits.relays)
        return PV_ERR_LIMIT;
    while (t->relays[t->next_relay] != NULL)
        t->next_relay = (t->next_relay + 1) % t->limits.relays;
    struct pv_turns_relay *r = calloc(1, sizeof(*r));
    if (r == NULL || pv_turns_reserve(t) < 0) {
        free(r);
        return PV_ERR_NOMEM;
    }
    r->sock = (uint32_t)(PV_TURNS_RELAY0 + t->next_relay);
    r->timer.kind = PV_TURNS_TIMER_RELAY;
    t->relays[t->next_relay] = r;
    t->n_relays++;
    pv_relaystat_set(&t->stats, PV_RELAYSTAT_SOCKETS, t->n_relays);
    t->next_relay = (t->next_relay + 1) % t->limits.relays;
    *ret_relay = r;
    return PV_OK;
}

void pv_turns_relay_ask(struct pv_turns *t, struct pv_turns_relay *r)
{
    r->state = PV_TURNS_RELAY_WANTED;
    enqueue(t, r);
}

/* Counts r among the sockets of user. promised: it counts as a reserved port already, so that many
 * requests at once meet the limit. */
static void hold(struct pv_turns_relay *r, struct pv_turns_account *user, bool promised)
{
    r->holder = user;
    r->promised = promised;
    user->n_socks++;
    user->n_reserved += promised ? 1 : 0;
}

static void let_go(struct pv_turns_relay *r)
{
    if (r->holder == NULL)
        return;
    r->holder->n_socks--;
    r->holder->n_reserved -= r->promised ? 1 : 0;
    r->holder = NULL;
    r->promised = false;
}

void pv_turns_relay_hand_on(struct pv_turns_relay *r, struct pv_turns_relay *odd)
{
    struct pv_turns_account *user = r->holder;
    hold(odd, user, r->promised);
    let_go(r);
    hold(r, user, false);
}

int pv_turns_relay_want(struct pv_turns *t, struct pv_turns_alloc *a, size_t family, bool even,
                        bool reserve)
{
    struct pv_turns_relay *r = NULL;
    int e = pv_turns_relay_new(t, &r);
    if (e < 0)
        return e;
    pv_turns_relay_locate(t, r, family, &a->way.local);
    r->alloc = a;
    hold(r, a->user, reserve);
    r->even = even;
    r->reserve = reserve;
    a->relays[family] = r;
    pv_turns_relay_choose_port(t, r);
    pv_turns_relay_ask(t, r);
    return PV_OK;
}

/* --- relays of this server as peers ---------------------------------------------------------- */

/* Writes family, port and address as the key of a table. */
static void place_of(const struct pv_addr *a, uint8_t key[static PV_TURNS_PLACE_KEY])
{
    pv_store_be16(key, a->family);
    pv_store_be16(key + 2, a->port);
    memcpy(key + 4, a->ip, 16);
}

void pv_turns_phone_port_key(const struct pv_turns_relay *phone_port, const struct pv_addr *peer,
                             uint8_t key[static PV_TURNS_PHONE_PORT_KEY])
{
    pv_store_be32(key, phone_port->sock);
    place_of(peer, key + 4);
}

static bool is_shown_at(const struct pv_turns_shown *s, const struct pv_addr *ip)
{
    return s->n > 0 && pv_addr_equal_ip(&s->ip, ip);
}

/* Counts the sockets that show an address, to answer whether anybody relays there (permissions are
 * by address without a port, RFC 8656 s9). A machine has few addresses; one that finds no place in
 * the list is only not found as a neighbour. */
static void count_shown(struct pv_turns *t, struct pv_turns_relay *r)
{
    struct pv_turns_shown *free_one = NULL;
    for (size_t i = 0; i < PV_TURNS_SHOWN_MAX && r->counted == NULL; i++) {
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

struct pv_turns_relay *pv_turns_relay_at(const struct pv_turns *t, const struct pv_addr *shown)
{
    uint8_t key[PV_TURNS_PLACE_KEY];
    place_of(shown, key);
    return pv_turntab_find(&t->by_place, key);
}

void pv_turns_relay_set_open(struct pv_turns *t, struct pv_turns_relay *r)
{
    r->state = PV_TURNS_RELAY_OPEN;
    if (r->alloc != NULL)
        count_shown(t, r);
    place_of(&r->shown, r->place);
    /* Without memory, or when two bound addresses show the same one, it is reached from outside
     * only. */
    if (pv_turns_relay_at(t, &r->shown) == NULL)
        (void)!pv_turntab_add(&t->by_place, r);
}

bool pv_turns_relay_is_neighbour(const struct pv_turns *t, const struct pv_turns_alloc *a,
                                 const struct pv_addr *peer, bool exact)
{
    if (exact) {
        const struct pv_turns_relay *r = pv_turns_relay_at(t, peer);
        return r != NULL && r->alloc != NULL && r->alloc != a;
    }
    uint32_t own = 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(a->relays); i++)
        own += a->relays[i] != NULL && a->relays[i]->counted != NULL &&
               is_shown_at(a->relays[i]->counted, peer);
    for (size_t i = 0; i < PV_TURNS_SHOWN_MAX; i++) {
        if (is_shown_at(&t->shown[i], peer))
            return t->shown[i].n > own;
    }
    return false;
}

/* --- reservations, closing ------------------------------------------------------------------- */

struct pv_turns_relay *pv_turns_relay_redeem(struct pv_turns *t, struct pv_turns_alloc *a,
                                             const uint8_t token[static PV_TURNS_TOKEN_LEN])
{
    struct pv_turns_relay *r = pv_turntab_find(&t->by_token, token);
    if (r == NULL)
        return NULL;
    pv_turntab_del(&t->by_token, r);
    pv_heap_set(&t->timers, &r->timer.node, PV_NEVER);
    r->alloc = a;
    let_go(r);
    hold(r, a->user, false);
    count_shown(t, r);
    a->relays[pv_turns_family_of(&r->bind)] = r;
    return r;
}

void pv_turns_relay_close(struct pv_turns *t, struct pv_turns_relay *r)
{
    if (r->pair != NULL) {
        struct pv_turns_relay *other = r->pair;
        other->pair = NULL;
        r->pair = NULL;
        if (other->alloc == NULL)
            pv_turns_relay_close(t, other);
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
    r->state =
        PV_TURNS_RELAY_CLOSING; /* a socket that was never asked for: closing it does nothing */
    enqueue(t, r);
}
