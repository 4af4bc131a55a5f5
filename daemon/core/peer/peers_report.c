/* SPDX-License-Identifier: MIT */
/* peers_report.c - what the peers have to say in `status` and in metrics: each of them, and sums
 * that also count those that are gone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peer_show.h"
#include "daemon/core/peer/peers_int.h"
#include "proto/local/ctlapi.h"

/* --- status ----------------------------------------------------------------------------------- */

enum {
    WITHHELD_NAMES = 4 * PV_NAME_BUF, /* bytes: three names are said, others are counted */
};

/* Members whose half of the exchange does not come, though they announced it. */
struct withheld {
    char names[WITHHELD_NAMES];
    unsigned n;
};

static void note_withheld(struct withheld *w, const struct pv_peer *p)
{
    size_t used = strlen(w->names);
    if (w->n++ < 3)
        snprintf(w->names + used, sizeof(w->names) - used, "%s%s", w->n > 1 ? ", " : "", p->name);
}

/* Sessions by kind, and those whose packets wait. */
static void count_sessions(const struct pv_peers *ps, struct pv_statuspage_pq *pq,
                           struct withheld *w, pv_ns now)
{
    for (const struct pv_peer *p = NULL; (p = pv_peers_next_member(ps, p)) != NULL;) {
        enum pv_peer_pq_state state = pv_peer_pq(p, now).state;
        if (state == PV_PEER_PQ_NONE)
            continue;
        pq->hybrid += state == PV_PEER_PQ_HYBRID ? 1 : 0;
        pq->classical += state == PV_PEER_PQ_HYBRID ? 0 : 1;
        pq->waiting += state == PV_PEER_PQ_WITHHELD || state == PV_PEER_PQ_REQUIRED ? 1 : 0;
        if (state == PV_PEER_PQ_WITHHELD)
            note_withheld(w, p);
    }
}

static const char *policy_word(const struct pv_node *n)
{
    static const char *const words[] = {
        [PV_PQ_ON] = "on", [PV_PQ_REQUIRE] = "require", [PV_PQ_OFF] = "off"};
    return n->given.kem == NULL && n->given.pq != PV_PQ_OFF ? "unable" : words[n->given.pq];
}

static void show_pq(const struct pv_peers *ps, struct pv_statuspage *st, pv_ns now)
{
    const struct pv_node *n = ps->cfg.node;
    struct withheld w = {.n = 0};
    char text[WITHHELD_NAMES + 48];
    st->pq.state = policy_word(n);
    st->pq.why = n->given.kem == NULL ? n->given.kem_why : NULL;
    count_sessions(ps, &st->pq, &w, now);
    if (n->given.kem == NULL && n->given.pq == PV_PQ_REQUIRE)
        pv_statuspage_problem(st, "no packet passes to members: [security] pq = require, but ",
                              pv_peer_why_no_kem(n));
    if (w.n == 0)
        return;
    if (w.n > 3)
        snprintf(text, sizeof(text), "%s and %u more", w.names, w.n - 3);
    else
        snprintf(text, sizeof(text), "%s", w.names);
    pv_statuspage_problem(
        st, text,
        " announced post-quantum sessions, but the keys for them do not come; packets wait "
        "(`p2pvpnctl why` says what is known of it)");
}

void pv_peers_status(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct pv_peers *ps = part;
    for (const struct pv_peer *p = NULL; (p = pv_peers_next_member(ps, p)) != NULL;)
        st->s.online += pv_peer_reach(p) != PV_REACH_NO ? 1 : 0;
    show_pq(ps, st, now);
}

/* A static peer's path is what the configuration says, and proves nothing. */
bool pv_peers_udp_elsewhere(const struct pv_peers *ps)
{
    for (const struct pv_peer *p = NULL; (p = pv_peers_next_member(ps, p)) != NULL;) {
        const struct pv_carrier *path = pv_peer_path(p);
        if (path != NULL && pv_peer_is_direct(p) && pv_peer_path_works(p) &&
            pv_addr_is_usable_remote(&path->remote) && !pv_addr_is_private(&path->remote))
            return true;
    }
    /* 0 is the coordinator's own. */
    for (unsigned via = 1; via < PV_FP_MAX_RELAYS; via++) {
        const struct pv_relayway *r = ps->cfg.node->ways.relays[via];
        if (r != NULL && pv_relayway_is_reached(r) && pv_relayway_way(r) == PV_RELAYWAY_UDP)
            return true;
    }
    return false;
}

