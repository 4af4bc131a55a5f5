/* SPDX-License-Identifier: MIT */
/* A network moves to another coordinator step by step, and how each step may fail. */
#include "daemon/core/member/membership.h"
#include "daemon/core/member/owed.h"
#include "daemon/core/member/rostersync_part.h"
#include "daemon/core/parts.h"
#include "proto/local/ctlapi_request.h"
#include "proto/roster/token.h"
#include "tests/unit/daemon/core/fake_ctl.h"
#include "tests/unit/daemon/core/fake_membership.h"
#include "tests/unit/daemon/core/member/fake_coord.h"

static struct fake_node node;
static struct keys fresh; /* the new coordinator */
static uint32_t client;
static struct pv_owed_told told;

/* --- what stands in for other parts ----------------------------------------------------------- */

bool pv_membership_is_stored(const struct pv_node *n)
{
    return true;
}

void pv_rostersync_hurry(struct pv_node *n, pv_ns now)
{
}

void pv_owed_told(const struct pv_node *n, struct pv_owed_told *ret_told)
{
    *ret_told = told;
}

/* --- the world -------------------------------------------------------------------------------- */

void test_before_each(void)
{
    fake_node_init(&node, &pv_part_relocation);
    fake_coord_init();
    fresh = keys_of(90);
    fake_membership.added = 0;
    told = (struct pv_owed_told){.online = 2, .know = 1, .coordinator = "stored", .done = true};
    client = fake_ctl_open(&node);
    fake_node_start(&node);
    fake_node_enter(&node);
    fake_node_give_root(&node, false);
    fake_node_member(&node, 60, "bob", 7);
    node.node.up = node.node.online = node.node.coord_info.as_member = true;
    memcpy(node.node.coord_info.pk, node.world.coordinator.pk, PV_SIGN_PK_LEN);
    fake_node_settle(&node);
}

static void run_line(const char *line)
{
    fake_ctl_say(&node, client, line);
    fake_node_settle(&node);
}

static void run_with(const char *cmd, const char *field, const char *value)
{
    run_line(PV_STR("{'id':1,'cmd':'%s','%s':'%s'}", cmd, field, value));
}

static void add_fresh(void)
{
    struct pv_url url = {.addr = {.host = "192.0.2.9", .port = 3478}};
    char text[PV_URL_TEXT_BUF];
    memcpy(url.pk, fresh.pk, sizeof(url.pk));
    assert_ok(pv_url_format(&url, text, sizeof(text)));
    run_with("coordinator_add", "url", text);
}

static void push(struct pv_ctl_msg msg)
{
    msg.kind = PV_CTL_ANSWER;
    pv_part_relocation.on_push(node.self, &msg, node.now);
    fake_node_settle(&node);
}

/* The request of this type gets receipts for everything, or for nothing. */
static struct pv_ctl_msg *answer_all(enum pv_ctl_type type, enum pv_ctl_error error)
{
    struct pv_ctl_result results[PV_CTL_ITEMS_MAX];
    uint64_t tag;
    struct pv_ctl_msg *asked = fake_coord_take(type, &tag);
    struct pv_ctl_msg msg = {.kind = PV_CTL_ANSWER, .type = PV_CTL_RECEIPTS};
    for (size_t i = 0; i < asked->u.put.n; i++)
        results[i] = (struct pv_ctl_result){.error = error};
    msg.u.receipts = (struct pv_ctl_receipts){.n = asked->u.put.n, .results = results};
    pv_part_relocation.on_answer(node.self, tag, &msg, node.now);
    fake_node_settle(&node);
    return asked;
}

static void come_online(void)
{
    assert_true(fake_coord.connected && fake_coord.as_member);
    node.node.online = true;
    fake_node_raise(&node, PV_FACT_ONLINE);
}

static void expect_home(void)
{
    assert_true(fake_coord.connected && fake_coord.as_member);
    assert_memory_equal(fake_coord.pk, node.world.coordinator.pk, PV_SIGN_PK_LEN);
    assert_false(node.node.coord_info.visiting);
    assert_int_equal(fake_membership.added, 0);
    assert_true(pv_part_relocation.next_timeout(node.self) == PV_NEVER);
}

/* The first of the list in force. */
static void expect_preferred(const uint8_t *pk, size_t n_all)
{
    struct pv_view list = pv_roster_coordinators(node.node.roster);
    struct pv_coordinator c;
    size_t n = 0;
    assert_true(pv_coordlist_next(&list, &c));
    assert_memory_equal(c.pk, pk, PV_SIGN_PK_LEN);
    do
        n++;
    while (pv_coordlist_next(&list, &c));
    assert_int_equal(n, n_all);
}

/* --- add -------------------------------------------------------------------------------------- */

