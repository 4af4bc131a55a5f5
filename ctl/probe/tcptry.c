/* SPDX-License-Identifier: MIT */
/* tcptry.c - one connection that is closed again. */
#include "ctl/probe/tcptry.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/net/sockaddr.h"

/* The address of this machine is named, for without it the packet might leave by another way. */
static int begin(int fd, const struct pv_addr *from, const struct pv_addr *to)
{
    struct sockaddr_storage ss;
    socklen_t len = pv_sockaddr_from(from, &ss);
    if (bind(fd, (struct sockaddr *)&ss, len) != 0)
        return errno;
    len = pv_sockaddr_from(to, &ss);
    return connect(fd, (struct sockaddr *)&ss, len) == 0 ? 0 : errno;
}

enum pv_tcptry pv_tcptry(const struct pv_addr *from, const struct pv_addr *to, int timeout_ms)
{
    const int domain = to->family == PV_AF_INET6 ? AF_INET6 : AF_INET;
    int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return PV_TCPTRY_UNKNOWN;
    int error = begin(fd, from, to);
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};
    socklen_t len = sizeof(error);
    if (error == EINPROGRESS && poll(&pfd, 1, timeout_ms) == 0)
        error = ETIMEDOUT;
    else if (error == EINPROGRESS && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    close(fd);
    return error == 0 || error == ECONNREFUSED ? PV_TCPTRY_ANSWERS
           : error == ETIMEDOUT                ? PV_TCPTRY_SILENT
                                               : PV_TCPTRY_UNKNOWN;
}
