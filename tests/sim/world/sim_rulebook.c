/* SPDX-License-Identifier: MIT */
/* sim_rulebook.c - docs/PROTOCOL-NETWORK.md "Roster", said naively: no cache, no index, no
 * increment. */
#include "sim_rulebook.h"

#include <assert.h>
#include <string.h>

static bool same(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, PV_SIGN_PK_LEN) == 0;
}

void rulebook_clear(struct rulebook *b)
{
    b->n = 0;
}

static struct rulebook_word *find(struct rulebook *b, const uint8_t *hash)
{
    for (size_t i = 0; i < b->n; i++) {
        if (memcmp(b->words[i].st->hash, hash, PV_STATEMENT_HASH_LEN) == 0)
            return &b->words[i];
    }
    return NULL;
}

void rulebook_add(struct rulebook *b, const struct pv_roster *r)
{
    const struct pv_roster_entry *e = NULL;
    memcpy(b->root, pv_roster_root(r), sizeof(b->root));
    while ((e = pv_roster_next_entry(r, e)) != NULL) {
        struct rulebook_word *w = find(b, e->st.hash);
        if (w == NULL) {
            assert(b->n < RULEBOOK_WORDS);
            w = &b->words[b->n++];
            *w = (struct rulebook_word){.st = &e->st};
        }
        struct pv_receipt receipt;
        if (e->receipt.len == 0 || pv_receipt_decode(e->receipt, &receipt) != PV_OK)
            continue;
        size_t i = 0;
        while (i < w->n_receipts && memcmp(&w->receipts[i], &receipt, sizeof(receipt)) != 0)
            i++;
        assert(i < RULEBOOK_RECEIPTS);
        w->receipts[i] = receipt;
        w->n_receipts += i == w->n_receipts ? 1 : 0;
    }
}

/* --- receipts -------------------------------------------------------------------------------- */

static bool names(const struct pv_statement *record, const uint8_t *coordinator)
{
    struct pv_view list = record->u.coordinators.list;
    struct pv_coordinator c;
    while (pv_coordlist_next(&list, &c)) {
        if (same(c.pk, coordinator))
            return true;
    }
    return false;
}

static bool root_names(const struct rulebook *b, const uint8_t *coordinator)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct pv_statement *st = b->words[i].st;
        if (st->type == PV_ST_COORDINATORS && same(st->signer, b->root) && names(st, coordinator))
            return true;
    }
    return false;
}

/* The invite that let this claim in; NULL: an admin signed it. */
static const struct rulebook_word *invite_of(const struct rulebook *b,
                                             const struct pv_statement *st)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct pv_statement *x = b->words[i].st;
        if (x->type == PV_ST_INVITE && same(x->u.invite.invite, st->signer))
            return &b->words[i];
    }
    return NULL;
}

static bool in_window(const struct rulebook *b, const struct pv_statement *st,
                      const struct pv_receipt *r)
{
    const struct rulebook_word *invite = invite_of(b, st);
    if (st->type != PV_ST_MEMBER || invite == NULL)
        return true;
    const struct pv_st_invite *x = &invite->st->u.invite;
    return r->time + PV_ROSTER_WINDOW_SLACK >= x->not_before &&
           (x->not_after == UINT64_MAX || r->time <= x->not_after + PV_ROSTER_WINDOW_SLACK);
}

/* (time, epoch, n, coordinator pk) */
static bool earlier(const struct pv_receipt *a, const struct pv_receipt *b)
{
    if (a->time != b->time)
        return a->time < b->time;
    if (a->epoch != b->epoch)
        return a->epoch < b->epoch;
    if (a->n != b->n)
        return a->n < b->n;
    return memcmp(a->coordinator, b->coordinator, PV_SIGN_PK_LEN) < 0;
}

static bool better(const struct rulebook *b, const struct pv_statement *st,
                   const struct pv_receipt *x, const struct pv_receipt *y)
{
    bool wx = in_window(b, st, x), wy = in_window(b, st, y);
    bool rx = root_names(b, x->coordinator), ry = root_names(b, y->coordinator);
    if (wx != wy)
        return wx;
    return rx != ry ? rx : earlier(x, y);
}

static void keep_receipts(struct rulebook *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct rulebook_word *w = &b->words[i];
        w->receipt = NULL;
        for (size_t k = 0; k < w->n_receipts; k++) {
            if (w->receipt == NULL || better(b, w->st, &w->receipts[k], w->receipt))
                w->receipt = &w->receipts[k];
        }
        w->ordered = w->receipt != NULL && root_names(b, w->receipt->coordinator);
    }
}

