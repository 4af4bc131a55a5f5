/* SPDX-License-Identifier: MIT */
/*
 * udp_send.c - batches of datagrams out, runs of equal ones as one (UDP_SEGMENT). Sending never
 * blocks and never retries: what the kernel does not take is dropped and counted, and the layer
 * above knows how to live with loss.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

#include "sys/net/sockaddr.h"
#include "sys/net/udp.h"
#include "sys/net/udp_int.h"

/* Control messages are appended one behind the other; the room suffices for all that can come
 * together (udp_int.h). */
static void add_cmsg(struct msghdr *msg, struct pv_udp_control *control, int level, int type,
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

/* The interface index stays 0: with it, IPv4 takes every destination for on-link. */
static void add_source(struct msghdr *msg, struct pv_udp_control *control,
                       const struct pv_addr *local)
{
    if (local->family == PV_AF_INET) {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, local->ip, 4);
        add_cmsg(msg, control, IPPROTO_IP, IP_PKTINFO, pv_view(&info, sizeof(info)));
    } else if (local->family == PV_AF_INET6) {
        struct in6_pktinfo info = {0};
        memcpy(&info.ipi6_addr, local->ip, 16);
        add_cmsg(msg, control, IPPROTO_IPV6, IPV6_PKTINFO, pv_view(&info, sizeof(info)));
    }
}

static void add_ttl(struct msghdr *msg, struct pv_udp_control *control,
                    const struct pv_udp_out *out)
{
    int ttl = out->ttl;
    bool v6 = out->dst.family == PV_AF_INET6;
    if (ttl != 0)
        add_cmsg(msg, control, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_HOPLIMIT : IP_TTL,
                 pv_view(&ttl, sizeof(ttl)));
}

static void add_ecn(struct msghdr *msg, struct pv_udp_control *control,
                    const struct pv_udp_out *out)
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

static void add_segment(struct msghdr *msg, struct pv_udp_control *control,
                        const struct pv_udp_out *out)
{
    if (is_run(out))
        add_cmsg(msg, control, SOL_UDP, UDP_SEGMENT, pv_view(&out->segment, sizeof(uint16_t)));
}

struct send_batch {
    struct mmsghdr msgs[PV_UDP_BATCH];
    struct iovec iov[4 * PV_UDP_BATCH];
    size_t n_iov;
    struct sockaddr_storage names[PV_UDP_BATCH];
    struct pv_udp_control controls[PV_UDP_BATCH];
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
    add_source(msg, &o->controls[i], &out->local);
    add_ttl(msg, &o->controls[i], out);
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
