/* SPDX-License-Identifier: MIT */
/*
 * roster_terms.c - what conditions of invites mean (type 11, adr 0022): who waits for an admission,
 * and whose membership has expired. The time follows from the receipts of the coordinator that the
 * network uses first, so that all rosters with the same statements decide alike, whatever their
 * clocks say.
 */
#include <string.h>

#include "proto/roster/roster_int.h"

/* --- invites ---------------------------------------------------------------------------------- */

/* Two admins may have signed the same invite key. The choice must not depend on the order of
 * arrival, hence the lowest hash. */
struct pv_roster_item *pv_roster_invite_entry(const struct pv_roster *r,
                                              const struct pv_roster_key *k)
{
    struct pv_roster_item *best = NULL;
    bool best_counts = false;

    for (struct pv_roster_item *e = k->about; e != NULL; e = e->next_about) {
        if (!pv_st_is_invite(e->pub.st.type))
            continue;
        bool counts = pv_roster_signer_counts(r, e, NULL);
        if (best == NULL || (counts && !best_counts) ||
            (counts == best_counts &&
             memcmp(e->pub.st.hash, best->pub.st.hash, PV_STATEMENT_HASH_LEN) < 0)) {
            best = e;
            best_counts = counts;
        }
    }
    return best;
}

/* --- the time --------------------------------------------------------------------------------- */

/* Few receipts ever go, so it is looked for anew only when the last one of the latest time went, or
 * when another coordinator is root's. */
static void find_time(struct pv_roster *r)
{
    r->time_dirty = false;
    r->time = 0;
    r->n_latest = 0;
    for (const struct pv_roster_item *e = r->first; e != NULL; e = e->next)
        pv_roster_count_time(r, e, true);
}

void pv_roster_settle_time(struct pv_roster *r)
{
    if (r->time_dirty)
        find_time(r);
    if (r->time == r->judged_at || (r->time > r->judged_at && r->time <= r->next_expiry)) {
        r->judged_at = r->time;
        return;
    }
    r->judged_at = r->time;
    r->next_expiry = UINT64_MAX;
    for (struct pv_roster_key *k = r->mortals; k != NULL; k = k->next_mortal)
        pv_roster_touch(r, k);
}

/* --- admissions ------------------------------------------------------------------------------- */

struct pv_roster_item *pv_roster_find_admission(const struct pv_roster *r,
                                                const struct pv_roster_key *k)
{
    struct pv_roster_item *best = NULL;

    for (struct pv_roster_item *e = k->about; e != NULL; e = e->next_about) {
        if (e->pub.st.type == PV_ST_ADMISSION && pv_roster_signer_counts(r, e, k->pk) &&
            (best == NULL || pv_roster_goes_first(e, best)))
            best = e;
    }
    return best;
}

static void want_values(const struct pv_roster_item *claim, uint32_t by)
{
    claim->values[PV_ROSTER_BIND_NAME]->wanted += by;
    claim->values[PV_ROSTER_BIND_IP4]->wanted += by;
}

void pv_roster_set_waiting(struct pv_roster_key *k, struct pv_roster_item *claim)
{
    if (k->waits != NULL)
        want_values(k->waits, (uint32_t)-1);
    if (claim != NULL)
        want_values(claim, 1);
    k->waits = claim;
}

/* --- expiry ----------------------------------------------------------------------------------- */

const struct pv_st_invite *pv_roster_terms(const struct pv_roster *r,
                                           const struct pv_roster_item *claim)
{
    const struct pv_roster_item *invite = NULL;

    if (pv_roster_needs_receipt(claim->signer, PV_ST_MEMBER))
        invite = pv_roster_invite_entry(r, claim->signer);
    return invite == NULL ? NULL : &invite->pub.st.u.invite;
}

/* Is e a word of k itself, or of those who let it in? */
static bool shows_life(const struct pv_roster *r, const struct pv_roster_key *k,
                       const struct pv_roster_item *e)
{
    if (!pv_kind_of(e->pub.st.type)->shows_life)
        return false;
    return pv_st_does(&e->pub.st, PV_DOES_CLAIM) || e->signer == k ||
           (pv_st_does(&e->pub.st, PV_DOES_ADMIT) && pv_roster_signer_counts(r, e, k->pk));
}

static uint64_t last_heard(const struct pv_roster *r, const struct pv_roster_key *k)
{
    uint64_t last = 0;

    for (const struct pv_roster_item *e = k->about; e != NULL; e = e->next_about) {
        if (e->receipt != NULL && e->receipt->by->allowed > 0 && e->receipt->time > last &&
            shows_life(r, k, e))
            last = e->receipt->time;
    }
    return last;
}

bool pv_roster_judge_life(struct pv_roster *r, struct pv_roster_key *k, struct pv_member *m)
{
    const struct pv_st_invite *terms = pv_roster_terms(r, k->claim.item);
    /* Only an admin can set it, and nothing renews it but another statement. */
    const uint64_t fixed = k->claim.item->pub.st.u.member.expires;

    m->lifetime = terms == NULL ? 0 : terms->lifetime;
    m->expires = fixed;
    if (m->lifetime == 0 && fixed == 0)
        return false;
    if (!k->is_mortal) {
        k->is_mortal = true;
        k->next_mortal = r->mortals;
        r->mortals = k;
    }
    if (fixed == 0) {
        uint64_t last = last_heard(r, k);
        m->expires = last > UINT64_MAX - m->lifetime ? UINT64_MAX : last + m->lifetime;
    }
    bool expired = m->expires < r->time;
    if (!expired && m->expires < r->next_expiry)
        r->next_expiry = m->expires;
    return expired;
}
