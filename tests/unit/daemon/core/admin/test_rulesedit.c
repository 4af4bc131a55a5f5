/* SPDX-License-Identifier: MIT */
/* An admin's word on rules and tags: whom a word means, where a rule goes, what is taken back, and
 * what is said of bad input. */
#include "daemon/core/admin/admin.h"
#include "daemon/core/admin/ending.h"
#include "daemon/core/admin/rulesedit.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/rules.h"
#include "proto/local/ctlapi.h"
#include "tests/unit/daemon/core/fake_ctl.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

enum {
    BOB = 7, /* seeds of the keys */
    CAROL = 8,
};

static struct fake_peers peers;
static struct fake_node *const node = &peers.f;
static void *rules; /* the part that knows those in force */
static uint32_t client;
static bool is_admin;

/* --- what stands in for other parts ----------------------------------------------------------- */

size_t pv_membership_add(struct pv_node *n, const struct pv_ctl_item *items, size_t n_items,
                         pv_ns now)
{
    size_t refused = fake_node_take(n, items, n_items);
    pv_part_rules.on_facts(rules, PV_FACT_STATEMENTS, now);
    return refused;
}

bool pv_admin_may_sign(struct pv_node *n, const char *what, uint8_t rights, uint64_t handle)
{
    assert_int_equal(rights, PV_RIGHT_REVOKE);
    if (!is_admin)
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_REFUSED, "no admin");
    return is_admin;
}

void pv_admin_answer_when_told(struct pv_node *n, uint64_t handle, pv_ns now)
{
    pv_ctlsrv_answer(n->ctl, handle, json_object());
}

void pv_admin_answer_with(struct pv_node *n, uint64_t handle, const struct pv_ctlapi_told *told,
                          pv_ns now)
{
    struct pv_ctlapi_told all = *told;
    all.coordinator = all.disk = "stored";
    pv_ctlsrv_answer(n->ctl, handle, pv_ctlapi_told_json(&all));
}

int pv_ending_invite_of(struct pv_node *n, const struct pv_member *m, bool keep,
                        struct pv_ctlapi_told *told, pv_ns now)
{
    assert_true(strcmp(m->name, "bob") == 0 || strcmp(m->name, "carol") == 0 ||
                strcmp(m->name, "eve") == 0);
    told->invite = keep ? PV_CTLAPI_INVITE_KEPT : PV_CTLAPI_INVITE_ENDED;
    told->uses_left = 2;
    return PV_OK;
}

static bool revoked; /* an invite */

int pv_ending_revoke(struct pv_node *n, struct pv_signer by, enum pv_st_revoked_kind kind,
                     const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now)
{
    assert_int_equal(kind, PV_REVOKE_INVITE);
    assert_memory_equal(pk, keys_of(51).pk, PV_SIGN_PK_LEN);
    revoked = true;
    return PV_OK;
}

/* --- the scene -------------------------------------------------------------------------------- */

void test_before_each(void)
{
    is_admin = true;
    fake_peers_init(&peers, &pv_part_rulesedit);
    fake_node_enter(node);
    assert_ok(pv_part_make(&pv_part_rules, &node->node, &node->cfg, node->now, &rules));
    node->node.parts[0] = (struct pv_part_slot){.part = &pv_part_rules, .self = rules};
    node->node.n_parts = 1;
    fake_node_start(node);
    (void)fake_peers_member(&peers, BOB, "bob", 7);
    (void)fake_peers_member(&peers, CAROL, "carol", 8);
    fake_peers_settle(&peers);
    assert_ok(pv_part_rules.restore(rules, &node->cfg, node->now));
    client = fake_ctl_open(node);
}

void test_after_each(void)
{
    node->node.n_parts = 0;
    pv_part_free(&pv_part_rules, rules);
}

/* The answer to a command with these fields. */
/* The requests for a rule at the end, and about one connection. */
#define SAY(verdict, from, to, ports) \
    "'cmd':'rule_add','verdict':'" verdict "','from':'" from "','to':'" to "','ports':'" ports "'"
#define CAN(from, to, ports) "'cmd':'can','from':'" from "','to':'" to "','ports':'" ports "'"

static const char *ask(const char *fields)
{
    fake_ctl_say(node, client, PV_STR("{\"id\":1,%s}", fields));
    return fake_ctl_reply(node, client);
}

