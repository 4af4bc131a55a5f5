/* SPDX-License-Identifier: MIT */
/* Type 32, what a node is able to: its form, who may sign it, and which of several counts. */
#include "tests/unit/proto/roster/roster_fixture.h"

static struct pv_view able(const struct pv_roster *r, const struct keys *k, uint32_t abilities,
                           struct pv_made *made)
{
    assert_int_equal(pv_make_able(r, k->sk, abilities, T0, made), PV_OK);
    return pv_made_view(made);
}

static int add_raw(struct pv_roster *r, struct pv_view raw)
{
    enum pv_roster_added added;
    int status = pv_roster_add(r, raw, pv_view(NULL, 0), &added);
    (void)settle(r);
    return status;
}

PV_TEST(it_reads_back_and_its_encoding_stays)
{
    struct pv_statement st = {.type = PV_ST_ABLE}, got;
    const struct keys node = keys_of(5);
    uint8_t buf[PV_STATEMENT_SHORT_MAX];
    size_t len;
    memset(st.network_id, 7, sizeof(st.network_id));
    st.u.able =
        (struct pv_st_able){.serial = 11, .abilities = PV_ABLE_PQ | 0x80000000, .time = 1700000009};
    assert_int_equal(pv_statement_make(&st, pv_signer_sk(node.sk), NULL, buf, sizeof(buf), &len),
                     PV_OK);
    assert_int_equal(len, 50 + 8 + 4 + 8 + 64);
    assert_int_equal(buf[1], 32);
    assert_memory_equal(buf + 50, "\0\0\0\0\0\0\0\x0b\x80\0\0\x01\0\0\0\0", 16);
    assert_int_equal(pv_statement_decode(pv_view(buf, len), &got), PV_OK);
    assert_int_equal(pv_statement_verify(&got), PV_OK);
    assert_memory_equal(&got.u.able, &st.u.able, sizeof(st.u.able));
    for (size_t cut = 1; cut < len; cut++)
        assert_int_not_equal(pv_statement_decode(pv_view(buf, cut), &got), PV_OK);
    buf[60] ^= 1;
    assert_int_equal(pv_statement_decode(pv_view(buf, len), &got), PV_OK);
    assert_int_equal(pv_statement_verify(&got), PV_ERR_AUTH);
}

/* The newest counts, in whatever order they come, and eight are kept. */
PV_TEST(the_highest_serial_counts)
{
    struct world w = world_make(1);
    struct pv_roster *r = roster_of(&w);
    struct pv_made made[12];
    const struct keys bob = keys_of(20);
    struct item m = make_member(&w, &w.creator, &bob, "bob", 20);
    add(r, &m);
    (void)settle(r);
    const struct pv_member *p = pv_roster_by_name(r, "bob");
    assert_int_equal(p->abilities, 0);
    for (uint32_t i = 0; i < 12; i++) {
        assert_int_equal(add_raw(r, able(r, &bob, i % 2, &made[i])), PV_OK);
        assert_int_equal(pv_roster_by_name(r, "bob")->abilities, i % 2);
    }
    assert_int_equal(add_raw(r, pv_made_view(&made[0])), PV_ERR_REPLAY); /* of long ago */
    assert_int_equal(pv_roster_by_name(r, "bob")->abilities, 1);
    assert_int_equal(pv_roster_by_name(r, "bob")->state, PV_MEMBER_ACTIVE);
}

PV_TEST(a_key_of_no_node_says_nothing)
{
    struct world w = world_make(2);
    struct pv_roster *r = roster_of(&w);
    struct pv_made made;
    const struct keys stranger = keys_of(21);
    (void)add_raw(r, able(r, &w.root, PV_ABLE_PQ, &made));
    assert_int_equal(pv_roster_by_node(r, w.creator.pk)->abilities, 0);
    (void)add_raw(r, able(r, &stranger, PV_ABLE_PQ, &made)); /* waits for its member statement */
    assert_null(pv_roster_by_node(r, stranger.pk));
}
