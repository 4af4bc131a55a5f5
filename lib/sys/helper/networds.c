/* SPDX-License-Identifier: MIT */
/*
 * networds.c - the words for ip and nft. Our table says only what concerns our own interface and
 * the exit; policies of others stay theirs: an accept here ends nothing in another table, a drop
 * does.
 */
#include "sys/helper/networds.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum {
    LEAST = 8,        /* bits: a shorter route of others is a default route by another name */
    FLOWS = 4096,     /* ours: flows of our own sockets, but of the daemon's ports, of a family */
    FLOW_S = 300,     /* ours: one of them is forgotten after so long without a packet of ours */
    WAY = 24,         /* bytes: of "goto NUMBER" */
    ASIDES = 16,      /* ours: rules about this host's networks beside the main table */
    METRIC_V6 = 1024, /* what the kernel gives an IPv6 route that says none (IP6_RT_PRIO_USER) */
};

/* Never forwarded by an exit: what is not the internet (RFC 6890). */
#define PRIVATE4                                                                           \
    "{ 0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, " \
    "192.0.0.0/24, 192.168.0.0/16, 198.18.0.0/15, 224.0.0.0-255.255.255.255 }"
/* With the same behind a NAT64: its prefix for local use (RFC 8215), and of the well-known one, by
 * which IPv4 addresses of the internet are reached, those that are none (RFC 6052 s3.1). */
#define PRIVATE6                                                                             \
    "{ ::/96, 64:ff9b::/104, 64:ff9b::a00:0/104, 64:ff9b::6440:0/106, 64:ff9b::7f00:0/104, " \
    "64:ff9b::a9fe:0/112, 64:ff9b::ac10:0/108, 64:ff9b::c000:0/120, 64:ff9b::c0a8:0/112, "   \
    "64:ff9b::c612:0/111, 64:ff9b::e000:0/99, 64:ff9b:1::/48, fc00::/7, fe80::/9, ff00::/8 }"
/* The addresses whose packets this host itself takes: broadcasts too, whichever interface they come
 * by. */
#define HERE "{ local, broadcast, anycast }"
/* To everybody on a link. */
#define GROUPS4 "{ 224.0.0.0/4, 255.255.255.255 }"
#define GROUPS6 "ff00::/8"

/* To what others began. A flow that a member began is judged packet by packet: what it was allowed
 * when it began, or led elsewhere then, may be forbidden by now. */
#define ANSWERS "  ct state established ct direction reply accept\n  ct state related accept\n"

static bool is_v6(const struct pv_prefix *p)
{
    return p->base.family == PV_AF_INET6;
}

static const char *ip_of(const struct pv_prefix *p)
{
    return is_v6(p) ? "ip6" : "ip";
}

static bool is_everything(const struct pv_prefix *p)
{
    return p->bits == 0;
}

static bool offers_exit(const struct pv_netplan *plan, uint16_t family)
{
    for (size_t i = 0; i < plan->n_offered; i++)
        if (is_everything(&plan->offered[i].prefix) &&
            plan->offered[i].prefix.base.family == family)
            return true;
    return false;
}

const char *pv_networds_table(const char *ifname, char ret_name[static PV_NETWORDS_NAME])
{
    snprintf(ret_name, PV_NETWORDS_NAME, "p2pvpn-%.15s", ifname);
    return ret_name;
}

bool pv_networds_wants_table(const struct pv_netplan *plan)
{
    return plan->exit || plan->overlay4.base.family != PV_AF_NONE ||
           plan->overlay6.base.family != PV_AF_NONE;
}

unsigned pv_networds_slot(const char *ifname)
{
    unsigned sum = 0;
    for (const char *c = ifname; *c != '\0'; c++)
        sum = 31 * sum + (unsigned char)*c;
    return sum % PV_NETWORDS_SLOTS;
}

uint8_t pv_networds_used_proto(unsigned slot, unsigned turn)
{
    return (uint8_t)(PV_NETWORDS_PROTO_USED + 2 * slot + turn);
}

/* --- what others have ---------------------------------------------------------------------- */

/* Left alone by the exit: what never leaves this machine in the clear, and the LAN for who says
 * so. Only private ranges count as a LAN: else whoever answers DHCP could call any part of the
 * internet one, and have it (CVE-2024-3661 and the like). */
static bool is_left_alone(const struct pv_netplan *plan, const struct pv_networds_host *host,
                          size_t i)
{
    const struct pv_netplan_link *l = &host->links[i];
    if (l->prefix.bits < LEAST)
        return false;
    if (l->kind != PV_NETPLAN_LAN)
        return true;
    return plan->exit_lan && host->connected[i] && pv_addr_is_private(&l->prefix.base);
}

const struct pv_netplan_link *pv_networds_rival(const struct pv_networds_host *host)
{
    for (size_t i = 0; i < host->n_links; i++)
        if (host->links[i].prefix.bits > 0 && host->links[i].prefix.bits < LEAST &&
            host->links[i].kind == PV_NETPLAN_TUNNEL)
            return &host->links[i];
    return NULL;
}

/* The host is connected to the same network, or to one around it, which goes before. A larger
 * prefix does no harm. */
static bool takes_away(const struct pv_prefix *used, const struct pv_networds_host *host, size_t i)
{
    const struct pv_prefix *other = &host->links[i].prefix;
    return host->connected[i] && pv_prefix_overlaps(used, other) && used->bits >= other->bits;
}

/* Rules of a slot before ours are asked first, be their prefixes longer or shorter. */
static bool has_ahead(const struct pv_networds_host *host, size_t i, const struct pv_prefix *used)
{
    return host->others[i].ahead && pv_prefix_overlaps(used, &host->others[i].prefix);
}

static bool is_taken(const struct pv_networds_host *host, const struct pv_prefix *used)
{
    bool taken = false;
    for (size_t i = 0; i < host->n_others; i++)
        taken = taken || (has_ahead(host, i, used) && used->bits >= host->others[i].prefix.bits);
    return taken;
}

size_t pv_networds_overlaps(const struct pv_netplan *plan, const struct pv_networds_host *host,
                            struct pv_netplan_overlap ret[static PV_NETPLAN_OVERLAPS])
{
    size_t n = 0;
    for (size_t i = 0; i < plan->n_used; i++) {
        const struct pv_prefix *used = &plan->used[i].prefix;
        for (size_t k = 0; k < host->n_others && n < PV_NETPLAN_OVERLAPS; k++) {
            const struct pv_networds_other *o = &host->others[k];
            if (!has_ahead(host, k, used))
                continue;
            ret[n] = (struct pv_netplan_overlap){.used = *used};
            ret[n].other = (struct pv_netplan_link){o->prefix, "", PV_NETPLAN_TUNNEL};
            memcpy(ret[n].other.ifname, o->ifname, sizeof(o->ifname));
            ret[n++].taken = used->bits >= o->prefix.bits;
        }
        for (size_t k = 0; k < host->n_links && n < PV_NETPLAN_OVERLAPS; k++) {
            if (host->links[k].prefix.bits >= LEAST &&
                strcmp(host->links[k].ifname, plan->ifname) != 0 &&
                pv_prefix_overlaps(used, &host->links[k].prefix))
                ret[n++] = (struct pv_netplan_overlap){
                    .used = *used, .other = host->links[k], .taken = takes_away(used, host, k)};
        }
    }
    return n;
}

