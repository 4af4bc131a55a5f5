/* SPDX-License-Identifier: MIT */
/* The part that makes a LAN: who gets what, by configuration, presence, reports and messages. */
#include "daemon/core/lan/lan.h"
#include "daemon/core/packets/fp_state.h"
#include "proto/group/querier.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"
#include "tests/unit/proto/group/group_packets.h"

static struct fake_peers peers;
static struct fake_node *const node = &peers.f;
static struct pv_peer *bob;

static void start_with_lan(const struct pv_lan_config *lan)
{
    fake_peers_init(&peers, &pv_part_lan);
    node->cfg.lan = *lan;
    fake_node_enter(node);
    fake_node_start(node);
    bob = fake_peers_member(&peers, 7, "bob", 7);
    node->node.iface.state = PV_IFACE_UP;
    pv_node_raise(&node->node, PV_FACT_INTERFACE | PV_FACT_ROSTER);
    fake_peers_settle(&peers);
}

static void start_with(enum pv_lan_broadcast broadcast, bool wake)
{
    start_with_lan(&(struct pv_lan_config){
        .broadcast = broadcast, .wake = wake, .n_peers = 1, .peers = {"bob"}});
}

static void pass(pv_ns t)
{
    fake_node_wait(node, t);
    fake_peers_settle(&peers);
}

/* "bob carol": who gets what is sent to the group, after changes have been collected. */
static const char *receivers(const char *group)
{
    static char text[256];
    struct pv_fp_snapshot *snap;
    const struct pv_group key = group_named(group);
    pass(PV_LAN_SETTLE);
    assert_ok(pv_fp_builder_snapshot(node->node.fp, &snap));
    const struct pv_fp_group *g = pv_fp_snapshot_group(snap, &key);
    text[0] = '\0';
    for (size_t i = 0; g != NULL && i < g->n; i++) {
        const struct pv_peer *p =
            pv_peers_by_id(node->node.peers, snap->groups->peers[g->first + i]);
        size_t used = strlen(text);
        snprintf(text + used, sizeof(text) - used, "%s%s", used == 0 ? "" : " ", pv_peer_name(p));
    }
    size_t end = strlen(text);
    if (g != NULL && g->wakes)
        snprintf(text + end, sizeof(text) - end, "!");
    pv_fp_snapshot_free(snap);
    return text;
}

static bool takes_discovery_of(const struct pv_peer *p)
{
    struct pv_fp_snapshot *snap;
    assert_ok(pv_fp_builder_snapshot(node->node.fp, &snap));
    bool unwanted = pv_fp_snapshot_peer(snap, pv_peer_id(p))->unwanted;
    pv_fp_snapshot_free(snap);
    return !unwanted;
}

static void report(struct group_packet p)
{
    pv_lan_report(&node->node, pv_view(p.bytes, p.len), node->now);
    fake_peers_settle(&peers);
}

/* The member tells what it wants. */
static void tells(struct pv_peer *p, uint8_t flags, uint32_t number, const char *const *groups)
{
    struct pv_grouptell t = {.flags = flags, .own = {pv_peer_id(p), number}};
    uint8_t body[PV_GROUPTELL_BODY_MAX];
    size_t len;
    for (; groups[t.n] != NULL; t.n++)
        t.groups[t.n] = group_named(groups[t.n]);
    pv_grouptell_build(&t, body, &len);
    pv_part_lan.inband[0].take(node->self, p, pv_view(body, len), node->now);
    fake_peers_settle(&peers);
}
#define TELLS(p, flags, number, ...) \
    tells(p, flags, number, (const char *const[]){__VA_ARGS__ NULL})

/* The last in-band message about groups that left for p; counts all. */
static unsigned take_told(const struct pv_peer *p, struct pv_grouptell *ret_tell)
{
    struct pv_view body;
    unsigned n = 0;
    for (; fake_peers_told(&peers, p, PV_INBAND_GROUPS, &body); n++)
        assert_ok(pv_grouptell_parse(body, ret_tell));
    return n;
}

