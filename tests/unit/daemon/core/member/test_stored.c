/* SPDX-License-Identifier: MIT */
/* Stored statements and their marks: what is believed at a start, and what is verified. */
#include "daemon/core/member/membership.h"
#include "daemon/core/member/stored.h"
#include "tests/unit/daemon/core/fake_node.h"

enum {
    BOB = 4, /* the last of the statements */
    ITEMS,
};

static struct fake_node f;
static struct item items[ITEMS];
static struct pv_stored_statement stored[ITEMS];

/* Alice's network and bob, all marked. */
void test_before_each(void)
{
    static const struct pv_log silent;
    fake_node_init(&f, &pv_part_membership);
    f.node.log = &silent;
    const struct keys bob = keys_of(7);
    items[0] = item_of(&f.world, &f.world.created.network);
    items[1] = item_of(&f.world, &f.world.created.admin);
    items[2] = item_of(&f.world, &f.world.created.member);
    items[3] = item_of_long(&f.world, &f.world.created.coordinators);
    items[BOB] = make_member(&f.world, &f.world.creator, &bob, "bob", 7);
    for (size_t i = 0; i < ITEMS; i++) {
        stored[i] =
            (struct pv_stored_statement){.statement = pv_view(items[i].s.raw, items[i].s.len),
                                         .receipt = pv_view(items[i].r, items[i].r_len)};
        pv_stored_mark(&f.identity, &stored[i]);
    }
    f.saved.statements = stored;
    f.saved.n_statements = ITEMS;
    memcpy(f.saved.network_id, f.world.created.network_id, sizeof(f.saved.network_id));
}

/* Is bob a member of what is loaded? */
static bool loads_bob(bool *ret_marked)
{
    struct pv_roster *r = NULL;
    assert_ok(pv_stored_load(&f.node, &f.saved, &r, ret_marked));
    assert_non_null(pv_roster_by_name(r, "alice"));
    bool there = pv_roster_by_name(r, "bob") != NULL;
    pv_roster_free(r);
    return there;
}

/* The signature is wrong, and nobody looks. */
PV_TEST(a_right_mark_is_believed)
{
    bool marked;
    items[BOB].s.raw[items[BOB].s.len - 1] ^= 1;
    stored[BOB].receipt = pv_view(NULL, 0); /* an admin's member needs none */
    pv_stored_mark(&f.identity, &stored[BOB]);
    assert_true(loads_bob(&marked));
    assert_true(marked);
}

PV_TEST(a_wrong_mark_is_none)
{
    bool marked;
    /* The statement is right: it is verified, and to be marked. */
    stored[BOB].mark[0] ^= 1;
    assert_true(loads_bob(&marked));
    assert_false(marked);
    stored[BOB].has_mark = false;
    assert_true(loads_bob(&marked));
    assert_false(marked);
    /* Somebody changed it in the database. */
    pv_stored_mark(&f.identity, &stored[BOB]);
    items[BOB].s.raw[items[BOB].s.len - 1] ^= 1;
    assert_false(loads_bob(&marked));
    assert_true(marked); /* what was refused is not marked, or each start would write it */
}

PV_TEST(every_byte_counts)
{
    bool marked;
    /* A receipt that is wrong is refused, and the statement with it. */
    for (size_t i = 0; i < items[BOB].r_len; i++) {
        items[BOB].r[i] ^= 1;
        assert_false(loads_bob(&marked));
        items[BOB].r[i] ^= 1;
        assert_true(loads_bob(&marked) && marked);
    }
    /* Bytes that pass from one part to the other. */
    const struct pv_view whole = stored[BOB].statement;
    uint8_t both[1024];
    memcpy(both, whole.ptr, whole.len);
    memcpy(both + whole.len, items[BOB].r, items[BOB].r_len);
    stored[BOB].statement = pv_view(both, whole.len - 1);
    stored[BOB].receipt = pv_view(both + whole.len - 1, items[BOB].r_len + 1);
    assert_false(loads_bob(&marked));
}

PV_TEST(another_identity_believes_no_marks)
{
    bool marked;
    const struct keys other = keys_of(9);
    memcpy(f.identity.sign_sk, other.sk, sizeof(f.identity.sign_sk));
    assert_true(loads_bob(&marked));
    assert_false(marked);
    items[BOB].s.raw[items[BOB].s.len - 1] ^= 1;
    assert_false(loads_bob(&marked));
}

PV_TEST(without_a_record_there_is_no_roster)
{
    struct pv_roster *r = NULL;
    bool marked;
    f.saved.statements = stored + 1;
    f.saved.n_statements = ITEMS - 1;
    assert_int_equal(pv_stored_load(&f.node, &f.saved, &r, &marked), PV_ERR_MALFORMED);
}

/* As after p2pvpn was downgraded. */
PV_TEST(a_network_that_a_newer_version_stored_is_named_as_such)
{
    struct pv_roster *r = NULL;
    bool marked;
    items[0].s.raw[0] = 2;
    assert_int_equal(pv_stored_load(&f.node, &f.saved, &r, &marked), PV_ERR_UNSUPPORTED);
    /* A record that can be read is enough for a start, which says what it cannot read. */
    items[0].s.raw[0] = 1;
    items[BOB] = make_newer(&f.world, &f.world.creator);
    stored[BOB].statement = pv_view(items[BOB].s.raw, items[BOB].s.len);
    pv_stored_mark(&f.identity, &stored[BOB]);
    assert_ok(pv_stored_load(&f.node, &f.saved, &r, &marked));
    assert_true(pv_roster_saw_newer(r));
    pv_roster_free(r);
}

/* Of a join that was given up: its network's record lies before ours. */
PV_TEST(a_row_that_another_network_left_behind_is_passed_over)
{
    struct pv_roster *r = NULL;
    bool marked;
    struct item foreign = items[0];
    struct pv_stored_statement all[ITEMS + 1];
    foreign.s.raw[foreign.s.len - 1] ^= 1; /* its id is its hash */
    all[0] = (struct pv_stored_statement){.statement = pv_view(foreign.s.raw, foreign.s.len)};
    memcpy(all + 1, stored, sizeof(stored));
    f.saved.statements = all;
    f.saved.n_statements = ITEMS + 1;
    assert_ok(pv_stored_load(&f.node, &f.saved, &r, &marked));
    assert_non_null(pv_roster_by_node(r, keys_of(7).pk));
    pv_roster_free(r);
}
