/* SPDX-License-Identifier: MIT */
/* create and join step by step, and how each step may fail. */
#include "daemon/core/member/closed.h"
#include "daemon/core/member/enrol.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/rules.h"
#include "proto/roster/token.h"
#include "tests/unit/daemon/core/fake_ctl.h"
#include "tests/unit/daemon/core/member/fake_coord.h"

static struct fake_node node;
static struct keys invite; /* of the token */
static struct keys bob;    /* this node, when it joins */
static uint32_t client;
static unsigned n_entered;

/* --- what stands in for membership.c ---------------------------------------------------------- */

void pv_membership_enter(struct pv_node *n, struct pv_roster *roster, bool up, pv_ns now)
{
    n->roster = roster;
    test_defer(free_roster, roster);
    n->up = up;
    n->coord_info.as_member = true;
    n_entered++;
    pv_node_raise(n, PV_FACT_NETWORK);
}

void pv_membership_leave(struct pv_node *n, pv_ns now)
{
    n->roster = NULL;
}

size_t pv_membership_add(struct pv_node *n, const struct pv_ctl_item *items, size_t n_items,
                         pv_ns now)
{
    for (size_t i = 0; i < n_items; i++) {
        enum pv_roster_added added;
        assert_ok(pv_roster_add(n->roster, items[i].statement, items[i].receipt, &added));
    }
    (void)settle(n->roster);
    return 0;
}

/* --- what stands in for rules.c --------------------------------------------------------------- */

static bool listed;      /* the coordinator has told of all members */
static const char *cidr; /* of create; "": the usual one */

bool pv_rules_are_listed(const struct pv_node *n)
{
    return listed;
}

bool pv_rules_are_known(const struct pv_node *n)
{
    return true;
}

int pv_rules_make_tag(struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN], const char *tag,
                      pv_ns now, struct pv_made *ret_made)
{
    fail_msg("the first invite has no tag");
    return PV_ERR_LIMIT;
}

void pv_rules_close(struct pv_node *n, const uint8_t mark[static PV_TOKEN_RULES_LEN], pv_ns now)
{
}

/* --- the world -------------------------------------------------------------------------------- */

void test_before_each(void)
{
    n_entered = 0;
    listed = true;
    cidr = "";
    fake_node_init(&node, &pv_part_enrol);
    node.cfg.root_file = "/state/root.key";
    fake_coord_init();
    invite = keys_of(50);
    bob = keys_of(60);
    assert_ok(pv_ctlsrv_accepted(node.node.ctl, 0, true, &client));
    fake_node_start(&node);
}

/* A handle that a client waits for. */
static uint64_t handle_of(void)
{
    static const char line[] = "{\"id\":1,\"cmd\":\"version\"}\n";
    struct fake_asked asked = fake_node_ask(&node, client, line);
    pv_ctlapi_request_done(&asked.req);
    return asked.handle;
}

static void show_failure(void)
{
    const char *got = fake_ctl_reply(&node, client);
    assert_shows("", got);
}

static void expect_silence(void)
{
    assert_string_equal(fake_ctl_reply(&node, client), "");
}

static const char *wanted = ""; /* what the network must be called */

static uint64_t run_command(enum pv_ctlapi_cmd cmd, const char *secret, const char *name)
{
    uint64_t handle = handle_of();
    struct pv_ctlapi_request req = pv_ctlapi_request_of(cmd);
    req.id = 1;
    snprintf(req.u.enter.name, sizeof(req.u.enter.name), "%s", name);
    snprintf(req.u.enter.cidr, sizeof(req.u.enter.cidr), "%s", cidr);
    snprintf(req.u.enter.network, sizeof(req.u.enter.network), "%s", wanted);
    req.secret = strdup(secret);
    for (size_t i = 0; i < pv_part_enrol.n_commands; i++) {
        if (pv_part_enrol.commands[i].cmd == cmd)
            pv_part_enrol.commands[i].run(node.self, &req, NULL, handle, node.now);
    }
    pv_ctlapi_request_done(&req);
    fake_node_settle(&node);
    return handle;
}