/* One that has joined us stays out: whoever gives addresses in a LAN could choose this one. */
bool pv_networds_may_be_members(const struct pv_networds_host *host, const char *ifname,
                                const struct pv_prefix *range)
{
    bool free = true;
    for (size_t i = 0; i < host->n_own; i++)
        if (host->own[i].bits == range->bits && pv_addr_equal_ip(&host->own[i].base, &range->base))
            return true;
    for (size_t i = 0; i < host->n_links; i++)
        free = free && !(host->connected[i] && strcmp(host->links[i].ifname, ifname) != 0 &&
                         pv_prefix_overlaps(range, &host->links[i].prefix));
    return free;
}

/* Is it members' own range? It is offered where phones send by this node, and leads from our
 * interface to our interface. */
static bool is_members(const struct pv_netplan *plan, const struct pv_prefix *p)
{
    const struct pv_prefix *own = is_v6(p) ? &plan->overlay6 : &plan->overlay4;
    return own->base.family != PV_AF_NONE && p->bits >= own->bits &&
           pv_prefix_contains(own, &p->base);
}

/* Containers' networks forward by themselves, unless one of them is offered. */
bool pv_networds_forwards4(const struct pv_netplan *plan, const struct pv_netplan_link *link)
{
    bool wants = false;
    for (size_t i = 0; i < plan->n_offered; i++) {
        const struct pv_prefix *p = &plan->offered[i].prefix;
        if (p->base.family == PV_AF_INET && link->prefix.base.family == PV_AF_INET &&
            !is_members(plan, p))
            wants = wants || link->kind != PV_NETPLAN_CONTAINER ||
                    (!is_everything(p) && pv_prefix_overlaps(p, &link->prefix));
    }
    return wants;
}

/* --- the table: offers --------------------------------------------------------------------- */

/* Longer prefixes first: the first that fits decides whether addresses are changed. */
static size_t by_length(const struct pv_netplan *plan,
                        const struct pv_netplan_offered *ret[static PV_NETPLAN_OFFERED])
{
    size_t n = 0;
    for (int bits = 128; bits >= 0; bits--)
        for (size_t i = 0; i < plan->n_offered; i++)
            if (plan->offered[i].prefix.bits == bits)
                ret[n++] = &plan->offered[i];
    return n;
}

static bool is_bridge(const struct pv_networds_host *host, const char *ifname)
{
    for (size_t i = 0; i < host->n_links; i++)
        if (host->bridge[i] && strcmp(host->links[i].ifname, ifname) == 0)
            return true;
    return false;
}

/* Members of other networks of ours, and what these use: where their packets go is said by the
 * table of their own network, and by its p2pvpnd. Nobody says it of static peers. */
static void add_other_members(struct pv_text *w, const struct pv_netplan *plan,
                              const struct pv_networds_host *host, const char *verdict)
{
    for (size_t i = 0; i < host->n_links; i++) {
        const struct pv_netplan_link *l = &host->links[i];
        if (l->kind == PV_NETPLAN_TUNNEL && host->connected[i] &&
            strcmp(l->ifname, plan->ifname) != 0)
            pv_text_add(w, "  iifgroup %d iifname \"%s\" %s saddr %s %s\n", PV_NETWORDS_GROUP,
                        l->ifname, ip_of(&l->prefix), PV_PREFIX_STR(&l->prefix), verdict);
    }
    for (size_t i = 0; i < host->n_others; i++)
        if (host->others[i].ifname[0] != '\0')
            pv_text_add(w, "  iifname \"%s\" %s saddr %s %s\n", host->others[i].ifname,
                        ip_of(&host->others[i].prefix), PV_PREFIX_STR(&host->others[i].prefix),
                        verdict);
}

/* Forwarding that is on for members, of any of this host's networks, is on for nobody else: where
 * it was off, no packet of others passed, nor came back by the interface that it had come by. But
 * bridged packets, which netfilter may see as well, do. */
static void add_members_only(struct pv_text *w, const struct pv_netplan *plan,
                             const struct pv_networds_host *host)
{
    for (size_t i = 0; i < host->n_alone4; i++)
        pv_text_add(
            w,
            "  meta nfproto ipv4 iifname \"%s\" oifname != { \"%s\", \"%s\" } oifgroup != %d "
            "counter drop\n",
            host->alone4[i], is_bridge(host, host->alone4[i]) ? host->alone4[i] : "lo",
            plan->ifname, PV_NETWORDS_GROUP);
    if (!host->alone6)
        return;
    for (size_t i = 0; i < host->n_links; i++)
        if (host->bridge[i] &&
            (i == 0 || strcmp(host->links[i - 1].ifname, host->links[i].ifname) != 0))
            pv_text_add(w, "  meta nfproto ipv6 iifname \"%s\" oifname \"%s\" return\n",
                        host->links[i].ifname, host->links[i].ifname);
    pv_text_add(
        w, "  meta nfproto ipv6 iifname != \"%s\" oifname != \"%s\" oifgroup != %d counter drop\n",
        plan->ifname, plan->ifname, PV_NETWORDS_GROUP);
}

/* Where such a prefix goes out: anywhere, or only by interfaces of this host that are in it. By
 * another one strangers would read it: the one with the default route. An interface that is in a
 * part of it says nothing of the rest. */
static bool is_reached(const struct pv_netplan_offered *o, const struct pv_networds_host *host,
                       size_t i)
{
    return host->connected[i] && host->up[i] &&
           pv_prefix_overlaps(&o->prefix, &host->links[i].prefix);
}

/* A network that the host is in is behind its interface alone, also while that is down and the
 * kernel would lead packets to the default route. Several interfaces may be in one network. */
static void add_behind(struct pv_text *w, const struct pv_networds_host *host, size_t at)
{
    const struct pv_prefix *p = &host->links[at].prefix;
    for (size_t i = 0; i < at; i++)
        if (host->connected[i] && host->links[i].prefix.bits == p->bits &&
            pv_addr_equal_ip(&host->links[i].prefix.base, &p->base))
            return;
    pv_text_add(w, "  %s daddr %s oifname != { \"%s\"", ip_of(p), PV_PREFIX_STR(p),
                host->links[at].ifname);
    for (size_t i = 0; i < host->n_links; i++)
        if (i != at && host->connected[i] && pv_prefix_overlaps(p, &host->links[i].prefix))
            pv_text_add(w, ", \"%s\"", host->links[i].ifname);
    pv_text_add(w, " } counter drop\n");
}

