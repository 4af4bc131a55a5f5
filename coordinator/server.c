/* SPDX-License-Identifier: MIT */
/* The coordinator's event loop. It feeds all events to the core, and after each turn asks it for
 * orders: bytes to write, connections to close, operations to store, the relay to wake. */
#include "coordinator/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/text.h"
#include "coordinator/server_int.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"
#include "sys/proc/event.h"
#include "sys/proc/procinfo.h"
#include "sys/proc/worker.h"

enum {
    JOBS_MAX = 1 << 16,  /* ours: operations at the store; a disk that hangs must not fill memory */
    STORE_BATCH = 64,    /* ours: operations a transaction, which share one fsync */
    END_S = 5,           /* ours: seconds that an orderly end may take; systemd gives 90 */
    HAND_OVER_S = 2,     /* ours: of them, to give homes to other coordinators */
    FILES_MAX = 1 << 20, /* descriptors asked for: Linux' fs.nr_open */
    CERT_LOOK_S = 60, /* ours: seconds between two looks whether the certificate's files changed */
    CERT_WARN_S = 86400, /* ours: seconds between two warnings about its dates */
};

#define IDLE                                                                            \
    PV_MS(1) /* ours: with nothing to do for so long, the thread has time for everybody \
              */

/* An operation on its way through the store's thread. */
struct store_job {
    struct pv_storeop *op;
    struct pv_storeop_result result;
};

/* --- the store's thread ---------------------------------------------------------------------- */

/* The store's thread: nothing but the store and the jobs is touched here. */
static void run_jobs(void *ctx, void *const *items, size_t n)
{
    struct pv_coordserver *s = ctx;
    struct pv_storeop *ops[STORE_BATCH] = {0};
    struct pv_storeop_result results[STORE_BATCH];
    for (size_t i = 0; i < n; i++)
        ops[i] = ((struct store_job *)items[i])->op;
    pv_coordstore_run(s->store, ops, results, n);
    for (size_t i = 0; i < n; i++)
        ((struct store_job *)items[i])->result = results[i];
}

/* Answers of the store that are not about what was asked for say that it is failing; that another
 * coordinator has this network now is about it. One that succeeds takes it back: a disk that was
 * full may have room again. */
static void note_stored(struct pv_coordserver *s, const struct pv_storeop_result *result, pv_ns now)
{
    bool failed = result->status != PV_OK && result->status != PV_ERR_EXISTS &&
                  result->status != PV_ERR_EXPIRED && result->status != PV_ERR_REFUSED &&
                  result->status != -ESTALE;
    s->store_failures += failed ? 1 : 0;
    if (result->status == PV_ERR_CLOSED) /* the keeper of the lease knows when it is back */
        return;
    snprintf(s->store_error, sizeof(s->store_error), "%s", failed ? result->error : "");
    s->store_error_status = result->status;
    s->store_error_at = now;
}

/* The core, or who ordered what the core knows nothing of, learns how it ended. */
static void give_result(struct pv_coordserver *s, const struct pv_storeop *op,
                        const struct pv_storeop_result *result, pv_ns now)
{
    pv_ns began = pv_clock_now();
    note_stored(s, result, now);
    if (op->kind == PV_STOREOP_DROP)
        pv_server_dropped(s, op, result, now);
    else
        pv_coord_handle_job(s->coord, result, now);
    pv_coord_bill(s->coord, pv_clock_now() - began, now);
}

/* Takes an answer of the store. False: there is none. */
static bool take_answer(struct pv_coordserver *s, pv_ns now)
{
    void *item = NULL;
    if (pv_worker_take(s->worker, &item) != PV_OK)
        return false;
    struct store_job *job = item;
    give_result(s, job->op, &job->result, now);
    free(job->result.collected);
    pv_home_answer_free(job->result.home);
    pv_storeop_free(job->op);
    free(job);
    return true;
}

/* Answers come in any order; the core brings them into its own. The descriptor stays readable while
 * there are more. */
