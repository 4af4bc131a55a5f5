/* SPDX-License-Identifier: MIT */
/* notifier.c - has the program run for each message that came in, and counts those that have not
 * ended. */
#include "chat/core/talk/notifier.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "chat/core/base/chat.h"
#include "chat/proto/chatjson.h"

struct pv_notifier {
    struct pv_chat *chat;
    bool enabled;                   /* the configuration names a program */
    char error[PV_OVERLAY_WHY_BUF]; /* of its last run; "" = none */
    struct {
        bool used;
        char from[PV_NAME_BUF];
    } out[PV_NOTIFIER_MAX_WAITING]; /* jobs without a result; a job's tag is its place */
};

static int start(void *part, const struct pv_chatpart_config *cfg, pv_ns now)
{
    struct pv_notifier *n = part;
    n->enabled = n->chat->given.notify;
    return PV_OK;
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
static void on_notified(void *part, uint64_t tag, int status, const char *why, pv_ns now)
{
    struct pv_notifier *n = part;
    char more[PV_CHAT_MORE];
    if (tag >= PV_NOTIFIER_MAX_WAITING)
        return;
    n->out[tag].used = false;
    snprintf(n->error, sizeof(n->error), "%s", status == PV_OK ? "" : why);
    if (status != PV_OK && pv_chat_may_log(n->chat, PV_CHAT_FROM_NOTIFICATIONS, why, now, more))
        pv_log(n->chat->log, PV_LOG_WARN, "what=\"notification failed\" why=\"%s\"%s", why, more);
}

void pv_notifier_message(struct pv_notifier *n, const struct pv_chatjson_message *msg, pv_ns now)
{
    char more[PV_CHAT_MORE];
    if (n == NULL || !n->enabled)
        return;
    size_t place = place_for(n, msg->from);
    if (place == PV_NOTIFIER_MAX_WAITING) {
        if (pv_chat_may_log(n->chat, PV_CHAT_FROM_NOTIFICATIONS, "too slow", now, more))
            pv_log(n->chat->log, PV_LOG_WARN,
                   "from=%s what=\"no notification\" why=\"the program is too slow\"%s", msg->from,
                   more);
        return;
    }
    /* No name begins so: a program that does what a peer says must not do it for anybody else. */
    const char *from = PV_STR("%s%s", msg->unproven ? "?" : "", msg->from);
    const struct pv_overlay_notification of = {.from = from,
                                               .to = msg->to,
                                               .room = msg->room == NULL ? "" : msg->room,
                                               .id = PV_CHAT_ID_STR(msg->id),
                                               .text = msg->text,
                                               .time_ms = msg->time_ms};
    snprintf(n->out[place].from, sizeof(n->out[place].from), "%s", msg->from);
    n->out[place].used = true;
    /* Without memory the message is in the inbox all the same: only the program does not run. */
    if (!n->chat->overlay->notify(n->chat->overlay->node, &of, place, now))
        n->out[place].used = false;
}

/* The user who waits for a word on the desktop does not read root's journal. */
static void show(void *part, const struct pv_chat_page *st, pv_ns now)
{
    const struct pv_notifier *n = part;
    if (n->error[0] != '\0')
        st->minor(st->page, "the program of [chat] notify failed the last time: ", n->error);
}

const struct pv_chatpart pv_chatpart_notifier = {
    .name = "notifier",
    .size = PV_CHATPART_SIZE(struct pv_notifier),
    .start = start,
    .on_notified = on_notified,
    .status = show,
};
