/* SPDX-License-Identifier: MIT */
/* Part "phones": who carries whom by the roster's word, and what `export` makes, or refuses. */
#include "daemon/core/admin/admin.h"
#include "daemon/core/admin/ending.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/packets/fp_state.h"
#include "daemon/core/route/phoneends.h"
#include "daemon/core/route/phones.h"
#include "daemon/core/route/phonetest.h"
#include "proto/ip/gatewayat.h"
#include "proto/local/ctlapi.h"
#include "tests/unit/daemon/core/client/fake_client.h"

enum {
    BOB = 7, /* seeds of the keys */
    CAROL = 8,
    PHONE = 9,
};

static struct fake_peers x;
static struct pv_peer *bob;
static uint32_t client;
static bool is_admin;
static uint8_t refused_type; /* statements of this type are refused; 0: none */
static uint16_t slot;
/* The test of the phone port: how many began, and what it shows; PV_PORT_NONE: it is under way. */
static unsigned tests;
static enum pv_port_verdict shows;

/* --- what stands in for other parts ----------------------------------------------------------- */

size_t pv_membership_add(struct pv_node *n, const struct pv_ctl_item *items, size_t n_items,
                         pv_ns now)
{
    struct pv_statement st;
    size_t refused = 0;
    for (size_t i = 0; i < n_items; i++) {
        assert_ok(pv_statement_decode(items[i].statement, &st));
        refused += st.type == refused_type ? 1 : fake_node_take(n, &items[i], 1);
    }
    pv_node_raise(n, PV_FACT_STATEMENTS);
    for (const struct pv_member *m = NULL; (m = pv_roster_next(n->roster, m)) != NULL;) {
        if (memcmp(m->node, n->identity->sign_pk, sizeof(m->node)) != 0)
            assert_ok(pv_peers_add_member(n->peers, m, now));
    }
    return refused;
}

bool pv_admin_may_sign(struct pv_node *n, const char *what, uint8_t rights, uint64_t handle)
{
    assert_int_equal(rights, PV_RIGHT_INVITE | PV_RIGHT_REVOKE);
    if (!is_admin)
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_REFUSED, "%s: no admin", what);
    return is_admin;
}

void pv_admin_answer_when_told(struct pv_node *n, uint64_t handle, pv_ns now)
{
    fail();
}

void pv_admin_answer_with(struct pv_node *n, uint64_t handle, const struct pv_ctlapi_told *told,
                          pv_ns now)
{
    fail();
}

int pv_ending_invite_of(struct pv_node *n, const struct pv_member *m, bool keep,
                        struct pv_ctlapi_told *told, pv_ns now)
{
    return PV_ERR_STATE;
}

int pv_ending_revoke(struct pv_node *n, struct pv_signer by, enum pv_st_revoked_kind kind,
                     const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now)
{
    return PV_ERR_STATE;
}

void pv_phonetest_begin(struct pv_node *n, pv_ns max_age, pv_ns now)
{
    assert_int_equal(n->ways.phone_port.state, PV_TURNC_PHONE_PORT_OPEN);
    tests++;
}

bool pv_phonetest_is_over(const struct pv_node *n)
{
    return shows != PV_PORT_NONE;
}

enum pv_port_verdict pv_phonetest_verdict(const struct pv_node *n)
{
    return shows == PV_PORT_NONE ? PV_PORT_UNTESTED : shows;
}

/* --- the scene -------------------------------------------------------------------------------- */

static int begin(bool willing)
{
    is_admin = true;
    refused_type = 0;
    slot = 0;
    tests = 0;
    shows = PV_PORT_PASSED;
    fake_peers_init(&x, &pv_part_phones);
    x.f.cfg.dns = PV_DNS_MEMBERS;
    x.f.cfg.phones = willing;
    fake_node_enter(&x.f);
    bob = fake_peers_member(&x, BOB, "bob", 7);
    (void)fake_peers_member(&x, CAROL, "carol", 8);
    fake_node_gather(&x.f);
    fake_node_start(&x.f);
    client = fake_client_open(&x);
    fake_peers_settle(&x);
    return 0;
}

static int start(void **state)
{
    (void)state;
    return begin(false);
}

static int start_willing(void **state)
{
    (void)state;
    return begin(true);
}

PV_TEST_WORLD(start, NULL);

static void told(struct item it)
{
    fake_node_add(&x.f, it);
    fake_peers_settle(&x);
}

/* This admin says that the node carries 10.66.0.ip. Returns the slot. */
static uint16_t carry_by(const struct keys *admin, const uint8_t *node, uint8_t ip)
{
    struct pv_statement st = {.type = PV_ST_ROUTE};
    st.u.route = (struct pv_st_route){.slot = {.number = slot, .seq = 1},
                                      .kind = PV_ROUTE_ALLOW,
                                      .prefix = {.base = pv_addr4(10, 66, 0, ip, 0), .bits = 32},
                                      .time = T0};
    memcpy(st.u.route.node, node, PV_SIGN_PK_LEN);
    told(make_statement(&x.f.world, &st, admin));
    return slot++;
}

/* Alice, this node, is an admin. */
static uint16_t carry(const uint8_t *node, uint8_t ip)
{
    return carry_by(&x.f.world.creator, node, ip);
}

static struct pv_peer *peer_of(const char *name)
{
    return pv_peers_find(x.f.node.peers, name);
}

/* The peer by which packets to this address go; NULL: none. */
static const struct pv_peer *way_to(const char *ip)
{
    struct pv_fp_snapshot *snap;
    struct pv_addr a = test_ip(ip);
    assert_ok(pv_fp_builder_snapshot(x.f.node.fp, &snap));
    const struct pv_fp_peer *p = pv_fp_snapshot_way(snap, pv_fp_snapshot_route(snap, 4, a.ip));
    uint32_t id = p == NULL ? 0 : p->id;
    pv_fp_snapshot_free(snap);
    return id == 0 ? NULL : pv_peers_by_id(x.f.node.peers, id);
}

