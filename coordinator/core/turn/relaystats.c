/* SPDX-License-Identifier: MIT */
/* The rows of the relay's numbers: their names in `status --json` and for Prometheus. */
#include "coordinator/core/turn/relaystats.h"

#include <string.h>

#define FAMILY(name) "p2pvpn_coordinator_relay_" name
#define ALLOCATIONS  FAMILY("allocations"), "for"
#define PACKETS      FAMILY("packets_total"), "for"
#define BYTES        FAMILY("bytes_total"), "for"
/* All drops are one family, whose label is the reason (core/report.c). */
#define DROP PV_METRICS_COUNTER, NULL, NULL, NULL, NULL

/* A family's sentence stands in its first row. */
static const struct pv_stat_row rows[PV_RELAYSTAT_N] = {
    [PV_RELAYSTAT_MEMBER_PACKETS] = {"member_packets", PV_METRICS_COUNTER, PACKETS, "members",
                                     "Datagrams relayed, each counted once."},
    [PV_RELAYSTAT_MEMBER_BYTES] = {"member_bytes", PV_METRICS_COUNTER, BYTES, "members",
                                   "Bytes of their payload, each counted once."},
    [PV_RELAYSTAT_STATIC_PACKETS] = {"static_packets", PV_METRICS_COUNTER, PACKETS, "static", NULL},
    [PV_RELAYSTAT_STATIC_BYTES] = {"static_bytes", PV_METRICS_COUNTER, BYTES, "static", NULL},
    [PV_RELAYSTAT_PHONE_PORT_PACKETS] = {"phone_port_packets", PV_METRICS_COUNTER, PACKETS,
                                         "phone_ports", NULL},
    [PV_RELAYSTAT_PHONE_PORT_BYTES] = {"phone_port_bytes", PV_METRICS_COUNTER, BYTES, "phone_ports",
                                       NULL},
    [PV_RELAYSTAT_REFUSED] = {"refused", PV_METRICS_COUNTER, FAMILY("refused_total"), NULL, NULL,
                              "TURN requests answered by an error."},
    [PV_RELAYSTAT_UDP_RECEIVED] = {"udp_received", PV_METRICS_COUNTER,
                                   FAMILY("received_datagrams_total"), NULL, NULL,
                                   "Datagrams that came in on the clients' UDP ports."},
    [PV_RELAYSTAT_DROP_NO_ALLOCATION] = {"drop_no_allocation", DROP},
    [PV_RELAYSTAT_DROP_NO_CHANNEL] = {"drop_no_channel", DROP},
    [PV_RELAYSTAT_DROP_NO_PERMISSION] = {"drop_no_permission", DROP},
    [PV_RELAYSTAT_DROP_NO_PEER] = {"drop_no_peer", DROP},
    [PV_RELAYSTAT_DROP_BANDWIDTH] = {"drop_bandwidth", DROP},
    [PV_RELAYSTAT_DROP_PHONE_PORT_FOREIGN] = {"drop_phone_port_foreign", DROP},
    [PV_RELAYSTAT_DROP_PHONE_PORT_LIMIT] = {"drop_phone_port_limit", DROP},
    [PV_RELAYSTAT_DROP_MALFORMED] = {"drop_malformed", DROP},
    [PV_RELAYSTAT_DROP_SEND] = {"drop_send", DROP},
    [PV_RELAYSTAT_DROP_NOT_RECEIVED] = {"drop_not_received", DROP},
    [PV_RELAYSTAT_DROP_RING] = {"drop_ring", DROP},
    [PV_RELAYSTAT_DROP_STREAM] = {"drop_stream", DROP},
    [PV_RELAYSTAT_MEMBERS] = {"members", PV_METRICS_GAUGE, FAMILY("members"), NULL, NULL,
                              "Members the relay knows."},
    [PV_RELAYSTAT_MEMBER_ALLOCATIONS] = {"member_allocations", PV_METRICS_GAUGE, ALLOCATIONS,
                                         "members", "Allocations."},
    [PV_RELAYSTAT_STATIC_ALLOCATIONS] = {"static_allocations", PV_METRICS_GAUGE, ALLOCATIONS,
                                         "static", NULL},
    [PV_RELAYSTAT_SOCKETS] = {"sockets", PV_METRICS_GAUGE, FAMILY("sockets"), NULL, NULL,
                              "Relay sockets of static users, and phone ports of members."},
    [PV_RELAYSTAT_PHONE_PORTS] = {"phone_ports", PV_METRICS_GAUGE, FAMILY("phone_ports"), NULL,
                                  NULL, "Phone ports of members that are open."},
};

static const struct pv_stat_row user_rows[PV_RELAYSTAT_USER_N] = {
    [PV_RELAYSTAT_USER_PACKETS] = {"packets", PV_METRICS_COUNTER, FAMILY("user_packets_total"),
                                   "user", NULL, "Datagrams relayed for a static user, both ways."},
    [PV_RELAYSTAT_USER_BYTES] = {"bytes", PV_METRICS_COUNTER, FAMILY("user_bytes_total"), "user",
                                 NULL, "Bytes of their payload, each counted once."},
    [PV_RELAYSTAT_USER_ALLOCATIONS] = {"allocations", PV_METRICS_GAUGE, FAMILY("user_allocations"),
                                       "user", NULL, "Allocations of a static user."},
};

const struct pv_stat_row *pv_relaystat_row(enum pv_relaystat what)
{
    return &rows[what];
}

const struct pv_stat_row *pv_relaystat_user_row(enum pv_relaystat_user what)
{
    return &user_rows[what];
}

const char *pv_relaystat_reason(enum pv_relaystat what)
{
    static const char prefix[] = "drop_";
    const char *key = rows[what].key;
    bool is_drop = key != NULL && strncmp(key, prefix, sizeof(prefix) - 1) == 0;
    return is_drop ? key + sizeof(prefix) - 1 : NULL;
}
