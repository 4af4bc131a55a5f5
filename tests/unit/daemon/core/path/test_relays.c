/* SPDX-License-Identifier: MIT */
/* The part that keeps relays ready: the coordinator's offer, channels of peers in use, and the way
 * when UDP is blocked. The server is played here. */
#include "daemon/core/nat/stunroute.h"
#include "daemon/core/nat/udpwatch.h"
#include "daemon/core/packets/fp_state.h"
#include "daemon/core/path/relays.h"
#include "proto/stun/turn.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers x;
static struct pv_stunroute route;
static struct pv_peer *bob;
static const struct pv_addr server = {.family = PV_AF_INET, .ip = {203, 0, 113, 5}, .port = 3478};
static struct pv_addr phone_port; /* that the server gives; PV_AF_NONE: it knows no phone ports */

static struct pv_addr mapped; /* where the server sees this node */

void test_before_each(void)
{
    memset(&route, 0, sizeof(route));
    mapped = pv_addr4(198, 51, 100, 1, 40000);
    phone_port = (struct pv_addr){.family = PV_AF_NONE};
    fake_peers_init(&x, &pv_part_relays);
    struct pv_node *n = &x.f.node;
    fake_node_gather(&x.f);
    n->fp = x.f.node.fp;
    n->coord_info.as_member = n->online = true;
    n->coord_info.servers[0] = server;
    n->coord_info.n_servers = 1;
    n->coord_info.addr = server;
    n->coord_info.heard_at = PV_NEVER; /* by TCP, all the time */
    /* so that what the relay sees of this node is a candidate */
    n->host.links[0] = (struct pv_link_addr){
        .ifname = "eth0", .ifindex = 2, .up = true, .addr = {pv_addr4(192, 168, 1, 20, 0), 24}};
    n->host.n_links = 1;
    pv_part_gatherer.on_facts(n->ways.gatherer, PV_FACT_INTERFACE | PV_FACT_SERVERS, x.f.now);
    memcpy(x.f.cfg.relays[0].host, "turn.example", 13);
    x.f.cfg.relays[0].port = 3478;
    x.f.cfg.relays[0].udp = true;
    x.f.cfg.n_relays = 1;
    fake_node_enter(&x.f);
    bob = fake_peers_member(&x, 7, "bob", 7);
    fake_node_start(&x.f);
    fake_peers_settle(&x);
}

void test_after_each(void)
{
    pv_peers_drop_members(x.f.node.peers, x.f.now); /* as the engine: before the parts end */
}

static const char *udp_word(void)
{
    return json_string_value(fake_node_status(&x.f)->fields[PV_STATUS_UDP]);
}

/* The coordinator's first word, with a relay or without; nothing has followed yet. */
static void push_welcome(bool has_turn)
{
    struct pv_ctl_msg msg = {.kind = PV_CTL_PUSH, .type = PV_CTL_WELCOME};
    msg.u.welcome.has_turn = has_turn;
    msg.u.welcome.turn =
        (struct pv_ctl_turn){.user = "u", .password = "p", .realm = "r", .nonce = "n0"};
    pv_part_relays.on_push(x.f.self, &msg, x.f.now);
}

static void welcome(bool has_turn)
{
    push_welcome(has_turn);
    fake_peers_settle(&x);
}

static struct pv_engine_transmit sent;

/* The next request to a server; *ret_msg borrows from sent. */
static bool next_request(struct pv_stun_msg *ret_msg)
{
    pv_part_relays.handle_timeout(x.f.self, x.f.now);
    fake_peers_settle(&x);
    if (!pv_part_relays.poll_transmit(x.f.self, &sent))
        return false;
    assert_ok(pv_stun_decode(pv_view(sent.buf, sent.len), ret_msg));
    return true;
}

