/* SPDX-License-Identifier: MIT */
/* UDP to TUN: tell the kinds apart, open, check, deliver. */
#include <string.h>

#include "base/bytes.h"
#include "daemon/core/packets/fp_carry.h"
#include "daemon/core/packets/fp_guard.h"
#include "daemon/core/packets/fp_many.h"
#include "proto/group/groupmsg.h"
#include "proto/ip/inband.h"
#include "proto/ip/ippkt.h"
#include "proto/stun/demux.h"
#include "proto/stun/turn.h"

enum {
    DISTANCE = 4, /* ours: packets from the one that is looked at to the one that is delivered */
    HEADER = 16,  /* bytes, whitepaper s5.4.6 */
    PUNTS_PER_DATAGRAM = 4, /* at most: confirmed, stray, active or denied, and the packet itself */
    PER_CALL = 1024,        /* datagrams, so that the results have room for whatever they make */
    INBAND_RATE = 1000, /* ours: messages a second of one peer, far above what rosters, pings and
                           probes make, and far below what keeps control busy (20,000) */
};
_Static_assert(PER_CALL <= (int)PV_FP_MAX_PUNTS / PUNTS_PER_DATAGRAM &&
                   PER_CALL <= (int)PV_FP_MAX_WRITES && PER_CALL >= (int)PV_FP_MAX_SEGMENTS &&
                   PER_CALL <= (int)PV_FP_MAX_RELAYED && PER_CALL <= (int)PV_FP_MAX_HANDED,
               "results of one call");

/* Writes the tally into the peer's facts. Once for a run of packets: tx, other rx workers and
 * control use the same cache lines. */
static void settle(struct pv_fp_worker *w)
{
    struct pv_fp_tally *t = &w->tally;
    if (t->peer == NULL)
        return;
    struct pv_fp_live *live = &t->peer->live->live;
    pv_fp_add(&live->rx_packets, t->packets);
    pv_fp_add(&live->rx_bytes, t->bytes);
    if (t->relayed > 0)
        pv_fp_add(&live->rx_relayed[t->from->via], t->relayed);
    *t = (struct pv_fp_tally){.peer = NULL};
}

/* --- after authentication ------------------------------------------------------------------ */

static struct pv_fp_target target_of(const struct pv_fp_snapshot *snap,
                                     const struct pv_fp_peer *peer, const struct pv_ippkt *ip)
{
    uint16_t family = ip->version == 4 ? PV_AF_INET : PV_AF_INET6;
    for (size_t i = 0; i < snap->iface.n_own; i++) {
        const struct pv_addr *own = &snap->iface.own[i];
        if (own->family == family && memcmp(own->ip, ip->dst, pv_addr_ip_len(own)) == 0)
            return (struct pv_fp_target){.us = true};
    }
    if (!pv_fp_is_to_many(snap, ip->version, ip->dst))
        return (struct pv_fp_target){.us = pv_fp_carry_goes_on(snap, peer, ip)};
    const struct pv_group g = pv_fp_group_of(ip->version, ip->dst);
    const enum pv_group_kind kind = pv_group_kind(&g);
    return (struct pv_fp_target){
        .us = kind != PV_GROUP_LOCAL, .many = true, .quiet = kind == PV_GROUP_DISCOVERY};
}

/* A member that asks this kernel for its groups would make it speak IGMPv1, and answer at any rate;
 * one that plays a router would have it send elsewhere. An honest member sends nothing that is for
 * a node's own link. */
static bool is_of_one_link(const struct pv_ippkt *ip, const struct pv_fp_target *to)
{
    return pv_ippkt_is_steering(ip) ||
           (to->many ? pv_ippkt_is_housekeeping(ip) : pv_groupmsg_is(ip));
}

/* Kernels believe an error whoever sends it, and make packets to a third node smaller because of
 * it. So a peer may report only packets that went to itself. An error in fragments, which no kernel
 * makes, hides what it quotes. */
