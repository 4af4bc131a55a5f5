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

#include "ctl/forward/datagrams.h"
#include "ctl/forward/refused.h"
#include "ctl/forward/serving.h"
#include "ctl/forward/twoway.h"
#include "proto/local/proxy.h"
#include "sys/net/inside.h"
#include "sys/net/stream.h"

#define CONNECT_TIME PV_S(30) /* ours, as p2pvpnctl waits for answers */
#define LOOK_EVERY   PV_S(5)  /* ours: whether a member still takes what it is sent */
#define REST         PV_S(1)  /* ours: without descriptors, until the gate is looked at again */

enum {
    BUF = PV_DATAGRAMS_BUF, /* ours: of streams, too, where more is not faster */
    STUCK = 4,              /* retransmissions one after the other: seconds of silence (RFC 6298) */
};

struct links;

struct link {
    struct links *all;
    struct link *next, *prev;
    int outer, inner;                      /* -1: not yet, or the twoway's */
    int carried;                           /* the member's end, for looking at; -1: not yet */
    pv_ns until;                           /* it has to be connected; PV_NEVER: nothing has to be */
    bool stuck;                            /* and the user knows */
    bool is_looked_at;                     /* in this round, by the rules */
    struct pv_watch *connecting, *hearing; /* of inner, of outer */
    struct pv_twoway *two;
    char host[PV_OVERLAY_HOST_BUF]; /* the member, once it is known */
    uint16_t port;
    /* only where each says where it wants to go */
    struct pv_proxy proxy;
    uint8_t *heard; /* n_heard of PV_PROXY_PASS_MAX bytes, not used up; NULL: none */
    size_t n_heard;
    struct pv_gate places; /* where its datagrams come in */
    struct pv_datagrams *datagrams;
};

/* A gate in the loop. */
struct entry {
    struct links *all;
    struct pv_gate *gate;
    struct pv_watch *watch;         /* NULL: it is one of UDP, or closed */
    struct pv_datagrams *datagrams; /* of UDP */
};

struct links {
    const struct pv_links_config *cfg;
    struct pv_serving serving;
    struct entry entry[PV_LINKS_GATES];
    uint8_t *buf;
    struct link *first;
    size_t n;
    struct pv_refused refused;
    pv_ns look_at, open_at; /* PV_NEVER: the gate is open */
    bool told_full, told_program, told_outside, told_closed;
};

/* --- one link ------------------------------------------------------------------------------ */

static void open_gate(struct links *x)
{
    x->open_at = PV_NEVER;
    for (size_t i = 0; i < PV_LINKS_GATES; i++) {
        if (x->entry[i].watch != NULL)
            pv_watch_set(x->entry[i].watch, x->n < PV_LINKS_MAX ? PV_LOOP_READ : 0);
    }
}

