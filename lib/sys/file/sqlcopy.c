/* SPDX-License-Identifier: MIT */
/* A copy is written beside its place, synced, and renamed: whoever finds a file under the name
 * finds a whole one. */
#include "sys/file/sqlcopy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/remedy.h"
#include "base/text.h"
#include "sys/file/file.h"
#include "sys/file/sqlquery.h"

/* Otherwise SQLite would use the companion files of an unfinished copy for the next copy. */
static void remove_part(const char *part)
{
    static const char *const ends[] = {"", "-journal", "-wal", "-shm"};
    char name[PATH_MAX + 16];
    for (size_t i = 0; i < PV_ARRAY_LEN(ends); i++) {
        snprintf(name, sizeof(name), "%s%s", part, ends[i]);
        unlink(name);
    }
}

/* Made here, so that it is never readable by others; SQLite fills an empty file. */
static int make_part(const char *part)
{
    remove_part(part);
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = fchmod(fd, 0600) < 0 ? -errno : PV_OK;
    close(fd);
    return r;
}

/* SQLite's last failure; the disk's own reason counts where it has one. */
static int status_of(sqlite3 *db)
{
    int code = sqlite3_errcode(db) & 0xff, err = sqlite3_system_errno(db);
    if (code == SQLITE_FULL)
        return -ENOSPC;
    if (code == SQLITE_NOMEM)
        return PV_ERR_NOMEM;
    if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
        return -EBUSY;
    return (code == SQLITE_IOERR || code == SQLITE_CANTOPEN) && err > 0 ? -err : -EIO;
}

/* VACUUM INTO reads at one moment of the database, and writes no log beside the copy. */
static int write_part(sqlite3 *from, const char *part)
{
    struct pv_query q = pv_query(from, "VACUUM INTO ?1");
    pv_bind_text(&q, part);
    return pv_query_run(&q) < 0 ? status_of(from) : PV_OK;
}

static int change_part(const struct pv_sqlcopy *copy, const char *part)
{
    sqlite3 *db = NULL;
    if (copy->more == NULL)
        return PV_OK;
    int r = sqlite3_open_v2(part, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, copy->vfs) ==
                    SQLITE_OK
                ? copy->more(copy->ctx, db)
                : status_of(db);
    if (r == -EIO)
        r = status_of(db);
    sqlite3_close(db);
    return r;
}

/* Once the name is in the directory on disk, a power cut leaves the old copy or the new one. */
static int name_part(const char *part, const char *path)
{
    int fd = open(part, O_RDONLY | O_CLOEXEC);
    int r = fd < 0 || fsync(fd) < 0 ? -errno : PV_OK;
    if (fd >= 0)
        close(fd);
    return r < 0 ? r : pv_file_rename(part, path);
}

int pv_sqlcopy(const struct pv_sqlcopy *copy, char ret_error[static PV_SQLCOPY_ERROR_MAX])
{
    char part[PATH_MAX];
    int r = PV_ERR_NOMEM;
    if (snprintf(part, sizeof(part), "%s.part", copy->path) < (int)sizeof(part))
        r = make_part(part);
    bool made = r == PV_OK;
    if (r == PV_OK)
        r = write_part(copy->from, part);
    if (r == PV_OK)
        r = change_part(copy, part);
    if (r == PV_OK)
        r = name_part(part, copy->path);
    if (r < 0) {
        if (made)
            remove_part(part);
        snprintf(ret_error, PV_SQLCOPY_ERROR_MAX, "copy the database to %.120s: %s", copy->path,
                 r == -ENOSPC || r == -EDQUOT ? PV_STR("the disk is full: %s", PV_DO_STR(free_disk))
                 : r == -EBUSY
                     ? PV_STR("another program keeps the database locked: %s", PV_DO_STR(end_lock))
                 : r == PV_ERR_NOMEM ? "out of memory or path too long"
                 : r > -1000         ? strerror(-r)
                                     : pv_strstatus(r));
    }
    return r;
}
