/* SPDX-License-Identifier: MIT */
/* A report as text for Prometheus (docs/OPERATIONS.md "Metrics"). */
#include <string.h>

#include "coordinator/core/report.h"

static uint64_t of(const json_t *obj, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(obj, key));
    return n < 0 ? 0 : (uint64_t)n;
}

static void gauge(struct pv_metrics *m, const char *name, const char *help, uint64_t value)
{
    pv_metrics_family(m, PV_METRICS_GAUGE, name, help);
    pv_metrics_count(m, value, NULL);
}

static void counter(struct pv_metrics *m, const char *name, const char *help, uint64_t value)
{
    pv_metrics_family(m, PV_METRICS_COUNTER, name, help);
    pv_metrics_count(m, value, NULL);
}

/* Each member of an object becomes a sample with its name as the label. */
static void put_object(struct pv_metrics *m, const char *label, json_t *counts)
{
    const char *name;
    json_t *value;
    json_object_foreach(counts, name, value)
    {
        if (json_is_integer(value))
            pv_metrics_count(m, of(counts, name), label, name, NULL);
    }
}

static void put_service(struct pv_metrics *m, const json_t *doc)
{
    static const char *const kinds[] = {"members", "guests", "turn", "stun", "opening", "closing"};
    const json_t *conns = json_object_get(doc, "connections");
    const json_t *requests = json_object_get(doc, "requests");
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_coordinator_build_info",
                      "The version that runs.");
    pv_metrics_count(m, 1, "version", json_string_value(json_object_get(doc, "coordinator")), NULL);
    gauge(m, "p2pvpn_coordinator_networks", "Networks.", of(doc, "networks"));
    gauge(m, "p2pvpn_coordinator_statements", "Statements of all networks.", of(doc, "statements"));
    gauge(m, "p2pvpn_coordinator_nodes_online", "Nodes online.", of(doc, "online"));
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_coordinator_connections",
                      "Open TCP connections, by what speaks there.");
    for (size_t i = 0; i < PV_ARRAY_LEN(kinds); i++)
        pv_metrics_count(m, of(conns, kinds[i]), "kind", kinds[i], NULL);
    gauge(m, "p2pvpn_coordinator_tls_connections", "Those of them that are inside TLS.",
          of(conns, "tls"));
    gauge(m, "p2pvpn_coordinator_tls_handshakes", "TLS handshakes under way.",
          of(conns, "tls_handshakes"));
    counter(m, "p2pvpn_coordinator_accepted_connections_total", "TCP connections accepted.",
            of(conns, "accepted"));
    counter(m, "p2pvpn_coordinator_requests_total", "Requests of nodes.", of(requests, "handled"));
    counter(m, "p2pvpn_coordinator_signals_total", "Signals passed on between nodes.",
            of(requests, "signals"));
    counter(m, "p2pvpn_coordinator_failed_connections_total",
            "Connections ended for a wrong handshake, message or hello.", of(requests, "failed"));
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_coordinator_limited_total",
                      "Connections and requests turned away, by the limit that was hit.");
    put_object(m, "limit", json_object_get(doc, "limits"));
}

static void put_users(struct pv_metrics *m, const json_t *relay)
{
    static const struct {
        enum pv_metrics_type type;
        const char *name, *help, *key;
    } families[] = {
        {PV_METRICS_GAUGE, "p2pvpn_coordinator_relay_user_allocations",
         "Allocations of a static user.", "allocations"},
        {PV_METRICS_COUNTER, "p2pvpn_coordinator_relay_user_packets_total",
         "Datagrams relayed for a static user, both ways.", "packets"},
        {PV_METRICS_COUNTER, "p2pvpn_coordinator_relay_user_bytes_total",
         "Bytes of their payload, each counted once.", "bytes"},
    };
    const json_t *user;
    size_t i;
    for (size_t f = 0; f < PV_ARRAY_LEN(families); f++) {
        pv_metrics_family(m, families[f].type, families[f].name, families[f].help);
        json_array_foreach(json_object_get(relay, "users"), i, user)
        {
            pv_metrics_count(m, of(user, families[f].key), "user",
                             json_string_value(json_object_get(user, "name")), NULL);
        }
    }
}

static void put_relay(struct pv_metrics *m, const json_t *relay)
{
    gauge(m, "p2pvpn_coordinator_relay_enabled", "1: the relay is on.",
          json_is_true(json_object_get(relay, "enabled")));
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_coordinator_relay_allocations", "Allocations.");
    pv_metrics_count(m, of(relay, "member_allocations"), "for", "members", NULL);
    pv_metrics_count(m, of(relay, "static_allocations"), "for", "static", NULL);
    gauge(m, "p2pvpn_coordinator_relay_members", "Members the relay knows.", of(relay, "members"));
    gauge(m, "p2pvpn_coordinator_relay_sockets", "Relay sockets of static users.",
          of(relay, "sockets"));
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_coordinator_relay_packets_total",
                      "Datagrams relayed, each counted once.");
    pv_metrics_count(m, of(relay, "member_packets"), "for", "members", NULL);
    pv_metrics_count(m, of(relay, "static_packets"), "for", "static", NULL);
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_coordinator_relay_bytes_total",
                      "Bytes of their payload, each counted once.");
    pv_metrics_count(m, of(relay, "member_bytes"), "for", "members", NULL);
    pv_metrics_count(m, of(relay, "static_bytes"), "for", "static", NULL);
    counter(m, "p2pvpn_coordinator_relay_refused_total", "TURN requests answered by an error.",
            of(relay, "refused"));
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_coordinator_relay_drops_total",
                      "Datagrams not relayed, by reason.");
    put_object(m, "reason", json_object_get(relay, "drops"));
    put_users(m, relay);
}

static void put_store(struct pv_metrics *m, const json_t *store)
{
    gauge(m, "p2pvpn_coordinator_store_healthy", "1: the last change was written.",
          json_is_null(json_object_get(store, "error")));
    gauge(m, "p2pvpn_coordinator_store_pending", "Changes that wait for the disk.",
          of(store, "pending"));
    counter(m, "p2pvpn_coordinator_store_failed_total", "Changes that were not written.",
            of(store, "failed"));
    gauge(m, "p2pvpn_coordinator_store_bytes", "Size of the database.", of(store, "bytes"));
    gauge(m, "p2pvpn_coordinator_disk_free_bytes", "What is left of its disk.",
          of(store, "disk_free"));
}

static void put_process(struct pv_metrics *m, const json_t *process)
{
    const struct pv_metrics_process p = {
        .cpu_s = json_number_value(json_object_get(process, "cpu")),
        .start_s = json_number_value(json_object_get(process, "start")),
        .resident = of(process, "resident"),
        .fds = of(process, "fds"),
        .max_fds = of(process, "max_fds"),
    };
    pv_metrics_process(m, "p2pvpn_coordinator", &p);
}

int pv_report_metrics(const json_t *doc, char **ret_text, size_t *ret_len)
{
    struct pv_metrics m;
    if (of(doc, "version") != PV_REPORT_VERSION)
        return PV_ERR_MALFORMED;
    pv_metrics_init(&m);
    put_service(&m, doc);
    put_relay(&m, json_object_get(doc, "relay"));
    put_store(&m, json_object_get(doc, "store"));
    put_process(&m, json_object_get(doc, "process"));
    return pv_metrics_take(&m, ret_text, ret_len);
}