static void end_link(struct link *l)
{
    struct links *x = l->all;
    pv_watch_free(l->connecting);
    pv_watch_free(l->hearing);
    pv_datagrams_free(l->datagrams);
    pv_gate_close(&l->places);
    pv_twoway_free(l->two);
    free(l->heard);
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

/* The end of a program needs no words; that the way to a member ended does. */
static void on_done(void *ctx, int at, int status)
{
    struct link *l = ctx;
    if (at == 1 && l->all->cfg->outside == NULL &&
        (status == -ETIMEDOUT || status == -EHOSTUNREACH || status == -ENETUNREACH))
        pv_cli_note(l->all->cfg->cli,
                    "a connection to %.100s ended: %s: `p2pvpnctl why %.100s` says what stands in "
                    "the way",
                    l->host, pv_strstatus(status), l->host);
    end_link(l);
}

/* False: the program does not take it, and the link has ended. */
static bool say(struct link *l, const uint8_t *data, size_t len)
{
    if (len == 0 || write(l->outer, data, len) == (ssize_t)len)
        return true;
    end_link(l);
    return false;
}

/* Ends a link that has an answer on its way: bytes that nobody has read would take it back. */
static void hang_up(struct link *l)
{
    (void)shutdown(l->outer, SHUT_WR);
    (void)!read(l->outer, l->all->buf, BUF);
    close(l->outer);
    l->outer = -1;
    end_link(l);
}

/* Tells a program that asked for a member why it is not connected. */
static void refuse(struct link *l, enum pv_proxy_end end)
{
    const struct pv_addr none = {.family = PV_AF_NONE};
    uint8_t text[PV_PROXY_SAY_MAX];
    if (l->all->cfg->host != NULL)
        end_link(l);
    else if (say(l, text, pv_proxy_say(&l->proxy, end, &none, text)))
        hang_up(l);
}

/* Of serve. Members learn of it by their connection's end; this is for the user. */
static void fail_outside(struct link *l, int status)
{
    struct links *x = l->all;
    pv_outside_fail(x->cfg->outside);
    if (!x->told_outside)
        pv_cli_note(x->cfg->cli, "%s is not reached: %s: start it, or serve another place",
                    x->cfg->served->to, pv_strstatus(status));
    x->told_outside = true;
    end_link(l);
}

static void fail_link(struct link *l, int status)
{
    enum pv_proxy_end end = PV_PROXY_FAILED;
    if (l->all->cfg->outside != NULL) {
        fail_outside(l, status);
        return;
    }
    (void)pv_overlay_complain(l->all->cfg->overlay, l->host, l->port, status);
    if (status == -ECONNREFUSED)
        end = PV_PROXY_REFUSED;
    else if (status == -ETIMEDOUT || status == PV_ERR_TIMEOUT)
        end = PV_PROXY_SILENT;
    else if (status == -EHOSTUNREACH || status == -ENETUNREACH)
        end = PV_PROXY_NO_HOST;
    refuse(l, end);
}

/* The member has taken the connection: from here on bytes go both ways. */
static void carry(struct link *l)
{
    struct links *x = l->all;
    const bool stack = pv_inside_is_stack(), serves = x->cfg->outside != NULL;
    const struct pv_twoway_config cfg = {
        .loop = x->serving.loop,
        .buf = x->buf,
        .cap = BUF,
        .end = {{.in = l->outer, .out = l->outer, .is_waited = true, .of_stack = stack && serves},
                {.in = l->inner, .out = l->inner, .is_waited = true, .of_stack = stack && !serves}},
        .first = pv_view(l->heard, l->n_heard),
        .done = on_done,
        .ctx = l,
    };
    l->connecting = pv_watch_free(l->connecting);
    l->carried = l->inner;
    l->outer = l->inner = -1;
    if (pv_twoway_new(&l->two, &cfg) < 0) {
        (void)pv_cli_no_memory(x->cfg->cli);
        end_link(l);
        return;
    }
    free(l->heard);
    l->heard = NULL;
}

static void on_connected(void *ctx, unsigned ready, pv_ns now)
{
    const struct pv_addr none = {.family = PV_AF_NONE};
    struct link *l = ctx;
    uint8_t text[PV_PROXY_SAY_MAX];
    int r = pv_stream_connected(l->inner);
    if (r == PV_ERR_AGAIN)
        return;
    size_t len =
        l->all->cfg->host == NULL ? pv_proxy_say(&l->proxy, PV_PROXY_DONE, &none, text) : 0;
    if (r == PV_OK)
        l->all->told_outside = false;
    if (r < 0)
        fail_link(l, r);
    else if (say(l, text, len))
        carry(l);
}

/* Waits until the socket that is connecting is connected; r: what came of making it. */
static void wait_for_it(struct link *l, int r)
{
    if (r == PV_OK)
        r = pv_watch_new(&l->connecting, l->all->serving.loop, l->inner, PV_LOOP_WRITE,
                         on_connected, l);
    if (r < 0)
        fail_link(l, r);
}

static void go_to(struct link *l, const char *host, uint16_t port)
{
    struct links *x = l->all;
    struct pv_addr to;
    snprintf(l->host, sizeof(l->host), "%s", host);
    l->port = port;
    int code = pv_overlay_find(x->cfg->overlay, host, port, &to);
    if (code != 0) {
        refuse(l, code == PV_CTLAPI_UNKNOWN_PEER ? PV_PROXY_NO_HOST : PV_PROXY_FAILED);
        return;
    }
    wait_for_it(l, pv_overlay_connect(x->cfg->overlay, &to, &l->inner));
}

/* --- what a program wants ------------------------------------------------------------------ */

/* RFC 1928 s7: the association lives as long as the connection that asked for it, which says
 * nothing more. */
static void on_association(void *ctx, unsigned ready, pv_ns now)
{
    struct link *l = ctx;
    ssize_t n = read(l->outer, l->all->buf, BUF);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        end_link(l);
}

static int open_places(struct link *l)
{
    const struct links *x = l->all;
    char where[PV_ADDR_TEXT] = "127.0.0.1:0";
    struct pv_addr at = x->cfg->gate->addr;
    at.port = 0;
    if (x->cfg->gate->path == NULL)
        pv_addr_format(&at, where);
    if (pv_cli_open_gate(x->cfg->cli, &l->places, where, true) != 0)
        return PV_ERR_LIMIT;
    l->places.ended = x->cfg->gate->ended;
    return pv_datagrams_new(&l->datagrams, &(struct pv_datagrams_config){.loop = x->serving.loop,
                                                                         .overlay = x->cfg->overlay,
                                                                         .gate = &l->places,
                                                                         .max = PV_LINKS_PLACES,
                                                                         .buf = x->buf});
}

static void associate(struct link *l)
{
    uint8_t text[PV_PROXY_SAY_MAX];
    int r = open_places(l);
    if (r == PV_OK)
        r = pv_watch_new(&l->hearing, l->all->serving.loop, l->outer, PV_LOOP_READ, on_association,
                         l);
    l->until = PV_NEVER;
    if (r < 0)
        refuse(l, PV_PROXY_FAILED);
    else
        (void)say(l, text, pv_proxy_say(&l->proxy, PV_PROXY_DONE, &l->places.addr, text));
}

/* PV_OK: there is a target. PV_ERR_AGAIN: more has to come. PV_ERR_CLOSED: l is gone. */
static int hear(struct link *l, struct pv_proxy_target *ret_target)
{
    uint8_t text[PV_PROXY_SAY_MAX];
    size_t used, said;
    int r;
    do {
        r = pv_proxy_hear(&l->proxy, pv_view(l->heard, l->n_heard), &used, ret_target, text, &said);
        l->n_heard -= used;
        memmove(l->heard, l->heard + used, l->n_heard);
        if (!say(l, text, said))
            return PV_ERR_CLOSED;
    } while (r == PV_ERR_AGAIN && used > 0 && l->n_heard > 0);
    if (r == PV_OK && l->proxy.passes && pv_proxy_pass(l->heard, l->n_heard, &l->n_heard) < 0)
        r = PV_ERR_LIMIT;
    if (r == PV_OK || (r == PV_ERR_AGAIN && l->n_heard < PV_PROXY_HEAR_MAX))
        return r;
    hang_up(l);
    return PV_ERR_CLOSED;
}

static void on_heard(void *ctx, unsigned ready, pv_ns now)
{
    struct link *l = ctx;
    struct pv_proxy_target target;
    ssize_t n = read(l->outer, l->heard + l->n_heard, PV_PROXY_HEAR_MAX - l->n_heard);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        end_link(l);
        return;
    }
    l->n_heard += (size_t)n;
    if (hear(l, &target) != PV_OK)
        return;
    l->hearing = pv_watch_free(l->hearing);
    if (target.want == PV_PROXY_UDP)
        associate(l);
    else
        go_to(l, target.host, target.port);
}

