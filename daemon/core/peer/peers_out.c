/* SPDX-License-Identifier: MIT */
/* peers_out.c - what leaves for peers: in-band packets and datagrams, in order; and the look-up of
 * static peers' endpoints. */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/nat/stunroute.h"
#include "daemon/core/peer/peers_int.h"

/* --- in-band --------------------------------------------------------------------------------- */

/* In-band messages may be lost as on the network, so a full list drops them. */
static void inject(struct pv_peers *ps, uint32_t id, struct pv_view inner)
{
    struct pv_engine_inject item = {.peer = id, .len = inner.len};
    struct pv_fifo *injects = &ps->cfg.node->ways.injects;
    if (injects->n >= PV_PEERS_MAX_INJECT || inner.len > PV_ENGINE_INJECT_MAX)
        return;
    if (inner.len > 0)
        memcpy(item.buf, inner.ptr, inner.len);
    (void)!pv_fifo_put(injects, &item, offsetof(struct pv_engine_inject, buf) + inner.len);
}

void pv_peers_inject(struct pv_peers *ps, struct pv_peer *p, struct pv_view inner)
{
    inject(ps, p->id, inner);
}

/* 0 is no peer's id, and the TUN to pv_fp_inject(). */
void pv_peers_inject_tun(struct pv_peers *ps, struct pv_view packet)
{
    inject(ps, 0, packet);
}

void pv_peers_send(struct pv_peers *ps, struct pv_peer *p, enum pv_inband_type type,
                   struct pv_view body)
{
    uint8_t parts;
    uint32_t id = pv_rng_u32(&ps->cfg.node->rng);
    if (pv_inband_parts(body.len, &parts) != PV_OK)
        return;
    for (uint8_t i = 0; i < parts; i++) {
        uint8_t packet[PV_INBAND_PACKET_MAX];
        size_t len;
        if (pv_inband_build(type, id, i, body, packet, &len) == PV_OK)
            pv_peers_inject(ps, p, pv_view(packet, len));
    }
}

/* A probe is as large as the datagram that is tried, so it is built whole and never in parts. */
static void send_probes(struct pv_peers *ps, struct pv_peer *p)
{
    uint8_t packet[PV_INBAND_PROBE_MAX];
    uint16_t size;
    uint32_t token;
    while (p->talk != NULL && pv_mtu_poll_probe(&p->talk->mtu, &size, &token) == PV_OK) {
        size_t len = size - (size_t)PV_FP_OVERHEAD;
        if (pv_inband_probe_build(token, len, packet) == PV_OK)
            pv_peers_inject(ps, p, pv_view(packet, len));
    }
}

/* That anything authenticated comes back over the path is the answer, so the token is forgotten. */
static void send_echo(struct pv_peers *ps, struct pv_peer *p)
{
    struct pv_inband_echo echo = {.token = pv_rng_u64(&ps->cfg.node->rng)};
    uint8_t body[PV_INBAND_PART_MAX];
    size_t len;
    if (pv_inband_echo_build(&echo, body, sizeof(body), &len) == PV_OK)
        pv_peers_send(ps, p, PV_INBAND_ECHO, pv_view(body, len));
}

void pv_peers_send_due(struct pv_peers *ps, struct pv_peer *p)
{
    send_probes(ps, p);
    if ((p->due & PV_PEER_DUE_ECHO) != 0)
        send_echo(ps, p);
    if ((p->due & PV_PEER_DUE_KEEPALIVE) != 0)
        pv_peers_inject(ps, p, pv_view(NULL, 0));
    p->due &= ~(unsigned)(PV_PEER_DUE_ECHO | PV_PEER_DUE_KEEPALIVE);
}

/* --- datagrams ------------------------------------------------------------------------------- */

bool pv_peers_wrap(const struct pv_peers *ps, uint16_t via, const struct pv_addr *peer,
                   struct pv_view data, struct pv_engine_transmit *ret_tx)
{
    struct pv_relayway *relay = via < PV_FP_MAX_RELAYS ? ps->cfg.node->ways.relays[via] : NULL;
    (void)pv_transmit_to(ret_tx, peer, NULL, 0); /* resets every field */
    struct pv_relayway_message m = {.buf = ret_tx->buf, .cap = sizeof(ret_tx->buf)};
    if (relay == NULL || pv_relayway_wrap(relay, peer, data, &m) != PV_OK)
        return false;
    ret_tx->dst = *pv_relayway_server(relay);
    ret_tx->sock = m.sock;
    ret_tx->stream = m.stream;
    ret_tx->len = m.len;
    return true;
}

/* As it leaves this node. False: it is lost, as on the network. The owner of the transaction id is
 * noted here, where all checks pass, so that the answer finds its agent. */
static bool address(struct pv_peers *ps, const struct pv_peer *p, const struct pv_peer_transmit *tx,
                    struct pv_engine_transmit *ret_tx)
{
    if (tx->is_stun)
        pv_stunroute_sent(ps->cfg.node->ways.stunroute, tx->buf + PV_STUN_TXID_AT,
                          p->id + PV_STUN_OWNER_PEERS);
    if (tx->relayed)
        return pv_peers_wrap(ps, tx->via, &tx->dst, pv_view(tx->buf, tx->len), ret_tx);
    if (!pv_transmit_to(ret_tx, &tx->dst, tx->buf, tx->len))
        return false;
    ret_tx->sock = tx->sock;
    ret_tx->ttl = tx->ttl;
    ret_tx->local = tx->local;
    return true;
}

