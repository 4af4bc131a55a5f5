/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <sched.h>

#include "base/ring.h"
#include "tests/unit/test_util.h"

PV_TEST(records_come_out_as_they_went_in)
{
    struct pv_ring *ring;
    struct pv_view v;
    bool was_empty;
    assert_ok(pv_ring_new(&ring, 1));
    assert_int_equal(pv_ring_peek(ring, &v), PV_ERR_AGAIN);
    assert_ok(pv_ring_push(ring, pv_view("head", 4), pv_view("body", 4), &was_empty));
    assert_true(was_empty);
    assert_ok(pv_ring_push(ring, pv_view(NULL, 0), pv_view(NULL, 0), &was_empty));
    assert_false(was_empty);
    assert_ok(pv_ring_peek(ring, &v));
    assert_int_equal((uintptr_t)v.ptr % 8, 0);
    assert_true(pv_view_equal(v, pv_view("headbody", 8)));
    pv_ring_pop(ring);
    assert_ok(pv_ring_peek(ring, &v));
    assert_int_equal(v.len, 0);
    pv_ring_pop(ring);
    assert_int_equal(pv_ring_peek(ring, &v), PV_ERR_AGAIN);
    assert_ok(pv_ring_push(ring, pv_view("x", 1), pv_view(NULL, 0), &was_empty));
    assert_true(was_empty);
    ring = pv_ring_free(ring);
    assert_null(pv_ring_free(ring));
}

PV_TEST(sizes_beyond_the_limits_are_refused)
{
    static uint8_t big[8192];
    struct pv_ring *ring;
    bool unused;
    assert_int_equal(pv_ring_new(&ring, ((size_t)64 << 20) + 1), PV_ERR_LIMIT);
    assert_ok(pv_ring_new(&ring, 4096));
    assert_int_equal(pv_ring_push(ring, pv_view(big, 2041), pv_view(NULL, 0), &unused),
                     PV_ERR_LIMIT);
    assert_int_equal(pv_ring_push(ring, pv_view(big, 8192), pv_view(big, 1), &unused),
                     PV_ERR_LIMIT);
    assert_ok(pv_ring_push(ring, pv_view(big, 2000), pv_view(big, 40), &unused));
    assert_ok(pv_ring_push(ring, pv_view(big, 2040), pv_view(NULL, 0), &unused));
    assert_int_equal(pv_ring_push(ring, pv_view(NULL, 0), pv_view(NULL, 0), NULL), PV_ERR_NO_SPACE);
    pv_ring_free(ring);
}

PV_TEST(random_records_keep_order_and_content_through_many_wraps)
{
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 11);
    struct pv_ring *ring;
    struct pv_view v;
    uint32_t next_in = 0, next_out = 0, full = 0;
    uint8_t body[2048];
    assert_ok(pv_ring_new(&ring, 8192));
    for (int step = 0; step < 200000; step++) {
        if (pv_rng_below(&rng, 2) == 0) {
            size_t len = (size_t)next_in * 37 % 1500;
            memset(body, (int)(next_in & 0xff), len);
            int r = pv_ring_push(ring, pv_view(&next_in, 4), pv_view(body, len), NULL);
            if (r == PV_OK)
                next_in++;
            else
                full++;
        } else if (pv_ring_peek(ring, &v) == PV_OK) {
            uint32_t id;
            memcpy(&id, v.ptr, 4);
            assert_int_equal(id, next_out);
            assert_int_equal(v.len, 4 + (size_t)id * 37 % 1500);
            for (size_t i = 4; i < v.len; i++)
                assert_int_equal(v.ptr[i], id & 0xff);
            pv_ring_pop(ring);
            next_out++;
        }
    }
    assert_true(full > 0 && next_out > 10000);
    pv_ring_free(ring);
}

enum {
    RECORDS = 100000
};

static void *write_records(void *arg)
{
    struct pv_ring *ring = arg;
    uint64_t body[16];

    for (uint64_t i = 0; i < RECORDS;) {
        size_t words = i % 16;
        for (size_t k = 0; k < words; k++)
            body[k] = i * 31 + k;
        if (pv_ring_push(ring, pv_view(&i, 8), pv_view(body, words * 8), NULL) == PV_OK)
            i++;
        else
            sched_yield();
    }
    return NULL;
}

PV_TEST(a_writer_and_a_reader_thread_agree)
{
    struct pv_ring *ring;
    struct pv_view v;
    pthread_t writer;
    assert_ok(pv_ring_new(&ring, 4096));
    assert_int_equal(pthread_create(&writer, NULL, write_records, ring), 0);
    for (uint64_t i = 0; i < RECORDS;) {
        if (pv_ring_peek(ring, &v) != PV_OK) {
            sched_yield();
            continue;
        }
        uint64_t words[17];
        assert_int_equal(v.len, 8 + i % 16 * 8);
        memcpy(words, v.ptr, v.len);
        assert_true(words[0] == i);
        for (size_t k = 0; k < i % 16; k++)
            assert_true(words[k + 1] == i * 31 + k);
        pv_ring_pop(ring);
        i++;
    }
    pthread_join(writer, NULL);
    pv_ring_free(ring);
}
