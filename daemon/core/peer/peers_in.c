/* SPDX-License-Identifier: MIT */
/*
 * peers_in.c - what comes in for peers, and about their paths: STUN messages, probes of its size, a
 * peer's goodbye, and ICMP "fragmentation needed" (RFC 792, RFC 1191) or ICMPv6 "packet too big"
 * (RFC 4443 s3.2).
 *
 * An ICMP error is a hint, believed only when it quotes a datagram that left just now. A member's
 * path is probed at once then, and the size that the hint names is not used (RFC 8899 s4.6.2). A
 * static peer answers no probes: over IPv6 the size counts, never below what every link carries,
 * and for a while. A liar on the way can make packets smaller, no more.
 */
#include <string.h>

#include "daemon/core/nat/stunroute.h"
#include "daemon/core/peer/peers_int.h"

enum {
    HEADERS = 48,       /* bytes of IPv6 and UDP header, RFC 8200, RFC 768 */
    HINTS_A_SECOND = 5, /* ours: each looks through all peers */
};

/* --- in-band --------------------------------------------------------------------------------- */

static void take_goodbye(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
    pv_peer_goodbye(from, now);
}

/* The answer is small, whatever came: the way back need not be as wide. */
static void take_probe(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
    if (body.len < 4)
        return;
    pv_peers_send(part, from, PV_INBAND_PROBED, pv_view(body.ptr, 4));
    if (from->talk != NULL)
        pv_mtu_note_probed(pv_peer_mtu_of(from), body.len, now);
}

static void take_probed(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
    uint32_t token;
    if (from->talk != NULL && pv_inband_probe_parse(body, &token) == PV_OK)
        pv_mtu_handle_answer(pv_peer_mtu_of(from), token, now);
}

/* The packet threads join packets in parts themselves; one that they hand up is malformed. */
static void drop_packet(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
}

const struct pv_inband_handler pv_peers_inband[PV_PEERS_INBAND] = {
    {.type = PV_INBAND_GOODBYE, .take = take_goodbye},
    {.type = PV_INBAND_PROBE, .take = take_probe},
    {.type = PV_INBAND_PROBED, .take = take_probed},
    {.type = PV_INBAND_PACKET, .take = drop_packet},
};

/* --- STUN ------------------------------------------------------------------------------------ */

/* A request names our ufrag, an answer only its transaction id (RFC 8445 s7.3, s7.2.5). Either one
 * finds the peer among all on this socket; authentication is the agent's. */
bool pv_peers_take_stun(void *part, const struct pv_carrier *from, struct pv_view data, pv_ns now)
{
    struct pv_peers *ps = part;
    char ufrag[PV_ICE_UFRAG_MAX + 1] = {0};
    struct pv_peer *p = NULL;
    if (pv_ice_request_ufrag(data, ufrag) == PV_OK) {
        char key[PV_ICE_UFRAG_MAX + 1] = {0}; /* the whole array is the key */
        memcpy(key, ufrag, strlen(ufrag));
        p = pv_peer_by_ufrag(ps->cfg.node, key);
    } else if (data.len >= PV_STUN_TXID_AT + PV_STUN_TXID_LEN) {
        uint32_t owner =
            pv_stunroute_owner(ps->cfg.node->ways.stunroute, data.ptr + PV_STUN_TXID_AT);
        if (owner > PV_STUN_OWNER_PEERS)
            p = pv_peers_by_id(ps, owner - PV_STUN_OWNER_PEERS);
    }
    if (p == NULL)
        return false;
    int r = pv_peer_handle_stun(p, from, data, now);
    if (r != PV_OK)
        pv_log(ps->cfg.node->log, PV_LOG_DEBUG, "peer=%s what=\"STUN dropped\" why=\"%s\"", p->name,
               pv_strstatus(r));
    pv_peers_touch(ps, p, now);
    return true;
}

/* --- ICMP ------------------------------------------------------------------------------------ */

/* This host's own word needs no proof; a router's has to quote a datagram that left just now. */
static bool is_about(const struct pv_peers *ps, const struct pv_peer *p,
                     const struct pv_fp_punt *punt)
{
    return pv_peer_has_path(p) && p->path.kind == PV_CARRIER_UDP &&
           pv_addr_equal(&p->path.remote, &punt->from.remote) &&
           (punt->local || pv_fp_builder_has_sent(ps->cfg.node->fp, p->id, punt->bytes));
}

static void take_hint(struct pv_peers *ps, struct pv_peer *p, size_t fits, pv_ns now)
{
    uint16_t most = (uint16_t)(ps->cfg.node->given.mtu + PV_FP_OVERHEAD);
    if (fits < PV_IPPKT_MIN_MTU6)
        fits = PV_IPPKT_MIN_MTU6;
    if (p->talk == NULL)
        return;
    if (!p->is_static)
        pv_mtu_doubt(&p->talk->mtu, now);
    else if (p->path.remote.family == PV_AF_INET6 && fits <= UINT16_MAX)
        pv_mtu_tell(&p->talk->mtu, (uint16_t)(fits - HEADERS), most, now);
    pv_peers_touch(ps, p, now);
}

void pv_peers_too_big(struct pv_peers *ps, const struct pv_fp_punt *punt, pv_ns now)
{
    if (!pv_bucket_take(&ps->hints, HINTS_A_SECOND, HINTS_A_SECOND, 1, now))
        return;
    for (struct pv_peer *p = NULL; (p = pv_peers_next(ps, p)) != NULL;) {
        if (is_about(ps, p, punt)) {
            take_hint(ps, p, punt->count, now);
            return;
        }
    }
}
