/* SPDX-License-Identifier: MIT */
/* Datagrams that the packet threads hand up, to their owners; and what parts that are still in the
 * engine are told of peers. */
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/engine_int.h"
#include "proto/stun/demux.h"

/* Attempts to reach a peer for whom packets wait begin at least so often. */
#define HURRY_REACHING PV_S(120)

void pv_engine_nat_doubt(struct pv_engine *e, pv_ns now)
{
    pv_engine_udp_doubt(e, now);
    pv_mapper_refresh(e->mapper, now);
}

void pv_engine_peer_changed(struct pv_engine *e, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct pv_desc desc;
    while (pv_peer_take_desc(p, now, &desc)) {
        pv_engine_send_desc(e, p, &desc, now);
        pv_wipe(&desc, sizeof(desc));
    }
    if ((facts & (PV_PEER_FACT_PATH | PV_PEER_FACT_MEMBER)) != 0)
        pv_engine_chat_peer(e, p, now);
    if (p->state == PV_PEER_REACHING && !e->node.online)
        pv_coordclient_hurry(e->node.coord, now + HURRY_REACHING, now);
    if (p->state == PV_PEER_REACHING && !p->subscribed && e->node.online) {
        p->subscribed = true; /* in a large network nobody asked before */
        pv_engine_subscribe(e, (const uint8_t(*)[PV_SIGN_PK_LEN]) & p->pk, 1);
    }
    pv_engine_sync_peer(e, p, now);
    pv_engine_relay_peer(e, p, now);
}

void pv_engine_peer_gone(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    if (p->in_sync) {
        pv_rostersync_peer_down(e->sync, p->pk, now);
        e->env.n_in_sync--;
    }
    pv_engine_relay_drop(e, p, now);
}

/* --- datagrams -----------------------------------------------------------------------------------
 */

static void take_stun(struct pv_engine *e, const struct pv_carrier *from, struct pv_view data,
                      pv_ns now)
{
    char ufrag[PV_ICE_UFRAG_MAX + 1] = {0};
    char key[PV_ICE_UFRAG_MAX + 1] = {0};
    struct pv_peer *p = NULL;
    if (pv_engine_relay_input(e, from, data, now))
        return;
    if (from->kind == PV_CARRIER_STREAM && from->remote.family == PV_AF_NONE)
        return; /* nobody but the relay itself speaks there */
    if (pv_engine_life_input(e, from, data, now))
        return;
    PV_EACH_PART(&e->node, slot)
    {
        if (slot->part->handle_stun != NULL && slot->part->handle_stun(slot->self, from, data, now))
            return;
    }
    if (pv_ice_request_ufrag(data, ufrag) == PV_OK) {
        memcpy(key, ufrag, strlen(ufrag));
        p = pv_peer_by_ufrag(&e->env, key);
    } else if (data.len >= 20) {
        uint32_t owner = pv_stunroute_owner(e->stunroute, data.ptr + 8);
        if (owner == PV_STUN_OWNER_GATHERER && from->kind == PV_CARRIER_UDP) {
            if (pv_gatherer_handle_input(e->gatherer, &from->remote, data, now) == PV_OK) {
                pv_udpwatch_heard(&e->udp, now);
                pv_engine_settle(e, now); /* a new public address goes out at once */
            } else
                pv_log(e->node.log, PV_LOG_DEBUG, "what=\"STUN answer not taken\"");
            return;
        }
        if (owner == PV_STUN_OWNER_MAPPER) {
            if (from->kind == PV_CARRIER_UDP &&
                pv_mapper_handle_stun(e->mapper, &from->remote, data, now) == PV_OK)
                pv_engine_settle(e, now);
            return;
        }
        if (owner > PV_STUN_OWNER_PEERS)
            p = pv_engine_peer_by_id(e, owner - PV_STUN_OWNER_PEERS);
    }
    if (p == NULL)
        return;
    int r = pv_peer_handle_stun(p, from, data, now);
    if (r != PV_OK)
        pv_log(e->node.log, PV_LOG_DEBUG, "peer=%s what=\"STUN dropped\" why=\"%s\"", p->name,
               pv_strstatus(r));
    pv_engine_touch(e, p, now);
}

