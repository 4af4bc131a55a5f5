/* SPDX-License-Identifier: MIT */
/*
 * signal.c - what one node says to another through the coordinator: payload and sealed box. The
 * prologue binds a box to its network, sender and receiver, so the coordinator cannot deliver it to
 * somebody else or under another name; the box itself hides the content from the coordinator.
 */
#include "proto/control/signal.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"
#include "crypto/ct.h"
#include "proto/control/jsonline.h"

static const char signal_prologue[] = "p2pvpn signal v1";
enum {
    /* Bytes: text, network id, two identity keys. */
    PROLOGUE_LEN = sizeof(signal_prologue) - 1 + PV_NETWORK_ID_LEN + 2 * PV_SIGN_PK_LEN,
};

/* --- payload: writing ------------------------------------------------------------------------ */

static json_t *base64_json(struct pv_view v)
{
    char text[PV_B64_LEN(PV_STATEMENT_MAX) + 1];

    return pv_b64url_encode(v, text, sizeof(text)) == PV_OK ? json_string(text) : NULL;
}

static json_t *item_to_json(const struct pv_signal_item *item)
{
    json_t *obj = json_object();
    pv_jsonline_set(&obj, "s", base64_json(item->statement));
    if (item->receipt.len > 0)
        pv_jsonline_set(&obj, "r", base64_json(item->receipt));
    return obj;
}

static json_t *chain_to_json(const struct pv_signal *sig)
{
    json_t *list = json_array();
    for (size_t i = 0; i < sig->n_chain; i++)
        pv_jsonline_add(&list, item_to_json(&sig->chain[i]));
    return list;
}

/* An absent value has no field at all: most signals are only a head and a description. */
static json_t *signal_to_json(const struct pv_signal *sig)
{
    json_t *obj = json_object();
    pv_jsonline_set(&obj, "head", base64_json(pv_view(sig->head, sizeof(sig->head))));
    pv_jsonline_set(&obj, "members", base64_json(pv_view(sig->members, sizeof(sig->members))));
    if (sig->has_rules)
        pv_jsonline_set(&obj, "rules", base64_json(pv_view(sig->rules, sizeof(sig->rules))));
    if (sig->seq != 0)
        pv_jsonline_set(&obj, "seq", json_integer((json_int_t)sig->seq));
    if (sig->has_desc)
        pv_jsonline_set(&obj, "desc", pv_desc_to_json(&sig->desc));
    if (sig->n_chain > 0)
        pv_jsonline_set(&obj, "chain", chain_to_json(sig));
    return obj;
}

/* json_dumpb() returns the length it needs, also when it is too long for the buffer. */
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

/* --- payload: reading ------------------------------------------------------------------------ */

/* Decodes a text of 1..max bytes to *next and moves that on: all pieces of a chain lie in one
 * block. */
static int take_binary(const json_t *v, size_t max, uint8_t **next, struct pv_view *ret_view)
{
    size_t len = 0;

    if (!json_is_string(v) || json_string_length(v) == 0)
        return PV_ERR_MALFORMED;
    if (json_string_length(v) > PV_B64_LEN(max))
        return PV_ERR_LIMIT;
    int r = pv_b64url_decode(json_string_value(v), json_string_length(v), *next, max, &len);
    if (r != PV_OK)
        return PV_ERR_MALFORMED;
    *ret_view = pv_view(*next, len);
    *next += len;
    return PV_OK;
}

/* memory has room for what the whole text can decode to. */
static int read_chain(const json_t *list, uint8_t *memory, struct pv_signal *sig)
{
    size_t n = json_array_size(list);
    int r = PV_OK;

    if (list == NULL || json_is_null(list))
        return PV_OK;
    if (!json_is_array(list))
        return PV_ERR_MALFORMED;
    if (n > PV_SIGNAL_CHAIN_MAX)
        return PV_ERR_LIMIT;
    for (size_t i = 0; i < n && r == PV_OK; i++) {
        const json_t *obj = json_array_get(list, i);
        const json_t *receipt = json_object_get(obj, "r");
        r = take_binary(json_object_get(obj, "s"), PV_STATEMENT_MAX, &memory,
                        &sig->chain[i].statement);
        if (r == PV_OK && receipt != NULL && !json_is_null(receipt))
            r = take_binary(receipt, PV_RECEIPT_LEN, &memory, &sig->chain[i].receipt);
    }
    sig->n_chain = n;
    return r;
}

