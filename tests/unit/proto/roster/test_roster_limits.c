/* SPDX-License-Identifier: MIT */
/*
 * Rosters that somebody floods: what they cost, and that they can be repaired. The floods are
 * loaded as from our own store, so their signatures may be anything: each would cost more to make
 * than to take in.
 */
#include "base/bytes.h"
#include "crypto/hash.h"
#include "lib/proto/roster/roster_int.h"
#include "roster_fixture.h"

/* The flood's node i: a key that nobody has, with the addresses that follow from it. */
static void forge_member(struct item *it, const struct world *w, uint32_t i)
{
    uint8_t *f = it->s.raw + 50; /* node, transport, serial, name, ip4, ip6 */
    struct pv_statement st;

    pv_store_be32(f, i);
    pv_store_be32(f + 32, i);
    for (size_t k = 0; k < 6; k++)
        f[74 + k] = (uint8_t)('a' + (i >> (4 * k)) % 16);
    pv_store_be16(f + 80 + 2, (uint16_t)(2 + i % 60000));
    pv_node_ip6(w->created.network_id, f, f + 84);
    assert_ok(pv_statement_decode(pv_view(it->s.raw, it->s.len), &st));
    memcpy(it->r + 66, st.hash, sizeof(st.hash));
    pv_store_be64(it->r + 58, i + 1000); /* its number */
}

static int load(struct pv_roster *r, const struct item *it)
{
    enum pv_roster_added added;
    return pv_roster_load(r, pv_view(it->s.raw, it->s.len), NULL, pv_view(it->r, it->r_len),
                          &added);
}

/* Loads ghosts under an invite until the roster is full; how many it took. */
static uint32_t fill(struct pv_roster *r, struct world *w, const struct keys *invite)
{
    struct keys some = keys_of(4000);
    struct item ghost = make_member(w, invite, &some, "ghosts", 7);
    uint32_t i = 0;

    do
        forge_member(&ghost, w, ++i);
    while (load(r, &ghost) == PV_OK);
    return i;
}

PV_TEST(a_full_roster_can_be_repaired)
{
    struct world w = world_make(1);
    struct pv_roster *r = roster_of(&w);
    struct keys good = keys_of(1), bad = keys_of(2), next = keys_of(3), bob = keys_of(4),
                carol = keys_of(5), dave = keys_of(6);
    struct item items[] = {
        make_invite(&w, &w.creator, &good, 9), make_invite(&w, &w.creator, &bad, 9),
        make_member(&w, &good, &bob, "bob", 60001), make_member(&w, &bad, &carol, "carol", 60002)};
    for (size_t i = 0; i < PV_ARRAY_LEN(items); i++)
        add(r, &items[i]);
    uint32_t ghosts = fill(r, &w, &bad);
    settle(r);
    assert_true(ghosts > 100000);
    assert_int_equal(pv_roster_size(r), PV_ROSTER_MAX_STATEMENTS);
    struct item late = make_member(&w, &good, &dave, "dave", 60003);
    enum pv_roster_added added;
    assert_int_equal(add_status(r, &late, &added), PV_ERR_LIMIT);

    assert_int_equal(
        learn(r, make_revocation(&w, &w.creator, PV_REVOKE_NODE, bob.pk, NULL, 0)).gone, 1);

    /* An admin that uses up the reserve of admins does not reach root's. */
    struct item any = make_revocation(&w, &w.creator, PV_REVOKE_NODE, bad.pk, NULL, 0);
    uint32_t n = 0;
    any.r_len = 0;
    do
        pv_store_be32(any.s.raw + 51, ++n);
    while (load(r, &any) == PV_OK);
    assert_int_equal(n, PV_ROSTER_RESERVE / 2 + 1); /* bob's place was free again */
    (void)learn(r, make_revocation(&w, &w.root, PV_REVOKE_INVITE, bad.pk, carol.pk, 1));
    assert_int_equal(pv_roster_count(r), 2); /* alice and carol */

    /* The invite's member does not count any more: life goes on. */
    struct item invite = make_invite(&w, &w.creator, &next, 9);
    add(r, &invite);
    add(r, &late);
    assert_int_equal(settle(r).added, 1);
}

