/* SPDX-License-Identifier: MIT */
/* openport.c - which of the own addresses lets everybody in. */
#include "daemon/core/path/openport.h"

#include "daemon/core/path/gatherer.h"

enum {
    WAYS = 5,       /* kinds of addresses */
    PHONE_PORT = 3, /* of these */
};

/* Returns true if a server saw the port at this base (RFC 8445 s4) elsewhere. Then a NAT is
 * between. */
static bool is_seen_elsewhere(const struct pv_node *n, size_t base)
{
    for (size_t i = 0; i < n->ways.n_locals; i++) {
        if (n->ways.locals[i].type == PV_ICE_SRFLX && n->ways.locals[i].base == base)
            return true;
    }
    return false;
}

/* A public address of an interface; NULL: there is none, or it is behind a NAT all the same. */
static const struct pv_addr *own_public(const struct pv_node *n, uint16_t family)
{
    for (size_t i = 0; i < n->ways.n_locals; i++) {
        const struct pv_ice_cand *c = &n->ways.locals[i];
        if (c->type == PV_ICE_HOST && c->addr.family == family && !pv_addr_is_private(&c->addr) &&
            !is_seen_elsewhere(n, i))
            return &c->addr;
    }
    return NULL;
}

/* A public address of that family of which all servers have said that they see it; *ret_asked: one
 * of which some have not. */
static const struct pv_addr *proven_public(const struct pv_node *n, uint16_t family,
                                           bool *ret_asked)
{
    const struct pv_addr *own = own_public(n, family);
    if (own == NULL || pv_gatherer_unanswered(n->ways.gatherer, family) == PV_NEVER)
        return own;
    *ret_asked = true;
    return NULL;
}

/* The best first; NULL: there is none of that kind. An address of IPv6 comes last: many routers let
 * nothing in that nobody inside has asked for, and what servers see is the same behind such a one.
 * True: a server is still being asked. */
static bool list_ways(const struct pv_node *n, const struct pv_addr *ways[static WAYS])
{
    bool asked = false;
    const struct pv_addr *mapped = n->ways.portmapped; /* IPv4, IPv6 */
    ways[0] = mapped[0].family != PV_AF_NONE ? &mapped[0] : NULL;
    ways[1] = proven_public(n, PV_AF_INET, &asked);
    ways[2] = mapped[1].family != PV_AF_NONE ? &mapped[1] : NULL;
    ways[PHONE_PORT] =
        n->ways.phone_port.state == PV_TURNC_PHONE_PORT_OPEN ? &n->ways.phone_port.addr : NULL;
    ways[4] = proven_public(n, PV_AF_INET6, &asked);
    return asked;
}

bool pv_openport_leads(const struct pv_node *n, const struct pv_addr *addr)
{
    const struct pv_addr *ways[WAYS];
    bool leads = false;
    (void)list_ways(n, ways);
    for (size_t i = 0; i < WAYS; i++)
        leads = leads || (ways[i] != NULL && pv_addr_equal(ways[i], addr));
    return leads;
}

bool pv_openport_is_phone_port(const struct pv_node *n, const struct pv_addr *addr)
{
    return n->ways.phone_port.state == PV_TURNC_PHONE_PORT_OPEN &&
           pv_addr_equal(addr, &n->ways.phone_port.addr);
}

bool pv_openport_taken(const struct pv_node *n, bool by_phone_port, uint16_t family,
                       struct pv_addr *ret_addr)
{
    const struct pv_addr *ways[WAYS];
    (void)list_ways(n, ways);
    for (size_t i = 0; i < WAYS; i++) {
        if (ways[i] != NULL && by_phone_port == (i == PHONE_PORT) &&
            (by_phone_port || ways[i]->family == family)) {
            *ret_addr = *ways[i];
            return true;
        }
    }
    return false;
}

bool pv_openport_lacks(const struct pv_node *n)
{
    struct pv_addr addr;
    struct pv_reason why;
    int r = pv_openport(n, &addr, &why);
    return r == PV_ERR_NOT_FOUND ||
           (r == PV_OK && (addr.family == PV_AF_INET6 || pv_openport_is_phone_port(n, &addr)));
}

int pv_openport(const struct pv_node *n, struct pv_addr *ret_addr, struct pv_reason *ret_why)
{
    const struct pv_addr *ways[WAYS];
    const bool asked = list_ways(n, ways);
    for (size_t i = 0; i < WAYS; i++) {
        if (ways[i] != NULL) {
            *ret_addr = *ways[i];
            return PV_OK;
        }
    }
    if (n->ways.udp_blocked)
        *ret_why = (struct pv_reason){"UDP does not get through here", PV_DO(other_network)};
    else if (asked || n->ways.gathering)
        *ret_why = (struct pv_reason){"no server has told yet from where this port is seen",
                                      PV_DO_NOTHING};
    else
        *ret_why =
            (struct pv_reason){"this machine has no public address, its router maps no port, and "
                               "the coordinator opens no phone port",
                               PV_DO(way_in)};
    return asked && !n->ways.udp_blocked ? PV_ERR_AGAIN : PV_ERR_NOT_FOUND;
}