static void on_worker(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_coordserver *s = ctx;
    s->happened = true;
    while (take_answer(s, now) && pv_clock_now() - now < PV_SERVER_TURN)
        continue;
}

/* An operation that cannot be queued is answered here, as a failure of the store: the core counts
 * on exactly one answer for each. */
void pv_server_submit(struct pv_coordserver *s, struct pv_storeop *op, pv_ns now)
{
    struct pv_storeop_result refused = {.id = op->id, .status = PV_ERR_LIMIT};
    struct store_job *job = calloc(1, sizeof(*job));
    if (job != NULL) {
        job->op = op;
        if (pv_worker_submit(s->worker, job) == PV_OK)
            return;
    }
    free(job);
    snprintf(refused.error, sizeof(refused.error), "too many changes wait for the disk");
    give_result(s, op, &refused, now);
    pv_storeop_free(op);
}

void pv_server_submit_all(struct pv_coordserver *s, pv_ns now)
{
    struct pv_storeop *op = NULL;
    while (pv_coord_poll_job(s->coord, &op) == PV_OK)
        pv_server_submit(s, op, now);
}

/* --- the relay's thread ---------------------------------------------------------------------- */

/* The eventfd is cleared before the link is read: a message that comes in between raises it
 * again. */
static void on_relay_news(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_coordserver *s = ctx;
    int fd = pv_relay_news_fd(s->relay);
    s->happened = true;
    pv_event_clear(fd);
    if (!pv_coord_handle_relay(s->coord, now))
        pv_event_raise(fd); /* there is more; first the others */
}

/* --- status ---------------------------------------------------------------------------------- */

/* The size of the store in the state directory, and the rest of its disk; 0 where it cannot be
 * known. The write-ahead log counts: it may be larger than the database. */
static void measure_disk(const char *state, struct pv_report *r)
{
    static const char *const files[] = {"coordinator.db", "coordinator.db-wal"};
    char path[PATH_MAX];
    struct stat st;
    struct statvfs disk;
    r->store.bytes = r->store.free = 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(files); i++) {
        if (snprintf(path, sizeof(path), "%s/%s", state, files[i]) < (int)sizeof(path) &&
            stat(path, &st) == 0)
            r->store.bytes += (uint64_t)st.st_size;
    }
    if (statvfs(state, &disk) == 0)
        r->store.free = (uint64_t)disk.f_bavail * disk.f_frsize;
}

/* Gathers a report at the moment it is asked for. It costs a look at each connection, and nobody
 * asks often. */
static json_t *make_report(void *ctx, pv_ns now)
{
    struct pv_coordserver *s = ctx;
    char addrs[PV_COORDSERVER_TEXT_MAX], *rest = NULL;
    struct pv_loop_stats loop;
    struct pv_report r = {
        .version = PV_VERSION,
        .uptime_s = (now - s->started) / PV_S(1),
        .rights = s->rights->text,
        .handshakes = s->gate.n,
        .tls_refused = s->gate_refused,
        .no_fds = s->no_fds,
        .waiting = s->end_by == 0 && !s->accepting,
        .living = s->keep.living,
        .relay_on = !s->set->relay.off,
        .relay = pv_coord_relay_stats(s->coord),
        .store = {.failed = s->store_failures,
                  .postgres = s->lease != NULL,
                  .error = s->keep.away[0] != '\0'     ? s->keep.away
                           : s->clock_error[0] != '\0' ? s->clock_error
                           : s->store_error[0] == '\0' ? NULL
                                                       : s->store_error},
    };
    _Static_assert((int)PV_TURNS_USERS_MAX == (int)PV_RELAYSTAT_USERS, "each has a place");
    for (; r.n_users < s->set->relay.n_users; r.n_users++)
        r.users[r.n_users] = s->set->relay.users[r.n_users].name;
    memcpy(addrs, s->addresses, sizeof(addrs));
    for (char *a = strtok_r(addrs, " ", &rest); a != NULL && r.n_addrs < PV_REPORT_ADDRS_MAX;
         a = strtok_r(NULL, " ", &rest))
        r.addrs[r.n_addrs++] = a;
    for (const struct pv_server_peer *p = s->peers; p != NULL; p = p->hh.next)
        r.tls += p->io.tls != NULL ? 1 : 0;
    pv_loop_stats(s->loop, &loop);
    r.loop.turns = loop.turns;
    r.loop.slow = loop.slow;
    r.loop.hard = loop.hard;
    r.loop.busy_us = loop.busy / PV_US(1);
    r.loop.longest_us = loop.longest / PV_US(1);
    pv_coord_stats(s->coord, &r.coord);
    pv_coord_kinds(s->coord, &r.kinds);
    measure_disk(s->state, &r);
    pv_procinfo_read(&r.process);
    return pv_report_json(&r);
}

