/* SPDX-License-Identifier: MIT */
/*
 * pg_view.h - what an operator may see of a database that coordinators share: who lives, which
 * network has its home where, and how much is kept for whom. It only reads. Every call blocks, at
 * most some seconds.
 */
#pragma once

#include "coordinator/store/pg/pg_lease.h"

struct pv_pgview_coordinator {
    char name[PV_PG_NAME_MAX];
    char addrs[PV_PG_ADDRS_MAX];
    bool living;
    bool draining;
    uint64_t homes;
};

struct pv_pgview_home {
    uint8_t network[PV_NETWORK_ID_LEN];
    char name[PV_PG_NAME_MAX]; /* of its coordinator; empty: it has none now */
    bool living;               /* that one */
    bool loaded;               /* that one has it in memory */
    uint64_t since_s;          /* Unix seconds */
    char why[64];
};

struct pv_pgview {
    void *ctx;
    void (*coordinator)(void *ctx, const struct pv_pgview_coordinator *c);
    void (*home)(void *ctx, const struct pv_pgview_home *h);
    void (*copies)(void *ctx, const uint8_t network[static PV_NETWORK_ID_LEN], uint64_t bytes);
};

/* Calls what is not NULL for all that there is. Errors of pv_pg_connect(), pv_pg_each() and
 * pv_pg_check_schema(); with ret_error. */
PV_MUST_CHECK int pv_pgview_read(const char *conninfo, const struct pv_pgview *view,
                                 char ret_error[static PV_PG_ERROR_MAX]);
