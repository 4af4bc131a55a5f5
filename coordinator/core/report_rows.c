/* SPDX-License-Identifier: MIT */
/* The table of the coordinator's own numbers: a new one is a field of struct pv_report (or of what
 * it holds) and a row here. */
#include "coordinator/core/report_rows.h"

#define OF(field)   offsetof(struct pv_report, field)
#define GAUGE       PV_METRICS_GAUGE
#define COUNTER     PV_METRICS_COUNTER
#define KIND(kind)  "p2pvpn_coordinator_connections", "kind", kind
#define NO_SAMPLE   GAUGE, NULL, NULL, NULL, NULL
#define PLAIN(name) "p2pvpn_coordinator_" name, NULL, NULL

static const struct pv_report_row rows[] = {
    {NULL, OF(uptime_s), {"uptime", NO_SAMPLE}}, /* Prometheus has process_start_time_seconds */
    {NULL, OF(coord.networks), {"networks", GAUGE, PLAIN("networks"), "Networks."}},
    {NULL,
     OF(coord.statements),
     {"statements", GAUGE, PLAIN("statements"), "Statements of all networks."}},
    {NULL, OF(coord.online), {"online", GAUGE, PLAIN("nodes_online"), "Nodes online."}},

    {"connections", OF(coord.conns), {"open", NO_SAMPLE}}, /* the sum of the kinds */
    {"connections",
     OF(coord.accepted),
     {"accepted", COUNTER, PLAIN("accepted_connections_total"), "TCP connections accepted."}},
    {"connections",
     OF(kinds.members),
     {"members", GAUGE, KIND("members"), "Open TCP connections, by what speaks there."}},
    {"connections", OF(kinds.guests), {"guests", GAUGE, KIND("guests"), NULL}},
    {"connections", OF(kinds.turn), {"turn", GAUGE, KIND("turn"), NULL}},
    {"connections", OF(kinds.stun), {"stun", GAUGE, KIND("stun"), NULL}},
    {"connections", OF(kinds.opening), {"opening", GAUGE, KIND("opening"), NULL}},
    {"connections", OF(kinds.closing), {"closing", GAUGE, KIND("closing"), NULL}},
    {"connections",
     OF(tls),
     {"tls", GAUGE, PLAIN("tls_connections"), "Those of them that are inside TLS."}},
    {"connections",
     OF(kinds.hybrid),
     {"hybrid", GAUGE, PLAIN("hybrid_connections"),
      "Control channels of members and guests whose keys ML-KEM-768 takes part in."}},
    {"connections",
     OF(handshakes),
     {"tls_handshakes", GAUGE, PLAIN("tls_handshakes"), "TLS handshakes under way."}},
    {"connections",
     OF(waiting),
     {"waiting", GAUGE, PLAIN("connections_waiting"),
      "1 while new connections wait because all descriptors are in use."}},

    {"requests",
     OF(coord.signals),
     {"signals", COUNTER, PLAIN("signals_total"), "Signals passed on between nodes."}},
    {"requests",
     OF(coord.failed),
     {"failed", COUNTER, PLAIN("failed_connections_total"),
      "Connections ended for a wrong handshake, message or hello."}},
    {"requests",
     OF(coord.requests),
     {"handled", COUNTER, PLAIN("requests_total"), "Requests of nodes."}},

    /* All of `limits` is one family, by name; those of enum pv_coord_limit follow this one. */
    {"limits", OF(tls_refused), {"tls_handshakes", NO_SAMPLE}},
    {"limits", OF(no_fds), {"descriptors", NO_SAMPLE}},

    {"store",
     OF(coord.jobs),
     {"pending", GAUGE, PLAIN("store_pending"), "Changes that wait for the disk."}},
    {"store",
     OF(store.failed),
     {"failed", COUNTER, PLAIN("store_failed_total"), "Changes that were not written."}},
    {"store", OF(store.bytes), {"bytes", GAUGE, PLAIN("store_bytes"), "Size of the database."}},
    {"store",
     OF(store.free),
     {"disk_free", GAUGE, PLAIN("disk_free_bytes"), "Free bytes of its disk."}},

    {"cluster",
     OF(living),
     {"coordinators", GAUGE, PLAIN("cluster_coordinators"),
      "Coordinators that share this one's database and live; 0: it has a database of its own."}},
    {"cluster",
     OF(coord.homes_taken),
     {"taken", COUNTER, PLAIN("homes_taken_total"), "Networks that came to this coordinator."}},
    {"cluster",
     OF(coord.homes_given),
     {"given", COUNTER, PLAIN("homes_given_total"),
      "Networks that it gave away, or let go as nobody used them."}},
    {"cluster",
     OF(coord.homes_lost),
     {"lost", COUNTER, PLAIN("homes_lost_total"), "Networks that other coordinators took."}},
    {"cluster",
     OF(coord.moved),
     {"moved", COUNTER, PLAIN("nodes_moved_total"),
      "Nodes that were told to go to another coordinator."}},

    {"loop",
     OF(loop.turns),
     {"turns", COUNTER, PLAIN("loop_turns_total"), "Turns of the control thread's loop."}},
    {"loop",
     OF(loop.slow),
     {"slow", COUNTER, PLAIN("loop_slow_turns_total"), "Turns that took more than 5 ms."}},
    {"loop",
     OF(loop.hard),
     {"hard", COUNTER, PLAIN("loop_hard_turns_total"),
      "Of the slow turns those in which the thread itself worked for more than 5 ms."}},
    {"loop",
     OF(loop.busy_us),
     {"busy_us", COUNTER, PLAIN("loop_busy_microseconds_total"),
      "Time that the control thread did not sleep."}},
    {"loop",
     OF(loop.longest_us),
     {"longest_us", GAUGE, PLAIN("loop_longest_turn_microseconds"),
      "The longest turn of the last one to two minutes."}},
};

const struct pv_report_row *pv_report_rows(size_t *ret_n)
{
    *ret_n = PV_ARRAY_LEN(rows);
    return rows;
}
