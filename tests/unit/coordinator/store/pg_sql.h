/* SPDX-License-Identifier: MIT */
/*
 * pg_sql.h - what a test orders of its own PostgreSQL, and asks it, beside the store.
 */
#pragma once

#include <poll.h>

#include <libpq-fe.h>

#include "coordinator/store/pg.h"
#include "sys/proc/clock.h"
#include "tests/unit/coordinator/store/pg_server.h"
#include "tests/unit/test_util.h"

/* A session of the user who may do everything. */
static inline struct pv_pg *pg_sql_open(const struct pg_server *server)
{
    char error[PV_PG_ERROR_MAX] = "";
    const struct pv_pg_config cfg = {
        .conninfo = pg_server_conninfo(server, "postgres"), .who = "test", .wait = PV_S(60)};
    struct pv_pg *pg = NULL;
    if (pv_pg_new(&pg, &cfg, error) < 0 || pv_pg_connect(pg, error) < 0)
        fail_msg("%s", error);
    return pg;
}

static inline int pg_sql_copy(void *ctx, PGresult *res)
{
    snprintf(ctx, PV_PG_ERROR_MAX, "%s", PQgetvalue(res, 0, 0));
    return PV_OK;
}

/* The first value of an answer, as text; empty: there was none. */
static inline const char *pg_sql_in(struct pv_pg *pg, const char *sql)
{
    static char text[PV_PG_ERROR_MAX];
    char error[PV_PG_ERROR_MAX] = "";
    text[0] = '\0';
    if (pv_pg_exec(pg, sql, pg_sql_copy, text, error) < 0)
        fail_msg("%s: %s", sql, error);
    return text;
}

static inline const char *pg_sql(const struct pg_server *server, const char *sql)
{
    struct pv_pg *pg = pg_sql_open(server);
    const char *text = pg_sql_in(pg, sql);
    pv_pg_free(pg);
    return text;
}

/* One that was started answers soon. */
static inline void pg_sql_wait(const struct pg_server *server)
{
    char error[PV_PG_ERROR_MAX] = "";
    const struct pv_pg_config cfg = {
        .conninfo = pg_server_conninfo(server, "postgres"), .who = "test", .wait = PV_S(60)};
    const pv_ns until = pv_clock_now() + PV_S(60);
    struct pv_pg *pg = NULL;
    int r = pv_pg_new(&pg, &cfg, error);
    while (r == PV_OK && pv_pg_connect(pg, error) < 0 && pv_clock_now() < until)
        poll(NULL, 0, 50);
    pv_pg_free(pg);
}

/* Makes a database as an earlier version did, from tests/vectors/databases/NAME.sql. */
static inline void pg_sql_script(const struct pg_server *server, const char *name)
{
    static char sql[16384];
    char path[512];
    snprintf(path, sizeof(path), "%s/databases/%s.sql", PV_TEST_DATA, name);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    size_t n = fread(sql, 1, sizeof(sql) - 1, f);
    assert_true(feof(f));
    fclose(f);
    sql[n] = '\0';
    (void)pg_sql(server, sql);
}
