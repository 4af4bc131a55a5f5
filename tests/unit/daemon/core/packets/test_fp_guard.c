/* SPDX-License-Identifier: MIT */
/* The packets that a node lets in by its rules, and those that it lets in because it asked for
 * them. */
#include "daemon/core/packets/fp_state.h"
#include "fp_pair.h"
#include "proto/group/group.h"
#include "proto/ip/parts.h"
#include "proto/rules/policy.h"

enum {
    TCP = PV_PORTS_TCP,
    UDP = PV_PORTS_UDP,
    SYN = 2,
    ACK = 16,
    RULE = 3, /* number of the rule in these tests */
};

/* Node a = 10.66.0.1 has no rules, node b = 10.66.0.2 has rules about a. */
static struct fp_pair pair, *const t = &pair;

/* Time passes, and there are new keys, as sessions have them long before the old ones end. */
static void later(pv_ns by)
{
    t->now += by;
    assert_ok(pv_fp_builder_remove_keys(t->a.b, t->b_at_a, t->a_index));
    assert_ok(pv_fp_builder_remove_keys(t->b.b, t->a_at_b, t->b_index));
    fp_pair_add_keys(t);
    fp_pair_publish(t);
}

void test_before_each(void)
{
    fp_pair_connect(t);
}

/* From now on b lets in of a what these ports say, and denies the rest by RULE. */
static void let_in_since(const char *ports, struct pv_fp_doubt doubt)
{
    struct pv_ports some, all;
    struct pv_ruletable *table;
    assert_ok(pv_ports_parse(ports, &some));
    assert_ok(pv_ports_parse("all", &all));
    const struct pv_ruleline lines[2] = {{.rule = 1, .allow = true, .ports = &some},
                                         {.rule = RULE, .allow = false, .ports = &all}};
    assert_ok(pv_ruletable_new(lines, 2, true, NULL, &table));
    assert_ok(pv_fp_builder_set_guard(t->b.b, RULE, &doubt, &t->b.rng));
    assert_ok(pv_fp_builder_set_rules(t->b.b, t->a_at_b, table));
    pv_ruletable_unref(table);
    fp_publish(&t->b);
}

static void let_in(const char *ports, pv_ns doubt_until)
{
    let_in_since(ports, (struct pv_fp_doubt){.until = doubt_until});
}

struct inner {
    uint8_t b[160];
    size_t len;
};

static struct inner packet(int version, const struct fp_node *from, uint8_t proto, uint16_t sport,
                           uint16_t dport, uint8_t flags)
{
    struct inner p = {.len = version == 4 ? 60 : 80};
    uint32_t src = from == &t->a ? 1 : 2;
    struct pv_addr s = version == 4 ? fp_ip4(src) : fp_ip6(src);
    struct pv_addr d = version == 4 ? fp_ip4(3 - src) : fp_ip6(3 - src);
    uint8_t *l4 = p.b + (version == 4 ? 20 : 40);
    p.b[0] = version == 4 ? 0x45 : 0x60;
    if (version == 4) {
        pv_store_be16(p.b + 2, (uint16_t)p.len);
        p.b[8] = 64;
        p.b[9] = proto;
        memcpy(p.b + 12, s.ip, 4);
        memcpy(p.b + 16, d.ip, 4);
    } else {
        pv_store_be16(p.b + 4, 40);
        p.b[6] = proto;
        p.b[7] = 64;
        memcpy(p.b + 8, s.ip, 16);
        memcpy(p.b + 24, d.ip, 16);
    }
    pv_store_be16(l4, sport);
    pv_store_be16(l4 + 2, dport);
    if (proto == TCP) {
        l4[12] = 5 << 4;
        l4[13] = flags;
    }
    if (proto == UDP)
        pv_store_be16(l4 + 4, 40);
    return p;
}

