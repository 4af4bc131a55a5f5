/* SPDX-License-Identifier: MIT */
/*
 * roster_int.h - what the files of the roster share; nobody else includes it.
 *
 * roster.c merges (the set, chains, orphans), roster_receipt.c keeps the receipts' order,
 * roster_settle.c decides who is a member, roster_query.c answers.
 */
#ifndef PV_ROSTER_INT_H
#define PV_ROSTER_INT_H

#include "base/map.h"
#include "proto/roster/roster.h"

enum {
    ROSTER_MAX_COORDINATORS = 64, /* ours: different keys in all records ever */
    ROSTER_MAX_RECEIPTS = 8,      /* ours: of one statement, each lower than the one before */
    ROSTER_BINDING_LEN = 1 + PV_NAME_BUF, /* bytes: kind and value */
};

/* What a value is bound as: names, addresses and transport keys share one table. */
enum pv_roster_binding_kind {
    BIND_NAME,
    BIND_IP4,
    BIND_IP6,
    BIND_TRANSPORT,
    BIND_KINDS,
};

struct pv_roster_binding {
    uint8_t key[ROSTER_BINDING_LEN]; /* kind, value, zeros */
    struct pv_roster_key *owner;
    UT_hash_handle hh;
};

/* Why a claim does not count. Reported when it changes. */
enum pv_roster_refusal {
    REFUSE_NONE,
    REFUSE_NAME,
    REFUSE_ADDRESS,
    REFUSE_TRANSPORT,
    REFUSE_WINDOW,
    REFUSE_USES,
    REFUSE_EXPIRY,
    REFUSE_ADMITTER, /* the invite or the admin is revoked */
    REFUSE_REVOKED,  /* the node is */
};

struct pv_roster_receipt {
    struct pv_receipt r;
    uint8_t raw[PV_RECEIPT_LEN];
};

/* A statement of the set. */
struct pv_roster_item {
    struct pv_roster_entry pub; /* first: entries are handed out as this */
    struct pv_roster_receipt
        *receipt;                  /* the lowest; owned by its coordinator's order; NULL = none */
    struct pv_roster_key *subject; /* the key it is about; NULL for types 1, 8 and unknown */
    struct pv_roster_key *signer;
    struct pv_roster_item *next_about;  /* same subject; type 8: all of that type */
    struct pv_roster_item *next_issued; /* same signer */
    struct pv_roster_item *next;        /* order of arrival */
    struct pv_roster_item *next_news;   /* waiting for EV_STATEMENT */
    uint8_t n_receipts;                 /* accepted so far */
    bool listed;                        /* part of the set (an unknown type may be dropped again) */
    bool is_news;
    bool effective; /* revocation: in force */
    bool counted;   /* member: was in force once, so window and uses matter no more */
    enum pv_roster_refusal refused; /* last reported */
    uint8_t raw[];
};

/* Everything known about one public key, whatever its parts: node, admin, invite, signer. */
struct pv_roster_key {
    uint8_t pk[PV_SIGN_PK_LEN];
    struct pv_member member;
    struct pv_roster_item *about;
    struct pv_roster_item *issued;
    struct pv_roster_item *force; /* member statement in force; NULL unless active */
    struct pv_roster_binding bound[BIND_KINDS];
    struct pv_roster_key *next_dirty, *next_waiting, *next_news;
    struct pv_roster_key *prev_active, *next_active;
    /* Invite: receipt of its last use, while there are more claims than uses; NULL = not known. */
    struct pv_roster_receipt *cutoff;
    uint32_t claims;   /* invite: different nodes with a member statement under it */
    uint16_t n_self;   /* node: member, transport and leave statements */
    uint8_t n_unknown; /* signer: listed statements of unknown types */
    uint8_t rights;    /* by its admin statements, revoked or not */
    bool is_node;      /* some member statement is about it */
    bool is_invite;    /* some invite statement is about it */
    bool revoked_node, revoked_invite;
    bool is_dirty, is_waiting, is_news;
    bool told_active; /* the owner was told that the node is an active member */
    bool changed;     /* something differs from what the owner was told */
    UT_hash_handle hh;
};

struct pv_roster_coordinator {
    uint8_t pk[PV_SIGN_PK_LEN];
    bool allowed;                     /* stands in a record of an unrevoked signer */
    struct pv_roster_receipt **order; /* owned; ascending (epoch, n) */
    size_t n, cap;
};

struct pv_roster_bucket {
    struct pv_roster_item **v; /* ascending hash */
    uint32_t n, cap;
    uint32_t digest;
    bool digest_ok;
};

struct pv_roster_orphan {
    uint8_t wants[PV_SIGN_PK_LEN]; /* the key whose rights it waits for */
    bool ready;                    /* that key has just got some */
    size_t len, receipt_len;
    uint8_t *raw; /* owned: statement, receipt; NULL = free slot */
};

struct pv_roster_report {
    enum pv_roster_event_type type;
    struct pv_roster_key *key; /* may be NULL */
    char text[PV_ROSTER_TEXT];
};

