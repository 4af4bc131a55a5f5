/* SPDX-License-Identifier: MIT */
/*
 * resolver.h - asks the resolver of the system for the addresses of a host.
 *
 * The control process must not have what getaddrinfo() needs, the libraries of nsswitch.conf and
 * unix sockets to whatever answers there: it is asked in a task of the helper, one name a process.
 */
#pragma once

#include <stdatomic.h>

#include "daemon/core/jobs/job.h"
#include "sys/helper/helper.h"

/* The task: args is a host's name of PV_JOB_HOST_MAX bytes, with its NUL; anything else is not
 * answered. */
void pv_resolver_run(struct pv_view args, int out);

/* Starts it and waits for its result, which may take PV_HELPER_TASK_SECONDS, and not beyond *until,
 * which another thread may bring forward. An address is its own answer, without a task. */
void pv_resolver_ask(struct pv_helper *helper, const struct pv_job_resolve *job,
                     const _Atomic pv_ns *until, struct pv_job_result *ret_result);
