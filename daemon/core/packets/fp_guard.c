/* SPDX-License-Identifier: MIT */
/* fp_guard.c - lets packets of peers with rules in, or not. */
#include "daemon/core/packets/fp_guard.h"

#include <string.h>

#include "daemon/core/packets/fp_worker.h"
#include "proto/rules/flow.h"
#include "proto/rules/ruletable.h"

/* Never 0, by which tables mark a free place. */
static uint32_t seconds(pv_ns now)
{
    return (uint32_t)(now / PV_S(1)) + 1;
}

static uint32_t life_of(uint8_t proto)
{
    return proto == PV_PORTS_TCP ? PV_FLOW_TCP_LIFE : PV_FLOW_LIFE;
}

static bool is_ours(const struct pv_flowtable *t, const struct pv_flow *f, struct pv_flowspot spot,
                    uint32_t now_s)
{
    return pv_flowtable_has(t, PV_FLOW_OURS, spot, now_s, life_of(f->proto));
}

/* The fragments of a packet count as a flow of the peer's. */
static bool piece_is_known(const struct pv_flowtable *t, const struct pv_flow *f, uint32_t now_s)
{
    return pv_flowtable_has(t, PV_FLOW_THEIRS, pv_flowtable_spot(t, f->piece), now_s,
                            PV_FLOW_PIECE_LIFE);
}

static void refuse(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                   const struct pv_fp_peer *peer, const struct pv_flow *f, uint16_t rule, pv_ns now)
{
    _Atomic pv_ns *told = &peer->live->live.told_denied;
    pv_ns last = atomic_load_explicit(told, memory_order_relaxed);
    pv_fp_worker_drop(w, peer, PV_FP_DROP_RULES);
    pv_fp_add(&snap->guard->denied[pv_fp_guard_counter(snap->guard, rule)], 1);
    if (w->n_punts == PV_FP_MAX_PUNTS || (last != 0 && now - last < PV_FP_DENIED_EVERY) ||
        !atomic_compare_exchange_strong(told, &last, now))
        return;
    struct pv_fp_punt *p = pv_fp_worker_punt(w, PV_FP_PUNT_DENIED, peer->id);
    p->index = rule;
    p->count = (size_t)f->proto << 16 | f->port;
}

/* Whether a packet that the rules have judged enters, and what is remembered of its flow. */
static bool judge(struct pv_flowtable *t, const struct pv_flow *f, bool allowed, uint32_t now_s)
{
    if (f->kind == PV_FLOW_BAD || f->kind == PV_FLOW_PIECE)
        return f->kind == PV_FLOW_PIECE && piece_is_known(t, f, now_s);
    struct pv_flowspot spot = pv_flowtable_spot(t, f->key);
    /* A SYN of the peer answers nothing that this node began. */
    bool syn = f->kind == PV_FLOW_FIRST && f->proto == PV_PORTS_TCP;
    bool ours = !(syn && !allowed) && is_ours(t, f, spot, now_s);
    if (!allowed && !ours)
        return false;
    if (!ours && (f->kind == PV_FLOW_FIRST || f->kind == PV_FLOW_LATER))
        pv_flowtable_put(t, PV_FLOW_THEIRS, spot, now_s);
    if (f->more)
        pv_flowtable_put(t, PV_FLOW_THEIRS, pv_flowtable_spot(t, f->piece), now_s);
    return true;
}

bool pv_fp_guard_admits(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                        const struct pv_fp_peer *peer, const struct pv_ippkt *ip, pv_ns now)
{
    struct pv_flow f;
    struct pv_verdict v = {.allow = false, .rule = PV_RULE_UNSEEN};
    pv_flow_read(ip, true, &f);
    f.key[0] = f.piece[0] = peer->id;
    /* Packets of one flow come together: what was decided in this batch need not be asked again. */
    if (w->guarded.peer == peer && w->guarded.kind == f.kind && !f.more &&
        memcmp(w->guarded.key, f.key, sizeof(f.key)) == 0)
        return true;
    if (f.kind != PV_FLOW_PIECE && f.kind != PV_FLOW_BAD)
        v = pv_ruletable_look(peer->rules, f.proto, f.port);
    if (!judge(snap->guard->flows->table, &f, v.allow, seconds(now))) {
        refuse(w, snap, peer, &f, v.rule, now);
        return false;
    }
    w->guarded.peer = f.kind == PV_FLOW_PIECE || f.more ? NULL : peer;
    w->guarded.kind = f.kind;
    memcpy(w->guarded.key, f.key, sizeof(f.key));
    return true;
}

/* May a flow that nobody has seen before be one that the peer began? A connection whose SYN was not
 * seen, after a restart above all, is our own when its port is one that this machine chose; of
 * others that may be older than the first rule, too. An echo request is always our own. */
static bool is_doubtful(const struct pv_fp_guard *guard, const struct pv_flow *f, pv_ns now)
{
    if (f->proto == PV_PORTS_ICMP || f->own >= PV_FLOW_EPHEMERAL)
        return false;
    return f->proto == PV_PORTS_TCP || now < guard->doubt_until;
}

void pv_fp_guard_note(const struct pv_fp_snapshot *snap, const struct pv_fp_peer *peer,
                      const struct pv_ippkt *ip, pv_ns now)
{
    struct pv_flowtable *t = snap->guard->flows->table;
    uint32_t now_s = seconds(now);
    struct pv_flow f;
    pv_flow_read(ip, false, &f);
    f.key[0] = peer->id;
    if (f.kind != PV_FLOW_FIRST && f.kind != PV_FLOW_LATER)
        return;
    struct pv_flowspot spot = pv_flowtable_spot(t, f.key);
    bool syn = f.kind == PV_FLOW_FIRST && f.proto == PV_PORTS_TCP;
    if (!syn && pv_flowtable_has(t, PV_FLOW_THEIRS, spot, now_s, life_of(f.proto))) {
        pv_flowtable_put(t, PV_FLOW_THEIRS, spot, now_s);
        return;
    }
    if (!syn && is_doubtful(snap->guard, &f, now) && !is_ours(t, &f, spot, now_s))
        return;
    pv_flowtable_put(t, PV_FLOW_OURS, spot, now_s);
}
