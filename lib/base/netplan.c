/* SPDX-License-Identifier: MIT */
/* netplan.c - every field of a plan is checked by its reader, who has rights that its writer has
 * not.
 */
#include "base/netplan.h"

#include <stdio.h>
#include <string.h>

#include "base/remedy.h"
#include "base/text.h"

enum {
    LEAST4 = 8, /* bits: two shorter ones would be a default route by another name */
    LEAST6 = 16,
    MAIN_RULE = 32766, /* priority of the kernel's own rule for the main table */
};

/* --- what may be said ---------------------------------------------------------------------- */

bool pv_ifname_is_valid(const char *name)
{
    size_t len = strnlen(name, PV_NETPLAN_IFNAME);
    return len > 0 && len < PV_NETPLAN_IFNAME && name[0] != '-' && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               len &&
           strcmp(name, "all") != 0 && strcmp(name, "default") != 0;
}

struct pv_prefix pv_netplan_range(const struct pv_prefix *addr)
{
    struct pv_prefix p = *addr;
    size_t len = pv_addr_ip_len(&p.base);
    p.base.port = 0;
    for (size_t i = 0; i < len * 8; i++)
        if (i >= p.bits)
            p.base.ip[i / 8] &= (uint8_t) ~(0x80u >> (i % 8));
    return p;
}

struct pv_addr pv_netplan_sample(const struct pv_prefix *range, unsigned number)
{
    struct pv_addr a = range->base;
    const size_t len = pv_addr_ip_len(&a);
    const unsigned bits = (unsigned)(8 * len) - range->bits;
    if (len > 0 && (bits >= 8 || number < 1u << bits))
        a.ip[len - 1] |= (uint8_t)number;
    return a;
}

static bool range_is_sane(const struct pv_prefix *p)
{
    size_t len = pv_addr_ip_len(&p->base);
    if (len == 0 || p->bits > len * 8 || p->base.port != 0)
        return false;
    const struct pv_prefix range = pv_netplan_range(p);
    return pv_addr_equal(&range.base, &p->base);
}

static bool is_of_many(const struct pv_addr *a)
{
    return pv_addr_is_loopback(a) || pv_addr_is_unspecified(a) || pv_addr_is_link_local(a) ||
           pv_addr_is_multicast(a) || pv_addr_is_broadcast(a);
}

bool pv_netplan_is_target(const struct pv_prefix *p)
{
    return range_is_sane(p) && p->bits >= (p->base.family == PV_AF_INET6 ? LEAST6 : LEAST4) &&
           !is_of_many(&p->base);
}

static bool is_within(const struct pv_prefix *p, const struct pv_prefix *outer)
{
    return p->bits >= outer->bits && pv_prefix_contains(outer, &p->base);
}

bool pv_netplan_is_own(const struct pv_prefix *addr, const struct pv_prefix *more, size_t n_more)
{
    static const struct pv_prefix private[] = {
        {.base = {.family = PV_AF_INET, .ip = {10}}, .bits = 8},
        {.base = {.family = PV_AF_INET, .ip = {172, 16}}, .bits = 12},
        {.base = {.family = PV_AF_INET, .ip = {192, 168}}, .bits = 16},
        {.base = {.family = PV_AF_INET, .ip = {100, 64}}, .bits = 10},
        {.base = {.family = PV_AF_INET6, .ip = {0xfc}}, .bits = 7},
    };
    const struct pv_prefix range = pv_netplan_range(addr);
    bool found = false;
    if (addr->base.port != 0 || is_of_many(&addr->base) ||
        addr->bits > pv_addr_ip_len(&addr->base) * 8 || !pv_netplan_is_target(&range))
        return false;
    for (size_t i = 0; i < PV_ARRAY_LEN(private); i++)
        found = found || is_within(&range, &private[i]);
    for (size_t i = 0; i < n_more; i++)
        found = found || is_within(&range, &more[i]);
    return found;
}

static bool is_everything(const struct pv_prefix *p)
{
    return range_is_sane(p) && p->bits == 0 && pv_addr_is_unspecified(&p->base);
}

static bool overlay_is_sane(const struct pv_prefix *p, uint16_t family)
{
    return p->base.family == PV_AF_NONE || (p->base.family == family && pv_netplan_is_target(p));
}

int pv_netplan_check(const struct pv_netplan *plan)
{
    if (!pv_ifname_is_valid(plan->ifname) || !overlay_is_sane(&plan->overlay4, PV_AF_INET) ||
        !overlay_is_sane(&plan->overlay6, PV_AF_INET6) || plan->n_used > PV_NETPLAN_USED ||
        plan->n_offered > PV_NETPLAN_OFFERED)
        return PV_ERR_MALFORMED;
    for (size_t i = 0; i < plan->n_used; i++)
        if (!pv_netplan_is_target(&plan->used[i].prefix))
            return PV_ERR_MALFORMED;
    for (size_t i = 0; i < plan->n_offered; i++) {
        const struct pv_prefix *p = &plan->offered[i].prefix;
        const struct pv_prefix *from =
            p->base.family == PV_AF_INET6 ? &plan->overlay6 : &plan->overlay4;
        if ((!pv_netplan_is_target(p) && !is_everything(p)) || from->base.family == PV_AF_NONE)
            return PV_ERR_MALFORMED;
    }
    return PV_OK;
}

