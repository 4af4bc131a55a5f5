/* SPDX-License-Identifier: MIT */
/*
 * fold.h - the state of a network after its log: members, grants, invites, rows (adr/0118). The
 * caller applies statements one after the other; the state depends on nothing else.
 *
 * A caller that wants to know what statements outside the log would change marks the fold, applies
 * them, asks, and goes back to the mark. Signatures and order are the caller's (netlog.h). No I/O.
 * One thread. Without memory a fold breaks: from then on it says PV_ERR_NOMEM until
 * pv_fold_reset().
 */
#pragma once

#include "base/addr.h"
#include "base/map.h"
#include "proto/roster/logst.h"

enum {
    PV_FOLD_MAX = 1u << 20,         /* ours: statements, keys and claims, each */
    PV_FOLD_REST = 30u * 24 * 3600, /* seconds that an address rests after its holder (rule 7) */
    PV_FOLD_OWN_MAX = 104857,       /* statements of members about themselves: 80 % of a log */
    PV_FOLD_VERSION = 1,            /* the rules that this program knows (rule 16) */
};

/* Why a statement is not allowed at its place. */
enum pv_why {
    PV_WHY_ALLOWED = 0,
    PV_WHY_COUNTED,      /* it counts already */
    PV_WHY_UNKNOWN,      /* a type of newer rules */
    PV_WHY_RIGHT,        /* its signer may not say it */
    PV_WHY_ENDED,        /* the grant ended already */
    PV_WHY_TAKEN_BACK,   /* somebody took it back already */
    PV_WHY_OLD,          /* its number does not follow */
    PV_WHY_FULL,         /* members said as much about themselves as they may */
    PV_WHY_CLAIMED,      /* another member has the name, the address or the transport key */
    PV_WHY_RANGE,        /* the address is none of the network's */
    PV_WHY_NOBODY_WAITS, /* no join waits for it */
    PV_WHY_NO_INVITE,    /* a join: there is no such invite */
    PV_WHY_REVOKED,      /* the invite was taken back */
    PV_WHY_SPENT,        /* the invite's uses are spent */
    PV_WHY_WINDOW,       /* the invite's time is over */
    PV_WHY_ADMIN_GONE,   /* the office of the invite's admin has ended */
    PV_WHY_MEMBER,       /* the node is a member */
    PV_WHY_REMOVED,      /* the key never joins again */
};

struct pv_said;
struct pv_claim;

/* A key that the state knows: a member, an admin, or a key that never joins again. */
struct pv_keyrec {
    UT_hash_handle hh;
    uint8_t key[PV_SIGN_PK_LEN];
    struct pv_said *grants; /* the grants that name it, the youngest first */
    bool out;               /* it never joins again */
    bool is_member;         /* the rest is zero unless it is one */
    bool waits;             /* its join waits for an admit */
    bool phone;
    struct pv_said *join;
    struct pv_claim *name, *ip4, *transport; /* what it holds */
    uint64_t number;                         /* of its last place or key */
    uint64_t since;    /* Unix seconds: its join, or the move of the network after that */
    uint32_t lifetime; /* seconds, 0: for ever */
};

enum pv_said_kind {
    PV_SAID_OTHER = 0, /* the kinds below have a field of the union */
    PV_SAID_GRANT,
    PV_SAID_INVITE,
    PV_SAID_JOIN,
    PV_SAID_ROW,
};

/* A statement that counts, or the hash of one that was taken back or ended before it was known. */
struct pv_said {
    UT_hash_handle hh;
    uint8_t hash[PV_LOGST_HASH_LEN];
    uint8_t kind; /* enum pv_said_kind */
    bool counts;
    bool taken_back;
    bool ended; /* a grant */
    union {
        struct {
            struct pv_keyrec *of;
            struct pv_said *next; /* the older grant of the key */
            uint32_t age;         /* the lower, the older in the log */
            uint8_t rights;       /* enum pv_logst_flag */
        } grant;
        struct {
            uint8_t key[PV_SIGN_PK_LEN];
            struct pv_said *grant; /* NULL: root's */
            uint64_t until;
            uint32_t uses, lifetime;
            bool approved;
        } invite;
        struct pv_keyrec *joined;
        struct {
            struct pv_view raw; /* the statement */
            struct pv_said *next, *prev;
        } row;
    } u;
};

/* A name, an address or a transport key that a member holds; or an address that rests. */
struct pv_claim {
    UT_hash_handle hh;
    uint8_t what[1 + PV_NAME_MAX]; /* a letter, then the name, 4 bytes of address, or the key */
    struct pv_keyrec *holder;      /* NULL: nobody */
    struct pv_keyrec *last;        /* an address: the member that let it go */
    uint64_t freed;                /* Unix seconds when it did */
};

