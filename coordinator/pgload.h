/* SPDX-License-Identifier: MIT */
/*
 * pgload.h - loads store-postgres.so, the shared object with the PostgreSQL store.
 *
 * It is loaded from the directory of this program if it is there, as in a build tree. Otherwise it
 * is loaded from lib/p2pvpn-coordinator/modules, a place that is fixed when the program is built.
 * Debian's package p2pvpn-coordinator-postgres installs it there.
 */
#pragma once

#include "coordinator/store/pgplugin.h"

/*
 * Loads the shared object at the first call, and keeps it until the program ends. Call it only if
 * the settings name a database, before other threads run, and before pv_rights_enter(): the user of
 * the coordinator may be unable to read a build tree.
 * PV_ERR_UNSUPPORTED: it is missing, of another version, or cannot be loaded; with ret_error, which
 * names the package to install.
 */
PV_MUST_CHECK int pv_pgload(const struct pv_pgplugin **ret_plugin,
                            char ret_error[static PV_PG_ERROR_MAX]);
/* Loads the shared object at this path, at every call. For pv_pgload() and tests. */
PV_MUST_CHECK int pv_pgload_from(const char *path, const struct pv_pgplugin **ret_plugin,
                                 char ret_error[static PV_PG_ERROR_MAX]);
