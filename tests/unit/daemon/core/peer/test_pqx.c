/* SPDX-License-Identifier: MIT */
/* The exchange of preshared keys between two machines that see whole descriptions: whatever is
 * lost, late or doubled, both end with the same newest key. The KEM is the tests' double, and
 * ML-KEM-768 where the crypto library has it. */

#include "daemon/core/peer/pqx.h"
#include "tests/unit/kem_double.h"
#include "tests/unit/test_util.h"

enum {
    KEYS = 64,
    FLYING = 16,
};

struct side {
    struct pv_pqx *x;
    struct pv_descx descx;
    struct pv_ice_creds creds;
    uint8_t pk[32];
    struct pv_desc newest; /* of the other side */
    struct pv_pqx_key keys[KEYS];
    size_t n_keys;
    unsigned said; /* descriptions with a half in them */
};

struct letter {
    int to;
    struct pv_desc desc;
    struct pv_desc_pq pq;
};

/* Side 0 has the lower identity key: it answers. */
struct world {
    struct test_rng seed;
    struct pv_rng rng;
    const struct pv_kem *kem;
    pv_ns now;
    uint64_t gen;
    struct side s[2];
    struct letter flying[FLYING]; /* in any order */
    size_t n_flying;
};

static void free_world(void *ctx)
{
    struct world *w = ctx;
    for (int i = 0; i < 2; i++)
        pv_pqx_free(w->s[i].x);
    free(w);
}

static void make_machine(struct world *w, int i)
{
    struct pv_pqx_config cfg = {.kem = w->kem, .rng = w->rng};
    memset(cfg.network_id, 9, sizeof(cfg.network_id));
    memcpy(cfg.own_pk, w->s[i].pk, 32);
    memcpy(cfg.peer_pk, w->s[1 - i].pk, 32);
    assert_ok(pv_pqx_new(&w->s[i].x, &cfg));
}

static struct world *make_world(const struct pv_kem *kem, uint64_t seed)
{
    struct world *w = test_alloc(sizeof(*w));
    test_defer(free_world, w);
    w->rng = test_rng_make(&w->seed, seed);
    w->kem = kem;
    w->now = PV_S(1000);
    w->gen = 1000000;
    for (int i = 0; i < 2; i++) {
        pv_rng_fill(&w->rng, w->s[i].pk, 32);
        w->s[i].pk[0] = (uint8_t)i;
    }
    for (int i = 0; i < 2; i++)
        make_machine(w, i);
    return w;
}

static struct pv_pqx_own own_of(const struct side *s)
{
    return (struct pv_pqx_own){.id = s->descx.own, .creds = &s->creds};
}

static void begin(struct world *w, int i)
{
    struct side *s = &w->s[i];
    pv_ice_make_creds(&w->rng, &s->creds);
    pv_descx_begin(&s->descx, ++w->gen);
    const struct pv_pqx_own own = own_of(s);
    pv_pqx_begin(s->x, &own, true);
}

/* The machine loses all it knew. */
static void restart(struct world *w, int i)
{
    struct side *s = &w->s[i];
    pv_pqx_free(s->x);
    make_machine(w, i);
    memset(&s->descx, 0, sizeof(s->descx));
    memset(&s->newest, 0, sizeof(s->newest));
    s->n_keys = 0;
    begin(w, i);
}

static void take_keys(struct side *s)
{
    struct pv_pqx_key k;
    while (pv_pqx_poll_key(s->x, &k) == PV_OK) {
        if (k.fresh) {
            assert_true(s->n_keys < KEYS);
            s->keys[s->n_keys++] = k;
        } else {
            for (size_t i = 0; i < s->n_keys; i++)
                s->keys[i].proven |= s->keys[i].key.id == k.key.id;
        }
    }
}

/* Side i's description, if it is due. */
static void post(struct world *w, int i)
{
    struct side *s = &w->s[i];
    if (!pv_descx_take_due(&s->descx, w->now) || w->n_flying == FLYING)
        return;
    struct letter *l = &w->flying[w->n_flying++];
    memset(l, 0, sizeof(*l));
    l->to = 1 - i;
    l->desc.gen = s->descx.own.gen;
    l->desc.rev = s->descx.own.rev;
    l->desc.re_gen = s->descx.theirs.gen;
    l->desc.re_rev = s->descx.theirs.rev;
    l->desc.creds = s->creds;
    l->desc.caps = PV_DESC_CAP_PQ;
    const struct pv_desc_pq *pq = pv_pqx_say(s->x);
    if (pq != NULL)
        l->pq = *pq;
    s->said += l->pq.kind != PV_DESC_PQ_NONE ? 1 : 0;
}

