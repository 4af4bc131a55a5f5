/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/net/udp.h"
#include "tests/unit/test_port.h"

static const struct pv_udp_opts plain = {.df = true};

static struct pv_addr loopback(int v6, uint16_t port)
{
    static const uint8_t one[16] = {[15] = 1};
    return v6 ? pv_addr6(one, port) : pv_addr4(127, 0, 0, 1, port);
}

static void wait_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1);
}

/* A group of one on addr, and its address. */
static int share_on(struct pv_addr addr, struct pv_addr *ret)
{
    int fds[PV_UDP_GROUP_MAX];
    assert_ok(pv_udp_open_group(&addr, &plain, 1, fds));
    assert_ok(pv_udp_local(fds[0], ret));
    return fds[0];
}

/* A bound socket and its address. */
static int open_on(struct pv_addr addr, const struct pv_udp_opts *opts, struct pv_addr *ret)
{
    int fd = -1;
    assert_ok(pv_udp_open(&addr, opts, &fd));
    assert_ok(pv_udp_local(fd, ret));
    return fd;
}

PV_TEST(batches_arrive_in_order_with_both_addresses)
{
    for (int v6 = 0; v6 < 2; v6++) {
        struct pv_addr any = {.family = v6 ? PV_AF_INET6 : PV_AF_INET}, to, from;
        int rx_fd = share_on(any, &to);
        int tx_fd = open_on(loopback(v6, 0), &plain, &from);
        struct pv_addr dst = loopback(v6, to.port), want_local = loopback(v6, 0);
        uint8_t body[100][2];
        struct pv_udp_out out[100];
        for (uint8_t i = 0; i < 100; i++) {
            body[i][0] = i;
            out[i] = (struct pv_udp_out){
                .dst = dst, .local = want_local, .data = {body[i], 2}, .ttl = i % 2 ? 5 : 0};
        }
        struct pv_udp_counts counts = {0};
        pv_udp_send(tx_fd, out, 100, &counts);
        assert_int_equal(counts.sent, 100);

        struct pv_udp_receiver *rx = NULL;
        assert_ok(pv_udp_receiver_new(&rx, 64, 2048));
        unsigned got = 0;
        while (got < 100) {
            struct pv_udp_in *in = NULL;
            size_t n = 0;
            wait_readable(rx_fd);
            assert_ok(pv_udp_recv(rx, rx_fd, &in, &n));
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(in[i].len, 2);
                assert_int_equal(in[i].ptr[0], got++);
                assert_true(pv_addr_equal(&in[i].src, &from));
                assert_true(pv_addr_equal_ip(&in[i].local, &want_local));
                assert_false(in[i].cut);
            }
        }
        struct pv_udp_in *none = NULL;
        size_t n = 0;
        assert_int_equal(pv_udp_recv(rx, rx_fd, &none, &n), PV_ERR_AGAIN);
        pv_udp_receiver_free(rx);
        close(rx_fd);
        close(tx_fd);
    }
}

/* The IP options of a datagram that we send to ourselves, as it arrives: this machine has counted
 * one more. */
static size_t options_of(const struct pv_udp_out *out, uint8_t *options, size_t cap)
{
    struct pv_addr to, from;
    int rx_fd = open_on(loopback(0, 0), &plain, &to),
        tx_fd = open_on(loopback(0, 0), &plain, &from);
    int on = 1;
    assert_int_equal(setsockopt(rx_fd, IPPROTO_IP, IP_RECVOPTS, &on, sizeof(on)), 0);
    struct pv_udp_out here = *out;
    here.dst = to;
    struct pv_udp_counts counts = {0};
    pv_udp_send(tx_fd, &here, 1, &counts);
    assert_int_equal(counts.sent, 1);
    wait_readable(rx_fd);
    uint8_t body[8], control[256];
    struct iovec iov = {.iov_base = body, .iov_len = sizeof(body)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    assert_int_equal(recvmsg(rx_fd, &msg, 0), 1);
    size_t len = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_RECVOPTS)
            continue;
        len = c->cmsg_len - CMSG_LEN(0);
        assert_true(len <= cap);
        memcpy(options, CMSG_DATA(c), len);
    }
    close(rx_fd);
    close(tx_fd);
    return len;
}

