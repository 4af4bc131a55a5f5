/* SPDX-License-Identifier: MIT */
#include "daemon/datapath.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/qsbr.h"
#include "base/ring.h"
#include "daemon/core/fp_builder.h"
#include "sys/clock.h"
#include "sys/event.h"
#include "sys/tun.h"
#include "sys/udp.h"

enum {
    MAX_LANES = 2,
    TUN_BATCH = 64,        /* packets read before the other work of the lane gets its turn */
    TUN_BYTES = 512 << 10, /* the same in bytes, DATAPATH */
    TUN_READ = PV_VNET_LEN + 65535, /* bytes: a longer packet would be cut silently */
    UDP_BATCHES = 2,                /* recvmmsg calls a socket before the other one gets its turn */
    UDP_BUFFERS = 16,  /* a recvmmsg; each may hold many merged datagrams (DATAPATH: 8 do) */
    UDP_READ = 65536,  /* bytes of one */
    STREAM_BATCH = 64, /* messages of streams to relays */
    STREAM_BYTES = 256 << 10,
    INJECT_BATCH = 64, /* packets */
    INJECT_RING = 1 << 20,
    DATA_RING = 1 << 20, /* punts that carry bytes: a flood fills it, and more is dropped */
    FACT_RING = 1 << 20, /* punts that do not, and come once until re-armed: never behind a flood */
};
#define RECLAIM_INTERVAL PV_MS(20)
#define ROAM_WAIT        PV_MS(20)  /* for control to follow a static peer that moved */
#define ROAM_INTERVAL    PV_MS(100) /* between two such waits */

/* Written by the lane's thread, read by control. */
struct counts {
    _Atomic uint64_t udp_sent, udp_failed, udp_received, udp_calls;
    _Atomic uint64_t tun_read, tun_written, tun_failed, tun_calls, punts_lost;
};

/* One thread and what it owns. */
struct lane {
    struct pv_datapath *dp;
    unsigned index; /* its qsbr worker */
    bool tx, rx;
    pthread_t thread;
    int wake_fd;
    struct pv_fp_worker *worker;
    struct pv_udp_receiver *receiver; /* rx */
    uint8_t *tun_buf;                 /* tx: TUN_BYTES + TUN_READ */
    uint8_t *stream_buf;              /* rx: STREAM_BYTES */
    struct pv_ring *data, *facts;     /* to control */
    bool join_tcp, join_udp;          /* what the TUN takes as super-packets */
    uint64_t seen;                    /* the last publication whose packets were flushed */
    pv_ns next_roam_wait;
    struct pv_udp_counts udp;
    struct counts counts;
};

struct pv_datapath {
    struct pv_datapath_config cfg;
    struct lane lanes[MAX_LANES];
    unsigned n_lanes;
    bool running;
    int tun_fd; /* changes only while no thread runs, like the next */
    struct pv_tun_offloads tun;
    struct pv_sockset socks;
    int event_fd;
    struct pv_qsbr *qsbr;
    struct pv_ring *inject; /* to the tx lane */
    struct pv_ring *peeked; /* where the punt of peek lies */
    _Atomic uint64_t published;
    _Atomic bool stopping;
    _Atomic bool tun_gone; /* the descriptor is dead */
    _Atomic bool tell_gone;
};

static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* --- results of the fast path -------------------------------------------------------------- */

static void send_family(struct lane *lane, int fd, const struct pv_udp_out *out, size_t n)
{
    if (n == 0)
        return;
    uint64_t before = lane->udp.sent, datagrams = 0;
    for (size_t i = 0; i < n; i++)
        datagrams +=
            out[i].segment == 0 ? 1 : (out[i].data.len + out[i].segment - 1) / out[i].segment;
    if (fd >= 0)
        pv_udp_send(fd, out, n, &lane->udp);
    add(&lane->counts.udp_calls, n);
    add(&lane->counts.udp_sent, lane->udp.sent - before);
    add(&lane->counts.udp_failed, datagrams - (lane->udp.sent - before));
}

