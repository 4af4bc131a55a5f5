/* SPDX-License-Identifier: MIT */
/* Homes of networks in PostgreSQL: two coordinators with one database, of which one at a time
 * stores for a network; what becomes of it when its home is given away, dies, or sleeps. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include "coordinator/core/member/home.h"
#include "coordinator/store/pg/pg_lease.h"
#include "coordinator/store/pg/pg_view.h"
#include "coordinator/store/pg/store_pg.h"
#include "sys/proc/clock.h"
#include "tests/unit/coordinator/store/pg_line.h"
#include "tests/unit/coordinator/store/pg_program.h"
#include "tests/unit/coordinator/store/store_ops.h"

/* --- two coordinators, `one` and `two`, and what they ask of their PostgreSQL ---------------- */

/* `server` is started once; each test runs between setup() and teardown(). */

static const char *user = "postgres"; /* of the database, as those that join have it */

/* A coordinator as the database knows it. */
struct member {
    struct pv_pg_lease *lease;
    struct pv_coordstore *store;
    struct pv_pg_renewal renewal;
};
static struct member one, two;

static inline struct pv_coordstore *open_ok(void)
{
    return one.store;
}

static void run_sql(const char *sql)
{
    (void)pg_sql(&server, sql);
}

static inline struct pv_pg_lease *lease_of(uint8_t number, bool shared)
{
    char error[PV_PG_ERROR_MAX] = "";
    struct pv_pg_lease *l = NULL;
    struct pv_pg_lease_config cfg = {.conninfo = pg_server_conninfo(&server, user),
                                     .pk = {1},
                                     .holder = {number},
                                     .shared = shared};
    snprintf(cfg.name, sizeof(cfg.name), "machine %u", number);
    snprintf(cfg.addrs, sizeof(cfg.addrs), "192.0.2.%u:3478 [2001:db8::%u]:3478", number, number);
    if (pv_pg_lease_new(&l, &cfg, error) != PV_OK)
        fail_msg("%s", error);
    return l;
}

/* The server may be starting still. The store goes by this address. */
static inline struct member join_by(uint8_t number, const char *conninfo)
{
    struct member m = {.lease = lease_of(number, true)};
    char other[PV_PG_NAME_MAX], error[PV_PG_ERROR_MAX] = "";
    const pv_ns until = pv_clock_now() + PV_S(60);
    int r;
    while ((r = pv_pg_lease_take(m.lease, other, error)) == PV_ERR_CLOSED && pv_clock_now() < until)
        poll(NULL, 0, 50);
    if (r != PV_OK)
        fail_msg("%d %s", r, error);
    const struct pv_store_pg_config cfg = {.conninfo = conninfo,
                                           .member = pv_pg_lease_fence(m.lease),
                                           .epoch = pv_pg_lease_epoch(m.lease),
                                           .decode = pv_statement_decode};
    r = pv_coordstore_open_pg(&m.store, &cfg, error);
    if (r != PV_OK)
        fail_msg("%d %s", r, error);
    return m;
}

static inline struct member join(uint8_t number)
{
    return join_by(number, pg_server_conninfo(&server, user));
}

static inline void leave(struct member *m)
{
    pv_coordstore_close(m->store);
    pv_pg_lease_free(m->lease);
    free(m->renewal.list);
    *m = (struct member){.lease = NULL};
}

static inline int renew(struct member *m, uint64_t homes)
{
    char error[PV_PG_ERROR_MAX] = "";
    free(m->renewal.list);
    m->renewal = (struct pv_pg_renewal){.homes = homes};
    return pv_pg_lease_renew(m->lease, &m->renewal, error);
}

static inline int setup(void **state)
{
    list_begin();
    one = join(1);
    two = join(2);
    return 0;
}

static inline int teardown(void **state)
{
    leave(&one);
    leave(&two);
    run_sql("DROP SCHEMA IF EXISTS p2pvpn CASCADE");
    return test_teardown(state);
}

/* --- operations ------------------------------------------------------------------------------ */

static inline struct pv_storeop_result create(struct member *m, uint64_t n)
{
    struct pv_storeop *op = network_op(n);
    op->fresh = true;
    return run(m->store, op);
}

/* HOME, LEAVE or DROP, for which this node pleads (NULL: nobody); the answer is the caller's. */
static struct pv_storeop_result order_for(struct member *m, enum pv_storeop_kind kind,
                                          const struct cw_node *pleader)
{
    struct pv_storeop_copy what = {.wall_s = 0};
    struct pv_storeop *op = NULL;
    memcpy(what.network, world->created.network_id, sizeof(what.network));
    assert_ok(pv_storeop_new_copy(kind, &what, pv_view(NULL, 0), &op));
    op->id = 3;
    op->pleads = pleader != NULL;
    if (pleader != NULL)
        memcpy(op->node, pleader->id.pk, sizeof(op->node));
    return run(m->store, op);
}

static struct pv_storeop_result order(struct member *m, enum pv_storeop_kind kind)
{
    return order_for(m, kind, NULL);
}

static struct pv_home_answer *answer_in(struct pv_storeop_result res)
{
    if (res.status != PV_OK)
        fail_msg("%d %s", res.status, res.error);
    assert_non_null(res.home);
    return res.home;
}

static struct pv_home_answer *ask(struct member *m, enum pv_storeop_kind kind)
{
    return answer_in(order(m, kind));
}

static enum pv_home_verdict verdict_in(struct pv_home_answer *a)
{
    enum pv_home_verdict v = a->verdict;
    pv_home_answer_free(a);
    return v;
}

static enum pv_home_verdict verdict(struct member *m)
{
    return verdict_in(ask(m, PV_STOREOP_HOME));
}

static enum pv_home_verdict verdict_for(struct member *m, const struct cw_node *pleader)
{
    return verdict_in(answer_in(order_for(m, PV_STOREOP_HOME, pleader)));
}

/* It gives the network away. */
static enum pv_home_verdict give(struct member *m)
{
    return verdict_in(ask(m, PV_STOREOP_LEAVE));
}

static inline int put(struct member *m, uint64_t n)
{
    struct cw_node node = cw_node_make(world);
    struct pv_storeop_result res = run(m->store, member_op(&node, n, 0, 100));
    return res.status;
}

/* Entries of the network's log. */
static int append(struct member *m, uint8_t by, uint64_t first, uint64_t last)
{
    struct pv_storeop *op = append_op(0, by, by, first, last);
    for (size_t i = 0; i < op->n_rows; i++)
        memcpy(op->rows[i].network, world->created.network_id, PV_NETWORK_ID_LEN);
    return run(m->store, op).status;
}