/* Does this packet of one node come out of the other one's TUN? */
static bool crosses(struct fp_node *from, const struct inner *p)
{
    struct fp_node *to = from == &t->a ? &t->b : &t->a;
    const struct pv_fp_packet in = {.data = p->b, .len = p->len};
    uint8_t wire[256];
    assert_int_equal(pv_fp_tx(from->w, from->snap, &in, 1, t->now), 1);
    struct pv_fp_results r = pv_fp_results(from->w);
    assert_int_equal(r.n_sends, 1);
    size_t len = r.sends[0].len;
    memcpy(wire, r.sends[0].data, len);
    const struct pv_fp_datagram d = {
        .from = fp_carrier(from == &t->a ? 1 : 2), .data = wire, .len = len};
    assert_int_equal(pv_fp_rx(to->w, to->snap, &d, 1, t->now), 1);
    r = pv_fp_results(to->w);
    for (size_t i = 0; i < r.n_punts; i++) {
        if (r.punts[i].kind == PV_FP_PUNT_DENIED) {
            assert_true(r.punts[i].index == RULE || r.punts[i].index == PV_RULE_UNSEEN);
            assert_int_equal(r.punts[i].peer, t->a_at_b);
        }
    }
    return r.n_writes == 1;
}

static bool a_sends(uint8_t proto, uint16_t sport, uint16_t dport, uint8_t flags)
{
    struct inner p4 = packet(4, &t->a, proto, sport, dport, flags);
    struct inner p6 = packet(6, &t->a, proto, sport, dport, flags);
    bool four = crosses(&t->a, &p4);
    assert_int_equal(crosses(&t->a, &p6), four); /* both families are one */
    return four;
}

static void b_sends(uint8_t proto, uint16_t sport, uint16_t dport, uint8_t flags)
{
    struct inner p4 = packet(4, &t->b, proto, sport, dport, flags);
    struct inner p6 = packet(6, &t->b, proto, sport, dport, flags);
    assert_true(crosses(&t->b, &p4)); /* a has no rules */
    assert_true(crosses(&t->b, &p6));
}

PV_TEST(a_packet_that_no_rule_allows_is_dropped_and_counted)
{
    assert_true(a_sends(TCP, 40000, 23, SYN));
    let_in("tcp/22", 0);
    assert_true(a_sends(TCP, 40000, 22, SYN));
    assert_true(a_sends(TCP, 40000, 22, ACK));
    assert_false(a_sends(TCP, 40000, 23, SYN));
    assert_false(a_sends(TCP, 22, 23, ACK));
    assert_false(a_sends(UDP, 40000, 22, 0));
    assert_int_equal(pv_fp_drops(t->b.w, PV_FP_DROP_RULES), 6);
    assert_int_equal(pv_fp_builder_denied(t->b.b, RULE), 6);
    assert_int_equal(pv_fp_builder_denied(t->b.b, 1), 0);
    assert_ok(pv_fp_builder_set_rules(t->b.b, t->a_at_b, NULL));
    pv_fp_builder_drop_guard(t->b.b);
    fp_publish(&t->b);
    assert_true(a_sends(TCP, 40000, 23, SYN));
}

/* A file goes against the connection that fetches it: the daemon decides about that one. */
PV_TEST(the_fetching_of_a_file_is_the_daemons_business)
{
    let_in("tcp/22", 0);
    assert_true(a_sends(TCP, 40000, PV_PORTS_FILES, SYN));
    assert_true(a_sends(TCP, 40000, PV_PORTS_FILES, ACK));
    assert_false(a_sends(TCP, PV_PORTS_FILES, 40000, ACK));
    assert_false(a_sends(UDP, 40000, PV_PORTS_FILES, 0));
    assert_false(a_sends(TCP, 40000, PV_PORTS_CHAT, SYN));
}

