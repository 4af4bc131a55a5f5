/* SPDX-License-Identifier: MIT */
/*
 * roster_receipt.c - receipts: which keys may sign them, which of several counts, and when a
 * coordinator contradicts itself. A coordinator numbers its receipts, so two receipts with one
 * number, or times that run against the numbers, prove that it told different nodes different
 * things. That is reported. Nothing is dropped for it: which of two contradicting receipts is the
 * lie, nobody can tell, and a rule that drops one would let a coordinator throw members out.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/roster/roster_int.h"

enum {
    FEW_STAMPS = 32, /* ours: up to this many new receipts are put in place one by one */
    MAX_STAMPS = 2 * PV_ROSTER_MAX_STATEMENTS, /* ours: then they are forgotten; 8 MiB */
};

/* --- coordinators ----------------------------------------------------------------------------- */

static struct pv_roster_coordinator *find_coordinator(const struct pv_roster *r, const uint8_t *pk)
{
    struct pv_roster_coordinator *c;
    PV_MAP_FIND(&r->coordinator_map, r->coordinators, pk, PV_SIGN_PK_LEN, c);
    return c;
}

bool pv_roster_is_coordinator(const struct pv_roster *r, const uint8_t pk[static PV_SIGN_PK_LEN])
{
    const struct pv_roster_coordinator *c = find_coordinator(r, pk);
    return c != NULL && c->records > 0;
}

static void forget_unused(struct pv_roster *r, struct pv_roster_coordinator *c)
{
    struct pv_roster_coordinator **at = &r->stamped;

    if (c->records > 0 || c->receipts > 0)
        return;
    while (c->is_stamped && *at != c)
        at = &(*at)->next_stamped;
    if (c->is_stamped)
        *at = c->next_stamped;
    PV_MAP_DEL(r->coordinators, c);
    free(c->stamps);
    free(c);
}

static int get_or_add(struct pv_roster *r, const uint8_t *pk, struct pv_roster_coordinator **ret)
{
    struct pv_roster_coordinator *c = find_coordinator(r, pk);
    int status = PV_OK;

    if (c == NULL) {
        c = calloc(1, sizeof(*c));
        if (c == NULL)
            return PV_ERR_NOMEM;
        memcpy(c->pk, pk, sizeof(c->pk));
        PV_MAP_ADD(&r->coordinator_map, r->coordinators, pk, c, status);
        if (status != PV_OK) {
            free(c);
            return status;
        }
    }
    *ret = c;
    return PV_OK;
}

/* The worth of c's receipts has changed, and with it what rests on them. */
static void mark_receipts_of(struct pv_roster *r, const struct pv_roster_coordinator *c)
{
    r->anew.time = r->anew.time || c->dated != NULL;
    for (struct pv_roster_item *e = c->dated; e != NULL; e = e->next_dated)
        pv_roster_mark_receipt(r, e);
}

/* Takes a record out of the first n coordinators that it names. A record costs what it names,
 * however many records there are. */
static void uncount_record(struct pv_roster *r, const struct pv_roster_item *e, size_t n)
{
    struct pv_view list = e->pub.st.u.coordinators.list;
    struct pv_coordinator named;

    for (size_t i = 0; i < n && pv_coordlist_next(&list, &named); i++) {
        struct pv_roster_coordinator *c = find_coordinator(r, named.pk);
        if (--c->records == 0)
            mark_receipts_of(r, c);
        forget_unused(r, c);
    }
}

int pv_roster_add_record(struct pv_roster *r, struct pv_roster_item *e)
{
    struct pv_view list = e->pub.st.u.coordinators.list;
    struct pv_coordinator named;
    size_t n = 0;

    for (; pv_coordlist_next(&list, &named); n++) {
        struct pv_roster_coordinator *c;
        int status = get_or_add(r, named.pk, &c);
        if (status != PV_OK) {
            uncount_record(r, e, n);
            return status;
        }
        if (++c->records == 1)
            mark_receipts_of(r, c);
    }
    PV_LIST_ADD_FIRST_BY(r->records, e, prev_record, next_record);
    r->anew.records = true;
    return PV_OK;
}

