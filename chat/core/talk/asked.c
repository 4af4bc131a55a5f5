/* SPDX-License-Identifier: MIT */
/* asked.c - what `why`, `status` and an unknown name say of chat. */
#include "chat/core/talk/asked.h"

#include <stdio.h>

#include "chat/core/rooms/rooms.h"
#include "chat/core/talk/chatlink.h"
#include "chat/core/talk/tell.h"

#define COUNTS_WAIT PV_S(2) /* ours: `status` waits for the counts of messages */

/* One COUNTS job. */
struct counting {
    struct pv_chatwait wait;
    const struct pv_chat *chat;
    pv_asked_counted *done;
};

static const char *why_later(enum pv_chat_later held)
{
    return held == PV_CHAT_LATER_DISK ? "its disk is nearly full"
           : held == PV_CHAT_LATER_RULES
               ? "a rule, or its [firewall], denies it chat from here"
               : "as many as it takes from one are unread there, or stored";
}

bool pv_asked_held(const struct pv_chat *n, const struct pv_overlay_member *m,
                   char ret_why[static PV_CTLAPI_ERROR_BUF])
{
    enum pv_chat_later held = pv_chatlink_held(n->link, m->key);
    if (held == PV_CHAT_LATER_SILENT)
        snprintf(ret_why, PV_CTLAPI_ERROR_BUF,
                 "messages are queued: %s's machine answers no chat from here: its [firewall], or "
                 "another one there, keeps it out",
                 m->name);
    else if (held != PV_CHAT_LATER_NO)
        snprintf(ret_why, PV_CTLAPI_ERROR_BUF,
                 "messages are queued: %s's machine takes no more from you for now (%s)", m->name,
                 why_later(held));
    return held != PV_CHAT_LATER_NO;
}

bool pv_asked_is_room(const struct pv_chat *n, const char *text)
{
    return n->rooms != NULL && pv_rooms_find(n->rooms, text, true) != NULL;
}

/* Messages for machines that are no longer members are left out. The history says so of each, and
 * nobody can do anything about it. */
static uint64_t count_queued(const struct pv_chat *n, const struct pv_chatop_result *chat)
{
    uint64_t queued = 0;
    for (size_t i = 0; i < chat->n_backlog; i++) {
        if (!pv_tell_is_gone(n, chat->backlog[i].peer))
            queued += chat->backlog[i].queued;
    }
    return queued;
}

static void take_counts(struct pv_chatwait *wait, struct pv_chatqueue_result *result, pv_ns now)
{
    const struct counting *c = PV_CONTAINER_OF(wait, struct counting, wait);
    if (wait->late && result != NULL)
        return; /* done was called */
    const struct pv_chatop_result *chat = pv_chatop_result_of(result);
    struct pv_asked_counts counts;
    bool good = result != NULL && result->status == PV_OK && chat != NULL;
    if (good)
        counts =
            (struct pv_asked_counts){.unread = chat->unread, .queued = count_queued(c->chat, chat)};
    c->done(wait->self, wait->tag, good ? &counts : NULL, now);
}

bool pv_asked_count(struct pv_chat *n, pv_asked_counted *done, void *self, uint64_t tag, pv_ns now)
{
    struct counting *c = pv_chatqueue_add(&n->jobs, pv_chatop_new(PV_CHATOP_COUNTS), take_counts,
                                          self, now + COUNTS_WAIT, sizeof(*c));
    if (c == NULL)
        return false;
    c->wait.tag = tag;
    c->chat = n;
    c->done = done;
    return true;
}
