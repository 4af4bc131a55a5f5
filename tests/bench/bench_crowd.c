/* SPDX-License-Identifier: MIT */
/*
 * bench_crowd - 100,000 nodes on the core of a coordinator: a restart, and then an idle crowd.
 *
 * A process may open fewer descriptors than that, so nodes and coordinator are two processes that
 * pass each other what they would write to sockets (crowd.h). One has the nodes: keys, memberships
 * and the daemon's own machine for the connection, all of their own. The other has struct pv_coord
 * and does what coordinator/server does with it. It loads the rows of all members, which it has
 * marked in an earlier life, while it refuses connections; then all nodes come back. Afterwards
 * everybody is silent but for pings.
 *
 * It measures processor time and memory of the core and the queues between, without the kernel's
 * part of TCP. Time is the coordinator's processor time: see crowd.h.
 *
 *   bench_crowd [NODES] [NETWORKS]        100,000 nodes in 10,000 networks when not given
 *   bench_crowd NODES NETWORKS DIR        only makes the state directory of such a coordinator, for
 *                                         tests/bench/start.py
 *
 * The nodes' process takes 30 KB a node.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "coordinator/core/coord.h"
#include "crowd.h"
#include "crypto/ct.h"
#include "sys/proc/entropy.h"

enum {
    BACKLOG = 4096,    /* connections that wait in the kernel, PV_STREAM_BACKLOG */
    STRANGERS = 64,    /* connections that are opened at once, ACCEPTS_A_TURN of the server */
    LOOK_TURNS = 64,   /* between two looks at the memory */
    SETTLE_S = 15,     /* after all are online, until the crowd counts as idle */
    IDLE_S = 30,       /* of which the idle crowd is measured */
    PATIENCE_S = 3600, /* virtual seconds until everybody must be online */
};

#define TURN_MAX PV_MS(3) /* PV_SERVER_TURN */
#define STEP     PV_MS(1) /* at least between two turns in which nobody has anything to do */

/* A connection at the coordinator's end, by its node's number. */
struct end {
    uint64_t conn; /* 0: none */
    bool accepted, waits;
    uint8_t *in; /* what the core does not want yet */
    size_t in_len;
};

struct server {
    struct crowd_shared *shared;
    struct pv_coord *coord;
    struct end *ends;
    uint64_t *queue; /* connections that were not accepted yet, a ring of n_nodes */
    size_t queue_at, queue_len;
    size_t unheard; /* of them those beyond BACKLOG, which do not know that they are connected */
    pv_ns now;
    uint64_t used; /* processor time, ns */
    size_t turns;
    size_t peak; /* bytes of memory */
};

_Noreturn void crowd_die(const char *what)
{
    fprintf(stderr, "bench_crowd: %s\n", what);
    exit(1);
}

void crowd_check(int r, const char *what)
{
    if (r >= 0)
        return;
    fprintf(stderr, "bench_crowd: %s: %s\n", what, pv_strstatus(r));
    exit(1);
}

/* --- frames ----------------------------------------------------------------------------------- */

void crowd_put(struct crowd_box *box, uint64_t conn, enum crowd_frame_kind kind,
               struct pv_view data)
{
    const struct crowd_frame f = {.conn = conn, .kind = kind, .len = (uint32_t)data.len};
    if (box->len + sizeof(f) + data.len > CROWD_BOX_MAX)
        crowd_die("too much is said in one turn");
    memcpy(box->bytes + box->len, &f, sizeof(f));
    if (data.len > 0)
        memcpy(box->bytes + box->len + sizeof(f), data.ptr, data.len);
    box->len += sizeof(f) + data.len;
}

bool crowd_take(const struct crowd_box *box, size_t *at, struct crowd_frame *ret_frame,
                struct pv_view *ret_data)
{
    if (*at >= box->len)
        return false;
    memcpy(ret_frame, box->bytes + *at, sizeof(*ret_frame));
    *ret_data = pv_view(box->bytes + *at + sizeof(*ret_frame), ret_frame->len);
    *at += sizeof(*ret_frame) + ret_frame->len;
    return true;
}

/* --- what is measured ------------------------------------------------------------------------- */

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Resident memory of this process alone: what it shares with the nodes is not the coordinator's. */
static size_t memory(void)
{
    char line[128];
    size_t kb = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "RssAnon: %zu", &kb) == 1)
            break;
    }
    if (f != NULL)
        fclose(f);
    return kb * 1024;
}

