/* SPDX-License-Identifier: MIT */
#include "proto/signal.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"
#include "crypto/ct.h"
#include "proto/jsonline.h"

static const char prologue_label[] = "p2pvpn signal v1";

enum {
    PROLOGUE_LEN = sizeof(prologue_label) - 1 + PV_NETWORK_ID_LEN + 32 + 32,
    HEAD_TEXT_BUF = PV_B64_LEN(PV_STATEMENT_HASH_LEN) + 1,
    RECEIPT_TEXT_BUF = PV_B64_LEN(PV_RECEIPT_LEN) + 1,
    STATEMENT_TEXT_BUF = PV_B64_LEN(PV_STATEMENT_MAX) + 1,
};

/* --- out ----------------------------------------------------------------------------------- */

static json_t *item_to_json(const struct pv_signal_item *item)
{
    char s[STATEMENT_TEXT_BUF];
    char r[RECEIPT_TEXT_BUF];
    if (pv_b64url_encode(item->statement, s, sizeof(s)) != PV_OK ||
        pv_b64url_encode(item->receipt, r, sizeof(r)) != PV_OK)
        return NULL;
    return item->receipt.len > 0 ? json_pack("{s:s, s:s}", "s", s, "r", r)
                                 : json_pack("{s:s, s:n}", "s", s, "r");
}

static json_t *signal_to_json(const struct pv_signal *sig)
{
    char head[HEAD_TEXT_BUF];
    if (pv_b64url_encode(pv_view(sig->head, sizeof(sig->head)), head, sizeof(head)) != PV_OK)
        return NULL;
    json_t *obj = json_pack("{s:s}", "head", head);
    bool ok = obj != NULL;
    if (ok && sig->seq != 0)
        ok = json_object_set_new(obj, "seq", json_integer((json_int_t)sig->seq)) == 0;
    if (ok && sig->has_desc)
        ok = json_object_set_new(obj, "desc", pv_desc_to_json(&sig->desc)) == 0;
    json_t *chain = ok && sig->n_chain > 0 ? json_array() : NULL;
    for (size_t i = 0; ok && i < sig->n_chain; i++)
        ok = json_array_append_new(chain, item_to_json(&sig->chain[i])) == 0;
    if (ok && chain != NULL)
        ok = json_object_set(obj, "chain", chain) == 0;
    json_decref(chain);
    if (!ok) {
        json_decref(obj);
        return NULL;
    }
    return obj;
}

int pv_signal_write(const struct pv_signal *sig, void *buf, size_t cap, size_t *ret_len)
{
    if (sig->n_chain > PV_SIGNAL_CHAIN_MAX)
        return PV_ERR_LIMIT;
    json_t *obj = signal_to_json(sig);
    if (obj == NULL)
        return PV_ERR_NOMEM;
    if (cap > PV_SIGNAL_TEXT_MAX)
        cap = PV_SIGNAL_TEXT_MAX;
    size_t len = json_dumpb(obj, buf, cap, JSON_COMPACT);
    json_decref(obj);
    if (len == 0)
        return PV_ERR_NOMEM;
    if (len > cap)
        return PV_ERR_NO_SPACE;
    *ret_len = len;
    return PV_OK;
}

/* --- in ------------------------------------------------------------------------------------ */

/* Decodes one base64url string behind what *w holds already. Absent or null: an empty view. */
static int get_bytes(const json_t *v, size_t max, struct pv_writer *w, struct pv_view *ret_view)
{
    if (v == NULL || json_is_null(v)) {
        *ret_view = pv_view(NULL, 0);
        return PV_OK;
    }
    size_t room = w->cap - w->len < max ? w->cap - w->len : max;
    size_t len;
    if (!json_is_string(v))
        return PV_ERR_MALFORMED;
    int r =
        pv_b64url_decode(json_string_value(v), json_string_length(v), w->buf + w->len, room, &len);
    if (r != PV_OK)
        return PV_ERR_MALFORMED;
    *ret_view = pv_view(w->buf + w->len, len);
    w->len += len;
    return PV_OK;
}

