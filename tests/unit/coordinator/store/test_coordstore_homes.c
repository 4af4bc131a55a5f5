/* SPDX-License-Identifier: MIT */
/* Homes of networks in PostgreSQL: two coordinators with one database, of which one at a time
 * stores for a network; what becomes of it when its home is given away, dies, or sleeps. */
#include <errno.h>

#include "coordinator/store/pg_view.h"
#include "tests/unit/coordinator/store/home_ops.h"

/* --- tests ----------------------------------------------------------------------------------- */

PV_TEST_WORLD(setup, teardown);

PV_TEST(one_stores_and_the_other_is_told_where)
{
    assert_int_equal(verdict(&two, false), PV_HOME_NONE);
    struct pv_storeop_result res = create(&one, 1);
    assert_int_equal(res.status, PV_OK);
    assert_true(res.fence > 0);
    struct pv_home_answer *a = ask(&two, PV_STOREOP_HOME, false);
    assert_int_equal(a->verdict, PV_HOME_THERE);
    assert_int_equal(a->n_to, 2);
    assert_string_equal(a->to[0], "192.0.2.1:3478");
    assert_string_equal(a->to[1], "[2001:db8::1]:3478");
    pv_home_answer_free(a);
    assert_int_equal(put(&one, 9), PV_OK);
    assert_int_equal(put(&two, 10), -ESTALE);
    assert_int_equal(create(&two, 20).status, -ESTALE); /* the same network again */
    assert_int_equal(all_of(open_ok()).n, 5);
}

/* In one batch of the store two networks may be written, of which one was taken away. */
PV_TEST(a_network_that_was_lost_does_not_hurt_others)
{
    assert_int_equal(create(&one, 1).status, PV_OK);
    struct cw *first = world;
    struct cw_keys first_invite = invite;
    world = cw_new(2);
    cw_make_network(world);
    invite = cw_keys_make(world);
    assert_int_equal(create(&one, 20).status, PV_OK);
    silence(1);
    run_sql("UPDATE p2pvpn.coordinators SET steady = clock_timestamp() - interval '9 seconds'");
    assert_int_equal(verdict(&two, false), PV_HOME_TAKE);

    struct cw_node a = cw_node_make(world), b = cw_node_make(world);
    struct pv_storeop *lost = member_op(&a, 30, 0, 9);
    world = first;
    invite = first_invite;
    struct pv_storeop *ops[2] = {lost, member_op(&b, 31, 0, 9)};
    struct pv_storeop_result res[2];
    pv_coordstore_run(one.store, ops, res, 2);
    assert_int_equal(res[0].status, -ESTALE);
    assert_int_equal(res[1].status, PV_OK);
    pv_storeop_free(ops[0]);
    pv_storeop_free(ops[1]);
}

PV_TEST(a_network_given_away_goes_with_all_its_rows)
{
    assert_int_equal(create(&one, 1).status, PV_OK);
    struct pv_home_answer *a = ask(&one, PV_STOREOP_LEAVE, false);
    assert_int_equal(a->verdict, PV_HOME_THERE);
    assert_string_equal(a->to[0], "192.0.2.2:3478");
    pv_home_answer_free(a);
    assert_int_equal(put(&one, 9), -ESTALE);
    assert_int_equal(verdict(&one, false), PV_HOME_THERE);
    a = ask(&two, PV_STOREOP_HOME, false);
    assert_int_equal(a->verdict, PV_HOME_TAKE);
    assert_int_equal(a->rows->n_rows, 4);
    assert_string_equal(a->why, "given to it");
    assert_true(a->epoch > 7); /* above all its receipts */
    pv_home_answer_free(a);
    assert_int_equal(put(&two, 9), PV_OK);
    /* A second time nothing happens: it is not its to give. */
    a = ask(&one, PV_STOREOP_LEAVE, false);
    assert_int_equal(a->verdict, PV_HOME_THERE);
    pv_home_answer_free(a);
    assert_int_equal(put(&two, 10), PV_OK);
}

