/* SPDX-License-Identifier: MIT */
/* schema.c - runs schema.sql. */
#include "daemon/store/schema.h"

#include "daemon/store/schema.sql.h"
#include "sys/file/sqlquery.h"

int pv_store_schema(sqlite3 *db)
{
    return pv_query_status(sqlite3_exec(db, pv_schema_sql, NULL, NULL, NULL));
}
