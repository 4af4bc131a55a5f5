/* SPDX-License-Identifier: MIT */
/*
 * netlink.c - netlink's messages, this machine's addresses, and when to look at them again. Changes
 * come in bursts (a cable plugged in is twenty messages), so messages only start a clock and the
 * whole picture is taken once it is quiet: a picture cannot be incomplete in the way a log of
 * changes can.
 */
#include "sys/net/netlink.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "sys/net/inside.h"
#include "sys/net/netroutes.h"

enum {
    FIRST_LINKS = 64,   /* room for interfaces at first; doubled until it is enough */
    MOST_LINKS = 65536, /* ours: interfaces looked at; no sane host has them */
    /* Bytes; the kernel fills dumps into messages of at most this size (netlink(7)). */
    BUFFER = 32768,
    STRICT = 12, /* NETLINK_GET_STRICT_CHK, Linux 4.20: leaves out what was not asked for */
};

/* --- messages -------------------------------------------------------------------------------- */

/* All readers of netlink sockets share this. Nothing is read behind what the kernel has sent,
 * whatever lengths stand in it. */

int pv_nl_route_socket(uint32_t groups, int flags, bool inside, int *ret_fd)
{
    const int type = SOCK_RAW | SOCK_CLOEXEC | flags;
    int fd = inside ? pv_inside_socket(AF_NETLINK, type, NETLINK_ROUTE)
                    : socket(AF_NETLINK, type, NETLINK_ROUTE);
    if (fd < 0)
        return -errno;
    struct sockaddr_nl nl = {.nl_family = AF_NETLINK, .nl_groups = groups};
    if (bind(fd, (struct sockaddr *)&nl, sizeof(nl)) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return PV_OK;
}

bool pv_nl_attr_next(struct pv_view *rest, struct pv_nl_attr *ret)
{
    struct rtattr rta;
    if (rest->len < sizeof(rta))
        return false;
    memcpy(&rta, rest->ptr, sizeof(rta));
    if (rta.rta_len < sizeof(rta) || rta.rta_len > rest->len)
        return false;
    ret->type = rta.rta_type & 0x3fff; /* without NLA_F_NESTED and NLA_F_NET_BYTEORDER */
    ret->value = pv_view(rest->ptr + sizeof(rta), rta.rta_len - sizeof(rta));
    size_t step = RTA_ALIGN((size_t)rta.rta_len);
    if (step > rest->len)
        step = rest->len;
    *rest = pv_view(rest->ptr + step, rest->len - step);
    return true;
}

bool pv_nl_message_next(struct pv_view *rest, struct nlmsghdr *ret_hdr, struct pv_view *ret_body)
{
    if (rest->len < sizeof(*ret_hdr))
        return false;
    memcpy(ret_hdr, rest->ptr, sizeof(*ret_hdr));
    size_t len = ret_hdr->nlmsg_len;
    if (len < NLMSG_HDRLEN || len > rest->len)
        return false;
    *ret_body = pv_view(rest->ptr + NLMSG_HDRLEN, len - NLMSG_HDRLEN);
    size_t step = NLMSG_ALIGN(len) < rest->len ? NLMSG_ALIGN(len) : rest->len;
    *rest = pv_view(rest->ptr + step, rest->len - step);
    return true;
}

/* --- a picture ------------------------------------------------------------------------------- */

struct net_picture {
    struct pv_net_link *links; /* cap_links; by default ours, and grows */
    size_t n_links, cap_links;
    bool grows, failed;
    size_t last;            /* where the link of the last address was */
    bool inside;            /* of the interface's network */
    pv_net_take_addr *take; /* NULL: the interfaces alone */
    void *ctx;
};

/* --- attributes ---------------------------------------------------------------------------- */

static void copy_name(char dst[static PV_NET_IFNAME], struct pv_view text)
{
    size_t len = text.len < PV_NET_IFNAME - 1 ? text.len : PV_NET_IFNAME - 1;
    memset(dst, 0, PV_NET_IFNAME);
    memcpy(dst, text.ptr, len);
}

static bool name_starts_with(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool is_kind(struct pv_view kind, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(names[i]);
        if (kind.len >= len && memcmp(kind.ptr, names[i], len) == 0 &&
            (kind.len == len || kind.ptr[len] == '\0'))
            return true;
    }
    return false;
}

/* IFLA_LINKINFO: what the interface is made by. Tunnels and networks of containers are told apart
 * from others, because their addresses make poor candidates: the first may lead back into
 * ourselves, the second nowhere. */
static void read_kind(struct pv_net_link *link, struct pv_view info)
{
    static const char *const tunnels[] = {"tun",  "wireguard", "ipip", "gre",    "sit",  "vti",
                                          "xfrm", "ip6tnl",    "vti6", "ip6gre", "ovpn", "vxlan"};
    static const char *const bridges[] = {"bridge", "veth"};
    /* A bridge is a plain network too on many hosts; only the names runtimes use count. */
    static const char *const runtimes[] = {"docker", "br-", "veth", "virbr",   "cni",  "podman",
                                           "lxc",    "lxd", "cali", "flannel", "kube", "cbr"};
    struct pv_nl_attr a;
    while (pv_nl_attr_next(&info, &a)) {
        if (a.type != IFLA_INFO_KIND)
            continue;
        if (is_kind(a.value, tunnels, PV_ARRAY_LEN(tunnels)))
            link->tunnel = true;
        if (!is_kind(a.value, bridges, PV_ARRAY_LEN(bridges)))
            continue;
        for (size_t i = 0; i < PV_ARRAY_LEN(runtimes); i++)
            link->container = link->container || name_starts_with(link->name, runtimes[i]);
    }
}

/* False: there is no room, which of ours is a failure. */
static bool make_room(struct net_picture *pic)
{
    if (pic->n_links < pic->cap_links)
        return true;
    const size_t cap = pic->cap_links == 0 ? FIRST_LINKS : 2 * pic->cap_links;
    struct pv_net_link *links = NULL;
    if (pic->grows && cap <= MOST_LINKS)
        links = realloc(pic->links, cap * sizeof(*links));
    pic->failed = pic->failed || (pic->grows && links == NULL);
    if (links == NULL)
        return false;
    pic->links = links;
    pic->cap_links = cap;
    return true;
}

/* Interfaces are read before addresses, which name them by index only. */
static void read_link(struct net_picture *pic, struct pv_view body)
{
    struct ifinfomsg ifi;
    if (body.len < NLMSG_ALIGN(sizeof(ifi)) || !make_room(pic))
        return;
    memcpy(&ifi, body.ptr, sizeof(ifi));
    struct pv_net_link link = {
        .index = (uint32_t)ifi.ifi_index,
        .loopback = (ifi.ifi_flags & IFF_LOOPBACK) != 0,
        .tunnel = (ifi.ifi_flags & IFF_POINTOPOINT) != 0 || ifi.ifi_type == ARPHRD_NONE,
        .up = (ifi.ifi_flags & IFF_UP) != 0 && (ifi.ifi_flags & IFF_RUNNING) != 0,
        .off = (ifi.ifi_flags & IFF_UP) == 0,
    };
    struct pv_view attrs =
        pv_view(body.ptr + NLMSG_ALIGN(sizeof(ifi)), body.len - NLMSG_ALIGN(sizeof(ifi)));
    struct pv_view info = {0};
    struct pv_nl_attr a;
    while (pv_nl_attr_next(&attrs, &a)) {
        if (a.type == IFLA_IFNAME)
            copy_name(link.name, a.value);
        else if (a.type == IFLA_LINKINFO)
            info = a.value;
    }
    read_kind(&link, info);
    pic->links[pic->n_links++] = link;
}

/* The kernel lists both in one order, so the search goes on where the last one ended. */
static const struct pv_net_link *find_link(struct net_picture *pic, uint32_t index)
{
    for (size_t i = 0; i < pic->n_links; i++) {
        const size_t at = (pic->last + i) % pic->n_links;
        if (pic->links[at].index != index)
            continue;
        pic->last = at;
        return &pic->links[at];
    }
    return NULL;
}

/* Addresses that are not usable yet (tentative) or no longer (deprecated, duplicate) are in the
 * picture as down, so that their change is noticed. */
static void read_addr(struct net_picture *pic, struct pv_view body)
{
    struct ifaddrmsg ifa;
    if (body.len < NLMSG_ALIGN(sizeof(ifa)))
        return;
    memcpy(&ifa, body.ptr, sizeof(ifa));
    size_t ip_len = ifa.ifa_family == AF_INET ? 4 : 16;
    const struct pv_net_link *link = find_link(pic, ifa.ifa_index);
    if ((ifa.ifa_family != AF_INET && ifa.ifa_family != AF_INET6) || link == NULL)
        return;

    /* IFA_LOCAL is the own address where IFA_ADDRESS is the far end (point-to-point). */
    struct pv_view attrs =
        pv_view(body.ptr + NLMSG_ALIGN(sizeof(ifa)), body.len - NLMSG_ALIGN(sizeof(ifa)));
    struct pv_view ip = {0};
    uint32_t flags = ifa.ifa_flags;
    struct pv_nl_attr a;
    bool local = false;
    while (pv_nl_attr_next(&attrs, &a)) {
        if (a.value.len >= ip_len && (a.type == IFA_LOCAL || (a.type == IFA_ADDRESS && !local))) {
            ip = a.value;
            local = local || a.type == IFA_LOCAL;
        } else if (a.type == IFA_FLAGS && a.value.len >= sizeof(flags)) {
            memcpy(&flags, a.value.ptr, sizeof(flags));
        }
    }
    if (ip.len < ip_len)
        return;
    struct pv_net_addr out;
    memset(&out, 0, sizeof(out)); /* padding too: pictures are compared as bytes */
    out.addr.base.family = ifa.ifa_family;
    memcpy(out.addr.base.ip, ip.ptr, ip_len);
    out.addr.bits = ifa.ifa_prefixlen;
    out.ifindex = ifa.ifa_index;
    memcpy(out.ifname, link->name, sizeof(out.ifname));
    out.loopback = link->loopback;
    out.tunnel = link->tunnel;
    out.container = link->container;
    out.off = link->off;
    out.up = link->up && (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED)) == 0;
    if (!pv_addr_is_link_local(&out.addr.base))
        pic->take(pic->ctx, &out);
}

