/* SPDX-License-Identifier: MIT */
/* peer_show.c - turns what a peer knows of itself into what control clients read. */
#include "daemon/core/peer/peer_show.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "daemon/core/peer/peer_int.h"
#include "daemon/core/peer/peers.h"
#include "proto/local/ctlapi.h"

void pv_peer_show_path(struct pv_peer *p, struct pv_ctlapi_path *ret_path)
{
    *ret_path = (struct pv_ctlapi_path){.type = PV_CTLAPI_PATH_NONE, .rtt_ms = -1, .loss = -1};
    if (!pv_peer_has_path(p))
        return;
    ret_path->type = p->is_static ? PV_CTLAPI_PATH_STATIC : PV_CTLAPI_PATH_DIRECT;
    ret_path->local = p->path.local;
    if (pv_peer_is_relayed(p)) {
        ret_path->type = PV_CTLAPI_PATH_RELAY;
        if (!p->relay.far) /* else the relayed address is theirs, and ours is the plain one */
            ret_path->local = *pv_relayway_relayed(p->node->ways.relays[p->path.via]);
        ret_path->via = pv_addr_format(pv_carrier_dst(&p->path), p->via);
    }
    ret_path->remote = p->path.remote;
    ret_path->mtu = pv_peer_inner_mtu(p);
    struct pv_ice_path ice;
    if (p->ice != NULL && pv_ice_selected(p->ice, &ice) == PV_OK) {
        if (ice.rtt != 0)
            ret_path->rtt_ms = (double)ice.rtt / 1e6;
        if (ice.loss_of >= PV_ICE_LOSS_MIN)
            ret_path->loss = (double)ice.loss / 1000.0;
    }
}

void pv_peer_show(struct pv_peer *p, struct pv_ctlapi_peer *ret_peer, pv_ns now)
{
    struct pv_ctlapi_peer x = {
        .name = p->name,
        .ip4 = p->ip4,
        .ip6 = p->ip6,
        .key = pv_peer_is_member(p) ? p->pk : NULL,
        .wg_key = p->transport,
        .last_handshake_ms = p->last_handshake_ms,
        .online = pv_peer_reach(p) != PV_REACH_NO,
    };
    const struct pv_fp_live *l = pv_fp_builder_live(p->node->fp, p->id);
    enum pv_peer_pq_state pq = pv_peer_pq(p, now).state;
    if (pq != PV_PEER_PQ_NONE)
        x.session = pq == PV_PEER_PQ_HYBRID ? "hybrid" : "classical";
    pv_peer_show_path(p, &x.path);
    uint64_t wall = pv_node_wall_us(p->node, now), seen = p->gone_us;
    if (l != NULL) {
        x.tx_bytes = atomic_load_explicit(&l->tx_bytes, memory_order_relaxed);
        x.rx_bytes = atomic_load_explicit(&l->rx_bytes, memory_order_relaxed);
        pv_ns heard = atomic_load_explicit(&l->last_rx_any, memory_order_relaxed);
        /* Nobody tells the presence of a static peer: it counts as online while keys that it proved
         * could still be in use. */
        if (p->is_static)
            x.online = heard != 0 && now - heard < PV_SESSION_REJECT_AFTER;
        if (heard != 0 && heard <= now && wall - (now - heard) / 1000 > seen)
            seen = wall - (now - heard) / 1000;
    }
    /* The coordinator's clock may be ahead of ours. */
    if (!x.online)
        x.last_seen_ms = (seen < wall ? seen : wall) / 1000;
    *ret_peer = x;
}

/* Why there is no peer of that name, in words. A former member has a reason of its own: "no peer"
 * would send the user looking for a typing error. */
static void say_unknown(const struct pv_node *n, const char *text, const char *what,
                        char buf[static PV_CTLAPI_ERROR_BUF])
{
    const struct pv_member *self = pv_node_self(n);
    const struct pv_member *former = pv_node_former_member(n, text);
    const struct pv_member *aside = n->roster == NULL ? NULL : pv_node_aside(n, text);
    bool is_self = self != NULL && strcmp(self->name, text) == 0, several;
    (void)pv_node_by_short(n, text, &several);
    snprintf(buf, PV_CTLAPI_ERROR_BUF,
             is_self ? "%s: %s is this machine: name another"
             : several
                 ? "%s: the keys of several machines begin as %s: give more of the one you mean"
             : aside != NULL && aside->state == PV_MEMBER_WAITING
                 ? "%s: %s is no member yet: it waits until an admin admits it"
             : aside != NULL ? "%s: the membership of %s has expired: it is a member again as soon "
                               "as it reaches the coordinator"
             : former == NULL ? "%s: no peer %s: `p2pvpnctl peers` lists them"
             : former->state == PV_MEMBER_LEFT
                 ? "%s: %s left the network: it needs a new token to come back"
                 : "%s: %s was removed from the network: it needs a new token to come back",
             what, text);
}

struct pv_peer *pv_peer_need(struct pv_node *n, const char *text, const char *what,
                             enum pv_command_needs needs, uint64_t handle)
{
    char error[PV_CTLAPI_ERROR_BUF];
    if (needs != PV_NEEDS_PEER && !pv_node_need_network(n, what, handle))
        return NULL;
    struct pv_peer *p = pv_peers_find(n->peers, text);
    if (p != NULL && needs != PV_NEEDS_PEER && !pv_peer_is_member(p)) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED,
                        "%s: %s is a static peer: only members can do that", what, p->name);
        return NULL;
    }
    if (p != NULL && needs == PV_NEEDS_NODE && !pv_peer_is_node(p)) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED,
                        "%s: %s is a guest: its WireGuard app takes no messages and no files", what,
                        p->name);
        return NULL;
    }
    if (p == NULL) {
        say_unknown(n, text, what, error);
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_UNKNOWN_PEER, error);
    }
    return p;
}
