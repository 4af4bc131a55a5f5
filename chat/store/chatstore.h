/* SPDX-License-Identifier: MIT */
/*
 * chatstore.h - chat's database, chat.db beside that of the network: a damaged, unreadable or full
 * one keeps nobody out of the network.
 *
 * It is called directly (chat/core/base/chatstore.h). The first operation opens the file. Without
 * the database each operation fails, with what to do in its error; the file stays as it is.
 *
 * State:  CLOSED --operation--> OPEN
 *         CLOSED --operation, the file cannot be opened--> OFF
 *         OFF --operation, and the file has changed--> as CLOSED
 *         OFF --operation, OFF_RETRY later, unless the file has to change--> as CLOSED
 *         OPEN --SQLite finds damage, or the disk does not keep what was written--> BROKEN, which
 *                stays: what callers have read before would not fit another file
 */
#pragma once

#include "base/pv.h"
#include "chat/core/base/chatstore.h"

enum {
    PV_CHATSTORE_SCHEMA = 1, /* PRAGMA user_version */
};

struct pv_chatstore; /* opaque */

/* dir: where chat.db is, made when missing. max_bytes: how many bytes all messages may have; 0:
 * PV_CHATOP_MAX_TOTAL. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_chatstore_new(struct pv_chatstore **ret_store, const char *dir,
                                   uint64_t max_bytes);
struct pv_chatstore *pv_chatstore_free(struct pv_chatstore *store); /* NULL is fine; returns NULL */

/* The functions by which chat calls it; borrowed, until the store's end. */
struct pv_chat_store *pv_chatstore_calls(struct pv_chatstore *store);
