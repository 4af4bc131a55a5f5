/* SPDX-License-Identifier: MIT */
/*
 * roster.c - merging: signature chains, orphans, what a statement grants, order of arrival.
 * Statements come from anybody, in any order, so each is checked back to the root key before it is
 * kept, and one whose signer has no right yet waits among the orphans. Two rosters that hold the
 * same statements decide the same, whatever order they got them in; roster_int.h says which file
 * decides what.
 */
#include "proto/roster/roster.h"

#include <stdlib.h>
#include <string.h>

#include "proto/roster/roster_int.h"

enum {
    ORPHANS_FIRST = 8, /* ours: slots, which double */
};

/* A statement is told once, although it may get its receipt in the same batch. */
static void tell_statement(struct pv_roster *r, struct pv_roster_item *e)
{
    if (e->is_news)
        return;
    e->is_news = true;
    pv_roster_list_push(&r->news, e);
}

/* --- who may sign what ----------------------------------------------------------------------- */

/* Chains go by what was ever granted, revoked or not: otherwise a roster that heard of a revocation
 * first would refuse statements that another one holds, and the two could never agree. The worth of
 * a revoked admin's statements is decided when settling. */
bool pv_roster_signer_may(const struct pv_roster *r, const struct pv_roster_key *signer,
                          const struct pv_statement *st)
{
    const uint8_t by = pv_kind_of(st->type)->by, *about = pv_st_subject(st);

    if ((by & PV_BY_INVITE) != 0 && signer->is_invite)
        return true;
    if ((by & PV_BY_NODE) != 0 && signer->is_node &&
        (about == NULL || memcmp(about, signer->pk, PV_SIGN_PK_LEN) == 0))
        return true;
    return signer == r->record->signer ? (by & PV_BY_ROOT) != 0 : (by & signer->rights) != 0;
}

/* Against the network record: the name must not be the network's, which is the DNS zone; IPv4 has
 * to lie in the range. */
static bool place_fits(const struct pv_roster *r, const char *name,
                       const uint8_t ip4[static PV_IP4_LEN])
{
    const struct pv_st_network *net = &r->record->pub.st.u.network;
    return strcmp(name, net->name) != 0 && pv_ip4_is_usable(&net->range, pv_load_be32(ip4));
}

/* IPv6 has to follow from the key, or members could take each other's. */
static bool member_fits(const struct pv_roster *r, const struct pv_st_member *m)
{
    const struct pv_statement *record = &r->record->pub.st;
    uint8_t ip6[PV_IP6_LEN];

    pv_node_ip6(record->network_id, m->node, ip6);
    return place_fits(r, m->name, m->ip4) && memcmp(ip6, m->ip6, sizeof(ip6)) == 0;
}

int pv_roster_check_fields(const struct pv_roster *r, const struct pv_statement *st)
{
    if (memcmp(st->network_id, r->record->pub.st.network_id, sizeof(st->network_id)) != 0)
        return PV_ERR_AUTH;
    if (pv_kind_of(st->type)->by == PV_BY_ROOT && memcmp(st->signer, r->root, sizeof(r->root)) != 0)
        return PV_ERR_REFUSED;
    if ((st->type == PV_ST_MEMBER && !member_fits(r, &st->u.member)) ||
        (st->type == PV_ST_PLACE && !place_fits(r, st->u.place.name, st->u.place.ip4)))
        return PV_ERR_MALFORMED;
    const struct pv_roster_key *k =
        pv_st_does(st, PV_DOES_SHOW) ? pv_roster_key(r, st->signer) : NULL;
    return k != NULL && k->is_node && !pv_roster_keeps_card(k) ? PV_ERR_REFUSED : PV_OK;
}

/* hash: NULL when it is not known. */
static int check_form(const struct pv_roster *r, struct pv_view raw, const uint8_t *hash,
                      struct pv_statement *ret_st)
{
    struct pv_statement st;
    int status =
        hash == NULL ? pv_statement_decode(raw, &st) : pv_statement_decode_hashed(raw, hash, &st);

    if (status == PV_OK)
        status = pv_roster_check_fields(r, &st);
    if (status == PV_OK)
        *ret_st = st;
    return status;
}

