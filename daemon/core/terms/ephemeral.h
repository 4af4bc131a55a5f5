/* SPDX-License-Identifier: MIT */
/*
 * ephemeral.h - the part that removes ephemeral members (roster.h) that have been silent for ten
 * minutes, where this node's user may remove members.
 *
 * Silent is who is neither known to the coordinator as connected nor reached by a path, as long as
 * this node is connected itself. The nodes that may remove wait up to a minute more, each by
 * chance, so one of them does it. A member that ends in order leaves by itself (admin.h).
 */
#pragma once

#include "daemon/core/node/part.h"

#define PV_EPHEMERAL_SILENCE PV_S(600)
#define PV_EPHEMERAL_CHANCE  PV_S(60)
#define PV_EPHEMERAL_LOOK    PV_S(15)

extern const struct pv_part pv_part_ephemeral;
