/* SPDX-License-Identifier: MIT */
/*
 * roster.h - the set of all statements of one network, and what follows from it: who is a member
 * with which name, addresses and transport key, who may invite and revoke, which invites are
 * usable, what was refused and why (DESIGN 3, docs/PROTOCOL-NETWORK.md "Roster").
 *
 * Used by nodes and coordinators alike; a coordinator is given no more belief than anybody else.
 * Every statement is checked back to the network record's root key. The owner
 *   1. loads what it has on disk, in any order, and polls all events afterwards (what they say is
 *      on disk already),
 *   2. adds what arrives, a whole batch at a time, in any order,
 *   3. polls events until PV_ERR_AGAIN: that settles the batch. Questions answer as of the last
 *      settling.
 * All answers are a function of the statements and receipts held, never of their order, of batches
 * or restarts (adr 0019). Only leaves and revocations take a membership away; who comes later with
 * a better claim to a name takes the name.
 *
 * Does not: store, send, read a clock, keep secrets. Memberships expire by the time in receipts
 * (adr 0022). One thread.
 */
#pragma once

#include "proto/roster/kinds.h"

enum {
    PV_ROSTER_MAX_STATEMENTS = 131072, /* of one network; about 1 KiB each */
    PV_ROSTER_RESERVE = 4096, /* beyond these: half for revocations and ends, all of it for root */
    /* Member, transport key and leave statements a node, of each: the highest serials, as older
     * ones count no more. Of what needs a right as many proven ones besides (roster_quota.c). */
    PV_ROSTER_MAX_SELF = 8,
    PV_ROSTER_MAX_RECORDS = 64,       /* coordinators records a signer: the highest seq */
    PV_ROSTER_MAX_CARDS = 16384,      /* ours: nodes with a card, of up to 2.6 KB each */
    PV_ROSTER_MAX_ORPHANS = 256,      /* statements waiting for their signer's; oldest dropped */
    PV_ROSTER_MAX_REPORTS = 64,       /* reports waiting to be polled; oldest dropped */
    PV_ROSTER_REST = 30 * 86400,      /* seconds: ours, pv_roster_ip4_rests() */
    PV_ROSTER_EPHEMERAL_BELOW = 3600, /* seconds of lifetime: of ephemeral members */
    PV_ROSTER_EPHEMERAL_LIFE = 1800,  /* ours: seconds; one that nobody removes has expired then */
    PV_ROSTER_WINDOW_SLACK = 600,     /* seconds around an invite's window, DESIGN 3 */
    PV_ROSTER_BUCKETS = 256,          /* by first hash byte, in-band type 2 */
    PV_ROSTER_PREFIX_LEN = 8,         /* bytes of a hash that name a statement in-band */
    PV_ROSTER_STAY_MAX = PV_STATEMENT_LIST_MAX / PV_SIGN_PK_LEN, /* nodes in one revocation */
    PV_ROSTER_TEXT = 256,    /* bytes of a report with the NUL */
    PV_ROSTER_REFUSED = 512, /* the same of pv_roster_next_refused(), which names a remedy, too */
};

enum pv_member_state {
    PV_MEMBER_NONE,   /* no claim of this key counts */
    PV_MEMBER_ACTIVE, /* a member now: holds its name, addresses and transport key */
    PV_MEMBER_LEFT,   /* its own leave; may come back with a higher serial */
    /* Removed by a revocation: of the node, or of its invite or admin without naming the node as
     * one that stays. */
    PV_MEMBER_REVOKED, /* a claim that lost its name or address to another is PV_MEMBER_NONE */
    /* Joined by an invite with approval, and no admin in office has admitted it: holds nothing. */
    PV_MEMBER_WAITING,
    /* Was not heard of for the lifetime of its invite: keeps name, addresses and transport key, and
     * is a member again with its next statement that gets a receipt. */
    PV_MEMBER_EXPIRED,
};

/* A node. Valid until the roster is freed; the contents change when the roster settles. Of one that
 * is no member only node, state, rights, and name and admitted_by of its last claim are to be
 * relied on, unless it waits or has expired. */
