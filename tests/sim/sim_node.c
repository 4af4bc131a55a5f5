/* SPDX-License-Identifier: MIT */
#include "sim_node.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/chat_memstore.h"
#include "base/bytes.h"
#include "crypto/dh.h"
#include "crypto/sign.h"
#include "daemon/core/fp_builder.h"
#include "lab/natcore_pkt.h"
#include "sim_store.h"

enum {
    MAX_STREAMS = 512,
    MAX_REPLIES = 64, /* echo replies made in one go */
    MAX_LINES = 4096,
    PING_ID = 77,
    WALL_S = 1800000000, /* Unix seconds at virtual time 0; the coordinator's */
    SKEW_MS = 2000,      /* clocks of nodes differ by up to this */
};

struct stream {
    uint32_t sid;
    uint32_t wire; /* of sim_net; unused for CTL */
    enum pv_stream_kind kind;
    bool open;
    char *text; /* CTL: the line that is coming in */
    size_t text_len;
    unsigned ask; /* CTL: the request's id */
};

struct sim_node {
    struct sim_net *net;
    unsigned host;
    char name[PV_NAME_BUF];
    uint16_t port;
    int64_t skew_us;
    struct pv_natrng gen;
    struct pv_rng rng;
    struct pv_log log;

    /* the disk */
    struct pv_identity identity;
    struct sim_store *store;
    struct memstore chat;

    /* the running daemon */
    struct pv_engine *engine;
    struct pv_fp_worker *worker;
    struct pv_fp_snapshot *snap;
    struct stream streams[MAX_STREAMS];
    size_t n_streams;
    struct pv_addr overlay[PV_IFACE_MAX_PREFIXES];
    size_t n_overlay;
    bool listening;

    /* what a test sees */
    char *lines[MAX_LINES];
    size_t n_lines;
    unsigned n_asked;
    uint16_t ping_seq;
    struct sim_pings pings;
    bool answered[65536];

    uint8_t replies[MAX_REPLIES][2048];
    size_t reply_len[MAX_REPLIES];
    size_t n_replies;
};

static void pump(struct sim_node *n);

static void log_line(void *ctx, enum pv_log_level level, const char *line)
{
    struct sim_node *n = ctx;
    fprintf(stderr, "%.6f %s [%s] %s\n", (double)sim_net_now(n->net) / 1e9, n->name,
            pv_log_level_name(level), line);
}

static pv_ns now_of(struct sim_node *n)
{
    pv_ns now = sim_net_now(n->net);
    int64_t wall = (int64_t)(WALL_S * UINT64_C(1000000) + now / 1000) + n->skew_us;
    pv_engine_set_wall(n->engine, (uint64_t)wall, now);
    return now;
}

/* ---- the fast path ---- */

static void transmit(struct sim_node *n, const struct pv_addr *local, const struct pv_addr *dst,
                     uint8_t ttl, struct pv_view data)
{
    struct pv_addr src = *local;
    src.port = n->port;
    sim_net_send(n->net, n->host, &src, dst, ttl, data);
}

/* The kernel behind the TUN: answers pings, counts answers. */
static void deliver(struct sim_node *n, const uint8_t *data, size_t len)
{
    struct pv_natpkt pkt;
    if (n->n_replies == MAX_REPLIES || len > sizeof(n->replies[0]))
        return;
    uint8_t *copy = n->replies[n->n_replies];
    memcpy(copy, data, len);
    if (pv_natpkt_parse(copy, len, &pkt) < 0) {
        n->pings.received++;
    } else if (pkt.kind == PV_NATPKT_ECHO) {
        pv_natpkt_answer_echo(&pkt);
        n->reply_len[n->n_replies++] = len;
    } else if (pkt.kind == PV_NATPKT_ECHO_REPLY && pkt.dst.port == PING_ID) {
        uint16_t seq = pv_load_be16(copy + pkt.l4 + 6);
        n->pings.answered += n->answered[seq] ? 0 : 1;
        n->pings.twice += n->answered[seq] ? 1 : 0;
        n->answered[seq] = true;
        n->pings.last_answer = sim_net_now(n->net);
    } else {
        n->pings.received++;
    }
}

static void take_results(struct sim_node *n, pv_ns now)
{
    struct pv_fp_results r = pv_fp_results(n->worker);
    for (size_t i = 0; i < r.n_sends; i++)
        transmit(n, &r.sends[i].to->local, &r.sends[i].to->remote, 0,
                 pv_view(r.sends[i].data, r.sends[i].len));
    for (size_t i = 0; i < r.n_writes; i++)
        deliver(n, r.writes[i].data, r.writes[i].len);
    for (size_t i = 0; i < r.n_punts; i++)
        pv_engine_handle_punt(n->engine, &r.punts[i], now);
}

