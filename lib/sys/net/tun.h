/* SPDX-License-Identifier: MIT */
/*
 * tun.h - the TUN device: opening it, and packets in and out.
 *
 * One packet a call, with the kernel's offload header where it has one. The descriptor is
 * non-blocking and belongs to the caller; the interface disappears with its last descriptor. One
 * thread may read while another writes.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_TUN_NAME = 16,   /* bytes with the NUL, IFNAMSIZ */
    PV_TUN_PARTS = 260, /* of a packet to write, below IOV_MAX */
    PV_TUN_QUEUES = 8,  /* of one interface, ours */
};

/* The work that the device does for us, and we for it. */
struct pv_tun_offloads {
    bool header; /* every packet has 10 bytes of struct virtio_net_hdr in front, both ways */
    bool csum;   /* L4 checksums of what is read may be left out */
    bool tso;    /* TCP super-packets of up to 64 KB */
    bool uso;    /* the same with UDP (Linux 6.2) */
};

/* Asks for all offloads, then for less (PERFORMANCE "The TUN"), and tells what was got. Anybody who
 * holds the descriptor may. All false when fd is no TUN with a header. */
struct pv_tun_offloads pv_tun_set_offloads(int fd);

/*
 * The descriptors of an interface. With one queue there is one, for both. With more, each flow
 * comes out of one of read, always the same: the kernel would move it to where its answers are
 * written, with packets still on the old way, so write are others, from which it learns nothing
 * (docs/adr/0013).
 */
struct pv_tun {
    unsigned n; /* 0: there is none */
    int read[PV_TUN_QUEUES];
    int write[PV_TUN_QUEUES]; /* the same as read with one queue */
};

/*
 * Creates the interface with n (1..PV_TUN_QUEUES) queues and all offloads there are, owned by root
 * so that no other user can attach to it; in a user namespace without root by nobody, where there
 * is no other user. Needs CAP_NET_ADMIN. PV_ERR_NOT_FOUND: no /dev/net/tun.
 * PV_ERR_EXISTS: the name is taken. PV_ERR_LIMIT: n. -EPERM, -errno.
 */
PV_MUST_CHECK int pv_tun_open(const char *name, unsigned n, struct pv_tun *ret_tun);
/* Closes what is open and leaves n = 0. */
void pv_tun_close(struct pv_tun *tun);
/* The different descriptors of it, for handing them on: how many, 1 or 2 * n. */
size_t pv_tun_fds(const struct pv_tun *tun, int ret_fds[static 2 * PV_TUN_QUEUES]);
/* The other way; n_fds as pv_tun_fds() said. PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_tun_of_fds(const int *fds, size_t n_fds, struct pv_tun *ret_tun);

/* The next packet. A packet longer than cap is cut silently: cap must be above the MTU.
 * PV_ERR_AGAIN: none waits, or the interface is down. PV_ERR_CLOSED: the interface is gone. */
PV_MUST_CHECK int pv_tun_read(int fd, void *buf, size_t cap, size_t *ret_n);
/* A packet in n parts, one after the other. PV_ERR_AGAIN: dropped, no room. PV_ERR_CLOSED: the
 * interface is gone. PV_ERR_LIMIT: more than PV_TUN_PARTS. -errno: refused (EINVAL not an IP packet
 * or not what its header says, EIO interface down). */
PV_MUST_CHECK int pv_tun_write_parts(int fd, const struct pv_view *parts, size_t n);
/* The state of the interface with that name now, whoever set it: up, and its MTU in bytes.
 * PV_ERR_NOT_FOUND; -errno. */
PV_MUST_CHECK int pv_tun_look(const char *name, bool *ret_up, unsigned *ret_mtu);
