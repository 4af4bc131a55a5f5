/* SPDX-License-Identifier: MIT */
/* presence.c - asks the coordinator for the presence of members. */
#include "daemon/core/member/presence.h"

#include <string.h>

#include "daemon/core/member/coordclient.h"

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
