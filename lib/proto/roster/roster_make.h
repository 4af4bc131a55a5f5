/* SPDX-License-Identifier: MIT */
/*
 * roster_make.h - makes the statements a person's actions need: create a network, invite, join,
 * remove a member, revoke an invite, end an admin's rights, leave.
 *
 * Thin: fields in, signed bytes out. Keys are Ed25519 secret keys (PV_SIGN_SK_LEN), borrowed for
 * the call. Nothing is added to a roster here. Pure; any thread.
 */
#pragma once

#include "proto/roster/roster.h"

/* A statement of a type with the short limit. */
struct pv_made {
    size_t len;
    uint8_t raw[PV_STATEMENT_SHORT_MAX];
};

static inline struct pv_view pv_made_view(const struct pv_made *m)
{
    return pv_view(m->raw, m->len);
}

/* A statement of any type. */
struct pv_made_long {
    size_t len;
    uint8_t raw[PV_STATEMENT_MAX];
};

static inline struct pv_view pv_made_long_view(const struct pv_made_long *m)
{
    return pv_view(m->raw, m->len);
}

/* What `create` needs; strings are canonical already (pv_name_parse). */
struct pv_create {
    struct pv_signer root;
    const uint8_t *node_sk;   /* the creator's identity: first member, admin with both rights */
    const uint8_t *transport; /* the creator's transport pk */
    const char *network_name;
    const char *node_name;
    struct pv_prefix range;
    struct pv_view coordinators; /* a list, pv_coordlist_put() */
    uint64_t wall;               /* Unix seconds */
};

/* The four statements in the order of the `create` request: network record and coordinators record,
 * admin (all by root), member (by the creator as admin). */
struct pv_created {
    uint8_t network_id[PV_NETWORK_ID_LEN];
    uint32_t ip4; /* the creator's, host order */
    struct pv_made network;
    struct pv_made_long coordinators;
    struct pv_made admin;
    struct pv_made member;
};
/* PV_ERR_MALFORMED (a field outside its range; the node name equals the network's), PV_ERR_NOMEM.
 */
PV_MUST_CHECK int pv_make_create(const struct pv_create *c, struct pv_created *ret_created);

/* A node becomes an admin; rights: enum pv_st_right, 1 to 3. PV_ERR_MALFORMED: rights. */
PV_MUST_CHECK int pv_make_admin(const uint8_t *network_id, struct pv_signer signer,
                                const struct pv_st_admin *admin, struct pv_made *ret_made);

/* Another coordinators record: the list of places changed. PV_ERR_MALFORMED: list. */
PV_MUST_CHECK int pv_make_coordinators(const uint8_t *network_id, struct pv_signer signer,
                                       uint64_t seq, struct pv_view list,
                                       struct pv_made_long *ret_made);

/* invite_pk: of the key pair made from the token's seed. not_after: UINT64_MAX = never ends. */
PV_MUST_CHECK int pv_make_invite(const uint8_t *network_id, struct pv_signer signer,
                                 const struct pv_st_invite *invite, struct pv_made *ret_made);

/* member: transport, serial, name, ip4, issued, expires; node, ip6 and node_sig are filled in from
 * node_sk. signer_sk: the invite's or an admin's. */
PV_MUST_CHECK int pv_make_member(const uint8_t *network_id, const uint8_t *signer_sk,
                                 const uint8_t *node_sk, const struct pv_st_member *member,
                                 struct pv_made *ret_made);

/* Another name and address of a member. signer_sk: the node's, root's or an admin's.
 * PV_ERR_MALFORMED: the name. */
PV_MUST_CHECK int pv_make_place(const uint8_t *network_id, struct pv_signer signer,
                                const struct pv_st_place *place, struct pv_made *ret_made);

/* Lets a node in that joined by an invite with PV_INVITE_APPROVAL. signer_sk: root's or an
 * admin's. */
PV_MUST_CHECK int pv_make_admission(const uint8_t *network_id, struct pv_signer signer,
                                    const uint8_t node[static PV_SIGN_PK_LEN], uint64_t wall,
                                    struct pv_made *ret_made);

/* Shows that the node lives, by its present transport key once more: that renews a membership with
 * a lifetime. PV_ERR_NOT_FOUND: the node is no member and was none. */
PV_MUST_CHECK int pv_make_renewal(const struct pv_roster *r, const uint8_t *node_sk, uint64_t wall,
                                  struct pv_made *ret_made);

