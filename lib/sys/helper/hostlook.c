/* SPDX-License-Identifier: MIT */
/*
 * hostlook.c - looks at the host's networks, at its resolvers' file, and at what other tables of
 * netfilter do with forwarded packets.
 */
#include "sys/helper/hostlook.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/remedy.h"
#include "base/text.h"
#include "sys/net/ipcmd.h"
#include "sys/net/netlink.h"
#include "sys/net/netroutes.h"

enum {
    ADDRS = 512,    /* addresses of this host looked at */
    LINKS = 1024,   /* interfaces */
    ROUTES = 4096,  /* of all tables */
    MAIN = 254,     /* RT_TABLE_MAIN */
    KERNEL = 2,     /* RTPROT_KERNEL */
    PROGRAM = 1000, /* ours: the user of a program whose packets' way is looked up */
};

/* --- networks ------------------------------------------------------------------------------ */

static enum pv_netplan_kind kind_of(bool tunnel, bool container)
{
    return container ? PV_NETPLAN_CONTAINER : tunnel ? PV_NETPLAN_TUNNEL : PV_NETPLAN_LAN;
}

/* A network of containers has no carrier while no container runs, and is there all the same. */
static bool is_up(bool up, bool container, bool off)
{
    return up || (container && !off);
}

static bool is_bridge(const char *ifname)
{
    return access(PV_STR("/sys/class/net/%s/bridge", ifname), F_OK) == 0;
}

/* As in struct pv_networds_host. main: a route of the main table leads there. */
struct link_state {
    bool connected, direct, up, main;
};

/* Of the networks in a full table the last one without a link gives way; cut says that one with an
 * address of this host did, whose packets nothing keeps from other ways then. False: all have a
 * link. */
static bool drop_down_link(struct pv_networds_host *host)
{
    size_t at = host->n_links;
    while (at > 0 && host->up[at - 1])
        at--;
    if (at == 0)
        return false;
    const size_t last = --host->n_links;
    host->cut = host->cut || host->connected[at - 1];
    host->links[at - 1] = host->links[last];
    host->connected[at - 1] = host->connected[last];
    host->up[at - 1] = host->up[last];
    host->bridge[at - 1] = host->bridge[last];
    host->direct[at - 1] = host->direct[last];
    host->aside[at - 1] = host->aside[last];
    return true;
}

/* Names that could not stand in a rule are passed over: then the network counts as not there, which
 * leaves less alone and never more. */
static void add_link(struct pv_networds_host *host, const struct pv_prefix *range,
                     const char *ifname, enum pv_netplan_kind kind, struct link_state state)
{
    struct pv_netplan_link l = {.prefix = pv_netplan_range(range), .kind = kind};
    if (strlen(ifname) >= sizeof(l.ifname) || strpbrk(ifname, "\"\\;{} *") != NULL)
        return;
    memcpy(l.ifname, ifname, strlen(ifname));
    for (size_t i = 0; i < host->n_links; i++)
        if (host->links[i].prefix.bits == l.prefix.bits &&
            pv_addr_equal_ip(&host->links[i].prefix.base, &l.prefix.base) &&
            strcmp(host->links[i].ifname, ifname) == 0) {
            host->aside[i] = host->aside[i] && !state.main;
            return;
        }
    if (host->n_links == PV_NETWORDS_LINKS && (!state.up || !drop_down_link(host))) {
        host->cut = host->cut || state.up || state.connected;
        return;
    }
    host->links[host->n_links] = l;
    host->connected[host->n_links] = state.connected;
    host->up[host->n_links] = state.up;
    host->aside[host->n_links] = state.connected && state.up && !state.main;
    host->bridge[host->n_links] = is_bridge(ifname);
    host->direct[host->n_links++] = state.direct;
}

