/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/io/io_int.h"
#include "daemon/io/portmapper.h"
#include "sys/file/file.h"
#include "sys/helper/notify.h"
#include "sys/net/sockaddr.h"
#include "sys/proc/clock.h"

enum {
    STORE_LIMIT = 8192, /* jobs under way; beyond it the engine is told so */
    HELPER_LIMIT = 64,
    RESOLVER_LIMIT = 256,
    NOTIFIER_LIMIT = 128, /* the engine keeps fewer */
    PORTMAP_LIMIT = 16,
    RESOLVER_THREADS = 2, /* a name server that does not answer must not hold up all names */
};

/* What is given back to a router at the end may take that long; it is mostly one packet. */
#define PORTMAP_LAST PV_MS(1500)

/* A job on its way through a worker. */
struct work {
    struct pv_io *io;
    struct pv_job *job;
    bool own; /* ours, not the engine's: its result is not reported */
    struct pv_job_result result;
    struct pv_tun tun; /* IFACE_UP */
};

static void result_error(struct pv_job_result *result, int status, const char *what,
                         const char *why)
{
    result->status = status;
    snprintf(result->error, sizeof(result->error), "%.120s: %.100s", what, why);
}

/* --- on the workers' threads --------------------------------------------------------------- */

static void run_store(void *ctx, void *const *items, size_t n)
{
    struct pv_store *store = ctx;
    struct pv_job *jobs[PV_WORKER_MAX_BATCH] = {NULL};
    struct pv_job_result results[PV_WORKER_MAX_BATCH];
    for (size_t i = 0; i < n; i++)
        jobs[i] = ((struct work *)items[i])->job;
    pv_store_run(store, jobs, results, n);
    for (size_t i = 0; i < n; i++)
        ((struct work *)items[i])->result = results[i];
}

static int iface_up(struct pv_helper *helper, const struct pv_job_iface *job, struct work *w)
{
    struct pv_helper_iface iface = {
        .n_addrs = job->n_addrs, .mtu = job->mtu, .queues = (uint8_t)w->io->cfg.udp.n};
    char error[PV_HELPER_ERROR_MAX];
    _Static_assert(sizeof(iface.addrs) == sizeof(job->addrs), "both lists have one length");
    _Static_assert(sizeof(error) <= sizeof(w->result.error), "an error is not cut");
    memcpy(iface.name, job->name, sizeof(iface.name));
    memcpy(iface.addrs, job->addrs, sizeof(iface.addrs));
    _Static_assert(sizeof(iface.domains) == sizeof(job->domains), "both lists have one length");
    memcpy(iface.domains, job->domains, sizeof(iface.domains));
    iface.n_domains = job->n_domains;
    /* A route to everything would send the tunnel's own packets into the tunnel. */
    for (size_t i = 0; i < job->n_routes; i++)
        if (job->routes[i].bits > 0)
            iface.routes[iface.n_routes++] = job->routes[i];
    int r = pv_helper_iface_up(helper, &iface, &w->tun, error);
    memcpy(w->result.error, error, sizeof(error));
    return r;
}

/* The helper process has no part in it, but its thread is the one that does things one by one. */
static void write_names(const char *path, const struct pv_job_names *names,
                        struct pv_job_result *result)
{
    char what[160];
    int r = PV_OK;
    if (path == NULL)
        return;
    if (names->bytes != NULL)
        r = pv_file_write(path, pv_view(names->bytes, names->len), 0644);
    else if (unlink(path) != 0 && errno != ENOENT)
        r = -errno;
    if (r == PV_OK)
        return;
    snprintf(what, sizeof(what), "write %s", path);
    result_error(result, r, what, pv_strstatus(r));
}

static void run_helper(void *ctx, void *const *items, size_t n)
{
    struct pv_helper *helper = ctx;
    for (size_t i = 0; i < n; i++) {
        struct work *w = items[i];
        if (w->job->kind == PV_JOB_NAMES) {
            write_names(w->io->cfg.names_path, &w->job->u.names, &w->result);
            continue;
        }
        w->result.status = w->job->kind == PV_JOB_IFACE_UP
                               ? iface_up(helper, w->job->u.iface, w)
                               : pv_helper_iface_down(helper, w->result.error);
    }
}

