/* SPDX-License-Identifier: MIT */
#include "sim_coord.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/core/member/cnet.h"
#include "crypto/sign.h"
#include "sim_cluster.h"
#include "sim_faults.h"
#include "tests/unit/coordinator/core/copies_mem.h"
#include "tests/unit/kem_double.h"

enum {
    WALL_S = 1800000000, /* Unix seconds at virtual time 0 */
    MAX_CONNS = 1024,
    MAX_OPS = 4096,
    MAX_ROWS = 65536,
    MAX_ENTRIES = 65536,
    MAX_ROUNDS = 100000, /* turns at one instant: more is a machine that does not come to rest */
};

struct conn {
    uint32_t stream; /* of sim_net; also the core's id, plus one */
    uint8_t *in;     /* received while the core wanted none */
    size_t n_in;
};

struct op {
    struct pv_storeop *op;
    pv_ns due;
};

struct sim_coord {
    struct sim_net *net;
    unsigned host;
    pv_ns job_delay;
    int64_t wall_offset_us;
    struct pv_natrng gen;
    struct pv_rng rng;
    struct pv_log log;
    uint8_t sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
    uint8_t secret[PV_CTL_SECRET_LEN];
    char stun[PV_ADDR_TEXT];
    const char *stun_list[1];
    char url[PV_URL_TEXT_BUF];

    char tls[PV_ADDR_TEXT];
    const char *tls_list[1];
    struct pv_addr ip;

    struct pv_coord *core; /* NULL: off */
    struct conn conns[MAX_CONNS];
    size_t n_conns;
    struct op ops[MAX_OPS]; /* in order */
    size_t n_ops;
    struct pv_storeop *rows[MAX_ROWS]; /* the disk: operations of one row each */
    size_t n_rows;
    struct pv_storeop *entries[MAX_ENTRIES]; /* the same of logs, each network's in order */
    size_t n_entries;
    struct copymem copies;       /* the disk, too */
    struct sim_coord *disk;      /* whose disk it uses: its own, or of which it is the second */
    struct sim_cluster *cluster; /* NULL: it has a disk of its own; owned by that of the disk */
    unsigned seat;

    void (*hook)(void *ctx, struct pv_ctl_msg *msg);
    void *hook_ctx;
    bool kem_less; /* as with a crypto library without ML-KEM */
};

/* Whose core is running: its messages pass the hook. */
static struct sim_coord *speaker;

/* The linker puts this in front of pv_ctl_build() in the simulator's programs. */
int __real_pv_ctl_build(const struct pv_ctl_msg *msg, void *buf, size_t cap, size_t *ret_len);
int __wrap_pv_ctl_build(const struct pv_ctl_msg *msg, void *buf, size_t cap, size_t *ret_len);
int __wrap_pv_ctl_build(const struct pv_ctl_msg *msg, void *buf, size_t cap, size_t *ret_len)
{
    struct pv_ctl_msg copy = *msg;
    if (speaker != NULL && speaker->hook != NULL && msg->kind != PV_CTL_REQUEST)
        speaker->hook(speaker->hook_ctx, &copy);
    return __real_pv_ctl_build(&copy, buf, cap, ret_len);
}

static void log_line(void *ctx, enum pv_log_level level, const char *line)
{
    const struct sim_coord *c = ctx;
    fprintf(stderr, "%10.4f coord [%s] %s\n", (double)sim_net_now(c->net) / 1e9,
            pv_log_level_name(level), line);
}

/* --- life ---------------------------------------------------------------------------------- */

static void make_url(struct sim_coord *c, const struct pv_addr *addr)
{
    struct pv_url url = {.has_secret = true};
    snprintf(url.addr.host, sizeof(url.addr.host), "%s",
             c->cluster != NULL ? SIM_COORD_NAME : PV_IP_STR(addr));
    url.addr.port = SIM_COORD_PORT;
    memcpy(url.pk, c->pk, sizeof(url.pk));
    memcpy(url.secret, c->secret, sizeof(url.secret));
    if (pv_url_format(&url, c->url, sizeof(c->url)) != PV_OK)
        abort();
}

