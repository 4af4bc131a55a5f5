/* SPDX-License-Identifier: MIT */
/* Part "phonetest": who sends a handshake to a phone port, and what its arrival or loss shows. */
#include "daemon/core/packets/fastpath.h"
#include "daemon/core/route/phonetest.h"
#include "proto/stun/turn.h"
#include "proto/wireguard/wgmsg.h"
#include "tests/unit/daemon/core/client/fake_client.h"

enum {
    BOB = 41, /* seeds of the keys, and addresses */
    CAROL = 42,
    TOKEN_AT = 8,
};

static struct fake_peers x;
static struct fake_far bob, carol;
static uint8_t token[PV_PORTTEST_TOKEN]; /* of the last datagram or question */

/* The coordinator is on the Internet, at 203.0.113.5, and so is its port for this node's phones.
 * This node is behind a NAT elsewhere. */
void test_before_each(void)
{
    fake_peers_init(&x, &pv_part_phonetest);
    fake_node_enter(&x.f);
    fake_far_init(&x, &bob, BOB, "bob", BOB);
    fake_far_init(&x, &carol, CAROL, "carol", CAROL);
    struct pv_node *n = &x.f.node;
    n->coord_info.addr = n->coord_info.servers[0] = pv_addr4(203, 0, 113, 5, 3478);
    n->coord_info.n_servers = 1;
    n->ways.phone_port = (struct pv_turnc_phone_port){.state = PV_TURNC_PHONE_PORT_OPEN,
                                                      .addr = pv_addr4(203, 0, 113, 5, 50123)};
    n->ways.locals[0] =
        (struct pv_ice_cand){.type = PV_ICE_HOST, .addr = pv_addr4(192, 168, 1, 2, 51820)};
    n->ways.n_locals = 1;
    fake_node_start(&x.f);
    fake_peers_settle(&x);
}

/* This node has the coordinator's public address. */
static void be_beside_coordinator(void)
{
    x.f.node.ways.locals[1] = (struct pv_ice_cand){
        .type = PV_ICE_SRFLX, .addr = pv_addr4(203, 0, 113, 5, 40000), .base = 0};
    x.f.node.ways.n_locals = 2;
}

/* Counts the handshakes that leave now. All go to the phone port. */
static unsigned handshakes(void)
{
    static const uint8_t head[TOKEN_AT] = {PV_WGMSG_INITIATION};
    const struct pv_addr port = pv_addr4(203, 0, 113, 5, 50123);
    struct pv_engine_transmit tx;
    unsigned n = 0;
    for (; pv_part_phonetest.poll_transmit(x.f.self, &tx); n++) {
        assert_int_equal(tx.len, PV_WGMSG_INITIATION_LEN);
        assert_memory_equal(tx.buf, head, sizeof(head));
        assert_true(pv_addr_equal(&tx.dst, &port));
        memcpy(token, tx.buf + TOKEN_AT, sizeof(token));
    }
    return n;
}

static void begin(void)
{
    pv_phonetest_begin(&x.f.node, 0, x.f.now);
}

static bool is_over(enum pv_port_verdict verdict)
{
    return pv_phonetest_is_over(&x.f.node) && pv_phonetest_verdict(&x.f.node) == verdict;
}

/* A handshake with the last token comes by that way. Returns true if it was taken. */
static bool comes(enum pv_carrier_kind kind, uint16_t via, struct pv_addr from)
{
    uint8_t msg[PV_WGMSG_INITIATION_LEN] = {PV_WGMSG_INITIATION};
    const struct pv_carrier by = {.kind = kind, .via = via, .remote = from};
    memcpy(msg + TOKEN_AT, token, sizeof(token));
    return pv_phonetest_take(&x.f.node, &by, pv_view(msg, sizeof(msg)), x.f.now);
}

static bool arrives(void)
{
    return comes(PV_CARRIER_CHANNEL, 0, pv_addr4(192, 0, 2, 77, 7777));
}

/* In-band messages reach that member, who is at this address. */
static void meet(struct fake_far *far, struct pv_addr at)
{
    fake_far_talk(&x, far, &at);
}

/* Takes the next message that left. Returns false if there is none. */
static bool told(struct pv_porttest *ret_t)
{
    struct pv_view body;
    if (!fake_peers_told(&x, NULL, PV_INBAND_PORTTEST, &body))
        return false;
    assert_ok(pv_porttest_parse(body, ret_t));
    if (ret_t->asks)
        memcpy(token, ret_t->token, sizeof(token));
    return true;
}

/* Counts the questions that leave now. All are about the phone port. */
static unsigned questions(void)
{
    struct pv_porttest t;
    unsigned n = 0;
    for (; told(&t); n++)
        assert_true(t.asks && pv_addr_equal(&t.at, &x.f.node.ways.phone_port.addr));
    return n;
}

static void says(struct pv_peer *p, struct pv_porttest t)
{
    uint8_t buf[PV_PORTTEST_MAX];
    size_t len;
    memcpy(t.token, token, sizeof(t.token));
    pv_porttest_build(&t, buf, &len);
    pv_part_phonetest.inband[0].take(x.f.self, p, pv_view(buf, len), x.f.now);
    fake_node_wait(&x.f, 0);
}

