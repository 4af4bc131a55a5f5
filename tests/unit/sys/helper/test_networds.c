/* SPDX-License-Identifier: MIT */
#include "sys/helper/networds.h"
#include "tests/unit/test_util.h"

static struct pv_netplan plan_of(void)
{
    return (struct pv_netplan){.ifname = "p2p0",
                               .overlay4 = test_prefix("10.66.0.0/16"),
                               .overlay6 = test_prefix("fd00:66::/64")};
}

static void add_link(struct pv_networds_host *host, const char *range, const char *ifname,
                     enum pv_netplan_kind kind, bool connected)
{
    struct pv_netplan_link *l = &host->links[host->n_links];
    l->prefix = test_prefix(range);
    l->kind = kind;
    snprintf(l->ifname, sizeof(l->ifname), "%s", ifname);
    host->up[host->n_links] = true;
    host->direct[host->n_links] = connected;
    host->connected[host->n_links++] = connected;
}

static struct pv_networds_host host_of(void)
{
    struct pv_networds_host h = {.has_iface = true, .uids = {61300}, .n_uids = 1, .udp_port = 4000};
    add_link(&h, "192.168.1.0/24", "eth0", PV_NETPLAN_LAN, true);
    add_link(&h, "203.0.113.0/24", "eth1", PV_NETPLAN_LAN, true);
    add_link(&h, "172.17.0.0/16", "docker0", PV_NETPLAN_CONTAINER, true);
    add_link(&h, "10.9.0.0/16", "wg0", PV_NETPLAN_TUNNEL, false);
    add_link(&h, "8.8.8.8/32", "eth0", PV_NETPLAN_LAN, false);
    return h;
}

static bool has_route(const struct pv_netplan *plan, const struct pv_networds_host *host,
                      const char *line)
{
    static struct pv_networds_route routes[PV_NETWORDS_ROUTES];
    char text[256];
    size_t n = pv_networds_routes(plan, host, routes);
    const char *want = PV_STR("route del %s proto 112\n", line);
    for (size_t i = 0; i < n; i++) {
        assert_true(pv_networds_route_line("del", &routes[i], "p2p0", text, sizeof(text)) > 0);
        if (strcmp(text, want) == 0)
            return true;
    }
    return false;
}

static bool has_rule(const struct pv_netplan *plan, const struct pv_networds_host *host,
                     const char *rule)
{
    static char text[PV_NETWORDS_RULES];
    size_t n;
    const char *want = PV_STR("rule add %s ", rule);
    for (unsigned i = 0; i < 2; i++) {
        assert_ok(pv_networds_used_rules(plan, host, i == 0 ? PV_AF_INET : PV_AF_INET6, 0, text,
                                         sizeof(text), &n));
        if (strstr(text, want) != NULL)
            return true;
    }
    return false;
}

/* A route of the host goes before one of ours that is no longer, or where it is connected. */
PV_TEST(used_prefixes_never_take_a_connected_network_away)
{
    static const struct {
        const char *used;
        unsigned suppressed;
        bool taken;
        size_t overlaps;
    } rows[] = {
        {"192.168.7.0/24", 0, false, 0},  {"192.168.1.0/24", 0, true, 1},
        {"192.168.1.128/25", 0, true, 1}, {"192.168.0.0/16", 0, false, 1},
        {"10.9.4.0/24", 23, false, 1},    {"fd77::/48", 0, false, 0},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_netplan p = plan_of();
        struct pv_networds_host h = host_of();
        struct pv_netplan_overlap o[PV_NETPLAN_OVERLAPS];
        const unsigned table = PV_NETWORDS_TABLE_USED + pv_networds_slot("p2p0");
        h.slot = pv_networds_slot("p2p0");
        p.used[p.n_used++].prefix = test_prefix(rows[i].used);
        const char *line = PV_STR("%s dev p2p0 table %u metric %u", rows[i].used, table,
                                  p.used[0].prefix.base.family == PV_AF_INET6 ? 1024 : 0);
        const char *ends = PV_STR("unreachable %s table %u metric 2147483647", rows[i].used, table);
        const char *rule =
            PV_STR("to %s lookup main suppress_prefixlength %u", rows[i].used, rows[i].suppressed);
        assert_true(has_route(&p, &h, line));
        assert_true(has_route(&p, &h, ends));
        assert_true(has_rule(&p, &h, rule));
        assert_int_equal(pv_networds_overlaps(&p, &h, o), rows[i].overlaps);
        if (rows[i].overlaps > 0)
            assert_int_equal(o[0].taken, rows[i].taken);
        h.has_iface = false;
        assert_false(has_route(&p, &h, line));
        assert_true(has_route(&p, &h, ends));
    }
}