struct pv_roster_list { /* linked by next_news */
    struct pv_roster_item *first, *last;
};

struct pv_roster {
    uint8_t root[PV_SIGN_PK_LEN];
    struct pv_roster_item *record; /* type 1 */
    struct pv_map key_map, binding_map;
    struct pv_roster_key *keys;
    struct pv_roster_binding *bindings;
    struct pv_roster_item *first, *last; /* order of arrival */
    struct pv_roster_item *records;      /* type 8, all */
    struct pv_roster_item *in_force;     /* type 8 in force, NULL = none */
    size_t size;                         /* listed statements */
    size_t total;                        /* statements held */
    struct pv_roster_bucket buckets[PV_ROSTER_BUCKETS];
    uint8_t *scratch; /* room for size hashes, so that the head cannot fail */
    size_t scratch_cap;
    uint8_t head[PV_STATEMENT_HASH_LEN];
    bool head_ok;

    struct pv_roster_coordinator coordinators[ROSTER_MAX_COORDINATORS];
    size_t n_coordinators;

    struct pv_roster_orphan orphans[PV_ROSTER_MAX_ORPHANS];
    size_t next_orphan; /* the slot to fill, round robin */

    struct pv_roster_key *dirty, *waiting; /* to settle; refused for a conflict */
    struct pv_roster_key *active_first, *active_last;
    size_t n_active;

    struct pv_roster_list news,
        late; /* to be told: in order; claims that were refused after them */
    struct pv_roster_key *key_news_first, *key_news_last;
    bool coordinators_news;
    struct pv_roster_report reports[PV_ROSTER_MAX_REPORTS];
    size_t report_first, n_reports;
};

/* --- roster.c -------------------------------------------------------------------------------- */

struct pv_roster_key *pv_roster_key(const struct pv_roster *r,
                                    const uint8_t *pk);            /* NULL when unheard of */
void pv_roster_mark(struct pv_roster *r, struct pv_roster_key *k); /* to be settled */
void pv_roster_list_push(struct pv_roster_list *list, struct pv_roster_item *e);
struct pv_roster_item *pv_roster_list_pop(struct pv_roster_list *list); /* NULL when empty */
void pv_roster_report(struct pv_roster *r, enum pv_roster_event_type type,
                      struct pv_roster_key *key, const char *fmt, ...) PV_PRINTF(4, 5);
/* Form, network, and a member statement against the network record. Not the signatures. */
PV_MUST_CHECK int pv_roster_check_form(const struct pv_roster *r, struct pv_view raw,
                                       struct pv_statement *ret_st);
bool pv_roster_signer_may(const struct pv_roster *r, const struct pv_roster_key *signer,
                          uint8_t type);
/* Members count by a receipt unless an admin signed them. */
bool pv_roster_needs_receipt(const struct pv_roster_key *signer, uint8_t type);

/* --- roster_receipt.c ------------------------------------------------------------------------ */

/* Is it a true receipt for this hash, from a coordinator we know? PV_ERR_NOT_FOUND: signed by a key
 * that is no coordinator (yet); *ret_receipt is filled then too. */
PV_MUST_CHECK int pv_roster_check_receipt(const struct pv_roster *r, struct pv_view raw,
                                          const uint8_t *hash, struct pv_receipt *ret_receipt);
/* Gives the receipt its place in its coordinator's order, or reports the break.
 *   PV_ERR_REFUSED  breaks the order
 *   PV_ERR_NOMEM    */
PV_MUST_CHECK int pv_roster_place_receipt(struct pv_roster *r, const struct pv_receipt *receipt,
                                          struct pv_view raw,
                                          struct pv_roster_receipt **ret_placed);
/* Which coordinators may sign, and which record is in force, anew. */
void pv_roster_count_coordinators(struct pv_roster *r);
void pv_roster_receipts_done(struct pv_roster *r);

/* --- roster_settle.c ------------------------------------------------------------------------- */

void pv_roster_settle(struct pv_roster *r);
/* The invite statement that counts for an invite key: of an unrevoked signer if there is one, then
 * the lowest hash. NULL when k is no invite. */
struct pv_roster_item *pv_roster_invite_entry(const struct pv_roster_key *k);
/* The serial of a node's own statement; false for other types. */
bool pv_roster_serial(const struct pv_roster_item *e, uint64_t *ret_serial);
/* How many member statements of node this signer signed. */
size_t pv_roster_claims_by(const struct pv_roster_key *node, const struct pv_roster_key *signer);
/* Does some revocation in force, of k and of this kind, name node as one that stays? */
bool pv_roster_stays(const struct pv_roster_key *k, enum pv_st_revoked_kind kind,
                     const uint8_t *node);
/* The key that holds the value; NULL when it is free. */
struct pv_roster_key *pv_roster_owner(const struct pv_roster *r, enum pv_roster_binding_kind kind,
                                      const void *value, size_t len);
bool pv_roster_in_window(const struct pv_st_invite *invite, uint64_t time);

#endif /* PV_ROSTER_INT_H */
