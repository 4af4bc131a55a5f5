/* SPDX-License-Identifier: MIT */
/*
 * peer_keys.c - static keys that change, ours and the peer's (docs/PROTOCOL-PEERS.md "Key change").
 * The session never notices: keys in use go on, and the next handshake is made with the newest keys
 * of which both sides know. Nobody can be sure of that in time, so each side takes both keys of the
 * other for a while, and who asks tries another of its own with each message 1.
 */
#include <string.h>

#include "daemon/core/peer/peer_int.h"

/* The key in use is looked at first: a former one is nearly never meant. */
const struct pv_wg_device *pv_peer_key_addressed(const struct pv_node *n, struct pv_view msg)
{
    if (pv_wgmsg_mac1_ok(n->keys.device, msg))
        return n->keys.device;
    for (size_t i = 0; i < n->keys.n_former; i++)
        if (pv_wgmsg_mac1_ok(n->keys.former[i], msg))
            return n->keys.former[i];
    return n->keys.next != NULL && pv_wgmsg_mac1_ok(n->keys.next, msg) ? n->keys.next : NULL;
}

bool pv_peer_has_key(const struct pv_peer *p, const uint8_t key[static PV_DH_LEN], pv_ns now)
{
    return memcmp(p->transport, key, PV_DH_LEN) == 0 ||
           (p->talk != NULL && now < p->talk->former_until &&
            memcmp(p->talk->former, key, PV_DH_LEN) == 0);
}

int pv_peer_set_transport(struct pv_peer *p, const uint8_t transport[static PV_DH_LEN], pv_ns now)
{
    int r = p->session == NULL ? PV_OK : pv_session_set_remote(p->session, transport);
    if (r != PV_OK)
        return r;
    /* To whom nobody has talked nothing of before can be under way. */
    if (p->talk != NULL) {
        memcpy(p->talk->former, p->transport, sizeof(p->talk->former));
        p->talk->former_until = now + PV_PEER_FORMER_TIME;
    }
    memcpy(p->transport, transport, sizeof(p->transport));
    pv_trace_add(&p->trace, now, "it has another transport key");
    return PV_OK;
}

bool pv_peer_knows_own_key(const struct pv_peer *p)
{
    return p->talk == NULL || p->talk->knows_key == p->node->keys.number;
}

void pv_peer_note_own_key(struct pv_peer *p)
{
    if (p->talk != NULL)
        p->talk->knows_key = p->node->keys.number;
}

void pv_peer_forget_own_key(struct pv_peer *p, const struct pv_wg_device *device)
{
    if (p->session == NULL)
        return;
    pv_session_set_device(p->session, p->node->keys.device);
    pv_session_forget_device(p->session, device);
}

/* Right after a change a peer that has shown nothing takes the former key in any case: it has not
 * heard of the new one, or takes both. Later the new one is the better guess. Each further message
 * of an attempt tries the next, so a wrong guess costs five seconds and nothing more. */
const struct pv_wg_device *pv_peer_own_key(const struct pv_peer *p, pv_ns now)
{
    const struct pv_node *n = p->node;
    size_t k = p->session == NULL ? 0 : pv_session_tries(p->session) % (1 + n->keys.n_former);
    /* A static peer learns of a change by its user. The key by which it was reached last stays
     * first. */
    bool former_first = n->keys.n_former > 0 && !pv_peer_knows_own_key(p) &&
                        (p->is_static || now < n->keys.former_until);
    if (former_first && k < 2)
        k = 1 - k;
    return k == 0 ? n->keys.device : n->keys.former[k - 1];
}