/* The other drains too, or has ended: what nobody can have is not given to nobody. */
PV_TEST(a_network_that_nobody_takes_stays)
{
    assert_int_equal(create(&one, 1).status, PV_OK);
    run_sql("UPDATE p2pvpn.coordinators SET draining = true WHERE name = 'machine 2'");
    assert_int_equal(renew(&one, 1), PV_OK);
    assert_true(one.renewal.living == 2 && one.renewal.few == UINT64_MAX);
    struct pv_home_answer *a = ask(&one, PV_STOREOP_LEAVE, false);
    assert_int_equal(a->verdict, PV_HOME_WAIT);
    pv_home_answer_free(a);
    silence(2);
    a = ask(&one, PV_STOREOP_LEAVE, false);
    assert_int_equal(a->verdict, PV_HOME_WAIT);
    pv_home_answer_free(a);
    assert_int_equal(put(&one, 9), PV_OK);
}

PV_TEST(one_that_sleeps_is_followed_and_learns_of_it)
{
    assert_int_equal(create(&one, 1).status, PV_OK);
    assert_int_equal(renew(&one, 1), PV_OK);
    assert_int_equal(one.renewal.n, 1);
    assert_int_equal(one.renewal.living, 2);
    silence(1);
    /* It may have been cut off as everybody was: who has just come waits. */
    assert_int_equal(verdict(&two, false), PV_HOME_WAIT);
    run_sql("UPDATE p2pvpn.coordinators SET steady = clock_timestamp() - interval '9 seconds'");
    assert_int_equal(verdict(&two, false), PV_HOME_TAKE);
    assert_int_equal(put(&one, 9), -ESTALE);
    assert_int_equal(renew(&one, 1), PV_OK);
    assert_true(one.renewal.has_list);
    assert_int_equal(one.renewal.n, 0);
    assert_int_equal(renew(&one, 0), PV_OK);
    assert_false(one.renewal.has_list); /* nothing has changed since */
    assert_int_equal(verdict(&one, false), PV_HOME_THERE);
    assert_int_equal(put(&two, 10), PV_OK);
}

PV_TEST(a_renewal_says_what_time_it_is_there)
{
    const uint64_t before = pv_clock_wall_us();
    assert_int_equal(renew(&one, 0), PV_OK);
    assert_in_range(one.renewal.wall_us, before, pv_clock_wall_us());
    assert_true(one.renewal.wall_at <= pv_clock_now());
}

/* The database's clock is set by that much: all that it has noted is earlier, or later, by it. */
static void set_clock(const char *by)
{
    char sql[160];
    snprintf(sql, sizeof(sql),
             "UPDATE p2pvpn.coordinators SET until = until - interval '%s',"
             " steady = steady - interval '%s'",
             by, by);
    run_sql(sql);
}

static void both_have_renewed_for_long(void)
{
    assert_int_equal(renew(&one, 1), PV_OK);
    assert_int_equal(renew(&two, 0), PV_OK);
    run_sql("UPDATE p2pvpn.coordinators SET steady = clock_timestamp() - interval '9 seconds'");
}

/* A coordinator that asks first after a jump takes nothing from one that lives and has not renewed
 * since; one that died before it is followed, and does not live for the hour that it seems to
 * have. */
PV_TEST(a_jump_of_the_clock_moves_no_home_and_buries_no_dead)
{
    static const char *const jumps[] = {"1 hour", "4 seconds", "-1 hour", "-4 seconds"};
    assert_int_equal(create(&one, 1).status, PV_OK);
    for (size_t i = 0; i < PV_ARRAY_LEN(jumps); i++) {
        both_have_renewed_for_long();
        assert_int_equal(verdict(&two, false), PV_HOME_THERE);
        set_clock(jumps[i]);
        assert_int_equal(verdict(&two, false), PV_HOME_WAIT);
        assert_int_equal(renew(&two, 0), PV_OK);
        assert_int_equal(two.renewal.living, 1);
        assert_int_equal(verdict(&two, false), PV_HOME_WAIT);
        assert_int_equal(renew(&one, 1), PV_OK);
        assert_int_equal(one.renewal.living, 2);
        assert_int_equal(verdict(&two, false), PV_HOME_THERE);
        assert_int_equal(put(&one, 9 + i), PV_OK);
    }
    both_have_renewed_for_long();
    set_clock("-1 hour");
    assert_int_equal(renew(&two, 0), PV_OK);
    run_sql("UPDATE p2pvpn.coordinators SET steady = steady - interval '4 seconds'"
            " WHERE name = 'machine 2'");
    assert_int_equal(verdict(&two, false), PV_HOME_TAKE);
    assert_int_equal(put(&two, 20), PV_OK);
    assert_int_equal(put(&one, 21), -ESTALE);
}