static void flush(struct sim_node *n, pv_ns now)
{
    bool more = true;
    while (more) {
        more = pv_fp_flush(n->worker, n->snap, now);
        take_results(n, now);
    }
}

static void from_tun(struct sim_node *n, const uint8_t *data, size_t len, pv_ns now)
{
    struct pv_fp_packet packet = {.data = data, .len = len};
    pv_fp_tx(n->worker, n->snap, &packet, 1, now);
    take_results(n, now);
}

/* Replies made while results were being read. */
static bool send_replies(struct sim_node *n, pv_ns now)
{
    if (n->n_replies == 0)
        return false;
    size_t count = n->n_replies;
    for (size_t i = 0; i < count; i++)
        from_tun(n, n->replies[i], n->reply_len[i], now);
    memmove(n->replies, n->replies + count, (n->n_replies - count) * sizeof(n->replies[0]));
    memmove(n->reply_len, n->reply_len + count, (n->n_replies - count) * sizeof(n->reply_len[0]));
    n->n_replies -= count;
    return true;
}

static void from_wire(struct sim_node *n, const struct sim_event *e, pv_ns now)
{
    if (e->local.port != n->port)
        return;
    uint8_t *copy = malloc(e->data.len == 0 ? 1 : e->data.len);
    assert(copy != NULL);
    if (e->data.len > 0)
        memcpy(copy, e->data.ptr, e->data.len);
    struct pv_fp_datagram d = {
        .from = {.kind = PV_CARRIER_UDP, .local = e->local, .remote = e->remote},
        .data = copy,
        .len = e->data.len,
    };
    pv_fp_rx(n->worker, n->snap, &d, 1, now);
    take_results(n, now);
    free(copy);
}

/* ---- streams ---- */

static struct stream *by_sid(struct sim_node *n, uint32_t sid)
{
    for (size_t i = 0; i < n->n_streams; i++) {
        if (n->streams[i].open && n->streams[i].sid == sid)
            return &n->streams[i];
    }
    return NULL;
}

static struct stream *by_wire(struct sim_node *n, uint32_t wire)
{
    for (size_t i = 0; i < n->n_streams; i++) {
        if (n->streams[i].open && n->streams[i].kind != PV_STREAM_CTL && n->streams[i].wire == wire)
            return &n->streams[i];
    }
    return NULL;
}

static struct stream *add_stream(struct sim_node *n, uint32_t sid, enum pv_stream_kind kind)
{
    size_t i = 0;
    while (i < n->n_streams && n->streams[i].open)
        i++;
    assert(i < MAX_STREAMS);
    if (i == n->n_streams)
        n->n_streams++;
    n->streams[i] = (struct stream){.sid = sid, .kind = kind, .open = true};
    return &n->streams[i];
}

static void forget_stream(struct stream *s)
{
    free(s->text);
    s->text = NULL;
    s->open = false;
}

/* Takes whole lines out of what a control connection says. */
static void ctl_text(struct sim_node *n, struct stream *s, struct pv_view out)
{
    s->text = realloc(s->text, s->text_len + out.len + 1);
    assert(s->text != NULL);
    memcpy(s->text + s->text_len, out.ptr, out.len);
    s->text_len += out.len;
    s->text[s->text_len] = '\0';
    char *end = NULL;
    while ((end = strchr(s->text, '\n')) != NULL) {
        size_t len = (size_t)(end - s->text);
        assert(n->n_lines < MAX_LINES);
        n->lines[n->n_lines++] = strndup(s->text, len);
        s->text_len -= len + 1;
        memmove(s->text, end + 1, s->text_len + 1);
    }
}

static void write_out(struct sim_node *n, uint32_t sid, pv_ns now)
{
    struct stream *s = by_sid(n, sid);
    struct pv_view out = pv_engine_stream_out(n->engine, sid);
    while (s != NULL && out.len > 0) {
        if (s->kind == PV_STREAM_CTL)
            ctl_text(n, s, out);
        else
            sim_net_write(n->net, s->wire, out);
        pv_engine_stream_wrote(n->engine, sid, out.len, now);
        out = pv_engine_stream_out(n->engine, sid);
    }
}

