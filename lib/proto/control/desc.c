/* SPDX-License-Identifier: MIT */
/*
 * desc.c - a node's description for one peer as JSON, both directions (PROTOCOL-PEERS.md
 * "Descriptions"). The peer is authenticated, and may still be faulty or newer than we are: unknown
 * words are skipped, so that later versions can say more; values that are used are checked
 * strictly, because candidates decide where this node sends packets.
 */
#include "proto/control/desc.h"

#include <string.h>

#include "base/text.h"
#include "proto/control/jsonline.h"

enum {
    UFRAG_MIN = 4, /* characters, RFC 8445 s5.3 */
    PWD_MIN = 22,  /* characters, RFC 8445 s5.3 */
};
#define JSON_U64_MAX ((uint64_t)INT64_MAX) /* jansson's integers */

/* The words of the wire; pv_ice_cand_type_name() is for people. */
static const struct {
    enum pv_ice_cand_type type;
    const char *word;
} cand_types[] = {
    {PV_ICE_HOST, "host"},
    {PV_ICE_SRFLX, "srflx"},
    {PV_ICE_PRFLX, "prflx"},
    {PV_ICE_RELAY, "relay"},
};

bool pv_desc_has_cost(const uint32_t cost[static PV_SUITES])
{
    return cost[PV_SUITE_CHACHA] != 0 && cost[PV_SUITE_AES] != 0;
}

static const char *cand_word(enum pv_ice_cand_type type)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(cand_types); i++) {
        if (cand_types[i].type == type)
            return cand_types[i].word;
    }
    return "other"; /* skipped by whoever reads it */
}

/* --- writing --------------------------------------------------------------------------------- */

/* The numbers are ours and below JSON_U64_MAX, so none turns negative. */
static json_t *integer_json(uint64_t v)
{
    return json_integer((json_int_t)v);
}

/* A base that is not among the candidates sent becomes the candidate itself: an index beyond the
 * list would make the peer refuse the whole description. */
static json_t *cand_to_json(const struct pv_ice_cand *c, size_t index, size_t n)
{
    return json_pack("{s:s, s:s, s:I, s:I, s:I}", "t", cand_word(c->type), "a",
                     PV_ADDR_STR(&c->addr), "b", (json_int_t)(c->base < n ? c->base : index), "p",
                     (json_int_t)c->priority, "f", (json_int_t)c->foundation);
}

/* Cut at the limit instead of failing: the first candidates are the best ones. */
static json_t *cands_to_json(const struct pv_desc *desc)
{
    size_t n = desc->n_cands < PV_ICE_MAX_LOCAL ? desc->n_cands : PV_ICE_MAX_LOCAL;
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        pv_jsonline_add(&list, cand_to_json(&desc->cands[i], i, n));
    return list;
}

/* Generation and revision as a pair, since neither orders descriptions without the other. */
static json_t *number_to_json(uint64_t gen, uint64_t rev)
{
    return json_pack("[I, I]", (json_int_t)gen, (json_int_t)rev);
}

static const struct {
    enum pv_desc_cap cap;
    const char *word;
} caps_words[] = {
    {PV_DESC_CAP_NO_UDP, "udp-blocked"},
    {PV_DESC_CAP_PQ, "pq"},
};

static json_t *caps_to_json(unsigned caps)
{
    json_t *list = json_array();
    for (size_t i = 0; i < PV_ARRAY_LEN(caps_words); i++) {
        if ((caps & caps_words[i].cap) != 0)
            pv_jsonline_add(&list, json_string(caps_words[i].word));
    }
    return list;
}

static json_t *cost_to_json(const uint32_t cost[static PV_SUITES])
{
    json_t *list = json_array();
    for (size_t i = 0; i < PV_SUITES; i++)
        pv_jsonline_add(&list, integer_json(cost[i]));
    return list;
}

static const char *const mapping_words[] = {"unknown", "same", "varies"};
static const char *const ports_words[] = {"unknown", "sequential", "block", "random"};

const char *pv_desc_mapping_word(enum pv_desc_mapping mapping)
{
    return mapping_words[mapping];
}

const char *pv_desc_ports_word(enum pv_desc_ports ports)
{
    return ports_words[ports];
}

static bool has_fresh(const struct pv_desc_nat *nat)
{
    return nat->mapping == PV_DESC_MAPPING_SAME && nat->last != 0;
}

/* Only the numbers that belong to the kind of port allocation are written: a reader must not guess
 * which of them mean something. */
