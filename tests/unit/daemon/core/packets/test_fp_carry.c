/* SPDX-License-Identifier: MIT */
/* Packets to and from prefixes that peers carry, and that this node carries. */
#include "daemon/core/packets/fp_state.h"
#include "fp_util.h"
#include "tests/unit/test_util.h"

/* Node a = 10.66.0.1 knows b = 10.66.0.2 and c = 10.66.0.3, each with a worker and keys. */
static struct {
    struct fp_node a, b, c;
    uint32_t b_at_a, c_at_a, a_at_b, a_at_c;
    pv_ns now;
} t;

void test_before_each(void)
{
    memset(&t, 0, sizeof(t));
    t.now = PV_S(1000);
    fp_meet(&t.a, &t.b, &t.b_at_a, &t.a_at_b);
    fp_node_init(&t.c, 3);
    t.c_at_a = fp_add_member(&t.a, 3);
    t.a_at_c = fp_add_member(&t.c, 1);
    fp_set_path(&t.a, t.b_at_a, 2, 0);
    fp_set_path(&t.a, t.c_at_a, 3, 0);
    fp_set_path(&t.b, t.a_at_b, 1, 0);
    fp_set_path(&t.c, t.a_at_c, 1, 0);
    (void)fp_add_keys(&t.a, t.b_at_a, &t.b, t.a_at_b, t.now, NULL);
    (void)fp_add_keys(&t.a, t.c_at_a, &t.c, t.a_at_c, t.now, NULL);
    fp_publish(&t.a);
    fp_publish(&t.b);
    fp_publish(&t.c);
}

void test_after_each(void)
{
    fp_node_done(&t.a);
    fp_node_done(&t.b);
    fp_node_done(&t.c);
}

/* From now on these carry `text` for a, in this order; id 0: nobody more. */
static bool carried_by(const char *text, uint32_t first, uint32_t second, uint8_t n_live)
{
    struct pv_fp_carried c = {.prefix = test_prefix(text), .ids = {first, second}};
    c.n = first == 0 ? 0 : second == 0 ? 1 : 2;
    c.n_live = n_live;
    assert_ok(pv_fp_builder_set_carried(t.a.b, &c, c.n == 0 ? 0 : 1, NULL, 0, &t.a.rng));
    fp_publish(&t.a);
    return c.n != 0 && c.taken;
}

/* The prefix that this node carries for members. */
static void carries(struct fp_node *n, const char *text)
{
    struct pv_prefix here = test_prefix(text);
    assert_ok(pv_fp_builder_set_carried(n->b, NULL, 0, &here, 1, &n->rng));
    fp_publish(n);
}

/* By whom a's packet to this address goes, whose flow has this port; 0: by nobody. */
static uint32_t goes_by(const char *dst, uint16_t port)
{
    uint8_t p[100];
    struct pv_addr to = test_ip(dst);
    size_t len = fp_packet(p, to.family == PV_AF_INET ? fp_ip4(1) : fp_ip6(1), to, 80, 7);
    pv_store_be16(p + (to.family == PV_AF_INET ? 20 : 40), port);
    struct pv_fp_results r = fp_tx_one(&t.a, p, len, t.now);
    return r.n_sends == 0 ? 0 : r.sends[0].peer;
}

/* Does a packet from this address, sent by b or c, come out of a's TUN at `dst`? */
static bool comes_from(struct fp_node *by, const char *src, const char *dst)
{
    uint8_t p[100], wire[256];
    size_t len = fp_packet(p, test_ip(src), test_ip(dst), 80, 7);
    const struct pv_fp_packet in = {.data = p, .len = len};
    assert_int_equal(pv_fp_tx(by->w, by->snap, &in, 1, t.now), 1);
    struct pv_fp_results r = pv_fp_results(by->w);
    assert_int_equal(r.n_sends, 1);
    len = r.sends[0].len;
    memcpy(wire, r.sends[0].data, len);
    r = fp_rx_one(&t.a, fp_carrier(by == &t.b ? 2 : 3), wire, len, t.now);
    return r.n_writes == 1;
}

