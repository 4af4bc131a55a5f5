/* SPDX-License-Identifier: MIT */
/*
 * store_pg.h - the operations of core/member/storeop.h in a PostgreSQL database that several
 * coordinators share (pg_lease.h), of which the home of a network (home.h) writes for it.
 *
 * Operations that wait together are one transaction, sent in one go (pg.h): one round trip and one
 * commit serve all. Each such transaction checks the fences, so a coordinator that was paused while
 * another took over stores nothing. All operations may be done twice: when the connection breaks
 * around a commit, whose outcome is then unknown, they are done again on the next connection, and
 * only then answered. While the database is away nothing new is begun: such operations fail at once
 * with a reason.
 */
#pragma once

#include "coordinator/store/pg/pg.h"

/* See pv_pgplugin.store_open. */
PV_MUST_CHECK int pv_coordstore_open_pg(struct pv_coordstore **ret_store,
                                        const struct pv_store_pg_config *cfg,
                                        char ret_error[static PV_STOREOP_ERROR_MAX]);