PV_TEST(a_member_that_has_not_told_gets_all_discovery)
{
    start_with(PV_LAN_AUTO, false);
    assert_string_equal(receivers("255.255.255.255"), "bob");
    assert_string_equal(receivers("224.0.0.251"), "bob");
    assert_string_equal(receivers("ff05::c"), "bob");
    assert_string_equal(receivers("239.66.0.1"), "");
    assert_true(takes_discovery_of(bob));
}

PV_TEST(a_member_that_told_gets_what_it_wants)
{
    start_with(PV_LAN_AUTO, false);
    TELLS(bob, PV_GROUPTELL_DISCOVERY, 1, "224.0.0.251", "239.66.0.1", );
    assert_string_equal(receivers("255.255.255.255"), "bob");
    assert_string_equal(receivers("ff02::1"), "bob");
    assert_string_equal(receivers("224.0.0.251"), "bob");
    assert_string_equal(receivers("239.255.255.250"), "");
    assert_string_equal(receivers("239.66.0.1"), "bob");
    /* It takes no discovery of us any more. */
    TELLS(bob, 0, 2, "224.0.0.251", "239.66.0.1", );
    assert_string_equal(receivers("255.255.255.255"), "");
    assert_string_equal(receivers("224.0.0.251"), "");
    assert_string_equal(receivers("239.66.0.1"), "bob");
    fake_peers_leaves(&peers, bob);
    assert_string_equal(receivers("239.66.0.1"), "");
}

PV_TEST(broadcast_off_leaves_what_programs_joined)
{
    start_with(PV_LAN_OFF, false);
    TELLS(bob, PV_GROUPTELL_DISCOVERY | PV_GROUPTELL_ASKS, 1, "224.0.0.251", "239.66.0.1", );
    assert_string_equal(receivers("255.255.255.255"), "");
    assert_string_equal(receivers("224.0.0.251"), "");
    assert_string_equal(receivers("239.66.0.1"), "bob");
    fake_peers_reach(&peers, bob);
    assert_false(takes_discovery_of(bob));
}

PV_TEST(it_may_be_on_with_some_only)
{
    start_with(PV_LAN_PEERS, false);
    struct pv_peer *carol = fake_peers_member(&peers, 8, "carol", 8);
    fake_peers_reach(&peers, carol);
    assert_string_equal(receivers("255.255.255.255"), "bob");
    assert_false(takes_discovery_of(carol));
    assert_true(takes_discovery_of(bob));
}

/* Bob has this name from now on. */
static void rename_bob(const char *name)
{
    const struct keys k = keys_of(7);
    fake_node_add(node, make_place(&node->world, &node->world.creator, &k, name, 7, 1));
    assert_ok(pv_peers_add_member(node->node.peers, pv_roster_by_node(node->node.roster, k.pk),
                                  node->now));
    fake_peers_settle(&peers);
}

static void bob_leaves(void)
{
    const struct keys k = keys_of(7);
    fake_node_add(node, make_leave(&node->world, &k, 2));
    fake_peers_leaves(&peers, bob);
}

PV_TEST(a_name_means_the_machine_that_had_it_first)
{
    start_with(PV_LAN_PEERS, false);
    fake_peers_reach(&peers, bob);
    rename_bob("robert");
    assert_string_equal(receivers("255.255.255.255"), "robert");
    assert_true(takes_discovery_of(bob));
    assert_false(fake_node_has_problem(node, "[lan] peer"));
    bob_leaves();
    struct pv_peer *other = fake_peers_member(&peers, 8, "bob", 8);
    fake_peers_reach(&peers, other);
    assert_string_equal(receivers("255.255.255.255"), "");
    assert_false(takes_discovery_of(other));
    fake_node_show_problems(node);
}

