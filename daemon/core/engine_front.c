/* SPDX-License-Identifier: MIT */
/*
 * Make before break (TRAVERSAL 3.4): some NATs end every binding at a certain age, whatever passes.
 * Where that was measured (engine_life.c), a fresh socket with a fresh binding takes the place of
 * the one in use at 70 % of that age. Its addresses are gathered and described as any change of
 * address is; the former socket stays open, and its pairs serve until others are proven.
 */
#include "daemon/core/engine_int.h"

#define TRY_AGAIN PV_S(10) /* ours: a socket could not be opened */

static pv_ns end_of_binding(const struct pv_engine *e)
{
    return pv_natlife_result(&e->life.nat)->absolute;
}

/* When the next one is due. An age that is not known may be any. */
static pv_ns due(const struct pv_engine *e)
{
    pv_ns end = end_of_binding(e);
    if (end == 0 || e->front.opening != 0)
        return PV_NEVER;
    pv_ns when = e->front.since == 0 ? 0 : e->front.since + end / 10 * 7;
    return when > e->front.try_at ? when : e->front.try_at;
}

static void drop_old(struct pv_engine *e, pv_ns now)
{
    struct pv_front *f = &e->front;
    struct pv_peer *p;
    f->has_old = false;
    for (p = NULL; (p = pv_peers_next_member(e->node.peers, p)) != NULL;) {
        if (p->ice == NULL)
            continue;
        pv_ice_drop_carrier(p->ice, f->old, now);
        pv_engine_touch(e, p, now);
    }
    if (f->old != 0) /* the main one serves static peers and IPv6 */
        pv_engine_life_op(e, PV_HARDNAT_CLOSE, f->old);
}

void pv_engine_front_timeout(struct pv_engine *e, pv_ns now)
{
    struct pv_front *f = &e->front;
    if (f->has_old && now >= f->old_until)
        drop_old(e, now);
    if (!f->has_old && now >= due(e)) {
        f->opening = (uint16_t)(PV_FRONT_SOCK + f->n++ % PV_FRONT_SOCKS);
        pv_engine_life_op(e, PV_HARDNAT_OPEN, f->opening);
    }
}

pv_ns pv_engine_front_next(const struct pv_engine *e)
{
    return e->front.has_old ? e->front.old_until : due(e);
}

void pv_engine_front_opened(struct pv_engine *e, uint16_t sock, uint16_t port, pv_ns now)
{
    struct pv_front *f = &e->front;
    struct pv_peer *p;
    if (sock != f->opening)
        return;
    f->opening = 0;
    if (port == 0) {
        f->try_at = now + TRY_AGAIN;
        return;
    }
    pv_engine_life_op(e, PV_HARDNAT_ADOPT, sock);
    pv_log(e->node.log, PV_LOG_INFO,
           "what=\"another socket before the NAT ends the binding\" port=%u", port);
    for (p = NULL; (p = pv_peers_next_member(e->node.peers, p)) != NULL;) {
        if (p->ice != NULL)
            pv_ice_retire_carrier(p->ice, f->sock, PV_AF_INET, now);
    }
    f->has_old = true;
    f->old = f->sock;
    f->old_until = now + end_of_binding(e) / 10 * 3;
    f->sock = sock;
    f->since = now;
    pv_gatherer_set_socket(e->gatherer, sock, port, now);
    pv_engine_relay_set_socket(e, sock, now);
    pv_engine_settle(e, now);
}
