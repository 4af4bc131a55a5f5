/* SPDX-License-Identifier: MIT */
/* gatherer_part.c - drives the gatherer, and puts all kinds of candidates into one list. */
#include "daemon/core/path/gatherer_part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nat64.h"
#include "daemon/core/coord/coordaddrs.h"
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

#define LOOK_UP_AGAIN PV_S(30)  /* ours: after a name was not found, or a server fell silent */
#define VERDICT       PV_S(5)   /* ours: a request is repeated within */
#define ASK_AGAIN     PV_S(600) /* ours: a server of the configuration that never answered */

/* The server of the configuration in one family: each may be blocked alone. */
struct stun_family {
    uint16_t family;
    bool silent; /* it gave no answer: the coordinator is asked instead */
    bool heard;  /* it has answered since it was silent last */
};

struct gatherer_part {
    struct pv_node *node;
    struct pv_gatherer *gatherer;
    struct pv_stun_server stun; /* of the configuration */
    struct stun_family by[2];   /* IPv4, IPv6 */
    bool asking;                /* a job looks it up */
    bool asking_nat64;          /* a job looks for the prefix */
    uint64_t nat64_round;       /* of looking for it: the network of an older one may be another */
    pv_ns retry_at;             /* it is looked up again; PV_NEVER: need not be */
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct gatherer_part *c = part;
    struct pv_gatherer_config gc = {
        .rng = c->node->rng, .udp_port = c->node->given.udp_port, .has_udp6 = cfg->has_udp6};
    memcpy(gc.own_tun, c->node->given.tun_name, sizeof(gc.own_tun));
    int r = pv_gatherer_new(&c->gatherer, &gc);
    if (r != PV_OK)
        return r;
    c->stun = cfg->stun;
    c->by[0].family = PV_AF_INET;
    c->by[1].family = PV_AF_INET6;
    c->retry_at = PV_NEVER;
    c->node->ways.has_stun = cfg->stun.host[0] != '\0';
    c->node->ways.gatherer = c->gatherer;
    return PV_OK;
}

static void unmake(void *part)
{
    struct gatherer_part *c = part;
    c->node->ways.gatherer = pv_gatherer_free(c->gatherer);
}

/* --- the list --------------------------------------------------------------------------------- */

/* The base (RFC 8445 s4) with this address; n_locals: there is none. Ports are not
 * compared: the base has the main socket's, and a standby socket may be in use. */
static size_t base_at(const struct pv_node *n, const struct pv_addr *local)
{
    for (size_t i = 0; i < n->ways.n_locals; i++) {
        if (n->ways.locals[i].type == PV_ICE_HOST &&
            pv_addr_equal_ip(&n->ways.locals[i].addr, local))
            return i;
    }
    return n->ways.n_locals;
}

/* RFC 8445 s5.1.3: the same address twice would only have its pairs checked twice. */
static bool is_listed(const struct pv_node *n, const struct pv_addr *addr)
{
    for (size_t i = 0; i < n->ways.n_locals; i++) {
        if (pv_addr_equal(&n->ways.locals[i].addr, addr))
            return true;
    }
    return false;
}

/* The addresses of ours that peers see stand in for STUN servers while there are none. */
static void add_told(struct pv_node *n)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(n->ways.told); i++) {
        const struct pv_told *t = &n->ways.told[i];
        size_t base = t->peer == 0 ? n->ways.n_locals : base_at(n, &t->local);
        if (base == n->ways.n_locals || n->ways.n_locals == PV_ICE_MAX_LOCAL ||
            is_listed(n, &t->mapped))
            continue;
        n->ways.locals[n->ways.n_locals++] = (struct pv_ice_cand){
            .type = PV_ICE_SRFLX,
            .addr = t->mapped,
            .priority = pv_ice_priority(PV_ICE_SRFLX, (uint16_t)(TOLD_PREFERENCE - i)),
            .foundation = (uint8_t)(TOLD_FOUNDATION - i),
            .base = (uint8_t)base,
            .carrier = n->ways.locals[base].carrier,
        };
    }
}

/* A relayed address is its own base (RFC 8445 s5.1.1.2). In a full list the least gives way:
 * without a relay some pairs never meet. */
static void add_relayed(struct pv_node *n)
{
    size_t k = n->ways.n_locals;
    for (uint16_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        const struct pv_addr *relayed =
            n->ways.relays[i] == NULL ? NULL : pv_relayway_relayed(n->ways.relays[i]);
        if (relayed == NULL || relayed->family == PV_AF_NONE)
            continue;
        if (k == PV_ICE_MAX_LOCAL)
            k--;
        n->ways.locals[k] = (struct pv_ice_cand){
            .type = PV_ICE_RELAY,
            .addr = *relayed,
            .priority = pv_ice_priority(PV_ICE_RELAY, (uint16_t)(UINT16_MAX - i)),
            .foundation = (uint8_t)(UINT8_MAX - i),
            .base = (uint8_t)k,
            .carrier = {.kind = PV_ICE_CARRIER_CHANNEL, .sock = i, .local = *relayed},
        };
        k++;
    }
    n->ways.n_locals = k;
}

