/* SPDX-License-Identifier: MIT */
/*
 * fetch.h - a received file from p2pvpnd's descriptor into a directory of the user.
 */
#ifndef PV_FETCH_H
#define PV_FETCH_H

#include "base/pv.h"

/*
 * Copies what from holds into a new file: path when not NULL, else dir/name, name being what the
 * other side calls it. The file must not exist, and a name of others cannot leave dir (openat2
 * RESOLVE_BENEATH, O_EXCL). It gets its name when it is whole, where the file system can do that;
 * elsewhere what could not be copied whole is removed.
 * PV_ERR_EXISTS; PV_ERR_MALFORMED (no name to use); -errno.
 */
PV_MUST_CHECK int pv_fetch(int from, const char *dir, const char *name, const char *path);

#endif /* PV_FETCH_H */
