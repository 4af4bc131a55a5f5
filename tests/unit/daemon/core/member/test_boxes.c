/* SPDX-License-Identifier: MIT */
/* Boxes for members that are away: for whom they are sealed, which are opened, and what their user
 * hears of the coordinator. */
#include "crypto/dh.h"
#include "daemon/core/member/boxes.h"
#include "tests/unit/daemon/core/member/fake_coord.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers x;
static struct fake_node *const node = &x.f;
static struct pv_noise_static bob;
static struct keys bob_keys;
static uint8_t box[PV_COPYBOX_MAX], content[PV_COPYBOX_CONTENT_MAX];
static struct {
    unsigned kept, collected, news;
    enum pv_ctl_error why;
    bool has_copy;
    uint64_t number;
} heard;

static void on_kept(void *user, enum pv_ctl_error why, pv_ns now)
{
    assert_ptr_equal(user, &heard);
    heard.kept++;
    heard.why = why;
}

static void on_collected(void *user, const struct pv_ctl_copy *copy, enum pv_ctl_error why,
                         pv_ns now)
{
    assert_ptr_equal(user, &heard);
    heard.collected++;
    heard.why = why;
    heard.has_copy = copy != NULL;
    heard.number = copy == NULL ? 0 : copy->n;
}

static void on_news(void *user, pv_ns now)
{
    assert_ptr_equal(user, &heard);
    heard.news++;
}

static const struct pv_boxes_user functions = {
    .kept = on_kept, .collected = on_collected, .news = on_news};

/* A member with a transport key whose secret the test has. */
static void add_bob(void)
{
    uint8_t sk[PV_DH_LEN];
    struct pv_st_member fields = member_fields(&bob_keys, "bob", 7, 0);
    pv_dh_keypair(&node->node.rng, sk, bob.pk);
    bob.sk = test_keep_key(sk);
    memcpy(fields.transport, bob.pk, sizeof(fields.transport));
    fake_node_add(node, make_member_f(&node->world, &node->world.creator, &bob_keys, &fields));
    assert_ok(pv_peers_add_member(node->node.peers,
                                  pv_roster_by_node(node->node.roster, bob_keys.pk), node->now));
}

static int start(void **state)
{
    memset(&heard, 0, sizeof(heard));
    fake_peers_init(&x, &pv_part_boxes);
    fake_coord_init();
    pv_dh_keypair(&node->node.rng, node->identity.dh_sk, node->identity.dh_pk);
    fake_node_enter(node);
    bob_keys = keys_of(7);
    add_bob();
    fake_node_start(node);
    pv_boxes_use(&node->node, &functions, &heard);
    return 0;
}

static int stop(void **state)
{
    fake_coord_done(NULL);
    return 0;
}

static struct pv_signal_route route_of(const uint8_t *from, const uint8_t *to)
{
    struct pv_signal_route route;
    memcpy(route.network_id, pv_roster_network_id(node->node.roster), sizeof(route.network_id));
    memcpy(route.from, from, sizeof(route.from));
    memcpy(route.to, to, sizeof(route.to));
    return route;
}

PV_TEST_IN(a_box_is_for_the_member_it_was_sealed_for, start, stop)
{
    size_t len, got;
    const struct pv_signal_route route = route_of(node->identity.sign_pk, bob_keys.pk);
    assert_ok(pv_boxes_seal(&node->node, bob_keys.pk, pv_view("hello", 5), box, &len));
    assert_ok(pv_copybox_open(&route, &bob, pv_view(box, len), content, &got));
    assert_int_equal(got, 5);
    assert_memory_equal(content, "hello", 5);
    /* This node sealed it, and cannot open it. */
    assert_int_equal(
        pv_boxes_open(&node->node, node->identity.sign_pk, pv_view(box, len), content, &got),
        PV_ERR_AUTH);
}

PV_TEST_IN(nothing_is_sealed_for_a_stranger, start, stop)
{
    const struct keys carol = keys_of(8);
    size_t len;
    assert_int_equal(pv_boxes_seal(&node->node, carol.pk, pv_view("hello", 5), box, &len),
                     PV_ERR_NOT_FOUND);
}

/* bob's key for hybrid boxes is not known. */
PV_TEST_IN(a_user_who_requires_hybrid_boxes_gets_no_other, start, stop)
{
    size_t len;
    node->node.given.pq = PV_PQ_REQUIRE;
    assert_int_equal(pv_boxes_seal(&node->node, bob_keys.pk, pv_view("hello", 5), box, &len),
                     PV_ERR_REFUSED);
    node->node.given.pq = PV_PQ_ON;
    assert_ok(pv_boxes_seal(&node->node, bob_keys.pk, pv_view("hello", 5), box, &len));
}