PV_TEST(one_that_was_killed_is_followed_before_its_time)
{
    char error[PV_PG_ERROR_MAX], other[PV_PG_NAME_MAX];
    assert_int_equal(create(&one, 1).status, PV_OK);
    run_sql("UPDATE p2pvpn.coordinators SET steady = clock_timestamp() - interval '9 seconds'");
    run_sql("UPDATE p2pvpn.coordinators SET until = clock_timestamp() + interval '1.5 seconds'"
            " WHERE name = 'machine 1'");
    assert_int_equal(verdict(&two, false), PV_HOME_THERE); /* its session has the lock */
    leave(&one);
    const pv_ns until = pv_clock_now() + PV_S(60);
    while (verdict(&two, false) == PV_HOME_THERE && pv_clock_now() < until)
        poll(NULL, 0, 20); /* the server notices the end of a session a moment later */
    assert_int_equal(put(&two, 9), PV_OK);

    /* Started again in its place it is one of them again, and an import has to wait for all. */
    one = join(1);
    assert_int_equal(verdict(&one, false), PV_HOME_THERE);
    struct pv_pg_lease *alone = lease_of(3, false);
    assert_int_equal(pv_pg_lease_take(alone, other, error), PV_ERR_AGAIN);
    assert_non_null(strstr(other, "machine"));
    pv_pg_lease_release(one.lease);
    pv_pg_lease_release(two.lease);
    assert_int_equal(pv_pg_lease_take(alone, other, error), PV_OK);
    struct pv_pg_lease *third = lease_of(4, true);
    assert_int_equal(pv_pg_lease_take(third, other, error), PV_ERR_AGAIN);
    assert_string_equal(other, "machine 3");
    pv_pg_lease_free(third);
    pv_pg_lease_free(alone);
}

PV_TEST(a_home_that_members_cannot_reach_comes_back)
{
    assert_int_equal(create(&one, 1).status, PV_OK);
    memcpy(pleader, world->alice.id.pk, sizeof(pleader));
    assert_int_equal(verdict(&two, true), PV_HOME_THERE);
    run_sql("UPDATE p2pvpn.homes SET since = since - interval '31 seconds'");
    assert_int_equal(verdict(&two, false), PV_HOME_THERE);
    /* Somebody who knows the network, and has not joined it, moves nothing. */
    struct cw_node stranger = cw_node_make(world);
    memcpy(pleader, stranger.id.pk, sizeof(pleader));
    assert_int_equal(verdict(&two, true), PV_HOME_THERE);
    memcpy(pleader, world->alice.id.pk, sizeof(pleader));
    assert_int_equal(verdict(&two, true), PV_HOME_TAKE);
}

/* Puts the n-th statement of the network's log, signed by that key. */
static void put_signed(struct pv_statement *st, const uint8_t *signer, uint64_t n)
{
    uint8_t raw[PV_STATEMENT_SHORT_MAX], receipt[PV_RECEIPT_LEN] = {1};
    size_t len;
    struct pv_storeop *op = NULL;
    memcpy(st->network_id, world->created.network_id, sizeof(st->network_id));
    assert_int_equal(pv_statement_make(st, pv_signer_sk(signer), NULL, raw, sizeof(raw), &len),
                     PV_OK);
    struct pv_storerow row = {.epoch = 7,
                              .n = n,
                              .statement = pv_view(raw, len),
                              .receipt = pv_view(receipt, sizeof(receipt))};
    memcpy(row.network, st->network_id, sizeof(row.network));
    pv_statement_hash(row.statement, row.hash);
    assert_int_equal(pv_storeop_new(PV_STOREOP_PUT, 1, 1000, &op), PV_OK);
    assert_int_equal(pv_storeop_add(op, &row), PV_OK);
    assert_int_equal(run(one.store, op).status, PV_OK);
}

