/* SPDX-License-Identifier: MIT */
/* A program of the user's choice is run for each message that comes in ([chat] notify). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/engine_int.h"

enum {
    MAX_WAITING = 64, /* messages whose program has not ended; more are not told */
};

void pv_engine_notify(struct pv_engine *e, const struct pv_ctlapi_message *msg, const char *room)
{
    if (!e->notify)
        return;
    if (e->n_notifying >= MAX_WAITING) {
        pv_log(e->node.log, PV_LOG_WARN,
               "from=%s what=\"no notification\" why=\"the program is too slow\"", msg->from);
        return;
    }
    struct pv_job *job = pv_job_new(PV_JOB_NOTIFY);
    struct pv_job_notify *n = calloc(1, sizeof(*n));
    if (n != NULL)
        n->text = strdup(msg->text);
    if (job == NULL || n == NULL || n->text == NULL) {
        free(n);
        free(job);
        return;
    }
    snprintf(n->from, sizeof(n->from), "%s", msg->from);
    snprintf(n->to, sizeof(n->to), "%s", msg->to);
    snprintf(n->room, sizeof(n->room), "%s", room);
    pv_chat_id_format(msg->id, n->id);
    n->time_ms = msg->time_ms;
    job->u.notify = n;
    e->n_notifying += pv_engine_job(e, job, PV_JP_NOTIFY, 0);
}

void pv_engine_notified(struct pv_engine *e, const struct pv_job_result *result)
{
    e->n_notifying--;
    if (result->status != PV_OK)
        pv_log(e->node.log, PV_LOG_WARN, "what=\"notification failed\" why=\"%s\"", result->error);
}
