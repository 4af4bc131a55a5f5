/* SPDX-License-Identifier: MIT */
/* The part that keeps rules: from statements to what the packet threads ask, counters, answers. */
#include "crypto/hash.h"
#include "daemon/core/member/closed.h"
#include "daemon/core/member/rules.h"
#include "daemon/core/packets/fp_state.h"
#include "proto/rules/flow.h"
#include "tests/unit/daemon/core/fake_ctl.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

enum {
    BOB = 7, /* seeds of the keys */
    CAROL = 8,
};

static struct fake_peers peers;
static struct fake_node *const node = &peers.f;
static struct pv_peer *bob;
static struct pv_fp_snapshot *snap;

/* Nobody but alice, who is this node, and bob. */
static void start_with(const char *firewall)
{
    fake_peers_init(&peers, &pv_part_rules);
    node->cfg.has_firewall = firewall != NULL;
    if (firewall != NULL)
        assert_ok(pv_ports_parse(firewall, &node->cfg.firewall));
    fake_node_enter(node);
    fake_node_start(node);
    bob = fake_peers_member(&peers, BOB, "bob", 7);
    fake_peers_settle(&peers);
}

static int start(void **state)
{
    start_with(NULL);
    return 0;
}

static int stop(void **state)
{
    pv_fp_snapshot_free(snap);
    snap = NULL;
    node->node.n_parts = 0;
    return 0;
}

static void say(struct item it)
{
    fake_node_add(node, it);
    pv_node_raise(&node->node, PV_FACT_STATEMENTS);
    fake_peers_settle(&peers);
}

/* A rule of alice about everybody and this port of TCP, in this slot, the seq-th there. */
static void say_rule(uint16_t slot, uint64_t seq, uint8_t kind, uint16_t port)
{
    say(make_rule(&node->world, &node->world.creator, slot, seq, kind, port));
}

static const struct pv_fp_peer *seen(const struct pv_peer *p)
{
    pv_fp_snapshot_free(snap);
    assert_ok(pv_fp_builder_snapshot(node->node.fp, &snap));
    const struct pv_fp_peer *x = pv_fp_snapshot_peer(snap, pv_peer_id(p));
    assert_non_null(x);
    return x;
}

/* By which rule the packet threads let, or do not let, this in of a peer. */
static struct pv_verdict verdict(const struct pv_peer *p, uint16_t port)
{
    const struct pv_fp_peer *x = seen(p);
    assert_non_null(x->rules);
    return pv_ruletable_look(x->rules, PV_PORTS_TCP, port);
}

PV_TEST_IN(without_rules_no_packet_is_looked_at, start, stop)
{
    assert_null(seen(bob)->rules);
    assert_null(snap->guard);
    say_rule(0, 1, PV_RULE_DENY, 22);
    assert_false(verdict(bob, 22).allow);
    assert_int_equal(verdict(bob, 22).rule, 1);
    assert_true(verdict(bob, 23).allow);
    assert_int_equal(verdict(bob, 23).rule, PV_RULE_DEFAULT);
    say_rule(0, 2, PV_RULE_NONE, 0);
    assert_null(seen(bob)->rules);
    assert_null(snap->guard);
}

/* Its packets may come with the snapshot that has it. */
PV_TEST_IN(a_new_member_has_its_rules_at_once, start, stop)
{
    say_rule(0, 1, PV_RULE_DENY, 22);
    const struct pv_peer *carol = fake_peers_member(&peers, CAROL, "carol", 8);
    fake_peers_settle(&peers);
    assert_false(verdict(carol, 22).allow);
    assert_ptr_equal(seen(carol)->rules, seen(bob)->rules); /* the same rules are about both */
}