static bool is_about_others(const struct pv_fp_snapshot *snap, const struct pv_fp_peer *peer,
                            const struct pv_ippkt *ip)
{
    if (!pv_ippkt_is_error(ip))
        return false;
    const uint8_t *dst = pv_ippkt_quoted_dst(ip);
    return ip->first_fragment ||
           (dst != NULL &&
            pv_fp_snapshot_way(snap, pv_fp_snapshot_route(snap, ip->version, dst)) != peer &&
            !pv_fp_carries(snap, peer, ip->version, dst));
}

static const struct pv_fp_ends *ends_of(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                                        const struct pv_fp_peer *peer, const struct pv_ippkt *ip)
{
    struct pv_fp_ends *last = &w->ends;
    bool v4 = ip->version == 4;
    bool same = v4 ? memcmp(last->ips, ip->src, PV_IP4_ADDRS_LEN) == 0
                   : memcmp(last->ips, ip->src, PV_IP6_ADDRS_LEN) == 0;
    if (!same || last->version != ip->version || last->peer != peer) {
        memcpy(last->ips, ip->src, v4 ? PV_IP4_ADDRS_LEN : PV_IP6_ADDRS_LEN);
        last->version = ip->version;
        last->peer = peer;
        last->owner = pv_fp_snapshot_way(snap, pv_fp_snapshot_route(snap, ip->version, ip->src));
        last->target = peer->kind == PV_FP_STATIC ? (struct pv_fp_target){.us = true}
                                                  : target_of(snap, peer, ip);
    }
    return last;
}

/* quiet: discovery, which counts as no use. */
static void accept_packet(struct pv_fp_worker *w, const struct pv_fp_opening *o,
                          const struct pv_ippkt *ip, uint8_t *packet, bool quiet, pv_ns now)
{
    struct pv_fp_live *live = &o->peer->live->live;
    w->tally.bytes += ip->whole.len;
    if (pv_carrier_is_relayed(o->from))
        w->tally.relayed += ip->whole.len;
    if (!quiet) {
        pv_fp_set(&live->last_rx_data, now);
        pv_fp_worker_punt_once(w, PV_FP_PUNT_ACTIVE, o->peer->id, &live->told_active);
    }
    pv_joiner_add(&w->writes, ip, packet);
}

/* Cryptokey routing (whitepaper s2): a peer sends only from its own addresses and from prefixes
 * that it carries. A member's packet must also be for this node or for a prefix that this node
 * carries, because members do not route for each other unasked. A phone's packet may be for any
 * member. */
static void deliver_packet(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                           const struct pv_fp_opening *o, const struct pv_fp_ahead *read,
                           uint8_t *packet, size_t len, pv_ns now)
{
    const struct pv_fp_peer *peer = o->peer;
    struct pv_ippkt local;
    const struct pv_ippkt *ip = NULL;
    if (read != NULL)
        ip = &read->ip;
    else if (peer->rules == NULL && pv_ippkt_parse(pv_view(packet, len), &local) == PV_OK)
        ip = &local;
    if (ip == NULL || ip->proto == PV_IPPKT_UNKNOWN) {
        pv_fp_worker_drop(w, peer, PV_FP_DROP_INNER);
        return;
    }
    /* An address of the peer, of one of its phones, or in a prefix that it carries. */
    const struct pv_fp_ends *ends = ends_of(w, snap, peer, ip);
    const struct pv_fp_target to = ends->target;
    bool may_say = ends->owner == peer || pv_fp_carry_admits(snap, peer, ip, now);
    if (!may_say || is_about_others(snap, peer, ip))
        pv_fp_worker_drop(w, peer, PV_FP_DROP_SOURCE);
    else if (!to.us)
        pv_fp_worker_drop(w, peer, PV_FP_DROP_DESTINATION);
    else if (peer->kind != PV_FP_STATIC && is_of_one_link(ip, &to))
        pv_fp_worker_drop(w, peer, PV_FP_DROP_QUIET);
    else if (to.quiet && peer->unwanted)
        pv_fp_worker_drop(w, peer, PV_FP_DROP_UNWANTED);
    else if (!pv_ippkt_take_ecn(ip, packet, o->ecn))
        pv_fp_worker_drop(w, peer, PV_FP_DROP_CONGESTION);
    else if (read == NULL || pv_fp_guard_admits(w, snap, peer, read, now))
        accept_packet(w, o, ip, packet, to.quiet, now);
}

