/* SPDX-License-Identifier: MIT */
/* sealing.c - sealing keys and the boxes that need them. */
#include "proto/control/sealing.h"

#include <string.h>

#include "crypto/ct.h"
#include "crypto/hash.h"

static const char SEED[] = "p2pvpn sealing seed v1";
static const char BOX[] = "p2pvpn sealed box v1";
static const uint8_t MARK[PV_SEALING_MARK_LEN] = {'p', 'q', '1', 0};

enum {
    PROLOGUE_MAX = 256, /* bytes of a caller's, and the hash behind it: theirs are below 100 */
};

/* Ed25519 signs with a hash of the seed, so a signature key that was broken does not give the seed,
 * and this is as secret as that. */
static void seed_of(const uint8_t identity_sk[static PV_SIGN_SK_LEN],
                    uint8_t ret_seed[static PV_KEM_SEED_LEN])
{
    uint8_t salt[PV_BLAKE2S_LEN];
    pv_blake2s(salt, pv_view(SEED, sizeof(SEED) - 1), pv_view(NULL, 0));
    pv_noise_hkdf(salt, pv_view(identity_sk, PV_SIGN_SEED_LEN), ret_seed, ret_seed + PV_BLAKE2S_LEN,
                  NULL);
}

int pv_sealing_key(const struct pv_kem *kem, const uint8_t identity_sk[static PV_SIGN_SK_LEN],
                   uint8_t ret_ek[static PV_KEM_EK_LEN])
{
    uint8_t seed[PV_KEM_SEED_LEN];
    seed_of(identity_sk, seed);
    int r = kem->keypair(seed, ret_ek);
    pv_wipe(seed, sizeof(seed));
    return r;
}

/* The caller's prologue and the hash of the ciphertext: a box whose ciphertext was exchanged is
 * another one. */
static struct pv_view bind_ct(struct pv_view prologue, const uint8_t ct[static PV_KEM_CT_LEN],
                              uint8_t buf[static PROLOGUE_MAX])
{
    if (prologue.len > PROLOGUE_MAX - PV_BLAKE2B_LEN)
        return pv_view(NULL, 0);
    memcpy(buf, prologue.ptr, prologue.len);
    pv_blake2b(buf + prologue.len, pv_view(BOX, sizeof(BOX) - 1), pv_view(ct, PV_KEM_CT_LEN),
               pv_view(NULL, 0));
    return pv_view(buf, prologue.len + PV_BLAKE2B_LEN);
}

int pv_sealing_seal(const struct pv_sealing_to *to, const struct pv_noise_parties *parties,
                    const struct pv_rng *rng, struct pv_view text, uint8_t *ret_box)
{
    uint8_t random[PV_KEM_RANDOM_LEN], psk[PV_KEM_SECRET_LEN], buf[PROLOGUE_MAX];
    uint8_t *ct = ret_box + PV_SEALING_MARK_LEN;
    struct pv_noise_parties with = *parties;

    memcpy(ret_box, MARK, sizeof(MARK));
    pv_rng_fill(rng, random, sizeof(random));
    int r = to->kem->encapsulate(pv_view(to->ek, PV_KEM_EK_LEN), random, ct, psk);
    if (r == PV_OK) {
        with.prologue = bind_ct(parties->prologue, ct, buf);
        with.psk = psk;
        r = with.prologue.len == 0 ? PV_ERR_LIMIT : PV_OK;
    }
    if (r == PV_OK)
        r = pv_noise_xpsk_seal(&with, rng, text, ret_box + PV_SEALING_EXTRA);
    pv_wipe(random, sizeof(random));
    pv_wipe(psk, sizeof(psk));
    return r;
}

bool pv_sealing_is(struct pv_view box)
{
    return box.len >= PV_SEALING_OVERHEAD && memcmp(box.ptr, MARK, sizeof(MARK)) == 0;
}

int pv_sealing_secret(const struct pv_kem *kem, const uint8_t identity_sk[static PV_SIGN_SK_LEN],
                      struct pv_view box, uint8_t ret_psk[static PV_NOISE_PSK_LEN])
{
    uint8_t seed[PV_KEM_SEED_LEN];

    if (!pv_sealing_is(box))
        return PV_ERR_MALFORMED;
    seed_of(identity_sk, seed);
    int r = kem->decapsulate(seed, pv_view(box.ptr + PV_SEALING_MARK_LEN, PV_KEM_CT_LEN), ret_psk);
    pv_wipe(seed, sizeof(seed));
    return r;
}

int pv_sealing_open(const uint8_t psk[static PV_NOISE_PSK_LEN], struct pv_view prologue,
                    const struct pv_noise_static *local, struct pv_view box,
                    uint8_t ret_sender[static PV_DH_LEN], uint8_t *ret_text)
{
    uint8_t buf[PROLOGUE_MAX];

    if (!pv_sealing_is(box))
        return PV_ERR_AUTH;
    const struct pv_noise_parties parties = {
        .prologue = bind_ct(prologue, box.ptr + PV_SEALING_MARK_LEN, buf),
        .local = local,
        .psk = psk};
    if (parties.prologue.len == 0)
        return PV_ERR_LIMIT;
    return pv_noise_xpsk_open(&parties,
                              pv_view(box.ptr + PV_SEALING_EXTRA, box.len - PV_SEALING_EXTRA),
                              ret_sender, ret_text);
}
