/* SPDX-License-Identifier: MIT */
/*
 * portmapper.h - asks a router by NAT-PMP (libnatpmp) or UPnP-IGD (miniupnpc).
 *
 * The libraries block, and parse XML of whoever answers on the link: they run in a task of the
 * helper (sys/helper/helper.h), as a user of its own, with limits of time and memory, one request a
 * process.
 */
#pragma once

#include "base/pv.h"
#include "daemon/core/jobs/portmapjob.h"
#include "sys/helper/helper.h"

/* The task: args is a struct pv_portmapjob, a struct pv_portmapjob_result goes to out. */
void pv_portmapper_run(struct pv_view args, int out);

/* Starts it and waits for its result, at most PV_HELPER_TASK_SECONDS and not beyond *until, which
 * another thread may bring forward. Failures are in ret_result too; nothing in it is trusted but
 * that its texts end. */
void pv_portmapper_ask(struct pv_helper *helper, const struct pv_portmapjob *job,
                       const _Atomic pv_ns *until, struct pv_portmapjob_result *ret_result);

/* May UPnP speak with that URL ("http://ADDRESS...") on behalf of this job: the router, or another
 * machine of a private range? Nobody shall make this machine ask its own services, or others'. */
bool pv_portmapper_may_ask(const struct pv_portmapjob *job, const char *url);