/* A part of a packet; the whole, when this was the last one, goes on as any other. */
static void deliver_part(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                         const struct pv_fp_opening *o, struct pv_view inner, pv_ns now)
{
    const struct pv_parts_in in = {.owner = o->keys->local_index, .packet = inner, .ecn = o->ecn};
    struct pv_parts_out out;
    bool room = w->arena_used + PV_PARTS_WHOLE <= PV_FP_ARENA;
    if (!room || (w->parts == NULL && pv_parts_new(&w->parts) < 0)) {
        pv_fp_worker_drop(w, o->peer, PV_FP_DROP_PARTS);
        return;
    }
    uint8_t *whole = w->arena + w->arena_used;
    int r = pv_parts_add(w->parts, &in, now, whole, &out);
    pv_fp_worker_drops(w, NULL, PV_FP_DROP_PARTS, pv_parts_take_lost(w->parts));
    if (r == PV_OK) {
        struct pv_fp_opening last = *o;
        struct pv_fp_ahead *read = NULL;
        last.ecn = out.ecn;
        if (o->peer->rules != NULL && pv_fp_guard_read(w, snap, o->peer, pv_view(whole, out.len),
                                                       NULL, &w->ahead[PV_FP_AHEAD]))
            read = &w->ahead[PV_FP_AHEAD];
        deliver_packet(w, snap, &last, read, pv_fp_take_arena(w, out.len), out.len, now);
    } else if (r != PV_ERR_AGAIN) {
        pv_fp_worker_drop(w, o->peer, PV_FP_DROP_PARTS);
    }
}

/* Authenticated, but from elsewhere: one punt for a run of them. */
static void note_stray(struct pv_fp_worker *w, const struct pv_fp_peer *peer,
                       const struct pv_carrier *from, size_t len)
{
    for (size_t i = w->n_punts; i-- > 0;) {
        struct pv_fp_punt *last = &w->punts[i];
        if (last->kind != PV_FP_PUNT_STRAY)
            continue;
        if (last->peer != peer->id || !pv_carrier_same(&last->from, from))
            break;
        last->count += len;
        return;
    }
    struct pv_fp_punt *p = pv_fp_worker_punt(w, PV_FP_PUNT_STRAY, peer->id);
    p->from = *from;
    p->count = len;
    p->moves = peer->kind != PV_FP_MEMBER;
}

/* A packet, whole or in parts, under keys that must not carry any. */
static bool is_refused(const struct pv_fp_opening *o, struct pv_view inner)
{
    if (o->peer->strict != PV_FP_STRICT_ALL || o->keys->hybrid)
        return false;
    return inner.ptr[0] != PV_INBAND_FIRST || (inner.len > 1 && inner.ptr[1] == PV_INBAND_PACKET);
}

