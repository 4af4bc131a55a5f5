/* SPDX-License-Identifier: MIT */
/*
 * statement.c - encodes, decodes, signs and verifies statements and receipts. There is exactly one
 * encoding for each statement: decoding refuses whatever encoding would not write (names in other
 * spelling, unsorted lists, trailing bytes). Statements are compared by their hash, so a second
 * form would be a second statement.
 */
#include "proto/roster/statement.h"

#include <string.h>

#include "crypto/ct.h"
#include "crypto/hash.h"

static const char statement_context[] = "p2pvpn statement v1";
static const char node_context[] = "p2pvpn node v1";
static const char receipt_context[] = "p2pvpn receipt v1";

/* It has no default, so the compiler names a type that is missing; so it is in get_fields() and
 * put_fields(). */
static bool known_type(uint8_t type)
{
    switch ((enum pv_statement_type)type) {
    case PV_ST_NETWORK:
    case PV_ST_ADMIN:
    case PV_ST_INVITE:
    case PV_ST_MEMBER:
    case PV_ST_TRANSPORT:
    case PV_ST_REVOCATION:
    case PV_ST_LEAVE:
    case PV_ST_COORDINATORS:
    case PV_ST_END:
    case PV_ST_PLACE:
    case PV_ST_CONDITIONAL:
    case PV_ST_ADMISSION:
    case PV_ST_ROUTE:
    case PV_ST_TAG:
    case PV_ST_RULE:
    case PV_ST_OFFERS:
    case PV_ST_ABLE:
        return true;
    case PV_ST_RECEIPT:
        break;
    }
    return false;
}

/* Only types with lists may be long; the limit for unknown types keeps later versions from costing
 * earlier ones more than they agreed to. */
static size_t max_len_of(uint8_t type)
{
    return type == PV_ST_REVOCATION || type == PV_ST_COORDINATORS ? PV_STATEMENT_MAX
                                                                  : PV_STATEMENT_SHORT_MAX;
}

/* --- fields: readers ------------------------------------------------------------------------- */

static void require_that(struct pv_reader *r, bool condition)
{
    if (!condition)
        pv_reader_fail(r, PV_ERR_MALFORMED);
}

/* NUL bytes inside are refused by comparing the place of the first one, since the field is read as
 * a C string from here on. */
static void get_name(struct pv_reader *r, char name[static PV_NAME_BUF])
{
    struct pv_view v = pv_get_view16(r, PV_NAME_MAX);
    memset(name, 0, PV_NAME_BUF);
    if (v.len > 0)
        memcpy(name, v.ptr, v.len);
    if (r->status == PV_OK)
        require_that(r, memchr(name, 0, PV_NAME_BUF) == name + v.len && pv_name_is_valid(name));
}

/* A zero key would give a shared secret that everybody knows (RFC 7748 s6.1). */
static void get_transport(struct pv_reader *r, uint8_t key[static PV_DH_LEN])
{
    pv_get_copy(r, key, PV_DH_LEN);
    if (r->status == PV_OK)
        require_that(r, !pv_ct_is_zero(key, PV_DH_LEN));
}

static void get_network(struct pv_reader *r, struct pv_st_network *f)
{
    get_name(r, f->name);
    uint32_t base = pv_get_u32(r);
    f->range = (struct pv_prefix){.base = pv_addr4_u32(base, 0), .bits = pv_get_u8(r)};
    f->created = pv_get_u64(r);
    if (r->status == PV_OK)
        require_that(r, pv_ip4_range_is_valid(&f->range));
}

static void get_admin(struct pv_reader *r, struct pv_st_admin *f)
{
    pv_get_copy(r, f->node, sizeof(f->node));
    f->rights = pv_get_u8(r);
    f->time = pv_get_u64(r);
    if (r->status == PV_OK)
        require_that(r, f->rights >= 1 && f->rights <= (PV_RIGHT_INVITE | PV_RIGHT_REVOKE));
}

static void get_invite(struct pv_reader *r, struct pv_st_invite *f)
{
    pv_get_copy(r, f->invite, sizeof(f->invite));
    f->not_before = pv_get_u64(r);
    f->not_after = pv_get_u64(r);
    f->uses = pv_get_u32(r);
    if (r->status == PV_OK)
        require_that(r, f->not_before <= f->not_after && f->uses >= 1);
}

