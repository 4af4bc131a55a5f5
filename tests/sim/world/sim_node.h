/* SPDX-License-Identifier: MIT */
/*
 * sim_node.h - one whole node on a host of the simulated network: engine, one fast-path worker, a
 * disk, a little host stack behind the TUN, and p2pvpnctl as calls. It stands for daemon/io/io.c
 * and daemon/packets/datapath.c of the real one.
 *
 *   - datagrams go through pv_fp_rx(), packets of the host through pv_fp_tx(), both with the newest
 *     snapshot, synchronously; punts go to the engine;
 *   - jobs of the store are served from memory, in order, each a moment after it was asked for;
 *     chat's store is called directly;
 *     what was done survives a kill, what was not may or may not have been;
 *   - chat streams are opened only once a packet has gone through the overlay and an answer has
 *     come back, as TCP would; then they are sim_net's;
 *   - the host forwards between members where its daemon's plan says so, for phones;
 *   - behind the TUN: ICMP echo is answered, UDP port 7 echoes, UDP to SIM_PORT_SINK is kept for
 *     the test to look at, UDP to SIM_PORT_FLOW and ICMP errors are counted. Groups that programs
 *     joined are reported by IGMPv3 and MLDv2. Not here: TCP.
 *
 * Aborts without memory, and when the node does not come to rest. Not thread-safe.
 */
#pragma once

#include "daemon/core/engine.h"
#include "sim_net.h"

enum {
    SIM_IFINDEX = 2,        /* of a host's one interface */
    SIM_ROUTER_PORT = 5353, /* of the socket that asks routers */
    SIM_PORT_ECHO = 7,
    SIM_PORT_SINK = 9,
    SIM_PORT_FLOW = 10,
    SIM_MAX_SINK = 4096, /* packets kept */
    SIM_FLOW_WINDOW = 65536,
};

struct sim_node; /* opaque */

/* On an existing host, which has its addresses. Started. port = its UDP port. */
struct sim_node *sim_node_new(struct sim_net *net, unsigned host, const char *name, uint16_t port);
struct sim_node *sim_node_free(struct sim_node *n);

const char *sim_node_name(const struct sim_node *n);
unsigned sim_node_host(const struct sim_node *n);
/* Its overlay address; no family while it has none. family: PV_AF_INET, PV_AF_INET6. */
struct pv_addr sim_node_overlay(const struct sim_node *n, uint16_t family);

/* kill: power off, only the disk stays. stop: as by SIGTERM. start: boots from the disk. */
void sim_node_kill(struct sim_node *n);
void sim_node_stop(struct sim_node *n);
/* As by SIGTERM, of an ephemeral member: it leaves, and is to be stopped when it has left. False:
 * it does not leave. */
bool sim_node_leave(struct sim_node *n);
bool sim_node_has_left(const struct sim_node *n);
void sim_node_start(struct sim_node *n);
void sim_node_restart(struct sim_node *n); /* kill and start */
bool sim_node_runs(const struct sim_node *n);
/* The machine is suspended: time goes on without it, its streams die unseen. And wakes. */
void sim_node_sleep(struct sim_node *n);
void sim_node_wake(struct sim_node *n);
/* From its next start on it has these [peer]s (borrowed) and, in no network, this address. */
void sim_node_configure(struct sim_node *n, const struct pv_prefix *own,
                        const struct pv_static_peer *peers, size_t n_peers);
const uint8_t *sim_node_wg_key(const struct sim_node *n);
/* From its next start on it has this transport key, as a program with a key in a file; in no
 * network. */
void sim_node_set_key(struct sim_node *n, const uint8_t sk[static PV_DH_LEN]);
uint16_t sim_node_port(const struct sim_node *n);
/* The host's addresses or zone have changed. */
void sim_node_links_changed(struct sim_node *n);
/* The interface goes, as far as the node is told; what is under way to its addresses arrives. */
/* The router of its default route from now on; no family: none. */
void sim_node_set_router(struct sim_node *n, const struct pv_addr *router);
void sim_node_hide_links(struct sim_node *n, bool hidden);
/* Every job of the store and operation of chat's fails with "disk full" while this is on. */
void sim_node_set_disk_full(struct sim_node *n, bool full);
/* Each store job takes 0 to that long; 2 ms without this call. */
void sim_node_set_job_delay(struct sim_node *n, pv_ns delay);
/* Its kernel draws the last port once more for every second socket, if that is free by then. */
void sim_node_set_draws_again(struct sim_node *n, bool again);
/* The interface cannot come up while broken, and takes that long else (0). */
void sim_node_set_iface(struct sim_node *n, bool broken, pv_ns delay);
void sim_node_jump_wall(struct sim_node *n, int64_t by_us);
/* Lines of its log, above debug, since the beginning or the last call of sim_node_count_log(). */
void sim_node_count_log(struct sim_node *n);
unsigned sim_node_logged(const struct sim_node *n);
/* From the next start on it can agree on preshared keys, by the tests' KEM, or not; [security] pq.
 * Without this call: able, on. */
