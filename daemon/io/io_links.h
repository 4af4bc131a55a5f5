/* SPDX-License-Identifier: MIT */
/*
 * io_links.h - the world around this host: its addresses, and the routers of its default routes.
 */
#pragma once

#include "daemon/io/io_turn.h"

/* Looks whenever the kernel tells of a change. PV_ERR_NOMEM, -errno. */
PV_MUST_CHECK int pv_io_links_watch(struct pv_io *io);
/* Takes the picture of this host's addresses; the engine hears of it when it differs or when it
 * must (routes changed). */
void pv_io_links_look(struct pv_io *io, bool must, pv_ns now);
/* Looks when the kernel has told of changes some time ago, or a look has failed. */
void pv_io_links_timeout(struct pv_io *io, pv_ns now);
/* When to call it. */
pv_ns pv_io_links_next(const struct pv_io *io);
