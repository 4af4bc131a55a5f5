/* SPDX-License-Identifier: MIT */
#include "sys/route.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

enum {
    FLAG_UP = 1, /* RTF_UP, RTF_GATEWAY of linux/route.h */
    FLAG_GATEWAY = 2,
};

int pv_route_gateway4(struct pv_addr *ret_router)
{
    char line[256];
    unsigned long best = 0;
    bool found = false;
    FILE *f = fopen("/proc/net/route", "re");
    if (f == NULL)
        return -errno;
    while (fgets(line, sizeof(line), f) != NULL) {
        unsigned long dst, gateway, flags, metric, mask;
        /* Iface Destination Gateway Flags RefCnt Use Metric Mask ...; addresses as in memory */
        if (sscanf(line, "%*s %lx %lx %lx %*s %*s %lu %lx", &dst, &gateway, &flags, &metric,
                   &mask) != 5 ||
            dst != 0 || mask != 0 || (flags & FLAG_UP) == 0 || (flags & FLAG_GATEWAY) == 0)
            continue;
        if (found && metric >= best)
            continue;
        found = true;
        best = metric;
        *ret_router = pv_addr4_u32(ntohl((uint32_t)gateway), 0);
    }
    fclose(f);
    return found ? PV_OK : PV_ERR_NOT_FOUND;
}
