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
    const struct pv_chatlink_event event = {
        .type = type, .tag = tag, .status = status, .msg = *msg};
    if (pv_fifo_put(&link->events[reader], &event, sizeof(event)) != PV_OK)
        pv_chat_record_done(msg);
    memset(msg, 0, sizeof(*msg));
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
    return pv_fifo_take(&link->events[reader], ret_event);
}
