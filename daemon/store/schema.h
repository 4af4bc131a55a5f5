/* SPDX-License-Identifier: MIT */
/* schema.h - the tables of the network's database (schema.sql). */
#pragma once

#include <sqlite3.h>

#include "base/pv.h"

/* Makes the tables that are missing, in the caller's transaction. -EIO: SQLite's error is in db. */
PV_MUST_CHECK int pv_store_schema(sqlite3 *db);
