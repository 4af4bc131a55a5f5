/* SPDX-License-Identifier: MIT */
/*
 * store_chat.h - messages in chat's database: operations of chat/core/base/chatop.h.
 *
 * Called by chat/store/chatstore.c inside its transaction, on chat's thread; never begins or
 * ends one of its own: what a failed operation did is undone by the caller's ROLLBACK.
 */
#pragma once

#include <sqlite3.h>

#include "base/pv.h"
#include "chat/core/base/chatop.h"

/* Runs one operation; the caller frees *ret in any case (pv_chatop_result_done()). PV_ERR_LIMIT
 * (outbox full), PV_ERR_EXISTS, PV_ERR_MALFORMED (an operation without its message, a damaged row),
 * PV_ERR_NOMEM; -EIO: SQLite's error is in db. */
PV_MUST_CHECK int pv_store_chat_run(sqlite3 *db, const struct pv_chatop *op,
                                    struct pv_chatop_result *ret);

/* Is there something that runs operations of this kind? For every kind, says a test. */
bool pv_store_chat_serves(enum pv_chatop_kind kind);
