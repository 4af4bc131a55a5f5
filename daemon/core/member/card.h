/* SPDX-License-Identifier: MIT */
/*
 * card.h - the part that has this node show a card (type 19, adr/0119): its abilities, its sealing
 * key, the prefixes that it offers to carry, the host keys of its sshd and the keys of its users
 * for others' sshd. Members believe the card, whatever somebody takes out of this node's
 * descriptions on the way.
 *
 * Whenever the roster's card of this node says something else than is so, the node signs another
 * one: after the first start of a program that can do more, when [security], the interface or the
 * crypto library changes, and when others still have a card of this node that its own database,
 * put back from a backup, does not know. A node that has nothing to show, and never showed
 * anything, has no card.
 */
#pragma once

#include "daemon/core/node/node.h"
#include "daemon/core/node/part.h"
#include "proto/roster/roster_make.h"
#include "proto/roster/sshkeys.h"

extern const struct pv_part pv_part_card;

/* What the card of this node says that the roster has. */
void pv_card_last(const struct pv_node *n, struct pv_card *ret_card);
/* Shows another card with these offers, and what is so of the rest. Errors of pv_make_card() and
 * pv_membership_say(). */
PV_MUST_CHECK int pv_card_offer(struct pv_node *n, const struct pv_card *offers, pv_ns now);
/* These are the host keys of this machine's sshd, or the keys that its users log in elsewhere with
 * (keys->use). The part shows another card if the last one has others. Before the first call of a
 * use the last one's stay. */
void pv_card_set_sshkeys(struct pv_node *n, const struct pv_sshkeys *keys, pv_ns now);
