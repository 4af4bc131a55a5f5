/* SPDX-License-Identifier: MIT */
/*
 * backup.h - a coordinator's state in one file, and back: an SQLite database of its own kind with
 * the tables of the store, and the keys of the state directory in a table beside them.
 *
 * A thief of the file is the coordinator: its mode is 0600.
 */
#pragma once

#include "base/pv.h"
#include "coordinator/settings/settings.h"

enum {
    PV_BACKUP_ERROR_MAX = 512, /* bytes of "what failed: why: what to do", with the NUL */
    PV_BACKUP_END_MAX = 48,    /* bytes of what is added to the names of older files */
};

/* The contents of a backup. */
struct pv_backup {
    uint64_t made; /* Unix seconds */
    uint64_t networks;
    uint64_t statements;
    uint64_t bytes;               /* of the file */
    char kept[PV_BACKUP_END_MAX]; /* RESTORE: ".before-restore-…"; empty: there was nothing */
};

/* Writes the state as it is at one moment, whether a coordinator runs with it or not, to a new
 * file, or over an older backup. wall: Unix seconds. -EEXIST (the name is something else's),
 * PV_ERR_NOT_FOUND (no state), those of sys/file/sqlite.h and sqlcopy.h; ret_error. */
PV_MUST_CHECK int pv_backup_make(const char *state, const char *file, uint64_t wall,
                                 struct pv_backup *ret_backup,
                                 char ret_error[static PV_BACKUP_ERROR_MAX]);

/*
 * Checks the file, takes over the directory's user as a start does (rights.h), and puts its state
 * into the directory; older files stay beside it. Broken off, it is repeated. PV_ERR_MALFORMED (no
 * backup, or damaged), PV_ERR_UNSUPPORTED (of a newer version), PV_ERR_EXISTS (a coordinator runs),
 * PV_ERR_NOT_FOUND (no such file), -errno; ret_error.
 */
PV_MUST_CHECK int pv_backup_restore(struct pv_coordset *set, const char *file, uint64_t wall,
                                    struct pv_backup *ret_backup,
                                    char ret_error[static PV_BACKUP_ERROR_MAX]);