/* --- orphans --------------------------------------------------------------------------------- */

/* The offset of the coordinator's key in a receipt whose form has been checked. */
static const uint8_t *receipt_signer(struct pv_view receipt)
{
    return receipt.ptr + 2 + PV_NETWORK_ID_LEN;
}

/* Room for one more orphan. There is none without memory, and none above the limit: then one gives
 * way. */
static void grow_orphans(struct pv_roster *r)
{
    size_t n = r->n_orphans == 0 ? ORPHANS_FIRST : r->n_orphans * 2;
    struct pv_roster_orphan *orphans =
        n > PV_ROSTER_MAX_ORPHANS ? NULL : realloc(r->orphans, n * sizeof(*orphans));

    if (orphans == NULL)
        return;
    memset(orphans + r->n_orphans, 0, (n - r->n_orphans) * sizeof(*orphans));
    r->orphans = orphans;
    r->next_orphan = r->n_orphans;
    r->n_orphans = n;
}

/* The next slot in the round, free ones first while there may be more. NULL: no memory. */
static struct pv_roster_orphan *orphan_slot(struct pv_roster *r)
{
    for (size_t i = 0; i < r->n_orphans && r->n_orphans < PV_ROSTER_MAX_ORPHANS; i++) {
        size_t at = (r->next_orphan + i) % r->n_orphans;
        if (r->orphans[at].raw == NULL) {
            r->next_orphan = at;
            return &r->orphans[at];
        }
    }
    if (r->n_orphans < PV_ROSTER_MAX_ORPHANS)
        grow_orphans(r);
    return r->n_orphans == 0 ? NULL : &r->orphans[r->next_orphan];
}

/* Puts a statement aside until the key it wants is granted something. The ring overwrites the
 * oldest: a stranger can fill it with statements of unknown signers, but the real ones are
 * exchanged again by the next comparison of heads. */
static int adopt_orphan(struct pv_roster *r, const uint8_t *wants, struct pv_view raw,
                        struct pv_view receipt, bool verified)
{
    struct pv_roster_orphan *o = orphan_slot(r);
    uint8_t *copy = o == NULL ? NULL : malloc(raw.len + receipt.len);

    if (copy == NULL)
        return PV_ERR_NOMEM;
    memcpy(copy, raw.ptr, raw.len);
    if (receipt.len > 0)
        memcpy(copy + raw.len, receipt.ptr, receipt.len);
    free(o->raw);
    *o = (struct pv_roster_orphan){
        .len = raw.len, .receipt_len = receipt.len, .raw = copy, .verified = verified};
    memcpy(o->wants, wants, sizeof(o->wants));
    r->next_orphan = (r->next_orphan + 1) % r->n_orphans;
    return PV_OK;
}

static void wake_orphans(struct pv_roster *r, const uint8_t *pk)
{
    for (size_t i = 0; i < r->n_orphans; i++) {
        struct pv_roster_orphan *o = &r->orphans[i];
        if (o->raw != NULL && memcmp(o->wants, pk, sizeof(o->wants)) == 0)
            o->ready = true;
    }
}

/* --- merging --------------------------------------------------------------------------------- */

static void take_grant(struct pv_roster *r, struct pv_roster_item *e)
{
    struct pv_roster_key *k = e->subject;

    if (k->rights == 0 && k != r->record->signer) {
        k->next_admin = r->admins;
        r->admins = k;
    }
    k->rights |= e->pub.st.u.admin.rights;
    e->next_office = k->grants;
    k->grants = e;
    pv_roster_mark_rights(r, k); /* what it said without this right may count now */
    wake_orphans(r, k->pk);
}

static void take_claim(struct pv_roster *r, struct pv_roster_item *e)
{
    struct pv_roster_key *k = e->subject;

    k->is_node = true;
    if (pv_roster_claims_by(k, e->signer) == 1) {
        e->signer->claims++;
        pv_roster_mark(r, e->signer);
    }
    pv_roster_mark(r, k);
    wake_orphans(r, k->pk);
}

