/* SPDX-License-Identifier: MIT */
/*
 * deliver.h - tells every part what has changed, and what that changed in turn, until nothing is
 * new (node/facts.h).
 */
#pragma once

#include "daemon/core/node/node.h"

/*
 * Delivers the node's facts and those about its peers in the order of the parts. A fact that a part
 * raises while it is told comes in the next round. Parts that answer each other for ever are found
 * out: it is logged, false is returned, and what is left waits for the next call.
 */
bool pv_deliver(struct pv_node *n, pv_ns now);