/* Does record a go before b: higher seq, then lower hash? */
static bool outranks(const struct pv_roster_item *a, const struct pv_roster_item *b)
{
    uint64_t sa = a->pub.st.u.coordinators.seq, sb = b->pub.st.u.coordinators.seq;
    if (sa != sb)
        return sa > sb;
    return memcmp(a->pub.st.hash, b->pub.st.hash, PV_STATEMENT_HASH_LEN) < 0;
}

/* The first coordinator of the record tells the time: a former one, whose clock was wrong, does not
 * count any more. */
static void set_in_force(struct pv_roster *r, struct pv_roster_item *e)
{
    struct pv_view list = e == NULL ? pv_view(NULL, 0) : e->pub.st.u.coordinators.list;
    struct pv_coordinator first;

    r->in_force = e;
    r->clock = e != NULL && pv_coordlist_next(&list, &first) ? find_coordinator(r, first.pk) : NULL;
    r->anew.time = true;
}

void pv_roster_remove_record(struct pv_roster *r, struct pv_roster_item *e)
{
    uncount_record(r, e, SIZE_MAX);
    PV_LIST_DEL_BY(r->records, e, prev_record, next_record);
    if (r->in_force == e)
        set_in_force(r, NULL);
    r->anew.records = true;
}

/* Every record allows its coordinators to sign, not only the one in force: receipts of a former
 * coordinator stay good after a move. The one in force says where to connect. */
void pv_roster_settle_records(struct pv_roster *r)
{
    struct pv_roster_item *best = NULL;

    if (!r->anew.records)
        return;
    r->anew.records = false;
    for (struct pv_roster_item *e = r->records; e != NULL; e = e->next_record) {
        if (best == NULL || outranks(e, best))
            best = e;
    }
    if (best != r->in_force) {
        set_in_force(r, best);
        r->coordinators_news = true;
    }
}

/* --- receipts --------------------------------------------------------------------------------- */

int pv_roster_check_receipt(const struct pv_roster *r, struct pv_view raw, const uint8_t *hash,
                            bool verified, struct pv_roster_receipt *ret_receipt)
{
    struct pv_receipt receipt;
    int status = pv_receipt_decode(raw, &receipt);

    if (status != PV_OK)
        return status;
    if (memcmp(receipt.network_id, r->record->pub.st.network_id, PV_NETWORK_ID_LEN) != 0 ||
        memcmp(receipt.hash, hash, PV_STATEMENT_HASH_LEN) != 0)
        return PV_ERR_AUTH;
    struct pv_roster_coordinator *by = find_coordinator(r, receipt.coordinator);
    status = verified ? PV_OK : pv_receipt_verify(raw);
    if (status != PV_OK)
        return status;
    if (by == NULL)
        return PV_ERR_NOT_FOUND;
    *ret_receipt = (struct pv_roster_receipt){
        .by = by, .time = receipt.time, .epoch = receipt.epoch, .n = receipt.n};
    memcpy(ret_receipt->raw, raw.ptr, sizeof(ret_receipt->raw));
    return PV_OK;
}

bool pv_roster_is_newer_receipt(const struct pv_roster *r, struct pv_view raw)
{
    const uint8_t *pk = pv_newer_signer(raw, r->record->pub.st.network_id);

    return pk != NULL && find_coordinator(r, pk) != NULL && pv_receipt_verify_newer(raw) == PV_OK;
}

bool pv_roster_is_ordered(const struct pv_roster_receipt *receipt)
{
    return receipt != NULL && receipt->by->records > 0;
}

static int cmp_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

/* Times go first: numbers of two coordinators, and of one that lost its store, say nothing about
 * each other. Of one honest coordinator times and numbers have the same order. */
int pv_roster_cmp_receipts(const struct pv_roster_receipt *a, const struct pv_roster_receipt *b)
{
    if (a == NULL || b == NULL)
        return (a == NULL) - (b == NULL);
    int c = cmp_u64(a->time, b->time);
    if (c == 0)
        c = cmp_u64(a->epoch, b->epoch);
    if (c == 0)
        c = cmp_u64(a->n, b->n);
    if (c == 0)
        c = memcmp(a->by->pk, b->by->pk, PV_SIGN_PK_LEN);
    return c != 0 ? c : memcmp(a->raw, b->raw, sizeof(a->raw));
}

/* Could the claim count by this receipt? A receipt outside of the window is kept only where there
 * is none inside, so that a later lie of the coordinator cannot take membership away. */