/* --- metrics: of each peer -------------------------------------------------------------------- */

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

/* A row for each peer, filled once: the page lists families and not peers, so otherwise each peer
 * would be looked at nine times. */
static size_t look_at_peers(struct pv_peers *ps, struct row *rows, pv_ns now)
{
    size_t n = 0;
    for (struct pv_peer *p = NULL; (p = pv_peers_next(ps, p)) != NULL;) {
        struct row *r = &rows[n++];
        *r = (struct row){.p = p, .used = p->session != NULL || pv_peer_has_path(p)};
        pv_peer_show(p, &r->x, now);
        if (!p->is_static)
            pv_peer_count_relay_time(p, now);
    }
    return n;
}

static void put_each(const struct row *rows, size_t n, struct pv_metrics *m)
{
    for (size_t f = 0; f < PV_ARRAY_LEN(PEER_FAMILIES); f++) {
        pv_metrics_family(m, PEER_FAMILIES[f].type, PEER_FAMILIES[f].name, PEER_FAMILIES[f].help);
        for (size_t i = 0; i < n; i++) {
            double value = 0;
            if (PEER_FAMILIES[f].get(&rows[i], &value)) /* both kinds may have the same name */
                pv_metrics_real(m, value, "peer", rows[i].p->name, "kind",
                                rows[i].p->is_guest    ? "guest"
                                : rows[i].p->is_static ? "static"
                                                       : "member",
                                NULL);
        }
    }
}

/* --- metrics: sums ---------------------------------------------------------------------------- */

static void counter(struct pv_metrics *m, const char *name, const char *help, uint64_t value)
{
    pv_metrics_family(m, PV_METRICS_COUNTER, name, help);
    pv_metrics_count(m, value, NULL);
}

/* Peers that are gone are part of the sums: a counter must not fall. */
static void put_sums(const struct pv_peers *ps, struct pv_metrics *m)
{
    struct pv_peer_sums sum = ps->cfg.node->common->gone;
    for (const struct pv_peer *p = NULL; (p = pv_peers_next(ps, p)) != NULL;)
        pv_peer_add_sums(p, &sum);
    counter(m, "p2pvpn_sent_bytes_total", "Bytes of packets that went into the tunnel.",
            sum.tx_bytes);
    counter(m, "p2pvpn_received_bytes_total", "Bytes of packets that came out of the tunnel.",
            sum.rx_bytes);
    counter(m, "p2pvpn_sent_datagrams_total", "Sealed datagrams sent to peers.", sum.tx_packets);
    counter(m, "p2pvpn_received_datagrams_total", "Authenticated datagrams of peers.",
            sum.rx_packets);
}

static void put_sessions(const struct pv_peers *ps, struct pv_metrics *m, pv_ns now)
{
    struct pv_statuspage_pq pq = {.hybrid = 0};
    struct withheld w = {.n = 0};
    count_sessions(ps, &pq, &w, now);
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_sessions",
                      "Sessions with members that have keys, by kind.");
    pv_metrics_count(m, pq.hybrid, "kind", "hybrid", NULL);
    pv_metrics_count(m, pq.classical, "kind", "classical", NULL);
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_sessions_waiting",
                      "Classical sessions that carry no packets until they are hybrid.");
    pv_metrics_count(m, pq.waiting, NULL);
}

void pv_peers_metrics(void *part, struct pv_metrics *m, pv_ns now)
{
    struct pv_peers *ps = part;
    size_t n_peers = pv_peers_count_members(ps) + pv_peers_count_statics(ps);
    struct row *rows = calloc(n_peers + 1, sizeof(*rows));
    /* Before the times on relays are told, each of them is counted up to now. */
    size_t n = rows == NULL ? 0 : look_at_peers(ps, rows, now);
    put_sums(ps, m);
    pv_pathstats_metrics(&ps->cfg.node->common->stats, m);
    put_sessions(ps, m, now);
    put_each(rows, n, m); /* without memory the families have no samples this time */
    free(rows);
}
