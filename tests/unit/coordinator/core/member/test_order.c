/* SPDX-License-Identifier: MIT */
/*
 * test_order.c - a network's log at its coordinator: random statements, stores that fail, restarts
 * and old backups, while members follow; and single cases.
 */
#include "coordinator/core/member/order.h"
#include "tests/unit/proto/roster/log_world.h"

enum {
    MEMBERS = 3,
    STORED = 512,
    ME = COORD_KEYS,
};

static const uint8_t genesis[PV_LOGST_HASH_LEN] = {9};

/* The store: entries in order. */
static struct pv_storeop *rows[STORED];
static size_t n_rows;

static struct pv_order *order;
static struct pv_netlog *members[MEMBERS];
static bool acked[NAIVE_STS];
static struct naive after, nothing; /* after the stored entries */
static size_t n_state;

void test_begin(void)
{
    make_keys();
    nothing.version = 1;
    nothing.moved = -1;
}

static struct pv_order *order_new(bool fresh)
{
    struct pv_order_config cfg = {.fold = config(), .sk = sks[ME]};
    struct pv_order *o = NULL;
    memcpy(cfg.genesis, genesis, sizeof(genesis));
    assert_ok(pv_order_new(&cfg, fresh, &o));
    return o;
}

static void truncate_store(size_t n)
{
    while (n_rows > n)
        pv_storeop_free(rows[--n_rows]);
}

static int teardown(void **ret)
{
    truncate_store(0);
    order = pv_order_free(order);
    for (int i = 0; i < MEMBERS; i++)
        members[i] = pv_netlog_free(members[i]);
    return test_teardown(ret);
}

static int setup(void **ret)
{
    struct pv_fold_config cfg = config();
    (void)ret;
    naive_n = 0;
    naive_keep_max = PV_OUTSIDE_GRANT_MAX;
    memset(acked, 0, sizeof(acked));
    after = nothing;
    n_state = 0;
    order = order_new(true);
    for (int i = 0; i < MEMBERS; i++)
        assert_ok(pv_netlog_new(&cfg, genesis, &members[i]));
    return 0;
}

PV_TEST_WORLD(setup, teardown);

/* --- the store ------------------------------------------------------------------------------- */

static int store(const struct pv_storeop *op)
{
    if (op->cut)
        truncate_store(op->rows[0].n - 1);
    for (size_t i = 0; i < op->n_rows; i++) {
        assert_true(op->rows[i].n == n_rows + 1);
        assert_true(n_rows < STORED);
        assert_ok(pv_storeop_new(PV_STOREOP_APPEND, 1, op->rows[i].statement.len, &rows[n_rows]));
        assert_ok(pv_storeop_add(rows[n_rows], &op->rows[i]));
        n_rows++;
    }
    return PV_OK;
}

/* The number of a statement; -1: there is none. */
static int uid_of(const uint8_t *hash)
{
    for (int u = 0; u < naive_n; u++)
        if (memcmp(naive_sts[u].hash, hash, PV_LOGST_HASH_LEN) == 0)
            return u;
    return -1;
}

/* The model's after follows what is stored. */
static void follow_store(void)
{
    if (n_state > n_rows) {
        after = nothing;
        n_state = 0;
    }
    for (; n_state < n_rows; n_state++) {
        struct pv_entry e;
        assert_ok(pv_entry_decode(rows[n_state]->rows[0].statement, &e));
        int u = uid_of(e.st.hash);
        assert_true(u >= 0);
        assert_true(e.time >= (uint64_t)after.time);
        after.time = (int)e.time;
        assert_int_equal(naive_why(&after, u, (int)e.time), PV_WHY_ALLOWED);
        naive_do(&after, u, (int)e.time);
    }
}

static void take_answers(void)
{
    struct pv_order_done done;
    while (pv_order_poll_done(order, &done))
        if (!done.failed && (done.why == PV_WHY_ALLOWED || done.why == PV_WHY_COUNTED))
            acked[done.ticket] = true;
}

/* One turn of the store. status: what it says. */
static bool turn(uint64_t wall, int status)
{
    struct pv_storeop *op = NULL;
    int r = pv_order_poll_job(order, wall, &op);
    if (r == PV_OK) {
        if (status == PV_OK)
            store(op);
        pv_storeop_free(op);
        pv_order_handle_job(order, status, wall);
    }
    take_answers();
    follow_store();
    return r == PV_OK;
}

static void restart(void)
{
    order = pv_order_free(order);
    order = order_new(false);
    for (size_t i = 0; i < n_rows; i++)
        assert_ok(pv_order_load(order, rows[i]->rows[0].statement));
}

/* --- members --------------------------------------------------------------------------------- */

static struct pv_netlog_piece piece_of(const struct pv_view *views, uint64_t first, uint64_t last,
                                       struct pv_view head)
{
    return (struct pv_netlog_piece){
        .first = first, .entries = views, .n = (size_t)(last - first + 1), .head = head};
}