PV_TEST(a_new_coordinator_is_given_everything_before_the_list_counts)
{
    add_fresh();
    assert_false(fake_coord.as_member);
    assert_memory_equal(fake_coord.pk, fresh.pk, PV_SIGN_PK_LEN);
    assert_true(node.node.coord_info.visiting);
    node.node.online = false;
    push((struct pv_ctl_msg){.type = PV_CTL_WELCOME});

    struct pv_ctl_msg *asked = answer_all(PV_CTL_CREATE, PV_CTL_E_NONE);
    struct pv_statement st;
    assert_ok(pv_statement_decode(asked->u.put.items[0].statement, &st));
    assert_int_equal(st.type, PV_ST_NETWORK); /* what all else rests on */
    pv_ctl_msg_free(asked);
    assert_memory_equal(fake_coord.pk, fresh.pk, PV_SIGN_PK_LEN);
    come_online();
    size_t seeded = 0;
    while (fake_coord.n > 0) {
        asked = answer_all(PV_CTL_PUT, PV_CTL_E_NONE);
        seeded += asked->u.put.n;
        pv_ctl_msg_free(asked);
        assert_int_equal(fake_membership.added, 0);
    }
    assert_int_equal(seeded, pv_roster_size(node.node.roster));

    /* Back at the former one, which tells those who listen there. */
    assert_memory_equal(fake_coord.pk, node.world.coordinator.pk, PV_SIGN_PK_LEN);
    assert_false(node.node.coord_info.visiting);
    come_online();
    told.done = false;
    asked = answer_all(PV_CTL_PUT, PV_CTL_E_NONE);
    assert_int_equal(asked->u.put.n, 1);
    pv_ctl_msg_free(asked);
    assert_int_equal(fake_membership.added, 1);
    expect_preferred(fresh.pk, 2);
    assert_string_equal(fake_ctl_reply(&node, client), "");
    fake_node_wait(&node, PV_S(3));
    assert_reply(&node, client, "'online':2,'know':1,'former':true");
}

PV_TEST(a_former_one_that_is_gone_is_not_waited_for)
{
    add_fresh();
    node.node.online = false;
    push((struct pv_ctl_msg){.type = PV_CTL_WELCOME});
    pv_ctl_msg_free(answer_all(PV_CTL_CREATE, PV_CTL_E_NONE));
    come_online();
    while (fake_coord.n > 0)
        pv_ctl_msg_free(answer_all(PV_CTL_PUT, PV_CTL_E_NONE));
    node.node.online = false;
    fake_node_wait(&node, PV_S(9));
    expect_preferred(fresh.pk, 2);
    assert_reply(&node, client, "'former':false");
}

PV_TEST(a_new_one_that_refuses_or_is_silent_changes_nothing)
{
    add_fresh();
    push((struct pv_ctl_msg){.type = PV_CTL_ERROR,
                             .u.failure = {.error = PV_CTL_E_BUSY, .message = "because"}});
    assert_reply(&node, client, "because");
    expect_home();
    add_fresh();
    push((struct pv_ctl_msg){.type = PV_CTL_WELCOME});
    pv_ctl_msg_free(answer_all(PV_CTL_CREATE, PV_CTL_E_FULL));
    assert_reply(&node, client, "does not take this network");
    expect_home();
    add_fresh();
    snprintf(node.node.coord_info.error, sizeof(node.node.coord_info.error), "no answer there");
    fake_node_wait(&node, PV_S(10));
    assert_reply(&node, client, "the new coordinator: no answer there");
    expect_home();
    /* It has enough for now, and gets the same once more; then the node goes down. */
    add_fresh();
    push((struct pv_ctl_msg){.type = PV_CTL_WELCOME});
    pv_ctl_msg_free(answer_all(PV_CTL_CREATE, PV_CTL_E_NONE));
    come_online();
    struct pv_ctl_msg *first = answer_all(PV_CTL_PUT, PV_CTL_E_LIMIT);
    assert_int_equal(fake_coord.n, 0);
    fake_node_wait(&node, PV_S(1));
    uint64_t tag;
    struct pv_ctl_msg *again = fake_coord_take(PV_CTL_PUT, &tag);
    assert_int_equal(first->u.put.n, again->u.put.n);
    pv_ctl_msg_free(first);
    pv_ctl_msg_free(again);
    node.node.up = false;
    fake_node_raise(&node, PV_FACT_UP);
    assert_reply(&node, client, "went down");
    assert_int_equal(fake_membership.added, 0);
}

PV_TEST(a_statement_that_cannot_be_sent_after_a_pause_ends_the_change)
{
    add_fresh();
    push((struct pv_ctl_msg){.type = PV_CTL_WELCOME});
    pv_ctl_msg_free(answer_all(PV_CTL_CREATE, PV_CTL_E_NONE));
    come_online();
    pv_ctl_msg_free(answer_all(PV_CTL_PUT, PV_CTL_E_LIMIT));
    fake_coord.status = PV_ERR_LIMIT;
    fake_node_wait(&node, PV_S(2));
    fake_coord.status = PV_OK;
    assert_reply(&node, client, "the new coordinator: no answer");
    expect_home();
}

