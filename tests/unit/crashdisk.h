/* SPDX-License-Identifier: MIT */
/*
 * crashdisk.h - a disk that may lose its power: a VFS of SQLite, over the standard one, that writes
 * down what is written, cut, deleted and synced, and makes the files that a power cut at any of
 * these moments may leave.
 *
 * Synced writes are there. Of what was not, each sector of 512 bytes of each write is there or is
 * not, in any order; so are a truncation and a deletion; a file's sync brings all of that file, and
 * the directory's all deletions. The real disk is never synced, which here would only cost time.
 * For one test program's only source file.
 */
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "tests/unit/test_util.h"

enum {
    CRASH_FILES = 8,
    CRASH_EVENTS = 1 << 14,
    CRASH_SECTOR = 512,
    CRASH_LEAST_LOG = 4, /* pages of SQLite's log until they go into the database: soon */
};

enum crash_kind {
    CRASH_WRITE,
    CRASH_TRUNCATE,
    CRASH_DELETE, /* at: 1 = and the directory is synced */
    CRASH_SYNC,
};

struct crash_event {
    enum crash_kind kind;
    unsigned file;
    uint64_t at; /* WRITE: where; TRUNCATE: the new size */
    size_t len;
    uint8_t *bytes; /* owned */
};

/* A file as it is on the platter, or might be. */
struct crash_image {
    bool there;
    size_t len, room;
    uint8_t *bytes; /* owned */
};

static struct {
    bool on;
    char dir[64];
    char names[CRASH_FILES][32]; /* of files in dir; shared memory has no power to lose */
    unsigned n_files;
    struct crash_event events[CRASH_EVENTS];
    size_t n;
    size_t done;               /* events that platter has */
    size_t begun[CRASH_FILES]; /* and of each file those before this one */
    bool named[CRASH_FILES];   /* the directory on the platter has it */
    struct crash_image platter[CRASH_FILES];
    sqlite3_vfs vfs;
    sqlite3_io_methods methods;
} crash;

struct crash_file {
    sqlite3_file base;
    unsigned index; /* of names; CRASH_FILES: not looked at */
    sqlite3_file *real;
};

/* --- the VFS: what is done is done by the real one, and written down ------------------------ */

static sqlite3_vfs *crash_real(void)
{
    return crash.vfs.pAppData;
}

static struct crash_file *crash_of(sqlite3_file *f)
{
    return (struct crash_file *)f;
}

/* The index of a path in the directory that is looked at. */
static unsigned crash_index(const char *path)
{
    size_t len = strlen(crash.dir);
    if (!crash.on || path == NULL || strncmp(path, crash.dir, len) != 0 || path[len] != '/')
        return CRASH_FILES;
    for (unsigned i = 0; i < crash.n_files; i++) {
        if (strcmp(crash.names[i], path + len + 1) == 0)
            return i;
    }
    assert_true(crash.n_files < CRASH_FILES);
    snprintf(crash.names[crash.n_files], sizeof(crash.names[0]), "%s", path + len + 1);
    return crash.n_files++;
}

static void crash_note(unsigned file, struct crash_event e)
{
    if (!crash.on || file == CRASH_FILES)
        return;
    assert_true(crash.n < CRASH_EVENTS);
    e.file = file;
    crash.events[crash.n++] = e;
}

static int crash_close(sqlite3_file *f)
{
    struct crash_file *c = crash_of(f);
    int r = c->real->pMethods->xClose(c->real);
    sqlite3_free(c->real);
    return r;
}

static int crash_read(sqlite3_file *f, void *dst, int n, sqlite3_int64 at)
{
    sqlite3_file *real = crash_of(f)->real;
    return real->pMethods->xRead(real, dst, n, at);
}

static int crash_write(sqlite3_file *f, const void *src, int n, sqlite3_int64 at)
{
    struct crash_file *c = crash_of(f);
    uint8_t *copy = crash.on ? malloc((size_t)n) : NULL;
    if (copy != NULL)
        memcpy(copy, src, (size_t)n);
    if (crash.on && c->index != CRASH_FILES)
        crash_note(c->index,
                   (struct crash_event){
                       .kind = CRASH_WRITE, .at = (uint64_t)at, .len = (size_t)n, .bytes = copy});
    else
        free(copy);
    return c->real->pMethods->xWrite(c->real, src, n, at);
}

static int crash_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    struct crash_file *c = crash_of(f);
    crash_note(c->index, (struct crash_event){.kind = CRASH_TRUNCATE, .at = (uint64_t)size});
    return c->real->pMethods->xTruncate(c->real, size);
}

static int crash_sync(sqlite3_file *f, int flags)
{
    crash_note(crash_of(f)->index, (struct crash_event){.kind = CRASH_SYNC});
    return SQLITE_OK;
}

static int crash_size(sqlite3_file *f, sqlite3_int64 *ret_size)
{
    sqlite3_file *real = crash_of(f)->real;
    return real->pMethods->xFileSize(real, ret_size);
}