static void take_ip(struct sim_coord *c, const struct pv_addr *ip)
{
    struct pv_addr addr = *ip;
    c->ip = *ip;
    addr.port = SIM_COORD_PORT;
    pv_addr_format(&addr, c->stun);
    c->stun_list[0] = c->stun;
    make_url(c, &addr);
    sim_net_add_addr(c->net, c->host, ip);
}

struct sim_coord *sim_coord_new(struct sim_net *net, const struct pv_addr *ip,
                                const struct pv_link_config *line)
{
    struct sim_coord *c = calloc(1, sizeof(*c));
    uint8_t seed[PV_SIGN_SEED_LEN];
    if (c == NULL)
        abort();
    c->net = net;
    c->disk = c;
    c->host = sim_net_add_host(net, SIM_PUBLIC, line);
    c->job_delay = PV_MS(2);
    c->gen.state = pv_natrng_u64(sim_net_rng(net));
    c->rng = sim_rng(&c->gen);
    c->log = (struct pv_log){.level = PV_LOG_DEBUG, .sink = log_line, .ctx = c};
    pv_rng_fill(&c->rng, seed, sizeof(seed));
    pv_sign_keypair(seed, c->sk, c->pk);
    pv_rng_fill(&c->rng, c->secret, sizeof(c->secret));
    take_ip(c, ip);
    sim_net_listen(net, c->host, SIM_COORD_PORT);
    sim_coord_start(c);
    return c;
}

static void forget_conns(struct sim_coord *c)
{
    for (size_t i = 0; i < c->n_conns; i++)
        free(c->conns[i].in);
    c->n_conns = 0;
}

/* Off, memory lost. */
static void go_down(struct sim_coord *c)
{
    forget_conns(c);
    for (size_t i = 0; i < c->n_ops; i++)
        pv_storeop_free(c->ops[i].op);
    c->n_ops = 0;
    c->core = pv_coord_free(c->core);
    sim_net_timer(c->net, c->host, PV_NEVER);
}

struct sim_coord *sim_coord_free(struct sim_coord *c)
{
    if (c == NULL)
        return NULL;
    if (c->core != NULL)
        go_down(c);
    for (size_t i = 0; i < c->n_rows; i++)
        pv_storeop_free(c->rows[i]);
    sim_coord_truncate_log(c, 0);
    copymem_done(&c->copies);
    if (c->disk == c)
        free(c->cluster);
    free(c);
    return NULL;
}

/* It becomes the first of several, or the next one. */
static void take_seat(struct sim_coord *c, struct sim_cluster *cluster)
{
    if (cluster->n_seats == SIM_CLUSTER_SEATS)
        abort();
    sim_coord_stop(c);
    c->cluster = cluster;
    c->seat = (unsigned)cluster->n_seats++;
    cluster->seats[c->seat].at = c->stun;
    sim_net_name(c->net, SIM_COORD_NAME, &c->ip);
}

void sim_coord_share(struct sim_coord *c, struct sim_coord *first)
{
    if (first->cluster == NULL) {
        struct sim_cluster *cluster = calloc(1, sizeof(*cluster));
        if (cluster == NULL)
            abort();
        take_seat(first, cluster);
        make_url(first, &first->ip);
        sim_coord_start(first);
    }
    take_seat(c, first->cluster);
    c->disk = first;
    memcpy(c->sk, first->sk, sizeof(c->sk));
    memcpy(c->pk, first->pk, sizeof(c->pk));
    memcpy(c->secret, first->secret, sizeof(c->secret));
    sim_coord_start(c);
}

uint64_t sim_coord_number(const struct sim_coord *c)
{
    return c->cluster == NULL ? 0 : (uint64_t)c->cluster->seats[c->seat].number;
}