/* Without a condition it is a type 3: one encoding for each. */
static void get_conditional(struct pv_reader *r, struct pv_st_invite *f)
{
    get_invite(r, f);
    f->flags = pv_get_u8(r);
    f->lifetime = pv_get_u32(r);
    if (r->status == PV_OK)
        require_that(r, f->flags != 0 || f->lifetime != 0);
}

/* An expiry before the time of issue can only be a mistake, and would make the member one that
 * never counted. */
static void get_member(struct pv_reader *r, struct pv_st_member *f)
{
    pv_get_copy(r, f->node, sizeof(f->node));
    get_transport(r, f->transport);
    f->serial = pv_get_u64(r);
    get_name(r, f->name);
    pv_get_copy(r, f->ip4, sizeof(f->ip4));
    pv_get_copy(r, f->ip6, sizeof(f->ip6));
    f->issued = pv_get_u64(r);
    f->expires = pv_get_u64(r);
    pv_get_copy(r, f->node_sig, sizeof(f->node_sig));
    if (r->status == PV_OK)
        require_that(r, f->expires == 0 || f->expires > f->issued);
}

/* The list has to ascend strictly, so that the same set of nodes has one encoding. */
static void get_stay(struct pv_reader *r, struct pv_view *stay, size_t max)
{
    *stay = pv_get_view16(r, max);
    if (r->status != PV_OK)
        return;
    require_that(r, stay->len % PV_SIGN_PK_LEN == 0);
    for (size_t i = PV_SIGN_PK_LEN; i < stay->len; i += PV_SIGN_PK_LEN)
        require_that(r, memcmp(stay->ptr + i - PV_SIGN_PK_LEN, stay->ptr + i, PV_SIGN_PK_LEN) < 0);
}

static void get_revocation(struct pv_reader *r, struct pv_st_revocation *f)
{
    f->kind = pv_get_u8(r);
    pv_get_copy(r, f->pk, sizeof(f->pk));
    get_stay(r, &f->stay, PV_STATEMENT_LIST_MAX);
    f->time = pv_get_u64(r);
    if (r->status == PV_OK)
        require_that(r, f->kind == PV_REVOKE_NODE || f->kind == PV_REVOKE_INVITE);
}

static void get_end(struct pv_reader *r, struct pv_st_end *f)
{
    pv_get_copy(r, f->about, sizeof(f->about));
    pv_get_copy(r, f->hash, sizeof(f->hash));
    get_stay(r, &f->stay, PV_END_STAY_MAX * PV_SIGN_PK_LEN);
    f->time = pv_get_u64(r);
}

static void get_place(struct pv_reader *r, struct pv_st_place *f)
{
    pv_get_copy(r, f->node, sizeof(f->node));
    f->serial = pv_get_u64(r);
    get_name(r, f->name);
    pv_get_copy(r, f->ip4, sizeof(f->ip4));
    f->time = pv_get_u64(r);
}

static void get_slot(struct pv_reader *r, struct pv_st_slot *f)
{
    f->number = pv_get_u16(r);
    f->seq = pv_get_u64(r);
    if (r->status == PV_OK)
        require_that(r, f->number < PV_RULE_SLOTS);
}

static void get_route(struct pv_reader *r, struct pv_st_route *f)
{
    get_slot(r, &f->slot);
    f->kind = pv_get_u8(r);
    pv_get_copy(r, f->node, sizeof(f->node));
    pv_route_get(r, &f->prefix);
    f->time = pv_get_u64(r);
    if (r->status != PV_OK)
        return;
    require_that(r, f->kind == PV_ROUTE_ALLOW || f->kind == PV_ROUTE_NONE);
    if (f->kind == PV_ROUTE_NONE)
        require_that(r, pv_ct_is_zero(f->node, sizeof(f->node)) && f->prefix.bits == 0 &&
                            f->prefix.base.family == PV_AF_INET);
}

static void get_offers(struct pv_reader *r, struct pv_st_offers *f)
{
    f->serial = pv_get_u64(r);
    f->list = pv_get_view16(r, PV_OFFERS_MAX * PV_OFFER_BYTES);
    f->time = pv_get_u64(r);
    if (r->status == PV_OK)
        require_that(r, pv_offerlist_check(f->list) == PV_OK);
}

