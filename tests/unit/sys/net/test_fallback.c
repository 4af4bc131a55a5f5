/* SPDX-License-Identifier: MIT */
/* The ways where kernel or link take no runs, merge nothing, or have another TUN: everything still
 * arrives, it is found out once, and nobody asks again. */
#include <poll.h>

#include "sys/net/tun.h"
#include "sys/net/udp.h"
#include "tests/unit/faults.h"
#include "tests/unit/test_util.h"

enum {
    SIZE = 500,
    COUNT = 8, /* datagrams of a run */
};

struct ends {
    int tx, rx;
    struct pv_addr to;
    struct pv_udp_counts counts;
    uint8_t bytes[SIZE * COUNT];
};

static void open_ends(struct ends *e)
{
    const struct pv_udp_opts opts = {.df = true}, merged = {.df = true, .gro = true};
    struct pv_addr loopback = pv_addr4(127, 0, 0, 1, 0);
    memset(e, 0, sizeof(*e));
    assert_ok(pv_udp_open(&loopback, &opts, &e->tx));
    assert_ok(pv_udp_open(&loopback, &merged, &e->rx));
    assert_ok(pv_udp_local(e->rx, &e->to));
    for (size_t i = 0; i < sizeof(e->bytes); i++)
        e->bytes[i] = (uint8_t)(i / SIZE + i * 3);
}

static void close_ends(struct ends *e)
{
    close(e->tx);
    close(e->rx);
    memset(&faults, 0, sizeof(faults));
}

/* A run, and a datagram behind it. */
static void send_run(struct ends *e)
{
    const struct pv_udp_out out[2] = {
        {.dst = e->to, .data = pv_view(e->bytes, sizeof(e->bytes)), .segment = SIZE},
        {.dst = e->to, .data = pv_view(e->bytes, 7)},
    };
    pv_udp_send(e->tx, out, 2, &e->counts);
}

/* All that was sent arrives in order, one by one or merged. */
static void expect_run(struct ends *e)
{
    struct pv_udp_receiver *rx = NULL;
    size_t got = 0;
    assert_ok(pv_udp_receiver_new(&rx, 4, 65536));
    while (got < sizeof(e->bytes) + 7) {
        struct pollfd in = {.fd = e->rx, .events = POLLIN};
        struct pv_udp_in *list = NULL;
        size_t n = 0;
        assert_int_equal(poll(&in, 1, 10000), 1);
        if (pv_udp_recv(rx, e->rx, &list, &n) < 0)
            continue;
        for (size_t i = 0; i < n; i++) {
            size_t at = got % sizeof(e->bytes);
            assert_true(at + list[i].len <= sizeof(e->bytes));
            assert_memory_equal(list[i].ptr, e->bytes + at, list[i].len);
            got += list[i].len;
        }
    }
    assert_int_equal(got, sizeof(e->bytes) + 7);
    pv_udp_receiver_free(rx);
}

PV_TEST(a_refused_run_goes_one_by_one_and_is_not_tried_again)
{
    static const int errs[] = {EIO, EINVAL};
    for (size_t i = 0; i < PV_ARRAY_LEN(errs); i++) {
        struct ends e;
        open_ends(&e);
        faults.segment = errs[i];
        for (unsigned k = 0; k < 3; k++) {
            send_run(&e);
            expect_run(&e);
            assert_int_equal(faults.asked, 1);
            assert_int_equal(e.counts.no_segment, errs[i]);
            assert_int_equal(e.counts.sent, (k + 1) * (COUNT + 1));
        }
        assert_int_equal(e.counts.failed + e.counts.too_big + e.counts.full, 0);
        close_ends(&e);
    }
}

PV_TEST(a_run_that_is_too_large_for_a_path_says_nothing_about_others)
{
    struct ends e;
    open_ends(&e);
    faults.segment = EMSGSIZE;
    send_run(&e);
    expect_run(&e);
    assert_int_equal(e.counts.no_segment, 0);
    assert_int_equal(e.counts.split, 1);
    faults.segment = 0;
    send_run(&e);
    expect_run(&e);
    assert_int_equal(faults.asked, 2);
    assert_int_equal(e.counts.split, 1);
    assert_int_equal(e.counts.sent, 2 * (COUNT + 1));
    close_ends(&e);
}

/* EINVAL also says that a source address has gone. */
PV_TEST(a_way_that_takes_nothing_says_nothing_about_runs)
{
    static const int errs[] = {EINVAL, EIO};
    for (size_t i = 0; i < PV_ARRAY_LEN(errs); i++) {
        struct ends e;
        open_ends(&e);
        faults.segment = faults.single = errs[i];
        send_run(&e);
        assert_int_equal(e.counts.sent, 0);
        assert_int_equal(e.counts.failed, COUNT + 1);
        assert_int_equal(e.counts.no_segment, 0);
        faults.segment = faults.single = 0;
        send_run(&e);
        expect_run(&e);
        assert_int_equal(faults.asked, 2);
        close_ends(&e);
    }
}

PV_TEST(a_datagram_that_is_too_large_is_counted_and_the_others_go)
{
    struct ends e;
    open_ends(&e);
    faults.single = EMSGSIZE;
    const struct pv_udp_out one = {.dst = e.to, .data = pv_view(e.bytes, SIZE)};
    pv_udp_send(e.tx, &one, 1, &e.counts);
    assert_int_equal(e.counts.too_big, 1);
    faults.single = 0;
    send_run(&e);
    expect_run(&e);
    assert_int_equal(e.counts.too_big, 1);
    close_ends(&e);
}

PV_TEST(without_udp_gro_datagrams_come_one_by_one)
{
    struct ends e;
    faults.gro = ENOPROTOOPT;
    open_ends(&e);
    assert_false(pv_udp_has_gro(e.rx));
    send_run(&e);
    expect_run(&e);
    close_ends(&e);
    open_ends(&e);
    assert_true(pv_udp_has_gro(e.rx));
    close_ends(&e);
}

PV_TEST(a_tun_is_asked_for_all_and_then_for_less)
{
    static const struct {
        unsigned long takes;
        struct pv_tun_offloads got;
    } rows[] = {
        {0x67, {.header = true, .csum = true, .tso = true, .uso = true}},
        {0x07, {.header = true, .csum = true, .tso = true}}, /* before Linux 6.2 */
        {0x01, {.header = true, .csum = true}},
        {0x00, {.header = true}},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        faults.tun = true;
        faults.tun_takes = rows[i].takes;
        struct pv_tun_offloads got = pv_tun_set_offloads(-1);
        assert_int_equal(got.header, rows[i].got.header);
        assert_int_equal(got.csum, rows[i].got.csum);
        assert_int_equal(got.tso, rows[i].got.tso);
        assert_int_equal(got.uso, rows[i].got.uso);
    }
    memset(&faults, 0, sizeof(faults));
    assert_false(pv_tun_set_offloads(-1).header);
}