static void stream_op(struct sim_node *n, const struct pv_stream_op *op, pv_ns now)
{
    struct stream *s = NULL;
    if (op->type == PV_STREAM_OPEN) {
        s = add_stream(n, op->sid, op->kind);
        s->wire = sim_net_connect(n->net, n->host, &op->addr);
        return;
    }
    write_out(n, op->sid, now);
    s = by_sid(n, op->sid);
    if (s == NULL)
        return;
    if (s->kind != PV_STREAM_CTL)
        sim_net_close(n->net, s->wire);
    forget_stream(s);
}

static bool run_streams(struct sim_node *n, pv_ns now)
{
    struct pv_stream_op op;
    uint32_t sid = 0;
    bool any = false;
    while (pv_engine_poll_stream_op(n->engine, &op) == PV_OK) {
        stream_op(n, &op, now);
        any = true;
    }
    while (pv_engine_poll_writable(n->engine, &sid) == PV_OK) {
        write_out(n, sid, now);
        any = true;
    }
    return any;
}

static void accepted(struct sim_node *n, const struct sim_event *e, pv_ns now)
{
    struct pv_stream_peer who = {.remote = e->remote, .local = e->local};
    uint32_t sid = 0;
    if (pv_engine_stream_accepted(n->engine, PV_STREAM_CHAT, &who, now, &sid) < 0) {
        sim_net_close(n->net, e->stream);
        return;
    }
    add_stream(n, sid, PV_STREAM_CHAT)->wire = e->stream;
}

static void stream_event(struct sim_node *n, const struct sim_event *e, pv_ns now)
{
    struct stream *s = by_wire(n, e->stream);
    if (s == NULL)
        return;
    uint32_t sid = s->sid;
    if (e->kind == SIM_CONNECTED) {
        pv_engine_stream_connected(n->engine, sid, now);
    } else if (e->kind == SIM_BYTES) {
        pv_engine_stream_bytes(n->engine, sid, e->data, now);
    } else {
        forget_stream(s);
        pv_engine_stream_closed(n->engine, sid, e->status, now);
    }
}

/* ---- jobs ---- */

static void iface(struct sim_node *n, const struct pv_job_iface *what)
{
    for (size_t i = 0; i < n->n_overlay; i++)
        sim_net_del_addr(n->net, n->host, &n->overlay[i]);
    n->n_overlay = 0;
    for (size_t i = 0; what != NULL && i < what->n_addrs; i++) {
        n->overlay[n->n_overlay++] = what->addrs[i].base;
        sim_net_add_overlay(n->net, n->host, &what->addrs[i].base);
    }
    if (what != NULL && !n->listening) {
        sim_net_listen(n->net, n->host, PV_CHAT_PORT);
        n->listening = true;
    }
}

static void resolve(const struct pv_job *job, struct pv_job_result *res)
{
    if (pv_addr_parse_ip(job->u.resolve.host, &res->addrs[0]) < 0) {
        res->status = PV_ERR_NOT_FOUND;
        return;
    }
    res->addrs[0].port = job->u.resolve.port;
    res->n_addrs = 1;
}

static bool run_jobs(struct sim_node *n, pv_ns now)
{
    struct pv_job *job = NULL;
    bool any = false;
    while (pv_engine_poll_job(n->engine, &job) == PV_OK) {
        struct pv_job_result res = {.id = job->id, .kind = job->kind};
        any = true;
        if (sim_store_serves(job))
            sim_store_run(n->store, job, &res);
        else if (job->kind == PV_JOB_CHAT)
            res.status = memstore_run(&n->chat, job->u.chat, &res.chat);
        else if (job->kind == PV_JOB_RESOLVE)
            resolve(job, &res);
        else
            iface(n, job->kind == PV_JOB_IFACE_UP ? job->u.iface : NULL);
        pv_engine_handle_job(n->engine, &res, now);
        pv_job_result_done(&res);
        pv_job_free(job);
    }
    return any;
}

/* ---- the turn ---- */

static bool run_datapath(struct sim_node *n, pv_ns now)
{
    struct pv_engine_transmit tx;
    struct pv_engine_inject in;
    struct pv_fp_snapshot *snap = NULL;
    bool any = false;
    while (pv_engine_poll_transmit(n->engine, &tx) == PV_OK) {
        transmit(n, &tx.local, &tx.dst, tx.ttl, pv_view(tx.buf, tx.len));
        any = true;
    }
    while (pv_engine_poll_snapshot(n->engine, &snap) == PV_OK) {
        pv_fp_snapshot_free(n->snap);
        n->snap = snap;
        flush(n, now);
        any = true;
    }
    while (pv_engine_poll_inject(n->engine, &in) == PV_OK) {
        if (pv_fp_inject(n->worker, n->snap, in.peer, pv_view(in.buf, in.len), now) == PV_OK)
            take_results(n, now);
        any = true;
    }
    return send_replies(n, now) || any;
}

