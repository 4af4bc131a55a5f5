/* SPDX-License-Identifier: MIT */
/* The control thread's loop: its parts (io_*.h) made, run in turns and ended. */
#include "daemon/io/io.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "crypto/ct.h"
#include "daemon/io/io_beacon.h"
#include "daemon/io/io_dns.h"
#include "daemon/io/io_iface.h"
#include "daemon/io/io_jobs.h"
#include "daemon/io/io_links.h"
#include "daemon/io/io_metrics.h"
#include "daemon/io/io_router.h"
#include "daemon/io/io_socks.h"
#include "daemon/io/io_streams.h"
#include "daemon/io/io_turn.h"
#include "sys/proc/clock.h"

enum {
    PUNTS_A_TURN = 64,     /* ours: then the engine's output is drained */
    ORDERS_A_TURN = 16384, /* ours: then descriptors get their turn again */
    LAST_TURNS = 32,       /* ours: of orders at the end */
    RX_BUFFERS = 16,       /* datagrams of a UDP socket of this thread taken at once; ours */
    RX_BYTES = 2048,       /* of each: what is longer than a packet of 1,500 is an answer of a
                            * resolver, of which a phone hears that it did not fit */
};
#define RESUME_GAP PV_S(1) /* growth of BOOTTIME - MONOTONIC that means "was suspended" */

#define LEAVE_TIME PV_S(5) /* ours: pv_engine_leave() takes 3 s at most, and a disk the rest */

/* --- facts for the engine ------------------------------------------------------------------ */

static void on_punts(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io *io = ctx;
    struct pv_fp_punt punt;
    pv_io_turn_begin(io, now);
    /* The punt's descriptor tells also of a lost interface: the flag says which. */
    if (pv_datapath_tun_is_gone(io->datapath))
        pv_io_iface_deleted(io->iface);
    for (unsigned i = 0; i < PUNTS_A_TURN; i++) {
        if (pv_datapath_peek_punt(io->datapath, &punt) < 0)
            return;
        pv_engine_handle_punt(io->engine, &punt, now);
        pv_datapath_pop_punt(io->datapath);
    }
}

static void on_relay(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io *io = ctx;
    struct pv_relayio_event ev;
    pv_io_turn_begin(io, now);
    while (pv_relayio_poll_event(io->relayio, &ev) == PV_OK) {
        if (ev.connected) {
            pv_engine_relay_connected(io->engine, ev.stream, now);
            continue;
        }
        pv_engine_relay_closed(io->engine, ev.stream, ev.why, now);
    }
}

/* by_client: it waits for the answer, which pv_io_run() writes as its last output. */
static void reload(struct pv_io *io, bool by_client)
{
    struct pv_engine_reloaded done = {.error = "p2pvpnd is about to end"};
    if (!io->ends)
        io->reloaded |= io->cfg.reload(io->cfg.reload_ctx, &done); /* one that fails undoes none */
    if (by_client)
        pv_engine_reloaded(io->engine, &done);
}

/* More than one may have come since the last turn; SIGHUP does not end the loop, the others do. An
 * ephemeral member leaves first, unless it is told twice. */
static void on_signal(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io *io = ctx;
    int signo = 0;
    while (pv_signals_read(io->cfg.signals_fd, &signo) == PV_OK) {
        if (signo == SIGHUP) {
            reload(io, false);
            continue;
        }
        bool first = io->leave_by == PV_NEVER;
        io->ends = true;
        pv_log(io->log, PV_LOG_INFO, "signal=%d what=stopping", signo);
        if (first && pv_engine_leave(io->engine, now))
            io->leave_by = now + LEAVE_TIME;
        else
            pv_io_stop(io, PV_OK);
    }
}

static void on_helper_death(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io *io = ctx;
    pv_log(io->log, PV_LOG_ERROR, "what=stopping why=\"the privileged helper has died\"");
    pv_io_stop(io, PV_ERR_CLOSED);
}

/* Tells the engine what time has brought, before its output is drained. */
static void check_timers(struct pv_io *io, pv_ns now)
{
    /* CLOCK_BOOTTIME counts suspended time, CLOCK_MONOTONIC does not (clock_gettime(2)). */
    pv_ns slept = pv_clock_slept();
    if (slept > io->slept + RESUME_GAP) {
        pv_log(io->log, PV_LOG_INFO, "what=\"resumed from suspend\"");
        /* The links are looked at before the engine acts: a laptop may wake up in another
         * network. */
        pv_io_links_look(io, false, now);
        pv_engine_handle_resume(io->engine, now);
    }
    io->slept = slept;
    pv_io_links_timeout(io, now);
    if (now >= pv_engine_next_timeout(io->engine))
        pv_engine_handle_timeout(io->engine, now);
    if (now >= io->reclaim)
        io->reclaim = pv_datapath_reclaim(io->datapath, now);
}