/* The whole list anew, never changed in place: indices of bases in it must agree. */
void pv_candidates_compose(struct pv_node *n, pv_ns now)
{
    n->ways.n_locals = pv_gatherer_candidates(n->ways.gatherer, n->ways.locals);
    add_told(n);
    add_relayed(n);
    pv_node_raise(n, PV_FACT_CANDIDATES);
    pv_peers_node_changed(n->peers, true, now);
}

/* Ranges of the overlay never serve as candidates: a path inside the tunnel would carry itself. */
static void exclude_overlay(struct gatherer_part *c, pv_ns now)
{
    const struct pv_node *n = c->node;
    struct pv_prefix own[PV_GATHERER_MAX_EXCLUDE];
    size_t k = 0;
    if (n->roster != NULL) {
        own[k++] = pv_roster_network(n->roster)->range;
        own[k++] = pv_network_ula(pv_roster_network_id(n->roster));
    }
    for (size_t i = 0; i < n->given.n_own_addrs && k < PV_ARRAY_LEN(own); i++)
        own[k++] = n->given.own_addrs[i];
    pv_gatherer_set_exclude(c->gatherer, own, k, now);
}

/* --- servers ---------------------------------------------------------------------------------- */

/* Where a NAT64 leads to IPv4, its address there is what peers with IPv4 have to know, so servers
 * with IPv4 go before: what one with IPv6 sees is the host's own address. */
static size_t add_servers(const struct pv_node *n, uint16_t family, const struct pv_addr *servers,
                          size_t count, struct pv_addr *ret)
{
    size_t k = 0;
    for (size_t i = 0; i < count; i++) {
        if (servers[i].family == family)
            ret[k++] = pv_nat64_make(&n->ways.nat64, &servers[i]);
    }
    return k;
}

/* The first of each family is asked. A coordinator in this node's own LAN sees no address that
 * others could use, so a server that the user named goes before. */
static void set_servers(struct gatherer_part *c, pv_ns now)
{
    static const uint16_t families[] = {PV_AF_INET, PV_AF_INET6};
    const struct pv_node *n = c->node;
    const struct pv_coord_info *info = &n->coord_info;
    struct pv_addr all[PV_NODE_STUN + PV_CTL_ADDRS_MAX];
    size_t k = 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(families); i++) {
        k += add_servers(n, families[i], n->ways.stun, n->ways.n_stun, all + k);
        k += add_servers(n, families[i], info->servers, info->n_servers, all + k);
    }
    pv_gatherer_set_servers(c->gatherer, all, k, now);
}

/* --- the way to IPv4 without having it -------------------------------------------------------- */

static const struct pv_prefix nowhere = {.bits = 0};

static void set_nat64(struct gatherer_part *c, const struct pv_prefix *prefix, pv_ns now)
{
    struct pv_node *n = c->node;
    char text[PV_ADDR_TEXT];
    if (pv_addr_equal_ip(&prefix->base, &n->ways.nat64.base) && prefix->bits == n->ways.nat64.bits)
        return;
    n->ways.nat64 = *prefix;
    pv_log(n->log, PV_LOG_INFO, "what=\"NAT64\" prefix=%s", pv_prefix_format(prefix, text));
    set_servers(c, now);
    pv_candidates_compose(n, now);
}

static void look_for_nat64(struct gatherer_part *c, pv_ns now);

static void take_nat64(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct gatherer_part *c = wait->self;
    struct pv_prefix prefix;
    c->asking_nat64 = false;
    if (wait->tag != c->nat64_round) {
        look_for_nat64(c, now);
        return;
    }
    for (size_t i = 0; i < result->n_addrs; i++) {
        if (pv_nat64_find(&result->addrs[i], &prefix)) {
            set_nat64(c, &prefix, now);
            return;
        }
    }
    if (result->status == PV_OK)
        set_nat64(c, &nowhere, now);
}

/* A network that translates shows its prefix by what its DNS makes of a name that has addresses of
 * IPv4 alone (RFC 7050). */
static void look_for_nat64(struct gatherer_part *c, pv_ns now)
{
    c->nat64_round++;
    if (pv_node_has_ipv4(c->node))
        set_nat64(c, &nowhere, now);
    else if (!c->asking_nat64 && c->node->host.n_links > 0)
        c->asking_nat64 =
            pv_coordaddrs_resolve(c->node, PV_NAT64_NAME, 0, take_nat64, c, c->nat64_round);
}