/* A former admin says places of keys that nobody has: they count for nothing, nor towards the
 * limit. */
PV_TEST(a_former_admins_places_leave_room_for_others)
{
    struct world w = world_make(3);
    struct pv_roster *r = roster_of(&w);
    struct keys anna = keys_of(1), good = keys_of(2), dave = keys_of(3);
    struct item items[] = {make_admin(&w, &w.root, &anna, 3), make_invite(&w, &w.creator, &good, 9),
                           make_member(&w, &w.creator, &anna, "anna", 9),
                           make_revocation(&w, &w.creator, PV_REVOKE_NODE, anna.pk, NULL, 0)};
    for (size_t i = 0; i < PV_ARRAY_LEN(items); i++)
        add(r, &items[i]);
    settle(r);
    struct item any = bare(make_place(&w, &anna, &dave, "x", 9, 1));
    uint32_t n = 0;
    do
        pv_store_be32(any.s.raw + 51, ++n); /* in the key of whom it is about */
    while (load(r, &any) == PV_OK);
    assert_true(n > 100000);
    settle(r);
    add_item(r, make_member(&w, &good, &dave, "dave", 60003));
    assert_int_equal(settle(r).added, 1);
}

/* They count once, with it or with their nodes, also when a receipt makes them good, or when they
 * are dropped. */
PV_TEST(void_places_are_counted_once)
{
    enum {
        GONE = 9
    };
    struct world w = world_make(4);
    struct pv_roster *r = roster_of(&w);
    struct keys anna = keys_of(1), good = keys_of(2), dave = keys_of(3), invite = keys_of(4),
                gone[GONE];
    struct item said[GONE];
    add_item(r, make_admin(&w, &w.root, &anna, 3));
    add_item(r, make_invite(&w, &w.creator, &good, 9));
    add_item(r, make_member(&w, &w.creator, &anna, "anna", 9));
    add_item(r, make_invite(&w, &anna, &invite, GONE));
    for (unsigned i = 0; i < GONE; i++) {
        gone[i] = keys_of(10 + i);
        add_item(r, make_member(&w, &invite, &gone[i], PV_STR("n%u", i), (uint16_t)(100 + i)));
        said[i] = make_place(&w, &anna, &gone[i], PV_STR("m%u", i), (uint16_t)(100 + i), 1);
    }
    settle(r);
    add_item(r, make_revocation(&w, &w.creator, PV_REVOKE_NODE, anna.pk, NULL, 0));
    for (unsigned i = 0; i < GONE; i++)
        add_item(r, bare(said[i]));
    settle(r);
    const size_t dead = r->n_dead;
    for (unsigned i = 0; i < GONE; i++)
        add_item(r, said[i]); /* from before its end */
    settle(r);
    assert_int_equal(r->n_dead, dead);
    for (unsigned i = 0; i < GONE; i++)
        add_item(r, bare(make_place(&w, &anna, &gone[i], "late", 99, 2)));
    settle(r);
    assert_int_equal(r->n_dead, dead + GONE);
    for (unsigned i = 0; i < GONE; i++)
        for (uint64_t k = 0; k < PV_ROSTER_MAX_SELF; k++)
            add_item(r, make_place(&w, &gone[i], &gone[i], "mine", 99, 3 + k));
    settle(r);
    assert_int_equal(r->n_dead, dead - GONE + GONE * PV_ROSTER_MAX_SELF);
    add_item(r, make_member(&w, &good, &dave, "dave", 200));
    assert_int_equal(settle(r).added, 1);
}

/* A transport key statement of this node. */
static struct item make_transport(struct world *w, const struct keys *node, uint64_t serial)
{
    struct pv_statement st = {.type = PV_ST_TRANSPORT};
    st.u.transport = (struct pv_st_transport){.serial = serial, .time = T0};
    memset(st.u.transport.transport, (int)serial, sizeof(st.u.transport.transport));
    return make_statement(w, &st, node);
}