/* Somebody else's clock says so. */
static inline void silence(unsigned machine)
{
    run_sql(test_given_with("silence a machine", PV_STR("%u", machine)));
}

/* Nobody's clock has jumped lately. */
static void all_are_steady(void)
{
    run_sql(test_given("all are steady"));
}

/* A network's id in SQL; there are a few of these at a time. */
static const char *hex_of(const uint8_t id[static PV_NETWORK_ID_LEN])
{
    static char hex[8][2 * PV_NETWORK_ID_LEN + 1];
    static size_t n;
    char *text = hex[n++ % PV_ARRAY_LEN(hex)];
    for (size_t i = 0; i < PV_NETWORK_ID_LEN; i++)
        snprintf(text + 2 * i, 3, "%02x", id[i]);
    return text;
}

/* From here on another network is what is created and joined. */
static void another_network(uint64_t seed)
{
    world = cw_new(seed);
    cw_make_network(world);
    invite = cw_keys_make(world);
}

static inline int keep_one(struct member *m)
{
    struct pv_storeop_copy copy = {.from = {2}, .to = {3}, .key = {4}, .wall_s = 1795161600};
    const uint8_t box[] = {7, 8, 9};
    struct pv_storeop *op = NULL;
    memcpy(copy.network, world->created.network_id, sizeof(copy.network));
    assert_ok(pv_storeop_new_copy(PV_STOREOP_KEEP, &copy, pv_view(box, sizeof(box)), &op));
    return run(m->store, op).status;
}

/* --- tests ----------------------------------------------------------------------------------- */

PV_TEST_WORLD(setup, teardown);

PV_TEST(one_stores_and_the_other_is_told_where)
{
    assert_int_equal(verdict(&two), PV_HOME_NONE);
    struct pv_storeop_result res = create(&one, 1);
    assert_ok(res.status);
    assert_true(res.fence > 0);
    struct pv_home_answer *a = ask(&two, PV_STOREOP_HOME);
    assert_int_equal(a->verdict, PV_HOME_THERE);
    assert_int_equal(a->n_to, 2);
    assert_string_equal(a->to[0], "192.0.2.1:3478");
    assert_string_equal(a->to[1], "[2001:db8::1]:3478");
    pv_home_answer_free(a);
    assert_ok(put(&one, 9));
    assert_int_equal(put(&two, 10), -ESTALE);
    assert_int_equal(create(&two, 20).status, -ESTALE); /* the same network again */
    assert_int_equal(all_of(open_ok()).n, 5);
}

/* In one batch of the store two networks may be written, of which one was taken away. */
PV_TEST(a_network_that_was_lost_does_not_hurt_others)
{
    assert_ok(create(&one, 1).status);
    struct cw *first = world;
    struct cw_keys first_invite = invite;
    another_network(2);
    assert_ok(create(&one, 20).status);
    silence(1);
    all_are_steady();
    assert_int_equal(verdict(&two), PV_HOME_TAKE);

    struct cw_node a = cw_node_make(world), b = cw_node_make(world);
    struct pv_storeop *lost = member_op(&a, 30, 0, 9);
    world = first;
    invite = first_invite;
    struct pv_storeop *ops[2] = {lost, member_op(&b, 31, 0, 9)};
    struct pv_storeop_result res[2];
    pv_coordstore_run(one.store, ops, res, 2);
    assert_int_equal(res[0].status, -ESTALE);
    assert_ok(res[1].status);
    pv_storeop_free(ops[0]);
    pv_storeop_free(ops[1]);
}

PV_TEST(a_network_given_away_goes_with_all_its_rows)
{
    assert_ok(create(&one, 1).status);
    struct pv_home_answer *a = ask(&one, PV_STOREOP_LEAVE);
    assert_int_equal(a->verdict, PV_HOME_THERE);
    assert_string_equal(a->to[0], "192.0.2.2:3478");
    pv_home_answer_free(a);
    assert_int_equal(put(&one, 9), -ESTALE);
    assert_int_equal(verdict(&one), PV_HOME_THERE);
    a = ask(&two, PV_STOREOP_HOME);
    assert_int_equal(a->verdict, PV_HOME_TAKE);
    assert_int_equal(a->rows->n_rows, 4);
    assert_string_equal(a->why, "given to it");
    assert_true(a->epoch > 7); /* above all its receipts */
    pv_home_answer_free(a);
    assert_ok(put(&two, 9));
    /* A second time nothing happens: it is not its to give. */
    assert_int_equal(give(&one), PV_HOME_THERE);
    assert_ok(put(&two, 10));
}

/* The other drains too, or has ended: what nobody can have is not given to nobody. */
PV_TEST(a_network_that_nobody_takes_stays)
{
    assert_ok(create(&one, 1).status);
    run_sql(test_given("machine 2 drains"));
    assert_ok(renew(&one, 1));
    assert_true(one.renewal.living == 2 && one.renewal.few == UINT64_MAX);
    assert_int_equal(give(&one), PV_HOME_WAIT);
    silence(2);
    assert_int_equal(give(&one), PV_HOME_WAIT);
    assert_ok(put(&one, 9));
}

PV_TEST(one_that_sleeps_is_followed_and_learns_of_it)
{
    assert_ok(create(&one, 1).status);
    assert_ok(renew(&one, 1));
    assert_int_equal(one.renewal.n, 1);
    assert_int_equal(one.renewal.living, 2);
    silence(1);
    /* It may have been cut off as everybody was: who has just come waits. */
    assert_int_equal(verdict(&two), PV_HOME_WAIT);
    all_are_steady();
    assert_int_equal(verdict(&two), PV_HOME_TAKE);
    assert_int_equal(put(&one, 9), -ESTALE);
    assert_ok(renew(&one, 1));
    assert_true(one.renewal.has_list);
    assert_int_equal(one.renewal.n, 0);
    assert_ok(renew(&one, 0));
    assert_false(one.renewal.has_list); /* nothing has changed since */
    assert_int_equal(verdict(&one), PV_HOME_THERE);
    assert_ok(put(&two, 10));
}

PV_TEST(a_renewal_says_what_time_it_is_there)
{
    const uint64_t before = pv_clock_wall_us();
    assert_ok(renew(&one, 0));
    assert_in_range(one.renewal.wall_us, before, pv_clock_wall_us());
    assert_true(one.renewal.wall_at <= pv_clock_now());
}