static json_t *nat_to_json(const struct pv_desc_nat *nat)
{
    json_t *obj = json_pack("{s:s}", "map", mapping_words[nat->mapping]);
    if (nat->ports != PV_DESC_PORTS_UNKNOWN)
        pv_jsonline_set(&obj, "ports", json_string(ports_words[nat->ports]));
    if (nat->ports == PV_DESC_PORTS_SEQUENTIAL)
        pv_jsonline_set(&obj, "step", json_integer(nat->step));
    if (nat->ports == PV_DESC_PORTS_SEQUENTIAL || has_fresh(nat))
        pv_jsonline_set(&obj, "last", integer_json(nat->last));
    if (nat->ports == PV_DESC_PORTS_BLOCK) {
        pv_jsonline_set(&obj, "lo", integer_json(nat->lo));
        pv_jsonline_set(&obj, "hi", integer_json(nat->hi));
    }
    if (nat->early)
        pv_jsonline_set(&obj, "early", json_true());
    return obj;
}

/* Both sides start attempt n at the same moment, so the time travels with the number. */
static json_t *try_to_json(const struct pv_desc_try *attempt)
{
    return json_pack("{s:I, s:I}", "n", (json_int_t)attempt->n, "at", (json_int_t)attempt->at_us);
}

/* Bytes as text. NULL: no memory, or too many. */
static json_t *bytes_json(const uint8_t *bytes, size_t len)
{
    char text[PV_B64_LEN(PV_KEM_EK_LEN) + 1];
    return pv_b64url_encode(pv_view(bytes, len), text, sizeof(text)) == PV_OK ? json_string(text)
                                                                              : NULL;
}

static json_t *pq_to_json(const struct pv_desc_pq *pq)
{
    json_t *obj = json_object();
    if (pq->have != 0)
        pv_jsonline_set(&obj, "have", integer_json(pq->have));
    if (pq->kind != PV_DESC_PQ_NONE) {
        pv_jsonline_set(&obj, "n", number_to_json(pq->gen, pq->rev));
        pv_jsonline_set(&obj, "x", bytes_json(pq->dh, sizeof(pq->dh)));
    }
    if (pq->kind == PV_DESC_PQ_OFFER)
        pv_jsonline_set(&obj, "ek", bytes_json(pq->kem, PV_KEM_EK_LEN));
    if (pq->kind == PV_DESC_PQ_ANSWER) {
        pv_jsonline_set(&obj, "ct", bytes_json(pq->kem, PV_KEM_CT_LEN));
        pv_jsonline_set(&obj, "to", bytes_json(pq->to, sizeof(pq->to)));
    }
    return obj;
}

/* Absent fields stand for "unknown" or "none". */
json_t *pv_desc_to_json(const struct pv_desc *desc)
{
    json_t *obj = json_object();
    pv_jsonline_set(&obj, "gen", integer_json(desc->gen));
    pv_jsonline_set(&obj, "rev", integer_json(desc->rev));
    if (desc->re_gen != 0)
        pv_jsonline_set(&obj, "re", number_to_json(desc->re_gen, desc->re_rev));
    pv_jsonline_set(&obj, "ufrag", json_string(desc->creds.ufrag));
    pv_jsonline_set(&obj, "pwd", json_string(desc->creds.pwd));
    pv_jsonline_set(&obj, "cands", cands_to_json(desc));
    if (desc->caps != 0)
        pv_jsonline_set(&obj, "caps", caps_to_json(desc->caps));
    if (pv_desc_has_cost(desc->cost))
        pv_jsonline_set(&obj, "cost", cost_to_json(desc->cost));
    if (desc->nat.mapping != PV_DESC_MAPPING_UNKNOWN)
        pv_jsonline_set(&obj, "nat", nat_to_json(&desc->nat));
    if (desc->attempt.n != 0)
        pv_jsonline_set(&obj, "try", try_to_json(&desc->attempt));
    if (desc->pq != NULL)
        pv_jsonline_set(&obj, "pq", pq_to_json(desc->pq));
    if (desc->wg_len > sizeof(desc->wg))
        pv_jsonline_set(&obj, "wg", NULL);
    else if (desc->wg_len > 0)
        pv_jsonline_set(&obj, "wg", bytes_json(desc->wg, desc->wg_len));
    return obj;
}

/* --- reading --------------------------------------------------------------------------------- */

