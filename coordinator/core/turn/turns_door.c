/* SPDX-License-Identifier: MIT */
/* Doors: a member that asks for one has a UDP port here, to which machines that know nothing of
 * this relay send WireGuard's messages. The port follows from the member's key, so that it is the
 * same after every restart; what comes in goes to the member as from any relay socket, and is
 * looked at no further than to see that it has the form of such a message. */
#include "base/bytes.h"
#include "coordinator/core/turn/turns_int.h"
#include "proto/stun/demux.h"

enum {
    DOORS_PART = 4, /* ours: of the relay sockets, those that doors may have */
};

static void count(struct pv_turns *t, enum pv_relaystat what)
{
    pv_relaystat_add(&t->stats, what, 1);
}

/* --- the port -------------------------------------------------------------------------------- */

/* Those of one network are counted where they are: there are few, and few ask. */
static uint32_t count_of_net(const struct pv_turns *t, const uint8_t *net)
{
    uint32_t n = 0;
    for (size_t i = 0; i < t->limits.relays; i++) {
        const struct pv_trelay *r = t->relays[i];
        n += r != NULL && r->is_door && r->alloc != NULL &&
             memcmp(r->alloc->member->who, net, PV_TURNAUTH_NET_LEN) == 0;
    }
    return n;
}

/* IPv4 where there is any: a machine that has only IPv6 reaches it by its network's NAT64. Returns
 * 0 or an error code. */
static uint16_t open_door(struct pv_turns *t, struct pv_talloc *a, pv_ns now)
{
    size_t family = pv_trelay_can(t, 0, &a->way.local) ? 0 : 1;
    struct pv_trelay *r = NULL;
    if (t->doors == 0)
        return PV_TURN_E_FORBIDDEN;
    if (count_of_net(t, a->member->who) >= t->doors_per_net)
        return PV_TURN_E_QUOTA_REACHED;
    /* Static users keep most of the sockets that there are. */
    if (t->n_doors >= t->doors || t->n_doors >= t->limits.relays / DOORS_PART ||
        !pv_bucket_take(&a->member->door_opens, 1, PV_TURNS_DOOR_OPENS, 1, now) ||
        !pv_trelay_can(t, family, &a->way.local) || pv_trelay_new(t, &r) < 0)
        return PV_TURN_E_NO_CAPACITY;
    r->is_door = true;
    r->alloc = a;
    a->door = r;
    pv_relaystat_set(&t->stats, PV_RELAYSTAT_DOORS, ++t->n_doors);
    pv_trelay_locate(t, r, family, &a->way.local);
    pv_trelay_choose_port(t, r);
    pv_trelay_ask(t, r);
    return 0;
}

static void close_door(struct pv_turns *t, struct pv_talloc *a)
{
    pv_tchan_leave_door(t, a);
    if (a->door != NULL)
        pv_trelay_close(t, a->door);
    a->door = NULL;
}

/* One that could not be opened is told as such once; the wish after that tries again. When the
 * operator allows fewer, those who ask next give theirs up. */
void pv_tdoor_wish(struct pv_turns *t, const struct pv_treq *q, struct pv_talloc *a)
{
    bool failed = a->door_failed;
    a->door_failed = false;
    if (!pv_stun_has(q->msg, PV_TURN_ATTR_DOOR) || t->n_doors > t->doors)
        close_door(t, a);
    if (a->door == NULL && !failed && pv_stun_has(q->msg, PV_TURN_ATTR_DOOR))
        a->door_error = open_door(t, a, q->now);
}

/* An address once it is open, else a code as in ADDRESS-ERROR-CODE (RFC 8656 s18.12); 0: it is
 * being opened. */
void pv_tdoor_put(const struct pv_treq *q, const struct pv_talloc *a, struct pv_stun_writer *w)
{
    const uint8_t error[4] = {0, 0, (uint8_t)(a->door_error / 100), (uint8_t)(a->door_error % 100)};
    if (!pv_stun_has(q->msg, PV_TURN_ATTR_DOOR))
        return;
    if (a->door != NULL && a->door->state == PV_TRELAY_OPEN)
        pv_stun_put_xor_addr(w, PV_TURN_ATTR_DOOR, &a->door->shown);
    else
        pv_stun_put(w, PV_TURN_ATTR_DOOR, pv_view(error, sizeof(error)));
}

/* Another program, or a socket of a static user, may have the port. The next one follows from the
 * key as well. */
void pv_tdoor_opened(struct pv_turns *t, struct pv_trelay *r, int status)
{
    if (status == PV_OK) {
        r->state = PV_TRELAY_OPEN;
    } else if (status == PV_ERR_EXISTS && ++r->tries < PV_TURNS_PORT_TRIES) {
        pv_trelay_choose_port(t, r);
        pv_trelay_ask(t, r);
    } else {
        r->alloc->door_failed = true;
        r->alloc->door_error = PV_TURN_E_NO_CAPACITY;
        close_door(t, r->alloc);
    }
}

/* --- datagrams ------------------------------------------------------------------------------- */

