/* SPDX-License-Identifier: MIT */
#include "sim_node.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat/store/chatschema.h"
#include "chat/store/store_chat.h"
#include "crypto/ct.h"
#include "crypto/dh.h"
#include "crypto/sign.h"
#include "daemon/core/engine.h"
#include "daemon/core/node/node.h"
#include "daemon/core/peer/peers.h"
#include "sim_node_i.h"
#include "tests/unit/kem_double.h"

enum {
    WALL_S = 1800000000,  /* Unix seconds at virtual time 0; the coordinator's */
    SKEW_US = 2000000,    /* clocks of nodes differ by up to twice that */
    MAX_ROUNDS = 10000,   /* timers at one instant */
    MAX_ORDERS = 1000000, /* of one turn */
};

static void log_line(void *ctx, enum pv_log_level level, const char *line)
{
    struct sim_node *n = ctx;
    n->logged++;
    if (n->log.level != PV_LOG_DEBUG)
        return;
    fprintf(stderr, "%10.4f %s [%s] %s\n", (double)sim_net_now(n->net) / 1e9, n->name,
            pv_log_level_name(level), line);
}

static void stuck(const struct sim_node *n, const char *what)
{
    fprintf(stderr, "node %s does not come to rest: %s\n", n->name, what);
    abort();
}

pv_ns sim_node_now(const struct sim_node *n)
{
    return sim_net_now(n->net);
}

static void run_timers(struct sim_node *n);
static void begin_anew(struct sim_node *n);
static void close_links(struct sim_node *n);

/* --- life ---------------------------------------------------------------------------------- */

static void make_identity(struct sim_node *n)
{
    uint8_t seed[PV_SIGN_SEED_LEN];
    pv_rng_fill(&n->rng, seed, sizeof(seed));
    pv_sign_keypair(seed, n->identity.sign_sk, n->identity.sign_pk);
    pv_dh_keypair(&n->rng, n->identity.dh_sk, n->identity.dh_pk);
    memcpy(n->first_key, n->identity.dh_sk, sizeof(n->first_key));
}

/* As they are on the disk: the first one until others were saved. */
static void load_transport(struct sim_node *n)
{
    const struct pv_job_keys *keys = sim_store_keys(n->store);
    memcpy(n->identity.dh_sk, keys->n > 0 ? keys->keys[0].sk : n->first_key, PV_DH_LEN);
    pv_dh_public(n->identity.dh_sk, n->identity.dh_pk);
    memset(n->identity.others, 0, sizeof(n->identity.others));
    for (size_t i = 1; i < keys->n; i++) {
        struct pv_other_key *other = &n->identity.others[i - 1];
        memcpy(other->sk, keys->keys[i].sk, PV_DH_LEN);
        pv_dh_public(other->sk, other->pk);
        other->replaced_s = keys->keys[i].replaced_s;
        other->used = true;
    }
}

struct sim_node *sim_node_new(struct sim_net *net, unsigned host, const char *name, uint16_t port)
{
    struct sim_node *n = calloc(1, sizeof(*n));
    if (n == NULL || sim_store_new(&n->store) != PV_OK)
        abort();
    n->net = net;
    n->host = host;
    n->port = port;
    n->job_delay = PV_MS(2);
    snprintf(n->name, sizeof(n->name), "%s", name);
    n->gen.state = pv_natrng_u64(sim_net_rng(net));
    n->rng = sim_rng(&n->gen);
    n->log = (struct pv_log){.level = getenv("PV_SIM_LOG") != NULL ? PV_LOG_DEBUG : PV_LOG_INFO,
                             .sink = log_line,
                             .ctx = n};
    n->wall_offset_us = (int64_t)pv_natrng_below(&n->gen, 2 * SKEW_US) - SKEW_US;
    n->sunk = calloc(SIM_MAX_SINK, sizeof(*n->sunk));
    if (n->sunk == NULL)
        abort();
    if (sqlite3_open(":memory:", &n->chat) != SQLITE_OK || pv_chat_schema(n->chat) != PV_OK)
        abort();
    make_identity(n);
    sim_net_listen(net, host, PV_CHAT_PORT);
    sim_node_start(n);
    return n;
}

