/* SPDX-License-Identifier: MIT */
/*
 * statement_routes.c - the prefixes that nodes carry, as statements have them. Each prefix has one
 * form, and so has a list of them: it is sorted.
 */
#include <string.h>

#include "proto/roster/statement.h"

/* Inside these no packet leaves its link, or its host. */
static bool is_local(const struct pv_prefix *p)
{
    static const struct pv_prefix local[] = {
        {.base = {.family = PV_AF_INET, .ip = {127}}, .bits = 8},
        {.base = {.family = PV_AF_INET, .ip = {169, 254}}, .bits = 16},
        {.base = {.family = PV_AF_INET, .ip = {224}}, .bits = 3},
        {.base = {.family = PV_AF_INET6, .ip = {[15] = 1}}, .bits = 128},
        {.base = {.family = PV_AF_INET6, .ip = {0xfe, 0x80}}, .bits = 10},
        {.base = {.family = PV_AF_INET6, .ip = {0xff}}, .bits = 8},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(local); i++) {
        if (p->bits >= local[i].bits && pv_prefix_contains(&local[i], &p->base))
            return true;
    }
    return false;
}

bool pv_route_is_valid(const struct pv_prefix *p)
{
    size_t len = pv_addr_ip_len(&p->base);
    size_t shortest = len == 4 ? PV_ROUTE_BITS4 : PV_ROUTE_BITS6;
    if (len == 0 || p->base.port != 0 || p->bits > 8 * len ||
        (p->bits != 0 && p->bits < shortest) || is_local(p))
        return false;
    for (size_t bit = p->bits; bit < 8 * len; bit++) {
        if ((p->base.ip[bit / 8] & 0x80u >> bit % 8) != 0)
            return false;
    }
    return true;
}

int pv_route_compare(const struct pv_prefix *a, const struct pv_prefix *b)
{
    if (a->base.family != b->base.family)
        return a->base.family < b->base.family ? -1 : 1;
    int order = memcmp(a->base.ip, b->base.ip, sizeof(a->base.ip));
    return order != 0 ? order : (int)a->bits - (int)b->bits;
}

void pv_route_get(struct pv_reader *r, struct pv_prefix *ret_prefix)
{
    struct pv_prefix p;
    uint8_t family = pv_get_u8(r);
    memset(&p, 0, sizeof(p));
    p.base.family = family == 4 ? PV_AF_INET : family == 6 ? PV_AF_INET6 : PV_AF_NONE;
    p.bits = pv_get_u8(r);
    pv_get_copy(r, p.base.ip, pv_addr_ip_len(&p.base));
    if (r->status == PV_OK && !pv_route_is_valid(&p))
        pv_reader_fail(r, PV_ERR_MALFORMED);
    *ret_prefix = p;
}

void pv_route_put(struct pv_writer *w, const struct pv_prefix *p)
{
    pv_put_u8(w, p->base.family == PV_AF_INET ? 4 : 6);
    pv_put_u8(w, p->bits);
    pv_put_bytes(w, p->base.ip, pv_addr_ip_len(&p->base));
}

bool pv_offerlist_next(struct pv_view *list, struct pv_offer *ret_offer)
{
    struct pv_reader r = pv_reader(*list);
    struct pv_offer offer = {.flags = 0};
    if (list->len == 0)
        return false;
    offer.flags = pv_get_u8(&r);
    pv_route_get(&r, &offer.prefix);
    if (r.status != PV_OK)
        return false;
    *list = r.rest;
    *ret_offer = offer;
    return true;
}

int pv_offerlist_check(struct pv_view list)
{
    struct pv_offer offer, last = {.flags = 0};
    size_t n = 0;
    while (pv_offerlist_next(&list, &offer)) {
        if (++n > PV_OFFERS_MAX || (n > 1 && pv_route_compare(&last.prefix, &offer.prefix) >= 0))
            return PV_ERR_MALFORMED;
        last = offer;
    }
    return list.len == 0 ? PV_OK : PV_ERR_MALFORMED;
}

void pv_offerlist_put(struct pv_writer *w, const struct pv_offer *offers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        pv_put_u8(w, offers[i].flags);
        pv_route_put(w, &offers[i].prefix);
    }
}