/* What the line does not take is lost, as on the network. */
static void send_stream(struct lane *lane, const struct pv_fp_send *sends, size_t n)
{
    struct pv_relayio *io = lane->dp->cfg.relayio;
    for (size_t i = 0; i < n; i++) {
        if (io == NULL || pv_relayio_send(io, PV_RELAYIO_TX, sends[i].to->sock,
                                          pv_view(sends[i].data, sends[i].len)) < 0)
            pv_fp_send_lost(lane->worker, &sends[i]);
    }
    if (io != NULL)
        pv_relayio_flush(io, PV_RELAYIO_TX);
}

/* Order between the two families does not matter: a peer has one path. */
static void do_sends(struct lane *lane, const struct pv_fp_send *sends, size_t n)
{
    struct pv_udp_out out4[PV_UDP_BATCH], out6[PV_UDP_BATCH];
    size_t n4 = 0, n6 = 0;
    for (size_t i = 0; i < n;) {
        const struct pv_fp_send *first = &sends[i], *last = &sends[i + first->run - 1];
        const struct pv_addr *dst = pv_carrier_dst(first->to);
        if (first->to->kind == PV_CARRIER_STREAM) {
            send_stream(lane, first, first->run);
            i += first->run;
        } else {
            bool v6 = dst->family == PV_AF_INET6, other = first->to->sock != 0;
            struct pv_udp_out one, *out = other ? &one : v6 ? &out6[n6++] : &out4[n4++];
            size_t len = (size_t)(last->data - first->data) + last->len;
            *out = (struct pv_udp_out){.dst = *dst,
                                       .local = first->to->local,
                                       .data = pv_view(first->data, len),
                                       .segment = first->run > 1 ? (uint16_t)first->len : 0,
                                       .ecn = first->ecn};
            i += first->run;
            if (other) /* -1: it was closed meanwhile; the path follows */
                send_family(lane, pv_sockset_fd(&lane->dp->socks, first->to->sock), &one, 1);
        }
        if (n4 == PV_UDP_BATCH || n6 == PV_UDP_BATCH || i == n) {
            send_family(lane, lane->dp->cfg.fd4, out4, n4);
            send_family(lane, lane->dp->cfg.fd6, out6, n6);
            n4 = n6 = 0;
        }
    }
}

/* Reading or writing found the interface deleted: stop using it and tell control. */
static void lose_tun(struct pv_datapath *dp)
{
    if (!atomic_exchange(&dp->tun_gone, true)) {
        atomic_store(&dp->tell_gone, true);
        pv_event_raise(dp->event_fd);
    }
}

static bool has_tun(struct pv_datapath *dp)
{
    return dp->tun_fd >= 0 && !atomic_load_explicit(&dp->tun_gone, memory_order_relaxed);
}

static int write_one(const struct pv_datapath *dp, const struct pv_join_out *write)
{
    uint8_t header[PV_VNET_LEN];
    struct pv_view parts[PV_TUN_PARTS];
    size_t n = 0;
    pv_vnet_encode(header, &write->offload);
    if (dp->tun.header)
        parts[n++] = pv_view(header, sizeof(header));
    parts[n++] = pv_view(write->data, write->len);
    for (const struct pv_join_piece *p = write->more; p != NULL; p = p->next)
        parts[n++] = p->bytes;
    return pv_tun_write_parts(dp->tun_fd, parts, n);
}
_Static_assert((int)PV_TUN_PARTS >= (int)PV_JOIN_TCP + 1 &&
                   (int)PV_TUN_PARTS >= (int)PV_JOIN_UDP + 1,
               "a super-packet and its header");

/* The kernel does not take such a super-packet after all: no more of them. This one is lost. */
static void stop_joining(struct lane *lane, enum pv_offload_kind kind)
{
    if (kind == PV_OFFLOAD_UDP)
        lane->join_udp = false;
    else
        lane->join_tcp = false;
    pv_fp_worker_join(lane->worker, lane->join_tcp, lane->join_udp);
}

