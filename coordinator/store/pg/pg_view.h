/* SPDX-License-Identifier: MIT */
/*
 * pg_view.h - what an operator may see of a database that coordinators share: who lives, which
 * network has its home where, and how much is kept for whom. It only reads. Every call blocks, at
 * most some seconds.
 */
#pragma once

#include "coordinator/store/pg/pg.h"

/* See pv_pgplugin.view_read. */
PV_MUST_CHECK int pv_pgview_read(const char *conninfo, const struct pv_pgview *view,
                                 char ret_error[static PV_PG_ERROR_MAX]);