/* The database's clock is set by that much: all that it has noted is earlier, or later, by it. */
static void set_clock(const char *by)
{
    run_sql(test_given_with("set the clock", by, by));
}

static void both_have_renewed_for_long(void)
{
    assert_ok(renew(&one, 1));
    assert_ok(renew(&two, 0));
    all_are_steady();
}

/* A coordinator that asks first after a jump takes nothing from one that lives and has not renewed
 * since; one that died before it is followed, and does not live for the hour that it seems to
 * have. */
PV_TEST(a_jump_of_the_clock_moves_no_home_and_buries_no_dead)
{
    static const char *const jumps[] = {"1 hour", "4 seconds", "-1 hour", "-4 seconds"};
    assert_ok(create(&one, 1).status);
    for (size_t i = 0; i < PV_ARRAY_LEN(jumps); i++) {
        both_have_renewed_for_long();
        assert_int_equal(verdict(&two), PV_HOME_THERE);
        set_clock(jumps[i]);
        assert_int_equal(verdict(&two), PV_HOME_WAIT);
        assert_ok(renew(&two, 0));
        assert_int_equal(two.renewal.living, 1);
        assert_int_equal(verdict(&two), PV_HOME_WAIT);
        assert_ok(renew(&one, 1));
        assert_int_equal(one.renewal.living, 2);
        assert_int_equal(verdict(&two), PV_HOME_THERE);
        assert_ok(put(&one, 9 + i));
    }
    both_have_renewed_for_long();
    set_clock("-1 hour");
    assert_ok(renew(&two, 0));
    run_sql(test_given("machine 2 is steady for 4 s more"));
    assert_int_equal(verdict(&two), PV_HOME_TAKE);
    assert_ok(put(&two, 20));
    assert_int_equal(put(&one, 21), -ESTALE);
}

PV_TEST(one_that_was_killed_is_followed_before_its_time)
{
    char error[PV_PG_ERROR_MAX], other[PV_PG_NAME_MAX];
    assert_ok(create(&one, 1).status);
    all_are_steady();
    run_sql(test_given("machine 1 ends in 1.5 s"));
    assert_int_equal(verdict(&two), PV_HOME_THERE); /* its session has the lock */
    leave(&one);
    const pv_ns until = pv_clock_now() + PV_S(60);
    while (verdict(&two) == PV_HOME_THERE && pv_clock_now() < until)
        poll(NULL, 0, 20); /* the server notices the end of a session a moment later */
    assert_ok(put(&two, 9));

    /* Started again in its place it is one of them again, and an import has to wait for all. */
    one = join(1);
    assert_int_equal(verdict(&one), PV_HOME_THERE);
    struct pv_pg_lease *alone = lease_of(3, false);
    assert_int_equal(pv_pg_lease_take(alone, other, error), PV_ERR_AGAIN);
    assert_has(other, "machine");
    pv_pg_lease_release(one.lease);
    pv_pg_lease_release(two.lease);
    assert_ok(pv_pg_lease_take(alone, other, error));
    struct pv_pg_lease *third = lease_of(4, true);
    assert_int_equal(pv_pg_lease_take(third, other, error), PV_ERR_AGAIN);
    assert_string_equal(other, "machine 3");
    pv_pg_lease_free(third);
    pv_pg_lease_free(alone);
}

PV_TEST(a_home_that_members_cannot_reach_comes_back)
{
    assert_ok(create(&one, 1).status);
    assert_int_equal(verdict_for(&two, &world->alice), PV_HOME_THERE);
    run_sql(test_given("homes are 31 s older"));
    assert_int_equal(verdict(&two), PV_HOME_THERE);
    /* Somebody who knows the network, and has not joined it, moves nothing. */
    struct cw_node stranger = cw_node_make(world);
    assert_int_equal(verdict_for(&two, &stranger), PV_HOME_THERE);
    assert_int_equal(verdict_for(&two, &world->alice), PV_HOME_TAKE);
}

/* Puts the n-th statement of the network's log. */
static void put_statement(struct pv_view statement, uint64_t n)
{
    uint8_t receipt[PV_RECEIPT_LEN] = {1};
    struct pv_storeop *op = NULL;
    struct pv_storerow row = {
        .epoch = 7, .n = n, .statement = statement, .receipt = pv_view(receipt, sizeof(receipt))};
    memcpy(row.network, world->created.network_id, sizeof(row.network));
    pv_statement_hash(row.statement, row.hash);
    assert_ok(pv_storeop_new(PV_STOREOP_PUT, 1, 1000, &op));
    assert_ok(pv_storeop_add(op, &row));
    assert_ok(run(one.store, op).status);
}

/* A removed machine knows enough of the network to knock as before. */
PV_TEST(a_node_that_was_removed_or_left_moves_nothing)
{
    struct cw_node bob = cw_node_make(world), eve = cw_node_make(world);
    assert_ok(create(&one, 1).status);
    assert_ok(run(one.store, member_op(&bob, 9, 3, 100)).status);
    assert_ok(run(one.store, member_op(&eve, 10, 0, 100)).status);
    run_sql(test_given("homes are 31 s older"));

    put_statement(cw_revocation(world, PV_REVOKE_NODE, eve.id.pk), 11);
    assert_int_equal(verdict_for(&two, &eve), PV_HOME_THERE);

    struct pv_statement leave = {.type = PV_ST_LEAVE, .u.leave = {.serial = 300, .time = CW_WALL}};
    put_statement(cw_sign(world, leave, bob.id.sk), 12);
    assert_int_equal(verdict_for(&two, &bob), PV_HOME_THERE);
    /* Bob joins again: its newer statement counts. */
    struct pv_storeop *again = member_op(&bob, 13, 301, 100);
    again->min_serial = 301;
    assert_ok(run(one.store, again).status);
    assert_int_equal(verdict_for(&two, &bob), PV_HOME_TAKE);
}

/* How many seconds ago the copy came, by the clock of the database. */
static long age_of_copy(void)
{
    return strtol(pg_sql(&server, test_given("age of the copy")), NULL, 10);
}

/* A coordinator that has not looked for copies that are too old yet becomes the home. */
static void look_for_old_copies(void)
{
    static uint8_t number = 10;
    struct member m = join(number);
    run_sql(test_given_with("a machine as steady as machine 1", PV_STR("%u", (unsigned)number++)));
    run_sql(test_given("the last machine is the home"));
    (void)verdict(&m);
    assert_ok(keep_one(&m));
    leave(&m);
}

/* Copies have the time of the database, whatever the clocks of coordinators say; and those that are
 * too old go when that clock has stood for a while: it may have jumped. */
