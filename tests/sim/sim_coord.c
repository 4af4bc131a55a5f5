/* SPDX-License-Identifier: MIT */
#include "sim_coord.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sign.h"

enum {
    MAX_CONNS = 4096,
    MAX_JOBS = 1024,
    WALL_S = 1800000000, /* Unix seconds at virtual time 0 */
};

struct conn {
    uint32_t stream;
    bool open;
    uint8_t *in; /* received while the core did not want bytes */
    size_t in_len;
};

struct waiting {
    struct pv_storeop *op;
    pv_ns due;
};

struct sim_coord {
    struct sim_net *net;
    unsigned host;
    struct pv_coord *core;
    struct pv_coord_config cfg;
    struct pv_natrng gen;
    struct pv_rng rng;
    struct pv_log log;
    uint8_t sk[PV_SIGN_SK_LEN];
    uint8_t pk[PV_SIGN_PK_LEN];
    uint8_t secret[PV_URL_SECRET_LEN];
    char stun[PV_ADDR_TEXT];
    const char *stun_list[1];
    char url[PV_URL_TEXT_BUF];
    struct conn conns[MAX_CONNS]; /* id of the core = index + 1 */
    size_t n_conns;
    struct pv_storeop **kept; /* the disk */
    size_t n_kept;
    struct waiting jobs[MAX_JOBS]; /* in order */
    size_t n_jobs;
    pv_ns store_delay;
};

static void log_line(void *ctx, enum pv_log_level level, const char *line)
{
    struct sim_coord *c = ctx;
    fprintf(stderr, "%.6f coordinator [%s] %s\n", (double)sim_net_now(c->net) / 1e9,
            pv_log_level_name(level), line);
}

/* ---- the store ---- */

static bool same_member(const struct pv_statement *st, const struct pv_storeop *op)
{
    return st->type == PV_ST_MEMBER && memcmp(st->signer, op->invite, PV_SIGN_PK_LEN) == 0;
}

/* The rules of PV_STOREOP_REGISTER. */
static void redeem(const struct sim_coord *c, const struct pv_storeop *op,
                   struct pv_storeop_result *res)
{
    uint8_t(*seen)[PV_SIGN_PK_LEN] = calloc(c->n_kept + 1, sizeof(*seen));
    size_t n = 0;
    assert(seen != NULL);
    for (size_t i = 0; i < c->n_kept; i++) {
        struct pv_statement st;
        if (c->kept[i]->kind != PV_STOREOP_REGISTER ||
            pv_statement_decode(c->kept[i]->rows[0].statement, &st) < 0 || !same_member(&st, op))
            continue;
        if (memcmp(st.u.member.node, op->node, PV_SIGN_PK_LEN) == 0) {
            if (st.u.member.serial < op->min_serial)
                continue;
            res->status = PV_ERR_EXISTS;
            memcpy(res->existing, st.hash, sizeof(res->existing));
            break;
        }
        size_t k = 0;
        while (k < n && memcmp(seen[k], st.u.member.node, PV_SIGN_PK_LEN) != 0)
            k++;
        if (k == n)
            memcpy(seen[n++], st.u.member.node, PV_SIGN_PK_LEN);
    }
    if (res->status == PV_OK && n >= op->uses)
        res->status = PV_ERR_EXPIRED;
    free(seen);
}

static void serve(struct sim_coord *c, struct pv_storeop *op, pv_ns now)
{
    struct pv_storeop_result res = {.id = op->id, .status = PV_OK};
    if (op->kind == PV_STOREOP_REGISTER)
        redeem(c, op, &res);
    if (res.status == PV_OK) {
        c->kept = reallocarray(c->kept, c->n_kept + 1, sizeof(struct pv_storeop *));
        assert(c->kept != NULL);
        c->kept[c->n_kept++] = op;
    }
    pv_coord_handle_job(c->core, &res, now);
    if (res.status != PV_OK)
        pv_storeop_free(op);
}

static bool run_jobs(struct sim_coord *c, pv_ns now)
{
    bool any = false;
    struct pv_storeop *op = NULL;
    while (pv_coord_poll_job(c->core, &op) == PV_OK) {
        assert(c->n_jobs < MAX_JOBS);
        c->jobs[c->n_jobs++] = (struct waiting){.op = op, .due = now + c->store_delay};
    }
    while (c->n_jobs > 0 && c->jobs[0].due <= now) {
        op = c->jobs[0].op;
        memmove(c->jobs, c->jobs + 1, --c->n_jobs * sizeof(c->jobs[0]));
        serve(c, op, now);
        any = true;
    }
    return any;
}