static void on_status(void *ctx, uint64_t id, const json_t *request, pv_ns now)
{
    struct pv_coordserver *s = ctx;
    pv_ctlsock_answer(&s->status, id, make_report(ctx, now));
}

/* Without the socket everything else goes on: it is only for looking. */
static void open_status(struct pv_coordserver *s)
{
    s->started = pv_clock_now();
    s->status.spare = &s->spare;
    s->status.greets = true;
    s->status.request = on_status;
    s->status.ctx = s;
    int r = pv_ctlsock_open(&s->status, s->loop, s->state);
    if (r < 0)
        pv_log(s->log, PV_LOG_WARN, "`p2pvpn-coordinator status` will not work: %.200s: %s",
               s->status.path,
               r == PV_ERR_NO_SPACE ? "the path is too long for a socket" : pv_strstatus(r));
}

/* --- the turn -------------------------------------------------------------------------------- */

/* Nodes compare the pin instead of asking an authority. */
void pv_server_tell_tls(struct pv_coordserver *s)
{
    const struct pv_coordurl_list *addrs = &s->told->tls;
    struct pv_ctl_tls tls = {.n = addrs->n, .addrs = addrs->texts};
    memcpy(tls.pin, s->cert.is.pin, sizeof(tls.pin));
    pv_coord_set_tls(s->coord, &tls);
}

void pv_server_log_cert(struct pv_coordserver *s)
{
    char pin[PV_KEY_TEXT_BUF];
    pv_log(s->log, PV_LOG_INFO, "tls certificate=%.200s pin=%s", s->cert.cert_file,
           pv_key_format(s->cert.is.pin, pin));
    s->cert_warn_at = 0;
}

/* Said once a day. */
static void look_at_udp(struct pv_coordserver *s, pv_ns now)
{
    struct pv_coord_stats stats;
    pv_coord_stats(s->coord, &stats);
    if (now < s->udp_warn_at ||
        !pv_report_is_udp_silent(
            stats.online,
            pv_relaystat_get(pv_coord_relay_stats(s->coord), PV_RELAYSTAT_UDP_RECEIVED),
            (now - s->started) / PV_S(1)))
        return;
    s->udp_warn_at = now + PV_S(CERT_WARN_S);
    pv_log(s->log, PV_LOG_WARN,
           "no UDP has come in, all nodes come by TCP only: let UDP in, too, in the firewall of "
           "this machine and in front of it; or all nodes that are here are in networks that let "
           "no UDP out");
}

/* Certificates are renewed by other programs, and run out. Looking is a stat() a minute; a warning
 * comes once a day. */