static bool is_same_prefix(const struct pv_prefix *a, const struct pv_prefix *b)
{
    return a->bits == b->bits && pv_addr_equal(&a->base, &b->base);
}

/* Field by field, because padding between fields may hold anything. */
bool pv_netplan_is_same(const struct pv_netplan *a, const struct pv_netplan *b)
{
    bool same = strcmp(a->ifname, b->ifname) == 0 && is_same_prefix(&a->overlay4, &b->overlay4) &&
                is_same_prefix(&a->overlay6, &b->overlay6) && a->exit == b->exit &&
                a->exit4 == b->exit4 && a->exit6 == b->exit6 && a->exit_lan == b->exit_lan &&
                a->exit_block == b->exit_block && a->n_used == b->n_used &&
                a->n_offered == b->n_offered;
    for (size_t i = 0; same && i < a->n_used; i++)
        same = is_same_prefix(&a->used[i].prefix, &b->used[i].prefix) &&
               a->used[i].metric == b->used[i].metric;
    for (size_t i = 0; same && i < a->n_offered; i++)
        same = is_same_prefix(&a->offered[i].prefix, &b->offered[i].prefix) &&
               a->offered[i].snat == b->offered[i].snat &&
               a->offered[i].linked == b->offered[i].linked;
    return same;
}

static bool is_same_link(const struct pv_netplan_link *a, const struct pv_netplan_link *b)
{
    return is_same_prefix(&a->prefix, &b->prefix) && strcmp(a->ifname, b->ifname) == 0 &&
           a->kind == b->kind;
}

bool pv_netplan_host_is_same(const struct pv_netplan_host *a, const struct pv_netplan_host *b)
{
    bool same = a->n_lan == b->n_lan && a->n_overlaps == b->n_overlaps &&
                a->exit_refused == b->exit_refused && a->guarded == b->guarded &&
                a->blocked == b->blocked && a->changes == b->changes &&
                strcmp(a->fault, b->fault) == 0;
    for (size_t i = 0; same && i < a->n_lan; i++)
        same = is_same_link(&a->lan[i], &b->lan[i]);
    for (size_t i = 0; same && i < a->n_overlaps; i++)
        same = is_same_prefix(&a->overlaps[i].used, &b->overlaps[i].used) &&
               is_same_link(&a->overlaps[i].other, &b->overlaps[i].other) &&
               a->overlaps[i].taken == b->overlaps[i].taken &&
               a->overlaps[i].table == b->overlaps[i].table &&
               a->overlaps[i].rule == b->overlaps[i].rule &&
               a->overlaps[i].own == b->overlaps[i].own;
    for (size_t i = 0; same && i < PV_NETPLAN_RESOLVERS; i++)
        same = pv_addr_equal_ip(&a->resolvers[i], &b->resolvers[i]);
    return same;
}

/* --- packets that go elsewhere ------------------------------------------------------------- */

const struct pv_netplan_overlap *pv_netplan_stray(const struct pv_netplan_host *host,
                                                  const struct pv_prefix *range)
{
    for (size_t i = 0; i < host->n_overlaps; i++)
        if (host->overlaps[i].table != 0 && is_same_prefix(&host->overlaps[i].used, range))
            return &host->overlaps[i];
    return NULL;
}

const char *pv_netplan_stray_text(const struct pv_netplan_overlap *o,
                                  char ret_text[static PV_NETPLAN_WAY])
{
    char range[PV_ADDR_TEXT];
    snprintf(ret_text, PV_NETPLAN_WAY, "programs' packets to %s %s%s: rule %u looks into table %u",
             o->used.bits == 0 ? "the internet" : pv_prefix_format(&o->used, range),
             o->other.ifname[0] != '\0' ? "leave by " : "are refused", o->other.ifname, o->rule,
             o->table);
    return ret_text;
}

/* A rule that sends all to the exit would send our own packets there, too. */
const char *pv_netplan_stray_remedy(const struct pv_netplan_overlap *o,
                                    char ret_text[static PV_NETPLAN_WAY])
{
    const char *v6 = o->used.base.family == PV_AF_INET6 ? "-6 " : "";
    char range[PV_ADDR_TEXT];
    if (o->own == 0 || o->rule <= 1 || o->rule >= MAIN_RULE)
        return pv_remedy_write(&PV_DO(remove_ip_rule, v6, v6, PV_STR("%u", o->table)), ret_text,
                               PV_NETPLAN_WAY);
    return pv_remedy_write(&PV_DO(add_ip_rule, v6, pv_prefix_format(&o->used, range),
                                  PV_STR("%u", o->own), PV_STR("%u", o->rule - 1)),
                           ret_text, PV_NETPLAN_WAY);
}
