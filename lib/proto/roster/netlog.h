/* SPDX-License-Identifier: MIT */
/*
 * netlog.h - the log of one network, and what is held outside it (adr/0118).
 *
 * A log is entries, each with the hash of the one before. Root's statements say who orders; that
 * coordinator's head covers the entries. A node takes a log that goes on from its own, or one that
 * root moved; nothing else. Everything remote comes in by pv_netlog_take() and pv_netlog_hear(),
 * which verify all signatures. No I/O. One thread.
 */
#pragma once

#include "proto/roster/outside.h"

enum {
    PV_NETLOG_MAX = 131072, /* entries: PV_FOLD_OWN_MAX of them about members by themselves */
};

struct pv_netlog; /* opaque */

/* genesis: hash of the network record, which stands before the first entry. The fold's config as
 * in fold.h. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_netlog_new(const struct pv_fold_config *cfg,
                                const uint8_t genesis[static PV_LOGST_HASH_LEN],
                                struct pv_netlog **ret_log);
struct pv_netlog *pv_netlog_free(struct pv_netlog *log); /* NULL is fine; returns NULL */

/* A newcomer's token names an entry: no log is taken that lacks it (rule 13). */
void pv_netlog_expect(struct pv_netlog *log, uint64_t n,
                      const uint8_t hash[static PV_LOGST_HASH_LEN]);

/* Entries that somebody hands out, and the head over the last of them. */
struct pv_netlog_piece {
    uint64_t first; /* n of the first entry, >= 1 */
    const struct pv_view *entries;
    size_t n;            /* >= 1 */
    struct pv_view head; /* may be empty if the last entry is root's move */
};
/*
 * Takes a piece that goes on from this log, or by which root moved the network: then the entries
 * behind it leave the log, and what of them also counts outside is kept there.
 *   PV_OK               taken, or all of it was there
 *   PV_ERR_NOT_FOUND    it does not attach: ask for entries from before piece.first, or, of an
 * empty log, from the first on PV_ERR_REFUSED      another log of this epoch, or of an earlier one
 *   PV_ERR_EXISTS       the token's entry is not in it: the history was changed
 *   PV_ERR_AGAIN        it ends before the token's entry
 *   PV_ERR_AUTH         a signature, a hash, a time, or who ordered is wrong
 *   PV_ERR_LIMIT        more than PV_NETLOG_MAX entries
 *   PV_ERR_NOMEM        the log is empty afterwards if it had to be moved
 *   and the errors of pv_entry_decode() and pv_head_decode()
 */
PV_MUST_CHECK int pv_netlog_take(struct pv_netlog *log, const struct pv_netlog_piece *piece);
/* Takes a head over an entry of this log; it counts if it is by the coordinator that orders there.
 * PV_OK, also of an older one; PV_ERR_NOT_FOUND (the log ends before it); PV_ERR_REFUSED (it
 * contradicts the log's: pv_netlog_proof()); PV_ERR_AUTH; and those of pv_head_decode(). */
PV_MUST_CHECK int pv_netlog_take_head(struct pv_netlog *log, struct pv_view head);
/* Two heads of one coordinator that contradict each other, newest proof; false: none. */
bool pv_netlog_proof(const struct pv_netlog *log, struct pv_view ret_heads[static 2]);

/* Verifies and keeps a statement outside the log, and what it carries. Errors as
 * pv_outside_put(), PV_ERR_AUTH. */
PV_MUST_CHECK int pv_netlog_hear(struct pv_netlog *log, const struct pv_logst *st);

/* Appends a statement that is allowed, as the coordinator, or root's move. Its signatures are
 * right. *ret_why: why it is not allowed. time: Unix seconds; the log's time never falls.
 * PV_ERR_REFUSED (not allowed), PV_ERR_UNSUPPORTED (root said rules that this program does not
 * know), PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_netlog_append(struct pv_netlog *log, const struct pv_logst *st, uint64_t time,
                                   enum pv_why *ret_why);
/* Puts the next entry of a log that was verified before, as a disk has it. PV_ERR_AUTH (it does not
 * follow), PV_ERR_LIMIT, PV_ERR_NOMEM, and the errors of pv_entry_decode(). */
PV_MUST_CHECK int pv_netlog_load(struct pv_netlog *log, struct pv_view entry);
/* Returns true if this key appends entries and signs heads from here on. */
bool pv_netlog_orders(const struct pv_netlog *log, const uint8_t key[static PV_SIGN_PK_LEN]);
/* Signs the log as it is, as the coordinator. PV_ERR_STATE: another key orders, or it is empty;
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_netlog_sign(struct pv_netlog *log, uint64_t time,
                                 const uint8_t sk[static PV_SIGN_SK_LEN]);

/* Entries; 0: none. */
uint64_t pv_netlog_n(const struct pv_netlog *log);
/* The bytes of entry n, 1 <= n <= pv_netlog_n(); valid until it leaves the log. */
struct pv_view pv_netlog_entry(const struct pv_netlog *log, uint64_t n);
/* The hash of entry n; n = 0: of the network record. */
const uint8_t *pv_netlog_hash(const struct pv_netlog *log, uint64_t n);
/* The newest head that covers all entries; empty: none. */
struct pv_view pv_netlog_head(const struct pv_netlog *log);
/* Unix seconds of the newest head or entry: what lifetimes go by. */
uint64_t pv_netlog_time(const struct pv_netlog *log);
/* The state after the log alone; valid until the next call that is not const. NULL: no memory. */
const struct pv_fold *pv_netlog_state(struct pv_netlog *log);
/* The state by which this node decides: with what is outside. Likewise. */
const struct pv_fold *pv_netlog_view(struct pv_netlog *log);
/* The statements held outside; pv_outside_took() is up to date after pv_netlog_view(). */
const struct pv_outside *pv_netlog_outside(const struct pv_netlog *log);
