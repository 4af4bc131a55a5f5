/* SPDX-License-Identifier: MIT */
#include "daemon/core/peer/descx.h"
#include "tests/unit/test_util.h"

/* One direction of delivery: a's current description reaches b. */
static enum pv_descx_verdict deliver(struct pv_descx *a, struct pv_descx *b)
{
    return pv_descx_receive(b, a->own, a->theirs);
}

PV_TEST(both_sides_agree_and_fall_silent)
{
    struct pv_descx a = {0};
    struct pv_descx b = {0};
    pv_descx_begin(&a, 100);
    assert_true(pv_descx_take_due(&a, 0));
    assert_int_equal(deliver(&a, &b), PV_DESCX_NEW_GEN);
    pv_descx_begin(&b, 200);
    assert_true(pv_descx_take_due(&b, 1));
    assert_int_equal(deliver(&b, &a), PV_DESCX_NEW_GEN);
    assert_true(a.acked);
    assert_true(pv_descx_take_due(&a, 2)); /* the acknowledgement */
    assert_int_equal(deliver(&a, &b), PV_DESCX_DUPLICATE);
    assert_true(b.acked);
    assert_false(pv_descx_take_due(&b, 3));
    assert_int_equal(pv_descx_next_timeout(&a), PV_NEVER);
    assert_int_equal(pv_descx_next_timeout(&b), PV_NEVER);
}

PV_TEST(resends_after_250_ms_doubling_to_8_s_until_acked)
{
    struct pv_descx a = {0};
    pv_descx_begin(&a, 1);
    pv_ns now = PV_S(1);
    assert_true(pv_descx_take_due(&a, now));
    const unsigned gaps_ms[] = {250, 500, 1000, 2000, 4000, 8000, 8000, 8000};
    for (size_t i = 0; i < PV_ARRAY_LEN(gaps_ms); i++) {
        assert_int_equal(pv_descx_next_timeout(&a), now + PV_MS(gaps_ms[i]));
        assert_false(pv_descx_take_due(&a, now + PV_MS(gaps_ms[i]) - 1));
        now += PV_MS(gaps_ms[i]);
        assert_true(pv_descx_take_due(&a, now));
    }
}

PV_TEST(gives_up_after_a_bounded_number_of_sends_and_kick_starts_anew)
{
    struct pv_descx a = {0};
    pv_descx_begin(&a, 1);
    unsigned sends = 0;
    for (pv_ns now = 1; now < PV_S(600); now += PV_MS(50))
        sends += pv_descx_take_due(&a, now) ? 1u : 0u;
    assert_int_equal(sends, PV_DESCX_MAX_SENDS);
    pv_descx_kick(&a);
    assert_true(pv_descx_take_due(&a, PV_S(601)));
}

/* A peer that says something new without end draws few answers. */
PV_TEST(a_peer_draws_ten_descriptions_a_second)
{
    struct pv_descx a = {0};
    unsigned sends = 0;
    pv_descx_begin(&a, 1);
    for (uint64_t i = 1; i <= 6000; i++) {
        pv_ns now = PV_S(1) + i * PV_MS(5);
        (void)pv_descx_receive(&a, (struct pv_descx_id){.gen = 7, .rev = i}, a.own);
        pv_descx_changed(&a);
        if (pv_descx_next_timeout(&a) <= now) {
            assert_true(pv_descx_take_due(&a, now));
            sends++;
        } else {
            assert_false(pv_descx_take_due(&a, now));
        }
    }
    assert_in_range(sends, PV_DESCX_AT_ONCE + 298, PV_DESCX_AT_ONCE + 302); /* 30 s */
    pv_ns next = pv_descx_next_timeout(&a);
    assert_true(next <= PV_S(31) + PV_DESCX_EVERY);
    assert_true(pv_descx_take_due(&a, next));
}

/* Two that begin now, and have heard each other. */
static void meet(struct pv_descx *a, struct pv_descx *b)
{
    *a = *b = (struct pv_descx){0};
    pv_descx_begin(a, 1);
    pv_descx_begin(b, 2);
    (void)pv_descx_take_due(a, 0);
    (void)pv_descx_take_due(b, 0);
    deliver(a, b);
    deliver(b, a);
}

PV_TEST(a_lost_answer_is_repeated_when_the_peer_repeats)
{
    struct pv_descx a, b;
    meet(&a, &b);
    deliver(&a, &b);
    pv_descx_changed(&a); /* rev 2 */
    assert_true(pv_descx_take_due(&a, 1));
    assert_int_equal(deliver(&a, &b), PV_DESCX_NEW_REV);
    assert_true(pv_descx_take_due(&b, 1)); /* this answer is lost */
    assert_false(a.acked);
    assert_true(pv_descx_take_due(&a, PV_MS(300)));
    assert_int_equal(deliver(&a, &b), PV_DESCX_DUPLICATE);
    assert_true(pv_descx_take_due(&b, PV_MS(300)));
    deliver(&b, &a);
    assert_true(a.acked);
}