/* The server agrees, by the way on which the request came. */
static void answer(const struct pv_stun_msg *req)
{
    const uint8_t *pk = x.f.node.coord_info.pk;
    const struct pv_addr relayed = pv_turn_virtual_addr(pk, x.f.identity.sign_pk);
    struct pv_carrier from = {.kind = PV_CARRIER_UDP, .remote = sent.dst};
    uint8_t buf[512], key[PV_MD5_LEN];
    struct pv_stun_writer w;
    size_t len;
    if (sent.stream != 0)
        from = (struct pv_carrier){.kind = PV_CARRIER_STREAM, .sock = sent.stream};
    assert_ok(pv_turn_key("u", "r", "p", key));
    pv_stun_write_answer(&w, buf, sizeof(buf), PV_STUN_SUCCESS, req);
    if (req->method == PV_TURN_ALLOCATE) {
        pv_stun_put_xor_addr(&w, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &relayed);
        pv_stun_put_xor_addr(&w, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped);
    }
    if (phone_port.family != PV_AF_NONE && pv_stun_has(req, PV_TURN_ATTR_PHONE_PORT))
        pv_stun_put_xor_addr(&w, PV_TURN_ATTR_PHONE_PORT, &phone_port);
    pv_stun_put_integrity(&w, pv_view(key, sizeof(key)));
    pv_stun_put_fingerprint(&w);
    assert_ok(pv_stun_write_end(&w, &len));
    assert_true(pv_part_relays.handle_stun(x.f.self, &from, pv_view(buf, len), x.f.now));
    fake_peers_settle(&x);
}

/* Every request so far is answered; how many had that method. */
static unsigned serve(uint16_t method)
{
    struct pv_stun_msg req;
    unsigned n = 0;
    while (next_request(&req)) {
        n += req.method == method ? 1 : 0;
        answer(&req);
    }
    return n;
}

/* The coordinator has a relay, and gives this node an allocation there. */
static void begin_relay(void)
{
    welcome(true);
    (void)serve(PV_TURN_ALLOCATE);
}

static const struct pv_relayway *members(void)
{
    return x.f.node.ways.relays[0];
}

PV_TEST(an_offer_becomes_an_allocation_that_everybody_hears_of)
{
    welcome(true);
    assert_true(pv_relayway_is_on(members()));
    assert_int_equal(serve(PV_TURN_ALLOCATE), 1);
    assert_true(pv_addr_equal(&sent.dst, &server));
    assert_true(pv_relayway_is_reached(members()));
    const size_t n = x.f.node.ways.n_locals;
    assert_int_equal(x.f.node.ways.locals[n - 1].type, PV_ICE_RELAY); /* it is a candidate */
    assert_string_equal(fake_node_shown(&x.f, PV_STATUS_RELAYS, 0, "name"), "coordinator");
    assert_string_equal(fake_node_shown(&x.f, PV_STATUS_RELAYS, 0, "state"), "up");
    assert_string_equal(fake_node_shown(&x.f, PV_STATUS_RELAYS, 0, "transport"), "udp");
    assert_null(fake_node_shown(&x.f, PV_STATUS_RELAYS, 1, "name"));
    assert_true(fake_node_has_metric(&x.f, "p2pvpn_relay_up{relay=\"coordinator\"} 1"));
    assert_true(fake_node_has_metric(&x.f, "p2pvpn_udp_blocked 0"));
}

/* The STUN server is asked, and answers with `mapped`. */
static void look(void)
{
    void *g = x.f.node.ways.gatherer;
    struct pv_engine_transmit tx;
    struct pv_stun_msg msg;
    struct pv_stun_writer w;
    uint8_t buf[128];
    size_t len;
    x.f.node.ways.stunroute = &route;
    x.f.now += PV_GATHERER_REFRESH;
    pv_gatherer_refresh(g, x.f.now);
    pv_part_gatherer.handle_timeout(g, x.f.now);
    assert_true(pv_part_gatherer.poll_transmit(g, &tx));
    assert_ok(pv_stun_decode(pv_view(tx.buf, tx.len), &msg));
    pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_SUCCESS, msg.method, msg.txid);
    pv_stun_put_xor_addr(&w, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped);
    assert_ok(pv_stun_write_end(&w, &len));
    const struct pv_carrier from = {.kind = PV_CARRIER_UDP, .remote = tx.dst};
    assert_true(pv_part_gatherer.handle_stun(g, &from, pv_view(buf, len), x.f.now));
    pv_part_gatherer.run(g, x.f.now);
    fake_peers_settle(&x);
}

