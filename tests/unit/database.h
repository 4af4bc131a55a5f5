/* SPDX-License-Identifier: MIT */
/*
 * database.h - changes a SQLite database behind its program's back, and gives what is in it as text
 * to compare.
 */
#pragma once

#include "sys/file/sqlite.h"
#include "tests/unit/test_util.h"

/* Runs SQL on the file, which is made when it is missing. */
static inline void database_exec(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    char *why = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", path, why);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Appends the rows of a query, blobs in hexadecimal. */
static inline void database_rows(sqlite3 *db, const char *sql, FILE *out)
{
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    while (sqlite3_step(st) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(st); i++) {
            const unsigned char *p = sqlite3_column_blob(st, i);
            (void)fprintf(out, "%d:", sqlite3_column_type(st, i));
            for (int k = 0; k < sqlite3_column_bytes(st, i); k++)
                (void)fprintf(out, "%02x", p[k]);
            (void)fputc(' ', out);
        }
        (void)fputc('\n', out);
    }
    assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
}

/* Everything in the database: its numbers, its schema, the rows of every table. Freed by the
 * caller. */
static inline char *database_dump(const char *path)
{
    char *text = NULL;
    size_t len = 0;
    sqlite3 *db = NULL;
    sqlite3_stmt *tables = NULL;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    database_rows(db, "PRAGMA application_id", out);
    database_rows(db, "PRAGMA user_version", out);
    database_rows(db, "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name", out);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT name FROM sqlite_schema WHERE type = 'table'"
                                        " ORDER BY name",
                                        -1, &tables, NULL),
                     SQLITE_OK);
    while (sqlite3_step(tables) == SQLITE_ROW) {
        char sql[128];
        (void)snprintf(sql, sizeof(sql), "SELECT * FROM %s ORDER BY 1, 2",
                       (const char *)sqlite3_column_text(tables, 0));
        (void)fprintf(out, "%s\n", sql);
        database_rows(db, sql, out);
    }
    sqlite3_finalize(tables);
    sqlite3_close(db);
    (void)fclose(out);
    return text;
}

/* The number in the first row. */
static inline int database_int(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int n = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return n;
}