/* A missing or third part is refused: the pair decides which description is the newer one. */
static int read_number(const json_t *pair, uint64_t *ret_gen, uint64_t *ret_rev)
{
    const json_t *gen = json_array_get(pair, 0), *rev = json_array_get(pair, 1);

    if (json_array_size(pair) != 2 || !json_is_integer(gen) || !json_is_integer(rev) ||
        json_integer_value(gen) < 1 || json_integer_value(rev) < 1)
        return PV_ERR_MALFORMED;
    *ret_gen = (uint64_t)json_integer_value(gen);
    *ret_rev = (uint64_t)json_integer_value(rev);
    return PV_OK;
}

/* RFC 8839 s5.4: ice-chars are letters, digits, '+' and '/'. */
static int read_ice_chars(const json_t *obj, const char *key, size_t min, size_t max, char *ret)
{
    static const char ice_chars[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const json_t *v = json_object_get(obj, key);
    size_t len = json_string_length(v);

    if (!json_is_string(v) || len < min || len > max ||
        strspn(json_string_value(v), ice_chars) != len)
        return PV_ERR_MALFORMED;
    memcpy(ret, json_string_value(v), len + 1);
    return PV_OK;
}

/* PV_ERR_NOT_FOUND: a type we do not know. */
static int read_cand_type(const json_t *obj, enum pv_ice_cand_type *ret_type)
{
    const char *word = json_string_value(json_object_get(obj, "t"));

    if (word == NULL)
        return PV_ERR_MALFORMED;
    for (size_t i = 0; i < PV_ARRAY_LEN(cand_types); i++) {
        if (strcmp(word, cand_types[i].word) == 0) {
            *ret_type = cand_types[i].type;
            return PV_OK;
        }
    }
    return PV_ERR_NOT_FOUND;
}

/* One candidate. PV_ERR_NOT_FOUND: well-formed and of no use here, as an address that nobody can
 * send to. */
static int read_cand(const json_t *obj, size_t n_list, struct pv_ice_cand *ret_cand)
{
    const char *addr = json_string_value(json_object_get(obj, "a"));
    struct pv_ice_cand c;
    uint64_t base, priority, foundation;

    memset(&c, 0, sizeof(c));
    int status = read_cand_type(obj, &c.type);
    if (status != PV_OK)
        return status;
    if (addr == NULL || pv_addr_parse(addr, &c.addr) != PV_OK ||
        pv_jsonline_u64(obj, "b", 0, n_list - 1, &base) != PV_OK ||
        pv_jsonline_u64(obj, "p", 1, INT32_MAX, &priority) != PV_OK || /* RFC 8445 s5.1.2 */
        pv_jsonline_u64(obj, "f", 0, UINT8_MAX, &foundation) != PV_OK)
        return PV_ERR_MALFORMED;
    if (!pv_addr_is_usable_remote(&c.addr))
        return PV_ERR_NOT_FOUND;
    c.base = (uint8_t)base;
    c.priority = (uint32_t)priority;
    c.foundation = (uint8_t)foundation;
    *ret_cand = c;
    return PV_OK;
}

/* Bases are indices into the list as it was sent; skipping a candidate moves the others, so the
 * indices are mapped. A candidate whose base was skipped becomes its own. */
static int read_cands(const json_t *list, struct pv_desc *desc)
{
    uint8_t moved[PV_ICE_MAX_REMOTE]; /* index in the text to index in desc */
    size_t n_list = json_array_size(list);

    if (!json_is_array(list))
        return PV_ERR_MALFORMED;
    if (n_list > PV_ICE_MAX_REMOTE)
        return PV_ERR_LIMIT;
    memset(moved, PV_ICE_MAX_REMOTE, sizeof(moved));
    for (size_t i = 0; i < n_list; i++) {
        int status = read_cand(json_array_get(list, i), n_list, &desc->cands[desc->n_cands]);
        if (status == PV_OK)
            moved[i] = (uint8_t)desc->n_cands++;
        else if (status != PV_ERR_NOT_FOUND)
            return status;
    }
    for (size_t i = 0; i < desc->n_cands; i++) {
        uint8_t base = moved[desc->cands[i].base];
        desc->cands[i].base = base < PV_ICE_MAX_REMOTE ? base : (uint8_t)i;
    }
    return PV_OK;
}

/* Only the two lengths that a WireGuard handshake message can have: the bytes go to its parser. */
static int read_wg(const json_t *v, struct pv_desc *desc)
{
    if (v == NULL || json_is_null(v))
        return PV_OK;
    if (!json_is_string(v) || pv_b64url_decode(json_string_value(v), json_string_length(v),
                                               desc->wg, sizeof(desc->wg), &desc->wg_len) != PV_OK)
        return PV_ERR_MALFORMED;
    return desc->wg_len == PV_WGMSG_INITIATION_LEN || desc->wg_len == PV_WGMSG_RESPONSE_LEN
               ? PV_OK
               : PV_ERR_MALFORMED;
}

/* Words of a later version are skipped; the limit keeps a faulty peer from making us compare
 * forever. */
static int read_caps(const json_t *list, unsigned *caps)
{
    if (list == NULL || json_is_null(list))
        return PV_OK;
    if (!json_is_array(list))
        return PV_ERR_MALFORMED;
    if (json_array_size(list) > PV_DESC_CAPS_MAX)
        return PV_ERR_LIMIT;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        for (size_t k = 0; word != NULL && k < PV_ARRAY_LEN(caps_words); k++)
            *caps |= strcmp(word, caps_words[k].word) == 0 ? (unsigned)caps_words[k].cap : 0;
    }
    return PV_OK;
}

