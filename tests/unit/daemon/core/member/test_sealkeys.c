/* SPDX-License-Identifier: MIT */
/* Sealing keys of members: whose are believed, told, stored and used, and for whom. */
#include "daemon/core/member/sealkeys.h"
#include "proto/roster/roster_make.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"
#include "tests/unit/kem_double.h"

static struct fake_peers x;
static struct pv_peer *bob;
static struct keys bob_keys;
static uint8_t bob_cert[PV_SEALING_CERT_LEN];

static void begin(const struct pv_kem *kem, enum pv_pq_policy policy)
{
    fake_peers_init(&x, &pv_part_sealkeys);
    x.f.cfg.given.kem = x.f.node.given.kem = kem;
    x.f.cfg.given.pq = x.f.node.given.pq = policy;
    bob_keys = keys_of(7);
    assert_ok(pv_sealing_certify(&kem_double, bob_keys.sk, bob_cert));
}

static void go(void)
{
    fake_node_enter(&x.f);
    bob = fake_peers_member(&x, 7, "bob", 7);
    fake_node_start(&x.f);
    fake_peers_settle(&x);
}

static int start(void **state)
{
    begin(&kem_double, PV_PQ_ON);
    go();
    return 0;
}

/* The statement of who has this key about what it is able to. */
static void state_of(const uint8_t *sk, uint32_t abilities)
{
    struct pv_made able;
    enum pv_roster_added added;
    assert_ok(pv_make_able(x.f.node.roster, sk, abilities, T0, &able));
    assert_ok(pv_roster_add(x.f.node.roster, pv_made_view(&able), pv_view(NULL, 0), &added));
    (void)settle(x.f.node.roster);
}

static void state_of_bob(uint32_t abilities)
{
    state_of(bob_keys.sk, abilities);
}

static void hear(struct pv_view cert, bool sealed)
{
    pv_sealkeys_heard(&x.f.node, bob, cert, sealed);
    fake_peers_settle(&x);
}

static struct pv_view whole(const uint8_t *cert)
{
    return pv_view(cert, PV_SEALING_CERT_LEN);
}

/* The row that was stored, or nothing. */
static struct pv_job *stored(void)
{
    struct pv_job *job = fake_node_job(&x.f);
    if (job != NULL)
        assert_int_equal(job->kind, PV_JOB_SET_META);
    return job;
}

PV_TEST_IN(a_key_is_told_until_it_is_known_there, start, NULL)
{
    assert_int_equal(pv_sealkeys_cert_for(&x.f.node, bob).len, 0); /* nobody said he can use it */
    state_of_bob(PV_ABLE_PQ);
    assert_int_equal(pv_sealkeys_cert_for(&x.f.node, bob).len, 0); /* without ML-KEM */
    state_of_bob(PV_ABLE_PQ | PV_ABLE_SEALED);
    struct pv_view cert = pv_sealkeys_cert_for(&x.f.node, bob);
    assert_ok(pv_sealing_check(cert, x.f.identity.sign_pk));
    hear(pv_view(NULL, 0), true);
    assert_int_equal(pv_sealkeys_cert_for(&x.f.node, bob).len, 0);
    hear(pv_view(NULL, 0), false); /* he lost it */
    assert_int_equal(pv_sealkeys_cert_for(&x.f.node, bob).len, PV_SEALING_CERT_LEN);
}

PV_TEST_IN(a_key_that_was_heard_is_used_and_stored, start, NULL)
{
    state_of_bob(PV_ABLE_PQ | PV_ABLE_SEALED);
    assert_true(pv_sealkeys_expected(&x.f.node, bob));
    assert_null(pv_sealkeys_to(&x.f.node, bob));
    hear(whole(bob_cert), false);
    const struct pv_sealing_to *to = pv_sealkeys_to(&x.f.node, bob);
    assert_non_null(to);
    assert_memory_equal(to->ek, bob_cert, PV_KEM_EK_LEN);
    assert_int_equal(fake_node_status(&x.f)->pq.sealing_keys, 1);
    struct pv_job *job = stored();
    assert_non_null(job);
    assert_int_equal(job->u.set_meta.len, PV_SIGN_PK_LEN + PV_KEM_EK_LEN);
    hear(whole(bob_cert), true); /* again: nothing is new */
    assert_null(stored());

    /* After a restart it is there. */
    uint8_t row[PV_SIGN_PK_LEN + PV_KEM_EK_LEN];
    struct pv_saved_meta meta = {.value = pv_view(row, sizeof(row))};
    memcpy(row, job->u.set_meta.value, sizeof(row));
    memcpy(meta.name, job->u.set_meta.name, sizeof(meta.name));
    fake_node_answer(&x.f, job, &(struct pv_job_result){.status = PV_OK});
    fake_node_done(&x.f);
    begin(&kem_double, PV_PQ_ON);
    x.f.saved.meta = &meta;
    x.f.saved.n_meta = 1;
    go();
    state_of_bob(PV_ABLE_PQ | PV_ABLE_SEALED);
    to = pv_sealkeys_to(&x.f.node, bob);
    assert_non_null(to);
    assert_memory_equal(to->ek, bob_cert, PV_KEM_EK_LEN);
}

