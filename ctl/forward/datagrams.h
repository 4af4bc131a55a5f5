/* SPDX-License-Identifier: MIT */
/*
 * datagrams.h - a `forward -u`: each program that sends to the gate has a UDP socket of its own
 * towards the member, so answers find back.
 *
 * Whose each datagram is, and each program that an answer goes to, is asked of the kernel: a port
 * is free again as soon as its program closes it. One thread.
 */
#ifndef PV_DATAGRAMS_H
#define PV_DATAGRAMS_H

#include "ctl/forward/links.h"

enum {
    PV_DATAGRAMS_MAX = 1000, /* ours: senders at once; what others send meanwhile is dropped */
};
#define PV_DATAGRAMS_IDLE PV_S(300) /* RFC 4787 REQ-5: what NATs are told to keep */

/* Serves until a signal ends it. The exit code. */
int pv_datagrams_run(const struct pv_links_config *cfg);

#endif /* PV_DATAGRAMS_H */
