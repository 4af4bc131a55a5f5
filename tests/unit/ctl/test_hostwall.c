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

/* None drops for sure, and of that table (""; none) nobody can tell. */
static void expect_unclear(const char *ruleset, const char *unclear)
{
    expect_found(ruleset, "");
    assert_string_equal(wall.unclear.table, unclear);
}

/* Its chain, too, and what lets our interface through it. */
static void expect_remedy(const char *ruleset, const char *table, const char *chain,
                          const char *remedy)
{
    char text[256];
    expect_found(ruleset, table);
    assert_string_equal(wall.found.in.chain, chain);
    assert_string_equal(pv_hostwall_remedy(&wall, text, sizeof(text)), remedy);
}

#define INPUT "type filter hook input priority filter; policy "

PV_TEST(a_policy_that_drops_is_found_in_each_family)
{
    expect_found("", "");
    expect_found("table inet filter {\n\tchain input {\n\t\t" INPUT "accept;\n\t}\n}\n", "");
    expect_found("table inet filter {\n\tchain input {\n\t\t" INPUT "drop;\n\t}\n}\n",
                 "inet filter");
    expect_found("table ip6 filter {\n\tchain INPUT {\n\t\t" INPUT
                 "drop;\n\t\tiifname \"lo\" accept\n"
                 "\t}\n}\n",
                 "ip6 filter");
    expect_found(
        "table ip nat {\n\tchain out {\n\t\ttype nat hook postrouting priority 100; policy "
        "accept;\n\t}\n}\ntable ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward "
        "priority filter; policy drop;\n\t}\n}\n",
        "");
}

PV_TEST(a_rule_that_drops_whatever_begins_is_found)
{
    static const char *const dropping[] = {
        "drop",
        "reject with icmpx admin-prohibited",
        "ct state new drop",
        "counter packets 4 bytes 240 drop",
        "iifname \"p2pvpn0\" ct state new counter packets 0 bytes 0 drop",
        "ct state invalid,new drop",
        "ct state 0x8 drop",
        "ct state 0x1,0x8 counter packets 1 bytes 60 drop",
        "iif \"p2pvpn0\" drop",
        "iifname \"p2p*\" drop",
        "iifname { \"eth1\", \"p2pvpn0\" } drop",
        "iifname != \"eth0\" counter packets 0 bytes 0 drop",
        "iifname != { \"lo\", \"eth0\" } reject",
        "log prefix \"in: \" level warn flags all drop",
        "ct state new log drop",
        "meta l4proto { tcp, udp } drop",
        "meta l4proto { 6, 17 } counter packets 0 bytes 0 drop"};
    static const char *const others[] = {"tcp dport 23 drop",
                                         "iifname \"eth0\" drop",
                                         "iifname != \"p2pvpn0\" drop",
                                         "iifname != { \"lo\", \"p2p*\" } drop",
                                         "iif \"eth0\" log prefix \"x\" drop",
                                         "log prefix \"drop \" level warn",
                                         "meta l4proto 17 drop",
                                         "iifname drop",
                                         "iifname \"drop",
                                         "ct state invalid drop",
                                         "ip saddr 192.0.2.0/24 reject",
                                         "accept"};
    for (size_t i = 0; i < PV_ARRAY_LEN(dropping); i++) {
        expect_found(PV_STR("table ip f {\n\tchain c {\n\t\t" INPUT "accept;\n\t\t%s\n\t}\n}\n",
                            dropping[i]),
                     "ip f");
        /* In a chain that nothing comes into it means nothing. */
        expect_found(PV_STR("table ip f {\n\tchain c {\n\t\t%s\n\t}\n}\n", dropping[i]), "");
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(others); i++) {
        expect_found(
            PV_STR("table ip f {\n\tchain c {\n\t\t" INPUT "accept;\n\t\t%s\n\t}\n}\n", others[i]),
            "");
    }
}

/* ufw jumps through chains of its own; the rule may stand in any of the table. */
PV_TEST(a_table_that_accepts_by_our_interface_has_thought_of_it)
{
    expect_found(
        "table ip filter {\n\tchain INPUT {\n\t\t" INPUT "drop;\n\t\tjump users\n\t}\n"
        "\tchain users {\n\t\tiifname \"p2pvpn0\" counter packets 0 bytes 0 accept\n\t}\n}\n",
        "");
    expect_found("table ip filter {\n\tchain INPUT {\n\t\t" INPUT
                 "drop;\n\t\tiifname \"p2p*\" tcp dport 22 "
                 "accept\n\t}\n}\n",
                 "");
    expect_found(
        "table ip a {\n\tchain INPUT {\n\t\tiifname \"p2pvpn0\" accept\n\t}\n}\ntable ip b {\n"
        "\tchain INPUT {\n\t\t" INPUT "drop;\n\t}\n}\n",
        "ip b");
    expect_found("table inet p2pvpn-p2pvpn0 {\n\tchain input {\n\t\t" INPUT "drop;\n\t}\n}\n", "");
}

/* firewalld puts an interface into a zone so; a rule that names it and drops, or goes nowhere, is
 * no answer. */
