/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/qsbr.h"
#include "tests/unit/test_util.h"

static unsigned freed;

static void count_free(void *object)
{
    freed++;
    free(object);
}

static int *publish(struct pv_qsbr *q, int value)
{
    int *object = malloc(sizeof(*object));
    assert_non_null(object);
    *object = value;
    assert_ok(pv_qsbr_publish(q, object, count_free));
    return object;
}

PV_TEST(an_object_lives_while_a_worker_may_hold_it)
{
    struct pv_qsbr *q;
    freed = 0;
    assert_ok(pv_qsbr_new(&q, 2));
    assert_null(pv_qsbr_online(q, 0));
    pv_qsbr_offline(q, 0);
    int *first = publish(q, 1);
    assert_ptr_equal(pv_qsbr_online(q, 0), first);
    int *second = publish(q, 2);
    assert_true(pv_qsbr_reclaim(q) > 0);
    assert_int_equal(freed, 0);
    assert_ptr_equal(pv_qsbr_online(q, 1), second); /* a late worker does not hold the first */
    assert_true(pv_qsbr_reclaim(q) > 0);
    assert_int_equal(*first, 1);
    assert_ptr_equal(pv_qsbr_online(q, 0), second); /* a quiescent point */
    assert_int_equal(pv_qsbr_reclaim(q), 0);
    assert_int_equal(freed, 1);
    publish(q, 3);
    pv_qsbr_offline(q, 0);
    assert_int_equal(pv_qsbr_reclaim(q), 1);
    pv_qsbr_offline(q, 1);
    assert_int_equal(pv_qsbr_reclaim(q), 0);
    assert_int_equal(freed, 2);
    q = pv_qsbr_free(q);
    assert_int_equal(freed, 3);
    assert_null(pv_qsbr_free(q));
}

PV_TEST(freeing_takes_what_still_waits)
{
    struct pv_qsbr *q;
    freed = 0;
    assert_int_equal(pv_qsbr_new(&q, PV_QSBR_MAX_WORKERS + 1), PV_ERR_LIMIT);
    assert_ok(pv_qsbr_new(&q, 1));
    for (int i = 0; i < 10; i++)
        publish(q, i);
    pv_qsbr_free(q);
    assert_int_equal(freed, 10);
}

/* A snapshot whose two halves must agree; the poison makes a use after free visible without
 * sanitizers too. */
struct snap {
    uint64_t a, b;
};

struct shared {
    struct pv_qsbr *q;
    _Atomic bool stop;
    _Atomic unsigned next_worker;
    _Atomic uint64_t reads;
};

static void free_snap(void *object)
{
    struct snap *s = object;
    s->a = 1;
    s->b = 2;
    free(s);
}

static void *read_snapshots(void *arg)
{
    struct shared *sh = arg;
    unsigned me = atomic_fetch_add(&sh->next_worker, 1);
    uint64_t newest = 0, reads = 0;

    while (!atomic_load_explicit(&sh->stop, memory_order_relaxed) || reads == 0) {
        const struct snap *s = pv_qsbr_online(sh->q, me);
        for (int i = 0; i < 20; i++) {
            if (s->a != ~s->b || s->a < newest)
                abort();
        }
        newest = s->a;
        reads++;
        if (reads % 16 == 0) {
            pv_qsbr_offline(sh->q, me);
            sched_yield();
        }
    }
    pv_qsbr_offline(sh->q, me);
    atomic_fetch_add(&sh->reads, reads);
    return NULL;
}

PV_TEST(workers_never_see_a_freed_or_torn_snapshot)
{
    enum {
        WORKERS = 3
    };
    struct shared sh = {.q = NULL};
    pthread_t threads[WORKERS];
    assert_ok(pv_qsbr_new(&sh.q, WORKERS));
    for (uint64_t i = 1; i <= 20000; i++) {
        struct snap *s = malloc(sizeof(*s));
        assert_non_null(s);
        s->a = i;
        s->b = ~i;
        assert_ok(pv_qsbr_publish(sh.q, s, free_snap));
        (void)pv_qsbr_reclaim(sh.q);
        if (i == 1) {
            for (int k = 0; k < WORKERS; k++)
                assert_int_equal(pthread_create(&threads[k], NULL, read_snapshots, &sh), 0);
        }
    }
    atomic_store(&sh.stop, true);
    for (int k = 0; k < WORKERS; k++)
        pthread_join(threads[k], NULL);
    assert_int_equal(pv_qsbr_reclaim(sh.q), 0);
    assert_true(atomic_load(&sh.reads) >= WORKERS);
    pv_qsbr_free(sh.q);
}
