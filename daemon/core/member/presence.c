/* SPDX-License-Identifier: MIT */
/* presence.c - asks the coordinator for the presence of members. */
#include "daemon/core/member/presence.h"

#include <string.h>

#include "daemon/core/member/coordclient.h"
#include "daemon/core/peer/peers.h"

void pv_presence_subscribe(struct pv_node *n, const uint8_t *pk)
{
    uint8_t nodes[1][PV_SIGN_PK_LEN];
    struct pv_ctl_msg msg = {.type = PV_CTL_SUBSCRIBE};
    if (!n->online)
        return;
    memcpy(nodes[0], pk, sizeof(nodes[0]));
    msg.u.subscribe.on = true;
    msg.u.subscribe.n = 1;
    msg.u.subscribe.nodes = (const uint8_t(*)[PV_SIGN_PK_LEN])nodes;
    int r = pv_coordclient_request(n->coord, &msg, 0);
    if (r != PV_OK)
        pv_log(n->log, PV_LOG_WARN, "what=\"presence not asked for\" why=\"%s\"", pv_strstatus(r));
}

void pv_presence_take(struct pv_node *n, const struct pv_ctl_presences *list, pv_ns now)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct pv_ctl_presence *x = &list->nodes[i];
        struct pv_peer *p = pv_peers_by_pk(n->peers, x->node);
        if (p == NULL)
            continue;
        enum pv_presence was = pv_peer_presence(p);
        pv_peer_set_presence(p, x->online ? PV_PRESENCE_ONLINE : PV_PRESENCE_OFFLINE, x->since_us,
                             now);
        pv_peers_touch(n->peers, p, now);
        if (was != pv_peer_presence(p))
            pv_peers_raise(n->peers, p, PV_PEER_FACT_PRESENCE);
    }
}