/* The same of a's packet that goes to b. */
static bool arrives_at_b(const char *dst)
{
    uint8_t p[100], wire[256];
    struct pv_addr to = test_ip(dst);
    size_t len = fp_packet(p, to.family == PV_AF_INET ? fp_ip4(1) : fp_ip6(1), to, 80, 7);
    struct pv_fp_results r = fp_tx_one(&t.a, p, len, t.now);
    assert_int_equal(r.n_sends, 1);
    assert_int_equal(r.sends[0].peer, t.b_at_a);
    len = r.sends[0].len;
    memcpy(wire, r.sends[0].data, len);
    r = fp_rx_one(&t.b, fp_carrier(1), wire, len, t.now);
    return r.n_writes == 1;
}

static uint64_t drops_of(const struct fp_node *n, enum pv_fp_drop reason)
{
    return pv_fp_drops(n->w, reason);
}

PV_TEST(the_longest_prefix_goes_to_its_carrier)
{
    assert_int_equal(goes_by("192.168.1.7", 1), 0);
    struct pv_fp_carried all[] = {
        {.prefix = test_prefix("0.0.0.0/0"), .n = 1, .n_live = 1, .ids = {t.b_at_a}},
        {.prefix = test_prefix("192.168.1.0/24"), .n = 1, .n_live = 1, .ids = {t.c_at_a}},
        {.prefix = test_prefix("2001:db8::/32"), .n = 1, .n_live = 1, .ids = {t.c_at_a}},
    };
    assert_ok(pv_fp_builder_set_carried(t.a.b, all, 3, NULL, 0, &t.a.rng));
    assert_true(all[0].taken && all[1].taken && all[2].taken);
    fp_publish(&t.a);
    assert_int_equal(goes_by("192.168.1.7", 1), t.c_at_a);
    assert_int_equal(goes_by("192.168.2.7", 1), t.b_at_a);
    assert_int_equal(goes_by("2001:db8:5::1", 1), t.c_at_a);
    assert_int_equal(goes_by("2001:db9::1", 1), 0);
    assert_int_equal(goes_by("10.66.0.2", 1), t.b_at_a); /* a member's own address */
    assert_int_equal(goes_by("10.66.7.7", 1), 0);        /* the network's range goes nowhere else */
}

PV_TEST(only_who_carries_a_prefix_speaks_for_it)
{
    assert_false(comes_from(&t.b, "192.168.1.7", "10.66.0.1"));
    assert_int_equal(drops_of(&t.a, PV_FP_DROP_SOURCE), 1);
    assert_true(carried_by("192.168.1.0/24", t.b_at_a, 0, 1));
    assert_true(comes_from(&t.b, "192.168.1.7", "10.66.0.1"));
    assert_false(comes_from(&t.c, "192.168.1.7", "10.66.0.1"));
    assert_false(comes_from(&t.b, "192.168.2.7", "10.66.0.1"));
    assert_false(comes_from(&t.b, "10.66.0.3", "10.66.0.1")); /* c's address */
    assert_true(comes_from(&t.c, "10.66.0.3", "10.66.0.1"));
    assert_true(carried_by("192.168.1.0/24", t.b_at_a, t.c_at_a, 0));
    assert_true(comes_from(&t.c, "192.168.1.7", "10.66.0.1")); /* also while nothing goes there */
    assert_false(carried_by("192.168.1.0/24", 0, 0, 0));
    assert_false(comes_from(&t.b, "192.168.1.7", "10.66.0.1"));
}

/* A peer that carries the default route speaks for all the world, and for no member. */
PV_TEST(an_exit_speaks_for_no_member)
{
    assert_true(carried_by("0.0.0.0/0", t.b_at_a, 0, 1));
    assert_true(comes_from(&t.b, "8.8.8.8", "10.66.0.1"));
    assert_false(comes_from(&t.b, "10.66.0.3", "10.66.0.1"));
    assert_false(comes_from(&t.b, "10.66.9.9", "10.66.0.1"));
    struct pv_fp_carried c = {.prefix = test_prefix("192.168.9.0/24"), .n = 1, .n_live = 1};
    c.ids[0] = t.a_at_b;
    assert_ok(pv_fp_builder_set_carried(t.b.b, &c, 1, NULL, 0, &t.b.rng));
    fp_publish(&t.b);
    assert_false(comes_from(&t.b, "8.8.8.8", "192.168.9.9")); /* a carries nothing */
    assert_int_equal(drops_of(&t.a, PV_FP_DROP_DESTINATION), 1);
}