static void must(const char *fields)
{
    const char *reply = ask(fields);
    if (strstr(reply, "\"ok\":true") == NULL)
        fail_msg("%s: %s", fields, reply);
}

static void show_answer(const char *fields)
{
    assert_shows(fields, ask(fields));
}

static void add_rule(const char *verdict, const char *from, const char *to, const char *ports,
                     unsigned before)
{
    const char *fields =
        PV_STR(SAY("%s", "%s", "%s", "%s") ",'place':%u", verdict, from, to, ports, before);
    must(fields);
}

/* The ports of all rules in order: "tcp/22 tcp/23". */
static const char *in_order(void)
{
    static char text[4096];
    const struct pv_policy *p = pv_rules_policy(&node->node);
    text[0] = '\0';
    for (size_t i = 1; i <= pv_policy_count(p); i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof(text) - len, "%s%s", i == 1 ? "" : " ",
                 PV_PORTS_STR(&pv_policy_at(p, i)->ports));
    }
    return text;
}

static bool may(unsigned from, unsigned to, uint16_t port)
{
    const struct keys f = keys_of(from), t = keys_of(to);
    return pv_rules_decide(&node->node, f.pk, t.pk, PV_PORTS_TCP, port).allow;
}

/* As another program may have said it. */
static void say_rule_at(uint64_t place, uint16_t port)
{
    const struct pv_st_rule rule = {
        .kind = PV_RULE_DENY, .place = place, .ports = {.v = {{PV_PORTS_TCP, port, port}}, .n = 1}};
    struct pv_st_rule own = rule;
    struct pv_made made;
    assert_ok(pv_roster_free_slot(node->node.roster, node->node.identity->sign_pk, PV_ST_RULE,
                                  &own.slot));
    own.time = pv_node_wall_s(&node->node, node->now);
    assert_ok(pv_make_rule(pv_roster_network_id(node->node.roster), node->node.identity->sign_sk,
                           &own, &made));
    assert_ok(pv_membership_say(&node->node, pv_made_view(&made), node->now));
}

/* --- tests ------------------------------------------------------------------------------------ */

PV_TEST(rules_go_where_the_admin_says)
{
    add_rule("deny", "any", "any", "tcp/22", 0);
    add_rule("deny", "any", "any", "tcp/24", 0);
    add_rule("deny", "any", "any", "tcp/23", 2);
    add_rule("deny", "any", "any", "tcp/21", 1);
    assert_string_equal(in_order(), "tcp/21 tcp/22 tcp/23 tcp/24");
    must("'cmd':'rule_remove','number':2");
    assert_string_equal(in_order(), "tcp/21 tcp/23 tcp/24");
    show_answer("'cmd':'rule_remove','number':4");
    /* The list that somebody has read may be old. */
    const struct pv_policy *policy = pv_rules_policy(&node->node);
    char first[PV_KEY_TEXT_BUF];
    pv_key_format(pv_policy_at(policy, 1)->id, first);
    show_answer(PV_STR("'cmd':'rule_remove','number':2,'rule':'%s'", first));
    assert_string_equal(in_order(), "tcp/21 tcp/23 tcp/24");
    must(PV_STR("'cmd':'rule_remove','number':1,'rule':'%s'", first));
    assert_string_equal(in_order(), "tcp/23 tcp/24");
    add_rule("deny", "any", "any", "tcp/21", 1);
    show_answer(test_given("rule_add verdict deny from any"));
}

/* Each one halves what is left before the other: that goes back in time, and all behind it. */
PV_TEST(there_is_room_for_many_rules_at_one_place)
{
    add_rule("deny", "any", "any", "tcp/1", 0);
    add_rule("deny", "any", "any", "tcp/8", 0);
    add_rule("deny", "any", "any", "tcp/9", 0);
    for (unsigned i = 1; i <= 100; i++)
        add_rule("deny", "any", "any", PV_STR("tcp/%u", 200 - i), 2);
    assert_has(in_order(), "tcp/1 tcp/100 tcp/101 tcp/102");
    assert_has(in_order(), "tcp/198 tcp/199 tcp/8 tcp/9");
    for (unsigned i = 0; i < 100; i++)
        add_rule("deny", "any", "any", PV_STR("tcp/%u", 300 + i), 103 + i);
    assert_has(in_order(), "tcp/199 tcp/8 tcp/300 tcp/301");
    assert_has(in_order(), "tcp/398 tcp/399 tcp/9");
    assert_int_equal(pv_policy_count(pv_rules_policy(&node->node)), 203);
}

