/* SPDX-License-Identifier: MIT */
/* The relays this node uses, the coordinator's first (DESIGN 6): an allocation at each, a channel
 * for each peer in use, and the way to them when UDP does not get through. */
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/engine_int.h"

enum {
    MEMBERS = 0, /* number of the coordinator's relay */
};

/* --- the coordinator's relay ----------------------------------------------------------------- */

int pv_engine_relays_new(struct pv_engine *e)
{
    return pv_relayway_new(&e->env.relays[MEMBERS], MEMBERS, &e->node.rng);
}

static void forget_offer(struct pv_engine *e)
{
    if (e->turn != NULL)
        pv_wipe(e->turn, sizeof(*e->turn));
    free(e->turn);
    e->turn = NULL;
}

void pv_engine_relays_free(struct pv_engine *e)
{
    forget_offer(e);
    for (size_t i = 0; i < PV_FP_MAX_RELAYS; i++)
        e->env.relays[i] = pv_relayway_free(e->env.relays[i]);
}

static void set_text(char *dst, size_t cap, const char *text)
{
    size_t len = strnlen(text, cap - 1);
    memcpy(dst, text, len);
    dst[len] = '\0';
}

void pv_engine_relay_offer(struct pv_engine *e, const struct pv_ctl_welcome *w, pv_ns now)
{
    forget_offer(e);
    if (w->has_turn)
        e->turn = calloc(1, sizeof(*e->turn));
    if (e->turn == NULL)
        pv_engine_relay_stop(e, now);
    pv_engine_turn_start(e);
    if (e->n_stun_addrs > 0)
        pv_udpwatch_start(&e->udp, now);
    if (e->turn == NULL) {
        pv_engine_relay_pump(e, now);
        return;
    }
    set_text(e->turn->user, sizeof(e->turn->user), w->turn.user);
    set_text(e->turn->password, sizeof(e->turn->password), w->turn.password);
    set_text(e->turn->realm, sizeof(e->turn->realm), w->turn.realm);
    set_text(e->turn->nonce, sizeof(e->turn->nonce), w->turn.nonce);
    e->turn->ipv6 = true; /* a virtual address */
    pv_engine_relay_start(e, now);
}

/* The one that is the coordinator we talk to, else one of its family, else the first. */
static const struct pv_addr *choose_server(const struct pv_engine *e)
{
    const struct pv_addr *used = pv_coordclient_addr(e->node.coord);
    const struct pv_addr *best = e->n_stun_addrs > 0 ? &e->stun_addrs[0] : NULL;
    for (size_t i = e->n_stun_addrs; used != NULL && i-- > 0;) {
        if (e->stun_addrs[i].family == used->family)
            best = &e->stun_addrs[i];
    }
    for (size_t i = 0; used != NULL && i < e->n_stun_addrs; i++) {
        if (pv_addr_equal_ip(&e->stun_addrs[i], used))
            return &e->stun_addrs[i];
    }
    return best;
}

/* Every port of the coordinator speaks TURN too: where the control channel gets through, the relay
 * does. */
static struct pv_relayway_to stream_target(const struct pv_engine *e)
{
    const struct pv_addr *used = pv_coordclient_addr(e->node.coord);
    struct pv_relayway_to to = {.addr = {.family = PV_AF_NONE}};
    if (used == NULL)
        return to;
    to.addr = *used;
    to.tls = pv_coordclient_is_tls(e->node.coord);
    to.pinned = to.tls && e->has_pin;
    memcpy(to.pin, e->pin, sizeof(to.pin));
    return to;
}

