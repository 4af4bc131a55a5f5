/* SPDX-License-Identifier: MIT */
/*
 * logst.c - encodes, decodes, signs and verifies statements, entries and heads of a log. Each has
 * exactly one encoding, because they are compared by their hash.
 */
#include "proto/roster/logst.h"

#include <string.h>

#include "crypto/ct.h"
#include "crypto/hash.h"
#include "proto/rules/policy.h"

enum {
    VERSION = 1,
    HEAD_TYPE = 128, /* apart from every statement's */
};

static const char statement_context[] = "p2pvpn log statement v1";
static const char node_context[] = "p2pvpn log node v1";
static const char head_context[] = "p2pvpn log head v1";

/* The fields of each type in the order in which they are signed: a about, k key, n number, m after,
 * t time, u uses, l lifetime, f flags, i ip4, s name, v list, y the node's signature. */
static const char *const fields[PV_LOGST_TYPES] = {
    [PV_LOGST_COORDINATORS] = "nmatv",
    [PV_LOGST_GRANT] = "af",
    [PV_LOGST_INVITE] = "ktulf",
    [PV_LOGST_JOIN] = "akfisy",
    [PV_LOGST_ADMIT] = "a",
    [PV_LOGST_PLACE] = "anis",
    [PV_LOGST_KEY] = "kn",
    [PV_LOGST_LEAVE] = "v",
    [PV_LOGST_REMOVE] = "av",
    [PV_LOGST_END] = "av",
    [PV_LOGST_TAKE] = "a",
    [PV_LOGST_ROW] = "fv",
    [PV_LOGST_VERSION] = "n",
};

bool pv_logst_carries(uint8_t type)
{
    return type == PV_LOGST_LEAVE || type == PV_LOGST_REMOVE || type == PV_LOGST_END;
}

bool pv_logst_is_free(uint8_t type)
{
    return pv_logst_carries(type) || type == PV_LOGST_GRANT || type == PV_LOGST_TAKE ||
           type == PV_LOGST_ROW;
}

static bool is_carried(uint8_t type)
{
    return type == PV_LOGST_REMOVE || type == PV_LOGST_TAKE || type == PV_LOGST_ROW;
}

static size_t max_len(uint8_t type)
{
    if (type == PV_LOGST_COORDINATORS)
        return PV_LOGST_SHORT_MAX + PV_STATEMENT_LIST_MAX;
    return pv_logst_carries(type) ? PV_LOGST_MAX : PV_LOGST_SHORT_MAX;
}

/* --- fields ---------------------------------------------------------------------------------- */

static void require_that(struct pv_reader *r, bool condition)
{
    if (!condition)
        pv_reader_fail(r, PV_ERR_MALFORMED);
}

static void get_name(struct pv_reader *r, char name[static PV_NAME_BUF])
{
    struct pv_view v = pv_get_view16(r, PV_NAME_MAX);
    memset(name, 0, PV_NAME_BUF);
    if (v.len > 0)
        memcpy(name, v.ptr, v.len);
    if (r->status == PV_OK)
        require_that(r, memchr(name, 0, PV_NAME_BUF) == name + v.len && pv_name_is_valid(name));
}

static void get_field(struct pv_reader *r, char field, struct pv_logst *st)
{
    switch (field) {
    case 'a':
        pv_get_copy(r, st->about, sizeof(st->about));
        break;
    case 'k':
        pv_get_copy(r, st->key, sizeof(st->key));
        break;
    case 'n':
        st->number = pv_get_u64(r);
        break;
    case 'm':
        st->after = pv_get_u64(r);
        break;
    case 't':
        st->time = pv_get_u64(r);
        break;
    case 'u':
        st->uses = pv_get_u32(r);
        break;
    case 'l':
        st->lifetime = pv_get_u32(r);
        break;
    case 'f':
        st->flags = pv_get_u8(r);
        break;
    case 'i':
        pv_get_copy(r, st->ip4, sizeof(st->ip4));
        break;
    case 's':
        get_name(r, st->name);
        break;
    case 'v':
        st->list = pv_get_view16(r, max_len(st->type));
        break;
    default: /* 'y' */
        pv_get_copy(r, st->node_sig, sizeof(st->node_sig));
        break;
    }
}

