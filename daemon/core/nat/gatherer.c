/* SPDX-License-Identifier: MIT */
/* Finds this node's candidates (RFC 8445 s5.1.1): its own addresses, the address at which a STUN
 * server sees each of them, and ports that routers mapped. */
#include "daemon/core/nat/gatherer.h"

#include <stdlib.h>
#include <string.h>

enum {
    STUN_SENDS = 7,    /* at 100, 200 ... 3200 ms: 12.7 s until a server counts as silent */
    STUN_PADDING = 20, /* bytes: makes the request as large as the largest answer, DESIGN 6 */
    RANK_TUNNEL = 3,
    MAPPED = 2, /* ports mapped by routers: one a family */
};
#define STUN_RTO     PV_MS(100) /* ours: a fifth of RFC 8489's; peers wait for the answer */
#define RETRY_FIRST  PV_S(10)   /* after a silent server, doubling */
#define RETRY_MAX    PV_S(60)
#define REFRESH_HOLD PV_MS(500) /* ours: between questions that somebody else asks for */

/* A host address and what the STUN server sees of it. */
struct base {
    struct pv_addr addr; /* with the UDP port */
    uint16_t sock;
    unsigned rank;         /* 0 = best kind of interface */
    bool way_out;          /* datagrams into the internet leave by its interface */
    struct pv_addr mapped; /* PV_AF_NONE: not known */
    struct pv_stunc stunc;
    bool asked;     /* a transaction has ended, with an answer or without */
    pv_ns asked_at; /* the first question since the last answer; PV_NEVER: none */
    pv_ns ask_at;   /* next transaction; PV_NEVER: none */
    pv_ns retry;
};

struct pv_gatherer {
    struct pv_gatherer_config cfg;
    struct pv_link_addr links[PV_NODE_LINKS];
    size_t n_links;
    struct pv_prefix exclude[PV_GATHERER_MAX_EXCLUDE];
    size_t n_exclude;
    struct pv_addr server4, server6; /* PV_AF_NONE: none */
    struct base bases[PV_GATHERER_MAX_BASES];
    size_t n_bases;
    struct {
        struct pv_addr local, external; /* PV_AF_NONE: none */
    } mapped[MAPPED];
    pv_ns refreshed_at;
    pv_ns interval; /* 0 = default */
    uint16_t sock;  /* of the IPv4 addresses; 0 = the main one */
    uint16_t sock_port;
    bool changed;
};

int pv_gatherer_new(struct pv_gatherer **ret_gatherer, const struct pv_gatherer_config *cfg)
{
    struct pv_gatherer *g = calloc(1, sizeof(*g));
    if (g == NULL)
        return PV_ERR_NOMEM;
    g->cfg = *cfg;
    *ret_gatherer = g;
    return PV_OK;
}

struct pv_gatherer *pv_gatherer_free(struct pv_gatherer *g)
{
    if (g == NULL)
        return NULL;
    free(g);
    return NULL;
}

static const struct pv_addr *server_of(const struct pv_gatherer *g, const struct base *b)
{
    const struct pv_addr *s = b->addr.family == PV_AF_INET6 ? &g->server6 : &g->server4;
    return s->family == PV_AF_NONE ? NULL : s;
}

/* --- bases --------------------------------------------------------------------------------- */

static bool is_excluded(const struct pv_gatherer *g, const struct pv_addr *a)
{
    for (size_t i = 0; i < g->n_exclude; i++) {
        if (pv_prefix_contains(&g->exclude[i], a))
            return true;
    }
    return false;
}

/* Can it be offered at all, and how good is its interface? (TRAVERSAL 8 rule 9) */
static bool rank_link(const struct pv_gatherer *g, const struct pv_link_addr *l, unsigned *ret_rank)
{
    const struct pv_addr *a = &l->addr.base;
    if (!l->up || l->loopback || strcmp(l->ifname, g->cfg.own_tun) == 0)
        return false;
    if (a->family == PV_AF_INET6 && !g->cfg.has_udp6)
        return false;
    struct pv_addr probe = *a;
    probe.port = g->cfg.udp_port;
    if (!pv_addr_is_usable_remote(&probe) || is_excluded(g, a))
        return false;
    if (l->tunnel && !l->way_out)
        *ret_rank = RANK_TUNNEL;
    else if (l->tunnel || l->container)
        *ret_rank = 2;
    else
        *ret_rank = pv_addr_is_private(a) ? 1 : 0;
    return true;
}