/* That our own port may be open as well is a guess, which shall not pass for what the NAT shows. */
PV_TEST(the_allocation_moves_when_the_nat_gives_our_own_port_away)
{
    mapped.port = x.f.node.given.udp_port;
    welcome(true);
    assert_int_equal(serve(PV_TURN_ALLOCATE), 1);
    look();
    assert_int_equal(serve(PV_TURN_ALLOCATE), 0);
    mapped.port++;
    look();
    assert_int_equal(serve(PV_TURN_ALLOCATE), 1);
    look();
    assert_int_equal(serve(PV_TURN_ALLOCATE), 0);
}

PV_TEST(only_a_member_that_is_up_allocates)
{
    x.f.node.coord_info.as_member = false;
    welcome(true);
    assert_false(pv_relayway_is_on(members()));
    assert_null(fake_node_job(&x.f));
    x.f.node.coord_info.as_member = true;
    x.f.node.up = false;
    welcome(true);
    assert_false(pv_relayway_is_on(members()));
}

PV_TEST(an_offer_waits_until_a_server_is_known)
{
    x.f.node.coord_info.n_servers = 0;
    welcome(true);
    assert_false(pv_relayway_is_on(members()));
    x.f.node.coord_info.n_servers = 1;
    fake_node_raise(&x.f, PV_FACT_SERVERS);
    assert_true(pv_relayway_is_on(members()));
    /* A nonce is good once: another server waits for another offer. */
    x.f.node.coord_info.addr = x.f.node.coord_info.servers[0] = pv_addr4(192, 0, 2, 8, 3478);
    fake_node_raise(&x.f, PV_FACT_SERVERS);
    assert_true(pv_addr_equal(pv_relayway_server(members()), &server));
}

/* Its network's NAT64 leads to a server that is named by IPv4 alone; where it does not have one,
 * nothing does. */
PV_TEST(a_host_with_ipv6_alone_reaches_the_relay_by_its_nat64)
{
    const struct pv_addr by = test_addr("[64:ff9b::cb00:7105]:3478");
    struct pv_job_result found = {.addrs = {test_ip("64:ff9b::c000:aa")}, .n_addrs = 1};
    for (unsigned known = 0; known < 2; known++) {
        x.f.node.host.links[0].addr.base = test_ip("2001:db8::20");
        pv_part_gatherer.on_facts(x.f.node.ways.gatherer, PV_FACT_LINKS, x.f.now);
        struct pv_job *job = fake_node_job(&x.f);
        welcome(true);
        assert_false(pv_relayway_is_on(members())); /* the nonce would be lost on the other */
        fake_node_answer(&x.f, job, known ? &found : &(struct pv_job_result){.n_addrs = 0});
        fake_peers_settle(&x);
        pv_part_relays.on_facts(x.f.self, PV_FACT_SERVERS, x.f.now);
        assert_true(pv_addr_equal(pv_relayway_server(members()), known ? &by : &server));
        fake_node_raise(&x.f, PV_FACT_TEARDOWN);
        for (struct pv_job *other; (other = fake_node_job(&x.f)) != NULL;) /* of other servers */
            fake_node_answer(&x.f, other, &(struct pv_job_result){.n_addrs = 0});
    }
}