struct pv_coord *sim_coord_core(struct sim_coord *c)
{
    return c->core;
}

const char *sim_coord_url(const struct sim_coord *c)
{
    return c->url;
}

unsigned sim_coord_host(const struct sim_coord *c)
{
    return c->host;
}

void sim_coord_offer_tls(struct sim_coord *c, uint16_t port)
{
    struct pv_addr addr = c->ip;
    addr.port = port;
    pv_addr_format(&addr, c->tls);
    c->tls_list[0] = c->tls;
    sim_net_listen(c->net, c->host, port);
}

void sim_coord_set_store_delay(struct sim_coord *c, pv_ns delay)
{
    c->job_delay = delay;
}

void sim_coord_set_kem(struct sim_coord *c, bool able)
{
    c->kem_less = !able;
}

void sim_coord_set_hook(struct sim_coord *c, void (*hook)(void *ctx, struct pv_ctl_msg *msg),
                        void *ctx)
{
    c->hook = hook;
    c->hook_ctx = ctx;
}

size_t sim_coord_n_rows(const struct sim_coord *c)
{
    return c->n_rows;
}

void sim_coord_truncate(struct sim_coord *c, size_t n_rows)
{
    while (c->n_rows > n_rows)
        pv_storeop_free(c->rows[--c->n_rows]);
}

size_t sim_coord_n_entries(const struct sim_coord *c)
{
    return c->n_entries;
}

void sim_coord_truncate_log(struct sim_coord *c, size_t n_entries)
{
    while (c->n_entries > n_entries)
        pv_storeop_free(c->entries[--c->n_entries]);
}

/* --- the disk ------------------------------------------------------------------------------ */

static bool has_row(const struct sim_coord *c, const struct pv_storerow *row)
{
    for (size_t i = 0; i < c->n_rows; i++) {
        const struct pv_storerow *x = &c->rows[i]->rows[0];
        if (memcmp(x->hash, row->hash, sizeof(x->hash)) == 0 &&
            memcmp(x->network, row->network, sizeof(x->network)) == 0)
            return true;
    }
    return false;
}

static void forget_row(struct sim_coord *c, const struct pv_storerow *row)
{
    for (size_t i = 0; i < c->n_rows; i++) {
        const struct pv_storerow *x = &c->rows[i]->rows[0];
        if (memcmp(x->hash, row->hash, sizeof(x->hash)) != 0 ||
            memcmp(x->network, row->network, sizeof(x->network)) != 0)
            continue;
        pv_storeop_free(c->rows[i]);
        c->n_rows--;
        memmove(c->rows + i, c->rows + i + 1, (c->n_rows - i) * sizeof(c->rows[0]));
        return;
    }
}

static void keep_row(struct sim_coord *c, const struct pv_storerow *row)
{
    struct pv_storeop *op = NULL;
    if (row->statement.len == 0) {
        forget_row(c, row);
        return;
    }
    if (has_row(c, row))
        return;
    if (c->n_rows == MAX_ROWS ||
        pv_storeop_new(PV_STOREOP_PUT, 1, row->statement.len + row->receipt.len + row->foreign.len,
                       &op) != PV_OK ||
        pv_storeop_add(op, row) != PV_OK)
        abort();
    c->rows[c->n_rows++] = op;
}

static bool is_entry_of(const struct sim_coord *c, size_t i, const uint8_t *network)
{
    return memcmp(c->entries[i]->rows[0].network, network, PV_NETWORK_ID_LEN) == 0;
}

/* Entries of a network from number n on leave the disk. */
static void cut_log(struct sim_coord *c, const uint8_t *network, uint64_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->n_entries; i++) {
        if (is_entry_of(c, i, network) && c->entries[i]->rows[0].n >= n)
            pv_storeop_free(c->entries[i]);
        else
            c->entries[kept++] = c->entries[i];
    }
    c->n_entries = kept;
}

