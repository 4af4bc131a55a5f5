/* SPDX-License-Identifier: MIT */
/* The table of peers: finding, walking, facts, what leaves, and static peers' endpoints. */
#include "daemon/core/packets/fp_state.h"
#include "daemon/core/peer/peer_int.h"
#include "daemon/core/peer/pqx.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"
#include "tests/unit/kem_double.h"

static struct fake_peers x;

static int start(void **state)
{
    fake_peers_init(&x, &pv_part_peers);
    fake_node_enter(&x.f);
    fake_node_start(&x.f);
    return 0;
}

static struct pv_peers *table(void)
{
    return x.f.node.peers;
}

static struct pv_peer *add_static(const char *name, const char *host)
{
    struct pv_static_peer conf = {.endpoint_port = 51820, .n_allowed = 1};
    uint8_t sk[32];
    snprintf(conf.name, sizeof(conf.name), "%s", name);
    snprintf(conf.endpoint_host, sizeof(conf.endpoint_host), "%s", host);
    pv_dh_keypair(&x.f.node.rng, sk, conf.public_key);
    uint8_t net = (uint8_t)pv_peers_count_statics(table());
    conf.allowed[0] = (struct pv_prefix){.base = pv_addr4(192, 168, net, 0, 0), .bits = 24};
    assert_ok(pv_peers_add_static(table(), &conf, x.f.now));
    return pv_peers_find(table(), name);
}

PV_TEST_IN(a_peer_is_found_by_all_that_names_it, start, NULL)
{
    struct pv_peer *bob = fake_peers_member(&x, 1, "bob", 2);
    struct pv_peer *carol = fake_peers_member(&x, 2, "carol", 3);
    struct pv_peer *printer = add_static("printer", "");
    char ip[PV_ADDR_TEXT];
    assert_ptr_equal(pv_peers_by_id(table(), pv_peer_id(bob)), bob);
    assert_null(pv_peers_by_id(table(), pv_peer_id(bob) + PV_FP_MAX_PEERS));
    assert_ptr_equal(pv_peers_by_pk(table(), pv_peer_pk(carol)), carol);
    assert_ptr_equal(pv_peers_by_transport(table(), pv_peer_transport(printer), 0), printer);
    assert_ptr_equal(pv_peers_find(table(), "bob"), bob);
    assert_ptr_equal(pv_peers_find(table(), "bob.home"), bob);
    assert_ptr_equal(pv_peers_find(table(), "bob.home.p2p"), bob);
    static const char *const bobs[] = {"BOB",       "bob.",          "Bob.Home",
                                       "bob.home.", "bob.home.p2p.", "BOB.HOME.P2P."};
    for (size_t i = 0; i < PV_ARRAY_LEN(bobs); i++)
        assert_ptr_equal(pv_peers_find(table(), bobs[i]), bob);
    assert_ptr_equal(
        pv_peers_find(table(), PV_STR("[%s]", pv_addr_format_ip(pv_peer_ip6(bob), ip))), bob);
    assert_null(pv_peers_find(table(), "bob.."));
    assert_null(pv_peers_find(table(), "bob.home.p2p.p2p"));
    assert_null(pv_peers_find(table(), "bob.work"));
    assert_null(pv_peers_find(table(), "bob.home.org"));
    assert_ptr_equal(pv_peers_find(table(), "10.66.0.3"), carol);
    assert_ptr_equal(pv_peers_find(table(), "printer"), printer);
    assert_ptr_equal(pv_peers_find(table(), "Printer"), printer);
    /* This node is a member, and no peer of itself. */
    static const char *const own[] = {"alice", "ALICE", "alice.home.p2p."};
    for (size_t i = 0; i < PV_ARRAY_LEN(own); i++) {
        assert_true(pv_node_is_self(&x.f.node, own[i]));
        assert_null(pv_peers_find(table(), own[i]));
    }
    assert_false(pv_node_is_self(&x.f.node, "bob"));
    assert_false(pv_node_is_self(&x.f.node, ""));
    assert_null(pv_peers_find(table(), "dave"));
    assert_ptr_equal(pv_peers_next_static(table(), NULL), printer);
    assert_null(pv_peers_next_static(table(), printer));
    assert_int_equal(pv_peers_count_members(table()), 2);
    size_t n = 0;
    for (struct pv_peer *p = NULL; (p = pv_peers_next(table(), p)) != NULL; n++)
        assert_ptr_equal(pv_peers_by_id(table(), pv_peer_id(p)), p);
    assert_int_equal(n, 3);
}