static const char *ask(const char *fields)
{
    fake_client_ask(&x, client, fields);
    return fake_client_read(&x, client);
}

static void show_answer(const char *answer)
{
    assert_shows("", answer);
}

/* This machine has 198.51.100.1 itself, and no server saw it elsewhere. */
static void be_public(void)
{
    x.f.node.ways.locals[0] =
        (struct pv_ice_cand){.type = PV_ICE_HOST, .addr = pv_addr4(198, 51, 100, 1, 51820)};
    x.f.node.ways.n_locals = 1;
}

PV_TEST(a_phone_is_reached_by_its_gateway)
{
    (void)fake_peers_member(&x, PHONE, "phone", 9);
    fake_peers_settle(&x);
    assert_ptr_equal(way_to("10.66.0.9"), peer_of("phone"));
    uint16_t number = carry(keys_of(BOB).pk, 9);
    assert_ptr_equal(way_to("10.66.0.9"), bob);
    assert_false(pv_peer_is_static(peer_of("phone")));
    assert_false(pv_phones_are_here(&x.f.node));
    /* Its gateway comes back as another peer. */
    pv_peers_drop(x.f.node.peers, bob, x.f.now);
    fake_peers_settle(&x);
    assert_null(way_to("10.66.0.9"));
    const struct pv_member *m = pv_roster_by_name(x.f.node.roster, "bob");
    assert_ok(pv_peers_add_member(x.f.node.peers, m, x.f.now));
    fake_peers_settle(&x);
    assert_ptr_equal(way_to("10.66.0.9"), peer_of("bob"));
    told(make_route(&x.f.world, &x.f.world.creator, number, 2, NULL, 0));
    assert_ptr_equal(way_to("10.66.0.9"), peer_of("phone"));
}

PV_TEST(a_phone_of_this_node_speaks_plain_wireguard_with_it)
{
    (void)fake_peers_member(&x, PHONE, "phone", 9);
    uint16_t number = carry(x.f.identity.sign_pk, 9);
    const struct pv_peer *p = peer_of("phone");
    assert_true(pv_peer_is_static(p) && pv_peer_is_phone(p) && pv_peer_is_member(p));
    assert_non_null(pv_peer_session(p));
    assert_int_equal(pv_peers_count_phones(x.f.node.peers), 1);
    assert_true(pv_phones_are_here(&x.f.node));
    assert_ptr_equal(way_to("10.66.0.9"), p);
    assert_ptr_equal(pv_peers_by_transport(x.f.node.peers, pv_peer_transport(p), x.f.now), p);
    uint32_t id = pv_peer_id(p);
    fake_node_raise(&x.f, PV_FACT_STATEMENTS); /* nothing new: its session goes on */
    fake_peers_settle(&x);
    assert_int_equal(pv_peer_id(peer_of("phone")), id);
    told(make_route(&x.f.world, &x.f.world.creator, number, 2, NULL, 0));
    assert_false(pv_peer_is_static(peer_of("phone")));
    assert_int_equal(pv_peers_count_phones(x.f.node.peers), 0);
    assert_false(pv_phones_are_here(&x.f.node));
}

/* An admin removes a phone of this node; the membership drops its peer, by the roster's event. */
static void remove_phone(unsigned seed)
{
    fake_node_add(&x.f, make_revocation(&x.f.world, &x.f.world.creator, PV_REVOKE_NODE,
                                        keys_of(seed).pk, NULL, 0));
    struct pv_peer *p = pv_peers_by_pk(x.f.node.peers, keys_of(seed).pk);
    pv_peers_drop(x.f.node.peers, p, x.f.now);
    fake_peers_settle(&x);
}

PV_TEST(a_phone_that_is_removed_is_gone)
{
    (void)fake_peers_member(&x, PHONE, "phone", 9);
    (void)carry(x.f.identity.sign_pk, 9);
    remove_phone(PHONE);
    assert_null(way_to("10.66.0.9"));
    assert_false(pv_phones_are_here(&x.f.node));
    assert_int_equal(pv_peers_count_phones(x.f.node.peers), 0);
}

PV_TEST(a_phone_of_a_member_that_is_gone_is_removed_and_made_anew)
{
    (void)fake_peers_member(&x, PHONE, "phone", 9);
    (void)carry(keys_of(BOB).pk, 9);
    fake_node_add(&x.f, make_revocation(&x.f.world, &x.f.world.root, PV_REVOKE_NODE,
                                        keys_of(BOB).pk, NULL, 0));
    be_public();
    show_answer(ask("'cmd':'export','name':'phone'"));
}

PV_TEST(no_more_phones_are_taken_than_there_is_room_for)
{
    for (uint8_t i = 0; i <= PV_FP_MAX_PHONES; i++) {
        (void)fake_peers_member(&x, 20u + i, PV_STR("phone%u", i), (uint16_t)(20 + i));
        (void)carry(x.f.identity.sign_pk, (uint8_t)(20 + i));
    }
    assert_int_equal(pv_peers_count_phones(x.f.node.peers), PV_FP_MAX_PHONES);
    show_answer(fake_node_status(&x.f)->problems[0]);
    be_public();
    show_answer(ask("'cmd':'export','name':'tablet'"));
    remove_phone(20); /* remedy: export_elsewhere */
    assert_false(fake_node_has_problem(&x.f, "no more than 16 phones"));
}