/* A program waits from here on, outside or at a member. */
static void begin_link(struct links *x, int outer, pv_ns now)
{
    struct link *l = calloc(1, sizeof(*l));
    const struct pv_links_config *cfg = x->cfg;
    uint8_t *heard = cfg->host == NULL ? malloc(PV_PROXY_PASS_MAX) : NULL;
    if (l == NULL || (heard == NULL && cfg->host == NULL)) {
        free(l);
        free(heard);
        close(outer);
        (void)pv_cli_no_memory(cfg->cli);
        return;
    }
    *l = (struct link){.all = x,
                       .next = x->first,
                       .outer = outer,
                       .inner = -1,
                       .carried = -1,
                       .heard = heard,
                       .places = {.fd = -1},
                       .until = now + CONNECT_TIME};
    if (x->first != NULL)
        x->first->prev = l;
    x->first = l;
    x->n++;
    if (cfg->outside != NULL) {
        pv_overlay_be_patient(outer);
        wait_for_it(l, pv_outside_connect(cfg->outside, now, &l->inner));
    } else if (cfg->host != NULL)
        go_to(l, cfg->host, cfg->port);
    else if (pv_watch_new(&l->hearing, x->serving.loop, outer, PV_LOOP_READ, on_heard, l) < 0)
        end_link(l);
}

/* --- the gate ------------------------------------------------------------------------------ */