/* Whom packets to this address go to, and whom they may come from; NULL: nobody. */
static struct pv_peer *owner_of(const char *ip)
{
    struct pv_fp_snapshot *snap;
    const struct pv_addr a = test_ip(ip);
    assert_ok(pv_fp_builder_snapshot(x.f.node.fp, &snap));
    const struct pv_fp_peer *p = pv_fp_snapshot_route(snap, 4, a.ip);
    struct pv_peer *owner = p == NULL ? NULL : pv_peers_by_id(table(), p->id);
    pv_fp_snapshot_free(snap);
    return owner;
}

static struct pv_peer *add_sharer(const char *name, const char *shared, uint8_t net)
{
    struct pv_static_peer conf = {.n_allowed = 2};
    uint8_t sk[32];
    snprintf(conf.name, sizeof(conf.name), "%s", name);
    pv_dh_keypair(&x.f.node.rng, sk, conf.public_key);
    conf.allowed[0] = test_prefix(shared);
    conf.allowed[1] = (struct pv_prefix){.base = pv_addr4(192, 168, net, 0, 0), .bits = 24};
    assert_ok(pv_peers_add_static(table(), &conf, x.f.now));
    return pv_peers_find(table(), name);
}

/* A line of a file takes no member away, and the member's user did not write it. */
PV_TEST_IN(a_member_keeps_its_address_from_a_static_peer, start, NULL)
{
    static const char problem[] = "[peer printer] allowed-ips: 10.66.0.9 is the address of member "
                                  "bob, which keeps it: take it out there";
    struct pv_peer *printer = add_sharer("printer", "10.66.0.9/32", 7);
    assert_ptr_equal(owner_of("10.66.0.9"), printer);
    struct pv_peer *bob = fake_peers_member(&x, 1, "bob", 9);
    assert_ptr_equal(pv_peers_find(table(), "bob"), bob);
    assert_ptr_equal(owner_of("10.66.0.9"), bob);
    assert_ptr_equal(owner_of("192.168.7.1"), printer);
    assert_true(fake_node_has_problem(&x.f, problem));
    /* The other way round: the member is there first. */
    struct pv_peer *carol = fake_peers_member(&x, 2, "carol", 10);
    struct pv_peer *scanner = add_sharer("scanner", "10.66.0.10/32", 8);
    assert_ptr_equal(owner_of("10.66.0.10"), carol);
    assert_ptr_equal(owner_of("192.168.8.1"), scanner);
    /* One that leaves has it no more. */
    const struct keys k = keys_of(1);
    pv_peers_drop(table(), bob, x.f.now);
    fake_node_add(&x.f, make_leave(&x.f.world, &k, 1));
    fake_node_settle(&x.f);
    assert_ptr_equal(owner_of("10.66.0.9"), printer);
    assert_ptr_equal(owner_of("10.66.0.10"), carol);
    assert_false(fake_node_has_problem(&x.f, "[peer printer]"));
}

/* Commands silently meant another machine from then on. */
PV_TEST_IN(a_name_that_a_member_and_a_static_peer_have_is_a_problem, start, NULL)
{
    (void)add_sharer("phone", "10.66.0.99/32", 7);
    struct pv_peer *bob = fake_peers_member(&x, 1, "bob", 9);
    const struct keys k = keys_of(1);
    assert_false(fake_node_has_problem(&x.f, "[peer phone]"));
    fake_node_add(&x.f, make_place(&x.f.world, &k, &k, "phone", 9, 1));
    assert_ptr_equal(pv_peers_find(table(), "phone"), bob);
    fake_node_show_problems(&x.f);
    fake_node_add(&x.f, make_place(&x.f.world, &k, &k, "bert", 9, 2));
    assert_false(fake_node_has_problem(&x.f, "[peer phone]"));
}

