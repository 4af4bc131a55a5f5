/* SPDX-License-Identifier: MIT */
/*
 * turnpeer.h - which peer addresses the relay sends to on behalf of static users (DESIGN 6): an
 * address is brought to the form in which it would be used, then refused by default when it leads
 * back to the coordinator or into somebody's private network.
 *
 * Pure functions of their arguments.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

/*
 * The IPv4 address that an IPv6 address leads to: mapped ::ffff:a.b.c.d (RFC 4291 s2.5.5.2),
 * translated ::ffff:0:a.b.c.d (RFC 2765), compatible ::a.b.c.d (RFC 4291 s2.5.5.1), NAT64
 * 64:ff9b::/96 (RFC 6052), 6to4 2002::/16 (RFC 3056), Teredo 2001::/32 (the client's, RFC 4380),
 * ISATAP ::5efe:a.b.c.d (RFC 5214).
 * Others stay as they are. :: and ::1 stay IPv6. The port is kept.
 */
struct pv_addr pv_turnpeer_canonical(struct pv_addr a);

struct pv_turnpeer_rules {
    const struct pv_prefix *allow; /* ranges that the configuration allows against the default */
    size_t n_allow;
    const struct pv_addr *own; /* addresses of the coordinator itself; ports do not matter */
    size_t n_own;
};

/*
 * Returns true if datagrams may go there. Never: unspecified, multicast, broadcast, IPv4 0/8 and
 * 240/4, and mapped, translated or compatible forms, which no socket sends as IPv6. By default not:
 * loopback, link-local, site-local, RFC 1918, 100.64/10, ULA, 192.0.0/24, local NAT64, the
 * coordinator's own, and an IPv6 address that leads to such an IPv4 address. A Teredo address also
 * names its server.
 */
bool pv_turnpeer_is_allowed(const struct pv_addr *a, const struct pv_turnpeer_rules *rules);