PV_TEST(the_meaning_of_a_name_is_kept)
{
    static uint8_t pins[256];
    static struct pv_saved_meta kept = {.name = "lan-pins", .value = {.ptr = pins}};
    start_with(PV_LAN_PEERS, false);
    struct pv_job *job = fake_node_expect(node, PV_JOB_SET_META);
    assert_string_equal(job->u.set_meta.name, "lan-pins");
    kept.value.len = job->u.set_meta.len;
    assert_true(kept.value.len <= sizeof(pins));
    memcpy(pins, job->u.set_meta.value, kept.value.len);
    fake_node_answer(node, job,
                     &(struct pv_job_result){.status = PV_ERR_STATE, .error = "no room"});
    fake_node_raise(node, PV_FACT_STORE);
    fake_node_answer(node, fake_node_expect(node, PV_JOB_SET_META), &(struct pv_job_result){0});

    rename_bob("robert");
    pv_peers_drop_slots(node->node.peers, &pv_part_lan);
    pv_part_free(&pv_part_lan, node->self);
    node->node.n_parts = 0;
    node->saved.meta = &kept;
    node->saved.n_meta = 1;
    fake_node_start(node);
    pv_node_raise(&node->node, PV_FACT_INTERFACE | PV_FACT_ROSTER);
    fake_peers_settle(&peers);
    assert_string_equal(receivers("255.255.255.255"), "robert");
}

/* This machine's own name is no mistake: one file may be for all machines. */
PV_TEST(a_name_that_nobody_has_is_a_problem)
{
    start_with_lan(&(struct pv_lan_config){
        .broadcast = PV_LAN_PEERS, .n_peers = 4, .peers = {"bob", "carrol", "dave", "alice"}});
    assert_string_equal(receivers("255.255.255.255"), "bob");
    fake_node_show_problems(node);
    (void)fake_peers_member(&peers, 8, "dave", 8);
    fake_peers_settle(&peers);
    assert_string_equal(receivers("255.255.255.255"), "bob dave");
    assert_true(fake_node_has_problem(node, "no member is called carrol: give"));
    (void)fake_peers_member(&peers, 9, "carrol", 9); /* remedy: name_members */
    assert_false(fake_node_has_problem(node, "[lan] peer"));
    /* A machine that is gone has left its name to nobody. */
    bob_leaves();
    assert_true(fake_node_has_problem(node, "no member is called bob: give"));
}

PV_TEST(names_without_broadcast_to_them_are_no_problem)
{
    start_with_lan(
        &(struct pv_lan_config){.broadcast = PV_LAN_ON, .n_peers = 1, .peers = {"carrol"}});
    assert_false(fake_node_has_problem(node, "[lan] peer"));
}

PV_TEST(it_ends_by_itself_where_there_are_many)
{
    for (int on = 0; on < 2; on++) {
        start_with(on ? PV_LAN_ON : PV_LAN_AUTO, false);
        struct pv_peer *last = NULL;
        for (unsigned i = 0; i < PV_LAN_ONLINE - 1; i++) {
            last = fake_peers_member(&peers, 100 + i, PV_STR("m%u", i), (uint16_t)(100 + i));
            if (i < PV_LAN_ONLINE - 2)
                fake_peers_presence(&peers, last, PV_PRESENCE_ONLINE);
        }
        fake_peers_presence(&peers, bob, PV_PRESENCE_ONLINE); /* the 32nd, with this node */
        fake_peers_reach(&peers, bob);                        /* of many, those in use get copies */
        assert_true(strlen(receivers("255.255.255.255")) > 0);
        assert_true(json_is_true(fake_node_value(node, PV_STATUS_LAN, "sent")));
        fake_peers_presence(&peers, last, PV_PRESENCE_ONLINE);
        assert_int_equal(strlen(receivers("255.255.255.255")) > 0, on);
        assert_int_equal(json_is_true(fake_node_value(node, PV_STATUS_LAN, "sent")), on);
        assert_int_equal(json_integer_value(fake_node_value(node, PV_STATUS_LAN, "online")),
                         PV_LAN_ONLINE + 1);
        fake_peers_presence(&peers, last, PV_PRESENCE_OFFLINE);
        assert_true(strlen(receivers("255.255.255.255")) > 0);
        if (on == 0)
            fake_node_done(node);
    }
}

PV_TEST(wake_is_for_discovery_alone)
{
    start_with(PV_LAN_AUTO, true);
    TELLS(bob, PV_GROUPTELL_DISCOVERY, 1, "224.0.0.251", "239.66.0.1", );
    assert_string_equal(receivers("224.0.0.251"), "bob!");
    assert_string_equal(receivers("239.66.0.1"), "bob");
}