static void deliver(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                    const struct pv_aead_op *op, const struct pv_fp_opening *o,
                    const struct pv_fp_ahead *read, pv_ns now)
{
    const struct pv_fp_peer *peer = o->peer;
    struct pv_fp_live *live = &peer->live->live;
    if (op->status != PV_OK) {
        pv_fp_worker_drop(w, peer, op->status == PV_ERR_AUTH ? PV_FP_DROP_AUTH : PV_FP_DROP_CRYPTO);
        return;
    }
    /* Only now, after authentication: a forged counter must not move the window over genuine
     * packets. */
    if (pv_replay_accept(&o->keys->replay, op->counter) < 0) {
        pv_fp_worker_drop(w, peer, PV_FP_DROP_REPLAY);
        return;
    }
    pv_fp_set(&live->last_rx_any, now);
    if (w->tally.peer != peer || w->tally.from->via != o->from->via)
        settle(w);
    if (w->tally.from != o->from) /* merged datagrams came by one */
        w->tally.selected = pv_carrier_same(&peer->path, o->from);
    w->tally.peer = peer;
    w->tally.from = o->from;
    w->tally.packets++;
    /* The first packet under new keys proves that the other side has them: control may send with
     * them now. */
    if (!atomic_load_explicit(&o->keys->confirmed, memory_order_relaxed)) {
        atomic_store_explicit(&o->keys->confirmed, true, memory_order_relaxed);
        struct pv_fp_punt *p = pv_fp_worker_punt(w, PV_FP_PUNT_KEYS_CONFIRMED, peer->id);
        p->from = *o->from;
        p->index = o->keys->local_index;
        p->told = &o->keys->confirmed;
    }
    if (w->tally.selected)
        pv_fp_set(&live->last_rx_selected, now);
    else
        note_stray(w, peer, o->from, op->len + HEADER);

    struct pv_view inner = pv_view(op->data, op->len - PV_AEAD_TAG_LEN);
    if (inner.len == 0)
        return; /* a keepalive */
    if (is_refused(o, inner)) {
        pv_fp_worker_drop(w, peer, PV_FP_DROP_CLASSICAL);
    } else if (inner.ptr[0] != PV_INBAND_FIRST) {
        deliver_packet(w, snap, o, read, op->data, inner.len, now);
    } else if (peer->kind != PV_FP_MEMBER) {
        pv_fp_worker_drop(w, peer, PV_FP_DROP_INBAND);
    } else if (inner.len > 1 && inner.ptr[1] == PV_INBAND_PACKET) {
        deliver_part(w, snap, o, inner, now);
    } else if (!pv_bucket_take(&peer->live->inband, INBAND_RATE, 2 * INBAND_RATE, 1, now)) {
        /* All peers share the way to the control thread: one that floods it must not push out what
         * others say there, handshakes above all. */
        pv_fp_worker_drop(w, peer, PV_FP_DROP_INBAND_RATE);
    } else {
        struct pv_fp_punt *p = pv_fp_worker_punt(w, PV_FP_PUNT_INBAND, peer->id);
        p->from = *o->from;
        p->bytes = inner;
    }
}

/* A packet that was opened is looked at by its rules while the one before it is delivered. NULL:
 * there are none, or it is no packet. */
static const struct pv_fp_ahead *look_ahead(struct pv_fp_worker *w,
                                            const struct pv_fp_snapshot *snap, size_t i)
{
    const struct pv_fp_peer *peer = w->batch.opening[i].peer;
    const struct pv_aead_op *op = &w->ops[i];
    struct pv_fp_ahead *a = &w->ahead[i % PV_FP_AHEAD];
    if (peer->rules == NULL || op->status != PV_OK ||
        !pv_fp_guard_read(w, snap, peer, pv_view(op->data, op->len - PV_AEAD_TAG_LEN),
                          &w->ahead[(i + PV_FP_AHEAD - 1) % PV_FP_AHEAD], a))
        return NULL;
    return a;
}

static void open_batch(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap, pv_ns now)
{
    pv_aead_open_batch(w->aead, w->ops, w->n_ops);
    const struct pv_fp_ahead *read[PV_FP_AHEAD];
    for (size_t i = 0; i < w->n_ops && i < DISTANCE; i++)
        read[i] = look_ahead(w, snap, i);
    for (size_t i = 0; i < w->n_ops; i++) {
        if (i + DISTANCE < w->n_ops)
            read[(i + DISTANCE) % PV_FP_AHEAD] = look_ahead(w, snap, i + DISTANCE);
        deliver(w, snap, &w->ops[i], &w->batch.opening[i], read[i % PV_FP_AHEAD], now);
    }
    settle(w);
    w->n_ops = 0;
}