/* A member made its key so that it begins as that of a machine that has gone: it gets nothing that
 * is meant for that one, nor is it taken for it. */
PV_TEST_IN(a_short_key_names_nobody_when_a_former_machine_has_it_too, start, NULL)
{
    const struct keys gone = keys_of(952), ground = keys_of(1133);
    char text[PV_KEY_TEXT_BUF], longer[PV_KEY_TEXT_BUF];
    bool several;
    assert_memory_equal(gone.pk, ground.pk, 3);
    const char *brief = PV_KEY_SHORT_STR(pv_key_format(ground.pk, text));
    snprintf(longer, sizeof(longer), "key:%.8s", text);
    struct pv_peer *kid = fake_peers_member(&x, 952, "kid", 2);
    assert_ptr_equal(pv_peers_find(table(), brief), kid);
    assert_null(pv_node_former_member(&x.f.node, brief));
    pv_peers_drop(table(), kid, x.f.now);
    fake_node_add(&x.f, make_leave(&x.f.world, &gone, 1));
    assert_null(pv_peers_find(table(), brief));
    assert_memory_equal(pv_node_former_member(&x.f.node, brief)->node, gone.pk, 32);
    struct pv_peer *evil = fake_peers_member(&x, 1133, "evil", 3);
    assert_null(pv_peers_find(table(), brief));
    assert_null(pv_node_former_member(&x.f.node, brief));
    assert_null(pv_node_by_short(&x.f.node, brief, &several));
    assert_true(several);
    assert_ptr_equal(pv_peers_find(table(), longer), evil);
    snprintf(longer, sizeof(longer), "key:%.8s", pv_key_format(gone.pk, text));
    assert_null(pv_peers_find(table(), longer));
    assert_memory_equal(pv_node_former_member(&x.f.node, longer)->node, gone.pk, 32);
}

/* A former bob, then one that joined by that name and is called robert now; one that wants the name
 * of that, which is its own still, never has it. */
PV_TEST_IN(a_name_without_a_machine_is_its_last_holders, start, NULL)
{
    struct world *w = &x.f.world;
    const struct keys first = keys_of(31), second = keys_of(32), third = keys_of(33);
    fake_node_add(&x.f, make_member(w, &w->creator, &first, "bob", 31));
    fake_node_add(&x.f, make_leave(w, &first, 1));
    assert_memory_equal(pv_node_former_member(&x.f.node, "bob")->node, first.pk, 32);
    assert_null(pv_node_renamed(&x.f.node, "bob"));
    fake_node_add(&x.f, make_member(w, &w->creator, &second, "bob", 32));
    fake_node_add(&x.f, make_place(w, &w->creator, &second, "robert", 32, 1));
    assert_null(pv_node_former_member(&x.f.node, "bob"));
    assert_string_equal(pv_node_renamed(&x.f.node, "bob.home")->name, "robert");
    fake_node_add(&x.f, make_member(w, &w->creator, &third, "bob", 33));
    fake_node_add(&x.f, make_leave(w, &third, 1));
    assert_null(pv_node_former_member(&x.f.node, "bob"));
    assert_string_equal(pv_node_renamed(&x.f.node, "bob.home")->name, "robert");
    fake_node_add(&x.f, make_leave(w, &second, 2));
    assert_memory_equal(pv_node_former_member(&x.f.node, "bob")->node, second.pk, 32);
    assert_null(pv_node_renamed(&x.f.node, "bob"));
    assert_memory_equal(pv_node_former_member(&x.f.node, PV_KEY_STR(first.pk))->node, first.pk, 32);
}

PV_TEST_IN(facts_about_a_peer_are_told_once_and_together, start, NULL)
{
    struct pv_peer *bob = fake_peers_member(&x, 1, "bob", 2);
    unsigned facts;
    pv_peers_touch(table(), bob, x.f.now);
    pv_peer_set_presence(bob, PV_PRESENCE_ONLINE, 1, x.f.now);
    pv_peers_touch(table(), bob, x.f.now);
    assert_ptr_equal(pv_peers_take_news(table(), &facts), bob);
    assert_int_equal(facts, PV_PEER_FACT_MEMBER | PV_PEER_FACT_TOUCHED | PV_PEER_FACT_PRESENCE);
    assert_null(pv_peers_take_news(table(), &facts));
    pv_peers_told(table(), bob, x.f.now);
    assert_false(pv_peers_has_news(table()));
}

