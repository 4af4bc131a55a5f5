/* SPDX-License-Identifier: MIT */
/* The primary of the database dies in the middle of work, and its synchronous standby becomes the
 * primary: everything that was answered is there, once, and work goes on. */
#include <poll.h>

#include "coordinator/store/pg/pg_lease.h"
#include "coordinator/store/pg/store_pg.h"
#include "sys/proc/clock.h"
#include "tests/unit/coordinator/store/pg_server.h"
#include "tests/unit/coordinator/store/store_ops.h"

enum {
    MEMBERS = 400, /* stored one by one */
    DIES_AT = 100, /* answers after which the primary is killed */
    WAIT_S = 60,   /* for what takes moments */
};

static struct pg_server primary, standby;
static char conninfo[256]; /* of both, whichever takes writes */
static struct pv_pg_lease *lease;

static struct pv_coordstore *open_ok(void)
{
    const struct pv_store_pg_config cfg = {.conninfo = conninfo,
                                           .member = pv_pg_lease_fence(lease),
                                           .epoch = pv_pg_lease_epoch(lease),
                                           .decode = pv_statement_decode};
    char error[PV_STOREOP_ERROR_MAX] = "";
    struct pv_coordstore *s = NULL;
    int r = pv_coordstore_open_pg(&s, &cfg, error);
    if (r != PV_OK)
        fail_msg("%d %s", r, error);
    return s;
}

static int take_any(void *ctx, PGresult *res)
{
    *(bool *)ctx = true;
    return PV_OK;
}

/* Asks until the answer has a row (or, for an order, is good); false: not in time. */
static bool ask_for(const struct pg_server *server, const char *sql, bool row)
{
    const struct pv_pg_config cfg = {
        .conninfo = pg_server_conninfo(server, "postgres"), .who = "test", .wait = PV_S(WAIT_S)};
    const pv_ns until = pv_clock_now() + PV_S(WAIT_S);
    char error[PV_PG_ERROR_MAX] = "";
    struct pv_pg *pg = NULL;
    bool found = false;
    assert_ok(pv_pg_new(&pg, &cfg, error));
    while (!found && pv_clock_now() < until) {
        if (pv_pg_connect(pg, error) == PV_OK &&
            pv_pg_exec(pg, sql, take_any, &found, error) == PV_OK)
            found |= !row;
        if (!found)
            poll(NULL, 0, 50);
    }
    pv_pg_free(pg);
    return found;
}

static bool ask(const struct pg_server *server, const char *sql)
{
    return ask_for(server, sql, true);
}

/* A copy of the primary that follows it, and that each commit waits for. */
static bool follow(void)
{
    char data[96];
    const char *const args[] = {
        "pg_basebackup", "-h", primary.dir, "-U", "postgres", "-D", data, "-R", "-X",
        "stream",        "-c", "fast",      NULL};
    standby = primary;
    standby.pid = 0;
    if (test_dir_make(standby.dir, sizeof(standby.dir)) == NULL || chmod(standby.dir, 0755) < 0 ||
        (geteuid() == 0 && chown(standby.dir, PG_SERVER_UID, PG_SERVER_UID) < 0))
        return false;
    snprintf(data, sizeof(data), "%s/data", standby.dir);
    if (!pg_server_wait(pg_server_spawn(&standby, "pg_basebackup", args)))
        return false;
    pg_server_start(&standby);
    return ask_for(&primary, test_given("each commit waits for a standby"), false) &&
           ask(&primary, "SELECT pg_reload_conf()") &&
           ask(&primary, test_given("whether a standby is in step"));
}

static void end_lease(void *l)
{
    pv_pg_lease_free(l);
}

