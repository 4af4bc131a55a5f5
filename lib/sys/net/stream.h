/* SPDX-License-Identifier: MIT */
/*
 * stream.h - TCP connections: connect, listen, accept, read and write, all without blocking.
 *
 * Descriptors belong to the caller. No buffering, no framing.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_STREAM_BACKLOG =
        4096, /* ours: connections waiting for accept; net.core.somaxconn counts too */
    /* ms until unacknowledged data ends a connection (TCP_USER_TIMEOUT). A living peer that does
     * not read is ended too, so it is longer than any reader may stall (PERFORMANCE "TCP to
     * relays"). */
    PV_STREAM_USER_TIMEOUT = 30000,
    PV_STREAM_SEGMENT = 1200, /* bytes, ours: what an IPv6 link of 1280 carries, and to spare */
};

/* The address and interface that a connection is tied to; zeroed = none. */
struct pv_stream_bind {
    struct pv_addr local; /* source address; its port counts too, 0 = any. Not for listeners */
    const char *ifname;   /* SO_BINDTODEVICE: packets come and go by this interface; NULL = any */
    bool wide;            /* segments as the interface's MTU allows, for bulk; else short ones */
};

/* Starts to connect; writable = done, then ask pv_stream_connected(). -errno. */
PV_MUST_CHECK int pv_stream_connect(const struct pv_addr *dst, const struct pv_stream_bind *tie,
                                    int *ret_fd);
/* Data that nobody acknowledges ends the connection after so many ms instead, once it is connected.
 * For one on which little is sent: a program that reads late is then told from a way that is gone.
 * -errno. */
PV_MUST_CHECK int pv_stream_set_user_timeout(int fd, int ms);
/* PV_OK: connected. PV_ERR_AGAIN: not yet. -errno: why it failed. */
PV_MUST_CHECK int pv_stream_connected(int fd);

/* IPv6 listeners take no IPv4. addr.port 0: the kernel chooses (pv_stream_local). ifname may be
 * NULL. PV_ERR_EXISTS: address in use. -errno. */
PV_MUST_CHECK int pv_stream_listen(const struct pv_addr *addr, const char *ifname, int *ret_fd);
PV_MUST_CHECK int pv_stream_local(int fd, struct pv_addr *ret_addr); /* own end; -errno */
/*
 * The next connection, ret_local = the address it came to. PV_ERR_AGAIN: none waits. PV_ERR_LIMIT:
 * out of descriptors, and the listener stays readable: stop watching it until one is closed.
 * PV_ERR_CLOSED: lwIP has ended, and the listener with it (sys/net/inside.h).
 */
PV_MUST_CHECK int pv_stream_accept(int listen_fd, int *ret_fd, struct pv_addr *ret_remote,
                                   struct pv_addr *ret_local);

/* For packets: the kernel takes no more than 32 KiB that it cannot send yet, else it would queue
 * for seconds on a slow line. Kernels that do not know this go on as they are. */
void pv_stream_set_shallow(int fd);

/* Also for unix sockets. At least one byte. PV_ERR_AGAIN, PV_ERR_CLOSED (orderly), -errno. */
PV_MUST_CHECK int pv_stream_read(int fd, void *buf, size_t cap, size_t *ret_n);
/* Writes as much as the kernel takes now, at least one byte. PV_ERR_AGAIN, -errno (EPIPE,
 * ECONNRESET, ...). */
PV_MUST_CHECK int pv_stream_write(int fd, struct pv_view data, size_t *ret_n);
