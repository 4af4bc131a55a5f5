/* SPDX-License-Identifier: MIT */
/* bindings.c - when the lifetime of bindings is measured, and what is refreshed by it. */
#include "daemon/core/path/bindings.h"

#include <stdlib.h>

#include "daemon/core/nat/hardnat.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/path/gatherer.h"
#include "daemon/core/peer/peers.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/stun/natlife.h"

#define START_AFTER PV_S(60)  /* ours: who is here for a moment only asks nothing */
#define AGAIN_AFTER PV_S(600) /* ours: no sockets, or the coordinator was away */

struct bindings {
    struct pv_node *node;
    struct pv_natlife nat;
    struct pv_addr inside, outside; /* our address and the NAT's, without port: this network */
    pv_ns start_at;                 /* of the measurement; PV_NEVER */
    bool sockets;                   /* its sockets were asked for */
    unsigned n_open;                /* how many of them are open */
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct bindings *b = part;
    b->start_at = PV_NEVER;
    return PV_OK;
}

pv_ns pv_bindings_end(const struct pv_node *n)
{
    const struct bindings *b = pv_node_part(n, &pv_part_bindings);
    return pv_natlife_result(&b->nat)->absolute;
}

/* --- sockets ---------------------------------------------------------------------------------- */

/* Sockets of their own: the measurement needs bindings that stay silent, which those in use never
 * do. */
static void open_sockets(struct bindings *b)
{
    b->sockets = true;
    b->n_open = 0;
    for (unsigned i = 0; i < PV_NATLIFE_SOCKETS; i++)
        pv_hardnat_ask(&b->node->ways.sock_ops, PV_HARDNAT_OPEN, (uint16_t)(PV_BINDINGS_SOCK + i),
                       0);
}

static void close_sockets(struct bindings *b)
{
    if (!b->sockets)
        return;
    b->sockets = false;
    for (unsigned i = 0; i < PV_NATLIFE_SOCKETS; i++)
        pv_hardnat_ask(&b->node->ways.sock_ops, PV_HARDNAT_CLOSE, (uint16_t)(PV_BINDINGS_SOCK + i),
                       0);
}

/* Only IPv4 is measured: the standby socket, for which the age counts, is of IPv4, too. A node
 * whose user names another STUN server may have a coordinator on this side of the NAT, and a
 * foreign one sends no answers to other ports: nothing is measured there. */
static const struct pv_addr *server_of(const struct pv_node *n)
{
    for (size_t i = 0; !n->ways.has_stun && i < n->coord_info.n_servers; i++) {
        if (n->coord_info.servers[i].family == PV_AF_INET)
            return &n->coord_info.servers[i];
    }
    return NULL;
}

static void sock_opened(void *part, uint16_t sock, uint16_t port, pv_ns now)
{
    struct bindings *b = part;
    const struct pv_addr *server = server_of(b->node);
    if (sock < PV_BINDINGS_SOCK || sock >= PV_STANDBY_SOCK)
        return;
    if (!b->sockets)
        return; /* closed again before the answer came */
    if (port == 0 || server == NULL) {
        /* All sockets or none: the measurement compares bindings that were made at the same time.
         */
        close_sockets(b);
        b->start_at = now + AGAIN_AFTER;
    } else if (++b->n_open == PV_NATLIFE_SOCKETS) {
        pv_natlife_start(&b->nat, server, &b->node->rng, now);
    }
}

/* --- this network ----------------------------------------------------------------------------- */

/* The measured life holds for every binding that this node makes. Agents and gatherer get the value
 * themselves: what keeps a binding open must know it, and nobody may refresh by an older one. */
static void apply(struct bindings *b, pv_ns now)
{
    struct pv_peers *ps = b->node->peers;
    struct pv_node *n = b->node;
    pv_ns lifetime = pv_natlife_interval(pv_natlife_result(&b->nat), PV_GATHERER_REFRESH);
    if (lifetime == n->ways.binding_lifetime)
        return;
    n->ways.binding_lifetime = lifetime;
    pv_gatherer_lifetime_changed(n->ways.gatherer, now);
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(ps, p)) != NULL;) {
        if (pv_peer_agent(p) == NULL)
            continue;
        pv_ice_set_lifetime(pv_peer_agent(p), lifetime, now);
        pv_peers_touch(ps, p, now);
    }
}

/* The measurement may have come to its end. */
static void take_result(struct bindings *b, pv_ns now)
{
    const struct pv_natlife_result *r = pv_natlife_result(&b->nat);
    if (!b->sockets || b->n_open < PV_NATLIFE_SOCKETS || pv_natlife_is_running(&b->nat))
        return;
    close_sockets(b);
    apply(b, now);
    pv_log(b->node->log, PV_LOG_INFO, "what=\"NAT measured\" known=%d idle_s=%u absolute_s=%u",
           r->known, (unsigned)(r->idle_min / PV_S(1)), (unsigned)(r->absolute / PV_S(1)));
}

