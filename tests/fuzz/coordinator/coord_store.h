/* SPDX-License-Identifier: MIT */
/*
 * coord_store.h - the store of fuzz_coord: keeps copies, takes everything else as stored, and says
 * of homes what the input chose. Operations may wait, and be answered in any order.
 */
#pragma once

#include "coordinator/core/coord.h"
#include "coordinator/core/member/home.h"
#include "tests/fuzz/coordinator/coord_signed.h"
#include "tests/unit/coordinator/core/copies_mem.h"

enum {
    STORE_WAITING = 32
};

struct store {
    bool fails, slow;
    int register_says;            /* of an invite's uses */
    enum pv_home_verdict says;    /* whose a network is */
    bool without_rows, elsewhere; /* TAKE: none are stored; another coordinator had it */
    int64_t fence;
    struct copymem copies;
    struct pv_storeop *waiting[STORE_WAITING];
    size_t n_waiting;
};

static inline struct pv_storeop *store_rows(void)
{
    struct pv_storeop *op = NULL;
    size_t bytes = 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(once.rows); i++)
        bytes += once.rows[i].statement.len + once.rows[i].receipt.len;
    must(pv_storeop_new(PV_STOREOP_PUT, PV_ARRAY_LEN(once.rows), bytes, &op) == PV_OK);
    for (size_t i = 0; i < PV_ARRAY_LEN(once.rows); i++)
        must(pv_storeop_add(op, &once.rows[i]) == PV_OK);
    return op;
}

static inline struct pv_home_answer *store_home(struct store *s, const struct pv_storeop *op)
{
    static const char there[] = "b.example:3478 192.0.2.77:3478";
    struct pv_home_answer *a = calloc(1, sizeof(*a));
    must(a != NULL);
    a->verdict = s->says;
    if (op->kind == PV_STOREOP_LEAVE && s->says == PV_HOME_TAKE)
        a->verdict = op->idle ? PV_HOME_NONE : PV_HOME_THERE; /* what it asks for */
    a->was_elsewhere = s->elsewhere;
    if (a->verdict == PV_HOME_THERE && !s->without_rows)
        pv_home_set_addrs(a, pv_view(there, sizeof(there) - 1));
    if (a->verdict != PV_HOME_TAKE)
        return a;
    a->fence = ++s->fence;
    a->epoch = 1 + (uint64_t)a->fence;
    if (!s->without_rows &&
        memcmp(op->copy.network, once.created.network_id, PV_NETWORK_ID_LEN) == 0)
        a->rows = store_rows();
    return a;
}

/* Answers one operation, and frees it. */
static inline void store_answer(struct store *s, struct pv_coord *coord, struct pv_storeop *op,
                                pv_ns now)
{
    struct pv_storeop_result res = {.id = op->id, .status = s->fails ? -28 : PV_OK};
    if (!s->fails && !copymem_run(&s->copies, op, &res)) {
        if (op->kind == PV_STOREOP_REGISTER)
            res.status = s->register_says;
        if (res.status == PV_ERR_EXISTS)
            memcpy(res.existing, once.rows[3].hash, sizeof(res.existing));
        if (op->kind == PV_STOREOP_PUT && op->fresh)
            res.fence = ++s->fence;
        if (op->kind == PV_STOREOP_HOME || op->kind == PV_STOREOP_LEAVE)
            res.home = store_home(s, op);
    }
    pv_coord_handle_job(coord, &res, now);
    pv_home_answer_free(res.home);
    free(res.collected);
    pv_storeop_free(op);
}

/* An operation of the coordinator's. A store that is slow keeps it for store_wake(). */
static inline void store_take(struct store *s, struct pv_coord *coord, struct pv_storeop *op,
                              pv_ns now)
{
    if (s->slow && s->n_waiting < STORE_WAITING)
        s->waiting[s->n_waiting++] = op;
    else
        store_answer(s, coord, op, now);
}

/* Answers one that waits, the oldest for 0. False: none does. */
static inline bool store_wake(struct store *s, struct pv_coord *coord, size_t which, pv_ns now)
{
    if (s->n_waiting == 0)
        return false;
    which %= s->n_waiting;
    struct pv_storeop *op = s->waiting[which];
    memmove(s->waiting + which, s->waiting + which + 1,
            (--s->n_waiting - which) * sizeof(s->waiting[0]));
    store_answer(s, coord, op, now);
    return true;
}

/* Waiting operations are never answered. */
static inline void store_done(struct store *s)
{
    while (s->n_waiting > 0)
        pv_storeop_free(s->waiting[--s->n_waiting]);
    copymem_done(&s->copies);
}
