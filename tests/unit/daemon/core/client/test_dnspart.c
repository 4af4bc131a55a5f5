/* SPDX-License-Identifier: MIT */
/* The part that is the name server: what it answers, whom, and how often. */
#include "daemon/core/client/dns.h"
#include "tests/unit/daemon/core/fake_node.h"

static struct fake_node node;
static uint8_t answer[PV_DNS_MAX];
static size_t answer_len;
static const struct pv_addr bob = {.family = PV_AF_INET, .ip = {10, 66, 0, 7}, .port = 40000};

static int start(void **state)
{
    fake_node_init(&node, &pv_part_dns);
    fake_node_enter(&node);
    fake_node_member(&node, 7, "bob", 7);
    fake_node_start(&node);
    node.node.parts[0] = (struct pv_part_slot){.part = &pv_part_dns, .self = node.self};
    node.node.n_parts = 1;
    return 0;
}

static int stop(void **state)
{
    fake_node_done(&node);
    return 0;
}

PV_TEST_WORLD(start, stop);

/* Asks for that name ("bob.home.p2p") and type in class IN. Is there an answer? */
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
    return pv_dns_serve(&node.node, src, pv_view(q, n + 4), answer, &answer_len, node.now);
}

static unsigned rcode(void)
{
    return answer[3] & 15u;
}

static unsigned answers(void)
{
    return pv_load_be16(answer + 6);
}

PV_TEST(a_member_is_found_by_its_name)
{
    assert_true(ask(&bob, "bob.home.p2p", PV_DNS_A));
    assert_int_equal(rcode(), PV_DNS_OK);
    assert_int_equal(answers(), 1);
    assert_memory_equal(answer + answer_len - 4, "\x0a\x42\x00\x07", 4); /* the record ends so */
    assert_true(ask(&bob, "bob.home.p2p", PV_DNS_AAAA));
    assert_int_equal(answers(), 1);
}

PV_TEST(a_name_without_such_a_record_exists_all_the_same)
{
    assert_true(ask(&bob, "bob.home.p2p", PV_DNS_NS));
    assert_int_equal(rcode(), PV_DNS_OK);
    assert_int_equal(answers(), 0);
    assert_true(ask(&bob, "home.p2p", PV_DNS_SOA));
    assert_int_equal(answers(), 1);
}

PV_TEST(an_unknown_name_of_the_zone_does_not_exist)
{
    assert_true(ask(&bob, "carol.home.p2p", PV_DNS_A));
    assert_int_equal(rcode(), PV_DNS_NXDOMAIN);
    assert_true(ask(&bob, "xhome.p2p", PV_DNS_A)); /* not of the zone, though it ends alike */
    assert_int_equal(rcode(), PV_DNS_REFUSED);
}

PV_TEST(an_address_leads_to_the_name)
{
    assert_true(ask(&bob, "7.0.66.10.in-addr.arpa", PV_DNS_PTR));
    assert_int_equal(rcode(), PV_DNS_OK);
    assert_int_equal(answers(), 1);
    assert_true(ask(&bob, "8.0.66.10.in-addr.arpa", PV_DNS_PTR));
    assert_int_equal(rcode(), PV_DNS_NXDOMAIN);
    assert_true(ask(&bob, "8.8.8.8.in-addr.arpa", PV_DNS_PTR));
    assert_int_equal(rcode(), PV_DNS_REFUSED);
}

PV_TEST(only_members_are_answered)
{
    const struct pv_addr stranger = pv_addr4(10, 66, 0, 9, 40000);
    assert_false(ask(&stranger, "bob.home.p2p", PV_DNS_A));
    node.node.roster = NULL; /* the test's world frees it */
    assert_false(ask(&bob, "bob.home.p2p", PV_DNS_A));
}

PV_TEST(a_server_for_this_node_alone_answers_nobody_else)
{
    struct pv_addr own = pv_roster_by_name(node.node.roster, "alice")->ip4;
    own.port = 40000;
    assert_true(ask(&bob, "bob.home.p2p", PV_DNS_A));
    pv_part_free(&pv_part_dns, node.self);
    node.cfg.dns = PV_DNS_PROGRAMS;
    assert_int_equal(pv_part_make(&pv_part_dns, &node.node, &node.cfg, node.now, &node.self),
                     PV_OK);
    node.node.parts[0].self = node.self;
    assert_false(ask(&bob, "bob.home.p2p", PV_DNS_A));
    assert_true(ask(&own, "bob.home.p2p", PV_DNS_A));
    assert_int_equal(answers(), 1);
}

PV_TEST(a_member_that_floods_silences_nobody_else)
{
    const struct pv_addr carol = pv_addr4(10, 66, 0, 8, 40000);
    unsigned n = 0;
    fake_node_member(&node, 8, "carol", 8);
    while (n < 10000 && ask(&bob, "bob.home.p2p", PV_DNS_A))
        n++;
    assert_true(n < 10000);
    assert_true(ask(&carol, "bob.home.p2p", PV_DNS_A));
    node.now += PV_S(1);
    assert_true(ask(&bob, "bob.home.p2p", PV_DNS_A));
}

PV_TEST(malformed_questions_are_told_so_or_nothing)
{
    const uint8_t no_question[12] = {0x12, 0x34, 1};
    if (pv_dns_serve(&node.node, &bob, pv_view(no_question, sizeof(no_question)), answer,
                     &answer_len, node.now))
        assert_int_not_equal(rcode(), PV_DNS_OK);
    assert_false(
        pv_dns_serve(&node.node, &bob, pv_view(no_question, 3), answer, &answer_len, node.now));
}
