/* SPDX-License-Identifier: MIT */
/*
 * cryptokey.c - prefix to peer, longest prefix first (WireGuard's cryptokey routing). Instead of a
 * trie there is one hash table for all prefixes and a list of the lengths in use: a network of
 * members uses two lengths (/32 and /128), so a look-up is a single probe.
 */
#include "proto/wireguard/cryptokey.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"

enum {
    PREFIX_LENGTHS = 8 * PV_IP6_LEN + 1, /* 0 to 128 bits */
    MIN_SLOTS = 16, /* ours: a power of two, doubled while more than half full */
};

/* A prefix in the form that is hashed and compared. */
struct prefix_key {
    uint8_t ip[16]; /* host bits zero */
    uint8_t bits;
    uint8_t family; /* PV_AF_INET, PV_AF_INET6; 0 = the slot is free */
};

struct prefix_slot {
    struct prefix_key key;
    uint32_t peer;
};

/* How many prefixes of each length there are, and the lengths in use, longest first. */
struct lengths {
    uint32_t count[PREFIX_LENGTHS];
    uint8_t used[PREFIX_LENGTHS];
    uint8_t n_used;
};

/* Open addressing with linear probing; removal shifts back, so there are no tombstones. */
struct pv_cryptokey {
    struct pv_map map; /* hash key and limit */
    size_t len;
    size_t mask; /* slots - 1 */
    struct lengths four, six;
    struct prefix_slot *slots; /* owned */
};

int pv_cryptokey_new(struct pv_cryptokey **ret_table, const struct pv_rng *rng)
{
    struct pv_cryptokey *t = calloc(1, sizeof(*t));
    struct prefix_slot *slots = calloc(MIN_SLOTS, sizeof(*slots));
    if (t == NULL || slots == NULL) {
        free(t);
        free(slots);
        return PV_ERR_NOMEM;
    }
    t->map = pv_map_make(rng, PV_CRYPTOKEY_MAX);
    t->mask = MIN_SLOTS - 1;
    t->slots = slots;
    *ret_table = t;
    return PV_OK;
}

struct pv_cryptokey *pv_cryptokey_free(struct pv_cryptokey *t)
{
    if (t != NULL) {
        free(t->slots);
        free(t);
    }
    return NULL;
}

int pv_cryptokey_copy(const struct pv_cryptokey *t, struct pv_cryptokey **ret_copy)
{
    struct pv_cryptokey *copy = malloc(sizeof(*copy));
    struct prefix_slot *slots = malloc((t->mask + 1) * sizeof(*slots));
    if (copy == NULL || slots == NULL) {
        free(copy);
        free(slots);
        return PV_ERR_NOMEM;
    }
    *copy = *t;
    copy->slots = slots;
    memcpy(slots, t->slots, (t->mask + 1) * sizeof(*slots));
    *ret_copy = copy;
    return PV_OK;
}

static size_t home_slot(const struct pv_cryptokey *t, const struct prefix_key *key)
{
    return pv_map_hash(&t->map, key, sizeof(*key)) & t->mask;
}

/* The slot that holds key, or the free one where it would go. */
static size_t find_slot(const struct pv_cryptokey *t, const struct prefix_key *key)
{
    size_t i = home_slot(t, key);
    while (t->slots[i].key.family != 0 && memcmp(&t->slots[i].key, key, sizeof(*key)) != 0)
        i = (i + 1) & t->mask;
    return i;
}

/* Entries are put in anew, since their home depends on the number of slots. On failure the old
 * table stays as it was. */
static int grow_table(struct pv_cryptokey *t)
{
    size_t old_slots = t->mask + 1;
    struct prefix_slot *old = t->slots;
    struct prefix_slot *slots = calloc(old_slots * 2, sizeof(*slots));
    if (slots == NULL)
        return PV_ERR_NOMEM;
    t->slots = slots;
    t->mask = old_slots * 2 - 1;
    for (size_t i = 0; i < old_slots; i++) {
        if (old[i].key.family != 0)
            t->slots[find_slot(t, &old[i].key)] = old[i];
    }
    free(old);
    return PV_OK;
}

/* The list of lengths is rebuilt at each change: changes are rare, look-ups happen for each packet
 * and want it short and sorted. */