static const struct base *find_base(const struct base *bases, size_t n, const struct pv_addr *a)
{
    for (size_t i = 0; i < n; i++) {
        if (pv_addr_equal(&bases[i].addr, a))
            return &bases[i];
    }
    return NULL;
}

/* Inserts by rank, keeping the order of arrival inside a rank; the worst falls off a full list. The
 * list is short and its order is the candidates' priority (RFC 8445 s5.1.2). */
static void insert_base(struct base *bases, size_t *n, const struct base *b)
{
    size_t at = 0;
    while (at < *n && bases[at].rank <= b->rank)
        at++;
    if (at == PV_GATHERER_MAX_BASES)
        return;
    if (*n < PV_GATHERER_MAX_BASES)
        (*n)++;
    memmove(&bases[at + 1], &bases[at], (*n - 1 - at) * sizeof(*bases));
    bases[at] = *b;
}

/* Bases that stay keep what is known about them; new ones are asked about at once. True: one is
 * gone. A base that stays keeps its running transaction and its mapping: a link that flaps
 * elsewhere must not take candidates away from peers that use them. */
static bool rebuild(struct pv_gatherer *g, pv_ns now)
{
    struct base fresh[PV_GATHERER_MAX_BASES + 1];
    size_t n = 0;
    for (size_t i = 0; i < g->n_links; i++) {
        struct base b = {.asked_at = PV_NEVER, .ask_at = now, .retry = RETRY_FIRST};
        if (!rank_link(g, &g->links[i], &b.rank))
            continue;
        b.addr = g->links[i].addr.base;
        b.addr.port = g->cfg.udp_port;
        if (b.addr.family == PV_AF_INET && g->sock != 0) {
            b.addr.port = g->sock_port;
            b.sock = g->sock;
        }
        if (find_base(fresh, n, &b.addr) != NULL)
            continue;
        const struct base *old = find_base(g->bases, g->n_bases, &b.addr);
        unsigned rank = b.rank;
        if (old != NULL)
            b = *old;
        b.rank = rank;
        /* Another interface leads out from now on, a VPN's: the mapping was made by this one. */
        if (b.way_out && !g->links[i].way_out && b.mapped.family != PV_AF_NONE) {
            b.mapped.family = PV_AF_NONE;
            g->changed = true;
        }
        b.way_out = g->links[i].way_out;
        insert_base(fresh, &n, &b);
    }
    /* Sorted by rank: tunnels stand last and are needed only when nothing stands before them. One
     * that takes everything does not: what leaves from another address is dropped at its end. */
    while (n > 0 && fresh[n - 1].rank == RANK_TUNNEL && fresh[0].rank != RANK_TUNNEL)
        n--;

    bool gone = false;
    for (size_t i = 0; i < g->n_bases; i++)
        gone = gone || find_base(fresh, n, &g->bases[i].addr) == NULL;
    bool same = n == g->n_bases;
    for (size_t i = 0; same && i < n; i++)
        same = pv_addr_equal(&fresh[i].addr, &g->bases[i].addr);
    memcpy(g->bases, fresh, n * sizeof(*fresh));
    g->n_bases = n;
    if (!same)
        g->changed = true;
    return gone;
}

void pv_gatherer_set_exclude(struct pv_gatherer *g, const struct pv_prefix *ranges, size_t n,
                             pv_ns now)
{
    g->n_exclude = n < PV_GATHERER_MAX_EXCLUDE ? n : PV_GATHERER_MAX_EXCLUDE;
    if (g->n_exclude > 0)
        memcpy(g->exclude, ranges, g->n_exclude * sizeof(*ranges));
    (void)rebuild(g, now);
}