PV_TEST_IN(a_tag_brings_the_rules_about_it, start, stop)
{
    struct pv_statement st = {.type = PV_ST_RULE};
    const struct keys k = keys_of(BOB);
    st.u.rule.slot = (struct pv_st_slot){.number = 0, .seq = 1};
    st.u.rule.kind = PV_RULE_DENY;
    st.u.rule.place = 1;
    st.u.rule.from = (struct pv_selector){.kind = PV_SELECT_TAG, .len = 6, .value = "guests"};
    st.u.rule.ports = (struct pv_ports){.v = {{PV_PORTS_PROTO_ALL, 0, UINT16_MAX}}, .n = 1};
    st.u.rule.time = T0;
    say(make_statement(&node->world, &st, &node->world.creator));
    assert_true(verdict(bob, 22).allow);
    say(make_tag(&node->world, &node->world.creator, 0, 1, &k, "guests"));
    assert_false(verdict(bob, 22).allow);
    assert_string_equal(pv_policy_tag_of(pv_rules_policy(&node->node), k.pk, 0), "guests");
    const struct pv_verdict v =
        pv_rules_decide(&node->node, k.pk, node->identity.sign_pk, PV_PORTS_TCP, 22);
    assert_false(v.allow);
    assert_int_equal(v.rule, 1);
    say(make_tag(&node->world, &node->world.creator, 0, 2, NULL, "none"));
    assert_true(verdict(bob, 22).allow);
}

/* Flows that nobody saw begin: what the packet threads are told of them. */
PV_TEST_IN(doubt_is_cast_where_flows_may_be_older, start, stop)
{
    const pv_ns life = PV_S(PV_FLOW_LIFE), begun = node->now;
    fake_node_wait(node, 2 * life);
    say_rule(0, 1, PV_RULE_DENY, 22);
    (void)seen(bob);
    assert_int_equal(snap->guard->doubt.until, node->now + life); /* older than the first rule */
    assert_int_equal(snap->guard->doubt.allowed_until, begun + life);
    pv_ns first = node->now;
    fake_node_wait(node, PV_S(10));
    say_rule(1, 1, PV_RULE_DENY, 23);
    (void)seen(bob);
    assert_int_equal(snap->guard->doubt.until, first + life);

    /* The daemon starts with rules, and another one comes soon. */
    pv_part_free(&pv_part_rules, node->self);
    node->node.n_parts = 0;
    fake_node_start(node);
    node->node.parts[0].self = node->self;
    node->node.n_parts = 1;
    (void)seen(bob);
    assert_int_equal(snap->guard->doubt.until, 0);
    assert_int_equal(snap->guard->doubt.allowed_until, node->now + life);
    fake_node_wait(node, PV_S(10));
    say_rule(2, 1, PV_RULE_DENY, 24);
    (void)seen(bob);
    assert_int_equal(snap->guard->doubt.until, node->now + life);
}

/* As if the packet threads had dropped so many. */
static void drop(const struct pv_peer *p, uint16_t rule, uint64_t n)
{
    (void)seen(p);
    atomic_fetch_add(&snap->guard->denied[pv_fp_guard_counter(snap->guard, rule)], n);
}

PV_TEST_IN(a_rule_keeps_its_count_when_its_number_changes, start, stop)
{
    say_rule(0, 1, PV_RULE_DENY, 22);
    say_rule(1, 1, PV_RULE_DENY_DEFAULT, 0);
    drop(bob, 1, 5);
    drop(bob, PV_RULE_DEFAULT, 3);
    say_rule(2, 1, PV_RULE_DENY, 21); /* before it: its place is its port */
    drop(bob, 1, 7);
    drop(bob, 2, 1);
    assert_true(fake_node_has_metric(node, "p2pvpn_rules 2"));
    assert_true(fake_node_has_metric(node, "p2pvpn_rules_denied_total{rule=\"default\"} 3"));
    assert_true(fake_node_has_metric(node, "p2pvpn_rules_denied_total{rule=\"1\"} 7"));
    assert_true(fake_node_has_metric(node, "p2pvpn_rules_denied_total{rule=\"2\"} 6"));
    assert_int_equal(fake_node_status(node)->s.rules, 2);
    assert_true(fake_node_status(node)->s.deny_default);
    uint32_t client = fake_ctl_open(node);
    assert_answered(node, client, "{'id':1,'cmd':'rules'}", "'denied':6");
}

PV_TEST_IN(the_firewall_of_this_node_comes_before_all_rules, NULL, stop)
{
    start_with("tcp/80-90");
    assert_true(verdict(bob, 80).allow);
    assert_false(verdict(bob, 22).allow);
    assert_int_equal(verdict(bob, 22).rule, PV_RULE_LOCAL);
    say_rule(0, 1, PV_RULE_ALLOW, 22);
    say_rule(1, 1, PV_RULE_DENY, 81);
    assert_int_equal(verdict(bob, 22).rule, PV_RULE_LOCAL);
    assert_false(verdict(bob, 81).allow);
    assert_int_equal(verdict(bob, 81).rule, 2);
    const struct keys k = keys_of(BOB);
    struct pv_verdict v =
        pv_rules_decide(&node->node, k.pk, node->identity.sign_pk, PV_PORTS_TCP, 22);
    assert_int_equal(v.rule, PV_RULE_LOCAL);
    v = pv_rules_decide(&node->node, node->identity.sign_pk, k.pk, PV_PORTS_TCP, 22);
    assert_true(v.allow); /* of others it knows none */
}

