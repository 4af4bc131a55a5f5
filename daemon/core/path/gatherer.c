/* SPDX-License-Identifier: MIT */
/* gatherer.c - finds this node's candidates (RFC 8445 s5.1.1): its own addresses, the address at
 * which a STUN server sees each of them, and ports that routers mapped; and puts them into one list
 * with what peers and relays tell. */
#include "daemon/core/path/gatherer.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "daemon/core/nat/stunroute.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peers.h"
#include "proto/stun/nat64.h"
#include "proto/stun/stunc.h"

enum {
    STUN_SENDS = 7,    /* at 100, 200 ... 3200 ms: 12.7 s until a server counts as silent */
    STUN_PADDING = 20, /* bytes: makes the request as large as the largest answer, DESIGN 6 */
    MAPPED = 2,        /* ports mapped by routers: one a family */
    /* Below what servers tell, by local preference (RFC 8445 s5.1.2.1): a peer may lie. */
    TOLD_PREFERENCE = 16383,
    TOLD_FOUNDATION = UINT8_MAX - 16, /* below the relays' foundations, above our own */
};
#define STUN_RTO      PV_MS(100) /* ours: a fifth of RFC 8489's; peers wait for the answer */
#define RETRY_FIRST   PV_S(10)   /* after a silent server, doubling */
#define RETRY_MAX     PV_S(60)
#define REFRESH_HOLD  PV_MS(500) /* ours: between questions that somebody else asks for */
#define LOOK_UP_AGAIN PV_S(30)   /* ours: after a name was not found, or a server fell silent */
#define VERDICT       PV_S(5)    /* ours: a request is repeated within */
#define ASK_AGAIN     PV_S(600)  /* ours: a server of the configuration that never answered */

/* A host address and what the STUN server sees of it. */
struct base {
    struct pv_addr addr; /* with the UDP port */
    uint16_t sock;
    unsigned rank;         /* 0 = the best */
    bool was_source;       /* datagrams into the internet left from it at some time */
    bool way_out;          /* datagrams into the internet leave by its interface */
    struct pv_addr mapped; /* PV_AF_NONE: not known */
    struct pv_stunc stunc;
    bool asked;     /* a transaction has ended, with an answer or without */
    pv_ns asked_at; /* the first question since the last answer; PV_NEVER: none */
    pv_ns ask_at;   /* next transaction; PV_NEVER: none */
    pv_ns retry;
};

/* The server of the configuration in one family: each may be blocked alone. */
struct stun_family {
    uint16_t family;
    bool silent; /* it gave no answer: the coordinator is asked instead */
    bool heard;  /* it has answered since it was silent last */
};

struct pv_gatherer {
    struct pv_node *node;
    bool has_udp6;
    struct pv_addr server4, server6; /* PV_AF_NONE: none */
    struct base bases[PV_GATHERER_MAX_BASES];
    size_t n_bases;
    size_t left_out; /* addresses that could be offered, and have no place */
    struct {
        struct pv_addr local, external; /* PV_AF_NONE: none */
    } mapped[MAPPED];
    pv_ns refreshed_at;
    uint16_t sock; /* of the IPv4 addresses; 0 = the main one */
    uint16_t sock_port;
    bool changed;
    struct pv_stun_server stun; /* of the configuration */
    struct stun_family by[2];   /* IPv4, IPv6 */
    bool asking;                /* a job looks it up */
    uint64_t nat64_round;       /* of looking for it: the network of an older one may be another */
    pv_ns retry_at;             /* it is looked up again; PV_NEVER: need not be */
};

static const struct pv_addr *server_of(const struct pv_gatherer *g, const struct base *b)
{
    const struct pv_addr *s = b->addr.family == PV_AF_INET6 ? &g->server6 : &g->server4;
    return s->family == PV_AF_NONE ? NULL : s;
}

/* --- bases --------------------------------------------------------------------------------- */

/* Ranges of the overlay serve as no candidates, whatever interface holds them. The address from
 * which all goes to the internet is the exception, as in a hotel with the same range: the way there
 * leads by the router, and peers do not take such a candidate (peer.c, take_remote()).
 * (TRAVERSAL 8 rule 9) */
static bool may_be_offered(const struct pv_gatherer *g, const struct pv_link_addr *l)
{
    const struct pv_addr *a = &l->addr.base;
    const struct pv_given *given = &g->node->given;
    if (!l->up || l->loopback || strcmp(l->ifname, given->tun_name) == 0)
        return false;
    if (a->family == PV_AF_INET6 && !g->has_udp6)
        return false;
    struct pv_addr probe = *a;
    probe.port = given->udp_port;
    return pv_addr_is_usable_remote(&probe) && (l->source || !pv_node_is_own_range(g->node, a));
}

static const struct base *find_base(const struct base *bases, size_t n, const struct pv_addr *a)
{
    for (size_t i = 0; i < n; i++) {
        if (pv_addr_equal(&bases[i].addr, a))
            return &bases[i];
    }
    return NULL;
}