struct pv_member {
    uint8_t node[PV_SIGN_PK_LEN];
    enum pv_member_state state;
    uint8_t rights;               /* enum pv_st_right bits; 0 = no admin */
    uint8_t transport[PV_DH_LEN]; /* current transport key */
    char name[PV_NAME_BUF];
    struct pv_addr ip4; /* port 0 */
    struct pv_addr ip6; /* port 0 */
    uint32_t abilities; /* enum pv_st_ability: what the node says it can */
    uint64_t serial;    /* of the member statement */
    uint64_t issued;    /* Unix seconds, the node's claim */
    uint32_t lifetime;  /* seconds, of its invite; 0 = for ever */
    uint64_t expires;   /* Unix seconds, unless it is renewed or said anew; 0 = never */
    uint8_t admitted_by[PV_SIGN_PK_LEN]; /* invite pk or admin pk */
    uint64_t joined;                     /* Unix seconds of the receipt, 0 = no receipt */
};

/* Let in by an invite with a lifetime of less than an hour: it leaves when its p2pvpnd ends, and
 * whoever may remove members removes it when it was silent for ten minutes. */
bool pv_member_is_ephemeral(const struct pv_member *m);

struct pv_roster_invite {
    uint8_t invite[PV_SIGN_PK_LEN];
    uint8_t signer[PV_SIGN_PK_LEN];
    uint64_t not_before; /* Unix seconds */
    uint64_t not_after;  /* Unix seconds, UINT64_MAX = never ends */
    uint32_t uses;
    uint32_t used; /* different nodes that claim under it, those gone included; may exceed uses */
    uint8_t flags; /* enum pv_st_invite_flag */
    uint32_t lifetime; /* of members by it: seconds, 0 = for ever */
    bool revoked;      /* it, or the admin who signed it */
};

/* One statement of the set. Valid until EV_DROPPED names it or the roster is freed; its receipt may
 * become another, in place. */
struct pv_roster_entry {
    struct pv_statement st; /* st.raw is owned by the roster */
    struct pv_view receipt; /* PV_RECEIPT_LEN bytes, or empty */
};

enum pv_roster_event_type {
    PV_ROSTER_EV_STATEMENT, /* entry is new, or has a new receipt: store it, pass it on */
    /* entry has left the set, for a newer one of its kind: forget it, told of before or not. It is
     * freed by the next call of pv_roster_poll_event() or pv_roster_free(). */
    PV_ROSTER_EV_DROPPED,
    PV_ROSTER_EV_MEMBER_ADDED,   /* member: not active when last told, now is */
    PV_ROSTER_EV_MEMBER_CHANGED, /* member: still active, something differs */
    PV_ROSTER_EV_MEMBER_GONE,    /* member: not active any more, state says why */
    PV_ROSTER_EV_MEMBER_WAITS,   /* member: asks to be admitted, and was not a member before */
    PV_ROSTER_EV_COORDINATORS,   /* another coordinators record is in force */
    PV_ROSTER_EV_REFUSED, /* text: a claim was refused and why, or a word against somebody is void
                           */
    PV_ROSTER_EV_BREAK,   /* text: a coordinator lies: receipts that contradict, uses exceeded */
};

struct pv_roster_event {
    enum pv_roster_event_type type;
    const struct pv_roster_entry *entry; /* EV_STATEMENT, EV_DROPPED */
    const struct pv_member *member;      /* EV_MEMBER_*; EV_REFUSED of a claim: that key */
    char text[PV_ROSTER_TEXT];           /* EV_REFUSED, EV_BREAK: one sentence, no line break */
};

enum pv_roster_added {
    PV_ROSTER_KNOWN,  /* had it already */
    PV_ROSTER_NEW,    /* merged: it, or a receipt for it that is better or the first */
    PV_ROSTER_ORPHAN, /* put aside until the statement that gives its signer (or its receipt's
                         coordinator) the right arrives */
};

struct pv_roster; /* opaque */

