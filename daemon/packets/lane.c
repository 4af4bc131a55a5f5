/* SPDX-License-Identifier: MIT */
/* A packet thread: what it reads from the TUN, sockets, streams and rings, in rounds between
 * sleeps. */
#include "daemon/packets/lane.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sys/net/tun.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"
#include "sys/proc/event.h"

enum {
    TUN_BATCH = 64,  /* packets read, and sent, before the other work of the lane gets its turn */
    UDP_BATCHES = 2, /* recvmmsg calls a socket before the other one gets its turn */
    UDP_BUFFERS =
        16, /* a recvmmsg; each may hold many merged datagrams (PERFORMANCE "Conclusions": 8 do) */
    UDP_READ = 65536,  /* bytes of one */
    STREAM_BATCH = 64, /* messages of streams to relays, or of another worker */
    STREAM_BYTES = 256 << 10,
    HANDED_RING = 1 << 20, /* more than worker 0 reads at a time */
    POOL_KEPT = 512 << 10, /* bytes that waited: a crowd has more */
    INJECT_BATCH = 64,     /* packets */
    DATA_RING = 1 << 20,   /* punts that carry bytes: a flood fills it, and more is dropped */
    FIXED_FDS = 8,         /* that poll() looks at beside the sockets of attempts */
    FACT_RING = 1 << 20, /* punts that do not, and come once until re-armed: never behind a flood */
};
#define POOL_IDLE PV_MS(20) /* after a crowd, until its memory is given back */

/* Packets that waited for a path or keys go out, in order, in as many batches as it takes. */
static void flush(struct pv_lane *lane, const struct pv_fp_snapshot *snap, pv_ns now)
{
    bool more;
    do {
        more = pv_fp_flush(lane->worker, snap, now);
        pv_lane_results(lane);
    } while (more);
}

/* Control's packets: in-band messages and keepalives. */
static bool inject_round(struct pv_lane *lane, const struct pv_fp_snapshot *snap, pv_ns now)
{
    struct pv_view record;
    unsigned n = 0;
    while (n < INJECT_BATCH && pv_ring_peek(lane->dp->inject, &record) == PV_OK) {
        uint32_t peer;
        memcpy(&peer, record.ptr, sizeof(peer));
        struct pv_view inner = pv_view(record.ptr + sizeof(peer), record.len - sizeof(peer));
        /* Without path or keys it is lost, as on the network. */
        if (pv_fp_inject(lane->worker, snap, peer, inner, now) == PV_OK)
            pv_lane_results(lane);
        else
            pv_lane_add(&lane->counts.injects_lost, 1);
        pv_ring_pop(lane->dp->inject);
        n++;
    }
    return n > 0;
}

/* The packet behind the header; an unreadable one becomes a packet of one byte, which is counted as
 * damaged. */
static void push_packet(struct pv_lane *lane, const uint8_t *read, size_t len)
{
    static const struct pv_offload none = {.kind = PV_OFFLOAD_NONE};
    struct pv_offload offload;
    if (!lane->dp->offloads.header)
        pv_fp_fair_push(lane->fair, 0, len, &none, lane->tun_empty);
    else if (len < PV_VNET_LEN || pv_vnet_decode(read, &offload) < 0)
        pv_fp_fair_push(lane->fair, 0, 1, &none, lane->tun_empty);
    else
        pv_fp_fair_push(lane->fair, PV_VNET_LEN, len, &offload, lane->tun_empty);
}