/* --- before authentication ----------------------------------------------------------------- */

/* One datagram as it came, or out of the relay's wrapping. */
struct unit {
    const struct pv_carrier *from;
    uint8_t *data;
    size_t len;
    uint8_t ecn;
    bool handed; /* taken out already */
};

/* Transport data: finds its keys and adds it to the batch, or drops it. */
static void rx_data(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap, const struct unit *u,
                    pv_ns now)
{
    struct pv_fp_keys *keys = NULL;
    const struct pv_fp_peer *peer =
        snap == NULL ? NULL : pv_fp_snapshot_keys(snap, pv_load_le32(u->data + 4), &keys);
    if (peer == NULL) {
        pv_fp_worker_drop(w, NULL, PV_FP_DROP_INDEX);
        return;
    }
    /* The replay window has one writer, the rx worker named by the index' low byte, and so no lock.
     * A number beyond the workers there are means worker 0. */
    unsigned owner = (keys->local_index & 0xff) < w->of ? keys->local_index & 0xff : 0;
    if (owner != w->number) {
        w->handed[w->n_handed++] = (struct pv_fp_handed){
            .to = owner, .from = u->from, .data = pv_view(u->data, u->len), .ecn = u->ecn};
        return;
    }
    uint64_t counter = pv_load_le64(u->data + 8);
    if (counter >= keys->reject_count || !pv_fp_keys_young(keys, PV_FP_REJECT_TIME, now)) {
        pv_fp_worker_drop(w, peer, PV_FP_DROP_EXPIRED_KEYS);
        return;
    }
    /* Not the decision, which deliver() takes: it saves opening what is certainly a repetition. */
    if (!pv_replay_is_new(&keys->replay, counter)) {
        pv_fp_worker_drop(w, peer, PV_FP_DROP_REPLAY);
        return;
    }
    w->ops[w->n_ops] = (struct pv_aead_op){.aead = keys->recv,
                                           .counter = counter,
                                           .data = u->data + HEADER,
                                           .len = u->len - HEADER,
                                           .thread = w->number};
    w->batch.opening[w->n_ops++] =
        (struct pv_fp_opening){.peer = peer, .keys = keys, .from = u->from, .ecn = u->ecn};
    if (w->n_ops == PV_AEAD_BATCH_MAX)
        open_batch(w, snap, now);
}

/* Which of our relays a datagram came from; NULL: none. */
static const struct pv_fp_relay *relay_of(const struct pv_fp_snapshot *snap,
                                          const struct pv_carrier *from, uint16_t *ret_via)
{
    for (uint16_t i = 0; snap != NULL && i < PV_FP_MAX_RELAYS; i++) {
        const struct pv_fp_relay *r = snap->relays[i];
        *ret_via = i;
        if (r == NULL)
            continue;
        if (from->kind == PV_CARRIER_STREAM
                ? from->sock != 0 &&
                      (r->way.stream == from->sock || r->way.former_stream == from->sock)
                : r->way.udp && (pv_addr_equal(&from->remote, &r->way.server) ||
                                 pv_addr_equal(&from->remote, &r->way.former)))
            return r;
    }
    return NULL;
}

/* Takes out what a TURN server passes on. False: it is not that, nothing changed. Only what comes
 * from a relay of ours is unwrapped: anybody else could put any sender's address into it. */
