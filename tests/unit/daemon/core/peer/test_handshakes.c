/* SPDX-License-Identifier: MIT */
/* Handshake messages from the network: whose they are, strangers, and cookies under load. */
#include "daemon/core/peer/handshakes.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers x, caller; /* caller: another machine, which begins handshakes with x */
static const struct pv_addr there = {.family = PV_AF_INET, .ip = {198, 51, 100, 7}, .port = 4000};

static struct pv_peer *add_static(struct fake_peers *node, const char *name,
                                  const struct pv_wg_device *who)
{
    struct pv_static_peer conf = {.endpoint_port = 51820};
    snprintf(conf.name, sizeof(conf.name), "%s", name);
    memcpy(conf.public_key, who->keys.pk, sizeof(conf.public_key));
    assert_ok(pv_peers_add_static(node->f.node.peers, &conf, node->f.now));
    return pv_peers_find(node->f.node.peers, name);
}

void test_before_each(void)
{
    uint8_t sk[32];
    memset(sk, 9, sizeof(sk));
    fake_peers_init(&x, &pv_part_handshakes);
    fake_peers_init(&caller, &pv_part_handshakes);
    pv_wg_device_init(&caller.device, test_keep_key(sk));
    fake_node_start(&x.f);
    add_static(&caller, "x", &x.device);
}

/* A message 1 of the caller's for x. */
static void call(uint8_t msg[static PV_WGMSG_INITIATION_LEN])
{
    struct pv_peer *p = pv_peers_find(caller.f.node.peers, "x");
    assert_ok(pv_peer_trial(p, caller.f.now, msg));
}

static void take(const uint8_t *msg, size_t len)
{
    const struct pv_carrier from = {.kind = PV_CARRIER_UDP, .remote = there};
    pv_handshakes_take(x.f.self, &from, pv_view(msg, len), x.f.now);
}

PV_TEST(a_handshake_with_an_unknown_key_is_remembered_as_a_strangers)
{
    uint8_t msg[PV_WGMSG_INITIATION_LEN];
    assert_int_equal(pv_handshakes_stranger(x.f.self)->from.family, PV_AF_NONE);
    call(msg);
    take(msg, sizeof(msg));
    const struct pv_handshakes_stranger *who = pv_handshakes_stranger(x.f.self);
    assert_true(pv_addr_equal(&who->from, &there));
    assert_memory_equal(who->key, caller.device.keys.pk, 32);
}

PV_TEST(a_static_peers_handshake_says_where_it_is)
{
    uint8_t msg[PV_WGMSG_INITIATION_LEN];
    struct pv_peer *p = add_static(&x, "caller", &caller.device);
    call(msg);
    take(msg, sizeof(msg));
    assert_non_null(pv_peer_path(p));
    assert_true(pv_addr_equal(&pv_peer_path(p)->remote, &there));
    assert_int_equal(pv_handshakes_stranger(x.f.self)->from.family, PV_AF_NONE);
}

PV_TEST(a_message_that_is_no_handshake_for_us_is_dropped)
{
    uint8_t msg[PV_WGMSG_INITIATION_LEN];
    struct pv_engine_transmit tx;
    call(msg);
    take(msg, sizeof(msg) - 1);
    msg[sizeof(msg) - 20] ^= 1; /* in mac1 */
    take(msg, sizeof(msg));
    memset(msg, 0, sizeof(msg));
    take(msg, sizeof(msg));
    assert_int_equal(pv_handshakes_stranger(x.f.self)->from.family, PV_AF_NONE);
    assert_false(pv_part_handshakes.poll_transmit(x.f.self, &tx));
}

PV_TEST(under_load_a_cookie_is_asked_for)
{
    uint8_t msg[PV_WGMSG_INITIATION_LEN];
    struct pv_engine_transmit tx;
    call(msg);
    for (int i = 0; i < 300; i++)
        take(msg, sizeof(msg));
    assert_true(pv_part_handshakes.poll_transmit(x.f.self, &tx));
    assert_true(pv_addr_equal(&tx.dst, &there));
    assert_int_equal(tx.len, PV_WGMSG_COOKIE_LEN);
    size_t n = 1;
    while (pv_part_handshakes.poll_transmit(x.f.self, &tx))
        n++;
    assert_true(n <= 64);         /* more are dropped */
    for (int i = 0; i < 2; i++) { /* the second that begins then still knows of the last */
        while (pv_part_handshakes.poll_transmit(x.f.self, &tx))
            continue;
        x.f.now += PV_S(2);
        take(msg, sizeof(msg));
    }
    assert_false(pv_part_handshakes.poll_transmit(x.f.self, &tx));
}
