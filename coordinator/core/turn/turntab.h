/* SPDX-License-Identifier: MIT */
/*
 * turntab.h - the relay's hash table: open addressing, linear probing, one pointer a slot, keyed
 * SipHash. For entries that hold their key as an array of bytes; a look-up touches the slots and
 * the entry it finds, and nothing is allocated between two growths.
 *
 * Does not own the entries. Not thread-safe.
 */
#pragma once

#include "base/map.h"
#include "base/pv.h"

struct pv_turntab_slot {
    uint32_t hash;
    void *entry; /* NULL: free */
};

struct pv_turntab {
    struct pv_map key; /* SipHash key and limit of entries */
    size_t key_off;    /* bytes from an entry's start to its key */
    size_t key_len;    /* bytes */
    struct pv_turntab_slot *slots;
    size_t n_slots; /* 0 or a power of two */
    size_t n;
    size_t any; /* where pv_turntab_any() found the last entry */
};

/* key_off, key_len: where entries hold their key; limit: largest number of entries. */
void pv_turntab_init(struct pv_turntab *t, size_t key_off, size_t key_len, size_t limit,
                     const struct pv_rng *rng);
void pv_turntab_done(struct pv_turntab *t);

/* The entry with this key, or NULL. */
void *pv_turntab_find(const struct pv_turntab *t, const uint8_t *key);
/* Any entry, NULL when the table is empty: to empty it. */
void *pv_turntab_any(struct pv_turntab *t);
/* entry's key must not be in the table, and not change while it is. PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_turntab_add(struct pv_turntab *t, void *entry);
/* Takes the entry out; nothing happens when it is not in. Memory shrinks with the table. */
void pv_turntab_del(struct pv_turntab *t, const void *entry);
