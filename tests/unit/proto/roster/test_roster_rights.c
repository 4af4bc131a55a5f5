/* SPDX-License-Identifier: MIT */
/* Rights that end: what an admin said before its end stays, what it says afterwards has no effect.
 */
#include "roster_fixture.h"

/* The hash of a statement. */
struct hash {
    uint8_t bytes[PV_STATEMENT_HASH_LEN];
};

static struct hash hash_of(const struct item *it)
{
    struct hash h;
    pv_statement_hash(pv_view(it->s.raw, it->s.len), h.bytes);
    return h;
}

/* A network with two admins beside the creator, both members, and an invite of the first. */
struct office {
    struct world w;
    struct pv_roster *r;
    struct keys anna, ben, inv, bob;
    struct item grant_anna, grant_ben;
};

static struct office office_make(unsigned seed)
{
    struct office o = {.w = world_make(seed),
                       .anna = keys_of(1),
                       .ben = keys_of(2),
                       .inv = keys_of(3),
                       .bob = keys_of(4)};
    o.r = roster_of(&o.w);
    o.grant_anna = make_admin(&o.w, &o.w.root, &o.anna, 3);
    o.grant_ben = make_admin(&o.w, &o.w.root, &o.ben, 3);
    struct item items[] = {
        o.grant_anna,
        o.grant_ben,
        make_member(&o.w, &o.w.creator, &o.anna, "anna", 1),
        make_member(&o.w, &o.w.creator, &o.ben, "ben", 2),
        make_invite(&o.w, &o.anna, &o.inv, 5),
        make_member(&o.w, &o.inv, &o.bob, "bob", 3),
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(items); i++)
        add(o.r, &items[i]);
    settle(o.r);
    assert_int_equal(pv_roster_count(o.r), 4);
    return o;
}

static struct item end_of(struct office *o, const struct keys *signer, const struct keys *about,
                          const struct item *grant)
{
    return make_end(&o->w, signer, about->pk, hash_of(grant).bytes, NULL, 0);
}

PV_TEST(words_from_before_stay)
{
    struct office o = office_make(1);
    struct keys carol = keys_of(5), dave = keys_of(6), inv2 = keys_of(7);
    struct item by_anna = make_member(&o.w, &o.anna, &carol, "carol", 4);
    struct item revoked = make_revocation(&o.w, &o.anna, PV_REVOKE_NODE, o.ben.pk, NULL, 0);

    add(o.r, &by_anna);
    add(o.r, &revoked);
    struct item end = end_of(&o, &o.w.creator, &o.anna, &o.grant_anna);
    add(o.r, &end);
    settle(o.r);
    assert_int_equal(pv_roster_rights(o.r, o.anna.pk), 0);
    const struct pv_member *anna = pv_roster_by_name(o.r, "anna");
    assert_non_null(anna); /* who is no admin any more is a member all the same */
    assert_int_equal(anna->rights, 0);
    assert_non_null(pv_roster_by_name(o.r, "bob"));
    assert_non_null(pv_roster_by_name(o.r, "carol"));
    assert_null(pv_roster_by_name(o.r, "ben"));
    /* An open invite of hers still lets in: whoever ends her rights may revoke it, too. */
    assert_int_equal(pv_roster_check_invite(o.r, o.inv.pk, dave.pk, T0), PV_OK);

    struct item late[] = {
        make_revocation(&o.w, &o.anna, PV_REVOKE_NODE, o.bob.pk, NULL, 0),
        make_invite(&o.w, &o.anna, &inv2, 1),
        make_member(&o.w, &inv2, &dave, "dave", 5),
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(late); i++)
        add(o.r, &late[i]);
    struct heard h = settle(o.r);
    assert_int_equal(h.gone + h.added, 0);
    assert_int_equal(pv_roster_check_invite(o.r, inv2.pk, dave.pk, T0), PV_ERR_REFUSED);
}

/* Two admins end each other: the coordinator's order decides, and without one both are out. */
PV_TEST(the_first_end_voids_the_second)
{
    struct office o = office_make(2);
    struct item first = end_of(&o, &o.ben, &o.anna, &o.grant_anna);
    struct item second = end_of(&o, &o.anna, &o.ben, &o.grant_ben);
    struct item bare[] = {first, second};

    bare[0].r_len = bare[1].r_len = 0;
    add(o.r, &bare[0]);
    add(o.r, &bare[1]);
    settle(o.r);
    assert_int_equal(pv_roster_rights(o.r, o.anna.pk), 0);
    assert_int_equal(pv_roster_rights(o.r, o.ben.pk), 0);
    add(o.r, &second);
    settle(o.r);
    assert_int_equal(pv_roster_rights(o.r, o.anna.pk), 3); /* only hers has a place in order */
    add(o.r, &first);
    struct heard h = settle(o.r);
    assert_int_equal(pv_roster_rights(o.r, o.anna.pk), 0);
    assert_int_equal(pv_roster_rights(o.r, o.ben.pk), 3);
    assert_true(h.changed >= 2);
}

