/* SPDX-License-Identifier: MIT */
/*
 * roster_make.c - makes the signed statements that a person's actions need. Each statement made is
 * decoded again by pv_statement_make(), so no statement leaves here that another node would refuse
 * for its form.
 */
#include "proto/roster/roster_make.h"

#include <stdlib.h>
#include <string.h>

enum {
    SURELY_BEFORE_S = 24 * 3600, /* ours: clocks of two coordinators do not differ by so much */
};

static const uint8_t *pk_of(const uint8_t *sk)
{
    return sk + PV_SIGN_SEED_LEN;
}

static struct pv_statement begin_statement(uint8_t type, const uint8_t *network_id)
{
    struct pv_statement st;

    memset(&st, 0, sizeof(st));
    st.type = type;
    if (network_id != NULL)
        memcpy(st.network_id, network_id, sizeof(st.network_id));
    return st;
}

/* Copies a canonical name; a longer one stays without its NUL and is refused when encoded. */
static void set_name(char dst[static PV_NAME_BUF], const char *name)
{
    size_t len = strnlen(name, PV_NAME_BUF);
    memset(dst, 0, PV_NAME_BUF);
    memcpy(dst, name, len);
}

static int sign_short(const struct pv_statement *st, struct pv_signer signer,
                      const uint8_t *node_sk, struct pv_made *made)
{
    return pv_statement_make(st, signer, node_sk, made->raw, sizeof(made->raw), &made->len);
}

int pv_make_invite(const uint8_t *network_id, struct pv_signer signer,
                   const struct pv_st_invite *invite, struct pv_made *ret_made)
{
    struct pv_statement st = begin_statement(PV_ST_INVITE, network_id);

    st.u.invite = *invite;
    return sign_short(&st, signer, NULL, ret_made);
}

int pv_make_member(const uint8_t *network_id, const uint8_t *signer_sk, const uint8_t *node_sk,
                   const struct pv_st_member *member, struct pv_made *ret_made)
{
    struct pv_statement st = begin_statement(PV_ST_MEMBER, network_id);

    st.u.member = *member;
    memcpy(st.u.member.node, pk_of(node_sk), PV_SIGN_PK_LEN);
    pv_node_ip6(network_id, st.u.member.node, st.u.member.ip6);
    return sign_short(&st, pv_signer_sk(signer_sk), node_sk, ret_made);
}

int pv_make_place(const uint8_t *network_id, struct pv_signer signer,
                  const struct pv_st_place *place, struct pv_made *ret_made)
{
    struct pv_statement st = begin_statement(PV_ST_PLACE, network_id);

    st.u.place = *place;
    return sign_short(&st, signer, NULL, ret_made);
}

int pv_make_admission(const uint8_t *network_id, struct pv_signer signer,
                      const uint8_t node[static PV_SIGN_PK_LEN], uint64_t wall,
                      struct pv_made *ret_made)
{
    struct pv_statement st = begin_statement(PV_ST_ADMISSION, network_id);

    memcpy(st.u.admission.node, node, sizeof(st.u.admission.node));
    st.u.admission.time = wall;
    return sign_short(&st, signer, NULL, ret_made);
}

int pv_make_renewal(const struct pv_roster *r, const uint8_t *node_sk, uint64_t wall,
                    struct pv_made *ret_made)
{
    struct pv_statement st = begin_statement(PV_ST_TRANSPORT, pv_roster_network_id(r));
    const struct pv_member *m = pv_roster_enrolled(r, pk_of(node_sk));

    if (m == NULL)
        return PV_ERR_NOT_FOUND;
    st.u.transport.serial = pv_roster_next_serial(r, m->node);
    memcpy(st.u.transport.transport, m->transport, sizeof(st.u.transport.transport));
    st.u.transport.time = wall;
    return sign_short(&st, pv_signer_sk(node_sk), NULL, ret_made);
}