static void do_writes(struct lane *lane, const struct pv_join_out *writes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int r = PV_ERR_CLOSED;
        if (has_tun(lane->dp))
            r = write_one(lane->dp, &writes[i]);
        if (r == PV_ERR_CLOSED && has_tun(lane->dp))
            lose_tun(lane->dp);
        if (r == -EINVAL && writes[i].n_more > 0)
            stop_joining(lane, writes[i].offload.kind);
        add(r < 0 ? &lane->counts.tun_failed : &lane->counts.tun_written, writes[i].n_more + 1);
        add(&lane->counts.tun_calls, 1);
    }
}

static bool carries_bytes(const struct pv_fp_punt *punt)
{
    return punt->kind == PV_FP_PUNT_DATAGRAM || punt->kind == PV_FP_PUNT_INBAND ||
           punt->kind == PV_FP_PUNT_STRAY;
}

static void do_punts(struct lane *lane, const struct pv_fp_punt *punts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct pv_ring *ring = carries_bytes(&punts[i]) ? lane->data : lane->facts;
        if (pv_ring_push(ring, pv_view(&punts[i], sizeof(punts[i])), punts[i].bytes, NULL) < 0)
            add(&lane->counts.punts_lost, 1);
    }
    if (n > 0)
        pv_event_raise(lane->dp->event_fd);
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
static void wait_for_roaming(struct lane *lane, uint64_t published)
{
    struct pv_datapath *dp = lane->dp;
    pv_ns now = pv_clock_now(), deadline = now + ROAM_WAIT;
    if (now < lane->next_roam_wait)
        return;
    lane->next_roam_wait = deadline + ROAM_INTERVAL;
    struct pollfd wake = {.fd = lane->wake_fd, .events = POLLIN};
    while (now < deadline && atomic_load(&dp->published) == published &&
           !atomic_load(&dp->stopping)) {
        if (poll(&wake, 1, (int)((deadline - now) / PV_MS(1)) + 1) > 0)
            pv_event_clear(lane->wake_fd); /* the lane looks at everything after this batch */
        now = pv_clock_now();
    }
}

static void do_results(struct lane *lane)
{
    struct pv_fp_results r = pv_fp_results(lane->worker);
    uint64_t published = atomic_load(&lane->dp->published);
    do_sends(lane, r.sends, r.n_sends);
    do_punts(lane, r.punts, r.n_punts);
    if (r.n_punts > 0 && r.n_writes > 0 && has_moved_peer(&r))
        wait_for_roaming(lane, published);
    do_writes(lane, r.writes, r.n_writes);
}

/* --- one round of a lane ------------------------------------------------------------------- */

static void flush(struct lane *lane, const struct pv_fp_snapshot *snap, pv_ns now)
{
    bool more;
    do {
        more = pv_fp_flush(lane->worker, snap, now);
        do_results(lane);
    } while (more);
}

static bool inject_round(struct lane *lane, const struct pv_fp_snapshot *snap, pv_ns now)
{
    struct pv_view record;
    unsigned n = 0;
    while (n < INJECT_BATCH && pv_ring_peek(lane->dp->inject, &record) == PV_OK) {
        uint32_t peer;
        memcpy(&peer, record.ptr, sizeof(peer));
        struct pv_view inner = pv_view(record.ptr + sizeof(peer), record.len - sizeof(peer));
        /* Without path or keys it is lost, as on the network. */
        if (pv_fp_inject(lane->worker, snap, peer, inner, now) == PV_OK)
            do_results(lane);
        pv_ring_pop(lane->dp->inject);
        n++;
    }
    return n > 0;
}

/* What is behind the header; what cannot be read becomes an empty packet, which is counted as a
 * damaged one. */