/* The engine and all it held; the disk stays. */
static void go_down(struct sim_node *n)
{
    n->engine = pv_engine_free(n->engine);
    n->worker = pv_fp_worker_free(n->worker);
    pv_fp_snapshot_free(n->snap);
    n->snap = NULL;
    n->n_links = 0;
    sim_node_relay_drop(n, true);
    memset(n->socks, 0, sizeof(n->socks));
    sim_node_drop_inner(n);
    for (size_t i = 0; i < n->n_ips; i++)
        sim_net_del_addr(n->net, n->host, &n->ips[i]);
    n->n_ips = 0;
    n->tun = false;
    for (unsigned i = 0; i < n->n_asks; i++)
        n->asks[i].open = false;
    sim_net_timer(n->net, n->host, PV_NEVER);
}

struct sim_node *sim_node_free(struct sim_node *n)
{
    if (n == NULL)
        return NULL;
    if (n->engine != NULL) {
        sim_node_lose_jobs(n, false);
        go_down(n);
    }
    for (unsigned i = 0; i < n->n_asks; i++)
        free(n->asks[i].text);
    for (size_t i = 0; i < n->n_lines; i++)
        free(n->lines[i]);
    free(n->lines);
    sqlite3_close(n->chat);
    sim_store_free(n->store);
    free(n->sunk);
    free(n);
    return NULL;
}

bool sim_node_runs(const struct sim_node *n)
{
    return n->engine != NULL;
}

uint64_t sim_node_wall_us(const struct sim_node *n)
{
    return WALL_S * UINT64_C(1000000) + sim_node_now(n) / 1000 + (uint64_t)n->wall_offset_us;
}

static bool has_address(const struct sim_node *n, uint16_t family)
{
    struct pv_addr addrs[SIM_HOST_ADDRS];
    size_t n_addrs = sim_net_addrs(n->net, n->host, addrs);
    for (size_t i = 0; i < n_addrs; i++) {
        if (addrs[i].family == family)
            return true;
    }
    return false;
}

static void tell_links(struct sim_node *n)
{
    struct pv_addr addrs[SIM_HOST_ADDRS];
    struct pv_links links;
    size_t n_addrs = n->hidden ? 0 : sim_net_addrs(n->net, n->host, addrs);
    pv_links_init(&links, PV_NODE_LINKS);
    for (size_t i = 0; i < n_addrs; i++) {
        struct pv_link_addr link = {.ifindex = SIM_IFINDEX, .ifname = "eth0", .up = true};
        link.addr.base = addrs[i];
        link.addr.bits = addrs[i].family == PV_AF_INET ? 24 : 64;
        pv_links_add(&links, &link);
    }
    const struct pv_engine_router routers[PV_NODE_ROUTERS] = {
        {.addr = n->router, .ifindex = SIM_IFINDEX}};
    pv_engine_handle_routers(n->engine, routers, sim_node_now(n));
    pv_engine_handle_links(n->engine, &links, sim_node_now(n));
}

/* A program that finds no memory for its start ends, and is started again. */
static int boot(struct sim_node *n, const struct pv_engine_config *cfg)
{
    sim_machine_enter();
    int r = pv_fp_worker_new(&n->worker);
    if (r == PV_OK)
        r = pv_engine_new(&n->engine, cfg, sim_node_now(n));
    sim_machine_leave();
    if (r != PV_OK)
        n->worker = pv_fp_worker_free(n->worker);
    return r;
}

