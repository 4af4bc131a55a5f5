/* SPDX-License-Identifier: MIT */
#include "coordinator/core/places.h"
#include "coordinator/core/turn/regulars.h"
#include "tests/unit/test_util.h"

enum {
    MAX = 64,
    SHARE = 32,
};

struct world {
    struct pv_places places;
    struct pv_regulars regulars;
    struct test_rng rng;
    struct pv_place at[4 * MAX];
};

static void end_world(void *ctx)
{
    struct world *w = ctx;
    for (size_t i = 0; i < PV_ARRAY_LEN(w->at); i++)
        pv_place_leave(&w->at[i]);
    assert_null(w->places.sources);
    assert_int_equal(w->places.n, 0);
    pv_places_done(&w->places);
    pv_regulars_done(&w->regulars);
    free(w);
}

static struct world *make_world(void)
{
    struct world *w = test_alloc(sizeof(*w));
    struct pv_rng rng = test_rng_make(&w->rng, 1);
    pv_places_init(&w->places, MAX, SHARE, &rng);
    assert_ok(pv_regulars_init(&w->regulars, &rng));
    test_defer(end_world, w);
    return w;
}

static struct pv_addr ip4(size_t net, size_t host)
{
    return pv_addr4(198, 51, (uint8_t)net, (uint8_t)host, 1);
}

/* 2001:db8:NET:SUBNET00::HOST: each net is a /48, each subnet a /56. */
static struct pv_addr ip6(size_t net, size_t subnet, size_t host)
{
    uint8_t ip[16] = {0x20, 0x01, 0x0d, 0xb8, 0, (uint8_t)net, (uint8_t)subnet};
    ip[15] = (uint8_t)host;
    return pv_addr6(ip, 1);
}

/* The place that had to go for this one; NULL: none. */
static struct pv_place *enter(struct world *w, size_t i, struct pv_addr source)
{
    struct pv_place *evicted = NULL;
    assert_ok(pv_places_enter(&w->places, &w->at[i], &source, &evicted));
    return evicted;
}

PV_TEST(one_network_displaces_itself_beyond_its_share)
{
    struct world *w = make_world();
    for (size_t i = 0; i < SHARE; i++)
        assert_null(enter(w, i, ip4(7, i)));
    assert_ptr_equal(enter(w, SHARE, ip4(7, 200)), &w->at[0]);
    assert_null(enter(w, SHARE + 1, ip4(8, 1)));
}

PV_TEST(a_full_house_loses_the_oldest_of_the_largest_source)
{
    struct world *w = make_world();
    assert_null(enter(w, 0, ip4(1, 1))); /* the oldest of all, alone in its network */
    for (size_t i = 1; i < MAX; i++)
        assert_null(enter(w, i, ip4(2 + i % 3, i)));
    for (size_t i = MAX; i < 3 * MAX; i++)
        assert_non_null(enter(w, i, ip4(2 + i % 3, i)));
    assert_true(w->at[0].places != NULL);
    assert_int_equal(w->places.n, MAX);
}

PV_TEST(a_neighbour_in_the_same_network_stays)
{
    struct world *w = make_world();
    assert_null(enter(w, 0, ip4(7, 1)));
    for (size_t i = 1; i < 2 * MAX; i++)
        (void)enter(w, i, ip4(7, 66));
    assert_true(w->at[0].places != NULL);
}

