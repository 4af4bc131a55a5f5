/* SPDX-License-Identifier: MIT */
/*
 * phonetest.h - part "phonetest": whether handshakes from outside reach this node's phone port at
 * the coordinator, and handshakes that this node sends to the phone ports of other members
 * (docs/PROTOCOL-PEERS.md "Type 16").
 *
 * A gateway that is outside of the coordinator's network sends the handshake itself, from its UDP
 * socket. Otherwise, and when its own handshake did not arrive, it asks members to send one. The
 * handshake is a datagram with WireGuard's form and a fresh token. It proves something only if it
 * comes through the coordinator's firewall, so a member near the coordinator declines.
 */
#pragma once

#include "daemon/core/node/part.h"
#include "proto/ip/porttest.h"

enum {
    PV_PHONETEST_MEMBERS = 16, /* ours: members that one test asks */
    PV_PHONETEST_AT_ONCE = 4,  /* ours: members that have not answered yet */
    PV_PHONETEST_SENDS = 3,    /* ours: handshakes of one sender: one may be lost */
    PV_PHONETEST_OTHERS = 4,   /* ours: tests of other members that this node sends for */
};
#define PV_PHONETEST_AGAIN PV_MS(400)  /* ours: between handshakes, and between questions */
#define PV_PHONETEST_WAIT  PV_MS(1600) /* ours: from the first handshake of a sender on */
#define PV_PHONETEST_LIMIT PV_MS(4500) /* ours: for a whole test, as a user waits for it */

extern const struct pv_part pv_part_phonetest;

/* Begins a test of this node's phone port, which is open. Does nothing if a test of this port is
 * under way, or ended less than max_age ago. */
void pv_phonetest_begin(struct pv_node *n, pv_ns max_age, pv_ns now);
/* Returns true if no test is under way. */
bool pv_phonetest_is_over(const struct pv_node *n);
/* Returns what the last test of this phone port showed; PV_PORT_UNTESTED if none ended. */
enum pv_port_verdict pv_phonetest_verdict(const struct pv_node *n);
/* Takes a handshake message from the network. Returns true if it was the test's own; then it is no
 * handshake of anybody. */
bool pv_phonetest_take(struct pv_node *n, const struct pv_carrier *from, struct pv_view msg,
                       pv_ns now);
