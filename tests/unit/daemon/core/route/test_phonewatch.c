/* SPDX-License-Identifier: MIT */
/* Part "phonewatch": what a gateway tells of its phones, and what others ask it. */
#include <stdatomic.h>

#include "daemon/core/packets/fastpath.h"
#include "daemon/core/peer/peer_show.h"
#include "daemon/core/route/phonewatch.h"
#include "proto/ip/phoneseen.h"
#include "proto/local/ctlapi.h"
#include "tests/unit/daemon/core/client/fake_client.h"
#include "tests/unit/daemon/core/member/fake_coord.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

enum {
    NAS = 7, /* seeds of the keys */
    PHONE = 9,
};

static struct fake_peers x;
static struct pv_peer *nas, *phone;
static uint16_t slot;

void test_before_each(void)
{
    slot = 0;
    fake_peers_init(&x, &pv_part_phonewatch);
    fake_coord_init();
    fake_node_enter(&x.f);
    nas = fake_peers_member(&x, NAS, "nas", 7);
    phone = fake_peers_member(&x, PHONE, "phone", 9);
    x.f.node.up = true;
    x.f.node.iface.state = PV_IFACE_UP;
    fake_node_start(&x.f);
    fake_peers_settle(&x);
}

/* The admin of the network says who is the phone's gateway. */
static void set_gateway(const uint8_t *node)
{
    struct pv_statement st = {.type = PV_ST_ROUTE};
    st.u.route = (struct pv_st_route){.slot = {.number = slot++, .seq = 1},
                                      .kind = PV_ROUTE_ALLOW,
                                      .prefix = {.base = pv_addr4(10, 66, 0, 9, 0), .bits = 32},
                                      .time = T0};
    memcpy(st.u.route.node, node, PV_SIGN_PK_LEN);
    fake_node_add(&x.f, make_statement(&x.f.world, &st, &x.f.world.creator));
}

static void be_gateway(void)
{
    const struct pv_member *m = pv_roster_by_node(x.f.node.roster, keys_of(PHONE).pk);
    set_gateway(x.f.identity.sign_pk);
    assert_ok(pv_peers_set_phone(x.f.node.peers, m, true, x.f.now));
    phone = pv_peers_by_pk(x.f.node.peers, keys_of(PHONE).pk);
    fake_peers_settle(&x);
}

static void come_online(void)
{
    x.f.node.online = true;
    fake_node_raise(&x.f, PV_FACT_ONLINE);
    fake_peers_settle(&x);
}

/* Something authenticated came of it just now. */
static void hear_phone(void)
{
    assert_ok(pv_fp_builder_use_peer(x.f.node.fp, pv_peer_id(phone)));
    struct pv_fp_live *l = pv_fp_builder_live(x.f.node.fp, pv_peer_id(phone));
    assert_non_null(l);
    atomic_store(&l->last_rx_any, x.f.now);
    pv_peers_touch(x.f.node.peers, phone, x.f.now);
    fake_peers_settle(&x);
}

static void expect_told(bool online)
{
    uint64_t tag;
    struct pv_ctl_msg *msg = fake_coord_take(PV_CTL_PHONES, &tag);
    assert_int_equal(msg->u.phones.n, 1);
    assert_memory_equal(msg->u.phones.nodes[0].node, keys_of(PHONE).pk, 32);
    assert_int_equal(msg->u.phones.nodes[0].online, online);
    pv_ctl_msg_free(msg);
    assert_int_equal(fake_coord.n, 0);
}

static bool is_shown_online(void)
{
    struct pv_ctlapi_peer shown;
    pv_peer_show(phone, &shown, x.f.now);
    return shown.online;
}

PV_TEST(a_gateway_tells_when_its_phone_comes_and_goes)
{
    be_gateway();
    come_online();
    expect_told(false);
    hear_phone();
    expect_told(true);
    assert_true(is_shown_online());
    assert_int_equal(pv_peer_reach(phone), PV_REACH_ONLINE);
    /* It goes on sending: nothing is told, and nothing happens before it may be silent. */
    pv_ns before = x.f.now;
    fake_node_wait(&x.f, PV_S(100));
    hear_phone();
    assert_int_equal(fake_coord.n, 0);
    assert_true(pv_part_phonewatch.next_timeout(x.f.self) >= before + PV_PHONEWATCH_SILENT);
    fake_node_wait(&x.f, PV_PHONEWATCH_SILENT - PV_S(1));
    assert_int_equal(fake_coord.n, 0);
    fake_node_wait(&x.f, PV_S(1));
    expect_told(false);
    assert_false(is_shown_online());
    assert_int_equal(pv_part_phonewatch.next_timeout(x.f.self), PV_NEVER);
}

PV_TEST(each_connection_is_told_anew)
{
    be_gateway();
    hear_phone(); /* there is no coordinator to tell */
    assert_int_equal(fake_coord.n, 0);
    come_online();
    expect_told(true);
    x.f.node.online = false;
    fake_node_raise(&x.f, PV_FACT_OFFLINE);
    come_online();
    expect_told(true);
}

