/* SPDX-License-Identifier: MIT */
/* Addresses that change places in a list. */
#include "daemon/core/coord/coorddetour.h"

#include <string.h>

bool pv_coordclient_addr_is(const struct pv_coordclient_addr *a,
                            const struct pv_coordclient_addr *b)
{
    return a->tls == b->tls && pv_addr_equal(&a->addr, &b->addr) &&
           pv_addr_equal(&a->via, &b->via) && strcmp(a->name, b->name) == 0;
}

void pv_coorddetour_end(struct pv_coorddetour *d)
{
    d->n_away = d->n_to = 0;
}

void pv_coorddetour_arrived(struct pv_coorddetour *d, pv_ns now)
{
    pv_coorddetour_end(d);
    d->arrived_at = now;
}

bool pv_coorddetour_has_lasted(const struct pv_coorddetour *d, pv_ns now)
{
    return now - d->arrived_at >= PV_COORDDETOUR_LASTS;
}

/* The welcome of a moment ago must not count as an arrival, or a coordinator that gives it each
 * time could send the node on for ever. */
bool pv_coorddetour_sent_on(struct pv_coorddetour *d, pv_ns now)
{
    d->n_away = 0;
    if (pv_coorddetour_has_lasted(d, now))
        d->sent_on = 0;
    if (d->sent_on == PV_COORDDETOUR_HOPS)
        return false;
    d->sent_on++;
    return true;
}

bool pv_coorddetour_leave(struct pv_coorddetour *d, const struct pv_coordclient_addr *from)
{
    if (d->n_away == PV_COORDDETOUR_HOPS)
        return false;
    d->away[d->n_away++] = *from;
    d->via = from->via;
    d->n_to = 0;
    return true;
}

bool pv_coorddetour_add(struct pv_coorddetour *d, const struct pv_addr *to)
{
    if (d->n_to == PV_COORDDETOUR_MAX)
        return false;
    d->to[d->n_to++] = *to;
    return true;
}

void pv_coorddetour_tried(struct pv_coorddetour *d, const struct pv_addr *to)
{
    for (size_t i = 0; i < d->n_to; i++)
        if (pv_addr_equal(&d->to[i], to))
            d->to[i--] = d->to[--d->n_to];
}

/* The address at one place comes to another, and those between move by one. */
static void move(struct pv_coordclient_addr *addrs, size_t from, size_t to)
{
    struct pv_coordclient_addr x = addrs[from];
    if (from < to)
        memmove(&addrs[from], &addrs[from + 1], (to - from) * sizeof(x));
    else
        memmove(&addrs[to + 1], &addrs[to], (from - to) * sizeof(x));
    addrs[to] = x;
}

/* n: it is not in the list. */
static size_t find(const struct pv_coordclient_addr *addrs, size_t n, size_t from,
                   const struct pv_coordclient_addr *addr)
{
    size_t i = from;
    while (i < n && !pv_coordclient_addr_is(&addrs[i], addr))
        i++;
    return i < n ? i : n;
}

/* In a list that is full a home takes the last place, which is a guess or somebody else's word. */
void pv_coorddetour_arrange(const struct pv_coorddetour *d, struct pv_coordclient_addr *addrs,
                            size_t *n, size_t cap, size_t from)
{
    for (size_t k = 0; k < d->n_away; k++) {
        size_t i = find(addrs, *n, from, &d->away[k]);
        if (i < *n)
            move(addrs, i, *n - 1);
    }
    for (size_t k = d->n_to; k-- > 0;) {
        const struct pv_coordclient_addr home = {
            .addr = d->to[k], .via = d->via, .tls = d->via.family != PV_AF_NONE};
        size_t i = find(addrs, *n, from, &home);
        i = i < cap ? i : cap - 1;
        if (i < from)
            return; /* every place was tried */
        if (i == *n)
            ++*n;
        addrs[i] = home;
        move(addrs, i, from);
    }
}

/* One port is one program, with TLS or without: so both are left out. */
static bool is_one_port(const struct pv_coordclient_addr *a, const struct pv_coordclient_addr *b)
{
    return pv_addr_equal(&a->addr, &b->addr) && strcmp(a->name, b->name) == 0;
}

size_t pv_coorddetour_other(const struct pv_coordclient_addr *addrs, size_t n, size_t from,
                            const struct pv_coordclient_addr *used)
{
    size_t i = from;
    while (i < n && (addrs[i].guess || is_one_port(&addrs[i], used)))
        i++;
    return i;
}

bool pv_coorddetour_has_family(const struct pv_coordclient_addr *addrs, size_t n, uint16_t family)
{
    for (size_t i = 0; i < n; i++)
        if (addrs[i].addr.family == family)
            return true;
    return false;
}