/* Of a network whose interface is away nothing takes the prefix over. */
PV_TEST(a_prefix_of_another_network_of_ours_is_its_own)
{
    struct pv_netplan p = plan_of();
    struct pv_networds_host h = host_of();
    struct pv_netplan_overlap o[PV_NETPLAN_OVERLAPS];
    char text[PV_NETWORDS_TEXT];
    h.others[h.n_others++] =
        (struct pv_networds_other){test_prefix("192.168.7.0/24"), "p2p-work", true};
    h.others[h.n_others++] = (struct pv_networds_other){test_prefix("192.168.8.0/24"), "", false};
    p.exit = p.exit4 = true;
    assert_true(has_route(&p, &h, "throw 192.168.7.0/24 table 28784 metric 0"));
    assert_true(has_route(&p, &h, "throw 192.168.7.0/24 table 28785 metric 0"));
    assert_true(has_route(&p, &h, "throw 192.168.8.0/24 table 28784 metric 0"));
    assert_ok(pv_networds_nft(&p, &h, text));
    assert_has(strstr(text, "chain guard"), test_given("p2p-work takes its prefix"));
    assert_lacks(strstr(text, "chain guard"), "192.168.8.0/24");
    assert_has(strstr(text, "chain neighbours"), "ip saddr 192.168.8.0/24 counter drop");
    p.used[p.n_used++].prefix = test_prefix("192.168.7.0/25");
    assert_false(has_route(&p, &h, "192.168.7.0/25 dev p2p0 table 28784 metric 0"));
    p.used[p.n_used++].prefix = test_prefix("192.168.8.0/24");
    assert_ok(pv_networds_nft(&p, &h, text)); /* hosts of this network's come from there */
    const char *own = strstr(strstr(text, "chain neighbours"), "ip saddr 192.168.8.0/24 accept");
    assert_true(own != NULL && own < strstr(text, "ip saddr 192.168.8.0/24 counter drop"));
    assert_lacks(text, "ip saddr 192.168.7.0/25 accept");
    assert_has(strstr(text, "chain neighbours"), "ip saddr 192.168.7.0/24 counter drop");
    assert_int_equal(pv_networds_overlaps(&p, &h, o), 1);
    assert_true(o[0].taken);
    p.used[0].prefix = test_prefix("192.168.0.0/21");
    assert_int_equal(pv_networds_overlaps(&p, &h, o), 2);
    assert_false(o[0].taken);
}