/* Inserts by rank, a source address of the way out before others, and else in the order of arrival.
 * The list is short and its order is the candidates' priority (RFC 8445 s5.1.2). */
static void insert_base(struct base *bases, size_t *n, const struct base *b)
{
    size_t at = 0;
    while (at < *n && bases[at].rank <= b->rank)
        at++;
    memmove(&bases[at + 1], &bases[at], (*n - at) * sizeof(*bases));
    bases[at] = *b;
    (*n)++;
}

static bool has_address(const struct pv_links *links, const struct pv_addr *a)
{
    for (size_t i = 0; i < links->n; i++)
        if (pv_addr_equal_ip(&links->of[i].addr.base, a))
            return true;
    return false;
}

/* Other tunnels are offered only when nothing else is there, or when they are the way out: what
 * leaves from another address through one that takes everything is dropped at its end. */
static void choose(const struct pv_gatherer *g, struct pv_links *ret_links)
{
    const struct pv_node_host *host = &g->node->host;
    unsigned best = PV_LINK_RANK_TUNNEL;
    for (size_t i = 0; i < host->n_links; i++)
        if (may_be_offered(g, &host->links[i]) && pv_link_rank(&host->links[i]) < best)
            best = pv_link_rank(&host->links[i]);
    pv_links_init(ret_links, PV_GATHERER_MAX_BASES);
    for (size_t i = 0; i < host->n_links; i++) {
        const struct pv_link_addr *link = &host->links[i];
        if (may_be_offered(g, link) && !has_address(ret_links, &link->addr.base) &&
            (pv_link_rank(link) != PV_LINK_RANK_TUNNEL || best == PV_LINK_RANK_TUNNEL))
            pv_links_add(ret_links, link);
    }
    ret_links->left_out += host->left_out;
}

static void note_left_out(struct pv_gatherer *g, size_t left_out)
{
    if (left_out > 0 && left_out != g->left_out)
        pv_log(g->node->log, PV_LOG_INFO,
               "what=\"addresses of this machine are not offered\" left_out=%zu offered=%d",
               left_out, PV_GATHERER_MAX_BASES);
    g->left_out = left_out;
}

/* Returns true if the connection to the coordinator may leave from the base. It leaves from a
 * source address of the way out, if there was one. Addresses of containers come and go all the time
 * and must not end it: the connection has to prove itself anyhow when addresses change
 * (coord/coordinator.c). */
static bool may_have_connection(const struct pv_gatherer *g, const struct base *b)
{
    bool known = false;
    for (size_t i = 0; i < g->n_bases; i++)
        known = known || (g->bases[i].was_source && g->bases[i].addr.family == b->addr.family);
    return b->was_source || !known;
}

/* Bases that stay keep what is known about them; new ones are asked about at once. True: one is
 * gone that the connection to the coordinator may leave from. A base that stays keeps its running
 * transaction and its mapping: a link that flaps elsewhere must not take candidates away from peers
 * that use them. */
static bool rebuild(struct pv_gatherer *g, pv_ns now)
{
    struct base fresh[PV_GATHERER_MAX_BASES];
    struct pv_links links;
    size_t n = 0;
    choose(g, &links);
    note_left_out(g, links.left_out);
    for (size_t i = 0; i < links.n; i++) {
        const struct pv_link_addr *link = &links.of[i];
        struct base b = {.asked_at = PV_NEVER, .ask_at = now, .retry = RETRY_FIRST};
        b.addr = link->addr.base;
        b.addr.port = g->node->given.udp_port;
        if (b.addr.family == PV_AF_INET && g->sock != 0) {
            b.addr.port = g->sock_port;
            b.sock = g->sock;
        }
        const struct base *old = find_base(g->bases, g->n_bases, &b.addr);
        if (old != NULL)
            b = *old;
        b.rank = 2 * pv_link_rank(link) + (link->source ? 0 : 1);
        /* Another interface leads out from now on, such as a VPN's. The mapping was made by the
         * former interface. */
        if (b.way_out && !link->way_out && b.mapped.family != PV_AF_NONE) {
            b.mapped.family = PV_AF_NONE;
            g->changed = true;
        }
        b.way_out = link->way_out;
        b.was_source = b.was_source || link->source;
        insert_base(fresh, &n, &b);
    }

    bool gone = false;
    for (size_t i = 0; i < g->n_bases; i++)
        gone = gone || (find_base(fresh, n, &g->bases[i].addr) == NULL &&
                        may_have_connection(g, &g->bases[i]));
    bool same = n == g->n_bases;
    for (size_t i = 0; same && i < n; i++)
        same = pv_addr_equal(&fresh[i].addr, &g->bases[i].addr);
    memcpy(g->bases, fresh, n * sizeof(*fresh));
    g->n_bases = n;
    if (!same)
        g->changed = true;
    return gone;
}