static uint64_t log_len(const struct sim_coord *c, const uint8_t *network)
{
    uint64_t n = 0;
    for (size_t i = 0; i < c->n_entries; i++)
        n += is_entry_of(c, i, network);
    return n;
}

static int append_entries(struct sim_coord *c, const struct pv_storeop *op)
{
    const struct pv_storerow *first = &op->rows[0];
    if (op->cut)
        cut_log(c, first->network, first->n);
    if (first->n != log_len(c, first->network) + 1)
        return PV_ERR_REFUSED;
    for (size_t i = 0; i < op->n_rows; i++) {
        struct pv_storeop *one = NULL;
        if (c->n_entries == MAX_ENTRIES ||
            pv_storeop_new(PV_STOREOP_APPEND, 1, op->rows[i].statement.len, &one) != PV_OK ||
            pv_storeop_add(one, &op->rows[i]) != PV_OK)
            abort();
        c->entries[c->n_entries++] = one;
    }
    return PV_OK;
}

void sim_coord_put_entry(struct sim_coord *c, const uint8_t network[static PV_NETWORK_ID_LEN],
                         const struct pv_entry *entry, struct pv_view raw)
{
    struct pv_storerow row = {.n = log_len(c, network) + 1, .statement = raw};
    struct pv_storeop op = {.n_rows = 1, .rows = &row};
    memcpy(row.network, network, sizeof(row.network));
    memcpy(row.hash, entry->hash, sizeof(row.hash));
    if (append_entries(c, &op) != PV_OK)
        abort();
}

struct pv_view sim_coord_record(const struct sim_coord *c)
{
    return c->rows[0]->rows[0].statement;
}

const uint8_t *sim_coord_sk(const struct sim_coord *c)
{
    return c->sk;
}

static void read_log(const struct sim_coord *disk, const uint8_t *network, struct pv_home_answer *a)
{
    size_t bytes = 0;
    for (size_t i = 0; i < disk->n_entries; i++)
        bytes += disk->entries[i]->rows[0].statement.len;
    if (pv_storeop_new(PV_STOREOP_APPEND, disk->n_entries, bytes, &a->entries) != PV_OK)
        abort();
    for (size_t i = 0; i < disk->n_entries; i++)
        if (is_entry_of(disk, i, network) &&
            pv_storeop_add(a->entries, &disk->entries[i]->rows[0]) != PV_OK)
            abort();
}

/* The one SQL statement of PV_STOREOP_REGISTER. */
static int redeem(const struct sim_coord *c, const struct pv_storeop *op, uint8_t *ret_existing)
{
    uint8_t others[256][PV_SIGN_PK_LEN];
    size_t n = 0;
    for (size_t i = 0; i < c->n_rows; i++) {
        struct pv_statement st;
        if (pv_statement_decode(c->rows[i]->rows[0].statement, &st) != PV_OK ||
            st.type != PV_ST_MEMBER || memcmp(st.signer, op->invite, sizeof(op->invite)) != 0)
            continue;
        if (memcmp(st.u.member.node, op->node, sizeof(op->node)) == 0) {
            if (st.u.member.serial < op->min_serial)
                continue;
            memcpy(ret_existing, st.hash, PV_STATEMENT_HASH_LEN);
            return PV_ERR_EXISTS;
        }
        size_t k = 0;
        while (k < n && memcmp(others[k], st.u.member.node, PV_SIGN_PK_LEN) != 0)
            k++;
        if (k == n && n < PV_ARRAY_LEN(others))
            memcpy(others[n++], st.u.member.node, PV_SIGN_PK_LEN);
    }
    return n >= op->uses ? PV_ERR_EXPIRED : PV_OK;
}