void pv_engine_relay_start(struct pv_engine *e, pv_ns now)
{
    struct pv_relayway *relay = e->env.relays[MEMBERS];
    const struct pv_addr *server = choose_server(e);
    if (server != NULL && e->node.up && pv_node_self(&e->node) != NULL)
        pv_udpwatch_start(&e->udp, now);
    if (e->turn == NULL || server == NULL || !e->node.up || pv_node_self(&e->node) == NULL)
        return;
    if (!pv_addr_equal(pv_relayway_server(relay), server)) {
        struct pv_peer *p;
        for (p = NULL; (p = pv_peers_next_member(e->node.peers, p)) != NULL;)
            pv_engine_relay_drop(e, p, now); /* each comes back when it is touched */
    }
    struct pv_relayway_config cfg = {.turn = *e->turn, .udp = true, .to = stream_target(e)};
    cfg.turn.server = *server;
    int r = pv_relayway_start(relay, &cfg, now);
    pv_wipe(&cfg, sizeof(cfg));
    if (r != PV_OK) {
        pv_log(e->node.log, PV_LOG_WARN, "what=\"no relay\" why=\"%s\"", pv_strstatus(r));
        return;
    }
    forget_offer(e); /* a nonce of welcome is good once */
    pv_engine_relay_pump(e, now);
}

void pv_engine_relay_stop(struct pv_engine *e, pv_ns now)
{
    struct pv_relayway *relay = e->env.relays[MEMBERS];
    struct pv_peer *p;
    forget_offer(e);
    pv_udpwatch_stop(&e->udp);
    if (!pv_relayway_is_on(relay))
        return;
    for (p = NULL; (p = pv_peers_next_member(e->node.peers, p)) != NULL;)
        pv_engine_relay_drop(e, p, now);
    pv_relayway_stop(relay, now);
    pv_engine_relay_pump(e, now);
}

/* --- candidates ------------------------------------------------------------------------------ */

static size_t base_of(const struct pv_engine *e, const struct pv_addr *local)
{
    size_t i = 0;
    while (i < e->env.n_locals && (e->env.locals[i].type != PV_ICE_HOST ||
                                   !pv_addr_equal_ip(&e->env.locals[i].addr, local)))
        i++;
    return i;
}

static bool has_candidate(const struct pv_engine *e, const struct pv_addr *addr)
{
    for (size_t i = 0; i < e->env.n_locals; i++) {
        if (pv_addr_equal(&e->env.locals[i].addr, addr))
            return true;
    }
    return false;
}

/* Adds what peers see of us, while no server tells. */
static void add_told(struct pv_engine *e)
{
    for (size_t i = 0; i < PV_NODE_TOLD; i++) {
        const struct pv_told *t = &e->node.told[i];
        size_t base = t->peer == 0 ? e->env.n_locals : base_of(e, &t->local);
        if (base == e->env.n_locals || e->env.n_locals == PV_ICE_MAX_LOCAL ||
            has_candidate(e, &t->mapped))
            continue;
        e->env.locals[e->env.n_locals++] = (struct pv_ice_cand){
            .type = PV_ICE_SRFLX,
            .addr = t->mapped,
            .priority = pv_ice_priority(PV_ICE_SRFLX, (uint16_t)(16383 - i)),
            .foundation = (uint8_t)(UINT8_MAX - 16 - i),
            .base = (uint8_t)base,
            .carrier = e->env.locals[base].carrier,
        };
    }
}

void pv_engine_gather(struct pv_engine *e)
{
    size_t n = pv_gatherer_candidates(e->gatherer, e->env.locals);
    e->env.n_locals = n;
    add_told(e);
    n = e->env.n_locals;
    for (uint16_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        const struct pv_addr *relayed =
            e->env.relays[i] == NULL ? NULL : pv_relayway_relayed(e->env.relays[i]);
        if (relayed == NULL || relayed->family == PV_AF_NONE)
            continue;
        if (n == PV_ICE_MAX_LOCAL)
            n--; /* the least of the others gives way */
        e->env.locals[n] = (struct pv_ice_cand){
            .type = PV_ICE_RELAY,
            .addr = *relayed,
            .priority = pv_ice_priority(PV_ICE_RELAY, (uint16_t)(UINT16_MAX - i)),
            .foundation = (uint8_t)(UINT8_MAX - i),
            .base = (uint8_t)n,
            .carrier = {.kind = PV_ICE_CARRIER_CHANNEL, .sock = i, .local = *relayed},
        };
        n++;
    }
    e->env.n_locals = n;
}