static void look_at_addrs(const char *own, struct pv_networds_host *host)
{
    struct pv_net_addr *a = calloc(ADDRS, sizeof(*a));
    size_t n = 0;
    if (a == NULL || pv_net_addrs(a, ADDRS, &n) < 0) {
        n = 0;
        host->cut = true;
    }
    for (size_t i = 0; i < n; i++) {
        host->own_up = host->own_up || (strcmp(a[i].ifname, own) == 0 && a[i].up);
        if (strcmp(a[i].ifname, own) == 0 && host->n_own < PV_NETWORDS_OWN)
            host->own[host->n_own++] = pv_netplan_range(&a[i].addr);
        else if (!a[i].loopback && strcmp(a[i].ifname, own) != 0)
            add_link(
                host, &a[i].addr, a[i].ifname, kind_of(a[i].tunnel, a[i].container),
                (struct link_state){true, true, is_up(a[i].up, a[i].container, a[i].off), false});
    }
    host->cut = host->cut || n == ADDRS;
    free(a);
}

static const struct pv_net_link *find_link(const struct pv_net_link *links, size_t n,
                                           uint32_t index)
{
    for (size_t i = 0; i < n; i++)
        if (links[i].index == index)
            return &links[i];
    return NULL;
}

/* Which table leads a member's packet is decided by rules of the user's that may say anything. */
static void add_beside(struct pv_networds_host *host, const struct pv_prefix *dst)
{
    for (size_t i = 0; i < host->n_beside; i++)
        if (host->beside[i].bits == dst->bits &&
            pv_addr_equal_ip(&host->beside[i].base, &dst->base))
            return;
    host->cut = host->cut || host->n_beside == PV_NETWORDS_LINKS;
    if (host->n_beside < PV_NETWORDS_LINKS)
        host->beside[host->n_beside++] = *dst;
}

static bool is_used(const struct pv_net_route *r)
{
    return r->proto == PV_NET_PROTO_OWN && r->table >= PV_NETWORDS_TABLE_USED &&
           r->table < PV_NETWORDS_TABLE_USED + PV_NETWORDS_SLOTS;
}

/* The prefix of another network of ours: each has a route that ends it, and one through its
 * interface while that is there. More than the limit are as if they were not used. */
static void add_other(struct pv_networds_host *host, const struct pv_net_route *routes, size_t n,
                      const struct pv_net_route *end, const struct pv_net_link *links,
                      size_t n_links)
{
    if (host->n_others == PV_NETWORDS_OTHERS)
        return;
    struct pv_networds_other *o = &host->others[host->n_others++];
    *o = (struct pv_networds_other){.prefix = end->dst};
    o->ahead = end->table < PV_NETWORDS_TABLE_USED + host->slot;
    for (size_t i = 0; i < n; i++) {
        const struct pv_net_link *l = find_link(links, n_links, routes[i].ifindex);
        if (l != NULL && routes[i].type == PV_NET_ROUTE_UNICAST && routes[i].table == end->table &&
            routes[i].dst.bits == end->dst.bits &&
            pv_addr_equal_ip(&routes[i].dst.base, &end->dst.base) && pv_ifname_is_valid(l->name))
            snprintf(o->ifname, sizeof(o->ifname), "%s", l->name);
    }
}

/* As wg-quick makes it: all goes by a table of the VPN's, but what carries the VPN's mark. */
static void look_for_vpn(struct pv_networds_host *host, const struct pv_net_route *routes, size_t n,
                         const struct pv_net_link *links, size_t n_links)
{
    bool uplink[2] = {false, false}, vpn[2] = {false, false};
    for (size_t i = 0; i < n; i++) {
        const struct pv_net_route *r = &routes[i];
        const struct pv_net_link *l = find_link(links, n_links, r->ifindex);
        const bool v6 = r->dst.base.family == PV_AF_INET6;
        if (r->type != PV_NET_ROUTE_UNICAST || r->proto == PV_NET_PROTO_OWN || r->dst.bits > 1)
            continue;
        if (r->table == MAIN)
            uplink[v6] = uplink[v6] || (r->dst.bits == 0 && (l == NULL || !l->tunnel));
        else
            vpn[v6] = vpn[v6] || (l != NULL && l->tunnel);
    }
    for (size_t i = 0; i < 2; i++)
        host->vpn_rule[i] = uplink[i] && vpn[i];
}

/* A rule of the user's leads to a network that the host is in, or nothing does. Our own packets
 * are led as if we had no rules. */
