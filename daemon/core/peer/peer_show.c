/* SPDX-License-Identifier: MIT */
/* peer_show.c - what others may know of a peer, and what control clients read of it. Nothing
 * here changes one, but for the few words that the parts above leave with it. */
#include "daemon/core/peer/peer_show.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "daemon/core/node/apphooks.h"
#include "daemon/core/peer/peer_int.h"
#include "daemon/core/peer/peers.h"
#include "proto/local/ctlapi.h"

const struct pv_node *pv_peer_node(const struct pv_peer *p)
{
    return p->node;
}

enum pv_path_state pv_peer_path_state(const struct pv_peer *p)
{
    return p->path_state;
}

/* The path of a phone is where it was heard last, whether it is on or not. */
enum pv_peer_reach pv_peer_reach(const struct pv_peer *p)
{
    if (pv_peer_path_works(p) && (!p->is_phone || p->presence == PV_PRESENCE_ONLINE))
        return PV_REACH_PATH;
    return p->presence == PV_PRESENCE_ONLINE ? PV_REACH_ONLINE : PV_REACH_NO;
}

const struct pv_carrier *pv_peer_path(const struct pv_peer *p)
{
    return pv_peer_has_path(p) ? &p->path : NULL;
}

pv_ns pv_peer_sought_since(const struct pv_peer *p)
{
    return p->sought_at == 0 || p->sought_at > p->direct_at ? p->sought_at : p->direct_at;
}

pv_ns pv_peer_path_since(const struct pv_peer *p)
{
    return p->path_since;
}

bool pv_peer_is_relayed(const struct pv_peer *p)
{
    return pv_peer_has_path(p) && (pv_carrier_is_relayed(&p->path) || p->relay.far);
}

bool pv_peer_is_direct(const struct pv_peer *p)
{
    return pv_peer_has_path(p) && !pv_peer_is_relayed(p);
}

bool pv_peer_can_talk(const struct pv_peer *p, pv_ns now)
{
    return pv_peer_has_path(p) && p->session != NULL && pv_session_has_keys(p->session, now);
}

bool pv_peer_is_wanted(const struct pv_peer *p, pv_ns now)
{
    return p->wanted_at != 0 && now - p->wanted_at < PV_PEER_WANTED_FOR;
}

bool pv_peer_is_used(const struct pv_peer *p)
{
    return p->ice != NULL || p->session != NULL || pv_peer_has_path(p);
}

uint32_t pv_peer_id(const struct pv_peer *p)
{
    return p->id;
}

bool pv_peer_is_static(const struct pv_peer *p)
{
    return p->is_static;
}

bool pv_peer_is_phone(const struct pv_peer *p)
{
    return p->is_phone;
}

bool pv_peer_is_member(const struct pv_peer *p)
{
    return !p->is_static || p->is_phone;
}

bool pv_peer_is_node(const struct pv_peer *p)
{
    return !p->is_static && p->by == 0;
}

uint32_t pv_peer_by(const struct pv_peer *p)
{
    return p->by;
}

void pv_peer_set_by(struct pv_peer *p, uint32_t by)
{
    p->by = by;
}

const uint8_t *pv_peer_pk(const struct pv_peer *p)
{
    return p->pk;
}

const uint8_t *pv_peer_transport(const struct pv_peer *p)
{
    return p->transport;
}

const char *pv_peer_name(const struct pv_peer *p)
{
    return p->name;
}

const struct pv_addr *pv_peer_ip4(const struct pv_peer *p)
{
    return &p->ip4;
}

const struct pv_addr *pv_peer_ip6(const struct pv_peer *p)
{
    return &p->ip6;
}

enum pv_peer_state pv_peer_state(const struct pv_peer *p)
{
    return p->state;
}

enum pv_presence pv_peer_presence(const struct pv_peer *p)
{
    return p->presence;
}

struct pv_trace *pv_peer_trace(struct pv_peer *p)
{
    return &p->trace;
}

struct pv_ice_agent *pv_peer_agent(const struct pv_peer *p)
{
    return p->ice;
}

const struct pv_session *pv_peer_session(const struct pv_peer *p)
{
    return p->session;
}

const struct pv_mtu *pv_peer_mtu(const struct pv_peer *p)
{
    static const struct pv_mtu off;
    return p->talk == NULL ? &off : &p->talk->mtu;
}

const struct pv_descx *pv_peer_descx(const struct pv_peer *p)
{
    return &p->descx;
}

void pv_peer_describe(struct pv_peer *p)
{
    pv_descx_changed(&p->descx);
}

