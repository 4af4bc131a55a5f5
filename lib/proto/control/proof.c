/* SPDX-License-Identifier: MIT */
/*
 * proof.c - the in-band secret, the lines and the MAC by which two daemons know each other on a TCP
 * connection (PROTOCOL-PEERS.md "Proof of the daemon").
 */
#include "proto/control/proof.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/text.h"
#include "crypto/ct.h"
#include "crypto/hash.h"
#include "proto/control/jsonline.h"

enum {
    VERSION = 1,
    KIND_SECRET = 1,
    DEPTH = 2,      /* ours need 1; room for a field that is not known here */
    MAX_VALUES = 8, /* ours need 2 */
    NONCE_TEXT_BUF = 23,
    MAC_TEXT_BUF = 44,
};
/* No MAC or hash of another protocol is made over bytes that begin so. */
static const char LABEL[] = "p2pvpn link v1";

/* --- in-band ------------------------------------------------------------------------------- */

void pv_proof_secret_build(const struct pv_proof_secret *msg, uint8_t buf[static PV_PROOF_BODY_LEN])
{
    buf[0] = VERSION;
    buf[1] = KIND_SECRET;
    memcpy(buf + 2, msg->secret, sizeof(msg->secret));
    memcpy(buf + 2 + PV_PROOF_SECRET_LEN, msg->known, sizeof(msg->known));
    buf[2 + PV_PROOF_SECRET_LEN + PV_PROOF_TAG_LEN] = msg->asks;
}

int pv_proof_secret_parse(struct pv_view body, struct pv_proof_secret *ret_msg)
{
    if (body.len < 2)
        return PV_ERR_TRUNCATED;
    if (body.ptr[0] != VERSION)
        return PV_ERR_UNSUPPORTED;
    if (body.ptr[1] != KIND_SECRET)
        return PV_ERR_MALFORMED;
    if (body.len < PV_PROOF_BODY_LEN)
        return PV_ERR_TRUNCATED;
    memcpy(ret_msg->secret, body.ptr + 2, sizeof(ret_msg->secret));
    memcpy(ret_msg->known, body.ptr + 2 + PV_PROOF_SECRET_LEN, sizeof(ret_msg->known));
    ret_msg->asks = body.ptr[2 + PV_PROOF_SECRET_LEN + PV_PROOF_TAG_LEN] != 0;
    return PV_OK;
}

void pv_proof_tag(const uint8_t secret[static PV_PROOF_SECRET_LEN],
                  uint8_t ret_tag[static PV_PROOF_TAG_LEN])
{
    uint8_t hash[PV_BLAKE2B_LEN];
    pv_blake2b(hash, pv_view(LABEL, sizeof(LABEL)), pv_view("tag", 4),
               pv_view(secret, PV_PROOF_SECRET_LEN));
    memcpy(ret_tag, hash, PV_PROOF_TAG_LEN);
}

/* --- the proof ----------------------------------------------------------------------------- */

void pv_proof_key(const struct pv_proof_side *a, const struct pv_proof_side *b,
                  uint8_t ret_key[static PV_PROOF_KEY_LEN])
{
    /* Both sides must hash the same bytes, so the lower identity key comes first. */
    bool first = memcmp(a->pk, b->pk, PV_SIGN_PK_LEN) < 0;
    const struct pv_proof_side *sides[] = {first ? a : b, first ? b : a};
    uint8_t all[2 * (PV_SIGN_PK_LEN + PV_PROOF_SECRET_LEN)];
    uint8_t *p = all;
    for (size_t i = 0; i < 2; i++) {
        memcpy(p, sides[i]->pk, PV_SIGN_PK_LEN);
        memcpy(p + PV_SIGN_PK_LEN, sides[i]->secret, PV_PROOF_SECRET_LEN);
        p += PV_SIGN_PK_LEN + PV_PROOF_SECRET_LEN;
    }
    pv_blake2b(ret_key, pv_view(LABEL, sizeof(LABEL)), pv_view("key", 4),
               pv_view(all, sizeof(all)));
    pv_wipe(all, sizeof(all));
}

/* Its input names the end that opened and the end that accepted, and has both nonces: a proof is of
 * no use on another connection, in the other direction, or another time. */