static void answers(const struct fake_far *far, bool sends)
{
    says(far->peer, (struct pv_porttest){.sends = sends});
}

/* Bob asks for handshakes to that port. Returns whether this node says that it sends. */
static bool sends_to(uint8_t number, struct pv_addr port)
{
    struct pv_porttest t;
    memset(token, number, sizeof(token));
    says(bob.peer, (struct pv_porttest){.asks = true, .at = port});
    assert_true(told(&t) && !t.asks);
    return t.sends;
}

PV_TEST(passes_when_its_own_handshake_arrives)
{
    begin();
    assert_false(pv_phonetest_is_over(&x.f.node));
    assert_int_equal(handshakes(), 1);
    assert_true(arrives());
    assert_true(is_over(PV_PORT_PASSED));
    fake_node_wait(&x.f, PV_S(10));
    assert_int_equal(handshakes(), 0);
    assert_int_equal(pv_part_phonetest.next_timeout(x.f.self), PV_NEVER);
    assert_true(arrives()); /* one that is late is nobody's handshake */
}

PV_TEST(fails_when_no_handshake_arrives_and_nobody_else_is_there)
{
    begin();
    fake_node_wait(&x.f, PV_PHONETEST_WAIT - PV_MS(1));
    assert_int_equal(handshakes(), PV_PHONETEST_SENDS);
    assert_false(pv_phonetest_is_over(&x.f.node));
    fake_node_wait(&x.f, PV_MS(1));
    assert_true(is_over(PV_PORT_FAILED));
    assert_int_equal(pv_part_phonetest.next_timeout(x.f.self), PV_NEVER);
}

/* A firewall around this node may let no datagram out to such ports. */
PV_TEST(asks_a_member_when_its_own_handshake_is_lost)
{
    meet(&bob, pv_addr4(192, 0, 2, 7, 4711));
    begin();
    fake_node_wait(&x.f, PV_PHONETEST_WAIT - PV_MS(1));
    assert_int_equal(questions(), 0);
    fake_node_wait(&x.f, PV_MS(1));
    assert_int_equal(questions(), 1);
    answers(&bob, true);
    assert_true(arrives());
    assert_true(is_over(PV_PORT_PASSED));
}

PV_TEST(takes_only_what_came_by_the_phone_port)
{
    const struct pv_addr world = pv_addr4(192, 0, 2, 77, 7777);
    const struct pv_addr virtual = pv_turn_virtual_addr(x.f.identity.sign_pk, keys_of(BOB).pk);
    uint8_t kept[PV_PORTTEST_TOKEN];
    begin();
    assert_int_equal(handshakes(), 1);
    assert_false(comes(PV_CARRIER_UDP, 0, world));       /* to this node's own port */
    assert_false(comes(PV_CARRIER_CHANNEL, 1, world));   /* by another relay */
    assert_false(comes(PV_CARRIER_CHANNEL, 0, virtual)); /* from a member by the relay */
    memcpy(kept, token, sizeof(kept));
    token[31] ^= 1;
    assert_false(arrives());
    assert_false(pv_phonetest_is_over(&x.f.node));
    memcpy(token, kept, sizeof(kept));
    assert_true(comes(PV_CARRIER_STREAM, 0, world));
    assert_true(is_over(PV_PORT_PASSED));
}

PV_TEST(beside_the_coordinator_it_sends_nothing_itself)
{
    static const struct pv_addr inside[] = {
        {.family = PV_AF_INET, .ip = {192, 168, 1, 9}, .port = 3478},
        {.family = PV_AF_INET, .ip = {127, 0, 0, 1}, .port = 3478},
    };
    be_beside_coordinator();
    begin();
    assert_int_equal(handshakes(), 0);
    assert_true(is_over(PV_PORT_UNTESTED)); /* at once: there is nobody */
    x.f.node.ways.n_locals = 1;
    for (size_t i = 0; i < PV_ARRAY_LEN(inside); i++) {
        x.f.node.coord_info.addr = inside[i];
        begin();
        assert_int_equal(handshakes(), 0);
        assert_true(is_over(PV_PORT_UNTESTED));
    }
    x.f.node.coord_info.addr = x.f.node.coord_info.servers[0];
    x.f.node.coord_info.addr = test_addr("[2001:db8:1:2::9]:3478"); /* in the LAN of this node */
    x.f.node.ways.locals[0].addr = test_addr("[2001:db8:1:2::7]:51820");
    begin();
    assert_true(is_over(PV_PORT_UNTESTED));
    x.f.node.coord_info.addr = test_addr("[2001:db8:1:3::9]:3478");
    begin();
    assert_int_equal(handshakes(), 1);
    assert_true(arrives());
    x.f.node.ways.udp_blocked = true; /* it reaches the coordinator by TCP alone */
    begin();
    assert_true(is_over(PV_PORT_UNTESTED));
}

