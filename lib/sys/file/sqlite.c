/* SPDX-License-Identifier: MIT */
/*
 * sqlite.c - a program's SQLite database: made, checked and opened with care. Every failure becomes
 * a sentence that names the remedy, because the person who reads it has a daemon that does not
 * start.
 */
#include "sys/file/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "sys/file/file.h"
#include "sys/file/sqlquery.h"

enum {
    BUSY_TIMEOUT = 5000,   /* ms: an administrator's sqlite3 may hold a lock for a moment */
    LOG_MAX = 1000 * 4096, /* bytes: SQLite's wal_autocheckpoint, with its page_size */
};

struct pv_sqlite {
    sqlite3 *db;
    const struct pv_sqlite_kind *kind;
    char path[PATH_MAX];
};

/* --- errors -------------------------------------------------------------------------------- */

int pv_sqlite_damaged(const struct pv_sqlite *db, const char *what,
                      char ret_error[static PV_SQLITE_ERROR_MAX])
{
    snprintf(ret_error, PV_SQLITE_ERROR_MAX, "%s %.80s: the database is damaged: %s", what,
             db->path, pv_remedy_text(db->kind->damaged));
    return PV_ERR_MALFORMED;
}

/* A full disk has several codes: which one depends on the file that could not grow. Where one could
 * not be made SQLite tries to read it, too, and says that there is none. */
static bool is_full(const struct pv_sqlite *s)
{
    int code = s->db == NULL ? SQLITE_OK : sqlite3_errcode(s->db) & 0xff;
    int err = s->db == NULL ? 0 : sqlite3_system_errno(s->db);
    return code == SQLITE_FULL ||
           ((code == SQLITE_IOERR || code == SQLITE_CANTOPEN) &&
            (err == ENOSPC || err == EDQUOT)) ||
           (code == SQLITE_CANTOPEN && !pv_disk_has_inodes(s->path));
}

/* The few causes that a user can remove are named; for the others SQLite's own words have to do. */
int pv_sqlite_explain(const struct pv_sqlite *db, const char *what,
                      char ret_error[static PV_SQLITE_ERROR_MAX])
{
    int code = db->db == NULL ? SQLITE_NOMEM : sqlite3_errcode(db->db) & 0xff;
    struct stat st;
    switch (is_full(db) ? SQLITE_FULL : code) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return pv_sqlite_damaged(db, what, ret_error);
    case SQLITE_FULL:
        snprintf(ret_error, PV_SQLITE_ERROR_MAX, "%s %.120s: the disk is full: %s", what, db->path,
                 pv_disk_has_inodes(db->path)
                     ? PV_DO_STR(free_disk)
                     : PV_STR("no inodes are free: %s", PV_DO_STR(delete_small_files)));
        return -ENOSPC;
    case SQLITE_NOMEM:
        snprintf(ret_error, PV_SQLITE_ERROR_MAX, "%s %.120s: out of memory", what, db->path);
        return PV_ERR_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        snprintf(ret_error, PV_SQLITE_ERROR_MAX, "%s %.120s: another program keeps it locked: %s",
                 what, db->path, PV_DO_STR(end_lock));
        return -EBUSY;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        if (sqlite3_system_errno(db->db) == EMFILE) {
            snprintf(ret_error, PV_SQLITE_ERROR_MAX, "%s %.120s: %s", what, db->path,
                     pv_strstatus(-EMFILE));
            return -EMFILE;
        }
        if (stat(db->path, &st) == 0 && S_ISDIR(st.st_mode)) {
            snprintf(ret_error, PV_SQLITE_ERROR_MAX,
                     "%s %.120s: a directory has the database's name: %s", what, db->path,
                     PV_DO_STR(move_file_away));
            return -EISDIR;
        }
        snprintf(ret_error, PV_SQLITE_ERROR_MAX, "%s %.120s: not writable: %s", what, db->path,
                 PV_DO_STR(check_directory));
        return -EACCES;
    default:
        snprintf(ret_error, PV_SQLITE_ERROR_MAX, "%s %.100s: %.80s", what, db->path,
                 sqlite3_errmsg(db->db));
        return -EIO;
    }
}

/* --- opening ------------------------------------------------------------------------------- */

int pv_sqlite_exec(struct pv_sqlite *db, const char *sql)
{
    return sqlite3_exec(db->db, sql, NULL, NULL, NULL) == SQLITE_OK ? PV_OK : -EIO;
}

static int pragma_int(struct pv_sqlite *s, const char *sql, int *ret_value)
{
    struct pv_query q = pv_query(s->db, sql);
    uint64_t n;
    int r = pv_query_u64(&q, &n);
    *ret_value = (int)n;
    return r;
}

