/* SPDX-License-Identifier: MIT */
/* mapper_part.c - between the mapper, the shell that asks routers, and the gatherer. */
#include "daemon/core/path/mapper_part.h"

#include <stdlib.h>

#include "crypto/ct.h"
#include "crypto/hash.h"
#include "daemon/core/nat/gatherer.h"
#include "daemon/core/nat/mapper.h"
#include "daemon/core/nat/stunroute.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peers.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/stun/stun.h"

static const uint16_t FAMILIES[PV_NODE_ROUTERS] = {PV_AF_INET, PV_AF_INET6};

struct mapper_part {
    struct pv_node *node;
    struct pv_mapper *mapper;
    bool stopping; /* what the router maps is given back */
};

/* Its nonces (RFC 6887 s11.1) follow from the identity, so that mappings of an earlier life can be
 * renewed and deleted. */
static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct mapper_part *pm = part;
    static const char context[] = "p2pvpn pcp nonce v1";
    struct pv_mapper_config mc = {.rng = pm->node->rng,
                                  .jobs = &pm->node->jobs,
                                  .off = cfg->portmap_off,
                                  .udp_port = pm->node->given.udp_port};
    _Static_assert(sizeof(mc.secret) == PV_BLAKE2B_LEN, "a hash is the secret");
    pv_blake2b(mc.secret, pv_view(pm->node->identity->sign_sk, sizeof(pm->node->identity->sign_sk)),
               pv_view(context, sizeof(context)), pv_view(NULL, 0));
    int r = pv_mapper_new(&pm->mapper, &mc);
    pv_wipe(&mc, sizeof(mc));
    return r;
}

static void unmake(void *part)
{
    struct mapper_part *pm = part;
    pv_mapper_free(pm->mapper);
}

static struct mapper_part *of(const struct pv_node *n)
{
    return pv_node_part(n, &pv_part_mapper);
}

const struct pv_mapper *pv_mapper_of(const struct pv_node *n)
{
    return of(n)->mapper;
}

/* --- the router ------------------------------------------------------------------------------- */

/* Our address on the router's link: in one range with it if there is such a one, and for IPv6 one
 * that is valid everywhere (RFC 6887 s8.4). PCP takes the source address of the request for the
 * host that asks, so it must be the one that the mapping is for. */
static struct pv_addr local_towards(const struct pv_node *n, const struct pv_engine_router *r)
{
    struct pv_addr best = {.family = PV_AF_NONE};
    bool best_near = false;
    for (size_t i = 0; i < n->host.n_links; i++) {
        const struct pv_link_addr *l = &n->host.links[i];
        if (r->addr.family == PV_AF_NONE || l->addr.base.family != r->addr.family || !l->up ||
            l->loopback || l->ifindex != r->ifindex)
            continue;
        if (r->addr.family == PV_AF_INET6 && pv_addr_is_private(&l->addr.base))
            continue;
        bool near = pv_prefix_contains(&l->addr, &r->addr);
        if (best.family != PV_AF_NONE && (best_near || !near))
            continue;
        best = l->addr.base;
        best.port = 0;
        best_near = near;
    }
    return best;
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct mapper_part *pm = part;
    const struct pv_node *n = pm->node;
    for (size_t i = 0; (facts & PV_FACT_LINKS) != 0 && i < PV_NODE_ROUTERS; i++) {
        struct pv_addr local = local_towards(n, &n->host.routers[i]);
        pv_mapper_set_router(pm->mapper, FAMILIES[i], &n->host.routers[i].addr, &local, now);
    }
    if ((facts & PV_FACT_SERVERS) != 0)
        pv_mapper_set_servers(pm->mapper, n->coord_info.servers, n->coord_info.n_servers, now);
    if ((facts & PV_FACT_RESUMED) != 0)
        pv_mapper_woke(pm->mapper, now);
    else if ((facts & PV_FACT_NAT_DOUBT) != 0)
        pv_mapper_refresh(pm->mapper, now);
}

void pv_mapper_part_router(struct pv_node *n, const struct pv_addr *src, struct pv_view datagram,
                           pv_ns now)
{
    pv_mapper_handle_router(of(n)->mapper, src, datagram, now);
}

/* --- what is mapped --------------------------------------------------------------------------- */

static void log_change(const struct mapper_part *pm, const struct pv_mapper_view *v)
{
    char external[PV_ADDR_TEXT];
    if (v->external.family != PV_AF_NONE)
        pv_log(pm->node->log, PV_LOG_INFO, "what=\"the router maps our port\" by=%s address=%s",
               pv_mapper_protocol_name(v->protocol), pv_addr_format(&v->external, external));
    else if (v->why[0] != '\0')
        pv_log(pm->node->log, PV_LOG_DEBUG, "what=\"no mapped port\" why=\"%s\"", v->why);
}

/* Both families with every change: the gatherer ignores what is the same. */
static void offer_mapped(struct mapper_part *pm)
{
    for (size_t i = 0; i < PV_NODE_ROUTERS; i++) {
        struct pv_mapper_view v = pv_mapper_view(pm->mapper, FAMILIES[i]);
        struct pv_addr local = v.local;
        local.port = 0;
        local.family = FAMILIES[i]; /* with no mapped address nothing is offered for this family */
        pv_gatherer_set_mapped(pm->node->ways.gatherer, &local, &v.external);
        pm->node->ways.portmapped[i] = v.external;
        log_change(pm, &v);
    }
}

