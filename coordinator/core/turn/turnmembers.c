/* SPDX-License-Identifier: MIT */
/* turnmembers.c - the members that may relay, as the coordinator's control thread knows them. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/core/turn/turns_int.h"
#include "crypto/ct.h"
#include "crypto/sign.h"
#include "proto/stun/turn.h"

/* --- members --------------------------------------------------------------------------------- */

/* A member comes with a welcome, goes offline with its control channel, and ends with its removal.
 */

/* Both halves are hashes: of the coordinator's key, and of the node's. 64 bits of the latter are
 * enough to find a member, not to be one: member_find() compares the key. */
static struct pv_addr virtual_addr(const struct pv_turns *t, const uint8_t *node)
{
    uint8_t hash[PV_BLAKE2B_LEN];
    uint8_t ip[16];
    pv_blake2b(hash, pv_view(node, PV_TURNAUTH_NODE_LEN), pv_view(NULL, 0), pv_view(NULL, 0));
    memcpy(ip, t->prefix, 8);
    memcpy(ip + 8, hash, 8);
    return pv_addr6(ip, PV_TURN_VIRTUAL_PORT);
}

/* The member itself, not another one with the same 64 bits of hash; NULL: not known. */
static struct pv_turns_member *member_find(const struct pv_turns *t, const uint8_t *net,
                                           const uint8_t *node)
{
    struct pv_addr addr = virtual_addr(t, node);
    struct pv_turns_member *m = pv_turns_member_at(t, net, &addr);
    return m != NULL && memcmp(m->who + PV_TURNAUTH_NET_LEN, node, PV_TURNAUTH_NODE_LEN) == 0
               ? m
               : NULL;
}

void pv_turns_member_forget(struct pv_turns *t, struct pv_turns_member *m)
{
    if (m->alloc != NULL)
        pv_turns_alloc_free(t, m->alloc);
    pv_turns_member_settled(t, m);
    pv_turntab_del(&t->members, m);
    pv_turntab_del(&t->by_user, m);
    pv_relaystat_set(&t->stats, PV_RELAYSTAT_MEMBERS, t->members.n);
    pv_heap_set(&t->timers, &m->timer.node, PV_NEVER);
    pv_wipe(m, sizeof(*m));
    free(m);
}

uint32_t pv_turns_policy_bandwidth(const struct pv_turns *t, const uint8_t *net)
{
    for (size_t i = 0; i < t->policy.n_nets; i++) {
        if (memcmp(t->policy.nets[i].net, net, PV_TURNAUTH_NET_LEN) == 0)
            return t->policy.nets[i].bandwidth;
    }
    return t->policy.bandwidth;
}

/* Name and password are derived again here rather than handed over by the control thread: both ends
 * have the same secret (turnauth.h), so secrets need not cross the ring. */
static int new_member(struct pv_turns *t, const uint8_t *net, const uint8_t *node,
                      struct pv_turns_member **ret_member)
{
    char user[PV_TURNAUTH_USER_BUF];
    char password[PV_TURNAUTH_PASSWORD_BUF];
    struct pv_turns_member *m = calloc(1, sizeof(*m));
    if (m == NULL || pv_turns_reserve(t) < 0) {
        free(m);
        return PV_ERR_NOMEM;
    }
    m->timer.kind = PV_TURNS_TIMER_MEMBER;
    m->bandwidth = pv_turns_policy_bandwidth(t, net);
    m->addr = virtual_addr(t, node);
    pv_turns_member_id(net, &m->addr, m->id);
    memcpy(m->who, net, PV_TURNAUTH_NET_LEN);
    memcpy(m->who + PV_TURNAUTH_NET_LEN, node, PV_TURNAUTH_NODE_LEN);
    pv_turnauth_member(&t->auth, pv_view(m->who, sizeof(m->who)), user, password);
    memcpy(m->user, user, sizeof(m->user));
    int r = pv_turnauth_key(user, password, &m->key);
    pv_wipe(password, sizeof(password));
    if (r == PV_OK && pv_turntab_find(&t->members, m->id) != NULL)
        r = PV_ERR_LIMIT; /* 64 bits of two keys are the same: the first has the address */
    if (r == PV_OK)
        r = pv_turntab_add(&t->members, m);
    if (r == PV_OK) {
        r = pv_turntab_add(&t->by_user, m);
        if (r < 0)
            pv_turntab_del(&t->members, m);
    }
    if (r < 0) {
        pv_wipe(m, sizeof(*m));
        free(m);
        return r;
    }
    pv_relaystat_set(&t->stats, PV_RELAYSTAT_MEMBERS, t->members.n);
    *ret_member = m;
    return PV_OK;
}