static pv_ns interval_of(const struct pv_gatherer *g)
{
    pv_ns lifetime = g->node->ways.binding_lifetime;
    return lifetime == 0 ? PV_GATHERER_REFRESH : lifetime;
}

/* A transaction under way is ended: it was sent from the network of before, and its answer would be
 * of yesterday. */
static void ask_all(struct pv_gatherer *g, pv_ns now)
{
    g->refreshed_at = now;
    for (size_t i = 0; i < g->n_bases; i++) {
        pv_stunc_stop(&g->bases[i].stunc);
        g->bases[i].asked_at = PV_NEVER;
        g->bases[i].ask_at = now;
        g->bases[i].retry = RETRY_FIRST;
    }
}

void pv_gatherer_set_socket(struct pv_gatherer *g, uint16_t sock, uint16_t port, pv_ns now)
{
    g->sock = sock;
    g->sock_port = port;
    (void)rebuild(g, now);
}

/* The first of each family stays. */
static void pick_server(const struct pv_node *n, uint16_t family, const struct pv_addr *servers,
                        size_t count, struct pv_addr *s4, struct pv_addr *s6)
{
    for (size_t i = 0; i < count; i++) {
        const struct pv_addr at = pv_nat64_make(&n->ways.nat64, &servers[i]);
        struct pv_addr *to = at.family == PV_AF_INET6 ? s6 : s4;
        if (servers[i].family == family && to->family == PV_AF_NONE)
            *to = at;
    }
}

/* The first of each family is asked. A coordinator in this node's own LAN sees no address that
 * others could use, so a server that the user named goes before. Where a NAT64 leads to IPv4, its
 * address there is what peers with IPv4 have to know, so servers with IPv4 go before: what one with
 * IPv6 sees is the host's own address. */
static void set_servers(struct pv_gatherer *g, pv_ns now)
{
    static const uint16_t families[] = {PV_AF_INET, PV_AF_INET6};
    const struct pv_node *n = g->node;
    const struct pv_coord_info *info = &n->coord_info;
    struct pv_addr s4 = {0}, s6 = {0};
    for (size_t i = 0; i < PV_ARRAY_LEN(families); i++) {
        pick_server(n, families[i], n->ways.stun, n->ways.n_stun, &s4, &s6);
        pick_server(n, families[i], info->servers, info->n_servers, &s4, &s6);
    }
    if (pv_addr_equal(&s4, &g->server4) && pv_addr_equal(&s6, &g->server6))
        return;
    g->server4 = s4;
    g->server6 = s6;
    ask_all(g, now);
}

void pv_gatherer_lifetime_changed(struct pv_gatherer *g, pv_ns now)
{
    for (size_t i = 0; i < g->n_bases; i++) {
        if (!pv_stunc_is_running(&g->bases[i].stunc))
            g->bases[i].ask_at = pv_min_ns(g->bases[i].ask_at, now + interval_of(g));
    }
}

/* The router maps the main socket, so the candidate's base has its port. */
void pv_gatherer_set_mapped(struct pv_gatherer *g, const struct pv_addr *local,
                            const struct pv_addr *external)
{
    size_t i = local->family == PV_AF_INET6 ? 1 : 0;
    struct pv_addr base = *local;
    base.port = g->node->given.udp_port;
    if (pv_addr_equal(&g->mapped[i].local, &base) &&
        pv_addr_equal(&g->mapped[i].external, external))
        return;
    g->mapped[i].local = base;
    g->mapped[i].external = *external;
    g->changed = true;
}

void pv_gatherer_refresh(struct pv_gatherer *g, pv_ns now)
{
    pv_ns when = g->refreshed_at == 0 ? now : g->refreshed_at + REFRESH_HOLD;
    if (now >= when)
        ask_all(g, now);
    for (size_t i = 0; i < g->n_bases; i++) {
        struct base *b = &g->bases[i];
        if (!pv_stunc_is_running(&b->stunc))
            b->ask_at = pv_min_ns(b->ask_at, when);
    }
}

/* --- STUN ---------------------------------------------------------------------------------- */

static void finish(struct pv_gatherer *g, struct base *b, const struct pv_stunc_event *ev,
                   pv_ns now)
{
    b->asked = true;
    if (ev->type != PV_STUNC_MAPPED) {
        /* A mapping once seen may live on while the server is away: keep offering it. */
        b->ask_at = now + b->retry;
        b->retry = pv_min_ns(b->retry * 2, RETRY_MAX);
        return;
    }
    b->asked_at = PV_NEVER;
    b->ask_at = now + interval_of(g);
    b->retry = RETRY_FIRST;
    if (!pv_addr_equal(&b->mapped, &ev->mapped)) {
        b->mapped = ev->mapped;
        g->changed = true;
    }
}

