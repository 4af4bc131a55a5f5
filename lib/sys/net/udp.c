/* SPDX-License-Identifier: MIT */
/*
 * udp.c - UDP sockets: opening them (options, groups of one port, the program that steers them),
 * batches of datagrams out (runs of equal ones as one, UDP_SEGMENT) and in (recvmmsg(), UDP_GRO),
 * and the error queue. Sending never blocks and never retries: what the kernel does not take is
 * dropped and counted, and the layer above knows how to live with loss. How many are asked for
 * adapts: few buffers while they come full (so that the first packet does not wait for the last),
 * many for floods of small ones.
 */
#include "sys/net/udp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sys/net/sockaddr.h"
#include "sys/proc/compat.h"

enum {
    /* PKTINFO (32 or 40 bytes), a time (32) and TTL, options, TOS, segment (24 each), or an ICMP
     * error with its offender (64). */
    CONTROL_SIZE = 192,
};

struct control {
    _Alignas(struct cmsghdr) uint8_t bytes[CONTROL_SIZE];
};

/* Control messages are appended one behind the other. */
static void add_cmsg(struct msghdr *msg, struct control *control, int level, int type,
                     struct pv_view data)
{
    struct cmsghdr *c = (struct cmsghdr *)(void *)(control->bytes + msg->msg_controllen);
    msg->msg_control = control->bytes;
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(data.len);
    memcpy(CMSG_DATA(c), data.ptr, data.len);
    msg->msg_controllen += CMSG_SPACE(data.len);
}

/* The interface index is for multicast alone: with it, IPv4 takes every destination for on-link. */
static void add_source(struct msghdr *msg, struct control *control, const struct pv_udp_out *out)
{
    const struct pv_addr *local = &out->local;
    if (local->family == PV_AF_INET) {
        struct in_pktinfo info = {.ipi_ifindex = (int)out->ifindex};
        memcpy(&info.ipi_spec_dst, local->ip, 4);
        add_cmsg(msg, control, IPPROTO_IP, IP_PKTINFO, pv_view(&info, sizeof(info)));
    } else if (local->family == PV_AF_INET6) {
        struct in6_pktinfo info = {.ipi6_ifindex = out->ifindex};
        memcpy(&info.ipi6_addr, local->ip, 16);
        add_cmsg(msg, control, IPPROTO_IPV6, IPV6_PKTINFO, pv_view(&info, sizeof(info)));
    }
}

static void add_ttl(struct msghdr *msg, struct control *control, const struct pv_udp_out *out)
{
    int ttl = out->ttl;
    bool v6 = out->dst.family == PV_AF_INET6;
    if (ttl != 0)
        add_cmsg(msg, control, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_HOPLIMIT : IP_TTL,
                 pv_view(&ttl, sizeof(ttl)));
}

/*
 * A TTL is counted where a packet is forwarded, so the router that it is for takes it in with any,
 * and its connection tracking remembers it. Linux counts IP's timestamp option (RFC 791) wherever a
 * packet comes in: one without room for a time counts the machines it has passed in four bits, and
 * where these are full it is dropped before connection tracking has it for good. Others pass the
 * option on or drop the packet; on most of the internet's ways it would be dropped, but there the
 * TTL has been used up.
 */
static void add_stop(struct msghdr *msg, struct control *control, const struct pv_udp_out *out)
{
    enum {
        TIMESTAMP = 68,
        LEN = 4,
        FULL = LEN + 1,
        OVERFLOWS = 16
    };
    if (!out->opener || out->dst.family != PV_AF_INET || out->ttl < 2 || out->ttl > OVERFLOWS)
        return;
    uint8_t option[LEN] = {TIMESTAMP, LEN, FULL, (uint8_t)((OVERFLOWS - out->ttl) << 4)};
    add_cmsg(msg, control, IPPROTO_IP, IP_RETOPTS, pv_view(option, sizeof(option)));
}