PV_TEST(an_opener_is_let_in_by_fewer_machines_than_its_ttl)
{
    struct pv_udp_out out = {.data = pv_view("x", 1), .ttl = 2};
    uint8_t options[40];
    assert_int_equal(options_of(&out, options, sizeof(options)), 0);
    out.opener = true;
    /* This machine was the first; the next one would let in nothing whose count is 15. */
    for (uint8_t ttl = 2; ttl <= 16; ttl++) {
        out.ttl = ttl;
        assert_int_equal(options_of(&out, options, sizeof(options)), 4);
        const uint8_t full[4] = {68, 4, 5, (uint8_t)((17 - ttl) << 4)};
        assert_memory_equal(options, full, sizeof(full));
    }
    out.ttl = 17; /* more than can be counted */
    assert_int_equal(options_of(&out, options, sizeof(options)), 0);
    out.ttl = 0;
    assert_int_equal(options_of(&out, options, sizeof(options)), 0);
}

/* Until datagrams are stamped when they come: the kernel begins with it a moment after the first
 * socket asks, and stamps what came before when it is read. */
static void wait_for_stamps(int rx_fd, int tx_fd, const struct pv_addr *to)
{
    const struct pv_udp_out out = {.dst = *to, .data = pv_view("x", 1)};
    struct pv_udp_counts counts = {0};
    struct pv_udp_receiver *rx = NULL;
    struct pv_udp_in *in = NULL;
    size_t n = 0;
    assert_ok(pv_udp_receiver_new(&rx, 1, 64));
    do {
        pv_udp_send(tx_fd, &out, 1, &counts);
        wait_readable(rx_fd);
        (void)poll(NULL, 0, 2); /* ms that it lies there */
        assert_ok(pv_udp_recv(rx, rx_fd, &in, &n));
    } while (in[0].waited < PV_MS(1));
    pv_udp_receiver_free(rx);
}

/* How many datagrams of len bytes each call gives, of 100 that wait. */
static void receive_calls(size_t len, size_t calls[static 100])
{
    static const struct pv_udp_opts opts = {.waited = true};
    static uint8_t body[60000];
    struct pv_addr to, from;
    int rx_fd = open_on(loopback(0, 0), &opts, &to), tx_fd = open_on(loopback(0, 0), &plain, &from);
    const struct pv_udp_out out = {.dst = to, .data = {body, len}};
    struct pv_udp_counts counts = {0};
    wait_for_stamps(rx_fd, tx_fd, &to);
    for (unsigned i = 0; i < 100; i++)
        pv_udp_send(tx_fd, &out, 1, &counts);
    assert_int_equal(counts.sent, 100);
    struct pv_udp_receiver *rx = NULL;
    assert_ok(pv_udp_receiver_new(&rx, 16, 65536));
    for (size_t got = 0, k = 0; got < 100; got += calls[k++]) {
        struct pv_udp_in *in = NULL;
        wait_readable(rx_fd);
        assert_ok(pv_udp_recv(rx, rx_fd, &in, &calls[k]));
        for (size_t i = 0; i < calls[k]; i++) {
            assert_int_equal(in[i].len, len);
            assert_true(in[i].waited > 0 && in[i].waited < PV_S(60));
            assert_true(i == 0 || in[i].waited <= in[i - 1].waited);
        }
    }
    pv_udp_receiver_free(rx);
    close(rx_fd);
    close(tx_fd);
}

PV_TEST(a_call_takes_many_small_datagrams_and_few_long_ones)
{
    size_t calls[100];
    receive_calls(10, calls);
    assert_int_equal(calls[0], 8);
    for (unsigned i = 1; i < 6; i++)
        assert_int_equal(calls[i], 16);
    receive_calls(60000, calls);
    for (unsigned i = 0; i < 12; i++)
        assert_int_equal(calls[i], 8);
}

