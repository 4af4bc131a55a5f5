/* SPDX-License-Identifier: MIT */
/* Two datapaths joined over loopback; datagram socket pairs stand in for their TUNs, but in the
 * last test, which makes real ones in two network namespaces. */
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/ct.h"
#include "daemon/core/packets/fp_builder.h"
#include "daemon/packets/datapath.h"
#include "sys/helper/helper.h"
#include "sys/net/ipcmd.h"
#include "sys/net/stream.h"
#include "sys/net/udp.h"
#include "sys/proc/clock.h"
#include "tests/unit/faults.h"
#include "tests/unit/helper_ready.h"
#include "tests/unit/test_util.h"

struct node {
    struct pv_datapath *dp;
    struct pv_fp_builder *builder;
    struct test_rng seed;
    struct pv_udp_group udp;
    struct pv_addr addr;  /* of its socket */
    struct pv_addr inner; /* overlay address */
    int tun;              /* the host's side of the TUN */
    uint32_t peer;        /* the other node */
    uint32_t index;       /* our receiver index */
    bool deaf;            /* begins so */
};

struct world {
    struct node node[2];
};

static void set_tun(struct node *n)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    n->tun = pair[0];
    const struct pv_tun tun = {.n = 1, .read = {pair[1]}, .write = {pair[1]}};
    assert_ok(pv_datapath_set_tun(n->dp, &tun));
}

static void publish(struct node *n)
{
    struct pv_fp_snapshot *snap = NULL;
    assert_ok(pv_fp_builder_snapshot(n->builder, &snap));
    assert_ok(pv_datapath_publish(n->dp, snap));
    (void)pv_datapath_reclaim(n->dp, 0);
}

static void init_node(struct node *n, unsigned i, unsigned threads)
{
    const struct pv_udp_opts opts = {.df = true};
    struct pv_addr loopback = pv_addr4(127, 0, 0, 1, 0);
    struct pv_rng rng = test_rng_make(&n->seed, i + 1);
    struct pv_fp_interface iface = {.n_own = 1, .mtu = 1420};
    n->inner = pv_addr4(10, 66, 0, (uint8_t)(i + 1), 0);
    iface.own[0] = n->inner;
    iface.nets[0] = (struct pv_prefix){.base = pv_addr4(10, 66, 0, 0, 0), .bits = 16};
    n->udp = (struct pv_udp_group){.n = 1, .fd6 = {-1}};
    assert_ok(pv_udp_open(&loopback, &opts, &n->udp.fd4[0]));
    assert_ok(pv_udp_local(n->udp.fd4[0], &n->addr));
    struct pv_datapath_config cfg = {.udp = n->udp, .threads = threads, .deaf = n->deaf};
    assert_ok(pv_datapath_new(&n->dp, &cfg));
    assert_ok(pv_fp_builder_new(&n->builder, &rng));
    assert_ok(pv_fp_builder_set_interface(n->builder, &iface));
    assert_ok(pv_fp_builder_add_peer(n->builder, PV_FP_MEMBER, &n->peer));
    n->index = pv_fp_builder_draw_index(n->builder, &rng, 0);
}

/* Keys, route and, if wanted, the path from a to b. */
static void introduce(struct node *a, const struct node *b, uint8_t send, uint8_t recv, bool path)
{
    struct pv_prefix route = {.base = b->inner, .bits = 32};
    struct pv_carrier carrier = {.kind = PV_CARRIER_UDP, .remote = b->addr};
    struct pv_fp_key_init keys = {
        .local_index = a->index, .remote_index = b->index, .birth = pv_clock_now()};
    memset(keys.send_key, send, 32);
    memset(keys.recv_key, recv, 32);
    assert_ok(pv_fp_builder_set_routes(a->builder, a->peer, &route, 1));
    assert_ok(pv_fp_builder_add_keys(a->builder, a->peer, &keys));
    assert_ok(pv_fp_builder_send_with(a->builder, a->peer, a->index));
    if (path)
        assert_ok(pv_fp_builder_set_path(a->builder, a->peer, &carrier, 0));
    publish(a);
}