PV_TEST(root_may_grant_again)
{
    struct office o = office_make(3);
    struct item end = end_of(&o, &o.ben, &o.anna, &o.grant_anna);
    struct item again = make_admin(&o.w, &o.w.root, &o.anna, PV_RIGHT_INVITE);

    add(o.r, &end);
    settle(o.r);
    assert_int_equal(pv_roster_rights(o.r, o.anna.pk), 0);
    const struct pv_roster_entry *ended = pv_roster_next_proof(o.r, o.anna.pk, NULL);
    assert_null(pv_roster_next_grant(o.r, o.anna.pk, NULL));
    assert_non_null(ended); /* what she said before stays good */
    assert_memory_equal(ended->st.hash, hash_of(&o.grant_anna).bytes, PV_STATEMENT_HASH_LEN);
    assert_null(pv_roster_next_proof(o.r, o.anna.pk, ended));
    add(o.r, &again);
    settle(o.r);
    assert_int_equal(pv_roster_rights(o.r, o.anna.pk), PV_RIGHT_INVITE);
    const struct pv_roster_entry *g = pv_roster_next_grant(o.r, o.anna.pk, NULL);
    assert_non_null(g);
    assert_memory_equal(g->st.hash, hash_of(&again).bytes, PV_STATEMENT_HASH_LEN);
    assert_null(pv_roster_next_grant(o.r, o.anna.pk, g));
    assert_ptr_equal(pv_roster_next_proof(o.r, o.anna.pk, NULL), g);
    assert_null(pv_roster_next_proof(o.r, o.anna.pk, g));
}

/* Those who may: root, an admin with the right to revoke, and each admin about itself. Nobody about
 * root. */
PV_TEST(only_some_may_end_rights)
{
    struct office o = office_make(4);
    struct keys inviter = keys_of(8);
    struct item grant = make_admin(&o.w, &o.w.root, &inviter, PV_RIGHT_INVITE);
    enum pv_roster_added added;

    add(o.r, &grant);
    struct item by_member = end_of(&o, &o.bob, &o.anna, &o.grant_anna);
    assert_int_equal(add_status(o.r, &by_member, &added), PV_OK);
    assert_int_equal(added, PV_ROSTER_ORPHAN);
    struct item by_inviter = end_of(&o, &inviter, &o.anna, &o.grant_anna);
    struct item of_root = make_end(&o.w, &o.ben, o.w.root.pk, hash_of(&grant).bytes, NULL, 0);
    struct item wrong_key = end_of(&o, &o.ben, &o.anna, &o.grant_ben);
    add(o.r, &by_inviter);
    add(o.r, &of_root);
    add(o.r, &wrong_key);
    settle(o.r);
    assert_int_equal(pv_roster_rights(o.r, o.anna.pk), 3);
    assert_int_equal(pv_roster_rights(o.r, o.ben.pk), 3);
    assert_int_equal(pv_roster_rights(o.r, o.w.root.pk), 3);
    struct item own = end_of(&o, &inviter, &inviter, &grant);
    add(o.r, &own);
    settle(o.r);
    assert_int_equal(pv_roster_rights(o.r, inviter.pk), 0);
}

/* Without a receipt nobody can say that an admin's word came before its end; whoever ends its
 * rights names those who stay. */
PV_TEST(a_member_that_rests_on_a_word_without_receipt_stays_if_named)
{
    struct office o = office_make(5);
    struct keys nodes[12];
    struct pv_made made;
    size_t iter = 0, statements = 0;

    for (unsigned i = 0; i < PV_ARRAY_LEN(nodes); i++) {
        char name[PV_NAME_BUF];
        nodes[i] = keys_of(20 + i);
        snprintf(name, sizeof(name), "node%u", i);
        struct item m = make_member(&o.w, &o.anna, &nodes[i], name, (uint16_t)(100 + i));
        m.r_len = 0;
        add(o.r, &m);
    }
    struct item again = make_admin(&o.w, &o.w.root, &o.anna, PV_RIGHT_INVITE);
    add(o.r, &again);
    settle(o.r);
    do {
        assert_int_equal(
            pv_make_rights_end(o.r, pv_signer_sk(o.ben.sk), o.anna.pk, T0 + 90000, &iter, &made),
            PV_OK);
        struct item it = item_of(&o.w, &made);
        add(o.r, &it);
        statements++;
    } while (iter != 0 && statements < 10);
    assert_int_equal(statements, 2); /* two grants; ten nodes and then two */
    struct heard h = settle(o.r);
    assert_int_equal(h.gone, 0);
    assert_int_equal(pv_roster_rights(o.r, o.anna.pk), 0);

    struct keys late = keys_of(50);
    struct item m = make_member(&o.w, &o.anna, &late, "late", 200);
    m.r_len = 0;
    add(o.r, &m);
    settle(o.r);
    assert_null(pv_roster_by_name(o.r, "late"));
    iter = 0;
    assert_int_equal(pv_make_rights_end(o.r, pv_signer_sk(o.ben.sk), o.anna.pk, T0, &iter, &made),
                     PV_ERR_NOT_FOUND);
    assert_int_equal(pv_make_rights_end(o.r, pv_signer_sk(o.ben.sk), o.w.root.pk, T0, &iter, &made),
                     PV_ERR_NOT_FOUND);
}

