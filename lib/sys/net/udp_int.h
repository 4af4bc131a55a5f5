/* SPDX-License-Identifier: MIT */
/* udp_int.h - what udp_recv.c and udp_send.c share: room for the control messages of a datagram. */
#ifndef PV_UDP_INT_H
#define PV_UDP_INT_H

#include <stdint.h>
#include <sys/socket.h>

enum {
    /* PKTINFO (32 or 40 bytes), a time (32) and TTL, TOS, segment (24 each), or an ICMP error with
     * its offender (64). */
    PV_UDP_CONTROL_SIZE = 192,
};

struct pv_udp_control {
    _Alignas(struct cmsghdr) uint8_t bytes[PV_UDP_CONTROL_SIZE];
};

#endif /* PV_UDP_INT_H */
