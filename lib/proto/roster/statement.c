/* SPDX-License-Identifier: MIT */
/*
 * statement.c - encodes, decodes, signs and verifies statements and receipts, and what stands in
 * them: addresses that follow from keys, routes, lists of coordinators. There is exactly one
 * encoding for each statement: decoding refuses whatever encoding would not write (names in other
 * spelling, unsorted lists, trailing bytes). Statements are compared by their hash, so a second
 * form would be a second statement.
 */
#include "proto/roster/statement.h"

#include <stdio.h>
#include <string.h>

#include "crypto/ct.h"
#include "crypto/hash.h"
#include "proto/roster/kinds.h"

enum {
    VERSION = 1,                                       /* of statements and receipts */
    OFFER_FLAGS = 31,                                  /* all of enum pv_offer_flag */
    HEAD_LEN = 2 + PV_NETWORK_ID_LEN + PV_SIGN_PK_LEN, /* of receipts, and of all but type 1 */
};

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
    case PV_FIELD_LOGINS:
        require_that(r, pv_logins_decode(pv_get_view16(r, PV_LOGINS_MAX), at) == PV_OK);
        break;
    case PV_FIELD_END:
        break;
    }
}

/* Writes what get_field() reads. */
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
    case PV_FIELD_LOGINS:
        pv_put_view16(w, pv_view(at, strnlen(at, PV_LOGINS_MAX)));
        break;
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

