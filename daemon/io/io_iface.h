/* SPDX-License-Identifier: MIT */
/*
 * io_iface.h - our interface: what the engine wants it to be, and what others do to it meanwhile.
 */
#pragma once

#include "daemon/io/io_dns.h"
#include "daemon/io/io_jobs.h"
#include "daemon/io/io_streams.h"
#include "daemon/packets/datapath.h"
#include "sys/net/netlink.h"

struct pv_io_iface; /* opaque */

PV_MUST_CHECK int pv_io_iface_new(struct pv_io_iface **ret_iface, struct pv_io *io);
/* Takes an IFACE_UP or IFACE_DOWN of the engine. */
void pv_io_iface_submit(struct pv_io_iface *iface, struct pv_job *job, pv_ns now);
/* One of them has ended, as pv_io_jobs_config.iface_done says. */
void pv_io_iface_done(struct pv_io_iface *iface, const struct pv_io_iface_job *done);
/* The packet threads see that the TUN is gone: makes it again. */
void pv_io_iface_deleted(struct pv_io_iface *iface);
/* Looks, when it is time, whether others changed it; when to call again. */
pv_ns pv_io_iface_timeout(struct pv_io_iface *iface, pv_ns now);
/* No job about it is under way. */
bool pv_io_iface_is_settled(const struct pv_io_iface *iface);
uint32_t pv_io_iface_index(const struct pv_io_iface *iface); /* 0: there is none */
/* After the jobs. NULL is fine; returns NULL. */
struct pv_io_iface *pv_io_iface_free(struct pv_io_iface *iface);
