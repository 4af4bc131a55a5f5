/* SPDX-License-Identifier: MIT */
/* sim_node_i.h - the inside of sim_node.h, shared by sim_node*.c. */
#pragma once

#include <sqlite3.h>

#include "bind/chat.h"
#include "chat/proto/chat.h"
#include "daemon/core/packets/fp_builder.h"
#include "proto/group/group.h"
#include "proto/stun/turnframe.h"
#include "sim_faults.h"
#include "sim_node.h"
#include "sim_store.h"

enum {
    SIM_MAX_LINKS = 64, /* streams of one node */
    SIM_MAX_JOBS = 4096,
    SIM_MAX_INNER = 4096, /* inner packets that wait for the host stack */
    SIM_MAX_ASKS = 4096,
    SIM_PING_ID = 77,
    SIM_MAX_GROUPS = 64,
    SIM_MAX_SOCKS = 512,
    SIM_MAX_RELAY_LINKS = 16,
    SIM_RELAY_OUT = 65536,
};

struct sim_job {
    struct pv_job *job; /* owned */
    pv_ns due;
};

/* A datagram that waits in the socket of the port. */
struct sim_heard {
    struct pv_carrier from;
    size_t len;
    uint8_t bytes[2048];
};

enum sim_link_state {
    SIM_LINK_SYN, /* chat: connecting through the overlay */
    SIM_LINK_OPENING,
    SIM_LINK_OPEN,
};

/* A stream of the engine that is not p2pvpnctl's. */
struct sim_link {
    uint32_t sid;
    enum pv_stream_kind kind;
    enum sim_link_state state;
    uint32_t stream; /* of sim_net, from OPENING on */
    struct pv_addr local, remote;
    pv_ns syn_at;
    unsigned syns;
};

struct sim_ask {
    bool open;
    uint32_t sid;
    char *text; /* received, not yet a line */
    size_t n_text;
    char *answer; /* in lines */
};

/* A socket beside the main one. */
struct sim_sock {
    uint16_t id, port; /* id 0 = free */
};

/* A stream to a relay. */
struct sim_relay_link {
    uint16_t number; /* 0 = free */
    uint32_t stream; /* of sim_net */
    bool open;
    struct pv_turnframe *in; /* owned */
    uint8_t *out;            /* owned: SIM_RELAY_OUT bytes, n_out of them not written yet */
    size_t n_out;
};

struct sim_inner_packet {
    size_t len;
    uint8_t *bytes;
};

struct sim_node {
    struct sim_net *net;
    unsigned host;
    uint16_t port;
    char name[PV_NAME_BUF];
    pv_ns job_delay;
    struct pv_natrng gen;
    struct pv_rng rng;
    struct pv_log log;
    unsigned logged;
    int64_t wall_offset_us;
    uint64_t chat_keep_s;
    bool kem_less; /* it cannot agree on preshared keys */
    enum pv_pq_policy pq;
    uint64_t rotate_s;

    /* its configuration */
    struct pv_prefix own;
    const struct pv_static_peer *static_peers;
    size_t n_static_peers;

    /* the disk */
    struct pv_identity identity;
    uint8_t first_key[PV_DH_LEN]; /* the transport key until others are saved */
    struct sim_store *store;
    sqlite3 *chat;                   /* the daemon's own tables, in memory, */
    struct pv_chat_store chat_store; /* as chat calls them */
    bool disk_full;

    /* running */
    struct pv_engine *engine; /* NULL: off */
    struct pv_fp_worker *worker;
    struct pv_fp_snapshot *snap;
    struct sim_job jobs[SIM_MAX_JOBS];
    size_t n_jobs;
    struct sim_link links[SIM_MAX_LINKS];
    size_t n_links;
    struct sim_relay_link relay_links[SIM_MAX_RELAY_LINKS];
    uint64_t relay_opened;             /* ever */
    struct sim_ask asks[SIM_MAX_ASKS]; /* of id i + 1 */
    unsigned n_asks;
    char **lines;
    size_t n_lines;
    bool in_turn;
    bool asleep;
    bool hidden;    /* its links */
    pv_ns stuck_at; /* the instant at which timers fired last, and how often */
    unsigned stuck;

    struct pv_addr router; /* of the default route */