/* Of admins who did not hear of each other: one place. Their order is that of the statements, and
 * of those that are moved another one's. */
PV_TEST(rules_at_one_place_keep_their_order_when_they_are_moved)
{
    char before[200];
    for (unsigned i = 0; i < 6; i++)
        say_rule_at(UINT64_C(1) << 32, (uint16_t)(1000 + i));
    snprintf(before, sizeof(before), "%s", in_order());
    for (unsigned i = 1; i <= 40; i++)
        add_rule("deny", "any", "any", PV_STR("tcp/%u", i), 1);
    const char *at = strstr(in_order(), "tcp/1 ");
    assert_non_null(at);
    assert_string_equal(at + 6, before);
}

/* One that stands at the very end leaves no place behind it. */
PV_TEST(a_rule_at_the_very_end_is_named)
{
    say_rule_at(UINT64_MAX - 1, 1000);
    show_answer(test_given("rule_add verdict deny from any 2"));
}

/* Whom a rule denies something comes back by no token; rules about others end no invite. */
PV_TEST(the_invite_of_who_is_denied_goes)
{
    static const char about[] = SAY("deny", "bob", "carol", "tcp/22");
    assert_has(ask(about), "'uses_left':2,'revoked':true");
    assert_has(ask(PV_STR("%s,\"keep_invite\":true", about)), "'uses_left':2,'revoked':false");
    const char *others[] = {SAY("deny", "any", "carol", "tcp/22"),
                            SAY("allow", "bob", "carol", "tcp/22")};
    for (size_t i = 0; i < PV_ARRAY_LEN(others); i++) {
        assert_has(ask(others[i]), "'invite':null");
    }
}

/* One that left would come back without the tag. */
PV_TEST(the_invites_of_members_with_a_denied_tag_go)
{
    static const char tagging[] = "'cmd':'tag','peer':'bob','tag':'guest'";
    static const char denying[] = SAY("deny", "tag:guest", "any", "all");
    assert_has(ask(tagging), "'invite':null"); /* no rule is about it yet */
    assert_has(ask(PV_STR("%s,\"keep_invite\":true", denying)), "'invites':null");
    assert_has(ask(denying), "'invites':{'open':1,'revoked':true}");
    must("'cmd':'untag','peer':'bob','tag':'guest'");
    assert_has(ask(tagging), "'uses_left':2,'revoked':true");
    must("'cmd':'untag','peer':'bob','tag':'guest'");
    assert_has(ask(PV_STR("%s,\"keep_invite\":true", tagging)), "'uses_left':2,'revoked':false");
}

/* One that left before the rule would come back by the token, as another machine without the tag.
 */
PV_TEST(the_invite_of_a_tagged_member_that_left_goes)
{
    must("'cmd':'tag','peer':'bob','tag':'guest'");
    const struct keys b = keys_of(BOB);
    fake_node_add(node, make_leave(&node->world, &b, 1));
    assert_has(ask(SAY("deny", "tag:guest", "any", "all")), "'invites':{'open':1,'revoked':true}");
}

/* A tag is often given after its rule, so it is made all the same. */
PV_TEST(a_rule_that_can_hardly_be_meant_is_told)
{
#define ADD(from, to) \
    "'cmd':'rule_add','verdict':'deny','from':'" from "','to':'" to "','ports':'22'"
    show_answer(ADD("tag:gust", "tag:pinter"));
    show_answer(ADD("bob", "bob"));
    must("'cmd':'tag','peer':'bob','tag':'gust'");
    const struct keys door = keys_of(51);
    fake_node_add(node, make_tag(&node->world, &node->world.creator, 7, 1, &door, "new"));
    show_answer(ADD("tag:gust", "tag:new")); /* a member, and an invite */
    assert_lacks(fake_ctl_output, "doubts");
    assert_string_equal(in_order(), "22 22 22");
    const struct keys b = keys_of(BOB);
    fake_node_add(node, make_leave(&node->world, &b, 1));
    show_answer(ADD("tag:gust", "any"));
    show_answer(ADD("any", "10.0.0.0/8"));
    show_answer(ADD("any", "fd81::/9")); /* has bits behind its length */
    show_answer(ADD("any", "fd00::/8"));
    show_answer(ADD("any", "0.0.0.0/0")); /* the internet by an exit */
    assert_lacks(fake_ctl_output, "doubts");
}

