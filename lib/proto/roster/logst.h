/* SPDX-License-Identifier: MIT */
/*
 * logst.h - what a network's log is made of: statements, entries and heads (adr/0118). Encodes,
 * decodes, signs, verifies.
 *
 * A codec without state: fold.h decides what a statement does, netlog.h which log counts. Nothing
 * here allocates but the signing scratch of crypto/sign.h. Any thread. Fuzz target: fuzz_logst.
 */
#pragma once

#include "base/bytes.h"
#include "base/pv.h"
#include "base/text.h"
#include "crypto/sign.h"
#include "proto/roster/statement.h"

enum {
    PV_LOGST_HASH_LEN = 32,                                  /* bytes, BLAKE2b-256 */
    PV_LOGST_HEAD_LEN = 2 + PV_NETWORK_ID_LEN + 32 + 32 + 8, /* bytes before the fields */
    PV_LOGST_SHORT_MAX = 512, /* ours: bytes of a statement without a list */
    PV_CARRIED_MAX = 64,      /* statements that one statement carries */
    /* Bytes of the longest statement: an end that carries as much as it may. */
    PV_LOGST_MAX = PV_LOGST_SHORT_MAX + PV_CARRIED_MAX * (2 + PV_LOGST_SHORT_MAX),
    PV_ENTRY_HEAD_LEN = PV_LOGST_HASH_LEN + 8, /* bytes of an entry before its statement */
    PV_HEAD_LEN = 2 + PV_NETWORK_ID_LEN + 32 + 8 + 8 + 32 + 8 + 32 + PV_SIGN_LEN,
};

enum pv_logst_type {
    PV_LOGST_COORDINATORS = 1, /* names who orders after an entry */
    PV_LOGST_GRANT,            /* gives a key rights */
    PV_LOGST_INVITE,
    PV_LOGST_JOIN,
    PV_LOGST_ADMIT,   /* lets in a join that waits */
    PV_LOGST_PLACE,   /* another name and address of a member */
    PV_LOGST_KEY,     /* another transport key of its signer */
    PV_LOGST_LEAVE,   /* its signer leaves */
    PV_LOGST_REMOVE,  /* removes a key for good */
    PV_LOGST_END,     /* ends a grant */
    PV_LOGST_TAKE,    /* takes back an invite or a row */
    PV_LOGST_ROW,     /* a rule, a tag, a route or a phone's gateway */
    PV_LOGST_VERSION, /* changes the rules by which the log is read */
    PV_LOGST_TYPES,   /* types from here on are of newer programs: they do nothing */
};

enum pv_logst_flag {        /* bits of `flags` */
    PV_INVITE_APPROVED = 1, /* invite: whoever joins waits for an admit */
    PV_JOIN_PHONE = 1,      /* join: an admin's node made the keys of a phone */
    PV_GRANT_INVITE = 1,    /* grant: the invite right */
    PV_GRANT_REMOVE = 2,    /* grant: the remove right */
};

enum pv_row_kind {           /* `flags` of a row; the content is `list` */
    PV_ROW_ALLOW = 1,        /* place u64, from, to, ports, accounts */
    PV_ROW_DENY = 2,         /* the same */
    PV_ROW_DENY_DEFAULT = 3, /* nothing */
    PV_ROW_TAG = 4,          /* node 32, tag */
    PV_ROW_ROUTE = 5,        /* node 32, prefix */
    PV_ROW_PHONE = 6,        /* gateway 32, phone 32 */
};

/* One statement. Fields that its type does not have are zero. Views point into raw. */
struct pv_logst {
    uint8_t type; /* enum pv_logst_type, or a number from PV_LOGST_TYPES on */
    uint8_t network_id[PV_NETWORK_ID_LEN];
    uint8_t signer[PV_SIGN_PK_LEN]; /* join: the invite's key */
    /* Hash of the grant that allows it; join: of the invite; zero: it needs none. */
    uint8_t grant[PV_LOGST_HASH_LEN];
    uint64_t made; /* Unix seconds, by its signer's word: lets the same be said again */

