/* SPDX-License-Identifier: MIT */
/* The diagnosis of `why`: which rule speaks, and which hides which. */
#include "base/bytes.h"
#include "crypto/ct.h"
#include "daemon/core/client/cause.h"
#include "daemon/core/peer/hardnat_part.h"
#include "tests/unit/daemon/core/client/fake_client.h"
#include "tests/unit/kem_double.h"

static struct fake_peers x;
static struct pv_peer *bob;
static struct pv_cause_own own;
const struct pv_addr there = {.family = PV_AF_INET, .ip = {192, 0, 2, 7}, .port = 51820};

void test_before_each(void)
{
    fake_peers_init(&x, &pv_part_hardnat);
    fake_node_enter(&x.f);
    fake_node_start(&x.f);
    bob = fake_peers_member(&x, 7, "bob", 7);
    own = (struct pv_cause_own){.coord_error = "", .iface_error = "", .overlap = ""};
    x.f.node.online = true;
    x.f.node.ways.n_locals = 1;
    x.f.node.ways.locals[0] =
        (struct pv_ice_cand){.type = PV_ICE_HOST, .addr = pv_addr4(10, 0, 0, 2, 1)};
    pv_peer_set_presence(bob, PV_PRESENCE_ONLINE, 1, x.f.now);
}

static struct pv_cause find(void)
{
    struct pv_cause c;
    pv_cause_find(&x.f.node, &own, bob, x.f.now, &c);
    return c;
}

static void show_cause(void)
{
    const struct pv_cause c = find();
    assert_non_null(c.code);
    assert_shows(c.code, PV_STR("%s\nto do: %s", c.text, c.todo));
}

PV_TEST(a_fault_here_hides_all_else)
{
    pv_peer_set_presence(bob, PV_PRESENCE_OFFLINE, 0, x.f.now);
    show_cause();
    assert_string_equal(find().code, "peer_offline");
    x.f.node.ways.n_locals = 0;
    show_cause();
    x.f.node.host.plan.overlaps[0] =
        (struct pv_netplan_overlap){.used = test_prefix("10.66.0.0/16"),
                                    .other.ifname = "eth0",
                                    .table = 220,
                                    .rule = 220,
                                    .own = 254};
    x.f.node.host.plan.n_overlaps = 1;
    show_cause();
    assert_shows("todo", find().todo);
    own.overlap = test_given("10.66.0.5/16 on lan0 this");
    own.overlap_net = (struct pv_prefix){.base = pv_addr4(10, 66, 0, 0, 0), .bits = 16};
    show_cause();
    own.iface_error = "no such device";
    show_cause();
    x.f.node.up = false;
    show_cause();
    x.f.node.removed = true;
    show_cause();
}