/*
 * A roster from its network record (type 1, borrowed for the call). expect_id: PV_NETWORK_ID_LEN
 * bytes the record must hash to (from the token or the disk), or NULL on a coordinator that learns
 * the network from its creator. rng: keys of the hash tables.
 *   PV_ERR_AUTH (another network, bad signature), any error of pv_statement_decode(), PV_ERR_NOMEM
 */
PV_MUST_CHECK int pv_roster_new(struct pv_view record, const uint8_t *expect_id,
                                const struct pv_rng *rng, struct pv_roster **ret_roster);
/* The same for a record that was verified before it was stored, as pv_roster_load(). */
PV_MUST_CHECK int pv_roster_new_loaded(struct pv_view record, const uint8_t *expect_id,
                                       const struct pv_rng *rng, struct pv_roster **ret_roster);
struct pv_roster *pv_roster_free(struct pv_roster *r); /* NULL is fine; returns NULL */

/*
 * Merges one statement with its receipt (an empty view: none). Both are borrowed for the call.
 *   PV_ERR_TRUNCATED, PV_ERR_MALFORMED  form, or against the network's rules
 *   PV_ERR_UNSUPPORTED  of a newer version, it or its receipt, by the signature of a known key
 *   PV_ERR_AUTH     a signature is wrong, or it belongs to another network
 *   PV_ERR_REFUSED  the signer may not sign this; an invited member without a receipt
 *   PV_ERR_LIMIT    a limit above
 *   PV_ERR_REPLAY   newer statements have replaced it
 *   PV_ERR_NOMEM    the roster is as before
 */
PV_MUST_CHECK int pv_roster_add(struct pv_roster *r, struct pv_view statement,
                                struct pv_view receipt, enum pv_roster_added *ret_added);

/* The same for what was verified before it was stored, and comes from no place but our own store:
 * signatures are not checked again, which is most of what a start costs. hash: the statement's, of
 * pv_statement_hash(), where the caller has it; NULL: it is computed. */
PV_MUST_CHECK int pv_roster_load(struct pv_roster *r, struct pv_view statement, const uint8_t *hash,
                                 struct pv_view receipt, enum pv_roster_added *ret_added);

/* Settles what was added in so many steps, of about a microsecond each, and not by its first event:
 * for a coordinator, which has other networks. True: settled. Until then nothing is added, no event
 * is polled, and answers may be of before or after. */
PV_MUST_CHECK bool pv_roster_settle_some(struct pv_roster *r, size_t steps);
/* Settles what was added, then gives one event. PV_ERR_AGAIN: all told. */
PV_MUST_CHECK int pv_roster_poll_event(struct pv_roster *r, struct pv_roster_event *ret_event);

/* --- questions ----------------------------------------------------------------------------- */

const uint8_t *pv_roster_network_id(const struct pv_roster *r); /* PV_NETWORK_ID_LEN bytes */
const uint8_t *pv_roster_root(const struct pv_roster *r);       /* PV_SIGN_PK_LEN bytes */
const struct pv_st_network *pv_roster_network(const struct pv_roster *r);
/* Is it a part of one of the network's own ranges, of IPv4 or IPv6, in which members have their
 * addresses and nobody else has? */
bool pv_roster_has_range(const struct pv_roster *r, const struct pv_prefix *p);

/* Active members only; NULL when there is none. */
const struct pv_member *pv_roster_by_node(const struct pv_roster *r,
                                          const uint8_t node[static PV_SIGN_PK_LEN]);
const struct pv_member *pv_roster_by_name(const struct pv_roster *r, const char *name);
const struct pv_member *pv_roster_by_ip(const struct pv_roster *r, const struct pv_addr *ip);
/* Has no other node this name, or address, or waits with it? One that was renamed keeps its first
 * one from others. */
bool pv_roster_name_is_free(const struct pv_roster *r, const char *name,
                            const uint8_t node[static PV_SIGN_PK_LEN]);
bool pv_roster_ip4_is_free(const struct pv_roster *r, const uint8_t ip4[static PV_IP4_LEN],
                           const uint8_t node[static PV_SIGN_PK_LEN]);
