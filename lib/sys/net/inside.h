/* SPDX-License-Identifier: MIT */
/*
 * inside.h - sockets of the network that the interface is in. That is this process' own network,
 * or the inside (GLOSSARY): the network namespace of `p2pvpnd --user`, whose giver
 * (sys/helper/helper.h; of p2pvpnctl: ctl/lib/enter.h) makes the sockets and passes them. Any
 * thread.
 */
#ifndef PV_INSIDE_H
#define PV_INSIDE_H

#include <stdint.h>

#include "base/pv.h"

/* Each request and its answer are one message of the giver's socket (SOCK_SEQPACKET). */
struct pv_inside_want {
    int32_t family, type, protocol; /* as socket(2) */
};
struct pv_inside_got {
    int32_t error; /* errno; 0: the socket comes along */
};

/* From now on the interface is in another network than this process. giver: its socket, taken and
 * kept for the life of the process. Before the first thread; -1: back to the own network. */
void pv_inside_use(int giver);
/* Is it in another network? */
bool pv_inside_is_apart(void);
/* As socket(2): the descriptor, or -1 and errno. ENETDOWN: the giver has ended, or did not
 * answer for 3 s: it ends then. It is waited for, since it does nothing else. */
PV_MUST_CHECK int pv_inside_socket(int family, int type, int protocol);

/* The giver's life: makes sockets (IPv4, IPv6, netlink) of the calling process' network for the
 * other end of asker until that closes. */
void pv_inside_serve(int asker);

#endif /* PV_INSIDE_H */
