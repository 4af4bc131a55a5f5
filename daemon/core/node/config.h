/* SPDX-License-Identifier: MIT */
/*
 * config.h - what the shell gives the engine and its parts at their start: keys, configuration and
 * what the store held. Plain data; each field says who owns it.
 */
#pragma once

#include "base/addr.h"
#include "base/log.h"
#include "base/pv.h"
#include "base/text.h"
#include "crypto/aead.h"
#include "crypto/dh.h"
#include "crypto/kem.h"
#include "crypto/sign.h"
#include "daemon/core/jobs/job.h"
#include "daemon/core/packets/fastpath.h"
#include "proto/local/proxyset.h"
#include "proto/roster/statement.h"
#include "proto/rules/ports.h"
#include "proto/stun/turnc.h"

enum {
    PV_ENGINE_MAX_STATIC = 256,                  /* [peer] sections */
    PV_ENGINE_MAX_LAN_PEERS = 64,                /* names in [lan] peers */
    PV_ENGINE_MAX_EXCLUDED = 8,                  /* names in [lan] beacon-exclude */
    PV_ENGINE_MAX_ALLOWED = 64,                  /* allowed-ips of one [peer] */
    PV_ENGINE_MAX_RELAYS = PV_FP_MAX_RELAYS - 1, /* [relay] turn; the first is the coordinator's */
    PV_ENGINE_MAX_FAULTS = 13,                   /* features that are off; 6 are no [peer] */
    PV_FAULT_WHAT = PV_NAME_BUF + 16,            /* "[peer NAME]", with the NUL */
    PV_FAULT_WHY = 448,                          /* with the NUL; status adds a remedy */
    PV_ENGINE_FLAG = 16,                         /* "-n work", with the NUL */
    PV_IDENTITY_OTHERS = PV_JOB_KEYS - 1,        /* transport keys beside the one in use */
};

/* A transport key of this node that is not the one in use. */
struct pv_other_key {
    uint8_t sk[PV_DH_LEN];
    uint8_t pk[PV_DH_LEN];
    bool used;
    uint64_t replaced_s; /* Unix seconds when another took its place; 0: made, and not in use yet */
};

/* Long-lived keys of this node, in pv_secret_alloc() memory of the shell; borrowed by the engine
 * for its whole life. */
struct pv_identity {
    uint8_t sign_sk[PV_SIGN_SK_LEN]; /* Ed25519 */
    uint8_t sign_pk[PV_SIGN_PK_LEN];
    uint8_t dh_sk[PV_DH_LEN]; /* X25519 transport key: the one in use */
    uint8_t dh_pk[PV_DH_LEN];
    /* Answered, too. Written by part "rotation". */
    struct pv_other_key others[PV_IDENTITY_OTHERS];
    /* A root key, of which another process keeps the secret. The shell says how it is asked; the
     * part that had it made or imported writes its public half, and has_root. */
    struct pv_kept_key root;
    bool has_root;
};

/* One [peer NAME] of the configuration. */
struct pv_static_peer {
    char name[PV_NAME_BUF];
    uint8_t public_key[PV_DH_LEN];
    uint8_t preshared_key[PV_DH_LEN]; /* zero: none */
    struct pv_prefix allowed[PV_ENGINE_MAX_ALLOWED];
    size_t n_allowed;
    char endpoint_host[PV_JOB_HOST_MAX]; /* "" = none (the peer comes to us) */
    uint16_t endpoint_port;
    uint16_t persistent_keepalive; /* seconds, 0 = off */
    enum pv_suite suite;           /* of the session: chacha unless `suite = aes` */
    bool phone_port;               /* it comes by a phone port at the coordinator */
};

/* One value stored by PV_JOB_SET_META. */
struct pv_saved_meta {
    char name[PV_JOB_META_NAME];
    struct pv_view value;
};

/* One address stored by PV_JOB_PUT_ENDPOINTS. */
struct pv_saved_endpoint {
    uint8_t node[PV_SIGN_PK_LEN];
    struct pv_recall_addr addr;
};

