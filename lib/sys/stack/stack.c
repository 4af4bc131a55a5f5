/* SPDX-License-Identifier: MIT */
/* stack.c - lwIP's life, its interface, packets in and out of it, and its connections. */
#include "sys/stack/stack.h"

#include <errno.h>
#include <lwip/init.h>
#include <lwip/ip.h>
#include <lwip/netif.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/tcp.h>
#include <lwip/timeouts.h>
#include <lwip/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/list.h"
#include "sys/net/inside.h"
#include "sys/net/unixsock.h"
#include "sys/stack/stack_fair.h"
#include "sys/stack/stack_guard.h"
#include "sys/stack/stack_memory.h"
#include "sys/stack/stack_out.h"
#include "sys/stack/stack_sender.h"

enum {
    BUF = 65536,          /* a packet, a datagram, a window */
    ADDRS = 6,            /* of the interface: one IPv4 and five IPv6 */
    WAITING = 1024,       /* ours: connections that are over and wait for late packets */
    WINDOW_FIRST = 65535, /* bytes, either way */
    SMALL = 512,          /* bytes: segments below wait together, */
    TOGETHER = 2048,      /* in so many */
};

struct pv_stack {
    struct pv_loop *loop;
    struct netif nif;
    bool up;
    unsigned queues;            /* 0: none */
    int own[PV_STACK_QUEUES];   /* ends of the queues that are read and written here */
    int given[PV_STACK_QUEUES]; /* the others */
    struct pv_watch *watch[PV_STACK_QUEUES];
    struct pv_stack_fair *fair; /* packets that were read, for lwIP */
    struct pv_stack_out out;    /* packets of lwIP, for the first queue */
    struct pv_addr addrs[ADDRS];
    size_t n_addrs;
    struct tcp_end *conns; /* lists, owned */
    struct udp_end *places;
    struct listener *listeners;
    struct asker *askers;
    unsigned n_conns, n_places, n_listeners, n_askers;
    bool broken; /* a connection is, and ends in this turn */
    pv_ns sweep_at;
    uint8_t buf[BUF];
};

enum {
    READ_BURST = 128, /* ours: packets of a queue before others have their turn */
    INPUT_BURST = 64, /* ours: packets to lwIP in a turn of the loop; reading is faster */
    PARTS_MAX = 64,   /* packets that a program gets by one call */
    BUFFER = 4 << 20, /* bytes wished for a queue; the kernel gives what it allows */
};
#define SWEEP_EVERY PV_MS(500)

bool pv_stack_is_built(void)
{
    return true;
}

/* --- addresses ----------------------------------------------------------------------------- */

static ip_addr_t to_ip(const struct pv_addr *a)
{
    ip_addr_t ip;
    memset(&ip, 0, sizeof(ip));
    if (a->family == PV_AF_INET6) {
        IP_SET_TYPE_VAL(ip, IPADDR_TYPE_V6);
        memcpy(ip_2_ip6(&ip)->addr, a->ip, PV_IP6_LEN);
    } else {
        IP_SET_TYPE_VAL(ip, IPADDR_TYPE_V4);
        memcpy(&ip_2_ip4(&ip)->addr, a->ip, PV_IP4_LEN);
    }
    return ip;
}

static struct pv_addr of_ip(const ip_addr_t *ip, uint16_t port)
{
    struct pv_addr a = {.port = port};
    a.family = IP_IS_V6(ip) ? PV_AF_INET6 : PV_AF_INET;
    if (IP_IS_V6(ip))
        memcpy(a.ip, ip_2_ip6(ip)->addr, PV_IP6_LEN);
    else
        memcpy(a.ip, &ip_2_ip4(ip)->addr, PV_IP4_LEN);
    return a;
}

/* 0 for ERR_OK */
static int errno_of(err_t err)
{
    switch (err) {
    case ERR_OK:
        return 0;
    case ERR_RTE:
        return EHOSTUNREACH;
    case ERR_USE:
        return EADDRINUSE;
    case ERR_VAL:
    case ERR_ARG:
        return EINVAL;
    case ERR_RST:
    case ERR_CLSD:
        return ECONNRESET;
    case ERR_ABRT: /* it has tried for long enough */
    case ERR_TIMEOUT:
        return ETIMEDOUT;
    default:
        return ENOMEM;
    }
}

static bool is_own(const struct pv_stack *s, const struct pv_addr *a)
{
    for (size_t i = 0; i < s->n_addrs; i++)
        if (pv_addr_equal_ip(&s->addrs[i], a))
            return true;
    return false;
}

/* --- TCP: connections and listeners ---------------------------------------------------------- */