static void resolve(const struct pv_job_resolve *job, struct pv_job_result *result)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char what[PV_JOB_HOST_MAX + 16];
    int e = getaddrinfo(job->host, NULL, &hints, &list);
    if (e != 0) {
        snprintf(what, sizeof(what), "resolve %s", job->host);
        result_error(result, PV_ERR_NOT_FOUND, what, gai_strerror(e));
        return;
    }
    for (struct addrinfo *ai = list; ai != NULL && result->n_addrs < PV_JOB_MAX_ADDRS;
         ai = ai->ai_next) {
        struct sockaddr_storage ss = {0};
        if (ai->ai_addrlen > sizeof(ss))
            continue;
        memcpy(&ss, ai->ai_addr, ai->ai_addrlen);
        struct pv_addr addr = pv_sockaddr_to(&ss);
        addr.port = job->port;
        if (addr.family != PV_AF_NONE)
            result->addrs[result->n_addrs++] = addr;
    }
    freeaddrinfo(list);
}

static void run_notifier(void *ctx, void *const *items, size_t n)
{
    const int fd = (int)(intptr_t)ctx; /* by value: the thread may outlive the rest (abandon) */
    struct pv_notify_message *msg = malloc(sizeof(*msg));
    for (size_t i = 0; i < n; i++) {
        struct work *w = items[i];
        const struct pv_job_notify *job = w->job->u.notify;
        char error[PV_NOTIFY_ERROR_MAX];
        if (msg == NULL) {
            result_error(&w->result, PV_ERR_NOMEM, "notify", "out of memory");
            continue;
        }
        *msg = (struct pv_notify_message){.text_len = (uint32_t)strlen(job->text)};
        _Static_assert(sizeof(msg->text) >= PV_CHAT_TEXT_MAX, "every text fits");
        memcpy(msg->text, job->text, msg->text_len);
        snprintf(msg->from, sizeof(msg->from), "%s", job->from);
        snprintf(msg->to, sizeof(msg->to), "%s", job->to);
        snprintf(msg->room, sizeof(msg->room), "%s", job->room);
        snprintf(msg->id, sizeof(msg->id), "%s", job->id);
        snprintf(msg->time, sizeof(msg->time), "%llu.%03llu",
                 (unsigned long long)(job->time_ms / 1000),
                 (unsigned long long)(job->time_ms % 1000));
        w->result.status = pv_notify_run(fd, msg, error);
        _Static_assert(sizeof(error) <= sizeof(w->result.error), "an error is not cut");
        memcpy(w->result.error, error, sizeof(error));
    }
    free(msg);
}

static void run_resolver(void *ctx, void *const *items, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        struct work *w = items[i];
        resolve(&w->job->u.resolve, &w->result);
    }
}

static void run_portmap(void *ctx, void *const *items, size_t n)
{
    struct pv_io *io = ctx;
    for (size_t i = 0; i < n; i++) {
        struct work *w = items[i];
        pv_portmapper_ask(io->cfg.helper, &w->job->u.portmap, &io->portmap_until,
                          &w->result.portmap);
    }
}

/* --- on the control thread ----------------------------------------------------------------- */

static void free_work(struct work *w)
{
    pv_job_result_done(&w->result);
    pv_job_free(w->job);
    free(w);
}

/* Takes the TUN's descriptor and listens on its addresses. */
static void use_tun(struct pv_io *io, struct work *w)
{
    int r = pv_datapath_set_tun(io->datapath, &w->tun);
    if (r < 0) {
        result_error(&w->result, r, "start the packet threads", pv_strstatus(r));
        return;
    }
    struct pv_datapath_counts c = pv_datapath_counts(io->datapath);
    pv_log(io->cfg.log, PV_LOG_INFO,
           "what=\"packets\" workers=%u threads=%u tcp-offload=%s udp-offload=%s aead=%s",
           c.workers, c.threads, c.tun.tso ? "yes" : "no", c.tun.uso ? "yes" : "no", c.aead);
    if (w->result.error[0] != '\0') /* up all the same */
        pv_log(io->cfg.log, PV_LOG_WARN, "why=\"%s\"", w->result.error);
    io->tun_index = if_nametoindex(w->job->u.iface->name);
    pv_io_listen_overlay(io, w->job->u.iface);
    pv_io_listen_dns(io, w->job->u.iface);
}