static void arrive(struct world *w, const struct letter *l)
{
    struct side *s = &w->s[l->to];
    struct pv_desc d = l->desc;
    d.pq = &l->pq;
    enum pv_descx_verdict v = pv_descx_receive(&s->descx, (struct pv_descx_id){d.gen, d.rev},
                                               (struct pv_descx_id){d.re_gen, d.re_rev});
    if (s->descx.own.gen == 0)
        begin(w, l->to);
    const struct pv_pqx_own own = own_of(s);
    if (v == PV_DESCX_DUPLICATE)
        pv_pqx_have(s->x, &d);
    else if (v != PV_DESCX_STALE && pv_pqx_take(s->x, &own, &d, v == PV_DESCX_NEW_GEN, w->now))
        pv_descx_changed(&s->descx);
    take_keys(s);
}

/* Time goes on by 50 ms; what flies arrives, in any order, or is lost or doubled, in per cent. */
static void turn(struct world *w, unsigned loss, unsigned doubled, unsigned late)
{
    w->now += PV_MS(50);
    for (int i = 0; i < 2; i++)
        post(w, i);
    for (size_t n = w->n_flying; n > 0; n--) {
        size_t k = pv_rng_below(&w->rng, (uint32_t)w->n_flying);
        if (pv_rng_below(&w->rng, 100) < late)
            continue;
        const struct letter l = w->flying[k];
        if (pv_rng_below(&w->rng, 100) >= doubled)
            w->flying[k] = w->flying[--w->n_flying];
        if (pv_rng_below(&w->rng, 100) >= loss)
            arrive(w, &l);
    }
}

/* Both have the same newest key, and both know that. */
static bool is_agreed(const struct world *w)
{
    const struct side *a = &w->s[0], *b = &w->s[1];
    return a->n_keys > 0 && b->n_keys > 0 &&
           memcmp(&a->keys[a->n_keys - 1].key, &b->keys[b->n_keys - 1].key,
                  sizeof(a->keys[0].key)) == 0 &&
           a->keys[a->n_keys - 1].proven && b->keys[b->n_keys - 1].proven;
}

static bool settle(struct world *w, unsigned loss)
{
    for (int i = 0; i < 2000 && !is_agreed(w); i++)
        turn(w, loss, 0, 0);
    return is_agreed(w);
}

static size_t every_kem(const struct pv_kem *ret_kems[static 2])
{
    ret_kems[0] = &kem_double;
    ret_kems[1] = pv_kem_mlkem768();
    return ret_kems[1] == NULL ? 1 : 2;
}

/* Either may begin: three or four descriptions, and one key. */
PV_TEST(two_members_agree)
{
    const struct pv_kem *kems[2];
    size_t n = every_kem(kems);
    for (size_t k = 0; k < n; k++) {
        for (int first = 0; first < 2; first++) {
            struct world *w = make_world(kems[k], 1);
            begin(w, first);
            for (int i = 0; i < 8; i++)
                turn(w, 0, 0, 0);
            assert_true(is_agreed(w));
            assert_int_equal(w->s[0].n_keys, 1);
            assert_int_equal(w->s[1].n_keys, 1);
            assert_in_range(w->s[0].said, 1, 2);
            assert_in_range(w->s[1].said, 1, 2);
            test_end(w);
        }
    }
}

/* The side that encapsulates knows the key first, and that the other has it only when told. */
PV_TEST(a_key_is_proven_when_the_other_side_has_it)
{
    struct world *w = make_world(&kem_double, 2);
    begin(w, 1);
    turn(w, 0, 0, 0); /* the offer */
    assert_int_equal(w->s[0].n_keys, 1);
    assert_false(w->s[0].keys[0].proven);
    assert_int_equal(w->s[1].n_keys, 0);
    turn(w, 0, 0, 0); /* the answer */
    assert_int_equal(w->s[1].n_keys, 1);
    assert_true(w->s[1].keys[0].proven);
    assert_false(w->s[0].keys[0].proven);
    turn(w, 0, 0, 0); /* "have" */
    assert_true(w->s[0].keys[0].proven);
}

/* Loss, reordering, doubles, and generations that change under way: a thousand meetings. */
PV_TEST(after_any_accident_on_the_way_both_have_the_same_key)
{
    unsigned bad = 0;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct world *w = make_world(&kem_double, seed);
        begin(w, (int)(seed & 1));
        if (pv_rng_below(&w->rng, 2) == 0)
            begin(w, (int)(~seed & 1));
        unsigned events = pv_rng_below(&w->rng, 6);
        for (unsigned e = 0; e < events; e++) {
            for (unsigned t = pv_rng_below(&w->rng, 20); t > 0; t--)
                turn(w, 30, 10, 20);
            int who = (int)pv_rng_below(&w->rng, 2);
            if (pv_rng_below(&w->rng, 2) == 0)
                begin(w, who);
            else
                restart(w, who);
        }
        /* A life that ended said the last word that flies; what is new overtakes it. */
        if (!settle(w, 20)) {
            printf("seed %llu: %zu and %zu keys\n", (unsigned long long)seed, w->s[0].n_keys,
                   w->s[1].n_keys);
            bad++;
        }
        test_end(w);
    }
    assert_int_equal(bad, 0);
}

