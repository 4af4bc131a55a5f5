/* SPDX-License-Identifier: MIT */
/* job.c - who owns what in jobs and their results: freeing one frees all below it. */
#include "daemon/core/jobs/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"

/* --- rooms --------------------------------------------------------------------------------- */

/* Lists that were filled in part are freed too: what was not reached is NULL. */
void pv_room_raws_free(struct pv_room_raw *raws, size_t n)
{
    for (size_t i = 0; raws != NULL && i < n; i++)
        free(raws[i].bytes);
    free(raws);
}

void pv_room_texts_free(struct pv_room_text *texts, size_t n)
{
    for (size_t i = 0; texts != NULL && i < n; i++)
        free(texts[i].text);
    free(texts);
}

/* NULL is fine; returns NULL */
static struct pv_roomjob *free_roomjob(struct pv_roomjob *job)
{
    if (job == NULL)
        return NULL;
    pv_room_raws_free(job->records, job->n_records);
    free(job->forget);
    pv_room_texts_free(job->texts, job->n_texts);
    free(job);
    return NULL;
}

static struct pv_roomjob_result *free_room_result(struct pv_roomjob_result *result)
{
    if (result == NULL)
        return NULL;
    for (size_t i = 0; i < result->n_rooms; i++)
        pv_room_raws_free(result->rooms[i].records, result->rooms[i].n_records);
    free(result->rooms);
    pv_room_texts_free(result->texts, result->n_texts);
    free(result);
    return NULL;
}

/* --- chat ---------------------------------------------------------------------------------- */

struct pv_chatjob *pv_chatjob_new(enum pv_chatjob_kind kind)
{
    struct pv_chatjob *job = calloc(1, sizeof(*job));
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
struct pv_chatjob *pv_chatjob_free(struct pv_chatjob *job)
{
    if (job == NULL)
        return NULL;
    records_free(job->msgs, job->n_msgs);
    free(job->ids);
    free_roomjob(job->room);
    free(job);
    return NULL;
}

/* Results of other kinds have none, nor has one whose job could not begin. */
struct pv_chatjob_result *pv_chatjob_result_free(struct pv_chatjob_result *result)
{
    if (result == NULL)
        return NULL;
    records_free(result->msgs, result->n_msgs);
    free(result->backlog);
    free_room_result(result->room);
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

/* --- all ----------------------------------------------------------------------------------- */

struct pv_job *pv_job_free(struct pv_job *job)
{
    if (job == NULL)
        return NULL;
    switch (job->kind) {
    case PV_JOB_PUT_STATEMENTS:
        free(job->u.put_statements.items);
        break;
    case PV_JOB_SET_META:
        free(job->u.set_meta.value);
        break;
    case PV_JOB_IFACE_UP:
        free(job->u.iface);
        break;
    case PV_JOB_NETPLAN:
        free(job->u.netplan);
        break;
    case PV_JOB_CHAT:
        pv_chatjob_free(job->u.chat);
        break;
    case PV_JOB_NAMES:
        free(job->u.names.bytes);
        break;
    case PV_JOB_NOTIFY:
        if (job->u.notify != NULL)
            free(job->u.notify->text);
        free(job->u.notify);
        break;
        /* These own nothing. They are listed, so that the compiler asks about each new kind. */
    case PV_JOB_SET_NETWORK:
    case PV_JOB_FORGET_NETWORK:
    case PV_JOB_PUT_ENDPOINTS:
    case PV_JOB_KEEP_ROOT:
    case PV_JOB_SAVE_KEYS:
    case PV_JOB_RESOLVE:
    case PV_JOB_IFACE_DOWN:
    case PV_JOB_PORTMAP:
    case PV_JOB_OWNER:
    case PV_JOB_KINDS:
        break;
    }
    /* Some jobs carry secrets: the seed of a network, for one. */
    pv_wipe(job, sizeof(*job));
    free(job);
    return NULL;
}

void pv_job_root_aside(const char *file, const uint8_t pk[static PV_SIGN_PK_LEN], char *ret_path,
                       size_t size)
{
    enum {
        MARK = 12, /* ours: characters; 72 bits of a key, so that no two keys meet in one file */
    };
    snprintf(ret_path, size, "%s.%.*s", file, MARK, PV_KEY_STR(pk));
}

void pv_job_result_done(struct pv_job_result *result)
{
    result->chat = pv_chatjob_result_free(result->chat);
}