static void look_aside(struct pv_networds_host *host)
{
    const struct pv_net_sender us = {.mark = PV_NETWORDS_MARK, .uid = PV_NET_SELF};
    for (size_t i = 0; i < host->n_links; i++) {
        const uint32_t index = host->aside[i] ? if_nametoindex(host->links[i].ifname) : 0;
        bool leads = false;
        for (unsigned k = 1; index != 0 && k <= 2 && !leads; k++) { /* one may be this host */
            struct pv_addr a = pv_netplan_sample(&host->links[i].prefix, k);
            struct pv_net_way way;
            leads = pv_net_way(&a, &us, &way) >= 0 && way.ifindex == index;
        }
        host->aside[i] = leads;
    }
}

/* Routes in the main table, but for the default, and ours: of the plan, and of our addresses. The
 * kernel has some for which there is no address: of a prefix that a router says is on the link.
 * Static peers' are through our interface too. Of other tables, those without a router. */
static void look_at_routes(const char *own, struct pv_networds_host *host)
{
    const struct pv_net_route_query query = {.table = 0};
    struct pv_net_link *links = calloc(LINKS, sizeof(*links));
    struct pv_net_route *routes = calloc(ROUTES, sizeof(*routes));
    size_t n_links = 0, n = 0;
    if (links == NULL || routes == NULL || pv_net_links(links, LINKS, &n_links) < 0 ||
        pv_net_routes(&query, routes, ROUTES, &n) < 0) {
        n = 0;
        host->cut = true;
    }
    look_for_vpn(host, routes, n, links, n_links);
    for (size_t i = 0; i < n; i++) {
        const struct pv_net_route *r = &routes[i];
        const struct pv_net_link *l = find_link(links, n_links, r->ifindex);
        bool mine = l != NULL && strcmp(l->name, own) == 0;
        if (is_used(r) && r->type == PV_NET_ROUTE_UNREACHABLE &&
            r->table != PV_NETWORDS_TABLE_USED + host->slot)
            add_other(host, routes, n, r, links, n_links);
        if (r->dst.bits == 0 || r->type != PV_NET_ROUTE_UNICAST ||
            pv_addr_is_link_local(&r->dst.base) || pv_addr_is_multicast(&r->dst.base) ||
            (l == NULL ? r->ifindex != 0 : l->loopback) ||
            (mine && (r->proto == PV_NET_PROTO_OWN || r->proto == KERNEL)))
            continue;
        const bool told = l != NULL && r->table == MAIN && r->proto != PV_NET_PROTO_OWN;
        if (!mine && !r->via && !told)
            add_beside(host, &r->dst);
        if (told)
            add_link(host, &r->dst, l->name, kind_of(l->tunnel || mine, l->container),
                     (struct link_state){r->proto == KERNEL, !r->via,
                                         is_up(l->up, l->container, l->off), true});
    }
    host->cut = host->cut || n == ROUTES;
    free(links);
    free(routes);
}

/* --- resolvers ----------------------------------------------------------------------------- */

struct resolvers {
    struct pv_addr dns[2]; /* the first of IPv4, of IPv6 that can be reached from elsewhere */
    struct pv_addr asked[PV_NETPLAN_RESOLVERS];
    size_t n_asked;
};

static void note_resolver(struct resolvers *r, const struct pv_addr *a)
{
    struct pv_addr *first = &r->dns[a->family == PV_AF_INET6];
    if (r->n_asked < PV_NETPLAN_RESOLVERS)
        r->asked[r->n_asked++] = *a;
    if (first->family == PV_AF_NONE && !pv_addr_is_loopback(a))
        *first = *a;
}

static void read_resolvers(const char *path, struct resolvers *r)
{
    char line[256], text[64];
    struct pv_addr a;
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "nameserver %63s", text) == 1 && pv_addr_parse_ip(text, &a) == PV_OK &&
            !pv_addr_is_unspecified(&a) && !pv_addr_is_link_local(&a))
            note_resolver(r, &a);
    }
    if (f != NULL)
        fclose(f);
}