/* A member compares its log with the coordinator's and gets, or gives, what is missing. */
static void meet(struct pv_netlog *m)
{
    struct pv_view views[STORED];
    uint64_t n = pv_netlog_n(m), last = pv_order_n(order);
    switch (pv_order_compare(order, n, pv_netlog_hash(m, n), true)) {
    case PV_ORDER_HAS:
        (void)pv_order_sign_again(order, 1);
        for (uint64_t i = n; i < last; i++)
            views[i - n] = pv_order_entry(order, i + 1);
        struct pv_netlog_piece piece = piece_of(views, n + 1, last, pv_order_head(order));
        if (last > n && piece.head.len > 0)
            assert_ok(pv_netlog_take(m, &piece));
        break;
    case PV_ORDER_LACKS:
        for (uint64_t i = last; i < n; i++)
            views[i - last] = pv_netlog_entry(m, i + 1);
        struct pv_netlog_piece given = piece_of(views, last + 1, n, pv_netlog_head(m));
        assert_ok(pv_order_take(order, &given));
        break;
    case PV_ORDER_DIFFERS:
        fail_msg("chance %llx: two logs", (unsigned long long)chance);
    }
}

static int say_move(void)
{
    return say((struct naive_st){.kind = PV_LOGST_COORDINATORS,
                                 .grant = -1,
                                 .about = -1,
                                 .epoch = after.epoch + 1,
                                 .prev = n_rows == 0 ? -1 : 0,
                                 .n = (int)n_rows,
                                 .time = after.time,
                                 .coord = ME},
               pv_order_hash(order, n_rows));
}

static int say_grant(int key)
{
    return say(
        (struct naive_st){
            .kind = PV_LOGST_GRANT, .grant = -1, .about = key, .flags = 3, .prev = -1},
        NULL);
}

static void submit(int u)
{
    if (u >= 0)
        (void)!pv_order_submit(order, reals[u].raw, (uint64_t)u);
}

static void found(void)
{
    submit(say_move());
    assert_true(turn(0, PV_OK));
    for (int k = 1; k <= 3; k++)
        submit(say_grant(k));
    assert_true(turn(0, PV_OK));
    assert_int_equal(pv_order_n(order), 4);
}

/* What was acknowledged is in the log of who holds the most of it. */
static void expect_acked(void)
{
    const struct pv_fold *f = pv_order_fold(order);
    for (int u = 0; u < naive_n; u++)
        if (acked[u] && (pv_fold_said(f, naive_sts[u].hash) == NULL ||
                         !pv_fold_said(f, naive_sts[u].hash)->counts))
            fail_msg("chance %llx: statement %d was acknowledged, and is gone",
                     (unsigned long long)chance, u);
}

static uint64_t longest(void)
{
    uint64_t n = 0;
    for (int i = 0; i < MEMBERS; i++)
        n = pv_netlog_n(members[i]) > n ? pv_netlog_n(members[i]) : n;
    return n;
}

/* An old backup is put back. The first member that meets the coordinator is one that followed it;
 * what no member has is lost, acknowledged or not. */
static void put_back(void)
{
    size_t best = 0;
    for (size_t i = 1; i < MEMBERS; i++)
        if (pv_netlog_n(members[i]) > pv_netlog_n(members[best]))
            best = i;
    if (pv_netlog_n(members[best]) < n_rows)
        return;
    truncate_store(n_rows - (size_t)pick((int)n_rows));
    restart();
    follow_store();
    assert_int_equal(pv_order_submit(order, reals[0].raw, 0), PV_ERR_STATE);
    meet(members[best]);
    while (turn(0, pick(3) == 0 ? PV_ERR_CLOSED : PV_OK))
        ;
    assert_int_equal(pv_order_n(order), pv_netlog_n(members[best]));
}

/* It is killed behind the commit, before the answer. */
static void kill_behind_commit(uint64_t wall)
{
    struct pv_storeop *op = NULL;
    if (pv_order_poll_job(order, wall, &op) == PV_OK)
        store(op);
    pv_storeop_free(op);
    restart();
    follow_store();
}

static void run_world(void)
{
    found();
    for (int i = 0; i < 150 && naive_n < NAIVE_STS - 2 && n_rows < STORED - 20; i++) {
        for (int k = pick(4); k > 0 && naive_n < NAIVE_STS - 2; k--)
            submit(pick(9) == 0 ? pick(naive_n) : say_something(&after));
        (void)turn((uint64_t)(after.time + pick(3) * DAY), pick(6) == 0 ? PV_ERR_CLOSED : PV_OK);
        if (pick(2) == 0)
            meet(members[pick(MEMBERS)]);
        if (pick(25) == 0)
            restart();
        if (pick(25) == 0)
            kill_behind_commit((uint64_t)after.time);
        if (pick(25) == 0)
            put_back();
        if (pv_order_state(order) == PV_ORDER_WAITS && longest() > 0)
            meet(members[pick(MEMBERS)]);
        assert_true(longest() <= pv_order_n(order) || pv_order_state(order) == PV_ORDER_WAITS);
        expect_acked();
    }
    while (turn((uint64_t)after.time, PV_OK))
        ;
    if (differs(pv_order_fold(order), &after) != NULL)
        fail_msg("chance %llx: %s", (unsigned long long)chance,
                 differs(pv_order_fold(order), &after));
}

