/* SPDX-License-Identifier: MIT */
/* The settings that the operator may change while the relay runs: limits, ports, peers, public
 * addresses. */
#include <string.h>

#include "coordinator/core/turn/turns_int.h"

enum {
    PER_USER = 128,  /* ours: allocations of a static user (turns.h) */
    PORT_LO = 49152, /* RFC 8656 s7.2 */
    PORT_HI = 65535, /* RFC 8656 s7.2 */
};

/* The network's own, else that of all. */
uint32_t pv_tpolicy_bandwidth(const struct pv_turns *t, const uint8_t *net)
{
    for (size_t i = 0; i < t->n_nets; i++) {
        if (memcmp(t->nets[i].net, net, PV_TURNAUTH_NET_LEN) == 0)
            return t->nets[i].bandwidth;
    }
    return t->limits.bandwidth;
}

/* A public address, which clients are told, leads to this machine, so it is refused as a peer
 * (turnpeer.h). Addresses that are public no more stay refused. */
static void add_own(struct pv_turns *t, const struct pv_addr *a)
{
    for (size_t i = 0; i < t->rules.n_own; i++) {
        if (pv_addr_equal_ip(&t->own[i], a))
            return;
    }
    if (t->rules.n_own < PV_TURNS_OWN_MAX && a->family != PV_AF_NONE)
        t->own[t->rules.n_own++] = *a;
}

void pv_turns_set_policy(struct pv_turns *t, const struct pv_turns_policy *policy)
{
    t->limits.per_user = policy->per_user == 0 ? PER_USER : policy->per_user;
    t->limits.bandwidth = policy->bandwidth;
    t->port_lo = policy->port_lo == 0 ? PORT_LO : policy->port_lo;
    t->port_hi = policy->port_hi == 0 ? PORT_HI : policy->port_hi;
    memcpy(t->relay_public, policy->relay_public, sizeof(t->relay_public));
    memcpy(t->allow, policy->allow, sizeof(t->allow));
    t->rules.n_allow = policy->n_allow;
    add_own(t, &t->relay_public[0]);
    add_own(t, &t->relay_public[1]);
    memcpy(t->nets, policy->nets, sizeof(t->nets));
    t->n_nets = policy->n_nets;
    for (size_t i = 0; i < t->members.n_slots; i++) {
        struct pv_tmember *m = t->members.slots[i].entry;
        if (m != NULL)
            m->bandwidth = pv_tpolicy_bandwidth(t, m->who);
    }
}
