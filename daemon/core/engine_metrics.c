/* SPDX-License-Identifier: MIT */
/* What the engine knows, as numbers for Prometheus (docs/OPERATIONS.md "Metrics"). */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/engine_int.h"

static void gauge(struct pv_metrics *m, const char *name, const char *help, double value)
{
    pv_metrics_family(m, PV_METRICS_GAUGE, name, help);
    pv_metrics_real(m, value, NULL);
}

static void counter(struct pv_metrics *m, const char *name, const char *help, uint64_t value)
{
    pv_metrics_family(m, PV_METRICS_COUNTER, name, help);
    pv_metrics_count(m, value, NULL);
}

/* --- the node -------------------------------------------------------------------------------- */

static void put_node(struct pv_engine *e, struct pv_metrics *m, pv_ns now)
{
    const struct pv_coordclient *coord = e->node.coord;
    const char *state = pv_engine_state_name(e);
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_build_info", "The version that runs.");
    pv_metrics_count(m, 1, "version", PV_VERSION, NULL);
    gauge(m, "p2pvpn_up", "1: the network is up, as status says, or only static peers are wanted.",
          strcmp(state, "up") == 0 || strcmp(state, "static") == 0);
    gauge(m, "p2pvpn_problems", "What status finds wrong.",
          (double)pv_engine_count_problems(e, now));
    gauge(m, "p2pvpn_coordinator_connected", "1: the control channel to the coordinator is up.",
          e->node.online);
    counter(m, "p2pvpn_coordinator_connects_total",
            "How often the control channel came up: the first time and after each loss.",
            e->coord_connects);
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_coordinator_rtt_seconds",
                      "Round trip on the control channel.");
    if (e->node.online && pv_coordclient_rtt(coord) != 0)
        pv_metrics_real(m, (double)pv_coordclient_rtt(coord) / 1e9, NULL);
    gauge(m, "p2pvpn_members", "Members of the network, this one included.",
          e->node.roster == NULL ? 0 : (double)pv_roster_count(e->node.roster));
    gauge(m, "p2pvpn_udp_blocked", "1: no UDP gets out of this network, everything is relayed.",
          pv_udpwatch_is_blocked(pv_relays_udpwatch(&e->node)));
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_port_mapped",
                      "1: the router maps our port, proven from outside.");
    pv_metrics_count(
        m, pv_mapper_view(pv_portmap_mapper(&e->node), PV_AF_INET).state == PV_MAPPER_WORKING,
        "family", "ipv4", NULL);
    pv_metrics_count(
        m, pv_mapper_view(pv_portmap_mapper(&e->node), PV_AF_INET6).state == PV_MAPPER_WORKING,
        "family", "ipv6", NULL);
}

/* --- packets --------------------------------------------------------------------------------- */

static void put_packets(const struct pv_engine *e, struct pv_metrics *m)
{
    struct pv_peer_sums sum = e->env.gone;
    struct pv_engine_drop drops[PV_ENGINE_DROPS];
    for (struct pv_peer *p = NULL; (p = pv_peers_next(e->node.peers, p)) != NULL;)
        pv_peer_add_sums(p, &sum);
    counter(m, "p2pvpn_sent_bytes_total", "Bytes of packets that went into the tunnel.",
            sum.tx_bytes);
    counter(m, "p2pvpn_received_bytes_total", "Bytes of packets that came out of the tunnel.",
            sum.rx_bytes);
    counter(m, "p2pvpn_sent_datagrams_total", "Sealed datagrams sent to peers.", sum.tx_packets);
    counter(m, "p2pvpn_received_datagrams_total", "Authenticated datagrams of peers.",
            sum.rx_packets);
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_drops_total",
                      "Packets and messages thrown away, by reason.");
    size_t n = pv_engine_drops(e, drops);
    for (size_t i = 0; i < n; i++)
        pv_metrics_count(m, drops[i].count, "reason", drops[i].reason, NULL);
}

static void put_datapath(const struct pv_engine_datapath *d, struct pv_metrics *m)
{
    gauge(m, "p2pvpn_workers", "Pairs of threads, or one thread, that carry packets.", d->workers);
    gauge(m, "p2pvpn_threads", "Threads that carry packets.", d->threads);
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_datapath_info",
                      "What seals packets, and what the kernel takes in one piece.");
    if (d->workers > 0)
        pv_metrics_count(m, 1, "aead", d->aead, "tcp_offload", d->tcp_offload ? "yes" : "no",
                         "udp_offload", d->udp_offload ? "yes" : "no", NULL);
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_fallback_info", "What is not used, and why.");
    for (size_t i = 0; i < d->n_off; i++)
        pv_metrics_count(m, 1, "what", d->off[i].what, "why", d->off[i].why, NULL);
}

/* --- relays ---------------------------------------------------------------------------------- */

static void put_relays(const struct pv_engine *e, struct pv_metrics *m)
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
    for (size_t f = 0; f < PV_ARRAY_LEN(families); f++) {
        pv_metrics_family(m, families[f].type, families[f].name, families[f].help);
        for (uint16_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
            char name[PV_TURNSERVERS_NAME];
            const struct pv_relayway *r = e->env.relays[i];
            if (r == NULL)
                continue;
            const struct pv_peer_relayed sum = pv_peers_relayed(e->node.peers, i);
            const double values[] = {pv_relayway_way(r) != PV_RELAYWAY_NONE,
                                     (double)pv_relayway_rtt(r) / 1e9, (double)sum.tx,
                                     (double)sum.rx};
            if (f != 1 || values[f] > 0)
                pv_metrics_real(m, values[f], "relay", pv_relays_name(&e->node, i, name), NULL);
        }
    }
}

/* --- peers ----------------------------------------------------------------------------------- */

