/* SPDX-License-Identifier: MIT */
#include "daemon/io/io.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/io/io_int.h"
#include "sys/net/udp.h"
#include "sys/proc/clock.h"
#include "sys/proc/procinfo.h"

enum {
    PUNTS_A_TURN = 64, /* then the engine's output is drained */
    DRAIN_ROUNDS = 32, /* then descriptors get their turn again */
    HOST_ADDRS = 256,  /* addresses of this host looked at */
};
#define LOOK_AGAIN PV_MS(500) /* at the process: clients may ask very often */
#define RESUME_GAP PV_S(1)    /* growth of BOOTTIME - MONOTONIC that means "was suspended" */

void pv_io_begin(struct pv_io *io, pv_ns now)
{
    io->now = now;
    if (!io->begun) {
        io->begun = true;
        pv_engine_set_wall(io->cfg.engine, pv_clock_wall_us(), now);
    }
}

void pv_io_tell_datapath(struct pv_io *io)
{
    const struct pv_datapath_counts c = pv_datapath_counts(io->datapath);
    const struct pv_relayio_counts relay = pv_relayio_counts(io->relayio);
    struct pv_engine_datapath d = {
        .workers = c.workers,
        .threads = c.threads,
        .aead = c.aead,
        .tcp_offload = c.tun.tso,
        .udp_offload = c.tun.uso,
        .not_received = c.udp_not_received,
        .not_sent = c.udp_failed + io->udp.full + io->udp.too_big + io->udp.failed,
        .not_written = c.tun_failed,
        .not_handled = c.punts_lost,
        .not_injected = c.injects_lost,
        .not_relayed = relay.dropped + relay.overrun,
    };
    _Static_assert(sizeof(d.drops) == sizeof(c.drops), "the same reasons");
    memcpy(d.drops, c.drops, sizeof(d.drops));
    memcpy(d.off, c.off, sizeof(d.off));
    d.n_off = c.n_off;
    pv_engine_set_datapath(io->cfg.engine, &d);
    if (io->now < io->process_at)
        return;
    struct pv_metrics_process process;
    io->process_at = io->now + LOOK_AGAIN;
    pv_procinfo_read(&process);
    pv_engine_set_process(io->cfg.engine, &process);
}

/* --- facts for the engine ------------------------------------------------------------------ */

static void on_punts(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io *io = ctx;
    struct pv_fp_punt punt;
    (void)ready;
    pv_io_begin(io, now);
    if (pv_datapath_tun_is_gone(io->datapath))
        pv_io_restore_iface(io, io->iface == NULL ? 0 : io->iface->mtu,
                            "removed by somebody else: making it again");
    for (unsigned i = 0; i < PUNTS_A_TURN; i++) {
        if (pv_datapath_peek_punt(io->datapath, &punt) < 0)
            return;
        pv_engine_handle_punt(io->cfg.engine, &punt, now);
        pv_datapath_pop_punt(io->datapath);
    }
}

static void on_relay(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io *io = ctx;
    struct pv_relayio_event ev;
    (void)ready;
    pv_io_begin(io, now);
    while (pv_relayio_poll_event(io->relayio, &ev) == PV_OK) {
        if (ev.connected) {
            pv_engine_relay_connected(io->cfg.engine, ev.stream, now);
            continue;
        }
        pv_engine_relay_closed(io->cfg.engine, ev.stream, ev.why, now);
    }
}

static void stop(struct pv_io *io, int status)
{
    io->stopping = true;
    io->status = status;
    pv_loop_stop(io->loop);
}

static void on_signal(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io *io = ctx;
    int signo = 0;
    (void)ready;
    (void)now;
    while (pv_signals_read(io->cfg.signals_fd, &signo) == PV_OK) {
        if (signo == SIGHUP) {
            pv_log(io->cfg.log, PV_LOG_WARN,
                   "signal=HUP what=\"ignored: restart p2pvpnd to read the configuration again\"");
            continue;
        }
        pv_log(io->cfg.log, PV_LOG_INFO, "signal=%d what=stopping", signo);
        stop(io, PV_OK);
    }
}

static void on_helper_death(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io *io = ctx;
    (void)ready;
    (void)now;
    pv_log(io->cfg.log, PV_LOG_ERROR, "what=stopping why=\"the privileged helper has died\"");
    stop(io, PV_ERR_CLOSED);
}

