/* SPDX-License-Identifier: MIT */
/* A packet thread: what the fast path made of a batch, sent, written and handed up. */
#include <errno.h>
#include <poll.h>

#include "daemon/packets/lane.h"
#include "sys/net/tun.h"
#include "sys/proc/clock.h"
#include "sys/proc/event.h"

enum {
    KEPT_RING = 8 << 20, /* bytes for lwIP's queue: more than its largest window */
};
#define ROAM_WAIT     PV_MS(20)  /* for control to follow a static peer that moved */
#define ROAM_INTERVAL PV_MS(100) /* between two such waits */

/* One sendmmsg for all. The counters come from what the kernel took, so that a batch that was cut
 * in the middle is counted rightly. */
static void send_family(struct pv_lane *lane, int fd, const struct pv_udp_out *out, size_t n)
{
    if (n == 0)
        return;
    uint64_t before = lane->udp.sent, datagrams = 0;
    for (size_t i = 0; i < n; i++)
        datagrams +=
            out[i].segment == 0 ? 1 : (out[i].data.len + out[i].segment - 1) / out[i].segment;
    /* Without a socket of the family every datagram counts as failed below. */
    if (fd >= 0)
        pv_udp_send(fd, out, n, &lane->udp);
    if (lane->udp.no_segment != 0)
        atomic_store_explicit(&lane->counts.no_segment, lane->udp.no_segment, memory_order_relaxed);
    pv_lane_add(&lane->counts.udp_calls, n);
    pv_lane_add(&lane->counts.udp_sent, lane->udp.sent - before);
    pv_lane_add(&lane->counts.udp_failed, datagrams - (lane->udp.sent - before));
}

/* A message that the line does not take is lost, as on the network. */
static void send_stream(struct pv_lane *lane, const struct pv_fp_send *sends, size_t n)
{
    struct pv_relayio *io = lane->dp->cfg.relayio;
    enum pv_relayio_sender sender = (enum pv_relayio_sender)(PV_RELAYIO_TX + lane->number);
    for (size_t i = 0; i < n; i++) {
        if (io == NULL || pv_relayio_send(io, sender, sends[i].to->sock,
                                          pv_view(sends[i].data, sends[i].len)) < 0)
            pv_fp_send_lost(lane->worker, &sends[i]);
    }
    /* One wake-up for all: the ring remembers whether the other thread slept. */
    if (io != NULL)
        pv_relayio_flush(io, sender);
}

/* Which socket a datagram leaves by. */
enum way {
    WAY_V4,
    WAY_V6,
    WAY_CUT4, /* without DF: to static peers */
    WAY_CUT6,
    WAYS,
};

static enum way way_of(const struct pv_lane *lane, const struct pv_fp_send *send)
{
    bool v6 = pv_carrier_dst(send->to)->family == PV_AF_INET6;
    /* A system without the two sockets sends everything with DF. */
    if (!send->cut || !lane->dp->cfg.udp.has_cut)
        return v6 ? WAY_V6 : WAY_V4;
    return v6 ? WAY_CUT6 : WAY_CUT4;
}

static int fd_of(const struct pv_lane *lane, enum way way)
{
    const struct pv_udp_group *udp = &lane->dp->cfg.udp;
    const int fds[WAYS] = {udp->fd4[lane->number], udp->fd6[lane->number], udp->cut4, udp->cut6};
    return fds[way];
}

/* The sends of one run. */
static struct pv_udp_out out_of(const struct pv_fp_send *first)
{
    const struct pv_fp_send *last = first + first->run - 1;
    size_t len = (size_t)(last->data - first->data) + last->len;
    return (struct pv_udp_out){.dst = *pv_carrier_dst(first->to),
                               .local = first->to->local,
                               .data = pv_view(first->data, len),
                               .segment = first->run > 1 ? (uint16_t)first->len : 0,
                               .ecn = first->ecn};
}

/* Order between the ways does not matter: a peer has one path, and what may be cut of it leaves by
 * one of them, or is of sizes that others on it are not. */
static void do_sends(struct pv_lane *lane, const struct pv_fp_send *sends, size_t n)
{
    struct pv_udp_out out[WAYS][PV_UDP_BATCH];
    size_t queued[WAYS] = {0};
    for (size_t i = 0; i < n; i += sends[i].run) {
        const struct pv_fp_send *first = &sends[i];
        if (first->to->kind == PV_CARRIER_STREAM) {
            send_stream(lane, first, first->run);
        } else if (first->to->sock != 0) { /* -1: it was closed meanwhile; the path follows */
            /* Sockets of attempts are few and short-lived: a batch is not worth its memory. */
            const struct pv_udp_out one = out_of(first);
            send_family(lane, pv_sockset_fd(&lane->dp->socks, first->to->sock), &one, 1);
        } else {
            enum way way = way_of(lane, first);
            out[way][queued[way]++] = out_of(first);
            if (queued[way] == PV_UDP_BATCH) {
                send_family(lane, fd_of(lane, way), out[way], queued[way]);
                queued[way] = 0;
            }
        }
    }
    for (unsigned way = 0; way < WAYS; way++)
        send_family(lane, fd_of(lane, (enum way)way), out[way], queued[way]);
}

