/* SPDX-License-Identifier: MIT */
/*
 * relays.c - starts and stops the ways to relays, keeps a channel for each peer in use, and tells
 * the packet threads, the candidates and the peers what changed.
 */
#include "daemon/core/path/relays.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "crypto/ct.h"
#include "daemon/core/nat/udpwatch.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/path/gatherer.h"
#include "daemon/core/peer/peers.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/stun/nat64.h"

enum {
    MEMBERS = 0, /* number of the coordinator's relay, where peers have virtual addresses */
};

struct pv_relays {
    struct pv_node *node;
    struct pv_relayway **ways; /* node.ways.relays, by number; NULL: not configured */
    struct pv_turnservers servers;
    struct pv_turnc_config offer;        /* of the last welcome, when there is one */
    bool has_offer;                      /* and it is not used up */
    uint8_t channels_of[PV_SIGN_PK_LEN]; /* the coordinator whose addresses channels are bound to */
    struct pv_addr mapped;               /* our address as the coordinator's relay sees it by UDP */
    struct pv_udpwatch udp;
};

/* For each relay that is configured: via is its number. */
#define EACH_WAY(r, via)                                  \
    for (uint16_t via = 0; via < PV_FP_MAX_RELAYS; via++) \
        if ((r)->ways[via] != NULL)

/* An offer is a user name and a password; both are wiped with it. */
static void forget_offer(struct pv_relays *r)
{
    pv_wipe(&r->offer, sizeof(r->offer));
    r->has_offer = false;
}

static void unmake(void *part)
{
    struct pv_relays *r = part;
    forget_offer(r);
    EACH_WAY(r, via)
    r->ways[via] = pv_relayway_free(r->ways[via]);
    pv_wipe(r->servers.password, sizeof(r->servers.password));
}

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct pv_relays *r = part;
    /* The ways stand where peers look them up: a path names its relay by the number. */
    r->ways = r->node->ways.relays;
    int status = pv_relayway_new(&r->ways[MEMBERS], MEMBERS, &r->node->rng);
    if (status == PV_OK)
        status = pv_turnservers_init(&r->servers, r->node, cfg, r->ways);
    return status;
}

static struct pv_relays *of(const struct pv_node *n)
{
    return pv_node_part(n, &pv_part_relays);
}

const char *pv_relays_name(const struct pv_node *n, uint16_t via,
                           char buf[static PV_TURNSERVERS_NAME])
{
    return pv_turnservers_name(&of(n)->servers, via, buf);
}

const struct pv_udpwatch *pv_relays_udpwatch(const struct pv_node *n)
{
    return &of(n)->udp;
}

/* Returns true if relays may be used. They serve a member that is up: the coordinator gives
 * credentials to members only, and a node that is down sends nothing. */
static bool is_up(const struct pv_node *n)
{
    return n->up && pv_node_self(n) != NULL;
}

/* --- channels --------------------------------------------------------------------------------- */

/* Comes last: the peer then looks at its path again and finds no channel. */
static void drop_channel(struct pv_relays *r, struct pv_peer *p, pv_ns now)
{
    const struct pv_addr *addr = pv_peer_channel(p);
    if (addr->family == PV_AF_NONE)
        return;
    pv_relayway_unbind(r->ways[MEMBERS], addr, now);
    pv_peer_set_channel(p, NULL);
    pv_peer_relay_changed(p, now);
}

static void drop_channels(struct pv_relays *r, pv_ns now)
{
    struct pv_peers *ps = r->node->peers;
    for (struct pv_peer *p = NULL; (p = pv_peers_next(ps, p)) != NULL;)
        drop_channel(r, p, now);
}

/* A channel to addr. The packet threads know of it before the server does, so that nothing which
 * comes in it is lost. */
static int bind_channel(struct pv_relays *r, uint16_t via, const struct pv_addr *addr, pv_ns now)
{
    struct pv_relayway *way = r->ways[via];
    int status = pv_relayway_bind(way, addr, now);
    if (status == PV_OK)
        status = pv_fp_builder_set_channel(r->node->fp, via, pv_relayway_number(way, addr), addr);
    /* Both or none: a channel that the packet threads do not know would swallow data. */
    if (status != PV_OK)
        pv_relayway_unbind(way, addr, now);
    return status;
}