/* False: it answers none of our questions. */
static bool take_answer(struct pv_gatherer *g, const struct pv_addr *src, struct pv_view datagram,
                        pv_ns now)
{
    int r = PV_ERR_NOT_FOUND;
    for (size_t i = 0; i < g->n_bases && r == PV_ERR_NOT_FOUND; i++) {
        struct pv_stunc_event ev;
        r = pv_stunc_handle_input(&g->bases[i].stunc, src, datagram, now);
        if (r == PV_OK && pv_stunc_poll_event(&g->bases[i].stunc, &ev) == PV_OK)
            finish(g, &g->bases[i], &ev, now);
    }
    return r == PV_OK;
}

/* The main socket only, and only when one base of the family can have sent the question. */
void pv_gatherer_note_mapped(struct pv_gatherer *g, const struct pv_addr *server,
                             const struct pv_addr *mapped)
{
    struct base *only = NULL;
    for (size_t i = 0; i < g->n_bases; i++) {
        struct base *b = &g->bases[i];
        if (b->addr.family != server->family)
            continue;
        if (only != NULL)
            return; /* which of them it came from is not known */
        only = b;
    }
    if (only == NULL || only->mapped.family != PV_AF_NONE || mapped->family != server->family ||
        server_of(g, only) == NULL || !pv_addr_equal(server_of(g, only), server))
        return;
    only->mapped = *mapped;
    g->changed = true;
}

/* Returns true if a server is being asked, for the first time, for an address of ours that is not
 * known at all. */
static bool is_asking(const struct pv_gatherer *g)
{
    for (size_t i = 0; i < g->n_bases; i++) {
        const struct base *b = &g->bases[i];
        /* The first transaction only: a server that is silent must not delay every later
         * attempt. */
        if (server_of(g, b) != NULL && b->mapped.family == PV_AF_NONE && !b->asked)
            return true;
    }
    return false;
}

/* An address that leads nowhere never gets an answer: the others judge the server. */
pv_ns pv_gatherer_unanswered(const struct pv_gatherer *g, uint16_t family)
{
    pv_ns since = 0;
    for (size_t i = 0; i < g->n_bases; i++) {
        if (g->bases[i].addr.family == family && g->bases[i].asked_at > since)
            since = g->bases[i].asked_at;
    }
    return since == 0 ? PV_NEVER : since;
}

bool pv_gatherer_is_seen_at(const struct pv_gatherer *g, const struct pv_addr *addr)
{
    for (size_t i = 0; i < g->n_bases; i++) {
        if (pv_addr_equal(&g->bases[i].addr, addr) || pv_addr_equal(&g->bases[i].mapped, addr))
            return true;
    }
    return false;
}

static void ask_servers(struct pv_gatherer *g, pv_ns now)
{
    for (size_t i = 0; i < g->n_bases; i++) {
        struct base *b = &g->bases[i];
        struct pv_stunc_event ev;
        pv_stunc_handle_timeout(&b->stunc, now);
        if (pv_stunc_poll_event(&b->stunc, &ev) == PV_OK)
            finish(g, b, &ev, now);
        const struct pv_addr *server = server_of(g, b);
        if (server == NULL || pv_stunc_is_running(&b->stunc) || now < b->ask_at)
            continue;
        const struct pv_stunc_config cfg = {
            .server = *server, .rto = STUN_RTO, .max_sends = STUN_SENDS, .padding = STUN_PADDING};
        pv_stunc_start(&b->stunc, &cfg, &g->node->rng, now);
        b->ask_at = PV_NEVER;
        b->asked_at = pv_min_ns(b->asked_at, now);
    }
}

/* --- candidates ---------------------------------------------------------------------------- */

/* A public address needs no server-reflexive twin (RFC 8445 s5.1.3), nor do two equal ones. */
static bool is_redundant(const struct pv_gatherer *g, size_t index)
{
    const struct pv_addr *mapped = &g->bases[index].mapped;
    if (mapped->family == PV_AF_NONE || pv_node_is_own_range(g->node, mapped))
        return true;
    if (find_base(g->bases, g->n_bases, mapped) != NULL)
        return true;
    for (size_t i = 0; i < index; i++) {
        if (pv_addr_equal(&g->bases[i].mapped, mapped))
            return true;
    }
    return false;
}

static struct pv_ice_carrier carrier_of(const struct base *b)
{
    return (struct pv_ice_carrier){.kind = PV_ICE_CARRIER_UDP, .sock = b->sock, .local = b->addr};
}

/* Foundations differ for host and reflexive candidates of one base (RFC 8445 s5.1.1.3). */
static struct pv_ice_cand reflexive(const struct pv_gatherer *g, size_t index,
                                    const struct pv_addr *addr, uint16_t local_pref)
{
    return (struct pv_ice_cand){
        .type = PV_ICE_SRFLX,
        .addr = *addr,
        .priority = pv_ice_priority(PV_ICE_SRFLX, local_pref),
        .foundation = (uint8_t)(1 + PV_GATHERER_MAX_BASES + index),
        .base = (uint8_t)index,
        .carrier = carrier_of(&g->bases[index]),
    };
}

