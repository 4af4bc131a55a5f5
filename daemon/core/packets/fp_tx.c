/* SPDX-License-Identifier: MIT */
/* TUN to UDP: route, seal, wait, or answer with an error. */
#include <string.h>

#include "base/bytes.h"
#include "daemon/core/packets/fp_carry.h"
#include "daemon/core/packets/fp_first.h"
#include "daemon/core/packets/fp_fit.h"
#include "daemon/core/packets/fp_guard.h"
#include "daemon/core/packets/fp_many.h"
#include "daemon/core/packets/fp_worker.h"
#include "proto/ip/inband.h"
#include "proto/ip/ippkt.h"
#include "proto/ip/offload.h"
#include "proto/rules/ports.h"
#include "proto/stun/turn.h"

enum {
    HEADER = 16,    /* bytes: type, receiver, counter (whitepaper s5.4.6) */
    COUNTER_AT = 8, /* in it */
    TYPE_DATA = 4,  /* whitepaper s5.4.6 */
    PAD = 16,       /* bytes: content is padded to a multiple, whitepaper s5.4.6 */
};
#define ASKED_FOR \
    PV_S(1) /* ours: what goes in-band so soon is a client's question, or its answer */

/* --- sealing ------------------------------------------------------------------------------- */

/* Counters, in the order of the packets: of neighbours under the same keys in one step, as other
 * workers may want some too. */
static void number_batch(struct pv_fp_worker *w)
{
    for (size_t i = 0, n; i < w->n_ops; i += n) {
        struct pv_fp_keys *keys = w->batch.sealing[i].keys;
        for (n = 1; i + n < w->n_ops && w->batch.sealing[i + n].keys == keys; n++) {
        }
        uint64_t first = atomic_fetch_add_explicit(&keys->next_counter, n, memory_order_relaxed);
        for (size_t k = 0; k < n; k++) {
            struct pv_aead_op *op = &w->ops[i + k];
            op->counter = first + k;
            pv_store_le64(op->data - HEADER + COUNTER_AT, op->counter);
        }
    }
}

/* Seals what was collected. A send that could not be sealed is left with len 0. Its counter is used
 * up all the same: two messages under one counter would break the AEAD. */
static void seal_batch(struct pv_fp_worker *w)
{
    number_batch(w);
    pv_aead_seal_batch(w->aead, w->ops, w->n_ops);
    for (size_t i = 0; i < w->n_ops; i++) {
        if (w->ops[i].status == PV_OK)
            continue;
        pv_fp_worker_drop(w, NULL, PV_FP_DROP_CRYPTO);
        w->sends[w->batch.sealing[i].send].len = 0;
    }
    w->n_ops = 0;
}

/* How many of the n sends from s on one system call may take. UDP_SEGMENT cuts one contiguous
 * buffer into datagrams of one length, of which only the last may be shorter. */
static uint16_t run_length(const struct pv_fp_send *s, size_t n)
{
    uint16_t run = 1;
    size_t bytes = s[0].len;
    while (run < n && run < PV_FP_RUN_MAX && s[run - 1].len == s[0].len) {
        const struct pv_fp_send *next = &s[run];
        bytes += next->len;
        if (next->to != s[0].to || next->len > s[0].len || next->ecn != s[0].ecn ||
            next->cut != s[0].cut || next->data != s[run - 1].data + s[run - 1].len ||
            bytes > PV_FP_RUN_BYTES)
            break;
        run++;
    }
    return run;
}

/* Writes the tally into the peer's facts, which other workers may be writing to as well. */
static void settle(struct pv_fp_worker *w, pv_ns now)
{
    struct pv_fp_tally *t = &w->tally;
    if (t->peer == NULL)
        return;
    struct pv_fp_live *live = &t->peer->live->live;
    pv_fp_set(&live->last_tx_any, now);
    pv_fp_add(&live->tx_packets, t->packets);
    pv_fp_add(&live->tx_bytes, t->bytes);
    if (pv_carrier_is_relayed(&t->peer->path))
        pv_fp_add(&live->tx_relayed[t->peer->path.via], t->bytes);
    if (!w->no_use) {
        pv_fp_set(&live->last_tx_data, now);
        pv_fp_worker_punt_once(w, PV_FP_PUNT_ACTIVE, t->peer->id, &live->told_active);
    }
    *t = (struct pv_fp_tally){.peer = NULL};
}