/* ICMP's word goes to control, as a hint. A full ring loses it; there will be more. */
void pv_lane_tell_hints(struct pv_lane *lane, struct pv_udp_hints *hints)
{
    for (unsigned i = 0; i < hints->n; i++) {
        const struct pv_udp_error *e = &hints->errors[i];
        const struct pv_fp_punt punt = {.kind = PV_FP_PUNT_TOO_BIG,
                                        .from = {.kind = PV_CARRIER_UDP, .remote = e->dst},
                                        .count = e->mtu,
                                        .local = e->local};
        if (pv_ring_push(lane->data, pv_view(&punt, sizeof(punt)),
                         pv_view(e->quoted, e->quoted_len), NULL) == PV_OK)
            pv_event_raise(lane->dp->event_fd);
    }
    hints->n = 0;
}

void pv_lane_lose_tun(struct pv_datapath *dp)
{
    if (!atomic_exchange(&dp->tun_gone, true)) {
        atomic_store(&dp->tell_gone, true);
        pv_event_raise(dp->event_fd);
    }
}

/* --- packets that wait for room in the TUN's queue ------------------------------------------ */

/* The kernel's TUN takes every packet. The queue to lwIP's process is a socket, which the kernel
 * lets hold a few hundred packets (net.core.wmem_max), while a member's window is thousands. */

bool pv_lane_write_kept(struct pv_lane *lane)
{
    struct pv_view packet;
    while (lane->kept != NULL && pv_ring_peek(lane->kept, &packet) == PV_OK) {
        if (pv_lane_has_tun(lane->dp) &&
            pv_tun_write_parts(lane->dp->tun.write[lane->number], &packet, 1) == PV_ERR_AGAIN)
            return true;
        pv_ring_pop(lane->kept); /* it was counted when it came */
    }
    return false;
}

void pv_lane_drop_kept(struct pv_lane *lane)
{
    lane->kept = pv_ring_free(lane->kept);
}

static bool has_kept(const struct pv_lane *lane)
{
    struct pv_view packet;
    return lane->kept != NULL && pv_ring_peek(lane->kept, &packet) == PV_OK;
}

/* The ring exists from the first time on that a queue was full. */
static int keep(struct pv_lane *lane, struct pv_view packet)
{
    const int r = lane->kept == NULL ? pv_ring_new(&lane->kept, KEPT_RING) : PV_OK;
    return r < 0 ? r : pv_ring_push(lane->kept, packet, pv_view(NULL, 0), NULL);
}

/* The pieces of a super-packet are written by one writev: they lie where they were opened, and are
 * not copied together. */
static int write_one(struct pv_lane *lane, const struct pv_join_out *write)
{
    const struct pv_datapath *dp = lane->dp;
    uint8_t header[PV_VNET_LEN];
    struct pv_view parts[PV_TUN_PARTS];
    size_t n = 0;
    pv_vnet_encode(header, &write->offload);
    if (dp->offloads.header)
        parts[n++] = pv_view(header, sizeof(header));
    parts[n++] = pv_view(write->data, write->len);
    for (const struct pv_join_piece *p = write->more; p != NULL; p = p->next)
        parts[n++] = p->bytes;
    const int r =
        has_kept(lane) ? PV_ERR_AGAIN : pv_tun_write_parts(dp->tun.write[lane->number], parts, n);
    /* Only a queue to lwIP is kept for: it takes no headers and no super-packets. */
    return r == PV_ERR_AGAIN && n == 1 ? keep(lane, parts[0]) : r;
}
_Static_assert((int)PV_TUN_PARTS >= (int)PV_JOIN_TCP + 1 &&
                   (int)PV_TUN_PARTS >= (int)PV_JOIN_UDP + 1,
               "a super-packet and its header");

/* The kernel does not take such a super-packet after all: no more of them. This one is lost. */
static void stop_joining(struct pv_lane *lane, enum pv_offload_kind kind)
{
    bool udp = kind == PV_OFFLOAD_UDP;
    *(udp ? &lane->join_udp : &lane->join_tcp) = false;
    atomic_store_explicit(udp ? &lane->counts.no_join_udp : &lane->counts.no_join_tcp, true,
                          memory_order_relaxed);
    pv_fp_worker_join(lane->worker, lane->join_tcp, lane->join_udp);
}