void sim_node_start(struct sim_node *n)
{
    load_transport(n);
    const struct pv_bind_chat_config chat = {.given = {.keep_s = n->chat_keep_s, .store = true},
                                             .store = sim_node_chat_store(n)};
    struct pv_engine_config cfg = {
        .app = &pv_bind_chat,
        .app_config = &chat,
        .rng = n->rng,
        .given.log = n->log,
        .identity = &n->identity,
        .root_file = "/state/root.key",
        .saved = sim_store_load(n->store),
        .given.tun_name = "p2p0",
        .given.mtu = 1420,
        .given.udp_port = n->port,
        .has_udp6 = has_address(n, PV_AF_INET6),
        /* Some processors have no AES. */
        .cost = {n->host % 2 != 0 ? 650 : 0, n->host % 2 != 0 ? 350 + n->host % 5 * 100 : 0},
        .given.kem = n->kem_less ? NULL : &kem_double,
        .given.kem_why = "this machine has no KEM",
        .given.pq = n->pq,
        .rotate_s = n->rotate_s,
        .wall_us = sim_node_wall_us(n),
    };
    snprintf(cfg.given.hostname, sizeof(cfg.given.hostname), "%s", n->name);
    cfg.static_peers = n->static_peers;
    cfg.n_static_peers = n->n_static_peers;
    if (n->own.base.family != PV_AF_NONE)
        cfg.given.own_addrs[cfg.given.n_own_addrs++] = n->own;
    n->identity.has_root = sim_store_root(n->store, &n->identity.root);
    sim_net_power(n->net, n->host, true);
    if (n->engine != NULL)
        abort();
    int r = boot(n, &cfg);
    while (r == PV_ERR_NOMEM && sim_faults_failed() > 0)
        r = boot(n, &cfg);
    if (r != PV_OK) {
        fprintf(stderr, "node %s does not start: %s\n", n->name, pv_strstatus(r));
        abort();
    }
    sim_node_begin(n);
    tell_links(n);
    sim_node_end(n);
}

void sim_node_restart(struct sim_node *n)
{
    sim_node_kill(n);
    sim_node_start(n);
}

/* Power off: of the jobs under way the first few were done. */
void sim_node_kill(struct sim_node *n)
{
    if (n->engine == NULL)
        return;
    sim_node_lose_jobs(n, true);
    go_down(n);
    sim_net_power(n->net, n->host, false);
}

void sim_node_stop(struct sim_node *n)
{
    if (n->engine == NULL)
        return;
    sim_node_begin(n);
    pv_engine_shutdown(n->engine, sim_node_now(n));
    sim_node_end(n);
    close_links(n);
    sim_node_relay_drop(n, false);
    sim_node_lose_jobs(n, true);
    go_down(n);
}

bool sim_node_leave(struct sim_node *n)
{
    sim_node_begin(n);
    bool leaves = pv_engine_leave(n->engine, sim_node_now(n));
    sim_node_end(n);
    return leaves;
}

bool sim_node_has_left(const struct sim_node *n)
{
    return pv_engine_has_left(n->engine);
}

static void close_links(struct sim_node *n)
{
    for (size_t i = 0; i < n->n_links; i++) {
        if (n->links[i].state != SIM_LINK_SYN)
            sim_net_close(n->net, n->links[i].stream);
    }
}

/* The daemon starts again within the same process, with new keys. */
static void begin_anew(struct sim_node *n)
{
    close_links(n);
    sim_node_lose_jobs(n, true);
    go_down(n);
    make_identity(n);
    sim_node_start(n);
}

void sim_node_sleep(struct sim_node *n)
{
    n->asleep = true;
    sim_net_power(n->net, n->host, false);
}

void sim_node_wake(struct sim_node *n)
{
    n->asleep = false;
    sim_net_power(n->net, n->host, true);
    sim_node_begin(n);
    pv_engine_handle_resume(n->engine, sim_node_now(n));
    run_timers(n);
    sim_node_end(n);
}

/* --- turns --------------------------------------------------------------------------------- */

void sim_node_begin(struct sim_node *n)
{
    if (n->in_turn)
        stuck(n, "a turn within a turn");
    n->in_turn = true;
    sim_machine_enter();
    pv_engine_set_wall(n->engine, sim_node_wall_us(n), sim_node_now(n));
}

bool sim_node_port_of(const struct sim_node *n, uint16_t id, uint16_t *ret_port)
{
    *ret_port = n->port;
    for (size_t i = 0; id != 0 && i < SIM_MAX_SOCKS; i++) {
        if (n->socks[i].id != id)
            continue;
        *ret_port = n->socks[i].port;
        return true;
    }
    return id == 0;
}

bool sim_node_sock_of(const struct sim_node *n, uint16_t port, uint16_t *ret_id)
{
    *ret_id = 0;
    for (size_t i = 0; port != n->port && i < SIM_MAX_SOCKS; i++) {
        if (n->socks[i].id == 0 || n->socks[i].port != port)
            continue;
        *ret_id = n->socks[i].id;
        return true;
    }
    return port == n->port;
}

