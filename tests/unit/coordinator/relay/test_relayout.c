/* SPDX-License-Identifier: MIT */
#include "coordinator/relay/relayout.h"
#include "tests/unit/test_util.h"

static uint8_t bytes[70000];

static struct pv_turns_out to(uint16_t port, size_t at, size_t len)
{
    return (struct pv_turns_out){.dst = pv_addr4(192, 0, 2, 1, port),
                                 .local = pv_addr4(192, 0, 2, 9, 0),
                                 .sock = 1,
                                 .data = {bytes + at, len}};
}

PV_TEST(equal_datagrams_of_one_way_are_one_message)
{
    struct pv_turns_out out[5];
    static struct pv_relayout ro;
    for (size_t i = 0; i < 5; i++)
        out[i] = to(7, i * 1000, i == 4 ? 30 : 100);
    pv_relayout_make(&ro, out, 5);
    assert_int_equal(ro.n, 1);
    assert_int_equal(ro.msgs[0].segment, 100);
    assert_int_equal(ro.msgs[0].n_parts, 5);
    for (size_t i = 0; i < 5; i++)
        assert_ptr_equal(ro.msgs[0].parts[i].ptr, bytes + i * 1000);
    pv_relayout_make(&ro, out, 1);
    assert_int_equal(ro.n, 1);
    assert_null(ro.msgs[0].parts); /* one is a datagram */
    assert_int_equal(ro.msgs[0].data.len, 100);
}

PV_TEST(a_shorter_one_ends_its_run_and_a_longer_one_begins_another)
{
    const struct pv_turns_out out[] = {to(7, 0, 100),  to(7, 100, 90), to(7, 200, 90),
                                       to(7, 300, 95), to(7, 400, 0),  to(7, 500, 0)};
    static struct pv_relayout ro;
    pv_relayout_make(&ro, out, PV_ARRAY_LEN(out));
    static const size_t want[] = {2, 1, 1, 1, 1};
    assert_int_equal(ro.n, 5);
    for (size_t k = 0, at = 0; k < ro.n; k++) {
        assert_int_equal(ro.msgs[k].parts == NULL ? 1 : ro.msgs[k].n_parts, want[k]);
        assert_ptr_equal(ro.msgs[k].data.ptr, bytes + at);
        at += 100 * want[k];
    }
}

PV_TEST(interleaved_flows_become_a_run_each_and_keep_their_order)
{
    enum {
        FLOWS = PV_TURNS_BATCH / 16
    };
    static struct pv_turns_out out[PV_TURNS_BATCH];
    static struct pv_relayout ro;
    for (size_t i = 0; i < PV_TURNS_BATCH; i++)
        out[i] = to((uint16_t)(1 + i % FLOWS), i * 50, 200);
    pv_relayout_make(&ro, out, PV_TURNS_BATCH);
    assert_int_equal(ro.n, FLOWS);
    for (size_t k = 0; k < FLOWS; k++) {
        assert_int_equal(ro.msgs[k].dst.port, 1 + k);
        assert_int_equal(ro.msgs[k].n_parts, 16);
        for (size_t i = 0; i < 16; i++)
            assert_ptr_equal(ro.msgs[k].parts[i].ptr, bytes + (i * FLOWS + k) * 50);
    }
    /* As many ways as datagrams. */
    for (size_t i = 0; i < PV_TURNS_BATCH; i++)
        out[i] = to((uint16_t)(1 + i), i * 50, 200);
    pv_relayout_make(&ro, out, PV_TURNS_BATCH);
    assert_int_equal(ro.n, PV_TURNS_BATCH);
}

PV_TEST(datagrams_that_may_not_be_in_one_run_are_not)
{
    struct pv_turns_out out[8];
    static struct pv_relayout ro;
    for (size_t i = 0; i < 8; i++)
        out[i] = to(7, i * 2000, 100);
    out[1].sock = 2;
    out[2].df = true;
    out[3].local = pv_addr4(192, 0, 2, 8, 0);
    out[4].dst.ip[3] = 77;
    out[5].stream = 9; /* not for a socket */
    out[6].data.len = out[7].data.len = PV_RELAYOUT_SEGMENT_MAX + 1;
    pv_relayout_make(&ro, out, 8);
    assert_int_equal(ro.n, 7);
    for (size_t k = 0; k < ro.n; k++)
        assert_null(ro.msgs[k].parts);
    assert_int_equal(ro.socks[1], 2);
    assert_true(ro.df[2]);
}

PV_TEST(a_run_is_not_longer_than_a_datagram_may_be)
{
    struct pv_turns_out out[100];
    static struct pv_relayout ro;
    for (size_t i = 0; i < 100; i++)
        out[i] = to(7, 0, 1400);
    pv_relayout_make(&ro, out, 100);
    assert_int_equal(ro.n, 3);
    assert_int_equal(ro.msgs[0].n_parts, PV_RELAYOUT_RUN_MAX / 1400);
    for (size_t i = 0; i < 100; i++)
        out[i] = to(7, 0, 100); /* nor has it more datagrams than a kernel cuts */
    pv_relayout_make(&ro, out, 100);
    assert_int_equal(ro.n, 2);
    assert_int_equal(ro.msgs[0].n_parts, 64);
    assert_int_equal(ro.msgs[1].n_parts, 36);
}
