/* SPDX-License-Identifier: MIT */
/* pwhash.c - Argon2id, which is libsodium's. */
#include "crypto/pwhash.h"

#include <sodium.h>

_Static_assert(PV_PWHASH_SALT_LEN == crypto_pwhash_argon2id_SALTBYTES, "libsodium has one length");

int pv_pwhash(uint8_t key[static PV_PWHASH_KEY_LEN], struct pv_view passphrase,
              const uint8_t salt[static PV_PWHASH_SALT_LEN], struct pv_pwhash_cost cost)
{
    if (cost.passes < 1 || cost.passes > PV_PWHASH_PASSES_MAX ||
        cost.memory < PV_PWHASH_MEMORY_MIN || cost.memory > PV_PWHASH_MEMORY_MAX)
        return PV_ERR_LIMIT;
    /* It fails for want of memory only: the bounds are within the library's. */
    return crypto_pwhash_argon2id(key, PV_PWHASH_KEY_LEN, (const char *)passphrase.ptr,
                                  passphrase.len, salt, cost.passes, (size_t)1 << cost.memory,
                                  crypto_pwhash_argon2id_ALG_ARGON2ID13) == 0
               ? PV_OK
               : PV_ERR_NOMEM;
}
