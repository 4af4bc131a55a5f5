/* SPDX-License-Identifier: MIT */
/* Jobs and streams of a simulated node. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/names.h"
#include "chat/store/store_chat.h"
#include "sim_node_i.h"
#include "tests/natcore/natcore_pkt.h"

enum {
    MAX_SYNS = 5, /* at 0, 1, 3, 7, 15 s, as TCP repeats its SYN */
};

/* --- jobs ---------------------------------------------------------------------------------- */

static bool is_stored(const struct sim_job *j)
{
    return sim_store_serves(j->job);
}

/* One thread does what is stored, another what the helper does, each in the order of the wishes. */
static bool is_behind(const struct sim_job *j, const struct sim_job *before)
{
    return is_stored(j) ? is_stored(before)
                        : j->job->kind == PV_JOB_NETPLAN && before->job->kind == PV_JOB_NETPLAN;
}

static pv_ns due_of(struct sim_node *n, const struct sim_job *j)
{
    pv_ns due = sim_node_now(n);
    if (j->job->kind == PV_JOB_IFACE_UP)
        return due + n->iface_delay;
    if (n->job_delay > 0)
        due += pv_natrng_u64(&n->gen) % n->job_delay;
    for (size_t i = 0; i < n->n_jobs; i++) {
        if (is_behind(j, &n->jobs[i]) && n->jobs[i].due > due)
            due = n->jobs[i].due;
    }
    return due;
}

static void queue_job(struct sim_node *n, struct sim_job j)
{
    if (n->n_jobs == SIM_MAX_JOBS)
        abort();
    pv_ns due = j.due = due_of(n, &j);
    size_t at = n->n_jobs;
    while (at > 0 && n->jobs[at - 1].due > due)
        at--;
    memmove(n->jobs + at + 1, n->jobs + at, (n->n_jobs - at) * sizeof(n->jobs[0]));
    n->jobs[at] = j;
    n->n_jobs++;
}

void sim_node_take_job(struct sim_node *n, struct pv_job *job)
{
    if (job->kind == PV_JOB_IFACE_UP && !n->tun)
        n->iface_from = sim_node_now(n);
    queue_job(n, (struct sim_job){.job = job});
}

static void set_error(struct pv_job_result *res, int status, const char *text)
{
    res->status = status;
    snprintf(res->error, sizeof(res->error), "%s", text);
}

static void iface_up(struct sim_node *n, const struct pv_job_iface *iface,
                     struct pv_job_result *res)
{
    if (n->iface_broken) {
        set_error(res, PV_ERR_REFUSED, "interface: not allowed: run p2pvpnd as root");
        return;
    }
    for (size_t i = 0; i < n->n_ips; i++)
        sim_net_del_addr(n->net, n->host, &n->ips[i]);
    n->n_ips = 0;
    for (size_t i = 0; i < iface->n_addrs && n->n_ips < PV_ARRAY_LEN(n->ips); i++) {
        struct pv_addr ip = iface->addrs[i].base;
        ip.port = 0;
        n->ips[n->n_ips++] = ip;
        sim_net_add_overlay(n->net, n->host, &ip);
    }
    n->tun = true;
}

static void iface_down(struct sim_node *n)
{
    for (size_t i = 0; i < n->n_ips; i++)
        sim_net_del_addr(n->net, n->host, &n->ips[i]);
    n->n_ips = 0;
    n->tun = false;
}

/* A reader may come at any moment: what is written is whole. */
static void take_names(const struct pv_job_names *file)
{
    struct pv_names names;
    if (file->bytes != NULL && (pv_names_open(pv_view(file->bytes, file->len), &names) != PV_OK ||
                                pv_names_check(&names) != PV_OK || names.n == 0))
        abort();
}

