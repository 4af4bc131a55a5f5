/* SPDX-License-Identifier: MIT */
/* Presence: whose is asked for, when, and what follows from the coordinator's word. */
#include "daemon/core/member/presence.h"
#include "tests/unit/daemon/core/member/fake_coord.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers peers;
static struct fake_node *const node = &peers.f;

void test_before_each(void)
{
    fake_peers_init(&peers, &pv_part_presence);
    fake_coord_init();
    fake_node_enter(node);
    fake_node_start(node);
}

static void come_online(void)
{
    const struct pv_ctl_msg welcome = {.kind = PV_CTL_ANSWER, .type = PV_CTL_WELCOME};
    node->node.online = true;
    pv_node_raise(&node->node, PV_FACT_ONLINE);
    pv_part_presence.on_push(node->self, &welcome, node->now);
    fake_peers_settle(&peers);
}

static void go_offline(void)
{
    node->node.online = false;
    pv_node_raise(&node->node, PV_FACT_OFFLINE);
    fake_peers_settle(&peers);
}

/* The network has so many members that nobody wants to hear of all of them. */
static void make_large(void)
{
    for (unsigned i = 0; i < PV_PRESENCE_ALL; i++) {
        fake_node_member(node, 1000 + i, PV_STR("m%u", i), (uint16_t)(1000 + i));
    }
}

/* How many the next request asks for; the first of them must be p. */
static size_t expect_asked(const struct pv_peer *p)
{
    uint64_t tag;
    struct pv_ctl_msg *msg = fake_coord_take(PV_CTL_SUBSCRIBE, &tag);
    size_t n = msg->u.subscribe.n;
    bool right = msg->u.subscribe.on && memcmp(msg->u.subscribe.nodes[0], pv_peer_pk(p), 32) == 0;
    pv_ctl_msg_free(msg);
    assert_true(right);
    return n;
}

/* The coordinator says so of its own accord. */
static void say(const struct pv_peer *p, bool online)
{
    struct pv_ctl_presence x = {.online = online, .since_us = 7};
    struct pv_ctl_msg msg = {.kind = PV_CTL_PUSH, .type = PV_CTL_PRESENCE};
    memcpy(x.node, pv_peer_pk(p), sizeof(x.node));
    msg.u.presence = (struct pv_ctl_presences){.n = 1, .nodes = &x};
    pv_part_presence.on_push(node->self, &msg, node->now);
}

PV_TEST(in_a_small_network_everybody_is_asked_for)
{
    struct pv_peer *bob = fake_peers_member(&peers, 7, "bob", 7);
    fake_peers_member(&peers, 8, "carol", 8);
    fake_peers_settle(&peers);
    assert_int_equal(fake_coord.n, 0); /* there is nobody to ask */
    come_online();
    assert_int_equal(expect_asked(bob), 2);
    assert_int_equal(fake_coord.n, 0);
}

PV_TEST(a_new_member_of_a_small_network_is_asked_for_once)
{
    come_online();
    struct pv_peer *bob = fake_peers_member(&peers, 7, "bob", 7);
    fake_peers_settle(&peers);
    assert_int_equal(expect_asked(bob), 1);
    pv_peers_raise(node->node.peers, bob, PV_PEER_FACT_MEMBER);
    fake_peers_settle(&peers);
    assert_int_equal(fake_coord.n, 0);
}

PV_TEST(in_a_large_network_only_who_is_wanted_is_asked_for)
{
    make_large();
    struct pv_peer *bob = fake_peers_member(&peers, 7, "bob", 7);
    fake_peers_member(&peers, 8, "carol", 8);
    come_online();
    assert_int_equal(fake_coord.n, 0);
    pv_peer_want(bob, "a test", node->now);
    pv_peers_touch(node->node.peers, bob, node->now);
    fake_peers_settle(&peers);
    assert_int_equal(pv_peer_state(bob), PV_PEER_REACHING);
    assert_int_equal(expect_asked(bob), 1);
    go_offline();
    come_online(); /* the new connection knows of no wish */
    assert_int_equal(expect_asked(bob), 1);
}