static void put_field(struct pv_writer *w, char field, const struct pv_logst *st)
{
    switch (field) {
    case 'a':
        pv_put_bytes(w, st->about, sizeof(st->about));
        break;
    case 'k':
        pv_put_bytes(w, st->key, sizeof(st->key));
        break;
    case 'n':
        pv_put_u64(w, st->number);
        break;
    case 'm':
        pv_put_u64(w, st->after);
        break;
    case 't':
        pv_put_u64(w, st->time);
        break;
    case 'u':
        pv_put_u32(w, st->uses);
        break;
    case 'l':
        pv_put_u32(w, st->lifetime);
        break;
    case 'f':
        pv_put_u8(w, st->flags);
        break;
    case 'i':
        pv_put_bytes(w, st->ip4, sizeof(st->ip4));
        break;
    case 's':
        pv_put_view16(w, pv_view(st->name, strnlen(st->name, PV_NAME_BUF)));
        break;
    case 'v':
        pv_put_view16(w, st->list);
        break;
    default: /* 'y' */
        pv_put_bytes(w, st->node_sig, sizeof(st->node_sig));
        break;
    }
}

/* --- what fields say together ---------------------------------------------------------------- */

static void check_rule(struct pv_reader *r, bool allow)
{
    struct pv_selector from, to;
    struct pv_ports ports;
    struct pv_logins logins;

    pv_get_u64(r);
    struct pv_view a = pv_get_view16(r, PV_SELECTOR_BYTES);
    struct pv_view b = pv_get_view16(r, PV_SELECTOR_BYTES);
    struct pv_view c = pv_get_view16(r, PV_PORTS_BYTES);
    struct pv_view d = pv_get_view16(r, PV_LOGINS_MAX);
    if (r->status == PV_OK)
        require_that(
            r, pv_selector_decode(a, &from) == PV_OK && pv_selector_decode(b, &to) == PV_OK &&
                   pv_ports_decode(c, &ports) == PV_OK && pv_logins_decode(d, &logins) == PV_OK &&
                   (pv_logins_are_none(&logins) ||
                    (allow && to.kind != PV_SELECT_PREFIX && pv_logins_fit(&logins, &ports))));
}

/* The content of a row has one form for each kind. */
static bool is_good_row(uint8_t kind, struct pv_view content)
{
    struct pv_reader r = pv_reader(content);
    struct pv_prefix prefix;
    char tag[PV_NAME_BUF];

    switch (kind) {
    case PV_ROW_ALLOW:
    case PV_ROW_DENY:
        check_rule(&r, kind == PV_ROW_ALLOW);
        break;
    case PV_ROW_DENY_DEFAULT:
        break;
    case PV_ROW_TAG:
        pv_get_bytes(&r, PV_SIGN_PK_LEN);
        get_name(&r, tag);
        break;
    case PV_ROW_ROUTE:
        pv_get_bytes(&r, PV_SIGN_PK_LEN);
        pv_route_get(&r, &prefix);
        break;
    case PV_ROW_PHONE:
        pv_get_bytes(&r, (size_t)2 * PV_SIGN_PK_LEN);
        break;
    default:
        return false;
    }
    return pv_reader_end(&r) == PV_OK;
}

/* A carried statement is whole, short, of this network and carries nothing itself: else a list
 * could hold lists without end. */
static bool is_good_carried(const struct pv_logst *st)
{
    struct pv_reader r = pv_reader(st->list);
    struct pv_logst one;

    for (size_t n = 0; r.rest.len > 0; n++) {
        struct pv_view v = pv_get_view16(&r, PV_LOGST_SHORT_MAX);
        if (n == PV_CARRIED_MAX || r.status != PV_OK || v.len < 2 || !is_carried(v.ptr[1]) ||
            pv_logst_decode(v, &one) != PV_OK || (one.type != PV_LOGST_ROW && one.list.len > 0) ||
            memcmp(one.network_id, st->network_id, sizeof(one.network_id)) != 0)
            return false;
    }
    return true;
}

static bool is_good(const struct pv_logst *st)
{
    switch (st->type) {
    case PV_LOGST_COORDINATORS:
        return pv_coordlist_check(st->list, PV_STATEMENT_LIST_MAX) == PV_OK;
    case PV_LOGST_GRANT:
        return st->flags >= 1 && st->flags <= (PV_GRANT_INVITE | PV_GRANT_REMOVE);
    case PV_LOGST_INVITE:
        return st->uses >= 1 && st->flags <= PV_INVITE_APPROVED;
    case PV_LOGST_JOIN:
        return st->flags <= PV_JOIN_PHONE && !pv_ct_is_zero(st->key, sizeof(st->key));
    case PV_LOGST_KEY:
        return !pv_ct_is_zero(st->key, sizeof(st->key));
    case PV_LOGST_LEAVE:
    case PV_LOGST_REMOVE:
    case PV_LOGST_END:
        return is_good_carried(st);
    case PV_LOGST_ROW:
        return is_good_row(st->flags, st->list);
    default:
        return true;
    }
}

/* --- statements ------------------------------------------------------------------------------ */