static bool is_usable(const struct pv_roster_item *e, const struct pv_roster_receipt *receipt)
{
    if (e->pub.st.type != PV_ST_MEMBER || !pv_roster_needs_receipt(e->signer, PV_ST_MEMBER))
        return true;
    for (const struct pv_roster_item *i = e->signer->about; i != NULL; i = i->next_about) {
        if (i->pub.st.type == PV_ST_INVITE &&
            pv_roster_in_window(&i->pub.st.u.invite, receipt->time))
            return true;
    }
    return false;
}

bool pv_roster_prefers(const struct pv_roster_item *e, const struct pv_roster_receipt *receipt)
{
    if (e->receipt == NULL)
        return true;
    bool usable = is_usable(e, receipt), usable_now = is_usable(e, e->receipt);
    if (usable != usable_now)
        return usable;
    bool ordered = pv_roster_is_ordered(receipt), ordered_now = pv_roster_is_ordered(e->receipt);
    if (ordered != ordered_now)
        return ordered;
    return pv_roster_cmp_receipts(receipt, e->receipt) < 0;
}

bool pv_roster_wants_receipt(const struct pv_roster *r,
                             const uint8_t hash[static PV_STATEMENT_HASH_LEN],
                             struct pv_view receipt)
{
    const struct pv_roster_item *e = pv_roster_set_find(r, hash, PV_STATEMENT_HASH_LEN);
    struct pv_roster_receipt parsed;

    return e != NULL && receipt.len > 0 && !pv_view_equal(receipt, e->pub.receipt) &&
           pv_roster_check_receipt(r, receipt, hash, true, &parsed) == PV_OK &&
           pv_roster_prefers(e, &parsed);
}

/* Not that of a card: two rosters with other cards and the same statements decide alike. */
void pv_roster_count_time(struct pv_roster *r, const struct pv_roster_item *e, bool comes)
{
    if (!e->listed || pv_st_does(&e->pub.st, PV_DOES_SHOW) || !pv_roster_is_ordered(e->receipt) ||
        e->receipt->by != r->clock || e->receipt->time < r->time)
        return;
    if (!comes) {
        r->n_latest -= r->n_latest > 0 ? 1 : 0;
        r->anew.time = r->anew.time || r->n_latest == 0;
        return;
    }
    r->n_latest = e->receipt->time > r->time ? 1 : r->n_latest + 1;
    r->time = e->receipt->time;
}

/* Notes the receipt's place for pv_roster_find_breaks(). Without memory one place is missing, and
 * perhaps a report. */
static void note_stamp(struct pv_roster *r, struct pv_roster_coordinator *c,
                       const struct pv_roster_receipt *receipt, const uint8_t *hash)
{
    if (!c->is_stamped) {
        c->is_stamped = true;
        c->next_stamped = r->stamped;
        r->stamped = c;
    }
    if (c->n >= MAX_STAMPS)
        c->n = c->n_sorted = 0;
    void *stamps = pv_vec_room(c->stamps, c->n, &c->cap, 16, sizeof(c->stamps[0]));
    if (stamps == NULL)
        return;
    c->stamps = stamps;
    struct pv_roster_stamp *s = &c->stamps[c->n++];
    *s = (struct pv_roster_stamp){.epoch = receipt->epoch, .n = receipt->n, .time = receipt->time};
    memcpy(&s->mark, hash, sizeof(s->mark));
}

/* Each coordinator knows its statements: what depends on it costs what it said, and not the
 * network. */
static void link_dated(struct pv_roster_item *e)
{
    struct pv_roster_coordinator *c = e->receipt->by;

    PV_LIST_ADD_FIRST_BY(c->dated, e, prev_dated, next_dated);
    c->receipts++;
}

static void unlink_dated(struct pv_roster_item *e)
{
    struct pv_roster_coordinator *c = e->receipt->by;

    PV_LIST_DEL_BY(c->dated, e, prev_dated, next_dated);
    c->receipts--;
}

int pv_roster_give_receipt(struct pv_roster *r, struct pv_roster_item *e,
                           const struct pv_roster_receipt *receipt)
{
    if (e->receipt == NULL) {
        e->receipt = calloc(1, sizeof(*e->receipt));
        if (e->receipt == NULL)
            return PV_ERR_NOMEM;
    } else {
        pv_roster_count_time(r, e, false);
        unlink_dated(e);
    }
    /* In place: the owner may hold a view of it. */
    *e->receipt = *receipt;
    link_dated(e);
    pv_roster_count_time(r, e, true);
    e->pub.receipt = pv_view(e->receipt->raw, sizeof(e->receipt->raw));
    note_stamp(r, receipt->by, receipt, e->pub.st.hash);
    return PV_OK;
}