/* --- dumps --------------------------------------------------------------------------------- */

int pv_nl_ask(const struct nlmsghdr *req, bool inside, pv_nl_take *take, void *ctx)
{
    const struct timeval second = {.tv_sec = 1};
    const int on = 1;
    int fd = -1;
    int r = pv_nl_route_socket(0, 0, inside, &fd);
    if (r < 0)
        return r;
    uint8_t *buf = malloc(BUFFER);
    (void)setsockopt(fd, SOL_NETLINK, STRICT, &on, sizeof(on));
    if (buf == NULL)
        r = PV_ERR_NOMEM;
    else if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second)) < 0 ||
             send(fd, req, req->nlmsg_len, 0) < 0)
        r = -errno;
    for (bool done = false; r >= 0 && !done;) {
        struct nlmsghdr hdr;
        struct pv_view rest, body;
        ssize_t n = recv(fd, buf, BUFFER, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            r = n == 0 ? -EIO : -errno;
        rest = pv_view(buf, n > 0 ? (size_t)n : 0);
        while (!done && r >= 0 && pv_nl_message_next(&rest, &hdr, &body)) {
            done = hdr.nlmsg_type == NLMSG_DONE;
            if (hdr.nlmsg_type == NLMSG_ERROR)
                r = -EIO;
            else if (!done)
                take(ctx, hdr.nlmsg_type, body);
            done = done || (req->nlmsg_flags & NLM_F_DUMP) == 0;
        }
    }
    free(buf);
    close(fd);
    return r;
}

