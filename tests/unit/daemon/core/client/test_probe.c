/* SPDX-License-Identifier: MIT */
/* The part behind the request `probe`: the packets that it makes, what it takes for an answer, and
 * how each probe ends. */
#include "daemon/core/client/probe.h"
#include "proto/ip/ipprobe.h"
#include "tests/unit/daemon/core/client/fake_client.h"

static struct fake_peers x;
static uint32_t client;
static struct pv_addr here;
static struct pv_ipprobe probe; /* from this host's end */

void test_before_each(void)
{
    fake_peers_init(&x, &pv_part_probe);
    fake_node_enter(&x.f);
    fake_node_start(&x.f);
    x.f.node.iface.state = PV_IFACE_UP;
    client = fake_client_open(&x);
    here = pv_node_self(&x.f.node)->ip4;
    here.port = 5000;
}

static void expect_said(const char *text)
{
    const char *all = fake_client_read(&x, client);
    if (!test_has(all, text))
        fail_msg("the client read: %s", all);
}

/* The next packet for the TUN. False: there is none. */
static bool take_packet(struct pv_ippkt *ret_ip)
{
    static struct pv_engine_inject inject;
    while (pv_fifo_take(&x.f.node.ways.injects, &inject) == PV_OK)
        if (inject.peer == 0 && pv_ippkt_parse(pv_view(inject.buf, inject.len), ret_ip) == PV_OK)
            return true;
    return false;
}

/* Asks for it, and waits until it is ready. */
static void begin(const char *what)
{
    fake_client_ask(&x, client, PV_STR("'cmd':'probe','what':'%s','port':5000,'peer':'bob'", what));
    assert_string_equal(fake_client_read(&x, client), "");
    fake_node_wait(&x.f, PV_PROBE_SETTLE);
    const char *said = fake_client_read(&x, client);
    const char *port = strstr(said, "\"port\":");
    assert_non_null(port);
    assert_non_null(strstr(said, "\"ip\":\"10.66.0.7\""));
    probe = (struct pv_ipprobe){.here = {.family = PV_AF_INET, .ip = {10, 66, 0, 7}},
                                .there = here,
                                .proto = strstr(what, "tcp") != NULL ? PV_IP_PROTO_TCP
                                                                     : PV_IP_PROTO_UDP};
    probe.here.port = (uint16_t)strtoul(port + strlen("\"port\":"), NULL, 10);
    assert_true(probe.here.port >= 49152);
}

/* The kernel sends this, which the packet threads take out. */
static void give(enum pv_ipprobe_kind kind)
{
    uint8_t packet[PV_IPPROBE_MAX];
    /* From this host's end, whose packets pv_ipprobe_write() writes as those of the member. */
    const struct pv_ipprobe from_here = {
        .here = probe.here, .there = probe.there, .proto = probe.proto};
    size_t len = pv_ipprobe_write(&from_here, kind, 77, packet);
    pv_probe_take(&x.f.node, pv_view(packet, len), x.f.now);
    fake_peers_settle(&x);
}

static uint8_t flags_of(const struct pv_ippkt *ip)
{
    return ip->proto == PV_IP_PROTO_TCP ? ip->l4.ptr[13] : 0;
}

PV_TEST(a_members_syn_is_answered_and_ended)
{
    struct pv_ippkt ip;
    fake_peers_member(&x, 7, "bob", 7);
    begin("in-tcp4");
    assert_true(take_packet(&ip));
    assert_int_equal(flags_of(&ip), 0x02);
    assert_memory_equal(ip.src, probe.here.ip, 4);
    assert_memory_equal(ip.dst, here.ip, 4);
    give(PV_IPPROBE_BEGIN);
    expect_said("'ok':true,'seen':'packet'");
    assert_true(take_packet(&ip));
    assert_int_equal(flags_of(&ip), 0x04); /* the kernel repeats nothing */
    assert_int_equal(x.f.part->next_timeout(x.f.self), PV_NEVER);
}

PV_TEST(a_packet_without_an_answer_is_repeated_and_given_up)
{
    struct pv_ippkt ip;
    fake_peers_member(&x, 7, "bob", 7);
    begin("in-udp4");
    assert_true(take_packet(&ip));
    assert_int_equal(ip.proto, PV_IP_PROTO_UDP);
    fake_node_wait(&x.f, PV_PROBE_AGAIN);
    assert_true(take_packet(&ip));
    fake_node_wait(&x.f, PV_PROBE_TIME);
    expect_said("'ok':true,'seen':'nothing'");
    assert_false(take_packet(&ip));
    give(PV_IPPROBE_BEGIN); /* too late */
    assert_string_equal(fake_client_read(&x, client), "");
}