static void add_offered(struct pv_text *w, const struct pv_netplan *plan,
                        const struct pv_netplan_offered *o, const struct pv_networds_host *host)
{
    const struct pv_prefix *p = &o->prefix;
    bool anywhere = !o->linked && !is_members(plan, p);
    const char *text = PV_PREFIX_STR(p);
    if (is_members(plan, p))
        pv_text_add(w, "  oifname \"%s\" %s daddr %s accept\n", plan->ifname, ip_of(p), text);
    for (size_t i = 0; i < host->n_links && o->linked; i++) {
        if (!is_reached(o, host, i))
            continue;
        anywhere = anywhere || host->links[i].prefix.bits > p->bits;
        pv_text_add(w, "  oifname \"%s\" %s daddr %s accept\n", host->links[i].ifname, ip_of(p),
                    text);
    }
    if (!anywhere)
        return;
    for (size_t i = 0; i < host->n_links; i++)
        if (host->connected[i] && host->links[i].prefix.bits > p->bits &&
            host->links[i].kind != PV_NETPLAN_TUNNEL &&
            pv_prefix_overlaps(p, &host->links[i].prefix))
            add_behind(w, host, i);
    /* By another network of ours only what that one uses: its exit would read the rest. Static
     * peers may be the way by this one. */
    pv_text_add(w, "  oifname \"%s\" %s daddr %s accept\n", plan->ifname, ip_of(p), text);
    for (size_t i = 0; i < host->n_others; i++)
        if (host->others[i].ifname[0] != '\0' && pv_prefix_overlaps(p, &host->others[i].prefix))
            pv_text_add(w, "  oifname \"%s\" %s daddr %s %s daddr %s accept\n",
                        host->others[i].ifname, ip_of(p), text, ip_of(p),
                        PV_PREFIX_STR(&host->others[i].prefix));
    pv_text_add(w, "  %s daddr %s oifgroup != %d accept\n", ip_of(p), text, PV_NETWORDS_GROUP);
}

/* To members, and by their exits, go answers and what hosts of an offered prefix begin: they are
 * behind this node. A stranger in another LAN would be this host itself there. */
static void add_senders(struct pv_text *w, const struct pv_netplan *plan,
                        const struct pv_networds_host *host)
{
    const char *own = plan->ifname;
    pv_text_add(w,
                "  iifname != \"%s\" oifname \"%s\" ct direction reply return\n"
                "  iifname != \"%s\" oifname \"%s\" ct state related return\n",
                own, own, own, own);
    for (size_t i = 0; i < plan->n_offered; i++) {
        const struct pv_prefix *p = &plan->offered[i].prefix;
        if (!is_everything(p) && !is_members(plan, p))
            pv_text_add(w, "  iifname != \"%s\" oifname \"%s\" %s saddr %s return\n", own, own,
                        ip_of(p), PV_PREFIX_STR(p));
    }
    for (size_t i = 0; i < host->n_alone4; i++)
        pv_text_add(w, "  meta nfproto ipv4 iifname \"%s\" oifname \"%s\" counter drop\n",
                    host->alone4[i], own);
    if (host->alone6)
        pv_text_add(w, "  meta nfproto ipv6 iifname != \"%s\" oifname \"%s\" counter drop\n", own,
                    own);
}

/* A member's packet goes where it was offered and nowhere else, whatever this host forwards for
 * others. Used prefixes may be sources too: their nodes need not change addresses. Other sources
 * are those of static peers, which pass where the user has set up forwarding. */
static void add_forward(struct pv_text *w, const struct pv_netplan *plan,
                        const struct pv_networds_host *host)
{
    char text[PV_ADDR_TEXT];
    const struct pv_prefix *overlay[] = {&plan->overlay4, &plan->overlay6};
    if (plan->n_offered == 0 && host->n_alone4 == 0 && !host->alone6)
        return;
    pv_text_add(w, " chain offered {\n");
    for (size_t i = 0; i < plan->n_offered; i++)
        if (!is_everything(&plan->offered[i].prefix))
            add_offered(w, plan, &plan->offered[i], host);
    pv_text_add(
        w,
        " }\n chain forwarded {\n"
        "  type filter hook forward priority -5; policy accept;\n"
        "  oifname \"%s\" tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu\n",
        plan->ifname);
    if (host->n_alone4 > 0 || host->alone6) {
        add_other_members(w, plan, host, "return");
        add_senders(w, plan, host);
    }
    add_members_only(w, plan, host);
    pv_text_add(w, "  iifname != \"%s\" return\n" ANSWERS "  ct status dnat accept\n",
                plan->ifname);
    for (size_t i = 0; i < PV_ARRAY_LEN(overlay); i++) {
        if (overlay[i]->base.family == PV_AF_NONE)
            continue;
        pv_prefix_format(overlay[i], text);
        pv_text_add(w, "  %s saddr %s jump offered\n", ip_of(overlay[i]), text);
        if (offers_exit(plan, overlay[i]->base.family))
            pv_text_add(w, "  %s saddr %s %s daddr != %s accept\n", ip_of(overlay[i]), text,
                        ip_of(overlay[i]), is_v6(overlay[i]) ? PRIVATE6 : PRIVATE4);
    }
    for (size_t i = 0; i < plan->n_used; i++)
        pv_text_add(w, "  %s saddr %s jump offered\n  %s saddr %s counter drop\n",
                    ip_of(&plan->used[i].prefix), pv_prefix_format(&plan->used[i].prefix, text),
                    ip_of(&plan->used[i].prefix), text);
    /* A question that nobody answers here is asked elsewhere at once. */
    if (offers_exit(plan, PV_AF_INET) || offers_exit(plan, PV_AF_INET6))
        pv_text_add(w, "  meta l4proto { tcp, udp } th dport 53 counter reject\n");
    for (size_t i = 0; i < PV_ARRAY_LEN(overlay); i++)
        if (overlay[i]->base.family != PV_AF_NONE)
            pv_text_add(w, "  %s saddr %s counter drop\n", ip_of(overlay[i]),
                        pv_prefix_format(overlay[i], text));
    if (host->own_alone4)
        pv_text_add(w, "  meta nfproto ipv4 counter drop\n");
    if (host->alone6)
        pv_text_add(w, "  meta nfproto ipv6 counter drop\n");
    pv_text_add(w, " }\n");
}

/* The inside: this host itself, and where a packet's next stop is its destination, be its addresses
 * private or anybody's. The private ranges stand beside it: what is there behind a router is no
 * internet either. */
static void add_inside(struct pv_text *w, const struct pv_networds_host *host, bool v6)
{
    const char *ip = v6 ? "ip6" : "ip", *private = v6 ? PRIVATE6 : PRIVATE4;
    char text[PV_ADDR_TEXT];
    pv_text_add(w,
                " chain inside_%s {\n  %s daddr %s return\n"
                "  %s daddr %s meta l4proto { tcp, udp } th dport 53 return\n"
                "  fib daddr type " HERE " goto offered_inside\n"
                "  %s daddr %s goto offered_inside\n",
                ip, ip, v6 ? GROUPS6 : GROUPS4, ip, private, ip, private);
    for (size_t i = 0; i < host->n_links; i++)
        if (host->direct[i] && is_v6(&host->links[i].prefix) == v6 &&
            host->links[i].prefix.bits >= LEAST)
            pv_text_add(w, "  %s daddr %s goto offered_inside\n", ip,
                        pv_prefix_format(&host->links[i].prefix, text));
    for (size_t i = 0; i < host->n_beside; i++)
        if (is_v6(&host->beside[i]) == v6 && host->beside[i].bits >= LEAST)
            pv_text_add(w, "  %s daddr %s goto offered_inside\n", ip,
                        pv_prefix_format(&host->beside[i], text));
    pv_text_add(w, " }\n");
}

