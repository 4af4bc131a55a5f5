/* SPDX-License-Identifier: MIT */
/* The text of `nft list ruleset` tells of a host that drops what members begin, or what it answers
 * them. */
#include "base/text.h"
#include "ctl/hostwall.h"
#include "tests/unit/test_util.h"

typedef void take_line(struct pv_hostwall *w, const char *line);

static struct pv_hostwall wall; /* large */

static void start(const char *range)
{
    memset(&wall, 0, sizeof(wall));
    wall.ifname = "p2pvpn0";
    if (range == NULL)
        return;
    assert_int_equal(pv_prefix_parse(range, &wall.ranges[0]), PV_OK);
    assert_int_equal(pv_prefix_parse("fd66::/48", &wall.ranges[1]), PV_OK);
}

static void take_all(take_line *take, const char *rules)
{
    char *text = strdup(rules), *save = NULL;
    assert_non_null(text);
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
        take(&wall, line);
    free(text);
}

/* The table that is found to drop; "": none. */
static void expect_found(const char *ruleset, const char *found)
{
    start("10.66.0.0/16");
    take_all(pv_hostwall_line, ruleset);
    assert_int_equal(pv_hostwall_ends(&wall), found[0] != '\0');
    assert_string_equal(wall.found.table, found);
}

/* Each part of the entry: the table that is found to drop, or "none", and behind that line the
 * ruleset. */
static void expect_each_found(const char *label)
{
    size_t n = 0;
    const char *const *parts = test_given_parts(label, &n);
    for (size_t i = 0; i < n; i++) {
        char found[64];
        size_t len = strcspn(parts[i], "\n");
        snprintf(found, sizeof(found), "%.*s", (int)len, parts[i]);
        expect_found(parts[i] + len, strcmp(found, "none") == 0 ? "" : found);
    }
}

/* None drops for sure, and of that table (""; none) nobody can tell. */
static void expect_unclear(const char *ruleset, const char *unclear)
{
    expect_found(ruleset, "");
    assert_string_equal(wall.unclear.table, unclear);
}

/* Its chain, too, and what lets our interface through it. */
static void expect_remedy(const char *ruleset, const char *table, const char *chain)
{
    char text[256];
    expect_found(ruleset, table);
    assert_string_equal(wall.found.in.chain, chain);
    assert_shows("remedy", pv_hostwall_remedy(&wall, text, sizeof(text)));
}

#define INPUT "type filter hook input priority filter; policy "

PV_TEST(a_policy_that_drops_is_found_in_each_family)
{
    expect_found("", "");
    expect_each_found("policies");
}

PV_TEST(a_rule_that_drops_whatever_begins_is_found)
{
    size_t n_dropping = 0;
    const char *const *dropping = test_given_parts("rules that drop what begins", &n_dropping);
    size_t n_others = 0;
    const char *const *others = test_given_parts("rules that drop other things", &n_others);
    for (size_t i = 0; i < n_dropping; i++) {
        expect_found(PV_STR("table ip f {\n\tchain c {\n\t\t" INPUT "accept;\n\t\t%s\n\t}\n}\n",
                            dropping[i]),
                     "ip f");
        /* In a chain that nothing comes into it means nothing. */
        expect_found(PV_STR("table ip f {\n\tchain c {\n\t\t%s\n\t}\n}\n", dropping[i]), "");
    }
    for (size_t i = 0; i < n_others; i++) {
        expect_found(
            PV_STR("table ip f {\n\tchain c {\n\t\t" INPUT "accept;\n\t\t%s\n\t}\n}\n", others[i]),
            "");
    }
}

/* ufw jumps through chains of its own; the rule may stand in any of the table. */
PV_TEST(a_table_that_accepts_by_our_interface_has_thought_of_it)
{
    expect_each_found("accept by interface");
}

/* firewalld puts an interface into a zone so; a rule that names it and drops, or goes nowhere, is
 * no answer. */
PV_TEST(a_zone_of_our_interface_is_a_thought)
{
    size_t n_zones = 0;
    const char *const *zones = test_given_parts("rules for a zone of p2pvpn0", &n_zones);
    size_t n_others = 0;
    const char *const *others = test_given_parts("rules for another zone", &n_others);
    for (size_t i = 0; i < n_zones; i++) {
        expect_found(test_given_with("a zone of firewalld", zones[i]), "");
    }
    for (size_t i = 0; i < n_others; i++) {
        expect_found(test_given_with("a zone of firewalld", others[i]), "inet firewalld");
    }
}

