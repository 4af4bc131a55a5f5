/* SPDX-License-Identifier: MIT */
/* plugin.c - the only symbol that store-postgres.so shows. */
#include "coordinator/store/pg/pg_lease.h"
#include "coordinator/store/pg/pg_view.h"
#include "coordinator/store/pg/store_pg.h"

__attribute__((visibility("default"))) const struct pv_pgplugin pv_pgplugin = {
    .version = PV_VERSION,
    .lease_new = pv_pg_lease_new,
    .lease_free = pv_pg_lease_free,
    .lease_take = pv_pg_lease_take,
    .lease_renew = pv_pg_lease_renew,
    .lease_release = pv_pg_lease_release,
    .lease_fence = pv_pg_lease_fence,
    .lease_epoch = pv_pg_lease_epoch,
    .store_open = pv_coordstore_open_pg,
    .view_read = pv_pgview_read,
    .files = pv_pg_files,
};
_Static_assert(sizeof(PV_VERSION) <= PV_PGPLUGIN_VERSION_BUF, "a version with its NUL fits");