/* One peer, looked at once for all families. */
struct row {
    const struct pv_peer *p;
    bool used; /* it was reached, or is being reached */
    struct pv_ctlapi_peer x;
};

static bool online(const struct row *r, double *ret_value)
{
    *ret_value = r->x.online;
    return true;
}

static bool direct(const struct row *r, double *ret_value)
{
    *ret_value = r->x.path.type == PV_CTLAPI_PATH_DIRECT || r->x.path.type == PV_CTLAPI_PATH_STATIC;
    return r->used;
}

static bool relayed(const struct row *r, double *ret_value)
{
    *ret_value = r->x.path.type == PV_CTLAPI_PATH_RELAY;
    return r->used;
}

static bool sent(const struct row *r, double *ret_value)
{
    *ret_value = (double)r->x.tx_bytes;
    return r->used;
}

static bool received(const struct row *r, double *ret_value)
{
    *ret_value = (double)r->x.rx_bytes;
    return r->used;
}

static bool rtt(const struct row *r, double *ret_value)
{
    *ret_value = r->x.path.rtt_ms / 1e3;
    return r->x.path.rtt_ms >= 0;
}

static bool loss(const struct row *r, double *ret_value)
{
    *ret_value = r->x.path.loss;
    return r->x.path.loss >= 0;
}

static bool mtu(const struct row *r, double *ret_value)
{
    *ret_value = r->x.path.mtu;
    return r->x.path.type != PV_CTLAPI_PATH_NONE;
}

static bool handshake(const struct row *r, double *ret_value)
{
    *ret_value = (double)r->x.last_handshake_ms / 1e3;
    return r->x.last_handshake_ms != 0;
}

static const struct {
    enum pv_metrics_type type;
    const char *name, *help;
    bool (*get)(const struct row *r, double *ret_value); /* false: there is no value */
} PEER_FAMILIES[] = {
    {PV_METRICS_GAUGE, "p2pvpn_peer_online", "1: the peer is online.", online},
    {PV_METRICS_GAUGE, "p2pvpn_peer_direct", "1: the path to the peer is direct.", direct},
    {PV_METRICS_GAUGE, "p2pvpn_peer_relayed", "1: the path to the peer leads through a relay.",
     relayed},
    {PV_METRICS_COUNTER, "p2pvpn_peer_sent_bytes_total", "Bytes of packets sent to the peer.",
     sent},
    {PV_METRICS_COUNTER, "p2pvpn_peer_received_bytes_total",
     "Bytes of packets received from the peer.", received},
    {PV_METRICS_GAUGE, "p2pvpn_peer_rtt_seconds", "Round trip of the path to the peer.", rtt},
    {PV_METRICS_GAUGE, "p2pvpn_peer_loss_ratio", "Checks of the path lost lately, 0 to 1.", loss},
    {PV_METRICS_GAUGE, "p2pvpn_peer_mtu_bytes", "Largest packet that the path carries.", mtu},
    {PV_METRICS_GAUGE, "p2pvpn_peer_last_handshake_timestamp_seconds",
     "When session keys were agreed last, Unix time.", handshake},
};

static size_t look_at_peers(struct pv_engine *e, struct row *rows, pv_ns now)
{
    size_t n = 0;
    for (struct pv_peer *p = NULL; (p = pv_peers_next(e->node.peers, p)) != NULL;) {
        struct row *r = &rows[n++];
        *r = (struct row){.p = p, .used = p->session != NULL || p->has_path};
        pv_peer_show(p, &r->x, now);
        if (!p->is_static)
            pv_peer_count_relay_time(p, now);
    }
    return n;
}

static void put_peers(const struct row *rows, size_t n, struct pv_metrics *m)
{
    for (size_t f = 0; f < PV_ARRAY_LEN(PEER_FAMILIES); f++) {
        pv_metrics_family(m, PEER_FAMILIES[f].type, PEER_FAMILIES[f].name, PEER_FAMILIES[f].help);
        for (size_t i = 0; i < n; i++) {
            double value = 0;
            if (PEER_FAMILIES[f].get(&rows[i], &value)) /* both kinds may have the same name */
                pv_metrics_real(m, value, "peer", rows[i].p->name, "kind",
                                rows[i].p->is_static ? "static" : "member", NULL);
        }
    }
}

/* --- all of it ------------------------------------------------------------------------------- */

void pv_engine_set_process(struct pv_engine *e, const struct pv_metrics_process *process)
{
    e->process = *process;
}

int pv_engine_metrics(struct pv_engine *e, pv_ns now, char **ret_text, size_t *ret_len)
{
    struct pv_metrics m;
    size_t n_peers = pv_peers_count_members(e->node.peers) + pv_peers_count_statics(e->node.peers);
    struct row *rows = calloc(n_peers + 1, sizeof(*rows));
    if (rows == NULL)
        return PV_ERR_NOMEM;
    size_t n = look_at_peers(e, rows, now);
    pv_metrics_init(&m);
    put_node(e, &m, now);
    put_packets(e, &m);
    put_datapath(&e->datapath, &m);
    pv_pathstats_metrics(&e->env.stats, &m);
    put_relays(e, &m);
    put_peers(rows, n, &m);
    pv_metrics_process(&m, "p2pvpn", &e->process);
    free(rows);
    return pv_metrics_take(&m, ret_text, ret_len);
}

void pv_engine_show_metrics(struct pv_engine *e, uint64_t handle, pv_ns now)
{
    char *text = NULL;
    size_t len = 0;
    json_t *body = NULL;
    if (pv_engine_metrics(e, now, &text, &len) == PV_OK)
        body = pv_ctlapi_metrics_json(text);
    free(text);
    pv_ctlsrv_answer(e->node.ctl, handle, body);
}