/* Takes the packets that the TUN has, as far as there are places for them. */
static void read_tun(struct pv_lane *lane, pv_ns now)
{
    uint8_t *space;
    size_t n = 0;
    /* The limit leaves room for other work of the lane: a full TUN must not keep injected
     * packets waiting. */
    while (n < TUN_BATCH && (space = pv_fp_fair_space(lane->fair)) != NULL) {
        size_t len = 0;
        int r = pv_tun_read(lane->dp->tun.read[lane->number], space, PV_FP_FAIR_READ, &len);
        /* The interface was deleted under the daemon: control has to hear it once. */
        if (r == PV_ERR_CLOSED)
            pv_lane_lose_tun(lane->dp);
        if (r < 0) {
            lane->ready.tun = false;
            lane->tun_empty = now;
            break;
        }
        push_packet(lane, space, len);
        n++;
    }
    lane->pool_used = lane->pool_used || pv_fp_fair_bytes(lane->fair) > POOL_KEPT;
    pv_lane_add(&lane->counts.tun_read, n);
}

/* While anything waits, the TUN is looked at before every batch: what has just come may go first.
 * True when more may be there. */
static bool tun_round(struct pv_lane *lane, const struct pv_fp_snapshot *snap, pv_ns now)
{
    struct pv_fp_packet packets[TUN_BATCH];
    if (lane->ready.tun || pv_fp_fair_bytes(lane->fair) > 0)
        read_tun(lane, now);
    size_t n = pv_fp_fair_pop(lane->fair, packets, TUN_BATCH, now);
    for (size_t done = 0; done < n;) {
        done += pv_fp_tx(lane->worker, snap, packets + done, n - done, now);
        pv_lane_results(lane);
    }
    return lane->ready.tun || pv_fp_fair_bytes(lane->fair) > 0;
}

/* The datagrams of one recvmmsg through the fast path. The snapshot is looked at after they were
 * received: keys are published before the message that makes the peer use them is sent. */
static void rx_batch(struct pv_lane *lane, uint16_t sock, struct pv_udp_in *in, size_t n,
                     bool stands, pv_ns now)
{
    const struct pv_fp_snapshot *snap = pv_qsbr_online(lane->dp->qsbr, lane->index);
    struct pv_fp_datagram datagrams[PV_UDP_BATCH];
    size_t k = 0, most = 0;
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
    /* One mark suffices to make the sender slow down. The largest datagram is the one most
     * likely to carry data. */
    for (size_t i = 1; i < k; i++)
        most = datagrams[i].len > datagrams[most].len ? i : most;
    if (k > 0)
        datagrams[most].congested = stands;
    pv_lane_add(&lane->counts.udp_received, n);
    /* pv_fp_rx() takes as many as its results have room for, so the results go out in between. */
    for (size_t done = 0; done < k;) {
        done += pv_fp_rx(lane->worker, snap, datagrams + done, k - done, now);
        pv_lane_results(lane);
    }
}

/* True when more may be there. */
static bool udp_round(struct pv_lane *lane, uint16_t sock, int fd, struct pv_fp_codel *codel,
                      pv_ns now)
{
    bool more = fd >= 0;
    for (int i = 0; more && i < UDP_BATCHES; i++) {
        struct pv_udp_in *in = NULL;
        size_t n = 0;
        if (pv_udp_recv(lane->receiver, fd, &in, &n) < 0)
            return false;
        /* The last of them waited least. When nothing is left there was no queue that stands: they
         * waited for this thread to run. */
        more = pv_udp_more(lane->receiver);
        rx_batch(lane, sock, in, n, pv_fp_codel_leaves(codel, more ? in[n - 1].waited : 0, now),
                 now);
    }
    return more;
}

/* Messages copied out of a ring: they are opened in place, many at once. */
struct copies {
    struct pv_fp_datagram datagrams[STREAM_BATCH];
    size_t n, used;
};

static bool copy_fits(const struct copies *c, struct pv_view message)
{
    return c->n < STREAM_BATCH && c->used + message.len <= STREAM_BYTES;
}

static void add_copy(struct pv_lane *lane, struct copies *c, struct pv_fp_datagram head,
                     struct pv_view message)
{
    head.data = lane->stream_buf + c->used;
    head.len = message.len;
    memcpy(head.data, message.ptr, message.len);
    c->datagrams[c->n++] = head;
    c->used += (message.len + 63) & ~(size_t)63; /* on cache lines of its own */
}