static void add_ecn(struct msghdr *msg, struct control *control, const struct pv_udp_out *out)
{
    int tos = out->ecn;
    bool v6 = out->dst.family == PV_AF_INET6;
    if (tos != 0)
        add_cmsg(msg, control, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TCLASS : IP_TOS,
                 pv_view(&tos, sizeof(tos)));
}

/* Only for two and more: with the option even one must be below the interface's MTU. */
static bool is_run(const struct pv_udp_out *out)
{
    if (out->parts != NULL)
        return out->n_parts > 1;
    return out->segment != 0 && out->data.len > out->segment;
}

static void add_segment(struct msghdr *msg, struct control *control, const struct pv_udp_out *out)
{
    if (is_run(out))
        add_cmsg(msg, control, SOL_UDP, UDP_SEGMENT, pv_view(&out->segment, sizeof(uint16_t)));
}

struct send_batch {
    struct mmsghdr msgs[PV_UDP_BATCH];
    struct iovec iov[4 * PV_UDP_BATCH];
    size_t n_iov;
    struct sockaddr_storage names[PV_UDP_BATCH];
    struct control controls[PV_UDP_BATCH];
};

static size_t count_iov(const struct pv_udp_out *out)
{
    return out->parts != NULL ? out->n_parts : 1;
}

static void fill_outgoing(struct send_batch *o, size_t i, const struct pv_udp_out *out)
{
    struct msghdr *msg = &o->msgs[i].msg_hdr;
    const struct pv_view *parts = out->parts != NULL ? out->parts : &out->data;
    size_t n = count_iov(out);
    *msg = (struct msghdr){.msg_name = &o->names[i],
                           .msg_namelen = pv_sockaddr_from(&out->dst, &o->names[i]),
                           .msg_iov = &o->iov[o->n_iov],
                           .msg_iovlen = n};
    for (size_t k = 0; k < n; k++) {
        /* sendmsg() does not write through iov_base; the type is not const for recvmsg's sake. */
        union {
            const uint8_t *in;
            void *out;
        } base = {.in = parts[k].ptr};
        o->iov[o->n_iov++] = (struct iovec){.iov_base = base.out, .iov_len = parts[k].len};
    }
    add_source(msg, &o->controls[i], out);
    add_ttl(msg, &o->controls[i], out);
    add_stop(msg, &o->controls[i], out);
    add_ecn(msg, &o->controls[i], out);
    add_segment(msg, &o->controls[i], out);
}

static size_t count_datagrams(const struct pv_udp_out *out)
{
    if (out->parts != NULL)
        return out->n_parts;
    return is_run(out) ? (out->data.len + out->segment - 1) / out->segment : 1;
}

static void count_failure(struct pv_udp_counts *counts, int err)
{
    if (err == EAGAIN || err == ENOBUFS || err == ENOMEM)
        counts->full++;
    else if (err == EMSGSIZE)
        counts->too_big++;
    else
        counts->failed++;
}

static void send_one_by_one(int fd, const struct pv_udp_out *run, struct pv_udp_counts *counts);

/*
 * Sends msgs[0..n) of which the first failed with err. A waiting ICMP error makes the kernel
 * return it and send nothing, so after draining the same datagram is tried once more; then it is
 * skipped. Returns how many are done with (at least 1).
 */