static void open_sock(struct sim_node *n, uint16_t id, uint16_t port)
{
    unsigned open = 1;
    struct sim_sock *s = NULL;
    for (size_t i = 0; i < SIM_MAX_SOCKS; i++) {
        if (n->socks[i].id != 0)
            open++;
        else if (s == NULL)
            s = &n->socks[i];
    }
    if (s == NULL)
        stuck(n, "too many sockets");
    uint16_t used;
    n->drew_again = n->draws_again && port == 0 && !n->drew_again;
    s->port = n->drew_again ? n->drawn : port;
    while (s->port == 0 || sim_node_sock_of(n, s->port, &used)) /* drawn, as the kernel does */
        s->port = (uint16_t)(32768 + pv_natrng_below(&n->gen, 28232));
    s->id = id;
    n->drawn = s->port;
    n->most_socks = open > n->most_socks ? open : n->most_socks;
    pv_engine_sock_opened(n->engine, id, s->port, sim_node_now(n));
}

static void run_sock_op(struct sim_node *n, const struct pv_hardnat_op *op)
{
    if (op->type == PV_HARDNAT_OPEN)
        open_sock(n, op->sock, op->port);
    for (size_t i = 0; op->type == PV_HARDNAT_CLOSE && i < SIM_MAX_SOCKS; i++) {
        if (n->socks[i].id == op->sock)
            n->socks[i].id = 0;
    }
}

static void send_datagram(struct sim_node *n, const struct pv_engine_transmit *tx)
{
    struct pv_addr local = tx->local;
    if (tx->stream != 0) {
        sim_node_relay_send(n, tx->stream, pv_view(tx->buf, tx->len));
        return;
    }
    if (tx->router)
        local.port = SIM_ROUTER_PORT;
    else if (!sim_node_port_of(n, tx->sock, &local.port))
        return;
    n->sent++;
    (void)sim_net_send(n->net, n->host, &local, &tx->dst, tx->ttl, pv_view(tx->buf, tx->len));
}

static void publish(struct sim_node *n, struct pv_fp_snapshot *snap)
{
    struct pv_fp_snapshot *old = n->snap;
    n->snap = snap;
    sim_node_flush(n);
    pv_fp_snapshot_free(old);
}

static void inject(struct sim_node *n, const struct pv_engine_inject *inject)
{
    if (pv_fp_inject(n->worker, n->snap, inject->peer, pv_view(inject->buf, inject->len),
                     sim_node_now(n)) == PV_OK)
        sim_node_results(n);
}

static void carry_out(struct sim_node *n, const struct pv_engine_order *order)
{
    switch (order->type) {
    case PV_ORDER_SOCK:
        run_sock_op(n, &order->u.sock);
        break;
    case PV_ORDER_RELAY:
        sim_node_relay_op(n, &order->u.relay);
        break;
    case PV_ORDER_SNAPSHOT:
        publish(n, order->u.snapshot);
        break;
    case PV_ORDER_DATAGRAM:
        send_datagram(n, &order->u.datagram);
        break;
    case PV_ORDER_INJECT:
        inject(n, &order->u.inject);
        break;
    case PV_ORDER_STREAM:
        sim_node_stream_op(n, &order->u.stream);
        break;
    case PV_ORDER_LOOK:
        sim_node_writable(n, order->u.look);
        break;
    case PV_ORDER_JOB:
        sim_node_take_job(n, order->u.job);
        break;
    case PV_ORDER_PART:   /* nobody has files here */
    case PV_ORDER_RELOAD: /* nobody asks for it here */
    case PV_ORDER_TYPES:
        break;
    }
}

void sim_node_end(struct sim_node *n)
{
    struct pv_engine_order order;
    unsigned orders = 0;
    bool any;
    do {
        while (pv_engine_poll(n->engine, &order) == PV_OK) {
            if (++orders == MAX_ORDERS)
                stuck(n, "it always has more orders");
            carry_out(n, &order);
        }
        any = sim_node_run_jobs(n);
        any = sim_node_run_host(n) || any;
    } while (any);
    pv_ns next = pv_engine_next_timeout(n->engine);
    next = pv_min_ns(next, pv_fp_next_timeout(n->worker));
    next = pv_min_ns(next, sim_node_io_timeout(n));
    sim_net_timer(n->net, n->host, next);
    n->in_turn = false;
    sim_machine_leave();
    if (pv_engine_wants_restart(n->engine))
        begin_anew(n);
}

