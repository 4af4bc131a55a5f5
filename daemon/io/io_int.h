/* SPDX-License-Identifier: MIT */
/*
 * io_int.h - what io*.c share; for them only.
 */
#ifndef PV_IO_INT_H
#define PV_IO_INT_H

#include <stdatomic.h>

#include "daemon/io/io.h"
#include "daemon/packets/datapath.h"
#include "sys/net/netlink.h"
#include "sys/net/oneshot.h"
#include "sys/net/routersock.h"
#include "sys/net/tls.h"
#include "sys/net/udp.h"
#include "sys/proc/loop.h"
#include "sys/proc/worker.h"

enum {
    PV_IO_READ_MAX = 65536, /* bytes taken from a stream at a time */
};

struct pv_io_stream;
struct pv_io_listener;
struct pv_io_sock;
struct pv_io_xfer;
struct pv_io_dns;

struct pv_io {
    struct pv_io_config cfg;
    struct pv_loop *loop;
    struct pv_datapath *datapath;
    pv_ns now;     /* of the present turn */
    bool begun;    /* the engine knows this turn's wall clock */
    bool ready;    /* cfg.ready was called */
    bool stopping; /* a signal came, or the helper died */
    int status;    /* what run returns */
    pv_ns slept;   /* BOOTTIME - MONOTONIC at the last turn */
    pv_ns reclaim; /* when snapshots are looked at again */
    struct pv_udp_counts udp;
    struct pv_relayio *relayio;
    struct pv_watch *relay_watch;
    struct pv_watch *punt_watch, *signal_watch, *helper_watch, *net_watch;

    /* links */
    struct pv_net_monitor *monitor;
    struct pv_link_addr links[PV_ENGINE_MAX_LINKS];
    size_t n_links;
    uint32_t tun_index;

    /* io_iface.c */
    uint64_t iface_has;  /* bit i: our interface had address i when it was set up last */
    bool iface_known;    /* that was looked at since */
    pv_ns iface_again;   /* not set up again before */
    pv_ns iface_look_at; /* PV_NEVER */

    /* io_streams.c */
    struct pv_io_stream *streams;
    struct pv_io_listener *listeners;
    uint8_t *read_buf;          /* PV_IO_READ_MAX */
    struct pv_tls_ctx *tls_ctx; /* made with the first stream that needs it */

    /* io_socks.c */
    struct pv_io_sock *socks; /* a list */
    struct pv_udp_receiver *sock_rx;

    struct pv_io_dns *dns; /* io_dns.c: a list */

    struct pv_oneshot *metrics; /* io_metrics.c; NULL: not served */
    pv_ns process_at;           /* when the process is looked at again */

    /* io_files.c */
    struct pv_worker *filer;
    struct pv_watch *filer_watch;
    struct pv_io_xfer *xfers; /* under way */
    pv_ns files_at;           /* when the engine is told how far they are */
    int files_dir;            /* -1 = not opened yet */

    /* io_router.c */
    bool router_open;
    struct pv_routersock router_socks;
    struct pv_watch *router_watches[PV_ROUTERSOCK_FDS];
    struct pv_engine_router routers[PV_ENGINE_ROUTERS];

    /* io_jobs.c */
    struct pv_worker *notifier; /* NULL: no program is run */
    struct pv_watch *notifier_watch;
    struct pv_worker *store, *helper, *resolver, *portmap;
    struct pv_watch *store_watch, *helper_job_watch, *resolver_watch, *portmap_watch;
    _Atomic pv_ns portmap_until; /* read by its thread: requests to routers end then */
    unsigned iface_jobs;         /* under way */
    struct pv_job_iface *iface;  /* what the TUN was last asked to be; NULL = none */
};

/* Before anything is told to the engine in a turn: time and wall clock. */
void pv_io_begin(struct pv_io *io, pv_ns now);
/* Before a control client asks: what the packet threads and the process did so far. */
void pv_io_tell_datapath(struct pv_io *io);

