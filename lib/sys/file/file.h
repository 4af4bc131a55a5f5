/* SPDX-License-Identifier: MIT */
/*
 * file.h - small files of the state directory: whole reads with a limit, atomic writes, a lock.
 *
 * Any thread. Nothing here follows what a file means.
 */
#pragma once

#include <sys/types.h>

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

/* Gives a file whose content is on disk another name, in the place of the one that has it: after a
 * power cut the name leads to the one or to the other. -errno. */
PV_MUST_CHECK int pv_file_rename(const char *from, const char *to);

/* Makes the directory (and missing parents, 0755) with exactly this mode, or checks that it is
 * there. An existing one owned by us that is open to group or others loses those rights when mode
 * grants none. -errno: ENOTDIR, EACCES, EROFS, ... */
PV_MUST_CHECK int pv_dir_make(const char *path, unsigned mode);

/*
 * Returns PV_OK if a program may take the directory: change its owner and mode. Its name may be
 * mistyped, so a directory that has files counts as the program's own only if one of them has a
 * name of marks, which ends with NULL. A lock file and lost+found say nothing. PV_OK, also if path
 * does not exist or is no directory; PV_ERR_EXISTS: it has files, and none of marks;
 * PV_ERR_REFUSED: anybody may have put the files there; -errno.
 */
PV_MUST_CHECK int pv_dir_may_take(const char *path, const char *const *marks);

/* Whose a directory becomes. */
struct pv_dir_gift {
    uid_t uid;
    gid_t gid;
    bool of_all;       /* also files of others than root and the directory's owner, and sockets */
    const char *below; /* a directory in it that goes along, with its files; NULL: none does */
};
/* Gives the directory fd, which is closed, to another user, with the regular files in it that have
 * one name: one with a second name may be anybody's. No link is followed, and none of them is
 * opened for reading, which a mode may forbid to a root without capabilities. The directory itself
 * comes last, so that a start that is cut short is made good by the next. -errno, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_dir_give(int fd, const struct pv_dir_gift *gift);

/* Takes the lock file, created when missing; held until the descriptor is closed or the process
 * ends. PV_ERR_EXISTS: another process holds it. -errno. */
PV_MUST_CHECK int pv_file_lock(const char *path, int *ret_fd);

/* --- room on the disk ------------------------------------------------------------------------ */

/*
 * How much of a file system is kept free of what others send: messages, files, copies. Any
 * thread.
 */

enum {
    PV_DISK_RESERVE_MIB =
        64, /* ours: for everything else that writes there, the roster above all */
};

/* Bytes of a file system of this size that stay free: the reserve, or a twentieth of one that is
 * smaller than twenty times that, or nothing would ever fit on it. */
uint64_t pv_disk_reserve(uint64_t total);
/* Returns true if no more than the reserve is left on path's file system, or if that cannot be
 * told: what is refused for it comes again. */
bool pv_disk_is_low(const char *path);
/* Returns true if there are inodes for a file beside path, or in it, or if that cannot be told. */
bool pv_disk_has_inodes(const char *path);

/* --- versions of a file ---------------------------------------------------------------------- */

/* Tells one version of a file from another. */

/* Another stamp: the file has changed. Zero for a file that is missing. */
struct pv_filestamp {
    ino_t inode;
    off_t size;
    int64_t mtime_ns;
};

struct pv_filestamp pv_filestamp_of(const char *file);
PV_MUST_CHECK bool pv_filestamp_equal(const struct pv_filestamp *a, const struct pv_filestamp *b);
