/* SPDX-License-Identifier: MIT */
/*
 * io_streams.h - streams that the engine asked for or that were accepted, and the listeners.
 *
 * The engine knows a stream by its sid from the time it is accepted or opened until the engine
 * closes it or is told that it has ended; afterwards what the engine had still to say is written
 * out here.
 */
#pragma once

#include "daemon/core/jobs/job.h"
#include "daemon/io/io_metrics.h"
#include "sys/helper/usher.h"

struct pv_io_streams; /* opaque */

PV_MUST_CHECK int pv_io_streams_new(struct pv_io_streams **ret_all, struct pv_io *io);
/* Opens or closes a stream. */
void pv_io_stream_op(struct pv_io_streams *all, const struct pv_stream_op *op, pv_ns now);
/* Writes what the engine has for this stream. */
void pv_io_stream_writable(struct pv_io_streams *all, uint32_t sid, pv_ns now);
/* Listens at the ports of the program over the overlay on the addresses of the interface; NULL = on
 * none. */
void pv_io_streams_listen(struct pv_io_streams *all, const struct pv_job_iface *iface);
/* Accepts control clients from now on. Earlier clients have waited. */
void pv_io_streams_serve_ctl(struct pv_io_streams *all);
/* Ends streams that could not be written out in time; when to call again. */
pv_ns pv_io_streams_timeout(struct pv_io_streams *all, pv_ns now);

/* NULL is fine; returns NULL. */
struct pv_io_streams *pv_io_streams_free(struct pv_io_streams *all);
