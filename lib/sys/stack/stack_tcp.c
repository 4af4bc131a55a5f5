/* SPDX-License-Identifier: MIT */
/*
 * stack_tcp.c - TCP connections and listeners of lwIP, each of them one end of a pair of unix
 * sockets whose other end a program has.
 *
 * The program's end of a connection that is being made is full, so that it is not writable until
 * the outcome is there, as a TCP socket is not. Then its first bytes are the outcome, an errno
 * (pv_inside_connected()). That a member ends its side is told by shutdown(2); that it breaks the
 * connection off, by close(2).
 */
#include <errno.h>
#include <lwip/priv/tcp_priv.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sys/net/unixsock.h"
#include "sys/stack/stack_int.h"

enum {
    PARTS_MAX = 64,
    GATE_MAX = 4096, /* bytes that fill the smallest buffer there is, and more */
    BACKLOG = 255,
    /* s: as ctl/forward/overlay.c has it for the kernel's */
    KEEP_IDLE = 900,
    KEEP_EVERY = 60,
    KEEP_COUNT = 15,
};

struct pv_stack_conn {
    struct pv_stack *s;
    struct pv_stack_conn *prev, *next;
    struct tcp_pcb *pcb; /* NULL: lwIP has ended it */
    int fd;
    struct pv_watch *watch;
    struct pbuf *in; /* from the member, not yet taken by the program */
    uint8_t *kept;   /* from the program, not yet taken by lwIP */
    size_t n_kept;
    size_t gate;   /* bytes that fill the program's end until it is connected */
    uint16_t mss;  /* as agreed at the beginning; lwIP's own is any packet's */
    bool strict;   /* closed before the member has ended: broken off */
    bool broken;   /* to be ended in this turn */
    bool in_ended; /* the member says nothing more */
    bool in_told;  /* and the program knows */
    bool out_ended;
};

struct pv_stack_listener {
    struct pv_stack *s;
    struct pv_stack_listener *prev, *next;
    struct tcp_pcb *pcb;
    int fd;
    struct pv_watch *watch;
    bool strict; /* of its connections */
};

/* --- ends ---------------------------------------------------------------------------------- */

static void forget_pcb(struct pv_stack_conn *c)
{
    if (c->pcb == NULL)
        return;
    tcp_arg(c->pcb, NULL);
    tcp_recv(c->pcb, NULL);
    tcp_sent(c->pcb, NULL);
    tcp_err(c->pcb, NULL);
    c->pcb = NULL;
}

static void free_conn(struct pv_stack_conn *c)
{
    struct pv_stack *s = c->s;
    pv_watch_free(c->watch);
    close(c->fd);
    if (c->in != NULL)
        pbuf_free(c->in);
    free(c->kept);
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    s->n_conns--;
    free(c);
}

/* When both sides have ended lwIP ends a pcb by itself, and does not tell. */
static void part(struct pv_stack_conn *c)
{
    if (c->in_ended && c->out_ended)
        forget_pcb(c);
}

/* Must not be called in a callback of lwIP's, which still uses its pcb after that. */
static void break_off(struct pv_stack_conn *c)
{
    struct tcp_pcb *pcb = c->pcb;
    forget_pcb(c);
    if (pcb != NULL)
        tcp_abort(pcb);
    free_conn(c);
}

static void break_later(struct pv_stack_conn *c)
{
    c->broken = c->s->broken = true;
}

/* lwIP sends what it has and ends it by itself. After tcp_close() it would do so two minutes later
 * when the member has ended before, even though that still takes bytes now and then. */
static void let_go(struct pv_stack_conn *c)
{
    struct tcp_pcb *pcb = c->pcb;
    forget_pcb(c);
    if (pcb != NULL && (c->in_ended ? tcp_shutdown(pcb, 0, 1) : tcp_close(pcb)) != ERR_OK)
        tcp_abort(pcb);
    free_conn(c);
}

static bool has_hung_up(int fd)
{
    struct pollfd p = {.fd = fd};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

/* --- bytes --------------------------------------------------------------------------------- */

static void watch(struct pv_stack_conn *c)
{
    const bool reads = c->pcb != NULL && !c->out_ended && c->kept == NULL && tcp_sndbuf(c->pcb) > 0;
    if (c->gate > 0 || c->broken)
        pv_watch_set(c->watch, 0);
    else
        pv_watch_set(c->watch, (c->in != NULL ? PV_LOOP_WRITE : 0) | (reads ? PV_LOOP_READ : 0));
}

/* To the program; the window opens again by as much as it takes. */
static void pass_in(struct pv_stack_conn *c)
{
    while (c->in != NULL) {
        struct iovec iov[PARTS_MAX];
        size_t n = 0;
        for (struct pbuf *p = c->in; p != NULL && n < PARTS_MAX; p = p->next)
            iov[n++] = (struct iovec){.iov_base = p->payload, .iov_len = p->len};
        const struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n};
        ssize_t sent = sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (sent < 0) {
            break_later(c);
            return;
        }
        c->in = pbuf_free_header(c->in, (u16_t)sent);
        if (c->pcb != NULL)
            tcp_recved(c->pcb, (u16_t)sent);
    }
    if (c->in_ended && !c->in_told) {
        (void)shutdown(c->fd, SHUT_WR);
        c->in_told = true;
    }
}