/* A static peer beyond the phone port has one to where it was heard last, for as long as it is
 * there: an app that is asleep is written to as well. */
static void settle_phone(struct pv_relays *r, struct pv_peer *p, pv_ns now)
{
    const struct pv_addr at = *pv_peer_beyond_phone_port(p);
    const struct pv_addr *bound = pv_peer_channel(p);
    if (bound->family != PV_AF_NONE && !pv_addr_equal(bound, &at))
        drop_channel(r, p, now);
    if (at.family != PV_AF_NONE && bound->family == PV_AF_NONE &&
        bind_channel(r, MEMBERS, &at, now) == PV_OK)
        pv_peer_set_channel(p, &at);
}

/* A peer has a channel while it is in use. Without room for one it is asked again whenever
 * something happens to the peer. The channel is bound when the attempt
 * begins, so that the relayed path is there when no direct one is found. */
static void settle_channel(struct pv_relays *r, struct pv_peer *p, pv_ns now)
{
    enum pv_peer_state state = pv_peer_state(p);
    bool bound = pv_peer_channel(p)->family != PV_AF_NONE;
    if (!pv_relayway_is_on(r->ways[MEMBERS]))
        return;
    if (pv_peer_is_static(p)) {
        settle_phone(r, p, now);
        return;
    }
    if (bound && state == PV_PEER_IDLE)
        drop_channel(r, p, now);
    if (bound || (state != PV_PEER_REACHING && state != PV_PEER_UP))
        return;
    struct pv_addr addr = pv_turn_virtual_addr(r->node->coord_info.pk, pv_peer_pk(p));
    if (bind_channel(r, MEMBERS, &addr, now) == PV_OK)
        pv_peer_set_channel(p, &addr);
}

static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    (void)facts; /* whatever happened: is it in use? */
    settle_channel(part, p, now);
}

static void on_peer_gone(void *part, struct pv_peer *p, pv_ns now)
{
    drop_channel(part, p, now);
}

/* --- the coordinator's relay ------------------------------------------------------------------ */

static void set_text(char *dst, size_t cap, const char *text)
{
    size_t len = strnlen(text, cap - 1);
    memcpy(dst, text, len);
    dst[len] = '\0';
}

/* The server that is the coordinator we talk to, else one of its family, else the first. The
 * address that the control channel uses is proven, the others are only told. None while it is not
 * known by which address this host, without IPv4, reaches the one with IPv4: a nonce is good for
 * one of them. */
static struct pv_addr choose_server(const struct pv_node *n)
{
    const struct pv_coord_info *info = &n->coord_info;
    struct pv_addr best = {.family = PV_AF_NONE};
    unsigned best_rank = 0;
    for (size_t i = 0; i < info->n_servers; i++) {
        const struct pv_addr at = pv_nat64_make(&n->ways.nat64, &info->servers[i]);
        unsigned rank = pv_addr_equal_ip(&at, &info->addr)             ? 3
                        : info->servers[i].family == info->addr.family ? 2
                                                                       : 1;
        if (rank <= best_rank)
            continue;
        best = at;
        best_rank = rank;
    }
    if (best.family == PV_AF_INET && n->ways.asking_nat64)
        best.family = PV_AF_NONE;
    return best;
}

/* Another family tells nothing: it may have a name for one of them alone. */
const char *pv_relays_udp(const struct pv_node *n, char buf[static PV_RELAYS_UDP])
{
    const struct pv_addr server = choose_server(n), *used = &n->coord_info.addr;
    if (server.family == PV_AF_NONE)
        snprintf(buf, PV_RELAYS_UDP, "its port");
    else if (server.family != used->family || pv_addr_equal_ip(&server, used))
        snprintf(buf, PV_RELAYS_UDP, "%s", PV_ADDR_STR(&server));
    else
        snprintf(buf, PV_RELAYS_UDP, "%s (or its `public` is wrong: it is reached at %s)",
                 PV_ADDR_STR(&server), PV_IP_STR(used));
    return buf;
}

/* Every port of the coordinator speaks TURN too: where the control channel gets through, the relay
 * does. A pinned key holds here as well, since it is the same server and the same certificate. */
