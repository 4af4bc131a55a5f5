/* SPDX-License-Identifier: MIT */
/* presence.h - how a part asks whether a member is connected to the coordinator. */
#ifndef PV_PRESENCE_H
#define PV_PRESENCE_H

#include "daemon/core/node/node.h"

/* Presence of this member is wanted from now on. Nothing happens without the coordinator. */
void pv_presence_subscribe(struct pv_node *n, const uint8_t *pk);

#endif /* PV_PRESENCE_H */
