/* SPDX-License-Identifier: MIT */
/* The schema by version, each in a file of its own. */
#include "coordinator/store/pg_schema.h"

#include <errno.h>
#include <stdio.h>

#include <libpq-fe.h>

#include "coordinator/store/pg_1.sql.h"
#include "coordinator/store/pg_2.sql.h"
#include "coordinator/store/pg_3.sql.h"

/* The additions of each version to the one before. */
static const char *const versions[PV_PG_SCHEMA] = {pv_pg_1_sql, pv_pg_2_sql, pv_pg_3_sql};

/* The first coordinator makes the table that the others look at. */
static const char begin[] = "BEGIN; SELECT pg_advisory_xact_lock(1882353763);" /* "p2pc" */
                            "CREATE SCHEMA IF NOT EXISTS p2pvpn;"
                            "CREATE TABLE IF NOT EXISTS p2pvpn.version("
                            " alone boolean PRIMARY KEY DEFAULT true CHECK(alone),"
                            " version int NOT NULL);"
                            "INSERT INTO p2pvpn.version(version) VALUES(0) ON CONFLICT DO NOTHING;";

/* The version that is there; -1 without our schema. */
static int read_version(struct pv_pg *pg, int *ret_version, char ret_error[static PV_PG_ERROR_MAX])
{
    int there = 0;
    int r = pv_pg_exec(pg, "SELECT (to_regclass('p2pvpn.version') IS NOT NULL)::int",
                       pv_pg_take_number, &there, ret_error);
    *ret_version = -1;
    if (r == PV_OK && there != 0)
        r = pv_pg_exec(pg, "SELECT version FROM p2pvpn.version", pv_pg_take_number, ret_version,
                       ret_error);
    return r;
}

static int refuse_newer(int version, char ret_error[static PV_PG_ERROR_MAX])
{
    snprintf(ret_error, PV_PG_ERROR_MAX,
             "the database is of a newer p2pvpn-coordinator (version %d, this one knows %d): "
             "install that one",
             version, (int)PV_PG_SCHEMA);
    return PV_ERR_UNSUPPORTED;
}

/* Everything in one transaction: a start that is cut short leaves what was there. While it waited
 * for the lock another may have made the same, or, of a later version, more. */
static int make(struct pv_pg *pg, char ret_error[static PV_PG_ERROR_MAX])
{
    int version = 0;
    int r = pv_pg_exec(pg, begin, NULL, NULL, ret_error);
    if (r == PV_OK)
        r = read_version(pg, &version, ret_error);
    if (r == PV_OK && version > PV_PG_SCHEMA)
        r = refuse_newer(version, ret_error);
    for (int v = version; r == PV_OK && v < PV_PG_SCHEMA; v++) {
        r = pv_pg_exec(pg, versions[v], NULL, NULL, ret_error);
        if (r == PV_OK)
            r = pv_pg_exec(pg, "UPDATE p2pvpn.version SET version = version + 1", NULL, NULL,
                           ret_error);
    }
    if (r == PV_OK)
        r = pv_pg_exec(pg, "COMMIT", NULL, NULL, ret_error);
    if (r < 0)
        pv_pg_disconnect(pg); /* which undoes it */
    return r;
}

int pv_pg_migrate(struct pv_pg *pg, int *ret_was, char ret_error[static PV_PG_ERROR_MAX])
{
    int r = read_version(pg, ret_was, ret_error);
    if (r < 0 || *ret_was == PV_PG_SCHEMA)
        return r;
    if (*ret_was > PV_PG_SCHEMA)
        return refuse_newer(*ret_was, ret_error);
    r = make(pg, ret_error);
    if (r == -EACCES) /* what rights the owner has, others shall not be given */
        snprintf(ret_error, PV_PG_ERROR_MAX,
                 "the database %s, and its user may not make them: start it once as the user who "
                 "owns the database",
                 *ret_was < 0 ? "has no tables of p2pvpn-coordinator"
                              : "lacks tables of this version of p2pvpn-coordinator");
    return r;
}
