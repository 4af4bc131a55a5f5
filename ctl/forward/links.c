/* SPDX-License-Identifier: MIT */
/* links.c - a loop around the gate, connections under way, and those that carry. */
#include "ctl/forward/links.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/forward/serving.h"
#include "ctl/forward/twoway.h"
#include "sys/net/stream.h"

#define CONNECT_TIME PV_S(30) /* ours, as p2pvpnctl waits for answers */
#define LOOK_EVERY   PV_S(10) /* ours: whether a member still takes what it is sent */
#define REST         PV_S(1)  /* ours: without descriptors, until the gate is looked at again */

enum {
    BUF = 256 * 1024, /* ours: more is not faster */
    STUCK = 5,        /* retransmissions one after the other: about 10 s of silence (RFC 6298) */
};

struct links;

struct link {
    struct links *all;
    struct link *next, *prev;
    int outer, inner; /* -1: not yet, or the twoway's */
    int carried;      /* the member's end, for looking at; -1: not yet */
    pv_ns until;      /* it has to be connected */
    bool stuck;       /* and the user knows */
    struct pv_watch *connecting;
    struct pv_twoway *two;
};

struct links {
    const struct pv_links_config *cfg;
    struct pv_serving serving;
    struct pv_watch *gate;
    uint8_t *buf;
    struct link *first;
    size_t n;
    pv_ns look_at, open_at; /* PV_NEVER: the gate is open */
    bool told_full, told_other;
};

/* --- one link ------------------------------------------------------------------------------ */

static void open_gate(struct links *x)
{
    x->open_at = PV_NEVER;
    pv_watch_set(x->gate, x->n < PV_LINKS_MAX ? PV_LOOP_READ : 0);
}

static void end_link(struct link *l)
{
    struct links *x = l->all;
    pv_watch_free(l->connecting);
    pv_twoway_free(l->two);
    if (l->outer >= 0)
        pv_twoway_break(l->outer);
    if (l->inner >= 0)
        close(l->inner);
    if (l->prev != NULL)
        l->prev->next = l->next;
    else
        x->first = l->next;
    if (l->next != NULL)
        l->next->prev = l->prev;
    x->n--;
    free(l);
    open_gate(x);
}

/* The ends of two programs do not need words; that the way between them ended does. */
static void on_done(void *ctx, int at, int status)
{
    struct link *l = ctx;
    const struct pv_links_config *cfg = l->all->cfg;
    if (at == 1 && (status == -ETIMEDOUT || status == -EHOSTUNREACH || status == -ENETUNREACH))
        pv_cli_note(cfg->cli,
                    "a connection to %.100s ended: %s: `p2pvpnctl why %.100s` says what stands in "
                    "the way",
                    cfg->host, pv_strstatus(status), cfg->host);
    end_link(l);
}

static void carry(struct link *l)
{
    struct links *x = l->all;
    const struct pv_twoway_config cfg = {
        .loop = x->serving.loop,
        .buf = x->buf,
        .cap = BUF,
        .end = {{.in = l->outer, .out = l->outer, .is_waited = true},
                {.in = l->inner, .out = l->inner, .is_waited = true}},
        .done = on_done,
        .ctx = l,
    };
    l->connecting = pv_watch_free(l->connecting);
    l->carried = l->inner;
    l->outer = l->inner = -1;
    if (pv_twoway_new(&l->two, &cfg) < 0) {
        (void)pv_cli_no_memory(x->cfg->cli);
        end_link(l);
    }
}

static void fail_link(struct link *l, int status)
{
    const struct pv_links_config *cfg = l->all->cfg;
    (void)pv_overlay_complain(cfg->overlay, cfg->host, cfg->port, status);
    end_link(l);
}

static void on_connected(void *ctx, unsigned ready, pv_ns now)
{
    struct link *l = ctx;
    (void)ready;
    (void)now;
    int r = pv_stream_connected(l->inner);
    if (r == PV_OK)
        carry(l);
    else if (r != PV_ERR_AGAIN)
        fail_link(l, r);
}

/* The program outside waits from here on: for the name, and for the member to take the connection.
 */