PV_TEST_IN(rules_go_with_the_network, start, stop)
{
    say_rule(0, 1, PV_RULE_DENY, 22);
    assert_non_null(seen(bob)->rules);
    struct pv_roster *roster = node->node.roster;
    node->node.roster = NULL;
    fake_node_raise(node, PV_FACT_NETWORK);
    assert_null(seen(bob)->rules);
    assert_null(pv_rules_policy(&node->node));
    node->node.roster = roster;
    fake_node_raise(node, PV_FACT_NETWORK);
    assert_non_null(seen(bob)->rules);
}

/* --- closed ------------------------------------------------------------------------------------
 */

/* The digest of rules that are one statement. */
static void digest_of(const struct item *it, uint8_t digest[static PV_STATEMENT_HASH_LEN])
{
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    pv_statement_hash(pv_view(it->s.raw, it->s.len), hash);
    pv_blake2b(digest, pv_view(hash, sizeof(hash)), pv_view(NULL, 0), pv_view(NULL, 0));
}

static struct item deny_ssh(void)
{
    return make_rule(&node->world, &node->world.creator, 0, 1, PV_RULE_DENY, 22);
}

static void mark_of(const struct item *it, uint8_t mark[static PV_TOKEN_RULES_LEN])
{
    uint8_t digest[PV_STATEMENT_HASH_LEN];
    digest_of(it, digest);
    pv_token_rules(pv_roster_network_id(node->node.roster), digest, mark);
}

/* This node has just joined by a token that vouches for that rule alone. */
static void join_by_token_of(const struct item *it)
{
    uint8_t mark[PV_TOKEN_RULES_LEN];
    mark_of(it, mark);
    pv_rules_close(&node->node, mark, node->now);
    pv_node_raise(&node->node, PV_FACT_NETWORK);
    fake_peers_settle(&peers);
}

static bool is_closed(void)
{
    const bool closed = !pv_rules_are_known(&node->node);
    const struct keys k = keys_of(BOB);
    assert_int_equal(fake_node_has_problem(node, "closed, rules are not known yet"), closed);
    const struct pv_verdict v =
        pv_rules_decide(&node->node, k.pk, node->identity.sign_pk, PV_PORTS_TCP, 80);
    assert_int_equal(v.rule == PV_RULE_CLOSED, closed);
    /* The packet threads' rules of a peer say the same. */
    assert_int_equal(seen(bob)->rules != NULL && !verdict(bob, 80).allow, closed);
    return closed;
}

PV_TEST_IN(a_node_that_joined_lets_nothing_in_before_all_is_listed_and_vouched_for, start, stop)
{
    const struct item it = deny_ssh();
    join_by_token_of(&it);
    assert_true(is_closed());
    pv_rules_listed(&node->node, node->now); /* without the rule */
    assert_true(is_closed());
    say(it);
    assert_false(is_closed());
    assert_false(verdict(bob, 22).allow);
    assert_int_equal(verdict(bob, 22).rule, 1);
    say_rule(1, 1, PV_RULE_DENY, 23); /* what comes later closes nothing */
    assert_false(is_closed());

    /* The other way round. */
    say_rule(1, 2, PV_RULE_NONE, 0);
    join_by_token_of(&it);
    assert_true(is_closed());
    pv_rules_listed(&node->node, node->now);
    assert_false(is_closed());
}

/* It hears of none before, so nothing is to be done. */
PV_TEST_IN(a_machine_that_waits_to_be_admitted_has_no_problem_of_rules, start, stop)
{
    const struct item it = deny_ssh();
    const struct keys door = keys_of(50), eve = keys_of(51);
    join_by_token_of(&it);
    assert_true(is_closed());
    say(make_terms(&node->world, &node->world.creator, &door, PV_INVITE_APPROVAL, 0));
    say(make_member(&node->world, &door, &eve, "eve", 9));
    memcpy(node->identity.sign_pk, eve.pk, sizeof(eve.pk));
    assert_true(pv_node_waits(&node->node));
    assert_false(fake_node_has_problem(node, "rules are not known yet"));
}

