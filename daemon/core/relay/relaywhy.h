/* SPDX-License-Identifier: MIT */
/*
 * relaywhy.h - why a TURN server is not reached, in words of what a user sees, for `status`.
 */
#ifndef PV_RELAYWHY_H
#define PV_RELAYWHY_H

#include "proto/stun/turnc.h"

/* The reason of a DOWN event, into text; nothing when it is this node that stopped. transport:
 * "UDP", "TCP" or "TLS", by which the server was asked. */
void pv_relaywhy(const struct pv_turnc_event *down, const char *transport, char *text, size_t cap);

#endif /* PV_RELAYWHY_H */
