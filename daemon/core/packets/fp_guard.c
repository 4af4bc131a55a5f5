/* SPDX-License-Identifier: MIT */
/* fp_guard.c - lets packets of peers with rules in, or not. */
#include "daemon/core/packets/fp_guard.h"

#include <string.h>

#include "daemon/core/packets/fp_many.h"
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

static struct pv_flowspot spot_of(const struct pv_flowtable *t, const struct pv_flow *f)
{
    return pv_flowtable_spot(t, f->key);
}

/* Of what one side sent to many, and the other answers to it alone. */
static struct pv_flowspot many_spot(const struct pv_flowtable *t, const struct pv_flow *f,
                                    enum pv_flow_side asked)
{
    uint32_t key[PV_FLOW_WORDS];
    pv_flow_to_many(f, asked, key);
    return pv_flowtable_spot(t, key);
}

/* The fragments of a packet count as a flow of the peer's. */
static bool piece_is_known(const struct pv_flowtable *t, const struct pv_flow *f, uint32_t now_s)
{
    return pv_flowtable_has(t, PV_FLOW_THEIRS, pv_flowtable_spot(t, f->piece), now_s);
}

/* Does it answer what this node asked all, from a port that no service has? */
static bool answers_all(const struct pv_flowtable *t, const struct pv_flow *f, uint32_t now_s)
{
    bool ping = f->proto == PV_PORTS_ICMP && f->kind == PV_FLOW_ANSWER;
    bool asked = f->proto == PV_PORTS_UDP && f->own >= PV_FLOW_EPHEMERAL;
    return (ping || asked) &&
           pv_flowtable_has(t, PV_FLOW_OURS, many_spot(t, f, PV_FLOW_OURS), now_s);
}

/* What is remembered of a packet that the rules let the peer send, unless it belongs to a flow that
 * this node began. A SYN begins a new one, whose ever the ports were before. */
static void remember(struct pv_flowtable *t, const struct pv_flow *f, bool many, uint32_t now_s)
{
    if (f->kind != PV_FLOW_FIRST && f->kind != PV_FLOW_LATER)
        return;
    struct pv_flowspot spot = spot_of(t, f);
    if (f->kind == PV_FLOW_FIRST && f->proto == PV_PORTS_TCP)
        pv_flowtable_forget(t, PV_FLOW_OURS, spot);
    else if (pv_flowtable_use(t, PV_FLOW_THEIRS, spot, now_s) ||
             pv_flowtable_has(t, PV_FLOW_OURS, spot, now_s))
        return;
    if (many && f->proto == PV_PORTS_UDP)
        pv_flowtable_put(t, PV_FLOW_THEIRS, many_spot(t, f, PV_FLOW_THEIRS), now_s,
                         PV_FLOW_MANY_LIFE);
    else
        pv_flowtable_put(t, PV_FLOW_THEIRS, spot, now_s, life_of(f->proto));
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

/* Whether a packet that the rules have judged enters, and what is remembered of its flow. many: it
 * is a broadcast or multicast. */
static bool judge(struct pv_flowtable *t, const struct pv_flow *f, bool allowed, bool many,
                  uint32_t now_s)
{
    if (f->kind == PV_FLOW_BAD || f->kind == PV_FLOW_PIECE)
        return f->kind == PV_FLOW_PIECE && piece_is_known(t, f, now_s);
    /* A SYN of the peer answers nothing that this node began. */
    bool syn = f->kind == PV_FLOW_FIRST && f->proto == PV_PORTS_TCP;
    if (allowed)
        remember(t, f, many, now_s);
    else if (syn || many ||
             (!pv_flowtable_has(t, PV_FLOW_OURS, spot_of(t, f), now_s) &&
              !answers_all(t, f, now_s)))
        return false;
    if (f->more)
        pv_flowtable_put(t, PV_FLOW_THEIRS, pv_flowtable_spot(t, f->piece), now_s,
                         PV_FLOW_PIECE_LIFE);
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
    bool many = pv_fp_is_to_many(snap, ip->version, ip->dst);
    if (!judge(snap->guard->flows->table, &f, v.allow, many, seconds(now))) {
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
 * others that may be older than the first rule, or than this daemon, or were forgotten among many
 * of this peer, too. An echo request is always our own. */
static bool is_doubtful(const struct pv_fp_guard *guard, const struct pv_fp_peer *peer,
                        const struct pv_flow *f, pv_ns now)
{
    if (f->proto == PV_PORTS_ICMP || f->own >= PV_FLOW_EPHEMERAL)
        return false;
    if (f->proto == PV_PORTS_TCP || now < guard->doubt.until ||
        pv_flowtable_lost(guard->flows->table, peer->id, seconds(now)))
        return true;
    return now < guard->doubt.allowed_until &&
           pv_ruletable_look(peer->rules, f->proto, f->own).allow;
}

/* A packet that belongs to no flow that is known: whose is it? */
static void note_unknown(const struct pv_fp_snapshot *snap, const struct pv_fp_peer *peer,
                         const struct pv_ippkt *ip, const struct pv_flow *f, pv_ns now)
{
    struct pv_flowtable *t = snap->guard->flows->table;
    uint32_t now_s = seconds(now), life = life_of(f->proto);
    enum pv_flow_side side = PV_FLOW_OURS;
    if (pv_fp_is_to_many(snap, ip->version, ip->dst)) {
        pv_flowtable_put(t, side, many_spot(t, f, side), now_s, PV_FLOW_MANY_LIFE);
        return;
    }
    if (f->proto == PV_PORTS_UDP &&
        pv_flowtable_has(t, PV_FLOW_THEIRS, many_spot(t, f, PV_FLOW_THEIRS), now_s))
        side = PV_FLOW_THEIRS;
    else if (is_doubtful(snap->guard, peer, f, now))
        return;
    pv_flowtable_put(t, side, spot_of(t, f), now_s, life);
}

/* First the side that it is on most likely: a service's port, or one that this machine chose. */
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
    struct pv_flowspot spot = spot_of(t, &f);
    enum pv_flow_side likely = f.own >= PV_FLOW_EPHEMERAL ? PV_FLOW_OURS : PV_FLOW_THEIRS;
    if (f.kind == PV_FLOW_FIRST && f.proto == PV_PORTS_TCP) {
        pv_flowtable_forget(t, PV_FLOW_THEIRS, spot);
        pv_flowtable_put(t, PV_FLOW_OURS, spot, now_s, PV_FLOW_TCP_LIFE);
    } else if (!pv_flowtable_use(t, likely, spot, now_s) &&
               !pv_flowtable_use(t, PV_FLOW_OURS + PV_FLOW_THEIRS - likely, spot, now_s)) {
        note_unknown(snap, peer, ip, &f, now);
    }
}