/* --- what the engine wants ----------------------------------------------------------------- */

static void send_datagram(struct pv_io *io, const struct pv_engine_transmit *tx)
{
    int fd = tx->dst.family == PV_AF_INET6 ? io->cfg.udp.fd6[0] : io->cfg.udp.fd4[0];
    /* The port mapper's protocols answer on sockets of their own. */
    if (tx->router) {
        pv_io_router_send(io->router, tx);
        return;
    }
    if (tx->sock != 0)
        fd = pv_io_sock_fd(io, tx->sock);
    struct pv_udp_out out = {.dst = tx->dst,
                             .local = tx->local,
                             .ifindex = tx->ifindex,
                             .data = pv_view(tx->buf, tx->len),
                             .ttl = tx->ttl,
                             .opener = tx->opener};
    if (tx->sock != 0 && tx->ttl != 0)
        pv_io_sock_errors(io, tx->sock); /* a send would drop the errors of the datagram before */
    if (tx->stream != 0)
        (void)!pv_relayio_send(io->relayio, PV_RELAYIO_CONTROL, tx->stream, out.data);
    else if (fd >= 0)
        pv_udp_send(fd, &out, 1, &io->udp);
}

static void publish(struct pv_io *io, struct pv_fp_snapshot *snap, pv_ns now)
{
    /* The lanes keep the snapshot before: stale paths are better than none. */
    if (pv_datapath_publish(io->datapath, snap) < 0)
        pv_log(io->log, PV_LOG_ERROR, "what=\"snapshot not published\" why=\"out of memory\"");
    io->reclaim = pv_datapath_reclaim(io->datapath, now);
}

static void inject(struct pv_io *io, const struct pv_engine_inject *inject)
{
    if (pv_datapath_inject(io->datapath, inject->peer, pv_view(inject->buf, inject->len)) < 0)
        pv_log(io->log, PV_LOG_DEBUG, "what=\"control packet dropped\" why=\"queue full\"");
}

static void start_job(struct pv_io *io, struct pv_job *job, pv_ns now)
{
    if (job->kind == PV_JOB_IFACE_UP || job->kind == PV_JOB_IFACE_DOWN)
        pv_io_iface_submit(io->iface, job, now);
    else
        (void)pv_io_submit(io->jobs, job, false, now);
}

static void carry_out(struct pv_io *io, struct pv_engine_order *order, pv_ns now)
{
    switch (order->type) {
    case PV_ORDER_RELOAD:
        reload(io, true);
        break;
    case PV_ORDER_SOCK:
        pv_io_sock_op(io, &order->u.sock, now);
        break;
    case PV_ORDER_RELAY:
        if (pv_relayio_do(io->relayio, &order->u.relay) < 0) /* a close finds room */
            pv_engine_relay_closed(io->engine, order->u.relay.stream, "too much waits", now);
        break;
    case PV_ORDER_SNAPSHOT:
        publish(io, order->u.snapshot, now);
        break;
    case PV_ORDER_DATAGRAM:
        send_datagram(io, &order->u.datagram);
        break;
    case PV_ORDER_INJECT:
        inject(io, &order->u.inject);
        pv_wipe(order->u.inject.buf, order->u.inject.len);
        break;
    case PV_ORDER_PART: /* no part here has any */
        break;
    case PV_ORDER_STREAM:
        pv_io_stream_op(io->streams, &order->u.stream, now);
        break;
    case PV_ORDER_LOOK:
        pv_io_stream_writable(io->streams, order->u.look, now);
        break;
    case PV_ORDER_JOB:
        start_job(io, order->u.job, now);
        break;
    case PV_ORDER_TYPES:
        break;
    }
}

/* True when the engine may have more orders than a turn has time for. */
static bool drain(struct pv_io *io, pv_ns now)
{
    struct pv_engine_order order;
    unsigned n = 0;
    while (n < ORDERS_A_TURN && pv_engine_poll(io->engine, &order) == PV_OK) {
        carry_out(io, &order, now);
        n++;
    }
    pv_relayio_flush(io->relayio, PV_RELAYIO_CONTROL); /* messages wait for the last of them */
    return n == ORDERS_A_TURN;
}

