/* SPDX-License-Identifier: MIT */
/*
 * retention.h - the part that keeps the history within its limits: it has the store delete what is
 * too old or too much ([chat] keep, max-size), at the start and every hour, and serves the commands
 * history clear, mute and unmute.
 *
 * Muting is local and silent: what the peer or the room says is stored as read, with no
 * notification and nothing in the inbox, and stands in the history. The other side sees
 * "delivered", as of a message that is never read.
 */
#ifndef PV_RETENTION_H
#define PV_RETENTION_H

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_retention;

#endif /* PV_RETENTION_H */
