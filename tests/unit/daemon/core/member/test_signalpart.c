/* SPDX-License-Identifier: MIT */
/* How descriptions travel: which ways they take, and what a refusal means. */
#include "daemon/core/member/gossip.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/presence.h"
#include "daemon/core/member/signals.h"
#include "tests/unit/daemon/core/member/fake_coord.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers x;
static struct pv_peer *bob;
static unsigned n_subscribed, n_heads, n_merged;

/* --- what stands in for the parts below ------------------------------------------------------- */

void pv_presence_subscribe(struct pv_node *n, const uint8_t *pk)
{
    (void)n, (void)pk;
    n_subscribed++;
}

void pv_gossip_head_seen(struct pv_node *n, const struct pv_peer *p, const uint8_t *head,
                         const uint8_t *members, pv_ns now)
{
    (void)n, (void)p, (void)head, (void)members, (void)now;
    n_heads++;
}

size_t pv_membership_add(struct pv_node *n, const struct pv_ctl_item *items, size_t n_items,
                         pv_ns now)
{
    (void)n, (void)items, (void)now;
    n_merged += (unsigned)n_items;
    return 0;
}

static int start(void **state)
{
    (void)state;
    n_subscribed = n_heads = n_merged = 0;
    fake_peers_init(&x, &pv_part_signals);
    x.env.signalling = x.f.node.online = true;
    fake_node_enter(&x.f);
    bob = fake_peers_member(&x, 7, "bob", 7);
    fake_node_start(&x.f);
    x.f.node.marks[PV_MARK_SIGNAL]->safe = UINT64_MAX; /* its mark is on disk */
    fake_peers_settle(&x);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fake_coord_done();
    fake_peers_done(&x);
    return 0;
}

/* Somebody wants bob: a description of ours is due. */
static void want(void)
{
    pv_peer_want(bob, "test", x.f.now);
    pv_peers_touch(x.f.node.peers, bob, x.f.now);
    fake_peers_settle(&x);
}

static uint64_t expect_signal(void)
{
    uint64_t tag;
    struct pv_ctl_msg *msg = fake_coord_take(PV_CTL_SIGNAL, &tag);
    assert_memory_equal(msg->u.signal.node, pv_peer_pk(bob), PV_SIGN_PK_LEN);
    assert_true(msg->u.signal.box.len > 0);
    assert_int_equal(tag, pv_peer_id(bob));
    pv_ctl_msg_free(msg);
    return tag;
}

static void answer(uint64_t tag, enum pv_ctl_error error)
{
    const struct pv_ctl_msg msg = {.type = PV_CTL_ERROR, .u.failure = {.error = error}};
    pv_part_signals.on_answer(x.f.self, tag, &msg, x.f.now);
    fake_peers_settle(&x);
}

static void without_a_path_the_coordinator_carries_it(void **state)
{
    (void)state;
    want();
    (void)expect_signal();
    assert_int_equal(fake_coord.n, 0);
}

static void nothing_is_sent_where_nobody_can_carry_it(void **state)
{
    (void)state;
    x.env.signalling = x.f.node.online = false;
    want();
    assert_int_equal(fake_coord.n, 0);
}

static void a_coordinator_that_cannot_send_now_is_noted_and_asked_again(void **state)
{
    (void)state;
    fake_coord.status = PV_ERR_LIMIT;
    want();
    assert_int_equal(fake_coord.n, 0);
    fake_coord.status = PV_OK;
    x.f.now += PV_S(1);
    pv_peers_handle_timeout(x.f.node.peers, x.f.now);
    fake_peers_settle(&x);
    (void)expect_signal();
}

static void a_receiver_that_is_not_connected_is_away(void **state)
{
    (void)state;
    want();
    answer(expect_signal(), PV_CTL_E_OFFLINE);
    assert_int_equal(pv_peer_presence(bob), PV_PRESENCE_OFFLINE);
    assert_int_equal(n_subscribed, 1);
}

static void another_refusal_says_nothing_of_the_receiver(void **state)
{
    (void)state;
    want();
    answer(expect_signal(), PV_CTL_E_BUSY);
    assert_int_equal(pv_peer_presence(bob), PV_PRESENCE_UNKNOWN);
    assert_int_equal(n_subscribed, 0);
}

static void an_answer_about_a_peer_that_has_gone_is_nothing(void **state)
{
    (void)state;
    want();
    uint64_t tag = expect_signal();
    pv_peers_drop(x.f.node.peers, bob, x.f.now);
    answer(tag, PV_CTL_E_OFFLINE);
    assert_int_equal(n_subscribed, 0);
}

static void a_box_that_does_not_open_is_dropped(void **state)
{
    const uint8_t box[200] = {1};
    struct pv_ctl_msg msg = {.kind = PV_CTL_PUSH, .type = PV_CTL_SIGNAL};
    (void)state;
    memcpy(msg.u.signal.node, pv_peer_pk(bob), PV_SIGN_PK_LEN);
    msg.u.signal.box = pv_view(box, sizeof(box));
    pv_part_signals.on_push(x.f.self, &msg, x.f.now);
    assert_int_equal(n_heads + n_merged, 0);
    pv_part_signals.inband[0].take(x.f.self, bob, pv_view(box, sizeof(box)), x.f.now);
    pv_part_signals.inband[1].take(x.f.self, bob, pv_view(box, sizeof(box)), x.f.now);
    assert_int_equal(n_heads + n_merged, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(without_a_path_the_coordinator_carries_it),
        T(nothing_is_sent_where_nobody_can_carry_it),
        T(a_coordinator_that_cannot_send_now_is_noted_and_asked_again),
        T(a_receiver_that_is_not_connected_is_away),
        T(another_refusal_says_nothing_of_the_receiver),
        T(an_answer_about_a_peer_that_has_gone_is_nothing),
        T(a_box_that_does_not_open_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