PV_TEST(a_packet_that_this_node_carries_goes_to_the_kernel)
{
    assert_true(carried_by("0.0.0.0/0", t.b_at_a, 0, 1));
    assert_false(arrives_at_b("192.168.1.7"));
    assert_int_equal(drops_of(&t.b, PV_FP_DROP_DESTINATION), 1);
    carries(&t.b, "192.168.1.0/24");
    assert_true(arrives_at_b("192.168.1.7"));
    assert_false(arrives_at_b("192.168.2.7"));
    carries(&t.b, "0.0.0.0/0");
    assert_true(arrives_at_b("192.168.2.7"));
    assert_int_equal(drops_of(&t.b, PV_FP_DROP_DESTINATION), 2);
}

/* It takes no packet that it would send on into the network again: no packet goes in circles. */
PV_TEST(nothing_is_carried_to_members)
{
    struct pv_prefix here = test_prefix("0.0.0.0/0");
    struct pv_fp_carried c = {.prefix = test_prefix("192.168.1.0/24"), .n = 1, .n_live = 1};
    c.ids[0] = t.a_at_b;
    assert_ok(pv_fp_builder_set_carried(t.b.b, &c, 1, &here, 1, &t.b.rng));
    fp_publish(&t.b);
    assert_true(carried_by("0.0.0.0/0", t.b_at_a, 0, 1));
    assert_true(arrives_at_b("192.168.2.7"));
    assert_false(arrives_at_b("192.168.1.7"));
    struct pv_fp_carried net = {
        .prefix = test_prefix("10.66.7.0/24"), .n = 1, .n_live = 1, .ids = {t.b_at_a}};
    assert_ok(pv_fp_builder_set_carried(t.a.b, &net, 1, NULL, 0, &t.a.rng));
    fp_publish(&t.a);
    assert_false(arrives_at_b("10.66.7.7")); /* an address of the network that nobody has */
}

PV_TEST(of_several_carriers_the_first_is_used_and_flows_stay)
{
    assert_true(carried_by("192.168.1.0/24", t.b_at_a, t.c_at_a, 2));
    assert_int_equal(goes_by("192.168.1.7", 1), t.b_at_a);
    assert_true(carried_by("192.168.1.0/24", t.c_at_a, t.b_at_a, 2)); /* c is nearer now */
    assert_int_equal(goes_by("192.168.1.7", 1), t.b_at_a);
    assert_int_equal(goes_by("192.168.1.7", 2), t.c_at_a);
    assert_true(carried_by("192.168.1.0/24", t.c_at_a, t.b_at_a, 1)); /* b is dead */
    assert_int_equal(goes_by("192.168.1.7", 1), t.c_at_a);
    assert_true(carried_by("192.168.1.0/24", t.c_at_a, t.b_at_a, 2));
    assert_int_equal(goes_by("192.168.1.7", 1), t.c_at_a); /* where it is now it stays */
    assert_true(carried_by("192.168.1.0/24", t.b_at_a, t.c_at_a, 2));
    assert_int_equal(goes_by("192.168.1.7", 1), t.c_at_a);
    assert_int_equal(goes_by("192.168.1.7", 3), t.b_at_a);
}

/* Answers go back by the carrier through which a flow came: another one's would not know it. */
PV_TEST(a_flow_that_came_by_one_goes_back_by_it)
{
    uint8_t p[100];
    assert_true(carried_by("192.168.1.0/24", t.b_at_a, t.c_at_a, 2));
    assert_true(comes_from(&t.c, "192.168.1.7", "10.66.0.1"));
    size_t len = fp_packet(p, fp_ip4(1), test_ip("192.168.1.7"), 80, 7);
    pv_store_be16(p + 20, 5001);
    pv_store_be16(p + 22, 5000);
    struct pv_fp_results r = fp_tx_one(&t.a, p, len, t.now);
    assert_int_equal(r.n_sends, 1);
    assert_int_equal(r.sends[0].peer, t.c_at_a);
    assert_int_equal(goes_by("192.168.1.7", 9), t.b_at_a);
}

