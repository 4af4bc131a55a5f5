/* SPDX-License-Identifier: MIT */
/*
 * relocation.h - the part that moves a network to another coordinator, and tells and changes where
 * its coordinators are: `p2pvpnctl network coordinators`.
 *
 * The list is a statement (type 8) of an admin. A coordinator that is added is given the network
 * first, all of it, so that members who come there are known; then the former one is told, if it
 * lives, and with it those who only listen there; then the record counts here, gossip takes it to
 * the others, and everybody's connection follows (coordinator.h).
 *
 *   NONE   --add-->                GUEST   asks the new coordinator in, as for a new network
 *   GUEST  --welcome-->            FOUND   has asked it to take the network
 *   FOUND  --receipts-->           SEED    a member's connection: every statement is put there
 *   SEED   --all are there-->      TELL    back at the former one: the record is put there
 *   NONE   --remove, address-->    TELL
 *   TELL   --receipt, or 5 s-->    SPREAD  the record counts here
 *   SPREAD --who is there knows, or 3 s-->  NONE, and the client hears it
 *   any    --refused, 10 s of silence, down, leave-->  NONE, all as before
 */
#pragma once

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_relocation;
