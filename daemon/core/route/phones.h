/* SPDX-License-Identifier: MIT */
/*
 * phones.h - part "phones": members whose machine has a stock WireGuard app and no p2pvpnd, and
 * whom another member carries (adr 0090, docs/PROTOCOL-NETWORK.md "Roster").
 *
 * By what the roster says it tells the peers which of them this node carries itself (a session of
 * plain WireGuard) and by which peer the others are reached, and the rules and the host's plan that
 * there are some. At the wish of an admin it makes one (`export`): its keys, both statements and
 * what its app is to know; no secret of it is kept.
 *
 * Writes: by whom members go in node.fp; peer.by.
 */
#pragma once

#include "daemon/core/node/part.h"

enum {
    PV_PHONES_KEEPALIVE = 25, /* s, of the app: ours, below the 30 s of unreplied mappings */
};

extern const struct pv_part pv_part_phones;

/* Does this node carry a phone: may members' packets go on from its interface to its interface? */
bool pv_phones_are_here(const struct pv_node *n);
