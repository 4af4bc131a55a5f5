/* SPDX-License-Identifier: MIT */
/*
 * chat_part.h - the part that is chatlink (chatlink.h): what that machine needs of peers, roster
 * and in-band messages, and what users and copies are told of it. Rooms and copies speak on the
 * same connections, by pv_chat.link. The commands are in messages.c.
 */
#pragma once

#include "chat/core/base/chatpart.h"

extern const struct pv_chatpart pv_chatpart_chat;

/* Do rules and [firewall] let the member chat with this node? For whoever takes what it wrote, by
 * its own connection or another's, from a copy, or in a room. chat: a struct pv_chat. */
bool pv_chat_may(const void *chat, const uint8_t *pk);
/* Somebody connected to PV_CHAT_PORT of this node. PV_ERR_REFUSED, PV_ERR_LIMIT: close it. */
PV_MUST_CHECK int pv_chat_part_accepted(struct pv_chat *n, const struct pv_addr *remote,
                                        uint32_t *ret_sid, pv_ns now);
/* Tells `status` why chat's database cannot be used. */
void pv_chat_part_show_off(const char *off, const struct pv_chat_page *st);
