/* SPDX-License-Identifier: MIT */
/*
 * ctlapi_status.h - the answer to `status` (ctlapi.h), field by field.
 */
#ifndef PV_CTLAPI_STATUS_H
#define PV_CTLAPI_STATUS_H

#include <jansson.h>

#include "base/addr.h"
#include "base/pv.h"
#include "proto/ip/offload.h"

struct pv_ctlapi_status {
    const char *state;   /* "none" (not joined), "static", "removed", "expired", "waiting", "down",
                            "connecting",   "up" */
    uint64_t uptime_s;   /* of the daemon */
    const char *network; /* NULL: "network" is null */
    const uint8_t *network_id; /* PV_CTLAPI_NETWORK_LEN bytes */
    struct pv_prefix cidr, ula;
    const char *name; /* of this node; NULL: "self" is null */
    struct pv_addr ip4, ip6;
    const uint8_t *key, *wg_key;
    uint64_t wg_key_since_s; /* Unix seconds; 0: null */
    uint64_t wg_key_until_s; /* about then it is replaced by itself; 0: null, it is not */
    uint64_t expires_s;      /* Unix seconds, when its membership ends; 0: null, never */
    bool admin;
    bool root_key;         /* the root key of this network is here */
    const char *interface; /* NULL: "interface" is null */
    unsigned mtu;
    unsigned udp_port;
    const char *confined;    /* what rights the daemon has; NULL: not told */
    unsigned inside;         /* a process in the inside of p2pvpnd --user; 0: null */
    const char *stack;       /* "kernel", "lwip"; NULL: null */
    const char *stack_why;   /* NULL: null */
    const char *coordinator; /* address as in the record; NULL: "coordinator" is null */
    bool connected;
    double coordinator_rtt_ms;               /* < 0: null */
    const char *coordinator_error;           /* NULL: null */
    uint64_t away_since_s;                   /* not connected since then; 0: null */
    unsigned reached_without;                /* peers with a path meanwhile */
    const char *relay;                       /* its address; NULL: "relay" is null */
    uint64_t relay_tx_bytes, relay_rx_bytes; /* inner packets that went through all relays */
    const struct pv_addr *public_addrs;      /* as seen from outside */
    size_t n_public;
    bool unseen;         /* none, since the coordinator is on this node's side of the NAT */
    const uint8_t *head; /* 32 bytes; NULL: "roster" is null */
    unsigned members, online;
    unsigned rules;              /* of the network, in force */
    bool deny_default;           /* what no rule allows is denied */
    uint64_t unread, queued;     /* chat */
    const char *const *problems; /* sentences */
    size_t n_problems;
    const char *const *drop_names; /* packets thrown away, by reason */
    const uint64_t *drop_counts;
    size_t n_drops;
};
/* {"version":1,"daemon","state","uptime","network":{"name","id","cidr","ip6"},
 *  "self":{"name","ip4","ip6","key","wg_key","wg_key_since","wg_key_until","admin",
 *  "root_key"},"interface":{"name","mtu","port"},
 *  "coordinator":{"address","connected","rtt_ms","error","away_since","reached_without"},
 *  "relay":{"address","tx_bytes","rx_bytes"},"relayed":{"tx_bytes","rx_bytes"},"public":[…],
 *  "unseen","roster":{"head","members","online"},"rules":{"count","default"},"chat":{"unread","queued"},"problems":[…],"drops":{…},"confined",
 *  "inside","stack","stack_why"}
 */
json_t *pv_ctlapi_status_json(const struct pv_ctlapi_status *status);

