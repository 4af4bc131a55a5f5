/* SPDX-License-Identifier: MIT */
/* The exchange of statements: with whom, and what a change of the roster leads to. */
#include "daemon/core/member/membership.h"
#include "daemon/core/member/rostersync_part.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers x;
static struct pv_peer *bob;
static unsigned n_settled;

/* Stands in for membership.c. */
void pv_membership_settle(struct pv_node *n, pv_ns now)
{
    n_settled++;
}

void test_before_each(void)
{
    n_settled = 0;
    fake_peers_init(&x, &pv_part_rostersync);
    fake_node_enter(&x.f);
    bob = fake_peers_member(&x, 7, "bob", 7);
    fake_node_start(&x.f);
    fake_peers_settle(&x);
}

/* Nothing of the exchange was sent. */
static void expect_silence(void)
{
    struct pv_engine_inject inject;
    assert_int_equal(pv_fifo_take(&x.f.node.ways.injects, &inject), PV_ERR_AGAIN);
}

PV_TEST(a_peer_that_cannot_be_talked_to_hears_nothing)
{
    assert_false(pv_peer_notes(bob)->in_sync);
    fake_node_raise(&x.f, PV_FACT_STATEMENTS);
    fake_node_wait(&x.f, PV_S(60));
    expect_silence();
    /* A path alone is not enough: there are no keys. */
    const struct pv_addr at = pv_addr4(192, 0, 2, 7, 4711);
    fake_peers_path(&x, bob, &at);
    assert_false(pv_peer_notes(bob)->in_sync);
    assert_int_equal(pv_peer_count_in_sync(bob), 0);
}

PV_TEST(a_message_of_a_peer_that_is_not_up_is_dropped_and_the_roster_looked_at)
{
    const uint8_t body[] = {0, 1, 2};
    pv_part_rostersync.inband[0].take(x.f.self, bob, pv_view(body, sizeof(body)), x.f.now);
    assert_int_equal(pv_part_rostersync.inband[0].type, PV_INBAND_STATEMENTS);
    assert_int_equal(n_settled, 1);
    expect_silence();
}

PV_TEST(a_peer_that_goes_is_counted_no_more)
{
    pv_peer_set_in_sync(bob, true);
    assert_int_equal(x.f.node.common->n_in_sync, 1);
    pv_peers_drop(x.f.node.peers, bob, x.f.now);
    assert_int_equal(x.f.node.common->n_in_sync, 0);
}

PV_TEST(a_peer_whose_keys_end_is_counted_no_more)
{
    pv_peer_set_in_sync(bob, true);
    pv_peers_touch(x.f.node.peers, bob, x.f.now);
    fake_peers_settle(&x);
    assert_int_equal(x.f.node.common->n_in_sync, 0);
}

/* A difference that the exchange could not settle with bob, and did later. */
PV_TEST(a_difference_settled_since_is_no_problem)
{
    pv_node_report(&x.f.node, PV_FROM_MEMBERS, "first", x.f.now);
    pv_node_report(&x.f.node, PV_FROM_MEMBERS, "second", x.f.now);
    pv_node_report_over(&x.f.node, PV_FROM_MEMBERS, "first");
    pv_node_report_over(&x.f.node, PV_FROM_MEMBERS, "third");
    assert_int_equal(x.f.node.reports.n, 1);
    assert_string_equal(x.f.node.reports.list[0].text, "second");
}

PV_TEST(a_node_that_leaves_its_network_forgets_all)
{
    pv_peers_drop_members(x.f.node.peers, x.f.now);
    struct pv_roster *old = x.f.node.roster;
    x.f.node.roster = NULL;
    fake_node_raise(&x.f, PV_FACT_NETWORK);
    test_end(old);
    fake_node_raise(&x.f, PV_FACT_STATEMENTS);
    fake_node_wait(&x.f, PV_S(60));
    expect_silence();
}
