/* SPDX-License-Identifier: MIT */
/*
 * stored.h - the statements as this node's store has them, each with a mark: a MAC by which the
 * node knows at its next start that it verified this statement and this receipt itself. So a start
 * costs a hash a statement, and not up to three signatures.
 *
 * An attacker who can write the database but has not the identity's key cannot make a mark, and
 * damage to a statement breaks its mark. One without a right mark is verified like any other.
 */
#ifndef PV_STORED_H
#define PV_STORED_H

#include "daemon/core/node/node.h"

/* Marks what the roster of this identity holds. */
void pv_stored_mark(const struct pv_identity *identity, struct pv_stored_statement *item);

/* The roster as it was stored. *ret_marked: everything in it has a mark; else it is to be stored
 * again. PV_ERR_NOMEM, PV_ERR_MALFORMED (there is no record), errors of pv_roster_new(). */
PV_MUST_CHECK int pv_stored_load(const struct pv_node *n, const struct pv_saved *saved,
                                 struct pv_roster **ret_roster, bool *ret_marked);

#endif /* PV_STORED_H */