/* A removed machine knows enough of the network to knock as before. */
PV_TEST(a_node_that_was_removed_or_left_moves_nothing)
{
    struct cw_node bob = cw_node_make(world), eve = cw_node_make(world);
    assert_int_equal(create(&one, 1).status, PV_OK);
    assert_int_equal(run(one.store, member_op(&bob, 9, 3, 100)).status, PV_OK);
    assert_int_equal(run(one.store, member_op(&eve, 10, 0, 100)).status, PV_OK);
    run_sql("UPDATE p2pvpn.homes SET since = since - interval '31 seconds'");

    struct pv_statement removal = {.type = PV_ST_REVOCATION};
    removal.u.revocation = (struct pv_st_revocation){.kind = PV_REVOKE_NODE, .time = CW_WALL};
    memcpy(removal.u.revocation.pk, eve.id.pk, sizeof(eve.id.pk));
    put_signed(&removal, world->alice.id.sk, 11);
    memcpy(pleader, eve.id.pk, sizeof(pleader));
    assert_int_equal(verdict(&two, true), PV_HOME_THERE);

    struct pv_statement leave = {.type = PV_ST_LEAVE};
    leave.u.leave = (struct pv_st_leave){.serial = 300, .time = CW_WALL};
    put_signed(&leave, bob.id.sk, 12);
    memcpy(pleader, bob.id.pk, sizeof(pleader));
    assert_int_equal(verdict(&two, true), PV_HOME_THERE);
    /* Bob joins again: its newer statement counts. */
    struct pv_storeop *again = member_op(&bob, 13, 301, 100);
    again->min_serial = 301;
    assert_int_equal(run(one.store, again).status, PV_OK);
    assert_int_equal(verdict(&two, true), PV_HOME_TAKE);
}

/* How many seconds ago the copy came, by the clock of the database. */
static long age_of_copy(void)
{
    return strtol(pg_sql(&server,
                         "SELECT coalesce(max(extract(epoch FROM clock_timestamp())::bigint"
                         " - time), -1) FROM p2pvpn.mail"),
                  NULL, 10);
}

/* A coordinator that has not looked for copies that are too old yet becomes the home. */
static void look_for_old_copies(void)
{
    static uint8_t number = 10;
    struct member m = join(number);
    char sql[256];
    snprintf(sql, sizeof(sql),
             "UPDATE p2pvpn.coordinators SET until = until + interval '1 minute',"
             " steady = (SELECT steady FROM p2pvpn.coordinators"
             " WHERE name = 'machine 1') WHERE name = 'machine %u'",
             (unsigned)number++);
    run_sql(sql);
    run_sql("UPDATE p2pvpn.homes SET holder = (SELECT max(id) FROM p2pvpn.coordinators)");
    pv_home_answer_free(ask(&m, PV_STOREOP_HOME, false));
    assert_int_equal(keep_one(&m), PV_OK);
    leave(&m);
}

/* Copies have the time of the database, whatever the clocks of coordinators say; and those that are
 * too old go when that clock has stood for a while: it may have jumped. */
