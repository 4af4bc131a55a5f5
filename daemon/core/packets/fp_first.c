/* SPDX-License-Identifier: MIT */
/* fp_first.c - sends the first datagrams after silence twice, and again until they are heard of. */
#include "daemon/core/packets/fp_first.h"

#include <string.h>

#include "proto/stun/turn.h"

enum {
    /* Ours: of a stream that begins before the answer is here more is not worth the relay's line.
     */
    SPARE_BURST = 128 << 10, /* bytes */
    SPARE_RATE = 1 << 20,    /* bytes a second */
};

/* Ours: for so long packets count as the first ones after a rest, if nothing is heard. */
#define WAKING PV_S(1)

/* Ours: a packet within that time after one that came is an answer to it. */
#define JUST PV_S(1)

/* Ours: between the repetitions of a datagram. Most lie where both ends have been told through the
 * coordinator and have shown a relay that lost them where they are, and where TCP still waits: it
 * repeats itself 200 ms after a round trip (RFC 6298 in Linux). */
static const pv_ns waits[] = {PV_MS(100), PV_MS(60),  PV_MS(60),  PV_MS(80),
                              PV_MS(100), PV_MS(200), PV_MS(300), PV_MS(300)};

/* Returns true if a packet or an answer at that time shows that the path lives now. If a peer
 * begins to talk, only an answer shortly before counts: a NAT that ends bindings at some age may
 * have ended one since. */
static bool shows_life(pv_ns at, pv_ns woken, pv_ns now)
{
    return now < at + PV_FP_SURE_FOR && (now >= woken + WAKING || at + JUST > woken);
}

bool pv_fp_live_is_silent(const struct pv_fp_live *live, pv_ns now)
{
    /* These first: they lie where tx writes anyway, and control renews alive_at in use. */
    pv_ns alive = atomic_load_explicit(&live->alive_at, memory_order_relaxed);
    pv_ns woken = atomic_load_explicit(&live->woken_at, memory_order_relaxed);
    if (shows_life(alive, woken, now))
        return false;
    pv_ns heard = atomic_load_explicit(&live->last_rx_selected, memory_order_relaxed);
    return (alive | heard) != 0 && !shows_life(heard, woken, now);
}

void pv_fp_live_set_alive(struct pv_fp_live *live, pv_ns at)
{
    if (at > atomic_load_explicit(&live->alive_at, memory_order_relaxed))
        atomic_store_explicit(&live->alive_at, at, memory_order_relaxed);
}

void pv_fp_live_doubt(struct pv_fp_live *live)
{
    pv_ns alive = atomic_load_explicit(&live->alive_at, memory_order_relaxed);
    atomic_store_explicit(&live->alive_at, pv_min_ns(alive, 1), memory_order_relaxed);
}

bool pv_fp_first_is_due(const struct pv_fp_peer *peer, pv_ns now)
{
    struct pv_fp_live *live = &peer->live->live;
    pv_ns sent = atomic_load_explicit(&live->last_tx_data, memory_order_relaxed);
    if (sent != 0 && now >= sent + PV_FP_SURE_FOR)
        pv_fp_set(&live->woken_at, now);
    if (pv_fp_live_is_silent(live, now))
        return true;
    pv_ns woken = atomic_load_explicit(&live->woken_at, memory_order_relaxed);
    pv_ns heard = atomic_load_explicit(&live->last_rx_selected, memory_order_relaxed);
    /* A packet of the very instant was no answer: it may be the one that is answered now. */
    return woken != 0 && heard <= woken && now < woken + WAKING;
}

void pv_fp_first_mark(struct pv_fp_worker *w)
{
    struct pv_fp_first *f = &w->first;
    if (f->n_marks < PV_FP_FIRST_MARKS)
        f->marks[f->n_marks++] = (uint16_t)(w->n_sends - 1);
}

static void send_by(struct pv_fp_worker *w, const struct pv_fp_peer *peer,
                    const struct pv_carrier *to, struct pv_view msg, uint8_t ecn)
{
    size_t wrap = pv_carrier_is_relayed(to) ? PV_TURN_CHANNEL_HEADER : 0;
    if (to->kind == PV_CARRIER_NONE || w->n_sends == PV_FP_MAX_SENDS ||
        w->arena_used + wrap + msg.len > PV_FP_ARENA)
        return;
    uint8_t *p = pv_fp_take_arena(w, wrap + msg.len);
    if (wrap > 0)
        pv_turn_channel_header(p, to->channel, (uint16_t)msg.len);
    memcpy(p + wrap, msg.ptr, msg.len);
    w->sends[w->n_sends++] = (struct pv_fp_send){.to = to,
                                                 .data = p,
                                                 .len = wrap + msg.len,
                                                 .peer = peer->id,
                                                 .live = &peer->live->live,
                                                 .ecn = ecn};
}

static void send_by_spare(struct pv_fp_worker *w, const struct pv_fp_peer *peer, struct pv_view msg,
                          uint8_t ecn, pv_ns now)
{
    if (peer->spare.kind != PV_CARRIER_NONE &&
        pv_bucket_take(&w->first.bytes, SPARE_RATE / w->of, SPARE_BURST, (uint32_t)msg.len, now))
        send_by(w, peer, &peer->spare, msg, ecn);
}