static void look_at_memory(struct server *s)
{
    size_t now = memory();
    s->peak = now > s->peak ? now : s->peak;
}

/* --- connections ------------------------------------------------------------------------------ */

static struct end *end_of(struct server *s, uint64_t conn)
{
    struct end *e = &s->ends[conn & UINT32_MAX];
    return e->conn == conn ? e : NULL;
}

static void forget(struct end *e)
{
    free(e->in);
    *e = (struct end){0};
}

/* As many have a /24 as in the load on a real coordinator. */
static struct pv_addr source_of(uint64_t conn)
{
    uint32_t n = (uint32_t)conn, ip = 0x0a800000u + n / 8 * 256 + n % 8 + 1;
    return pv_addr4((uint8_t)(ip >> 24), (uint8_t)(ip >> 16), (uint8_t)(ip >> 8), (uint8_t)ip,
                    40000);
}

static void flush(struct server *s, struct end *e)
{
    struct pv_view out;
    while (e->conn != 0 && (out = pv_coord_out(s->coord, e->conn)).len > 0) {
        crowd_put(&s->shared->to_nodes, e->conn, CROWD_DATA, out);
        pv_coord_wrote(s->coord, e->conn, out.len, s->now);
    }
}

static void feed(struct server *s, struct end *e)
{
    if (!e->accepted || e->in_len == 0 || !pv_coord_wants_bytes(s->coord, e->conn))
        return;
    uint8_t *in = e->in;
    size_t len = e->in_len;
    e->in = NULL;
    e->in_len = 0;
    pv_coord_handle_bytes(s->coord, e->conn, pv_view(in, len), s->now);
    free(in);
}

static void enqueue(struct server *s, struct end *e)
{
    size_t n = s->shared->n_nodes * 2;
    if (s->queue_len == n)
        crowd_die("too many wait");
    s->queue[(s->queue_at + s->queue_len++) % n] = e->conn;
    e->waits = true;
    if (s->queue_len <= BACKLOG)
        crowd_put(&s->shared->to_nodes, e->conn, CROWD_CONNECTED, pv_view(NULL, 0));
    else
        s->unheard++;
}

/* The first that waits; the next beyond the backlog has come within it. */
static struct end *dequeue(struct server *s)
{
    size_t n = s->shared->n_nodes * 2;
    uint64_t conn = s->queue[s->queue_at];
    s->queue_at = (s->queue_at + 1) % n;
    s->queue_len--;
    if (s->unheard > 0) {
        const struct end *heard = end_of(s, s->queue[(s->queue_at + BACKLOG - 1) % n]);
        s->unheard--;
        if (heard != NULL)
            crowd_put(&s->shared->to_nodes, heard->conn, CROWD_CONNECTED, pv_view(NULL, 0));
    }
    return end_of(s, conn);
}

/* While strangers are served, others wait in the kernel. */
static void accept_some(struct server *s)
{
    while (s->queue_len > 0 && pv_coord_strangers(s->coord) < STRANGERS) {
        struct end *e = dequeue(s);
        if (e == NULL)
            continue; /* it has hung up */
        const struct pv_addr source = source_of(e->conn);
        e->waits = false;
        e->accepted = pv_coord_accept(s->coord, e->conn, &source, s->now) == PV_OK;
        if (e->accepted) {
            feed(s, e);
            continue;
        }
        crowd_put(&s->shared->to_nodes, e->conn, CROWD_CLOSE, pv_view(NULL, 0));
        forget(e);
    }
}

static void take_data(struct server *s, struct end *e, struct pv_view data)
{
    uint8_t *in = realloc(e->in, e->in_len + data.len);
    if (in == NULL)
        crowd_die("no memory");
    memcpy(in + e->in_len, data.ptr, data.len);
    e->in = in;
    e->in_len += data.len;
    feed(s, e);
}

static void take_frame(struct server *s, const struct crowd_frame *f, struct pv_view data)
{
    struct end *e = &s->ends[f->conn & UINT32_MAX];
    if (f->kind == CROWD_OPEN) {
        e->conn = f->conn;
        enqueue(s, e);
    } else if (e->conn != f->conn) {
        return; /* the coordinator has closed it */
    } else if (f->kind == CROWD_DATA) {
        take_data(s, e, data);
    } else {
        if (e->accepted)
            pv_coord_closed(s->coord, e->conn, s->now);
        forget(e);
    }
}

