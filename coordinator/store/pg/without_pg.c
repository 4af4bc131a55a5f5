/* SPDX-License-Identifier: MIT */
/* The answers of a coordinator that was built without libpq (CMake: PV_STATIC, or it was not
 * found): then this file stands in for pg.c, pg_*.c and store_pg.c. */
#include <stdio.h>

#include "coordinator/store/pg/pg_lease.h"
#include "coordinator/store/pg/pg_view.h"
#include "coordinator/store/pg/store_pg.h"

/* Nobody gets further than here: without a lease nothing else is called. */
int pv_pg_lease_new(struct pv_pg_lease **ret_lease, const struct pv_pg_lease_config *cfg,
                    char ret_error[static PV_PG_ERROR_MAX])
{
    snprintf(ret_error, PV_PG_ERROR_MAX,
             "[store] postgres: this program was built without PostgreSQL: take one that was built "
             "with libpq, such as Debian's package");
    return PV_ERR_UNSUPPORTED;
}

struct pv_pg_lease *pv_pg_lease_free(struct pv_pg_lease *l)
{
    return NULL;
}

int pv_pg_lease_take(struct pv_pg_lease *l, char ret_other[static PV_PG_NAME_MAX],
                     char ret_error[static PV_PG_ERROR_MAX])
{
    ret_other[0] = ret_error[0] = '\0';
    return PV_ERR_UNSUPPORTED;
}

int pv_pg_lease_renew(struct pv_pg_lease *l, struct pv_pg_renewal *renewal,
                      char ret_error[static PV_PG_ERROR_MAX])
{
    ret_error[0] = '\0';
    return PV_ERR_UNSUPPORTED;
}

void pv_pg_lease_release(struct pv_pg_lease *l)
{
}

int64_t pv_pg_lease_fence(const struct pv_pg_lease *l)
{
    return 0;
}

uint64_t pv_pg_lease_epoch(const struct pv_pg_lease *l)
{
    return 0;
}

int pv_coordstore_open_pg(struct pv_coordstore **ret_store, const struct pv_store_pg_config *cfg,
                          char ret_error[static PV_STOREOP_ERROR_MAX])
{
    ret_error[0] = '\0';
    return PV_ERR_UNSUPPORTED;
}

int pv_pgview_read(const char *conninfo, const struct pv_pgview *view,
                   char ret_error[static PV_PG_ERROR_MAX])
{
    snprintf(ret_error, PV_PG_ERROR_MAX, "this program was built without PostgreSQL");
    return PV_ERR_UNSUPPORTED;
}

size_t pv_pg_files(const char *conninfo, char ret_files[static PV_PG_FILES_MAX][PATH_MAX])
{
    return 0;
}
