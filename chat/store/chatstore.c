/* SPDX-License-Identifier: MIT */
/* chatstore.c - opens chat.db when it is wanted, and again when it may work by now. */
#include "chat/store/chatstore.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/remedy.h"
#include "base/text.h"
#include "chat/store/chatschema.h"
#include "chat/store/store_budget.h"
#include "chat/store/store_chat.h"
#include "sys/file/file.h"
#include "sys/file/transact.h"
#include "sys/proc/clock.h"

#define NAME      "chat.db"
#define OFF_RETRY PV_S(5) /* ours: after a failure that may pass while the file stays as it is */

/* Tells whether a file was changed, replaced or moved away. */
struct look {
    bool is_there;
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec changed;
};

struct pv_chatstore {
    struct pv_chat_store calls;
    struct pv_transact t;
    struct pv_sqlite_kind kind;
    char dir[PATH_MAX];
    uint64_t max_bytes;
    int settled; /* of the database's count of changes: so many are on the disk */
    int off;     /* OFF, BROKEN: the status of all operations, error says why; else PV_OK */
    bool broken; /* BROKEN */
    char error[PV_SQLITE_ERROR_MAX];
    struct look seen; /* OFF: the file that could not be opened */
    pv_ns retry_at;   /* OFF */
};

/* --- opening ------------------------------------------------------------------------------- */

static struct look look_at_file(const struct pv_chatstore *s)
{
    struct look l = {.is_there = false};
    struct stat st;
    if (stat(PV_STR("%s/" NAME, s->dir), &st) == 0)
        l = (struct look){.is_there = true,
                          .dev = st.st_dev,
                          .ino = st.st_ino,
                          .size = st.st_size,
                          .changed = st.st_ctim};
    return l;
}

static bool is_same(const struct look *a, const struct look *b)
{
    return a->is_there == b->is_there && a->dev == b->dev && a->ino == b->ino &&
           a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec;
}

/* A damaged file stays damaged, and to find that out again would read all of it. */
static bool may_try(const struct pv_chatstore *s)
{
    const struct look now = look_at_file(s);
    if (s->broken)
        return false;
    if (s->off == PV_OK || !is_same(&now, &s->seen))
        return true;
    return s->off != PV_ERR_MALFORMED && s->off != PV_ERR_UNSUPPORTED &&
           pv_clock_now() >= s->retry_at;
}

static void open_file(struct pv_chatstore *s)
{
    if (s->t.file != NULL || !may_try(s))
        return;
    int r = pv_transact_open(&s->t, &s->kind, s->dir, NAME, pv_chat_schema, s->error);
    /* settle() brings to the disk what the operations of a turn have written. */
    if (r >= 0 && pv_sqlite_exec(s->t.file, "PRAGMA synchronous = NORMAL") < 0) {
        r = pv_sqlite_explain(s->t.file, "open", s->error);
        pv_transact_close(&s->t);
    }
    s->settled = 0;
    s->off = r < 0 ? r : PV_OK;
    s->seen = look_at_file(s);
    s->retry_at = pv_clock_now() + OFF_RETRY;
}

/* --- operations ---------------------------------------------------------------------------- */

/* The operation of one call. */
struct call {
    const struct pv_chatstore *store;
    const struct pv_chatop *op;
    struct pv_chatop_result *ret;
};

/* Whether others may store something is asked of the disk each time: what fills it may be another
 * program. */
static int run_op(void *ctx, size_t i)
{
    const struct call *c = ctx;
    const struct pv_chatstore *s = c->store;
    const uint64_t wall_s = pv_clock_wall_us() / 1000000;
    uint64_t now_s = 0;
    int r = c->op->kind == PV_CHATOP_PURGE ? pv_store_age_look(s->t.db, wall_s) : PV_OK;
    if (r == PV_OK)
        r = pv_store_age_now(s->t.db, wall_s, &now_s);
    if (r < 0)
        return r;
    struct pv_chatop op = *c->op;
    op.terms = (struct pv_chatop_terms){
        .now_s = now_s, .max_bytes = s->max_bytes, .low_disk = pv_disk_is_low(s->dir)};
    return pv_store_chat_run(s->t.db, &op, c->ret);
}

