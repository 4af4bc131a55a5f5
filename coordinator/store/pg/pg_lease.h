/* SPDX-License-Identifier: MIT */
/*
 * pg_lease.h - who may use a database that several share, and that they are alive.
 *
 * Coordinators share it: each has a row that it renews, and takes homes of networks (home.h) while
 * it does. A process that wants the database alone, to import or export all of it, takes the lease,
 * which nobody gets while a coordinator lives, and while which no coordinator joins.
 *
 * Both end PV_PG_LEASE_MS after they were taken or last renewed, by the clock of the database. Each
 * taking of the lease gives it a higher number, the fence, which every transaction of the store
 * checks (store_pg.h), as it checks the fence of each home. While the database is away nobody can
 * take anything, and coordinators go on with all that needs no store.
 *
 * Every call blocks, at most some seconds. One thread at a time.
 */
#pragma once

#include "coordinator/store/pg/pg.h"

/* The functions of pv_pgplugin that begin with "lease_"; see there. */

PV_MUST_CHECK int pv_pg_lease_new(struct pv_pg_lease **ret_lease,
                                  const struct pv_pg_lease_config *cfg,
                                  char ret_error[static PV_PG_ERROR_MAX]);
struct pv_pg_lease *pv_pg_lease_free(struct pv_pg_lease *l);
PV_MUST_CHECK int pv_pg_lease_take(struct pv_pg_lease *l, char ret_other[static PV_PG_NAME_MAX],
                                   char ret_error[static PV_PG_ERROR_MAX]);
PV_MUST_CHECK int pv_pg_lease_renew(struct pv_pg_lease *l, struct pv_pg_renewal *renewal,
                                    char ret_error[static PV_PG_ERROR_MAX]);
void pv_pg_lease_release(struct pv_pg_lease *l);
int64_t pv_pg_lease_fence(const struct pv_pg_lease *l);
uint64_t pv_pg_lease_epoch(const struct pv_pg_lease *l);