/* Each of lwIP's is one end of a pair of unix sockets whose other end a program has.
 *
 * The program's end of a connection that is being made is full, so that it is not writable until
 * the outcome is there, as a TCP socket is not. Then its first bytes are the outcome, an errno
 * (pv_inside_connected()). That a member ends its side is told by shutdown(2); that it breaks the
 * connection off, by close(2). */

enum {
    GATE_MAX = 4096, /* bytes that fill the smallest buffer there is, and more */
    /* s: as ctl/forward/overlay.c has it for the kernel's */
    KEEP_IDLE = 900,
    KEEP_EVERY = 60,
    KEEP_COUNT = 15,
};

struct tcp_end {
    struct pv_stack *s;
    struct tcp_end *prev, *next;
    struct tcp_pcb *pcb; /* NULL: lwIP has ended it */
    int fd;
    struct pv_watch *watch;
    /* From the member, not yet taken by the program: linked by `next`, each a packet by itself,
     * since lwIP's chains end at 64 KiB. */
    struct pbuf *in, *in_last;
    size_t in_room;     /* bytes that in_last could still hold */
    uint32_t window;    /* bytes that the member may send before the program has read them */
    uint32_t in_window; /* bytes that came since the window became as large */
    uint8_t *kept;      /* from the program, not yet taken by lwIP */
    size_t n_kept;
    size_t gate;   /* bytes that fill the program's end until it is connected */
    bool strict;   /* closed before the member has ended: broken off */
    bool broken;   /* to be ended in this turn */
    bool in_ended; /* the member says nothing more */
    bool in_told;  /* and the program knows */
    bool out_ended;
};

struct listener {
    struct pv_stack *s;
    struct listener *prev, *next;
    struct tcp_pcb *pcb;
    int fd;
    struct pv_watch *watch;
    bool strict; /* of its connections */
};

/* --- ends ---------------------------------------------------------------------------------- */

static void forget_pcb(struct tcp_end *c)
{
    if (c->pcb == NULL)
        return;
    tcp_arg(c->pcb, NULL);
    tcp_recv(c->pcb, NULL);
    tcp_sent(c->pcb, NULL);
    tcp_err(c->pcb, NULL);
    c->pcb = NULL;
}

static void free_first(struct tcp_end *c)
{
    struct pbuf *p = c->in;
    c->in = p->next;
    p->next = NULL;
    p->tot_len = p->len;
    pbuf_free(p);
}

static void free_conn(struct tcp_end *c)
{
    struct pv_stack *s = c->s;
    pv_watch_free(c->watch);
    close(c->fd);
    while (c->in != NULL)
        free_first(c);
    free(c->kept);
    PV_LIST_DEL(s->conns, c);
    s->n_conns--;
    free(c);
}

/* When both sides have ended lwIP ends a pcb by itself, and does not tell. */
static void part(struct tcp_end *c)
{
    if (c->in_ended && c->out_ended)
        forget_pcb(c);
}

/* Must not be called in a callback of lwIP's, which still uses its pcb after that. */
static void break_off(struct tcp_end *c)
{
    struct tcp_pcb *pcb = c->pcb;
    forget_pcb(c);
    if (pcb != NULL)
        tcp_abort(pcb);
    free_conn(c);
}

static void break_later(struct tcp_end *c)
{
    c->broken = c->s->broken = true;
}

/* lwIP sends what it has and ends it by itself. After tcp_close() it would do so two minutes later
 * when the member has ended before, even though that still takes bytes now and then. */
