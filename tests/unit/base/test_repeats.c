/* SPDX-License-Identifier: MIT */
/* Lines that repeat: the first is said, the others are counted, and the count is told. */
#include "base/repeats.h"
#include "tests/unit/test_util.h"

static struct pv_repeats r;
static pv_ns now;
static uint64_t more;

void test_before_each(void)
{
    r = (struct pv_repeats){.more = 0};
    now = PV_S(1000);
    more = 99;
}

PV_TEST(the_same_text_is_said_once_a_minute)
{
    assert_true(pv_repeats_say(&r, "bad statement", now, &more));
    assert_int_equal(more, 0);
    for (unsigned i = 0; i < 1000000; i++)
        assert_false(pv_repeats_say(&r, "bad statement", now, &more));
    now += PV_S(59);
    assert_false(pv_repeats_say(&r, "bad statement", now, &more));
    now += PV_S(1);
    assert_true(pv_repeats_say(&r, "bad statement", now, &more));
    assert_int_equal(more, 1000001);
    assert_true(pv_repeats_next_timeout(&r) == PV_NEVER);
}

PV_TEST(the_count_is_told_alone_when_nothing_follows)
{
    assert_true(pv_repeats_next_timeout(&r) == PV_NEVER);
    assert_true(pv_repeats_say(&r, "bad", now, &more));
    assert_false(pv_repeats_say(&r, "bad", now, &more));
    assert_true(pv_repeats_next_timeout(&r) == now + PV_REPEATS_AGAIN);
    assert_false(pv_repeats_take_rest(&r, now + PV_REPEATS_AGAIN - 1, &more));
    assert_true(pv_repeats_take_rest(&r, now + PV_REPEATS_AGAIN, &more));
    assert_int_equal(more, 1);
    assert_false(pv_repeats_take_rest(&r, now + 2 * PV_REPEATS_AGAIN, &more));
}

PV_TEST(texts_that_always_differ_run_out_of_tokens)
{
    unsigned said = 0;
    for (unsigned i = 0; i < 600000; i++) { /* for ten minutes */
        said += pv_repeats_say(&r, PV_STR("number %u", i), now, &more);
        now += PV_MS(1);
    }
    assert_in_range(said, 60, 60 + PV_REPEATS_BURST);
    assert_true(more > 0);
}

PV_TEST(another_text_is_said_beside_one_that_repeats)
{
    assert_true(pv_repeats_say(&r, "a", now, &more));
    assert_false(pv_repeats_say(&r, "a", now, &more));
    assert_true(pv_repeats_say(&r, "b", now, &more));
    assert_int_equal(more, 1);
    assert_false(pv_repeats_say(&r, "a", now, &more));
    assert_false(pv_repeats_say(&r, "b", now, &more));
}

PV_TEST(long_texts_are_told_apart_by_their_beginning)
{
    char text[3 * PV_REPEATS_TEXT];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    assert_true(pv_repeats_say(&r, text, now, &more));
    text[sizeof(text) - 2] = 'y';
    assert_false(pv_repeats_say(&r, text, now, &more));
    text[0] = 'y';
    assert_true(pv_repeats_say(&r, text, now, &more));
}
