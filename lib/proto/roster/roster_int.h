/* SPDX-License-Identifier: MIT */
/*
 * roster_int.h - what the files of the roster share; nobody else includes it.
 *
 * roster_keys.c has the table of keys, roster.c merges (chains, orphans), roster_set.c keeps the
 * set and what two rosters compare, roster_quota.c says for what there is room, roster_receipt.c
 * knows coordinators and receipts, roster_admin.c decides which revocations are in force
 * and which rules, roster_settle.c what conditions of invites mean, which claims are eligible and
 * who is a member, roster_contest.c who has a name that several claim, roster_report.c
 * says why not, roster_query.c answers.
 *
 * All that is decided is a function of the statements and receipts held, never of their order of
 * arrival (adr 0019). Everything kept beside them is a cache of that function.
 */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "base/vec.h"
#include "proto/roster/roster.h"

enum {
    PV_ROSTER_RIGHTS = 2, /* bits of enum pv_st_right */
    PV_ROSTER_CHEAP = 16, /* ours: statements that are passed in one step */
};

/* The kind in which a value is bound: names, addresses and transport keys share one table. */
enum pv_roster_binding_kind {
    PV_ROSTER_BIND_NAME,
    PV_ROSTER_BIND_IP4,
    PV_ROSTER_BIND_IP6,
    PV_ROSTER_BIND_TRANSPORT,
    PV_ROSTER_BIND_KINDS,
};

/* Why a claim does not count. Reported when it changes. */
enum pv_roster_refusal {
    PV_ROSTER_REFUSE_NONE,
    PV_ROSTER_REFUSE_NAME,      /* another member has the name */
    PV_ROSTER_REFUSE_IP4,       /* another member has an address */
    PV_ROSTER_REFUSE_IP6,       /* the same */
    PV_ROSTER_REFUSE_TRANSPORT, /* another member has the transport key */
    PV_ROSTER_REFUSE_WINDOW,    /* the receipt's time is outside of the invite's window */
    PV_ROSTER_REFUSE_RECEIPT,   /* its receipt's coordinator stands in no record that counts */
    PV_ROSTER_REFUSE_EXPIRY,    /* it sets an expiry, which only an admin may */
    PV_ROSTER_REFUSE_ADMITTER,  /* the invite or the admin that signed it is revoked */
    PV_ROSTER_REFUSE_REVOKED,   /* the node itself is revoked */
    PV_ROSTER_REFUSE_WAITS,     /* its invite wants an admission, and there is none; not reported */
};

/* One receipt in the order of its coordinator: enough to find two that contradict each other. */
struct pv_roster_stamp {
    uint64_t epoch, n, time;
    uint64_t mark; /* first bytes of the statement's hash */
};

/* A key that some record names as coordinator. It goes when no record and no receipt needs it. */
struct pv_roster_coordinator {
    uint8_t pk[PV_SIGN_PK_LEN];
    uint32_t records;  /* coordinators records that name it; above 0 its receipts count */
    uint32_t receipts; /* statements that hold one of its receipts */
    struct pv_roster_stamp *stamps; /* owned; the first n_sorted ascending by (epoch, n) */
    size_t n, n_sorted, cap;
    struct pv_roster_item *dated;               /* the statements with its receipts */
    struct pv_roster_coordinator *next_stamped; /* with is_stamped */
    bool is_stamped;                            /* some stamps are to be put in place */
    UT_hash_handle hh;
};

/* The receipt of a statement, of several the one that counts (pv_roster_prefers). */
struct pv_roster_receipt {
    struct pv_roster_coordinator *by;
    uint64_t time, epoch, n;
    uint8_t raw[PV_RECEIPT_LEN];
};