/* All segments of a connection are as long as the first: lwIP, which fills up the last that waits,
 * fails an assertion where that is longer than mss, or than half of the largest window so far. */
static void fix_segments(struct pv_stack_conn *c)
{
    c->pcb->mss = c->mss;
    if (c->pcb->snd_wnd_max < 2U * c->mss)
        c->pcb->snd_wnd_max = 2U * c->mss;
}

/* False: lwIP cannot take it now. */
static bool pass_out(struct pv_stack_conn *c, const uint8_t *data, size_t len)
{
    fix_segments(c);
    err_t err = tcp_write(c->pcb, data, (u16_t)len, TCP_WRITE_FLAG_COPY);
    if (err != ERR_OK && err != ERR_MEM)
        break_later(c);
    if (err == ERR_OK)
        (void)tcp_output(c->pcb);
    return err != ERR_MEM;
}

/* The program has ended its side, or is gone. False: so is c. */
static bool take_end(struct pv_stack_conn *c)
{
    const bool gone = has_hung_up(c->fd);
    c->out_ended = true;
    if (gone && (c->in != NULL || (c->strict && !c->in_ended))) {
        break_off(c);
        return false;
    }
    if (gone || c->in_told) {
        let_go(c);
        return false;
    }
    if (tcp_shutdown(c->pcb, 0, 1) != ERR_OK)
        break_later(c);
    else
        part(c);
    return true;
}

/* False: c is gone. */
static bool take_out(struct pv_stack_conn *c)
{
    struct pv_stack *s = c->s;
    size_t room = tcp_sndbuf(c->pcb);
    if (room > UINT16_MAX)
        room = UINT16_MAX;
    ssize_t n = room == 0 ? -1 : recv(c->fd, s->buf, room, MSG_DONTWAIT);
    if (n == 0)
        return take_end(c);
    if (n < 0) {
        if (room > 0 && errno != EAGAIN && errno != EINTR)
            break_later(c); /* the program went with bytes unread */
        return true;
    }
    if (pass_out(c, s->buf, (size_t)n))
        return true;
    c->kept = malloc((size_t)n);
    if (c->kept == NULL) {
        break_later(c);
        return true;
    }
    memcpy(c->kept, s->buf, (size_t)n);
    c->n_kept = (size_t)n;
    return true;
}

static void on_ready(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_stack_conn *c = ctx;
    if (c->broken)
        return;
    if ((ready & PV_LOOP_WRITE) != 0)
        pass_in(c);
    if ((ready & PV_LOOP_READ) != 0 && c->pcb != NULL && !take_out(c))
        return;
    if (!c->broken && c->in == NULL && (c->pcb == NULL || (c->in_told && c->out_ended)))
        let_go(c);
    else
        watch(c);
}

/* --- what lwIP does not see ---------------------------------------------------------------- */

static uint16_t get(const uint8_t *from)
{
    return (uint16_t)(from[0] << 8 | from[1]);
}

/* lwIP would take it as the end of the handshake, with its bytes, keep these when they are ahead of
 * others, and fail an assertion later, since it counts a SYN there once too often. */
bool pv_stack_is_false_answer(struct pv_view packet)
{
    const bool v6 = packet.ptr[0] >> 4 == 6;
    const size_t at = v6 ? IP6_HLEN : (packet.ptr[0] & 15u) * 4u;
    const uint8_t *t = packet.ptr + at;
    if (packet.ptr[v6 ? 6 : 9] != IP_PROTO_TCP || packet.len < at + TCP_HLEN ||
        (t[13] & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK))
        return false;
    for (const struct tcp_pcb *p = tcp_active_pcbs; p != NULL; p = p->next)
        if (p->state == SYN_RCVD && p->remote_port == get(t) && p->local_port == get(t + 2))
            return true;
    return false;
}

/* --- what lwIP says ------------------------------------------------------------------------ */

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    struct pv_stack_conn *c = arg;
    if (p == NULL)
        c->in_ended = true;
    else if (c->in == NULL)
        c->in = p;
    else
        pbuf_cat(c->in, p);
    pass_in(c);
    part(c);
    if (c->in_told && c->out_ended)
        break_later(c); /* which lets it go, but not here */
    watch(c);
    return ERR_OK;
}