PV_TEST(the_server_is_the_one_that_the_control_channel_proved)
{
    const struct pv_addr a = pv_addr4(203, 0, 113, 9, 3478), b = server;
    const struct pv_addr six = {.family = PV_AF_INET6, .ip = {0x20, 1, 0xd, 0xb8}, .port = 3478};
    const struct pv_addr other = pv_addr4(192, 0, 2, 77, 443);
    const struct {
        struct pv_addr by, servers[2], want;
        const char *why;
    } rows[] = {
        {b, {a, b}, b, "the same address"},
        {other, {six, a}, a, "the same family"},
        {other, {a, b}, a, "the first of the family"},
        {{.family = PV_AF_NONE}, {six, a}, six, "the first"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        x.f.node.coord_info.addr = rows[i].by;
        memcpy(x.f.node.coord_info.servers, rows[i].servers, sizeof(rows[i].servers));
        x.f.node.coord_info.n_servers = 2;
        welcome(true);
        if (!pv_addr_equal(pv_relayway_server(members()), &rows[i].want))
            fail_msg("row %zu: %s", i, rows[i].why);
        fake_node_raise(&x.f, PV_FACT_TEARDOWN);
    }
}

PV_TEST(a_coordinator_without_a_relay_ends_the_one_that_was)
{
    begin_relay();
    welcome(false);
    assert_false(pv_relayway_is_on(members()));
}

/* --- channels --------------------------------------------------------------------------------- */

/* Bob is in that state now, and the part hears of it. */
static void bob_is(enum pv_peer_state now)
{
    pv_peer_set_state(bob, now, "a test", x.f.now);
    pv_part_relays.on_peer(x.f.self, bob, 0, x.f.now);
    fake_peers_settle(&x);
}

PV_TEST(a_peer_has_a_channel_while_it_is_in_use)
{
    const struct pv_addr want = pv_turn_virtual_addr(x.f.node.coord_info.pk, pv_peer_pk(bob));
    struct pv_carrier c;
    bob_is(PV_PEER_REACHING);
    assert_int_equal(pv_peer_channel(bob)->family, PV_AF_NONE); /* there is no relay yet */
    begin_relay();
    bob_is(PV_PEER_REACHING);
    assert_true(pv_addr_equal(pv_peer_channel(bob), &want));
    assert_int_equal(serve(PV_TURN_CHANNEL_BIND), 1);
    assert_true(pv_relayway_carrier(members(), &want, &c));
    bob_is(PV_PEER_UP);
    assert_int_equal(serve(PV_TURN_CHANNEL_BIND), 0); /* it has one */
    bob_is(PV_PEER_IDLE);
    assert_int_equal(pv_peer_channel(bob)->family, PV_AF_NONE);
    assert_int_equal(pv_relayway_number(members(), &want), 0);
}

PV_TEST(a_peer_that_goes_gives_its_channel_back)
{
    const struct pv_addr at = pv_turn_virtual_addr(x.f.node.coord_info.pk, pv_peer_pk(bob));
    begin_relay();
    bob_is(PV_PEER_UP);
    assert_int_not_equal(pv_relayway_number(members(), &at), 0);
    pv_peers_drop(x.f.node.peers, bob, x.f.now);
    assert_int_equal(pv_relayway_number(members(), &at), 0);
}

/* --- the phone port --------------------------------------------------------------------------- */

static struct pv_peer *add_phone(bool by_phone_port)
{
    struct pv_peers *ps = x.f.node.peers;
    uint8_t n = (uint8_t)pv_peers_count_statics(ps);
    struct pv_static_peer conf = {.n_allowed = 1, .phone_port = by_phone_port};
    snprintf(conf.name, sizeof(conf.name), "phone%u", n);
    memset(conf.public_key, 9 + n, sizeof(conf.public_key));
    conf.allowed[0] = (struct pv_prefix){.base = pv_addr4(10, 99, 0, n, 0), .bits = 32};
    assert_ok(pv_peers_add_static(ps, &conf, x.f.now));
    struct pv_peer *p = pv_peers_find(ps, conf.name);
    assert_non_null(p);
    return p;
}

/* An authenticated packet came in from there, by the coordinator's relay or straight. */
static void heard(struct pv_peer *p, const struct pv_addr *at, bool by_relay)
{
    struct pv_fp_punt punt = {.kind = PV_FP_PUNT_STRAY, .peer = pv_peer_id(p), .count = 100};
    punt.from = (struct pv_carrier){
        .kind = by_relay ? PV_CARRIER_CHANNEL : PV_CARRIER_UDP, .remote = *at, .relay = server};
    pv_peer_handle_punt(p, &punt, x.f.now);
    pv_peers_touch(x.f.node.peers, p, x.f.now);
    fake_peers_settle(&x);
}

static const char *shown_phone_port(void)
{
    return fake_node_shown(&x.f, PV_STATUS_RELAYS, 0, "phone_port");
}

PV_TEST(a_phone_port_is_wanted_for_a_static_peer_that_comes_by_it)
{
    phone_port = pv_addr4(192, 168, 1, 5, 50123); /* the coordinator is behind a 1:1 NAT */
    add_phone(false);
    welcome(true);
    serve(PV_TURN_ALLOCATE);
    assert_null(shown_phone_port());
    assert_false(fake_node_has_problem(&x.f, "no phone port"));
    add_phone(true);
    fake_peers_settle(&x);
    assert_int_equal(serve(PV_TURN_REFRESH), 1);
    assert_string_equal(shown_phone_port(), "203.0.113.5:50123"); /* where we reach it */
    phone_port.family = PV_AF_NONE;
    x.f.now += PV_S(301);
    serve(PV_TURN_REFRESH);
    assert_null(shown_phone_port());
    assert_true(fake_node_has_problem(&x.f, "no phone port: the relay is no p2pvpn-coordinator"));
}

PV_TEST(a_phone_beyond_the_phone_port_is_followed_by_a_channel)
{
    const struct pv_addr one = pv_addr4(198, 51, 100, 7, 40001), two = pv_addr4(198, 51, 100, 8, 1);
    const struct pv_addr member = pv_turn_virtual_addr(x.f.node.coord_info.pk, pv_peer_pk(bob));
    struct pv_peer *phone = add_phone(true);
    phone_port = pv_addr4(203, 0, 113, 5, 50123);
    welcome(true);
    serve(PV_TURN_ALLOCATE);
    heard(phone, &member, true); /* no phone port leads there */
    assert_false(pv_peer_has_path(phone));
    x.f.node.ways.phone_port.state =
        PV_TURNC_PHONE_PORT_UNKNOWN; /* as of a node that wanted none */
    heard(phone, &one, true);
    assert_int_equal(serve(PV_TURN_CHANNEL_BIND), 0);
    heard(phone, &one, true);
    assert_false(pv_peer_has_path(phone)); /* no channel yet */
    assert_int_equal(serve(PV_TURN_CHANNEL_BIND), 1);
    assert_true(pv_peer_has_path(phone));
    assert_int_equal(phone->path.kind, PV_CARRIER_CHANNEL);
    assert_true(pv_addr_equal(&phone->path.remote, &one));
    assert_int_not_equal(phone->path.channel, 0);
    heard(phone, &two, true); /* it roams */
    assert_false(pv_peer_has_path(phone));
    assert_int_equal(serve(PV_TURN_CHANNEL_BIND), 1);
    assert_true(pv_addr_equal(&phone->path.remote, &two));
    heard(phone, &one, false); /* it comes straight */
    assert_int_equal(phone->path.kind, PV_CARRIER_UDP);
    assert_int_equal(pv_peer_channel(phone)->family, PV_AF_NONE);
}

PV_TEST(a_path_by_the_phone_port_comes_back_with_the_relay)
{
    const struct pv_addr at = pv_addr4(198, 51, 100, 7, 40001);
    struct pv_peer *phone = add_phone(true);
    phone_port = pv_addr4(203, 0, 113, 5, 50123);
    welcome(true);
    serve(PV_TURN_ALLOCATE);
    heard(phone, &at, true);
    serve(PV_TURN_CHANNEL_BIND);
    pv_node_raise(&x.f.node, PV_FACT_TEARDOWN);
    fake_peers_settle(&x);
    assert_false(pv_peer_has_path(phone));
    welcome(true);
    serve(PV_TURN_ALLOCATE);
    serve(PV_TURN_CHANNEL_BIND);
    assert_true(pv_peer_has_path(phone));
    assert_true(pv_addr_equal(&phone->path.remote, &at));
}

/* Does the snapshot of the packet threads know bob's channel, and by which server? */
static bool threads_know(const struct pv_addr *by)
{
    const struct pv_addr at = pv_turn_virtual_addr(x.f.node.coord_info.pk, pv_peer_pk(bob));
    uint32_t i = (uint32_t)pv_relayway_number(members(), &at) - PV_TURN_CHANNEL_MIN;
    struct pv_fp_snapshot *snap = NULL;
    assert_ok(pv_fp_builder_snapshot(x.f.node.fp, &snap));
    const struct pv_fp_relay *relay = snap->relays[0];
    bool know = relay != NULL && pv_addr_equal(&relay->way.server, by) && i < relay->n &&
                pv_addr_equal(&relay->channels[i], &at);
    pv_fp_snapshot_free(snap);
    return know;
}

/* The same coordinator, known by its key, answers at another address: a second machine that took
 * over, or a new address of the first. */
PV_TEST(at_another_server_the_packet_threads_know_the_channels_again)
{
    const struct pv_addr moved = pv_addr4(203, 0, 113, 77, 3478);
    begin_relay();
    bob_is(PV_PEER_UP);
    (void)serve(PV_TURN_CHANNEL_BIND);
    assert_true(threads_know(&server));
    x.f.node.coord_info.addr = x.f.node.coord_info.servers[0] = moved;
    push_welcome(true);
    bob_is(PV_PEER_UP); /* touched at once, as every peer is whose relay changed */
    (void)serve(PV_TURN_ALLOCATE);
    assert_true(threads_know(&moved));
}

/* A coordinator whose key was lost with its disk: peers have other addresses at its relay. */
PV_TEST(with_another_key_at_the_same_server_channels_are_bound_anew)
{
    const struct pv_addr was = pv_turn_virtual_addr(x.f.node.coord_info.pk, pv_peer_pk(bob));
    begin_relay();
    bob_is(PV_PEER_UP);
    (void)serve(PV_TURN_CHANNEL_BIND);
    x.f.node.coord_info.pk[0] ^= 1;
    push_welcome(true);
    bob_is(PV_PEER_UP);
    (void)serve(PV_TURN_ALLOCATE);
    const struct pv_addr is = pv_turn_virtual_addr(x.f.node.coord_info.pk, pv_peer_pk(bob));
    assert_true(pv_addr_equal(pv_peer_channel(bob), &is));
    assert_int_equal(pv_relayway_number(members(), &was), 0);
    assert_true(threads_know(&server));
}

/* The coordinator gave the network to another one, and relays on. */
PV_TEST(a_network_that_is_given_away_keeps_its_channels)
{
    const struct pv_addr at = pv_turn_virtual_addr(x.f.node.coord_info.pk, pv_peer_pk(bob));
    const struct pv_addr other = pv_addr4(203, 0, 113, 77, 3478);
    struct pv_carrier c;
    begin_relay();
    bob_is(PV_PEER_UP);
    (void)serve(PV_TURN_CHANNEL_BIND);
    x.f.node.coord_info.handed_over = true;
    x.f.node.coord_info.addr = x.f.node.coord_info.servers[0] = other;
    push_welcome(true);
    assert_true(pv_relayway_carrier(members(), &at, &c));
    assert_true(pv_addr_equal(&c.relay, &server));
    assert_true(threads_know(&other));
    assert_int_equal(serve(PV_TURN_CHANNEL_BIND), 1);
    assert_true(pv_addr_equal(&sent.dst, &other));
    assert_true(threads_know(&other));
    fake_node_wait(&x.f, PV_RELAYHOLD_SEND);
    assert_true(pv_relayway_carrier(members(), &at, &c));
    assert_true(pv_addr_equal(&c.relay, &other));
}

PV_TEST(teardown_ends_allocation_and_channels)
{
    begin_relay();
    bob_is(PV_PEER_UP);
    fake_node_raise(&x.f, PV_FACT_TEARDOWN);
    assert_false(pv_relayway_is_on(members()));
    assert_int_equal(pv_peer_channel(bob)->family, PV_AF_NONE);
    assert_int_equal(json_array_size(fake_node_status(&x.f)->fields[PV_STATUS_RELAYS]), 0);
}

/* --- without UDP ------------------------------------------------------------------------------ */

PV_TEST(silence_by_udp_opens_a_stream_and_is_told)
{
    struct pv_relaystream_op op;
    struct pv_stun_msg req;
    welcome(true);
    assert_int_equal(pv_relays_poll_op(&x.f.node, &op), PV_ERR_AGAIN);
    fake_node_wait(&x.f, PV_UDPWATCH_VERDICT);
    assert_true(x.f.node.ways.udp_blocked);
    assert_int_equal(x.f.node.ways.caps & PV_DESC_CAP_NO_UDP, PV_DESC_CAP_NO_UDP);
    fake_node_show_problems(&x.f);
    assert_true(fake_node_has_metric(&x.f, "p2pvpn_udp_blocked 1"));
    assert_string_equal(udp_word(), "blocked");
    assert_ok(pv_relays_poll_op(&x.f.node, &op));
    assert_true(op.open && pv_addr_equal(&op.to.addr, &server));
    while (next_request(&req)) /* by UDP: lost */
        continue;
    pv_relays_connected(&x.f.node, op.stream, x.f.now);
    assert_int_equal(serve(PV_TURN_ALLOCATE), 1);
    assert_int_equal(sent.stream, op.stream);
    assert_string_equal(fake_node_shown(&x.f, PV_STATUS_RELAYS, 0, "transport"), "tcp");
    /* The stream breaks: the next one is not the same. */
    uint16_t first = op.stream;
    pv_relays_closed(&x.f.node, first, "reset", x.f.now);
    for (unsigned i = 0; i < 60 && pv_relays_poll_op(&x.f.node, &op) != PV_OK; i++)
        fake_node_wait(&x.f, PV_S(1));
    assert_true(op.open && op.stream != first);
}

/* A member that is reached at a public address proves that UDP gets out; one in the same network
 * does not. */
PV_TEST(closed_at_the_coordinator_is_not_blocked_here)
{
    const struct pv_addr near = pv_addr4(192, 168, 1, 9, 1), far = pv_addr4(198, 51, 100, 9, 1);
    struct pv_carrier path = {.kind = PV_CARRIER_UDP, .remote = near};
    welcome(true);
    fake_node_wait(&x.f, PV_UDPWATCH_VERDICT);
    pv_peer_use_path(bob, &path, x.f.now);
    assert_string_equal(udp_word(), "blocked");
    assert_true(fake_node_has_problem(&x.f, "UDP is blocked, "));
    path.remote = far;
    pv_peer_use_path(bob, &path, x.f.now);
    assert_string_equal(udp_word(), "blocked-there");
    fake_node_show_problems(&x.f);
    assert_false(fake_node_has_problem(&x.f, "UDP is blocked, "));
    pv_peer_use_path(bob, NULL, x.f.now);
    assert_string_equal(udp_word(), "blocked");
}

/* It counts as one that works until it is given up. */
PV_TEST(a_path_that_was_not_heard_since_proves_nothing)
{
    const struct pv_carrier path = {.kind = PV_CARRIER_UDP, .remote = pv_addr4(198, 51, 100, 9, 1)};
    pv_peer_use_path(bob, &path, x.f.now);
    x.f.now += PV_S(9);
    welcome(true);
    fake_node_wait(&x.f, PV_UDPWATCH_VERDICT);
    assert_true(pv_peer_path_works(bob));
    assert_string_equal(udp_word(), "blocked");
    assert_true(fake_node_has_problem(&x.f, "UDP is blocked, "));
}

/* The coordinator names what its operator wrote, and nobody else can see that it is wrong. */
PV_TEST(silence_by_udp_names_the_port_and_an_address_that_may_be_wrong)
{
    struct pv_coord_info *info = &x.f.node.coord_info;
    info->servers[0].port = info->addr.port = 4444;
    welcome(true);
    fake_node_wait(&x.f, PV_UDPWATCH_VERDICT);
    fake_node_show_problems(&x.f);
    assert_false(fake_node_has_problem(&x.f, "`public`"));
    info->addr = pv_addr4(198, 51, 100, 10, 4444);
    fake_node_show_problems(&x.f);
    assert_ok(pv_addr_parse("[2001:db8::1]:4444", &info->addr)); /* the other may still be right */
    assert_false(fake_node_has_problem(&x.f, "`public`"));
}

PV_TEST(a_coordinator_that_is_gone_does_not_block_udp)
{
    welcome(true);
    assert_int_equal(serve(PV_TURN_ALLOCATE), 1);
    x.f.node.coord_info.heard_at = x.f.now;
    x.f.now += PV_MS(1);
    fake_node_raise(&x.f, PV_FACT_NAT_DOUBT);
    assert_true((x.f.node.facts & PV_FACT_UDP_DOUBT) != 0); /* it is asked by TCP as well */
    for (unsigned i = 0; i < 20; i++)
        fake_node_wait(&x.f, PV_UDPWATCH_VERDICT);
    assert_false(x.f.node.ways.udp_blocked);
    x.f.node.coord_info.heard_at = PV_NEVER;
    fake_node_wait(&x.f, 2 * PV_UDPWATCH_VERDICT);
    assert_true(x.f.node.ways.udp_blocked);
}

PV_TEST(one_answer_by_udp_ends_the_verdict)
{
    welcome(true);
    fake_node_wait(&x.f, PV_UDPWATCH_VERDICT);
    assert_true(x.f.node.ways.udp_blocked);
    fake_node_raise(&x.f, PV_FACT_HEARD);
    assert_false(x.f.node.ways.udp_blocked);
    assert_int_equal(x.f.node.ways.caps & PV_DESC_CAP_NO_UDP, 0);
    assert_false(fake_node_has_problem(&x.f, "UDP is blocked"));
}

/* A laptop is closed while a verdict is pending: its network ends first, which is reason to ask. */
PV_TEST(a_night_of_sleep_is_no_verdict)
{
    welcome(true);
    x.f.now += PV_S(8 * 3600);
    fake_node_raise(&x.f, PV_FACT_RESUMED);
    fake_node_wait(&x.f, PV_UDPWATCH_VERDICT - PV_MS(100));
    assert_false(x.f.node.ways.udp_blocked);
    fake_node_wait(&x.f, PV_MS(200));
    assert_true(x.f.node.ways.udp_blocked);
}

/* The relay's own answer is as good as any. */
PV_TEST(an_answer_of_the_relay_keeps_udp_open)
{
    welcome(true);
    assert_int_equal(serve(PV_TURN_ALLOCATE), 1);
    fake_node_wait(&x.f, PV_UDPWATCH_VERDICT);
    assert_false(x.f.node.ways.udp_blocked);
}

PV_TEST(nobody_else_speaks_on_a_relays_stream)
{
    const uint8_t noise[20] = {0};
    const struct pv_carrier stream = {.kind = PV_CARRIER_STREAM, .sock = 16};
    const struct pv_carrier udp = {.kind = PV_CARRIER_UDP, .remote = server};
    assert_true(pv_part_relays.handle_stun(x.f.self, &stream, pv_view(noise, 20), x.f.now));
    assert_false(pv_part_relays.handle_stun(x.f.self, &udp, pv_view(noise, 20), x.f.now));
}

/* --- other relays ----------------------------------------------------------------------------- */

PV_TEST(relays_of_the_configuration_begin_with_the_first_welcome)
{
    struct pv_job_result result = {.status = PV_OK, .n_addrs = 1};
    struct pv_stun_msg req;
    assert_null(fake_node_job(&x.f));
    welcome(false);
    struct pv_job *job = fake_node_expect(&x.f, PV_JOB_RESOLVE);
    result.addrs[0] = pv_addr4(192, 0, 2, 9, 3478);
    const struct pv_addr at = result.addrs[0];
    fake_node_answer(&x.f, job, &result);
    assert_true(pv_relayway_is_on(x.f.node.ways.relays[1]));
    assert_string_equal(PV_RELAY_STR(&x.f.node, 1), "turn:turn.example:3478");
    assert_true(next_request(&req));
    assert_true(pv_addr_equal(&sent.dst, &at));
    fake_node_raise(&x.f, PV_FACT_TEARDOWN);
    assert_false(pv_relayway_is_on(x.f.node.ways.relays[1]));
}
