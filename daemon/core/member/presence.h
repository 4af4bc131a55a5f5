/* SPDX-License-Identifier: MIT */
/*
 * presence.h - the part that knows who of the members is connected to the coordinator. In a small
 * network it asks for everybody's presence, in a large one for that of peers in use. It tells its
 * news to the peer, and to every part by PV_PEER_FACT_PRESENCE. A member that says goodbye is gone
 * at once; if the coordinator does not say so as well, it is asked: another machine may have the
 * same keys. Without the coordinator nothing is known.
 */
#pragma once

#include "daemon/core/node/part.h"

enum {
    PV_PRESENCE_ALL = 128, /* ours: in networks up to this size presence of all is wanted */
};

#define PV_PRESENCE_DOUBT PV_S(3) /* ours: from a goodbye until the coordinator is asked */

extern const struct pv_part pv_part_presence;

/* Presence of this member is wanted from now on. Nothing happens without the coordinator. */
void pv_presence_subscribe(struct pv_node *n, const uint8_t *pk);
/* Takes an answer to PV_CTL_LIST, which other parts may ask for. */
void pv_presence_take(struct pv_node *n, const struct pv_ctl_presences *list, pv_ns now);