PV_TEST(the_remedy_for_an_interface_is_that_of_its_error)
{
    const char *const remedies[][2] = {
        {test_given("set up pv0 there no ip program"), "install iproute2"},
        {test_given("make interface pv0 use stop"), test_given("stop program that has it or")},
        {test_given("set up pv0 ip says RTNETLINK"), "mend that"},
        {"make interface pv0: out of memory", "mend that"},
        {"pv0 failed", "mend that"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(remedies); i++) {
        own.iface_error = remedies[i][0];
        const struct pv_cause c = find();
        assert_string_equal(c.code, "own_interface");
        assert_memory_equal(c.todo, remedies[i][1], strlen(remedies[i][1]));
    }
}

PV_TEST(that_the_coordinator_lets_this_machine_in_no_more_hides_all_but_a_path)
{
    x.f.node.online = false;
    x.f.node.coord_info.standing = PV_COORD_DENIED;
    const struct pv_cause c = find();
    assert_string_equal(c.code, "own_removed");
    assert_shows("text", c.text);
    assert_shows("todo", c.todo);
    fake_peers_path(&x, bob, &there);
    show_cause();
}

PV_TEST(a_leave_that_was_said_elsewhere_hides_that_the_coordinator_is_away)
{
    x.f.node.online = false;
    x.f.node.coord_info.standing = PV_COORD_RESIGNED;
    show_cause();
    assert_has(find().todo, "`sudo p2pvpnctl join TOKEN`");
}

PV_TEST(an_overlap_elsewhere_in_the_range_is_no_cause)
{
    own.overlap = test_given("10.66.9.1/24 on lan0 this");
    own.overlap_net = (struct pv_prefix){.base = pv_addr4(10, 66, 9, 0, 0), .bits = 24};
    show_cause();
}

PV_TEST(a_peer_that_nobody_wanted_has_no_path)
{
    const struct pv_cause c = find();
    assert_string_equal(c.text, "nobody has asked for a path to bob yet");
    assert_string_equal(c.todo, "`p2pvpnctl ping bob`");
}

PV_TEST(without_the_coordinator_nobody_can_be_asked)
{
    x.f.node.online = false;
    show_cause();
    own.coord_error = "no route";
    show_cause();
}

/* Its last words are the remedy. */
PV_TEST(why_there_is_no_coordinator_is_repeated_whole)
{
    static const char name[] = "a23456789-b23456789-c23456789-d23456789-e23456789-f23456789-g23";
    char error[PV_COORD_WHY_MAX + 1];
    memset(error, 'x', sizeof(error) - 1);
    error[sizeof(error) - 1] = '\0';
    bob = fake_peers_member(&x, 8, name, 8);
    x.f.node.online = false;
    own.coord_error = error;
    show_cause();
}

PV_TEST(a_direct_path_is_well_whatever_the_coordinator_knows)
{
    fake_peers_path(&x, bob, &there);
    x.f.node.online = false;
    const struct pv_cause c = find();
    assert_string_equal(c.text, "nothing is wrong: packets go directly");
    assert_string_equal(c.todo, "");
}

/* The peer's connection to the coordinator broke, and nothing else. */
PV_TEST(a_peer_that_a_path_reaches_is_not_off)
{
    fake_peers_path(&x, bob, &there);
    pv_peer_set_presence(bob, PV_PRESENCE_OFFLINE, 0, x.f.now);
    assert_string_equal(find().code, "direct_well");
}

PV_TEST(a_peer_that_does_not_answer_descriptions_is_asleep)
{
    struct pv_desc desc;
    pv_peer_want(bob, "test", x.f.now);
    x.f.node.common->signalling = true;
    for (unsigned i = 0; i < 100 && pv_peer_descx(bob)->sends < 3; i++) {
        x.f.now += PV_MS(100);
        if (pv_peer_take_desc(bob, x.f.now, &desc))
            pv_wipe(&desc, sizeof(desc)); /* it is lost on the way */
    }
    show_cause();
}

/* After the time that the remedy names there is another cause. remedy: wait_for_checks */
PV_TEST(a_wait_for_a_way_has_an_end)
{
    pv_peer_want(bob, "test", x.f.now);
    x.f.now += PV_S(20);
    assert_has(find().todo, "wait 11 s, then ask again");
    x.f.now += PV_S(10);
    show_cause();
    assert_string_equal(find().code, "not_found");
    assert_has(find().todo, "look at the firewalls of both sides");
    fake_peers_path(&x, bob, &there);
    show_cause();
    pv_peer_use_path(bob, NULL, x.f.now);
    show_cause();
}

PV_TEST(a_member_that_is_being_reached_is_given_time)
{
    pv_peer_want(bob, "test", x.f.now);
    show_cause();
    assert_has(find().todo, "wait 31 s, then ask again");
    x.f.node.ways.udp_blocked = true;
    show_cause();
    x.f.node.coord_info.servers[0] = pv_addr4(203, 0, 113, 9, 4444);
    x.f.node.coord_info.n_servers = 1;
    x.f.node.coord_info.addr = pv_addr4(198, 51, 100, 10, 4444);
    const struct pv_cause blocked = find();
    assert_shows("blocked todo", blocked.todo);
    struct pv_peer *eve = fake_peers_member(&x, 8, "eve", 8);
    fake_peers_path(&x, eve, &there);
    show_cause();
}

PV_TEST(a_static_peer_needs_something_to_send)
{
    const struct pv_static_peer conf = {.name = "phone", .public_key = {9}};
    assert_ok(pv_peers_add_static(x.f.node.peers, &conf, x.f.now));
    bob = pv_peers_find(x.f.node.peers, "phone");
    assert_non_null(bob);
    show_cause();
    fake_peers_path(&x, bob, &there);
    show_cause();
}

/* Their public addresses and what they say of themselves come in their descriptions. */
static void bob_says(unsigned rev, unsigned caps)
{
    struct pv_desc d = {.gen = 1, .rev = rev, .caps = caps, .n_cands = 1};
    snprintf(d.creds.ufrag, sizeof(d.creds.ufrag), "abcdEF12");
    snprintf(d.creds.pwd, sizeof(d.creds.pwd), "0123456789+/ABCDEFGHabcd");
    d.cands[0] =
        (struct pv_ice_cand){.type = PV_ICE_HOST, .addr = pv_addr4(10, 0, 9, 2, 5), .priority = 1};
    pv_peer_handle_desc(bob, &d, x.f.now);
}

PV_TEST(a_peer_without_udp_is_told_by_its_description)
{
    x.f.node.ways.locals[x.f.node.ways.n_locals++] =
        (struct pv_ice_cand){.type = PV_ICE_SRFLX, .addr = pv_addr4(198, 51, 100, 1, 5)};
    pv_peer_want(bob, "test", x.f.now);
    bob_says(1, 0);
    show_cause();
    bob_says(2, PV_DESC_CAP_NO_UDP);
    show_cause();
}

/* The IPv4 address is that of its network's NAT64. */
PV_TEST(a_machine_with_ipv6_alone_has_it_alone_behind_a_nat64)
{
    static const uint8_t six[PV_IP6_LEN] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7};
    x.f.node.ways.locals[0].addr = pv_addr6(six, 1);
    x.f.node.ways.locals[x.f.node.ways.n_locals++] =
        (struct pv_ice_cand){.type = PV_ICE_SRFLX, .addr = pv_addr4(198, 51, 100, 1, 5)};
    pv_peer_want(bob, "test", x.f.now);
    bob_says(1, 0);
    show_cause();
    x.f.node.ways.nat64 = test_prefix("64:ff9b::/96");
    show_cause(); /* no longer that */
}