static void pump(struct sim_node *n)
{
    pv_ns now = sim_net_now(n->net);
    bool any = true;
    for (unsigned i = 0; any; i++) {
        assert(i < 10000); /* an engine that never comes to rest */
        any = run_datapath(n, now);
        any = run_streams(n, now) || any;
        any = run_jobs(n, now) || any;
    }
    pv_ns next = pv_engine_next_timeout(n->engine);
    next = pv_min_ns(next, pv_fp_next_timeout(n->worker));
    sim_net_timer(n->net, n->host, next);
}

void sim_node_handle(struct sim_node *n, const struct sim_event *e)
{
    if (n->engine == NULL)
        return;
    pv_ns now = now_of(n);
    switch (e->kind) {
    case SIM_DATAGRAM:
        from_wire(n, e, now);
        break;
    case SIM_ACCEPTED:
        accepted(n, e, now);
        break;
    case SIM_CONNECTED:
    case SIM_BYTES:
    case SIM_CLOSED:
        stream_event(n, e, now);
        break;
    case SIM_TIMER:
        if (now >= pv_fp_next_timeout(n->worker))
            flush(n, now);
        if (now >= pv_engine_next_timeout(n->engine))
            pv_engine_handle_timeout(n->engine, now);
        break;
    default:
        break;
    }
    pump(n);
}

/* ---- life ---- */

void sim_node_links_changed(struct sim_node *n)
{
    struct pv_link_addr links[SIM_HOST_ADDRS];
    struct pv_addr addrs[SIM_HOST_ADDRS];
    memset(links, 0, sizeof(links));
    size_t count = sim_net_addrs(n->net, n->host, addrs);
    for (size_t i = 0; i < count; i++) {
        links[i].addr.base = addrs[i];
        links[i].addr.bits = addrs[i].family == PV_AF_INET6 ? 64 : 24;
        links[i].ifindex = 2;
        links[i].up = true;
        snprintf(links[i].ifname, sizeof(links[i].ifname), "eth0");
    }
    pv_ns now = now_of(n);
    pv_engine_handle_links(n->engine, links, count, now);
    pump(n);
}

void sim_node_start(struct sim_node *n)
{
    assert(n->engine == NULL);
    sim_net_power(n->net, n->host, true);
    const uint8_t *root = sim_store_root(n->store);
    if (root != NULL) {
        memcpy(n->identity.root_seed, root, sizeof(n->identity.root_seed));
        n->identity.has_root = true;
    }
    pv_ns now = sim_net_now(n->net);
    struct pv_engine_config cfg = {
        .rng = n->rng,
        .log = &n->log,
        .identity = &n->identity,
        .saved = sim_store_load(n->store),
        .tun_name = "p2pvpn0",
        .mtu = 1420,
        .udp_port = n->port,
        .has_udp6 = true,
        .wall_us = WALL_S * UINT64_C(1000000) + now / 1000 + (uint64_t)n->skew_us,
    };
    snprintf(cfg.hostname, sizeof(cfg.hostname), "%s", n->name);
    int r = pv_engine_new(&n->engine, &cfg, now);
    assert(r == PV_OK);
    r = pv_fp_worker_new(&n->worker);
    assert(r == PV_OK);
    (void)r;
    sim_node_links_changed(n);
}

static void drop_daemon(struct sim_node *n)
{
    n->engine = pv_engine_free(n->engine);
    n->worker = pv_fp_worker_free(n->worker);
    pv_fp_snapshot_free(n->snap);
    n->snap = NULL;
    n->n_replies = 0;
    for (size_t i = 0; i < n->n_streams; i++)
        forget_stream(&n->streams[i]);
    n->n_streams = 0;
    iface(n, NULL);
}

void sim_node_kill(struct sim_node *n)
{
    drop_daemon(n);
    sim_net_power(n->net, n->host, false);
}

void sim_node_stop(struct sim_node *n)
{
    pv_engine_shutdown(n->engine, now_of(n));
    pump(n);
    for (size_t i = 0; i < n->n_streams; i++) {
        if (n->streams[i].open && n->streams[i].kind != PV_STREAM_CTL)
            sim_net_close(n->net, n->streams[i].wire);
    }
    drop_daemon(n);
    sim_net_timer(n->net, n->host, PV_NEVER);
}

