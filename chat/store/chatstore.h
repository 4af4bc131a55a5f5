/* SPDX-License-Identifier: MIT */
/*
 * chatstore.h - chat's database, chat.db beside that of the network: a damaged, unreadable or full
 * one keeps nobody out of the network.
 *
 * Serves the jobs of chatop.h, as store.h serves those of the network. The first job opens the
 * file, so that the check of a long history delays no start. Without the database each job fails,
 * with what to do in its error; the file stays as it is. One thread at a time; it is another one
 * than the store's, so no job here may rely on a job there that has no result yet, and the other
 * way round.
 *
 * State:  CLOSED --job--> OPEN
 *         CLOSED --job, the file cannot be opened--> OFF
 *         OFF --job, and the file has changed--> as CLOSED
 *         OFF --job, OFF_RETRY later, unless the file has to change--> as CLOSED
 *         OPEN --SQLite finds damage--> BROKEN, which stays: what callers have read before would
 *                                       not fit another file
 */
#pragma once

#include "base/pv.h"
#include "chat/core/base/chatqueue.h"

enum {
    PV_CHATSTORE_SCHEMA = 1, /* PRAGMA user_version */
    PV_CHATSTORE_BATCH = 64, /* jobs of one call */
};

struct pv_chatstore; /* opaque */

/* dir: where chat.db is, made when missing. max_bytes: how many bytes all messages may have; 0:
 * PV_CHATOP_MAX_TOTAL. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_chatstore_new(struct pv_chatstore **ret_store, const char *dir,
                                   uint64_t max_bytes);
struct pv_chatstore *pv_chatstore_free(struct pv_chatstore *store); /* NULL is fine; returns NULL */

/* Runs n jobs of chat, at most PV_CHATSTORE_BATCH, in order, results[i] for jobs[i] (written
 * whole). A job that fails does not undo the others. */
void pv_chatstore_run(struct pv_chatstore *store, struct pv_chatop *const *jobs,
                      struct pv_chatqueue_result *results, size_t n);
