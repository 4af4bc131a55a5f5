/* SPDX-License-Identifier: MIT */
/*
 * schema.h - the tables of the daemon's database (schema.sql), and how one of an earlier version
 * gets what it lacks.
 */
#pragma once

#include <sqlite3.h>

#include "base/pv.h"

/* Makes what is missing; part of the caller's transaction, so a change of an older database that
 * breaks off leaves it as it was. -EIO: SQLite's error is in db. */
PV_MUST_CHECK int pv_store_schema(sqlite3 *db);
