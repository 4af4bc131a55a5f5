/* SPDX-License-Identifier: MIT */
/* Nonces and credentials out of one secret. Nothing is stored about credentials that were given
 * out: they are computed again when they come back, and compared. */
#include "coordinator/core/turn/turnauth.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"
#include "crypto/ct.h"

enum {
    COOKIE_LEN = 13, /* characters, RFC 8489 s9.2 */
    HEAD_LEN = 9,    /* kind 1, expiry 4, serial 4 */
    MAC_LEN = PV_TURNAUTH_MAC_LEN,
    BODY_LEN = HEAD_LEN + MAC_LEN,
    BODY_TEXT = PV_B64_LEN(BODY_LEN),
    KIND_SOURCE = 0,     /* bound to the address it was sent to */
    KIND_WELCOME = 1,    /* bound to a member, wherever it sends from */
    USER_BYTES = 12,     /* ours: 96 bits, so no two members have one name */
    PASSWORD_BYTES = 24, /* ours: 192 bits, beyond guessing */
    SOURCE_LEN = 20,     /* family, port, address */
};

_Static_assert(COOKIE_LEN + BODY_TEXT < PV_TURNAUTH_NONCE_BUF, "a nonce fits");
_Static_assert(PV_B64_LEN(PASSWORD_BYTES) < PV_TURNAUTH_PASSWORD_BUF, "a password fits");

/* RFC 8489 s9.2 and s18.1: bits 0 and 1, and none. Our own nodes need no negotiation. */
static const char cookie_source[] = "obMatJos2wAAA";
static const char cookie_welcome[] = "obMatJos2AAAA";

void pv_turnauth_init(struct pv_turnauth *a, const struct pv_rng *rng)
{
    pv_rng_fill(rng, a->secret, sizeof(a->secret));
}

void pv_turnauth_done(struct pv_turnauth *a)
{
    pv_wipe(a, sizeof(*a));
}

/* Each use of the secret has a context of its own, so a nonce is never a password or a name made of
 * the same bytes. */
static void make_mac(const struct pv_turnauth *a, const uint8_t head[static HEAD_LEN],
                     struct pv_view bound, uint8_t ret_mac[static MAC_LEN])
{
    static const char context[] = "p2pvpn turn nonce";
    uint8_t mac[PV_BLAKE2S_LEN];
    struct pv_blake2s s;
    pv_blake2s_init(&s, pv_view(a->secret, sizeof(a->secret)), sizeof(mac));
    pv_blake2s_update(&s, context, sizeof(context));
    pv_blake2s_update(&s, head, HEAD_LEN);
    pv_blake2s_update(&s, bound.ptr, bound.len);
    pv_blake2s_final(&s, mac);
    memcpy(ret_mac, mac, MAC_LEN);
    pv_wipe(mac, sizeof(mac));
}

/* Writes family, port and address as bytes. */
static struct pv_view pack_source(const struct pv_addr *src, uint8_t buf[static SOURCE_LEN])
{
    pv_store_be16(buf, src->family);
    pv_store_be16(buf + 2, src->port);
    memcpy(buf + 4, src->ip, 16);
    return pv_view(buf, SOURCE_LEN);
}

static const char *write_nonce(const char *cookie, const uint8_t body[static BODY_LEN],
                               char buf[static PV_TURNAUTH_NONCE_BUF])
{
    memcpy(buf, cookie, COOKIE_LEN);
    /* It cannot fail: the buffer is large enough by the assertion above. */
    (void)!pv_b64url_encode(pv_view(body, BODY_LEN), buf + COOKIE_LEN,
                            PV_TURNAUTH_NONCE_BUF - COOKIE_LEN);
    return buf;
}

/* The port counts too: behind one NAT each client has its own nonce, so a neighbour cannot use what
 * it sees. */
const char *pv_turnauth_nonce(const struct pv_turnauth *a, const struct pv_addr *src, pv_ns now,
                              bool features, char buf[static PV_TURNAUTH_NONCE_BUF])
{
    uint8_t body[BODY_LEN] = {KIND_SOURCE};
    uint8_t packed[SOURCE_LEN];
    pv_store_be32(body + 1, (uint32_t)(now / PV_S(1)) + PV_TURNAUTH_SOURCE_S);
    make_mac(a, body, pack_source(src, packed), body + HEAD_LEN);
    return write_nonce(cookie_source, body, buf) + (features ? 0 : COOKIE_LEN);
}

/* This nonce is not bound to a source: the node gets it by TCP before it knows from where it will
 * send. */
static const char *welcome_nonce(const struct pv_turnauth *a, struct pv_view member,
                                 uint32_t serial, pv_ns now, char buf[static PV_TURNAUTH_NONCE_BUF])
{
    uint8_t body[BODY_LEN] = {KIND_WELCOME};
    pv_store_be32(body + 1, (uint32_t)(now / PV_S(1)) + PV_TURNAUTH_WELCOME_S);
    pv_store_be32(body + 5, serial);
    make_mac(a, body, member, body + HEAD_LEN);
    return write_nonce(cookie_welcome, body, buf);
}

/* Returns true if the text before the body is right for its kind. */
static bool has_cookie(struct pv_view text, bool welcome)
{
    size_t len = text.len - BODY_TEXT;
    return (len == 0 && !welcome) ||
           (len == COOKIE_LEN &&
            memcmp(text.ptr, welcome ? cookie_welcome : cookie_source, COOKIE_LEN) == 0);
}