static bool rx_copies(struct pv_lane *lane, const struct copies *c, pv_ns now)
{
    const struct pv_fp_snapshot *snap = pv_qsbr_online(lane->dp->qsbr, lane->index);
    for (size_t done = 0; done < c->n;) {
        done += pv_fp_rx(lane->worker, snap, c->datagrams + done, c->n - done, now);
        pv_lane_results(lane);
    }
    return c->n > 0;
}

/* Takes the messages that streams to relays gave. */
static bool stream_round(struct pv_lane *lane, pv_ns now)
{
    struct pv_relayio *io = lane->dp->cfg.relayio;
    struct copies c = {.n = 0};
    struct pv_view message;
    uint16_t stream = 0;
    while (io != NULL && pv_relayio_peek(io, &stream, &message) == PV_OK &&
           copy_fits(&c, message)) {
        const struct pv_fp_datagram head = {.from = {.kind = PV_CARRIER_STREAM, .sock = stream}};
        add_copy(lane, &c, head, message);
        pv_relayio_pop(io);
    }
    return rx_copies(lane, &c, now);
}

/* Takes the datagrams that worker 0 received for this worker. Worker 0 takes those that control
 * received (pv_datapath_hand). */
static bool handed_round(struct pv_lane *lane, pv_ns now)
{
    struct copies c = {.n = 0};
    struct pv_view record;
    while (pv_ring_peek(lane->handed, &record) == PV_OK && copy_fits(&c, record)) {
        struct pv_lane_handed head;
        memcpy(&head, record.ptr, sizeof(head));
        add_copy(lane, &c,
                 (struct pv_fp_datagram){
                     .from = head.from, .ecn = head.ecn, .handed = lane->number != 0},
                 pv_view(record.ptr + sizeof(head), record.len - sizeof(head)));
        pv_ring_pop(lane->handed);
    }
    return rx_copies(lane, &c, now);
}

/* Serves what is ready; true when more may be there. */
static bool tx_round(struct pv_lane *lane, pv_ns now)
{
    /* The counter is read before the snapshot: a publication in between is then seen as new in
     * the next round, and never missed. */
    struct pv_datapath *dp = lane->dp;
    uint64_t published = atomic_load_explicit(&dp->published, memory_order_acquire);
    const struct pv_fp_snapshot *snap = pv_qsbr_online(dp->qsbr, lane->index);
    if (published != lane->seen || now >= pv_fp_next_timeout(lane->worker))
        flush(lane, snap, now);
    lane->seen = published;
    bool more = lane->number == 0 && inject_round(lane, snap, now);
    return (pv_lane_has_tun(dp) && tun_round(lane, snap, now)) || more;
}

static bool others_round(struct pv_lane *lane, pv_ns now)
{
    struct pv_sockset_sock sock;
    bool more = false;
    for (size_t i = 0; i < PV_SOCKSET_MAX; i++)
        more = (pv_sockset_at(&lane->dp->socks, i, &sock) &&
                udp_round(lane, sock.id, sock.fd, &lane->codel[2], now)) ||
               more;
    return more;
}

/* Serves what is ready; true when more may be there. */
static bool rx_round(struct pv_lane *lane, pv_ns now)
{
    const struct pv_datapath *dp = lane->dp;
    struct pv_lane_ready *ready = &lane->ready;
    if (ready->v4)
        ready->v4 = udp_round(lane, 0, dp->cfg.udp.fd4[lane->number], &lane->codel[0], now);
    if (ready->v6)
        ready->v6 = udp_round(lane, 0, dp->cfg.udp.fd6[lane->number], &lane->codel[1], now);
    if (ready->others)
        ready->others = others_round(lane, now);
    pv_lane_tell_hints(lane, pv_udp_receiver_hints(lane->receiver));
    bool more = handed_round(lane, now);
    more = (lane->number == 0 && stream_round(lane, now)) || more;
    return more || ready->v4 || ready->v6 || ready->others;
}