PV_TEST(the_kernel_is_asked_and_its_reports_are_shown)
{
    struct pv_engine_inject inject;
    unsigned queries = 0;
    start_with(PV_LAN_AUTO, false);
    pass(PV_MS(1));
    while (pv_fifo_take(&node->node.ways.injects, &inject) == PV_OK) {
        struct pv_ippkt ip;
        assert_int_equal(inject.peer, 0);
        assert_ok(pv_ippkt_parse(pv_view(inject.buf, inject.len), &ip));
        assert_true(pv_groupmsg_is(&ip));
        queries++;
    }
    assert_int_equal(queries, 2);
    pass(PV_LAN_SETTLE);
    report(group_report(TO_EX, "239.66.0.1", 0));
    report(group_report(TO_EX, "ff02::fb", 0));
    assert_int_equal(json_array_size(fake_node_value(node, PV_STATUS_LAN, "groups")), 2);
    assert_string_equal(json_string_value(fake_node_value(node, PV_STATUS_LAN, "broadcast")),
                        "auto");
    assert_true(fake_node_has_metric(node, "p2pvpn_lan_groups{of=\"here\"} 2"));
    assert_true(fake_node_has_metric(node, "p2pvpn_lan_broadcast 1"));
    for (unsigned i = 0; i < PV_QUERIER_MAX; i++) {
        report(group_report(TO_EX, PV_STR("239.67.%u.%u", i / 100, i % 100), 0));
    }
    assert_true(fake_node_has_problem(node, "128 multicast groups"));
    pass(PV_S(600)); /* the programs have ended. remedy: end_groups */
    report(group_report(TO_EX, "239.66.0.1", 0));
    assert_false(fake_node_has_problem(node, "128 multicast groups"));
    /* The interface goes, and what was joined on it. */
    node->node.iface.state = PV_IFACE_DOWN;
    fake_node_raise(node, PV_FACT_INTERFACE);
    assert_int_equal(json_array_size(fake_node_value(node, PV_STATUS_LAN, "groups")), 0);
}

PV_TEST(members_are_told_what_is_joined)
{
    struct pv_grouptell t;
    start_with(PV_LAN_AUTO, false);
    pass(PV_S(1));
    (void)take_told(bob, &t);
    TELLS(bob, PV_GROUPTELL_ASKS, 1, );
    assert_int_equal(take_told(bob, &t), 1);
    assert_int_equal(t.n, 0);
    assert_int_equal(t.heard.number, 1);
    assert_int_equal(t.flags, PV_GROUPTELL_ASKS | PV_GROUPTELL_DISCOVERY);
    pass(PV_S(1));
    (void)take_told(bob, &t);
    report(group_report(TO_EX, "239.66.0.1", 0));
    pass(PV_S(1));
    assert_in_range(take_told(bob, &t), 1, 2);
    assert_int_equal(t.n, 1);
    assert_int_equal(t.groups[0].ip[1], 66);
    assert_int_equal(pv_lan_known(&node->node, bob).heard, true);
}

PV_TEST(a_member_that_is_online_is_reached_for_what_programs_joined)
{
    start_with(PV_LAN_AUTO, false);
    struct pv_peer *carol = fake_peers_member(&peers, 8, "carol", 8);
    fake_peers_presence(&peers, bob, PV_PRESENCE_ONLINE);
    pass(PV_S(1));
    report(group_report(TO_EX, "224.0.0.251", 0)); /* discovery wakes nobody */
    pass(PV_S(1));
    assert_false(pv_peer_is_wanted(bob, node->now));
    report(group_report(TO_EX, "239.66.0.1", 0));
    pass(PV_S(1));
    assert_true(pv_peer_is_wanted(bob, node->now));
    assert_false(pv_peer_is_wanted(carol, node->now)); /* nobody knows whether it is online */
    /* Not for ever. */
    for (int i = 0; i < 6; i++) {
        report(group_report(IS_EX, "239.66.0.1", 0));
        pass(PV_S(100));
    }
    assert_false(pv_peer_is_wanted(bob, node->now));
    fake_peers_presence(&peers, carol, PV_PRESENCE_ONLINE);
    pass(PV_S(1));
    assert_true(pv_peer_is_wanted(carol, node->now));
    assert_false(pv_peer_is_wanted(bob, node->now));
}
