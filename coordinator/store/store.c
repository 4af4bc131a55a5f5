/* SPDX-License-Identifier: MIT */
/* Calls the kind of store that was opened. */
#include "coordinator/store/store.h"

int pv_coordstore_load(struct pv_coordstore *store, int (*take)(void *ctx, struct pv_storerow *row),
                       void *ctx, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    return store->ops->load(store, take, ctx, ret_error);
}

void pv_coordstore_run(struct pv_coordstore *store, struct pv_storeop *const *ops,
                       struct pv_storeop_result *results, size_t n)
{
    store->ops->run(store, ops, results, n);
}

struct pv_coordstore *pv_coordstore_close(struct pv_coordstore *store)
{
    return store == NULL ? NULL : store->ops->close(store);
}
