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
#include "proto/roster/kinds.h"

static const char statement_context[] = "p2pvpn statement v1";
static const char node_context[] = "p2pvpn node v1";
static const char receipt_context[] = "p2pvpn receipt v1";

/* --- fields ---------------------------------------------------------------------------------- */

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

static void get_range(struct pv_reader *r, struct pv_prefix *range)
{
    uint32_t base = pv_get_u32(r);
    *range = (struct pv_prefix){.base = pv_addr4_u32(base, 0), .bits = pv_get_u8(r)};
}

static void get_slot(struct pv_reader *r, struct pv_st_slot *slot)
{
    slot->number = pv_get_u16(r);
    slot->seq = pv_get_u64(r);
    require_that(r, slot->number < PV_RULE_SLOTS);
}

static void get_field(struct pv_reader *r, const struct pv_kind_field *f, void *at)
{
    switch (f->form) {
    case PV_FIELD_U8:
        *(uint8_t *)at = pv_get_u8(r);
        break;
    case PV_FIELD_U32:
        *(uint32_t *)at = pv_get_u32(r);
        break;
    case PV_FIELD_U64:
        *(uint64_t *)at = pv_get_u64(r);
        break;
    case PV_FIELD_BYTES:
        pv_get_copy(r, at, f->size);
        break;
    case PV_FIELD_TRANSPORT: /* of zero everybody knows the shared secret (RFC 7748 s6.1) */
        pv_get_copy(r, at, f->size);
        require_that(r, !pv_ct_is_zero(at, f->size));
        break;
    case PV_FIELD_NAME:
        get_name(r, at);
        break;
    case PV_FIELD_RANGE:
        get_range(r, at);
        break;
    case PV_FIELD_ROUTE:
        pv_route_get(r, at);
        break;
    case PV_FIELD_LIST:
        *(struct pv_view *)at = pv_get_view16(r, f->size);
        break;
    case PV_FIELD_SLOT:
        get_slot(r, at);
        break;
    case PV_FIELD_SELECTOR:
        require_that(r, pv_selector_decode(pv_get_view16(r, PV_SELECTOR_BYTES), at) == PV_OK);
        break;
    case PV_FIELD_PORTS:
        require_that(r, pv_ports_decode(pv_get_view16(r, PV_PORTS_BYTES), at) == PV_OK);
        break;
    case PV_FIELD_REST:
        *(struct pv_view *)at = pv_get_bytes(r, r->rest.len);
        break;
    case PV_FIELD_END:
        break;
    }
}

static void put_field(struct pv_writer *w, const struct pv_kind_field *f, const void *at)
{
    const struct pv_st_slot *slot = at;
    const struct pv_prefix *range = at;
    uint8_t buf[PV_SELECTOR_BYTES], ports[PV_PORTS_BYTES];

    switch (f->form) {
    case PV_FIELD_U8:
        pv_put_u8(w, *(const uint8_t *)at);
        break;
    case PV_FIELD_U32:
        pv_put_u32(w, *(const uint32_t *)at);
        break;
    case PV_FIELD_U64:
        pv_put_u64(w, *(const uint64_t *)at);
        break;
    case PV_FIELD_BYTES:
    case PV_FIELD_TRANSPORT:
        pv_put_bytes(w, at, f->size);
        break;
    case PV_FIELD_NAME:
        pv_put_view16(w, pv_view(at, strnlen(at, PV_NAME_BUF)));
        break;
    case PV_FIELD_RANGE:
        pv_put_u32(w, pv_addr_u32(&range->base));
        pv_put_u8(w, range->bits);
        break;
    case PV_FIELD_ROUTE:
        pv_route_put(w, at);
        break;
    case PV_FIELD_LIST:
        pv_put_view16(w, *(const struct pv_view *)at);
        break;
    case PV_FIELD_SLOT:
        pv_put_u16(w, slot->number);
        pv_put_u64(w, slot->seq);
        break;
    case PV_FIELD_SELECTOR:
        pv_put_view16(w, pv_view(buf, pv_selector_encode(at, buf)));
        break;
    case PV_FIELD_PORTS:
        pv_put_view16(w, pv_view(ports, pv_ports_encode(at, ports)));
        break;
    case PV_FIELD_REST: /* unknown types cannot be made */
    case PV_FIELD_END:
        break;
    }
}

static void get_fields(struct pv_reader *r, struct pv_statement *st)
{
    const struct pv_kind *kind = pv_kind_of(st->type);

    for (const struct pv_kind_field *f = kind->fields; f->form != PV_FIELD_END; f++)
        get_field(r, f, (uint8_t *)st + f->at);
    if (r->status == PV_OK && kind->is_good != NULL)
        require_that(r, kind->is_good(st));
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
    /* Only types with lists may be long; the limit for unknown types keeps later versions from
     * costing earlier ones more than they agreed to. */
    if (data.len > (pv_kind_of(st.type)->is_long ? PV_STATEMENT_MAX : PV_STATEMENT_SHORT_MAX))
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
    const struct pv_kind *kind = pv_kind_of(st->type);
    struct pv_statement check;

    if (kind->name == NULL)
        return PV_ERR_MALFORMED;
    pv_put_u8(&w, 1);
    pv_put_u8(&w, st->type);
    if (st->type != PV_ST_NETWORK)
        pv_put_bytes(&w, st->network_id, sizeof(st->network_id));
    pv_put_bytes(&w, pv_signer_pk(signer), PV_SIGN_PK_LEN);
    for (const struct pv_kind_field *f = kind->fields; f->form != PV_FIELD_END; f++)
        put_field(&w, f, (const uint8_t *)st + f->at);
    int r = w.status != PV_OK ? PV_ERR_MALFORMED : PV_OK;
    if (r == PV_OK && st->type == PV_ST_MEMBER && node_sk != NULL) {
        w.len -= PV_SIGN_LEN; /* its last field, made now */
        r = put_signature(&w, node_context, node_sk);
    }
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
    const struct pv_kind *kind = pv_kind_of(st.type);
    if (kind->name == NULL || (kind->by & PV_BY_ROOT) == 0 ||
        memcmp(st.signer, sk + PV_SIGN_SEED_LEN, PV_SIGN_PK_LEN) != 0)
        return PV_ERR_REFUSED; /* a node's own word is none of root's, a later version's neither */
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