/* When a node that is no member any more left or was removed, Unix seconds by the receipt or else
 * by its word; 0: it was never one. */
uint64_t pv_roster_gone(const struct pv_roster *r, const uint8_t node[static PV_SIGN_PK_LEN]);
/* Until when (Unix seconds) an address that another node had is to be given to nobody: 30 days from
 * when that left, was removed or moved, since others may let in by address. 0: no other had it.
 * Walks over all statements. */
uint64_t pv_roster_ip4_rests(const struct pv_roster *r, const uint8_t ip4[static PV_IP4_LEN],
                             const uint8_t node[static PV_SIGN_PK_LEN]);
const struct pv_member *pv_roster_by_transport(const struct pv_roster *r,
                                               const uint8_t transport[static PV_DH_LEN]);
/* Did this node ever say that this is its transport key, in a statement that is kept? */
bool pv_roster_had_transport(const struct pv_roster *r, const uint8_t node[static PV_SIGN_PK_LEN],
                             const uint8_t transport[static PV_DH_LEN]);
/* Any key some node statement is about, whatever its state; NULL when unheard of. */
const struct pv_member *pv_roster_known(const struct pv_roster *r,
                                        const uint8_t node[static PV_SIGN_PK_LEN]);
/* All active members, oldest first: prev = NULL for the first; NULL after the last. */
const struct pv_member *pv_roster_next(const struct pv_roster *r, const struct pv_member *prev);
size_t pv_roster_count(const struct pv_roster *r); /* active members */
/* Those who wait, and those who have expired, in the order in which they began to: as
 * pv_roster_next(). */
const struct pv_member *pv_roster_next_aside(const struct pv_roster *r,
                                             const struct pv_member *prev);
size_t pv_roster_count_aside(const struct pv_roster *r);
/* A node that is a member, or waits, or has expired; NULL: it is none of these. */
const struct pv_member *pv_roster_enrolled(const struct pv_roster *r,
                                           const uint8_t node[static PV_SIGN_PK_LEN]);
/* The latest time in any receipt by the first coordinator of the record in force, if root names
 * that one in any record, Unix seconds: by it memberships expire. 0: there is none. */
uint64_t pv_roster_time(const struct pv_roster *r);

/* A name or address that changed hands: the key that had it last before its present holder. */
struct pv_roster_former {
    uint8_t node[PV_SIGN_PK_LEN]; /* the former holder: removed, left, or renamed since */
    uint64_t since; /* Unix seconds: the present holder's receipt; without one its own claim */
};
/* Did another machine have the name of this active member before ("bob is another machine since
 * ...")? For lists of members, chat and history, which show old lines under a name. It follows
 * from the statements alone, so all nodes answer alike. PV_ERR_NOT_FOUND: nobody else had it. */
PV_MUST_CHECK int pv_roster_former(const struct pv_roster *r, const struct pv_member *m,
                                   struct pv_roster_former *ret_former);
/* Of several machines that had the name and have it no more the one that let go of it last: it left
 * or was removed, or is a member that was renamed. NULL: there is none. */
const struct pv_member *pv_roster_last_holder(const struct pv_roster *r, const char *name);
/* As pv_roster_former() of its IPv4 address: others may have let in by it. */
PV_MUST_CHECK int pv_roster_former_ip4(const struct pv_roster *r, const struct pv_member *m,
                                       struct pv_roster_former *ret_former);

/* The claims that do not count although those who made them stand by them: prev = NULL for the
 * first; NULL after the last. ret_text: one sentence, why and what helps; self: the key of this
 * machine. Walks over all statements; by the last settling. */
const struct pv_roster_entry *pv_roster_next_refused(const struct pv_roster *r,
                                                     const struct pv_roster_entry *prev,
                                                     const uint8_t self[static PV_SIGN_PK_LEN],
                                                     char ret_text[static PV_ROSTER_REFUSED]);
/* Did pv_roster_add() or pv_roster_load() ever answer PV_ERR_UNSUPPORTED? Then p2pvpn on this
 * machine has to be upgraded. */
