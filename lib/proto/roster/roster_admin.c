/* SPDX-License-Identifier: MIT */
/*
 * roster_admin.c - who has which rights since when, and which revocations are in force, when
 * several admins sign them.
 *
 * Rights end by the removal of an admin, or by an end of the statement that granted them. Either
 * ends what the admin says after it, not what it said before. The order is told by receipts.
 * Removals and ends are looked at in this order; one whose signer had lost the right by one before
 * it is void. Those without such a receipt come after all others: root's first, then those of
 * admins all at once, so that two admins that remove each other while the coordinator is away are
 * both out until it has told an order, or root decides. Nobody's word ends root. So the outcome
 * depends on the statements and receipts alone (adr 0019, adr 0022).
 */
#include <stdlib.h>
#include <string.h>

#include "proto/roster/roster_int.h"

/* --- the order of removals and ends ------------------------------------------------------ */

static bool revokes_node(const struct pv_roster_item *e)
{
    return e->pub.st.type == PV_ST_REVOCATION && e->pub.st.u.revocation.kind == PV_REVOKE_NODE;
}

static bool names(const struct pv_roster_item *end, const struct pv_roster_item *ended)
{
    return memcmp(end->pub.st.u.end.hash, ended->pub.st.hash, PV_STATEMENT_HASH_LEN) == 0;
}

static int cmp_ends(const void *a, const void *b)
{
    const struct pv_roster_item *const *x = a, *const *y = b;
    return pv_roster_cmp_receipts((*x)->receipt, (*y)->receipt);
}

/* May somebody lose a right by it? Any key may become an admin later. */
static bool may_be_end(const struct pv_statement *st)
{
    return st->type == PV_ST_END ||
           (st->type == PV_ST_REVOCATION && st->u.revocation.kind == PV_REVOKE_NODE);
}

int pv_roster_reserve_end(struct pv_roster *r, const struct pv_statement *st)
{
    if (!may_be_end(st))
        return PV_OK;
    void *ends = pv_vec_room(r->ends, r->n_ends, &r->ends_cap, 4, sizeof(struct pv_roster_item *));
    if (ends == NULL)
        return PV_ERR_NOMEM;
    r->ends = ends;
    return PV_OK;
}

void pv_roster_count_end(struct pv_roster *r, const struct pv_statement *st, bool comes)
{
    if (!may_be_end(st))
        return;
    if (comes)
        r->n_ends++;
    else
        r->n_ends--;
}

/* Lists everything by which an admin may lose a right; the first *ret_ordered have a place in
 * order, ascending. Returns how many. */
static size_t list_ends(struct pv_roster *r, size_t *ret_ordered)
{
    size_t low = 0, high = r->n_ends;

    for (const struct pv_roster_key *k = r->admins; k != NULL; k = k->next_admin) {
        for (struct pv_roster_item *e = k->about; e != NULL; e = e->next_about) {
            if (!may_be_end(&e->pub.st))
                continue;
            if (pv_roster_is_ordered(e->receipt))
                r->ends[low++] = e;
            else
                r->ends[--high] = e;
        }
    }
    size_t bare = r->n_ends - high;
    if (low > 1)
        qsort(r->ends, low, sizeof(struct pv_roster_item *), cmp_ends);
    if (bare > 0)
        memmove(r->ends + low, r->ends + high, bare * sizeof(struct pv_roster_item *));
    *ret_ordered = low;
    return low + bare;
}

/* May the signer of e say this, as far as ends have been applied? Anybody gives up its own rights.
 */
static bool may_end(const struct pv_roster *r, const struct pv_roster_item *e)
{
    if (e->signer == r->record->signer || (e->pub.st.type == PV_ST_END && e->signer == e->subject))
        return true;
    for (const struct pv_roster_item *g = e->signer->grants; g != NULL; g = g->next_office) {
        if ((g->pub.st.u.admin.rights & PV_RIGHT_REVOKE) != 0 && g->ended_by == NULL)
            return true;
    }
    return false;
}

