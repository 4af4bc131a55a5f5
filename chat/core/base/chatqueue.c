/* SPDX-License-Identifier: MIT */
/* chatqueue.c - the jobs under way in one table, which keeps the order in which they came. */
#include "chat/core/base/chatqueue.h"

#include <stdio.h>
#include <stdlib.h>

void pv_chatqueue_result_done(struct pv_chatqueue_result *result)
{
    result->answer = pv_chatop_result_free(result->answer);
}

void pv_chatqueue_init(struct pv_chatqueue *q, const struct pv_rng *rng, const struct pv_log *log)
{
    *q = (struct pv_chatqueue){.log = log, .map = pv_map_make(rng, PV_CHATQUEUE_MAX)};
    pv_heap_init(&q->timers);
}

static void end_wait(struct pv_chatqueue *q, struct pv_chatwait *wait)
{
    if (q->next == wait)
        q->next = wait->hh.next;
    pv_heap_set(&q->timers, &wait->timer, PV_NEVER);
    PV_MAP_DEL(q->waits, wait);
}

static void free_wait(struct pv_chatwait *wait)
{
    pv_chatop_free(wait->job);
    free(wait);
}

/* Results that are still to come find nobody waiting and are dropped. */
void pv_chatqueue_done(struct pv_chatqueue *q)
{
    struct pv_chatwait *wait, *tmp;
    HASH_ITER(hh, q->waits, wait, tmp) {
        end_wait(q, wait);
        free_wait(wait);
    }
    pv_heap_done(&q->timers);
}

void *pv_chatqueue_add(struct pv_chatqueue *q, struct pv_chatop *job, pv_chatqueue_done_fn *done,
                       void *self, pv_ns deadline, size_t size)
{
    struct pv_chatwait *wait = job == NULL ? NULL : calloc(1, size);
    /* Its place among the timers first: setting one later must not need memory. */
    int status =
        wait == NULL ? PV_ERR_NOMEM : pv_heap_reserve(&q->timers, HASH_CNT(hh, q->waits) + 1);
    if (status == PV_OK) {
        wait->id = ++q->last_id;
        PV_MAP_ADD(&q->map, q->waits, id, wait, status);
    }
    if (status != PV_OK) {
        if (job != NULL)
            pv_log(q->log, PV_LOG_ERROR, "what=\"job not queued\" why=\"%s\"",
                   pv_strstatus(status));
        free(wait);
        pv_chatop_free(job);
        return NULL;
    }
    job->number = wait->id;
    wait->job = job;
    wait->done = done;
    wait->self = self;
    pv_heap_set(&q->timers, &wait->timer, deadline);
    if (q->next == NULL)
        q->next = wait;
    return wait;
}

bool pv_chatqueue_submit(struct pv_chatqueue *q, struct pv_chatop *job, pv_chatqueue_done_fn *done,
                         void *self, uint64_t tag)
{
    struct pv_chatwait *wait = pv_chatqueue_add(q, job, done, self, PV_NEVER, sizeof(*wait));
    if (wait != NULL)
        wait->tag = tag;
    return wait != NULL;
}

/* The wait stays until the result, as the job counts among those under way. */
void pv_chatqueue_forget(struct pv_chatqueue *q, const void *self,
                         void (*end)(struct pv_chatwait *wait))
{
    for (struct pv_chatwait *wait = q->waits; wait != NULL; wait = wait->hh.next) {
        if (wait->self != self)
            continue;
        if (end != NULL)
            end(wait);
        wait->done = NULL;
        wait->self = NULL;
        pv_heap_set(&q->timers, &wait->timer, PV_NEVER);
    }
}

int pv_chatqueue_poll(struct pv_chatqueue *q, struct pv_chatop **ret_job)
{
    struct pv_chatwait *wait = q->next;
    if (wait == NULL)
        return PV_ERR_AGAIN;
    *ret_job = wait->job;
    wait->job = NULL;
    q->next = wait->hh.next;
    return PV_OK;
}

bool pv_chatqueue_handle(struct pv_chatqueue *q, struct pv_chatqueue_result *result, pv_ns now)
{
    struct pv_chatwait *wait;
    PV_MAP_FIND(&q->map, q->waits, &result->id, sizeof(result->id), wait);
    if (wait == NULL)
        return false;
    end_wait(q, wait);
    if (wait->done != NULL)
        wait->done(wait, result, now);
    free_wait(wait);
    return true;
}

void pv_chatqueue_handle_timeout(struct pv_chatqueue *q, pv_ns now)
{
    struct pv_heap_node *node;
    while ((node = pv_heap_pop_due(&q->timers, now)) != NULL) {
        struct pv_chatwait *wait = PV_CONTAINER_OF(node, struct pv_chatwait, timer);
        bool is_out = wait->late = wait->job == NULL;
        wait->done(wait, NULL, now);
        if (is_out)
            continue;
        end_wait(q, wait); /* the shell never hears of it */
        free_wait(wait);
    }
}

pv_ns pv_chatqueue_next_timeout(const struct pv_chatqueue *q)
{
    return pv_heap_next(&q->timers);
}