/* They would look for the gateway behind the gateway. */
PV_TEST(our_own_packets_look_at_no_used_prefix)
{
    struct pv_netplan p = plan_of();
    struct pv_networds_host h = host_of();
    char text[PV_NETWORDS_TEXT], rules[PV_NETWORDS_RULES];
    size_t n = 9;
    assert_ok(pv_networds_used_rules(&p, &h, PV_AF_INET, 0, rules, sizeof(rules), &n));
    assert_int_equal(n, 0);
    p.used[p.n_used++].prefix = test_prefix("192.0.2.0/24");
    assert_ok(pv_networds_used_rules(&p, &h, PV_AF_INET, 1, rules, sizeof(rules), &n));
    assert_int_equal(n, 5);
    const char *mark = strstr(rules, test_given("marked packets pass used prefixes"));
    const char *user = strstr(rules, test_given("the daemon passes used prefixes"));
    assert_has(rules, "rule add nop priority 5428 ");
    const char *to = strstr(rules, "rule add to 192.0.2.0/24");
    assert_true(mark != NULL && mark < user && user < to);
    assert_ok(pv_networds_used_rules(&p, &h, PV_AF_INET6, 1, rules, sizeof(rules), &n));
    assert_int_equal(n, 0);
    assert_ok(pv_networds_nft(&p, &h, text));
    assert_has(text, "chain marked_in");
    assert_int_not_equal(pv_networds_slot("p2pvpn0"), pv_networds_slot("p2pvpn1"));
}

/* By the default route strangers would read it. */
PV_TEST(a_part_of_an_offer_that_the_host_is_in_leaves_by_no_other_interface)
{
    struct pv_netplan p = plan_of();
    struct pv_networds_host h = host_of();
    char text[PV_NETWORDS_TEXT];
    add_link(&h, "192.168.1.0/24", "eth3", PV_NETPLAN_LAN, true); /* with eth0 */
    add_link(&h, "192.168.4.0/24", "eth4", PV_NETPLAN_LAN, true);
    h.up[0] = h.up[5] = false;
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("192.168.0.0/16"), .linked = true};
    assert_ok(pv_networds_nft(&p, &h, text));
    const char *anywhere = strstr(text, test_given("192.168.0.0/16 by none of ours"));
    const char *drop = strstr(text, test_given("192.168.1.0/24 by other links is dropped"));
    assert_true(anywhere != NULL && drop != NULL && drop < anywhere);
    assert_null(strstr(drop + 1, "ip daddr 192.168.1.0/24 oifname != {"));
    assert_lacks(text, test_given("192.168.0.0/16 by eth0"));
}

/* They go past the rules of the exit, whatever table leads them; beside a VPN that would take them
 * they go by the main table. */
PV_TEST(our_own_packets_go_past_the_exits_rules)
{
    struct pv_netplan p = plan_of();
    struct pv_networds_host h = host_of();
    char rules[PV_NETWORDS_RULES];
    size_t n = 9;
    p.exit = p.exit4 = true;
    assert_ok(pv_networds_rules(&p, &h, PV_AF_INET, rules, sizeof(rules), &n));
    assert_has(rules, "rule add nop priority 5415 ");
    assert_has(rules, test_given("marked packets pass the exit"));
    assert_has(rules, test_given("the daemon passes the exit"));
    assert_has(rules, "rule add iif p2p0 goto 5415 priority 5411 ");
    assert_lacks(rules, "lookup main");
    h.vpn_rule[0] = true;
    assert_ok(pv_networds_rules(&p, &h, PV_AF_INET, rules, sizeof(rules), &n));
    assert_has(rules, test_given("marked packets look up main"));
    assert_ok(pv_networds_rules(&p, &h, PV_AF_INET6, rules, sizeof(rules), &n));
    assert_lacks(rules, "lookup main");
}

/* A LAN in the host's own table, as networkd's RouteTable= makes it, goes before a used prefix. */
PV_TEST(a_network_beside_the_main_table_is_not_taken_away)
{
    struct pv_netplan p = plan_of();
    struct pv_networds_host h = host_of();
    h.aside[0] = true; /* 192.168.1.0/24 */
    p.used[p.n_used++].prefix = test_prefix("192.168.0.0/16");
    assert_true(has_rule(&p, &h, "to 192.168.1.0/24 goto 5424 priority 5422"));
    p.used[0].prefix = test_prefix("192.168.1.128/25");
    assert_true(has_rule(&p, &h, "to 192.168.1.128/25 goto 5424 priority 5422"));
    p.used[0].prefix = test_prefix("192.168.2.0/24");
    assert_false(has_rule(&p, &h, "to 192.168.1.0/24 goto 5424 priority 5422"));
}