static void stop_world(void *ctx)
{
    struct world *w = ctx;
    for (unsigned i = 0; i < 2; i++) {
        struct node *n = &w->node[i];
        pv_datapath_free(n->dp);
        pv_fp_builder_free(n->builder);
        pv_udp_group_close(&n->udp);
        if (n->tun >= 0)
            close(n->tun);
    }
}

static void start_world(struct world *w, unsigned threads, bool paths)
{
    memset(w, 0, sizeof(*w));
    w->node[0].tun = w->node[1].tun = -1;
    test_defer(stop_world, w);
    for (unsigned i = 0; i < 2; i++) {
        init_node(&w->node[i], i, threads);
        set_tun(&w->node[i]);
    }
    introduce(&w->node[0], &w->node[1], 1, 2, paths);
    introduce(&w->node[1], &w->node[0], 2, 1, paths);
}

/* A UDP packet from a to b with this number in it; checksum 0 = none (RFC 768). */
static void send_packet(const struct node *a, const struct node *b, uint32_t number)
{
    uint8_t p[36] = {0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17};
    uint32_t sum = 0;
    memcpy(p + 12, a->inner.ip, 4);
    memcpy(p + 16, b->inner.ip, 4);
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
    p[10] = (uint8_t)(~sum >> 8);
    p[11] = (uint8_t)~sum;
    p[21] = p[23] = 9; /* ports */
    p[25] = 16;        /* UDP length */
    memcpy(p + 28, &number, sizeof(number));
    struct pollfd poll_out = {.fd = a->tun, .events = POLLOUT};
    assert_int_equal(poll(&poll_out, 1, 10000), 1);
    assert_int_equal(write(a->tun, p, sizeof(p)), sizeof(p));
}

static uint32_t receive_packet(const struct node *n)
{
    uint8_t p[2048];
    uint32_t number;
    struct pollfd in = {.fd = n->tun, .events = POLLIN};
    assert_int_equal(poll(&in, 1, 10000), 1);
    assert_int_equal(read(n->tun, p, sizeof(p)), 36);
    memcpy(&number, p + 28, sizeof(number));
    return number;
}

/* The next punt of this kind; others are passed over. */
static struct pv_fp_punt wait_punt(struct node *n, enum pv_fp_punt_kind kind, uint8_t bytes[64])
{
    struct pv_fp_punt punt;
    for (;;) {
        struct pollfd in = {.fd = pv_datapath_event_fd(n->dp), .events = POLLIN};
        assert_int_equal(poll(&in, 1, 10000), 1);
        while (pv_datapath_peek_punt(n->dp, &punt) == PV_OK) {
            size_t len = punt.bytes.len < 64 ? punt.bytes.len : 64;
            memcpy(bytes, punt.bytes.ptr, len);
            punt.bytes = pv_view(bytes, len);
            pv_datapath_pop_punt(n->dp);
            if (punt.kind == kind)
                return punt;
        }
    }
}

/* The counts once so many packets are counted: a thread counts after it has written. */
static struct pv_datapath_counts counts_after(const struct node *n, uint64_t written)
{
    struct pv_datapath_counts c = pv_datapath_counts(n->dp);
    for (int ms = 0; c.tun_written < written && ms < 10000; ms++) {
        (void)poll(NULL, 0, 1);
        c = pv_datapath_counts(n->dp);
    }
    return c;
}

PV_TEST(packets_go_both_ways_in_order)
{
    for (unsigned threads = 1; threads <= 2; threads++) {
        static struct world w;
        start_world(&w, threads, true);
        for (uint32_t i = 0; i < 300; i++) {
            send_packet(&w.node[0], &w.node[1], i);
            send_packet(&w.node[1], &w.node[0], 1000 + i);
            if (i % 10 == 9) { /* never more than the socket pair holds */
                for (uint32_t k = i - 9; k <= i; k++) {
                    assert_int_equal(receive_packet(&w.node[1]), k);
                    assert_int_equal(receive_packet(&w.node[0]), 1000 + k);
                }
            }
        }
        struct pv_datapath_counts c = counts_after(&w.node[0], 300);
        assert_int_equal(c.tun_read, 300);
        assert_int_equal(c.tun_written, 300);
        assert_int_equal(c.udp_failed + c.tun_failed + c.punts_lost, 0);
        test_end(&w);
    }
}