/* A nonce of welcome is bound to a member, whom only the caller can look up by the user name: its
 * MAC is checked by pv_turnauth_check_welcome(), after that. */
int pv_turnauth_check(const struct pv_turnauth *a, struct pv_view text, const struct pv_addr *src,
                      pv_ns now, struct pv_turnauth_nonce *ret_nonce)
{
    uint8_t body[BODY_LEN];
    uint8_t mac[MAC_LEN];
    uint8_t packed[SOURCE_LEN];
    size_t len = 0;
    if (text.len < BODY_TEXT ||
        pv_b64url_decode((const char *)text.ptr + text.len - BODY_TEXT, BODY_TEXT, body,
                         sizeof(body), &len) < 0 ||
        len != BODY_LEN || body[0] > KIND_WELCOME)
        return PV_ERR_AUTH;
    struct pv_turnauth_nonce n = {.welcome = body[0] == KIND_WELCOME,
                                  .serial = pv_load_be32(body + 5),
                                  .expiry = pv_load_be32(body + 1)};
    memcpy(n.mac, body + HEAD_LEN, MAC_LEN);
    if (!has_cookie(text, n.welcome) || now / PV_S(1) >= n.expiry)
        return PV_ERR_AUTH;
    if (!n.welcome) {
        make_mac(a, body, pack_source(src, packed), mac);
        if (!pv_ct_equal(mac, n.mac, MAC_LEN))
            return PV_ERR_AUTH;
    }
    *ret_nonce = n;
    return PV_OK;
}

int pv_turnauth_check_welcome(const struct pv_turnauth *a, const struct pv_turnauth_nonce *nonce,
                              struct pv_view member)
{
    uint8_t head[HEAD_LEN] = {KIND_WELCOME};
    uint8_t mac[MAC_LEN];
    pv_store_be32(head + 1, nonce->expiry);
    pv_store_be32(head + 5, nonce->serial);
    make_mac(a, head, member, mac);
    return pv_ct_equal(mac, nonce->mac, MAC_LEN) ? PV_OK : PV_ERR_AUTH;
}

/* One text serves both hashes: user, realm and password with colons between (RFC 8489 s9.2.2). MD5
 * is what clients without PASSWORD-ALGORITHM use; no security rests on its collision resistance. */
int pv_turnauth_key(const char *user, const char *password, struct pv_turnauth_key *ret_key)
{
    char text[1024]; /* name, realm and the longest password (turns.c) with much room */
    struct pv_turnauth_key key;
    int n = snprintf(text, sizeof(text), "%s:%s:%s", user, PV_TURNAUTH_REALM, password);
    int r = n < 0 || (size_t)n >= sizeof(text) ? PV_ERR_NO_SPACE : PV_OK;
    if (r == PV_OK)
        r = pv_md5(key.md5, pv_view(text, (size_t)n));
    if (r == PV_OK)
        r = pv_sha256(key.sha256, pv_view(text, (size_t)n));
    if (r == PV_OK)
        *ret_key = key;
    pv_wipe(text, sizeof(text));
    pv_wipe(&key, sizeof(key));
    return r;
}

/* USERHASH is SHA-256 of user and realm (RFC 8489 s14.4). Names are at most PV_TURNAUTH_USER_MAX
 * long, so they fit. */
int pv_turnauth_userhash(const char *user, uint8_t ret_hash[static PV_SHA256_LEN])
{
    char text[PV_TURNAUTH_USER_BUF + sizeof(PV_TURNAUTH_REALM) + 1];
    int n = snprintf(text, sizeof(text), "%s:%s", user, PV_TURNAUTH_REALM);
    return pv_sha256(ret_hash, pv_view(text, (size_t)n));
}

/* The context ends with its NUL in the hash, so that no context is the beginning of another. */
static void derive(const struct pv_turnauth *a, const char *context, struct pv_view member,
                   uint8_t out[static PV_BLAKE2S_LEN])
{
    struct pv_blake2s s;
    pv_blake2s_init(&s, pv_view(a->secret, sizeof(a->secret)), PV_BLAKE2S_LEN);
    pv_blake2s_update(&s, context, strlen(context) + 1);
    pv_blake2s_update(&s, member.ptr, member.len);
    pv_blake2s_final(&s, out);
}

void pv_turnauth_member(const struct pv_turnauth *a, struct pv_view member,
                        char ret_user[static PV_TURNAUTH_USER_BUF],
                        char ret_password[static PV_TURNAUTH_PASSWORD_BUF])
{
    uint8_t raw[PV_BLAKE2S_LEN];
    /* Neither can fail: the buffers are large enough. */
    derive(a, "p2pvpn turn user", member, raw);
    (void)!pv_b64url_encode(pv_view(raw, USER_BYTES), ret_user, PV_TURNAUTH_USER_BUF);
    derive(a, "p2pvpn turn password", member, raw);
    (void)!pv_b64url_encode(pv_view(raw, PASSWORD_BYTES), ret_password, PV_TURNAUTH_PASSWORD_BUF);
    pv_wipe(raw, sizeof(raw));
}

void pv_turnauth_welcome(const struct pv_turnauth *a, struct pv_view member, uint32_t serial,
                         pv_ns now, struct pv_turnauth_creds *ret_creds)
{
    pv_turnauth_member(a, member, ret_creds->user, ret_creds->password);
    welcome_nonce(a, member, serial, now, ret_creds->nonce);
}