/* Dave, who is an admin too, has let phone in, and wants this node to carry it. */
static void carry_for_dave(void)
{
    const struct keys dave = keys_of(40), phone = keys_of(PHONE);
    fake_node_add(
        &x.f, make_admin(&x.f.world, &x.f.world.root, &dave, PV_RIGHT_INVITE | PV_RIGHT_REVOKE));
    fake_node_add(&x.f, make_member(&x.f.world, &dave, &phone, "phone", 9));
    const struct pv_member *m = pv_roster_by_node(x.f.node.roster, phone.pk);
    assert_non_null(m);
    assert_ok(pv_peers_add_member(x.f.node.peers, m, x.f.now));
    (void)carry_by(&dave, x.f.identity.sign_pk, 9);
}

/* An admin's word alone has no member forward for strangers. */
PV_TEST(phones_of_another_admin_are_not_taken_unasked)
{
    carry_for_dave();
    assert_false(pv_phones_are_here(&x.f.node));
    assert_false(pv_peer_is_phone(peer_of("phone")));
    fake_node_show_problems(&x.f);
    (void)fake_peers_member(&x, 41, "tablet", 10); /* its own */
    (void)carry(x.f.identity.sign_pk, 10);
    assert_true(pv_peer_is_phone(peer_of("tablet")));
}

PV_TEST_IN(phones_of_another_admin_are_taken_where_the_user_agreed, start_willing, NULL)
{
    carry_for_dave();
    assert_true(pv_peer_is_phone(peer_of("phone")));
    assert_false(fake_node_has_problem(&x.f, "another admin"));
}

PV_TEST(a_node_without_rights_carries_none)
{
    x.f.node.given.inside = 4;
    (void)fake_peers_member(&x, PHONE, "phone", 9);
    (void)carry(x.f.identity.sign_pk, 9);
    assert_false(pv_peer_is_static(peer_of("phone")));
    show_answer(fake_node_status(&x.f)->problems[0]);
    be_public();
    show_answer(ask("'cmd':'export','name':'tablet'"));
    remove_phone(PHONE); /* remedy: export_by_root */
    assert_false(fake_node_has_problem(&x.f, "have no gateway"));
}

/* --- export ----------------------------------------------------------------------------------- */

PV_TEST(export_makes_a_phone_and_its_file)
{
    be_public();
    const char *said = ask("'cmd':'export','name':'Phone'");
    const struct pv_peer *p = peer_of("phone");
    assert_non_null(p);
    assert_true(pv_peer_is_phone(p));
    show_answer(said);
    char key[PV_WG_KEY_TEXT_BUF];
    show_answer(said);
    /* The app's key is the phone's transport key, and ours the one of the file's peer. */
    const char *at = strstr(said, "\"private_key\":\"") + strlen("\"private_key\":\"");
    uint8_t sk[PV_DH_LEN], pk[PV_DH_LEN];
    snprintf(key, sizeof(key), "%.*s", PV_WG_KEY_TEXT_BUF - 1, at);
    assert_ok(pv_wgkey_parse(key, sk));
    pv_dh_public(sk, pk);
    assert_memory_equal(pk, pv_peer_transport(p), sizeof(pk));
}

PV_TEST(export_takes_another_member_and_endpoint)
{
    const char *said = ask(test_given("export phone peer bob endpoint"));
    show_answer(said);
    const struct pv_peer *p = peer_of("phone");
    assert_false(pv_peer_is_phone(p));
    assert_int_equal(pv_peer_by(p), pv_peer_id(bob));
    show_answer(ask(test_given("export own peer alice endpoint")));
    show_answer(ask(test_given("export tablet peer phone")));
    show_answer(ask(test_given("export phone endpoint")));
}

PV_TEST(export_says_what_is_wrong_and_makes_nothing)
{
    const char *const cases[] = {
        "\"name\":\"bob\"",
        "\"name\":\"home\"",
        "\"name\":\"phone\",\"peer\":\"nobody\"",
        "\"name\":\"phone\",\"endpoint\":\"here\"",
        test_given("phone endpoint tls"),
        test_given("phone endpoint"),
        test_given("phone endpoint 2"),
        test_given("phone endpoint 3"),
        test_given("phone endpoint fe80"),
        test_given("phone endpoint 4"),
        "\"name\":\"phone\",\"everything\":true",
        "\"name\":\"phone\"",
    };
    size_t members = pv_roster_count(x.f.node.roster);
    for (size_t i = 0; i < PV_ARRAY_LEN(cases); i++) {
        char fields[200];
        snprintf(fields, sizeof(fields), "\"cmd\":\"export\",%s", cases[i]);
        show_answer(ask(fields));
    }
    is_admin = false;
    be_public();
    show_answer(ask("'cmd':'export','name':'phone'"));
    assert_int_equal(pv_roster_count(x.f.node.roster), members);
}

/* Nothing is left that holds its name or address. */
PV_TEST(an_export_of_which_half_is_refused_makes_no_phone)
{
    static const uint8_t types[] = {PV_ST_ROUTE, PV_ST_MEMBER};
    be_public();
    for (size_t i = 0; i < PV_ARRAY_LEN(types); i++) {
        refused_type = types[i];
        show_answer(ask("'cmd':'export','name':'phone'"));
        assert_null(pv_roster_by_name(x.f.node.roster, "phone"));
        assert_null(peer_of("phone"));
    }
    refused_type = 0;
    show_answer(ask("'cmd':'export','name':'phone'"));
}

/* Behind a NAT only a port that the router maps lets strangers in. */
PV_TEST(the_endpoint_is_one_that_strangers_reach)
{
    be_public();
    x.f.node.ways.locals[1] = (struct pv_ice_cand){
        .type = PV_ICE_SRFLX, .addr = pv_addr4(203, 0, 113, 9, 1000), .base = 0};
    x.f.node.ways.n_locals = 2;
    show_answer(ask("'cmd':'export','name':'phone'"));
    x.f.node.ways.portmapped[0] = pv_addr4(203, 0, 113, 9, 51820);
    show_answer(ask("'cmd':'export','name':'phone'"));
}