/* The measured life is void. A value from another NAT may be too long for the present NAT, so until
 * it is measured the default holds. */
static void begin_anew(struct bindings *b, pv_ns now)
{
    close_sockets(b);
    b->nat = (struct pv_natlife){.running = false};
    b->start_at = now + START_AFTER;
    apply(b, now);
}

/* Behind another NAT, or with another address inside, what was measured is void. The reflexive
 * address is the sign of the NAT. Its port is left out, since it changes with every new binding. */
static void look_at_network(struct bindings *b, pv_ns now)
{
    const struct pv_node *n = b->node;
    struct pv_addr inside = {.family = PV_AF_NONE}, outside = inside;
    for (size_t i = 0; i < n->ways.n_locals; i++) {
        const struct pv_ice_cand *c = &n->ways.locals[i];
        if (c->addr.family != PV_AF_INET || c->type != PV_ICE_SRFLX)
            continue;
        inside = c->carrier.local;
        outside = c->addr;
        break;
    }
    if (outside.family == PV_AF_NONE) /* no NAT, or one that does not show itself now */
        return;
    if (pv_addr_equal_ip(&inside, &b->inside) && pv_addr_equal_ip(&outside, &b->outside))
        return;
    b->inside = inside;
    b->outside = outside;
    begin_anew(b, now);
}

/* A measurement that slept knows no silence: each was as long as the sleep, and a short one would
 * seem to have ended its binding. */
static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct bindings *b = part;
    if ((facts & PV_FACT_RESUMED) != 0 && b->sockets)
        begin_anew(b, now);
    if ((facts & PV_FACT_CANDIDATES) != 0)
        look_at_network(b, now);
}

/* --- time, datagrams -------------------------------------------------------------------------- */

static void handle_timeout(void *part, pv_ns now)
{
    struct bindings *b = part;
    const struct pv_node *n = b->node;
    if (now >= b->start_at) {
        /* The coordinator's STUN server answers the questions, so without it there is nothing to
         * measure with. */
        bool able = n->up && n->online && server_of(n) != NULL;
        b->start_at = able ? PV_NEVER : now + AGAIN_AFTER;
        if (able)
            open_sockets(b);
    }
    pv_natlife_handle_timeout(&b->nat, now);
    take_result(b, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct bindings *b = part;
    return pv_min_ns(b->start_at, pv_natlife_next_timeout(&b->nat));
}

/* All that comes to these sockets ends here, also what the measurement has no use for: no path is
 * on them. */
static bool handle_stun(void *part, const struct pv_carrier *from, struct pv_view data, pv_ns now)
{
    struct bindings *b = part;
    if (from->sock < PV_BINDINGS_SOCK || from->sock >= PV_STANDBY_SOCK)
        return false;
    if (pv_natlife_handle_input(&b->nat, from->sock - PV_BINDINGS_SOCK, &from->remote, data, now) !=
        PV_OK)
        pv_log(b->node->log, PV_LOG_DEBUG, "what=\"datagram on a measuring socket not taken\"");
    take_result(b, now);
    return true;
}

static bool poll_transmit(void *part, struct pv_engine_transmit *ret_tx)
{
    struct bindings *b = part;
    unsigned sock;
    size_t len;
    if (pv_natlife_poll_transmit(&b->nat, ret_tx->buf, &len, &sock) != PV_OK ||
        !pv_transmit_to(ret_tx, &b->nat.server, NULL, 0))
        return false;
    ret_tx->len = len; /* the bytes are there already */
    ret_tx->sock = (uint16_t)(PV_BINDINGS_SOCK + sock);
    /* From the address whose NAT is measured: a machine may have several networks. */
    ret_tx->local = b->inside;
    return true;
}

/* --- shown ------------------------------------------------------------------------------------ */

/* -1 is how the answer says that something is not known. */
static double seconds(pv_ns t)
{
    return t == 0 || t == PV_NEVER ? -1 : (double)t / 1e9;
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct bindings *b = part;
    const struct pv_natlife_result *r = pv_natlife_result(&b->nat);
    pv_statuspage_put(
        st, PV_STATUS_NAT_BINDING,
        pv_ctlapi_pack("{s:b, s:o, s:o, s:o, s:f}", "measuring", pv_natlife_is_running(&b->nat),
                       "idle_s", pv_ctlapi_real(r->known ? (double)r->idle_min / 1e9 : -1),
                       "idle_max_s", pv_ctlapi_real(r->known ? seconds(r->idle_max) : -1),
                       "absolute_s", pv_ctlapi_real(seconds(r->absolute)), "refresh_s",
                       (double)b->node->ways.binding_lifetime / 1e9));
}

const struct pv_part pv_part_bindings = {
    .name = "bindings",
    .size = PV_PART_SIZE(struct bindings),
    .start = start,
    .on_facts = on_facts,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .handle_stun = handle_stun,
    .poll_transmit = poll_transmit,
    .sock_opened = sock_opened,
    .status = show,
};
