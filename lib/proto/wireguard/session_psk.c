/* SPDX-License-Identifier: MIT */
/*
 * session_psk.c - preshared keys that two members agree on while their session lives: which one a
 * handshake uses, and when keys are made anew for it. Nothing here asks the other side anything:
 * who begins names what both are known to have, who answers uses that if it still has it, and a key
 * that turns out to be lost is forgotten, so that both come to the same one by the next handshake.
 */
#include <string.h>

#include "crypto/ct.h"
#include "proto/wireguard/session_int.h"

static struct pv_session_psk *find(struct pv_session *s, uint32_t id)
{
    for (size_t i = 0; id != 0 && i < PV_ARRAY_LEN(s->psks); i++) {
        if (s->psks[i].id == id)
            return &s->psks[i];
    }
    return NULL;
}

/* A message that would have brought that key to the peer is not sent any more. An answer made with
 * it cannot be read there, so the message 1 that asked for it may come again and be answered
 * anew. */
static void note_lost(struct pv_session *s, uint32_t id)
{
    const struct pv_session_slot *next = &s->slots[PV_SESSION_SLOT_NEXT];
    if (id != 0 && next->used && next->psk == id)
        s->given.stale = true;
}

uint32_t pv_session_named_psk(const struct pv_session *s)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(s->psks); i++) {
        if (s->psks[i].proven)
            return s->psks[i].id;
    }
    return 0;
}

void pv_session_add_psk(struct pv_session *s, uint32_t id,
                        const uint8_t psk[static PV_NOISE_PSK_LEN], bool proven, pv_ns now)
{
    if (!s->member || id == 0 || id >= PV_TAI64N_TICK || find(s, id) != NULL)
        return;
    if (s->psks[0].id != 0 && !s->psks[0].proven)
        note_lost(s, s->psks[0].id);
    memmove(&s->psks[1], &s->psks[0], sizeof(s->psks) - sizeof(s->psks[0]));
    s->psks[0] = (struct pv_session_psk){.id = id};
    memcpy(s->psks[0].key, psk, sizeof(s->psks[0].key));
    if (proven)
        pv_session_prove_psk(s, id, now);
}

void pv_session_drop_unproven(struct pv_session *s)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(s->psks); i++) {
        if (s->psks[i].proven)
            continue;
        note_lost(s, s->psks[i].id);
        pv_wipe(&s->psks[i], sizeof(s->psks[i]));
    }
}

void pv_session_prove_psk(struct pv_session *s, uint32_t id, pv_ns now)
{
    struct pv_session_psk *k = find(s, id);
    if (k == NULL || k->proven)
        return;
    k->proven = true;
    if (pv_session_named_psk(s) != id)
        return; /* a newer one is in use already */
    s->psk_since = now;
    s->lifted.psk = true;
    pv_session_check_psk(s, false, now);
}

/* The member that encapsulated learns last that both have a key, so the other one, with the higher
 * identity, begins. */
void pv_session_check_psk(struct pv_session *s, bool patient, pv_ns now)
{
    const struct pv_session_slot *cur = &s->slots[PV_SESSION_SLOT_CURRENT];
    uint32_t newest = pv_session_named_psk(s);
    if (!cur->used || newest == 0 || cur->psk == newest)
        return;
    if (!s->lower_identity || (patient && now >= s->psk_since + PV_SESSION_PSK_PATIENCE))
        pv_session_begin(s, now);
}

/* A signal carries the exchange beside the answer, so a key that the peer will only then have may
 * be used for it. */
void pv_session_choose_psk(const struct pv_session *s, struct pv_wg_remote *remote,
                           uint32_t *ret_id)
{
    const struct pv_session_psk *k = NULL;
    if (s->answer.via == PV_SESSION_BY_SIGNAL && s->psks[0].id != 0 && !s->psks[0].proven)
        k = &s->psks[0];
    for (size_t i = 0; k == NULL && s->answer.psk != 0 && i < PV_ARRAY_LEN(s->psks); i++)
        k = s->psks[i].id == s->answer.psk ? &s->psks[i] : NULL;
    *ret_id = k == NULL ? 0 : k->id;
    if (k != NULL)
        memcpy(remote->psk, k->key, sizeof(remote->psk));
}

/* The responder chose, and says so by what opens. It is tried in the order in which it is likely;
 * an answer that none opens is forged. */
int pv_session_try_psks(struct pv_session *s, struct pv_view msg, pv_ns now,
                        struct pv_wg_keys *ret_keys, uint32_t *ret_id)
{
    int r = PV_ERR_AUTH;
    uint32_t id = 0;
    for (size_t i = 0; r != PV_OK && i < PV_ARRAY_LEN(s->psks); i++) {
        if (s->psks[i].id == 0)
            continue;
        struct pv_wg_remote with = s->remote;
        memcpy(with.psk, s->psks[i].key, sizeof(with.psk));
        r = pv_wgmsg_read_response(&s->pending, s->pending_device, &with, msg, ret_keys);
        pv_wg_remote_wipe(&with);
        id = r == PV_OK ? s->psks[i].id : 0;
    }
    if (r != PV_OK)
        r = pv_wgmsg_read_response(&s->pending, s->pending_device, &s->remote, msg, ret_keys);
    if (r != PV_OK)
        return r;
    struct pv_session_psk *named = find(s, s->pending_psk);
    if (named != NULL && id == 0)
        pv_wipe(named, sizeof(*named)); /* the peer has lost it: naming it again would end so too */
    pv_session_prove_psk(s, id, now);
    *ret_id = id;
    return PV_OK;
}