/* --- by the phone port ------------------------------------------------------------------------ */

static void open_phone_port(void)
{
    x.f.node.ways.phone_port = (struct pv_turnc_phone_port){.state = PV_TURNC_PHONE_PORT_OPEN,
                                                            .addr = pv_addr4(203, 0, 113, 5, 50123),
                                                            .port_lo = 50000,
                                                            .port_hi = 50999};
    pv_node_raise(&x.f.node, PV_FACT_PHONE_PORT);
}

PV_TEST(an_export_waits_for_the_phone_port_and_names_it)
{
    x.f.node.online = true;
    assert_string_equal(ask("'cmd':'export','name':'phone'"), "");
    assert_true(x.f.node.ways.wants_phone_port);
    show_answer(ask("'cmd':'export','name':'tablet'")); /* one waits */
    open_phone_port();
    fake_peers_settle(&x);
    show_answer(fake_client_read(&x, client));
    fake_peers_settle(&x);
    assert_true(x.f.node.ways.wants_phone_port); /* for as long as there is a phone */
    assert_false(fake_node_has_problem(&x.f, "the phone port is elsewhere"));
    x.f.node.ways.phone_port.addr.port++;
    fake_node_raise(&x.f, PV_FACT_PHONE_PORT);
    fake_peers_settle(&x);
    assert_false(fake_node_has_problem(&x.f, "(phone)")); /* it may come back in a moment */
    x.f.now += PV_PHONEENDS_LOST;
    fake_node_show_problems(&x.f);
    x.f.node.ways.phone_port.state =
        PV_TURNC_PHONE_PORT_UNKNOWN; /* another coordinator is being asked */
    fake_node_raise(&x.f, PV_FACT_PHONE_PORT);
    fake_peers_settle(&x);
    assert_false(fake_node_has_problem(&x.f, "(phone)"));
    x.f.node.ways.phone_port =
        (struct pv_turnc_phone_port){.state = PV_TURNC_PHONE_PORT_REFUSED, .error = 403};
    fake_node_raise(&x.f, PV_FACT_PHONE_PORT);
    fake_peers_settle(&x);
    x.f.now += PV_PHONEENDS_LOST;
    assert_true(fake_node_has_problem(&x.f, "(phone): this machine has no public address"));
    assert_true(x.f.node.ways.wants_phone_port); /* for when it is opened again */
}

/* Those whose port is at the router's address are named when that is another one. */
PV_TEST(files_with_a_former_address_are_named)
{
    be_public();
    (void)ask("'cmd':'export','name':'phone'");
    (void)ask(test_given("export byhand endpoint"));
    x.f.node.ways.locals[0].addr.ip[3] = 2;
    (void)ask("'cmd':'export','name':'tablet'");
    fake_node_raise(&x.f, PV_FACT_CANDIDATES);
    fake_peers_settle(&x);
    x.f.now += PV_PHONEENDS_LOST;
    fake_node_show_problems(&x.f);
    /* It is known after a restart, too, and no more of one that is removed. */
    struct pv_phoneends e, f;
    uint8_t buf[PV_PHONEENDS_BYTES];
    const struct pv_addr at = pv_addr4(192, 0, 2, 1, 1);
    memset(&e, 0, sizeof(e));
    assert_ok(pv_phoneends_note(&e, keys_of(BOB).pk, &at, true, true, x.f.now));
    assert_int_equal(pv_phoneends_note(&e, keys_of(BOB).pk, &at, true, true, x.f.now),
                     PV_ERR_EXISTS);
    const struct pv_view kept = pv_phoneends_pack(&e, buf);
    for (size_t n = 0; n < kept.len; n++) {
        pv_phoneends_restore(&f, pv_view(buf, n), x.f.now);
        assert_int_equal(f.n, 0);
    }
    pv_phoneends_restore(&f, kept, x.f.now);
    assert_true(f.n == 1 && pv_phoneends_want_phone_port(&f, &x.f.node) &&
                pv_addr_equal(&f.list[0].at, &at));
}

/* Lets the phone in; *ret_key: its app's. */
static void let_phone_in(struct pv_wg_device *ret_key)
{
    static const char field[] = "\"private_key\":\"";
    const char *said = strstr(ask("'cmd':'export','name':'phone'"), field);
    char text[PV_WG_KEY_TEXT_BUF] = "";
    uint8_t sk[PV_DH_LEN];
    assert_non_null(said);
    memcpy(text, said + sizeof(field) - 1, sizeof(text) - 1);
    assert_ok(pv_wgkey_parse(text, sk));
    pv_wg_device_init(ret_key, test_keep_key(sk));
    fake_peers_settle(&x);
}

/* A moment later the phone's app begins a session by that way. */
static void phone_comes(const struct pv_wg_device *key, enum pv_carrier_kind kind)
{
    const struct pv_carrier by = {.kind = kind, .remote = pv_addr4(192, 0, 2, 77, 7777)};
    x.f.now += PV_S(1);
    x.f.node.wall.us += PV_S(1) / 1000;
    fake_far_begin(&x, key, peer_of("phone"), &by);
    fake_peers_settle(&x);
}

static void ways_changed(void)
{
    fake_node_raise(&x.f, PV_FACT_CANDIDATES | PV_FACT_PHONE_PORT);
    fake_peers_settle(&x);
    x.f.now += PV_PHONEENDS_LOST;
}

