/* SPDX-License-Identifier: MIT */
/*
 * pg_schema.h - the tables and functions of a coordinator in PostgreSQL, all in the schema
 * "p2pvpn", and how a database of an earlier version becomes one of this version.
 */
#pragma once

#include "coordinator/store/pg.h"

enum {
    PV_PG_SCHEMA = 3, /* p2pvpn.version: of what is written; newer ones are refused */
};

/*
 * Makes what is missing, in one transaction under an advisory lock, so that of several coordinators
 * that start at once one does it and the others find it done. A database that is up to date is only
 * read: its user then needs no right to change tables. PV_ERR_UNSUPPORTED: it is newer than this
 * program; -EACCES: its user may not make them; errors of pv_pg_finish(); with ret_error.
 * ret_was: the version before; -1: there was none.
 */
PV_MUST_CHECK int pv_pg_migrate(struct pv_pg *pg, int *ret_was,
                                char ret_error[static PV_PG_ERROR_MAX]);