/* A member that uses this exit gets the internet by it. A service at this host's addresses, to its
 * LAN, its containers or its machines, is inside, as what is behind it: so this stands before
 * anybody changes where a packet goes. But questions for names are answered there: the router at a
 * member's home may have the address of this host. */
static void add_local(struct pv_text *w, const struct pv_netplan *plan,
                      const struct pv_networds_host *host)
{
    char text[PV_ADDR_TEXT];
    const struct pv_prefix *overlay[] = {&plan->overlay4, &plan->overlay6};
    pv_text_add(w, " chain offered_inside {\n");
    for (size_t i = 0; i < plan->n_offered; i++) {
        const struct pv_prefix *p = &plan->offered[i].prefix;
        if (!is_everything(p)) /* by which way is asked later */
            pv_text_add(w, "  %s daddr %s accept\n", ip_of(p), pv_prefix_format(p, text));
    }
    pv_text_add(w, "  counter drop\n }\n");
    add_inside(w, host, false);
    add_inside(w, host, true);
    pv_text_add(w,
                " chain inside {\n  type filter hook prerouting priority mangle; policy accept;\n"
                "  iifname != \"%s\" return\n" ANSWERS,
                plan->ifname);
    for (size_t i = 0; i < PV_ARRAY_LEN(overlay); i++) {
        const char *ip = ip_of(overlay[i]);
        uint16_t family = overlay[i]->base.family;
        if (family == PV_AF_NONE || !offers_exit(plan, family))
            continue;
        pv_prefix_format(overlay[i], text);
        pv_text_add(w, "  %s daddr %s accept\n  %s saddr %s jump inside_%s\n", ip, text, ip, text,
                    ip);
        for (size_t k = 0; k < plan->n_used; k++)
            if (plan->used[k].prefix.base.family == family)
                pv_text_add(w, "  %s saddr %s jump inside_%s\n", ip,
                            pv_prefix_format(&plan->used[k].prefix, text), ip);
    }
    pv_text_add(w, " }\n");
}

/* Members that use this exit ask the name server they have at home, which is often their router:
 * this host's own answers instead. */
static void add_names(struct pv_text *w, const struct pv_netplan *plan,
                      const struct pv_networds_host *host)
{
    const struct pv_prefix *overlay[] = {&plan->overlay4, &plan->overlay6};
    const struct pv_addr *dns[] = {&host->dns4, &host->dns6};
    pv_text_add(w, " chain names {\n  type nat hook prerouting priority dstnat; policy accept;\n");
    for (size_t i = 0; i < PV_ARRAY_LEN(overlay); i++) {
        uint16_t family = overlay[i]->base.family;
        if (family == PV_AF_NONE || dns[i]->family == PV_AF_NONE || !offers_exit(plan, family))
            continue;
        for (size_t k = 0; k < plan->n_offered; k++) {
            const struct pv_prefix *p = &plan->offered[k].prefix;
            if (!is_everything(p) && p->base.family == family)
                pv_text_add(w, "  iifname \"%s\" %s daddr %s return\n", plan->ifname, ip_of(p),
                            PV_PREFIX_STR(p));
        }
        pv_text_add(w,
                    "  iifname \"%s\" %s saddr %s %s daddr %s fib daddr type != local "
                    "meta l4proto { tcp, udp } th dport 53 dnat %s to %s\n",
                    plan->ifname, ip_of(overlay[i]), PV_PREFIX_STR(overlay[i]), ip_of(overlay[i]),
                    is_v6(overlay[i]) ? PRIVATE6 : PRIVATE4, ip_of(overlay[i]), PV_IP_STR(dns[i]));
    }
    pv_text_add(w, " }\n");
}

static void add_leaving(struct pv_text *w, const struct pv_netplan *plan)
{
    const struct pv_netplan_offered *sorted[PV_NETPLAN_OFFERED];
    size_t n = by_length(plan, sorted);
    pv_text_add(w, " chain leaving {\n");
    for (size_t i = 0; i < n; i++) {
        const struct pv_prefix *p = &sorted[i]->prefix;
        const char *verdict = sorted[i]->snat ? "masquerade" : "return";
        if (is_everything(p)) {
            pv_text_add(w, "  %s daddr != %s %s\n", ip_of(p), is_v6(p) ? PRIVATE6 : PRIVATE4,
                        verdict);
            pv_text_add(
                w, "  meta nfproto %s ct status dnat meta l4proto { tcp, udp } th dport 53 %s\n",
                is_v6(p) ? "ipv6" : "ipv4", "masquerade");
        } else {
            pv_text_add(w, "  %s daddr %s %s\n", ip_of(p), PV_PREFIX_STR(p), verdict);
        }
    }
    pv_text_add(w, " }\n");
}

/* Packets of this host that were bound to another address before the exit was there have no way
 * through it: no member accepts them. They get our address. */
static void add_entering(struct pv_text *w, const struct pv_netplan *plan)
{
    char text[PV_ADDR_TEXT];
    const struct pv_prefix *overlay[] = {&plan->overlay4, &plan->overlay6};
    pv_text_add(w, " chain entering {\n");
    for (size_t i = 0; i < plan->n_offered && plan->exit; i++) {
        const struct pv_prefix *p = &plan->offered[i].prefix;
        if (!is_everything(p) && !plan->offered[i].snat)
            pv_text_add(w, "  %s saddr %s return\n", ip_of(p), pv_prefix_format(p, text));
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(overlay) && plan->exit; i++)
        if (overlay[i]->base.family != PV_AF_NONE)
            pv_text_add(w, "  %s saddr != %s masquerade\n", ip_of(overlay[i]),
                        pv_prefix_format(overlay[i], text));
    pv_text_add(w, " }\n");
}

static void add_postrouting(struct pv_text *w, const struct pv_netplan *plan)
{
    char text[PV_ADDR_TEXT];
    const struct pv_prefix *overlay[] = {&plan->overlay4, &plan->overlay6};
    add_leaving(w, plan);
    add_entering(w, plan);
    pv_text_add(w,
                " chain addresses {\n  type nat hook postrouting priority srcnat; policy accept;\n"
                "  oifname \"%s\" goto entering\n",
                plan->ifname);
    for (size_t i = 0; i < PV_ARRAY_LEN(overlay); i++)
        if (overlay[i]->base.family != PV_AF_NONE)
            pv_text_add(w, "  %s saddr %s jump leaving\n", ip_of(overlay[i]),
                        pv_prefix_format(overlay[i], text));
    for (size_t i = 0; i < plan->n_used && plan->n_offered > 0; i++)
        pv_text_add(w, "  %s saddr %s jump leaving\n", ip_of(&plan->used[i].prefix),
                    pv_prefix_format(&plan->used[i].prefix, text));
    pv_text_add(w, " }\n");
}

/* --- the table: members' addresses ---------------------------------------------------------- */

/* Nobody but members speaks for members, and what listens at this node's own address hears nobody
 * else: a neighbour in a LAN could send both, as the kernel takes packets for all its addresses on
 * every interface. Containers of this host are a part of it. A LAN may have the same range, as in a
 * hotel: then this host's address there still gets answers from outside. */