static struct pv_relaystream_to stream_target(const struct pv_coord_info *info)
{
    struct pv_relaystream_to to = {.addr = info->addr};
    _Static_assert((int)PV_RELAYSTREAM_TO_BUF == (int)PV_CONNECT_AT_BUF, "a place is not cut");
    if (info->via.family != PV_AF_NONE) {
        to.via = info->via;
        memcpy(to.to, info->proxy_to, sizeof(to.to));
    } else if (info->addr.family == PV_AF_NONE) {
        return to;
    }
    to.tls = info->tls;
    to.pinned = to.tls && info->has_pin;
    memcpy(to.pin, info->pin, sizeof(to.pin));
    return to;
}

/* Called often, before and behind all events: without a change the builder makes no snapshot. */
static void tell_fast_path(struct pv_relays *r, uint16_t via)
{
    const struct pv_fp_relay_way way = pv_relayway_fp_way(r->ways[via]);
    bool on = pv_relayway_is_on(r->ways[via]);
    if (pv_fp_builder_set_relay(r->node->fp, via, on ? &way : NULL) != PV_OK)
        pv_log(r->node->log, PV_LOG_WARN,
               "what=\"relay not changed in the fast path: out of memory\"");
}

/* Behind a proxy this node may know no address of its coordinator: the name is the proxy's to look
 * up. The relay is reached by its stream then, and stands under the address that means none
 * (RFC 7600 s4.5). */
static bool is_only_named(const struct pv_node *n)
{
    const struct pv_coord_info *info = &n->coord_info;
    return info->via.family != PV_AF_NONE && info->n_servers == 0 && info->n_asking == 0;
}

/* The offer is used as soon as a server's address is known. At another server every channel is
 * void, also where only its key is another: peers have other addresses there. Each comes back when
 * its peer is touched, to packet threads that know the new server by then: with the old one they
 * would forget it again. Where the old one relays on, channels keep their numbers at both, and
 * paths lead through the old one for a moment. */
static void start_members(struct pv_relays *r, pv_ns now)
{
    struct pv_node *n = r->node;
    struct pv_relayway *way = r->ways[MEMBERS];
    const bool named = is_only_named(n);
    const struct pv_addr server = named ? pv_addr4(192, 0, 0, 8, 3478) : choose_server(n);
    if (server.family == PV_AF_NONE || !is_up(n))
        return;
    /* Also without an offer: the watch needs a server to ask, not a relay. */
    if (!named)
        pv_udpwatch_start(&r->udp, now);
    if (!r->has_offer)
        return;
    bool held = n->coord_info.handed_over && pv_relayway_can_hold(way);
    bool same_key = memcmp(r->channels_of, n->coord_info.pk, sizeof(r->channels_of)) == 0;
    if (!held && !(same_key && pv_addr_equal(pv_relayway_server(way), &server)))
        drop_channels(r, now);
    memcpy(r->channels_of, n->coord_info.pk, sizeof(r->channels_of));
    struct pv_relayway_config cfg = {
        .turn = r->offer, .udp = !named, .to = stream_target(&n->coord_info), .held = held};
    cfg.turn.server = server;
    int status = pv_relayway_start(way, &cfg, now);
    pv_wipe(&cfg, sizeof(cfg));
    if (status != PV_OK) {
        pv_log(n->log, PV_LOG_WARN, "what=\"no relay\" why=\"%s\"", pv_strstatus(status));
        return;
    }
    tell_fast_path(r, MEMBERS);
    forget_offer(r); /* a nonce of welcome is good once */
}

static void stop_members(struct pv_relays *r, pv_ns now)
{
    forget_offer(r);
    pv_udpwatch_stop(&r->udp);
    if (!pv_relayway_is_on(r->ways[MEMBERS]))
        return;
    drop_channels(r, now);
    pv_relayway_stop(r->ways[MEMBERS], now);
}

/* The relays that welcome offers. Other relays and the watch on UDP begin here as well: welcome is
 * the moment from which this node is a member that is connected. */
static void on_push(void *part, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct pv_relays *r = part;
    const struct pv_ctl_welcome *w = &msg->u.welcome;
    if (msg->type != PV_CTL_WELCOME || !r->node->coord_info.as_member)
        return;
    forget_offer(r);
    r->has_offer = w->has_turn;
    if (!r->has_offer)
        stop_members(r, now);
    pv_turnservers_start(&r->servers, now);
    if (r->node->coord_info.n_servers > 0)
        pv_udpwatch_start(&r->udp, now);
    if (!r->has_offer)
        return;
    set_text(r->offer.user, sizeof(r->offer.user), w->turn.user);
    set_text(r->offer.password, sizeof(r->offer.password), w->turn.password);
    set_text(r->offer.realm, sizeof(r->offer.realm), w->turn.realm);
    set_text(r->offer.nonce, sizeof(r->offer.nonce), w->turn.nonce);
    r->offer.ipv6 = true; /* a virtual address */
    start_members(r, now);
}

