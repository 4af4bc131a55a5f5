/* SPDX-License-Identifier: MIT */
/*
 * io_dns.h - the sockets of the name server; what is answered is the engine's (pv_engine_dns()),
 * and what is asked for a phone is dnsask's.
 */
#pragma once

#include "daemon/io/io_jobs.h"
#include "sys/net/udp.h"

struct pv_io_dns; /* opaque */

PV_MUST_CHECK int pv_io_dns_new(struct pv_io_dns **ret_dns, struct pv_io *io);
/* Listens on these sockets of the interface, which are taken; NULL = on none. The sockets before
 * are closed. */
void pv_io_dns_listen(struct pv_io_dns *dns, struct pv_io_dns_fds *sockets);
/* Goes on with questions of phones. Returns when to call it again, or PV_NEVER. */
pv_ns pv_io_dns_timeout(struct pv_io_dns *dns, pv_ns now);
struct pv_io_dns *pv_io_dns_free(struct pv_io_dns *dns); /* NULL is fine; returns NULL */
