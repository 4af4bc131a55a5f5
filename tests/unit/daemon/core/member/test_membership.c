/* SPDX-License-Identifier: MIT */
/* Membership: what follows from the roster, and how the interface comes and goes. */
#include "daemon/core/member/membership.h"
#include "proto/local/ctlapi_request.h"
#include "tests/unit/daemon/core/fake_ctl.h"
#include "tests/unit/daemon/core/member/fake_coord.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers x;

void test_before_each(void)
{
    fake_peers_init(&x, &pv_part_membership);
    fake_coord_init();
    fake_node_start(&x.f);
}

static struct pv_job *expect_job(enum pv_job_kind kind)
{
    struct pv_job *job = fake_node_expect(&x.f, kind);
    return job;
}

static void finish(struct pv_job *job, int status)
{
    fake_node_answer(&x.f, job, &(struct pv_job_result){.status = status, .error = "pv0: busy"});
}

static void enter(void)
{
    pv_membership_enter(&x.f.node, roster_to_own(&x.f.world), true, x.f.now);
    fake_peers_settle(&x);
}

/* As if it had come from anywhere. */
static size_t merge(const struct item *it)
{
    const struct pv_ctl_item item = {.statement = pv_view(it->s.raw, it->s.len),
                                     .receipt = pv_view(it->r, it->r_len)};
    size_t refused = pv_membership_add(&x.f.node, &item, 1, x.f.now);
    fake_peers_settle(&x);
    return refused;
}

static void enter_and_be_up(void)
{
    enter();
    finish(expect_job(PV_JOB_IFACE_UP), PV_OK);
}

static void leave(void)
{
    pv_membership_leave(&x.f.node, x.f.now);
    fake_peers_settle(&x);
}

static struct item member(unsigned seed, const char *name, uint16_t ip)
{
    const struct keys k = keys_of(seed);
    return make_member(&x.f.world, &x.f.world.creator, &k, name, ip);
}

static void merge_bob(void)
{
    const struct item bob = member(7, "bob", 7);
    merge(&bob);
}

/* A statement that does not verify. */
static struct item forged_bob(void)
{
    struct item bob = member(7, "bob", 7);
    bob.s.raw[bob.s.len - 1] ^= 1;
    return bob;
}

PV_TEST(entering_a_network_brings_up_its_interface)
{
    enter();
    struct pv_job *job = expect_job(PV_JOB_IFACE_UP);
    assert_int_equal(job->u.iface->n_addrs, 2);
    assert_int_equal(x.f.node.iface.state, PV_IFACE_RISING);
    assert_false(fake_coord.connected); /* nobody sees it before its interface is there */
    finish(job, PV_OK);
    assert_int_equal(x.f.node.iface.state, PV_IFACE_UP);
    assert_true(fake_coord.connected && fake_coord.as_member);
    assert_string_equal(x.f.node.node_name, "alice");
}

PV_TEST(an_interface_that_fails_is_tried_again)
{
    enter();
    finish(expect_job(PV_JOB_IFACE_UP), PV_ERR_REFUSED);
    assert_int_equal(x.f.node.iface.state, PV_IFACE_DOWN);
    assert_string_equal(x.f.node.iface.error, "pv0: busy");
    fake_node_wait(&x.f, PV_S(4));
    assert_null(fake_node_job(&x.f));
    fake_node_wait(&x.f, PV_S(2));
    finish(expect_job(PV_JOB_IFACE_UP), PV_OK);
    assert_string_equal(x.f.node.iface.error, "");
}

/* Nor is it tried again. */
PV_TEST(a_fault_that_kept_the_interface_down_is_no_problem_after_leaving)
{
    enter();
    finish(expect_job(PV_JOB_IFACE_UP), PV_ERR_REFUSED);
    leave();
    assert_string_equal(x.f.node.iface.error, "");
    while (fake_node_job(&x.f) != NULL) { /* what the store forgets */
    }
    fake_node_wait(&x.f, PV_S(60));
    assert_null(fake_node_job(&x.f));
}

