/* SPDX-License-Identifier: MIT */
/*
 * Real lanes, one thread or one, two and four pairs of them, over loopback: flows of several peers
 * run while control changes keys, paths and routes and takes peers away. Half of the peers are
 * reached by channels of a relay, whose datagrams come to worker 0 whoever they are for; one of
 * them moves between the relay and the direct path. No packet comes twice, none overtakes another
 * of its flow but at such a move, and each that does not come was counted. Clean under
 * ThreadSanitizer.
 */
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "daemon/core/packets/fp_builder.h"
#include "daemon/packets/datapath.h"
#include "sys/net/udp.h"
#include "sys/proc/clock.h"
#include "tests/unit/test_util.h"

enum {
    PEERS = 6,
    RELAYED = 3,     /* peers from this one on */
    MOVES = 5,       /* this one is there only sometimes */
    PER_FLOW = 1500, /* packets */
    IN_FLIGHT = 48,  /* packets of all flows, so that no socket is overrun: that is not counted */
    CHANNEL = 0x4000,
    LEN = 60, /* of a packet */
};

/* One end of a peering as its node knows it. */
struct end {
    uint32_t id;    /* 0 = removed */
    uint32_t index; /* our receiver index */
    bool path;
};

struct node {
    struct pv_datapath *dp;
    struct pv_fp_builder *builder;
    struct test_rng seed;
    struct pv_rng rng;
    struct pv_udp_group udp;
    struct pv_addr addr;     /* of its port */
    int host[PV_TUN_QUEUES]; /* the host's ends of the queues */
    int host_in;             /* where the host gets packets */
    uint8_t net;             /* inner addresses 10.66.net.0/24 */
    struct end ends[PEERS];
};

struct world {
    unsigned workers;
    struct node a, b;
    uint32_t sent[PEERS], received[PEERS]; /* by flow */
    uint32_t next[PEERS];                  /* number expected at least */
    bool seen[PER_FLOW];                   /* of the flow to MOVES */
    bool moved;                            /* that peer is reached directly */
};

static struct pv_addr inner(uint8_t net, unsigned peer)
{
    return pv_addr4(10, 66, net, (uint8_t)(peer + 1), 0);
}

/* How the relay, which the other node plays, names a peer. */
static struct pv_addr behind_relay(unsigned peer)
{
    return pv_addr4(192, 0, 2, (uint8_t)(peer + 1), 3478);
}

/* --- control ------------------------------------------------------------------------------- */

static void publish(struct node *n)
{
    struct pv_fp_snapshot *snap = NULL;
    if (!pv_fp_builder_changed(n->builder))
        return;
    assert_ok(pv_fp_builder_snapshot(n->builder, &snap));
    assert_ok(pv_datapath_publish(n->dp, snap));
    (void)pv_datapath_reclaim(n->dp, 0);
}

static void set_path(struct node *n, const struct node *other, unsigned peer, bool there,
                     bool direct)
{
    struct pv_carrier c = {.kind = PV_CARRIER_UDP, .remote = other->addr};
    if (peer >= RELAYED && !direct)
        c = (struct pv_carrier){.kind = PV_CARRIER_CHANNEL,
                                .channel = (uint16_t)(CHANNEL + peer),
                                .remote = behind_relay(peer),
                                .relay = other->addr};
    n->ends[peer].path = there;
    assert_ok(pv_fp_builder_set_path(n->builder, n->ends[peer].id, there ? &c : NULL, 0));
}

static void set_routes(struct node *n, const struct node *other, unsigned peer, bool extra)
{
    struct pv_prefix routes[2] = {{.base = inner(other->net, peer), .bits = 32},
                                  {.base = inner((uint8_t)(other->net + 10), peer), .bits = 32}};
    assert_ok(pv_fp_builder_set_routes(n->builder, n->ends[peer].id, routes, extra ? 2 : 1));
}

static uint32_t draw_index(struct world *w, struct node *n, unsigned peer)
{
    uint8_t owner = (uint8_t)((n->ends[peer].id & 0xffff) % w->workers);
    return pv_fp_builder_draw_index(n->builder, &n->rng, owner);
}

