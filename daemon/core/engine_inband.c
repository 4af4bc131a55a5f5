/* SPDX-License-Identifier: MIT */
/* In-band messages both ways. */
#include "daemon/core/engine_int.h"

/* --- out ------------------------------------------------------------------------------------- */

int pv_engine_poll_inject(struct pv_engine *e, struct pv_engine_inject *ret_inject)
{
    return pv_peers_poll_inject(e->node.peers, ret_inject);
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
    (void)pv_engine_give_inband(e, p, &msg, now); /* a type that nobody has is dropped */
}
