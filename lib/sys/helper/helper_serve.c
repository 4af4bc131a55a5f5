/* SPDX-License-Identifier: MIT */
/*
 * helper_serve.c - the helper's side: checks each request and does it. Requests come from a process
 * that may have been taken over, so every field is checked again, and nothing is done that the
 * settings did not imply: no path, no command and no name of an interface crosses the socket but in
 * the first phase, when the daemon has read nothing else yet. Everything is set by `ip`, so that a
 * person can repeat it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/netplan.h"
#include "base/remedy.h"
#include "base/text.h"
#include "sys/helper/helper_proto.h"
#include "sys/helper/hostctl.h"
#include "sys/helper/hostnet.h"
#include "sys/helper/networds.h"
#include "sys/net/ipcmd.h"
#include "sys/net/netlink.h"
#include "sys/net/netroutes.h"
#include "sys/net/resolved.h"
#include "sys/net/stream.h"
#include "sys/net/udp.h"
#include "sys/net/unixsock.h"
#include "sys/proc/child.h"
#include "sys/proc/clock.h"
#include "sys/proc/procinfo.h"
#include "sys/proc/sandbox.h"

enum {
    DNS_PORT = 53,     /* RFC 1035 s4.2.1 */
    MTU_MIN_V6 = 1280, /* bytes, RFC 8200 s5 */
    PORTS_OF_ROOT = 1024,
    NOBODY = 65534, /* user and group, where every other number is taken */
    /* packets, PERFORMANCE "The TUN": 500 is no burst limit a fast local sender meets */
    TX_QUEUE = 1000,
    METRIC_V6 = 1024, /* what the kernel gives an IPv6 route that says none (IP6_RT_PRIO_USER) */
    METRIC_V6_NETWORK = 256, /* and the one to an address's network (IP6_RT_PRIO_ADDRCONF) */
    HOST_RETRY_MS = 1000,    /* for an answer that found the daemon's queue full */
};

/* One way: from each to the next. */
enum phase {
    PHASE_FIX,  /* what holds for good is said; all rights are there */
    PHASE_PORT, /* the UDP port is opened */
    PHASE_RUN,  /* packets come */
};

struct helper_server {
    int fd;
    int daemon; /* readable when that process has ended; -1: the kernel has none */
    enum phase phase;
    struct pv_helper_fixed fixed; /* since PHASE_PORT */
    struct pv_tun tun;            /* n = 0: no interface */
    struct pv_helper_iface now;   /* what was set last */
    bool notify;                  /* its command is fixed */
    bool v6;                      /* IPv6 addresses are set on it */
    struct pv_helper_reply reply; /* under construction */
    int fds[PV_HELPER_MAX_FDS];   /* descriptors that go with the reply */
    bool close_fds;               /* they are closed here when it is sent */
    pv_helper_task *task;         /* NULL: there are none */
    struct pv_helper_tasks tasks;
    struct pv_helper_files files;
    int passed;             /* came with the request; -1: nothing */
    struct pv_hostnet *net; /* of this host; NULL: no plan yet */
    int host_events;        /* our end of the way that tells of it; -1: none yet */
    bool host_late;         /* an answer did not fit */
    uint16_t udp_port;      /* 0: no socket yet */
    bool inside;            /* this is the second helper, in the inside */
    struct {
        pid_t pid;      /* 0: there is none */
        int pidfd;      /* readable when it has ended; -1: the kernel has none */
    } next;             /* the second helper, and the giver's in that: this one ends with it; or
                         * lwIP's process, which can be started again */
    int stack_listener; /* of lwIP's process; -1: there is no such process */
    int stack_end;      /* how the last one ended, as waitpid(2) has it */
};

static int fail_reply(struct helper_server *s, int status, const char *fmt, ...) PV_PRINTF(3, 4);

static int fail_reply(struct helper_server *s, int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->reply.error, sizeof(s->reply.error), fmt, ap);
    va_end(ap);
    s->reply.status = status;
    return status;
}

static void give_fd(struct helper_server *s, int fd)
{
    s->fds[s->reply.n_fds++] = fd;
}

/* --- UDP ----------------------------------------------------------------------------------- */