static int get_chain(const json_t *obj, struct pv_signal *sig, struct pv_writer *w)
{
    const json_t *chain = json_object_get(obj, "chain");
    if (chain == NULL || json_is_null(chain))
        return PV_OK;
    if (!json_is_array(chain))
        return PV_ERR_MALFORMED;
    if (json_array_size(chain) > PV_SIGNAL_CHAIN_MAX)
        return PV_ERR_LIMIT;
    for (size_t i = 0; i < json_array_size(chain); i++) {
        const json_t *item = json_array_get(chain, i);
        struct pv_signal_item *out = &sig->chain[i];
        int r = get_bytes(json_object_get(item, "s"), PV_STATEMENT_MAX, w, &out->statement);
        if (r == PV_OK && out->statement.len == 0)
            r = PV_ERR_MALFORMED;
        if (r == PV_OK)
            r = get_bytes(json_object_get(item, "r"), PV_RECEIPT_LEN, w, &out->receipt);
        if (r != PV_OK)
            return r;
    }
    sig->n_chain = json_array_size(chain);
    return PV_OK;
}

static int from_json(const json_t *obj, struct pv_signal *sig, struct pv_writer *w)
{
    int r = pv_jsonline_u64(obj, "seq", 1, (uint64_t)INT64_MAX, &sig->seq);
    if (r != PV_OK && r != PV_ERR_NOT_FOUND)
        return r;
    const json_t *head = json_object_get(obj, "head");
    size_t len;
    if (!json_is_string(head) ||
        pv_b64url_decode(json_string_value(head), json_string_length(head), sig->head,
                         sizeof(sig->head), &len) != PV_OK ||
        len != sizeof(sig->head))
        return PV_ERR_MALFORMED;
    const json_t *desc = json_object_get(obj, "desc");
    if (desc != NULL && !json_is_null(desc)) {
        r = pv_desc_from_json(desc, &sig->desc);
        if (r != PV_OK)
            return r;
        sig->has_desc = true;
    }
    return get_chain(obj, sig, w);
}

int pv_signal_parse(struct pv_view text, struct pv_signal_parsed *ret_parsed)
{
    if (text.len > PV_SIGNAL_TEXT_MAX)
        return PV_ERR_LIMIT;
    json_t *obj;
    int r = pv_jsonline_parse(text, PV_DESC_JSON_DEPTH, PV_DESC_JSON_VALUES, &obj);
    if (r != PV_OK)
        return r;
    struct pv_signal_parsed p;
    memset(&p, 0, sizeof(p));
    p.memory = malloc(text.len); /* base64url shrinks: the chain is shorter than its text */
    struct pv_writer w = pv_writer(p.memory, text.len);
    r = p.memory == NULL ? PV_ERR_NOMEM : from_json(obj, &p.sig, &w);
    json_decref(obj);
    if (r == PV_OK)
        *ret_parsed = p;
    else
        free(p.memory);
    pv_wipe(&p, sizeof(p));
    return r;
}

void pv_signal_parsed_done(struct pv_signal_parsed *parsed)
{
    free(parsed->memory);
    pv_wipe(parsed, sizeof(*parsed));
}

/* --- the box ------------------------------------------------------------------------------- */

static struct pv_view prologue(const struct pv_signal_route *route,
                               uint8_t buf[static PROLOGUE_LEN])
{
    struct pv_writer w = pv_writer(buf, PROLOGUE_LEN);
    pv_put_bytes(&w, prologue_label, sizeof(prologue_label) - 1);
    pv_put_bytes(&w, route->network_id, sizeof(route->network_id));
    pv_put_bytes(&w, route->from, sizeof(route->from));
    pv_put_bytes(&w, route->to, sizeof(route->to));
    return pv_written(&w);
}

int pv_signal_seal(const struct pv_signal_route *route, const struct pv_noise_keys *local,
                   const uint8_t remote[static 32], const struct pv_rng *rng, struct pv_view text,
                   uint8_t *ret_box)
{
    uint8_t buf[PROLOGUE_LEN];
    if (text.len > PV_SIGNAL_TEXT_MAX)
        return PV_ERR_LIMIT;
    return pv_noise_x_seal(rng, prologue(route, buf), local, remote, text, ret_box);
}

int pv_signal_open(const struct pv_signal_route *route, const struct pv_noise_keys *local,
                   struct pv_view box, uint8_t ret_sender[static 32], uint8_t *ret_text)
{
    uint8_t buf[PROLOGUE_LEN];
    if (box.len < PV_NOISE_X_OVERHEAD)
        return PV_ERR_TRUNCATED;
    if (box.len > PV_SIGNAL_BOX_MAX)
        return PV_ERR_LIMIT;
    return pv_noise_x_open(prologue(route, buf), local, box, ret_sender, ret_text);
}
