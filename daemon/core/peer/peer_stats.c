/* SPDX-License-Identifier: MIT */
/* The share of a peer's life in the numbers about paths (pathstats.h). Static peers add nothing:
 * they are not sought. */
#include "daemon/core/peer/peer_int.h"

void pv_peer_count_attempt(struct pv_peer *p, enum pv_hardnat_method method,
                           enum pv_path_result result)
{
    struct pv_node *n = p->node;
    bool known = p->descx.theirs.gen != 0;
    enum pv_natclass own = pv_natclass(n->ways.nat, n->ways.locals, n->ways.n_locals);
    enum pv_natclass theirs = known ? pv_natclass(&pv_peer_theirs(p)->nat, pv_peer_theirs(p)->cands,
                                                  pv_peer_theirs(p)->n_cands)
                                    : PV_NATCLASS_UNKNOWN;
    n->common->stats.attempts[method][result][own][theirs]++;
}

void pv_peer_count_checks(struct pv_peer *p, enum pv_path_result result)
{
    if (p->seek.state != PV_PEER_SEEKING_OPEN)
        return;
    pv_peer_count_attempt(p, PV_HARDNAT_NONE, result);
    p->seek.state = PV_PEER_SEEKING_COUNTED;
}

/* A search begins with REACHING and is open until its first result; a restart of ICE inside it
 * counts once. */
void pv_peer_count_state(struct pv_peer *p, enum pv_peer_state state, pv_ns now)
{
    if (p->is_static || state == PV_PEER_UP)
        return;
    pv_peer_count_checks(p, pv_peer_is_relayed(p) ? PV_PATH_RELAYED : PV_PATH_FAILED);
    if (state != PV_PEER_REACHING) {
        p->seek.state = PV_PEER_SEEKING_NOTHING;
    } else if (!p->seek.direct) {
        p->seek.since = now;
        p->seek.state = PV_PEER_SEEKING_OPEN;
    }
}

static enum pv_path_end end_of(enum pv_ice_cand_type type)
{
    switch (type) {
    case PV_ICE_HOST:
        return PV_PATH_END_HOST;
    case PV_ICE_SRFLX:
        return PV_PATH_END_SRFLX;
    case PV_ICE_PRFLX:
    case PV_ICE_RELAY: /* no end of a direct path */
        break;
    }
    return PV_PATH_END_PRFLX;
}

/* A direct path without an agent's choice was found at a remembered address. */
static void count_direct(struct pv_peer *p)
{
    enum pv_path_end own = PV_PATH_END_REMEMBERED, theirs = PV_PATH_END_REMEMBERED;
    struct pv_ice_path path;
    if (p->ice != NULL && pv_ice_selected(p->ice, &path) == PV_OK) {
        own = end_of(path.local_type);
        theirs = end_of(path.remote_type);
        for (size_t i = 0; i < PV_ARRAY_LEN(p->node->ways.portmapped); i++) {
            if (path.mapped.family != PV_AF_NONE &&
                pv_addr_equal(&path.mapped, &p->node->ways.portmapped[i]))
                own = PV_PATH_END_PORTMAP;
        }
    }
    p->node->common->stats.direct[own][theirs]++;
}

/* Added up in pieces, so that a metrics page in the middle of a long time on a relay sees it
 * grow. */
void pv_peer_count_relay_time(struct pv_peer *p, pv_ns now)
{
    if (p->seek.relayed_since != 0)
        p->node->common->stats.relay_time += now - p->seek.relayed_since;
    p->seek.relayed_since = pv_peer_is_relayed(p) ? now : 0;
}

void pv_peer_count_path(struct pv_peer *p, pv_ns now)
{
    bool was_relayed = p->seek.relayed_since != 0;
    if (p->is_static)
        return;
    pv_peer_count_relay_time(p, now);
    p->node->common->stats.relayed += !was_relayed && p->seek.relayed_since != 0 ? 1 : 0;
    p->seek.direct = pv_peer_has_path(p) && !pv_peer_is_relayed(p);
    if (!p->seek.direct || p->seek.state == PV_PEER_SEEKING_NOTHING)
        return; /* nominations may cross, and move the path there and back */
    count_direct(p);
    pv_peer_count_checks(p, PV_PATH_DIRECT);
    pv_histogram_add(&p->node->common->stats.to_direct, (double)(now - p->seek.since) / 1e9);
    p->seek.state = PV_PEER_SEEKING_NOTHING;
}