static int refuse_other(const struct pv_sqlite *s, int version,
                        char ret_error[static PV_SQLITE_ERROR_MAX])
{
    if (version > s->kind->schema)
        snprintf(ret_error, PV_SQLITE_ERROR_MAX,
                 "open %.80s: written by a newer %s (schema %d; this one knows %d): %s", s->path,
                 s->kind->program, version, s->kind->schema, PV_DO_STR(upgrade, s->kind->program));
    else
        snprintf(ret_error, PV_SQLITE_ERROR_MAX,
                 "open %.80s: written by another version of %s (schema %d; this one knows %d): "
                 "%s",
                 s->path, s->kind->program, version, s->kind->schema, PV_DO_STR(move_file_away));
    return PV_ERR_UNSUPPORTED;
}

/* Whose database is it, and of which version? Nothing has been written to it yet. */
static int check_owner(struct pv_sqlite *s, char ret_error[static PV_SQLITE_ERROR_MAX])
{
    int app = 0, version = 0, tables = 0;
    if (pragma_int(s, "PRAGMA application_id", &app) < 0 ||
        pragma_int(s, "PRAGMA user_version", &version) < 0 ||
        pragma_int(s, "SELECT count(*) FROM sqlite_schema", &tables) < 0)
        return pv_sqlite_explain(s, "open", ret_error);
    if (app == 0 && tables == 0)
        return PV_OK; /* new */
    if (app != s->kind->application_id) {
        snprintf(ret_error, PV_SQLITE_ERROR_MAX, "open %.120s: not a database of %s: %s", s->path,
                 s->kind->program, PV_DO_STR(other_state));
        return PV_ERR_MALFORMED;
    }
    if (version != s->kind->schema)
        return refuse_other(s, version, ret_error);
    return PV_OK;
}

bool pv_sqlite_is_whole(sqlite3 *db)
{
    struct pv_query q = pv_query(db, "PRAGMA quick_check(1)");
    char text[8] = "";
    if (pv_query_next(&q))
        pv_column_text(&q, 0, text, sizeof(text));
    return pv_query_end(&q) == PV_OK && strcmp(text, "ok") == 0;
}

bool pv_sqlite_empty_log(struct pv_sqlite *db)
{
    sqlite3_busy_timeout(db->db, 0);
    struct pv_query q = pv_query(db->db, "PRAGMA wal_checkpoint(TRUNCATE)");
    bool done = pv_query_next(&q) && pv_column_u64(&q, 0) == 0;
    done = pv_query_end(&q) == PV_OK && done;
    sqlite3_busy_timeout(db->db, BUSY_TIMEOUT);
    return done;
}

static int check_whole(struct pv_sqlite *s, char ret_error[static PV_SQLITE_ERROR_MAX])
{
    if (pv_sqlite_is_whole(s->db))
        return PV_OK;
    return is_full(s) ? pv_sqlite_explain(s, "open", ret_error)
                      : pv_sqlite_damaged(s, "open", ret_error);
}

/* A database keeps the size that its pages had when it was made. The log is put into it when it has
 * as many bytes as by default, whatever the size. */
static int set_page(struct pv_sqlite *s)
{
    int page = 0;
    if (s->kind->page == 0)
        return PV_OK;
    if (pv_sqlite_exec(s, PV_STR("PRAGMA page_size = %d", s->kind->page)) < 0 ||
        pragma_int(s, "PRAGMA page_size", &page) < 0 || page <= 0)
        return -EIO;
    return pv_sqlite_exec(s, PV_STR("PRAGMA wal_autocheckpoint = %d", LOG_MAX / page));
}

/* WAL with FULL: a committed message survives a power cut, and readers do not block the writer. A
 * database that is as it should be is not written to: that would need room on the disk. */