/* All of a network goes to the memory of its new home. */
static void read_network(struct sim_coord *c, const uint8_t *network, struct pv_home_answer *a)
{
    const struct sim_coord *disk = c->disk;
    uint64_t above = 0;
    if (pv_storeop_new(PV_STOREOP_PUT, disk->n_rows, disk->n_rows * 4096, &a->rows) != PV_OK)
        abort();
    for (size_t i = 0; i < disk->n_rows; i++) {
        const struct pv_storerow *row = &disk->rows[i]->rows[0];
        if (memcmp(row->network, network, PV_NETWORK_ID_LEN) != 0)
            continue;
        if (pv_storeop_add(a->rows, row) != PV_OK)
            abort();
        above = row->epoch > above ? row->epoch : above;
    }
    a->epoch = sim_cluster_epoch(c->cluster, above);
    read_log(disk, network, a);
}

/* The operations that only several coordinators use. False: go on as with a disk of its own. */
static bool do_shared(struct sim_coord *c, const struct pv_storeop *op,
                      struct pv_storeop_result *res)
{
    pv_ns now = sim_net_now(c->net);
    if (c->cluster == NULL)
        return false;
    if (op->kind == PV_STOREOP_HOME || op->kind == PV_STOREOP_LEAVE) {
        sim_cluster_move(c->cluster, c->seat, op, now, res);
        if (res->home->verdict == PV_HOME_TAKE)
            read_network(c, op->copy.network, res->home);
        return true;
    }
    if (op->n_rows > 0)
        sim_cluster_write(c->cluster, c->seat, op, now, res);
    return res->status != PV_OK;
}

static void do_op(struct sim_coord *c, const struct pv_storeop *op, struct pv_storeop_result *res)
{
    *res = (struct pv_storeop_result){.id = op->id};
    if (sim_fault(SIM_FAULT_STORE)) {
        res->status = -ENOSPC;
        snprintf(res->error, sizeof(res->error), "write: the disk is full: free some space");
        return;
    }
    if (copymem_run(&c->disk->copies, op, res) || do_shared(c, op, res))
        return;
    if (op->kind == PV_STOREOP_APPEND) {
        res->status = append_entries(c->disk, op);
        return;
    }
    if (op->kind == PV_STOREOP_REGISTER)
        res->status = redeem(c->disk, op, res->existing);
    for (size_t i = 0; res->status == PV_OK && i < op->n_rows; i++)
        keep_row(c->disk, &op->rows[i]);
}

static void free_result(struct pv_storeop_result *res)
{
    free(res->collected);
    pv_home_answer_free(res->home);
}

static void serve(struct sim_coord *c, pv_ns now)
{
    while (c->n_ops > 0 && c->ops[0].due <= now) {
        struct pv_storeop_result res;
        struct pv_storeop *op = c->ops[0].op;
        memmove(c->ops, c->ops + 1, --c->n_ops * sizeof(c->ops[0]));
        sim_own_enter();
        do_op(c, op, &res);
        sim_own_leave();
        pv_storeop_free(op);
        pv_coord_handle_job(c->core, &res, now);
        free_result(&res);
    }
}

/* --- turns --------------------------------------------------------------------------------- */

static struct conn *conn_of(struct sim_coord *c, uint32_t stream)
{
    for (size_t i = 0; i < c->n_conns; i++) {
        if (c->conns[i].stream == stream)
            return &c->conns[i];
    }
    return NULL;
}

static void drop_conn(struct sim_coord *c, struct conn *conn)
{
    free(conn->in);
    *conn = c->conns[--c->n_conns];
}

/* The relay between members needs no socket but the one. */
static void send_turn(struct sim_coord *c, const struct pv_turns_out *out)
{
    struct pv_addr from = out->local;
    from.port = SIM_COORD_PORT;
    if (out->stream != 0)
        pv_relaycore_to_stream(pv_coord_relay(c->core), out);
    else
        (void)sim_net_send(c->net, c->host, &from, &out->dst, 0, out->data);
}