static struct pv_fp_packet packet_of(const struct pv_datapath *dp, const uint8_t *read, size_t len)
{
    struct pv_fp_packet packet = {.data = read, .len = len};
    if (!dp->tun.header)
        return packet;
    if (len < PV_VNET_LEN || pv_vnet_decode(read, &packet.offload) < 0)
        packet.len = 0;
    else
        packet = (struct pv_fp_packet){
            .data = read + PV_VNET_LEN, .len = len - PV_VNET_LEN, .offload = packet.offload};
    return packet;
}

static bool tun_round(struct lane *lane, const struct pv_fp_snapshot *snap, pv_ns now)
{
    struct pv_fp_packet packets[TUN_BATCH];
    size_t n = 0, used = 0;
    while (n < TUN_BATCH && used <= TUN_BYTES) {
        uint8_t *at = lane->tun_buf + used;
        size_t len = 0;
        int r = pv_tun_read(lane->dp->tun_fd, at, TUN_READ, &len);
        if (r == PV_ERR_CLOSED)
            lose_tun(lane->dp);
        if (r < 0)
            break;
        packets[n++] = packet_of(lane->dp, at, len);
        used += (len + 63) & ~(size_t)63; /* on cache lines of its own */
    }
    add(&lane->counts.tun_read, n);
    for (size_t done = 0; done < n;) {
        done += pv_fp_tx(lane->worker, snap, packets + done, n - done, now);
        do_results(lane);
    }
    return n > 0;
}

/* The datagrams of one recvmmsg through the fast path. The snapshot is looked at after they were
 * received: keys are published before the message that makes the peer use them is sent. */
static void rx_batch(struct lane *lane, uint16_t sock, struct pv_udp_in *in, size_t n, pv_ns now)
{
    const struct pv_fp_snapshot *snap = pv_qsbr_online(lane->dp->qsbr, lane->index);
    struct pv_fp_datagram datagrams[PV_UDP_BATCH];
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (in[i].cut)
            continue; /* longer than anything we or WireGuard would send */
        datagrams[k++] = (struct pv_fp_datagram){.from = {.kind = PV_CARRIER_UDP,
                                                          .sock = sock,
                                                          .local = in[i].local,
                                                          .remote = in[i].src},
                                                 .data = in[i].ptr,
                                                 .len = in[i].len,
                                                 .segment = in[i].segment,
                                                 .ecn = in[i].ecn};
    }
    add(&lane->counts.udp_received, n);
    for (size_t done = 0; done < k;) {
        done += pv_fp_rx(lane->worker, snap, datagrams + done, k - done, now);
        do_results(lane);
    }
}

static bool udp_round(struct lane *lane, uint16_t sock, int fd, pv_ns now)
{
    bool any = false;
    for (int i = 0; fd >= 0 && i < UDP_BATCHES; i++) {
        struct pv_udp_in *in = NULL;
        size_t n = 0;
        if (pv_udp_recv(lane->receiver, fd, &in, &n) < 0)
            break;
        rx_batch(lane, sock, in, n, now);
        any = true;
        if (n < UDP_BUFFERS)
            break;
    }
    return any;
}

/* Messages of streams to relays, copied out of the ring: they are opened in place, many at once. */
static bool stream_round(struct lane *lane, pv_ns now)
{
    struct pv_relayio *io = lane->dp->cfg.relayio;
    struct pv_fp_datagram datagrams[STREAM_BATCH];
    struct pv_view message;
    size_t n = 0, used = 0;
    uint16_t stream = 0;
    while (io != NULL && n < STREAM_BATCH && pv_relayio_peek(io, &stream, &message) == PV_OK &&
           used + message.len <= STREAM_BYTES) {
        memcpy(lane->stream_buf + used, message.ptr, message.len);
        datagrams[n++] = (struct pv_fp_datagram){
            .from = {.kind = PV_CARRIER_STREAM, .sock = stream},
            .data = lane->stream_buf + used,
            .len = message.len,
        };
        used += (message.len + 63) & ~(size_t)63; /* on cache lines of its own */
        pv_relayio_pop(io);
    }
    const struct pv_fp_snapshot *snap = pv_qsbr_online(lane->dp->qsbr, lane->index);
    for (size_t done = 0; done < n;) {
        done += pv_fp_rx(lane->worker, snap, datagrams + done, n - done, now);
        do_results(lane);
    }
    return n > 0;
}