/* STUN no longer sees this node where the relay did. Only the allocation's own Refresh from the
 * present address moves it there. Candidates do not tell: some are guesses. */
static void check_mapped(struct pv_relays *r, pv_ns now)
{
    if (r->mapped.family != PV_AF_NONE &&
        !pv_gatherer_is_seen_at(r->node->ways.gatherer, &r->mapped))
        pv_relayway_moved(r->ways[MEMBERS], now);
}

/* After a change of links or a suspend this may be another network: each way asks at once whether
 * its relay is still there, and servers whose names were not found are looked up again. Teardown
 * ends all ways, since their credentials belong to the membership. */
static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct pv_relays *r = part;
    const struct pv_node *n = r->node;
    if ((facts & PV_FACT_SERVERS) != 0)
        start_members(r, now);
    if ((facts & PV_FACT_TEARDOWN) != 0) {
        pv_turnservers_stop(&r->servers, now);
        stop_members(r, now);
    }
    if ((facts & (PV_FACT_LINKS | PV_FACT_RESUMED)) != 0) {
        if (is_up(n))
            pv_turnservers_start(&r->servers, now);
        EACH_WAY(r, via)
        pv_relayway_kick(r->ways[via], now);
    }
    if ((facts & PV_FACT_RESUMED) != 0)
        pv_udpwatch_woke(&r->udp, now);
    else if ((facts & (PV_FACT_LINKS | PV_FACT_NAT_DOUBT)) != 0)
        pv_udpwatch_doubt(&r->udp, now);
    if ((facts & PV_FACT_HEARD) != 0)
        pv_udpwatch_heard(&r->udp, now);
    if ((facts & PV_FACT_CANDIDATES) != 0)
        check_mapped(r, now);
    if ((facts & PV_FACT_SOCKET) != 0) {
        EACH_WAY(r, via)
        pv_relayway_set_socket(r->ways[via], n->ways.sock, now);
    }
}

/* --- what relays say -------------------------------------------------------------------------- */

/* A way that is off without an error has nothing to tell: this node does not want it now. */
static void log_way(const struct pv_relays *r, uint16_t via)
{
    const struct pv_relayway *way = r->ways[via];
    if (pv_relayway_error(way)[0] != '\0')
        pv_log(r->node->log, PV_LOG_WARN, "relay=%s what=\"not reached\" why=\"%s\"",
               PV_RELAY_STR(r->node, via), pv_relayway_error(way));
    else if (pv_relayway_way(way) != PV_RELAYWAY_NONE)
        pv_log(r->node->log, PV_LOG_INFO, "relay=%s what=\"reached\" by=%s",
               PV_ADDR_STR(pv_relayway_server(way)), pv_relayway_transport(way));
}

static void take_event(void *part, uint16_t via, const struct pv_relayway_event *ev)
{
    struct pv_relays *r = part;
    const struct pv_turnc_event *t = &ev->turn;
    bool by_udp = pv_relayway_way(r->ways[via]) == PV_RELAYWAY_UDP;
    if (ev->type != PV_RELAYWAY_EV_TURN) {
        log_way(r, via);
        return;
    }
    if (t->type == PV_TURNC_CHANNEL) {
        /* At a stock server the way binds channels itself, where one is needed. Data in it is for
         * the packet threads, which have to know its number. */
        if (via != MEMBERS && t->channel != 0 &&
            pv_fp_builder_set_channel(r->node->fp, via, t->channel, &t->peer) != PV_OK)
            pv_log(r->node->log, PV_LOG_WARN, "what=\"no room for a channel\"");
        return;
    }
    if (via != MEMBERS)
        return;
    bool mapped = t->type == PV_TURNC_UP && by_udp;
    r->mapped = mapped ? t->mapped : (struct pv_addr){.family = PV_AF_NONE};
    if (mapped)
        pv_gatherer_note_mapped(r->node->ways.gatherer, pv_relayway_server(r->ways[via]),
                                &t->mapped);
}

