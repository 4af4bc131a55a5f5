/* SPDX-License-Identifier: MIT */
/* The store in PostgreSQL: the same list as SQLite's, a connection that breaks around a commit, a
 * database that goes and comes back, the lease and its fence, schemas and rights. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>

#include "base/bytes.h"
#include "coordinator/core/member/rowmark.h"
#include "coordinator/store/pg/pg_lease.h"
#include "coordinator/store/pg/pg_schema.h"
#include "coordinator/store/pg/store_pg.h"
#include "coordinator/store/store_sqlite.h"
#include "coordinator/store/transfer.h"
#include "crypto/hash.h"
#include "sys/proc/clock.h"
#include "tests/unit/coordinator/store/pg_line.h"
#include "tests/unit/coordinator/store/pg_program.h"
#include "tests/unit/coordinator/store/store_list.h"

static const char *conninfo; /* of the database that a test works with */
static int64_t fence;

/* --- the server ------------------------------------------------------------------------------ */

static struct pv_pg_lease_config lease_config(uint8_t holder)
{
    struct pv_pg_lease_config cfg = {
        .conninfo = pg_server_conninfo(&server, "postgres"), .pk = {1}, .holder = {holder}};
    snprintf(cfg.name, sizeof(cfg.name), "machine %u", holder);
    return cfg;
}

static struct pv_pg_lease *lease_new(const struct pv_pg_lease_config *cfg)
{
    char error[PV_PG_ERROR_MAX] = "";
    struct pv_pg_lease *l = NULL;
    if (pv_pg_lease_new(&l, cfg, error) != PV_OK)
        fail_msg("%s", error);
    return l;
}

/* Asks as often as a holder that stands by does, while the answer is this one. */
static int take_while(struct pv_pg_lease *l, int status, pv_ns most,
                      char other[static PV_PG_NAME_MAX], char error[static PV_PG_ERROR_MAX])
{
    const pv_ns until = pv_clock_now() + most;
    int r;
    while ((r = pv_pg_lease_take(l, other, error)) == status && pv_clock_now() < until)
        poll(NULL, 0, PV_PG_LEASE_ASK_MS / 10);
    return r;
}

static void run_sql(const char *sql)
{
    (void)pg_sql(&server, sql);
}

static void set_bytes(uint8_t network, uint64_t bytes)
{
    const char *sql = test_given_with("set the bytes of a network", PV_STR("%02x%030x", network, 0),
                                      PV_STR("%" PRIu64, bytes));
    run_sql(sql);
}

/* A lease that is taken, and the schema with it. The server may be starting still. */
static int setup(void **state)
{
    const struct pv_pg_lease_config cfg = lease_config(1);
    char other[PV_PG_NAME_MAX], error[PV_PG_ERROR_MAX] = "";
    list_begin();
    struct pv_pg_lease *l = lease_new(&cfg);
    if (take_while(l, PV_ERR_CLOSED, PV_S(60), other, error) != PV_OK)
        fail_msg("%s", error);
    fence = pv_pg_lease_fence(l);
    conninfo = pg_server_conninfo(&server, "postgres");
    pv_pg_lease_free(l);
    return 0;
}

static int teardown(void **state)
{
    if (server.pid == 0)
        pg_server_start(&server);
    run_sql("DROP SCHEMA IF EXISTS p2pvpn CASCADE");
    return test_teardown(state);
}

PV_TEST_WORLD(setup, teardown);

static int open_with(const char *with, struct pv_coordstore **ret_store,
                     char error[static PV_STOREOP_ERROR_MAX])
{
    const struct pv_store_pg_config cfg = {
        .conninfo = with, .fence = fence, .decode = pv_statement_decode};
    return pv_coordstore_open_pg(ret_store, &cfg, error);
}

static struct pv_coordstore *open_ok(void)
{
    char error[PV_STOREOP_ERROR_MAX] = "";
    struct pv_coordstore *s = NULL;
    int r = open_with(conninfo, &s, error);
    if (r != PV_OK)
        fail_msg("%d %s", r, error);
    return s;
}

/* --- a line that breaks ---------------------------------------------------------------------- */

/* Stores one of each kind over a line that breaks at the first commit: everything is there once,
 * and answered as if nothing had happened. */