PV_TEST(two_acked_sides_do_not_answer_each_other_for_ever)
{
    struct pv_descx a = {0};
    struct pv_descx b = {0};
    pv_descx_begin(&a, 1);
    pv_descx_begin(&b, 2);
    unsigned sent = 0;
    for (pv_ns now = 0; now < PV_S(120); now += PV_MS(10)) {
        if (pv_descx_take_due(&a, now)) {
            deliver(&a, &b);
            deliver(&a, &b); /* the network duplicates everything */
            sent++;
        }
        if (pv_descx_take_due(&b, now)) {
            deliver(&b, &a);
            deliver(&b, &a);
            sent++;
        }
    }
    assert_true(a.acked && b.acked);
    assert_true(sent <= 4 + 2 * PV_DESCX_DUP_ANSWERS);
}

PV_TEST(older_ones_are_stale_and_a_new_gen_restarts)
{
    struct pv_descx a = {0};
    const struct pv_descx_id none = {0};
    assert_int_equal(pv_descx_receive(&a, (struct pv_descx_id){5, 3}, none), PV_DESCX_NEW_GEN);
    assert_int_equal(pv_descx_receive(&a, (struct pv_descx_id){5, 2}, none), PV_DESCX_STALE);
    assert_int_equal(pv_descx_receive(&a, (struct pv_descx_id){4, 9}, none), PV_DESCX_STALE);
    assert_int_equal(pv_descx_receive(&a, (struct pv_descx_id){5, 4}, none), PV_DESCX_NEW_REV);
    assert_int_equal(pv_descx_receive(&a, (struct pv_descx_id){6, 1}, none), PV_DESCX_NEW_GEN);
}

PV_TEST(a_change_before_the_first_send_needs_no_new_revision)
{
    struct pv_descx a = {0};
    pv_descx_begin(&a, 1);
    pv_descx_changed(&a);
    assert_int_equal(a.own.rev, 1);
    (void)pv_descx_take_due(&a, 0);
    pv_descx_changed(&a);
    assert_int_equal(a.own.rev, 2);
}

/* A description that left under a number is known by it: kick() and repeat() send it again, and a
 * change behind them is another revision all the same. */
PV_TEST(a_change_behind_a_repetition_takes_the_next_revision)
{
    void (*const again[])(struct pv_descx *) = {pv_descx_kick, pv_descx_repeat};
    for (size_t i = 0; i < PV_ARRAY_LEN(again); i++) {
        struct pv_descx a = {0};
        struct pv_descx b = {0};
        pv_descx_begin(&a, 1);
        assert_true(pv_descx_take_due(&a, 0));
        assert_int_equal(deliver(&a, &b), PV_DESCX_NEW_GEN);
        again[i](&a);
        pv_descx_changed(&a);
        assert_int_equal(a.own.rev, 2);
        assert_true(pv_descx_take_due(&a, 1));
        assert_int_equal(deliver(&a, &b), PV_DESCX_NEW_REV);
    }
}

/* An acknowledgement that says something else is a new revision, and is repeated until it is
 * acknowledged itself. */
PV_TEST(other_content_never_leaves_under_a_number_that_was_sent)
{
    struct pv_descx a = {0};
    pv_descx_begin(&a, 1);
    pv_descx_says(&a, 10);
    pv_descx_says(&a, 11);
    assert_int_equal(a.own.rev, 1); /* nothing left yet */
    assert_true(pv_descx_take_due(&a, 0));
    (void)pv_descx_receive(&a, (struct pv_descx_id){7, 1}, a.own);
    assert_true(a.acked);
    pv_descx_says(&a, 11);
    assert_int_equal(a.own.rev, 1);
    pv_descx_says(&a, 12);
    assert_int_equal(a.own.rev, 2);
    assert_false(a.acked);
    assert_true(pv_descx_take_due(&a, PV_S(1)));
    assert_int_equal(pv_descx_next_timeout(&a), PV_S(1) + PV_DESCX_FIRST_RESEND);
    pv_descx_renumber(&a, 2);
    pv_descx_says(&a, 13);
    assert_int_equal(a.own.rev, 1); /* nothing left under this number */
}

PV_TEST(repeat_brings_it_to_a_peer_that_forgot)
{
    struct pv_descx a, b;
    meet(&a, &b);
    b = (struct pv_descx){0};
    pv_descx_repeat(&a);
    assert_true(pv_descx_take_due(&a, 1));
    assert_int_equal(deliver(&a, &b), PV_DESCX_NEW_GEN);
    assert_false(a.acked);
    pv_descx_begin(&b, 3);
    assert_true(pv_descx_take_due(&b, 1));
    assert_int_equal(deliver(&b, &a), PV_DESCX_NEW_GEN);
    assert_true(a.acked);
}