/* The rights that a statement grants at once, before anything is settled; marks what has to be
 * settled and wakes the orphans that waited for it. */
static void take_effect(struct pv_roster *r, struct pv_roster_item *e)
{
    const struct pv_kind *kind = pv_kind_of(e->pub.st.type);
    struct pv_roster_key *k = e->subject;

    if (k != NULL && kind->quota != PV_ROSTER_QUOTA_NONE)
        k->n_self++;
    switch (kind->does) {
    case PV_DOES_GRANT:
        take_grant(r, e);
        break;
    case PV_DOES_INVITE:
        k->is_invite = true;
        pv_roster_mark_dependants(r, k);
        pv_roster_mark(r, e->signer);
        wake_orphans(r, k->pk);
        break;
    case PV_DOES_CLAIM:
        take_claim(r, e);
        break;
    case PV_DOES_TELL:
    case PV_DOES_ADMIT:
        pv_roster_mark(r, k);
        pv_roster_mark(r, e->signer); /* it may count for nothing: pv_roster_count_dead() */
        break;
    case PV_DOES_TAKE:
        if (e->pub.st.type == PV_ST_END) {
            e->next_office = k->ends;
            k->ends = e;
        }
        pv_roster_mark_revoked(r, k);
        pv_roster_mark(r, e->signer);
        break;
    case PV_DOES_APPOINT: {
        struct pv_view list = e->pub.st.u.coordinators.list;
        struct pv_coordinator named;
        while (pv_coordlist_next(&list, &named))
            wake_orphans(r, named.pk);
        break;
    }
    case PV_DOES_SLOT:
        pv_roster_add_rule(r, e);
        break;
    case PV_DOES_SHOW:
        pv_roster_mark(r, e->signer);
        break;
    case PV_DOES_FOUND:
        break;
    }
}

/* A better statement of its kind takes its place. It leaves every list at once; claims let go of it
 * when they are settled, and then it is freed (pv_roster_poll_event). */
void pv_roster_drop_item(struct pv_roster *r, struct pv_roster_item *e)
{
    struct pv_roster_key *k = e->subject == NULL ? e->signer : e->subject;

    pv_roster_set_unlist(r, e);
    pv_roster_count_end(r, &e->pub.st, false);
    pv_roster_quota_remove(k, e);
    if (pv_st_does(&e->pub.st, PV_DOES_APPOINT))
        pv_roster_remove_record(r, e);
    if (pv_st_does(&e->pub.st, PV_DOES_SLOT))
        pv_roster_remove_rule(r, e);
    if (e->subject != NULL) {
        PV_LIST_DEL_BY(k->about, e, prev_about, next_about);
        k->n_about--;
        k->n_self--;
        pv_roster_mark(r, k);
    }
    if (!pv_st_does(&e->pub.st, PV_DOES_SHOW))
        pv_roster_mark(r, e->signer); /* it may have counted as dead */
    if (e->pub.st.type == PV_ST_MEMBER && pv_roster_claims_by(k, e->signer) == 0)
        e->signer->claims--;
    PV_LIST_DEL_BY(e->signer->issued, e, prev_issued, next_issued);
    PV_LIST_DEL(r->first, e);
    e->gone = true;
    if (!e->is_news) { /* else it leaves the queue of news by itself */
        e->is_news = true;
        pv_roster_list_push(&r->dropped, e);
    }
}

void pv_roster_free_item(struct pv_roster *r, struct pv_roster_item *e)
{
    if (e == NULL)
        return;
    pv_roster_unlink_values(r, e);
    pv_roster_drop_receipt(r, e);
    free(e);
}

/* The statement is decoded again, because its views have to point into the entry's own copy. */
static struct pv_roster_item *make_entry(const struct pv_statement *st)
{
    struct pv_roster_item *e = calloc(1, sizeof(*e) + st->raw.len);