PV_TEST_IN(a_box_of_the_member_it_is_said_to_be_of_is_opened, start, stop)
{
    const struct keys carol = keys_of(8);
    const struct pv_signal_route route = route_of(bob_keys.pk, node->identity.sign_pk);
    const struct pv_copybox_keys keys = {.local = &bob, .remote = node->identity.dh_pk};
    size_t len, got;
    assert_ok(pv_copybox_seal(&route, &keys, &node->node.rng, pv_view("hello", 5), box, &len));
    assert_ok(pv_boxes_open(&node->node, bob_keys.pk, pv_view(box, len), content, &got));
    assert_int_equal(got, 5);
    assert_memory_equal(content, "hello", 5);
    assert_int_equal(pv_boxes_open(&node->node, carol.pk, pv_view(box, len), content, &got),
                     PV_ERR_AUTH);
    for (size_t n = 0; n < len; n++)
        assert_true(pv_boxes_open(&node->node, bob_keys.pk, pv_view(box, n), content, &got) < 0);
}

static void answer(enum pv_ctl_type asked, const struct pv_ctl_msg *msg)
{
    uint64_t tag;
    pv_ctl_msg_free(fake_coord_take(asked, &tag));
    pv_part_boxes.on_answer(node->self, tag, msg, node->now);
}

PV_TEST_IN(the_user_hears_whether_a_box_is_kept, start, stop)
{
    static const uint8_t key[PV_CTL_KEY_LEN] = {5};
    static const struct pv_ctl_msg done = {.type = PV_CTL_DONE}, odd = {.type = PV_CTL_COPY};
    struct pv_ctl_msg error = {.type = PV_CTL_ERROR};
    const struct {
        const struct pv_ctl_msg *msg;
        enum pv_ctl_error why;
    } rows[] = {{&done, PV_CTL_E_NONE}, {&error, PV_CTL_E_LIMIT}, {&odd, PV_CTL_E_BAD_REQUEST}};
    error.u.failure.error = PV_CTL_E_LIMIT;
    for (unsigned i = 0; i < PV_ARRAY_LEN(rows); i++) {
        assert_ok(pv_boxes_keep(&node->node, bob_keys.pk, key, pv_view("box", 3)));
        const struct pv_ctl_keep *asked = &fake_coord.asked[0].msg->u.keep;
        assert_memory_equal(asked->to, bob_keys.pk, sizeof(asked->to));
        assert_memory_equal(asked->key, key, sizeof(asked->key));
        assert_true(pv_view_equal(asked->box, pv_view("box", 3)));
        answer(PV_CTL_KEEP, rows[i].msg);
        assert_int_equal(heard.kept, i + 1);
        assert_int_equal(heard.why, rows[i].why);
    }
    assert_int_equal(heard.collected, 0);
}

PV_TEST_IN(the_user_hears_what_is_kept_for_this_node, start, stop)
{
    struct pv_ctl_msg copy = {.type = PV_CTL_COPY, .u.copy = {.n = 17}};
    struct pv_ctl_msg error = {.type = PV_CTL_ERROR};
    error.u.failure.error = PV_CTL_E_STORAGE;
    assert_ok(pv_boxes_collect(&node->node, 16, 15));
    assert_int_equal(fake_coord.asked[0].msg->u.collect.after, 16);
    assert_int_equal(fake_coord.asked[0].msg->u.collect.taken, 15);
    answer(PV_CTL_COLLECT, &copy);
    assert_true(heard.collected == 1 && heard.has_copy && heard.number == 17);
    assert_ok(pv_boxes_collect(&node->node, 17, 0));
    answer(PV_CTL_COLLECT, &error);
    assert_true(heard.collected == 2 && !heard.has_copy && heard.why == PV_CTL_E_STORAGE);
    assert_int_equal(heard.kept, 0);
}

PV_TEST_IN(news_go_to_the_user_and_without_one_to_nobody, start, stop)
{
    static const struct pv_ctl_msg copy = {.type = PV_CTL_COPY}, other = {.type = PV_CTL_DONE};
    pv_part_boxes.on_push(node->self, &other, node->now);
    assert_int_equal(heard.news, 0);
    pv_part_boxes.on_push(node->self, &copy, node->now);
    assert_int_equal(heard.news, 1);
    assert_ok(pv_boxes_collect(&node->node, 0, 0));
    pv_boxes_use(&node->node, NULL, NULL);
    pv_part_boxes.on_push(node->self, &copy, node->now);
    answer(PV_CTL_COLLECT, &copy);
    assert_int_equal(heard.news, 1);
    assert_int_equal(heard.collected, 0);
}

PV_TEST_IN(without_a_connection_nothing_is_asked, start, stop)
{
    static const uint8_t key[PV_CTL_KEY_LEN] = {5};
    fake_coord.status = PV_ERR_STATE;
    assert_int_equal(pv_boxes_keep(&node->node, bob_keys.pk, key, pv_view("box", 3)), PV_ERR_STATE);
    assert_int_equal(pv_boxes_collect(&node->node, 0, 0), PV_ERR_STATE);
}
