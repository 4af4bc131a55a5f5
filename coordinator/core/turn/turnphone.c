/* SPDX-License-Identifier: MIT */
/* turnphone.c - members' phone ports, and the datagrams that pass through them. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "coordinator/core/turn/turns_int.h"
#include "proto/stun/demux.h"
#include "proto/stun/turn.h"

/* --- phone ports ------------------------------------------------------------------------------ */

/* A member that asks for a phone port has a UDP port here, to which machines that know nothing of
 * this relay send WireGuard's messages. The port follows from the member's key, so that it is the
 * same after every restart; a datagram that comes in goes to the member as from any relay socket,
 * and is looked at no further than to see that it has the form of such a message. */

enum {
    PHONE_PORTS_PART = 4, /* ours: phone ports may have one in this many relay sockets */
};

/* --- the port -------------------------------------------------------------------------------- */

/* Those of one network are counted where they are: there are few, and few ask. */
static uint32_t count_of_net(const struct pv_turns *t, const uint8_t *net)
{
    uint32_t n = 0;
    for (size_t i = 0; i < t->limits.relays; i++) {
        const struct pv_turns_relay *r = t->relays[i];
        n += r != NULL && r->is_phone_port && r->alloc != NULL &&
             memcmp(r->alloc->member->who, net, PV_TURNAUTH_NET_LEN) == 0;
    }
    return n;
}

/* IPv4 where there is any: a machine that has only IPv6 reaches it by its network's NAT64. Returns
 * 0 or an error code. */
static uint16_t open_phone_port(struct pv_turns *t, struct pv_turns_alloc *a, pv_ns now)
{
    size_t family = pv_turns_relay_can(t, 0, &a->way.local) ? 0 : 1;
    struct pv_turns_relay *r = NULL;
    if (t->policy.phone_ports == 0)
        return PV_TURN_E_FORBIDDEN;
    if (count_of_net(t, a->member->who) >= t->policy.phone_ports_per_net)
        return PV_TURN_E_QUOTA_REACHED;
    /* Static users keep most of the sockets that there are. */
    if (t->n_phone_ports >= t->policy.phone_ports ||
        t->n_phone_ports >= t->limits.relays / PHONE_PORTS_PART ||
        !pv_bucket_take(&a->member->phone_port_opens, 1, PV_TURNS_PHONE_PORT_OPENS, 1, now) ||
        !pv_turns_relay_can(t, family, &a->way.local) || pv_turns_relay_new(t, &r) < 0)
        return PV_TURN_E_NO_CAPACITY;
    r->is_phone_port = true;
    r->alloc = a;
    a->phone_port = r;
    pv_relaystat_set(&t->stats, PV_RELAYSTAT_PHONE_PORTS, ++t->n_phone_ports);
    pv_turns_relay_locate(t, r, family, &a->way.local);
    pv_turns_relay_choose_port(t, r);
    pv_turns_relay_ask(t, r);
    return 0;
}

static void close_phone_port(struct pv_turns *t, struct pv_turns_alloc *a)
{
    pv_turns_chan_leave_phone_port(t, a);
    if (a->phone_port != NULL)
        pv_turns_relay_close(t, a->phone_port);
    a->phone_port = NULL;
}

void pv_turns_phone_port_wish(struct pv_turns *t, const struct pv_turns_req *q,
                              struct pv_turns_alloc *a)
{
    bool failed = a->phone_port_failed;
    a->phone_port_failed = false;
    if (!pv_stun_has(q->msg, PV_TURN_ATTR_PHONE_PORT) || t->n_phone_ports > t->policy.phone_ports)
        close_phone_port(t, a);
    if (a->phone_port == NULL && !failed && pv_stun_has(q->msg, PV_TURN_ATTR_PHONE_PORT))
        a->phone_port_error = open_phone_port(t, a, q->now);
}