static void begin_link(struct links *x, int outer, pv_ns now)
{
    struct link *l = calloc(1, sizeof(*l));
    struct pv_addr to;
    if (l == NULL) {
        close(outer);
        (void)pv_cli_no_memory(x->cfg->cli);
        return;
    }
    *l = (struct link){.all = x,
                       .next = x->first,
                       .outer = outer,
                       .inner = -1,
                       .carried = -1,
                       .until = now + CONNECT_TIME};
    if (x->first != NULL)
        x->first->prev = l;
    x->first = l;
    x->n++;
    if (pv_overlay_find(x->cfg->overlay, x->cfg->host, x->cfg->port, &to) != 0) {
        end_link(l);
        return;
    }
    int r = pv_overlay_connect(x->cfg->overlay, &to, &l->inner);
    if (r == PV_OK)
        r = pv_watch_new(&l->connecting, x->serving.loop, l->inner, PV_LOOP_WRITE, on_connected, l);
    if (r < 0)
        fail_link(l, r);
}

/* --- the gate ------------------------------------------------------------------------------ */

static void close_gate(struct links *x, pv_ns until, const char *why)
{
    x->open_at = until;
    pv_watch_set(x->gate, 0);
    if (!x->told_full)
        pv_cli_note(x->cfg->cli, "%s: further connections wait until one ends", why);
    x->told_full = true;
}

/* Once, for whoever tries this tries it often. */
static void note_other(struct links *x, int status)
{
    if (!x->told_other)
        pv_cli_note(x->cfg->cli, "%s: it was closed",
                    status == PV_ERR_REFUSED
                        ? "another user of this machine connected"
                        : "a connection came of which the kernel does not say whose it is");
    x->told_other = true;
}

static void on_gate(void *ctx, unsigned ready, pv_ns now)
{
    struct links *x = ctx;
    int fd = -1, r = pv_gate_accept(x->cfg->gate, &fd);
    (void)ready;
    if (r == PV_OK)
        begin_link(x, fd, now);
    else if (r == PV_ERR_LIMIT)
        close_gate(x, now + REST, "this process has no descriptors left (ulimit -n)");
    else if (r != PV_ERR_AGAIN)
        note_other(x, r);
    if (x->n == PV_LINKS_MAX)
        close_gate(x, PV_NEVER, "1,000 connections are open");
}

/* --- time ---------------------------------------------------------------------------------- */

/* TCP waits a quarter of an hour before it gives up, and says nothing meanwhile. */
static void look_at_carried(struct link *l)
{
    const struct pv_links_config *cfg = l->all->cfg;
    struct tcp_info info;
    socklen_t len = sizeof(info);
    memset(&info, 0, sizeof(info));
    if (getsockopt(l->carried, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
        return;
    bool stuck = info.tcpi_backoff >= STUCK && info.tcpi_unacked > 0;
    if (stuck && !l->stuck)
        pv_cli_note(cfg->cli,
                    "%.100s does not answer on an open connection, which waits: `p2pvpnctl why "
                    "%.100s` says what stands in the way",
                    cfg->host, cfg->host);
    l->stuck = stuck;
}

static pv_ns on_turn(void *ctx, pv_ns now)
{
    struct links *x = ctx;
    if (now >= x->open_at)
        open_gate(x);
    if (now >= x->look_at) {
        x->look_at = now + LOOK_EVERY;
        for (struct link *l = x->first, *next; l != NULL; l = next) {
            next = l->next;
            if (l->carried >= 0)
                look_at_carried(l);
            else if (now >= l->until)
                fail_link(l, PV_ERR_TIMEOUT);
        }
    }
    if (x->n == 0)
        return x->open_at;
    return x->look_at < x->open_at ? x->look_at : x->open_at;
}

/* --- life ---------------------------------------------------------------------------------- */

static void end_all(void *ctx)
{
    struct links *x = ctx;
    while (x->first != NULL)
        end_link(x->first);
}

int pv_links_run(const struct pv_links_config *cfg)
{
    struct links x = {.cfg = cfg, .open_at = PV_NEVER};
    x.serving = (struct pv_serving){
        .overlay = cfg->overlay, .turn = on_turn, .end_all = end_all, .ctx = &x, .signal_fd = -1};
    x.buf = malloc(BUF);
    int r = x.buf == NULL ? PV_ERR_NOMEM : pv_serving_start(&x.serving);
    if (r == PV_OK)
        r = pv_watch_new(&x.gate, x.serving.loop, cfg->gate->fd, PV_LOOP_READ, on_gate, &x);
    if (r == PV_OK)
        pv_serving_run(&x.serving);
    end_all(&x);
    pv_watch_free(x.gate);
    pv_serving_end(&x.serving);
    free(x.buf);
    return r == PV_OK ? 0 : pv_cli_fail(cfg->cli, PV_CTLAPI_FAILED, "start: %s", pv_strstatus(r));
}