static void drop_tun(struct pv_io *io)
{
    pv_io_listen_overlay(io, NULL);
    pv_io_listen_dns(io, NULL);
    io->tun_index = 0;
    int r = pv_datapath_set_tun(io->datapath, NULL);
    if (r < 0)
        pv_log(io->cfg.log, PV_LOG_ERROR, "what=\"packet threads not started\" why=\"%s\"",
               pv_strstatus(r));
}

static void finish_iface(struct pv_io *io, struct work *w)
{
    io->iface_jobs--;
    if (w->job->kind == PV_JOB_IFACE_DOWN)
        drop_tun(io); /* again: an UP submitted before the DOWN may have come in between */
    else if (w->result.status >= 0)
        use_tun(io, w);
    pv_io_iface_changed(io);
    if (w->own && w->result.status < 0)
        pv_log(io->cfg.log, PV_LOG_ERROR, "what=\"interface not made again\" why=\"%s\"",
               w->result.error);
}

static void finish(struct pv_io *io, struct work *w, pv_ns now)
{
    if (w->job->kind == PV_JOB_IFACE_UP || w->job->kind == PV_JOB_IFACE_DOWN)
        finish_iface(io, w);
    w->result.id = w->job->id;
    w->result.kind = w->job->kind;
    if (!w->own)
        pv_engine_handle_job(io->cfg.engine, &w->result, now);
    free_work(w);
}

static void take_all(struct pv_io *io, struct pv_worker *worker, pv_ns now)
{
    void *item = NULL;
    pv_io_begin(io, now);
    while (pv_worker_take(worker, &item) == PV_OK)
        finish(io, item, now);
}

static void on_store(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io *io = ctx;
    (void)ready;
    take_all(io, io->store, now);
}

static void on_helper(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io *io = ctx;
    (void)ready;
    take_all(io, io->helper, now);
}

static void on_resolver(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io *io = ctx;
    (void)ready;
    take_all(io, io->resolver, now);
}

static void on_notifier(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io *io = ctx;
    (void)ready;
    take_all(io, io->notifier, now);
}

static void on_portmap(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io *io = ctx;
    (void)ready;
    take_all(io, io->portmap, now);
}

static void remember_iface(struct pv_io *io, const struct pv_job *job)
{
    free(io->iface);
    io->iface = NULL;
    if (job->kind == PV_JOB_IFACE_UP) {
        io->iface = malloc(sizeof(*io->iface));
        if (io->iface != NULL)
            *io->iface = *job->u.iface;
    }
}

static struct pv_worker *worker_for(struct pv_io *io, enum pv_job_kind kind)
{
    if (pv_store_serves(kind))
        return io->store;
    if (kind == PV_JOB_NOTIFY)
        return io->notifier;
    if (kind == PV_JOB_PORTMAP)
        return io->portmap;
    return kind == PV_JOB_RESOLVE ? io->resolver : io->helper;
}

static void submit(struct pv_io *io, struct pv_job *job, bool own, pv_ns now)
{
    struct work *w = calloc(1, sizeof(*w));
    int r = PV_ERR_NOMEM;
    if (w != NULL) {
        *w = (struct work){.io = io, .job = job, .own = own};
        r = pv_worker_submit(worker_for(io, job->kind), w);
    }
    if (r >= 0 && (job->kind == PV_JOB_IFACE_UP || job->kind == PV_JOB_IFACE_DOWN))
        io->iface_jobs++;
    if (r >= 0)
        return;
    struct pv_job_result result = {.id = job->id, .kind = job->kind};
    result_error(&result, r, "start a job", pv_strstatus(r));
    if (!own)
        pv_engine_handle_job(io->cfg.engine, &result, now);
    pv_job_free(job);
    free(w);
}

void pv_io_submit(struct pv_io *io, struct pv_job *job, pv_ns now)
{
    if (job->kind == PV_JOB_IFACE_UP || job->kind == PV_JOB_IFACE_DOWN)
        remember_iface(io, job);
    if (job->kind == PV_JOB_IFACE_DOWN)
        drop_tun(io); /* our descriptor first: the interface goes with the last one */
    submit(io, job, false, now);
}

void pv_io_restore_iface(struct pv_io *io, uint16_t mtu, const char *why)
{
    if (io->iface == NULL)
        return;
    pv_log(io->cfg.log, PV_LOG_WARN, "interface=%s what=\"%s\"", io->iface->name, why);
    struct pv_job *job = calloc(1, sizeof(*job));
    struct pv_job_iface *iface = malloc(sizeof(*iface));
    if (job == NULL || iface == NULL) {
        free(job);
        free(iface);
        return;
    }
    *iface = *io->iface;
    iface->mtu = mtu;
    job->kind = PV_JOB_IFACE_UP;
    job->u.iface = iface;
    submit(io, job, true, io->now);
}