PV_TEST(answers_to_what_this_node_began_enter)
{
    let_in("tcp/22", 0);
    assert_false(a_sends(TCP, 80, 40000, SYN | ACK));
    b_sends(TCP, 40000, 80, SYN);
    assert_true(a_sends(TCP, 80, 40000, SYN | ACK));
    b_sends(TCP, 40000, 80, ACK);
    assert_true(a_sends(TCP, 80, 40000, ACK));
    assert_false(a_sends(TCP, 81, 40000, ACK));
    assert_false(a_sends(TCP, 80, 40001, ACK));
    assert_false(a_sends(TCP, 80, 40000, SYN)); /* a SYN answers nothing */
    assert_false(a_sends(UDP, 53, 9000, 0));
    b_sends(UDP, 9000, 53, 0);
    assert_true(a_sends(UDP, 53, 9000, 0));
    later(PV_S(100));
    assert_true(a_sends(UDP, 53, 9000, 0));
    later(PV_S(PV_FLOW_LIFE - 99));
    assert_false(a_sends(UDP, 53, 9000, 0)); /* b sent nothing for so long */
}

/* While a service goes on talking to a client that the rules shut out, the client stays out. */
PV_TEST(a_flow_that_the_peer_began_ends_with_its_permission)
{
    let_in("27015,tcp/22", 0);
    assert_true(a_sends(UDP, 50000, 27015, 0));
    assert_true(a_sends(TCP, 50000, 22, SYN));
    b_sends(UDP, 27015, 50000, 0);
    b_sends(TCP, 22, 50000, SYN | ACK);
    assert_true(a_sends(TCP, 50000, 22, ACK));
    let_in("tcp/1", 0);
    for (size_t i = 0; i < 5; i++) {
        assert_false(a_sends(UDP, 50000, 27015, 0));
        assert_false(a_sends(TCP, 50000, 22, ACK));
        b_sends(UDP, 27015, 50000, 0);
        b_sends(TCP, 22, 50000, ACK);
        later(PV_S(100));
    }
    let_in("27015", 0);
    assert_true(a_sends(UDP, 50000, 27015, 0));
}

PV_TEST(flows_older_than_the_first_rule_are_judged_by_their_port)
{
    assert_true(a_sends(UDP, 50000, 27015, 0));
    b_sends(UDP, 27015, 50000, 0);
    b_sends(UDP, 41000, 7000, 0);
    b_sends(TCP, 41000, 80, SYN);
    let_in("tcp/22", t->now + PV_S(PV_FLOW_LIFE));
    b_sends(UDP, 27015, 50000, 0); /* a service's port: the peer may have begun it */
    b_sends(UDP, 41000, 7000, 0);
    b_sends(TCP, 41000, 80, ACK);
    b_sends(TCP, 443, 50001, ACK);
    assert_false(a_sends(UDP, 50000, 27015, 0));
    assert_true(a_sends(UDP, 7000, 41000, 0));
    assert_true(a_sends(TCP, 80, 41000, ACK)); /* also after a restart */
    assert_false(a_sends(TCP, 50001, 443, ACK));
    later(PV_S(PV_FLOW_LIFE));
    b_sends(UDP, 27015, 50000, 0); /* begun by now, whatever was before */
    assert_true(a_sends(UDP, 50000, 27015, 0));
}

static struct inner echo(const struct fp_node *from, bool reply, uint16_t id)
{
    struct inner p = packet(4, from, PV_PORTS_ICMP, 0, 0, 0);
    p.b[20] = reply ? 0 : 8;
    pv_store_be16(p.b + 24, id);
    return p;
}

PV_TEST(pings_and_errors_follow_the_rules)
{
    let_in("tcp/22", t->now + PV_S(60)); /* whoever asks has begun it */
    struct inner ask = echo(&t->a, false, 7), answer = echo(&t->a, true, 7);
    struct inner ours = echo(&t->b, false, 7);
    assert_false(crosses(&t->a, &ask));
    assert_false(crosses(&t->a, &answer));
    assert_true(crosses(&t->b, &ours));
    assert_true(crosses(&t->a, &answer));
    assert_false(crosses(&t->a, &ask));
    let_in("ping", 0);
    assert_true(crosses(&t->a, &ask));

    let_in("tcp/22", 0);
    struct inner sent = packet(4, &t->b, UDP, 9000, 53, 0);
    struct inner error = packet(4, &t->a, PV_PORTS_ICMP, 0, 0, 0);
    error.b[20] = 3;
    memcpy(error.b + 28, sent.b, 32);
    assert_false(crosses(&t->a, &error)); /* about what was never sent */
    assert_true(crosses(&t->b, &sent));
    assert_true(crosses(&t->a, &error));
}