/* RFC 8445 s5.1.3: the same address twice would only have its pairs checked twice. */
static bool is_listed(const struct pv_ice_cand *cands, size_t n, const struct pv_addr *addr)
{
    for (size_t i = 0; i < n; i++) {
        if (pv_addr_equal(&cands[i].addr, addr))
            return true;
    }
    return false;
}

static size_t add_mapped(const struct pv_gatherer *g, struct pv_ice_cand *cands, size_t n)
{
    for (size_t i = 0; i < MAPPED && n < PV_ICE_MAX_LOCAL; i++) {
        const struct pv_addr *external = &g->mapped[i].external;
        const struct base *b = find_base(g->bases, g->n_bases, &g->mapped[i].local);
        if (b == NULL || external->family == PV_AF_NONE ||
            pv_node_is_own_range(g->node, external) || is_listed(cands, n, external))
            continue;
        cands[n++] = reflexive(g, (size_t)(b - g->bases), external, UINT16_MAX);
    }
    return n;
}

/* Host candidates first, then what the router maps, which lets everybody in. Where a NAT showed the
 * server another port than ours, its address with our own port is offered too, last: most NATs keep
 * the port, and may have given it away towards that server only. */
static size_t list_own(const struct pv_gatherer *g,
                       struct pv_ice_cand ret_cands[static PV_ICE_MAX_LOCAL])
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_bases; i++) {
        const struct base *b = &g->bases[i];
        ret_cands[n++] = (struct pv_ice_cand){
            .type = PV_ICE_HOST,
            .addr = b->addr,
            .priority = pv_ice_priority(PV_ICE_HOST, (uint16_t)(65535 - i)),
            .foundation = (uint8_t)(1 + i),
            .base = (uint8_t)i,
            .carrier = carrier_of(b),
        };
    }
    /* Before the reflexive ones: nobody has to punch a hole into a mapped port. */
    n = add_mapped(g, ret_cands, n);
    for (size_t i = 0; i < g->n_bases && n < PV_ICE_MAX_LOCAL; i++) {
        if (!is_redundant(g, i) && !is_listed(ret_cands, n, &g->bases[i].mapped))
            ret_cands[n++] = reflexive(g, i, &g->bases[i].mapped, (uint16_t)(65534 - i));
    }
    for (size_t i = 0; i < g->n_bases && n < PV_ICE_MAX_LOCAL; i++) {
        struct pv_addr kept = g->bases[i].mapped;
        kept.port = g->bases[i].addr.port;
        if (!is_redundant(g, i) && !is_listed(ret_cands, n, &kept))
            ret_cands[n++] = reflexive(g, i, &kept, (uint16_t)(32767 - i));
    }
    return n;
}

/* The base (RFC 8445 s4) with this address; n_locals: there is none. Ports are not
 * compared: the base has the main socket's, and a standby socket may be in use. */
static size_t base_at(const struct pv_node *n, const struct pv_addr *local)
{
    for (size_t i = 0; i < n->ways.n_locals; i++) {
        if (n->ways.locals[i].type == PV_ICE_HOST &&
            pv_addr_equal_ip(&n->ways.locals[i].addr, local))
            return i;
    }
    return n->ways.n_locals;
}

/* The addresses of ours that peers see stand in for STUN servers while there are none. */
static void add_told(struct pv_node *n)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(n->ways.told); i++) {
        const struct pv_told *t = &n->ways.told[i];
        size_t base = t->peer == 0 ? n->ways.n_locals : base_at(n, &t->local);
        if (base == n->ways.n_locals || n->ways.n_locals == PV_ICE_MAX_LOCAL ||
            is_listed(n->ways.locals, n->ways.n_locals, &t->mapped))
            continue;
        n->ways.locals[n->ways.n_locals++] = (struct pv_ice_cand){
            .type = PV_ICE_SRFLX,
            .addr = t->mapped,
            .priority = pv_ice_priority(PV_ICE_SRFLX, (uint16_t)(TOLD_PREFERENCE - i)),
            .foundation = (uint8_t)(TOLD_FOUNDATION - i),
            .base = (uint8_t)base,
            .carrier = n->ways.locals[base].carrier,
        };
    }
}

static const struct pv_addr *relayed_at(const struct pv_node *n, uint16_t i)
{
    const struct pv_addr *a =
        n->ways.relays[i] == NULL ? NULL : pv_relayway_relayed(n->ways.relays[i]);
    return a == NULL || a->family == PV_AF_NONE ? NULL : a;
}

/* A relayed address is its own base (RFC 8445 s5.1.1.2). In a full list the least of the others
 * give way: without a relay some pairs never meet. */