/* A statement of the set. */
struct pv_roster_item {
    struct pv_roster_entry pub;        /* first: entries are handed out as this */
    struct pv_roster_receipt *receipt; /* owned; NULL = none */
    struct pv_roster_key *subject;     /* the key it is about; NULL for types 1 and 8 */
    struct pv_roster_key *signer;      /* the key that signed it */
    struct pv_roster_item *prev_about, *next_about;   /* same subject */
    struct pv_roster_item *prev_issued, *next_issued; /* same signer */
    struct pv_roster_item *prev, *next;               /* order of arrival */
    struct pv_roster_item *next_kept;                 /* same key and quota */
    /* Of a grant of rights, or of an end: the next one about the same key. */
    struct pv_roster_item *next_office;
    struct pv_roster_item *ended_by; /* of a grant: what ended it; NULL = it stands */
    struct pv_roster_item *prev_record, *next_record; /* all coordinators records; all rules */
    struct pv_roster_item *prev_dated, *next_dated;   /* receipts of the same coordinator */
    struct pv_roster_item *next_news;                 /* waiting for EV_STATEMENT or EV_DROPPED */
    /* The claims of a member, transport key or place statement; each counts it among its refs. */
    struct pv_roster_value *values[PV_ROSTER_BIND_KINDS];
    bool listed;                    /* part of the set */
    bool is_news;                   /* linked by next_news */
    bool gone;                      /* out of the set for good, freed when nobody needs it */
    bool effective;                 /* revocation, end, route, tag, rule: it is in force */
    bool ended;                     /* tag, rule: some end in force names it */
    enum pv_roster_refusal refused; /* the reason last reported; now: pv_roster_refusal_now() */
    uint8_t raw[];                  /* the statement as it was signed */
};

/* --- who has a value that several claim ------------------------------------------------------- */

/* The order in which claims come: all rosters compare these fields alike, whatever came first. */
struct pv_roster_rank {
    bool overclaimed; /* its invite let in more than it allows: somebody lied about it */
    bool bare;        /* no receipt */
    uint64_t time, epoch, n;
    uint8_t coordinator[PV_SIGN_PK_LEN]; /* zeros when bare */
    const uint8_t *hash;                 /* of the statement */
    uint8_t turn; /* 0: a member statement; of one node its further claims come after it */
};

/* A claim's stake in one value. */
struct pv_roster_stake {
    struct pv_roster_value *value; /* NULL = none */
    struct pv_roster_claim *claim;
    struct pv_roster_stake *prev, *next; /* of the same value */
};

/* The present claim of a node: by its member statement to all kinds of values, or a further one, to
 * another value of one kind, by a transport key statement or a place. Part of its key. */
struct pv_roster_claim {
    struct pv_roster_key *key;
    struct pv_roster_item *item; /* NULL = nothing is claimed */
    struct pv_roster_rank rank;
    struct pv_roster_stake stakes[PV_ROSTER_BIND_KINDS];
    struct pv_roster_claim *next; /* to be looked at, while queued */
    bool queued;
    bool wins; /* it has all that it claims */
};

/* A name, address or transport key that some statement of the set claims. */
struct pv_roster_value {
    UT_hash_handle hh;              /* before the key: a search that passes by reads no more */
    uint32_t refs;                  /* statements that claim it, eligible or not */
    uint32_t wanted;                /* nodes that wait to be admitted with it */
    struct pv_roster_claim *owner;  /* the claim that has it; NULL = free */
    struct pv_roster_stake *stakes; /* of all claims to it */
    uint64_t let_go;                /* scratch of pv_roster_free_ip4() */
    uint8_t key[];                  /* kind and value */
};

