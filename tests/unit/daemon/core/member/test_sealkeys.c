/* SPDX-License-Identifier: MIT */
/* Sealing keys of members: for whom they are used. */
#include "daemon/core/member/sealkeys.h"
#include "proto/roster/roster_make.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"
#include "tests/unit/kem_double.h"

static struct fake_peers x;
static struct pv_peer *bob;
static struct keys bob_keys;
static uint8_t bob_ek[PV_KEM_EK_LEN];

static void begin(const struct pv_kem *kem, enum pv_pq_policy policy)
{
    fake_peers_init(&x, &pv_part_sealkeys);
    x.f.cfg.given.kem = x.f.node.given.kem = kem;
    x.f.cfg.given.pq = x.f.node.given.pq = policy;
    bob_keys = keys_of(7);
    assert_ok(pv_sealing_key(&kem_double, bob_keys.sk, bob_ek));
    fake_node_enter(&x.f);
    bob = fake_peers_member(&x, 7, "bob", 7);
    fake_node_start(&x.f);
    fake_peers_settle(&x);
}

static int start(void **state)
{
    begin(&kem_double, PV_PQ_ON);
    return 0;
}

/* The next card of bob. */
static void show(struct pv_view kem)
{
    struct pv_made_long made;
    enum pv_roster_added added;
    const struct pv_card card = {.abilities = PV_ABLE_PQ, .kem = kem};
    assert_ok(pv_make_card(x.f.node.roster, bob_keys.sk, &card, T0, &made));
    assert_ok(pv_roster_add(x.f.node.roster, pv_made_long_view(&made), pv_view(NULL, 0), &added));
    (void)settle(x.f.node.roster);
}

PV_TEST_IN(boxes_are_sealed_to_the_key_of_a_members_card, start, NULL)
{
    assert_null(pv_sealkeys_to(&x.f.node, bob));
    show(pv_view(NULL, 0)); /* without ML-KEM */
    assert_null(pv_sealkeys_to(&x.f.node, bob));
    show(pv_view(bob_ek, sizeof(bob_ek)));
    const struct pv_sealing_to *to = pv_sealkeys_to(&x.f.node, bob);
    assert_non_null(to);
    assert_memory_equal(to->ek, bob_ek, PV_KEM_EK_LEN);
    assert_int_equal(fake_node_status(&x.f)->pq.sealing_keys, 1);
    show(pv_view(NULL, 0)); /* it has lost ML-KEM */
    assert_null(pv_sealkeys_to(&x.f.node, bob));
}

PV_TEST_IN(a_node_has_the_same_key_each_time, start, NULL)
{
    uint8_t ek[PV_KEM_EK_LEN];
    assert_ok(pv_sealing_key(&kem_double, x.f.identity.sign_sk, ek));
    assert_true(pv_view_equal(pv_sealkeys_own(&x.f.node), pv_view(ek, sizeof(ek))));
}

/* Without a KEM, or switched off, it says and seals nothing; what came before can still be read. */
PV_TEST(a_node_that_cannot_or_does_not_want_to_takes_no_part)
{
    static const struct {
        const struct pv_kem *kem;
        enum pv_pq_policy policy;
    } rows[] = {{NULL, PV_PQ_ON}, {&kem_double, PV_PQ_OFF}};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        uint8_t ek[PV_KEM_EK_LEN], box[PV_SEALING_OVERHEAD], psk[PV_NOISE_PSK_LEN];
        begin(rows[i].kem, rows[i].policy);
        show(pv_view(bob_ek, sizeof(bob_ek)));
        assert_null(pv_sealkeys_to(&x.f.node, bob));
        assert_int_equal(pv_sealkeys_own(&x.f.node).len, 0);
        assert_ok(pv_sealing_key(&kem_double, x.f.identity.sign_sk, ek));
        const struct pv_sealing_to to = {.kem = &kem_double, .ek = ek};
        const struct pv_noise_static local = {.sk = x.f.identity.dh_sk};
        const struct pv_noise_parties parties = {
            .prologue = pv_view("x", 1), .local = &local, .remote = pv_peer_transport(bob)};
        assert_ok(pv_sealing_seal(&to, &parties, &x.f.node.rng, pv_view(NULL, 0), box));
        assert_int_equal(pv_sealkeys_secret(&x.f.node, pv_view(box, sizeof(box)), psk),
                         rows[i].kem != NULL);
        fake_node_done(&x.f);
    }
}

PV_TEST_IN(boxes_are_counted_by_kind, start, NULL)
{
    pv_sealkeys_count(&x.f.node, PV_SEALKEYS_SIGNAL, true);
    pv_sealkeys_count(&x.f.node, PV_SEALKEYS_SIGNAL, true);
    pv_sealkeys_count(&x.f.node, PV_SEALKEYS_COPY, false);
    assert_true(fake_node_has_metric(&x.f, test_given("signal kind hybrid")));
    assert_true(fake_node_has_metric(&x.f, test_given("copy kind classical")));
    assert_true(fake_node_has_metric(&x.f, test_given("copy kind hybrid")));
}