/* A handshake with bob, as he begins one: the keys have no preshared key in them. */
static void bob_shakes_hands(void)
{
    static const uint8_t sk[PV_DH_LEN] = {8};
    const struct pv_carrier from = {.kind = PV_CARRIER_UDP, .remote = there};
    struct pv_wg_device dev;
    struct pv_session *theirs;
    struct pv_session_transmit tx;
    struct pv_wg_initiation in;
    pv_wg_device_init(&dev, sk);
    memcpy(bob->transport, dev.keys.pk, sizeof(bob->transport));
    struct pv_session_config cfg = {
        .device = &dev, .member = true, .takes = {true, true}, .rng = x.f.node.rng};
    memcpy(cfg.remote_pk, x.device.keys.pk, sizeof(cfg.remote_pk));
    assert_ok(pv_session_new(&theirs, &cfg));
    pv_session_set_reach(theirs, PV_SESSION_BY_UDP, x.f.now);
    pv_session_want(theirs, x.f.now);
    assert_ok(pv_session_poll_transmit(theirs, 77, x.f.node.wall.us, x.f.now, &tx));
    assert_ok(pv_wgmsg_identify(&x.device, pv_view(tx.msg, tx.len), &in));
    assert_ok(pv_peer_handle_initiation(bob, &in, &from, x.f.now));
    pv_peer_settle(bob, x.f.now);
    assert_int_equal(bob->talk->n_out, 1);
    const struct pv_fp_punt proven = {.kind = PV_FP_PUNT_KEYS_CONFIRMED,
                                      .from = from,
                                      .index = pv_load_le32(bob->talk->out[0].msg + 4)};
    pv_peer_handle_punt(bob, &proven, x.f.now);
    pv_peer_settle(bob, x.f.now);
    pv_session_free(theirs);
}