bool pv_roster_saw_newer(const struct pv_roster *r);
/* Is it one of those because this member has the name, or the IPv4 address, that it claims? It
 * counts from when that one lets go of it. */
bool pv_roster_waits_for(const struct pv_roster *r, const struct pv_roster_entry *entry,
                         const struct pv_member *m);

/* Rights of a key: both for root, those of its admin statements that have not ended, else 0. */
uint8_t pv_roster_rights(const struct pv_roster *r, const uint8_t pk[static PV_SIGN_PK_LEN]);
/* Is this revocation, end, coordinators record, route, tag or rule in force: its signer had the
 * right to it, and of routes, tags and rules: nobody has ended it, and its slot is not empty? */
bool pv_roster_in_force(const struct pv_roster_entry *entry);
/* Would the statement with this hash, which is held, get this receipt instead of its own? The
 * signature of the receipt is not looked at. */
bool pv_roster_wants_receipt(const struct pv_roster *r,
                             const uint8_t hash[static PV_STATEMENT_HASH_LEN],
                             struct pv_view receipt);
/* Does this statement, which needs a right and is in force, stay so when its signer loses the
 * right? It is root's, or has a receipt that counts. */
bool pv_roster_is_lasting(const struct pv_roster *r, const struct pv_roster_entry *entry);
/* Did some admin statement ever give it rights, whatever has become of them? */
bool pv_roster_was_admin(const struct pv_roster *r, const uint8_t pk[static PV_SIGN_PK_LEN]);
/* Would this revocation or end of rights be in force, if it came without a receipt? Its signer has
 * the right, or had it, and nobody knows whether that ended before: then it counts
 * (docs/PROTOCOL-NETWORK.md "Roster"). */
bool pv_roster_would_end(const struct pv_roster *r, const struct pv_statement *st);
/* The admin statements by which a key has rights: prev = NULL for the first; NULL after the last.
 */
const struct pv_roster_entry *pv_roster_next_grant(const struct pv_roster *r,
                                                   const uint8_t pk[static PV_SIGN_PK_LEN],
                                                   const struct pv_roster_entry *prev);
/* The proof for a stranger that this key could sign something that counts: those grants; of a key
 * whose rights have all ended the ended ones, since what it said before stays good. As above. */
const struct pv_roster_entry *pv_roster_next_proof(const struct pv_roster *r,
                                                   const uint8_t pk[static PV_SIGN_PK_LEN],
                                                   const struct pv_roster_entry *prev);
/* Does the membership of m, which is active, rest on a word of this key that no receipt in order
 * dates before since (Unix seconds)? Then it would fall with the key's rights. */
bool pv_roster_rests_on(const struct pv_roster *r, const struct pv_member *m,
                        const uint8_t pk[static PV_SIGN_PK_LEN], uint64_t since);
/* All tags and rules in force, in no order: prev = NULL for the first; NULL after the last. */
const struct pv_roster_entry *pv_roster_next_rule(const struct pv_roster *r,
                                                  const struct pv_roster_entry *prev);
/* All permissions to carry a prefix (PV_ST_ROUTE) in force, likewise. */
const struct pv_roster_entry *pv_roster_next_route(const struct pv_roster *r,
                                                   const struct pv_roster_entry *prev);
/* The member that carries m, a phone (docs/PROTOCOL-NETWORK.md "Roster"): m has no rights, has
 * never said what it can do, and a permission in force, no older than m and of the key that let it
 * in, to carry the address of m alone names the other. Of several the one that was said first, by
 * its own word and then by its hash. NULL: m is no phone. */
const struct pv_member *pv_roster_gateway(const struct pv_roster *r, const struct pv_member *m);
/* The same of the member whose address alone this permission (PV_ST_ROUTE) is about, which is given
 * in *ret_phone; NULL: it is about no phone. */
const struct pv_member *pv_roster_names_gateway(const struct pv_roster *r,
                                                const struct pv_statement *st,
                                                const struct pv_member **ret_phone);
/* The key of the machine that carried m and is no member any more, by any admin's permission: of
 * one who is gone another one may have said it again. NULL: m is no phone, or one that is carried.
 */