static void add_keys(struct node *n, unsigned peer, uint32_t ours, uint32_t theirs)
{
    struct pv_fp_key_init keys = {.local_index = ours,
                                  .remote_index = theirs,
                                  .suite = peer % 2 == 0 ? PV_SUITE_CHACHA : PV_SUITE_AES,
                                  .birth = pv_clock_now()};
    /* The same at both ends, each way: which keys they are follows from the indices. */
    uint8_t *mine = n->net == 0 ? keys.send_key : keys.recv_key;
    uint8_t *other = n->net == 0 ? keys.recv_key : keys.send_key;
    uint32_t a = n->net == 0 ? ours : theirs, b = n->net == 0 ? theirs : ours;
    memset(mine, 1, 32);
    memset(other, 2, 32);
    pv_store_le32(mine, a);
    pv_store_le32(mine + 4, b);
    pv_store_le32(other, a);
    pv_store_le32(other + 4, b);
    assert_ok(pv_fp_builder_add_keys(n->builder, n->ends[peer].id, &keys));
}

/* New keys at both ends, as a handshake makes them: the receiver first. The old ones go at the next
 * change: what is under way when they do is dropped and counted. */
static void rekey(struct world *w, unsigned peer)
{
    struct end *a = &w->a.ends[peer], *b = &w->b.ends[peer];
    uint32_t old_a = a->index, old_b = b->index;
    a->index = draw_index(w, &w->a, peer);
    b->index = draw_index(w, &w->b, peer);
    add_keys(&w->b, peer, b->index, a->index);
    add_keys(&w->a, peer, a->index, b->index);
    publish(&w->b);
    assert_ok(pv_fp_builder_send_with(w->a.builder, a->id, a->index));
    publish(&w->a);
    if (old_a == 0)
        return;
    assert_ok(pv_fp_builder_remove_keys(w->a.builder, a->id, old_a));
    assert_ok(pv_fp_builder_remove_keys(w->b.builder, b->id, old_b));
}

static void add_peer(struct node *n, const struct node *other, unsigned peer)
{
    struct pv_addr there = behind_relay(peer);
    n->ends[peer] = (struct end){.id = 0};
    assert_ok(pv_fp_builder_add_peer(n->builder, PV_FP_MEMBER, &n->ends[peer].id));
    set_routes(n, other, peer, false);
    set_path(n, other, peer, true, false);
    if (peer >= RELAYED)
        assert_ok(pv_fp_builder_set_channel(n->builder, 0, (uint16_t)(CHANNEL + peer), &there));
}

static void replace_peer(struct world *w, unsigned peer)
{
    assert_ok(pv_fp_builder_remove_peer(w->a.builder, w->a.ends[peer].id));
    publish(&w->a);
    add_peer(&w->a, &w->b, peer);
    w->a.ends[peer].index = 0;
    rekey(w, peer);
}

static void change_something(struct world *w, unsigned round)
{
    unsigned peer = round / 5 % PEERS;
    switch (round % 5) {
    case 0:
        rekey(w, peer);
        break;
    case 1:
        set_routes(&w->a, &w->b, peer, round % 2 == 0);
        break;
    case 2:
        set_path(&w->a, &w->b, peer, false, false);
        publish(&w->a);
        set_path(&w->a, &w->b, peer, true, false); /* what waited goes first */
        break;
    case 3:
        if (round % 35 == 3)
            replace_peer(w, peer);
        break;
    default:
        assert_ok(pv_fp_builder_set_offline(w->a.builder, w->a.ends[peer].id, true));
        publish(&w->a);
        assert_ok(pv_fp_builder_set_offline(w->a.builder, w->a.ends[peer].id, false));
        break;
    }
    publish(&w->a);
    w->moved = !w->moved;
    set_path(&w->a, &w->b, MOVES, true, w->moved);
    publish(&w->a);
    publish(&w->b);
}