PV_TEST(a_refusal_is_no_answer)
{
    fake_peers_member(&x, 7, "bob", 7);
    begin("in-tcp4");
    give(PV_IPPROBE_END);
    expect_said("'seen':'refusal'");
}

PV_TEST(a_programs_packet_is_answered_in_the_members_place)
{
    struct pv_ippkt ip;
    fake_peers_member(&x, 7, "bob", 7);
    begin("out-tcp4");
    assert_false(take_packet(&ip)); /* the program begins */
    give(PV_IPPROBE_BEGIN);
    expect_said("'seen':'packet'");
    assert_true(take_packet(&ip));
    assert_int_equal(flags_of(&ip), 0x14);
    begin("out-udp4");
    give(PV_IPPROBE_BEGIN);
    expect_said("'seen':'packet'");
    assert_true(take_packet(&ip));
    assert_int_equal(ip.proto, PV_IP_PROTO_UDP);
}

PV_TEST(a_packet_may_be_to_an_address_behind_members)
{
    fake_client_ask(&x, client, "'cmd':'probe','what':'out-udp4','port':5000,'to':'198.41.0.4'");
    fake_node_wait(&x.f, PV_PROBE_SETTLE);
    const char *said = fake_client_read(&x, client), *port = strstr(said, "\"port\":");
    assert_true(test_has(said, "'event':'ready','ip':'198.41.0.4'"));
    probe = (struct pv_ipprobe){
        .here = pv_addr4(198, 41, 0, 4, 0), .there = here, .proto = PV_IP_PROTO_UDP};
    probe.here.port = (uint16_t)strtoul(port + strlen("\"port\":"), NULL, 10);
    give(PV_IPPROBE_BEGIN);
    expect_said("'seen':'packet'");
    static const char *const none[] = {"'what':'in-udp4','to':'198.41.0.4'",
                                       "'what':'out-udp6','to':'198.41.0.4'",
                                       "'what':'out-udp4','to':'bob'"};
    for (size_t i = 0; i < PV_ARRAY_LEN(none); i++) {
        fake_client_ask(&x, client, PV_STR("'cmd':'probe','port':5000,%s", none[i]));
        expect_said("'code':1,");
    }
}

PV_TEST(one_is_under_way_at_a_time)
{
    fake_peers_member(&x, 7, "bob", 7);
    begin("in-tcp4");
    uint32_t other = fake_client_open(&x);
    fake_client_ask(&x, other, "'cmd':'probe','what':'in-tcp4','port':5001");
    assert_true(test_has(fake_client_read(&x, other), "'code':13"));
    fake_client_leave(&x, client);
    assert_int_equal(x.f.part->next_timeout(x.f.self), PV_NEVER);
    fake_client_ask(&x, other, "'cmd':'probe','what':'in-tcp4','port':5001");
    fake_node_wait(&x.f, PV_PROBE_SETTLE);
    assert_true(test_has(fake_client_read(&x, other), "'event':'ready'"));
}

PV_TEST(refuses_a_packet_that_cannot_be_tried)
{
    static const char *const none[] = {"in-tcp", "in-tcp5", "4", "in-sctp4", "in-tcp44"};
    fake_client_ask(&x, client, "'cmd':'probe','what':'in-tcp4','port':5000");
    expect_said("'code':1,"); /* nobody else is a member */
    fake_peers_member(&x, 7, "bob", 7);
    for (size_t i = 0; i < PV_ARRAY_LEN(none); i++) {
        fake_client_ask(&x, client, PV_STR("'cmd':'probe','what':'%s','port':5000", none[i]));
        expect_said("'code':2,");
    }
    fake_client_ask(&x, client, "'cmd':'probe','what':'in-tcp4','port':5000,'peer':'carol'");
    expect_said("'code':6,");
    x.f.node.iface.state = PV_IFACE_DOWN;
    fake_client_ask(&x, client, "'cmd':'probe','what':'in-tcp4','port':5000");
    expect_said("'code':1,");
    assert_int_equal(x.f.part->next_timeout(x.f.self), PV_NEVER);
}
