/* SPDX-License-Identifier: MIT */
/*
 * store_copies.h - members' copies in the daemon's database: jobs of
 * daemon/core/jobs/copyjob.h. Called by store_chat.c, under its rules (store_chat.h).
 */
#ifndef PV_STORE_COPIES_H
#define PV_STORE_COPIES_H

#include <sqlite3.h>

#include "base/pv.h"
#include "daemon/core/jobs/chatjob.h"

/* Runs one job and fills res, which the caller frees also on failure. PV_ERR_REFUSED (a quota),
 * PV_ERR_MALFORMED (a damaged row), PV_ERR_NOMEM; -EIO: SQLite's error is in db. */
PV_MUST_CHECK int pv_store_copies_run(sqlite3 *db, const struct pv_copyjob *job,
                                      const struct pv_chatjob_terms *terms,
                                      struct pv_chatjob_result *res);
/* Deletes copies older than PV_COPIES_DAYS. -EIO. */
PV_MUST_CHECK int pv_store_copies_purge(sqlite3 *db, uint64_t now_s);

#endif /* PV_STORE_COPIES_H */