/* A port below 1024 needs this process' rights; the datagrams are then read by one without any. */
static int open_udp(struct helper_server *s, const struct pv_helper_request *req)
{
    const uint16_t port = req->udp_port;
    const unsigned n = req->udp_sockets;
    const struct pv_udp_opts opts = {
        .df = true, .gro = true, .ecn = true, .waited = true, .mark = PV_NETWORDS_MARK};
    struct pv_addr any4 = {.family = PV_AF_INET, .port = port};
    struct pv_addr any6 = {.family = PV_AF_INET6, .port = port};
    const struct pv_udp_opts cut = {.cut = true, .gro = true, .mark = PV_NETWORDS_MARK};
    struct pv_udp_group group = {.n = 0};
    bool has_v6 = true;
    /* A port that was kept is in the state directory, where a daemon that was taken over may have
     * written that of a name server. */
    if (s->fixed.udp_port != 0 ? port != s->fixed.udp_port : port < PORTS_OF_ROOT)
        return fail_reply(s, -EINVAL, "open UDP port %u: below 1024: %s", port,
                          PV_DO_STR(port_by_flag));
    int r = pv_udp_open_group(&any4, &opts, n, group.fd4);
    if (r >= 0) {
        group.n = n;
        memset(group.fd6, 0xff, sizeof(group.fd6)); /* -1 */
        r = pv_udp_open_group(&any6, &opts, n, group.fd6);
        has_v6 = r >= 0;
        if (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL) /* no IPv6 on this host */
            r = PV_OK;
    }
    if (r >= 0) { /* last: the first n of a group receive */
        group.cut6 = -1;
        r = pv_udp_join(group.fd4[0], &cut, &group.cut4);
        group.has_cut = r >= 0;
    }
    if (r >= 0 && has_v6)
        r = pv_udp_join(group.fd6[0], &cut, &group.cut6);
    if (r < 0) {
        pv_udp_group_close(&group);
        if (r == PV_ERR_EXISTS)
            return fail_reply(s, r, "open UDP port %u: in use: %s", port, PV_DO_STR(other_port));
        return fail_reply(s, r, "open UDP port %u: %s", port, pv_strstatus(r));
    }
    s->close_fds = true;
    s->udp_port = port;
    s->phase = PHASE_RUN;
    for (unsigned i = 0; i < n; i++)
        give_fd(s, group.fd4[i]);
    give_fd(s, group.cut4);
    for (unsigned i = 0; has_v6 && i < n; i++)
        give_fd(s, group.fd6[i]);
    if (has_v6)
        give_fd(s, group.cut6);
    return PV_OK;
}

/* --- checks of an interface request -------------------------------------------------------- */

/* An MTU below 1280 would silently disable IPv6 on the interface (RFC 8200 s5). */
static int check_iface(struct helper_server *s, const struct pv_helper_iface *iface)
{
    static const char *const what = "set up the interface";
    if (iface->n_addrs > PV_HELPER_MAX_PREFIXES || iface->n_routes > PV_HELPER_MAX_PREFIXES)
        return fail_reply(s, -EINVAL, "%s: more than 64 addresses or routes", what);
    if (iface->queues == 0 || iface->queues > PV_TUN_QUEUES)
        return fail_reply(s, -EINVAL, "%s: an interface has 1 to 8 queues", what);
    bool v6 = false;
    for (size_t i = 0; i < iface->n_addrs; i++) {
        if (!pv_netplan_is_own(&iface->addrs[i], s->fixed.ranges, s->fixed.n_ranges))
            return fail_reply(s, -EINVAL, "%s: %s is not of a private range: %s", what,
                              PV_PREFIX_STR(&iface->addrs[i]), PV_DO_STR(name_range));
        v6 = v6 || iface->addrs[i].base.family == PV_AF_INET6;
    }
    for (size_t i = 0; i < iface->n_routes; i++)
        if (!pv_netplan_is_target(&iface->routes[i]))
            return fail_reply(s, -EINVAL, "%s: a route that cannot be set", what);
    if (iface->zone[0] != '\0' &&
        (memchr(iface->zone, '\0', sizeof(iface->zone)) == NULL || !pv_name_is_valid(iface->zone)))
        return fail_reply(s, -EINVAL, "%s: not a network's name", what);
    if (iface->mtu < (v6 ? MTU_MIN_V6 : PV_HELPER_MTU_MIN))
        return fail_reply(s, -EINVAL, "%s: MTU %u is too small: %s", what, iface->mtu,
                          v6 ? "IPv6 needs 1280" : "IPv4 needs 576");
    return PV_OK;
}

/* A look at all addresses and routes of this host, for what stands in the interface's way. */
struct overlap_look {
    struct helper_server *s;
    const struct pv_helper_iface *iface;
    uint32_t own;                          /* index of our interface; 0: it is not there */
    int r;                                 /* of the addresses of the interface */
    bool left_out[PV_HELPER_MAX_PREFIXES]; /* by the interface's routes */
};

/* A network of the host's that a route of ours would take the place of. */
static void take_host_addr(void *ctx, const struct pv_net_addr *a)
{
    struct overlap_look *look = ctx;
    struct helper_server *s = look->s;
    char range[PV_ADDR_TEXT], other[PV_ADDR_TEXT];
    if (strcmp(a->ifname, s->fixed.ifname) == 0)
        return;
    for (size_t i = 0; i < look->iface->n_addrs && look->r >= 0; i++)
        if (pv_prefix_overlaps(&look->iface->addrs[i], &a->addr))
            look->r =
                fail_reply(s, PV_ERR_EXISTS, "use %s on %s: its range overlaps %s on %s: %s",
                           pv_prefix_format(&look->iface->addrs[i], range), s->fixed.ifname,
                           pv_prefix_format(&a->addr, other), a->ifname, PV_DO_STR(other_range));
    for (size_t i = 0; i < look->iface->n_routes && look->r >= 0; i++) {
        const struct pv_prefix *route = &look->iface->routes[i];
        if (route->bits < a->addr.bits || !pv_prefix_overlaps(route, &a->addr))
            continue;
        look->left_out[i] = true;
        snprintf(s->reply.error, sizeof(s->reply.error),
                 "no route to %s through %s: this host is in %s on %s", PV_PREFIX_STR(route),
                 s->fixed.ifname, PV_PREFIX_STR(&a->addr), a->ifname);
    }
}