static size_t handle_failure(int fd, struct mmsghdr *msgs, const struct pv_udp_out *out, int err,
                             struct pv_udp_counts *counts)
{
    if (err == EINTR)
        return 0;
    size_t drained = err == EAGAIN ? 0 : pv_udp_drain_errors(fd, &counts->hints);
    counts->icmp += drained;
    if (drained > 0) {
        if (sendmsg(fd, &msgs->msg_hdr, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
            counts->sent += count_datagrams(out);
            return 1;
        }
        err = errno;
    }
    /* EIO: the interface cannot checksum what it must cut. EINVAL: the kernel does not know
     * UDP_SEGMENT (before 4.18), or not so many. EMSGSIZE: this path is too narrow for it now.
     * EINVAL has other reasons too (a source address that is gone): only when the datagrams alone
     * are taken was it the run. */
    if (is_run(out) && (err == EIO || err == EINVAL || err == EMSGSIZE)) {
        uint64_t sent = counts->sent;
        send_one_by_one(fd, out, counts);
        if (err != EMSGSIZE && counts->sent > sent)
            counts->no_segment = err;
        return 1;
    }
    count_failure(counts, err);
    return 1;
}

/* Batches end at the number of datagrams or of pieces, whichever comes first. sendmmsg() stops at
 * the first datagram that fails, which is then handled alone. */
static void send_messages(int fd, const struct pv_udp_out *out, size_t n,
                          struct pv_udp_counts *counts)
{
    struct send_batch o;
    while (n > 0) {
        size_t batch = 0;
        o.n_iov = 0;
        while (batch < n && batch < PV_UDP_BATCH &&
               o.n_iov + count_iov(&out[batch]) <= PV_ARRAY_LEN(o.iov)) {
            fill_outgoing(&o, batch, &out[batch]);
            batch++;
        }
        size_t done = 0;
        while (done < batch) {
            int r =
                sendmmsg(fd, o.msgs + done, (unsigned)(batch - done), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (r > 0) {
                for (int i = 0; i < r; i++)
                    counts->sent += count_datagrams(&out[done + (size_t)i]);
                done += (size_t)r;
            } else {
                done +=
                    handle_failure(fd, o.msgs + done, out + done, r < 0 ? errno : EAGAIN, counts);
            }
        }
        out += batch;
        n -= batch;
    }
}

/* A run that the kernel or this path cannot take as one: its datagrams leave as single ones, in
 * order. */
static void send_one_by_one(int fd, const struct pv_udp_out *run, struct pv_udp_counts *counts)
{
    struct pv_udp_out out[PV_UDP_BATCH];
    size_t n = 0;
    counts->split++;
    for (size_t i = 0; run->parts != NULL && i < run->n_parts; i++) {
        out[n] = *run;
        out[n].parts = NULL;
        out[n].segment = 0;
        out[n++].data = run->parts[i];
    }
    for (size_t at = 0; run->parts == NULL && at < run->data.len; at += run->segment) {
        size_t rest = run->data.len - at;
        out[n] = *run;
        out[n].segment = 0;
        out[n++].data = pv_view(run->data.ptr + at, rest < run->segment ? rest : run->segment);
        if (n == PV_UDP_BATCH) {
            send_messages(fd, out, n, counts);
            n = 0;
        }
    }
    send_messages(fd, out, n, counts);
}

void pv_udp_send(int fd, const struct pv_udp_out *out, size_t n, struct pv_udp_counts *counts)
{
    if (counts->no_segment == 0) {
        send_messages(fd, out, n, counts);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (is_run(&out[i]))
            send_one_by_one(fd, &out[i], counts);
        else
            send_messages(fd, &out[i], 1, counts);
    }
}

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
    struct control controls[PV_UDP_BATCH];
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
            .msg_controllen = CONTROL_SIZE,
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
    struct control control;
    struct pv_udp_error error = {.quoted_len = 0};
    struct iovec quoted = {.iov_base = error.quoted, .iov_len = sizeof(error.quoted)};
    struct msghdr msg = {.msg_name = &name,
                         .msg_namelen = sizeof(name),
                         .msg_iov = &quoted,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = CONTROL_SIZE};
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

static int set_udp_int(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : PV_OK;
}

/* The privileged form ignores the system-wide limit; the plain one takes what it can get. */
static void set_buffers(int fd)
{
    if (set_udp_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, PV_UDP_SOCKBUF) < 0)
        (void)!set_udp_int(fd, SOL_SOCKET, SO_RCVBUF, PV_UDP_SOCKBUF);
    if (set_udp_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, PV_UDP_SOCKBUF) < 0)
        (void)!set_udp_int(fd, SOL_SOCKET, SO_SNDBUF, PV_UDP_SOCKBUF);
}

