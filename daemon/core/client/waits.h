/* SPDX-License-Identifier: MIT */
/*
 * waits.h - the part behind `ping`, `wait` and `watch`: control clients that wait for something to
 * happen to a peer or to this node, and echoes that are asked and answered in-band
 * (docs/PROTOCOL-PEERS.md "In-band control", echo).
 *
 * A ping wants a path as long as it waits for one, sends an echo every interval once in-band
 * messages reach the peer, and counts an echo without an answer after PV_WAITS_PING_TIMEOUT as
 * lost. A wait ends when what it waits for is true. Both end without an answer when their client
 * goes.
 */
#pragma once

#include "daemon/core/node/part.h"

#define PV_WAITS_PING_TIMEOUT  PV_S(5)  /* ours, as ping(8)'s users expect: no answer is lost */
#define PV_WAITS_PING_PATIENCE PV_S(30) /* ours: for a path; as long as packets wait for one */

enum {
    PV_WAITS_MAX = 256,        /* pings and waits at once; more are refused: ours */
    PV_WAITS_OUTSTANDING = 16, /* echoes of one ping without an answer; the oldest counts as lost */
};

extern const struct pv_part pv_part_waits;