static void close_gate(struct links *x, pv_ns until, const char *why)
{
    x->open_at = until;
    for (size_t i = 0; i < PV_LINKS_GATES; i++) {
        if (x->entry[i].watch != NULL)
            pv_watch_set(x->entry[i].watch, 0);
    }
    if (!x->told_full)
        pv_cli_note(x->cfg->cli, "%s: further connections wait until one ends", why);
    x->told_full = true;
}

static void note_refused(struct links *x, int status)
{
    if (x->cfg->outside == NULL)
        pv_refused_note(&x->refused, x->cfg->cli, status);
    else if (!x->told_program) /* once: a program that tries this tries it often */
        pv_cli_note(x->cfg->cli, "a program of this machine connected, and no member: it was "
                                 "closed");
    x->told_program = true;
}

static void on_gate(void *ctx, unsigned ready, pv_ns now)
{
    const struct entry *d = ctx;
    struct links *x = d->all;
    int fd = -1, r = pv_gate_accept(d->gate, &fd);
    if (r == PV_OK)
        begin_link(x, fd, now);
    else if (r == PV_ERR_LIMIT)
        close_gate(x, now + REST, "this process has no descriptors left (ulimit -n)");
    else if (r == PV_ERR_CLOSED) /* lwIP has ended, and p2pvpnd with it, which is told elsewhere */
        pv_watch_set(d->watch, 0);
    else if (r != PV_ERR_AGAIN)
        note_refused(x, r);
    if (x->n == PV_LINKS_MAX)
        close_gate(x, PV_NEVER, "1,000 connections are open");
}

static int watch_entry(struct entry *d)
{
    const struct pv_links_config *cfg = d->all->cfg;
    struct pv_loop *loop = d->all->serving.loop;
    if (d->gate->fd < 0)
        return PV_OK;
    if (!d->gate->udp)
        return pv_watch_new(&d->watch, loop, d->gate->fd, PV_LOOP_READ, on_gate, d);
    return pv_datagrams_new(&d->datagrams, &(struct pv_datagrams_config){.loop = loop,
                                                                         .overlay = cfg->overlay,
                                                                         .gate = d->gate,
                                                                         .host = cfg->host,
                                                                         .port = cfg->port,
                                                                         .outside = cfg->outside,
                                                                         .max = PV_LINKS_SENDERS,
                                                                         .buf = d->all->buf});
}

static void leave_entry(struct entry *d)
{
    d->watch = pv_watch_free(d->watch);
    d->datagrams = pv_datagrams_free(d->datagrams);
}

/* Errors are said once, until it is open again: this is tried every few seconds. */
static int find_overlay(struct links *x)
{
    pv_cli_hush(x->cfg->cli, x->told_closed);
    int code = pv_overlay_look(x->cfg->overlay);
    pv_cli_hush(x->cfg->cli, false);
    x->told_closed = code != 0;
    return code;
}

/* Members come to an address of this node and to an interface, both of which may be others after
 * `down`, `address set` or a restart of p2pvpnd. */
static void mind_entries(struct links *x)
{
    const struct pv_overlay *o = x->cfg->overlay;
    int code = find_overlay(x);
    for (int i = 0; i < PV_LINKS_GATES; i++) {
        struct entry *d = &x->entry[i];
        struct pv_addr at = i == 0 ? o->own4 : o->own6;
        at.port = x->cfg->served->port;
        if (code == 0 && (at.family == PV_AF_NONE ? d->gate->fd < 0 : pv_gate_stands(d->gate, &at)))
            continue;
        leave_entry(d);
        pv_gate_close(d->gate);
        /* A port that somebody has taken meanwhile may be free the next time. */
        if (code == 0 && at.family != PV_AF_NONE &&
            pv_gate_open_overlay(d->gate, &at, o->tun, x->cfg->served->udp) == PV_OK)
            (void)!watch_entry(d);
    }
    open_gate(x);
}

/* --- time ---------------------------------------------------------------------------------- */