/* Packets sent before still count as they did. */
void pv_fp_count_as_use(struct pv_fp_worker *w, bool use, pv_ns now)
{
    if (w->no_use == use)
        settle(w, now);
    w->no_use = !use;
}

/* The end of every call: nothing leaves unsealed. */
static void finish(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap, pv_ns now)
{
    size_t n = 0;
    settle(w, now);
    if (w->n_ops > 0)
        seal_batch(w);
    if (w->first.n_marks > 0)
        pv_fp_first_double(w, snap, now);
    for (size_t i = 0; i < w->n_sends; i++) {
        if (w->sends[i].len > 0 && n++ != i)
            w->sends[n - 1] = w->sends[i];
    }
    w->n_sends = n;
    for (size_t i = 0; i < n; i += w->sends[i].run) {
        w->sends[i].run = run_length(&w->sends[i], n - i);
        /* Each send knows how much of its run is left, so that sending may go on in the middle of
         * one. */
        for (uint16_t k = 1; k < w->sends[i].run; k++)
            w->sends[i + k].run = (uint16_t)(w->sends[i].run - k);
    }
}

static bool has_room(const struct pv_fp_worker *w, size_t packets, size_t bytes)
{
    return w->n_sends + packets <= PV_FP_MAX_SENDS &&
           w->arena_used + bytes + packets * (PV_FP_OVERHEAD + PAD + PV_TURN_CHANNEL_HEADER) <=
               PV_FP_ARENA;
}

/* The header that the path puts before our datagram. */
static size_t wrap_len(const struct pv_fp_peer *peer)
{
    return pv_carrier_is_relayed(&peer->path) ? PV_TURN_CHANNEL_HEADER : 0;
}

size_t pv_fp_inner_limit(const struct pv_fp_peer *peer)
{
    if (peer->path_mtu == 0)
        return PV_FP_INNER_MAX;
    size_t around = PV_FP_OVERHEAD + wrap_len(peer);
    return peer->path_mtu < around ? 0 : peer->path_mtu - around;
}

static bool can_seal(const struct pv_fp_worker *w, const struct pv_fp_peer *peer, pv_ns now)
{
    /* Packets that may still lack their counter, here and at the others. */
    uint64_t unnumbered = w->n_ops + (uint64_t)(w->of - 1) * PV_AEAD_BATCH_MAX;
    return peer->send != NULL && pv_fp_keys_young(peer->send, PV_FP_SEND_TIME, now) &&
           atomic_load_explicit(&peer->send->next_counter, memory_order_relaxed) + unnumbered <
               peer->send->reject_count;
}

/* At the other end of a static peer's path nobody answers probes. Over IPv4 its datagrams leave
 * without DF, as WireGuard in the kernel sends them: so no path swallows them, however silent
 * its routers are. Over IPv6 only the sender can cut, so datagrams that are known not to fit are
 * cut. */
static bool may_be_cut(const struct pv_fp_peer *peer, size_t len)
{
    return peer->kind != PV_FP_MEMBER && (peer->path.remote.family == PV_AF_INET ||
                                          (peer->path_mtu != 0 && len > peer->path_mtu));
}

/* Padded to hide the exact length, but never beyond what the path or the TUN carries. */
static size_t padded_len(const struct pv_fp_snapshot *snap, const struct pv_fp_peer *peer,
                         size_t len)
{
    size_t limit = peer->path_mtu == 0 ? snap->iface.mtu : pv_fp_inner_limit(peer);
    size_t padded = (len + PAD - 1) / PAD * PAD;
    return padded <= limit ? padded : len > limit ? len : limit;
}

/* len bytes of content and what is missing to padded. Returns where the content goes. */
static uint8_t *add_padded(struct pv_fp_worker *w, const struct pv_fp_peer *peer, size_t len,
                           size_t padded, uint8_t ecn)
{
    if (w->n_ops == PV_AEAD_BATCH_MAX)
        seal_batch(w);
    /* The channel's header stands directly before the message: a relayed datagram costs no copy. */
    struct pv_fp_keys *keys = peer->send;
    size_t wrap = wrap_len(peer), len_on_wire = wrap + padded + PV_FP_OVERHEAD;
    uint8_t *start = pv_fp_take_arena(w, len_on_wire), *p = start + wrap;
    if (wrap > 0)
        pv_turn_channel_header(start, peer->path.channel, (uint16_t)(padded + PV_FP_OVERHEAD));
    pv_store_le32(p, TYPE_DATA);
    pv_store_le32(p + 4, keys->remote_index);
    memset(p + HEADER + len, 0, padded - len);
    w->ops[w->n_ops] = (struct pv_aead_op){
        .aead = keys->send, .data = p + HEADER, .len = padded, .thread = w->number};
    w->batch.sealing[w->n_ops++] = (struct pv_fp_sealing){.send = w->n_sends, .keys = keys};
    w->sends[w->n_sends++] = (struct pv_fp_send){.to = &peer->path,
                                                 .data = start,
                                                 .len = len_on_wire,
                                                 .peer = peer->id,
                                                 .live = &peer->live->live,
                                                 .ecn = ecn,
                                                 .cut = may_be_cut(peer, len_on_wire)};
    return p + HEADER;
}

