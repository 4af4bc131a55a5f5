/* SPDX-License-Identifier: MIT */
/*
 * links.c - takes one address after another and keeps the best. The worst of those there always
 * gives way, so every network keeps its best addresses, whatever the order is.
 */
#include "daemon/core/node/links.h"

#include <string.h>

enum {
    RANK_OTHER = 2, /* container networks, and a VPN that leads out */
    FEW = 2,        /* ours: addresses of one network that go before other networks' */
};

unsigned pv_link_rank(const struct pv_link_addr *l)
{
    if (l->tunnel && !l->way_out)
        return PV_LINK_RANK_TUNNEL;
    if (l->tunnel || l->container)
        return RANK_OTHER;
    return pv_addr_is_private(&l->addr.base) ? 1 : 0;
}

void pv_links_init(struct pv_links *set, size_t cap)
{
    memset(set, 0, sizeof(*set)); /* padding too: pictures are compared as bytes */
    set->cap = cap;
}

static bool is_same_network(const struct pv_link_addr *a, const struct pv_link_addr *b)
{
    return a->ifindex == b->ifindex && a->addr.bits == b->addr.bits &&
           a->addr.base.family == b->addr.base.family &&
           pv_prefix_contains(&a->addr, &b->addr.base);
}

/* a came before b. */
static bool is_as_good(const struct pv_link_addr *a, const struct pv_link_addr *b)
{
    if (a->source != b->source)
        return a->source;
    return pv_link_rank(a) <= pv_link_rank(b);
}

/* Counts the new address among its network's. */
static void count_in(struct pv_links *set)
{
    const struct pv_link_addr *fresh = &set->of[set->n - 1];
    for (size_t i = 0; i + 1 < set->n; i++) {
        if (!is_same_network(&set->of[i], fresh))
            continue;
        if (is_as_good(&set->of[i], fresh))
            set->before[set->n - 1]++;
        else
            set->before[i]++;
    }
}

static bool is_only_one(const struct pv_links *set, size_t at)
{
    for (size_t i = 0; i < set->n; i++)
        if (i != at && set->of[i].addr.base.family == set->of[at].addr.base.family)
            return false;
    return true;
}

/* A family's source on the way out and its only address are never the worst. */
static size_t worst(const struct pv_links *set)
{
    size_t found = set->n - 1;
    unsigned most = 0;
    for (size_t i = 0; i < set->n; i++) {
        const unsigned many = set->before[i] >= FEW ? set->before[i] : 0;
        const unsigned badness = 1 + many * (PV_LINK_RANK_TUNNEL + 1) + pv_link_rank(&set->of[i]);
        if (set->of[i].source || is_only_one(set, i) || badness < most)
            continue;
        found = i;
        most = badness;
    }
    return found;
}

static void take_out(struct pv_links *set, size_t at)
{
    set->n--;
    memmove(&set->of[at], &set->of[at + 1], (set->n - at) * sizeof(set->of[0]));
    memmove(&set->before[at], &set->before[at + 1], (set->n - at) * sizeof(set->before[0]));
    memset(&set->of[set->n], 0, sizeof(set->of[0]));
    set->before[set->n] = 0;
}

void pv_links_add(struct pv_links *set, const struct pv_link_addr *link)
{
    if (!link->up || link->loopback)
        return;
    set->of[set->n] = *link;
    set->before[set->n++] = 0;
    count_in(set);
    if (set->n <= set->cap)
        return;
    take_out(set, worst(set));
    set->left_out++;
}