/* This node is bob, and joins with a token of alice's. */
static uint64_t join(void)
{
    struct pv_token token = {0};
    char text[PV_TOKEN_TEXT_BUF];
    const uint8_t seed[PV_SIGN_SEED_LEN] = {50, 0, 0, 1}; /* of keys_of(50) */
    struct pv_hostport hp = {.host = "192.0.2.1", .port = 3478};
    struct pv_writer w = pv_writer(token.list, sizeof(token.list));
    memcpy(node.identity.sign_sk, bob.sk, sizeof(bob.sk));
    memcpy(node.identity.sign_pk, bob.pk, sizeof(bob.pk));
    memset(node.identity.dh_pk, 9, sizeof(node.identity.dh_pk));
    memcpy(token.network_id, node.world.created.network_id, sizeof(token.network_id));
    memcpy(token.seed, seed, sizeof(seed));
    pv_coordlist_put(&w, node.world.coordinator.pk, &hp, 1);
    token.list_len = w.len;
    assert_ok(pv_token_format(&token, text, sizeof(text)));
    return run_command(PV_CTLAPI_JOIN, text, "bob");
}

static void answer(uint64_t tag, struct pv_ctl_msg *msg)
{
    msg->kind = PV_CTL_ANSWER;
    pv_part_enrol.on_answer(node.self, tag, msg, node.now);
    fake_node_settle(&node);
}

static void refuse(uint64_t tag, enum pv_ctl_error error)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_ERROR,
                             .u.failure = {.error = error, .message = "because"}};
    answer(tag, &msg);
}

static void push(struct pv_ctl_msg msg)
{
    pv_part_enrol.on_push(node.self, &msg, node.now);
    fake_node_settle(&node);
}

static void welcome(void)
{
    push((struct pv_ctl_msg){.kind = PV_CTL_ANSWER, .type = PV_CTL_WELCOME});
}

static void lose_connection(const char *why)
{
    snprintf(node.node.coord_info.error, sizeof(node.node.coord_info.error), "%s", why);
    fake_node_raise(&node, PV_FACT_COORDINATOR);
}

/* The request of that type was made; its tag. */
static uint64_t expect_asked(enum pv_ctl_type type)
{
    uint64_t tag;
    pv_ctl_msg_free(fake_coord_take(type, &tag));
    return tag;
}

static struct pv_ctl_item view_of(const struct item *it)
{
    return (struct pv_ctl_item){.statement = pv_view(it->s.raw, it->s.len),
                                .receipt = pv_view(it->r, it->r_len)};
}

/* The coordinator hands out the record, with the invite or without. */
static void hand_out(uint64_t tag, bool with_invite)
{
    struct world *w = &node.world;
    const struct item network = item_of(w, &w->created.network);
    const struct item coordinators = item_of_long(w, &w->created.coordinators);
    const struct item admin = item_of(w, &w->created.admin);
    const struct item member = item_of(w, &w->created.member);
    const struct item inv = make_invite(w, &w->creator, &invite, 1);
    const struct pv_ctl_item items[] = {view_of(&network), view_of(&coordinators), view_of(&admin),
                                        view_of(&member), view_of(&inv)};
    struct pv_ctl_msg msg = {.type = PV_CTL_STATEMENTS};
    msg.u.statements.n = with_invite ? 5 : 4;
    msg.u.statements.items = items;
    answer(tag, &msg);
}

enum {
    HAND_OUT_NETWORK,
    HAND_OUT_INVITE
};

/* The same, one of them as a newer version made it. */
static void hand_out_newer(uint64_t tag, int which)
{
    struct world *w = &node.world;
    struct item network = item_of(w, &w->created.network);
    const struct item coordinators = item_of_long(w, &w->created.coordinators);
    const struct item admin = item_of(w, &w->created.admin);
    const struct item newer = make_newer(w, &w->creator);
    const struct pv_ctl_item items[] = {view_of(&network), view_of(&coordinators), view_of(&admin),
                                        view_of(&newer)};
    struct pv_ctl_msg msg = {.type = PV_CTL_STATEMENTS};
    network.s.raw[0] = which == HAND_OUT_NETWORK ? 2 : 1;
    msg.u.statements.n = which == HAND_OUT_NETWORK ? 3 : 4;
    msg.u.statements.items = items;
    answer(tag, &msg);
}

/* The coordinator lets the node in and gives it what it asks for first. */
static void welcome_and_hand_out(void)
{
    welcome();
    hand_out(expect_asked(PV_CTL_FETCH), true);
}

static void reserve(uint64_t tag, const char *name)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_RESERVATION};
    snprintf(msg.u.reservation.name, sizeof(msg.u.reservation.name), "%s", name);
    memcpy(msg.u.reservation.ip4, (const uint8_t[]){10, 66, 0, 7}, 4);
    msg.u.reservation.serial = 1;
    answer(tag, &msg);
}

