/* SPDX-License-Identifier: MIT */
/*
 * hostnet.c - makes the host's network what the plan says. Nothing is remembered about the kernel
 * but what cannot be asked: each look compares what is there with what shall be there, and sets the
 * difference, so it does not matter who changed what, or whether a step before had failed.
 *
 * The order keeps every moment safe. The guard of an exit stands before anything of the exit is
 * changed, and goes after all of it; forwarding is on only while our table says for what.
 */
#include "sys/helper/hostnet.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/remedy.h"
#include "base/text.h"
#include "sys/helper/hostcount.h"
#include "sys/helper/hostctl.h"
#include "sys/helper/hostlook.h"
#include "sys/helper/networds.h"
#include "sys/net/ipcmd.h"
#include "sys/net/netlink.h"
#include "sys/net/tun.h"
#include "sys/proc/clock.h"

/* --- the watch ------------------------------------------------------------------------------- */

/* The kernel's word while others change routes, rules, interfaces and netfilter. */
struct watch {
    int route_fd;                 /* -1: not open */
    int nft_fd;                   /* -1: the kernel has no netfilter, or we may not listen */
    char table[PV_NETWORDS_NAME]; /* ours */
    bool has_table;               /* it is there */
    bool others;                  /* a table of somebody else has changed */
    int rules;                    /* in it, counted from some time on */
    pv_ns first, last;            /* of the burst under way; 0: none */
};

enum {
    READS = 64, /* at a time: a machine that makes containers all day must not keep us here */
};

#define GROUP(name) (1u << ((name)-1))

/* -errno: not even routes can be watched. */
static int watch_open(struct watch *w)
{
    const uint32_t groups =
        GROUP(RTNLGRP_LINK) | GROUP(RTNLGRP_IPV4_IFADDR) | GROUP(RTNLGRP_IPV6_IFADDR) |
        GROUP(RTNLGRP_IPV4_ROUTE) | GROUP(RTNLGRP_IPV6_ROUTE) | GROUP(RTNLGRP_IPV4_RULE) |
        GROUP(RTNLGRP_IPV6_RULE) | GROUP(RTNLGRP_IPV4_NETCONF) | GROUP(RTNLGRP_IPV6_NETCONF);
    if (w->route_fd >= 0)
        return PV_OK;
    return pv_nl_route_socket(groups, SOCK_NONBLOCK, false, &w->route_fd);
}

/* Netfilter too, from the first need of it on: listening loads the kernel's module. */
static void watch_open_nft(struct watch *w)
{
    const struct sockaddr_nl nl = {.nl_family = AF_NETLINK};
    const int group = NFNLGRP_NFTABLES;
    if (w->nft_fd >= 0)
        return;
    w->nft_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
    if (w->nft_fd >= 0 &&
        (bind(w->nft_fd, (const struct sockaddr *)&nl, sizeof(nl)) < 0 ||
         setsockopt(w->nft_fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)) {
        close(w->nft_fd);
        w->nft_fd = -1;
    }
}

static void watch_close(struct watch *w)
{
    if (w->route_fd >= 0)
        close(w->route_fd);
    if (w->nft_fd >= 0)
        close(w->nft_fd);
    w->route_fd = w->nft_fd = -1;
}

/* --- the watch: netfilter -------------------------------------------------------------------- */

/* Does the attribute of this type name our table? */
static bool names_table(const struct watch *w, struct pv_view attrs, unsigned short type)
{
    struct pv_nl_attr a;
    size_t len = strlen(w->table) + 1;
    while (pv_nl_attr_next(&attrs, &a))
        if (a.type == type && a.value.len == len && memcmp(a.value.ptr, w->table, len) == 0)
            return true;
    return false;
}

/* A rule's and a table's first attribute is the table's name in both. */
static void take_nft(struct watch *w, uint16_t type, struct pv_view body)
{
    struct nfgenmsg head;
    _Static_assert((int)NFTA_RULE_TABLE == (int)NFTA_TABLE_NAME, "the name is in one place");
    if ((type >> 8) != NFNL_SUBSYS_NFTABLES || body.len < sizeof(head))
        return;
    memcpy(&head, body.ptr, sizeof(head));
    if (head.nfgen_family != NFPROTO_INET ||
        !names_table(w, pv_view(body.ptr + sizeof(head), body.len - sizeof(head)),
                     NFTA_TABLE_NAME)) {
        w->others = w->others || (type & 0xff) != NFT_MSG_NEWGEN; /* that is of each change */
        return;
    }
    switch (type & 0xff) {
    case NFT_MSG_NEWTABLE:
        w->has_table = true;
        break;
    case NFT_MSG_DELTABLE:
        w->has_table = false;
        break;
    case NFT_MSG_NEWRULE:
        w->rules++;
        break;
    case NFT_MSG_DELRULE:
        w->rules--;
        break;
    default:
        break;
    }
}

/* --- the watch: both sockets ----------------------------------------------------------------- */

static void note(struct watch *w, pv_ns now)
{
    if (w->first == 0)
        w->first = now;
    w->last = now;
}

/* Messages were lost: anything may have happened to our table, so it counts as gone. */
static void lose(struct watch *w, bool nft)
{
    if (nft)
        w->has_table = false;
}

static bool drain(struct watch *w, int fd, bool nft)
{
    uint8_t buf[16384];
    bool any = false;
    for (int i = 0; fd >= 0 && i < READS; i++) {
        struct nlmsghdr hdr;
        struct pv_view body;
        ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n < 0 && errno == ENOBUFS) {
            lose(w, nft);
            any = true;
            continue;
        }
        if (n <= 0)
            break;
        any = true;
        struct pv_view rest = pv_view(buf, (size_t)n);
        while (nft && pv_nl_message_next(&rest, &hdr, &body))
            take_nft(w, hdr.nlmsg_type, body);
    }
    return any;
}