/* Those of a source that have begun go last, the oldest of them first. */
PV_TEST(a_client_that_has_begun_stays_while_others_are_silent)
{
    struct world *w = make_world();
    for (size_t i = 0; i < SHARE; i++)
        assert_null(enter(w, i, ip4(7, 1)));
    for (size_t i = 0; i < SHARE / 2; i++)
        pv_place_begin(&w->at[i]);
    pv_place_begin(&w->at[0]);         /* harmless */
    pv_place_begin(&w->at[2 * SHARE]); /* it is outside */
    for (size_t i = SHARE; i < SHARE + SHARE / 2; i++)
        assert_ptr_equal(enter(w, i, ip4(7, 1)), &w->at[i - SHARE / 2]);
    for (size_t i = SHARE; i < SHARE + SHARE / 2; i++)
        pv_place_begin(&w->at[i]);
    pv_place_leave(&w->at[1]);
    assert_null(enter(w, 1, ip4(7, 1)));
    pv_place_begin(&w->at[1]);
    assert_ptr_equal(enter(w, 2 * SHARE, ip4(7, 1)), &w->at[0]);
    assert_ptr_equal(enter(w, 2 * SHARE + 1, ip4(7, 1)), &w->at[2 * SHARE]);
}

/* One place each, all of them begun: whoever comes from elsewhere gets one nevertheless, and is the
 * first to lose it again to the next who is as silent. */
PV_TEST(a_client_from_elsewhere_is_not_kept_out_by_many_that_have_begun)
{
    struct world *w = make_world();
    for (size_t i = 0; i < MAX; i++) {
        assert_null(enter(w, i, ip4(i, 1)));
        pv_place_begin(&w->at[i]);
    }
    assert_ptr_equal(enter(w, MAX, ip4(200, 1)), &w->at[0]);
    assert_true(w->at[MAX].places != NULL);
    assert_ptr_equal(enter(w, MAX + 1, ip4(201, 1)), &w->at[MAX]);
    assert_int_equal(w->places.n, MAX);
}

PV_TEST(a_neighbour_is_not_kept_out_by_many_that_have_begun)
{
    struct world *w = make_world();
    for (size_t i = 0; i < SHARE; i++) {
        assert_null(enter(w, i, ip4(7, i)));
        pv_place_begin(&w->at[i]);
    }
    assert_ptr_equal(enter(w, SHARE, ip4(7, 200)), &w->at[0]);
    assert_true(w->at[SHARE].places != NULL);
}

PV_TEST(a_slash_48_counts_as_one_source)
{
    struct world *w = make_world();
    assert_null(enter(w, 0, ip6(1, 1, 1)));
    assert_null(enter(w, 1, ip6(2, 0, 1)));
    for (size_t i = 2; i < 4 * MAX; i++)
        (void)enter(w, i, ip6(2, i, i)); /* 254 /56s of one /48 */
    assert_true(w->at[0].places != NULL);
    assert_int_equal(w->places.n, 1 + SHARE);
}

PV_TEST(half_full_is_no_crowd)
{
    struct world *w = make_world();
    for (size_t i = 0; i < MAX / 2; i++)
        (void)enter(w, i, ip4(i, 1));
    assert_false(pv_places_crowded(&w->places));
    (void)enter(w, MAX / 2, ip4(200, 1));
    assert_true(pv_places_crowded(&w->places));
    pv_place_leave(&w->at[3]);
    pv_place_leave(&w->at[3]); /* harmless */
    assert_false(pv_places_crowded(&w->places));
}

PV_TEST(members_addresses_are_known_for_a_week)
{
    struct world *w = make_world();
    struct pv_addr a = ip4(7, 1), b = ip4(7, 2), c = ip6(1, 2, 3), d = ip6(1, 2, 99);
    pv_regulars_note(&w->regulars, &a, PV_S(1));
    pv_regulars_note(&w->regulars, &c, PV_S(1));
    assert_true(pv_regulars_has(&w->regulars, &a, PV_S(2)));
    assert_false(pv_regulars_has(&w->regulars, &b, PV_S(2)));
    assert_true(pv_regulars_has(&w->regulars, &d, PV_S(2))); /* the same /64 */
    assert_false(pv_regulars_has(&w->regulars, &a, PV_S(1 + PV_REGULARS_KEEP_S)));
    pv_regulars_note(&w->regulars, &a, PV_S(PV_REGULARS_KEEP_S));
    assert_true(pv_regulars_has(&w->regulars, &a, PV_S(1 + PV_REGULARS_KEEP_S)));
}
