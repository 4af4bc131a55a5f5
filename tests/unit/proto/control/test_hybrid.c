/* SPDX-License-Identifier: MIT */
/* The preshared key of two members: the same words give the same key, and any difference gives
 * another. */
#include <stdio.h>

#include "proto/control/hybrid.h"
#include "tests/unit/test_util.h"

struct exchange {
    struct pv_hybrid_half offer, answer;
    struct pv_ice_creds creds[2];
    uint8_t ek[PV_KEM_EK_LEN], ct[PV_KEM_CT_LEN];
    struct pv_hybrid_shared shared;
};

static void fill(struct exchange *x)
{
    memset(x, 0, sizeof(*x));
    for (size_t i = 0; i < sizeof(x->ek); i++)
        x->ek[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof(x->ct); i++)
        x->ct[i] = (uint8_t)(3 * i);
    snprintf(x->creds[0].ufrag, sizeof(x->creds[0].ufrag), "abcd1234");
    snprintf(x->creds[0].pwd, sizeof(x->creds[0].pwd), "0123456789012345678901");
    snprintf(x->creds[1].ufrag, sizeof(x->creds[1].ufrag), "efgh5678");
    snprintf(x->creds[1].pwd, sizeof(x->creds[1].pwd), "abcdefghijklmnopqrstuv");
    x->offer = (struct pv_hybrid_half){.gen = 7, .rev = 1, .desc = &x->creds[0]};
    x->answer = (struct pv_hybrid_half){.gen = 9, .rev = 2, .desc = &x->creds[1]};
    memset(x->offer.by, 2, sizeof(x->offer.by));
    memset(x->answer.by, 1, sizeof(x->answer.by));
    memset(x->offer.dh, 3, sizeof(x->offer.dh));
    memset(x->answer.dh, 4, sizeof(x->answer.dh));
    x->offer.kem = pv_view(x->ek, sizeof(x->ek));
    x->answer.kem = pv_view(x->ct, sizeof(x->ct));
    memset(x->shared.network_id, 5, sizeof(x->shared.network_id));
    memset(x->shared.kem, 6, sizeof(x->shared.kem));
    memset(x->shared.dh, 7, sizeof(x->shared.dh));
}

static struct pv_hybrid_key derive(struct exchange *x)
{
    uint8_t offer[PV_HYBRID_HASH_LEN];
    struct pv_hybrid_key key;
    pv_hybrid_hash_offer(&x->offer, offer);
    pv_hybrid_hash_answer(&x->answer, offer, x->shared.answer);
    pv_hybrid_derive(&x->shared, &key);
    return key;
}

/* Computed by tests/vectors/hybrid.py from the text of PROTOCOL-PEERS.md. */
PV_TEST(the_key_is_the_documented_one)
{
    struct exchange x;
    uint8_t want[PV_NOISE_PSK_LEN];
    fill(&x);
    const struct pv_hybrid_key key = derive(&x);
    test_unhex("96362445d1092804a4b96c8b4d6419caf320c795ce8e52e18760382d1c3eb1f8", want,
               sizeof(want));
    assert_memory_equal(key.psk, want, sizeof(want));
    assert_int_equal(key.id, 0x6028bc);
}

static void flip(void *at)
{
    *(uint8_t *)at ^= 1;
}

/* Each thing that was said or known is in the key. */
PV_TEST(any_difference_gives_another_key)
{
    struct exchange x;
    fill(&x);
    const struct pv_hybrid_key want = derive(&x);
    void *const each[] = {
        &x.offer.by,          &x.offer.gen,  &x.offer.rev,    &x.creds[0].ufrag[7],
        &x.creds[0].pwd,      &x.offer.dh,   &x.ek[1183],     &x.answer.by,
        &x.answer.gen,        &x.answer.rev, &x.creds[1].pwd, &x.creds[1].ufrag,
        &x.answer.dh[31],     &x.ct[1087],   &x.shared.kem,   &x.shared.dh[31],
        &x.shared.network_id,
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(each); i++) {
        flip(each[i]);
        const struct pv_hybrid_key got = derive(&x);
        assert_memory_not_equal(got.psk, want.psk, sizeof(want.psk));
        flip(each[i]);
    }
    const struct pv_hybrid_key again = derive(&x);
    assert_memory_equal(again.psk, want.psk, sizeof(want.psk));
    assert_int_equal(again.id, want.id);
}

/* A character that moves from one text to the next is another transcript. */
PV_TEST(texts_cannot_run_into_each_other)
{
    struct exchange x;
    fill(&x);
    const struct pv_hybrid_key want = derive(&x);
    snprintf(x.creds[0].ufrag, sizeof(x.creds[0].ufrag), "abcd12340");
    snprintf(x.creds[0].pwd, sizeof(x.creds[0].pwd), "123456789012345678901");
    const struct pv_hybrid_key got = derive(&x);
    assert_memory_not_equal(got.psk, want.psk, sizeof(want.psk));
}

PV_TEST(an_id_is_never_that_of_no_key)
{
    struct exchange x;
    fill(&x);
    for (unsigned i = 0; i < 2000; i++) {
        x.offer.gen = i;
        const struct pv_hybrid_key key = derive(&x);
        assert_in_range(key.id, 1, PV_DESC_PQ_ID_MAX);
    }
}
