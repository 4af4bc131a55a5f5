/* SPDX-License-Identifier: MIT */
/* Control's side of the packet threads: starting them, snapshots, what is injected and handed up,
 * and the sum of their counters. */
#include "daemon/packets/datapath.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/aead.h"
#include "daemon/core/packets/fp_builder.h"
#include "daemon/packets/lane.h"
#include "sys/net/tun.h"
#include "sys/proc/event.h"

enum {
    INJECT_RING = 1 << 20, /* bytes; ours: far more than control has to say in one turn */
    FEW = 2, /* processors: two threads would take turns with what they carry for (adr/0015) */
};
#define RECLAIM_INTERVAL PV_MS(20) /* ours: a lane passes a quiet point at every sleep or batch */

_Static_assert((int)PV_FP_MAX_WORKERS <= (int)PV_UDP_GROUP_MAX &&
                   (int)PV_FP_MAX_WORKERS <= (int)PV_TUN_QUEUES &&
                   (int)PV_FP_MAX_WORKERS <= (int)PV_AEAD_THREADS &&
                   (int)PV_DATAPATH_MAX_LANES <= (int)PV_SOCKSET_THREADS &&
                   (int)PV_DATAPATH_MAX_LANES <= (int)PV_QSBR_MAX_WORKERS,
               "everybody serves that many workers");

/* --- threads ------------------------------------------------------------------------------- */

static void wake_lanes(struct pv_datapath *dp)
{
    for (unsigned i = 0; i < dp->n_lanes; i++)
        pv_event_raise(dp->lanes[i].wake_fd);
}

/* Only threads that were started are joined: the others have no number. */
static void stop_threads(struct pv_datapath *dp, unsigned started)
{
    atomic_store(&dp->stopping, true);
    wake_lanes(dp);
    for (unsigned i = 0; i < started; i++)
        pthread_join(dp->lanes[i].thread, NULL);
    dp->running = false;
}

static int start_threads(struct pv_datapath *dp)
{
    sigset_t all, old;
    unsigned started = 0;
    int e = 0;
    atomic_store(&dp->stopping, false);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the control thread's */
    while (started < dp->n_lanes && e == 0) {
        struct pv_lane *lane = &dp->lanes[started];
        snprintf(lane->name, sizeof(lane->name), dp->cfg.udp.n > 1 ? "pv-%s%u" : "pv-%s",
                 !lane->rx  ? "tx"
                 : lane->tx ? "io"
                            : "rx",
                 lane->number);
        e = pthread_create(&lane->thread, NULL, pv_lane_main, lane);
        if (e == 0)
            started++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    /* A part of the threads would leave a direction without anybody. */
    if (e != 0) {
        stop_threads(dp, started);
        return -e;
    }
    dp->running = true;
    return PV_OK;
}

/* Processors that this process may run on. If the machine has more than cpu_set_t has room for,
 * they are many. */
static int processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) < 0 ? FEW + 1 : CPU_COUNT(&set);
}

int pv_datapath_new(struct pv_datapath **ret_dp, const struct pv_datapath_config *cfg)
{
    struct pv_datapath *dp = calloc(1, sizeof(*dp));
    if (dp == NULL)
        return PV_ERR_NOMEM;
    dp->cfg = *cfg;
    /* All sockets of the group are on one kernel, so one answer holds for all. */
    dp->has_gro = pv_udp_has_gro(cfg->udp.fd4[0]);
    dp->event_fd = -1;
    dp->hears = !cfg->deaf;
    dp->n_lanes = 2 * cfg->udp.n;
    if (cfg->udp.n == 1 && (cfg->threads == 1 || (cfg->threads == 0 && processors() <= FEW)))
        dp->n_lanes = 1;
    for (unsigned i = 0; i < dp->n_lanes; i++)
        dp->lanes[i].wake_fd = -1;
    int r = pv_event_open(&dp->event_fd);
    if (r >= 0)
        r = pv_qsbr_new(&dp->qsbr, dp->n_lanes);
    if (r >= 0)
        r = pv_ring_new(&dp->inject, INJECT_RING);
    for (unsigned i = 0; r >= 0 && i < dp->n_lanes; i++)
        r = pv_lane_init(&dp->lanes[i], dp, i);
    if (r >= 0)
        r = start_threads(dp);
    if (r < 0)
        pv_datapath_free(dp);
    else
        *ret_dp = dp;
    return r;
}

struct pv_datapath *pv_datapath_free(struct pv_datapath *dp)
{
    if (dp == NULL)
        return NULL;
    if (dp->running)
        stop_threads(dp, dp->n_lanes);
    /* The threads have ended by now: nothing below is shared any longer. */
    for (unsigned i = 0; i < dp->n_lanes; i++)
        pv_lane_done(&dp->lanes[i]);
    pv_qsbr_free(dp->qsbr);
    pv_ring_free(dp->inject);
    pv_tun_close(&dp->tun);
    if (dp->event_fd >= 0)
        close(dp->event_fd);
    free(dp);
    return NULL;
}

/* The lanes stop for it: they hold the descriptors in poll() and on the stack, and a descriptor
 * that is closed and used again would be read as the TUN. It happens when the interface comes and
 * goes. */
