/* SPDX-License-Identifier: MIT */
/*
 * aead_choose.c - names the libraries that work on batches, in the order of preference. Apart from
 * aead.c, so that the benchmark's build without encryption (tests/bench/aead_none.c) can stand in
 * its place; nothing that is shipped contains that one.
 */
#include "crypto/aead.h"
#include "crypto/provider.h"

const struct pv_aead_provider *const pv_aead_providers[] = {
#ifdef PV_HAVE_IPSEC_MB
    &pv_aead_ipsec_mb,
#endif
    &pv_aead_openssl,
    NULL,
};

/* A provider that this processor cannot run, or that fails its trial, is skipped; the last one,
 * OpenSSL, runs everywhere. */
int pv_aead_engine_new(struct pv_aead_engine **ret_engine)
{
    int r = PV_ERR_CRYPTO;
    for (size_t i = 0; r == PV_ERR_CRYPTO && pv_aead_providers[i] != NULL; i++)
        r = pv_aead_engine_of(ret_engine, pv_aead_providers[i]);
    return r;
}
