/* SPDX-License-Identifier: MIT */
/*
 * gate.h - where programs of this machine come in: a port of loopback or a Unix socket, for this
 * process' user and nobody else, not even root.
 *
 * Whose a connection is the kernel says: SO_PEERCRED of a Unix socket, sock_diag(7) of TCP and UDP.
 * One thread.
 */
#ifndef PV_GATE_H
#define PV_GATE_H

#include "base/addr.h"
#include "ctl/lib/cli.h"

struct pv_gate {
    int fd; /* listening, or of UDP; -1: closed */
    bool udp;
    const char *path;    /* of a Unix socket, borrowed; NULL: none */
    struct pv_addr addr; /* else */
};

/* where: "8080", "127.0.0.1:8080", "[::1]:8080", or a path with a "/"; port 0: the kernel chooses.
 * 0, or an exit code, and the user has been told. */
PV_MUST_CHECK int pv_gate_open(struct pv_gate *g, struct pv_cli *cli, const char *where, bool udp);
/* Also removes the socket's file. */
void pv_gate_close(struct pv_gate *g);
/* Its text form in buf, for people and scripts. */
const char *pv_gate_name(const struct pv_gate *g, char buf[static PV_ADDR_TEXT]);

/* The next connection of this user. PV_ERR_AGAIN: none waits. PV_ERR_REFUSED: somebody else's,
 * closed; PV_ERR_NOT_FOUND: one that its program has closed already, or of which the kernel does
 * not say whose it is, closed. PV_ERR_LIMIT: out of descriptors. */
PV_MUST_CHECK int pv_gate_accept(const struct pv_gate *g, int *ret_fd);
/* Is the UDP socket at this address this user's? */
bool pv_gate_lets_in(const struct pv_gate *g, const struct pv_addr *from);

#endif /* PV_GATE_H */
