/* SPDX-License-Identifier: MIT */
/* The members' relay (DESIGN 6): one allocation at the coordinator, a channel for each peer in use.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/engine_int.h"

/* --- the allocation -------------------------------------------------------------------------- */

static void forget_offer(struct pv_engine *e)
{
    if (e->turn != NULL)
        pv_wipe(e->turn, sizeof(*e->turn));
    free(e->turn);
    e->turn = NULL;
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
    if (e->turn == NULL) {
        pv_engine_relay_stop(e, now);
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
    const struct pv_addr *used = pv_coordclient_addr(e->coord);
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

void pv_engine_relay_start(struct pv_engine *e, pv_ns now)
{
    const struct pv_addr *server = choose_server(e);
    if (e->turn == NULL || server == NULL || !e->up || pv_engine_self(e) == NULL)
        return;
    e->turn->server = *server;
    if (!pv_addr_equal(&e->env.relay, server)) {
        struct pv_peer *p, *tmp;
        HASH_ITER(hh, e->peers, p, tmp)
        pv_engine_relay_drop(e, p, now); /* each comes back when it is touched */
    }
    int r = pv_fp_builder_set_relay(e->fp, server);
    if (r == PV_OK)
        r = pv_turnc_start(e->turnc, e->turn, now);
    if (r != PV_OK) {
        pv_log(e->log, PV_LOG_WARN, "what=\"no relay\" why=\"%s\"", pv_strstatus(r));
        return;
    }
    e->env.relay = *server;
    pv_addr_format(server, e->env.relay_text);
    forget_offer(e); /* a nonce of welcome is good once */
    pv_engine_relay_pump(e, now);
}

void pv_engine_relay_stop(struct pv_engine *e, pv_ns now)
{
    struct pv_peer *p, *tmp;
    forget_offer(e);
    if (e->env.relay.family == PV_AF_NONE)
        return;
    HASH_ITER(hh, e->peers, p, tmp)
    {
        pv_engine_relay_drop(e, p, now);
        pv_peer_set_channel(p, 0, now);
    }
    pv_turnc_stop(e->turnc);
    e->env.relay = (struct pv_addr){.family = PV_AF_NONE};
    pv_engine_relay_pump(e, now);
    if (pv_fp_builder_set_relay(e->fp, NULL) != PV_OK)
        pv_log(e->log, PV_LOG_WARN, "what=\"relay not taken out of the fast path\"");
}

void pv_engine_gather(struct pv_engine *e)
{
    size_t n = pv_gatherer_candidates(e->gatherer, e->env.locals);
    if (e->env.relayed.family != PV_AF_NONE) {
        if (n == PV_ICE_MAX_LOCAL)
            n--; /* the least of the reflexive ones gives way */
        e->env.locals[n] = (struct pv_ice_cand){
            .type = PV_ICE_RELAY,
            .addr = e->env.relayed,
            .priority = pv_ice_priority(PV_ICE_RELAY, UINT16_MAX),
            .foundation = UINT8_MAX,
            .base = (uint8_t)n,
            .carrier = {.kind = PV_ICE_CARRIER_CHANNEL, .local = e->env.relayed},
        };
        n++;
    }
    e->env.n_locals = n;
}

void pv_engine_relay_check(struct pv_engine *e, pv_ns now)
{
    if (e->env.relay.family == PV_AF_NONE || e->relay_mapped.family == PV_AF_NONE)
        return;
    for (size_t i = 0; i < e->env.n_locals; i++) {
        if (pv_addr_equal(&e->env.locals[i].addr, &e->relay_mapped))
            return;
    }
    pv_turnc_moved(e->turnc, now);
}

/* --- channels -------------------------------------------------------------------------------- */

void pv_engine_relay_drop(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    if (p->relay_addr.family == PV_AF_NONE)
        return;
    pv_turnc_unbind(e->turnc, &p->relay_addr, now);
    p->relay_addr = (struct pv_addr){.family = PV_AF_NONE};
}

void pv_engine_relay_peer(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    bool bound = p->relay_addr.family != PV_AF_NONE;
    bool in_use = p->state == PV_PEER_REACHING || p->state == PV_PEER_UP;
    if (p->is_static || e->env.relay.family == PV_AF_NONE)
        return;
    if (bound && p->state == PV_PEER_IDLE) {
        pv_engine_relay_drop(e, p, now);
        pv_peer_set_channel(p, 0, now);
    }
    if (bound || !in_use)
        return;
    struct pv_addr addr = pv_turn_virtual_addr(e->coordinator_pk, p->pk);
    int r = pv_turnc_bind(e->turnc, &addr, now);
    /* What comes in the channel is understood before the server knows of it. */
    if (r == PV_OK)
        r = pv_fp_builder_set_channel(e->fp, pv_turnc_number(e->turnc, &addr), &addr);
    if (r != PV_OK) {
        pv_turnc_unbind(e->turnc, &addr, now); /* asked again whenever something happens to it */
        return;
    }
    p->relay_addr = addr;
    pv_peer_set_channel(p, 0, now);
}

static struct pv_peer *peer_at(struct pv_engine *e, const struct pv_addr *addr)
{
    struct pv_peer *p, *tmp;
    HASH_ITER(hh, e->peers, p, tmp)
    {
        if (pv_addr_equal(&p->relay_addr, addr))
            return p;
    }
    return NULL;
}

/* --- events ---------------------------------------------------------------------------------- */

static void set_relayed(struct pv_engine *e, const struct pv_addr *relayed, pv_ns now)
{
    if (pv_addr_equal(&e->env.relayed, relayed))
        return;
    e->env.relayed = *relayed;
    pv_engine_gather(e);
    pv_engine_env_changed(e, true, now);
}

void pv_engine_relay_pump(struct pv_engine *e, pv_ns now)
{
    static const struct pv_addr none = {.family = PV_AF_NONE};
    struct pv_turnc_event ev;
    while (pv_turnc_poll_event(e->turnc, &ev) == PV_OK) {
        struct pv_peer *p;
        switch (ev.type) {
        case PV_TURNC_UP:
            e->relay_mapped = ev.mapped;
            pv_gatherer_note_mapped(e->gatherer, pv_turnc_server(e->turnc), &ev.mapped);
            set_relayed(e, &ev.relayed, now);
            break;
        case PV_TURNC_DOWN:
            pv_log(e->log, PV_LOG_INFO, "what=\"no relay\" why=\"%s\" error=%u",
                   pv_strstatus(ev.status), ev.error);
            e->relay_mapped = none;
            set_relayed(e, &none, now);
            break;
        case PV_TURNC_CHANNEL:
            p = peer_at(e, &ev.peer);
            if (p == NULL)
                break;
            pv_peer_set_channel(p, ev.channel, now);
            pv_engine_touch(e, p, now);
            break;
        }
    }
}

/* --- datagrams ------------------------------------------------------------------------------- */

bool pv_engine_relay_input(struct pv_engine *e, const struct pv_carrier *from, struct pv_view data,
                           pv_ns now)
{
    if (from->kind != PV_CARRIER_UDP ||
        pv_turnc_handle_input(e->turnc, &from->remote, data, now) != PV_OK)
        return false;
    pv_engine_relay_pump(e, now);
    return true;
}

static void address(const struct pv_engine *e, struct pv_engine_transmit *tx, size_t len)
{
    tx->sock = 0;
    tx->ttl = 0;
    tx->local = (struct pv_addr){.family = PV_AF_NONE};
    tx->dst = e->env.relay;
    tx->len = len;
}

bool pv_engine_relay_poll(struct pv_engine *e, struct pv_engine_transmit *ret_tx)
{
    size_t len;
    if (pv_turnc_poll_transmit(e->turnc, ret_tx->buf, sizeof(ret_tx->buf), &len) != PV_OK)
        return false;
    address(e, ret_tx, len);
    return true;
}

bool pv_engine_relay_wrap(struct pv_engine *e, const struct pv_addr *peer, struct pv_view data,
                          struct pv_engine_transmit *ret_tx)
{
    size_t len;
    if (pv_turnc_wrap(e->turnc, peer, data, ret_tx->buf, sizeof(ret_tx->buf), &len) != PV_OK)
        return false;
    address(e, ret_tx, len);
    return true;
}
