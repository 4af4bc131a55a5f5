/* SPDX-License-Identifier: MIT */
/*
 * tun.h - the TUN device: opening it, and packets in and out.
 *
 * One packet a call, no offload header. The descriptor is non-blocking and belongs to the caller;
 * the interface disappears with its last descriptor. One thread may read while another writes.
 */
#ifndef PV_TUN_H
#define PV_TUN_H

#include "base/pv.h"

enum {
    PV_TUN_NAME = 16, /* bytes with the NUL, IFNAMSIZ */
};

/* A usable interface name: 1..15 printable ASCII characters, no '/', '%', ':' or blank, and
 * neither "." nor "..". */
bool pv_tun_name_is_valid(const char *name);

/*
 * Creates the interface, owned by root so that no other user can attach to it. Needs CAP_NET_ADMIN.
 * PV_ERR_NOT_FOUND: no /dev/net/tun. PV_ERR_EXISTS: the name is taken. -EPERM, -errno.
 */
PV_MUST_CHECK int pv_tun_open(const char *name, int *ret_fd);

/* The next packet. A packet longer than cap is cut silently: cap must be above the MTU.
 * PV_ERR_AGAIN: none waits, or the interface is down. PV_ERR_CLOSED: the interface is gone. */
PV_MUST_CHECK int pv_tun_read(int fd, void *buf, size_t cap, size_t *ret_n);
/* PV_ERR_AGAIN: dropped, no room. PV_ERR_CLOSED: the interface is gone. -errno: refused (EINVAL not
 * an IP packet, EIO interface down). */
PV_MUST_CHECK int pv_tun_write(int fd, struct pv_view packet);

#endif /* PV_TUN_H */