/* Everything the store held at start; borrowed during pv_engine_new() only. */
struct pv_saved {
    bool has_network;
    uint8_t network_id[PV_NETWORK_ID_LEN];
    char network_name[PV_NAME_BUF];
    char node_name[PV_NAME_BUF];
    const struct pv_stored_statement *statements;
    size_t n_statements;
    const struct pv_view *entries; /* of the network's log, from entry 1 on */
    size_t n_entries;
    const struct pv_saved_meta *meta; /* the log's head is "log-head" */
    size_t n_meta;
    const struct pv_saved_endpoint *endpoints;
    size_t n_endpoints;
};

/* [traversal] stun: asked for this node's address before the coordinator is. */
struct pv_stun_server {
    char host[PV_JOB_HOST_MAX]; /* name or address; "" = none */
    uint16_t port;
};

/* One [relay] turn of the configuration: a TURN server that is not our coordinator. */
struct pv_relayway_server {
    char host[PV_JOB_HOST_MAX]; /* name or address */
    uint16_t port;
    bool udp;    /* by datagrams */
    bool stream; /* by TCP, or TLS: instead, or where UDP is blocked */
    bool tls;
};

/* [security] pq: what becomes of sessions that are not post-quantum. */
enum pv_pq_policy {
    PV_PQ_ON,      /* they carry packets until the exchange is done, and with who cannot do it */
    PV_PQ_REQUIRE, /* they carry none */
    PV_PQ_OFF,     /* all are like that */
};

/* [lan]: with whom broadcasts and the groups by which programs find each other are exchanged. */
enum pv_lan_broadcast {
    PV_LAN_AUTO, /* all, while few enough members are online */
    PV_LAN_ON,
    PV_LAN_OFF,
    PV_LAN_PEERS, /* those of [lan] peers */
};
struct pv_lan_config {
    enum pv_lan_broadcast broadcast;
    bool wake; /* they wake members that are not in use */
    char peers[PV_ENGINE_MAX_LAN_PEERS][PV_NAME_BUF];
    size_t n_peers;
    bool beacon_off;                                      /* no beacons are sent or heard */
    char excluded[PV_ENGINE_MAX_EXCLUDED][PV_JOB_IFNAME]; /* interfaces without beacons */
    size_t n_excluded;
};

/* [traversal]: attempts at hard NATs, and what each may cost. */
struct pv_hardnat_config {
    bool predict_off;      /* none that predict ports */
    bool birthday_off;     /* none with many sockets and ports; with both nothing is ever tried */
    unsigned max_mappings; /* 0 = PV_HARDNAT_MAX_MAPPINGS, which is the most */
    unsigned max_pps;      /* packets a second; 0 = PV_HARDNAT_MAX_PPS, which is the most */
};
/* Whom the name server answers. */
enum pv_dns_for {
    PV_DNS_NOBODY,   /* there is none */
    PV_DNS_PROGRAMS, /* this node's own programs */
    PV_DNS_MEMBERS,  /* and other members, and phones */
};

/* The settings that parts read while the engine lives; nobody writes them but the log's level. */
struct pv_given {
    struct pv_log log; /* sink NULL: none */
    char tun_name[PV_JOB_IFNAME];
    char flag[PV_ENGINE_FLAG]; /* of p2pvpnctl, by which this node is meant; "": none is needed */
    bool own;                  /* of p2pvpnd --user: its user types commands without sudo */
    struct pv_prefix own_addrs[4]; /* [interface] address of a plain WireGuard node, else none */
    size_t n_own_addrs;
    struct pv_prefix ranges[4]; /* [interface] range: of networks that are not private */
    size_t n_ranges;
    uint16_t mtu;               /* of the TUN, bytes, 1420 */
    uint16_t udp_port;          /* of the main sockets */
    unsigned workers;           /* of the datapath, 1..PV_FP_MAX_WORKERS; 0 counts as 1 */
    unsigned inside;            /* p2pvpnd --user: a process that is in the inside; 0: none */
    char hostname[PV_NAME_BUF]; /* default node name, already a valid name */
    pv_ns started;              /* when p2pvpnd was, which a reload is not; 0: at new() */
    const struct pv_kem *kem;   /* for post-quantum sessions; borrowed; NULL: there is none */
    const char *kem_why;        /* why there is none; borrowed */
    enum pv_pq_policy pq;
    struct pv_proxyset proxy; /* the way to coordinators; its user and password are the shell's */
};

