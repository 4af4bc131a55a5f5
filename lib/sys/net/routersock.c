/* SPDX-License-Identifier: MIT */
/*
 * routersock.c - sockets for PCP with the routers, and for what routers announce. Errors are eaten:
 * without these sockets there are no port mappings, and nothing else suffers.
 */
#include "sys/net/routersock.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/net/sockaddr.h"

enum {
    REQUESTS4,
    REQUESTS6,
    ANNOUNCED4,
    ANNOUNCED6,
};

/* Several programs of this host may listen to announcements (RFC 6887 s14.1.3). */
static int open_router_socket(const struct pv_addr *at, bool shared)
{
    struct sockaddr_storage ss;
    socklen_t len = pv_sockaddr_from(at, &ss);
    int one = 1;
    int fd = socket(at->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if ((at->family == PV_AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0) ||
        (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0) ||
        bind(fd, (struct sockaddr *)&ss, len) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

void pv_routersock_open(struct pv_routersock *rs, uint16_t announce_port)
{
    const struct pv_addr any4 = {.family = PV_AF_INET};
    const struct pv_addr any6 = {.family = PV_AF_INET6};
    /* 224.0.0.1 and ff02::1: every host is in these groups. A socket bound to a link-local group
     * needs an interface, so the IPv6 one takes what comes to the port. */
    const struct pv_addr all4 = pv_addr4(224, 0, 0, 1, announce_port);
    const struct pv_addr all6 = {.family = PV_AF_INET6, .port = announce_port};
    rs->fds[REQUESTS4] = open_router_socket(&any4, false);
    rs->fds[REQUESTS6] = open_router_socket(&any6, false);
    rs->fds[ANNOUNCED4] = open_router_socket(&all4, true);
    rs->fds[ANNOUNCED6] = open_router_socket(&all6, true);
}

void pv_routersock_close(struct pv_routersock *rs)
{
    for (size_t i = 0; i < PV_ROUTERSOCK_FDS; i++) {
        if (rs->fds[i] >= 0)
            close(rs->fds[i]);
        rs->fds[i] = -1;
    }
}

/* The source address: the one the mapping is for (RFC 6887 s16.4). */
static void put_source(struct msghdr *msg, const struct pv_addr *local, uint32_t ifindex)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    if (local->family == PV_AF_INET) {
        struct in_pktinfo info = {.ipi_ifindex = 0};
        memcpy(&info.ipi_spec_dst, local->ip, 4);
        c->cmsg_level = IPPROTO_IP;
        c->cmsg_type = IP_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(c), &info, sizeof(info));
    } else {
        struct in6_pktinfo info = {.ipi6_ifindex = ifindex};
        memcpy(&info.ipi6_addr, local->ip, 16);
        c->cmsg_level = IPPROTO_IPV6;
        c->cmsg_type = IPV6_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(c), &info, sizeof(info));
    }
    msg->msg_controllen = c->cmsg_len;
}

/* The source address is set for each datagram, since the mapping is made for the address that it
 * comes from (RFC 6887 s8.1). */
int pv_routersock_send(const struct pv_routersock *rs, const struct pv_addr *dst,
                       const struct pv_addr *local, uint32_t ifindex, struct pv_view data)
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = {0};
    uint8_t bytes[PV_ROUTERSOCK_MAX];
    struct sockaddr_storage ss;
    socklen_t len = pv_sockaddr_from(dst, &ss);
    int fd = rs->fds[dst->family == PV_AF_INET6 ? REQUESTS6 : REQUESTS4];
    if (fd < 0 || len == 0 || local->family != dst->family || data.len > sizeof(bytes))
        return PV_ERR_UNSUPPORTED;
    memcpy(bytes, data.ptr, data.len);
    if (dst->family == PV_AF_INET6 && pv_addr_is_link_local(dst)) {
        struct sockaddr_in6 in6;
        memcpy(&in6, &ss, sizeof(in6));
        in6.sin6_scope_id = ifindex;
        memcpy(&ss, &in6, sizeof(in6));
    } else {
        ifindex = 0;
    }
    struct iovec iov = {.iov_base = bytes, .iov_len = data.len};
    struct msghdr msg = {.msg_name = &ss,
                         .msg_namelen = len,
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    put_source(&msg, local, ifindex);
    return sendmsg(fd, &msg, MSG_NOSIGNAL) < 0 ? -errno : PV_OK;
}

int pv_routersock_recv(const struct pv_routersock *rs, size_t i,
                       uint8_t buf[static PV_ROUTERSOCK_MAX], struct pv_addr *ret_src,
                       size_t *ret_len)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    ssize_t n = recvfrom(rs->fds[i], buf, PV_ROUTERSOCK_MAX, 0, (struct sockaddr *)&ss, &len);
    if (n < 0)
        return PV_ERR_AGAIN;
    *ret_src = pv_sockaddr_to(&ss);
    *ret_len = (size_t)n;
    return PV_OK;
}