/* Where no address leads here any more, the phone port is what the user is told to type. */
PV_TEST(a_phone_port_is_opened_for_files_with_a_former_address)
{
    struct pv_wg_device key;
    be_public();
    let_phone_in(&key);
    assert_false(x.f.node.ways.wants_phone_port);
    x.f.node.ways.n_locals = 0;
    ways_changed();
    assert_true(x.f.node.ways.wants_phone_port);
    assert_true(fake_node_has_problem(&x.f, "the coordinator opens no phone port"));
    open_phone_port();
    ways_changed();
    assert_true(x.f.node.ways.wants_phone_port);
    fake_node_show_problems(&x.f);
    phone_comes(&key, PV_CARRIER_CHANNEL); /* its user did */
    assert_false(fake_node_has_problem(&x.f, "(phone)"));
    be_public();
    ways_changed();
    assert_true(x.f.node.ways.wants_phone_port); /* its file names it now */
    x.f.node.ways.phone_port.addr.port++;
    ways_changed();
    fake_node_show_problems(&x.f);
    phone_comes(&key, PV_CARRIER_UDP);
    assert_false(fake_node_has_problem(&x.f, "(phone)"));
    assert_false(x.f.node.ways.wants_phone_port);
}

/* A better address than a phone port is there: none is opened. */
PV_TEST(an_app_shows_that_it_was_corrected)
{
    struct pv_wg_device key;
    be_public();
    let_phone_in(&key);
    x.f.node.ways.locals[0].addr.ip[3] = 2;
    phone_comes(&key, PV_CARRIER_UDP); /* before anybody knows of the other address */
    ways_changed();
    fake_node_show_problems(&x.f);
    assert_false(x.f.node.ways.wants_phone_port);
    phone_comes(&key, PV_CARRIER_UDP);
    assert_false(fake_node_has_problem(&x.f, "(phone)"));
    x.f.node.ways.locals[0].addr.ip[3] = 3; /* that one is its address now */
    ways_changed();
    fake_node_show_problems(&x.f);
    x.f.node.ways.n_locals = 0; /* a port that was forwarded by hand */
    phone_comes(&key, PV_CARRIER_UDP);
    ways_changed();
    assert_false(fake_node_has_problem(&x.f, "(phone)"));
    assert_false(x.f.node.ways.wants_phone_port);
}

/* A router's firewall lets nothing in to it as a rule, and no server sees that. */
PV_TEST(a_public_ipv6_address_comes_after_the_phone_port)
{
    be_public();
    x.f.node.ways.locals[0].addr = test_addr("[2001:db8::7]:51820");
    x.f.node.online = true;
    assert_string_equal(ask("'cmd':'export','name':'phone'"), "");
    open_phone_port();
    fake_peers_settle(&x);
    show_answer(fake_client_read(&x, client));
    x.f.node.ways.phone_port =
        (struct pv_turnc_phone_port){.state = PV_TURNC_PHONE_PORT_REFUSED, .error = 403};
    show_answer(ask("'cmd':'export','name':'tablet'"));
}

/* --- the test of the phone port --------------------------------------------------------------- */

/* The phone port is open already, as for another phone. */
static void have_port(enum pv_port_verdict verdict)
{
    x.f.node.online = true;
    open_phone_port();
    fake_peers_settle(&x);
    shows = verdict;
}

PV_TEST(a_phone_port_that_failed_its_test_is_in_no_file)
{
    have_port(PV_PORT_FAILED);
    show_answer(ask("'cmd':'export','name':'phone'"));
    assert_null(peer_of("phone"));
    fake_peers_settle(&x);
    assert_false(x.f.node.ways.wants_phone_port);
    open_phone_port();
    x.f.node.ways.phone_port.port_lo = x.f.node.ways.phone_port.port_hi = 50123;
    show_answer(ask("'cmd':'export','name':'phone'"));
    shows = PV_PORT_PASSED; /* its operator did so */
    show_answer(ask("'cmd':'export','name':'phone'"));
    assert_int_equal(tests, 3);
}

PV_TEST(an_export_waits_for_the_test_and_tells_what_it_showed)
{
    have_port(PV_PORT_NONE);
    assert_string_equal(ask("'cmd':'export','name':'phone'"), "");
    assert_true(x.f.node.ways.wants_phone_port);
    show_answer(ask("'cmd':'export','name':'tablet'"));
    assert_int_equal(tests, 1);
    shows = PV_PORT_UNTESTED;
    fake_peers_settle(&x);
    const char *said = fake_client_read(&x, client);
    show_answer(said);
    assert_non_null(peer_of("phone"));
    shows = PV_PORT_NONE; /* a test that does not end */
    assert_string_equal(ask("'cmd':'export','name':'tablet'"), "");
    x.f.now += PV_S(10);
    fake_peers_settle(&x);
    show_answer(fake_client_read(&x, client));
}

PV_TEST(an_export_waits_for_the_port_and_for_its_test)
{
    x.f.node.online = true;
    shows = PV_PORT_NONE;
    assert_string_equal(ask("'cmd':'export','name':'phone'"), "");
    assert_int_equal(tests, 0);
    open_phone_port();
    fake_peers_settle(&x);
    assert_string_equal(fake_client_read(&x, client), "");
    assert_int_equal(tests, 1);
    fake_client_leave(&x, client);
    fake_peers_settle(&x);
    assert_false(x.f.node.ways.wants_phone_port);
    shows = PV_PORT_PASSED;
    fake_peers_settle(&x);
    assert_null(peer_of("phone"));
}

static void show_export(const char *name, const char *endpoint, const char *more)
{
    show_answer(ask(PV_STR("'cmd':'export','name':'%s','endpoint':'%s'%s", name, endpoint, more)));
}

/* Only a phone port can be tested: other members send to the coordinator alone. */
PV_TEST(a_named_endpoint_is_tested_if_it_is_the_phone_port)
{
    have_port(PV_PORT_FAILED);
    show_export("one", "192.0.2.9:9", "");
    show_export("two", "203.0.113.5:50124", "");
    /* This node's port is none of bob's. */
    show_export("three", "203.0.113.5:50123", ",'peer':'bob'");
    assert_int_equal(tests, 0);
    show_export("four", "203.0.113.5:50123", "");
    assert_int_equal(tests, 1);
    shows = PV_PORT_PASSED;
    show_export("four", "203.0.113.5:50123", "");
    fake_peers_settle(&x);
    assert_true(x.f.node.ways.wants_phone_port); /* its file names the port */
}