static void let_go(struct tcp_end *c)
{
    struct tcp_pcb *pcb = c->pcb;
    forget_pcb(c);
    /* A window that is not whole says to lwIP that bytes were not read: it would break off. */
    if (pcb != NULL && c->in == NULL)
        pcb->rcv_wnd = TCP_WND_MAX(pcb);
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

/* How much of the program's bytes lwIP may have now: what the line takes twice, for more would only
 * wait. Bytes that a member does not acknowledge are memory. */
static size_t out_room(const struct tcp_end *c)
{
    const size_t left = c->pcb->snd_buf, queued = left < TCP_SND_BUF ? TCP_SND_BUF - left : 0;
    size_t most = 2 * pv_stack_sender_window(c->pcb);
    if (most < WINDOW_FIRST || pv_stack_memory() > PV_STACK_MEMORY_EASE)
        most = WINDOW_FIRST;
    if (most > TCP_SND_BUF)
        most = TCP_SND_BUF;
    return most > queued ? most - queued : 0;
}

static void watch(struct tcp_end *c)
{
    const bool reads = c->pcb != NULL && !c->out_ended && c->kept == NULL && out_room(c) > 0;
    if (c->gate > 0 || c->broken)
        pv_watch_set(c->watch, 0);
    else
        pv_watch_set(c->watch, (c->in != NULL ? PV_LOOP_WRITE : 0) | (reads ? PV_LOOP_READ : 0));
}

/* The window begins with 64 KiB, which a SYN can say, and doubles when the program has read as much
 * as the window holds and nothing waits. A program that does not read, or many connections, cost
 * little memory that way. */
static void begin_window(struct tcp_end *c)
{
    struct tcp_pcb *pcb = c->pcb;
    c->window = WINDOW_FIRST;
    c->in_window = 0;
    pcb->rcv_wnd = pcb->rcv_ann_wnd = WINDOW_FIRST;
    pcb->rcv_ann_right_edge = pcb->rcv_nxt + WINDOW_FIRST;
}

static void open_window(struct tcp_end *c, size_t taken)
{
    c->in_window += (uint32_t)taken;
    if (c->in == NULL && c->in_window >= c->window && c->window < TCP_WND_MAX(c->pcb) &&
        pv_stack_memory() < PV_STACK_MEMORY_EASE) {
        const uint32_t more =
            c->window < TCP_WND_MAX(c->pcb) / 2 ? c->window : TCP_WND_MAX(c->pcb) - c->window;
        c->window += more;
        c->in_window = 0;
        taken += more;
    }
    for (size_t n; taken > 0; taken -= n) {
        n = taken < UINT16_MAX ? taken : UINT16_MAX;
        tcp_recved(c->pcb, (u16_t)n);
    }
}

/* Frees what the program has taken. */
static void drop_in(struct tcp_end *c, size_t taken)
{
    while (taken > 0) {
        struct pbuf *p = c->in;
        if (taken < p->len) {
            p->payload = (uint8_t *)p->payload + taken;
            p->len = (u16_t)(p->len - taken);
            return;
        }
        taken -= p->len;
        free_first(c);
    }
}

/* To the program; the window opens again by as much as it takes. */
static void pass_in(struct tcp_end *c)
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
        drop_in(c, (size_t)sent);
        if (c->pcb != NULL)
            open_window(c, (size_t)sent);
    }
    if (c->in_ended && !c->in_told) {
        (void)shutdown(c->fd, SHUT_WR);
        c->in_told = true;
    }
}

/* All segments of a connection are as long as the first: lwIP, which fills up the last that waits,
 * fails an assertion if that is longer than half of the largest window so far. */
static void fix_segments(struct tcp_end *c)
{
    if (c->pcb->snd_wnd_max < 2U * c->pcb->mss)
        c->pcb->snd_wnd_max = 2U * c->pcb->mss;
}

/* False: lwIP cannot take it now. */
static bool pass_out(struct tcp_end *c, const uint8_t *data, size_t len)
{
    fix_segments(c);
    err_t err = tcp_write(c->pcb, data, (u16_t)len, TCP_WRITE_FLAG_COPY);
    if (err != ERR_OK && err != ERR_MEM)
        break_later(c);
    if (err == ERR_OK)
        pv_stack_sender_output(c->pcb);
    return err != ERR_MEM;
}

/* The program has ended its side, or is gone. False: so is c. */
static bool take_end(struct tcp_end *c)
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
static bool take_out(struct tcp_end *c)
{
    struct pv_stack *s = c->s;
    size_t room = out_room(c);
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
    struct tcp_end *c = ctx;
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

/* --- what lwIP says ------------------------------------------------------------------------ */

/* A small segment takes far more memory than its bytes, so those that wait are put together. */
static void keep_in(struct tcp_end *c, struct pbuf *p)
{
    while (p != NULL) {
        struct pbuf *next = p->next;
        p->next = NULL;
        p->tot_len = p->len;
        if (c->in == NULL)
            c->in_room = 0;
        if (p->len > c->in_room && p->len < SMALL && c->in != NULL) {
            struct pbuf *whole = pbuf_alloc(PBUF_RAW, TOGETHER, PBUF_RAM);
            if (whole != NULL) {
                whole->len = whole->tot_len = 0;
                c->in_last = c->in_last->next = whole;
                c->in_room = TOGETHER;
            }
        }
        if (p->len == 0) {
            pbuf_free(p);
        } else if (p->len <= c->in_room) {
            memcpy((uint8_t *)c->in_last->payload + c->in_last->len, p->payload, p->len);
            c->in_last->len = (u16_t)(c->in_last->len + p->len);
            c->in_room -= p->len;
            pbuf_free(p);
        } else {
            if (c->in == NULL)
                c->in = p;
            else
                c->in_last->next = p;
            c->in_last = p;
            c->in_room = 0;
        }
        p = next;
    }
}

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    struct tcp_end *c = arg;
    if (p == NULL)
        c->in_ended = true;
    else
        keep_in(c, p);
    pass_in(c);
    part(c);
    if (c->in_told && c->out_ended)
        break_later(c); /* which lets it go, but not here */
    watch(c);
    return ERR_OK;
}

