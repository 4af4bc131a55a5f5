/* SPDX-License-Identifier: MIT */
/*
 * netroutes.c - routes and rules by rtnetlink dumps. The kernel is asked to leave out what is not
 * wanted; what it sends all the same is left out here.
 */
#include "sys/net/netroutes.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "sys/net/netlink.h"

enum {
    RULE_PROTOCOL = 21,   /* FRA_PROTOCOL */
    RULE_HEADER = 12,     /* bytes of struct fib_rule_hdr */
    ATTRS = 32,           /* bytes: a destination's address, and a number */
    CACHED = RTM_F_CLONED /* the kernel's memory of path MTUs and redirects */
};

/* A request for routes or rules: a struct rtmsg, and attributes behind it. */
struct request {
    struct nlmsghdr hdr;
    struct rtmsg body;
    uint8_t attrs[ATTRS];
};

static struct request request_of(uint16_t type, uint16_t flags, const struct rtmsg *what)
{
    return (struct request){.hdr = {.nlmsg_len = offsetof(struct request, attrs),
                                    .nlmsg_type = type,
                                    .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
                                    .nlmsg_seq = type},
                            .body = *what};
}

static void add_attr(struct request *req, uint16_t type, struct pv_view value)
{
    const size_t at = req->hdr.nlmsg_len - offsetof(struct request, attrs);
    const struct rtattr a = {.rta_len = (uint16_t)RTA_LENGTH(value.len), .rta_type = type};
    memcpy(req->attrs + at, &a, sizeof(a));
    memcpy(req->attrs + at + sizeof(a), value.ptr, value.len);
    req->hdr.nlmsg_len += (uint32_t)RTA_ALIGN(a.rta_len);
}

/* --- routes -------------------------------------------------------------------------------- */

struct route_dump {
    const struct pv_net_route_query *query;
    struct pv_net_route *routes;
    size_t cap, n;
};

static bool is_wanted(const struct pv_net_route_query *q, const struct pv_net_route *r)
{
    return (q->table == 0 || r->table == q->table) && (q->proto == 0 || r->proto == q->proto) &&
           (q->ifindex == 0 || r->ifindex == q->ifindex);
}

static bool read_type(uint8_t type, enum pv_net_route_type *ret_type)
{
    if (type != RTN_UNICAST && type != RTN_THROW && type != RTN_UNREACHABLE &&
        type != RTN_BLACKHOLE && type != RTN_PROHIBIT)
        return false;
    *ret_type = type == RTN_UNICAST ? PV_NET_ROUTE_UNICAST
                : type == RTN_THROW ? PV_NET_ROUTE_THROW
                                    : PV_NET_ROUTE_UNREACHABLE;
    return true;
}

static void copy_u32(struct pv_view v, uint32_t *dst)
{
    if (v.len >= sizeof(*dst))
        memcpy(dst, v.ptr, sizeof(*dst));
}

/* Whether packets go to a router, and not to their destination itself. */
static bool names_router(const struct pv_net_route *r, const struct pv_nl_attr *a)
{
    const size_t len = pv_addr_ip_len(&r->dst.base);
    return a->type == RTA_VIA ||
           (a->type == RTA_GATEWAY && (r->dst.bits < len * 8 || a->value.len < len ||
                                       memcmp(a->value.ptr, r->dst.base.ip, len) != 0));
}

/* The first one counts. ifindex: what leads there, of one way of several. */
static void note_router(struct pv_net_route *r, const struct pv_nl_attr *a, uint32_t ifindex)
{
    const size_t len = pv_addr_ip_len(&r->dst.base);
    if (a->type != RTA_GATEWAY || a->value.len < len || r->router.family != PV_AF_NONE)
        return;
    r->router.family = r->dst.base.family;
    memcpy(r->router.ip, a->value.ptr, len);
    r->router_ifindex = ifindex;
}