PV_TEST(a_result_that_comes_after_the_interface_was_taken_down_is_nothing)
{
    enter();
    struct pv_job *job = expect_job(PV_JOB_IFACE_UP);
    leave();
    finish(job, PV_OK);
    assert_int_equal(x.f.node.iface.state, PV_IFACE_DOWN);
    assert_false(fake_coord.connected);
}

/* Statements that wait to be stored have waited long enough. */
static void wait_for_more(void)
{
    assert_null(fake_node_job(&x.f));
    fake_node_wait(&x.f, PV_S(5));
    fake_peers_settle(&x);
}

PV_TEST(a_member_gets_a_peer_and_its_statement_is_stored)
{
    enter_and_be_up();
    const struct item bob = member(7, "bob", 7);
    assert_int_equal(merge(&bob), 0);
    assert_int_equal(pv_peers_count_members(x.f.node.peers), 1);
    wait_for_more();
    struct pv_job *job = expect_job(PV_JOB_PUT_STATEMENTS);
    assert_int_equal(job->u.put_statements.n, 1);
    finish(job, PV_OK);
    assert_false(x.f.node.store.failed);
}

/* Statements without marks are marked; the next start finds them. */
enum {
    STORED = 4,
};

/* The network is there at the start. */
static struct pv_stored_statement *store_network(void)
{
    static struct item items[STORED];
    static struct pv_stored_statement stored[STORED];
    items[0] = item_of(&x.f.world, &x.f.world.created.network);
    items[1] = item_of(&x.f.world, &x.f.world.created.admin);
    items[2] = item_of(&x.f.world, &x.f.world.created.member);
    items[3] = item_of_long(&x.f.world, &x.f.world.created.coordinators);
    for (size_t i = 0; i < PV_ARRAY_LEN(items); i++)
        stored[i] =
            (struct pv_stored_statement){.statement = pv_view(items[i].s.raw, items[i].s.len),
                                         .receipt = pv_view(items[i].r, items[i].r_len)};
    x.f.saved.has_network = true;
    memcpy(x.f.saved.network_id, x.f.world.created.network_id, sizeof(x.f.saved.network_id));
    x.f.saved.statements = stored;
    x.f.saved.n_statements = PV_ARRAY_LEN(items);
    return stored;
}

PV_TEST(a_statement_stored_without_a_mark_is_stored_again_with_it)
{
    struct pv_stored_statement *stored = store_network();
    for (unsigned round = 0; round < 2; round++) {
        assert_ok(x.f.part->restore(x.f.self, &x.f.cfg, x.f.now));
        struct pv_job *job = fake_node_job(&x.f);
        size_t n = 0;
        for (; job != NULL; job = fake_node_job(&x.f)) {
            const struct pv_job_put_statements *put = &job->u.put_statements;
            for (size_t i = 0; job->kind == PV_JOB_PUT_STATEMENTS && i < put->n; i++, n++) {
                assert_true(put->items[i].has_mark);
                for (size_t k = 0; k < STORED; k++)
                    if (pv_view_equal(stored[k].statement, put->items[i].statement)) {
                        stored[k].has_mark = true;
                        memcpy(stored[k].mark, put->items[i].mark, sizeof(stored[k].mark));
                    }
            }
            finish(job, PV_OK);
        }
        assert_int_equal(n, round == 0 ? STORED : 0);
        leave();
        while ((job = fake_node_job(&x.f)) != NULL)
            finish(job, PV_OK);
    }
}

/* In the order in which they came, with the cursor behind them; a removal takes all with it at
 * once. */
