/* SPDX-License-Identifier: MIT */
/* process.h - what p2pvpnd asks of the kernel and of the C library for itself, before it begins. */
#ifndef PV_DAEMON_PROCESS_H
#define PV_DAEMON_PROCESS_H

/* Masks, limits and signals of this process and those that it makes. To be called once. */
void pv_process_prepare(void);

#endif /* PV_DAEMON_PROCESS_H */
