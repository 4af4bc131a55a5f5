/* SPDX-License-Identifier: MIT */
/* The part that is the name server: what it answers, whom, and how often. */
#include "daemon/core/client/dns.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers x;
static struct pv_dns_reply reply;
static bool recursive; /* a resolver's work is asked for, as programs do */
static const struct pv_addr bob = {.family = PV_AF_INET, .ip = {10, 66, 0, 7}, .port = 40000};

void test_before_each(void)
{
    recursive = true;
    fake_peers_init(&x, &pv_part_dns);
    fake_node_enter(&x.f);
    (void)fake_peers_member(&x, 7, "bob", 7);
    fake_node_start(&x.f);
}

/* Asks for that name ("bob.home.p2p") and type in class IN. Is there an answer of ours? */
static bool ask(const struct pv_addr *src, const char *name, uint16_t type)
{
    uint8_t q[512] = {0x12, 0x34, 1, 0, 0, 1}; /* id, recursion desired, one question */
    size_t n = 12;
    while (*name != '\0') {
        size_t len = strcspn(name, ".");
        q[n++] = (uint8_t)len;
        memcpy(q + n, name, len);
        n += len;
        name += len + (name[len] == '.' ? 1 : 0);
    }
    q[n++] = 0;
    pv_store_be16(q + n, type);
    pv_store_be16(q + n + 2, PV_DNS_IN);
    q[2] = recursive ? 1 : 0;
    pv_dns_serve(&x.f.node, src, pv_view(q, n + 4), &reply, x.f.now);
    assert_true(reply.len == 0 || reply.n_ask == 0);
    return reply.len > 0;
}

static unsigned rcode(void)
{
    return reply.bytes[3] & 15u;
}

static unsigned answers(void)
{
    return pv_load_be16(reply.bytes + 6);
}

static void expect_rcode(const struct pv_addr *src, const char *name, uint16_t type, unsigned want)
{
    assert_true(ask(src, name, type));
    assert_int_equal(rcode(), want);
}

/* All is well; how many records the answer has. */
static unsigned answers_to(const struct pv_addr *src, const char *name, uint16_t type)
{
    expect_rcode(src, name, type, PV_DNS_OK);
    return answers();
}

PV_TEST(a_member_is_found_by_its_name)
{
    assert_int_equal(answers_to(&bob, "bob.home.p2p", PV_DNS_A), 1);
    assert_memory_equal(reply.bytes + reply.len - 4, "\x0a\x42\x00\x07",
                        4); /* the record ends so */
    assert_true(ask(&bob, "bob.home.p2p", PV_DNS_AAAA));
    assert_int_equal(answers(), 1);
}

PV_TEST(a_member_without_ipv6_has_no_record_of_it)
{
    enum pv_roster_added added;
    const struct keys keys = keys_of(7);
    struct item card = make_card(&x.f.world, &keys, 1, 0, PV_ABLE_NO_IP6);
    assert_ok(
        pv_roster_add(x.f.node.roster, pv_view(card.s.raw, card.s.len), pv_view(NULL, 0), &added));
    (void)settle(x.f.node.roster);
    assert_int_equal(answers_to(&bob, "bob.home.p2p", PV_DNS_AAAA), 0);
    assert_int_equal(answers_to(&bob, "bob.home.p2p", PV_DNS_A), 1);
}

PV_TEST(a_name_without_such_a_record_exists_all_the_same)
{
    assert_int_equal(answers_to(&bob, "bob.home.p2p", PV_DNS_NS), 0);
    assert_true(ask(&bob, "home.p2p", PV_DNS_SOA));
    assert_int_equal(answers(), 1);
}

PV_TEST(an_unknown_name_of_the_zone_does_not_exist)
{
    expect_rcode(&bob, "carol.home.p2p", PV_DNS_A, PV_DNS_NXDOMAIN);
    assert_true(ask(&bob, "xhome.p2p", PV_DNS_A)); /* not of the zone, though it ends alike */
    assert_int_equal(rcode(), PV_DNS_REFUSED);
}

PV_TEST(an_address_leads_to_the_name)
{
    assert_int_equal(answers_to(&bob, "7.0.66.10.in-addr.arpa", PV_DNS_PTR), 1);
    expect_rcode(&bob, "8.0.66.10.in-addr.arpa", PV_DNS_PTR, PV_DNS_NXDOMAIN);
    expect_rcode(&bob, "8.8.8.8.in-addr.arpa", PV_DNS_PTR, PV_DNS_REFUSED);
}

PV_TEST(only_members_are_answered)
{
    const struct pv_addr stranger = pv_addr4(10, 66, 0, 9, 40000);
    assert_false(ask(&stranger, "bob.home.p2p", PV_DNS_A));
    x.f.node.roster = NULL; /* the test's world frees it */
    assert_false(ask(&bob, "bob.home.p2p", PV_DNS_A));
}

PV_TEST(a_server_for_this_node_alone_answers_nobody_else)
{
    struct pv_addr own = pv_roster_by_name(x.f.node.roster, "alice")->ip4;
    own.port = 40000;
    assert_true(ask(&bob, "bob.home.p2p", PV_DNS_A));
    pv_part_free(&pv_part_dns, x.f.self);
    x.f.cfg.dns = PV_DNS_PROGRAMS;
    assert_ok(pv_part_make(&pv_part_dns, &x.f.node, &x.f.cfg, x.f.now, &x.f.self));
    x.f.node.parts[0].self = x.f.self;
    assert_false(ask(&bob, "bob.home.p2p", PV_DNS_A));
    assert_true(ask(&own, "bob.home.p2p", PV_DNS_A));
    assert_int_equal(answers(), 1);
}

