/* SPDX-License-Identifier: MIT */
/*
 * store_room.h - rooms in chat's database: operations of chat/core/base/roomop.h.
 * Called by store_chat.c, under its rules (store_chat.h).
 */
#pragma once

#include <sqlite3.h>

#include "base/pv.h"
#include "chat/core/base/chatop.h"

/* Runs one operation and fills res, which the caller frees also on failure. PV_ERR_MALFORMED (a
 * damaged row), PV_ERR_NOMEM; -EIO: SQLite's error is in db. */
PV_MUST_CHECK int pv_store_room_run(sqlite3 *db, const struct pv_roomop *op,
                                    const struct pv_chatop_terms *terms,
                                    struct pv_chatop_result *res);