PV_TEST(a_datagram_longer_than_the_buffer_is_marked)
{
    struct pv_addr to, from;
    int a = open_on(loopback(0, 0), &plain, &to), b = open_on(loopback(0, 0), &plain, &from);
    uint8_t body[65] = {0};
    struct pv_udp_out out[2] = {{.dst = to, .data = {body, 64}}, {.dst = to, .data = {body, 65}}};
    struct pv_udp_counts counts = {0};
    pv_udp_send(b, out, 2, &counts);
    struct pv_udp_receiver *rx = NULL;
    assert_ok(pv_udp_receiver_new(&rx, 8, 64));
    struct pv_udp_in *in = NULL;
    size_t n = 0;
    wait_readable(a);
    assert_ok(pv_udp_recv(rx, a, &in, &n));
    assert_int_equal(n, 2);
    assert_false(in[0].cut);
    assert_true(in[1].cut);
    pv_udp_receiver_free(rx);
    close(a);
    close(b);
}

PV_TEST(a_port_in_use_is_an_error_also_for_a_shared_socket)
{
    for (int v6 = 0; v6 < 2; v6++) {
        struct pv_addr any = {.family = v6 ? PV_AF_INET6 : PV_AF_INET}, addr;
        int fd = share_on(any, &addr), other = -1, others[PV_UDP_GROUP_MAX] = {-1};
        assert_int_equal(pv_udp_open_group(&addr, &plain, 2, others), PV_ERR_EXISTS);
        assert_int_equal(others[0], -1);
        assert_int_equal(pv_udp_open(&addr, &plain, &other), PV_ERR_EXISTS);
        assert_int_equal(other, -1);
        close(fd);
    }
}

PV_TEST(both_families_may_have_the_same_port)
{
    struct pv_addr any4 = {.family = PV_AF_INET}, any6 = {.family = PV_AF_INET6}, got;
    int fd4 = share_on(any4, &got);
    any6.port = got.port;
    int fd6 = share_on(any6, &got);
    close(fd4);
    close(fd6);
}

