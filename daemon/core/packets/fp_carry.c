/* SPDX-License-Identifier: MIT */
/*
 * fp_carry.c - which peer carries a packet. Where several may, a flow stays with one: the other's
 * masquerading does not know it. The choice is in a table of flows, as adr 0032 has it for rules;
 * the peer is a part of the key.
 */
#include "daemon/core/packets/fp_carry.h"

/* Never 0, by which tables mark a free place. */
static uint32_t seconds(pv_ns now)
{
    return (uint32_t)(now / PV_S(1)) + 1;
}

/* The entry of this owner; NULL: the owner is no prefix that peers carry. */
static const struct pv_fp_carried *carried_of(const struct pv_fp_snapshot *snap, uint32_t owner)
{
    size_t i = (size_t)owner - PV_FP_OWNER_CARRIED;
    return owner < PV_FP_OWNER_CARRIED || i >= snap->routes->n_carried ? NULL
                                                                       : &snap->routes->carried[i];
}

/* Seldom, since all workers share the line. */
static void mark(const struct pv_fp_snapshot *snap, const struct pv_fp_carried *c, pv_ns now)
{
    _Atomic pv_ns *gone = &snap->routes->marks->gone[c - snap->routes->carried];
    if (now - atomic_load_explicit(gone, memory_order_relaxed) >= PV_FP_MARK)
        atomic_store_explicit(gone, now, memory_order_relaxed);
}

void pv_fp_carry_mark(const struct pv_fp_snapshot *snap, const struct pv_ippkt *ip, pv_ns now)
{
    const struct pv_fp_carried *c =
        carried_of(snap, pv_fp_snapshot_owner(snap, ip->version, ip->dst));
    if (c != NULL)
        mark(snap, c, now);
}

static struct pv_flowspot spot_of(const struct pv_flowtable *t, struct pv_flow *f, bool piece,
                                  uint32_t id)
{
    uint32_t *key = piece ? f->piece : f->key;
    key[0] = id;
    return pv_flowtable_spot(t, key);
}

static uint32_t life_of(uint8_t proto)
{
    return proto == PV_PORTS_TCP ? PV_FLOW_TCP_LIFE : PV_FLOW_LIFE;
}

/* The flow goes by this gateway from now on, and so do its fragments to come. */
static void note(struct pv_flowtable *t, struct pv_flow *f, uint32_t id, uint32_t now_s)
{
    if (f->kind != PV_FLOW_PIECE)
        pv_flowtable_put(t, PV_FLOW_OURS, spot_of(t, f, false, id), now_s, life_of(f->proto));
    if (f->kind == PV_FLOW_PIECE || f->more)
        pv_flowtable_put(t, PV_FLOW_OURS, spot_of(t, f, true, id), now_s, PV_FLOW_PIECE_LIFE);
}

/* The gateway by which the flow goes already, among the first n; 0: none. */
static uint32_t find(struct pv_flowtable *t, const struct pv_fp_carried *c, size_t n,
                     struct pv_flow *f, uint32_t now_s)
{
    for (size_t i = 0; i < n; i++) {
        if (pv_flowtable_use(t, PV_FLOW_OURS, spot_of(t, f, f->kind == PV_FLOW_PIECE, c->ids[i]),
                             now_s))
            return c->ids[i];
    }
    return 0;
}

/* Where it goes already, else by the first. It leaves one that is dead for good: back there it
 * would be interrupted again. */
static uint32_t choose(struct pv_flowtable *t, const struct pv_fp_carried *c, struct pv_flow *f,
                       uint32_t now_s)
{
    uint32_t id = find(t, c, c->n_live, f, now_s);
    if (id == 0) {
        for (size_t i = c->n_live; i < c->n; i++)
            pv_flowtable_forget(t, PV_FLOW_OURS,
                                spot_of(t, f, f->kind == PV_FLOW_PIECE, c->ids[i]));
        id = c->ids[0];
        note(t, f, id, now_s);
    } else if (f->more) {
        note(t, f, id, now_s);
    }
    return id;
}

const struct pv_fp_peer *pv_fp_carry_to(const struct pv_fp_snapshot *snap,
                                        const struct pv_ippkt *ip, pv_ns now)
{
    const struct pv_fp_carried *c =
        carried_of(snap, pv_fp_snapshot_owner(snap, ip->version, ip->dst));
    struct pv_flow f;
    if (c == NULL || c->n == 0)
        return NULL;
    mark(snap, c, now);
    if (c->n == 1)
        return pv_fp_snapshot_peer(snap, c->ids[0]);
    pv_flow_read(ip, false, &f);
    if (f.kind == PV_FLOW_BAD)
        return pv_fp_snapshot_peer(snap, c->ids[0]);
    struct pv_flowtable *t = snap->routes->flows->table;
    return pv_fp_snapshot_peer(snap, choose(t, c, &f, seconds(now)));
}

static bool is_one_of(const struct pv_fp_carried *c, uint32_t id)
{
    for (size_t i = 0; c != NULL && i < c->n; i++) {
        if (c->ids[i] == id)
            return true;
    }
    return false;
}

bool pv_fp_carries(const struct pv_fp_snapshot *snap, const struct pv_fp_peer *peer,
                   uint8_t version, const uint8_t *ip)
{
    return is_one_of(carried_of(snap, pv_fp_snapshot_owner(snap, version, ip)), peer->id);
}

bool pv_fp_carry_admits(const struct pv_fp_snapshot *snap, const struct pv_fp_peer *peer,
                        const struct pv_ippkt *ip, pv_ns now)
{
    const struct pv_fp_carried *c =
        carried_of(snap, pv_fp_snapshot_owner(snap, ip->version, ip->src));
    if (!is_one_of(c, peer->id))
        return false;
    if (c->n > 1) {
        struct pv_flowtable *t = snap->routes->flows->table;
        struct pv_flow f;
        pv_flow_read(ip, true, &f);
        bool is_flow = f.kind == PV_FLOW_FIRST || f.kind == PV_FLOW_LATER;
        if (is_flow && find(t, c, c->n, &f, seconds(now)) == 0)
            note(t, &f, peer->id, seconds(now));
    }
    return true;
}

bool pv_fp_carry_goes_on(const struct pv_fp_snapshot *snap, const struct pv_fp_peer *peer,
                         const struct pv_ippkt *ip)
{
    const uint32_t owner = pv_fp_snapshot_owner(snap, ip->version, ip->dst);
    const struct pv_fp_peer *to = pv_fp_snapshot_peer(snap, owner);
    return owner == PV_FP_OWNER_HERE ||
           (to != NULL &&
            (to->kind == PV_FP_PHONE || (to->kind == PV_FP_MEMBER && peer->kind == PV_FP_PHONE)));
}