/* A queue to lwIP's process holds less than a member may send at once. */
PV_TEST(a_burst_waits_in_order_for_room_in_the_queue)
{
    for (unsigned threads = 1; threads <= 2; threads++) {
        static struct world w;
        start_world(&w, threads, true);
        for (uint32_t i = 0; i < 2000; i++)
            send_packet(&w.node[0], &w.node[1], i);
        /* All of them have a place before the first is read. */
        assert_int_equal(counts_after(&w.node[1], 2000).tun_written, 2000);
        for (uint32_t i = 0; i < 2000; i++)
            assert_int_equal(receive_packet(&w.node[1]), i);
        assert_int_equal(pv_datapath_counts(w.node[1].dp).tun_failed, 0);
        test_end(&w);
    }
}

PV_TEST(packets_wait_for_a_path_and_then_go_in_order)
{
    static struct world w;
    uint8_t bytes[64];
    start_world(&w, 2, false);
    for (uint32_t i = 0; i < 10; i++)
        send_packet(&w.node[0], &w.node[1], i);
    struct pv_fp_punt punt = wait_punt(&w.node[0], PV_FP_PUNT_NEED_PATH, bytes);
    assert_int_equal(punt.peer, w.node[0].peer);
    struct pv_carrier carrier = {.kind = PV_CARRIER_UDP, .remote = w.node[1].addr};
    assert_ok(pv_fp_builder_set_path(w.node[0].builder, w.node[0].peer, &carrier, 0));
    publish(&w.node[0]);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(receive_packet(&w.node[1]), i);
}

/* Takes all punts there are. True: one says that packets for this peer wait for a path. */
static bool drain_punts(struct node *n, uint32_t peer)
{
    struct pv_fp_punt punt;
    bool told = false;
    while (pv_datapath_peek_punt(n->dp, &punt) == PV_OK) {
        told = told || (punt.kind == PV_FP_PUNT_NEED_PATH && punt.peer == peer);
        pv_datapath_pop_punt(n->dp);
    }
    return told;
}

/* Control stands still, while packets for a peer that was never used fill the ring: what another
 * peer needs finds no room then, and is told with its next packet. */
PV_TEST(news_told_once_survives_a_full_ring)
{
    static struct world w;
    struct node *n = &w.node[0];
    const struct node unused = {.inner = pv_addr4(10, 66, 0, 9, 0)};
    const struct pv_prefix route = {.base = unused.inner, .bits = 32};
    uint32_t id;
    uint64_t sent = 0;
    bool told = false;
    start_world(&w, 1, false);
    assert_ok(pv_fp_builder_add_peer(n->builder, PV_FP_MEMBER, &id));
    assert_ok(pv_fp_builder_set_routes(n->builder, id, &route, 1));
    publish(n);
    for (; pv_datapath_counts(n->dp).punts_lost == 0; sent++) {
        assert_true(sent < 100000);
        send_packet(n, &unused, 0);
    }
    send_packet(n, &w.node[1], 0);
    sent++;
    for (int ms = 0; pv_datapath_counts(n->dp).tun_read < sent && ms < 10000; ms++)
        (void)poll(NULL, 0, 1);
    for (int ms = 0; !told && ms < 10000; ms++) {
        told = drain_punts(n, n->peer);
        send_packet(n, &w.node[1], 0);
        (void)poll(NULL, 0, 1);
    }
    assert_true(told);
}