static void do_writes(struct pv_lane *lane, const struct pv_join_out *writes, size_t n)
{
    if (n > 0)
        (void)pv_lane_write_kept(lane);
    for (size_t i = 0; i < n; i++) {
        int r = PV_ERR_CLOSED;
        if (pv_lane_has_tun(lane->dp))
            r = write_one(lane, &writes[i]);
        if (r == PV_ERR_CLOSED && pv_lane_has_tun(lane->dp))
            pv_lane_lose_tun(lane->dp);
        if (r == -EINVAL && writes[i].n_more > 0)
            stop_joining(lane, writes[i].offload.kind);
        pv_lane_add(r < 0 ? &lane->counts.tun_failed : &lane->counts.tun_written,
                    /* A super-packet counts as the packets that it is made of. */
                    writes[i].n_more + 1);
        pv_lane_add(&lane->counts.tun_calls, 1);
    }
}

static bool carries_bytes(const struct pv_fp_punt *punt)
{
    return punt->kind == PV_FP_PUNT_DATAGRAM || punt->kind == PV_FP_PUNT_INBAND ||
           punt->kind == PV_FP_PUNT_STRAY || punt->kind == PV_FP_PUNT_REPORT ||
           punt->kind == PV_FP_PUNT_PROBE;
}

/* Two rings: what carries bytes may be lost in a flood, and shall not crowd out what is told only
 * once. That finds its ring full only while control stands still, and comes again then. */
static void do_punts(struct pv_lane *lane, const struct pv_fp_punt *punts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct pv_ring *ring = carries_bytes(&punts[i]) ? lane->data : lane->facts;
        if (pv_ring_push(ring, pv_view(&punts[i], sizeof(punts[i])), punts[i].bytes, NULL) < 0) {
            pv_fp_punt_lost(&punts[i]);
            pv_lane_add(&lane->counts.punts_lost, 1);
        }
    }
    if (n > 0)
        pv_event_raise(lane->dp->event_fd);
}

static void hand_over(struct pv_lane *lane, const struct pv_fp_handed *handed)
{
    struct pv_lane *to = pv_lane_rx(lane->dp, handed->to);
    const struct pv_lane_handed head = {.from = *handed->from, .ecn = handed->ecn};
    bool was_empty = false;
    /* The wake-up is put off to the end of the batch (do_handed()). */
    if (pv_ring_push(to->handed, pv_view(&head, sizeof(head)), handed->data, &was_empty) < 0)
        pv_fp_handed_lost(lane->worker, handed);
    to->handed_wake = to->handed_wake || was_empty;
}

/* The rings of the other workers are worker 0's to write: it alone gets what is not its own
 * (pv_udp_open_group), and from another it could overtake what went before. */
static void do_handed(struct pv_lane *lane, const struct pv_fp_handed *handed, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (lane->number == 0)
            hand_over(lane, &handed[i]);
        else
            pv_fp_handed_lost(lane->worker, &handed[i]);
    }
    for (unsigned i = 1; lane->number == 0 && n > 0 && i < lane->dp->cfg.udp.n; i++) {
        struct pv_lane *to = pv_lane_rx(lane->dp, i);
        if (to->handed_wake)
            pv_event_raise(to->wake_fd);
        to->handed_wake = false;
    }
}

static bool has_moved_peer(const struct pv_fp_results *r)
{
    for (size_t i = 0; i < r->n_punts; i++)
        if (r->punts[i].kind == PV_FP_PUNT_STRAY && r->punts[i].moves)
            return true;
    return false;
}

/*
 * WireGuard's roaming rule: the answer to a packet goes to where that packet came from. So the
 * packets of a static peer that moved are written to the TUN only when control has published its
 * new path, or after a short while.
 */
static void wait_for_roaming(struct pv_lane *lane, uint64_t published)
{
    struct pv_datapath *dp = lane->dp;
    pv_ns now = pv_clock_now(), deadline = now + ROAM_WAIT;
    if (now < lane->next_roam_wait)
        return;
    lane->next_roam_wait = deadline + ROAM_INTERVAL;
    struct pollfd wake = {.fd = lane->wake_fd, .events = POLLIN};
    bool woken = false;
    while (now < deadline && atomic_load(&dp->published) == published &&
           !atomic_load(&dp->stopping)) {
        if (poll(&wake, 1, pv_poll_ms(deadline, now)) > 0) {
            pv_event_clear(lane->wake_fd);
            woken = true;
        }
        now = pv_clock_now();
    }
    /* Part of this round is over: what woke us may be for that part, so it wakes the next one. */
    if (woken)
        pv_event_raise(lane->wake_fd);
}

/* Sends before writes: an answer to a handshake or a forwarded packet should not wait for the local
 * stack to take what came in. */
void pv_lane_results(struct pv_lane *lane)
{
    struct pv_fp_results r = pv_fp_results(lane->worker);
    uint64_t published = atomic_load(&lane->dp->published);
    do_sends(lane, r.sends, r.n_sends);
    pv_lane_tell_hints(lane, &lane->udp.hints);
    do_punts(lane, r.punts, r.n_punts);
    do_handed(lane, r.handed, r.n_handed);
    if (r.n_punts > 0 && r.n_writes > 0 && has_moved_peer(&r))
        wait_for_roaming(lane, published);
    do_writes(lane, r.writes, r.n_writes);
}