static void take_piece(void *ctx, uint16_t type, struct pv_view body)
{
    if (type == RTM_NEWLINK)
        read_link(ctx, body);
    else if (type == RTM_NEWADDR)
        read_addr(ctx, body);
}

/* Both lists of the picture. */
static int take_picture(struct net_picture *pic)
{
    const struct {
        struct nlmsghdr hdr;
        struct ifinfomsg body;
    } links = {.hdr = {.nlmsg_len = sizeof(links),
                       .nlmsg_type = RTM_GETLINK,
                       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
    const struct {
        struct nlmsghdr hdr;
        struct ifaddrmsg body;
    } addrs = {.hdr = {.nlmsg_len = sizeof(addrs),
                       .nlmsg_type = RTM_GETADDR,
                       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
    int r = pv_nl_ask(&links.hdr, pic->inside, take_piece, pic);
    if (r >= 0 && pic->failed)
        return PV_ERR_NOMEM;
    return r >= 0 && pic->take != NULL ? pv_nl_ask(&addrs.hdr, pic->inside, take_piece, pic) : r;
}

int pv_net_each_addr(bool inside, pv_net_take_addr *take, void *ctx)
{
    struct net_picture pic = {.grows = true, .inside = inside, .take = take, .ctx = ctx};
    int r = take_picture(&pic);
    free(pic.links);
    return r;
}

struct list {
    struct pv_net_addr *addrs;
    size_t cap, n;
};

static bool counts(const struct pv_net_addr *a)
{
    return a->up && !a->loopback;
}

/* In a full list an address that counts takes the place of the last one that does not. */
static void take_listed(void *ctx, const struct pv_net_addr *addr)
{
    struct list *l = ctx;
    if (l->n < l->cap) {
        l->addrs[l->n++] = *addr;
        return;
    }
    for (size_t i = l->n; counts(addr) && i-- > 0;) {
        if (counts(&l->addrs[i]))
            continue;
        memmove(&l->addrs[i], &l->addrs[i + 1], (l->n - 1 - i) * sizeof(l->addrs[0]));
        l->addrs[l->n - 1] = *addr;
        return;
    }
}

int pv_net_addrs(struct pv_net_addr *ret_addrs, size_t cap, size_t *ret_n)
{
    struct list l = {.addrs = ret_addrs, .cap = cap};
    int r = pv_net_each_addr(false, take_listed, &l);
    if (r >= 0)
        *ret_n = l.n;
    return r;
}

int pv_net_links(struct pv_net_link *ret_links, size_t cap, size_t *ret_n)
{
    struct net_picture pic = {.links = ret_links, .cap_links = cap};
    int r = take_picture(&pic);
    if (r >= 0)
        *ret_n = pic.n_links;
    return r;
}

int pv_net_find_link(const char *name, struct pv_net_link *ret_link)
{
    struct net_picture pic = {.grows = true};
    int r = take_picture(&pic), found = PV_ERR_NOT_FOUND;
    for (size_t i = 0; r >= 0 && i < pic.n_links; i++) {
        if (strcmp(pic.links[i].name, name) != 0)
            continue;
        *ret_link = pic.links[i];
        found = PV_OK;
    }
    free(pic.links);
    return r < 0 ? r : found;
}

/* --- monitor ------------------------------------------------------------------------------- */

/* A burst is told PV_NET_QUIET_MS after its last message, or PV_NET_LATEST_MS after its first one
 * if it does not end. */
struct pv_net_monitor {
    int fd;
    pv_ns first; /* of the burst that is under way; 0 = none */
    pv_ns last;
    bool rerouted;
    pv_ns own_at; /* when our own interface is to be looked at; 0 = not now */
};

int pv_net_monitor_new(struct pv_net_monitor **ret_mon)
{
    struct pv_net_monitor *mon = calloc(1, sizeof(*mon));
    if (mon == NULL)
        return PV_ERR_NOMEM;
    int r = pv_nl_route_socket(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                                   RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_IPV4_RULE |
                                   1u << (RTNLGRP_IPV6_RULE - 1),
                               SOCK_NONBLOCK, false, &mon->fd);
    if (r < 0) {
        free(mon);
        return r;
    }
    *ret_mon = mon;
    return PV_OK;
}

struct pv_net_monitor *pv_net_monitor_free(struct pv_net_monitor *mon)
{
    if (mon != NULL) {
        close(mon->fd);
        free(mon);
    }
    return NULL;
}

int pv_net_monitor_fd(const struct pv_net_monitor *mon)
{
    return mon->fd;
}

static void note_change(struct pv_net_monitor *mon, pv_ns now)
{
    if (mon->first == 0)
        mon->first = now;
    mon->last = now;
}

static void note_own(struct pv_net_monitor *mon, pv_ns now)
{
    if (mon->own_at == 0)
        mon->own_at = now + PV_MS(PV_NET_QUIET_MS);
}

/* The interface a route message is about; 0 when it does not say. */
static uint32_t route_ifindex(struct pv_view attrs)
{
    struct pv_nl_attr a;
    uint32_t index = 0;
    while (pv_nl_attr_next(&attrs, &a))
        if (a.type == RTA_OIF && a.value.len >= sizeof(index))
            memcpy(&index, a.value.ptr, sizeof(index));
    return index;
}

/* A changed default route means another way out although the addresses may be the same: NAT
 * bindings are gone then. */
static void take_route(struct pv_net_monitor *mon, struct pv_view body, uint32_t ignore, pv_ns now)
{
    struct rtmsg rtm;
    if (body.len < NLMSG_ALIGN(sizeof(rtm)))
        return;
    memcpy(&rtm, body.ptr, sizeof(rtm));
    uint32_t index = route_ifindex(
        pv_view(body.ptr + NLMSG_ALIGN(sizeof(rtm)), body.len - NLMSG_ALIGN(sizeof(rtm))));
    /* RTM_F_CLONED: the kernel's own cache of path MTUs and redirects. */
    if ((rtm.rtm_flags & RTM_F_CLONED) != 0 || rtm.rtm_protocol == PV_NET_PROTO_OWN)
        return;
    if (ignore != 0 && index == ignore) {
        note_own(mon, now);
        return;
    }
    note_change(mon, now);
    if (rtm.rtm_dst_len == 0)
        mon->rerouted = true;
}

/* Our own interface is changed by ourselves all the time; it has a clock of its own, so that it
 * never looks like a change of the world. */
static void take_message(struct pv_net_monitor *mon, const struct nlmsghdr *hdr,
                         struct pv_view body, uint32_t ignore, pv_ns now)
{
    struct ifinfomsg ifi;
    struct ifaddrmsg ifa;
    uint32_t index = 0;
    switch (hdr->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
        if (body.len >= sizeof(ifi)) {
            memcpy(&ifi, body.ptr, sizeof(ifi));
            index = (uint32_t)ifi.ifi_index;
        }
        break;
    case RTM_NEWADDR:
    case RTM_DELADDR:
        if (body.len >= sizeof(ifa)) {
            memcpy(&ifa, body.ptr, sizeof(ifa));
            index = ifa.ifa_index;
        }
        break;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        take_route(mon, body, ignore, now);
        return;
    case RTM_NEWRULE: /* ours among them; the picture says whether anything is otherwise */
    case RTM_DELRULE:
        note_change(mon, now);
        return;
    default:
        return;
    }
    if (ignore == 0 || index != ignore)
        note_change(mon, now);
    else
        note_own(mon, now);
}

/* Bounded: a machine that creates containers all day must not keep the control thread here. */
void pv_net_monitor_ready(struct pv_net_monitor *mon, uint32_t ignore_ifindex, pv_ns now)
{
    uint8_t buf[8192];
    for (int i = 0; i < 64; i++) {
        ssize_t n = recv(mon->fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n < 0 && errno == ENOBUFS) { /* messages were lost: anything may have happened */
            note_change(mon, now);
            note_own(mon, now);
            mon->rerouted = true;
            continue;
        }
        if (n <= 0)
            return;
        struct pv_view rest = pv_view(buf, (size_t)n), body;
        struct nlmsghdr hdr;
        while (pv_nl_message_next(&rest, &hdr, &body))
            take_message(mon, &hdr, body, ignore_ifindex, now);
    }
}

pv_ns pv_net_monitor_next(const struct pv_net_monitor *mon)
{
    if (mon->first == 0)
        return PV_NEVER;
    return pv_min_ns(mon->last + PV_MS(PV_NET_QUIET_MS), mon->first + PV_MS(PV_NET_LATEST_MS));
}

bool pv_net_monitor_due(struct pv_net_monitor *mon, pv_ns now, bool *ret_rerouted)
{
    if (now < pv_net_monitor_next(mon))
        return false;
    *ret_rerouted = mon->rerouted;
    mon->first = 0;
    mon->rerouted = false;
    return true;
}

pv_ns pv_net_monitor_next_own(const struct pv_net_monitor *mon)
{
    return mon->own_at == 0 ? PV_NEVER : mon->own_at;
}

bool pv_net_monitor_own_due(struct pv_net_monitor *mon, pv_ns now)
{
    if (now < pv_net_monitor_next_own(mon))
        return false;
    mon->own_at = 0;
    return true;
}
