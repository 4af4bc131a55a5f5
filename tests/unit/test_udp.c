/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "sys/udp.h"
#include "tests/unit/test_util.h"

static const struct pv_udp_opts plain = {.df = true};
static const struct pv_udp_opts shared = {.df = true, .reuseport = true};

static struct pv_addr loopback(int v6, uint16_t port)
{
    static const uint8_t one[16] = {[15] = 1};
    return v6 ? pv_addr6(one, port) : pv_addr4(127, 0, 0, 1, port);
}

static void wait_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 5000), 1);
}

/* A bound socket and its address. */
static int open_on(struct pv_addr addr, const struct pv_udp_opts *opts, struct pv_addr *ret)
{
    int fd = -1;
    assert_int_equal(pv_udp_open(&addr, opts, &fd), PV_OK);
    assert_int_equal(pv_udp_local(fd, ret), PV_OK);
    return fd;
}

static void batches_arrive_in_order_with_both_addresses(void **state)
{
    (void)state;
    for (int v6 = 0; v6 < 2; v6++) {
        struct pv_addr any = {.family = v6 ? PV_AF_INET6 : PV_AF_INET}, to, from;
        int rx_fd = open_on(any, &shared, &to);
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
        assert_int_equal(pv_udp_receiver_new(&rx, 64, 2048), PV_OK);
        unsigned got = 0;
        while (got < 100) {
            struct pv_udp_in *in = NULL;
            size_t n = 0;
            wait_readable(rx_fd);
            assert_int_equal(pv_udp_recv(rx, rx_fd, &in, &n), PV_OK);
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

static void a_datagram_longer_than_the_buffer_is_marked(void **state)
{
    (void)state;
    struct pv_addr to, from;
    int a = open_on(loopback(0, 0), &plain, &to), b = open_on(loopback(0, 0), &plain, &from);
    uint8_t body[65] = {0};
    struct pv_udp_out out[2] = {{.dst = to, .data = {body, 64}}, {.dst = to, .data = {body, 65}}};
    struct pv_udp_counts counts = {0};
    pv_udp_send(b, out, 2, &counts);
    struct pv_udp_receiver *rx = NULL;
    assert_int_equal(pv_udp_receiver_new(&rx, 8, 64), PV_OK);
    struct pv_udp_in *in = NULL;
    size_t n = 0;
    wait_readable(a);
    assert_int_equal(pv_udp_recv(rx, a, &in, &n), PV_OK);
    assert_int_equal(n, 2);
    assert_false(in[0].cut);
    assert_true(in[1].cut);
    pv_udp_receiver_free(rx);
    close(a);
    close(b);
}

static void a_port_in_use_is_an_error_also_for_a_shared_socket(void **state)
{
    (void)state;
    for (int v6 = 0; v6 < 2; v6++) {
        struct pv_addr any = {.family = v6 ? PV_AF_INET6 : PV_AF_INET}, addr;
        int fd = open_on(any, &shared, &addr), other = -1;
        assert_int_equal(pv_udp_open(&addr, &shared, &other), PV_ERR_EXISTS);
        assert_int_equal(pv_udp_open(&addr, &plain, &other), PV_ERR_EXISTS);
        assert_int_equal(other, -1);
        close(fd);
    }
}

static void both_families_may_have_the_same_port(void **state)
{
    (void)state;
    struct pv_addr any4 = {.family = PV_AF_INET}, any6 = {.family = PV_AF_INET6}, got;
    int fd4 = open_on(any4, &shared, &got);
    any6.port = got.port;
    int fd6 = open_on(any6, &shared, &got);
    close(fd4);
    close(fd6);
}

static void a_waiting_icmp_error_does_not_eat_the_next_datagram(void **state)
{
    (void)state;
    struct pv_addr gone, to, from;
    int dead = open_on(loopback(0, 0), &plain, &gone);
    close(dead); /* nobody listens there now: port unreachable */
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
    assert_int_equal(pv_udp_receiver_new(&rx, 1, 64), PV_OK);
    struct pv_udp_in *in = NULL;
    size_t n = 0;
    wait_readable(rx_fd);
    assert_int_equal(pv_udp_recv(rx, rx_fd, &in, &n), PV_OK);
    assert_memory_equal(in[0].ptr, "yes", 3);

    /* A socket with only an error waiting is not "readable for ever". */
    pv_udp_send(tx_fd, &bad, 1, &counts);
    assert_int_equal(pv_udp_recv(rx, tx_fd, &in, &n), PV_ERR_AGAIN);
    struct pollfd p = {.fd = tx_fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    pv_udp_receiver_free(rx);
    close(rx_fd);
    close(tx_fd);
}

static void errors_name_the_destination_and_the_reason(void **state)
{
    (void)state;
    struct pv_addr gone, from;
    int dead = open_on(loopback(0, 0), &plain, &gone);
    close(dead);
    int fd = open_on(loopback(0, 0), &plain, &from);
    struct pv_udp_out bad = {.dst = gone, .data = pv_view("x", 1)};
    struct pv_udp_counts counts = {0};
    pv_udp_send(fd, &bad, 1, &counts);
    struct pv_udp_error error;
    assert_int_equal(pv_udp_read_error(fd, &error), PV_OK);
    assert_true(pv_addr_equal(&error.dst, &gone));
    assert_int_equal(error.err, ECONNREFUSED);
    assert_false(error.local);
    assert_int_equal(pv_udp_read_error(fd, &error), PV_ERR_AGAIN);
    close(fd);
}

static void a_datagram_that_fails_does_not_stop_the_others(void **state)
{
    (void)state;
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
    assert_int_equal(pv_udp_receiver_new(&rx, 4, 65536), PV_OK);
    size_t bytes = 0;
    *ret_datagrams = *ret_reads = 0;
    while (bytes < want) {
        struct pv_udp_in *in = NULL;
        size_t n = 0;
        wait_readable(rx_fd);
        assert_int_equal(pv_udp_recv(rx, rx_fd, &in, &n), PV_OK);
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

static void a_run_is_sent_as_one_and_comes_merged_where_asked_for(void **state)
{
    static const struct pv_udp_opts merged = {.gro = true, .ecn = true};
    static uint8_t body[60000];
    size_t datagrams, reads;
    (void)state;
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

static void a_run_whose_datagrams_lie_apart_is_sent_as_one(void **state)
{
    static const struct pv_udp_opts merged = {.gro = true};
    static uint8_t body[20 * 300], apart[20 * 1000];
    struct pv_view parts[20];
    struct pv_udp_counts counts = {0};
    size_t datagrams, reads;
    (void)state;
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

static void a_run_the_kernel_refuses_is_sent_one_by_one_from_then_on(void **state)
{
    static uint8_t body[1300];
    size_t datagrams, reads;
    struct pv_udp_counts counts = {0};
    (void)state;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_arrive_in_order_with_both_addresses),
        cmocka_unit_test(a_datagram_longer_than_the_buffer_is_marked),
        cmocka_unit_test(a_port_in_use_is_an_error_also_for_a_shared_socket),
        cmocka_unit_test(both_families_may_have_the_same_port),
        cmocka_unit_test(a_waiting_icmp_error_does_not_eat_the_next_datagram),
        cmocka_unit_test(errors_name_the_destination_and_the_reason),
        cmocka_unit_test(a_datagram_that_fails_does_not_stop_the_others),
        cmocka_unit_test(a_run_is_sent_as_one_and_comes_merged_where_asked_for),
        cmocka_unit_test(a_run_whose_datagrams_lie_apart_is_sent_as_one),
        cmocka_unit_test(a_run_the_kernel_refuses_is_sent_one_by_one_from_then_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
