/* SPDX-License-Identifier: MIT */
/*
 * stored.h - the statements as this node's store has them, each with a mark: a MAC by which the
 * node knows at its next start that it verified this statement and this receipt itself. So a start
 * costs a hash a statement, and not up to three signatures.
 *
 * An attacker who can write the database but has not the identity's key cannot make a mark, and
 * damage to a statement breaks its mark. One without a right mark is verified like any other.
 */
#pragma once

#include "daemon/core/node/node.h"
#include "proto/roster/roster.h"

/* Marks what the roster of this identity holds. */
void pv_stored_mark(const struct pv_identity *identity, struct pv_stored_statement *item);

/* The roster as it was stored. *ret_marked: everything in it has a mark; else it is to be stored
 * again. PV_ERR_NOMEM, PV_ERR_MALFORMED (there is no record), PV_ERR_UNSUPPORTED (there is none,
 * and some statement is of a newer version), errors of pv_roster_new(). */
PV_MUST_CHECK int pv_stored_load(const struct pv_node *n, const struct pv_saved *saved,
                                 struct pv_roster **ret_roster, bool *ret_marked);

/* --- statements whose write failed ----------------------------------------------------------- */

/*
 * Statements of a roster that the store does not have yet, collected so that one job
 * writes all that one event brought. A statement that others can tell again may wait for more of
 * its kind: then only hashes are kept, since the roster may drop a statement or find a better
 * receipt meanwhile. A zeroed struct is empty.
 */

struct pv_unsaved {
    struct pv_stored_statement *items; /* owned array of views into the roster */
    size_t n, cap;
    uint8_t (*later)[PV_STATEMENT_HASH_LEN]; /* owned: older ones, which wait */
    size_t n_later, cap_later;
};

/* Without memory all statements count as not stored: n->store.failed. */
void pv_unsaved_add(struct pv_unsaved *u, struct pv_node *n, const struct pv_roster_entry *entry);
/* Has the store forget a statement that newer ones have replaced. To be flushed before the roster
 * is asked for its next event, which frees the entry. */
void pv_unsaved_forget(struct pv_unsaved *u, struct pv_node *n,
                       const struct pv_roster_entry *entry);
/* Those that were added since the last flush may wait. False: without memory, they may not. */
bool pv_unsaved_postpone(struct pv_unsaved *u);
/* Adds every statement of the roster. False: not all, without memory (n->store.failed). */
bool pv_unsaved_add_all(struct pv_unsaved *u, struct pv_node *n, const struct pv_roster *roster);
/* Queues one job for all, those that waited first, whose result goes to owner, and is empty then.
 * False: no job was queued because there was nothing, or no memory (n->store.failed). */
bool pv_unsaved_flush(struct pv_unsaved *u, struct pv_node *n, pv_job_done *done, void *self,
                      uint64_t tag);
/* Forgets them: the roster is about to go. */
void pv_unsaved_clear(struct pv_unsaved *u);
void pv_unsaved_done(struct pv_unsaved *u);