static void get_tag(struct pv_reader *r, struct pv_st_tag *f)
{
    get_slot(r, &f->slot);
    f->kind = pv_get_u8(r);
    pv_get_copy(r, f->node, sizeof(f->node));
    get_name(r, f->tag);
    f->time = pv_get_u64(r);
    if (r->status != PV_OK)
        return;
    require_that(r, f->kind == PV_TAG_SET || f->kind == PV_TAG_NONE);
    if (f->kind == PV_TAG_NONE)
        require_that(r, pv_ct_is_zero(f->node, sizeof(f->node)) && strcmp(f->tag, "none") == 0);
}

static void get_selector(struct pv_reader *r, struct pv_selector *s)
{
    struct pv_view v = pv_get_view16(r, PV_SELECTOR_BYTES);
    if (r->status == PV_OK)
        require_that(r, pv_selector_decode(v, s) == PV_OK);
}

/* A rule that is not about ports has one form, too. */
static void get_rule(struct pv_reader *r, struct pv_st_rule *f)
{
    get_slot(r, &f->slot);
    f->kind = pv_get_u8(r);
    f->place = pv_get_u64(r);
    get_selector(r, &f->from);
    get_selector(r, &f->to);
    struct pv_view ports = pv_get_view16(r, PV_PORTS_BYTES);
    f->time = pv_get_u64(r);
    if (r->status != PV_OK)
        return;
    require_that(r, pv_ports_decode(ports, &f->ports) == PV_OK && f->kind <= PV_RULE_DENY_DEFAULT);
    if (f->kind == PV_RULE_NONE || f->kind == PV_RULE_DENY_DEFAULT)
        require_that(r, f->place == 0 && f->from.kind == PV_SELECT_ANY &&
                            f->to.kind == PV_SELECT_ANY &&
                            f->ports.v[0].proto == PV_PORTS_PROTO_ALL);
}

/* Fields of an unknown type are kept as they are: only the signer can say what they mean. */
static void get_fields(struct pv_reader *r, struct pv_statement *st)
{
    if (!known_type(st->type)) {
        st->u.unknown = r->rest;
        r->rest = pv_view(r->rest.ptr + r->rest.len, 0);
        return;
    }
    switch ((enum pv_statement_type)st->type) {
    case PV_ST_NETWORK:
        get_network(r, &st->u.network);
        break;
    case PV_ST_ADMIN:
        get_admin(r, &st->u.admin);
        break;
    case PV_ST_INVITE:
        get_invite(r, &st->u.invite);
        break;
    case PV_ST_MEMBER:
        get_member(r, &st->u.member);
        break;
    case PV_ST_TRANSPORT:
        st->u.transport.serial = pv_get_u64(r);
        get_transport(r, st->u.transport.transport);
        st->u.transport.time = pv_get_u64(r);
        break;
    case PV_ST_REVOCATION:
        get_revocation(r, &st->u.revocation);
        break;
    case PV_ST_LEAVE:
        st->u.leave.serial = pv_get_u64(r);
        st->u.leave.time = pv_get_u64(r);
        break;
    case PV_ST_COORDINATORS:
        st->u.coordinators.seq = pv_get_u64(r);
        st->u.coordinators.list = pv_get_view16(r, PV_STATEMENT_LIST_MAX);
        if (r->status == PV_OK)
            pv_reader_fail(r, pv_coordlist_check(st->u.coordinators.list, PV_STATEMENT_LIST_MAX) ==
                                      PV_OK
                                  ? PV_OK
                                  : PV_ERR_MALFORMED);
        break;
    case PV_ST_END:
        get_end(r, &st->u.end);
        break;
    case PV_ST_PLACE:
        get_place(r, &st->u.place);
        break;
    case PV_ST_CONDITIONAL:
        get_conditional(r, &st->u.invite);
        break;
    case PV_ST_ADMISSION:
        pv_get_copy(r, st->u.admission.node, sizeof(st->u.admission.node));
        st->u.admission.time = pv_get_u64(r);
        break;
    case PV_ST_ROUTE:
        get_route(r, &st->u.route);
        break;
    case PV_ST_OFFERS:
        get_offers(r, &st->u.offers);
        break;
    case PV_ST_TAG:
        get_tag(r, &st->u.tag);
        break;
    case PV_ST_RULE:
        get_rule(r, &st->u.rule);
        break;
    case PV_ST_ABLE:
        st->u.able.serial = pv_get_u64(r);
        st->u.able.abilities = pv_get_u32(r);
        st->u.able.time = pv_get_u64(r);
        break;
    case PV_ST_RECEIPT:
        break;
    }
}

