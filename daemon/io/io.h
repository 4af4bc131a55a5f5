/* SPDX-License-Identifier: MIT */
/*
 * io.h - the control thread of p2pvpnd: everything impure around the engine.
 *
 * Binds the engine to the event loop, the datapath's threads, the helper, the store's and the
 * resolver's threads, streams of all kinds, rtnetlink and signals. Decides nothing that the engine
 * can decide.
 */
#pragma once

#include "daemon/io/io_config.h"

struct pv_io; /* opaque */

/* Starts threads. PV_ERR_NOMEM, -errno. */
PV_MUST_CHECK int pv_io_new(struct pv_io **ret_io, const struct pv_io_config *cfg);
/* Runs until SIGTERM or SIGINT, or until there is to be another life (reload, or the engine wants a
 * restart; *ret_again, false where one of the signals came besides): PV_OK; PV_ERR_CLOSED when the
 * helper or the usher died. The engine was told to shut down and its last words were sent. */
PV_MUST_CHECK int pv_io_run(struct pv_io *io, bool *ret_again);
/* Ends threads; jobs under way are finished first, the resolver's excepted. The TUN is closed. NULL
 * is fine; returns NULL. */
struct pv_io *pv_io_free(struct pv_io *io);
