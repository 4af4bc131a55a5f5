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
    ATTRS = 40,           /* bytes: a destination's address, and two numbers */
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
    pv_net_take_route *take;
    void *ctx;
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

/* RTA_MULTIPATH: one way of several without a router is enough. */
static bool all_have_routers(const struct pv_net_route *r, struct pv_view hops)
{
    struct rtnexthop hop;
    while (hops.len >= sizeof(hop)) {
        struct pv_nl_attr a;
        bool via = false;
        memcpy(&hop, hops.ptr, sizeof(hop));
        if (hop.rtnh_len < sizeof(hop) || hop.rtnh_len > hops.len)
            return false;
        struct pv_view attrs = pv_view(hops.ptr + sizeof(hop), hop.rtnh_len - sizeof(hop));
        while (pv_nl_attr_next(&attrs, &a))
            via = via || names_router(r, &a);
        if (!via)
            return false;
        size_t step = ((size_t)hop.rtnh_len + RTNH_ALIGNTO - 1) / RTNH_ALIGNTO * RTNH_ALIGNTO;
        hops = step < hops.len ? pv_view(hops.ptr + step, hops.len - step) : pv_view(NULL, 0);
    }
    return true;
}

/* RTM_NEWROUTE: the header has the table's low byte, the attribute all of it. Returns false if
 * pv_net_routes() does not tell such a route. */
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
    }
    *ret_route = r;
    return true;
}

static void take_route(void *ctx, uint16_t type, struct pv_view body)
{
    const struct route_dump *d = ctx;
    struct pv_net_route r;
    if (read_route(type, body, &r) && is_wanted(d->query, &r))
        d->take(d->ctx, &r);
}

int pv_net_each_route(const struct pv_net_route_query *query, pv_net_take_route *take, void *ctx)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    struct route_dump d = {.query = query, .take = take, .ctx = ctx};
    int r = PV_OK;
    for (size_t i = 0; i < PV_ARRAY_LEN(families) && r >= 0; i++) {
        const struct rtmsg what = {.rtm_family = families[i], .rtm_protocol = query->proto};
        struct request req = request_of(RTM_GETROUTE, NLM_F_DUMP, &what);
        if (query->ifindex != 0)
            add_attr(&req, RTA_OIF, pv_view(&query->ifindex, sizeof(query->ifindex)));
        r = pv_nl_ask(&req.hdr, query->inside, take_route, &d);
    }
    return r;
}

struct route_list {
    struct pv_net_route *routes;
    size_t cap, n;
};

static void take_listed(void *ctx, const struct pv_net_route *r)
{
    struct route_list *l = ctx;
    if (l->n < l->cap)
        l->routes[l->n++] = *r;
}

int pv_net_routes(const struct pv_net_route_query *query, struct pv_net_route *ret_routes,
                  size_t cap, size_t *ret_n)
{
    struct route_list l = {.routes = ret_routes, .cap = cap};
    int r = pv_net_each_route(query, take_listed, &l);
    *ret_n = l.n;
    return r;
}

/* The answer about one destination: it is CACHED by its nature. */
static void take_way(void *ctx, uint16_t type, struct pv_view body)
{
    struct pv_net_way *way = ctx;
    struct rtmsg rtm;
    struct pv_nl_attr a;
    if (type != RTM_NEWROUTE || body.len < sizeof(rtm))
        return;
    memcpy(&rtm, body.ptr, sizeof(rtm));
    const size_t ip_len = rtm.rtm_family == AF_INET ? PV_IP4_LEN : PV_IP6_LEN;
    struct pv_view attrs = pv_view(body.ptr + sizeof(rtm), body.len - sizeof(rtm));
    way->table = rtm.rtm_table;
    while (rtm.rtm_type == RTN_UNICAST && pv_nl_attr_next(&attrs, &a)) {
        if (a.type == RTA_OIF)
            copy_u32(a.value, &way->ifindex);
        else if (a.type == RTA_TABLE)
            copy_u32(a.value, &way->table);
        else if (a.type == RTA_PREFSRC && a.value.len >= ip_len) {
            way->source.family = rtm.rtm_family;
            memcpy(way->source.ip, a.value.ptr, ip_len);
        } else if (a.type == RTA_GATEWAY && a.value.len >= ip_len) {
            way->router.family = rtm.rtm_family;
            memcpy(way->router.ip, a.value.ptr, ip_len);
        }
    }
}

