/* SPDX-License-Identifier: MIT */
/* crowdstore.c - the rows of a crowd in the database of a state directory, as the coordinator that
 * has its keys would have stored and marked them. */
#include <stdio.h>
#include <string.h>

#include "coordinator/keys.h"
#include "coordinator/store/store_sqlite.h"
#include "crowd.h"
#include "sys/proc/entropy.h"

enum {
    ROWS_AT_ONCE = 1024, /* in one transaction */
};

static void make_keys(struct crowd_shared *shared, const char *dir)
{
    char error[PV_COORDKEYS_ERROR_MAX] = "";
    struct pv_rng rng = pv_entropy();
    struct pv_coordkeys keys;
    int lock = -1; /* until this program ends */
    int r = pv_coordkeys_lock(dir, &lock, error);
    if (r == PV_OK)
        r = pv_coordkeys_make(dir, &rng, &keys, error);
    if (r < 0)
        crowd_die(error);
    memcpy(shared->sk, keys.sk, sizeof(shared->sk));
    memcpy(shared->pk, keys.pk, sizeof(shared->pk));
}

static void store_rows(struct pv_coordstore *store, const struct pv_storerow *rows, size_t n)
{
    struct pv_storeop_result result;
    struct pv_storeop *op = NULL;
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += rows[i].statement.len + rows[i].receipt.len;
    crowd_check(pv_storeop_new(PV_STOREOP_PUT, n, bytes, &op), "memory");
    for (size_t i = 0; i < n; i++)
        crowd_check(pv_storeop_add(op, &rows[i]), "a row");
    pv_coordstore_run(store, &op, &result, 1);
    if (result.status < 0)
        crowd_die(result.error);
    pv_storeop_free(op);
}

void crowd_store(struct crowd_shared *shared, const char *dir)
{
    char error[PV_STOREOP_ERROR_MAX] = "";
    struct pv_coordstore *store = NULL;
    make_keys(shared, dir);
    crowd_rows_make(shared);
    if (pv_coordstore_open_sqlite(&store, dir, error) < 0)
        crowd_die(error);
    for (size_t i = 0, n; i < shared->n_rows; i += n) {
        n = shared->n_rows - i < ROWS_AT_ONCE ? shared->n_rows - i : ROWS_AT_ONCE;
        store_rows(store, shared->rows + i, n);
    }
    pv_coordstore_close(store);
}
