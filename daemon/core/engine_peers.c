/* SPDX-License-Identifier: MIT */
/* Datagrams that the packet threads hand up, to their owners; and what parts that are still in the
 * engine are told of peers. */
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/engine_int.h"
#include "daemon/core/peer/handshakes.h"
#include "proto/stun/demux.h"

/* --- datagrams -----------------------------------------------------------------------------------
 */

static void take_stun(struct pv_engine *e, const struct pv_carrier *from, struct pv_view data,
                      pv_ns now)
{
    PV_EACH_PART(&e->node, slot)
    {
        if (slot->part->handle_stun != NULL && slot->part->handle_stun(slot->self, from, data, now))
            return;
    }
}

/* A datagram that is not transport data. */
static void take_datagram(struct pv_engine *e, const struct pv_carrier *from, struct pv_view data,
                          pv_ns now)
{
    switch (pv_demux(data)) {
    case PV_DEMUX_STUN:
        take_stun(e, from, data, now);
        break;
    case PV_DEMUX_WG_INITIATION:
    case PV_DEMUX_WG_RESPONSE:
    case PV_DEMUX_WG_COOKIE:
        pv_handshakes_take(pv_node_part(&e->node, &pv_part_handshakes), from, data, now);
        break;
    case PV_DEMUX_WG_DATA:
    case PV_DEMUX_CHANNEL:
    case PV_DEMUX_JUNK:
        break;
    }
}

void pv_engine_handle_punt(struct pv_engine *e, const struct pv_fp_punt *punt, pv_ns now)
{
    if (punt->kind == PV_FP_PUNT_DATAGRAM) {
        take_datagram(e, &punt->from, punt->bytes, now);
    } else if (punt->kind == PV_FP_PUNT_TOO_BIG) {
        pv_peers_too_big(e->node.peers, punt, now);
    } else {
        struct pv_peer *p = pv_engine_peer_by_id(e, punt->peer);
        if (p == NULL)
            return;
        if (punt->kind == PV_FP_PUNT_INBAND)
            pv_engine_take_inband(e, p, punt->bytes, now);
        else
            pv_peer_handle_punt(p, punt, now);
        /* what came in-band may have ended the membership that made the peer */
        p = pv_engine_peer_by_id(e, punt->peer);
        if (p != NULL && punt->kind == PV_FP_PUNT_INBAND)
            pv_peer_strayed(p, &punt->from, now);
        if (p != NULL)
            pv_engine_touch(e, p, now);
    }
    pv_engine_settle(e, now);
}

/* --- sockets beside the main ones --------------------------------------------------------------
 */

int pv_engine_poll_sock_op(struct pv_engine *e, struct pv_hardnat_op *ret_op)
{
    PV_EACH_PART(&e->node, slot)
    {
        if (slot->part->poll_sock_op != NULL && slot->part->poll_sock_op(slot->self, ret_op))
            return PV_OK;
    }
    return PV_ERR_AGAIN;
}

void pv_engine_sock_bounced(struct pv_engine *e, uint16_t sock, struct pv_view quoted, bool expired)
{
    PV_EACH_PART(&e->node, slot)
    {
        if (slot->part->sock_bounced != NULL)
            slot->part->sock_bounced(slot->self, sock, quoted, expired);
    }
}

void pv_engine_sock_opened(struct pv_engine *e, uint16_t sock, uint16_t port, pv_ns now)
{
    PV_EACH_PART(&e->node, slot)
    {
        if (slot->part->sock_opened != NULL && slot->part->sock_opened(slot->self, sock, port, now))
            break;
    }
    pv_engine_settle(e, now);
}
