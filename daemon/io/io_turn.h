/* SPDX-License-Identifier: MIT */
/*
 * io_turn.h - the inside of the control thread, for the files of daemon/io only: what its parts
 * share, the parts themselves, and the clock of the loop's present turn.
 *
 * A part that calls the engine calls pv_io_turn_begin() first, so that the engine has the wall
 * clock of the turn, read once.
 */
#pragma once

#include "daemon/io/io_config.h"
#include "daemon/packets/datapath.h"
#include "daemon/packets/relayio.h"
#include "sys/net/netlink.h"
#include "sys/net/oneshot.h"
#include "sys/net/udp.h"
#include "sys/proc/clock.h"
#include "sys/proc/loop.h"

struct pv_io {
    struct pv_io_config cfg;
    struct pv_engine *engine; /* borrowed, as the log */
    const struct pv_log *log;
    struct pv_loop *loop;
    pv_ns now;  /* of the present turn */
    bool begun; /* the engine knows this turn's wall clock */
    int status; /* what pv_io_run() returns */

    /* threads of packets and of streams to relays */
    struct pv_datapath *datapath;
    struct pv_relayio *relayio;
    struct pv_watch *punt_watch, *relay_watch;

    struct pv_udp_receiver *rx;     /* of all sockets of this thread */
    struct pv_udp_counts udp;       /* of what this thread itself sends */
    struct pv_net_monitor *monitor; /* of this host's interfaces and routes */

    /* In the order in which they are made: each uses those before it, and jobs tell iface. */
    struct pv_io_streams *streams;
    struct pv_io_sock *socks; /* a list, owned */
    struct pv_io_dns *dns;
    struct pv_io_router *router;
    struct pv_io_beacon *beacon;
    struct pv_io_jobs *jobs;
    struct pv_io_iface *iface;
    struct pv_oneshot *metrics; /* NULL: nobody is served */

    struct pv_io_links {
        struct pv_watch *watch;
        struct pv_links known; /* to the engine */
        pv_ns again;           /* PV_NEVER: the last look saw all */
        bool must;             /* what the looks that failed were to do */
    } links;
    /* The error of listening at the overlay's address of IPv4, of IPv6; 0: none (io_streams.c). */
    int no_app[PV_IO_APP_PORTS][2];
    pv_ns process_at; /* the process is not looked at again before (io_metrics.c) */

    struct pv_watch *signal_watch, *helper_watch;
    bool ready;     /* cfg.ready was called */
    bool reloaded;  /* there is to be another life */
    bool ends;      /* a signal said so: there is to be none */
    pv_ns slept;    /* BOOTTIME - MONOTONIC at the last turn */
    pv_ns reclaim;  /* when snapshots are looked at again */
    pv_ns leave_by; /* an ephemeral member leaves, and then it ends; PV_NEVER: it does not */
};

/* Before anything is told to the engine in a turn. */
static inline void pv_io_turn_begin(struct pv_io *io, pv_ns now)
{
    io->now = now;
    if (!io->begun) {
        io->begun = true;
        pv_engine_set_wall(io->engine, pv_clock_wall_us(), now);
    }
}

/* The next call of pv_io_turn_begin() reads the wall clock again. */
static inline void pv_io_turn_end(struct pv_io *io)
{
    io->begun = false;
}

/* pv_io_run() comes to its end with this turn. */
static inline void pv_io_stop(struct pv_io *io, int status)
{
    io->status = status;
    pv_loop_stop(io->loop);
}