static void look_at_cert(struct pv_coordserver *s, pv_ns now)
{
    char text[PV_COORDCERT_ERROR_MAX] = "";
    if (now >= s->cert_look_at) {
        s->cert_look_at = now + PV_S(CERT_LOOK_S);
        look_at_udp(s, now);
        if (pv_coordcert_changed(&s->cert) && pv_coordcert_reload(&s->cert, text) == PV_OK) {
            pv_server_tell_tls(s);
            pv_server_log_cert(s);
        } else if (text[0] != '\0') {
            pv_log(s->log, PV_LOG_WARN, "%s: the certificate in use stays", text);
        }
    }
    if (now < s->cert_warn_at)
        return;
    s->cert_warn_at = now + PV_S(CERT_WARN_S);
    int64_t wall = (int64_t)(pv_clock_wall_us() / 1000000);
    if (pv_coordcert_warning(&s->cert, wall, text) != NULL)
        pv_log(s->log, PV_LOG_WARN, "%s", text);
}

/* Nodes are told to go elsewhere; what is under way is stored. */
static void begin_end(struct pv_coordserver *s, pv_ns now)
{
    bool others =
        s->lease != NULL && s->keep.few != UINT64_MAX && s->keep.away[0] == '\0' && !s->keep.lost;
    s->end_by = now + PV_S(END_S) + (others ? PV_COORD_LEFT : 0);
    s->bye_at = others ? now + PV_S(HAND_OVER_S) : now;
    pv_server_watch_listeners(s, false);
    if (others)
        pv_coord_drain(s->coord, true);
}

/* Members of homes that were handed over are gone by now, and do not use the relay any more; the
 * others find a coordinator themselves. */
static void say_bye(struct pv_coordserver *s, pv_ns now)
{
    if (s->end_by == 0 || s->bye_at == PV_NEVER ||
        (now < s->bye_at && pv_coord_n_homes(s->coord) > 0))
        return;
    if (pv_coord_left_at(s->coord) > now) {
        s->bye_at = pv_coord_left_at(s->coord);
        return;
    }
    s->bye_at = PV_NEVER;
    pv_coordstore_stop(s->store);
    pv_coord_shutdown(s->coord, now);
}

/* The first SIGTERM or SIGINT begins an orderly end, later ones do not hurry it. SIGHUP reads the
 * settings again; the log says what came of it. */
static void on_signal(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_coordserver *s = ctx;
    char error[PV_COORDSERVER_ERROR_MAX];
    int signal = 0;
    while (pv_signals_read(s->signals, &signal) == PV_OK) {
        if (signal == SIGHUP && s->end_by == 0)
            (void)!pv_server_reload(s, error);
        if (signal == SIGHUP || s->end_by != 0)
            continue;
        pv_log(s->log, PV_LOG_INFO, "ending signal=%d", signal);
        begin_end(s, now);
    }
}

static void take_list(struct pv_coordserver *s, const struct pv_pg_home *list, size_t n, pv_ns now)
{
    struct pv_coord_home *homes = calloc(n + 1, sizeof(*homes));
    for (size_t i = 0; homes != NULL && i < n; i++) {
        memcpy(homes[i].network, list[i].network, sizeof(homes[i].network));
        homes[i].fence = list[i].fence;
    }
    if (homes == NULL || !pv_coord_homes_are(s->coord, homes, n, s->keep.asked_at, now))
        s->keep.renewal.again = true;
    free(homes);
}

/* A renewal writes to the database, so that one which was asked for after a failure, and went well,
 * says that the failure is over; but for a disk that is full, which may have room for a row that
 * only changes. */
static void forget_failure(struct pv_coordserver *s)
{
    if (s->store_error[0] != '\0' && s->keep.status == PV_OK && s->keep.renewal.wall_us != 0 &&
        s->keep.asked_at > s->store_error_at && s->store_error_status != -ENOSPC)
        s->store_error[0] = '\0';
}

