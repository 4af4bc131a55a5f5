/* SPDX-License-Identifier: MIT */
/* Jobs of the engine on their way to a thread that may block, and back. A lane is such a worker;
 * the table HANDLERS says what serves a job of which kind, and in which lane. */
#include "daemon/io/io_jobs.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/io/io_iface.h"
#include "daemon/io/portmapper.h"
#include "daemon/io/resolver.h"
#include "daemon/io/sshdkeys.h"
#include "sys/helper/notify.h"
#include "sys/net/inside.h"
#include "sys/proc/clock.h"
#include "sys/proc/worker.h"

/* A port given back to a router at the end may take that long; it is mostly one packet. Ours. */
#define PORTMAP_LAST PV_MS(1500)

/* The workers. The waits of one of them must not hold up the jobs of another. */
enum lane {
    LANE_STORE,
    LANE_HELPER,
    LANE_RESOLVER,
    LANE_NOTIFIER,
    LANE_PORTMAP,
    N_LANES,
};

struct pv_io_jobs {
    struct pv_io *io;
    struct running {
        struct pv_io_jobs *jobs;  /* back, for the watch */
        struct pv_worker *worker; /* NULL: nothing is configured for it */
        struct pv_watch *watch;
    } lanes[N_LANES];
    bool has_events; /* of the helper's thread: it was given them */
    int host_fd;     /* on which the helper tells of this host's network; -1: not yet */
    struct pv_watch *host_watch;
    /* Read by their threads: what is asked of routers, and of name servers, ends then. */
    _Atomic pv_ns portmap_until, resolve_until;
};

/* A job on its way through a lane. */
struct work {
    struct pv_io_jobs *jobs; /* not to be used in a lane that is abandoned at the end */
    struct pv_job *job;
    bool own; /* the shell's, not the engine's: its result is not reported */
    struct pv_job_result result;
    struct pv_tun tun;        /* IFACE_UP */
    struct pv_io_dns_fds dns; /* IFACE_UP */
    int events;               /* NETPLAN: of the helper's answers; -1: given before */
    char *hostkeys;           /* HOSTKEYS: what the result shows; owned */
};

static void result_error(struct pv_job_result *result, int status, const char *what,
                         const char *why)
{
    result->status = status;
    snprintf(result->error, sizeof(result->error), "%.120s: %.100s", what, why);
}

/* --- on the lanes' threads ----------------------------------------------------------------- */

static void take_jobs(void *const *items, size_t n, struct pv_job **ret_jobs)
{
    for (size_t i = 0; i < n; i++)
        ret_jobs[i] = ((struct work *)items[i])->job;
}

static void put_results(void *const *items, size_t n, const struct pv_job_result *results)
{
    for (size_t i = 0; i < n; i++)
        ((struct work *)items[i])->result = results[i];
}

/* All jobs that wait are one transaction. */
static void run_store(void *ctx, void *const *items, size_t n)
{
    struct pv_job *jobs[PV_WORKER_MAX_BATCH] = {NULL};
    struct pv_job_result results[PV_WORKER_MAX_BATCH];
    take_jobs(items, n, jobs);
    pv_store_run(ctx, jobs, results, n);
    put_results(items, n, results);
}

/* Port 53 needs rights. A name server that cannot listen is no reason to go without interface. */
static void open_dns(struct pv_helper *helper, struct work *w)
{
    const struct pv_job_iface *job = w->job->u.iface;
    for (size_t i = 0; job->zone[0] != '\0' && i < 2 * job->n_addrs; i++) {
        char error[PV_HELPER_ERROR_MAX];
        int fd = -1;
        if (pv_helper_open_dns(helper, &job->addrs[i / 2].base, i % 2 != 0, &fd, error) < 0) {
            fd = -1;
            if (w->result.error[0] == '\0')
                memcpy(w->result.error, error, sizeof(error));
        }
        w->dns.fds[w->dns.n++] = fd;
    }
}

static void close_dns(struct pv_io_dns_fds *dns)
{
    for (size_t i = 0; i < dns->n; i++)
        if (dns->fds[i] >= 0)
            close(dns->fds[i]);
    dns->n = 0;
}