static void run(void *part, pv_ns now)
{
    struct mapper_part *pm = part;
    const struct pv_node *n = pm->node;
    /* A node that is down, or in no network, opens no port to the world. */
    pv_mapper_want(pm->mapper, !pm->stopping && n->up && !n->removed && pv_node_self(n) != NULL,
                   now);
    if (pv_mapper_take_changed(pm->mapper))
        offer_mapped(pm);
}

/* Run at once: the engine sends what is due and ends, so the request to give the mapping back must
 * be ready. */
static void on_stop(void *part, pv_ns now)
{
    struct mapper_part *pm = part;
    pm->stopping = true;
    run(pm, now);
}

/* --- datagrams, time -------------------------------------------------------------------------- */

static bool handle_stun(void *part, const struct pv_carrier *from, struct pv_view data, pv_ns now)
{
    struct mapper_part *pm = part;
    if (data.len < PV_STUN_HEADER_LEN ||
        pv_stunroute_owner(pm->node->ways.stunroute, data.ptr + PV_STUN_TXID_AT) !=
            PV_STUN_OWNER_MAPPER)
        return false;
    if (from->kind == PV_CARRIER_UDP &&
        pv_mapper_handle_stun(pm->mapper, &from->remote, data, now) != PV_OK)
        pv_log(pm->node->log, PV_LOG_DEBUG, "what=\"STUN answer not taken\"");
    return true;
}

static bool poll_transmit(void *part, struct pv_engine_transmit *ret_tx)
{
    struct mapper_part *pm = part;
    struct pv_mapper_transmit tx;
    if (pv_mapper_poll_transmit(pm->mapper, &tx) != PV_OK ||
        !pv_transmit_to(ret_tx, &tx.dst, tx.buf, tx.len))
        return false;
    /* The mapper proves a mapping by STUN, whose answers come to a socket that many parts use; a
     * router answers to a socket of its own. */
    if (!tx.router)
        pv_stunroute_sent(pm->node->ways.stunroute, tx.buf + PV_STUN_TXID_AT, PV_STUN_OWNER_MAPPER);
    ret_tx->router = tx.router;
    ret_tx->local = tx.local;
    return true;
}

static void handle_timeout(void *part, pv_ns now)
{
    struct mapper_part *pm = part;
    pv_mapper_handle_timeout(pm->mapper, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct mapper_part *pm = part;
    return pv_mapper_next_timeout(pm->mapper);
}

/* --- shown ------------------------------------------------------------------------------------ */

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct mapper_part *pm = part;
    json_t *list = json_array();
    for (size_t i = 0; i < PV_NODE_ROUTERS; i++) {
        const struct pv_mapper_view v = pv_mapper_view(pm->mapper, FAMILIES[i]);
        bool there = v.claimed.family != PV_AF_NONE;
        /* Before a router was asked no protocol has been chosen. */
        bool asked = v.state != PV_MAPPER_OFF && v.state != PV_MAPPER_WAITING;
        pv_ctlapi_put(&list, NULL,
                      pv_ctlapi_pack("{s:s, s:s, s:s?, s:o, s:o, s:o, s:o, s:b, s:s?}", "family",
                                     FAMILIES[i] == PV_AF_INET6 ? "ipv6" : "ipv4", "state",
                                     pv_mapper_state_name(v.state), "protocol",
                                     asked ? pv_mapper_protocol_name(v.protocol) : NULL, "router",
                                     pv_ctlapi_ip(&v.router), "claimed", pv_ctlapi_addr(&v.claimed),
                                     "external", pv_ctlapi_addr(&v.external), "lifetime",
                                     pv_ctlapi_real(there && v.expires > now
                                                        ? (double)((v.expires - now) / PV_S(1))
                                                        : -1),
                                     "verified", v.external.family != PV_AF_NONE, "why",
                                     v.why[0] != '\0' ? v.why : NULL));
    }
    pv_statuspage_put(st, PV_STATUS_PORT_MAPPINGS, list);
}

/* Only a mapping that was proven from outside counts, not one that a router merely claims. */
static void put_metrics(void *part, struct pv_metrics *m, pv_ns now)
{
    const struct mapper_part *pm = part;
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_port_mapped",
                      "1: the router maps our port, proven from outside.");
    pv_metrics_count(m, pv_mapper_view(pm->mapper, PV_AF_INET).state == PV_MAPPER_WORKING, "family",
                     "ipv4", NULL);
    pv_metrics_count(m, pv_mapper_view(pm->mapper, PV_AF_INET6).state == PV_MAPPER_WORKING,
                     "family", "ipv6", NULL);
}

const struct pv_part pv_part_mapper = {
    .name = "mapper",
    .after = {"relays", "bindings", "hardnat"},
    .size = PV_PART_SIZE(struct mapper_part),
    .start = start,
    .free = unmake,
    .on_facts = on_facts,
    .on_stop = on_stop,
    .run = run,
    .handle_stun = handle_stun,
    .poll_transmit = poll_transmit,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .status = show,
    .metrics = put_metrics,
};
