/* SPDX-License-Identifier: MIT */
/* How long a server is used that a way has left. */
#include "daemon/core/relay/relayhold.h"

void pv_relayhold_begin(struct pv_relayhold *h, const struct pv_addr *server, uint16_t stream,
                        pv_ns now)
{
    *h = (struct pv_relayhold){
        .server = *server, .stream = stream, .sends = true, .until = now + PV_RELAYHOLD_MOST};
}

void pv_relayhold_works(struct pv_relayhold *h, pv_ns now)
{
    if (h->sends)
        h->until = pv_min_ns(h->until, now + PV_RELAYHOLD_SEND);
}

bool pv_relayhold_quit(struct pv_relayhold *h, pv_ns now)
{
    if (!h->sends)
        return false;
    h->sends = false;
    h->until = now + PV_RELAYHOLD_RECEIVE;
    return true;
}

bool pv_relayhold_handle_timeout(struct pv_relayhold *h, pv_ns now)
{
    return h->sends && now >= h->until && pv_relayhold_quit(h, now);
}

bool pv_relayhold_is_over(const struct pv_relayhold *h, pv_ns now)
{
    return h->server.family != PV_AF_NONE && !h->sends && now >= h->until;
}

pv_ns pv_relayhold_next_timeout(const struct pv_relayhold *h)
{
    return h->server.family == PV_AF_NONE ? PV_NEVER : h->until;
}
