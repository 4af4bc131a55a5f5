/* SPDX-License-Identifier: MIT */
/* chat_jobs.h - the store's side of chat's queue of jobs (chatqueue.h). */
#pragma once

#include "chat/core/base/chatqueue.h"

/* The next job, which the test frees, and the id to bring back with its result. */
static inline bool take_chat_job(struct pv_chatqueue *q, uint64_t *ret_id,
                                 struct pv_chatop **ret_job)
{
    if (pv_chatqueue_poll(q, ret_job) != PV_OK)
        return false;
    *ret_id = (*ret_job)->number;
    return true;
}

/* Result stays the test's. */
static inline void answer_chat_job(struct pv_chatqueue *q, uint64_t id, int status,
                                   struct pv_chatop_result *result, pv_ns now)
{
    (void)pv_chatqueue_handle(
        q, &(struct pv_chatqueue_result){.id = id, .status = status, .answer = result}, now);
}