static void add_relayed(struct pv_node *n)
{
    size_t room = PV_ICE_MAX_LOCAL;
    for (uint16_t i = 0; i < PV_FP_MAX_RELAYS; i++)
        room -= relayed_at(n, i) == NULL ? 0 : 1;
    size_t k = n->ways.n_locals < room ? n->ways.n_locals : room;
    for (uint16_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        const struct pv_addr *relayed = relayed_at(n, i);
        if (relayed == NULL)
            continue;
        n->ways.locals[k] = (struct pv_ice_cand){
            .type = PV_ICE_RELAY,
            .addr = *relayed,
            .priority = pv_ice_priority(PV_ICE_RELAY, (uint16_t)(UINT16_MAX - i)),
            .foundation = (uint8_t)(UINT8_MAX - i),
            .base = (uint8_t)k,
            .carrier = {.kind = PV_ICE_CARRIER_CHANNEL, .sock = i, .local = *relayed},
        };
        k++;
    }
    n->ways.n_locals = k;
}

/* The whole list anew, never changed in place: indices of bases in it must agree. */
void pv_candidates_compose(struct pv_node *n, pv_ns now)
{
    n->ways.n_locals = list_own(n->ways.gatherer, n->ways.locals);
    add_told(n);
    add_relayed(n);
    pv_node_raise(n, PV_FACT_CANDIDATES);
    pv_peers_node_changed(n->peers, true, now);
}

/* --- the way to IPv4 without having it -------------------------------------------------------- */

static const struct pv_prefix nowhere = {.bits = 0};

static void set_nat64(struct pv_gatherer *g, const struct pv_prefix *prefix, pv_ns now)
{
    struct pv_node *n = g->node;
    if (pv_addr_equal_ip(&prefix->base, &n->ways.nat64.base) && prefix->bits == n->ways.nat64.bits)
        return;
    n->ways.nat64 = *prefix;
    pv_log(n->log, PV_LOG_INFO, "what=\"NAT64\" prefix=%s", PV_PREFIX_STR(prefix));
    set_servers(g, now);
    pv_candidates_compose(n, now);
}

static void look_for_nat64(struct pv_gatherer *g, pv_ns now);

static void take_nat64(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct pv_gatherer *g = wait->self;
    struct pv_prefix prefix;
    g->node->ways.asking_nat64 = false;
    pv_node_raise(g->node, PV_FACT_SERVERS); /* a relay may have waited for it */
    if (wait->tag != g->nat64_round) {
        look_for_nat64(g, now);
        return;
    }
    for (size_t i = 0; i < result->n_addrs; i++) {
        struct pv_addr addr = result->addrs[i];
        addr.port = 1; /* any */
        if (pv_addr_is_usable_remote(&addr) && pv_nat64_find(&addr, &prefix)) {
            set_nat64(g, &prefix, now);
            return;
        }
    }
    if (result->status == PV_OK)
        set_nat64(g, &nowhere, now);
}

/* A network that translates shows its prefix by what its DNS makes of a name that has addresses of
 * IPv4 alone (RFC 7050). */
static void look_for_nat64(struct pv_gatherer *g, pv_ns now)
{
    g->nat64_round++;
    if (pv_node_has_ipv4(g->node))
        set_nat64(g, &nowhere, now);
    else if (!g->node->ways.asking_nat64 && g->node->host.n_links > 0)
        g->node->ways.asking_nat64 =
            pv_jobqueue_resolve(&g->node->jobs, PV_NAT64_NAME, 0, take_nat64, g, g->nat64_round);
}

/* --- the server of the configuration -------------------------------------------------------- */

static void take_stun(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct pv_gatherer *g = wait->self;
    struct pv_node *n = g->node;
    g->asking = g->by[0].silent = g->by[1].silent = false;
    n->ways.n_stun = 0;
    for (size_t i = 0; i < result->n_addrs && n->ways.n_stun < PV_NODE_STUN; i++)
        n->ways.stun[n->ways.n_stun++] = result->addrs[i];
    if (n->ways.n_stun == 0)
        g->retry_at = now + LOOK_UP_AGAIN;
    set_servers(g, now);
    pv_gatherer_refresh(g, now);
}

static void look_up(struct pv_gatherer *g, pv_ns now)
{
    g->retry_at = PV_NEVER;
    if (!g->node->ways.has_stun || !g->node->online || g->asking)
        return;
    g->asking = pv_jobqueue_resolve(&g->node->jobs, g->stun.host, g->stun.port, take_stun, g, 0);
    if (!g->asking)
        g->retry_at = now + LOOK_UP_AGAIN;
}

/* When the server counts as silent in this family, if no answer comes. Not while this node is not
 * online: there is nobody to ask instead, and the server is looked up again afterwards. */
static pv_ns verdict_at(const struct pv_gatherer *g, const struct stun_family *f)
{
    const struct pv_node *n = g->node;
    pv_ns since = pv_gatherer_unanswered(g, f->family);
    for (size_t i = 0; i < n->ways.n_stun && n->online && since != PV_NEVER; i++) {
        if (n->ways.stun[i].family == f->family)
            return since + VERDICT;
    }
    return PV_NEVER;
}