/* Takes what the kernel has said; true: something that is not ours alone has changed. */
static bool watch_read(struct watch *w, pv_ns now)
{
    bool routes = drain(w, w->route_fd, false);
    bool nft = drain(w, w->nft_fd, true);
    if (routes || nft)
        note(w, now);
    return routes || nft;
}

/* Counts what we ourselves have just done to our table. True: others have done something to theirs
 * meanwhile. News of routes waits for the next read: it may be news since they were looked at. */
static bool watch_settle(struct watch *w)
{
    w->others = false;
    (void)drain(w, w->nft_fd, true);
    return w->others;
}

/* --- this host's network --------------------------------------------------------------------- */

enum {
    TRIES = 20, /* for the right to the one exit */
    TRY_MS = 50,
};
/* Others' changes come in bursts. */
#define QUIET  PV_MS(50)
#define LATEST PV_MS(500)
/* Nothing tells of a change of the resolvers' file. */
#define RESOLVERS_AGAIN PV_S(10)
/* A manager that removes what we set is not to be fought harder. */
#define AGAIN PV_MS(250)
/* Listing others' tables costs a process each: a host that makes containers all day has large ones.
 */
#define POLICIES_AGAIN PV_S(2)
/* Packets that others drop are looked at so soon after a change, and then less often. */
#define COUNT_FIRST PV_MS(500)
#define COUNT_LAST  PV_S(16)
/* Nothing tells of a program that is installed, or of a kernel's module. */
#define TABLE_AGAIN PV_S(10)
#define AGAIN_EXIT  PV_S(10)

struct pv_hostnet {
    struct watch watch;
    struct pv_hostctl ctl;
    struct pv_netplan wanted; /* as it was given */
    struct pv_netplan plan;   /* what of it is in force */
    bool known;               /* there was a plan */
    bool shut;                /* plan.exit, but it cannot be used: nothing goes out */
    bool cleaned;             /* of what an earlier exit left */
    bool alone;               /* no packets of our own are here */
    struct pv_networds_host host;
    struct pv_tun exit_lock;              /* n = 0: no exit of ours */
    char ifname[PV_NETPLAN_IFNAME];       /* of the interface while it exists */
    char table_now[PV_NETWORDS_TEXT];     /* as it was set last; "": none of ours */
    char rules_now[2][PV_NETWORDS_RULES]; /* of IPv4 and IPv6 */
    char used_now[2][PV_NETWORDS_RULES];  /* the same of used prefixes */
    int table_rules;                      /* how many the watch had counted then */
    struct pv_hostcount count;            /* of packets that others drop */
    pv_ns count_at, count_wait;           /* when that is looked at, and then again */
    char forbids[PV_NETPLAN_FAULT];       /* who drops members' packets; "": nobody */
    char reverse[PV_NETPLAN_FAULT];       /* who drops our packets beside an exit */
    char guard[PV_NETPLAN_FAULT];         /* which network's exit lets nothing out; "": none */
    pv_ns guard_at;                       /* when that was looked at */
    pv_ns resolvers_at;                   /* to be read next; PV_NEVER: nobody asks them */
    pv_ns again;                          /* not before */
    pv_ns due;                            /* PV_NEVER: nothing */
    struct pv_netplan_host said;          /* the answer */
    uint32_t changes;                     /* as said.changes */
    struct pv_netplan_host told;          /* the one that was handed out last */
    bool has_told;                        /* one was */
    /* Memory of one look; too large for a stack. */
    struct pv_networds_route routes[PV_NETWORDS_ROUTES];
    struct pv_net_route have[2 * PV_NETWORDS_ROUTES];
    char text[PV_NETWORDS_TEXT];
};

static const uint16_t FAMILIES[2] = {PV_AF_INET, PV_AF_INET6};

/* The first fault is what the user should mend first. */
static void fault(struct pv_hostnet *net, const char *fmt, ...) PV_PRINTF(2, 3);

static void fault(struct pv_hostnet *net, const char *fmt, ...)
{
    va_list ap;
    if (net->said.fault[0] != '\0')
        return;
    va_start(ap, fmt);
    vsnprintf(net->said.fault, sizeof(net->said.fault), fmt, ap);
    va_end(ap);
}

/* --- packets that others drop --------------------------------------------------------------- */

static bool counts(const struct pv_hostnet *net)
{
    return net->table_now[0] != '\0' && (net->plan.n_offered > 0 || net->plan.exit);
}

/* Rules of others are new, or our counters are: looks soon. */
static void count_anew(struct pv_hostnet *net, bool anew)
{
    pv_hostcount_reset(&net->count, anew);
    net->forbids[0] = net->reverse[0] = '\0';
    net->count_wait = COUNT_FIRST;
    net->count_at = pv_clock_now() + (anew ? net->count_wait : 0);
}

/* --- netfilter ----------------------------------------------------------------------------- */

static void settle(struct pv_hostnet *net)
{
    if (watch_settle(&net->watch))
        net->due = pv_min_ns(net->due, net->again);
}