/* A removal ends all that was granted. */
static void apply_end(struct pv_roster_item *e)
{
    for (struct pv_roster_item *g = e->subject->grants; g != NULL; g = g->next_office) {
        if (g->ended_by == NULL && (e->pub.st.type != PV_ST_END || names(e, g)))
            g->ended_by = e;
    }
}

/* Applies removals and ends in order, and then those without one. */
static void apply_ends(struct pv_roster *r, size_t ordered, size_t n)
{
    struct pv_roster_item **all = r->ends;

    for (size_t i = 0; i < ordered; i++) {
        if (may_end(r, all[i]))
            apply_end(all[i]);
    }
    for (size_t i = ordered; i < n; i++) {
        if (all[i]->signer == r->record->signer)
            apply_end(all[i]);
    }
    /* All at once: who is ended by one of these still ends others. */
    for (size_t i = ordered; i < n; i++)
        all[i] = may_end(r, all[i]) ? all[i] : NULL;
    for (size_t i = ordered; i < n; i++) {
        if (all[i] != NULL)
            apply_end(all[i]);
    }
}

/* Of two ends of a key's rights the later one: those without a place in order come last, and of
 * these root's first. */
static struct pv_roster_item *later_end(const struct pv_roster *r, struct pv_roster_item *a,
                                        struct pv_roster_item *b)
{
    bool ordered = pv_roster_is_ordered(b->receipt);

    if (a == NULL)
        return b;
    if (pv_roster_is_ordered(a->receipt) != ordered)
        return ordered ? a : b;
    if (ordered)
        return pv_roster_cmp_receipts(a->receipt, b->receipt) < 0 ? b : a;
    return a->signer == r->record->signer ? b : a;
}

/* A right that was granted several times ends with the last of the grants. */
static void settle_rights(const struct pv_roster *r, struct pv_roster_key *k)
{
    for (size_t i = 0; i < PV_ROSTER_RIGHTS; i++) {
        bool has = false;
        k->end[i] = NULL;
        for (const struct pv_roster_item *g = k->grants; g != NULL; g = g->next_office) {
            if ((g->pub.st.u.admin.rights & 1u << i) == 0)
                continue;
            has = has || g->ended_by == NULL;
            if (g->ended_by != NULL)
                k->end[i] = later_end(r, k->end[i], g->ended_by);
        }
        if (has)
            k->end[i] = NULL;
    }
}

void pv_roster_mark_rights(struct pv_roster *r, struct pv_roster_key *k)
{
    pv_roster_mark_revoked(r, k);
    for (struct pv_roster_item *e = k->issued; e != NULL; e = e->next_issued) {
        if (pv_st_does(&e->pub.st, PV_DOES_TAKE))
            pv_roster_mark_revoked(r, e->subject);
    }
    r->anew.rules = true;
    pv_roster_mark_dependants(r, k);
}

/* Has any right of k ended? */
static bool has_end(const struct pv_roster_key *k)
{
    bool any = false;
    for (size_t i = 0; i < PV_ROSTER_RIGHTS; i++)
        any = any || k->end[i] != NULL;
    return any;
}

/* Decides which rights have ended, and since when. Few networks have more than a handful of
 * removals of admins, so all are looked at anew, and all that those said whose rights have ended:
 * the same end may have another receipt, and so another place in order. */
static void settle_admins(struct pv_roster *r)
{
    size_t ordered = 0;
    size_t n = list_ends(r, &ordered);

    for (struct pv_roster_key *k = r->admins; k != NULL; k = k->next_admin) {
        k->settling.was_ended = has_end(k);
        for (struct pv_roster_item *g = k->grants; g != NULL; g = g->next_office)
            g->ended_by = NULL;
    }
    apply_ends(r, ordered, n);
    for (struct pv_roster_key *k = r->admins; k != NULL; k = k->next_admin) {
        settle_rights(r, k);
        if (has_end(k) || k->settling.was_ended)
            pv_roster_mark_rights(r, k);
    }
}

/* --- what was said in office ------------------------------------------------------------- */