PV_TEST(a_waiting_icmp_error_does_not_eat_the_next_datagram)
{
    struct pv_addr gone, to, from;
    int dead = test_port_unreachable(&gone);
    int rx_fd = open_on(loopback(0, 0), &plain, &to),
        tx_fd = open_on(loopback(0, 0), &plain, &from);
    struct pv_udp_out bad = {.dst = gone, .data = pv_view("x", 1)};
    struct pv_udp_out good = {.dst = to, .data = pv_view("yes", 3)};
    struct pv_udp_counts counts = {0};
    pv_udp_send(tx_fd, &bad, 1, &counts);
    pv_udp_send(tx_fd, &good, 1, &counts);
    assert_int_equal(counts.sent, 2);
    assert_int_equal(counts.icmp, 1);
    struct pv_udp_receiver *rx = NULL;
    assert_ok(pv_udp_receiver_new(&rx, 1, 64));
    struct pv_udp_in *in = NULL;
    size_t n = 0;
    wait_readable(rx_fd);
    assert_ok(pv_udp_recv(rx, rx_fd, &in, &n));
    assert_memory_equal(in[0].ptr, "yes", 3);

    /* A socket with only an error waiting is not "readable for ever". */
    pv_udp_send(tx_fd, &bad, 1, &counts);
    assert_int_equal(pv_udp_recv(rx, tx_fd, &in, &n), PV_ERR_AGAIN);
    struct pollfd p = {.fd = tx_fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    pv_udp_receiver_free(rx);
    close(dead);
    close(rx_fd);
    close(tx_fd);
}

PV_TEST(errors_name_the_destination_and_the_reason)
{
    struct pv_addr gone, from;
    int dead = test_port_unreachable(&gone);
    int fd = open_on(loopback(0, 0), &plain, &from);
    struct pv_udp_out bad = {.dst = gone, .data = pv_view("x", 1)};
    struct pv_udp_counts counts = {0};
    pv_udp_send(fd, &bad, 1, &counts);
    struct pv_udp_error error;
    assert_ok(pv_udp_read_error(fd, &error));
    assert_true(pv_addr_equal(&error.dst, &gone));
    assert_int_equal(error.err, ECONNREFUSED);
    assert_false(error.local);
    assert_int_equal(pv_udp_read_error(fd, &error), PV_ERR_AGAIN);
    close(dead);
    close(fd);
}

PV_TEST(a_datagram_that_fails_does_not_stop_the_others)
{
    struct pv_addr to, from;
    int rx_fd = open_on(loopback(0, 0), &plain, &to),
        tx_fd = open_on(loopback(0, 0), &plain, &from);
    static uint8_t big[65508]; /* one more than IPv4 UDP carries */
    struct pv_udp_out out[4] = {
        {.dst = to, .data = pv_view("1", 1)},
        {.dst = to, .data = {big, sizeof(big)}},
        {.dst = to, .data = pv_view("2", 1), .local = pv_addr4(192, 0, 2, 77, 0)}, /* not ours */
        {.dst = to, .data = pv_view("3", 1)},
    };
    struct pv_udp_counts counts = {0};
    pv_udp_send(tx_fd, out, 4, &counts);
    assert_int_equal(counts.sent, 2);
    assert_int_equal(counts.too_big, 1);
    assert_int_equal(counts.failed, 1);
    close(rx_fd);
    close(tx_fd);
}

/* Sends the run from one new socket and counts what another gets: bytes in order, datagrams, reads.
 */
static void pass_run(const struct pv_udp_opts *rx_opts, struct pv_udp_out out,
                     struct pv_udp_counts *counts, size_t want, size_t *ret_datagrams,
                     size_t *ret_reads)
{
    struct pv_addr to, from;
    bool v6 = out.dst.family == PV_AF_INET6;
    int rx_fd = open_on(loopback(v6, 0), rx_opts, &to);
    int tx_fd = open_on(loopback(v6, 0), &plain, &from);
    out.dst = to;
    pv_udp_send(tx_fd, &out, 1, counts);
    struct pv_udp_receiver *rx = NULL;
    assert_ok(pv_udp_receiver_new(&rx, 4, 65536));
    size_t bytes = 0;
    *ret_datagrams = *ret_reads = 0;
    while (bytes < want) {
        struct pv_udp_in *in = NULL;
        size_t n = 0;
        wait_readable(rx_fd);
        assert_ok(pv_udp_recv(rx, rx_fd, &in, &n));
        for (size_t i = 0; i < n; i++) {
            assert_memory_equal(in[i].ptr, out.data.ptr + bytes, in[i].len);
            assert_int_equal(in[i].ecn, rx_opts->ecn ? out.ecn : 0);
            size_t segment = in[i].segment == 0 ? in[i].len : in[i].segment;
            *ret_datagrams += (in[i].len + segment - 1) / segment;
            bytes += in[i].len;
        }
        *ret_reads += n;
    }
    assert_int_equal(bytes, want);
    pv_udp_receiver_free(rx);
    close(rx_fd);
    close(tx_fd);
}

PV_TEST(a_run_is_sent_as_one_and_comes_merged_where_asked_for)
{
    static const struct pv_udp_opts merged = {.gro = true, .ecn = true};
    static uint8_t body[60000];
    size_t datagrams, reads;
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (uint8_t)(i ^ i >> 8);
    for (int v6 = 0; v6 < 2; v6++) {
        struct pv_udp_counts counts = {0};
        struct pv_udp_out out = {
            .dst = loopback(v6, 1), .data = {body, 30100}, .segment = 1000, .ecn = 2};
        pass_run(&plain, out, &counts, 30100, &datagrams, &reads);
        assert_int_equal(datagrams, 31);
        assert_int_equal(reads, 31);
        pass_run(&merged, out, &counts, 30100, &datagrams, &reads);
        assert_int_equal(datagrams, 31);
        assert_true(reads < 31);
        out.data.len = 1000; /* a run of one is a datagram */
        pass_run(&merged, out, &counts, 1000, &datagrams, &reads);
        assert_int_equal(reads, 1);
        assert_int_equal(counts.sent, 63);
        assert_int_equal(counts.split, 0);
    }
}

PV_TEST(a_run_whose_datagrams_lie_apart_is_sent_as_one)
{
    static const struct pv_udp_opts merged = {.gro = true};
    static uint8_t body[20 * 300], apart[20 * 1000];
    struct pv_view parts[20];
    struct pv_udp_counts counts = {0};
    size_t datagrams, reads;
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (uint8_t)(i ^ i >> 8);
    for (size_t i = 0; i < PV_ARRAY_LEN(parts); i++) {
        parts[i] = pv_view(apart + (19 - i) * 1000, i == 19 ? 100 : 300);
        memcpy(apart + (19 - i) * 1000, body + i * 300, 300);
    }
    struct pv_udp_out out = {.dst = loopback(0, 1),
                             .data = {body, 1}, /* what is expected, and not looked at */
                             .segment = 300,
                             .parts = parts,
                             .n_parts = 20};
    pass_run(&plain, out, &counts, 19 * 300 + 100, &datagrams, &reads);
    assert_int_equal(datagrams, 20);
    pass_run(&merged, out, &counts, 19 * 300 + 100, &datagrams, &reads);
    assert_int_equal(datagrams, 20);
    assert_true(reads < 20);
    assert_int_equal(counts.sent, 40);
    assert_int_equal(counts.split, 0);
    counts.no_segment = true; /* a kernel without UDP_SEGMENT */
    pass_run(&merged, out, &counts, 19 * 300 + 100, &datagrams, &reads);
    assert_int_equal(reads, 20);
    assert_int_equal(counts.split, 1);
    out.n_parts = 1;
    pass_run(&plain, out, &counts, 300, &datagrams, &reads);
    assert_int_equal(counts.sent, 61);
}

PV_TEST(a_deep_receiver_keeps_its_rows_and_takes_what_is_longer_than_its_buffers)
{
    enum {
        ROWS = 3,
        CAP = 200,
        N = 2 * PV_UDP_BATCH + 10
    };
    static const struct pv_udp_opts merged = {.gro = true};
    static uint8_t body[N][CAP], run[20 * 300];
    struct pv_udp_in kept[ROWS][PV_UDP_BATCH];
    struct pv_udp_receiver *rx = NULL;
    struct pv_udp_counts counts = {0};
    struct pv_addr to, from;
    struct pv_udp_in *in = NULL;
    size_t n = 0, total = 0;
    bool is_long = true;
    int rx_fd = open_on(loopback(0, 0), &merged, &to);
    int tx_fd = open_on(loopback(0, 0), &plain, &from);
    assert_ok(pv_udp_receiver_new_deep(&rx, ROWS, CAP));
    for (size_t i = 0; i < N; i++) {
        /* Lengths differ, so that nothing is merged. */
        struct pv_udp_out out = {.dst = to, .data = {body[i], 1 + i % CAP}};
        memset(body[i], (int)i, CAP);
        pv_udp_send(tx_fd, &out, 1, &counts);
    }
    for (size_t row = 0; row < ROWS; row++) {
        wait_readable(rx_fd);
        assert_ok(pv_udp_recv_row(rx, rx_fd, row, &in, &n, &is_long));
        assert_false(is_long);
        assert_int_equal(n, row < 2 ? PV_UDP_BATCH : 10);
        memcpy(kept[row], in, n * sizeof(in[0]));
    }
    for (size_t i = 0; i < N; i++) {
        const struct pv_udp_in *got = &kept[i / PV_UDP_BATCH][i % PV_UDP_BATCH];
        assert_int_equal(got->len, 1 + i % CAP);
        assert_memory_equal(got->ptr, body[i], got->len);
        assert_false(got->cut);
    }
    for (size_t i = 0; i < sizeof(run); i++)
        run[i] = (uint8_t)(i ^ i >> 8);
    struct pv_udp_out out = {.dst = to, .data = {run, sizeof(run)}, .segment = 300};
    pv_udp_send(tx_fd, &out, 1, &counts);
    while (total < sizeof(run)) {
        wait_readable(rx_fd);
        assert_ok(pv_udp_recv_row(rx, rx_fd, 1, &in, &n, &is_long));
        assert_true(is_long);
        for (size_t i = 0; i < n; i++) {
            assert_memory_equal(in[i].ptr, run + total, in[i].len);
            assert_false(in[i].cut);
            total += in[i].len;
        }
    }
    assert_int_equal(total, sizeof(run));
    pv_udp_receiver_free(rx);
    close(rx_fd);
    close(tx_fd);
}

PV_TEST(a_run_the_kernel_refuses_is_sent_one_by_one_from_then_on)
{
    static uint8_t body[1300];
    size_t datagrams, reads;
    struct pv_udp_counts counts = {0};
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (uint8_t)i;
    /* More segments than any kernel takes: EINVAL, as if it did not know them. */
    struct pv_udp_out out = {.dst = loopback(0, 1), .data = {body, 1300}, .segment = 10};
    pass_run(&plain, out, &counts, 1300, &datagrams, &reads);
    assert_int_equal(datagrams, 130);
    assert_int_equal(counts.sent, 130);
    assert_int_equal(counts.split, 1);
    assert_true(counts.no_segment);
    out.segment = 500;
    pass_run(&plain, out, &counts, 1300, &datagrams, &reads);
    assert_int_equal(datagrams, 3);
    assert_int_equal(counts.split, 2);
}

/* --- groups -------------------------------------------------------------------------------- */

enum {
    GROUP = 3, /* not a power of two */
};

struct group {
    int fds[PV_UDP_GROUP_MAX];
    int sender, silent; /* silent: joined last, and sends only */
    struct pv_addr to, from;
    struct pv_udp_receiver *rx;
};

static void open_group(struct group *g, int v6)
{
    const struct pv_udp_opts opts = {.df = true, .gro = true};
    struct pv_addr any = {.family = v6 ? PV_AF_INET6 : PV_AF_INET};
    assert_ok(pv_udp_open_group(&any, &opts, GROUP, g->fds));
    assert_ok(pv_udp_local(g->fds[0], &any));
    assert_ok(pv_udp_join(g->fds[0], &opts, &g->silent));
    g->to = loopback(v6, any.port);
    g->sender = open_on(loopback(v6, 0), &plain, &g->from);
    assert_ok(pv_udp_receiver_new(&g->rx, 16, 65536));
}

static void close_group(struct group *g)
{
    for (size_t i = 0; i < GROUP; i++)
        close(g->fds[i]);
    close(g->silent);
    close(g->sender);
    pv_udp_receiver_free(g->rx);
}

static void send_to_group(struct group *g, struct pv_view data, uint16_t segment)
{
    struct pv_udp_out out = {.dst = g->to, .data = data, .segment = segment};
    struct pv_udp_counts counts = {0};
    pv_udp_send(g->sender, &out, 1, &counts);
    assert_int_equal(counts.failed + counts.too_big + counts.full, 0);
}

/* Which member has something, all of which is then taken; -1: none. Loopback delivers at once. */
static int who_got(struct group *g)
{
    int who = -1;
    for (int i = 0; i <= GROUP; i++) {
        struct pv_udp_in *in = NULL;
        size_t n = 0;
        while (pv_udp_recv(g->rx, i < GROUP ? g->fds[i] : g->silent, &in, &n) == PV_OK) {
            assert_true(who == -1 || who == i);
            who = i;
        }
    }
    return who;
}

PV_TEST(a_group_gives_transport_data_to_the_owner_of_its_index)
{
    static const struct {
        const char *what;
        uint8_t first[12];
        size_t len;
        int who;
    } rows[] = {
        {"transport data of index 0", {4, 0, 0, 0, 0, 9, 9, 9}, 32, 0},
        {"of index 1", {4, 0, 0, 0, 1, 9, 9, 9}, 32, 1},
        {"of index 2", {4, 0, 0, 0, 2, 9, 9, 9}, 32, 2},
        {"of an index that is nobody's, where the send-only socket is", {4, 0, 0, 0, 3}, 32, 0},
        {"of the highest index", {4, 0, 0, 0, 255}, 32, 0},
        {"cut before its index", {4, 0, 0}, 3, 0},
        {"message 1", {1, 0, 0, 0, 2}, 148, 0},
        {"message 2", {2, 0, 0, 0, 2, 0, 0, 0, 2}, 92, 0},
        {"message 3", {3, 0, 0, 0, 2}, 64, 0},
        {"STUN", {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, 20, 0},
        {"a STUN answer whose fifth byte is a worker", {1, 1, 0, 0, 2}, 20, 0},
        {"ChannelData with transport data in it", {0x40, 2, 0, 28, 4, 0, 0, 0, 2}, 36, 0},
        {"junk", {0xff, 0, 0, 0, 1}, 5, 0},
        {"an empty datagram", {0}, 0, 0},
    };
    for (int v6 = 0; v6 < 2; v6++) {
        struct group g;
        open_group(&g, v6);
        for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
            uint8_t bytes[160] = {0};
            memcpy(bytes, rows[i].first, sizeof(rows[i].first));
            send_to_group(&g, pv_view(bytes, rows[i].len), 0);
            int who = who_got(&g);
            if (who != rows[i].who)
                fail_msg("%s came out of socket %d, not %d", rows[i].what, who, rows[i].who);
        }
        close_group(&g);
    }
}

/* The kernel merges by addresses and ports alone, and steers by the first. */
PV_TEST(a_run_for_one_owner_stays_whole)
{
    enum {
        ONE = 100,
        MANY = 40
    };
    uint8_t run[ONE * MANY] = {0};
    struct group g;
    struct pv_udp_in *in = NULL;
    size_t n = 0, got = 0;
    open_group(&g, 0);
    for (size_t i = 0; i < MANY; i++) {
        run[i * ONE] = 4;
        run[i * ONE + 4] = 2; /* the owner; the index differs with the keys */
        run[i * ONE + 5] = (uint8_t)i;
    }
    send_to_group(&g, pv_view(run, sizeof(run)), ONE);
    while (got < sizeof(run)) {
        wait_readable(g.fds[2]);
        assert_ok(pv_udp_recv(g.rx, g.fds[2], &in, &n));
        for (size_t i = 0; i < n; i++) {
            assert_memory_equal(in[i].ptr, run + got, in[i].len);
            got += in[i].len;
        }
    }
    assert_int_equal(who_got(&g), -1);
    close_group(&g);
}

PV_TEST(all_members_send_from_the_port_of_the_group)
{
    struct group g;
    struct pv_udp_in *in = NULL;
    size_t n = 0;
    open_group(&g, 0);
    for (int i = 0; i <= GROUP; i++) {
        struct pv_udp_out out = {.dst = g.from, .data = pv_view("hi", 2)};
        struct pv_udp_counts counts = {0};
        pv_udp_send(i < GROUP ? g.fds[i] : g.silent, &out, 1, &counts);
        wait_readable(g.sender);
        assert_ok(pv_udp_recv(g.rx, g.sender, &in, &n));
        assert_true(pv_addr_equal(&in[0].src, &g.to));
    }
    close_group(&g);
}

PV_TEST(a_datagram_too_long_for_the_buffer_is_told)
{
    struct pv_addr to, from;
    int a = open_on(loopback(0, 0), &plain, &to), b = open_on(loopback(0, 0), &plain, &from);
    int little = 2048;
    uint8_t body[1000] = {0};
    struct pv_udp_out out[20];
    struct pv_udp_counts counts = {0};
    assert_int_equal(setsockopt(a, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little)), 0);
    for (size_t i = 0; i < PV_ARRAY_LEN(out); i++)
        out[i] = (struct pv_udp_out){.dst = to, .data = pv_view(body, sizeof(body))};
    assert_int_equal(pv_udp_not_received(a), 0);
    pv_udp_send(b, out, PV_ARRAY_LEN(out), &counts);
    assert_int_equal(counts.sent, PV_ARRAY_LEN(out));
    assert_in_range(pv_udp_not_received(a), 1, PV_ARRAY_LEN(out) - 1);
    assert_int_equal(pv_udp_not_received(-1), 0);
    close(a);
    close(b);
}

PV_TEST(a_group_has_a_size)
{
    struct pv_addr any = {.family = PV_AF_INET}, nowhere = {.family = PV_AF_NONE};
    int fds[PV_UDP_GROUP_MAX];
    assert_int_equal(pv_udp_open_group(&any, &plain, 0, fds), PV_ERR_LIMIT);
    assert_int_equal(pv_udp_open_group(&any, &plain, PV_UDP_GROUP_MAX + 1, fds), PV_ERR_LIMIT);
    assert_int_equal(pv_udp_open_group(&nowhere, &plain, 1, fds), -EAFNOSUPPORT);
    assert_ok(pv_udp_open_group(&any, &plain, PV_UDP_GROUP_MAX, fds));
    struct pv_udp_group group = {.n = PV_UDP_GROUP_MAX};
    memcpy(group.fd4, fds, sizeof(fds));
    memset(group.fd6, 0xff, sizeof(group.fd6));
    pv_udp_group_close(&group);
    assert_int_equal(group.n, 0);
    assert_int_equal(pv_udp_local(fds[0], &any), -EBADF);
}