/* This node would know no address of its own. One that has answered may have moved, or its way was
 * gone for a moment. */
static void give_up_silent(struct pv_gatherer *g, struct stun_family *f, pv_ns now)
{
    struct pv_node *n = g->node;
    size_t kept = 0;
    for (size_t i = 0; i < n->ways.n_stun; i++) {
        if (n->ways.stun[i].family != f->family)
            n->ways.stun[kept++] = n->ways.stun[i];
    }
    n->ways.n_stun = kept;
    g->retry_at = pv_min_ns(g->retry_at, now + (f->heard ? LOOK_UP_AGAIN : ASK_AGAIN));
    f->silent = true;
    f->heard = false;
    set_servers(g, now);
}

/* Machines without a way out by IPv6 are many: that alone is no problem. */
static bool is_silent(const struct pv_gatherer *g)
{
    return g->by[0].silent || (g->by[1].silent && !g->by[0].heard);
}

bool pv_candidates_are_unseen(const struct pv_node *n)
{
    bool seen_inside = pv_addr_is_private(&n->coord_info.addr);
    for (size_t i = 0; i < n->ways.n_locals; i++) {
        const struct pv_ice_cand *c = &n->ways.locals[i];
        if (c->type != PV_ICE_RELAY && !pv_addr_is_private(&c->addr))
            return false;
        seen_inside = seen_inside || c->type == PV_ICE_SRFLX;
    }
    return n->online && !n->ways.udp_blocked && n->ways.n_locals > 0 && seen_inside;
}

/* A server in one of this machine's networks sees a private address rightly. */
const struct pv_addr *pv_candidates_hidden_as(const struct pv_node *n)
{
    const struct pv_gatherer *g = n->ways.gatherer;
    for (size_t i = 0; g != NULL && n->online && i < g->n_bases; i++) {
        const struct base *b = &g->bases[i];
        const struct pv_addr *server = server_of(g, b);
        const struct pv_prefix seen = {b->mapped, (uint8_t)(pv_addr_ip_len(&b->mapped) * 8)};
        if (b->mapped.family != PV_AF_NONE && pv_addr_is_private(&b->mapped) && server != NULL &&
            !pv_addr_is_private(server) && pv_node_link_in(n, &seen) == NULL)
            return &b->mapped;
    }
    return NULL;
}

/* --- what happens ----------------------------------------------------------------------------- */

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct pv_gatherer *g = part;
    struct pv_node *n = g->node;
    if ((facts & (PV_FACT_LINKS | PV_FACT_INTERFACE | PV_FACT_NETWORK)) != 0 && rebuild(g, now) &&
        (facts & PV_FACT_LINKS) != 0)
        pv_node_raise(n, PV_FACT_ADDRESS_GONE);
    if ((facts & PV_FACT_LINKS) != 0)
        ask_all(g, now); /* the way out may have changed although the addresses did not */
    if ((facts & PV_FACT_SERVERS) != 0)
        set_servers(g, now);
    if ((facts & (PV_FACT_ONLINE | PV_FACT_LINKS | PV_FACT_RESUMED)) != 0) {
        look_for_nat64(g, now);
        look_up(g, now);
    }
    /* When the coordinator is lost, perhaps our own NAT forgot us. */
    if ((facts & (PV_FACT_NAT_DOUBT | PV_FACT_OFFLINE | PV_FACT_LINKS | PV_FACT_RESUMED)) != 0)
        pv_gatherer_refresh(g, now);
    if ((facts & PV_FACT_TOLD) != 0)
        pv_candidates_compose(n, now);
}

static void run(void *part, pv_ns now)
{
    struct pv_gatherer *g = part;
    /* An address that is still being asked for is one that peers do not know yet, which the agents
     * take into account (pv_ice_set_known()). */
    g->node->ways.gathering = is_asking(g);
    if (!g->changed)
        return;
    g->changed = false;
    pv_node_raise(g->node, PV_FACT_MOVED);
    pv_candidates_compose(g->node, now);
}

static bool handle_stun(void *part, const struct pv_carrier *from, struct pv_view data, pv_ns now)
{
    struct pv_gatherer *g = part;
    /* An answer whose transaction id is not ours belongs to another part, or to nobody. */
    if (data.len < PV_STUN_HEADER_LEN ||
        pv_stunroute_owner(g->node->ways.stunroute, data.ptr + PV_STUN_TXID_AT) !=
            PV_STUN_OWNER_GATHERER)
        return false;
    if (from->kind != PV_CARRIER_UDP)
        return true; /* through a relay a server sees the relay, not us */
    if (take_answer(g, &from->remote, data, now)) {
        for (size_t i = 0; i < g->node->ways.n_stun; i++)
            if (pv_addr_equal(&g->node->ways.stun[i], &from->remote))
                g->by[from->remote.family == PV_AF_INET6].heard = true;
        pv_node_raise(g->node, PV_FACT_HEARD);
    } else {
        pv_log(g->node->log, PV_LOG_DEBUG, "what=\"STUN answer not taken\"");
    }
    return true;
}

