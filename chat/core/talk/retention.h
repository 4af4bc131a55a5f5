/* SPDX-License-Identifier: MIT */
/*
 * retention.h - the part that keeps the history within its limits: it has the store delete what is
 * too old or too much ([chat] keep, max-size), at the start and every hour, and serves the commands
 * history clear, mute and unmute.
 *
 * Muting is local and silent: what the peer (in rooms, too) or the room says is stored as read,
 * with no notification and nothing in the inbox, and stands in the history. The other side sees
 * "delivered", as of a message that is never read. Files that it offers stand in the list.
 */
#pragma once

#include "chat/core/base/chat.h"

extern const struct pv_chatpart pv_chatpart_retention;

/* Is this peer muted? Not before the store has said so, after the start. */
bool pv_retention_is_muted(const struct pv_chat *n, const uint8_t *pk);
/* The conversation that a command is about. */
struct pv_conversation {
    uint8_t key[PV_SIGN_PK_LEN];
    char name[PV_NAME_BUF]; /* of a room or a peer */
    bool sought; /* neither is called so here: key is zeros, and the store is asked by name as its
                    word, since it may have messages of a network that was left */
};
/* Finds it, also that of a room that was left and of a peer that has gone. what: the command.
 * False: there is none, and nothing is to be sought; the client is told. */
PV_MUST_CHECK bool pv_retention_conversation(struct pv_chat *n, const char *name, const char *what,
                                             uint64_t handle, pv_ns now,
                                             struct pv_conversation *ret);
/* Tells the client that the store has no conversation of this name either. */
void pv_retention_has_none(struct pv_chat *n, const char *name, const char *what, uint64_t handle,
                           pv_ns now);
