/* SPDX-License-Identifier: MIT */
/*
 * A peer that cannot be asked through the coordinator (DESIGN 5 "Without the coordinator"): trial
 * handshakes to addresses of before, and the path on trial that an answered one opens until the
 * agents have found their own.
 */
#include <string.h>

#include "daemon/core/peer/peer_int.h"

enum {
    TRIAL_BYTES = 512, /* taken as received from a proven address: enough for checks to begin */
};

/* A trial handshake is a real initiation: the answer gives keys, and no other message has to be
 * invented for it. It takes the next timestamp as every initiation does: the
 * responder refuses one that is not newer than the last (whitepaper s5.1). */
static int make_trial(struct pv_peer *p, pv_ns now, struct pv_session_transmit *ret_tx)
{
    if (p->session == NULL) {
        int made = pv_peer_make_session(p, NULL, now);
        if (made != PV_OK)
            return made;
    }
    uint64_t stamp = pv_highwater_next(&p->node->common->tai, pv_node_wall_us(p->node, now));
    pv_session_set_device(p->session, pv_peer_own_key(p, now));
    int r = pv_session_trial(p->session, pv_peer_fresh_index(p), stamp, now, ret_tx);
    if (r == PV_OK && ret_tx->took_index && pv_peer_add_index(p, ret_tx->index) != PV_OK)
        pv_trace_add(&p->trace, now, "no room for a receiver index");
    return r;
}

int pv_peer_trial(struct pv_peer *p, pv_ns now, uint8_t ret_msg[static PV_WGMSG_INITIATION_LEN])
{
    struct pv_session_transmit tx;
    int r = make_trial(p, now, &tx);
    if (r == PV_OK)
        memcpy(ret_msg, tx.msg, PV_WGMSG_INITIATION_LEN);
    return r;
}

/* Our own initiation takes precedence over the one that was refused, and may have gone to where the
 * peer is no more. It goes again to where the peer's came from. */
void pv_peer_try_back(struct pv_peer *p, const struct pv_carrier *from, pv_ns now)
{
    struct pv_session_transmit tx;
    if (p->is_static || pv_peer_path_works(p) || from->kind != PV_CARRIER_UDP ||
        (p->talk != NULL && p->talk->n_out == PV_PEER_MAX_OUT) || make_trial(p, now, &tx) != PV_OK)
        return;
    struct pv_peer_handshake *h = &p->talk->out[p->talk->n_out++];
    h->to = *from;
    h->len = tx.len;
    memcpy(h->msg, tx.msg, tx.len);
}

/* The agent gets credit for the address, as if data had come from there, and begins its checks with
 * it. */
void pv_peer_check_trial(struct pv_peer *p, pv_ns now)
{
    if (p->path_state != PV_PATH_STATE_TRIAL || p->ice == NULL)
        return;
    const struct pv_ice_carrier c = pv_peer_ice_carrier(&p->path);
    pv_ice_note_stray(p->ice, &c, &p->path.remote, TRIAL_BYTES, now);
}

/* Uses the proven address if it is needed now. A handshake proves keys and reachability in one; so
 * data may flow before ICE has checked anything. */
static void try_proven(struct pv_peer *p, pv_ns now)
{
    char text[PV_ADDR_TEXT];
    bool needed = !pv_peer_has_path(p) ||
                  (p->path_state == PV_PATH_STATE_SUSPECT && !p->node->common->signalling);
    if (p->is_static || !needed || p->proven.kind != PV_CARRIER_UDP ||
        (pv_peer_has_path(p) && pv_carrier_same(&p->path, &p->proven)))
        return;
    if (p->ice == NULL || p->state == PV_PEER_IDLE || p->state == PV_PEER_FAILED)
        pv_peer_begin(p, "it answers without the coordinator", now);
    if (p->ice == NULL)
        return;
    pv_peer_set_state(p, PV_PEER_REACHING, "it answers from another address", now);
    p->deadline = now + PV_PEER_REACH_TIME;
    p->recalled = p->proven.remote;
    pv_trace_add(&p->trace, now, "handshake at %s: trying that path",
                 pv_addr_format(&p->recalled, text));
    pv_peer_use_path(p, &p->proven, now);
    p->path_state = PV_PATH_STATE_TRIAL;
    pv_descx_kick(&p->descx);
    pv_peer_check_trial(p, now);
}

void pv_peer_proven_at(struct pv_peer *p, const struct pv_carrier *from, pv_ns now)
{
    p->proven = *from;
    try_proven(p, now);
}

void pv_peer_strayed(struct pv_peer *p, const struct pv_carrier *from, pv_ns now)
{
    if (pv_carrier_same(&p->proven, from))
        try_proven(p, now);
}
