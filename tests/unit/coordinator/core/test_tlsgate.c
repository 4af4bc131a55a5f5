/* SPDX-License-Identifier: MIT */
#include "coordinator/core/sniff.h"
#include "coordinator/core/tlsgate.h"
#include "tests/unit/test_util.h"

struct world {
    struct pv_tlsgate gate;
    struct test_rng rng;
    struct pv_tlsgate_pass pass[PV_TLSGATE_MAX + 1];
};

static struct world *w; /* of the test that runs */

static int make_world(void **state)
{
    w = calloc(1, sizeof(*w));
    struct pv_rng rng = test_rng_make(&w->rng, 1);
    return pv_tlsgate_init(&w->gate, &rng);
}

static int end_world(void **state)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(w->pass); i++)
        pv_tlsgate_leave(&w->gate, &w->pass[i]);
    pv_tlsgate_done(&w->gate);
    free(w);
    return 0;
}

static struct pv_addr source(size_t net, size_t host)
{
    return pv_addr4(198, 51, (uint8_t)net, (uint8_t)host, 1);
}

/* Ends the handshakes that the gate names at a time, as its owner does. */
static size_t end_overdue(pv_ns now)
{
    struct pv_tlsgate_pass *pass;
    size_t n = 0;
    for (; (pass = pv_tlsgate_overdue(&w->gate, now)) != NULL; n++)
        pv_tlsgate_leave(&w->gate, pass);
    return n;
}

PV_TEST_IN(one_more_than_there_are_places_displaces_the_oldest_of_the_largest, make_world,
           end_world)
{
    for (size_t i = 0; i < PV_TLSGATE_MAX; i++) {
        struct pv_addr src = source(i < 8 ? 7 : i / 4, i);
        assert_true(pv_tlsgate_enter(&w->gate, &w->pass[i], &src, false, PV_S(1)));
    }
    struct pv_addr src = source(200, 1);
    assert_false(pv_tlsgate_enter(&w->gate, &w->pass[77], &src, false, PV_S(1))); /* is inside */
    assert_true(pv_tlsgate_enter(&w->gate, &w->pass[PV_TLSGATE_MAX], &src, false, PV_S(1)));
    assert_ptr_equal(pv_tlsgate_overdue(&w->gate, PV_S(1)), &w->pass[0]);
    assert_null(pv_tlsgate_overdue(&w->gate, PV_S(1)));
    pv_tlsgate_leave(&w->gate, &w->pass[0]);
    pv_tlsgate_leave(&w->gate, &w->pass[0]); /* harmless */
    assert_int_equal(w->gate.n, PV_TLSGATE_MAX);
}

PV_TEST_IN(one_source_displaces_itself, make_world, end_world)
{
    for (size_t i = 0; i <= PV_TLSGATE_SOURCE_MAX; i++) {
        struct pv_addr src = source(7, i); /* one /24 */
        assert_true(pv_tlsgate_enter(&w->gate, &w->pass[i], &src, false, PV_S(1)));
    }
    assert_int_equal(end_overdue(PV_S(1)), 1);
    assert_false(w->pass[0].inside);
    struct pv_addr other = source(8, 1);
    assert_true(pv_tlsgate_enter(&w->gate, &w->pass[0], &other, false, PV_S(1)));
    assert_int_equal(end_overdue(PV_S(1)), 0);
}

/* A flood of 24 networks that begin far more than the gate lets in: whoever comes once goes in and
 * stays until its handshake is done, and so does a member's address. */
PV_TEST_IN(a_flood_keeps_nobody_else_out, make_world, end_world)
{
    for (size_t ms = 0; ms < 5000; ms++) {
        pv_ns now = PV_S(1) + PV_MS(ms);
        struct pv_addr src = source(ms % 24, ms % 251);
        struct pv_tlsgate_pass *pass = &w->pass[ms % PV_TLSGATE_MAX];
        pv_tlsgate_leave(&w->gate, pass);
        (void)!pv_tlsgate_enter(&w->gate, pass, &src, false, now);
        end_overdue(now);
    }
    struct pv_tlsgate_pass applicant = {0}, member = {0};
    struct pv_addr new_one = source(100, 1), same_net = source(7, 1);
    assert_true(pv_tlsgate_enter(&w->gate, &applicant, &new_one, false, PV_S(6)));
    assert_true(pv_tlsgate_enter(&w->gate, &member, &same_net, true, PV_S(6)));
    for (size_t ms = 0; ms < 1000; ms++) {
        struct pv_addr src = source(ms % 24, ms % 251);
        struct pv_tlsgate_pass *pass = &w->pass[ms % PV_TLSGATE_MAX];
        pv_tlsgate_leave(&w->gate, pass);
        (void)!pv_tlsgate_enter(&w->gate, pass, &src, false, PV_S(6) + PV_MS(ms));
        end_overdue(PV_S(6) + PV_MS(ms));
    }
    assert_true(applicant.inside && member.inside);
    pv_tlsgate_leave(&w->gate, &applicant);
    pv_tlsgate_leave(&w->gate, &member);
}

PV_TEST_IN(a_client_that_comes_to_a_crowd_has_less_time, make_world, end_world)
{
    size_t n = PV_TLSGATE_MAX / 2 + 1;
    for (size_t i = 0; i < n; i++) {
        struct pv_addr src = source(i / 4, i);
        assert_true(pv_tlsgate_enter(&w->gate, &w->pass[i], &src, false, PV_S(1)));
    }
    assert_int_equal(end_overdue(PV_S(1 + PV_TLSGATE_HURRY_S)), 1);
    assert_false(w->pass[n - 1].inside);
    assert_int_equal(end_overdue(PV_S(1 + PV_TLSGATE_TIME_S)), n - 1);
}