PV_TEST(a_member_that_floods_silences_nobody_else)
{
    const struct pv_addr carol = pv_addr4(10, 66, 0, 8, 40000);
    unsigned n = 0;
    fake_node_member(&x.f, 8, "carol", 8);
    while (n < 10000 && ask(&bob, "bob.home.p2p", PV_DNS_A))
        n++;
    assert_true(n < 10000);
    assert_true(ask(&carol, "bob.home.p2p", PV_DNS_A));
    x.f.now += PV_S(1);
    assert_true(ask(&bob, "bob.home.p2p", PV_DNS_A));
}

PV_TEST(malformed_questions_are_told_so_or_nothing)
{
    const uint8_t no_question[12] = {0x12, 0x34, 1};
    pv_dns_serve(&x.f.node, &bob, pv_view(no_question, sizeof(no_question)), &reply, x.f.now);
    assert_true(reply.len == 0 || rcode() != PV_DNS_OK);
    pv_dns_serve(&x.f.node, &bob, pv_view(no_question, 3), &reply, x.f.now);
    assert_int_equal(reply.len + reply.n_ask, 0);
}

/* --- phones ----------------------------------------------------------------------------------- */

/* This node carries bob, and its host has these resolvers. */
static void carry_bob(void)
{
    const struct pv_member *m = pv_roster_by_name(x.f.node.roster, "bob");
    assert_ok(pv_peers_set_phone(x.f.node.peers, m, true, x.f.now));
    x.f.node.host.plan.resolvers[0] = pv_addr4(127, 0, 0, 53, 0);
    x.f.node.host.plan.resolvers[1] = pv_addr4(192, 0, 2, 53, 0);
}

PV_TEST(resolvers_are_asked_for_a_phone_of_this_node)
{
    static const char name[] = "\7example\3org";
    carry_bob();
    assert_false(ask(&bob, "example.org", PV_DNS_A));
    assert_int_equal(reply.n_ask, 2);
    assert_true(pv_peer_is_phone(pv_peers_by_id(x.f.node.peers, reply.of)));
    assert_int_equal(reply.ask[0].port, 53);
    assert_true(pv_addr_equal_ip(&reply.ask[1], &x.f.node.host.plan.resolvers[1]));
    assert_int_equal(reply.question.len, sizeof(name) + 4);
    assert_memory_equal(reply.question.ptr, name, sizeof(name));
    assert_false(ask(&bob, "8.8.8.8.in-addr.arpa", PV_DNS_PTR));
    assert_int_equal(reply.n_ask, 2);
    const struct pv_addr ip6 = pv_roster_by_name(x.f.node.roster, "bob")->ip6;
    assert_false(ask(&ip6, "example.org", PV_DNS_AAAA));
    assert_int_equal(reply.n_ask, 2);
    x.f.node.host.plan.resolvers[1].family = PV_AF_NONE;
    assert_false(ask(&bob, "example.org", PV_DNS_A));
    assert_int_equal(reply.n_ask, 1);
}

PV_TEST(names_of_networks_are_asked_of_nobody)
{
    carry_bob();
    assert_true(ask(&bob, "bob.home.p2p", PV_DNS_A));
    assert_int_equal(answers(), 1);
    static const char *const refused[] = {"bob.other.p2p", "p2p"};
    for (size_t i = 0; i < PV_ARRAY_LEN(refused); i++) {
        expect_rcode(&bob, refused[i], PV_DNS_A, PV_DNS_REFUSED);
    }
    expect_rcode(&bob, "nobody.home.p2p", PV_DNS_A, PV_DNS_NXDOMAIN);
    assert_false(ask(&bob, "ap2p", PV_DNS_A)); /* nobody's network */
    assert_int_equal(reply.n_ask, 2);
}

PV_TEST(nothing_is_asked_for_others_than_phones)
{
    const struct pv_addr carol = pv_addr4(10, 66, 0, 8, 40000);
    const struct pv_addr stranger = pv_addr4(10, 66, 0, 9, 40000);
    carry_bob();
    (void)fake_peers_member(&x, 8, "carol", 8);
    expect_rcode(&carol, "example.org", PV_DNS_A, PV_DNS_REFUSED);
    assert_false(ask(&stranger, "example.org", PV_DNS_A));
    assert_int_equal(reply.n_ask, 0);
    recursive = false;
    expect_rcode(&bob, "example.org", PV_DNS_A, PV_DNS_REFUSED);
    recursive = true;
    x.f.node.host.plan.resolvers[0].family = PV_AF_NONE;
    expect_rcode(&bob, "example.org", PV_DNS_A, PV_DNS_REFUSED);
}

PV_TEST(a_phone_that_floods_has_little_asked)
{
    unsigned n = 0;
    carry_bob();
    for (unsigned i = 0; i < 300; i++) {
        (void)ask(&bob, "example.org", PV_DNS_A);
        assert_int_equal(reply.len, 0);
        n += reply.n_ask > 0;
    }
    assert_int_equal(n, 100);
    x.f.now += PV_S(1);
    (void)ask(&bob, "example.org", PV_DNS_A);
    assert_int_equal(reply.n_ask, 2);
}