/* Of the main table. */
static void take_host_route(void *ctx, const struct pv_net_route *r)
{
    struct overlap_look *look = ctx;
    struct helper_server *s = look->s;
    char name[IF_NAMESIZE];
    for (size_t i = 0; i < look->iface->n_routes; i++) {
        const struct pv_prefix *route = &look->iface->routes[i];
        const uint32_t metric = route->base.family == PV_AF_INET6 ? METRIC_V6 : 0;
        if (look->left_out[i] || r->metric != metric || r->dst.bits != route->bits ||
            (look->own != 0 && r->ifindex == look->own) ||
            !pv_addr_equal_ip(&r->dst.base, &route->base))
            continue;
        look->left_out[i] = true;
        snprintf(s->reply.error, sizeof(s->reply.error),
                 "no route to %s through %s: this host has another one, on %s",
                 PV_PREFIX_STR(route), s->fixed.ifname,
                 if_indextoname(r->ifindex, name) != NULL ? name : "no interface");
    }
}

/* A range in use on another interface of this host stays there, since a user who lost that network
 * would look for the reason elsewhere: an own range is refused, a route to it or to a part of it is
 * left out. A larger one does no harm: the kernel prefers the longer prefix. */
static int check_overlap(struct helper_server *s, struct pv_helper_iface *iface)
{
    const struct pv_net_route_query query = {.table = RT_TABLE_MAIN};
    struct overlap_look look = {
        .s = s, .iface = iface, .own = if_nametoindex(s->fixed.ifname), .r = PV_OK};
    size_t kept = 0;
    int r = pv_net_each_addr(false, take_host_addr, &look);
    if (r >= 0 && look.r >= 0)
        r = pv_net_each_route(&query, take_host_route, &look);
    if (r < 0)
        return fail_reply(s, r, "look at this host's addresses and routes: %s", pv_strstatus(r));
    for (size_t i = 0; i < iface->n_routes; i++)
        if (!look.left_out[i])
            iface->routes[kept++] = iface->routes[i];
    iface->n_routes = kept;
    return look.r;
}

/* Packets from what a plan calls members' range are kept from coming by other interfaces: one that
 * ours could have. */
static bool may_be_members(const struct helper_server *s, const struct pv_prefix *range)
{
    return range->base.family == PV_AF_NONE ||
           pv_netplan_is_own(range, s->fixed.ranges, s->fixed.n_ranges);
}

/* --- the interface ------------------------------------------------------------------------- */

/* The queues are kept over repetitions, because packet threads read from them; only a deleted
 * interface makes new ones. */
static int open_tun(struct helper_server *s, unsigned queues)
{
    const char *name = s->fixed.ifname;
    struct ifreq ifr;
    /* Deleted from outside (ip link del): the descriptor is dead, make a new one. */
    if (s->tun.n > 0 && (s->tun.n != queues || ioctl(s->tun.read[0], TUNGETIFF, &ifr) < 0))
        pv_tun_close(&s->tun);
    if (s->tun.n > 0)
        return PV_OK;
    memset(&s->now, 0, sizeof(s->now));
    int r = pv_tun_open(name, queues, &s->tun);
    if (r >= 0)
        return PV_OK;
    if (r == PV_ERR_NOT_FOUND)
        return fail_reply(s, r, "open /dev/net/tun: no such device: %s", PV_DO_STR(load_tun_there));
    if (r == PV_ERR_EXISTS)
        return fail_reply(s, r, "make interface %s: the name is in use: %s", name,
                          PV_DO_STR(other_name));
    if (r == -EPERM || r == -EACCES)
        return fail_reply(s, r, "make interface %s: not permitted: %s", name,
                          PV_DO_STR(give_rights));
    return fail_reply(s, r, "make interface %s: %s", name, pv_strstatus(r));
}

/* True when the interface can have IPv6 addresses, which a system-wide default may forbid. */
static bool enable_v6(const char *name)
{
    char path[96];
    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
    int64_t off = pv_switch_read(path);
    return off == 0 || (off == 1 && pv_switch_write(path, "0") == PV_OK);
}

static bool has_prefix(const struct pv_prefix *list, size_t n, const struct pv_prefix *p)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].bits == p->bits && pv_addr_equal(&list[i].base, &p->base))
            return true;
    return false;
}

struct prefix_list {
    const struct pv_prefix *p;
    size_t n;
};

/* One line for each prefix of list that is not in except. nodad: an IPv6 address is usable at once,
 * nobody else can have it on a tunnel. */
static void prefix_lines(struct pv_text *b, const char *verb, const char *dev,
                         struct prefix_list list, struct prefix_list except, bool v6)
{
    bool adds_addr = strcmp(verb, "addr replace") == 0;
    for (size_t i = 0; i < list.n; i++) {
        bool is_v6 = list.p[i].base.family == PV_AF_INET6;
        if ((v6 || !is_v6) && !has_prefix(except.p, except.n, &list.p[i]))
            pv_text_add(b, "%s %s %s%s\n", verb, PV_PREFIX_STR(&list.p[i]), dev,
                        adds_addr && is_v6 ? " nodad" : "");
    }
}

/* The settings of before that are not wanted now. Lines may fail, and hold up no other: a route
 * goes with its address. */
static void remove_old(struct helper_server *s, const struct pv_helper_iface *want, const char *dev,
                       char *lines)
{
    const struct pv_helper_iface *now = &s->now;
    struct pv_text b = pv_text_in(lines, PV_IPCMD_LINES_MAX);
    prefix_lines(&b, "route del", dev, (struct prefix_list){now->routes, now->n_routes},
                 (struct prefix_list){want->routes, want->n_routes}, s->v6);
    prefix_lines(&b, "addr del", dev, (struct prefix_list){now->addrs, now->n_addrs},
                 (struct prefix_list){want->addrs, want->n_addrs}, s->v6);
    if (b.len > 0)
        (void)!pv_ipcmd_force(b.text);
}

