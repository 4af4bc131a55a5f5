/* SPDX-License-Identifier: MIT */
/*
 * rostersync_part.h - the part that exchanges statements with peers (rostersync.h): with every
 * member whom in-band messages reach, so that a roster spreads without the coordinator. It keeps,
 * in the peers' shared state, how many those are: they also pass signals on (signals.h).
 */
#pragma once

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_rostersync;

/* A member was removed, or leaves: every peer is told now, and asked whether it knows. */
void pv_rostersync_hurry(struct pv_node *n, pv_ns now);
/* Has this peer all statements that we have, as it told last? */
bool pv_rostersync_member_knows(const struct pv_node *n, const struct pv_peer *p);

/* The head of a peer's roster was seen, and its members' digest: where these
 * differ from ours, the two exchange what is missing. */
void pv_rostersync_member_head(struct pv_node *n, const struct pv_peer *p, const uint8_t *head,
                               const uint8_t *members, pv_ns now);