/* Everything known about one public key, whatever its parts: node, admin, invite, signer. */
struct pv_roster_key {
    UT_hash_handle hh; /* beside the key: a search reads no more */
    union {
        uint8_t pk[PV_SIGN_PK_LEN]; /* member.node, whatever the key is */
        struct pv_member member;    /* node: what is handed out about it */
    };
    struct pv_roster_item *about;                  /* statements about this key, by next_about */
    struct pv_roster_item *issued;                 /* statements it signed, by next_issued */
    struct pv_roster_item *kept[PV_ROSTER_QUOTAS]; /* those that count to a quota, by next_kept */
    struct pv_roster_claim claim; /* node: what it claims by its member statement */
    /* and further, by kind of value; owned; NULL: there never was such a statement */
    struct pv_roster_claim *further[PV_ROSTER_BIND_KINDS];
    struct pv_roster_item *waits;     /* node: its member statement that wants an admission; NULL */
    struct pv_roster_key *next_dirty; /* with in.dirty */
    struct pv_roster_key *next_revoked; /* with in.revoked */
    struct pv_roster_key *next_touched; /* with in.touched */
    struct pv_roster_key *next_news;    /* with in.news */
    /* node: the list of active members, or of those who wait or have expired, with in.aside */
    struct pv_roster_key *prev_active, *next_active;
    struct pv_roster_key *next_mortal; /* with in.mortals */
    struct pv_roster_key *next_admin;  /* with rights: all admins but root */
    struct pv_roster_item *grants;     /* admin statements about it, by next_office */
    struct pv_roster_item *ends;       /* ends about it, by next_office */
    /* For each bit of rights: what ended it last; NULL = it has that right, if it ever had. */
    struct pv_roster_item *end[PV_ROSTER_RIGHTS];
    uint8_t digest[PV_STATEMENT_HASH_LEN]; /* node: its part of the members' digest, digest_ok */
    uint32_t n_about;                      /* statements in about */
    uint32_t claims; /* invite: different nodes with a member statement under it */
    uint32_t n_self; /* node: member, transport, place and leave statements of it */
    uint32_t n_dead; /* of what it brought, counted in the roster's n_dead */
    uint16_t n_kept[PV_ROSTER_QUOTAS]; /* statements in kept */
    uint8_t rights;                    /* by its admin statements, ended or not */
    enum pv_roster_refusal why;        /* node: why its best claim is not eligible */
    bool is_node;                      /* some member statement is about it */
    bool is_invite;                    /* some invite statement is about it */
    bool revoked_node;                 /* a revocation in force names it as a node */
    bool revoked_invite;               /* a revocation in force names it as an invite */
    bool is_overclaimed;               /* invite: more claims than uses; reported */
    struct {
        bool dirty;            /* to be settled */
        bool revoked;          /* the revocations of it are to be looked at */
        bool touched;          /* whether it is a member is to be looked at */
        bool news;             /* the owner is to be told about it */
        bool aside;            /* node: it waits or has expired */
        bool mortals;          /* node: it claimed by an invite with a lifetime once */
        bool by_pk;            /* node */
    } in;                      /* the roster's lists of these names, that it stands there */
    enum pv_member_state told; /* node: what the owner was told last */
    bool changed;              /* something differs from that */
    bool digest_ok;
    struct {
        bool was_ended;  /* admin: some right had ended before it was decided anew */
        bool rules_seen; /* its ends have been looked at */
    } settling;          /* notes of one step of that */
};

/* A place of a bucket. */
struct pv_roster_slot {
    uint64_t prefix; /* the first bytes of the statement's hash: most searches read no more */
    struct pv_roster_item *item;
};

/* The statements whose hashes begin with the same bits: two nodes compare the digests of buckets to
 * find what one of them lacks. */
struct pv_roster_bucket {
    struct pv_roster_slot *v; /* owned; ascending hash */
    uint32_t n, cap;          /* statements in v, and its room */
    uint32_t digest;          /* of the hashes, while digest_ok */
    bool digest_ok;           /* nothing has come since it was computed */
};

/* A statement that came before the one that gives its signer the right to it. */
struct pv_roster_orphan {
    uint8_t wants[PV_SIGN_PK_LEN]; /* the key whose rights it waits for */
    bool ready;                    /* that key has just got some */
    bool verified;                 /* its signatures were checked before */
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
    uint8_t root[PV_SIGN_PK_LEN];  /* the network's first key, from which all rights come */
    struct pv_roster_item *record; /* the network record (type 1) */
    struct pv_map key_map, value_map, coordinator_map; /* hash keys and limits of the tables */
    struct pv_roster_key *keys;                        /* every key heard of, by pk */
    struct pv_roster_value *values;      /* names, addresses and transport keys claimed */
    struct pv_roster_item *first;        /* all statements in order of arrival */
    struct pv_roster_item *records;      /* all coordinators records (type 8) */
    struct pv_roster_item *rules;        /* all routes, tags and rules (16 to 18) */
    struct pv_roster_item *in_force;     /* the coordinators record in force, NULL = none */
    struct pv_roster_coordinator *clock; /* the first that it names; NULL = none */
    struct pv_roster_key *admins;        /* all keys with rights but root */
    size_t size;                         /* listed statements: those that the head covers */
    size_t n_cards;                      /* listed cards, which it does not cover */
    size_t n_dead;                       /* listed statements that the limit does not count */
    /* Most networks are small, so their statements stand in one bucket, whatever their hashes, and
     * get PV_ROSTER_BUCKETS of them when they become too many to be moved for each new one. */
    struct pv_roster_bucket few;
    struct pv_roster_bucket *buckets;    /* owned; NULL: all stand in few */
    uint8_t *scratch;                    /* room for size hashes, so that the head cannot fail */
    size_t scratch_cap;                  /* hashes that fit in scratch */
    struct pv_roster_item **ends;        /* owned: room for settling, n_ends at least */
    size_t n_ends, ends_cap;             /* statements by which somebody may lose a right; places */
    uint8_t head[PV_STATEMENT_HASH_LEN]; /* hash of the whole set, while head_ok */
    bool head_ok;                        /* nothing has come since head was computed */
    uint8_t cards[PV_STATEMENT_HASH_LEN]; /* the same of all cards */
    bool cards_ok;
    struct pv_roster_key **by_pk;           /* owned: active members, and some that were */
    size_t by_pk_cap;                       /* at least as many as there are keys */
    size_t n_by_pk, n_ordered;              /* in by_pk; the first of these ascend by key */
    uint8_t members[PV_STATEMENT_HASH_LEN]; /* digest of the active members, while members_ok */
    bool members_ok;
    uint8_t rules_digest[PV_STATEMENT_HASH_LEN]; /* of tags and rules in force, while rules_ok */
    bool rules_ok;