/* docker's own chain for its users, say: what is let through there is not let in. */
PV_TEST(a_chain_that_only_forwards_is_no_thought)
{
    expect_found(test_given_with("FORWARD accepts, INPUT jumps", "users"), "ip filter");
    expect_found(test_given_with("FORWARD accepts, INPUT jumps", "DOCKER-USER"), "");
}

static void expect_legacy(const char *rules, bool drops)
{
    start("10.66.0.0/16");
    pv_hostwall_legacy_table(&wall, false, "filter");
    take_all(pv_hostwall_legacy_line, rules);
    assert_int_equal(pv_hostwall_ends(&wall), drops);
    assert_string_equal(wall.found.table, drops ? "filter of iptables-legacy" : "");
}

/* Each part of the entry: "drops" or "passes", and behind that line the rules. */
static void expect_each_legacy(const char *label)
{
    size_t n = 0;
    const char *const *parts = test_given_parts(label, &n);
    for (size_t i = 0; i < n; i++)
        expect_legacy(strchr(parts[i], '\n'), parts[i][0] == 'd');
}

PV_TEST(rules_of_the_older_iptables_are_read)
{
    expect_each_legacy("iptables-legacy");
    expect_legacy("-A\n-P INPUT\n-A INPUT -j\n\n# Warning: x", false);
}

/* --- jumps ------------------------------------------------------------------------------------ */

/* A table with an input chain, in, of those rules, and a chain x. */
static const char *with_x(const char *policy, const char *rules, const char *x)
{
    return test_given_with("a table with x", x, policy, rules);
}

PV_TEST(a_chain_that_is_jumped_to_may_drop)
{
    size_t n_to_x = 0;
    const char *const *to_x = test_given_parts("jumps to x", &n_to_x);
    size_t n_elsewhere = 0;
    const char *const *elsewhere = test_given_parts("jumps to x that nothing takes", &n_elsewhere);
    for (size_t i = 0; i < n_to_x; i++) {
        expect_found(with_x("accept", to_x[i], "\t\tdrop"), "ip t");
        assert_string_equal(wall.found.in.chain, "in");
    }
    for (size_t i = 0; i < n_elsewhere; i++)
        expect_found(with_x("accept", elsewhere[i], "\t\tdrop"), "");
}

PV_TEST(a_chain_is_left_as_the_kernel_leaves_it)
{
    expect_found(with_x("accept", "jump x\ndrop", "return\naccept"), "ip t");
    expect_found(with_x("accept", "jump x\ndrop", "accept"), "");
    expect_found(with_x("accept", "goto x\ndrop", "tcp dport 23 drop"), "");
    expect_found(with_x("drop", "goto x\naccept", "return"), "ip t");
    /* A return that nobody can read counts as taken. */
    expect_found(with_x("accept", "jump x", "xt match \"socket\" return\ndrop"), "");
    expect_found(with_x("accept", "jump x", "ip saddr @friends return\ndrop"), "");
    expect_found(with_x("drop", "jump x", "ip saddr @friends return\ndrop"), "ip t");
    expect_found(with_x("accept", "jump x", "fib daddr type local return\ndrop"), "");
    expect_found(with_x("accept", "jump x", "fib daddr type multicast return\ndrop"), "ip t");
    expect_found(with_x("accept", "jump x", "fib daddr type { 3, 5 } return\ndrop"), "ip t");
    /* A rule that names our interface behind a drop is never reached. */
    expect_found(with_x("accept", "drop\niifname \"p2pvpn0\" accept", ""), "ip t");
    expect_remedy(with_x("accept", test_given("an accept of p2p* behind reject"), ""), "ip t",
                  "in");
    expect_found(with_x("drop", "iifname \"p2pvpn0\" jump x", "tcp dport 22 accept\ndrop"), "");
    expect_found(with_x("drop", "tcp dport 22 jump x", "iifname \"p2pvpn0\" accept"), "");
    expect_found(with_x("drop", "tcp dport 22 jump x", "accept"), "ip t");
}

PV_TEST(jumps_in_a_circle_end)
{
    const char *twice = test_given("jumps to x, again and again");
    expect_found(with_x("drop", twice, twice), "");
    expect_found(with_x("accept", "jump x\ndrop", "goto x"), "");
    expect_found(with_x("drop", "jump in", ""), "");
}

