/* SPDX-License-Identifier: MIT */
/*
 * udp_recv.c - batches of datagrams in, and the error queue. One recvmmsg() takes what waits. How
 * much is asked for adapts: few buffers while they come full (so that the first packet does not
 * wait for the last), many for floods of small ones.
 */
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "sys/net/sockaddr.h"
#include "sys/net/udp.h"
#include "sys/net/udp_int.h"
#include "sys/proc/compat.h"

enum {
    RECV_BYTES = 512 << 10, /* received at once, about: it stays in a core's cache, and the first
                             * packet waits until the last of them is opened */
    RECV_LEAST = 8,
    MERGED_MAX = 65536, /* bytes */
};

struct pv_udp_receiver {
    size_t n, cap, rows;
    size_t use;       /* how many of the n the next call uses */
    bool full;        /* the last call used all it might */
    uint8_t *buffers; /* rows * n * cap */
    uint8_t *shared;  /* deep: n * (cap + MERGED_MAX), else NULL */
    struct pv_udp_hints hints;
    struct pv_udp_in in[PV_UDP_BATCH];
    struct mmsghdr msgs[PV_UDP_BATCH];
    struct iovec iov[2 * PV_UDP_BATCH];
    struct sockaddr_storage names[PV_UDP_BATCH];
    struct pv_udp_control controls[PV_UDP_BATCH];
};

static int new_receiver(struct pv_udp_receiver **ret_rx, size_t n, size_t cap, size_t rows,
                        bool deep)
{
    struct pv_udp_receiver *rx = calloc(1, sizeof(*rx));
    uint8_t *buffers = malloc(rows * n * cap);
    uint8_t *shared = deep ? malloc(n * (cap + MERGED_MAX)) : NULL;
    if (rx == NULL || buffers == NULL || (deep && shared == NULL)) {
        free(rx);
        free(buffers);
        free(shared);
        return PV_ERR_NOMEM;
    }
    rx->n = n;
    rx->use = deep || n < RECV_LEAST ? n : RECV_LEAST;
    rx->cap = cap;
    rx->rows = rows;
    rx->buffers = buffers;
    rx->shared = shared;
    *ret_rx = rx;
    return PV_OK;
}

int pv_udp_receiver_new(struct pv_udp_receiver **ret_rx, size_t n, size_t cap)
{
    if (n == 0 || n > PV_UDP_BATCH)
        return PV_ERR_LIMIT;
    return new_receiver(ret_rx, n, cap, 1, false);
}

int pv_udp_receiver_new_deep(struct pv_udp_receiver **ret_rx, size_t rows, size_t cap)
{
    return new_receiver(ret_rx, PV_UDP_BATCH, cap, rows, true);
}

struct pv_udp_receiver *pv_udp_receiver_free(struct pv_udp_receiver *rx)
{
    if (rx != NULL) {
        if (rx->shared == NULL)
            explicit_bzero(rx->buffers, rx->n * rx->cap); /* decrypted packets lie in them */
        free(rx->buffers);
        free(rx->shared);
        free(rx);
    }
    return NULL;
}

static int int_of(struct cmsghdr *c)
{
    int v = 0;
    memcpy(&v, CMSG_DATA(c), sizeof(v));
    return v;
}

static pv_ns read_wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return PV_S(t.tv_sec) + (pv_ns)t.tv_nsec;
}

/* The kernel stamps by the wall clock, and only the difference counts: should that clock be set
 * meanwhile, it is wrong once. */
static pv_ns waited_since(const struct cmsghdr *c, pv_ns wall)
{
    struct timespec t;
    memcpy(&t, CMSG_DATA(c), sizeof(t));
    pv_ns then = PV_S(t.tv_sec) + (pv_ns)t.tv_nsec;
    return wall > then ? wall - then : 0;
}