/* Messages 1 to 4 as WireGuard has them (whitepaper s5.4): the bits that it reserves are 0. */
static bool is_wireguard(struct pv_view data)
{
    enum pv_demux kind = pv_demux(data);
    return kind >= PV_DEMUX_WG_INITIATION && kind <= PV_DEMUX_WG_DATA && data.ptr[3] == 0;
}

/* The source is asked first, so that one that floods does not use up the door's share. A long
 * message costs more, which keeps strangers to a hundredth of what a relay carries for a member. */
static bool may_enter(struct pv_turns *t, struct pv_tmember *m, const struct pv_addr *peer,
                      size_t len, pv_ns now)
{
    uint32_t units = (uint32_t)((len + PV_TURNS_DOOR_UNIT - 1) / PV_TURNS_DOOR_UNIT);
    return pv_bucket_table_take(t->door_sources, peer, units, now) &&
           pv_bucket_take(&m->strangers, PV_TURNS_DOOR_RATE, PV_TURNS_DOOR_BURST, units, now);
}

/* Static users may be allowed to reach networks of the operator's; members of any network get no
 * further there than to answer. */
static bool is_public(const struct pv_turns *t, const struct pv_addr *peer)
{
    struct pv_turnpeer_rules rules = t->rules;
    rules.n_allow = 0;
    return pv_turnpeer_is_allowed(peer, &rules);
}

static void count_relayed(struct pv_turns *t, size_t len)
{
    pv_relaystat_add(&t->stats, PV_RELAYSTAT_DOOR_PACKETS, 1);
    pv_relaystat_add(&t->stats, PV_RELAYSTAT_DOOR_BYTES, len);
}

bool pv_tdoor_may_reach(const struct pv_turns *t, const struct pv_talloc *a,
                        const struct pv_addr *peer)
{
    return a->door != NULL && a->door->state == PV_TRELAY_OPEN &&
           a->door->bind.family == peer->family && pv_turnpeer_is_allowed(peer, &t->rules);
}

/* A member binds a channel to whoever it has found to be its guest; all others are strangers, which
 * share a little. */
void pv_tdoor_in(struct pv_turns *t, const struct pv_trelay *r, const struct pv_addr *peer,
                 struct pv_view data, pv_ns now)
{
    struct pv_talloc *a = r->alloc;
    if (r->state != PV_TRELAY_OPEN || !a->attached) {
        count(t, PV_RELAYSTAT_DROP_NO_ALLOCATION);
        return;
    }
    if (!is_wireguard(data)) {
        count(t, PV_RELAYSTAT_DROP_DOOR_FOREIGN);
        return;
    }
    struct pv_tchan *c = pv_tchan_by_door(t, r, peer);
    if (c != NULL && c->until > now) {
        c->heard = now;
    } else if (!pv_turnpeer_is_allowed(peer, &t->rules)) {
        count(t, PV_RELAYSTAT_DROP_NO_PERMISSION);
        return;
    } else if (!may_enter(t, a->member, peer, data.len, now)) {
        count(t, PV_RELAYSTAT_DROP_DOOR_LIMIT);
        return;
    }
    if (!pv_tout_may(a->member->bandwidth, &a->member->down, data.len, now)) {
        count(t, PV_RELAYSTAT_DROP_BANDWIDTH);
        return;
    }
    count_relayed(t, data.len);
    pv_tout_data(t, a, c, peer, data, now);
}

/* Nobody shall have this machine send to strangers: to an address from which nothing came of late
 * goes just enough for answers to handshakes, and to be heard again after a restart. */
void pv_tdoor_out(struct pv_turns *t, const struct pv_talloc *a, const struct pv_tchan *c,
                  const struct pv_addr *peer, struct pv_view data, pv_ns now)
{
    struct pv_tmember *m = a->member;
    bool heard = c != NULL && c->heard != 0 && now - c->heard < PV_TURN_PERMISSION_TIME;
    if (!pv_tdoor_may_reach(t, a, peer) || (!heard && !is_public(t, peer))) {
        count(t, PV_RELAYSTAT_DROP_NO_PERMISSION);
        return;
    }
    if (!is_wireguard(data)) {
        count(t, PV_RELAYSTAT_DROP_DOOR_FOREIGN);
        return;
    }
    if (!heard && !pv_bucket_take(&m->knocks, PV_TURNS_DOOR_KNOCK_RATE, PV_TURNS_DOOR_KNOCK_BURST,
                                  (uint32_t)data.len, now)) {
        count(t, PV_RELAYSTAT_DROP_DOOR_LIMIT);
        return;
    }
    if (!pv_tout_may(m->bandwidth, &m->up, data.len, now)) {
        count(t, PV_RELAYSTAT_DROP_BANDWIDTH);
        return;
    }
    struct pv_turns_out *out = pv_tout_new(t, NULL);
    if (out == NULL)
        return;
    count_relayed(t, data.len);
    *out = (struct pv_turns_out){.dst = *peer, .sock = a->door->sock, .data = data};
}
