/* SPDX-License-Identifier: MIT */
/*
 * io_beacon.h - the sockets on which beacons of members in the LAN are heard
 * (daemon/core/peer/beacon.h). They are sent by the main sockets, whose port they name.
 */
#pragma once

#include "daemon/io/io_turn.h"

struct pv_io_beacon; /* opaque */

/* A socket that cannot be opened is done without. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_io_beacon_new(struct pv_io_beacon **ret_beacon, struct pv_io *io);
/* Reads again if it is time, and returns when it is; PV_NEVER: the loop says when. */
pv_ns pv_io_beacon_timeout(struct pv_io_beacon *beacon, pv_ns now);
/* NULL is fine; returns NULL. */
struct pv_io_beacon *pv_io_beacon_free(struct pv_io_beacon *beacon);