PV_TEST(newcomers_are_stored_together)
{
    enter_and_be_up();
    for (unsigned i = 0; i < 20; i++) {
        const struct item it = member(10 + i, PV_STR("member-%u", i), (uint16_t)(10 + i));
        merge(&it);
        pv_membership_cursor_moved(&x.f.node, x.f.now);
        fake_node_wait(&x.f, PV_MS(5));
    }
    assert_true(pv_membership_is_stored(&x.f.node)); /* nobody waits for them */
    fake_coord.n_saved_cursor = 0;
    fake_node_wait(&x.f, PV_MS(200));
    struct pv_job *job = expect_job(PV_JOB_PUT_STATEMENTS);
    assert_int_equal(job->u.put_statements.n, 20);
    finish(job, PV_OK);
    assert_int_equal(fake_coord.n_saved_cursor, 1);
    const struct item last = member(90, "last", 90);
    merge(&last);
    assert_null(fake_node_job(&x.f));
    const struct keys k = keys_of(10);
    const struct item out =
        make_revocation(&x.f.world, &x.f.world.creator, PV_REVOKE_NODE, k.pk, NULL, 0);
    merge(&out);
    job = expect_job(PV_JOB_PUT_STATEMENTS);
    assert_int_equal(job->u.put_statements.n, 2);
    assert_int_equal(job->u.put_statements.items[0].statement.len, last.s.len);
    assert_memory_equal(job->u.put_statements.items[0].statement.ptr, last.s.raw, last.s.len);
    finish(job, PV_OK);
}

PV_TEST(a_statement_that_waits_to_be_stored_is_stored_at_the_end)
{
    enter_and_be_up();
    merge_bob();
    assert_null(fake_node_job(&x.f));
    pv_part_membership.on_stop(x.f.self, x.f.now);
    finish(expect_job(PV_JOB_PUT_STATEMENTS), PV_OK);
}

PV_TEST(a_statement_that_could_not_be_stored_is_written_again)
{
    enter_and_be_up();
    merge_bob();
    wait_for_more();
    finish(expect_job(PV_JOB_PUT_STATEMENTS), PV_ERR_NO_SPACE);
    assert_true(x.f.node.store.failed);
    fake_node_raise(&x.f, PV_FACT_STORE); /* part "store" says when */
    finish(expect_job(PV_JOB_SET_META), PV_OK);
    struct pv_job *job = expect_job(PV_JOB_PUT_STATEMENTS);
    assert_int_equal(job->u.put_statements.n, 4 + 1);
    finish(job, PV_OK);
}

PV_TEST(a_statement_that_does_not_verify_is_reported)
{
    enter();
    const struct item bob = forged_bob();
    assert_int_equal(merge(&bob), 1);
    assert_int_equal(x.f.node.reports.n, 1);
    assert_int_equal(pv_peers_count_members(x.f.node.peers), 0);
}

/* As a coordinator that was restored brings it. */
PV_TEST(a_statement_that_newer_ones_have_replaced_is_no_problem)
{
    enter();
    const struct item new = make_rule(&x.f.world, &x.f.world.creator, 0, 2, PV_RULE_ALLOW, 1);
    const struct item old = make_rule(&x.f.world, &x.f.world.creator, 0, 1, PV_RULE_DENY, 1);
    assert_int_equal(merge(&new), 0);
    assert_int_equal(merge(&old), 1);
    assert_int_equal(x.f.node.reports.n, 0);
}

/* It is a fact of the roster, whoever has polled its events. */
PV_TEST(a_statement_of_a_newer_version_says_what_to_upgrade)
{
    static const char want[] = "a statement is from a newer p2pvpn: upgrade p2pvpn on this machine";
    const struct item newer = make_newer(&x.f.world, &x.f.world.creator);
    struct item unsigned_one = newer;
    unsigned_one.s.raw[unsigned_one.s.len - 1] ^= 1;
    enter();
    merge(&unsigned_one);
    assert_false(fake_node_has_problem(&x.f, "newer"));
    pv_node_report_over(&x.f.node, PV_FROM_STATEMENTS, "a statement was refused: malformed");
    assert_int_equal(x.f.node.reports.n, 0);
    assert_int_equal(merge(&newer), 1);
    assert_int_equal(x.f.node.reports.n, 0);
    assert_true(fake_node_has_problem(&x.f, want));
    leave();
    assert_false(fake_node_has_problem(&x.f, want));
}

static unsigned n_lines;