    struct pv_roster_coordinator *coordinators; /* every key that a record names */
    struct pv_roster_coordinator *stamped;      /* those that gave receipts lately */

    struct pv_roster_orphan *orphans; /* owned: n_orphans slots */
    size_t n_orphans;                 /* grows up to PV_ROSTER_MAX_ORPHANS */
    size_t next_orphan;               /* the slot to fill when there may be no more, round robin */
    bool orphans_wait;                /* some are ready, and there was no memory for them */
    bool saw_newer;                   /* pv_roster_saw_newer() */

    size_t steps;                  /* that settling may still take */
    struct pv_roster_key *dirty;   /* keys whose claims are to be settled */
    struct pv_roster_key *revoked; /* keys whose revocations are to be looked at */
    struct pv_roster_key *touched; /* nodes whose claims won or lost */
    struct pv_roster_claim *queue; /* claims to be looked at */
    struct {
        bool admins;  /* which of them are revoked */
        bool records; /* which coordinators record is in force */
        bool rules;   /* which tags and rules are in force */
        bool time;    /* which receipt is the latest */
    } anew;           /* to be decided */
    struct pv_roster_key *active;
    struct pv_roster_key *aside; /* who waits or has expired */
    size_t n_active, n_aside;

    uint64_t time;                 /* the latest in a receipt by clock, if root names it; 0: none */
    size_t n_latest;               /* listed statements with such a receipt of that time */
    uint64_t judged_at;            /* the time by which members' expiry was looked at */
    uint64_t next_expiry;          /* nobody expires before it; UINT64_MAX = nobody at all */
    struct pv_roster_key *mortals; /* by next_mortal */

    struct pv_roster_list news;          /* statements to tell the owner of, in order */
    struct pv_roster_list dropped;       /* statements that left the set */
    struct pv_roster_item *told_dropped; /* told of last: freed with the next event */
    struct pv_roster_key *key_news_first, *key_news_last; /* keys to tell the owner of */
    bool key_news_sorted;                                 /* those who are gone come first */
    bool coordinators_news;           /* the owner is to be told that the coordinators changed */
    struct pv_roster_report *reports; /* owned: a ring of reports_cap; NULL: none waits */
    size_t reports_cap, report_first, n_reports;
};

/* --- roster_keys.c ---------------------------------------------------------------------------- */

struct pv_roster_key *pv_roster_key(const struct pv_roster *r,
                                    const uint8_t *pk); /* NULL when unheard of */
/* The same, made when unheard of; NULL: no memory. */
struct pv_roster_key *pv_roster_get_or_add_key(struct pv_roster *r, const uint8_t *pk);
void pv_roster_mark(struct pv_roster *r, struct pv_roster_key *k); /* to be settled */
/* Every node whose membership depends on k: admitted by it, or by an invite it signed. */
void pv_roster_mark_dependants(struct pv_roster *r, struct pv_roster_key *k);
/* Members count by a receipt unless an admin signed them. */
bool pv_roster_needs_receipt(const struct pv_roster_key *signer, uint8_t type);