/* --- without memory --------------------------------------------------------------------------- */

static void forget_unmet(struct pv_turns *t, const uint8_t *net, const uint8_t *node)
{
    for (size_t i = 0; i < t->n_unmet; i++) {
        struct pv_turns_unmet *u = &t->unmet[i];
        if (memcmp(u->net, net, sizeof(u->net)) != 0 || memcmp(u->node, node, sizeof(u->node)) != 0)
            continue;
        memmove(u, u + 1, (--t->n_unmet - i) * sizeof(*u));
        return;
    }
}

/* Its connection may last for weeks without another welcome, so it is remembered until its Allocate
 * comes. Of too many the oldest relays again after its next welcome. */
static void remember_unmet(struct pv_turns *t, const uint8_t *net, const uint8_t *node,
                           uint32_t serial)
{
    if (t->n_unmet == PV_TURNS_UNMET_MAX)
        memmove(t->unmet, t->unmet + 1, --t->n_unmet * sizeof(t->unmet[0]));
    struct pv_turns_unmet *u = &t->unmet[t->n_unmet++];
    memcpy(u->net, net, sizeof(u->net));
    memcpy(u->node, node, sizeof(u->node));
    u->serial = serial;
}

void pv_turns_member_meet(struct pv_turns *t)
{
    for (size_t n = t->n_unmet; n > 0; n--) {
        const struct pv_turns_unmet u = t->unmet[0];
        (void)!pv_turns_online(t, u.net, u.node, u.serial); /* else it is the last one now */
    }
}

/* A newer serial makes the nonces of all earlier welcomes worthless, so only the newest connection
 * of a node can allocate. */
int pv_turns_online(struct pv_turns *t, const uint8_t *net, const uint8_t *node, uint32_t serial)
{
    if (!t->enabled)
        return PV_ERR_UNSUPPORTED;
    forget_unmet(t, net, node);
    struct pv_turns_member *m = member_find(t, net, node);
    int r = m == NULL ? new_member(t, net, node, &m) : PV_OK;
    if (r == PV_ERR_NOMEM)
        remember_unmet(t, net, node, serial);
    if (r < 0)
        return r;
    m->online = true;
    m->serial = serial;
    m->spent = false;
    pv_turns_member_rearm(t, m);
    return PV_OK;
}

/* The allocation stays: data goes on while the node finds its way back to the coordinator. */
void pv_turns_offline(struct pv_turns *t, const uint8_t *net, const uint8_t *node, pv_ns now)
{
    struct pv_turns_member *m = member_find(t, net, node);
    forget_unmet(t, net, node);
    if (m == NULL || !m->online)
        return;
    m->online = false;
    m->offline_at = now;
    pv_turns_member_rearm(t, m);
}

void pv_turns_gone(struct pv_turns *t, const uint8_t *net, const uint8_t *node)
{
    struct pv_turns_member *m = member_find(t, net, node);
    forget_unmet(t, net, node);
    if (m != NULL)
        pv_turns_member_forget(t, m);
}

/* A command about a member was lost, so the relay no longer knows which members may relay. All of
 * them are back with their next welcome. Allocations of connections end too, because the lost
 * command may have been an end. */
void pv_turns_forget(struct pv_turns *t)
{
    struct pv_turns_member *m;
    t->n_unmet = 0;
    while ((m = pv_turntab_any(&t->members)) != NULL)
        pv_turns_member_forget(t, m);
    for (size_t i = 0; i < t->ways.n_slots;) {
        struct pv_turns_alloc *a = t->ways.slots[i].entry;
        if (a == NULL || a->way.stream == 0) {
            i++;
            continue;
        }
        pv_turns_alloc_free(t, a);
        i = 0; /* others have moved */
    }
}