void sim_node_set_pq(struct sim_node *n, bool able, enum pv_pq_policy policy);
/* [chat] keep from the next start on; 0: for ever. */
void sim_node_set_chat_keep(struct sim_node *n, uint64_t seconds);
/* `root import`: n gets the root key that the other one has, or had. */
void sim_node_share_root(struct sim_node *n, const struct sim_node *other);
const uint8_t *sim_node_pk(const struct sim_node *n);
/* The root key on its disk: PV_SIGN_SK_LEN bytes. */
const uint8_t *sim_node_root_sk(const struct sim_node *n);

/* Its kernel has got an ICMP error that says "too big" (pv_udp_read_error). */
void sim_node_hint(struct sim_node *n, const struct pv_addr *dst, uint32_t mtu,
                   struct pv_view quoted);

/* An event of its host. */
void sim_node_handle(struct sim_node *n, const struct sim_event *event);

/*
 * A request to the control socket, as root: a JSON object without its braces and id, with ' for ",
 * such as "'cmd':'ip','peer':'%s'". Returns the id. Answers and events are lines; sim_node_answer()
 * gives the answer to one id once it is there (NULL before), sim_node_line() every line so far.
 */
unsigned sim_node_ask(struct sim_node *n, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *sim_node_answer(const struct sim_node *n, unsigned id);
/* Is the text, with ' for ", in an answer? NULL: there is none. */
bool sim_answer_has(const char *answer, const char *text);
size_t sim_node_lines(const struct sim_node *n);
const char *sim_node_line(const struct sim_node *n, size_t i);

/* Hangs up: of a streaming request, or one whose answer is not wanted any more. */
void sim_node_hang_up(struct sim_node *n, unsigned id);

/* One ping through the TUN, with a payload of size bytes. False: no interface. */
bool sim_node_ping(struct sim_node *n, const struct pv_addr *to, size_t size);
struct sim_pings {
    unsigned sent, answered, twice;
    pv_ns last_answer;    /* 0 = none */
    unsigned received;    /* inner packets that were not ping answers */
    unsigned unreachable; /* ICMP errors */
    unsigned strangers;   /* inner packets for another address than its own: must stay 0 */
};
struct sim_pings sim_node_pings(const struct sim_node *n);

/* A program joins a group, "239.1.1.1" or "ff05::1", or leaves it: the kernel reports it. */
void sim_node_join(struct sim_node *n, const char *group, bool join);
/* Everything that comes to it for many is put into its TUN again. */
void sim_node_set_reflects(struct sim_node *n, bool reflects);

/* A UDP datagram to SIM_PORT_SINK from this source port. False: no interface. */
bool sim_node_send_udp(struct sim_node *n, const struct pv_addr *to, uint16_t src_port,
                       struct pv_view payload);
/* The same from an address of a network behind it, or that it claims to be. */
bool sim_node_send_from(struct sim_node *n, const struct pv_addr *from, const struct pv_addr *to,
                        struct pv_view payload);
/* The packets that came to SIM_PORT_SINK, oldest first. */
struct sim_sunk {
    pv_ns at;
    struct pv_addr src, dst;
    size_t len;
    uint8_t bytes[64]; /* the first of them */
};
size_t sim_node_n_sunk(const struct sim_node *n);
const struct sim_sunk *sim_node_sunk(const struct sim_node *n, size_t i);
/* Makes room for more than SIM_MAX_SINK. */
void sim_node_forget_sunk(struct sim_node *n);

/* A numbered UDP datagram to SIM_PORT_FLOW of `to`: the numbers count up from 0. */
bool sim_node_flow(struct sim_node *n, const struct pv_addr *to);
/* The packets that came to SIM_PORT_FLOW, from one sender. */
struct sim_flow {
    uint64_t sent; /* by this node */
    uint64_t received, twice;
    uint64_t too_late; /* behind SIM_FLOW_WINDOW newer ones: not told whether it is new */
    uint64_t next;     /* above the highest number seen */
    uint64_t disorder; /* the most by which one came behind a newer one */
    pv_ns last, gap;   /* the longest time between two, since sim_node_flow_gap() */
};
struct sim_flow sim_node_flow_seen(const struct sim_node *n);
/* Counts anew: both ends, with nothing under way. */
void sim_node_flow_begin(struct sim_node *n);
/* Begins to measure the gap anew, from now. */
void sim_node_flow_gap(struct sim_node *n);

/* "direct", "relay" or "none": the path it uses to a peer now. */
const char *sim_node_path(struct sim_node *n, const char *peer);
/* The agreed preshared key in the session with a peer; 0: none, or no keys. */
uint32_t sim_node_psk(struct sim_node *n, const char *peer);
/* UDP datagrams it sent. */
uint64_t sim_node_sent(const struct sim_node *n);
/* Streams to relays that it began, ever, and those open now. */
uint64_t sim_node_relay_streams(const struct sim_node *n, unsigned *ret_open);
uint64_t sim_node_drops(const struct sim_node *n, enum pv_fp_drop reason);