static struct item make_record(struct world *w)
{
    struct pv_statement st = {.type = PV_ST_COORDINATORS}, first;
    assert_ok(pv_statement_decode(pv_view(w->created.coordinators.raw, w->created.coordinators.len),
                                  &first));
    st.u.coordinators = (struct pv_st_coordinators){.seq = 9, .list = first.u.coordinators.list};
    return make_statement(w, &st, &w->root);
}

/* For every type of statement and whoever may sign it. A coordinator asks check_room before it
 * gives a receipt, and a node add: both have the same limit. */
PV_TEST_WHOLE(each_finds_the_room_that_is_its_own_in_a_full_roster)
{
    struct world w = world_make(7);
    struct pv_roster *r = roster_of(&w);
    struct keys bad = keys_of(2), bob = keys_of(4), carol = keys_of(5), dave = keys_of(6),
                erin = keys_of(7), frank = keys_of(8), one = keys_of(9), two = keys_of(10);
    struct item begin[] = {
        make_invite(&w, &w.creator, &bad, 9), make_member(&w, &bad, &bob, "bob", 60001),
        make_member(&w, &bad, &carol, "carol", 60002), make_admin(&w, &w.root, &dave, 1)};
    for (size_t i = 0; i < PV_ARRAY_LEN(begin); i++)
        add(r, &begin[i]);
    for (uint64_t i = 1; i <= PV_ROSTER_MAX_SELF; i++) {
        add_item(r, make_transport(&w, &bob, i));
    }
    (void)fill(r, &w, &bad);
    settle(r);
    struct pv_statement grant;
    assert_ok(pv_statement_decode(pv_view(begin[3].s.raw, begin[3].s.len), &grant));
    const struct {
        const char *what;
        struct item item;
        int status;
    } rows[] = {
        {"root makes an admin", make_admin(&w, &w.root, &erin, 3), PV_OK},
        {"root invites", make_invite(&w, &w.root, &one, 1), PV_OK},
        {"root names coordinators", make_record(&w), PV_OK},
        {"root removes a node", make_revocation(&w, &w.root, PV_REVOKE_NODE, frank.pk, NULL, 0),
         PV_OK},
        {"root ends an invite", make_revocation(&w, &w.root, PV_REVOKE_INVITE, one.pk, NULL, 0),
         PV_OK},
        {"root ends rights", make_end(&w, &w.root, dave.pk, grant.hash, NULL, 0), PV_OK},
        {"an admin removes a node",
         make_revocation(&w, &w.creator, PV_REVOKE_NODE, frank.pk, NULL, 0), PV_OK},
        {"an admin ends an invite",
         make_revocation(&w, &w.creator, PV_REVOKE_INVITE, one.pk, NULL, 0), PV_OK},
        {"an admin ends rights", make_end(&w, &w.creator, dave.pk, grant.hash, NULL, 0), PV_OK},
        {"an admin gives up its rights", make_end(&w, &dave, dave.pk, grant.hash, NULL, 0), PV_OK},
        {"an admin invites", make_invite(&w, &w.creator, &two, 1), PV_ERR_LIMIT},
        {"an admin makes a member", make_member(&w, &w.creator, &frank, "frank", 60003),
         PV_ERR_LIMIT},
        {"a node joins", make_member(&w, &bad, &frank, "frank", 60003), PV_ERR_LIMIT},
        {"a member has its first new key", make_transport(&w, &carol, 1), PV_ERR_LIMIT},
        {"a member replaces its oldest key", make_transport(&w, &bob, 100), PV_OK},
        {"a member leaves", make_leave(&w, &carol, 1), PV_ERR_LIMIT},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_statement st;
        enum pv_roster_added added;
        const struct item *it = &rows[i].item;
        assert_ok(pv_statement_decode(pv_view(it->s.raw, it->s.len), &st));
        int room = pv_roster_check_room(r, &st), status = add_status(r, it, &added);
        if (room != rows[i].status || status != rows[i].status)
            fail_msg("%s: check_room %s, add %s", rows[i].what, pv_strstatus(room),
                     pv_strstatus(status));
    }
}

