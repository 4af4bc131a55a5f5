/* SPDX-License-Identifier: MIT */
/* How a peer comes and goes, and what it gets once somebody talks to it. */
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/node/part.h"
#include "daemon/core/peer/peer_int.h"

/* The fast path gets its peer first, since everything else is named by the id that it gives out. */
static int new_peer(struct pv_peer **ret_peer, struct pv_node *n, enum pv_fp_peer_kind kind,
                    const uint8_t *transport)
{
    struct pv_peer *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return PV_ERR_NOMEM;
    int r = pv_fp_builder_add_peer(n->fp, kind, &p->id);
    if (r != PV_OK) {
        free(p);
        return r;
    }
    p->node = n;
    p->is_static = kind != PV_FP_MEMBER;
    p->is_guest = kind == PV_FP_GUEST;
    memcpy(p->transport, transport, sizeof(p->transport));
    p->retry = PV_PEER_RETRY_FIRST;
    p->deadline = PV_NEVER;
    p->sample_at = PV_NEVER;
    p->resolve_at = PV_NEVER;
    p->hard.wake = PV_NEVER;
    p->leave_at = PV_NEVER;
    *ret_peer = p;
    return PV_OK;
}

int pv_peer_new_member(struct pv_peer **ret_peer, struct pv_node *n,
                       const uint8_t pk[static PV_SIGN_PK_LEN],
                       const uint8_t transport[static PV_DH_LEN])
{
    struct pv_peer *p;
    int r = new_peer(&p, n, PV_FP_MEMBER, transport);
    if (r != PV_OK)
        return r;
    memcpy(p->pk, pk, sizeof(p->pk));
    pv_peer_pq_settle(p, 0);
    *ret_peer = p;
    return PV_OK;
}

static int new_plain(struct pv_peer **ret_peer, struct pv_node *n, enum pv_fp_peer_kind kind,
                     const struct pv_peer_static *conf, pv_ns now)
{
    struct pv_peer *p;
    int r = new_peer(&p, n, kind, conf->public_key);
    if (r != PV_OK)
        return r;
    r = pv_peer_make_session(p, conf, now);
    if (r != PV_OK) {
        pv_peer_free(p);
        return r;
    }
    pv_session_set_reach(p->session, PV_SESSION_NOWHERE, now);
    *ret_peer = p;
    return PV_OK;
}

int pv_peer_new_static(struct pv_peer **ret_peer, struct pv_node *n,
                       const struct pv_peer_static *conf, pv_ns now)
{
    return new_plain(ret_peer, n, PV_FP_STATIC, conf, now);
}

int pv_peer_new_guest(struct pv_peer **ret_peer, struct pv_node *n,
                      const uint8_t pk[static PV_SIGN_PK_LEN],
                      const uint8_t transport[static PV_DH_LEN], pv_ns now)
{
    struct pv_peer_static conf = {.suite = PV_SUITE_CHACHA};
    memcpy(conf.public_key, transport, sizeof(conf.public_key));
    int r = new_plain(ret_peer, n, PV_FP_GUEST, &conf, now);
    if (r == PV_OK)
        memcpy((*ret_peer)->pk, pk, sizeof((*ret_peer)->pk));
    return r;
}

void pv_peer_forget_ufrag(struct pv_peer *p)
{
    if (p->talk == NULL)
        return;
    if (p->talk->ufrag.peer != NULL)
        PV_MAP_DEL(p->node->common->ufrags, &p->talk->ufrag);
    p->talk->ufrag.peer = NULL;
}

int pv_peer_need_talk(struct pv_peer *p)
{
    if (p->talk != NULL)
        return PV_OK;
    p->talk = calloc(1, sizeof(*p->talk));
    if (p->talk == NULL)
        return PV_ERR_NOMEM;
    p->talk->knows_key = p->node->keys.number;
    return PV_OK;
}

/* --- what parts keep ------------------------------------------------------------------------- */

void *pv_peer_find_slot(const struct pv_peer *p, const struct pv_part *part)
{
    struct pv_peer_slot *slot = p->slots;
    while (slot != NULL && slot->part != part)
        slot = slot->next;
    return slot == NULL ? NULL : slot->kept;
}

void *pv_peer_slot(struct pv_peer *p, const struct pv_part *part)
{
    void *kept = pv_peer_find_slot(p, part);
    if (kept != NULL)
        return kept;
    struct pv_peer_slot *slot = calloc(1, sizeof(*slot) + part->peer_size);
    if (slot == NULL)
        return NULL;
    slot->part = part;
    slot->next = p->slots;
    p->slots = slot;
    return slot->kept;
}

void pv_peer_drop_slot(struct pv_peer *p, const struct pv_part *part)
{
    struct pv_peer_slot **at = &p->slots, *slot;
    while (*at != NULL && (*at)->part != part)
        at = &(*at)->next;
    slot = *at;
    if (slot == NULL)
        return;
    *at = slot->next;
    if (part->end_peer != NULL)
        part->end_peer(slot->kept);
    free(slot);
}

/* --- its end --------------------------------------------------------------------------------- */

struct pv_peer *pv_peer_free(struct pv_peer *p)
{
    if (p == NULL)
        return NULL;
    while (p->slots != NULL)
        pv_peer_drop_slot(p, p->slots->part);
    pv_peer_forget_ufrag(p);
    p->node->common->n_reaching -= p->state == PV_PEER_REACHING ? 1 : 0;
    if (p->session != NULL)
        pv_peer_drop_indices(p);
    p->session = pv_session_free(p->session);
    p->ice = pv_ice_free(p->ice);
    p->agreed.x = pv_pqx_free(p->agreed.x);
    /* Credentials and a handshake message are in these. */
    if (p->remote != NULL)
        pv_wipe(p->remote, sizeof(*p->remote));
    free(p->remote);
    if (p->talk != NULL)
        pv_wipe(p->talk, sizeof(*p->talk));
    free(p->talk);
    free(p->endpoint_host);
    pv_trace_done(&p->trace);
    pv_inband_receiver_done(&p->inband);
    /* The sums go on after the peer, or the counters of the node would run backwards. */
    for (uint16_t i = 0; i < PV_FP_MAX_RELAYS; i++)
        pv_peer_add_relayed(p, i, &p->node->common->relayed_gone[i]);
    pv_peer_add_sums(p, &p->node->common->gone);
    if (pv_fp_builder_remove_peer(p->node->fp, p->id) != PV_OK)
        pv_log(p->node->log, PV_LOG_ERROR, "peer=%s what=\"still in the fast path\"", p->name);
    free(p);
    return NULL;
}

/* The ufrag finds the peer of an incoming check among thousands, since many peers share the main
 * socket. */
int pv_peer_new_creds(struct pv_peer *p)
{
    int status = pv_peer_need_talk(p);
    if (status != PV_OK)
        return status;
    struct pv_peer_ufrag *u = &p->talk->ufrag;
    pv_peer_forget_ufrag(p);
    pv_ice_make_creds(&p->node->rng, &p->talk->creds);
    memset(u->ufrag, 0, sizeof(u->ufrag));
    memcpy(u->ufrag, p->talk->creds.ufrag, strlen(p->talk->creds.ufrag));
    u->peer = p;
    PV_MAP_ADD(&p->node->common->ufrag_map, p->node->common->ufrags, ufrag, u, status);
    if (status != PV_OK)
        u->peer = NULL;
    return status;
}