static void send_turns(struct sim_coord *c, struct pv_turns *turns)
{
    size_t n = 0;
    const struct pv_turns_out *out = pv_turns_out(turns, &n);
    for (size_t i = 0; i < n; i++)
        send_turn(c, &out[i]);
}

/* The relay half's turn: what it was told, its timers, and what it says. */
static void run_relay(struct sim_coord *c, pv_ns now)
{
    struct pv_relaycore *relay = pv_coord_relay(c->core);
    struct pv_turns *turns = pv_relaycore_turns(relay);
    while (pv_relaycore_step(relay, now))
        send_turns(c, turns);
    if (now >= pv_turns_next_timeout(turns))
        pv_turns_handle_timeout(turns, now);
    while (!pv_coord_handle_relay(c->core, now))
        ;
}

/* Moves the bytes that waited, and those that are to be written. */
static bool pump_conn(struct sim_coord *c, uint32_t stream, pv_ns now)
{
    bool moved = false;
    struct conn *conn = conn_of(c, stream);
    if (conn == NULL)
        return false;
    uint64_t id = (uint64_t)stream + 1;
    while (conn->n_in > 0 && pv_coord_wants_bytes(c->core, id)) {
        size_t n = conn->n_in < 16384 ? conn->n_in : 16384;
        pv_coord_handle_bytes(c->core, id, pv_view(conn->in, n), now);
        memmove(conn->in, conn->in + n, conn->n_in -= n);
        moved = true;
    }
    struct pv_view out;
    while ((out = pv_coord_out(c->core, id)).len > 0) {
        size_t n = sim_net_write(c->net, stream, out);
        if (n > 0)
            pv_coord_wrote(c->core, id, n, now);
        moved = moved || n > 0;
        if (n < out.len)
            break; /* the rest after SIM_WRITABLE */
    }
    return moved;
}

static void take_op(struct sim_coord *c, struct pv_storeop *op, pv_ns now)
{
    if (c->n_ops == MAX_OPS)
        abort();
    pv_ns due = now;
    if (c->job_delay > 0)
        due += pv_natrng_u64(&c->gen) % c->job_delay;
    if (c->n_ops > 0 && c->ops[c->n_ops - 1].due > due)
        due = c->ops[c->n_ops - 1].due;
    c->ops[c->n_ops++] = (struct op){.op = op, .due = due};
}

static void drain(struct sim_coord *c, pv_ns now)
{
    bool moved = true;
    for (unsigned round = 0; moved; round++) {
        struct pv_coord_ready ready;
        struct pv_storeop *op;
        moved = false;
        if (round == MAX_ROUNDS)
            abort();
        serve(c, now);
        run_relay(c, now);
        while (pv_coord_poll_ready(c->core, &ready, now) == PV_OK) {
            struct conn *conn = conn_of(c, (uint32_t)(ready.id - 1));
            moved = true;
            if (conn == NULL)
                continue;
            if (ready.kind == PV_COORD_READY_IO) {
                pump_conn(c, conn->stream, now);
                continue;
            }
            sim_net_close(c->net, conn->stream);
            drop_conn(c, conn);
        }
        while (pv_coord_poll_job(c->core, &op) == PV_OK) {
            moved = true;
            take_op(c, op, now);
        }
        for (size_t i = 0; i < c->n_conns; i++)
            moved = pump_conn(c, c->conns[i].stream, now) || moved;
    }
    struct pv_relaycore *relay = pv_coord_relay(c->core);
    pv_ns next =
        pv_min_ns(pv_coord_next_timeout(c->core), pv_turns_next_timeout(pv_relaycore_turns(relay)));
    if (c->cluster != NULL)
        next = pv_min_ns(next, c->cluster->seats[c->seat].renew_at);
    if (c->n_ops > 0)
        next = pv_min_ns(next, c->ops[0].due);
    sim_net_timer(c->net, c->host, next);
}

