/* SPDX-License-Identifier: MIT */
/* The daemon's database: opening it, running jobs in transactions, loading what was stored. */
#include "daemon/store/store.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "base/vec.h"
#include "crypto/ct.h"
#include "daemon/core/jobs/job.h"
#include "daemon/store/identity.h"
#include "daemon/store/schema.h"
#include "proto/roster/netlog.h"
#include "proto/roster/statement.h"
#include "sys/file/file.h"
#include "sys/file/sqlite.h"
#include "sys/file/sqlquery.h"
#include "sys/file/transact.h"

/* --- addresses at which members were reached ------------------------------------------------- */

enum {
    MAX_ENDPOINTS = 65536, /* loaded at most, the newest: four a peer */
    FIRST_ROWS = 64,       /* allocated at first; the list doubles */
};

static int store_endpoints_clear(sqlite3 *db)
{
    const char *sql = "DELETE FROM endpoints";
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? PV_OK : -EIO;
}

/* Replaces what is stored of one member. */
static int store_endpoints_put(sqlite3 *db, const struct pv_job_put_endpoints *put)
{
    struct pv_query q = pv_query(db, "DELETE FROM endpoints WHERE node = ?1");
    pv_bind_blob(&q, put->node, sizeof(put->node));
    int r = pv_query_run(&q);
    if (r < 0)
        return r;
    q = pv_query(db, "INSERT OR REPLACE INTO endpoints(node, address, seen) VALUES(?1, ?2, ?3)");
    for (size_t i = 0; i < put->n; i++) {
        pv_bind_blob(&q, put->node, sizeof(put->node));
        pv_bind_text(&q, PV_ADDR_STR(&put->addrs[i].addr));
        pv_bind_u64(&q, put->addrs[i].seen_s);
        pv_query_run_again(&q);
    }
    return pv_query_end(&q);
}

/* One row; false: not what this program writes. */
static bool read_row(const struct pv_query *q, struct pv_saved_endpoint *out)
{
    const char *text = (const char *)sqlite3_column_text(q->stmt, 1);
    sqlite3_int64 seen = sqlite3_column_int64(q->stmt, 2);
    if (text == NULL || seen < 0 || pv_addr_parse(text, &out->addr.addr) != PV_OK)
        return false;
    out->addr.seen_s = (uint64_t)seen;
    return pv_column_bytes(q, 0, out->node, sizeof(out->node));
}

/* Everything, newest first; what is not an address is left out. The caller frees *ret_list.
 * PV_ERR_NOMEM. */
static int store_endpoints_load(sqlite3 *db, struct pv_saved_endpoint **ret_list, size_t *ret_n)
{
    struct pv_query q =
        pv_query(db, "SELECT node, address, seen FROM endpoints ORDER BY seen DESC, node");
    struct pv_saved_endpoint *list = NULL;
    size_t n = 0, cap = 0;
    int r = PV_OK;
    while (r == PV_OK && n < MAX_ENDPOINTS && pv_query_next(&q)) {
        void *grown = pv_vec_room(list, n, &cap, FIRST_ROWS, sizeof(list[0]));
        if (grown == NULL) {
            r = PV_ERR_NOMEM;
            break;
        }
        list = grown;
        if (read_row(&q, &list[n]))
            n++;
    }
    int end = pv_query_end(&q);
    if (r < 0 || end < 0) {
        free(list);
        return r < 0 ? r : end;
    }
    *ret_list = list;
    *ret_n = n;
    return PV_OK;
}

/* --- the store ------------------------------------------------------------------------------- */

struct pv_store {
    struct pv_transact t;
    char dir[PATH_MAX];
    struct pv_keeper *keeper;
};

/* --- jobs ---------------------------------------------------------------------------------- */

/* The function that serves a job in the database; PV_ERR_ or -EIO with SQLite's error set. */
typedef int handler_fn(struct pv_store *s, const struct pv_job *job, struct pv_job_result *result);

