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
#pragma once

#include "base/pv.h"
#include "proto/roster/statement.h"

enum {
    PV_STOREOP_ERROR_MAX = 240, /* bytes of a reason, with the NUL */
    PV_STOREOP_KEY_LEN = 16,    /* bytes that name a copy, PV_CTL_KEY_LEN */
    PV_STOREOP_MARK_LEN = 16,   /* bytes of a row's mark */
};

/* One statement with the place this coordinator gave it; or, with an empty statement, the network
 * and hash of one that newer ones have replaced and that is forgotten. */
struct pv_storerow {
    uint8_t network[PV_NETWORK_ID_LEN];
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    uint64_t epoch; /* (epoch, n): place in the log; ours, as in receipt */
    uint64_t n;
    struct pv_view statement;
    struct pv_view receipt; /* of this coordinator, PV_RECEIPT_LEN bytes */
    struct pv_view foreign; /* a receipt the statement came with, or empty */
    /* The proof to this coordinator, at its next start, that it has verified this very row: a MAC
     * with a key that follows from its own. A row without it is verified, and marked by whoever
     * loads it. */
    uint8_t mark[PV_STOREOP_MARK_LEN];
    bool has_mark;
};

enum pv_storeop_kind {
    /* One row after the other: insert it; a row whose (network, hash) is there already is skipped.
     * A row without a statement deletes that (network, hash): with one behind it that puts it there
     * again a statement gets another receipt. Answers: PV_OK, or a failure. */
    PV_STOREOP_PUT,
    /*
     * Insert the one row, a member statement, if the invite has a use left for this node. In one
     * SQL statement (SECURITY "Membership", TS-2025-007). Let M = member statements stored under
     * the invite: PV_ERR_EXISTS   M has one of this node with a serial >= min_serial; existing =
     * its hash PV_ERR_EXPIRED  M has statements of `uses` other nodes PV_OK           inserted
     */
    PV_STOREOP_REGISTER,
    /* Keep a copy: copy, box. When one with the same network, from, to and key is there already,
     * that one stays, and the answer is the same. PV_ERR_REFUSED: a quota (below) is full. Copies
     * that are older than PV_STOREOP_COPY_S by the store's clock (adr/0044) are deleted first.
     * Where the receiver's room or the network's is full, the sender that has most of it gives way
     * to one that has less, with its newest copies; where the disk's is, the network. */
    PV_STOREOP_KEEP,
    /* Of `to` in this network: drop the copy with number copy.n (0: none), and give the next
     * behind copy.after in result.collected, which stays NULL when there is none. */
    PV_STOREOP_COLLECT,
    /*
     * Append the rows, entries n, n + 1, … of one network's log (row.statement: the entry), behind
     * the entry that they name; an entry that is there already is skipped. cut: root moved the
     * network, so entries from the first row's n on are deleted before.
     *   PV_ERR_REFUSED  the stored log does not end there, or has another entry: nothing is changed
     */
    PV_STOREOP_APPEND,
    /* Delete everything of copy.network: its statements, its log and copies. */
    PV_STOREOP_DROP,
    /* Where several coordinators share a store (home.h): whose is copy.network? It is taken when it
     * may be. */
    PV_STOREOP_HOME,
    /* The same: copy.network is given to another coordinator, or to nobody. Earlier orders are
     * stored before. */
    PV_STOREOP_LEAVE,
};

/* Quotas of copies, checked as one is kept. */
enum {
    PV_STOREOP_COPY_S = 14 * 86400,        /* seconds a copy is kept, DESIGN 8 */
    PV_STOREOP_COPY_TO = 2000,             /* ours: copies waiting for one node */
    PV_STOREOP_COPY_TO_BYTES = 16 << 20,   /* ours: bytes of the copies for one node */
    PV_STOREOP_COPY_FROM = 2000,           /* ours: copies of one node, for all others */
    PV_STOREOP_COPY_FROM_BYTES = 16 << 20, /* ours: bytes of the copies of one node */
    PV_STOREOP_COPY_BYTES = 1 << 30,       /* ours: bytes of all copies of all networks */
    /* Ours: the part of one receiver's room up to which others give way to a sender while they have
     * more, and the same of the disk for a network. They may use more while half of the whole is
     * free. */
    PV_STOREOP_COPY_PAIR = PV_STOREOP_COPY_TO / 8,
    PV_STOREOP_COPY_PAIR_BYTES = PV_STOREOP_COPY_TO_BYTES / 8,
    /* One sender's part of a receiver's room: bytes, and for each copy as many as there are for
     * one. */
    PV_STOREOP_COPY_EACH = PV_STOREOP_COPY_TO_BYTES / PV_STOREOP_COPY_TO,
    PV_STOREOP_COPY_NET_BYTES = PV_STOREOP_COPY_BYTES / 16,
};

