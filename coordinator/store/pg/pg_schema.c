/* SPDX-License-Identifier: MIT */
/* The schema "p2pvpn" and its version. */
#include "coordinator/store/pg/pg_schema.h"

#include <errno.h>
#include <stdio.h>

#include <libpq-fe.h>

#include "base/text.h"
#include "coordinator/store/pg/pg.sql.h"

/* Version 0 has no tables yet. */
static const char begin[] = "BEGIN; SELECT pg_advisory_xact_lock(1882353763);" /* "p2pc" */
                            "CREATE SCHEMA IF NOT EXISTS p2pvpn;"
                            "CREATE TABLE IF NOT EXISTS p2pvpn.version("
                            " alone boolean PRIMARY KEY DEFAULT true CHECK(alone),"
                            " version int NOT NULL);"
                            "INSERT INTO p2pvpn.version(version) VALUES(0) ON CONFLICT DO NOTHING;";

/* The version that is there; 0: no tables. */
static int read_version(struct pv_pg *pg, int *ret_version, char ret_error[static PV_PG_ERROR_MAX])
{
    int there = 0;
    int r = pv_pg_exec(pg, "SELECT (to_regclass('p2pvpn.version') IS NOT NULL)::int",
                       pv_pg_take_number, &there, ret_error);
    *ret_version = 0;
    if (r == PV_OK && there != 0)
        r = pv_pg_exec(pg, "SELECT version FROM p2pvpn.version", pv_pg_take_number, ret_version,
                       ret_error);
    return r;
}

static int refuse_other(int version, char ret_error[static PV_PG_ERROR_MAX])
{
    if (version > PV_PG_SCHEMA)
        snprintf(ret_error, PV_PG_ERROR_MAX,
                 "the database is of a newer p2pvpn-coordinator (version %d, this one knows %d): "
                 "upgrade p2pvpn-coordinator",
                 version, (int)PV_PG_SCHEMA);
    else
        snprintf(ret_error, PV_PG_ERROR_MAX,
                 "the database is of another version of p2pvpn-coordinator (version %d, this one "
                 "knows %d): name another database, or drop the schema p2pvpn",
                 version, (int)PV_PG_SCHEMA);
    return PV_ERR_UNSUPPORTED;
}

/* Everything in one transaction: a start that is cut short leaves nothing. While this coordinator
 * waited for the lock another one may have made the tables. */
static int make(struct pv_pg *pg, char ret_error[static PV_PG_ERROR_MAX])
{
    int version = 0;
    int r = pv_pg_exec(pg, begin, NULL, NULL, ret_error);
    if (r == PV_OK)
        r = read_version(pg, &version, ret_error);
    if (r == PV_OK && version != 0 && version != PV_PG_SCHEMA)
        r = refuse_other(version, ret_error);
    if (r == PV_OK && version == 0)
        r = pv_pg_exec(pg, pv_pg_sql, NULL, NULL, ret_error);
    if (r == PV_OK && version == 0)
        r = pv_pg_exec(pg, PV_STR("UPDATE p2pvpn.version SET version = %d", (int)PV_PG_SCHEMA),
                       NULL, NULL, ret_error);
    if (r == PV_OK)
        r = pv_pg_exec(pg, "COMMIT", NULL, NULL, ret_error);
    if (r < 0)
        pv_pg_disconnect(pg); /* which undoes it */
    return r;
}

int pv_pg_check_schema(struct pv_pg *pg, char ret_error[static PV_PG_ERROR_MAX])
{
    int version = 0;
    int r = read_version(pg, &version, ret_error);
    if (r < 0 || version == PV_PG_SCHEMA)
        return r;
    if (version != 0)
        return refuse_other(version, ret_error);
    snprintf(ret_error, PV_PG_ERROR_MAX, "no coordinator has used the database yet: start one");
    return PV_ERR_NOT_FOUND;
}

int pv_pg_make_schema(struct pv_pg *pg, char ret_error[static PV_PG_ERROR_MAX])
{
    int version = 0;
    int r = read_version(pg, &version, ret_error);
    if (r < 0 || version == PV_PG_SCHEMA)
        return r;
    if (version != 0)
        return refuse_other(version, ret_error);
    r = make(pg, ret_error);
    if (r == -EACCES) /* what rights the owner has, others shall not be given */
        snprintf(ret_error, PV_PG_ERROR_MAX,
                 "the database has no tables of p2pvpn-coordinator, and its user may not make "
                 "them: start it once as the user who owns the database");
    return r;
}
