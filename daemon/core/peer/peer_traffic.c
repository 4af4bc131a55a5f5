/* SPDX-License-Identifier: MIT */
/* A peer as the packet threads see it (a snapshot), and how large a datagram its path carries. */
#include "daemon/core/peer/peer_int.h"
#include "proto/ip/parts.h"
#include "proto/rules/ruletable.h"
#include "proto/stun/turn.h"

enum {
    HEADER4 = 28, /* bytes of IPv4 and UDP header, RFC 791, RFC 768 */
    HEADER6 = 48, /* bytes of IPv6 and UDP header, RFC 8200 */
};

/* The bytes that the path puts before a sealed datagram: so the sizes that are tried are those of
 * links. */
static size_t bytes_before(const struct pv_carrier *path)
{
    size_t headers = pv_carrier_dst(path)->family == PV_AF_INET6 ? HEADER6 : HEADER4;
    return headers + (path->kind == PV_CARRIER_CHANNEL ? PV_TURN_CHANNEL_HEADER : 0);
}

/* Probes begin with use: a path nobody sends data over may carry what it likes. Static peers cannot
 * answer them. Data from before this path says nothing about it. */
static void note_mtu(struct pv_peer *p, const struct pv_session_traffic *t, uint64_t bytes,
                     pv_ns now)
{
    if (p->talk == NULL)
        return;
    uint64_t more = bytes - p->talk->sampled_bytes;
    struct pv_mtu *m = &p->talk->mtu;

    p->talk->sampled_bytes = bytes;
    if (p->is_static || !pv_peer_has_path(p) || p->path.kind == PV_CARRIER_STREAM ||
        p->session == NULL || !pv_session_has_keys(p->session, now) || t->data_sent < p->path_since)
        return;
    if (m->state == PV_MTU_OFF)
        pv_mtu_start(m, &p->node->rng, bytes_before(&p->path),
                     (uint16_t)(p->node->given.mtu + PV_FP_OVERHEAD), now);
    pv_mtu_note_sent(m, more == 0 ? 0 : more + PV_FP_OVERHEAD, t->data_sent);
    if (t->data_received > p->path_since)
        pv_mtu_note_received(m, t->data_received, now);
}

void pv_peer_add_relayed(const struct pv_peer *p, uint16_t via, struct pv_peer_relayed *sum)
{
    struct pv_fp_live *l = pv_fp_builder_live(p->node->fp, p->id);
    if (l == NULL)
        return;
    sum->tx += atomic_load_explicit(&l->tx_relayed[via], memory_order_relaxed);
    sum->rx += atomic_load_explicit(&l->rx_relayed[via], memory_order_relaxed);
}

void pv_peer_add_sums(const struct pv_peer *p, struct pv_peer_sums *sum)
{
    const struct pv_fp_live *l = pv_fp_builder_live(p->node->fp, p->id);
    if (l == NULL)
        return;
    sum->tx_bytes += atomic_load_explicit(&l->tx_bytes, memory_order_relaxed);
    sum->rx_bytes += atomic_load_explicit(&l->rx_bytes, memory_order_relaxed);
    sum->tx_packets += atomic_load_explicit(&l->tx_packets, memory_order_relaxed);
    sum->rx_packets += atomic_load_explicit(&l->rx_packets, memory_order_relaxed);
}

uint16_t pv_peer_inner_mtu(const struct pv_peer *p)
{
    uint16_t current = pv_peer_mtu(p)->current;
    if (current == 0)
        return p->node->given.mtu;
    uint16_t inner = (uint16_t)(current - PV_FP_OVERHEAD);
    return inner < PV_PARTS_WHOLE ? PV_PARTS_WHOLE : inner;
}

bool pv_peer_rests(const struct pv_peer *p, pv_ns now)
{
    const struct pv_fp_live *l = pv_fp_builder_live(p->node->fp, p->id);
    return !p->is_static && l != NULL && pv_peer_has_path(p) &&
           now >= p->path_since + PV_FP_SURE_FOR &&
           now >= atomic_load_explicit(&l->last_rx_selected, memory_order_relaxed) + PV_FP_SURE_FOR;
}

bool pv_peer_is_silent(const struct pv_peer *p, pv_ns now)
{
    return pv_peer_rests(p, now) &&
           pv_fp_live_is_silent(pv_fp_builder_live(p->node->fp, p->id), now);
}

void pv_peer_settle_silence(struct pv_peer *p)
{
    struct pv_carrier spare = {.kind = PV_CARRIER_NONE};
    const struct pv_relayway *relay =
        p->node->ways.relays[0]; /* the one where it has a virtual address */
    struct pv_fp_live *l = pv_fp_builder_live(p->node->fp, p->id);
    if (p->ice == NULL || l == NULL)
        return;
    pv_fp_live_set_alive(l, pv_ice_alive_at(p->ice));
    if (!pv_peer_is_direct(p) || p->relay_addr.family == PV_AF_NONE || relay == NULL ||
        !pv_relayway_carrier(relay, &p->relay_addr, &spare))
        spare.kind = PV_CARRIER_NONE;
    if (pv_fp_builder_set_spare(p->node->fp, p->id, &spare) != PV_OK)
        pv_log(p->node->log, PV_LOG_WARN, "peer=%s what=\"no spare way: out of memory\"", p->name);
}

