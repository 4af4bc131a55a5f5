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
    (void)learn(o.r, end_of(&o, &o.w.creator, &o.anna, &o.grant_anna));
    assert_int_equal(pv_roster_rights(o.r, o.anna.pk), 0);
    const struct pv_member *anna = pv_roster_by_name(o.r, "anna");
    assert_non_null(anna); /* who is no admin any more is a member all the same */
    assert_int_equal(anna->rights, 0);
    assert_non_null(pv_roster_by_name(o.r, "bob"));
    assert_non_null(pv_roster_by_name(o.r, "carol"));
    assert_null(pv_roster_by_name(o.r, "ben"));
    /* An open invite of hers still lets in: whoever ends her rights may revoke it, too. */
    assert_ok(pv_roster_check_invite(o.r, o.inv.pk, dave.pk, T0));

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
    assert_ok(add_status(o.r, &by_member, &added));
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
    (void)learn(o.r, end_of(&o, &inviter, &inviter, &grant));
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
        nodes[i] = keys_of(20 + i);
        struct item m =
            make_member(&o.w, &o.anna, &nodes[i], PV_STR("node%u", i), (uint16_t)(100 + i));
        m.r_len = 0;
        add(o.r, &m);
    }
    (void)learn(o.r, make_admin(&o.w, &o.w.root, &o.anna, PV_RIGHT_INVITE));
    do {
        assert_ok(
            pv_make_rights_end(o.r, pv_signer_sk(o.ben.sk), o.anna.pk, T0 + 90000, &iter, &made));
        add_item(o.r, item_of(&o.w, &made));
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

/* --- places (type 10): another name and address, by the member or an admin ------------------- */

/* bob at 10.66.0.5 and carol at 10.66.0.6, both let in by the creator. */
static struct roster_of_two {
    struct world w;
    struct keys bob, carol;
    struct pv_roster *r;
} t;

static int start(void **state)
{
    t.w = world_make(15);
    t.bob = keys_of(2);
    t.carol = keys_of(3);
    t.r = roster_of(&t.w);
    struct item b = make_member(&t.w, &t.w.creator, &t.bob, "bob", 5);
    struct item c = make_member(&t.w, &t.w.creator, &t.carol, "carol", 6);
    add(t.r, &b);
    add(t.r, &c);
    (void)settle(t.r);
    return 0;
}

static void assert_is(const struct keys *node, const char *name, uint8_t last)
{
    const struct pv_member *m = pv_roster_by_node(t.r, node->pk);
    assert_non_null(m);
    assert_string_equal(m->name, name);
    assert_int_equal(m->ip4.ip[3], last);
    assert_ptr_equal(pv_roster_by_name(t.r, name), m);
    assert_ptr_equal(pv_roster_by_ip(t.r, &m->ip4), m);
}

static struct heard place(const struct keys *by, const struct keys *node, const char *name,
                          uint16_t ip, uint64_t serial)
{
    return learn(t.r, make_place(&t.w, by, node, name, ip, serial));
}

PV_TEST_IN(a_member_is_where_its_newest_place_says, start, NULL)
{
    assert_int_equal(pv_roster_next_serial(t.r, t.bob.pk), 1);
    assert_int_equal(place(&t.bob, &t.bob, "rob", 5, 1).changed, 1);
    assert_is(&t.bob, "rob", 5);
    assert_int_equal(place(&t.bob, &t.bob, "rob", 9, 3).changed, 1);
    assert_is(&t.bob, "rob", 9);
    assert_int_equal(place(&t.bob, &t.bob, "bert", 7, 2).changed, 0); /* older than that */
    assert_is(&t.bob, "rob", 9);
    assert_int_equal(pv_roster_next_serial(t.r, t.bob.pk), 4);
    assert_int_equal(place(&t.bob, &t.bob, "bob", 5, 4).changed, 1); /* back again */
    assert_is(&t.bob, "bob", 5);
}

PV_TEST_IN(its_first_name_stays_its_own, start, NULL)
{
    (void)place(&t.bob, &t.bob, "rob", 9, 1);
    assert_null(pv_roster_by_name(t.r, "bob"));
    assert_false(pv_roster_name_is_free(t.r, "bob", t.carol.pk));
    assert_true(pv_roster_name_is_free(t.r, "bob", t.bob.pk));
    assert_int_equal(place(&t.carol, &t.carol, "bob", 6, 1).refused, 1);
    assert_is(&t.carol, "carol", 6); /* who loses a name keeps the old one, and stays a member */
    const uint8_t five[4] = {10, 66, 0, 5}, seven[4] = {10, 66, 0, 7};
    assert_false(pv_roster_ip4_is_free(t.r, five, t.carol.pk));
    assert_true(pv_roster_ip4_is_free(t.r, seven, t.carol.pk));
}

/* As it was: a node that did not hear who has it now, or hears it well, says it again. */
PV_TEST_IN(a_name_that_was_given_up_is_had_again_in_order, start, NULL)
{
    (void)place(&t.bob, &t.bob, "rob", 5, 1);
    (void)place(&t.bob, &t.bob, "bert", 5, 2);
    assert_int_equal(place(&t.carol, &t.carol, "rob", 6, 1).changed, 1);
    assert_int_equal(place(&t.bob, &t.bob, "rob", 5, 3).refused, 1);
    assert_is(&t.carol, "rob", 6);
    assert_is(&t.bob, "bob", 5);
    struct pv_roster_former former;
    const struct pv_member *m = pv_roster_by_node(t.r, t.carol.pk);
    assert_ok(pv_roster_former(t.r, m, &former));
    assert_memory_equal(former.node, t.bob.pk, sizeof(former.node));
    (void)place(&t.carol, &t.carol, "caro", 6, 2);
    assert_is(&t.bob, "rob", 5);
    m = pv_roster_by_node(t.r, t.bob.pk);
    assert_ok(pv_roster_former(t.r, m, &former));
    assert_memory_equal(former.node, t.carol.pk, sizeof(former.node));
    const uint64_t since = former.since;
    /* Neither a repetition nor another address gives it to somebody who claims it in vain. */
    assert_int_equal(place(&t.carol, &t.carol, "rob", 6, 3).refused, 1);
    (void)place(&t.bob, &t.bob, "rob", 5, 4);
    assert_is(&t.bob, "rob", 5);
    (void)place(&t.bob, &t.bob, "rob", 9, 5);
    assert_is(&t.bob, "rob", 9);
    /* The claim in vain made nobody the one that had it before. */
    m = pv_roster_by_node(t.r, t.bob.pk);
    assert_ok(pv_roster_former(t.r, m, &former));
    assert_int_equal(former.since, since);
}

/* Of two that want one address, while they do not hear of each other, the first one has it under
 * whatever names it has from then on; the other one keeps the name that it says with it. */
PV_TEST_IN(an_address_is_kept_from_one_that_claims_it_in_vain, start, NULL)
{
    struct pv_roster_former former;
    (void)place(&t.w.creator, &t.bob, "bob", 77, 1);
    assert_int_equal(place(&t.w.creator, &t.carol, "caro", 77, 1).refused, 1);
    assert_is(&t.carol, "caro", 6);
    char text[PV_ROSTER_REFUSED];
    const struct pv_roster_entry *waits = pv_roster_next_refused(t.r, NULL, t.bob.pk, text);
    assert_non_null(waits);
    assert_true(pv_roster_waits_for(t.r, waits, pv_roster_by_node(t.r, t.bob.pk)));
    assert_false(pv_roster_waits_for(t.r, waits, pv_roster_by_node(t.r, t.carol.pk)));
    (void)place(&t.bob, &t.bob, "rob", 77, 2);
    assert_is(&t.bob, "rob", 77);
    (void)place(&t.w.creator, &t.bob, "bert", 77, 3);
    assert_is(&t.bob, "bert", 77);
    assert_int_equal(pv_roster_former_ip4(t.r, pv_roster_by_node(t.r, t.bob.pk), &former),
                     PV_ERR_NOT_FOUND);
    (void)place(&t.bob, &t.bob, "bert", 8, 4); /* given up */
    assert_is(&t.bob, "bert", 8);
    assert_is(&t.carol, "caro", 77);
    assert_ok(pv_roster_former_ip4(t.r, pv_roster_by_node(t.r, t.carol.pk), &former));
    assert_memory_equal(former.node, t.bob.pk, sizeof(former.node));
    assert_int_equal(place(&t.bob, &t.bob, "bert", 77, 5).refused, 1);
    assert_is(&t.bob, "bert", 5);
}

/* The removal lets dan stay, whom the admin let in, and gives it no word about dan. */
PV_TEST_IN(an_admins_places_outlive_it_and_it_says_no_more, start, NULL)
{
    const struct keys anna = keys_of(9), dan = keys_of(10);
    const uint8_t at77[4] = {10, 66, 0, 77};
    (void)learn(t.r, make_admin(&t.w, &t.w.root, &anna, 3));
    (void)learn(t.r, make_member(&t.w, &t.w.creator, &anna, "anna", 9));
    (void)learn(t.r, make_member(&t.w, &anna, &dan, "dan", 10));
    (void)place(&anna, &t.bob, "rob", 77, 1);
    (void)place(&anna, &t.carol, "carla", 6, 1);
    (void)learn(t.r, make_revocation(&t.w, &t.w.creator, PV_REVOKE_NODE, anna.pk, dan.pk, 1));
    assert_is(&t.bob, "rob", 77);
    assert_is(&t.carol, "carla", 6);
    assert_is(&dan, "dan", 10);
    assert_false(pv_roster_ip4_is_free(t.r, at77, dan.pk));
    (void)place(&t.bob, &t.bob, "rob", 5, 2);
    assert_true(pv_roster_ip4_rests(t.r, at77, dan.pk) > 0);
    (void)place(&anna, &dan, "late", 90, 1);
    const uint64_t rests = pv_roster_ip4_rests(t.r, at77, dan.pk);
    struct pv_st_place late = {
        .serial = 3, .time = UINT32_MAX, .name = "evil", .ip4 = {10, 66, 0, 99}};
    struct pv_made made;
    memcpy(late.node, t.bob.pk, sizeof(late.node));
    assert_ok(pv_make_place(t.w.created.network_id, pv_signer_sk(anna.sk), &late, &made));
    (void)learn(t.r, bare(item_of(&t.w, &made)));
    assert_int_equal(pv_roster_ip4_rests(t.r, at77, dan.pk), rests); /* by none of its words */
    assert_int_equal(pv_roster_next_serial(t.r, t.bob.pk), 4);
    (void)learn(t.r, bare(make_place(&t.w, &anna, &dan, "evil", 99, UINT64_MAX)));
    (void)learn(t.r, bare(make_place(&t.w, &anna, &t.bob, "evil", 99, UINT64_MAX)));
    assert_is(&dan, "dan", 10);
    assert_is(&t.bob, "rob", 5);
    /* Nor does it use up their numbers. */
    assert_int_equal(pv_roster_next_serial(t.r, dan.pk), 2);
    assert_int_equal(pv_roster_next_serial(t.r, t.bob.pk), 4);
    (void)place(&dan, &dan, "daniel", 10, 2);
    assert_is(&dan, "daniel", 10);
}

/* However much it says: what admins in office say, before or after, without a receipt, has room. */
PV_TEST_IN(a_former_admin_fills_no_places_of_others, start, NULL)
{
    const struct keys anna = keys_of(9), ben = keys_of(10);
    (void)learn(t.r, make_admin(&t.w, &t.w.root, &anna, 3));
    (void)learn(t.r, make_admin(&t.w, &t.w.root, &ben, 3));
    (void)learn(t.r, make_member(&t.w, &t.w.creator, &anna, "anna", 9));
    (void)learn(t.r, make_member(&t.w, &t.w.creator, &ben, "ben", 10));
    (void)learn(t.r, make_revocation(&t.w, &t.w.creator, PV_REVOKE_NODE, anna.pk, NULL, 0));
    (void)learn(t.r, bare(make_place(&t.w, &ben, &t.bob, "robert", 50, 1)));
    for (uint64_t i = PV_ROSTER_MAX_SELF; i > 0; i--)
        (void)learn(t.r, bare(make_place(&t.w, &anna, &t.bob, "evil", 99, UINT64_MAX - i)));
    assert_is(&t.bob, "robert", 50);
    assert_int_equal(pv_roster_next_serial(t.r, t.bob.pk), 2);
    (void)learn(t.r, bare(make_place(&t.w, &ben, &t.bob, "rob", 51, 2)));
    assert_is(&t.bob, "rob", 51);
}

/* A place that is dropped, as eight later ones are kept, takes with it what was before: nothing
 * that was given up comes back by an older word of somebody else. */
PV_TEST_IN(a_name_that_was_given_up_comes_back_by_no_later_word, start, NULL)
{
    (void)place(&t.w.creator, &t.bob, "server", 77, 1);
    (void)place(&t.bob, &t.bob, "old", 5, 2);
    (void)place(&t.w.creator, &t.carol, "server", 77, 1);
    for (uint64_t i = 3; i <= 2 + PV_ROSTER_MAX_SELF; i++) {
        (void)learn(t.r, bare(make_place(&t.w, &t.bob, &t.bob, "server", 77, i)));
        assert_is(&t.carol, "server", 77);
    }
    assert_int_equal(pv_roster_by_node(t.r, t.bob.pk)->ip4.ip[3], 5);
}

/* Orders that nobody has taken, as while the coordinator is away, push out none that counts. */
PV_TEST_IN(a_name_and_address_outlive_words_that_count_for_nothing, start, NULL)
{
    (void)place(&t.bob, &t.bob, "server", 77, 1);
    for (uint64_t i = 2; i <= 3 + PV_ROSTER_MAX_SELF; i++) {
        (void)learn(t.r, bare(make_place(&t.w, &t.bob, &t.bob, "server", 77, i)));
        assert_is(&t.bob, "server", 77);
    }
    (void)place(&t.carol, &t.carol, "server", 6, 1);
    assert_is(&t.carol, "carol", 6);
}

/* Nor by the next word of an admin who has not heard whose it is now. */
PV_TEST_IN(a_name_that_an_admin_took_back_comes_back_from_nobody, start, NULL)
{
    (void)place(&t.bob, &t.bob, "server", 5, 1);
    (void)learn(t.r, bare(make_place(&t.w, &t.w.creator, &t.bob, "old", 5, 2)));
    assert_is(&t.bob, "old", 5);
    (void)place(&t.carol, &t.carol, "server", 6, 1);
    (void)learn(t.r, bare(make_place(&t.w, &t.w.creator, &t.bob, "server", 5, 3)));
    assert_is(&t.carol, "server", 6);
}

/* The end of an admin comes without a receipt, and then the coordinator's order puts what it said
 * before that: what a member said that knew all of it stays the last word. */
PV_TEST_IN(a_members_word_stands_above_those_that_were_void_when_it_spoke, start, NULL)
{
    const struct keys anna = keys_of(9);
    const struct item grant = make_admin(&t.w, &t.w.root, &anna, 3);
    (void)learn(t.r, grant);
    const struct item one = make_place(&t.w, &anna, &t.bob, "one", 5, 1),
                      two = make_place(&t.w, &anna, &t.bob, "two", 5, 2),
                      end = make_end(&t.w, &t.w.creator, anna.pk, hash_of(&grant).bytes, NULL, 0);
    (void)learn(t.r, bare(end));
    (void)learn(t.r, bare(one));
    (void)learn(t.r, bare(two));
    assert_is(&t.bob, "bob", 5);
    const struct item own =
        make_place(&t.w, &t.bob, &t.bob, "kate", 5, pv_roster_next_serial(t.r, t.bob.pk));
    (void)learn(t.r, bare(own));
    (void)learn(t.r, one);
    (void)learn(t.r, two);
    (void)learn(t.r, end);
    (void)learn(t.r, own);
    assert_is(&t.bob, "kate", 5);
}

/* A claim in vain lets an address rest from others, and not from the one that had it all the time.
 */
PV_TEST_IN(an_address_rests_from_nobody_that_had_it_before_a_claim_in_vain, start, NULL)
{
    const uint8_t at77[4] = {10, 66, 0, 77};
    const struct keys dan = keys_of(4);
    (void)place(&t.w.creator, &t.bob, "bob", 77, 1);
    (void)place(&t.w.creator, &t.carol, "carol", 77, 1);
    (void)place(&t.w.creator, &t.carol, "carol", 6, 2);
    (void)place(&t.bob, &t.bob, "bob", 78, 2);
    assert_int_equal(pv_roster_ip4_rests(t.r, at77, t.bob.pk), 0);
    assert_true(pv_roster_ip4_rests(t.r, at77, t.carol.pk) > 0);
    assert_true(pv_roster_ip4_rests(t.r, at77, dan.pk) > 0);
    (void)place(&t.bob, &t.bob, "bob", 77, 3);
    assert_is(&t.bob, "bob", 77);
}

/* A machine that was let in by a name that a member had got is none, whatever that one says next.
 */
PV_TEST_IN(a_newcomer_that_claims_a_name_in_vain_gets_it_from_no_member, start, NULL)
{
    const struct keys invite = keys_of(9), dan = keys_of(4);
    (void)learn(t.r, make_invite(&t.w, &t.w.creator, &invite, 1));
    (void)place(&t.bob, &t.bob, "dan", 5, 1);
    (void)learn(t.r, make_member(&t.w, &invite, &dan, "dan", 8));
    assert_null(pv_roster_by_node(t.r, dan.pk));
    (void)place(&t.w.creator, &t.bob, "dan", 77, 2);
    assert_is(&t.bob, "dan", 77);
    assert_null(pv_roster_by_node(t.r, dan.pk));
}

/* --- the sentences about what does not count -------------------------------------------------- */

/* Shows what is said of the only statement that was refused; an empty text if there is none. */
static void show_said(const struct pv_roster *r, const struct keys *self)
{
    char said[PV_ROSTER_REFUSED] = "";
    const struct pv_roster_entry *e = pv_roster_next_refused(r, NULL, self->pk, said);
    assert_shows("", said);
    if (e != NULL)
        assert_null(pv_roster_next_refused(r, e, self->pk, said));
}

PV_TEST_IN(a_name_that_another_has_is_said_until_it_is_wanted_no_more, start, NULL)
{
    (void)place(&t.bob, &t.bob, "rob", 5, 1);
    struct heard h = place(&t.carol, &t.carol, "rob", 6, 1);
    assert_shows("text", h.text);
    show_said(t.r, &t.carol);
    show_said(t.r, &t.bob);
    (void)place(&t.carol, &t.carol, "caro", 6, 2);
    show_said(t.r, &t.carol);
    /* One that has the name as its first one is called otherwise. */
    (void)place(&t.carol, &t.carol, "bob", 6, 3);
    show_said(t.r, &t.carol);
    (void)place(&t.carol, &t.carol, "carol", 6, 4); /* as it is called by now */
    show_said(t.r, &t.carol);
    /* It gets the name in the end. */
    (void)place(&t.carol, &t.carol, "rob", 6, 5);
    show_said(t.r, &t.w.creator);
    (void)place(&t.bob, &t.bob, "bert", 5, 2);
    assert_is(&t.carol, "rob", 6);
    show_said(t.r, &t.carol);
}

PV_TEST_IN(an_address_that_another_has_is_said, start, NULL)
{
    (void)place(&t.bob, &t.bob, "bob", 9, 1);
    (void)place(&t.carol, &t.carol, "carol", 9, 1);
    show_said(t.r, &t.carol);
    (void)learn(t.r, make_revocation(&t.w, &t.w.creator, PV_REVOKE_NODE, t.carol.pk, NULL, 0));
    show_said(t.r, &t.bob);
}

PV_TEST_IN(the_longest_names_leave_room_for_the_remedy, start, NULL)
{
    char names[3][PV_NAME_BUF];
    struct keys who[3] = {keys_of(11), keys_of(12), keys_of(13)};
    for (unsigned i = 0; i < 3; i++) {
        memset(names[i], 'a' + (int)i, PV_NAME_MAX);
        names[i][PV_NAME_MAX] = '\0';
    }
    for (unsigned i = 0; i < 2; i++)
        (void)learn(t.r, make_member(&t.w, &t.w.creator, &who[i], names[i], (uint16_t)(20 + i)));
    (void)place(&who[0], &who[0], names[2], 20, 1);
    (void)place(&who[1], &who[1], names[0], 21, 1);
    char said[PV_ROSTER_REFUSED], end[PV_NAME_BUF + 16];
    assert_non_null(pv_roster_next_refused(t.r, NULL, t.bob.pk, said));
    snprintf(end, sizeof(end), ", or %s again", names[1]);
    assert_has(said, end);
    assert_has(said, names[2]);
}

PV_TEST_IN(a_machine_that_is_no_member_is_told_how_it_can_be_one, start, NULL)
{
    struct keys fresh = keys_of(4);
    char key[PV_KEY_TEXT_BUF];
    pv_key_format(fresh.pk, key);
    (void)learn(t.r, make_member(&t.w, &t.w.creator, &fresh, "bob", 8));
    show_said(t.r, &t.bob);
    show_said(t.r, &fresh);
    (void)learn(t.r, make_revocation(&t.w, &t.w.creator, PV_REVOKE_NODE, fresh.pk, NULL, 0));
    show_said(t.r, &t.bob);
}

PV_TEST_IN(a_member_by_what_it_said_before_is_called_one, start, NULL)
{
    struct keys invite = keys_of(5), dave = keys_of(6);
    (void)learn(t.r, make_invite(&t.w, &t.w.creator, &invite, 5));
    (void)learn(t.r, make_member(&t.w, &invite, &dave, "dave", 9));
    struct pv_st_member f = member_fields(&dave, "dave", 9, 1);
    f.expires = T0 + 1000;
    (void)learn(t.r, make_member_f(&t.w, &invite, &dave, &f));
    show_said(t.r, &t.bob);
    f.serial = 2;
    f.expires = 0;
    (void)learn(t.r, make_member_f(&t.w, &invite, &dave, &f));
    show_said(t.r, &t.bob);
}

/* It has left since. */
PV_TEST_IN(a_claim_that_its_machine_takes_back_is_said_no_more, start, NULL)
{
    struct keys fresh = keys_of(4);
    (void)learn(t.r, make_member(&t.w, &t.w.creator, &fresh, "bob", 8));
    (void)learn(t.r, make_leave(&t.w, &fresh, 1));
    show_said(t.r, &t.bob);
}

PV_TEST_IN(a_transport_key_of_another_is_said, start, NULL)
{
    struct pv_statement st = {.type = PV_ST_TRANSPORT, .u.transport = {.serial = 5, .time = T0}};
    memset(st.u.transport.transport, 0x77, PV_DH_LEN);
    (void)learn(t.r, make_statement(&t.w, &st, &t.bob));
    (void)learn(t.r, make_statement(&t.w, &st, &t.carol));
    show_said(t.r, &t.bob);
    st.u.transport.serial = 6;
    memset(st.u.transport.transport, 0x78, PV_DH_LEN);
    (void)learn(t.r, make_statement(&t.w, &st, &t.carol));
    show_said(t.r, &t.bob);
}

PV_TEST_IN(a_removed_node_leaves_name_and_address_to_its_successor, start, NULL)
{
    struct keys fresh = keys_of(4);
    (void)learn(t.r, make_member(&t.w, &t.w.creator, &fresh, "bob-2", 8));
    (void)learn(t.r, make_revocation(&t.w, &t.w.creator, PV_REVOKE_NODE, t.bob.pk, NULL, 0));
    assert_int_equal(place(&t.w.creator, &fresh, "bob", 5, 1).changed, 1);
    assert_is(&fresh, "bob", 5);
    struct pv_roster_former former;
    assert_ok(pv_roster_former(t.r, pv_roster_by_name(t.r, "bob"), &former));
    assert_memory_equal(former.node, t.bob.pk, PV_SIGN_PK_LEN);
}

PV_TEST_IN(a_signer_that_may_not_say_it_changes_nothing, start, NULL)
{
    struct item it = make_place(&t.w, &t.carol, &t.bob, "fool", 9, 9);
    enum pv_roster_added added;
    assert_ok(add_status(t.r, &it, &added));
    assert_int_equal(added, PV_ROSTER_ORPHAN); /* carol may become an admin yet */
    (void)settle(t.r);
    assert_is(&t.bob, "bob", 5);
    struct item grant = make_admin(&t.w, &t.w.root, &t.carol, PV_RIGHT_INVITE);
    add(t.r, &grant);
    (void)settle(t.r);
    assert_is(&t.bob, "fool", 9);
    /* A former admin's word in office stays; afterwards its word is nothing. */
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    pv_statement_hash(pv_view(grant.s.raw, grant.s.len), hash);
    (void)learn(t.r, make_end(&t.w, &t.w.root, t.carol.pk, hash, NULL, 0));
    assert_is(&t.bob, "fool", 9);
    (void)place(&t.carol, &t.bob, "knave", 10, 10);
    assert_is(&t.bob, "fool", 9);
    (void)place(&t.w.root, &t.bob, "bob", 5, 11);
    assert_is(&t.bob, "bob", 5);
}

PV_TEST_IN(a_place_outside_the_network_is_refused, start, NULL)
{
    enum pv_roster_added added;
    struct item it = make_place(&t.w, &t.bob, &t.bob, "home", 9, 1); /* the network's own name */
    assert_int_equal(add_status(t.r, &it, &added), PV_ERR_MALFORMED);
    struct pv_statement st = {.type = PV_ST_PLACE};
    memcpy(st.u.place.node, t.bob.pk, sizeof(st.u.place.node));
    st.u.place.serial = 1;
    memcpy(st.u.place.name, "rob", 3);
    memcpy(st.u.place.ip4, (const uint8_t[]){192, 168, 1, 1}, 4);
    it = make_statement(&t.w, &st, &t.bob);
    assert_int_equal(add_status(t.r, &it, &added), PV_ERR_MALFORMED);
}

PV_TEST_IN(of_a_node_eight_places_are_kept, start, NULL)
{
    for (unsigned i = 1; i <= 12; i++) {
        (void)place(&t.bob, &t.bob, PV_STR("n%u", i), (uint16_t)(20 + i), i);
    }
    assert_is(&t.bob, "n12", 32);
    assert_true(pv_roster_name_is_free(t.r, "n4", t.carol.pk));
    size_t n = 0;
    for (const struct pv_roster_entry *e = pv_roster_next_entry(t.r, NULL); e != NULL;
         e = pv_roster_next_entry(t.r, e))
        n += e->st.type == PV_ST_PLACE;
    assert_int_equal(n, 8);
}

/* The owner has one name and one address for each, so it hears of the former node's end first,
 * whichever of the two statements came first. */
PV_TEST_IN(a_former_node_is_told_gone_before_its_successor_takes_its_place, start, NULL)
{
    struct keys fresh = keys_of(4);
    struct item m = make_member(&t.w, &t.w.creator, &fresh, "bob-2", 8);
    struct item taken = make_place(&t.w, &t.w.creator, &fresh, "bob", 5, 1);
    struct item gone = make_revocation(&t.w, &t.w.creator, PV_REVOKE_NODE, t.bob.pk, NULL, 0);
    for (int order = 0; order < 2; order++) {
        struct pv_roster *r = roster_of(&t.w);
        struct item b = make_member(&t.w, &t.w.creator, &t.bob, "bob", 5);
        add(r, &m);
        add(r, &b);
        (void)settle(r);
        add(r, order == 0 ? &taken : &gone);
        add(r, order == 0 ? &gone : &taken);
        struct pv_roster_event ev;
        enum pv_roster_event_type told[2] = {PV_ROSTER_EV_STATEMENT, PV_ROSTER_EV_STATEMENT};
        size_t n = 0;
        while (pv_roster_poll_event(r, &ev) == PV_OK) {
            bool member =
                ev.type == PV_ROSTER_EV_MEMBER_GONE || ev.type == PV_ROSTER_EV_MEMBER_CHANGED;
            if (member && n < PV_ARRAY_LEN(told))
                told[n++] = ev.type;
        }
        assert_int_equal(n, 2);
        assert_int_equal(told[0], PV_ROSTER_EV_MEMBER_GONE);
        assert_int_equal(told[1], PV_ROSTER_EV_MEMBER_CHANGED);
    }
}

/* Members may let in by address, so what another machine had is nobody's for a while. */
PV_TEST_IN(an_address_rests_when_its_machine_has_gone, start, NULL)
{
    const uint8_t five[4] = {10, 66, 0, 5}, nine[4] = {10, 66, 0, 9};
    assert_int_equal(pv_roster_ip4_rests(t.r, nine, t.carol.pk), 0);
    assert_int_equal(pv_roster_ip4_rests(t.r, five, t.bob.pk), 0); /* its own */
    struct item gone = make_revocation(&t.w, &t.w.creator, PV_REVOKE_NODE, t.bob.pk, NULL, 0);
    receipt_at(&t.w, &gone, t.w.epoch, t.w.n++, T0 + 1000);
    add(t.r, &gone);
    (void)settle(t.r);
    assert_true(pv_roster_ip4_is_free(t.r, five, t.carol.pk));
    assert_int_equal(pv_roster_ip4_rests(t.r, five, t.carol.pk), T0 + 1000 + PV_ROSTER_REST);
    /* One that moves lets go of where it was: its first address stays its own. */
    const uint8_t six[4] = {10, 66, 0, 6};
    struct item to = make_place(&t.w, &t.carol, &t.carol, "carol", 9, 1);
    struct item on = make_place(&t.w, &t.carol, &t.carol, "carol", 10, 2);
    receipt_at(&t.w, &on, t.w.epoch, t.w.n++, T0 + 2000);
    add(t.r, &to);
    add(t.r, &on);
    (void)settle(t.r);
    assert_int_equal(pv_roster_ip4_rests(t.r, nine, t.w.creator.pk), T0 + 2000 + PV_ROSTER_REST);
    assert_false(pv_roster_ip4_is_free(t.r, six, t.w.creator.pk));
}

static bool only_five_and_six(const void *ctx, uint32_t ip4)
{
    return ip4 != 0x0a420005 && ip4 != 0x0a420006;
}

PV_TEST_IN(newcomers_get_an_address_that_nobody_had_or_the_one_let_go_first, start, NULL)
{
    struct keys fresh = keys_of(4);
    uint32_t ip4 = 0, next = 0;
    assert_ok(pv_roster_free_ip4(t.r, fresh.pk, NULL, NULL, &ip4));
    struct keys first = keys_of(5);
    struct item m = make_member(&t.w, &t.w.creator, &first, "first", (uint16_t)ip4);
    struct item left = make_leave(&t.w, &first, 1);
    add(t.r, &m);
    add(t.r, &left);
    (void)settle(t.r);
    assert_ok(pv_roster_free_ip4(t.r, fresh.pk, NULL, NULL, &next));
    assert_int_not_equal(next, ip4); /* the one that left had it */
    assert_int_equal(pv_roster_free_ip4(t.r, first.pk, only_five_and_six, NULL, &next),
                     PV_ERR_LIMIT);
    /* carol goes before bob. */
    struct item c = make_revocation(&t.w, &t.w.creator, PV_REVOKE_NODE, t.carol.pk, NULL, 0);
    struct item b = make_revocation(&t.w, &t.w.creator, PV_REVOKE_NODE, t.bob.pk, NULL, 0);
    add(t.r, &c);
    add(t.r, &b);
    (void)settle(t.r);
    assert_ok(pv_roster_free_ip4(t.r, fresh.pk, only_five_and_six, NULL, &next));
    assert_int_equal(next, 0x0a420006);
}

/* A coordinator gives no receipt for an address that rests; a node that asks none has none. */
PV_TEST_IN(a_node_moves_itself_to_another_address_only_with_a_receipt, start, NULL)
{
    assert_int_equal(learn(t.r, bare(make_place(&t.w, &t.bob, &t.bob, "rob", 5, 1))).changed, 1);
    assert_is(&t.bob, "rob", 5); /* another name at its own address */
    struct item move = make_place(&t.w, &t.bob, &t.bob, "rob", 9, 2);
    assert_int_equal(learn(t.r, bare(move)).changed, 0);
    assert_is(&t.bob, "rob", 5);
    assert_int_equal(learn(t.r, move).changed, 1);
    assert_is(&t.bob, "rob", 9);
    assert_int_equal(learn(t.r, bare(make_place(&t.w, &t.w.creator, &t.bob, "rob", 12, 3))).changed,
                     1);
    assert_is(&t.bob, "rob", 12);
}

PV_TEST_IN(the_former_owner_of_an_address_is_known, start, NULL)
{
    struct pv_roster_former former;
    const struct pv_member *carol = pv_roster_by_node(t.r, t.carol.pk);
    assert_int_equal(pv_roster_former_ip4(t.r, carol, &former), PV_ERR_NOT_FOUND);
    (void)learn(t.r, make_revocation(&t.w, &t.w.creator, PV_REVOKE_NODE, t.bob.pk, NULL, 0));
    (void)place(&t.w.creator, &t.carol, "carol", 5, 1);
    assert_is(&t.carol, "carol", 5);
    assert_ok(pv_roster_former_ip4(t.r, carol, &former));
    assert_memory_equal(former.node, t.bob.pk, PV_SIGN_PK_LEN);
    assert_int_equal(pv_roster_former(t.r, carol, &former), PV_ERR_NOT_FOUND);
    (void)place(&t.w.creator, &t.carol, "cara", 6, 2); /* back, by another name */
    assert_int_equal(pv_roster_former_ip4(t.r, carol, &former), PV_ERR_NOT_FOUND);
}

/* --- conditions: members that expire, newcomers that wait ------------------------------------ */

enum {
    DAY = 86400,
    LIFETIME = 90 * DAY,
};

struct net {
    struct world w;
    struct keys guest, bob, carol;
    struct pv_roster *r;
};

static struct net net_make(uint8_t flags, uint32_t lifetime)
{
    struct net n = {.w = world_make(1)};
    n.guest = keys_of(31);
    n.bob = keys_of(41);
    n.carol = keys_of(42);
    n.r = roster_of(&n.w);
    add_item(n.r, make_terms(&n.w, &n.w.creator, &n.guest, flags, lifetime));
    return n;
}

static enum pv_member_state state_of(struct net *n, const struct keys *k)
{
    settle(n->r);
    const struct pv_member *m = pv_roster_known(n->r, k->pk);
    return m == NULL ? PV_MEMBER_NONE : m->state;
}

/* Something that the coordinator accepts, so that the network's time goes on. */
static void time_passes(struct net *n, uint64_t seconds)
{
    n->w.time += seconds;
    struct keys other = keys_of((unsigned)(500 + n->w.n));
    add_item(n->r, make_invite(&n->w, &n->w.creator, &other, 1));
}

static void renew(struct net *n, const struct keys *k)
{
    struct pv_made m;
    assert_ok(pv_make_renewal(n->r, k->sk, n->w.time, &m));
    add_item(n->r, item_of(&n->w, &m));
}

static void bob_joins(struct net *n)
{
    add_item(n->r, make_member(&n->w, &n->guest, &n->bob, "bob", 7));
}

/* --- expiry ----------------------------------------------------------------------------------- */

PV_TEST(a_member_not_heard_of_expires_and_comes_back_by_its_next_word)
{
    struct net n = net_make(0, LIFETIME);
    bob_joins(&n);
    assert_int_equal(settle(n.r).added, 1);
    const struct pv_member *bob = pv_roster_by_name(n.r, "bob");
    assert_int_equal(bob->lifetime, LIFETIME);
    assert_int_equal(bob->expires, bob->joined + LIFETIME);

    time_passes(&n, LIFETIME - 2);
    assert_int_equal(state_of(&n, &n.bob), PV_MEMBER_ACTIVE);
    time_passes(&n, 60);
    assert_int_equal(settle(n.r).gone, 1);
    assert_int_equal(bob->state, PV_MEMBER_EXPIRED);
    assert_true(pv_roster_next_aside(n.r, NULL) == bob);
    assert_null(pv_roster_next_aside(n.r, bob));
    assert_true(pv_roster_enrolled(n.r, n.bob.pk) == bob);
    /* It is no member by any question, and nobody takes what it had. */
    assert_null(pv_roster_by_node(n.r, n.bob.pk));
    assert_null(pv_roster_by_name(n.r, "bob"));
    assert_null(pv_roster_by_ip(n.r, &bob->ip4));
    assert_null(pv_roster_by_transport(n.r, bob->transport));
    assert_false(pv_roster_name_is_free(n.r, "bob", n.carol.pk));
    assert_true(pv_roster_name_is_free(n.r, "bob", n.bob.pk));

    renew(&n, &n.bob);
    struct heard h = settle(n.r);
    assert_int_equal(h.added, 1);
    assert_int_equal(h.refused, 0);
    assert_true(pv_roster_by_name(n.r, "bob") == bob);
    assert_int_equal(bob->expires, pv_roster_time(n.r) + LIFETIME);
    assert_null(pv_roster_next_aside(n.r, NULL));
}

PV_TEST(a_membership_ends_when_its_admin_said)
{
    struct net n = net_make(0, LIFETIME);
    struct pv_st_member f = member_fields(&n.carol, "carol", 8, 0);
    f.expires = T0 + 30 * DAY;
    add_item(n.r, make_member_f(&n.w, &n.w.creator, &n.carol, &f));
    assert_int_equal(state_of(&n, &n.carol), PV_MEMBER_ACTIVE);
    assert_int_equal(pv_roster_by_name(n.r, "carol")->expires, f.expires);
    time_passes(&n, 29 * DAY);
    assert_int_equal(state_of(&n, &n.carol), PV_MEMBER_ACTIVE);
    time_passes(&n, 2 * DAY);
    assert_int_equal(state_of(&n, &n.carol), PV_MEMBER_EXPIRED);
    /* Said anew it is one again. */
    f.serial++;
    f.expires = 0;
    struct item again = make_member_f(&n.w, &n.w.creator, &n.carol, &f);
    add(n.r, &again);
    assert_int_equal(state_of(&n, &n.carol), PV_MEMBER_ACTIVE);
}

PV_TEST(a_word_in_time_keeps_a_member_without_a_break)
{
    struct net n = net_make(0, LIFETIME);
    bob_joins(&n);
    settle(n.r);
    for (unsigned i = 0; i < 30; i++) {
        time_passes(&n, LIFETIME * 2 / 3);
        renew(&n, &n.bob);
        assert_int_equal(settle(n.r).gone, 0);
    }
    assert_non_null(pv_roster_by_name(n.r, "bob"));
}

/* The clock of a coordinator was wrong by years. The network moves: from then on the new one tells
 * the time, and who was cut off by the lie is a member again. */
PV_TEST(a_network_that_moves_has_another_clock)
{
    struct net n = net_make(0, LIFETIME);
    struct keys second = keys_of(60);
    struct pv_statement st = {.type = PV_ST_COORDINATORS, .u.coordinators.seq = 2};
    struct pv_hostport hp = {.host = "192.0.2.9", .port = 3478};
    uint8_t list[256];
    uint64_t truth = n.w.time;
    bob_joins(&n);
    time_passes(&n, 9 * 365 * (uint64_t)DAY);
    assert_int_equal(state_of(&n, &n.bob), PV_MEMBER_EXPIRED);
    struct pv_writer w = pv_writer(list, sizeof(list));
    pv_coordlist_put(&w, second.pk, &hp, 1);
    pv_coordlist_put(&w, n.w.coordinator.pk, &hp, 1); /* it may still let nodes in */
    st.u.coordinators.list = pv_written(&w);
    n.w.coordinator = second;
    n.w.time = truth;
    add_item(n.r, make_statement(&n.w, &st, &n.w.root));
    time_passes(&n, DAY);
    assert_int_equal(state_of(&n, &n.bob), PV_MEMBER_ACTIVE);
    assert_true(pv_roster_time(n.r) < truth + 2 * DAY);
}

/* A member that lives by its inviter's word stays if that word ends, expired or not. */
PV_TEST(a_member_that_has_expired_outlives_the_invite)
{
    struct net n = net_make(0, LIFETIME);
    struct pv_st_revocation what = {.kind = PV_REVOKE_INVITE, .time = T0};
    struct pv_made_long made;
    size_t iter = 0;
    bob_joins(&n);
    time_passes(&n, 2 * (uint64_t)LIFETIME);
    assert_int_equal(state_of(&n, &n.bob), PV_MEMBER_EXPIRED);
    memcpy(what.pk, n.guest.pk, sizeof(what.pk));
    assert_ok(pv_make_revocation(n.r, pv_signer_sk(n.w.creator.sk), &what, &iter, &made));
    add_item(n.r, item_of_long(&n.w, &made));
    renew(&n, &n.bob);
    assert_int_equal(state_of(&n, &n.bob), PV_MEMBER_ACTIVE);
}

/* Somebody claims the transport key that bob has had since his rotation. Bob's renewals say the
 * same again, and must not put him behind. */
PV_TEST(a_renewal_keeps_its_place_in_order)
{
    struct net n = net_make(0, LIFETIME);
    struct pv_statement st = {.type = PV_ST_TRANSPORT, .u.transport = {.serial = 5, .time = T0}};
    uint8_t key[PV_DH_LEN];
    memset(key, 0x77, sizeof(key));
    memcpy(st.u.transport.transport, key, sizeof(key));
    bob_joins(&n);
    add_item(n.r, make_member(&n.w, &n.guest, &n.carol, "carol", 8));
    add_item(n.r, make_statement(&n.w, &st, &n.bob));
    (void)learn(n.r, make_statement(&n.w, &st, &n.carol));
    for (unsigned i = 0; i < 5; i++) {
        time_passes(&n, LIFETIME / 2);
        renew(&n, &n.bob);
        renew(&n, &n.carol);
        settle(n.r);
        assert_memory_equal(pv_roster_by_name(n.r, "bob")->transport, key, sizeof(key));
    }
}

/* More often than a node's statements of one kind are kept: the first one stays as well, in
 * whatever order they come, until the key is another. */
PV_TEST(renewals_do_not_push_out_what_they_repeat)
{
    enum {
        RENEWALS = 2 * PV_ROSTER_MAX_SELF
    };
    struct net n = net_make(0, 0);
    struct pv_statement st = {.type = PV_ST_TRANSPORT, .u.transport = {.time = T0}};
    struct item thief = make_member(&n.w, &n.guest, &n.carol, "carol", 8), said[RENEWALS + 1];
    uint8_t first[PV_STATEMENT_HASH_LEN], head[PV_STATEMENT_HASH_LEN];
    memset(st.u.transport.transport, 0x77, PV_DH_LEN);
    bob_joins(&n);
    struct item bob = make_member(&n.w, &n.guest, &n.bob, "bob", 7);
    add(n.r, &thief);
    for (size_t i = 0; i <= RENEWALS; i++) {
        st.u.transport.serial = 5 + i;
        said[i] = make_statement(&n.w, &st, i == 1 ? &n.carol : &n.bob);
        add(n.r, &said[i]);
        settle(n.r);
        assert_int_equal(pv_roster_by_name(n.r, "bob")->transport[0], 0x77);
    }
    pv_roster_head(n.r, first);

    struct item invite = make_terms(&n.w, &n.w.creator, &n.guest, 0, 0);
    n.r = roster_of(&n.w);
    add(n.r, &invite);
    add(n.r, &bob);
    add(n.r, &thief);
    for (size_t i = RENEWALS + 1; i-- > 0;) {
        enum pv_roster_added added;
        int status = add_status(n.r, &said[i], &added);
        assert_true(status == PV_OK || status == PV_ERR_REPLAY);
        settle(n.r);
    }
    assert_int_equal(pv_roster_by_name(n.r, "bob")->transport[0], 0x77);
    pv_roster_head(n.r, head);
    assert_memory_equal(head, first, sizeof(head));

    size_t size = pv_roster_size(n.r);
    memset(st.u.transport.transport, 0x78, PV_DH_LEN);
    for (size_t i = 0; i < PV_ROSTER_MAX_SELF; i++) {
        st.u.transport.serial = 100 + i;
        add_item(n.r, make_statement(&n.w, &st, &n.bob));
    }
    settle(n.r);
    assert_int_equal(pv_roster_size(n.r), size - 1);
    assert_int_equal(pv_roster_by_name(n.r, "bob")->transport[0], 0x78);
}

/* --- approval --------------------------------------------------------------------------------- */

PV_TEST(a_node_that_waits_is_no_member_until_an_admin_says_so)
{
    struct net n = net_make(PV_INVITE_APPROVAL, 0);
    bob_joins(&n);
    struct heard h = settle(n.r);
    assert_int_equal(h.waits, 1);
    assert_int_equal(h.added + h.refused, 0);
    const struct pv_member *bob = pv_roster_next_aside(n.r, NULL);
    assert_int_equal(bob->state, PV_MEMBER_WAITING);
    assert_string_equal(bob->name, "bob");
    assert_null(pv_roster_by_name(n.r, "bob"));
    /* Others get another name and address; the same node the same again. */
    uint8_t ip4[] = {10, 66, 0, 7};
    assert_false(pv_roster_name_is_free(n.r, "bob", n.carol.pk));
    assert_false(pv_roster_ip4_is_free(n.r, ip4, n.carol.pk));
    assert_true(pv_roster_name_is_free(n.r, "bob", n.bob.pk));

    h = learn(n.r, make_admission(&n.w, &n.w.creator, &n.bob));
    assert_int_equal(h.added, 1);
    assert_true(pv_roster_by_name(n.r, "bob") == bob);
    assert_null(pv_roster_next_aside(n.r, NULL));
    assert_memory_equal(pv_roster_admission(n.r, n.bob.pk)->st.signer, n.w.creator.pk, 32);
    assert_null(pv_roster_admission(n.r, n.carol.pk));
}

/* The coordinator, the one who waits, and a member without the right: nobody of them can. */
PV_TEST(nobody_else_can_approve)
{
    struct net n = net_make(PV_INVITE_APPROVAL, 0);
    enum pv_roster_added added;
    bob_joins(&n);
    const struct keys *others[] = {&n.w.coordinator, &n.bob, &n.guest};
    for (size_t i = 0; i < PV_ARRAY_LEN(others); i++) {
        struct item forged = make_admission(&n.w, others[i], &n.bob);
        assert_ok(add_status(n.r, &forged, &added));
        assert_int_equal(added, PV_ROSTER_ORPHAN);
    }
    assert_int_equal(state_of(&n, &n.bob), PV_MEMBER_WAITING);
}

PV_TEST(a_denied_one_is_out_and_frees_the_name)
{
    struct net n = net_make(PV_INVITE_APPROVAL, 0);
    bob_joins(&n);
    settle(n.r);
    add_item(n.r, make_revocation(&n.w, &n.w.creator, PV_REVOKE_NODE, n.bob.pk, NULL, 0));
    assert_int_equal(state_of(&n, &n.bob), PV_MEMBER_REVOKED);
    assert_true(pv_roster_name_is_free(n.r, "bob", n.carol.pk));
    add_item(n.r, make_admission(&n.w, &n.w.creator, &n.bob));
    assert_int_equal(state_of(&n, &n.bob), PV_MEMBER_REVOKED);
}

/* A coordinator dates the claim of a friend back: the friend comes in order when it is admitted. */
PV_TEST(a_node_admitted_later_takes_no_name)
{
    struct net n = net_make(PV_INVITE_APPROVAL, 0);
    struct keys open = keys_of(33);
    add_item(n.r, make_invite(&n.w, &n.w.creator, &open, 5));
    add_item(n.r, make_member(&n.w, &open, &n.carol, "bob", 9));
    struct item bob = make_member(&n.w, &n.guest, &n.bob, "bob", 7);
    receipt_at(&n.w, &bob, T0 - 9, 1, T0 - 100);
    add(n.r, &bob);
    (void)learn(n.r, make_admission(&n.w, &n.w.creator, &n.bob));
    assert_memory_equal(pv_roster_by_name(n.r, "bob")->node, n.carol.pk, PV_SIGN_PK_LEN);
}

/* The admin that admitted is removed: whom the removal names stays, and that is everybody whom it
 * let in. */
PV_TEST(a_member_that_was_admitted_outlives_the_admin)
{
    struct net n = net_make(PV_INVITE_APPROVAL, 0);
    struct keys admin = keys_of(50);
    add_item(n.r, make_admin(&n.w, &n.w.root, &admin, 3));
    add_item(n.r, make_member(&n.w, &n.w.creator, &admin, "dora", 3));
    bob_joins(&n);
    (void)learn(n.r, make_admission(&n.w, &admin, &n.bob));
    assert_true(pv_roster_rests_on(n.r, pv_roster_by_name(n.r, "bob"), admin.pk, 0));
    struct pv_st_revocation what = {.kind = PV_REVOKE_NODE, .time = T0};
    struct pv_made_long made;
    size_t iter = 0;
    memcpy(what.pk, admin.pk, sizeof(what.pk));
    assert_ok(pv_make_revocation(n.r, pv_signer_sk(n.w.creator.sk), &what, &iter, &made));
    struct item it = item_of_long(&n.w, &made);
    add(n.r, &it);
    assert_int_equal(state_of(&n, &n.bob), PV_MEMBER_ACTIVE);
    /* Its admissions afterwards have no effect. */
    add_item(n.r, make_member(&n.w, &n.guest, &n.carol, "carol", 8));
    add_item(n.r, make_admission(&n.w, &admin, &n.carol));
    assert_int_equal(state_of(&n, &n.carol), PV_MEMBER_WAITING);
}

/* A node that waited longer than the lifetime is a member from the admission on. */
PV_TEST(an_admission_counts_as_a_sign_of_life)
{
    struct net n = net_make(PV_INVITE_APPROVAL, LIFETIME);
    bob_joins(&n);
    time_passes(&n, 2 * (uint64_t)LIFETIME);
    assert_int_equal(state_of(&n, &n.bob), PV_MEMBER_WAITING);
    add_item(n.r, make_admission(&n.w, &n.w.creator, &n.bob));
    assert_int_equal(state_of(&n, &n.bob), PV_MEMBER_ACTIVE);
}