/* By suite; a later version may know more of them. */
static int read_cost(const json_t *list, uint32_t ret_cost[static PV_SUITES])
{
    if (list == NULL || json_is_null(list))
        return PV_OK;
    for (size_t i = 0; i < PV_SUITES; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_integer(v) || json_integer_value(v) < 1 ||
            json_integer_value(v) > PV_AEAD_COST_MAX)
            return PV_ERR_MALFORMED;
        ret_cost[i] = (uint32_t)json_integer_value(v);
    }
    return PV_OK;
}

/* Index 0 is "unknown" in every list of words. */
static size_t word_index(const json_t *obj, const char *key, const char *const *words, size_t n)
{
    const char *word = json_string_value(json_object_get(obj, key));
    for (size_t i = 1; word != NULL && i < n; i++) {
        if (strcmp(word, words[i]) == 0)
            return i;
    }
    return 0; /* a word of a later version is "unknown" too */
}

/* A mapping of a later version counts as unknown, and what it says about ports then says
 * nothing. */
static int read_nat(const json_t *obj, struct pv_desc_nat *nat)
{
    uint64_t last = 0, lo = 0, hi = 0;
    if (obj == NULL || json_is_null(obj))
        return PV_OK;
    if (!json_is_object(obj))
        return PV_ERR_MALFORMED;
    nat->mapping =
        (enum pv_desc_mapping)word_index(obj, "map", mapping_words, PV_ARRAY_LEN(mapping_words));
    nat->ports =
        (enum pv_desc_ports)word_index(obj, "ports", ports_words, PV_ARRAY_LEN(ports_words));
    if (nat->ports == PV_DESC_PORTS_SEQUENTIAL) {
        const json_t *step = json_object_get(obj, "step");
        json_int_t v = json_integer_value(step); /* 0 unless it is an integer */
        if (v == 0 || v < -PV_DESC_STEP_MAX || v > PV_DESC_STEP_MAX ||
            pv_jsonline_u64(obj, "last", 1, UINT16_MAX, &last) != PV_OK)
            return PV_ERR_MALFORMED;
        nat->step = (int)v;
        nat->last = (uint16_t)last;
    } else if (nat->mapping == PV_DESC_MAPPING_SAME && json_object_get(obj, "last") != NULL) {
        if (pv_jsonline_u64(obj, "last", 1, UINT16_MAX, &last) != PV_OK)
            return PV_ERR_MALFORMED;
        nat->last = (uint16_t)last;
    }
    if (nat->ports == PV_DESC_PORTS_BLOCK) {
        if (pv_jsonline_u64(obj, "lo", 1, UINT16_MAX, &lo) != PV_OK ||
            pv_jsonline_u64(obj, "hi", lo, UINT16_MAX, &hi) != PV_OK)
            return PV_ERR_MALFORMED;
        nat->lo = (uint16_t)lo;
        nat->hi = (uint16_t)hi;
    }
    nat->early = json_is_true(json_object_get(obj, "early"));
    if (nat->mapping == PV_DESC_MAPPING_UNKNOWN)
        *nat = (struct pv_desc_nat){0}; /* ports of a mapping we do not understand say nothing */
    return PV_OK;
}