PV_TEST(packets_that_wait_for_a_preshared_key_have_a_cause)
{
    fake_peers_path(&x, bob, &there);
    bob_shakes_hands();
    show_cause();
    x.f.node.given.pq = PV_PQ_REQUIRE;
    x.f.node.given.kem_why = "there is none";
    show_cause();
    x.f.node.given.kem = &kem_double;
    show_cause();
    bob_says(1, PV_DESC_CAP_PQ);
    show_cause();
    const pv_ns then = x.f.now;
    x.f.now += PV_S(31); /* the wait has an end. remedy: pq_wait */
    show_cause();
    x.f.now = then;

    x.f.node.given.pq = PV_PQ_ON;
    pv_peer_pq_settle(bob, x.f.now);
    show_cause(); /* the exchange has its time */
    x.f.now += PV_PEER_PQ_GRACE - 1;
    pv_peer_pq_settle(bob, x.f.now);
    assert_int_equal(pv_peer_pq(bob, x.f.now).state, PV_PEER_PQ_EXCHANGE);
    x.f.now += 1;
    assert_true(pv_peer_next_timeout(bob) <= x.f.now);
    pv_peer_pq_settle(bob, x.f.now);
    show_cause();
    assert_string_equal(find().code, "pq_withheld");

    /* A full disk here explains as much. */
    x.f.node.store.failed = true;
    x.f.node.common->gen.own = false;
    show_cause();
    x.f.node.common->gen.own = true;
    assert_string_equal(find().code, "pq_withheld");
}

PV_TEST(a_phone_is_reached_by_its_gateway)
{
    struct pv_peer *nas = fake_peers_member(&x, 9, "nas", 9);
    pv_peer_set_presence(bob, PV_PRESENCE_OFFLINE, 0, x.f.now);
    pv_peer_set_by(bob, pv_peer_id(nas));
    show_cause();
    pv_peer_set_presence(nas, PV_PRESENCE_ONLINE, 1, x.f.now);
    show_cause();
    pv_peer_set_presence(bob, PV_PRESENCE_ONLINE, 1, x.f.now);
    show_cause();
    pv_peer_set_presence(bob, PV_PRESENCE_OFFLINE, 2, x.f.now);
    pv_peer_set_by(bob, 77); /* the peer of before, which is gone */
    show_cause();
}

/* Carol's machine is gone. To start bob's would help nothing. */
PV_TEST(a_phone_of_a_member_that_is_gone_is_made_anew)
{
    struct pv_statement st = {.type = PV_ST_ROUTE};
    st.u.route = (struct pv_st_route){.slot = {.number = 0, .seq = 1},
                                      .kind = PV_ROUTE_ALLOW,
                                      .prefix = {.base = pv_addr4(10, 66, 0, 7, 0), .bits = 32},
                                      .time = T0};
    memcpy(st.u.route.node, keys_of(30).pk, PV_SIGN_PK_LEN);
    fake_node_add(&x.f, make_statement(&x.f.world, &st, &x.f.world.creator));
    pv_peer_set_presence(bob, PV_PRESENCE_OFFLINE, 0, x.f.now);
    const struct pv_cause c = find();
    assert_string_equal(c.code, "phone_lost");
    assert_shows("text", c.text);
    assert_shows("todo", c.todo);
}

/* It has no [peer] in any configuration. */
PV_TEST(a_phone_of_this_node_has_to_call)
{
    const struct keys k = keys_of(7);
    assert_ok(pv_peers_set_phone(x.f.node.peers, pv_roster_by_node(x.f.node.roster, k.pk), true,
                                 x.f.now));
    bob = pv_peers_by_pk(x.f.node.peers, k.pk);
    show_cause();
}