static void add_strangers(struct pv_text *w, const struct pv_netplan *plan,
                          const struct pv_networds_host *host)
{
    char text[PV_ADDR_TEXT];
    const struct pv_prefix *overlay[] = {&plan->overlay4, &plan->overlay6};
    pv_text_add(w,
                " chain strangers {\n  type filter hook prerouting priority raw; policy accept;\n"
                "  iifname { \"lo\", \"%s\" } accept\n",
                plan->ifname);
    for (size_t i = 0; i < PV_ARRAY_LEN(overlay); i++)
        if (overlay[i]->base.family != PV_AF_NONE)
            pv_text_add(w, "  %s saddr %s counter drop\n", ip_of(overlay[i]),
                        pv_prefix_format(overlay[i], text));
    for (size_t i = 0; i < host->n_links; i++)
        if (host->links[i].kind == PV_NETPLAN_CONTAINER)
            pv_text_add(w, "  iifname \"%s\" accept\n", host->links[i].ifname);
    for (size_t i = 0; i < PV_ARRAY_LEN(overlay); i++)
        if (overlay[i]->base.family != PV_AF_NONE)
            pv_text_add(w,
                        "  %s daddr %s fib daddr type " HERE " fib daddr . iif type != " HERE
                        " counter drop\n",
                        ip_of(overlay[i]), pv_prefix_format(overlay[i], text));
    pv_text_add(w, " }\n");
}

/* --- the table: an exit that is used -------------------------------------------------------- */

/* Our own packets carry the mark in both directions: a strict check of the source's way back then
 * asks the right table. The kernel's check (rp_filter with src_valid_mark) comes late, and a rule
 * of the host's firewall (fib saddr . mark . iif oif) may stand at the priority raw already, when
 * no connection is known yet. So the flows of our own sockets are remembered by their ports;
 * datagrams to the daemon's port need no memory. An ICMP error is about a packet of either kind. */
static void add_marks(struct pv_text *w, const struct pv_netplan *plan,
                      const struct pv_networds_host *host)
{
    const int mark = PV_NETWORDS_MARK;
    for (int v = 4; v <= 6; v += 2)
        pv_text_add(w,
                    " set flows%d {\n  type ipv%d_addr . inet_proto . inet_service . inet_service\n"
                    "  size %d\n  flags dynamic, timeout\n  timeout %ds\n }\n",
                    v, v, FLOWS, FLOW_S);
    pv_text_add(
        w,
        " chain marked_first {\n  type filter hook prerouting priority raw - 90; policy accept;\n"
        "  iifname \"%s\" return\n  fib daddr type != " HERE " return\n",
        plan->ifname);
    if (host->udp_port != 0)
        pv_text_add(w, "  udp dport %u meta mark set 0x%x return\n", host->udp_port, mark);
    pv_text_add(w, "  udp sport 67 udp dport 68 meta mark set 0x%x\n", mark);
    for (int v = 4; v <= 6; v += 2)
        pv_text_add(w,
                    "  meta l4proto { tcp, udp } ip%s saddr . meta l4proto . th sport . th dport "
                    "@flows%d meta mark set 0x%x\n"
                    "  icmp%s type { destination-unreachable, %stime-exceeded, parameter-problem } "
                    "meta mark set 0x%x\n",
                    v == 6 ? "6" : "", v, mark, v == 6 ? "v6" : "",
                    v == 6 ? "packet-too-big, " : "", mark);
    pv_text_add(
        w,
        " }\n chain marked_in {\n  type filter hook prerouting priority mangle; policy accept;\n"
        "  iifname \"%s\" return\n  ct mark 0x%x meta mark set 0x%x\n }\n"
        " chain marked_flow {\n  ct mark set 0x%x\n",
        plan->ifname, mark, mark, mark);
    if (host->udp_port != 0)
        pv_text_add(w, "  udp sport %u return\n", host->udp_port);
    for (int v = 4; v <= 6; v += 2)
        pv_text_add(w,
                    "  meta l4proto { tcp, udp } update @flows%d "
                    "{ ip%s daddr . meta l4proto . th dport . th sport }\n",
                    v, v == 6 ? "6" : "");
    pv_text_add(
        w,
        " }\n chain marked_out {\n  type filter hook postrouting priority mangle; policy accept;\n"
        "  meta mark 0x%x jump marked_flow\n",
        mark);
    for (size_t i = 0; i < host->n_uids; i++)
        pv_text_add(w, "  meta skuid %u jump marked_flow\n", host->uids[i]);
    pv_text_add(w, " }\n");
}

/* An exit speaks for the internet, and for nobody whom this host reaches without it, but where it
 * answers for a name server there. Public networks that the host is in do not count: neighbours
 * there are reached by the exit as well. */
static void add_neighbours(struct pv_text *w, const struct pv_netplan *plan,
                           const struct pv_networds_host *host)
{
    char text[PV_ADDR_TEXT];
    const struct pv_prefix *overlay[] = {&plan->overlay4, &plan->overlay6};
    pv_text_add(
        w,
        " chain neighbours {\n  type filter hook prerouting priority mangle; policy accept;\n"
        "  iifname != \"%s\" return\n" ANSWERS,
        plan->ifname);
    for (size_t i = 0; i < PV_ARRAY_LEN(overlay); i++)
        if (overlay[i]->base.family != PV_AF_NONE)
            pv_text_add(w, "  %s saddr %s accept\n", ip_of(overlay[i]),
                        pv_prefix_format(overlay[i], text));
    for (size_t i = 0; i < plan->n_used; i++)
        if (host->n_others > 0 && !is_taken(host, &plan->used[i].prefix))
            pv_text_add(w, "  %s saddr %s accept\n", ip_of(&plan->used[i].prefix),
                        pv_prefix_format(&plan->used[i].prefix, text));
    for (size_t i = 0; i < host->n_links; i++) /* static peers */
        if (host->n_others > 0 && strcmp(host->links[i].ifname, plan->ifname) == 0)
            pv_text_add(w, "  %s saddr %s accept\n", ip_of(&host->links[i].prefix),
                        pv_prefix_format(&host->links[i].prefix, text));
    for (size_t i = 0; i < host->n_links; i++) {
        const struct pv_netplan_link *l = &host->links[i];
        if (host->connected[i] &&
            (l->kind == PV_NETPLAN_CONTAINER || pv_addr_is_private(&l->prefix.base)))
            pv_text_add(w, "  %s saddr %s counter drop\n", ip_of(&l->prefix),
                        pv_prefix_format(&l->prefix, text));
    }
    for (size_t i = 0; i < host->n_others; i++)
        pv_text_add(w, "  %s saddr %s counter drop\n", ip_of(&host->others[i].prefix),
                    pv_prefix_format(&host->others[i].prefix, text));
    pv_text_add(w, " }\n");
}

static void add_own(struct pv_text *w, const struct pv_netplan *plan,
                    const struct pv_networds_host *host, const char *verdict)
{
    pv_text_add(w, "  oifname \"lo\" %s\n  oifname \"%s\" %s\n  meta mark 0x%x %s\n", verdict,
                plan->ifname, verdict, PV_NETWORDS_MARK, verdict);
    for (size_t i = 0; i < host->n_uids; i++)
        pv_text_add(w, "  meta skuid %u %s\n", host->uids[i], verdict);
}