static int begin_first(struct pv_sqlite *s, char ret_error[static PV_SQLITE_ERROR_MAX])
{
    int app = 0, version = 0;
    const char *pragmas = PV_STR("PRAGMA application_id = %d; PRAGMA user_version = %d;",
                                 s->kind->application_id, s->kind->schema);
    int r = set_page(s);
    if (r >= 0)
        r = pv_sqlite_exec(
            s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN IMMEDIATE;");
    if (r >= 0)
        r = pragma_int(s, "PRAGMA application_id", &app);
    if (r >= 0)
        r = pragma_int(s, "PRAGMA user_version", &version);
    if (r >= 0 && (app != s->kind->application_id || version != s->kind->schema))
        r = pv_sqlite_exec(s, pragmas);
    return r < 0 ? pv_sqlite_explain(s, "open", ret_error) : PV_OK;
}

/* SQLite makes every name absolute. A program may work in a directory whose path it may not walk,
 * so a relative name stays as it is: this is xFullPathname of such a database's VFS. */
static int keep_name(sqlite3_vfs *vfs, const char *name, int size, char *ret_name)
{
    return snprintf(ret_name, (size_t)size, "%s", name) < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

const char *pv_sqlite_vfs(void)
{
    static sqlite3_vfs here; /* SQLite keeps it in its list for good */
    const sqlite3_vfs *standard = sqlite3_vfs_find(NULL);
    if (standard == NULL)
        return NULL;
    if (here.zName == NULL) {
        here = *standard;
        here.zName = "p2pvpn-here";
        here.pNext = NULL;
        here.xFullPathname = keep_name;
        if (sqlite3_vfs_register(&here, 0) != SQLITE_OK)
            here.zName = NULL;
    }
    return here.zName;
}

/* NULL, the standard one, unless the name is relative. */
static const char *vfs_for(const char *path)
{
    return path[0] == '/' ? NULL : pv_sqlite_vfs();
}

/* Opens the file, and reads that it is ours and whole. alone: nobody else can open it meanwhile,
 * and no room is needed for what SQLite shares with others beside it. */
static int check_file(struct pv_sqlite *s, bool alone, char ret_error[static PV_SQLITE_ERROR_MAX])
{
    int r = PV_OK;
    if (sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                        vfs_for(s->path)) != SQLITE_OK)
        r = pv_sqlite_explain(s, "open", ret_error);
    if (r >= 0)
        sqlite3_busy_timeout(s->db, BUSY_TIMEOUT);
    /* SQLite's files for large intermediate results lie in /var/tmp, where a confined program makes
     * none; ours are small. */
    if (r >= 0 && pv_sqlite_exec(s, "PRAGMA temp_store = MEMORY") < 0)
        r = pv_sqlite_explain(s, "open", ret_error);
    /* Before the first access: then the index of the log is in memory (SQLite's "wal.html" s8). */
    if (r >= 0 && alone && pv_sqlite_exec(s, "PRAGMA locking_mode = EXCLUSIVE") < 0)
        r = pv_sqlite_explain(s, "open", ret_error);
    if (r >= 0)
        r = check_owner(s, ret_error);
    return r < 0 ? r : check_whole(s, ret_error);
}

static int open_file(struct pv_sqlite *s, bool alone, char ret_error[static PV_SQLITE_ERROR_MAX])
{
    int r = check_file(s, alone, ret_error);
    return r < 0 ? r : begin_first(s, ret_error);
}

static struct pv_sqlite *new_file(const struct pv_sqlite_kind *kind, const char *dir,
                                  const char *name, char ret_error[static PV_SQLITE_ERROR_MAX])
{
    struct pv_sqlite *s = calloc(1, sizeof(*s));
    if (s == NULL || snprintf(s->path, sizeof(s->path), "%s/%s", dir, name) >= PATH_MAX) {
        free(s);
        snprintf(ret_error, PV_SQLITE_ERROR_MAX,
                 "open the database: out of memory or path too long");
        return NULL;
    }
    s->kind = kind;
    return s;
}

int pv_sqlite_open_beside(struct pv_sqlite **ret_db, const struct pv_sqlite_kind *kind,
                          const char *dir, const char *name,
                          char ret_error[static PV_SQLITE_ERROR_MAX])
{
    struct pv_sqlite *s = new_file(kind, dir, name, ret_error);
    if (s == NULL)
        return PV_ERR_NOMEM;
    int r = access(s->path, F_OK) == 0 || errno != ENOENT ? check_file(s, false, ret_error)
                                                          : PV_ERR_NOT_FOUND;
    if (r == PV_ERR_NOT_FOUND)
        snprintf(ret_error, PV_SQLITE_ERROR_MAX, "open %.120s: there is no database", s->path);
    if (r < 0)
        pv_sqlite_close(s);
    else
        *ret_db = s;
    return r;
}

/* Nothing is written until the database has proven to be ours and whole: opening another program's
 * file by mistake must not change it. */
int pv_sqlite_open(struct pv_sqlite **ret_db, const struct pv_sqlite_kind *kind, const char *dir,
                   const char *name, char ret_error[static PV_SQLITE_ERROR_MAX])
{
    struct pv_sqlite *s = new_file(kind, dir, name, ret_error);
    if (s == NULL)
        return PV_ERR_NOMEM;
    /* Made here, so that it is never readable by others, not even for a moment; SQLite gives its
     * companions (-wal, -shm) the same mode. SQLite meets every fault of this call again and names
     * it. */
    int fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0)
        close(fd);
    int r = open_file(s, false, ret_error);
    if (r == -ENOSPC) {
        sqlite3_close(s->db);
        s->db = NULL;
        r = open_file(s, true, ret_error);
    }
    if (r < 0)
        pv_sqlite_close(s);
    else
        *ret_db = s;
    return r;
}

int pv_sqlite_commit(struct pv_sqlite *db, char ret_error[static PV_SQLITE_ERROR_MAX])
{
    return pv_sqlite_exec(db, "COMMIT") < 0 ? pv_sqlite_explain(db, "open", ret_error) : PV_OK;
}

struct pv_sqlite *pv_sqlite_close(struct pv_sqlite *db)
{
    if (db != NULL) {
        sqlite3_close(db->db);
        free(db);
    }
    return NULL;
}

const char *pv_sqlite_path(const struct pv_sqlite *db)
{
    return db->path;
}

sqlite3 *pv_sqlite_handle(const struct pv_sqlite *db)
{
    return db->db;
}