/* A receipt once stored is only replaced by another; the roster decides which is better. */
static int put_statements(struct pv_store *s, const struct pv_job *job,
                          struct pv_job_result *result)
{
    const struct pv_job_put_statements *put = &job->u.put_statements;
    struct pv_query q =
        pv_query(s->t.db, "INSERT INTO statements(hash, statement, receipt, mark)"
                          " VALUES(?1, ?2, ?3, ?4)"
                          " ON CONFLICT(hash) DO UPDATE SET receipt = excluded.receipt,"
                          " mark = excluded.mark"
                          " WHERE length(excluded.receipt) > 0 OR length(receipt) = 0");
    struct pv_query forget = pv_query(s->t.db, "DELETE FROM statements WHERE hash = ?1");
    /* The hash makes a statement unique: it comes again from every member. */
    for (size_t i = 0; i < put->n; i++) {
        uint8_t hash[PV_STATEMENT_HASH_LEN];
        if (put->items[i].forget) {
            pv_statement_hash(put->items[i].statement, hash);
            pv_bind_view(&forget, pv_view(hash, sizeof(hash)));
            pv_query_run_again(&forget);
            continue;
        }
        pv_statement_hash(put->items[i].statement, hash);
        pv_bind_view(&q, pv_view(hash, sizeof(hash)));
        pv_bind_view(&q, put->items[i].statement);
        pv_bind_view(&q, put->items[i].receipt);
        pv_bind_view(&q, pv_view(put->items[i].mark, put->items[i].has_mark ? PV_JOB_MARK_LEN : 0));
        /* Errors stay in the query until its end. */
        pv_query_run_again(&q);
    }
    int r = pv_query_end(&q), forgotten = pv_query_end(&forget);
    return r != PV_OK ? r : forgotten;
}

/* What is stored from the first entry on was cut off by root, or is there already. */
static int put_entries(struct pv_store *s, const struct pv_job *job, struct pv_job_result *result)
{
    const struct pv_job_put_entries *put = &job->u.put_entries;
    struct pv_query q = pv_query(s->t.db, "DELETE FROM log WHERE n >= ?1");
    pv_bind_u64(&q, put->first);
    int r = pv_query_run(&q);
    if (r < 0)
        return r;
    q = pv_query(s->t.db, "INSERT INTO log(n, entry) VALUES(?1, ?2)");
    for (size_t i = 0; i < put->n; i++) {
        pv_bind_u64(&q, put->first + i);
        pv_bind_view(&q, put->entries[i]);
        pv_query_run_again(&q);
    }
    r = pv_query_end(&q);
    if (r < 0)
        return r;
    q = pv_query(s->t.db, "INSERT OR REPLACE INTO meta(name, value) VALUES('log-head', ?1)");
    pv_bind_view(&q, put->head);
    return pv_query_run(&q);
}

static int set_network(struct pv_store *s, const struct pv_job *job, struct pv_job_result *result)
{
    const struct pv_job_set_network *net = &job->u.set_network;
    struct pv_query q = pv_query(s->t.db, "INSERT OR REPLACE INTO network(one, id, name, node_name)"
                                          " VALUES(1, ?1, ?2, ?3)");
    pv_bind_view(&q, pv_view(net->network_id, sizeof(net->network_id)));
    pv_bind_text(&q, net->name);
    pv_bind_text(&q, net->node_name);
    return pv_query_run(&q);
}

static int forget_network(struct pv_store *s, const struct pv_job *job,
                          struct pv_job_result *result)
{
    /* Keys and metadata stay: the node can join again under the same identity. */
    if (pv_sqlite_exec(s->t.file, "DELETE FROM statements; DELETE FROM log; DELETE FROM network;") <
        0)
        return -EIO;
    return store_endpoints_clear(s->t.db);
}

static int set_meta(struct pv_store *s, const struct pv_job *job, struct pv_job_result *result)
{
    const struct pv_job_set_meta *meta = &job->u.set_meta;
    struct pv_query q =
        pv_query(s->t.db, "INSERT OR REPLACE INTO meta(name, value) VALUES(?1, ?2)");
    pv_bind_text(&q, meta->name);
    pv_bind_view(&q, pv_view(meta->value, meta->len));
    return pv_query_run(&q);
}

static int put_endpoints(struct pv_store *s, const struct pv_job *job, struct pv_job_result *result)
{
    return store_endpoints_put(s->t.db, &job->u.put_endpoints);
}

/* The key lies in a file, and was written before the transaction began: see save_keys(). */
static int nothing(struct pv_store *s, const struct pv_job *job, struct pv_job_result *result)
{
    return PV_OK;
}