static void pass_kept(struct tcp_end *c)
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

/* Says the outcome and empties the program's end, in this order: a program that finds that it may
 * write asks for the outcome, perhaps once. */
static void open_gate(struct tcp_end *c, int outcome)
{
    const int32_t word = outcome;
    if (send(c->fd, &word, sizeof(word), MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(word))
        break_later(c);
    while (c->gate > 0) {
        ssize_t n = recv(c->fd, c->s->buf, c->gate, MSG_DONTWAIT);
        if (n <= 0)
            break;
        c->gate -= (size_t)n;
    }
    c->gate = 0;
}

/* The pcb is gone already. */
static void on_error(void *arg, err_t err)
{
    struct tcp_end *c = arg;
    c->pcb = NULL;
    if (c->gate > 0)
        open_gate(c, err == ERR_RST ? ECONNREFUSED : errno_of(err));
    else
        pass_in(c); /* what had come before */
    if (err == ERR_CLSD && c->in != NULL && !c->broken)
        watch(c); /* both have ended, and the program still reads */
    else
        free_conn(c);
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
    struct tcp_end *c = arg;
    begin_window(c);
    open_gate(c, errno_of(err));
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
static int new_conn(struct pv_stack *s, int fd, struct tcp_end **ret_conn)
{
    struct tcp_end *c = s->n_conns < PV_STACK_CONNS ? calloc(1, sizeof(*c)) : NULL;
    if (c == NULL)
        return s->n_conns < PV_STACK_CONNS ? ENOMEM : -PV_ERR_LIMIT;
    c->s = s;
    c->fd = fd;
    if (pv_watch_new(&c->watch, s->loop, fd, 0, on_ready, c) < 0) {
        free(c);
        return ENOMEM;
    }
    PV_LIST_ADD_FIRST(s->conns, c);
    s->n_conns++;
    *ret_conn = c;
    return 0;
}

static void attach(struct tcp_end *c, struct tcp_pcb *pcb)
{
    c->pcb = pcb;
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

static int begin_connect(struct tcp_end *c, const struct pv_inside_want *want)
{
    const ip_addr_t local = to_ip(&want->local), remote = to_ip(&want->remote);
    struct tcp_pcb *pcb = tcp_new_ip_type(IP_GET_TYPE(&remote));
    if (pcb == NULL)
        return ENOMEM;
    attach(c, pcb);
    err_t err = want->local.family == PV_AF_NONE ? ERR_OK : tcp_bind(pcb, &local, want->local.port);
    if (err == ERR_OK)
        err = tcp_connect(pcb, &remote, want->remote.port, on_connected);
    return errno_of(err);
}

/* Serve a request; *ret_fd is the asker's end. 0 or an errno. */
static int make_conn(struct pv_stack *s, const struct pv_inside_want *want, int *ret_fd)
{
    struct tcp_end *c = NULL;
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

static void end_listener(struct listener *l)
{
    struct pv_stack *s = l->s;
    if (l->pcb != NULL) {
        tcp_arg(l->pcb, NULL);
        (void)tcp_close(l->pcb);
    }
    pv_watch_free(l->watch);
    close(l->fd);
    PV_LIST_DEL(s->listeners, l);
    s->n_listeners--;
    free(l);
}

/* The program has nothing to say there but that it is gone. */
static void on_listener(void *ctx, unsigned ready, pv_ns now)
{
    struct listener *l = ctx;
    char byte;
    if (recv(l->fd, &byte, 1, MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EINTR))
        end_listener(l);
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
    struct listener *l = arg;
    struct tcp_end *c = NULL;
    int pair[2];
    size_t n = 0;
    if (l == NULL || err != ERR_OK || pcb == NULL || new_pair(pair) != 0)
        return ERR_VAL; /* lwIP resets it */
    const struct pv_inside_came came = {.remote = of_ip(&pcb->remote_ip, pcb->remote_port),
                                        .local = of_ip(&pcb->local_ip, pcb->local_port)};
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
    /* A second SYN may have named another size than the first, which the MTU had limited. */
    pcb->mss = tcp_eff_send_mss(pcb->mss, &pcb->local_ip, &pcb->remote_ip);
    begin_window(c);
    watch(c);
    return ERR_OK;
}

static int begin_listen(struct listener *l, const struct pv_inside_want *want)
{
    const ip_addr_t local = to_ip(&want->local);
    struct tcp_pcb *pcb = tcp_new_ip_type(IP_GET_TYPE(&local));
    err_t err = pcb == NULL ? ERR_MEM : ERR_OK;
    if (err == ERR_OK) {
        ip_set_option(pcb, SOF_REUSEADDR);
        err = tcp_bind(pcb, &local, want->local.port);
    }
    if (err == ERR_OK)
        l->pcb = tcp_listen_with_backlog_and_err(pcb, PV_STACK_BACKLOG, &err);
    if (l->pcb == NULL) {
        if (pcb != NULL)
            (void)tcp_close(pcb);
        return err == ERR_OK ? ENOMEM : errno_of(err);
    }
    tcp_arg(l->pcb, l);
    tcp_accept(l->pcb, on_accept);
    return 0;
}

/* Serves a request; *ret_fd is the asker's end. 0 or an errno. */
static int make_listener(struct pv_stack *s, const struct pv_inside_want *want, int *ret_fd)
{
    int pair[2];
    struct listener *l = s->n_listeners < PV_STACK_LISTENERS ? calloc(1, sizeof(*l)) : NULL;
    if (l == NULL)
        return s->n_listeners < PV_STACK_LISTENERS ? ENOMEM : -PV_ERR_LIMIT;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
        free(l);
        return errno;
    }
    l->s = s;
    l->fd = pair[0];
    l->strict = want->strict != 0;
    PV_LIST_ADD_FIRST(s->listeners, l);
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
static void look_after(struct tcp_end *c)
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

/* Ends those that are broken, and looks for those whose program has gone (sweep). */
static void reap_conns(struct pv_stack *s, bool sweep)
{
    s->broken = false;
    for (struct tcp_end *c = s->conns, *next; c != NULL; c = next) {
        next = c->next;
        if (sweep || c->broken)
            look_after(c);
    }
}

static void end_conns(struct pv_stack *s)
{
    while (s->conns != NULL)
        break_off(s->conns);
}

static void end_listeners(struct pv_stack *s)
{
    while (s->listeners != NULL)
        end_listener(s->listeners);
}

/* --- UDP ------------------------------------------------------------------------------------- */

/* Each of lwIP's sockets is connected, and one end of a pair of which the program has the other: a
 * message is a datagram. */

enum {
    UDP_BURST = 32, /* ours: datagrams of one program before others have their turn */
};

struct udp_end {
    struct pv_stack *s;
    struct udp_end *prev, *next;
    struct udp_pcb *pcb;
    int fd;
    struct pv_watch *watch;
};

static void end_place(struct udp_end *u)
{
    struct pv_stack *s = u->s;
    if (u->pcb != NULL)
        udp_remove(u->pcb);
    pv_watch_free(u->watch);
    close(u->fd);
    PV_LIST_DEL(s->places, u);
    s->n_places--;
    free(u);
}

/* A datagram without a byte looks like the end. */
static bool is_gone(const struct udp_end *u)
{
    struct pollfd p = {.fd = u->fd};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

static void on_datagram_ready(void *ctx, unsigned ready, pv_ns now)
{
    struct udp_end *u = ctx;
    for (int i = 0; i < UDP_BURST; i++) {
        ssize_t n = recv(u->fd, u->s->buf, sizeof(u->s->buf), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0 || (n == 0 && is_gone(u))) {
            end_place(u);
            return;
        }
        struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, (u16_t)n, PBUF_RAM);
        if (p == NULL)
            return;
        if (pbuf_take(p, u->s->buf, (u16_t)n) == ERR_OK || n == 0)
            (void)udp_send(u->pcb, p); /* lost, as datagrams are */
        pbuf_free(p);
    }
}

static void on_datagram(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
                        u16_t port)
{
    struct udp_end *u = arg;
    /* Copied, for it may come in parts. */
    u16_t n = pbuf_copy_partial(p, u->s->buf, p->tot_len, 0);
    pbuf_free(p);
    (void)!send(u->fd, u->s->buf, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int begin_place(struct udp_end *u, const struct pv_inside_want *want)
{
    const ip_addr_t local = to_ip(&want->local), remote = to_ip(&want->remote);
    u->pcb = udp_new_ip_type(IP_GET_TYPE(&remote));
    if (u->pcb == NULL)
        return ENOMEM;
    err_t err =
        want->local.family == PV_AF_NONE ? ERR_OK : udp_bind(u->pcb, &local, want->local.port);
    if (err == ERR_OK)
        err = udp_connect(u->pcb, &remote, want->remote.port);
    udp_recv(u->pcb, on_datagram, u);
    return errno_of(err);
}

/* The same for datagrams. */
static int make_place(struct pv_stack *s, const struct pv_inside_want *want, int *ret_fd)
{
    int pair[2];
    struct udp_end *u = s->n_places < PV_STACK_PLACES ? calloc(1, sizeof(*u)) : NULL;
    if (u == NULL)
        return s->n_places < PV_STACK_PLACES ? ENOMEM : -PV_ERR_LIMIT;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
        free(u);
        return errno;
    }
    u->s = s;
    u->fd = pair[0];
    PV_LIST_ADD_FIRST(s->places, u);
    s->n_places++;
    int err = pv_watch_new(&u->watch, s->loop, u->fd, PV_LOOP_READ, on_datagram_ready, u) < 0
                  ? ENOMEM
                  : begin_place(u, want);
    if (err != 0) {
        end_place(u);
        close(pair[1]);
        return err;
    }
    *ret_fd = pair[1];
    return 0;
}

static void end_places(struct pv_stack *s)
{
    while (s->places != NULL)
        end_place(s->places);
}

/* --- askers ---------------------------------------------------------------------------------- */

/* p2pvpnd asks for connections, and so do programs of its user. */
struct asker {
    struct pv_stack *s;
    struct asker *prev, *next;
    int fd;
    struct pv_watch *watch;
    bool *ended; /* NULL: nobody wants to know */
};

static void end_asker(struct asker *a)
{
    struct pv_stack *s = a->s;
    if (a->ended != NULL)
        *a->ended = true;
    pv_watch_free(a->watch);
    close(a->fd);
    PV_LIST_DEL(s->askers, a);
    s->n_askers--;
    free(a);
}

static bool is_ip(const struct pv_addr *a)
{
    return a->family == PV_AF_INET || a->family == PV_AF_INET6;
}

/* Can lwIP do what is asked? 0 or an errno. It cannot connect to its own addresses, nor to several
 * machines at once (multicast, broadcast). */
static int check(const struct pv_stack *s, const struct pv_inside_want *w)
{
    if (w->kind == PV_INSIDE_SOCKET)
        return EAFNOSUPPORT;
    if (!s->up)
        return ENETDOWN;
    if (w->local.family != PV_AF_NONE && !is_own(s, &w->local))
        return EADDRNOTAVAIL;
    if (w->kind == PV_INSIDE_LISTEN)
        return is_ip(&w->local) ? 0 : EINVAL;
    if (!is_ip(&w->remote) || w->remote.port == 0 ||
        (w->local.family != PV_AF_NONE && w->local.family != w->remote.family))
        return EINVAL;
    return is_own(s, &w->remote) || pv_addr_is_loopback(&w->remote) ||
                   pv_addr_is_unspecified(&w->remote) || pv_addr_is_multicast(&w->remote) ||
                   pv_addr_is_broadcast(&w->remote)
               ? EHOSTUNREACH
               : 0;
}

static int serve(struct pv_stack *s, const struct pv_inside_want *w, int *ret_fd)
{
    int err = check(s, w);
    if (err != 0)
        return err;
    switch (w->kind) {
    case PV_INSIDE_CONNECT:
        return make_conn(s, w, ret_fd);
    case PV_INSIDE_LISTEN:
        return make_listener(s, w, ret_fd);
    case PV_INSIDE_PLACE:
        return make_place(s, w, ret_fd);
    default:
        return EINVAL;
    }
}

static void on_asker(void *ctx, unsigned ready, pv_ns now)
{
    struct asker *a = ctx;
    struct pv_inside_want want;
    struct pv_inside_got got = {.error = EINVAL};
    int passed = -1, fd = -1;
    size_t n = 0;
    int r = pv_unix_read(a->fd, &want, sizeof(want), &n, &passed);
    if (passed >= 0)
        close(passed);
    if (r == PV_ERR_AGAIN)
        return;
    if (r < 0 || n != sizeof(want)) {
        end_asker(a);
        return;
    }
    got.error = serve(a->s, &want, &fd);
    r = pv_unix_write(a->fd, pv_view(&got, sizeof(got)), fd, &n);
    if (fd >= 0)
        close(fd);
    if (r < 0)
        end_asker(a);
}

int pv_stack_serve(struct pv_stack *s, int fd, bool *ret_ended)
{
    struct asker *a = s->n_askers < PV_STACK_ASKERS ? calloc(1, sizeof(*a)) : NULL;
    if (a == NULL || pv_watch_new(&a->watch, s->loop, fd, PV_LOOP_READ, on_asker, a) < 0) {
        int r = a == NULL && s->n_askers >= PV_STACK_ASKERS ? PV_ERR_LIMIT : PV_ERR_NOMEM;
        free(a);
        close(fd);
        return r;
    }
    a->s = s;
    a->fd = fd;
    a->ended = ret_ended;
    PV_LIST_ADD_FIRST(s->askers, a);
    s->n_askers++;
    return PV_OK;
}

static void end_askers(struct pv_stack *s)
{
    while (s->askers != NULL)
        end_asker(s->askers);
}

/* --- packets ------------------------------------------------------------------------------- */

static void on_packets(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_stack *s = ctx;
    if ((ready & PV_LOOP_WRITE) != 0)
        pv_stack_out_flush(&s->out, s->own[0]);
    for (unsigned q = 0; q < s->queues; q++) {
        for (unsigned i = 0; i < READ_BURST; i++) {
            ssize_t n = recv(s->own[q], s->buf, sizeof(s->buf), MSG_DONTWAIT);
            if (n <= 0)
                break;
            const struct pv_view packet = pv_view(s->buf, (size_t)n);
            if (n <= UINT16_MAX && pv_stack_is_welcome(packet, s->addrs, s->n_addrs))
                pv_stack_fair_add(s->fair, packet);
        }
    }
}

static void input_packets(struct pv_stack *s)
{
    for (unsigned i = 0; i < INPUT_BURST; i++) {
        struct pbuf *p = pv_stack_fair_take(s->fair);
        if (p == NULL)
            return;
        if (!pv_stack_guard_allows(pv_view(p->payload, p->len)) ||
            s->nif.input(p, &s->nif) != ERR_OK)
            pbuf_free(p);
    }
}

static void watch_queue(struct pv_stack *s)
{
    if (s->queues > 0)
        pv_watch_set(s->watch[0], PV_LOOP_READ | (s->out.n > 0 ? PV_LOOP_WRITE : 0));
}

static err_t send_packet(struct netif *nif, struct pbuf *p)
{
    struct pv_stack *s = nif->state;
    if (s->queues > 0)
        pv_stack_out_send(&s->out, s->own[0], p);
    return ERR_OK;
}

static err_t send_v4(struct netif *nif, struct pbuf *p, const ip4_addr_t *to)
{
    return send_packet(nif, p);
}

static err_t send_v6(struct netif *nif, struct pbuf *p, const ip6_addr_t *to)
{
    return send_packet(nif, p);
}

static err_t begin_netif(struct netif *nif)
{
    nif->name[0] = 'p';
    nif->name[1] = 'v';
    nif->output = send_v4;
    nif->output_ip6 = send_v6;
    nif->mtu = 1280;
    return ERR_OK;
}

/* --- the interface ------------------------------------------------------------------------- */

static int open_queue(struct pv_stack *s)
{
    int pair[2], size = BUFFER;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    for (int i = 0; i < 2; i++)
        (void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    int r = pv_watch_new(&s->watch[s->queues], s->loop, pair[0], PV_LOOP_READ, on_packets, s);
    if (r < 0) {
        close(pair[0]);
        close(pair[1]);
        return r;
    }
    s->own[s->queues] = pair[0];
    s->given[s->queues++] = pair[1];
    return PV_OK;
}

static void close_queues(struct pv_stack *s)
{
    pv_stack_out_clear(&s->out);
    while (s->queues > 0) {
        s->queues--;
        s->watch[s->queues] = pv_watch_free(s->watch[s->queues]);
        close(s->own[s->queues]);
        close(s->given[s->queues]);
    }
}

/* lwIP sends everything to its one interface, so the prefixes of the addresses do not matter. */
static void set_addrs(struct pv_stack *s, const struct pv_prefix *addrs, size_t n)
{
    ip4_addr_t own4 = {0}, any = {0};
    s8_t n6 = 0;
    s->n_addrs = 0;
    pv_stack_fair_clear(s->fair); /* they were welcome at the addresses until now */
    for (size_t i = 0; i < n; i++) {
        const ip_addr_t ip = to_ip(&addrs[i].base);
        if (IP_IS_V6_VAL(ip) && n6 < LWIP_IPV6_NUM_ADDRESSES - 1) {
            netif_ip6_addr_set(&s->nif, n6, ip_2_ip6(&ip));
            netif_ip6_addr_set_state(&s->nif, n6++, IP6_ADDR_PREFERRED);
        } else if (!IP_IS_V6_VAL(ip) && ip4_addr_isany_val(own4)) {
            own4 = *ip_2_ip4(&ip);
        } else {
            continue;
        }
        s->addrs[s->n_addrs++] = addrs[i].base;
    }
    for (; n6 < LWIP_IPV6_NUM_ADDRESSES; n6++)
        netif_ip6_addr_set_state(&s->nif, n6, IP6_ADDR_INVALID);
    netif_set_addr(&s->nif, &own4, &any, &any);
}

int pv_stack_up(struct pv_stack *s, const struct pv_prefix *addrs, size_t n, uint16_t mtu,
                unsigned queues, int ret_fds[static PV_STACK_QUEUES])
{
    int r = queues == 0 || queues > PV_STACK_QUEUES ? PV_ERR_LIMIT : PV_OK;
    if (r == PV_OK && s->queues != queues)
        close_queues(s);
    while (r == PV_OK && s->queues < queues)
        r = open_queue(s);
    if (r < 0) {
        close_queues(s);
        return r;
    }
    s->nif.mtu = s->nif.mtu6 = mtu;
    set_addrs(s, addrs, n);
    netif_set_up(&s->nif);
    netif_set_link_up(&s->nif);
    s->up = true;
    memcpy(ret_fds, s->given, s->queues * sizeof(int));
    return PV_OK;
}

void pv_stack_down(struct pv_stack *s)
{
    end_conns(s);
    /* Those that no program has any longer, too. */
    while (tcp_active_pcbs != NULL)
        tcp_abort(tcp_active_pcbs);
    while (tcp_tw_pcbs != NULL)
        tcp_abort(tcp_tw_pcbs);
    end_places(s);
    pv_stack_fair_clear(s->fair);
    netif_set_down(&s->nif);
    close_queues(s);
    s->n_addrs = 0;
    s->up = false;
}

/* --- life ---------------------------------------------------------------------------------- */

int pv_stack_new(struct pv_stack **ret_stack, struct pv_loop *loop, uint32_t seed)
{
    static bool begun;
    struct pv_stack *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return PV_ERR_NOMEM;
    s->loop = loop;
    s->sweep_at = PV_NEVER;
    srandom(seed); /* whose state lwIP takes ports from, by the other name */
    if (!begun)
        lwip_init();
    begun = true;
    if (pv_stack_fair_new(&s->fair, (uint32_t)random()) != PV_OK ||
        netif_add_noaddr(&s->nif, s, begin_netif, ip_input) == NULL) {
        pv_stack_fair_free(s->fair);
        free(s);
        return PV_ERR_NOMEM;
    }
    netif_set_default(&s->nif);
    *ret_stack = s;
    return PV_OK;
}

struct pv_stack *pv_stack_free(struct pv_stack *s)
{
    if (s != NULL) {
        end_askers(s);
        end_listeners(s);
        pv_stack_down(s);
        netif_remove(&s->nif);
        pv_stack_fair_free(s->fair);
        free(s);
    }
    return NULL;
}

/* lwIP has no limit of its own: what is over and waits for late packets (RFC 9293 s3.6) is kept to
 * a number here. */
static void trim(void)
{
    unsigned n = 0;
    for (struct tcp_pcb *p = tcp_tw_pcbs, *next; p != NULL; p = next) {
        next = p->next;
        if (++n > WAITING)
            tcp_abort(p);
    }
}

/* A segment that a small window holds up is split by a timer, which fails an assertion if the
 * window is larger than a segment, or 64 KiB exactly. A segment that fits by now is sent instead.
 */
static void run_timers(void)
{
    if (sys_timeouts_sleeptime() > 0)
        return;
    for (struct tcp_pcb *p = tcp_active_pcbs; p != NULL; p = p->next) {
        if (p->state < ESTABLISHED)
            continue;
        /* Nor does it find nothing to split, or others on their way. */
        if (p->persist_backoff > 0 &&
            (p->unsent == NULL || p->unacked != NULL || p->snd_wnd >= p->mss)) {
            p->persist_backoff = 0;
            pv_stack_sender_output(p);
        }
    }
    sys_check_timeouts();
    pv_stack_sender_timers();
}

pv_ns pv_stack_turn(struct pv_stack *s, pv_ns now)
{
    const bool sweep = now >= s->sweep_at;
    input_packets(s);
    const u32_t sender = pv_stack_sender_run();
    run_timers();
    if (sweep)
        trim();
    if (sweep || s->broken)
        reap_conns(s, sweep);
    watch_queue(s);
    if (tcp_active_pcbs == NULL && tcp_tw_pcbs == NULL)
        s->sweep_at = PV_NEVER;
    else if (sweep || s->sweep_at == PV_NEVER)
        s->sweep_at = now + SWEEP_EVERY;
    if (!pv_stack_fair_is_empty(s->fair))
        return now;
    const u32_t timers = sys_timeouts_sleeptime(), ms = timers < sender ? timers : sender;
    return pv_min_ns(s->sweep_at,
                     ms == SYS_TIMEOUTS_SLEEPTIME_INFINITE ? PV_NEVER : now + PV_MS(ms));
}
