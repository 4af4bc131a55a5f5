/* SPDX-License-Identifier: MIT */
/* chatlink_events.c - what chatlink has to say to each of its readers, in order. */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/chat/chatlink_int.h"

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
