/* SPDX-License-Identifier: MIT */
/*
 * sim_cluster.h - the tables of a database that several simulated coordinators share: who of them
 * lives, and whose home each network is, as coordinator/store/pg/pg_lease.c and store_pg.c keep
 * them. sim_coord.c has the statements.
 */
#pragma once

#include "coordinator/core/coord.h"
#include "coordinator/core/member/home.h"

enum {
    SIM_CLUSTER_SEATS = 4, /* coordinators, and networks */
    SIM_CLUSTER_HOMES = 4,
};

/* A coordinator, and its row. */
struct sim_seat {
    bool has_row;
    int64_t number;
    const char *at; /* "HOST:PORT", kept */
    pv_ns until, steady, renew_at;
    int64_t homes, lost, lost_seen;
};

struct sim_home {
    uint8_t network[PV_NETWORK_ID_LEN];
    int64_t holder, fence;
    bool loaded;
    pv_ns since;
};

struct sim_cluster {
    struct sim_seat seats[SIM_CLUSTER_SEATS];
    size_t n_seats;
    struct sim_home homes[SIM_CLUSTER_HOMES];
    size_t n_homes;
    int64_t last_number;
    uint64_t last_epoch;
};

/* The coordinator starts: with another number, before its core has its wall clock. */
void sim_cluster_join(struct sim_cluster *cl, unsigned seat, struct pv_coord *core, pv_ns now);
void sim_cluster_leave(struct sim_cluster *cl, unsigned seat); /* an orderly end */
/* Renews when it is time, tells the core what the database says, and returns when it is time again.
 */
pv_ns sim_cluster_renew(struct sim_cluster *cl, unsigned seat, struct pv_coord *core, pv_ns now);
/* HOME or LEAVE, but for the rows and the epoch of who takes a home. */
void sim_cluster_move(struct sim_cluster *cl, unsigned seat, const struct pv_storeop *op, pv_ns now,
                      struct pv_storeop_result *res);
/* May the coordinator write for the network of op? A new one gets its home there. */
void sim_cluster_write(struct sim_cluster *cl, unsigned seat, const struct pv_storeop *op,
                       pv_ns now, struct pv_storeop_result *res);
/* An epoch above this one and all before. */
uint64_t sim_cluster_epoch(struct sim_cluster *cl, uint64_t above);
