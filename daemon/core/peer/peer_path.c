/* SPDX-License-Identifier: MIT */
/* A peer's paths as the agent and as the fast path see them; what leaves for the peer: its
 * description, handshakes, checks. */
#include <string.h>

#include "base/bytes.h"
#include "crypto/hash.h"
#include "daemon/core/peer/peer_int.h"
#include "proto/stun/turn.h"

enum {
    ETHERNET = 1500, /* bytes; what a path to a relay is taken to carry */
    UDP4 = 28,       /* bytes of IPv4 and UDP header */
    UDP6 = 48,
};

const char *pv_peer_state_name(enum pv_peer_state state)
{
    switch (state) {
    case PV_PEER_IDLE:
        return "idle";
    case PV_PEER_REACHING:
        return "reaching";
    case PV_PEER_UP:
        return "up";
    case PV_PEER_FAILED:
        return "failed";
    }
    return "unknown";
}

struct pv_ice_carrier pv_peer_ice_carrier(const struct pv_carrier *c)
{
    /* For the agent all datagrams of one relay belong to one base, our relayed address there,
     * however the relay itself is reached. */
    if (pv_carrier_is_relayed(c))
        return (struct pv_ice_carrier){.kind = PV_ICE_CARRIER_CHANNEL, .sock = c->via};
    return (struct pv_ice_carrier){.kind = PV_ICE_CARRIER_UDP, .sock = c->sock, .local = c->local};
}

/* The agent says "through relay n"; how that relay is reached now (channel, stream, socket) is
 * known only to its way. */
bool pv_peer_carrier(const struct pv_peer *p, const struct pv_ice_path *path,
                     struct pv_carrier *ret_carrier)
{
    *ret_carrier = (struct pv_carrier){
        .kind = PV_CARRIER_UDP,
        .sock = path->carrier.sock,
        .local = path->carrier.local,
        .remote = path->remote,
    };
    if (path->carrier.kind == PV_ICE_CARRIER_UDP)
        return true;
    const struct pv_relayway *r =
        path->carrier.sock < PV_FP_MAX_RELAYS ? p->node->ways.relays[path->carrier.sock] : NULL;
    return r != NULL && pv_relayway_carrier(r, &path->remote, ret_carrier);
}

/* A virtual address names its owner. A member that offers somebody else's would have us send that
 * member's way. */
void pv_peer_prune_relays(struct pv_desc *desc, const uint8_t pk[static PV_SIGN_PK_LEN])
{
    size_t n = 0;
    for (size_t i = 0; i < desc->n_cands; i++) {
        const struct pv_ice_cand *c = &desc->cands[i];
        if (c->type != PV_ICE_RELAY || !pv_turn_is_virtual(&c->addr) ||
            pv_turn_is_virtual_of(&c->addr, pk))
            desc->cands[n++] = *c;
    }
    desc->n_cands = n;
}

uint16_t pv_peer_path_mtu(const struct pv_carrier *path, uint16_t probed)
{
    if (path->kind == PV_CARRIER_STREAM)
        return 0; /* TCP cuts and joins as it must, DESIGN 7 */
    if (path->kind != PV_CARRIER_CHANNEL)
        return probed;
    /* Probes measure our message; the channel's header comes on top of it. */
    if (probed != 0)
        return (uint16_t)(probed + PV_TURN_CHANNEL_HEADER);
    return path->relay.family == PV_AF_INET6 ? ETHERNET - UDP6 : ETHERNET - UDP4;
}

/* A number from before this life's mark was stored may be below those of a former life that had no
 * room for its mark: the peer takes it for an old one and never answers. */
static void renumber(struct pv_peer *p, pv_ns now)
{
    struct pv_highwater *gen = &p->node->common->gen;
    if (!p->gen_in_doubt || p->descx.acked || !gen->own)
        return;
    p->gen_in_doubt = false;
    pv_descx_renumber(&p->descx, pv_highwater_next(gen, pv_node_wall_us(p->node, now)));
    pv_peer_pq_begin(p);
}

/* Of what changes behind a peer's back: candidates while its path is dormant, what was measured of
 * the NAT, the state of UDP here. The part that changes the rest says so (pv_descx_changed()). */