/* The kernel makes the route to an address's network with the address, and not again when somebody
 * has taken that route alone. Lines may fail, and hold up no other: it is still there, or another
 * one that somebody wants has its place. */
static void restore_networks(struct helper_server *s, const struct pv_helper_iface *want,
                             const char *dev, char *lines)
{
    struct pv_text b = pv_text_in(lines, PV_IPCMD_LINES_MAX);
    for (size_t i = 0; i < want->n_addrs; i++) {
        const struct pv_addr *own = &want->addrs[i].base;
        const struct pv_prefix net = pv_netplan_range(&want->addrs[i]);
        if (net.bits == pv_addr_ip_len(own) * 8 || (own->family == PV_AF_INET6 && !s->v6))
            continue;
        const char *to = PV_PREFIX_STR(&net);
        if (own->family == PV_AF_INET6)
            pv_text_add(&b, "route add %s %s proto kernel metric %d\n", to, dev, METRIC_V6_NETWORK);
        else
            pv_text_add(&b, "route add %s %s proto kernel scope link src %s\n", to, dev,
                        PV_IP_STR(own));
    }
    if (b.len > 0)
        (void)!pv_ipcmd_force(b.text);
}

/* addrgenmode none (addr_gen_mode 1) before up: without it the kernel makes a link-local address
 * and sends router solicitations into the tunnel. */
static int set_new(struct helper_server *s, const struct pv_helper_iface *want, const char *dev,
                   char *lines, char complaint[static PV_IPCMD_ERROR_MAX])
{
    const struct prefix_list none = {NULL, 0};
    struct pv_text b = pv_text_in(lines, PV_IPCMD_LINES_MAX);
    pv_text_add(&b, "link set %s mtu %u txqueuelen %d\n", dev, want->mtu, TX_QUEUE);
    if (s->v6)
        pv_text_add(&b, "link set %s addrgenmode none\n", dev);
    pv_text_add(&b, "link set %s up\n", dev);
    prefix_lines(&b, "addr replace", dev, (struct prefix_list){want->addrs, want->n_addrs}, none,
                 s->v6);
    prefix_lines(&b, "route replace", dev, (struct prefix_list){want->routes, want->n_routes}, none,
                 s->v6);
    /* No LAN is there that could be meant: programs that choose no interface reach members. */
    if (s->inside)
        pv_text_add(&b, "route replace 255.255.255.255/32 %s\nroute replace 224.0.0.0/4 %s\n", dev,
                    dev);
    return pv_ipcmd_run(b.text, complaint);
}

/* Old lines are removed first and may fail; new ones are set in one batch, and the first complaint
 * of `ip` is what the user sees. */
static int configure(struct helper_server *s, const struct pv_helper_iface *want, bool again)
{
    char complaint[PV_IPCMD_ERROR_MAX] = "";
    const char *name = s->fixed.ifname;
    char *lines = malloc(PV_IPCMD_LINES_MAX);
    if (lines == NULL)
        return fail_reply(s, PV_ERR_NOMEM, "set up %s: out of memory", name);
    const char *dev = PV_STR("dev %s", name);
    if (again) /* below MTU_MIN_V6, as somebody may have set it, there is no IPv6 to be enabled */
        (void)!pv_ipcmd_force(PV_STR("link set %s mtu %u\n", dev, want->mtu));
    s->v6 = enable_v6(name);
    remove_old(s, want, dev, lines);
    int r = set_new(s, want, dev, lines, complaint);
    if (r >= 0 && again)
        restore_networks(s, want, dev, lines);
    free(lines);
    const struct pv_reason lacks = pv_ipcmd_reason(complaint);
    if (r == PV_ERR_NOT_FOUND)
        return fail_reply(s, r, "set up %s: there is no ip program: %s", name,
                          PV_DO_STR(install_ip));
    if (r < 0)
        return fail_reply(s, r, "set up %s: ip says: %s%s%s", name,
                          complaint[0] != '\0' ? complaint : pv_strstatus(r),
                          lacks.text[0] != '\0' ? ": " : "", PV_REASON_STR(lacks));
    return PV_OK;
}

/* Names are not worth an interface: what goes wrong here is told and nothing more. The domains are
 * those of the network and of the first address of each family. */