    struct sim_sock socks[SIM_MAX_SOCKS];
    unsigned most_socks; /* open at once, ever */
    uint16_t drawn;      /* the port that was drawn last; 0 = none */
    bool draws_again, drew_again;

    /* the interface */
    bool tun;
    struct pv_netplan netplan; /* the last one that its daemon wanted */
    bool iface_broken;
    pv_ns iface_delay;
    pv_ns iface_from;          /* the interface has been wanted since then */
    struct sim_heard *unheard; /* owned: what came meanwhile, oldest first */
    size_t n_unheard;
    struct pv_addr ips[4];
    size_t n_ips;
    struct pv_group joined[SIM_MAX_GROUPS]; /* by its programs; version 0: free */
    bool reflects;
    struct sim_inner_packet inner[SIM_MAX_INNER]; /* towards the host stack */
    size_t n_inner;

    /* counted */
    struct sim_flow flow;
    uint64_t flow_seen[SIM_FLOW_WINDOW]; /* the last number + 1 of each slot */
    struct sim_sunk *sunk;
    size_t n_sunk;
    struct sim_pings pings;
    uint16_t ping_seq;
    bool answered[65536];
    uint64_t sent;
};

pv_ns sim_node_now(const struct sim_node *n);
/* Begins and ends a turn: facts go in between. Ending drains the engine. */
void sim_node_begin(struct sim_node *n);
void sim_node_end(struct sim_node *n);

/* The local port of a socket id, and the id of a local port; false: there is none. */
bool sim_node_port_of(const struct sim_node *n, uint16_t id, uint16_t *ret_port);
bool sim_node_sock_of(const struct sim_node *n, uint16_t port, uint16_t *ret_id);

/* sim_node_tun.c: the fast path and the host behind the TUN. */
void sim_node_results(struct sim_node *n);
void sim_node_flush(struct sim_node *n);
/* From the host into the TUN. */
void sim_node_tun_in(struct sim_node *n, const uint8_t *packet, size_t len);
void sim_node_take_datagram(struct sim_node *n, const struct sim_event *ev);
void sim_node_hear(struct sim_node *n); /* reads what waited for the interface */
void sim_node_forget_unheard(struct sim_node *n);
/* Packets for the host; true when there were any. */
uint64_t sim_node_wall_us(const struct sim_node *n);
bool sim_node_run_host(struct sim_node *n);
void sim_node_drop_inner(struct sim_node *n);

/* Multicast. True: it was a question of the querier's, and is answered. */
bool sim_node_take_query(struct sim_node *n, struct pv_view packet);
/* Is it a broadcast, or a group that a program joined? */
bool sim_node_is_for_many(const struct sim_node *n, const struct pv_addr *dst);

/* sim_node_relay.c: streams to relays. */
void sim_node_relay_op(struct sim_node *n, const struct pv_relaystream_op *op);
void sim_node_relay_send(struct sim_node *n, uint16_t number, struct pv_view message);
/* False: it is another stream's event. */
bool sim_node_relay_event(struct sim_node *n, const struct sim_event *ev);
/* Power off (abrupt), or the process ends and the kernel closes what it had. */
void sim_node_relay_drop(struct sim_node *n, bool abrupt);
/* Into the fast path; data is copied. */
void sim_node_rx(struct sim_node *n, const struct pv_carrier *from, struct pv_view data);

/* sim_node_io.c: jobs and streams. */
void sim_node_take_job(struct sim_node *n, struct pv_job *job);
/* The store that chat of this node calls. */
struct pv_chat_store *sim_node_chat_store(struct sim_node *n);
bool sim_node_run_jobs(struct sim_node *n);
void sim_node_lose_jobs(struct sim_node *n, bool some_done);
pv_ns sim_node_io_timeout(const struct sim_node *n);
void sim_node_stream_op(struct sim_node *n, const struct pv_stream_op *op);
void sim_node_writable(struct sim_node *n, uint32_t sid);
void sim_node_stream_event(struct sim_node *n, const struct sim_event *ev);
void sim_node_run_syns(struct sim_node *n);
/* An answer to a SYN came, or the news that nobody is there. */
void sim_node_syn_answered(struct sim_node *n, uint32_t sid, bool there);