PV_TEST(copies_grow_old_by_the_clock_of_the_database)
{
    assert_ok(create(&one, 1).status);
    assert_ok(keep_one(&one)); /* two days ago, says this one's clock */
    assert_in_range(age_of_copy(), 0, 100);
    run_sql(test_given("another copy, 15 days older"));
    look_for_old_copies();
    assert_int_equal(age_of_copy() / 86400, 15);
    run_sql(test_given("steady for 7 hours more"));
    look_for_old_copies();
    assert_in_range(age_of_copy(), 0, 100);
    run_sql(test_given("copies are 3600 days younger"));
    look_for_old_copies();
    assert_in_range(age_of_copy(), 0, 100);
}

static void count_coordinator(void *ctx, const struct pv_pgview_coordinator *c)
{
    unsigned *n = ctx;
    n[0] += c->living && !c->draining;
    n[1] += (unsigned)c->homes;
}

static void note_home(void *ctx, const struct pv_pgview_home *h)
{
    unsigned *n = ctx;
    n[2]++;
    assert_memory_equal(h->network, world->created.network_id, sizeof(h->network));
    assert_string_equal(h->name, "machine 1");
    assert_string_equal(h->why, "created");
    assert_true(h->living && h->loaded && h->since_s > 1000000000);
}

/* --- many at once ---------------------------------------------------------------------------- */

/* Somebody else's transaction: it takes a lock, lets go once somebody waits for it, and finds
 * these homes free meanwhile. */
static pid_t hold_until_waited_for(const char *lock, const char *const *free_homes, size_t n)
{
    char error[PV_PG_ERROR_MAX] = "", text[PV_PG_ERROR_MAX] = "0";
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0) {
        close(ready[1]);
        assert_int_equal(read(ready[0], text, 1), 1);
        close(ready[0]);
        return pid;
    }
    struct pv_pg *pg = pg_sql_open(&server);
    int r = pv_pg_exec(pg, test_given("begin without a limit"), NULL, NULL, error);
    r = r == PV_OK ? pv_pg_exec(pg, lock, NULL, NULL, error) : r;
    const pv_ns until = pv_clock_now() + PV_S(60);
    if (write(ready[1], "x", 1) != 1)
        _exit(2);
    while (r == PV_OK && strcmp(text, "0") == 0 && pv_clock_now() < until) {
        poll(NULL, 0, 20);
        r = pv_pg_exec(pg, test_given("count of waiting locks"), pg_sql_copy, text, error);
    }
    for (size_t i = 0; r == PV_OK && i < n; i++) {
        const char *sql = test_given_with("lock a home or fail", free_homes[i]);
        r = pv_pg_exec(pg, sql, NULL, NULL, error);
    }
    if (r == PV_OK)
        r = pv_pg_exec(pg, "COMMIT", NULL, NULL, error);
    if (r < 0 || strcmp(text, "0") == 0)
        fprintf(stderr, "%s: %d %s\n", lock, r, error);
    _exit(r == PV_OK && strcmp(text, "0") != 0 ? 0 : 1);
}

/* Two of its homes go to another, in one batch that names them in this order. */
static void take_both(uint8_t (*ids)[PV_NETWORK_ID_LEN], pid_t other)
{
    struct pv_storeop *ops[2];
    struct pv_storeop_result res[2];
    int status = 0;
    for (size_t i = 0; i < 2; i++) {
        struct pv_storeop_copy what = {.wall_s = 0};
        memcpy(what.network, ids[i], sizeof(what.network));
        assert_ok(pv_storeop_new_copy(PV_STOREOP_HOME, &what, pv_view(NULL, 0), &ops[i]));
        ops[i]->id = i + 1;
    }
    pv_coordstore_run(two.store, ops, res, 2);
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (size_t i = 0; i < 2; i++) {
        if (res[i].status != PV_OK)
            fail_msg("%d %s", res[i].status, res[i].error);
        assert_int_equal(res[i].home->verdict, PV_HOME_TAKE);
        pv_home_answer_free(res[i].home);
        pv_storeop_free(ops[i]);
    }
}

/* When a coordinator has died, the others take its networks in batches that overlap. They lock what
 * they change in one order: who loses, then homes by their networks. Or they would wait for each
 * other, and the database would end one of them a second later. */
PV_TEST(coordinators_that_follow_at_once_do_not_wait_for_each_other)
{
    uint8_t ids[2][PV_NETWORK_ID_LEN];
    for (uint64_t i = 0; i < 2; i++) {
        another_network(10 + i);
        memcpy(ids[i], world->created.network_id, sizeof(ids[i]));
        assert_ok(create(&one, 1 + 20 * i).status);
    }
    if (memcmp(ids[0], ids[1], sizeof(ids[0])) < 0) { /* the higher one stands first */
        uint8_t id[PV_NETWORK_ID_LEN];
        memcpy(id, ids[0], sizeof(id));
        memcpy(ids[0], ids[1], sizeof(id));
        memcpy(ids[1], id, sizeof(id));
    }
    silence(1);
    all_are_steady();
    const char *const both[] = {hex_of(ids[0]), hex_of(ids[1])};
    take_both(ids, hold_until_waited_for("UPDATE p2pvpn.coordinators SET lost = lost"
                                         " WHERE name = 'machine 1'",
                                         both, 2));

    run_sql("UPDATE p2pvpn.homes SET holder = 0"); /* as of one that was started anew */
    const char *sql = test_given_with("lock a home", both[1]);
    take_both(ids, hold_until_waited_for(sql, both, 1));
}

/* --- rights ---------------------------------------------------------------------------------- */

/* The rights that docs/guide/cluster.md tells to grant are enough for all that a coordinator does
 * with tables that are there. */