/* ---- connections ---- */

static struct conn *by_stream(struct sim_coord *c, uint32_t stream, uint64_t *ret_id)
{
    for (size_t i = 0; i < c->n_conns; i++) {
        if (c->conns[i].open && c->conns[i].stream == stream) {
            *ret_id = i + 1;
            return &c->conns[i];
        }
    }
    return NULL;
}

static void forget(struct conn *conn)
{
    free(conn->in);
    conn->in = NULL;
    conn->in_len = 0;
    conn->open = false;
}

static void feed(struct sim_coord *c, uint64_t id, struct conn *conn, pv_ns now)
{
    if (conn->in_len == 0 || !pv_coord_wants_bytes(c->core, id))
        return;
    uint8_t *bytes = conn->in;
    size_t len = conn->in_len;
    conn->in = NULL;
    conn->in_len = 0;
    pv_coord_handle_bytes(c->core, id, pv_view(bytes, len), now);
    free(bytes);
}

static bool run_ready(struct sim_coord *c, pv_ns now)
{
    struct pv_coord_ready ready;
    bool any = false;
    while (pv_coord_poll_ready(c->core, &ready, now) == PV_OK) {
        struct conn *conn = &c->conns[ready.id - 1];
        any = true;
        if (!conn->open)
            continue;
        if (ready.kind == PV_COORD_READY_CLOSE) {
            sim_net_close(c->net, conn->stream);
            forget(conn);
            continue;
        }
        struct pv_view out = pv_coord_out(c->core, ready.id);
        if (out.len > 0) {
            sim_net_write(c->net, conn->stream, out);
            pv_coord_wrote(c->core, ready.id, out.len, now);
        }
        feed(c, ready.id, conn, now);
    }
    return any;
}

static void pump(struct sim_coord *c)
{
    pv_ns now = sim_net_now(c->net);
    bool any = true;
    while (any) {
        any = run_jobs(c, now);
        any = run_ready(c, now) || any;
    }
    pv_ns next = pv_coord_next_timeout(c->core);
    if (c->n_jobs > 0)
        next = pv_min_ns(next, c->jobs[0].due);
    sim_net_timer(c->net, c->host, next);
}

static void accepted(struct sim_coord *c, const struct sim_event *e)
{
    assert(c->n_conns < MAX_CONNS);
    uint64_t id = c->n_conns + 1;
    if (pv_coord_accept(c->core, id, &e->remote, e->now) < 0) {
        sim_net_close(c->net, e->stream);
        return;
    }
    c->conns[c->n_conns++] = (struct conn){.stream = e->stream, .open = true};
}

static void bytes(struct sim_coord *c, const struct sim_event *e)
{
    uint64_t id = 0;
    struct conn *conn = by_stream(c, e->stream, &id);
    if (conn == NULL)
        return;
    conn->in = realloc(conn->in, conn->in_len + e->data.len);
    assert(conn->in != NULL);
    memcpy(conn->in + conn->in_len, e->data.ptr, e->data.len);
    conn->in_len += e->data.len;
    feed(c, id, conn, e->now);
}

static void datagram(struct sim_coord *c, const struct sim_event *e)
{
    uint8_t buf[PV_COORD_DATAGRAM_MAX];
    size_t len = 0;
    if (e->local.port == SIM_COORD_PORT &&
        pv_coord_handle_datagram(c->core, &e->remote, e->data, e->now, buf, &len) == PV_OK)
        sim_net_send(c->net, c->host, &e->local, &e->remote, 0, pv_view(buf, len));
}

