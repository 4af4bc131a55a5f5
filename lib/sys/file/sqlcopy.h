/* SPDX-License-Identifier: MIT */
/*
 * sqlcopy.h - a copy of a whole SQLite database as it is at one moment, whoever else uses it: one
 * file of mode 0600 without companions, which appears under its name when it is complete and on
 * disk. One thread.
 */
#pragma once

#include <sqlite3.h>

#include "base/pv.h"

enum {
    PV_SQLCOPY_ERROR_MAX = 240, /* bytes of a sentence, with the NUL */
};

struct pv_sqlcopy {
    sqlite3 *from;    /* outside a transaction */
    const char *path; /* of the copy; what has this name is replaced */
    const char *vfs;  /* name of SQLite's VFS for `from`; NULL: the standard VFS */
    /* Changes the copy before it gets its name; PV_OK or an error. NULL: nothing to change. */
    int (*more)(void *ctx, sqlite3 *copy);
    void *ctx;
};

/* Makes it. -ENOSPC, -EACCES and other -errno, PV_ERR_NOMEM (also a path too long), or what more
 * said, with a sentence; then nothing has the name that had it not before. */
PV_MUST_CHECK int pv_sqlcopy(const struct pv_sqlcopy *copy,
                             char ret_error[static PV_SQLCOPY_ERROR_MAX]);
