/* SPDX-License-Identifier: MIT */
/*
 * io_links.h - the world around this host: its addresses, and the routers of its default routes.
 */
#pragma once

#include "daemon/io/io_iface.h"
#include "daemon/io/io_router.h"
#include "sys/net/netlink.h"

struct pv_io_links; /* opaque */

PV_MUST_CHECK int pv_io_links_new(struct pv_io_links **ret_links, struct pv_io *io);
/* Takes the picture of this host's addresses; the engine hears of it when it differs or when it
 * must (routes changed). */
void pv_io_links_look(struct pv_io_links *links, bool must, pv_ns now);
/* Looks when the kernel has told of changes some time ago, or a look has failed. */
void pv_io_links_timeout(struct pv_io_links *links, pv_ns now);
/* When to call it. */
pv_ns pv_io_links_next(const struct pv_io_links *links);
/* NULL is fine; returns NULL. */
struct pv_io_links *pv_io_links_free(struct pv_io_links *links);