static void become_ready(struct pv_io *io)
{
    io->ready = true;
    pv_io_streams_serve_ctl(io->streams);
    pv_supervisor_ready(io->cfg.supervisor, io->loop);
    if (io->cfg.ready != NULL)
        io->cfg.ready(io->cfg.ready_ctx);
}

/* One turn of the loop, after all descriptors had theirs; says when the next is due. */
static pv_ns run_turn(void *ctx, pv_ns now)
{
    struct pv_io *io = ctx;
    pv_io_turn_begin(io, now);
    check_timers(io, now);
    bool more = drain(io, now);
    if (!io->ready && pv_io_iface_is_settled(io->iface))
        become_ready(io);
    /* Not before: a signal to end may have come besides, and a member may have to leave. */
    if (io->reloaded && !io->ends && io->status == PV_OK)
        pv_io_stop(io, PV_OK);
    /* The restart waits for the output: goodbyes and the last jobs are part of it. */
    if (!more && pv_engine_wants_restart(io->engine))
        pv_io_stop(io, PV_OK);
    if (io->leave_by != PV_NEVER &&
        (now >= io->leave_by || (!more && pv_engine_has_left(io->engine))))
        pv_io_stop(io, PV_OK);
    pv_io_turn_end(io);
    /* Every part names the next time at which it has something to do; the loop sleeps until the
     * earliest. */
    pv_ns next = pv_io_streams_timeout(io->streams, now);
    next = pv_min_ns(next, pv_io_dns_timeout(io->dns, now));
    next = pv_min_ns(next, pv_io_beacon_timeout(io->beacon, now));
    if (io->cfg.app.part != NULL)
        next = pv_min_ns(next, io->cfg.app.timeout(io->cfg.app.ctx, now));
    pv_oneshot_handle_timeout(io->metrics, now);
    next = pv_min_ns(next, pv_oneshot_next_timeout(io->metrics));
    next = pv_min_ns(next, pv_engine_next_timeout(io->engine));
    next = pv_min_ns(next, pv_io_links_next(io));
    next = pv_min_ns(next, pv_io_iface_timeout(io->iface, now));
    next = pv_min_ns(next, io->reclaim);
    next = pv_min_ns(next, io->leave_by);
    return more ? now : next;
}

/* --- the program over the overlay ------------------------------------------------------------ */

struct pv_loop *pv_io_app_loop(struct pv_io *io)
{
    return io->loop;
}

void pv_io_app_report(struct pv_io *io, const void *report, pv_ns now)
{
    pv_io_turn_begin(io, now);
    pv_engine_report(io->engine, io->cfg.app.part, report, now);
}

/* --- life ---------------------------------------------------------------------------------- */

/* Starts the other threads, and what parts share. */
static int start_threads(struct pv_io *io)
{
    struct pv_datapath_config dp = {.udp = io->cfg.udp, .threads = io->cfg.threads, .deaf = true};
    /* The relays' thread is first: lanes use it from their first packet on. */
    int r = pv_relayio_new(&io->relayio, io->cfg.udp.n, io->cfg.relay_ca_file, io->cfg.proxy_login);
    dp.relayio = io->relayio;
    if (r >= 0)
        r = pv_net_monitor_new(&io->monitor);
    if (r >= 0)
        r = pv_datapath_new(&io->datapath, &dp);
    if (r >= 0)
        r = pv_udp_receiver_new(&io->rx, RX_BUFFERS, RX_BYTES);
    return r;
}

static int make_parts(struct pv_io *io)
{
    int r = pv_io_streams_new(&io->streams, io);
    if (r >= 0)
        r = pv_io_dns_new(&io->dns, io);
    if (r >= 0)
        r = pv_io_router_new(&io->router, io);
    if (r >= 0)
        r = pv_io_beacon_new(&io->beacon, io);
    if (r >= 0)
        r = pv_io_jobs_new(&io->jobs, io);
    if (r >= 0)
        r = pv_io_iface_new(&io->iface, io);
    if (r >= 0)
        r = pv_io_links_watch(io);
    if (r >= 0 && io->cfg.app.part != NULL)
        r = io->cfg.app.start(io->cfg.app.ctx, io);
    if (r >= 0)
        r = pv_io_metrics_serve(io);
    return r;
}