/* Members have their addresses there, and a rule about a prefix is about what is behind them. */
PV_TEST(a_rule_to_the_networks_own_range_is_refused)
{
    static const char *const none[] = {"10.66.0.0/16", "10.66.4.0/24"};
    for (size_t i = 0; i < PV_ARRAY_LEN(none); i++)
        show_answer(PV_STR(SAY("deny", "bob", "%s", "22"), none[i]));
    show_answer(ADD("bob", "10.66.9.9"));
    show_answer(ADD("bob", "10.66.9.9/32"));
    assert_string_equal(in_order(), "");
    must(SAY("deny", "any", "10.66.0.7/32", "22"));
    show_answer(CAN("carol", "bob", "22"));
}

/* The commonest mistake: what is to be let in is said behind a rule that shuts it out. */
PV_TEST(a_rule_behind_one_that_decides_all_of_it_is_told)
{
    add_rule("allow", "bob", "any", "2222", 0);
    add_rule("deny", "any", "192.168.0.0/16", "tcp/1-99", 0);
    add_rule("allow", "carol", "bob", "443", 0);
    show_answer(SAY("deny", "bob", "carol", "tcp/2222"));
    show_answer(SAY("allow", "bob", "192.168.7.0/24", "tcp/22"));
    show_answer(SAY("deny", "bob", "192.168.7.0/24", "tcp/80"));
    static const char *const free_ones[] = {
        SAY("deny", "carol", "bob", "443"), /* and what lies behind bob */
        SAY("deny", "bob", "carol", "tcp/22-23"),
        SAY("deny", "any", "carol", "22"),
        SAY("deny", "bob", "any", "22"),
        SAY("deny", "bob", "carol", "ping"),
        SAY("allow", "any", "192.0.0.0/8", "tcp/22"),
        SAY("allow", "bob", "192.168.7.0/24", "80"),
        SAY("deny", "bob", "carol", "all"),
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(free_ones); i++) {
        show_answer(free_ones[i]);
        assert_lacks(fake_ctl_output, "decided_by");
    }
    add_rule("deny", "any", "any", "all", 0);
    show_answer(SAY("allow", "carol", "bob", "all"));
    assert_false(may(CAROL, BOB, 22));
    show_answer(SAY("allow", "carol", "bob", "all"));
    must("'cmd':'rule_remove','number':16");
    show_answer(SAY("allow", "carol", "bob", "all") ",'place':15");
    assert_lacks(fake_ctl_output, "decided_by");
    assert_true(may(CAROL, BOB, 22));
}

/* Twice in the list a rule would have to be removed twice, and a slot would be gone. */
PV_TEST(a_rule_that_is_there_is_not_made_again)
{
    add_rule("deny", "bob", "carol", "tcp/22", 0);
    add_rule("allow", "bob", "carol", "tcp/22", 0);
    show_answer(SAY("deny", "bob", "carol", "ssh"));
    show_answer(SAY("allow", "bob", "carol", "ssh"));
    assert_string_equal(in_order(), "tcp/22 tcp/22");
    /* In front of one that says otherwise it is another rule. */
    add_rule("allow", "bob", "carol", "tcp/22", 1);
    assert_true(may(BOB, CAROL, 22));
    add_rule("deny", "carol", "bob", "tcp/22", 0);
    add_rule("deny", "bob", "carol", "tcp/23", 0);
    assert_string_equal(in_order(), "tcp/22 tcp/22 tcp/22 tcp/22 tcp/23");
}