/* Everything but the hash, and what follows from it. The signature is the tail of every type. */
static int decode_fields(struct pv_view data, struct pv_statement *ret_st)
{
    struct pv_statement st = {.raw = data};
    struct pv_reader r = pv_reader(data);

    uint8_t version = pv_get_u8(&r);
    st.type = pv_get_u8(&r);
    if (r.status != PV_OK)
        return r.status;
    if (version > VERSION)
        return PV_ERR_UNSUPPORTED;
    const struct pv_kind *kind = pv_kind_of(st.type);
    if (version != VERSION || kind->name == NULL ||
        data.len > (kind->is_long ? PV_STATEMENT_MAX : PV_STATEMENT_SHORT_MAX))
        return PV_ERR_MALFORMED;
    if (st.type != PV_ST_NETWORK)
        pv_get_copy(&r, st.network_id, sizeof(st.network_id));
    pv_get_copy(&r, st.signer, sizeof(st.signer));
    if (r.status != PV_OK)
        return r.status;

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

/* Appends a signature over all that has been written so far. A kept key signs statements alone, and
 * knows their context. */
static int put_signature(struct pv_writer *w, const char *context, struct pv_signer signer)
{
    uint8_t sig[PV_SIGN_LEN];
    if (w->status != PV_OK)
        return w->status;
    int r = signer.sk != NULL ? pv_sign(sig, context, pv_written(w), pv_view(NULL, 0), signer.sk)
                              : signer.kept->sign(signer.kept->keeper, pv_written(w), sig);
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
    pv_put_u8(&w, VERSION);
    pv_put_u8(&w, st->type);
    if (st->type != PV_ST_NETWORK)
        pv_put_bytes(&w, st->network_id, sizeof(st->network_id));
    pv_put_bytes(&w, pv_signer_pk(signer), PV_SIGN_PK_LEN);
    for (const struct pv_kind_field *f = kind->fields; f->form != PV_FIELD_END; f++)
        put_field(&w, f, (const uint8_t *)st + f->at);
    int r = w.status != PV_OK ? PV_ERR_MALFORMED : PV_OK;
    if (r == PV_OK && st->type == PV_ST_MEMBER && node_sk != NULL) {
        w.len -= PV_SIGN_LEN; /* its last field, made now */
        r = put_signature(&w, node_context, pv_signer_sk(node_sk));
    }
    if (r == PV_OK)
        r = put_signature(&w, statement_context, signer);
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
    if ((kind->by & PV_BY_ROOT) == 0 ||
        memcmp(st.signer, sk + PV_SIGN_SEED_LEN, PV_SIGN_PK_LEN) != 0)
        return PV_ERR_REFUSED; /* a node's own word is none of root's */
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
    if (version > VERSION)
        return PV_ERR_UNSUPPORTED;
    if (version != VERSION || type != PV_ST_RECEIPT)
        return PV_ERR_MALFORMED;
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
    int r = put_signature(&w, receipt_context, pv_signer_sk(sk));
    if (r == PV_OK)
        memcpy(ret_data, out, sizeof(out));
    return r;
}

/* --- newer versions -------------------------------------------------------------------------- */

const uint8_t *pv_newer_signer(struct pv_view data,
                               const uint8_t network_id[static PV_NETWORK_ID_LEN])
{
    if (data.len < HEAD_LEN + PV_SIGN_LEN || data.ptr[0] <= VERSION ||
        memcmp(data.ptr + 2, network_id, PV_NETWORK_ID_LEN) != 0)
        return NULL;
    return data.ptr + 2 + PV_NETWORK_ID_LEN;
}

static int verify_newer(struct pv_view data, const char *context)
{
    struct pv_view body = pv_view(data.ptr, data.len - PV_SIGN_LEN);
    return pv_sign_verify(body.ptr + body.len, context, body, pv_view(NULL, 0),
                          data.ptr + 2 + PV_NETWORK_ID_LEN);
}

int pv_statement_verify_newer(struct pv_view data)
{
    return verify_newer(data, statement_context);
}

int pv_receipt_verify_newer(struct pv_view data)
{
    return verify_newer(data, receipt_context);
}

/* --- addresses ------------------------------------------------------------------------------- */

/* They follow from keys, so that a node can compute those of any member, and so that a member
 * cannot choose an address that looks like another's. */

enum {
    NEAR_TRIES = 256, /* ours: addresses behind a node's own that are looked at first */
    FAR_TRIES = 1024, /* ours: then addresses all over the range, before all of them */
};

static void hash_pk(const uint8_t pk[static PV_SIGN_PK_LEN], uint8_t out[static PV_BLAKE2B_LEN])
{
    struct pv_view none = pv_view(NULL, 0);
    pv_blake2b(out, pv_view(pk, PV_SIGN_PK_LEN), none, none);
}

/* 40 bits of the network id serve as RFC 4193's random global id (s3.2.1). */
struct pv_prefix pv_network_ula(const uint8_t network_id[static PV_NETWORK_ID_LEN])
{
    uint8_t ip[16] = {0xfd}; /* RFC 4193 s3.1: fc00::/7 with the L bit */
    memcpy(ip + 1, network_id, 5);
    return (struct pv_prefix){.base = pv_addr6(ip, 0), .bits = 64};
}

void pv_node_ip6(const uint8_t network_id[static PV_NETWORK_ID_LEN],
                 const uint8_t node[static PV_SIGN_PK_LEN], uint8_t ret_ip6[static PV_IP6_LEN])
{
    uint8_t hash[PV_BLAKE2B_LEN];
    struct pv_prefix ula = pv_network_ula(network_id);

    hash_pk(node, hash);
    memcpy(ret_ip6, ula.base.ip, 8);
    memcpy(ret_ip6 + 8, hash, 8);
}

static uint32_t range_first(const struct pv_prefix *range)
{
    return pv_addr_u32(&range->base) + 1;
}

uint32_t pv_ip4_count(const struct pv_prefix *range)
{
    return (uint32_t)((UINT64_C(1) << (32 - range->bits)) - 2);
}

/* Ranges with a meaning of their own would break the host's routing: this network, loopback,
 * link-local, multicast and above (RFC 6890). */
bool pv_ip4_range_is_valid(const struct pv_prefix *range)
{
    uint32_t base = pv_addr_u32(&range->base);

    if (range->base.family != PV_AF_INET || range->bits < 8 || range->bits > 30)
        return false;
    if ((base & (pv_ip4_count(range) + 1)) != 0)
        return false; /* host bits set */
    uint32_t top = base >> 24;
    /* 8 bits are the shortest, so a range lies in one /8; 169.254/16 may be part of a wider one. */
    struct pv_prefix link_local = {.base = pv_addr4(169, 254, 0, 0, 0), .bits = 16};
    return top != 0 && top != 127 && top < 224 && !pv_prefix_overlaps(range, &link_local);
}

bool pv_ip4_is_usable(const struct pv_prefix *range, uint32_t ip4)
{
    return ip4 - range_first(range) < pv_ip4_count(range);
}

/* Bytes of the hash that pv_node_ip6() does not use, so that both addresses do not collide
 * together. */
uint32_t pv_ip4_first(const struct pv_prefix *range, const uint8_t node[static PV_SIGN_PK_LEN])
{
    uint8_t hash[PV_BLAKE2B_LEN];

    hash_pk(node, hash);
    return range_first(range) + (uint32_t)(pv_load_be64(hash + 8) % pv_ip4_count(range));
}

uint32_t pv_ip4_tries(const struct pv_prefix *range)
{
    return pv_ip4_count(range) + FAR_TRIES;
}

uint32_t pv_ip4_try(const struct pv_prefix *range, uint32_t own, uint32_t n)
{
    uint32_t first = range_first(range);
    uint64_t off = own - first;

    if (n < NEAR_TRIES)
        off += n;
    else if (n < NEAR_TRIES + FAR_TRIES)
        off += n * UINT64_C(2654435761); /* 2^32 by the golden ratio: spreads them evenly */
    else
        off += n - FAR_TRIES;
    return first + (uint32_t)(off % pv_ip4_count(range));
}

/* --- routes ---------------------------------------------------------------------------------- */

/* Each prefix that nodes carry has one form, and so has a list of them: it is sorted. */

/* Inside these no packet leaves its link, or its host. */
static bool is_local(const struct pv_prefix *p)
{
    static const struct pv_prefix local[] = {
        {.base = {.family = PV_AF_INET, .ip = {127}}, .bits = 8},
        {.base = {.family = PV_AF_INET, .ip = {169, 254}}, .bits = 16},
        {.base = {.family = PV_AF_INET, .ip = {224}}, .bits = 3},
        {.base = {.family = PV_AF_INET6, .ip = {[15] = 1}}, .bits = 128},
        {.base = {.family = PV_AF_INET6, .ip = {0xfe, 0x80}}, .bits = 10},
        {.base = {.family = PV_AF_INET6, .ip = {0xff}}, .bits = 8},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(local); i++) {
        if (p->bits >= local[i].bits && pv_prefix_contains(&local[i], &p->base))
            return true;
    }
    return false;
}

bool pv_route_is_valid(const struct pv_prefix *p)
{
    size_t len = pv_addr_ip_len(&p->base);
    size_t shortest = len == 4 ? PV_ROUTE_BITS4 : PV_ROUTE_BITS6;
    if (len == 0 || p->base.port != 0 || p->bits > 8 * len ||
        (p->bits != 0 && p->bits < shortest) || is_local(p))
        return false;
    for (size_t bit = p->bits; bit < 8 * len; bit++) {
        if ((p->base.ip[bit / 8] & 0x80u >> bit % 8) != 0)
            return false;
    }
    return true;
}

int pv_route_compare(const struct pv_prefix *a, const struct pv_prefix *b)
{
    if (a->base.family != b->base.family)
        return a->base.family < b->base.family ? -1 : 1;
    int order = memcmp(a->base.ip, b->base.ip, sizeof(a->base.ip));
    return order != 0 ? order : (int)a->bits - (int)b->bits;
}

void pv_route_get(struct pv_reader *r, struct pv_prefix *ret_prefix)
{
    struct pv_prefix p;
    uint8_t family = pv_get_u8(r);
    memset(&p, 0, sizeof(p));
    p.base.family = family == 4 ? PV_AF_INET : family == 6 ? PV_AF_INET6 : PV_AF_NONE;
    p.bits = pv_get_u8(r);
    pv_get_copy(r, p.base.ip, pv_addr_ip_len(&p.base));
    if (r->status == PV_OK && !pv_route_is_valid(&p))
        pv_reader_fail(r, PV_ERR_MALFORMED);
    *ret_prefix = p;
}

void pv_route_put(struct pv_writer *w, const struct pv_prefix *p)
{
    pv_put_u8(w, p->base.family == PV_AF_INET ? 4 : 6);
    pv_put_u8(w, p->bits);
    pv_put_bytes(w, p->base.ip, pv_addr_ip_len(&p->base));
}

bool pv_offerlist_next(struct pv_view *list, struct pv_offer *ret_offer)
{
    struct pv_reader r = pv_reader(*list);
    struct pv_offer offer = {.flags = 0};
    if (list->len == 0)
        return false;
    offer.flags = pv_get_u8(&r);
    pv_route_get(&r, &offer.prefix);
    if (r.status != PV_OK)
        return false;
    *list = r.rest;
    *ret_offer = offer;
    return true;
}

int pv_offerlist_check(struct pv_view list)
{
    struct pv_offer offer, last = {.flags = 0};
    size_t n = 0;
    while (pv_offerlist_next(&list, &offer)) {
        if (++n > PV_OFFERS_MAX || offer.flags > OFFER_FLAGS ||
            (n > 1 && pv_route_compare(&last.prefix, &offer.prefix) >= 0))
            return PV_ERR_MALFORMED;
        last = offer;
    }
    return list.len == 0 ? PV_OK : PV_ERR_MALFORMED;
}

void pv_offerlist_put(struct pv_writer *w, const struct pv_offer *offers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        pv_put_u8(w, offers[i].flags);
        pv_route_put(w, &offers[i].prefix);
    }
}

