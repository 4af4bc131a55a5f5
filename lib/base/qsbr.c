/* SPDX-License-Identifier: MIT */
/*
 * qsbr.c - quiescent-state based reclamation: when may an old snapshot be freed? Workers announce
 * at the top of their loop which epoch they have seen and hold no pointer from before it; an object
 * is freed once every worker is past the epoch in which it was replaced. Readers pay one store and
 * no lock.
 */
#include "base/qsbr.h"

#include <stdatomic.h>
#include <stdlib.h>

/* One worker's word, alone on its cache line: the epoch it has seen, 0 = offline. */
struct qsbr_worker {
    _Alignas(64) _Atomic uint64_t epoch;
};

struct qsbr_retired {
    void *object;
    void (*free_fn)(void *object);
    uint64_t epoch; /* free when every worker is offline or has seen this epoch */
    struct qsbr_retired *next;
};

struct pv_qsbr {
    _Alignas(64) _Atomic uint64_t epoch; /* starts at 1; written by the writer */
    _Atomic(void *) current;             /* written by the writer */
    void (*current_free)(void *object);  /* writer only */
    struct qsbr_retired *oldest;         /* writer only: waiting, oldest first */
    struct qsbr_retired *newest;
    unsigned n_workers;
    struct qsbr_worker workers[];
};

int pv_qsbr_new(struct pv_qsbr **ret_qsbr, unsigned workers)
{
    if (workers > PV_QSBR_MAX_WORKERS)
        return PV_ERR_LIMIT;
    struct pv_qsbr *q = aligned_alloc(64, sizeof(*q) + workers * sizeof(q->workers[0]));
    if (q == NULL)
        return PV_ERR_NOMEM;
    atomic_init(&q->epoch, 1);
    atomic_init(&q->current, NULL);
    q->current_free = NULL;
    q->oldest = q->newest = NULL;
    q->n_workers = workers;
    for (unsigned i = 0; i < workers; i++)
        atomic_init(&q->workers[i].epoch, 0);
    *ret_qsbr = q;
    return PV_OK;
}

static void free_retired(struct qsbr_retired *r)
{
    if (r->object != NULL && r->free_fn != NULL)
        r->free_fn(r->object);
    free(r);
}

struct pv_qsbr *pv_qsbr_free(struct pv_qsbr *q)
{
    if (q == NULL)
        return NULL;
    for (struct qsbr_retired *r = q->oldest, *next; r != NULL; r = next) {
        next = r->next;
        free_retired(r);
    }
    void *object = atomic_load_explicit(&q->current, memory_order_relaxed);
    if (object != NULL && q->current_free != NULL)
        q->current_free(object);
    free(q);
    return NULL;
}

/*
 * The pair "store own epoch, load current" here against "store current, load epochs" in publish
 * and reclaim is store-load: all four are sequentially consistent, acquire and release would not
 * do. The epoch itself is loaded with acquire, so that whoever has seen epoch t sees the object
 * published with it.
 */
const void *pv_qsbr_online(struct pv_qsbr *q, unsigned worker)
{
    uint64_t epoch = atomic_load_explicit(&q->epoch, memory_order_acquire);
    (void)atomic_exchange_explicit(&q->workers[worker].epoch, epoch, memory_order_seq_cst);
    return atomic_load_explicit(&q->current, memory_order_seq_cst);
}

/* A worker that sleeps would hold up reclamation for ever, so it says that it holds nothing. */
void pv_qsbr_offline(struct pv_qsbr *q, unsigned worker)
{
    atomic_store_explicit(&q->workers[worker].epoch, 0, memory_order_release);
}

/* The record for the old object is allocated first: after the exchange nothing may fail, because
 * workers use the new object already. */
int pv_qsbr_publish(struct pv_qsbr *q, void *object, void (*free_fn)(void *object))
{
    struct qsbr_retired *r = malloc(sizeof(*r));
    if (r == NULL)
        return PV_ERR_NOMEM;
    r->object = atomic_exchange_explicit(&q->current, object, memory_order_seq_cst);
    r->epoch = atomic_fetch_add_explicit(&q->epoch, 1, memory_order_seq_cst) + 1;
    r->free_fn = q->current_free;
    r->next = NULL;
    q->current_free = free_fn;
    if (q->newest == NULL)
        q->oldest = r;
    else
        q->newest->next = r;
    q->newest = r;
    return PV_OK;
}

/* The epoch that every online worker has seen; UINT64_MAX when none is online. */
static uint64_t seen_by_all(struct pv_qsbr *q)
{
    uint64_t seen = UINT64_MAX;
    for (unsigned i = 0; i < q->n_workers; i++) {
        uint64_t e = atomic_load_explicit(&q->workers[i].epoch, memory_order_seq_cst);
        if (e != 0 && e < seen)
            seen = e;
    }
    return seen;
}

/* Oldest first, up to the first that somebody may still see; returns how many wait. */
size_t pv_qsbr_reclaim(struct pv_qsbr *q)
{
    uint64_t seen = seen_by_all(q);
    size_t waiting = 0;

    while (q->oldest != NULL && q->oldest->epoch <= seen) {
        struct qsbr_retired *r = q->oldest;
        q->oldest = r->next;
        if (q->oldest == NULL)
            q->newest = NULL;
        free_retired(r);
    }
    for (const struct qsbr_retired *r = q->oldest; r != NULL; r = r->next)
        waiting++;
    return waiting;
}