static void count_line(void *ctx, enum pv_log_level level, const char *line)
{
    n_lines += level <= PV_LOG_WARN &&
               (strstr(line, "refused") != NULL || strstr(line, "identity.key") != NULL);
}

/* A coordinator or a member may send the same rubbish for ever. */
PV_TEST(rubbish_fills_neither_the_log_nor_the_list_of_problems)
{
    const struct pv_log log = {.level = PV_LOG_WARN, .sink = count_line};
    enter();
    x.f.node.log = &log;
    n_lines = 0;
    const struct item bob = forged_bob();
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(merge(&bob), 1);
    x.f.node.log = NULL;
    assert_int_equal(n_lines, 1);
    assert_int_equal(x.f.node.reports.n, 1);
    assert_int_equal(x.f.node.reports.list[0].more, 999);
}

PV_TEST(a_member_that_is_removed_has_no_peer_any_more)
{
    const struct keys k = keys_of(7);
    enter();
    merge_bob();
    const struct item out =
        make_revocation(&x.f.world, &x.f.world.creator, PV_REVOKE_NODE, k.pk, NULL, 0);
    merge(&out);
    assert_int_equal(pv_peers_count_members(x.f.node.peers), 0);
}

PV_TEST(leaving_takes_everything_down)
{
    enter_and_be_up();
    merge_bob();
    leave();
    assert_null(x.f.node.roster);
    assert_int_equal(pv_peers_count_members(x.f.node.peers), 0);
    finish(expect_job(PV_JOB_IFACE_DOWN), PV_OK);
    assert_false(fake_coord.connected);
}

PV_TEST(peers_are_told_before_the_interface_goes)
{
    enter_and_be_up();
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_DOWN);
    req.id = 1;
    assert_int_equal(pv_part_membership.commands[1].cmd, PV_CTLAPI_DOWN);
    pv_part_membership.commands[1].run(x.f.self, &req, NULL, 1, x.f.now);
    finish(expect_job(PV_JOB_SET_META), PV_ERR_NO_SPACE);
    assert_int_equal(x.f.node.iface.state, PV_IFACE_UP); /* what is said in-band needs it */
    assert_null(fake_node_job(&x.f));
    fake_node_wait(&x.f, PV_S(1));
    finish(expect_job(PV_JOB_IFACE_DOWN), PV_OK);
    /* The disk has room again. */
    fake_node_raise(&x.f, PV_FACT_STORE);
    struct pv_job *job = expect_job(PV_JOB_SET_META);
    assert_string_equal(job->u.set_meta.name, "up");
    assert_memory_equal(job->u.set_meta.value, "0", 1);
    finish(job, PV_OK);
    finish(expect_job(PV_JOB_PUT_STATEMENTS), PV_OK);
    pv_part_membership.commands[0].run(x.f.self, &req, NULL, 1, x.f.now);
    finish(expect_job(PV_JOB_SET_META), PV_OK);
    finish(expect_job(PV_JOB_IFACE_UP), PV_OK);
    assert_true(fake_coord.connected);
}

/* Where there is no interface "up" would be a promise that nobody keeps. */
PV_TEST(up_is_answered_when_it_is_known_whether_there_is_an_interface)
{
    enter_and_be_up();
    uint32_t sid = fake_ctl_open(&x.f);
    assert_answered(&x.f, sid, "{'v':1,'id':1,'cmd':'up'}", "'ok':true"); /* it is, as before */
    x.f.node.iface.state = PV_IFACE_DOWN;
    fake_ctl_say(&x.f, sid, "{'v':1,'id':2,'cmd':'up'}");
    fake_ctl_say(&x.f, sid, "{'v':1,'id':3,'cmd':'up'}");
    assert_string_equal(fake_ctl_reply(&x.f, sid), "");
    finish(expect_job(PV_JOB_SET_META), PV_OK);
    finish(expect_job(PV_JOB_IFACE_UP), PV_ERR_REFUSED);
    assert_reply(&x.f, sid, "the interface is not up: pv0: busy");
    assert_has(fake_ctl_output, "'id':3,'ok':false");
    fake_ctl_say(&x.f, sid, "{'v':1,'id':4,'cmd':'up'}");
    finish(expect_job(PV_JOB_SET_META), PV_OK);
    finish(expect_job(PV_JOB_IFACE_UP), PV_OK);
    assert_reply(&x.f, sid, "'id':4,'ok':true");
    /* Somebody says `down` meanwhile. */
    x.f.node.iface.state = PV_IFACE_DOWN;
    fake_ctl_say(&x.f, sid, "{'v':1,'id':5,'cmd':'up'}");
    leave();
    assert_reply(&x.f, sid, "'id':5,'ok':true");
}

