/* SPDX-License-Identifier: MIT */
/* notifier.c - makes one job of each message that came in, and counts those that have not ended. */
#include "daemon/core/chat/notifier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/node/node.h"
#include "daemon/core/node/statuspage.h"
#include "proto/chat/chatjson.h"

struct pv_notifier {
    struct pv_node *node;
    bool enabled;                 /* the configuration names a program */
    char error[PV_JOB_ERROR_MAX]; /* of its last run; "" = none */
    struct {
        bool used;
        char from[PV_NAME_BUF];
    } out[PV_NOTIFIER_MAX_WAITING]; /* jobs without a result; a job's tag is its place */
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct pv_notifier *n = part;
    n->enabled = cfg->notify;
    return PV_OK;
}

/* The message as the program is told it; NULL without memory. */
static struct pv_job *make_job(const struct pv_chatjson_message *msg)
{
    struct pv_job *job = pv_job_new(PV_JOB_NOTIFY);
    if (job == NULL)
        return NULL;
    job->u.notify = calloc(1, sizeof(*job->u.notify));
    if (job->u.notify != NULL)
        job->u.notify->text = strdup(msg->text);
    if (job->u.notify == NULL || job->u.notify->text == NULL)
        return pv_job_free(job);
    struct pv_job_notify *n = job->u.notify;
    /* No name begins so: a program that does what a peer says must not do it for anybody else. */
    snprintf(n->from, sizeof(n->from), "%s%s", msg->unproven ? "?" : "", msg->from);
    snprintf(n->to, sizeof(n->to), "%s", msg->to);
    snprintf(n->room, sizeof(n->room), "%s", msg->room == NULL ? "" : msg->room);
    _Static_assert(sizeof(n->id) >= PV_CHAT_ID_TEXT_BUF, "every id fits");
    pv_chat_id_format(msg->id, n->id);
    n->time_ms = msg->time_ms;
    return job;
}

/* A place for one more of this sender; PV_NOTIFIER_MAX_WAITING: there is none. One that writes
 * without end must not keep the user from hearing of others: it may have as many as it leaves free,
 * so each further one that does leaves half of what the last one left. */
static size_t place_for(const struct pv_notifier *n, const char *from)
{
    size_t place = PV_NOTIFIER_MAX_WAITING, free_places = 0, of_sender = 0;
    for (size_t i = 0; i < PV_NOTIFIER_MAX_WAITING; i++) {
        if (!n->out[i].used) {
            place = i;
            free_places++;
            continue;
        }
        of_sender += strcmp(n->out[i].from, from) == 0;
    }
    return of_sender < free_places ? place : PV_NOTIFIER_MAX_WAITING;
}

/* A program that fails does so with each message, so the lines about it have a rate. */
static void on_job(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct pv_notifier *n = wait->self;
    char more[PV_NODE_MORE];
    n->out[wait->tag].used = false;
    snprintf(n->error, sizeof(n->error), "%s", result->status == PV_OK ? "" : result->error);
    if (result->status != PV_OK &&
        pv_node_may_log(n->node, PV_FROM_NOTIFICATIONS, result->error, now, more))
        pv_log(n->node->log, PV_LOG_WARN, "what=\"notification failed\" why=\"%s\"%s",
               result->error, more);
}

void pv_notifier_message(struct pv_notifier *n, const struct pv_chatjson_message *msg, pv_ns now)
{
    char more[PV_NODE_MORE];
    if (n == NULL || !n->enabled)
        return;
    size_t place = place_for(n, msg->from);
    if (place == PV_NOTIFIER_MAX_WAITING) {
        if (pv_node_may_log(n->node, PV_FROM_NOTIFICATIONS, "too slow", now, more))
            pv_log(n->node->log, PV_LOG_WARN,
                   "from=%s what=\"no notification\" why=\"the program is too slow\"%s", msg->from,
                   more);
        return;
    }
    struct pv_job *job = make_job(msg);
    /* Without memory the message is in the inbox all the same: only the program does not run. */
    if (job == NULL)
        return;
    snprintf(n->out[place].from, sizeof(n->out[place].from), "%s", msg->from);
    n->out[place].used = pv_jobqueue_submit(&n->node->jobs, job, on_job, n, place);
}

/* The user who waits for a word on the desktop does not read root's journal. */
static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct pv_notifier *n = part;
    if (n->error[0] != '\0')
        pv_statuspage_minor(st, "the program of [chat] notify failed the last time: ", n->error);
}

const struct pv_part pv_part_notifier = {
    .name = "notifier",
    .size = PV_PART_SIZE(struct pv_notifier),
    .start = start,
    .status = show,
};
