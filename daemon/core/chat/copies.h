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

struct pv_copies; /* opaque */

extern const struct pv_part pv_part_copies;

struct pv_copies_counts {
    uint64_t refused;    /* copies for others that were not taken */
    uint64_t forged;     /* copies for us that do not come from their author, or are not for us */
    uint64_t bad_frames; /* frames about copies not in their form, or too many */
};
struct pv_copies_counts pv_copies_counts(const struct pv_copies *copies);

#endif /* PV_COPIES_H */