/* --- lists of coordinators ------------------------------------------------------------------- */

/* Lists are part of signed statements and of tokens, so they have one canonical text for each
 * address: two spellings of one address would be two addresses. */

/* --- lists of coordinators: HOST:PORT -------------------------------------------------------- */

/* A lower-case DNS name (RFC 1123 s2.1): labels of 1..63 of [a-z0-9-], no hyphen at either end. The
 * last label is not all digits, so that no name looks like an address. */
static bool dns_name_is_valid(const char *host)
{
    size_t label = 0;
    bool digits = true;

    for (const char *c = host;; c++) {
        if (*c == '.' || *c == '\0') {
            if (label == 0 || label > 63 || c[-1] == '-')
                return false;
            if (*c == '\0')
                return !digits;
            label = 0;
            digits = true;
            continue;
        }
        bool digit = *c >= '0' && *c <= '9';
        if (!digit && !(*c >= 'a' && *c <= 'z') && !(*c == '-' && label > 0))
            return false;
        digits = digits && digit;
        label++;
    }
}

/* An address in its canonical text form, or a DNS name. */
static bool host_is_valid(const char *host)
{
    struct pv_addr ip;

    if (pv_addr_parse_ip(host, &ip) == PV_OK)
        return strcmp(PV_IP_STR(&ip), host) == 0;
    return dns_name_is_valid(host);
}

