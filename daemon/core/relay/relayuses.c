/* SPDX-License-Identifier: MIT */
/* A table of peers and when something was last sent to each. */
#include "daemon/core/relay/relayuses.h"

/* The order does not matter, since the oldest is found by its time. */
static void give_up(struct pv_relayuses *u, struct pv_turnc *turnc, size_t i, pv_ns now)
{
    pv_turnc_unbind(turnc, &u->all[i].peer, now);
    u->all[i] = u->all[--u->n];
}

/* A stock server relays only to peers with a permission (RFC 8656 s9), which binding a channel
 * gives them. */
void pv_relayuses_note(struct pv_relayuses *u, struct pv_turnc *turnc, const struct pv_addr *peer,
                       pv_ns now)
{
    size_t oldest = 0;
    for (size_t i = 0; i < u->n; i++) {
        if (pv_addr_equal(&u->all[i].peer, peer)) {
            u->all[i].used_at = now;
            return;
        }
        if (u->all[i].used_at < u->all[oldest].used_at)
            oldest = i;
    }
    if (u->n == PV_RELAYUSES_MAX)
        give_up(u, turnc, oldest, now);
    if (pv_turnc_bind(turnc, peer, now) != PV_OK)
        return;
    u->all[u->n].peer = *peer;
    u->all[u->n++].used_at = now;
}

/* The server itself forgets a channel after ten minutes, but the client repeats each before that
 * for as long as it is wanted. */
void pv_relayuses_sweep(struct pv_relayuses *u, struct pv_turnc *turnc, pv_ns now)
{
    for (size_t i = 0; i < u->n;) {
        if (u->all[i].used_at + PV_RELAYUSES_UNUSED <= now)
            give_up(u, turnc, i, now);
        else
            i++;
    }
}

void pv_relayuses_end(struct pv_relayuses *u, struct pv_turnc *turnc, pv_ns now)
{
    while (u->n > 0)
        give_up(u, turnc, 0, now);
}