static uint64_t hash_content(const struct pv_desc *d)
{
    const struct pv_desc_nat *nat = &d->nat;
    const int32_t plain[] = {(int32_t)d->caps,
                             (int32_t)nat->mapping,
                             (int32_t)nat->ports,
                             nat->step,
                             nat->last,
                             nat->lo,
                             nat->hi,
                             nat->early};
    uint8_t hash[PV_MAC_LEN];
    struct pv_blake2s h;
    pv_blake2s_init(&h, pv_view(NULL, 0), sizeof(hash));
    pv_blake2s_update(&h, plain, sizeof(plain));
    for (size_t i = 0; i < d->n_cands; i++) {
        const struct pv_ice_cand *c = &d->cands[i];
        const uint32_t cand[] = {(uint32_t)c->type, c->priority, c->foundation, c->base};
        pv_blake2s_update(&h, cand, sizeof(cand));
        pv_blake2s_update(&h, &c->addr, sizeof(c->addr));
    }
    pv_blake2s_final(&h, hash);
    return pv_load_be64(hash);
}

/* It is composed when it is sent: changes that come together make one description. */
bool pv_peer_take_desc(struct pv_peer *p, pv_ns now, struct pv_desc *ret_desc)
{
    if (p->ice == NULL || pv_descx_next_timeout(&p->descx) > now)
        return false;
    renumber(p, now);
    memset(ret_desc, 0, sizeof(*ret_desc));
    ret_desc->re_gen = p->descx.theirs.gen;
    ret_desc->re_rev = p->descx.theirs.rev;
    ret_desc->creds = p->talk->creds;
    ret_desc->caps = p->node->ways.caps;
    memcpy(ret_desc->cost, p->node->ways.cost, sizeof(ret_desc->cost));
    ret_desc->n_cands = pv_ice_locals(p->ice, ret_desc->cands, PV_ARRAY_LEN(ret_desc->cands));
    if (p->node->ways.nat != NULL)
        ret_desc->nat = *p->node->ways.nat;
    if (p->hard.announced)
        ret_desc->attempt = (struct pv_desc_try){.n = p->hard.n, .at_us = p->hard.at_us};
    ret_desc->pq = p->agreed.x == NULL ? NULL : pv_pqx_say(p->agreed.x);
    if (p->wg_len > 0)
        memcpy(ret_desc->wg, p->talk->wg, p->wg_len);
    ret_desc->wg_len = p->wg_len;
    pv_descx_says(&p->descx, hash_content(ret_desc));
    (void)pv_descx_take_due(&p->descx, now);
    ret_desc->gen = p->descx.own.gen;
    ret_desc->rev = p->descx.own.rev;
    return true;
}

int pv_peer_poll_transmit(struct pv_peer *p, struct pv_peer_transmit *ret_tx)
{
    /* Handshakes before checks: a check can be repeated, and packets wait for the keys. */
    struct pv_peer_talk *m = p->talk;
    if (m != NULL && m->n_out > 0) {
        const struct pv_peer_handshake *h = &m->out[0];
        *ret_tx = (struct pv_peer_transmit){.relayed = pv_carrier_is_relayed(&h->to),
                                            .via = h->to.via,
                                            .sock = h->to.sock,
                                            .local = h->to.local,
                                            .dst = h->to.remote,
                                            .len = h->len};
        memcpy(ret_tx->buf, h->msg, h->len);
        m->n_out--;
        memmove(&m->out[0], &m->out[1], m->n_out * sizeof(m->out[0]));
        return PV_OK;
    }
    struct pv_ice_transmit tx;
    if (p->ice == NULL || pv_ice_poll_transmit(p->ice, &tx) != PV_OK)
        return PV_ERR_AGAIN;
    bool relayed = tx.carrier.kind != PV_ICE_CARRIER_UDP;
    *ret_tx = (struct pv_peer_transmit){.relayed = relayed,
                                        .via = relayed ? tx.carrier.sock : 0,
                                        .sock = relayed ? 0 : tx.carrier.sock,
                                        .local = tx.carrier.local,
                                        .dst = tx.dst,
                                        .is_stun = true,
                                        .ttl = tx.ttl,
                                        .len = tx.len};
    memcpy(ret_tx->buf, tx.buf, tx.len);
    return PV_OK;
}
