/* SPDX-License-Identifier: MIT */
#include "proto/desc.h"

#include <string.h>

#include "base/addr.h"
#include "base/text.h"
#include "proto/jsonline.h"

enum {
    WG_TEXT_BUF = PV_B64_LEN(PV_WGMSG_INITIATION_LEN) + 1,
    JSON_INT_MAX_BITS = 53,
};
#define JSON_INT_MAX (((uint64_t)1 << JSON_INT_MAX_BITS) - 1) /* exact in every JSON reader */

/* The words of RFC 8839 s5.1; part of the wire format. */
static const struct {
    enum pv_ice_cand_type type;
    const char *word;
} type_words[] = {{PV_ICE_HOST, "host"},
                  {PV_ICE_SRFLX, "srflx"},
                  {PV_ICE_PRFLX, "prflx"},
                  {PV_ICE_RELAY, "relay"}};

static const char *type_word(enum pv_ice_cand_type type)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(type_words); i++) {
        if (type_words[i].type == type)
            return type_words[i].word;
    }
    return "host";
}

/* --- out ----------------------------------------------------------------------------------- */

static json_t *cand_to_json(const struct pv_ice_cand *c)
{
    char addr[PV_ADDR_TEXT];
    return json_pack("{s:s, s:s, s:i, s:I, s:i}", "t", type_word(c->type), "a",
                     pv_addr_format(&c->addr, addr), "b", (int)c->base, "p",
                     (json_int_t)c->priority, "f", (int)c->foundation);
}

static json_t *cands_to_json(const struct pv_desc *desc)
{
    json_t *list = json_array();
    for (size_t i = 0; i < desc->n_cands && i < PV_ICE_MAX_REMOTE; i++) {
        if (json_array_append_new(list, cand_to_json(&desc->cands[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *pv_desc_to_json(const struct pv_desc *desc)
{
    json_t *cands = cands_to_json(desc);
    if (cands == NULL)
        return NULL;
    json_t *obj =
        json_pack("{s:I, s:I, s:[I, I], s:s, s:s, s:o, s:[]}", "gen", (json_int_t)desc->gen, "rev",
                  (json_int_t)desc->rev, "re", (json_int_t)desc->re_gen, (json_int_t)desc->re_rev,
                  "ufrag", desc->creds.ufrag, "pwd", desc->creds.pwd, "cands", cands, "caps");
    if (obj == NULL || desc->wg_len == 0)
        return obj;
    char wg[WG_TEXT_BUF];
    if (pv_b64url_encode(pv_view(desc->wg, desc->wg_len), wg, sizeof(wg)) != PV_OK ||
        json_object_set_new(obj, "wg", json_string(wg)) != 0) {
        json_decref(obj);
        return NULL;
    }
    return obj;
}

/* --- in ------------------------------------------------------------------------------------ */

static int get_text(const json_t *obj, const char *key, char *dst, size_t cap)
{
    const json_t *v = json_object_get(obj, key);
    size_t len = json_string_length(v);
    if (!json_is_string(v) || len == 0 || len >= cap)
        return PV_ERR_MALFORMED;
    memcpy(dst, json_string_value(v), len + 1);
    return PV_OK;
}

static bool cand_type(const char *name, enum pv_ice_cand_type *ret_type)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(type_words); i++) {
        if (strcmp(name, type_words[i].word) == 0) {
            *ret_type = type_words[i].type;
            return true;
        }
    }
    return false;
}

/* PV_ERR_NOT_FOUND: a kind of candidate, or an address, that is not for us; skip it. */
static int get_cand(const json_t *obj, struct pv_ice_cand *ret_cand)
{
    struct pv_ice_cand c = {0};
    uint64_t base, priority, foundation;
    const char *type = json_string_value(json_object_get(obj, "t"));
    const char *addr = json_string_value(json_object_get(obj, "a"));
    if (type == NULL || addr == NULL || pv_jsonline_u64(obj, "b", 0, UINT8_MAX, &base) != PV_OK ||
        pv_jsonline_u64(obj, "p", 0, UINT32_MAX, &priority) != PV_OK ||
        pv_jsonline_u64(obj, "f", 0, UINT8_MAX, &foundation) != PV_OK)
        return PV_ERR_MALFORMED;
    c.base = (uint8_t)base;
    c.priority = (uint32_t)priority;
    c.foundation = (uint8_t)foundation;
    if (!cand_type(type, &c.type) || pv_addr_parse(addr, &c.addr) != PV_OK ||
        !pv_addr_is_usable_remote(&c.addr))
        return PV_ERR_NOT_FOUND;
    *ret_cand = c;
    return PV_OK;
}

static int get_cands(const json_t *obj, struct pv_desc *desc)
{
    const json_t *list = json_object_get(obj, "cands");
    if (!json_is_array(list))
        return PV_ERR_MALFORMED;
    if (json_array_size(list) > PV_ICE_MAX_REMOTE)
        return PV_ERR_LIMIT;
    for (size_t i = 0; i < json_array_size(list); i++) {
        int r = get_cand(json_array_get(list, i), &desc->cands[desc->n_cands]);
        if (r == PV_OK)
            desc->n_cands++;
        else if (r != PV_ERR_NOT_FOUND)
            return r;
    }
    return PV_OK;
}

static int get_re(const json_t *obj, struct pv_desc *desc)
{
    const json_t *re = json_object_get(obj, "re");
    const json_t *gen = json_array_get(re, 0);
    const json_t *rev = json_array_get(re, 1);
    if (json_array_size(re) != 2 || !json_is_integer(gen) || !json_is_integer(rev) ||
        json_integer_value(gen) < 0 || json_integer_value(rev) < 0)
        return PV_ERR_MALFORMED;
    desc->re_gen = (uint64_t)json_integer_value(gen);
    desc->re_rev = (uint64_t)json_integer_value(rev);
    return PV_OK;
}

static int get_wg(const json_t *obj, struct pv_desc *desc)
{
    const json_t *v = json_object_get(obj, "wg");
    if (v == NULL || json_is_null(v))
        return PV_OK;
    if (!json_is_string(v) ||
        pv_b64url_decode(json_string_value(v), json_string_length(v), desc->wg, sizeof(desc->wg),
                         &desc->wg_len) != PV_OK ||
        (desc->wg_len != PV_WGMSG_INITIATION_LEN && desc->wg_len != PV_WGMSG_RESPONSE_LEN))
        return PV_ERR_MALFORMED;
    return PV_OK;
}

int pv_desc_from_json(const json_t *obj, struct pv_desc *ret_desc)
{
    struct pv_desc d;
    memset(&d, 0, sizeof(d));
    if (!json_is_object(obj) || pv_jsonline_u64(obj, "gen", 1, JSON_INT_MAX, &d.gen) != PV_OK ||
        pv_jsonline_u64(obj, "rev", 1, JSON_INT_MAX, &d.rev) != PV_OK ||
        get_text(obj, "ufrag", d.creds.ufrag, sizeof(d.creds.ufrag)) != PV_OK ||
        get_text(obj, "pwd", d.creds.pwd, sizeof(d.creds.pwd)) != PV_OK)
        return PV_ERR_MALFORMED;
    int r = get_re(obj, &d);
    if (r == PV_OK)
        r = get_cands(obj, &d);
    if (r == PV_OK)
        r = get_wg(obj, &d);
    if (r == PV_OK)
        *ret_desc = d;
    return r;
}
