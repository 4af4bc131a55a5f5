/* SPDX-License-Identifier: MIT */
/* The text of `nft list ruleset` tells of a host that drops what members begin. */
#include "ctl/hostwall.h"
#include "tests/unit/test_util.h"

typedef void take_line(struct pv_hostwall *w, const char *line);

static void expect(take_line *take, const char *table, const char *rules, const char *found)
{
    struct pv_hostwall w = {.ifname = "p2pvpn0"};
    char text[2048], *save = NULL;
    snprintf(w.table, sizeof(w.table), "%s", table);
    snprintf(text, sizeof(text), "%s", rules);
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
        take(&w, line);
    assert_int_equal(pv_hostwall_ends(&w), found[0] != '\0');
    assert_string_equal(w.found, found);
}

/* The table that is found to drop; "": none. */
static void expect_found(const char *ruleset, const char *found)
{
    expect(pv_hostwall_line, "", ruleset, found);
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
        "\tchain filter_IN_trusted {\n\t\taccept\n\t}\n}\n";
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
    expect(pv_hostwall_legacy_line, "filter", rules, drops ? "filter" : "");
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
    expect_legacy("-P INPUT ACCEPT\n-A INPUT -i eth0 -j DROP\n-A INPUT -p tcp -j DROP", false);
    expect_legacy("-P INPUT ACCEPT\n-A INPUT -j REJECT --reject-with icmp-port-unreachable", true);
    expect_legacy("-P INPUT ACCEPT\n-A INPUT -m conntrack --ctstate INVALID,NEW -j DROP", true);
    expect_legacy("-P INPUT ACCEPT\n-A INPUT -m conntrack --ctstate INVALID -j DROP", false);
    expect_legacy("-A\n-P INPUT\n-A INPUT -j\n\n# Warning: x", false);
}