static void on_net(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io *io = ctx;
    (void)ready;
    pv_net_monitor_ready(io->monitor, io->tun_index, now);
}

/* Takes the picture of this host's addresses; the engine hears of it when it differs or when it
 * must (routes changed). */
static void look_at_links(struct pv_io *io, bool must, pv_ns now)
{
    struct pv_net_addr host[HOST_ADDRS];
    struct pv_link_addr links[PV_ENGINE_MAX_LINKS];
    size_t n = 0, n_links = 0;
    int r = pv_net_addrs(host, HOST_ADDRS, &n);
    if (r < 0) {
        pv_log(io->cfg.log, PV_LOG_WARN, "what=\"own addresses not read\" why=\"%s\"",
               pv_strstatus(r));
        return;
    }
    memset(links, 0, sizeof(links)); /* padding too: pictures are compared as bytes */
    for (size_t i = 0; i < n && n_links < PV_ENGINE_MAX_LINKS; i++) {
        if (strcmp(host[i].ifname, io->cfg.tun_name) == 0)
            continue;
        struct pv_link_addr *l = &links[n_links++];
        l->addr = host[i].addr;
        l->ifindex = host[i].ifindex;
        memcpy(l->ifname, host[i].ifname, sizeof(l->ifname));
        l->loopback = host[i].loopback;
        l->tunnel = host[i].tunnel;
        l->container = host[i].container;
        l->up = host[i].up;
    }
    must = pv_io_router_look(io, now) || must;
    if (!must && n_links == io->n_links && memcmp(links, io->links, sizeof(links)) == 0)
        return;
    memcpy(io->links, links, sizeof(links));
    io->n_links = n_links;
    pv_engine_handle_links(io->cfg.engine, links, n_links, now);
}

static void check_timers(struct pv_io *io, pv_ns now)
{
    bool rerouted = false;
    pv_ns slept = pv_clock_slept();
    if (slept > io->slept + RESUME_GAP) {
        pv_log(io->cfg.log, PV_LOG_INFO, "what=\"resumed from suspend\"");
        look_at_links(io, false, now);
        pv_engine_handle_resume(io->cfg.engine, now);
    }
    io->slept = slept;
    if (pv_net_monitor_due(io->monitor, now, &rerouted))
        look_at_links(io, rerouted, now);
    if (now >= pv_engine_next_timeout(io->cfg.engine))
        pv_engine_handle_timeout(io->cfg.engine, now);
    if (now >= io->reclaim)
        io->reclaim = pv_datapath_reclaim(io->datapath, now);
}

/* --- what the engine wants ----------------------------------------------------------------- */

static bool drain_datagrams(struct pv_io *io)
{
    struct pv_engine_transmit tx;
    bool any = false;
    while (pv_engine_poll_transmit(io->cfg.engine, &tx) == PV_OK) {
        int fd = tx.dst.family == PV_AF_INET6 ? io->cfg.udp.fd6[0] : io->cfg.udp.fd4[0];
        any = true;
        if (tx.router) {
            pv_io_router_send(io, &tx);
            continue;
        }
        if (tx.sock != 0)
            fd = pv_io_sock_fd(io, tx.sock);
        struct pv_udp_out out = {
            .dst = tx.dst, .local = tx.local, .data = pv_view(tx.buf, tx.len), .ttl = tx.ttl};
        if (tx.sock != 0 && tx.ttl != 0)
            pv_io_sock_errors(io, tx.sock); /* a send would drop those of the one before */
        if (tx.stream != 0)
            (void)!pv_relayio_send(io->relayio, PV_RELAYIO_CONTROL, tx.stream, out.data);
        else if (fd >= 0)
            pv_udp_send(fd, &out, 1, &io->udp);
    }
    pv_relayio_flush(io->relayio, PV_RELAYIO_CONTROL);
    return any;
}

static bool drain_socks(struct pv_io *io, pv_ns now)
{
    struct pv_hardnat_op op;
    bool any = false;
    while (pv_engine_poll_sock_op(io->cfg.engine, &op) == PV_OK) {
        any = true;
        pv_io_sock_op(io, &op, now);
    }
    return any;
}

static bool drain_relays(struct pv_io *io, pv_ns now)
{
    struct pv_relayway_op op;
    bool any = false;
    while (pv_engine_poll_relay_op(io->cfg.engine, &op) == PV_OK) {
        any = true;
        if (pv_relayio_do(io->relayio, &op) < 0 && op.open)
            pv_engine_relay_closed(io->cfg.engine, op.stream, "too much waits", now);
    }
    return any;
}