/* Only where a program is configured. */
static int init_notifier(struct pv_io *io)
{
    const struct pv_worker_config cfg = {.name = "pv-notifier",
                                         .threads = 1,
                                         .limit = NOTIFIER_LIMIT,
                                         .batch = 1,
                                         .run = run_notifier,
                                         .ctx = (void *)(intptr_t)io->cfg.notify_fd};
    if (io->cfg.notify_fd < 0)
        return PV_OK;
    int r = pv_worker_new(&io->notifier, &cfg);
    if (r >= 0)
        r = pv_watch_new(&io->notifier_watch, io->loop, pv_worker_fd(io->notifier), PV_LOOP_READ,
                         on_notifier, io);
    return r;
}

int pv_io_jobs_init(struct pv_io *io)
{
    const struct pv_worker_config store = {.name = "pv-store",
                                           .threads = 1,
                                           .limit = STORE_LIMIT,
                                           .batch = PV_WORKER_MAX_BATCH,
                                           .run = run_store,
                                           .ctx = io->cfg.store};
    const struct pv_worker_config helper = {.name = "pv-helper",
                                            .threads = 1,
                                            .limit = HELPER_LIMIT,
                                            .batch = 1,
                                            .run = run_helper,
                                            .ctx = io->cfg.helper};
    const struct pv_worker_config resolver = {.name = "pv-resolver",
                                              .threads = RESOLVER_THREADS,
                                              .limit = RESOLVER_LIMIT,
                                              .batch = 1,
                                              .run = run_resolver};
    const struct pv_worker_config portmap = {.name = "pv-portmap",
                                             .threads = 1,
                                             .limit = PORTMAP_LIMIT,
                                             .batch = 1,
                                             .run = run_portmap,
                                             .ctx = io};
    int r = pv_worker_new(&io->store, &store);
    if (r >= 0)
        r = pv_worker_new(&io->portmap, &portmap);
    if (r >= 0)
        r = pv_worker_new(&io->helper, &helper);
    if (r >= 0)
        r = pv_worker_new(&io->resolver, &resolver);
    if (r >= 0)
        r = pv_watch_new(&io->store_watch, io->loop, pv_worker_fd(io->store), PV_LOOP_READ,
                         on_store, io);
    if (r >= 0)
        r = pv_watch_new(&io->helper_job_watch, io->loop, pv_worker_fd(io->helper), PV_LOOP_READ,
                         on_helper, io);
    if (r >= 0)
        r = pv_watch_new(&io->resolver_watch, io->loop, pv_worker_fd(io->resolver), PV_LOOP_READ,
                         on_resolver, io);
    if (r >= 0)
        r = init_notifier(io);
    if (r >= 0)
        r = pv_watch_new(&io->portmap_watch, io->loop, pv_worker_fd(io->portmap), PV_LOOP_READ,
                         on_portmap, io);
    return r;
}

static void finish_worker(struct pv_worker *worker)
{
    void *item = NULL;
    if (worker == NULL)
        return;
    pv_worker_finish(worker);
    while (pv_worker_take(worker, &item) == PV_OK) {
        struct work *w = item;
        pv_tun_close(&w->tun);
        free_work(w);
    }
    pv_worker_free(worker);
}

void pv_io_jobs_done(struct pv_io *io)
{
    pv_watch_free(io->store_watch);
    pv_watch_free(io->helper_job_watch);
    pv_watch_free(io->resolver_watch);
    pv_watch_free(io->notifier_watch);
    pv_watch_free(io->portmap_watch);
    /* A router that does not answer must not keep the daemon. */
    atomic_store_explicit(&io->portmap_until, pv_clock_now() + PORTMAP_LAST, memory_order_relaxed);
    finish_worker(io->store);
    finish_worker(io->portmap);
    finish_worker(io->helper);
    if (io->resolver != NULL)
        pv_worker_abandon(io->resolver); /* a name server may keep it waiting for half a minute */
    if (io->notifier != NULL)
        pv_worker_abandon(io->notifier); /* nor need its user's program be in a hurry */
    free(io->iface);
}
