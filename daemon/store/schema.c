/* SPDX-License-Identifier: MIT */
/* schema.c - adds the columns that tables of earlier versions lack, then runs schema.sql. */
#include "daemon/store/schema.h"

#include "daemon/core/jobs/chatjob.h"
#include "daemon/store/schema.sql.h"
#include "sys/file/sqlquery.h"

_Static_assert(PV_CHATJOB_ROW_BYTES == 512, "the triggers have the number in their text");

/* Columns that tables of earlier versions lack. */
static const struct {
    const char *table, *column, *sql;
} ADDITIONS[] = {
    /* Those verified all statements at each start. */
    {"statements", "mark", "ALTER TABLE statements ADD COLUMN mark BLOB"},
    {"chat_message", "sent", "ALTER TABLE chat_message ADD COLUMN sent INTEGER NOT NULL DEFAULT 0"},
    {"chat_message", "author", "ALTER TABLE chat_message ADD COLUMN author BLOB"},
    {"chat_message", "arrived_s",
     "ALTER TABLE chat_message ADD COLUMN arrived_s INTEGER NOT NULL DEFAULT 0"},
    {"chat_message", "hidden",
     "ALTER TABLE chat_message ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0"},
    {"chat_message", "typist",
     "ALTER TABLE chat_message ADD COLUMN typist INTEGER NOT NULL DEFAULT 0"},
    {"room_log", "low", "ALTER TABLE room_log ADD COLUMN low INTEGER NOT NULL DEFAULT 0"},
    {"room_text", "said", "ALTER TABLE room_text ADD COLUMN said BLOB"},
};

static int exec(sqlite3 *db, const char *sql)
{
    return pv_query_status(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

/* Whether there is such a table and it lacks the column. */
static int lacks(sqlite3 *db, const char *table, const char *column, bool *ret_lacks)
{
    struct pv_query q =
        pv_query(db, "SELECT count(*) > 0 AND total(name = ?2) = 0 FROM pragma_table_info(?1)");
    pv_bind_text(&q, table);
    pv_bind_text(&q, column);
    *ret_lacks = pv_query_next(&q) && pv_column_u64(&q, 0) != 0;
    return pv_query_end(&q);
}

/* The first version kept statements by their hash. They get the order in which it gave them to the
 * roster; claims that lost are settled again. */
static int order_statements(sqlite3 *db)
{
    bool unordered;
    int r = lacks(db, "statements", "seq", &unordered);
    if (r < 0 || !unordered)
        return r;
    return exec(db, "ALTER TABLE statements RENAME TO unordered;"
                    "CREATE TABLE statements(seq INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE,"
                    " statement BLOB NOT NULL, receipt BLOB NOT NULL);"
                    "INSERT INTO statements(hash, statement, receipt)"
                    " SELECT hash, statement, receipt FROM unordered ORDER BY hash;"
                    "DROP TABLE unordered;");
}

int pv_store_schema(sqlite3 *db)
{
    int r = order_statements(db);
    for (size_t i = 0; i < PV_ARRAY_LEN(ADDITIONS) && r >= 0; i++) {
        bool lacking;
        r = lacks(db, ADDITIONS[i].table, ADDITIONS[i].column, &lacking);
        if (r >= 0 && lacking)
            r = exec(db, ADDITIONS[i].sql);
    }
    return r < 0 ? r : exec(db, pv_schema_sql);
}