static void store_over(enum pg_line_state cut)
{
    struct cw_node a = cw_node_make(world);
    struct pg_line *line = pg_line_new(&server, NULL);
    conninfo = line->conninfo;
    struct pv_coordstore *s = open_ok();
    pg_line_set(line, cut);
    struct pv_storeop *ops[3] = {member_op(&a, 9, 0, 1), network_op(1), append_op(1, 1, 1, 1, 3)};
    struct pv_storeop_result res[3];
    pv_coordstore_run(s, ops, res, 3);
    for (size_t i = 0; i < 3; i++) {
        if (res[i].status != PV_OK)
            fail_msg("%zu: %d %s", i, res[i].status, res[i].error);
        pv_storeop_free(ops[i]);
    }
    assert_int_equal(all_of(s).n, 5);
    assert_int_equal(chain_of(s, 1, 1).by_n, 3);
    /* The one use is taken, and by this node. */
    struct cw_node b = cw_node_make(world);
    assert_int_equal(run(s, member_op(&b, 10, 0, 1)).status, PV_ERR_EXPIRED);
    assert_int_equal(run(s, member_op(&a, 11, 0, 1)).status, PV_ERR_EXISTS);
    pv_coordstore_close(s);
}

PV_TEST(a_commit_whose_answer_is_lost_counts_once)
{
    store_over(PG_LINE_AFTER_COMMIT);
}

PV_TEST(a_commit_that_never_came_is_done_again)
{
    store_over(PG_LINE_BEFORE_COMMIT);
}

/* The machine of the database has the batch and goes before it answers: nothing is left that TCP
 * would repeat, so keepalives alone tell of it, after 3 s. Without them it would be the 10 s after
 * which a database that says nothing counts as away. */
PV_TEST(an_answer_that_a_dead_machine_owes_is_asked_for_soon)
{
    struct pg_line *line = pg_line_new_tcp(&server);
    conninfo = line->conninfo;
    struct pv_coordstore *s = open_ok();
    pg_line_set(line, PG_LINE_AFTER_COMMIT);
    const pv_ns began = pv_clock_now();
    assert_ok(run(s, network_op(1)).status);
    const pv_ns took = pv_clock_now() - began;
    print_message("%.2f s\n", (double)took / 1e9);
    assert_true(took < PV_S(8));
    assert_int_equal(all_of(s).n, 4);
    pv_coordstore_close(s);
}

/* An answer that takes longer than a silence may, and comes bit by bit. */
PV_TEST(an_answer_may_take_long_while_it_comes)
{
    const struct pv_pg_config cfg = {
        .conninfo = pg_server_conninfo(&server, "postgres"), .who = "test", .wait = PV_S(4)};
    char error[PV_PG_ERROR_MAX] = "";
    struct pv_pg *pg = NULL;
    assert_ok(pv_pg_new(&pg, &cfg, error));
    assert_ok(pv_pg_connect(pg, error));
    const pv_ns began = pv_clock_now();
    if (pv_pg_exec(pg, test_given("SELECT pg_sleep repeat x FROM"), NULL, NULL, error) != PV_OK)
        fail_msg("%s", error);
    assert_true(pv_clock_now() - began > cfg.wait);
    assert_int_equal(pv_pg_exec(pg, "SELECT pg_sleep(60)", NULL, NULL, error), PV_ERR_CLOSED);
    pv_pg_free(pg);
}

/* --- a database that goes -------------------------------------------------------------------- */

PV_TEST(a_database_that_is_away_refuses_with_a_reason_and_comes_back)
{
    struct pv_coordstore *s = open_ok();
    struct cw_node a = cw_node_make(world);
    assert_ok(run(s, network_op(1)).status);
    pg_server_stop(&server, SIGQUIT);
    struct pv_storeop_result res = run(s, member_op(&a, 9, 0, 1));
    assert_int_equal(res.status, PV_ERR_CLOSED);
    assert_has(res.error, "database");
    pg_server_start(&server);
    const pv_ns until = pv_clock_now() + PV_S(60);
    do {
        poll(NULL, 0, 50);
        res = run(s, member_op(&a, 9, 0, 1));
    } while (res.status != PV_OK && pv_clock_now() < until);
    if (res.status != PV_OK)
        fail_msg("%d %s", res.status, res.error);
    assert_int_equal(all_of(s).n, 5);
    pv_coordstore_close(s);
}

/* --- lease and fence ------------------------------------------------------------------------- */

enum {
    CALLERS = 8, /* more than a listener without a queue accepts */
};

