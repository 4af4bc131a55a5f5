/* SPDX-License-Identifier: MIT */
/* Jobs out, results in; what is stored and loaded. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/ct.h"
#include "daemon/core/engine_int.h"
#include "daemon/core/node/saved.h"

bool pv_engine_job(struct pv_engine *e, struct pv_job *job, enum pv_job_purpose purpose,
                   uint64_t arg)
{
    struct pv_job_wait *wait = calloc(1, sizeof(*wait));
    int status = PV_ERR_NOMEM;
    if (wait == NULL) {
        pv_job_free(job);
        return false;
    }
    if (!pv_jobqueue_submit(&e->node.jobs, job, NULL, 0)) {
        free(wait);
        return false;
    }
    wait->id = e->node.jobs.last_id;
    wait->purpose = purpose;
    wait->arg = arg;
    PV_MAP_ADD(&e->job_map, e->job_waits, id, wait, status);
    if (status != PV_OK)
        free(wait);
    return status == PV_OK;
}

int pv_engine_poll_job(struct pv_engine *e, struct pv_job **ret_job)
{
    return pv_jobqueue_poll(&e->node.jobs, ret_job);
}

/* --- what is stored ----------------------------------------------------------------------------
 */

static void put_meta(struct pv_engine *e, const char *name, struct pv_view value,
                     enum pv_job_purpose purpose, uint64_t arg)
{
    struct pv_job *job = pv_job_new(PV_JOB_SET_META);
    if (job == NULL)
        return;
    job->u.set_meta.value = malloc(value.len + 1);
    if (job->u.set_meta.value == NULL) {
        pv_job_free(job);
        return;
    }
    memcpy(job->u.set_meta.name, name, strlen(name) + 1);
    memcpy(job->u.set_meta.value, value.ptr, value.len);
    job->u.set_meta.len = value.len;
    pv_engine_job(e, job, purpose, arg);
}

void pv_engine_set_meta(struct pv_engine *e, const char *name, struct pv_view value)
{
    put_meta(e, name, value, PV_JP_STORE, 0);
}

void pv_engine_set_meta_u64(struct pv_engine *e, const char *name, uint64_t value)
{
    uint8_t buf[8];
    pv_store_be64(buf, value);
    pv_engine_set_meta(e, name, pv_view(buf, sizeof(buf)));
}

void pv_engine_unsaved(struct pv_engine *e, const struct pv_roster_entry *entry)
{
    if (e->n_unsaved == e->cap_unsaved) {
        size_t cap = e->cap_unsaved == 0 ? 64 : 2 * e->cap_unsaved;
        struct pv_stored_statement *grown = realloc(e->unsaved, cap * sizeof(*grown));
        if (grown == NULL) {
            e->node.store_failed = true;
            return;
        }
        e->unsaved = grown;
        e->cap_unsaved = cap;
    }
    e->unsaved[e->n_unsaved++] =
        (struct pv_stored_statement){.statement = entry->st.raw, .receipt = entry->receipt};
}

/* A copy of the views and of the bytes behind them, in one allocation. */
static struct pv_stored_statement *copy_items(const struct pv_stored_statement *items, size_t n)
{
    size_t bytes = n * sizeof(*items);
    for (size_t i = 0; i < n; i++)
        bytes += items[i].statement.len + items[i].receipt.len;
    struct pv_stored_statement *copy = malloc(bytes);
    if (copy == NULL)
        return NULL;
    struct pv_writer w = pv_writer(copy, bytes);
    w.len = n * sizeof(*items);
    for (size_t i = 0; i < n; i++) {
        copy[i].statement = pv_view(w.buf + w.len, items[i].statement.len);
        pv_put_bytes(&w, items[i].statement.ptr, items[i].statement.len);
        copy[i].receipt = pv_view(w.buf + w.len, items[i].receipt.len);
        pv_put_bytes(&w, items[i].receipt.ptr, items[i].receipt.len);
    }
    return copy;
}

void pv_engine_flush_unsaved(struct pv_engine *e, enum pv_job_purpose purpose)
{
    if (e->n_unsaved == 0)
        return;
    struct pv_job *job = pv_job_new(PV_JOB_PUT_STATEMENTS);
    struct pv_stored_statement *copy = copy_items(e->unsaved, e->n_unsaved);
    if (job == NULL || copy == NULL) {
        free(copy);
        pv_job_free(job);
        e->node.store_failed = true;
    } else {
        job->u.put_statements.items = copy;
        job->u.put_statements.n = e->n_unsaved;
        pv_engine_job(e, job, purpose, 0);
    }
    e->n_unsaved = 0;
}

void pv_engine_save_all(struct pv_engine *e)
{
    if (e->node.roster == NULL)
        return;
    for (const struct pv_roster_entry *x = pv_roster_next_entry(e->node.roster, NULL); x != NULL;
         x = pv_roster_next_entry(e->node.roster, x))
        pv_engine_unsaved(e, x);
    pv_engine_flush_unsaved(e, PV_JP_STORE);
}

void pv_engine_load_meta(struct pv_engine *e, const struct pv_saved *saved)
{
    const struct pv_view up = pv_saved_value(saved, "up");
    e->cursor.epoch = pv_saved_u64(saved, "cursor-epoch");
    e->cursor.n = pv_saved_u64(saved, "cursor-n");
    pv_engine_load_tls_hosts(e, pv_saved_value(saved, "tls-hosts"));
    e->node.up = up.len != 1 || up.ptr[0] != '0';
}

/* --- results -----------------------------------------------------------------------------------
 */

static void dispatch(struct pv_engine *e, const struct pv_job_wait *wait,
                     struct pv_job_result *result, pv_ns now)
{
    switch (wait->purpose) {
    case PV_JP_STORE:
        pv_node_stored(&e->node, result);
        break;
    case PV_JP_ENROLL:
        pv_enroll_job_done(e, result, now);
        break;
    case PV_JP_IFACE_UP:
        pv_engine_iface_result(e, result, now);
        break;
    case PV_JP_IFACE_DOWN:
        break;
    case PV_JP_COORD_HOST:
    case PV_JP_STUN_HOST:
        pv_engine_coord_resolved(e, wait, result, now);
        break;
    case PV_JP_FORGET:
        e->keys_forgotten = e->forgetting_keys && result->status == PV_OK;
        e->forgetting_keys = false;
        if (result->status == PV_OK)
            pv_ctlsrv_done(e->node.ctl, wait->arg);
        else
            pv_ctlsrv_fail(e->node.ctl, wait->arg, PV_CTLAPI_FAILED, result->error);
        break;
    }
}

void pv_engine_handle_job(struct pv_engine *e, struct pv_job_result *result, pv_ns now)
{
    struct pv_job_wait *wait;
    const struct pv_part *owner;
    uint64_t tag;
    bool known = pv_jobqueue_take(&e->node.jobs, result->id, &owner, &tag);
    PV_MAP_FIND(&e->job_map, e->job_waits, &result->id, sizeof(result->id), wait);
    if (known && owner != NULL) {
        owner->on_job(pv_node_part(&e->node, owner), tag, result, now);
    } else if (wait != NULL) {
        PV_MAP_DEL(e->job_waits, wait);
        dispatch(e, wait, result, now);
        free(wait);
    }
    pv_job_result_done(result);
    pv_engine_settle(e, now);
}