/* How many of two packets of a that come in one batch b lets in. */
static size_t cross_together(const struct inner *p, const struct inner *q)
{
    const struct pv_fp_packet in[2] = {{.data = p->b, .len = p->len},
                                       {.data = q->b, .len = q->len}};
    struct pv_fp_datagram d[2];
    uint8_t wire[2][256];
    assert_int_equal(pv_fp_tx(t->a.w, t->a.snap, in, 2, t->now), 2);
    struct pv_fp_results r = pv_fp_results(t->a.w);
    assert_int_equal(r.n_sends, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_true(r.sends[i].len <= sizeof(wire[i]));
        memcpy(wire[i], r.sends[i].data, r.sends[i].len);
        d[i] =
            (struct pv_fp_datagram){.from = fp_carrier(1), .data = wire[i], .len = r.sends[i].len};
    }
    assert_int_equal(pv_fp_rx(t->b.w, t->b.snap, d, 2, t->now), 2);
    return pv_fp_results(t->b.w).n_writes;
}

PV_TEST(a_ping_brings_no_other_icmp_with_it)
{
    struct inner ask = echo(&t->a, false, 7), redirect = ask, ours = echo(&t->b, false, 0);
    redirect.b[20] = 5; /* RFC 792; the identifier's place is in the address of a router */
    let_in("ping", 0);
    assert_true(crosses(&t->a, &ask));
    assert_false(crosses(&t->a, &redirect));
    assert_int_equal(cross_together(&ask, &ask), 2);
    assert_int_equal(cross_together(&ask, &redirect), 1);

    pv_store_be16(redirect.b + 24, 0); /* the same on either side of who asks */
    assert_true(crosses(&t->b, &ours));
    assert_false(crosses(&t->a, &redirect));
}

/* Behind extension headers there are ports; behind whatever else no bytes are ports, however they
 * look. Nebula had walked those headers, too, and other filters give up after some. */
PV_TEST(bytes_like_ports_behind_other_headers_are_none)
{
    static const uint8_t extensions[] = {0, 43, 51, 60};
    struct inner p;
    let_in("udp/53", 0);
    for (unsigned next = 0; next < 256; next++) {
        bool walked = memchr(extensions, (int)next, sizeof(extensions)) != NULL;
        p = packet(6, &t->a, (uint8_t)next, 0, 0, 0);
        memset(p.b + 40, 0, 40);
        p.b[40] = UDP; /* its length is 8 bytes, in the form of both kinds of headers */
        p.b[42] = 4;   /* a routing header that kernels pass by: those of type 0 never enter */
        pv_store_be16(p.b + 48, 53);
        pv_store_be16(p.b + 50, 53);
        pv_store_be16(p.b + 52, 32);
        if (next != 44) /* a fragment header, of which there are tests below */
            assert_int_equal(crosses(&t->a, &p), walked);
        pv_store_be16(p.b + 40, 53); /* at the place of UDP's ports */
        pv_store_be16(p.b + 42, 53);
        pv_store_be16(p.b + 44, 40);
        assert_int_equal(crosses(&t->a, &p), next == UDP);
    }
    /* More headers than are walked, and one that is longer than the packet. */
    for (size_t n = 1; n <= PV_IPPKT_MAX_EXTENSIONS + 2; n++) {
        p = packet(6, &t->a, 60, 0, 0, 0);
        memset(p.b + 40, 0, sizeof(p.b) - 40);
        for (size_t i = 0; i < n; i++)
            p.b[40 + 8 * i] = i + 1 == n ? UDP : 60;
        pv_store_be16(p.b + 40 + 8 * n, 53);
        pv_store_be16(p.b + 40 + 8 * n + 2, 53);
        pv_store_be16(p.b + 40 + 8 * n + 4, 8);
        pv_store_be16(p.b + 4, (uint16_t)(8 * n + 8));
        p.len = 40 + 8 * n + 8;
        assert_int_equal(crosses(&t->a, &p), n <= PV_IPPKT_MAX_EXTENSIONS);
        p.b[41] = 255;
        assert_false(crosses(&t->a, &p));
    }
}