uint8_t pv_roster_rights_of(const struct pv_roster_key *k)
{
    uint8_t rights = k->revoked_node ? 0 : k->rights;

    for (size_t i = 0; i < PV_ROSTER_RIGHTS; i++)
        rights &= (uint8_t) ~(k->end[i] != NULL ? 1u << i : 0u);
    return rights;
}

/* Was e said before this end of a right that it needs? */
static bool came_before(const struct pv_roster *r, const struct pv_roster_item *e,
                        const struct pv_roster_item *end)
{
    if (!pv_roster_is_ordered(end->receipt)) /* nobody knows when it ended */
        return pv_roster_is_ordered(e->receipt) ||
               (pv_st_does(&e->pub.st, PV_DOES_TAKE) && end->signer != r->record->signer);
    return pv_roster_is_ordered(e->receipt) && pv_roster_cmp_receipts(e->receipt, end->receipt) < 0;
}

bool pv_roster_was_in_office(const struct pv_roster *r, const struct pv_roster_item *e)
{
    const struct pv_roster_key *k = e->signer;
    uint8_t rights = k->rights & pv_kind_of(e->pub.st.type)->right;

    if (e->pub.st.type == PV_ST_END && k == e->subject)
        return true;
    for (size_t i = 0; i < PV_ROSTER_RIGHTS; i++) {
        if ((rights & 1u << i) != 0 && (k->end[i] == NULL || came_before(r, e, k->end[i])))
            return true;
    }
    return false;
}

bool pv_roster_is_void_place(const struct pv_roster *r, const struct pv_roster_item *e)
{
    return e->pub.st.type == PV_ST_PLACE && e->signer != e->subject &&
           !pv_roster_was_in_office(r, e);
}

/* --- what they do to a key ------------------------------------------------------------------- */

void pv_roster_mark_revoked(struct pv_roster *r, struct pv_roster_key *k)
{
    r->anew.admins = r->anew.admins || k->rights != 0;
    if (k->in.revoked)
        return;
    k->in.revoked = true;
    k->next_revoked = r->revoked;
    r->revoked = k;
}

void pv_roster_mark_receipt(struct pv_roster *r, struct pv_roster_item *e)
{
    switch (pv_kind_of(e->pub.st.type)->does) {
    case PV_DOES_TAKE:
        pv_roster_mark_revoked(r, e->subject);
        break;
    case PV_DOES_SLOT:
        r->anew.rules = true;
        break;
    case PV_DOES_INVITE: /* whether it was made in office may be another thing now */
        pv_roster_mark_dependants(r, e->subject);
        break;
    case PV_DOES_GRANT:
    case PV_DOES_CLAIM:
    case PV_DOES_TELL:
    case PV_DOES_ADMIT:
        pv_roster_mark(r, e->subject);
        pv_roster_mark(r, e->signer); /* whether it counts as dead may be another thing now */
        break;
    case PV_DOES_FOUND:
    case PV_DOES_APPOINT:
    case PV_DOES_SHOW:
        break;
    }
}

static struct pv_view stay_list(const struct pv_roster_item *e)
{
    return e->pub.st.type == PV_ST_END ? e->pub.st.u.end.stay : e->pub.st.u.revocation.stay;
}

/* Those that a revocation or an end lets stay. */
static void mark_staying(struct pv_roster *r, const struct pv_roster_item *e)
{
    struct pv_view stay = stay_list(e);

    for (size_t i = 0; i < stay.len; i += PV_SIGN_PK_LEN) {
        struct pv_roster_key *k = pv_roster_key(r, stay.ptr + i);
        if (k != NULL)
            pv_roster_mark(r, k);
    }
}

/* Looks at all revocations and ends of k again. A further revocation of what is revoked already
 * concerns only those that it lets stay. */