void pv_roster_drop_receipt(struct pv_roster *r, struct pv_roster_item *e)
{
    if (e->receipt == NULL)
        return;
    unlink_dated(e);
    forget_unused(r, e->receipt->by);
    free(e->receipt);
    e->receipt = NULL;
    e->pub.receipt = pv_view(NULL, 0);
}

/* --- contradictions --------------------------------------------------------------------------- */

static int cmp_stamps(const void *a, const void *b)
{
    const struct pv_roster_stamp *x = a, *y = b;
    int c = cmp_u64(x->epoch, y->epoch);

    if (c == 0)
        c = cmp_u64(x->n, y->n);
    if (c == 0)
        c = cmp_u64(x->time, y->time);
    return c != 0 ? c : cmp_u64(x->mark, y->mark);
}

static void report_break(struct pv_roster *r, const struct pv_roster_coordinator *c,
                         const struct pv_roster_stamp *s, const char *what)
{
    pv_roster_report(r, PV_ROSTER_EV_BREAK, NULL,
                     "coordinator %s contradicts itself: it %s (epoch %llu, number %llu)",
                     PV_KEY_STR(c->pk), what, (unsigned long long)s->epoch,
                     (unsigned long long)s->n);
}

/* a comes directly before b in the order. */
static void compare_stamps(struct pv_roster *r, const struct pv_roster_coordinator *c,
                           const struct pv_roster_stamp *a, const struct pv_roster_stamp *b)
{
    if (a->epoch == b->epoch && a->n == b->n && (a->mark != b->mark || a->time != b->time))
        report_break(r, c, b, "gave one number twice");
    else if (a->time > b->time)
        report_break(r, c, b,
                     "dated a receipt before an earlier one, as if its clock was set back");
}

/* Puts one new stamp in its place, and compares it with its neighbours. */
static void place_stamp(struct pv_roster *r, struct pv_roster_coordinator *c)
{
    struct pv_roster_stamp s = c->stamps[c->n_sorted];
    size_t i = 0, hi = c->n_sorted;

    while (i < hi) {
        size_t mid = i + (hi - i) / 2;
        if (cmp_stamps(&c->stamps[mid], &s) <= 0)
            i = mid + 1;
        else
            hi = mid;
    }
    if (i > 0 && cmp_stamps(&c->stamps[i - 1], &s) == 0) {
        /* The same again, as after a restart of whoever brought it: it takes no place. */
        c->stamps[c->n_sorted] = c->stamps[--c->n];
        return;
    }
    memmove(c->stamps + i + 1, c->stamps + i, (c->n_sorted - i) * sizeof(s));
    c->stamps[i] = s;
    c->n_sorted++;
    if (i > 0)
        compare_stamps(r, c, &c->stamps[i - 1], &c->stamps[i]);
    if (i + 1 < c->n_sorted)
        compare_stamps(r, c, &c->stamps[i], &c->stamps[i + 1]);
}

/* Many new ones, as after a start: sorted at once. */
static void sort_stamps(struct pv_roster *r, struct pv_roster_coordinator *c)
{
    qsort(c->stamps, c->n, sizeof(*c->stamps), cmp_stamps);
    c->n_sorted = c->n;
    for (size_t i = 1; i < c->n; i++)
        compare_stamps(r, c, &c->stamps[i - 1], &c->stamps[i]);
}

void pv_roster_find_breaks(struct pv_roster *r)
{
    while (r->stamped != NULL) {
        struct pv_roster_coordinator *c = r->stamped;
        r->stamped = c->next_stamped;
        c->is_stamped = false;
        if (c->n - c->n_sorted > FEW_STAMPS)
            sort_stamps(r, c);
        while (c->n_sorted < c->n)
            place_stamp(r, c);
    }
}

void pv_roster_receipts_done(struct pv_roster *r)
{
    struct pv_roster_coordinator *c, *next;

    HASH_ITER(hh, r->coordinators, c, next) {
        PV_MAP_DEL(r->coordinators, c);
        free(c->stamps);
        free(c);
    }
}
