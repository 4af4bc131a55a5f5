/* SPDX-License-Identifier: MIT */
/*
 * aead.h - authenticated encryption: one message at a time for handshakes, batches for data.
 *
 * The batch interface is what the datapath uses; the library behind it is chosen by the processor
 * and tested when an engine is made (crypto/provider.h).
 */
#pragma once

#include "base/pv.h"

enum {
    PV_AEAD_KEY_LEN = 32,        /* bytes, both suites: RFC 8439 s2.8, AES-256 */
    PV_AEAD_TAG_LEN = 16,        /* bytes, both suites: RFC 8439 s2.8, SP 800-38D s5.2.1.2 */
    PV_AEAD_BATCH_MAX = 64,      /* ours: packets a call */
    PV_AEAD_THREADS = 8,         /* ours: threads that may use one key at the same time */
    PV_AEAD_COST_MAX = 1000000,  /* ns of a packet of each size; more counts as this */
    PV_AEAD_LIBRARIES_MAX = 128, /* ours: bytes of pv_aead_libraries(), with the NUL */
    PV_XCHACHA_NONCE_LEN = 24,   /* bytes, draft-irtf-cfrg-xchacha s2.3 */
};

/* How a session's packets are sealed; the number stands in byte 3 of messages 1 and 2 (DESIGN 7).
 * The nonce is 4 zero bytes and the counter (Noise s12). */
enum pv_suite {
    PV_SUITE_CHACHA, /* ChaCha20-Poly1305 (RFC 8439), counter little-endian: WireGuard's */
    PV_SUITE_AES,    /* AES-256-GCM (NIST SP 800-38D), counter big-endian */
    PV_SUITES,
};
const char *pv_suite_name(enum pv_suite suite); /* "chacha20-poly1305", "aes-256-gcm" */
/* Returns true if this processor has instructions for AES-GCM. Without them AES-GCM is slow and
 * leaks by its timing. */
bool pv_suite_aes_is_fast(void);

/* One-shot ChaCha20-Poly1305 with WireGuard's/Noise's nonce from counter. ct has pt.len + 16 bytes
 * and may be the same memory as pt. */
void pv_aead_seal(uint8_t *ct, const uint8_t key[static PV_AEAD_KEY_LEN], uint64_t counter,
                  struct pv_view ad, struct pv_view pt);
/* pt has ct.len - 16 bytes and may be the same memory as ct. PV_ERR_AUTH (also when ct is shorter
 * than a tag); pt is then untouched or zeroed, never plaintext. */
PV_MUST_CHECK int pv_aead_open(uint8_t *pt, const uint8_t key[static PV_AEAD_KEY_LEN],
                               uint64_t counter, struct pv_view ad, struct pv_view ct);

/* The same with AES-256-GCM. Sealing fails only without memory: ct is zeros then, which nobody
 * takes for genuine. */
void pv_gcm_seal(uint8_t *ct, const uint8_t key[static PV_AEAD_KEY_LEN], uint64_t counter,
                 struct pv_view ad, struct pv_view pt);
PV_MUST_CHECK int pv_gcm_open(uint8_t *pt, const uint8_t key[static PV_AEAD_KEY_LEN],
                              uint64_t counter, struct pv_view ad, struct pv_view ct);

/* XChaCha20-Poly1305 (cookie reply, whitepaper s5.4.7). */
void pv_xaead_seal(uint8_t *ct, const uint8_t key[static PV_AEAD_KEY_LEN],
                   const uint8_t nonce[static PV_XCHACHA_NONCE_LEN], struct pv_view ad,
                   struct pv_view pt);
PV_MUST_CHECK int pv_xaead_open(uint8_t *pt, const uint8_t key[static PV_AEAD_KEY_LEN],
                                const uint8_t nonce[static PV_XCHACHA_NONCE_LEN], struct pv_view ad,
                                struct pv_view ct);

/* A prepared key for one direction of one session, good for any engine. Several threads may use it
 * at a time when each has a number of its own. The libraries keep copies of the key on the heap,
 * which is not left out of core dumps. */
struct pv_aead; /* opaque */
/* PV_ERR_NOMEM, PV_ERR_CRYPTO. The caller may wipe key at once. */
PV_MUST_CHECK int pv_aead_new(struct pv_aead **ret_aead, enum pv_suite suite,
                              const uint8_t key[static PV_AEAD_KEY_LEN]);
struct pv_aead *pv_aead_free(struct pv_aead *aead); /* wipes; NULL is fine; returns NULL */

/* One packet of a batch, sealed or opened in place, no associated data. */
struct pv_aead_op {
    struct pv_aead *aead; /* its key */
    uint64_t counter;     /* nonce */
    uint8_t *data;        /* seal: len plaintext bytes, room for len + 16; open: len with the tag */
    size_t len;           /* seal: without the tag; open: with it, >= 16 */
    unsigned thread;      /* whose batch it is, < PV_AEAD_THREADS */
    int status;           /* set by the call: PV_OK, PV_ERR_AUTH, PV_ERR_CRYPTO */
};

/* The tool with which a thread works on batches; used by one thread at a time. */
struct pv_aead_engine; /* opaque */
/* "ipsec-mb 1.3.0, boringssl 14.0.0+r45, openssl 3.0.17": the libraries in this program with their
 * versions, in the order of preference. Returns ret_text. */
const char *pv_aead_libraries(char ret_text[static PV_AEAD_LIBRARIES_MAX]);
/* Measures pv_aead_cost() by a clock in ns that never goes back: some milliseconds. For the one
 * thread that there is. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_aead_measure_cost(pv_ns (*clock)(void));
/* ns that sealing or opening a packet of 1,420 and one of 100 bytes take together with the library
 * that engines use; 0: not measured. */
uint32_t pv_aead_cost(enum pv_suite suite);
/* Bytes of such packets that library number index (from 0 on) seals and opens in a second; 0 if the
 * library does not do that suite here. PV_ERR_NOT_FOUND: this build has no more libraries;
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_aead_measure(size_t index, enum pv_suite suite, size_t packet,
                                  pv_ns (*clock)(void), const char **ret_name, double *ret_rate);

/* Takes of each suite the first library that this processor runs and that seals and opens as
 * another one does. Trying that takes about 0.1 ms. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_aead_engine_new(struct pv_aead_engine **ret_engine);
struct pv_aead_engine *pv_aead_engine_free(struct pv_aead_engine *engine); /* wipes; returns NULL */
/* "boringssl", or of each suite in their order: "boringssl, ipsec-mb". */
const char *pv_aead_engine_name(const struct pv_aead_engine *engine);
/* Returns why a faster library is not used, or NULL. */
const char *pv_aead_engine_why_slow(const struct pv_aead_engine *engine);

/* n <= PV_AEAD_BATCH_MAX. Fills status of each. data of a failed open holds zeros, never plaintext
 * (and the old tag behind it). */
void pv_aead_seal_batch(struct pv_aead_engine *engine, struct pv_aead_op *ops, size_t n);
void pv_aead_open_batch(struct pv_aead_engine *engine, struct pv_aead_op *ops, size_t n);
