/* SPDX-License-Identifier: MIT */
/*
 * notifier.h - the part that runs a program of the user's choice for each message that comes in
 * ([chat] notify). The node runs the program; here is only how many runs may
 * wait, so that a slow program costs notifications and not memory.
 */
#pragma once

#include "chat/core/base/chatpart.h"

enum {
    /* Ours: messages whose program has not ended; the user is not told of more by it. */
    PV_NOTIFIER_MAX_WAITING = 64,
};

struct pv_chatjson_message;
struct pv_notifier; /* opaque */

extern const struct pv_chatpart pv_chatpart_notifier;

/* A message came in and is stored; msg->room NULL: it is to this node alone. NULL for notifier is
 * fine and does nothing. */
void pv_notifier_message(struct pv_notifier *notifier, const struct pv_chatjson_message *msg,
                         pv_ns now);