/* A feature that is off because something that its settings name cannot be used, such as a file. */
struct pv_fault {
    char what[PV_FAULT_WHAT]; /* the feature: "[peer nas]", "[metrics]" */
    char why[PV_FAULT_WHY];
    bool
        restart; /* a reload does not suffice: rights are needed, or the file may be out of reach */
    bool minor;  /* it keeps no packet back */
};
struct pv_faults {
    struct pv_fault list[PV_ENGINE_MAX_FAULTS];
    size_t n, more; /* more: static peers without a place in the list */
};

/* The result of reading the settings again. */
struct pv_engine_reloaded {
    const char *error;             /* nothing has changed, and why; NULL: all was read */
    const char *file;              /* the configuration */
    bool no_file;                  /* it is not there: the defaults hold */
    const char *changed, *waiting; /* keys, "[chat] keep, [log] level"; waiting: for a restart */
};

struct pv_events; /* proto/local/events.h */

struct pv_engine_config {
    struct pv_given given;
    struct pv_rng rng;
    struct pv_identity *identity;              /* borrowed */
    const struct pv_saved *saved;              /* borrowed during new() */
    struct pv_events *events;                  /* of the engine before: taken; NULL: none */
    const struct pv_static_peer *static_peers; /* borrowed during new() */
    size_t n_static_peers;
    struct pv_relayway_server relays[PV_ENGINE_MAX_RELAYS];
    size_t n_relays;
    char relay_user[PV_TURNC_TEXT_MAX + 1];
    char relay_password[PV_TURNC_TEXT_MAX + 1]; /* a secret: wipe */
    bool has_udp6;                              /* the IPv6 socket is there */
    struct pv_stun_server stun;
    bool portmap_off;         /* routers are not asked to map the port */
    uint32_t cost[PV_SUITES]; /* pv_aead_cost(); 0: no AES-GCM here, or not known */
    struct pv_hardnat_config hardnat;
    struct pv_ports firewall; /* [firewall] allow: all that this node lets in, with has_firewall */
    bool has_firewall;        /* false: whatever the rules of the network allow */
    const char *root_file;    /* where the root key is, for the user; outlives the engine */
    /* The part of the program that runs over the overlay in this process, and what only that part
     * looks into; borrowed. NULL: there is none. */
    const struct pv_part *app;
    const void *app_config;
    bool key_given;      /* the transport key is of the configuration: it is not replaced */
    uint64_t rotate_s;   /* [security] rotate: age of a transport key; 0: never by itself */
    enum pv_dns_for dns; /* a name server listens on the overlay address, and for whom */
    bool phones;         /* [phones] gateway: also those of other admins */
    bool notify;         /* PV_JOB_NOTIFY is served: a program runs for each message */
    const struct pv_faults *faults; /* for status; borrowed: the shell may change them between two
                                       calls; NULL: none */
    const char *sandbox;            /* what rights the processes have, for status; borrowed */
    const char *stack;        /* of the inside: "kernel", "lwip"; NULL: there is none; borrowed */
    const char *stack_why;    /* why that is lwIP, and what to do; "": wanted; borrowed */
    const char *directory;    /* with keys and database, absolute, UTF-8; "": not told; borrowed */
    struct pv_lan_config lan; /* [lan] */
    uint64_t wall_us;         /* wall clock at new(), Unix microseconds */
};