const char *pv_hostport_format(const struct pv_hostport *hp, char buf[static PV_HOSTPORT_BUF])
{
    bool v6 = strchr(hp->host, ':') != NULL;
    snprintf(buf, PV_HOSTPORT_BUF, "%s%s%s%s:%u", hp->tls ? "tls:" : "", v6 ? "[" : "", hp->host,
             v6 ? "]" : "", (unsigned)hp->port);
    return buf;
}

/* Parsed loosely, written back, and compared: that accepts only the canonical form without a second
 * grammar. */
int pv_hostport_parse(const char *text, size_t len, struct pv_hostport *ret_hp)
{
    struct pv_hostport hp = {.tls = false};
    char buf[PV_HOSTPORT_BUF];
    uint64_t port;

    if (len >= sizeof(buf) || memchr(text, 0, len) != NULL)
        return PV_ERR_MALFORMED;
    memcpy(buf, text, len);
    buf[len] = '\0';

    char *host = buf;
    if (strncmp(host, "tls:", 4) == 0) {
        hp.tls = true;
        host += 4;
    }
    char *colon = strrchr(host, ':');
    if (colon == NULL || pv_u64_parse(colon + 1, 1, UINT16_MAX, &port) != PV_OK)
        return PV_ERR_MALFORMED;
    *colon = '\0';
    size_t host_len = (size_t)(colon - host);
    if (host_len >= 2 && host[0] == '[' && host[host_len - 1] == ']') {
        host[host_len - 1] = '\0';
        host++;
        host_len -= 2;
    }
    if (host_len > PV_HOST_MAX || !host_is_valid(host))
        return PV_ERR_MALFORMED;
    memcpy(hp.host, host, host_len + 1);
    hp.port = (uint16_t)port;

    /* Every accepted text is written back the same: brackets where they belong, no odd zeros. */
    const char *canonical = PV_HOSTPORT_STR(&hp);
    if (strlen(canonical) != len || memcmp(canonical, text, len) != 0)
        return PV_ERR_MALFORMED;
    *ret_hp = hp;
    return PV_OK;
}

/* --- lists of coordinators: the bytes -------------------------------------------------------- */

/* Duplicates are refused: they would only slow a node that tries one address after the other. */
static int check_addrs(struct pv_view addrs)
{
    struct pv_view seen[PV_COORDINATOR_ADDRS_MAX];
    struct pv_reader r = pv_reader(addrs);
    struct pv_hostport hp;
    size_t n = 0;

    while (r.status == PV_OK && r.rest.len > 0) {
        struct pv_view text = pv_get_view16(&r, PV_HOSTPORT_BUF - 1);
        if (r.status != PV_OK)
            return r.status;
        if (n == PV_COORDINATOR_ADDRS_MAX ||
            pv_hostport_parse((const char *)text.ptr, text.len, &hp) != PV_OK)
            return PV_ERR_MALFORMED;
        for (size_t i = 0; i < n; i++) {
            if (pv_view_equal(seen[i], text))
                return PV_ERR_MALFORMED;
        }
        seen[n++] = text;
    }
    return n > 0 ? PV_OK : PV_ERR_MALFORMED;
}

