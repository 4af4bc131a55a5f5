/* SPDX-License-Identifier: MIT */
/*
 * hash.h - the hashes and MACs of the protocols: BLAKE2s (WireGuard, Noise), BLAKE2b (statements),
 * HMAC-BLAKE2s; HMAC-SHA1, HMAC-SHA256, SHA-256 and MD5 (STUN only), CRC-32 (STUN FINGERPRINT).
 */
#pragma once

#include "base/pv.h"

enum {
    PV_BLAKE2S_LEN = 32,    /* bytes, RFC 7693 s2.1 */
    PV_BLAKE2B_LEN = 32,    /* we use BLAKE2b-256 only */
    PV_BLAKE2B512_LEN = 64, /* bytes, RFC 7693 s2.1 */
    PV_MAC_LEN = 16,        /* keyed BLAKE2s-128, WireGuard mac1 and mac2 */
    PV_SHA1_LEN = 20,       /* bytes, FIPS 180-4 */
    PV_SHA256_LEN = 32,     /* bytes, FIPS 180-4 */
    PV_MD5_LEN = 16,        /* bytes, RFC 1321 */
};

/* BLAKE2s (RFC 7693), own portable code: as fast as EVP's, and nothing to allocate. */
struct pv_blake2s {
    uint32_t h[8];
    uint64_t t;      /* bytes compressed so far */
    uint8_t buf[64]; /* one block, RFC 7693 s2.1 */
    size_t buf_len;
    size_t out_len;
};
/* key may be empty (len 0) up to 32 bytes; out_len 1..32. */
void pv_blake2s_init(struct pv_blake2s *s, struct pv_view key, size_t out_len);
void pv_blake2s_update(struct pv_blake2s *s, const void *data, size_t len);
void pv_blake2s_final(struct pv_blake2s *s, uint8_t *out); /* out_len bytes; wipes s */

/* HASH(a || b): the two-part form that Noise needs; either may be empty. */
void pv_blake2s(uint8_t out[static PV_BLAKE2S_LEN], struct pv_view a, struct pv_view b);
/* Keyed BLAKE2s-128 over data (WireGuard MAC, whitepaper s5.4). */
void pv_blake2s_mac(uint8_t out[static PV_MAC_LEN], struct pv_view key, struct pv_view data);
/* HMAC (RFC 2104) with BLAKE2s over a || b. */
void pv_hmac_blake2s(uint8_t out[static PV_BLAKE2S_LEN], const uint8_t *key, size_t key_len,
                     struct pv_view a, struct pv_view b);
/* HKDF of the Noise specification s4.3 with HMAC-BLAKE2s: n_out 1..3 outputs of 32 bytes into
 * out1, out2, out3 (the unused ones may be NULL). The outputs may alias chaining_key. */
void pv_noise_hkdf(const uint8_t chaining_key[static PV_BLAKE2S_LEN], struct pv_view input,
                   uint8_t *out1, uint8_t *out2, uint8_t *out3);

/* BLAKE2b-256 over a || b || c (libsodium). */
void pv_blake2b(uint8_t out[static PV_BLAKE2B_LEN], struct pv_view a, struct pv_view b,
                struct pv_view c);

/* BLAKE2b-512 of what comes in pieces (RFC 7693; OpenSSL, whose code is twice as fast as
 * libsodium's where it matters: whole files). */
struct pv_blake2b512;                                                 /* opaque */
PV_MUST_CHECK int pv_blake2b512_new(struct pv_blake2b512 **ret_hash); /* PV_ERR_CRYPTO */
struct pv_blake2b512 *
pv_blake2b512_free(struct pv_blake2b512 *hash); /* NULL is fine; returns NULL */
/* PV_ERR_CRYPTO, then and from then on. */
PV_MUST_CHECK int pv_blake2b512_update(struct pv_blake2b512 *hash, const void *data, size_t len);
/* Of all that went in so far; more may follow. PV_ERR_CRYPTO. */
PV_MUST_CHECK int pv_blake2b512_digest(const struct pv_blake2b512 *hash,
                                       uint8_t out[static PV_BLAKE2B512_LEN]);

/* HMAC-SHA1 (RFC 2104). PV_ERR_CRYPTO. */
PV_MUST_CHECK int pv_hmac_sha1(uint8_t out[static PV_SHA1_LEN], struct pv_view key,
                               struct pv_view data);
/* HMAC-SHA256 (RFC 2104). PV_ERR_CRYPTO. */
PV_MUST_CHECK int pv_hmac_sha256(uint8_t out[static PV_SHA256_LEN], struct pv_view key,
                                 struct pv_view data);
/* SHA-256 (FIPS 180-4), for STUN's USERHASH and keys (RFC 8489 s14.4, s18.5.1). PV_ERR_CRYPTO. */
PV_MUST_CHECK int pv_sha256(uint8_t out[static PV_SHA256_LEN], struct pv_view data);
/* MD5, for STUN long-term keys only (RFC 8489 s9.2.2). PV_ERR_CRYPTO. */
PV_MUST_CHECK int pv_md5(uint8_t out[static PV_MD5_LEN], struct pv_view data);

/* CRC-32 of ITU V.42 (RFC 8489 s14.7). */
uint32_t pv_crc32(struct pv_view data);