PV_TEST(injected_packets_arrive_as_punts_and_datagrams_are_punted)
{
    for (unsigned threads = 1; threads <= 2; threads++) {
        static struct world w;
        uint8_t bytes[64], inband[12] = {0xc1, 4, 0, 0, 0, 0, 0, 1, 0, 1};
        start_world(&w, threads, true);
        assert_ok(
            pv_datapath_inject(w.node[0].dp, w.node[0].peer, pv_view(inband, sizeof(inband))));
        struct pv_fp_punt punt = wait_punt(&w.node[1], PV_FP_PUNT_INBAND, bytes);
        assert_int_equal(punt.peer, w.node[1].peer);
        assert_memory_equal(bytes, inband, 10);

        /* A WireGuard message 1 from anybody reaches the control side with its source. */
        uint8_t message[148] = {1};
        struct pv_udp_out out = {.dst = w.node[1].addr, .data = {message, sizeof(message)}};
        struct pv_udp_counts counts = {0};
        pv_udp_send(w.node[0].udp.fd4[0], &out, 1, &counts);
        punt = wait_punt(&w.node[1], PV_FP_PUNT_DATAGRAM, bytes);
        assert_true(pv_addr_equal(&punt.from.remote, &w.node[0].addr));
        assert_int_equal(bytes[0], 1);
        test_end(&w);
    }
}

/* Datagrams stay in the socket from the beginning or from then on, whether there is a TUN or not.
 */
PV_TEST(datagrams_wait_until_they_are_to_be_heard)
{
    for (unsigned run = 0; run < 4; run++) {
        static struct world w;
        uint8_t bytes[64], message[148] = {1};
        struct pv_udp_counts counts = {0};
        memset(&w, 0, sizeof(w));
        w.node[0].tun = w.node[1].tun = -1;
        test_defer(stop_world, &w);
        for (unsigned i = 0; i < 2; i++) {
            w.node[i].deaf = run < 2;
            init_node(&w.node[i], i, 1 + run % 2);
        }
        if (run >= 2)
            pv_datapath_hear(w.node[1].dp, false);
        for (unsigned i = 0; i < 3; i++) /* each wakes the threads and waits for them */
            pv_datapath_set_socks(w.node[1].dp, NULL, 0);
        struct pv_udp_out out = {.dst = w.node[1].addr, .data = {message, sizeof(message)}};
        pv_udp_send(w.node[0].udp.fd4[0], &out, 1, &counts);
        for (unsigned i = 0; i < 3; i++) /* each wakes the threads and waits for them */
            pv_datapath_set_socks(w.node[1].dp, NULL, 0);
        assert_int_equal(recv(w.node[1].udp.fd4[0], bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT),
                         sizeof(bytes));
        set_tun(&w.node[1]);
        assert_int_equal(recv(w.node[1].udp.fd4[0], bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT),
                         sizeof(bytes));
        pv_datapath_hear(w.node[1].dp, true);
        (void)wait_punt(&w.node[1], PV_FP_PUNT_DATAGRAM, bytes);
        assert_int_equal(bytes[0], 1);
        test_end(&w);
    }
}

/* From anybody: empty, longer than the receiver's buffers, and as long as there are any. */
PV_TEST(a_datagram_of_any_length_stops_nothing)
{
    static const size_t lengths[] = {0, 1, 31, 2049, 4097, 9001, 65507};
    static uint8_t datagram[65507];
    for (unsigned threads = 1; threads <= 2; threads++) {
        static struct world w;
        struct pv_addr any = pv_addr4(127, 0, 0, 1, 0);
        const struct pv_udp_opts opts = {0};
        int fd = -1;
        start_world(&w, threads, true);
        assert_ok(pv_udp_open(&any, &opts, &fd));
        for (uint32_t i = 0; i < PV_ARRAY_LEN(lengths); i++) {
            struct pv_udp_out out = {.dst = w.node[1].addr, .data = {datagram, lengths[i]}};
            struct pv_udp_counts counts = {0};
            for (datagram[0] = 0; datagram[0] < 5; datagram[0]++)
                pv_udp_send(fd, &out, 1, &counts);
            assert_int_equal(counts.sent, 5);
            send_packet(&w.node[0], &w.node[1], i);
            assert_int_equal(receive_packet(&w.node[1]), i);
        }
        close(fd);
        test_end(&w);
    }
}

