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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