int pv_datapath_set_tun(struct pv_datapath *dp, const struct pv_tun *tun)
{
    /* Each lane reads a queue of its own: too few would leave a lane without packets. */
    if (tun != NULL && tun->n < dp->cfg.udp.n)
        return PV_ERR_LIMIT;
    if (dp->running)
        stop_threads(dp, dp->n_lanes);
    pv_tun_close(&dp->tun);
    dp->tun = tun == NULL ? (struct pv_tun){.n = 0} : *tun;
    /* The offloads belong to the descriptor: a new interface may offer others. */
    dp->offloads = pv_tun_set_offloads(dp->tun.n == 0 ? -1 : dp->tun.read[0]);
    for (unsigned i = 0; i < dp->n_lanes; i++) {
        struct pv_lane *lane = &dp->lanes[i];
        pv_lane_drop_kept(lane); /* they were for the one before */
        lane->join_tcp = dp->offloads.tso;
        lane->join_udp = dp->offloads.uso;
        pv_fp_worker_join(lane->worker, lane->join_tcp, lane->join_udp);
    }
    atomic_store(&dp->tun_gone, false);
    atomic_store(&dp->tell_gone, false);
    return start_threads(dp);
}

void pv_datapath_hear(struct pv_datapath *dp, bool hears)
{
    if (atomic_exchange(&dp->hears, hears) != hears)
        wake_lanes(dp);
}

/* Waits until no lane can still use a socket that is no longer in the set; the caller closes it. */
void pv_datapath_set_socks(struct pv_datapath *dp, const struct pv_sockset_sock *socks, size_t n)
{
    pv_sockset_change(&dp->socks, socks, n);
    /* Woken lanes leave the old set at their next round; without it the wait would last until a
     * packet comes. */
    wake_lanes(dp);
    pv_sockset_wait(&dp->socks);
}

bool pv_datapath_tun_is_gone(struct pv_datapath *dp)
{
    return atomic_exchange(&dp->tell_gone, false);
}

/* --- control's side ------------------------------------------------------------------------ */

int pv_datapath_publish(struct pv_datapath *dp, struct pv_fp_snapshot *snap)
{
    int r = pv_qsbr_publish(dp->qsbr, snap, pv_fp_snapshot_free);
    if (r < 0) {
        pv_fp_snapshot_free(snap);
        return r;
    }
    /* The release pairs with the acquire in tx_round(): who sees the count sees the snapshot. */
    atomic_fetch_add_explicit(&dp->published, 1, memory_order_release);
    wake_lanes(dp);
    return PV_OK;
}

pv_ns pv_datapath_reclaim(struct pv_datapath *dp, pv_ns now)
{
    return pv_qsbr_reclaim(dp->qsbr) > 0 ? now + RECLAIM_INTERVAL : PV_NEVER;
}

/* Lane 0 alone sends what control says: one reader keeps the order, and its counters are the ones
 * to tell of losses. */
int pv_datapath_inject(struct pv_datapath *dp, uint32_t peer, struct pv_view inner)
{
    int r = pv_ring_push(dp->inject, pv_view(&peer, sizeof(peer)), inner, NULL);
    if (r >= 0)
        pv_event_raise(dp->lanes[0].wake_fd);
    else
        pv_lane_add(&dp->lanes[0].counts.injects_lost, 1);
    return r;
}

int pv_datapath_hand(struct pv_datapath *dp, const struct pv_carrier *from, uint8_t ecn,
                     struct pv_view datagram)
{
    struct pv_lane *rx = pv_lane_rx(dp, 0);
    const struct pv_lane_handed head = {.from = *from, .ecn = ecn};
    int r = pv_ring_push(rx->handed, pv_view(&head, sizeof(head)), datagram, NULL);
    if (r >= 0)
        pv_event_raise(rx->wake_fd);
    else
        pv_lane_add(&rx->counts.punts_lost, 1);
    return r;
}

int pv_datapath_event_fd(const struct pv_datapath *dp)
{
    return dp->event_fd;
}

/* Facts before data of each lane: a flood of punted datagrams must not delay "this peer has no
 * keys". */
static int peek(struct pv_datapath *dp, struct pv_view *ret_record)
{
    for (unsigned i = 0; i < dp->n_lanes * 2; i++) {
        struct pv_lane *lane = &dp->lanes[i / 2];
        dp->peeked = i % 2 == 0 ? lane->facts : lane->data;
        if (pv_ring_peek(dp->peeked, ret_record) == PV_OK)
            return PV_OK;
    }
    dp->peeked = NULL;
    return PV_ERR_AGAIN;
}

int pv_datapath_peek_punt(struct pv_datapath *dp, struct pv_fp_punt *ret_punt)
{
    struct pv_view record;
    int r = peek(dp, &record);
    if (r < 0) {
        /* Cleared first, then looked at once more: a punt between the two is not slept over. */
        pv_event_clear(dp->event_fd);
        r = peek(dp, &record);
    }
    if (r < 0)
        return r;
    memcpy(ret_punt, record.ptr, sizeof(*ret_punt));
    ret_punt->bytes = pv_view(record.ptr + sizeof(*ret_punt), record.len - sizeof(*ret_punt));
    return PV_OK;
}

