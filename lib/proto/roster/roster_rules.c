/* SPDX-License-Identifier: MIT */
/*
 * roster_rules.c - which routes, tags and rules are in force (adr 0032, 0037). Like all that is
 * decided it follows from the statements and receipts held: the newest statement of its signer's
 * slot, said in office, and ended by nobody.
 */
#include <string.h>

#include "proto/roster/roster_int.h"

void pv_roster_add_rule(struct pv_roster *r, struct pv_roster_item *e)
{
    e->prev_record = NULL;
    e->next_record = r->rules;
    if (r->rules != NULL)
        r->rules->prev_record = e;
    r->rules = e;
    r->rules_dirty = true;
}

void pv_roster_remove_rule(struct pv_roster *r, struct pv_roster_item *e)
{
    *(e->prev_record == NULL ? &r->rules : &e->prev_record->next_record) = e->next_record;
    if (e->next_record != NULL)
        e->next_record->prev_record = e->prev_record;
    r->rules_dirty = true;
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
    if (!r->rules_dirty)
        return;
    r->rules_dirty = r->rules_ok = false;
    for (struct pv_roster_item *e = r->rules; e != NULL; e = e->next_record) {
        e->ended = false;
        e->signer->rules_seen = false;
    }
    for (struct pv_roster_item *e = r->rules; e != NULL; e = e->next_record) {
        if (e->signer->rules_seen)
            continue;
        e->signer->rules_seen = true;
        mark_ended(r, e->signer);
        settle_slots(r, e->signer, PV_ROSTER_QUOTA_ROUTES);
        settle_slots(r, e->signer, PV_ROSTER_QUOTA_TAGS);
        settle_slots(r, e->signer, PV_ROSTER_QUOTA_RULES);
    }
}

static const struct pv_roster_entry *next_of(const struct pv_roster *r,
                                             const struct pv_roster_entry *prev, bool routes)
{
    const struct pv_roster_item *e =
        prev == NULL ? r->rules : ((const struct pv_roster_item *)prev)->next_record;

    while (e != NULL && (!e->effective || (e->pub.st.type == PV_ST_ROUTE) != routes))
        e = e->next_record;
    return e == NULL ? NULL : &e->pub;
}

const struct pv_roster_entry *pv_roster_next_rule(const struct pv_roster *r,
                                                  const struct pv_roster_entry *prev)
{
    return next_of(r, prev, false);
}

const struct pv_roster_entry *pv_roster_next_route(const struct pv_roster *r,
                                                   const struct pv_roster_entry *prev)
{
    return next_of(r, prev, true);
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