/* The coordinator takes the member statement, with its receipt or with one that `spoil` changed. */
static void accept_member_with(void (*spoil)(struct item *it))
{
    uint64_t tag;
    struct pv_ctl_msg *asked = fake_coord_take(PV_CTL_REGISTER, &tag);
    struct item it = {.s.len = asked->u.reg.member.len};
    memcpy(it.s.raw, asked->u.reg.member.ptr, it.s.len);
    receipt_next(&node.world, &it);
    if (spoil != NULL)
        spoil(&it);
    struct pv_ctl_msg msg = {.type = PV_CTL_REGISTERED};
    msg.u.registered.item = view_of(&it);
    answer(tag, &msg);
    pv_ctl_msg_free(asked);
}

static void damage_receipt(struct item *it)
{
    it->r[it->r_len - 1] ^= 1;
}

static void renew_receipt(struct item *it)
{
    receipt_newer(&node.world, it, &node.world.coordinator);
}

static void accept_member(bool honest)
{
    accept_member_with(honest ? NULL : damage_receipt);
}

/* bob is a member, and waits for the store. */
static void join_until_save(void)
{
    join();
    assert_true(fake_coord.connected && !fake_coord.as_member);
    welcome_and_hand_out();
    reserve(expect_asked(PV_CTL_JOIN), "bob");
    accept_member(true);
    expect_silence();
}

static void store_all(int status)
{
    for (struct pv_job *job; (job = fake_node_job(&node)) != NULL;)
        fake_node_answer(&node, job,
                         &(struct pv_job_result){.status = status, .error = "store: no room"});
}

static void set_iface(enum pv_iface_state state, const char *error)
{
    node.node.iface.state = state;
    snprintf(node.node.iface.error, sizeof(node.node.iface.error), "%s", error);
    fake_node_raise(&node, PV_FACT_INTERFACE);
}

/* Nothing is left of the attempt: another may begin. */
static void expect_nothing_left(void)
{
    assert_int_equal(n_entered, 0);
    assert_false(fake_coord.connected);
    assert_true(pv_part_enrol.next_timeout(node.self) == PV_NEVER);
    join();
    assert_true(fake_coord.connected);
    expect_silence();
}

static void answer_job(enum pv_job_kind kind, int status)
{
    struct pv_job *job = fake_node_expect(&node, kind);
    fake_node_answer(&node, job,
                     &(struct pv_job_result){.status = status, .error = "store: no room"});
}

/* --- join ------------------------------------------------------------------------------------- */

/* A network without its statements would keep the daemon from starting. */
PV_TEST(without_its_statements_no_network_is_stored)
{
    join_until_save();
    answer_job(PV_JOB_FORGET_NETWORK, PV_OK);
    answer_job(PV_JOB_SET_META, PV_OK);
    answer_job(PV_JOB_PUT_STATEMENTS, PV_ERR_NO_SPACE);
    show_failure();
    assert_null(fake_node_job(&node));
    expect_nothing_left();
}

PV_TEST(join_ends_as_a_member_with_an_interface)
{
    join_until_save();
    answer_job(PV_JOB_FORGET_NETWORK, PV_OK); /* what an attempt before may have left */
    /* The rules that it has to hear before it lets anything in outlive a restart. */
    struct pv_job *job = fake_node_job(&node);
    assert_int_equal(job->kind, PV_JOB_SET_META);
    assert_string_equal(job->u.set_meta.name, PV_CLOSED_META);
    assert_int_equal(job->u.set_meta.len, PV_TOKEN_RULES_LEN);
    fake_node_answer(&node, job, &(struct pv_job_result){.status = PV_OK});
    job = fake_node_job(&node);
    assert_int_equal(job->kind, PV_JOB_PUT_STATEMENTS);
    assert_int_equal(job->u.put_statements.n, 6);
    assert_null(fake_node_job(&node));
    fake_node_answer(&node, job, &(struct pv_job_result){.status = PV_OK});
    assert_int_equal(n_entered, 0); /* all is stored before it is entered */
    job = fake_node_job(&node);
    assert_int_equal(job->kind, PV_JOB_SET_NETWORK);
    assert_string_equal(job->u.set_network.node_name, "bob");
    fake_node_answer(&node, job, &(struct pv_job_result){.status = PV_OK});
    assert_int_equal(n_entered, 1);
    store_all(PV_OK);
    set_iface(PV_IFACE_RISING, "");
    expect_silence();
    set_iface(PV_IFACE_UP, "");
    assert_has(fake_ctl_reply(&node, client), "'ok':true");
    assert_true(pv_part_enrol.next_timeout(node.self) == PV_NEVER);
}

