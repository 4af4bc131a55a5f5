/* SPDX-License-Identifier: MIT */
/*
 * procinfo.h - what the kernel says of this process, for metrics. Any thread.
 */
#ifndef PV_PROCINFO_H
#define PV_PROCINFO_H

#include "base/metrics.h"

/* All zero when /proc is not to be read; fds alone when we may not look there. */
void pv_procinfo_read(struct pv_metrics_process *ret_process);

#endif /* PV_PROCINFO_H */