void pv_engine_relay_check(struct pv_engine *e, pv_ns now)
{
    if (e->relay_mapped.family == PV_AF_NONE)
        return;
    for (size_t i = 0; i < e->env.n_locals; i++) {
        if (pv_addr_equal(&e->env.locals[i].addr, &e->relay_mapped))
            return;
    }
    pv_relayway_moved(e->env.relays[MEMBERS], now);
}

/* --- channels -------------------------------------------------------------------------------- */

void pv_engine_relay_drop(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    if (pv_peer_channel(p)->family == PV_AF_NONE)
        return;
    pv_relayway_unbind(e->env.relays[MEMBERS], pv_peer_channel(p), now);
    pv_peer_set_channel(p, NULL);
    pv_peer_relay_changed(p, now);
}

/* A channel to addr; what comes in it is understood before the server knows of it. */
static int bind_channel(struct pv_engine *e, uint16_t via, const struct pv_addr *addr, pv_ns now)
{
    struct pv_relayway *relay = e->env.relays[via];
    int r = pv_relayway_bind(relay, addr, now);
    if (r == PV_OK)
        r = pv_fp_builder_set_channel(e->fp, via, pv_relayway_number(relay, addr), addr);
    if (r != PV_OK)
        pv_relayway_unbind(relay, addr, now);
    return r;
}

void pv_engine_relay_peer(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    bool bound = pv_peer_channel(p)->family != PV_AF_NONE;
    bool in_use = p->state == PV_PEER_REACHING || p->state == PV_PEER_UP;
    if (p->is_static || !pv_relayway_is_on(e->env.relays[MEMBERS]))
        return;
    if (bound && p->state == PV_PEER_IDLE)
        pv_engine_relay_drop(e, p, now);
    if (bound || !in_use)
        return;
    struct pv_addr addr = pv_turn_virtual_addr(e->coordinator_pk, p->pk);
    /* without room it is asked again whenever something happens to the peer */
    if (bind_channel(e, MEMBERS, &addr, now) == PV_OK)
        pv_peer_set_channel(p, &addr);
}

/* A way or a channel changed: paths through relays follow. */
static void tell_peers(struct pv_engine *e, pv_ns now)
{
    struct pv_peer *p;
    for (p = NULL; (p = pv_peers_next_member(e->node.peers, p)) != NULL;) {
        if (!pv_peer_awaits_relay(p) && !pv_peer_is_relayed(p))
            continue;
        pv_peer_relay_changed(p, now);
        pv_engine_touch(e, p, now);
    }
}

/* --- events ---------------------------------------------------------------------------------- */

/* What the fast path has to know of a relay. */
static void tell_fast_path(struct pv_engine *e, uint16_t via)
{
    const struct pv_relayway *relay = e->env.relays[via];
    const struct pv_fp_relay_way way = pv_relayway_fp_way(relay);
    if (pv_fp_builder_set_relay(e->fp, via, pv_relayway_is_on(relay) ? &way : NULL) != PV_OK)
        pv_log(e->node.log, PV_LOG_WARN,
               "what=\"relay not changed in the fast path: out of memory\"");
}

static void log_way(struct pv_engine *e, uint16_t via)
{
    char text[PV_ADDR_TEXT], name[PV_ENGINE_RELAY_NAME];
    const struct pv_relayway *relay = e->env.relays[via];
    if (pv_relayway_error(relay)[0] != '\0')
        pv_log(e->node.log, PV_LOG_WARN, "relay=%s what=\"not reached\" why=\"%s\"",
               pv_engine_relay_name(e, via, name), pv_relayway_error(relay));
    else if (pv_relayway_way(relay) != PV_RELAYWAY_NONE)
        pv_log(e->node.log, PV_LOG_INFO, "relay=%s what=\"reached\" by=%s",
               pv_addr_format(pv_relayway_server(relay), text), pv_relayway_transport(relay));
}

