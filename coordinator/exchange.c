/* SPDX-License-Identifier: MIT */
/* The lock on the directory and the lease of the database keep coordinators away meanwhile. */
#include "coordinator/exchange.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/keys.h"
#include "coordinator/pgload.h"
#include "coordinator/rights.h"
#include "coordinator/standby.h"
#include "coordinator/store/store_sqlite.h"
#include "crypto/ct.h"
#include "sys/proc/clock.h"

_Static_assert((int)PV_EXCHANGE_ERROR_MAX >= (int)PV_RIGHTS_ERROR_MAX &&
                   (int)PV_EXCHANGE_ERROR_MAX >= (int)PV_STANDBY_ERROR_MAX &&
                   (int)PV_EXCHANGE_ERROR_MAX >= (int)PV_STOREOP_ERROR_MAX,
               "sentences of others fit");

static int count_row(void *ctx, struct pv_storerow *row)
{
    ++*(uint64_t *)ctx;
    return PV_OK;
}

/* Two networks' logs must not be mixed. */
static int check_empty(struct pv_coordstore *store, const char *what,
                       char error[static PV_EXCHANGE_ERROR_MAX])
{
    uint64_t n = 0;
    int r = pv_coordstore_load(store, count_row, &n, error);
    if (r < 0 || n == 0)
        return r;
    snprintf(error, PV_EXCHANGE_ERROR_MAX,
             "%s has %llu statements already: only an empty one is filled, so empty it, or name "
             "another",
             what, (unsigned long long)n);
    return PV_ERR_EXISTS;
}

/* The imported directory is no longer what the coordinator serves: a backup of it, or a start with
 * it, would bring old times back. It stays under a name of its own. */
static int put_aside(const char *state, char error[static PV_EXCHANGE_ERROR_MAX])
{
    char from[PATH_MAX], to[PATH_MAX];
    snprintf(from, sizeof(from), "%.4000s/%s", state, PV_COORDSTORE_FILE);
    snprintf(to, sizeof(to), "%.4000s/%s.imported-%llu", state, PV_COORDSTORE_FILE,
             (unsigned long long)(pv_clock_wall_us() / 1000000));
    if (rename(from, to) == 0)
        return PV_OK;
    int r = -errno;
    snprintf(error, PV_EXCHANGE_ERROR_MAX,
             "all is imported, but %.200s could not be put aside: %s: move it away", from,
             strerror(-r));
    return r;
}

/* Both stores are open, and nobody else's. */
static int move_all(struct pv_coordset *set, const struct pv_pgplugin *plugin,
                    const struct pv_pg_lease *lease, bool import, struct pv_transfer *ret_transfer,
                    char error[static PV_EXCHANGE_ERROR_MAX])
{
    const struct pv_store_pg_config cfg = {.conninfo = set->store.postgres,
                                           .fence = plugin->lease_fence(lease),
                                           .decode = pv_statement_decode};
    struct pv_coordstore *file = NULL, *pg = NULL;
    int r = pv_coordstore_open_sqlite(&file, set->state, error);
    if (r == PV_OK)
        r = plugin->store_open(&pg, &cfg, error);
    if (r == PV_OK)
        r = check_empty(import ? pg : file, import ? "the PostgreSQL database" : "coordinator.db",
                        error);
    if (r == PV_OK)
        r = pv_transfer(import ? file : pg, import ? pg : file, ret_transfer, error);
    pv_coordstore_close(pg);
    pv_coordstore_close(file); /* which folds its log into it */
    return r == PV_OK && import ? put_aside(set->state, error) : r;
}

/* Of one that was killed a moment ago the database hears that it is gone within seconds. */
static int take_lease(const struct pv_pgplugin *pg, struct pv_pg_lease *lease,
                      char other[static PV_PG_NAME_MAX], char error[static PV_EXCHANGE_ERROR_MAX])
{
    const pv_ns until = pv_clock_now() + 2 * PV_MS(PV_PG_LEASE_MS);
    int r;
    while ((r = pg->lease_take(lease, other, error)) == PV_ERR_AGAIN && pv_clock_now() < until)
        poll(NULL, 0, PV_PG_LEASE_ASK_MS);
    return r;
}

/* The lease is given back at the end, or the coordinator that starts next would wait until it is
 * over. */
static int with_lease(struct pv_coordset *set, const struct pv_pgplugin *pg,
                      const uint8_t pk[static PV_SIGN_PK_LEN], bool import,
                      struct pv_transfer *ret_transfer, char error[static PV_EXCHANGE_ERROR_MAX])
{
    char other[PV_PG_NAME_MAX];
    struct pv_pg_lease *lease = NULL;
    int r = pv_standby_lease(&lease, pg, set, pk, false, error);
    if (r < 0)
        return r;
    r = take_lease(pg, lease, other, error);
    if (r == PV_ERR_AGAIN)
        snprintf(error, PV_EXCHANGE_ERROR_MAX, "%s serves from this database: stop it first",
                 other);
    if (r == PV_OK) {
        r = move_all(set, pg, lease, import, ret_transfer, error);
        pg->lease_release(lease);
    }
    pg->lease_free(lease);
    return r;
}

/* As the user that runs the coordinator: the files that are made here are to be that one's. */
int pv_exchange(struct pv_coordset *set, bool import, struct pv_transfer *ret_transfer,
                char ret_error[static PV_EXCHANGE_ERROR_MAX])
{
    struct pv_rights rights;
    int lock = -1;
    if (set->store.postgres[0] == '\0') {
        snprintf(ret_error, PV_EXCHANGE_ERROR_MAX,
                 "no database is named: set postgres in the section [store] of %.200s",
                 set->config);
        return PV_ERR_STATE;
    }
    struct pv_coordkeys *keys = pv_secret_alloc(sizeof(*keys));
    if (keys == NULL) {
        snprintf(ret_error, PV_EXCHANGE_ERROR_MAX, "out of memory");
        return PV_ERR_NOMEM;
    }
    const struct pv_pgplugin *pg = NULL;
    int r = pv_pgload(&pg, ret_error);
    if (r == PV_OK)
        r = pv_rights_enter(&rights, set, ret_error);
    if (r == PV_OK)
        r = pv_coordkeys_lock(set->state, &lock, ret_error);
    if (r == PV_OK) {
        r = pv_coordkeys_read(set->state, keys, ret_error);
        if (r == PV_ERR_NOT_FOUND)
            snprintf(ret_error, PV_EXCHANGE_ERROR_MAX,
                     "%.200s has no keys of a coordinator: name another directory with --state",
                     set->state);
    }
    if (r == PV_OK)
        r = with_lease(set, pg, keys->pk, import, ret_transfer, ret_error);
    pv_secret_free(keys);
    if (lock >= 0)
        close(lock);
    return r;
}
