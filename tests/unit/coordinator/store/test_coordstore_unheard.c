/* SPDX-License-Identifier: MIT */
/* Writes of one of several coordinators whose outcome nobody hears, as the connection to PostgreSQL
 * ends around them: each is done once, and answered as if nothing had happened. */
#include <errno.h>
#include <signal.h>

#include "tests/unit/coordinator/store/home_ops.h"

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
    assert_int_equal(create(&one, 1).status, PV_OK);
    pg_line_set(line, cut);
    assert_int_equal(run(one.store, member_op(&a, 9, 0, 1)).status, PV_OK);
    assert_int_equal(run(one.store, member_op(&b, 10, 0, 1)).status, PV_ERR_EXPIRED);
    assert_int_equal(run(one.store, member_op(&a, 11, 0, 1)).status, PV_ERR_EXISTS);
    pg_line_set(line, cut);
    assert_int_equal(keep_one(&one), PV_OK);
    assert_string_equal(pg_sql(&server, "SELECT count(*) FROM p2pvpn.mail"), "1");
    assert_int_equal(all_of(one.store).n, 5);
    pg_line_set(line, cut);
    struct pv_storeop_result res = order(&one, PV_STOREOP_DROP, false);
    if (res.status != PV_OK)
        fail_msg("%d %s", res.status, res.error);
    assert_int_equal(all_of(one.store).n, 0);
    assert_int_equal(verdict(&two, false), PV_HOME_NONE);
}

PV_TEST_WORLD(setup, teardown);

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
    assert_int_equal(create(&one, 1).status, PV_OK);
    assert_int_equal(renew(&one, 1), PV_OK);
    pg_line_set_behind(line, 1, PG_LINE_BEFORE_COMMIT);
    assert_int_equal(order(&one, PV_STOREOP_LEAVE, false).status, PV_ERR_CLOSED);
    assert_int_equal(put_again(9), PV_OK);
    assert_int_equal(verdict(&two, false), PV_HOME_THERE);

    pg_line_set_behind(line, 1, PG_LINE_AFTER_COMMIT);
    assert_int_equal(order(&one, PV_STOREOP_LEAVE, false).status, PV_ERR_CLOSED);
    assert_int_equal(put_again(10), -ESTALE);
    assert_int_equal(renew(&one, 1), PV_OK);
    assert_true(one.renewal.has_list);
    assert_int_equal(one.renewal.n, 0);
    assert_int_equal(verdict(&two, false), PV_HOME_TAKE);
    assert_int_equal(put(&two, 11), PV_OK);
}

/* Ends the sessions of all stores, and waits until their sockets are closed. */
/* A session is no more listed some time before its process closes the connection, so that the
 * processes are what is waited for. */
static void end_sessions(void)
{
    struct pv_pg *pg = pg_sql_open(&server);
    const pv_ns until = pv_clock_now() + PV_S(60);
    char pids[512];
    snprintf(pids, sizeof(pids), "%s",
             pg_sql_in(pg, "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity"
                           " WHERE application_name = 'p2pvpn-coordinator'"));
    (void)pg_sql_in(pg, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE application_name = 'p2pvpn-coordinator'");
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
    assert_int_equal(create(&one, 1).status, PV_OK);
    end_sessions();
    assert_int_equal(put(&one, 9), PV_OK);
    end_sessions();
    assert_int_equal(verdict(&two, false), PV_HOME_THERE);
    end_sessions();
    struct pv_home_answer *a = ask(&one, PV_STOREOP_LEAVE, false);
    assert_int_equal(a->verdict, PV_HOME_THERE);
    pv_home_answer_free(a);
}

/* The database says why it ends a session, and then closes the connection: in a statement as text,
 * in one whose rows come one by one, and in a batch. */
PV_TEST(a_session_that_is_ended_in_a_statement_is_made_anew)
{
    static const char end[] = "SELECT pg_terminate_backend(pg_backend_pid())";
    static const struct pv_pg_statement statements[] = {{"end", end}};
    const struct pv_pg_config cfg = {.conninfo = pg_server_conninfo(&server, "postgres"),
                                     .who = "test",
                                     .wait = PV_S(60),
                                     .statements = statements,
                                     .n_statements = PV_ARRAY_LEN(statements)};
    char error[PV_PG_ERROR_MAX] = "";
    struct pv_pg *pg = NULL;
    assert_int_equal(pv_pg_new(&pg, &cfg, error), PV_OK);
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
    char sql[160], hex[2 * PV_NETWORK_ID_LEN + 1];
    hex_of(lost_network, hex);
    snprintf(sql, sizeof(sql),
             "UPDATE p2pvpn.homes SET fence = fence + 1 WHERE network = decode('%s', 'hex')", hex);
    run_sql(sql);
}

/* A batch is stored, nobody hears of it, and one of its two networks is lost before it is sent
 * again: the other's member is answered that it is in, and has not come second to itself. */
PV_TEST(statements_stored_are_known_again_beside_a_network_that_was_lost)
{
    struct cw *first = world;
    struct cw_keys first_invite = invite;
    world = cw_new(2);
    cw_make_network(world);
    invite = cw_keys_make(world);
    memcpy(lost_network, world->created.network_id, sizeof(lost_network));
    struct pg_line *line = pg_line_new(&server, lose_network);
    leave(&one);
    one = join_by(1, line->conninfo);
    struct cw_node a = cw_node_make(world), b = cw_node_make(first);
    assert_int_equal(create(&one, 20).status, PV_OK);
    struct pv_storeop *lost = member_op(&a, 30, 0, 1);
    world = first;
    invite = first_invite;
    assert_int_equal(create(&one, 1).status, PV_OK);
    struct pv_storeop *ops[2] = {member_op(&b, 9, 0, 1), lost};
    struct pv_storeop_result res[2];
    pg_line_set(line, PG_LINE_AFTER_COMMIT);
    pv_coordstore_run(one.store, ops, res, 2);
    assert_int_equal(res[0].status, PV_OK);
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
    snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%u dbname=postgres user=postgres",
             server.tcp_port);
    if (pv_pg_new(&pg, &cfg, error) < 0 || pv_pg_connect(pg, error) < 0 ||
        pv_pg_exec(pg, "BEGIN; UPDATE p2pvpn.coordinators SET lost = lost", NULL, NULL, error) < 0)
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

void test_begin(void)
{
    if (!pg_server_make(&server))
        test_skip_all("PostgreSQL is not installed (scripts/deps)");
}

void test_done(void)
{
    pg_server_done(&server);
}