void pv_datapath_pop_punt(struct pv_datapath *dp)
{
    /* peek() remembers the ring, for a punt that comes between peek and pop may be in an earlier
     * one. */
    if (dp->peeked != NULL)
        pv_ring_pop(dp->peeked);
    dp->peeked = NULL;
}

/* The missing abilities of the TUN and the sockets, as asked when they came. */
static void add_missing(const struct pv_datapath *dp, struct pv_datapath_counts *sum)
{
    const struct pv_tun_offloads *o = &dp->offloads;
    const char *tun = !o->header ? "the TUN has no offload header"
                      : !o->csum ? "the TUN lets no checksums be left out"
                                 : "this kernel's TUN does not take them";
    if (dp->tun.n > 0 && !o->tso)
        sum->off[sum->n_off++] = (struct pv_offload_off){"tun_tso", tun};
    if (dp->tun.n > 0 && !o->uso)
        sum->off[sum->n_off++] =
            (struct pv_offload_off){"tun_uso", o->tso ? "needs Linux 6.2" : tun};
    const char *aead = pv_fp_worker_aead_why(dp->lanes[0].worker);
    if (aead != NULL)
        sum->off[sum->n_off++] = (struct pv_offload_off){"aead", aead};
    if (!dp->has_gro)
        sum->off[sum->n_off++] = (struct pv_offload_off){
            "udp_gro", "the sockets do not merge datagrams: Linux 5.0 does"};
}

/* The offloads that a lane was refused. */
static void add_refused(const struct pv_datapath *dp, struct pv_datapath_counts *sum)
{
    bool tcp = false, udp = false;
    int segment = 0;
    for (unsigned i = 0; i < dp->n_lanes; i++) {
        const struct pv_lane_counts *c = &dp->lanes[i].counts;
        tcp = tcp || atomic_load_explicit(&c->no_join_tcp, memory_order_relaxed);
        udp = udp || atomic_load_explicit(&c->no_join_udp, memory_order_relaxed);
        int err = atomic_load_explicit(&c->no_segment, memory_order_relaxed);
        segment = err == 0 ? segment : err;
    }
    if (tcp)
        sum->off[sum->n_off++] = (struct pv_offload_off){"tcp_join", "EINVAL: the TUN refused one"};
    if (udp)
        sum->off[sum->n_off++] = (struct pv_offload_off){"udp_join", "EINVAL: the TUN refused one"};
    if (segment != 0)
        sum->off[sum->n_off++] = (struct pv_offload_off){
            "udp_segment", segment == EIO ? "EIO: an interface cannot checksum what it must cut"
                                          : "EINVAL: unknown to this kernel (before Linux 4.18)"};
}

/* Relaxed: each counter is right for itself, and nobody subtracts one from another. */
struct pv_datapath_counts pv_datapath_counts(const struct pv_datapath *dp)
{
    struct pv_datapath_counts sum = {.tcp_offload = dp->offloads.tso,
                                     .udp_offload = dp->offloads.uso,
                                     .workers = dp->cfg.udp.n,
                                     .threads = dp->n_lanes,
                                     .aead = pv_fp_worker_aead(dp->lanes[0].worker)};
    for (unsigned i = 0; i < dp->n_lanes; i++) {
        const struct pv_lane_counts *c = &dp->lanes[i].counts;
        sum.udp_sent += atomic_load_explicit(&c->udp_sent, memory_order_relaxed);
        sum.udp_failed += atomic_load_explicit(&c->udp_failed, memory_order_relaxed);
        sum.udp_received += atomic_load_explicit(&c->udp_received, memory_order_relaxed);
        sum.tun_read += atomic_load_explicit(&c->tun_read, memory_order_relaxed);
        sum.tun_written += atomic_load_explicit(&c->tun_written, memory_order_relaxed);
        sum.tun_failed += atomic_load_explicit(&c->tun_failed, memory_order_relaxed);
        sum.udp_calls += atomic_load_explicit(&c->udp_calls, memory_order_relaxed);
        sum.tun_calls += atomic_load_explicit(&c->tun_calls, memory_order_relaxed);
        for (unsigned d = 0; d < PV_FP_DROP_REASONS; d++)
            sum.drops[d] += pv_fp_drops(dp->lanes[i].worker, (enum pv_fp_drop)d);
        sum.injects_lost += atomic_load_explicit(&c->injects_lost, memory_order_relaxed);
        sum.punts_lost += atomic_load_explicit(&c->punts_lost, memory_order_relaxed);
    }
    for (unsigned i = 0; i < dp->cfg.udp.n; i++) {
        sum.udp_not_received += pv_udp_not_received(dp->cfg.udp.fd4[i]);
        if (dp->cfg.udp.fd6[i] >= 0)
            sum.udp_not_received += pv_udp_not_received(dp->cfg.udp.fd6[i]);
    }
    add_missing(dp, &sum);
    add_refused(dp, &sum);
    return sum;
}
