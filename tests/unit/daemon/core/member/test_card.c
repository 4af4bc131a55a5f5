/* SPDX-License-Identifier: MIT */
/* A node's card: when it shows another one, and what members take from it. */
#include "daemon/core/member/card.h"
#include "daemon/core/member/membership.h"
#include "tests/unit/daemon/core/fake_membership.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"
#include "tests/unit/proto/roster/longest_card.h"

static struct fake_peers x;

void test_before_each(void)
{
    fake_membership.given = 0;
    fake_membership.refuses = false;
    fake_peers_init(&x, &pv_part_card);
    fake_node_start(&x.f);
}

static uint32_t said(void)
{
    return pv_roster_by_node(x.f.node.roster, x.f.identity.sign_pk)->abilities;
}

PV_TEST(a_node_says_what_it_can_once)
{
    x.f.node.ways.caps = PV_DESC_CAP_PQ;
    fake_node_enter(&x.f);
    fake_node_settle(&x.f);
    assert_int_equal(fake_membership.given, 1);
    assert_int_equal(said(), PV_ABLE_PQ);
    fake_node_raise(&x.f, PV_FACT_ROSTER);
    fake_node_wait(&x.f, PV_S(1000));
    assert_int_equal(fake_membership.given, 1);
}

PV_TEST(one_that_can_nothing_special_says_nothing)
{
    x.f.node.ways.caps = PV_DESC_CAP_NO_UDP;
    fake_node_enter(&x.f);
    fake_node_settle(&x.f);
    fake_node_wait(&x.f, PV_S(1000));
    assert_int_equal(fake_membership.given, 0);
}

PV_TEST(one_without_ipv6_on_its_interface_says_so)
{
    fake_node_enter(&x.f);
    fake_node_settle(&x.f);
    x.f.node.iface.ip6 = PV_IFACE_NO_IP6;
    fake_node_raise(&x.f, PV_FACT_INTERFACE);
    assert_int_equal(fake_membership.given, 1);
    assert_int_equal(said(), PV_ABLE_NO_IP6);
    x.f.node.iface.ip6 = PV_IFACE_IP6_UNKNOWN; /* another life, before its interface is up */
    fake_node_raise(&x.f, PV_FACT_ROSTER);
    fake_node_wait(&x.f, PV_S(1000));
    assert_int_equal(fake_membership.given, 1);
    x.f.node.iface.ip6 = PV_IFACE_IP6;
    fake_node_raise(&x.f, PV_FACT_INTERFACE);
    assert_int_equal(said(), 0);
}

PV_TEST(one_that_can_it_no_more_takes_it_back)
{
    x.f.node.ways.caps = PV_DESC_CAP_PQ;
    fake_node_enter(&x.f);
    fake_node_settle(&x.f);
    assert_int_equal(said(), PV_ABLE_PQ);
    x.f.node.ways.caps = 0;
    fake_node_raise(&x.f, PV_FACT_ROSTER);
    fake_node_wait(&x.f, PV_S(60));
    assert_int_equal(fake_membership.given, 2);
    assert_int_equal(said(), 0);
}

PV_TEST(a_refused_card_is_shown_again_a_minute_later)
{
    fake_membership.refuses = true;
    x.f.node.ways.caps = PV_DESC_CAP_PQ;
    fake_node_enter(&x.f);
    fake_node_settle(&x.f);
    for (int i = 0; i < 10; i++)
        fake_node_raise(&x.f, PV_FACT_ROSTER);
    assert_int_equal(fake_membership.given, 1);
    fake_node_wait(&x.f, PV_S(59));
    assert_int_equal(fake_membership.given, 1);
    fake_membership.refuses = false;
    fake_node_wait(&x.f, PV_S(2));
    assert_int_equal(fake_membership.given, 2);
    assert_int_equal(said(), PV_ABLE_PQ);
}

static struct pv_card one_offer(const char *prefix)
{
    struct pv_card card = {.n_offers = 1};
    card.offers[0] = (struct pv_offer){.prefix = test_prefix(prefix), .flags = PV_OFFER_AUTO};
    return card;
}

static const struct pv_st_card *own(void)
{
    return pv_roster_card(x.f.node.roster, x.f.identity.sign_pk);
}

/* As another life of this machine showed it, of which this one's database knows nothing. */
static void hear_of_own(uint64_t serial, uint8_t third)
{
    enum pv_roster_added added;
    const struct keys *self = &x.f.world.creator;
    struct item card = make_card(&x.f.world, self, serial, third, PV_ABLE_PQ);
    assert_ok(
        pv_roster_add(x.f.node.roster, pv_view(card.s.raw, card.s.len), pv_view(NULL, 0), &added));
    fake_node_raise(&x.f, PV_FACT_STATEMENTS);
}

