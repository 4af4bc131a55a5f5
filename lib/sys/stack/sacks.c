/* SPDX-License-Identifier: MIT */
/* sacks.c - ranges of sequence numbers, in order. */
#include "sys/stack/sacks.h"

#include <string.h>

static bool is_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

/* Returns the index of the first range that ends behind seq, or n. */
static unsigned sacks_find(const struct pv_stack_sacks *s, uint32_t seq)
{
    unsigned low = 0, high = s->n;
    while (low < high) {
        const unsigned middle = (low + high) / 2;
        if (is_before(seq, s->ranges[middle].to))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void sacks_remove(struct pv_stack_sacks *s, unsigned at, unsigned n)
{
    for (unsigned i = at; i < at + n; i++)
        s->bytes -= s->ranges[i].to - s->ranges[i].from;
    memmove(&s->ranges[at], &s->ranges[at + n], (s->n - at - n) * sizeof(s->ranges[0]));
    s->n -= n;
}

void pv_stack_sacks_add(struct pv_stack_sacks *s, struct pv_stack_range range, uint32_t una,
                        uint32_t nxt)
{
    if (!is_before(una, range.from) || !is_before(range.from, range.to) || is_before(nxt, range.to))
        return;
    /* Ranges that it overlaps or touches become a part of it. */
    const unsigned at = sacks_find(s, range.from - 1);
    unsigned end = at;
    for (; end < s->n && !is_before(range.to, s->ranges[end].from); end++) {
        if (is_before(s->ranges[end].from, range.from))
            range.from = s->ranges[end].from;
        if (is_before(range.to, s->ranges[end].to))
            range.to = s->ranges[end].to;
    }
    sacks_remove(s, at, end - at);
    if (s->n == PV_STACK_SACKS) {
        if (at == s->n)
            return;
        sacks_remove(s, s->n - 1, 1);
    }
    memmove(&s->ranges[at + 1], &s->ranges[at], (s->n - at) * sizeof(s->ranges[0]));
    s->ranges[at] = range;
    s->n++;
    s->bytes += range.to - range.from;
}

void pv_stack_sacks_acked(struct pv_stack_sacks *s, uint32_t una)
{
    unsigned n = 0;
    while (n < s->n && !is_before(una, s->ranges[n].from))
        n++;
    sacks_remove(s, 0, n);
}

void pv_stack_sacks_clear(struct pv_stack_sacks *s)
{
    s->n = 0;
    s->bytes = 0;
}

bool pv_stack_sacks_has(const struct pv_stack_sacks *s, struct pv_stack_range range)
{
    const unsigned at = sacks_find(s, range.from);
    return at < s->n && !is_before(range.from, s->ranges[at].from) &&
           !is_before(s->ranges[at].to, range.to);
}

uint32_t pv_stack_sacks_missing(const struct pv_stack_sacks *s, struct pv_stack_range range)
{
    if (!is_before(range.from, range.to))
        return 0;
    uint32_t missing = range.to - range.from;
    for (unsigned i = sacks_find(s, range.from); i < s->n && is_before(s->ranges[i].from, range.to);
         i++) {
        const struct pv_stack_range *r = &s->ranges[i];
        const uint32_t from = is_before(r->from, range.from) ? range.from : r->from;
        const uint32_t to = is_before(range.to, r->to) ? range.to : r->to;
        missing -= to - from;
    }
    return missing;
}
