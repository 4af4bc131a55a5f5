/* SPDX-License-Identifier: MIT */
#include "proto/wireguard/cryptokey.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"

enum {
    MIN_SLOTS = 16,
};

/* A prefix in the form that is hashed and compared. */
struct key {
    uint8_t ip[16]; /* host bits zero */
    uint8_t bits;
    uint8_t family; /* PV_AF_INET, PV_AF_INET6; 0 = the slot is free */
};

struct slot {
    struct key key;
    uint32_t peer;
};

/* How many prefixes of each length there are, and the lengths in use, longest first. */
struct lengths {
    uint32_t count[129];
    uint8_t used[129];
    uint8_t n_used;
};

/* Open addressing with linear probing; removal shifts back, so there are no tombstones. */
struct pv_cryptokey {
    struct pv_map map; /* hash key and limit */
    size_t len;
    size_t mask; /* slots - 1 */
    struct lengths four, six;
    struct slot *slots; /* owned */
};

int pv_cryptokey_new(struct pv_cryptokey **ret_table, const struct pv_rng *rng)
{
    struct pv_cryptokey *t = calloc(1, sizeof(*t));
    struct slot *slots = calloc(MIN_SLOTS, sizeof(*slots));
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
    struct slot *slots = malloc((t->mask + 1) * sizeof(*slots));
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

static size_t home(const struct pv_cryptokey *t, const struct key *key)
{
    return pv_map_hash(&t->map, key, sizeof(*key)) & t->mask;
}

/* The slot that holds key, or the free one where it would go. */
static size_t probe(const struct pv_cryptokey *t, const struct key *key)
{
    size_t i = home(t, key);
    while (t->slots[i].key.family != 0 && memcmp(&t->slots[i].key, key, sizeof(*key)) != 0)
        i = (i + 1) & t->mask;
    return i;
}

static int grow(struct pv_cryptokey *t)
{
    size_t old_slots = t->mask + 1;
    struct slot *old = t->slots;
    struct slot *slots = calloc(old_slots * 2, sizeof(*slots));
    if (slots == NULL)
        return PV_ERR_NOMEM;
    t->slots = slots;
    t->mask = old_slots * 2 - 1;
    for (size_t i = 0; i < old_slots; i++) {
        if (old[i].key.family != 0)
            t->slots[probe(t, &old[i].key)] = old[i];
    }
    free(old);
    return PV_OK;
}

static void count_length(struct lengths *l, uint8_t bits, int by)
{
    l->count[bits] += (uint32_t)by;
    l->n_used = 0;
    for (unsigned b = 129; b-- > 0;) {
        if (l->count[b] > 0)
            l->used[l->n_used++] = (uint8_t)b;
    }
}

static int make_key(const struct pv_prefix *p, struct key *ret_key)
{
    if (p->base.family != PV_AF_INET && p->base.family != PV_AF_INET6)
        return PV_ERR_MALFORMED;
    if (p->bits > 8 * pv_addr_ip_len(&p->base))
        return PV_ERR_MALFORMED;
    *ret_key = (struct key){.bits = p->bits, .family = (uint8_t)p->base.family};
    memcpy(ret_key->ip, p->base.ip, pv_addr_ip_len(&p->base));
    return PV_OK;
}

static struct lengths *lengths_of(struct pv_cryptokey *t, const struct key *key)
{
    return key->family == PV_AF_INET ? &t->four : &t->six;
}

int pv_cryptokey_add(struct pv_cryptokey *t, const struct pv_prefix *prefix, uint32_t peer)
{
    struct key key;
    int r = make_key(prefix, &key);
    if (r < 0)
        return r;
    size_t i = probe(t, &key);
    if (t->slots[i].key.family != 0)
        return t->slots[i].peer == peer ? PV_OK : PV_ERR_EXISTS;
    if (t->len >= t->map.limit)
        return PV_ERR_LIMIT;
    if ((t->len + 1) * 2 > t->mask + 1) { /* at most half full: short probes */
        r = grow(t);
        if (r < 0)
            return r;
        i = probe(t, &key);
    }
    t->slots[i] = (struct slot){.key = key, .peer = peer};
    t->len++;
    count_length(lengths_of(t, &key), key.bits, 1);
    return PV_OK;
}

void pv_cryptokey_remove(struct pv_cryptokey *t, const struct pv_prefix *prefix, uint32_t peer)
{
    struct key key;
    if (make_key(prefix, &key) < 0)
        return;
    size_t hole = probe(t, &key);
    if (t->slots[hole].key.family == 0 || t->slots[hole].peer != peer)
        return;
    /* Move back whatever probed past the hole. */
    for (size_t i = (hole + 1) & t->mask; t->slots[i].key.family != 0; i = (i + 1) & t->mask) {
        size_t from_home = (i - home(t, &t->slots[i].key)) & t->mask;
        if (from_home >= ((i - hole) & t->mask)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    t->slots[hole] = (struct slot){.peer = 0};
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

static uint32_t find(const struct pv_cryptokey *t, const struct lengths *l, struct key *key,
                     size_t ip_len)
{
    for (size_t k = 0; k < l->n_used; k++) {
        /* Lengths fall, so masking what is masked already is right. */
        key->bits = l->used[k];
        keep_bits(key->ip, ip_len, key->bits);
        const struct slot *s = &t->slots[probe(t, key)];
        if (s->key.family != 0)
            return s->peer;
    }
    return PV_CRYPTOKEY_NOBODY;
}

uint32_t pv_cryptokey_find4(const struct pv_cryptokey *t, const uint8_t ip[static 4])
{
    struct key key = {.family = PV_AF_INET};
    memcpy(key.ip, ip, 4);
    return find(t, &t->four, &key, 4);
}

uint32_t pv_cryptokey_find6(const struct pv_cryptokey *t, const uint8_t ip[static 16])
{
    struct key key = {.family = PV_AF_INET6};
    memcpy(key.ip, ip, 16);
    return find(t, &t->six, &key, 16);
}