/* --- rights and revocations --------------------------------------------------------------------
 */

static bool is_end(const struct pv_statement *st)
{
    return st->type == PV_ST_END ||
           (st->type == PV_ST_REVOCATION && st->u.revocation.kind == PV_REVOKE_NODE);
}

static const uint8_t *about(const struct pv_statement *end)
{
    return end->type == PV_ST_END ? end->u.end.about : end->u.revocation.pk;
}

static bool ends_grant(const struct pv_statement *end, const struct pv_statement *grant)
{
    return same(about(end), grant->u.admin.node) &&
           (end->type != PV_ST_END ||
            memcmp(end->u.end.hash, grant->hash, PV_STATEMENT_HASH_LEN) == 0);
}

/* Is there a grant of this right to the key that nothing has ended so far? */
static bool has_right(const struct rulebook *b, const uint8_t *pk, uint8_t right)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct rulebook_word *w = &b->words[i];
        if (w->st->type == PV_ST_ADMIN && same(w->st->u.admin.node, pk) &&
            (w->st->u.admin.rights & right) != 0 && w->ended_by == NULL)
            return true;
    }
    return same(pk, b->root);
}

static bool may_end(const struct rulebook *b, const struct pv_statement *end)
{
    return has_right(b, end->signer, PV_RIGHT_REVOKE) ||
           (end->type == PV_ST_END && same(end->signer, about(end)));
}

static void end_grants(struct rulebook *b, struct rulebook_word *end)
{
    end->in_force = !same(about(end->st), b->root);
    for (size_t i = 0; i < b->n; i++) {
        struct rulebook_word *g = &b->words[i];
        if (g->st->type == PV_ST_ADMIN && g->ended_by == NULL && ends_grant(end->st, g->st))
            g->ended_by = end;
    }
}

/* The next one in order behind prev; NULL: none. */
static struct rulebook_word *next_ordered(struct rulebook *b, const struct rulebook_word *prev)
{
    struct rulebook_word *next = NULL;
    for (size_t i = 0; i < b->n; i++) {
        struct rulebook_word *w = &b->words[i];
        if (is_end(w->st) && w->ordered && (prev == NULL || earlier(prev->receipt, w->receipt)) &&
            (next == NULL || earlier(w->receipt, next->receipt)))
            next = w;
    }
    return next;
}

static void judge_ends(struct rulebook *b)
{
    bool at_once[RULEBOOK_WORDS] = {false};
    for (struct rulebook_word *w = NULL; (w = next_ordered(b, w)) != NULL;) {
        if (may_end(b, w->st))
            end_grants(b, w);
    }
    for (size_t i = 0; i < b->n; i++) {
        struct rulebook_word *w = &b->words[i];
        if (is_end(w->st) && !w->ordered && same(w->st->signer, b->root))
            end_grants(b, w);
    }
    for (size_t i = 0; i < b->n; i++) {
        const struct rulebook_word *w = &b->words[i];
        at_once[i] =
            is_end(w->st) && !w->ordered && !same(w->st->signer, b->root) && may_end(b, w->st);
    }
    for (size_t i = 0; i < b->n; i++) {
        if (at_once[i])
            end_grants(b, &b->words[i]);
    }
}

/* By which a right of this key has ended, with the last grant of it; NULL: it has not. */
static const struct rulebook_word *end_of(const struct rulebook *b, const uint8_t *pk,
                                          uint8_t right)
{
    const struct rulebook_word *last = NULL;
    if (has_right(b, pk, right))
        return NULL;
    for (size_t i = 0; i < b->n; i++) {
        const struct rulebook_word *g = &b->words[i], *e = g->ended_by;
        if (g->st->type != PV_ST_ADMIN || !same(g->st->u.admin.node, pk) ||
            (g->st->u.admin.rights & right) == 0)
            continue;
        if (last == NULL || (last->ordered && !e->ordered) ||
            (last->ordered && e->ordered && earlier(last->receipt, e->receipt)) ||
            (!last->ordered && !e->ordered && same(last->st->signer, b->root)))
            last = e;
    }
    return last;
}

static bool was_granted(const struct rulebook *b, const uint8_t *pk, uint8_t right)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct pv_statement *st = b->words[i].st;
        if (st->type == PV_ST_ADMIN && same(st->u.admin.node, pk) &&
            (st->u.admin.rights & right) != 0)
            return true;
    }
    return same(pk, b->root);
}

