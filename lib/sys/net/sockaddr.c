/* SPDX-License-Identifier: MIT */
/*
 * sockaddr.c - struct pv_addr to and from the kernel's socket addresses. By memcpy, since a
 * sockaddr_storage must not be read through a pointer of another type (C17 6.5).
 */
#include "sys/net/sockaddr.h"

#include <netinet/in.h>
#include <string.h>

socklen_t pv_sockaddr_from(const struct pv_addr *addr, struct sockaddr_storage *ret_ss)
{
    memset(ret_ss, 0, sizeof(*ret_ss));
    if (addr->family == PV_AF_INET) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(addr->port)};
        memcpy(&in.sin_addr, addr->ip, 4);
        memcpy(ret_ss, &in, sizeof(in));
        return sizeof(in);
    }
    if (addr->family == PV_AF_INET6) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(addr->port)};
        memcpy(&in6.sin6_addr, addr->ip, 16);
        memcpy(ret_ss, &in6, sizeof(in6));
        return sizeof(in6);
    }
    return 0;
}

struct pv_addr pv_sockaddr_to(const struct sockaddr_storage *ss)
{
    struct pv_addr addr = {0};
    if (ss->ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, ss, sizeof(in));
        addr.family = PV_AF_INET;
        addr.port = ntohs(in.sin_port);
        memcpy(addr.ip, &in.sin_addr, 4);
    } else if (ss->ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, ss, sizeof(in6));
        addr.family = PV_AF_INET6;
        addr.port = ntohs(in6.sin6_port);
        memcpy(addr.ip, &in6.sin6_addr, 16);
    }
    return addr;
}
