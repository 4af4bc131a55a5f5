/* SPDX-License-Identifier: MIT */
/*
 * jobqueue.h - jobs on their way to the shell, and whose results come back to whom.
 *
 * A part submits a job with a tag of its own; the queue gives the job its id, hands it to the shell
 * in order, and tells by the id of a result which part the result is for. Not thread-safe.
 */
#ifndef PV_JOBQUEUE_H
#define PV_JOBQUEUE_H

#include "base/log.h"
#include "base/map.h"
#include "base/pv.h"
#include "daemon/core/jobs/job.h"

struct pv_part;
struct pv_jobqueue_item;
struct pv_jobqueue_wait;

enum {
    /* Jobs without a result; more are refused. Ours: the store works off some thousand a second. */
    PV_JOBQUEUE_MAX = 8192,
};

struct pv_jobqueue {
    const struct pv_log *log;
    struct pv_jobqueue_item *first, **tail;
    struct pv_map map;
    struct pv_jobqueue_wait *waits;
    uint64_t last_id;
};

void pv_jobqueue_init(struct pv_jobqueue *q, const struct pv_rng *rng, const struct pv_log *log);
/* Frees the jobs that nobody took, and forgets who waits. */
void pv_jobqueue_done(struct pv_jobqueue *q);

/* A new job, all fields zero; NULL without memory. The caller owns it. */
struct pv_job *pv_job_new(enum pv_job_kind kind);
/* Queues a job, which is taken in any case; its result goes to the owner's on_job() with tag.
 * False, logged: no memory, or PV_JOBQUEUE_MAX are under way; nothing will come back. */
bool pv_jobqueue_submit(struct pv_jobqueue *q, struct pv_job *job, const struct pv_part *owner,
                        uint64_t tag);
/* The same for what chat asks of the store (chatjob.h); chat is taken, and NULL fails. */
bool pv_jobqueue_submit_chat(struct pv_jobqueue *q, struct pv_chatjob *chat,
                             const struct pv_part *owner, uint64_t tag);
/* The next job for the shell, which owns it then. PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_jobqueue_poll(struct pv_jobqueue *q, struct pv_job **ret_job);
/* Whose result it is, once. False: nobody waits for it. */
PV_MUST_CHECK bool pv_jobqueue_take(struct pv_jobqueue *q, uint64_t id,
                                    const struct pv_part **ret_owner, uint64_t *ret_tag);

#endif /* PV_JOBQUEUE_H */