PV_TEST(copies_grow_old_by_the_clock_of_the_database)
{
    assert_int_equal(create(&one, 1).status, PV_OK);
    assert_int_equal(keep_one(&one), PV_OK); /* two days ago, says this one's clock */
    assert_in_range(age_of_copy(), 0, 100);
    run_sql("UPDATE p2pvpn.mail SET key = '\\x77', time = time - 15 * 86400");
    look_for_old_copies();
    assert_int_equal(age_of_copy() / 86400, 15);
    run_sql("UPDATE p2pvpn.coordinators SET steady = steady - interval '7 hours'");
    look_for_old_copies();
    assert_in_range(age_of_copy(), 0, 100);
    run_sql("UPDATE p2pvpn.mail SET time = time + 3600 * 86400");
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
    char error[PV_PG_ERROR_MAX] = "", text[PV_PG_ERROR_MAX] = "0", sql[256];
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
    int r = pv_pg_exec(pg, "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0", NULL, NULL,
                       error);
    r = r == PV_OK ? pv_pg_exec(pg, lock, NULL, NULL, error) : r;
    const pv_ns until = pv_clock_now() + PV_S(60);
    if (write(ready[1], "x", 1) != 1)
        _exit(2);
    while (r == PV_OK && strcmp(text, "0") == 0 && pv_clock_now() < until) {
        poll(NULL, 0, 20);
        r = pv_pg_exec(pg, "SELECT count(*) FROM pg_locks WHERE NOT granted", pg_sql_copy, text,
                       error);
    }
    for (size_t i = 0; r == PV_OK && i < n; i++) {
        snprintf(sql, sizeof(sql),
                 "SELECT 1 FROM p2pvpn.homes WHERE network = decode('%s', 'hex')"
                 " FOR UPDATE NOWAIT",
                 free_homes[i]);
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
        assert_int_equal(pv_storeop_new_copy(PV_STOREOP_HOME, &what, pv_view(NULL, 0), &ops[i]),
                         PV_OK);
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
    char low[2 * PV_NETWORK_ID_LEN + 1], high[2 * PV_NETWORK_ID_LEN + 1], sql[160];
    for (uint64_t i = 0; i < 2; i++) {
        world = cw_new(10 + i);
        cw_make_network(world);
        invite = cw_keys_make(world);
        memcpy(ids[i], world->created.network_id, sizeof(ids[i]));
        assert_int_equal(create(&one, 1 + 20 * i).status, PV_OK);
    }
    if (memcmp(ids[0], ids[1], sizeof(ids[0])) < 0) { /* the higher one stands first */
        uint8_t id[PV_NETWORK_ID_LEN];
        memcpy(id, ids[0], sizeof(id));
        memcpy(ids[0], ids[1], sizeof(id));
        memcpy(ids[1], id, sizeof(id));
    }
    hex_of(ids[0], high);
    hex_of(ids[1], low);
    silence(1);
    run_sql("UPDATE p2pvpn.coordinators SET steady = clock_timestamp() - interval '9 seconds'");
    const char *const both[] = {high, low};
    take_both(ids, hold_until_waited_for("UPDATE p2pvpn.coordinators SET lost = lost"
                                         " WHERE name = 'machine 1'",
                                         both, 2));

    run_sql("UPDATE p2pvpn.homes SET holder = 0"); /* as of one that was started anew */
    snprintf(sql, sizeof(sql),
             "SELECT 1 FROM p2pvpn.homes WHERE network = decode('%s', 'hex') FOR UPDATE", low);
    take_both(ids, hold_until_waited_for(sql, both, 1));
}

/* --- rights ---------------------------------------------------------------------------------- */

/* The rights that OPERATIONS.md tells to grant are enough for all that a coordinator does with
 * tables that are there. */
PV_TEST(least_rights_are_enough)
{
    char error[PV_PG_ERROR_MAX] = "";
    unsigned n[3] = {0};
    const struct pv_pgview view = {.ctx = n, .coordinator = count_coordinator, .home = note_home};
    run_sql("DO $$ BEGIN CREATE ROLE few LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
            "GRANT USAGE ON SCHEMA p2pvpn TO few;"
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA p2pvpn TO few;"
            "GRANT USAGE ON ALL SEQUENCES IN SCHEMA p2pvpn TO few");
    leave(&one);
    leave(&two);
    user = "few";
    one = join(1);
    two = join(2);
    assert_int_equal(create(&one, 1).status, PV_OK);
    assert_int_equal(put(&one, 9), PV_OK);
    assert_int_equal(keep_one(&one), PV_OK);
    assert_int_equal(renew(&one, 1), PV_OK);
    assert_int_equal(pv_pgview_read(pg_server_conninfo(&server, user), &view, error), PV_OK);
    assert_int_equal(n[2], 1);
    struct pv_home_answer *a = ask(&one, PV_STOREOP_LEAVE, false);
    assert_int_equal(a->verdict, PV_HOME_THERE);
    pv_home_answer_free(a);
    assert_int_equal(verdict(&two, false), PV_HOME_TAKE);
    assert_int_equal(put(&two, 10), PV_OK);
    struct pv_storeop_result res = order(&two, PV_STOREOP_DROP, false);
    assert_int_equal(res.status, PV_OK);
    pv_pg_lease_release(one.lease);
    pv_pg_lease_release(two.lease);
    struct pv_pg_lease *alone = lease_of(3, false);
    char other[PV_PG_NAME_MAX];
    assert_int_equal(pv_pg_lease_take(alone, other, error), PV_OK);
    pv_pg_lease_free(alone);
    user = "postgres";
    assert_string_equal(pg_sql(&server, "SELECT pg_has_role('few', 'pg_read_all_data', 'member')"
                                        " OR has_schema_privilege('few', 'p2pvpn', 'CREATE')"
                                        " OR has_database_privilege('few', 'postgres', 'CREATE')"),
                        "f");
    leave(&one);
    leave(&two);
    run_sql("DROP OWNED BY few; DROP ROLE few");
}

/* --- looking --------------------------------------------------------------------------------- */

PV_TEST(an_operator_who_looks_sees_all_of_it)
{
    char error[PV_PG_ERROR_MAX] = "";
    unsigned n[3] = {0};
    const struct pv_pgview view = {.ctx = n, .coordinator = count_coordinator, .home = note_home};
    assert_int_equal(create(&one, 1).status, PV_OK);
    assert_int_equal(pv_pgview_read(pg_server_conninfo(&server, "postgres"), &view, error), PV_OK);
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
    run_sql("UPDATE p2pvpn.coordinators SET name = chr(27) || '[2J' || chr(252) || chr(10)"
            " || chr(127) || repeat('x', 500) WHERE name = 'machine 2'");
    assert_int_equal(pv_pgview_read(pg_server_conninfo(&server, "postgres"), &view, error), PV_OK);
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
    while (strcmp(pg_sql(&server, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"), "t") != 0)
        assert_true(pv_clock_now() < until);
}

/* Somebody's session has locked a coordinator's row and does not end: who starts in that place
 * waits, and those who live go on. */
PV_TEST(a_coordinator_that_starts_holds_up_nobody_who_lives)
{
    char error[PV_PG_ERROR_MAX] = "";
    struct pv_pg *somebody = pg_sql_open(&server);
    pg_sql_in(somebody, "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0;"
                        "UPDATE p2pvpn.coordinators SET lost = lost WHERE name = 'machine 1'");
    test_defer(end_child, (void *)(intptr_t)start_again_and_again());
    for (int i = 0; i < 5; i++) {
        wait_for_waiters();
        assert_int_equal(renew(&two, 0), PV_OK);
    }
    /* The one whose row it is hears why, before its lease is over. */
    const pv_ns began = pv_clock_now();
    one.renewal = (struct pv_pg_renewal){.homes = 0};
    assert_int_equal(pv_pg_lease_renew(one.lease, &one.renewal, error), PV_ERR_TIMEOUT);
    assert_non_null(strstr(error, "another session holds a lock"));
    assert_true(pv_clock_now() - began < PV_MS(PV_PG_LEASE_MS));
    pv_pg_free(somebody);
}

/* Its questions are answered and the rows of a network never come: members are sent to the
 * coordinator that can read them. */
PV_TEST(a_coordinator_that_cannot_read_a_network_sends_its_members_elsewhere)
{
    struct pg_line *line = pg_line_new(&server, NULL);
    assert_int_equal(create(&one, 1).status, PV_OK);
    for (uint64_t n = 9; n < 20; n++)
        assert_int_equal(put(&one, n), PV_OK);
    struct member three = join_by(3, line->conninfo);
    pg_line_set(line, PG_LINE_NARROW);
    silence(1);
    run_sql("UPDATE p2pvpn.coordinators SET steady = clock_timestamp() - interval '9 seconds'");
    run_sql("UPDATE p2pvpn.coordinators SET until = clock_timestamp() + interval '2.9 seconds',"
            " draining = name <> 'machine 2' WHERE name <> 'machine 1'");
    struct pv_storeop_result res = order(&three, PV_STOREOP_HOME, false);
    pv_home_answer_free(res.home);
    assert_int_equal(res.status, PV_ERR_CLOSED);
    assert_int_equal(renew(&two, 0), PV_OK);
    struct pv_home_answer *a = ask(&three, PV_STOREOP_HOME, false);
    assert_int_equal(a->verdict, PV_HOME_THERE);
    assert_string_equal(a->to[0], "192.0.2.2:3478");
    pv_home_answer_free(a);
    assert_int_equal(verdict(&two, false), PV_HOME_TAKE);
    leave(&three);
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
