/* SPDX-License-Identifier: MIT */
/* peer_look.c - what others may know of a peer. Nothing here changes one, but for the few words
 * that the parts above leave with it. */
#include "daemon/core/peer/peer_int.h"

const struct pv_node *pv_peer_node(const struct pv_peer *p)
{
    return p->node;
}

enum pv_path_state pv_peer_path_state(const struct pv_peer *p)
{
    return p->path_state;
}

enum pv_peer_reach pv_peer_reach(const struct pv_peer *p)
{
    if (pv_peer_path_works(p))
        return PV_REACH_PATH;
    return p->presence == PV_PRESENCE_ONLINE ? PV_REACH_ONLINE : PV_REACH_NO;
}

const struct pv_carrier *pv_peer_path(const struct pv_peer *p)
{
    return pv_peer_has_path(p) ? &p->path : NULL;
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

bool pv_peer_is_guest(const struct pv_peer *p)
{
    return p->is_guest;
}

bool pv_peer_is_member(const struct pv_peer *p)
{
    return !p->is_static || p->is_guest;
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

const struct pv_addr *pv_peer_beyond_door(const struct pv_peer *p)
{
    return &p->beyond_door;
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