PV_TEST(fragments_enter_with_their_first_one_only)
{
    let_in("udp/53", 0);
    struct inner first = packet(4, &t->a, UDP, 9, 53, 0), later = first;
    pv_store_be16(first.b + 4, 77);
    pv_store_be16(first.b + 6, 0x2000);
    pv_store_be16(later.b + 4, 77);
    pv_store_be16(later.b + 6, 40 / 8);
    assert_false(crosses(&t->a, &later)); /* nobody knows its port */
    assert_true(crosses(&t->a, &first));
    assert_true(crosses(&t->a, &later));
    pv_store_be16(first.b + 22, 54);
    pv_store_be16(first.b + 4, 78);
    pv_store_be16(later.b + 4, 78);
    assert_false(crosses(&t->a, &first));
    assert_false(crosses(&t->a, &later));
}

/* Each node copies what it sends to this group to the other one. */
static void join_group(struct fp_node *n, uint32_t peer)
{
    static const uint8_t ip4[] = {239, 1, 2, 3};
    const struct pv_fp_group g = {.group = pv_group_of(4, ip4), .n = 1};
    assert_ok(pv_fp_builder_set_groups(n->b, &g, 1, &peer, 1));
    fp_publish(n);
}

static struct inner to_group(struct inner p)
{
    memcpy(p.b + 16, (uint8_t[]){239, 1, 2, 3}, 4);
    return p;
}

static bool one_crosses(struct fp_node *from, uint16_t sport, uint16_t dport)
{
    struct inner p = packet(4, from, UDP, sport, dport, 0);
    return crosses(from, &p);
}

/* A game looks for servers, and each one answers it alone. */
PV_TEST(a_question_of_this_node_to_all_is_answered)
{
    join_group(&t->b, t->a_at_b);
    let_in("tcp/22", 0);
    assert_false(one_crosses(&t->a, 27015, 40000));
    struct inner ask = to_group(packet(4, &t->b, UDP, 40000, 27015, 0));
    assert_true(crosses(&t->b, &ask));
    assert_true(one_crosses(&t->a, 27015, 40000));
    assert_true(one_crosses(&t->a, 1234, 40000)); /* SSDP answers by any port */
    assert_false(one_crosses(&t->a, 27015, 40001));
    assert_false(a_sends(TCP, 27015, 40000, SYN | ACK));
    later(PV_S(PV_FLOW_MANY_LIFE) + PV_S(1));
    assert_false(one_crosses(&t->a, 27015, 40000));

    /* A service that says to all that it is there asks nobody in. */
    struct inner beacon = to_group(packet(4, &t->b, UDP, 27015, 27015, 0));
    assert_true(crosses(&t->b, &beacon));
    assert_false(one_crosses(&t->a, 40000, 27015));
    assert_false(one_crosses(&t->a, 27015, 27015));

    struct inner ping = to_group(echo(&t->b, false, 9)), answer = echo(&t->a, true, 9);
    assert_false(crosses(&t->a, &answer));
    assert_true(crosses(&t->b, &ping));
    assert_true(crosses(&t->a, &answer));
    answer = echo(&t->a, true, 8);
    assert_false(crosses(&t->a, &answer));
}

/* mDNS: the question goes to all, the answer to who asked, and neither begins a flow of b. */
PV_TEST(a_question_of_the_peer_to_all_stays_the_peers)
{
    join_group(&t->a, t->b_at_a);
    let_in("udp/5353", 0);
    struct inner ask = to_group(packet(4, &t->a, UDP, 5353, 5353, 0));
    assert_true(crosses(&t->a, &ask));
    assert_true(one_crosses(&t->b, 5353, 5353));
    let_in("tcp/22", 0);
    assert_false(crosses(&t->a, &ask));
    assert_false(one_crosses(&t->a, 5353, 5353));
    assert_true(one_crosses(&t->b, 5353, 5353)); /* it goes on answering */
    assert_false(one_crosses(&t->a, 5353, 5353));
}