uint8_t *pv_fp_add_send(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                        const struct pv_fp_peer *peer, size_t len, uint8_t ecn)
{
    return add_padded(w, peer, len, padded_len(snap, peer, len), ecn);
}

static bool is_silent(const struct pv_fp_peer *peer, pv_ns now)
{
    return peer->kind == PV_FP_MEMBER && pv_fp_live_is_silent(&peer->live->live, now);
}

void pv_fp_note_sent(struct pv_fp_worker *w, const struct pv_fp_peer *peer, size_t len, pv_ns now)
{
    if (w->tally.peer != peer) {
        settle(w, now);
        /* Sends that count as no use need not arrive. */
        w->tally.first = peer->kind == PV_FP_MEMBER && !w->no_use && pv_fp_first_is_due(peer, now);
    }
    w->tally.peer = peer;
    w->tally.packets++;
    w->tally.bytes += len;
    if (w->tally.first)
        pv_fp_first_mark(w);
}

/* All bytes of what is cut, at most. */
static size_t bytes_of(const struct pv_fp_inner *in)
{
    return in->ip.whole.len + (in->cut.count - 1) * in->cut.head;
}

/* Whether there is room for all that is cut from it, in pieces or not. */
static bool has_room_for(const struct pv_fp_worker *w, const struct pv_fp_peer *peer,
                         const struct pv_fp_inner *in, enum pv_fp_fit fit)
{
    if (fit == PV_FP_FITS)
        return has_room(w, in->cut.count, bytes_of(in));
    size_t pieces = in->cut.count * pv_fp_fit_pieces(peer, fit, pv_cutter_largest(&in->cut));
    return has_room(w, pieces, bytes_of(in) + pieces * PV_FP_PIECE_HEADER);
}

/* Most packets are cut straight into their datagrams. One that is larger than the path carries is
 * put together first, for parts or fragments. */
static void send_all(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                     const struct pv_fp_peer *peer, const struct pv_fp_inner *in,
                     enum pv_fp_fit fit, pv_ns now)
{
    struct pv_cutter cut = in->cut;
    uint8_t ecn = pv_ippkt_ecn(&in->ip);
    size_t limit = fit == PV_FP_FITS ? PV_FP_INNER_MAX : pv_fp_inner_limit(peer);
    for (size_t len; (len = pv_cutter_next(&cut)) != 0;) {
        if (len > limit) {
            pv_cutter_cut(&cut, w->whole);
            pv_fp_send_pieces(w, snap, peer, fit, len, now);
            continue;
        }
        pv_cutter_cut(&cut, pv_fp_add_send(w, snap, peer, len, ecn));
        pv_fp_note_sent(w, peer, len, now);
    }
}

/* --- errors -------------------------------------------------------------------------------- */

static void answer(struct pv_fp_worker *w, const struct pv_ippkt *ip, enum pv_ippkt_error error,
                   size_t mtu, pv_ns now)
{
    size_t len;
    if (w->many.copying || w->writes.n_outs == PV_FP_MAX_WRITES ||
        !has_room(w, 1, PV_IPPKT_ERROR_MAX))
        return;
    uint8_t *buf = w->arena + w->arena_used;
    if (pv_ippkt_error(ip, error, (uint16_t)mtu, buf, PV_IPPKT_ERROR_MAX, &len) < 0)
        return;
    /* Last, so that only answers that do go out count against the limit (RFC 4443 s2.4 (f)). */
    if (!pv_bucket_take(&w->answers, PV_FP_ICMP_RATE / w->of, PV_FP_ICMP_RATE, 1, now))
        return;
    pv_joiner_add_plain(&w->writes, pv_view(pv_fp_take_arena(w, len), len));
}

