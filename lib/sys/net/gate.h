/* SPDX-License-Identifier: MIT */
/*
 * gate.h - where connections come in. For programs of this machine: a port of loopback or a Unix
 * socket, for this process' user and nobody else, not even root. For members: a port of the
 * overlay, where the network's rules have decided already.
 *
 * Whose a program's connection is the kernel says: SO_PEERCRED of a Unix socket, sock_diag(7) of
 * TCP and UDP. One thread.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_GATE_WHY = 256, /* bytes of a sentence, with the NUL */
};

/* How a gate treats a connection or datagram whose program has closed its socket already, so that
 * the kernel does not say whose it was. */
enum pv_gate_ended {
    PV_GATE_ENDED_REFUSED, /* at first */
    PV_GATE_ENDED_ALONE,   /* comes in if there is no other user (pv_sockowner_is_alone()) */
    PV_GATE_ENDED_SHARED,  /* comes in: the gate leads where every program of this machine gets
                            * without it. As ALONE when the overlay is in another network now. */
};

struct pv_gate {
    int fd; /* listening, or of UDP; -1: closed */
    bool udp;
    bool members; /* it is for them, and for no program of this machine */
    enum pv_gate_ended ended;
    uint32_t uid;        /* else whose programs come in: at first this process' user's */
    const char *path;    /* of a Unix socket, borrowed; NULL: none */
    struct pv_addr addr; /* else */
};

/* where: "8080", "127.0.0.1:8080", "[::1]:8080", or a path with a "/", borrowed; port 0: the kernel
 * chooses. PV_ERR_MALFORMED: it is no such place, or no loopback; -EACCES; or another error;
 * ret_why says then what to do. */
PV_MUST_CHECK int pv_gate_open(struct pv_gate *g, const char *where, bool udp,
                               char ret_why[static PV_GATE_WHY]);
/* For members, and no program of this machine: at this address of this node's, by its interface
 * alone. PV_ERR_EXISTS: the port is in use. -errno. */
PV_MUST_CHECK int pv_gate_open_overlay(struct pv_gate *g, const struct pv_addr *at,
                                       const char *ifname, bool udp);
/* Returns true if the gate is where pv_gate_open() would open it now. False after the interface was
 * made anew. */
bool pv_gate_stands(const struct pv_gate *g, const struct pv_addr *at);
/* Also removes the socket's file. */
void pv_gate_close(struct pv_gate *g);
/* Its text form in buf, for people and scripts. */
const char *pv_gate_name(const struct pv_gate *g, char buf[static PV_ADDR_TEXT]);

/* The next connection of this user, or of a member. PV_ERR_AGAIN: none waits. PV_ERR_REFUSED:
 * somebody else's, closed; PV_ERR_NOT_FOUND: one of which the kernel does not say whose it is,
 * closed. PV_ERR_LIMIT: out of descriptors. PV_ERR_CLOSED:
 * lwIP has ended. */
PV_MUST_CHECK int pv_gate_accept(const struct pv_gate *g, int *ret_fd);
/* Judges a datagram, or an answer, by the UDP socket at this address. PV_OK: it is this user's; or
 * of a gate for members, where it is enough to ask once for each address: not of this machine.
 * PV_ERR_REFUSED, PV_ERR_NOT_FOUND: as above. */
PV_MUST_CHECK int pv_gate_judge(const struct pv_gate *g, const struct pv_addr *from);
