/* SPDX-License-Identifier: MIT */
/* The table of addresses at which members were reached: one row an address. */
#include "daemon/store/store_endpoints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "daemon/store/store_sql.h"

enum {
    FIRST_ROWS = 64, /* allocated at first; the list doubles */
};

static int exec(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? PV_OK : -EIO;
}

int pv_store_endpoints_clear(sqlite3 *db)
{
    return exec(db, "DELETE FROM endpoints");
}

int pv_store_endpoints_put(sqlite3 *db, const struct pv_job_put_endpoints *put)
{
    struct pv_query q = pv_query(db, "DELETE FROM endpoints WHERE node = ?1");
    pv_bind_blob(&q, put->node, sizeof(put->node));
    int r = pv_query_run(&q);
    if (r < 0)
        return r;
    q = pv_query(db, "INSERT OR REPLACE INTO endpoints(node, address, seen) VALUES(?1, ?2, ?3)");
    for (size_t i = 0; i < put->n; i++) {
        char text[PV_ADDR_TEXT];
        pv_bind_blob(&q, put->node, sizeof(put->node));
        pv_bind_text(&q, pv_addr_format(&put->addrs[i].addr, text));
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

int pv_store_endpoints_load(sqlite3 *db, struct pv_saved_endpoint **ret_list, size_t *ret_n)
{
    struct pv_query q =
        pv_query(db, "SELECT node, address, seen FROM endpoints ORDER BY seen DESC, node");
    struct pv_saved_endpoint *list = NULL;
    size_t n = 0, cap = 0;
    int r = PV_OK;
    while (r == PV_OK && n < PV_STORE_MAX_ENDPOINTS && pv_query_next(&q)) {
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