PV_TEST(least_rights_are_enough)
{
    char error[PV_PG_ERROR_MAX] = "";
    unsigned n[3] = {0};
    const struct pv_pgview view = {.ctx = n, .coordinator = count_coordinator, .home = note_home};
    run_sql(test_given("a role of few rights"));
    leave(&one);
    leave(&two);
    user = "few";
    one = join(1);
    two = join(2);
    assert_ok(create(&one, 1).status);
    assert_ok(put(&one, 9));
    assert_ok(append(&one, 1, 1, 2));
    assert_ok(keep_one(&one));
    assert_ok(renew(&one, 1));
    assert_ok(pv_pgview_read(pg_server_conninfo(&server, user), &view, error));
    assert_int_equal(n[2], 1);
    assert_int_equal(give(&one), PV_HOME_THERE);
    assert_int_equal(verdict(&two), PV_HOME_TAKE);
    assert_ok(put(&two, 10));
    assert_ok(order(&two, PV_STOREOP_DROP).status);
    pv_pg_lease_release(one.lease);
    pv_pg_lease_release(two.lease);
    struct pv_pg_lease *alone = lease_of(3, false);
    char other[PV_PG_NAME_MAX];
    assert_ok(pv_pg_lease_take(alone, other, error));
    pv_pg_lease_free(alone);
    user = "postgres";
    assert_string_equal(pg_sql(&server, test_given("rights that few lacks")), "f");
    leave(&one);
    leave(&two);
    run_sql("DROP OWNED BY few; DROP ROLE few");
}

/* --- the log --------------------------------------------------------------------------------- */

/* Two coordinators are killed in turn, each at its next entry: whoever is the home goes on behind
 * all that was stored, and the other stores nothing more. */
PV_TEST(one_log_goes_on_at_whoever_is_the_home)
{
    struct member *at = &one, *other = &two;
    assert_ok(create(&one, 1).status);
    for (uint64_t n = 1; n < 10; n += 2) {
        assert_ok(append(at, 1, n, n + 1));
        assert_int_equal(append(other, 2, n + 2, n + 2), -ESTALE);
        assert_int_equal(give(at), PV_HOME_THERE);
        struct pv_home_answer *a = ask(other, PV_STOREOP_HOME);
        assert_int_equal(a->verdict, PV_HOME_TAKE);
        assert_int_equal(a->entries->n_rows, n + 1);
        assert_true(a->entries->rows[n].n == n + 1);
        pv_home_answer_free(a);
        assert_int_equal(append(at, 1, n + 2, n + 2), -ESTALE);
        struct member *former = at;
        at = other;
        other = former;
    }
}

/* --- looking --------------------------------------------------------------------------------- */

PV_TEST(an_operator_who_looks_sees_all_of_it)
{
    char error[PV_PG_ERROR_MAX] = "";
    unsigned n[3] = {0};
    const struct pv_pgview view = {.ctx = n, .coordinator = count_coordinator, .home = note_home};
    assert_ok(create(&one, 1).status);
    assert_ok(pv_pgview_read(pg_server_conninfo(&server, "postgres"), &view, error));
    assert_int_equal(n[0], 2);
    assert_int_equal(n[1], 1);
    assert_int_equal(n[2], 1);
}

static void expect_harmless(void *ctx, const struct pv_pgview_coordinator *c)
{
    ++*(unsigned *)ctx;
    if (strncmp(c->name, "machine", 7) == 0)
        return;
    assert_memory_equal(c->name, "?[2J????xxx", 11);
    assert_int_equal(strlen(c->name), sizeof(c->name) - 1);
}

/* Another coordinator's name moves no terminal's cursor, however long it is. */
PV_TEST(the_name_of_another_is_shown_as_text)
{
    char error[PV_PG_ERROR_MAX] = "";
    unsigned n = 0;
    const struct pv_pgview view = {.ctx = &n, .coordinator = expect_harmless};
    run_sql(test_given("a hostile name"));
    assert_ok(pv_pgview_read(pg_server_conninfo(&server, "postgres"), &view, error));
    assert_int_equal(n, 2);
}

/* --- locks and lines ------------------------------------------------------------------------- */

/* A coordinator that starts again and again in the place of machine 1. */
static pid_t start_again_and_again(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        char other[PV_PG_NAME_MAX], error[PV_PG_ERROR_MAX];
        struct pv_pg_lease *l = lease_of(1, true);
        (void)!pv_pg_lease_take(l, other, error);
        pv_pg_lease_free(l);
    }
}

static void end_child(void *pid)
{
    kill((pid_t)(intptr_t)pid, SIGKILL);
    waitpid((pid_t)(intptr_t)pid, NULL, 0);
}

static void wait_for_waiters(void)
{
    const pv_ns until = pv_clock_now() + PV_S(60);
    while (strcmp(pg_sql(&server, test_given("whether locks wait")), "t") != 0)
        assert_true(pv_clock_now() < until);
}

/* Somebody's session has locked a coordinator's row and does not end: who starts in that place
 * waits, and those who live go on. */
PV_TEST(a_coordinator_that_starts_holds_up_nobody_who_lives)
{
    char error[PV_PG_ERROR_MAX] = "";
    struct pv_pg *somebody = pg_sql_open(&server);
    pg_sql_in(somebody, test_given("lock the row of machine 1"));
    test_defer(end_child, (void *)(intptr_t)start_again_and_again());
    for (int i = 0; i < 5; i++) {
        wait_for_waiters();
        assert_ok(renew(&two, 0));
    }
    /* The one whose row it is hears why, before its lease is over. */
    const pv_ns began = pv_clock_now();
    one.renewal = (struct pv_pg_renewal){.homes = 0};
    assert_int_equal(pv_pg_lease_renew(one.lease, &one.renewal, error), PV_ERR_TIMEOUT);
    assert_has(error, "another session holds a lock");
    assert_true(pv_clock_now() - began < PV_MS(PV_PG_LEASE_MS));
    pv_pg_free(somebody);
}

/* Its questions are answered and the rows of a network never come: members are sent to the
 * coordinator that can read them. */
PV_TEST(a_coordinator_that_cannot_read_a_network_sends_its_members_elsewhere)
{
    struct pg_line *line = pg_line_new(&server, NULL);
    assert_ok(create(&one, 1).status);
    for (uint64_t n = 9; n < 20; n++)
        assert_ok(put(&one, n));
    struct member three = join_by(3, line->conninfo);
    pg_line_set(line, PG_LINE_NARROW);
    silence(1);
    all_are_steady();
    run_sql(test_given("all but machine 1 end in 2.9 s"));
    struct pv_storeop_result res = order(&three, PV_STOREOP_HOME);
    pv_home_answer_free(res.home);
    assert_int_equal(res.status, PV_ERR_CLOSED);
    assert_ok(renew(&two, 0));
    struct pv_home_answer *a = ask(&three, PV_STOREOP_HOME);
    assert_int_equal(a->verdict, PV_HOME_THERE);
    assert_string_equal(a->to[0], "192.0.2.2:3478");
    pv_home_answer_free(a);
    assert_int_equal(verdict(&two), PV_HOME_TAKE);
    leave(&three);
}

/* --- room for copies on a full disk ---------------------------------------------------------- */