    /* grant, join, place, remove: a node; key, leave: the signer; admit: hash of the join; end:
     * hash of the grant; take: hash of what it takes back; coordinators: hash of the entry before.
     */
    uint8_t about[32];
    uint8_t key[32];   /* invite: its key; join, key: X25519, not zero */
    uint64_t number;   /* coordinators: the epoch; place, key: counts up; version */
    uint64_t after;    /* coordinators: n of the entry before */
    uint64_t time;     /* coordinators: time of its entry; invite: its last second; Unix seconds */
    uint32_t uses;     /* invite: >= 1 */
    uint32_t lifetime; /* invite: seconds that a member stays awake unseen, 0: for ever */
    uint8_t flags;     /* grant, invite, join: enum pv_logst_flag; row: enum pv_row_kind */
    uint8_t ip4[PV_IP4_LEN];
    char name[PV_NAME_BUF];
    /* coordinators: a coordinator list; leave, remove, end: what it carries, read with
     * pv_carried_next(); row: the content. */
    struct pv_view list;
    uint8_t node_sig[PV_SIGN_LEN]; /* join: the node's own */

    uint8_t hash[PV_LOGST_HASH_LEN]; /* set by decode, not read by make */
    struct pv_view raw;              /* set by decode, not read by make */
};

/*
 * Reads one statement and checks its form, not its signatures. data is borrowed as long as *ret_st
 * is used.
 *   PV_ERR_TRUNCATED    ends before a field does
 *   PV_ERR_UNSUPPORTED  a newer version of the form
 *   PV_ERR_MALFORMED    too long, trailing bytes, a value outside its range or not canonical
 */
PV_MUST_CHECK int pv_logst_decode(struct pv_view data, struct pv_logst *ret_st);

/* Checks the signer's signature, and in a join the node's too; of what it carries as well.
 * PV_ERR_AUTH, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_logst_verify(const struct pv_logst *st);

/*
 * Encodes and signs; the signer's key is put in. node_sk: signs a join for its node, else NULL. The
 * result is checked by pv_logst_decode().
 *   PV_ERR_NO_SPACE, PV_ERR_MALFORMED (a field outside its range), PV_ERR_NOMEM
 */
PV_MUST_CHECK int pv_logst_make(const struct pv_logst *st, const uint8_t sk[static PV_SIGN_SK_LEN],
                                const uint8_t *node_sk, uint8_t *buf, size_t cap, size_t *ret_len);

/* Takes the next carried statement off a checked list; false at its end. */
bool pv_carried_next(struct pv_view *list, struct pv_logst *ret_st);
/* Appends a statement to a list of carried statements. Errors stick in w. */
void pv_carried_put(struct pv_writer *w, struct pv_view statement);

/* Returns true if statements of this type also count outside the log (rule 5). */
bool pv_logst_is_free(uint8_t type);
/* Returns true if statements of this type carry others. */
bool pv_logst_carries(uint8_t type);

/* An entry of a log. */
struct pv_entry {
    uint8_t
        prev[PV_LOGST_HASH_LEN]; /* hash of the entry before; of the first: the network record */
    uint64_t time;               /* Unix seconds */
    struct pv_logst st;
    uint8_t hash[PV_LOGST_HASH_LEN]; /* set by decode */
};
/* Reads one entry: prev 32, time u64, the statement. Errors as pv_logst_decode(). */
PV_MUST_CHECK int pv_entry_decode(struct pv_view data, struct pv_entry *ret_entry);
/* Writes an entry; statement: its bytes. PV_ERR_NO_SPACE. */
PV_MUST_CHECK int pv_entry_encode(const uint8_t prev[static PV_LOGST_HASH_LEN], uint64_t time,
                                  struct pv_view statement, uint8_t *buf, size_t cap,
                                  size_t *ret_len);

/* A coordinator's signature under its log up to an entry. */
struct pv_head {
    uint8_t network_id[PV_NETWORK_ID_LEN];
    uint8_t coordinator[PV_SIGN_PK_LEN];
    uint64_t epoch, n;                 /* the entry's; n from 1 */
    uint8_t hash[PV_LOGST_HASH_LEN];   /* of that entry */
    uint64_t time;                     /* Unix seconds */
    uint8_t digest[PV_LOGST_HASH_LEN]; /* of the state after it, pv_fold_digest() */
};
/* Checks form, not signature. PV_ERR_TRUNCATED, PV_ERR_UNSUPPORTED (a newer version),
 * PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_head_decode(struct pv_view data, struct pv_head *ret_head);
/* data as given to decode. PV_ERR_AUTH, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_head_verify(struct pv_view data);
/* head->coordinator is taken from sk. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_head_make(const struct pv_head *head, const uint8_t sk[static PV_SIGN_SK_LEN],
                               uint8_t ret_data[static PV_HEAD_LEN]);
