/* SPDX-License-Identifier: MIT */
/* The network's log as a node keeps it: what it asks the coordinator for, stores, and gives. */
#include "daemon/core/parts.h"
#include "proto/roster/netlog.h"
#include "tests/unit/daemon/core/member/fake_coord.h"

enum {
    RAWS = 64,
    LATER = 1000, /* seconds: the time of entries */
};

static struct fake_node node;
static struct pv_netlog *theirs; /* the coordinator's log */
static uint8_t raws[RAWS][PV_LOGST_MAX];
static size_t n_raws;

static void free_theirs(void *ctx)
{
    theirs = pv_netlog_free(theirs);
}

static struct pv_netlog *netlog(void)
{
    const struct pv_roster *r = node.node.roster;
    struct pv_fold_config cfg = {
        .own_max = PV_FOLD_OWN_MAX, .range = pv_roster_network(r)->range, .rng = &node.node.rng};
    uint8_t genesis[PV_LOGST_HASH_LEN];
    struct pv_netlog *log = NULL;
    const struct pv_roster_entry *x = pv_roster_next_entry(r, NULL);
    while (x->st.type != PV_ST_NETWORK)
        x = pv_roster_next_entry(r, x);
    memcpy(cfg.network_id, pv_roster_network_id(r), sizeof(cfg.network_id));
    memcpy(cfg.root, pv_roster_root(r), sizeof(cfg.root));
    pv_statement_hash(x->st.raw, genesis);
    assert_ok(pv_netlog_new(&cfg, genesis, &log));
    return log;
}

void test_before_each(void)
{
    fake_node_init(&node, &pv_part_logkeep);
    fake_coord_init();
    fake_node_enter(&node);
    theirs = netlog();
    test_defer(free_theirs, NULL);
    fake_node_start(&node);
}

/* --- the coordinator's log ------------------------------------------------------------------- */

static void append(struct pv_netlog *log, struct pv_logst st)
{
    struct pv_logst signed_st;
    uint8_t *raw = raws[n_raws++ % RAWS];
    size_t len = 0;
    enum pv_why why;
    memcpy(st.network_id, pv_roster_network_id(node.node.roster), sizeof(st.network_id));
    st.made = n_raws;
    assert_ok(pv_logst_make(&st, node.world.root.sk, NULL, raw, sizeof(raws[0]), &len));
    assert_ok(pv_logst_decode(pv_view(raw, len), &signed_st));
    assert_ok(pv_netlog_append(log, &signed_st, LATER, &why));
}

static void move(struct pv_netlog *log, uint64_t epoch)
{
    static const struct pv_hostport addr = {.host = "coord.example", .port = 3478};
    uint8_t list[PV_STATEMENT_LIST_MAX];
    struct pv_writer lw = pv_writer(list, sizeof(list));
    struct pv_logst st = {
        .type = PV_LOGST_COORDINATORS, .number = epoch, .after = pv_netlog_n(log), .time = LATER};
    pv_coordlist_put(&lw, node.world.coordinator.pk, &addr, 1);
    st.list = pv_view(list, lw.len);
    memcpy(st.about, pv_netlog_hash(log, st.after), sizeof(st.about));
    append(log, st);
}

static void grant(struct pv_netlog *log)
{
    struct pv_logst st = {.type = PV_LOGST_GRANT, .flags = PV_GRANT_REMOVE};
    memcpy(st.about, node.world.creator.pk, sizeof(st.about));
    append(log, st);
}

static void sign(struct pv_netlog *log)
{
    assert_ok(pv_netlog_sign(log, LATER, node.world.coordinator.sk));
}

/* A log of n entries. */
static void fill(struct pv_netlog *log, unsigned n)
{
    if (pv_netlog_n(log) == 0)
        move(log, 1);
    while (pv_netlog_n(log) < n)
        grant(log);
    sign(log);
}

/* --- what the node asks ---------------------------------------------------------------------- */

static void come_online(void)
{
    const struct pv_ctl_msg welcome = {.kind = PV_CTL_ANSWER, .type = PV_CTL_WELCOME};
    node.node.online = true;
    pv_part_logkeep.on_push(node.self, &welcome, node.now);
}

/* The coordinator answers the next request LOG with at most so many entries. The entry that was
 * asked about. */
static uint64_t answer_log(size_t most)
{
    struct pv_view views[RAWS];
    uint64_t tag;
    struct pv_ctl_msg *asked = fake_coord_take(PV_CTL_LOG, &tag);
    struct pv_ctl_msg m = {.kind = PV_CTL_ANSWER, .type = PV_CTL_ENTRIES};
    struct pv_ctl_entries *e = &m.u.entries;
    uint64_t n = asked->u.log.n, last = pv_netlog_n(theirs);
    bool same = n > last || memcmp(pv_netlog_hash(theirs, n), asked->u.log.hash, 32) == 0;
    *e = (struct pv_ctl_entries){.first = same ? n + 1 : 0, .last = last, .entries = views};
    for (uint64_t i = n + 1; same && i <= last && e->n < most; i++)
        views[e->n++] = pv_netlog_entry(theirs, i);
    if (same && e->first + e->n > last && n <= last)
        e->head = pv_netlog_head(theirs);
    pv_ctl_msg_free(asked);
    pv_part_logkeep.on_answer(node.self, tag, &m, node.now);
    return n;
}

static void expect_rest(void)
{
    assert_int_equal(fake_coord.n, 0);
    assert_null(fake_node_job(&node));
}