static void begin(struct sim_coord *c, pv_ns now)
{
    speaker = c;
    sim_machine_enter();
    pv_coord_set_wall(c->core,
                      WALL_S * UINT64_C(1000000) + now / 1000 + (uint64_t)c->wall_offset_us, now);
}

void sim_coord_jump_wall(struct sim_coord *c, int64_t by_us)
{
    c->wall_offset_us += by_us;
}

static void end(struct sim_coord *c)
{
    drain(c, sim_net_now(c->net));
    sim_machine_leave();
    speaker = NULL;
}

static int boot(struct sim_coord *c, const struct pv_coord_config *cfg)
{
    sim_machine_enter();
    int r = pv_coord_new(&c->core, cfg, &c->rng, getenv("PV_SIM_LOG") != NULL ? &c->log : NULL);
    for (size_t i = 0; r == PV_OK && c->cluster == NULL && i < c->n_rows; i++)
        r = pv_coord_load(c->core, &c->rows[i]->rows[0]);
    for (size_t i = 0; r == PV_OK && c->cluster == NULL && i < c->n_entries; i++)
        r = pv_coord_load_entry(c->core, &c->entries[i]->rows[0]);
    sim_machine_leave();
    if (r != PV_OK)
        c->core = pv_coord_free(c->core);
    return r;
}

void sim_coord_start(struct sim_coord *c)
{
    static const struct pv_turns_config relay = {.enabled = true};
    struct pv_coord_config cfg = {.sk = c->sk,
                                  .secret = c->secret,
                                  .policy = {.stun = c->stun_list, .n_stun = 1},
                                  .relay = &relay,
                                  .kem = c->kem_less ? NULL : &kem_double,
                                  .homes = c->cluster != NULL};
    if (c->core != NULL)
        abort();
    /* A program that finds no memory for its start ends, and is started again. */
    int r = boot(c, &cfg);
    while (r == PV_ERR_NOMEM && sim_faults_failed() > 0)
        r = boot(c, &cfg);
    if (r != PV_OK)
        abort();
    if (c->cluster != NULL)
        sim_cluster_join(c->cluster, c->seat, c->core, sim_net_now(c->net));
    const struct pv_ctl_tls tls = {.n = 1, .addrs = c->tls_list};
    if (c->tls_list[0] != NULL)
        pv_coord_set_tls(c->core, &tls);
    sim_net_power(c->net, c->host, true);
    begin(c, sim_net_now(c->net));
    end(c);
}

/* Some of what was under way had reached the disk. */
static void half_done(struct sim_coord *c)
{
    size_t done = c->n_ops == 0 ? 0 : pv_natrng_below(&c->gen, (uint32_t)c->n_ops + 1);
    for (size_t i = 0; i < done; i++) {
        struct pv_storeop_result res;
        do_op(c, c->ops[i].op, &res);
        free_result(&res);
    }
}

void sim_coord_kill(struct sim_coord *c)
{
    if (c->core == NULL)
        return;
    half_done(c);
    go_down(c);
    sim_net_power(c->net, c->host, false);
}

void sim_coord_stop(struct sim_coord *c)
{
    if (c->core == NULL)
        return;
    pv_ns now = sim_net_now(c->net);
    begin(c, now);
    pv_coord_shutdown(c->core, now);
    end(c);
    for (size_t i = 0; i < c->n_conns; i++)
        sim_net_close(c->net, c->conns[i].stream);
    if (c->cluster != NULL)
        sim_cluster_leave(c->cluster, c->seat);
    half_done(c);
    go_down(c);
}

void sim_coord_move(struct sim_coord *c, const struct pv_addr *ip)
{
    sim_coord_stop(c);
    sim_net_power(c->net, c->host, false); /* streams to the address of before go silent */
    sim_net_del_addr(c->net, c->host, &c->ip);
    take_ip(c, ip);
    sim_coord_start(c);
}