PV_TEST(nothing_is_claimed_of_a_table_beyond_the_limits)
{
    char rules[PV_HOSTWALL_RULES + 10][64];
    for (size_t n = PV_HOSTWALL_RULES - 3; n <= PV_HOSTWALL_RULES; n += 3) {
        start("10.66.0.0/16");
        take_all(pv_hostwall_line, "table ip t {\nchain in {\n" INPUT "drop;");
        for (size_t i = 0; i < n + 1; i++) {
            snprintf(rules[i], sizeof(rules[i]), "jump x%zu", i);
            pv_hostwall_line(&wall, rules[i]);
        }
        for (size_t i = 0; i < 2000; i++) /* these do not matter, or are as one */
            pv_hostwall_line(&wall, i < 1000 ? "tcp dport 22 accept" : "udp dport 5 drop");
        assert_int_equal(pv_hostwall_ends(&wall), n < PV_HOSTWALL_RULES);
        assert_string_equal(wall.unclear.table, "ip t");
    }
    /* The next table is another matter. */
    take_all(pv_hostwall_line, "table ip u {\nchain in {\n" INPUT "drop;\n}\n}");
    assert_true(pv_hostwall_ends(&wall));
    start("10.66.0.0/16");
    take_all(pv_hostwall_line, "table ip t {");
    for (size_t i = 0; i < PV_HOSTWALL_BASES + 1; i++)
        take_all(pv_hostwall_line, "chain in {\n" INPUT "drop;\n}");
    assert_false(pv_hostwall_ends(&wall));
}

