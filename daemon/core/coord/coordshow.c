/* SPDX-License-Identifier: MIT */
/* The coordinator's rows of `status` and of the metrics page. */
#include "daemon/core/coord/coordshow.h"

#include <stdio.h>

#include "daemon/core/coord/coordclient.h"
#include "daemon/core/node/statuspage.h"

enum {
    CLOCK_OFF = 60, /* seconds; ours: rounding and a slow first answer stay far below */
};

/* How far this machine's clock is from the coordinator's: seconds, negative: behind it. 0: they
 * agree within a minute, or the coordinator's is not known. */
static int64_t clock_off(const struct pv_node *n, pv_ns now)
{
    uint64_t theirs = pv_coordclient_time_us(n->coord, now);
    if (theirs == 0)
        return 0;
    int64_t off = (int64_t)(pv_node_wall_us(n, now) - theirs) / 1000000;
    return off > CLOCK_OFF || off < -CLOCK_OFF ? off : 0;
}

static void show_problems(const struct pv_node *n, bool has_kem, struct pv_statuspage *st,
                          pv_ns now)
{
    int64_t off = clock_off(n, now);
    char text[120], time[PV_AMOUNT_BUF];
    /* To be offline is a problem only where the user wants to be online. A removed node has a line
     * of its own. */
    if (n->roster != NULL && n->up && !n->removed && !n->online && n->coord_info.error[0] != '\0')
        pv_statuspage_problem(st, "cannot reach the coordinator: ", n->coord_info.error);
    /* This machine's own want of a KEM is not the coordinator's doing. */
    if (n->online && n->coord_info.hybrid_lost && has_kem)
        pv_statuspage_problem(st, "the connection to the coordinator is no longer post-quantum: ",
                              "it was before; ask the coordinator's operator for its OpenSSL "
                              "(3.5 or newer)");
    if (off == 0)
        return;
    snprintf(text, sizeof(text), "this machine's clock is %s %s the coordinator's: ",
             pv_duration_format((double)(off < 0 ? -off : off), time),
             off < 0 ? "behind" : "ahead of");
    pv_statuspage_problem(st, text, "one of the two is wrong: see timedatectl on both");
}

/* A name as it was given, of addresses the one in use: of several not all may be reached. */
static const char *host_text(const struct pv_node *n, const struct pv_hostport *host,
                             char buf[static PV_HOSTPORT_BUF])
{
    const struct pv_addr *used = pv_coordclient_addr(n->coord);
    struct pv_hostport hp = *host;
    struct pv_addr ip;
    if (used != NULL && n->online && !pv_coordclient_is_tls(n->coord) &&
        pv_addr_parse_ip(hp.host, &ip) == PV_OK) {
        hp = (struct pv_hostport){.port = used->port};
        pv_addr_format_ip(used, hp.host);
    }
    return pv_hostport_format(&hp, buf);
}

void pv_coordshow_status(const struct pv_node *n, const struct pv_coordaddrs *addrs, bool has_kem,
                         struct pv_statuspage *st, pv_ns now)
{
    st->s.connected = n->online;
    st->s.coordinator_error = n->coord_info.error[0] != '\0' ? n->coord_info.error : NULL;
    if (n->roster != NULL && addrs->n_hosts > 0)
        st->s.coordinator = host_text(n, &addrs->hosts[0], st->coordinator);
    if (pv_coordclient_rtt(n->coord) != 0)
        st->s.coordinator_rtt_ms = (double)pv_coordclient_rtt(n->coord) / 1e6;
    if (n->online)
        st->pq.coordinator = n->coord_info.hybrid ? "hybrid" : "classical";
    show_problems(n, has_kem, st, now);
}

/* The round trip is left out while the connection is away: an old figure would look like a good
 * one. */
void pv_coordshow_metrics(const struct pv_node *n, struct pv_metrics *m)
{
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_coordinator_connected",
                      "1: the control channel to the coordinator is up.");
    pv_metrics_count(m, n->online, NULL);
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_coordinator_hybrid",
                      "1: ML-KEM-768 takes part in the keys of the control channel.");
    pv_metrics_count(m, n->online && n->coord_info.hybrid, NULL);
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_coordinator_connects_total",
                      "How often the control channel came up: the first time and after each loss.");
    pv_metrics_count(m, n->coord_info.connects, NULL);
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_coordinator_rtt_seconds",
                      "Round trip on the control channel.");
    if (n->online && pv_coordclient_rtt(n->coord) != 0)
        pv_metrics_real(m, (double)pv_coordclient_rtt(n->coord) / 1e9, NULL);
}
