/* SPDX-License-Identifier: MIT */
/* datagrams.c - one socket at the gate, one for each sender and member. */
#include "ctl/forward/datagrams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/forward/refused.h"
#include "proto/local/proxy.h"
#include "sys/net/sockaddr.h"

enum {
    BURST = 32, /* ours: datagrams of one socket before others have their turn */
};

/* A datagram that has come to the gate. */
struct came {
    struct pv_addr from;
    struct pv_view data;
};

struct flow {
    struct pv_datagrams *all;
    struct pv_addr from; /* the program */
    struct pv_addr to;   /* the member */
    char host[PV_PROXY_HOST_BUF];
    uint16_t port;
    int fd; /* -1: the place is free */
    struct pv_watch *watch;
    pv_ns last;
};

struct pv_datagrams {
    struct pv_datagrams_config cfg;
    struct pv_watch *gate;
    struct flow *flow;
    size_t n; /* of cfg.max that have been used */
    struct pv_refused refused;
    bool told_refused; /* the user knows that nobody listens there */
};

static void end_flow(struct flow *f)
{
    f->watch = pv_watch_free(f->watch);
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

/* --- answers ------------------------------------------------------------------------------- */

/* That nobody listens there a program hears of its own socket only, and so not at all: no user may
 * send the message of ICMP that would say it. So the user is told. */
static void tell_refused(const struct flow *f)
{
    struct pv_datagrams *d = f->all;
    if (d->cfg.outside != NULL)
        pv_outside_fail(d->cfg.outside);
    else if (!d->told_refused)
        pv_cli_note(d->cfg.overlay->cli, "%s port %u: no program takes datagrams there", f->host,
                    f->port);
    d->told_refused = true;
}

static void on_answer(void *ctx, unsigned ready, pv_ns now)
{
    struct flow *f = ctx;
    const struct pv_datagrams_config *cfg = &f->all->cfg;
    struct sockaddr_storage ss;
    socklen_t len = pv_sockaddr_from(&f->from, &ss);
    size_t head = cfg->host == NULL ? pv_proxy_udp_head(&f->to, cfg->buf) : 0;
    for (int i = 0; i < BURST; i++) {
        ssize_t n = recv(f->fd, cfg->buf + head, PV_DATAGRAM_BUF - head, 0);
        if (n < 0 && errno == ECONNREFUSED) {
            tell_refused(f);
            continue;
        }
        if (n < 0)
            return;
        f->last = now;
        if (cfg->gate->members || pv_gate_judge(cfg->gate, &f->from) == PV_OK)
            (void)!sendto(cfg->gate->fd, cfg->buf, head + (size_t)n, 0, (struct sockaddr *)&ss,
                          len);
    }
}

/* --- what is sent -------------------------------------------------------------------------- */

static struct flow *place_for(struct pv_datagrams *d)
{
    struct flow *oldest = d->flow;
    for (size_t i = 0; i < d->n; i++) {
        if (d->flow[i].fd < 0)
            return &d->flow[i];
        if (d->flow[i].last < oldest->last)
            oldest = &d->flow[i];
    }
    if (d->n < d->cfg.max)
        return &d->flow[d->n++];
    end_flow(oldest);
    return oldest;
}

/* A socket to a member. False: the user has been told why not. */
static bool open_member(struct pv_overlay *o, const char *host, uint16_t port,
                        struct pv_addr *ret_to, int *ret_fd)
{
    if (pv_overlay_find(o, host, port, ret_to) != 0)
        return false;
    int r = pv_overlay_udp(o, ret_to, ret_fd);
    if (r < 0)
        (void)pv_overlay_complain(o, host, port, r);
    return r == PV_OK;
}

static struct flow *begin_flow(struct pv_datagrams *d, const struct pv_addr *from, const char *host,
                               uint16_t port, pv_ns now)
{
    struct pv_addr to = {.family = PV_AF_NONE};
    int fd = -1;
    if (d->cfg.gate->members && pv_gate_judge(d->cfg.gate, from) < 0)
        return NULL;
    if (d->cfg.outside == NULL ? !open_member(d->cfg.overlay, host, port, &to, &fd)
                               : pv_outside_udp(d->cfg.outside, now, &fd) < 0)
        return NULL;
    struct flow *f = place_for(d);
    *f = (struct flow){.all = d, .from = *from, .to = to, .port = port, .fd = fd};
    snprintf(f->host, sizeof(f->host), "%s", host);
    if (pv_watch_new(&f->watch, d->cfg.loop, fd, PV_LOOP_READ, on_answer, f) == PV_OK)
        return f;
    end_flow(f);
    return NULL;
}

static void pass_on(struct pv_datagrams *d, const struct pv_addr *from, struct pv_view data,
                    const char *host, uint16_t port, pv_ns now)
{
    struct flow *f = NULL;
    for (size_t i = 0; i < d->n && f == NULL; i++) {
        struct flow *g = &d->flow[i];
        if (g->fd >= 0 && g->port == port && pv_addr_equal(&g->from, from) &&
            strcmp(g->host, host) == 0)
            f = g;
    }
    if (f == NULL)
        f = begin_flow(d, from, host, port, now);
    if (f == NULL)
        return;
    f->last = now;
    (void)!send(f->fd, data.ptr, data.len, 0); /* lost, as datagrams are */
}

/* One that came in; status: what the gate said of its sender when it had come. */
static void take(struct pv_datagrams *d, const struct came *c, int status, pv_ns now)
{
    struct pv_proxy_target target;
    struct pv_view data = c->data;
    if (status < 0) {
        pv_refused_note(&d->refused, d->cfg.overlay->cli, status);
    } else if (d->cfg.host != NULL) {
        pass_on(d, &c->from, data, d->cfg.host, d->cfg.port, now);
    } else if (pv_proxy_udp_parse(data, &target, &data) == PV_OK) {
        pass_on(d, &c->from, data, target.host, target.port, now);
    }
}

static size_t receive(const struct pv_datagrams *d, struct came came[static BURST])
{
    size_t n = 0, used = 0;
    for (; n < BURST && used + PV_DATAGRAM_BUF <= PV_DATAGRAMS_BUF; n++) {
        struct sockaddr_storage ss = {0};
        socklen_t len = sizeof(ss);
        ssize_t got = recvfrom(d->cfg.gate->fd, d->cfg.buf + used, PV_DATAGRAM_BUF, 0,
                               (struct sockaddr *)&ss, &len);
        if (got < 0)
            break;
        came[n].from = pv_sockaddr_to(&ss);
        came[n].data = pv_view(d->cfg.buf + used, (size_t)got);
        used += (size_t)got;
    }
    return n;
}

/* To ask the kernel which user a sender belongs to costs more than a datagram: this asks once for
 * several datagrams of one sender that come together. */
static void on_gate(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_datagrams *d = ctx;
    struct came came[BURST];
    const size_t n = receive(d, came);
    int status = PV_OK;
    for (size_t i = 0; i < n; i++) {
        if (!d->cfg.gate->members && (i == 0 || !pv_addr_equal(&came[i].from, &came[i - 1].from)))
            status = pv_gate_judge(d->cfg.gate, &came[i].from);
        take(d, &came[i], status, now);
    }
}

/* --- life ---------------------------------------------------------------------------------- */

int pv_datagrams_new(struct pv_datagrams **ret_datagrams, const struct pv_datagrams_config *cfg)
{
    struct pv_datagrams *d = calloc(1, sizeof(*d));
    struct flow *flow = calloc(cfg->max, sizeof(*flow));
    if (d != NULL && flow != NULL) {
        *d = (struct pv_datagrams){.cfg = *cfg, .flow = flow, .refused = {.what = "datagrams"}};
        if (pv_watch_new(&d->gate, cfg->loop, cfg->gate->fd, PV_LOOP_READ, on_gate, d) == PV_OK) {
            *ret_datagrams = d;
            return PV_OK;
        }
    }
    free(flow);
    free(d);
    return PV_ERR_NOMEM;
}

void pv_datagrams_end_all(struct pv_datagrams *d)
{
    for (size_t i = 0; i < d->n; i++)
        end_flow(&d->flow[i]);
}

void pv_datagrams_handle_timeout(struct pv_datagrams *d, pv_ns now)
{
    for (size_t i = 0; i < d->n; i++) {
        if (d->flow[i].fd >= 0 && now - d->flow[i].last >= PV_DATAGRAMS_IDLE)
            end_flow(&d->flow[i]);
    }
}

struct pv_datagrams *pv_datagrams_free(struct pv_datagrams *d)
{
    if (d != NULL) {
        pv_refused_sum_up(&d->refused, d->cfg.overlay->cli);
        pv_datagrams_end_all(d);
        pv_watch_free(d->gate);
        free(d->flow);
        free(d);
    }
    return NULL;
}