static int compare_offers(const void *a, const void *b)
{
    return pv_route_compare(&((const struct pv_offer *)a)->prefix,
                            &((const struct pv_offer *)b)->prefix);
}

void pv_card_read(const struct pv_st_card *st, struct pv_card *ret_card)
{
    memset(ret_card, 0, sizeof(*ret_card));
    if (st == NULL)
        return;
    struct pv_view list = st->offers;
    ret_card->abilities = st->abilities;
    ret_card->kem = st->kem;
    ret_card->hostkeys = st->hostkeys;
    ret_card->loginkeys = st->loginkeys;
    while (ret_card->n_offers < PV_OFFERS_MAX &&
           pv_offerlist_next(&list, &ret_card->offers[ret_card->n_offers]))
        ret_card->n_offers++;
}

int pv_make_card(const struct pv_roster *r, const uint8_t *node_sk, const struct pv_card *card,
                 uint64_t wall, struct pv_made_long *ret_made)
{
    struct pv_statement st = begin_statement(PV_ST_CARD, pv_roster_network_id(r));
    const struct pv_st_card *last = pv_roster_card(r, pk_of(node_sk));
    struct pv_offer sorted[PV_OFFERS_MAX];
    uint8_t list[PV_OFFERS_MAX * PV_OFFER_BYTES];
    struct pv_writer w = pv_writer(list, sizeof(list));

    if (card->n_offers > PV_OFFERS_MAX || (last != NULL && last->serial == UINT64_MAX))
        return PV_ERR_LIMIT;
    uint64_t next = last == NULL ? 1 : last->serial + 1;
    memcpy(sorted, card->offers, sizeof(sorted));
    qsort(sorted, card->n_offers, sizeof(sorted[0]), compare_offers);
    pv_offerlist_put(&w, sorted, card->n_offers);
    st.u.card = (struct pv_st_card){.serial = wall > next ? wall : next,
                                    .abilities = card->abilities,
                                    .offers = pv_view(list, w.len),
                                    .kem = card->kem,
                                    .hostkeys = card->hostkeys,
                                    .loginkeys = card->loginkeys};
    return pv_statement_make(&st, pv_signer_sk(node_sk), NULL, ret_made->raw, sizeof(ret_made->raw),
                             &ret_made->len);
}

int pv_make_route(const uint8_t *network_id, const uint8_t *signer_sk,
                  const struct pv_st_route *route, struct pv_made *ret_made)
{
    struct pv_statement st = begin_statement(PV_ST_ROUTE, network_id);

    st.u.route = *route;
    return sign_short(&st, pv_signer_sk(signer_sk), NULL, ret_made);
}

int pv_make_tag(const uint8_t *network_id, const uint8_t *signer_sk, const struct pv_st_tag *tag,
                struct pv_made *ret_made)
{
    struct pv_statement st = begin_statement(PV_ST_TAG, network_id);

    st.u.tag = *tag;
    return sign_short(&st, pv_signer_sk(signer_sk), NULL, ret_made);
}

int pv_make_rule(const uint8_t *network_id, const uint8_t *signer_sk, const struct pv_st_rule *rule,
                 struct pv_made *ret_made)
{
    struct pv_statement st = begin_statement(PV_ST_RULE, network_id);

    st.u.rule = *rule;
    return sign_short(&st, pv_signer_sk(signer_sk), NULL, ret_made);
}

int pv_make_end(const uint8_t *network_id, struct pv_signer signer,
                const struct pv_statement *ended, uint64_t wall, struct pv_made *ret_made)
{
    struct pv_statement st = begin_statement(PV_ST_END, network_id);

    memcpy(st.u.end.about, ended->signer, sizeof(st.u.end.about));
    memcpy(st.u.end.hash, ended->hash, sizeof(st.u.end.hash));
    st.u.end.time = wall;
    return sign_short(&st, signer, NULL, ret_made);
}

