/* SPDX-License-Identifier: MIT */
/* chatop.c - who owns what in jobs of chat and their results. */
#include "chat/core/base/chatop.h"

#include <stdlib.h>
#include <string.h>

#include "chat/core/base/roomop.h"

struct pv_chatop *pv_chatop_new(enum pv_chatop_kind kind)
{
    struct pv_chatop *job = calloc(1, sizeof(*job));
    if (job != NULL)
        job->kind = kind;
    return job;
}

/* Also of a list whose allocation failed, so that callers need not look. */
static void records_free(struct pv_chat_record *recs, size_t n)
{
    for (size_t i = 0; recs != NULL && i < n; i++)
        free(recs[i].text);
    free(recs);
}

/* The control thread frees a job after its result was taken: the store's thread only borrows it. */
struct pv_chatop *pv_chatop_free(struct pv_chatop *job)
{
    if (job == NULL)
        return NULL;
    records_free(job->msgs, job->n_msgs);
    free(job->ids);
    pv_roomop_free(job->room);
    free(job->value);
    free(job);
    return NULL;
}

/* Results of other kinds have none, nor has one whose job could not begin. */
struct pv_chatop_result *pv_chatop_result_free(struct pv_chatop_result *result)
{
    if (result == NULL)
        return NULL;
    records_free(result->msgs, result->n_msgs);
    free(result->backlog);
    pv_roomop_result_free(result->room);
    for (size_t i = 0; i < result->n_values; i++)
        free(result->values[i].bytes);
    free(result->values);
    free(result);
    return NULL;
}

/* *dst is written last: a copy that fails leaves nothing to free. */
int pv_chat_record_copy(struct pv_chat_record *dst, const struct pv_chat_record *src)
{
    char *text = NULL;
    if (src->text != NULL) {
        text = strdup(src->text);
        if (text == NULL)
            return PV_ERR_NOMEM;
    }
    *dst = *src;
    dst->text = text;
    return PV_OK;
}

void pv_chat_record_done(struct pv_chat_record *rec)
{
    free(rec->text);
    memset(rec, 0, sizeof(*rec)); /* so that a second end does no harm */
}
