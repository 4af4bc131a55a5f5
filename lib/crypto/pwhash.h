/* SPDX-License-Identifier: MIT */
/* pwhash.h - keys from passphrases by Argon2id (RFC 9106): slow and large on purpose, so that
 * guessing is, too. */
#pragma once

#include "base/pv.h"

enum {
    PV_PWHASH_SALT_LEN = 16, /* bytes, RFC 9106 s3.1 */
    PV_PWHASH_KEY_LEN = 32,
    /* Bounds of what is accepted from elsewhere: a key file must not eat all memory. */
    PV_PWHASH_PASSES_MAX = 16,
    PV_PWHASH_MEMORY_MIN = 13, /* log2 of bytes: 8 KiB, the least that Argon2id takes */
    PV_PWHASH_MEMORY_MAX = 30, /* log2 of bytes: 1 GiB */
};

/* The cost of one guess. */
struct pv_pwhash_cost {
    uint8_t passes; /* over the memory, 1..PV_PWHASH_PASSES_MAX */
    uint8_t memory; /* log2 of bytes */
};
/* 256 MiB and about a second of a small machine, as libsodium advises for keys that are rarely
 * used. */
#define PV_PWHASH_COST ((struct pv_pwhash_cost){.passes = 3, .memory = 28})

/* PV_ERR_LIMIT: a cost outside of the bounds. PV_ERR_NOMEM. The caller wipes key. */
PV_MUST_CHECK int pv_pwhash(uint8_t key[static PV_PWHASH_KEY_LEN], struct pv_view passphrase,
                            const uint8_t salt[static PV_PWHASH_SALT_LEN],
                            struct pv_pwhash_cost cost);