/* The packet in w->whole does not fit, and its sender is told. Control looks whether the path
 * carries more by now: whoever sends only such packets sends nothing else that would have it look.
 */
static void answer_too_big(struct pv_fp_worker *w, const struct pv_fp_peer *peer, size_t len,
                           pv_ns now)
{
    struct pv_ippkt ip;
    struct pv_fp_live *live = &peer->live->live;
    pv_fp_set(&live->too_big_at, now);
    pv_fp_worker_punt_once(w, PV_FP_PUNT_ACTIVE, peer->id, &live->told_active);
    if (pv_ippkt_parse(pv_view(w->whole, len), &ip) == PV_OK)
        answer(w, &ip, PV_IPPKT_TOO_BIG, pv_fp_told_mtu(peer), now);
}

/* --- waiting ------------------------------------------------------------------------------- */

static void drop_waiting(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap, uint32_t id,
                         enum pv_fp_drop reason)
{
    pv_fp_queue_pop(w->queue, id);
    pv_fp_worker_drop(w, snap == NULL ? NULL : pv_fp_snapshot_peer(snap, id), reason);
}

static void drop_expired(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap, pv_ns now)
{
    pv_ns since;
    for (uint32_t id; (id = pv_fp_queue_oldest(w->queue, &since)) != 0;) {
        if (now < since || now - since < PV_FP_QUEUE_TIME)
            return;
        drop_waiting(w, snap, id, PV_FP_DROP_QUEUE_OLD);
    }
}

/* A peer's own packets give way first, so that a peer that does not answer cannot push out the
 * packets for all others. */
static void wait_one(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                     const struct pv_fp_peer *peer, struct pv_view packet, pv_ns now)
{
    pv_ns since;
    while (!pv_fp_queue_fits_peer(w->queue, peer->id, packet.len))
        drop_waiting(w, snap, peer->id, PV_FP_DROP_QUEUE_FULL);
    while (!pv_fp_queue_fits_all(w->queue, packet.len))
        drop_waiting(w, snap, pv_fp_queue_oldest(w->queue, &since), PV_FP_DROP_QUEUE_FULL);
    pv_fp_queue_push(w->queue, peer->id, packet, now);
}

/* Packets wait singly and without their offload, so that the limits count real packets and any
 * number of them can leave together. */
static void wait_all(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                     const struct pv_fp_peer *peer, const struct pv_fp_inner *in, pv_ns now)
{
    struct pv_cutter cut = in->cut;
    uint8_t *scratch = w->arena + w->arena_used; /* free again when the packet is copied */
    for (size_t len; (len = pv_cutter_next(&cut)) != 0;) {
        pv_cutter_cut(&cut, scratch);
        wait_one(w, snap, peer, pv_view(scratch, len), now);
    }
}

/* Chat and files of the daemons, in either direction. */
static bool is_of_daemons(const struct pv_ippkt *ip)
{
    if (ip->proto != PV_PORTS_TCP || ip->later_fragment || ip->l4.len < 4)
        return false;
    uint16_t src = pv_load_be16(ip->l4.ptr), dst = pv_load_be16(ip->l4.ptr + 2);
    return src == PV_PORTS_CHAT || dst == PV_PORTS_CHAT || src == PV_PORTS_FILES ||
           dst == PV_PORTS_FILES;
}

/* Returns true if this packet may leave under the keys in use. */
static bool is_allowed(const struct pv_fp_peer *peer, const struct pv_ippkt *ip)
{
    if (peer->strict == PV_FP_STRICT_NONE || peer->send->hybrid)
        return true;
    return peer->strict == PV_FP_STRICT_OWN && !is_of_daemons(ip);
}

/* Returns true if the oldest waiting packet may leave. The others wait behind it, because they came
 * before these keys. */
static bool may_front(struct pv_fp_worker *w, const struct pv_fp_peer *peer, size_t len)
{
    struct pv_ippkt ip;
    if (peer->strict == PV_FP_STRICT_NONE || peer->send->hybrid)
        return true;
    pv_fp_queue_front(w->queue, peer->id, w->whole);
    return pv_ippkt_parse(pv_view(w->whole, len), &ip) == PV_OK && is_allowed(peer, &ip);
}

/* What is missing for sending to this peer? Punts it once, but of a peer without a place to note
 * that: control makes one when it hears of the first packet. Keys that are not the right ones are
 * no reason to ask: the exchange that makes them so is under way, or cannot be. */