/* --- turns ------------------------------------------------------------------------------------ */

/* Nobody has copies; a member that comes asks for them. */
static void serve_store(struct server *s)
{
    struct pv_storeop *op = NULL;
    while (pv_coord_poll_job(s->coord, &op) == PV_OK) {
        const struct pv_storeop_result result = {.id = op->id};
        pv_coord_handle_job(s->coord, &result, s->now);
        pv_storeop_free(op);
    }
}

/* False: the turn was over before everything was done. */
static bool drain(struct server *s, uint64_t began)
{
    struct pv_coord_ready ready;
    for (unsigned i = 1; pv_coord_poll_ready(s->coord, &ready, s->now) == PV_OK; i++) {
        struct end *e = end_of(s, ready.id);
        if (e == NULL)
            continue;
        if (ready.kind == PV_COORD_READY_CLOSE) {
            crowd_put(&s->shared->to_nodes, e->conn, CROWD_CLOSE, pv_view(NULL, 0));
            forget(e);
            continue;
        }
        flush(s, e);
        feed(s, e);
        if (i % 16 == 0 && cpu_ns() - began > TURN_MAX)
            return false;
    }
    return true;
}

/* One turn of the coordinator's loop. Returns whether it has to go on at once. */
static bool turn(struct server *s)
{
    struct crowd_frame f;
    struct pv_view data;
    size_t at = 0;
    uint64_t began = cpu_ns();
    s->shared->to_nodes.len = 0;
    pv_coord_set_wall(s->coord, CROWD_WALL * UINT64_C(1000000) + s->now / 1000, s->now);
    while (crowd_take(&s->shared->to_coordinator, &at, &f, &data))
        take_frame(s, &f, data);
    accept_some(s);
    pv_coord_handle_timeout(s->coord, s->now);
    bool done = drain(s, began);
    serve_store(s);
    (void)!pv_coord_handle_relay(s->coord, s->now);
    uint64_t used = cpu_ns() - began;
    s->used += used;
    s->now += used;
    while (pv_relaycore_step(pv_coord_relay(s->coord), s->now)) /* the relay's own thread */
        ;
    if (s->turns++ % LOOK_TURNS == 0)
        look_at_memory(s);
    return !done || at > 0 || s->shared->to_nodes.len > 0;
}

/* A turn of both, and the time until the next. */
static void step(struct server *s, int fd)
{
    char byte = 0;
    bool busy = turn(s);
    s->shared->now = s->now;
    if (write(fd, "", 1) != 1 || read(fd, &byte, 1) != 1)
        crowd_die("the nodes have ended");
    if (busy || s->shared->to_coordinator.len > 0)
        return;
    pv_ns next = pv_min_ns(pv_coord_next_timeout(s->coord), s->shared->next);
    s->now = next > s->now + STEP ? next : s->now + STEP;
}

static void run_until(struct server *s, int fd, pv_ns end)
{
    while (s->now < end)
        step(s, fd);
}

/* Memory that is not counted as the coordinator's. */
static void *share(size_t len)
{
    void *p =
        mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        crowd_die("no memory");
    return p;
}

static void start(struct server *s, size_t *ret_before)
{
    static const struct pv_log quiet;
    static const struct pv_turns_config relay = {.enabled = true};
    struct crowd_shared *shared = s->shared;
    const uint8_t secret[PV_CTL_SECRET_LEN] = {0};
    struct pv_rng rng = pv_entropy();
    struct pv_coord_config cfg = {.sk = shared->sk, .secret = secret, .relay = &relay};
    cfg.limits.conns = (uint32_t)(shared->n_nodes + 1000);
    cfg.limits.networks = (uint32_t)(shared->n_nets + 1);
    s->ends = share(shared->n_nodes * sizeof(*s->ends));
    s->queue = share(2 * shared->n_nodes * sizeof(*s->queue));
    *ret_before = memory();
    uint64_t began = cpu_ns();
    crowd_check(pv_coord_new(&s->coord, &cfg, &rng, &quiet), "start");
    for (size_t i = 0; i < shared->n_rows; i++)
        crowd_check(pv_coord_load(s->coord, &shared->rows[i]), "load");
    pv_coord_set_wall(s->coord, CROWD_WALL * UINT64_C(1000000), CROWD_START);
    s->used = cpu_ns() - began;
    s->now = CROWD_START + s->used;
}

