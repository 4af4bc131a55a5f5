/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "daemon/core/coord/coordclient.h"
#include "daemon/core/coord/coordwait.h"
#include "daemon/core/node/node.h"
#include "tests/unit/test_util.h"

#define BEGIN PV_S(1000)

/* The longest and the shortest of many pauses. */
static void range_of(const struct pv_coordwait *w, pv_ns now, pv_ns *ret_least, pv_ns *ret_most)
{
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 1);
    *ret_least = PV_NEVER;
    *ret_most = 0;
    for (unsigned i = 0; i < 2000; i++) {
        pv_ns pause = pv_coordwait_pause(w, &rng, now);
        *ret_least = pv_min_ns(*ret_least, pause);
        *ret_most = pause > *ret_most ? pause : *ret_most;
    }
}

static void expect_window(const struct pv_coordwait *w, pv_ns now, pv_ns window)
{
    pv_ns least, most;
    range_of(w, now, &least, &most);
    assert_true(most <= window && most >= window - window / 10);
    assert_true(least >= PV_COORDWAIT_MIN && least <= PV_COORDWAIT_MIN + window / 10);
}

PV_TEST(the_window_doubles_up_to_half_a_minute)
{
    struct pv_coordwait w = {.failures = 1};
    for (pv_ns window = PV_S(1); window <= PV_S(16); window *= 2, w.failures++)
        expect_window(&w, BEGIN, window);
    w.failures = UINT32_MAX;
    expect_window(&w, BEGIN, PV_COORDWAIT_MAX);
}

/* The slowest of those that a restart refused come soon after it, and after a minute it is taken
 * for more than a restart. */
PV_TEST(the_window_stays_short_in_the_first_minute_of_refusals)
{
    struct pv_coordwait w = {.failures = 20};
    pv_coordwait_note(&w, PV_COORDROUND_REFUSED, BEGIN);
    expect_window(&w, BEGIN, PV_COORDWAIT_REFUSE);
    pv_coordwait_note(&w, PV_COORDROUND_REFUSED, BEGIN + PV_S(30));
    expect_window(&w, BEGIN + PV_S(59), PV_COORDWAIT_REFUSE);
    expect_window(&w, BEGIN + PV_S(60), PV_COORDWAIT_MAX);
}

/* A coordinator that closes connections has too many of them, and one that is silent is away; but
 * after a restart the crowd is over soon. */
PV_TEST(the_window_is_short_for_refusals_and_the_crowd_after_them)
{
    for (int i = PV_COORDROUND_SILENT; i <= PV_COORDROUND_MUTE; i++) {
        bool is_short = i == PV_COORDROUND_REFUSED || i == PV_COORDROUND_CLOSED;
        struct pv_coordwait w = {.failures = 20};
        pv_coordwait_note(&w, PV_COORDROUND_REFUSED, BEGIN);
        pv_coordwait_note(&w, (enum pv_coordround)i, BEGIN + 1);
        expect_window(&w, BEGIN + 1, is_short ? PV_COORDWAIT_REFUSE : PV_COORDWAIT_MAX);
        expect_window(&w, BEGIN + PV_S(60), PV_COORDWAIT_MAX);
        w = (struct pv_coordwait){.failures = 20};
        pv_coordwait_note(&w, (enum pv_coordround)i, BEGIN);
        expect_window(&w, BEGIN,
                      i == PV_COORDROUND_REFUSED ? PV_COORDWAIT_REFUSE : PV_COORDWAIT_MAX);
    }
}

PV_TEST(a_welcome_begins_the_minute_anew_but_not_the_hurry)
{
    struct pv_coordwait w = {.failures = 20, .hurry_until = BEGIN + PV_S(200)};
    pv_coordwait_note(&w, PV_COORDROUND_REFUSED, BEGIN);
    expect_window(&w, BEGIN, PV_COORDWAIT_HURRY);
    pv_coordwait_reset(&w);
    w.failures = 20;
    pv_coordwait_note(&w, PV_COORDROUND_REFUSED, BEGIN + PV_S(190));
    expect_window(&w, BEGIN + PV_S(190), PV_COORDWAIT_HURRY);
    expect_window(&w, BEGIN + PV_S(249), PV_COORDWAIT_REFUSE);
    expect_window(&w, BEGIN + PV_S(250), PV_COORDWAIT_MAX);
}