static void run_timers(struct sim_node *n)
{
    pv_ns now = sim_node_now(n);
    if (n->stuck_at != now)
        n->stuck = 0;
    n->stuck_at = now;
    if (++n->stuck == MAX_ROUNDS)
        stuck(n, "its timers are always due");
    if (now >= pv_engine_next_timeout(n->engine))
        pv_engine_handle_timeout(n->engine, now);
    if (now >= pv_fp_next_timeout(n->worker))
        sim_node_flush(n);
    sim_node_run_syns(n);
}

static void take_expired(struct sim_node *n, const struct sim_event *ev)
{
    uint16_t id = 0;
    if (sim_node_sock_of(n, ev->local.port, &id) && id != 0)
        pv_engine_sock_bounced(n->engine, id, ev->data, true);
}

void sim_node_hint(struct sim_node *n, const struct pv_addr *dst, uint32_t mtu,
                   struct pv_view quoted)
{
    const struct pv_fp_punt punt = {.kind = PV_FP_PUNT_TOO_BIG,
                                    .from = {.kind = PV_CARRIER_UDP, .remote = *dst},
                                    .count = mtu,
                                    .bytes = quoted};
    sim_node_begin(n);
    pv_engine_handle_punt(n->engine, &punt, sim_node_now(n));
    sim_node_end(n);
}

void sim_node_handle(struct sim_node *n, const struct sim_event *ev)
{
    if (n->engine == NULL || n->asleep) {
        if (ev->kind == SIM_ACCEPTED)
            sim_net_close(n->net, ev->stream);
        return;
    }
    sim_node_begin(n);
    if (ev->kind == SIM_DATAGRAM)
        sim_node_take_datagram(n, ev);
    else if (ev->kind == SIM_EXPIRED)
        take_expired(n, ev);
    else if (ev->kind == SIM_TIMER)
        run_timers(n);
    else if (!sim_node_relay_event(n, ev))
        sim_node_stream_event(n, ev);
    sim_node_end(n);
}

/* --- p2pvpnctl ------------------------------------------------------------------------------ */

/* Has " for each ' that stands where JSON has one: "it's" keeps its own. */
static void quote(char *text)
{
    for (char *at = text; (at = strchr(at, '\'')) != NULL; at++) {
        if (at == text || at[1] == '\0' || !isalpha(at[-1]) || !isalpha(at[1]))
            *at = '"';
    }
}

unsigned sim_node_ask(struct sim_node *n, const char *format, ...)
{
    struct pv_stream_peer who = {.may_change = true};
    char fields[8192], line[sizeof(fields) + 32];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(fields, sizeof(fields), format, args);
    va_end(args);
    if (len < 0 || len >= (int)sizeof(fields))
        abort();
    quote(fields);
    if (n->n_asks == SIM_MAX_ASKS || n->engine == NULL)
        stuck(n, "too many requests, or it is off");
    struct sim_ask *ask = &n->asks[n->n_asks++];
    *ask = (struct sim_ask){.open = true};
    sim_node_begin(n);
    int r = pv_engine_stream_accepted(n->engine, PV_STREAM_CTL, &who, sim_node_now(n), &ask->sid);
    if (r != PV_OK && sim_faults_failed() == 0)
        stuck(n, "it takes no request");
    ask->open = r == PV_OK;
    len = snprintf(line, sizeof(line), "{\"id\":%u,%s}\n", n->n_asks, fields);
    if (ask->open)
        pv_engine_stream_bytes(n->engine, ask->sid, pv_view(line, (size_t)len), sim_node_now(n));
    sim_node_end(n);
    return n->n_asks;
}

const char *sim_node_answer(const struct sim_node *n, unsigned id)
{
    return n->asks[id - 1].answer;
}

bool sim_answer_has(const char *answer, const char *text)
{
    char quoted[256];
    if ((size_t)snprintf(quoted, sizeof(quoted), "%s", text) >= sizeof(quoted))
        abort();
    quote(quoted);
    return answer != NULL && strstr(answer, quoted) != NULL;
}

size_t sim_node_lines(const struct sim_node *n)
{
    return n->n_lines;
}

const char *sim_node_line(const struct sim_node *n, size_t i)
{
    return n->lines[i];
}