PV_TEST(the_coordinators_word_reaches_the_peer)
{
    struct pv_peer *bob = fake_peers_member(&peers, 7, "bob", 7);
    unsigned facts;
    fake_peers_settle(&peers);
    say(bob, true);
    assert_int_equal(pv_peer_presence(bob), PV_PRESENCE_ONLINE);
    assert_ptr_equal(pv_peers_take_news(node->node.peers, &facts), bob);
    assert_true((facts & PV_PEER_FACT_PRESENCE) != 0);
    pv_peers_told(node->node.peers, bob, node->now);
    say(bob, true); /* the same again is no news of presence */
    (void)pv_peers_take_news(node->node.peers, &facts);
    assert_true((facts & PV_PEER_FACT_PRESENCE) == 0);
    pv_peers_told(node->node.peers, bob, node->now);
    say(bob, false);
    assert_int_equal(pv_peer_presence(bob), PV_PRESENCE_OFFLINE);
    fake_peers_settle(&peers);
}

PV_TEST(without_the_coordinator_nobody_knows)
{
    struct pv_peer *bob = fake_peers_member(&peers, 7, "bob", 7);
    come_online();
    assert_int_equal(expect_asked(bob), 1);
    say(bob, true);
    go_offline();
    assert_int_equal(pv_peer_presence(bob), PV_PRESENCE_UNKNOWN);
    come_online();
    assert_int_equal(expect_asked(bob), 1);
}

/* Its state was copied: both machines have its keys, and the one that is connected stays. */
PV_TEST(a_goodbye_does_not_outlive_the_coordinators_word)
{
    struct pv_peer *bob = fake_peers_member(&peers, 7, "bob", 7);
    fake_peers_settle(&peers);
    come_online();
    assert_int_equal(expect_asked(bob), 1);
    say(bob, true);
    fake_peers_settle(&peers);
    for (int i = 0; i < 2; i++) {
        pv_peer_handle_goodbye(bob, node->now);
        pv_peers_touch(node->node.peers, bob, node->now);
        fake_peers_settle(&peers);
        assert_int_equal(pv_peer_presence(bob), PV_PRESENCE_OFFLINE);
        fake_node_wait(node, PV_PRESENCE_DOUBT - 1);
        assert_int_equal(fake_coord.n, 0); /* its connection ends a little later */
        fake_node_wait(node, 1);
        assert_int_equal(expect_asked(bob), 1);
        say(bob, true);
        fake_peers_settle(&peers);
        assert_int_equal(pv_peer_presence(bob), PV_PRESENCE_ONLINE);
    }
    /* Where the coordinator says so as well there is nothing to ask. */
    pv_peer_handle_goodbye(bob, node->now);
    pv_peers_touch(node->node.peers, bob, node->now);
    fake_peers_settle(&peers);
    say(bob, false);
    fake_node_wait(node, 2 * PV_PRESENCE_DOUBT);
    assert_int_equal(fake_coord.n, 0);
    assert_true(pv_part_next_timeout(&pv_part_presence, node->self) == PV_NEVER);
}

PV_TEST(packets_for_a_member_who_is_away_cast_doubt_on_the_coordinator_that_said_so)
{
    struct pv_peer *bob = fake_peers_member(&peers, 7, "bob", 7);
    come_online();
    say(bob, false);
    fake_peers_settle(&peers);
    assert_int_equal(fake_coord.n_doubt, 0); /* nobody wants it */
    pv_peer_want(bob, "a test", node->now);
    pv_peers_touch(node->node.peers, bob, node->now);
    fake_peers_settle(&peers);
    assert_true(fake_coord.n_doubt > 0);
    unsigned before = fake_coord.n_doubt;
    say(bob, true);
    fake_peers_settle(&peers);
    assert_int_equal(fake_coord.n_doubt, before);
}

PV_TEST(a_node_that_wants_somebody_hurries_to_the_coordinator)
{
    struct pv_peer *bob = fake_peers_member(&peers, 7, "bob", 7);
    fake_peers_settle(&peers);
    assert_int_equal(fake_coord.n_hurry, 0);
    pv_peer_want(bob, "a test", node->now);
    pv_peers_touch(node->node.peers, bob, node->now);
    fake_peers_settle(&peers);
    assert_true(fake_coord.n_hurry > 0);
    assert_int_equal(fake_coord.n, 0);
}
