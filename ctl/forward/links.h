/* SPDX-License-Identifier: MIT */
/*
 * links.h - the connections of a `forward`, `socks` or `serve`: what comes in at its gate goes to a
 * member, one that is given or that each connection names (proxy.h), or from a member to a place
 * outside.
 *
 * At most PV_LINKS_MAX at once; further ones wait in the kernel's queue. It outlives p2pvpnd: when
 * that is back, new connections go by it again. One thread.
 */
#pragma once

#include "ctl/forward/outside.h"
#include "ctl/forward/overlay.h"
#include "ctl/forward/served.h"
#include "sys/net/gate.h"

enum {
    PV_LINKS_MAX = 1000,     /* ours: at once; two descriptors each */
    PV_LINKS_SENDERS = 1000, /* ours: of a gate of UDP */
    PV_LINKS_PLACES = 64,    /* ours: that one SOCKS client sends datagrams to at once */
    PV_LINKS_GATES = 2,      /* of each family one */
};

struct pv_links_config {
    struct pv_cli *cli;
    struct pv_gate *gate;       /* PV_LINKS_GATES; the second may be closed */
    struct pv_overlay *overlay; /* open */
    const char *host;           /* where all go; NULL: each says it, by SOCKS5 or HTTP */
    uint16_t port;
    /* Of serve, NULL else: host is this place outside, the gates are for members and made anew
     * where this node's addresses or its interface are others. */
    struct pv_outside *outside;
    const struct pv_served *served;
};

/* The gates may be of UDP where host is given. Serves until a signal ends it (SIGINT, SIGTERM,
 * SIGHUP). The exit code. */
int pv_links_run(const struct pv_links_config *cfg);