static bool table_is_whole(const struct pv_hostnet *net)
{
    return net->table_now[0] != '\0' && net->watch.has_table &&
           net->watch.rules == net->table_rules;
}

static int set_table(struct pv_hostnet *net)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    int r = pv_networds_nft(&net->plan, &net->host, net->text);
    if (r < 0) {
        fault(net, "write rules for nft: %s", pv_strstatus(r));
        return r;
    }
    if (strcmp(net->text, net->table_now) == 0 && (table_is_whole(net) || net->watch.nft_fd < 0))
        return PV_OK;
    pv_hostctl_mark(&net->ctl);
    pv_networds_table(net->plan.ifname, net->watch.table);
    watch_open_nft(&net->watch);
    r = pv_nftcmd_run(net->text, complaint);
    const struct pv_reason lacks = pv_ipcmd_reason(complaint);
    if (r == PV_ERR_NOT_FOUND)
        fault(net, "%s: there is no nft program: %s",
              net->plan.exit_block      ? "keep in what is bound to a network card"
              : net->plan.exit          ? "set up the exit"
              : net->plan.n_offered > 0 ? "set up forwarding"
                                        : "keep out who speaks as a member beside the interface",
              PV_DO_STR(install_nft));
    else if (r < 0)
        fault(net, "set up table inet %s: nft says: %s%s%s", net->watch.table,
              complaint[0] != '\0' ? complaint : pv_strstatus(r), lacks.text[0] != '\0' ? ": " : "",
              PV_REASON_STR(lacks));
    if (r < 0) {
        net->due = pv_min_ns(net->due, pv_clock_now() + TABLE_AGAIN);
        return r;
    }
    settle(net);
    memcpy(net->table_now, net->text, sizeof(net->table_now));
    net->table_rules = net->watch.rules;
    count_anew(net, true);
    if (net->watch.nft_fd >= 0 && !net->watch.has_table)
        net->due = net->again; /* flushed in between */
    return PV_OK;
}

static int drop_table(struct pv_hostnet *net, const char *ifname)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    pv_networds_nft_none(ifname, net->text);
    int r = pv_nftcmd_run(net->text, complaint);
    if (r < 0 && r != PV_ERR_NOT_FOUND)
        fault(net, "remove our table of nft: nft says: %s", complaint);
    settle(net);
    return r;
}

/* --- policy rules -------------------------------------------------------------------------- */

static int run_ip(uint16_t family, const char *lines, char complaint[static PV_IPCMD_ERROR_MAX])
{
    return family == PV_AF_INET6 ? pv_ipcmd_run6(lines, complaint) : pv_ipcmd_run(lines, complaint);
}

static int flush_rules(uint16_t family, unsigned proto)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    return run_ip(family, PV_STR("rule flush protocol %u\n", proto), complaint);
}

static int add_rules(struct pv_hostnet *net, uint16_t family, const char *lines)
{
    char complaint[PV_IPCMD_ERROR_MAX] = "";
    int r = lines[0] == '\0' ? PV_OK : run_ip(family, lines, complaint);
    if (r < 0)
        fault(net, "set rules for %s: ip says: %s",
              net->plan.exit ? "the exit" : "used and offered prefixes",
              complaint[0] != '\0' ? complaint : pv_strstatus(r));
    return r;
}

/* As a whole, since rules have no names: while they are away the guard holds. */
static void set_rules(struct pv_hostnet *net)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(FAMILIES); i++) {
        size_t want = 0, have = 0;
        if (pv_networds_rules(&net->plan, &net->host, FAMILIES[i], net->text, PV_NETWORDS_RULES,
                              &want) < 0 ||
            pv_net_rules(FAMILIES[i], PV_NET_PROTO_OWN, &have) < 0)
            continue; /* a kernel without IPv6 */
        if (want == have && (want == 0 || strcmp(net->text, net->rules_now[i]) == 0))
            continue;
        if (have == 0 || flush_rules(FAMILIES[i], PV_NET_PROTO_OWN) == PV_OK)
            (void)add_rules(net, FAMILIES[i], net->text);
        memcpy(net->rules_now[i], net->text, sizeof(net->rules_now[i]));
    }
}

/* New ones are set beside the old ones, which go then: no prefix leaves by another way meanwhile.
 */
static void set_used_rules(struct pv_hostnet *net)
{
    const unsigned slot = net->host.slot;
    for (size_t i = 0; net->ctl.has_slot && i < PV_ARRAY_LEN(FAMILIES); i++) {
        size_t want = 0, have[2] = {0};
        for (unsigned turn = 0; turn < 2; turn++)
            if (pv_net_rules(FAMILIES[i], pv_networds_used_proto(slot, turn), &have[turn]) < 0)
                have[turn] = 0; /* a kernel without IPv6 */
        unsigned turn = have[1] > 0;
        if (pv_networds_used_rules(&net->plan, &net->host, FAMILIES[i], turn, net->text,
                                   PV_NETWORDS_RULES, &want) < 0)
            continue;
        if (want == have[turn] && have[1 - turn] == 0 &&
            (want == 0 || strcmp(net->text, net->used_now[i]) == 0))
            continue;
        turn = want == 0 ? turn : 1 - turn;
        if (pv_networds_used_rules(&net->plan, &net->host, FAMILIES[i], turn, net->text,
                                   PV_NETWORDS_RULES, &want) < 0)
            continue;
        if (have[turn] > 0)
            (void)flush_rules(FAMILIES[i], pv_networds_used_proto(slot, turn));
        if (add_rules(net, FAMILIES[i], net->text) == PV_OK && have[1 - turn] > 0)
            (void)flush_rules(FAMILIES[i], pv_networds_used_proto(slot, 1 - turn));
        memcpy(net->used_now[i], net->text, sizeof(net->used_now[i]));
    }
}

