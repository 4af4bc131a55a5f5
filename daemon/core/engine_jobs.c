/* SPDX-License-Identifier: MIT */
/* engine_jobs.c - jobs out to the shell, and their results to the parts that submitted them. */
#include "daemon/core/engine_int.h"

int pv_engine_poll_job(struct pv_engine *e, struct pv_job **ret_job)
{
    return pv_jobqueue_poll(&e->node.jobs, ret_job);
}

void pv_engine_handle_job(struct pv_engine *e, struct pv_job_result *result, pv_ns now)
{
    const struct pv_part *owner;
    uint64_t tag;
    if (pv_jobqueue_take(&e->node.jobs, result->id, &owner, &tag) && owner->on_job != NULL)
        owner->on_job(pv_node_part(&e->node, owner), tag, result, now);
    pv_job_result_done(result);
    pv_engine_settle(e, now);
}
