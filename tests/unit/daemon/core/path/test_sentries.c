/* SPDX-License-Identifier: MIT */
/* The part that lets other coordinators tell when the one in use falls silent. */
#include "daemon/core/coord/coordclient.h"
#include "daemon/core/nat/stunroute.h"
#include "daemon/core/path/sentries.h"
#include "proto/stun/sentrymsg.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

enum {
    HOME = 8,
};

static struct fake_peers x;
static struct pv_stunroute route;
static unsigned alarms; /* that reached the connection */

/* Stands in for coordclient.c. */
void pv_coordclient_alarm(struct pv_coordclient *c, pv_ns now)
{
    (void)c;
    (void)now;
    alarms++;
}

static struct pv_addr server(uint8_t i)
{
    return pv_addr4(192, 0, 2, i, 3478);
}

/* Connected to the coordinator of that number, where the record has n other addresses. */
static void connect(uint64_t number, size_t n)
{
    struct pv_coord_info *info = &x.f.node.coord_info;
    info->number = number;
    info->n_others = n;
    for (size_t i = 0; i < n; i++)
        info->others[i] = server((uint8_t)(2 + i));
    x.f.node.online = true;
    fake_node_settle(&x.f);
}

static int start(void **state)
{
    (void)state;
    alarms = 0;
    fake_peers_init(&x, &pv_part_sentries);
    memset(&route, 0, sizeof(route));
    x.f.node.stunroute = &route;
    fake_node_start(&x.f);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fake_peers_done(&x);
    return 0;
}

PV_TEST_WORLD(start, stop);

/* Hands the part a datagram of its main socket. */
static bool give(const struct pv_addr *from, struct pv_view data)
{
    const struct pv_carrier c = {.kind = PV_CARRIER_UDP, .remote = *from};
    bool taken = x.f.part->handle_stun(x.f.self, &c, data, x.f.now);
    fake_node_settle(&x.f);
    return taken;
}

static bool alarm_from(const struct pv_addr *from, uint64_t coordinator, uint64_t ticket)
{
    static const uint8_t txid[PV_STUN_TXID_LEN] = {3};
    uint8_t buf[PV_SENTRY_ALARM_LEN];
    pv_sentry_write_alarm(buf, &(struct pv_sentry_word){coordinator, ticket}, txid);
    return give(from, pv_view(buf, sizeof(buf)));
}

/* A coordinator that stands sentry answers all that is asked; its tickets are its last byte. Gives
 * how many requests there were; of_each counts them by that byte, NULL: not. */
static unsigned serve(pv_ns t, bool knows, unsigned *of_each)
{
    struct pv_engine_transmit tx;
    pv_ns until = x.f.now + t;
    unsigned n = 0;
    while (x.f.now < until) {
        fake_node_wait(&x.f, PV_MS(100));
        while (x.f.part->poll_transmit(x.f.self, &tx)) {
            struct pv_stun_msg msg;
            struct pv_stun_writer w;
            struct pv_sentry_word word;
            uint8_t buf[128];
            size_t len;
            const struct pv_addr mapped = pv_addr4(203, 0, 113, 9, 40000);
            assert_true(tx.sock == 0 && tx.len <= PV_SENTRY_REQUEST_LEN);
            assert_int_equal(pv_stun_decode(pv_view(tx.buf, tx.len), &msg), PV_OK);
            assert_int_equal(pv_sentry_get(&msg, &word), PV_OK);
            word.coordinator = word.ticket == 0 ? 0 : word.coordinator;
            word.ticket = tx.dst.ip[3];
            pv_stun_write_answer(&w, buf, sizeof(buf), PV_STUN_SUCCESS, &msg);
            pv_stun_put_xor_addr(&w, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped);
            if (knows)
                pv_sentry_put(&w, &word);
            assert_int_equal(pv_stun_write_end(&w, &len), PV_OK);
            assert_true(give(&tx.dst, pv_view(buf, len)));
            n++;
            if (of_each != NULL)
                of_each[tx.dst.ip[3]]++;
        }
    }
    return n;
}

PV_TEST(one_coordinator_costs_no_packet)
{
    connect(0, 3); /* its addresses are its own, or it is older */
    assert_int_equal(serve(PV_S(3600), true, NULL), 0);
    connect(HOME, 0);
    assert_int_equal(serve(PV_S(3600), true, NULL), 0);
    assert_true(fake_node_has_metric(&x.f, "p2pvpn_sentries 0"));
}