PV_TEST_IN(a_network_without_rules_says_so_by_its_token, start, stop)
{
    uint8_t mark[PV_TOKEN_RULES_LEN], none[PV_STATEMENT_HASH_LEN];
    pv_blake2b(none, pv_view(NULL, 0), pv_view(NULL, 0), pv_view(NULL, 0));
    pv_token_rules(pv_roster_network_id(node->node.roster), none, mark);
    pv_rules_close(&node->node, mark, node->now);
    pv_node_raise(&node->node, PV_FACT_NETWORK);
    fake_peers_settle(&peers);
    assert_true(is_closed());
    pv_rules_listed(&node->node, node->now);
    assert_false(is_closed());
    assert_null(seen(bob)->rules);
    assert_null(snap->guard);
}

/* The answer of a member within a session, NULL: that it does not know the rules itself. same: it
 * has the statements of this node-> */
static void answer(struct pv_peer *p, const uint8_t *rules, bool same)
{
    uint8_t body[1 + 2 * PV_STATEMENT_HASH_LEN] = {0};
    if (same)
        pv_roster_head(node->node.roster, body + 1);
    if (rules != NULL)
        memcpy(body + 1 + PV_STATEMENT_HASH_LEN, rules, PV_STATEMENT_HASH_LEN);
    pv_part_rules.inband[0].take(node->self, p, pv_view(body, rules == NULL ? 1 : sizeof(body)),
                                 node->now);
    fake_peers_settle(&peers);
}

/* A token that was made before the rule. remedy: admin_online */
PV_TEST_IN(only_an_admins_word_stands_for_the_tokens, start, stop)
{
    const struct item it = deny_ssh();
    const struct keys k = keys_of(CAROL);
    uint8_t mark[PV_TOKEN_RULES_LEN], rules[PV_STATEMENT_HASH_LEN];
    memset(mark, 0x5a, sizeof(mark));
    pv_rules_close(&node->node, mark, node->now);
    struct pv_peer *carol = fake_peers_member(&peers, CAROL, "carol", 8);
    say(it);
    pv_rules_listed(&node->node, node->now);
    assert_true(fake_node_has_problem(node, "bring an admin online once"));
    digest_of(&it, rules);
    answer(bob, rules, true);
    assert_true(is_closed());
    say(make_admin(&node->world, &node->world.root, &k, PV_RIGHT_REVOKE));
    pv_rules_named(&node->node, carol, rules, node->now); /* it may be years old, and repeated */
    assert_true(is_closed());
    answer(carol, NULL, true);
    assert_true(is_closed());
    answer(carol, rules, true);
    assert_false(is_closed());

    /* It has the same statements: the coordinator need not list anything. */
    pv_rules_close(&node->node, mark, node->now);
    pv_node_raise(&node->node, PV_FACT_NETWORK);
    fake_peers_settle(&peers);
    assert_true(is_closed());
    answer(carol, rules, false);
    assert_true(is_closed());
    answer(carol, rules, true);
    assert_false(is_closed());
}

/* remedy: admin_online_later */
PV_TEST_IN(an_admins_word_stands_for_a_list_that_does_not_come, start, stop)
{
    const struct item it = deny_ssh();
    const struct keys k = keys_of(CAROL);
    uint8_t own[PV_STATEMENT_HASH_LEN];
    digest_of(&it, own);
    struct pv_peer *carol = fake_peers_member(&peers, CAROL, "carol", 8);
    say(make_admin(&node->world, &node->world.root, &k, PV_RIGHT_REVOKE));
    join_by_token_of(&it);
    say(it);
    if (!is_closed()) /* the token's word is enough */
        join_by_token_of(&it);
    fake_node_wait(node, PV_S(61));
    assert_true(is_closed());
    assert_true(fake_node_has_problem(node, "bring an admin online once if that lasts"));
    answer(carol, own, true);
    assert_false(is_closed());
}

