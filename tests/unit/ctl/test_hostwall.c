/* SPDX-License-Identifier: MIT */
/* The kernel's trace of a packet, or the counters of the older iptables, name the rule that drops
 * it. */
#include "base/text.h"
#include "ctl/hostwall.h"
#include "tests/unit/test_util.h"

typedef void take_line(struct pv_hostwall *w, const char *line);

static struct pv_hostwall wall;

void test_before_each(void)
{
    wall = (struct pv_hostwall){.ifname = "p2pvpn0"};
}

static void take_all(take_line *take, const char *lines)
{
    char *text = strdup(lines), *save = NULL;
    assert_non_null(text);
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
        take(&wall, line);
    free(text);
}

/* The rule that is found, and the remedy. */
static void show_found(void)
{
    char text[256];
    assert_shows("found",
                 PV_STR("table %s, chain %s, %s%s%s%s", wall.table, wall.chain,
                        wall.rule[0] != '\0' ? wall.rule : "its policy", wall.out ? "; out" : "",
                        wall.in_part ? "; in part" : "", wall.table[0] == '\0' ? "; none" : ""));
    if (wall.table[0] != '\0')
        assert_shows("remedy", pv_hostwall_remedy(&wall, text, sizeof(text)));
}

PV_TEST(a_trace_ends_at_the_rule_that_drops)
{
    size_t n = 0;
    const char *const *traces = test_given_parts("traces", &n);
    for (size_t i = 0; i < n; i++) {
        test_before_each();
        take_all(pv_hostwall_trace_line, traces[i]);
        show_found();
    }
}

/* Somebody decided what passes there: with conditions, or in a chain of the interface's own. */
PV_TEST(rules_that_let_the_interface_in_are_seen_in_the_table_that_drops)
{
    size_t n = 0;
    const char *const *rules = test_given_parts("rules of the table", &n);
    for (size_t i = 0; i < n; i++) {
        test_before_each();
        take_all(pv_hostwall_trace_line, test_given("a policy drops"));
        pv_hostwall_rule_line(&wall, rules[i]);
        assert_shows("in part", wall.in_part ? "yes" : "no");
    }
}

static void take_counters(const char *before, const char *after)
{
    take_all(pv_hostwall_counter_line, before);
    assert_string_equal(wall.chain, "");
    wall.again = true;
    wall.n_counters = 0;
    take_all(pv_hostwall_counter_line, after);
}

PV_TEST(a_counter_that_grew_names_the_rule)
{
    size_t n = 0;
    const char *const *after = test_given_parts("after", &n);
    for (size_t i = 0; i < n; i++) {
        test_before_each();
        take_counters(test_given("before"), after[i]);
        wall.legacy = "iptables-legacy";
        snprintf(wall.table, sizeof(wall.table), "%s",
                 wall.chain[0] != '\0' ? "filter of iptables-legacy" : "");
        show_found();
    }
}

PV_TEST(more_counters_than_have_room_are_left_out)
{
    for (int again = 0; again < 2; again++) {
        wall.again = again != 0;
        wall.n_counters = 0;
        for (unsigned i = 0; i < PV_HOSTWALL_COUNTERS + 10; i++)
            pv_hostwall_counter_line(&wall,
                                     PV_STR("-A INPUT -c %u 0 -j DROP",
                                            again != 0 && i >= PV_HOSTWALL_COUNTERS ? i + 1 : i));
    }
    assert_int_equal(wall.n_counters, PV_HOSTWALL_COUNTERS);
    assert_string_equal(wall.chain, "");
}
