/* SPDX-License-Identifier: MIT */
/*
 * sign.c - Ed25519 signatures under a context, verified strictly, and the X25519 form of their
 * keys. Verification is strict because statements are compared by their hash: if a signature had a
 * second valid encoding, or a key a second valid form, two nodes could hold "the same" statement
 * and disagree about it.
 */
#include "crypto/sign.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

enum {
    MESSAGE_MAX = 65536, /* bytes of a and b; the largest signed thing is a 2 KiB statement */
    CONTEXT_MAX = 64,    /* bytes; contexts are literals of ours */
};

/* context || 0x00 || a || b in one block, because libsodium signs one block. The NUL ends the
 * context, so no context can be continued by the message into another one. */
static int join(const char *context, struct pv_view a, struct pv_view b, uint8_t **ret_msg,
                size_t *ret_len)
{
    size_t clen = strnlen(context, CONTEXT_MAX + 1) + 1; /* with the NUL, which separates */
    if (clen > CONTEXT_MAX || a.len > MESSAGE_MAX || b.len > MESSAGE_MAX - a.len)
        return PV_ERR_LIMIT;
    uint8_t *m = malloc(clen + a.len + b.len);
    if (m == NULL)
        return PV_ERR_NOMEM;
    memcpy(m, context, clen);
    if (a.len > 0)
        memcpy(m + clen, a.ptr, a.len);
    if (b.len > 0)
        memcpy(m + clen + a.len, b.ptr, b.len);
    *ret_msg = m;
    *ret_len = clen + a.len + b.len;
    return PV_OK;
}

/* On the curve, canonical encoding, in the main subgroup and not its identity. */
static bool key_is_strict(const uint8_t p[static PV_SIGN_PK_LEN])
{
    return crypto_core_ed25519_is_valid_point(p) == 1;
}

/* The secret key contains the public one (libsodium's form), which spares a multiplication at each
 * signature. */
void pv_sign_keypair(const uint8_t seed[static PV_SIGN_SEED_LEN],
                     uint8_t ret_sk[static PV_SIGN_SK_LEN], uint8_t ret_pk[static PV_SIGN_PK_LEN])
{
    (void)crypto_sign_seed_keypair(ret_pk, ret_sk, seed);
}

int pv_sign(uint8_t ret_sig[static PV_SIGN_LEN], const char *context, struct pv_view a,
            struct pv_view b, const uint8_t sk[static PV_SIGN_SK_LEN])
{
    uint8_t *msg = NULL;
    size_t len = 0;
    int r = join(context, a, b, &msg, &len);
    if (r < 0)
        return r;
    (void)crypto_sign_detached(ret_sig, NULL, msg, len, sk);
    free(msg);
    return PV_OK;
}

int pv_sign_verify(const uint8_t sig[static PV_SIGN_LEN], const char *context, struct pv_view a,
                   struct pv_view b, const uint8_t pk[static PV_SIGN_PK_LEN])
{
    /* libsodium refuses S >= L, small orders of both points and a non-canonical key, and compares R
     * byte by byte with the point it computes, which leaves no second encoding. It lets pass a key
     * with a small-order component: other libraries disagree on those. */
    if (!key_is_strict(pk))
        return PV_ERR_AUTH;

    uint8_t *msg = NULL;
    size_t len = 0;
    int r = join(context, a, b, &msg, &len);
    if (r < 0)
        return r;
    r = crypto_sign_verify_detached(sig, msg, len, pk) == 0 ? PV_OK : PV_ERR_AUTH;
    free(msg);
    return r;
}

/* One key pair serves for signatures and for X25519; the birational map (RFC 7748 s4.1) is defined
 * for points of the main subgroup. */
int pv_sign_pk_to_dh(const uint8_t pk[static PV_SIGN_PK_LEN], uint8_t ret_dh_pk[static PV_DH_LEN])
{
    if (!key_is_strict(pk) || crypto_sign_ed25519_pk_to_curve25519(ret_dh_pk, pk) != 0)
        return PV_ERR_AUTH;
    return PV_OK;
}

void pv_sign_sk_to_dh(const uint8_t sk[static PV_SIGN_SK_LEN], uint8_t ret_dh_sk[static PV_DH_LEN])
{
    (void)crypto_sign_ed25519_sk_to_curve25519(ret_dh_sk, sk);
}