PV_TEST(a_datagram_that_control_received_is_opened_like_the_rest)
{
    for (unsigned threads = 1; threads <= 2; threads++) {
        static struct world w;
        const struct pv_udp_opts opts = {.df = true};
        struct pv_addr at = pv_addr4(127, 0, 0, 1, 0);
        struct pv_carrier to = {.kind = PV_CARRIER_UDP};
        uint8_t datagram[256];
        int fd = -1;
        start_world(&w, threads, true);
        assert_ok(pv_udp_open(&at, &opts, &fd));
        assert_ok(pv_udp_local(fd, &to.remote));
        assert_ok(pv_fp_builder_set_path(w.node[0].builder, w.node[0].peer, &to, 0));
        publish(&w.node[0]);
        for (uint32_t i = 0; i < 20; i++) {
            send_packet(&w.node[0], &w.node[1], i);
            struct pollfd in = {.fd = fd, .events = POLLIN};
            assert_int_equal(poll(&in, 1, 10000), 1);
            ssize_t len = recv(fd, datagram, sizeof(datagram), 0);
            assert_true(len > 0);
            const struct pv_carrier from = {
                .kind = PV_CARRIER_UDP, .sock = 7, .remote = w.node[0].addr};
            assert_ok(pv_datapath_hand(w.node[1].dp, &from, 0, pv_view(datagram, (size_t)len)));
            assert_int_equal(receive_packet(&w.node[1]), i);
        }
        close(fd);
        test_end(&w);
    }
}

/* The one thread waits a little for control to follow the static peer, and after its sends: what
 * control has for it meanwhile is not slept over. */
PV_TEST(a_packet_injected_while_a_static_peer_moves_is_sent)
{
    static struct world w;
    const struct pv_udp_opts opts = {.df = true};
    struct pv_addr at = pv_addr4(127, 0, 0, 1, 0);
    struct pv_carrier old = {.kind = PV_CARRIER_UDP};
    struct node *n = &w.node[1];
    uint8_t bytes[64];
    int fd = -1;
    start_world(&w, 1, true);
    assert_ok(pv_udp_open(&at, &opts, &fd));
    assert_ok(pv_udp_local(fd, &old.remote));
    assert_ok(pv_fp_builder_remove_peer(n->builder, n->peer));
    assert_ok(pv_fp_builder_add_peer(n->builder, PV_FP_STATIC, &n->peer));
    introduce(n, &w.node[0], 2, 1, false);
    assert_ok(pv_fp_builder_set_path(n->builder, n->peer, &old, 0));
    publish(n);
    send_packet(&w.node[0], n, 1);
    (void)wait_punt(n, PV_FP_PUNT_STRAY, bytes);
    assert_ok(pv_datapath_inject(n->dp, n->peer, pv_view(NULL, 0)));
    struct pollfd in = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&in, 1, 5000), 1);
    assert_int_equal(receive_packet(n), 1);
    close(fd);
}

PV_TEST(a_packet_injected_before_the_end_is_sent)
{
    static struct world w;
    uint8_t bytes[64], inband[12] = {0xc1, 4, 0, 0, 0, 0, 0, 1, 0, 1};
    start_world(&w, 2, true);
    for (unsigned i = 0; i < 200; i++)
        assert_ok(
            pv_datapath_inject(w.node[0].dp, w.node[0].peer, pv_view(inband, sizeof(inband))));
    w.node[0].dp = pv_datapath_free(w.node[0].dp);
    for (unsigned i = 0; i < 200; i++)
        (void)wait_punt(&w.node[1], PV_FP_PUNT_INBAND, bytes);
}

