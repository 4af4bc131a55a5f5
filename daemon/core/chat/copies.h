/* SPDX-License-Identifier: MIT */
/*
 * copies.h - the part that has sealed copies of messages kept elsewhere for who is away, and
 * collects those that were kept for this node (DESIGN 8, docs/PROTOCOL.md "Stored copies").
 *
 * Two stores take copies: the coordinator (copies_coordinator.c, [chat] store), and, while that is
 * away, members who are willing (copies_members.c, [chat] hold). Both do the same three things:
 * one message after another of one receiver goes there, so that order is kept; what came back is
 * opened here and given to chatlink; and once that is on disk the store may forget its copy. A copy
 * and the message itself are one: whoever comes second is known.
 */
#ifndef PV_COPIES_H
#define PV_COPIES_H

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_copies;

#endif /* PV_COPIES_H */