/* Keeps a few packets of each peer, so that a peer that is away leaves room for the others. */
static void keep(struct pv_fp_worker *w, const struct pv_fp_peer *peer, struct pv_view msg,
                 uint8_t ecn, bool doubted, pv_ns now)
{
    struct pv_fp_kept *place = NULL;
    unsigned of_peer = 0;
    for (size_t i = 0; i < PV_FP_FIRST_KEPT; i++) {
        struct pv_fp_kept *k = &w->first.kept[i];
        of_peer += k->peer == peer->id ? 1 : 0;
        if (k->peer == 0)
            place = k;
    }
    if (place == NULL || of_peer == PV_FP_FIRST_OF_PEER || msg.len > sizeof(place->msg))
        return;
    w->first.n_kept++;
    place->peer = peer->id;
    place->tries = 0;
    place->since = now;
    place->next = now + waits[0];
    place->ecn = ecn;
    place->doubted = doubted;
    place->way = peer->path;
    place->len = (uint16_t)msg.len;
    memcpy(place->msg, msg.ptr, msg.len);
}

void pv_fp_first_double(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap, pv_ns now)
{
    struct pv_fp_first *f = &w->first;
    for (size_t i = 0; i < f->n_marks; i++) {
        const struct pv_fp_send *s = &w->sends[f->marks[i]];
        const struct pv_fp_peer *peer = pv_fp_snapshot_peer(snap, s->peer);
        if (s->len == 0 || peer == NULL)
            continue; /* it could not be sealed */
        size_t wrap = pv_carrier_is_relayed(s->to) ? PV_TURN_CHANNEL_HEADER : 0;
        const struct pv_view msg = pv_view(s->data + wrap, s->len - wrap);
        bool doubted = pv_fp_live_is_silent(&peer->live->live, now);
        if (doubted)
            send_by_spare(w, peer, msg, s->ecn, now);
        keep(w, peer, msg, s->ecn, doubted, now);
    }
    f->n_marks = 0;
}

/* One whose path was not in doubt goes again by each path that takes over, and by the spare way
 * unless that is how it went. True: not again. */
static bool follow(struct pv_fp_worker *w, const struct pv_fp_peer *peer, struct pv_fp_kept *k,
                   pv_ns heard, pv_ns now)
{
    const struct pv_view msg = pv_view(k->msg, k->len);
    if (!pv_carrier_same(&k->way, &peer->path)) {
        bool went_by_spare = pv_carrier_same(&k->way, &peer->spare);
        k->way = peer->path;
        send_by(w, peer, &peer->path, msg, k->ecn);
        if (!went_by_spare)
            send_by_spare(w, peer, msg, k->ecn, now);
    } else if (heard > k->since) {
        return true;
    }
    if (now < k->next)
        return false;
    if (++k->tries == PV_ARRAY_LEN(waits))
        return true;
    k->next = now + waits[k->tries];
    return false;
}

/* True: not again. A packet that is heard at once is the answer. One that comes later shows, as an
 * answer to a check does, that the path lives by now, and not that the datagram went by one that
 * did: the peer's NAT may have let us in after that. Then it goes once more, at once. */
static bool repeat(struct pv_fp_worker *w, const struct pv_fp_peer *peer, struct pv_fp_kept *k,
                   pv_ns now)
{
    const struct pv_view msg = pv_view(k->msg, k->len);
    pv_ns heard = atomic_load_explicit(&peer->live->live.last_rx_selected, memory_order_relaxed);
    bool silent = pv_fp_live_is_silent(&peer->live->live, now);
    k->doubted = k->doubted || silent;
    if (!k->doubted)
        return follow(w, peer, k, heard, now);
    if (heard > k->since && k->tries == 0)
        return true;
    if (silent && now < k->next)
        return false;
    send_by(w, peer, &peer->path, msg, k->ecn);
    if (!silent)
        return true;
    send_by_spare(w, peer, msg, k->ecn, now);
    if (++k->tries == PV_ARRAY_LEN(waits))
        return true;
    k->next = now + waits[k->tries];
    return false;
}

void pv_fp_first_repeat(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap, pv_ns now)
{
    for (size_t i = 0; w->first.n_kept > 0 && i < PV_FP_FIRST_KEPT; i++) {
        struct pv_fp_kept *k = &w->first.kept[i];
        const struct pv_fp_peer *peer = NULL;
        if (k->peer == 0)
            continue;
        if (snap != NULL)
            peer = pv_fp_snapshot_peer(snap, k->peer);
        if (peer != NULL && peer->live != NULL && !repeat(w, peer, k, now))
            continue;
        k->peer = 0;
        w->first.n_kept--;
    }
}

pv_ns pv_fp_first_next(const struct pv_fp_worker *w)
{
    pv_ns next = PV_NEVER;
    for (size_t i = 0; w->first.n_kept > 0 && i < PV_FP_FIRST_KEPT; i++) {
        if (w->first.kept[i].peer != 0)
            next = pv_min_ns(next, w->first.kept[i].next);
    }
    return next;
}
