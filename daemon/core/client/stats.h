/* SPDX-License-Identifier: MIT */
/*
 * stats.h - the part behind `stats`: figures of the past (series.h) of this node's interface and of
 * the peers that were used last, kept by the store (docs/PROTOCOL-LOCAL.md "Figures of the past").
 *
 * It looks at all peers once a minute of the wall clock, and has the store write what it knows once
 * an hour and when the daemon ends. A member that is gone is forgotten.
 */
#pragma once

#include "daemon/core/node/part.h"

enum {
    PV_STATS_PEERS = 128, /* ours: peers with figures; of more the one that was used last */
};

#define PV_STATS_META "stats" /* name of what the store keeps */

extern const struct pv_part pv_part_stats;