/* Everything that is there now; true when there was something. */
static bool tx_round(struct lane *lane, pv_ns now)
{
    struct pv_datapath *dp = lane->dp;
    uint64_t published = atomic_load_explicit(&dp->published, memory_order_acquire);
    const struct pv_fp_snapshot *snap = pv_qsbr_online(dp->qsbr, lane->index);
    if (published != lane->seen || now >= pv_fp_next_timeout(lane->worker))
        flush(lane, snap, now);
    lane->seen = published;
    bool any = inject_round(lane, snap, now);
    if (has_tun(dp))
        any = tun_round(lane, snap, now) || any;
    return any;
}

/* Everything that is there now; true when there was something. */
static bool work_round(struct lane *lane)
{
    pv_ns now = pv_clock_now();
    bool any = false;
    if (lane->tx)
        any = tx_round(lane, now);
    if (lane->rx) {
        const struct pv_datapath *dp = lane->dp;
        struct pv_sockset_sock sock;
        any = udp_round(lane, 0, dp->cfg.fd4, now) || any;
        any = udp_round(lane, 0, dp->cfg.fd6, now) || any;
        for (size_t i = 0; i < PV_SOCKSET_MAX; i++)
            any = (pv_sockset_at(&dp->socks, i, &sock) && udp_round(lane, sock.id, sock.fd, now)) ||
                  any;
        any = stream_round(lane, now) || any;
    }
    return any;
}

/* Milliseconds for poll(), rounded up; -1 = for ever. */
static int sleep_time(const struct lane *lane)
{
    pv_ns next = lane->tx ? pv_fp_next_timeout(lane->worker) : PV_NEVER;
    if (next == PV_NEVER)
        return -1;
    pv_ns now = pv_clock_now();
    return next <= now ? 0 : (int)((next - now + PV_MS(1) - 1) / PV_MS(1));
}

static void wait_for_work(struct lane *lane)
{
    struct pv_datapath *dp = lane->dp;
    /* poll() passes over negative descriptors. */
    int streams_fd = lane->rx && dp->cfg.relayio != NULL ? pv_relayio_rx_fd(dp->cfg.relayio) : -1;
    struct pollfd fds[5 + PV_SOCKSET_MAX] = {
        {.fd = lane->wake_fd, .events = POLLIN},
        {.fd = lane->tx && has_tun(dp) ? dp->tun_fd : -1, .events = POLLIN},
        {.fd = lane->rx ? dp->cfg.fd4 : -1, .events = POLLIN},
        {.fd = lane->rx ? dp->cfg.fd6 : -1, .events = POLLIN},
        {.fd = streams_fd, .events = POLLIN},
    };
    nfds_t n = 5;
    struct pv_sockset_sock sock;
    for (size_t i = 0; lane->rx && i < PV_SOCKSET_MAX; i++)
        if (pv_sockset_at(&dp->socks, i, &sock))
            fds[n++] = (struct pollfd){.fd = sock.fd, .events = POLLIN};
    pv_qsbr_offline(dp->qsbr, lane->index);
    pv_sockset_leave(&dp->socks, lane->index); /* poll() does no harm to one closed meanwhile */
    if (poll(fds, n, sleep_time(lane)) <= 0)
        return;
    if (fds[0].revents != 0)
        pv_event_clear(lane->wake_fd); /* before the next round looks at what it stands for */
    if (fds[4].revents != 0)
        pv_event_clear(streams_fd);
}

/* What was injected before the stop (goodbyes) still goes out. */
static void send_rest(struct lane *lane)
{
    const struct pv_fp_snapshot *snap = pv_qsbr_online(lane->dp->qsbr, lane->index);
    while (inject_round(lane, snap, pv_clock_now())) {
    }
}