/* A port that nobody hears: where the queue of who listens is full, the kernel drops the first
 * packet of others without a word, as a machine that is switched off does. */
static in_port_t deaf_port(int fds[static CALLERS + 1])
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(addr);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fds[0], (struct sockaddr *)&addr, len), 0);
    assert_int_equal(listen(fds[0], 0), 0);
    assert_int_equal(getsockname(fds[0], (struct sockaddr *)&addr, &len), 0);
    for (size_t i = 1; i <= CALLERS; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(fds[i], (struct sockaddr *)&addr, len);
    }
    return ntohs(addr.sin_port);
}

/* Of the machines that stand in the list the first does not answer, as after its end; the kernel
 * would ask it for two minutes. */
PV_TEST(a_machine_that_says_nothing_is_passed_over)
{
    char list[160], error[PV_STOREOP_ERROR_MAX] = "";
    int fds[CALLERS + 1];
    struct pv_coordstore *s = NULL;
    const in_port_t port = deaf_port(fds);
    snprintf(list, sizeof(list), "host=127.0.0.1,%s port=%u,5432 dbname=postgres user=postgres",
             server.dir, port);
    const pv_ns began = pv_clock_now();
    if (open_with(list, &s, error) != PV_OK)
        fail_msg("%s", error);
    print_message("%.2f s\n", (double)(pv_clock_now() - began) / 1e9);
    assert_ok(run(s, network_op(1)).status);
    pv_coordstore_close(s);
    /* Alone it is away, and that is known at once. */
    const pv_ns alone = pv_clock_now();
    snprintf(list, sizeof(list), "host=127.0.0.1 port=%u dbname=postgres user=postgres", port);
    assert_int_equal(open_with(list, &s, error), PV_ERR_CLOSED);
    assert_has(error, "is it running and reachable?");
    assert_true(pv_clock_now() - alone <
                PV_S(5)); /* half a second, and whatever a busy machine takes */
    for (size_t i = 0; i <= CALLERS; i++)
        close(fds[i]);
}

/* The database notices a moment later that the session of a holder has ended. */
static void wait_for_no_session(void)
{
    const pv_ns until = pv_clock_now() + PV_S(60);
    while (strcmp(pg_sql(&server, test_given("SELECT count FROM pg_locks")), "0") != 0 &&
           pv_clock_now() < until)
        poll(NULL, 0, 20);
}

PV_TEST(a_coordinator_that_lost_the_lease_stores_nothing)
{
    const struct pv_pg_lease_config first = lease_config(1), second = lease_config(2);
    char other[PV_PG_NAME_MAX], error[PV_PG_ERROR_MAX] = "";
    struct pv_pg_lease *one = lease_new(&first), *two = lease_new(&second);
    wait_for_no_session(); /* of setup(), or the first one's would not be known to live */
    /* The same holder again need not wait; another one waits until it is over. */
    assert_ok(pv_pg_lease_take(one, other, error));
    assert_true(pv_pg_lease_fence(one) > fence);
    fence = pv_pg_lease_fence(one);
    struct pv_coordstore *s = open_ok();
    assert_int_equal(pv_pg_lease_take(two, other, error), PV_ERR_AGAIN);
    assert_string_equal(other, "machine 1");
    assert_ok(run(s, network_op(1)).status);

    /* A holder that lives and is busy, as at a start with many rows, has the whole time. */
    assert_ok(take_while(two, PV_ERR_AGAIN, PV_S(60), other, error));
    pv_pg_lease_release(two);
    pv_pg_lease_free(one);
    wait_for_no_session();
    one = lease_new(&first); /* started anew: it has never renewed */
    const pv_ns asked = pv_clock_now();
    assert_ok(pv_pg_lease_take(one, other, error));
    assert_ok(take_while(two, PV_ERR_AGAIN, PV_S(60), other, error));
    assert_true(pv_clock_now() - asked >= PV_MS(PV_PG_LEASE_MS));
    assert_true(pv_pg_lease_fence(two) > fence);
    struct cw_node a = cw_node_make(world);
    struct pv_storeop_result res = run(s, member_op(&a, 9, 0, 1));
    assert_int_equal(res.status, -ESTALE);
    assert_has(res.error, "another coordinator has taken over");
    assert_int_equal(all_of(s).n, 4);
    pv_coordstore_close(s);

    pv_pg_lease_release(one); /* of what it has no more: nothing happens */
    run_sql(test_given("UPDATE p2pvpn.lease SET until"));
    assert_int_equal(pv_pg_lease_take(one, other, error), PV_ERR_AGAIN);
    pv_pg_lease_release(two);
    assert_ok(pv_pg_lease_take(one, other, error));
    pv_pg_lease_free(one);
    pv_pg_lease_free(two);
}

