/* SPDX-License-Identifier: MIT */
/* Room for copies on a full disk in PostgreSQL, which two coordinators make at the same time: none
 * waits for one that waits for it, and what has room is stored. */
#include <inttypes.h>
#include <pthread.h>

#include "tests/unit/coordinator/store/home_ops.h"

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
    assert_int_equal(create(home, 100 * seed).status, PV_OK);
    memcpy(n.id, world->created.network_id, sizeof(n.id));
    return n;
}

/* Has the database believe that this network's copies have so many bytes. */
static void set_bytes_of(const struct net *n, uint64_t bytes)
{
    char hex[2 * PV_NETWORK_ID_LEN + 1], sql[256];
    hex_of(n->id, hex);
    snprintf(sql, sizeof(sql),
             "INSERT INTO p2pvpn.mail_use VALUES('\\x%s', %" PRIu64 ")"
             " ON CONFLICT(network) DO UPDATE SET bytes = excluded.bytes",
             hex, bytes);
    run_sql(sql);
}

static struct pv_storeop *keep_op(const struct net *n, unsigned key, size_t len)
{
    struct pv_storeop_copy m = {.from = {SENDER}, .to = {3}, .wall_s = 1795161600};
    static const uint8_t box[10 * BOX] = {7};
    struct pv_storeop *op = NULL;
    memcpy(m.network, n->id, sizeof(m.network));
    pv_store_be32(m.key, key);
    assert_int_equal(pv_storeop_new_copy(PV_STOREOP_KEEP, &m, pv_view(box, len), &op), PV_OK);
    return op;
}

/* The receiver has stored the first of the copies of a network, or the last. */
static struct pv_storeop *stored_op(const struct net *n, bool last)
{
    struct pv_storeop_copy m = {.to = {3}, .wall_s = 1795161600};
    char hex[2 * PV_NETWORK_ID_LEN + 1], sql[256];
    struct pv_storeop *op = NULL;
    hex_of(n->id, hex);
    snprintf(sql, sizeof(sql), "SELECT %s(n) FROM p2pvpn.mail WHERE network = '\\x%s'",
             last ? "max" : "min", hex);
    memcpy(m.network, n->id, sizeof(m.network));
    m.n = m.after = strtoull(pg_sql(&server, sql), NULL, 10);
    assert_true(m.n > 0);
    assert_int_equal(pv_storeop_new_copy(PV_STOREOP_COLLECT, &m, pv_view(NULL, 0), &op), PV_OK);
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
            assert_int_equal(results[j].status, PV_OK);
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
    char hex_a[2 * PV_NETWORK_ID_LEN + 1], hex_b[sizeof(hex_a)], sql[256];
    struct pv_pg *pg = pg_sql_open(&server);
    hex_of(a->id, hex_a);
    hex_of(b->id, hex_b);
    snprintf(sql, sizeof(sql),
             "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0; SELECT 'held' FROM "
             "p2pvpn.homes WHERE network IN ('\\x%s', '\\x%s')"
             " FOR UPDATE",
             hex_a, hex_b);
    assert_string_equal(pg_sql_in(pg, sql), "held");
    return pg;
}

/* Until so many sessions wait for each other. */
static void wait_for_waiting(struct pv_pg *pg, long n)
{
    const pv_ns until = pv_clock_now() + PV_S(60);
    while (strtol(pg_sql_in(pg, "SELECT count(*) FROM pg_locks WHERE NOT granted"), NULL, 10) < n &&
           pv_clock_now() < until)
        poll(NULL, 0, 10);
}

/* Of sessions that have ended all is counted. */
static void expect_no_deadlock(void)
{
    const pv_ns until = pv_clock_now() + PV_S(60);
    leave(&one);
    leave(&two);
    while (strcmp(pg_sql(&server, "SELECT count(*) FROM pg_stat_activity"
                                  " WHERE application_name = 'p2pvpn-coordinator'"),
                  "0") != 0 &&
           pv_clock_now() < until)
        poll(NULL, 0, 10);
    assert_string_equal(
        pg_sql(&server, "SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'"), "0");
}

/* --- tests ----------------------------------------------------------------------------------- */

PV_TEST_WORLD(setup, teardown);

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
    char hex[2 * PV_NETWORK_ID_LEN + 1];
    fill(&busy, 1);
    fill(&idle, 1);
    run_sql("UPDATE p2pvpn.mail SET time = time - 15 * 86400;"
            "UPDATE p2pvpn.coordinators SET steady = steady - interval '7 hours',"
            " until = until + interval '1 minute'");
    struct pv_pg *pg = hold_up(&busy, &busy);
    hex_of(busy.id, hex);
    (void)net_make(&third, 4);
    const char *left =
        pg_sql_in(pg, "SELECT string_agg(encode(network, 'hex'), ' ') FROM p2pvpn.mail");
    assert_string_equal(left, hex);
    pv_pg_free(pg);
    leave(&third);
}

/* It may have other networks in the same transaction, and would wait with their rows. */
PV_TEST(a_coordinator_of_before_is_refused_where_others_make_room)
{
    const struct net here = net_make(&one, 2), large = net_make(&two, 3);
    char hex[2 * PV_NETWORK_ID_LEN + 1], sql[512];
    fill(&large, 2);
    set_bytes_of(&large, PV_STOREOP_COPY_BYTES);
    hex_of(here.id, hex);
    snprintf(sql, sizeof(sql),
             "SELECT p2pvpn.keep('\\x%s', '\\x03', '\\x09', '\\x01', 0, '\\x07', 0, 0,"
             " %d, %d, %d, %d, %d, %d, %d, %d)",
             hex, PV_STOREOP_COPY_TO, PV_STOREOP_COPY_TO_BYTES, PV_STOREOP_COPY_FROM,
             PV_STOREOP_COPY_FROM_BYTES, PV_STOREOP_COPY_BYTES, PV_STOREOP_COPY_PAIR,
             PV_STOREOP_COPY_PAIR_BYTES, PV_STOREOP_COPY_NET_BYTES);
    assert_string_equal(pg_sql(&server, sql), "1");
    assert_int_equal(run(one.store, keep_op(&here, 1, 1)).status, PV_OK);
    assert_string_equal(pg_sql(&server, "SELECT count(*) FROM p2pvpn.mail"), "2");
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
