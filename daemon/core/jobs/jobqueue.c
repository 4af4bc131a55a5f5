/* SPDX-License-Identifier: MIT */
/* jobqueue.c - a list of jobs in order, and a map from their ids to the parts that wait. */
#include "daemon/core/jobs/jobqueue.h"

#include <stdlib.h>

struct pv_jobqueue_item {
    struct pv_jobqueue_item *next;
    struct pv_job *job;
};

struct pv_jobqueue_wait {
    uint64_t id;
    const struct pv_part *owner;
    uint64_t tag;
    UT_hash_handle hh;
};

void pv_jobqueue_init(struct pv_jobqueue *q, const struct pv_rng *rng, const struct pv_log *log)
{
    *q = (struct pv_jobqueue){.log = log, .map = pv_map_make(rng, PV_JOBQUEUE_MAX)};
    q->tail = &q->first;
}

/* Results that are still to come find nobody waiting and are dropped. */
void pv_jobqueue_done(struct pv_jobqueue *q)
{
    struct pv_job *job;
    struct pv_jobqueue_wait *w, *tmp;
    while (pv_jobqueue_poll(q, &job) == PV_OK)
        pv_job_free(job);
    HASH_ITER(hh, q->waits, w, tmp)
    {
        PV_MAP_DEL(q->waits, w);
        free(w);
    }
}

struct pv_job *pv_job_new(enum pv_job_kind kind)
{
    struct pv_job *job = calloc(1, sizeof(*job));
    if (job != NULL)
        job->kind = kind;
    return job;
}

bool pv_jobqueue_submit(struct pv_jobqueue *q, struct pv_job *job, const struct pv_part *owner,
                        uint64_t tag)
{
    struct pv_jobqueue_item *item = malloc(sizeof(*item));
    struct pv_jobqueue_wait *wait = calloc(1, sizeof(*wait));
    int status = PV_ERR_NOMEM;
    /* The owner waits under an id, not by pointer: a result may come back after the part's reason
     * for it has gone. */
    if (item != NULL && wait != NULL) {
        *wait = (struct pv_jobqueue_wait){.id = ++q->last_id, .owner = owner, .tag = tag};
        PV_MAP_ADD(&q->map, q->waits, id, wait, status);
    }
    if (status != PV_OK) {
        pv_log(q->log, PV_LOG_ERROR, "what=\"job not queued\" why=\"%s\"", pv_strstatus(status));
        free(item);
        free(wait);
        pv_job_free(job);
        return false;
    }
    job->id = wait->id;
    *item = (struct pv_jobqueue_item){.job = job};
    *q->tail = item;
    q->tail = &item->next;
    return true;
}

/* The job is consumed in any case, so callers have nothing to free. */
bool pv_jobqueue_submit_chat(struct pv_jobqueue *q, struct pv_chatjob *chat,
                             const struct pv_part *owner, uint64_t tag)
{
    struct pv_job *job = chat == NULL ? NULL : pv_job_new(PV_JOB_CHAT);
    if (job == NULL) {
        pv_chatjob_free(chat);
        return false;
    }
    job->u.chat = chat;
    return pv_jobqueue_submit(q, job, owner, tag);
}

int pv_jobqueue_poll(struct pv_jobqueue *q, struct pv_job **ret_job)
{
    struct pv_jobqueue_item *item = q->first;
    if (item == NULL)
        return PV_ERR_AGAIN;
    q->first = item->next;
    if (q->first == NULL)
        q->tail = &q->first;
    *ret_job = item->job;
    free(item);
    return PV_OK;
}

bool pv_jobqueue_take(struct pv_jobqueue *q, uint64_t id, const struct pv_part **ret_owner,
                      uint64_t *ret_tag)
{
    struct pv_jobqueue_wait *wait;
    PV_MAP_FIND(&q->map, q->waits, &id, sizeof(id), wait);
    if (wait == NULL)
        return false;
    *ret_owner = wait->owner;
    *ret_tag = wait->tag;
    PV_MAP_DEL(q->waits, wait);
    free(wait);
    return true;
}