static void count_gone(void *part, struct pv_peer *p, pv_ns now)
{
    unsigned *n_gone = part;
    ++*n_gone;
}

static const struct pv_part counter = {.name = "counter", .on_peer_gone = count_gone};

PV_TEST_IN(nobody_is_told_of_a_peer_that_is_gone, start, NULL)
{
    unsigned n_gone = 0;
    x.f.node.parts[x.f.node.n_parts++] = (struct pv_part_slot){.part = &counter, .self = &n_gone};
    struct pv_peer *bob = fake_peers_member(&x, 1, "bob", 2);
    struct pv_peer *carol = fake_peers_member(&x, 2, "carol", 3);
    unsigned facts;
    pv_peers_touch(table(), bob, x.f.now);
    pv_peers_touch(table(), carol, x.f.now);
    pv_peers_drop(table(), bob, x.f.now);
    assert_int_equal(n_gone, 1);
    assert_ptr_equal(pv_peers_take_news(table(), &facts), carol);
    assert_null(pv_peers_take_news(table(), &facts));
    pv_peers_drop_members(table(), x.f.now);
    assert_int_equal(n_gone, 2);
    assert_int_equal(pv_peers_count_members(table()), 0);
}

PV_TEST_IN(a_path_that_becomes_suspect_casts_doubt_on_our_nat, start, NULL)
{
    struct pv_peer *bob = fake_peers_member(&x, 1, "bob", 2);
    const struct pv_addr there = pv_addr4(198, 51, 100, 7, 4000);
    fake_peers_path(&x, bob, &there);
    x.f.node.facts = 0;
    bob->path_state = PV_PATH_STATE_SUSPECT;
    bob->news |= PV_PEER_FACT_PATH;
    pv_peers_touch(table(), bob, x.f.now);
    assert_true((x.f.node.facts & PV_FACT_NAT_DOUBT) != 0);
}

/* One answer to "is it there?", with and without the coordinator's word. */
PV_TEST_IN(a_path_or_the_coordinators_word_makes_a_peer_reachable, start, NULL)
{
    struct pv_peer *bob = fake_peers_member(&x, 1, "bob", 2);
    const struct pv_addr there = pv_addr4(198, 51, 100, 7, 4000);
    assert_int_equal(pv_peer_reach(bob), PV_REACH_NO);
    assert_int_equal(pv_peer_path_state(bob), PV_PATH_STATE_NONE);
    pv_peer_set_presence(bob, PV_PRESENCE_ONLINE, 1, x.f.now);
    assert_int_equal(pv_peer_reach(bob), PV_REACH_ONLINE);
    fake_peers_path(&x, bob, &there);
    assert_int_equal(pv_peer_reach(bob), PV_REACH_PATH);
    assert_int_equal(pv_peers_count_reached(table()), 1);
    pv_peer_set_presence(bob, PV_PRESENCE_UNKNOWN, 0, x.f.now);
    assert_int_equal(pv_peer_reach(bob), PV_REACH_PATH); /* the coordinator is away */
    assert_int_equal(pv_peer_path_state(bob), PV_PATH_STATE_GOOD);
    bob->path_state = PV_PATH_STATE_SUSPECT;
    assert_int_equal(pv_peer_path_state(bob), PV_PATH_STATE_SUSPECT);
    assert_int_equal(pv_peer_reach(bob), PV_REACH_NO);
    pv_peer_set_presence(bob, PV_PRESENCE_ONLINE, 2, x.f.now);
    assert_int_equal(pv_peer_reach(bob), PV_REACH_ONLINE);
}