/* Lines are listed to a length, so that their verdict may be missing. */
PV_TEST(a_line_that_was_cut_may_accept)
{
    char line[512], rules[1024];
    memset(line, '1', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    memcpy(line, "iifname \"p2pvpn0\" tcp dport { 22, ", 33);
    snprintf(rules, sizeof(rules), "%s\ndrop", line);
    expect_found(with_x("drop", rules, ""), "");
    memcpy(line, "iifname \"eth0\"    tcp dport { 22, ", 33);
    snprintf(rules, sizeof(rules), "%s\ndrop", line);
    expect_found(with_x("drop", rules, ""), "ip t");
}

/* --- conditions ------------------------------------------------------------------------------- */

static void expect_each(const char *const *rules, size_t n, const char *policy, const char *found)
{
    for (size_t i = 0; i < n; i++)
        expect_found(with_x(policy, rules[i], ""), found);
}

PV_TEST(a_drop_of_the_members_addresses_is_found)
{
    size_t n_dropping = 0;
    const char *const *dropping = test_given_parts("drops of members by address", &n_dropping);
    size_t n_others = 0;
    const char *const *others = test_given_parts("drops of others by address", &n_others);
    expect_each(dropping, n_dropping, "accept", "ip t");
    expect_each(others, n_others, "accept", "");
    start(NULL);
    take_all(pv_hostwall_line, with_x("accept", "ip saddr 10.66.0.0/16 drop", ""));
    assert_false(pv_hostwall_ends(&wall));
}

PV_TEST(conditions_of_a_new_connection_by_tcp_hold)
{
    size_t n_dropping = 0;
    const char *const *dropping = test_given_parts("conditions that hold", &n_dropping);
    size_t n_others = 0;
    const char *const *others = test_given_parts("conditions that do not hold", &n_others);
    expect_each(dropping, n_dropping, "accept", "ip t");
    expect_each(others, n_others, "accept", "");
    /* A set's own lines are no rules. */
    expect_each_found("sets and other tables");
}

/* --- families --------------------------------------------------------------------------------- */

/* A table of both families with an input chain of those rules. */
static const char *of_both(const char *policy, const char *rules)
{
    static char text[1024];
    snprintf(text, sizeof(text), "table inet t {\nchain in {\n" INPUT "%s;\n%s\n}\n}", policy,
             rules);
    return text;
}

/* Names of members resolve to IPv6 first. */
PV_TEST(a_drop_by_one_family_is_found)
{
    size_t n_six = 0;
    const char *const *six = test_given_parts("drops of IPv6", &n_six);
    for (size_t i = 0; i < n_six; i++) {
        expect_found(of_both("accept", six[i]), "inet t");
        assert_true(wall.found.only_ip6);
    }
    expect_found(of_both("accept", "ip saddr 10.66.0.0/16 drop"), "inet t");
    assert_false(wall.found.only_ip6);
    expect_found(of_both("drop", ""), "inet t");
    assert_false(wall.found.only_ip6);
    expect_unclear(of_both("accept", test_given("drops of two IPv6 senders")), "");
    expect_unclear(of_both("drop", test_given("accepts of our prefixes")), "");
}

/* --- sets with a name ------------------------------------------------------------------------- */

/* A table of that set, s, and an input chain of those rules. */
static const char *with_set(const char *set, const char *policy, const char *rules)
{
    return test_given_with("a table with a set", set, policy, rules);
}

PV_TEST(a_set_with_a_name_is_looked_into)
{
    static const struct {
        const char *set, *policy, *rules; /* set: a label of the transcript */
        bool drops;
    } cases[] = {
        {"lo and eth0", "drop", "iifname @s accept\nct state established accept", true},
        {"lo and eth0", "accept", "iifname != @s drop", true},
        {"lo and eth0", "accept", "iifname @s drop", false},
        {"lo by its index", "drop", "iif @s accept", true},
        {"eth* and p2p*", "drop", "iifname @s accept", false},
        {"eth* and p2p*", "drop", "iifname @s tcp dport 22 accept", false},
        {"eth* and p2p*", "accept", "iifname @s drop", true},
        {"eth* and p2p*", "accept", "iifname != @s drop", false},
        {"private addresses", "accept", "ip saddr @s drop", true},
        {"private addresses", "accept", "ip saddr @s counter packets 0 bytes 0 drop", true},
        {"private addresses", "accept", "ip saddr != @s drop", false},
        {"private addresses", "drop", "ip saddr @s accept", false},
        {"banned addresses", "accept", "ip saddr @s drop", false},
        {"banned addresses", "accept", "tcp dport 22 ip saddr @s drop", false},
        {"192.0.2.1", "drop", "ip saddr @s accept", true},
        {"no ranges", "drop", "ip saddr @s accept", true},
        {"no addresses", "accept", "ip saddr @s drop", false},
        {"two ports", "drop", "tcp dport @s accept", true},
        {"two ports", "accept", "tcp dport @s drop", false},
        {"states 0x2 and 0x8", "drop", "ct state @s accept", false},
        {"protocol 6", "accept", "meta l4proto @s drop", true},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(cases); i++) {
        const char *text = with_set(test_given(cases[i].set), cases[i].policy, cases[i].rules);
        if (cases[i].drops)
            expect_found(text, "ip t");
        else
            expect_unclear(text, "");
    }
    expect_found(test_given("a set of IPv6 prefixes"), "inet t");
    assert_true(wall.found.only_ip6);
    /* Another table's is another. */
    expect_unclear(PV_STR("%s%s", with_set(test_given("lo and eth0"), "accept", ""),
                          "table ip u {\nchain in {\n" INPUT "drop;\niifname @s accept\n}\n}"),
                   "ip u");
}

/* --- what cannot be read ---------------------------------------------------------------------- */

PV_TEST(it_is_said_where_nobody_can_tell)
{
    size_t n_unclear = 0;
    const char *const *unclear = test_given_parts("drops that nobody can judge", &n_unclear);
    size_t n_clear = 0;
    const char *const *clear = test_given_parts("drops that are clear", &n_clear);
    for (size_t i = 0; i < n_unclear; i++)
        expect_unclear(with_x("accept", unclear[i], ""), "ip t");
    for (size_t i = 0; i < n_clear; i++)
        expect_unclear(with_x("accept", clear[i], ""), "");
    expect_found(with_x("accept", "meta iiftype 65534 drop", ""), "ip t");
    expect_found(with_x("accept", "tcp flags 0x2 drop", ""), "ip t");
    /* An element of two parts, or a type that is not known. */
    expect_unclear(with_set(test_given("a set of pairs"), "drop", "iifname . tcp dport @s accept"),
                   "ip t");
    expect_unclear(with_set("\t\ttype mark\n\t\telements = { 0x1 }", "accept", "meta mark @s drop"),
                   "ip t");
    /* Beyond the limits. */
    start("10.66.0.0/16");
    take_all(pv_hostwall_line, "table ip t {");
    for (size_t i = 0; i <= PV_HOSTWALL_SETS; i++)
        take_all(pv_hostwall_line, PV_STR("set s%zu {\ntype ifname\nelements = { \"lo\" }\n}", i));
    take_all(pv_hostwall_line,
             PV_STR("chain in {\n" INPUT "drop;\niifname @s%d accept\n}\n}", PV_HOSTWALL_SETS));
    assert_false(pv_hostwall_ends(&wall));
    assert_string_equal(wall.unclear.table, "ip t");
    char line[512];
    memset(line, '1', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    memcpy(line, "elements = { \"lo\" comment \"", 27);
    expect_unclear(with_set(PV_STR("\t\ttype ifname\n%s", line), "drop", "iifname @s accept"),
                   "ip t");
}

/* Members may be let in by it, so that a drop behind it is no sure one. */
PV_TEST(an_accept_that_cannot_be_read_leaves_it_open)
{
    size_t n_unclear = 0;
    const char *const *unclear = test_given_parts("accepts that nobody can judge", &n_unclear);
    size_t n_sure = 0;
    const char *const *sure = test_given_parts("accepts that are clear", &n_sure);
    const char *established = "iifname \"lo\" accept\nct state 0x2 accept";
    for (size_t i = 0; i < n_unclear; i++) {
        const char *rules = PV_STR("%s\n%s", established, unclear[i]);
        expect_unclear(with_x("drop", rules, "meta mark 1 accept"), "ip t");
        assert_string_equal(wall.unclear.in.chain, "in");
        expect_unclear(with_x("accept", PV_STR("%s\ndrop", rules), "meta mark 1 accept"), "ip t");
    }
    for (size_t i = 0; i < n_sure; i++)
        expect_found(with_x("drop", PV_STR("%s\n%s", established, sure[i]), "meta mark 1 accept"),
                     "ip t");
    /* An answer, too; and one behind which nothing drops is none of it. */
    expect_unclear(test_given("an output chain"), "ip t");
    expect_unclear(with_x("accept", "meta mark 1 accept", ""), "");
}

/* Where nothing drops all: the table that drops what no rule of an administrator's lets through. */
static void expect_most(const char *ruleset, const char *most)
{
    expect_unclear(ruleset, "");
    assert_string_equal(wall.most.table, most);
}

PV_TEST(a_table_that_lets_some_of_it_in_is_known)
{
    size_t n_some = 0;
    const char *const *some = test_given_parts("accepts of some of it", &n_some);
    size_t n_all = 0;
    const char *const *all = test_given_parts("accepts of all of it", &n_all);
    for (size_t i = 0; i < n_some; i++) {
        expect_most(with_x("drop", some[i], "tcp dport 22 accept"), "ip t");
        assert_string_equal(wall.most.in.chain, "in");
        expect_most(
            with_x("accept", PV_STR("%s\nct state new drop", some[i]), "tcp dport 22 accept"),
            "ip t");
        expect_most(with_x("accept", some[i], "tcp dport 22 accept"), "");
    }
    for (size_t i = 0; i < n_all; i++)
        expect_most(with_x("drop", all[i], ""), "");
}

/* --- hooks ------------------------------------------------------------------------------------ */

/* A chain, c, of a table with one rule. */
static const char *at_hook(const char *table, const char *hook, const char *rules)
{
    return test_given_with("a chain at a hook", table, hook, rules);
}

PV_TEST(a_drop_before_the_input_is_found)
{
    const char *raw = test_given("prerouting"), *ingress = test_given("ingress of p2pvpn0"),
               *nat = test_given("nat prerouting");
    expect_remedy(at_hook("ip raw", raw, "iifname \"p2pvpn0\" drop"), "ip raw", "c");
    assert_int_equal(wall.found.in.hook, PV_HOSTWALL_EARLIER);
    expect_found(at_hook("ip raw", raw, test_given("a drop of docker")), "");
    expect_found(at_hook("ip nat", nat, "drop"), "ip nat");
    expect_found(at_hook("ip nat", nat, "tcp dport 80 redirect to 8080"), "");
    expect_remedy(at_hook("netdev x", ingress, "drop"), "netdev x", "c");
    expect_found(at_hook("inet x", ingress, "ip saddr 10.66.0.0/16 drop"), "inet x");
    expect_found(at_hook("netdev x", test_given("ingress of two devices"), ""), "netdev x");
    expect_found(at_hook("netdev x", test_given("ingress of eth0"), "drop"), "");
    expect_found(at_hook("ip x", "filter hook forward priority 0; policy drop;", "drop"), "");
}

PV_TEST(a_drop_of_what_this_host_answers_is_found)
{
    const char *drop = test_given("output, drop"), *accept = test_given("output, accept"),
               *egress = test_given("egress of p2pvpn0");
    size_t n_dropping = 0;
    const char *const *dropping = test_given_parts("drops of answers", &n_dropping);
    size_t n_others = 0;
    const char *const *others = test_given_parts("drops of no answers", &n_others);
    for (size_t i = 0; i < n_dropping; i++) {
        expect_remedy(at_hook("ip o", accept, dropping[i]), "ip o", "c");
        assert_int_equal(wall.found.in.hook, PV_HOSTWALL_OUTPUT);
    }
    for (size_t i = 0; i < n_others; i++)
        expect_found(at_hook("ip o", accept, others[i]), "");
    expect_found(at_hook("ip o", drop, "oifname \"lo\" accept"), "ip o");
    expect_found(at_hook("ip o", drop, "ct state new accept"), "ip o");
    expect_found(at_hook("ip o", drop, "ct state 0x2,0x4 accept"), "");
    expect_found(at_hook("ip o", drop, "oifname \"p2pvpn0\" accept"), "");
    expect_found(at_hook("netdev o", egress, "drop"), "netdev o");
    expect_found(at_hook("ip o", test_given("nat postrouting"), ""), "");
}

/* --- what others set -------------------------------------------------------------------------- */

/* As ufw 0.36 makes it by iptables-nft 1.8.9, with `ufw allow 22/tcp`; users: its own rules. */
static const char *ufw(const char *users)
{
    return test_given_with("ufw", users);
}

PV_TEST(ufw_is_read)
{
    expect_found(ufw(""), "ip filter");
    assert_string_equal(wall.found.in.chain, "INPUT");
    expect_found(ufw(test_given("ufw: accept by p2pvpn0")), "");
    expect_found(ufw(test_given("ufw: accept port 80 by p2pvpn0")), "");
    expect_unclear(ufw(test_given("ufw: accept from members")), "");
    expect_found(ufw(test_given("ufw: accept by eth0")), "ip filter");
    expect_found(ufw(test_given("ufw: accept port 23")), "ip filter");
}

/* firewalld's zones: that of an interface is gone to by its name, or by the source. */
static const char *firewalld(const char *zone)
{
    return test_given_with("firewalld", zone);
}

PV_TEST(firewalld_is_read)
{
    expect_found(firewalld(""), "inet firewalld");
    assert_string_equal(wall.found.in.chain, "filter_INPUT");
    expect_found(firewalld(test_given("p2pvpn0 is trusted")), "");
    expect_found(firewalld(test_given("10.66.0.0/16 is trusted")), "inet firewalld");
    assert_true(wall.found.only_ip6);
    expect_unclear(firewalld(test_given("members are trusted")), "");
    expect_found(firewalld(test_given("eth0 is trusted")), "inet firewalld");
    /* An administrator who put it into a zone decided about it, unless that lets nothing in. */
    expect_found(firewalld(test_given("p2pvpn0 is public")), "");
    expect_found(firewalld(test_given("p2pvpn0 is blocked")), "inet firewalld");
}

/* --- the older iptables ----------------------------------------------------------------------- */

PV_TEST(chains_of_the_older_iptables_are_walked)
{
    size_t n_dropping = 0;
    const char *const *dropping = test_given_parts("iptables-legacy that drops", &n_dropping);
    size_t n_others = 0;
    const char *const *others = test_given_parts("iptables-legacy that passes", &n_others);
    char rules[512];
    for (size_t i = 0; i < n_dropping + n_others; i++) {
        bool drops = i < n_dropping;
        snprintf(rules, sizeof(rules), "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n%s",
                 drops ? dropping[i] : others[i - n_dropping]);
        expect_legacy(rules, drops);
    }
}

PV_TEST(the_older_iptables_have_a_remedy_of_their_own)
{
    char text[256];
    expect_legacy("-P INPUT DROP", true);
    assert_shows("remedy", pv_hostwall_remedy(&wall, text, sizeof(text)));
    expect_legacy("-P INPUT ACCEPT\n-P OUTPUT DROP", true);
    assert_shows("remedy", pv_hostwall_remedy(&wall, text, sizeof(text)));
    start("10.66.0.0/16");
    take_all(pv_hostwall_line, "table ip t {\nchain in {\n" INPUT "accept;\n}\n}");
    pv_hostwall_legacy_table(&wall, true, "raw");
    take_all(pv_hostwall_legacy_line, test_given("ip6tables-legacy that drops"));
    assert_true(pv_hostwall_ends(&wall));
    assert_shows("remedy", pv_hostwall_remedy(&wall, text, sizeof(text)));
}