int pv_net_way(const struct pv_addr *dst, const struct pv_net_sender *from,
               struct pv_net_way *ret_way)
{
    const size_t ip_len = pv_addr_ip_len(dst);
    const struct rtmsg what = {.rtm_family = (uint8_t)dst->family,
                               .rtm_dst_len = (uint8_t)(ip_len * 8),
                               /* IPv6 tells the table unasked, and refuses the flag. */
                               .rtm_flags = dst->family == PV_AF_INET ? RTM_F_LOOKUP_TABLE : 0};
    struct request req = request_of(RTM_GETROUTE, 0, &what);
    add_attr(&req, RTA_DST, pv_view(dst->ip, ip_len));
    add_attr(&req, RTA_MARK, pv_view(&from->mark, sizeof(from->mark)));
    if (from->uid != PV_NET_SELF)
        add_attr(&req, RTA_UID, pv_view(&from->uid, sizeof(from->uid)));
    memset(ret_way, 0, sizeof(*ret_way));
    int r = pv_nl_ask(&req.hdr, false, take_way, ret_way);
    if (r == -EIO ||
        (r >= 0 && ret_way->ifindex == 0)) /* the kernel's answer is an error of its own */
        return PV_ERR_NOT_FOUND;
    return r;
}

struct pv_addr pv_net_far(uint16_t family)
{
    static const uint8_t far6[PV_IP6_LEN] = {0x20, 0x01, 0x05, 0x03, 0x0b, 0xa3, 0, 0,
                                             0,    0,    0,    0,    0,    2,    0, 0x30};
    return family == PV_AF_INET6 ? pv_addr6(far6, 0) : pv_addr4(198, 41, 0, 4, 0);
}

/* --- rules --------------------------------------------------------------------------------- */

/* One rule, as far as it is looked at. */
struct rule {
    uint32_t table, priority;
    uint8_t proto;
};

static bool read_rule(uint16_t type, struct pv_view body, struct rule *ret_rule)
{
    struct fib_rule_hdr head;
    struct pv_nl_attr a;
    if (type != RTM_NEWRULE || body.len < sizeof(head))
        return false;
    memcpy(&head, body.ptr, sizeof(head));
    *ret_rule = (struct rule){.table = head.action == FR_ACT_TO_TBL ? head.table : RT_TABLE_UNSPEC};
    struct pv_view attrs = pv_view(body.ptr + sizeof(head), body.len - sizeof(head));
    while (pv_nl_attr_next(&attrs, &a)) {
        if (a.type == FRA_PROTOCOL && a.value.len >= 1)
            ret_rule->proto = a.value.ptr[0];
        else if (a.type == FRA_TABLE && head.action == FR_ACT_TO_TBL)
            copy_u32(a.value, &ret_rule->table);
        else if (a.type == FRA_PRIORITY)
            copy_u32(a.value, &ret_rule->priority);
    }
    return true;
}

struct rule_dump {
    uint8_t proto;  /* counts routes of this protocol; 0: none */
    uint32_t table; /* looks for the first that looks into this table */
    size_t n;       /* found */
    uint32_t first; /* its priority */
};

static void take_rule(void *ctx, uint16_t type, struct pv_view body)
{
    struct rule_dump *d = ctx;
    struct rule r;
    if (!read_rule(type, body, &r))
        return;
    if (d->proto != 0) {
        d->n += r.proto == d->proto;
    } else if (r.table == d->table && (d->n == 0 || r.priority < d->first)) {
        d->n++;
        d->first = r.priority;
    }
}

static int dump_rules(uint16_t family, struct rule_dump *d)
{
    const struct rtmsg what = {.rtm_family = (uint8_t)family};
    _Static_assert(sizeof(struct fib_rule_hdr) == sizeof(struct rtmsg), "one request fits both");
    const struct request req = request_of(RTM_GETRULE, NLM_F_DUMP, &what);
    return pv_nl_ask(&req.hdr, false, take_rule, d);
}

int pv_net_rules(uint16_t family, uint8_t proto, size_t *ret_n)
{
    struct rule_dump d = {.proto = proto};
    int r = dump_rules(family, &d);
    *ret_n = d.n;
    return r;
}

int pv_net_rule_of(uint16_t family, uint32_t table, uint32_t *ret_priority)
{
    struct rule_dump d = {.table = table};
    int r = dump_rules(family, &d);
    *ret_priority = d.first;
    return r >= 0 && d.n == 0 ? PV_ERR_NOT_FOUND : r;
}