/* Both coordinators make room at the same time: none waits for one that waits for it, and what has
 * room is stored. */

enum {
    BOX = 100,    /* bytes of a copy that is there */
    ROUNDS = 25,  /* batches of each coordinator, where both make room all the time */
    AT_ONCE = 8,  /* copies in each */
    SENDER = 9,   /* of all copies that are there */
    OPS_MAX = 16, /* of a batch here */
};

/* A network, and the coordinator that is its home. */
struct net {
    struct member *home;
    uint8_t id[PV_NETWORK_ID_LEN];
};

static struct net net_make(struct member *home, uint64_t seed)
{
    struct net n = {.home = home};
    world = cw_new(seed);
    cw_make_network(world);
    assert_ok(create(home, 100 * seed).status);
    memcpy(n.id, world->created.network_id, sizeof(n.id));
    return n;
}

/* Has the database believe that this network's copies have so many bytes. */
static void set_bytes_of(const struct net *n, uint64_t bytes)
{
    run_sql(
        test_given_with("set the bytes of a network", hex_of(n->id), PV_STR("%" PRIu64, bytes)));
}

static struct pv_storeop *keep_op(const struct net *n, unsigned key, size_t len)
{
    struct pv_storeop_copy m = {.from = {SENDER}, .to = {3}, .wall_s = 1795161600};
    static const uint8_t box[10 * BOX] = {7};
    struct pv_storeop *op = NULL;
    memcpy(m.network, n->id, sizeof(m.network));
    pv_store_be32(m.key, key);
    assert_ok(pv_storeop_new_copy(PV_STOREOP_KEEP, &m, pv_view(box, len), &op));
    return op;
}

/* The receiver has stored the first of the copies of a network, or the last. */
static struct pv_storeop *stored_op(const struct net *n, bool last)
{
    struct pv_storeop_copy m = {.to = {3}, .wall_s = 1795161600};
    struct pv_storeop *op = NULL;
    const char *sql = test_given_with("a place of a copy", last ? "max" : "min", hex_of(n->id));
    memcpy(m.network, n->id, sizeof(m.network));
    m.n = m.after = strtoull(pg_sql(&server, sql), NULL, 10);
    assert_true(m.n > 0);
    assert_ok(pv_storeop_new_copy(PV_STOREOP_COLLECT, &m, pv_view(NULL, 0), &op));
    return op;
}

/* Copies that are there before the disk is full. */
static void fill(const struct net *n, unsigned copies)
{
    struct pv_storeop *ops[OPS_MAX];
    struct pv_storeop_result results[OPS_MAX];
    for (unsigned i = 0, len; i < copies; i += len) {
        len = copies - i < OPS_MAX ? copies - i : OPS_MAX;
        for (unsigned j = 0; j < len; j++)
            ops[j] = keep_op(n, 1000 + i + j, BOX);
        pv_coordstore_run(n->home->store, ops, results, len);
        for (unsigned j = 0; j < len; j++) {
            assert_ok(results[j].status);
            pv_storeop_free(ops[j]);
        }
    }
}

/* --- both at once ---------------------------------------------------------------------------- */

/* A batch of one coordinator, in a thread of its own as in the program. */
struct job {
    struct pv_coordstore *store;
    size_t n;
    struct pv_storeop *ops[OPS_MAX];
    struct pv_storeop_result results[OPS_MAX];
    pthread_t thread;
};

static void *run_job(void *ctx)
{
    struct job *j = ctx;
    pv_coordstore_run(j->store, j->ops, j->results, j->n);
    return NULL;
}

static void start(struct job *j, const struct member *m)
{
    j->store = m->store;
    assert_int_equal(pthread_create(&j->thread, NULL, run_job, j), 0);
}

static void expect_stored(struct job *j)
{
    assert_int_equal(pthread_join(j->thread, NULL), 0);
    for (size_t i = 0; i < j->n; i++) {
        if (j->results[i].status != PV_OK)
            fail_msg("%zu: %d %s", i, j->results[i].status, j->results[i].error);
        free(j->results[i].collected);
        pv_storeop_free(j->ops[i]);
    }
    j->n = 0;
}

/* A session that holds up whoever stores for these networks, until it ends. */
static struct pv_pg *hold_up(const struct net *a, const struct net *b)
{
    struct pv_pg *pg = pg_sql_open(&server);
    const char *sql = test_given_with("lock two homes", hex_of(a->id), hex_of(b->id));
    assert_string_equal(pg_sql_in(pg, sql), "held");
    return pg;
}

/* Until so many sessions wait for each other. */
static void wait_for_waiting(struct pv_pg *pg, long n)
{
    const pv_ns until = pv_clock_now() + PV_S(60);
    while (strtol(pg_sql_in(pg, test_given("count of waiting locks")), NULL, 10) < n &&
           pv_clock_now() < until)
        poll(NULL, 0, 10);
}

/* Of sessions that have ended all is counted. */
static void expect_no_deadlock(void)
{
    const pv_ns until = pv_clock_now() + PV_S(60);
    leave(&one);
    leave(&two);
    while (strcmp(pg_sql(&server, test_given("count of sessions")), "0") != 0 &&
           pv_clock_now() < until)
        poll(NULL, 0, 10);
    assert_string_equal(pg_sql(&server, test_given("count of deadlocks")), "0");
}

/* --- tests ----------------------------------------------------------------------------------- */

/* Each has changed the copies of a large network, and needs room of the other's. */
PV_TEST(two_batches_that_make_room_are_stored)
{
    const struct net large[2] = {net_make(&one, 2), net_make(&two, 3)};
    const struct net small[2] = {net_make(&one, 4), net_make(&two, 5)};
    struct job a = {.n = 2}, b = {.n = 2};
    for (size_t i = 0; i < 2; i++) {
        fill(&large[i], 5);
        set_bytes_of(&large[i], PV_STOREOP_COPY_BYTES / 2);
    }
    a.ops[0] = stored_op(&large[0], false);
    a.ops[1] = keep_op(&small[0], 1, 2 * BOX);
    b.ops[0] = stored_op(&large[1], false);
    b.ops[1] = keep_op(&small[1], 1, 2 * BOX);
    struct pv_pg *pg = hold_up(&small[0], &small[1]);
    start(&a, &one);
    start(&b, &two);
    wait_for_waiting(pg, 2);
    pv_pg_free(pg);
    expect_stored(&a);
    expect_stored(&b);
    expect_no_deadlock();
}