static bool unwrap(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap, struct unit *u)
{
    const struct pv_carrier *from = u->from;
    const struct pv_view datagram = pv_view(u->data, u->len);
    struct pv_view inner;
    uint16_t channel = 0, via = 0;
    struct pv_addr peer;
    const struct pv_fp_relay *relay = relay_of(snap, from, &via);
    if (relay == NULL)
        return false;
    if (pv_turn_channel_parse(datagram, &channel, &inner) == PV_OK) {
        uint32_t i = (uint32_t)channel - PV_TURN_CHANNEL_MIN;
        if (i >= relay->n || relay->channels[i].family == PV_AF_NONE)
            return false;
        peer = relay->channels[i];
    } else if (pv_turn_indication_parse(datagram, PV_TURN_DATA, &peer, &inner) != PV_OK) {
        return false;
    }
    struct pv_carrier *c = &w->relayed[w->n_relayed++];
    *c = *from;
    if (c->kind == PV_CARRIER_UDP)
        c->kind = PV_CARRIER_CHANNEL;
    c->channel = channel;
    c->via = via;
    c->relay = relay->way.server;
    c->remote = peer;
    u->from = c;
    u->data += inner.ptr - u->data;
    u->len = inner.len;
    return true;
}

static void rx_one(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap, struct unit u,
                   pv_ns now)
{
    enum pv_demux kind = pv_demux(pv_view(u.data, u.len));
    bool framed = kind == PV_DEMUX_CHANNEL || kind == PV_DEMUX_STUN;
    if (u.handed) {
        if (kind != PV_DEMUX_WG_DATA)
            kind = PV_DEMUX_JUNK;
    } else if (framed && unwrap(w, snap, &u)) {
        kind = pv_demux(pv_view(u.data, u.len));
    } else if (!framed && u.from->kind == PV_CARRIER_STREAM) {
        kind = PV_DEMUX_JUNK; /* a stream carries what the TURN server says, and nothing else */
    }
    switch (kind) {
    case PV_DEMUX_WG_DATA:
        rx_data(w, snap, &u, now);
        return;
    case PV_DEMUX_WG_INITIATION:
    case PV_DEMUX_WG_RESPONSE:
    case PV_DEMUX_WG_COOKIE:
    case PV_DEMUX_STUN:
        break;
    case PV_DEMUX_CHANNEL: /* of a server or channel that is not ours, or a relay behind a relay */
    case PV_DEMUX_JUNK:
        pv_fp_worker_drop(w, NULL, PV_FP_DROP_JUNK);
        return;
    }
    struct pv_fp_punt *p = pv_fp_worker_punt(w, PV_FP_PUNT_DATAGRAM, 0);
    p->from = *u.from;
    p->bytes = pv_view(u.data, u.len);
}

static size_t count_segments(const struct pv_fp_datagram *d)
{
    return d->segment == 0 || d->len <= d->segment ? 1 : (d->len + d->segment - 1) / d->segment;
}

size_t pv_fp_rx(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                const struct pv_fp_datagram *datagrams, size_t n, pv_ns now)
{
    size_t i, taken = 0;
    pv_fp_worker_reset(w);
    for (i = 0; i < n; i++) {
        const struct pv_fp_datagram *d = &datagrams[i];
        /* The kernel joins datagrams of one sender (UDP_GRO): each has the segment's length, but
         * for the last. */
        size_t segments = count_segments(d);
        if (segments > PV_FP_MAX_SEGMENTS) {
            pv_fp_worker_drop(w, NULL, PV_FP_DROP_JUNK);
            continue;
        }
        if (taken + segments > PER_CALL)
            break;
        taken += segments;
        size_t at = 0;
        do { /* an empty datagram is one too */
            size_t rest = d->len - at;
            size_t len = segments > 1 && rest > d->segment ? d->segment : rest;
            uint8_t ecn = d->congested && at == 0 ? (uint8_t)PV_ECN_CE : d->ecn;
            rx_one(w, snap, (struct unit){&d->from, d->data + at, len, ecn, d->handed}, now);
            at += len;
        } while (at < d->len);
    }
    if (w->n_ops > 0)
        open_batch(w, snap, now);
    pv_joiner_finish(&w->writes);
    return i;
}