/* Fragments have no ports; they follow the first one of their packet. */
PV_TEST(fragments_go_where_their_first_one_went)
{
    uint8_t p[100];
    struct pv_addr dst = test_ip("192.168.1.7");
    assert_true(carried_by("192.168.1.0/24", t.b_at_a, t.c_at_a, 2));
    size_t len = fp_packet(p, fp_ip4(1), dst, 80, 7);
    pv_store_be16(p + 4, 77);
    pv_store_be16(p + 6, 0x2000); /* more fragments */
    assert_int_equal(fp_tx_one(&t.a, p, len, t.now).sends[0].peer, t.b_at_a);
    assert_true(carried_by("192.168.1.0/24", t.c_at_a, t.b_at_a, 2));
    pv_store_be16(p + 6, 0x0008); /* the last one */
    assert_int_equal(fp_tx_one(&t.a, p, len, t.now).sends[0].peer, t.b_at_a);
    pv_store_be16(p + 4, 78); /* of another packet */
    assert_int_equal(fp_tx_one(&t.a, p, len, t.now).sends[0].peer, t.c_at_a);
}

PV_TEST(a_prefix_of_somebody_is_left_out)
{
    uint32_t s = fp_add_static(&t.a, "192.168.1.0/24");
    struct pv_fp_carried all[] = {
        {.prefix = test_prefix("192.168.1.0/24"), .n = 1, .n_live = 1, .ids = {t.b_at_a}},
        {.prefix = test_prefix("10.66.0.0/16"), .n = 1, .n_live = 1, .ids = {t.b_at_a}},
    };
    for (int i = 0; i < 2; i++) { /* the second time nothing is new */
        assert_ok(pv_fp_builder_set_carried(t.a.b, all, 2, NULL, 0, &t.a.rng));
        assert_false(all[0].taken || all[1].taken);
    }
    fp_publish(&t.a);
    assert_int_equal(pv_fp_snapshot_route(t.a.snap, 4, test_ip("192.168.1.7").ip)->id, s);
    assert_int_equal(goes_by("10.66.9.9", 1), 0);
    assert_ok(pv_fp_builder_set_carried(t.a.b, NULL, 0, NULL, 0, &t.a.rng));
    fp_publish(&t.a);
    assert_int_equal(pv_fp_snapshot_route(t.a.snap, 4, test_ip("192.168.1.7").ip)->id, s);
    assert_int_equal(
        pv_fp_builder_set_carried(t.a.b, all, PV_FP_MAX_CARRIED + 1, NULL, 0, &t.a.rng),
        PV_ERR_LIMIT);
    assert_int_equal(
        pv_fp_builder_set_carried(t.a.b, all, 0, &all[0].prefix, PV_FP_MAX_HERE + 1, &t.a.rng),
        PV_ERR_LIMIT);
}

/* The same again makes no snapshot; a carrier that is gone is nobody. */
PV_TEST(nothing_new_changes_nothing)
{
    assert_true(carried_by("192.168.1.0/24", t.b_at_a, t.c_at_a, 2));
    assert_false(pv_fp_builder_changed(t.a.b));
    struct pv_fp_carried c = {.prefix = test_prefix("192.168.1.0/24"), .n = 2, .n_live = 2};
    c.ids[0] = t.b_at_a;
    c.ids[1] = t.c_at_a;
    assert_ok(pv_fp_builder_set_carried(t.a.b, &c, 1, NULL, 0, &t.a.rng));
    assert_false(pv_fp_builder_changed(t.a.b));
    assert_true(c.taken);
    assert_ok(pv_fp_builder_remove_peer(t.a.b, t.b_at_a));
    fp_publish(&t.a);
    assert_int_equal(goes_by("192.168.1.7", 1), 0);
}

static struct pv_ruletable *table_of(const char *ports, uint16_t rule)
{
    struct pv_ports set;
    struct pv_ruletable *table;
    assert_ok(pv_ports_parse(ports, &set));
    const struct pv_ruleline line = {.rule = rule, .allow = true, .ports = &set};
    assert_ok(pv_ruletable_new(&line, 1, false, NULL, &table));
    return table;
}