/* --- by another member ------------------------------------------------------------------------ */

/* The one message about phones that was sent, or none. */
static bool sent(struct pv_gatewayat *ret)
{
    struct pv_view body;
    if (!fake_peers_told(&x, NULL, PV_INBAND_GATEWAY, &body))
        return false;
    assert_ok(pv_gatewayat_parse(body, ret));
    assert_false(fake_peers_told(&x, NULL, PV_INBAND_GATEWAY, &body));
    return true;
}

static void come(struct pv_peer *from, const struct pv_gatewayat *c)
{
    uint8_t buf[PV_GATEWAYAT_MAX];
    size_t len;
    pv_gatewayat_build(c, buf, &len);
    assert_int_equal(pv_part_phones.inband[0].type, PV_INBAND_GATEWAY);
    pv_part_phones.inband[0].take(x.f.self, from, pv_view(buf, len), x.f.now);
    fake_peers_settle(&x);
}

static struct fake_far nas;

static void meet_nas(void)
{
    const struct pv_addr at = pv_addr4(192, 0, 2, 7, 4711);
    struct pv_gatewayat c;
    fake_far_init(&x, &nas, 41, "nas", 41);
    fake_far_talk(&x, &nas, &at);
    (void)sent(&c);
}

PV_TEST(a_member_that_is_to_carry_says_where_it_is_reached)
{
    struct pv_gatewayat c, told = {.names = true, .at = pv_addr4(203, 0, 113, 7, 50007)};
    meet_nas();
    assert_string_equal(ask("'cmd':'export','name':'phone','peer':'nas'"), "");
    assert_true(sent(&c) && c.asks);
    assert_false(x.f.node.ways.wants_phone_port);
    show_answer(ask("'cmd':'export','name':'tablet','peer':'nas'"));
    memcpy(told.phone, c.phone, sizeof(told.phone));
    come(bob, &told); /* nobody asked bob */
    told.phone[0]++;
    come(nas.peer, &told); /* of another phone */
    told.phone[0]--;
    assert_string_equal(fake_client_read(&x, client), "");
    x.f.now += PV_S(1);
    pv_part_phones.handle_timeout(x.f.self, x.f.now);
    assert_true(sent(&c) && c.asks); /* the answer may have been lost */
    assert_memory_equal(c.phone, told.phone, sizeof(c.phone));
    come(nas.peer, &told);
    const char *said = fake_client_read(&x, client);
    show_answer(said);
    assert_memory_equal(pv_peer_pk(peer_of("phone")), c.phone, sizeof(c.phone));
    x.f.now += PV_S(1);
    pv_part_phones.handle_timeout(x.f.self, x.f.now);
    assert_false(sent(&c));
}

PV_TEST(a_member_that_carries_none_says_why)
{
    static const struct {
        enum pv_gatewayat_why why;
    } cases[] = {
        {PV_GATEWAYAT_UNASKED}, {PV_GATEWAYAT_UNABLE}, {PV_GATEWAYAT_FULL},
        {PV_GATEWAYAT_CLOSED},  {PV_GATEWAYAT_LATER},
    };
    meet_nas();
    for (size_t i = 0; i < PV_ARRAY_LEN(cases); i++) {
        struct pv_gatewayat c, told = {.why = cases[i].why};
        (void)ask("'cmd':'export','name':'phone','peer':'nas'");
        assert_true(sent(&c));
        memcpy(told.phone, c.phone, sizeof(told.phone));
        come(nas.peer, &told);
        show_answer(fake_client_read(&x, client));
    }
    (void)ask("'cmd':'export','name':'phone','peer':'bob'"); /* who is away */
    x.f.now += PV_S(15);
    fake_peers_settle(&x);
    show_answer(fake_client_read(&x, client));
    assert_null(peer_of("phone"));
}

static void say_no(enum pv_gatewayat_why why)
{
    struct pv_gatewayat c, told = {.why = why};
    (void)ask("'cmd':'export','name':'phone','peer':'nas'");
    assert_true(sent(&c));
    memcpy(told.phone, c.phone, sizeof(told.phone));
    come(nas.peer, &told);
}

/* remedy: gateway_of_root, other_gateway */
PV_TEST(another_member_carries_what_one_cannot)
{
    static const enum pv_gatewayat_why whys[] = {PV_GATEWAYAT_UNABLE, PV_GATEWAYAT_FULL};
    const struct pv_addr at = pv_addr4(192, 0, 2, 8, 4711);
    struct fake_far box;
    struct pv_gatewayat c, told = {.names = true, .at = pv_addr4(203, 0, 113, 8, 50008)};
    meet_nas();
    fake_far_init(&x, &box, 42, "box", 42);
    fake_far_talk(&x, &box, &at);
    (void)sent(&c);
    for (size_t i = 0; i < PV_ARRAY_LEN(whys); i++) {
        const char *name = PV_STR("phone%zu", i);
        say_no(whys[i]);
        assert_has(fake_client_read(&x, client), whys[i] == PV_GATEWAYAT_FULL
                                                     ? "name another member"
                                                     : "name a member whose p2pvpnd root starts");
        assert_string_equal(ask(PV_STR("'cmd':'export','name':'%s','peer':'box'", name)), "");
        assert_true(sent(&c) && c.asks);
        memcpy(told.phone, c.phone, sizeof(told.phone));
        come(box.peer, &told);
        assert_has(fake_client_read(&x, client), "203.0.113.8:50008");
        assert_non_null(peer_of(name));
    }
}

