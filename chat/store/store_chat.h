/* SPDX-License-Identifier: MIT */
/*
 * store_chat.h - messages in chat's database: jobs of chat/core/base/chatop.h.
 *
 * Called by chat/store/chatstore.c inside its transaction, on chat's thread; never begins or
 * ends one of its own: what a failed job did is undone by the caller's ROLLBACK.
 */
#pragma once

#include <sqlite3.h>

#include "base/pv.h"
#include "chat/core/base/chatop.h"

/* Runs one job; *ret is written only on success and the caller's then (pv_chatop_result_free()).
 * PV_ERR_LIMIT (outbox full), PV_ERR_MALFORMED (a job without its message, a damaged row),
 * PV_ERR_NOMEM; -EIO: SQLite's error is in db. */
PV_MUST_CHECK int pv_store_chat_run(sqlite3 *db, const struct pv_chatop *job,
                                    struct pv_chatop_result **ret);

/* Is there something that runs jobs of this kind? For every kind, says a test. */
bool pv_store_chat_serves(enum pv_chatop_kind kind);