/* One clock reading a round: packets of one batch have one time, as the machines want it. */
static bool work_round(struct pv_lane *lane)
{
    pv_ns now = pv_clock_now();
    bool more = lane->tx && tx_round(lane, now);
    return (lane->rx && rx_round(lane, now)) || more;
}

/* As pv_poll_ms(). */
static int sleep_time(const struct pv_lane *lane)
{
    pv_ns now = pv_clock_now(), next = lane->tx ? pv_fp_next_timeout(lane->worker) : PV_NEVER;
    /* The memory of a crowd is given back even when nothing else has to be done. */
    if (lane->pool_used && next > now + POOL_IDLE)
        next = now + POOL_IDLE;
    return pv_poll_ms(next, now);
}

static void wait_for_work(struct pv_lane *lane)
{
    struct pv_datapath *dp = lane->dp;
    /* poll() passes over negative descriptors. */
    bool gathers = lane->rx && lane->number == 0;
    bool hears = lane->rx && atomic_load_explicit(&dp->hears, memory_order_relaxed);
    int streams_fd = gathers && dp->cfg.relayio != NULL ? pv_relayio_rx_fd(dp->cfg.relayio) : -1;
    const struct pv_udp_group *udp = &dp->cfg.udp;
    bool cut = gathers && udp->has_cut;
    struct pollfd fds[FIXED_FDS + PV_SOCKSET_MAX] = {
        {.fd = lane->wake_fd, .events = POLLIN},
        {.fd = lane->tx && pv_lane_has_tun(dp) ? dp->tun.read[lane->number] : -1, .events = POLLIN},
        {.fd = hears ? udp->fd4[lane->number] : -1, .events = POLLIN},
        {.fd = hears ? udp->fd6[lane->number] : -1, .events = POLLIN},
        {.fd = streams_fd, .events = POLLIN},
        {.fd = cut ? udp->cut4 : -1}, /* errors only */
        {.fd = cut ? udp->cut6 : -1},
        {.fd = pv_lane_write_kept(lane) ? dp->tun.write[lane->number] : -1, .events = POLLOUT},
    };
    nfds_t n = FIXED_FDS;
    struct pv_sockset_sock sock;
    for (size_t i = 0; gathers && i < PV_SOCKSET_MAX; i++)
        if (pv_sockset_at(&dp->socks, i, &sock))
            fds[n++] = (struct pollfd){.fd = sock.fd, .events = POLLIN};
    /* An offline lane holds no snapshot, so control can free old ones while this lane sleeps. */
    pv_qsbr_offline(dp->qsbr, lane->index);
    pv_sockset_leave(&dp->socks, lane->index); /* poll() does no harm to one closed meanwhile */
    int woken_by = poll(fds, n, sleep_time(lane));
    lane->tun_empty = pv_clock_now(); /* it was when the sleep began, and is looked at now */
    /* Both must hold: the time has passed, and no packet lies in the pool. */
    if (woken_by == 0 && lane->pool_used && pv_fp_fair_bytes(lane->fair) == 0) {
        lane->pool_used = false;
        (void)!madvise(lane->pool, PV_FP_FAIR_MEMORY, MADV_DONTNEED);
    }
    if (woken_by <= 0)
        return;
    hears = hears && atomic_load_explicit(&dp->hears, memory_order_relaxed); /* still */
    lane->ready = (struct pv_lane_ready){.tun = fds[1].revents != 0,
                                         .v4 = hears && fds[2].revents != 0,
                                         .v6 = hears && fds[3].revents != 0};
    for (nfds_t i = FIXED_FDS; i < n; i++)
        lane->ready.others = lane->ready.others || fds[i].revents != 0;
    if (fds[0].revents != 0)
        pv_event_clear(lane->wake_fd); /* before the next round looks at what it stands for */
    if (fds[4].revents != 0)
        pv_event_clear(streams_fd);
    for (unsigned i = 5; i < 7; i++)
        if (fds[i].revents != 0)
            pv_udp_drain_errors(fds[i].fd, pv_udp_receiver_hints(lane->receiver));
}

