/* SPDX-License-Identifier: MIT */
/*
 * helper_ready.h - a helper in its last phase, as a running daemon has it.
 */
#pragma once

#include <stdio.h>
#include <unistd.h>

#include "sys/helper/helper.h"

/* Confines it to an interface of this name and opens a port that is free; PV_OK or why not. */
static inline int helper_ready(struct pv_helper *h, const char *ifname)
{
    struct pv_helper_fixed fixed = {.uid = 61300};
    struct pv_udp_group group;
    char error[PV_HELPER_ERROR_MAX];
    snprintf(fixed.ifname, sizeof(fixed.ifname), "%s", ifname);
    int r = pv_helper_sandbox(h, &fixed, error);
    if (r < 0)
        return r;
    /* Tests run beside each other: the next one may have it. */
    uint16_t port = (uint16_t)(20000 + getpid() % 20000);
    do {
        r = pv_helper_open_udp(h, port++, 1, &group, error);
    } while (r == PV_ERR_EXISTS);
    if (r == PV_OK)
        pv_udp_group_close(&group);
    return r;
}
