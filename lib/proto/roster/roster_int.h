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

/* What a value is bound as: names, addresses and transport keys share one table, in which a value
 * has at most one owner. */
enum pv_roster_binding_kind {
    BIND_NAME,
    BIND_IP4,
    BIND_IP6,
    BIND_TRANSPORT,
    BIND_KINDS,
};

/* One value and the member it belongs to. Part of its owner, linked in the roster's bindings. */
struct pv_roster_binding {
    uint8_t key[ROSTER_BINDING_LEN]; /* kind, value, zeros up to the end */
    struct pv_roster_key *owner;     /* the member that has the value */
    UT_hash_handle hh;
};

/* Why a claim does not count. Reported when it changes. */
enum pv_roster_refusal {
    REFUSE_NONE,
    REFUSE_NAME,      /* another member has the name */
    REFUSE_ADDRESS,   /* another member has an address */
    REFUSE_TRANSPORT, /* another member has the transport key */
    REFUSE_WINDOW,    /* the receipt's time is outside of the invite's window */
    REFUSE_USES,      /* the invite was used up by others before */
    REFUSE_EXPIRY,    /* it sets an expiry, which only an admin may */
    REFUSE_ADMITTER,  /* the invite or the admin that signed it is revoked */
    REFUSE_REVOKED,   /* the node itself is revoked */
};

/* A receipt in both forms: judged by its fields, handed on as the bytes that were signed. */
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
    struct pv_roster_key *signer;  /* the key that signed it */
    struct pv_roster_item *next_about;  /* same subject; type 8: all of that type */
    struct pv_roster_item *next_issued; /* same signer */
    struct pv_roster_item *next;        /* order of arrival */
    struct pv_roster_item *next_news;   /* waiting for EV_STATEMENT */
    uint8_t n_receipts;                 /* receipts of it accepted so far */
    bool listed;                        /* part of the set (an unknown type may be dropped again) */
    bool is_news;                       /* linked by next_news */
    bool effective;                     /* revocation: it is in force */
    bool counted; /* member: was in force once, so window and uses matter no more */
    enum pv_roster_refusal refused; /* the reason last reported */
    uint8_t raw[];                  /* the statement as it was signed */
};

/* Everything known about one public key, whatever its parts: node, admin, invite, signer. */
struct pv_roster_key {
    uint8_t pk[PV_SIGN_PK_LEN];
    struct pv_member member;       /* node: what is handed out about it */
    struct pv_roster_item *about;  /* statements about this key, by next_about */
    struct pv_roster_item *issued; /* statements it signed, by next_issued */
    struct pv_roster_item *force;  /* node: its member statement in force; NULL unless active */
    struct pv_roster_binding bound[BIND_KINDS];      /* node: the values it has while active */
    struct pv_roster_key *next_dirty;                /* with is_dirty */
    struct pv_roster_key *next_waiting;              /* with is_waiting */
    struct pv_roster_key *next_news;                 /* with is_news */
    struct pv_roster_key *prev_active, *next_active; /* node: the list of active members */
    /* Invite: receipt of its last use, while there are more claims than uses; NULL = not known. */
    struct pv_roster_receipt *cutoff;
    uint32_t claims;     /* invite: different nodes with a member statement under it */
    uint16_t n_self;     /* node: member, transport and leave statements */
    uint8_t n_unknown;   /* signer: listed statements of unknown types */
    uint8_t rights;      /* by its admin statements, revoked or not */
    bool is_node;        /* some member statement is about it */
    bool is_invite;      /* some invite statement is about it */
    bool revoked_node;   /* a revocation in force names it as a node */
    bool revoked_invite; /* a revocation in force names it as an invite */
    bool is_dirty;       /* to be settled */
    bool is_waiting;     /* refused because another member has its name, address or key */
    bool is_news;        /* the owner is to be told about it */
    bool told_active;    /* the owner was told that the node is an active member */
    bool changed;        /* something differs from what the owner was told */
    UT_hash_handle hh;
};

/* A key that some record names as coordinator, with the receipts it gave. */
struct pv_roster_coordinator {
    uint8_t pk[PV_SIGN_PK_LEN];
    bool allowed;                     /* stands in a record of an unrevoked signer */
    struct pv_roster_receipt **order; /* owned; ascending (epoch, n) */
    size_t n, cap;                    /* receipts in order, and its room */
};

/* The statements whose hashes begin with the same bits: two nodes compare the digests of buckets to
 * find what one of them lacks. */
struct pv_roster_bucket {
    struct pv_roster_item **v; /* owned; ascending hash */
    uint32_t n, cap;           /* statements in v, and its room */
    uint32_t digest;           /* of the hashes, while digest_ok */
    bool digest_ok;            /* nothing has come since it was computed */
};

/* A statement that came before the one that gives its signer the right to it. */
struct pv_roster_orphan {
    uint8_t wants[PV_SIGN_PK_LEN]; /* the key whose rights it waits for */
    bool ready;                    /* that key has just got some */
    size_t len, receipt_len;       /* bytes of the two parts of raw */
    uint8_t *raw;                  /* owned: statement, then receipt; NULL = free slot */
};

/* An event for the owner that no statement or key stands for. */
struct pv_roster_report {
    enum pv_roster_event_type type;
    struct pv_roster_key *key; /* the key it is about, NULL = none */
    char text[PV_ROSTER_TEXT]; /* a sentence for people */
};

/* Statements linked by next_news. */
struct pv_roster_list {
    struct pv_roster_item *first, *last;
};

struct pv_roster {
    uint8_t root[PV_SIGN_PK_LEN];        /* the network's first key, from which all rights come */
    struct pv_roster_item *record;       /* the network record (type 1) */
    struct pv_map key_map, binding_map;  /* hash keys and limits of the two tables below */
    struct pv_roster_key *keys;          /* every key heard of, by pk */
    struct pv_roster_binding *bindings;  /* names, addresses and transport keys in use */
    struct pv_roster_item *first, *last; /* all statements in order of arrival */
    struct pv_roster_item *records;      /* all coordinator records (type 8) */
    struct pv_roster_item *in_force;     /* the coordinator record in force, NULL = none */
    size_t size;                         /* listed statements: those that the head covers */
    size_t total;                        /* statements held */
    struct pv_roster_bucket buckets[PV_ROSTER_BUCKETS];
    uint8_t *scratch;                    /* room for size hashes, so that the head cannot fail */
    size_t scratch_cap;                  /* hashes that fit in scratch */
    uint8_t head[PV_STATEMENT_HASH_LEN]; /* hash of the whole set, while head_ok */
    bool head_ok;                        /* nothing has come since head was computed */

    struct pv_roster_coordinator coordinators[ROSTER_MAX_COORDINATORS];
    size_t n_coordinators;

    struct pv_roster_orphan orphans[PV_ROSTER_MAX_ORPHANS];
    size_t next_orphan; /* the slot to fill, round robin */

    struct pv_roster_key *dirty;   /* keys to be settled */
    struct pv_roster_key *waiting; /* nodes refused for a conflict: settled again when it ends */
    struct pv_roster_key *active_first, *active_last;
    size_t n_active;

    struct pv_roster_list news; /* statements to tell the owner of, in order */
    struct pv_roster_list late; /* refused claims, told of after news */
    struct pv_roster_key *key_news_first, *key_news_last; /* keys to tell the owner of */
    bool coordinators_news; /* the owner is to be told that the coordinators changed */
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
/* Checks form, network, and a member statement against the network record. Not the signatures. */
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
/* Decides anew which coordinators may sign, and which record is in force. */
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