/* Returns true if the list of our candidates is right about this relay. Composing candidates sends
 * a description to every peer in use, so it is done only when the relayed address has changed. */
static bool is_offered(const struct pv_relays *r, uint16_t via)
{
    const struct pv_node *n = r->node;
    const struct pv_addr *relayed = pv_relayway_relayed(r->ways[via]);
    for (size_t i = 0; i < n->ways.n_locals; i++) {
        const struct pv_ice_cand *c = &n->ways.locals[i];
        if (c->type == PV_ICE_RELAY && c->carrier.sock == via)
            return pv_addr_equal(&c->addr, relayed);
    }
    return relayed->family == PV_AF_NONE;
}

/* A way or a channel changed: paths through relays follow. Peers without a relayed path, most of
 * them, have nothing to learn. */
static void tell_peers(struct pv_relays *r, pv_ns now)
{
    struct pv_peers *ps = r->node->peers;
    for (struct pv_peer *p = NULL; (p = pv_peers_next(ps, p)) != NULL;) {
        if (!pv_peer_awaits_relay(p) && !pv_peer_is_relayed(p) &&
            pv_peer_beyond_phone_port(p)->family == PV_AF_NONE)
            continue;
        pv_peer_relay_changed(p, now);
        pv_peers_touch(ps, p, now);
    }
}

static void pump_way(struct pv_relays *r, uint16_t via, pv_ns now)
{
    tell_fast_path(r, via);
    if (!pv_relayway_speak(r->ways[via], take_event, r, now))
        return;
    tell_fast_path(r, via); /* an event may have begun another stream */
    if (!is_offered(r, via))
        pv_candidates_compose(r->node, now);
    tell_peers(r, now);
}

/* --- the phone port --------------------------------------------------------------------------- */

/* Why the coordinator opens none; false: it does, or nothing is known yet. */
static bool has_no_phone_port(const struct pv_turnc_phone_port *phone_port,
                              struct pv_reason *ret_why)
{
    *ret_why = (struct pv_reason){"the relay is no p2pvpn-coordinator, and knows no phone ports",
                                  PV_DO_NOTHING};
    if (phone_port->state == PV_TURNC_PHONE_PORT_UNSUPPORTED)
        return true;
    if (phone_port->error == PV_TURN_E_FORBIDDEN)
        *ret_why = (struct pv_reason){"the coordinator gives none", PV_DO(set_phone_ports)};
    else if (phone_port->error == PV_TURN_E_QUOTA_REACHED)
        *ret_why = (struct pv_reason){
            "this network has as many phone ports as the coordinator's operator allows it",
            PV_DO_NOTHING};
    else
        ret_why->text = "the coordinator has no phone port left, or no port for one";
    return phone_port->state == PV_TURNC_PHONE_PORT_REFUSED;
}

/* A coordinator behind a 1:1 NAT that was not told its public address shows its own, which is of no
 * use outside; the one where we reach it may be. */
static void make_public(struct pv_turnc_phone_port *phone_port, const struct pv_addr *server)
{
    uint16_t port = phone_port->addr.port;
    if (phone_port->state != PV_TURNC_PHONE_PORT_OPEN || !pv_addr_is_private(&phone_port->addr) ||
        server->family != phone_port->addr.family || pv_addr_is_private(server))
        return;
    phone_port->addr = *server;
    phone_port->addr.port = port;
}

static void pump_phone_port(struct pv_relays *r, pv_ns now)
{
    struct pv_node *n = r->node;
    bool wanted = n->ways.wants_phone_port || pv_peers_want_phone_port(n->peers);
    pv_relayway_want_phone_port(r->ways[MEMBERS], wanted, now);
    struct pv_turnc_phone_port phone_port = *pv_relayway_phone_port(r->ways[MEMBERS]);
    make_public(&phone_port, pv_relayway_server(r->ways[MEMBERS]));
    bool same = phone_port.state == n->ways.phone_port.state &&
                phone_port.error == n->ways.phone_port.error &&
                pv_addr_equal(&phone_port.addr, &n->ways.phone_port.addr) &&
                phone_port.port_lo == n->ways.phone_port.port_lo &&
                phone_port.port_hi == n->ways.phone_port.port_hi;
    n->ways.phone_port = phone_port;
    struct pv_reason why;
    if (same)
        return;
    pv_node_raise(n, PV_FACT_PHONE_PORT);
    if (phone_port.state == PV_TURNC_PHONE_PORT_OPEN)
        pv_log(n->log, PV_LOG_INFO, "what=\"the phone port is open\" address=%s",
               PV_ADDR_STR(&phone_port.addr));
    else if (has_no_phone_port(&phone_port, &why))
        pv_log(n->log, PV_LOG_WARN, "what=\"no phone port\" why=\"%s\"", PV_REASON_STR(why));
}