/* Attempts count from 1, so that 0 can mean that there is none. */
static int read_try(const json_t *obj, struct pv_desc_try *attempt)
{
    uint64_t n, at;
    if (obj == NULL || json_is_null(obj))
        return PV_OK;
    if (!json_is_object(obj) || pv_jsonline_u64(obj, "n", 1, UINT32_MAX, &n) != PV_OK ||
        pv_jsonline_u64(obj, "at", 0, JSON_U64_MAX, &at) != PV_OK)
        return PV_ERR_MALFORMED;
    attempt->n = (uint32_t)n;
    attempt->at_us = at;
    return PV_OK;
}

/* Exactly len bytes. */
static int read_bytes(const json_t *v, uint8_t *ret_bytes, size_t len)
{
    size_t got = 0;
    if (!json_is_string(v) || json_string_length(v) != PV_B64_LEN(len) ||
        pv_b64url_decode(json_string_value(v), json_string_length(v), ret_bytes, len, &got) !=
            PV_OK)
        return PV_ERR_MALFORMED;
    return got == len ? PV_OK : PV_ERR_MALFORMED;
}

/* Credentials have the bounds that the agent checks too (RFC 8839 s5.4), so a description that is
 * accepted here can be used. */
int pv_desc_from_json(const json_t *obj, struct pv_desc *ret_desc)
{
    struct pv_desc d;
    const json_t *re = json_object_get(obj, "re");

    memset(&d, 0, sizeof(d));
    if (pv_jsonline_u64(obj, "gen", 1, JSON_U64_MAX, &d.gen) != PV_OK ||
        pv_jsonline_u64(obj, "rev", 1, JSON_U64_MAX, &d.rev) != PV_OK)
        return PV_ERR_MALFORMED;
    int status = PV_OK;
    if (re != NULL && !json_is_null(re))
        status = read_number(re, &d.re_gen, &d.re_rev);
    if (status == PV_OK)
        status = read_ice_chars(obj, "ufrag", UFRAG_MIN, PV_ICE_UFRAG_MAX, d.creds.ufrag);
    if (status == PV_OK)
        status = read_ice_chars(obj, "pwd", PWD_MIN, PV_ICE_PWD_MAX, d.creds.pwd);
    if (status == PV_OK)
        status = read_cands(json_object_get(obj, "cands"), &d);
    if (status == PV_OK)
        status = read_caps(json_object_get(obj, "caps"), &d.caps);
    if (status == PV_OK)
        status = read_cost(json_object_get(obj, "cost"), d.cost);
    if (status == PV_OK)
        status = read_nat(json_object_get(obj, "nat"), &d.nat);
    if (status == PV_OK)
        status = read_try(json_object_get(obj, "try"), &d.attempt);
    if (status == PV_OK)
        status = read_wg(json_object_get(obj, "wg"), &d);
    if (status == PV_OK)
        *ret_desc = d;
    return status;
}

/* Which half it is follows from its field. Whether the bytes are a key is for the KEM to say. */
int pv_desc_pq_from_json(const json_t *desc, struct pv_desc_pq *ret_pq)
{
    const json_t *obj = json_object_get(desc, "pq");
    struct pv_desc_pq pq = {.kind = PV_DESC_PQ_NONE};
    uint64_t have = 0;
    if (obj == NULL || json_is_null(obj))
        return PV_ERR_NOT_FOUND;
    const json_t *ek = json_object_get(obj, "ek"), *ct = json_object_get(obj, "ct");
    int r = pv_jsonline_u64(obj, "have", 1, PV_DESC_PQ_ID_MAX, &have);
    if (!json_is_object(obj) || (r != PV_OK && r != PV_ERR_NOT_FOUND) || (ek != NULL && ct != NULL))
        return PV_ERR_MALFORMED;
    pq.have = (uint32_t)have;
    r = PV_OK;
    if (ek != NULL || ct != NULL) {
        pq.kind = ek != NULL ? PV_DESC_PQ_OFFER : PV_DESC_PQ_ANSWER;
        r = read_number(json_object_get(obj, "n"), &pq.gen, &pq.rev);
        if (r == PV_OK)
            r = read_bytes(json_object_get(obj, "x"), pq.dh, sizeof(pq.dh));
    }
    if (r == PV_OK && ek != NULL)
        r = read_bytes(ek, pq.kem, PV_KEM_EK_LEN);
    if (r == PV_OK && ct != NULL)
        r = read_bytes(ct, pq.kem, PV_KEM_CT_LEN);
    if (r == PV_OK && ct != NULL)
        r = read_bytes(json_object_get(obj, "to"), pq.to, sizeof(pq.to));
    if (r == PV_OK)
        *ret_pq = pq;
    return r;
}