static bool drain_snapshots(struct pv_io *io, pv_ns now)
{
    struct pv_fp_snapshot *snap = NULL;
    bool any = false;
    while (pv_engine_poll_snapshot(io->cfg.engine, &snap) == PV_OK) {
        any = true;
        if (pv_datapath_publish(io->datapath, snap) < 0)
            pv_log(io->cfg.log, PV_LOG_ERROR,
                   "what=\"snapshot not published\" why=\"out of memory\"");
        io->reclaim = pv_datapath_reclaim(io->datapath, now);
    }
    return any;
}

static bool drain_injects(struct pv_io *io)
{
    struct pv_engine_inject inject;
    bool any = false;
    while (pv_engine_poll_inject(io->cfg.engine, &inject) == PV_OK) {
        any = true;
        if (pv_datapath_inject(io->datapath, inject.peer, pv_view(inject.buf, inject.len)) < 0)
            pv_log(io->cfg.log, PV_LOG_DEBUG, "what=\"control packet dropped\" why=\"queue full\"");
    }
    return any;
}

static bool drain_streams(struct pv_io *io, pv_ns now)
{
    struct pv_stream_op op;
    uint32_t sid = 0;
    bool any = false;
    while (pv_engine_poll_stream_op(io->cfg.engine, &op) == PV_OK) {
        any = true;
        pv_io_stream_op(io, &op, now);
    }
    while (pv_engine_poll_writable(io->cfg.engine, &sid) == PV_OK) {
        any = true;
        pv_io_stream_writable(io, sid, now);
    }
    return any;
}

static bool drain_files(struct pv_io *io, pv_ns now)
{
    struct pv_engine_fileop op;
    bool any = false;
    while (pv_engine_poll_fileop(io->cfg.engine, &op) == PV_OK) {
        any = true;
        pv_io_file_op(io, &op, now);
    }
    return any;
}

static bool drain_jobs(struct pv_io *io, pv_ns now)
{
    struct pv_job *job = NULL;
    bool any = false;
    while (pv_engine_poll_job(io->cfg.engine, &job) == PV_OK) {
        any = true;
        pv_io_submit(io, job, now);
    }
    return any;
}

/* True when the engine still had output after the last round: serving one kind feeds others.
 * Snapshots first: a handshake's answer makes the peer use keys that must be in place, and injected
 * packets need them too. */
static bool drain(struct pv_io *io, pv_ns now)
{
    for (unsigned i = 0; i < DRAIN_ROUNDS; i++) {
        bool any = drain_socks(io, now); /* a socket carries before a snapshot names it */
        any = drain_relays(io, now) || any;
        any = drain_snapshots(io, now) || any;
        any = drain_datagrams(io) || any;
        any = drain_injects(io) || any;
        any = drain_files(io, now) || any; /* a descriptor goes out with what is written next */
        any = drain_streams(io, now) || any;
        any = drain_jobs(io, now) || any;
        if (!any)
            return false;
    }
    return true;
}

static void become_ready(struct pv_io *io)
{
    io->ready = true;
    pv_io_listen_ctl(io);
    if (io->cfg.ready != NULL)
        io->cfg.ready(io->cfg.ready_ctx);
}

static pv_ns turn(void *ctx, pv_ns now)
{
    struct pv_io *io = ctx;
    pv_io_begin(io, now);
    check_timers(io, now);
    bool more = drain(io, now);
    if (!io->ready && io->iface_jobs == 0)
        become_ready(io);
    if (!more && pv_engine_wants_restart(io->cfg.engine))
        stop(io, PV_OK);
    io->begun = false;
    pv_ns next = pv_io_streams_timeout(io, now);
    next = pv_min_ns(next, pv_io_files_timeout(io, now));
    next = pv_min_ns(next, pv_oneshot_timeout(io->metrics, now));
    next = pv_min_ns(next, pv_engine_next_timeout(io->cfg.engine));
    next = pv_min_ns(next, pv_net_monitor_next(io->monitor));
    next = pv_min_ns(next, pv_io_iface_timeout(io, now));
    next = pv_min_ns(next, io->reclaim);
    return more ? now : next;
}

/* --- life ---------------------------------------------------------------------------------- */