/* --- is UDP blocked? -------------------------------------------------------------------------- */

/* Peers are told that direct paths cannot work, or that they can again: then whoever is on a relay
 * tries to leave it at once. */
static void tell_udp(struct pv_relays *r, bool blocked, pv_ns now)
{
    struct pv_peers *ps = r->node->peers;
    struct pv_node *n = r->node;
    n->ways.caps &= ~(unsigned)PV_DESC_CAP_NO_UDP;
    n->ways.caps |= blocked ? PV_DESC_CAP_NO_UDP : 0;
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(ps, p)) != NULL;) {
        const struct pv_ice_agent *agent = pv_peer_agent(p);
        bool in_use = pv_peer_state(p) == PV_PEER_UP || pv_peer_state(p) == PV_PEER_REACHING;
        bool leaves = !blocked && pv_peer_is_relayed(p) && !pv_peer_is_static(p);
        bool describes = agent != NULL && pv_ice_state(agent) != PV_ICE_DORMANT && in_use;
        if (describes)
            pv_peer_describe(p);
        if (leaves)
            pv_peer_leave_relay(p, now);
        if (describes || leaves)
            pv_peers_touch(ps, p, now);
    }
}

static void pump_udp(struct pv_relays *r, pv_ns now)
{
    struct pv_node *n = r->node;
    pv_udpwatch_set_refresh(&r->udp, n->ways.binding_lifetime);
    /* The gatherer's questions to the STUN servers serve as test, and a ping to the coordinator
     * that would be due soon anyway: no packet is sent for this alone. */
    if (pv_udpwatch_take_ask(&r->udp)) {
        pv_gatherer_refresh(n->ways.gatherer, now);
        pv_node_raise(n, PV_FACT_UDP_DOUBT);
    }
    if (!pv_udpwatch_take_changed(&r->udp))
        return;
    bool blocked = pv_udpwatch_is_blocked(&r->udp);
    n->ways.udp_blocked = blocked;
    n->ways.udp_since = pv_udpwatch_since(&r->udp);
    pv_node_raise(n, PV_FACT_UDP);
    pv_log(n->log, PV_LOG_INFO, "what=\"UDP %s\"",
           !blocked                           ? "gets through"
           : pv_peers_udp_elsewhere(n->peers) ? "is closed at the coordinator"
                                              : "is blocked");
    EACH_WAY(r, via)
    pv_relayway_set_blocked(r->ways[via], blocked, now);
    tell_udp(r, blocked, now);
}

static void run(void *part, pv_ns now)
{
    struct pv_relays *r = part;
    pump_udp(r, now);
    EACH_WAY(r, via)
    pump_way(r, via, now);
    pump_phone_port(r, now);
}

/* --- time ------------------------------------------------------------------------------------- */

static void handle_timeout(void *part, pv_ns now)
{
    struct pv_relays *r = part;
    pv_udpwatch_handle_timeout(&r->udp, r->node->coord_info.heard_at, now);
    pv_turnservers_handle_timeout(&r->servers, now);
    EACH_WAY(r, via)
    pv_relayway_handle_timeout(r->ways[via], now);
}

static pv_ns next_timeout(const void *part)
{
    const struct pv_relays *r = part;
    pv_ns next =
        pv_min_ns(pv_udpwatch_next_timeout(&r->udp), pv_turnservers_next_timeout(&r->servers));
    EACH_WAY(r, via)
    next = pv_min_ns(next, pv_relayway_next_timeout(r->ways[via]));
    return next;
}

/* --- streams ---------------------------------------------------------------------------------- */

