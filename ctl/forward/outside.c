/* SPDX-License-Identifier: MIT */
/* outside.c - getaddrinfo(3), and sockets that know nothing of the overlay. */
#include "ctl/forward/outside.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "sys/net/sockaddr.h"
#include "sys/net/stream.h"

int pv_outside_resolve(struct pv_outside *o, pv_ns now)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    struct sockaddr_storage ss = {0};
    const uint16_t port = o->addr.port;
    o->resolved_at = now;
    o->failed = false;
    if (getaddrinfo(o->host, NULL, &hints, &list) != 0)
        return PV_ERR_NOT_FOUND;
    const struct addrinfo *best = list;
    while (best->ai_family != AF_INET && best->ai_next != NULL)
        best = best->ai_next;
    if (best->ai_family != AF_INET)
        best = list;
    memcpy(&ss, best->ai_addr, best->ai_addrlen);
    freeaddrinfo(list);
    o->addr = pv_addr_unmap(pv_sockaddr_to(&ss));
    o->addr.port = port;
    return o->addr.family == PV_AF_NONE ? PV_ERR_NOT_FOUND : PV_OK;
}

void pv_outside_fail(struct pv_outside *o)
{
    o->failed = true;
}

static void look_again(struct pv_outside *o, pv_ns now)
{
    if (o->failed && now - o->resolved_at >= PV_OUTSIDE_AGAIN)
        (void)!pv_outside_resolve(o, now);
}

int pv_outside_connect(struct pv_outside *o, pv_ns now, int *ret_fd)
{
    look_again(o, now);
    int r = pv_stream_connect(&o->addr, &(struct pv_stream_bind){.wide = true}, ret_fd);
    /* A program there may stop reading for as long as it likes. */
    if (r == PV_OK)
        (void)setsockopt(*ret_fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &(int){0}, sizeof(int));
    return r;
}

int pv_outside_udp(struct pv_outside *o, pv_ns now, int *ret_fd)
{
    struct sockaddr_storage ss;
    look_again(o, now);
    socklen_t len = pv_sockaddr_from(&o->addr, &ss);
    int fd = socket(o->addr.family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&ss, len) < 0) {
        int r = -errno;
        if (fd >= 0)
            close(fd);
        return r;
    }
    *ret_fd = fd;
    return PV_OK;
}
