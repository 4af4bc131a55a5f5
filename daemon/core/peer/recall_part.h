/* SPDX-License-Identifier: MIT */
/*
 * recall_part.h - the part that finds members again while there is no coordinator to ask, at the
 * addresses where they were (recall.h), and learns our own address from peers.
 */
#pragma once

#include "daemon/core/node/node.h"
#include "daemon/core/peer/recall.h"

extern const struct pv_part pv_part_recall;

/* For status and why: the addresses that are known, and whom is tried. */
const struct pv_recall *pv_recall_of(const struct pv_node *n);