struct pv_storeop_copy {
    uint8_t network[PV_NETWORK_ID_LEN];
    uint8_t from[PV_SIGN_PK_LEN];    /* KEEP: the sender */
    uint8_t to[PV_SIGN_PK_LEN];      /* the receiver */
    uint8_t key[PV_STOREOP_KEY_LEN]; /* KEEP: names the copy */
    uint64_t wall_s; /* wall clock, Unix seconds: now, or (of a copy that is read, or transferred)
                        when it came */
    uint64_t room;   /* KEEP: bytes that all copies of this network may have; 0: no such limit */
    uint64_t n;      /* COLLECT: number of the copy that was stored and goes; 0: none */
    uint64_t after;  /* COLLECT: the next copy has a higher number */
};

/* A copy that was collected; one allocation. */
struct pv_storeop_collected {
    uint64_t n; /* its number */
    uint8_t from[PV_SIGN_PK_LEN];
    size_t len; /* of box */
    uint8_t box[];
};

struct pv_storeop {
    uint64_t id;
    enum pv_storeop_kind kind;
    size_t n_rows; /* at least 1; 1 for REGISTER */
    struct pv_storerow *rows;

    /* REGISTER */
    uint8_t invite[PV_SIGN_PK_LEN]; /* key of the invite that signed the statement */
    uint8_t node[PV_SIGN_PK_LEN];   /* the joining node; HOME: the one that pleads */
    uint64_t serial;                /* of the statement */
    uint64_t min_serial;            /* older statements of the node do not count */
    uint32_t uses;                  /* of the invite */

    /* KEEP, COLLECT */
    struct pv_storeop_copy copy;
    struct pv_view box; /* KEEP */

    bool cut;      /* APPEND: entries from rows[0].n on leave the log first */
    bool fresh;    /* PUT: the network is new, and has its home here */
    bool pleads;   /* HOME: a node cannot get to the home there is; heard when it has joined */
    bool draining; /* HOME: this coordinator gives its own away, or has no room for more */
    bool idle;     /* LEAVE: to nobody, as it is not used */
    bool balance;  /* LEAVE: to one that has fewer */
};

struct pv_home_answer; /* home.h */

struct pv_storeop_result {
    uint64_t id;
    int status; /* PV_OK, PV_ERR_EXISTS, PV_ERR_EXPIRED, or any other: not stored */
    uint8_t existing[PV_STATEMENT_HASH_LEN]; /* PV_ERR_EXISTS */
    char error[PV_STOREOP_ERROR_MAX];        /* "what failed: why: what to do" when not stored */
    int64_t fence;                           /* PUT, fresh: of the home; 0 where there are none */
    struct pv_storeop_collected *collected;  /* COLLECT: owned, freed by whoever made the result */
    struct pv_home_answer *home;             /* HOME, LEAVE: the same; NULL when it failed */
};

/* An operation with room for n_rows rows and bytes of statements and receipts. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_storeop_new(enum pv_storeop_kind kind, size_t n_rows, size_t bytes,
                                 struct pv_storeop **ret_op);
/* Copies row, and the bytes it points to, behind the rows added so far. PV_ERR_NO_SPACE: more than
 * was asked for. */
PV_MUST_CHECK int pv_storeop_add(struct pv_storeop *op, const struct pv_storerow *row);
/* An operation KEEP (box is copied), COLLECT or DROP (box empty). PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_storeop_new_copy(enum pv_storeop_kind kind, const struct pv_storeop_copy *copy,
                                      struct pv_view box, struct pv_storeop **ret_op);
struct pv_storeop *pv_storeop_free(struct pv_storeop *op); /* NULL is fine; returns NULL */
