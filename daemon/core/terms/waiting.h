/* SPDX-License-Identifier: MIT */
/*
 * waiting.h - the part about machines that joined by an invite with approval (`invite --approve`,
 * adr 0022): the commands `admit` and `deny`, and who asks, under which name and from where.
 *
 * That somebody waits is in the statements. Only the coordinator sees from where: an admin's node
 * asks it for that, and shows it as its word. On the machine that waits this part says so in
 * `status`; it connects from time to time and learns of its admission that way.
 */
#pragma once

#include "crypto/sign.h"
#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_waiting;

/* The address that the coordinator saw this node ask from; NULL: not known. Valid until the next
 * call. */
const char *pv_waiting_from(const struct pv_node *n, const uint8_t node[static PV_SIGN_PK_LEN]);
