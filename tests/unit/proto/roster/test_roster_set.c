/* SPDX-License-Identifier: MIT */
/*
 * The set of statements by their hashes: what two rosters compare must not depend on how many
 * statements there are, by which a roster chooses how it keeps them.
 */
#include "crypto/hash.h"
#include "lib/proto/roster/roster_int.h"
#include "roster_fixture.h"

enum {
    STATEMENTS = 200, /* well above those that one bucket has */
};

struct hashes {
    uint8_t v[STATEMENTS + 16][PV_STATEMENT_HASH_LEN];
    size_t n;
};

static int cmp_hashes(const void *a, const void *b)
{
    return memcmp(a, b, PV_STATEMENT_HASH_LEN);
}

/* The hashes of all statements, or of those with this first byte, ascending. */
static struct hashes hashes_of(const struct pv_roster *r, int first_byte)
{
    struct hashes h = {.n = 0};
    const struct pv_roster_entry *e = NULL;
    while ((e = pv_roster_next_entry(r, e)) != NULL) {
        assert_true(h.n < PV_ARRAY_LEN(h.v));
        if (first_byte < 0 || e->st.hash[0] == first_byte)
            memcpy(h.v[h.n++], e->st.hash, PV_STATEMENT_HASH_LEN);
    }
    qsort(h.v, h.n, PV_STATEMENT_HASH_LEN, cmp_hashes);
    return h;
}

static void hash_all(const struct hashes *h, uint8_t out[static PV_BLAKE2B_LEN])
{
    pv_blake2b(out, pv_view(h->v, h->n * PV_STATEMENT_HASH_LEN), pv_view(NULL, 0),
               pv_view(NULL, 0));
}

static void expect_head(struct pv_roster *r)
{
    uint8_t head[PV_STATEMENT_HASH_LEN], expected[PV_BLAKE2B_LEN];
    const struct hashes all = hashes_of(r, -1);
    hash_all(&all, expected);
    pv_roster_head(r, head);
    assert_memory_equal(head, expected, sizeof(head));
    assert_int_equal(pv_roster_size(r), all.n);
}

static void expect_bucket(struct pv_roster *r, uint8_t bucket)
{
    uint8_t digest[PV_BLAKE2B_LEN];
    const struct hashes h = hashes_of(r, bucket);
    hash_all(&h, digest);
    assert_int_equal(pv_roster_bucket_digest(r, bucket), h.n == 0 ? 0 : pv_load_be32(digest));
    assert_int_equal(pv_roster_receipts_digest(r, bucket) == 0, h.n == 0);
    for (size_t i = 0; i < h.n; i++) {
        const struct pv_roster_entry *e = pv_roster_bucket_at(r, bucket, i);
        assert_memory_equal(e->st.hash, h.v[i], PV_STATEMENT_HASH_LEN);
        assert_ptr_equal(pv_roster_find(r, h.v[i]), e);
        assert_ptr_equal(pv_roster_find_prefix(r, h.v[i]), e);
    }
    assert_null(pv_roster_bucket_at(r, bucket, h.n));
}

PV_TEST(the_compared_set_follows_from_the_statements_alone)
{
    struct world w = world_make(1);
    struct pv_roster *r = roster_of(&w);
    bool was_one = false, is_split = false;
    for (unsigned i = 0; i < STATEMENTS; i++) {
        struct keys door = keys_of(1000 + i);
        struct item it = make_invite(&w, &w.creator, &door, 1);
        add(r, &it);
        (void)settle(r);
        expect_head(r);
        if (i % 20 != 0)
            continue;
        for (unsigned bucket = 0; bucket < PV_ROSTER_BUCKETS; bucket++)
            expect_bucket(r, (uint8_t)bucket);
        was_one = was_one || r->buckets == NULL;
        is_split = r->buckets != NULL;
    }
    assert_true(was_one && is_split);
}

/* A coordinator has thousands of networks of ten. */
PV_TEST(a_small_network_keeps_no_room_for_a_large_one)
{
    struct world w = world_make(2);
    struct pv_roster *r = roster_of(&w);
    struct keys door = keys_of(50);
    struct item it = make_invite(&w, &w.creator, &door, 10);
    add(r, &it);
    for (unsigned i = 0; i < 10; i++) {
        char name[] = "node-a";
        struct keys node = keys_of(60 + i);
        name[5] = (char)('a' + i);
        it = make_member(&w, &door, &node, name, (uint16_t)(10 + i));
        add(r, &it);
    }
    assert_int_equal(settle(r).added, 10);
    assert_true(sizeof(struct pv_roster) <= 1024);
    assert_null(r->buckets);
    assert_null(r->orphans);
    assert_null(r->reports);
    assert_true(r->few.cap <= 32 && r->scratch_cap <= 32);
}

/* The ring of reports doubles while none is taken, keeps the newest, and goes with the last. */
PV_TEST(reports_wait_in_order_and_the_newest_are_kept)
{
    struct world w = world_make(3);
    struct pv_roster *r = roster_of(&w);
    struct pv_roster_report report;
    char text[PV_ROSTER_TEXT];
    for (unsigned round = 1; round < 2 * PV_ROSTER_MAX_REPORTS; round += 7) {
        for (unsigned i = 0; i < round; i++)
            pv_roster_report(r, PV_ROSTER_EV_REFUSED, NULL, "report %u", i);
        unsigned first = round > PV_ROSTER_MAX_REPORTS ? round - PV_ROSTER_MAX_REPORTS : 0;
        for (unsigned i = first; i < round; i++) {
            assert_int_equal(pv_roster_take_report(r, &report), PV_OK);
            snprintf(text, sizeof(text), "report %u", i);
            assert_string_equal(report.text, text);
        }
        assert_int_equal(pv_roster_take_report(r, &report), PV_ERR_AGAIN);
        assert_null(r->reports);
    }
}