PV_TEST(coordinators_of_another_key_are_refused)
{
    struct pv_pg_lease_config cfg = lease_config(2);
    char other[PV_PG_NAME_MAX], error[PV_PG_ERROR_MAX] = "";
    cfg.pk[0] = 2;
    struct pv_pg_lease *l = lease_new(&cfg);
    assert_int_equal(pv_pg_lease_take(l, other, error), PV_ERR_EXISTS);
    assert_has(error, "another key");
    pv_pg_lease_free(l);
}

/* --- schemas and rights ---------------------------------------------------------------------- */

PV_TEST(of_many_that_start_at_once_one_makes_the_schema)
{
    pid_t pids[4];
    run_sql("DROP SCHEMA p2pvpn CASCADE");
    for (uint8_t i = 0; i < 4; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] > 0)
            continue;
        const struct pv_pg_lease_config cfg = lease_config((uint8_t)(10 + i));
        char other[PV_PG_NAME_MAX], error[PV_PG_ERROR_MAX] = "";
        int r = pv_pg_lease_take(lease_new(&cfg), other, error);
        if (r != PV_OK && r != PV_ERR_AGAIN)
            fprintf(stderr, "%d %s\n", r, error);
        _exit(r == PV_OK ? 1 : r == PV_ERR_AGAIN ? 0 : 2);
    }
    unsigned n_holders = 0;
    for (size_t i = 0; i < 4; i++) {
        int status = 0;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        n_holders += (unsigned)WEXITSTATUS(status);
    }
    assert_int_equal(n_holders, 1);
}

PV_TEST(a_newer_database_is_refused)
{
    const struct pv_pg_lease_config cfg = lease_config(1);
    char other[PV_PG_NAME_MAX], error[PV_PG_ERROR_MAX] = "";
    run_sql("UPDATE p2pvpn.version SET version = 99");
    struct pv_pg_lease *l = lease_new(&cfg);
    assert_int_equal(pv_pg_lease_take(l, other, error), PV_ERR_UNSUPPORTED);
    assert_has(error, "newer");
    pv_pg_lease_free(l);
}

/* A user who may read and write rows, and nothing else, is enough where the schema is made; without
 * these rights it is told what it lacks. */
PV_TEST(a_user_with_few_rights_is_enough)
{
    struct pv_pg_lease_config cfg = lease_config(1);
    char other[PV_PG_NAME_MAX], error[PV_PG_ERROR_MAX] = "";
    run_sql(test_given("DO BEGIN CREATE ROLE few LOGIN"));
    cfg.conninfo = pg_server_conninfo(&server, "few");
    struct pv_pg_lease *l = lease_new(&cfg);
    assert_int_equal(pv_pg_lease_take(l, other, error), -EACCES);
    assert_has(error, "permission denied");
    run_sql(test_given("GRANT SELECT INSERT UPDATE"));
    assert_ok(pv_pg_lease_take(l, other, error));
    fence = pv_pg_lease_fence(l);
    conninfo = cfg.conninfo;
    struct pv_coordstore *s = open_ok();
    assert_ok(run(s, network_op(1)).status);
    disk = s;
    assert_ok(keep(1, 2, 1, 0, 100));
    disk = NULL;
    pv_coordstore_close(s);
    pv_pg_lease_free(l);
    conninfo = pg_server_conninfo(&server, "postgres");
    run_sql("DROP OWNED BY few; DROP ROLE few");
}

PV_TEST(a_bad_address_of_a_database_is_named)
{
    char error[PV_STOREOP_ERROR_MAX] = "";
    struct pv_coordstore *s = NULL;
    assert_int_equal(open_with("host", &s, error), PV_ERR_MALFORMED);
    assert_has(error, "[store] postgres");
    assert_int_equal(open_with("host=/nonexistent", &s, error), PV_ERR_CLOSED);
    assert_has(error, "/nonexistent");
    assert_null(s);
}

/* --- to SQLite and back ---------------------------------------------------------------------- */

