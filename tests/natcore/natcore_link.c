/* SPDX-License-Identifier: MIT */
#include "natcore_link.h"

#include <stdlib.h>
#include <string.h>

struct pv_link_item {
    pv_ns due;
    uint64_t order;
    uint64_t tag;
    uint8_t *data; /* owned */
    size_t len;
};

uint64_t pv_natrng_u64(struct pv_natrng *rng)
{
    uint64_t z = (rng->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint32_t pv_natrng_below(struct pv_natrng *rng, uint32_t bound)
{
    return (uint32_t)(((pv_natrng_u64(rng) >> 32) * bound) >> 32);
}

double pv_natrng_unit(struct pv_natrng *rng)
{
    return (double)(pv_natrng_u64(rng) >> 11) / 9007199254740992.0; /* 2^53 */
}

bool pv_natrng_chance(struct pv_natrng *rng, double p)
{
    return p > 0 && pv_natrng_unit(rng) < p;
}

void pv_link_init(struct pv_link *link, uint64_t seed)
{
    memset(link, 0, sizeof(*link));
    link->rng.state = seed;
}

void pv_link_clear(struct pv_link *link)
{
    for (size_t i = 0; i < link->len; i++)
        free(link->items[i].data);
    link->len = 0;
    link->last_due = 0;
    link->line_free = 0;
}

void pv_link_done(struct pv_link *link)
{
    pv_link_clear(link);
    free(link->items);
    link->items = NULL;
    link->cap = 0;
}

static bool before(const struct pv_link_item *a, const struct pv_link_item *b)
{
    return a->due < b->due || (a->due == b->due && a->order < b->order);
}

static void swap(struct pv_link_item *a, struct pv_link_item *b)
{
    struct pv_link_item t = *a;
    *a = *b;
    *b = t;
}

static bool grow(struct pv_link *link)
{
    if (link->len < link->cap)
        return true;
    if (link->cap >= PV_LINK_PACKETS)
        return false;
    size_t cap = link->cap == 0 ? 16 : link->cap * 2;
    struct pv_link_item *items = realloc(link->items, cap * sizeof(*items));
    if (items == NULL)
        return false;
    link->items = items;
    link->cap = cap;
    return true;
}

/* One to four bytes in a row, of which the first is certainly another one: wherever it falls, and
 * so in every field. */
static void damage(struct pv_link *link, uint8_t *data, size_t len)
{
    if (len == 0 || !pv_natrng_chance(&link->rng, link->config.damage))
        return;
    size_t at = pv_natrng_below(&link->rng, (uint32_t)len);
    size_t n = 1 + pv_natrng_below(&link->rng, 4);
    data[at] ^= (uint8_t)(1 + pv_natrng_below(&link->rng, 255));
    for (size_t i = 1; i < n && at + i < len; i++)
        data[at + i] ^= (uint8_t)pv_natrng_u64(&link->rng);
    link->stats.damaged++;
    if (link->mend != NULL && pv_natrng_chance(&link->rng, link->config.mended)) {
        link->mend(data, len);
        link->stats.mended++;
    }
}

static void put(struct pv_link *link, const uint8_t *data, size_t len, uint64_t tag, pv_ns due)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    if (copy == NULL || !grow(link)) {
        free(copy);
        link->stats.overflow++;
        return;
    }
    if (len > 0)
        memcpy(copy, data, len);
    damage(link, copy, len);
    size_t i = link->len++;
    link->items[i] = (struct pv_link_item){
        .due = due, .order = link->next_order++, .tag = tag, .data = copy, .len = len};
    while (i > 0 && before(&link->items[i], &link->items[(i - 1) / 2])) {
        swap(&link->items[i], &link->items[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
}

/* The rate limit: when the last bit of this packet has left; PV_NEVER when the queue is full. */
static pv_ns transmit(struct pv_link *link, size_t len, pv_ns now)
{
    if (link->config.rate_bps == 0)
        return now;
    pv_ns start = link->line_free > now ? link->line_free : now;
    double per_byte = 8e9 / (double)link->config.rate_bps;
    size_t limit = link->config.queue != 0 ? link->config.queue : PV_LINK_QUEUE;
    if ((double)(start - now) / per_byte > (double)limit)
        return PV_NEVER;
    link->line_free = start + (pv_ns)((double)len * per_byte);
    return link->line_free;
}

void pv_link_send(struct pv_link *link, const uint8_t *data, size_t len, uint64_t tag, pv_ns now)
{
    const struct pv_link_config *c = &link->config;
    link->stats.packets++;
    link->stats.bytes += len;
    pv_ns sent = transmit(link, len, now);
    if (sent == PV_NEVER) {
        link->stats.overflow++;
        return;
    }
    if (pv_natrng_chance(&link->rng, c->loss)) {
        link->stats.lost++;
        return;
    }
    pv_ns due = sent + c->delay;
    if (c->jitter > 0)
        due += (pv_ns)(pv_natrng_unit(&link->rng) * (double)c->jitter);
    if (pv_natrng_chance(&link->rng, c->reorder)) {
        link->stats.reordered++;
        due += c->reorder_by;
    } else {
        /* Jitter of a real queue keeps the order; only "reorder" breaks it. */
        if (due < link->last_due)
            due = link->last_due;
        link->last_due = due;
    }
    put(link, data, len, tag, due);
    if (pv_natrng_chance(&link->rng, c->duplicate)) {
        link->stats.duplicated++;
        put(link, data, len, tag, due);
    }
}

pv_ns pv_link_next(const struct pv_link *link)
{
    return link->len == 0 ? PV_NEVER : link->items[0].due;
}

int pv_link_receive(struct pv_link *link, pv_ns now, uint8_t **ret_data, size_t *ret_len,
                    uint64_t *ret_tag)
{
    if (link->len == 0 || link->items[0].due > now)
        return PV_ERR_AGAIN;
    struct pv_link_item top = link->items[0];
    link->items[0] = link->items[--link->len];
    size_t i = 0;
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < link->len; child++) {
            if (before(&link->items[child], &link->items[least]))
                least = child;
        }
        if (least == i)
            break;
        swap(&link->items[i], &link->items[least]);
        i = least;
    }
    *ret_data = top.data;
    *ret_len = top.len;
    if (ret_tag != NULL)
        *ret_tag = top.tag;
    return PV_OK;
}
