/* SPDX-License-Identifier: MIT */
/* The names file: who is who, for libnss_p2pvpn; written again when the roster has changed. */
#include <stdlib.h>
#include <string.h>

#include "base/names.h"
#include "daemon/core/engine_int.h"

#define WRITE_GAP   PV_MS(200) /* ours: between two writes, so that a busy minute is few of them */
#define WRITE_GAP_1 PV_US(50)  /* ours: and so much for each name: 0.7 s with 10,000 */
#define WRITE_RETRY PV_S(30)   /* ours: after a failed write */

void pv_engine_names_changed(struct pv_engine *e)
{
    e->names_dirty = true;
}

pv_ns pv_engine_names_timeout(const struct pv_engine *e)
{
    return e->names_dirty && !e->names_busy ? e->names_at : PV_NEVER;
}

static int fill(struct pv_engine *e, size_t n, struct pv_job_names *ret_names)
{
    struct pv_names_entry *entries = calloc(n, sizeof(*entries));
    uint8_t *bytes = malloc(PV_NAMES_SIZE(n));
    size_t i = 0;
    int r = entries == NULL || bytes == NULL ? PV_ERR_NOMEM : PV_OK;
    for (const struct pv_member *m = pv_roster_next(e->node.roster, NULL);
         r == PV_OK && m != NULL && i < n; m = pv_roster_next(e->node.roster, m), i++) {
        memcpy(entries[i].name, m->name, sizeof(entries[i].name));
        entries[i].ip4 = m->ip4;
        entries[i].ip6 = m->ip6;
    }
    if (r == PV_OK)
        r = pv_names_build(pv_roster_network(e->node.roster)->name, entries, i, bytes,
                           PV_NAMES_SIZE(i));
    free(entries);
    if (r < 0) {
        free(bytes);
        return r;
    }
    *ret_names = (struct pv_job_names){.bytes = bytes, .len = PV_NAMES_SIZE(i)};
    return PV_OK;
}

void pv_engine_run_names(struct pv_engine *e, pv_ns now)
{
    /* A node that was removed knows nobody any more; one that is down does. */
    size_t n = e->node.roster != NULL && pv_node_self(&e->node) != NULL
                   ? pv_roster_count(e->node.roster)
                   : 0;
    int r = PV_OK;
    if (now < pv_engine_names_timeout(e))
        return;
    struct pv_job *job = pv_job_new(PV_JOB_NAMES);
    if (job == NULL)
        r = PV_ERR_NOMEM;
    else if (n > 0)
        r = fill(e, n, &job->u.names);
    if (r == PV_OK && pv_engine_job(e, job, PV_JP_NAMES, 0)) { /* which takes the job */
        e->names_dirty = false;
        e->names_busy = true;
        e->names_at = now + WRITE_GAP + n * WRITE_GAP_1;
        return;
    }
    if (r != PV_OK) {
        pv_log(e->node.log, PV_LOG_WARN, "what=\"names not written\" why=\"%s\"", pv_strstatus(r));
        pv_job_free(job);
    }
    e->names_at = now + WRITE_RETRY;
}

void pv_engine_names_written(struct pv_engine *e, const struct pv_job_result *result, pv_ns now)
{
    e->names_busy = false;
    if (result->status == PV_OK)
        return;
    pv_log(e->node.log, PV_LOG_WARN, "what=\"names not written\" why=\"%s\"", result->error);
    e->names_dirty = true;
    e->names_at = now + WRITE_RETRY;
}
