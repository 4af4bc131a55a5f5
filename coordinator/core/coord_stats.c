/* SPDX-License-Identifier: MIT */
/* The coordinator's counters, and the names of its limits in `status` and for Prometheus. */
#include "coordinator/core/coord_int.h"

const char *pv_coord_limit_name(enum pv_coord_limit limit)
{
    static const char *const names[PV_COORD_LIMITS] = {
        [PV_COORD_LIMIT_CONNS] = "connections",
        [PV_COORD_LIMIT_GUESTS] = "guests",
        [PV_COORD_LIMIT_SOURCE] = "connections_of_a_source",
        [PV_COORD_LIMIT_REQUESTS] = "requests",
        [PV_COORD_LIMIT_NETWORK] = "changes_of_a_network",
        [PV_COORD_LIMIT_SIGNALS] = "signals",
        [PV_COORD_LIMIT_COPIES] = "stored_copies",
        [PV_COORD_LIMIT_CREATES] = "new_networks",
        [PV_COORD_LIMIT_SUBSCRIPTIONS] = "subscriptions",
        [PV_COORD_LIMIT_FULL] = "networks_or_members",
    };
    return names[limit];
}

/* Numbers that follow from what is held (connections, nodes, operations) are counted here; the
 * others are kept as things happen. */
void pv_coord_stats(const struct pv_coord *c, struct pv_coord_stats *ret_stats)
{
    *ret_stats = c->stats;
    for (size_t i = 0; i < PV_COORD_LIMITS; i++)
        ret_stats->refused += c->stats.limits[i];
    ret_stats->conns = HASH_CNT(hh, c->conns);
    ret_stats->online = c->broker.online;
    ret_stats->networks = HASH_CNT(hh, c->registry.nets);
    ret_stats->jobs = c->registry.n_ops + c->copies.n;
    ret_stats->statements = 0;
    for (const struct pv_cnet *n = c->registry.nets; n != NULL; n = n->hh.next)
        ret_stats->statements += n->log_len - n->n_empty;
}

/* Every connection is in exactly one kind, so they add up to `open`; `hybrid` is a part of two. */
void pv_coord_kinds(const struct pv_coord *c, struct pv_coord_kinds *ret_kinds)
{
    struct pv_coord_kinds k = {.members = 0};
    for (const struct pv_conn *s = c->conns; s != NULL; s = s->hh.next) {
        if (s->state == PV_CONN_GUEST || s->state == PV_CONN_MEMBER)
            k.hybrid += pv_control_is_hybrid(s->control) ? 1 : 0;
        switch (s->state) {
        case PV_CONN_OPENING:
        case PV_CONN_HELLO:
            k.opening++;
            break;
        case PV_CONN_STUN:
            k.turn += s->relaying ? 1 : 0;
            k.stun += s->relaying ? 0 : 1;
            break;
        case PV_CONN_GUEST:
            k.guests++;
            break;
        case PV_CONN_MEMBER:
            k.members++;
            break;
        case PV_CONN_CLOSING:
            k.closing++;
            break;
        }
    }
    *ret_kinds = k;
}