PV_TEST(it_is_renewed_within_the_hour)
{
    struct world *w = make_world(&kem_double, 3);
    begin(w, 0);
    assert_true(settle(w, 0));
    for (int hour = 2; hour <= 5; hour++) {
        for (int i = 0; i < 2; i++) {
            const struct pv_pqx_own own = own_of(&w->s[i]);
            assert_false(pv_pqx_renew(w->s[i].x, &own, w->now + PV_PQX_RENEW - PV_S(2)));
        }
        w->now += PV_PQX_RENEW;
        for (int i = 0; i < 2; i++) {
            const struct pv_pqx_own own = own_of(&w->s[i]);
            bool renewed = pv_pqx_renew(w->s[i].x, &own, w->now);
            assert_int_equal(renewed, i == 1); /* who offers */
            if (renewed)
                pv_descx_changed(&w->s[i].descx);
            assert_false(pv_pqx_renew(w->s[i].x, &own, w->now)); /* one at a time */
        }
        for (int i = 0; i < 8; i++)
            turn(w, 0, 0, 0);
        assert_true(is_agreed(w));
        assert_int_equal(w->s[0].n_keys, hour);
        assert_int_equal(w->s[1].n_keys, hour);
    }
}

/* Somebody who never answers an offer gets none in every description, and is no error. */
PV_TEST(a_member_that_does_not_do_it_is_left_alone)
{
    struct world *w = make_world(&kem_double, 4);
    begin(w, 1);
    assert_non_null(pv_pqx_say(w->s[1].x));
    const struct pv_desc theirs = {.gen = 5, .rev = 1};
    const struct pv_pqx_own own = own_of(&w->s[1]);
    assert_false(pv_pqx_take(w->s[1].x, &own, &theirs, true, w->now));
    pv_pqx_begin(w->s[1].x, &own, false);
    assert_null(pv_pqx_say(w->s[1].x));
    assert_false(pv_pqx_take(w->s[1].x, &own, &theirs, true, w->now));
    assert_string_equal(pv_pqx_error(w->s[1].x), "");
}

/* A half belongs to the generation of its description: one of another is not looked at. */
PV_TEST(a_half_of_another_generation_is_not_taken)
{
    struct world *w = make_world(&kem_double, 5);
    begin(w, 0);
    begin(w, 1);
    w->n_flying = 0;
    post(w, 1);
    struct letter l = w->flying[0];
    assert_int_equal(l.pq.kind, PV_DESC_PQ_OFFER);
    l.pq.gen++;
    arrive(w, &l);
    assert_int_equal(w->s[0].n_keys, 0);
    l.pq.gen--;
    l.pq.rev = l.desc.rev + 1; /* what a later one will say */
    l.desc.gen++;
    l.pq.gen++;
    arrive(w, &l);
    assert_int_equal(w->s[0].n_keys, 0);
}

PV_TEST(keys_that_are_none_are_named)
{
    struct world *w = make_world(&kem_double, 6);
    begin(w, 0);
    begin(w, 1);
    w->n_flying = 0;
    post(w, 1);
    struct letter l = w->flying[0];
    l.pq.kem[500] ^= 1;
    arrive(w, &l);
    assert_string_equal(pv_pqx_error(w->s[0].x), "its offer is no key");
    assert_int_equal(w->s[0].n_keys, 0);
    l = w->flying[0];
    l.desc.rev++;
    memset(l.pq.dh, 0, sizeof(l.pq.dh)); /* of small order */
    arrive(w, &l);
    assert_string_equal(pv_pqx_error(w->s[0].x), "its offer is no key");
    l = w->flying[0];
    l.desc.rev += 2;
    arrive(w, &l);
    assert_string_equal(pv_pqx_error(w->s[0].x), "");
    assert_int_equal(w->s[0].n_keys, 1);

    w->n_flying = 0;
    post(w, 0);
    l = w->flying[0];
    assert_int_equal(l.pq.kind, PV_DESC_PQ_ANSWER);
    memset(l.pq.dh, 0, sizeof(l.pq.dh));
    arrive(w, &l);
    assert_string_equal(pv_pqx_error(w->s[1].x), "its answer is no answer");
    /* An answer to another offer is none of ours. */
    l = w->flying[0];
    l.desc.rev++;
    l.pq.to[0] ^= 1;
    arrive(w, &l);
    assert_int_equal(w->s[1].n_keys, 0);
    l = w->flying[0];
    l.desc.rev += 2;
    arrive(w, &l);
    assert_int_equal(w->s[1].n_keys, 1);
    assert_memory_equal(&w->s[0].keys[0].key, &w->s[1].keys[0].key, sizeof(w->s[0].keys[0].key));
}