/* The networks behind this node have rules of their own: those of the longest region. */
PV_TEST(networks_behind_have_rules_of_their_own)
{
    const struct pv_fp_doubt none = {.until = 0};
    struct pv_ruletable *own = table_of("udp/5001", 1), *lan = table_of("tcp/80", 2),
                        *printer = table_of("udp/5001", 3);
    assert_true(carried_by("192.168.1.0/24", t.b_at_a, 0, 1));
    carries(&t.b, "192.168.1.0/24");
    assert_ok(pv_fp_builder_set_guard(t.b.b, 3, &none, &t.b.rng));
    assert_ok(pv_fp_builder_set_rules(t.b.b, t.a_at_b, own));
    fp_publish(&t.b);
    assert_true(arrives_at_b("192.168.1.7")); /* without regions the rules hold for all */
    const struct pv_fp_region regions[] = {
        {.prefix = test_prefix("192.168.1.7/32"), .rules = printer},
        {.prefix = test_prefix("192.168.1.0/24"), .rules = lan},
    };
    assert_ok(pv_fp_builder_set_regions(t.b.b, t.a_at_b, regions, 2));
    pv_ruletable_unref(own);
    pv_ruletable_unref(lan);
    pv_ruletable_unref(printer);
    fp_publish(&t.b);
    assert_true(arrives_at_b("192.168.1.7"));
    assert_false(arrives_at_b("192.168.1.8"));
    assert_true(arrives_at_b("10.66.0.2")); /* the node itself */
    assert_ok(pv_fp_builder_set_regions(t.b.b, t.a_at_b, NULL, 0));
    fp_publish(&t.b);
    assert_true(arrives_at_b("192.168.1.9"));
    assert_int_equal(pv_fp_builder_set_regions(t.b.b, t.a_at_b, regions, PV_FP_MAX_REGIONS + 1),
                     PV_ERR_LIMIT);
}

/* --- phones (adr 0090) ------------------------------------------------------------------------ */

/* phone = 10.66.0.9 is a phone of b. Its peer at a. */
static uint32_t phone_by_b(void)
{
    uint32_t phone = fp_add_member(&t.a, 9);
    assert_ok(pv_fp_builder_set_by(t.a.b, phone, t.b_at_a));
    fp_publish(&t.a);
    return phone;
}

PV_TEST(packets_for_a_phone_go_by_its_gateway)
{
    uint32_t phone = phone_by_b();
    assert_int_equal(goes_by("10.66.0.9", 1), t.b_at_a);
    assert_int_equal(goes_by("fd00::9", 1), t.b_at_a);
    assert_ok(pv_fp_builder_set_by(t.a.b, phone, t.c_at_a));
    fp_publish(&t.a);
    assert_int_equal(goes_by("10.66.0.9", 1), t.c_at_a);
    assert_ok(pv_fp_builder_remove_peer(t.a.b, t.c_at_a));
    fp_publish(&t.a);
    assert_int_equal(goes_by("10.66.0.9", 1), 0);
    assert_int_equal(pv_fp_builder_set_by(t.a.b, 77, 0), PV_ERR_NOT_FOUND);
}

PV_TEST(only_the_gateway_of_a_phone_speaks_for_it)
{
    assert_false(comes_from(&t.b, "10.66.0.9", "10.66.0.1"));
    uint32_t phone = phone_by_b();
    assert_true(comes_from(&t.b, "10.66.0.9", "10.66.0.1"));
    assert_true(comes_from(&t.b, "fd00::9", "fd00::1"));
    assert_false(comes_from(&t.c, "10.66.0.9", "10.66.0.1"));
    assert_ok(pv_fp_builder_remove_peer(t.a.b, phone));
    fp_publish(&t.a);
    assert_false(comes_from(&t.b, "10.66.0.9", "10.66.0.1"));
    assert_int_equal(goes_by("10.66.0.9", 1), 0);
}

/* At a the rules about the phone hold, and not those about its gateway: neither may
 * do what only the other may. */
