/* SPDX-License-Identifier: MIT */
/*
 * serve.h - chat in a process of its own, as p2pvpnd sees it: the engine's part that answers
 * p2pvpn-chatd by the daemon's tables (overlay.h) over a socket (chat/nodeserve.h), and shows in
 * `status` how it is. Its shell is servesock.h.
 */
#pragma once

#include "chat/nodeserve.h"
#include "daemon/core/node/part.h"

extern const struct pv_part pv_bind_serve; /* struct pv_engine_config.app */

/* Between the part and its shell. */
struct pv_bind_served {
    struct pv_nodeserve *serve; /* the part's, while there is a part; the shell moves its bytes */
    bool expected; /* this machine has a p2pvpn-chatd: `status` says so when it does not run */
};

/* Its struct pv_engine_config.app_config; NULL: nobody is served. */
struct pv_bind_serve_config {
    struct pv_bind_served *served; /* outlives the engine */
};

/* The shell's report to the part (pv_engine_report()). */
struct pv_bind_news {
    enum {
        PV_BIND_UP,        /* p2pvpn-chatd connected */
        PV_BIND_DOWN,      /* the connection is closed */
        PV_BIND_CAME,      /* bytes are in the pipe */
        PV_BIND_CONNECTED, /* the stream that was opened: fd, taken, or a status and -1 */
        PV_BIND_ACCEPTED,  /* somebody connected to the port on the overlay: fd, taken */
    } what;
    uint32_t sid;                 /* CONNECTED */
    int status;                   /* CONNECTED */
    int fd;                       /* CONNECTED, ACCEPTED */
    uint16_t port;                /* ACCEPTED */
    const struct pv_addr *remote; /* ACCEPTED */
    void (*shutter)(int fd);      /* CONNECTED, ACCEPTED: closes a descriptor */
};