/* The helper makes the interface and hands its descriptors over. */
static void run_iface_up(void *ctx, struct work *w)
{
    const struct pv_job_iface *job = w->job->u.iface;
    struct pv_helper_iface iface = {
        .n_addrs = job->n_addrs, .mtu = job->mtu, .queues = (uint8_t)w->jobs->io->cfg.udp.n};
    char error[PV_HELPER_ERROR_MAX];
    _Static_assert(sizeof(iface.addrs) == sizeof(job->addrs), "both lists have one length");
    _Static_assert(sizeof(error) <= sizeof(w->result.error), "an error is not cut");
    memcpy(iface.addrs, job->addrs, sizeof(iface.addrs));
    memcpy(iface.zone, job->zone, sizeof(iface.zone));
    /* A route to everything would send the tunnel's own packets into the tunnel. */
    for (size_t i = 0; i < job->n_routes; i++)
        if (pv_netplan_is_target(&job->routes[i]))
            iface.routes[iface.n_routes++] = job->routes[i];
    w->result.status = pv_helper_iface_up(ctx, &iface, &w->tun, error);
    memcpy(w->result.error, error, sizeof(error));
    if (w->result.status >= 0)
        open_dns(ctx, w);
}

static void run_iface_down(void *ctx, struct work *w)
{
    w->result.status = pv_helper_iface_down(ctx, w->result.error);
}

/* The host's word comes by itself from the first plan on. */
static void run_netplan(void *ctx, struct work *w)
{
    struct pv_io_jobs *jobs = w->jobs;
    w->result.status = pv_helper_netplan(ctx, w->job->u.netplan,
                                         jobs->has_events ? NULL : &w->events, w->result.error);
    jobs->has_events = jobs->has_events || w->events >= 0;
}

/* The helper writes the file, since every program of the machine believes what is in it. */
static void run_names(void *ctx, struct work *w)
{
    const struct pv_job_names *names = &w->job->u.names;
    const struct pv_view bytes = pv_view(names->bytes, names->bytes == NULL ? 0 : names->len);
    if (w->jobs->io->cfg.names)
        w->result.status = pv_helper_write_names(ctx, bytes, names->recent, w->result.error);
}

static void run_resolve(void *ctx, struct work *w)
{
    struct pv_io_jobs *jobs = ctx;
    pv_resolver_ask(jobs->io->cfg.helper, &w->job->u.resolve, &jobs->resolve_until, &w->result);
}

/* Hands the message to the process that runs the user's program. The descriptor comes by value: the
 * thread may outlive everything else (it is abandoned at the end). */
static void run_notify(void *ctx, struct work *w)
{
    const int fd = (int)(intptr_t)ctx;
    const struct pv_job_notify *job = w->job->u.notify;
    char error[PV_NOTIFY_ERROR_MAX];
    struct pv_notify_message *msg = malloc(sizeof(*msg));
    if (msg == NULL) {
        result_error(&w->result, PV_ERR_NOMEM, "notify", "out of memory");
        return;
    }
    *msg = (struct pv_notify_message){.text_len = (uint32_t)strlen(job->text)};
    _Static_assert(sizeof(msg->text) >= PV_TEXT_MAX, "every text fits");
    memcpy(msg->text, job->text, msg->text_len);
    snprintf(msg->from, sizeof(msg->from), "%s", job->from);
    snprintf(msg->to, sizeof(msg->to), "%s", job->to);
    snprintf(msg->room, sizeof(msg->room), "%s", job->room);
    snprintf(msg->id, sizeof(msg->id), "%s", job->id);
    snprintf(msg->time, sizeof(msg->time), "%llu.%03llu", (unsigned long long)(job->time_ms / 1000),
             (unsigned long long)(job->time_ms % 1000));
    w->result.status = pv_notify_run(fd, msg, error);
    _Static_assert(sizeof(error) <= sizeof(w->result.error), "an error is not cut");
    memcpy(w->result.error, error, sizeof(error));
    free(msg);
}

static void run_portmap(void *ctx, struct work *w)
{
    struct pv_io_jobs *jobs = ctx;
    pv_portmapper_ask(jobs->io->cfg.helper, &w->job->u.portmap, &jobs->portmap_until,
                      &w->result.portmap);
}

static void run_hostkeys(void *ctx, struct work *w)
{
    size_t len = 0;
    w->result.status = pv_sshdkeys_read("/etc/ssh", &w->hostkeys, &len);
    w->result.hostkeys = pv_view(w->hostkeys, len);
}

/* The function that serves a job of each kind. Kinds that pv_store_serves() have none: their lane
 * takes them in batches. ctx is the lane's. */
static const struct handler {
    enum lane lane;
    void (*run)(void *ctx, struct work *w);
} HANDLERS[PV_JOB_KINDS] = {
    [PV_JOB_RESOLVE] = {LANE_RESOLVER, run_resolve},
    [PV_JOB_IFACE_UP] = {LANE_HELPER, run_iface_up},
    [PV_JOB_IFACE_DOWN] = {LANE_HELPER, run_iface_down},
    [PV_JOB_NETPLAN] = {LANE_HELPER, run_netplan},
    [PV_JOB_NOTIFY] = {LANE_NOTIFIER, run_notify},
    /* The helper process has no part in it, but its lane does things one by one. */
    [PV_JOB_NAMES] = {LANE_HELPER, run_names},
    [PV_JOB_PORTMAP] = {LANE_PORTMAP, run_portmap},
    /* It waits for nobody: a name that is being resolved holds it up at most. */
    [PV_JOB_HOSTKEYS] = {LANE_RESOLVER, run_hostkeys},
};

