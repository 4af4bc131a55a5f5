/* SPDX-License-Identifier: MIT */
#include "daemon/core/nat/stunroute.h"
#include "tests/unit/test_util.h"

PV_TEST(an_answer_finds_the_owner_that_sent_the_request)
{
    struct pv_stunroute *t = test_alloc(sizeof(*t));
    struct test_rng r;
    struct pv_rng rng = test_rng_make(&r, 1);
    uint8_t ids[1000][PV_STUN_TXID_LEN];
    for (uint32_t i = 0; i < 1000; i++) {
        pv_rng_fill(&rng, ids[i], sizeof(ids[i]));
        pv_stunroute_sent(t, ids[i], i + 1);
    }
    unsigned wrong = 0;
    unsigned found = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t owner = pv_stunroute_owner(t, ids[i]);
        found += owner != 0 ? 1u : 0u;
        wrong += owner != 0 && owner != i + 1 ? 1u : 0u;
    }
    assert_int_equal(wrong, 0);
    assert_true(found >= 995); /* a few sets of four may overflow */
    uint8_t other[PV_STUN_TXID_LEN] = {0};
    assert_int_equal(pv_stunroute_owner(t, other), 0);
    free(t);
}

PV_TEST(the_oldest_of_a_full_set_gives_way)
{
    struct pv_stunroute *t = test_alloc(sizeof(*t));
    uint8_t id[PV_STUN_TXID_LEN] = {0};
    for (uint8_t i = 0; i < PV_STUNROUTE_WAYS; i++) {
        id[11] = i;
        pv_stunroute_sent(t, id, i + 1u);
    }
    id[11] = 0;
    pv_stunroute_sent(t, id, 1); /* a retransmission makes it the newest */
    id[11] = 99;
    pv_stunroute_sent(t, id, 99);
    id[11] = 0;
    assert_int_equal(pv_stunroute_owner(t, id), 1);
    id[11] = 1;
    assert_int_equal(pv_stunroute_owner(t, id), 0);
    id[11] = 99;
    assert_int_equal(pv_stunroute_owner(t, id), 99);
    free(t);
}