static bool poll_transmit(void *part, struct pv_engine_transmit *ret_tx)
{
    struct pv_gatherer *g = part;
    for (size_t i = 0; i < g->n_bases; i++) {
        struct base *b = &g->bases[i];
        size_t len;
        if (pv_stunc_poll_transmit(&b->stunc, ret_tx->buf, sizeof(ret_tx->buf), &len) != PV_OK)
            continue;
        (void)pv_transmit_to(ret_tx, &b->stunc.cfg.server, NULL, 0); /* the bytes are there */
        pv_stunroute_sent(g->node->ways.stunroute, ret_tx->buf + PV_STUN_TXID_AT,
                          PV_STUN_OWNER_GATHERER);
        ret_tx->sock = b->sock;
        ret_tx->local = b->addr;
        ret_tx->len = len;
        return true;
    }
    return false;
}

static void handle_timeout(void *part, pv_ns now)
{
    struct pv_gatherer *g = part;
    ask_servers(g, now);
    if (now >= g->retry_at)
        look_up(g, now);
    for (size_t i = 0; i < PV_ARRAY_LEN(g->by); i++) {
        if (now >= verdict_at(g, &g->by[i]))
            give_up_silent(g, &g->by[i], now);
    }
}

static pv_ns next_timeout(const void *part)
{
    const struct pv_gatherer *g = part;
    pv_ns next = pv_min_ns(verdict_at(g, &g->by[0]), verdict_at(g, &g->by[1]));
    next = pv_min_ns(next, g->retry_at);
    for (size_t i = 0; i < g->n_bases; i++) {
        const struct base *b = &g->bases[i];
        if (server_of(g, b) != NULL)
            next = pv_min_ns(next, pv_stunc_is_running(&b->stunc) ? pv_stunc_next_timeout(&b->stunc)
                                                                  : b->ask_at);
    }
    return next;
}

/* --- shown ------------------------------------------------------------------------------------ */

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    struct pv_gatherer *g = part;
    const struct pv_node *n = g->node;
    struct pv_ice_cand cands[PV_ICE_MAX_LOCAL];
    /* That list has no relayed addresses, and no addresses that only peers told. */
    size_t count = list_own(g, cands);
    st->s.public_addrs = st->publics;
    for (size_t i = 0; i < count && st->s.n_public < PV_STATUSPAGE_MAX_PUBLIC; i++) {
        if (cands[i].type == PV_ICE_SRFLX || !pv_addr_is_private(&cands[i].addr))
            st->publics[st->s.n_public++] = cands[i].addr;
    }
    st->s.left_out = g->left_out;
    st->s.hidden_as = pv_candidates_hidden_as(n);
    st->s.unseen = pv_candidates_are_unseen(n);
    if (st->s.hidden_as != NULL)
        pv_statuspage_problem(
            st,
            PV_STR("the coordinator sees this machine at %s, a private address: ",
                   PV_IP_STR(st->s.hidden_as)),
            "what forwards to it hides addresses: its operator lets it have the host's network, or "
            "forwards without masquerading; or name a STUN server (stun in [traversal])");
    if (n->ways.has_stun && n->online && !g->asking && (n->ways.n_stun == 0 || is_silent(g)))
        pv_statuspage_todo(st, PV_STR("the STUN server %.100s of [traversal] stun ", g->stun.host),
                           g->by[0].silent || g->by[1].silent ? PV_DO(other_stun)
                                                              : PV_DO(correct_stun));
    if (n->roster != NULL && n->up && !n->removed && n->host.is_known && n->ways.n_locals == 0)
        pv_statuspage_todo(st, "this machine has no network: ", PV_DO(check_address));
}

/* --- life ------------------------------------------------------------------------------------- */

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct pv_gatherer *g = part;
    g->has_udp6 = cfg->has_udp6;
    g->stun = cfg->stun;
    g->by[0].family = PV_AF_INET;
    g->by[1].family = PV_AF_INET6;
    g->retry_at = PV_NEVER;
    g->node->ways.has_stun = cfg->stun.host[0] != '\0';
    g->node->ways.gatherer = g;
    return PV_OK;
}

static void unmake(void *part)
{
    struct pv_gatherer *g = part;
    g->node->ways.gatherer = NULL;
}

const struct pv_part pv_part_gatherer = {
    .name = "gatherer",
    .after = {"relays", "bindings", "hardnat"}, /* their sockets' STUN is for nobody else */
    .size = PV_PART_SIZE(struct pv_gatherer),
    .start = start,
    .free = unmake,
    .on_facts = on_facts,
    .run = run,
    .handle_stun = handle_stun,
    .poll_transmit = poll_transmit,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .status = show,
};