/* A rule that allows all of a port opens no account, and a rule that denies it closes all. */
PV_TEST(a_rule_opens_accounts)
{
    show_answer(CAN("bob", "carol", "ssh:ada"));
    add_rule("allow", "bob", "carol", "tcp/22", 0);
    show_answer(CAN("bob", "carol", "ssh:ada"));
    show_answer(SAY("allow", "bob", "carol", "ssh:bob,ada"));
    show_answer(SAY("allow", "bob", "carol", "ssh:ada,bob"));
    show_answer(CAN("bob", "carol", "ssh:ada"));
    show_answer(CAN("carol", "bob", "ssh:ada"));
    show_answer(CAN("bob", "carol", "ssh:ada,bob"));
    show_answer(CAN("bob", "carol", "ssh:"));
    show_answer(CAN("bob", "bob", "ssh:ada"));
    show_answer(SAY("allow", "any", "carol", "ssh:ada"));
    add_rule("deny", "any", "carol", "tcp/22", 1);
    show_answer(CAN("bob", "carol", "ssh:ada"));
    show_answer(SAY("allow", "bob", "carol", "ssh:eve"));
    show_answer(SAY("allow", "bob", "any", "ssh:*"));
    show_answer(SAY("deny", "bob", "carol", "ssh:ada"));
    show_answer(SAY("allow", "bob", "192.168.1.0/24", "ssh:ada"));
    show_answer(SAY("allow", "bob", "carol", "ssh,chat"));
}

/* Every command takes a name as the others do, this node's own, too. */
PV_TEST(members_are_named_in_one_way)
{
    static const char *const bobs[] = {"BOB", "bob.home", "Bob.Home.P2P.", "10.66.0.7"};
    static const char *const own[] = {"alice", "ALICE", "alice.home", "alice.home.p2p."};
    for (size_t i = 0; i < PV_ARRAY_LEN(bobs); i++) {
        const char *can = PV_STR(CAN("%s", "%s", "22"), own[i], bobs[i]);
        show_answer(can);
        must(PV_STR("'cmd':'tag','peer':'%s','tag':'t%zu'", own[i], i));
    }
    add_rule("deny", "BOB.home", "Alice", "tcp/22", 0);
    show_answer(SAY("deny", "bob", "alice", "ssh"));
    char ip[PV_ADDR_TEXT];
    const struct pv_member *carol = pv_roster_by_name(node->node.roster, "carol");
    show_answer(PV_STR(CAN("bob", "[%s]", "22"), pv_addr_format_ip(&carol->ip6, ip)));
    must("'cmd':'tag','peer':'carol','tag':'guest'");
    add_rule("deny", "tag:Guest", "any", "tcp/23", 0);
    assert_false(may(CAROL, BOB, 23));
}

PV_TEST(a_former_name_is_told_by_its_present_one)
{
    const struct keys b = keys_of(BOB);
    fake_node_add(node, make_place(&node->world, &node->world.creator, &b, "dora", 7, 1));
    show_answer(SAY("deny", "bob", "any", "22"));
    show_answer(CAN("Bob", "carol", "22"));
    show_answer("'cmd':'tag','peer':'bob','tag':'guests'");
    show_answer("'cmd':'tag','peer':'zoe','tag':'guests'");
}

/* A rule means machines: names are those of the moment in which it was made. */
PV_TEST(a_rule_stays_about_the_machine_when_names_change)
{
    add_rule("deny", "bob", "carol", "all", 0);
    assert_false(may(BOB, CAROL, 1));
    const struct keys b = keys_of(BOB), c = keys_of(CAROL);
    fake_node_add(node, make_place(&node->world, &node->world.creator, &b, "dora", 7, 1));
    fake_node_add(node, make_place(&node->world, &node->world.creator, &c, "eve", 8, 1));
    assert_false(may(BOB, CAROL, 1));
    assert_true(may(CAROL, BOB, 1));
    char who[PV_RULES_WHO];
    const struct pv_policy_rule *rule = pv_policy_at(pv_rules_policy(&node->node), 1);
    assert_string_equal(pv_rules_who(&node->node, &rule->from, who), "dora");
    assert_string_equal(pv_rules_who(&node->node, &rule->to, who), "eve");
}

/* A guest that calls itself like a tag is not taken for it, nor the tag for the guest. */
PV_TEST(a_name_that_is_a_tag_is_asked_back)
{
    must("'cmd':'tag','peer':'carol','tag':'bob'");
    show_answer(SAY("deny", "bob", "any", "all"));
    add_rule("deny", "tag:bob", "any", "all", 0);
    assert_true(may(BOB, CAROL, 1));
    assert_false(may(CAROL, BOB, 1));
    add_rule("deny", "10.66.0.7", "any", "all", 0);
    assert_false(may(BOB, CAROL, 1));
    const struct keys b = keys_of(BOB);
    fake_node_add(node, make_place(&node->world, &node->world.creator, &b, "dora", 7, 1));
    show_answer(SAY("deny", "bob", "any", "22"));
    fake_node_add(node, make_leave(&node->world, &b, 1));
    show_answer(SAY("deny", "any", "bob", "22"));
    add_rule("deny", "any", "tag:bob", "22", 0);
}

