/* SPDX-License-Identifier: MIT */
/*
 * preflight.h - what would stop a new network interface, looked at before create or join use
 * anything up: a token that is spent, or a network that was made, does not come back.
 */
#ifndef PV_PREFLIGHT_H
#define PV_PREFLIGHT_H

#include "base/addr.h"

enum {
    PV_PREFLIGHT_WHY = 200, /* bytes of "what: what to do", with the NUL */
};

/* Can this process open /dev/net/tun? For root on the machine of p2pvpnd. PV_ERR_UNSUPPORTED. */
PV_MUST_CHECK int pv_preflight_tun(char ret_why[static PV_PREFLIGHT_WHY]);
/* Has no interface but this one, which is p2pvpnd's own, an IPv4 address in this range?
 * PV_ERR_EXISTS. */
PV_MUST_CHECK int pv_preflight_range(const struct pv_prefix *range, const char *own,
                                     char ret_why[static PV_PREFLIGHT_WHY]);

#endif /* PV_PREFLIGHT_H */