PV_TEST(a_word_that_is_refused_is_repeated_later)
{
    const struct pv_ctl_msg no = {
        .kind = PV_CTL_ANSWER, .type = PV_CTL_ERROR, .u.failure.error = PV_CTL_E_NOT_ALLOWED};
    be_gateway();
    come_online();
    expect_told(false);
    hear_phone();
    expect_told(true);
    pv_part_phonewatch.on_answer(x.f.self, 0, &no, x.f.now);
    hear_phone();
    assert_int_equal(fake_coord.n, 0);
    fake_node_wait(&x.f, PV_S(30));
    expect_told(true);
}

PV_TEST(a_phone_that_is_removed_is_taken_back)
{
    be_gateway();
    come_online();
    expect_told(false);
    hear_phone();
    expect_told(true);
    pv_peers_drop(x.f.node.peers, phone, x.f.now);
    expect_told(false);
}

/* --- the last handshake ------------------------------------------------------------------------
 */

static struct fake_far gateway;

/* nas, with which this node has a session, is the gateway of the phone. */
static void meet_gateway(void)
{
    const struct pv_addr at = pv_addr4(192, 0, 2, 7, 4711);
    fake_far_init(&x, &gateway, 41, "far", 41);
    fake_far_talk(&x, &gateway, &at);
    set_gateway(keys_of(41).pk);
    pv_peer_set_by(phone, pv_peer_id(gateway.peer));
}

/* The message that was sent about the phone; false: there is none. */
static bool sent(struct pv_phoneseen *ret)
{
    struct pv_view body;
    if (!fake_peers_told(&x, NULL, PV_INBAND_SEEN, &body))
        return false;
    assert_ok(pv_phoneseen_parse(body, ret));
    assert_memory_equal(ret->phone, keys_of(PHONE).pk, 32);
    return true;
}

static void come(struct pv_peer *from, bool asks, uint32_t ago)
{
    struct pv_phoneseen s = {.asks = asks, .ago = ago};
    uint8_t buf[PV_PHONESEEN_MAX];
    size_t len;
    memcpy(s.phone, keys_of(PHONE).pk, sizeof(s.phone));
    pv_phoneseen_build(&s, buf, &len);
    pv_part_phonewatch.inband[0].take(x.f.self, from, pv_view(buf, len), x.f.now);
}

PV_TEST(the_last_handshake_is_asked_for_when_a_client_looks)
{
    struct pv_phoneseen s;
    meet_gateway();
    assert_int_equal(pv_part_phonewatch.next_timeout(x.f.self), PV_NEVER); /* nobody looks */
    assert_false(sent(&s));
    pv_phonewatch_ask(&x.f.node, x.f.now);
    assert_true(sent(&s) && s.asks);
    assert_true(pv_phonewatch_is_asking(&x.f.node, x.f.now));
    come(nas, false, 5); /* nas is not its gateway */
    assert_true(pv_phonewatch_is_asking(&x.f.node, x.f.now));
    come(gateway.peer, false, 12);
    assert_false(pv_phonewatch_is_asking(&x.f.node, x.f.now));
    assert_int_equal(pv_peer_handshake_at(phone), x.f.now - PV_S(12));
    /* The answer is fresh for a while. */
    pv_phonewatch_ask(&x.f.node, x.f.now + PV_PHONEWATCH_FRESH - 1);
    assert_false(sent(&s));
    pv_phonewatch_ask(&x.f.node, x.f.now + PV_PHONEWATCH_FRESH);
    assert_true(sent(&s) && s.asks);
}

PV_TEST(a_client_waits_for_a_gateway_that_is_silent_a_second)
{
    struct pv_phoneseen s;
    unsigned n = 0;
    meet_gateway();
    pv_phonewatch_ask(&x.f.node, x.f.now);
    pv_ns end = x.f.now + PV_PHONEWATCH_PATIENCE;
    assert_true(pv_phonewatch_is_asking(&x.f.node, end - 1));
    assert_false(pv_phonewatch_is_asking(&x.f.node, end));
    fake_node_wait(&x.f, PV_S(5));
    while (sent(&s))
        n++;
    assert_int_equal(n, 5); /* a question may get lost */
    assert_int_equal(pv_part_phonewatch.next_timeout(x.f.self), PV_NEVER);
}

PV_TEST(a_gateway_answers_about_its_own_phones)
{
    struct pv_phoneseen s;
    come(nas, true, 0);
    assert_false(sent(&s));
    be_gateway();
    come(nas, true, 0);
    assert_true(sent(&s) && !s.asks && s.ago == PV_PHONESEEN_NEVER);
    pv_peer_set_handshake(phone, PV_S(40), x.f.now);
    come(nas, true, 0);
    assert_true(sent(&s) && !s.asks && s.ago == 40);
}
