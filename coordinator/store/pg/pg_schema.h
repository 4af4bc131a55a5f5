/* SPDX-License-Identifier: MIT */
/*
 * pg_schema.h - the tables and functions of a coordinator in PostgreSQL (pg.sql), all in the schema
 * "p2pvpn".
 */
#pragma once

#include "coordinator/store/pg/pg.h"

enum {
    PV_PG_SCHEMA = 5, /* p2pvpn.version: a database of another version is refused */
};

/*
 * Makes the tables in a database without them, in one transaction under an advisory lock, so that
 * of several coordinators that start at once one makes them and the others find them. A database
 * that has the tables is only read: its user then needs no right to make any.
 * PV_ERR_UNSUPPORTED: the tables are of another version, and stay as they are; -EACCES: its user
 * may not make tables; errors of pv_pg_finish(); with ret_error.
 */
PV_MUST_CHECK int pv_pg_make_schema(struct pv_pg *pg, char ret_error[static PV_PG_ERROR_MAX]);

/*
 * Says whether the database has the tables of this version. It makes nothing: an operator who only
 * looks needs no rights for it.
 * PV_ERR_NOT_FOUND: no coordinator has used the database; PV_ERR_UNSUPPORTED: the tables are of
 * another version; errors of pv_pg_finish(); with ret_error.
 */
PV_MUST_CHECK int pv_pg_check_schema(struct pv_pg *pg, char ret_error[static PV_PG_ERROR_MAX]);