static void get_head(struct pv_reader *r, struct pv_logst *st)
{
    pv_get_copy(r, st->network_id, sizeof(st->network_id));
    pv_get_copy(r, st->signer, sizeof(st->signer));
    pv_get_copy(r, st->grant, sizeof(st->grant));
    st->made = pv_get_u64(r);
}

static void get_fields(struct pv_reader *r, struct pv_logst *st)
{
    for (const char *f = fields[st->type]; *f != 0; f++)
        get_field(r, *f, st);
    if (st->type == PV_LOGST_KEY || st->type == PV_LOGST_LEAVE)
        memcpy(st->about, st->signer, sizeof(st->about));
}

int pv_logst_decode(struct pv_view data, struct pv_logst *ret_st)
{
    struct pv_reader r = pv_reader(data);
    struct pv_view none = pv_view(NULL, 0);

    memset(ret_st, 0, sizeof(*ret_st));
    ret_st->raw = data;
    uint8_t version = pv_get_u8(&r);
    ret_st->type = pv_get_u8(&r);
    if (r.status == PV_OK && version > VERSION)
        return PV_ERR_UNSUPPORTED;
    bool known = ret_st->type < PV_LOGST_TYPES;
    if (r.status == PV_OK && (version != VERSION || ret_st->type == 0 ||
                              data.len > (known ? max_len(ret_st->type) : PV_LOGST_SHORT_MAX)))
        return PV_ERR_MALFORMED;
    get_head(&r, ret_st);
    if (r.status != PV_OK || r.rest.len < PV_SIGN_LEN)
        return PV_ERR_TRUNCATED;
    r.rest.len -= PV_SIGN_LEN;
    if (known) { /* of the others only a newer program knows the fields */
        get_fields(&r, ret_st);
        int status = pv_reader_end(&r);
        if (status != PV_OK)
            return status;
        if (!is_good(ret_st))
            return PV_ERR_MALFORMED;
    }
    pv_blake2b(ret_st->hash, data, none, none);
    return PV_OK;
}

static int verify_one(const struct pv_logst *st)
{
    struct pv_view none = pv_view(NULL, 0);
    struct pv_view body = pv_view(st->raw.ptr, st->raw.len - PV_SIGN_LEN);

    int r = pv_sign_verify(body.ptr + body.len, statement_context, body, none, st->signer);
    if (r != PV_OK || st->type != PV_LOGST_JOIN)
        return r;
    struct pv_view claim = pv_view(body.ptr, body.len - PV_SIGN_LEN);
    return pv_sign_verify(st->node_sig, node_context, claim, none, st->about);
}

int pv_logst_verify(const struct pv_logst *st)
{
    struct pv_view list = pv_logst_carries(st->type) ? st->list : pv_view(NULL, 0);
    struct pv_logst one;

    int r = verify_one(st);
    while (r == PV_OK && pv_carried_next(&list, &one))
        r = verify_one(&one);
    return r;
}

/* Appends a signature over all that has been written so far. */
static int put_signature(struct pv_writer *w, const char *context, const uint8_t *sk)
{
    uint8_t sig[PV_SIGN_LEN];
    if (w->status != PV_OK)
        return w->status;
    int r = pv_sign(sig, context, pv_written(w), pv_view(NULL, 0), sk);
    if (r == PV_OK)
        pv_put_bytes(w, sig, sizeof(sig));
    return r == PV_OK ? w->status : r;
}

int pv_logst_make(const struct pv_logst *st, const uint8_t sk[static PV_SIGN_SK_LEN],
                  const uint8_t *node_sk, uint8_t *buf, size_t cap, size_t *ret_len)
{
    struct pv_writer w = pv_writer(buf, cap);
    struct pv_logst check;

    if (st->type == 0 || st->type >= PV_LOGST_TYPES)
        return PV_ERR_MALFORMED;
    pv_put_u8(&w, VERSION);
    pv_put_u8(&w, st->type);
    pv_put_bytes(&w, st->network_id, sizeof(st->network_id));
    pv_put_bytes(&w, sk + PV_SIGN_SEED_LEN, PV_SIGN_PK_LEN);
    pv_put_bytes(&w, st->grant, sizeof(st->grant));
    pv_put_u64(&w, st->made);
    for (const char *f = fields[st->type]; *f != 0; f++)
        put_field(&w, *f, st);
    int r = w.status;
    if (r == PV_OK && node_sk != NULL && st->type == PV_LOGST_JOIN) {
        w.len -= PV_SIGN_LEN; /* its last field, made now */
        r = put_signature(&w, node_context, node_sk);
    }
    if (r == PV_OK)
        r = put_signature(&w, statement_context, sk);
    if (r != PV_OK)
        return r;
    r = pv_logst_decode(pv_written(&w), &check);
    *ret_len = w.len;
    return r == PV_OK ? PV_OK : PV_ERR_MALFORMED;
}