/* More handshakes than usual within a second: ask for cookies (whitepaper s5.3). */
static bool count_load(struct pv_engine *e, pv_ns now)
{
    if (now - e->load_since >= PV_S(1)) {
        e->under_load = e->load_count > PV_ENGINE_LOAD;
        e->load_since = now;
        e->load_count = 0;
    }
    e->load_count++;
    return e->under_load || e->load_count > PV_ENGINE_LOAD;
}

static void answer_cookie(struct pv_engine *e, const struct pv_carrier *from, struct pv_view msg,
                          pv_ns now)
{
    if (e->n_answers == PV_ENGINE_MAX_ANSWERS)
        return;
    struct pv_engine_transmit *tx = &e->answers[e->n_answers];
    uint8_t reply[PV_WGMSG_COOKIE_LEN];
    pv_cookie_reply(e->cookies, msg, &from->remote, now, reply);
    if (pv_carrier_is_relayed(from)) {
        e->n_answers +=
            pv_engine_relay_wrap(e, from->via, &from->remote, pv_view(reply, sizeof(reply)), tx);
        return;
    }
    e->n_answers++;
    tx->sock = from->sock;
    tx->stream = 0;
    tx->ttl = 0;
    tx->local = from->local;
    tx->dst = from->remote;
    tx->len = sizeof(reply);
    memcpy(tx->buf, reply, sizeof(reply));
}

static void take_initiation(struct pv_engine *e, const struct pv_carrier *from, struct pv_view msg,
                            pv_ns now)
{
    struct pv_wg_initiation in;
    struct pv_peer *p = NULL;
    if (pv_wgmsg_identify(&e->device, msg, &in) == PV_OK) {
        p = pv_peers_by_transport(e->node.peers, in.static_pk);
        if (p == NULL) {
            e->stranger.from = from->remote;
            memcpy(e->stranger.key, in.static_pk, sizeof(e->stranger.key));
        }
    }
    if (p != NULL) {
        int r = pv_peer_handle_initiation(p, &in, from, now);
        if (r != PV_OK)
            pv_log(e->node.log, PV_LOG_DEBUG, "peer=%s what=\"initiation refused\" why=\"%s\"",
                   p->name, pv_strstatus(r));
        pv_engine_touch(e, p, now);
    }
    pv_wg_initiation_wipe(&in);
}

static void take_handshake(struct pv_engine *e, const struct pv_carrier *from, struct pv_view msg,
                           pv_ns now)
{
    uint8_t type;
    if (pv_wgmsg_type(msg, &type) != PV_OK || type == PV_WGMSG_DATA)
        return;
    if (type != PV_WGMSG_COOKIE) {
        enum pv_cookie_verdict v =
            pv_cookie_check(e->cookies, msg, &from->remote, count_load(e, now), now);
        if (v == PV_COOKIE_REPLY)
            answer_cookie(e, from, msg, now);
        if (v != PV_COOKIE_ACCEPT)
            return;
    }
    if (type == PV_WGMSG_INITIATION) {
        take_initiation(e, from, msg, now);
        return;
    }
    struct pv_peer *p = pv_peer_by_index(&e->env, pv_wgmsg_receiver(msg));
    if (p == NULL)
        return;
    int r = pv_peer_handle_reply(p, type, msg, from, now);
    if (r != PV_OK)
        pv_log(e->node.log, PV_LOG_DEBUG, "peer=%s what=\"handshake refused\" why=\"%s\"", p->name,
               pv_strstatus(r));
    pv_engine_touch(e, p, now);
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
        take_handshake(e, from, data, now);
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
    if (pv_engine_life_poll_op(e, ret_op))
        return PV_OK;
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
    if (pv_engine_life_opened(e, sock, port, now))
        return;
    PV_EACH_PART(&e->node, slot)
    {
        if (slot->part->sock_opened != NULL && slot->part->sock_opened(slot->self, sock, port, now))
            return;
    }
}