const uint8_t *pv_roster_lost_gateway(const struct pv_roster *r, const struct pv_member *m);
/* The card of this node, member or not: what it offers to carry, what it can do, its sealing key
 * and the host keys of its sshd. NULL: it has shown none, or was removed. Valid until the roster's
 * statements change. */
const struct pv_st_card *pv_roster_card(const struct pv_roster *r,
                                        const uint8_t node[static PV_SIGN_PK_LEN]);
/* Where this key may say its next route, tag or rule (the type): a slot in which nothing is in
 * force. PV_ERR_LIMIT: all PV_RULE_SLOTS are taken. */
PV_MUST_CHECK int pv_roster_free_slot(const struct pv_roster *r,
                                      const uint8_t pk[static PV_SIGN_PK_LEN], uint8_t type,
                                      struct pv_st_slot *ret_slot);
/* The admission of node that counts; NULL: nobody in office admitted it. */
const struct pv_roster_entry *pv_roster_admission(const struct pv_roster *r,
                                                  const uint8_t node[static PV_SIGN_PK_LEN]);
/* The coordinators record in force, valid until the roster changes; NULL when there is none. The
 * next one has a higher seq. */
const struct pv_roster_entry *pv_roster_coordinators_record(const struct pv_roster *r);
/* The list of that record, empty when there is none. */
struct pv_view pv_roster_coordinators(const struct pv_roster *r);
/* All coordinators records, of former lists and of the one in force, in
 * no order: prev = NULL for the first; NULL after the last. */
const struct pv_roster_entry *pv_roster_next_record(const struct pv_roster *r,
                                                    const struct pv_roster_entry *prev);
/* May this key sign receipts: does a coordinators record name it? */
bool pv_roster_is_coordinator(const struct pv_roster *r, const uint8_t pk[static PV_SIGN_PK_LEN]);

/* PV_ERR_NOT_FOUND. */
PV_MUST_CHECK int pv_roster_invite(const struct pv_roster *r,
                                   const uint8_t invite[static PV_SIGN_PK_LEN],
                                   struct pv_roster_invite *ret_invite);
/* All invites: *iter = NULL before the first call. PV_ERR_NOT_FOUND after the last. */
PV_MUST_CHECK int pv_roster_next_invite(const struct pv_roster *r, const void **iter,
                                        struct pv_roster_invite *ret_invite);
/* A member statement of each node that this invite ever let in, also of those that are gone, not of
 * those that nobody admitted, the latest to arrive first: prev = NULL for the first; NULL after the
 * last. All invites together cost one walk over the member statements. */
const struct pv_roster_entry *pv_roster_next_let_in(const struct pv_roster *r,
                                                    const uint8_t invite[static PV_SIGN_PK_LEN],
                                                    const struct pv_roster_entry *prev);
/* May node join by this invite now (DESIGN 3)? A node that used it before may again.
 *   PV_ERR_NOT_FOUND  no such invite
 *   PV_ERR_REFUSED    the invite or the node is revoked
 *   PV_ERR_EXPIRED    used up, or wall (Unix seconds) is outside its window */
PV_MUST_CHECK int pv_roster_check_invite(const struct pv_roster *r,
                                         const uint8_t invite[static PV_SIGN_PK_LEN],
                                         const uint8_t node[static PV_SIGN_PK_LEN], uint64_t wall);
/* Is a statement that decodes of this network, and does what it claims fit the network's record?
 * For a coordinator before it gives a receipt, too. PV_ERR_AUTH; PV_ERR_MALFORMED; PV_ERR_REFUSED:
 * only root may sign it, and another key did. */
PV_MUST_CHECK int pv_roster_check_fields(const struct pv_roster *r, const struct pv_statement *st);
/* Would this member statement, whose signatures were verified (pv_statement_verify()), count if it
 * got a receipt of that time (Unix seconds)? For a coordinator before it gives one. As check_invite
 * and add, and PV_ERR_EXISTS (name, address or transport key is another's), PV_ERR_REPLAY (the node
 * has a higher serial). */
