/* SPDX-License-Identifier: MIT */
/* datagrams.c - one socket at the gate, one for each sender inside. */
#include "ctl/forward/datagrams.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/forward/serving.h"
#include "sys/net/sockaddr.h"

enum {
    DATAGRAM_MAX = 65535, /* RFC 768 */
    BURST = 32,           /* ours: datagrams of one socket before others have their turn */
};

struct senders;

struct sender {
    struct senders *all;
    struct pv_addr from;
    int fd; /* -1: the place is free */
    struct pv_watch *watch;
    pv_ns last;
};

struct senders {
    const struct pv_links_config *cfg;
    struct pv_serving serving;
    struct pv_watch *gate;
    struct sender *sender; /* n of PV_DATAGRAMS_MAX have been used */
    size_t n;
    pv_ns look_at;
    bool told_full, told_other;
    uint8_t buf[DATAGRAM_MAX];
};

static void end_sender(struct sender *s)
{
    s->watch = pv_watch_free(s->watch);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

static void on_answer(void *ctx, unsigned ready, pv_ns now)
{
    struct sender *s = ctx;
    struct senders *x = s->all;
    struct sockaddr_storage ss;
    socklen_t len = pv_sockaddr_from(&s->from, &ss);
    (void)ready;
    for (int i = 0; i < BURST; i++) {
        ssize_t n = recv(s->fd, x->buf, sizeof(x->buf), 0);
        /* Nobody listens there: a program hears that of its own socket only, and so not at all. */
        if (n < 0 && errno == ECONNREFUSED)
            continue;
        if (n < 0)
            return;
        s->last = now;
        if (pv_gate_lets_in(x->cfg->gate, &s->from))
            (void)!sendto(x->cfg->gate->fd, x->buf, (size_t)n, 0, (struct sockaddr *)&ss, len);
    }
}

/* NULL: none is free, told to the user. */
static struct sender *place_for(struct senders *x)
{
    for (size_t i = 0; i < x->n; i++) {
        if (x->sender[i].fd < 0)
            return &x->sender[i];
    }
    if (x->n < PV_DATAGRAMS_MAX)
        return &x->sender[x->n++];
    if (!x->told_full)
        pv_cli_note(x->cfg->cli, "1,000 programs send: what others send is dropped until one of "
                                 "them was silent for 5 minutes");
    x->told_full = true;
    return NULL;
}

static struct sender *begin_sender(struct senders *x, const struct pv_addr *from)
{
    const struct pv_links_config *cfg = x->cfg;
    struct pv_addr to;
    int fd = -1;
    if (pv_overlay_find(cfg->overlay, cfg->host, cfg->port, &to) != 0)
        return NULL;
    struct sender *s = place_for(x);
    if (s == NULL)
        return NULL;
    *s = (struct sender){.all = x, .from = *from, .fd = -1};
    int r = pv_overlay_udp(cfg->overlay, &to, &fd);
    s->fd = fd;
    if (r == PV_OK)
        r = pv_watch_new(&s->watch, x->serving.loop, fd, PV_LOOP_READ, on_answer, s);
    if (r == PV_OK)
        return s;
    (void)pv_overlay_complain(cfg->overlay, cfg->host, cfg->port, r);
    end_sender(s);
    return NULL;
}

static struct sender *find_sender(struct senders *x, const struct pv_addr *from)
{
    for (size_t i = 0; i < x->n; i++) {
        if (x->sender[i].fd >= 0 && pv_addr_equal(&x->sender[i].from, from))
            return &x->sender[i];
    }
    return begin_sender(x, from);
}

static void on_gate(void *ctx, unsigned ready, pv_ns now)
{
    struct senders *x = ctx;
    (void)ready;
    for (int i = 0; i < BURST; i++) {
        struct sockaddr_storage ss = {0};
        socklen_t len = sizeof(ss);
        ssize_t n =
            recvfrom(x->cfg->gate->fd, x->buf, sizeof(x->buf), 0, (struct sockaddr *)&ss, &len);
        if (n < 0)
            return;
        const struct pv_addr from = pv_sockaddr_to(&ss);
        if (!pv_gate_lets_in(x->cfg->gate, &from)) {
            if (!x->told_other)
                pv_cli_note(x->cfg->cli, "datagrams of another user of this machine, or of a "
                                         "program that has ended, were dropped");
            x->told_other = true;
            continue;
        }
        struct sender *s = find_sender(x, &from);
        if (s != NULL) {
            s->last = now;
            (void)!send(s->fd, x->buf, (size_t)n, 0); /* lost, as datagrams are */
        }
    }
}

static void end_all(void *ctx)
{
    struct senders *x = ctx;
    for (size_t i = 0; i < x->n; i++)
        end_sender(&x->sender[i]);
}

static pv_ns on_turn(void *ctx, pv_ns now)
{
    struct senders *x = ctx;
    if (now < x->look_at)
        return x->look_at;
    x->look_at = now + PV_DATAGRAMS_IDLE / 10;
    for (size_t i = 0; i < x->n; i++) {
        if (x->sender[i].fd >= 0 && now - x->sender[i].last >= PV_DATAGRAMS_IDLE)
            end_sender(&x->sender[i]);
    }
    return x->look_at;
}

int pv_datagrams_run(const struct pv_links_config *cfg)
{
    struct senders *x = calloc(1, sizeof(*x));
    int r = PV_ERR_NOMEM;
    if (x != NULL) {
        x->cfg = cfg;
        x->sender = calloc(PV_DATAGRAMS_MAX, sizeof(*x->sender));
        x->serving = (struct pv_serving){.overlay = cfg->overlay,
                                         .turn = on_turn,
                                         .end_all = end_all,
                                         .ctx = x,
                                         .signal_fd = -1};
        r = x->sender == NULL ? PV_ERR_NOMEM : pv_serving_start(&x->serving);
        if (r == PV_OK)
            r = pv_watch_new(&x->gate, x->serving.loop, cfg->gate->fd, PV_LOOP_READ, on_gate, x);
        if (r == PV_OK)
            pv_serving_run(&x->serving);
        end_all(x);
        pv_watch_free(x->gate);
        pv_serving_end(&x->serving);
        free(x->sender);
        free(x);
    }
    return r == PV_OK ? 0 : pv_cli_fail(cfg->cli, PV_CTLAPI_FAILED, "start: %s", pv_strstatus(r));
}