struct pv_fold_config {
    uint8_t network_id[PV_NETWORK_ID_LEN];
    uint8_t root[PV_SIGN_PK_LEN];
    struct pv_prefix range; /* IPv4, as in the network record */
    uint32_t own_max; /* statements of members about themselves: PV_FOLD_OWN_MAX but for tests */
    const struct pv_rng *rng;
};

struct pv_fold; /* opaque */

/* PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_fold_new(const struct pv_fold_config *cfg, struct pv_fold **ret_fold);
struct pv_fold *pv_fold_free(struct pv_fold *f); /* NULL is fine; returns NULL */
/* Back to the state before the first entry. */
void pv_fold_reset(struct pv_fold *f);

/* Returns why the statement is not allowed now. time: the entry's, Unix seconds. */
enum pv_why pv_fold_why(const struct pv_fold *f, const struct pv_logst *st, uint64_t time);
/* Sets the log's time, and does what the statement says unless it is not allowed; *ret_why says
 * why. st->raw is borrowed as long as the state has it as a row. PV_ERR_NOMEM, PV_ERR_LIMIT: the
 * fold is broken. */
PV_MUST_CHECK int pv_fold_apply(struct pv_fold *f, const struct pv_logst *st, uint64_t time,
                                enum pv_why *ret_why);

/* Begins to remember what changes. The fold is not marked. */
void pv_fold_mark(struct pv_fold *f);
/* Makes all changes since the mark undone. A fold without a mark stays as it is. */
void pv_fold_back(struct pv_fold *f);

/* --- questions ------------------------------------------------------------------------------- */

/* Root's last statement about coordinators: rules 3 and 4. */
struct pv_fold_move {
    uint64_t epoch;
    uint8_t hash[PV_LOGST_HASH_LEN];     /* of the statement; zero before the first */
    uint8_t coordinator[PV_SIGN_PK_LEN]; /* the one that orders */
};

/* The part of the state that is no table. */
struct pv_fold_now {
    struct pv_fold_move move;
    uint64_t time;                   /* Unix seconds */
    uint32_t version;                /* of the rules in force; above PV_FOLD_VERSION: upgrade */
    uint32_t own;                    /* statements of members about themselves */
    uint32_t ages;                   /* grants so far */
    struct pv_said *rows, *last_row; /* in force, by u.row.next, in the order in which they count */
    uint8_t chain[PV_LOGST_HASH_LEN]; /* over the hashes of all that counts, in order */
};
const struct pv_fold_now *pv_fold_now(const struct pv_fold *f);
/* The record of a key; NULL: nothing is known of it. Valid until the next change. */
const struct pv_keyrec *pv_fold_key(const struct pv_fold *f, const uint8_t key[static 32]);
/* The record of a statement's hash; likewise. */
const struct pv_said *pv_fold_said(const struct pv_fold *f, const uint8_t hash[static 32]);
/* The record of a name, an address or a transport key. NULL: nobody ever had it. Likewise. */
const struct pv_claim *pv_fold_claim(const struct pv_fold *f,
                                     const uint8_t what[static 1 + PV_NAME_MAX]);
/* The first known key; the others follow by hh.next. */
const struct pv_keyrec *pv_fold_keys(const struct pv_fold *f);
/* Returns true if this grant gives the key one of these rights (enum pv_logst_flag) now. */
bool pv_fold_in_office(const struct pv_fold *f, const uint8_t key[static 32],
                       const uint8_t grant[static 32], uint8_t rights);
/* Returns true if the statement would end an office (rule 5), given that it is allowed. */
bool pv_fold_ends(const struct pv_fold *f, const struct pv_logst *st);
/* Returns true if a member is awake (rule 12). head: time of the newest head of the coordinator
 * that orders; stamp: time of the coordinator's last stamp of the member since the last move, 0:
 * none. Unix seconds. */
bool pv_fold_awake(const struct pv_keyrec *member, uint64_t head, uint64_t stamp);
/* The gateway that carries a phone (rule 14); NULL: none, or the member is no phone. */
const struct pv_keyrec *pv_fold_carrier(const struct pv_fold *f, const struct pv_keyrec *phone);
/* A digest of the state, for heads: two folds that decided differently have two digests. */
void pv_fold_digest(const struct pv_fold *f, uint8_t ret_digest[static PV_LOGST_HASH_LEN]);