/* The way that they would have without it; by what another network uses goes nothing else. */
PV_TEST(members_packets_to_an_offered_prefix_pass_by_another_networks_exit)
{
    struct pv_netplan p = plan_of();
    struct pv_networds_host h = host_of();
    char text[PV_NETWORDS_TEXT], rules[PV_NETWORDS_RULES];
    size_t n = 9;
    p.offered[p.n_offered++].prefix = test_prefix("192.168.7.0/24");
    p.offered[p.n_offered++].prefix = test_prefix("172.16.0.0/12");
    p.offered[p.n_offered++].prefix = test_prefix("0.0.0.0/0");
    h.others[h.n_others++] =
        (struct pv_networds_other){.prefix = test_prefix("172.20.0.0/16"), .ifname = "p2p1"};
    assert_ok(pv_networds_used_rules(&p, &h, PV_AF_INET, 0, rules, sizeof(rules), &n));
    assert_int_equal(n, 0);
    h.other_exit = true;
    assert_ok(pv_networds_used_rules(&p, &h, PV_AF_INET, 1, rules, sizeof(rules), &n));
    assert_int_equal(n, 2);
    assert_has(rules, test_given("members pass to 192.168.7.0/24"));
    assert_has(rules, test_given("members pass to 172.16.0.0/12"));
    assert_ok(pv_networds_used_rules(&p, &h, PV_AF_INET6, 0, rules, sizeof(rules), &n));
    assert_int_equal(n, 0);
    /* Nor does the block of the one with the exit keep them. */
    p = plan_of();
    p.exit = p.exit4 = true;
    add_link(&h, "10.77.0.0/16", "p2p1", PV_NETPLAN_TUNNEL, true);
    assert_ok(pv_networds_nft(&p, &h, text));
    const char *guard = strstr(text, "chain guard");
    const char *theirs = strstr(guard, test_given("members of p2p1"));
    assert_true(theirs != NULL && theirs < strstr(guard, "th dport { 53"));
    assert_has(guard, test_given("the prefix that p2p1 uses"));
}

/* Only through the interface, or from this machine. */
PV_TEST(a_sender_that_speaks_for_members_beside_the_interface_is_dropped)
{
    struct pv_netplan p = plan_of();
    struct pv_networds_host h = host_of();
    char text[PV_NETWORDS_TEXT];
    assert_true(pv_networds_wants_table(&p));
    assert_ok(pv_networds_nft(&p, &h, text));
    const char *own = strstr(text, "iifname { \"lo\", \"p2p0\" } accept");
    const char *from = strstr(text, "ip6 saddr fd00:66::/64 counter drop");
    const char *container = strstr(text, "iifname \"docker0\" accept");
    const char *to = strstr(text, test_given("to members on this host is dropped"));
    assert_true(own != NULL && own < from && from < container && container < to);
    p.overlay4.base.family = p.overlay6.base.family = PV_AF_NONE;
    assert_false(pv_networds_wants_table(&p));
}

/* Its answers may have a neighbour's address: a name server's. */
PV_TEST(an_exit_speaks_for_nobody_near_its_user)
{
    struct pv_netplan p = plan_of();
    struct pv_networds_host h = host_of();
    char text[PV_NETWORDS_TEXT];
    assert_ok(pv_networds_nft(&p, &h, text));
    assert_lacks(text, "chain neighbours");
    p.exit = p.exit4 = true;
    assert_ok(pv_networds_nft(&p, &h, text));
    const char *chain = strstr(text, "chain neighbours"), *end = strstr(chain, " }\n");
    const char *answers = strstr(chain, test_given("answers are taken"));
    const char *members = strstr(chain, "  ip saddr 10.66.0.0/16 accept\n");
    const char *lan = strstr(chain, "  ip saddr 192.168.1.0/24 counter drop\n");
    assert_has(chain, "  ip saddr 172.17.0.0/16 counter drop\n");
    assert_true(answers != NULL && answers < members && members < lan && lan < end);
    assert_true(strstr(chain, "203.0.113.0/24") == NULL || strstr(chain, "203.0.113.0/24") > end);
    /* It marks packets for this host alone: forwarded ones would go around the exit. */
    chain = strstr(text, "chain marked_first");
    const char *here = strstr(chain, test_given("only for this host"));
    assert_true(here != NULL && here < strstr(chain, "meta mark set"));
}