/* The home of the network that gives way goes on with the same copies. */
PV_TEST(a_store_that_makes_room_waits_for_the_home_and_not_the_other_way_round)
{
    const struct net here = net_make(&one, 2), large = net_make(&two, 3), small = net_make(&two, 4);
    struct job a = {.n = 1}, b = {.n = 3};
    fill(&large, 5);
    set_bytes_of(&large, PV_STOREOP_COPY_BYTES);
    a.ops[0] = keep_op(&here, 1, 2 * BOX);
    b.ops[0] = stored_op(&large, false);
    b.ops[1] = keep_op(&small, 1, BOX / 2);
    b.ops[2] = stored_op(&large, true);
    struct pv_pg *pg = hold_up(&small, &small);
    start(&b, &two);
    wait_for_waiting(pg, 1);
    start(&a, &one);
    wait_for_waiting(pg, 2);
    pv_pg_free(pg);
    expect_stored(&b);
    expect_stored(&a);
    expect_no_deadlock();
}

/* Both take from the network that has most, and never the same copy. */
PV_TEST(all_that_has_room_is_stored_by_both)
{
    const struct net large = net_make(&one, 2);
    const struct net nets[4] = {net_make(&one, 3), net_make(&one, 4), net_make(&two, 5),
                                net_make(&two, 6)};
    struct job jobs[2] = {{.n = 0}};
    fill(&large, 2 * ROUNDS * AT_ONCE + 1);
    set_bytes_of(&large, PV_STOREOP_COPY_BYTES);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < 2; i++) {
            for (jobs[i].n = 0; jobs[i].n < AT_ONCE; jobs[i].n++)
                jobs[i].ops[jobs[i].n] = keep_op(&nets[2 * i + jobs[i].n % 2],
                                                 round * AT_ONCE + (unsigned)jobs[i].n, BOX);
            start(&jobs[i], i == 0 ? &one : &two);
        }
        expect_stored(&jobs[0]);
        expect_stored(&jobs[1]);
    }
    assert_string_equal(pg_sql(&server, "SELECT sum(bytes) FROM p2pvpn.mail_use"), "1073741824");
    expect_no_deadlock();
}

/* A coordinator that deletes what is too old, of all networks, waits for no home that stores just
 * now. */
PV_TEST(old_copies_of_a_busy_network_stay_until_the_next_look)
{
    const struct net busy = net_make(&one, 2), idle = net_make(&one, 3);
    struct member third = join(3); /* has not looked yet */
    fill(&busy, 1);
    fill(&idle, 1);
    run_sql(test_given("copies are 15 days older"));
    struct pv_pg *pg = hold_up(&busy, &busy);
    (void)net_make(&third, 4);
    const char *left = pg_sql_in(pg, test_given("networks with copies"));
    assert_string_equal(left, hex_of(busy.id));
    pv_pg_free(pg);
    leave(&third);
}

/* --- writes whose outcome nobody hears ------------------------------------------------------- */

/* The connection to PostgreSQL ends around them: each is done once, and answered as if nothing had
 * happened. */

enum {
    LOW_PORT = 20000, /* below those that the kernel gives to clients */
};

/* Each kind of write over a line that breaks at its commit: it is done once, and answered as if
 * nothing had happened. */
static void store_over(enum pg_line_state cut)
{
    struct cw_node a = cw_node_make(world), b = cw_node_make(world);
    struct pg_line *line = pg_line_new(&server, NULL);
    leave(&one);
    one = join_by(1, line->conninfo);
    pg_line_set(line, cut);
    assert_ok(create(&one, 1).status);
    pg_line_set(line, cut);
    assert_ok(run(one.store, member_op(&a, 9, 0, 1)).status);
    assert_int_equal(run(one.store, member_op(&b, 10, 0, 1)).status, PV_ERR_EXPIRED);
    assert_int_equal(run(one.store, member_op(&a, 11, 0, 1)).status, PV_ERR_EXISTS);
    pg_line_set(line, cut);
    assert_ok(keep_one(&one));
    assert_string_equal(pg_sql(&server, "SELECT count(*) FROM p2pvpn.mail"), "1");
    assert_int_equal(all_of(one.store).n, 5);
    pg_line_set(line, cut);
    struct pv_storeop_result res = order(&one, PV_STOREOP_DROP);
    if (res.status != PV_OK)
        fail_msg("%d %s", res.status, res.error);
    assert_int_equal(all_of(one.store).n, 0);
    assert_int_equal(verdict(&two), PV_HOME_NONE);
}

PV_TEST(a_commit_whose_answer_is_lost_counts_once)
{
    store_over(PG_LINE_AFTER_COMMIT);
}

PV_TEST(a_commit_that_never_came_is_done_again)
{
    store_over(PG_LINE_BEFORE_COMMIT);
}

/* The answer of the store of one when its connection broke and it has connected again. */
static int put_again(uint64_t n)
{
    const pv_ns until = pv_clock_now() + PV_S(60);
    int r;
    while ((r = put(&one, n)) == PV_ERR_CLOSED && pv_clock_now() < until)
        poll(NULL, 0, 20);
    return r;
}

/* A home that could not be given away is its giver's still. One that was given without the giver's
 * hearing of it is not, and the giver learns of it. The first of two commits is the question's. */
PV_TEST(of_a_gift_that_nobody_heard_the_database_knows)
{
    struct pg_line *line = pg_line_new(&server, NULL);
    leave(&one);
    one = join_by(1, line->conninfo);
    assert_ok(create(&one, 1).status);
    assert_ok(renew(&one, 1));
    pg_line_set_behind(line, 1, PG_LINE_BEFORE_COMMIT);
    assert_int_equal(order(&one, PV_STOREOP_LEAVE).status, PV_ERR_CLOSED);
    assert_ok(put_again(9));
    assert_int_equal(verdict(&two), PV_HOME_THERE);

    pg_line_set_behind(line, 1, PG_LINE_AFTER_COMMIT);
    assert_int_equal(order(&one, PV_STOREOP_LEAVE).status, PV_ERR_CLOSED);
    assert_int_equal(put_again(10), -ESTALE);
    assert_ok(renew(&one, 1));
    assert_true(one.renewal.has_list);
    assert_int_equal(one.renewal.n, 0);
    assert_int_equal(verdict(&two), PV_HOME_TAKE);
    assert_ok(put(&two, 11));
}

/* Ends the sessions of all stores, and waits until their sockets are closed. */
/* A session is no more listed some time before its process closes the connection, so that the
 * processes are what is waited for. */