/* Of two clocks that differ nobody knows here which one is right. */
static void look_at_clock(struct pv_coordserver *s, pv_ns now)
{
    char time[PV_AMOUNT_BUF];
    bool said = s->clock_error[0] != '\0';
    if (!s->keep.asking && s->keep.renewal.wall_us != 0)
        pv_coord_set_common(s->coord, s->keep.renewal.wall_us, s->keep.renewal.wall_at);
    int64_t ahead = pv_coord_ahead(s->coord, now);
    s->clock_error[0] = '\0';
    if (ahead != 0)
        snprintf(s->clock_error, sizeof(s->clock_error),
                 "this machine's clock is %s %s the database's: set the one that is wrong "
                 "(timedatectl on both); until then nothing that members sign is stored",
                 pv_duration_format(ahead > 0 ? (double)ahead : -(double)ahead, time),
                 ahead > 0 ? "ahead of" : "behind");
    if (ahead != 0 && !said)
        pv_log(s->log, PV_LOG_WARN, "%s", s->clock_error);
    else if (ahead == 0 && said)
        pv_log(s->log, PV_LOG_INFO, "this machine's clock and the database's agree again");
}

/* The database is told that this coordinator lives, and tells of homes that others took. */
static pv_ns keep_alive(struct pv_coordserver *s, pv_ns now)
{
    struct pv_pg_home *list = NULL;
    size_t n = 0;
    if (s->lease == NULL)
        return PV_NEVER;
    if (s->keep.away[0] == '\0')
        pv_coord_balance(s->coord, s->keep.few, now);
    if (!s->keep.asking && pv_coord_homes_came(s->coord))
        s->keep.renewal.again = true;
    if (!s->keep.asking)
        forget_failure(s);
    look_at_clock(s, now);
    if (pv_leasekeep_take_list(&s->keep, &list, &n)) {
        take_list(s, list, n, now);
        free(list);
    }
    return pv_leasekeep_handle_timeout(&s->keep, pv_coord_n_homes(s->coord),
                                       pv_coord_is_draining(s->coord), now);
}

/* When the loop is to look again, however quiet it is: at once when connections wait, when it is
 * their turn for statements, and soon when a network rests, which it does only while others have
 * something to do. */
static pv_ns wait_a_moment(const struct pv_coordserver *s, pv_ns now)
{
    if (s->more)
        return now;
    return pv_min_ns(pv_coord_has_bulk(s->coord) ? s->bulk_at : PV_NEVER,
                     pv_coord_rests(s->coord) ? pv_clock_now() + IDLE : PV_NEVER);
}

/* One turn of the loop, after the events. Time first, then output: the effects of timers go out at
 * once. Operations may be refused at once, which changes connections again. Returns when to be
 * called next. */
static pv_ns run_turn(void *ctx, pv_ns now)
{
    struct pv_coordserver *s = ctx;
    struct pv_coord_stats stats;
    s->more = false;
    pv_coord_set_wall(s->coord, pv_clock_wall_us(), now);
    if (!s->happened)
        pv_coord_idle(s->coord, now);
    pv_server_serve_queues(s, now);
    pv_ns began = pv_clock_now();
    pv_coord_handle_timeout(s->coord, now);
    pv_coord_bill(s->coord, pv_clock_now() - began, now);
    pv_server_end_overdue(s, now);
    look_at_cert(s, now);
    pv_ns renew = keep_alive(s, now);
    if (s->keep.lost && s->end_by == 0)
        begin_end(s, now);
    say_bye(s, now);
    pv_ns drained = pv_server_check_drain(s, now);
    pv_calmlog_handle_timeout(s->calm, now);
    pv_server_drain_ready(s, now);
    pv_server_submit_all(s, now);
    pv_server_drain_ready(s, now); /* what was refused at once */
    if (pv_coord_wakes_relay(s->coord))
        pv_relay_wake(s->relay);
    if (s->end_by == 0 && !s->accepting && now >= s->accept_at) {
        pv_spare_refill(&s->spare); /* before strangers take what was closed */
        pv_server_watch_listeners(s, true);
    }
    pv_ns next = pv_min_ns(pv_coord_next_timeout(s->coord), pv_tlsgate_next_timeout(&s->gate));
    next = pv_min_ns(next, pv_metricsock_handle_timeout(&s->metrics, now));
    next = pv_min_ns(next, pv_ctlsock_handle_timeout(&s->status, now));
    next = pv_min_ns(next, pv_ctlsock_handle_timeout(&s->ctl, now));
    next = pv_min_ns(next, s->cert_look_at);
    next = pv_min_ns(next, pv_min_ns(renew, drained));
    next = pv_min_ns(next, pv_calmlog_next_timeout(s->calm));
    next = pv_min_ns(next, wait_a_moment(s, now));
    s->happened = s->more;
    if (s->end_by == 0)
        return pv_min_ns(next, s->accepting ? PV_NEVER : s->accept_at);
    pv_coord_stats(s->coord, &stats);
    if ((s->bye_at == PV_NEVER && stats.conns == 0 && stats.jobs == 0) || now >= s->end_by)
        pv_loop_stop(s->loop);
    return pv_min_ns(next, pv_min_ns(s->end_by, s->bye_at));
}