static bool ask_for_missing(struct pv_fp_worker *w, const struct pv_fp_peer *peer, pv_ns now)
{
    struct pv_fp_live *live = peer->live == NULL ? NULL : &peer->live->live;
    if (live == NULL)
        pv_fp_worker_punt(w, PV_FP_PUNT_NEED_PATH, peer->id);
    else if (peer->path.kind == PV_CARRIER_NONE)
        pv_fp_worker_punt_once(w, PV_FP_PUNT_NEED_PATH, peer->id, &live->asked_path);
    else if (!can_seal(w, peer, now))
        pv_fp_worker_punt_once(w, PV_FP_PUNT_NEED_KEYS, peer->id, &live->asked_keys);
    else
        return false;
    return true;
}

/* Discovery that waited for keys still counts as no use. */
static void count_as(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                     struct pv_view inner, pv_ns now)
{
    struct pv_ippkt ip;
    bool quiet = pv_ippkt_parse(inner, &ip) == PV_OK && pv_fp_is_quiet(snap, &ip);
    pv_fp_count_as_use(w, !quiet, now);
}

/* The packet that waits is larger than the path carries. False: no room, it waits on. */
static bool send_waiting_large(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                               const struct pv_fp_peer *peer, size_t len, pv_ns now)
{
    struct pv_ippkt ip;
    enum pv_fp_fit fit = PV_FP_TOO_BIG;
    pv_fp_queue_front(w->queue, peer->id, w->whole);
    if (pv_ippkt_parse(pv_view(w->whole, len), &ip) == PV_OK)
        fit = pv_fp_fit(peer, &ip, len);
    if (fit == PV_FP_TOO_BIG) {
        answer_too_big(w, peer, len, now);
        drop_waiting(w, snap, peer->id, PV_FP_DROP_TOO_BIG);
        return true;
    }
    size_t pieces = pv_fp_fit_pieces(peer, fit, len);
    if (!has_room(w, pieces, len + pieces * PV_FP_PIECE_HEADER))
        return false;
    count_as(w, snap, pv_view(w->whole, len), now);
    pv_fp_send_pieces(w, snap, peer, fit, len, now);
    pv_fp_queue_pop(w->queue, peer->id);
    return true;
}

/* Sends one waiting packet. Returns false if there is no room for it. */
static bool send_waiting_one(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                             const struct pv_fp_peer *peer, size_t len, pv_ns now)
{
    if (len > pv_fp_inner_limit(peer))
        return send_waiting_large(w, snap, peer, len, now);
    if (!has_room(w, 1, len))
        return false;
    uint8_t *content = pv_fp_add_send(w, snap, peer, len, PV_ECN_NONE);
    pv_fp_queue_front(w->queue, peer->id, content);
    /* The queue copies straight into the datagram, so its ECN field can be read only afterwards. */
    struct pv_ippkt ip;
    if (pv_ippkt_parse(pv_view(content, len), &ip) == PV_OK)
        w->sends[w->n_sends - 1].ecn = pv_ippkt_ecn(&ip);
    pv_fp_queue_pop(w->queue, peer->id);
    count_as(w, snap, pv_view(content, len), now);
    pv_fp_note_sent(w, peer, len, now);
    return true;
}

/* Sends what waits for a peer that can be reached, and may go. False: no room for all of it. */
static bool send_waiting(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                         const struct pv_fp_peer *peer, pv_ns now)
{
    bool no_use = w->no_use, all = true;
    for (size_t len; all && (len = pv_fp_queue_front_len(w->queue, peer->id)) != 0;) {
        if (!may_front(w, peer, len))
            break;
        all = send_waiting_one(w, snap, peer, len, now);
    }
    pv_fp_count_as_use(w, !no_use, now);
    return all;
}

/* The peer is gone or known to be offline: whoever waits is told. */
static bool refuse_waiting(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap, uint32_t id,
                           enum pv_fp_drop reason, pv_ns now)
{
    for (size_t len; (len = pv_fp_queue_front_len(w->queue, id)) != 0;) {
        struct pv_ippkt ip;
        if (!has_room(w, 2, len + PV_IPPKT_ERROR_MAX))
            return false;
        uint8_t *copy = pv_fp_take_arena(w, len);
        pv_fp_queue_front(w->queue, id, copy);
        if (pv_ippkt_parse(pv_view(copy, len), &ip) == PV_OK)
            answer(w, &ip, PV_IPPKT_UNREACHABLE, 0, now);
        drop_waiting(w, snap, id, reason);
    }
    return true;
}