/* A machine that joins chooses its name: a rule about it would be one about everybody. */
PV_TEST(a_member_that_is_called_any_is_not_everybody)
{
    (void)fake_peers_member(&peers, 77, "any", 77);
    fake_peers_settle(&peers);
    show_answer(SAY("allow", "any", "bob", "all"));
    add_rule("allow", "10.66.0.77", "bob", "all", 0);
    assert_true(may(BOB, CAROL, 1));
}

PV_TEST(a_tag_is_given_and_taken)
{
    must("'cmd':'tag','peer':'bob','tag':'guests'");
    must("'cmd':'tag','peer':'bob','tag':'guests'"); /* again: nothing new */
    add_rule("deny", "guests", "any", "all", 0);
    assert_false(may(BOB, CAROL, 1));
    must("'cmd':'untag','peer':'bob','tag':'guests'");
    assert_true(may(BOB, CAROL, 1));
    show_answer("'cmd':'untag','peer':'bob','tag':'guests'");
    show_answer("'cmd':'tag','peer':'bob','tag':'any'");
    show_answer("'cmd':'tag','peer':'zoe','tag':'guests'");
}

PV_TEST(a_tag_is_taken_from_a_member_that_left)
{
    const struct keys b = keys_of(BOB);
    must("'cmd':'tag','peer':'bob','tag':'guests'");
    fake_node_add(node, make_leave(&node->world, &b, 1));
    must("'cmd':'untag','peer':'bob','tag':'guests'");
    show_answer("'cmd':'untag','peer':'bob','tag':'guests'");
    show_answer("'cmd':'tag','peer':'bob','tag':'guests'");
}

/* Between its admission and a tag that came later it would be a member that reaches all. */
PV_TEST(a_machine_that_waits_gets_its_tag_before_it_is_let_in)
{
    enum {
        EVE = 52
    };
    const struct keys door = keys_of(51), eve = keys_of(EVE);
    fake_node_add(node,
                  make_terms(&node->world, &node->world.creator, &door, PV_INVITE_APPROVAL, 0));
    fake_node_add(node, make_member(&node->world, &door, &eve, "eve", 9));
    add_rule("deny", "tag:guest", "any", "all", 0);
    must("'cmd':'tag','peer':'eve','tag':'guest'");
    assert_false(may(EVE, BOB, 1));
    must("'cmd':'untag','peer':'eve','tag':'guest'");
    assert_true(may(EVE, BOB, 1));
}

/* A tag of an invite is one of all that come by it, also of those that come later. */
PV_TEST(a_machine_that_comes_by_a_tagged_invite_has_its_tag)
{
    enum {
        EVE = 52,
        FAY = 53,
    };
    const struct keys door = keys_of(51), eve = keys_of(EVE), fay = keys_of(FAY);
    struct pv_made tag;
    fake_node_add(node, make_invite(&node->world, &node->world.creator, &door, 5));
    fake_node_add(node, make_member(&node->world, &door, &eve, "eve", 9));
    assert_ok(pv_rules_make_tag(&node->node, door.pk, "guest", node->now, &tag));
    assert_ok(pv_membership_say(&node->node, pv_made_view(&tag), node->now));
    add_rule("deny", "tag:guest", "any", "all", 0);
    assert_false(may(EVE, BOB, 1));
    assert_true(may(BOB, EVE, 1));
    fake_node_add(node, make_member(&node->world, &door, &fay, "fay", 10));
    assert_false(may(FAY, BOB, 1));
    /* The token's holder makes a machine of the invite's own key: that takes the tag from nobody.
     */
    fake_node_add(node, make_member(&node->world, &door, &door, "evil", 11));
    assert_false(may(EVE, BOB, 1));
    assert_false(may(51, BOB, 1));
    assert_ok(pv_peers_add_member(node->node.peers, pv_roster_by_node(node->node.roster, eve.pk),
                                  node->now));
    must("'cmd':'tag','peer':'eve','tag':'guest'"); /* it has it: nothing new */

    /* A machine in fay's place came by another invite: it has the tag by its own name. */
    assert_ok(pv_rulesedit_carry(&node->node, fay.pk, keys_of(BOB).pk, node->now));
    assert_false(may(BOB, CAROL, 1));

    /* Taken from one, it stays with the others, and nobody else comes by that invite. */
    show_answer("'cmd':'untag','peer':'eve','tag':'guest'");
    assert_true(revoked);
    assert_true(may(EVE, BOB, 1));
    assert_false(may(FAY, CAROL, 1));
    show_answer("'cmd':'untag','peer':'eve','tag':'guest'");
}

