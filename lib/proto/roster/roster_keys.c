/* SPDX-License-Identifier: MIT */
/*
 * roster_keys.c - the table of public keys that statements are about or signed by, and the list of
 * those to be settled. All other files of the roster stand on this one.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/roster/roster_int.h"

struct pv_roster_key *pv_roster_key(const struct pv_roster *r, const uint8_t *pk)
{
    struct pv_roster_key *k;
    PV_MAP_FIND(&r->key_map, r->keys, pk, PV_SIGN_PK_LEN, k);
    return k;
}

/* Keys are never removed: members and events point to them for as long as the roster lives. Each
 * may become a member, and deciding that must not need memory. */
struct pv_roster_key *pv_roster_get_or_add_key(struct pv_roster *r, const uint8_t *pk)
{
    struct pv_roster_key *k = pv_roster_key(r, pk);
    int status;

    if (k != NULL)
        return k;
    void *by_pk = pv_vec_room(r->by_pk, HASH_CNT(hh, r->keys), &r->by_pk_cap, 16,
                              sizeof(struct pv_roster_key *));
    if (by_pk == NULL)
        return NULL;
    r->by_pk = by_pk;
    k = calloc(1, sizeof(*k));
    if (k == NULL)
        return NULL;
    memcpy(k->pk, pk, sizeof(k->pk));
    k->claim.key = k;
    PV_MAP_ADD(&r->key_map, r->keys, pk, k, status);
    if (status != PV_OK) {
        free(k);
        return NULL;
    }
    return k;
}

/* An invite may be used by anybody who has its secret, so its uses are counted by the coordinator's
 * receipts; an admin's own signature needs no such witness. */
bool pv_roster_needs_receipt(const struct pv_roster_key *signer, uint8_t type)
{
    return type == PV_ST_MEMBER && (signer->rights & PV_RIGHT_INVITE) == 0;
}

/* Every change of a key is settled later, once for the whole batch. */
void pv_roster_mark(struct pv_roster *r, struct pv_roster_key *k)
{
    if (k->in.dirty)
        return;
    k->in.dirty = true;
    k->next_dirty = r->dirty;
    r->dirty = k;
}

/* An admin's invites depend on it, and the nodes on these. */
void pv_roster_mark_dependants(struct pv_roster *r, struct pv_roster_key *k)
{
    pv_roster_mark(r, k);
    for (struct pv_roster_item *e = k->issued; e != NULL; e = e->next_issued) {
        if (e->pub.st.type == PV_ST_MEMBER || e->pub.st.type == PV_ST_PLACE ||
            e->pub.st.type == PV_ST_ADMISSION)
            pv_roster_mark(r, e->subject);
        if (e->pub.st.type != PV_ST_INVITE)
            continue;
        pv_roster_mark(r, e->subject); /* of several of one key another may count now */
        for (struct pv_roster_item *m = e->subject->issued; m != NULL; m = m->next_issued) {
            if (m->pub.st.type == PV_ST_MEMBER)
                pv_roster_mark(r, m->subject);
        }
    }
}

bool pv_roster_in_window(const struct pv_st_invite *invite, uint64_t time)
{
    uint64_t from = invite->not_before > PV_ROSTER_WINDOW_SLACK
                        ? invite->not_before - PV_ROSTER_WINDOW_SLACK
                        : 0;
    uint64_t to = invite->not_after < UINT64_MAX - PV_ROSTER_WINDOW_SLACK
                      ? invite->not_after + PV_ROSTER_WINDOW_SLACK
                      : UINT64_MAX;
    return time >= from && time <= to;
}

bool pv_roster_spend(struct pv_roster *r, size_t steps)
{
    if (r->steps == 0)
        return false;
    r->steps -= steps < r->steps ? steps : r->steps;
    return true;
}