static void end_sessions(void)
{
    struct pv_pg *pg = pg_sql_open(&server);
    const pv_ns until = pv_clock_now() + PV_S(60);
    char pids[512];
    snprintf(pids, sizeof(pids), "%s", pg_sql_in(pg, test_given("pids of sessions")));
    (void)pg_sql_in(pg, test_given("end the sessions"));
    char *at = pids;
    for (pid_t pid; (pid = (pid_t)strtol(at, &at, 10)) > 0;) {
        while (kill(pid, 0) == 0 && pv_clock_now() < until)
            poll(NULL, 0, 5);
    }
    pv_pg_free(pg);
}

/* The database was started anew while nobody stored anything: the next who does is not refused. */
PV_TEST(a_session_that_ended_at_night_refuses_nobody)
{
    assert_ok(create(&one, 1).status);
    end_sessions();
    assert_ok(put(&one, 9));
    end_sessions();
    assert_int_equal(verdict(&two), PV_HOME_THERE);
    end_sessions();
    assert_int_equal(give(&one), PV_HOME_THERE);
}

/* The database says why it ends a session, and then closes the connection: in a statement as text,
 * in one whose rows come one by one, and in a batch. */
PV_TEST(a_session_that_is_ended_in_a_statement_is_made_anew)
{
    const char *end = test_given("end this session");
    const struct pv_pg_statement statements[] = {{"end", end}};
    const struct pv_pg_config cfg = {.conninfo = pg_server_conninfo(&server, "postgres"),
                                     .who = "test",
                                     .wait = PV_S(60),
                                     .statements = statements,
                                     .n_statements = PV_ARRAY_LEN(statements)};
    char error[PV_PG_ERROR_MAX] = "";
    struct pv_pg *pg = NULL;
    assert_ok(pv_pg_new(&pg, &cfg, error));
    for (int i = 0; i < 30; i++) {
        int r = pv_pg_connect(pg, error);
        if (r == PV_OK)
            r = pv_pg_prepare(pg, error);
        if (r == PV_OK && i % 3 == 2)
            r = pv_pg_begin(pg, error);
        if (r != PV_OK)
            fail_msg("%d: %s", i, error);
        if (i % 3 == 2)
            pv_pg_send(pg, "end", NULL, 0);
        r = i % 3 == 0   ? pv_pg_exec(pg, end, NULL, NULL, error)
            : i % 3 == 1 ? pv_pg_each(pg, "end", pg_sql_copy, error, error)
                         : pv_pg_finish(pg, NULL, NULL, error);
        assert_int_equal(r, PV_ERR_CLOSED);
        assert_false(pv_pg_is_connected(pg));
    }
    pv_pg_free(pg);
}

static uint8_t lost_network[PV_NETWORK_ID_LEN];

static void lose_network(void)
{
    run_sql(test_given_with("a network is lost", hex_of(lost_network)));
}

/* A batch is stored, nobody hears of it, and one of its two networks is lost before it is sent
 * again: the other's member is answered that it is in, and has not come second to itself. */
PV_TEST(statements_stored_are_known_again_beside_a_network_that_was_lost)
{
    struct cw *first = world;
    struct cw_keys first_invite = invite;
    another_network(2);
    memcpy(lost_network, world->created.network_id, sizeof(lost_network));
    struct pg_line *line = pg_line_new(&server, lose_network);
    leave(&one);
    one = join_by(1, line->conninfo);
    struct cw_node a = cw_node_make(world), b = cw_node_make(first);
    assert_ok(create(&one, 20).status);
    struct pv_storeop *lost = member_op(&a, 30, 0, 1);
    world = first;
    invite = first_invite;
    assert_ok(create(&one, 1).status);
    struct pv_storeop *ops[2] = {member_op(&b, 9, 0, 1), lost};
    struct pv_storeop_result res[2];
    pg_line_set(line, PG_LINE_AFTER_COMMIT);
    pv_coordstore_run(one.store, ops, res, 2);
    assert_ok(res[0].status);
    assert_int_equal(res[1].status, -ESTALE);
    pv_storeop_free(ops[0]);
    pv_storeop_free(ops[1]);
}

/* The socket that leads to this port. */
static int socket_to(unsigned port)
{
    for (int fd = 3; fd < 1024; fd++) {
        struct sockaddr_in at = {.sin_port = 0};
        socklen_t len = sizeof(at);
        if (getpeername(fd, (struct sockaddr *)&at, &len) == 0 && at.sin_family == AF_INET &&
            ntohs(at.sin_port) == port)
            return fd;
    }
    return -1;
}

/* A machine that is switched off in a transaction, while the database sends it more than the kernel
 * takes: nothing that comes is confirmed, and the socket outlives its owner's giving up. */
static void die_in_a_transaction(int told)
{
    char error[PV_PG_ERROR_MAX] = "", conninfo[96];
    const struct sock_filter nothing = {.code = BPF_RET | BPF_K, .k = 0};
    const struct sock_fprog program = {.len = 1,
                                       .filter = (struct sock_filter *)(uintptr_t)&nothing};
    struct pv_pg_config cfg = {.conninfo = conninfo, .who = "dead", .wait = PV_S(60)};
    struct pv_pg *pg = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(conninfo, sizeof(conninfo), "%s",
             test_given_with("the server by TCP", PV_STR("%u", server.tcp_port)));
    if (pv_pg_new(&pg, &cfg, error) < 0 || pv_pg_connect(pg, error) < 0 ||
        pv_pg_exec(pg, test_given("lock all machines"), NULL, NULL, error) < 0)
        _exit(1);
    int fd = dup(socket_to(server.tcp_port));
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ||
        pv_pg_exec(pg, "SELECT repeat('x', 50000000)", NULL, NULL, error) != PV_ERR_CLOSED ||
        write(told, "", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

PV_TEST(the_locks_of_a_machine_that_is_gone_end_in_seconds)
{
    int told[2];
    char c;
    server.tcp_port = LOW_PORT + (unsigned)getpid() % 10000; /* from the next start on */
    leave(&one);
    leave(&two);
    pg_server_stop(&server, SIGINT);
    pg_server_start(&server);
    one = join(1);
    two = join(2);
    assert_int_equal(pipe(told), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        die_in_a_transaction(told[1]);
    close(told[1]);
    assert_int_equal(read(told[0], &c, 1), 1);
    close(told[0]);
    assert_int_equal(renew(&one, 0), PV_ERR_TIMEOUT);
    const pv_ns until = pv_clock_now() + PV_S(30);
    while (renew(&one, 0) != PV_OK)
        assert_true(pv_clock_now() < until);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}