static void take_punts(struct node *n)
{
    struct pv_fp_punt punt;
    while (pv_datapath_peek_punt(n->dp, &punt) == PV_OK) {
        struct pv_fp_live *live = pv_fp_builder_live(n->builder, punt.peer);
        if (live != NULL) {
            pv_fp_live_rearm_path(live);
            pv_fp_live_rearm_keys(live);
            pv_fp_live_rearm_active(live);
        }
        pv_datapath_pop_punt(n->dp);
    }
}

/* --- set-up -------------------------------------------------------------------------------- */

static void open_queues(struct node *n, unsigned workers)
{
    struct pv_tun tun = {.n = workers};
    int in[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, in), 0);
    n->host_in = in[0];
    for (unsigned i = 0; i < workers; i++) {
        int out[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, out), 0);
        n->host[i] = out[0];
        tun.read[i] = out[1];
        tun.write[i] = dup(in[1]);
        assert_true(tun.write[i] >= 0);
    }
    close(in[1]);
    if (workers == 1) { /* one descriptor for both ways */
        close(tun.write[0]);
        close(n->host_in);
        tun.write[0] = tun.read[0];
        n->host_in = dup(n->host[0]);
    }
    assert_ok(pv_datapath_set_tun(n->dp, &tun));
}

static void init_node(struct node *n, uint8_t net, unsigned workers, unsigned threads)
{
    const struct pv_udp_opts opts = {.df = true, .gro = true};
    struct pv_fp_interface iface = {.n_own = PEERS, .mtu = 1420};
    struct pv_addr loopback = pv_addr4(127, 0, 0, 1, 0);
    n->net = net;
    n->rng = test_rng_make(&n->seed, net + 1u);
    n->udp.n = workers;
    memset(n->udp.fd6, 0xff, sizeof(n->udp.fd6)); /* -1 */
    assert_ok(pv_udp_open_group(&loopback, &opts, workers, n->udp.fd4));
    assert_ok(pv_udp_local(n->udp.fd4[0], &n->addr));
    struct pv_datapath_config cfg = {.udp = n->udp, .threads = threads};
    assert_ok(pv_datapath_new(&n->dp, &cfg));
    assert_ok(pv_fp_builder_new(&n->builder, &n->rng));
    for (unsigned i = 0; i < PEERS; i++)
        iface.own[i] = inner(net, i);
    assert_ok(pv_fp_builder_set_interface(n->builder, &iface));
    open_queues(n, workers);
}

static void stop_node(struct node *n, unsigned workers)
{
    pv_datapath_free(n->dp);
    pv_fp_builder_free(n->builder);
    pv_udp_group_close(&n->udp);
    for (unsigned i = 0; i < workers; i++)
        close(n->host[i]);
    close(n->host_in);
}

static void stop_world(void *ctx)
{
    struct world *w = ctx;
    stop_node(&w->a, w->workers);
    stop_node(&w->b, w->workers);
}

static void start_world(struct world *w, unsigned workers, unsigned threads)
{
    *w = (struct world){.workers = workers};
    init_node(&w->a, 0, workers, threads);
    init_node(&w->b, 1, workers, threads);
    test_defer(stop_world, w);
    const struct pv_fp_relay_way way_a = {.server = w->b.addr, .udp = true};
    const struct pv_fp_relay_way way_b = {.server = w->a.addr, .udp = true};
    assert_ok(pv_fp_builder_set_relay(w->a.builder, 0, &way_a));
    assert_ok(pv_fp_builder_set_relay(w->b.builder, 0, &way_b));
    for (unsigned peer = 0; peer < PEERS; peer++) {
        add_peer(&w->a, &w->b, peer);
        add_peer(&w->b, &w->a, peer);
        rekey(w, peer);
    }
}

/* --- traffic ------------------------------------------------------------------------------- */

/* The next packet of a flow, into the queue that the kernel would always choose for it. */
static bool send_next(struct world *w, unsigned flow)
{
    struct pv_addr src = inner(0, flow), dst = inner(1, flow);
    uint8_t p[LEN] = {0x45, 0, 0, LEN, 0, 0, 0, 0, 64, 253};
    uint32_t sum = 0;
    memcpy(p + 12, src.ip, 4);
    memcpy(p + 16, dst.ip, 4);
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
    p[10] = (uint8_t)(~sum >> 8);
    p[11] = (uint8_t)~sum;
    pv_store_be32(p + 20, flow);
    pv_store_be32(p + 24, w->sent[flow]);
    if (write(w->a.host[(flow + 1) % w->workers], p, sizeof(p)) != (ssize_t)sizeof(p))
        return false; /* the queue is full: later */
    w->sent[flow]++;
    return true;
}

