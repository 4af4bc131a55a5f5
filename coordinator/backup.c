/* SPDX-License-Identifier: MIT */
/* Backups are made by a process of its own, beside the coordinator that runs: SQLite lets it read
 * one moment of the database, and the coordinator's rights do not matter. */
#include "coordinator/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/remedy.h"
#include "base/text.h"
#include "coordinator/keys.h"
#include "coordinator/rights.h"
#include "coordinator/store/store_sqlite.h"
#include "sys/file/file.h"
#include "sys/file/sqlcopy.h"
#include "sys/file/sqlite.h"
#include "sys/file/sqlquery.h"

enum {
    BACKUP_ID = 0x70327062,  /* "p2pb", PRAGMA application_id */
    ID_AT = 68,              /* of a database's header (SQLite's "fileformat2.html" 1.3) */
    HEADER_LEN = 100,        /* ditto */
    CONTENT_MAX = 64 * 1024, /* ours: bytes of a file in the table */
};

static const char certificate[] = "tls.pem";

/* The files of the state directory that are in a backup beside the database. */
static const struct kept_file {
    const char *name;
    size_t key_len; /* bytes of the key, without which there is no coordinator; 0: it is none */
} kept_files[] = {{PV_COORDKEYS_FILE, PV_SIGN_SEED_LEN},
                  {PV_COORDKEYS_SECRET_FILE, PV_CTL_SECRET_LEN},
                  {certificate, 0}};

static int fail(int r, char error[static PV_BACKUP_ERROR_MAX], const char *what, const char *name,
                struct pv_reason why)
{
    snprintf(error, PV_BACKUP_ERROR_MAX, "%s %.200s: %s", what, name, PV_REASON_STR(why));
    return r;
}

static int fail_errno(int r, char error[static PV_BACKUP_ERROR_MAX], const char *what,
                      const char *name)
{
    struct pv_reason why = {pv_strstatus(r), PV_DO_NOTHING};
    if (r == -ENOSPC || r == -EDQUOT)
        why = (struct pv_reason){"the disk is full", PV_DO(free_disk)};
    return fail(r, error, what, name, why);
}

static uint64_t number_of(sqlite3 *db, const char *sql)
{
    struct pv_query q = pv_query(db, sql);
    uint64_t n;
    (void)!pv_query_u64(&q, &n); /* 0: it cannot be read */
    return n;
}

static void count_rows(sqlite3 *db, struct pv_backup *b)
{
    b->networks = number_of(db, "SELECT count(DISTINCT network) FROM statements");
    b->statements = number_of(db, "SELECT count(*) FROM statements");
}

/* --- making ---------------------------------------------------------------------------------- */

/* The directory that the file is to be in. */
static int check_directory(const char *file, char error[static PV_BACKUP_ERROR_MAX])
{
    char directory[PATH_MAX];
    const char *slash = strrchr(file, '/');
    if (slash == NULL || slash == file)
        return PV_OK;
    snprintf(directory, sizeof(directory), "%.*s", (int)(slash - file), file);
    return access(directory, F_OK) == 0
               ? PV_OK
               : fail(-errno, error, "write", file,
                      (struct pv_reason){"its directory is not there", PV_DO(make_directory)});
}

/* An older backup may be replaced, as by a nightly job; a name typed wrong must not cost a file. */
static int check_target(const char *file, char error[static PV_BACKUP_ERROR_MAX])
{
    static const char magic[] = "SQLite format 3";
    static const uint8_t id[] = {BACKUP_ID >> 24, BACKUP_ID >> 16 & 255, BACKUP_ID >> 8 & 255,
                                 BACKUP_ID & 255};
    uint8_t head[HEADER_LEN] = {0};
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? check_directory(file, error)
                               : fail_errno(-errno, error, "write", file);
    ssize_t n = read(fd, head, sizeof(head));
    close(fd);
    if (n == (ssize_t)sizeof(head) && memcmp(head, magic, sizeof(magic)) == 0 &&
        memcmp(head + ID_AT, id, sizeof(id)) == 0)
        return PV_OK;
    return fail(
        -EEXIST, error, "write", file,
        (struct pv_reason){"it is there and no backup of a coordinator", PV_DO(other_file)});
}

struct adding {
    const char *state;
    uint64_t wall;
};

/* One file of the state directory as a row. Root reads it, and whoever restores gives it to the
 * directory's user. */