/* One of several coordinators, as all are. */
static void join(void)
{
    struct pv_pg_lease_config cfg = {
        .conninfo = conninfo, .pk = {1}, .holder = {1}, .name = "one", .shared = true};
    char other[PV_PG_NAME_MAX], error[PV_PG_ERROR_MAX] = "";
    assert_ok(pv_pg_lease_new(&lease, &cfg, error));
    test_defer(end_lease, lease);
    if (pv_pg_lease_take(lease, other, error) != PV_OK)
        fail_msg("%s", error);
}

/* It renews its place as soon as there is a primary, and its home is its own still. */
static void expect_home(void)
{
    struct pv_pg_renewal re = {.homes = 1, .again = true};
    char error[PV_PG_ERROR_MAX] = "";
    const pv_ns until = pv_clock_now() + PV_S(WAIT_S);
    int r;
    while ((r = pv_pg_lease_renew(lease, &re, error)) == PV_ERR_CLOSED && pv_clock_now() < until)
        poll(NULL, 0, 50);
    if (r != PV_OK)
        fail_msg("%d %s", r, error);
    assert_true(re.has_list);
    assert_int_equal(re.n, 1);
    free(re.list);
}

/* Kills the primary when that many answers have come, and promotes the standby after a moment in
 * which there is none. */
static pid_t killer(int answers)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    char byte;
    for (int i = 0; i < DIES_AT; i++)
        if (read(answers, &byte, 1) != 1)
            _exit(1);
    kill(primary.pid, SIGQUIT);
    poll(NULL, 0, 300);
    _exit(ask(&standby, "SELECT pg_promote()") ? 0 : 2);
}

PV_TEST(nothing_answered_is_lost_when_the_primary_dies)
{
    static uint8_t told[MEMBERS][PV_STATEMENT_HASH_LEN];
    size_t n_told = 0, n_refused = 0;
    int fds[2], status = 0;
    list_begin();
    snprintf(conninfo, sizeof(conninfo),
             "host=%s,%s dbname=postgres user=postgres target_session_attrs=read-write",
             primary.dir, standby.dir);
    join();
    struct pv_coordstore *s = open_ok();
    struct pv_storeop *made = network_op(MEMBERS + 2);
    made->fresh = true;
    assert_ok(run(s, made).status);
    assert_int_equal(pipe(fds), 0);
    pid_t pid = killer(fds[0]);
    for (uint64_t i = 1; i <= MEMBERS; i++) {
        struct cw_node node = cw_node_make(world);
        struct pv_storeop *op = member_op(&node, i, 0, MEMBERS);
        const pv_ns until = pv_clock_now() + PV_S(WAIT_S);
        struct pv_storeop_result res;
        memcpy(told[n_told], op->rows[0].hash, PV_STATEMENT_HASH_LEN);
        do { /* what is refused while there is no primary is asked for again */
            pv_coordstore_run(s, &op, &res, 1);
            n_refused += res.status == PV_OK ? 0 : 1;
            if (res.status != PV_OK)
                poll(NULL, 0, 20);
        } while (res.status != PV_OK && pv_clock_now() < until);
        if (res.status != PV_OK)
            fail_msg("%d %s", res.status, res.error);
        n_told++;
        pv_storeop_free(op);
        assert_int_equal(write(fds[1], "x", 1), 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    /* Each of them is there once, and the invite has no use left. */
    struct cw_node late = cw_node_make(world);
    assert_int_equal(run(s, member_op(&late, MEMBERS + 1, 0, MEMBERS)).status, PV_ERR_EXPIRED);
    assert_true(ask(&standby, test_given("whether 404 statements are there")));
    expect_home();
    pv_coordstore_close(s);
    print_message("%zu answered, %zu refused on the way\n", n_told, n_refused);
    close(fds[0]);
    close(fds[1]);
}

void test_begin(void)
{
    if (!pg_server_make(&primary))
        test_skip_all("PostgreSQL is not installed (scripts/deps)");
    if (ask(&primary, "SELECT 1") && follow())
        return;
    pg_server_done(&primary);
    exit(1);
}

void test_done(void)
{
    pg_server_done(&standby);
    pg_server_done(&primary);
}
