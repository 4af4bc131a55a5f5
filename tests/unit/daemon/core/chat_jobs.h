/* SPDX-License-Identifier: MIT */
/* chat_jobs.h - the store's side of a queue of jobs (jobqueue.h) that has jobs of chat alone. */
#pragma once

#include "daemon/core/chatjobs/chatjob.h"
#include "daemon/core/jobs/jobqueue.h"

/* The next job, which the test frees, and the id to bring back with its result. */
static inline bool take_chat_job(struct pv_jobqueue *q, uint64_t *ret_id,
                                 struct pv_chatjob **ret_job)
{
    struct pv_job *job;
    if (pv_jobqueue_poll(q, &job) != PV_OK)
        return false;
    *ret_id = job->id;
    *ret_job = pv_chatjob_of(job);
    job->u.opaque.request = NULL;
    pv_job_free(job);
    return true;
}

/* Result stays the test's. */
static inline void answer_chat_job(struct pv_jobqueue *q, uint64_t id, int status,
                                   struct pv_chatjob_result *result, pv_ns now)
{
    (void)pv_jobqueue_handle(
        q, &(struct pv_job_result){.id = id, .status = status, .answer = pv_chatjob_answer(result)},
        now);
}
