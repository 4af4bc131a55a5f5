/* SPDX-License-Identifier: MIT */
/*
 * membership.h - the part that owns the roster and does what follows from it: peers come and go,
 * the interface gets this node's addresses, the connection to the coordinator is wanted or not.
 *
 *   DOWN --up, as a member--> RISING --done--> UP
 *                             RISING --failed--> DOWN, tried again after 5 s
 *   UP, RISING --down, removed, left--> the peers are told; 100 ms later everything is taken down
 *
 * It writes node.roster, node_name, up, removed, iface and iface_error.
 */
#pragma once

#include "daemon/core/node/part.h"
#include "proto/roster/roster.h"

extern const struct pv_part pv_part_membership;

/* Merges statements from anywhere and acts on what follows. Returns how many were refused. */
size_t pv_membership_add(struct pv_node *n, const struct pv_ctl_item *items, size_t n_items,
                         pv_ns now);
/* The same of one that this node has made. PV_ERR_REFUSED. */
PV_MUST_CHECK static inline int pv_membership_say(struct pv_node *n, struct pv_view statement,
                                                  pv_ns now)
{
    const struct pv_ctl_item item = {.statement = statement};
    return pv_membership_add(n, &item, 1, now) > 0 ? PV_ERR_REFUSED : PV_OK;
}
/* Somebody else merged statements into node.roster: acts on what follows. */
void pv_membership_settle(struct pv_node *n, pv_ns now);

/* Is everything that the roster holds on the disk, but for what may wait a moment: others' joining
 * that anybody can tell again? */
bool pv_membership_is_stored(const struct pv_node *n);

/* The coordinator's cursor has moved: it is stored with the statements that it stands for. */
void pv_membership_cursor_moved(struct pv_node *n, pv_ns now);

/* Becomes a node of this roster's network (taken): peers, interface, coordinator. */
void pv_membership_enter(struct pv_node *n, struct pv_roster *roster, bool up, pv_ns now);
/* Leaves it without a word to anybody; the store is the caller's business. */
void pv_membership_leave(struct pv_node *n, pv_ns now);

/* An address of another interface takes packets to members away: a sentence about it, and the range
 * whose packets it takes; "" = there is none. */
const char *pv_membership_overlap(const struct pv_node *n, struct pv_prefix *ret_range);
/* The shell tells what others did to the interface, as a sentence; "" = nothing. `status` says it.
 */
void pv_membership_set_iface_problem(struct pv_node *n, const char *problem);