bool pv_roster_in_window(const struct pv_st_invite *invite, uint64_t time);
/* Takes steps from those that pv_roster_settle_some() may take. False: none are left. */
PV_MUST_CHECK bool pv_roster_spend(struct pv_roster *r, size_t steps);

/* --- roster.c --------------------------------------------------------------------------------- */

/* May it sign this, by what it was ever granted? */
bool pv_roster_signer_may(const struct pv_roster *r, const struct pv_roster_key *signer,
                          const struct pv_statement *st);

/* Takes a statement out of every list at once; it is freed when the owner has been told. */
void pv_roster_drop_item(struct pv_roster *r, struct pv_roster_item *e);
/* Frees a statement that is in no list any more; NULL is fine. */
void pv_roster_free_item(struct pv_roster *r, struct pv_roster_item *e);

/* --- roster_set.c ----------------------------------------------------------------------------- */

void pv_roster_list_push(struct pv_roster_list *list, struct pv_roster_item *e);
struct pv_roster_item *pv_roster_list_pop(struct pv_roster_list *list); /* NULL when empty */
/* The listed statement with this hash, len bytes of it. */
struct pv_roster_item *pv_roster_set_find(const struct pv_roster *r, const uint8_t *hash,
                                          size_t len);
/* Room for one more statement in its bucket and in the scratch of the head. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_roster_set_reserve(struct pv_roster *r, const uint8_t *hash);
void pv_roster_set_done(struct pv_roster *r); /* frees what was reserved */
/* Puts e into the room that was reserved for it. */
void pv_roster_set_list(struct pv_roster *r, struct pv_roster_item *e);
void pv_roster_set_unlist(struct pv_roster *r, struct pv_roster_item *e);

/* --- roster_quota.c --------------------------------------------------------------------------- */

static inline enum pv_roster_quota pv_roster_quota_of(uint8_t type)
{
    return pv_kind_of(type)->quota;
}
/* Is a kept rather than b, of the same kind? The higher number, then the lower hash. */
bool pv_roster_is_better(const struct pv_statement *a, const struct pv_statement *b);
/* The best of a node's statements of a kind that comes after `after` (NULL: of all) in that order;
 * NULL when none does. Serials order them; the hash decides between two of one serial, which only a
 * node that lost its memory makes. */
struct pv_roster_item *pv_roster_next_best(const struct pv_roster_key *k,
                                           enum pv_roster_quota quota,
                                           const struct pv_roster_item *after);
/* Is there room for a new statement with this receipt (NULL: none)? *ret_drop: the one that gives
 * way, or NULL. PV_ERR_REPLAY: newer ones have replaced it; PV_ERR_LIMIT. */
PV_MUST_CHECK int pv_roster_find_room(const struct pv_roster *r, const struct pv_statement *st,
                                      const struct pv_roster_receipt *receipt,
                                      struct pv_roster_item **ret_drop);
/* A statement that is not needed any more beside e, which has just come, or has got a receipt;
 * NULL: none. */
struct pv_roster_item *pv_roster_quota_excess(const struct pv_roster *r,
                                              const struct pv_roster_item *e);
void pv_roster_quota_add(struct pv_roster_key *k, struct pv_roster_item *e);
void pv_roster_quota_remove(struct pv_roster_key *k, struct pv_roster_item *e);
/* The statements that k brought count to the limit only while k is not removed. */
void pv_roster_count_dead(struct pv_roster *r, struct pv_roster_key *k);

/* --- roster_receipt.c ------------------------------------------------------------------------- */

/* Is it a true receipt for this hash, from a coordinator we know? PV_ERR_NOT_FOUND: signed by a key
 * that is no coordinator (yet). verified: its signature was checked before. */
PV_MUST_CHECK int pv_roster_check_receipt(const struct pv_roster *r, struct pv_view raw,
                                          const uint8_t *hash, bool verified,
                                          struct pv_roster_receipt *ret_receipt);
/* Is it a receipt of a newer version, signed by a key that some record names? */
bool pv_roster_is_newer_receipt(const struct pv_roster *r, struct pv_view raw);
/* Does e prefer this receipt to the one it has? So that every roster keeps the same one: one that
 * lets its claim count, then one by a coordinator that root named, then the earliest. */