/* What is stored now: entries from first on. */
static void expect_stored(uint64_t first, size_t n)
{
    struct pv_job *job = fake_node_expect(&node, PV_JOB_PUT_ENTRIES);
    const struct pv_job_put_entries *put = &job->u.put_entries;
    assert_true(put->first == first);
    assert_int_equal(put->n, n);
    for (size_t i = 0; i < n; i++)
        assert_true(pv_view_equal(put->entries[i], pv_netlog_entry(theirs, first + i)));
    assert_true(pv_view_equal(put->head, pv_netlog_head(theirs)));
    pv_job_free(job);
}

PV_TEST(fetches_and_stores_what_is_new)
{
    fill(theirs, 5);
    come_online();
    assert_int_equal(answer_log(2), 0);
    assert_int_equal(answer_log(2), 2);
    assert_null(fake_node_job(&node)); /* nothing counts before the head is here */
    assert_int_equal(answer_log(2), 4);
    expect_stored(1, 5);
}

PV_TEST(takes_pages_when_the_head_is_here)
{
    fill(theirs, 5);
    come_online();
    assert_int_equal(answer_log(3), 0);
    assert_int_equal(answer_log(3), 3);
    expect_stored(1, 5);
    expect_rest();
    assert_true(fake_node_status(&node)->s.log == 5);
    /* A push says that there is more; only that is fetched. */
    fill(theirs, 6);
    struct pv_ctl_msg push = {.kind = PV_CTL_PUSH, .type = PV_CTL_ENTRIES};
    push.u.entries = (struct pv_ctl_entries){.first = 7, .last = 6, .head = pv_netlog_head(theirs)};
    pv_part_logkeep.on_push(node.self, &push, node.now);
    assert_int_equal(answer_log(9), 5);
    expect_stored(6, 1);
    pv_part_logkeep.on_push(node.self, &push, node.now); /* known */
    expect_rest();
}

PV_TEST(starts_with_the_stored_log)
{
    struct pv_view entries[5];
    struct pv_saved_meta head = {.name = "log-head"};
    fill(theirs, 5);
    for (uint64_t i = 1; i <= 5; i++)
        entries[i - 1] = pv_netlog_entry(theirs, i);
    head.value = pv_netlog_head(theirs);
    node.saved = (struct pv_saved){.entries = entries, .n_entries = 5, .meta = &head, .n_meta = 1};
    pv_part_free(node.part, node.self);
    fake_node_start(&node);
    fake_node_raise(&node, PV_FACT_NETWORK);
    come_online();
    assert_int_equal(answer_log(9), 5);
    expect_rest();
    /* One without its head could be anybody's. */
    node.saved.n_meta = 0;
    pv_part_free(node.part, node.self);
    fake_node_start(&node);
    come_online();
    assert_int_equal(answer_log(9), 0);
    expect_stored(1, 5);
}

/* The coordinator's database is an old one: it is given what it lacks, once. */
PV_TEST(gives_an_old_backup_what_it_lacks)
{
    uint64_t tag;
    struct pv_ctl_msg done = {.kind = PV_CTL_ANSWER, .type = PV_CTL_DONE};
    fill(theirs, 5);
    come_online();
    (void)answer_log(9);
    expect_stored(1, 5);
    struct pv_netlog *whole = theirs;
    theirs = netlog();
    for (uint64_t i = 1; i <= 2; i++)
        assert_ok(pv_netlog_load(theirs, pv_netlog_entry(whole, i)));
    come_online();
    assert_int_equal(answer_log(9), 5);
    struct pv_ctl_msg *given = fake_coord_take(PV_CTL_ENTRIES, &tag);
    assert_true(given->u.entries.first == 3);
    assert_int_equal(given->u.entries.n, 3);
    const struct pv_netlog_piece piece = {
        .first = 3, .entries = given->u.entries.entries, .n = 3, .head = given->u.entries.head};
    assert_ok(pv_netlog_take(theirs, &piece));
    pv_ctl_msg_free(given);
    pv_part_logkeep.on_answer(node.self, tag, &done, node.now);
    assert_int_equal(answer_log(9), 5); /* now they are one */
    expect_rest();
    pv_netlog_free(whole);
}

/* Root moved the network to an earlier place: the last common entry is looked for, and what is
 * stored behind it goes. */
PV_TEST(follows_root_to_an_earlier_place)
{
    fill(theirs, 9);
    come_online();
    (void)answer_log(20);
    expect_stored(1, 9);
    struct pv_netlog *former = theirs;
    theirs = netlog();
    for (uint64_t i = 1; i <= 4; i++)
        assert_ok(pv_netlog_load(theirs, pv_netlog_entry(former, i)));
    move(theirs, 2);
    fill(theirs, 10);
    come_online();
    assert_int_equal(answer_log(20), 9);
    assert_int_equal(answer_log(20), 8);
    assert_int_equal(answer_log(20), 6);
    assert_int_equal(answer_log(20), 2);
    expect_stored(5, 6);
    expect_rest();
    pv_netlog_free(former);
}

/* It signed two histories: this node keeps its own, and tells its user. */
PV_TEST(reports_a_coordinator_that_signed_two_histories)
{
    fill(theirs, 5);
    come_online();
    (void)answer_log(9);
    expect_stored(1, 5);
    struct pv_netlog *former = theirs;
    theirs = netlog();
    for (uint64_t i = 1; i <= 3; i++)
        assert_ok(pv_netlog_load(theirs, pv_netlog_entry(former, i)));
    fill(theirs, 7);
    come_online();
    assert_int_equal(answer_log(9), 5);
    assert_int_equal(answer_log(9), 4);
    assert_int_equal(answer_log(9), 2);
    assert_true(node.node.reports.n > 0);
    expect_rest();
    pv_netlog_free(former);
}