const struct pv_desc *pv_peer_theirs(const struct pv_peer *p)
{
    static const struct pv_desc none;
    return p->remote == NULL ? &none : p->remote;
}

const struct pv_desc *pv_peer_remote(const struct pv_peer *p)
{
    return p->descx.theirs.gen == 0 ? NULL : p->remote;
}

bool pv_peer_knows_chain(const struct pv_peer *p)
{
    return p->chain_known;
}

bool pv_peer_take_seq(struct pv_peer *p, uint64_t seq)
{
    if (seq <= p->signal_seq_seen)
        return false;
    p->signal_seq_seen = seq;
    return true;
}

bool pv_peer_is_misfit(const struct pv_peer *p)
{
    return p->misfit;
}

const char *pv_peer_endpoint_host(const struct pv_peer *p)
{
    return p->endpoint_host == NULL ? "" : p->endpoint_host;
}

const struct pv_addr *pv_peer_recalled(const struct pv_peer *p)
{
    return &p->recalled;
}

struct pv_peer_attempt pv_peer_attempt(const struct pv_peer *p)
{
    return (struct pv_peer_attempt){
        .any = p->hard.tried || p->hard.announced,
        .tried = p->hard.tried,
        .plan = p->hard.plan,
        .packets = p->hard.packets,
        .not_before = p->hard.not_before,
    };
}

const struct pv_addr *pv_peer_channel(const struct pv_peer *p)
{
    return &p->relay_addr;
}

void pv_peer_set_channel(struct pv_peer *p, const struct pv_addr *addr)
{
    p->relay_addr = addr == NULL ? (struct pv_addr){.family = PV_AF_NONE} : *addr;
}

const struct pv_addr *pv_peer_beyond_phone_port(const struct pv_peer *p)
{
    return &p->beyond_phone_port;
}

const struct pv_peer_sought *pv_peer_sought(const struct pv_peer *p)
{
    return &p->sought;
}

bool pv_peer_awaits_relay(const struct pv_peer *p)
{
    return p->relay.chosen;
}

void pv_peer_leave_relay(struct pv_peer *p, pv_ns now)
{
    p->leave_at = now;
    p->leave_wait = PV_PEER_LEAVE_FIRST;
}

struct pv_peer_notes *pv_peer_notes(struct pv_peer *p)
{
    return &p->notes;
}

const struct pv_peer_notes *pv_peer_notes_of(const struct pv_peer *p)
{
    return &p->notes;
}

void pv_peer_set_in_sync(struct pv_peer *p, bool in_sync)
{
    if (p->notes.in_sync == in_sync)
        return;
    p->notes.in_sync = in_sync;
    p->node->common->n_in_sync += in_sync ? 1 : 0;
    p->node->common->n_in_sync -= in_sync ? 0 : 1;
}

size_t pv_peer_count_in_sync(const struct pv_peer *p)
{
    return p->node->common->n_in_sync;
}

/* --- what control clients read --------------------------------------------------------------- */

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

pv_ns pv_peer_heard_at(const struct pv_peer *p)
{
    const struct pv_fp_live *l = pv_fp_builder_live(p->node->fp, p->id);
    pv_ns heard = l == NULL ? 0 : atomic_load_explicit(&l->last_rx_any, memory_order_relaxed);
    return heard > p->last_handshake ? heard : p->last_handshake;
}

pv_ns pv_peer_handshake_at(const struct pv_peer *p)
{
    return p->last_handshake;
}

void pv_peer_set_handshake(struct pv_peer *p, pv_ns ago, pv_ns now)
{
    p->last_handshake = now > ago ? now - ago : 1;
}

/* By today's clock: it may have been set since. */
static uint64_t last_handshake_ms(const struct pv_peer *p, pv_ns now)
{
    uint64_t wall = pv_node_wall_ms(p->node, now), ago = (now - p->last_handshake) / PV_MS(1);
    return p->last_handshake == 0 ? 0 : wall > ago ? wall - ago : 1;
}

void pv_peer_show(struct pv_peer *p, struct pv_ctlapi_peer *ret_peer, pv_ns now)
{
    struct pv_ctlapi_peer x = {
        .name = p->name,
        .ip4 = p->ip4,
        .ip6 = p->ip6,
        .key = pv_peer_is_member(p) ? p->pk : NULL,
        .wg_key = p->transport,
        .last_handshake_ms = last_handshake_ms(p, now),
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
        if (p->is_static && !p->is_phone)
            x.online = heard != 0 && now - heard < PV_SESSION_REJECT_AFTER;
        if (heard != 0 && heard <= now && wall - (now - heard) / 1000 > seen)
            seen = wall - (now - heard) / 1000;
    }
    /* The coordinator's clock may be ahead of ours. */
    if (!x.online)
        x.last_seen_ms = (seen < wall ? seen : wall) / 1000;
    *ret_peer = x;
}

