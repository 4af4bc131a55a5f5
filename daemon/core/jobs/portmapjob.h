/* SPDX-License-Identifier: MIT */
/*
 * portmapjob.h - one request to a router by NAT-PMP (RFC 6886) or UPnP-IGD: made by libraries that
 * block, in a process of its own (daemon/io/portmapper.h). IPv4.
 *
 * Plain bytes without pointers: they travel between processes as they are.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_PORTMAPJOB_URL = 128,   /* bytes with the NUL; a longer one is searched for each time */
    PV_PORTMAPJOB_ERROR = 120, /* bytes with the NUL */
};

enum pv_portmapjob_protocol {
    PV_PORTMAPJOB_NATPMP = 1,
    PV_PORTMAPJOB_UPNP,
};

struct pv_portmapjob {
    uint8_t protocol; /* enum pv_portmapjob_protocol */
    uint8_t release;  /* not 0: give the port back; no bool, it comes from another process */
    uint16_t external_port;
    uint32_t lifetime;           /* seconds */
    struct pv_addr router;       /* port 0 */
    struct pv_addr local;        /* our address towards it, and the port to be mapped */
    char url[PV_PORTMAPJOB_URL]; /* UPNP: its description, as found before; "" = search */
};

/* status: PV_OK; PV_ERR_TIMEOUT: nobody answers; PV_ERR_EXISTS: that port is taken, try another;
 * PV_ERR_REFUSED: no; else negative, and error says why in words. */
struct pv_portmapjob_result {
    int status;
    struct pv_addr external; /* as the router says; its IP may be missing (no family) */
    uint16_t external_port;
    uint32_t lifetime; /* seconds */
    uint32_t epoch;    /* NATPMP: seconds since the router lost its state */
    char url[PV_PORTMAPJOB_URL];
    char error[PV_PORTMAPJOB_ERROR];
};