/* The peer makes this node forget its flow by beginning as many as it can, and is shut out then. */
PV_TEST(a_flood_makes_no_flow_of_the_peers_our_own)
{
    let_in("udp/1000-60000", 0);
    assert_true(one_crosses(&t->a, 50000, 27015));
    for (uint32_t i = 0; i < 2 * PV_FLOW_SETS * PV_FLOW_WAYS; i++) {
        struct inner p = packet(4, &t->a, UDP, (uint16_t)i, (uint16_t)(28000 + i / 30000), 0);
        assert_true(crosses(&t->a, &p));
        if (i % 1000 == 0)
            later(PV_S(1));
    }
    let_in("tcp/22", 0);
    assert_true(one_crosses(&t->b, 27015, 50000));
    assert_false(one_crosses(&t->a, 50000, 27015));
    assert_true(one_crosses(&t->b, 41000, 7000)); /* chosen by b, which its peer did not begin */
    assert_true(one_crosses(&t->a, 7000, 41000));
}

/* After a restart the service of b may be the first that speaks. */
PV_TEST(a_flow_that_is_older_than_this_daemon_is_the_peers)
{
    const struct pv_fp_doubt young = {.allowed_until = t->now + PV_S(PV_FLOW_LIFE)};
    let_in_since("udp/27015", young);
    assert_true(one_crosses(&t->b, 27015, 50000));
    assert_true(one_crosses(&t->b, 123, 123)); /* of a port that a cannot have asked */
    assert_true(one_crosses(&t->a, 123, 123));
    let_in_since("tcp/22", young);
    assert_false(one_crosses(&t->a, 50000, 27015));
    assert_true(one_crosses(&t->a, 123, 123));
}

/* A connection between two ports that had one before belongs to who begins it. */
PV_TEST(a_syn_says_who_begins)
{
    let_in("tcp/9000", 0);
    b_sends(TCP, 9000, 80, SYN);
    assert_true(a_sends(TCP, 80, 9000, SYN | ACK));
    assert_true(a_sends(TCP, 80, 9000, SYN));
    b_sends(TCP, 9000, 80, SYN | ACK);
    let_in("tcp/22", 0);
    assert_false(a_sends(TCP, 80, 9000, ACK));
    b_sends(TCP, 9000, 80, ACK);
    assert_false(a_sends(TCP, 80, 9000, ACK));
    b_sends(TCP, 9000, 80, SYN);
    assert_true(a_sends(TCP, 80, 9000, ACK));
}

PV_TEST(a_denial_is_told_now_and_then)
{
    struct inner p = packet(4, &t->a, TCP, 40000, 23, SYN);
    size_t told = 0;
    let_in("tcp/22", 0);
    for (size_t i = 0; i < 40; i++) {
        assert_false(crosses(&t->a, &p));
        struct pv_fp_results r = pv_fp_results(t->b.w);
        for (size_t k = 0; k < r.n_punts; k++) {
            if (r.punts[k].kind != PV_FP_PUNT_DENIED)
                continue;
            told++;
            assert_int_equal(r.punts[k].count, TCP << 16 | 23);
        }
        later(PV_FP_DENIED_EVERY / 4);
    }
    assert_int_equal(told, 10);
}

/* --- at random ---------------------------------------------------------------------------- */

enum {
    PORTS = 6,
    STEPS = 20000,
};

/* The flows of the two nodes over a few ports, as somebody with a perfect memory knows them. */
static struct {
    bool allowed[PORTS];       /* ports of b that a may reach */
    bool ours[PORTS][PORTS];   /* b's port, a's port: b began it */
    bool theirs[PORTS][PORTS]; /* a began it, and was let in */
} known;