static unsigned worlds(unsigned most)
{
    const char *n = getenv("PV_LOG_WORLDS");
    return n != NULL ? (unsigned)strtoul(n, NULL, 10) : test_takes_all() ? most : most / 10;
}

PV_TEST(acknowledged_statements_stay_through_failures_restarts_and_backups)
{
    for (uint64_t seed = 1; seed <= worlds(60); seed++) {
        chance = seed << 20;
        run_world();
        teardown(NULL);
        setup(NULL);
    }
}

/* --- single cases ---------------------------------------------------------------------------- */

PV_TEST(nobody_sees_an_entry_before_it_is_stored)
{
    struct pv_storeop *op = NULL;
    found();
    submit(say_grant(4));
    assert_ok(pv_order_poll_job(order, 1, &op));
    assert_int_equal(op->n_rows, 1);
    assert_int_equal(pv_order_n(order), 4);
    assert_int_equal(pv_order_head(order).len, PV_HEAD_LEN);
    struct pv_head head;
    assert_ok(pv_head_decode(pv_order_head(order), &head));
    assert_true(head.n == 4);
    pv_storeop_free(op);
    pv_order_handle_job(order, PV_ERR_CLOSED, 1);
    struct pv_order_done done;
    assert_true(pv_order_poll_done(order, &done));
    assert_true(done.failed);
    assert_true(turn(2, PV_OK)); /* offered again */
    assert_int_equal(pv_order_n(order), 5);
    assert_ok(pv_head_decode(pv_order_head(order), &head));
    assert_true(head.n == 5);
}

PV_TEST(a_coordinator_whose_stored_log_is_another_orders_nothing)
{
    struct pv_storeop *op = NULL;
    found();
    int u = say_grant(4);
    submit(u);
    assert_ok(pv_order_poll_job(order, 1, &op));
    pv_storeop_free(op);
    pv_order_handle_job(order, PV_ERR_REFUSED, 1);
    assert_int_equal(pv_order_state(order), PV_ORDER_BROKEN);
    assert_int_equal(pv_order_submit(order, reals[u].raw, 1), PV_ERR_STATE);
    assert_int_equal(pv_order_poll_job(order, 1, &op), PV_ERR_AGAIN);
}

/* A database of last week is put back: nothing is ordered, the member with the longer log gives it,
 * and it goes on behind that. */
PV_TEST(an_old_backup_takes_the_longer_log)
{
    found();
    meet(members[0]);
    truncate_store(2);
    restart();
    int u = say_grant(5);
    assert_int_equal(pv_order_submit(order, reals[u].raw, 1), PV_ERR_STATE);
    meet(members[1]); /* it has nothing to compare */
    assert_int_equal(pv_order_state(order), PV_ORDER_WAITS);
    meet(members[0]);
    assert_true(turn(1, PV_OK));
    assert_int_equal(pv_order_n(order), 4);
    submit(u);
    assert_true(turn(1, PV_OK));
    meet(members[0]);
    meet(members[1]);
    assert_int_equal(pv_netlog_n(members[0]), 5);
    assert_memory_equal(pv_netlog_hash(members[0], 5), pv_netlog_hash(members[1], 5), 32);
}

/* Root moves the network to an earlier place: a member brings the move, and the stored log follows.
 */
PV_TEST(a_move_cuts_the_stored_log)
{
    uint8_t raw[PV_ENTRY_HEAD_LEN + RAW_MAX];
    size_t len = 0;
    found();
    meet(members[0]);
    int u = say((struct naive_st){.kind = PV_LOGST_COORDINATORS,
                                  .grant = -1,
                                  .about = -1,
                                  .epoch = 9,
                                  .prev = 0,
                                  .n = 2,
                                  .time = 5,
                                  .coord = ME},
                pv_order_hash(order, 2));
    assert_ok(pv_entry_encode(pv_order_hash(order, 2), 5, reals[u].raw, raw, sizeof(raw), &len));
    struct pv_view view = pv_view(raw, len);
    struct pv_netlog_piece piece = piece_of(&view, 3, 3, pv_view(NULL, 0));
    restart();
    assert_ok(pv_order_take(order, &piece));
    struct pv_storeop *op = NULL;
    assert_ok(pv_order_poll_job(order, 5, &op));
    assert_true(op->cut);
    assert_true(op->rows[0].n == 3);
    store(op);
    pv_storeop_free(op);
    pv_order_handle_job(order, PV_OK, 5);
    assert_int_equal(n_rows, 3);
    assert_int_equal(pv_order_n(order), 3);
    assert_ok(pv_netlog_take(members[0], &piece));
    assert_int_equal(pv_order_head(order).len, PV_HEAD_LEN);
}

/* --- speed ----------------------------------------------------------------------------------- */

PV_TEST(a_batch_has_as_many_statements_as_wait)
{
    found();
    for (int i = 0; i < 40; i++)
        submit(say_grant(4 + i % 4));
    assert_true(turn(1, PV_OK));
    assert_int_equal(pv_order_n(order), 44);
    assert_false(turn(1, PV_OK));
}