/* --- opening --------------------------------------------------------------------------------- */

/* Each connection takes a descriptor, so as many are asked for as the system allows. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* with fewer, connections wait */
}

/* Signals come by a descriptor, so they are handled between two turns and never in the middle of
 * one. */
static int open_loop(struct pv_coordserver *s)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    int r = pv_signals_open(signals, PV_ARRAY_LEN(signals), &s->signals);
    if (r == PV_OK)
        r = pv_loop_new(&s->loop);
    if (r == PV_OK)
        r = pv_watch_new(&s->signal_watch, s->loop, s->signals, PV_LOOP_READ, on_signal, s);
    return r;
}

/* The listeners add its sockets later. */
static int open_relay(struct pv_coordserver *s)
{
    int r = pv_stunudp_new(&s->udp);
    if (r == PV_OK)
        r = pv_relay_new(&s->relay, pv_coord_relay(s->coord), s->udp);
    if (r == PV_OK)
        r = pv_watch_new(&s->relay_watch, s->loop, pv_relay_news_fd(s->relay), PV_LOOP_READ,
                         on_relay_news, s);
    return r;
}

/* Rights are each thread's own, so none runs before they were given up. From here on the UDP ports
 * and the relay belong to the relay's thread. */
static int start_threads(struct pv_coordserver *s, char ret_error[static PV_COORDSERVER_ERROR_MAX])
{
    const struct pv_worker_config worker = {.name = "store",
                                            .threads = 1,
                                            .limit = JOBS_MAX,
                                            .batch = STORE_BATCH,
                                            .run = run_jobs,
                                            .ctx = s};
    int r = pv_worker_new(&s->worker, &worker);
    if (r == PV_OK)
        r = pv_watch_new(&s->worker_watch, s->loop, pv_worker_fd(s->worker), PV_LOOP_READ,
                         on_worker, s);
    if (r == PV_OK && s->lease != NULL)
        r = pv_leasekeep_start(&s->keep, s->lease, s->loop, s->log);
    if (r == PV_OK)
        r = pv_relay_start(s->relay);
    if (r < 0)
        snprintf(ret_error, PV_COORDSERVER_ERROR_MAX, "start the threads: %s", pv_strstatus(r));
    return r;
}

static int open_metrics(struct pv_coordserver *s, const struct pv_coordset *set,
                        char ret_error[static PV_COORDSERVER_ERROR_MAX])
{
    const struct pv_addr *addr = &set->metrics.listen;
    s->metrics = (struct pv_metricsock){.report = make_report, .ctx = s};
    int r = pv_metricsock_open(&s->metrics, s->loop, addr);
    if (r < 0)
        pv_server_explain_listen(addr, "[metrics] listen", r, ret_error);
    return r;
}