/* io_streams.c. Streams the engine asked for or that were accepted; listeners. */
PV_MUST_CHECK int pv_io_streams_init(struct pv_io *io);
void pv_io_streams_done(struct pv_io *io);
void pv_io_stream_op(struct pv_io *io, const struct pv_stream_op *op, pv_ns now);
void pv_io_stream_writable(struct pv_io *io, uint32_t sid, pv_ns now);
/* Listens for chat and files on the addresses of the interface; NULL = on none. */
void pv_io_listen_overlay(struct pv_io *io, const struct pv_job_iface *iface);
/* Accepts control clients from now on; those that came before have waited. */
void pv_io_listen_ctl(struct pv_io *io);
/* Ends streams that could not be written out in time; when to call again. */
pv_ns pv_io_streams_timeout(struct pv_io *io, pv_ns now);

/* Takes the descriptor of a stream out of the loop; the engine is told nothing. -1: no such. */
int pv_io_stream_take(struct pv_io *io, uint32_t sid);
/* Takes fd, which goes out with the next byte of this control client. */
void pv_io_stream_pass(struct pv_io *io, uint32_t sid, int fd);

/* io_dns.c. The name server listens on the addresses of the interface when it has domains; NULL =
 * on none. */
void pv_io_listen_dns(struct pv_io *io, const struct pv_job_iface *iface);

/* io_metrics.c. Serves io->cfg.metrics_fd, if there is one. */
PV_MUST_CHECK int pv_io_metrics_init(struct pv_io *io);
void pv_io_metrics_done(struct pv_io *io);

/* io_files.c. Transfers of files, on threads of their own. */
PV_MUST_CHECK int pv_io_files_init(struct pv_io *io);
void pv_io_files_done(struct pv_io *io);
void pv_io_file_op(struct pv_io *io, const struct pv_engine_fileop *op, pv_ns now);
/* A control client passed fd (taken). */
void pv_io_passed(struct pv_io *io, uint32_t sid, int fd);
/* Tells the engine how far transfers are; when to call again. */
pv_ns pv_io_files_timeout(struct pv_io *io, pv_ns now);

/* io_socks.c. UDP sockets beside the main ones, by id. */
PV_MUST_CHECK int pv_io_socks_init(struct pv_io *io);
void pv_io_socks_done(struct pv_io *io);
void pv_io_sock_op(struct pv_io *io, const struct pv_hardnat_op *op, pv_ns now);
/* Tells the engine about ICMP errors that wait on the socket of an attempt. */
void pv_io_sock_errors(struct pv_io *io, uint16_t id);
int pv_io_sock_fd(const struct pv_io *io, uint16_t id); /* -1: there is none */

/* io_jobs.c. Takes the job; its result reaches the engine later. */
PV_MUST_CHECK int pv_io_jobs_init(struct pv_io *io);
/* Runs what is queued to the end (the resolver's excepted); results are dropped. */
void pv_io_jobs_done(struct pv_io *io);
void pv_io_submit(struct pv_io *io, struct pv_job *job, pv_ns now);
/* Sets the TUN up again as it was asked for, with this MTU; made again where it was deleted. */
void pv_io_restore_iface(struct pv_io *io, uint16_t mtu, const char *why);

/* io_iface.c. The TUN was set up, or is gone: what it has from now on is as we want it. */
void pv_io_iface_changed(struct pv_io *io);
/* Looks, when it is time, whether others changed it; when to call again. */
pv_ns pv_io_iface_timeout(struct pv_io *io, pv_ns now);

/* io_router.c. */
void pv_io_router_done(struct pv_io *io);
/* Looks up the routers of the default routes and tells the engine. True: others than last time. */
bool pv_io_router_look(struct pv_io *io, pv_ns now);
void pv_io_router_send(struct pv_io *io, const struct pv_engine_transmit *tx);

#endif /* PV_IO_INT_H */