bool pv_fp_flush(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap, pv_ns now)
{
    bool more = false;
    pv_fp_worker_reset(w);
    drop_expired(w, snap, now);
    pv_fp_first_repeat(w, snap, now);
    /* A list of its own, for sending takes peers out of the queue's table. */
    size_t n = snap == NULL ? 0 : pv_fp_queue_peers(w->queue, w->waiting_peers);
    for (size_t i = 0; i < n && !more; i++) {
        uint32_t id = w->waiting_peers[i];
        const struct pv_fp_peer *peer = pv_fp_snapshot_peer(snap, id);
        if (w->n_punts + 1 >= PV_FP_MAX_PUNTS)
            more = true;
        else if (peer == NULL)
            more = !refuse_waiting(w, snap, id, PV_FP_DROP_NO_PEER, now);
        else if (peer->offline && peer->path.kind == PV_CARRIER_NONE)
            more = !refuse_waiting(w, snap, id, PV_FP_DROP_OFFLINE, now);
        else if (!ask_for_missing(w, peer, now))
            more = !send_waiting(w, snap, peer, now);
    }
    finish(w, snap, now);
    return more;
}

pv_ns pv_fp_next_timeout(const struct pv_fp_worker *w)
{
    pv_ns since;
    pv_ns old = pv_fp_queue_oldest(w->queue, &since) == 0 ? PV_NEVER : since + PV_FP_QUEUE_TIME;
    return pv_min_ns(old, pv_fp_first_next(w));
}

/* --- routing ------------------------------------------------------------------------------- */

bool pv_fp_send_to_one(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                       const struct pv_fp_peer *peer, const struct pv_fp_inner *in, pv_ns now)
{
    if (peer->offline && peer->path.kind == PV_CARRIER_NONE) {
        pv_fp_worker_drops(w, peer, PV_FP_DROP_OFFLINE, in->cut.count);
        answer(w, &in->ip, PV_IPPKT_UNREACHABLE, 0, now);
        return true;
    }
    enum pv_fp_fit fit = PV_FP_FITS;
    if (peer->path.kind != PV_CARRIER_NONE)
        fit = pv_fp_fit(peer, &in->ip, pv_cutter_largest(&in->cut));
    if (fit == PV_FP_TOO_BIG) {
        /* About the first packet as it would go on the wire, not about the super-packet. */
        struct pv_cutter cut = in->cut;
        size_t len = pv_cutter_next(&cut);
        pv_cutter_cut(&cut, w->whole);
        pv_fp_worker_drops(w, peer, PV_FP_DROP_TOO_BIG, in->cut.count);
        answer_too_big(w, peer, len, now);
        return true;
    }
    if (peer->rules != NULL)
        pv_fp_guard_note(snap, peer, &in->ip, now);
    if (ask_for_missing(w, peer, now) || !is_allowed(peer, &in->ip)) {
        if (!has_room(w, 0, PV_FP_INNER_MAX))
            return false;
        wait_all(w, snap, peer, in, now);
        return true;
    }
    /* Packets that waited go first, so that the order stays. */
    if (pv_fp_queue_has(w->queue, peer->id) && !send_waiting(w, snap, peer, now))
        return false;
    if (!has_room_for(w, peer, in, fit))
        return false;
    send_all(w, snap, peer, in, fit, now);
    return true;
}

/* False: it is no IP packet, or holds one that is too long, or not what its offload says. */
static bool read_packet(const struct pv_fp_packet *packet, struct pv_fp_inner *ret_in)
{
    return pv_ippkt_parse(pv_view(packet->data, packet->len), &ret_in->ip) == PV_OK &&
           pv_cutter_init(&ret_in->cut, &ret_in->ip, &packet->offload) == PV_OK &&
           pv_cutter_largest(&ret_in->cut) <= PV_FP_INNER_MAX;
}

/* Returns true if the packet belongs to the probe under way. Then control gets it, and no member
 * does. */
static bool takes_probe(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                        const struct pv_ippkt *ip, pv_ns now)
{
    uint32_t seq;
    if (snap->probe.there.family == PV_AF_NONE ||
        pv_ipprobe_read(&snap->probe, ip, &seq) == PV_IPPROBE_OTHER)
        return false;
    pv_fp_carry_mark(snap, ip, now);
    pv_fp_worker_punt(w, PV_FP_PUNT_PROBE, 0)->bytes = ip->whole;
    return true;
}