void pv_proof_mac(const struct pv_proof *proof, enum pv_proof_role role,
                  uint8_t ret_mac[static PV_PROOF_MAC_LEN])
{
    uint8_t said[1 + 2 * PV_SIGN_PK_LEN + 2 * PV_PROOF_NONCE_LEN];
    uint8_t *p = said;
    *p++ = (uint8_t)role;
    memcpy(p, proof->opener, PV_SIGN_PK_LEN);
    memcpy(p + PV_SIGN_PK_LEN, proof->acceptor, PV_SIGN_PK_LEN);
    p += (size_t)2 * PV_SIGN_PK_LEN;
    memcpy(p, proof->opener_nonce, PV_PROOF_NONCE_LEN);
    memcpy(p + PV_PROOF_NONCE_LEN, proof->acceptor_nonce, PV_PROOF_NONCE_LEN);
    pv_hmac_blake2s(ret_mac, proof->key, PV_PROOF_KEY_LEN, pv_view(LABEL, sizeof(LABEL)),
                    pv_view(said, sizeof(said)));
}

bool pv_proof_is_right(const struct pv_proof *proof, enum pv_proof_role role,
                       const uint8_t mac[static PV_PROOF_MAC_LEN])
{
    uint8_t ours[PV_PROOF_MAC_LEN];
    pv_proof_mac(proof, role, ours);
    bool right = pv_ct_equal(ours, mac, sizeof(ours));
    pv_wipe(ours, sizeof(ours)); /* of a wrong proof it is the right answer */
    return right;
}

/* --- lines --------------------------------------------------------------------------------- */

bool pv_proof_is_line(struct pv_view line)
{
    static const char *const starts[] = {"{\"prove\":", "{\"proof\":"};
    for (size_t i = 0; i < PV_ARRAY_LEN(starts); i++) {
        size_t len = strlen(starts[i]);
        if (line.len >= len && memcmp(line.ptr, starts[i], len) == 0)
            return true;
    }
    return false;
}

/* Absent: *ret_has is false. Else exactly len bytes in base64url. */
static int get_bytes(const json_t *obj, const char *key, uint8_t *dst, size_t len, bool *ret_has)
{
    const json_t *v = json_object_get(obj, key);
    size_t n = 0;
    *ret_has = v != NULL;
    if (v == NULL)
        return PV_OK;
    bool good =
        json_is_string(v) &&
        pv_b64url_decode(json_string_value(v), json_string_length(v), dst, len, &n) == PV_OK &&
        n == len;
    return good ? PV_OK : PV_ERR_MALFORMED;
}

int pv_proof_line_parse(struct pv_view line, struct pv_proof_line *ret_line)
{
    struct pv_proof_line l = {.has_nonce = false};
    json_t *obj = NULL;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    if (line.len >= PV_PROOF_LINE_MAX)
        return PV_ERR_LIMIT;
    int r = pv_jsonline_parse(line, DEPTH, MAX_VALUES, &obj);
    if (r < 0)
        return r;
    r = get_bytes(obj, "prove", l.nonce, sizeof(l.nonce), &l.has_nonce);
    if (r == PV_OK)
        r = get_bytes(obj, "proof", l.mac, sizeof(l.mac), &l.has_mac);
    if (r == PV_OK && !l.has_nonce && !l.has_mac)
        r = PV_ERR_MALFORMED;
    json_decref(obj);
    if (r == PV_OK)
        *ret_line = l;
    return r;
}

size_t pv_proof_line_write(const struct pv_proof_line *line, char buf[static PV_PROOF_LINE_MAX])
{
    char nonce[NONCE_TEXT_BUF] = "", mac[MAC_TEXT_BUF] = "";
    /* The buffers have the size of every nonce and MAC: these cannot fail. */
    if (line->has_nonce)
        (void)!pv_b64url_encode(pv_view(line->nonce, sizeof(line->nonce)), nonce, sizeof(nonce));
    if (line->has_mac)
        (void)!pv_b64url_encode(pv_view(line->mac, sizeof(line->mac)), mac, sizeof(mac));
    int n;
    if (line->has_nonce && line->has_mac)
        n = snprintf(buf, PV_PROOF_LINE_MAX, "{\"prove\":\"%s\",\"proof\":\"%s\"}\n", nonce, mac);
    else if (line->has_nonce)
        n = snprintf(buf, PV_PROOF_LINE_MAX, "{\"prove\":\"%s\"}\n", nonce);
    else
        n = snprintf(buf, PV_PROOF_LINE_MAX, "{\"proof\":\"%s\"}\n", mac);
    return (size_t)n;
}