/* The networks of this kind that are left alone: only through their own interface. */
static void add_links(struct pv_text *w, const struct pv_netplan *plan,
                      const struct pv_networds_host *host, bool lan, const char *verdict)
{
    for (size_t i = 0; i < host->n_links; i++) {
        const struct pv_netplan_link *l = &host->links[i];
        if ((l->kind == PV_NETPLAN_LAN) != lan || !is_left_alone(plan, host, i))
            continue;
        pv_text_add(w, "  oifname \"%s\" %s daddr %s %s\n", l->ifname, ip_of(&l->prefix),
                    PV_PREFIX_STR(&l->prefix), verdict);
        if (lan)
            pv_text_add(w, "  oifname \"%s\" %s %s\n", l->ifname,
                        is_v6(&l->prefix) ? "ip6 daddr { fe80::/10, ff02::/16 }"
                                          : "ip daddr { 224.0.0.0/4, 255.255.255.255 }",
                        verdict);
    }
}

/* Prefixes of other networks of ours: the same. */
static void add_others(struct pv_text *w, const struct pv_networds_host *host, const char *verdict)
{
    for (size_t i = 0; i < host->n_others; i++)
        if (host->others[i].ifname[0] != '\0')
            pv_text_add(w, "  oifname \"%s\" %s daddr %s %s\n", host->others[i].ifname,
                        ip_of(&host->others[i].prefix), PV_PREFIX_STR(&host->others[i].prefix),
                        verdict);
}

/* A resolver that sends its questions by one interface, as systemd-resolved does, has chosen that
 * interface before any rule was asked: its packets are routed again. */
static void add_reroute(struct pv_text *w, const struct pv_netplan *plan,
                        const struct pv_networds_host *host)
{
    pv_text_add(
        w, " chain asked_elsewhere {\n  type route hook output priority mangle; policy accept;\n");
    add_own(w, plan, host, "return");
    add_links(w, plan, host, false, "return");
    add_others(w, host, "return");
    pv_text_add(w, "  meta l4proto { tcp, udp } th dport { 53, 853 } meta mark set 0x%x\n }\n",
                PV_NETWORDS_MARK_ALL);
}

/* A host that forwards does so with packets out of our interface, too. Members' packets leave where
 * a prefix was offered; without an offer answers leave alone, and packets that the user leads
 * elsewhere, as docker does with the ports of containers. Packets to a member do not leave: while
 * the interface has no address, since somebody took it away, packets to this node itself would be
 * forwarded, and our errors about them. Static peers' packets are the user's business. */
static void add_from_overlay(struct pv_text *w, const struct pv_netplan *plan)
{
    static const char *const ends[] = {"ct state established accept", "ct status dnat accept",
                                       "counter drop"};
    const struct pv_prefix *overlay[] = {&plan->overlay4, &plan->overlay6};
    for (size_t i = 0; i < PV_ARRAY_LEN(overlay); i++) {
        const char *ip = ip_of(overlay[i]);
        if (overlay[i]->base.family == PV_AF_NONE)
            continue;
        pv_text_add(w, "  iifname \"%s\" %s daddr %s counter drop\n", plan->ifname, ip,
                    PV_PREFIX_STR(overlay[i]));
        for (size_t k = 0; plan->n_offered == 0 && k < PV_ARRAY_LEN(ends); k++)
            pv_text_add(w, "  iifname \"%s\" %s saddr %s %s\n", plan->ifname, ip,
                        PV_PREFIX_STR(overlay[i]), ends[k]);
    }
    pv_text_add(w, "  iifname \"%s\" accept\n", plan->ifname);
}

/* A packet that does not leave by the exit does not leave: whatever routes, rules and other
 * programs say. Before anything of an exit is changed this stands, and it goes last. At the last
 * hook, which knows where a packet goes that was routed twice. */
static void add_guard(struct pv_text *w, const struct pv_netplan *plan,
                      const struct pv_networds_host *host)
{
    pv_text_add(w, " chain guard {\n  type filter hook postrouting priority 90; policy drop;\n");
    add_own(w, plan, host, "accept");
    /* Answers, and what the kernel sends for a connection of ours that was closed. A port of UDP
     * may be somebody else's by now. */
    pv_text_add(w,
                "  ct direction reply ct mark 0x%x accept\n"
                "  meta l4proto tcp tcp flags & syn == 0 ct mark 0x%x accept\n",
                PV_NETWORDS_MARK, PV_NETWORDS_MARK);
    add_from_overlay(w, plan);
    /* Without these a link has no addresses and no neighbours. */
    pv_text_add(w,
                "  udp sport 68 udp dport 67 accept\n  udp sport 546 udp dport 547 accept\n"
                "  icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, "
                "nd-router-advert, mld-listener-report, mld2-listener-report, mld-listener-done } "
                "accept\n");
    add_links(w, plan, host, false, "accept");
    add_others(w, host, "accept");
    add_other_members(w, plan, host, "accept");
    /* Names asked for in the LAN tell it where one goes. */
    pv_text_add(w, "  meta l4proto { tcp, udp } th dport { 53, 853, 5355 } counter drop\n");
    add_links(w, plan, host, true, "accept");
    pv_text_add(w, "  counter drop\n }\n");
}

/* A packet that passed our own rules is counted, and again behind the last rule of others; of what
 * comes for the daemon all that reached this host is. See hostcount.h. */
static void add_counters(struct pv_text *w, const struct pv_netplan *plan,
                         const struct pv_networds_host *host)
{
    static const struct {
        const char *place, *hook, *priority;
    } chains[] = {{"first", "forward", "-4"}, {"last", "forward", "2147483647"}};
    const struct pv_prefix *overlay[] = {&plan->overlay4, &plan->overlay6};
    static const char *const own[][3] = {{"first", "prerouting", "raw - 95"},
                                         {"last", "input", "2147483647"}};
    for (size_t k = 0; k < PV_ARRAY_LEN(chains) && plan->n_offered > 0; k++) {
        for (int v = 4; v <= 6; v += 2)
            pv_text_add(w, " counter in%d_%s { }\n counter out%d_%s { }\n", v, chains[k].place, v,
                        chains[k].place);
        pv_text_add(w, " chain passed_%s {\n  type filter hook %s priority %s; policy accept;\n",
                    chains[k].place, chains[k].hook, chains[k].priority);
        for (size_t i = 0; i < PV_ARRAY_LEN(overlay); i++)
            if (overlay[i]->base.family != PV_AF_NONE)
                pv_text_add(w,
                            "  iifname \"%s\" %s saddr %s counter name \"in%d_%s\"\n"
                            "  oifname \"%s\" %s daddr %s counter name \"out%d_%s\"\n",
                            plan->ifname, ip_of(overlay[i]), PV_PREFIX_STR(overlay[i]),
                            is_v6(overlay[i]) ? 6 : 4, chains[k].place, plan->ifname,
                            ip_of(overlay[i]), PV_PREFIX_STR(overlay[i]), is_v6(overlay[i]) ? 6 : 4,
                            chains[k].place);
        pv_text_add(w, " }\n");
    }
    for (size_t k = 0; k < PV_ARRAY_LEN(own) && plan->exit && host->udp_port != 0; k++) {
        for (int v = 4; v <= 6; v += 2)
            pv_text_add(w, " counter own%d_%s { }\n", v, own[k][0]);
        pv_text_add(w, " chain came_%s {\n  type filter hook %s priority %s; policy accept;\n",
                    own[k][0], own[k][1], own[k][2]);
        for (int v = 4; v <= 6; v += 2)
            pv_text_add(w,
                        "  iifname != \"%s\" meta nfproto ipv%d fib daddr type local udp dport %u "
                        "counter name \"own%d_%s\"\n",
                        plan->ifname, v, host->udp_port, v, own[k][0]);
        pv_text_add(w, " }\n");
    }
}