bool pv_io_jobs_serve(enum pv_job_kind kind)
{
    return pv_store_serves(kind) || (kind < PV_JOB_KINDS && HANDLERS[kind].run != NULL);
}

static void run_each(void *ctx, void *const *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct work *w = items[i];
        HANDLERS[w->job->kind].run(ctx, w);
    }
}

static const struct lane_kind {
    const char *name; /* of the threads */
    unsigned threads;
    size_t limit; /* jobs under way; beyond it the engine is told so; ours */
    size_t batch;
    void (*run)(void *ctx, void *const *items, size_t n);
    bool may_hang; /* its threads are left alone at the end */
} LANES[N_LANES] = {
    [LANE_STORE] = {"pv-store", 1, 8192, PV_WORKER_MAX_BATCH, run_store, false},
    [LANE_HELPER] = {"pv-helper", 1, 64, 1, run_each, false},
    /* Two threads: a name server that does not answer must not hold up all names. */
    [LANE_RESOLVER] = {"pv-resolver", 2, 256, 1, run_each, false},
    /* The engine keeps fewer. A user's program need not be in a hurry. */
    [LANE_NOTIFIER] = {"pv-notifier", 1, 128, 1, run_each, true},
    [LANE_PORTMAP] = {"pv-portmap", 1, 16, 1, run_each, false},
};

/* --- on the control thread ----------------------------------------------------------------- */

static void free_work(struct work *w)
{
    pv_job_free(w->job);
    close_dns(&w->dns);
    if (w->events >= 0)
        close(w->events);
    free(w->hostkeys);
    free(w);
}

/* --- this host's network ------------------------------------------------------------------- */

static void stop_hearing(struct pv_io_jobs *jobs)
{
    jobs->host_watch = pv_watch_free(jobs->host_watch);
    if (jobs->host_fd >= 0)
        close(jobs->host_fd);
    jobs->host_fd = -1;
}

/* The newest word counts. */
static void on_host(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io_jobs *jobs = ctx;
    struct pv_netplan_host host;
    pv_io_turn_begin(jobs->io, now);
    int r = pv_helper_netplan_event(jobs->host_fd, &host);
    if (r == PV_ERR_CLOSED)
        stop_hearing(jobs); /* the helper's end is noticed elsewhere */
    if (r == PV_OK)
        pv_engine_handle_hostnet(jobs->io->engine, &host, now);
}

/* Takes the descriptor of pv_helper_netplan(). */
static void hear_host(struct pv_io_jobs *jobs, int fd)
{
    stop_hearing(jobs);
    jobs->host_fd = fd;
    int r = pv_watch_new(&jobs->host_watch, jobs->io->loop, fd, PV_LOOP_READ, on_host, jobs);
    if (r < 0)
        pv_log(jobs->io->log, PV_LOG_WARN, "what=\"this host's network is not watched\" why=\"%s\"",
               pv_strstatus(r));
}

/* --- results ------------------------------------------------------------------------------- */

static bool is_iface(enum pv_job_kind kind)
{
    return kind == PV_JOB_IFACE_UP || kind == PV_JOB_IFACE_DOWN;
}

static void finish_work(struct pv_io_jobs *jobs, struct work *w, pv_ns now)
{
    /* The interface's part is told before the engine: it owns the descriptors that came with the
     * result. */
    if (is_iface(w->job->kind))
        pv_io_iface_done(jobs->io->iface, &(struct pv_io_iface_job){.job = w->job,
                                                                    .tun = &w->tun,
                                                                    .dns = &w->dns,
                                                                    .result = &w->result,
                                                                    .own = w->own});
    if (w->events >= 0)
        hear_host(jobs, w->events);
    w->events = -1;
    w->result.id = w->job->id;
    w->result.kind = w->job->kind;
    if (!w->own)
        pv_engine_handle_job(jobs->io->engine, &w->result, now);
    free_work(w);
}

static void on_results(void *ctx, unsigned ready, pv_ns now)
{
    struct running *lane = ctx;
    void *item = NULL;
    pv_io_turn_begin(lane->jobs->io, now);
    while (pv_worker_take(lane->worker, &item) == PV_OK)
        finish_work(lane->jobs, item, now);
}

