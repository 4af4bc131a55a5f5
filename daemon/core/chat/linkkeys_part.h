/* SPDX-License-Identifier: MIT */
/*
 * linkkeys_part.h - the part around linkkeys (linkkeys.h): tells it what descriptions say and who
 * can be reached, carries its in-band messages, has the store keep who proves itself, and raises
 * PV_PEER_FACT_LINK when another state of a peer may let connections be made or end. Stands before
 * chat and files, which ask node.chat.keys.
 */
#ifndef PV_LINKKEYS_PART_H
#define PV_LINKKEYS_PART_H

#include "daemon/core/chat/linkkeys.h"
#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_linkkeys;

#endif /* PV_LINKKEYS_PART_H */
