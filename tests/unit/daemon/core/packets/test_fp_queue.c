/* SPDX-License-Identifier: MIT */
#include "daemon/core/packets/fastpath.h"
#include "daemon/core/packets/fp_queue.h"
#include "tests/unit/test_util.h"

static struct pv_fp_queue *queue(void)
{
    struct pv_fp_queue *q;
    assert_ok(pv_fp_queue_new(&q));
    return q;
}

static void push(struct pv_fp_queue *q, uint32_t peer, uint32_t mark, size_t len, pv_ns now)
{
    static uint8_t p[PV_FP_INNER_MAX];
    memset(p, (int)(mark & 0xff), len);
    memcpy(p, &mark, 4);
    pv_fp_queue_push(q, peer, pv_view(p, len), now);
}

static uint32_t pop(struct pv_fp_queue *q, uint32_t peer, size_t len)
{
    static uint8_t p[PV_FP_INNER_MAX];
    uint32_t mark;
    assert_int_equal(pv_fp_queue_front_len(q, peer), len);
    pv_fp_queue_front(q, peer, p);
    memcpy(&mark, p, 4);
    for (size_t i = 4; i < len; i++)
        assert_int_equal(p[i], mark & 0xff);
    pv_fp_queue_pop(q, peer);
    return mark;
}

PV_TEST(queues_that_share_have_their_part)
{
    for (unsigned n = 1; n <= PV_FP_MAX_WORKERS; n++) {
        struct pv_fp_queue *q = queue();
        uint32_t peer = 1;
        pv_fp_queue_share(q, n);
        for (; pv_fp_queue_fits_all(q, 2048); peer++)
            push(q, peer, peer, 2048, peer);
        assert_int_equal(pv_fp_queue_len(q), PV_FP_QUEUE_TOTAL / 2048 / n);
        pv_fp_queue_free(q);
    }
}

PV_TEST(each_peer_keeps_its_own_order)
{
    struct pv_fp_queue *q = queue();
    pv_ns since = 0;
    assert_false(pv_fp_queue_has(q, 7));
    assert_int_equal(pv_fp_queue_front_len(q, 7), 0);
    assert_int_equal(pv_fp_queue_oldest(q, &since), 0);
    push(q, 7, 1, 100, 10);
    push(q, 8, 2, 9000, 20);
    push(q, 7, 3, 2048, 30);
    push(q, 7, 4, 2049, 40);
    assert_int_equal(pv_fp_queue_len(q), 4);
    assert_int_equal(pv_fp_queue_oldest(q, &since), 7);
    assert_true(since == 10);
    assert_int_equal(pop(q, 7, 100), 1);
    assert_int_equal(pv_fp_queue_oldest(q, &since), 8);
    assert_true(since == 20);
    assert_int_equal(pop(q, 7, 2048), 3);
    assert_int_equal(pop(q, 8, 9000), 2);
    assert_int_equal(pop(q, 7, 2049), 4);
    assert_false(pv_fp_queue_has(q, 7));
    assert_int_equal(pv_fp_queue_len(q), 0);
    pv_fp_queue_free(q);
}

PV_TEST(limits_hold_per_peer_and_in_all)
{
    struct pv_fp_queue *q = queue();
    for (uint32_t i = 0; i < PV_FP_QUEUE_PACKETS; i++) {
        assert_true(pv_fp_queue_fits_peer(q, 1, 40));
        push(q, 1, i, 40, 1);
    }
    assert_false(pv_fp_queue_fits_peer(q, 1, 40));
    assert_true(pv_fp_queue_fits_peer(q, 2, 40));
    for (uint32_t i = 0; i < PV_FP_QUEUE_BYTES / 8192; i++)
        push(q, 2, i, 8192, 1);
    assert_false(pv_fp_queue_fits_peer(q, 2, 4));
    pop(q, 2, 8192);
    assert_true(pv_fp_queue_fits_peer(q, 2, 8192));
    assert_false(pv_fp_queue_fits_peer(q, 2, 8193));

    uint32_t peer = 100;
    for (; pv_fp_queue_fits_all(q, 9000); peer++)
        push(q, peer, peer, 9000, 1);
    assert_true(pv_fp_queue_len(q) > 300);
    for (; pv_fp_queue_fits_all(q, 1); peer++)
        push(q, peer, peer, 40, 1);
    pop(q, 1, 40);
    assert_true(pv_fp_queue_fits_all(q, 2048));
    assert_false(pv_fp_queue_fits_all(q, 2049));
    pv_fp_queue_free(q);
}