PV_TEST(a_zone_of_our_interface_is_a_thought)
{
    static const char firewalld[] =
        "table inet firewalld {\n\tchain filter_INPUT {\n\t\ttype filter hook input priority "
        "filter "
        "+ 10; policy accept;\n\t\tct state { established, related } accept\n\t\tiifname \"lo\" "
        "accept\n\t\tjump filter_INPUT_ZONES\n\t\treject with icmpx admin-prohibited\n\t}\n"
        "\tchain filter_INPUT_ZONES {\n\t\t%s\n\t\tgoto filter_IN_public\n\t}\n"
        "\tchain filter_IN_trusted {\n\t\taccept\n\t}\n\tchain b {\n\t\ttcp dport 22 "
        "accept\n\t}\n}\n";
    static const char *const zones[] = {
        "iifname \"p2pvpn0\" goto filter_IN_trusted", "iifname { \"eth1\", \"p2pvpn0\" } accept",
        "iifname vmap { \"eth0\" : goto a, \"p2pvpn0\" : goto b }",
        "iifname \"p2pvpn*\" counter packets 0 bytes 0 jump filter_IN_trusted",
        "iifname \"p2pvpn0\" tcp dport != 23 accept"};
    static const char *const others[] = {
        "iifname \"eth0\" goto filter_IN_trusted", "iifname \"p2pvpn0\" tcp dport 23 drop",
        "iifname \"eth0\" oifname \"p2pvpn0\" accept", "oifname \"p2pvpn0\" accept",
        "iifname != \"p2pvpn0\" accept"};
    for (size_t i = 0; i < PV_ARRAY_LEN(zones); i++) {
        expect_found(PV_STR(firewalld, zones[i]), "");
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(others); i++) {
        expect_found(PV_STR(firewalld, others[i]), "inet firewalld");
    }
}

/* docker's own chain for its users, say: what is let through there is not let in. */
PV_TEST(a_chain_that_only_forwards_is_no_thought)
{
    static const char text[] =
        "table ip filter {\n\tchain INPUT {\n\t\t" INPUT "drop;\n\t\tjump %s\n\t}\n"
        "\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n"
        "\t\tiifname \"p2pvpn0\" accept\n\t\tjump DOCKER-USER\n\t}\n\tchain DOCKER-USER {\n"
        "\t\tiifname \"p2pvpn0\" counter packets 0 bytes 0 accept\n\t}\n}\n";
    expect_found(PV_STR(text, "users"), "ip filter");
    expect_found(PV_STR(text, "DOCKER-USER"), "");
}

static void expect_legacy(const char *rules, bool drops)
{
    start("10.66.0.0/16");
    pv_hostwall_legacy_table(&wall, false, "filter");
    take_all(pv_hostwall_legacy_line, rules);
    assert_int_equal(pv_hostwall_ends(&wall), drops);
    assert_string_equal(wall.found.table, drops ? "filter of iptables-legacy" : "");
}

PV_TEST(rules_of_the_older_iptables_are_read)
{
    expect_legacy("-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT", false);
    expect_legacy("-P INPUT DROP\n-P FORWARD DROP\n-A INPUT -i lo -j ACCEPT", true);
    expect_legacy("-P INPUT DROP\n-A INPUT -i p2pvpn0 -m comment --comment \"let us in\" -j ACCEPT",
                  false);
    expect_legacy("-P INPUT DROP\n-A INPUT -i p2p+ -p tcp -m tcp --dport 22 -j ACCEPT", false);
    expect_legacy("-P INPUT DROP\n-A INPUT ! -i p2pvpn0 -j ACCEPT", true);
    expect_legacy("-P INPUT DROP\n-A INPUT -i p2pvpn0 -j LOG\n-A INPUT -i p2pvpn0 -j RETURN", true);
    expect_legacy("-P INPUT DROP\n-A FORWARD -i p2pvpn0 -j ACCEPT", true);
    expect_legacy("-P INPUT DROP\n-N users\n-A INPUT -j users\n-A users -i p2pvpn0 -j ACCEPT",
                  false);
    expect_legacy("-P INPUT ACCEPT\n-A INPUT -i eth0 -j DROP\n-A INPUT -p udp -j DROP", false);
    expect_legacy("-P INPUT ACCEPT\n-A INPUT -j REJECT --reject-with icmp-port-unreachable", true);
    expect_legacy("-P INPUT ACCEPT\n-A INPUT -m conntrack --ctstate INVALID,NEW -j DROP", true);
    expect_legacy("-P INPUT ACCEPT\n-A INPUT -m conntrack --ctstate INVALID -j DROP", false);
    expect_legacy("-A\n-P INPUT\n-A INPUT -j\n\n# Warning: x", false);
}

/* --- jumps ------------------------------------------------------------------------------------ */

/* A table with an input chain, in, of those rules, and a chain x. */
static const char *with_x(const char *policy, const char *rules, const char *x)
{
    static char text[4096];
    snprintf(text, sizeof(text),
             "table ip t {\n\tchain x {\n%s\n\t}\n\tchain in {\n\t\t" INPUT
             "%s;\n%s\n\t}\n\tchain allow {\n\t\taccept\n\t}\n}\n",
             x, policy, rules);
    return text;
}

PV_TEST(a_chain_that_is_jumped_to_may_drop)
{
    static const char *const to_x[] = {
        "iifname \"p2pvpn0\" jump x",
        "jump x",
        "goto x",
        "ct state new counter packets 0 bytes 0 jump x",
        "ct state vmap { 0x1 : drop, 0x2 : accept, 0x8 : jump x }",
        "ct state vmap { established : accept, invalid : drop, new : goto x }",
        "iifname vmap { \"lo\" : accept, \"p2pvpn0\" : jump x }",
        "meta l4proto vmap { 6 : jump x, 17 : accept }",
        "ip saddr vmap { 192.0.2.0/24 : accept, 10.66.0.0/16 : jump x }",
        "iifname \"p2pvpn0\" jump x\naccept"};
    static const char *const elsewhere[] = {"iifname \"eth0\" jump x",
                                            "tcp dport 23 jump x",
                                            "iifname \"p2pvpn0\" tcp dport 23 jump x",
                                            "ct state vmap { 0x2 : jump x }",
                                            "iifname \"p2pvpn0\" accept\njump x",
                                            "accept\njump x",
                                            "return\njump x",
                                            "jump allow\njump x",
                                            "iifname vmap @zones\njump x"};
    for (size_t i = 0; i < PV_ARRAY_LEN(to_x); i++) {
        expect_found(with_x("accept", to_x[i], "\t\tdrop"), "ip t");
        assert_string_equal(wall.found.in.chain, "in");
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(elsewhere); i++)
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
    expect_remedy(
        with_x("accept", "ct state established accept\nreject\niifname \"p2p*\" accept", ""),
        "ip t", "in", "nft insert rule ip t in iifname \"p2pvpn0\" accept");
    expect_found(with_x("drop", "iifname \"p2pvpn0\" jump x", "tcp dport 22 accept\ndrop"), "");
    expect_found(with_x("drop", "tcp dport 22 jump x", "iifname \"p2pvpn0\" accept"), "");
    expect_found(with_x("drop", "tcp dport 22 jump x", "accept"), "ip t");
}

