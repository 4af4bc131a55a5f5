/* SPDX-License-Identifier: MIT */
/* Whose files are taken without asking: which machine a rule with a name holds for, and for how
 * long. */

#include "base/text.h"
#include "chat/core/files/autoaccept.h"
#include "crypto/sign.h"
#include "tests/unit/test_util.h"

enum {
    MOST_RULES = 256, /* of a configuration */
    GIB = 1 << 30,
};

static const uint8_t home[16] = {1}, elsewhere[16] = {2};
static const uint8_t bob[PV_SIGN_PK_LEN] = {0xb0}, eve[PV_SIGN_PK_LEN] = {0xe7};
static const struct pv_auto_accept just_bob[] = {{"bob", 1000}};

static struct pv_autoaccept *a;
static unsigned warnings;

static void count_warnings(void *ctx, enum pv_log_level level, const char *line)
{
    warnings += level == PV_LOG_WARN;
}
static const struct pv_log log_to_test = {.level = PV_LOG_INFO, .sink = count_warnings};

/* Another life of the daemon, with these rules. */
static void live(const struct pv_auto_accept *rules, size_t n, struct pv_view saved)
{
    a = pv_autoaccept_free(a);
    assert_ok(pv_autoaccept_new(&a, rules, n, saved, &log_to_test));
    pv_autoaccept_enter(a, home);
}

void test_before_each(void)
{
    warnings = 0;
    live(just_bob, 1, pv_view(NULL, 0));
}

void test_after_each(void)
{
    a = pv_autoaccept_free(a);
}

/* The pins that this life has kept are there in the next one, which has these rules. */
static void live_on(const struct pv_auto_accept *rules, size_t n)
{
    size_t len;
    uint8_t *saved = pv_autoaccept_save(a, &len);
    assert_non_null(saved);
    live(rules, n, pv_view(saved, len));
    free(saved);
}

PV_TEST(a_rule_holds_for_who_had_its_name_first)
{
    assert_false(pv_autoaccept_take_dirty(a));
    assert_int_equal(pv_autoaccept_max(a, "bob", bob), 1000);
    assert_true(pv_autoaccept_take_dirty(a));
    assert_int_equal(pv_autoaccept_max(a, "bob", bob), 1000);
    assert_int_equal(pv_autoaccept_max(a, "bob", eve), 0);
    assert_int_equal(pv_autoaccept_max(a, "bob", eve), 0);
    assert_int_equal(pv_autoaccept_max(a, "eve", eve), 0);
    assert_int_equal(warnings, 1); /* and not at each look */
    assert_string_equal(pv_autoaccept_name(a, 0), "bob");
    assert_null(pv_autoaccept_name(a, 1));
    assert_true(pv_autoaccept_keeps_out(a, 0, eve));
    assert_false(pv_autoaccept_keeps_out(a, 0, bob));
    assert_false(pv_autoaccept_take_dirty(a));
}

PV_TEST(a_pin_lasts_through_restarts)
{
    (void)pv_autoaccept_max(a, "bob", bob);
    live_on(just_bob, 1);
    assert_int_equal(pv_autoaccept_max(a, "bob", eve), 0);
    assert_int_equal(pv_autoaccept_max(a, "bob", bob), 1000);
    assert_false(pv_autoaccept_take_dirty(a));
}

PV_TEST(a_member_that_is_renamed_keeps_the_rule)
{
    (void)pv_autoaccept_max(a, "bob", bob);
    assert_int_equal(pv_autoaccept_max(a, "robert", bob), 1000);
    assert_int_equal(pv_autoaccept_max(a, "bob", eve), 0);
    assert_int_equal(pv_autoaccept_max(a, "robert", bob), 1000);
    assert_int_equal(pv_autoaccept_max(a, "bob", bob), 1000);
}

PV_TEST(accepting_by_hand_moves_the_pin)
{
    (void)pv_autoaccept_max(a, "bob", bob);
    assert_int_equal(pv_autoaccept_max(a, "bob", eve), 0);
    (void)pv_autoaccept_take_dirty(a);
    pv_autoaccept_trust(a, "bob", eve);
    assert_true(pv_autoaccept_take_dirty(a));
    assert_int_equal(pv_autoaccept_max(a, "bob", eve), 1000);
    assert_int_equal(pv_autoaccept_max(a, "bob", bob), 0);
    assert_false(pv_autoaccept_keeps_out(a, 0, eve));
    live_on(just_bob, 1);
    assert_int_equal(pv_autoaccept_max(a, "bob", eve), 1000);
    pv_autoaccept_trust(a, "bob", eve);
    pv_autoaccept_trust(a, "carol", bob); /* no rule is about it */
    assert_false(pv_autoaccept_take_dirty(a));
    assert_int_equal(pv_autoaccept_max(a, "carol", bob), 0);
}