PV_TEST(an_alarm_reaches_the_connection)
{
    struct pv_addr two = server(2), stranger = server(9);
    connect(HOME, 1);
    assert_int_equal(serve(PV_S(6), true, NULL), 2);
    assert_true(fake_node_has_metric(&x.f, "p2pvpn_sentries 1"));
    assert_false(alarm_from(&stranger, HOME, 2));
    assert_false(alarm_from(&two, HOME, 3));
    assert_false(alarm_from(&two, HOME + 1, 2));
    assert_int_equal(alarms, 0);
    assert_true(alarm_from(&two, HOME, 2));
    assert_int_equal(alarms, 1);
    assert_true(alarm_from(&two, HOME, 2)); /* too soon */
    assert_int_equal(alarms, 1);
    fake_node_wait(&x.f, PV_SENTRIES_CALM);
    assert_true(alarm_from(&two, HOME, 2));
    assert_int_equal(alarms, 2);
    assert_true(fake_node_has_metric(&x.f, "p2pvpn_alarms_total 2"));
}

PV_TEST(through_a_relay_nothing_counts)
{
    static const uint8_t txid[PV_STUN_TXID_LEN] = {3};
    uint8_t buf[PV_SENTRY_ALARM_LEN];
    const struct pv_carrier c = {.kind = PV_CARRIER_CHANNEL, .remote = server(2)};
    connect(HOME, 1);
    (void)serve(PV_S(6), true, NULL);
    pv_sentry_write_alarm(buf, &(struct pv_sentry_word){HOME, 2}, txid);
    assert_false(x.f.part->handle_stun(x.f.self, &c, pv_view(buf, sizeof(buf)), x.f.now));
    assert_int_equal(alarms, 0);
}

PV_TEST(two_that_know_it_are_enough)
{
    unsigned of[8] = {0};
    connect(HOME, 4);
    unsigned n = serve(PV_S(500), true, of);
    /* Two each 25 s less an eighth, and the first time twice; those that came too late never. */
    assert_in_range(n, 2 * 20, 2 * 25);
    assert_true(fake_node_has_metric(&x.f, "p2pvpn_sentries 2"));
    assert_int_equal((of[2] > 0) + (of[3] > 0) + (of[4] > 0) + (of[5] > 0), 2);
}

PV_TEST(older_coordinators_are_asked_once_in_ten_minutes)
{
    connect(HOME, 2);
    assert_in_range(serve(PV_S(3000), false, NULL), 2 * 5, 2 * 6);
    assert_true(fake_node_has_metric(&x.f, "p2pvpn_sentries 0"));
}

PV_TEST(another_home_begins_anew)
{
    struct pv_addr two = server(2);
    connect(HOME, 1);
    (void)serve(PV_S(6), true, NULL);
    connect(HOME + 1, 1);
    assert_true(fake_node_has_metric(&x.f, "p2pvpn_sentries 0"));
    assert_false(alarm_from(&two, HOME, 2));
    assert_int_equal(serve(PV_S(6), true, NULL), 2);
    assert_true(alarm_from(&two, HOME + 1, 2));
    x.f.node.online = false;
    fake_node_settle(&x.f);
    assert_int_equal(serve(PV_S(100), true, NULL), 0);
    assert_false(alarm_from(&two, HOME + 1, 2));
}

PV_TEST(without_udp_nobody_is_asked)
{
    x.f.node.udp_blocked = true;
    connect(HOME, 1);
    assert_int_equal(serve(PV_S(100), true, NULL), 0);
    x.f.node.udp_blocked = false;
    fake_node_settle(&x.f);
    assert_int_equal(serve(PV_S(6), true, NULL), 2);
}

PV_TEST(a_list_that_changes_keeps_who_stays)
{
    unsigned of[8] = {0};
    connect(HOME, 1);
    (void)serve(PV_S(6), true, NULL);
    connect(HOME, 2);
    (void)serve(PV_S(6), true, of);
    assert_int_equal(of[2], 0);
    assert_int_equal(of[3], 2);
    x.f.node.coord_info.others[0] = server(3);
    x.f.node.coord_info.n_others = 1;
    fake_node_settle(&x.f);
    assert_true(fake_node_has_metric(&x.f, "p2pvpn_sentries 1"));
    struct pv_addr three = server(3), two = server(2);
    assert_true(alarm_from(&three, HOME, 3));
    assert_false(alarm_from(&two, HOME, 2));
}

PV_TEST(after_a_change_of_network_it_is_asked_at_once)
{
    connect(HOME, 1);
    (void)serve(PV_S(6), true, NULL);
    fake_node_raise(&x.f, PV_FACT_MOVED);
    assert_int_equal(serve(PV_S(1), true, NULL), 1);
}
