/* SPDX-License-Identifier: MIT */
/* outside.c - getaddrinfo(3), and sockets that know nothing of the overlay. */
#include "ctl/forward/outside.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sys/net/sockaddr.h"
#include "sys/net/stream.h"
#include "sys/proc/clock.h"

/* Waits for the system's resolver. A name that has addresses of both families means that of IPv4,
 * where most programs of a machine's own listen. addr keeps its port. PV_ERR_NOT_FOUND: addr stays
 * as it is. */
static int resolve(struct pv_outside *o, pv_ns now)
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
        (void)!resolve(o, now);
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

/* "80", "nas:80", "[::1]:80": without a host it is this machine's own. */
int pv_outside_parse(struct pv_outside *ret, struct pv_cli *cli, const char *text)
{
    static const char own[] = "127.0.0.1";
    const char *colon = strrchr(text, ':');
    size_t len = colon == NULL ? strlen(own) : (size_t)(colon - text);
    const char *host = colon == NULL ? own : text;
    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof(ret->host))
        return pv_cli_usage(cli, "\"%.100s\" is not [HOST:]PORT, such as 80 or nas:80", text);
    snprintf(ret->host, sizeof(ret->host), "%.*s", (int)len, host);
    uint64_t port = 0;
    int code = pv_cli_number(cli, "PORT", colon == NULL ? text : colon + 1, 1, UINT16_MAX, &port);
    ret->addr.port = (uint16_t)port;
    if (code == 0 && resolve(ret, pv_clock_now()) < 0)
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "%.100s is not found: is the name right?",
                           ret->host);
    return code;
}