static int crash_lock(sqlite3_file *f, int level)
{
    sqlite3_file *real = crash_of(f)->real;
    return real->pMethods->xLock(real, level);
}

static int crash_unlock(sqlite3_file *f, int level)
{
    sqlite3_file *real = crash_of(f)->real;
    return real->pMethods->xUnlock(real, level);
}

static int crash_reserved(sqlite3_file *f, int *ret)
{
    sqlite3_file *real = crash_of(f)->real;
    return real->pMethods->xCheckReservedLock(real, ret);
}

static int crash_control(sqlite3_file *f, int op, void *arg)
{
    sqlite3_file *real = crash_of(f)->real;
    return real->pMethods->xFileControl(real, op, arg);
}

static int crash_sector_size(sqlite3_file *f)
{
    return CRASH_SECTOR;
}

/* Nothing is promised about the order or wholeness of writes. */
static int crash_traits(sqlite3_file *f)
{
    return 0;
}

static int crash_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
    sqlite3_file *real = crash_of(f)->real;
    return real->pMethods->xShmMap(real, page, size, extend, ret);
}

static int crash_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    sqlite3_file *real = crash_of(f)->real;
    return real->pMethods->xShmLock(real, offset, n, flags);
}

static void crash_shm_barrier(sqlite3_file *f)
{
    sqlite3_file *real = crash_of(f)->real;
    real->pMethods->xShmBarrier(real);
}

static int crash_shm_unmap(sqlite3_file *f, int del)
{
    sqlite3_file *real = crash_of(f)->real;
    return real->pMethods->xShmUnmap(real, del);
}

static int crash_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags, int *ret)
{
    struct crash_file *c = crash_of(f);
    *c = (struct crash_file){.index = crash_index(name)};
    c->real = sqlite3_malloc(crash_real()->szOsFile);
    if (c->real == NULL)
        return SQLITE_NOMEM;
    int r = crash_real()->xOpen(crash_real(), name, c->real, flags, ret);
    if (r != SQLITE_OK) {
        sqlite3_free(c->real);
        return r;
    }
    c->base.pMethods = &crash.methods;
    return r;
}

static int crash_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    crash_note(crash_index(name), (struct crash_event){.kind = CRASH_DELETE, .at = sync_dir != 0});
    return crash_real()->xDelete(crash_real(), name, 0);
}

static int crash_few_pages(sqlite3 *db, char **error, const struct sqlite3_api_routines *api)
{
    return sqlite3_wal_autocheckpoint(db, CRASH_LEAST_LOG);
}

/* Before the first use of SQLite. */
static inline void crash_init(void)
{
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    crash.methods = (sqlite3_io_methods){
        .iVersion = 2,
        .xClose = crash_close,
        .xRead = crash_read,
        .xWrite = crash_write,
        .xTruncate = crash_truncate,
        .xSync = crash_sync,
        .xFileSize = crash_size,
        .xLock = crash_lock,
        .xUnlock = crash_unlock,
        .xCheckReservedLock = crash_reserved,
        .xFileControl = crash_control,
        .xSectorSize = crash_sector_size,
        .xDeviceCharacteristics = crash_traits,
        .xShmMap = crash_shm_map,
        .xShmLock = crash_shm_lock,
        .xShmBarrier = crash_shm_barrier,
        .xShmUnmap = crash_shm_unmap,
    };
    crash.vfs = *real;
    crash.vfs.zName = "crash";
    crash.vfs.pNext = NULL;
    crash.vfs.pAppData = real;
    crash.vfs.szOsFile = sizeof(struct crash_file);
    crash.vfs.xOpen = crash_open;
    crash.vfs.xDelete = crash_delete;
    assert_int_equal(sqlite3_vfs_register(&crash.vfs, 1), SQLITE_OK);
    assert_int_equal(sqlite3_auto_extension((void (*)(void))crash_few_pages), SQLITE_OK);
}

/* --- recording ------------------------------------------------------------------------------- */

/* From now on what is done in this directory, which is empty, is written down. */
static inline void crash_begin(const char *dir)
{
    snprintf(crash.dir, sizeof(crash.dir), "%s", dir);
    crash.on = true;
}

/* No more; the events stay. */
static inline void crash_end(void)
{
    crash.on = false;
}

static inline void crash_forget(void)
{
    for (size_t i = 0; i < crash.n; i++)
        free(crash.events[i].bytes);
    for (unsigned i = 0; i < CRASH_FILES; i++) {
        free(crash.platter[i].bytes);
        crash.platter[i] = (struct crash_image){0};
        crash.begun[i] = 0;
        crash.named[i] = false;
    }
    crash.n = crash.done = 0;
    crash.n_files = 0;
}

/* --- what a power cut leaves ------------------------------------------------------------------ */

static void crash_resize(struct crash_image *f, uint64_t len)
{
    if (len > f->room) { /* a file grows by a sector a call */
        f->room = 2 * len;
        f->bytes = realloc(f->bytes, f->room);
        assert_non_null(f->bytes);
    }
    if (len > f->len)
        memset(f->bytes + f->len, 0, len - f->len);
    f->len = len;
}

