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

int pv_coordstore_copies(struct pv_coordstore *store,
                         int (*take)(void *ctx, const struct pv_storeop_copy *copy,
                                     struct pv_view box),
                         void *ctx, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    return store->ops->copies(store, take, ctx, ret_error);
}

int pv_coordstore_hold(struct pv_coordstore *store, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    return store->ops->hold(store, ret_error);
}

int pv_coordstore_keep(struct pv_coordstore *store, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    return store->ops->keep(store, ret_error);
}

void pv_coordstore_stop(struct pv_coordstore *store)
{
    if (store->ops->stop != NULL)
        store->ops->stop(store);
}

struct pv_coordstore *pv_coordstore_close(struct pv_coordstore *store)
{
    return store == NULL ? NULL : store->ops->close(store);
}
