/* SPDX-License-Identifier: MIT */
/*
 * links.h - the connections of a `forward` or `socks`: what comes in at its gate goes to a member,
 * one that is given or that each connection names (proxy.h).
 *
 * At most PV_LINKS_MAX at once; further ones wait in the kernel's queue. It outlives p2pvpnd: when
 * that is back, new connections go by it again. One thread.
 */
#ifndef PV_LINKS_H
#define PV_LINKS_H

#include "ctl/forward/gate.h"
#include "ctl/forward/overlay.h"

enum {
    PV_LINKS_MAX = 1000,     /* ours: at once; two descriptors each */
    PV_LINKS_SENDERS = 1000, /* ours: of a gate of UDP */
    PV_LINKS_PLACES = 64,    /* ours: that one SOCKS client sends datagrams to at once */
};

struct pv_links_config {
    struct pv_cli *cli;
    struct pv_gate *gate;
    struct pv_overlay *overlay; /* open */
    const char *host;           /* where all go; NULL: each says it, by SOCKS5 or HTTP */
    uint16_t port;
};

/* The gate may be one of UDP where host is given. Serves until a signal ends it (SIGINT, SIGTERM,
 * SIGHUP). The exit code. */
int pv_links_run(const struct pv_links_config *cfg);

#endif /* PV_LINKS_H */
