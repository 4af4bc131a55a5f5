/* SPDX-License-Identifier: MIT */
/*
 * io_hostnet.h - what the helper says about this host's network, on its way to the engine. The
 * plans go the other way as jobs.
 */
#pragma once

#include "daemon/io/io_jobs.h"

struct pv_io_hostnet; /* opaque */

PV_MUST_CHECK int pv_io_hostnet_new(struct pv_io_hostnet **ret_hostnet, struct pv_io_turn *turn);
/* Takes the descriptor of pv_helper_netplan(). */
void pv_io_hostnet_listen(struct pv_io_hostnet *hostnet, int events_fd);
/* Before the loop. NULL is fine; returns NULL. */
struct pv_io_hostnet *pv_io_hostnet_free(struct pv_io_hostnet *hostnet);