/* --- fields: writers ------------------------------------------------------------------------- */

static void put_name(struct pv_writer *w, const char *name)
{
    pv_put_view16(w, pv_view(name, strnlen(name, PV_NAME_BUF)));
}

/* All fields of a member statement but the node's signature. */
static void put_member(struct pv_writer *w, const struct pv_st_member *f)
{
    pv_put_bytes(w, f->node, sizeof(f->node));
    pv_put_bytes(w, f->transport, sizeof(f->transport));
    pv_put_u64(w, f->serial);
    put_name(w, f->name);
    pv_put_bytes(w, f->ip4, sizeof(f->ip4));
    pv_put_bytes(w, f->ip6, sizeof(f->ip6));
    pv_put_u64(w, f->issued);
    pv_put_u64(w, f->expires);
}

static void put_invite(struct pv_writer *w, const struct pv_st_invite *f)
{
    pv_put_bytes(w, f->invite, sizeof(f->invite));
    pv_put_u64(w, f->not_before);
    pv_put_u64(w, f->not_after);
    pv_put_u32(w, f->uses);
}

static void put_tag(struct pv_writer *w, const struct pv_st_tag *f)
{
    pv_put_u16(w, f->slot.number);
    pv_put_u64(w, f->slot.seq);
    pv_put_u8(w, f->kind);
    pv_put_bytes(w, f->node, sizeof(f->node));
    put_name(w, f->tag);
    pv_put_u64(w, f->time);
}

static void put_route(struct pv_writer *w, const struct pv_st_route *f)
{
    pv_put_u16(w, f->slot.number);
    pv_put_u64(w, f->slot.seq);
    pv_put_u8(w, f->kind);
    pv_put_bytes(w, f->node, sizeof(f->node));
    pv_route_put(w, &f->prefix);
    pv_put_u64(w, f->time);
}

static void put_rule(struct pv_writer *w, const struct pv_st_rule *f)
{
    uint8_t buf[PV_SELECTOR_BYTES], ports[PV_PORTS_BYTES];
    pv_put_u16(w, f->slot.number);
    pv_put_u64(w, f->slot.seq);
    pv_put_u8(w, f->kind);
    pv_put_u64(w, f->place);
    pv_put_view16(w, pv_view(buf, pv_selector_encode(&f->from, buf)));
    pv_put_view16(w, pv_view(buf, pv_selector_encode(&f->to, buf)));
    pv_put_view16(w, pv_view(ports, pv_ports_encode(&f->ports, ports)));
    pv_put_u64(w, f->time);
}

