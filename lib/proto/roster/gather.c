/* SPDX-License-Identifier: MIT */
/* Entries that wait for their head. */
#include "proto/roster/gather.h"

#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

/* Views are const by nature; these own what they show. */
static void free_view(struct pv_view v)
{
    union {
        const uint8_t *shown;
        uint8_t *owned;
    } p = {.shown = v.ptr};
    free(p.owned);
}

void pv_gather_clear(struct pv_gather *g)
{
    for (size_t i = 0; i < g->n; i++)
        free_view(g->raw[i]);
    free(g->raw);
    *g = (struct pv_gather){.max = g->max};
}

static int add_one(struct pv_gather *g, struct pv_view raw)
{
    struct pv_entry e;
    int r = pv_entry_decode(raw, &e);
    if (r != PV_OK)
        return r;
    if (memcmp(e.prev, g->last, sizeof(e.prev)) != 0)
        return PV_ERR_AUTH;
    if (raw.len > g->max - g->bytes || g->n >= PV_NETLOG_MAX)
        return PV_ERR_LIMIT;
    struct pv_view *more = pv_vec_room(g->raw, g->n, &g->cap, 64, sizeof(*more));
    uint8_t *copy = malloc(raw.len);
    if (more != NULL)
        g->raw = more;
    if (more == NULL || copy == NULL) {
        free(copy);
        return PV_ERR_NOMEM;
    }
    memcpy(copy, raw.ptr, raw.len);
    g->raw[g->n++] = pv_view(copy, raw.len);
    g->bytes += raw.len;
    memcpy(g->last, e.hash, sizeof(g->last));
    return PV_OK;
}

int pv_gather_add(struct pv_gather *g, uint64_t first, const struct pv_view *entries, size_t n,
                  const uint8_t prev[static PV_LOGST_HASH_LEN])
{
    int r = PV_OK;
    if (g->n == 0) {
        g->first = first;
        memcpy(g->last, prev, sizeof(g->last));
    } else if (first != g->first + g->n) {
        r = PV_ERR_STATE;
    }
    for (size_t i = 0; i < n && r == PV_OK; i++)
        r = add_one(g, entries[i]);
    if (r != PV_OK)
        pv_gather_clear(g);
    return r;
}

struct pv_netlog_piece pv_gather_piece(const struct pv_gather *g, struct pv_view head)
{
    return (struct pv_netlog_piece){.first = g->first, .entries = g->raw, .n = g->n, .head = head};
}
