/* SPDX-License-Identifier: MIT */
/*
 * overlay.h - members by name and connections to them, from outside or inside (GLOSSARY): what nc,
 * forward and socks need of p2pvpnd.
 *
 * It asks p2pvpnd for each name, and again where it is when it was restarted. A connection leaves
 * by the interface of this network or not at all. One thread.
 */
#pragma once

#include "base/addr.h"
#include "base/text.h"
#include "ctl/lib/cli.h"

enum {
    PV_OVERLAY_HOST_BUF = 256, /* a name of RFC 1035 s2.3.4, or what else means a peer; and a NUL */
};

struct pv_overlay {
    struct pv_cli *cli;
    bool known;                /* the rest is what p2pvpnd says */
    char tun[16];              /* interface */
    char name[PV_NAME_BUF];    /* of this node */
    struct pv_addr own4, own6; /* this node's */
    int pid;                   /* of the inside that sockets are made in; 0: it is here */
    /* Readable when the inside, or root's p2pvpnd, has ended (pidfd_open(2)); 0: the connection to
     * p2pvpnd, which is kept then, tells it. */
    int end;
};

/* Asks p2pvpnd where the overlay is, unless that is known. 0, or an exit code, and the user has
 * been told. */
PV_MUST_CHECK int pv_overlay_open(struct pv_overlay *o);
/* The same anew, for those who listen: addresses and interface may be others by now. */
PV_MUST_CHECK int pv_overlay_look(struct pv_overlay *o);
/* p2pvpnd has ended: what it said is void. True: what is connected has ended with it. */
bool pv_overlay_forget(struct pv_overlay *o);

/* A member by name (also NAME.NETWORK.p2p), overlay address or key. As pv_overlay_open(). */
PV_MUST_CHECK int pv_overlay_find(struct pv_overlay *o, const char *host, uint16_t port,
                                  struct pv_addr *ret_addr);
/* Do rules of the network keep this node from that port of a member now? False where nobody knows.
 */
PV_MUST_CHECK bool pv_overlay_is_denied(struct pv_overlay *o, const char *host, uint16_t port);
/* Begins to connect; writable = done, then pv_stream_connected() says how. -errno. */
PV_MUST_CHECK int pv_overlay_connect(struct pv_overlay *o, const struct pv_addr *to, int *ret_fd);
/* A connection of a member's lives as long as programs at both ends want it. */
void pv_overlay_be_patient(int fd);
/* A UDP socket that is connected. -errno. */
PV_MUST_CHECK int pv_overlay_udp(struct pv_overlay *o, const struct pv_addr *to, int *ret_fd);

/* Tells why host was not connected to, status: as of the above or PV_ERR_TIMEOUT; the exit code. */
int pv_overlay_complain(struct pv_overlay *o, const char *host, uint16_t port, int status);