    if (e == NULL)
        return NULL;
    memcpy(e->raw, st->raw.ptr, st->raw.len);
    if (pv_statement_decode_hashed(pv_view(e->raw, st->raw.len), st->hash, &e->pub.st) != PV_OK) {
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
    PV_LIST_ADD_FIRST_BY(signer->issued, e, prev_issued, next_issued);
    if (subject != NULL) {
        PV_LIST_ADD_FIRST_BY(subject->about, e, prev_about, next_about);
        subject->n_about++;
    }
    if (pv_roster_quota_of(e->pub.st.type) != PV_ROSTER_QUOTA_NONE)
        pv_roster_quota_add(subject != NULL ? subject : signer, e);
    PV_LIST_ADD(r->first, e);
    pv_roster_count_end(r, &e->pub.st, true);
    pv_roster_set_list(r, e);
    tell_statement(r, e);
}

/* Something depends on the receipt of e, which is another now. */
static void receipt_changed(struct pv_roster *r, struct pv_roster_item *e)
{
    pv_roster_mark_receipt(r, e);
    tell_statement(r, e);
}

/* A kept statement may give way to e itself, or to its receipt. Never e: it has its place. */
static void drop_excess(struct pv_roster *r, const struct pv_roster_item *e)
{
    struct pv_roster_item *excess;

    while (pv_kind_of(e->pub.st.type)->by_receipt &&
           (excess = pv_roster_quota_excess(r, e)) != NULL && excess != e)
        pv_roster_drop_item(r, excess);
}

/* A statement that we hold, perhaps with a receipt that it prefers to its own. */
static int merge_known(struct pv_roster *r, struct pv_roster_item *e, struct pv_view raw,
                       bool verified, enum pv_roster_added *ret_added)
{
    struct pv_roster_receipt receipt;

    *ret_added = PV_ROSTER_KNOWN;
    if (raw.len == 0 || pv_view_equal(raw, e->pub.receipt))
        return PV_OK;
    int status = pv_roster_check_receipt(r, raw, e->pub.st.hash, verified, &receipt);
    if (status == PV_ERR_NOT_FOUND) {
        *ret_added = PV_ROSTER_ORPHAN;
        return adopt_orphan(r, receipt_signer(raw), e->pub.st.raw, raw, verified);
    }
    if (status != PV_OK || !pv_roster_prefers(e, &receipt))
        return status;
    status = pv_roster_give_receipt(r, e, &receipt);
    if (status != PV_OK)
        return status;
    receipt_changed(r, e);
    drop_excess(r, e);
    *ret_added = PV_ROSTER_NEW;
    return PV_OK;
}

/* Claims that few nodes ever make have their room from the first such statement on, so that
 * settling needs no memory. */
static int reserve_claims(struct pv_roster_key *subject, uint8_t type)
{
    static const uint8_t by[PV_ROSTER_BIND_KINDS] = {
        [PV_ROSTER_BIND_NAME] = PV_ST_PLACE,
        [PV_ROSTER_BIND_IP4] = PV_ST_PLACE,
        [PV_ROSTER_BIND_TRANSPORT] = PV_ST_TRANSPORT,
    };
    for (size_t i = 0; i < PV_ROSTER_BIND_KINDS; i++) {
        struct pv_roster_claim **c = &subject->further[i];
        if (by[i] != type || *c != NULL)
            continue;
        *c = calloc(1, sizeof(**c));
        if (*c == NULL)
            return PV_ERR_NOMEM;
        (*c)->key = subject;
    }
    return PV_OK;
}

/* An item for a statement that may enter, linked to nothing but its values and its receipt (NULL:
 * none). PV_ERR_NOMEM. */
static int prepare_item(struct pv_roster *r, const struct pv_statement *st,
                        const struct pv_roster_receipt *receipt, struct pv_roster_item **ret_item)
{
    struct pv_roster_item *e = make_entry(st);
    int status = e == NULL ? PV_ERR_NOMEM : pv_roster_set_reserve(r, st->hash);

    if (status == PV_OK)
        status = pv_roster_reserve_end(r, st);
    if (status == PV_OK)
        status = pv_roster_link_values(r, e);
    if (status == PV_OK && receipt != NULL)
        status = pv_roster_give_receipt(r, e, receipt);
    if (status != PV_OK) {
        pv_roster_free_item(r, e);
        return status;
    }
    *ret_item = e;
    return PV_OK;
}

/* The receipt of a new statement, if it brings one and needs it to be good. PV_ERR_NOT_FOUND: its
 * coordinator is unknown (yet). */
static int receipt_for(struct pv_roster *r, struct pv_view raw, const struct pv_statement *st,
                       bool needed, bool verified, struct pv_roster_receipt *ret_receipt)
{
    if (raw.len == 0)
        return needed ? PV_ERR_REFUSED : PV_OK;
    return pv_roster_check_receipt(r, raw, st->hash, verified, ret_receipt);
}

/* Is there room for a statement? Where that depends on its receipt, one by a coordinator that is
 * not known yet lets it wait for that: PV_ERR_NOT_FOUND. */
static int find_room(struct pv_roster *r, const struct pv_statement *st, struct pv_view raw_receipt,
                     bool verified, struct pv_roster_item **ret_drop)
{
    struct pv_roster_receipt receipt;
    int status = pv_roster_find_room(r, st, NULL, ret_drop);

    if ((status != PV_ERR_LIMIT && status != PV_ERR_REPLAY) || !pv_kind_of(st->type)->by_receipt ||
        raw_receipt.len == 0)
        return status;
    int known = pv_roster_check_receipt(r, raw_receipt, st->hash, verified, &receipt);
    if (known == PV_OK)
        return pv_roster_find_room(r, st, &receipt, ret_drop);
    /* With it a transport key may be the first of its kind. */
    return known == PV_ERR_NOT_FOUND &&
                   (st->type == PV_ST_TRANSPORT || pv_roster_check_room(r, st) == PV_OK)
               ? PV_ERR_NOT_FOUND
               : status;
}

/* A statement whose form, signatures and network are right and that we do not hold. */
static int merge_new(struct pv_roster *r, const struct pv_statement *st, struct pv_view raw_receipt,
                     bool verified, enum pv_roster_added *ret_added)
{
    struct pv_roster_receipt receipt;
    struct pv_roster_item *drop, *e;
    const uint8_t *pk = pv_st_subject(st);

    if (st->type == PV_ST_ADMIN && memcmp(st->signer, r->root, sizeof(r->root)) != 0)
        return PV_ERR_REFUSED;
    struct pv_roster_key *signer = pv_roster_key(r, st->signer);
    if (signer == NULL || !pv_roster_signer_may(r, signer, st)) {
        *ret_added = PV_ROSTER_ORPHAN;
        return adopt_orphan(r, st->signer, st->raw, raw_receipt, verified);
    }
    struct pv_roster_key *subject = pk == NULL ? NULL : pv_roster_get_or_add_key(r, pk);
    if (pk != NULL && subject == NULL)
        return PV_ERR_NOMEM;
    int status = find_room(r, st, raw_receipt, verified, &drop);
    if (status == PV_ERR_NOT_FOUND) {
        *ret_added = PV_ROSTER_ORPHAN;
        return adopt_orphan(r, receipt_signer(raw_receipt), st->raw, raw_receipt, verified);
    }
    bool needed = pv_roster_needs_receipt(signer, st->type);
    struct pv_view later = pv_view(NULL, 0);
    if (st->type == PV_ST_COORDINATORS) {
        later = raw_receipt; /* it may be by a coordinator that this record is the first to name */
        raw_receipt.len = 0;
    }
    if (status == PV_OK)
        status = receipt_for(r, raw_receipt, st, needed, verified, &receipt);
    if (status == PV_ERR_NOT_FOUND) {
        status = adopt_orphan(r, receipt_signer(raw_receipt), st->raw, raw_receipt, verified);
        *ret_added = PV_ROSTER_ORPHAN;
        if (status != PV_OK || needed)
            return status;
        raw_receipt.len = 0; /* it counts without one too, a removal above all */
    }
    if (status == PV_OK && subject != NULL)
        status = reserve_claims(subject, st->type);
    if (status == PV_OK)
        status = prepare_item(r, st, raw_receipt.len == 0 ? NULL : &receipt, &e);
    if (status != PV_OK)
        return status;
    if (st->type == PV_ST_COORDINATORS) {
        e->signer = signer;
        status = pv_roster_add_record(r, e);
    }
    if (status != PV_OK) {
        pv_roster_free_item(r, e);
        return status;
    }
    if (drop != NULL)
        pv_roster_drop_item(r, drop);
    link_entry(r, e, subject, signer);
    take_effect(r, e);
    drop_excess(r, e);
    if (later.len > 0)
        (void)merge_known(r, e, later, verified, ret_added); /* without it the record counts too */
    *ret_added = PV_ROSTER_NEW;
    return PV_OK;
}

/* Cheap checks first: the form, then whether we hold it, and only then the signatures. */
static int add_one(struct pv_roster *r, struct pv_view raw, const uint8_t *hash,
                   struct pv_view receipt, bool verified, enum pv_roster_added *ret_added)
{
    struct pv_statement st;
    int status = check_form(r, raw, hash, &st);