static struct item record_by(struct office *o, const struct keys *signer, uint64_t seq)
{
    struct pv_statement st = {.type = PV_ST_COORDINATORS, .u.coordinators.seq = seq};
    struct pv_hostport hp = {.host = "198.51.100.7", .port = 3478};
    uint8_t list[128];
    struct pv_writer writer = pv_writer(list, sizeof(list));

    pv_coordlist_put(&writer, signer->pk, &hp, 1);
    st.u.coordinators.list = pv_written(&writer);
    return make_statement(&o->w, &st, signer);
}

/* An admin may have put a coordinators record above all others; ended by name, it makes room. */
PV_TEST(an_ended_coordinators_record_is_not_in_force)
{
    struct office o = office_make(6);
    struct item top = record_by(&o, &o.anna, UINT64_MAX), mine = record_by(&o, &o.ben, 2);
    struct item end = end_of(&o, &o.ben, &o.anna, &top);
    struct keys anna = o.anna;

    add(o.r, &end); /* before what it names, which makes no difference */
    add(o.r, &mine);
    settle(o.r);
    struct pv_view first = pv_roster_coordinators(o.r);
    add(o.r, &top);
    assert_int_equal(settle(o.r).coordinators, 0);
    assert_true(pv_view_equal(pv_roster_coordinators(o.r), first));
    /* Whom it names keeps its word: members may rest on it. */
    assert_true(pv_roster_is_coordinator(o.r, anna.pk));
}

/* A right that somebody ended without the right to it has ended once root grants that right,
 * whichever of the two came first. */
PV_TEST(a_right_counts_for_what_was_said_before_it_came)
{
    struct office o = office_make(7);
    struct keys dora = keys_of(5);
    struct item inviter = make_admin(&o.w, &o.w.root, &dora, PV_RIGHT_INVITE);
    struct item full = make_admin(&o.w, &o.w.root, &dora, PV_RIGHT_INVITE | PV_RIGHT_REVOKE);
    struct item top = record_by(&o, &o.anna, UINT64_MAX), mine = record_by(&o, &o.ben, 2);
    struct item end = end_of(&o, &dora, &o.anna, &top);

    add(o.r, &mine);
    settle(o.r);
    struct pv_view before = pv_roster_coordinators(o.r);
    add(o.r, &top);
    add(o.r, &inviter);
    add(o.r, &end);
    settle(o.r);
    assert_false(pv_view_equal(pv_roster_coordinators(o.r), before)); /* it is void */
    add(o.r, &full);
    assert_int_equal(settle(o.r).coordinators, 1);
    assert_true(pv_view_equal(pv_roster_coordinators(o.r), before));
}

/* Two admins signed one invite key. Once the rights of the one whose word counted have ended, the
 * other's says how many may join. */
PV_TEST(the_other_invite_of_a_key_counts_once_the_first_does_not)
{
    struct office o = office_make(8);
    struct keys key, dave = keys_of(6), erin = keys_of(7);
    struct item many, one;
    unsigned i = 8;

    do { /* the lower hash goes first */
        key = keys_of(i++);
        many = make_invite(&o.w, &o.anna, &key, 5);
        one = make_invite(&o.w, &o.ben, &key, 1);
    } while (memcmp(hash_of(&many).bytes, hash_of(&one).bytes, PV_STATEMENT_HASH_LEN) > 0);
    many.r_len = 0; /* nobody can tell whether she said it before her end */
    struct item items[] = {many, one, make_member(&o.w, &key, &dave, "dave", 6),
                           make_member(&o.w, &key, &erin, "erin", 7)};
    for (size_t k = 0; k < PV_ARRAY_LEN(items); k++)
        add(o.r, &items[k]);
    struct heard h = settle(o.r);
    assert_int_equal(h.added, 2);
    assert_int_equal(h.breaks, 0);
    struct item end = end_of(&o, &o.w.creator, &o.anna, &o.grant_anna);
    add(o.r, &end);
    h = settle(o.r);
    assert_int_equal(h.gone, 0);
    assert_int_equal(h.breaks, 1); /* one may join by it, and two have */
}
