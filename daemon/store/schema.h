/* SPDX-License-Identifier: MIT */
/* schema.h - the tables of the daemon's databases: the network's (schema.sql), chat's (chat.sql).
 */
#pragma once

#include <sqlite3.h>

#include "base/pv.h"

enum {
    /* Bytes of a page of either. Each row that comes alone changes a page of its table and one of
     * each index, and each page is written whole. */
    PV_STORE_PAGE = 512,
};

/* Both make the tables that are missing, in the caller's transaction. -EIO: SQLite's error is in
 * db. */
PV_MUST_CHECK int pv_store_schema(sqlite3 *db);
PV_MUST_CHECK int pv_chat_schema(sqlite3 *db);