static int watch_threads(struct pv_io *io)
{
    struct pv_loop *loop = io->loop;
    int r = pv_watch_new(&io->punt_watch, loop, pv_datapath_event_fd(io->datapath), PV_LOOP_READ,
                         on_punts, io);
    if (r >= 0)
        r = pv_watch_new(&io->relay_watch, loop, pv_relayio_event_fd(io->relayio), PV_LOOP_READ,
                         on_relay, io);
    if (r >= 0)
        r = pv_watch_new(&io->signal_watch, loop, io->cfg.signals_fd, PV_LOOP_READ, on_signal, io);
    if (r >= 0)
        r = pv_watch_new(&io->helper_watch, loop, pv_helper_alive_fd(io->cfg.helper), PV_LOOP_READ,
                         on_helper_death, io);
    return r;
}

int pv_io_new(struct pv_io **ret_io, const struct pv_io_config *cfg)
{
    struct pv_io *io = calloc(1, sizeof(*io));
    if (io == NULL)
        return PV_ERR_NOMEM;
    /* Every pointer is NULL until its part is made, so that pv_io_free() can end a half-made
     * loop. */
    io->cfg = *cfg;
    io->engine = cfg->engine;
    io->log = cfg->log;
    io->slept = pv_clock_slept();
    io->reclaim = io->leave_by = PV_NEVER;
    int r = pv_loop_new(&io->loop);
    if (r >= 0)
        r = start_threads(io);
    if (r >= 0)
        r = make_parts(io);
    if (r >= 0)
        r = watch_threads(io);
    if (r < 0)
        pv_io_free(io);
    else
        *ret_io = io;
    return r;
}

int pv_io_run(struct pv_io *io, bool *ret_again)
{
    const struct pv_loop_owner owner = {.turn = run_turn, .ctx = io};
    pv_ns now = pv_clock_now();
    pv_io_turn_begin(io, now);
    pv_io_links_look(io, true, now);
    pv_loop_run(io->loop, &owner);
    /* The loop has stopped, but shutdown makes output: goodbyes to peers, relays and the
     * coordinator. */
    pv_io_turn_begin(io, io->now);
    pv_engine_shutdown(io->engine, io->now);
    for (unsigned i = 0; i < LAST_TURNS && drain(io, io->now); i++)
        ;
    *ret_again = !io->ends && (io->reloaded || pv_engine_wants_restart(io->engine));
    return io->status;
}

static void log_counts(struct pv_io *io)
{
    const struct pv_datapath_counts c = pv_datapath_counts(io->datapath);
    pv_log(io->log, PV_LOG_DEBUG,
           "udp_sent=%llu udp_failed=%llu udp_received=%llu tun_read=%llu tun_written=%llu "
           "tun_failed=%llu udp_calls=%llu tun_calls=%llu punts_lost=%llu",
           (unsigned long long)c.udp_sent, (unsigned long long)c.udp_failed,
           (unsigned long long)c.udp_received, (unsigned long long)c.tun_read,
           (unsigned long long)c.tun_written, (unsigned long long)c.tun_failed,
           (unsigned long long)c.udp_calls, (unsigned long long)c.tun_calls,
           (unsigned long long)c.punts_lost);
}

/* In the reverse order of who uses whom: the program gives connections back to nobody, jobs may
 * still hold the TUN, and the datapath ends before the sockets it reads are closed. */
struct pv_io *pv_io_free(struct pv_io *io)
{
    if (io == NULL)
        return NULL;
    pv_supervisor_leave_loop(io->cfg.supervisor);
    pv_watch_free(io->punt_watch);
    pv_watch_free(io->relay_watch);
    pv_watch_free(io->signal_watch);
    pv_watch_free(io->helper_watch);
    pv_watch_free(io->links.watch);
    if (io->cfg.app.part != NULL)
        io->cfg.app.end(io->cfg.app.ctx);
    pv_io_dns_free(io->dns);
    pv_oneshot_free(io->metrics);
    if (io->cfg.metrics_fd >= 0) /* it was never served */
        close(io->cfg.metrics_fd);
    /* The threads of jobs end before the parts whose jobs they run. */
    pv_io_jobs_free(io->jobs);
    pv_io_iface_free(io->iface);
    pv_io_streams_free(io->streams);
    pv_io_router_free(io->router);
    pv_io_beacon_free(io->beacon);
    if (io->datapath != NULL)
        log_counts(io);
    pv_datapath_free(io->datapath);
    pv_relayio_free(io->relayio); /* what the lanes said last goes out */
    pv_io_socks_free(io);
    pv_udp_receiver_free(io->rx);
    pv_net_monitor_free(io->monitor);
    pv_loop_free(io->loop);
    free(io);
    return NULL;
}
