/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <semaphore.h>

#include "sys/proc/worker.h"
#include "tests/unit/test_util.h"

enum {
    ITEMS = 20,
};

/* Static, since the thread may outlive the body of a test that fails. */
static struct world {
    int items[ITEMS];
    sem_t gate; /* one post lets one run() go */
    size_t batches[16];
    size_t n_batches;
} world;

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

static void open_gate(unsigned n)
{
    while (n-- > 0)
        sem_post(&world.gate);
}

static void stop(void *worker)
{
    open_gate(ITEMS);
    pv_worker_finish(worker);
    pv_worker_free(worker);
    sem_destroy(&world.gate);
}

static struct pv_worker *start(size_t limit, size_t batch)
{
    struct pv_worker_config cfg = {
        .name = "test", .threads = 1, .limit = limit, .batch = batch, .run = run, .ctx = &world};
    struct pv_worker *w = NULL;
    memset(&world, 0, sizeof(world));
    sem_init(&world.gate, 0, 0);
    assert_ok(pv_worker_new(&w, &cfg));
    test_defer(stop, w);
    return w;
}

PV_TEST(items_come_back_in_order_with_their_result)
{
    struct pv_worker *w = start(8, 1);
    for (size_t i = 0; i < 5; i++) {
        assert_ok(pv_worker_submit(w, &world.items[i]));
        open_gate(1);
    }
    for (size_t i = 0; i < 5; i++) {
        assert_ptr_equal(take(w), &world.items[i]);
        assert_int_equal(world.items[i], 1);
    }
    struct pollfd p = {.fd = pv_worker_fd(w), .events = POLLIN};
    void *none = NULL;
    assert_int_equal(pv_worker_take(w, &none), PV_ERR_AGAIN);
    assert_int_equal(poll(&p, 1, 0), 0); /* quiet once everything is taken */
}

PV_TEST(waiting_work_is_run_as_one_batch)
{
    struct pv_worker *w = start(32, 8);
    for (size_t i = 0; i < 20; i++)
        assert_ok(pv_worker_submit(w, &world.items[i]));
    open_gate(20);
    for (size_t i = 0; i < 20; i++)
        assert_ptr_equal(take(w), &world.items[i]);
    assert_true(world.n_batches < 20);
    for (size_t i = 0; i < world.n_batches; i++)
        assert_true(world.batches[i] <= 8);
}

PV_TEST(the_limit_counts_until_items_are_taken)
{
    struct pv_worker *w = start(2, 1);
    assert_ok(pv_worker_submit(w, &world.items[0]));
    assert_ok(pv_worker_submit(w, &world.items[1]));
    assert_int_equal(pv_worker_submit(w, &world.items[2]), PV_ERR_LIMIT);
    open_gate(1);
    assert_ptr_equal(take(w), &world.items[0]);
    assert_ok(pv_worker_submit(w, &world.items[2]));
    open_gate(2);
    pv_worker_finish(w); /* runs what is queued */
    assert_int_equal(world.items[1] + world.items[2], 2);
    assert_ptr_equal(take(w), &world.items[1]);
    assert_ptr_equal(take(w), &world.items[2]);
}