/* The coordinator's process: a restart, until all are online; then the idle crowd. */
static void serve(struct crowd_shared *shared, int fd)
{
    static struct server s;
    struct pv_coord_stats stats;
    size_t before = 0, n = shared->n_nodes;
    s.shared = shared;
    start(&s, &before);
    double loaded = (double)s.used / 1e9;
    size_t at_start = memory() - before;
    while (shared->n_online < n) {
        if (s.now > CROWD_START + PV_S(PATIENCE_S))
            crowd_die("not everybody comes back");
        step(&s, fd);
    }
    double online = (double)s.used / 1e9;
    run_until(&s, fd, s.now + PV_S(SETTLE_S));
    look_at_memory(&s);
    uint64_t used = s.used;
    pv_ns began = s.now;
    run_until(&s, fd, began + PV_S(IDLE_S));
    double idle = 100.0 * (double)(s.used - used) / (double)(s.now - began);
    size_t rest = memory() - before, heap = mallinfo2().uordblks;
    pv_coord_stats(s.coord, &stats);
    shared->over = true;
    (void)!write(fd, "", 1);
    char byte;
    (void)!read(fd, &byte, 1);
    const struct crowd_result *r = &shared->result;
    printf("{\"nodes\":%zu,\"networks\":%zu,\"statements\":%zu,\"start_s\":%.2f,"
           "\"start_mb\":%.1f,\"online_p50_s\":%.1f,\"online_p90_s\":%.1f,\"online_p99_s\":%.1f,"
           "\"online_max_s\":%.1f,\"cpu_s\":%.1f,\"attempts\":%llu,\"lost\":%llu,\"online\":%llu,"
           "\"idle_percent\":%.2f,\"rest_mb\":%.1f,\"heap_mb\":%.1f,\"peak_mb\":%.1f,"
           "\"peak_of_rest\":%.2f,\"rest_kb_per_node\":%.2f}\n",
           n, shared->n_nets, shared->n_rows, loaded, (double)at_start / 1e6, r->p50, r->p90,
           r->p99, r->max, online, (unsigned long long)r->attempts, (unsigned long long)r->lost,
           (unsigned long long)stats.online, idle, (double)rest / 1e6, (double)heap / 1e6,
           (double)(s.peak - before) / 1e6, (double)(s.peak - before) / (double)rest,
           (double)rest / 1024 / (double)n);
}

/* --- two processes ---------------------------------------------------------------------------- */

/* The coordinator is this process, which has done nothing before: its memory is its own. */
int main(int argc, char **argv)
{
    uint64_t nodes = 100000, nets = 10000;
    uint8_t seed[PV_SIGN_SEED_LEN];
    struct pv_rng rng = pv_entropy();
    char byte = 0;
    int fds[2];
    if (argc > 4 || (argc > 1 && pv_u64_parse(argv[1], 1, 1 << 20, &nodes) < 0) ||
        (argc > 2 && pv_u64_parse(argv[2], 1, nodes, &nets) < 0) || nodes % nets != 0)
        crowd_die("[NODES] [NETWORKS [DIR]]: networks of the same size");
    crowd_check(pv_crypto_init(), "cryptography");
    struct crowd_shared *shared = share(sizeof(*shared));
    shared->n_nodes = nodes;
    shared->n_nets = nets;
    shared->rows = share((2 * nodes + 8 * nets) * (sizeof(struct pv_storerow) + 1536));
    if (argc == 4) {
        crowd_store(shared, argv[3]);
        return 0;
    }
    pv_rng_fill(&rng, seed, sizeof(seed));
    pv_sign_keypair(seed, shared->sk, shared->pk);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        crowd_die("socketpair");
    pid_t pid = fork();
    if (pid < 0)
        crowd_die("fork");
    if (pid == 0) {
        close(fds[0]);
        crowd_nodes_run(shared, fds[1]);
        _exit(0);
    }
    close(fds[1]);
    if (read(fds[0], &byte, 1) != 1)
        crowd_die("the nodes cannot be made");
    serve(shared, fds[0]);
    (void)waitpid(pid, NULL, 0);
    return 0;
}
