/* SPDX-License-Identifier: MIT */
/*
 * roster.c - the set of statements: merging, signature chains, orphans, buckets, order of arrival.
 * Statements come from anybody, in any order, so each is checked back to the root key before it is
 * kept, and one whose signer has no right yet waits among the orphans. Nothing is ever replaced:
 * two rosters that hold the same statements decide the same, whatever order they got them in.
 * Limits bound what any single key can make every node store.
 */
#include "proto/roster/roster.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/roster/roster_int.h"

struct pv_roster_key *pv_roster_key(const struct pv_roster *r, const uint8_t *pk)
{
    struct pv_roster_key *k;
    PV_MAP_FIND(&r->key_map, r->keys, pk, PV_SIGN_PK_LEN, k);
    return k;
}

/* Keys are never removed: members and events point to them for as long as the roster lives. */
static struct pv_roster_key *get_or_add_key(struct pv_roster *r, const uint8_t *pk)
{
    struct pv_roster_key *k = pv_roster_key(r, pk);
    int status;

    if (k != NULL)
        return k;
    k = calloc(1, sizeof(*k));
    if (k == NULL)
        return NULL;
    memcpy(k->pk, pk, sizeof(k->pk));
    memcpy(k->member.node, pk, sizeof(k->member.node));
    PV_MAP_ADD(&r->key_map, r->keys, pk, k, status);
    if (status != PV_OK) {
        free(k);
        return NULL;
    }
    return k;
}

/* Whatever changes about a key is settled later, once for the whole batch. */
void pv_roster_mark(struct pv_roster *r, struct pv_roster_key *k)
{
    if (k->is_dirty)
        return;
    k->is_dirty = true;
    k->next_dirty = r->dirty;
    r->dirty = k;
}

/* A full ring drops the oldest report: reports are for people, and the newest says more. */
void pv_roster_report(struct pv_roster *r, enum pv_roster_event_type type,
                      struct pv_roster_key *key, const char *fmt, ...)
{
    if (r->n_reports == PV_ROSTER_MAX_REPORTS) {
        r->report_first = (r->report_first + 1) % PV_ROSTER_MAX_REPORTS;
        r->n_reports--;
    }
    struct pv_roster_report *rep =
        &r->reports[(r->report_first + r->n_reports++) % PV_ROSTER_MAX_REPORTS];
    rep->type = type;
    rep->key = key;
    va_list args;
    va_start(args, fmt);
    vsnprintf(rep->text, sizeof(rep->text), fmt, args);
    va_end(args);
}

void pv_roster_list_push(struct pv_roster_list *list, struct pv_roster_item *e)
{
    e->next_news = NULL;
    if (list->last == NULL)
        list->first = e;
    else
        list->last->next_news = e;
    list->last = e;
}

struct pv_roster_item *pv_roster_list_pop(struct pv_roster_list *list)
{
    struct pv_roster_item *e = list->first;

    if (e == NULL)
        return NULL;
    list->first = e->next_news;
    if (list->first == NULL)
        list->last = NULL;
    return e;
}

/* A statement is told once, although it may get its receipt in the same batch. */
static void tell_statement(struct pv_roster *r, struct pv_roster_item *e)
{
    if (e->is_news)
        return;
    e->is_news = true;
    pv_roster_list_push(&r->news, e);
}

/* --- buckets --------------------------------------------------------------------------------- */

