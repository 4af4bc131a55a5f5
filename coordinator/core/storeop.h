/* SPDX-License-Identifier: MIT */
/*
 * storeop.h - what the coordinator's core asks its store to do, and what the store answers.
 *
 * The list is short and each operation is atomic: done wholly or not at all. The store may group
 * operations into one transaction, and must do them in the order in which they were polled; it
 * answers each exactly once, in any order, only after the data would survive a power cut. The
 * simulator serves the same list from memory and may delay, fail or lose answers (an operation
 * whose answer is lost blocks the later ones of its network, as a hung disk would).
 *
 * An operation and a result each own all their bytes.
 */
#ifndef PV_STOREOP_H
#define PV_STOREOP_H

#include "base/pv.h"
#include "proto/statement.h"

enum {
    PV_STOREOP_ROWS_MAX = 128,  /* statements in one operation: one put */
    PV_STOREOP_ERROR_MAX = 240, /* bytes of a reason, with the NUL */
};

/* One statement with the place this coordinator gave it. */
struct pv_storerow {
    uint8_t network[PV_NETWORK_ID_LEN];
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    uint64_t epoch; /* (epoch, n): place in the log; ours, as in receipt */
    uint64_t n;
    struct pv_view statement;
    struct pv_view receipt; /* of this coordinator, PV_RECEIPT_LEN bytes */
    struct pv_view foreign; /* a receipt the statement came with, or empty */
};

enum pv_storeop_kind {
    /* Insert the rows; a row whose (network, hash) is there already is skipped.
     * Answers: PV_OK, or a failure. */
    PV_STOREOP_PUT,
    /*
     * Insert the one row, a member statement, if the invite has a use left for this node. In one
     * SQL statement (THREATS, TS-2025-007). Let M = member statements stored under the invite:
     *   PV_ERR_EXISTS   M has one of this node with a serial >= min_serial; existing = its hash
     *   PV_ERR_EXPIRED  M has statements of `uses` other nodes
     *   PV_OK           inserted
     */
    PV_STOREOP_REGISTER,
};

struct pv_storeop {
    uint64_t id;
    enum pv_storeop_kind kind;
    size_t n_rows; /* 1..PV_STOREOP_ROWS_MAX; 1 for REGISTER */
    struct pv_storerow *rows;

    /* REGISTER */
    uint8_t invite[PV_SIGN_PK_LEN];
    uint8_t node[PV_SIGN_PK_LEN];
    uint64_t serial;
    uint64_t min_serial;
    uint32_t uses;
};

struct pv_storeop_result {
    uint64_t id;
    int status; /* PV_OK, PV_ERR_EXISTS, PV_ERR_EXPIRED, or any other: not stored */
    uint8_t existing[PV_STATEMENT_HASH_LEN]; /* PV_ERR_EXISTS */
    char error[PV_STOREOP_ERROR_MAX];        /* "what failed: why: what to do" when not stored */
};

/* An operation with room for n_rows rows and bytes of statements and receipts. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_storeop_new(enum pv_storeop_kind kind, size_t n_rows, size_t bytes,
                                 struct pv_storeop **ret_op);
/* Copies row, and the bytes it points to, behind the rows added so far. PV_ERR_NO_SPACE: more than
 * was asked for. */
PV_MUST_CHECK int pv_storeop_add(struct pv_storeop *op, const struct pv_storerow *row);
struct pv_storeop *pv_storeop_free(struct pv_storeop *op); /* NULL is fine; returns NULL */

#endif /* PV_STOREOP_H */