int pv_io_submit(struct pv_io_jobs *jobs, struct pv_job *job, bool own, pv_ns now)
{
    struct work *w = calloc(1, sizeof(*w));
    int r = !pv_io_jobs_serve(job->kind) ? PV_ERR_UNSUPPORTED : w == NULL ? PV_ERR_NOMEM : PV_OK;
    if (r >= 0) {
        enum lane lane = pv_store_serves(job->kind) ? LANE_STORE : HANDLERS[job->kind].lane;
        *w = (struct work){.jobs = jobs, .job = job, .own = own, .events = -1};
        r = pv_worker_submit(jobs->lanes[lane].worker, w);
    }
    if (r >= 0)
        return PV_OK;
    /* The engine waits for every job, so one that cannot start gets its result here. */
    struct pv_job_result result = {.id = job->id, .kind = job->kind};
    result_error(&result, r, "start a job", pv_strstatus(r));
    if (!own)
        pv_engine_handle_job(jobs->io->engine, &result, now);
    pv_job_free(job);
    free(w);
    return r;
}

/* --- life ---------------------------------------------------------------------------------- */

/* Each lane has threads of its own, so that a slow one does not keep the others waiting. */
static int start_lane(struct pv_io_jobs *jobs, enum lane lane, void *ctx)
{
    struct running *l = &jobs->lanes[lane];
    const struct lane_kind *kind = &LANES[lane];
    const struct pv_worker_config cfg = {.name = kind->name,
                                         .threads = kind->threads,
                                         .limit = kind->limit,
                                         .batch = kind->batch,
                                         .run = kind->run,
                                         .ctx = ctx};
    l->jobs = jobs;
    int r = pv_worker_new(&l->worker, &cfg);
    if (r >= 0)
        r = pv_watch_new(&l->watch, jobs->io->loop, pv_worker_fd(l->worker), PV_LOOP_READ,
                         on_results, l);
    return r;
}

int pv_io_jobs_new(struct pv_io_jobs **ret_jobs, struct pv_io *io)
{
    struct pv_io_jobs *jobs = calloc(1, sizeof(*jobs));
    if (jobs == NULL)
        return PV_ERR_NOMEM;
    jobs->io = io;
    jobs->host_fd = -1;
    jobs->portmap_until = jobs->resolve_until = PV_NEVER;
    int r = start_lane(jobs, LANE_STORE, io->cfg.store);
    if (r >= 0)
        r = start_lane(jobs, LANE_PORTMAP, jobs);
    if (r >= 0)
        r = start_lane(jobs, LANE_HELPER, io->cfg.helper);
    if (r >= 0)
        r = start_lane(jobs, LANE_RESOLVER, jobs);
    if (r >= 0 && io->cfg.notify_fd >= 0)
        r = start_lane(jobs, LANE_NOTIFIER, (void *)(intptr_t)io->cfg.notify_fd);
    if (r < 0)
        pv_io_jobs_free(jobs);
    else
        *ret_jobs = jobs;
    return r;
}

static void finish_lane(struct pv_worker *worker)
{
    void *item = NULL;
    if (worker == NULL)
        return;
    pv_worker_finish(worker);
    while (pv_worker_take(worker, &item) == PV_OK) {
        struct work *w = item;
        /* A descriptor that nobody took would keep the interface alive. */
        pv_tun_close(&w->tun);
        free_work(w);
    }
    pv_worker_free(worker);
}

struct pv_io_jobs *pv_io_jobs_free(struct pv_io_jobs *jobs)
{
    if (jobs == NULL)
        return NULL;
    for (enum lane i = 0; i < N_LANES; i++)
        pv_watch_free(jobs->lanes[i].watch);
    stop_hearing(jobs);
    /* A router or a name server that does not answer must not keep the daemon. */
    atomic_store_explicit(&jobs->resolve_until, 0, memory_order_relaxed);
    atomic_store_explicit(&jobs->portmap_until, pv_clock_now() + PORTMAP_LAST,
                          memory_order_relaxed);
    /* Every job of the stores is finished, for its writes were promised. */
    finish_lane(jobs->lanes[LANE_STORE].worker);
    finish_lane(jobs->lanes[LANE_PORTMAP].worker);
    finish_lane(jobs->lanes[LANE_RESOLVER].worker);
    finish_lane(jobs->lanes[LANE_HELPER].worker);
    /* This thread may sit in a user's program; the process ends without it. */
    for (enum lane i = 0; i < N_LANES; i++)
        if (LANES[i].may_hang && jobs->lanes[i].worker != NULL)
            pv_worker_abandon(jobs->lanes[i].worker);
    free(jobs);
    return NULL;
}