PV_MUST_CHECK int pv_roster_check_verified(const struct pv_roster *r, const struct pv_statement *st,
                                           uint64_t wall);
/* One above the highest serial that the node has used, or root or an admin of it; 0 for a new node.
 * Words of a former admin that are more than 2^32 above all others are left out. */
uint64_t pv_roster_next_serial(const struct pv_roster *r,
                               const uint8_t node[static PV_SIGN_PK_LEN]);
/* The first address of the range, from the node's own start on, that no other node ever had and
 * taken() (may be NULL) does not claim; when all have been used, of those that are free the one
 * that was let go first. PV_ERR_LIMIT: none is free. */
PV_MUST_CHECK int pv_roster_free_ip4(const struct pv_roster *r,
                                     const uint8_t node[static PV_SIGN_PK_LEN],
                                     bool (*taken)(const void *ctx, uint32_t ip4), const void *ctx,
                                     uint32_t *ret_ip4);

/* Would pv_roster_add() find room for a new statement? For a coordinator before it gives a receipt.
 * PV_ERR_LIMIT. */
PV_MUST_CHECK int pv_roster_check_room(const struct pv_roster *r, const struct pv_statement *st);
/* Is that room the place of another one, which leaves the set? */
bool pv_roster_replaces(const struct pv_roster *r, const struct pv_statement *st);

/* --- the set itself: comparing and exchanging ------------------------------------------------ */

/* Cards are no part of the set: neither size nor head know them. Buckets, pv_roster_find() and
 * pv_roster_next_entry() do. */

size_t pv_roster_size(const struct pv_roster *r); /* statements in the set */
/* BLAKE2b-256 over the ascending hashes of the whole set. */
void pv_roster_head(struct pv_roster *r, uint8_t ret_head[static PV_STATEMENT_HASH_LEN]);
/* BLAKE2b-256 over the ascending hashes of all cards, which the head does not cover. */
void pv_roster_cards(struct pv_roster *r, uint8_t ret_digest[static PV_STATEMENT_HASH_LEN]);
/* Digest of the active members as of the last settling (docs/PROTOCOL-NETWORK.md "Roster"): equal
 * heads and unequal digests mean that two nodes decide differently about the same statements. */
void pv_roster_members(struct pv_roster *r, uint8_t ret_digest[static PV_STATEMENT_HASH_LEN]);
/* BLAKE2b-256 over the ascending hashes of all tags and rules in force, as of the last settling. */
void pv_roster_rules(struct pv_roster *r, uint8_t ret_digest[static PV_STATEMENT_HASH_LEN]);
/* The same but for the tags of this key; NULL: all. Computed anew each time. */
void pv_roster_rules_but(struct pv_roster *r, const uint8_t *but,
                         uint8_t ret_digest[static PV_STATEMENT_HASH_LEN]);
/* First 4 bytes of a digest over the statements of a bucket and their receipts, cards excepted; 0
 * when empty. */
uint32_t pv_roster_receipts_digest(const struct pv_roster *r, uint8_t bucket);
/* First 4 bytes of BLAKE2b-256 over the ascending hashes with this first byte; 0 when empty. */
uint32_t pv_roster_bucket_digest(struct pv_roster *r, uint8_t bucket);
/* The statements of a bucket in ascending order of hash: i from 0; NULL after the last. */
const struct pv_roster_entry *pv_roster_bucket_at(const struct pv_roster *r, uint8_t bucket,
                                                  size_t i);
/* By whole hash or by its first PV_ROSTER_PREFIX_LEN bytes; NULL when absent. */
const struct pv_roster_entry *pv_roster_find(const struct pv_roster *r,
                                             const uint8_t hash[static PV_STATEMENT_HASH_LEN]);
const struct pv_roster_entry *
pv_roster_find_prefix(const struct pv_roster *r, const uint8_t prefix[static PV_ROSTER_PREFIX_LEN]);
/* Every statement and card, in order of arrival: prev = NULL for the first; NULL after the last. */
const struct pv_roster_entry *pv_roster_next_entry(const struct pv_roster *r,
                                                   const struct pv_roster_entry *prev);