PV_TEST(up_sets_anew_what_somebody_else_has_changed_of_the_interface)
{
    enter_and_be_up();
    uint32_t sid = fake_ctl_open(&x.f);
    pv_membership_set_iface_problem(&x.f.node, "pv0 was set down by somebody");
    fake_ctl_say(&x.f, sid, "{'v':1,'id':1,'cmd':'up'}");
    assert_string_equal(fake_ctl_reply(&x.f, sid), "");
    finish(expect_job(PV_JOB_SET_META), PV_OK);
    finish(expect_job(PV_JOB_IFACE_UP), PV_OK);
    assert_reply(&x.f, sid, "'id':1,'ok':true");
}

PV_TEST(an_address_in_the_networks_range_is_noticed)
{
    struct pv_prefix range;
    enter();
    assert_string_equal(pv_membership_overlap(&x.f.node, &range), "");
    x.f.node.host.links[0] = (struct pv_link_addr){
        .addr = {.base = pv_addr4(10, 66, 5, 1, 0), .bits = 24}, .ifname = "eth0", .up = true};
    x.f.node.host.n_links = 1;
    fake_node_raise(&x.f, PV_FACT_LINKS);
    assert_has(pv_membership_overlap(&x.f.node, &range), "eth0");
    assert_int_equal(range.bits, 24);
    assert_true(fake_node_has_problem(&x.f, "eth0"));
    x.f.node.host.links[0].addr.bits = 16; /* as long as the network's: our interface wins */
    fake_node_raise(&x.f, PV_FACT_LINKS);
    assert_string_equal(pv_membership_overlap(&x.f.node, &range), "");
    assert_true(fake_node_has_problem(&x.f, "`sudo p2pvpnctl down`"));
    x.f.node.host.links[0].addr.bits = 24;
    x.f.node.given.inside = 1; /* an interface in a network of its own is in nobody's way */
    fake_node_raise(&x.f, PV_FACT_LINKS);
    assert_string_equal(pv_membership_overlap(&x.f.node, &range), "");
    x.f.node.given.inside = 0;
    x.f.node.host.n_links = 0;
    fake_node_raise(&x.f, PV_FACT_LINKS);
    assert_string_equal(pv_membership_overlap(&x.f.node, &range), "");
}

PV_TEST(status_shows_the_network_and_one_trouble_of_the_interface)
{
    assert_null(fake_node_status(&x.f)->s.network);
    assert_true(fake_node_has_metric(&x.f, "p2pvpn_members 0"));
    enter();
    const struct pv_statuspage *page = fake_node_status(&x.f);
    assert_string_equal(page->s.network, "home");
    assert_string_equal(page->s.name, "alice");
    assert_int_equal(page->s.members, 1);
    assert_int_equal(page->s.online, 1);
    assert_true(page->s.admin);
    assert_int_equal(page->n_problems, 0);
    assert_true(fake_node_has_metric(&x.f, "p2pvpn_members 1"));
    finish(expect_job(PV_JOB_IFACE_UP), PV_OK);
    pv_membership_set_iface_problem(&x.f.node, "somebody changed its address");
    assert_true(fake_node_has_problem(&x.f, "somebody changed its address"));
    /* Nobody can change an interface that did not come up. */
    x.f.node.iface.state = PV_IFACE_DOWN;
    snprintf(x.f.node.iface.error, sizeof(x.f.node.iface.error), "pv0: busy");
    assert_true(fake_node_has_problem(&x.f, "the interface is not up: pv0: busy"));
    assert_false(fake_node_has_problem(&x.f, "somebody"));
    x.f.node.removed = true;
    assert_true(fake_node_has_problem(&x.f, "this node was removed from the network"));
    /* One that was off at the time has no statement that says so. */
    x.f.node.removed = false;
    x.f.node.coord_info.standing = PV_COORD_DENIED;
    fake_node_show_problems(&x.f);
}

