/* SPDX-License-Identifier: MIT */
/*
 * hybrid.h - the preshared key of two members' session: from ML-KEM-768 and X25519 together, so
 * that whoever wants to know it has to break both (docs/PROTOCOL-PEERS.md "Post-quantum sessions").
 *
 * The member with the higher identity key offers: an encapsulation key and an X25519 key. The other
 * answers: a ciphertext and an X25519 key. Both halves travel in descriptions and say which one had
 * them first. Functions on explicit structs; when to offer and what to keep is
 * daemon/core/peer/pqx.h's.
 */
#pragma once

#include "base/pv.h"
#include "crypto/dh.h"
#include "crypto/kem.h"
#include "crypto/sign.h"
#include "proto/control/desc.h"
#include "proto/ice/ice.h"
#include "proto/roster/statement.h"
#include "proto/wireguard/noise.h"

enum {
    PV_HYBRID_HASH_LEN = PV_BLAKE2B_LEN,
};

/* The words of one side, and the description that said them first. */
struct pv_hybrid_half {
    uint8_t by[PV_SIGN_PK_LEN];      /* its identity key */
    uint64_t gen, rev;               /* of the description */
    const struct pv_ice_creds *desc; /* of that generation: what its description is known by */
    uint8_t dh[PV_DH_LEN];           /* X25519, ephemeral */
    struct pv_view kem;              /* offer: the encapsulation key; answer: the ciphertext */
};

/* The hash of an offer. */
void pv_hybrid_hash_offer(const struct pv_hybrid_half *offer,
                          uint8_t ret_hash[static PV_HYBRID_HASH_LEN]);
/* The hash of an answer to the offer with that hash. */
void pv_hybrid_hash_answer(const struct pv_hybrid_half *answer,
                           const uint8_t offer[static PV_HYBRID_HASH_LEN],
                           uint8_t ret_hash[static PV_HYBRID_HASH_LEN]);

/* The facts that both sides know in the end. */
struct pv_hybrid_shared {
    uint8_t network_id[PV_NETWORK_ID_LEN];
    uint8_t answer[PV_HYBRID_HASH_LEN]; /* its hash, which covers the offer's */
    uint8_t kem[PV_KEM_SECRET_LEN];
    uint8_t dh[PV_DH_LEN];
};

struct pv_hybrid_key {
    uint32_t id; /* 1..PV_DESC_PQ_ID_MAX; says which key is meant, and nothing about it */
    uint8_t psk[PV_NOISE_PSK_LEN];
};
void pv_hybrid_derive(const struct pv_hybrid_shared *shared, struct pv_hybrid_key *ret_key);
