/* SPDX-License-Identifier: MIT */
/* Copies held for others: who may have how many here, and who gives way when there is no room. */
#include "daemon/store/schema.h"
#include "daemon/store/store_copies.h"
#include "sys/proc/clock.h"
#include "tests/unit/test_util.h"

enum {
    SMALL = 200, /* bytes of a box */
};

static sqlite3 *db;
static const struct pv_chatjob_terms terms = {.low_disk = false};

/* As daemon/store/store.c does it. */
static int run(struct pv_copyjob *job)
{
    struct pv_chatjob_result *res = calloc(1, sizeof(*res));
    assert_non_null(res);
    assert_int_equal(sqlite3_exec(db, "SAVEPOINT job", NULL, NULL, NULL), SQLITE_OK);
    int r = pv_store_copies_run(db, job, &terms, res);
    if (r < 0)
        assert_int_equal(sqlite3_exec(db, "ROLLBACK TO job", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "RELEASE job", NULL, NULL, NULL), SQLITE_OK);
    pv_chatjob_result_free(res);
    return r;
}

/* The n-th copy of a sender for a receiver. */
static int put(uint8_t from, uint8_t to, unsigned n, size_t len)
{
    static uint8_t box[PV_PARCEL_BOX_MAX];
    struct pv_copyjob job = {.kind = PV_COPYJOB_PUT,
                             .from = {from},
                             .to = {to},
                             .key = {(uint8_t)n, (uint8_t)(n >> 8)},
                             .box = box,
                             .box_len = len};
    return run(&job);
}

static unsigned count(const char *where)
{
    char sql[120];
    sqlite3_stmt *st = NULL;
    snprintf(sql, sizeof(sql), "SELECT count(*) FROM hold_copy WHERE %s", where);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    unsigned n = (unsigned)sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return n;
}

static unsigned of_sender(uint8_t from)
{
    char where[40];
    snprintf(where, sizeof(where), "substr(hex(sender), 1, 2) = '%02X'", (unsigned)from);
    return count(where);
}

/* All that this sender may have here for the receiver. */
static unsigned fill(uint8_t from, uint8_t to, size_t len)
{
    unsigned n = 0;
    while (put(from, to, n, len) == PV_OK)
        n++;
    return n;
}

PV_TEST(a_sender_has_so_many_for_one_receiver_and_for_all)
{
    assert_int_equal(fill(1, 100, SMALL), PV_COPIES_MAX_OF_PAIR);
    assert_int_equal(put(1, 100, 0, SMALL), PV_OK); /* that is here already */
    for (uint8_t to = 101; to < 104; to++)
        assert_int_equal(fill(1, to, SMALL), PV_COPIES_MAX_OF_PAIR);
    assert_int_equal(put(1, 104, 0, SMALL), PV_ERR_REFUSED);
    assert_int_equal(of_sender(1), PV_COPIES_MAX_OF_NODE);
}

/* Four senders have all that is there for a receiver: the fifth one has its part all the same, and
 * the others keep theirs, from the first one on. */
PV_TEST(who_has_most_for_a_receiver_gives_way_to_who_has_less)
{
    const size_t lens[] = {SMALL, PV_PARCEL_BOX_MAX};
    for (size_t i = 0; i < PV_ARRAY_LEN(lens); i++) {
        uint8_t to = (uint8_t)(100 + i);
        for (uint8_t from = 1; from <= 4; from++)
            assert_in_range(fill(from, to, lens[i]), 90, PV_COPIES_MAX_OF_PAIR);
        unsigned before = of_sender(5), all = of_sender(1);
        unsigned n = fill(5, to, lens[i]);
        assert_in_range(n, (all - before) / 2, all);
        for (uint8_t from = 1; from <= 4; from++)
            assert_true(of_sender(from) + 10 >= n);
        assert_int_equal(count("key = x'00000000000000000000000000000000'"), 5 * (i + 1));
    }
}

/* Each copy counts for more than its bytes, or who has many small ones would keep their places at
 * the cost of few large ones. */
