/* SPDX-License-Identifier: MIT */
/*
 * roster_receipt.c - receipts: which keys may sign them, and that no coordinator contradicts
 * itself. A coordinator numbers its receipts, so two receipts with one number, or times that run
 * against the numbers, prove that it told different nodes different things. Such a receipt is
 * dropped and reported: it is the one lie that a coordinator could tell unnoticed.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/roster/roster_int.h"

/* Index of a coordinator; r->n_coordinators when it stands in no record. */
static size_t coordinator_index(const struct pv_roster *r, const uint8_t *pk)
{
    size_t i = 0;

    while (i < r->n_coordinators && memcmp(r->coordinators[i].pk, pk, PV_SIGN_PK_LEN) != 0)
        i++;
    return i;
}

bool pv_roster_is_coordinator(const struct pv_roster *r, const uint8_t pk[static PV_SIGN_PK_LEN])
{
    size_t i = coordinator_index(r, pk);
    return i < r->n_coordinators && r->coordinators[i].allowed;
}

/* Does record a go before b: higher seq, then lower hash? */
static bool outranks(const struct pv_roster_item *a, const struct pv_roster_item *b)
{
    uint64_t sa = a->pub.st.u.coordinators.seq, sb = b->pub.st.u.coordinators.seq;
    if (sa != sb)
        return sa > sb;
    return memcmp(a->pub.st.hash, b->pub.st.hash, PV_STATEMENT_HASH_LEN) < 0;
}

/* Every record of an unrevoked signer allows its coordinators to sign, not only the one in force:
 * receipts of a former coordinator stay good after a move. The one in force says where to
 * connect. */
void pv_roster_count_coordinators(struct pv_roster *r)
{
    struct pv_roster_item *best = NULL;

    for (size_t i = 0; i < r->n_coordinators; i++)
        r->coordinators[i].allowed = false;
    for (struct pv_roster_item *e = r->records; e != NULL; e = e->next_about) {
        struct pv_view list = e->pub.st.u.coordinators.list;
        struct pv_coordinator c;

        if (e->signer->revoked_node)
            continue;
        while (pv_coordlist_next(&list, &c)) {
            size_t i = coordinator_index(r, c.pk);
            if (i == ROSTER_MAX_COORDINATORS)
                continue;
            memcpy(r->coordinators[i].pk, c.pk, PV_SIGN_PK_LEN);
            r->coordinators[i].allowed = true;
            if (i == r->n_coordinators)
                r->n_coordinators++;
        }
        if (best == NULL || outranks(e, best))
            best = e;
    }
    if (best != r->in_force) {
        r->in_force = best;
        r->coordinators_news = true;
    }
}

int pv_roster_check_receipt(const struct pv_roster *r, struct pv_view raw, const uint8_t *hash,
                            struct pv_receipt *ret_receipt)
{
    struct pv_receipt receipt;
    int status = pv_receipt_decode(raw, &receipt);

    if (status != PV_OK)
        return status;
    if (memcmp(receipt.network_id, pv_roster_network_id(r), PV_NETWORK_ID_LEN) != 0 ||
        memcmp(receipt.hash, hash, PV_STATEMENT_HASH_LEN) != 0)
        return PV_ERR_AUTH;
    status = pv_receipt_verify(raw);
    if (status != PV_OK)
        return status;
    if (!pv_roster_is_coordinator(r, receipt.coordinator))
        return PV_ERR_NOT_FOUND;
    *ret_receipt = receipt;
    return PV_OK;
}

/* Position of the first receipt that is not below this one. */
static size_t receipt_position(const struct pv_roster_coordinator *c,
                               const struct pv_receipt *receipt)
{
    size_t lo = 0, hi = c->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (pv_receipt_cmp(&c->order[mid]->r, receipt) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Says what is wrong with a receipt at position i of the order; NULL when it fits. */
static const char *find_contradiction(const struct pv_roster_coordinator *c, size_t i,
                                      const struct pv_receipt *rc)
{
    if (i < c->n && pv_receipt_cmp(&c->order[i]->r, rc) == 0)
        return "gave one number twice";
    if (i > 0 && c->order[i - 1]->r.time > rc->time)
        return "dated a receipt before an earlier one";
    if (i < c->n && c->order[i]->r.time < rc->time)
        return "dated a receipt after a later one";
    return NULL;
}

/* The same receipt is shared by all who hold it; nothing is changed before all memory is there. */
int pv_roster_place_receipt(struct pv_roster *r, const struct pv_receipt *receipt,
                            struct pv_view raw, struct pv_roster_receipt **ret_placed)
{
    size_t index = coordinator_index(r, receipt->coordinator);
    if (index == r->n_coordinators)
        return PV_ERR_REFUSED;
    struct pv_roster_coordinator *c = &r->coordinators[index];
    size_t i = receipt_position(c, receipt);
    if (i < c->n && memcmp(c->order[i]->raw, raw.ptr, PV_RECEIPT_LEN) == 0) {
        *ret_placed = c->order[i];
        return PV_OK;
    }
    const char *wrong = find_contradiction(c, i, receipt);
    if (wrong != NULL) {
        char who[PV_KEY_TEXT_BUF];
        pv_roster_report(r, PV_ROSTER_EV_BREAK, NULL,
                         "coordinator %s contradicts itself: it %s (epoch %llu, number %llu)",
                         pv_key_format(c->pk, who), wrong, (unsigned long long)receipt->epoch,
                         (unsigned long long)receipt->n);
        return PV_ERR_REFUSED;
    }
    if (c->n == c->cap) {
        size_t cap = c->cap == 0 ? 16 : c->cap * 2;
        struct pv_roster_receipt **order =
            realloc(c->order, cap * sizeof(struct pv_roster_receipt *));
        if (order == NULL)
            return PV_ERR_NOMEM;
        c->order = order;
        c->cap = cap;
    }
    struct pv_roster_receipt *placed = malloc(sizeof(*placed));
    if (placed == NULL)
        return PV_ERR_NOMEM;
    placed->r = *receipt;
    memcpy(placed->raw, raw.ptr, sizeof(placed->raw));
    memmove(c->order + i + 1, c->order + i, (c->n - i) * sizeof(struct pv_roster_receipt *));
    c->order[i] = placed;
    c->n++;
    *ret_placed = placed;
    return PV_OK;
}

void pv_roster_receipts_done(struct pv_roster *r)
{
    for (size_t i = 0; i < r->n_coordinators; i++) {
        for (size_t j = 0; j < r->coordinators[i].n; j++)
            free(r->coordinators[i].order[j]);
        free(r->coordinators[i].order);
    }
}