static void join_until_list(void)
{
    listed = false;
    join_until_save();
    store_all(PV_OK);
    set_iface(PV_IFACE_UP, "");
    assert_int_equal(n_entered, 1);
    expect_silence();
}

/* `ping` behind `join` finds whom it names. */
PV_TEST(join_waits_until_the_members_are_known)
{
    join_until_list();
    fake_node_raise(&node, PV_FACT_STATEMENTS); /* of the first page */
    expect_silence();
    listed = true;
    fake_node_raise(&node, PV_FACT_STATEMENTS);
    assert_has(fake_ctl_reply(&node, client), "'ok':true");
    assert_true(pv_part_enrol.next_timeout(node.self) == PV_NEVER);
}

PV_TEST(join_does_not_wait_long_for_a_coordinator_that_lists_nothing)
{
    join_until_list();
    fake_node_wait(&node, PV_ENROL_LISTED - 1);
    expect_silence();
    fake_node_wait(&node, 1);
    assert_has(fake_ctl_reply(&node, client), "'ok':true");
    assert_true(pv_part_enrol.next_timeout(node.self) == PV_NEVER);
}

PV_TEST(a_refusal_in_any_step_ends_the_attempt)
{
    static const enum pv_ctl_error rows[] = {
        PV_CTL_E_INVITE_EXPIRED, PV_CTL_E_INVITE_USED, PV_CTL_E_REVOKED,
        PV_CTL_E_FULL,           PV_CTL_E_BUSY,
    };
    for (int step = 0; step < 3; step++) {
        for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
            join();
            welcome();
            uint64_t tag = expect_asked(PV_CTL_FETCH);
            if (step > 0) {
                hand_out(tag, true);
                tag = expect_asked(PV_CTL_JOIN);
            }
            if (step > 1) {
                reserve(tag, "bob");
                tag = expect_asked(PV_CTL_REGISTER);
            }
            refuse(tag, rows[i]);
            show_failure();
        }
    }
    expect_nothing_left();
}

/* As a pipe, for which somebody typed the token of a network. */
PV_TEST(a_network_of_another_name_is_refused_before_the_token_is_used)
{
    wanted = "pipe";
    join();
    welcome_and_hand_out();
    show_failure();
    wanted = pv_roster_network(roster_of(&node.world))->name;
    join();
    welcome_and_hand_out();
    refuse(expect_asked(PV_CTL_JOIN), PV_CTL_E_BUSY);
    show_failure();
    wanted = "";
    expect_nothing_left();
}

/* Two networks that share addresses take each other's packets. */
PV_TEST(a_range_in_the_way_is_named_before_the_token_is_used)
{
    struct pv_link_addr *link = &node.node.host.links[0];
    *link = (struct pv_link_addr){.addr = {.base = pv_addr4(10, 66, 9, 1, 0), .bits = 24},
                                  .ifname = "p2p-work"};
    node.node.host.n_links = 1;
    join();
    welcome_and_hand_out();
    refuse(expect_asked(PV_CTL_JOIN), PV_CTL_E_BUSY); /* one that is down is in nobody's way */
    show_failure();
    link->up = true;
    join();
    welcome_and_hand_out();
    show_failure();
    link->tunnel = true; /* it is what it is called */
    join();
    welcome_and_hand_out();
    show_failure();
    node.node.given.inside = 1; /* the own interface is in another network */
    join();
    welcome_and_hand_out();
    refuse(expect_asked(PV_CTL_JOIN), PV_CTL_E_BUSY);
    show_failure();
    node.node.given.inside = 0;
    node.node.host.n_links = 0;
    expect_nothing_left();
}

PV_TEST(a_refused_hello_ends_it_unless_the_coordinator_may_change_its_mind)
{
    join();
    push((struct pv_ctl_msg){.type = PV_CTL_ERROR, .u.failure = {.error = PV_CTL_E_BUSY}});
    expect_silence();
    push((struct pv_ctl_msg){.type = PV_CTL_ERROR,
                             .u.failure = {.error = PV_CTL_E_UNKNOWN_NETWORK}});
    show_failure();
    expect_nothing_left();
}