static struct pv_coordstore *open_sqlite(const char *dir)
{
    char error[PV_STOREOP_ERROR_MAX] = "";
    struct pv_coordstore *s = NULL;
    if (pv_coordstore_open_sqlite(&s, dir, error) != PV_OK)
        fail_msg("%s", error);
    return s;
}

static void transfer(struct pv_coordstore *from, struct pv_coordstore *to, uint64_t statements,
                     uint64_t copies)
{
    char error[PV_STOREOP_ERROR_MAX] = "";
    struct pv_transfer t;
    if (pv_transfer(from, to, &t, error) != PV_OK)
        fail_msg("%s", error);
    assert_true(t.statements == statements && t.copies == copies);
}

/* Everything that a store has, in its order, as one hash. */
struct whole {
    uint8_t hash[PV_BLAKE2B_LEN];
};

static void add_to_whole(struct whole *w, struct pv_view v)
{
    uint8_t len[8];
    pv_store_be64(len, v.len);
    pv_blake2b(w->hash, pv_view(w->hash, sizeof(w->hash)), pv_view(len, sizeof(len)), v);
}

static void add_number(struct whole *w, uint64_t n)
{
    uint8_t bytes[8];
    pv_store_be64(bytes, n);
    add_to_whole(w, pv_view(bytes, sizeof(bytes)));
}

static int add_row(void *ctx, struct pv_storerow *row)
{
    add_number(ctx, row->epoch);
    add_number(ctx, row->n);
    add_to_whole(ctx, pv_view(row->network, sizeof(row->network)));
    add_to_whole(ctx, pv_view(row->hash, sizeof(row->hash)));
    add_to_whole(ctx, row->statement);
    add_to_whole(ctx, row->receipt);
    add_to_whole(ctx, row->foreign);
    add_to_whole(ctx, pv_view(row->mark, row->has_mark ? sizeof(row->mark) : 0));
    return PV_OK;
}

static int add_copy(void *ctx, const struct pv_storeop_copy *c, struct pv_view box)
{
    add_to_whole(ctx, pv_view(c->network, sizeof(c->network)));
    add_to_whole(ctx, pv_view(c->from, sizeof(c->from)));
    add_to_whole(ctx, pv_view(c->to, sizeof(c->to)));
    add_to_whole(ctx, pv_view(c->key, sizeof(c->key)));
    add_number(ctx, c->wall_s);
    add_to_whole(ctx, box);
    return PV_OK;
}

static int mark_row(void *ctx, struct pv_storerow *row)
{
    pv_rowmark_set(ctx, row);
    return PV_OK;
}

static struct whole whole_of(struct pv_coordstore *s)
{
    struct whole w = {{0}};
    char error[PV_STOREOP_ERROR_MAX] = "";
    assert_ok(pv_coordstore_load(s, add_row, &w, error));
    assert_ok(pv_coordstore_entries(s, add_row, &w, error));
    assert_ok(pv_coordstore_copies(s, add_copy, &w, error));
    return w;
}

/* Hundreds of members and of copies go there and back, and are what they were to the last byte, and
 * so are the uses of an invite and the order of copies. */
PV_TEST(all_of_it_goes_to_sqlite_and_back)
{
    char where[64];
    uint64_t n = 0;
    assert_non_null(test_dir_make(where, sizeof(where)));
    struct pv_coordstore *pg = open_ok(), *file = open_sqlite(where);
    assert_ok(run(pg, network_op(1)).status);
    for (uint64_t i = 0; i < 200; i++) {
        struct cw_node a = cw_node_make(world);
        assert_ok(run(pg, member_op(&a, 10 + i, 0, 200)).status);
    }
    assert_ok(run(pg, append_op(1, 1, 1, 1, 300)).status);
    assert_ok(run(pg, append_op(2, 1, 1, 1, 1)).status);
    disk = pg;
    for (uint8_t i = 1; i <= 100; i++)
        assert_ok(keep(i, 8, i, 0, 100000));
    const struct whole before = whole_of(pg);
    transfer(pg, file, 204, 100);
    const struct whole between = whole_of(file);
    assert_memory_equal(&before, &between, sizeof(between));
    /* The marks of a start go along. */
    const uint8_t key[PV_ROWMARK_KEY_LEN] = {5};
    char error[PV_STOREOP_ERROR_MAX] = "";
    assert_ok(pv_coordstore_load(file, mark_row, (void *)(uintptr_t)key, error));
    pv_coordstore_close(pg);
    run_sql(test_given("TRUNCATE p2pvpn.statements"));
    pg = open_ok();
    assert_int_equal(all_of(pg).n, 0);
    transfer(file, pg, 204, 100);
    const struct whole marked = whole_of(file), after = whole_of(pg);
    assert_memory_not_equal(&between, &marked, sizeof(marked));
    assert_memory_equal(&marked, &after, sizeof(after));
    struct cw_node b = cw_node_make(world);
    assert_int_equal(run(pg, member_op(&b, 999, 0, 200)).status, PV_ERR_EXPIRED);
    disk = pg;
    for (uint8_t i = 1; i <= 100; i++)
        assert_int_equal(next(8, &n, true, 0), i);
    assert_int_equal(next(8, &n, true, 0), 0);
    disk = NULL;
    pv_coordstore_close(pg);
    pv_coordstore_close(file);
    assert_int_equal(test_dir_remove(where), 0);
}