    if (status != PV_OK)
        return status;
    struct pv_roster_item *known = pv_roster_set_find(r, st.hash, sizeof(st.hash));
    if (known != NULL)
        return merge_known(r, known, receipt, verified, ret_added);
    if (st.type == PV_ST_NETWORK)
        return PV_ERR_AUTH;
    status = verified ? PV_OK : pv_statement_verify(&st);
    if (status != PV_OK)
        return status;
    return merge_new(r, &st, receipt, verified, ret_added);
}

/* Adds the orphans whose time has come, and those that come of age through them. One for which
 * there is no memory goes on waiting: what is merged next tries it again. */
static void add_orphans(struct pv_roster *r)
{
    r->orphans_wait = false;
    for (size_t i = 0; i < r->n_orphans; i++) {
        struct pv_roster_orphan o = r->orphans[i];
        enum pv_roster_added added;
        if (o.raw == NULL || !o.ready)
            continue;
        r->orphans[i].raw = NULL; /* its place may be needed by what it leads to */
        int status = add_one(r, pv_view(o.raw, o.len), NULL, pv_view(o.raw + o.len, o.receipt_len),
                             o.verified, &added);
        if (status == PV_ERR_NOMEM && r->orphans[i].raw == NULL) {
            r->orphans[i] = o;
            r->orphans_wait = true;
            continue;
        }
        free(o.raw);
        if (status == PV_OK && added == PV_ROSTER_NEW)
            i = (size_t)-1; /* it may have woken an earlier one: look again from the start */
    }
}

/* Is it a statement of a newer version, signed by somebody who has not been removed? The state of a
 * key may be settled later, so a key that statements have named is enough. */
static bool is_newer_statement(const struct pv_roster *r, struct pv_view raw)
{
    const uint8_t *pk = pv_newer_signer(raw, pv_roster_network_id(r));
    const struct pv_roster_key *k = pk == NULL ? NULL : pv_roster_key(r, pk);

    return k != NULL && !k->revoked_node && !k->revoked_invite &&
           k->member.state != PV_MEMBER_LEFT && pv_statement_verify_newer(raw) == PV_OK;
}

static int add(struct pv_roster *r, struct pv_view statement, const uint8_t *hash,
               struct pv_view receipt, bool verified, enum pv_roster_added *ret_added)
{
    enum pv_roster_added added = PV_ROSTER_KNOWN;
    int status = add_one(r, statement, hash, receipt, verified, &added);

