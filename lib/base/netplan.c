/* SPDX-License-Identifier: MIT */
/*
 * netplan.c - plans as bytes. Big-endian, counted lists, every field checked on both sides: the
 * reader of a plan has rights that its writer has not.
 */
#include "base/netplan.h"

#include <string.h>

#include "base/bytes.h"

enum {
    VERSION = 1,
    FLAG_EXIT = 1,
    FLAG_EXIT4 = 2,
    FLAG_EXIT6 = 4,
    FLAG_LAN = 8,
    FLAG_BLOCK = 16,
    FLAGS = 31,
    OFFER_SNAT = 1,
    OFFER_LINKED = 2,
    OFFER_FLAGS = 3,
    LEAST4 = 8, /* bits: two shorter ones would be a default route by another name */
    LEAST6 = 16,
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

/* --- plans --------------------------------------------------------------------------------- */

static void put_prefix(struct pv_writer *w, const struct pv_prefix *p)
{
    size_t len = pv_addr_ip_len(&p->base);
    pv_put_u8(w, (uint8_t)len);
    if (len > 0) {
        pv_put_u8(w, p->bits);
        pv_put_bytes(w, p->base.ip, len);
    }
}

static struct pv_prefix get_prefix(struct pv_reader *r)
{
    struct pv_prefix p = {.base = {.family = PV_AF_NONE}};
    uint8_t len = pv_get_u8(r);
    if (len == 0)
        return p;
    if (len != PV_IP4_LEN && len != PV_IP6_LEN) {
        pv_reader_fail(r, PV_ERR_MALFORMED);
        return p;
    }
    p.base.family = len == PV_IP4_LEN ? PV_AF_INET : PV_AF_INET6;
    p.bits = pv_get_u8(r);
    pv_get_copy(r, p.base.ip, len);
    return p;
}

static bool get_bool(struct pv_reader *r)
{
    uint8_t v = pv_get_u8(r);
    if (v > 1)
        pv_reader_fail(r, PV_ERR_MALFORMED);
    return v == 1;
}

static size_t get_count(struct pv_reader *r, size_t most)
{
    size_t n = pv_get_u8(r);
    if (n > most)
        pv_reader_fail(r, PV_ERR_LIMIT);
    return r->status == PV_OK ? n : 0;
}

/* One form only: it ends with a NUL, and nothing follows that. */
static void get_name(struct pv_reader *r, char name[static PV_NETPLAN_IFNAME])
{
    pv_get_copy(r, name, PV_NETPLAN_IFNAME);
    size_t len = strnlen(name, PV_NETPLAN_IFNAME);
    if (len == PV_NETPLAN_IFNAME)
        pv_reader_fail(r, PV_ERR_MALFORMED);
    for (size_t i = len; i < PV_NETPLAN_IFNAME; i++)
        if (name[i] != '\0')
            pv_reader_fail(r, PV_ERR_MALFORMED);
}

static void put_name(struct pv_writer *w, const char name[static PV_NETPLAN_IFNAME])
{
    char padded[PV_NETPLAN_IFNAME] = "";
    memcpy(padded, name, strnlen(name, PV_NETPLAN_IFNAME - 1));
    pv_put_bytes(w, padded, sizeof(padded));
}

int pv_netplan_encode(const struct pv_netplan *plan, uint8_t *dst, size_t cap)
{
    struct pv_writer w = pv_writer(dst, cap);
    int r = pv_netplan_check(plan);
    if (r < 0)
        return r;
    pv_put_u8(&w, VERSION);
    put_name(&w, plan->ifname);
    put_prefix(&w, &plan->overlay4);
    put_prefix(&w, &plan->overlay6);
    pv_put_u8(&w, (uint8_t)((plan->exit ? FLAG_EXIT : 0) | (plan->exit4 ? FLAG_EXIT4 : 0) |
                            (plan->exit6 ? FLAG_EXIT6 : 0) | (plan->exit_lan ? FLAG_LAN : 0) |
                            (plan->exit_block ? FLAG_BLOCK : 0)));
    pv_put_u8(&w, (uint8_t)plan->n_used);
    for (size_t i = 0; i < plan->n_used; i++) {
        put_prefix(&w, &plan->used[i].prefix);
        pv_put_u32(&w, plan->used[i].metric);
    }
    pv_put_u8(&w, (uint8_t)plan->n_offered);
    for (size_t i = 0; i < plan->n_offered; i++) {
        put_prefix(&w, &plan->offered[i].prefix);
        pv_put_u8(&w, (uint8_t)((plan->offered[i].snat ? OFFER_SNAT : 0) |
                                (plan->offered[i].linked ? OFFER_LINKED : 0)));
    }
    return w.status < 0 ? w.status : (int)w.len;
}

int pv_netplan_decode(struct pv_view bytes, struct pv_netplan *ret_plan)
{
    struct pv_reader r = pv_reader(bytes);
    struct pv_netplan p = {.n_used = 0};
    if (pv_get_u8(&r) != VERSION)
        pv_reader_fail(&r, PV_ERR_MALFORMED);
    get_name(&r, p.ifname);
    p.overlay4 = get_prefix(&r);
    p.overlay6 = get_prefix(&r);
    uint8_t flags = pv_get_u8(&r);
    if ((flags & ~FLAGS) != 0)
        pv_reader_fail(&r, PV_ERR_MALFORMED);
    p.exit = (flags & FLAG_EXIT) != 0;
    p.exit4 = (flags & FLAG_EXIT4) != 0;
    p.exit6 = (flags & FLAG_EXIT6) != 0;
    p.exit_lan = (flags & FLAG_LAN) != 0;
    p.exit_block = (flags & FLAG_BLOCK) != 0;
    p.n_used = get_count(&r, PV_NETPLAN_USED);
    for (size_t i = 0; i < p.n_used; i++) {
        p.used[i].prefix = get_prefix(&r);
        p.used[i].metric = pv_get_u32(&r);
    }
    p.n_offered = get_count(&r, PV_NETPLAN_OFFERED);
    for (size_t i = 0; i < p.n_offered; i++) {
        p.offered[i].prefix = get_prefix(&r);
        uint8_t offer = pv_get_u8(&r);
        if ((offer & ~OFFER_FLAGS) != 0)
            pv_reader_fail(&r, PV_ERR_MALFORMED);
        p.offered[i].snat = (offer & OFFER_SNAT) != 0;
        p.offered[i].linked = (offer & OFFER_LINKED) != 0;
    }
    int end = pv_reader_end(&r);
    if (end == PV_OK)
        end = pv_netplan_check(&p);
    if (end == PV_OK)
        *ret_plan = p;
    return end;
}

/* --- what the host says -------------------------------------------------------------------- */

/* An address without a port, or none. */
static void put_ip(struct pv_writer *w, const struct pv_addr *a)
{
    size_t len = pv_addr_ip_len(a);
    pv_put_u8(w, (uint8_t)len);
    pv_put_bytes(w, a->ip, len);
}

static struct pv_addr get_ip(struct pv_reader *r)
{
    struct pv_addr a = {.family = PV_AF_NONE};
    uint8_t len = pv_get_u8(r);
    if (len != 0 && len != PV_IP4_LEN && len != PV_IP6_LEN)
        pv_reader_fail(r, PV_ERR_MALFORMED);
    else if (len != 0)
        a.family = len == PV_IP4_LEN ? PV_AF_INET : PV_AF_INET6;
    pv_get_copy(r, a.ip, pv_addr_ip_len(&a));
    return a;
}

static void put_link(struct pv_writer *w, const struct pv_netplan_link *l)
{
    put_prefix(w, &l->prefix);
    put_name(w, l->ifname);
    pv_put_u8(w, (uint8_t)l->kind);
}

static struct pv_netplan_link get_link(struct pv_reader *r)
{
    struct pv_netplan_link l = {.prefix = get_prefix(r)};
    get_name(r, l.ifname);
    uint8_t kind = pv_get_u8(r);
    if (kind >= PV_NETPLAN_KINDS || !range_is_sane(&l.prefix))
        pv_reader_fail(r, PV_ERR_MALFORMED);
    else
        l.kind = (enum pv_netplan_kind)kind;
    return l;
}

int pv_netplan_host_encode(const struct pv_netplan_host *host, uint8_t *dst, size_t cap)
{
    struct pv_writer w = pv_writer(dst, cap);
    size_t text = strnlen(host->fault, sizeof(host->fault));
    if (host->n_lan > PV_NETPLAN_LINKS || host->n_overlaps > PV_NETPLAN_OVERLAPS ||
        text == sizeof(host->fault))
        return PV_ERR_MALFORMED;
    pv_put_u8(&w, VERSION);
    pv_put_u8(&w, (uint8_t)host->n_lan);
    for (size_t i = 0; i < host->n_lan; i++)
        put_link(&w, &host->lan[i]);
    pv_put_u8(&w, (uint8_t)host->n_overlaps);
    for (size_t i = 0; i < host->n_overlaps; i++) {
        put_prefix(&w, &host->overlaps[i].used);
        put_link(&w, &host->overlaps[i].other);
        pv_put_u8(&w, host->overlaps[i].connected ? 1 : 0);
    }
    pv_put_view16(&w, pv_view(host->fault, text));
    pv_put_u8(&w, host->blocked ? 1 : 0);
    for (size_t i = 0; i < PV_NETPLAN_RESOLVERS; i++)
        put_ip(&w, &host->resolvers[i]);
    return w.status < 0 ? w.status : (int)w.len;
}

int pv_netplan_host_decode(struct pv_view bytes, struct pv_netplan_host *ret_host)
{
    struct pv_reader r = pv_reader(bytes);
    memset(ret_host, 0, sizeof(*ret_host));
    if (pv_get_u8(&r) != VERSION)
        pv_reader_fail(&r, PV_ERR_MALFORMED);
    ret_host->n_lan = get_count(&r, PV_NETPLAN_LINKS);
    for (size_t i = 0; i < ret_host->n_lan; i++)
        ret_host->lan[i] = get_link(&r);
    ret_host->n_overlaps = get_count(&r, PV_NETPLAN_OVERLAPS);
    for (size_t i = 0; i < ret_host->n_overlaps; i++) {
        struct pv_netplan_overlap *o = &ret_host->overlaps[i];
        o->used = get_prefix(&r);
        if (!range_is_sane(&o->used))
            pv_reader_fail(&r, PV_ERR_MALFORMED);
        o->other = get_link(&r);
        o->connected = get_bool(&r);
    }
    struct pv_view text = pv_get_view16(&r, sizeof(ret_host->fault) - 1);
    if (text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL)
        pv_reader_fail(&r, PV_ERR_MALFORMED);
    if (r.status == PV_OK && text.len > 0)
        memcpy(ret_host->fault, text.ptr, text.len);
    ret_host->blocked = get_bool(&r);
    for (size_t i = 0; i < PV_NETPLAN_RESOLVERS; i++)
        ret_host->resolvers[i] = get_ip(&r);
    int end = pv_reader_end(&r);
    if (end < 0)
        memset(ret_host, 0, sizeof(*ret_host));
    return end;
}
