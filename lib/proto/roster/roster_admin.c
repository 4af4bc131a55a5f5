/* SPDX-License-Identifier: MIT */
/*
 * roster_admin.c - which revocations are in force, when several admins sign them.
 *
 * The removal of an admin ends what it says after it, not what it said before. What came before is
 * told by the receipts of the coordinators that root named: an admin could name one of its own and
 * have itself any receipt. Revocations are looked at in this order; one whose signer was removed by
 * one before it is void. Those without such a receipt come after all others: root's first, then
 * those of admins all at once, so that two admins that remove each other while the coordinator is
 * away are both out until it has told an order, or root decides. Nobody's word ends root. So the
 * outcome depends on the statements and receipts alone (adr 0019).
 */
#include <stdlib.h>
#include <string.h>

#include "proto/roster/roster_int.h"

/* --- the order of removals -------------------------------------------------------------------- */

static bool revokes_node(const struct pv_roster_item *e)
{
    return e->pub.st.type == PV_ST_REVOCATION && e->pub.st.u.revocation.kind == PV_REVOKE_NODE;
}

static int cmp_removals(const void *a, const void *b)
{
    const struct pv_roster_item *const *x = a, *const *y = b;
    return pv_roster_cmp_receipts((*x)->receipt, (*y)->receipt);
}

/* All removals of admins. The first *ret_ordered have a place in order, ascending. PV_ERR_NOMEM. */
static int list_removals(const struct pv_roster *r, struct pv_roster_item ***ret_all,
                         size_t *ret_ordered, size_t *ret_n)
{
    size_t n = 0, low = 0;

    for (const struct pv_roster_key *k = r->admins; k != NULL; k = k->next_admin) {
        for (const struct pv_roster_item *e = k->about; e != NULL; e = e->next_about)
            n += revokes_node(e) ? 1 : 0;
    }
    struct pv_roster_item **all = malloc((n + 1) * sizeof(*all));
    if (all == NULL)
        return PV_ERR_NOMEM;
    *ret_n = n;
    for (const struct pv_roster_key *k = r->admins; k != NULL; k = k->next_admin) {
        for (struct pv_roster_item *e = k->about; e != NULL; e = e->next_about) {
            if (!revokes_node(e))
                continue;
            if (pv_roster_is_ordered(e->receipt))
                all[low++] = e;
            else
                all[--n] = e;
        }
    }
    qsort(all, low, sizeof(struct pv_roster_item *), cmp_removals);
    *ret_ordered = low;
    *ret_all = all;
    return PV_OK;
}

/* Applies removals in order, and then those without one. */
static void apply_removals(struct pv_roster *r, struct pv_roster_item **all, size_t ordered,
                           size_t n)
{
    const struct pv_roster_key *root = r->record->signer;

    for (size_t i = 0; i < ordered; i++) {
        struct pv_roster_key *k = all[i]->subject;
        if (k->ended || (all[i]->signer != root && all[i]->signer->ended))
            continue;
        k->ended = true;
        k->end = all[i];
    }
    for (size_t i = ordered; i < n; i++) {
        struct pv_roster_key *k = all[i]->subject;
        if (all[i]->signer == root && !k->ended)
            k->ended = k->ended_by_root = true;
    }
    /* All at once: who is ended by one of these still ends others. */
    for (size_t i = ordered; i < n; i++) {
        const struct pv_roster_key *signer = all[i]->signer;
        if (!signer->ended || (signer->end == NULL && !signer->ended_by_root))
            all[i]->subject->ended = true;
    }
}

/* Everything that k said may count otherwise now. */
static void mark_end(struct pv_roster *r, struct pv_roster_key *k)
{
    pv_roster_mark_revoked(r, k);
    for (struct pv_roster_item *e = k->issued; e != NULL; e = e->next_issued) {
        if (e->pub.st.type == PV_ST_REVOCATION)
            pv_roster_mark_revoked(r, e->subject);
    }
    r->records_dirty = true;
    pv_roster_mark_dependants(r, k);
}

/* Decides which admins are removed, and since when. Few networks have more than a handful of
 * removals of admins, so all are looked at anew. */
static int settle_admins(struct pv_roster *r)
{
    size_t ordered = 0, n = 0;
    struct pv_roster_item **all = NULL;
    int status = list_removals(r, &all, &ordered, &n);

    if (status != PV_OK)
        return status;
    for (struct pv_roster_key *k = r->admins; k != NULL; k = k->next_admin) {
        k->was_ended = k->ended;
        k->ended = k->ended_by_root = false;
        k->end = NULL;
    }
    apply_removals(r, all, ordered, n);
    for (struct pv_roster_key *k = r->admins; k != NULL; k = k->next_admin) {
        if (k->ended || k->was_ended)
            mark_end(r, k);
    }
    free(all);
    return PV_OK;
}

