/* SPDX-License-Identifier: MIT */
/* Renewing. Only the database's word that another has its place ends this coordinator: while the
 * database is away nobody can take it. */
#include "coordinator/leasekeep.h"

#include <stdio.h>
#include <stdlib.h>

/* The keeper itself is the one item of its thread. */
static void renew(void *ctx, void *const *items, size_t n)
{
    struct pv_leasekeep *k = ctx;
    k->error[0] = '\0';
    k->status = k->pg->lease_renew(k->lease, &k->renewal, k->error);
}

static void on_answer(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_leasekeep *k = ctx;
    void *item = NULL;
    if (pv_worker_take(k->worker, &item) < 0)
        return;
    k->asking = false;
    k->next = now + PV_MS(PV_PG_LEASE_RENEW_MS);
    if (k->status == PV_ERR_REFUSED) {
        k->lost = true;
        pv_log(k->log, PV_LOG_ERROR, "%s: this one ends", k->error);
        return;
    }
    if (k->status == PV_OK) {
        k->living = k->renewal.living;
        k->few = k->renewal.few;
    }
    if (k->error[0] != '\0' && k->away[0] == '\0')
        pv_log(k->log, PV_LOG_WARN, "%s: until it is back nothing can be stored", k->error);
    if (k->error[0] == '\0' && k->away[0] != '\0')
        pv_log(k->log, PV_LOG_INFO, "the database is back");
    snprintf(k->away, sizeof(k->away), "%s", k->error);
}

int pv_leasekeep_start(struct pv_leasekeep *k, const struct pv_pgplugin *pg,
                       struct pv_pg_lease *lease, struct pv_loop *loop, const struct pv_log *log)
{
    const struct pv_worker_config cfg = {
        .name = "lease", .threads = 1, .limit = 1, .batch = 1, .run = renew, .ctx = k};
    *k = (struct pv_leasekeep){.pg = pg, .lease = lease, .log = log, .few = UINT64_MAX};
    int r = pv_worker_new(&k->worker, &cfg);
    if (r == PV_OK)
        r = pv_watch_new(&k->watch, loop, pv_worker_fd(k->worker), PV_LOOP_READ, on_answer, k);
    return r;
}

bool pv_leasekeep_take_list(struct pv_leasekeep *k, struct pv_pg_home **ret_list, size_t *ret_n)
{
    if (k->asking || !k->renewal.has_list)
        return false;
    *ret_list = k->renewal.list;
    *ret_n = k->renewal.n;
    k->renewal.has_list = false;
    k->renewal.list = NULL;
    k->renewal.n = 0;
    return true;
}

/* The question under way may have been sent before the change. */
void pv_leasekeep_hurry(struct pv_leasekeep *k)
{
    k->next = 0;
}

pv_ns pv_leasekeep_handle_timeout(struct pv_leasekeep *k, uint64_t homes, bool draining, pv_ns now)
{
    if (k->worker == NULL || k->lost || k->asking || k->renewal.has_list)
        return PV_NEVER;
    if (now < k->next)
        return k->next;
    k->renewal.homes = homes;
    k->renewal.draining = draining;
    k->asked_at = now;
    k->asking = pv_worker_submit(k->worker, k) == PV_OK;
    k->next = now + PV_MS(PV_PG_LEASE_RENEW_MS); /* in case it was refused */
    return k->next;
}

void pv_leasekeep_stop(struct pv_leasekeep *k)
{
    if (k->worker == NULL)
        return;
    pv_worker_finish(k->worker);
    pv_watch_free(k->watch);
    k->worker = pv_worker_free(k->worker);
    free(k->renewal.list);
}