static void count_length(struct lengths *l, uint8_t bits, int by)
{
    l->count[bits] += (uint32_t)by;
    l->n_used = 0;
    for (unsigned b = PREFIX_LENGTHS; b-- > 0;) {
        if (l->count[b] > 0)
            l->used[l->n_used++] = (uint8_t)b;
    }
}

static int make_key(const struct pv_prefix *p, struct prefix_key *ret_key)
{
    if (p->base.family != PV_AF_INET && p->base.family != PV_AF_INET6)
        return PV_ERR_MALFORMED;
    if (p->bits > 8 * pv_addr_ip_len(&p->base))
        return PV_ERR_MALFORMED;
    *ret_key = (struct prefix_key){.bits = p->bits, .family = (uint8_t)p->base.family};
    memcpy(ret_key->ip, p->base.ip, pv_addr_ip_len(&p->base));
    return PV_OK;
}

static struct lengths *lengths_of(struct pv_cryptokey *t, const struct prefix_key *key)
{
    return key->family == PV_AF_INET ? &t->four : &t->six;
}

int pv_cryptokey_add(struct pv_cryptokey *t, const struct pv_prefix *prefix, uint32_t peer)
{
    struct prefix_key key;
    int r = make_key(prefix, &key);
    if (r < 0)
        return r;
    size_t i = find_slot(t, &key);
    if (t->slots[i].key.family != 0)
        return t->slots[i].peer == peer ? PV_OK : PV_ERR_EXISTS;
    if (t->len >= t->map.limit)
        return PV_ERR_LIMIT;
    if ((t->len + 1) * 2 > t->mask + 1) { /* at most half full: short probes */
        r = grow_table(t);
        if (r < 0)
            return r;
        i = find_slot(t, &key);
    }
    t->slots[i] = (struct prefix_slot){.key = key, .peer = peer};
    t->len++;
    count_length(lengths_of(t, &key), key.bits, 1);
    return PV_OK;
}

/* An entry that probed past the hole is moved back into it; otherwise a later search would stop at
 * the hole and miss it. A prefix given to another peer meanwhile is not ours to remove. */
void pv_cryptokey_remove(struct pv_cryptokey *t, const struct pv_prefix *prefix, uint32_t peer)
{
    struct prefix_key key;
    if (make_key(prefix, &key) < 0)
        return;
    size_t hole = find_slot(t, &key);
    if (t->slots[hole].key.family == 0 || t->slots[hole].peer != peer)
        return;
    /* Move back whatever probed past the hole. */
    for (size_t i = (hole + 1) & t->mask; t->slots[i].key.family != 0; i = (i + 1) & t->mask) {
        size_t from_home = (i - home_slot(t, &t->slots[i].key)) & t->mask;
        if (from_home >= ((i - hole) & t->mask)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    t->slots[hole] = (struct prefix_slot){.peer = 0};
    t->len--;
    count_length(lengths_of(t, &key), key.bits, -1);
}

static void keep_bits(uint8_t *ip, size_t len, unsigned bits)
{
    size_t whole = bits / 8;
    if (whole >= len)
        return;
    ip[whole] &= (uint8_t)(0xff00u >> (bits % 8));
    memset(ip + whole + 1, 0, len - whole - 1);
}

/* The key is masked further in each round instead of copied: lengths fall, so bits that are gone
 * stay gone. */
static uint32_t find_longest(const struct pv_cryptokey *t, const struct lengths *l,
                             struct prefix_key *key, size_t ip_len)
{
    for (size_t k = 0; k < l->n_used; k++) {
        /* Lengths fall, so masking what is masked already is right. */
        key->bits = l->used[k];
        keep_bits(key->ip, ip_len, key->bits);
        const struct prefix_slot *s = &t->slots[find_slot(t, key)];
        if (s->key.family != 0)
            return s->peer;
    }
    return PV_CRYPTOKEY_NOBODY;
}

uint32_t pv_cryptokey_find4(const struct pv_cryptokey *t, const uint8_t ip[static 4])
{
    struct prefix_key key = {.family = PV_AF_INET};
    memcpy(key.ip, ip, 4);
    return find_longest(t, &t->four, &key, 4);
}

uint32_t pv_cryptokey_find6(const struct pv_cryptokey *t, const uint8_t ip[static 16])
{
    struct prefix_key key = {.family = PV_AF_INET6};
    memcpy(key.ip, ip, 16);
    return find_longest(t, &t->six, &key, 16);
}