PV_TEST(a_gateway_that_is_away_is_named_with_its_endpoint)
{
    (void)ask("'cmd':'export','name':'phone','peer':'bob'");
    x.f.now += PV_S(15);
    fake_peers_settle(&x);
    assert_has(fake_client_read(&x, client), "--endpoint ADDRESS:PORT");
    assert_null(peer_of("phone"));
    (void)ask(test_given("export phone peer bob endpoint")); /* remedy: name_endpoint */
    assert_int_equal(pv_peer_by(peer_of("phone")), pv_peer_id(bob));
}

PV_TEST(where_udp_is_blocked_a_member_elsewhere_carries_the_phone)
{
    struct pv_gatewayat c, told = {.names = true, .at = pv_addr4(203, 0, 113, 7, 50007)};
    meet_nas();
    x.f.node.ways.udp_blocked = true;
    assert_has(ask("'cmd':'export','name':'phone'"), "use a member in another network");
    (void)ask("'cmd':'export','name':'phone','peer':'nas'"); /* remedy: other_network */
    assert_true(sent(&c) && c.asks);
    memcpy(told.phone, c.phone, sizeof(told.phone));
    come(nas.peer, &told);
    assert_has(fake_client_read(&x, client), "203.0.113.7:50007");
    assert_non_null(peer_of("phone"));
}

/* Nas, who is an admin, asks this node. */
static bool nas_asks(struct pv_gatewayat *ret)
{
    const struct pv_gatewayat c = {.asks = true, .phone = {1, 2, 3}};
    come(nas.peer, &c);
    return sent(ret);
}

static void make_nas_admin(void)
{
    const struct keys k = keys_of(41);
    meet_nas();
    told(make_admin(&x.f.world, &x.f.world.root, &k, PV_RIGHT_INVITE | PV_RIGHT_REVOKE));
}

PV_TEST_IN(an_admin_is_told_where_this_node_is_reached, start_willing, NULL)
{
    struct pv_gatewayat c;
    meet_nas();
    be_public();
    assert_false(nas_asks(&c)); /* it is no admin */
    const struct keys k = keys_of(41);
    told(make_admin(&x.f.world, &x.f.world.root, &k, PV_RIGHT_INVITE | PV_RIGHT_REVOKE));
    (void)sent(&c);
    const struct pv_addr open = pv_addr4(198, 51, 100, 1, 51820);
    assert_true(nas_asks(&c) && !c.asks && c.why == PV_GATEWAYAT_HERE && c.names);
    assert_true(pv_addr_equal(&c.at, &open) && c.phone[2] == 3);
    assert_false(x.f.node.ways.wants_phone_port);
    x.f.node.ways.n_locals = 0;
    assert_true(nas_asks(&c) && c.why == PV_GATEWAYAT_CLOSED);
}

PV_TEST_IN(a_phone_port_is_opened_for_another_admins_file, start_willing, NULL)
{
    struct pv_gatewayat c;
    make_nas_admin();
    x.f.node.online = true;
    assert_false(nas_asks(&c)); /* the coordinator is asked first */
    assert_true(x.f.node.ways.wants_phone_port);
    open_phone_port();
    fake_peers_settle(&x);
    assert_true(nas_asks(&c) && pv_addr_equal(&c.at, &x.f.node.ways.phone_port.addr));
    x.f.now += PV_S(20);
    pv_part_phones.handle_timeout(x.f.self, x.f.now);
    assert_true(x.f.node.ways.wants_phone_port); /* the statements are under way */
    assert_true(pv_part_phones.next_timeout(x.f.self) <= x.f.now + PV_PHONEENDS_COMING);
    x.f.now += PV_PHONEENDS_COMING;
    pv_part_phones.handle_timeout(x.f.self, x.f.now);
    assert_false(x.f.node.ways.wants_phone_port); /* they did not come */
    assert_int_equal(pv_part_phones.next_timeout(x.f.self), PV_NEVER);
}

/* The gateway tests its port before it names it: the admin's node asks again meanwhile. */
PV_TEST_IN(an_admin_hears_what_the_test_showed, start_willing, NULL)
{
    struct pv_gatewayat c;
    make_nas_admin();
    have_port(PV_PORT_NONE);
    assert_false(nas_asks(&c));
    assert_int_equal(tests, 1);
    assert_true(x.f.node.ways.wants_phone_port);
    shows = PV_PORT_FAILED;
    assert_true(nas_asks(&c) && c.why == PV_GATEWAYAT_HERE && c.verdict == PV_PORT_FAILED);
    assert_true(c.port_lo == 50000 && c.port_hi == 50999);
    x.f.now += PV_S(15);
    pv_part_phones.handle_timeout(x.f.self, x.f.now);
    assert_false(x.f.node.ways.wants_phone_port); /* no file names it */
    shows = PV_PORT_UNTESTED;
    assert_true(nas_asks(&c) && c.verdict == PV_PORT_UNTESTED);
    be_public();
    assert_true(nas_asks(&c) && c.verdict == PV_PORT_NONE);
}

PV_TEST(another_gateways_port_that_failed_is_in_no_file)
{
    struct pv_gatewayat c, told = {.at = pv_addr4(203, 0, 113, 7, 50007),
                                   .verdict = PV_PORT_FAILED,
                                   .port_lo = 50000,
                                   .port_hi = 50999};
    meet_nas();
    for (unsigned i = 0; i < 2; i++) {
        (void)ask("'cmd':'export','name':'phone','peer':'nas'");
        assert_true(sent(&c) && c.asks);
        memcpy(told.phone, c.phone, sizeof(told.phone));
        told.verdict = i == 0 ? PV_PORT_FAILED : PV_PORT_PASSED;
        come(nas.peer, &told);
        show_answer(fake_client_read(&x, client));
    }
}