void sim_node_hang_up(struct sim_node *n, unsigned id)
{
    struct sim_ask *ask = &n->asks[id - 1];
    if (!ask->open)
        return;
    sim_node_begin(n);
    ask->open = false;
    pv_engine_stream_closed(n->engine, ask->sid, PV_ERR_CLOSED, sim_node_now(n));
    sim_node_end(n);
}

/* --- what the test may do to it -------------------------------------------------------------- */

void sim_node_links_changed(struct sim_node *n)
{
    if (n->engine == NULL)
        return;
    sim_node_begin(n);
    tell_links(n);
    sim_node_end(n);
}

void sim_node_set_router(struct sim_node *n, const struct pv_addr *router)
{
    n->router = *router;
    sim_node_links_changed(n);
}

void sim_node_hide_links(struct sim_node *n, bool hidden)
{
    n->hidden = hidden;
    sim_node_links_changed(n);
}

void sim_node_jump_wall(struct sim_node *n, int64_t by_us)
{
    n->wall_offset_us += by_us;
}

void sim_node_count_log(struct sim_node *n)
{
    n->logged = 0;
}

unsigned sim_node_logged(const struct sim_node *n)
{
    return n->logged;
}

void sim_node_set_pq(struct sim_node *n, bool able, enum pv_pq_policy policy)
{
    n->kem_less = !able;
    n->pq = policy;
}

void sim_node_set_chat_keep(struct sim_node *n, uint64_t seconds)
{
    n->chat_keep_s = seconds;
}

void sim_node_set_iface(struct sim_node *n, bool broken, pv_ns delay)
{
    n->iface_broken = broken;
    n->iface_delay = delay;
}

void sim_node_set_draws_again(struct sim_node *n, bool again)
{
    n->draws_again = again;
}

void sim_node_set_job_delay(struct sim_node *n, pv_ns delay)
{
    n->job_delay = delay;
}

void sim_node_set_disk_full(struct sim_node *n, bool full)
{
    n->disk_full = full;
    sim_store_set_full(n->store, full);
}

const char *sim_node_name(const struct sim_node *n)
{
    return n->name;
}

void sim_node_configure(struct sim_node *n, const struct pv_prefix *own,
                        const struct pv_static_peer *peers, size_t n_peers)
{
    n->own = *own;
    n->static_peers = peers;
    n->n_static_peers = n_peers;
}

void sim_node_set_key(struct sim_node *n, const uint8_t sk[static PV_DH_LEN])
{
    memcpy(n->first_key, sk, sizeof(n->first_key));
}

const uint8_t *sim_node_wg_key(const struct sim_node *n)
{
    return n->identity.dh_pk;
}

uint16_t sim_node_port(const struct sim_node *n)
{
    return n->port;
}

void sim_node_share_root(struct sim_node *n, const struct sim_node *other)
{
    sim_store_share_root(n->store, other->store);
    n->identity.has_root = sim_store_root(n->store, &n->identity.root);
}

const uint8_t *sim_node_pk(const struct sim_node *n)
{
    return n->identity.sign_pk;
}

const uint8_t *sim_node_root_sk(const struct sim_node *n)
{
    return sim_store_root_sk(n->store);
}

unsigned sim_node_host(const struct sim_node *n)
{
    return n->host;
}

uint64_t sim_node_drops(const struct sim_node *n, enum pv_fp_drop reason)
{
    return n->worker == NULL ? 0 : pv_fp_drops(n->worker, reason);
}

const char *sim_node_path(struct sim_node *n, const char *peer)
{
    const struct pv_peer *p =
        n->engine == NULL ? NULL : pv_peers_find(pv_engine_node(n->engine)->peers, peer);
    if (p == NULL || pv_peer_path(p) == NULL)
        return "none";
    return pv_peer_is_relayed(p) ? "relay" : "direct";
}

uint32_t sim_node_psk(struct sim_node *n, const char *peer)
{
    const struct pv_peer *p =
        n->engine == NULL ? NULL : pv_peers_find(pv_engine_node(n->engine)->peers, peer);
    const struct pv_session *s = p == NULL ? NULL : pv_peer_session(p);
    return s == NULL || !pv_session_has_keys(s, sim_node_now(n)) ? 0 : pv_session_psk(s);
}

uint64_t sim_node_sent(const struct sim_node *n)
{
    return n->sent;
}