PV_TEST_IN(nobody_goes_in_and_out_too_often, make_world, end_world)
{
    struct pv_addr src = source(7, 1);
    size_t n = 0;
    for (; pv_tlsgate_enter(&w->gate, &w->pass[0], &src, false, PV_S(1)); n++)
        pv_tlsgate_leave(&w->gate, &w->pass[0]);
    assert_int_equal(n, PV_TLSGATE_SOURCE_BURST);
    for (n = 0; pv_tlsgate_enter(&w->gate, &w->pass[0], &src, false, PV_S(2)); n++)
        pv_tlsgate_leave(&w->gate, &w->pass[0]);
    assert_int_equal(n, PV_TLSGATE_SOURCE_RATE);
    /* Nor all of them together. */
    size_t all = PV_TLSGATE_SOURCE_BURST + PV_TLSGATE_SOURCE_RATE;
    for (size_t net = 0; net < 200; net++) {
        src = source(net, 1);
        for (n = 0; n < 100 && pv_tlsgate_enter(&w->gate, &w->pass[0], &src, false, PV_S(2)); n++)
            pv_tlsgate_leave(&w->gate, &w->pass[0]);
        all += n;
    }
    size_t most = PV_TLSGATE_BURST + PV_TLSGATE_RATE + PV_TLSGATE_OWN_BURST + PV_TLSGATE_OWN_RATE +
                  PV_TLSGATE_PACE_BURST + PV_TLSGATE_PACE_RATE;
    assert_in_range(all, PV_TLSGATE_BURST, most);
}

/* Handshakes that go in during some seconds in which 2,000 a second come, each of its own network.
 */
static size_t let_in(uint32_t *next, pv_ns from, size_t seconds)
{
    size_t n = 0;
    for (size_t i = 0; i < 2000 * seconds; i++) {
        struct pv_addr src = pv_addr4_u32(0x0a000000u + ((*next)++ << 8), 1);
        struct pv_tlsgate_pass pass = {0};
        n += pv_tlsgate_enter(&w->gate, &pass, &src, false, from + PV_US(500 * i)) ? 1 : 0;
        pv_tlsgate_leave(&w->gate, &pass);
    }
    return n;
}

/* After a restart all come at once; a flood of as many networks finds less when that is used up. */
PV_TEST_IN(a_crowd_goes_in_at_a_pace_while_its_budget_lasts, make_world, end_world)
{
    const size_t daily = PV_TLSGATE_RATE + PV_TLSGATE_OWN_RATE;
    uint32_t next = 0;
    assert_in_range(let_in(&next, PV_S(1), 5), 5 * (daily + PV_TLSGATE_PACE_RATE),
                    5 * (daily + PV_TLSGATE_PACE_RATE) + PV_TLSGATE_BURST + PV_TLSGATE_OWN_BURST +
                        PV_TLSGATE_PACE_BURST);
    (void)let_in(&next, PV_S(6), 10);
    size_t later = let_in(&next, PV_S(16), 5);
    assert_in_range(later, 5 * (daily + PV_TLSGATE_CROWD_RATE) - 50,
                    5 * (daily + PV_TLSGATE_CROWD_RATE) + 50);
    /* As much again takes a while. */
    assert_true(let_in(&next, PV_S(121), 5) > 5 * (daily + PV_TLSGATE_PACE_RATE));
}

PV_TEST_IN(the_slow_are_named_in_the_order_they_came, make_world, end_world)
{
    struct pv_addr src = source(7, 1);
    assert_true(pv_tlsgate_next_timeout(&w->gate) == PV_NEVER);
    for (size_t i = 0; i < 3; i++)
        assert_true(pv_tlsgate_enter(&w->gate, &w->pass[i], &src, false, PV_S(1 + i)));
    pv_tlsgate_leave(&w->gate, &w->pass[1]); /* done in time */
    pv_ns due = PV_S(1 + PV_TLSGATE_TIME_S);
    assert_true(pv_tlsgate_next_timeout(&w->gate) == due);
    assert_null(pv_tlsgate_overdue(&w->gate, due - 1));
    assert_ptr_equal(pv_tlsgate_overdue(&w->gate, due), &w->pass[0]);
    pv_tlsgate_leave(&w->gate, &w->pass[0]);
    assert_null(pv_tlsgate_overdue(&w->gate, due));
    assert_ptr_equal(pv_tlsgate_overdue(&w->gate, due + PV_S(2)), &w->pass[2]);
    pv_tlsgate_leave(&w->gate, &w->pass[2]);
    assert_true(pv_tlsgate_next_timeout(&w->gate) == PV_NEVER);
    assert_int_equal(w->gate.n, 0);
}

PV_TEST(the_first_byte_says_what_is_spoken)
{
    for (unsigned b = 0; b < 256; b++) {
        enum pv_sniff want = b < 4      ? PV_SNIFF_STUN
                             : b == 22  ? PV_SNIFF_TLS
                             : b == 'P' ? PV_SNIFF_CONTROL
                                        : PV_SNIFF_FOREIGN;
        assert_int_equal(pv_sniff((uint8_t)b), want);
    }
}