int pv_make_slot_empty(const struct pv_statement *st, const uint8_t *signer_sk, uint64_t wall,
                       struct pv_made *ret_made)
{
    struct pv_statement empty = begin_statement(st->type, st->network_id);
    const struct pv_ports all = {.v = {{PV_PORTS_PROTO_ALL, 0, UINT16_MAX}}, .n = 1};

    if (st->u.slotted.slot.seq == UINT64_MAX)
        return PV_ERR_LIMIT;
    empty.u.slotted.slot = st->u.slotted.slot;
    empty.u.slotted.slot.seq++;
    pv_st_set_time(&empty, wall);
    if (st->type == PV_ST_ROUTE)
        empty.u.route.prefix.base = pv_addr4(0, 0, 0, 0, 0);
    else if (st->type == PV_ST_TAG)
        set_name(empty.u.tag.tag, "none");
    else if (st->type == PV_ST_RULE)
        empty.u.rule.ports = all;
    else
        return PV_ERR_MALFORMED;
    return sign_short(&empty, pv_signer_sk(signer_sk), NULL, ret_made);
}

int pv_make_transport(const uint8_t *network_id, const uint8_t *node_sk,
                      const struct pv_st_transport *transport, struct pv_made *ret_made)
{
    struct pv_statement st = begin_statement(PV_ST_TRANSPORT, network_id);

    st.u.transport = *transport;
    return sign_short(&st, pv_signer_sk(node_sk), NULL, ret_made);
}

int pv_make_leave(const uint8_t *network_id, const uint8_t *node_sk, uint64_t serial, uint64_t wall,
                  struct pv_made *ret_made)
{
    struct pv_statement st = begin_statement(PV_ST_LEAVE, network_id);

    st.u.leave = (struct pv_st_leave){.serial = serial, .time = wall};
    return sign_short(&st, pv_signer_sk(node_sk), NULL, ret_made);
}

/* The network id is the hash of the record just made, so the record has to be finished first. */
static int make_network(const struct pv_create *c, struct pv_created *out)
{
    struct pv_statement st = begin_statement(PV_ST_NETWORK, NULL), made;

    set_name(st.u.network.name, c->network_name);
    st.u.network.range = c->range;
    st.u.network.created = c->wall;
    int r = sign_short(&st, c->root, NULL, &out->network);
    if (r == PV_OK)
        r = pv_statement_decode(pv_made_view(&out->network), &made);
    if (r == PV_OK)
        memcpy(out->network_id, made.network_id, sizeof(out->network_id));
    return r;
}

static int make_first_member(const struct pv_create *c, struct pv_created *out)
{
    struct pv_st_member m;

    memset(&m, 0, sizeof(m));
    set_name(m.name, c->node_name);
    memcpy(m.transport, c->transport, sizeof(m.transport));
    m.issued = c->wall;
    out->ip4 = pv_ip4_first(&c->range, pk_of(c->node_sk));
    pv_store_be32(m.ip4, out->ip4);
    return pv_make_member(out->network_id, c->node_sk, c->node_sk, &m, &out->member);
}

int pv_make_admin(const uint8_t *network_id, struct pv_signer signer,
                  const struct pv_st_admin *admin, struct pv_made *ret_made)
{
    struct pv_statement st = begin_statement(PV_ST_ADMIN, network_id);

    st.u.admin = *admin;
    return sign_short(&st, signer, NULL, ret_made);
}

int pv_make_coordinators(const uint8_t *network_id, struct pv_signer signer, uint64_t seq,
                         struct pv_view list, struct pv_made_long *ret_made)
{
    struct pv_statement st = begin_statement(PV_ST_COORDINATORS, network_id);
    st.u.coordinators.seq = seq;
    st.u.coordinators.list = list;
    return pv_statement_make(&st, signer, NULL, ret_made->raw, sizeof(ret_made->raw),
                             &ret_made->len);
}

/* Root signs three statements and is not needed again; the creator's node becomes admin with both
 * rights, so that the root key can go offline. */
