/* SPDX-License-Identifier: MIT */
/* How long the own NAT keeps a binding: when that is measured, and what is refreshed by it. */
#include <string.h>

#include "daemon/core/engine_int.h"

#define START_AFTER PV_S(60)  /* ours: who is here for a moment only asks nothing */
#define AGAIN_AFTER PV_S(600) /* ours: no sockets, or the coordinator was away */

/* --- sockets --------------------------------------------------------------------------------- */

void pv_engine_life_op(struct pv_engine *e, enum pv_hardnat_op_type type, uint16_t sock)
{
    struct pv_life *l = &e->life;
    if (l->n_ops < PV_LIFE_MAX_OPS)
        l->ops[l->n_ops++] = (struct pv_hardnat_op){.type = type, .sock = sock};
}

static void open_sockets(struct pv_engine *e)
{
    struct pv_life *l = &e->life;
    l->sockets = true;
    l->n_open = 0;
    for (unsigned i = 0; i < PV_NATLIFE_SOCKETS; i++)
        pv_engine_life_op(e, PV_HARDNAT_OPEN, (uint16_t)(PV_LIFE_SOCK + i));
}

static void close_sockets(struct pv_engine *e)
{
    struct pv_life *l = &e->life;
    if (!l->sockets)
        return;
    l->sockets = false;
    for (unsigned i = 0; i < PV_NATLIFE_SOCKETS; i++)
        pv_engine_life_op(e, PV_HARDNAT_CLOSE, (uint16_t)(PV_LIFE_SOCK + i));
}

bool pv_engine_life_poll_op(struct pv_engine *e, struct pv_hardnat_op *ret_op)
{
    struct pv_life *l = &e->life;
    if (l->n_ops == 0)
        return false;
    *ret_op = l->ops[0];
    memmove(&l->ops[0], &l->ops[1], --l->n_ops * sizeof(l->ops[0]));
    return true;
}

static const struct pv_addr *server_of(const struct pv_engine *e)
{
    for (size_t i = 0; i < e->n_stun_addrs; i++) {
        if (e->stun_addrs[i].family == PV_AF_INET)
            return &e->stun_addrs[i];
    }
    return NULL;
}

bool pv_engine_life_opened(struct pv_engine *e, uint16_t sock, uint16_t port, pv_ns now)
{
    struct pv_life *l = &e->life;
    const struct pv_addr *server = server_of(e);
    if (sock < PV_LIFE_SOCK)
        return false;
    if (sock >= PV_FRONT_SOCK) {
        pv_engine_front_opened(e, sock, port, now);
        return true;
    }
    if (!l->sockets)
        return true;
    if (port == 0 || server == NULL) {
        close_sockets(e);
        l->start_at = now + AGAIN_AFTER;
    } else if (++l->n_open == PV_NATLIFE_SOCKETS) {
        pv_natlife_start(&l->nat, server, &e->node.rng, now);
    }
    return true;
}

/* --- this network ------------------------------------------------------------------------------
 */

/* What is measured holds for every binding that this node makes. */
static void apply(struct pv_engine *e, pv_ns now)
{
    pv_ns lifetime = pv_natlife_interval(pv_natlife_result(&e->life.nat), PV_GATHERER_REFRESH);
    struct pv_peer *p;
    if (lifetime == e->env.binding_lifetime)
        return;
    e->env.binding_lifetime = lifetime;
    pv_gatherer_set_interval(e->gatherer, lifetime, now);
    for (p = NULL; (p = pv_peers_next_member(e->node.peers, p)) != NULL;) {
        if (p->ice == NULL)
            continue;
        pv_ice_set_lifetime(p->ice, lifetime, now);
        pv_engine_touch(e, p, now);
    }
}

/* The measurement may have come to its end. */
static void take_result(struct pv_engine *e, pv_ns now)
{
    struct pv_life *l = &e->life;
    const struct pv_natlife_result *r = pv_natlife_result(&l->nat);
    if (!l->sockets || l->n_open < PV_NATLIFE_SOCKETS || pv_natlife_is_running(&l->nat))
        return;
    close_sockets(e);
    apply(e, now);
    pv_log(e->node.log, PV_LOG_INFO, "what=\"NAT measured\" known=%d idle_s=%u absolute_s=%u",
           r->known, (unsigned)(r->idle_min / PV_S(1)), (unsigned)(r->absolute / PV_S(1)));
}

void pv_engine_life_moved(struct pv_engine *e, pv_ns now)
{
    struct pv_life *l = &e->life;
    struct pv_addr inside = {.family = PV_AF_NONE}, outside = inside;
    for (size_t i = 0; i < e->env.n_locals; i++) {
        const struct pv_ice_cand *c = &e->env.locals[i];
        if (c->addr.family != PV_AF_INET || c->type != PV_ICE_SRFLX)
            continue;
        inside = c->carrier.local;
        outside = c->addr;
        break;
    }
    if (outside.family == PV_AF_NONE) /* no NAT, or one that does not show itself now */
        return;
    if (pv_addr_equal_ip(&inside, &l->inside) && pv_addr_equal_ip(&outside, &l->outside))
        return;
    l->inside = inside;
    l->outside = outside;
    close_sockets(e);
    l->nat = (struct pv_natlife){.running = false};
    l->start_at = now + START_AFTER;
    apply(e, now);
}

/* --- time --------------------------------------------------------------------------------------
 */

void pv_engine_life_timeout(struct pv_engine *e, pv_ns now)
{
    struct pv_life *l = &e->life;
    if (l->start_at != 0 && now >= l->start_at) {
        bool able = e->node.up && e->node.online && server_of(e) != NULL;
        l->start_at = able ? PV_NEVER : now + AGAIN_AFTER;
        if (able)
            open_sockets(e);
    }
    pv_natlife_handle_timeout(&l->nat, now);
    take_result(e, now);
}

pv_ns pv_engine_life_next(const struct pv_engine *e)
{
    const struct pv_life *l = &e->life;
    return pv_min_ns(l->start_at == 0 ? PV_NEVER : l->start_at, pv_natlife_next_timeout(&l->nat));
}

/* --- datagrams ---------------------------------------------------------------------------------
 */

bool pv_engine_life_input(struct pv_engine *e, const struct pv_carrier *from, struct pv_view data,
                          pv_ns now)
{
    if (from->sock < PV_LIFE_SOCK || from->sock >= PV_FRONT_SOCK)
        return false;
    if (pv_natlife_handle_input(&e->life.nat, from->sock - PV_LIFE_SOCK, &from->remote, data,
                                now) != PV_OK)
        pv_log(e->node.log, PV_LOG_DEBUG, "what=\"datagram on a measuring socket not taken\"");
    take_result(e, now);
    return true;
}

bool pv_engine_life_transmit(struct pv_engine *e, struct pv_engine_transmit *ret_tx)
{
    struct pv_life *l = &e->life;
    unsigned sock;
    size_t len;
    if (pv_natlife_poll_transmit(&l->nat, ret_tx->buf, &len, &sock) != PV_OK)
        return false;
    ret_tx->sock = (uint16_t)(PV_LIFE_SOCK + sock);
    ret_tx->stream = 0;
    ret_tx->ttl = 0;
    ret_tx->local = l->inside;
    ret_tx->dst = l->nat.server;
    ret_tx->len = len;
    return true;
}
