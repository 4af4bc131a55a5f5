/* SPDX-License-Identifier: MIT */
/*
 * store_endpoints.h - where each member was last reached directly, in the daemon's database. Part
 * of store.c; same thread, same transactions.
 */
#ifndef PV_STORE_ENDPOINTS_H
#define PV_STORE_ENDPOINTS_H

#include <sqlite3.h>

#include "daemon/core/engine.h"
#include "daemon/core/jobs/job.h"

enum {
    PV_STORE_MAX_ENDPOINTS = 65536, /* loaded at most, the newest: four a peer */
};

/* Replaces what is stored of one member. */
PV_MUST_CHECK int pv_store_endpoints_put(sqlite3 *db, const struct pv_job_put_endpoints *put);
PV_MUST_CHECK int pv_store_endpoints_clear(sqlite3 *db);
/* Everything, newest first; what is not an address is left out. The caller frees *ret_list.
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_store_endpoints_load(sqlite3 *db, struct pv_saved_endpoint **ret_list,
                                          size_t *ret_n);

#endif /* PV_STORE_ENDPOINTS_H */