PV_TEST(an_exit_leaves_alone_what_stays_on_the_machine)
{
    struct pv_netplan p = plan_of();
    struct pv_networds_host h = host_of();
    p.exit = p.exit4 = true;
    assert_true(has_route(&p, &h, "0.0.0.0/0 dev p2p0 table 28784 metric 0"));
    assert_true(has_route(&p, &h, "throw 172.17.0.0/16 table 28784 metric 0"));
    assert_true(has_route(&p, &h, "throw 10.9.0.0/16 table 28785 metric 0"));
    assert_true(has_route(&p, &h, "throw 10.66.0.0/16 table 28784 metric 0"));
    assert_false(has_route(&p, &h, "throw 192.168.1.0/24 table 28784 metric 0"));
    /* A route that somebody in the LAN had a DHCP client set draws nothing. */
    assert_false(has_route(&p, &h, "throw 8.8.8.8/32 table 28784 metric 0"));
    /* The exit has no IPv6. */
    assert_false(has_route(&p, &h, "::/0 dev p2p0 table 28784 metric 1024"));
    assert_true(has_route(&p, &h, test_given("no IPv6 beside the exit")));
    assert_true(has_route(&p, &h, test_given("no IPv4 beside the exit")));
    p.exit6 = true;
    assert_true(has_route(&p, &h, "::/0 dev p2p0 table 28784 metric 1024"));
}

PV_TEST(the_lan_is_left_alone_when_asked_for_and_private)
{
    struct pv_netplan p = plan_of();
    struct pv_networds_host h = host_of();
    char text[PV_NETWORDS_TEXT];
    p.exit = p.exit4 = p.exit_lan = true;
    assert_true(has_route(&p, &h, "throw 192.168.1.0/24 table 28784 metric 0"));
    assert_false(has_route(&p, &h, "throw 203.0.113.0/24 table 28784 metric 0"));
    assert_false(has_route(&p, &h, "throw 8.8.8.8/32 table 28784 metric 0"));
    /* But not for names. */
    assert_false(has_route(&p, &h, "throw 192.168.1.0/24 table 28785 metric 0"));
    assert_ok(pv_networds_nft(&p, &h, text));
    const char *drop = strstr(text, "th dport { 53, 853, 5355 } counter drop");
    const char *lan = strstr(text, test_given("192.168.1.0/24 by eth0"));
    assert_non_null(drop);
    assert_non_null(lan);
    assert_true(drop < lan);
    /* A program that gets a port that the daemon had may send from it as anybody may. */
    assert_has(text, test_given("marked answers"));
    assert_lacks(text, "\n  ct mark 0x703276 accept\n");
    p.exit_lan = false;
    assert_ok(pv_networds_nft(&p, &h, text));
    assert_lacks(text, "eth0");
}

PV_TEST(another_default_route_by_halves_is_found)
{
    struct pv_networds_host h = host_of();
    assert_null(pv_networds_rival(&h));
    add_link(&h, "128.0.0.0/1", "tun9", PV_NETPLAN_TUNNEL, false);
    const struct pv_netplan_link *rival = pv_networds_rival(&h);
    assert_non_null(rival);
    assert_string_equal(rival->ifname, "tun9");
    struct pv_netplan p = plan_of();
    p.exit = p.exit4 = true;
    assert_false(has_route(&p, &h, "throw 128.0.0.0/1 table 28784 metric 0"));
}