/* Does it count, whose signer had this right once? */
static bool said_with(const struct rulebook *b, const struct rulebook_word *w, uint8_t right)
{
    if (!was_granted(b, w->st->signer, right))
        return false;
    const struct rulebook_word *end = end_of(b, w->st->signer, right);
    if (end == NULL)
        return true;
    if (w->ordered)
        return !end->ordered || earlier(w->receipt, end->receipt);
    return !end->ordered && (w->st->type == PV_ST_REVOCATION || w->st->type == PV_ST_END) &&
           !same(end->st->signer, b->root);
}

static bool ended_by_hash(const struct rulebook *b, const struct pv_statement *st)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct rulebook_word *w = &b->words[i];
        if (w->st->type == PV_ST_END && w->in_force && same(w->st->u.end.about, st->signer) &&
            memcmp(w->st->u.end.hash, st->hash, PV_STATEMENT_HASH_LEN) == 0)
            return true;
    }
    return false;
}

/* --- slots of rules ----------------------------------------------------------------------------
 */

static bool newer(const struct pv_statement *a, const struct pv_statement *b)
{
    if (a->u.rule.slot.seq != b->u.rule.slot.seq)
        return a->u.rule.slot.seq > b->u.rule.slot.seq;
    return memcmp(a->hash, b->hash, PV_STATEMENT_HASH_LEN) < 0;
}

static bool is_proven(const struct rulebook *b, const struct rulebook_word *w)
{
    return w->ordered || same(w->st->signer, b->root);
}

/* The newest of a slot, of all or of the proven ones. */
static const struct rulebook_word *newest(const struct rulebook *b, const struct pv_statement *of,
                                          bool proven)
{
    const struct rulebook_word *best = NULL;
    for (size_t i = 0; i < b->n; i++) {
        const struct rulebook_word *w = &b->words[i];
        if (w->st->type == PV_ST_RULE && same(w->st->signer, of->signer) &&
            w->st->u.rule.slot.number == of->u.rule.slot.number && (!proven || is_proven(b, w)) &&
            (best == NULL || newer(w->st, best->st)))
            best = w;
    }
    return best;
}

static bool rule_counts(const struct rulebook *b, const struct rulebook_word *w)
{
    const struct rulebook_word *first = newest(b, w->st, false), *second = newest(b, w->st, true);
    const struct rulebook_word *decides = said_with(b, first, PV_RIGHT_REVOKE) ? first
                                          : second != NULL && said_with(b, second, PV_RIGHT_REVOKE)
                                              ? second
                                              : NULL;
    return decides == w && w->st->u.rule.kind != PV_RULE_NONE && !ended_by_hash(b, w->st);
}

void rulebook_judge(struct rulebook *b)
{
    for (size_t i = 0; i < b->n; i++) {
        b->words[i].ended_by = NULL;
        b->words[i].in_force = false;
    }
    keep_receipts(b);
    judge_ends(b);
    for (size_t i = 0; i < b->n; i++) {
        struct rulebook_word *w = &b->words[i];
        if (w->st->type == PV_ST_REVOCATION && w->st->u.revocation.kind == PV_REVOKE_INVITE)
            w->in_force = said_with(b, w, PV_RIGHT_REVOKE);
        else if (w->st->type == PV_ST_COORDINATORS)
            w->in_force = said_with(b, w, PV_RIGHT_INVITE) || said_with(b, w, PV_RIGHT_REVOKE);
        else if (w->st->type == PV_ST_RULE)
            w->in_force = rule_counts(b, w);
    }
}

/* --- what follows ------------------------------------------------------------------------------
 */

/* Is this key removed, as a node or an invite? */
static bool is_revoked(const struct rulebook *b, const uint8_t *pk, uint8_t kind)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct rulebook_word *w = &b->words[i];
        if (w->st->type == PV_ST_REVOCATION && w->in_force && w->st->u.revocation.kind == kind &&
            same(w->st->u.revocation.pk, pk))
            return true;
    }
    return false;
}

static bool holds(struct pv_view stay, const uint8_t *pk)
{
    for (size_t i = 0; i < stay.len; i += PV_SIGN_PK_LEN) {
        if (same(stay.ptr + i, pk))
            return true;
    }
    return false;
}