/*
 * The program that chooses among a group's sockets, which are counted in the order of bind; offset
 * 0 is the first byte of the datagram. It never returns n or more: the kernel would take any socket
 * then, also one that only sends. A load behind the end returns 0.
 */
static int attach_program(int fd, unsigned n)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 4, 0, 3), /* transport data, whitepaper s5.4.6 */
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 4),        /* the low byte of the receiver index */
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, n, 1, 0),
        BPF_STMT(BPF_RET | BPF_A, 0),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog prog = {.len = PV_ARRAY_LEN(code), .filter = code};
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &prog, sizeof(prog)) < 0)
        return -errno;
    return PV_OK;
}

void pv_udp_set_gro(int fd)
{
    (void)!set_udp_int(fd, SOL_UDP, UDP_GRO,
                       1); /* Linux 5.0; without it datagrams come one by one */
}

bool pv_udp_has_gro(int fd)
{
    int value = 0;
    socklen_t len = sizeof(value);
    return getsockopt(fd, SOL_UDP, UDP_GRO, &value, &len) == 0 && value != 0;
}

/* PKTINFO tells to which address a datagram came, so that the answer leaves from there: NATs and
 * firewalls accept no other. RECVERR brings ICMP errors to the socket's error queue. */
static int set_udp_options(int fd, bool v6, const struct pv_udp_opts *opts)
{
    int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
    int r = v6 ? set_udp_int(fd, level, IPV6_V6ONLY, 1) : PV_OK;
    if (r >= 0)
        r = set_udp_int(fd, level, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, 1);
    if (r >= 0)
        r = set_udp_int(fd, level, v6 ? IPV6_RECVERR : IP_RECVERR, 1);
    if (r >= 0 && opts->df)
        r = set_udp_int(fd, level, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER,
                        v6 ? IPV6_PMTUDISC_PROBE : IP_PMTUDISC_PROBE);
    if (r >= 0 && opts->cut)
        r = set_udp_int(fd, level, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER,
                        v6 ? IPV6_PMTUDISC_DONT : IP_PMTUDISC_OMIT);
    if (r >= 0 && opts->ecn)
        r = set_udp_int(fd, level, v6 ? IPV6_RECVTCLASS : IP_RECVTOS, 1);
    if (r >= 0 && opts->waited)
        r = set_udp_int(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    if (opts->mark != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_MARK, &opts->mark, sizeof(opts->mark));
    if (r >= 0) {
        set_buffers(fd);
        if (opts->gro)
            pv_udp_set_gro(fd);
    }
    return r;
}

static int bind_udp(int fd, const struct pv_addr *addr)
{
    struct sockaddr_storage ss;
    socklen_t len = pv_sockaddr_from(addr, &ss);
    if (bind(fd, (struct sockaddr *)&ss, len) == 0)
        return PV_OK;
    return errno == EADDRINUSE ? PV_ERR_EXISTS : -errno;
}

static int new_udp_socket(const struct pv_addr *addr, int *ret_fd)
{
    int fd = socket(addr->family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return PV_OK;
}

/* With SO_REUSEPORT two daemons of one user could share a port without noticing: ask without. */
static int check_free(const struct pv_addr *addr)
{
    int fd = -1;
    int r = new_udp_socket(addr, &fd);
    if (r < 0)
        return r;
    if (addr->family == PV_AF_INET6)
        r = set_udp_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (r >= 0)
        r = bind_udp(fd, addr);
    close(fd);
    return r;
}

/* The role of a socket within the group of its port. */
struct membership {
    bool shares;       /* it is in a group */
    unsigned steer_to; /* how many sockets of the group receive; 0: it is not the first */
};

/* The program is attached before bind, so that no datagram is ever distributed without it. */
static int open_udp_socket(const struct pv_addr *addr, const struct pv_udp_opts *opts,
                           struct membership group, int *ret_fd)
{
    int fd = -1, r = new_udp_socket(addr, &fd);
    if (r < 0)
        return r;
    r = set_udp_options(fd, addr->family == PV_AF_INET6, opts);
    if (r >= 0 && group.shares)
        r = set_udp_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (r >= 0 && group.steer_to != 0)
        r = attach_program(fd, group.steer_to); /* before bind: never without */
    if (r >= 0 && opts->ifname != NULL &&
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, opts->ifname, (socklen_t)strlen(opts->ifname)) <
            0)
        r = -errno;
    if (r >= 0)
        r = bind_udp(fd, addr);
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return PV_OK;
}

static bool is_ip(const struct pv_addr *addr)
{
    return addr->family == PV_AF_INET || addr->family == PV_AF_INET6;
}

int pv_udp_open(const struct pv_addr *addr, const struct pv_udp_opts *opts, int *ret_fd)
{
    if (!is_ip(addr))
        return -EAFNOSUPPORT;
    return open_udp_socket(addr, opts, (struct membership){.shares = false}, ret_fd);
}

int pv_udp_join(int fd, const struct pv_udp_opts *opts, int *ret_fd)
{
    struct pv_addr addr;
    int r = pv_udp_local(fd, &addr);
    if (r < 0)
        return r;
    return open_udp_socket(&addr, opts, (struct membership){.shares = true}, ret_fd);
}

/* The order of bind is the order by which the program counts, so sockets are bound one after the
 * other; with port 0 the first one gets the port for all. */
int pv_udp_open_group(const struct pv_addr *addr, const struct pv_udp_opts *opts, unsigned n,
                      int ret_fds[static PV_UDP_GROUP_MAX])
{
    int fds[PV_UDP_GROUP_MAX], r = PV_OK;
    unsigned open = 0;
    if (!is_ip(addr))
        return -EAFNOSUPPORT;
    if (n == 0 || n > PV_UDP_GROUP_MAX)
        return PV_ERR_LIMIT;
    if (addr->port != 0)
        r = check_free(addr);
    while (r >= 0 && open < n) {
        r = open == 0 ? open_udp_socket(addr, opts, (struct membership){true, n}, &fds[0])
                      : pv_udp_join(fds[0], opts, &fds[open]);
        open += r >= 0 ? 1 : 0;
    }
    if (r < 0) {
        while (open > 0)
            close(fds[--open]);
        return r;
    }
    memcpy(ret_fds, fds, n * sizeof(fds[0]));
    return PV_OK;
}

void pv_udp_group_close(struct pv_udp_group *group)
{
    for (unsigned i = 0; i < group->n; i++) {
        close(group->fd4[i]);
        if (group->fd6[i] >= 0)
            close(group->fd6[i]);
    }
    if (group->has_cut) {
        close(group->cut4);
        if (group->cut6 >= 0)
            close(group->cut6);
    }
    group->has_cut = false;
    group->n = 0;
}

/* PROBE ignores the kernel's cache of path MTUs: ours is measured for each path. */
int pv_udp_set_df(int fd, uint16_t family, bool df)
{
    if (family == PV_AF_INET6)
        return set_udp_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER,
                           df ? IPV6_PMTUDISC_PROBE : IPV6_PMTUDISC_DONT);
    return set_udp_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, df ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT);
}

uint64_t pv_udp_not_received(int fd)
{
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t len = sizeof(info);
    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0)
        return 0; /* before Linux 4.12 */
    return info[SK_MEMINFO_DROPS];
}

int pv_udp_connect(int fd, const struct pv_addr *addr)
{
    struct sockaddr_storage ss;
    socklen_t len = pv_sockaddr_from(addr, &ss);
    return connect(fd, (struct sockaddr *)&ss, len) < 0 ? -errno : PV_OK;
}

int pv_udp_local(int fd, struct pv_addr *ret_addr)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
        return -errno;
    *ret_addr = pv_sockaddr_to(&ss);
    return PV_OK;
}
