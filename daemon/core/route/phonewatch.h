/* SPDX-License-Identifier: MIT */
/*
 * phonewatch.h - part "phonewatch": whether phones are online, and when each of them agreed keys
 * last (adr 0090, docs/PROTOCOL-COORDINATOR.md "Control channel", docs/PROTOCOL-PEERS.md "Type
 * 14").
 *
 * A gateway sees that by what its phones send, and tells the coordinator when it changes; the
 * coordinator passes it on as it does for nodes (part "presence"). The last handshake changes every
 * two minutes, so a gateway tells it only to members that ask. A node that is no gateway does
 * nothing until a client looks.
 *
 * Writes: the presence of this node's own phones, and the last handshake of phones elsewhere.
 */
#pragma once

#include "daemon/core/node/part.h"

enum {
    PV_PHONEWATCH_ASKED = 64, /* ours: phones whose gateways are asked at once */
};
/* A phone that sent nothing for so long is offline: no key that it could use is younger
 * (whitepaper 6.1, Reject-After-Time). */
#define PV_PHONEWATCH_SILENT PV_S(180)
/* Ours: what a gateway said last is shown for so long. */
#define PV_PHONEWATCH_FRESH PV_S(30)
/* Ours: a client waits so long for gateways at most. */
#define PV_PHONEWATCH_PATIENCE PV_S(1)

extern const struct pv_part pv_part_phonewatch;

/* A client looks at phones: asks the gateways that are online and have not been asked for
 * PV_PHONEWATCH_FRESH, at most PV_PHONEWATCH_ASKED of them. */
void pv_phonewatch_ask(struct pv_node *n, pv_ns now);
/* Returns true while an answer to the last pv_phonewatch_ask() is still to come. */
bool pv_phonewatch_is_asking(const struct pv_node *n, pv_ns now);
