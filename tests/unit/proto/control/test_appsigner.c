/* SPDX-License-Identifier: MIT */
/* Signatures for programs over the overlay: each is good for one domain and one node. */
#include "proto/control/appsigner.h"
#include "tests/unit/test_util.h"

static uint8_t sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN], other_sk[PV_SIGN_SK_LEN],
    other_pk[PV_SIGN_PK_LEN];

static int begin(void **state)
{
    static const uint8_t seed[PV_SIGN_SEED_LEN] = {1}, other_seed[PV_SIGN_SEED_LEN] = {2};
    pv_sign_keypair(seed, sk, pk);
    pv_sign_keypair(other_seed, other_sk, other_pk);
    return 0;
}

PV_TEST_WORLD(begin, NULL);

PV_TEST(a_signature_is_good_for_its_domain_alone)
{
    const struct pv_appsigner signer = pv_appsigner_of(sk);
    const struct pv_view head = pv_view("head", 4), body = pv_view("body", 4);
    uint8_t sig[PV_SIGN_LEN];
    for (int i = PV_APPSIGNER_PARCEL; i <= PV_APPSIGNER_ROOM; i++) {
        const enum pv_appsigner_domain domain = (enum pv_appsigner_domain)i;
        const enum pv_appsigner_domain other =
            i == PV_APPSIGNER_PARCEL ? PV_APPSIGNER_ROOM : PV_APPSIGNER_PARCEL;
        assert_ok(signer.sign(signer.keeper, domain, head, body, sig));
        assert_ok(pv_appsigner_verify(sig, domain, head, body, pk));
        assert_int_equal(pv_appsigner_verify(sig, other, head, body, pk), PV_ERR_AUTH);
        assert_int_equal(pv_appsigner_verify(sig, domain, body, head, pk), PV_ERR_AUTH);
        assert_int_equal(pv_appsigner_verify(sig, domain, head, body, other_pk), PV_ERR_AUTH);
    }
}

/* No domain is the one of statements. */
PV_TEST(a_domain_is_the_one_on_the_wire)
{
    const struct pv_view head = pv_view("head", 4), body = pv_view("body", 4);
    uint8_t sig[PV_SIGN_LEN];
    assert_ok(pv_sign(sig, "p2pvpn chat v1", head, body, sk));
    assert_ok(pv_appsigner_verify(sig, PV_APPSIGNER_PARCEL, head, body, pk));
    assert_ok(pv_sign(sig, "p2pvpn room v1", head, body, sk));
    assert_ok(pv_appsigner_verify(sig, PV_APPSIGNER_ROOM, head, body, pk));
    assert_ok(pv_sign(sig, "p2pvpn statement v1", head, body, sk));
    assert_int_equal(pv_appsigner_verify(sig, PV_APPSIGNER_ROOM, head, body, pk), PV_ERR_AUTH);
    assert_int_equal(pv_appsigner_verify(sig, PV_APPSIGNER_PARCEL, head, body, pk), PV_ERR_AUTH);
}