/* A member that says that it can do it no more gets what it can open. */
PV_TEST_IN(a_member_that_went_back_to_an_older_version_gets_older_boxes, start, NULL)
{
    state_of_bob(PV_ABLE_PQ | PV_ABLE_SEALED);
    hear(whole(bob_cert), true);
    assert_non_null(pv_sealkeys_to(&x.f.node, bob));
    state_of_bob(0);
    assert_null(pv_sealkeys_to(&x.f.node, bob));
    assert_false(pv_sealkeys_expected(&x.f.node, bob));
    state_of_bob(PV_ABLE_SEALED);
    assert_non_null(pv_sealkeys_to(&x.f.node, bob));
    fake_node_answer(&x.f, stored(), &(struct pv_job_result){.status = PV_OK});
}

PV_TEST_IN(a_key_that_somebody_else_signed_is_not_believed, start, NULL)
{
    uint8_t cert[PV_SEALING_CERT_LEN];
    const struct keys eve = keys_of(8);
    state_of_bob(PV_ABLE_PQ | PV_ABLE_SEALED);
    assert_ok(pv_sealing_certify(&kem_double, eve.sk, cert));
    hear(whole(cert), true);
    hear(pv_view(bob_cert, sizeof(bob_cert) - 1), true);
    hear(pv_view(bob_cert, 1), true);
    assert_null(pv_sealkeys_to(&x.f.node, bob));
    assert_null(stored());
}

PV_TEST_IN(keys_of_who_was_removed_go, start, NULL)
{
    state_of_bob(PV_ABLE_PQ | PV_ABLE_SEALED);
    hear(whole(bob_cert), true);
    fake_node_answer(&x.f, stored(), &(struct pv_job_result){.status = PV_OK});
    pv_part_sealkeys.on_member_gone(x.f.self, bob_keys.pk, x.f.now);
    fake_peers_settle(&x);
    assert_null(pv_sealkeys_to(&x.f.node, bob));
    struct pv_job *job = stored();
    assert_non_null(job);
    assert_int_equal(job->u.set_meta.len, 0);
    fake_node_answer(&x.f, job, &(struct pv_job_result){.status = PV_OK});
    pv_part_sealkeys.on_member_gone(x.f.self, bob_keys.pk, x.f.now); /* nothing is left of it */
    assert_null(stored());
}

static size_t row_of(unsigned seed)
{
    const struct keys k = keys_of(seed);
    return pv_sealkeys_row(x.f.self, k.pk);
}

static struct pv_peer *meet(unsigned seed)
{
    const struct keys k = keys_of(seed);
    uint8_t cert[PV_SEALING_CERT_LEN];
    struct pv_peer *p = fake_peers_member(&x, seed, PV_STR("m%u", seed), (uint16_t)seed);
    state_of(k.sk, PV_ABLE_SEALED);
    assert_ok(pv_sealing_certify(&kem_double, k.sk, cert));
    pv_sealkeys_heard(&x.f.node, p, whole(cert), true);
    return p;
}