static void tell_resolved(struct helper_server *s, const struct pv_helper_iface *want)
{
    struct pv_resolved_link link = {.ifname = s->fixed.ifname, .n_domains = 1};
    bool has4 = false, has6 = false;
    /* The inside has a name server of its own, and the system's resolver knows no way there. */
    if (s->inside || want->zone[0] == '\0' || want->n_addrs == 0 || !pv_resolved_is_there())
        return;
    link.server = want->addrs[0].base;
    snprintf(link.domains[0], PV_RESOLVED_DOMAIN_BUF, "%s.p2p", want->zone);
    for (size_t i = 0; i < want->n_addrs; i++) {
        bool *has = want->addrs[i].base.family == PV_AF_INET6 ? &has6 : &has4;
        char zone[PV_ADDR_ZONE_BUF];
        /* A range that ends within a byte has no zone of its own: its addresses are not asked. */
        if (!*has && pv_prefix_reverse_zone(&want->addrs[i], zone) == PV_OK)
            snprintf(link.domains[link.n_domains++], PV_RESOLVED_DOMAIN_BUF, "%s", zone);
        *has = true;
    }
    int r = pv_resolved_set(&link);
    if (r == PV_ERR_REFUSED && geteuid() != 0) { /* as in a unit: it obeys root alone */
        snprintf(s->reply.error, sizeof(s->reply.error),
                 "names work through libnss_p2pvpn only; as root: "
                 "resolvectl dns %s %s; resolvectl domain %s ~%.67s",
                 link.ifname, PV_IP_STR(&link.server), link.ifname, link.domains[0]);
    } else if (r < 0)
        snprintf(s->reply.error, sizeof(s->reply.error),
                 "tell systemd-resolved about %s: %s: names work through libnss_p2pvpn only",
                 link.ifname, r == PV_ERR_NOT_FOUND ? "there is no resolvectl" : pv_strstatus(r));
}

/* The newest answer of the host is all that counts: one that does not fit is sent later, by a
 * socket of its own, since nobody waits for it. */
