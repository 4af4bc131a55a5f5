/* SPDX-License-Identifier: MIT */
/*
 * stack.h - lwIP in the kernel's place (docs/adr/0113): packets on one side, connections of the
 * overlay on the other, each of them a descriptor that sys/net/inside.h hands out.
 *
 * A process has one: lwIP's state is global. One thread, with a loop. Members are bounded:
 * only IPv4 and IPv6 packets to the own addresses with TCP, UDP or ICMP reach lwIP, nothing that
 * changes the interface, and no table has more than PV_STACK_... entries.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "sys/proc/loop.h"

enum {
    PV_STACK_CONNS = 2048,     /* ours: TCP connections at once */
    PV_STACK_PLACES = 1024,    /* ours: UDP sockets at once */
    PV_STACK_LISTENERS = 1024, /* ours: ports, each for IPv4 and for IPv6 */
    PV_STACK_ASKERS = 64,      /* ours: programs of this user, and p2pvpnd */
    PV_STACK_QUEUES = 8,       /* of packets, as of a TUN */
};

struct pv_stack; /* opaque */

/* Is this program built with lwIP? */
bool pv_stack_is_built(void);
/* seed: for the choice of ports. PV_ERR_UNSUPPORTED: it is not built; PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_stack_new(struct pv_stack **ret_stack, struct pv_loop *loop, uint32_t seed);
/* NULL is fine; returns NULL. All connections end. */
struct pv_stack *pv_stack_free(struct pv_stack *s);

/*
 * The interface: addresses (one IPv4 and five IPv6 count), and MTU in bytes. May be repeated;
 * connections of addresses that have gone end. ret_fds: the other ends of the queues (1 to
 * PV_STACK_QUEUES), which read and write a packet at a time as a TUN without a header does; they
 * stay the stack's, and are the same until pv_stack_down(). PV_ERR_LIMIT: queues; -errno.
 */
PV_MUST_CHECK int pv_stack_up(struct pv_stack *s, const struct pv_prefix *addrs, size_t n,
                              uint16_t mtu, unsigned queues, int ret_fds[static PV_STACK_QUEUES]);
/* Connections and queues end. */
void pv_stack_down(struct pv_stack *s);

/* The stack answers what this socket asks (struct pv_inside_want) until it closes; takes fd, also
 * when it fails. ret_ended: becomes true then, and has to stay as long as the stack; NULL.
 * PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_stack_serve(struct pv_stack *s, int fd, bool *ret_ended);

/* At the end of each turn of the loop: lwIP's timers, and what has ended. The next deadline. */
pv_ns pv_stack_turn(struct pv_stack *s, pv_ns now);

/* May lwIP see this packet? addrs: n own addresses. Pure; for tests. */
bool pv_stack_is_welcome(struct pv_view packet, const struct pv_addr *addrs, size_t n);