/* This node carries phone, and bob carries tablet: neither has a p2pvpnd. */
static struct pv_peer *add_phones(struct pv_peer *bob, struct pv_peer **ret_tablet)
{
    const uint8_t *pk = pv_peer_pk(fake_peers_member(&x, 2, "phone", 3));
    const struct pv_member *m = pv_roster_by_node(x.f.node.roster, pk);
    assert_ok(pv_peers_set_phone(table(), m, true, x.f.now));
    *ret_tablet = fake_peers_member(&x, 3, "tablet", 4);
    pv_peer_set_by(*ret_tablet, pv_peer_id(bob));
    return pv_peers_find(table(), "phone");
}

PV_TEST_IN(walks_over_nodes_pass_over_phones, start, NULL)
{
    struct pv_peer *tablet, *bob = fake_peers_member(&x, 1, "bob", 2);
    assert_true(pv_peer_is_phone(add_phones(bob, &tablet)));
    assert_ptr_equal(pv_peers_next_node(table(), NULL), bob);
    assert_null(pv_peers_next_node(table(), bob));
    pv_peer_set_by(tablet, 0); /* a member like any other again */
    assert_ptr_equal(pv_peers_next_node(table(), bob), tablet);
}

/* A coordinator may lie, and whoever has a phone's file can sign descriptions by its key. */
PV_TEST_IN(no_word_but_its_own_packets_moves_a_phone, start, NULL)
{
    const struct pv_addr there = pv_addr4(198, 51, 100, 7, 4000);
    const struct pv_desc d = {.gen = 7, .rev = 1};
    struct pv_peer *tablet, *phone = add_phones(fake_peers_member(&x, 1, "bob", 2), &tablet);
    pv_peer_want(phone, "a packet", x.f.now);
    pv_peer_set_presence(phone, PV_PRESENCE_ONLINE, 1, x.f.now);
    assert_int_equal(pv_peer_reach(phone), PV_REACH_NO);
    pv_peer_handle_desc(phone, &d, x.f.now);
    pv_peer_handle_desc(tablet, &d, x.f.now);
    assert_null(pv_peer_agent(phone));
    assert_null(pv_peer_agent(tablet));
    assert_int_equal(pv_peer_state(phone), PV_PEER_IDLE);
    fake_peers_path(&x, phone, &there);
    pv_peer_set_phone_presence(phone, true, x.f.now);
    pv_peer_set_presence(phone, PV_PRESENCE_OFFLINE, 0, x.f.now);
    assert_int_equal(pv_peer_presence(phone), PV_PRESENCE_ONLINE);
    assert_int_equal(pv_peer_reach(phone), PV_REACH_PATH);
}

PV_TEST_IN(more_packets_than_fit_are_dropped, start, NULL)
{
    struct pv_peer *bob = fake_peers_member(&x, 1, "bob", 2);
    struct pv_engine_inject out;
    size_t n = 0;
    for (int i = 0; i < PV_PEERS_MAX_INJECT + 3; i++)
        pv_peers_inject(table(), bob, pv_view("x", 1));
    while (pv_fifo_take(&x.f.node.ways.injects, &out) == PV_OK) {
        assert_int_equal(out.peer, pv_peer_id(bob));
        assert_int_equal(out.len, 1);
        n++;
    }
    assert_int_equal(n, PV_PEERS_MAX_INJECT);
    pv_peers_send(table(), bob, PV_INBAND_GOODBYE, pv_view(NULL, 0));
    assert_ok(pv_fifo_take(&x.f.node.ways.injects, &out));
}

static const struct pv_inband_handler *handler_of(enum pv_inband_type type)
{
    for (size_t i = 0; i < pv_part_peers.n_inband; i++) {
        if (pv_part_peers.inband[i].type == type)
            return &pv_part_peers.inband[i];
    }
    return NULL;
}