/* The facts known about the own NAT, and the budget of attempts to cross hard ones. */
struct pv_ctlapi_hard {
    const char *mapping, *ports;            /* words */
    bool predict, birthday;                 /* what is switched on */
    bool running;                           /* an attempt is under way */
    unsigned attempts;                      /* since the daemon started */
    unsigned sockets, max_mappings;         /* sockets open for attempts, and their limit */
    unsigned packets, max_packets, max_pps; /* packets: of the present or last attempt */
    unsigned kept;                          /* sockets that carry a path */
};
/* Adds "hard_nat":{"mapping","ports","on","predict","birthday","running","attempts","sockets",
 * "max_mappings","packets","max_packets","max_pps","kept"} to a status. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlapi_status_add_hard(json_t *status, const struct pv_ctlapi_hard *hard);

/* Sessions with members that no quantum computer opens later. */
struct pv_ctlapi_pq {
    const char *state;          /* "on", "require", "off", "unable"; NULL: nobody told */
    const char *why;            /* "unable": why; NULL: null */
    unsigned hybrid, classical; /* sessions with keys */
    unsigned waiting;           /* of the classical ones: no packet passes */
    unsigned sealing_keys;      /* members whose signals and copies are hybrid boxes */
    const char *coordinator; /* its control channel: "hybrid", "classical"; NULL: there is none */
};
/* Adds "post_quantum":{"state","why","hybrid","classical","waiting","coordinator",
 * "sealing_keys"} to a status. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlapi_status_add_pq(json_t *status, const struct pv_ctlapi_pq *pq);

/* The measured life of the own NAT's bindings, in seconds. */
struct pv_ctlapi_binding {
    bool measuring; /* a measurement is under way */
    double idle_s;  /* a silent binding lives at least this long; < 0: null, not known */
    /* A silent binding is dead after this; < 0: null, not known or longer than was tried. */
    double idle_max_s;
    double absolute_s; /* a binding in use is ended at this age; < 0: null, no such end was seen */
    double refresh_s;  /* interval at which it is refreshed */
};
/* Adds "nat_binding":{"measuring","idle_s","idle_max_s","absolute_s","refresh_s"} to a status.
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlapi_status_add_binding(json_t *status, const struct pv_ctlapi_binding *b);

/* The threads that carry packets. */
struct pv_ctlapi_datapath {
    unsigned workers, threads;
    const char *aead; /* the library that seals and opens */
    bool tcp_offload, udp_offload;
    const struct pv_offload_off *off; /* what is not used, and why */
    size_t n_off;
};
/* Adds "datapath":{"workers","threads","aead","tcp_offload","udp_offload","off":[{"what","why"}]}
 * to a status. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlapi_status_add_datapath(json_t *status, const struct pv_ctlapi_datapath *d);

/* Broadcast and multicast. */
struct pv_ctlapi_lan {
    const char *broadcast; /* "auto", "on", "off", "peers": as configured; NULL: nothing is known */
    bool sent;             /* broadcasts and discovery are copied now */
    bool wake;             /* to members that are not in use, too */
    uint64_t online;       /* members that count, this node with them; 0: null */
    const struct pv_addr *groups; /* that programs here want */
    size_t n_groups;
    uint64_t wanted; /* groups that something is copied to */
};
/* Adds "lan":{"broadcast","sent","wake","online","groups":[…],"wanted"} to a status.
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlapi_status_add_lan(json_t *status, const struct pv_ctlapi_lan *lan);

/* A TURN server this node uses. */
struct pv_ctlapi_relay {
    const char *name;            /* "coordinator", or as in the configuration */
    const char *address;         /* NULL: null, not known */
    const char *transport;       /* "udp", "tcp", "tls": in use, or being tried */
    const char *state;           /* "up", "connecting" */
    struct pv_addr relayed;      /* our address there; PV_AF_NONE: null */
    double rtt_ms;               /* < 0: null */
    const char *error;           /* why it is not reached; NULL: null */
    uint64_t tx_bytes, rx_bytes; /* inner packets that went through it */
};
/* Adds "udp": "open", "blocked" or (nobody to ask) "unknown", and "relays":[{"name","address",
 * "transport","state","relayed","rtt_ms","error","tx_bytes","rx_bytes"}] to a status.
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlapi_status_add_relays(json_t *status, const char *udp,
                                              const struct pv_ctlapi_relay *relays, size_t n);

/* A port mapped by the router of one family. Addresses without family: null. */
struct pv_ctlapi_portmap {
    const char *family;   /* "ipv4", "ipv6" */
    const char *state;    /* "off", "asking", "checking", "working", "releasing", "waiting" */
    const char *protocol; /* "PCP", "NAT-PMP", "UPnP"; NULL: none */
    struct pv_addr router, claimed, external;
    double lifetime_s; /* negative: null */
    const char *why;   /* why nothing is offered; NULL: it is */
};
/* Adds to "port_mappings":[{"family","state","protocol","router","claimed","external","lifetime",
 * "verified","why"}] of a status. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlapi_status_add_portmap(json_t *status, const struct pv_ctlapi_portmap *map);

#endif /* PV_CTLAPI_STATUS_H */