/* --- remove, address, token ------------------------------------------------------------------- */

PV_TEST(the_last_one_stays_and_addresses_are_checked)
{
    run_line(test_given("coordinator_remove coordinator"));
    assert_reply(&node, client, "which one");
    run_line("{'id':1,'cmd':'coordinators'}");
    assert_reply(&node, client, "'addresses':['");
    run_line(test_given("coordinator_address addresses"));
    assert_reply(&node, client, "no addresses");
    run_line(test_given("coordinator_address addresses 2"));
    pv_ctl_msg_free(answer_all(PV_CTL_PUT, PV_CTL_E_NONE));
    assert_reply(&node, client, "'former':true");
    expect_preferred(node.world.coordinator.pk, 1);
    run_line(test_given("coordinator_remove coordinator 2"));
    assert_reply(&node, client, "needs a coordinator");
}

static void add_statement(struct pv_view statement)
{
    enum pv_roster_added added;
    assert_ok(pv_roster_add(node.node.roster, statement, pv_view(NULL, 0), &added));
    (void)settle(node.node.roster);
}

/* Two coordinators, this node at the one or the other, and the former is removed. */
static void remove_former(const uint8_t *used)
{
    uint8_t list[256];
    struct pv_made_long made;
    struct pv_hostport hosts[] = {{.host = "192.0.2.9", .port = 3478},
                                  {.host = "192.0.2.1", .port = 3478}};
    struct pv_writer w = pv_writer(list, sizeof(list));
    pv_coordlist_put(&w, fresh.pk, &hosts[0], 1);
    pv_coordlist_put(&w, node.world.coordinator.pk, &hosts[1], 1);
    assert_ok(pv_make_coordinators(pv_roster_network_id(node.node.roster),
                                   pv_signer_sk(node.world.root.sk), 7, pv_view(list, w.len),
                                   &made));
    add_statement(pv_view(made.raw, made.len));
    memcpy(node.node.coord_info.pk, used, PV_SIGN_PK_LEN);
    run_with("coordinator_remove", "coordinator", PV_KEY_STR(node.world.coordinator.pk));
    pv_ctl_msg_free(answer_all(PV_CTL_PUT, PV_CTL_E_NONE));
    expect_preferred(fresh.pk, 1);
}

PV_TEST(a_coordinator_that_hears_of_its_removal_tells_who_listens_there)
{
    remove_former(node.world.coordinator.pk);
    assert_reply(&node, client, "'former':true");
}

/* The one in use has the list, and members who know the other alone hear nothing from it. */
PV_TEST(a_coordinator_that_is_gone_is_not_said_to_have_the_list)
{
    remove_former(fresh.pk);
    assert_reply(&node, client, "'former':false");
}

PV_TEST(a_machine_without_the_root_key_changes_nothing)
{
    node.identity.has_root = false;
    add_fresh();
    assert_reply(&node, client, "the root key of the network is not on this machine: use the");
    assert_false(fake_coord.connected);
}

PV_TEST(a_token_tells_the_list_to_members_only)
{
    char text[PV_MOVETOKEN_TEXT_BUF];
    run_line("{'id':1,'cmd':'coordinator_token'}");
    const char *at = strstr(fake_ctl_reply(&node, client), "p2pvpn-");
    assert_non_null(at);
    snprintf(text, sizeof(text), "%.*s", (int)strcspn(at, "\""), at);
    run_with("coordinator_take", "token", text);
    assert_reply(&node, client, "'ok':true");
    struct pv_movetoken *token = calloc(1, sizeof(*token));
    test_defer(free, token);
    assert_ok(pv_movetoken_parse(text, strlen(text), token));
    token->network_id[0] ^= 1;
    assert_ok(pv_movetoken_format(token, text, sizeof(text)));
    run_with("coordinator_take", "token", text);
    assert_reply(&node, client, "another network");
    run_line(test_given("coordinator_take token"));
    assert_reply(&node, client, "damaged");
}

PV_TEST(a_token_of_a_newer_version_or_with_a_newer_statement_says_what_to_upgrade)
{
    static const char want[] = "this token is from a newer p2pvpn: upgrade p2pvpn on this machine";
    char text[PV_MOVETOKEN_TEXT_BUF];
    const struct item newer = make_newer(&node.world, &node.world.creator);
    struct pv_movetoken *token = calloc(1, sizeof(*token));
    test_defer(free, token);
    memcpy(token->network_id, node.world.created.network_id, sizeof(token->network_id));
    token->record = pv_view(newer.s.raw, newer.s.len);
    assert_ok(pv_movetoken_format(token, text, sizeof(text)));
    run_with("coordinator_take", "token", text);
    assert_reply(&node, client, want);
    run_line(test_given("coordinator_take token 2"));
    assert_reply(&node, client, want);
}
