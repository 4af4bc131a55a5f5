/* SPDX-License-Identifier: MIT */
/*
 * io_router.h - the routers of the default routes, and the sockets on which PCP is spoken with
 * them.
 */
#pragma once

#include "daemon/io/io_turn.h"

struct pv_io_router; /* opaque */

PV_MUST_CHECK int pv_io_router_new(struct pv_io_router **ret_router, struct pv_io *io);
/* Looks up the routers of the default routes and tells the engine. True: others than last time.
 * tun_index is our own interface (0: none), which has no router. */
bool pv_io_router_look(struct pv_io_router *router, uint32_t tun_index, pv_ns now);
/* Sends a datagram to the router of its family. Answers go to the engine. */
void pv_io_router_send(struct pv_io_router *router, const struct pv_engine_transmit *tx);
/* NULL is fine; returns NULL. */
struct pv_io_router *pv_io_router_free(struct pv_io_router *router);