PV_TEST(jumps_in_a_circle_end)
{
    static const char twice[] = "jump x\njump x\ntcp dport 1 jump x\njump x\njump x";
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
    static const char *const dropping[] = {
        "ip saddr 10.66.0.0/16 drop",
        "ip saddr 10.0.0.0/8 counter packets 0 bytes 0 drop",
        "ip daddr 10.64.0.0/10 reject with icmp 13",
        "ip saddr { 192.0.2.1, 10.66.0.0/16 } drop",
        "ip saddr 0.0.0.0/0 drop",
        "ip saddr 10.66.0.0-10.67.255.255 drop",
        "ip saddr != 192.0.2.0/24 drop",
        "ip saddr != { 192.0.2.0/24, 198.51.100.1-198.51.100.9 } drop",
        "iifname \"p2pvpn0\" ip saddr 10.66.0.0/16 drop",
        "ip saddr 10.66.0.0/16 tcp flags 0x2 / 0x1,0x2,0x4,0x10 drop"};
    static const char *const others[] = {"ip saddr 10.66.0.0/17 drop",
                                         "ip saddr 10.66.0.7 drop",
                                         "ip saddr 10.66.0.1-10.67.0.0 drop",
                                         "ip daddr 192.0.2.1 drop",
                                         "ip saddr != 10.0.0.0/8 drop",
                                         "ip saddr != 10.66.4.0/24 drop",
                                         "ip saddr != @friends drop",
                                         "ip saddr @enemies drop",
                                         "ip6 saddr fd00::/8 drop",
                                         "ip saddr x-y drop",
                                         "ip saddr & 255.0.0.255 == 10.0.0.1 drop",
                                         "ip saddr . tcp dport { 10.66.0.0/16 . 22 } drop",
                                         "ip saddr 10.66.0.0/16 accept\ndrop",
                                         "ip saddr 10.66.0.0/16 tcp dport 22 accept\ndrop",
                                         "ip saddr 10.66.0.9 accept\ndrop",
                                         "ip saddr @friends accept\ndrop"};
    expect_each(dropping, PV_ARRAY_LEN(dropping), "accept", "ip t");
    expect_each(others, PV_ARRAY_LEN(others), "accept", "");
    start(NULL);
    take_all(pv_hostwall_line, with_x("accept", "ip saddr 10.66.0.0/16 drop", ""));
    assert_false(pv_hostwall_ends(&wall));
}

PV_TEST(conditions_of_a_new_connection_by_tcp_hold)
{
    static const char *const dropping[] = {
        "meta nfproto 2 drop",
        "meta protocol 0x0800 drop",
        "ip version 4 drop",
        "meta l4proto 6 drop",
        "ip protocol tcp drop",
        "ip protocol { 6, 17 } drop",
        "ip protocol != 1 drop",
        "ct state ! 0x2,0x4 drop",
        "ct state != established drop",
        "ct state { 0x8, 0x40 } drop",
        "ct direction original drop",
        "meta mark set 0x00000003 drop",
        "meta nftrace set 1 drop",
        "limit rate 3/minute burst 10 packets accept\ndrop",
        "counter name \"x\" log level 4 prefix \"drop\" flags all drop",
        "fib daddr type { 2, 5 } drop",
        "counter name \"in\" log prefix \"accept \" group 2 drop comment \"why\"",
        "iifname { \"lo\", \"p2p*\" } oifname != \"lo\" accept\ndrop",
        "iifname \"p2pvpn0\" ct state established accept\ndrop",
        "iifname \"p2pvpn0\" meta l4proto 17 drop\ndrop",
        "tcp dport 22 accept\ndrop"};
    static const char *const others[] = {
        "meta nfproto 10 drop",
        "meta protocol 0x86dd drop",
        "ether type 0x0800 drop",
        "ct state 0x2,0x4 drop",
        "ct direction reply drop",
        "limit rate over 5/second drop",
        "meta mark 0x00000001 drop",
        "fib saddr . iif oif 0 drop",
        "fib saddr type != local drop",
        "tcp flags 0x0 drop",
        "tcp dport vmap { 22 : drop, 80 : accept } ",
        "iifname . tcp dport { \"p2pvpn0\" . 22 } accept\ndrop",
        "tcp dport . iifname { 22 . \"p2pvpn0\" } accept\ndrop",
        "iifname . tcp dport vmap { \"p2pvpn0\" . 22 : accept }\ndrop",
        "iifname \"p2pvpn0\" tcp dport vmap { 22 : accept }\ndrop",
        "iifname \"p2pvpn0\" icmp type 8 accept\ndrop",
        "iifname \"p2pvpn0\" meta l4proto 17 accept\ndrop",
        "iifname @mine accept\ndrop",
        "tcp flags 0x2 / 0x1,0x2,0x4,0x10 accept\ndrop",
        "limit rate over 3/minute burst 10 packets drop",
        "iifname \"p2pvpn0\" limit rate 3/minute burst 10 packets accept\ndrop",
        "queue to 1"};
    expect_each(dropping, PV_ARRAY_LEN(dropping), "accept", "ip t");
    expect_each(others, PV_ARRAY_LEN(others), "accept", "");
    /* A set's own lines are no rules. */
    expect_found(
        "table ip t {\nset s {\ntype ifname\nflags interval\nelements = { \"p2pvpn0\",\ndrop "
        "}\n}\nchain in {\n" INPUT "accept;\n}\n}",
        "");
    expect_found("table ip t {\nflags dormant\nchain in {\n" INPUT "drop;\n}\n}", "");
    expect_found("table bridge t {\nchain in {\n" INPUT "drop;\n}\n}", "");
    expect_found("table ip6 t {\nchain in {\n" INPUT "accept;\nmeta nfproto 10 drop\n}\n}",
                 "ip6 t");
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
    static const char *const six[] = {"meta nfproto ipv6 drop",
                                      "meta nfproto 10 drop",
                                      "ip6 saddr fd00::/8 drop",
                                      "ip6 saddr != 2001:db8::/32 drop",
                                      "ip6 saddr { fc00::/7, ::1 } drop",
                                      "ip6 nexthdr 6 ip6 daddr fd66::/48 drop",
                                      "ip saddr 10.66.0.0/16 accept\ndrop"};
    for (size_t i = 0; i < PV_ARRAY_LEN(six); i++) {
        expect_found(of_both("accept", six[i]), "inet t");
        assert_true(wall.found.only_ip6);
    }
    expect_found(of_both("accept", "ip saddr 10.66.0.0/16 drop"), "inet t");
    assert_false(wall.found.only_ip6);
    expect_found(of_both("drop", ""), "inet t");
    assert_false(wall.found.only_ip6);
    expect_unclear(of_both("accept", "ip6 saddr fd66::7 drop\nip6 saddr 2001:db8::/32 drop"), "");
    expect_unclear(of_both("drop", "ip saddr 10.66.0.0/16 accept\nip6 saddr fd66::/48 accept"), "");
}

