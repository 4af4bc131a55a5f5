/* SPDX-License-Identifier: MIT */
/* The lines of `why` and `trace` about a peer. The cause itself is test_cause.c's. */
#include "base/jsonread.h"
#include "crypto/ct.h"
#include "daemon/core/client/cause.h"
#include "daemon/core/client/why.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/nat/udpwatch.h"
#include "daemon/core/node/apphooks.h"
#include "daemon/core/path/mapper.h"
#include "daemon/core/path/relays.h"
#include "daemon/core/peer/hardnat_part.h"
#include "daemon/core/peer/recall.h"
#include "tests/unit/daemon/core/client/fake_client.h"

static struct fake_peers x;
static struct pv_peer *bob;
static uint32_t client;
static void *hardnat, *recall; /* the real parts, which why asks */
const struct pv_addr there = {.family = PV_AF_INET, .ip = {192, 0, 2, 7}, .port = 51820};

/* The words of the other parts. */
static struct {
    struct pv_cause cause;
    struct pv_mapper_view mapper;
    struct pv_udpwatch udp;
    bool held;
} others;

void pv_cause_find(const struct pv_node *n, const struct pv_cause_own *own, struct pv_peer *p,
                   pv_ns now, struct pv_cause *ret_cause)
{
    *ret_cause = others.cause;
}

const char *pv_membership_overlap(const struct pv_node *n, struct pv_prefix *ret_range)
{
    return "";
}

struct pv_mapper_view pv_mapper_view(const struct pv_node *n, uint16_t family)
{
    return others.mapper;
}

const char *pv_mapper_protocol_name(enum pv_mapper_protocol protocol)
{
    return "PCP";
}

const struct pv_udpwatch *pv_relays_udpwatch(const struct pv_node *n)
{
    return &others.udp;
}

const char *pv_relays_name(const struct pv_node *n, uint16_t via,
                           char buf[static PV_TURNSERVERS_NAME])
{
    snprintf(buf, PV_TURNSERVERS_NAME, "relay%u", via);
    return buf;
}

static bool say_held(const struct pv_node *n, const struct pv_peer *p,
                     char ret_why[static PV_CTLAPI_ERROR_BUF])
{
    snprintf(ret_why, PV_CTLAPI_ERROR_BUF, "messages are queued: %s's disk is full",
             pv_peer_name(p));
    return others.held;
}

void test_before_each(void)
{
    memset(&others, 0, sizeof(others));
    others.cause.code = "direct_well";
    memcpy(others.cause.text, "nothing is wrong", 17);
    fake_peers_init(&x, &pv_part_why);
    fake_node_enter(&x.f);
    bob = fake_peers_member(&x, 7, "bob", 7);
    x.f.node.online = true;
    fake_node_start(&x.f);
    assert_ok(pv_part_make(&pv_part_hardnat, &x.f.node, &x.f.cfg, x.f.now, &hardnat));
    assert_ok(pv_part_make(&pv_part_recall, &x.f.node, &x.f.cfg, x.f.now, &recall));
    x.f.node.parts[1] = (struct pv_part_slot){&pv_part_hardnat, hardnat};
    x.f.node.parts[2] = (struct pv_part_slot){&pv_part_recall, recall};
    x.f.node.n_parts = 3;
    assert_ok(pv_relayway_new(&x.f.node.ways.relays[0], 0, &x.f.node.rng));
    client = fake_client_open(&x);
}

void test_after_each(void)
{
    pv_part_free(&pv_part_recall, recall);
    pv_part_free(&pv_part_hardnat, hardnat);
    for (size_t i = 0; i < PV_FP_MAX_RELAYS; i++)
        x.f.node.ways.relays[i] = pv_relayway_free(x.f.node.ways.relays[i]);
}

/* Asks why; the answer is in fake_ctl_output. */
static void ask(void)
{
    fake_client_ask(&x, client, "'cmd':'why','peer':'bob'");
    (void)fake_client_read(&x, client);
}

static bool said(const char *text)
{
    return test_has(fake_ctl_output, text);
}

/* The lines that why answers with. */
static void show_why(void)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    ask();
    json_t *reply = json_loads(fake_ctl_output, 0, NULL);
    assert_true(out != NULL && reply != NULL);
    PV_EACH_JSON(json_object_get(reply, "lines"), one)
        fprintf(out, "%s\n", json_string_value(one));
    fclose(out);
    assert_shows("why bob", text);
    free(text);
    json_decref(reply);
}

static void expect_not(const char *text)
{
    ask();
    if (said(text))
        fail_msg("\"%s\" in: %s", text, fake_ctl_output);
}

/* --- how it is reached ------------------------------------------------------------------------ */

PV_TEST(the_first_reason_hides_those_after_it)
{
    show_why();
    assert_true(said(test_given("path bob idle nothing was sent")));
    pv_peer_set_state(bob, PV_PEER_REACHING, "a test", x.f.now);
    show_why();
    assert_true(said("  it has not answered our description"));
    x.f.node.online = false;
    show_why();
    bob->presence = PV_PRESENCE_OFFLINE;
    show_why();
    x.f.node.up = false;
    show_why();
    assert_false(said("offline"));
}

PV_TEST(a_path_is_told_with_its_address_and_age)
{
    fake_peers_path(&x, bob, &there);
    x.f.now += PV_S(12);
    show_why();
    bob->path_state = PV_PATH_STATE_SUSPECT;
    show_why();
    bob->relay.far = true;
    show_why();
    assert_true(said("'reached':false"));
    bob->path_state = PV_PATH_STATE_GOOD;
    show_why(); /* programs are tried by way of the relay, too */
}