static void tell_host(struct helper_server *s)
{
    struct pv_netplan_host host;
    if (s->net == NULL || s->host_events < 0 || !pv_hostnet_report(s->net, s->host_late, &host))
        return;
    s->host_late = send(s->host_events, &host, sizeof(host), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
                   (errno == EAGAIN || errno == EWOULDBLOCK);
}

/* "": there is no interface. */
static void host_iface(struct helper_server *s, const char *ifname)
{
    if (s->net != NULL)
        pv_hostnet_iface(s->net, ifname);
    tell_host(s);
}

static int iface_down(struct helper_server *s, const struct pv_helper_request *req)
{
    host_iface(s, "");
    pv_tun_close(&s->tun);
    return PV_OK;
}

/* Checks before changes: a refused request leaves the interface as it was. */
static int iface_up(struct helper_server *s, const struct pv_helper_request *req)
{
    struct pv_helper_iface want = req->iface;
    bool had = s->tun.n > 0;
    int r = check_iface(s, &want);
    if (r >= 0)
        r = check_overlap(s, &want);
    if (r >= 0)
        r = open_tun(s, want.queues);
    if (r < 0)
        return r;
    r = configure(s, &want, had);
    if (r < 0) {
        if (!had)
            iface_down(s, req); /* half an interface is worse than none */
        return r;
    }
    s->now = want;
    tell_resolved(s, &want);
    host_iface(s, s->fixed.ifname);
    s->reply.n_fds = (uint32_t)pv_tun_fds(&s->tun, s->fds);
    return PV_OK;
}

/* --- notify -------------------------------------------------------------------------------- */

static void be_notifier(int fd, pid_t helper, const void *command)
{
    prctl(PR_SET_PDEATHSIG, 0);
    if (pv_helper_sandbox_as(PV_HELPER_ROLE_NOTIFY, NULL) == PV_OK)
        pv_notify_serve(fd, helper, command);
}

/* A process of its own: a program that hangs must not hold up the interface. It ends when the
 * daemon does, by the end of its socket. */
static int start_notify(struct helper_server *s, const struct pv_helper_request *req)
{
    const char *command = req->notify;
    int fd = -1;
    pid_t pid;
    if (s->notify)
        return fail_reply(s, PV_ERR_STATE, "fix the notify command: it was fixed before");
    if (memchr(command, '\0', PV_NOTIFY_COMMAND_MAX) == NULL ||
        !pv_notify_command_is_valid(command))
        return fail_reply(s, -EINVAL,
                          "fix the notify command: not an absolute path with arguments");
    int r = pv_child_fork("p2pvpnd-notify", be_notifier, command, NULL, &fd, &pid);
    if (r < 0)
        return fail_reply(s, r, "start the notifier: %s", strerror(-r));
    s->notify = true;
    s->close_fds = true;
    give_fd(s, fd);
    return PV_OK;
}

/* --- tasks --------------------------------------------------------------------------------- */

static int start_task(struct helper_server *s, const struct pv_helper_request *req)
{
    int fd = -1;
    if (s->task == NULL || req->args_len > sizeof(req->args))
        return fail_reply(s, -EINVAL, "start a task: there is no such task");
    int r = pv_helper_task_start(&s->tasks, s->task, pv_view(req->args, req->args_len), &fd);
    if (r < 0)
        return fail_reply(s, r, "start a task: %s", pv_strstatus(r));
    s->close_fds = true;
    give_fd(s, fd);
    return PV_OK;
}

/* --- files, names, rights ------------------------------------------------------------------ */

static int fix_files(struct helper_server *s, const struct pv_helper_request *req)
{
    int r = pv_helper_files_fix(&s->files, req->socket, req->names, s->passed);
    if (r == PV_OK)
        s->passed = -1; /* kept */
    return r < 0 ? fail_reply(s, r, "fix the socket and the file of names: %s", pv_strstatus(r))
                 : PV_OK;
}

static int write_names(struct helper_server *s, const struct pv_helper_request *req)
{
    int r = pv_helper_files_names(&s->files, &s->fixed, s->passed, req->recent != 0);
    return r < 0 ? fail_reply(s, r, "write %.150s: %s", s->files.names, pv_strstatus(r)) : PV_OK;
}

static bool is_own_address(const struct helper_server *s, const struct pv_addr *addr)
{
    for (size_t i = 0; i < s->now.n_addrs; i++) {
        if (pv_addr_equal_ip(&s->now.addrs[i].base, addr))
            return true;
    }
    return false;
}

/* The one port below 1024 that the daemon has while it runs, at its own addresses only. */
static int open_dns(struct helper_server *s, const struct pv_helper_request *req)
{
    struct pv_addr addr = req->dns;
    const struct pv_udp_opts opts = {.ifname = s->fixed.ifname};
    int fd = -1;
    addr.port = DNS_PORT;
    if (s->tun.n == 0 || !is_own_address(s, &addr))
        return fail_reply(s, -EINVAL, "open port 53: not an address of the interface");
    int r = req->tcp != 0 ? pv_stream_listen(&addr, s->fixed.ifname, &fd)
                          : pv_udp_open(&addr, &opts, &fd);
    if (r < 0)
        return fail_reply(s, r, "open port 53: %s", pv_strstatus(r));
    s->close_fds = true;
    give_fd(s, fd);
    return PV_OK;
}

static bool fixed_is_sane(const struct pv_helper_fixed *f)
{
    if (!pv_ifname_is_valid(f->ifname) || f->n_ranges > PV_HELPER_MAX_RANGES)
        return false;
    for (size_t i = 0; i < f->n_ranges; i++)
        if (!pv_netplan_is_target(&f->ranges[i]))
            return false;
    return true;
}

/* Half of it is worse than nothing: the process ends then. */
static int sandbox(struct helper_server *s, const struct pv_helper_request *req)
{
    struct pv_sandbox_report report;
    char text[PV_SANDBOX_TEXT_MAX];
    bool seccomp = false;
    if (!fixed_is_sane(&req->fixed))
        return fail_reply(s, -EINVAL, "sandbox the helper: not a usable name, or range");
    int r = pv_helper_sandbox_as(PV_HELPER_ROLE_HELPER, &seccomp);
    if (r < 0)
        return fail_reply(s, r, "sandbox the helper: %s", pv_strstatus(r));
    s->phase = s->inside ? PHASE_RUN : PHASE_PORT; /* the port is the first one's */
    s->fixed = req->fixed;
    pv_sandbox_read(&report, seccomp, 0);
    snprintf(s->reply.error, sizeof(s->reply.error), "%s", pv_sandbox_format(&report, text));
    return PV_OK;
}

/* --- the inside ---------------------------------------------------------------------------- */

static void watch_next(struct helper_server *s, pid_t pid)
{
    s->next.pid = pid;
    s->next.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
}

static void be_second(int fd, pid_t helper, const void *ctx)
{
    pv_helper_serve(fd, helper, NULL);
}

/* The first helper cannot follow the second: nobody comes back from there. */
static int start_second(struct helper_server *s, const struct pv_helper_request *req)
{
    int fd = -1;
    pid_t pid;
    if (s->next.pid != 0 || s->inside)
        return fail_reply(s, PV_ERR_STATE, "start a second helper: there is one");
    int r = pv_child_fork("p2pvpnd-inside", be_second, NULL, NULL, &fd, &pid);
    if (r < 0)
        return fail_reply(s, r, "start a second helper: %s", strerror(-r));
    watch_next(s, pid);
    s->close_fds = true;
    give_fd(s, fd);
    return PV_OK;
}

/* Waits for the process, which has been killed or has ended. */
static void reap_next(struct helper_server *s)
{
    if (s->next.pid == 0)
        return;
    while (waitpid(s->next.pid, &s->stack_end, 0) < 0 && errno == EINTR) {
    }
    if (s->next.pidfd >= 0)
        close(s->next.pidfd);
    s->next.pid = 0;
    s->next.pidfd = -1;
}

static void kill_next(struct helper_server *s)
{
    if (s->next.pid != 0)
        (void)kill(s->next.pid, SIGKILL);
    reap_next(s);
}

static int fork_stack(struct helper_server *s)
{
    int fds[2];
    pid_t pid = 0;
    int r = pv_helper_stack_start(s->stack_listener, fds, &pid);
    if (r < 0)
        return fail_reply(s, r, "start lwIP's process: %s",
                          r == PV_ERR_UNSUPPORTED ? "this p2pvpnd is built without lwIP"
                                                  : pv_strstatus(r));
    watch_next(s, pid);
    s->reply.pid = pid;
    s->close_fds = true;
    give_fd(s, fds[0]);
    give_fd(s, fds[1]);
    return PV_OK;
}

/* In place of the second helper, which has found that there can be no inside. The listener is kept
 * for lwIP's next process. */
static int start_stack(struct helper_server *s, const struct pv_helper_request *req)
{
    if (s->inside || s->passed < 0 || s->stack_listener >= 0)
        return fail_reply(s, -EINVAL, "start lwIP's process: no socket came along");
    kill_next(s);
    int r = pv_helper_files_fix_stack(&s->files, s->passed);
    if (r < 0)
        return fail_reply(s, r, "start lwIP's process: %s", pv_strstatus(r));
    s->stack_listener = s->passed;
    s->passed = -1;
    return fork_stack(s);
}

/* The daemon has found that the process has ended, or does not answer. */
static int start_stack_again(struct helper_server *s, const struct pv_helper_request *req)
{
    if (s->stack_listener < 0)
        return fail_reply(s, PV_ERR_STATE, "start lwIP's process again: there was none");
    kill_next(s);
    int r = fork_stack(s);
    if (r < 0)
        return r;
    if (WIFSIGNALED(s->stack_end))
        snprintf(s->reply.error, sizeof(s->reply.error),
                 "lwIP's process ended by signal %d (%s) and was started again: its connections "
                 "are broken",
                 WTERMSIG(s->stack_end), strsignal(WTERMSIG(s->stack_end)));
    else
        snprintf(s->reply.error, sizeof(s->reply.error),
                 "lwIP's process ended with exit code %d and was started again: its connections "
                 "are broken",
                 WEXITSTATUS(s->stack_end));
    return PV_OK;
}

static int enter_inside(struct helper_server *s, const struct pv_helper_request *req)
{
    int fd = -1;
    pid_t pid = 0;
    if (s->inside)
        return fail_reply(s, PV_ERR_STATE, "make a network of this user's: there is one");
    int r = pv_helper_inside_make(s->reply.error);
    if (r < 0) {
        s->reply.status = r;
        return r;
    }
    r = pv_helper_inside_giver(&fd, &pid);
    if (r < 0)
        return fail_reply(s, r, "start the giver of sockets: %s", pv_strstatus(r));
    watch_next(s, pid);
    s->inside = true;
    s->reply.pid = pid;
    s->close_fds = true;
    give_fd(s, fd);
    return PV_OK;
}

/* --- the host's network -------------------------------------------------------------------- */

/* The file is beside that of names, which is told apart by instance as well. */
static int begin_host(struct helper_server *s)
{
    char path[PV_HELPER_PATH_MAX + 8];
    struct pv_hostnet_config cfg = {.uids = {s->fixed.uid, s->tasks.user}, .alone = s->inside};
    cfg.n_uids = s->fixed.uid == 0 || s->inside ? 0 : s->tasks.user == NOBODY ? 1 : 2;
    snprintf(path, sizeof(path), "%s.host", s->files.names);
    cfg.path = s->files.names[0] == '\0' ? NULL : path;
    return pv_hostnet_new(&s->net, &cfg);
}

/* Gives the daemon its end of the way on which answers come; it knows nothing yet. */
static int begin_events(struct helper_server *s)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    if (s->host_events >= 0)
        close(s->host_events);
    s->host_events = pair[0];
    s->host_late = true;
    s->close_fds = true;
    give_fd(s, pair[1]);
    return PV_OK;
}