void sim_coord_handle(struct sim_coord *c, const struct sim_event *e)
{
    uint64_t id = 0;
    struct conn *conn = NULL;
    if (c->core == NULL)
        return;
    pv_coord_set_wall(c->core, WALL_S * UINT64_C(1000000) + e->now / 1000, e->now);
    switch (e->kind) {
    case SIM_ACCEPTED:
        accepted(c, e);
        break;
    case SIM_BYTES:
        bytes(c, e);
        break;
    case SIM_CLOSED:
        conn = by_stream(c, e->stream, &id);
        if (conn != NULL) {
            pv_coord_closed(c->core, id, e->now);
            forget(conn);
        }
        break;
    case SIM_DATAGRAM:
        datagram(c, e);
        break;
    case SIM_TIMER:
        if (e->now >= pv_coord_next_timeout(c->core))
            pv_coord_handle_timeout(c->core, e->now);
        break;
    default:
        break;
    }
    pump(c);
}

/* ---- life ---- */

void sim_coord_start(struct sim_coord *c)
{
    pv_ns now = sim_net_now(c->net);
    sim_net_power(c->net, c->host, true);
    int r = pv_coord_new(&c->core, &c->cfg, &c->rng, &c->log);
    assert(r == PV_OK);
    for (size_t i = 0; i < c->n_kept; i++) {
        for (size_t k = 0; k < c->kept[i]->n_rows; k++) {
            r = pv_coord_load(c->core, &c->kept[i]->rows[k]);
            assert(r == PV_OK);
        }
    }
    (void)r;
    pv_coord_set_wall(c->core, WALL_S * UINT64_C(1000000) + now / 1000, now);
    pump(c);
}

void sim_coord_kill(struct sim_coord *c)
{
    c->core = pv_coord_free(c->core);
    for (size_t i = 0; i < c->n_conns; i++)
        forget(&c->conns[i]);
    for (size_t i = 0; i < c->n_jobs; i++)
        pv_storeop_free(c->jobs[i].op);
    c->n_jobs = 0;
    sim_net_power(c->net, c->host, false);
}

struct sim_coord *sim_coord_new(struct sim_net *net, const struct pv_addr *ip,
                                const struct pv_link_config *line)
{
    struct sim_coord *c = calloc(1, sizeof(*c));
    assert(c != NULL);
    c->net = net;
    c->host = sim_net_add_host(net, SIM_PUBLIC, line);
    sim_net_add_addr(net, c->host, ip);
    sim_net_listen(net, c->host, SIM_COORD_PORT);
    c->gen.state = pv_natrng_u64(sim_net_rng(net));
    c->rng = sim_rng(&c->gen);
    c->log = (struct pv_log){.level = getenv("PV_SIM_LOG") != NULL ? PV_LOG_DEBUG : PV_LOG_ERROR,
                             .sink = log_line,
                             .ctx = c};
    uint8_t seed[PV_SIGN_SEED_LEN];
    pv_rng_fill(&c->rng, seed, sizeof(seed));
    pv_sign_keypair(seed, c->sk, c->pk);
    pv_rng_fill(&c->rng, c->secret, sizeof(c->secret));

    struct pv_addr at = *ip;
    at.port = SIM_COORD_PORT;
    pv_addr_format(&at, c->stun);
    c->stun_list[0] = c->stun;
    c->cfg = (struct pv_coord_config){
        .sk = c->sk, .secret = c->secret, .stun = c->stun_list, .n_stun = 1};
    struct pv_url url = {.has_secret = true};
    int r = pv_hostport_parse(c->stun, strlen(c->stun), &url.addr);
    assert(r == PV_OK);
    memcpy(url.pk, c->pk, sizeof(url.pk));
    memcpy(url.secret, c->secret, sizeof(url.secret));
    r = pv_url_format(&url, c->url, sizeof(c->url));
    assert(r == PV_OK);
    (void)r;
    sim_coord_start(c);
    return c;
}

struct sim_coord *sim_coord_free(struct sim_coord *c)
{
    if (c == NULL)
        return NULL;
    if (c->core != NULL)
        sim_coord_kill(c);
    for (size_t i = 0; i < c->n_kept; i++)
        pv_storeop_free(c->kept[i]);
    free(c->kept);
    free(c);
    return NULL;
}

unsigned sim_coord_host(const struct sim_coord *c)
{
    return c->host;
}

struct pv_coord *sim_coord_core(struct sim_coord *c)
{
    return c->core;
}

const char *sim_coord_url(const struct sim_coord *c)
{
    return c->url;
}

void sim_coord_set_store_delay(struct sim_coord *c, pv_ns delay)
{
    c->store_delay = delay;
}
