/* SPDX-License-Identifier: MIT */
/*
 * sim_node.h - the daemon's core on a host of the simulated network: engine and fast path, sockets,
 * jobs served from memory, a TUN whose kernel answers pings, and p2pvpnctl as calls.
 *
 * The shell of a node is here what daemon/io.c and daemon/datapath.c are for the real one.
 */
#ifndef PV_SIM_NODE_H
#define PV_SIM_NODE_H

#include "daemon/core/engine.h"
#include "sim_net.h"

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
void sim_node_start(struct sim_node *n);
bool sim_node_runs(const struct sim_node *n);
/* The host's addresses or zone have changed. */
void sim_node_links_changed(struct sim_node *n);
void sim_node_set_disk_full(struct sim_node *n, bool full);

/* An event of its host. */
void sim_node_handle(struct sim_node *n, const struct sim_event *event);

/*
 * A request to the control socket, as root: a JSON object without its braces and id, such as
 * "\"cmd\":\"peers\"". Returns the id. Answers and events are lines; sim_node_answer() gives the
 * answer to one id once it is there (NULL before), sim_node_line() every line so far.
 */
unsigned sim_node_ask(struct sim_node *n, const char *fields);
const char *sim_node_answer(const struct sim_node *n, unsigned id);
size_t sim_node_lines(const struct sim_node *n);
const char *sim_node_line(const struct sim_node *n, size_t i);

/* One ping through the TUN, with a payload of size bytes. False: no interface. */
bool sim_node_ping(struct sim_node *n, const struct pv_addr *to, size_t size);
struct sim_pings {
    unsigned sent, answered, twice;
    pv_ns last_answer; /* 0 = none */
    unsigned received; /* inner packets that were not ping answers */
};
struct sim_pings sim_node_pings(const struct sim_node *n);

#endif /* PV_SIM_NODE_H */