int pv_make_create(const struct pv_create *c, struct pv_created *ret_created)
{
    struct pv_created out;

    memset(&out, 0, sizeof(out));
    if (strcmp(c->node_name, c->network_name) == 0)
        return PV_ERR_MALFORMED;
    int r = make_network(c, &out);
    if (r != PV_OK)
        return r;

    r = pv_make_coordinators(out.network_id, c->root, 1, c->coordinators, &out.coordinators);
    if (r != PV_OK)
        return r;

    struct pv_st_admin admin = {.rights = PV_RIGHT_INVITE | PV_RIGHT_REVOKE, .time = c->wall};
    memcpy(admin.node, pk_of(c->node_sk), sizeof(admin.node));
    r = pv_make_admin(out.network_id, c->root, &admin, &out.admin);
    if (r == PV_OK)
        r = make_first_member(c, &out);
    if (r == PV_OK)
        *ret_created = out;
    return r;
}

/* --- revocations and ends ---------------------------------------------------------------- */

/* Is this member here because of the key that is about to be revoked? */
static bool depends_on(const struct pv_roster *r, const struct pv_member *m, const void *ctx)
{
    const struct pv_st_revocation *what = ctx;

    if (memcmp(m->node, what->pk, sizeof(m->node)) == 0)
        return false;
    if (memcmp(m->admitted_by, what->pk, sizeof(m->admitted_by)) == 0)
        return true;
    return what->kind == PV_REVOKE_NODE && pv_roster_rests_on(r, m, what->pk, 0);
}

/* Would this member fall with the rights that are about to end? */
static bool falls_with(const struct pv_roster *r, const struct pv_member *m, const void *ctx)
{
    const struct pv_st_end *end = ctx;
    return pv_roster_rests_on(r, m, end->about,
                              end->time - (end->time < SURELY_BEFORE_S ? 0 : SURELY_BEFORE_S));
}

/* The encoding wants them ascending. */
static int cmp_pks(const void *a, const void *b)
{
    return memcmp(a, b, PV_SIGN_PK_LEN);
}

/* Ascending keys of the members, and of those that were for a time, that stay although what
 * admitted them is revoked; NULL without memory. Without such a list the revocation of an invite
 * would remove everybody who ever joined by it. */
static uint8_t *list_staying(const struct pv_roster *r,
                             bool (*is_one)(const struct pv_roster *r, const struct pv_member *m,
                                            const void *ctx),
                             const void *ctx, size_t *ret_n)
{
    uint8_t *pks = malloc((pv_roster_count(r) + pv_roster_count_aside(r) + 1) * PV_SIGN_PK_LEN);
    size_t n = 0;

    if (pks == NULL)
        return NULL;
    for (const struct pv_member *m = pv_roster_next(r, NULL); m != NULL; m = pv_roster_next(r, m)) {
        if (is_one(r, m, ctx))
            memcpy(pks + n++ * PV_SIGN_PK_LEN, m->node, PV_SIGN_PK_LEN);
    }
    /* A member that has expired comes back; a node that still waits was never let in. */
    for (const struct pv_member *m = NULL; (m = pv_roster_next_aside(r, m)) != NULL;) {
        if (m->state == PV_MEMBER_EXPIRED && is_one(r, m, ctx))
            memcpy(pks + n++ * PV_SIGN_PK_LEN, m->node, PV_SIGN_PK_LEN);
    }
    qsort(pks, n, PV_SIGN_PK_LEN, cmp_pks);
    *ret_n = n;
    return pks;
}

/* The list is made anew for each call and cut by *iter: the caller keeps one number instead of
 * memory, and nothing changes between its calls, since no statement is added meanwhile. */
int pv_make_revocation(const struct pv_roster *r, struct pv_signer signer,
                       const struct pv_st_revocation *what, size_t *iter,
                       struct pv_made_long *ret_made)
{
    struct pv_statement st = begin_statement(PV_ST_REVOCATION, pv_roster_network_id(r));
    struct pv_roster_invite invite;
    size_t n;