/* A phone of this node finds a place, however much other admins have asked; they get a few. */
PV_TEST_IN(questions_of_admins_take_a_few_places, start_willing, NULL)
{
    struct pv_gatewayat c = {.why = PV_GATEWAYAT_HERE};
    make_nas_admin();
    x.f.node.online = true;
    open_phone_port();
    fake_peers_settle(&x);
    for (uint8_t i = 0; i <= PV_PHONEENDS_COME; i++) {
        const struct pv_gatewayat q = {.asks = true, .phone = {9, i}};
        assert_int_equal(c.why, PV_GATEWAYAT_HERE);
        come(nas.peer, &q);
        assert_true(sent(&c));
    }
    assert_int_equal(c.why, PV_GATEWAYAT_FULL);
    show_answer(ask("'cmd':'export','name':'phone'"));
    fake_peers_settle(&x);
    x.f.now += PV_PHONEENDS_COMING;
    pv_part_phones.handle_timeout(x.f.self, x.f.now);
    assert_true(x.f.node.ways.wants_phone_port);
    assert_true(nas_asks(&c) && c.why == PV_GATEWAYAT_HERE); /* the others are late */
}

/* Else another admin could have the phone port closed that its file names. */
PV_TEST_IN(questions_change_nothing_of_a_phone_that_is_here, start_willing, NULL)
{
    struct pv_gatewayat c, q = {.asks = true};
    make_nas_admin();
    x.f.node.online = true;
    (void)ask("'cmd':'export','name':'phone'");
    open_phone_port();
    fake_peers_settle(&x);
    show_answer(fake_client_read(&x, client));
    be_public();
    memcpy(q.phone, pv_peer_pk(peer_of("phone")), sizeof(q.phone));
    come(nas.peer, &q);
    (void)sent(&c);
    ways_changed();
    assert_true(x.f.node.ways.wants_phone_port);
}

/* As where the coordinator's relay is off, or nobody reaches it. */
PV_TEST_IN(an_admin_is_told_that_no_phone_port_is_opened, start_willing, NULL)
{
    struct pv_gatewayat c;
    make_nas_admin();
    x.f.node.online = true;
    for (pv_ns end = x.f.now + PV_S(5); x.f.now < end; x.f.now += PV_S(1))
        assert_false(nas_asks(&c));
    assert_true(nas_asks(&c) && c.why == PV_GATEWAYAT_CLOSED);
    x.f.now += PV_S(15);
    pv_part_phones.handle_timeout(x.f.self, x.f.now);
    assert_false(x.f.node.ways.wants_phone_port);
    assert_false(nas_asks(&c)); /* the coordinator is asked anew */
}

/* The gateway slept while they spread. */
PV_TEST_IN(statements_may_come_late, start_willing, NULL)
{
    struct pv_gatewayat c, q = {.asks = true};
    make_nas_admin();
    x.f.node.online = true;
    open_phone_port();
    fake_peers_settle(&x);
    memcpy(q.phone, keys_of(PHONE).pk, sizeof(q.phone));
    come(nas.peer, &q);
    assert_true(sent(&c) && c.why == PV_GATEWAYAT_HERE);
    x.f.now += PV_PHONEENDS_COMING;
    pv_part_phones.handle_timeout(x.f.self, x.f.now);
    assert_false(x.f.node.ways.wants_phone_port);
    carry_for_dave();
    assert_true(pv_peer_is_phone(peer_of("phone")));
    assert_true(x.f.node.ways.wants_phone_port); /* its file names one */
}

/* As where this node has left it. */
PV_TEST_IN(nothing_is_due_for_ever_without_a_network, start_willing, NULL)
{
    struct pv_roster *r = x.f.node.roster;
    struct pv_gatewayat c;
    make_nas_admin();
    be_public();
    assert_true(nas_asks(&c) && c.why == PV_GATEWAYAT_HERE);
    x.f.node.roster = NULL; /* as pv_membership_leave() */
    fake_node_raise(&x.f, PV_FACT_NETWORK | PV_FACT_ROSTER);
    fake_peers_settle(&x);
    x.f.now += PV_PHONEENDS_COMING;
    pv_part_phones.handle_timeout(x.f.self, x.f.now);
    assert_int_equal(pv_part_phones.next_timeout(x.f.self), PV_NEVER);
    x.f.node.roster = r;
}

PV_TEST(an_admin_is_told_that_the_user_did_not_agree)
{
    struct pv_gatewayat c;
    make_nas_admin();
    be_public();
    assert_true(nas_asks(&c) && c.why == PV_GATEWAYAT_UNASKED);
}

PV_TEST(a_client_that_goes_away_leaves_no_phone)
{
    x.f.node.online = true;
    assert_string_equal(ask("'cmd':'export','name':'phone'"), "");
    fake_client_leave(&x, client);
    fake_peers_settle(&x);
    assert_false(x.f.node.ways.wants_phone_port);
    open_phone_port();
    fake_peers_settle(&x);
    assert_null(peer_of("phone"));
}

PV_TEST(an_export_waits_no_longer_than_the_coordinator_takes)
{
    x.f.node.online = true;
    assert_string_equal(ask("'cmd':'export','name':'phone'"), "");
    x.f.now += PV_S(4);
    pv_part_phones.handle_timeout(x.f.self, x.f.now);
    fake_peers_settle(&x);
    assert_string_equal(fake_client_read(&x, client), "");
    x.f.now += PV_S(1);
    assert_true(pv_part_phones.next_timeout(x.f.self) <= x.f.now);
    fake_peers_settle(&x);
    show_answer(fake_client_read(&x, client));
    assert_false(x.f.node.ways.wants_phone_port);
    x.f.node.ways.phone_port =
        (struct pv_turnc_phone_port){.state = PV_TURNC_PHONE_PORT_REFUSED, .error = 403};
    show_answer(ask("'cmd':'export','name':'phone'"));
    assert_null(peer_of("phone"));
}
