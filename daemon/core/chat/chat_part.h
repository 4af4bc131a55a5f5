/* SPDX-License-Identifier: MIT */
/*
 * chat_part.h - the part around chatlink (chatlink.h): tells it who can be reached, carries its
 * streams and store jobs, and tells control clients what it has to say. Rooms and copies speak on
 * the same connections, by node.chatlink. The commands are in messages.h.
 */
#ifndef PV_CHAT_PART_H
#define PV_CHAT_PART_H

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_chat;

#endif /* PV_CHAT_PART_H */