static void settle_key(struct pv_roster *r, struct pv_roster_key *k)
{
    bool node = false, invite = false, ended_one = false;

    for (struct pv_roster_item *e = k->about; e != NULL; e = e->next_about) {
        if (!pv_st_does(&e->pub.st, PV_DOES_TAKE))
            continue;
        bool effective = pv_roster_was_in_office(r, e) && k != r->record->signer;
        if (!effective && k != r->record->signer)
            pv_roster_report_refusal(r, e, PV_ROSTER_REFUSE_REVOKED);
        ended_one = ended_one || (e->effective && !effective);
        if (effective && !e->effective)
            mark_staying(r, e);
        if (e->pub.st.type == PV_ST_END && e->effective != effective)
            r->anew.rules = true;
        e->effective = effective;
        if (revokes_node(e))
            node = node || effective;
        else if (e->pub.st.type == PV_ST_REVOCATION)
            invite = invite || effective;
    }
    if (node == k->revoked_node && invite == k->revoked_invite && !ended_one)
        return;
    k->revoked_node = node;
    k->revoked_invite = invite;
    pv_roster_mark_dependants(r, k);
}

/* Looking at it, and marking what depends on it. */
static size_t cost_of(const struct pv_roster_key *k)
{
    return 1 + k->n_about / PV_ROSTER_CHEAP;
}

bool pv_roster_settle_revocations(struct pv_roster *r)
{
    if (r->anew.admins)
        settle_admins(r);
    r->anew.admins = false; /* also where marking has set it again: it was decided just now */
    while (r->revoked != NULL) {
        struct pv_roster_key *k = r->revoked;
        if (!pv_roster_spend(r, cost_of(k)))
            return false;
        r->revoked = k->next_revoked;
        k->in.revoked = false;
        settle_key(r, k);
    }
    return true;
}

static int cmp_pks(const void *a, const void *b)
{
    return memcmp(a, b, PV_SIGN_PK_LEN);
}

/* Is node in this list, which ascends strictly? */
static bool holds(struct pv_view stay, const uint8_t *node)
{
    return stay.len > 0 &&
           bsearch(node, stay.ptr, stay.len / PV_SIGN_PK_LEN, PV_SIGN_PK_LEN, cmp_pks) != NULL;
}

bool pv_roster_stays(const struct pv_roster_key *k, enum pv_st_revoked_kind kind,
                     const uint8_t *node)
{
    for (const struct pv_roster_item *e = k->about; e != NULL; e = e->next_about) {
        if (e->pub.st.type == PV_ST_REVOCATION && e->effective &&
            e->pub.st.u.revocation.kind == kind && holds(stay_list(e), node))
            return true;
    }
    return false;
}

/* Does an end in force, about k, name node as one that stays? */
static bool stays_after_end(const struct pv_roster_key *k, const uint8_t *node)
{
    for (const struct pv_roster_item *e = k->ends; e != NULL; e = e->next_office) {
        if (e->effective && holds(stay_list(e), node))
            return true;
    }
    return false;
}

/* A removal of the signer ends what it admitted whenever that was, an end of its rights what it
 * admitted afterwards. */
bool pv_roster_signer_counts(const struct pv_roster *r, const struct pv_roster_item *e,
                             const uint8_t *node)
{
    if (e->signer->revoked_node)
        return node != NULL && pv_roster_stays(e->signer, PV_REVOKE_NODE, node);
    return pv_roster_was_in_office(r, e) || (node != NULL && stays_after_end(e->signer, node));
}

/* --- routes, tags and rules in force (adr/0032, adr/0037) ------------------------------------ */

/* Like all that is decided they follow from the statements and receipts held: in force is the
 * newest statement of its signer's slot, said in office, and ended by nobody. */

void pv_roster_add_rule(struct pv_roster *r, struct pv_roster_item *e)
{
    PV_LIST_ADD_FIRST_BY(r->rules, e, prev_record, next_record);
    r->anew.rules = true;
}

void pv_roster_remove_rule(struct pv_roster *r, struct pv_roster_item *e)
{
    PV_LIST_DEL_BY(r->rules, e, prev_record, next_record);
    r->anew.rules = true;
}

/* Marks the rules of this signer that are ended by name: once for each end, however many rules
 * there are. */
static void mark_ended(const struct pv_roster *r, const struct pv_roster_key *signer)
{
    for (const struct pv_roster_item *end = signer->ends; end != NULL; end = end->next_office) {
        struct pv_roster_item *e;
        if (!end->effective)
            continue;
        e = pv_roster_set_find(r, end->pub.st.u.end.hash, PV_STATEMENT_HASH_LEN);
        if (e != NULL && e->signer == signer)
            e->ended = true;
    }
}