/* As a host that forwards would send a packet to the address that its interface has not yet. */
PV_TEST(beside_an_exit_nothing_leaves_that_came_from_members_and_was_not_offered)
{
    struct pv_netplan p = plan_of();
    struct pv_networds_host h = host_of();
    char text[PV_NETWORDS_TEXT];
    p.exit = p.exit4 = true;
    p.n_offered = 0;
    assert_ok(pv_networds_nft(&p, &h, text));
    const char *to = strstr(text, test_given("members to members are dropped"));
    const char *from = strstr(text, test_given("members are dropped"));
    const char *led = strstr(text, test_given("members that were led on"));
    const char *rest = strstr(text, "  iifname \"p2p0\" accept"); /* of static peers */
    assert_true(led != NULL && led < from);
    assert_true(to != NULL && from != NULL && rest != NULL && to < rest && from < rest);
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("192.168.0.0/16"), .snat = true};
    assert_ok(pv_networds_nft(&p, &h, text));
    assert_has(text, test_given("members to members are dropped"));
    assert_lacks(text, test_given("members are dropped"));
}

PV_TEST(only_what_is_offered_is_forwarded_and_the_longer_prefix_decides)
{
    struct pv_netplan p = plan_of();
    struct pv_networds_host h = host_of();
    char text[PV_NETWORDS_TEXT];
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("192.168.0.0/16"), .snat = true};
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("192.168.1.0/24"), .snat = false};
    assert_ok(pv_networds_nft(&p, &h, text));
    const char *plain = strstr(text, "ip daddr 192.168.1.0/24 return");
    const char *changed = strstr(text, "ip daddr 192.168.0.0/16 masquerade");
    assert_non_null(plain);
    assert_non_null(changed);
    assert_true(plain < changed);
    assert_has(text, "ip saddr 10.66.0.0/16 counter drop");
    assert_lacks(text, "0.0.0.0/8"); /* no exit */
    assert_lacks(text, "guard");
    assert_lacks(text, "chain inside");
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("0.0.0.0/0"), .snat = true};
    h.dns4 = pv_addr4(192, 0, 2, 53, 0);
    h.beside[h.n_beside++] = test_prefix("198.51.100.7/32");
    h.beside[h.n_beside++] = test_prefix("2001:db8:7::/64");
    assert_ok(pv_networds_nft(&p, &h, text));
    assert_has(text, test_given("not to what is no internet"));
    assert_has(text, "dnat ip to 192.0.2.53");
    assert_lacks(text, "dnat ip6");
    /* A service inside this host is no part of the internet. */
    const char *own = strstr(text, "  ip daddr 10.66.0.0/16 accept");
    const char *inside = strstr(text, "  ip saddr 10.66.0.0/16 jump inside_ip\n");
    assert_true(own != NULL && inside != NULL && own < inside);
    assert_lacks(text, "jump inside_ip6");
    /* Nor is what is in its networks, be it private or not. */
    assert_non_null(strstr(text, test_given("to this host is inside")));
    assert_has(text, test_given("203.0.113.0/24 is inside"));
    assert_has(text, test_given("172.17.0.0/16 is inside"));
    assert_lacks(text, "  ip daddr 8.8.8.8/32 goto"); /* by a router */
    assert_has(text, test_given("198.51.100.7/32 is inside"));
    assert_has(text, test_given("2001:db8:7::/64 is inside"));
    assert_has(text, "64:ff9b::a00:0/104"); /* 10.0.0.0/8 behind a NAT64 */
    /* A flow that members began is judged anew, packet by packet. */
    assert_lacks(text, "ct state established,related accept");
}

