/* SPDX-License-Identifier: MIT */
/*
 * ct.h - handling secrets: constant-time comparison, wiping, memory for long-lived ones.
 */
#pragma once

#include "base/pv.h"

/* Must be called once by every program and test before any other crypto call. PV_ERR_CRYPTO. */
PV_MUST_CHECK int pv_crypto_init(void);

/* Equal? Time depends on len only. */
bool pv_ct_equal(const void *a, const void *b, size_t len);
/* All bytes zero? Time depends on len only. */
bool pv_ct_is_zero(const void *a, size_t len);
/* Overwrites; never optimised away. */
void pv_wipe(void *p, size_t len);

/* Guarded, locked memory for long-lived secrets (sodium_malloc). NULL without memory. */
void *pv_secret_alloc(size_t len);
void *pv_secret_free(void *p); /* wipes; NULL is fine; returns NULL */
/* Page-aligned memory left out of core dumps (MADV_DONTDUMP) for session keys. */
void *pv_nodump_alloc(size_t len);
void *pv_nodump_free(void *p, size_t len); /* wipes; NULL is fine; returns NULL */
