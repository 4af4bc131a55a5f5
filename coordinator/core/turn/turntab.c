/* SPDX-License-Identifier: MIT */
/* The relay's hash table: at most half full, so runs are short and a search always ends at a free
 * slot. */
#include "coordinator/core/turn/turntab.h"

#include <stdlib.h>
#include <string.h>

enum {
    SLOTS_MIN = 16, /* below this a table does not shrink */
};

/* Each table draws a SipHash key of its own: an attacker who chooses addresses or names cannot make
 * them collide. */
void pv_turntab_init(struct pv_turntab *t, size_t key_off, size_t key_len, size_t limit,
                     const struct pv_rng *rng)
{
    *t =
        (struct pv_turntab){.key = pv_map_make(rng, limit), .key_off = key_off, .key_len = key_len};
}

void pv_turntab_done(struct pv_turntab *t)
{
    free(t->slots);
    t->slots = NULL;
    t->n_slots = 0;
    t->n = 0;
}

static const uint8_t *key_of(const struct pv_turntab *t, const void *entry)
{
    return (const uint8_t *)entry + t->key_off;
}

/* Returns the slot that holds the key, or the free one where it would go. At least one slot has to
 * be free. */
static size_t probe_slots(const struct pv_turntab *t, const uint8_t *key, uint32_t hash)
{
    size_t mask = t->n_slots - 1;
    size_t i = hash & mask;
    while (t->slots[i].entry != NULL) {
        if (t->slots[i].hash == hash && memcmp(key_of(t, t->slots[i].entry), key, t->key_len) == 0)
            break;
        i = (i + 1) & mask;
    }
    return i;
}

void *pv_turntab_find(const struct pv_turntab *t, const uint8_t *key)
{
    if (t->n == 0)
        return NULL;
    return t->slots[probe_slots(t, key, pv_map_hash(&t->key, key, t->key_len))].entry;
}

/* An owner that empties a table asks for each entry in turn: the search goes on where the last one
 * ended, for the slots before are free. */
void *pv_turntab_any(struct pv_turntab *t)
{
    for (size_t i = 0; t->n > 0 && i < t->n_slots; i++) {
        size_t k = (t->any + i) & (t->n_slots - 1);
        if (t->slots[k].entry != NULL) {
            t->any = k;
            return t->slots[k].entry;
        }
    }
    return NULL;
}

/* Hashes are kept in the slots, so entries are not touched. Without memory the table stays as it
 * is. */
static int resize(struct pv_turntab *t, size_t n_slots)
{
    struct pv_turntab_slot *slots = calloc(n_slots, sizeof(*slots));
    if (slots == NULL)
        return PV_ERR_NOMEM;
    for (size_t i = 0; i < t->n_slots; i++) {
        size_t k = t->slots[i].hash & (n_slots - 1);
        if (t->slots[i].entry == NULL)
            continue;
        while (slots[k].entry != NULL)
            k = (k + 1) & (n_slots - 1);
        slots[k] = t->slots[i];
    }
    free(t->slots);
    t->slots = slots;
    t->n_slots = n_slots;
    return PV_OK;
}

/* The table grows at half full. */
int pv_turntab_add(struct pv_turntab *t, void *entry)
{
    if (t->n >= t->key.limit)
        return PV_ERR_LIMIT;
    if ((t->n + 1) * 2 > t->n_slots) {
        int r = resize(t, t->n_slots == 0 ? SLOTS_MIN : t->n_slots * 2);
        if (r < 0)
            return r;
    }
    uint32_t hash = pv_map_hash(&t->key, key_of(t, entry), t->key_len);
    t->slots[probe_slots(t, key_of(t, entry), hash)] =
        (struct pv_turntab_slot){.hash = hash, .entry = entry};
    t->n++;
    return PV_OK;
}

/* Later entries of the same run move up, so that no search stops at the gap (Knuth, 6.4,
 * algorithm R). Unlike with tombstones, a table that is filled and emptied for years stays as
 * fast as it was. */
static void close_gap(struct pv_turntab *t, size_t gap)
{
    size_t mask = t->n_slots - 1;
    for (size_t i = (gap + 1) & mask; t->slots[i].entry != NULL; i = (i + 1) & mask) {
        /* May move unless its own place lies behind the gap: then the gap is not in its run. */
        size_t home = t->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            t->slots[gap] = t->slots[i];
            gap = i;
        }
    }
    t->slots[gap].entry = NULL;
}

/* The table shrinks at an eighth, far from where it grows, so that it does not copy itself each
 * time when its size goes to and fro. */
void pv_turntab_del(struct pv_turntab *t, const void *entry)
{
    if (t->n == 0)
        return;
    uint32_t hash = pv_map_hash(&t->key, key_of(t, entry), t->key_len);
    size_t i = probe_slots(t, key_of(t, entry), hash);
    if (t->slots[i].entry != entry)
        return;
    close_gap(t, i);
    t->n--;
    if (t->n == 0)
        pv_turntab_done(t);
    else if (t->n_slots > SLOTS_MIN && t->n * 8 < t->n_slots)
        (void)!resize(t, t->n_slots / 2); /* without memory it stays as large as it is */
}