/* --- routes -------------------------------------------------------------------------------- */

static bool is_same(const struct pv_networds_route *want, const struct pv_net_route *have,
                    uint32_t ifindex)
{
    return want->table == have->table && want->type == have->type && want->metric == have->metric &&
           want->dst.bits == have->dst.bits && pv_addr_equal_ip(&want->dst.base, &have->dst.base) &&
           (want->type != PV_NET_ROUTE_UNICAST || have->ifindex == ifindex);
}

/* Of two daemons on one machine each has its own interface and table; only the one with the exit
 * has the exit's tables. */
static bool is_ours(const struct pv_hostnet *net, const struct pv_net_route *have, uint32_t ifindex)
{
    bool of_exit = have->table == PV_NETWORDS_TABLE || have->table == PV_NETWORDS_TABLE_ALL;
    if (net->ctl.has_slot && have->table == PV_NETWORDS_TABLE_USED + net->host.slot)
        return true;
    return of_exit ? net->exit_lock.n > 0 : ifindex != 0 && have->ifindex == ifindex;
}

static size_t add_lines(struct pv_hostnet *net, const char *verb, const struct pv_networds_route *r,
                        size_t len)
{
    int n =
        pv_networds_route_line(verb, r, net->plan.ifname, net->text + len, sizeof(net->text) - len);
    return n < 0 ? len : len + (size_t)n;
}

/* The routes that are there and not wanted any more. */
static size_t stale_routes(struct pv_hostnet *net, size_t n_want, size_t n_have, uint32_t ifindex)
{
    size_t len = 0;
    for (size_t k = 0; k < n_have; k++) {
        const struct pv_net_route *have = &net->have[k];
        bool wanted = false;
        for (size_t i = 0; i < n_want && !wanted; i++)
            wanted = is_same(&net->routes[i], have, ifindex);
        if (wanted || !is_ours(net, have, ifindex))
            continue;
        const struct pv_networds_route gone = {have->dst, have->type, have->table, have->metric};
        len = add_lines(net, "del", &gone, len);
    }
    net->text[len] = '\0';
    return len;
}

/* New ones are set before old ones go; a line that fails holds up no other. */
static void set_routes(struct pv_hostnet *net)
{
    const struct pv_net_route_query query = {.proto = PV_NET_PROTO_OWN};
    uint32_t ifindex = net->ifname[0] == '\0' ? 0 : if_nametoindex(net->ifname);
    size_t n_want = pv_networds_routes(&net->plan, &net->host, net->routes), n_have = 0, len = 0;
    if (pv_net_routes(&query, net->have, PV_ARRAY_LEN(net->have), &n_have) < 0)
        return;
    for (size_t i = 0; i < n_want; i++) {
        bool there = false;
        for (size_t k = 0; k < n_have && !there; k++)
            there = is_same(&net->routes[i], &net->have[k], ifindex);
        if (!there)
            len = add_lines(net, "replace", &net->routes[i], len);
    }
    net->text[len] = '\0';
    if (len > 0 && pv_ipcmd_force(net->text) < 0)
        fault(net,
              "set routes through %s: ip refused some; `ip route show proto %d` lists the others",
              net->plan.ifname, PV_NET_PROTO_OWN);
    set_used_rules(net);
    if (stale_routes(net, n_want, n_have, ifindex) > 0)
        (void)pv_ipcmd_force(net->text);
}

/* --- the exit ------------------------------------------------------------------------------ */

/* One exit on a machine: held by the name of an interface, which the kernel gives back by itself
 * and which belongs to the network namespace, as routes and rules do. Nobody without rights can
 * take it, unlike a socket's. A p2pvpnd that has ended left its exit there. */
static int take_exit(struct pv_hostnet *net)
{
    if (net->exit_lock.n > 0)
        return PV_OK;
    return net->host.other_exit ? PV_ERR_EXISTS
                                : pv_tun_open(PV_NETPLAN_EXIT_LOCK, 1, &net->exit_lock);
}

static void give_exit(struct pv_hostnet *net)
{
    pv_tun_close(&net->exit_lock);
}

/* An exit that would not be one is not begun, and one that is in force stays. A block is not opened
 * for want of its exit: nothing goes out then, until that can be used. Another network of this
 * machine, or another VPN, may end without a word to us. */
static void refuse_exit(struct pv_hostnet *net, bool had_exit, bool was_shut)
{
    net->due = pv_min_ns(net->due, pv_clock_now() + AGAIN_EXIT);
    if (had_exit)
        return;
    net->said.exit_refused = true;
    net->shut = net->wanted.exit_asked ? was_shut : net->plan.exit_block;
    net->plan.exit = net->shut;
    net->plan.exit4 = net->plan.exit6 = false;
}