static int host_timeout(const struct helper_server *s)
{
    int ms = s->net == NULL ? -1 : pv_hostnet_timeout(s->net, pv_clock_now());
    return s->host_late && (ms < 0 || ms > HOST_RETRY_MS) ? HOST_RETRY_MS : ms;
}

/* A plan whose exit cannot be used is in force all the same but for the exit. So the daemon's end
 * of the events goes with a failure too. */
static int set_network(struct helper_server *s, const struct pv_helper_request *req)
{
    const struct pv_netplan *plan = &req->plan;
    int r = pv_netplan_check(plan);
    if (r == PV_OK && strcmp(plan->ifname, s->fixed.ifname) != 0)
        r = PV_ERR_STATE;
    if (r == PV_OK && !(may_be_members(s, &plan->overlay4) && may_be_members(s, &plan->overlay6)))
        r = PV_ERR_REFUSED;
    if (r == PV_OK && s->net == NULL)
        r = begin_host(s);
    if (r == PV_OK && req->events != 0)
        r = begin_events(s);
    if (r < 0)
        return fail_reply(s, r, "set routes: %s", pv_strstatus(r));
    pv_hostnet_port(s->net, s->udp_port);
    pv_hostnet_iface(s->net, s->tun.n > 0 ? plan->ifname : "");
    s->reply.status = pv_hostnet_set(s->net, plan, s->reply.error);
    tell_host(s);
    return PV_OK;
}

/* --- the conversation ---------------------------------------------------------------------- */

/* Descriptors go with the reply in one message, so that status and descriptors cannot come
 * apart. */