/* The threads start last, when all sockets are open and the rights are given up. */
int pv_coordserver_new(struct pv_coordserver **ret_server, const struct pv_coordset *set,
                       const struct pv_coordserver_parts *parts,
                       char ret_error[static PV_COORDSERVER_ERROR_MAX])
{
    struct pv_rng rng = pv_entropy();
    struct pv_coordserver *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        snprintf(ret_error, PV_COORDSERVER_ERROR_MAX, "start: out of memory");
        return PV_ERR_NOMEM;
    }
    s->calm = parts->calm;
    s->log = &parts->calm->log;
    s->coord = parts->coord;
    s->store = parts->store;
    s->lease = parts->lease;
    s->state = set->state;
    s->set = set;
    s->rights = parts->rights;
    s->signals = -1;
    s->told = parts->told;
    s->next_id = 1;
    s->accepting = true;
    s->map = pv_map_make(&rng, FILES_MAX);
    raise_file_limit();
    int r = pv_tlsgate_init(&s->gate, &rng);
    if (r == PV_OK)
        r = open_loop(s);
    if (r == PV_OK)
        r = open_relay(s);
    if (r < 0)
        snprintf(ret_error, PV_COORDSERVER_ERROR_MAX, "start: %s", pv_strstatus(r));
    if (r == PV_OK)
        r = pv_coordcert_open(&s->cert, set, ret_error);
    if (r == PV_OK)
        r = pv_server_open_listeners(s, set, ret_error);
    if (r == PV_OK)
        r = open_metrics(s, set, ret_error);
    if (r == PV_OK)
        r = pv_rights_close(parts->rights, set, s->log, ret_error);
    if (r == PV_OK)
        r = start_threads(s, ret_error);
    if (r < 0) {
        pv_coordserver_free(s);
        return r;
    }
    pv_server_note_passwords(s);
    pv_server_tell_tls(s);
    pv_server_log_cert(s);
    pv_spare_open(&s->spare, s->signals);
    open_status(s);
    pv_server_open_ctl(s);
    *ret_server = s;
    return PV_OK;
}

const char *pv_coordserver_addresses(const struct pv_coordserver *server)
{
    return server->addresses;
}

void pv_coordserver_run(struct pv_coordserver *server, struct pv_supervisor *supervisor)
{
    const struct pv_loop_owner owner = {.turn = run_turn, .ctx = server};
    server->supervisor = supervisor;
    pv_supervisor_ready(supervisor, server->loop);
    pv_loop_run(server->loop, &owner);
    pv_supervisor_leave_loop(supervisor);
}

bool pv_coordserver_lost_lease(const struct pv_coordserver *server)
{
    return server->keep.lost;
}

/* Operations that still wait at the store are finished, and their answers taken: changes of before
 * the end are on the disk. The relay's thread ends before its sockets are closed. */
struct pv_coordserver *pv_coordserver_free(struct pv_coordserver *server)
{
    struct pv_coordserver *s = server;
    struct pv_server_peer *p;
    struct pv_server_peer *next;
    if (s == NULL)
        return NULL;
    HASH_ITER(hh, s->peers, p, next)
    {
        pv_server_peer_free(p);
    }
    for (size_t i = 0; i < s->n_listeners; i++) {
        pv_watch_free(s->listeners[i].tcp_watch);
        close(s->listeners[i].tcp);
    }
    if (s->worker != NULL) {
        pv_coordstore_stop(s->store); /* a bye that came too late has not said so */
        pv_worker_finish(s->worker);
        while (take_answer(s, pv_clock_now()))
            continue;
    }
    pv_leasekeep_stop(&s->keep);
    pv_ctlsock_done(&s->status);
    pv_ctlsock_done(&s->ctl);
    pv_metricsock_done(&s->metrics);
    pv_spare_done(&s->spare);
    pv_watch_free(s->worker_watch);
    pv_worker_free(s->worker);
    pv_watch_free(s->relay_watch);
    pv_relay_free(s->relay);
    pv_stunudp_free(s->udp);
    pv_watch_free(s->signal_watch);
    if (s->signals >= 0)
        close(s->signals);
    if (s->loop != NULL)
        pv_loop_free(s->loop);
    pv_coordcert_done(&s->cert);
    pv_tlsgate_done(&s->gate);
    free(s->reloaded);
    free(s);
    return NULL;
}