static void take_event(struct pv_engine *e, uint16_t via, const struct pv_relayway_event *ev)
{
    const struct pv_turnc_event *t = &ev->turn;
    bool by_udp = pv_relayway_way(e->env.relays[via]) == PV_RELAYWAY_UDP;
    if (ev->type != PV_RELAYWAY_EV_TURN) {
        log_way(e, via);
        return;
    }
    if (t->type == PV_TURNC_CHANNEL) {
        /* stock servers: bound where it was needed; what comes in it is for the fast path */
        if (via != MEMBERS && t->channel != 0 &&
            pv_fp_builder_set_channel(e->fp, via, t->channel, &t->peer) != PV_OK)
            pv_log(e->node.log, PV_LOG_WARN, "what=\"no room for a channel\"");
        return;
    }
    if (via == MEMBERS && t->type == PV_TURNC_UP && by_udp)
        pv_gatherer_note_mapped(e->gatherer, pv_relayway_server(e->env.relays[via]), &t->mapped);
    if (via == MEMBERS)
        e->relay_mapped =
            t->type == PV_TURNC_UP && by_udp ? t->mapped : (struct pv_addr){.family = PV_AF_NONE};
}

/* Does the list of our candidates say what is so about this relay? */
static bool is_offered(const struct pv_engine *e, uint16_t via)
{
    const struct pv_addr *relayed = pv_relayway_relayed(e->env.relays[via]);
    for (size_t i = 0; i < e->env.n_locals; i++) {
        const struct pv_ice_cand *c = &e->env.locals[i];
        if (c->type == PV_ICE_RELAY && c->carrier.sock == via)
            return pv_addr_equal(&c->addr, relayed);
    }
    return relayed->family == PV_AF_NONE;
}

static void pump_relay(struct pv_engine *e, uint16_t via, pv_ns now)
{
    struct pv_relayway *relay = e->env.relays[via];
    struct pv_relayway_event ev;
    bool any = false;
    tell_fast_path(e, via);
    while (pv_relayway_poll_event(relay, now, &ev) == PV_OK) {
        any = true;
        take_event(e, via, &ev);
    }
    if (!any)
        return;
    tell_fast_path(e, via); /* an event may have begun another stream */
    if (!is_offered(e, via)) {
        pv_engine_gather(e);
        pv_engine_env_changed(e, true, now);
    }
    tell_peers(e, now);
}

/* UDP is back: who is on a relay tries to leave it at once. */
static void leave_relays(struct pv_engine *e, pv_ns now)
{
    struct pv_peer *p;
    for (p = NULL; (p = pv_peers_next_member(e->node.peers, p)) != NULL;) {
        if (!pv_peer_is_relayed(p))
            continue;
        pv_peer_leave_relay(p, now);
        pv_engine_touch(e, p, now);
    }
}

/* Whoever tries to reach us directly is told that it cannot work, or that it can again. */
static void tell_udp(struct pv_engine *e, bool blocked, pv_ns now)
{
    struct pv_peer *p;
    e->env.caps &= ~(unsigned)PV_DESC_CAP_NO_UDP;
    e->env.caps |= blocked ? PV_DESC_CAP_NO_UDP : 0;
    for (p = NULL; (p = pv_peers_next_member(e->node.peers, p)) != NULL;) {
        if (p->ice == NULL || pv_ice_state(p->ice) == PV_ICE_DORMANT ||
            (p->state != PV_PEER_UP && p->state != PV_PEER_REACHING))
            continue;
        pv_descx_changed(&p->descx);
        pv_engine_touch(e, p, now);
    }
}

static void pump_udp(struct pv_engine *e, pv_ns now)
{
    pv_udpwatch_set_refresh(&e->udp, e->env.binding_lifetime);
    if (pv_udpwatch_take_ask(&e->udp))
        pv_gatherer_refresh(e->gatherer, now);
    if (!pv_udpwatch_take_changed(&e->udp))
        return;
    bool blocked = pv_udpwatch_is_blocked(&e->udp);
    pv_log(e->node.log, PV_LOG_INFO, "what=\"UDP %s\"",
           blocked ? "is blocked here" : "gets through");
    for (size_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        if (e->env.relays[i] != NULL)
            pv_relayway_set_blocked(e->env.relays[i], blocked, now);
    }
    tell_udp(e, blocked, now);
    if (!blocked)
        leave_relays(e, now);
}

void pv_engine_relay_pump(struct pv_engine *e, pv_ns now)
{
    pump_udp(e, now);
    for (uint16_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        if (e->env.relays[i] != NULL)
            pump_relay(e, i, now);
    }
}