static void *lane_main(void *arg)
{
    struct lane *lane = arg;
    while (!atomic_load(&lane->dp->stopping)) {
        pv_sockset_enter(&lane->dp->socks, lane->index);
        if (!work_round(lane))
            wait_for_work(lane);
    }
    if (lane->tx)
        send_rest(lane);
    pv_sockset_leave(&lane->dp->socks, lane->index);
    pv_qsbr_offline(lane->dp->qsbr, lane->index);
    return NULL;
}

/* --- threads ------------------------------------------------------------------------------- */

static void wake_lanes(struct pv_datapath *dp)
{
    for (unsigned i = 0; i < dp->n_lanes; i++)
        pv_event_raise(dp->lanes[i].wake_fd);
}

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
    static const char *const names[] = {"pv-tx", "pv-rx"};
    sigset_t all, old;
    unsigned started = 0;
    int e = 0;
    atomic_store(&dp->stopping, false);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the control thread's */
    while (started < dp->n_lanes && e == 0) {
        struct lane *lane = &dp->lanes[started];
        e = pthread_create(&lane->thread, NULL, lane_main, lane);
        if (e == 0) {
            pthread_setname_np(lane->thread, names[lane->tx ? 0 : 1]);
            started++;
        }
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (e != 0) {
        stop_threads(dp, started);
        return -e;
    }
    dp->running = true;
    return PV_OK;
}

static int lane_init(struct lane *lane, struct pv_datapath *dp, unsigned index)
{
    *lane = (struct lane){
        .dp = dp, .index = index, .tx = index == 0, .rx = index + 1 == dp->n_lanes, .wake_fd = -1};
    int r = pv_event_open(&lane->wake_fd);
    if (r >= 0)
        r = pv_fp_worker_new(&lane->worker);
    if (r >= 0)
        r = pv_ring_new(&lane->facts, FACT_RING);
    if (r >= 0)
        r = pv_ring_new(&lane->data, DATA_RING);
    if (r >= 0 && lane->rx)
        r = pv_udp_receiver_new(&lane->receiver, UDP_BUFFERS, UDP_READ);
    if (r >= 0 && lane->rx && dp->cfg.relayio != NULL) {
        lane->stream_buf = malloc(STREAM_BYTES);
        r = lane->stream_buf == NULL ? PV_ERR_NOMEM : PV_OK;
    }
    if (r >= 0 && lane->tx) {
        lane->tun_buf = malloc(TUN_BYTES + TUN_READ + 64);
        r = lane->tun_buf == NULL ? PV_ERR_NOMEM : PV_OK;
    }
    return r;
}

static void lane_done(struct lane *lane)
{
    if (lane->wake_fd >= 0)
        close(lane->wake_fd);
    pv_fp_worker_free(lane->worker);
    pv_ring_free(lane->facts);
    pv_ring_free(lane->data);
    pv_udp_receiver_free(lane->receiver);
    if (lane->tun_buf != NULL)
        explicit_bzero(lane->tun_buf, TUN_BYTES + TUN_READ + 64);
    free(lane->tun_buf);
    if (lane->stream_buf != NULL)
        explicit_bzero(lane->stream_buf, STREAM_BYTES);
    free(lane->stream_buf);
}

int pv_datapath_new(struct pv_datapath **ret_dp, const struct pv_datapath_config *cfg)
{
    struct pv_datapath *dp = calloc(1, sizeof(*dp));
    if (dp == NULL)
        return PV_ERR_NOMEM;
    dp->cfg = *cfg;
    dp->tun_fd = dp->event_fd = -1;
    dp->n_lanes = cfg->threads;
    if (dp->n_lanes == 0 || dp->n_lanes > MAX_LANES)
        dp->n_lanes = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 2 : 1;
    for (unsigned i = 0; i < dp->n_lanes; i++)
        dp->lanes[i].wake_fd = -1;
    int r = pv_event_open(&dp->event_fd);
    if (r >= 0)
        r = pv_qsbr_new(&dp->qsbr, dp->n_lanes);
    if (r >= 0)
        r = pv_ring_new(&dp->inject, INJECT_RING);
    for (unsigned i = 0; r >= 0 && i < dp->n_lanes; i++)
        r = lane_init(&dp->lanes[i], dp, i);
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
    for (unsigned i = 0; i < dp->n_lanes; i++)
        lane_done(&dp->lanes[i]);
    pv_qsbr_free(dp->qsbr);
    pv_ring_free(dp->inject);
    if (dp->tun_fd >= 0)
        close(dp->tun_fd);
    if (dp->event_fd >= 0)
        close(dp->event_fd);
    free(dp);
    return NULL;
}

