/* SPDX-License-Identifier: MIT */
/*
 * renewal.h - the part that keeps a membership with a lifetime (`invite --member-for`) alive while
 * the node is used, and says whose is about to end (adr 0022).
 *
 * At a third of the lifetime left, a little earlier by chance, the node signs a statement that says
 * what holds anyway. Until the coordinator has given a receipt for one, no other is made. It leaves
 * by all ways that statements have: a member that reaches the coordinator brings it there.
 */
#pragma once

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_renewal;