static void drop(void *ctx, size_t i)
{
    const struct call *c = ctx;
    pv_chatop_result_done(c->ret);
}

static bool deletes(void *ctx, size_t i, bool *ret_more)
{
    const struct call *c = ctx;
    *ret_more = c->ret->more;
    return c->ret->n_deleted > 0;
}

/* What operations before have written is stored. */
static void give_up(struct pv_chatstore *s)
{
    s->broken = true;
    pv_transact_close(&s->t);
}

static int run(struct pv_chat_store *calls, const struct pv_chatop *op,
               struct pv_chatop_result *ret)
{
    struct pv_chatstore *s = calls->self;
    struct call call = {.store = s, .op = op, .ret = ret};
    const struct pv_transact_jobs one = {
        .n = 1, .ctx = &call, .run = run_op, .drop = drop, .deletes = deletes};
    struct pv_transact_result done = {.status = PV_OK};
    *ret = (struct pv_chatop_result){.msgs = NULL};
    open_file(s);
    if (s->t.file != NULL)
        pv_transact(&s->t, &one, &done);
    if (s->t.file != NULL && s->t.is_damaged) {
        s->off = pv_sqlite_damaged(s->t.file, "read", s->error);
        give_up(s);
    }
    calls->off = s->t.file == NULL;
    _Static_assert(sizeof(calls->error) == sizeof(s->error) &&
                       sizeof(calls->error) == sizeof(done.error),
                   "an error is not cut");
    if (calls->off || done.status != PV_OK)
        memcpy(calls->error, calls->off ? s->error : done.error, sizeof(calls->error));
    return calls->off ? s->off : done.status;
}

/* In WAL mode a transaction is on the disk when its log is: one sync serves all transactions before
 * it. After a sync that failed the kernel may have dropped what was written, and the next one may
 * succeed all the same, so this failure is for good. */
static int settle(struct pv_chat_store *calls)
{
    struct pv_chatstore *s = calls->self;
    sqlite3_file *log = NULL;
    if (s->t.file == NULL || sqlite3_total_changes(s->t.db) == s->settled)
        return s->broken ? s->off : PV_OK;
    s->settled = sqlite3_total_changes(s->t.db);
    if (sqlite3_file_control(s->t.db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK &&
        log != NULL && log->pMethods != NULL &&
        log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) == SQLITE_OK)
        return PV_OK;
    s->off = -EIO;
    snprintf(s->error, sizeof(s->error),
             "write %.120s: the disk did not keep it: look at the disk, then restart p2pvpnd",
             pv_sqlite_path(s->t.file));
    give_up(s);
    calls->off = true;
    memcpy(calls->error, s->error, sizeof(calls->error));
    return s->off;
}

struct pv_chat_store *pv_chatstore_calls(struct pv_chatstore *store)
{
    return &store->calls;
}

/* --- life ---------------------------------------------------------------------------------- */

int pv_chatstore_new(struct pv_chatstore **ret_store, const char *dir, uint64_t max_bytes)
{
    struct pv_chatstore *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return PV_ERR_NOMEM;
    s->kind = (struct pv_sqlite_kind){.application_id = 0x70327074, /* "p2pt": talk */
                                      .schema = PV_CHATSTORE_SCHEMA,
                                      .program = "p2pvpnd",
                                      .damaged = PV_REMEDY_move_chat_away,
                                      .page = PV_SQLITE_SMALL_PAGE};
    s->calls = (struct pv_chat_store){.self = s, .run = run, .settle = settle};
    s->max_bytes = max_bytes;
    snprintf(s->dir, sizeof(s->dir), "%s", dir);
    *ret_store = s;
    return PV_OK;
}

struct pv_chatstore *pv_chatstore_free(struct pv_chatstore *store)
{
    if (store != NULL) {
        pv_transact_close(&store->t);
        free(store);
    }
    return NULL;
}