PV_TEST(offers_and_abilities_are_on_one_card)
{
    struct pv_card card = one_offer("10.7.0.0/16"), got;
    x.f.node.ways.caps = PV_DESC_CAP_PQ;
    fake_node_enter(&x.f);
    fake_node_settle(&x.f);
    assert_ok(pv_card_offer(&x.f.node, &card, x.f.now));
    x.f.node.ways.caps = 0;
    fake_node_raise(&x.f, PV_FACT_ROSTER);
    fake_node_wait(&x.f, PV_S(60));
    pv_card_last(&x.f.node, &got);
    assert_int_equal(got.abilities, 0);
    assert_int_equal(got.n_offers, 1);
    assert_int_equal(pv_route_compare(&got.offers[0].prefix, &card.offers[0].prefix), 0);
}

/* What it was told to do in this life it says again, above the card of the other one; what it was
 * told in that one holds otherwise. */
PV_TEST(a_node_whose_database_was_put_back_goes_above_its_own_card)
{
    struct pv_card card = one_offer("10.7.0.0/16"), got;
    x.f.node.ways.caps = PV_DESC_CAP_PQ;
    fake_node_enter(&x.f);
    fake_node_settle(&x.f);
    hear_of_own(T0 + 1000000, 3);
    assert_int_equal(fake_membership.given, 1);
    assert_int_equal(own()->serial, T0 + 1000000);
    assert_ok(pv_card_offer(&x.f.node, &card, x.f.now));
    hear_of_own(T0 + 2000000, 4);
    fake_node_wait(&x.f, PV_S(61));
    assert_int_equal(own()->serial, T0 + 2000001);
    pv_card_last(&x.f.node, &got);
    assert_int_equal(pv_route_compare(&got.offers[0].prefix, &card.offers[0].prefix), 0);
}

/* sshd's files are read after the first card: nobody waits a minute for the keys. */
PV_TEST(host_keys_are_shown_at_once_and_above_a_card_without_them)
{
    const struct pv_view keys = longest_hostkeys();
    struct pv_sshkeys shown = {.len = keys.len}, logins = {.use = PV_SSHKEYS_LOGIN};
    memcpy(shown.list, keys.ptr, keys.len);
    x.f.node.ways.caps = PV_DESC_CAP_PQ;
    fake_node_enter(&x.f);
    fake_node_settle(&x.f);
    assert_int_equal(own()->hostkeys.len, 0);
    for (int i = 0; i < 3; i++) {
        pv_card_set_sshkeys(&x.f.node, &shown, x.f.now);
        fake_node_settle(&x.f);
    }
    assert_int_equal(fake_membership.given, 2);
    assert_true(pv_view_equal(own()->hostkeys, keys));
    assert_int_equal(said(), PV_ABLE_PQ);
    hear_of_own(T0 + 1000000, 3);
    fake_node_wait(&x.f, PV_S(61));
    assert_int_equal(own()->serial, T0 + 1000001);
    assert_true(pv_view_equal(own()->hostkeys, keys));
    /* Of one kind and length: users' keys may be several of these. */
    memcpy(logins.list, keys.ptr, 53);
    logins.len = 53;
    pv_card_set_sshkeys(&x.f.node, &logins, x.f.now);
    fake_node_settle(&x.f);
    assert_true(pv_view_equal(own()->hostkeys, keys));
    assert_int_equal(own()->loginkeys.len, 53);
    shown.len = 0;
    pv_card_set_sshkeys(&x.f.node, &shown, x.f.now);
    fake_node_settle(&x.f);
    assert_int_equal(own()->hostkeys.len, 0);
    assert_int_equal(own()->loginkeys.len, 53);
    assert_true(own()->offers.len > 0); /* of the other life, which this one does not touch */
}

/* A member's signed word counts for its peer, whatever its descriptions say. */
PV_TEST(members_know_it_from_the_card)
{
    enum pv_roster_added added;
    const struct keys bob = keys_of(7);
    fake_node_enter(&x.f);
    struct pv_peer *p = fake_peers_member(&x, 7, "bob", 7);
    assert_false(pv_peer_pq(p, x.f.now).announced);
    struct item card = make_card(&x.f.world, &bob, 1, 0, PV_ABLE_PQ);
    assert_ok(
        pv_roster_add(x.f.node.roster, pv_view(card.s.raw, card.s.len), pv_view(NULL, 0), &added));
    (void)settle(x.f.node.roster);
    const struct pv_member *m = pv_roster_by_name(x.f.node.roster, "bob");
    assert_int_equal(m->abilities, PV_ABLE_PQ);
    assert_ok(pv_peers_add_member(x.f.node.peers, m, x.f.now));
    assert_true(pv_peer_pq(p, x.f.now).announced);

    struct pv_desc d = {.gen = 1, .rev = 1}; /* of which somebody took the word out */
    snprintf(d.creds.ufrag, sizeof(d.creds.ufrag), "abcdEF12");
    snprintf(d.creds.pwd, sizeof(d.creds.pwd), "0123456789+/ABCDEFGHabcd");
    pv_peer_handle_desc(p, &d, x.f.now);
    assert_true(pv_peer_pq(p, x.f.now).announced);
    assert_true(pv_peer_pq(p, x.f.now).contradicts);
}

void test_begin(void)
{
    json_object_seed(1);
}
