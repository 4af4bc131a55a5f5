/* SPDX-License-Identifier: MIT */
/*
 * file.h - small files of the state directory: whole reads with a limit, atomic writes, a lock.
 *
 * Any thread. Nothing here follows what a file means.
 */
#ifndef PV_FILE_H
#define PV_FILE_H

#include "base/pv.h"

/*
 * The whole file, at most max bytes, in new memory with a NUL behind it; free with pv_file_free().
 * PV_ERR_NOT_FOUND, PV_ERR_LIMIT (longer than max, or not a regular file), PV_ERR_NOMEM, -errno.
 */
PV_MUST_CHECK int pv_file_read(const char *path, size_t max, char **ret_data, size_t *ret_len);
/* The same of a file in a directory of somebody else's, who could have it lead to a file that this
 * process may read and that user may not: -ELOOP a link, -EMLINK a file with a second name. */
PV_MUST_CHECK int pv_file_read_here(const char *path, size_t max, char **ret_data, size_t *ret_len);
/* Wipes, for the file may hold a key. NULL is fine; returns NULL. */
char *pv_file_free(char *data, size_t len);

/*
 * Replaces path with data: after a power cut there is the old content or the new, whole, never
 * less (temporary file, fsync, rename, fsync of the directory). mode such as 0600, whatever the
 * umask is. -errno; the old file is then untouched.
 */
PV_MUST_CHECK int pv_file_write(const char *path, struct pv_view data, unsigned mode);

/* Makes the directory (and missing parents, 0755) with exactly this mode, or checks that it is
 * there. An existing one owned by us that is open to group or others loses those rights when mode
 * grants none. -errno: ENOTDIR, EACCES, EROFS, ... */
PV_MUST_CHECK int pv_dir_make(const char *path, unsigned mode);

/* Takes the lock file, created when missing; held until the descriptor is closed or the process
 * ends. PV_ERR_EXISTS: another process holds it. -errno. */
PV_MUST_CHECK int pv_file_lock(const char *path, int *ret_fd);

#endif /* PV_FILE_H */