/* Does a revocation of that kind about the key, or (kind 0) an end of its rights, let pk stay? */
static bool stays(const struct rulebook *b, const uint8_t *key, uint8_t kind, const uint8_t *pk)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct rulebook_word *w = &b->words[i];
        if (!w->in_force)
            continue;
        if (kind == 0 && w->st->type == PV_ST_END && same(w->st->u.end.about, key) &&
            holds(w->st->u.end.stay, pk))
            return true;
        if (kind != 0 && w->st->type == PV_ST_REVOCATION && w->st->u.revocation.kind == kind &&
            same(w->st->u.revocation.pk, key) && holds(w->st->u.revocation.stay, pk))
            return true;
    }
    return false;
}

/* Does what this admin signed, an invite or a claim, let pk in? */
static bool admin_stands(const struct rulebook *b, const struct rulebook_word *w, const uint8_t *pk)
{
    if (is_revoked(b, w->st->signer, PV_REVOKE_NODE))
        return stays(b, w->st->signer, PV_REVOKE_NODE, pk);
    return said_with(b, w, PV_RIGHT_INVITE) || stays(b, w->st->signer, 0, pk);
}

static bool is_good_coordinator(const struct rulebook *b, const uint8_t *coordinator)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct rulebook_word *w = &b->words[i];
        if (w->st->type == PV_ST_COORDINATORS && w->in_force && names(w->st, coordinator))
            return true;
    }
    return false;
}

static bool is_eligible(const struct rulebook *b, const struct rulebook_word *claim)
{
    const uint8_t *pk = claim->st->u.member.node;
    const struct rulebook_word *invite = invite_of(b, claim->st);
    for (size_t i = 0; i < b->n; i++) {
        const struct pv_statement *st = b->words[i].st;
        if (st->type == PV_ST_LEAVE && same(st->signer, pk) &&
            st->u.leave.serial >= claim->st->u.member.serial)
            return false;
    }
    if (is_revoked(b, pk, PV_REVOKE_NODE))
        return false;
    if (invite == NULL)
        return admin_stands(b, claim, pk);
    if (is_revoked(b, claim->st->signer, PV_REVOKE_INVITE) &&
        !stays(b, claim->st->signer, PV_REVOKE_INVITE, pk))
        return false;
    return admin_stands(b, invite, pk) && claim->receipt != NULL &&
           is_good_coordinator(b, claim->receipt->coordinator) &&
           in_window(b, claim->st, claim->receipt);
}

bool rulebook_is_member(const struct rulebook *b, const uint8_t *pk)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct rulebook_word *w = &b->words[i];
        if (w->st->type == PV_ST_MEMBER && same(w->st->u.member.node, pk) && is_eligible(b, w))
            return true;
    }
    return false;
}

bool rulebook_is_removed(const struct rulebook *b, const uint8_t *pk)
{
    return is_revoked(b, pk, PV_REVOKE_NODE);
}

uint8_t rulebook_rights(const struct rulebook *b, const uint8_t *pk)
{
    return (uint8_t)((has_right(b, pk, PV_RIGHT_INVITE) ? PV_RIGHT_INVITE : 0) |
                     (has_right(b, pk, PV_RIGHT_REVOKE) ? PV_RIGHT_REVOKE : 0));
}

static bool is_rule_in_force(const struct rulebook_word *w)
{
    return w->st->type == PV_ST_RULE && w->in_force;
}

size_t rulebook_count_rules(const struct rulebook *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        n += is_rule_in_force(&b->words[i]) ? 1 : 0;
    return n;
}

size_t rulebook_count_wishes(const struct rulebook *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        bool first = is_rule_in_force(&b->words[i]);
        for (size_t k = 0; first && k < i; k++)
            first = !is_rule_in_force(&b->words[k]) || b->words[k].st->u.rule.ports.v[0].first !=
                                                           b->words[i].st->u.rule.ports.v[0].first;
        n += first ? 1 : 0;
    }
    return n;
}

const struct pv_statement *rulebook_record(const struct rulebook *b)
{
    const struct pv_statement *best = NULL;
    for (size_t i = 0; i < b->n; i++) {
        const struct pv_statement *st = b->words[i].st;
        if (st->type != PV_ST_COORDINATORS || !b->words[i].in_force || ended_by_hash(b, st))
            continue;
        if (best == NULL || st->u.coordinators.seq > best->u.coordinators.seq ||
            (st->u.coordinators.seq == best->u.coordinators.seq &&
             memcmp(st->hash, best->hash, PV_STATEMENT_HASH_LEN) < 0))
            best = st;
    }
    return best;
}