PV_TEST_IN(a_probe_is_answered_and_a_goodbye_ends_the_path, start, NULL)
{
    struct pv_peer *bob = fake_peers_member(&x, 1, "bob", 2);
    const struct pv_addr there = pv_addr4(198, 51, 100, 7, 4000);
    struct pv_engine_inject out;
    fake_peers_path(&x, bob, &there);
    handler_of(PV_INBAND_PROBE)->take(x.f.self, bob, pv_view("abc", 3), x.f.now);
    assert_int_equal(pv_fifo_take(&x.f.node.ways.injects, &out), PV_ERR_AGAIN); /* too short */
    handler_of(PV_INBAND_PROBE)->take(x.f.self, bob, pv_view("abcdefgh", 8), x.f.now);
    assert_ok(pv_fifo_take(&x.f.node.ways.injects, &out));
    handler_of(PV_INBAND_GOODBYE)->take(x.f.self, bob, pv_view(NULL, 0), x.f.now);
    assert_null(pv_peer_path(bob));
    assert_int_equal(pv_peer_presence(bob), PV_PRESENCE_OFFLINE);
}

PV_TEST_IN(a_static_peers_name_is_looked_up_until_it_is_found, start, NULL)
{
    struct pv_peer *vpn = add_static("vpn", "vpn.example.org");
    struct pv_job *job = fake_node_job(&x.f);
    assert_non_null(job);
    assert_string_equal(job->u.resolve.host, "vpn.example.org");
    fake_node_answer(&x.f, job, &(struct pv_job_result){.status = PV_ERR_NOT_FOUND});
    assert_null(pv_peer_path(vpn));
    assert_null(fake_node_job(&x.f));
    x.f.now += PV_PEER_RETRY_MAX;
    pv_peers_handle_timeout(table(), x.f.now);
    job = fake_node_job(&x.f);
    assert_non_null(job);
    struct pv_job_result found = {.status = PV_OK, .n_addrs = 1};
    found.addrs[0] = pv_addr4(203, 0, 113, 5, 51820);
    fake_node_answer(&x.f, job, &found);
    assert_non_null(pv_peer_path(vpn));
    assert_int_equal(pv_peer_path(vpn)->remote.port, 51820);
}

PV_TEST_IN(static_routes_are_those_of_all_static_peers, start, NULL)
{
    size_t n;
    add_static("one", "192.0.2.1");
    add_static("two", "192.0.2.2");
    assert_non_null(pv_peers_static_routes(table(), &n));
    assert_int_equal(n, 2);
    assert_int_equal(pv_peers_count_statics(table()), 2);
}

static unsigned n_ended;

static void end_kept(void *slot)
{
    n_ended += *(unsigned *)slot;
}

PV_TEST_IN(a_peer_keeps_bytes_for_a_part_until_either_ends, start, NULL)
{
    static const struct pv_part one = {.peer_size = sizeof(unsigned), .end_peer = end_kept};
    static const struct pv_part other = {.peer_size = 1};
    struct pv_peer *bob = fake_peers_member(&x, 1, "bob", 2);
    struct pv_peer *printer = add_static("printer", "192.0.2.1");
    n_ended = 0;
    assert_null(pv_peer_find_slot(bob, &one));
    unsigned *kept = pv_peer_slot(bob, &one);
    assert_non_null(kept);
    assert_int_equal(*kept, 0);
    *kept = 5;
    assert_non_null(pv_peer_slot(bob, &other));
    assert_ptr_equal(pv_peer_slot(bob, &one), kept);
    assert_ptr_equal(pv_peer_find_slot(bob, &one), kept);
    assert_null(pv_peer_find_slot(printer, &one));
    *(unsigned *)pv_peer_slot(printer, &one) = 70;
    pv_peers_drop(table(), bob, x.f.now);
    assert_int_equal(n_ended, 5);
    pv_peers_drop_slots(table(), &one);
    assert_int_equal(n_ended, 75);
    assert_null(pv_peer_find_slot(printer, &one));
}

/* --- halves of the exchange without end ------------------------------------------------------ */

enum {
    FLOOD = 1000,
    BURST = 20, /* halves at once, and one a second after that */
};

static const struct pv_part nothing = {.name = "nothing"};
static struct pv_peer *p;
static struct pv_kem counting;
static unsigned worked;

static int count_encapsulate(struct pv_view ek, const uint8_t random[static PV_KEM_RANDOM_LEN],
                             uint8_t ret_ct[static PV_KEM_CT_LEN],
                             uint8_t ret_secret[static PV_KEM_SECRET_LEN])
{
    worked++;
    return kem_double.encapsulate(ek, random, ret_ct, ret_secret);
}