/* What a node's next card says. */
struct pv_card {
    uint32_t abilities;       /* enum pv_st_ability */
    struct pv_view kem;       /* PV_KEM_EK_LEN bytes, or empty */
    struct pv_view hostkeys;  /* a list (sshkeys.h), or empty */
    struct pv_view loginkeys; /* likewise */
    size_t n_offers;
    struct pv_offer offers[PV_OFFERS_MAX]; /* in any order */
};
/* What a card says; NULL: one that says nothing. its views point into the statement of st.
 */
void pv_card_read(const struct pv_st_card *st, struct pv_card *ret_card);
/* The node's next card. Its serial is above that of the card that the roster has, and at least wall
 * (Unix seconds): a node whose database was put back does not know its latest cards. PV_ERR_LIMIT:
 * more than PV_OFFERS_MAX, or no serial follows; PV_ERR_MALFORMED: a prefix twice, one that
 * nobody may carry, or keys that are no list. */
PV_MUST_CHECK int pv_make_card(const struct pv_roster *r, const uint8_t *node_sk,
                               const struct pv_card *card, uint64_t wall,
                               struct pv_made_long *ret_made);

PV_MUST_CHECK int pv_make_route(const uint8_t *network_id, const uint8_t *signer_sk,
                                const struct pv_st_route *route, struct pv_made *ret_made);
/* A tag, a rule, or the end of one (or of a route, or of a coordinators record) by name. signer_sk:
 * root's or an admin's. */
PV_MUST_CHECK int pv_make_tag(const uint8_t *network_id, const uint8_t *signer_sk,
                              const struct pv_st_tag *tag, struct pv_made *ret_made);
PV_MUST_CHECK int pv_make_rule(const uint8_t *network_id, const uint8_t *signer_sk,
                               const struct pv_st_rule *rule, struct pv_made *ret_made);
PV_MUST_CHECK int pv_make_end(const uint8_t *network_id, struct pv_signer signer,
                              const struct pv_statement *ended, uint64_t wall,
                              struct pv_made *ret_made);
/* Takes back a route, tag or rule of this signer's own: an empty one in its slot. PV_ERR_LIMIT: no
 * statement can follow it there. */
PV_MUST_CHECK int pv_make_slot_empty(const struct pv_statement *st, const uint8_t *signer_sk,
                                     uint64_t wall, struct pv_made *ret_made);

/* Another transport key of the node that signs. */
PV_MUST_CHECK int pv_make_transport(const uint8_t *network_id, const uint8_t *node_sk,
                                    const struct pv_st_transport *transport,
                                    struct pv_made *ret_made);

PV_MUST_CHECK int pv_make_leave(const uint8_t *network_id, const uint8_t *node_sk, uint64_t serial,
                                uint64_t wall, struct pv_made *ret_made);

/*
 * Revokes a node or an invite; the active members it admitted stay. One revocation names at most
 * PV_ROSTER_STAY_MAX of them, so this may take several calls: *iter = 0 before the first; call
 * until *iter is 0 again, and put all statements at once. PV_ERR_NOT_FOUND  kind and pk name
 * nothing in the roster
 */
PV_MUST_CHECK int pv_make_revocation(const struct pv_roster *r, struct pv_signer signer,
                                     const struct pv_st_revocation *what, size_t *iter,
                                     struct pv_made_long *ret_made);

/*
 * Ends all rights that a key has; who is a member by its word stays, also where no receipt shows
 * that this came before. wall: Unix seconds. As with pv_make_revocation() this may take several
 * calls. PV_ERR_NOT_FOUND  the key has no rights, or they are root's
 */
PV_MUST_CHECK int pv_make_rights_end(const struct pv_roster *r, struct pv_signer signer,
                                     const uint8_t pk[static PV_SIGN_PK_LEN], uint64_t wall,
                                     size_t *iter, struct pv_made *ret_made);

/* The same as another admin has said, in the name of this one: a revocation, an end, a record of
 * coordinators (the next after this), or a route, tag or rule (in a slot that is free). The new
 * statement counts whatever becomes of the first signer's rights. wall: Unix seconds, the time of
 * the first two. PV_ERR_LIMIT: there is no slot or number left; PV_ERR_UNSUPPORTED: another
 * type. */
PV_MUST_CHECK int pv_make_again(const struct pv_roster *r, struct pv_signer signer,
                                const struct pv_statement *of, uint64_t wall,
                                struct pv_made_long *ret_made);