/* The description is parsed before the chain is believed: the owner decides about both together. */
static int signal_from_json(const json_t *obj, struct pv_signal_parsed *parsed)
{
    struct pv_signal *sig = &parsed->sig;
    const json_t *desc = json_object_get(obj, "desc");
    const char *head = json_string_value(json_object_get(obj, "head"));
    const char *members = json_string_value(json_object_get(obj, "members"));
    const char *rules = json_string_value(json_object_get(obj, "rules"));

    int r = pv_jsonline_u64(obj, "seq", 1, INT64_MAX, &sig->seq);
    if (r != PV_OK && r != PV_ERR_NOT_FOUND)
        return r;
    if (head == NULL || pv_key_parse(head, sig->head) != PV_OK || members == NULL ||
        pv_key_parse(members, sig->members) != PV_OK)
        return PV_ERR_MALFORMED;
    sig->has_rules = rules != NULL && pv_key_parse(rules, sig->rules) == PV_OK;
    if (desc != NULL && !json_is_null(desc)) {
        r = pv_desc_from_json(desc, &sig->desc);
        if (r == PV_OK)
            r = pv_desc_pq_from_json(desc, &sig->pq);
        if (r != PV_OK && r != PV_ERR_NOT_FOUND)
            return r;
        sig->has_desc = true;
        sig->has_pq = r == PV_OK;
    }
    return read_chain(json_object_get(obj, "chain"), parsed->memory, sig);
}

/* The text was sealed by a node whose key we know, so limits here guard against a faulty peer more
 * than against an attacker; they hold before any memory is taken nevertheless. */
int pv_signal_parse(struct pv_view text, struct pv_signal_parsed *ret_parsed)
{
    struct pv_signal_parsed parsed;
    json_t *obj;

    if (text.len > PV_SIGNAL_TEXT_MAX)
        return PV_ERR_LIMIT;
    int r = pv_jsonline_parse(text, PV_DESC_JSON_DEPTH, PV_DESC_JSON_VALUES, &obj);
    if (r != PV_OK)
        return r;
    memset(&parsed, 0, sizeof(parsed));
    /* Base64 shrinks; the extra lets the last piece be decoded before its length is judged. */
    parsed.memory = malloc(text.len + PV_STATEMENT_MAX);
    r = parsed.memory == NULL ? PV_ERR_NOMEM : signal_from_json(obj, &parsed);
    json_decref(obj);
    if (r != PV_OK) {
        pv_signal_parsed_done(&parsed);
        return r;
    }
    *ret_parsed = parsed;
    pv_wipe(&parsed, sizeof(parsed));
    if (ret_parsed->sig.has_pq)
        ret_parsed->sig.desc.pq = &ret_parsed->sig.pq;
    return PV_OK;
}

void pv_signal_parsed_done(struct pv_signal_parsed *parsed)
{
    free(parsed->memory);
    pv_wipe(parsed, sizeof(*parsed));
}

/* --- box ------------------------------------------------------------------------------------- */

struct pv_signal_route pv_signal_route_of(const uint8_t network_id[static PV_NETWORK_ID_LEN],
                                          const uint8_t from[static PV_SIGN_PK_LEN],
                                          const uint8_t to[static PV_SIGN_PK_LEN])
{
    struct pv_signal_route route;

    memcpy(route.network_id, network_id, sizeof(route.network_id));
    memcpy(route.from, from, sizeof(route.from));
    memcpy(route.to, to, sizeof(route.to));
    return route;
}

/* Sender before receiver: the same two nodes in the other direction give another prologue, so a box
 * cannot be sent back to who wrote it. */
static struct pv_view route_prologue(const struct pv_signal_route *route,
                                     uint8_t buf[static PROLOGUE_LEN])
{
    struct pv_writer w = pv_writer(buf, PROLOGUE_LEN);

    pv_put_bytes(&w, signal_prologue, sizeof(signal_prologue) - 1);
    pv_put_bytes(&w, route->network_id, sizeof(route->network_id));
    pv_put_bytes(&w, route->from, sizeof(route->from));
    pv_put_bytes(&w, route->to, sizeof(route->to));
    return pv_written(&w);
}