/* TCP waits a quarter of an hour before it gives up, and says nothing meanwhile. */
static void look_at_carried(struct link *l)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    memset(&info, 0, sizeof(info));
    if (getsockopt(l->carried, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
        return;
    bool stuck = info.tcpi_backoff >= STUCK && info.tcpi_unacked > 0;
    if (stuck && !l->stuck)
        pv_cli_note(l->all->cfg->cli,
                    "%.100s does not answer on an open connection, which waits: `p2pvpnctl why "
                    "%.100s` says what stands in the way",
                    l->host, l->host);
    l->stuck = stuck;
}

/* New rules of the network also drop the packets of connections that are open, without a word, and
 * TCP would wait: so these connections are ended. p2pvpnd is asked about each member and port once,
 * however many connections lead there. */
static void end_denied(struct links *x)
{
    for (struct link *l = x->first; l != NULL; l = l->next)
        l->is_looked_at = l->carried < 0;
    for (struct link *l = x->first, *next; l != NULL; l = next) {
        next = l->next;
        if (l->is_looked_at)
            continue;
        bool denied = pv_overlay_is_denied(x->cfg->overlay, l->host, l->port);
        for (struct link *m = l->next; m != NULL; m = m->next)
            m->is_looked_at =
                m->is_looked_at || (!denied && m->port == l->port && strcmp(m->host, l->host) == 0);
        if (denied) {
            pv_cli_note(x->cfg->cli,
                        "a connection to %.100s port %u was ended: rules of the network deny it "
                        "now (`p2pvpnctl rules`)",
                        l->host, l->port);
            end_link(l);
        }
    }
}

static void look_at_link(struct link *l, pv_ns now)
{
    if (l->datagrams != NULL)
        pv_datagrams_handle_timeout(l->datagrams, now);
    else if (l->carried >= 0)
        look_at_carried(l);
    else if (now >= l->until && l->hearing != NULL)
        end_link(l); /* it has not said what it wants */
    else if (now >= l->until)
        fail_link(l, PV_ERR_TIMEOUT);
}

static void look(struct links *x, pv_ns now)
{
    for (struct link *l = x->first, *next; l != NULL; l = next) {
        next = l->next;
        look_at_link(l, now);
    }
    for (size_t i = 0; i < PV_LINKS_GATES; i++) {
        if (x->entry[i].datagrams != NULL)
            pv_datagrams_handle_timeout(x->entry[i].datagrams, now);
    }
    if (x->cfg->outside != NULL)
        mind_entries(x);
    else
        end_denied(x);
}

static pv_ns on_turn(void *ctx, pv_ns now)
{
    struct links *x = ctx;
    if (now >= x->open_at)
        open_gate(x);
    if (now >= x->look_at) {
        x->look_at = now + LOOK_EVERY;
        look(x, now);
    }
    if (x->n == 0 && !x->cfg->gate->udp && x->cfg->outside == NULL)
        return x->open_at;
    return x->look_at < x->open_at ? x->look_at : x->open_at;
}

/* --- life ---------------------------------------------------------------------------------- */

static void end_all(struct links *x)
{
    while (x->first != NULL)
        end_link(x->first);
    for (size_t i = 0; i < PV_LINKS_GATES; i++) {
        if (x->entry[i].datagrams != NULL)
            pv_datagrams_end_all(x->entry[i].datagrams);
    }
}

/* Connections belong to the network of p2pvpnd --user, its inside: with that they can carry nothing
 * any more, and the kernel would not say so. */
static void on_lost(void *ctx, bool apart)
{
    struct links *x = ctx;
    pv_cli_note(x->cfg->cli, "p2pvpnd has ended%s: new connections go on when it runs again",
                apart ? ", and with it what was open" : "");
    if (apart)
        end_all(x);
}

static int start(struct links *x)
{
    int r = pv_serving_start(&x->serving);
    for (size_t i = 0; i < PV_LINKS_GATES && r == PV_OK; i++) {
        x->entry[i] = (struct entry){.all = x, .gate = &x->cfg->gate[i]};
        r = watch_entry(&x->entry[i]);
    }
    return r;
}

int pv_links_run(const struct pv_links_config *cfg)
{
    struct links x = {.cfg = cfg, .open_at = PV_NEVER, .refused = {.what = "connections"}};
    x.serving = (struct pv_serving){
        .overlay = cfg->overlay, .turn = on_turn, .lost = on_lost, .ctx = &x, .signal_fd = -1};
    x.buf = malloc(BUF);
    int r = x.buf == NULL ? PV_ERR_NOMEM : start(&x);
    if (r == PV_OK)
        pv_serving_run(&x.serving);
    pv_refused_sum_up(&x.refused, cfg->cli);
    end_all(&x);
    for (size_t i = 0; i < PV_LINKS_GATES; i++)
        leave_entry(&x.entry[i]);
    pv_serving_end(&x.serving);
    free(x.buf);
    return r == PV_OK ? 0 : pv_cli_fail(cfg->cli, PV_CTLAPI_FAILED, "start: %s", pv_strstatus(r));
}