static void take_stun(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct gatherer_part *c = wait->self;
    struct pv_node *n = c->node;
    c->asking = c->by[0].silent = c->by[1].silent = false;
    n->ways.n_stun = 0;
    for (size_t i = 0; i < result->n_addrs && n->ways.n_stun < PV_NODE_STUN; i++)
        n->ways.stun[n->ways.n_stun++] = result->addrs[i];
    if (n->ways.n_stun == 0)
        c->retry_at = now + LOOK_UP_AGAIN;
    set_servers(c, now);
    pv_gatherer_refresh(c->gatherer, now);
}

static void look_up(struct gatherer_part *c, pv_ns now)
{
    c->retry_at = PV_NEVER;
    if (!c->node->ways.has_stun || !c->node->online || c->asking)
        return;
    c->asking = pv_coordaddrs_resolve(c->node, c->stun.host, c->stun.port, take_stun, c, 0);
    if (!c->asking)
        c->retry_at = now + LOOK_UP_AGAIN;
}

/* When the server counts as silent in this family, if no answer comes. Not while this node is not
 * online: there is nobody to ask instead, and the server is looked up again afterwards. */
static pv_ns verdict_at(const struct gatherer_part *c, const struct stun_family *f)
{
    const struct pv_node *n = c->node;
    pv_ns since = pv_gatherer_unanswered(c->gatherer, f->family);
    for (size_t i = 0; i < n->ways.n_stun && n->online && since != PV_NEVER; i++) {
        if (n->ways.stun[i].family == f->family)
            return since + VERDICT;
    }
    return PV_NEVER;
}

/* This node would know no address of its own. One that has answered may have moved, or its way was
 * gone for a moment. */
static void give_up_silent(struct gatherer_part *c, struct stun_family *f, pv_ns now)
{
    struct pv_node *n = c->node;
    size_t kept = 0;
    for (size_t i = 0; i < n->ways.n_stun; i++) {
        if (n->ways.stun[i].family != f->family)
            n->ways.stun[kept++] = n->ways.stun[i];
    }
    n->ways.n_stun = kept;
    c->retry_at = pv_min_ns(c->retry_at, now + (f->heard ? LOOK_UP_AGAIN : ASK_AGAIN));
    f->silent = true;
    f->heard = false;
    set_servers(c, now);
}

/* Machines without a way out by IPv6 are many: that alone is no problem. */
static bool is_silent(const struct gatherer_part *c)
{
    return c->by[0].silent || (c->by[1].silent && !c->by[0].heard);
}

bool pv_candidates_are_unseen(const struct pv_node *n)
{
    bool seen_inside = pv_addr_is_private(&n->coord_info.addr);
    for (size_t i = 0; i < n->ways.n_locals; i++) {
        const struct pv_ice_cand *c = &n->ways.locals[i];
        if (c->type != PV_ICE_RELAY && !pv_addr_is_private(&c->addr))
            return false;
        seen_inside = seen_inside || c->type == PV_ICE_SRFLX;
    }
    return n->online && !n->ways.udp_blocked && n->ways.n_locals > 0 && seen_inside;
}

/* --- what happens ----------------------------------------------------------------------------- */

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct gatherer_part *c = part;
    struct pv_node *n = c->node;
    /* An address that is gone takes the coordinator's connection with it, which would otherwise
     * wait for its timeout. */
    if ((facts & PV_FACT_LINKS) != 0 &&
        pv_gatherer_set_links(c->gatherer, n->host.links, n->host.n_links, now))
        pv_coordclient_moved(n->coord, now);
    if ((facts & (PV_FACT_INTERFACE | PV_FACT_NETWORK)) != 0)
        exclude_overlay(c, now);
    if ((facts & PV_FACT_SERVERS) != 0)
        set_servers(c, now);
    if ((facts & (PV_FACT_ONLINE | PV_FACT_LINKS | PV_FACT_RESUMED)) != 0) {
        look_for_nat64(c, now);
        look_up(c, now);
    }
    /* When the coordinator is lost, perhaps our own NAT forgot us. */
    if ((facts & (PV_FACT_NAT_DOUBT | PV_FACT_OFFLINE | PV_FACT_LINKS | PV_FACT_RESUMED)) != 0)
        pv_gatherer_refresh(c->gatherer, now);
    if ((facts & PV_FACT_TOLD) != 0)
        pv_candidates_compose(n, now);
}