/* Position of the first statement of the bucket that is not below hash (len bytes of it). */
static size_t bucket_search(const struct pv_roster_bucket *b, const uint8_t *hash, size_t len)
{
    size_t lo = 0, hi = b->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(b->v[mid]->pub.st.hash, hash, len) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct pv_roster_item *bucket_find(const struct pv_roster *r, const uint8_t *hash,
                                          size_t len)
{
    const struct pv_roster_bucket *b = &r->buckets[hash[0]];
    size_t i = bucket_search(b, hash, len);

    return i < b->n && memcmp(b->v[i]->pub.st.hash, hash, len) == 0 ? b->v[i] : NULL;
}

/* Room for one more statement in its bucket and in the scratch of the head. */
static int bucket_reserve(struct pv_roster *r, const uint8_t *hash)
{
    struct pv_roster_bucket *b = &r->buckets[hash[0]];

    if (b->n == b->cap) {
        uint32_t cap = b->cap == 0 ? 4 : b->cap * 2;
        struct pv_roster_item **v = realloc(b->v, cap * sizeof(struct pv_roster_item *));
        if (v == NULL)
            return PV_ERR_NOMEM;
        b->v = v;
        b->cap = cap;
    }
    if (r->size == r->scratch_cap) {
        size_t cap = r->scratch_cap == 0 ? 64 : r->scratch_cap * 2;
        uint8_t *scratch = realloc(r->scratch, cap * PV_STATEMENT_HASH_LEN);
        if (scratch == NULL)
            return PV_ERR_NOMEM;
        r->scratch = scratch;
        r->scratch_cap = cap;
    }
    return PV_OK;
}

static void list_entry(struct pv_roster *r, struct pv_roster_item *e)
{
    struct pv_roster_bucket *b = &r->buckets[e->pub.st.hash[0]];
    size_t i = bucket_search(b, e->pub.st.hash, PV_STATEMENT_HASH_LEN);

    memmove(b->v + i + 1, b->v + i, (b->n - i) * sizeof(struct pv_roster_item *));
    b->v[i] = e;
    b->n++;
    r->size++;
    e->listed = true;
    b->digest_ok = r->head_ok = false;
}

/* The statement leaves the set (and the head) but stays in memory, as others may point to it. */
static void unlist_entry(struct pv_roster *r, struct pv_roster_item *e)
{
    struct pv_roster_bucket *b = &r->buckets[e->pub.st.hash[0]];
    size_t i = bucket_search(b, e->pub.st.hash, PV_STATEMENT_HASH_LEN);

    b->n--;
    memmove(b->v + i, b->v + i + 1, (b->n - i) * sizeof(struct pv_roster_item *));
    r->size--;
    e->listed = false;
    e->signer->n_unknown--;
    b->digest_ok = r->head_ok = false;
}

const struct pv_roster_entry *pv_roster_find(const struct pv_roster *r,
                                             const uint8_t hash[static PV_STATEMENT_HASH_LEN])
{
    struct pv_roster_item *e = bucket_find(r, hash, PV_STATEMENT_HASH_LEN);
    return e == NULL ? NULL : &e->pub;
}

const struct pv_roster_entry *
pv_roster_find_prefix(const struct pv_roster *r, const uint8_t prefix[static PV_ROSTER_PREFIX_LEN])
{
    struct pv_roster_item *e = bucket_find(r, prefix, PV_ROSTER_PREFIX_LEN);
    return e == NULL ? NULL : &e->pub;
}

/* --- who may sign what ----------------------------------------------------------------------- */

static bool is_unknown_type(uint8_t type)
{
    return type > PV_ST_COORDINATORS;
}

/* Chains go by what was ever granted, revoked or not: otherwise a roster that heard of a revocation
 * first would refuse statements that another one holds, and the two could never agree. What a
 * revoked admin's statements are still good for is decided when settling. */
bool pv_roster_signer_may(const struct pv_roster *r, const struct pv_roster_key *signer,
                          uint8_t type)
{
    bool root = signer == r->record->signer;

    switch (type) {
    case PV_ST_ADMIN:
        return root;
    case PV_ST_INVITE:
        return (signer->rights & PV_RIGHT_INVITE) != 0;
    case PV_ST_MEMBER:
        return signer->is_invite || (!root && (signer->rights & PV_RIGHT_INVITE) != 0);
    case PV_ST_TRANSPORT:
    case PV_ST_LEAVE:
        return signer->is_node;
    case PV_ST_REVOCATION:
        return (signer->rights & PV_RIGHT_REVOKE) != 0;
    case PV_ST_COORDINATORS:
        return signer->rights != 0;
    default:
        return (signer->rights != 0 || signer->is_node) && !signer->revoked_node;
    }
}

/* A member statement against the network record: the name must not be the network's, which is the
 * DNS zone; IPv4 has to lie in the range; IPv6 has to follow from the key, or members could take
 * each other's. */
static bool member_fits(const struct pv_roster *r, const struct pv_st_member *m)
{
    const struct pv_statement *record = &r->record->pub.st;
    uint8_t ip6[PV_IP6_LEN];

    pv_node_ip6(record->network_id, m->node, ip6);
    return strcmp(m->name, record->u.network.name) != 0 &&
           pv_ip4_is_usable(&record->u.network.range, pv_load_be32(m->ip4)) &&
           memcmp(ip6, m->ip6, sizeof(ip6)) == 0;
}

int pv_roster_check_form(const struct pv_roster *r, struct pv_view raw, struct pv_statement *ret_st)
{
    struct pv_statement st;
    int status = pv_statement_decode(raw, &st);

    if (status != PV_OK)
        return status;
    if (memcmp(st.network_id, r->record->pub.st.network_id, sizeof(st.network_id)) != 0)
        return PV_ERR_AUTH;
    if (st.type == PV_ST_MEMBER && !member_fits(r, &st.u.member))
        return PV_ERR_MALFORMED;
    *ret_st = st;
    return PV_OK;
}

/* An invite may be used by anybody who has its secret, so its uses are counted by the coordinator's
 * receipts; an admin's own signature needs no such witness. */
bool pv_roster_needs_receipt(const struct pv_roster_key *signer, uint8_t type)
{
    return type == PV_ST_MEMBER && (signer->rights & PV_RIGHT_INVITE) == 0;
}

/* --- orphans --------------------------------------------------------------------------------- */

/* The offset of the coordinator's key in a receipt whose form has been checked. */
static const uint8_t *receipt_signer(struct pv_view receipt)
{
    return receipt.ptr + 2 + PV_NETWORK_ID_LEN;
}

/* Puts a statement aside until the key it wants is granted something. The ring overwrites the
 * oldest: a stranger can fill it with statements of unknown signers, but the real ones are
 * exchanged again by the next comparison of heads. */
static int adopt_orphan(struct pv_roster *r, const uint8_t *wants, struct pv_view raw,
                        struct pv_view receipt)
{
    struct pv_roster_orphan *o = &r->orphans[r->next_orphan];
    uint8_t *copy = malloc(raw.len + receipt.len);

    if (copy == NULL)
        return PV_ERR_NOMEM;
    memcpy(copy, raw.ptr, raw.len);
    if (receipt.len > 0)
        memcpy(copy + raw.len, receipt.ptr, receipt.len);
    free(o->raw);
    *o = (struct pv_roster_orphan){.len = raw.len, .receipt_len = receipt.len, .raw = copy};
    memcpy(o->wants, wants, sizeof(o->wants));
    r->next_orphan = (r->next_orphan + 1) % PV_ROSTER_MAX_ORPHANS;
    return PV_OK;
}

static void wake_orphans(struct pv_roster *r, const uint8_t *pk)
{
    for (size_t i = 0; i < PV_ROSTER_MAX_ORPHANS; i++) {
        struct pv_roster_orphan *o = &r->orphans[i];
        if (o->raw != NULL && memcmp(o->wants, pk, sizeof(o->wants)) == 0)
            o->ready = true;
    }
}

/* --- merging --------------------------------------------------------------------------------- */

/* Every node whose membership depends on k: admitted by it, or by an invite it signed. */
static void mark_dependants(struct pv_roster *r, struct pv_roster_key *k)
{
    pv_roster_mark(r, k);
    for (struct pv_roster_item *e = k->issued; e != NULL; e = e->next_issued) {
        if (e->pub.st.type == PV_ST_MEMBER)
            pv_roster_mark(r, e->subject);
        if (e->pub.st.type != PV_ST_INVITE)
            continue;
        for (struct pv_roster_item *m = e->subject->issued; m != NULL; m = m->next_issued) {
            if (m->pub.st.type == PV_ST_MEMBER)
                pv_roster_mark(r, m->subject);
        }
    }
}

/* A removed admin can no longer revoke, but its revocations from before stay in force: nobody comes
 * back because the admin who removed them was removed. The root key is above revocation, as
 * otherwise no key could end a dispute. */
static void apply_revocation(struct pv_roster *r, struct pv_roster_item *e)
{
    struct pv_roster_key *k = e->subject;
    char who[PV_KEY_TEXT_BUF];

    if (e->signer->revoked_node) {
        pv_roster_report(r, PV_ROSTER_EV_REFUSED, NULL, "a removed admin (%s) tries to revoke",
                         pv_key_format(e->signer->pk, who));
        return;
    }
    if (k == r->record->signer)
        return; /* root is above revocation */
    e->effective = true;
    if (e->pub.st.u.revocation.kind == PV_REVOKE_INVITE) {
        k->revoked_invite = true;
        mark_dependants(r, k);
        return;
    }
    k->revoked_node = true;
    mark_dependants(r, k);
    for (struct pv_roster_item *u = k->issued; u != NULL; u = u->next_issued) {
        if (is_unknown_type(u->pub.st.type) && u->listed)
            unlist_entry(r, u);
    }
    if (k->rights != 0)
        pv_roster_count_coordinators(r);
}

/* What a statement grants at once, before anything is settled; marks what has to be settled and
 * wakes the orphans that waited for it. */
static void take_effect(struct pv_roster *r, struct pv_roster_item *e)
{
    struct pv_roster_key *k = e->subject;

    switch (e->pub.st.type) {
    case PV_ST_ADMIN:
        k->rights |= e->pub.st.u.admin.rights;
        pv_roster_mark(r, k);
        wake_orphans(r, k->pk);
        break;
    case PV_ST_INVITE:
        k->is_invite = true;
        k->cutoff = NULL;
        for (struct pv_roster_item *m = k->issued; m != NULL; m = m->next_issued) {
            if (m->pub.st.type == PV_ST_MEMBER)
                pv_roster_mark(r, m->subject);
        }
        wake_orphans(r, k->pk);
        break;
    case PV_ST_MEMBER:
        k->is_node = true;
        k->n_self++;
        e->signer->claims += pv_roster_claims_by(k, e->signer) == 1 ? 1 : 0;
        pv_roster_mark(r, k);
        wake_orphans(r, k->pk);
        break;
    case PV_ST_TRANSPORT:
    case PV_ST_LEAVE:
        k->n_self++;
        pv_roster_mark(r, k);
        break;
    case PV_ST_REVOCATION:
        apply_revocation(r, e);
        break;
    case PV_ST_COORDINATORS:
        pv_roster_count_coordinators(r);
        for (size_t i = 0; i < r->n_coordinators; i++)
            wake_orphans(r, r->coordinators[i].pk);
        break;
    default:
        e->signer->n_unknown++;
        break;
    }
}

/* Limits by node, by signer and by invite. Statements of unknown types are limited by keeping those
 * with the lowest hashes, so that every roster ends with the same ones; *ret_drop is the one that
 * gives way. */
static int check_limits(struct pv_roster *r, const struct pv_statement *st,
                        struct pv_roster_key *subject, struct pv_roster_key *signer,
                        struct pv_roster_item **ret_drop)
{
    *ret_drop = NULL;
    if (r->total >= PV_ROSTER_MAX_STATEMENTS)
        return PV_ERR_LIMIT;
    if (is_unknown_type(st->type) && signer->n_unknown >= PV_ROSTER_MAX_UNKNOWN) {
        /* Keep the lowest hashes: every roster ends with the same ones. */
        struct pv_roster_item *top = NULL;
        for (struct pv_roster_item *e = signer->issued; e != NULL; e = e->next_issued) {
            if (is_unknown_type(e->pub.st.type) && e->listed &&
                (top == NULL ||
                 memcmp(e->pub.st.hash, top->pub.st.hash, PV_STATEMENT_HASH_LEN) > 0))
                top = e;
        }
        if (top == NULL || memcmp(st->hash, top->pub.st.hash, PV_STATEMENT_HASH_LEN) > 0)
            return PV_ERR_LIMIT;
        *ret_drop = top;
    }
    bool own = st->type == PV_ST_MEMBER || st->type == PV_ST_TRANSPORT || st->type == PV_ST_LEAVE;
    if (own && subject->n_self >= PV_ROSTER_MAX_SELF)
        return PV_ERR_LIMIT;
    if (pv_roster_needs_receipt(signer, st->type)) {
        struct pv_roster_item *invite = pv_roster_invite_entry(signer);
        uint64_t most = (uint64_t)invite->pub.st.u.invite.uses + PV_ROSTER_MAX_OVERCLAIMS;
        if (signer->claims >= most && pv_roster_claims_by(subject, signer) == 0)
            return PV_ERR_LIMIT;
    }
    return PV_OK;
}

/* The key a statement is about. */
static const uint8_t *subject_pk(const struct pv_statement *st)
{
    switch (st->type) {
    case PV_ST_ADMIN:
        return st->u.admin.node;
    case PV_ST_INVITE:
        return st->u.invite.invite;
    case PV_ST_MEMBER:
        return st->u.member.node;
    case PV_ST_REVOCATION:
        return st->u.revocation.pk;
    case PV_ST_TRANSPORT:
    case PV_ST_LEAVE:
        return st->signer;
    default:
        return NULL;
    }
}

/* The statement is decoded again, because its views have to point into the entry's own copy. */
static struct pv_roster_item *make_entry(const struct pv_statement *st)
{
    struct pv_roster_item *e = calloc(1, sizeof(*e) + st->raw.len);

    if (e == NULL)
        return NULL;
    memcpy(e->raw, st->raw.ptr, st->raw.len);
    if (pv_statement_decode(pv_view(e->raw, st->raw.len), &e->pub.st) != PV_OK) {
        free(e); /* it has just decoded; kept for the compiler */
        return NULL;
    }
    return e;
}

/* After this nothing can fail: room in the bucket was reserved before. */
static void link_entry(struct pv_roster *r, struct pv_roster_item *e, struct pv_roster_key *subject,
                       struct pv_roster_key *signer)
{
    e->subject = subject;
    e->signer = signer;
    e->next_issued = signer->issued;
    signer->issued = e;
    if (subject != NULL) {
        e->next_about = subject->about;
        subject->about = e;
    } else if (e->pub.st.type == PV_ST_COORDINATORS) {
        e->next_about = r->records;
        r->records = e;
    }
    if (r->last == NULL)
        r->first = e;
    else
        r->last->next = e;
    r->last = e;
    r->total++;
    list_entry(r, e);
    tell_statement(r, e);
}

/* The checked receipt of a statement about to be merged, in its coordinator's order.
 * PV_ERR_NOT_FOUND: its coordinator is unknown (yet). */
static int receipt_for(struct pv_roster *r, struct pv_view raw, const struct pv_statement *st,
                       struct pv_roster_receipt **ret_receipt)
{
    struct pv_receipt receipt;

    *ret_receipt = NULL;
    if (raw.len == 0)
        return PV_OK;
    int status = pv_roster_check_receipt(r, raw, st->hash, &receipt);
    if (status != PV_OK)
        return status;
    return pv_roster_place_receipt(r, &receipt, raw, ret_receipt);
}

static void give_receipt(struct pv_roster *r, struct pv_roster_item *e,
                         struct pv_roster_receipt *receipt)
{
    e->receipt = receipt;
    e->pub.receipt = pv_view(receipt->raw, sizeof(receipt->raw));
    e->n_receipts++;
    if (e->pub.st.type == PV_ST_MEMBER) {
        e->signer->cutoff = NULL;
        pv_roster_mark(r, e->subject);
    }
    tell_statement(r, e);
}

/* A statement that we hold, perhaps with a lower receipt: the lowest counts, so that every roster
 * gives it the same place, whichever receipt it saw first. */
static int merge_known(struct pv_roster *r, struct pv_roster_item *e, struct pv_view raw,
                       enum pv_roster_added *ret_added)
{
    struct pv_receipt receipt;
    struct pv_roster_receipt *placed;

    *ret_added = PV_ROSTER_KNOWN;
    if (raw.len == 0 || pv_view_equal(raw, e->pub.receipt))
        return PV_OK;
    int status = pv_roster_check_receipt(r, raw, e->pub.st.hash, &receipt);
    if (status == PV_ERR_NOT_FOUND) {
        *ret_added = PV_ROSTER_ORPHAN;
        return adopt_orphan(r, receipt_signer(raw), e->pub.st.raw, raw);
    }
    if (status != PV_OK)
        return status;
    if (e->receipt != NULL && pv_receipt_cmp(&receipt, &e->receipt->r) >= 0)
        return PV_OK;
    if (e->n_receipts >= ROSTER_MAX_RECEIPTS)
        return PV_ERR_LIMIT;
    status = pv_roster_place_receipt(r, &receipt, raw, &placed);
    if (status != PV_OK)
        return status;
    give_receipt(r, e, placed);
    *ret_added = PV_ROSTER_NEW;
    return PV_OK;
}

/* A statement whose form, signatures and network are right and that we do not hold. A signer
 * without the right makes it an orphan, unless that signer was removed: then the right will not
 * come. */
static int merge_new(struct pv_roster *r, const struct pv_statement *st, struct pv_view raw_receipt,
                     enum pv_roster_added *ret_added)
{
    struct pv_roster_receipt *receipt;
    struct pv_roster_item *drop;
    const uint8_t *pk = subject_pk(st);

    if (st->type == PV_ST_ADMIN && memcmp(st->signer, r->root, sizeof(r->root)) != 0)
        return PV_ERR_REFUSED;
    struct pv_roster_key *signer = pv_roster_key(r, st->signer);
    if (signer == NULL || !pv_roster_signer_may(r, signer, st->type)) {
        if (signer != NULL && signer->revoked_node)
            return PV_ERR_REFUSED;
        *ret_added = PV_ROSTER_ORPHAN;
        return adopt_orphan(r, st->signer, st->raw, raw_receipt);
    }
    struct pv_roster_key *subject = pk == NULL ? NULL : get_or_add_key(r, pk);
    if (pk != NULL && subject == NULL)
        return PV_ERR_NOMEM;
    int status = check_limits(r, st, subject, signer, &drop);
    if (status == PV_OK)
        status = receipt_for(r, raw_receipt, st, &receipt);
    if (status == PV_ERR_NOT_FOUND) {
        *ret_added = PV_ROSTER_ORPHAN;
        return adopt_orphan(r, receipt_signer(raw_receipt), st->raw, raw_receipt);
    }
    if (status != PV_OK && (status != PV_ERR_REFUSED || pv_roster_needs_receipt(signer, st->type)))
        return status;
    if (receipt == NULL && pv_roster_needs_receipt(signer, st->type))
        return PV_ERR_REFUSED;

    struct pv_roster_item *e = make_entry(st);
    if (e == NULL || bucket_reserve(r, st->hash) != PV_OK) {
        free(e);
        return PV_ERR_NOMEM;
    }
    if (drop != NULL)
        unlist_entry(r, drop);
    link_entry(r, e, subject, signer);
    take_effect(r, e);
    if (receipt != NULL)
        give_receipt(r, e, receipt);
    *ret_added = PV_ROSTER_NEW;
    return PV_OK;
}

/* Cheap checks first: the form, then whether we hold it, and only then the signatures. A
 * coordinators record is merged before its receipt is looked at, since the record may be what makes
 * the receipt's signer a coordinator. */
static int add_one(struct pv_roster *r, struct pv_view raw, struct pv_view receipt,
                   enum pv_roster_added *ret_added)
{
    struct pv_statement st;
    int status = pv_roster_check_form(r, raw, &st);

    if (status != PV_OK)
        return status;
    struct pv_roster_item *known = bucket_find(r, st.hash, sizeof(st.hash));
    if (known != NULL)
        return merge_known(r, known, receipt, ret_added);
    if (st.type == PV_ST_NETWORK)
        return PV_ERR_AUTH;
    status = pv_statement_verify(&st);
    if (status != PV_OK)
        return status;
    if (st.type != PV_ST_COORDINATORS)
        return merge_new(r, &st, receipt, ret_added);

    /* Its receipt comes from a coordinator it may itself be the first to name. */
    status = merge_new(r, &st, pv_view(NULL, 0), ret_added);
    known = bucket_find(r, st.hash, sizeof(st.hash));
    if (status == PV_OK && known != NULL && merge_known(r, known, receipt, ret_added) == PV_OK)
        *ret_added = PV_ROSTER_NEW;
    return status;
}

/* Adds the orphans whose time has come, and those that come of age through them. */
static void add_orphans(struct pv_roster *r)
{
    for (size_t i = 0; i < PV_ROSTER_MAX_ORPHANS; i++) {
        struct pv_roster_orphan o = r->orphans[i];
        enum pv_roster_added added;
        if (o.raw == NULL || !o.ready)
            continue;
        r->orphans[i].raw = NULL;
        int status =
            add_one(r, pv_view(o.raw, o.len), pv_view(o.raw + o.len, o.receipt_len), &added);
        free(o.raw);
        if (status == PV_OK && added == PV_ROSTER_NEW)
            i = (size_t)-1; /* it may have woken an earlier one: look again from the start */
    }
}

int pv_roster_add(struct pv_roster *r, struct pv_view statement, struct pv_view receipt,
                  enum pv_roster_added *ret_added)
{
    enum pv_roster_added added = PV_ROSTER_KNOWN;
    int status = add_one(r, statement, receipt, &added);

    if (status != PV_OK)
        return status;
    if (added == PV_ROSTER_NEW)
        add_orphans(r);
    *ret_added = added;
    return PV_OK;
}

/* --- life ------------------------------------------------------------------------------------ */

/* The root key has both rights by itself; no admin statement could grant them. */
static int init_record(struct pv_roster *r, const struct pv_statement *st)
{
    struct pv_roster_key *root = get_or_add_key(r, st->signer);
    struct pv_roster_item *e = make_entry(st);

    if (root == NULL || e == NULL || bucket_reserve(r, st->hash) != PV_OK) {
        free(e);
        return PV_ERR_NOMEM;
    }
    memcpy(r->root, st->signer, sizeof(r->root));
    root->rights = PV_RIGHT_INVITE | PV_RIGHT_REVOKE;
    r->record = e;
    link_entry(r, e, NULL, root);
    return PV_OK;
}

/* The record is checked against expect_id before its signature: the id is the hash of the record,
 * so a match alone proves that it is the network's. */
int pv_roster_new(struct pv_view record, const uint8_t *expect_id, const struct pv_rng *rng,
                  struct pv_roster **ret_roster)
{
    struct pv_statement st;
    int status = pv_statement_decode(record, &st);

    if (status != PV_OK)
        return status;
    if (st.type != PV_ST_NETWORK ||
        (expect_id != NULL && memcmp(st.network_id, expect_id, sizeof(st.network_id)) != 0))
        return PV_ERR_AUTH;
    status = pv_statement_verify(&st);
    if (status != PV_OK)
        return status;

    struct pv_roster *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return PV_ERR_NOMEM;
    /* Each statement brings at most a signer and a subject; each node at most four bindings. */
    r->key_map = pv_map_make(rng, 2 * PV_ROSTER_MAX_STATEMENTS);
    r->binding_map = pv_map_make(rng, BIND_KINDS * PV_ROSTER_MAX_STATEMENTS);
    status = init_record(r, &st);
    if (status != PV_OK) {
        pv_roster_free(r);
        return status;
    }
    *ret_roster = r;
    return PV_OK;
}

/* Bindings are parts of their keys and only leave their table; keys, statements and orphans are
 * freed each by the one list that owns it. */
struct pv_roster *pv_roster_free(struct pv_roster *r)
{
    if (r == NULL)
        return NULL;
    struct pv_roster_binding *b, *next_b;
    HASH_ITER(hh, r->bindings, b, next_b)
    PV_MAP_DEL(r->bindings, b);
    struct pv_roster_key *k, *next_k;
    HASH_ITER(hh, r->keys, k, next_k)
    {
        PV_MAP_DEL(r->keys, k);
        free(k);
    }
    for (struct pv_roster_item *e = r->first, *next; e != NULL; e = next) {
        next = e->next;
        free(e);
    }
    for (size_t i = 0; i < PV_ROSTER_BUCKETS; i++)
        free(r->buckets[i].v);
    for (size_t i = 0; i < PV_ROSTER_MAX_ORPHANS; i++)
        free(r->orphans[i].raw);
    pv_roster_receipts_done(r);
    free(r->scratch);
    free(r);
    return NULL;
}