/* Peers that may have something stand in a list, so nobody looks at thousands that have not. */
static bool poll_transmit(void *part, struct pv_engine_transmit *ret_tx)
{
    struct pv_peers *ps = part;
    struct pv_peer_transmit tx;
    while (ps->ready_first != NULL) {
        struct pv_peer *p = ps->ready_first;
        while (pv_peer_poll_transmit(p, &tx) == PV_OK) {
            if (address(ps, p, &tx, ret_tx))
                return true;
        }
        ps->ready_first = p->ready_next;
        if (ps->ready_first == NULL)
            ps->ready_last = NULL;
        p->ready = false;
    }
    return false;
}

/* --- endpoints of static peers --------------------------------------------------------------- */

static pv_job_done take_endpoint;

/* Once by name: when the peer roams its packets tell its address. */
void pv_peers_find_endpoint(struct pv_peers *ps, struct pv_peer *p, pv_ns now)
{
    struct pv_addr addr;
    p->resolve_at = PV_NEVER;
    if (p->endpoint_host == NULL)
        return;
    if (pv_addr_parse_ip(p->endpoint_host, &addr) == PV_OK) {
        addr.port = p->endpoint_port;
        pv_peer_set_endpoint(p, &addr, now);
        return;
    }
    struct pv_job *job = pv_job_new(PV_JOB_RESOLVE);
    if (job == NULL)
        return;
    snprintf(job->u.resolve.host, sizeof(job->u.resolve.host), "%s", p->endpoint_host);
    job->u.resolve.port = p->endpoint_port;
    (void)pv_jobqueue_submit(&ps->cfg.node->jobs, job, take_endpoint, ps, p->id);
}

static void take_endpoint(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct pv_peers *ps = wait->self;
    struct pv_peer *p = pv_peers_by_id(ps, (uint32_t)wait->tag);
    if (p == NULL)
        return;
    if (result->status == PV_OK && result->n_addrs > 0) {
        pv_peer_set_endpoint(p, &result->addrs[0], now);
    } else {
        pv_trace_add(&p->trace, now, "endpoint not found: %s", result->error);
        p->resolve_at = now + PV_PEER_RETRY_MAX;
    }
    pv_peers_touch(ps, p, now);
}

/* --- as a part ------------------------------------------------------------------------------- */

/* The table is made before all parts, since they find it in the node. */
static int adopt(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                 void **ret_part)
{
    *ret_part = node->peers;
    return PV_OK;
}

static void leave(void *part)
{
}

static int add_statics(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct pv_peers *ps = part;
    for (size_t i = 0; i < cfg->n_static_peers; i++) {
        int r = pv_peers_add_static(ps, &cfg->static_peers[i], now);
        if (r != PV_OK) {
            pv_log(ps->cfg.node->log, PV_LOG_ERROR,
                   "peer=%s what=\"static peer not added\" why=\"%s\"", cfg->static_peers[i].name,
                   pv_strstatus(r));
            return r;
        }
    }
    return PV_OK;
}

/* Was it one of our addresses, and is it none now? */
static bool is_gone(const struct pv_node *n, const struct pv_addr *local)
{
    for (size_t i = 0; i < n->host.n_links; i++) {
        if (pv_addr_equal_ip(&n->host.links[i].addr.base, local))
            return false;
    }
    return local->family != PV_AF_NONE;
}

/* A static peer has no agent that would notice that its path leaves from an address we lost. */
static void drop_lost_locals(struct pv_peers *ps, pv_ns now)
{
    for (struct pv_peer *p = NULL; (p = pv_peers_next(ps, p)) != NULL;) {
        if (!p->is_static || !pv_peer_has_path(p) || !is_gone(ps->cfg.node, &p->path.local))
            continue;
        pv_peer_forget_local(p, now);
        p->due |= PV_PEER_DUE_KEEPALIVE; /* by it the other side learns where we are */
        pv_peers_touch(ps, p, now);
    }
}

/* After a sleep every check is late: agents look at once instead of when their timers say. */
static void wake_agents(struct pv_peers *ps, pv_ns now)
{
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(ps, p)) != NULL;) {
        if (p->ice != NULL)
            pv_ice_kick(p->ice, now);
        pv_peers_touch(ps, p, now);
    }
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct pv_peers *ps = part;
    if ((facts & PV_FACT_LINKS) != 0)
        drop_lost_locals(ps, now);
    if ((facts & PV_FACT_RESUMED) != 0)
        wake_agents(ps, now);
    if (ps->cfg.node->common->signalling == ps->cfg.node->online)
        return;
    ps->cfg.node->common->signalling = ps->cfg.node->online; /* signals can be sent, or no longer */
    pv_peers_node_changed(ps, false, now);
}

const struct pv_part pv_part_peers = {
    .name = "peers",
    .after = {"relays", "bindings", "hardnat"},
    .make = adopt,
    .free = leave,
    .restore = add_statics,
    .on_facts = on_facts,
    .handle_stun = pv_peers_take_stun,
    .poll_transmit = poll_transmit,
    .inband = pv_peers_inband,
    .n_inband = PV_PEERS_INBAND,
    .status = pv_peers_status,
    .metrics = pv_peers_metrics,
};