/* With a member whose identity key is higher than this node's, so that it offers. */
static void start_flood(void)
{
    counting = kem_double;
    counting.encapsulate = count_encapsulate;
    fake_peers_init(&x, &nothing);
    x.f.node.given.kem = &counting;
    x.f.node.given.pq = PV_PQ_ON;
    x.f.node.ways.caps = PV_DESC_CAP_PQ;
    x.f.node.common->signalling = true;
    fake_node_enter(&x.f);
    unsigned seed = 7;
    while (memcmp(keys_of(seed).pk, x.f.identity.sign_pk, PV_SIGN_PK_LEN) < 0)
        seed++;
    p = fake_peers_member(&x, seed, "bob", 7);
    pv_peer_want(p, "test", x.f.now);
    worked = 0;
}

/* A description with an offer of its own. */
static void send(uint64_t gen, uint64_t rev)
{
    struct pv_desc d = {.gen = gen, .rev = rev, .caps = PV_DESC_CAP_PQ};
    struct pv_desc_pq pq = {.kind = PV_DESC_PQ_OFFER, .gen = gen, .rev = rev};
    uint8_t seed[PV_KEM_SEED_LEN] = {1, (uint8_t)rev, (uint8_t)(rev >> 8), (uint8_t)gen};
    snprintf(d.creds.ufrag, sizeof(d.creds.ufrag), "abcdEF12");
    snprintf(d.creds.pwd, sizeof(d.creds.pwd), "0123456789+/ABCDEFGHabcd");
    pv_dh_public(seed, pq.dh);
    assert_ok(kem_double.keypair(seed, pq.kem));
    d.pq = &pq;
    pv_peer_handle_desc(p, &d, x.f.now);
}

PV_TEST(offers_without_end_are_answered_a_few_at_a_time)
{
    start_flood();
    for (unsigned i = 1; i <= FLOOD; i++)
        send(1, i);
    assert_in_range(worked, BURST, BURST + 1);
    x.f.now += PV_S(10);
    worked = 0;
    for (unsigned i = 1; i <= FLOOD; i++)
        send(1, FLOOD + i);
    assert_in_range(worked, 10, 11);
    x.f.now += PV_S(60); /* one who is patient again is answered at once */
    worked = 0;
    send(2, 1);
    assert_int_equal(worked, 1);
}

PV_TEST(chat_waits_for_a_member_that_announced_it)
{
    start_flood();
    assert_int_equal(p->agreed.strict, PV_FP_STRICT_NONE); /* nothing is known of it */
    send(1, 1);
    assert_int_equal(p->agreed.strict, PV_FP_STRICT_OWN);
    x.f.node.given.pq = PV_PQ_OFF;
    pv_peer_pq_settle(p, x.f.now);
    assert_int_equal(p->agreed.strict, PV_FP_STRICT_NONE);
    x.f.node.given.pq = PV_PQ_REQUIRE;
    pv_peer_pq_settle(p, x.f.now);
    assert_int_equal(p->agreed.strict, PV_FP_STRICT_ALL);
}

/* A description that was too much is not acknowledged, so it comes again and is answered then: an
 * honest member that started again and again would else wait for its next generation. */
PV_TEST(a_description_that_was_too_much_is_answered_when_it_is_repeated)
{
    struct pv_desc ours;
    start_flood();
    for (unsigned i = 1; i <= FLOOD; i++)
        send(i, 1);
    assert_true(worked < FLOOD);
    while (pv_peer_take_desc(p, x.f.now, &ours))
        assert_true(ours.re_gen < FLOOD);
    worked = 0;
    send(FLOOD, 1);
    assert_int_equal(worked, 0);
    x.f.now += PV_S(2);
    send(FLOOD, 1);
    assert_int_equal(worked, 1);
    send(FLOOD, 1); /* the answer got lost: it is said again, and not computed */
    assert_int_equal(worked, 1);
    bool answered = false;
    while (pv_peer_take_desc(p, x.f.now, &ours))
        answered = ours.re_gen == FLOOD && ours.pq != NULL && ours.pq->kind == PV_DESC_PQ_ANSWER;
    assert_true(answered);
}
