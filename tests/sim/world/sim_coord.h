/* SPDX-License-Identifier: MIT */
/*
 * sim_coord.h - the coordinator's core on a host of the simulated network: connections, STUN and a
 * store in memory that survives it. And what a malicious one does: it has its own key, so it may
 * say anything.
 */
#pragma once

#include "coordinator/core/coord.h"
#include "proto/roster/logst.h"
#include "proto/roster/token.h"
#include "sim_net.h"

enum {
    SIM_COORD_PORT = 3478
};
#define SIM_COORD_NAME "coordinators.example" /* of all that share a database */

struct sim_coord; /* opaque */

/* On a new host with this public address; started. Aborts without memory, as all of this does. */
struct sim_coord *sim_coord_new(struct sim_net *net, const struct pv_addr *ip,
                                const struct pv_link_config *line);
struct sim_coord *sim_coord_free(struct sim_coord *c);

unsigned sim_coord_host(const struct sim_coord *c);
struct pv_coord *sim_coord_core(struct sim_coord *c); /* NULL while it is down */
/* The URL that `p2pvpn-coordinator url` prints; valid as long as c. */
const char *sim_coord_url(const struct sim_coord *c);

/* Shares the key and the database of the first from now on: both start anew, and the first's URL
 * names all. Before there are networks. */
void sim_coord_share(struct sim_coord *c, struct sim_coord *first);
/* Its number among those that share a database, since its last start; 0: it shares none. */
uint64_t sim_coord_number(const struct sim_coord *c);

/* From its next start on it says that TLS is spoken on this port, too, and listens there (TLS
 * itself is not simulated: the bytes inside are). */
void sim_coord_offer_tls(struct sim_coord *c, uint16_t port);
/* Each operation of the store takes 0 to that long; 2 ms without this call. */
void sim_coord_set_store_delay(struct sim_coord *c, pv_ns delay);
/* Power off: of the store operations under way the first few were done. And on again. */
void sim_coord_kill(struct sim_coord *c);
/* Its wall clock is set. */
void sim_coord_jump_wall(struct sim_coord *c, int64_t by_us);
void sim_coord_start(struct sim_coord *c);
/* Its machine has this address instead of the one it had, and it has started again. */
void sim_coord_move(struct sim_coord *c, const struct pv_addr *ip);
const uint8_t *sim_coord_pk(const struct sim_coord *c);
/* Its roster of a network; NULL: it is down, or has none. Until its next event. */
struct pv_roster *sim_coord_roster(const struct sim_coord *c,
                                   const uint8_t network[static PV_NETWORK_ID_LEN]);
/* SIGTERM: says bye. */
void sim_coord_stop(struct sim_coord *c);
/* Whether it is able to give control channels hybrid keys; from its next start on. Without this
 * call: it is. */
void sim_coord_set_kem(struct sim_coord *c, bool able);

/*
 * Sees each answer and push before it is sent, and may change it. The bytes behind its views must
 * live until the next message. NULL: honest.
 */
void sim_coord_set_hook(struct sim_coord *c, void (*hook)(void *ctx, struct pv_ctl_msg *msg),
                        void *ctx);
/* Its disk: n statements; a test may drop the newest (a restored backup). */
size_t sim_coord_n_rows(const struct sim_coord *c);
void sim_coord_truncate(struct sim_coord *c, size_t n_rows);
/* The same of its entries of logs. */
size_t sim_coord_n_entries(const struct sim_coord *c);
void sim_coord_truncate_log(struct sim_coord *c, size_t n_entries);
/* Puts an entry on its disk while it is off, as the next of this network. */
void sim_coord_put_entry(struct sim_coord *c, const uint8_t network[static PV_NETWORK_ID_LEN],
                         const struct pv_entry *entry, struct pv_view raw);
/* The record of the first network that was created there. */
struct pv_view sim_coord_record(const struct sim_coord *c);
const uint8_t *sim_coord_sk(const struct sim_coord *c); /* PV_SIGN_SK_LEN bytes */

/* An event of its host. */
void sim_coord_handle(struct sim_coord *c, const struct sim_event *event);
