/* SPDX-License-Identifier: MIT */
/* store_age.c - one row of SQLite. */
#include "daemon/store/store_age.h"

#include "base/ageclock.h"
#include "daemon/store/store_sql.h"

/* Before the first look it is the wall clock. */
static int read_clock(sqlite3 *db, uint64_t wall_s, struct pv_ageclock *ret_clock, bool *ret_found)
{
    struct pv_query q = pv_query(db, "SELECT age_s, seen_s FROM age_clock");
    *ret_clock = (struct pv_ageclock){wall_s, wall_s};
    *ret_found = pv_query_next(&q);
    if (*ret_found)
        *ret_clock = (struct pv_ageclock){pv_column_u64(&q, 0), pv_column_u64(&q, 1)};
    return pv_query_end(&q);
}

int pv_store_age_now(sqlite3 *db, uint64_t wall_s, uint64_t *ret_age_s)
{
    struct pv_ageclock c;
    bool found;
    int r = read_clock(db, wall_s, &c, &found);
    *ret_age_s = pv_ageclock_now(&c, wall_s);
    return r;
}

/* A message from before there was this clock has the time of the wall clock, which may have been
 * wrong: nothing is from the future, or it would stay for ever. */
static int begin(sqlite3 *db, uint64_t wall_s)
{
    static const char *const pasts[] = {
        "UPDATE chat_message SET arrived_s = ?1 WHERE arrived_s > ?1",
        "UPDATE chat_message SET arrived_s = ?1 WHERE arrived_s = 0 AND time_ms / 1000 > ?1",
        "UPDATE chat_gone SET arrived_s = ?1 WHERE arrived_s > ?1"};
    int r = PV_OK;
    for (size_t i = 0; r == PV_OK && i < PV_ARRAY_LEN(pasts); i++) {
        struct pv_query q = pv_query(db, pasts[i]);
        pv_bind_u64(&q, wall_s);
        r = pv_query_run(&q);
    }
    return r;
}

int pv_store_age_look(sqlite3 *db, uint64_t wall_s)
{
    struct pv_ageclock c;
    bool found;
    int r = read_clock(db, wall_s, &c, &found);
    if (r == PV_OK && !found)
        r = begin(db, wall_s);
    if (r < 0)
        return r;
    pv_ageclock_look(&c, wall_s);
    struct pv_query q = pv_query(db, "INSERT OR REPLACE INTO age_clock VALUES (1, ?, ?)");
    pv_bind_u64(&q, c.age_s);
    pv_bind_u64(&q, c.seen_s);
    return pv_query_run(&q);
}