/* The kinds of jobs that are the store's. */
static handler_fn *const HANDLERS[PV_JOB_KINDS] = {
    [PV_JOB_PUT_STATEMENTS] = put_statements,
    [PV_JOB_PUT_ENTRIES] = put_entries,
    [PV_JOB_SET_NETWORK] = set_network,
    [PV_JOB_FORGET_NETWORK] = forget_network,
    [PV_JOB_SET_META] = set_meta,
    [PV_JOB_PUT_ENDPOINTS] = put_endpoints,
    [PV_JOB_KEEP_ROOT] = nothing,
    [PV_JOB_SAVE_KEYS] = nothing,
};

bool pv_store_serves(enum pv_job_kind kind)
{
    return kind < PV_JOB_KINDS && HANDLERS[kind] != NULL;
}

/* Its key lies in a file, and save_keys() has done it. */
static bool is_of_a_file(const struct pv_job *job)
{
    return job->kind == PV_JOB_KEEP_ROOT || job->kind == PV_JOB_SAVE_KEYS;
}

/* The jobs of one call. */
struct batch {
    struct pv_store *store;
    struct pv_job *const *jobs;
    struct pv_job_result *results;
};

static bool is_done(void *ctx, size_t i)
{
    const struct batch *b = ctx;
    return is_of_a_file(b->jobs[i]);
}

static bool deletes(void *ctx, size_t i, bool *ret_more)
{
    const struct batch *b = ctx;
    return b->jobs[i]->kind == PV_JOB_FORGET_NETWORK;
}

static int run_job(void *ctx, size_t i)
{
    const struct batch *b = ctx;
    const struct pv_job *job = b->jobs[i];
    return pv_store_serves(job->kind) ? HANDLERS[job->kind](b->store, job, &b->results[i])
                                      : PV_ERR_UNSUPPORTED;
}

/* Keys are deleted only after the database no longer needs them. */
static void forget_keys(struct pv_store *s, const struct pv_job *job, struct pv_job_result *result)
{
    /* A crash in between leaves keys without a network, which does no harm; the other order
     * would leave a network without keys. */
    if (job->kind == PV_JOB_FORGET_NETWORK && job->u.forget != PV_FORGET_NETWORK &&
        result->status >= 0)
        result->status = pv_identity_forget(s->dir, result->error);
    if (job->kind == PV_JOB_FORGET_NETWORK && job->u.forget == PV_FORGET_ROOT &&
        result->status >= 0)
        result->status = pv_keeper_forget(s->keeper, result->error);
}

/* Keys are stored before the transaction that may rely on them is. */
static void save_keys(struct pv_store *s, struct pv_job *job, struct pv_job_result *result)
{
    if (job->kind == PV_JOB_KEEP_ROOT)
        result->status = pv_keeper_have(s->keeper, &job->u.root, result->root_pk, result->error);
    else if (job->kind == PV_JOB_SAVE_KEYS)
        result->status = pv_identity_save_transport(s->dir, &job->u.keys, result->error);
    else
        return;
    /* The secrets in it have no other use. */
    pv_wipe(&job->u, sizeof(job->u));
}

void pv_store_run(struct pv_store *store, struct pv_job *const *jobs, struct pv_job_result *results,
                  size_t n)
{
    struct pv_transact_result done[PV_STORE_BATCH];
    struct batch batch = {.store = store, .jobs = jobs, .results = results};
    const struct pv_transact_jobs all = {
        .n = n, .ctx = &batch, .run = run_job, .is_done = is_done, .deletes = deletes};
    for (size_t i = 0; i < n; i++)
        results[i] = (struct pv_job_result){.id = jobs[i]->id, .kind = jobs[i]->kind};
    for (size_t i = 0; i < n; i++)
        save_keys(store, jobs[i], &results[i]);
    pv_transact(&store->t, &all, done);
    for (size_t i = 0; i < n; i++) {
        if (is_of_a_file(jobs[i]))
            continue;
        _Static_assert(sizeof(results[i].error) == sizeof(done[i].error), "an error is not cut");
        results[i].status = done[i].status;
        memcpy(results[i].error, done[i].error, sizeof(results[i].error));
    }
    /* Here the transaction is on disk. */
    for (size_t i = 0; i < n; i++)
        forget_keys(store, jobs[i], &results[i]);
}