/* Each call begins with the first way again; the shell asks until none has anything to open. */
int pv_relays_poll_op(struct pv_node *n, struct pv_relaystream_op *ret_op)
{
    EACH_WAY(of(n), via)
    {
        if (pv_relayway_poll_op(of(n)->ways[via], ret_op) == PV_OK)
            return PV_OK;
    }
    return PV_ERR_AGAIN;
}

void pv_relays_connected(struct pv_node *n, uint16_t stream, pv_ns now)
{
    struct pv_relayway *way = of(n)->ways[pv_relayway_of_stream(stream)];
    if (way != NULL)
        pv_relayway_connected(way, stream, now);
}

void pv_relays_closed(struct pv_node *n, uint16_t stream, const char *why, pv_ns now)
{
    struct pv_relayway *way = of(n)->ways[pv_relayway_of_stream(stream)];
    if (way != NULL)
        pv_relayway_closed(way, stream, why, now);
}

/* --- messages --------------------------------------------------------------------------------- */

/* UDP from the coordinator's relay proves that UDP gets through, as well as an answer to a
 * question. */
static bool handle_stun(void *part, const struct pv_carrier *from, struct pv_view data, pv_ns now)
{
    struct pv_relays *r = part;
    EACH_WAY(r, via)
    {
        if (pv_relayway_handle_input(r->ways[via], from, data, now) != PV_OK)
            continue;
        if (via == MEMBERS && from->kind == PV_CARRIER_UDP)
            pv_udpwatch_heard(&r->udp, now);
        return true;
    }
    /* On a stream without a peer's address nobody but the relay itself speaks. */
    return from->kind == PV_CARRIER_STREAM && from->remote.family == PV_AF_NONE;
}

/* No source address is chosen: a relay is reached by whatever way the kernel takes to it. */
static void address(const struct pv_relays *r, uint16_t via, const struct pv_relayway_message *m,
                    struct pv_engine_transmit *tx)
{
    (void)pv_transmit_to(tx, pv_relayway_server(r->ways[via]), NULL, 0); /* the bytes are there */
    tx->sock = m->sock;
    tx->stream = m->stream;
    tx->len = m->len;
}

static bool poll_transmit(void *part, struct pv_engine_transmit *ret_tx)
{
    const struct pv_relays *r = part;
    struct pv_relayway_message m = {.buf = ret_tx->buf, .cap = sizeof(ret_tx->buf)};
    EACH_WAY(r, via)
    {
        if (pv_relayway_poll_transmit(r->ways[via], &m) != PV_OK)
            continue;
        address(r, via, &m, ret_tx);
        return true;
    }
    return false;
}

/* --- shown ------------------------------------------------------------------------------------ */

/* UDP is a problem of its own only while the coordinator is reached: otherwise nothing passes,
 * which the part `coordinator` says. */
