/* SPDX-License-Identifier: MIT */
#include "daemon/store/store_endpoints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS endpoints(node BLOB NOT NULL, address TEXT NOT NULL,"
    " seen INTEGER NOT NULL, PRIMARY KEY(node, address)) WITHOUT ROWID";

static int exec(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? PV_OK : -EIO;
}

int pv_store_endpoints_schema(sqlite3 *db)
{
    return exec(db, schema);
}

int pv_store_endpoints_clear(sqlite3 *db)
{
    return exec(db, "DELETE FROM endpoints");
}

static int remove_all(sqlite3 *db, const uint8_t node[static 32])
{
    sqlite3_stmt *st = NULL;
    int r = -EIO;
    if (sqlite3_prepare_v2(db, "DELETE FROM endpoints WHERE node = ?1", -1, &st, NULL) ==
        SQLITE_OK) {
        sqlite3_bind_blob(st, 1, node, 32, SQLITE_STATIC);
        r = sqlite3_step(st) == SQLITE_DONE ? PV_OK : -EIO;
    }
    sqlite3_finalize(st);
    return r;
}

int pv_store_endpoints_put(sqlite3 *db, const struct pv_job_put_endpoints *put)
{
    sqlite3_stmt *st = NULL;
    int r = remove_all(db, put->node);
    if (r == PV_OK && sqlite3_prepare_v2(db,
                                         "INSERT OR REPLACE INTO endpoints(node, address, seen)"
                                         " VALUES(?1, ?2, ?3)",
                                         -1, &st, NULL) != SQLITE_OK)
        r = -EIO;
    for (size_t i = 0; r == PV_OK && i < put->n; i++) {
        char text[PV_ADDR_TEXT];
        pv_addr_format(&put->addrs[i].addr, text);
        sqlite3_bind_blob(st, 1, put->node, sizeof(put->node), SQLITE_STATIC);
        sqlite3_bind_text(st, 2, text, -1, SQLITE_TRANSIENT);
        sqlite3_bind_int64(st, 3, (sqlite3_int64)put->addrs[i].seen_s);
        r = sqlite3_step(st) == SQLITE_DONE ? PV_OK : -EIO;
        sqlite3_reset(st);
    }
    sqlite3_finalize(st);
    return r;
}

/* One row; false: not what this program writes. */
static bool read_row(sqlite3_stmt *st, struct pv_saved_endpoint *out)
{
    const unsigned char *text = sqlite3_column_text(st, 1);
    sqlite3_int64 seen = sqlite3_column_int64(st, 2);
    if (sqlite3_column_bytes(st, 0) != (int)sizeof(out->node) || text == NULL || seen < 0 ||
        pv_addr_parse((const char *)text, &out->addr.addr) != PV_OK)
        return false;
    memcpy(out->node, sqlite3_column_blob(st, 0), sizeof(out->node));
    out->addr.seen_s = (uint64_t)seen;
    return true;
}

int pv_store_endpoints_load(sqlite3 *db, struct pv_saved_endpoint **ret_list, size_t *ret_n)
{
    sqlite3_stmt *st = NULL;
    struct pv_saved_endpoint *list = NULL;
    size_t n = 0, cap = 0;
    int r = PV_OK, step = SQLITE_DONE;
    if (sqlite3_prepare_v2(db, "SELECT node, address, seen FROM endpoints ORDER BY seen DESC, node",
                           -1, &st, NULL) != SQLITE_OK)
        return -EIO;
    while (n < PV_STORE_MAX_ENDPOINTS && (step = sqlite3_step(st)) == SQLITE_ROW) {
        if (n == cap) {
            cap = cap == 0 ? 64 : 2 * cap;
            struct pv_saved_endpoint *grown = realloc(list, cap * sizeof(*grown));
            if (grown == NULL) {
                r = PV_ERR_NOMEM;
                break;
            }
            list = grown;
        }
        if (read_row(st, &list[n]))
            n++;
    }
    if (r == PV_OK && step != SQLITE_DONE && step != SQLITE_ROW)
        r = -EIO;
    sqlite3_finalize(st);
    if (r != PV_OK) {
        free(list);
        return r;
    }
    *ret_list = list;
    *ret_n = n;
    return PV_OK;
}