PV_TEST(a_flood_of_coordinators_records_costs_as_much_as_any_other)
{
    struct world w = world_make(3);
    struct pv_roster *r = roster_of(&w);
    struct keys named[8];
    uint8_t list[PV_STATEMENT_LIST_MAX];
    struct pv_writer writer = pv_writer(list, sizeof(list));
    struct pv_hostport hp = {.host = "192.0.2.9", .port = 1};
    struct pv_made_long made;
    size_t size = pv_roster_size(r);

    for (unsigned i = 0; i < 8; i++) {
        named[i] = keys_of(500 + i);
        pv_coordlist_put(&writer, named[i].pk, &hp, 1);
    }
    assert_ok(pv_make_coordinators(w.created.network_id, pv_signer_sk(w.root.sk), 1,
                                   pv_written(&writer), &made));
    struct item it = {.s = made};
    for (uint32_t i = 0; i < 5000; i++) {
        pv_store_be64(it.s.raw + 50, 2 + i);         /* its seq */
        pv_store_be32(it.s.raw + 50 + 8 + 2 + 4, i); /* the first coordinator's key */
        assert_ok(load(r, &it));
        if (i % 1000 == 0)
            settle(r);
    }
    settle(r);
    assert_int_equal(pv_roster_size(r), size - 1 + PV_ROSTER_MAX_RECORDS);
    assert_true(pv_roster_is_coordinator(r, named[7].pk));
}

/* --- several admins --------------------------------------------------------------------------- */

struct dispute {
    struct world w;
    struct pv_roster *r;
    struct keys a, b, bob;
    struct item a_ends_b, b_ends_a, b_ends_bob;
};

/* Admins a and b and a member bob. b was removed by a, and answers by removing a, and bob. */
static struct dispute dispute_make(void)
{
    struct dispute d = {.w = world_make(4), .a = keys_of(1), .b = keys_of(2), .bob = keys_of(3)};
    d.r = roster_of(&d.w);
    struct item items[] = {
        make_admin(&d.w, &d.w.root, &d.a, 3),
        make_admin(&d.w, &d.w.root, &d.b, 3),
        make_member(&d.w, &d.w.creator, &d.a, "a", 1),
        make_member(&d.w, &d.w.creator, &d.b, "b", 2),
        make_member(&d.w, &d.w.creator, &d.bob, "bob", 3),
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(items); i++)
        add(d.r, &items[i]);
    d.a_ends_b = make_revocation(&d.w, &d.a, PV_REVOKE_NODE, d.b.pk, NULL, 0);
    d.b_ends_a = make_revocation(&d.w, &d.b, PV_REVOKE_NODE, d.a.pk, NULL, 0);
    d.b_ends_bob = make_revocation(&d.w, &d.b, PV_REVOKE_NODE, d.bob.pk, NULL, 0);
    return d;
}

