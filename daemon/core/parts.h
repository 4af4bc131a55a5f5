/* SPDX-License-Identifier: MIT */
/*
 * parts.h - every part of the daemon (node/part.h), in the order in which facts are delivered and
 * timeouts handled. A part says which come before it (part.h after), and above its functions in its
 * file or header what it does.
 */
#pragma once

#include "daemon/core/node/part.h"

/* clang-format off */
#define PV_PARTS_BELOW(X) \
    X(commands) \
    X(store) \
    X(handshakes) \
    X(relays) \
    X(bindings) \
    X(standby) \
    X(hardnat) \
    X(gatherer) \
    X(mapper) \
    X(peers) \
    X(coordinator) \
    X(membership) \
    X(rules) \
    X(rotation) \
    X(recall) \
    X(beacon) \
    X(presence) \
    X(statements) \
    X(logkeep) \
    X(owed) \
    X(scout) \
    X(admin) \
    X(rootkey) \
    X(renewal) \
    X(ephemeral) \
    X(waiting) \
    X(hostkeys) \
    X(logins) \
    X(rostersync) \
    X(sealkeys) \
    X(card) \
    X(boxes) \
    X(signals) \
    X(enrol) \
    X(relocation) \
    X(place) \
    X(rulesedit) \
    X(routes) \
    X(routesedit) \
    X(phonetest) \
    X(phones) \
    X(phonewatch) \
    X(lan) \
    X(why) \
    X(linkkeys)
/* Between both is the part of the program that runs over the overlay (node/config.h). */
#define PV_PARTS_ABOVE(X) \
    X(namesfile) \
    X(waits) \
    X(probe) \
    X(info) \
    X(dns) \
    X(stats) \
    X(changes)
/* clang-format on */

#define PV_PART_DECLARE(name) extern const struct pv_part pv_part_##name;
PV_PARTS_BELOW(PV_PART_DECLARE)
PV_PARTS_ABOVE(PV_PART_DECLARE)