/* Levels and types of both families; what was not asked for (opts) does not come. */
static void read_controls(struct msghdr *msg, struct pv_udp_in *in, pv_ns wall)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            in->local.family = PV_AF_INET;
            memcpy(in->local.ip, &info.ipi_addr, 4);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            in->local.family = PV_AF_INET6;
            memcpy(in->local.ip, &info.ipi6_addr, 16);
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
            in->ecn = *CMSG_DATA(c) & 3; /* one byte, unlike all others */
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
            in->ecn = (uint8_t)(int_of(c) & 3);
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            in->waited = waited_since(c, wall);
        } else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
            int segment = int_of(c);
            in->segment = segment > 0 && (size_t)segment < in->len ? (size_t)segment : 0;
        }
    }
}

/* Room for a long datagram: the part beyond cap is received into it, then that before it is put
 * in front. */
static uint8_t *shared_of(struct pv_udp_receiver *rx, size_t i)
{
    return rx->shared + i * (rx->cap + MERGED_MAX);
}

/* The kernel overwrites lengths and controls, so they are set before each call. */
static void prepare_row(struct pv_udp_receiver *rx, size_t row)
{
    size_t parts = rx->shared != NULL ? 2 : 1;
    uint8_t *buffers = rx->buffers + row * rx->n * rx->cap;
    for (size_t i = 0; i < rx->use; i++) {
        struct iovec *iov = &rx->iov[i * parts];
        iov[0] = (struct iovec){.iov_base = buffers + i * rx->cap, .iov_len = rx->cap};
        if (parts == 2)
            iov[1] = (struct iovec){.iov_base = shared_of(rx, i) + rx->cap, .iov_len = MERGED_MAX};
        rx->msgs[i].msg_hdr = (struct msghdr){
            .msg_name = &rx->names[i],
            .msg_namelen = sizeof(rx->names[i]),
            .msg_iov = iov,
            .msg_iovlen = parts,
            .msg_control = rx->controls[i].bytes,
            .msg_controllen = PV_UDP_CONTROL_SIZE,
        };
    }
}

size_t pv_udp_drain_errors(int fd, struct pv_udp_hints *hints)
{
    struct pv_udp_error error;
    size_t n = 0;
    while (n < 1024 && pv_udp_read_error(fd, &error) == PV_OK) {
        if (error.err == EMSGSIZE && hints->n < PV_UDP_HINTS)
            hints->errors[hints->n++] = error;
        n++;
    }
    return n;
}

struct pv_udp_hints *pv_udp_receiver_hints(struct pv_udp_receiver *rx)
{
    return &rx->hints;
}

/* Few buffers when they come full, so that nothing waits long for the rest; many for many small
 * datagrams. */
static void adapt_depth(struct pv_udp_receiver *rx, size_t got)
{
    size_t bytes = 0;
    for (size_t i = 0; i < got; i++)
        bytes += rx->in[i].len;
    rx->full = got == rx->use;
    if (rx->shared != NULL)
        return; /* deep */
    if (rx->full && bytes * 2 <= RECV_BYTES && rx->use < rx->n)
        rx->use = rx->use * 2 < rx->n ? rx->use * 2 : rx->n;
    else if (bytes > RECV_BYTES && rx->use > RECV_LEAST)
        rx->use = rx->use / 2 > RECV_LEAST ? rx->use / 2 : RECV_LEAST;
}

bool pv_udp_more(const struct pv_udp_receiver *rx)
{
    return rx->full;
}

int pv_udp_recv(struct pv_udp_receiver *rx, int fd, struct pv_udp_in **ret_in, size_t *ret_n)
{
    bool is_long;
    return pv_udp_recv_row(rx, fd, 0, ret_in, ret_n, &is_long);
}

/* A pending ICMP error makes recvmmsg() fail once although datagrams wait, so it is drained and the
 * call repeated. */