static void receive_all(struct world *w)
{
    uint8_t p[256];
    ssize_t n;
    while (read(w->a.host_in, p, sizeof(p)) > 0) {
        /* ICMP, for what could not be sent */
    }
    while ((n = read(w->b.host_in, p, sizeof(p))) > 0) {
        assert_int_equal(n, LEN);
        uint32_t flow = pv_load_be32(p + 20), number = pv_load_be32(p + 24);
        assert_true(flow < PEERS);
        assert_true(number < PER_FLOW);
        if (flow == MOVES ? w->seen[number] : number < w->next[flow])
            fail_msg("flow %u: packet %u came after %u", flow, number, w->next[flow] - 1);
        w->seen[number] = w->seen[number] || flow == MOVES;
        w->next[flow] = number + 1;
        w->received[flow]++;
    }
}

static uint64_t lost(const struct node *n)
{
    struct pv_datapath_counts c = pv_datapath_counts(n->dp);
    uint64_t sum = c.udp_failed + c.tun_failed;
    for (unsigned i = 0; i < PV_FP_DROP_REASONS; i++)
        sum += c.drops[i];
    return sum;
}

struct totals {
    uint64_t sent, received, lost;
};

static struct totals totals(const struct world *w)
{
    struct totals t = {.lost = lost(&w->a) + lost(&w->b)};
    for (unsigned i = 0; i < PEERS; i++) {
        t.sent += w->sent[i];
        t.received += w->received[i];
    }
    return t;
}

static bool all_sent(const struct world *w)
{
    for (unsigned i = 0; i < PEERS; i++)
        if (w->sent[i] < PER_FLOW)
            return false;
    return true;
}

static void settle(struct world *w)
{
    pv_ns deadline = pv_clock_now() + PV_S(60);
    for (struct totals t = totals(w); t.received + t.lost < t.sent; t = totals(w)) {
        struct pollfd p = {.fd = w->b.host_in, .events = POLLIN};
        (void)poll(&p, 1, 1);
        receive_all(w);
        take_punts(&w->a);
        take_punts(&w->b);
        if (pv_clock_now() > deadline)
            fail_msg("%u workers: %llu sent, %llu came, %llu lost", w->workers,
                     (unsigned long long)t.sent, (unsigned long long)t.received,
                     (unsigned long long)t.lost);
    }
}

static void run_world(unsigned workers, unsigned threads)
{
    static struct world w;
    unsigned round = 0;
    start_world(&w, workers, threads);
    while (!all_sent(&w)) {
        for (unsigned flow = 0; flow < PEERS; flow++) {
            for (unsigned i = 0; i < IN_FLIGHT / PEERS && w.sent[flow] < PER_FLOW; i++)
                if (!send_next(&w, flow))
                    break;
        }
        change_something(&w, round++);
        receive_all(&w);
        settle(&w);
    }
    struct totals t = totals(&w);
    assert_int_equal(t.received + t.lost, t.sent);
    for (unsigned flow = 0; flow < PEERS; flow++)
        assert_true(w.received[flow] > PER_FLOW / 2); /* changes cost little */
    assert_true(round > 60);
    struct pv_datapath_counts c = pv_datapath_counts(w.b.dp);
    assert_int_equal(c.workers, workers);
    assert_int_equal(c.drops[PV_FP_DROP_REPLAY] + c.drops[PV_FP_DROP_AUTH], 0);
}

PV_TEST(one_thread_carries_both_ways)
{
    run_world(1, 1);
}

PV_TEST(one_pair_of_threads_carries_packets)
{
    run_world(1, 2);
}

PV_TEST(two_pairs_carry_packets)
{
    run_world(2, 2);
}

PV_TEST(four_pairs_carry_packets)
{
    run_world(4, 2);
}
