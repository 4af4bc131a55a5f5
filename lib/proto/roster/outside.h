/* SPDX-License-Identifier: MIT */
/*
 * outside.h - the statements that a node holds outside its log: which it keeps, and in which order
 * they count after the log's last entry (adr/0118, rules 5 and 15).
 *
 * Which statements are kept follows from those that were put and from the log, in whatever order
 * they came, unless one came before the grant that allows it. No I/O. One thread.
 */
#pragma once

#include "proto/roster/fold.h"

enum {
    PV_OUTSIDE_GRANT_MAX = 256,  /* statements under one grant */
    PV_OUTSIDE_ROOT_MAX = 4096,  /* statements of root; the log's own protect from no more */
    PV_OUTSIDE_MAX = 32768,      /* ours: statements in all; leaves of all members among them */
    PV_OUTSIDE_BYTES = 16 << 20, /* ours: bytes of all statements */
};

struct pv_outside; /* opaque */

/* grant_max: statements under one grant, PV_OUTSIDE_GRANT_MAX but for tests. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_outside_new(const uint8_t root[static PV_SIGN_PK_LEN], size_t grant_max,
                                 struct pv_outside **ret_outside);
struct pv_outside *pv_outside_free(struct pv_outside *o); /* NULL is fine; returns NULL */

/*
 * Keeps a copy of a statement whose signatures are right. fold: the state after the log, not
 * marked. PV_OK             it is kept PV_ERR_EXISTS     it was kept already, or counts in the log
 *   PV_ERR_REFUSED    it can never count after this log
 *   PV_ERR_NOT_FOUND  the grant, or the member, is not known (yet)
 *   PV_ERR_LIMIT      others go before it
 *   PV_ERR_NOMEM
 */
PV_MUST_CHECK int pv_outside_put(struct pv_outside *o, const struct pv_fold *fold,
                                 const struct pv_logst *st);
/* Drops what counts in the log by now, or can never count after it. fold as above. */
void pv_outside_prune(struct pv_outside *o, const struct pv_fold *fold);

/* Marks the fold and applies the statements in the order of rule 5. The statements that count are
 * what a coordinator appends: pv_outside_took(). PV_ERR_NOMEM: the fold is broken, or nothing was
 * done. */
PV_MUST_CHECK int pv_outside_apply(struct pv_outside *o, struct pv_fold *fold);
/* The i-th statement that counted at the last apply; false: there are not so many. Views are valid
 * until the next put or prune. */
bool pv_outside_took(const struct pv_outside *o, size_t i, struct pv_logst *ret_st);

size_t pv_outside_count(const struct pv_outside *o);
/* The bytes of the i-th statement, i below the count; valid until the next put or prune. */
struct pv_view pv_outside_at(const struct pv_outside *o, size_t i);