/* Packets of members for a LAN whose cable is out are not for the uplink. */
PV_TEST(traffic_for_the_network_of_an_interface_goes_out_by_it)
{
    struct pv_netplan p = plan_of();
    struct pv_networds_host h = host_of();
    char text[PV_NETWORDS_TEXT];
    p.offered[p.n_offered++] = (struct pv_netplan_offered){
        .prefix = test_prefix("192.168.1.0/24"), .snat = true, .linked = true};
    assert_ok(pv_networds_nft(&p, &h, text));
    assert_has(text, test_given("a line: 192.168.1.0/24 by eth0"));
    assert_lacks(text, "\n  ip daddr 192.168.1.0/24 accept\n");
    h.up[0] = false;
    assert_ok(pv_networds_nft(&p, &h, text));
    assert_lacks(text, "ip daddr 192.168.1.0/24 accept\n");
    /* Wider than the network there: the rest of it is behind a router. */
    h.up[0] = true;
    p.offered[0].prefix = test_prefix("192.168.0.0/16");
    assert_ok(pv_networds_nft(&p, &h, text));
    assert_has(text, test_given("a line: 192.168.0.0/16 by none of ours"));
    /* Not by the exit of another network of ours; by what that one uses, it does. */
    h.others[h.n_others++] =
        (struct pv_networds_other){test_prefix("192.168.7.0/24"), "p2p-work", true};
    assert_ok(pv_networds_nft(&p, &h, text));
    assert_has(text, test_given("192.168.7.0/24 by p2p-work"));
}

PV_TEST(forwarding_of_ours_is_for_members)
{
    struct pv_netplan p = plan_of();
    struct pv_networds_host h = host_of();
    char text[PV_NETWORDS_TEXT];
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("192.168.1.0/24"), .snat = true};
    assert_true(pv_networds_forwards4(&p, &h.links[1]));  /* eth1 */
    assert_false(pv_networds_forwards4(&p, &h.links[2])); /* docker0 */
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("172.17.0.0/16"), .snat = true};
    assert_true(pv_networds_forwards4(&p, &h.links[2]));
    assert_ok(pv_networds_nft(&p, &h, text));
    assert_lacks(text, "nfproto");
    snprintf(h.alone4[h.n_alone4++], sizeof(h.alone4[0]), "eth1");
    h.alone6 = true;
    assert_ok(pv_networds_nft(&p, &h, text));
    const char *others = strstr(text, test_given("from eth1 to others"));
    assert_non_null(others);
    assert_lacks(text, "return\n  meta nfproto ipv6 iifname !=");
    assert_has(text, test_given("IPv6 past p2p0"));
    /* Members of another network have its table to say where they go; its static peers do not. */
    add_link(&h, "10.77.0.0/16", "p2p-work", PV_NETPLAN_TUNNEL, true);
    assert_ok(pv_networds_nft(&p, &h, text));
    const char *members = strstr(text, test_given("members of p2p-work"));
    assert_true(members != NULL && members < strstr(text, "ipv4 iifname \"eth1\""));
    /* Those of this network pass where the user has set up forwarding. */
    assert_lacks(text, "meta nfproto ipv4 counter drop");
    h.own_alone4 = true;
    assert_ok(pv_networds_nft(&p, &h, text));
    assert_has(text, test_given("both families end in a drop"));
    /* A stranger in a LAN that is not offered is not this host to members and their exits. */
    const char *sender = strstr(text, test_given("192.168.1.0/24 to members"));
    assert_true(sender != NULL &&
                sender < strstr(text, test_given("from eth1 to members is dropped")));
    assert_has(text, test_given("IPv6 to members is dropped"));
    /* The packets that a bridge passes on within itself. */
    h.bridge[1] = true;
    assert_ok(pv_networds_nft(&p, &h, text));
    assert_has(text, test_given("from eth1 to other links"));
    assert_has(text, "ipv6 iifname 'eth1' oifname 'eth1' return\n");
}