/* --- sets with a name ------------------------------------------------------------------------- */

/* A table of that set, s, and an input chain of those rules. */
static const char *with_set(const char *set, const char *policy, const char *rules)
{
    static char text[2048];
    snprintf(text, sizeof(text),
             "table ip t {\n\tset s {\n%s\n\t}\n\n\tchain in {\n\t\t" INPUT "%s;\n%s\n\t}\n}\n",
             set, policy, rules);
    return text;
}

#define LINKS "\t\ttype ifname\n\t\telements = { \"lo\",\n\t\t\t     \"eth0\" }"
#define OURS  "\t\ttypeof iifname\n\t\telements = { \"eth*\",\n\t\t\t     \"p2p*\" }"
#define BOGONS                                                                            \
    "\t\ttype ipv4_addr\n\t\tflags interval\n\t\tcomment \"no elements = { 1.2.3.4 }\"\n" \
    "\t\telements = { 10.0.0.0/8, 172.16.0.0/12,\n\t\t\t     192.168.1.1-192.168.1.9 }"
#define BANNED                                                                                  \
    "\t\ttype ipv4_addr\n\t\tsize 65535\n\t\tflags dynamic,timeout\n\t\ttimeout 3600s\n"        \
    "\t\telements = { 10.66.0.9 timeout 7200s expires 7199s comment \"0.0.0.0/0, 0.0.0.0/0\", " \
    "192.0.2.1 counter packets 0 bytes 0 }"

PV_TEST(a_set_with_a_name_is_looked_into)
{
    static const struct {
        const char *set, *policy, *rules;
        bool drops;
    } cases[] = {
        {LINKS, "drop", "iifname @s accept\nct state established accept", true},
        {LINKS, "accept", "iifname != @s drop", true},
        {LINKS, "accept", "iifname @s drop", false},
        {"\t\ttype iface_index\n\t\telements = { \"lo\" }", "drop", "iif @s accept", true},
        {OURS, "drop", "iifname @s accept", false},
        {OURS, "drop", "iifname @s tcp dport 22 accept", false},
        {OURS, "accept", "iifname @s drop", true},
        {OURS, "accept", "iifname != @s drop", false},
        {BOGONS, "accept", "ip saddr @s drop", true},
        {BOGONS, "accept", "ip saddr @s counter packets 0 bytes 0 drop", true},
        {BOGONS, "accept", "ip saddr != @s drop", false},
        {BOGONS, "drop", "ip saddr @s accept", false},
        {BANNED, "accept", "ip saddr @s drop", false},
        {BANNED, "accept", "tcp dport 22 ip saddr @s drop", false},
        {"\t\ttypeof ip saddr\n\t\telements = { 192.0.2.1 }", "drop", "ip saddr @s accept", true},
        {"\t\ttype ipv4_addr\n\t\tflags interval", "drop", "ip saddr @s accept", true},
        {"\t\ttype ipv4_addr", "accept", "ip saddr @s drop", false},
        {"\t\ttype inet_service\n\t\telements = { 22, 80 }", "drop", "tcp dport @s accept", true},
        {"\t\ttype inet_service\n\t\telements = { 22, 80 }", "accept", "tcp dport @s drop", false},
        {"\t\ttype ct_state\n\t\telements = { 0x2, 0x8 }", "drop", "ct state @s accept", false},
        {"\t\ttype inet_proto\n\t\telements = { 6 }", "accept", "meta l4proto @s drop", true},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(cases); i++) {
        const char *text = with_set(cases[i].set, cases[i].policy, cases[i].rules);
        if (cases[i].drops)
            expect_found(text, "ip t");
        else
            expect_unclear(text, "");
    }
    expect_found("table inet t {\nset s {\ntype ipv6_addr\nflags interval\nelements = { "
                 "2001:db8::1,\nfc00::/7 }\n}\nchain in {\n" INPUT
                 "accept;\nip6 saddr @s drop\n}\n}",
                 "inet t");
    assert_true(wall.found.only_ip6);
    /* Another table's is another. */
    expect_unclear(PV_STR("%s%s", with_set(LINKS, "accept", ""),
                          "table ip u {\nchain in {\n" INPUT "drop;\niifname @s accept\n}\n}"),
                   "ip u");
}

