/* SPDX-License-Identifier: MIT */
/* netprobe_int.h - what netprobe.c and netprobe_stream.c share. */
#ifndef PV_NETPROBE_INT_H
#define PV_NETPROBE_INT_H

#include "ctl/probe/netprobe.h"
#include "proto/stun/stun.h"

/* One server by TCP or TLS. Statuses as pv_netprobe_ask(); with PV_ERR_REFUSED answer->mapped may
 * be the server that it names instead. */
PV_MUST_CHECK int pv_netprobe_ask_stream(const struct pv_addr *server, bool tls,
                                         struct pv_netprobe_answer *answer);
/* Where an error answer sends the client (300 Try Alternate, RFC 8489 s10), into answer->mapped. */
void pv_netprobe_take_alternate(const struct pv_stun_msg *msg, struct pv_netprobe_answer *answer);

#endif /* PV_NETPROBE_INT_H */
