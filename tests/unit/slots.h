/* SPDX-License-Identifier: MIT */
/* slots.h - in the place of peers: what each of them keeps for a machine under test. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLOTS_MAX = 512,
    SLOTS_PK_LEN = 32, /* PV_SIGN_PK_LEN */
};

/* Zeroed: nothing is kept. */
struct slots {
    struct {
        uint8_t pk[SLOTS_PK_LEN];
        void *kept; /* owned */
    } all[SLOTS_MAX];
    size_t n;
};

/* The size bytes of pk; make: zeroed when they are asked for first. NULL: there are none, or too
 * many. */
static inline void *slots_of(struct slots *s, const uint8_t *pk, size_t size, bool make)
{
    for (size_t i = 0; i < s->n; i++) {
        if (memcmp(s->all[i].pk, pk, SLOTS_PK_LEN) == 0)
            return s->all[i].kept;
    }
    void *kept = make && s->n < SLOTS_MAX ? calloc(1, size) : NULL;
    if (kept == NULL)
        return NULL;
    memcpy(s->all[s->n].pk, pk, SLOTS_PK_LEN);
    s->all[s->n++].kept = kept;
    return kept;
}

/* All peers are gone: end is told of each. */
static inline void slots_clear(struct slots *s, void (*end)(void *kept))
{
    while (s->n > 0) {
        void *kept = s->all[--s->n].kept;
        end(kept);
        free(kept);
    }
}