/* False: no room in the results, nothing done. */
static bool tx_one(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                   const struct pv_fp_packet *packet, pv_ns now)
{
    struct pv_fp_inner in;
    if (!read_packet(packet, &in)) {
        pv_fp_worker_drop(w, NULL, PV_FP_DROP_INNER);
        return true;
    }
    if (snap != NULL && takes_probe(w, snap, &in.ip, now))
        return true;
    if (snap != NULL && pv_fp_is_to_many(snap, in.ip.version, in.ip.dst))
        return pv_fp_send_to_many(w, snap, &in, now);
    const struct pv_fp_peer *to =
        snap == NULL ? NULL : pv_fp_snapshot_route(snap, in.ip.version, in.ip.dst);
    const struct pv_fp_peer *peer = snap == NULL ? NULL : pv_fp_snapshot_way(snap, to);
    if (to == NULL && snap != NULL)
        peer = pv_fp_carry_to(snap, &in.ip, now);
    else if (peer != to && to->rules != NULL)
        pv_fp_guard_note(snap, to, &in.ip, now);
    if (peer != NULL && peer->out != NULL && !pv_fp_guard_lets_out(snap, peer, &in.ip, now)) {
        pv_fp_worker_drops(w, peer, PV_FP_DROP_RULES, in.cut.count);
        return true;
    }
    if (packet->lose_first)
        pv_cutter_skip(&in.cut);
    if (peer != NULL && pv_cutter_next(&in.cut) != 0 && !pv_fp_send_to_one(w, snap, peer, &in, now))
        return false;
    if (packet->lose_first)
        pv_fp_worker_drop(w, peer, PV_FP_DROP_CONGESTION);
    if (peer != NULL)
        return true;
    pv_fp_worker_drops(w, NULL, PV_FP_DROP_NO_PEER, in.cut.count);
    answer(w, &in.ip, PV_IPPKT_UNREACHABLE, 0, now);
    return true;
}

size_t pv_fp_tx(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                const struct pv_fp_packet *packets, size_t n, pv_ns now)
{
    size_t i = 0;
    pv_fp_worker_reset(w);
    drop_expired(w, snap, now);
    /* A packet makes a punt or two, one to many two for each copy. */
    while (i < n && w->n_punts + 2 * PV_FP_MAX_COPIES + 2 <= PV_FP_MAX_PUNTS &&
           w->writes.n_outs < PV_FP_MAX_WRITES && tx_one(w, snap, &packets[i], now))
        i++;
    finish(w, snap, now);
    return i;
}

int pv_fp_inject(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap, uint32_t peer,
                 struct pv_view inner, pv_ns now)
{
    pv_fp_worker_reset(w);
    if (inner.len > PV_FP_INNER_MAX)
        return PV_ERR_NO_SPACE;
    if (peer == 0) {
        uint8_t *copy = pv_fp_take_arena(w, inner.len);
        memcpy(copy, inner.ptr, inner.len);
        pv_joiner_add_plain(&w->writes, pv_view(copy, inner.len));
        return PV_OK;
    }
    const struct pv_fp_peer *p = snap == NULL ? NULL : pv_fp_snapshot_peer(snap, peer);
    if (p == NULL)
        return PV_ERR_NOT_FOUND;
    if (p->path.kind == PV_CARRIER_NONE || !can_seal(w, p, now))
        return PV_ERR_STATE;
    /* A probe is as long as it is: the size of the datagram is what it asks about. */
    bool probe = pv_inband_is_probe(inner);
    size_t padded = probe ? inner.len : padded_len(snap, p, inner.len);
    uint8_t *content = add_padded(w, p, inner.len, padded, PV_ECN_NONE);
    if (inner.len > 0)
        memcpy(content, inner.ptr, inner.len);
    pv_ns asked = atomic_load_explicit(&p->live->live.last_asked, memory_order_relaxed);
    if (inner.len > 0 && !probe && now < asked + ASKED_FOR && is_silent(p, now))
        pv_fp_first_mark(w); /* somebody waits for it */
    pv_fp_set(&p->live->live.last_tx_any, now);
    pv_fp_add(&p->live->live.tx_packets, 1);
    finish(w, snap, now);
    return w->n_sends >= 1 ? PV_OK : PV_ERR_STATE;
}