/* --- opening ------------------------------------------------------------------------------- */

static const struct pv_sqlite_kind our_kind = {
    .application_id = 0x70327076, /* "p2pv" */
    .schema = PV_STORE_SCHEMA,
    .program = "p2pvpnd",
    .damaged = PV_REMEDY_move_network_away,
    .page = PV_SQLITE_SMALL_PAGE,
};

int pv_store_open(struct pv_store **ret_store, const char *dir,
                  char ret_error[static PV_JOB_ERROR_MAX])
{
    struct pv_store *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        snprintf(ret_error, PV_JOB_ERROR_MAX, "open the database: out of memory");
        return PV_ERR_NOMEM;
    }
    snprintf(s->dir, sizeof(s->dir), "%s", dir);
    int r = pv_transact_open(&s->t, &our_kind, dir, "p2pvpnd.db", pv_store_schema, ret_error);
    if (r < 0)
        pv_store_close(s);
    else
        *ret_store = s;
    return r;
}

struct pv_store *pv_store_close(struct pv_store *store)
{
    if (store != NULL) {
        pv_transact_close(&store->t);
        free(store);
    }
    return NULL;
}

void pv_store_set_keeper(struct pv_store *store, struct pv_keeper *keeper)
{
    store->keeper = keeper;
}

/* --- loading ------------------------------------------------------------------------------- */

static int explain(const struct pv_store *s, const char *what,
                   char ret_error[static PV_JOB_ERROR_MAX])
{
    return pv_sqlite_explain(s->t.file, what, ret_error);
}

/* How many rows, and how many bytes in their columns, the query gives. */
static int measure(struct pv_store *s, const char *sql, size_t *ret_rows, size_t *ret_bytes)
{
    struct pv_query q = pv_query(s->t.db, sql);
    if (pv_query_next(&q)) {
        *ret_rows = (size_t)pv_column_u64(&q, 0);
        *ret_bytes = (size_t)pv_column_u64(&q, 1);
    }
    return pv_query_end(&q);
}

/* Copies a column behind what is in bytes already. */
static struct pv_view take_column(const struct pv_query *q, int i, uint8_t *bytes, size_t *used)
{
    const void *p = sqlite3_column_blob(q->stmt, i);
    size_t len = (size_t)sqlite3_column_bytes(q->stmt, i);
    struct pv_view v = pv_view(bytes + *used, len);
    if (len > 0)
        memcpy(bytes + *used, p, len);
    *used += len;
    return v;
}

static int load_network(struct pv_store *s, struct pv_saved *saved)
{
    struct pv_query q = pv_query(s->t.db, "SELECT id, name, node_name FROM network");
    if (pv_query_next(&q)) {
        /* A damaged id counts as no network; the roster would not verify under it anyway. */
        saved->has_network = pv_column_bytes(&q, 0, saved->network_id, sizeof(saved->network_id));
        pv_column_text(&q, 1, saved->network_name, sizeof(saved->network_name));
        pv_column_text(&q, 2, saved->node_name, sizeof(saved->node_name));
    }
    return pv_query_end(&q);
}

static int load_statements(struct pv_store *s, struct pv_store_saved *out, size_t *used, size_t n)
{
    struct pv_query q =
        pv_query(s->t.db, "SELECT statement, receipt, mark FROM statements ORDER BY seq");
    size_t i = 0;
    while (i < n && pv_query_next(&q)) {
        struct pv_stored_statement *item = &out->statements[i++];
        item->statement = take_column(&q, 0, out->bytes, used);
        item->receipt = take_column(&q, 1, out->bytes, used);
        item->has_mark = pv_column_bytes(&q, 2, item->mark, sizeof(item->mark));
    }
    int r = pv_query_end(&q);
    out->saved.statements = out->statements;
    out->saved.n_statements = i;
    /* Fewer rows than were counted mean a damaged file. */
    return r >= 0 && i == n ? PV_OK : -EIO;
}