int pv_networds_nft(const struct pv_netplan *plan, const struct pv_networds_host *host,
                    char ret_text[static PV_NETWORDS_TEXT])
{
    struct pv_text w = pv_text_in(ret_text, PV_NETWORDS_TEXT);
    char name[PV_NETWORDS_NAME];
    pv_networds_table(plan->ifname, name);
    pv_text_add(&w, "table inet %s\ndelete table inet %s\ntable inet %s {\n", name, name, name);
    add_forward(&w, plan, host);
    if (plan->n_offered > 0) {
        add_names(&w, plan, host);
        if (offers_exit(plan, PV_AF_INET) || offers_exit(plan, PV_AF_INET6))
            add_local(&w, plan, host);
    }
    add_strangers(&w, plan, host);
    if (plan->n_offered > 0 || plan->exit)
        add_postrouting(&w, plan);
    if (plan->exit || plan->n_used > 0)
        add_marks(&w, plan, host);
    if (plan->exit) {
        add_neighbours(&w, plan, host);
        add_reroute(&w, plan, host);
        add_guard(&w, plan, host);
    }
    add_counters(&w, plan, host);
    pv_text_add(&w, "}\n");
    return w.cut ? PV_ERR_LIMIT : PV_OK;
}

void pv_networds_nft_none(const char *ifname, char ret_text[static PV_NETWORDS_TEXT])
{
    char name[PV_NETWORDS_NAME];
    pv_networds_table(ifname, name);
    snprintf(ret_text, PV_NETWORDS_TEXT, "table inet %s\ndelete table inet %s\n", name, name);
}

/* --- routes -------------------------------------------------------------------------------- */

struct route_list {
    struct pv_networds_route *routes;
    size_t n;
};

static void add_route(struct route_list *l, const struct pv_prefix *dst,
                      enum pv_net_route_type type, uint32_t table, uint32_t metric)
{
    struct pv_networds_route r = {.dst = *dst, .type = type, .table = table, .metric = metric};
    if (metric == 0 && is_v6(dst))
        r.metric = METRIC_V6;
    for (size_t i = 0; i < l->n; i++)
        if (l->routes[i].table == table && l->routes[i].metric == r.metric &&
            l->routes[i].dst.bits == dst->bits &&
            pv_addr_equal_ip(&l->routes[i].dst.base, &dst->base))
            return; /* two interfaces in one network */
    if (l->n < PV_NETWORDS_ROUTES)
        l->routes[l->n++] = r;
}

/* The tables of the exit. A thrown packet is looked up in the host's own tables; what the exit does
 * not carry ends at the last route. */
static void add_exit_routes(struct route_list *l, const struct pv_netplan *plan,
                            const struct pv_networds_host *host, uint16_t family)
{
    static const uint32_t tables[] = {PV_NETWORDS_TABLE, PV_NETWORDS_TABLE_ALL};
    const struct pv_prefix all = {.base = {.family = family}};
    const struct pv_prefix *overlay = family == PV_AF_INET6 ? &plan->overlay6 : &plan->overlay4;
    struct pv_prefix link = {.base = {.family = PV_AF_INET6, .ip = {0xfe, 0x80}}, .bits = 10};
    for (size_t t = 0; t < PV_ARRAY_LEN(tables); t++) {
        add_route(l, &all, PV_NET_ROUTE_UNREACHABLE, tables[t], PV_NETWORDS_LAST);
        if (host->has_iface && (family == PV_AF_INET6 ? plan->exit6 : plan->exit4))
            add_route(l, &all, PV_NET_ROUTE_UNICAST, tables[t], 0);
        if (family == PV_AF_INET6)
            add_route(l, &link, PV_NET_ROUTE_THROW, tables[t], 0);
        if (overlay->base.family != PV_AF_NONE)
            add_route(l, overlay, PV_NET_ROUTE_THROW, tables[t], 0);
        for (size_t i = 0; i < host->n_links; i++)
            if (host->links[i].prefix.base.family == family && is_left_alone(plan, host, i) &&
                (host->links[i].kind != PV_NETPLAN_LAN || tables[t] == PV_NETWORDS_TABLE))
                add_route(l, &host->links[i].prefix, PV_NET_ROUTE_THROW, tables[t], 0);
        for (size_t i = 0; i < host->n_others; i++)
            if (host->others[i].prefix.base.family == family)
                add_route(l, &host->others[i].prefix, PV_NET_ROUTE_THROW, tables[t], 0);
    }
}

size_t pv_networds_routes(const struct pv_netplan *plan, const struct pv_networds_host *host,
                          struct pv_networds_route ret_routes[static PV_NETWORDS_ROUTES])
{
    struct route_list l = {.routes = ret_routes};
    if (plan->exit) {
        add_exit_routes(&l, plan, host, PV_AF_INET);
        add_exit_routes(&l, plan, host, PV_AF_INET6);
    }
    const uint32_t own = PV_NETWORDS_TABLE_USED + host->slot;
    for (size_t i = 0; i < plan->n_used; i++) {
        const struct pv_prefix *p = &plan->used[i].prefix;
        add_route(&l, p, PV_NET_ROUTE_UNREACHABLE, own, PV_NETWORDS_LAST);
        if (!host->has_iface)
            continue;
        add_route(&l, p, PV_NET_ROUTE_UNICAST, own, plan->used[i].metric);
        /* The LAN's exception must not swallow it, nor the end of a family. */
        for (uint32_t t = 0; t < 2 && plan->exit && !is_taken(host, p); t++)
            add_route(&l, p, PV_NET_ROUTE_UNICAST, PV_NETWORDS_TABLE + t, 0);
    }
    return l.n;
}

int pv_networds_route_line(const char *verb, const struct pv_networds_route *r, const char *ifname,
                           char *dst, size_t cap)
{
    /* Of a smaller scope it would be a way to next hops: a default route that somebody sets by its
     * router alone would be one through our interface. */
    bool global = r->type == PV_NET_ROUTE_UNICAST && !is_v6(&r->dst) && strcmp(verb, "del") != 0;
    int n = snprintf(dst, cap, "route %s %s%s%s%s%s table %u metric %u proto %d\n", verb,
                     r->type == PV_NET_ROUTE_THROW         ? "throw "
                     : r->type == PV_NET_ROUTE_UNREACHABLE ? "unreachable "
                                                           : "",
                     PV_PREFIX_STR(&r->dst), r->type == PV_NET_ROUTE_UNICAST ? " dev " : "",
                     r->type == PV_NET_ROUTE_UNICAST ? ifname : "", global ? " scope global" : "",
                     r->table, r->metric, PV_NET_PROTO_OWN);
    return n < 0 || (size_t)n >= cap ? PV_ERR_NO_SPACE : n;
}