/* An exit that would not be one is not begun. */
static int allow_exit(struct pv_hostnet *net, bool patient)
{
    const struct pv_netplan_link *rival = pv_networds_rival(&net->host);
    if (net->host.n_uids == 0 && !net->alone) {
        fault(net,
              "use an exit: p2pvpnd runs as a user of others, whose packets would go around "
              "it: %s",
              PV_DO_STR(start_with_rights));
        return PV_ERR_UNSUPPORTED;
    }
    /* A helper whose daemon has just ended may still be cleaning up. */
    for (int i = 0; i < TRIES && patient && take_exit(net) < 0; i++)
        (void)poll(NULL, 0, TRY_MS);
    const int taken = take_exit(net);
    char guard[PV_NETPLAN_FAULT];
    if (rival != NULL)
        fault(net,
              "use an exit: another VPN has the route %s on %s, which our own packets would "
              "follow: %s",
              PV_PREFIX_STR(&rival->prefix), rival->ifname, PV_DO_STR(stop_vpn));
    else if (taken < 0 && taken != PV_ERR_EXISTS)
        fault(net, "use an exit: the interface p2pvpn-exit cannot be made: %s",
              pv_strstatus(taken));
    else if (taken < 0)
        fault(net, "use an exit: another network of this machine uses one: %s",
              PV_DO_STR(exit_off_first));
    else if (net->wanted.exit_asked && pv_hostlook_is_guarded(&net->plan, guard))
        fault(net, "%s", guard); /* of a network whose p2pvpnd has ended */
    else
        return PV_OK;
    return PV_ERR_EXISTS;
}

/* --- one look ------------------------------------------------------------------------------ */

static bool offers_any(const struct pv_netplan *plan, uint16_t family)
{
    for (size_t i = 0; i < plan->n_offered; i++)
        if (plan->offered[i].prefix.base.family == family)
            return true;
    return false;
}

static bool has_alone4(const struct pv_networds_host *host, const char *ifname)
{
    for (size_t i = 0; i < host->n_alone4; i++)
        if (strcmp(host->alone4[i], ifname) == 0)
            return true;
    return false;
}

/* Looks who forwards, and for whom: before the table is written, which keeps others out. */
static void look_at_forwarding(struct pv_hostnet *net)
{
    struct pv_networds_host *host = &net->host;
    pv_hostctl_release(&net->ctl);
    host->n_alone4 = 0;
    host->alone6 = pv_hostctl_alone6(&net->ctl, offers_any(&net->plan, PV_AF_INET6));
    host->own_alone4 =
        pv_hostctl_alone4(&net->ctl, net->plan.ifname, offers_any(&net->plan, PV_AF_INET));
    for (size_t i = 0; i < host->n_links; i++) {
        const char *ifname = host->links[i].ifname;
        if (strcmp(ifname, net->plan.ifname) != 0 && !has_alone4(host, ifname) &&
            pv_hostctl_alone4(&net->ctl, ifname,
                              pv_networds_forwards4(&net->plan, &host->links[i])))
            memcpy(host->alone4[host->n_alone4++], ifname, sizeof(host->alone4[0]));
    }
}

/* Do packets go on from our interface to our interface, as between members and phones? */
static bool is_gateway(const struct pv_netplan *plan)
{
    for (size_t i = 0; i < plan->n_offered; i++) {
        const struct pv_prefix *p = &plan->offered[i].prefix;
        if (p->bits == plan->overlay4.bits && pv_addr_equal_ip(&p->base, &plan->overlay4.base))
            return true;
    }
    return false;
}

static void set_switches(struct pv_hostnet *net)
{
    char error[PV_HOSTCTL_ERROR_MAX];
    struct pv_hostctl_wants wants = {.valid_mark = net->plan.exit || net->plan.n_used > 0,
                                     .no_redirects = is_gateway(&net->plan),
                                     .ifname = net->plan.ifname,
                                     .forward4 = offers_any(&net->plan, PV_AF_INET),
                                     .forward6 = offers_any(&net->plan, PV_AF_INET6),
                                     .from4 = net->host.alone4,
                                     .n_from4 = net->host.n_alone4};
    pv_hostctl_apply(&net->ctl, &wants, error);
    if (error[0] != '\0')
        fault(net, "%s", error);
}

/* Another network of this machine may have left its guard, which lets nothing out. */
static void look_at_guard(struct pv_hostnet *net, bool at_once)
{
    pv_ns now = pv_clock_now(), next = net->guard_at + POLICIES_AGAIN;
    if (net->plan.exit && !at_once && now < next) {
        net->due = pv_min_ns(net->due, next);
    } else if (net->plan.exit) {
        net->guard_at = now;
        if (!pv_hostlook_is_guarded(&net->plan, net->guard))
            net->guard[0] = '\0';
    }
    net->said.guarded = net->plan.exit && net->guard[0] != '\0';
    if (net->said.guarded)
        fault(net, "%s", net->guard);
}

/* No accept of ours lets pass what others forbid: the user has to. What packets have shown gets a
 * name. */
static void look_at_counts(struct pv_hostnet *net, pv_ns now)
{
    net->count_at = now + net->count_wait;
    net->count_wait = pv_min_ns(2 * net->count_wait, COUNT_LAST);
    if (!pv_hostcount_look(&net->count, net->watch.table))
        return;
    net->forbids[0] = net->reverse[0] = '\0';
    if (pv_hostcount_loses_members(&net->count))
        pv_hostlook_forbids(&net->plan, net->forbids);
    if (pv_hostcount_loses_own(&net->count))
        pv_hostlook_reverse(net->reverse);
    net->due = now;
}