static int init(struct pv_io *io)
{
    struct pv_datapath_config dp = {.udp = io->cfg.udp, .threads = io->cfg.threads};
    int r = pv_loop_new(&io->loop);
    if (r >= 0)
        r = pv_relayio_new(&io->relayio, io->cfg.udp.n, io->cfg.relay_ca_file);
    dp.relayio = io->relayio;
    if (r >= 0)
        r = pv_net_monitor_new(&io->monitor);
    if (r >= 0)
        r = pv_datapath_new(&io->datapath, &dp);
    if (r >= 0)
        r = pv_io_streams_init(io);
    if (r >= 0)
        r = pv_io_socks_init(io);
    if (r >= 0)
        r = pv_io_jobs_init(io);
    if (r >= 0)
        r = pv_io_files_init(io);
    if (r >= 0)
        r = pv_io_metrics_init(io);
    if (r >= 0)
        r = pv_watch_new(&io->punt_watch, io->loop, pv_datapath_event_fd(io->datapath),
                         PV_LOOP_READ, on_punts, io);
    if (r >= 0)
        r = pv_watch_new(&io->relay_watch, io->loop, pv_relayio_event_fd(io->relayio), PV_LOOP_READ,
                         on_relay, io);
    if (r >= 0)
        r = pv_watch_new(&io->signal_watch, io->loop, io->cfg.signals_fd, PV_LOOP_READ, on_signal,
                         io);
    if (r >= 0)
        r = pv_watch_new(&io->helper_watch, io->loop, pv_helper_alive_fd(io->cfg.helper),
                         PV_LOOP_READ, on_helper_death, io);
    if (r >= 0)
        r = pv_watch_new(&io->net_watch, io->loop, pv_net_monitor_fd(io->monitor), PV_LOOP_READ,
                         on_net, io);
    return r;
}

int pv_io_new(struct pv_io **ret_io, const struct pv_io_config *cfg)
{
    struct pv_io *io = calloc(1, sizeof(*io));
    if (io == NULL)
        return PV_ERR_NOMEM;
    io->cfg = *cfg;
    io->slept = pv_clock_slept();
    io->reclaim = PV_NEVER;
    io->files_dir = -1;
    io->portmap_until = PV_NEVER;
    io->iface_look_at = PV_NEVER;
    int r = init(io);
    if (r < 0)
        pv_io_free(io);
    else
        *ret_io = io;
    return r;
}

int pv_io_run(struct pv_io *io)
{
    const struct pv_loop_owner owner = {.turn = turn, .ctx = io};
    pv_ns now = pv_clock_now();
    pv_io_begin(io, now);
    look_at_links(io, true, now);
    pv_loop_run(io->loop, &owner);
    pv_io_begin(io, io->now);
    pv_engine_shutdown(io->cfg.engine, io->now);
    (void)!drain(io, io->now);
    return io->status;
}

struct pv_io *pv_io_free(struct pv_io *io)
{
    if (io == NULL)
        return NULL;
    pv_watch_free(io->punt_watch);
    pv_watch_free(io->relay_watch);
    pv_watch_free(io->signal_watch);
    pv_watch_free(io->helper_watch);
    pv_watch_free(io->net_watch);
    pv_io_files_done(io);
    pv_io_listen_dns(io, NULL);
    pv_io_metrics_done(io);
    pv_io_jobs_done(io);
    pv_io_streams_done(io);
    pv_io_router_done(io);
    if (io->datapath != NULL) {
        struct pv_datapath_counts c = pv_datapath_counts(io->datapath);
        pv_log(io->cfg.log, PV_LOG_DEBUG,
               "udp_sent=%llu udp_failed=%llu udp_received=%llu tun_read=%llu tun_written=%llu "
               "tun_failed=%llu udp_calls=%llu tun_calls=%llu punts_lost=%llu",
               (unsigned long long)c.udp_sent, (unsigned long long)c.udp_failed,
               (unsigned long long)c.udp_received, (unsigned long long)c.tun_read,
               (unsigned long long)c.tun_written, (unsigned long long)c.tun_failed,
               (unsigned long long)c.udp_calls, (unsigned long long)c.tun_calls,
               (unsigned long long)c.punts_lost);
    }
    pv_datapath_free(io->datapath);
    pv_relayio_free(io->relayio); /* what the lanes said last goes out */
    pv_io_socks_done(io);
    pv_net_monitor_free(io->monitor);
    pv_loop_free(io->loop);
    free(io);
    return NULL;
}