void pv_helper_send_reply(int fd, const struct pv_helper_reply *reply, const int *fds)
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(PV_HELPER_MAX_FDS * sizeof(int))] = {0};
    struct pv_helper_reply copy = *reply;
    struct iovec iov = {.iov_base = &copy, .iov_len = sizeof(copy)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    size_t bytes = reply->n_fds * sizeof(int);
    if (bytes > 0) {
        msg.msg_control = control;
        msg.msg_controllen = CMSG_SPACE(bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(bytes);
        memcpy(CMSG_DATA(c), fds, bytes);
    }
    /* A daemon that does not read its answers does without. */
    while (sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
           (errno == EINTR || pv_unix_wait_refs(errno))) {
    }
}

static void send_reply(struct helper_server *s)
{
    pv_helper_send_reply(s->fd, &s->reply, s->fds);
    if (s->close_fds)
        for (uint32_t i = 0; i < s->reply.n_fds; i++)
            close(s->fds[i]);
}

/* All that there is, each in its phase alone. The list of PHASE_RUN is what a daemon that was taken
 * over can ask for (docs/SECURITY.md "Privilege"). */
static const struct {
    enum phase phase;
    int (*serve)(struct helper_server *s, const struct pv_helper_request *req);
} requests[PV_HELPER_KINDS] = {
    [PV_HELPER_FILES] = {PHASE_FIX, fix_files},
    [PV_HELPER_NOTIFY] = {PHASE_FIX, start_notify},
    [PV_HELPER_SANDBOX] = {PHASE_FIX, sandbox},
    [PV_HELPER_OPEN_UDP] = {PHASE_PORT, open_udp},
    [PV_HELPER_IFACE_UP] = {PHASE_RUN, iface_up},
    [PV_HELPER_IFACE_DOWN] = {PHASE_RUN, iface_down},
    [PV_HELPER_NAMES] = {PHASE_RUN, write_names},
    [PV_HELPER_OPEN_DNS] = {PHASE_RUN, open_dns},
    [PV_HELPER_TASK] = {PHASE_RUN, start_task},
    [PV_HELPER_NETPLAN] = {PHASE_RUN, set_network},
    [PV_HELPER_SECOND] = {PHASE_FIX, start_second},
    [PV_HELPER_ENTER] = {PHASE_FIX, enter_inside},
    [PV_HELPER_STACK] = {PHASE_FIX, start_stack},
    [PV_HELPER_STACK_AGAIN] = {PHASE_RUN, start_stack_again},
};

/* Any answer is better than none: the daemon blocks until it has one. */
static void serve_one(struct helper_server *s, const struct pv_helper_request *req)
{
    int r;
    memset(&s->reply, 0, sizeof(s->reply));
    s->close_fds = false;
    if (req->kind >= PV_HELPER_KINDS || requests[req->kind].serve == NULL)
        r = fail_reply(s, -EINVAL, "ask the privileged helper: unknown request");
    else if (requests[req->kind].phase != s->phase)
        r = fail_reply(s, PV_ERR_STATE, "ask the privileged helper: too %s for this request",
                       requests[req->kind].phase < s->phase ? "late" : "early");
    else
        r = requests[req->kind].serve(s, req);
    if (r < 0)
        s->reply.n_fds = 0;
    send_reply(s);
}

/* Sleeps until there is a request; tasks that end meanwhile are waited for. False: the daemon has
 * ended, or the second helper, without which there is no interface, or its giver, without which
 * there are no listeners. The daemon's end of the socket tells that too, unless it gave it to
 * another process. */
static bool await_request(struct helper_server *s)
{
    enum {
        DAEMON = 1 + PV_HELPER_TASKS,
        NEXT,
        SOCKET,
        NET
    };
    struct pollfd p[NET + PV_HOSTNET_FDS];
    do {
        p[0] = (struct pollfd){.fd = s->fd, .events = POLLIN};
        p[DAEMON] = (struct pollfd){.fd = s->daemon, .events = POLLIN};
        p[NEXT] = (struct pollfd){.fd = s->next.pidfd, .events = POLLIN};
        p[SOCKET] = (struct pollfd){.fd = s->files.watch, .events = POLLIN};
        for (size_t i = 0; i < PV_HELPER_TASKS; i++) {
            bool runs = s->tasks.running[i].pid != 0;
            p[1 + i] =
                (struct pollfd){.fd = runs ? s->tasks.running[i].pidfd : -1, .events = POLLIN};
        }
        nfds_t n = s->net == NULL ? NET : PV_ARRAY_LEN(p);
        if (s->net != NULL)
            pv_hostnet_poll(s->net, p + NET);
        if (poll(p, n, host_timeout(s)) > 0)
            pv_helper_task_reap(&s->tasks);
        else
            p[0].revents = p[DAEMON].revents = p[NEXT].revents = p[SOCKET].revents = 0;
        if (p[SOCKET].revents != 0)
            pv_helper_files_look(&s->files);
        if (s->net != NULL)
            pv_hostnet_work(s->net, pv_clock_now());
        tell_host(s);
        if (p[NEXT].revents != 0 && s->stack_listener >= 0) {
            reap_next(s); /* the daemon sees it too, and asks for another one */
            p[NEXT].revents = 0;
        }
    } while (p[0].revents == 0 && p[DAEMON].revents == 0 && p[NEXT].revents == 0);
    return p[DAEMON].revents == 0 && p[NEXT].revents == 0;
}

/* A number that no program has, so that an exit can tell the packets of tasks from others. */
static void choose_task_user(struct helper_server *s)
{
    struct pv_sandbox_user user;
    if (pv_sandbox_spare_user("p2pvpn-task", &user) == PV_OK)
        s->tasks.user = user.uid;
    else
        s->tasks.user = NOBODY;
}

void pv_helper_serve(int fd, pid_t parent, pv_helper_task *task)
{
    struct pv_helper_request req;
    struct helper_server s = {.fd = fd,
                              .task = task,
                              .host_events = -1,
                              .next = {.pidfd = -1},
                              .stack_listener = -1,
                              .files = {.watch = -1, .usher = -1}};
    if (pv_procinfo_watch_parent(parent, &s.daemon) < 0)
        return;
    choose_task_user(&s);
    while (await_request(&s)) {
        size_t n = 0;
        int r = pv_unix_read(fd, &req, sizeof(req), &n, &s.passed);
        if (r == PV_ERR_AGAIN)
            continue;
        if (r < 0)
            break;
        if (n != sizeof(req))
            req.kind = 0; /* not one of ours: answered as unknown */
        serve_one(&s, &req);
        if (s.passed >= 0)
            close(s.passed);
    }
    /* First, for the next daemon wants the name; an exit is guarded without it too. */
    pv_tun_close(&s.tun);
    s.net = pv_hostnet_end(s.net);
    pv_helper_files_end(&s.files);
}
