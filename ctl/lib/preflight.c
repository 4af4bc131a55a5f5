/* SPDX-License-Identifier: MIT */
/* Looks at the TUN device and the interfaces' addresses before create and join. */
#include "ctl/lib/preflight.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TUN "/dev/net/tun"

int pv_preflight_tun(char ret_why[static PV_PREFLIGHT_WHY])
{
    int fd = open(TUN, O_RDWR | O_CLOEXEC); /* makes no interface yet */
    if (fd >= 0) {
        close(fd);
        return PV_OK;
    }
    snprintf(ret_why, PV_PREFLIGHT_WHY,
             "cannot open " TUN ": %s: load the module (modprobe tun), or pass " TUN
             " into this container",
             strerror(errno));
    return PV_ERR_UNSUPPORTED;
}

/* The IPv4 address of an interface, as `ip addr` shows it. False: it has none. */
static bool addr_of(const struct ifaddrs *i, struct pv_prefix *ret_addr)
{
    struct sockaddr_in addr, mask;
    if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET || i->ifa_netmask == NULL)
        return false;
    memcpy(&addr, i->ifa_addr, sizeof(addr));
    memcpy(&mask, i->ifa_netmask, sizeof(mask));
    *ret_addr = (struct pv_prefix){
        .base = {.family = PV_AF_INET},
        .bits = (uint8_t)__builtin_popcount(mask.sin_addr.s_addr),
    };
    memcpy(ret_addr->base.ip, &addr.sin_addr, sizeof(addr.sin_addr));
    return true;
}

int pv_preflight_range(const struct pv_prefix *range, const char *own,
                       char ret_why[static PV_PREFLIGHT_WHY])
{
    struct ifaddrs *all = NULL;
    struct pv_prefix addr;
    char mine[PV_ADDR_TEXT], theirs[PV_ADDR_TEXT];
    int r = PV_OK;
    if (getifaddrs(&all) < 0)
        return PV_OK; /* p2pvpnd looks again */
    for (const struct ifaddrs *i = all; r == PV_OK && i != NULL; i = i->ifa_next) {
        if (strcmp(i->ifa_name, own) == 0 || !addr_of(i, &addr) ||
            !pv_prefix_overlaps(&addr, range))
            continue;
        snprintf(ret_why, PV_PREFLIGHT_WHY,
                 "%s overlaps %s on %s: choose another range with --cidr, such as 10.99.0.0/16",
                 pv_prefix_format(range, mine), pv_prefix_format(&addr, theirs), i->ifa_name);
        r = PV_ERR_EXISTS;
    }
    freeifaddrs(all);
    return r;
}
