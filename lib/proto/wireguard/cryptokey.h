/* SPDX-License-Identifier: MIT */
/*
 * cryptokey.h - which peer does an inner address belong to? (WireGuard's cryptokey routing.)
 *
 * Prefix -> peer id with the longest prefix winning; a member's address is a prefix of all bits.
 * The same table answers both directions: where to send a destination, and whether a source may
 * come from a peer. One flat hash table, probed once per prefix length in use, so a network of
 * members costs one probe. The hash is keyed: members choose their addresses.
 *
 * Finding is safe from many threads as long as nobody changes the table.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_CRYPTOKEY_MAX = 1 << 18, /* prefixes, ours: 65,536 members with two addresses, and static */
    PV_CRYPTOKEY_NOBODY = 0,    /* no peer id */
};

struct pv_cryptokey; /* opaque */

/* PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_cryptokey_new(struct pv_cryptokey **ret_table, const struct pv_rng *rng);
/* NULL is fine; returns NULL. */
struct pv_cryptokey *pv_cryptokey_free(struct pv_cryptokey *t);
/* A copy of its own. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_cryptokey_copy(const struct pv_cryptokey *t, struct pv_cryptokey **ret_copy);

/* Gives a prefix (host bits zero) to peer; PV_CRYPTOKEY_NOBODY shadows shorter prefixes.
 * PV_ERR_EXISTS when the very prefix is somebody else's, PV_ERR_LIMIT, PV_ERR_NOMEM,
 * PV_ERR_MALFORMED (family, bits). */
PV_MUST_CHECK int pv_cryptokey_add(struct pv_cryptokey *t, const struct pv_prefix *prefix,
                                   uint32_t peer);
/* Takes a prefix back if it is peer's; otherwise nothing happens. */
void pv_cryptokey_remove(struct pv_cryptokey *t, const struct pv_prefix *prefix, uint32_t peer);

/* The owner of an address in network order; PV_CRYPTOKEY_NOBODY. */
uint32_t pv_cryptokey_find4(const struct pv_cryptokey *t, const uint8_t ip[static 4]);
uint32_t pv_cryptokey_find6(const struct pv_cryptokey *t, const uint8_t ip[static 16]);