PV_TEST(the_tun_may_come_go_and_change)
{
    static struct world w;
    start_world(&w, 2, true);
    for (uint32_t round = 0; round < 20; round++) {
        send_packet(&w.node[0], &w.node[1], round);
        assert_int_equal(receive_packet(&w.node[1]), round);
        close(w.node[1].tun);
        assert_ok(pv_datapath_set_tun(w.node[1].dp, NULL));
        set_tun(&w.node[1]);
    }
    assert_false(pv_datapath_tun_is_gone(w.node[1].dp));
}

/* A TCP super-packet of two segments from a to b, as a TUN with all offloads gives it. */
static void send_super(const struct node *a, const struct node *b, uint8_t mark)
{
    enum {
        HEAD = 40,
        SIZE = 1000
    };
    uint8_t p[PV_VNET_LEN + HEAD + 2 * SIZE] = {0}, *ip = p + PV_VNET_LEN;
    const struct pv_offload offload = {.kind = PV_OFFLOAD_TCP4,
                                       .needs_csum = true,
                                       .size = SIZE,
                                       .csum_start = 20,
                                       .csum_offset = 16};
    pv_vnet_encode(p, &offload);
    memcpy(ip, "\x45\x00\x07\xf8\x00\x00\x40\x00\x40\x06", 10);
    memcpy(ip + 12, a->inner.ip, 4);
    memcpy(ip + 16, b->inner.ip, 4);
    ip[32] = 0x50;
    ip[33] = 0x10;
    memset(ip + HEAD, mark, 2 * SIZE);
    assert_int_equal(write(a->tun, p, sizeof(p)), sizeof(p));
}

/* The next packet of b's host, without its header: bytes of packet and their mark. */
static size_t receive_marked(const struct node *b, uint8_t *ret_mark)
{
    uint8_t p[4096];
    struct pollfd in = {.fd = b->tun, .events = POLLIN};
    assert_int_equal(poll(&in, 1, 10000), 1);
    ssize_t n = read(b->tun, p, sizeof(p));
    assert_true(n > PV_VNET_LEN + 40);
    *ret_mark = p[n - 1];
    return (size_t)n - PV_VNET_LEN;
}

static const char *why_off(const struct node *n, const char *what)
{
    static struct pv_datapath_counts c;
    c = pv_datapath_counts(n->dp);
    for (size_t i = 0; i < c.n_off; i++)
        if (strcmp(c.off[i].what, what) == 0)
            return c.off[i].why;
    return NULL;
}

PV_TEST(super_packets_that_the_tun_refuses_are_given_up)
{
    static struct world w;
    uint8_t mark = 0;
    faults.tun = true;
    faults.tun_takes = 0x07; /* before Linux 6.2 */
    start_world(&w, 2, true);
    send_super(&w.node[0], &w.node[1], 1);
    assert_int_equal(receive_marked(&w.node[1], &mark), 2040);
    assert_null(why_off(&w.node[1], "tcp_join"));
    assert_string_equal(why_off(&w.node[1], "tun_uso"), "needs Linux 6.2");
    assert_non_null(why_off(&w.node[1], "udp_gro")); /* not asked for */
    faults.joined = EINVAL;
    send_super(&w.node[0], &w.node[1], 2); /* lost, as on a line */
    while (why_off(&w.node[1], "tcp_join") == NULL)
        (void)poll(NULL, 0, 1);
    send_super(&w.node[0], &w.node[1], 3);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(receive_marked(&w.node[1], &mark), 1040);
        assert_int_equal(mark, 3);
    }
    faults.segment = EIO;
    send_super(&w.node[0], &w.node[1], 4);
    assert_int_equal(receive_marked(&w.node[1], &mark), 1040);
    assert_int_equal(receive_marked(&w.node[1], &mark), 1040);
    while (why_off(&w.node[0], "udp_segment") == NULL)
        (void)poll(NULL, 0, 1);
    assert_memory_equal(why_off(&w.node[0], "udp_segment"), "EIO", 3);
    memset(&faults, 0, sizeof(faults));
}

