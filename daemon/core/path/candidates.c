/* SPDX-License-Identifier: MIT */
/* candidates.c - drives the gatherer, and puts all kinds of candidates into one list. */
#include "daemon/core/path/candidates.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/coord/coordclient.h"
#include "daemon/core/nat/gatherer.h"
#include "daemon/core/nat/stunroute.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peers.h"
#include "proto/stun/stun.h"

enum {
    /* Below what servers tell, by local preference (RFC 8445 s5.1.2.1): a peer may lie. */
    TOLD_PREFERENCE = 16383,
    TOLD_FOUNDATION = UINT8_MAX - 16, /* below the relays' foundations, above the gatherer's */
};

struct candidates {
    struct pv_node *node;
    struct pv_gatherer *gatherer;
};

static int make(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                void **ret_part)
{
    struct pv_gatherer_config gc = {
        .rng = node->rng, .udp_port = node->udp_port, .has_udp6 = cfg->has_udp6};
    struct candidates *c = calloc(1, sizeof(*c));
    (void)now;
    if (c == NULL)
        return PV_ERR_NOMEM;
    memcpy(gc.own_tun, node->tun_name, sizeof(gc.own_tun));
    int r = pv_gatherer_new(&c->gatherer, &gc);
    if (r != PV_OK) {
        free(c);
        return r;
    }
    c->node = node;
    node->gatherer = c->gatherer;
    *ret_part = c;
    return PV_OK;
}

static void unmake(void *part)
{
    struct candidates *c = part;
    c->node->gatherer = pv_gatherer_free(c->gatherer);
    free(c);
}

/* --- the list --------------------------------------------------------------------------------- */

/* The base (RFC 8445 s4) with this address; n_locals: there is none. Ports are not
 * compared: the base has the main socket's, and a standby socket may be in use. */
static size_t base_at(const struct pv_peer_env *env, const struct pv_addr *local)
{
    for (size_t i = 0; i < env->n_locals; i++) {
        if (env->locals[i].type == PV_ICE_HOST && pv_addr_equal_ip(&env->locals[i].addr, local))
            return i;
    }
    return env->n_locals;
}

/* RFC 8445 s5.1.3: the same address twice would only have its pairs checked twice. */
static bool is_listed(const struct pv_peer_env *env, const struct pv_addr *addr)
{
    for (size_t i = 0; i < env->n_locals; i++) {
        if (pv_addr_equal(&env->locals[i].addr, addr))
            return true;
    }
    return false;
}

/* The addresses of ours that peers see stand in for STUN servers while there are none. */
static void add_told(const struct pv_node *n, struct pv_peer_env *env)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(n->told); i++) {
        const struct pv_told *t = &n->told[i];
        size_t base = t->peer == 0 ? env->n_locals : base_at(env, &t->local);
        if (base == env->n_locals || env->n_locals == PV_ICE_MAX_LOCAL ||
            is_listed(env, &t->mapped))
            continue;
        env->locals[env->n_locals++] = (struct pv_ice_cand){
            .type = PV_ICE_SRFLX,
            .addr = t->mapped,
            .priority = pv_ice_priority(PV_ICE_SRFLX, (uint16_t)(TOLD_PREFERENCE - i)),
            .foundation = (uint8_t)(TOLD_FOUNDATION - i),
            .base = (uint8_t)base,
            .carrier = env->locals[base].carrier,
        };
    }
}

/* A relayed address is its own base (RFC 8445 s5.1.1.2). In a full list the least gives way:
 * without a relay some pairs never meet. */
static void add_relayed(struct pv_peer_env *env)
{
    size_t n = env->n_locals;
    for (uint16_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        const struct pv_addr *relayed =
            env->relays[i] == NULL ? NULL : pv_relayway_relayed(env->relays[i]);
        if (relayed == NULL || relayed->family == PV_AF_NONE)
            continue;
        if (n == PV_ICE_MAX_LOCAL)
            n--;
        env->locals[n] = (struct pv_ice_cand){
            .type = PV_ICE_RELAY,
            .addr = *relayed,
            .priority = pv_ice_priority(PV_ICE_RELAY, (uint16_t)(UINT16_MAX - i)),
            .foundation = (uint8_t)(UINT8_MAX - i),
            .base = (uint8_t)n,
            .carrier = {.kind = PV_ICE_CARRIER_CHANNEL, .sock = i, .local = *relayed},
        };
        n++;
    }
    env->n_locals = n;
}

/* The whole list anew, never changed in place: indices of bases in it must agree. */
void pv_candidates_compose(struct pv_node *n, pv_ns now)
{
    struct pv_peer_env *env = pv_peers_env(n->peers);
    env->n_locals = pv_gatherer_candidates(n->gatherer, env->locals);
    add_told(n, env);
    add_relayed(env);
    pv_node_raise(n, PV_FACT_CANDIDATES);
    pv_peers_env_changed(n->peers, true, now);
}