/* --- rules --------------------------------------------------------------------------------- */

static int count_lines(const struct pv_text *w, size_t *ret_n)
{
    *ret_n = 0;
    for (const char *c = w->text; *c != '\0'; c++)
        *ret_n += *c == '\n';
    return w->cut ? PV_ERR_LIMIT : PV_OK;
}

/* Where the daemon's own packets go: past these rules, so that the host's other rules and tables
 * lead them as they do without us. The main table alone would not do: a default route may be in
 * table 253, in one that networkd was given, or in that of a second uplink. But with another VPN
 * that takes everything by a rule of its own, our packets would go into that VPN, and its packets
 * into ours. */
static const char *own_way(const struct pv_networds_host *host, uint16_t family, int past,
                           char ret_way[static WAY])
{
    if (host->vpn_rule[family == PV_AF_INET6])
        snprintf(ret_way, WAY, "lookup main");
    else
        snprintf(ret_way, WAY, "goto %d", past);
    return ret_way;
}

int pv_networds_rules(const struct pv_netplan *plan, const struct pv_networds_host *host,
                      uint16_t family, char *dst, size_t cap, size_t *ret_n)
{
    static const char *const asked[] = {"udp dport 53", "tcp dport 53", "udp dport 853",
                                        "tcp dport 853"};
    const int p = PV_NETWORDS_PRIORITY, proto = PV_NET_PROTO_OWN, past = PV_NETWORDS_PAST_EXIT;
    struct pv_text w = pv_text_in(dst, cap);
    char way[WAY];
    *ret_n = 0;
    if (!plan->exit)
        return PV_OK;
    own_way(host, family, past, way);
    pv_text_add(&w, "rule add nop priority %d protocol %d\n", past, proto);
    pv_text_add(&w, "rule add fwmark 0x%x %s priority %d protocol %d\n", PV_NETWORDS_MARK, way, p,
                proto);
    for (size_t i = 0; i < host->n_uids; i++)
        pv_text_add(&w, "rule add uidrange %u-%u %s priority %d protocol %d\n", host->uids[i],
                    host->uids[i], way, p + 1, proto);
    /* The packets of members to this host's networks. */
    pv_text_add(&w, "rule add iif %s %s priority %d protocol %d\n", plan->ifname, way, p + 1,
                proto);
    pv_text_add(&w, "rule add fwmark 0x%x lookup %d priority %d protocol %d\n",
                PV_NETWORDS_MARK_ALL, PV_NETWORDS_TABLE_ALL, p + 2, proto);
    for (size_t i = 0; i < PV_ARRAY_LEN(asked); i++)
        pv_text_add(&w, "rule add ipproto %s lookup %d priority %d protocol %d\n", asked[i],
                    PV_NETWORDS_TABLE_ALL, p + 3, proto);
    pv_text_add(&w, "rule add lookup %d priority %d protocol %d\n", PV_NETWORDS_TABLE, p + 4,
                proto);
    return count_lines(&w, ret_n);
}

/* Routes of others that are longer go before a used prefix, and a default route never does. One
 * that is shorter does so where this host is connected to it. */
static unsigned most_suppressed(const struct pv_prefix *used, const struct pv_networds_host *host)
{
    bool wider = false;
    for (size_t i = 0; i < host->n_links; i++) {
        const struct pv_prefix *other = &host->links[i].prefix;
        if (takes_away(used, host, i))
            return 0;
        wider = wider || (pv_prefix_overlaps(used, other) && other->bits < used->bits);
    }
    return wider ? used->bits - 1u : 0;
}

/* The same where the host's route to a network that it is in is in another table than main.
 * *left: how many more rules there may be. */
static void add_aside_rules(struct pv_text *w, const struct pv_prefix *used,
                            const struct pv_networds_host *host, unsigned past, unsigned proto,
                            size_t *left)
{
    for (size_t i = 0; i<host->n_links && * left> 0; i++) {
        const struct pv_prefix *link = &host->links[i].prefix;
        if (!host->aside[i] || !pv_prefix_overlaps(used, link))
            continue;
        --*left;
        pv_text_add(w, "rule add to %s goto %u priority %u protocol %u\n",
                    PV_PREFIX_STR(link->bits > used->bits ? link : used), past, past - 2, proto);
    }
}

/* Packets of members to an offered prefix are nothing to another network's exit, whose rules are
 * asked next. */
static void add_offered_rules(struct pv_text *w, const struct pv_netplan *plan,
                              const struct pv_networds_host *host, uint16_t family, unsigned turn)
{
    for (size_t i = 0; i < plan->n_offered && host->other_exit; i++) {
        const struct pv_prefix *p = &plan->offered[i].prefix;
        if (p->base.family == family && !is_everything(p) && !is_members(plan, p))
            pv_text_add(w, "rule add iif %s to %s goto %d priority %u protocol %u\n", plan->ifname,
                        PV_PREFIX_STR(p), PV_NETWORDS_PAST_EXIT, PV_NETWORDS_PRIORITY - 2 + turn,
                        pv_networds_used_proto(host->slot, turn));
    }
}

/* The daemon's own packets go as if there were no used prefix, whoever is in one: a gateway, the
 * coordinator, a relay. The rules name each prefix, so nothing else is touched; they are enough
 * where nobody is left to look: a LAN that this host comes into goes before. */
int pv_networds_used_rules(const struct pv_netplan *plan, const struct pv_networds_host *host,
                           uint16_t family, unsigned turn, char *dst, size_t cap, size_t *ret_n)
{
    const unsigned slot = host->slot;
    /* The next network's first priority, and the other turn's: these begin with the same rules. */
    const unsigned p = PV_NETWORDS_PRIORITY_USED + 8 * slot + 4 * turn, past = p + 4;
    const unsigned proto = pv_networds_used_proto(slot, turn);
    struct pv_text w = pv_text_in(dst, cap);
    size_t asides = ASIDES;
    dst[0] = '\0';
    for (size_t i = 0; i < plan->n_used; i++) {
        const struct pv_prefix *used = &plan->used[i].prefix;
        if (used->base.family != family)
            continue;
        if (w.len == 0) {
            pv_text_add(&w,
                        "rule add nop priority %u protocol %u\n"
                        "rule add fwmark 0x%x goto %u priority %u protocol %u\n",
                        past, proto, PV_NETWORDS_MARK, past, p, proto);
            for (size_t k = 0; k < host->n_uids; k++)
                pv_text_add(&w, "rule add uidrange %u-%u goto %u priority %u protocol %u\n",
                            host->uids[k], host->uids[k], past, p + 1, proto);
        }
        add_aside_rules(&w, used, host, past, proto, &asides);
        const char *text = PV_PREFIX_STR(used);
        pv_text_add(&w,
                    "rule add to %s lookup main suppress_prefixlength %u priority %u protocol %u\n"
                    "rule add to %s lookup %u priority %u protocol %u\n",
                    text, most_suppressed(used, host), p + 2, proto, text,
                    PV_NETWORDS_TABLE_USED + slot, p + 3, proto);
    }
    add_offered_rules(&w, plan, host, family, turn);
    return count_lines(&w, ret_n);
}
