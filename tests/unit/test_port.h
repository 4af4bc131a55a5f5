/* SPDX-License-Identifier: MIT */
/*
 * test_port.h - ports of loopback where nobody answers. They stay taken while their socket is open:
 * a port that was only closed again may be given to the next socket, of this process or another.
 */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/addr.h"
#include "test_util.h"

static inline int test_port_bind(int type, struct pv_addr *ret_addr)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *ret_addr = pv_addr4(127, 0, 0, 1, ntohs(at.sin_port));
    return fd;
}

/* TCP: bound and does not listen, so connections are refused. The socket is the caller's. */
static inline int test_port_refusing(struct pv_addr *ret_addr)
{
    return test_port_bind(SOCK_STREAM, ret_addr);
}

/* UDP: connected to port 1, so what others send is answered "port unreachable". The socket is the
 * caller's. */
static inline int test_port_unreachable(struct pv_addr *ret_addr)
{
    const struct sockaddr_in other = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(1)};
    int fd = test_port_bind(SOCK_DGRAM, ret_addr);
    assert_int_equal(connect(fd, (const struct sockaddr *)&other, sizeof(other)), 0);
    return fd;
}
