/* SPDX-License-Identifier: MIT */
/*
 * sim_coord.h - the coordinator's core on a host of the simulated network: connections, STUN and a
 * store in memory that survives it.
 */
#ifndef PV_SIM_COORD_H
#define PV_SIM_COORD_H

#include "coordinator/core/coord.h"
#include "proto/token.h"
#include "sim_net.h"

enum {
    SIM_COORD_PORT = 3478
};

struct sim_coord; /* opaque */

/* On a new host with this public address; started. Aborts without memory, as all of this does. */
struct sim_coord *sim_coord_new(struct sim_net *net, const struct pv_addr *ip,
                                const struct pv_link_config *line);
struct sim_coord *sim_coord_free(struct sim_coord *c);

unsigned sim_coord_host(const struct sim_coord *c);
struct pv_coord *sim_coord_core(struct sim_coord *c); /* NULL while it is down */
/* What `p2pvpn-coordinator url` prints; valid as long as c. */
const char *sim_coord_url(const struct sim_coord *c);

/* Every answer of the store takes this long. */
void sim_coord_set_store_delay(struct sim_coord *c, pv_ns delay);
/* Power off (what is not in the store is lost), and on again. */
void sim_coord_kill(struct sim_coord *c);
void sim_coord_start(struct sim_coord *c);

/* An event of its host. */
void sim_coord_handle(struct sim_coord *c, const struct sim_event *event);

#endif /* PV_SIM_COORD_H */
