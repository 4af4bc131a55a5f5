/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <semaphore.h>

#include "sys/proc/worker.h"
#include "tests/unit/test_util.h"

struct world {
    sem_t gate; /* one post lets one run() go */
    size_t batches[16];
    size_t n_batches;
};

static void run(void *ctx, void *const *items, size_t n)
{
    struct world *w = ctx;
    while (sem_wait(&w->gate) != 0) {
    }
    w->batches[w->n_batches++] = n;
    for (size_t i = 0; i < n; i++)
        ++*(int *)items[i];
}

static void *take(struct pv_worker *w)
{
    void *item = NULL;
    while (pv_worker_take(w, &item) == PV_ERR_AGAIN) {
        struct pollfd p = {.fd = pv_worker_fd(w), .events = POLLIN};
        assert_int_equal(poll(&p, 1, 10000), 1);
    }
    return item;
}

static struct pv_worker *start(struct world *world, size_t limit, size_t batch)
{
    struct pv_worker_config cfg = {
        .name = "test", .threads = 1, .limit = limit, .batch = batch, .run = run, .ctx = world};
    struct pv_worker *w = NULL;
    sem_init(&world->gate, 0, 0);
    assert_int_equal(pv_worker_new(&w, &cfg), PV_OK);
    return w;
}

static void items_come_back_in_order_with_their_result(void **state)
{
    (void)state;
    struct world world = {0};
    struct pv_worker *w = start(&world, 8, 1);
    int items[5] = {0};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(pv_worker_submit(w, &items[i]), PV_OK);
        sem_post(&world.gate);
    }
    for (size_t i = 0; i < 5; i++) {
        assert_ptr_equal(take(w), &items[i]);
        assert_int_equal(items[i], 1);
    }
    struct pollfd p = {.fd = pv_worker_fd(w), .events = POLLIN};
    void *none = NULL;
    assert_int_equal(pv_worker_take(w, &none), PV_ERR_AGAIN);
    assert_int_equal(poll(&p, 1, 0), 0); /* quiet once everything is taken */
    pv_worker_finish(w);
    pv_worker_free(w);
}

static void what_waits_is_run_as_one_batch(void **state)
{
    (void)state;
    struct world world = {0};
    struct pv_worker *w = start(&world, 32, 8);
    int items[20] = {0};
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(pv_worker_submit(w, &items[i]), PV_OK);
    for (int i = 0; i < 20; i++)
        sem_post(&world.gate);
    for (size_t i = 0; i < 20; i++)
        assert_ptr_equal(take(w), &items[i]);
    assert_true(world.n_batches < 20);
    for (size_t i = 0; i < world.n_batches; i++)
        assert_true(world.batches[i] <= 8);
    pv_worker_finish(w);
    pv_worker_free(w);
}

static void the_limit_counts_until_items_are_taken(void **state)
{
    (void)state;
    struct world world = {0};
    struct pv_worker *w = start(&world, 2, 1);
    int items[3] = {0};
    assert_int_equal(pv_worker_submit(w, &items[0]), PV_OK);
    assert_int_equal(pv_worker_submit(w, &items[1]), PV_OK);
    assert_int_equal(pv_worker_submit(w, &items[2]), PV_ERR_LIMIT);
    sem_post(&world.gate);
    assert_ptr_equal(take(w), &items[0]);
    assert_int_equal(pv_worker_submit(w, &items[2]), PV_OK);
    sem_post(&world.gate);
    sem_post(&world.gate);
    pv_worker_finish(w); /* runs what is queued */
    assert_int_equal(items[1] + items[2], 2);
    assert_ptr_equal(take(w), &items[1]);
    assert_ptr_equal(take(w), &items[2]);
    pv_worker_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_back_in_order_with_their_result),
        cmocka_unit_test(what_waits_is_run_as_one_batch),
        cmocka_unit_test(the_limit_counts_until_items_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
