/* SPDX-License-Identifier: MIT */
/* chatschema.h - the tables of chat's database (chat.sql). */
#pragma once

#include <sqlite3.h>

#include "base/pv.h"

/* Makes the tables that are missing, in the caller's transaction. -EIO: SQLite's error is in db. */
PV_MUST_CHECK int pv_chat_schema(sqlite3 *db);