bool pv_hostlook_resolvers(struct pv_networds_host *host)
{
    struct resolvers r = {.n_asked = 0};
    read_resolvers("/etc/resolv.conf", &r);
    /* systemd-resolved stands in front of those; here are the ones behind it. */
    if (r.dns[0].family == PV_AF_NONE && r.dns[1].family == PV_AF_NONE)
        read_resolvers("/run/systemd/resolve/resolv.conf", &r);
    bool changed =
        !pv_addr_equal_ip(&r.dns[0], &host->dns4) || !pv_addr_equal_ip(&r.dns[1], &host->dns6);
    for (size_t i = 0; i < PV_NETPLAN_RESOLVERS; i++)
        changed = changed || !pv_addr_equal_ip(&r.asked[i], &host->asked[i]);
    host->dns4 = r.dns[0];
    host->dns6 = r.dns[1];
    memcpy(host->asked, r.asked, sizeof(host->asked));
    return changed;
}

void pv_hostlook_networks(const char *ifname, struct pv_networds_host *host)
{
    host->n_links = host->n_beside = host->n_own = host->n_others = 0;
    host->cut = host->own_up = false;
    memset(host->links, 0, sizeof(host->links));
    look_at_addrs(ifname, host);
    look_at_routes(ifname, host);
    look_aside(host);
    (void)pv_hostlook_resolvers(host);
}

void pv_hostlook_tell(const struct pv_netplan *plan, const struct pv_networds_host *host,
                      struct pv_netplan_host *ret_said)
{
    for (size_t i = 0; i < host->n_links && ret_said->n_lan < PV_NETPLAN_LINKS; i++)
        if (host->connected[i] && host->up[i])
            ret_said->lan[ret_said->n_lan++] = host->links[i];
    ret_said->n_overlaps = pv_networds_overlaps(plan, host, ret_said->overlaps);
    for (size_t i = 0; plan->n_offered > 0 && i < PV_NETPLAN_RESOLVERS; i++)
        ret_said->resolvers[i] = host->asked[i];
}

/* --- where a program's packets go ------------------------------------------------------------ */

enum way_is {
    WAY_UNKNOWN, /* the kernel was not asked */
    WAY_FOUND,
    WAY_REFUSED, /* there is none: a route may say so, or the address is this host's */
};

static enum way_is ask_way(const struct pv_addr *to, const struct pv_net_sender *program,
                           struct pv_net_way *ret_way)
{
    int r = pv_net_way(to, program, ret_way);
    return r >= 0 ? WAY_FOUND : r == PV_ERR_NOT_FOUND ? WAY_REFUSED : WAY_UNKNOWN;
}

/* A member's address, or one in a used prefix: the first may be this host. */
static enum way_is find_way(const struct pv_addr *a, const struct pv_prefix *range,
                            const struct pv_networds_host *host, struct pv_net_way *ret_way)
{
    struct pv_net_sender program = {.uid = PROGRAM};
    for (size_t i = 0; i < host->n_uids; i++)
        program.uid += host->uids[i] == program.uid;
    if (a != NULL)
        return ask_way(a, &program, ret_way);
    const struct pv_addr first = pv_netplan_sample(range, 1), second = pv_netplan_sample(range, 2);
    const enum way_is is = ask_way(&first, &program, ret_way);
    return is == WAY_FOUND ? is : ask_way(&second, &program, ret_way);
}

/* The table of a route that refuses packets to the address, and that a rule looks into; 0: none is
 * found. */
static uint32_t refusing_table(const struct pv_addr *to)
{
    const struct pv_net_route_query query = {.table = 0};
    struct pv_net_route *routes = calloc(ROUTES, sizeof(*routes));
    uint32_t table = 0, rule;
    size_t n = 0;
    if (routes == NULL || pv_net_routes(&query, routes, ROUTES, &n) < 0)
        n = 0;
    for (size_t i = 0; i < n && table == 0; i++) {
        const struct pv_net_route *r = &routes[i];
        if (r->type == PV_NET_ROUTE_UNREACHABLE && r->proto != PV_NET_PROTO_OWN &&
            r->dst.base.family == to->family && pv_prefix_contains(&r->dst, to) &&
            pv_net_rule_of(to->family, r->table, &rule) >= 0)
            table = r->table;
    }
    free(routes);
    return table;
}