    /* A version that nobody has signed is as good as any other byte. */
    if (status == PV_ERR_UNSUPPORTED) {
        if (!verified && !is_newer_statement(r, statement) &&
            !pv_roster_is_newer_receipt(r, receipt))
            return PV_ERR_MALFORMED;
        r->saw_newer = true;
    }
    if (status != PV_OK)
        return status;
    if (added == PV_ROSTER_NEW || r->orphans_wait)
        add_orphans(r);
    *ret_added = added;
    return PV_OK;
}

int pv_roster_add(struct pv_roster *r, struct pv_view statement, struct pv_view receipt,
                  enum pv_roster_added *ret_added)
{
    return add(r, statement, NULL, receipt, false, ret_added);
}

int pv_roster_load(struct pv_roster *r, struct pv_view statement, const uint8_t *hash,
                   struct pv_view receipt, enum pv_roster_added *ret_added)
{
    return add(r, statement, hash, receipt, true, ret_added);
}

/* --- life ------------------------------------------------------------------------------------ */

/* The root key has both rights by itself; no admin statement could grant them. */
static int init_record(struct pv_roster *r, const struct pv_statement *st)
{
    struct pv_roster_key *root = pv_roster_get_or_add_key(r, st->signer);
    struct pv_roster_item *e = make_entry(st);

    if (root == NULL || e == NULL || pv_roster_set_reserve(r, st->hash) != PV_OK) {
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
static int new_roster(struct pv_view record, const uint8_t *expect_id, bool verified,
                      const struct pv_rng *rng, struct pv_roster **ret_roster)
{
    struct pv_statement st;
    int status = pv_statement_decode(record, &st);

    if (status != PV_OK)
        return status;
    if (st.type != PV_ST_NETWORK ||
        (expect_id != NULL && memcmp(st.network_id, expect_id, sizeof(st.network_id)) != 0))
        return PV_ERR_AUTH;
    status = verified ? PV_OK : pv_statement_verify(&st);
    if (status != PV_OK)
        return status;

    struct pv_roster *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return PV_ERR_NOMEM;
    /* Each statement brings at most a signer and a subject, and claims at most four values. Keys
     * stay when their statements are dropped, so they have a limit of their own. */
    r->next_expiry = UINT64_MAX;
    r->key_map = pv_map_make(rng, 4 * (PV_ROSTER_MAX_STATEMENTS + PV_ROSTER_RESERVE));
    r->value_map =
        pv_map_make(rng, 2 * PV_ROSTER_BIND_KINDS * (PV_ROSTER_MAX_STATEMENTS + PV_ROSTER_RESERVE));
    /* A record names a few coordinators and a statement keeps the receipt of one, so the limits of
     * statements are met first: with one met by order of arrival, rosters could decide otherwise.
     */
    r->coordinator_map = pv_map_make(rng, (PV_COORDINATORS_MAX + 1) *
                                              (2 * PV_ROSTER_MAX_STATEMENTS + PV_ROSTER_RESERVE));
    status = init_record(r, &st);
    if (status != PV_OK) {
        pv_roster_free(r);
        return status;
    }
    *ret_roster = r;
    return PV_OK;
}

int pv_roster_new(struct pv_view record, const uint8_t *expect_id, const struct pv_rng *rng,
                  struct pv_roster **ret_roster)
{
    return new_roster(record, expect_id, false, rng, ret_roster);
}

int pv_roster_new_loaded(struct pv_view record, const uint8_t *expect_id, const struct pv_rng *rng,
                         struct pv_roster **ret_roster)
{
    return new_roster(record, expect_id, true, rng, ret_roster);
}

static void free_list(struct pv_roster *r, struct pv_roster_list *list)
{
    struct pv_roster_item *e;

    while ((e = pv_roster_list_pop(list)) != NULL) {
        if (e->gone)
            pv_roster_free_item(r, e);
    }
}

/* Statements let go of values and coordinators, so they go first. */
struct pv_roster *pv_roster_free(struct pv_roster *r)
{
    if (r == NULL)
        return NULL;
    free_list(r, &r->news);
    free_list(r, &r->dropped);
    pv_roster_free_item(r, r->told_dropped);
    for (struct pv_roster_item *e = r->first, *next; e != NULL; e = next) {
        next = e->next;
        pv_roster_free_item(r, e);
    }
    struct pv_roster_key *k, *next_k;
    HASH_ITER(hh, r->keys, k, next_k) {
        PV_MAP_DEL(r->keys, k);
        for (size_t i = 0; i < PV_ROSTER_BIND_KINDS; i++)
            free(k->further[i]);
        free(k);
    }
    for (size_t i = 0; i < r->n_orphans; i++)
        free(r->orphans[i].raw);
    free(r->orphans);
    free(r->reports);
    pv_roster_set_done(r);
    pv_roster_receipts_done(r);
    free(r->by_pk);
    free(r->ends);
    free(r);
    return NULL;
}
