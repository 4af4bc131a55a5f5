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

#include "daemon/core/node/node.h"

extern const struct pv_part pv_part_retention;

/* Is this peer muted? Not before the store has said so, after the start. */
bool pv_retention_is_muted(const struct pv_node *n, const uint8_t *pk);
/* The key of the conversation that a command (what) is about, and its name: a room's, or a peer's,
 * also of one that has gone. False: the client is told that there is none. */
PV_MUST_CHECK bool pv_retention_conversation(struct pv_node *n, const char *name, const char *what,
                                             uint64_t handle,
                                             uint8_t ret_key[static PV_SIGN_PK_LEN],
                                             char ret_name[static PV_NAME_BUF]);
