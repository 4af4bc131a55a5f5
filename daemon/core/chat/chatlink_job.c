/* SPDX-License-Identifier: MIT */
/* chatlink_job.c - store jobs and events of chatlink: their queues. */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/chat/chatlink_int.h"

/* Takes job in any case. The entry stays until the result, when job itself is long with the store:
 * so it has a copy of what the result is handled by. The limit bounds what a store that hangs lets
 * pile up. */
int pv_chatlink_job_emit(struct pv_chatlink *link, struct pv_chatjob *job, pv_ns now,
                         struct pv_chatlink_job **ret_job)
{
    if (job == NULL)
        return PV_ERR_NOMEM;
    bool full = link->n_jobs >= PV_CHATLINK_MAX_JOBS;
    struct pv_chatlink_job *entry = full ? NULL : calloc(1, sizeof(*entry));
    if (entry == NULL) {
        pv_chatjob_free(job);
        return full ? PV_ERR_LIMIT : PV_ERR_NOMEM;
    }
    entry->tag = ++link->last_tag;
    entry->kind = job->kind;
    memcpy(entry->pk, job->peer, sizeof(entry->pk));
    entry->deadline = now + PV_S(PV_CHATLINK_JOB_S);
    entry->out = job;
    *link->jobs_end = entry;
    link->jobs_end = &entry->next;
    link->n_jobs++;
    if (ret_job != NULL)
        *ret_job = entry;
    return PV_OK;
}

struct pv_chatlink_job *pv_chatlink_job_take(struct pv_chatlink *link, uint64_t tag)
{
    /* Results come in the order of the jobs, so the entry is near the front. */
    for (struct pv_chatlink_job **p = &link->jobs; *p != NULL; p = &(*p)->next) {
        struct pv_chatlink_job *entry = *p;
        if (entry->tag != tag)
            continue;
        *p = entry->next;
        if (*p == NULL)
            link->jobs_end = p;
        link->n_jobs--;
        return entry;
    }
    return NULL;
}

struct pv_chatlink_job *pv_chatlink_job_free(struct pv_chatlink_job *job)
{
    pv_chatjob_free(job->out);
    free(job->acks);
    free(job);
    return NULL;
}

/* An entry whose job was taken stays in the list until its result comes; `out` tells the others. */
int pv_chatlink_poll_job(struct pv_chatlink *link, uint64_t *ret_tag, struct pv_chatjob **ret_job)
{
    for (struct pv_chatlink_job *entry = link->jobs; entry != NULL; entry = entry->next) {
        if (entry->out == NULL)
            continue;
        *ret_tag = entry->tag;
        *ret_job = entry->out;
        entry->out = NULL;
        return PV_OK;
    }
    return PV_ERR_AGAIN;
}

/* Takes what msg owns in any case; without memory the event is not told. */
void pv_chatlink_event_push(struct pv_chatlink *link, enum pv_chatlink_reader reader,
                            enum pv_chatlink_event_type type, uint64_t tag, int status,
                            struct pv_chat_record *msg)
{
    struct pv_chatlink_event_item *e = calloc(1, sizeof(*e));
    if (e == NULL) {
        pv_chat_record_done(msg);
        return;
    }
    e->event.type = type;
    e->event.tag = tag;
    e->event.status = status;
    e->event.msg = *msg;
    memset(msg, 0, sizeof(*msg));
    *link->events[reader].end = e;
    link->events[reader].end = &e->next;
}

void pv_chatlink_event_of_peer(struct pv_chatlink *link, enum pv_chatlink_reader reader,
                               enum pv_chatlink_event_type type, const uint8_t *pk)
{
    struct pv_chat_record rec = {.text = NULL};
    memcpy(rec.peer, pk, sizeof(rec.peer));
    pv_chatlink_event_push(link, reader, type, 0, PV_OK, &rec);
}

int pv_chatlink_poll_event(struct pv_chatlink *link, enum pv_chatlink_reader reader,
                           struct pv_chatlink_event *ret_event)
{
    struct pv_chatlink_event_item *e = link->events[reader].first;
    if (e == NULL)
        return PV_ERR_AGAIN;
    link->events[reader].first = e->next;
    if (e->next == NULL)
        link->events[reader].end = &link->events[reader].first;
    *ret_event = e->event;
    free(e);
    return PV_OK;
}