/* Of each slot the newest that was said in office decides: what came later, by somebody who was out
 * of office, changes nothing. */
static void settle_slots(const struct pv_roster *r, const struct pv_roster_key *signer,
                         enum pv_roster_quota quota)
{
    struct pv_roster_item *newest[PV_RULE_SLOTS] = {NULL};

    for (struct pv_roster_item *e = signer->kept[quota]; e != NULL; e = e->next_kept) {
        struct pv_roster_item **at = &newest[e->pub.st.u.slotted.slot.number];
        e->effective = false;
        if (pv_roster_was_in_office(r, e) &&
            (*at == NULL || pv_roster_is_better(&e->pub.st, &(*at)->pub.st)))
            *at = e;
    }
    for (size_t i = 0; i < PV_RULE_SLOTS; i++) {
        if (newest[i] != NULL)
            newest[i]->effective = newest[i]->pub.st.u.slotted.kind != 0 && !newest[i]->ended;
    }
}

void pv_roster_settle_rules(struct pv_roster *r)
{
    if (!r->anew.rules)
        return;
    r->anew.rules = r->rules_ok = false;
    for (struct pv_roster_item *e = r->rules; e != NULL; e = e->next_record) {
        e->ended = false;
        e->signer->settling.rules_seen = false;
    }
    for (struct pv_roster_item *e = r->rules; e != NULL; e = e->next_record) {
        if (e->signer->settling.rules_seen)
            continue;
        e->signer->settling.rules_seen = true;
        mark_ended(r, e->signer);
        for (enum pv_roster_quota q = 0; q < PV_ROSTER_QUOTAS; q++) {
            const struct pv_roster_item *kept = e->signer->kept[q];
            if (kept != NULL && pv_st_does(&kept->pub.st, PV_DOES_SLOT))
                settle_slots(r, e->signer, q);
        }
    }
}

static const struct pv_roster_entry *
next_of(const struct pv_roster *r, const struct pv_roster_entry *prev, enum pv_kind_list list)
{
    const struct pv_roster_item *e =
        prev == NULL ? r->rules : ((const struct pv_roster_item *)prev)->next_record;

    while (e != NULL && (!e->effective || pv_kind_of(e->pub.st.type)->list != list))
        e = e->next_record;
    return e == NULL ? NULL : &e->pub;
}

const struct pv_roster_entry *pv_roster_next_rule(const struct pv_roster *r,
                                                  const struct pv_roster_entry *prev)
{
    return next_of(r, prev, PV_LIST_RULES);
}

const struct pv_roster_entry *pv_roster_next_route(const struct pv_roster *r,
                                                   const struct pv_roster_entry *prev)
{
    return next_of(r, prev, PV_LIST_ROUTES);
}

int pv_roster_free_slot(const struct pv_roster *r, const uint8_t pk[static PV_SIGN_PK_LEN],
                        uint8_t type, struct pv_st_slot *ret_slot)
{
    const struct pv_roster_key *k = pv_roster_key(r, pk);
    uint64_t seq[PV_RULE_SLOTS] = {0}; /* the next one of each slot; UINT64_MAX: it is taken */

    for (const struct pv_roster_item *e = k == NULL ? NULL : k->kept[pv_roster_quota_of(type)];
         e != NULL; e = e->next_kept) {
        const struct pv_st_slot s = e->pub.st.u.slotted.slot;
        uint64_t next = e->effective || s.seq == UINT64_MAX ? UINT64_MAX : s.seq + 1;
        seq[s.number] = next > seq[s.number] ? next : seq[s.number];
    }
    for (uint16_t i = 0; i < PV_RULE_SLOTS; i++) {
        if (seq[i] == UINT64_MAX)
            continue;
        *ret_slot = (struct pv_st_slot){.number = i, .seq = seq[i]};
        return PV_OK;
    }
    return PV_ERR_LIMIT;
}