/* Packets injected before the stop (goodbyes) still go out. */
static void send_rest(struct pv_lane *lane)
{
    const struct pv_fp_snapshot *snap = pv_qsbr_online(lane->dp->qsbr, lane->index);
    while (inject_round(lane, snap, pv_clock_now())) {
    }
}

void *pv_lane_main(void *arg)
{
    struct pv_lane *lane = arg;
    pthread_setname_np(pthread_self(), lane->name);
    while (!atomic_load(&lane->dp->stopping)) {
        pv_sockset_enter(&lane->dp->socks, lane->index);
        if (!work_round(lane))
            wait_for_work(lane);
    }
    if (lane->tx && lane->number == 0)
        send_rest(lane);
    pv_sockset_leave(&lane->dp->socks, lane->index);
    pv_qsbr_offline(lane->dp->qsbr, lane->index);
    return NULL;
}

/* --- what it owns -------------------------------------------------------------------------- */

int pv_lane_init(struct pv_lane *lane, struct pv_datapath *dp, unsigned index)
{
    bool both = dp->n_lanes == 1;
    *lane = (struct pv_lane){.dp = dp,
                             .index = index,
                             .number = index / 2,
                             .tx = both || index % 2 == 0,
                             .rx = both || index % 2 == 1,
                             .wake_fd = -1};
    int r = pv_event_open(&lane->wake_fd);
    if (r >= 0)
        r = pv_fp_worker_new(&lane->worker);
    if (r >= 0) {
        /* All sending workers share the counters of a peer's keys (fastpath.h): the number keeps
         * their parts apart. */
        pv_fp_worker_share(lane->worker, lane->number, dp->cfg.udp.n);
        r = pv_ring_new(&lane->facts, FACT_RING);
    }
    if (r >= 0)
        r = pv_ring_new(&lane->data, DATA_RING);
    if (r >= 0 && lane->rx)
        /* Each direction allocates only what it uses. */
        r = pv_udp_receiver_new(&lane->receiver, UDP_BUFFERS, UDP_READ);
    if (r >= 0 && lane->rx)
        r = pv_ring_new(&lane->handed, HANDED_RING);
    if (r >= 0 && lane->rx) {
        lane->stream_buf = malloc(STREAM_BYTES);
        r = lane->stream_buf == NULL ? PV_ERR_NOMEM : PV_OK;
    }
    if (r >= 0 && lane->tx) {
        /* The seed keeps an attacker from choosing flows that fall into one queue. */
        const struct pv_rng rng = pv_entropy();
        void *pool = mmap(NULL, PV_FP_FAIR_MEMORY, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        lane->pool = pool == MAP_FAILED ? NULL : pool;
        r = lane->pool == NULL ? PV_ERR_NOMEM
                               : pv_fp_fair_new(&lane->fair, lane->pool, pv_rng_u64(&rng));
    }
    return r;
}

void pv_lane_done(struct pv_lane *lane)
{
    if (lane->wake_fd >= 0)
        close(lane->wake_fd);
    pv_fp_worker_free(lane->worker);
    pv_ring_free(lane->facts);
    pv_ring_free(lane->data);
    pv_ring_free(lane->handed);
    pv_lane_drop_kept(lane);
    pv_udp_receiver_free(lane->receiver);
    pv_fp_fair_free(lane->fair);
    if (lane->pool != NULL)
        munmap(lane->pool, PV_FP_FAIR_MEMORY); /* the kernel wipes it */
    /* Decrypted packets lay there. */
    if (lane->stream_buf != NULL)
        explicit_bzero(lane->stream_buf, STREAM_BYTES);
    free(lane->stream_buf);
}