/* Entries behind one that is missing are none. */
static int load_entries(struct pv_store *s, struct pv_store_saved *out, size_t *used, size_t n)
{
    struct pv_query q = pv_query(s->t.db, "SELECT n, entry FROM log ORDER BY n");
    size_t i = 0;
    while (i < n && pv_query_next(&q) && pv_column_u64(&q, 0) == i + 1)
        out->entries[i++] = take_column(&q, 1, out->bytes, used);
    out->saved.entries = out->entries;
    out->saved.n_entries = i;
    return pv_query_end(&q);
}

static int load_meta(struct pv_store *s, struct pv_store_saved *out, size_t *used, size_t n)
{
    struct pv_query q = pv_query(s->t.db, "SELECT name, value FROM meta ORDER BY name");
    size_t i = 0;
    while (i < n && pv_query_next(&q)) {
        pv_column_text(&q, 0, out->meta[i].name, sizeof(out->meta[i].name));
        out->meta[i++].value = take_column(&q, 1, out->bytes, used);
    }
    int r = pv_query_end(&q);
    out->saved.meta = out->meta;
    out->saved.n_meta = i;
    return r >= 0 && i == n ? PV_OK : -EIO;
}

int pv_store_load(struct pv_store *store, struct pv_store_saved *ret_saved,
                  char ret_error[static PV_JOB_ERROR_MAX])
{
    struct pv_store_saved out = {0};
    size_t n_st = 0, n_log = 0, n_meta = 0, st_bytes = 0, log_bytes = 0, meta_bytes = 0, used = 0;
    int r = measure(store,
                    "SELECT count(*), coalesce(sum(length(statement) + length(receipt)), 0)"
                    " FROM statements",
                    &n_st, &st_bytes);
    if (r >= 0)
        r = measure(store, "SELECT count(*), coalesce(sum(length(entry)), 0) FROM log", &n_log,
                    &log_bytes);
    if (r >= 0)
        r = measure(store, "SELECT count(*), coalesce(sum(length(value)), 0) FROM meta", &n_meta,
                    &meta_bytes);
    /* The limit is for a damaged or foreign file: memory must not follow its numbers. */
    if (r >= 0 &&
        (n_st > PV_STORE_MAX_STATEMENTS || n_log > PV_NETLOG_MAX || n_meta > PV_STORE_MAX_META)) {
        snprintf(ret_error, PV_JOB_ERROR_MAX, "read %.150s: more records than supported",
                 pv_sqlite_path(store->t.file));
        return PV_ERR_LIMIT;
    }
    if (r >= 0) {
        /* "+ 1" because calloc(0) may return NULL. */
        out.statements = calloc(n_st + 1, sizeof(*out.statements));
        out.entries = calloc(n_log + 1, sizeof(*out.entries));
        out.meta = calloc(n_meta + 1, sizeof(*out.meta));
        out.bytes = malloc(st_bytes + log_bytes + meta_bytes + 1);
        if (out.statements == NULL || out.entries == NULL || out.meta == NULL ||
            out.bytes == NULL) {
            pv_store_saved_done(&out);
            snprintf(ret_error, PV_JOB_ERROR_MAX, "read %.150s: out of memory",
                     pv_sqlite_path(store->t.file));
            return PV_ERR_NOMEM;
        }
        r = load_network(store, &out.saved);
    }
    if (r >= 0)
        r = load_statements(store, &out, &used, n_st);
    if (r >= 0)
        r = load_entries(store, &out, &used, n_log);
    if (r >= 0)
        r = load_meta(store, &out, &used, n_meta);
    if (r >= 0)
        r = store_endpoints_load(store->t.db, &out.endpoints, &out.saved.n_endpoints);
    out.saved.endpoints = out.endpoints;
    if (r < 0) {
        pv_store_saved_done(&out);
        if (r != PV_ERR_NOMEM)
            return explain(store, "read", ret_error);
        snprintf(ret_error, PV_JOB_ERROR_MAX, "read %.150s: out of memory",
                 pv_sqlite_path(store->t.file));
        return r;
    }
    pv_transact_forget_pages(&store->t);
    *ret_saved = out;
    return PV_OK;
}

void pv_store_saved_done(struct pv_store_saved *saved)
{
    free(saved->statements);
    free(saved->entries);
    free(saved->meta);
    free(saved->endpoints);
    free(saved->bytes);
    memset(saved, 0, sizeof(*saved));
}