/* In the order of get_fields(); PROTOCOL-NETWORK.md "Statements" is the table of both. */
static void put_fields(struct pv_writer *w, const struct pv_statement *st)
{
    switch ((enum pv_statement_type)st->type) {
    case PV_ST_NETWORK:
        put_name(w, st->u.network.name);
        pv_put_u32(w, pv_addr_u32(&st->u.network.range.base));
        pv_put_u8(w, st->u.network.range.bits);
        pv_put_u64(w, st->u.network.created);
        break;
    case PV_ST_ADMIN:
        pv_put_bytes(w, st->u.admin.node, sizeof(st->u.admin.node));
        pv_put_u8(w, st->u.admin.rights);
        pv_put_u64(w, st->u.admin.time);
        break;
    case PV_ST_INVITE:
        put_invite(w, &st->u.invite);
        break;
    case PV_ST_MEMBER:
        put_member(w, &st->u.member);
        break;
    case PV_ST_TRANSPORT:
        pv_put_u64(w, st->u.transport.serial);
        pv_put_bytes(w, st->u.transport.transport, sizeof(st->u.transport.transport));
        pv_put_u64(w, st->u.transport.time);
        break;
    case PV_ST_REVOCATION:
        pv_put_u8(w, st->u.revocation.kind);
        pv_put_bytes(w, st->u.revocation.pk, sizeof(st->u.revocation.pk));
        pv_put_view16(w, st->u.revocation.stay);
        pv_put_u64(w, st->u.revocation.time);
        break;
    case PV_ST_LEAVE:
        pv_put_u64(w, st->u.leave.serial);
        pv_put_u64(w, st->u.leave.time);
        break;
    case PV_ST_COORDINATORS:
        pv_put_u64(w, st->u.coordinators.seq);
        pv_put_view16(w, st->u.coordinators.list);
        break;
    case PV_ST_END:
        pv_put_bytes(w, st->u.end.about, sizeof(st->u.end.about));
        pv_put_bytes(w, st->u.end.hash, sizeof(st->u.end.hash));
        pv_put_view16(w, st->u.end.stay);
        pv_put_u64(w, st->u.end.time);
        break;
    case PV_ST_PLACE:
        pv_put_bytes(w, st->u.place.node, sizeof(st->u.place.node));
        pv_put_u64(w, st->u.place.serial);
        put_name(w, st->u.place.name);
        pv_put_bytes(w, st->u.place.ip4, sizeof(st->u.place.ip4));
        pv_put_u64(w, st->u.place.time);
        break;
    case PV_ST_CONDITIONAL:
        put_invite(w, &st->u.invite);
        pv_put_u8(w, st->u.invite.flags);
        pv_put_u32(w, st->u.invite.lifetime);
        break;
    case PV_ST_ADMISSION:
        pv_put_bytes(w, st->u.admission.node, sizeof(st->u.admission.node));
        pv_put_u64(w, st->u.admission.time);
        break;
    case PV_ST_ROUTE:
        put_route(w, &st->u.route);
        break;
    case PV_ST_OFFERS:
        pv_put_u64(w, st->u.offers.serial);
        pv_put_view16(w, st->u.offers.list);
        pv_put_u64(w, st->u.offers.time);
        break;
    case PV_ST_TAG:
        put_tag(w, &st->u.tag);
        break;
    case PV_ST_RULE:
        put_rule(w, &st->u.rule);
        break;
    case PV_ST_ABLE:
        pv_put_u64(w, st->u.able.serial);
        pv_put_u32(w, st->u.able.abilities);
        pv_put_u64(w, st->u.able.time);
        break;
    case PV_ST_RECEIPT:
        break;
    }
}

/* --- statements ------------------------------------------------------------------------------ */

/* The signature is the tail of every type, unknown ones included: a node can verify, keep and pass
 * on statements that it does not understand. */
/* Everything but the hash, and what follows from it. */
static int decode_fields(struct pv_view data, struct pv_statement *ret_st)
{
    struct pv_statement st = {.raw = data};
    struct pv_reader r = pv_reader(data);

    uint8_t version = pv_get_u8(&r);
    st.type = pv_get_u8(&r);
    if (r.status != PV_OK)
        return r.status;
    if (version != 1 || st.type == 0 || st.type == PV_ST_RECEIPT)
        return PV_ERR_UNSUPPORTED;
    if (data.len > max_len_of(st.type))
        return PV_ERR_MALFORMED;
    if (st.type != PV_ST_NETWORK)
        pv_get_copy(&r, st.network_id, sizeof(st.network_id));
    pv_get_copy(&r, st.signer, sizeof(st.signer));
    if (r.status != PV_OK)
        return r.status;

    /* The signature is the tail, whatever the type; the fields are what lies before it. */
    if (r.rest.len < PV_SIGN_LEN)
        return PV_ERR_TRUNCATED;
    r.rest.len -= PV_SIGN_LEN;
    get_fields(&r, &st);
    int status = pv_reader_end(&r);
    if (status != PV_OK)
        return status;

    *ret_st = st;
    return PV_OK;
}

static void set_hash(struct pv_statement *st, const uint8_t hash[static PV_STATEMENT_HASH_LEN])
{
    memcpy(st->hash, hash, sizeof(st->hash));
    if (st->type == PV_ST_NETWORK)
        memcpy(st->network_id, hash, sizeof(st->network_id));
}

int pv_statement_decode_hashed(struct pv_view data,
                               const uint8_t hash[static PV_STATEMENT_HASH_LEN],
                               struct pv_statement *ret_st)
{
    int status = decode_fields(data, ret_st);

