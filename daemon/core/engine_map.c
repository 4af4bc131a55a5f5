/* SPDX-License-Identifier: MIT */
/* Ports mapped by the routers: the mapper's place in the engine. */
#include <string.h>

#include "daemon/core/engine_int.h"

void pv_engine_handle_routers(struct pv_engine *e,
                              const struct pv_engine_router routers[static PV_ENGINE_ROUTERS],
                              pv_ns now)
{
    (void)now;
    memcpy(e->routers, routers, sizeof(e->routers));
}

/* Our address on the router's link: in one range with it if there is such a one, and for IPv6 one
 * that is valid everywhere (RFC 6887 s8.4). */
static struct pv_addr local_towards(const struct pv_engine_router *r,
                                    const struct pv_link_addr *links, size_t n)
{
    struct pv_addr best = {.family = PV_AF_NONE};
    bool best_near = false;
    for (size_t i = 0; i < n; i++) {
        const struct pv_link_addr *l = &links[i];
        struct pv_prefix range = l->addr;
        if (r->addr.family == PV_AF_NONE || l->addr.base.family != r->addr.family || !l->up ||
            l->loopback || l->ifindex != r->ifindex)
            continue;
        if (r->addr.family == PV_AF_INET6 && pv_addr_is_private(&l->addr.base))
            continue;
        bool near = pv_prefix_contains(&range, &r->addr);
        if (best.family != PV_AF_NONE && (best_near || !near))
            continue;
        best = l->addr.base;
        best.port = 0;
        best_near = near;
    }
    return best;
}

void pv_engine_map_links(struct pv_engine *e, const struct pv_link_addr *links, size_t n, pv_ns now)
{
    static const uint16_t families[PV_ENGINE_ROUTERS] = {PV_AF_INET, PV_AF_INET6};
    for (size_t i = 0; i < PV_ENGINE_ROUTERS; i++) {
        struct pv_addr local = local_towards(&e->routers[i], links, n);
        pv_mapper_set_router(e->mapper, families[i], &e->routers[i].addr, &local, now);
    }
}

void pv_engine_handle_router_datagram(struct pv_engine *e, const struct pv_addr *src,
                                      struct pv_view datagram, pv_ns now)
{
    pv_mapper_handle_router(e->mapper, src, datagram, now);
    pv_engine_settle(e, now);
}

static void log_change(struct pv_engine *e, const struct pv_mapper_view *v)
{
    char external[PV_ADDR_TEXT];
    if (v->external.family != PV_AF_NONE)
        pv_log(e->node.log, PV_LOG_INFO, "what=\"the router maps our port\" by=%s address=%s",
               pv_mapper_protocol_name(v->protocol), pv_addr_format(&v->external, external));
    else if (v->why[0] != '\0')
        pv_log(e->node.log, PV_LOG_DEBUG, "what=\"no mapped port\" why=\"%s\"", v->why);
}

static void offer(struct pv_engine *e)
{
    static const uint16_t families[] = {PV_AF_INET, PV_AF_INET6};
    for (size_t i = 0; i < PV_ARRAY_LEN(families); i++) {
        struct pv_mapper_view v = pv_mapper_view(e->mapper, families[i]);
        struct pv_addr local = v.local;
        local.port = 0;
        local.family = families[i]; /* none: nothing is offered for this family */
        pv_gatherer_set_mapped(e->gatherer, &local, &v.external);
        e->env.portmapped[i] = v.external;
        log_change(e, &v);
    }
}

void pv_engine_map_pump(struct pv_engine *e, pv_ns now)
{
    struct pv_portmapjob args;
    uint64_t tag;
    pv_mapper_want(e->mapper, e->node.up && !e->node.removed && pv_node_self(&e->node) != NULL,
                   now);
    if (pv_mapper_take_changed(e->mapper))
        offer(e);
    while (pv_mapper_poll_job(e->mapper, &args, &tag) == PV_OK) {
        static const struct pv_portmapjob_result lost = {.status = PV_ERR_NOMEM};
        struct pv_job *job = pv_job_new(PV_JOB_PORTMAP);
        if (job != NULL)
            job->u.portmap = args;
        if (job == NULL || !pv_engine_job(e, job, PV_JP_PORTMAP, tag))
            pv_mapper_handle_job(e->mapper, tag, &lost, now);
    }
}

bool pv_engine_map_poll(struct pv_engine *e, struct pv_engine_transmit *ret_tx)
{
    struct pv_mapper_transmit tx;
    if (pv_mapper_poll_transmit(e->mapper, &tx) != PV_OK)
        return false;
    if (!tx.router)
        pv_stunroute_sent(e->node.stunroute, tx.buf + 8, PV_STUN_OWNER_MAPPER);
    *ret_tx = (struct pv_engine_transmit){
        .router = tx.router, .local = tx.local, .dst = tx.dst, .len = tx.len};
    memcpy(ret_tx->buf, tx.buf, tx.len);
    return true;
}

void pv_engine_map_job_done(struct pv_engine *e, uint64_t tag, const struct pv_job_result *result,
                            pv_ns now)
{
    struct pv_portmapjob_result r = result->portmap;
    if (result->status < 0) { /* it was not run at all */
        r = (struct pv_portmapjob_result){.status = result->status};
        memcpy(r.error, result->error, sizeof(r.error) - 1);
    }
    pv_mapper_handle_job(e->mapper, tag, &r, now);
}
