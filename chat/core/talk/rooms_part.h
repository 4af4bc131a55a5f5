/* SPDX-License-Identifier: MIT */
/*
 * rooms_part.h - the part around rooms (daemon/core/rooms), which know no connections, peers or
 * users: it carries their lines by chatlink, tells them who is there, and serves the commands.
 */
#pragma once

#include "chat/core/base/chatpart.h"

extern const struct pv_chatpart pv_chatpart_rooms;

/* Our room of this name, its id; answers the request what itself when there is none. left: also one
 * that we left. */
const uint8_t *pv_rooms_part_need(struct pv_chat *n, const char *name, bool left, const char *what,
                                  uint64_t handle, pv_ns now);
/* Nobody else that is a member of the network is in the room, or invited. A member that comes later
 * is not shown what was said before, so that nobody ever would see it. */
bool pv_rooms_part_is_over(const struct pv_chat *n, const uint8_t *room);
/* `send` to a room; answers handle, at once or once the text is stored. */
void pv_rooms_part_send(struct pv_chat *n, const struct pv_ctlapi_request *req, const uint8_t *id,
                        uint64_t handle, pv_ns now);
