/* SPDX-License-Identifier: MIT */
/*
 * lane.h - one thread of the datapath and what it owns. Internal to datapath.c (control's side),
 * lane.c (a lane's rounds: what it takes in) and lane_out.c (what the fast path made of it).
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/qsbr.h"
#include "base/ring.h"
#include "daemon/core/packets/fp_codel.h"
#include "daemon/core/packets/fp_fair.h"
#include "daemon/packets/datapath.h"
#include "sys/net/udp.h"

enum {
    PV_DATAPATH_MAX_LANES = 2 * PV_FP_MAX_WORKERS,
};

/* In the ring of another worker, before the sealed datagram. */
struct pv_lane_handed {
    struct pv_carrier from;
    uint8_t ecn;
};

/* Written by the lane's thread, read by control. */
struct pv_lane_counts {
    _Atomic uint64_t udp_sent, udp_failed, udp_received, udp_calls;
    _Atomic uint64_t tun_read, tun_written, tun_failed, tun_calls, punts_lost, injects_lost;
    _Atomic int no_segment;                /* errno of the run that the kernel refused; 0 = none */
    _Atomic bool no_join_tcp, no_join_udp; /* the TUN refused a super-packet */
};

/* The sources that may have something to read, as poll() said or the last read of it. */
struct pv_lane_ready {
    bool tun, v4, v6, others;
};

/* One thread and what it owns. */
struct pv_lane {
    struct pv_datapath *dp;
    unsigned index;  /* its qsbr worker */
    unsigned number; /* of the pair it belongs to: its TUN queue, its sockets */
    bool tx, rx;
    pthread_t thread;
    char name[16]; /* the thread's */
    int wake_fd;
    struct pv_fp_worker *worker;
    struct pv_udp_receiver *receiver; /* rx */
    struct pv_fp_fair *fair;          /* tx: what was read from the TUN */
    struct pv_fp_codel codel[3];      /* rx: of the socket of each family, and of all others */
    void *pool;                       /* tx: PV_FP_FAIR_MEMORY, mapped */
    bool pool_used;                   /* by a crowd, since it was given back last */
    struct pv_lane_ready ready;
    pv_ns tun_empty;              /* tx: when the TUN had nothing to read last */
    uint8_t *stream_buf;          /* rx: STREAM_BYTES */
    struct pv_ring *data, *facts; /* to control */
    struct pv_ring *handed;       /* rx: from worker 0, whose own is from control */
    bool handed_wake;             /* worker 0's: that ring was empty */
    struct pv_ring *kept;         /* packets for lwIP, whose queue is full; NULL: it never was */
    bool join_tcp, join_udp;      /* what the TUN takes as super-packets */
    uint64_t seen;                /* the last publication whose packets were flushed */
    pv_ns next_roam_wait;
    struct pv_udp_counts udp;
    struct pv_lane_counts counts;
};

struct pv_datapath {
    struct pv_datapath_config cfg;
    struct pv_lane lanes[PV_DATAPATH_MAX_LANES];
    unsigned n_lanes;
    bool running;
    struct pv_tun tun; /* changes only while no thread runs, like the next */
    struct pv_tun_offloads offloads;
    bool has_gro; /* of the sockets */
    struct pv_sockset socks;
    int event_fd;
    struct pv_qsbr *qsbr;
    struct pv_ring *inject; /* to the first tx lane */
    struct pv_ring *peeked; /* where the punt of peek lies */
    _Atomic uint64_t published;
    _Atomic bool stopping;
    _Atomic bool hears;    /* false: datagrams wait in the sockets of the port */
    _Atomic bool tun_gone; /* the descriptor is dead */
    _Atomic bool tell_gone;
};

static inline void pv_lane_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static inline bool pv_lane_has_tun(struct pv_datapath *dp)
{
    return dp->tun.n > 0 && !atomic_load_explicit(&dp->tun_gone, memory_order_relaxed);
}

/* The lane that does this for worker number i. */
static inline struct pv_lane *pv_lane_rx(struct pv_datapath *dp, unsigned i)
{
    return &dp->lanes[dp->n_lanes == 1 ? 0 : 2 * i + 1];
}

/* --- lane.c -------------------------------------------------------------------------------- */

/* The lane number index of dp, which knows how many there are. PV_ERR_NOMEM, -errno: pv_lane_done()
 * frees what is there. */
PV_MUST_CHECK int pv_lane_init(struct pv_lane *lane, struct pv_datapath *dp, unsigned index);
void pv_lane_done(struct pv_lane *lane);
/* The thread's function; arg = the lane. It ends when dp->stopping is set and the lane woken. */
void *pv_lane_main(void *arg);

/* --- lane_out.c ---------------------------------------------------------------------------- */

/* Sends, writes and hands up what the worker's last call produced. */
void pv_lane_results(struct pv_lane *lane);
/* Writes packets that wait for room in the TUN's queue. Returns true if some still wait. */
bool pv_lane_write_kept(struct pv_lane *lane);
/* Frees the packets that wait for room in the TUN's queue. */
void pv_lane_drop_kept(struct pv_lane *lane);
/* Hands up what "too big" errors said, and forgets it. */
void pv_lane_tell_hints(struct pv_lane *lane, struct pv_udp_hints *hints);
/* Reading or writing found the interface deleted: stops using it and tells control. */
void pv_lane_lose_tun(struct pv_datapath *dp);