bool pv_carried_next(struct pv_view *list, struct pv_logst *ret_st)
{
    struct pv_reader r = pv_reader(*list);

    if (list->len == 0)
        return false;
    struct pv_view v = pv_get_view16(&r, PV_LOGST_SHORT_MAX);
    *list = r.rest;
    return pv_logst_decode(v, ret_st) == PV_OK;
}

void pv_carried_put(struct pv_writer *w, struct pv_view statement)
{
    pv_put_view16(w, statement);
}

/* --- entries --------------------------------------------------------------------------------- */

int pv_entry_decode(struct pv_view data, struct pv_entry *ret_entry)
{
    struct pv_reader r = pv_reader(data);

    pv_get_copy(&r, ret_entry->prev, sizeof(ret_entry->prev));
    ret_entry->time = pv_get_u64(&r);
    if (r.status != PV_OK)
        return r.status;
    int status = pv_logst_decode(r.rest, &ret_entry->st);
    if (status != PV_OK)
        return status;
    /* Of the statement its hash is enough, and that is known already. */
    pv_blake2b(ret_entry->hash, pv_view("p2pvpn log entry v1", 20),
               pv_view(data.ptr, PV_ENTRY_HEAD_LEN),
               pv_view(ret_entry->st.hash, sizeof(ret_entry->st.hash)));
    return PV_OK;
}

int pv_entry_encode(const uint8_t prev[static PV_LOGST_HASH_LEN], uint64_t time,
                    struct pv_view statement, uint8_t *buf, size_t cap, size_t *ret_len)
{
    struct pv_writer w = pv_writer(buf, cap);

    pv_put_bytes(&w, prev, PV_LOGST_HASH_LEN);
    pv_put_u64(&w, time);
    pv_put_bytes(&w, statement.ptr, statement.len);
    *ret_len = w.len;
    return w.status;
}

/* --- heads ----------------------------------------------------------------------------------- */

int pv_head_decode(struct pv_view data, struct pv_head *ret_head)
{
    struct pv_reader r = pv_reader(data);

    uint8_t version = pv_get_u8(&r);
    uint8_t type = pv_get_u8(&r);
    if (r.status != PV_OK)
        return r.status;
    if (version > VERSION)
        return PV_ERR_UNSUPPORTED;
    if (version != VERSION || type != HEAD_TYPE)
        return PV_ERR_MALFORMED;
    pv_get_copy(&r, ret_head->network_id, sizeof(ret_head->network_id));
    pv_get_copy(&r, ret_head->coordinator, sizeof(ret_head->coordinator));
    ret_head->epoch = pv_get_u64(&r);
    ret_head->n = pv_get_u64(&r);
    pv_get_copy(&r, ret_head->hash, sizeof(ret_head->hash));
    ret_head->time = pv_get_u64(&r);
    pv_get_copy(&r, ret_head->digest, sizeof(ret_head->digest));
    pv_get_bytes(&r, PV_SIGN_LEN);
    return pv_reader_end(&r);
}

int pv_head_verify(struct pv_view data)
{
    if (data.len != PV_HEAD_LEN)
        return PV_ERR_AUTH;
    struct pv_view body = pv_view(data.ptr, data.len - PV_SIGN_LEN);
    return pv_sign_verify(body.ptr + body.len, head_context, body, pv_view(NULL, 0),
                          data.ptr + 2 + PV_NETWORK_ID_LEN);
}

int pv_head_make(const struct pv_head *head, const uint8_t sk[static PV_SIGN_SK_LEN],
                 uint8_t ret_data[static PV_HEAD_LEN])
{
    uint8_t out[PV_HEAD_LEN];
    struct pv_writer w = pv_writer(out, sizeof(out));

    pv_put_u8(&w, VERSION);
    pv_put_u8(&w, HEAD_TYPE);
    pv_put_bytes(&w, head->network_id, sizeof(head->network_id));
    pv_put_bytes(&w, sk + PV_SIGN_SEED_LEN, PV_SIGN_PK_LEN);
    pv_put_u64(&w, head->epoch);
    pv_put_u64(&w, head->n);
    pv_put_bytes(&w, head->hash, sizeof(head->hash));
    pv_put_u64(&w, head->time);
    pv_put_bytes(&w, head->digest, sizeof(head->digest));
    int r = put_signature(&w, head_context, sk);
    if (r == PV_OK)
        memcpy(ret_data, out, sizeof(out));
    return r;
}