PV_TEST(only_a_few_welcomes_in_a_row_are_believed)
{
    struct pv_coordwait w = {.hurry_until = BEGIN + PV_S(200)};
    for (unsigned i = 0; i < 100; i++) {
        w.failures = 20;
        pv_coordwait_note(&w, PV_COORDROUND_REFUSED, BEGIN);
        pv_coordwait_welcome(&w);
        assert_int_equal(pv_coordwait_is_dropped(&w), i >= PV_COORDWAIT_WELCOMES);
        assert_int_equal(w.failures, i < PV_COORDWAIT_WELCOMES ? 0 : 20);
    }
    expect_window(&w, BEGIN, PV_COORDWAIT_MAX);
    pv_coordwait_reset(&w);
    assert_false(pv_coordwait_is_dropped(&w));
    w.failures = 20;
    expect_window(&w, BEGIN, PV_COORDWAIT_HURRY);
}

PV_TEST(two_machines_with_one_key_wait_long)
{
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 1);
    for (unsigned i = 0; i < 1000; i++) {
        pv_ns pause = pv_coordwait_long(&rng);
        assert_true(pause >= PV_COORDWAIT_MAX / 2 && pause <= PV_COORDWAIT_MAX);
    }
}

PV_TEST(others_get_longer_with_each_refusal)
{
    struct pv_coordwait w = {.failures = 0};
    const pv_ns end = BEGIN + PV_S(10);
    assert_true(pv_coordwait_others(&w, PV_COORDROUND_SILENT, end, BEGIN) == end);
    assert_true(pv_coordwait_others(&w, PV_COORDROUND_CLOSED, end, BEGIN) == end);
    assert_true(pv_coordwait_others(&w, PV_COORDROUND_REFUSED, end, BEGIN) == BEGIN + PV_S(2));
    w.failures = 2;
    assert_true(pv_coordwait_others(&w, PV_COORDROUND_REFUSED, end, BEGIN) == BEGIN + PV_S(8));
    w.failures = UINT32_MAX;
    assert_true(pv_coordwait_others(&w, PV_COORDROUND_REFUSED, end, BEGIN) == end);
}

/* --- coordround ------------------------------------------------------------------------------ */

/* A machine with one kind of address and a coordinator with the other is told so. */
PV_TEST(no_way_to_the_only_kind_of_address_is_said)
{
    for (int v6 = 0; v6 < 2; v6++) {
        assert_shows(v6 ? "IPv6" : "IPv4",
                     PV_REASON_STR(pv_coordround_text(PV_COORDROUND_NO_WAY, v6, false)));
        assert_lacks(PV_REASON_STR(pv_coordround_text(PV_COORDROUND_NO_WAY, v6, true)), "is known");
        assert_has(PV_REASON_STR(pv_coordround_text(PV_COORDROUND_NO_WAY, v6, true)),
                   v6 ? "has it IPv6?" : "has it IPv4?");
    }
}

/* Silence may be a filter's; what the kernel says after it asked for a neighbour is not. */
PV_TEST(a_silent_router_is_told_from_a_silent_coordinator)
{
    assert_int_equal(pv_coordround_worse(PV_COORDROUND_SILENT, false, false, -EHOSTUNREACH),
                     PV_COORDROUND_UNREACHED);
    assert_int_equal(pv_coordround_worse(PV_COORDROUND_UNREACHED, false, false, PV_ERR_TIMEOUT),
                     PV_COORDROUND_UNREACHED);
    assert_has(PV_REASON_STR(pv_coordround_text(PV_COORDROUND_UNREACHED, false, false)),
               "`ip route`");
}

PV_TEST(every_end_has_a_sentence_of_its_own)
{
    for (int i = PV_COORDROUND_SILENT; i <= PV_COORDROUND_MUTE; i++)
        for (int k = PV_COORDROUND_SILENT; k < i; k++)
            assert_string_not_equal(
                PV_REASON_STR(pv_coordround_text((enum pv_coordround)i, false, false)),
                PV_REASON_STR(pv_coordround_text((enum pv_coordround)k, false, false)));
}

/* Members that have an admin go to it all the same, whatever became of the key of before. */
PV_TEST(a_coordinator_that_was_set_up_anew_has_two_remedies)
{
    const char *text = PV_REASON_STR(pv_coordround_text(PV_COORDROUND_CLOSED, false, false));
    assert_shows("text", text);
}

/* Cut in the middle of a word it would say no remedy. */
PV_TEST(each_sentence_fits_where_it_is_kept)
{
    for (int round = PV_COORDROUND_SILENT; round <= PV_COORDROUND_MUTE; round++)
        for (int i = 0; i < 4; i++)
            assert_in_range(
                strlen(PV_REASON_STR(pv_coordround_text((enum pv_coordround)round, i & 1, i & 2))),
                1, PV_COORD_WHY_MAX - PV_COORDCLIENT_TRIED_BUF);
}
