/* SPDX-License-Identifier: MIT */
/*
 * sentries.h - the part that lets other coordinators tell this node when the one in use falls
 * silent: they learn of it from their database within two seconds, an idle node by its next ping.
 *
 * Where the coordinator in use is one of several (its welcome says so), the other addresses of the
 * network's record are asked to stand sentry, through the NAT bindings of the main socket
 * (nat/sentry.h). Two that know this node are enough; the others are left alone. An alarm makes the
 * connection ping and look elsewhere soon (coord/coordpulse.h): a false one costs that ping.
 */
#ifndef PV_SENTRIES_H
#define PV_SENTRIES_H

#include "daemon/core/node/node.h"

enum {
    PV_SENTRIES_ENOUGH = 2, /* ours */
    /* Ours: a node that has come online asks within so long, and not all nodes at once. */
    PV_SENTRIES_SPREAD_MS = 5000,
};
#define PV_SENTRIES_CALM PV_S(10) /* ours: between two alarms that are listened to */

extern const struct pv_part pv_part_sentries;

#endif /* PV_SENTRIES_H */