    if (status == PV_OK)
        set_hash(ret_st, hash);
    return status;
}

int pv_statement_decode(struct pv_view data, struct pv_statement *ret_st)
{
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    int status = decode_fields(data, ret_st);

    if (status != PV_OK)
        return status;
    pv_statement_hash(data, hash);
    set_hash(ret_st, hash);
    return PV_OK;
}

/* A member statement has two signatures: the node's over its claim, so that nobody can be made a
 * member under a key it does not have, and the signer's over all. */
int pv_statement_verify(const struct pv_statement *st)
{
    struct pv_view none = pv_view(NULL, 0);
    struct pv_view body = pv_view(st->raw.ptr, st->raw.len - PV_SIGN_LEN);

    int r = pv_sign_verify(body.ptr + body.len, statement_context, body, none, st->signer);
    if (r != PV_OK || st->type != PV_ST_MEMBER)
        return r;
    struct pv_view claim = pv_view(body.ptr, body.len - PV_SIGN_LEN);
    return pv_sign_verify(st->u.member.node_sig, node_context, claim, none, st->u.member.node);
}

/* Appends a signature over all that has been written so far. */
static int put_signature(struct pv_writer *w, const char *context, const uint8_t *sk)
{
    uint8_t sig[PV_SIGN_LEN];
    if (w->status != PV_OK)
        return w->status;
    int r = pv_sign(sig, context, pv_written(w), pv_view(NULL, 0), sk);
    if (r != PV_OK)
        return r;
    pv_put_bytes(w, sig, sizeof(sig));
    return w->status;
}

/* The signer's, over all that has been written so far. */
static int put_signer(struct pv_writer *w, struct pv_signer signer)
{
    uint8_t sig[PV_SIGN_LEN];
    if (signer.sk != NULL)
        return put_signature(w, statement_context, signer.sk);
    int r =
        w->status != PV_OK ? w->status : signer.kept->sign(signer.kept->keeper, pv_written(w), sig);
    if (r != PV_OK)
        return r;
    pv_put_bytes(w, sig, sizeof(sig));
    return w->status;
}

/* The result is decoded before it is handed out: a field outside its range is found here and not by
 * every other node. */
int pv_statement_make(const struct pv_statement *st, struct pv_signer signer,
                      const uint8_t *node_sk, uint8_t *buf, size_t cap, size_t *ret_len)
{
    uint8_t out[PV_STATEMENT_MAX];
    struct pv_writer w = pv_writer(out, sizeof(out));
    struct pv_statement check;

    if (!known_type(st->type))
        return PV_ERR_MALFORMED;
    pv_put_u8(&w, 1);
    pv_put_u8(&w, st->type);
    if (st->type != PV_ST_NETWORK)
        pv_put_bytes(&w, st->network_id, sizeof(st->network_id));
    pv_put_bytes(&w, pv_signer_pk(signer), PV_SIGN_PK_LEN);
    put_fields(&w, st);
    if (st->type == PV_ST_MEMBER && node_sk == NULL)
        pv_put_bytes(&w, st->u.member.node_sig, sizeof(st->u.member.node_sig));
    int r = w.status != PV_OK ? PV_ERR_MALFORMED : PV_OK;
    if (r == PV_OK && st->type == PV_ST_MEMBER && node_sk != NULL)
        r = put_signature(&w, node_context, node_sk);
    if (r == PV_OK)
        r = put_signer(&w, signer);
    if (r != PV_OK)
        return r == PV_ERR_NO_SPACE ? PV_ERR_MALFORMED : r;
    r = pv_statement_decode(pv_written(&w), &check);
    if (r != PV_OK)
        return r == PV_ERR_NOMEM ? r : PV_ERR_MALFORMED;
    if (w.len > cap)
        return PV_ERR_NO_SPACE;
    memcpy(buf, out, w.len);
    *ret_len = w.len;
    return PV_OK;
}