const uint8_t *sim_coord_pk(const struct sim_coord *c)
{
    return c->pk;
}

struct pv_roster *sim_coord_roster(const struct sim_coord *c,
                                   const uint8_t network[static PV_NETWORK_ID_LEN])
{
    const struct pv_cnet *net = c->core == NULL ? NULL : pv_coord_network(c->core, network);
    return net == NULL ? NULL : net->roster;
}

static void take_turn(struct sim_coord *c, const struct sim_event *ev)
{
    uint8_t buf[PV_TURNS_DATAGRAM_MAX];
    struct pv_turns *turns = pv_relaycore_turns(pv_coord_relay(c->core));
    if (ev->data.len > sizeof(buf) || ev->local.port != SIM_COORD_PORT)
        return;
    memcpy(buf, ev->data.ptr, ev->data.len); /* it is rewritten in place */
    const struct pv_turns_in in = {
        .src = ev->remote, .local = ev->local, .ptr = buf, .len = ev->data.len};
    pv_turns_batch(turns, &in, 1, ev->now);
    send_turns(c, turns);
}

static void take_datagram(struct sim_coord *c, const struct sim_event *ev)
{
    struct pv_stuns_place place = {.local = ev->local};
    struct pv_stuns_reply reply;
    if (pv_turns_is_turn(ev->data)) {
        take_turn(c, ev);
        return;
    }
    bool first = ev->local.port == SIM_COORD_PORT;
    place.other.port = first ? SIM_COORD_PORT + 1 : SIM_COORD_PORT;
    if ((first || ev->local.port == SIM_COORD_PORT + 1) &&
        pv_relaycore_answer(pv_coord_relay(c->core), &ev->remote, &place, ev->data, ev->now,
                            &reply) == PV_OK)
        (void)sim_net_send(c->net, c->host, &reply.from, &reply.to, 0,
                           pv_view(reply.buf, reply.len));
}

static void take_bytes(struct sim_coord *c, const struct sim_event *ev)
{
    struct conn *conn = conn_of(c, ev->stream);
    if (conn == NULL)
        return;
    conn->in = sim_realloc(conn->in, conn->n_in + ev->data.len);
    memcpy(conn->in + conn->n_in, ev->data.ptr, ev->data.len);
    conn->n_in += ev->data.len;
    pump_conn(c, ev->stream, ev->now);
}

static void take_stream(struct sim_coord *c, const struct sim_event *ev)
{
    uint64_t id = (uint64_t)ev->stream + 1;
    struct conn *conn = conn_of(c, ev->stream);
    if (ev->kind == SIM_ACCEPTED) {
        if (c->n_conns == MAX_CONNS || pv_coord_accept(c->core, id, &ev->remote, ev->now) != PV_OK)
            sim_net_close(c->net, ev->stream);
        else
            c->conns[c->n_conns++] = (struct conn){.stream = ev->stream};
    } else if (ev->kind == SIM_BYTES) {
        take_bytes(c, ev);
    } else if (ev->kind == SIM_CLOSED && conn != NULL) {
        drop_conn(c, conn);
        pv_coord_closed(c->core, id, ev->now);
    }
}

void sim_coord_handle(struct sim_coord *c, const struct sim_event *ev)
{
    if (c->core == NULL) {
        if (ev->kind == SIM_ACCEPTED)
            sim_net_close(c->net, ev->stream);
        return;
    }
    begin(c, ev->now);
    switch (ev->kind) {
    case SIM_DATAGRAM:
        take_datagram(c, ev);
        break;
    case SIM_TIMER:
        if (c->cluster != NULL)
            (void)sim_cluster_renew(c->cluster, c->seat, c->core, ev->now);
        if (ev->now >= pv_coord_next_timeout(c->core))
            pv_coord_handle_timeout(c->core, ev->now);
        break;
    default:
        take_stream(c, ev);
        break;
    }
    end(c);
}