static void run(void *part, pv_ns now)
{
    struct gatherer_part *c = part;
    /* An address that is still being asked for is one that peers do not know yet, which the agents
     * take into account (pv_ice_set_known()). */
    c->node->ways.gathering = pv_gatherer_is_asking(c->gatherer);
    if (!pv_gatherer_take_changed(c->gatherer))
        return;
    pv_coordclient_remapped(c->node->coord, now); /* a NAT that forgot us forgot it, too */
    pv_node_raise(c->node, PV_FACT_MOVED);
    pv_candidates_compose(c->node, now);
}

static bool handle_stun(void *part, const struct pv_carrier *from, struct pv_view data, pv_ns now)
{
    struct gatherer_part *c = part;
    /* An answer whose transaction id is not ours belongs to another part, or to nobody. */
    if (data.len < PV_STUN_HEADER_LEN ||
        pv_stunroute_owner(c->node->ways.stunroute, data.ptr + PV_STUN_TXID_AT) !=
            PV_STUN_OWNER_GATHERER)
        return false;
    if (from->kind != PV_CARRIER_UDP)
        return true; /* through a relay a server sees the relay, not us */
    if (pv_gatherer_handle_input(c->gatherer, &from->remote, data, now) == PV_OK) {
        for (size_t i = 0; i < c->node->ways.n_stun; i++)
            if (pv_addr_equal(&c->node->ways.stun[i], &from->remote))
                c->by[from->remote.family == PV_AF_INET6].heard = true;
        pv_node_raise(c->node, PV_FACT_HEARD);
    } else {
        pv_log(c->node->log, PV_LOG_DEBUG, "what=\"STUN answer not taken\"");
    }
    return true;
}

static bool poll_transmit(void *part, struct pv_engine_transmit *ret_tx)
{
    struct gatherer_part *c = part;
    struct pv_gatherer_transmit tx;
    if (pv_gatherer_poll_transmit(c->gatherer, &tx) != PV_OK ||
        !pv_transmit_to(ret_tx, &tx.dst, tx.buf, tx.len))
        return false;
    pv_stunroute_sent(c->node->ways.stunroute, tx.buf + PV_STUN_TXID_AT, PV_STUN_OWNER_GATHERER);
    ret_tx->sock = tx.sock;
    ret_tx->local = tx.local;
    return true;
}

static void handle_timeout(void *part, pv_ns now)
{
    struct gatherer_part *c = part;
    pv_gatherer_handle_timeout(c->gatherer, now);
    if (now >= c->retry_at)
        look_up(c, now);
    for (size_t i = 0; i < PV_ARRAY_LEN(c->by); i++) {
        if (now >= verdict_at(c, &c->by[i]))
            give_up_silent(c, &c->by[i], now);
    }
}

static pv_ns next_timeout(const void *part)
{
    const struct gatherer_part *c = part;
    pv_ns verdict = pv_min_ns(verdict_at(c, &c->by[0]), verdict_at(c, &c->by[1]));
    return pv_min_ns(pv_gatherer_next_timeout(c->gatherer), pv_min_ns(c->retry_at, verdict));
}

/* --- shown ------------------------------------------------------------------------------------ */

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    struct gatherer_part *c = part;
    const struct pv_node *n = c->node;
    struct pv_ice_cand cands[PV_ICE_MAX_LOCAL];
    char what[160];
    /* The gatherer's list has neither relayed addresses nor those that only peers told. */
    size_t count = pv_gatherer_candidates(c->gatherer, cands);
    st->s.public_addrs = st->publics;
    for (size_t i = 0; i < count && st->s.n_public < PV_STATUSPAGE_MAX_PUBLIC; i++) {
        if (cands[i].type == PV_ICE_SRFLX || !pv_addr_is_private(&cands[i].addr))
            st->publics[st->s.n_public++] = cands[i].addr;
    }
    st->s.unseen = pv_candidates_are_unseen(n);
    snprintf(what, sizeof(what), "the STUN server %.100s of [traversal] stun ", c->stun.host);
    if (n->ways.has_stun && n->online && !c->asking && (n->ways.n_stun == 0 || is_silent(c)))
        pv_statuspage_problem(st, what,
                              c->by[0].silent || c->by[1].silent
                                  ? "does not answer: name another, or none"
                                  : "is not found: correct the name, or leave it out");
    if (n->roster != NULL && n->up && !n->removed && n->ways.n_locals == 0)
        pv_statuspage_problem(
            st, "this machine has no network: ", "no interface has an address: check the link");
}

const struct pv_part pv_part_gatherer = {
    .name = "gatherer",
    .after = {"relays", "bindings", "hardnat"}, /* their sockets' STUN is for nobody else */
    .size = PV_PART_SIZE(struct gatherer_part),
    .start = start,
    .free = unmake,
    .on_facts = on_facts,
    .run = run,
    .handle_stun = handle_stun,
    .poll_transmit = poll_transmit,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .status = show,
};