PV_TEST(a_member_elsewhere_tests_for_a_gateway_beside_the_coordinator)
{
    be_beside_coordinator();
    meet(&bob, pv_addr4(192, 0, 2, 7, 4711));
    begin();
    assert_int_equal(questions(), 1);
    fake_node_wait(&x.f, PV_PHONETEST_AGAIN);
    assert_int_equal(questions(), 1); /* the first may be lost */
    answers(&bob, true);
    fake_node_wait(&x.f, PV_PHONETEST_WAIT - PV_PHONETEST_AGAIN);
    assert_int_equal(questions(), 0);
    assert_false(pv_phonetest_is_over(&x.f.node));
    fake_node_wait(&x.f, PV_PHONETEST_AGAIN);
    assert_true(is_over(PV_PORT_FAILED));
    assert_int_equal(handshakes(), 0);
    begin();
    assert_int_equal(questions(), 1);
    assert_true(arrives()); /* before the answer */
    assert_true(is_over(PV_PORT_PASSED));
}

PV_TEST(without_a_member_elsewhere_the_port_is_untested)
{
    be_beside_coordinator();
    meet(&bob, pv_addr4(192, 168, 1, 7, 4711));
    meet(&carol, pv_addr4(192, 168, 1, 8, 4711));
    begin();
    assert_int_equal(questions(), 2);
    answers(&bob, false);
    assert_false(pv_phonetest_is_over(&x.f.node));
    answers(&carol, false);
    assert_true(is_over(PV_PORT_UNTESTED));
    begin(); /* both are silent */
    fake_node_wait(&x.f, PV_PHONETEST_LIMIT - PV_MS(1));
    assert_false(pv_phonetest_is_over(&x.f.node));
    fake_node_wait(&x.f, PV_PHONETEST_AGAIN);
    assert_true(is_over(PV_PORT_UNTESTED));
}

PV_TEST(answers_of_others_and_of_other_tests_do_not_count)
{
    uint8_t kept[PV_PORTTEST_TOKEN];
    be_beside_coordinator();
    meet(&bob, pv_addr4(192, 0, 2, 7, 4711));
    begin();
    assert_int_equal(questions(), 1);
    answers(&carol, true); /* nobody asked carol */
    memcpy(kept, token, sizeof(kept));
    memset(token, 0, sizeof(token));
    answers(&bob, true);
    memcpy(token, kept, sizeof(kept));
    answers(&bob, false);
    assert_true(is_over(PV_PORT_UNTESTED));
}

/* The same test answers all who ask within its age. */
PV_TEST(a_test_is_not_repeated_while_it_is_fresh)
{
    begin();
    assert_int_equal(handshakes(), 1);
    begin(); /* under way */
    assert_int_equal(handshakes(), 0);
    assert_true(arrives());
    fake_node_wait(&x.f, PV_S(1));
    pv_phonetest_begin(&x.f.node, PV_S(2), x.f.now);
    assert_true(is_over(PV_PORT_PASSED));
    x.f.node.ways.phone_port.addr.port++; /* that one was not tested */
    assert_true(is_over(PV_PORT_UNTESTED));
    pv_phonetest_begin(&x.f.node, PV_S(2), x.f.now);
    assert_false(pv_phonetest_is_over(&x.f.node));
}

PV_TEST(a_member_sends_to_its_coordinator_and_to_nobody_else)
{
    const struct pv_addr port = pv_addr4(203, 0, 113, 5, 50123);
    meet(&bob, pv_addr4(192, 0, 2, 7, 4711));
    assert_false(sends_to(1, pv_addr4(203, 0, 113, 6, 50123)));
    assert_false(sends_to(1, pv_addr4(192, 0, 2, 7, 50123)));
    assert_int_equal(handshakes(), 0);
    assert_true(sends_to(2, port));
    assert_int_equal(handshakes(), 1);
    assert_true(sends_to(2, port)); /* asked again, as its answer may be lost */
    fake_node_wait(&x.f, PV_S(10));
    assert_int_equal(handshakes(), PV_PHONETEST_SENDS - 1);
    assert_int_equal(token[0], 2);
    be_beside_coordinator(); /* what it sends now proves nothing */
    assert_false(sends_to(3, port));
    assert_int_equal(handshakes(), 0);
}

PV_TEST(a_member_sends_for_a_few_tests_at_a_time)
{
    const struct pv_addr port = pv_addr4(203, 0, 113, 5, 50123);
    uint8_t number = 1;
    meet(&bob, pv_addr4(192, 0, 2, 7, 4711));
    for (; number <= PV_PHONETEST_OTHERS; number++)
        assert_true(sends_to(number, port));
    assert_false(sends_to(number, port)); /* no place */
    fake_node_wait(&x.f, PV_S(2));
    assert_int_equal(handshakes(), PV_PHONETEST_OTHERS * PV_PHONETEST_SENDS);
    assert_false(sends_to(number, port)); /* places, but too many in this time */
    x.f.now += PV_S(10);
    assert_true(sends_to(number, port));
    assert_false(sends_to(number + 1, port));
}