bool pv_roster_was_in_office(const struct pv_roster *r, const struct pv_roster_item *e)
{
    const struct pv_roster_key *signer = e->signer;

    if (signer == r->record->signer || !signer->ended)
        return true;
    if (signer->end == NULL) /* nobody knows when it ended */
        return pv_roster_is_ordered(e->receipt) ||
               (e->pub.st.type == PV_ST_REVOCATION && !signer->ended_by_root);
    return pv_roster_is_ordered(e->receipt) &&
           pv_roster_cmp_receipts(e->receipt, signer->end->receipt) < 0;
}

/* --- what they do to a key -------------------------------------------------------------------- */

void pv_roster_mark_revoked(struct pv_roster *r, struct pv_roster_key *k)
{
    r->admins_dirty = r->admins_dirty || k->rights != 0;
    if (k->is_revoked_dirty)
        return;
    k->is_revoked_dirty = true;
    k->next_revoked = r->revoked;
    r->revoked = k;
}

/* Those that a revocation lets stay. */
static void mark_staying(struct pv_roster *r, const struct pv_roster_item *e)
{
    struct pv_view stay = e->pub.st.u.revocation.stay;

    for (size_t i = 0; i < stay.len; i += PV_SIGN_PK_LEN) {
        struct pv_roster_key *k = pv_roster_key(r, stay.ptr + i);
        if (k != NULL)
            pv_roster_mark(r, k);
    }
}

static void report_void(struct pv_roster *r, struct pv_roster_item *e)
{
    char who[PV_KEY_TEXT_BUF];

    if (e->refused != PV_ROSTER_REFUSE_NONE)
        return;
    e->refused = PV_ROSTER_REFUSE_REVOKED;
    pv_roster_report(r, PV_ROSTER_EV_REFUSED, NULL, "a removed admin (%s) tries to revoke",
                     pv_key_format(e->signer->pk, who));
}

/* Statements of unknown types are kept of those who are in the network. */
static void list_unknown(struct pv_roster *r, struct pv_roster_key *k)
{
    for (struct pv_roster_item *e = k->kept[PV_ROSTER_QUOTA_UNKNOWN]; e != NULL; e = e->next_kept) {
        if (e->listed && k->revoked_node)
            pv_roster_set_unlist(r, e);
        else if (!e->listed && !k->revoked_node &&
                 pv_roster_set_reserve(r, e->pub.st.hash) == PV_OK)
            pv_roster_set_list(r, e);
    }
}

/* Looks at all revocations of k again. A further revocation of what is revoked already concerns
 * only those that it lets stay. */
static void settle_key(struct pv_roster *r, struct pv_roster_key *k)
{
    bool node = false, invite = false, ended_one = false;

    for (struct pv_roster_item *e = k->about; e != NULL; e = e->next_about) {
        if (e->pub.st.type != PV_ST_REVOCATION)
            continue;
        bool effective = pv_roster_was_in_office(r, e) && k != r->record->signer;
        if (!effective && k != r->record->signer)
            report_void(r, e);
        ended_one = ended_one || (e->effective && !effective);
        if (effective && !e->effective)
            mark_staying(r, e);
        e->effective = effective;
        if (revokes_node(e))
            node = node || effective;
        else
            invite = invite || effective;
    }
    if (node == k->revoked_node && invite == k->revoked_invite && !ended_one)
        return;
    k->revoked_node = node;
    k->revoked_invite = invite;
    list_unknown(r, k);
    pv_roster_mark_dependants(r, k);
}

int pv_roster_settle_revocations(struct pv_roster *r)
{
    int status = r->admins_dirty ? settle_admins(r) : PV_OK;

    if (status != PV_OK)
        return status;
    r->admins_dirty = false; /* also where marking has set it again: it was decided just now */
    while (r->revoked != NULL) {
        struct pv_roster_key *k = r->revoked;
        r->revoked = k->next_revoked;
        k->is_revoked_dirty = false;
        settle_key(r, k);
    }
    return PV_OK;
}

bool pv_roster_stays(const struct pv_roster_key *k, enum pv_st_revoked_kind kind,
                     const uint8_t *node)
{
    for (const struct pv_roster_item *e = k->about; e != NULL; e = e->next_about) {
        const struct pv_st_revocation *rv = &e->pub.st.u.revocation;
        if (e->pub.st.type != PV_ST_REVOCATION || !e->effective || rv->kind != kind)
            continue;
        size_t lo = 0, hi = rv->stay.len / PV_SIGN_PK_LEN; /* strictly ascending */
        while (lo < hi) {
            size_t mid = lo + (hi - lo) / 2;
            int c = memcmp(rv->stay.ptr + mid * PV_SIGN_PK_LEN, node, PV_SIGN_PK_LEN);
            if (c == 0)
                return true;
            if (c < 0)
                lo = mid + 1;
            else
                hi = mid;
        }
    }
    return false;
}