PV_TEST(who_has_many_small_ones_has_more_than_who_has_few_large_ones)
{
    for (unsigned n = 0; n < 30; n++)
        assert_int_equal(put(1, 100, n, PV_PARCEL_BOX_MAX), PV_OK);
    for (uint8_t from = 2; from <= 5; from++)
        for (unsigned n = 0; n < (from == 5 ? 220 : 250); n++)
            assert_int_equal(put(from, 100, n, SMALL), PV_OK);
    for (unsigned n = 0; n < 30; n++)
        assert_int_equal(put(6, 100, n, SMALL), PV_OK);
    assert_int_equal(of_sender(1), 30);
}

/* The same for all that a node holds: ten senders have it. */
PV_TEST(who_has_most_of_all_gives_way_to_who_has_less)
{
    assert_int_equal(
        sqlite3_exec(db,
                     "WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c LIMIT 10000)"
                     " INSERT INTO hold_copy (sender, receiver, key, size, time_s, box)"
                     " SELECT CAST(printf('%032d', i / 1000) AS BLOB),"
                     " CAST(printf('%032d', i / 250) AS BLOB), CAST(printf('%016d', i) AS BLOB),"
                     " 200, 1700000000, zeroblob(200) FROM c",
                     NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(count("1"), PV_COPIES_MAX);
    for (unsigned n = 0; n < 20; n++)
        assert_int_equal(put(11, 90, n, SMALL), PV_OK);
    assert_int_equal(of_sender(11), 20);
    assert_in_range(count("1"), PV_COPIES_MAX - 4, PV_COPIES_MAX);
}

/* Members that have thousands of small copies here, and one that asks for room which those would
 * not make, in a store whose bytes others have: all that chat stores waits behind each answer. */
PV_TEST(a_copy_that_is_refused_costs_little)
{
    char sql[800];
    snprintf(sql, sizeof(sql),
             "WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c LIMIT 9573)"
             " INSERT INTO hold_copy (sender, receiver, key, size, time_s, box)"
             " SELECT CASE WHEN i < 640 THEN CAST(x'07' || zeroblob(31) AS BLOB)"
             "  WHEN i < 5640 THEN CAST(printf('small%%027d', (i - 640) / 1000) AS BLOB)"
             "  ELSE CAST(printf('large%%027d', (i - 5640) / 207) AS BLOB) END,"
             " CAST(printf('%%032d', i / 250) AS BLOB), CAST(printf('%%016d', i) AS BLOB),"
             " CASE WHEN i < 5640 THEN 1 ELSE 17000 END, 0, x'00' FROM c;"
             "INSERT INTO hold_copy (sender, receiver, key, size, time_s, box)"
             " SELECT zeroblob(32), zeroblob(32), zeroblob(16), %d - sum(size), 0, x'00'"
             " FROM hold_copy",
             PV_COPIES_MAX_BYTES - PV_PARCEL_BOX_MAX + 4000);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    const unsigned before = count("1");
    const pv_ns begun = pv_clock_now();
    for (unsigned n = 0; n < 10; n++)
        assert_int_equal(put(7, 100, n, PV_PARCEL_BOX_MAX), PV_ERR_REFUSED);
    assert_true(pv_clock_now() - begun < PV_S(15));
    assert_int_equal(count("1"), before);
}

/* Nothing is deleted for a copy that is not taken in the end. */
PV_TEST(who_has_as_much_as_the_others_is_refused)
{
    for (uint8_t from = 1; from <= 5; from++)
        for (unsigned n = 0; n < PV_COPIES_MAX_OF_NODE / 5; n++)
            assert_int_equal(put(from, 100, n, SMALL), PV_OK);
    for (uint8_t from = 1; from <= 5; from++)
        assert_int_equal(put(from, 100, 999, SMALL), PV_ERR_REFUSED);
    assert_int_equal(count("1"), PV_COPIES_MAX_OF_NODE);
}

static int setup(void **state)
{
    (void)state;
    return sqlite3_open(":memory:", &db) == SQLITE_OK ? pv_store_schema(db) : -1;
}

static int teardown(void **state)
{
    (void)state;
    return sqlite3_close(db);
}

PV_TEST_WORLD(setup, teardown);
