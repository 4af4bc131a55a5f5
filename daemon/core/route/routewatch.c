/* SPDX-License-Identifier: MIT */
/* routewatch.c - which members that carry a prefix live: what is known of their paths, and echoes
 * to those of whom too little is known. gateways.h says who is in front. */
#include <stdatomic.h>
#include <string.h>

#include "daemon/core/peer/peer_show.h"
#include "daemon/core/peer/peers.h"
#include "daemon/core/route/routes_int.h"
#include "proto/local/ctlapi.h"

/* An echo without filler asks whether a path lives, and no rule is about that. Where there is no
 * path it is sought: a gateway that nobody can reach carries nothing. */
static void ask(struct pv_node *n, struct pv_peer *p, pv_ns now)
{
    const struct pv_inband_echo echo = {
        .path = pv_peer_is_relayed(p) ? PV_INBAND_PATH_RELAY : PV_INBAND_PATH_DIRECT,
        .token = pv_rng_u64(&n->rng) | 1, /* the answer is known by its coming */
    };
    uint8_t body[PV_INBAND_PART_MAX];
    size_t len;
    pv_peer_want(p, "route", now);
    if (pv_peer_can_talk(p, now) &&
        pv_inband_echo_build(&echo, body, sizeof(body), &len) == PV_OK) {
        pv_peers_send(n->peers, p, PV_INBAND_ECHO, pv_view(body, len));
        pv_peer_note_asked(p, now);
    }
    pv_peers_touch(n->peers, p, now);
}

/* A member that was sought in vain is not there, whatever the coordinator says. Nor does one count
 * that says that it does not reach the prefix. */
static struct pv_gateway_seen see(const struct pv_node *n, struct pv_peer *p, uint8_t flags)
{
    const struct pv_fp_live *live = pv_fp_builder_live(n->fp, pv_peer_id(p));
    struct pv_ctlapi_path path;
    struct pv_gateway_seen seen = {
        .reachable = (flags & PV_OFFER_AWAY) == 0 &&
                     (pv_peer_reach(p) == PV_REACH_PATH ||
                      (pv_peer_reach(p) == PV_REACH_ONLINE && pv_peer_state(p) != PV_PEER_FAILED)),
        .doubtful = (flags & PV_OFFER_DOUBT) != 0,
    };
    pv_peer_show_path(p, &path);
    if (path.rtt_ms > 0)
        seen.rtt = (pv_ns)(path.rtt_ms * 1e6);
    if (live != NULL) {
        seen.last_rx = atomic_load_explicit(&live->last_rx_any, memory_order_relaxed);
        seen.last_tx = atomic_load_explicit(&live->last_tx_data, memory_order_relaxed);
    }
    return seen;
}

static uint8_t flags_of(const struct pv_route *route, const uint8_t *pk)
{
    for (size_t i = 0; i < route->n; i++) {
        if (memcmp(route->by[i].pk, pk, PV_SIGN_PK_LEN) == 0)
            return route->by[i].flags;
    }
    return 0;
}

void pv_routewatch_look(struct pv_routes *r, struct pv_route *route, pv_ns now)
{
    struct pv_gateways *x = &route->gateways;
    uint32_t front = x->front;
    for (size_t i = 0; i < x->n; i++) {
        struct pv_peer *p = pv_peers_by_id(r->node->peers, x->g[i].id);
        x->g[i].seen = p == NULL ? (struct pv_gateway_seen){.reachable = false}
                                 : see(r->node, p, flags_of(route, pv_peer_pk(p)));
    }
    unsigned mask = pv_gateways_look(x, now);
    for (size_t i = 0; i < x->n; i++) {
        struct pv_peer *p = pv_peers_by_id(r->node->peers, x->g[i].id);
        if (p != NULL && (mask & 1u << i) != 0)
            ask(r->node, p, now);
    }
    const struct pv_peer *p = pv_peers_by_id(r->node->peers, x->front);
    char text[PV_ADDR_TEXT];
    if (x->front != front && p != NULL)
        pv_log(r->node->log, PV_LOG_INFO, "peer=%s what=\"carries a prefix\" prefix=%s",
               pv_peer_name(p), pv_prefix_format(&route->prefix, text));
}