static void expect_failure(struct pv_coordstore *from, struct pv_coordstore *to, const char *part)
{
    char error[PV_STOREOP_ERROR_MAX] = "";
    struct pv_transfer t;
    assert_true(pv_transfer(from, to, &t, error) < 0);
    if (strstr(error, part) == NULL)
        fail_msg("\"%s\" without \"%s\"", error, part);
}

/* The last of many copies cannot be written, or read: nothing of what came before stays, in either
 * direction, and the reason is told. */
PV_TEST(a_transfer_that_fails_has_changed_nothing)
{
    char where[64];
    assert_non_null(test_dir_make(where, sizeof(where)));
    struct pv_coordstore *pg = open_ok(), *file = open_sqlite(where);
    assert_ok(run(file, network_op(1)).status);
    disk = file;
    for (uint8_t i = 1; i <= 100; i++)
        assert_ok(keep(i, 8, i, 0, i));
    disk = NULL;
    run_sql(test_given("ALTER TABLE p2pvpn.mail ADD"));
    expect_failure(file, pg, "violates check constraint");
    pv_coordstore_close(pg);
    assert_string_equal(pg_sql(&server, test_given("SELECT count FROM")), "0");
    run_sql(test_given("ALTER TABLE p2pvpn.mail DROP"));
    pv_coordstore_close(file);
    pg = open_ok();
    file = open_sqlite(where);
    transfer(file, pg, 4, 100);
    pv_coordstore_close(file);
    assert_int_equal(test_dir_remove(where), 0);

    assert_non_null(test_dir_make(where, sizeof(where)));
    file = open_sqlite(where);
    run_sql(test_given("UPDATE p2pvpn.mail SET key x00"));
    expect_failure(pg, file, "read the database");
    pv_coordstore_close(file);
    file = open_sqlite(where);
    assert_int_equal(all_of(file).n, 0);
    pv_coordstore_close(file);
    pv_coordstore_close(pg);
    assert_int_equal(test_dir_remove(where), 0);
}

/* However long a transfer takes, no coordinator joins (as pg_lease.c does it) and none takes the
 * lease. */
PV_TEST(nobody_gets_a_store_that_is_held)
{
    char error[PV_STOREOP_ERROR_MAX] = "";
    const char *const tries[] = {
        test_given("DO BEGIN LOCK TABLE"),
        test_given("SELECT p2pvpn.take_lease x09"),
    };
    struct pv_coordstore *s = open_ok();
    struct pv_pg *other = pg_sql_open(&server);
    run_sql("UPDATE p2pvpn.lease SET until = '-infinity'"); /* as when it takes long */
    assert_ok(pv_coordstore_hold(s, error));
    assert_ok(run(s, network_op(1)).status);
    pg_sql_in(other, "SET lock_timeout = '100ms'");
    for (size_t i = 0; i < PV_ARRAY_LEN(tries); i++) {
        assert_true(pv_pg_exec(other, tries[i], NULL, NULL, error) < 0);
        assert_has(error, "lock timeout");
    }
    pv_coordstore_close(s); /* without keeping it */
    s = open_ok();
    assert_int_equal(all_of(s).n, 0);
    assert_ok(pv_coordstore_hold(s, error));
    assert_ok(run(s, network_op(1)).status);
    assert_ok(pv_coordstore_keep(s, error));
    assert_int_equal(all_of(s).n, 4);
    assert_int_equal(pv_coordstore_keep(s, error), PV_ERR_CLOSED);
    pv_coordstore_close(s);
    pv_pg_free(other);
}
