/* SPDX-License-Identifier: MIT */
/* How descriptions travel: which ways they take, and what a refusal means. */
#include "daemon/core/member/membership.h"
#include "daemon/core/member/presence.h"
#include "daemon/core/member/rostersync_part.h"
#include "daemon/core/member/signals.h"
#include "proto/control/signal.h"
#include "tests/unit/daemon/core/member/fake_coord.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers x;
static struct pv_peer *bob;
static unsigned n_subscribed, n_heads, n_merged;

/* --- what stands in for the parts below ------------------------------------------------------- */

void pv_presence_subscribe(struct pv_node *n, const uint8_t *pk)
{
    n_subscribed++;
}

void pv_rostersync_member_head(struct pv_node *n, const struct pv_peer *p, const uint8_t *head,
                               const uint8_t *members, pv_ns now)
{
    n_heads++;
}

size_t pv_membership_add(struct pv_node *n, const struct pv_ctl_item *items, size_t n_items,
                         pv_ns now)
{
    n_merged += (unsigned)n_items;
    return 0;
}

void test_before_each(void)
{
    n_subscribed = n_heads = n_merged = 0;
    fake_peers_init(&x, &pv_part_signals);
    fake_coord_init();
    x.f.node.common->signalling = x.f.node.online = true;
    fake_node_enter(&x.f);
    bob = fake_peers_member(&x, 7, "bob", 7);
    fake_node_start(&x.f);
    x.f.node.store.marks[PV_MARK_SIGNAL]->safe = UINT64_MAX; /* its mark is on disk */
    fake_peers_settle(&x);
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

PV_TEST(without_a_path_the_coordinator_carries_it)
{
    want();
    (void)expect_signal();
    assert_int_equal(fake_coord.n, 0);
}

PV_TEST(nothing_is_sent_where_nobody_can_carry_it)
{
    x.f.node.common->signalling = x.f.node.online = false;
    want();
    assert_int_equal(fake_coord.n, 0);
}

PV_TEST(a_coordinator_that_cannot_send_now_is_noted_and_asked_again)
{
    fake_coord.status = PV_ERR_LIMIT;
    want();
    assert_int_equal(fake_coord.n, 0);
    fake_coord.status = PV_OK;
    x.f.now += PV_S(1);
    pv_peers_handle_timeout(x.f.node.peers, x.f.now);
    fake_peers_settle(&x);
    (void)expect_signal();
}

PV_TEST(a_receiver_that_is_not_connected_is_away)
{
    want();
    answer(expect_signal(), PV_CTL_E_OFFLINE);
    assert_int_equal(pv_peer_presence(bob), PV_PRESENCE_OFFLINE);
    assert_int_equal(n_subscribed, 1);
}

PV_TEST(another_refusal_says_nothing_of_the_receiver)
{
    want();
    answer(expect_signal(), PV_CTL_E_BUSY);
    assert_int_equal(pv_peer_presence(bob), PV_PRESENCE_UNKNOWN);
    assert_int_equal(n_subscribed, 0);
}

PV_TEST(an_answer_about_a_peer_that_has_gone_is_nothing)
{
    want();
    uint64_t tag = expect_signal();
    pv_peers_drop(x.f.node.peers, bob, x.f.now);
    answer(tag, PV_CTL_E_OFFLINE);
    assert_int_equal(n_subscribed, 0);
}

PV_TEST(a_box_that_does_not_open_is_dropped)
{
    const uint8_t box[200] = {1};
    struct pv_ctl_msg msg = {.kind = PV_CTL_PUSH, .type = PV_CTL_SIGNAL};
    memcpy(msg.u.signal.node, pv_peer_pk(bob), PV_SIGN_PK_LEN);
    msg.u.signal.box = pv_view(box, sizeof(box));
    pv_part_signals.on_push(x.f.self, &msg, x.f.now);
    assert_int_equal(n_heads + n_merged, 0);
    pv_part_signals.inband[0].take(x.f.self, bob, pv_view(box, sizeof(box)), x.f.now);
    pv_part_signals.inband[1].take(x.f.self, bob, pv_view(box, sizeof(box)), x.f.now);
    assert_int_equal(n_heads + n_merged, 0);
}

/* --- what members tell -------------------------------------------------------------------------
 */

static const uint8_t dana_sk[PV_DH_LEN] = {9};
static struct pv_noise_static dana;
static struct pv_peer *add_dana(void)
{
    const struct keys k = keys_of(9);
    struct pv_st_member f = member_fields(&k, "dana", 9, 0);
    dana.sk = dana_sk;
    pv_dh_public(dana_sk, dana.pk);
    memcpy(f.transport, dana.pk, sizeof(f.transport));
    memcpy(x.f.identity.dh_pk, x.device.keys.pk, sizeof(x.f.identity.dh_pk));
    fake_node_add(&x.f, make_member_f(&x.f.world, &x.f.world.creator, &k, &f));
    assert_ok(
        pv_peers_add_member(x.f.node.peers, pv_roster_by_name(x.f.node.roster, "dana"), x.f.now));
    struct pv_peer *p = pv_peers_by_pk(x.f.node.peers, k.pk);
    assert_non_null(p);
    return p;
}

/* Dana's signal through the coordinator. */
static void bring(const struct pv_peer *p, const struct pv_signal *sig)
{
    static uint8_t text[PV_SIGNAL_TEXT_MAX], box[PV_SIGNAL_BOX_MAX];
    struct pv_ctl_msg msg = {.kind = PV_CTL_PUSH, .type = PV_CTL_SIGNAL};
    struct pv_signal_route route;
    size_t len;
    memcpy(route.network_id, pv_roster_network_id(x.f.node.roster), sizeof(route.network_id));
    memcpy(route.from, pv_peer_pk(p), sizeof(route.from));
    memcpy(route.to, x.f.identity.sign_pk, sizeof(route.to));
    assert_ok(pv_signal_write(sig, text, sizeof(text), &len));
    assert_ok(
        pv_signal_seal(&route, &dana, x.f.identity.dh_pk, &x.f.node.rng, pv_view(text, len), box));
    memcpy(msg.u.signal.node, pv_peer_pk(p), PV_SIGN_PK_LEN);
    msg.u.signal.box = pv_view(box, len + PV_NOISE_X_OVERHEAD);
    pv_part_signals.on_push(x.f.self, &msg, x.f.now);
    fake_peers_settle(&x);
}

PV_TEST(statements_without_a_description_are_taken_and_answered_once)
{
    static struct pv_signal sig;
    uint64_t tag;
    struct pv_peer *p = add_dana();
    const struct keys k = keys_of(50);
    const struct item it =
        make_revocation(&x.f.world, &x.f.world.creator, PV_REVOKE_NODE, k.pk, NULL, 0);
    x.f.node.spread = 3;
    sig = (struct pv_signal){.seq = 1, .n_chain = 1};
    sig.chain[0].statement = pv_view(it.s.raw, it.s.len);
    bring(p, &sig);
    assert_int_equal(n_merged, 0); /* of members who are no admins: anybody could have others check
                                      signatures without end */
    const struct keys dana_keys = keys_of(9);
    fake_node_add(&x.f, make_admin(&x.f.world, &x.f.world.root, &dana_keys, PV_RIGHT_REVOKE));
    sig.seq = 2;
    bring(p, &sig);
    assert_int_equal(n_merged, 1);
    assert_int_equal(n_heads, 2);
    assert_int_equal(pv_peer_notes(p)->spread, 0); /* it has another head */
    struct pv_ctl_msg *msg = fake_coord_take(PV_CTL_SIGNAL, &tag);
    assert_memory_equal(msg->u.signal.node, pv_peer_pk(p), PV_SIGN_PK_LEN);
    pv_ctl_msg_free(msg);
    bring(p, &sig); /* a replay */
    assert_int_equal(n_merged, 1);
    assert_int_equal(fake_coord.n, 0);

    /* An answer: it is not answered. */
    sig = (struct pv_signal){.seq = 3};
    pv_roster_head(x.f.node.roster, sig.head);
    bring(p, &sig);
    assert_int_equal(n_heads, 3);
    assert_int_equal(pv_peer_notes(p)->spread, 3);
    assert_int_equal(fake_coord.n, 0);
}

/* Nobody waits for it: thousands that are away would fill the table of subscriptions. */
PV_TEST(a_member_that_is_told_and_away_is_not_waited_for)
{
    uint64_t tag;
    pv_signals_tell(&x.f.node, bob, NULL, 0, x.f.now);
    pv_ctl_msg_free(fake_coord_take(PV_CTL_SIGNAL, &tag));
    answer(tag, PV_CTL_E_OFFLINE);
    assert_int_equal(pv_peer_presence(bob), PV_PRESENCE_OFFLINE);
    assert_int_equal(n_subscribed, 0);
}

/* Eight long ones do not fit: the first do. */
PV_TEST(as_many_statements_are_told_as_fit)
{
    static uint8_t stay[40][PV_SIGN_PK_LEN];
    const struct pv_roster_entry *chain[PV_SIGNAL_CHAIN_MAX];
    uint64_t tag;
    for (uint8_t i = 0; i < PV_ARRAY_LEN(stay); i++)
        stay[i][0] = i;
    for (unsigned i = 0; i < PV_ARRAY_LEN(chain); i++) {
        const struct keys k = keys_of(60 + i);
        const struct item it = make_revocation(&x.f.world, &x.f.world.creator, PV_REVOKE_NODE, k.pk,
                                               stay[0], PV_ARRAY_LEN(stay));
        uint8_t hash[PV_STATEMENT_HASH_LEN];
        fake_node_add(&x.f, it);
        pv_statement_hash(pv_view(it.s.raw, it.s.len), hash);
        chain[i] = pv_roster_find(x.f.node.roster, hash);
        assert_non_null(chain[i]);
    }
    pv_signals_tell(&x.f.node, bob, chain, PV_ARRAY_LEN(chain), x.f.now);
    struct pv_ctl_msg *msg = fake_coord_take(PV_CTL_SIGNAL, &tag);
    assert_in_range(msg->u.signal.box.len, 12000, PV_SIGNAL_BOX_MAX);
    pv_ctl_msg_free(msg);
}
