/* SPDX-License-Identifier: MIT */
/*
 * inside.h - sockets of the network that the interface is in. That is this process' own network,
 * or the inside (GLOSSARY): the network namespace of `p2pvpnd --user`, whose giver
 * (sys/helper/helper.h; of p2pvpnctl: ctl/lib/enter.h) makes the sockets and passes them. Where
 * users may make no network, lwIP is in the kernel's place (sys/stack/stack.h), and gives ends of
 * connections. Any thread.
 */
#pragma once

#include <stdint.h>

#include "base/addr.h"
#include "base/pv.h"

/* The end of the name of lwIP's socket for programs of this user, beside the control socket. */
#define PV_INSIDE_STACK_SUFFIX ".stack"

enum pv_inside_kind {
    PV_INSIDE_SOCKET,  /* of a giver: as socket(2) */
    PV_INSIDE_CONNECT, /* the others of lwIP: a TCP connection to remote */
    PV_INSIDE_LISTEN,  /* each connection to local is a message, struct pv_inside_came */
    PV_INSIDE_PLACE,   /* a UDP socket, connected to remote: each message is a datagram */
};

/* Each request and its answer are one message of the giver's socket. */
struct pv_inside_want {
    int32_t kind;
    int32_t family, type, protocol; /* SOCKET */
    struct pv_addr local;           /* PV_AF_NONE: any */
    struct pv_addr remote;
    /* CONNECT and LISTEN, not 0: a connection is broken off when this end is closed before the
     * other side has ended; else what was written is still sent, as close(2) of a TCP socket has
     * it. */
    uint32_t strict;
};
struct pv_inside_got {
    /* An errno, or of lwIP's tables that are full, -PV_ERR_LIMIT. 0: a descriptor comes along. */
    int32_t error;
};
struct pv_inside_came {
    struct pv_addr remote, local; /* and the connection comes along */
};

/* From now on the interface is in another network than this process. giver: its socket, taken and
 * kept for the life of the process. Before the first thread; -1: back to the own network. */
void pv_inside_use(int giver);
/* As pv_inside_use(), and the giver is lwIP. strict: what all connections shall be. Any thread may
 * give the next giver, after lwIP's process was started again. */
void pv_inside_use_stack(int giver, bool strict);
/* Returns true if the inside is a network namespace of its own. */
bool pv_inside_is_apart(void);
/* Returns true if the inside is lwIP. Then it has no sockets except what pv_inside_ask() gets. */
bool pv_inside_is_stack(void);
/* As socket(2): the descriptor, or -1 and errno. ENETDOWN: the giver has ended, or did not
 * answer for 3 s: it ends then. It is waited for, since it does nothing else. EAFNOSUPPORT: lwIP's.
 */
PV_MUST_CHECK int pv_inside_socket(int family, int type, int protocol);

/* Asks lwIP; strict is filled in. -errno, ENETDOWN as above. */
PV_MUST_CHECK int pv_inside_ask(const struct pv_inside_want *want, int *ret_fd);
/* Of CONNECT, once it is writable: as pv_stream_connected(), until that has said PV_OK. */
PV_MUST_CHECK int pv_inside_connected(int fd);
/* Of LISTEN: as pv_stream_accept(). PV_ERR_CLOSED: lwIP has ended. */
PV_MUST_CHECK int pv_inside_accept(int fd, int *ret_fd, struct pv_inside_came *ret_came);
/* Of a connection, when a read has said that the other side ended, and this side has not: did it
 * break off instead? Of LISTEN: has lwIP ended? */
bool pv_inside_is_broken(int fd);

/* The giver's life: makes sockets (IPv4, IPv6, netlink) of the calling process' network for the
 * other end of asker until that closes. */
void pv_inside_serve(int asker);
