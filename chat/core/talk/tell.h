/* SPDX-License-Identifier: MIT */
/*
 * tell.h - what control clients are told of messages: listeners (`chat`) of those that come and of
 * how far their own got, whoever sent one of its being stored. Messages of rooms and those to one
 * member look the same from here on.
 */
#pragma once

#include "chat/core/base/chat.h"
#include "chat/core/base/chatop.h"
#include "chat/core/rooms/rooms.h"

struct pv_chatjson_message;

/* Is the node no member any more, or another network's? A message that waits for it is delivered
 * only if it comes back. */
bool pv_tell_is_gone(const struct pv_chat *n, const uint8_t *pk);
/* Means the name another machine than this key's, which has it or had it last, or may it at any
 * time, since no machine of this network has the key? So it does while this node is in none. The
 * words and files of one must not be taken for the other's. */
bool pv_tell_is_anothers(const struct pv_chat *n, const char *name, const uint8_t *pk);
/* The member with this key, with its past (chat/node.h). False: no member has it. */
bool pv_tell_story(const struct pv_chat *n, const uint8_t *pk,
                   struct pv_overlay_member *ret_member);
/* The names that a shown message borrows. */
struct pv_tell_names {
    char own[PV_NAME_BUF], who[PV_NAME_BUF], room[PV_ROOMS_NAME_BUF];
};
/* A stored message as p2pvpnctl shows it: the names of both ends. Borrows from rec and names, which
 * it fills. */
struct pv_chatjson_message pv_tell_shown(const struct pv_chat *n, const struct pv_chat_record *rec,
                                         struct pv_tell_names *names);
/* A message that came is stored now, or one that goes: tells listeners, and the notifier of one
 * that came. Where somebody reads along, it counts as read. */
void pv_tell_message(struct pv_chat *n, const struct pv_chat_record *rec, pv_ns now);
/* A message of this node got to rec->state; result: several did. */
void pv_tell_state(struct pv_chat *n, const struct pv_chat_record *rec, pv_ns now);
void pv_tell_states(struct pv_chat *n, const struct pv_chatop_result *result, pv_ns now);
/* Messages that came were read here, by whichever client: the others do not count them any more. */
void pv_tell_read(struct pv_chat *n, const struct pv_chat_record *msgs, size_t count, pv_ns now);
/* Answers a `send`, and tells listeners: it is stored. online: somebody can get it now. denied: of
 * the room, those whom a rule keeps from it, [{name, rule}]; taken; NULL: nobody. */
void pv_tell_sent(struct pv_chat *n, uint64_t handle, const struct pv_chat_record *rec, bool online,
                  json_t *denied, pv_ns now);
/* Answers a `send` whose id is that of another text: nothing is sent. */
void pv_tell_taken(struct pv_chat *n, uint64_t handle);
/* Returns true if chat's database cannot be used, and answers the command that this is why. */
bool pv_tell_off(struct pv_chat *n, const char *what, uint64_t handle);
