/* SPDX-License-Identifier: MIT */
/*
 * routersock.h - the sockets on which PCP is spoken with the routers (RFC 6887): one a family for
 * requests, one a family for what routers announce to everybody on the link.
 *
 * Apart from the main sockets, so that nothing a router says goes near the packets' way, and
 * because an IPv6 router is reached at a link-local address, which needs its interface. A socket
 * that cannot be opened is done without. One thread.
 */
#ifndef PV_ROUTERSOCK_H
#define PV_ROUTERSOCK_H

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_ROUTERSOCK_FDS = 4,
    PV_ROUTERSOCK_MAX = 1104, /* bytes; a PCP message has at most 1100 (RFC 6887 s7) */
};

struct pv_routersock {
    int fds[PV_ROUTERSOCK_FDS]; /* -1: not there */
};

/* announce_port: PV_PORTMAP_ANNOUNCE_PORT. */
void pv_routersock_open(struct pv_routersock *rs, uint16_t announce_port);
void pv_routersock_close(struct pv_routersock *rs);
/* local: the source address, without port. ifindex: the way to a link-local dst, else unused.
 * -errno; PV_ERR_UNSUPPORTED: no socket of that family. */
PV_MUST_CHECK int pv_routersock_send(const struct pv_routersock *rs, const struct pv_addr *dst,
                                     const struct pv_addr *local, uint32_t ifindex,
                                     struct pv_view data);
/* The next datagram on that socket. PV_ERR_AGAIN: none (errors are eaten). A longer one is cut. */
PV_MUST_CHECK int pv_routersock_recv(const struct pv_routersock *rs, size_t i,
                                     uint8_t buf[static PV_ROUTERSOCK_MAX], struct pv_addr *ret_src,
                                     size_t *ret_len);

#endif /* PV_ROUTERSOCK_H */