/* What of others drops packets. */
static void tell_drops(struct pv_hostnet *net)
{
    if (!counts(net)) {
        net->count_at = PV_NEVER;
        net->forbids[0] = net->reverse[0] = '\0';
    } else if (net->count_at == PV_NEVER) {
        count_anew(net, false);
    }
    net->said.blocked = net->plan.n_offered > 0 && net->forbids[0] != '\0';
    if (net->said.blocked)
        fault(net, "%s", net->forbids);
    if (net->plan.exit && net->reverse[0] != '\0')
        fault(net, "%s", net->reverse);
}

/* Members ask the server that they have at home, by IPv4 or IPv6, and get this host's answers;
 * phones' questions the daemon hands on. */
static void look_at_resolvers(struct pv_hostnet *net)
{
    const struct pv_addr *dns[] = {&net->host.dns4, &net->host.dns6};
    bool exits[2] = {false, false};
    for (size_t i = 0; i < net->plan.n_offered; i++)
        if (net->plan.offered[i].prefix.bits == 0)
            exits[net->plan.offered[i].prefix.base.family == PV_AF_INET6] = true;
    net->resolvers_at = net->plan.n_offered > 0 ? pv_clock_now() + RESOLVERS_AGAIN : PV_NEVER;
    for (size_t i = 0; i < 2; i++)
        if (exits[i] && dns[i]->family == PV_AF_NONE && dns[1 - i]->family == PV_AF_NONE)
            fault(net,
                  "resolve names for members that use this exit: this host's resolver is on "
                  "the host itself: %s",
                  PV_DO_STR(public_resolver));
        else if (exits[i] && dns[i]->family == PV_AF_NONE)
            fault(net,
                  "resolve names for members that use this exit and ask over %s: /etc/resolv.conf "
                  "has no server with such an address: %s",
                  i == 0 ? "IPv4" : "IPv6", PV_DO_STR(give_resolver));
}

/* A network that is not known could not be kept from those who use the exit. */
static void close_exit(struct pv_hostnet *net)
{
    for (size_t i = net->plan.n_offered; i-- > 0;) {
        if (net->plan.offered[i].prefix.bits != 0)
            continue;
        net->plan.offered[i] = net->plan.offered[--net->plan.n_offered];
        fault(net, "be an exit: this host has more than %d networks, or they could not be read: %s",
              PV_NETWORDS_LINKS, PV_DO_STR(offer_prefixes));
    }
}

/* A range that the interface cannot have is not kept from coming by the one that has it. */
static void leave_out_taken(struct pv_hostnet *net)
{
    struct pv_prefix *overlay[] = {&net->plan.overlay4, &net->plan.overlay6};
    for (size_t i = 0; i < PV_ARRAY_LEN(overlay); i++) {
        if (overlay[i]->base.family == PV_AF_NONE ||
            pv_networds_may_be_members(&net->host, net->plan.ifname, overlay[i]))
            continue;
        fault(net, "keep members' range %s to %s: this host is in it by another interface: %s",
              PV_PREFIX_STR(overlay[i]), net->plan.ifname, PV_DO_STR(leave_that_network));
        for (size_t k = net->plan.n_offered; k-- > 0;)
            if (net->plan.offered[k].prefix.base.family == overlay[i]->base.family)
                net->plan.offered[k] = net->plan.offered[--net->plan.n_offered];
        overlay[i]->base.family = PV_AF_NONE;
    }
}

/* The others know by the file whose rules and routes these are. */
static void note_exit(struct pv_hostnet *net, bool has)
{
    if (net->ctl.has_exit == has)
        return;
    net->ctl.has_exit = has;
    pv_hostctl_mark(&net->ctl);
}

/* Everything that needs our table; without the table nothing of it is begun. */
static int set_up(struct pv_hostnet *net, bool had_exit, bool was_shut)
{
    bool wants = pv_networds_wants_table(&net->plan);
    int r = wants ? set_table(net) : PV_OK;
    if (r < 0)
        net->plan.n_offered = 0;
    if (r < 0 && net->plan.exit)
        /* The table of before, if there is one, still guards it. */
        refuse_exit(net, had_exit, was_shut);
    if (net->plan.exit && net->exit_lock.n == 0) {
        /* The guard alone: rules and routes of an exit are another network's. */
        net->plan.exit = false;
        set_routes(net);
        set_switches(net);
        net->plan.exit = true;
        return r;
    }
    if (net->plan.exit) {
        note_exit(net, true);
        set_switches(net);
        /* Programs that keep a source address look again when routes change (wireguard-go), and
         * must find the rules then; the guard holds until the routes are there. */
        set_rules(net);
        set_routes(net);
        return r;
    }
    /* Once, for what an earlier life left; unless it is another network's, whose p2pvpnd may have
     * ended and left a block. */
    const int mine = net->exit_lock.n > 0 || !net->cleaned ? take_exit(net) : PV_ERR_AGAIN;
    if (mine == PV_OK)
        set_rules(net);
    set_routes(net);
    if (mine == PV_OK || mine == PV_ERR_EXISTS)
        note_exit(net, false);
    /* Taken and given with each try it would be a change of the host, which is a reason to try. */
    if (!net->wanted.exit)
        give_exit(net);
    net->cleaned = true;
    set_switches(net);
    return r;
}

/* The interface was called otherwise once: nobody else takes away what stands under that name, and
 * it lets nothing of ours pass; unless that is another network's name by now. */
