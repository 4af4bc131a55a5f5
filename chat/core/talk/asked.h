/* SPDX-License-Identifier: MIT */
/* asked.h - what the node may ask chat for its own clients: for `why`, `status`, an unknown name.
 */
#pragma once

#include "chat/core/base/chat.h"
#include "proto/local/ctlcmd.h"

/* Messages that nobody here has read, and messages that wait for members. */
struct pv_asked_counts {
    uint64_t unread, queued;
};

/* Returns true if messages to the member wait although it is there, and says why in a sentence. */
bool pv_asked_held(const struct pv_chat *n, const struct pv_overlay_member *m,
                   char ret_why[static PV_CTLAPI_ERROR_BUF]);
/* Returns true if the text, which names no peer, names a room. */
bool pv_asked_is_room(const struct pv_chat *n, const char *text);
/* Counts messages. Returns false if the store failed. */
bool pv_asked_count(struct pv_chat *n, struct pv_asked_counts *ret_counts);