bool pv_roster_prefers(const struct pv_roster_item *e, const struct pv_roster_receipt *receipt);
/* Gives e the receipt, which it prefers. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_roster_give_receipt(struct pv_roster *r, struct pv_roster_item *e,
                                         const struct pv_roster_receipt *receipt);
void pv_roster_drop_receipt(struct pv_roster *r, struct pv_roster_item *e);
/* The listed statement e has its receipt from now on, or will not have it any more. */
void pv_roster_count_time(struct pv_roster *r, const struct pv_roster_item *e, bool comes);
/* A coordinators record enters or leaves the set. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_roster_add_record(struct pv_roster *r, struct pv_roster_item *e);
void pv_roster_remove_record(struct pv_roster *r, struct pv_roster_item *e);
/* Decides which record is in force. */
void pv_roster_settle_records(struct pv_roster *r);
/* Order of two receipts: < 0, 0, > 0. A receipt that is NULL comes last. */
int pv_roster_cmp_receipts(const struct pv_roster_receipt *a, const struct pv_roster_receipt *b);
/* Does this receipt count: does a coordinators record name its signer? NULL: no. */
bool pv_roster_is_ordered(const struct pv_roster_receipt *receipt);
/* Reports receipts by which a coordinator contradicts itself, among those that came last. */
void pv_roster_find_breaks(struct pv_roster *r);
void pv_roster_receipts_done(struct pv_roster *r);

/* --- roster_admin.c --------------------------------------------------------------------------- */

/* A revocation or end of k, or the receipt of one, came or went. */
void pv_roster_mark_revoked(struct pv_roster *r, struct pv_roster_key *k);
/* The rights of k, or the time since when it has none, may be others now: marks all that it said.
 */
void pv_roster_mark_rights(struct pv_roster *r, struct pv_roster_key *k);
/* The receipt of e is another now, or is worth something else: marks what rests on it. */
void pv_roster_mark_receipt(struct pv_roster *r, struct pv_roster_item *e);
/* Room for one more statement, if somebody may lose a right by it. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_roster_reserve_end(struct pv_roster *r, const struct pv_statement *st);
/* A statement that may be such a one comes into the set, or leaves it. */
void pv_roster_count_end(struct pv_roster *r, const struct pv_statement *st, bool comes);
/* Decides which revocations are in force; marks what depends on them. */
PV_MUST_CHECK bool pv_roster_settle_revocations(struct pv_roster *r);
/* Had the signer of this the right to it when it said it: by what came first, it or the end of the
 * signer's rights? */
bool pv_roster_was_in_office(const struct pv_roster *r, const struct pv_roster_item *e);
/* Is it a place that an admin said of another node out of office? */
bool pv_roster_is_void_place(const struct pv_roster *r, const struct pv_roster_item *e);
/* The rights that k has now. */
uint8_t pv_roster_rights_of(const struct pv_roster_key *k);
/* Does this invite, or member statement of an admin, admit node as far as its signer goes? An admin
 * who removes another or ends its rights may name nodes that stay. node NULL: anybody. */
bool pv_roster_signer_counts(const struct pv_roster *r, const struct pv_roster_item *e,
                             const uint8_t *node);
/* Does some revocation in force, of k and of this kind, name node as one that stays? */
bool pv_roster_stays(const struct pv_roster_key *k, enum pv_st_revoked_kind kind,
                     const uint8_t *node);

/* --- rules: roster_admin.c ------------------------------------------------------------------- */

/* A route, tag or rule enters or leaves the set. */
void pv_roster_add_rule(struct pv_roster *r, struct pv_roster_item *e);
void pv_roster_remove_rule(struct pv_roster *r, struct pv_roster_item *e);
/* Decides which tags and rules are in force. */
void pv_roster_settle_rules(struct pv_roster *r);

/* --- roster_settle.c -------------------------------------------------------------------------- */

void pv_roster_settle(struct pv_roster *r);
/* May the node of this key have a card? It has neither left nor been removed. */
bool pv_roster_keeps_card(const struct pv_roster_key *k);
/* How many member statements of node this signer signed. */
size_t pv_roster_claims_by(const struct pv_roster_key *node, const struct pv_roster_key *signer);

/* Why it does not count, if that is the last word of its key or signer in this. */
enum pv_roster_refusal pv_roster_refusal_now(const struct pv_roster_item *e);