void pv_engine_relay_set_socket(struct pv_engine *e, uint16_t sock, pv_ns now)
{
    for (size_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        if (e->env.relays[i] != NULL)
            pv_relayway_set_socket(e->env.relays[i], sock, now);
    }
}

void pv_engine_relay_kick(struct pv_engine *e, pv_ns now)
{
    if (e->node.up && pv_node_self(&e->node) != NULL)
        pv_engine_turn_start(e);
    for (size_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        if (e->env.relays[i] != NULL)
            pv_relayway_kick(e->env.relays[i], now);
    }
}

void pv_engine_udp_doubt(struct pv_engine *e, pv_ns now)
{
    pv_gatherer_refresh(e->gatherer, now);
    pv_udpwatch_doubt(&e->udp, now);
}

void pv_engine_relay_timeout(struct pv_engine *e, pv_ns now)
{
    pv_udpwatch_handle_timeout(&e->udp, now);
    pv_engine_turn_timeout(e, now);
    for (size_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        if (e->env.relays[i] != NULL)
            pv_relayway_handle_timeout(e->env.relays[i], now);
    }
}

pv_ns pv_engine_relay_next(const struct pv_engine *e)
{
    pv_ns next = pv_min_ns(pv_udpwatch_next_timeout(&e->udp), pv_engine_turn_next(e));
    for (size_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        if (e->env.relays[i] != NULL)
            next = pv_min_ns(next, pv_relayway_next_timeout(e->env.relays[i]));
    }
    return next;
}

/* --- streams --------------------------------------------------------------------------------- */

int pv_engine_poll_relay_op(struct pv_engine *e, struct pv_relayway_op *ret_op)
{
    for (size_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        if (e->env.relays[i] != NULL && pv_relayway_poll_op(e->env.relays[i], ret_op) == PV_OK)
            return PV_OK;
    }
    return PV_ERR_AGAIN;
}

void pv_engine_relay_connected(struct pv_engine *e, uint16_t stream, pv_ns now)
{
    struct pv_relayway *relay = e->env.relays[pv_relayway_of_stream(stream)];
    if (relay != NULL)
        pv_relayway_connected(relay, stream, now);
    pv_engine_settle(e, now);
}

void pv_engine_relay_closed(struct pv_engine *e, uint16_t stream, const char *why, pv_ns now)
{
    struct pv_relayway *relay = e->env.relays[pv_relayway_of_stream(stream)];
    if (relay != NULL)
        pv_relayway_closed(relay, stream, why, now);
    pv_engine_settle(e, now);
}

/* --- messages -------------------------------------------------------------------------------- */

bool pv_engine_relay_input(struct pv_engine *e, const struct pv_carrier *from, struct pv_view data,
                           pv_ns now)
{
    for (size_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        if (e->env.relays[i] == NULL ||
            pv_relayway_handle_input(e->env.relays[i], from, data, now) != PV_OK)
            continue;
        if (i == MEMBERS && from->kind == PV_CARRIER_UDP)
            pv_udpwatch_heard(&e->udp, now);
        pv_engine_relay_pump(e, now);
        return true;
    }
    return false;
}

static void address(const struct pv_engine *e, uint16_t via, const struct pv_relayway_message *m,
                    struct pv_engine_transmit *tx)
{
    tx->sock = m->sock;
    tx->ttl = 0;
    tx->local = (struct pv_addr){.family = PV_AF_NONE};
    tx->dst = *pv_relayway_server(e->env.relays[via]);
    tx->stream = m->stream;
    tx->len = m->len;
}

bool pv_engine_relay_poll(struct pv_engine *e, struct pv_engine_transmit *ret_tx)
{
    struct pv_relayway_message m = {.buf = ret_tx->buf, .cap = sizeof(ret_tx->buf)};
    for (uint16_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        if (e->env.relays[i] == NULL || pv_relayway_poll_transmit(e->env.relays[i], &m) != PV_OK)
            continue;
        address(e, i, &m, ret_tx);
        return true;
    }
    return false;
}