/* However many members a node meets, a row has its limit, and the oldest makes way. */
PV_TEST_IN(a_row_has_a_limit, start, NULL)
{
    struct pv_peer *first = NULL, *last = NULL;
    unsigned n = 0;
    for (unsigned seed = 20; n <= PV_SEALKEYS_OF_ROW; seed++) {
        assert_true(seed < 10000);
        if (row_of(seed) != row_of(20))
            continue;
        last = meet(seed);
        first = first == NULL ? last : first;
        n++;
        struct pv_job *job = stored();
        assert_non_null(job);
        size_t kept = n < PV_SEALKEYS_OF_ROW ? n : PV_SEALKEYS_OF_ROW;
        assert_int_equal(job->u.set_meta.len, kept * (PV_SIGN_PK_LEN + PV_KEM_EK_LEN));
        fake_node_answer(&x.f, job, &(struct pv_job_result){.status = PV_OK});
        if (n == PV_SEALKEYS_OF_ROW)
            assert_non_null(pv_sealkeys_to(&x.f.node, first));
    }
    assert_null(pv_sealkeys_to(&x.f.node, first));
    assert_non_null(pv_sealkeys_to(&x.f.node, last));
}

/* Identities that were made to look alike do not push out the key of somebody else. */
PV_TEST_IN(a_member_that_chooses_identities_fills_no_row, start, NULL)
{
    unsigned n = 0;
    state_of_bob(PV_ABLE_SEALED);
    hear(whole(bob_cert), true);
    fake_node_answer(&x.f, stored(), &(struct pv_job_result){.status = PV_OK});
    for (unsigned seed = 20; n < 2 * PV_SEALKEYS_OF_ROW; seed++) {
        const struct keys k = keys_of(seed);
        assert_true(seed < 10000);
        if (k.pk[0] % PV_SEALKEYS_ROWS != bob_keys.pk[0] % PV_SEALKEYS_ROWS)
            continue;
        assert_non_null(pv_sealkeys_to(&x.f.node, meet(seed)));
        fake_node_answer(&x.f, stored(), &(struct pv_job_result){.status = PV_OK});
        n++;
    }
    assert_non_null(pv_sealkeys_to(&x.f.node, bob));
}

static bool is_row(const struct pv_job *job, size_t row)
{
    return strcmp(job->u.set_meta.name, PV_STR("sealing-keys-%02zu", row)) == 0;
}

/* As it was stored under another identity. */
PV_TEST_IN(a_key_in_another_row_is_taken_over, start, NULL)
{
    uint8_t row[PV_SIGN_PK_LEN + PV_KEM_EK_LEN];
    struct pv_saved_meta meta = {.name = ""};
    const size_t right = row_of(7), other = (right + 1) % PV_SEALKEYS_ROWS;
    memcpy(row, bob_keys.pk, PV_SIGN_PK_LEN);
    memcpy(row + PV_SIGN_PK_LEN, bob_cert, PV_KEM_EK_LEN);
    meta.value = pv_view(row, sizeof(row));
    snprintf(meta.name, sizeof(meta.name), "sealing-keys-%02zu", other);
    fake_node_done(&x.f);
    begin(&kem_double, PV_PQ_ON);
    x.f.saved.meta = &meta;
    x.f.saved.n_meta = 1;
    go();
    state_of_bob(PV_ABLE_SEALED);
    assert_non_null(pv_sealkeys_to(&x.f.node, bob));
    for (size_t i = 0; i < 2; i++) {
        struct pv_job *job = stored();
        assert_non_null(job);
        assert_true(is_row(job, right) || is_row(job, other));
        assert_int_equal(job->u.set_meta.len, is_row(job, right) ? sizeof(row) : 0);
        fake_node_answer(&x.f, job, &(struct pv_job_result){.status = PV_OK});
    }
    assert_null(stored());
}

/* Without a KEM, or switched off, it says and seals nothing; what came before can still be read. */
PV_TEST(a_node_that_cannot_or_does_not_want_to_takes_no_part)
{
    static const struct {
        const struct pv_kem *kem;
        enum pv_pq_policy policy;
    } rows[] = {{NULL, PV_PQ_ON}, {&kem_double, PV_PQ_OFF}};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        uint8_t cert[PV_SEALING_CERT_LEN], box[PV_SEALING_OVERHEAD], psk[PV_NOISE_PSK_LEN];
        begin(rows[i].kem, rows[i].policy);
        go();
        state_of_bob(PV_ABLE_PQ | PV_ABLE_SEALED);
        hear(whole(bob_cert), true);
        assert_null(pv_sealkeys_to(&x.f.node, bob));
        assert_int_equal(pv_sealkeys_cert_for(&x.f.node, bob).len, 0);
        assert_null(stored());
        assert_ok(pv_sealing_certify(&kem_double, x.f.identity.sign_sk, cert));
        const struct pv_sealing_to to = {.kem = &kem_double, .ek = cert};
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
