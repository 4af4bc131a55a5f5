/* SPDX-License-Identifier: MIT */
/* presence.h - how a part asks whether a member is connected to the coordinator. */
#ifndef PV_PRESENCE_H
#define PV_PRESENCE_H

#include "daemon/core/node/node.h"

enum {
    PV_PRESENCE_ALL = 128, /* ours: in networks up to this size presence of all is wanted */
};

/* Presence of this member is wanted from now on. Nothing happens without the coordinator. */
void pv_presence_subscribe(struct pv_node *n, const uint8_t *pk);

/* What an answer to PV_CTL_LIST says, which other parts may ask for. */
void pv_presence_take(struct pv_node *n, const struct pv_ctl_presences *list, pv_ns now);

#endif /* PV_PRESENCE_H */