static bool is_said(const struct pv_netplan_host *said, const struct pv_prefix *range,
                    const char *ifname)
{
    for (size_t i = 0; i < said->n_overlaps; i++)
        if (said->overlaps[i].table != 0 && said->overlaps[i].used.bits <= range->bits &&
            pv_prefix_overlaps(range, &said->overlaps[i].used) &&
            strcmp(said->overlaps[i].other.ifname, ifname) == 0)
            return true;
    return false;
}

/* own: the table that leads to our interface; 0: it is the exit's, and a is asked about. */
static void look_at_way(const char *ifname, const struct pv_networds_host *host,
                        const struct pv_prefix *range, uint32_t own, struct pv_netplan_host *said)
{
    const struct pv_addr far = pv_net_far(range->base.family);
    const struct pv_addr to = own == 0 ? far : pv_netplan_sample(range, 2);
    struct pv_netplan_overlap o = {.used = *range, .taken = true, .own = own};
    struct pv_net_way way;
    char name[IF_NAMESIZE] = "";
    const enum way_is is = find_way(own == 0 ? &far : NULL, range, host, &way);
    if (said->n_overlaps == PV_NETPLAN_OVERLAPS || is == WAY_UNKNOWN ||
        (is == WAY_FOUND && if_indextoname(way.ifindex, name) == NULL) || strcmp(name, ifname) == 0)
        return;
    o.table = is == WAY_REFUSED ? refusing_table(&to) : way.table;
    if (o.table == 0 || is_said(said, range, name) ||
        pv_net_rule_of(range->base.family, o.table, &o.rule) < 0)
        return;
    o.other.prefix = *range;
    snprintf(o.other.ifname, sizeof(o.other.ifname), "%s", name);
    said->overlaps[said->n_overlaps++] = o;
}

void pv_hostlook_ways(const struct pv_netplan *plan, const struct pv_networds_host *host,
                      struct pv_netplan_host *ret_said)
{
    static const struct pv_prefix all[] = {{.base = {.family = PV_AF_INET}},
                                           {.base = {.family = PV_AF_INET6}}};
    const uint8_t carries[] = {plan->exit4, plan->exit6};
    for (size_t i = 0; i < host->n_own; i++) /* the interface may have one family alone */
        look_at_way(plan->ifname, host, &host->own[i], MAIN, ret_said);
    for (size_t i = 0; i < plan->n_used; i++)
        look_at_way(plan->ifname, host, &plan->used[i].prefix, PV_NETWORDS_TABLE_USED + host->slot,
                    ret_said);
    for (size_t i = 0; i < PV_ARRAY_LEN(all); i++)
        if (plan->exit && carries[i])
            look_at_way(plan->ifname, host, &all[i], 0, ret_said);
}

/* --- who drops ----------------------------------------------------------------------------- */

/* Names for what packets have shown (hostcount.h), and the guards of other networks of ours. */

struct policies {
    char table[80];    /* the one whose chains are being listed: "ip filter" */
    char dropping[80]; /* the first that drops what is forwarded; "": none */
    char guard[80];    /* of another network's exit: all but that is dropped; "": none */
    const char *own;   /* our table's name */
    bool docker, firewalld;
};

/* Of `nft list chains`. */
static void take_chain_line(void *ctx, const char *line)
{
    struct policies *p = ctx;
    char family[16], table[64];
    if (sscanf(line, "table %15s %63s {", family, table) == 2) {
        snprintf(p->table, sizeof(p->table), "%s %s", family, table);
        p->firewalld = p->firewalld || strcmp(table, "firewalld") == 0;
    }
    if (strstr(line, "chain DOCKER-USER {") != NULL)
        p->docker = true;
    const char *name = strchr(p->table, ' ');
    if (strstr(line, "chain guard {") != NULL && name != NULL &&
        strncmp(name + 1, "p2pvpn-", 7) == 0 && strcmp(name + 1, p->own) != 0)
        snprintf(p->guard, sizeof(p->guard), "%s", p->table);
    if (strstr(line, "hook forward") != NULL && strstr(line, "policy drop") != NULL &&
        name != NULL && strncmp(name + 1, "p2pvpn-", 7) != 0 && p->dropping[0] == '\0')
        snprintf(p->dropping, sizeof(p->dropping), "%s", p->table);
}