PV_TEST(a_rule_that_is_taken_out_begins_anew)
{
    (void)pv_autoaccept_max(a, "bob", bob);
    live_on(NULL, 0);
    assert_true(pv_autoaccept_take_dirty(a)); /* the disk forgets it, too */
    assert_int_equal(pv_autoaccept_max(a, "bob", bob), 0);
    live_on(just_bob, 1);
    assert_int_equal(pv_autoaccept_max(a, "bob", eve), 1000);
}

/* Names belong to a network: bob of another one is somebody else, and no stranger. */
PV_TEST(another_network_begins_anew)
{
    (void)pv_autoaccept_max(a, "bob", bob);
    (void)pv_autoaccept_take_dirty(a);
    pv_autoaccept_enter(a, home);
    assert_int_equal(pv_autoaccept_max(a, "bob", eve), 0);
    assert_false(pv_autoaccept_take_dirty(a));
    pv_autoaccept_enter(a, elsewhere);
    assert_true(pv_autoaccept_take_dirty(a));
    assert_int_equal(pv_autoaccept_max(a, "bob", eve), 1000);
}

PV_TEST(the_largest_rule_counts_and_everybody_s_needs_no_pin)
{
    static const struct pv_auto_accept rules[] = {
        {"bob", 10}, {"", 50}, {"bob", 1000}, {"carol", 20}, {"", 5}};
    live(rules, PV_ARRAY_LEN(rules), pv_view(NULL, 0));
    assert_int_equal(pv_autoaccept_max(a, "bob", bob), 1000);
    assert_int_equal(pv_autoaccept_max(a, "bob", eve), 50);
    assert_int_equal(pv_autoaccept_max(a, "dave", eve), 50);
    assert_true(pv_autoaccept_keeps_out(a, 0, eve));
    assert_string_equal(pv_autoaccept_name(a, 1), "carol");
    assert_null(pv_autoaccept_name(a, 2));
    /* A rule that gives no more than everybody's keeps nobody out, and nothing is said. */
    static const uint8_t carol[PV_SIGN_PK_LEN] = {3};
    warnings = 0;
    assert_int_equal(pv_autoaccept_max(a, "carol", carol), 50);
    assert_int_equal(pv_autoaccept_max(a, "carol", eve), 50);
    assert_false(pv_autoaccept_keeps_out(a, 1, eve));
    assert_int_equal(warnings, 0);
}

PV_TEST(as_many_rules_as_there_may_be_are_kept)
{
    static struct pv_auto_accept rules[MOST_RULES];
    for (unsigned i = 0; i < MOST_RULES; i++) {
        rules[i].max = GIB;
        snprintf(rules[i].name, sizeof(rules[i].name), "%0*u", PV_NAME_MAX, i);
    }
    live(rules, MOST_RULES, pv_view(NULL, 0));
    for (unsigned i = 0; i < MOST_RULES; i++)
        assert_int_equal(pv_autoaccept_max(a, rules[i].name, bob), GIB);
    live_on(rules, MOST_RULES);
    for (unsigned i = 0; i < MOST_RULES; i++)
        assert_int_equal(pv_autoaccept_max(a, rules[i].name, eve), 0);
}

/* The daemon starts with any bytes of the disk, and the rules hold for somebody. */
PV_TEST(damage_is_said_and_hurts_nobody)
{
    static const struct pv_auto_accept rules[] = {{"bob", 1000}, {"carol", 1000}};
    size_t len;
    live(rules, PV_ARRAY_LEN(rules), pv_view(NULL, 0));
    (void)pv_autoaccept_max(a, "bob", bob);
    (void)pv_autoaccept_max(a, "carol", bob);
    uint8_t *saved = pv_autoaccept_save(a, &len);
    assert_non_null(saved);
    for (size_t n = 1; n < len; n++) {
        warnings = 0;
        live(rules, PV_ARRAY_LEN(rules), pv_view(saved, n));
        assert_int_equal(warnings, 1);
        (void)pv_autoaccept_max(a, "bob", eve);
        assert_int_equal(pv_autoaccept_max(a, "carol", eve), 1000);
    }
    /* The pins before the damage are kept. */
    assert_int_equal(pv_autoaccept_max(a, "bob", bob), 1000);
    for (size_t i = 0; i < len; i++) {
        saved[i] ^= 0x80;
        live(rules, PV_ARRAY_LEN(rules), pv_view(saved, len));
        /* For one of them at most: the damage may name a third machine. */
        uint64_t both = pv_autoaccept_max(a, "bob", eve) + pv_autoaccept_max(a, "bob", bob);
        assert_true(both <= 1000);
        saved[i] ^= 0x80;
    }
    free(saved);
}
