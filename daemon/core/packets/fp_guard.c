/* SPDX-License-Identifier: MIT */
/* fp_guard.c - lets packets of peers with rules in, or not. */
#include "daemon/core/packets/fp_guard.h"

#include "daemon/core/packets/fp_carry.h"
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

/* Returns true if the packet answers what this node asked all, from a port that no service has. */
static bool answers_all(const struct pv_flowtable *t, const struct pv_flow *f, uint32_t now_s)
{
    bool ping = f->proto == PV_PORTS_ICMP && f->kind == PV_FLOW_ANSWER;
    bool asked = f->proto == PV_PORTS_UDP && f->own >= PV_FLOW_EPHEMERAL;
    return (ping || asked) &&
           pv_flowtable_has(t, PV_FLOW_OURS, many_spot(t, f, PV_FLOW_OURS), now_s);
}

/* Remembers a packet that the rules let the peer send, unless it belongs to a flow that this
 * node began. A SYN begins a new one, whose ever the ports were before. */
static void remember(struct pv_flowtable *t, const struct pv_flow *f, struct pv_flowspot spot,
                     bool many, uint32_t now_s)
{
    if (f->kind != PV_FLOW_FIRST && f->kind != PV_FLOW_LATER)
        return;
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

static bool has_ports(const struct pv_flow *f)
{
    return f->kind != PV_FLOW_PIECE && f->kind != PV_FLOW_BAD;
}

static void refuse(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                   const struct pv_fp_peer *peer, const struct pv_fp_ahead *a, pv_ns now)
{
    _Atomic pv_ns *told = &peer->live->live.told_denied;
    pv_ns last = atomic_load_explicit(told, memory_order_relaxed);
    pv_fp_worker_drop(w, peer, PV_FP_DROP_RULES);
    pv_fp_add(&snap->guard->denied[pv_fp_guard_counter(snap->guard, a->verdict.rule)], 1);
    if (w->n_punts == PV_FP_MAX_PUNTS || (last != 0 && now - last < PV_FP_DENIED_EVERY) ||
        !atomic_compare_exchange_strong(told, &last, now))
        return;
    struct pv_fp_punt *p = pv_fp_worker_punt(w, PV_FP_PUNT_DENIED, a->who);
    p->index = a->verdict.rule;
    p->count = (size_t)a->flow.proto << 16 | a->flow.port;
}

/* Whether a packet that the rules have judged enters, and what is remembered of its flow. many: it
 * is a broadcast or multicast. */
static bool judge(struct pv_flowtable *t, const struct pv_fp_ahead *a, bool many, uint32_t now_s)
{
    const struct pv_flow *f = &a->flow;
    if (!has_ports(f))
        return f->kind == PV_FLOW_PIECE && piece_is_known(t, f, now_s);
    /* A SYN of the peer answers nothing that this node began. */
    bool syn = f->kind == PV_FLOW_FIRST && f->proto == PV_PORTS_TCP;
    if (a->verdict.allow)
        remember(t, f, a->spot, many, now_s);
    else if (syn || many ||
             (!pv_flowtable_has(t, PV_FLOW_OURS, a->spot, now_s) && !answers_all(t, f, now_s)))
        return false;
    if (f->more)
        pv_flowtable_put(t, PV_FLOW_THEIRS, pv_flowtable_spot(t, f->piece), now_s,
                         PV_FLOW_PIECE_LIFE);
    return true;
}

/* By the mark, which no other flow has (flow.c). */
static bool is_same(const struct pv_fp_ahead *a, const struct pv_fp_ahead *b)
{
    return a->spot.mark == b->spot.mark && a->flow.kind == b->flow.kind && !a->flow.more &&
           !b->flow.more && has_ports(&a->flow);
}

/* The peer in whose name the packet comes: a phone of `peer` has rules and flows of its
 * own. */
static const struct pv_fp_peer *speaker_of(const struct pv_fp_snapshot *snap,
                                           const struct pv_fp_peer *peer, const struct pv_ippkt *ip)
{
    const struct pv_fp_peer *src = pv_fp_snapshot_route(snap, ip->version, ip->src);
    return src != NULL && src->by == peer->id ? src : peer;
}

/* The rules about where it goes: this node, or something behind it. */
static const struct pv_ruletable *rules_for(const struct pv_fp_snapshot *snap,
                                            const struct pv_fp_peer *peer,
                                            const struct pv_ippkt *ip)
{
    const struct pv_addr dst = pv_ippkt_dst(ip);
    if (peer->regions == NULL || !pv_fp_carry_goes_on(snap, peer, ip))
        return peer->rules;
    for (size_t i = 0; i < peer->regions->n; i++) {
        if (pv_prefix_contains(&peer->regions->list[i].prefix, &dst))
            return peer->regions->list[i].rules;
    }
    return peer->rules;
}

bool pv_fp_guard_read(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                      const struct pv_fp_peer *peer, struct pv_view packet,
                      const struct pv_fp_ahead *last, struct pv_fp_ahead *ret_ahead)
{
    const struct pv_flowtable *t = snap->guard->flows->table;
    struct pv_fp_ahead *a = ret_ahead;
    a->spot.mark = 0;
    if (pv_ippkt_parse(packet, &a->ip) != PV_OK)
        return false;
    if (snap->n_by > 0)
        peer = speaker_of(snap, peer, &a->ip);
    a->who = peer->id;
    pv_flow_read(&a->ip, true, &a->flow);
    a->flow.key[0] = a->flow.piece[0] = peer->id;
    a->spot = pv_flowtable_spot(t, a->flow.key);
    if (last != NULL && is_same(a, last)) {
        a->run = last->run;
        a->verdict = last->verdict;
        return true;
    }
    a->run = ++w->runs;
    a->verdict = (struct pv_verdict){.allow = false, .rule = PV_RULE_UNSEEN};
    const struct pv_ruletable *rules = rules_for(snap, peer, &a->ip);
    if (rules == NULL) /* a phone whose rules found no memory yet */
        return true;
    if (has_ports(&a->flow))
        a->verdict = pv_ruletable_look(rules, a->flow.proto, a->flow.port);
    /* A file goes against the connection that fetches it, so a rule about this direction says
     * nothing: the daemon, which alone listens there, asks about the other one. */
    if (a->flow.proto == PV_PORTS_TCP && a->flow.port == PV_PORTS_FILES && rules == peer->rules &&
        has_ports(&a->flow))
        a->verdict.allow = true;
    pv_flowtable_prefetch(t, a->verdict.allow ? PV_FLOW_THEIRS : PV_FLOW_OURS, a->spot);
    return true;
}

bool pv_fp_guard_admits(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                        const struct pv_fp_peer *peer, const struct pv_fp_ahead *a, pv_ns now)
{
    /* Packets of one flow come together: what was decided in this call need not be asked again. */
    if (w->run_let_in == a->run)
        return true;
    bool many = pv_fp_is_to_many(snap, a->ip.version, a->ip.dst);
    if (!judge(snap->guard->flows->table, a, many, seconds(now))) {
        refuse(w, snap, peer, a, now);
        return false;
    }
    w->run_let_in = a->run;
    return true;
}

/* Returns true if an unknown flow may be one that the peer began. Above all after a restart, a
 * connection whose SYN was not seen is our own if its port is one that this machine chose. Other
 * flows may be older than the first rule or than this daemon, or were forgotten among many of this
 * peer. An echo request is always our own. */
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
    pv_flowtable_put(t, side, pv_flowtable_spot(t, f->key), now_s, life);
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
    struct pv_flowspot spot = pv_flowtable_spot(t, f.key);
    enum pv_flow_side likely = f.own >= PV_FLOW_EPHEMERAL ? PV_FLOW_OURS : PV_FLOW_THEIRS;
    if (f.kind == PV_FLOW_FIRST && f.proto == PV_PORTS_TCP) {
        pv_flowtable_forget(t, PV_FLOW_THEIRS, spot);
        pv_flowtable_put(t, PV_FLOW_OURS, spot, now_s, PV_FLOW_TCP_LIFE);
    } else if (!pv_flowtable_use(t, likely, spot, now_s) &&
               !pv_flowtable_use(t, PV_FLOW_OURS + PV_FLOW_THEIRS - likely, spot, now_s)) {
        note_unknown(snap, peer, ip, &f, now);
    }
}

bool pv_fp_guard_lets_out(const struct pv_fp_snapshot *snap, const struct pv_fp_peer *peer,
                          const struct pv_ippkt *ip, pv_ns now)
{
    const struct pv_flowtable *t = snap->guard->flows->table;
    struct pv_flow f;
    const struct pv_fp_peer *from = pv_fp_snapshot_route(snap, ip->version, ip->src);
    if (from != NULL && from->kind != PV_FP_STATIC)
        return true;
    pv_flow_read(ip, true, &f); /* as the phone's machine would read it */
    if (!has_ports(&f))
        return f.kind == PV_FLOW_PIECE;
    if (pv_ruletable_look(peer->out, f.proto, f.port).allow)
        return true;
    pv_flow_read(ip, false, &f);
    f.key[0] = peer->id;
    return !(f.kind == PV_FLOW_FIRST && f.proto == PV_PORTS_TCP) &&
           pv_flowtable_has(t, PV_FLOW_THEIRS, pv_flowtable_spot(t, f.key), seconds(now));
}