PV_TEST(snapshots_change_under_traffic)
{
    static struct world w;
    start_world(&w, 2, true);
    for (uint32_t i = 0; i < 500; i++) {
        send_packet(&w.node[0], &w.node[1], i);
        publish(&w.node[i % 2]);
        assert_int_equal(receive_packet(&w.node[1]), i);
    }
    /* All old snapshots go once the threads have gone to sleep or on. */
    pv_ns deadline = pv_clock_now() + PV_S(10);
    while (pv_datapath_reclaim(w.node[0].dp, 0) != PV_NEVER)
        assert_true(pv_clock_now() < deadline);
}

/* --- real TUNs ----------------------------------------------------------------------------- */

/* Gives the node a TUN in a namespace of its own, where the caller stays; sockets opened before
 * keep theirs. */
static struct pv_helper *enter_namespace(struct node *n)
{
    struct pv_helper_iface iface = {.n_addrs = 1, .mtu = 1420, .queues = 1};
    struct pv_helper *h = NULL;
    char error[PV_HELPER_ERROR_MAX];
    struct pv_tun tun;
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    assert_ok(pv_helper_start(&h, NULL));
    assert_ok(helper_ready(h, "pvt0"));
    iface.addrs[0] = (struct pv_prefix){.base = n->inner, .bits = 16};
    assert_ok(pv_helper_iface_up(h, &iface, &tun, error));
    close(n->tun);
    n->tun = -1;
    assert_ok(pv_datapath_set_tun(n->dp, &tun));
    return h;
}

static void wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    assert_int_equal(poll(&p, 1, 10000), 1);
}

/* Until there is something to read or, if there is more to send, room for it. Both count: a full
 * socket empties by acknowledgements alone once all that it sent was read. */
static void wait_for_either(int to, int from, bool more)
{
    struct pollfd p[2] = {{.fd = to, .events = POLLIN}, {.fd = from, .events = POLLOUT}};
    assert_true(poll(p, more ? 2 : 1, 10000) > 0);
}

/* Sends total bytes of a pattern from one end and checks them at the other. */
static void transfer(int from, int to, size_t total)
{
    static uint8_t out[8192], in[8192];
    size_t sent = 0, got = 0;
    while (got < total) {
        size_t want = total - sent < sizeof(out) ? total - sent : sizeof(out), n = 0;
        for (size_t i = 0; i < want; i++)
            out[i] = (uint8_t)((sent + i) * 31 >> 3);
        if (want > 0 && pv_stream_write(from, pv_view(out, want), &n) == PV_OK)
            sent += n;
        if (pv_stream_read(to, in, sizeof(in), &n) != PV_OK) {
            wait_for_either(to, from, sent < total);
            continue;
        }
        for (size_t i = 0; i < n; i++)
            assert_int_equal(in[i], (uint8_t)((got + i) * 31 >> 3));
        got += n;
    }
}

PV_TEST(real_tuns_carry_tcp_between_two_namespaces)
{
    const struct pv_stream_bind nowhere = {0};
    char complaint[PV_IPCMD_ERROR_MAX];
    static struct world w;
    if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) < 0 || unshare(CLONE_NEWNET) < 0) {
        printf("skipped: needs root, TUN and namespaces\n");
        skip();
    }
    assert_ok(pv_ipcmd_run("link set dev lo up\n", complaint));
    start_world(&w, 2, true);
    struct pv_helper *h0 = enter_namespace(&w.node[0]);
    struct pv_addr addr = w.node[0].inner, remote, local;
    int listener = -1, client = -1, server = -1;
    addr.port = 7777;
    assert_ok(pv_stream_listen(&addr, NULL, &listener));
    struct pv_helper *h1 = enter_namespace(&w.node[1]);
    assert_ok(pv_stream_connect(&addr, &nowhere, &client));
    wait_for(listener, POLLIN);
    assert_ok(pv_stream_accept(listener, &server, &remote, &local));
    assert_true(pv_addr_equal_ip(&remote, &w.node[1].inner));
    transfer(client, server, 1 << 20);
    transfer(server, client, 1 << 20);
    close(client);
    close(server);
    close(listener);
    pv_helper_stop(h0);
    pv_helper_stop(h1);
}