/* It ends with the claim, and hides no other problem. */
PV_TEST(a_claim_that_does_not_count_is_a_problem_for_as_long_as_it_is_made)
{
    const struct keys bob = keys_of(7);
    enter();
    merge_bob();
    const struct item lost = make_place(&x.f.world, &bob, &bob, "alice", 7, 1),
                      other = make_place(&x.f.world, &bob, &bob, "bert", 7, 2);
    merge(&lost);
    fake_node_show_problems(&x.f);
    assert_int_equal(x.f.node.reports.n, 0);
    merge(&other);
    assert_false(fake_node_has_problem(&x.f, "is not called"));
    for (unsigned i = 0; i < PV_NODE_SOURCE_REPORTS + 3; i++) {
        const struct item it = member(20 + i, "alice", (uint16_t)(20 + i));
        merge(&it);
    }
    fake_node_show_problems(&x.f);
    assert_true(fake_node_has_problem(&x.f, "3 more like these"));
    leave();
    assert_false(fake_node_has_problem(&x.f, "is no member"));
}

/* A damaged key that was moved away: the coordinator's "wait" would be for ever. */
PV_TEST(a_node_with_another_key_is_told_to_join_again)
{
    enter();
    assert_false(pv_node_is_stranger(&x.f.node));
    x.f.identity.sign_pk[0] ^= 1;
    assert_true(pv_node_is_stranger(&x.f.node));
    assert_true(fake_node_has_problem(&x.f, "identity.key is not the one by which"));
    x.f.node.removed = true;
    assert_false(pv_node_is_stranger(&x.f.node));
}

static void keep_line(void *ctx, enum pv_log_level level, const char *line)
{
    snprintf(ctx, 512, "%s", line);
}

PV_TEST(a_start_from_the_store_of_a_newer_version_says_what_to_upgrade)
{
    char line[512] = "";
    const struct pv_log log = {.level = PV_LOG_ERROR, .sink = keep_line, .ctx = line};
    struct pv_stored_statement *stored = store_network();
    uint8_t record[PV_STATEMENT_MAX];
    memcpy(record, stored[0].statement.ptr, stored[0].statement.len);
    record[0] = 2;
    stored[0].statement.ptr = record;
    x.f.node.log = &log;
    assert_int_equal(x.f.part->restore(x.f.self, &x.f.cfg, x.f.now), PV_ERR_UNSUPPORTED);
    x.f.node.log = NULL;
    assert_shows("line", line);
}

/* The log is read where `status` is not. */
PV_TEST(a_start_with_another_key_is_logged_once)
{
    const struct pv_log log = {.level = PV_LOG_ERROR, .sink = count_line};
    (void)store_network();
    x.f.identity.sign_pk[0] ^= 1;
    x.f.node.log = &log;
    n_lines = 0;
    assert_ok(x.f.part->restore(x.f.self, &x.f.cfg, x.f.now));
    fake_peers_settle(&x);
    fake_node_wait(&x.f, PV_S(60));
    x.f.node.log = NULL;
    assert_int_equal(n_lines, 1);
}

/* It has said so, and its network is there until the others know. */
PV_TEST(a_node_that_is_leaving_has_the_key_by_which_it_joined)
{
    enter();
    fake_node_add(&x.f, make_leave(&x.f.world, &x.f.world.creator, 1));
    assert_null(pv_roster_enrolled(x.f.node.roster, x.f.identity.sign_pk));
    assert_false(pv_node_is_stranger(&x.f.node));
    assert_false(fake_node_has_problem(&x.f, "identity.key is not the one by which"));
}