/* remedy: keep_that_admin_online */
PV_TEST_IN(an_admins_word_goes_before_the_tokens, start, stop)
{
    const struct item it = deny_ssh();
    const struct keys k = keys_of(CAROL);
    uint8_t own[PV_STATEMENT_HASH_LEN], newer[PV_STATEMENT_HASH_LEN] = {1};
    digest_of(&it, own);
    struct pv_peer *carol = fake_peers_member(&peers, CAROL, "carol", 8);
    say(make_admin(&node->world, &node->world.root, &k, PV_RIGHT_REVOKE));
    join_by_token_of(&it);
    say(it);
    answer(carol, newer, false);
    pv_rules_listed(&node->node, node->now);
    fake_node_wait(node, 2 * PV_CLOSED_ASK); /* nobody can talk to it any more */
    assert_true(is_closed());
    assert_true(fake_node_has_problem(node, "an admin names others"));
    pv_rules_named(&node->node, carol, own, node->now); /* held up on its way, or repeated */
    answer(bob, own, true);
    assert_true(is_closed());
    answer(carol, own, true);
    assert_false(is_closed());
}

/* The turns that the part wants in that time. */
static unsigned turns_within(pv_ns t)
{
    unsigned n = 0;
    const pv_ns end = node->now + t;
    for (pv_ns next; (next = pv_part_next_timeout(node->part, node->self)) <= end; n++)
        fake_node_wait(node, next > node->now ? next - node->now : 1);
    return n;
}

PV_TEST_IN(a_closed_node_with_nobody_to_ask_wakes_for_the_wishes_alone, start, stop)
{
    const struct item it = deny_ssh();
    uint8_t other[PV_STATEMENT_HASH_LEN] = {1};
    join_by_token_of(&it);
    fake_node_wait(node, PV_S(5));
    assert_in_range(turns_within(PV_S(60)), 1, 6);
    pv_rules_named(&node->node, bob, other, node->now);
    assert_in_range(turns_within(PV_CLOSED_ASK), 9, 11); /* bob is asked */
    fake_node_wait(node, PV_CLOSED_LOOK);
    assert_in_range(turns_within(PV_S(60)), 1, 6);
    assert_true(is_closed());
}

PV_TEST_IN(a_member_that_names_other_rules_is_asked_first_for_a_while, start, stop)
{
    const struct item it = deny_ssh();
    uint8_t other[PV_STATEMENT_HASH_LEN] = {1};
    join_by_token_of(&it);
    say(it);
    pv_rules_named(&node->node, bob, other, node->now);
    pv_rules_listed(&node->node, node->now);
    assert_true(is_closed());
    fake_node_wait(node, PV_CLOSED_ASK / 2);
    other[0] = 2; /* and again, to gain time */
    pv_rules_named(&node->node, bob, other, node->now);
    assert_true(is_closed());
    fake_node_wait(node, PV_CLOSED_ASK);
    fake_peers_settle(&peers);
    assert_false(is_closed());

    /* It has come from there. */
    join_by_token_of(&it);
    const struct item newer = make_rule(&node->world, &node->world.creator, 0, 2, PV_RULE_DENY, 23);
    digest_of(&newer, other);
    pv_rules_named(&node->node, bob, other, node->now);
    pv_rules_listed(&node->node, node->now);
    assert_true(is_closed());
    struct pv_peer *carol = fake_peers_member(&peers, CAROL, "carol", 8);
    const struct keys k = keys_of(CAROL);
    say(make_admin(&node->world, &node->world.root, &k, PV_RIGHT_REVOKE));
    say(newer);
    assert_true(is_closed()); /* newer than the token's: an admin says whether that is all */
    answer(carol, other, true);
    assert_false(is_closed());
}

/* A member that names rules of its own, and takes that back, ends nothing for others. */
PV_TEST_IN(nobody_cuts_short_that_another_is_asked, start, stop)
{
    const struct item it = deny_ssh();
    uint8_t newer[PV_STATEMENT_HASH_LEN] = {1}, lie[PV_STATEMENT_HASH_LEN] = {2};
    uint8_t own[PV_STATEMENT_HASH_LEN];
    digest_of(&it, own);
    join_by_token_of(&it);
    say(it);
    struct pv_peer *carol = fake_peers_member(&peers, CAROL, "carol", 8);
    pv_rules_named(&node->node, bob, newer, node->now);
    pv_rules_named(&node->node, carol, lie, node->now);
    pv_rules_named(&node->node, carol, own, node->now);
    pv_rules_listed(&node->node, node->now);
    assert_true(is_closed());

    /* Nor is the time used up that others have, when this one has had its own. */
    fake_node_wait(node, PV_CLOSED_ASK + PV_CLOSED_LOOK);
    fake_peers_settle(&peers);
    assert_false(is_closed());
    join_by_token_of(&it);
    pv_rules_named(&node->node, carol, lie, node->now);
    fake_node_wait(node, 2 * PV_CLOSED_ASK);
    pv_rules_named(&node->node, bob, newer, node->now);
    pv_rules_listed(&node->node, node->now);
    assert_true(is_closed());
}