static void random_rules(struct pv_rng *rng)
{
    char text[64] = "tcp/1";
    for (unsigned i = 0; i < PORTS; i++) {
        size_t at = strlen(text);
        known.allowed[i] = pv_rng_below(rng, 2) == 0;
        if (known.allowed[i])
            snprintf(text + at, sizeof(text) - at, ",udp/%u", 1000 + i);
    }
    let_in(text, 0);
}

/* Packets of a, each in parts, in one call of b's. How many come out of b's TUN? */
static size_t cross_in_parts(const struct inner *packets, size_t n)
{
    uint8_t wire[16][256], part[100];
    struct pv_fp_datagram d[16];
    struct pv_parts_plan plan;
    size_t n_sent = 0;
    for (size_t k = 0; k < n; k++) {
        assert_ok(pv_parts_plan(packets[k].len, 60, &plan));
        for (uint8_t i = 0; i < plan.n; i++, n_sent++) {
            assert_in_range(n_sent, 0, PV_ARRAY_LEN(wire) - 1);
            pv_parts_put(&plan, packets[k].b, i, (uint32_t)k, part);
            struct pv_view inner = pv_view(part, pv_parts_len(&plan, i));
            assert_ok(pv_fp_inject(t->a.w, t->a.snap, t->b_at_a, inner, t->now));
            struct pv_fp_results r = pv_fp_results(t->a.w);
            assert_int_equal(r.n_sends, 1);
            memcpy(wire[n_sent], r.sends[0].data, r.sends[0].len);
            d[n_sent] = (struct pv_fp_datagram){
                .from = fp_carrier(1), .data = wire[n_sent], .len = r.sends[0].len};
        }
    }
    assert_int_equal(pv_fp_rx(t->b.w, t->b.snap, d, n_sent, t->now), n_sent);
    return pv_fp_results(t->b.w).n_writes;
}

/* A member that takes its packets apart, which it may at any size, gets no further by it. */
PV_TEST(a_packet_in_parts_follows_the_rules)
{
    let_in("udp/53", 0);
    const struct inner good = packet(4, &t->a, UDP, 40000, 53, 0);
    const struct inner bad[] = {packet(4, &t->a, UDP, 40000, 54, 0),
                                packet(6, &t->a, TCP, 40000, 22, SYN)};
    const struct inner mixed[] = {good, bad[0], good, bad[1]};
    assert_int_equal(cross_in_parts(bad, 2), 0);
    assert_int_equal(pv_fp_drops(t->b.w, PV_FP_DROP_RULES), 2);
    assert_int_equal(cross_in_parts(&good, 1), 1);
    later(PV_S(60)); /* numbers of packets begin anew */
    assert_int_equal(cross_in_parts(mixed, 4), 2);
    assert_int_equal(pv_fp_drops(t->b.w, PV_FP_DROP_RULES), 4);
}

/* A packet that enters under any rules is allowed now, or answers what b began. */
PV_TEST(nothing_enters_that_no_rule_of_the_moment_allows)
{
    struct test_rng seed = {.state = 42};
    struct pv_rng rng = {.fill = test_rng_fill, .ctx = &seed};
    memset(&known, 0, sizeof(known));
    random_rules(&rng);
    for (size_t i = 0; i < STEPS; i++) {
        uint32_t what = pv_rng_below(&rng, 100), b = pv_rng_below(&rng, PORTS);
        uint32_t a = pv_rng_below(&rng, PORTS);
        if (what == 0) {
            random_rules(&rng);
        } else if (what < 40) {
            struct inner p = packet(4, &t->b, UDP, (uint16_t)(1000 + b), (uint16_t)(2000 + a), 0);
            assert_true(crosses(&t->b, &p));
            known.ours[b][a] = known.ours[b][a] || !known.theirs[b][a];
        } else {
            struct inner p = packet(4, &t->a, UDP, (uint16_t)(2000 + a), (uint16_t)(1000 + b), 0);
            bool may = known.allowed[b] || known.ours[b][a];
            assert_int_equal(crosses(&t->a, &p), may);
            known.theirs[b][a] = known.theirs[b][a] || (may && !known.ours[b][a]);
        }
        t->now += PV_MS(1);
    }
}