static void drop_former(struct pv_hostnet *net)
{
    const char *former = net->ctl.former;
    const bool is_anothers = former[0] != '\0' && pv_hostctl_is_anothers(&net->ctl, former);
    if (former[0] == '\0' || (!is_anothers && if_nametoindex(former) != 0))
        return;
    if (!is_anothers && drop_table(net, former) < 0) {
        net->due = pv_min_ns(net->due, pv_clock_now() + TABLE_AGAIN);
        return;
    }
    net->ctl.former[0] = '\0';
    pv_hostctl_mark(&net->ctl);
}

/* Has this network something in the kernel? */
static bool has_any(const struct pv_netplan *plan)
{
    return pv_networds_wants_table(plan) || plan->n_used > 0;
}

/* Rules and routes of used prefixes are told apart by it. A network that has nothing in the kernel
 * keeps none from the others. */
static void take_slot(struct pv_hostnet *net)
{
    if (!(net->ctl.has_slot && net->ctl.has_said) && has_any(&net->plan))
        pv_hostctl_take_slot(&net->ctl, pv_networds_slot(net->wanted.ifname), PV_NETWORDS_SLOTS);
    if (net->ctl.has_slot && !net->ctl.has_said) { /* others may take the same one meanwhile */
        fault(net, "write %s: is its disk full?", net->ctl.path);
        net->due = pv_min_ns(net->due, pv_clock_now() + TABLE_AGAIN);
    }
    net->host.slot = net->ctl.slot;
}

/* An exit that was opened by hand (setup reopen) has none, whatever the file of its network says.
 */
static bool there_are_rules(void)
{
    size_t n[PV_ARRAY_LEN(FAMILIES)] = {0};
    for (size_t i = 0; i < PV_ARRAY_LEN(FAMILIES); i++)
        if (pv_net_rules(FAMILIES[i], PV_NET_PROTO_OWN, &n[i]) < 0)
            n[i] = 0; /* a kernel without IPv6 */
    return n[0] + n[1] > 0;
}

/* The table of an exit that was used stays until the exit's rules are gone, hence two of them. */
static int apply(struct pv_hostnet *net, bool patient)
{
    const bool was_shut = net->shut, had_exit = net->plan.exit && !was_shut;
    int r = PV_OK;
    net->shut = false;
    memset(&net->said, 0, sizeof(net->said));
    net->said.changes = net->changes;
    net->plan = net->wanted;
    take_slot(net);
    pv_hostlook_networks(net->wanted.ifname, &net->host);
    net->host.has_iface =
        strcmp(net->ifname, net->wanted.ifname) == 0 && if_nametoindex(net->ifname) != 0;
    net->host.other_exit =
        !net->ctl.has_exit && there_are_rules() && pv_hostctl_has_other_exit(&net->ctl);
    look_at_forwarding(net);
    if (net->host.cut)
        close_exit(net);
    if (net->plan.exit)
        r = allow_exit(net, patient);
    leave_out_taken(net);
    if (r < 0)
        refuse_exit(net, had_exit, was_shut);
    if (had_exit && !net->plan.exit) {
        set_rules(net);
        set_routes(net);
    }
    int up = set_up(net, had_exit, was_shut);
    if (!pv_networds_wants_table(&net->plan) && net->table_now[0] != '\0') {
        drop_table(net, net->plan.ifname);
        net->table_now[0] = '\0';
    }
    drop_former(net);
    if (!has_any(&net->plan) && net->ctl.n == 0 && net->ctl.former[0] == '\0')
        pv_hostctl_forget(&net->ctl);
    look_at_guard(net, patient);
    tell_drops(net);
    look_at_resolvers(net);
    pv_hostlook_tell(&net->wanted, &net->host, &net->said);
    if (net->host.has_iface && net->host.own_up)
        pv_hostlook_ways(&net->plan, &net->host, &net->said);
    return net->wanted.exit_asked ? (r < 0 ? r : up) : PV_OK;
}

/* --- what an earlier life left ------------------------------------------------------------- */

/* The first plan decides about it; what it wants again is replaced, the rest goes. */
static void take_over(struct pv_hostnet *net, const char *ifname)
{
    bool left = pv_hostctl_load(&net->ctl) || net->ctl.path[0] == '\0';
    if (net->ctl.ifname[0] != '\0' && strcmp(net->ctl.ifname, ifname) != 0)
        memcpy(net->ctl.former, net->ctl.ifname, sizeof(net->ctl.former));
    if (strcmp(net->ctl.former, ifname) == 0)
        net->ctl.former[0] = '\0';
    snprintf(net->ctl.ifname, sizeof(net->ctl.ifname), "%s", ifname);
    if (net->ctl.slot >= PV_NETWORDS_SLOTS)
        net->ctl.has_slot = false;  /* nobody but us should have written it */
    if (left && !net->ctl.has_slot) /* without a file it follows from the name alone */
        pv_hostctl_take_slot(&net->ctl, pv_networds_slot(ifname), PV_NETWORDS_SLOTS);
    if (left && !pv_networds_wants_table(&net->wanted))
        snprintf(net->table_now, sizeof(net->table_now), "left");
    pv_networds_table(ifname, net->watch.table);
}