static void show_problems(const struct pv_relays *r, struct pv_statuspage *st)
{
    if (r->node->ways.udp_blocked && r->node->online && pv_peers_udp_elsewhere(r->node->peers))
        pv_statuspage_todo(st, "UDP is closed at the coordinator, others are reached by it: ",
                           PV_DO(open_udp_at_coordinator, PV_RELAYS_UDP_STR(r->node)));
    else if (r->node->ways.udp_blocked && r->node->online)
        pv_statuspage_todo(st, "UDP is blocked, no server's answer comes in: ",
                           PV_DO(open_udp, PV_RELAYS_UDP_STR(r->node)));
    struct pv_reason why;
    if (has_no_phone_port(&r->node->ways.phone_port, &why))
        pv_statuspage_problem(st, "no phone port: ", PV_REASON_STR(why));
    EACH_WAY(r, via)
    {
        const char *error = pv_relayway_error(r->ways[via]);
        if (error[0] == '\0' || (via == MEMBERS && !r->node->online))
            continue;
        pv_statuspage_problem(st, PV_STR("cannot reach the relay %s: ", PV_RELAY_STR(r->node, via)),
                              error);
    }
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct pv_relays *r = part;
    json_t *list = json_array();
    EACH_WAY(r, via)
    {
        const struct pv_relayway *way = r->ways[via];
        const struct pv_peer_relayed sum = pv_peers_relayed(r->node->peers, via);
        pv_ns rtt = pv_relayway_rtt(way);
        st->s.relay_tx_bytes += sum.tx;
        st->s.relay_rx_bytes += sum.rx;
        /* The field `relay` has room for one: the first that has given us an address. */
        if (st->s.relay == NULL && pv_relayway_relayed(way)->family != PV_AF_NONE)
            st->s.relay = pv_addr_format(pv_relayway_server(way), st->relay);
        /* A way that is off is shown only to say why: its name was not found, for example. */
        if (!pv_relayway_is_on(way) && pv_relayway_error(way)[0] == '\0')
            continue;
        static const struct pv_addr none = {.family = PV_AF_NONE};
        pv_ctlapi_put(&list, NULL,
                      pv_ctlapi_pack(
                          "{s:s, s:s?, s:s, s:s, s:o, s:o, s:s?, s:o, s:o, s:o}", "name",
                          PV_RELAY_STR(r->node, via), "address",
                          pv_relayway_is_on(way) ? PV_ADDR_STR(pv_relayway_server(way)) : NULL,
                          "transport", pv_relayway_transport(way), "state",
                          pv_relayway_is_reached(way) ? "up" : "connecting", "relayed",
                          pv_ctlapi_addr(pv_relayway_relayed(way)), "rtt_ms",
                          pv_ctlapi_real(rtt == 0 ? -1 : (double)rtt / 1e6), "error",
                          pv_relayway_error(way)[0] != '\0' ? pv_relayway_error(way) : NULL,
                          "tx_bytes", pv_ctlapi_u64(sum.tx), "rx_bytes", pv_ctlapi_u64(sum.rx),
                          "phone_port",
                          pv_ctlapi_addr(via == MEMBERS ? &r->node->ways.phone_port.addr : &none)));
    }
    /* Where nothing gets through at all, nobody can tell what stops UDP. */
    const char *udp =
        r->node->online || !pv_udpwatch_is_blocked(&r->udp) ? pv_udpwatch_word(&r->udp) : "unknown";
    if (strcmp(udp, "blocked") == 0 && pv_peers_udp_elsewhere(r->node->peers))
        udp = "blocked-there";
    pv_statuspage_put(st, PV_STATUS_RELAYS, list);
    pv_statuspage_put(st, PV_STATUS_UDP, json_string(udp));
    show_problems(r, st);
}

static void put_metrics(void *part, struct pv_metrics *m, pv_ns now)
{
    static const struct {
        enum pv_metrics_type type;
        const char *name, *help;
    } families[] = {
        {PV_METRICS_GAUGE, "p2pvpn_relay_up", "1: the relay is reached."},
        {PV_METRICS_GAUGE, "p2pvpn_relay_rtt_seconds", "Round trip to the relay."},
        {PV_METRICS_COUNTER, "p2pvpn_relay_sent_bytes_total",
         "Bytes of packets that went through the relay."},
        {PV_METRICS_COUNTER, "p2pvpn_relay_received_bytes_total",
         "Bytes of packets that came through the relay."},
    };
    enum {
        RTT = 1
    }; /* has no value before the first answer */
    const struct pv_relays *r = part;
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_udp_blocked",
                      "1: no UDP gets out of this network, everything is relayed.");
    pv_metrics_real(m, pv_udpwatch_is_blocked(&r->udp), NULL);
    for (size_t f = 0; f < PV_ARRAY_LEN(families); f++) {
        pv_metrics_family(m, families[f].type, families[f].name, families[f].help);
        EACH_WAY(r, via)
        {
            char name[PV_TURNSERVERS_NAME];
            const struct pv_peer_relayed sum = pv_peers_relayed(r->node->peers, via);
            const double values[] = {pv_relayway_way(r->ways[via]) != PV_RELAYWAY_NONE,
                                     (double)pv_relayway_rtt(r->ways[via]) / 1e9, (double)sum.tx,
                                     (double)sum.rx};
            if (f != RTT || values[f] > 0)
                pv_metrics_real(m, values[f], "relay", pv_relays_name(r->node, via, name), NULL);
        }
    }
}

const struct pv_part pv_part_relays = {
    .name = "relays",
    .size = PV_PART_SIZE(struct pv_relays),
    .start = start,
    .free = unmake,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .on_peer_gone = on_peer_gone,
    .on_push = on_push,
    .run = run,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .handle_stun = handle_stun,
    .poll_transmit = poll_transmit,
    .status = show,
    .metrics = put_metrics,
};