/* --- what cannot be read ---------------------------------------------------------------------- */

PV_TEST(it_is_said_where_nobody_can_tell)
{
    static const char *const unclear[] = {"iifname @none accept\ndrop",
                                          "ip saddr @none drop",
                                          "ip saddr @none return\ndrop",
                                          "iifname vmap @none",
                                          "iifname . tcp dport @none accept\ndrop",
                                          "iifgroup 0 drop",
                                          "meta mark 0x00000001 drop",
                                          "ct status 0x20 jump allow\niifname @none accept\ndrop",
                                          "xt match \"set\" drop",
                                          "meta iifkind \"tun\" drop"};
    static const char *const clear[] = {"tcp dport 22 ip saddr @none drop",
                                        "iifname \"p2pvpn0\" accept\nip saddr @none drop",
                                        "iifname \"p2pvpn0\" ct mark 5 accept\ndrop",
                                        "iifname \"eth0\" meta mark 1 drop",
                                        "ct state 0x1 drop\nlimit rate over 9/second drop",
                                        "tcp flags 0x1,0x2 / 0x1,0x2 drop",
                                        "rt type 0 drop\nxt match \"rt\" drop",
                                        "ip frag-off & 8191 != 0 drop",
                                        "meta pkttype 1 drop",
                                        "fib saddr . iif oif 0 drop",
                                        "fib saddr . mark . iif oif 1 accept\ndrop",
                                        "fib daddr . iif type != { 2, 3 } drop",
                                        "udp dport 53 ip saddr @none drop",
                                        "meta l4proto 6 xt match \"multiport\" drop",
                                        "meta oiftype 65534 drop"};
    for (size_t i = 0; i < PV_ARRAY_LEN(unclear); i++)
        expect_unclear(with_x("accept", unclear[i], ""), "ip t");
    for (size_t i = 0; i < PV_ARRAY_LEN(clear); i++)
        expect_unclear(with_x("accept", clear[i], ""), "");
    expect_found(with_x("accept", "meta iiftype 65534 drop", ""), "ip t");
    expect_found(with_x("accept", "tcp flags 0x2 drop", ""), "ip t");
    /* An element of two parts, or a type that is not known. */
    expect_unclear(with_set("\t\ttype ifname . inet_service\n\t\telements = { \"p2pvpn0\" . 22 }",
                            "drop", "iifname . tcp dport @s accept"),
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
    static const char *const unclear[] = {
        "iifgroup 28784 accept",
        "ct zone 0 accept",
        "iif 0-100 accept",
        "iif > 5 accept",
        "iif { 0-100, \"eth0\" } accept",
        "meta day 5 accept",
        "meta mark 0x00000005 accept",
        "meta l4proto 1-20 accept",
        "meta l4proto @none accept",
        "ip saddr > 10.0.0.0 accept",
        "xt match \"set\" accept",
        "xt match \"conntrack\" accept",
        "iifname != \"lo\" ct mark 5 counter packets 0 bytes 0 accept",
        "meta mark 1 jump allow",
        "meta mark 1 goto allow",
        "jump x",
        "meta mark 1 vmap { 1 : accept }",
        "iifname . ip saddr != { \"eth0\" . 10.0.0.1 } accept",
        "ip saddr . meta mark vmap { 10.66.0.0/16 . 1 : accept }"};
    static const char *const sure[] = {
        "iifname \"eth0\" meta mark 1 accept",
        "iif 77 accept",
        "oif > 5 accept",
        "ip saddr 192.0.2.0/24 ct mark 5 accept",
        "ct state established ct zone 0 accept",
        "tcp dport 22 meta day 5 accept",
        "tcp dport 22 jump x",
        "udp dport 53 ct mark 5 accept",
        "meta l4proto 17 meta mark 1 accept",
        "meta l4proto { 1-5, 17 } tcp dport 5 accept",
        "ct status 0x20 accept",
        "meta ipsec 1 accept",
        "meta skuid 0 accept",
        "ether saddr 00:11:22:33:44:55 accept",
        "meta pkttype 1 accept",
        "iifname . ip saddr { \"eth0\" . 10.0.0.0/8, \"lo\" . 127.0.0.1 } accept",
        "iifname . ip saddr vmap { \"eth0\" . 10.0.0.1 : accept }",
        "ip saddr . tcp dport { 10.66.0.0/16 . 22 } accept",
        "ip saddr . ip daddr { 192.0.2.1 . 192.0.2.2 } accept",
        "tcp dport . ip saddr { 22 . 10.66.0.1 } accept"};
    static const char established[] = "iifname \"lo\" accept\nct state 0x2 accept";
    for (size_t i = 0; i < PV_ARRAY_LEN(unclear); i++) {
        const char *rules = PV_STR("%s\n%s", established, unclear[i]);
        expect_unclear(with_x("drop", rules, "meta mark 1 accept"), "ip t");
        assert_string_equal(wall.unclear.in.chain, "in");
        expect_unclear(with_x("accept", PV_STR("%s\ndrop", rules), "meta mark 1 accept"), "ip t");
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(sure); i++)
        expect_found(with_x("drop", PV_STR("%s\n%s", established, sure[i]), "meta mark 1 accept"),
                     "ip t");
    /* An answer, too; and one behind which nothing drops is none of it. */
    expect_unclear("table ip t {\nchain out {\ntype filter hook output priority 0; policy drop;\n"
                   "oifgroup 28784 accept\n}\n}",
                   "ip t");
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
    static const char *const some[] = {"iifname \"p2pvpn0\" tcp dport 22 accept",
                                       "iifname \"p2pvpn0\" ip saddr 10.66.0.5 accept",
                                       "iifname \"p2pvpn0\" icmp type 8 accept",
                                       "iifname \"p2pvpn0\" meta l4proto 17 accept",
                                       "ip saddr 10.66.0.0/16 tcp dport 22 accept",
                                       "iifname vmap { \"p2pvpn0\" : jump x }",
                                       "iifname \"p2p*\" jump x",
                                       "iifname \"p2pvpn0\" tcp dport 22 jump allow"};
    static const char *const all[] = {
        "iifname \"p2pvpn0\" accept", "iifname \"p2p*\" tcp dport 22 accept\naccept",
        "iifname \"p2pvpn0\" jump allow", "iifname \"p2pvpn0\" meta mark 5 accept"};
    for (size_t i = 0; i < PV_ARRAY_LEN(some); i++) {
        expect_most(with_x("drop", some[i], "tcp dport 22 accept"), "ip t");
        assert_string_equal(wall.most.in.chain, "in");
        expect_most(
            with_x("accept", PV_STR("%s\nct state new drop", some[i]), "tcp dport 22 accept"),
            "ip t");
        expect_most(with_x("accept", some[i], "tcp dport 22 accept"), "");
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(all); i++)
        expect_most(with_x("drop", all[i], ""), "");
}

/* --- hooks ------------------------------------------------------------------------------------ */

/* A chain, c, of a table with one rule. */
static const char *at_hook(const char *table, const char *hook, const char *rules)
{
    static char text[1024];
    snprintf(text, sizeof(text), "table %s {\n\tchain c {\n\t\ttype %s\n\t\t%s\n\t}\n}\n", table,
             hook, rules);
    return text;
}

PV_TEST(a_drop_before_the_input_is_found)
{
    static const char raw[] = "filter hook prerouting priority -300; policy accept;",
                      ingress[] =
                          "filter hook ingress device \"p2pvpn0\" priority 0; policy accept;",
                      nat[] = "nat hook prerouting priority -100; policy accept;";
    expect_remedy(at_hook("ip raw", raw, "iifname \"p2pvpn0\" drop"), "ip raw", "c",
                  "nft insert rule ip raw c iifname \"p2pvpn0\" accept");
    assert_int_equal(wall.found.in.hook, PV_HOSTWALL_EARLIER);
    expect_found(at_hook("ip raw", raw, "ip daddr 172.17.0.2 iifname != \"docker0\" drop"), "");
    expect_found(at_hook("ip nat", nat, "drop"), "ip nat");
    expect_found(at_hook("ip nat", nat, "tcp dport 80 redirect to 8080"), "");
    expect_remedy(at_hook("netdev x", ingress, "drop"), "netdev x", "c",
                  "nft insert rule netdev x c iifname \"p2pvpn0\" accept");
    expect_found(at_hook("inet x", ingress, "ip saddr 10.66.0.0/16 drop"), "inet x");
    expect_found(at_hook("netdev x",
                         "filter hook ingress devices = { lo, p2pvpn0 } priority 0; policy drop;",
                         ""),
                 "netdev x");
    expect_found(
        at_hook("netdev x", "filter hook ingress device \"eth0\" priority 0; policy drop;", "drop"),
        "");
    expect_found(at_hook("ip x", "filter hook forward priority 0; policy drop;", "drop"), "");
}

PV_TEST(a_drop_of_what_this_host_answers_is_found)
{
    static const char drop[] = "filter hook output priority 0; policy drop;",
                      accept[] = "filter hook output priority 0; policy accept;",
                      egress[] = "filter hook egress device \"p2pvpn0\" priority 0; policy accept;";
    static const char *const dropping[] = {"oifname \"p2pvpn0\" drop",
                                           "oifname != \"lo\" reject",
                                           "oif \"p2pvpn0\" meta l4proto 6 reject with tcp reset",
                                           "ip daddr 10.66.0.0/16 drop",
                                           "ct state 0x2 drop",
                                           "tcp sport 22 accept\noifname \"p2pvpn0\" drop"};
    static const char *const others[] = {"oifname \"eth0\" drop",
                                         "oifname \"p2pvpn0\" ct state new drop",
                                         "iifname \"p2pvpn0\" drop",
                                         "tcp dport 22 drop",
                                         "tcp flags 0x2 / 0x1,0x2,0x4,0x10 drop",
                                         "oifname \"p2pvpn0\" tcp sport { 22 } accept\ndrop"};
    for (size_t i = 0; i < PV_ARRAY_LEN(dropping); i++) {
        expect_remedy(at_hook("ip o", accept, dropping[i]), "ip o", "c",
                      "nft insert rule ip o c oifname \"p2pvpn0\" accept");
        assert_int_equal(wall.found.in.hook, PV_HOSTWALL_OUTPUT);
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(others); i++)
        expect_found(at_hook("ip o", accept, others[i]), "");
    expect_found(at_hook("ip o", drop, "oifname \"lo\" accept"), "ip o");
    expect_found(at_hook("ip o", drop, "ct state new accept"), "ip o");
    expect_found(at_hook("ip o", drop, "ct state 0x2,0x4 accept"), "");
    expect_found(at_hook("ip o", drop, "oifname \"p2pvpn0\" accept"), "");
    expect_found(at_hook("netdev o", egress, "drop"), "netdev o");
    expect_found(at_hook("ip o", "nat hook postrouting priority 100; policy drop;", ""), "");
}

/* --- what others set -------------------------------------------------------------------------- */

/* As ufw 0.36 makes it by iptables-nft 1.8.9, with `ufw allow 22/tcp`; users: its own rules. */
static const char *ufw(const char *users)
{
    static char text[4096];
    snprintf(
        text, sizeof(text),
        "table ip filter {\n"
        "\tchain INPUT {\n\t\ttype filter hook input priority 0; policy drop;\n"
        "\t\tcounter packets 0 bytes 0 jump ufw-before-logging-input\n"
        "\t\tcounter packets 0 bytes 0 jump ufw-before-input\n"
        "\t\tcounter packets 0 bytes 0 jump ufw-after-input\n\t}\n\n"
        "\tchain OUTPUT {\n\t\ttype filter hook output priority 0; policy drop;\n"
        "\t\tcounter packets 0 bytes 0 jump ufw-before-output\n\t}\n\n"
        "\tchain ufw-before-logging-input {\n\t}\n\n"
        "\tchain ufw-before-input {\n\t\tiifname \"lo\" counter packets 0 bytes 0 accept\n"
        "\t\tct state related,established counter packets 0 bytes 0 accept\n"
        "\t\tct state invalid counter packets 0 bytes 0 jump ufw-logging-deny\n"
        "\t\tct state invalid counter packets 0 bytes 0 drop\n"
        "\t\tmeta l4proto 1 icmp type echo-request counter packets 0 bytes 0 accept\n"
        "\t\tudp sport 67 udp dport 68 counter packets 0 bytes 0 accept\n"
        "\t\tcounter packets 0 bytes 0 jump ufw-not-local\n"
        "\t\tip daddr 224.0.0.251 udp dport 5353 counter packets 0 bytes 0 accept\n"
        "\t\tcounter packets 0 bytes 0 jump ufw-user-input\n\t}\n\n"
        "\tchain ufw-before-output {\n\t\toifname \"lo\" counter packets 0 bytes 0 accept\n"
        "\t\tct state related,established counter packets 0 bytes 0 accept\n\t}\n\n"
        "\tchain ufw-after-input {\n"
        "\t\tudp dport 137 counter packets 0 bytes 0 jump ufw-skip-to-policy-input\n"
        "\t\tfib daddr type broadcast counter packets 0 bytes 0 jump ufw-skip-to-policy-input\n"
        "\t}\n\n\tchain ufw-user-input {\n\t\ttcp dport 22 counter packets 0 bytes 0 "
        "accept\n%s\t}\n"
        "\tchain ufw-logging-deny {\n"
        "\t\tlimit rate 3/minute burst 10 packets counter packets 0 bytes 0 log prefix \"[UFW "
        "BLOCK] \"\n\t}\n\n"
        "\tchain ufw-skip-to-policy-input {\n\t\tcounter packets 0 bytes 0 drop\n\t}\n\n"
        "\tchain ufw-not-local {\n\t\tfib daddr type local counter packets 0 bytes 0 return\n"
        "\t\tfib daddr type multicast counter packets 0 bytes 0 return\n"
        "\t\tlimit rate 3/minute burst 10 packets counter packets 0 bytes 0 jump "
        "ufw-logging-deny\n\t\tcounter packets 0 bytes 0 drop\n\t}\n}\n",
        users);
    return text;
}

PV_TEST(ufw_is_read)
{
    expect_found(ufw(""), "ip filter");
    assert_string_equal(wall.found.in.chain, "INPUT");
    expect_found(ufw("\t\tiifname \"p2pvpn0\" counter packets 0 bytes 0 accept\n"), "");
    expect_found(ufw("\t\tiifname \"p2pvpn0\" tcp dport 80 counter packets 0 bytes 0 accept\n"),
                 "");
    expect_unclear(ufw("\t\tip saddr 10.66.0.0/16 counter packets 0 bytes 0 accept\n"), "");
    expect_found(ufw("\t\tiifname \"eth0\" counter packets 0 bytes 0 accept\n"), "ip filter");
    expect_found(ufw("\t\ttcp dport 23 counter packets 0 bytes 0 accept\n"), "ip filter");
}

/* firewalld's zones: that of an interface is gone to by its name, or by the source. */
static const char *firewalld(const char *zone)
{
    static char text[4096];
    snprintf(
        text, sizeof(text),
        "table inet firewalld {\n"
        "\tchain mangle_PREROUTING {\n\t\ttype filter hook prerouting priority -140; policy "
        "accept;\n\t\tjump mangle_PREROUTING_ZONES\n\t}\n\n"
        "\tchain filter_PREROUTING {\n\t\ttype filter hook prerouting priority 10; policy "
        "accept;\n\t\ticmpv6 type { 134, 135 } accept\n"
        "\t\tmeta nfproto 10 fib saddr . mark . iif oif 0 drop\n\t}\n\n"
        "\tchain filter_INPUT {\n\t\ttype filter hook input priority 10; policy accept;\n"
        "\t\tct state { 0x2, 0x4 } accept\n\t\tct status 0x20 accept\n\t\tiifname \"lo\" accept\n"
        "\t\tct state 0x1 drop\n\t\tjump filter_INPUT_ZONES\n\t\treject with icmpx 3\n\t}\n\n"
        "\tchain filter_OUTPUT {\n\t\ttype filter hook output priority 10; policy accept;\n"
        "\t\tct state { 0x2, 0x4 } accept\n\t\toifname \"lo\" accept\n\t}\n\n"
        "\tchain filter_INPUT_ZONES {\n%s\t\tgoto filter_IN_public\n\t}\n\n"
        "\tchain filter_IN_public {\n\t\tjump filter_IN_public_allow\n"
        "\t\tmeta l4proto { 1, 58 } accept\n\t\treject with icmpx 3\n\t}\n\n"
        "\tchain filter_IN_public_allow {\n\t\ttcp dport 22 accept\n"
        "\t\tip6 daddr fe80::/64 udp dport 546 accept\n\t}\n\n"
        "\tchain filter_IN_block {\n\t\tjump filter_IN_block_allow\n"
        "\t\tmeta l4proto { 1, 58 } accept\n\t\treject with icmpx 3\n\t}\n\n"
        "\tchain filter_IN_block_allow {\n\t}\n\n"
        "\tchain filter_IN_trusted {\n\t\tjump filter_IN_trusted_pre\n\t\taccept\n\t}\n}\n",
        zone);
    return text;
}

PV_TEST(firewalld_is_read)
{
    expect_found(firewalld(""), "inet firewalld");
    assert_string_equal(wall.found.in.chain, "filter_INPUT");
    expect_found(firewalld("\t\tiifname \"p2pvpn0\" goto filter_IN_trusted\n"), "");
    expect_found(firewalld("\t\tip saddr 10.66.0.0/16 goto filter_IN_trusted\n"), "inet firewalld");
    assert_true(wall.found.only_ip6);
    expect_unclear(firewalld("\t\tip saddr 10.66.0.0/16 goto filter_IN_trusted\n"
                             "\t\tip6 saddr fd00::/8 goto filter_IN_trusted\n"),
                   "");
    expect_found(firewalld("\t\tiifname \"eth0\" goto filter_IN_trusted\n"), "inet firewalld");
    /* An administrator who put it into a zone decided about it, unless that lets nothing in. */
    expect_found(firewalld("\t\tiifname \"p2pvpn0\" goto filter_IN_public\n"), "");
    expect_found(firewalld("\t\tiifname \"p2pvpn0\" goto filter_IN_block\n"), "inet firewalld");
}

/* --- the older iptables ----------------------------------------------------------------------- */

PV_TEST(chains_of_the_older_iptables_are_walked)
{
    static const char *const dropping[] = {
        "-A INPUT -p tcp -j DROP",
        "-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP",
        "-A INPUT -i p2pvpn0 -j users\n-A users -j DROP",
        "-A INPUT -g users\n-A users -m comment --comment \"a -j ACCEPT b\" -j REJECT",
        "-A INPUT -s 10.66.0.0/16 -j DROP",
        "-A INPUT ! -s 192.0.2.0/24 ! -i lo -j DROP",
        "-A INPUT -m iprange --src-range 10.0.0.0-10.99.0.0 -j DROP",
        "-A INPUT -m addrtype --dst-type LOCAL -j DROP",
        "-A INPUT -m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP",
        "-A INPUT -i p2pvpn0 -j LOG --log-prefix \"-j ACCEPT \"\n-A INPUT -j DROP",
        "-A INPUT -j DROP\n-A INPUT -i p2pvpn0 -j ACCEPT",
        "-A INPUT -m pkttype --pkt-type broadcast -j ACCEPT\n-A INPUT -j DROP",
        "-A INPUT -m owner --uid-owner 0 -j ACCEPT\n-A INPUT -j DROP",
        "-A OUTPUT -o p2pvpn0 -j DROP"};
    static const char *const others[] = {
        "-A INPUT -m set --match-set friends src -j ACCEPT\n-A INPUT -j DROP",
        "-A INPUT -s 10.66.0.5/32 -j DROP",
        "-A INPUT -m recent --name DROP --rsource -j DROP",
        "-A INPUT -m socket -j ACCEPT\n-A INPUT -m limit --limit 3/min -j DROP",
        "-A INPUT -m addrtype --dst-type LOCAL -j RETURN\n-A INPUT -j DROP",
        "-A INPUT -j users\n-A users -m set --match-set friends src -j RETURN\n-A users -j DROP",
        "-A OUTPUT -o p2pvpn0 -m conntrack --ctstate NEW -j DROP",
        "-A FORWARD -j DROP",
        "-A INPUT -j MARK --set-xmark 0x1/0xffffffff"};
    char rules[512];
    for (size_t i = 0; i < PV_ARRAY_LEN(dropping) + PV_ARRAY_LEN(others); i++) {
        bool drops = i < PV_ARRAY_LEN(dropping);
        snprintf(rules, sizeof(rules), "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n%s",
                 drops ? dropping[i] : others[i - PV_ARRAY_LEN(dropping)]);
        expect_legacy(rules, drops);
    }
}

PV_TEST(the_older_iptables_have_a_remedy_of_their_own)
{
    char text[256];
    expect_legacy("-P INPUT DROP", true);
    assert_string_equal(pv_hostwall_remedy(&wall, text, sizeof(text)),
                        "iptables-legacy -t filter -I INPUT -i p2pvpn0 -j ACCEPT");
    expect_legacy("-P INPUT ACCEPT\n-P OUTPUT DROP", true);
    assert_string_equal(pv_hostwall_remedy(&wall, text, sizeof(text)),
                        "iptables-legacy -t filter -I OUTPUT -o p2pvpn0 -j ACCEPT");
    start("10.66.0.0/16");
    take_all(pv_hostwall_line, "table ip t {\nchain in {\n" INPUT "accept;\n}\n}");
    pv_hostwall_legacy_table(&wall, true, "raw");
    take_all(pv_hostwall_legacy_line,
             "-P PREROUTING ACCEPT\n-A PREROUTING -s 2001:db8::/32 -j ACCEPT\n"
             "-A PREROUTING -i p2p+ -j DROP");
    assert_true(pv_hostwall_ends(&wall));
    assert_string_equal(pv_hostwall_remedy(&wall, text, sizeof(text)),
                        "ip6tables-legacy -t raw -I PREROUTING -i p2pvpn0 -j ACCEPT");
}