int pv_coordlist_check(struct pv_view list, size_t max)
{
    struct pv_view seen[PV_COORDINATORS_MAX];
    struct pv_reader r = pv_reader(list);
    size_t n = 0;

    if (list.len > max)
        return PV_ERR_MALFORMED;
    while (r.status == PV_OK && r.rest.len > 0) {
        struct pv_view pk = pv_get_bytes(&r, PV_SIGN_PK_LEN);
        struct pv_view addrs = pv_get_view16(&r, max);
        if (r.status != PV_OK)
            return r.status;
        if (n == PV_COORDINATORS_MAX)
            return PV_ERR_MALFORMED;
        for (size_t i = 0; i < n; i++) {
            if (pv_view_equal(seen[i], pk))
                return PV_ERR_MALFORMED;
        }
        seen[n++] = pk;
        int status = check_addrs(addrs);
        if (status != PV_OK)
            return status;
    }
    return n > 0 ? PV_OK : PV_ERR_MALFORMED;
}

bool pv_coordlist_next(struct pv_view *list, struct pv_coordinator *ret_coordinator)
{
    struct pv_reader r = pv_reader(*list);
    struct pv_view pk = pv_get_bytes(&r, PV_SIGN_PK_LEN);
    struct pv_view addrs = pv_get_view16(&r, PV_STATEMENT_LIST_MAX);

    if (r.status != PV_OK)
        return false;
    *ret_coordinator = (struct pv_coordinator){.pk = pk.ptr, .addrs = addrs};
    *list = r.rest;
    return true;
}

bool pv_coordlist_next_addr(struct pv_view *addrs, struct pv_hostport *ret_addr)
{
    struct pv_reader r = pv_reader(*addrs);
    struct pv_view text = pv_get_view16(&r, PV_HOSTPORT_BUF - 1);

    if (r.status != PV_OK || pv_hostport_parse((const char *)text.ptr, text.len, ret_addr) != PV_OK)
        return false;
    *addrs = r.rest;
    return true;
}

/* Too many or too long addresses make the writer fail, which the caller sees at the end. */
void pv_coordlist_put(struct pv_writer *w, const uint8_t pk[static PV_SIGN_PK_LEN],
                      const struct pv_hostport *addrs, size_t n_addrs)
{
    uint8_t list[PV_COORDINATOR_ADDRS_MAX * (PV_HOSTPORT_BUF + 1)];
    struct pv_writer inner = pv_writer(list, sizeof(list));

    for (size_t i = 0; i < n_addrs; i++) {
        const char *text = PV_HOSTPORT_STR(&addrs[i]);
        pv_put_view16(&inner, pv_view(text, strlen(text)));
    }
    if (w->status == PV_OK)
        w->status = inner.status;
    pv_put_bytes(w, pk, PV_SIGN_PK_LEN);
    pv_put_view16(w, pv_written(&inner));
}

static bool is_listed(const struct pv_hostport *hps, size_t n, const struct pv_hostport *hp)
{
    for (size_t i = 0; i < n; i++) {
        if (hps[i].tls == hp->tls && hps[i].port == hp->port && strcmp(hps[i].host, hp->host) == 0)
            return true;
    }
    return false;
}

/* Each address that fits is added and the list written anew, so what is in buf is always a checked
 * list, however many addresses did not fit. */
int pv_coordlist_with(struct pv_view list, const struct pv_coordlist_more *more, uint8_t *buf,
                      size_t cap, size_t *ret_len)
{
    struct pv_hostport hps[PV_COORDINATOR_ADDRS_MAX];
    struct pv_coordinator one;
    struct pv_view rest = list;
    size_t n_hps = 0;
    if (list.len > cap)
        return PV_ERR_NO_SPACE;
    if (list.len > 0)
        memcpy(buf, list.ptr, list.len);
    *ret_len = list.len;
    if (!pv_coordlist_next(&rest, &one) || rest.len > 0)
        return PV_OK;
    while (n_hps < PV_COORDINATOR_ADDRS_MAX && pv_coordlist_next_addr(&one.addrs, &hps[n_hps]))
        n_hps++;
    for (size_t i = 0; i < more->n && n_hps < PV_COORDINATOR_ADDRS_MAX; i++) {
        struct pv_hostport hp;
        uint8_t longer[PV_STATEMENT_LIST_MAX];
        struct pv_writer w = pv_writer(longer, cap < sizeof(longer) ? cap : sizeof(longer));
        if (pv_hostport_parse(more->addrs[i], strlen(more->addrs[i]), &hp) < 0 || hp.tls)
            continue;
        hp.tls = more->tls;
        if (is_listed(hps, n_hps, &hp))
            continue;
        hps[n_hps] = hp;
        pv_coordlist_put(&w, one.pk, hps, n_hps + 1);
        if (w.status < 0)
            continue;
        n_hps++;
        memcpy(buf, longer, w.len);
        *ret_len = w.len;
    }
    return PV_OK;
}
