/* SPDX-License-Identifier: MIT */
/* The text of `nft list ruleset` tells of a host that drops what members begin. */
#include <stdio.h>
#include <string.h>

#include "ctl/hostwall.h"
#include "tests/unit/test_util.h"

/* The table that is found to drop; "": none. */
static void expect_found(const char *ruleset, const char *found)
{
    struct pv_hostwall w = {.ifname = "p2pvpn0"};
    char text[2048], *save = NULL;
    snprintf(text, sizeof(text), "%s", ruleset);
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
        pv_hostwall_line(&w, line);
    assert_int_equal(pv_hostwall_ends(&w), found[0] != '\0');
    assert_string_equal(w.found, found);
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
        "ct state 0x1,0x8 counter packets 1 bytes 60 drop"};
    static const char *const others[] = {"tcp dport 23 drop", "iifname \"eth0\" drop",
                                         "ct state invalid drop", "ip saddr 192.0.2.0/24 reject",
                                         "accept"};
    char text[400];
    for (size_t i = 0; i < PV_ARRAY_LEN(dropping); i++) {
        snprintf(text, sizeof(text),
                 "table ip f {\n\tchain c {\n\t\t" INPUT "accept;\n\t\t%s\n\t}\n}\n", dropping[i]);
        expect_found(text, "ip f");
        /* In a chain that nothing comes into it means nothing. */
        snprintf(text, sizeof(text), "table ip f {\n\tchain c {\n\t\t%s\n\t}\n}\n", dropping[i]);
        expect_found(text, "");
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(others); i++) {
        snprintf(text, sizeof(text),
                 "table ip f {\n\tchain c {\n\t\t" INPUT "accept;\n\t\t%s\n\t}\n}\n", others[i]);
        expect_found(text, "");
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
