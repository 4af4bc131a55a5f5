/* SPDX-License-Identifier: MIT */
/*
 * nc.h - standard input and output as one connection to a member.
 */
#pragma once

#include "ctl/forward/overlay.h"

enum {
    PV_NC_LINGER_MS = 1000, /* ours, of UDP: how long an answer may take when nothing is sent any
                               more */
};

/* Connects to the member and carries bytes until both sides have ended. The exit code. */
int pv_nc_tcp(struct pv_overlay *o, const char *host, uint16_t port);
/* Sends what one read of standard input brings as a datagram, and prints those that come. Ends a
 * second after the last one once standard input has ended. The exit code. */
int pv_nc_udp(struct pv_overlay *o, const char *host, uint16_t port);