static bool list_policies(const struct pv_netplan *plan, char own[static PV_NETWORDS_NAME],
                          struct policies *ret)
{
    static const char *const words[] = {"chains"};
    pv_networds_table(plan->ifname, own);
    *ret = (struct policies){.own = own};
    return pv_nftcmd_list(words, PV_ARRAY_LEN(words), take_chain_line, ret) == PV_OK;
}

static bool tell_guard(const struct policies *p, char ret_remedy[static PV_NETPLAN_FAULT])
{
    if (p->guard[0] != '\0')
        snprintf(ret_remedy, PV_NETPLAN_FAULT,
                 "use an exit: another network of this machine lets nothing out but by its own "
                 "(table %s): %s",
                 p->guard, PV_DO_STR(exit_off_first));
    return p->guard[0] != '\0';
}

bool pv_hostlook_is_guarded(const struct pv_netplan *plan, char ret_remedy[static PV_NETPLAN_FAULT])
{
    char own[PV_NETWORDS_NAME];
    struct policies p;
    return list_policies(plan, own, &p) && tell_guard(&p, ret_remedy);
}

void pv_hostlook_forbids(const struct pv_netplan *plan, char ret_remedy[static PV_NETPLAN_FAULT])
{
    const char *ifname = plan->ifname;
    char own[PV_NETWORDS_NAME];
    struct policies p;
    if (!list_policies(plan, own, &p))
        p = (struct policies){.own = own};
    if (p.docker)
        snprintf(ret_remedy, PV_NETPLAN_FAULT,
                 "forward packets of members: docker drops what it does not know: %s",
                 PV_DO_STR(accept_in_docker, ifname, ifname));
    else if (p.firewalld)
        snprintf(ret_remedy, PV_NETPLAN_FAULT,
                 "forward packets of members: firewalld does not let %s through: %s", ifname,
                 PV_DO_STR(add_to_firewalld, ifname));
    else if (p.dropping[0] != '\0')
        snprintf(ret_remedy, PV_NETPLAN_FAULT,
                 "forward packets of members: table %s drops what it does not know: %s", p.dropping,
                 PV_DO_STR(accept_in_table, ifname, ifname));
    else
        snprintf(ret_remedy, PV_NETPLAN_FAULT,
                 "forward packets of members: a firewall of this host drops them: %s",
                 PV_DO_STR(accept_in_table, ifname, ifname));
}

/* Of `nft list ruleset`. */
struct reverse {
    char table[80], chain[64];
    char *remedy;
};

static void take_reverse_line(void *ctx, const char *line)
{
    static const char asks[] = "fib saddr . iif oif ";
    struct reverse *r = ctx;
    char family[16], name[64];
    const char *own = strchr(r->table, ' '), *rule = line + strspn(line, " \t");
    if (sscanf(line, "table %15s %63s {", family, name) == 2)
        snprintf(r->table, sizeof(r->table), "%s %s", family, name);
    else if (sscanf(line, " chain %63s {", name) == 1)
        snprintf(r->chain, sizeof(r->chain), "%s", name);
    else if (r->remedy[0] == '\0' && own != NULL && strncmp(own + 1, "p2pvpn-", 7) != 0 &&
             strstr(rule, asks) != NULL && strstr(rule, "drop") != NULL)
        snprintf(r->remedy, PV_NETPLAN_FAULT,
                 "use an exit: rule \"%.120s\" (table %s, chain %s) drops what comes for p2pvpnd, "
                 "since it ignores the mark: %s",
                 rule, r->table, r->chain, PV_DO_STR(look_at_marks));
}

void pv_hostlook_reverse(char ret_remedy[static PV_NETPLAN_FAULT])
{
    static const char *const words[] = {"ruleset"};
    struct reverse r = {.remedy = ret_remedy};
    ret_remedy[0] = '\0';
    if (pv_nftcmd_list(words, PV_ARRAY_LEN(words), take_reverse_line, &r) != PV_OK ||
        ret_remedy[0] == '\0')
        snprintf(ret_remedy, PV_NETPLAN_FAULT,
                 "use an exit: this host drops what comes for p2pvpnd: %s",
                 PV_DO_STR(look_at_kernel));
}