PV_TEST(missing_keys_are_named)
{
    struct fake_far carol;
    fake_far_init(&x, &carol, 8, "carol", 8);
    fake_far_talk(&x, &carol, &there);
    fake_client_ask(&x, client, "'cmd':'why','peer':'carol'");
    (void)fake_client_read(&x, client);
    assert_true(said("  encrypted with "));
    assert_false(said("there are no session keys"));
    pv_peer_want(bob, "a test", x.f.now);
    show_why();
}

PV_TEST(the_cause_is_a_line_for_people_and_a_field_for_programs)
{
    ask();
    assert_true(said("  cause: nothing is wrong"));
    assert_true(said(test_given("cause nothing wrong cause_code")));
    assert_false(said("to do:"));
    memcpy(others.cause.todo, "wait", 5);
    ask();
    assert_true(said("  to do: wait"));
    assert_true(said("'todo':'wait'"));
    char *end = others.cause.text + sizeof(others.cause.text) - 1;
    memset(others.cause.text, 'x', sizeof(others.cause.text));
    memcpy(end - 5, "whole", 6);
    ask();
    /* Of the line, too. */
    const char *first = strstr(fake_ctl_output, "xwhole\"");
    assert_non_null(first);
    assert_non_null(strstr(first + 1, "xwhole\""));
}

/* --- what stands in the way ------------------------------------------------------------------- */

PV_TEST(blocked_udp_is_told_where_it_matters)
{
    show_why();
    others.udp.blocked = true;
    show_why();
    x.f.node.online = false; /* nothing gets through at all */
    expect_not("UDP is blocked");
    x.f.node.online = true;
    fake_peers_path(&x, bob, &there); /* it gets through, plainly */
    expect_not("UDP is blocked");
}

PV_TEST(a_relay_that_is_not_reached_is_named)
{
    assert_ok(pv_relayway_new(&x.f.node.ways.relays[2], 2, &x.f.node.rng));
    expect_not("cannot reach the relay");
    pv_relayway_failed(x.f.node.ways.relays[2], "its name is not found");
    show_why();
    fake_peers_path(&x, bob, &there);
    expect_not("cannot reach the relay");
}

PV_TEST(the_router_is_told_of_when_it_helps_or_could)
{
    memcpy(others.mapper.why, "the router is silent", 21);
    show_why();
    fake_peers_path(&x, bob, &there);
    expect_not("no port is mapped");
    others.mapper.state = PV_MAPPER_WORKING;
    others.mapper.external = pv_addr4(198, 51, 100, 1, 999);
    show_why();
}

PV_TEST(whose_nat_stands_in_the_way_is_said_with_what_would_help)
{
    expect_not("NAT"); /* nobody looked at it yet */
    bob->hard.tried = true;
    bob->hard.packets = 170;
    bob->hard.plan.method = PV_HARDNAT_BIRTHDAY;
    bob->hard.not_before = x.f.now + PV_S(90);
    bob->descx.theirs.gen = 1;
    bob->remote = test_alloc(sizeof(*bob->remote));
    bob->remote->nat = (struct pv_desc_nat){
        .mapping = PV_DESC_MAPPING_VARIES, .ports = PV_DESC_PORTS_BLOCK, .lo = 1000, .hi = 2000};
    show_why();
    assert_true(said(test_given("their NAT uses another public")));
    assert_true(said("170 packets, no opening was found"));
    assert_true(said("  the next attempt is in 90 s"));
    assert_true(said(test_given("their NAT stands way port")));
    fake_peers_path(&x, bob, &there);
    expect_not("stands in the way");
    assert_false(said("no opening was found"));
}

PV_TEST(waiting_messages_are_told)
{
    static const struct pv_app_hooks hooks = {.held = say_held};
    others.held = true;
    expect_not("messages are queued"); /* chat is not there */
    x.f.node.app_hooks = &hooks;
    show_why();
    assert_true(said("messages are queued: bob's disk is full"));
    others.held = false;
    expect_not("messages are queued");
}

/* --- without the coordinator ------------------------------------------------------------------ */

PV_TEST(where_it_is_looked_for_is_told_while_the_coordinator_is_away)
{
    expect_not("no address is known");
    x.f.node.online = false;
    show_why();
    assert_false(said("pass our signals"));
    x.f.node.common->n_in_sync = 2;
    show_why();
    x.f.node.common->n_in_sync = 0;
}

PV_TEST(how_it_was_found_is_told)
{
    struct pv_peer *carol = fake_peers_member(&x, 8, "carol", 8);
    fake_peers_path(&x, bob, &there);
    expect_not("found without the coordinator");
    bob->notes.passed_by = pv_peer_id(carol);
    show_why();
    bob->recalled = there;
    show_why();
    pv_part_recall.on_peer(recall, bob, PV_PEER_FACT_PATH, x.f.now);
    show_why();
}

/* --- trace ------------------------------------------------------------------------------------ */

PV_TEST(a_trace_is_what_happened_and_how_long_ago)
{
    pv_trace_add(pv_peer_trace(bob), x.f.now, "the first thing");
    x.f.now += PV_S(3);
    pv_trace_add(pv_peer_trace(bob), x.f.now, "the second thing");
    fake_client_ask(&x, client, "'cmd':'trace','peer':'bob'");
    (void)fake_client_read(&x, client);
    const char *first = strstr(fake_ctl_output, "the first thing");
    const char *second = strstr(fake_ctl_output, "the second thing");
    assert_true(first != NULL && second != NULL && first < second);
    assert_true(said("3.0"));
}