int pv_hostnet_set(struct pv_hostnet *net, const struct pv_netplan *plan,
                   char ret_error[static PV_HOSTNET_ERROR_MAX])
{
    ret_error[0] = '\0';
    int r = watch_open(&net->watch);
    if (r < 0) {
        snprintf(ret_error, PV_HOSTNET_ERROR_MAX, "watch this host's routes: %s", strerror(-r));
        return r;
    }
    if (net->known && strcmp(net->wanted.ifname, plan->ifname) != 0) {
        snprintf(ret_error, PV_HOSTNET_ERROR_MAX, "set routes: the interface has another name");
        return PV_ERR_STATE;
    }
    struct pv_netplan before = net->wanted;
    snprintf(before.ifname, sizeof(before.ifname), "%s", plan->ifname);
    net->wanted = *plan;
    if (!net->known)
        take_over(net, plan->ifname);
    net->known = true;
    r = apply(net, true);
    if (r < 0) { /* it was asked for: what holds is what was wanted before */
        snprintf(ret_error, PV_HOSTNET_ERROR_MAX, "%.239s", net->said.fault);
        net->wanted = before;
        (void)apply(net, false);
    }
    net->wanted.exit_asked = false;
    return r;
}

void pv_hostnet_iface(struct pv_hostnet *net, const char *ifname)
{
    bool changed = strcmp(net->ifname, ifname) != 0;
    snprintf(net->ifname, sizeof(net->ifname), "%s", ifname);
    if (ifname[0] != '\0') { /* another network's table knows it by that */
        (void)pv_ipcmd_force(PV_STR("link set dev %s group %d\n", ifname, PV_NETWORDS_GROUP));
    }
    if (net->known && (changed || ifname[0] != '\0'))
        (void)apply(net, false);
}

void pv_hostnet_port(struct pv_hostnet *net, uint16_t udp_port)
{
    net->host.udp_port = udp_port;
}

/* --- watching ------------------------------------------------------------------------------ */

void pv_hostnet_poll(const struct pv_hostnet *net, struct pollfd ret_fds[static PV_HOSTNET_FDS])
{
    ret_fds[0] = (struct pollfd){.fd = net->watch.route_fd, .events = POLLIN};
    ret_fds[1] = (struct pollfd){.fd = net->watch.nft_fd, .events = POLLIN};
}

int pv_hostnet_timeout(const struct pv_hostnet *net, pv_ns now)
{
    return pv_poll_ms(pv_min_ns(net->due, pv_min_ns(net->resolvers_at, net->count_at)), now);
}

/* A table that was flushed is set again at once; all else waits until it is quiet. */
void pv_hostnet_work(struct pv_hostnet *net, pv_ns now)
{
    if (watch_read(&net->watch, now)) {
        if (net->plan.exit || net->plan.n_used > 0)
            net->changes++;
        if (net->watch.others && counts(net))
            count_anew(net, false);
        bool flushed = net->table_now[0] != '\0' && !table_is_whole(net);
        pv_ns at = flushed ? now : pv_min_ns(net->watch.last + QUIET, net->watch.first + LATEST);
        net->due = at < net->again ? net->again : at;
    }
    if (now >= net->count_at)
        look_at_counts(net, now);
    if (now >= net->resolvers_at) {
        net->resolvers_at = now + RESOLVERS_AGAIN;
        if (pv_hostlook_resolvers(&net->host))
            net->due = now;
    }
    if (now < net->due)
        return;
    net->due = PV_NEVER;
    net->watch.first = net->watch.last = 0;
    net->again = now + AGAIN;
    (void)apply(net, false);
}

bool pv_hostnet_report(struct pv_hostnet *net, bool again, struct pv_netplan_host *ret_host)
{
    if (!net->known || (!again && net->has_told && pv_netplan_host_is_same(&net->said, &net->told)))
        return false;
    *ret_host = net->told = net->said;
    net->has_told = true;
    return true;
}

/* --- life ---------------------------------------------------------------------------------- */

int pv_hostnet_new(struct pv_hostnet **ret_net, const struct pv_hostnet_config *cfg)
{
    struct pv_hostnet *net = calloc(1, sizeof(*net));
    if (net == NULL)
        return PV_ERR_NOMEM;
    net->watch.route_fd = net->watch.nft_fd = -1;
    net->due = net->resolvers_at = net->count_at = PV_NEVER;
    net->alone = cfg->alone;
    net->host.n_uids = cfg->n_uids;
    memcpy(net->host.uids, cfg->uids, sizeof(net->host.uids));
    if (cfg->path != NULL)
        snprintf(net->ctl.path, sizeof(net->ctl.path), "%s", cfg->path);
    *ret_net = net;
    return PV_OK;
}

struct pv_hostnet *pv_hostnet_end(struct pv_hostnet *net)
{
    char error[PV_HOSTNET_ERROR_MAX];
    if (net == NULL)
        return NULL;
    if (net->known) {
        struct pv_netplan last = net->wanted;
        bool blocks = net->plan.exit && net->wanted.exit_block;
        /* A packet that shall not leave by another way does not; routes into the interface go with
         * it. */
        last.n_offered = 0;
        if (!blocks)
            last.exit = last.exit4 = last.exit6 = last.exit_lan = last.exit_block = false;
        if (!blocks && last.n_used == 0)
            last.overlay4.base.family = last.overlay6.base.family = PV_AF_NONE;
        if (pv_hostnet_set(net, &last, error) < 0)
            fprintf(stderr, "p2pvpnd helper: %s\n", error); /* nobody else listens any more */
    }
    give_exit(net);
    watch_close(&net->watch);
    free(net);
    return NULL;
}