bool sim_node_runs(const struct sim_node *n)
{
    return n->engine != NULL;
}

struct sim_node *sim_node_new(struct sim_net *net, unsigned host, const char *name, uint16_t port)
{
    struct sim_node *n = calloc(1, sizeof(*n));
    assert(n != NULL);
    n->net = net;
    n->host = host;
    n->port = port;
    snprintf(n->name, sizeof(n->name), "%s", name);
    n->gen.state = pv_natrng_u64(sim_net_rng(net));
    n->rng = sim_rng(&n->gen);
    n->log = (struct pv_log){.level = getenv("PV_SIM_LOG") != NULL ? PV_LOG_DEBUG : PV_LOG_ERROR,
                             .sink = log_line,
                             .ctx = n};
    n->skew_us = (int64_t)pv_natrng_below(&n->gen, 2 * SKEW_MS * 1000) - SKEW_MS * 1000;
    uint8_t seed[PV_SIGN_SEED_LEN];
    pv_rng_fill(&n->rng, seed, sizeof(seed));
    pv_sign_keypair(seed, n->identity.sign_sk, n->identity.sign_pk);
    pv_dh_keypair(&n->rng, n->identity.dh_sk, n->identity.dh_pk);
    int r = sim_store_new(&n->store);
    assert(r == PV_OK);
    (void)r;
    sim_node_start(n);
    return n;
}

struct sim_node *sim_node_free(struct sim_node *n)
{
    if (n == NULL)
        return NULL;
    if (n->engine != NULL)
        drop_daemon(n);
    for (size_t i = 0; i < n->n_lines; i++)
        free(n->lines[i]);
    sim_store_free(n->store);
    memstore_done(&n->chat);
    free(n);
    return NULL;
}

/* ---- what a test does and sees ---- */

const char *sim_node_name(const struct sim_node *n)
{
    return n->name;
}

unsigned sim_node_host(const struct sim_node *n)
{
    return n->host;
}

struct pv_addr sim_node_overlay(const struct sim_node *n, uint16_t family)
{
    for (size_t i = 0; i < n->n_overlay; i++) {
        if (n->overlay[i].family == family)
            return n->overlay[i];
    }
    return (struct pv_addr){.family = PV_AF_NONE};
}

void sim_node_set_disk_full(struct sim_node *n, bool full)
{
    sim_store_set_full(n->store, full);
}

unsigned sim_node_ask(struct sim_node *n, const char *fields)
{
    char line[8192];
    struct pv_stream_peer who = {.uid = 0, .may_change = true};
    uint32_t sid = 0;
    unsigned id = ++n->n_asked;
    int len = snprintf(line, sizeof(line), "{\"id\":%u,%s}\n", id, fields);
    assert(len > 0 && len < (int)sizeof(line));
    pv_ns now = now_of(n);
    int r = pv_engine_stream_accepted(n->engine, PV_STREAM_CTL, &who, now, &sid);
    assert(r == PV_OK);
    (void)r;
    add_stream(n, sid, PV_STREAM_CTL)->ask = id;
    pv_engine_stream_bytes(n->engine, sid, pv_view(line, (size_t)len), now);
    pump(n);
    return id;
}

const char *sim_node_answer(const struct sim_node *n, unsigned id)
{
    char begin[32];
    snprintf(begin, sizeof(begin), "{\"id\":%u,\"ok\":", id);
    for (size_t i = 0; i < n->n_lines; i++) {
        if (strncmp(n->lines[i], begin, strlen(begin)) == 0)
            return n->lines[i];
    }
    return NULL;
}

size_t sim_node_lines(const struct sim_node *n)
{
    return n->n_lines;
}

const char *sim_node_line(const struct sim_node *n, size_t i)
{
    return n->lines[i];
}

bool sim_node_ping(struct sim_node *n, const struct pv_addr *to, size_t size)
{
    static const uint8_t zeros[1400];
    uint8_t buf[1500];
    struct pv_addr from = sim_node_overlay(n, to->family);
    assert(size <= sizeof(zeros));
    if (from.family == PV_AF_NONE || n->engine == NULL)
        return false;
    size_t len = pv_natpkt_echo(buf, sizeof(buf), &from, to, PING_ID << 16 | n->ping_seq++,
                                pv_view(zeros, size));
    n->pings.sent++;
    from_tun(n, buf, len, now_of(n));
    pump(n);
    return true;
}

struct sim_pings sim_node_pings(const struct sim_node *n)
{
    return n->pings;
}