/* Both denials of two admins are taken back, also the one that this node did not say. */
PV_TEST(the_default_is_taken_back_for_all_admins)
{
    const struct keys b = keys_of(BOB);
    fake_node_add(node, make_admin(&node->world, &node->world.root, &b, PV_RIGHT_REVOKE));
    must("'cmd':'rules_default','verdict':'deny'");
    assert_false(may(BOB, CAROL, 1));
    fake_node_add(node, make_rule(&node->world, &b, 0, 1, PV_RULE_DENY_DEFAULT, 0));
    must("'cmd':'rules_default','verdict':'allow'");
    assert_true(may(BOB, CAROL, 1));
    must("'cmd':'rules_default','verdict':'allow'");
    show_answer("'cmd':'rules_default','verdict':'maybe'");
}

PV_TEST(slots_of_rules_that_are_gone_are_used_again)
{
    for (unsigned i = 0; i < 2 * PV_RULE_SLOTS; i++) {
        add_rule("deny", "any", "any", "tcp/22", 0);
        must("'cmd':'rule_remove','number':1");
    }
    assert_string_equal(in_order(), "");
}

PV_TEST(only_an_admin_says_rules_and_anybody_asks)
{
    add_rule("deny", "bob", "carol", "tcp/22", 0);
    is_admin = false;
    show_answer(SAY("deny", "any", "any", "all"));
    show_answer("'cmd':'rule_remove','number':1");
    show_answer("'cmd':'rules_default','verdict':'deny'");
    show_answer("'cmd':'tag','peer':'bob','tag':'guests'");
    show_answer("'cmd':'untag','peer':'bob','tag':'guests'");
    assert_string_equal(in_order(), "tcp/22");
    show_answer(CAN("bob", "carol", "22"));
    show_answer(CAN("bob", "10.66.0.8", "22"));
    show_answer(CAN("bob", "alice", "22"));
    show_answer(CAN("carol", "bob", "22"));
    show_answer(CAN("bob", "carol", "tcp"));
    show_answer(CAN("bob", "zoe", "22"));
}

PV_TEST(a_machine_may_reach_itself_whatever_rules_say)
{
    add_rule("deny", "any", "any", "all", 0);
    show_answer(CAN("bob", "BOB", "22"));
    assert_has(fake_ctl_output, "'itself':true");
    show_answer(CAN("bob", "carol", "22"));
}

PV_TEST(nothing_is_sent_to_port_0)
{
    static const char *const none[] = {"0", "tcp/0", "udp/0"};
    for (size_t i = 0; i < PV_ARRAY_LEN(none); i++)
        show_answer(PV_STR(CAN("bob", "carol", "%s"), none[i]));
    must(CAN("bob", "carol", "ping"));
}

PV_TEST(bad_words_are_told)
{
    const char *const rows[][3] = {
        {"zoe", "22", "nobody is called zoe"},
        {"tag:", "22", "is no tag"},
        {"tag:A_B", "22", "is no tag"},
        {"bob", "tcp/99999", "are no ports"},
        {"bob", "tcp/0", "are no ports"},
        {"10.0.0.1/8", "22", "is no prefix"},
        {"192.168.77.0/24", "22", test_given("FROM no prefix such as")},
        {"bob", "1,3,5,7,9,11,13,15,17", "at most 16 ranges"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        const char *fields = PV_STR(SAY("deny", "%s", "any", "%s"), rows[i][0], rows[i][1]);
        show_answer(fields);
    }
    assert_string_equal(in_order(), "");
}