/* The text is bounded here as well as in pv_signal_write(), as another caller may have made it. */
int pv_signal_seal(const struct pv_signal_route *route, const struct pv_noise_static *local,
                   const uint8_t remote[static PV_DH_LEN], const struct pv_rng *rng,
                   struct pv_view text, uint8_t *ret_box)
{
    uint8_t buf[PROLOGUE_LEN];

    if (text.len > PV_SIGNAL_TEXT_MAX)
        return PV_ERR_LIMIT;
    return pv_noise_x_seal(rng, route_prologue(route, buf), local, remote, text, ret_box);
}

int pv_signal_seal_hybrid(const struct pv_signal_route *route, const struct pv_sealing_to *to,
                          const struct pv_noise_parties *keys, const struct pv_rng *rng,
                          struct pv_view text, uint8_t *ret_box)
{
    uint8_t buf[PROLOGUE_LEN];
    const struct pv_noise_parties parties = {
        .prologue = route_prologue(route, buf), .local = keys->local, .remote = keys->remote};

    if (text.len > PV_SIGNAL_HYBRID_TEXT_MAX)
        return PV_ERR_LIMIT;
    return pv_sealing_seal(to, &parties, rng, text, ret_box);
}

/* Whose transport key sealed it is returned and not judged here: the sender's roster may know a
 * newer one. */
int pv_signal_open(const struct pv_signal_route *route, const struct pv_noise_static *local,
                   struct pv_view box, uint8_t ret_sender[static PV_DH_LEN], uint8_t *ret_text)
{
    uint8_t buf[PROLOGUE_LEN];

    if (box.len > PV_SIGNAL_BOX_MAX)
        return PV_ERR_LIMIT;
    if (box.len < PV_NOISE_X_OVERHEAD)
        return PV_ERR_TRUNCATED;
    return pv_noise_x_open(route_prologue(route, buf), local, box, ret_sender, ret_text);
}

int pv_signal_open_hybrid(const struct pv_signal_route *route,
                          const uint8_t psk[static PV_NOISE_PSK_LEN],
                          const struct pv_noise_static *local, struct pv_view box,
                          uint8_t ret_sender[static PV_DH_LEN], uint8_t *ret_text)
{
    uint8_t buf[PROLOGUE_LEN];

    if (box.len > PV_SIGNAL_BOX_MAX)
        return PV_ERR_LIMIT;
    return pv_sealing_open(psk, route_prologue(route, buf), local, box, ret_sender, ret_text);
}

/* --- passed on by a common peer -------------------------------------------------------------- */

/* A sealed signal is the body of in-band type 5. The common peer that passes it on can read the
 * route and not the box, which is sealed for the receiver (signal.h). */

int pv_forward_build(const struct pv_forward *f, void *buf, size_t cap, size_t *ret_len)
{
    if (f->box.len > PV_SIGNAL_BOX_MAX)
        return PV_ERR_LIMIT;
    struct pv_writer w = pv_writer(buf, cap);
    pv_put_bytes(&w, f->to, sizeof(f->to));
    pv_put_bytes(&w, f->from, sizeof(f->from));
    pv_put_bytes(&w, f->box.ptr, f->box.len);
    if (w.status == PV_OK)
        *ret_len = w.len;
    return w.status;
}

int pv_forward_parse(struct pv_view body, struct pv_forward *ret_forward)
{
    struct pv_forward f;
    struct pv_reader r = pv_reader(body);
    struct pv_view to = pv_get_bytes(&r, sizeof(f.to));
    struct pv_view from = pv_get_bytes(&r, sizeof(f.from));
    f.box = r.rest;
    if (r.status != PV_OK)
        return r.status;
    if (f.box.len < PV_NOISE_X_OVERHEAD)
        return PV_ERR_TRUNCATED;
    if (f.box.len > PV_SIGNAL_BOX_MAX)
        return PV_ERR_LIMIT;
    if (memcmp(to.ptr, from.ptr, sizeof(f.to)) == 0)
        return PV_ERR_MALFORMED;
    memcpy(f.to, to.ptr, sizeof(f.to));
    memcpy(f.from, from.ptr, sizeof(f.from));
    *ret_forward = f;
    return PV_OK;
}