int pv_datapath_set_tun(struct pv_datapath *dp, int tun_fd)
{
    if (dp->running)
        stop_threads(dp, dp->n_lanes);
    if (dp->tun_fd >= 0)
        close(dp->tun_fd);
    dp->tun_fd = tun_fd;
    dp->tun = pv_tun_set_offloads(tun_fd);
    for (unsigned i = 0; i < dp->n_lanes; i++) {
        struct lane *lane = &dp->lanes[i];
        lane->join_tcp = dp->tun.tso;
        lane->join_udp = dp->tun.uso;
        pv_fp_worker_join(lane->worker, lane->join_tcp, lane->join_udp);
    }
    atomic_store(&dp->tun_gone, false);
    atomic_store(&dp->tell_gone, false);
    return start_threads(dp);
}

void pv_datapath_set_socks(struct pv_datapath *dp, const struct pv_sockset_sock *socks, size_t n)
{
    pv_sockset_change(&dp->socks, socks, n);
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
    atomic_fetch_add_explicit(&dp->published, 1, memory_order_release);
    wake_lanes(dp);
    return PV_OK;
}

pv_ns pv_datapath_reclaim(struct pv_datapath *dp, pv_ns now)
{
    return pv_qsbr_reclaim(dp->qsbr) > 0 ? now + RECLAIM_INTERVAL : PV_NEVER;
}

int pv_datapath_inject(struct pv_datapath *dp, uint32_t peer, struct pv_view inner)
{
    int r = pv_ring_push(dp->inject, pv_view(&peer, sizeof(peer)), inner, NULL);
    if (r >= 0)
        pv_event_raise(dp->lanes[0].wake_fd);
    return r;
}

int pv_datapath_event_fd(const struct pv_datapath *dp)
{
    return dp->event_fd;
}

static int peek(struct pv_datapath *dp, struct pv_view *ret_record)
{
    for (unsigned i = 0; i < dp->n_lanes * 2; i++) {
        struct lane *lane = &dp->lanes[i / 2];
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
    if (dp->peeked != NULL)
        pv_ring_pop(dp->peeked);
    dp->peeked = NULL;
}

struct pv_datapath_counts pv_datapath_counts(const struct pv_datapath *dp)
{
    struct pv_datapath_counts sum = {.tun = dp->tun,
                                     .aead = pv_fp_worker_aead(dp->lanes[0].worker)};
    for (unsigned i = 0; i < dp->n_lanes; i++) {
        const struct counts *c = &dp->lanes[i].counts;
        sum.udp_sent += atomic_load_explicit(&c->udp_sent, memory_order_relaxed);
        sum.udp_failed += atomic_load_explicit(&c->udp_failed, memory_order_relaxed);
        sum.udp_received += atomic_load_explicit(&c->udp_received, memory_order_relaxed);
        sum.tun_read += atomic_load_explicit(&c->tun_read, memory_order_relaxed);
        sum.tun_written += atomic_load_explicit(&c->tun_written, memory_order_relaxed);
        sum.tun_failed += atomic_load_explicit(&c->tun_failed, memory_order_relaxed);
        sum.udp_calls += atomic_load_explicit(&c->udp_calls, memory_order_relaxed);
        sum.tun_calls += atomic_load_explicit(&c->tun_calls, memory_order_relaxed);
        sum.punts_lost += atomic_load_explicit(&c->punts_lost, memory_order_relaxed);
    }
    return sum;
}
