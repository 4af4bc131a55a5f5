/* SPDX-License-Identifier: MIT */
/* stack.c - lwIP's life, its interface, and packets in and out of it. */
#include "sys/stack/stack.h"

#include <errno.h>
#include <lwip/init.h>
#include <lwip/ip.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/timeouts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sys/stack/stack_int.h"

enum {
    BURST = 64,       /* ours: packets of a queue before others have their turn */
    PARTS_MAX = 64,   /* of a packet that lwIP sends, far more than it makes */
    BUFFER = 4 << 20, /* bytes wished for a queue; the kernel gives what it allows */
};
#define SWEEP_EVERY PV_MS(500)

bool pv_stack_is_built(void)
{
    return true;
}

/* --- addresses ----------------------------------------------------------------------------- */

ip_addr_t pv_stack_to_ip(const struct pv_addr *a)
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

struct pv_addr pv_stack_of_ip(const ip_addr_t *ip, uint16_t port)
{
    struct pv_addr a = {.port = port};
    a.family = IP_IS_V6(ip) ? PV_AF_INET6 : PV_AF_INET;
    if (IP_IS_V6(ip))
        memcpy(a.ip, ip_2_ip6(ip)->addr, PV_IP6_LEN);
    else
        memcpy(a.ip, &ip_2_ip4(ip)->addr, PV_IP4_LEN);
    return a;
}

int pv_stack_errno(err_t err)
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

bool pv_stack_is_own(const struct pv_stack *s, const struct pv_addr *a)
{
    for (size_t i = 0; i < s->n_addrs; i++)
        if (pv_addr_equal_ip(&s->addrs[i], a))
            return true;
    return false;
}

/* --- packets ------------------------------------------------------------------------------- */

static void on_packets(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_stack *s = ctx;
    for (unsigned q = 0; q < s->queues; q++) {
        for (unsigned i = 0; i < BURST; i++) {
            ssize_t n = recv(s->own[q], s->buf, sizeof(s->buf), MSG_DONTWAIT);
            if (n <= 0)
                break;
            const struct pv_view packet = pv_view(s->buf, (size_t)n);
            if (!pv_stack_is_welcome(packet, s->addrs, s->n_addrs) ||
                pv_stack_is_false_answer(packet))
                continue;
            struct pbuf *p = pbuf_alloc(PBUF_RAW, (u16_t)n, PBUF_RAM);
            if (p == NULL) /* lost, as packets are */
                continue;
            if (pbuf_take(p, s->buf, (u16_t)n) != ERR_OK || s->nif.input(p, &s->nif) != ERR_OK)
                pbuf_free(p);
        }
    }
}

/* A packet that finds the queue full is lost, as on a network card. */
static err_t send_packet(struct netif *nif, struct pbuf *p)
{
    const struct pv_stack *s = nif->state;
    struct iovec iov[PARTS_MAX];
    size_t n = 0;
    for (; p != NULL && n < PARTS_MAX; p = p->next)
        iov[n++] = (struct iovec){.iov_base = p->payload, .iov_len = p->len};
    const struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n};
    if (s->queues > 0 && p == NULL)
        (void)!sendmsg(s->own[0], &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
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
    for (size_t i = 0; i < n; i++) {
        const ip_addr_t ip = pv_stack_to_ip(&addrs[i].base);
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
    s->nif.rs_count = 0; /* there is no router to be asked for */
    s->nif.ip6_autoconfig_enabled = 0;
    s->up = true;
    memcpy(ret_fds, s->given, s->queues * sizeof(int));
    return PV_OK;
}

void pv_stack_down(struct pv_stack *s)
{
    pv_stack_end_conns(s);
    pv_stack_end_places(s);
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
    if (netif_add_noaddr(&s->nif, s, begin_netif, ip_input) == NULL) {
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
        pv_stack_end_askers(s);
        pv_stack_end_listeners(s);
        pv_stack_down(s);
        netif_remove(&s->nif);
        free(s);
    }
    return NULL;
}

/* lwIP has no limits of its own in Debian: what a member has begun and not finished, and what is
 * over and waits for late packets (RFC 9293 s3.6), is kept to a number here. */
static void trim(void)
{
    unsigned n = 0;
    for (struct tcp_pcb *p = tcp_active_pcbs, *next; p != NULL; p = next) {
        next = p->next;
        if (p->state == SYN_RCVD && ++n > PV_STACK_WAITING)
            tcp_abort(p);
    }
    n = 0;
    for (struct tcp_pcb *p = tcp_tw_pcbs, *next; p != NULL; p = next) {
        next = p->next;
        if (++n > PV_STACK_WAITING)
            tcp_abort(p);
    }
}

/* A segment that a small window holds up is split by a timer, which fails an assertion where the
 * window is larger than mss, or 64 KiB exactly; any packet of a member's can make mss and cwnd one
 * byte. A segment that fits by now is sent instead. */
static void run_timers(void)
{
    if (sys_timeouts_sleeptime() > 0)
        return;
    for (struct tcp_pcb *p = tcp_active_pcbs; p != NULL; p = p->next) {
        if (p->state < ESTABLISHED)
            continue;
        p->mss = TCP_MSS;
        if (p->cwnd < TCP_MSS)
            p->cwnd = TCP_MSS;
        /* Nor does it find nothing to split, or others on their way. */
        if (p->persist_backoff > 0 &&
            (p->unsent == NULL || p->unacked != NULL || p->snd_wnd >= TCP_MSS)) {
            p->persist_backoff = 0;
            (void)tcp_output(p);
        }
    }
    sys_check_timeouts();
}

pv_ns pv_stack_turn(struct pv_stack *s, pv_ns now)
{
    const bool sweep = now >= s->sweep_at;
    run_timers();
    if (sweep)
        trim();
    if (sweep || s->broken)
        pv_stack_reap_conns(s, sweep);
    if (tcp_active_pcbs == NULL && tcp_tw_pcbs == NULL)
        s->sweep_at = PV_NEVER;
    else if (sweep || s->sweep_at == PV_NEVER)
        s->sweep_at = now + SWEEP_EVERY;
    const u32_t ms = sys_timeouts_sleeptime();
    return pv_min_ns(s->sweep_at,
                     ms == SYS_TIMEOUTS_SLEEPTIME_INFINITE ? PV_NEVER : now + PV_MS(ms));
}