/* --- conditions: roster_settle.c ------------------------------------------------------------- */

/* The invite statement that counts for an invite key: of a signer in office if there is one, then
 * the lowest hash. NULL when k is no invite. */
struct pv_roster_item *pv_roster_invite_entry(const struct pv_roster *r,
                                              const struct pv_roster_key *k);
/* Does this place of k count as far as its signer and receipt go, beside that member statement? */
bool pv_roster_place_counts(const struct pv_roster *r, const struct pv_roster_key *k,
                            const struct pv_roster_item *claim, const struct pv_roster_item *e);
/* The admission of k that counts, of several the first in order; NULL when nobody admitted it. */
struct pv_roster_item *pv_roster_find_admission(const struct pv_roster *r,
                                                const struct pv_roster_key *k);
/* The invite by which a member statement claims; NULL: it is signed by an admin. */
const struct pv_st_invite *pv_roster_terms(const struct pv_roster *r,
                                           const struct pv_roster_item *claim);

/* --- roster_contest.c ------------------------------------------------------------------------- */

/* To be looked at: is k a member now? */
void pv_roster_touch(struct pv_roster *r, struct pv_roster_key *k);
/* Does claim or admission a come before b in the order of claims? */
bool pv_roster_goes_first(const struct pv_roster_item *a, const struct pv_roster_item *b);

/* The value that some statement claims; NULL when none does. */
struct pv_roster_value *pv_roster_value(const struct pv_roster *r, enum pv_roster_binding_kind kind,
                                        const void *value, size_t len);
/* The key that holds the value; NULL when it is free. */
struct pv_roster_key *pv_roster_owner(const struct pv_roster *r, enum pv_roster_binding_kind kind,
                                      const void *value, size_t len);
/* Links the values that a member, transport key or place statement claims. PV_ERR_NOMEM: none. */
PV_MUST_CHECK int pv_roster_link_values(struct pv_roster *r, struct pv_roster_item *e);
void pv_roster_unlink_values(struct pv_roster *r, struct pv_roster_item *e);
/* The statements by which a key claims; NULL = nothing. */
struct pv_roster_claims {
    struct pv_roster_item *member;
    struct pv_roster_item *admission; /* that the member statement needed to count */
    struct pv_roster_item *further[PV_ROSTER_BIND_KINDS]; /* each to one kind of value */
};
/* From now on key claims by these. Claims that this concerns are queued. */
void pv_roster_stake(struct pv_roster *r, struct pv_roster_key *k,
                     const struct pv_roster_claims *by);
/* Looks at the queued claims until every value has the owner that comes first. False: the steps
 * ended. */
PV_MUST_CHECK bool pv_roster_contest(struct pv_roster *r);
/* c may be NULL. */
static inline bool pv_roster_wins(const struct pv_roster_claim *c)
{
    return c != NULL && c->wins;
}

/* The statement by which a member has its value of this kind. */
static inline const struct pv_roster_item *pv_roster_has_by(const struct pv_roster_key *k,
                                                            enum pv_roster_binding_kind kind)
{
    return pv_roster_wins(k->further[kind]) ? k->further[kind]->item : k->claim.item;
}

/* The kind of value that another claim has; PV_ROSTER_BIND_KINDS when it lacks none. */
enum pv_roster_binding_kind pv_roster_lacks(const struct pv_roster_claim *c);

/* --- roster_report.c ------------------------------------------------------------------------- */

void pv_roster_report(struct pv_roster *r, enum pv_roster_event_type type,
                      struct pv_roster_key *key, const char *fmt, ...) PV_PRINTF(4, 5);
/* Takes the oldest. PV_ERR_AGAIN: none waits. */
PV_MUST_CHECK int pv_roster_take_report(struct pv_roster *r, struct pv_roster_report *ret_report);
/* The sentence of pv_roster_next_refused() for this reason. */
void pv_roster_explain_refusal(const struct pv_roster_item *e, enum pv_roster_refusal why,
                               const uint8_t *self, char ret_text[static PV_ROSTER_REFUSED]);
/* Once for each reason; PV_ROSTER_REFUSE_NONE: it counts. */
void pv_roster_report_refusal(struct pv_roster *r, struct pv_roster_item *e,
                              enum pv_roster_refusal why);