/* Ranges of the overlay never serve as candidates: a path inside the tunnel would carry itself. */
static void exclude_overlay(struct candidates *c, pv_ns now)
{
    const struct pv_node *n = c->node;
    struct pv_prefix own[PV_GATHERER_MAX_EXCLUDE];
    size_t k = 0;
    if (n->roster != NULL) {
        own[k++] = pv_roster_network(n->roster)->range;
        own[k++] = pv_network_ula(pv_roster_network_id(n->roster));
    }
    for (size_t i = 0; i < n->n_own_addrs && k < PV_ARRAY_LEN(own); i++)
        own[k++] = n->own_addrs[i];
    pv_gatherer_set_exclude(c->gatherer, own, k, now);
}

/* --- what happens ----------------------------------------------------------------------------- */

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct candidates *c = part;
    struct pv_node *n = c->node;
    /* An address that is gone takes the coordinator's connection with it, which would otherwise
     * wait for its timeout. */
    if ((facts & PV_FACT_LINKS) != 0 &&
        pv_gatherer_set_links(c->gatherer, n->links, n->n_links, now))
        pv_coordclient_moved(n->coord, now);
    if ((facts & (PV_FACT_INTERFACE | PV_FACT_NETWORK)) != 0)
        exclude_overlay(c, now);
    if ((facts & PV_FACT_SERVERS) != 0)
        pv_gatherer_set_servers(c->gatherer, n->coord_info.servers, n->coord_info.n_servers, now);
    /* When the coordinator is lost, perhaps our own NAT forgot us. */
    if ((facts & (PV_FACT_NAT_DOUBT | PV_FACT_OFFLINE | PV_FACT_LINKS | PV_FACT_RESUMED)) != 0)
        pv_gatherer_refresh(c->gatherer, now);
    if ((facts & PV_FACT_TOLD) != 0)
        pv_candidates_compose(n, now);
}

static void run(void *part, pv_ns now)
{
    struct candidates *c = part;
    /* An address that is still being asked for is one that peers do not know yet, which the agents
     * take into account (pv_ice_set_known()). */
    pv_peers_env(c->node->peers)->gathering = pv_gatherer_is_asking(c->gatherer);
    if (!pv_gatherer_take_changed(c->gatherer))
        return;
    pv_coordclient_remapped(c->node->coord, now); /* a NAT that forgot us forgot it, too */
    pv_node_raise(c->node, PV_FACT_MOVED);
    pv_candidates_compose(c->node, now);
}

static bool handle_stun(void *part, const struct pv_carrier *from, struct pv_view data, pv_ns now)
{
    struct candidates *c = part;
    /* An answer whose transaction id is not ours belongs to another part, or to nobody. */
    if (data.len < PV_STUN_HEADER_LEN ||
        pv_stunroute_owner(c->node->stunroute, data.ptr + PV_STUN_TXID_AT) !=
            PV_STUN_OWNER_GATHERER)
        return false;
    if (from->kind != PV_CARRIER_UDP)
        return true; /* through a relay a server sees the relay, not us */
    if (pv_gatherer_handle_input(c->gatherer, &from->remote, data, now) == PV_OK)
        pv_node_raise(c->node, PV_FACT_HEARD);
    else
        pv_log(c->node->log, PV_LOG_DEBUG, "what=\"STUN answer not taken\"");
    return true;
}

static bool poll_transmit(void *part, struct pv_engine_transmit *ret_tx)
{
    struct candidates *c = part;
    struct pv_gatherer_transmit tx;
    if (pv_gatherer_poll_transmit(c->gatherer, &tx) != PV_OK ||
        !pv_transmit_to(ret_tx, &tx.dst, tx.buf, tx.len))
        return false;
    pv_stunroute_sent(c->node->stunroute, tx.buf + PV_STUN_TXID_AT, PV_STUN_OWNER_GATHERER);
    ret_tx->sock = tx.sock;
    ret_tx->local = tx.local;
    return true;
}

static void handle_timeout(void *part, pv_ns now)
{
    struct candidates *c = part;
    pv_gatherer_handle_timeout(c->gatherer, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct candidates *c = part;
    return pv_gatherer_next_timeout(c->gatherer);
}

/* --- shown ------------------------------------------------------------------------------------ */

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    struct candidates *c = part;
    const struct pv_node *n = c->node;
    struct pv_ice_cand cands[PV_ICE_MAX_LOCAL];
    /* The gatherer's list has neither relayed addresses nor those that only peers told. */
    size_t count = pv_gatherer_candidates(c->gatherer, cands);
    (void)now;
    st->s.public_addrs = st->publics;
    for (size_t i = 0; i < count && st->s.n_public < PV_STATUSPAGE_MAX_PUBLIC; i++) {
        if (cands[i].type == PV_ICE_SRFLX || !pv_addr_is_private(&cands[i].addr))
            st->publics[st->s.n_public++] = cands[i].addr;
    }
    if (n->roster != NULL && n->up && !n->removed && pv_peers_env(n->peers)->n_locals == 0)
        pv_statuspage_problem(
            st, "this machine has no network: ", "no interface has an address: check the link");
}

const struct pv_part pv_part_candidates = {
    .name = "candidates",
    .after = {"relays", "bindings", "attempts"}, /* their sockets' STUN is for nobody else */
    .make = make,
    .free = unmake,
    .on_facts = on_facts,
    .run = run,
    .handle_stun = handle_stun,
    .poll_transmit = poll_transmit,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .status = show,
};