/* A default route that somebody sets by its router alone asks the policy rules how to get there. */
PV_TEST(no_route_of_ours_leads_to_a_router)
{
    const struct pv_networds_route v4 = {.dst = test_prefix("0.0.0.0/0"), .table = 28784};
    const struct pv_networds_route v6 = {
        .dst = test_prefix("::/0"), .table = 28784, .metric = 1024};
    char text[256];
    assert_true(pv_networds_route_line("replace", &v4, "p2p0", text, sizeof(text)) > 0);
    assert_shows("route", text);
    assert_true(pv_networds_route_line("del", &v4, "p2p0", text, sizeof(text)) > 0);
    assert_lacks(text, "scope");
    assert_true(pv_networds_route_line("replace", &v6, "p2p0", text, sizeof(text)) > 0);
    assert_lacks(text, "scope");
}

/* The most that a plan and a host can have. */
PV_TEST(the_longest_text_fits)
{
    struct pv_netplan p = plan_of();
    struct pv_networds_host h = {.has_iface = true, .n_uids = 2};
    char text[PV_NETWORDS_TEXT];
    size_t n = 0;
    p.exit = p.exit4 = p.exit6 = p.exit_lan = true;
    for (unsigned i = 0; i < PV_NETPLAN_USED; i++) {
        p.used[p.n_used++].prefix = test_prefix(PV_STR("fd01:2345:6789:%x::/64", 0xf000 + i));
    }
    for (unsigned i = 0; i < PV_NETPLAN_OFFERED; i++) {
        p.offered[p.n_offered++].prefix = test_prefix(PV_STR("fd02:2345:6789:%x::/64", 0xf000 + i));
    }
    p.offered[0].prefix = test_prefix("::/0");
    p.offered[1].prefix = test_prefix("0.0.0.0/0");
    for (unsigned i = 0; i < PV_NETWORDS_LINKS; i++) {
        add_link(&h, PV_STR("fd03:2345:6789:%x::/64", 0xf000 + i), "enp0s31f6long15",
                 i % 2 == 0 ? PV_NETPLAN_LAN : PV_NETPLAN_TUNNEL, true);
        snprintf(h.alone4[h.n_alone4++], sizeof(h.alone4[0]), "enp0s31f6long%02x", i);
        h.beside[h.n_beside++] = test_prefix(PV_STR("fd04:2345:6789:%x::/64", 0xf000 + i));
    }
    for (unsigned i = 0; i < PV_NETWORDS_OTHERS; i++) {
        struct pv_networds_other *o = &h.others[h.n_others++];
        o->prefix = test_prefix(PV_STR("fd05:2345:6789:%x::/64", 0xf000 + i));
        snprintf(o->ifname, sizeof(o->ifname), "p2p-aaaabbbbccc");
    }
    h.alone6 = true;
    assert_ok(pv_networds_nft(&p, &h, text));
    static struct pv_networds_route routes[PV_NETWORDS_ROUTES];
    assert_true(pv_networds_routes(&p, &h, routes) < PV_NETWORDS_ROUTES);
    char rules[PV_NETWORDS_RULES];
    assert_ok(pv_networds_rules(&p, &h, PV_AF_INET6, rules, sizeof(rules), &n));
    assert_int_equal(n, 11);
    h.other_exit = true;
    assert_ok(pv_networds_used_rules(&p, &h, PV_AF_INET6, 1, rules, sizeof(rules), &n));
    assert_int_equal(n, 4 + 2 * PV_NETPLAN_USED + PV_NETPLAN_OFFERED - 2);
    for (size_t i = 0; i < h.n_links; i++) { /* each around all used prefixes */
        h.aside[i] = true;
        h.links[i].prefix = test_prefix("fd01::/16");
    }
    assert_ok(pv_networds_used_rules(&p, &h, PV_AF_INET6, 1, rules, sizeof(rules), &n));
    assert_int_equal(n, 20 + 2 * PV_NETPLAN_USED + PV_NETPLAN_OFFERED - 2);
}