/* RTA_MULTIPATH: one way of several without a router is enough. */
static bool all_have_routers(struct pv_net_route *r, struct pv_view hops)
{
    struct rtnexthop hop;
    while (hops.len >= sizeof(hop)) {
        struct pv_nl_attr a;
        bool via = false;
        memcpy(&hop, hops.ptr, sizeof(hop));
        if (hop.rtnh_len < sizeof(hop) || hop.rtnh_len > hops.len)
            return false;
        struct pv_view attrs = pv_view(hops.ptr + sizeof(hop), hop.rtnh_len - sizeof(hop));
        while (pv_nl_attr_next(&attrs, &a)) {
            via = via || names_router(r, &a);
            note_router(r, &a, (uint32_t)hop.rtnh_ifindex);
        }
        if (!via)
            return false;
        size_t step = ((size_t)hop.rtnh_len + RTNH_ALIGNTO - 1) / RTNH_ALIGNTO * RTNH_ALIGNTO;
        hops = step < hops.len ? pv_view(hops.ptr + step, hops.len - step) : pv_view(NULL, 0);
    }
    return true;
}

/* RTM_NEWROUTE: the header has the table's low byte, the attribute all of it. False: it is none of
 * those that pv_net_routes() tells. */
static bool read_route(uint16_t type, struct pv_view body, struct pv_net_route *ret_route)
{
    struct rtmsg rtm;
    struct pv_nl_attr a;
    if (type != RTM_NEWROUTE || body.len < sizeof(rtm))
        return false;
    memcpy(&rtm, body.ptr, sizeof(rtm));
    size_t ip_len = rtm.rtm_family == AF_INET ? PV_IP4_LEN : PV_IP6_LEN;
    struct pv_net_route r = {.table = rtm.rtm_table, .proto = rtm.rtm_protocol};
    if ((rtm.rtm_family != AF_INET && rtm.rtm_family != AF_INET6) || rtm.rtm_dst_len > ip_len * 8 ||
        (rtm.rtm_flags & CACHED) != 0 || !read_type(rtm.rtm_type, &r.type))
        return false;
    r.dst.base.family = rtm.rtm_family;
    r.dst.bits = rtm.rtm_dst_len;
    struct pv_view attrs = pv_view(body.ptr + sizeof(rtm), body.len - sizeof(rtm));
    while (pv_nl_attr_next(&attrs, &a)) {
        if (a.type == RTA_DST && a.value.len >= ip_len)
            memcpy(r.dst.base.ip, a.value.ptr, ip_len);
        else if (a.type == RTA_TABLE)
            copy_u32(a.value, &r.table);
        else if (a.type == RTA_OIF)
            copy_u32(a.value, &r.ifindex);
        else if (a.type == RTA_PRIORITY)
            copy_u32(a.value, &r.metric);
        else if (a.type == RTA_MULTIPATH)
            r.via = all_have_routers(&r, a.value);
        else
            r.via = r.via || names_router(&r, &a);
        note_router(&r, &a, 0);
    }
    if (r.router_ifindex == 0)
        r.router_ifindex = r.ifindex;
    *ret_route = r;
    return true;
}

static void take_route(void *ctx, uint16_t type, struct pv_view body)
{
    struct route_dump *d = ctx;
    struct pv_net_route r;
    if (d->n < d->cap && read_route(type, body, &r) && is_wanted(d->query, &r))
        d->routes[d->n++] = r;
}

int pv_net_routes(const struct pv_net_route_query *query, struct pv_net_route *ret_routes,
                  size_t cap, size_t *ret_n)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    struct route_dump d = {.query = query, .routes = ret_routes, .cap = cap};
    int r = PV_OK;
    for (size_t i = 0; i < PV_ARRAY_LEN(families) && r >= 0; i++) {
        const struct rtmsg what = {.rtm_family = families[i], .rtm_protocol = query->proto};
        struct request req = request_of(RTM_GETROUTE, NLM_F_DUMP, &what);
        if (query->ifindex != 0)
            add_attr(&req, RTA_OIF, pv_view(&query->ifindex, sizeof(query->ifindex)));
        r = pv_nl_ask(&req.hdr, query->inside, take_route, &d);
    }
    *ret_n = d.n;
    return r;
}