PV_TEST(a_connection_lost_in_any_step_is_made_again_and_asked_again)
{
    join();
    welcome();
    uint64_t late = expect_asked(PV_CTL_FETCH);
    lose_connection("the connection was closed");
    hand_out(late, true); /* an answer to something that is over */
    assert_int_equal(fake_coord.n, 0);
    welcome_and_hand_out();
    (void)expect_asked(PV_CTL_JOIN);
    lose_connection("no answer");
    welcome_and_hand_out();
    reserve(expect_asked(PV_CTL_JOIN), "bob");
    (void)expect_asked(PV_CTL_REGISTER);
    lose_connection("no answer");
    fake_node_wait(&node, PV_ENROL_TIME);
    show_failure();
    expect_nothing_left();
}

PV_TEST(time_over_says_what_stood_in_the_way)
{
    join();
    fake_node_wait(&node, PV_ENROL_ANSWER - PV_S(1));
    expect_silence();
    fake_node_wait(&node, PV_S(1));
    show_failure();
    expect_nothing_left();
}

PV_TEST(a_coordinator_that_is_there_has_all_the_time)
{
    join();
    fake_node_wait(&node, PV_S(8));
    welcome();
    (void)expect_asked(PV_CTL_FETCH);
    fake_node_wait(&node, PV_S(21));
    expect_silence();
    fake_node_wait(&node, PV_S(2));
    show_failure();
}

PV_TEST(a_request_that_cannot_be_sent_waits_for_another_connection)
{
    join();
    fake_coord.status = PV_ERR_LIMIT;
    welcome();
    fake_coord.status = PV_OK;
    welcome_and_hand_out();
    (void)expect_asked(PV_CTL_JOIN);
    expect_silence();
}

PV_TEST(a_client_that_goes_away_ends_it)
{
    uint64_t handle = join();
    welcome();
    pv_part_enrol.on_cancel(node.self, handle + 1, node.now);
    assert_true(fake_coord.connected); /* somebody else's */
    pv_part_enrol.on_cancel(node.self, handle, node.now);
    assert_false(fake_coord.connected);
    hand_out(expect_asked(PV_CTL_FETCH), true);
    assert_int_equal(fake_coord.n, 0);
    expect_nothing_left();
}

PV_TEST(membership_that_is_certain_is_not_cancelled)
{
    uint64_t handle = join();
    welcome_and_hand_out();
    reserve(expect_asked(PV_CTL_JOIN), "bob");
    accept_member(true);
    pv_part_enrol.on_cancel(node.self, handle, node.now);
    store_all(PV_OK);
    assert_int_equal(n_entered, 1);
}

PV_TEST(another_name_than_the_one_asked_for_is_not_taken)
{
    join();
    welcome_and_hand_out();
    reserve(expect_asked(PV_CTL_JOIN), "bob-2");
    show_failure();
    expect_nothing_left();
}

PV_TEST(a_record_without_the_invite_is_not_believed)
{
    join();
    welcome();
    hand_out(expect_asked(PV_CTL_FETCH), false);
    show_failure();
    expect_nothing_left();
}

PV_TEST(a_wrong_receipt_is_not_believed)
{
    join();
    welcome_and_hand_out();
    reserve(expect_asked(PV_CTL_JOIN), "bob");
    accept_member(false);
    show_failure();
    expect_nothing_left();
}

/* The coordinator is as honest as before. */
PV_TEST(a_network_of_a_newer_version_says_what_to_upgrade)
{
    for (int which = HAND_OUT_NETWORK; which <= HAND_OUT_INVITE; which++) {
        join();
        welcome();
        hand_out_newer(expect_asked(PV_CTL_FETCH), which);
        show_failure();
    }
    expect_nothing_left();
}

PV_TEST(a_receipt_of_a_newer_version_says_what_to_upgrade)
{
    join();
    welcome_and_hand_out();
    reserve(expect_asked(PV_CTL_JOIN), "bob");
    accept_member_with(renew_receipt);
    show_failure();
    expect_nothing_left();
}

PV_TEST(a_store_that_fails_ends_it)
{
    join_until_save();
    store_all(PV_ERR_NO_SPACE);
    show_failure();
    expect_nothing_left();
}

PV_TEST(a_result_of_an_earlier_attempt_is_not_this_ones)
{
    join_until_save();
    struct pv_job *first = fake_node_job(&node), *late = fake_node_job(&node);
    fake_node_answer(&node, first, &(struct pv_job_result){.status = PV_ERR_NO_SPACE});
    (void)fake_ctl_reply(&node, client);
    join_until_save();
    fake_node_answer(&node, late, &(struct pv_job_result){.status = PV_ERR_NO_SPACE});
    expect_silence();
    store_all(PV_OK);
    assert_int_equal(n_entered, 1);
}

