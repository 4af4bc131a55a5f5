/* SPDX-License-Identifier: MIT */
/*
 * hybrid.c - what two members' preshared key is made of. Every length but those of the credentials
 * is fixed, and these are written before their text, so that no two exchanges hash the same bytes.
 */
#include "proto/control/hybrid.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/ct.h"
#include "crypto/hash.h"

static const char OFFER[] = "p2pvpn hybrid offer v1";
static const char ANSWER[] = "p2pvpn hybrid answer v1";
static const char SESSION[] = "p2pvpn hybrid session v1";

enum {
    /* key, two numbers, two texts with their lengths, X25519 key, hash of the offer */
    HALF_MAX = PV_SIGN_PK_LEN + 2 * 8 + 1 + PV_ICE_UFRAG_MAX + 1 + PV_ICE_PWD_MAX + PV_DH_LEN +
               PV_HYBRID_HASH_LEN,
};

static void put_text(struct pv_writer *w, const char *text)
{
    size_t len = strlen(text);
    pv_put_u8(w, (uint8_t)len);
    pv_put_bytes(w, text, len);
}

static void hash_half(const char *label, const struct pv_hybrid_half *half, struct pv_view offer,
                      uint8_t ret_hash[static PV_HYBRID_HASH_LEN])
{
    uint8_t buf[HALF_MAX];
    struct pv_writer w = pv_writer(buf, sizeof(buf));
    pv_put_bytes(&w, half->by, sizeof(half->by));
    pv_put_u64(&w, half->gen);
    pv_put_u64(&w, half->rev);
    put_text(&w, half->desc->ufrag);
    put_text(&w, half->desc->pwd);
    pv_put_bytes(&w, half->dh, sizeof(half->dh));
    pv_put_bytes(&w, offer.ptr, offer.len);
    pv_blake2b(ret_hash, pv_view(label, strlen(label)), pv_written(&w), half->kem);
    pv_wipe(buf, sizeof(buf)); /* the credentials were in it */
}

void pv_hybrid_hash_offer(const struct pv_hybrid_half *offer,
                          uint8_t ret_hash[static PV_HYBRID_HASH_LEN])
{
    hash_half(OFFER, offer, pv_view(NULL, 0), ret_hash);
}

void pv_hybrid_hash_answer(const struct pv_hybrid_half *answer,
                           const uint8_t offer[static PV_HYBRID_HASH_LEN],
                           uint8_t ret_hash[static PV_HYBRID_HASH_LEN])
{
    hash_half(ANSWER, answer, pv_view(offer, PV_HYBRID_HASH_LEN), ret_hash);
}

/* HKDF with the transcript as salt: the key is unknown as long as one of both secrets is, and
 * another one whatever differs in what was said. */
void pv_hybrid_derive(const struct pv_hybrid_shared *shared, struct pv_hybrid_key *ret_key)
{
    uint8_t salt[PV_BLAKE2S_LEN], id[PV_BLAKE2S_LEN];
    uint8_t said[sizeof(SESSION) - 1 + PV_NETWORK_ID_LEN];
    uint8_t secrets[PV_KEM_SECRET_LEN + PV_DH_LEN];

    memcpy(said, SESSION, sizeof(SESSION) - 1);
    memcpy(said + sizeof(SESSION) - 1, shared->network_id, PV_NETWORK_ID_LEN);
    memcpy(secrets, shared->kem, PV_KEM_SECRET_LEN);
    memcpy(secrets + PV_KEM_SECRET_LEN, shared->dh, PV_DH_LEN);
    pv_blake2s(salt, pv_view(said, sizeof(said)), pv_view(shared->answer, PV_HYBRID_HASH_LEN));
    pv_noise_hkdf(salt, pv_view(secrets, sizeof(secrets)), ret_key->psk, id, NULL);
    ret_key->id = (uint32_t)id[0] << 16 | (uint32_t)id[1] << 8 | id[2];
    if (ret_key->id == 0)
        ret_key->id = 1; /* 0 means: none */
    pv_wipe(secrets, sizeof(secrets));
    pv_wipe(salt, sizeof(salt));
}