/* As the store does it: what a failed operation did goes back. */
static int run_chat(struct pv_chat_store *store, const struct pv_chatop *op,
                    struct pv_chatop_result *ret)
{
    struct sim_node *n = store->self;
    struct pv_chatop now = *op;
    *ret = (struct pv_chatop_result){.msgs = NULL};
    if (n->disk_full || sim_fault(SIM_FAULT_STORE)) {
        snprintf(store->error, sizeof(store->error), "store: disk full: free some space");
        return -ENOSPC;
    }
    now.terms = (struct pv_chatop_terms){.now_s = sim_node_wall_us(n) / 1000000};
    if (sqlite3_exec(n->chat, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        abort();
    int r = pv_store_chat_run(n->chat, &now, ret);
    if (sqlite3_exec(n->chat, r < 0 ? "ROLLBACK" : "COMMIT", NULL, NULL, NULL) != SQLITE_OK ||
        r == -EIO)
        abort();
    return r;
}

static int settle_chat(struct pv_chat_store *store)
{
    return PV_OK;
}

struct pv_chat_store *sim_node_chat_store(struct sim_node *n)
{
    n->chat_store = (struct pv_chat_store){.self = n, .run = run_chat, .settle = settle_chat};
    return &n->chat_store;
}

static void resolve(struct sim_node *n, const struct pv_job *job, struct pv_job_result *res)
{
    struct pv_addr named[2 * SIM_NAME_ADDRS];
    size_t n_named = sim_net_lookup(n->net, n->host, job->u.resolve.host, named);
    if (n_named == 0) {
        res->status = pv_addr_parse_ip(job->u.resolve.host, &named[0]);
        n_named = res->status == PV_OK ? 1 : 0;
    }
    for (; res->n_addrs < n_named; res->n_addrs++) {
        res->addrs[res->n_addrs] = named[res->n_addrs];
        res->addrs[res->n_addrs].port = job->u.resolve.port;
    }
}

static void do_job(struct sim_node *n, struct pv_job *job, struct pv_job_result *res)
{
    *res = (struct pv_job_result){.id = job->id, .kind = job->kind};
    switch (job->kind) {
    case PV_JOB_RESOLVE:
        resolve(n, job, res);
        break;
    case PV_JOB_IFACE_UP:
        iface_up(n, job->u.iface, res);
        break;
    case PV_JOB_IFACE_DOWN:
        iface_down(n);
        break;
    case PV_JOB_NETPLAN: /* the simulator's hosts have no routing table: it notes what was wanted */
        n->netplan = *job->u.netplan;
        break;
    case PV_JOB_HOSTKEYS: /* there is no sshd */
        break;
    case PV_JOB_PORTMAP: /* no router here speaks NAT-PMP or UPnP */
        res->portmap.status = PV_ERR_TIMEOUT;
        break;
    case PV_JOB_NAMES:
        take_names(&job->u.names);
        break;
    default:
        sim_store_run(n->store, job, &n->rng, res);
        break;
    }
}

bool sim_node_run_jobs(struct sim_node *n)
{
    bool any = false;
    while (n->n_jobs > 0 && n->jobs[0].due <= sim_node_now(n)) {
        struct pv_job_result res;
        const struct sim_job first = n->jobs[0];
        struct pv_job *job = first.job;
        memmove(n->jobs, n->jobs + 1, --n->n_jobs * sizeof(n->jobs[0]));
        any = true;
        do_job(n, job, &res);
        bool is_iface = job->kind == PV_JOB_IFACE_UP;
        pv_job_free(job);
        pv_engine_handle_job(n->engine, &res, sim_node_now(n));
        if (is_iface)
            sim_node_hear(n);
    }
    return any;
}

void sim_node_lose_jobs(struct sim_node *n, bool some_done)
{
    size_t done =
        some_done && n->n_jobs > 0 ? pv_natrng_below(&n->gen, (uint32_t)n->n_jobs + 1) : 0;
    for (size_t i = 0; i < n->n_jobs; i++) {
        struct pv_job_result res;
        const struct sim_job *j = &n->jobs[i];
        if (i < done && is_stored(j))
            do_job(n, j->job, &res);
        pv_job_free(j->job);
    }
    n->n_jobs = 0;
    sim_node_forget_unheard(n);
}

pv_ns sim_node_io_timeout(const struct sim_node *n)
{
    pv_ns next = n->n_jobs > 0 ? n->jobs[0].due : PV_NEVER;
    for (size_t i = 0; i < n->n_links; i++) {
        if (n->links[i].state == SIM_LINK_SYN)
            next = pv_min_ns(next, n->links[i].syn_at);
    }
    return next;
}

/* --- streams ------------------------------------------------------------------------------- */

static struct sim_link *link_by_sid(struct sim_node *n, uint32_t sid)
{
    for (size_t i = 0; i < n->n_links; i++) {
        if (n->links[i].sid == sid)
            return &n->links[i];
    }
    return NULL;
}

static struct sim_link *link_by_stream(struct sim_node *n, uint32_t stream)
{
    for (size_t i = 0; i < n->n_links; i++) {
        if (n->links[i].state != SIM_LINK_SYN && n->links[i].stream == stream)
            return &n->links[i];
    }
    return NULL;
}

static struct sim_link *add_link(struct sim_node *n, uint32_t sid, enum pv_stream_kind kind)
{
    if (n->n_links == SIM_MAX_LINKS)
        abort();
    struct sim_link *l = &n->links[n->n_links++];
    *l = (struct sim_link){.sid = sid, .kind = kind};
    return l;
}

static void drop_link(struct sim_node *n, struct sim_link *l)
{
    *l = n->links[--n->n_links];
}

static struct sim_ask *ask_by_sid(struct sim_node *n, uint32_t sid)
{
    for (unsigned i = 0; i < n->n_asks; i++) {
        if (n->asks[i].open && n->asks[i].sid == sid)
            return &n->asks[i];
    }
    return NULL;
}

static void send_syn(struct sim_node *n, struct sim_link *l)
{
    uint8_t id[4], buf[128];
    struct pv_addr src = l->local, dst = l->remote;
    pv_store_be32(id, l->sid);
    src.port = PV_CHAT_PORT;
    dst.port = SIM_PORT_ECHO;
    l->syn_at = sim_node_now(n) + (PV_S(1) << l->syns++);
    sim_node_tun_in(n, buf, pv_natpkt_udp(buf, sizeof(buf), &src, &dst, pv_view(id, sizeof(id))));
}

void sim_node_run_syns(struct sim_node *n)
{
    for (size_t i = 0; i < n->n_links;) {
        struct sim_link *l = &n->links[i];
        if (l->state != SIM_LINK_SYN || l->syn_at > sim_node_now(n)) {
            i++;
        } else if (l->syns < MAX_SYNS) {
            send_syn(n, l);
            i++;
        } else {
            uint32_t sid = l->sid;
            drop_link(n, l);
            pv_engine_stream_closed(n->engine, sid, PV_ERR_TIMEOUT, sim_node_now(n));
        }
    }
}

void sim_node_syn_answered(struct sim_node *n, uint32_t sid, bool there)
{
    struct sim_link *l = link_by_sid(n, sid);
    if (l == NULL || l->state != SIM_LINK_SYN)
        return;
    if (there) {
        l->state = SIM_LINK_OPENING;
        l->stream = sim_net_connect(n->net, n->host, &l->remote);
        return;
    }
    drop_link(n, l);
    pv_engine_stream_closed(n->engine, sid, PV_ERR_REFUSED, sim_node_now(n));
}

static void write_out(struct sim_node *n, struct sim_link *l)
{
    struct pv_view out;
    while (l->state == SIM_LINK_OPEN && (out = pv_engine_stream_out(n->engine, l->sid)).len > 0) {
        size_t taken = sim_net_write(n->net, l->stream, out);
        if (taken > 0)
            pv_engine_stream_wrote(n->engine, l->sid, taken, sim_node_now(n));
        if (taken < out.len)
            return; /* the rest after SIM_WRITABLE */
    }
}

static void close_ask(struct sim_node *n, struct sim_ask *ask)
{
    if (!ask->open)
        return;
    ask->open = false;
    pv_engine_stream_closed(n->engine, ask->sid, PV_ERR_CLOSED, sim_node_now(n));
}

static void take_line(struct sim_node *n, struct sim_ask *ask, const char *text, size_t len)
{
    char *line = sim_calloc(1, len + 1);
    memcpy(line, text, len);
    n->lines = sim_realloc(n->lines, (n->n_lines + 1) * sizeof(char *));
    n->lines[n->n_lines++] = line;
    if (strstr(line, "\"ok\":") != NULL && ask->answer == NULL)
        ask->answer = line;
}

static void read_ask(struct sim_node *n, struct sim_ask *ask)
{
    struct pv_view out;
    while (ask->open && (out = pv_engine_stream_out(n->engine, ask->sid)).len > 0) {
        ask->text = sim_realloc(ask->text, ask->n_text + out.len);
        memcpy(ask->text + ask->n_text, out.ptr, out.len);
        ask->n_text += out.len;
        pv_engine_stream_wrote(n->engine, ask->sid, out.len, sim_node_now(n));
        char *end;
        while (ask->n_text > 0 && (end = memchr(ask->text, '\n', ask->n_text)) != NULL) {
            size_t len = (size_t)(end - ask->text);
            take_line(n, ask, ask->text, len);
            memmove(ask->text, end + 1, ask->n_text -= len + 1);
        }
    }
    if (ask->answer != NULL)
        close_ask(n, ask);
}

void sim_node_writable(struct sim_node *n, uint32_t sid)
{
    struct sim_link *l = link_by_sid(n, sid);
    struct sim_ask *ask = ask_by_sid(n, sid);
    if (l != NULL)
        write_out(n, l);
    if (ask != NULL)
        read_ask(n, ask);
}

static void open_link(struct sim_node *n, const struct pv_stream_op *op)
{
    struct sim_link *l = add_link(n, op->sid, op->kind);
    l->remote = op->addr;
    l->local = op->local;
    if (op->kind == PV_STREAM_COORD || op->kind == PV_STREAM_SCOUT) {
        l->state = SIM_LINK_OPENING;
        l->stream = sim_net_connect(n->net, n->host, &op->addr);
        if (op->kind == PV_STREAM_COORD)
            sim_net_set_patience(n->net, l->stream, PV_STREAM_UNACKED);
    } else {
        send_syn(n, l);
    }
}

void sim_node_stream_op(struct sim_node *n, const struct pv_stream_op *op)
{
    struct sim_link *l = link_by_sid(n, op->sid);
    struct sim_ask *ask = ask_by_sid(n, op->sid);
    if (op->type == PV_STREAM_OPEN) {
        open_link(n, op);
    } else if (l != NULL) {
        write_out(n, l);
        if (l->state != SIM_LINK_SYN)
            sim_net_close(n->net, l->stream);
        drop_link(n, l);
    } else if (ask != NULL) {
        read_ask(n, ask);
        ask->open = false;
    }
}

static void accept_link(struct sim_node *n, const struct sim_event *ev)
{
    struct pv_stream_peer who = {.remote = ev->remote, .local = ev->local};
    uint32_t sid = 0;
    if (!n->tun ||
        pv_engine_stream_accepted(n->engine, PV_STREAM_APP1, &who, ev->now, &sid) != PV_OK) {
        sim_net_close(n->net, ev->stream);
        return;
    }
    struct sim_link *l = add_link(n, sid, PV_STREAM_APP1);
    l->state = SIM_LINK_OPEN;
    l->stream = ev->stream;
}

void sim_node_stream_event(struct sim_node *n, const struct sim_event *ev)
{
    struct sim_link *l = link_by_stream(n, ev->stream);
    if (ev->kind == SIM_ACCEPTED) {
        accept_link(n, ev);
    } else if (l == NULL) {
        return;
    } else if (ev->kind == SIM_CONNECTED) {
        l->state = SIM_LINK_OPEN;
        pv_engine_stream_connected(n->engine, l->sid, ev->now);
    } else if (ev->kind == SIM_WRITABLE) {
        write_out(n, l);
    } else if (ev->kind == SIM_BYTES) {
        pv_engine_stream_bytes(n->engine, l->sid, ev->data, ev->now);
    } else if (ev->kind == SIM_CLOSED) {
        uint32_t sid = l->sid;
        drop_link(n, l);
        pv_engine_stream_closed(n->engine, sid, ev->status, ev->now);
    }
}