PV_TEST(an_interface_that_does_not_come_up_is_told_but_membership_stays)
{
    join_until_save();
    store_all(PV_OK);
    set_iface(PV_IFACE_DOWN, "pv0: busy");
    show_failure();
    assert_int_equal(n_entered, 1);
}

PV_TEST(one_attempt_at_a_time_and_none_in_a_network)
{
    join();
    join();
    show_failure();
    lose_connection("x");
    fake_node_wait(&node, PV_ENROL_TIME);
    (void)fake_ctl_reply(&node, client);
    fake_node_enter(&node);
    fake_node_settle(&node);
    join();
    show_failure();
    /* To leave would not help one that was removed. */
    node.node.removed = true;
    join();
    show_failure();
}

/* A copy of it has said that it leaves: it comes back by one command. */
PV_TEST(a_node_that_another_machine_had_leave_may_join_at_once)
{
    fake_node_enter(&node);
    fake_node_settle(&node);
    fake_node_add(&node, make_member(&node.world, &node.world.creator, &bob, "bob", 7));
    join();
    show_failure();
    node.node.coord_info.standing = PV_COORD_RESIGNED;
    join();
    assert_null(node.node.roster);
}

/* A network that only the coordinator has lost is not to be left or made anew. */
PV_TEST(the_maker_of_a_network_that_the_coordinator_lost_is_told_the_way_back)
{
    fake_node_enter(&node);
    fake_node_settle(&node);
    node.node.coord_info.unserved = true;
    run_command(PV_CTLAPI_CREATE, "nonsense", "bob");
    show_failure();
}

PV_TEST(a_text_that_is_no_token_is_refused_at_once)
{
    run_command(PV_CTLAPI_JOIN, "p2pvpn-nonsense", "bob");
    show_failure();
    run_command(PV_CTLAPI_CREATE, "nonsense", "bob");
    show_failure();
    assert_false(fake_coord.connected);
}

/* --- create ----------------------------------------------------------------------------------- */

static uint64_t create(void)
{
    struct pv_url url = {.addr = {.host = "192.0.2.1", .port = 3478}};
    char text[PV_URL_TEXT_BUF];
    memcpy(url.pk, node.world.coordinator.pk, sizeof(url.pk));
    memset(node.identity.dh_pk, 9, sizeof(node.identity.dh_pk));
    assert_ok(pv_url_format(&url, text, sizeof(text)));
    return run_command(PV_CTLAPI_CREATE, text, "alice");
}

PV_TEST(no_network_is_made_in_a_range_that_is_taken)
{
    node.node.host.links[0] = (struct pv_link_addr){
        .addr = {.base = pv_addr4(10, 66, 9, 1, 0), .bits = 24}, .ifname = "eth0", .up = true};
    node.node.host.n_links = 1;
    create();
    show_failure();
    assert_null(fake_node_job(&node)); /* no root key either */
    assert_false(node.identity.has_root);
    assert_false(fake_coord.connected);
    node.node.host.n_links = 0;
    expect_nothing_left();
}

static bool anew; /* was another key asked for than one that is there? */

static void save_root(int status)
{
    struct pv_job *job = fake_node_job(&node);
    assert_non_null(job);
    struct pv_job_result result = {
        .kind = PV_JOB_KEEP_ROOT, .status = status, .error = "root: no room"};
    assert_int_equal(job->kind, PV_JOB_KEEP_ROOT);
    assert_false(job->u.root.import);
    assert_false(job->u.root.back);
    anew = job->u.root.anew;
    memcpy(result.root_pk, node.world.root.pk, sizeof(result.root_pk));
    fake_node_answer(&node, job, &result);
}

/* A network whose members' interfaces get no addresses would be there for good. */
PV_TEST(no_network_is_made_in_a_range_that_no_interface_may_have)
{
    const char *const rows[] = {
        "8.0.0.0/24", "192.0.0.0/8", "127.0.0.0/16", "169.254.0.0/16", "224.0.0.0/8",
    };
    struct pv_given *g = &node.node.given;
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        cidr = rows[i];
        create();
        show_failure();
        assert_null(fake_node_job(&node));
        assert_false(node.identity.has_root);
        assert_false(fake_coord.connected);
    }
    /* Where the settings let the interface have it, it goes on. */
    cidr = "8.0.0.0/24";
    for (int i = 0; i < 2; i++) {
        const struct pv_prefix larger = {.base = pv_addr4(8, 0, 0, 0, 0), .bits = 8};
        g->n_ranges = i == 0 ? 1 : 0;
        g->ranges[0] = larger;
        g->n_own_addrs = i == 0 ? 0 : 1;
        g->own_addrs[0] = larger;
        g->own_addrs[0].base.ip[3] = 1;
        create();
        save_root(PV_ERR_NO_SPACE);
        show_failure();
    }
    g->n_ranges = g->n_own_addrs = 0;
    cidr = "";
    expect_nothing_left();
}

