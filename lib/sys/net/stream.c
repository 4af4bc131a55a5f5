/* SPDX-License-Identifier: MIT */
/*
 * stream.c - TCP connections without blocking.
 */
#include "sys/net/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/net/inside.h"
#include "sys/net/sockaddr.h"

enum {
    UNSENT_MAX = 32 * 1024, /* ours: bytes that the kernel may hold unsent, as PV_LINEWAIT_LEAST */
};

static int set_stream_int(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : PV_OK;
}

static int new_tcp_socket(const struct pv_addr *addr, const char *ifname, int *ret_fd)
{
    if (addr->family != PV_AF_INET && addr->family != PV_AF_INET6)
        return -EAFNOSUPPORT;
    const int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd =
        ifname == NULL ? socket(addr->family, type, 0) : pv_inside_socket(addr->family, type, 0);
    if (fd < 0)
        return -errno;
    int r = PV_OK;
    if (ifname != NULL &&
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, ifname, (socklen_t)strlen(ifname)) < 0)
        r = -errno;
    if (r < 0)
        close(fd);
    else
        *ret_fd = fd;
    return r;
}

static int bind_tcp(int fd, const struct pv_addr *addr)
{
    struct sockaddr_storage ss;
    socklen_t len = pv_sockaddr_from(addr, &ss);
    if (bind(fd, (struct sockaddr *)&ss, len) == 0)
        return PV_OK;
    return errno == EADDRINUSE ? PV_ERR_EXISTS : -errno;
}

/* Messages are small and latency matters, hence no Nagle; and a dead peer must not hold a
 * connection for hours, which is the kernel's default. */
static int set_tcp_options(int fd)
{
    int r = set_stream_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (r >= 0)
        r = set_stream_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, PV_STREAM_USER_TIMEOUT);
    if (r >= 0)
        r = set_stream_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    return r;
}

/* A short segment size where the way is unknown: tunnels and broken paths swallow full ones without
 * a word, and TCP would stall for ever. */
int pv_stream_connect(const struct pv_addr *dst, const struct pv_stream_bind *tie, int *ret_fd)
{
    int fd = -1;
    if (tie->ifname != NULL && pv_inside_is_stack())
        return pv_inside_ask(&(struct pv_inside_want){.kind = PV_INSIDE_CONNECT,
                                                      .local = tie->local,
                                                      .remote = *dst},
                             ret_fd);
    int r = new_tcp_socket(dst, tie->ifname, &fd);
    if (r < 0)
        return r;
    r = set_tcp_options(fd);
    /* Told to the other side too: both stay below what narrow paths swallow without a word. */
    if (r >= 0 && !tie->wide)
        r = set_stream_int(fd, IPPROTO_TCP, TCP_MAXSEG, PV_STREAM_SEGMENT);
    /* The port is found when it is known where to: bind() alone would look for one that nobody uses
     * at all, which takes milliseconds when thousands are in use. */
    if (r >= 0 && tie->local.family != PV_AF_NONE && tie->local.port == 0)
        r = set_stream_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    if (r >= 0 && tie->local.family != PV_AF_NONE)
        r = bind_tcp(fd, &tie->local);
    struct sockaddr_storage ss;
    socklen_t len = pv_sockaddr_from(dst, &ss);
    if (r >= 0 && connect(fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS)
        r = -errno;
    if (r < 0)
        close(fd);
    else
        *ret_fd = fd;
    return r;
}

int pv_stream_set_user_timeout(int fd, int ms)
{
    return set_stream_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, ms);
}

/* SO_ERROR tells how the connect ended; without an error it may still be under way. */
int pv_stream_connected(int fd)
{
    int err = 0;
    socklen_t len = sizeof(err);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        return -errno;
    if (err != 0)
        return -err;
    struct sockaddr_storage ss;
    len = sizeof(ss);
    if (getpeername(fd, (struct sockaddr *)&ss, &len) < 0)
        return errno == ENOTCONN ? PV_ERR_AGAIN : -errno;
    return ss.ss_family == AF_UNIX ? pv_inside_connected(fd) : PV_OK;
}

/* IPv6 listeners take no IPv4 (RFC 3493 s5.3), so that each family has a socket of its own and
 * addresses come in one form. */
int pv_stream_listen(const struct pv_addr *addr, const char *ifname, int *ret_fd)
{
    int fd = -1;
    if (ifname != NULL && pv_inside_is_stack()) {
        const struct pv_inside_want want = {.kind = PV_INSIDE_LISTEN, .local = *addr};
        int err = pv_inside_ask(&want, ret_fd);
        return err == -EADDRINUSE ? PV_ERR_EXISTS : err;
    }
    int r = new_tcp_socket(addr, ifname, &fd);
    if (r < 0)
        return r;
    /* For TCP this only allows to listen again while old connections are in TIME_WAIT. */
    r = set_stream_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (r >= 0 && addr->family == PV_AF_INET6)
        r = set_stream_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (r >= 0)
        r = bind_tcp(fd, addr);
    if (r >= 0 && listen(fd, PV_STREAM_BACKLOG) < 0)
        r = errno == EADDRINUSE ? PV_ERR_EXISTS : -errno;
    if (r < 0)
        close(fd);
    else
        *ret_fd = fd;
    return r;
}

int pv_stream_local(int fd, struct pv_addr *ret_addr)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
        return -errno;
    *ret_addr = pv_sockaddr_to(&ss);
    return PV_OK;
}

static int accept_of_stack(int listen_fd, int *ret_fd, struct pv_addr *ret_remote,
                           struct pv_addr *ret_local)
{
    struct pv_inside_came came;
    int r = pv_inside_accept(listen_fd, ret_fd, &came);
    if (r == PV_OK) {
        *ret_remote = came.remote;
        *ret_local = came.local;
    }
    return r;
}

/* Out of descriptors is an answer of its own: the listener stays readable, and the caller must stop
 * watching it. */
int pv_stream_accept(int listen_fd, int *ret_fd, struct pv_addr *ret_remote,
                     struct pv_addr *ret_local)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    int fd = accept4(listen_fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && errno == EINVAL && pv_inside_is_stack())
        return accept_of_stack(listen_fd, ret_fd, ret_remote, ret_local);
    if (fd < 0) {
        bool out_of = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
        return out_of ? PV_ERR_LIMIT : PV_ERR_AGAIN; /* a connection that died already: next turn */
    }
    struct pv_addr local = {0};
    int r = set_tcp_options(fd);
    if (r >= 0)
        r = pv_stream_local(fd, &local);
    if (r < 0) {
        close(fd);
        return PV_ERR_AGAIN;
    }
    *ret_remote = pv_sockaddr_to(&ss);
    *ret_local = local;
    *ret_fd = fd;
    return PV_OK;
}

void pv_stream_set_shallow(int fd)
{
    (void)!set_stream_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_MAX);
}

int pv_stream_read(int fd, void *buf, size_t cap, size_t *ret_n)
{
    ssize_t n = recv(fd, buf, cap, MSG_DONTWAIT);
    if (n == 0)
        return PV_ERR_CLOSED;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? PV_ERR_AGAIN : -errno;
    *ret_n = (size_t)n;
    return PV_OK;
}

int pv_stream_write(int fd, struct pv_view data, size_t *ret_n)
{
    ssize_t n = send(fd, data.ptr, data.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? PV_ERR_AGAIN : -errno;
    *ret_n = (size_t)n;
    return PV_OK;
}
