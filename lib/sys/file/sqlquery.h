/* SPDX-License-Identifier: MIT */
/*
 * sqlquery.h - one SQLite statement, sticky: the first failure stays in rc and later calls do
 * nothing, so that callers check once, at the end.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sqlite3.h>

#include "base/pv.h"

struct pv_query {
    sqlite3_stmt *stmt;
    int rc;
    int n_bound;
};

/* SQLite keeps the reason in its connection: PV_OK or -EIO. */
static inline int pv_query_status(int rc)
{
    return rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW ? PV_OK : -EIO;
}

static inline struct pv_query pv_query(sqlite3 *db, const char *sql)
{
    struct pv_query q = {.stmt = NULL};
    q.rc = sqlite3_prepare_v2(db, sql, -1, &q.stmt, NULL);
    return q;
}

/* Parameters, in their order; what they point to must live until the end. */
static inline void pv_bind_blob(struct pv_query *q, const uint8_t *bytes, size_t len)
{
    if (q->rc == SQLITE_OK)
        q->rc = sqlite3_bind_blob64(q->stmt, ++q->n_bound, bytes, len, SQLITE_STATIC);
}

/* An empty view becomes an empty blob, not NULL. */
static inline void pv_bind_view(struct pv_query *q, struct pv_view v)
{
    pv_bind_blob(q, v.len == 0 ? (const uint8_t *)"" : v.ptr, v.len);
}

static inline void pv_bind_u64(struct pv_query *q, uint64_t v)
{
    if (q->rc == SQLITE_OK)
        q->rc = sqlite3_bind_int64(q->stmt, ++q->n_bound, (sqlite3_int64)v);
}

static inline void pv_bind_text(struct pv_query *q, const char *text)
{
    if (q->rc == SQLITE_OK)
        q->rc = sqlite3_bind_text(q->stmt, ++q->n_bound, text, -1, SQLITE_STATIC);
}

/* Another row? */
static inline bool pv_query_next(struct pv_query *q)
{
    if (q->rc == SQLITE_OK || q->rc == SQLITE_ROW)
        q->rc = sqlite3_step(q->stmt);
    return q->rc == SQLITE_ROW;
}

/* Ends it. PV_OK or -EIO. */
static inline int pv_query_end(struct pv_query *q)
{
    sqlite3_finalize(q->stmt);
    return pv_query_status(q->rc);
}

/* Runs a statement without rows to its end. */
static inline int pv_query_run(struct pv_query *q)
{
    while (pv_query_next(q))
        ;
    return pv_query_end(q);
}

/* The same for a statement that is run again, with other parameters: it is prepared once. */
static inline void pv_query_run_again(struct pv_query *q)
{
    while (pv_query_next(q))
        ;
    if (q->rc == SQLITE_DONE)
        q->rc = sqlite3_reset(q->stmt);
    q->n_bound = 0;
}

static inline uint64_t pv_column_u64(const struct pv_query *q, int column)
{
    sqlite3_int64 v = sqlite3_column_int64(q->stmt, column);
    return v < 0 ? 0 : (uint64_t)v;
}

/* The number that its one row gives, 0 without a row; ends it. PV_OK or -EIO. */
static inline int pv_query_u64(struct pv_query *q, uint64_t *ret_n)
{
    *ret_n = pv_query_next(q) ? pv_column_u64(q, 0) : 0;
    return pv_query_end(q);
}

/* Text, cut where it does not fit; "" for NULL. */
static inline void pv_column_text(const struct pv_query *q, int column, char *dst, size_t cap)
{
    const char *text = (const char *)sqlite3_column_text(q->stmt, column);
    snprintf(dst, cap, "%s", text == NULL ? "" : text);
}

/* Bytes, valid until the next row; empty for NULL. */
static inline struct pv_view pv_column_view(const struct pv_query *q, int column)
{
    const void *bytes = sqlite3_column_blob(q->stmt, column);
    return pv_view(bytes, bytes == NULL ? 0 : (size_t)sqlite3_column_bytes(q->stmt, column));
}

/* A blob of exactly this length. */
static inline bool pv_column_bytes(const struct pv_query *q, int column, uint8_t *dst, size_t len)
{
    const struct pv_view v = pv_column_view(q, column);
    if (v.ptr == NULL || v.len != len)
        return false;
    memcpy(dst, v.ptr, len);
    return true;
}