static void pass_kept(struct pv_stack_conn *c)
{
    if (c->kept != NULL && c->pcb != NULL && tcp_sndbuf(c->pcb) >= c->n_kept &&
        pass_out(c, c->kept, c->n_kept)) {
        free(c->kept);
        c->kept = NULL;
    }
    watch(c);
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
    pass_kept(arg);
    return ERR_OK;
}

/* Empties the program's end and says the outcome. */
static void open_gate(struct pv_stack_conn *c, int outcome)
{
    const int32_t word = outcome;
    while (c->gate > 0) {
        ssize_t n = recv(c->fd, c->s->buf, c->gate, MSG_DONTWAIT);
        if (n <= 0)
            break;
        c->gate -= (size_t)n;
    }
    c->gate = 0;
    if (send(c->fd, &word, sizeof(word), MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(word))
        break_later(c);
}

/* The pcb is gone already. */
static void on_error(void *arg, err_t err)
{
    struct pv_stack_conn *c = arg;
    c->pcb = NULL;
    if (c->gate > 0)
        open_gate(c, err == ERR_RST ? ECONNREFUSED : pv_stack_errno(err));
    else
        pass_in(c); /* what had come before */
    if (err == ERR_CLSD && c->in != NULL && !c->broken)
        watch(c); /* both have ended, and the program still reads */
    else
        free_conn(c);
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
    struct pv_stack_conn *c = arg;
    c->mss = pcb->mss;
    open_gate(c, pv_stack_errno(err));
    watch(c);
    return ERR_OK;
}

/* --- connections begin --------------------------------------------------------------------- */

static void set_options(struct tcp_pcb *pcb)
{
    tcp_nagle_disable(pcb);
    ip_set_option(pcb, SOF_KEEPALIVE);
    pcb->keep_idle = KEEP_IDLE * 1000;
    pcb->keep_intvl = KEEP_EVERY * 1000;
    pcb->keep_cnt = KEEP_COUNT;
}

/* A connection on this end of a pair; takes fd when it has not failed. */
static int new_conn(struct pv_stack *s, int fd, struct pv_stack_conn **ret_conn)
{
    struct pv_stack_conn *c = s->n_conns < PV_STACK_CONNS ? calloc(1, sizeof(*c)) : NULL;
    if (c == NULL)
        return s->n_conns < PV_STACK_CONNS ? ENOMEM : EMFILE;
    c->s = s;
    c->fd = fd;
    if (pv_watch_new(&c->watch, s->loop, fd, 0, on_ready, c) < 0) {
        free(c);
        return ENOMEM;
    }
    c->next = s->conns;
    if (c->next != NULL)
        c->next->prev = c;
    s->conns = c;
    s->n_conns++;
    *ret_conn = c;
    return 0;
}

static void attach(struct pv_stack_conn *c, struct tcp_pcb *pcb)
{
    c->pcb = pcb;
    c->mss = pcb->mss;
    set_options(pcb);
    tcp_arg(pcb, c);
    tcp_recv(pcb, on_recv);
    tcp_sent(pcb, on_sent);
    tcp_err(pcb, on_error);
}

static int new_pair(int pair[static 2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0 ? errno : 0;
}

/* Fills what the program would write into; the smallest buffer, for nobody reads it. The program
 * makes it larger again. */
static size_t shut_gate(int fd)
{
    size_t n = 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int));
    while (n < GATE_MAX && send(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1)
        n++;
    return n;
}

static int begin_connect(struct pv_stack_conn *c, const struct pv_inside_want *want)
{
    const ip_addr_t local = pv_stack_to_ip(&want->local), remote = pv_stack_to_ip(&want->remote);
    struct tcp_pcb *pcb = tcp_new_ip_type(IP_GET_TYPE(&remote));
    if (pcb == NULL)
        return ENOMEM;
    attach(c, pcb);
    err_t err = want->local.family == PV_AF_NONE ? ERR_OK : tcp_bind(pcb, &local, want->local.port);
    if (err == ERR_OK)
        err = tcp_connect(pcb, &remote, want->remote.port, on_connected);
    return pv_stack_errno(err);
}

int pv_stack_connect(struct pv_stack *s, const struct pv_inside_want *want, int *ret_fd)
{
    struct pv_stack_conn *c = NULL;
    int pair[2], err = new_pair(pair);
    if (err != 0)
        return err;
    err = new_conn(s, pair[0], &c);
    if (err != 0) {
        close(pair[0]);
        close(pair[1]);
        return err;
    }
    c->gate = shut_gate(pair[1]);
    c->strict = want->strict != 0;
    err = begin_connect(c, want);
    if (err != 0) {
        break_off(c);
        close(pair[1]);
        return err;
    }
    *ret_fd = pair[1];
    return 0;
}

/* --- listeners ----------------------------------------------------------------------------- */

static void end_listener(struct pv_stack_listener *l)
{
    struct pv_stack *s = l->s;
    if (l->pcb != NULL) {
        tcp_arg(l->pcb, NULL);
        (void)tcp_close(l->pcb);
    }
    pv_watch_free(l->watch);
    close(l->fd);
    if (l->prev != NULL)
        l->prev->next = l->next;
    else
        s->listeners = l->next;
    if (l->next != NULL)
        l->next->prev = l->prev;
    s->n_listeners--;
    free(l);
}

/* The program has nothing to say there but that it is gone. */
static void on_listener(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_stack_listener *l = ctx;
    char byte;
    if (recv(l->fd, &byte, 1, MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EINTR))
        end_listener(l);
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
    struct pv_stack_listener *l = arg;
    struct pv_stack_conn *c = NULL;
    int pair[2];
    size_t n = 0;
    if (l == NULL || err != ERR_OK || pcb == NULL || new_pair(pair) != 0)
        return ERR_VAL; /* lwIP resets it */
    const struct pv_inside_came came = {.remote = pv_stack_of_ip(&pcb->remote_ip, pcb->remote_port),
                                        .local = pv_stack_of_ip(&pcb->local_ip, pcb->local_port)};
    int r = new_conn(l->s, pair[0], &c) == 0 ? PV_OK : PV_ERR_LIMIT;
    /* A program that does not accept gets no more of them than its end holds. */
    if (r == PV_OK)
        r = pv_unix_write(l->fd, pv_view(&came, sizeof(came)), pair[1], &n);
    close(pair[1]);
    if (r < 0) {
        if (c != NULL)
            free_conn(c);
        else
            close(pair[0]);
        return ERR_VAL;
    }
    c->strict = l->strict;
    attach(c, pcb);
    watch(c);
    return ERR_OK;
}

static int begin_listen(struct pv_stack_listener *l, const struct pv_inside_want *want)
{
    const ip_addr_t local = pv_stack_to_ip(&want->local);
    struct tcp_pcb *pcb = tcp_new_ip_type(IP_GET_TYPE(&local));
    err_t err = pcb == NULL ? ERR_MEM : ERR_OK;
    if (err == ERR_OK) {
        ip_set_option(pcb, SOF_REUSEADDR);
        err = tcp_bind(pcb, &local, want->local.port);
    }
    if (err == ERR_OK)
        l->pcb = tcp_listen_with_backlog_and_err(pcb, BACKLOG, &err);
    if (l->pcb == NULL) {
        if (pcb != NULL)
            (void)tcp_close(pcb);
        return err == ERR_OK ? ENOMEM : pv_stack_errno(err);
    }
    tcp_arg(l->pcb, l);
    tcp_accept(l->pcb, on_accept);
    return 0;
}

int pv_stack_listen(struct pv_stack *s, const struct pv_inside_want *want, int *ret_fd)
{
    int pair[2];
    struct pv_stack_listener *l =
        s->n_listeners < PV_STACK_LISTENERS ? calloc(1, sizeof(*l)) : NULL;
    if (l == NULL)
        return s->n_listeners < PV_STACK_LISTENERS ? ENOMEM : EMFILE;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
        free(l);
        return errno;
    }
    l->s = s;
    l->fd = pair[0];
    l->strict = want->strict != 0;
    l->next = s->listeners;
    if (l->next != NULL)
        l->next->prev = l;
    s->listeners = l;
    s->n_listeners++;
    int err = pv_watch_new(&l->watch, s->loop, l->fd, PV_LOOP_READ, on_listener, l) < 0
                  ? ENOMEM
                  : begin_listen(l, want);
    if (err != 0) {
        end_listener(l);
        close(pair[1]);
        return err;
    }
    *ret_fd = pair[1];
    return 0;
}

/* --- all of them --------------------------------------------------------------------------- */

/* A connection whose program is not read, since it has said all or is not connected yet, may be
 * nobody's by now. */
static void look_after(struct pv_stack_conn *c)
{
    const bool over = c->in_told && c->out_ended;
    const bool gone = (c->out_ended || c->gate > 0) && has_hung_up(c->fd);
    if (over || (gone && !c->broken && !(c->strict && c->out_ended)))
        let_go(c);
    else if (c->broken || gone)
        break_off(c);
    else
        pass_kept(c); /* for want of memory it may wait for nothing else */
}

void pv_stack_reap_conns(struct pv_stack *s, bool sweep)
{
    s->broken = false;
    for (struct pv_stack_conn *c = s->conns, *next; c != NULL; c = next) {
        next = c->next;
        if (sweep || c->broken)
            look_after(c);
    }
}

void pv_stack_end_conns(struct pv_stack *s)
{
    while (s->conns != NULL)
        break_off(s->conns);
}

void pv_stack_end_listeners(struct pv_stack *s)
{
    while (s->listeners != NULL)
        end_listener(s->listeners);
}