static pv_ns interval_of(const struct pv_gatherer *g)
{
    return g->interval == 0 ? PV_GATHERER_REFRESH : g->interval;
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

bool pv_gatherer_set_links(struct pv_gatherer *g, const struct pv_link_addr *links, size_t n,
                           pv_ns now)
{
    g->n_links = n < PV_NODE_LINKS ? n : PV_NODE_LINKS;
    if (g->n_links > 0)
        memcpy(g->links, links, g->n_links * sizeof(*links));
    bool gone = rebuild(g, now);
    ask_all(g, now); /* the way out may have changed although the addresses did not */
    return gone;
}

void pv_gatherer_set_socket(struct pv_gatherer *g, uint16_t sock, uint16_t port, pv_ns now)
{
    g->sock = sock;
    g->sock_port = port;
    (void)rebuild(g, now);
}

void pv_gatherer_set_servers(struct pv_gatherer *g, const struct pv_addr *servers, size_t n,
                             pv_ns now)
{
    struct pv_addr s4 = {0};
    struct pv_addr s6 = {0};
    /* Backwards, so that the first of each family is the one that stays. */
    for (size_t i = n; i-- > 0;) {
        if (servers[i].family == PV_AF_INET)
            s4 = servers[i];
        else if (servers[i].family == PV_AF_INET6)
            s6 = servers[i];
    }
    if (pv_addr_equal(&s4, &g->server4) && pv_addr_equal(&s6, &g->server6))
        return;
    g->server4 = s4;
    g->server6 = s6;
    ask_all(g, now);
}

void pv_gatherer_set_interval(struct pv_gatherer *g, pv_ns interval, pv_ns now)
{
    g->interval = interval;
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
    base.port = g->cfg.udp_port;
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

int pv_gatherer_handle_input(struct pv_gatherer *g, const struct pv_addr *src,
                             struct pv_view datagram, pv_ns now)
{
    int r = PV_ERR_NOT_FOUND;
    for (size_t i = 0; i < g->n_bases && r == PV_ERR_NOT_FOUND; i++) {
        struct pv_stunc_event ev;
        r = pv_stunc_handle_input(&g->bases[i].stunc, src, datagram, now);
        if (r == PV_OK && pv_stunc_poll_event(&g->bases[i].stunc, &ev) == PV_OK)
            finish(g, &g->bases[i], &ev, now);
    }
    return r;
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

bool pv_gatherer_is_asking(const struct pv_gatherer *g)
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

void pv_gatherer_handle_timeout(struct pv_gatherer *g, pv_ns now)
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
        pv_stunc_start(&b->stunc, &cfg, &g->cfg.rng, now);
        b->ask_at = PV_NEVER;
        b->asked_at = pv_min_ns(b->asked_at, now);
    }
}

pv_ns pv_gatherer_next_timeout(const struct pv_gatherer *g)
{
    pv_ns next = PV_NEVER;
    for (size_t i = 0; i < g->n_bases; i++) {
        const struct base *b = &g->bases[i];
        if (server_of(g, b) == NULL)
            continue;
        next = pv_min_ns(next, pv_stunc_is_running(&b->stunc) ? pv_stunc_next_timeout(&b->stunc)
                                                              : b->ask_at);
    }
    return next;
}

int pv_gatherer_poll_transmit(struct pv_gatherer *g, struct pv_gatherer_transmit *ret_tx)
{
    for (size_t i = 0; i < g->n_bases; i++) {
        struct base *b = &g->bases[i];
        size_t len;
        if (pv_stunc_poll_transmit(&b->stunc, ret_tx->buf, sizeof(ret_tx->buf), &len) != PV_OK)
            continue;
        ret_tx->sock = b->sock;
        ret_tx->local = b->addr;
        ret_tx->dst = b->stunc.cfg.server;
        ret_tx->len = len;
        return PV_OK;
    }
    return PV_ERR_AGAIN;
}

bool pv_gatherer_take_changed(struct pv_gatherer *g)
{
    bool changed = g->changed;
    g->changed = false;
    return changed;
}

/* --- candidates ---------------------------------------------------------------------------- */

/* A public address needs no server-reflexive twin (RFC 8445 s5.1.3), nor do two equal ones. */
static bool is_redundant(const struct pv_gatherer *g, size_t index)
{
    const struct pv_addr *mapped = &g->bases[index].mapped;
    if (mapped->family == PV_AF_NONE || is_excluded(g, mapped))
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
        if (b == NULL || external->family == PV_AF_NONE || is_excluded(g, external) ||
            is_listed(cands, n, external))
            continue;
        cands[n++] = reflexive(g, (size_t)(b - g->bases), external, UINT16_MAX);
    }
    return n;
}

size_t pv_gatherer_candidates(const struct pv_gatherer *g,
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
