/* SPDX-License-Identifier: MIT */
/* asked.c - what `why`, `status` and an unknown name say of chat. */
#include "chat/core/talk/asked.h"

#include <stdio.h>

#include "chat/core/rooms/rooms.h"
#include "chat/core/talk/chatlink.h"
#include "chat/core/talk/tell.h"

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

bool pv_asked_count(struct pv_chat *n, struct pv_asked_counts *ret_counts)
{
    const struct pv_chatop op = {.kind = PV_CHATOP_COUNTS};
    struct pv_chatop_result counts;
    int r = pv_chat_do(n, &op, &counts);
    *ret_counts =
        (struct pv_asked_counts){.unread = counts.unread, .queued = count_queued(n, &counts)};
    pv_chatop_result_done(&counts);
    return r == PV_OK;
}