PV_TEST(a_removed_admin_counts_no_more_in_whatever_order_it_is_heard)
{
    for (int order = 0; order < 6; order++) {
        static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                         {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
        struct dispute d = dispute_make();
        const struct item *said[] = {&d.a_ends_b, &d.b_ends_a, &d.b_ends_bob};
        for (size_t i = 0; i < 3; i++) {
            add(d.r, said[orders[order][i]]);
            settle(d.r);
        }
        assert_non_null(pv_roster_by_name(d.r, "a"));
        assert_non_null(pv_roster_by_name(d.r, "bob"));
        assert_null(pv_roster_by_name(d.r, "b"));
        test_end(d.r);
    }
}

PV_TEST(an_admins_word_before_its_removal_stays)
{
    struct dispute d = dispute_make();
    struct item after = make_revocation(&d.w, &d.w.creator, PV_REVOKE_NODE, d.b.pk, NULL, 0);

    add(d.r, &after);
    settle(d.r);
    assert_null(pv_roster_by_name(d.r, "b"));
    add(d.r, &d.b_ends_bob); /* heard late, receipted before */
    settle(d.r);
    assert_null(pv_roster_by_name(d.r, "bob"));
}

PV_TEST(without_the_coordinators_word_both_are_out_and_with_it_the_first_stays)
{
    struct dispute d = dispute_make();
    struct item one = d.a_ends_b, other = d.b_ends_a;

    one.r_len = other.r_len = 0;
    add(d.r, &one);
    add(d.r, &other);
    settle(d.r);
    assert_null(pv_roster_by_name(d.r, "a"));
    assert_null(pv_roster_by_name(d.r, "b"));
    add(d.r, &d.a_ends_b); /* now with its receipt */
    settle(d.r);
    assert_non_null(pv_roster_by_name(d.r, "a"));
    assert_null(pv_roster_by_name(d.r, "b"));
}

/* Settles a few steps at a time; how often it took that. */
static size_t settle_by_steps(struct pv_roster *r)
{
    size_t n = 1;
    while (!pv_roster_settle_some(r, 7)) {
        n++;
        (void)pv_roster_next(r, pv_roster_by_name(r, "alice")); /* it can be asked meanwhile */
    }
    return n;
}

PV_TEST(settling_in_steps_comes_to_the_same)
{
    struct world w = world_make(6), again = world_make(6);
    struct pv_roster *at_once = roster_of(&w), *by_steps = roster_of(&again);
    struct keys bad = keys_of(2), some = keys_of(4000);
    struct item invite = make_invite(&w, &w.creator, &bad, 9);
    struct item ghost = make_member(&w, &bad, &some, "ghosts", 7);
    struct item end = make_revocation(&w, &w.creator, PV_REVOKE_INVITE, bad.pk, NULL, 0);
    uint8_t digest[2][PV_STATEMENT_HASH_LEN];

    add(at_once, &invite);
    add(by_steps, &invite);
    for (uint32_t i = 1; i <= 500; i++) {
        forge_member(&ghost, &w, i);
        assert_ok(load(at_once, &ghost));
        assert_ok(load(by_steps, &ghost));
    }
    for (size_t round = 0; round < 2; round++) {
        if (round == 1) {
            add(at_once, &end);
            add(by_steps, &end);
        }
        assert_true(settle_by_steps(by_steps) > 100);
        struct heard a = settle(at_once), b = settle(by_steps);
        assert_int_equal(a.added, b.added);
        assert_int_equal(a.gone, b.gone);
        assert_int_equal(round == 0 ? a.added : a.gone, 500);
        pv_roster_members(at_once, digest[0]);
        pv_roster_members(by_steps, digest[1]);
        assert_memory_equal(digest[0], digest[1], sizeof(digest[0]));
        assert_true(same_head(at_once, by_steps));
    }
}

/* --- the set of statements by their hashes --------------------------------------------------- */

/* A roster chooses by the number of statements how it keeps them; a comparison of two must not
 * depend on it. */

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
        (void)learn(r, make_invite(&w, &w.creator, &door, 1));
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
    for (unsigned round = 1; round < 2 * PV_ROSTER_MAX_REPORTS; round += 7) {
        for (unsigned i = 0; i < round; i++)
            pv_roster_report(r, PV_ROSTER_EV_REFUSED, NULL, "report %u", i);
        unsigned first = round > PV_ROSTER_MAX_REPORTS ? round - PV_ROSTER_MAX_REPORTS : 0;
        for (unsigned i = first; i < round; i++) {
            assert_ok(pv_roster_take_report(r, &report));
            assert_string_equal(report.text, PV_STR("report %u", i));
        }
        assert_int_equal(pv_roster_take_report(r, &report), PV_ERR_AGAIN);
        assert_null(r->reports);
    }
}