/* The coordinator takes the statements of a put or a new network, with receipts. */
static void accept_statements_with(enum pv_ctl_type type, void (*spoil)(struct item *it))
{
    uint64_t tag;
    struct pv_ctl_msg *asked = fake_coord_take(type, &tag);
    struct item it[4];
    struct pv_ctl_result results[4] = {{.error = PV_CTL_E_NONE}};
    size_t n = asked->u.put.n;
    assert_true(n <= 4);
    for (size_t i = 0; i < n; i++) {
        struct pv_statement st;
        it[i] = (struct item){.s.len = asked->u.put.items[i].statement.len};
        memcpy(it[i].s.raw, asked->u.put.items[i].statement.ptr, it[i].s.len);
        assert_ok(pv_statement_decode(asked->u.put.items[n - 1].statement, &st));
        memcpy(node.world.created.network_id, st.network_id, sizeof(st.network_id));
        receipt_next(&node.world, &it[i]);
        if (spoil != NULL)
            spoil(&it[i]);
        results[i].receipt = pv_view(it[i].r, it[i].r_len);
    }
    struct pv_ctl_msg msg = {.type = PV_CTL_RECEIPTS};
    msg.u.receipts.n = n;
    msg.u.receipts.results = results;
    answer(tag, &msg);
    pv_ctl_msg_free(asked);
}

static void accept_statements(enum pv_ctl_type type)
{
    accept_statements_with(type, NULL);
}

static void create_until_invite(void)
{
    create();
    assert_false(fake_coord.connected); /* not before the root is on disk */
    save_root(PV_OK);
    assert_true(fake_coord.connected);
    welcome();
    accept_statements(PV_CTL_CREATE);
    store_all(PV_OK);
    assert_int_equal(n_entered, 1);
    set_iface(PV_IFACE_UP, "");
    expect_silence();
}

PV_TEST(create_ends_with_a_token)
{
    create_until_invite();
    assert_int_equal(fake_coord.n, 0); /* it takes a member's connection */
    node.node.online = true;
    fake_node_raise(&node, PV_FACT_ONLINE);
    accept_statements(PV_CTL_PUT);
    assert_has(fake_ctl_reply(&node, client), "p2pvpn-");
}

PV_TEST(receipts_of_a_newer_version_say_what_to_upgrade)
{
    create();
    save_root(PV_OK);
    welcome();
    accept_statements_with(PV_CTL_CREATE, renew_receipt);
    show_failure();
    assert_int_equal(n_entered, 0);
}

/* The holder of the earlier network's key, on paper or stolen, would have this one, too. */
PV_TEST(a_root_key_of_before_rules_no_second_network)
{
    uint8_t before[PV_SIGN_PK_LEN] = {8};
    char aside[64];
    node.identity.has_root = true;
    memcpy(node.identity.root.pk, before, sizeof(before));
    pv_job_root_aside("/state/root.key", before, aside, sizeof(aside));
    assert_has(aside, "/state/root.key.C");
    /* A create that comes to nothing gives it its place back. */
    create();
    save_root(PV_OK);
    assert_true(anew);
    welcome();
    refuse(expect_asked(PV_CTL_CREATE), PV_CTL_E_NOT_ALLOWED);
    show_failure();
    struct pv_job *job = fake_node_job(&node);
    assert_non_null(job);
    assert_true(job->kind == PV_JOB_KEEP_ROOT && job->u.root.back && !job->u.root.anew);
    struct pv_job_result back = {.kind = PV_JOB_KEEP_ROOT, .status = PV_OK};
    memcpy(back.root_pk, before, sizeof(before));
    fake_node_answer(&node, job, &back);
    assert_memory_equal(node.identity.root.pk, before, sizeof(before));
    create_until_invite();
    assert_true(anew);
    node.node.online = true;
    fake_node_raise(&node, PV_FACT_ONLINE);
    accept_statements(PV_CTL_PUT);
    assert_has(fake_ctl_reply(&node, client), PV_STR("'former_root':'%s'", aside));
    /* The network is there: another one has another key. */
    test_end(node.node.roster);
    node.node.roster = NULL;
    node.node.online = false;
    node.node.coord_info.as_member = false;
    create();
    save_root(PV_OK);
    assert_true(anew);
}

