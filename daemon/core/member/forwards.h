/* SPDX-License-Identifier: MIT */
/*
 * forwards.h - signals through a common peer (in-band type 5): where the coordinator cannot bring
 * them, a member that has sessions with both sides does. One hop: a peer passes on what its sender
 * itself sealed, to a member it has a session with, and nothing else; so there are no loops, and
 * whoever was removed neither sends nor receives. The helper sees who talks to whom, as the
 * coordinator does, and no content.
 */
#ifndef PV_FORWARDS_H
#define PV_FORWARDS_H

#include "base/bucket.h"
#include "daemon/core/node/node.h"
#include "daemon/core/peer/peers.h"
#include "proto/control/forward.h"

struct pv_forwards {
    struct pv_bucket own;    /* signals of our own given to others */
    struct pv_bucket others; /* signals of others, all in all */
};

/* Hands a sealed signal for a peer to a few whom in-band messages reach. How many that were. */
unsigned pv_forwards_send(struct pv_forwards *f, struct pv_node *n, struct pv_peer *to,
                          struct pv_view box, pv_ns now);
/* from asks this node to pass its signal on: body, as it came. */
void pv_forwards_pass_on(struct pv_forwards *f, struct pv_node *n, struct pv_peer *from,
                         struct pv_view body, pv_ns now);
/* May helper hand us the signal of this sender now? */
bool pv_forwards_may_hand(struct pv_peer *helper, const uint8_t *from, pv_ns now);

#endif /* PV_FORWARDS_H */
