/* SPDX-License-Identifier: MIT */
/* chatstore.c - opens chat.db when it is wanted, and again when it may work by now. */
#include "chat/store/chatstore.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/remedy.h"
#include "base/text.h"
#include "chat/core/base/chatqueue.h"
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
    struct pv_transact t;
    struct pv_sqlite_kind kind;
    char dir[PATH_MAX];
    uint64_t max_bytes;
    int off;     /* OFF, BROKEN: the status of all jobs, error says why; else PV_OK */
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
    s->off = r < 0 ? r : PV_OK;
    s->seen = look_at_file(s);
    s->retry_at = pv_clock_now() + OFF_RETRY;
}

/* --- jobs ---------------------------------------------------------------------------------- */

/* The jobs of one call. */
struct batch {
    struct pv_chatstore *store;
    struct pv_chatop *const *jobs;
    struct pv_chatqueue_result *results;
};

/* Whether others may store something is asked of the disk each time: what fills it may be another
 * program. */
static int run_job(void *ctx, size_t i)
{
    const struct batch *b = ctx;
    const struct pv_chatstore *s = b->store;
    sqlite3 *db = s->t.db;
    const uint64_t wall_s = pv_clock_wall_us() / 1000000;
    uint64_t now_s = 0;
    struct pv_chatop *chat = b->jobs[i];
    int r = chat->kind == PV_CHATOP_PURGE ? pv_store_age_look(db, wall_s) : PV_OK;
    if (r == PV_OK)
        r = pv_store_age_now(db, wall_s, &now_s);
    if (r < 0)
        return r;
    chat->terms = (struct pv_chatop_terms){
        .now_s = now_s, .max_bytes = s->max_bytes, .low_disk = pv_disk_is_low(s->dir)};
    return pv_store_chat_run(db, chat, &b->results[i].answer);
}

static void drop(void *ctx, size_t i)
{
    const struct batch *b = ctx;
    pv_chatqueue_result_done(&b->results[i]);
}

static bool deletes(void *ctx, size_t i, bool *ret_more)
{
    const struct batch *b = ctx;
    const struct pv_chatop_result *chat = pv_chatop_result_of(&b->results[i]);
    *ret_more = *ret_more || (chat != NULL && chat->more);
    return chat != NULL && chat->n_deleted > 0;
}

static void fail(const struct pv_chatstore *s, struct pv_chatqueue_result *result)
{
    _Static_assert(sizeof(result->error) >= sizeof(s->error), "an error is not cut");
    result->status = s->off;
    result->off = true;
    pv_chatqueue_result_done(result);
    memcpy(result->error, s->error, sizeof(s->error));
}

/* Jobs that were answered before are stored. */
static void give_up(struct pv_chatstore *s)
{
    s->broken = true;
    s->off = pv_sqlite_damaged(s->t.file, "read", s->error);
    pv_transact_close(&s->t);
}

static void run_all(struct pv_chatstore *s, struct pv_chatop *const *jobs,
                    struct pv_chatqueue_result *results, size_t n)
{
    struct pv_transact_result done[PV_CHATSTORE_BATCH];
    struct batch batch = {.store = s, .jobs = jobs, .results = results};
    const struct pv_transact_jobs all = {
        .n = n, .ctx = &batch, .run = run_job, .drop = drop, .deletes = deletes};
    pv_transact(&s->t, &all, done);
    for (size_t i = 0; i < n; i++) {
        results[i].status = done[i].status;
        memcpy(results[i].error, done[i].error, sizeof(results[i].error));
    }
}

void pv_chatstore_run(struct pv_chatstore *store, struct pv_chatop *const *jobs,
                      struct pv_chatqueue_result *results, size_t n)
{
    for (size_t i = 0; i < n; i++)
        results[i] = (struct pv_chatqueue_result){.id = jobs[i]->number};
    open_file(store);
    const bool was_open = store->t.file != NULL;
    if (was_open)
        run_all(store, jobs, results, n);
    if (was_open && store->t.is_damaged)
        give_up(store);
    /* Jobs beside the one that met the damage were done. */
    for (size_t i = 0; store->t.file == NULL && i < n; i++)
        if (!was_open || results[i].status < 0)
            fail(store, &results[i]);
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