/* Says what is known of the machine that was called so, or will be: "no peer" would send the user
 * looking for a typing error. False: nothing. */
static bool say_known(const struct pv_node *n, const char *text, const char *what,
                      char buf[static PV_CTLAPI_ERROR_BUF])
{
    const struct pv_member *former = pv_node_former_member(n, text);
    const struct pv_member *renamed = pv_node_renamed(n, text);
    const struct pv_member *aside = n->roster == NULL ? NULL : pv_node_aside(n, text);
    const char *called = PV_STR(" is called %s now", renamed == NULL ? "" : renamed->name);
    const char *says = NULL;
    bool several;
    (void)pv_node_by_short(n, text, &several);
    if (pv_node_is_self(n, text))
        says = " is this machine: name another";
    else if (several)
        says = ": give more of the one you mean";
    else if (aside != NULL && aside->state == PV_MEMBER_WAITING)
        says = " is no member yet: it waits until an admin admits it";
    else if (aside != NULL)
        says = ": its membership has expired: it is a member again as soon as it reaches the "
               "coordinator";
    else if (former != NULL && former->state == PV_MEMBER_LEFT)
        says = " left the network: it can join again with a new token (`sudo p2pvpnctl invite`)";
    else if (former != NULL)
        says = " was removed from the network: it comes back by a new token, a phone by a new "
               "`sudo p2pvpnctl export`";
    else if (renamed != NULL)
        says = called;
    if (says != NULL)
        snprintf(buf, PV_CTLAPI_ERROR_BUF, "%s: %s%s%s", what,
                 several ? "the keys of several machines begin as " : "", text, says);
    return says != NULL;
}

bool pv_peer_fail_known(struct pv_node *n, const char *text, const char *what, uint64_t handle)
{
    char error[PV_CTLAPI_ERROR_BUF];
    bool known = say_known(n, text, what, error);
    if (known)
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_UNKNOWN_PEER, error);
    return known;
}

/* A shell takes the # of one that is not quoted for a comment, and users leave it out then.
 * Commands about rooms want one and a peer, whatever stands in whose place. */
static void fail_unknown(struct pv_node *n, const char *text, const char *what, uint64_t handle)
{
    if (pv_peer_fail_known(n, text, what, handle))
        return;
    if (n->app_hooks != NULL && strncmp(what, "room", strlen("room")) != 0 &&
        n->app_hooks->is_room(n, text))
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_UNKNOWN_PEER,
                        "%s: no peer %s, but a room: type '#%s', in a shell with the quotes", what,
                        text, text);
    else
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_UNKNOWN_PEER,
                        "%s: no peer %s: `p2pvpnctl peers` lists them", what, text);
}

/* Nobody carries it any more, and it has no p2pvpnd all the same. */
static bool is_lost_phone(const struct pv_node *n, const struct pv_peer *p)
{
    const struct pv_member *m =
        n->roster == NULL ? NULL : pv_roster_by_node(n->roster, pv_peer_pk(p));
    return m != NULL && pv_roster_lost_gateway(n->roster, m) != NULL;
}

struct pv_peer *pv_peer_need(struct pv_node *n, const char *text, const char *what,
                             enum pv_command_needs needs, uint64_t handle)
{
    if (needs != PV_NEEDS_PEER && !pv_node_need_network(n, what, handle))
        return NULL;
    struct pv_peer *p = pv_peers_find(n->peers, text);
    if (p != NULL && needs != PV_NEEDS_PEER && !pv_peer_is_member(p)) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED,
                        "%s: %s is a static peer: only members can do that", what, p->name);
        return NULL;
    }
    if (p != NULL && needs == PV_NEEDS_NODE && (!pv_peer_is_node(p) || is_lost_phone(n, p))) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED,
                        "%s: %s is a phone: its WireGuard app takes no messages and no files", what,
                        p->name);
        return NULL;
    }
    /* Without a network and static peers the name is not what is wrong. */
    if (p == NULL && pv_peers_count_statics(n->peers) == 0 &&
        !pv_node_need_network(n, what, handle))
        return NULL;
    if (p == NULL)
        fail_unknown(n, text, what, handle);
    return p;
}