/* Nobody waits for the network any more, before its key was there or behind that. */
PV_TEST(a_root_key_of_before_is_given_back_when_nobody_waits)
{
    uint8_t before[PV_SIGN_PK_LEN] = {8};
    for (int i = 0; i < 2; i++) {
        node.identity.has_root = true;
        memcpy(node.identity.root.pk, before, sizeof(before));
        const uint64_t handle = create();
        if (i == 1)
            save_root(PV_OK);
        pv_part_enrol.on_cancel(node.self, handle, node.now);
        if (i == 0)
            save_root(PV_OK);
        struct pv_job *job = fake_node_job(&node);
        assert_non_null(job);
        assert_true(job->kind == PV_JOB_KEEP_ROOT && job->u.root.back);
        struct pv_job_result back = {.kind = PV_JOB_KEEP_ROOT, .status = PV_OK};
        memcpy(back.root_pk, before, sizeof(before));
        fake_node_answer(&node, job, &back);
        assert_memory_equal(node.identity.root.pk, before, sizeof(before));
        assert_null(fake_node_job(&node));
    }
}

/* Every member of the network would connect to what its first record says. */
PV_TEST(the_record_of_a_new_network_has_no_place_near_its_members)
{
    static const char *const named[] = {"127.0.0.1:22", "192.168.7.1:80", "192.0.2.9:3478"};
    struct pv_ctl_msg msg = {.kind = PV_CTL_ANSWER, .type = PV_CTL_WELCOME};
    struct pv_statement st;
    struct pv_coordinator c;
    struct pv_hostport hp;
    char texts[8][PV_HOSTPORT_BUF];
    uint64_t tag;
    size_t n = 0;
    create();
    save_root(PV_OK);
    node.node.coord_info.addr = pv_addr4(192, 0, 2, 1, 3478);
    msg.u.welcome.n_stun = msg.u.welcome.tls.n = PV_ARRAY_LEN(named);
    msg.u.welcome.stun = msg.u.welcome.tls.addrs = named;
    push(msg);
    struct pv_ctl_msg *asked = fake_coord_take(PV_CTL_CREATE, &tag);
    assert_ok(pv_statement_decode(asked->u.put.items[1].statement, &st));
    struct pv_view all = st.u.coordinators.list;
    assert_true(pv_coordlist_next(&all, &c));
    while (n < PV_ARRAY_LEN(texts) && pv_coordlist_next_addr(&c.addrs, &hp))
        (void)pv_hostport_format(&hp, texts[n++]);
    pv_ctl_msg_free(asked);
    assert_int_equal(n, 3);
    assert_string_equal(texts[0], "192.0.2.1:3478");
    assert_string_equal(texts[1], "192.0.2.9:3478");
    assert_string_equal(texts[2], "tls:192.0.2.9:3478");
}

PV_TEST(a_root_that_cannot_be_kept_ends_it)
{
    create();
    save_root(PV_ERR_NO_SPACE);
    show_failure();
    expect_nothing_left();
}

PV_TEST(a_coordinator_that_refuses_a_network_says_why)
{
    create();
    save_root(PV_OK);
    welcome();
    refuse(expect_asked(PV_CTL_CREATE), PV_CTL_E_NOT_ALLOWED);
    show_failure();
    expect_nothing_left();
}

PV_TEST(without_a_members_connection_the_network_is_there_without_a_token)
{
    create_until_invite();
    fake_node_wait(&node, PV_ENROL_TIME);
    show_failure();
    assert_true(pv_part_enrol.next_timeout(node.self) == PV_NEVER);
}

PV_TEST(an_invite_lost_on_its_way_is_told)
{
    create_until_invite();
    node.node.online = true;
    fake_node_raise(&node, PV_FACT_ONLINE);
    uint64_t tag = expect_asked(PV_CTL_PUT);
    node.node.online = false;
    fake_node_raise(&node, PV_FACT_OFFLINE);
    show_failure();
    refuse(tag, PV_CTL_E_LIMIT); /* late */
    expect_silence();
}

PV_TEST(a_network_left_meanwhile_ends_it)
{
    create_until_invite();
    test_end(node.node.roster);
    node.node.roster = NULL;
    fake_node_raise(&node, PV_FACT_NETWORK);
    show_failure();
}

PV_TEST(a_token_of_a_newer_version_says_what_to_upgrade)
{
    run_command(PV_CTLAPI_JOIN, "p2pvpn-A-1BoAQ", "bob");
    show_failure();
}