int pv_udp_recv_row(struct pv_udp_receiver *rx, int fd, size_t row, struct pv_udp_in **ret_in,
                    size_t *ret_n, bool *ret_long)
{
    size_t parts = rx->shared != NULL ? 2 : 1;
    prepare_row(rx, row);
    int n = recvmmsg(fd, rx->msgs, (unsigned)rx->use, MSG_DONTWAIT, NULL);
    if (n < 0) {
        int err = errno;
        if (err == EBADF || err == ENOTSOCK)
            return -err;
        /* A waiting ICMP error is reported here once, and keeps the socket ready until drained:
         * look again, there may be datagrams behind it. */
        if (pv_udp_drain_errors(fd, &rx->hints) > 0 || err != EAGAIN)
            n = recvmmsg(fd, rx->msgs, (unsigned)rx->use, MSG_DONTWAIT, NULL);
        if (n < 0)
            return PV_ERR_AGAIN;
    }
    *ret_long = false;
    pv_ns wall = read_wall();
    for (size_t i = 0; i < (size_t)n; i++) {
        struct msghdr *msg = &rx->msgs[i].msg_hdr;
        uint8_t *ptr = rx->iov[i * parts].iov_base;
        if (parts == 2 && rx->msgs[i].msg_len > rx->cap) {
            ptr = memcpy(shared_of(rx, i), ptr, rx->cap);
            *ret_long = true;
        }
        rx->in[i] = (struct pv_udp_in){
            .src = pv_sockaddr_to(&rx->names[i]),
            .ptr = ptr,
            .len = rx->msgs[i].msg_len,
            .cut = (msg->msg_flags & MSG_TRUNC) != 0,
        };
        read_controls(msg, &rx->in[i], wall);
    }
    *ret_in = rx->in;
    *ret_n = (size_t)n;
    adapt_depth(rx, (size_t)n);
    return PV_OK;
}

/* --- errors -------------------------------------------------------------------------------- */

/* Behind the error stands who sent it (SO_EE_OFFENDER of ip(7)). */
static struct pv_addr offender_of(const struct cmsghdr *c)
{
    struct sockaddr_storage ss = {0};
    size_t at = sizeof(struct sock_extended_err), len = c->cmsg_len - CMSG_LEN(0);
    if (len <= at || len - at > sizeof(ss))
        return (struct pv_addr){.family = PV_AF_NONE};
    memcpy(&ss, CMSG_DATA(c) + at, len - at);
    struct pv_addr a = pv_sockaddr_to(&ss);
    a.port = 0;
    return a;
}

/* The quoted bytes are the start of a datagram of ours, by which the owner finds out which one
 * failed. Anybody can forge an ICMP error. */
int pv_udp_read_error(int fd, struct pv_udp_error *ret_error)
{
    struct sockaddr_storage name = {0};
    struct pv_udp_control control;
    struct pv_udp_error error = {.quoted_len = 0};
    struct iovec quoted = {.iov_base = error.quoted, .iov_len = sizeof(error.quoted)};
    struct msghdr msg = {.msg_name = &name,
                         .msg_namelen = sizeof(name),
                         .msg_iov = &quoted,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = PV_UDP_CONTROL_SIZE};
    ssize_t n = recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT);
    if (n < 0)
        return PV_ERR_AGAIN;
    error.dst = pv_sockaddr_to(&name);
    error.quoted_len = (size_t)n;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
        bool v4 = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR;
        bool v6 = c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR;
        if (!v4 && !v6)
            continue;
        struct sock_extended_err ee;
        memcpy(&ee, CMSG_DATA(c), sizeof(ee));
        error.err = (int)ee.ee_errno;
        error.mtu = ee.ee_errno == EMSGSIZE ? ee.ee_info : 0;
        error.local = ee.ee_origin == SO_EE_ORIGIN_LOCAL;
        error.time_exceeded =
            (ee.ee_origin == SO_EE_ORIGIN_ICMP && ee.ee_type == ICMP_TIME_EXCEEDED) ||
            (ee.ee_origin == SO_EE_ORIGIN_ICMP6 && ee.ee_type == ICMP6_TIME_EXCEEDED);
        error.offender = offender_of(c);
    }
    *ret_error = error;
    return PV_OK;
}