void pv_peer_settle_mtu(struct pv_peer *p, pv_ns now)
{
    uint16_t size;
    struct pv_mtu *m = pv_peer_mtu_of(p);
    if (m == NULL || !pv_mtu_take_change(m, &size) || !pv_peer_has_path(p))
        return;
    /* The same path with another size. A smaller one must reach the packet threads soon: what is
     * too large is lost in silence. */
    if (pv_fp_builder_set_path(p->node->fp, p->id, &p->path, pv_peer_path_mtu(&p->path, size)) !=
        PV_OK)
        m->changed = true; /* without memory: again with the next occasion */
    pv_trace_add(&p->trace, now, "the path carries packets of %u bytes inside",
                 size == 0 ? p->node->given.mtu : size - (unsigned)PV_FP_OVERHEAD);
}

/* A client's question counts as traffic: the agent checks the path now. */
void pv_peer_note_asked(struct pv_peer *p, pv_ns now)
{
    p->asked_at = now;
    p->sample_at = pv_min_ns(p->sample_at, now);
    pv_peer_note_use(p, now);
}

void pv_peer_note_use(struct pv_peer *p, pv_ns now)
{
    struct pv_fp_live *l = pv_fp_builder_live(p->node->fp, p->id);
    if (l != NULL)
        atomic_store_explicit(&l->last_asked, now, memory_order_relaxed);
}

/* The packet threads only write times. Control reads them while there is traffic, and stops with
 * it: an idle peer costs no timer. */
void pv_peer_sample(struct pv_peer *p, pv_ns now)
{
    struct pv_fp_live *l = pv_fp_builder_live(p->node->fp, p->id);
    if (l == NULL)
        return;
    const struct pv_session_traffic t = {
        .data_sent = atomic_load_explicit(&l->last_tx_data, memory_order_relaxed),
        .any_sent = atomic_load_explicit(&l->last_tx_any, memory_order_relaxed),
        .data_received = atomic_load_explicit(&l->last_rx_data, memory_order_relaxed),
        .any_received = atomic_load_explicit(&l->last_rx_any, memory_order_relaxed),
        .sent = atomic_load_explicit(&l->tx_packets, memory_order_relaxed),
    };
    if (p->session != NULL)
        pv_session_note_traffic(p->session, &t, now);
    pv_ns sent = t.data_sent > p->asked_at ? t.data_sent : p->asked_at;
    pv_ns heard = atomic_load_explicit(&l->last_rx_selected, memory_order_relaxed);
    if (p->ice != NULL) {
        pv_ice_note_data(p->ice, t.data_received, now);
        pv_ice_note_traffic(p->ice, sent, heard, now);
        pv_fp_live_set_alive(l, pv_min_ns(heard, now));
    }
    note_mtu(p, &t, atomic_load_explicit(&l->tx_bytes, memory_order_relaxed), now);
    pv_peer_pq_used(p, now);
    pv_ns last = sent > t.data_received ? sent : t.data_received;
    if (last + PV_PEER_WANTED_FOR > now && last > p->wanted_at) {
        /* Talk begins on the relay: a direct path is looked for now, not by what was waited in vain
         * before the pause. */
        bool rested = last > p->wanted_at + PV_FP_SURE_FOR;
        if (p->leave_at != PV_NEVER && rested &&
            (pv_peer_was_direct(p, now) || !pv_peer_is_wanted(p, now)))
            pv_peer_leave_relay(p, now);
        p->wanted_at = last;
    }
    /* From here on the next packet reports itself. */
    if (last + PV_PEER_QUIET_AFTER < now) {
        p->sample_at = PV_NEVER;
        pv_fp_live_rearm_active(l);
    } else {
        p->sample_at = now + PV_PEER_SAMPLE;
    }
}

int pv_peer_receive_inband(struct pv_peer *p, struct pv_view packet, pv_ns now,
                           struct pv_inband_message *ret_msg)
{
    return pv_inband_receive(&p->inband, packet, now, ret_msg);
}

/* The packet threads tell it now and then, so a peer that goes on trying does not push everything
 * else out of the trace. */
void pv_peer_note_denied(struct pv_peer *p, const struct pv_fp_punt *punt, pv_ns now)
{
    char port[PV_PORTS_TEXT], rule[PV_RULE_TEXT];
    pv_trace_add(&p->trace, now, "%s from it: denied by %s",
                 pv_ports_format_one((uint8_t)(punt->count >> 16), (uint16_t)punt->count, port),
                 pv_rule_format((uint16_t)punt->index, rule));
}