/* Each sector with a chance of one half, or (rng NULL) all. */
static void crash_put(struct crash_image *f, const struct crash_event *e, struct test_rng *rng)
{
    f->there = true;
    for (size_t i = 0; i < e->len;) {
        size_t n = CRASH_SECTOR - (e->at + i) % CRASH_SECTOR;
        n = n > e->len - i ? e->len - i : n;
        if (rng == NULL || (test_rng_next(rng) & 1) != 0) {
            if (e->at + i + n > f->len)
                crash_resize(f, e->at + i + n);
            memcpy(f->bytes + e->at + i, e->bytes + i, n);
        }
        i += n;
    }
}

static void crash_apply(struct crash_image *f, const struct crash_event *e, struct test_rng *rng)
{
    if (e->kind == CRASH_WRITE) {
        crash_put(f, e, rng);
    } else if (e->kind == CRASH_TRUNCATE) {
        if (rng == NULL || (test_rng_next(rng) & 1) != 0)
            crash_resize(f, e->at);
    } else if (e->kind == CRASH_DELETE) {
        crash_resize(f, 0);
        f->there = false;
    }
}

/* All events of a file up to one are on the platter. */
static void crash_settle(unsigned file, size_t end)
{
    for (size_t i = crash.begun[file]; i < end; i++) {
        if (crash.events[i].file == file)
            crash_apply(&crash.platter[file], &crash.events[i], NULL);
    }
    crash.begun[file] = end > crash.begun[file] ? end : crash.begun[file];
}

/* The directory was synced with that event: deletions before it are on the platter. */
static void crash_settle_names(size_t end)
{
    for (size_t i = 0; i < end; i++) {
        if (crash.events[i].kind == CRASH_DELETE)
            crash_settle(crash.events[i].file, i + 1);
    }
}

/* One more event, if it is one that brings something on the platter. The first sync of a journal or
 * log that was made anew syncs the directory, too (os_unix.c, UNIXFILE_DIRSYNC). */
static void crash_take(size_t i)
{
    const struct crash_event *e = &crash.events[i];
    if (e->kind == CRASH_DELETE) {
        crash.named[e->file] = false;
        if (e->at != 0)
            crash_settle_names(i + 1);
    } else if (e->kind == CRASH_SYNC) {
        crash_settle(e->file, i + 1);
        if (!crash.named[e->file] && strchr(crash.names[e->file], '-') != NULL)
            crash_settle_names(i);
        crash.named[e->file] = true;
    }
}

/* Which of the states that a cut may leave. */
enum crash_left {
    CRASH_ALL,    /* all that was written */
    CRASH_SYNCED, /* what was synced and nothing more */
    CRASH_SOME,   /* by chance; and so are all above it, each by its own */
};

/* Whether the next cut leaves the same files. By then more has to be there, so that this one is
 * not looked at. */
static inline bool crash_is_next(size_t cut, unsigned left)
{
    const struct crash_event *e = &crash.events[cut];
    if (cut == crash.n || left >= CRASH_SOME)
        return false;
    bool settles = e->kind == CRASH_SYNC || (e->kind == CRASH_DELETE && e->at != 0);
    return left == CRASH_ALL ? e->kind == CRASH_SYNC : !settles;
}

static void crash_save(const char *dir, const char *name, const struct crash_image *f)
{
    int fd = open(PV_STR("%s/%s", dir, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, f->bytes, f->len), f->len);
    close(fd);
}

/* Makes the files in dir that a cut behind `cut` events may leave. Cuts must not go back. */
static inline void crash_make(const char *dir, size_t cut, unsigned left)
{
    struct test_rng rng = {cut * 1000 + left};
    for (; crash.done < cut; crash.done++)
        crash_take(crash.done);
    for (unsigned file = 0; file < crash.n_files; file++) {
        const struct crash_image *have = &crash.platter[file];
        struct crash_image f = {.there = have->there};
        crash_resize(&f, have->len);
        if (have->len > 0)
            memcpy(f.bytes, have->bytes, have->len);
        for (size_t i = crash.begun[file]; left != CRASH_SYNCED && i < cut; i++) {
            if (crash.events[i].file != file)
                continue;
            /* A file behind a deletion is another one, whose name comes with the deletion. */
            if (crash.events[i].kind == CRASH_DELETE && left >= CRASH_SOME &&
                (test_rng_next(&rng) & 1) == 0)
                break;
            crash_apply(&f, &crash.events[i], left == CRASH_ALL ? NULL : &rng);
        }
        if (f.there)
            crash_save(dir, crash.names[file], &f);
        free(f.bytes);
    }
}

/* SQLite itself finds the database whole. */
static inline void crash_check_whole(const char *dir, const char *name)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_open(PV_STR("%s/%s", dir, name), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(st, 0), "ok");
    sqlite3_finalize(st);
    sqlite3_close(db);
}
