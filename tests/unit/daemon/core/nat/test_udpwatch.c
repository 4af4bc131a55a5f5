/* SPDX-License-Identifier: MIT */
#include "daemon/core/nat/udpwatch.h"
#include "tests/unit/test_util.h"

/* tcp: when the server was heard by TCP; PV_NEVER: it is heard all the time. */
static void run_with(struct pv_udpwatch *w, pv_ns tcp, pv_ns now)
{
    while (pv_udpwatch_next_timeout(w) <= now) {
        pv_ns due = pv_udpwatch_next_timeout(w);
        pv_udpwatch_handle_timeout(w, pv_min_ns(tcp, due), due);
    }
}

static void run_to(struct pv_udpwatch *w, pv_ns now)
{
    run_with(w, PV_NEVER, now);
}

PV_TEST(idle_it_says_and_wants_nothing)
{
    struct pv_udpwatch w = {0};
    pv_udpwatch_doubt(&w, PV_S(1));
    pv_udpwatch_heard(&w, PV_S(1));
    assert_int_equal(pv_udpwatch_next_timeout(&w), PV_NEVER);
    assert_false(pv_udpwatch_take_ask(&w));
    assert_false(pv_udpwatch_take_changed(&w));
}

PV_TEST(silence_after_a_question_is_the_verdict_and_an_answer_ends_it)
{
    struct pv_udpwatch w = {0};
    pv_udpwatch_start(&w, PV_S(1));
    assert_true(pv_udpwatch_take_ask(&w));
    assert_false(pv_udpwatch_take_ask(&w));
    pv_udpwatch_doubt(&w, PV_S(2)); /* a second reason does not put the verdict off */
    run_to(&w, PV_S(1) + PV_UDPWATCH_VERDICT - 1);
    assert_false(pv_udpwatch_take_changed(&w));
    run_to(&w, PV_S(1) + PV_UDPWATCH_VERDICT);
    assert_true(pv_udpwatch_is_blocked(&w));
    assert_true(pv_udpwatch_take_changed(&w));
    assert_false(pv_udpwatch_take_changed(&w));
    (void)!pv_udpwatch_take_ask(&w);
    run_to(&w, PV_S(2) + PV_UDPWATCH_RETRY - 1);
    assert_false(pv_udpwatch_take_ask(&w));
    run_to(&w, PV_S(2) + PV_UDPWATCH_RETRY); /* once a minute */
    assert_true(pv_udpwatch_take_ask(&w));
    run_to(&w, PV_S(100));
    assert_false(pv_udpwatch_take_changed(&w));
    pv_udpwatch_heard(&w, PV_S(100));
    assert_false(pv_udpwatch_is_blocked(&w));
    assert_true(pv_udpwatch_take_changed(&w));
}

PV_TEST(a_server_that_is_silent_by_tcp_too_says_nothing_of_udp)
{
    struct pv_udpwatch w = {0};
    pv_udpwatch_start(&w, PV_S(1));
    run_with(&w, PV_S(1), PV_S(1)); /* its welcome */
    pv_udpwatch_heard(&w, PV_S(2));
    pv_udpwatch_doubt(&w, PV_S(10));
    run_with(&w, PV_S(9), PV_S(30)); /* it is waited for */
    assert_false(pv_udpwatch_is_blocked(&w));
    run_with(&w, 0, PV_S(200)); /* it is gone: asked once a minute, in case its UDP comes first */
    assert_false(pv_udpwatch_is_blocked(&w));
    assert_in_range(pv_udpwatch_next_timeout(&w), PV_S(200), PV_S(260));
    pv_udpwatch_start(&w, PV_S(300)); /* its next welcome */
    run_with(&w, PV_S(300), PV_S(300) + PV_UDPWATCH_VERDICT);
    assert_true(pv_udpwatch_is_blocked(&w));
}

PV_TEST(tcp_that_answers_late_is_waited_for)
{
    struct pv_udpwatch w = {0};
    pv_udpwatch_start(&w, PV_S(1));
    pv_udpwatch_heard(&w, PV_S(2));
    pv_udpwatch_doubt(&w, PV_S(10));
    run_with(&w, PV_S(9), PV_S(13));
    assert_false(pv_udpwatch_is_blocked(&w));
    run_with(&w, PV_S(13), PV_S(13) + PV_UDPWATCH_VERDICT);
    assert_true(pv_udpwatch_is_blocked(&w));
}

PV_TEST(sleep_is_no_silence)
{
    struct pv_udpwatch w = {0};
    const pv_ns morning = PV_S(8 * 3600);
    pv_udpwatch_woke(&w, PV_S(1)); /* with nobody to ask there is nothing to do */
    assert_int_equal(pv_udpwatch_next_timeout(&w), PV_NEVER);
    pv_udpwatch_start(&w, PV_S(1));
    (void)!pv_udpwatch_take_ask(&w);
    pv_udpwatch_woke(&w, morning);
    assert_true(pv_udpwatch_take_ask(&w));
    run_to(&w, morning + PV_UDPWATCH_VERDICT - 1);
    assert_false(pv_udpwatch_is_blocked(&w));
    run_to(&w, morning + PV_UDPWATCH_VERDICT);
    assert_true(pv_udpwatch_is_blocked(&w));
}

PV_TEST(a_server_that_answered_is_asked_again_only_after_silence)
{
    struct pv_udpwatch w = {0};
    pv_udpwatch_start(&w, PV_S(1));
    (void)!pv_udpwatch_take_ask(&w);
    for (pv_ns now = PV_S(2); now < PV_S(500); now += PV_S(25)) { /* refreshed bindings */
        run_to(&w, now);
        assert_false(pv_udpwatch_take_ask(&w));
        pv_udpwatch_heard(&w, now);
    }
    run_to(&w, PV_S(477) + PV_UDPWATCH_REFRESH + PV_UDPWATCH_SILENCE);
    assert_true(pv_udpwatch_take_ask(&w));
    assert_false(pv_udpwatch_is_blocked(&w));
    run_to(&w, PV_S(477) + PV_UDPWATCH_REFRESH + PV_UDPWATCH_SILENCE + PV_UDPWATCH_VERDICT);
    assert_true(pv_udpwatch_is_blocked(&w));
}

PV_TEST(without_anybody_to_ask_nothing_is_blocked)
{
    struct pv_udpwatch w = {0};
    pv_udpwatch_start(&w, PV_S(1));
    run_to(&w, PV_S(5));
    assert_true(pv_udpwatch_take_changed(&w));
    pv_udpwatch_stop(&w);
    assert_false(pv_udpwatch_is_blocked(&w));
    assert_true(pv_udpwatch_take_changed(&w));
    assert_int_equal(pv_udpwatch_next_timeout(&w), PV_NEVER);
}