/* A node's own word is none of root's, and a member is let in by an invite or an admin. */
static bool is_roots(uint8_t type)
{
    switch ((enum pv_statement_type)type) {
    case PV_ST_NETWORK:
    case PV_ST_ADMIN:
    case PV_ST_INVITE:
    case PV_ST_CONDITIONAL:
    case PV_ST_REVOCATION:
    case PV_ST_COORDINATORS:
    case PV_ST_END:
    case PV_ST_PLACE:
    case PV_ST_ADMISSION:
    case PV_ST_ROUTE:
    case PV_ST_TAG:
    case PV_ST_RULE:
        return true;
    case PV_ST_MEMBER:
    case PV_ST_TRANSPORT:
    case PV_ST_LEAVE:
    case PV_ST_OFFERS:
    case PV_ST_ABLE:
    case PV_ST_RECEIPT:
        break;
    }
    return false;
}

int pv_statement_sign_as_root(struct pv_view body, const uint8_t sk[static PV_SIGN_SK_LEN],
                              uint8_t ret_sig[static PV_SIGN_LEN])
{
    uint8_t out[PV_STATEMENT_MAX] = {0};
    struct pv_statement st;

    if (body.len > sizeof(out) - PV_SIGN_LEN)
        return PV_ERR_MALFORMED;
    memcpy(out, body.ptr, body.len); /* zeros stand for the signature */
    if (pv_statement_decode(pv_view(out, body.len + PV_SIGN_LEN), &st) != PV_OK)
        return PV_ERR_MALFORMED;
    if (!is_roots(st.type) || memcmp(st.signer, sk + PV_SIGN_SEED_LEN, PV_SIGN_PK_LEN) != 0)
        return PV_ERR_REFUSED;
    return pv_sign(ret_sig, statement_context, body, pv_view(NULL, 0), sk);
}

void pv_statement_hash(struct pv_view raw, uint8_t ret_hash[static PV_STATEMENT_HASH_LEN])
{
    struct pv_view none = pv_view(NULL, 0);
    pv_blake2b(ret_hash, raw, none, none);
}

/* --- receipts -------------------------------------------------------------------------------- */

int pv_receipt_decode(struct pv_view data, struct pv_receipt *ret_receipt)
{
    struct pv_receipt f;
    struct pv_reader r = pv_reader(data);

    uint8_t version = pv_get_u8(&r);
    uint8_t type = pv_get_u8(&r);
    if (r.status != PV_OK)
        return r.status;
    if (version != 1 || type != PV_ST_RECEIPT)
        return PV_ERR_UNSUPPORTED;
    pv_get_copy(&r, f.network_id, sizeof(f.network_id));
    pv_get_copy(&r, f.coordinator, sizeof(f.coordinator));
    f.epoch = pv_get_u64(&r);
    f.n = pv_get_u64(&r);
    pv_get_copy(&r, f.hash, sizeof(f.hash));
    f.time = pv_get_u64(&r);
    pv_get_bytes(&r, PV_SIGN_LEN);
    int status = pv_reader_end(&r);
    if (status != PV_OK)
        return status;
    *ret_receipt = f;
    return PV_OK;
}

int pv_receipt_verify(struct pv_view data)
{
    if (data.len != PV_RECEIPT_LEN)
        return PV_ERR_AUTH;
    struct pv_view body = pv_view(data.ptr, data.len - PV_SIGN_LEN);
    const uint8_t *coordinator = data.ptr + 2 + PV_NETWORK_ID_LEN;
    return pv_sign_verify(body.ptr + body.len, receipt_context, body, pv_view(NULL, 0),
                          coordinator);
}

int pv_receipt_make(const struct pv_receipt *receipt, const uint8_t sk[static PV_SIGN_SK_LEN],
                    uint8_t ret_data[static PV_RECEIPT_LEN])
{
    uint8_t out[PV_RECEIPT_LEN];
    struct pv_writer w = pv_writer(out, sizeof(out));

    pv_put_u8(&w, 1);
    pv_put_u8(&w, PV_ST_RECEIPT);
    pv_put_bytes(&w, receipt->network_id, sizeof(receipt->network_id));
    pv_put_bytes(&w, sk + PV_SIGN_SEED_LEN, PV_SIGN_PK_LEN);
    pv_put_u64(&w, receipt->epoch);
    pv_put_u64(&w, receipt->n);
    pv_put_bytes(&w, receipt->hash, sizeof(receipt->hash));
    pv_put_u64(&w, receipt->time);
    int r = put_signature(&w, receipt_context, sk);
    if (r == PV_OK)
        memcpy(ret_data, out, sizeof(out));
    return r;
}
