/* SPDX-License-Identifier: MIT */
/*
 * chat_part.h - the part that is chatlink (chatlink.h): what that machine needs of peers, roster
 * and in-band messages, and what users and copies are told of it. Rooms and copies speak on the
 * same connections, by node.chat.link. The commands are in messages.c.
 */
#pragma once

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_chat;

/* Do rules and [firewall] let the member chat with this node? For whoever takes what it wrote, by
 * its own connection or another's, from a copy, or in a room. node: a struct pv_node. */
bool pv_chat_may(const void *node, const uint8_t *pk);