PV_TEST(as_many_peers_wait_as_there_are_blocks)
{
    static uint32_t peers[PV_FP_QUEUE_MAX_PEERS];
    static bool seen[PV_FP_QUEUE_MAX_PEERS + 1];
    struct pv_fp_queue *q = queue();
    for (uint32_t i = 1; i <= PV_FP_QUEUE_MAX_PEERS; i++)
        push(q, i, i, 40, i);
    assert_false(pv_fp_queue_fits_all(q, 1));
    assert_int_equal(pv_fp_queue_peers(q, peers), PV_FP_QUEUE_MAX_PEERS);
    for (size_t i = 0; i < PV_FP_QUEUE_MAX_PEERS; i++)
        seen[peers[i]] = true;
    for (uint32_t i = 1; i <= PV_FP_QUEUE_MAX_PEERS; i++) {
        pv_ns since;
        assert_true(seen[i]);
        assert_int_equal(pv_fp_queue_oldest(q, &since), i);
        assert_int_equal(pop(q, i, 40), i);
    }
    assert_int_equal(pv_fp_queue_peers(q, peers), 0);
    pv_fp_queue_free(q);
}

PV_TEST(random_use_agrees_with_plain_lists)
{
    enum {
        PEERS = 40,
        STEPS = 60000
    };
    static struct {
        uint32_t mark[PV_FP_QUEUE_PACKETS];
        size_t len[PV_FP_QUEUE_PACKETS];
        size_t n;
    } want[PEERS];
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 9);
    struct pv_fp_queue *q = queue();
    size_t total = 0;
    memset(want, 0, sizeof(want));
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t k = pv_rng_below(&rng, PEERS), peer = (k + 1) << 16 | k;
        bool push_it = pv_rng_below(&rng, 100) < (step / 5000 % 2 == 0 ? 70u : 30u);
        size_t len = 4 + pv_rng_below(&rng, step % 7 == 0 ? 8996 : 1500);
        if (push_it && pv_fp_queue_fits_peer(q, peer, len) && pv_fp_queue_fits_all(q, len)) {
            push(q, peer, step, len, step);
            want[k].mark[want[k].n] = step;
            want[k].len[want[k].n++] = len;
            total++;
        } else if (want[k].n > 0) {
            assert_int_equal(pop(q, peer, want[k].len[0]), want[k].mark[0]);
            want[k].n--;
            total--;
            memmove(want[k].mark, want[k].mark + 1, want[k].n * sizeof(want[k].mark[0]));
            memmove(want[k].len, want[k].len + 1, want[k].n * sizeof(want[k].len[0]));
        }
        assert_int_equal(pv_fp_queue_has(q, peer), want[k].n > 0);
        assert_int_equal(pv_fp_queue_len(q), total);
        uint32_t oldest = UINT32_MAX;
        for (size_t i = 0; i < PEERS; i++) {
            if (want[i].n > 0 && want[i].mark[0] < oldest)
                oldest = want[i].mark[0];
        }
        pv_ns since = UINT32_MAX; /* packets are marked with the time they came */
        assert_int_equal(pv_fp_queue_oldest(q, &since) != 0, total > 0);
        assert_true(since == oldest);
    }
    pv_fp_queue_free(q);
}