PV_TEST(a_phone_has_rules_of_its_own)
{
    const struct pv_fp_doubt none = {.until = 0};
    struct pv_ruletable *yes = table_of("udp/5001", 1), *no = table_of("tcp/80", 2);
    uint32_t phone = phone_by_b();
    assert_ok(pv_fp_builder_set_guard(t.a.b, 2, &none, &t.a.rng));
    assert_ok(pv_fp_builder_set_rules(t.a.b, t.b_at_a, yes));
    fp_publish(&t.a);
    assert_false(comes_from(&t.b, "10.66.0.9", "10.66.0.1")); /* before its rules are there */
    assert_ok(pv_fp_builder_set_rules(t.a.b, phone, no));
    fp_publish(&t.a);
    assert_true(comes_from(&t.b, "10.66.0.2", "10.66.0.1"));
    assert_false(comes_from(&t.b, "10.66.0.9", "10.66.0.1"));
    assert_int_equal(pv_fp_builder_denied(t.a.b, PV_RULE_DEFAULT), 1);
    assert_ok(pv_fp_builder_set_rules(t.a.b, t.b_at_a, no));
    assert_ok(pv_fp_builder_set_rules(t.a.b, phone, yes));
    fp_publish(&t.a);
    assert_true(comes_from(&t.b, "10.66.0.9", "10.66.0.1"));
    assert_false(comes_from(&t.b, "10.66.0.2", "10.66.0.1"));
    pv_ruletable_unref(yes);
    pv_ruletable_unref(no);
}

/* The phone answers at a port that a sent to, although no rule lets the phone begin. */
PV_TEST(a_phone_may_answer)
{
    const struct pv_fp_doubt none = {.until = 0};
    struct pv_ruletable *no = table_of("tcp/80", 2);
    uint8_t p[100];
    uint32_t phone = phone_by_b();
    assert_ok(pv_fp_builder_set_guard(t.a.b, 2, &none, &t.a.rng));
    assert_ok(pv_fp_builder_set_rules(t.a.b, t.b_at_a, no));
    assert_ok(pv_fp_builder_set_rules(t.a.b, phone, no));
    pv_ruletable_unref(no);
    fp_publish(&t.a);
    assert_false(comes_from(&t.b, "10.66.0.9", "10.66.0.1"));
    size_t len = fp_packet(p, fp_ip4(1), test_ip("10.66.0.9"), 80, 7);
    uint16_t from = pv_load_be16(p + 20), to = pv_load_be16(p + 22);
    pv_store_be16(p + 20, to); /* the phone answers from where fp_packet() sends to */
    pv_store_be16(p + 22, from);
    assert_int_equal(fp_tx_one(&t.a, p, len, t.now).n_sends, 1);
    assert_true(comes_from(&t.b, "10.66.0.9", "10.66.0.1"));
    assert_false(comes_from(&t.b, "10.66.0.2", "10.66.0.1"));
}

/* At b, which carries it, a peer of plain WireGuard: what is for it goes to the kernel, and so does
 * what it sends to members, but nothing else. */