PV_TEST_IN(a_restart_opens_nothing, start, stop)
{
    const struct item it = deny_ssh();
    uint8_t mark[PV_TOKEN_RULES_LEN];
    mark_of(&it, mark);
    const struct pv_saved_meta meta = {.name = PV_CLOSED_META,
                                       .value = pv_view(mark, sizeof(mark))};
    const struct pv_saved saved = {.has_network = true, .meta = &meta, .n_meta = 1};
    pv_part_free(&pv_part_rules, node->self);
    node->node.n_parts = 0;
    node->cfg.saved = &saved;
    fake_node_start(node);
    node->node.parts[0].self = node->self;
    node->node.n_parts = 1;
    fake_peers_settle(&peers);
    assert_true(is_closed());
    say(it);
    assert_true(is_closed());
    pv_rules_listed(&node->node, node->now);
    assert_false(is_closed());
}

/* The store's next job: to write the mark, or to delete it. */
static void take_mark(size_t len, int status)
{
    struct pv_job *job = fake_node_expect(node, PV_JOB_SET_META);
    assert_string_equal(job->u.set_meta.name, PV_CLOSED_META);
    assert_int_equal(job->u.set_meta.len, len);
    fake_node_answer(node, job, &(struct pv_job_result){.status = status});
    fake_peers_settle(&peers);
}

static void store_works_again(void)
{
    node->node.store.failed = false;
    pv_node_raise(&node->node, PV_FACT_STORE);
    fake_peers_settle(&peers);
}

/* A rule of alice that denies members a part of what this node carries; kind NONE takes it back. */
static void say_part(unsigned i, uint64_t seq, uint8_t kind)
{
    struct pv_statement st = {.type = PV_ST_RULE};
    st.u.rule.slot = (struct pv_st_slot){.number = (uint16_t)i, .seq = seq};
    st.u.rule.kind = kind;
    st.u.rule.ports = (struct pv_ports){.v = {{PV_PORTS_PROTO_ALL, 0, UINT16_MAX}}, .n = 1};
    st.u.rule.time = T0;
    if (kind == PV_RULE_DENY) {
        st.u.rule.place = i;
        const struct pv_prefix to = test_prefix(PV_STR("172.20.%u.0/24", i));
        st.u.rule.to = pv_selector_of_prefix(&to);
    }
    say(make_statement(&node->world, &st, &node->world.creator));
}

PV_TEST_IN(rules_about_too_many_parts_are_named_until_one_is_taken_back, start, stop)
{
    const struct pv_prefix carried = test_prefix("172.20.0.0/16");
    assert_ok(pv_rules_set_carried(&node->node, &carried, 1, node->now));
    for (unsigned i = 0; i < PV_FP_MAX_PARTS; i++)
        say_part(i, 1, PV_RULE_DENY);
    assert_true(fake_node_has_problem(node, "rules name more than 64 parts"));
    say_part(0, 2, PV_RULE_NONE); /* remedy: take_rules_back */
    assert_false(fake_node_has_problem(node, "rules name more"));
}

/* Writes before it are there, then: the rules among it. */
PV_TEST_IN(the_store_forgets_that_rules_were_unknown_when_it_has_them, start, stop)
{
    const struct item it = deny_ssh();
    join_by_token_of(&it);
    pv_rules_listed(&node->node, node->now);
    say(it);
    assert_false(is_closed());
    node->node.store.failed = true; /* the rules found no room, and the mark does */
    take_mark(PV_TOKEN_RULES_LEN, PV_OK);
    assert_null(fake_node_job(node));
    store_works_again();
    take_mark(PV_TOKEN_RULES_LEN, PV_ERR_NO_SPACE);
    assert_null(fake_node_job(node));
    store_works_again();
    take_mark(PV_TOKEN_RULES_LEN, PV_OK);
    take_mark(0, PV_ERR_NO_SPACE);
    store_works_again();
    take_mark(PV_TOKEN_RULES_LEN, PV_OK);
    take_mark(0, PV_OK);
    store_works_again();
    assert_null(fake_node_job(node));
}