/* The answer about one destination: it is CACHED by its nature. */
static void take_way(void *ctx, uint16_t type, struct pv_view body)
{
    uint32_t *ifindex = ctx;
    struct rtmsg rtm;
    struct pv_nl_attr a;
    if (type != RTM_NEWROUTE || body.len < sizeof(rtm))
        return;
    memcpy(&rtm, body.ptr, sizeof(rtm));
    struct pv_view attrs = pv_view(body.ptr + sizeof(rtm), body.len - sizeof(rtm));
    while (rtm.rtm_type == RTN_UNICAST && pv_nl_attr_next(&attrs, &a))
        if (a.type == RTA_OIF)
            copy_u32(a.value, ifindex);
}

int pv_net_way(const struct pv_addr *dst, uint32_t mark, uint32_t *ret_ifindex)
{
    const size_t ip_len = pv_addr_ip_len(dst);
    const struct rtmsg what = {.rtm_family = (uint8_t)dst->family,
                               .rtm_dst_len = (uint8_t)(ip_len * 8)};
    uint32_t ifindex = 0;
    struct request req = request_of(RTM_GETROUTE, 0, &what);
    add_attr(&req, RTA_DST, pv_view(dst->ip, ip_len));
    add_attr(&req, RTA_MARK, pv_view(&mark, sizeof(mark)));
    int r = pv_nl_ask(&req.hdr, false, take_way, &ifindex);
    if (r == -EIO || (r >= 0 && ifindex == 0)) /* the kernel's answer is an error of its own */
        return PV_ERR_NOT_FOUND;
    if (r >= 0)
        *ret_ifindex = ifindex;
    return r;
}

/* The lowest metric is the route that the kernel would take. */
static void take_default(void *ctx, uint16_t type, struct pv_view body)
{
    struct pv_net_route *best = ctx, r;
    if (read_route(type, body, &r) && r.dst.bits == 0 && r.table == RT_TABLE_MAIN &&
        r.type == PV_NET_ROUTE_UNICAST && r.router.family == best->dst.base.family &&
        (best->router.family == PV_AF_NONE || r.metric < best->metric))
        *best = r;
}

int pv_net_router(uint16_t family, struct pv_addr *ret_router, uint32_t *ret_ifindex)
{
    const struct rtmsg what = {.rtm_family = (uint8_t)family};
    struct pv_net_route best = {.dst.base.family = family};
    const struct request req = request_of(RTM_GETROUTE, NLM_F_DUMP, &what);
    int r = pv_nl_ask(&req.hdr, false, take_default, &best);
    if (r >= 0 && best.router.family == PV_AF_NONE)
        return PV_ERR_NOT_FOUND;
    *ret_router = best.router;
    *ret_ifindex = best.router_ifindex;
    return r;
}

/* --- rules --------------------------------------------------------------------------------- */

struct rule_dump {
    uint8_t proto;
    size_t n;
};

static void take_rule(void *ctx, uint16_t type, struct pv_view body)
{
    struct rule_dump *d = ctx;
    struct pv_nl_attr a;
    if (type != RTM_NEWRULE || body.len < RULE_HEADER)
        return;
    struct pv_view attrs = pv_view(body.ptr + RULE_HEADER, body.len - RULE_HEADER);
    while (pv_nl_attr_next(&attrs, &a))
        if (a.type == RULE_PROTOCOL && a.value.len >= 1 && a.value.ptr[0] == d->proto)
            d->n++;
}

int pv_net_rules(uint16_t family, uint8_t proto, size_t *ret_n)
{
    const struct rtmsg what = {.rtm_family = (uint8_t)family};
    struct rule_dump d = {.proto = proto};
    _Static_assert(sizeof(struct fib_rule_hdr) == RULE_HEADER, "as long as struct rtmsg");
    const struct request req = request_of(RTM_GETRULE, NLM_F_DUMP, &what);
    int r = pv_nl_ask(&req.hdr, false, take_rule, &d);
    *ret_n = d.n;
    return r;
}