PV_TEST(a_gateway_passes_on_what_phones_send_and_get)
{
    uint32_t phone;
    struct pv_prefix routes[2] = {{.base = fp_ip4(9), .bits = 32},
                                  {.base = fp_ip6(9), .bits = 128}};
    (void)phone_by_b();
    assert_false(arrives_at_b("10.66.0.9"));
    assert_ok(pv_fp_builder_add_peer(t.b.b, PV_FP_PHONE, &phone));
    assert_ok(pv_fp_builder_set_routes(t.b.b, phone, routes, 2));
    fp_publish(&t.b);
    assert_true(arrives_at_b("10.66.0.9"));
    assert_true(arrives_at_b("fd00::9"));

    /* Node c plays the app: b knows it as the phone. */
    uint32_t b_at_app = fp_add_member(&t.c, 2);
    assert_ok(pv_fp_builder_remove_peer(t.c.b, t.a_at_c));
    const struct pv_prefix all[] = {test_prefix("10.66.0.0/16"), test_prefix("8.8.8.8/32")};
    struct pv_fp_interface own = {.n_own = 1, .mtu = 1420, .own = {fp_ip4(9)}};
    assert_ok(pv_fp_builder_set_interface(t.c.b, &own));
    assert_ok(pv_fp_builder_set_routes(t.c.b, b_at_app, all, 2));
    fp_set_path(&t.c, b_at_app, 2, 0);
    fp_set_path(&t.b, phone, 3, 0);
    (void)fp_add_keys(&t.c, b_at_app, &t.b, phone, t.now, NULL);
    fp_publish(&t.c);
    fp_publish(&t.b);
    static const struct {
        const char *from, *to;
        bool passes;
    } cases[] = {
        {"10.66.0.9", "10.66.0.2", true},  /* b itself */
        {"10.66.0.9", "10.66.0.1", true},  /* a member */
        {"10.66.0.9", "10.66.7.7", false}, /* nobody's */
        {"10.66.0.9", "8.8.8.8", false},   /* b is no exit */
        {"10.66.0.1", "10.66.0.2", false}, /* as somebody else */
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(cases); i++) {
        uint8_t p[100], wire[256];
        size_t len = fp_packet(p, test_ip(cases[i].from), test_ip(cases[i].to), 80, 7);
        struct pv_fp_results r = fp_tx_one(&t.c, p, len, t.now);
        assert_int_equal(r.n_sends, 1);
        len = r.sends[0].len;
        memcpy(wire, r.sends[0].data, len);
        r = fp_rx_one(&t.b, fp_carrier(3), wire, len, t.now);
        assert_int_equal(r.n_writes == 1, cases[i].passes);
    }
}

/* The phone's machine keeps no rules: this node's own programs send it what they may, and answers.
 */
PV_TEST(the_own_programs_keep_the_rules_about_a_phone)
{
    const struct pv_fp_doubt none = {.until = 0};
    struct pv_ruletable *yes = table_of("udp/5001", 1), *no = table_of("tcp/80", 2);
    const struct pv_prefix route = {.base = fp_ip4(9), .bits = 32};
    uint32_t phone;
    assert_ok(pv_fp_builder_add_peer(t.a.b, PV_FP_PHONE, &phone));
    assert_ok(pv_fp_builder_set_routes(t.a.b, phone, &route, 1));
    fp_set_path(&t.a, phone, 3, 0);
    (void)fp_add_keys(&t.a, phone, &t.c, t.a_at_c, t.now, NULL);
    assert_int_equal(pv_fp_builder_set_out(t.a.b, phone, no), PV_ERR_STATE);
    assert_ok(pv_fp_builder_set_guard(t.a.b, 2, &none, &t.a.rng));
    assert_ok(pv_fp_builder_set_rules(t.a.b, phone, yes));
    assert_ok(pv_fp_builder_set_out(t.a.b, phone, no));
    fp_publish(&t.a);
    assert_int_equal(goes_by("10.66.0.9", 1), 0);
    assert_int_equal(drops_of(&t.a, PV_FP_DROP_RULES), 1);
    uint8_t p[100]; /* a member's, which came in by its own rules */
    size_t len = fp_packet(p, fp_ip4(2), fp_ip4(9), 80, 7);
    assert_int_equal(fp_tx_one(&t.a, p, len, t.now).n_sends, 1);
    len =
        fp_packet(p, test_ip("192.168.1.7"), fp_ip4(9), 80, 7); /* of a network behind this node */
    assert_int_equal(fp_tx_one(&t.a, p, len, t.now).n_sends, 0);
    (void)fp_add_static(&t.a, "192.168.1.0/24"); /* or of a static peer */
    fp_publish(&t.a);
    assert_int_equal(fp_tx_one(&t.a, p, len, t.now).n_sends, 0);
    assert_int_equal(drops_of(&t.a, PV_FP_DROP_RULES), 3);
    assert_ok(pv_fp_builder_set_out(t.a.b, phone, yes));
    fp_publish(&t.a);
    assert_int_equal(fp_tx_one(&t.a, p, len, t.now).n_sends, 1);
    assert_int_equal(goes_by("10.66.0.9", 1), phone);
    pv_ruletable_unref(yes);
    pv_ruletable_unref(no);
}