    if (what->kind == PV_REVOKE_INVITE
            ? pv_roster_invite(r, what->pk, &invite) != PV_OK
            : pv_roster_known(r, what->pk) == NULL && pv_roster_rights(r, what->pk) == 0)
        return PV_ERR_NOT_FOUND;
    uint8_t *pks = list_staying(r, depends_on, what, &n);
    if (pks == NULL)
        return PV_ERR_NOMEM;

    size_t first = *iter < n ? *iter : n;
    size_t count = n - first < PV_ROSTER_STAY_MAX ? n - first : PV_ROSTER_STAY_MAX;
    st.u.revocation = *what;
    st.u.revocation.stay = pv_view(pks + first * PV_SIGN_PK_LEN, count * PV_SIGN_PK_LEN);
    int status =
        pv_statement_make(&st, signer, NULL, ret_made->raw, sizeof(ret_made->raw), &ret_made->len);
    if (status == PV_OK)
        *iter = first + count < n ? first + count : 0;
    free(pks);
    return status;
}

/* Each grant is ended by one statement at least; who stays may need more, and these name the last
 * grant again. */
int pv_make_rights_end(const struct pv_roster *r, struct pv_signer signer,
                       const uint8_t pk[static PV_SIGN_PK_LEN], uint64_t wall, size_t *iter,
                       struct pv_made *ret_made)
{
    struct pv_statement st = begin_statement(PV_ST_END, pv_roster_network_id(r));
    const struct pv_roster_entry *grant = NULL;
    size_t grants = 0, n, i = *iter;

    for (const struct pv_roster_entry *g = NULL; (g = pv_roster_next_grant(r, pk, g)) != NULL;) {
        if (grants++ <= i)
            grant = g;
    }
    if (grant == NULL)
        return PV_ERR_NOT_FOUND;
    memcpy(st.u.end.about, pk, sizeof(st.u.end.about));
    memcpy(st.u.end.hash, grant->st.hash, sizeof(st.u.end.hash));
    st.u.end.time = wall;
    uint8_t *pks = list_staying(r, falls_with, &st.u.end, &n);
    if (pks == NULL)
        return PV_ERR_NOMEM;

    size_t first = i * PV_END_STAY_MAX < n ? i * PV_END_STAY_MAX : n;
    size_t count = n - first < PV_END_STAY_MAX ? n - first : PV_END_STAY_MAX;
    st.u.end.stay = pv_view(pks + first * PV_SIGN_PK_LEN, count * PV_SIGN_PK_LEN);
    int status = sign_short(&st, signer, NULL, ret_made);
    if (status == PV_OK)
        *iter = i + 1 < grants || first + count < n ? i + 1 : 0;
    free(pks);
    return status;
}

/* Stay lists and what a rule says are kept as they are: who is let stay, and in which order rules
 * come, must not change with the signer. */
int pv_make_again(const struct pv_roster *r, struct pv_signer signer, const struct pv_statement *of,
                  uint64_t wall, struct pv_made_long *ret_made)
{
    struct pv_statement st = begin_statement(of->type, pv_roster_network_id(r));
    int status = PV_OK;

    st.u = of->u;
    switch (pv_kind_of(of->type)->does) {
    case PV_DOES_TAKE:
        pv_st_set_time(&st, wall);
        break;
    case PV_DOES_SLOT:
        status = pv_roster_free_slot(r, pv_signer_pk(signer), of->type, &st.u.slotted.slot);
        break;
    case PV_DOES_FOUND:
    case PV_DOES_APPOINT:
    case PV_DOES_GRANT:
    case PV_DOES_INVITE:
    case PV_DOES_CLAIM:
    case PV_DOES_TELL:
    case PV_DOES_ADMIT:
    case PV_DOES_SHOW:
        return PV_ERR_UNSUPPORTED;
    }
    return status != PV_OK ? status
                           : pv_statement_make(&st, signer, NULL, ret_made->raw,
                                               sizeof(ret_made->raw), &ret_made->len);
}
