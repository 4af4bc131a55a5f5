/* SPDX-License-Identifier: MIT */
/* In-band messages both ways. */
#include "daemon/core/engine_int.h"

/* --- out ------------------------------------------------------------------------------------- */

int pv_engine_poll_inject(struct pv_engine *e, struct pv_engine_inject *ret_inject)
{
    return pv_peers_poll_inject(e->node.peers, ret_inject);
}

void pv_engine_say_goodbye(struct pv_engine *e, pv_ns now)
{
    struct pv_peer *p;
    for (p = NULL; (p = pv_peers_next_member(e->node.peers, p)) != NULL;) {
        if (pv_peer_can_talk(p, now))
            pv_engine_send_inband(e, p, PV_INBAND_GOODBYE, pv_view(NULL, 0));
    }
}

/* --- in -------------------------------------------------------------------------------------- */

void pv_engine_take_inband(struct pv_engine *e, struct pv_peer *p, struct pv_view packet, pv_ns now)
{
    struct pv_inband_message msg;
    if (p->is_static || e->node.roster == NULL)
        return;
    int r = pv_peer_receive_inband(p, packet, now, &msg);
    if (r != PV_OK) {
        if (r != PV_ERR_AGAIN)
            pv_log(e->node.log, PV_LOG_DEBUG, "peer=%s what=\"in-band dropped\" why=\"%s\"",
                   p->name, pv_strstatus(r));
        return;
    }
    if (pv_engine_give_inband(e, p, &msg, now))
        return;
    switch (msg.type) {
    case PV_INBAND_DESCRIPTION:
        pv_engine_take_inband_desc(e, p, msg.body, now);
        break;
    case PV_INBAND_STATEMENTS:
        pv_engine_take_sync(e, p, msg.body, now);
        break;
    case PV_INBAND_SIGNAL:
        pv_engine_take_forward(e, p, msg.body, now);
        break;
    case PV_INBAND_ECHO:
    case PV_INBAND_FILE:
    case PV_INBAND_GOODBYE:
    case PV_INBAND_PROBE:
    case PV_INBAND_PROBED:
    case PV_INBAND_PACKET:
        break; /* a part has it */
    }
}
