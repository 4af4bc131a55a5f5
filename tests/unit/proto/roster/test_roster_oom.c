/* SPDX-License-Identifier: MIT */
/*
 * A roster without memory: each allocation of each statement fails in turn, and what is merged at
 * last decides as one that never lacked any. Settling needs none. The sources are included so that
 * their allocations can be made to fail.
 */

/* clang-format off */
#include "tests/unit/no_memory.h"
#include "lib/proto/roster/roster.c"
#include "lib/proto/roster/roster_admin.c"
#include "lib/proto/roster/roster_contest.c"
#include "lib/proto/roster/roster_keys.c"
#define cmp_u64 cmp_u64_of_receipts
#include "lib/proto/roster/roster_receipt.c"
#include "lib/proto/roster/roster_set.c"
#include "tests/unit/memory_again.h"
/* clang-format on */

/* The fixture has functions of these names too. */
#define add fixture_add
#include "tests/unit/proto/roster/roster_fixture.h"

enum {
    ITEMS = 11,
};

/* A network whose second admin is removed after it has invited and removed others, and whose third
 * one loses its rights. */
static void make_items(struct world *w, struct item items[static ITEMS])
{
    const struct keys carol = keys_of(7), bob = keys_of(8), dave = keys_of(9), door = keys_of(50),
                      window = keys_of(51);
    items[0] = make_invite(w, &w->creator, &door, 9);
    items[1] = make_member(w, &door, &bob, "bob", 7);
    items[2] = make_admin(w, &w->root, &bob, PV_RIGHT_INVITE | PV_RIGHT_REVOKE);
    items[3] = make_invite(w, &bob, &window, 9);
    items[4] = make_member(w, &window, &carol, "carol", 8);
    items[5] = make_member(w, &door, &dave, "dave", 9);
    items[6] = make_revocation(w, &bob, PV_REVOKE_NODE, dave.pk, NULL, 0);
    items[7] = make_leave(w, &dave, 10);
    items[8] = make_revocation(w, &w->creator, PV_REVOKE_NODE, bob.pk, NULL, 0);
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    items[9] = make_admin(w, &w->root, &carol, PV_RIGHT_INVITE | PV_RIGHT_REVOKE);
    pv_statement_hash(pv_view(items[9].s.raw, items[9].s.len), hash);
    items[10] = make_end(w, &w->creator, carol.pk, hash, NULL, 0);
}

/* Settles without memory. */
static void settle_all(struct pv_roster *r)
{
    const unsigned before = n_allocs;
    (void)settle(r);
    assert_int_equal(n_allocs, before);
}

/* Adds n items in this order. starve: each allocation fails once before it is made. Returns how
 * often one failed. */
static unsigned add_all(struct pv_roster *r, const struct item *items, size_t n_items,
                        bool backwards, bool starve)
{
    unsigned failures = 0;
    for (size_t i = 0; i < n_items; i++) {
        const struct item *it = &items[backwards ? n_items - 1 - i : i];
        enum pv_roster_added added;
        for (unsigned n = 1;; n++) {
            countdown = starve ? n : 0;
            int status = add_status(r, it, &added);
            bool failed = starve && countdown == 0;
            countdown = 0;
            failures += failed;
            /* One that waited for its signer may have failed, and nobody is told. */
            assert_true(status == PV_OK || (failed && status == PV_ERR_NOMEM));
            settle_all(r);
            if (!failed)
                break;
        }
    }
    return failures;
}

PV_TEST(without_memory_a_roster_decides_as_others_do)
{
    struct world w = world_make(1);
    struct item items[ITEMS];
    struct pv_roster *clean = roster_of(&w);
    make_items(&w, items);
    assert_int_equal(add_all(clean, items, ITEMS, false, false), 0);
    assert_null(pv_roster_by_name(clean, "bob"));
    for (unsigned backwards = 0; backwards < 2; backwards++) {
        uint8_t a[PV_STATEMENT_HASH_LEN], b[PV_STATEMENT_HASH_LEN];
        struct pv_roster *starved = roster_of(&w);
        unsigned failures = add_all(starved, items, ITEMS, backwards != 0, true);
        assert_true(failures > ITEMS);
        assert_true(same_head(clean, starved));
        pv_roster_members(clean, a);
        pv_roster_members(starved, b);
        assert_memory_equal(a, b, sizeof(a));
    }
}

/* The room that a large network needs is many allocations at once, and without it the roster goes
 * on as a small one. */
PV_TEST(without_memory_a_roster_grows_as_others_do)
{
    enum {
        DOORS = 80
    };
    static struct item items[DOORS];
    struct world w = world_make(2);
    struct pv_roster *clean = roster_of(&w), *starved = roster_of(&w);
    for (unsigned i = 0; i < DOORS; i++) {
        struct keys door = keys_of(100 + i);
        items[i] = make_invite(&w, &w.creator, &door, 1);
    }
    assert_int_equal(add_all(clean, items, DOORS, false, false), 0);
    assert_non_null(clean->buckets);
    assert_true(add_all(starved, items, DOORS - 1, false, true) > DOORS);
    assert_null(starved->buckets);
    assert_int_equal(add_all(starved, items + DOORS - 1, 1, false, false), 0);
    assert_non_null(starved->buckets);
    assert_true(same_head(clean, starved));
}