static int add_file(const char *state, const struct kept_file *kept, struct pv_query *q)
{
    char path[PATH_MAX], *text = NULL;
    size_t len = 0;
    if (snprintf(path, sizeof(path), "%s/%s", state, kept->name) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    int r = pv_file_read_here(path, CONTENT_MAX, &text, &len);
    if (r == PV_ERR_NOT_FOUND && kept->key_len == 0)
        return PV_OK;
    if (r == PV_OK && kept->key_len > 0 && !pv_coordkeys_is_key(pv_view(text, len), kept->key_len))
        r = PV_ERR_MALFORMED;
    if (r == PV_OK) {
        pv_bind_text(q, kept->name);
        pv_bind_view(q, pv_view(text, len));
        pv_query_run_again(q);
        r = pv_query_status(q->rc);
    }
    pv_file_free(text, len);
    return r;
}

/* Turns the copy of the store into a backup. */
static int add_files(void *ctx, sqlite3 *copy)
{
    const struct adding *adding = ctx;
    char sql[320];
    snprintf(sql, sizeof(sql),
             "PRAGMA application_id = %d;"
             "CREATE TABLE backup_made(wall INTEGER NOT NULL, program TEXT NOT NULL);"
             "INSERT INTO backup_made VALUES(%llu, '" PV_VERSION "');"
             "CREATE TABLE backup_files(name TEXT PRIMARY KEY, content BLOB NOT NULL);",
             BACKUP_ID, (unsigned long long)adding->wall);
    if (sqlite3_exec(copy, sql, NULL, NULL, NULL) != SQLITE_OK)
        return -EIO;
    struct pv_query q = pv_query(copy, "INSERT INTO backup_files VALUES(?1, ?2)");
    int r = PV_OK;
    for (size_t i = 0; i < PV_ARRAY_LEN(kept_files) && r == PV_OK; i++)
        r = add_file(adding->state, &kept_files[i], &q);
    int end = pv_query_end(&q);
    return r < 0 ? r : end;
}

/* To be no reader of the database has another remedy than a directory that is broken, and SQLite
 * does not tell them apart. */
static int explain_open(int r, const char *state, char error[static PV_BACKUP_ERROR_MAX])
{
    char path[PATH_MAX];
    if (r != -EACCES ||
        snprintf(path, sizeof(path), "%s/%s", state, PV_COORDSTORE_FILE) >= (int)sizeof(path) ||
        faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0 || errno != EACCES)
        return r;
    return fail(r, error, "read", path, (struct pv_reason){"not permitted", PV_DO(ask_as_owner)});
}

int pv_backup_make(const char *state, const char *file, uint64_t wall, struct pv_backup *ret_backup,
                   char ret_error[static PV_BACKUP_ERROR_MAX])
{
    struct pv_backup b = {.made = wall};
    struct adding adding = {.state = state, .wall = wall};
    struct pv_sqlite *db = NULL;
    struct stat st;
    int r = check_target(file, ret_error);
    if (r == PV_OK)
        r = explain_open(
            pv_sqlite_open_beside(&db, &pv_coordstore_kind, state, PV_COORDSTORE_FILE, ret_error),
            state, ret_error);
    if (r == PV_ERR_NOT_FOUND)
        snprintf(ret_error, PV_BACKUP_ERROR_MAX, "open %.200s/%s: there is no database: %s", state,
                 PV_COORDSTORE_FILE, PV_DO_STR(name_database));
    if (r < 0)
        return r;
    const struct pv_sqlcopy copy = {.from = pv_sqlite_handle(db),
                                    .path = file,
                                    .vfs = pv_sqlite_vfs(),
                                    .more = add_files,
                                    .ctx = &adding};
    count_rows(pv_sqlite_handle(db), &b);
    r = pv_sqlcopy(&copy, ret_error);
    pv_sqlite_close(db);
    if (r == PV_OK && stat(file, &st) == 0)
        b.bytes = (uint64_t)st.st_size;
    if (r == PV_OK)
        *ret_backup = b;
    return r;
}

/* --- checking -------------------------------------------------------------------------------- */

/* One row of the files; the content is there until the caller ends the query. */
static int find_file(sqlite3 *db, const struct kept_file *kept, struct pv_query *ret_q,
                     struct pv_view *ret_content)
{
    *ret_q = pv_query(db, "SELECT content FROM backup_files WHERE name = ?1");
    pv_bind_text(ret_q, kept->name);
    if (!pv_query_next(ret_q))
        return ret_q->rc == SQLITE_DONE && kept->key_len == 0 ? PV_ERR_NOT_FOUND : PV_ERR_MALFORMED;
    *ret_content = pv_column_view(ret_q, 0);
    bool good = kept->key_len > 0 ? pv_coordkeys_is_key(*ret_content, kept->key_len)
                                  : ret_content->len > 0 && ret_content->len <= CONTENT_MAX;
    return good ? PV_OK : PV_ERR_MALFORMED;
}

/* The keys must be there and be keys: a coordinator that starts without them would make new ones.
 */
static int check_files(sqlite3 *db)
{
    int r = PV_OK;
    for (size_t i = 0; i < PV_ARRAY_LEN(kept_files) && r == PV_OK; i++) {
        struct pv_query q;
        struct pv_view content;
        r = find_file(db, &kept_files[i], &q, &content);
        (void)!pv_query_end(&q);
        if (r == PV_ERR_NOT_FOUND)
            r = PV_OK;
    }
    return r;
}

/* Everything is read before anything is changed. */
static int check_backup(sqlite3 *db, const char *file, char error[static PV_BACKUP_ERROR_MAX])
{
    uint64_t version = number_of(db, "PRAGMA user_version");
    if (number_of(db, "PRAGMA application_id") != BACKUP_ID)
        return fail(PV_ERR_MALFORMED, error, "restore", file,
                    (struct pv_reason){"not a backup of a coordinator", PV_DO(name_backup)});
    if (version != PV_COORDSTORE_SCHEMA) {
        const char *why = PV_STR("made by a%s p2pvpn-coordinator (schema %llu; this one knows %d)",
                                 version > PV_COORDSTORE_SCHEMA ? " newer" : "nother version of",
                                 (unsigned long long)version, PV_COORDSTORE_SCHEMA);
        return fail(PV_ERR_UNSUPPORTED, error, "restore", file,
                    (struct pv_reason){why, version > PV_COORDSTORE_SCHEMA
                                                ? PV_DO(upgrade, "p2pvpn-coordinator")
                                                : PV_DO(name_same_version)});
    }
    if (!pv_sqlite_is_whole(db) || check_files(db) < 0)
        return fail(PV_ERR_MALFORMED, error, "restore", file,
                    (struct pv_reason){"the backup is damaged", PV_DO(older_backup)});
    return PV_OK;
}

/* The name is told apart from the content: SQLite says "unable to open" of both. */
static int open_backup(const char *file, sqlite3 **ret_db, struct pv_backup *b,
                       char error[static PV_BACKUP_ERROR_MAX])
{
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? fail(PV_ERR_NOT_FOUND, error, "restore", file,
                                      (struct pv_reason){"no such file", PV_DO(name_backup)})
                               : fail_errno(-errno, error, "restore", file);
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    close(fd);
    if (!regular)
        return fail(PV_ERR_MALFORMED, error, "restore", file,
                    (struct pv_reason){"not a regular file", PV_DO(name_backup)});
    b->bytes = (uint64_t)st.st_size;
    if (sqlite3_open_v2(file, ret_db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
                        pv_sqlite_vfs()) != SQLITE_OK)
        return fail(-EIO, error, "restore", file,
                    (struct pv_reason){sqlite3_errmsg(*ret_db), PV_DO_NOTHING});
    int r = check_backup(*ret_db, file, error);
    if (r == PV_OK) {
        count_rows(*ret_db, b);
        b->made = number_of(*ret_db, "SELECT wall FROM backup_made");
    }
    return r;
}

/* --- restoring ------------------------------------------------------------------------------- */

/* Turns the copy of a backup into a store. */
static int remove_files(void *ctx, sqlite3 *copy)
{
    const char *sql =
        PV_STR("PRAGMA secure_delete = ON; DROP TABLE backup_files; DROP TABLE backup_made;"
               "PRAGMA application_id = %d; VACUUM;",
               pv_coordstore_kind.application_id);
    return sqlite3_exec(copy, sql, NULL, NULL, NULL) == SQLITE_OK ? PV_OK : -EIO;
}

/* Names in the state directory; settings.c leaves room for them. */
static void name_in(const char *state, const char *name, const char *end,
                    char path[static PATH_MAX])
{
    snprintf(path, PATH_MAX, "%.*s/%s%s", PATH_MAX - NAME_MAX - 2, state, name, end);
}

/* A second name for a file that will be replaced; there is no moment without a file. */
static int keep_file(const char *state, const char *name, struct pv_backup *b, const char *end)
{
    char from[PATH_MAX], to[PATH_MAX];
    name_in(state, name, "", from);
    name_in(state, name, end, to);
    if (linkat(AT_FDCWD, from, AT_FDCWD, to, 0) < 0)
        return errno == ENOENT ? PV_OK : -errno;
    snprintf(b->kept, sizeof(b->kept), "%s", end);
    return PV_OK;
}

/* SQLite's log belongs to the database that goes, and goes with it. */
static int move_log(const char *state, const char *end)
{
    static const char *const logs[] = {"-wal", "-shm"};
    int r = PV_OK;
    for (size_t i = 0; i < PV_ARRAY_LEN(logs) && r == PV_OK; i++) {
        char from[PATH_MAX], to[PATH_MAX];
        const char *end_of_log = PV_STR("%s%s", end, logs[i]);
        name_in(state, PV_COORDSTORE_FILE, logs[i], from);
        name_in(state, PV_COORDSTORE_FILE, end_of_log, to);
        if (rename(from, to) < 0 && errno != ENOENT)
            r = -errno;
    }
    return r;
}

static int write_files(const char *state, sqlite3 *db)
{
    int r = PV_OK;
    for (size_t i = 0; i < PV_ARRAY_LEN(kept_files) && r == PV_OK; i++) {
        struct pv_query q;
        struct pv_view content;
        char path[PATH_MAX];
        name_in(state, kept_files[i].name, "", path);
        r = find_file(db, &kept_files[i], &q, &content);
        if (r == PV_OK)
            r = pv_file_write(path, content, 0600);
        else if (r == PV_ERR_NOT_FOUND)
            r = unlink(path) < 0 && errno != ENOENT ? -errno : PV_OK;
        (void)!pv_query_end(&q);
    }
    return r;
}

/* Keeps what is there, then puts the new in its place; the database comes last, under whose name
 * there is always one. */
static int replace_state(const char *state, sqlite3 *db, struct pv_backup *b, uint64_t wall)
{
    char fresh[PATH_MAX], path[PATH_MAX], end[PV_BACKUP_END_MAX];
    time_t t = (time_t)wall;
    struct tm tm;
    if (gmtime_r(&t, &tm) == NULL ||
        strftime(end, sizeof(end), ".before-restore-%Y%m%dT%H%M%SZ", &tm) == 0)
        return PV_ERR_MALFORMED;
    int r = keep_file(state, PV_COORDSTORE_FILE, b, end);
    for (size_t i = 0; i < PV_ARRAY_LEN(kept_files) && r == PV_OK; i++)
        r = keep_file(state, kept_files[i].name, b, end);
    if (r == PV_OK)
        r = write_files(state, db);
    if (r == PV_OK)
        r = move_log(state, end);
    name_in(state, PV_COORDSTORE_FILE, ".restored", fresh);
    name_in(state, PV_COORDSTORE_FILE, "", path);
    return r == PV_OK ? pv_file_rename(fresh, path) : r;
}

int pv_backup_restore(struct pv_coordset *set, const char *file, uint64_t wall,
                      struct pv_backup *ret_backup, char ret_error[static PV_BACKUP_ERROR_MAX])
{
    _Static_assert((int)PV_BACKUP_ERROR_MAX >= (int)PV_RIGHTS_ERROR_MAX &&
                       (int)PV_BACKUP_ERROR_MAX >= (int)PV_COORDKEYS_ERROR_MAX,
                   "sentences of others fit");
    struct pv_backup b = {.made = 0};
    struct pv_rights rights;
    char path[PATH_MAX];
    sqlite3 *db = NULL;
    int lock = -1;
    int r = open_backup(file, &db, &b, ret_error);
    /* The file may be root's alone, so it is open before root becomes the directory's user. */
    if (r == PV_OK)
        r = pv_rights_enter(&rights, set, ret_error);
    if (r == PV_OK)
        r = pv_coordkeys_lock(set->state, &lock, ret_error);
    if (r == PV_OK) {
        const struct pv_sqlcopy copy = {
            .from = db, .path = path, .vfs = pv_sqlite_vfs(), .more = remove_files};
        name_in(set->state, PV_COORDSTORE_FILE, ".restored", path);
        r = pv_sqlcopy(&copy, ret_error);
    }
    if (r == PV_OK) {
        r = replace_state(set->state, db, &b, wall);
        if (r < 0)
            fail_errno(r, ret_error, "restore into", set->state);
    }
    if (lock >= 0)
        close(lock);
    sqlite3_close(db);
    if (r == PV_OK)
        *ret_backup = b;
    return r;
}