void pv_turns_phone_port_put(const struct pv_turns *t, const struct pv_turns_req *q,
                             const struct pv_turns_alloc *a, struct pv_stun_writer *w)
{
    uint8_t range[4];
    const uint8_t error[4] = {0, 0, (uint8_t)(a->phone_port_error / 100),
                              (uint8_t)(a->phone_port_error % 100)};
    if (!pv_stun_has(q->msg, PV_TURN_ATTR_PHONE_PORT))
        return;
    if (a->phone_port == NULL || a->phone_port->state != PV_TURNS_RELAY_OPEN) {
        pv_stun_put(w, PV_TURN_ATTR_PHONE_PORT, pv_view(error, sizeof(error)));
        return;
    }
    pv_store_be16(range, t->policy.port_lo);
    pv_store_be16(range + 2, t->policy.port_hi);
    pv_stun_put_xor_addr(w, PV_TURN_ATTR_PHONE_PORT, &a->phone_port->shown);
    pv_stun_put(w, PV_TURN_ATTR_PORT_RANGE, pv_view(range, sizeof(range)));
}

void pv_turns_phone_port_opened(struct pv_turns *t, struct pv_turns_relay *r, int status)
{
    if (status == PV_OK) {
        r->state = PV_TURNS_RELAY_OPEN;
    } else if (status == PV_ERR_EXISTS && ++r->tries < PV_TURNS_PORT_TRIES) {
        pv_turns_relay_choose_port(t, r);
        pv_turns_relay_ask(t, r);
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

/* Takes from the source's budget first, so that a source that floods does not use up the phone
 * port's share. A long message costs more, which keeps strangers to a hundredth of what a relay
 * carries for a member. */
static bool may_enter(struct pv_turns *t, struct pv_turns_member *m, const struct pv_addr *peer,
                      size_t len, pv_ns now)
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

bool pv_turns_phone_port_may_reach(const struct pv_turns *t, const struct pv_turns_alloc *a,
                                   const struct pv_addr *peer)
{
    return a->phone_port != NULL && a->phone_port->state == PV_TURNS_RELAY_OPEN &&
           a->phone_port->bind.family == peer->family && pv_turnpeer_is_allowed(peer, &t->rules);
}

void pv_turns_phone_port_in(struct pv_turns *t, const struct pv_turns_relay *r,
                            const struct pv_addr *peer, struct pv_view data, pv_ns now)
{
    struct pv_turns_alloc *a = r->alloc;
    if (r->state != PV_TURNS_RELAY_OPEN || !a->attached) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_NO_ALLOCATION);
        return;
    }
    if (!is_wireguard(data)) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_PHONE_PORT_FOREIGN);
        return;
    }
    struct pv_turns_chan *c = pv_turns_chan_by_phone_port(t, r, peer);
    if (c != NULL && c->until > now) {
        c->heard = now;
    } else if (!pv_turnpeer_is_allowed(peer, &t->rules)) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_NO_PERMISSION);
        return;
    } else if (!may_enter(t, a->member, peer, data.len, now)) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_PHONE_PORT_LIMIT);
        return;
    }
    if (!pv_turns_out_may(a->member->bandwidth, &a->member->down, data.len, now)) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_BANDWIDTH);
        return;
    }
    count_by_phone_port(t, data.len);
    pv_turns_out_data(t, a, c, peer, data, now);
}

void pv_turns_phone_port_out(struct pv_turns *t, const struct pv_turns_alloc *a,
                             const struct pv_turns_chan *c, const struct pv_addr *peer,
                             struct pv_view data, pv_ns now)
{
    struct pv_turns_member *m = a->member;
    bool heard = c != NULL && c->heard != 0 && now - c->heard < PV_TURN_PERMISSION_TIME;
    if (!pv_turns_phone_port_may_reach(t, a, peer) || (!heard && !is_public(t, peer))) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_NO_PERMISSION);
        return;
    }
    if (!is_wireguard(data)) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_PHONE_PORT_FOREIGN);
        return;
    }
    if (!heard && !pv_bucket_take(&m->knocks, PV_TURNS_PHONE_PORT_KNOCK_RATE,
                                  PV_TURNS_PHONE_PORT_KNOCK_BURST, (uint32_t)data.len, now)) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_PHONE_PORT_LIMIT);
        return;
    }
    if (!pv_turns_out_may(m->bandwidth, &m->up, data.len, now)) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_BANDWIDTH);
        return;
    }
    struct pv_turns_out *out = pv_turns_out_new(t, NULL);
    if (out == NULL)
        return;
    count_by_phone_port(t, data.len);
    *out = (struct pv_turns_out){.dst = *peer, .sock = a->phone_port->sock, .data = data};
}
