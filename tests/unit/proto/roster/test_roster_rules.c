/* SPDX-License-Identifier: MIT */
/* Which tags and rules are in force: slots, rights, ends. And that a former admin takes nothing
 * back of what it said in office, whatever it goes on to say. */
#include "proto/roster/kinds.h"
#include "roster_fixture.h"

/* The creator and bob are admins; carol is a member. */
static struct {
    struct world w;
    struct keys bob, carol;
    struct item grant; /* of bob */
    struct pv_roster *r;
} t;

static int start(void **state)
{
    t.w = world_make(19);
    t.bob = keys_of(2);
    t.carol = keys_of(3);
    t.r = roster_of(&t.w);
    struct item b = make_member(&t.w, &t.w.creator, &t.bob, "bob", 5);
    struct item c = make_member(&t.w, &t.w.creator, &t.carol, "carol", 6);
    t.grant = make_admin(&t.w, &t.w.root, &t.bob, PV_RIGHT_INVITE | PV_RIGHT_REVOKE);
    add(t.r, &b);
    add(t.r, &c);
    add(t.r, &t.grant);
    (void)settle(t.r);
    return 0;
}

PV_TEST_WORLD(start, NULL);

static struct item say(struct item it)
{
    add(t.r, &it);
    (void)settle(t.r);
    return it;
}

/* The places of the rules in force, as a sum: tests use powers of two. */
static uint64_t in_force(void)
{
    uint64_t sum = 0;
    for (const struct pv_roster_entry *e = NULL; (e = pv_roster_next_rule(t.r, e)) != NULL;)
        sum += e->st.type == PV_ST_RULE ? e->st.u.rule.place : 0;
    return sum;
}

static const uint8_t *hash_of(const struct item *it)
{
    static uint8_t hash[PV_STATEMENT_HASH_LEN];
    pv_statement_hash(pv_view(it->s.raw, it->s.len), hash);
    return hash;
}

PV_TEST(of_each_slot_the_newest_counts)
{
    enum pv_roster_added added;
    (void)say(make_rule(&t.w, &t.w.creator, 0, 1, PV_RULE_ALLOW, 1));
    (void)say(make_rule(&t.w, &t.w.creator, 1, 1, PV_RULE_DENY, 2));
    (void)say(make_rule(&t.w, &t.bob, 0, 1, PV_RULE_DENY, 4)); /* another signer's slot 0 */
    assert_int_equal(in_force(), 7);
    size_t size = pv_roster_size(t.r);
    (void)say(make_rule(&t.w, &t.w.creator, 0, 3, PV_RULE_ALLOW, 8));
    assert_int_equal(in_force(), 14);
    struct item old = make_rule(&t.w, &t.w.creator, 0, 2, PV_RULE_ALLOW, 16);
    assert_int_equal(add_status(t.r, &old, &added), PV_ERR_REPLAY);
    (void)say(make_rule(&t.w, &t.w.creator, 1, 2, PV_RULE_NONE, 0));
    assert_int_equal(in_force(), 12);
    assert_int_equal(pv_roster_size(t.r), size); /* what is replaced leaves the set */
}

PV_TEST(only_who_may_remove_makes_rules)
{
    enum pv_roster_added added;
    struct keys dave = keys_of(4);
    struct item grant = make_admin(&t.w, &t.w.root, &dave, PV_RIGHT_INVITE);
    (void)say(grant);
    struct item by_member = make_rule(&t.w, &t.carol, 0, 1, PV_RULE_ALLOW, 1);
    struct item by_inviter = make_rule(&t.w, &dave, 0, 1, PV_RULE_ALLOW, 2);
    assert_ok(add_status(t.r, &by_member, &added));
    assert_int_equal(added, PV_ROSTER_ORPHAN);
    assert_ok(add_status(t.r, &by_inviter, &added));
    assert_int_equal(added, PV_ROSTER_ORPHAN);
    (void)say(make_rule(&t.w, &t.w.root, 0, 1, PV_RULE_ALLOW, 4));
    assert_int_equal(in_force(), 4);
    (void)say(make_admin(&t.w, &t.w.root, &t.carol, PV_RIGHT_REVOKE)); /* now it may */
    assert_int_equal(in_force(), 5);
}

PV_TEST(another_admin_ends_a_rule_by_name)
{
    struct item it = say(make_rule(&t.w, &t.bob, 0, 1, PV_RULE_ALLOW, 1));
    (void)say(make_rule(&t.w, &t.bob, 1, 1, PV_RULE_ALLOW, 2));
    (void)say(make_end(&t.w, &t.w.creator, t.bob.pk, hash_of(&it), NULL, 0));
    assert_int_equal(in_force(), 2);
    assert_int_equal(pv_roster_rights(t.r, t.bob.pk), PV_RIGHT_INVITE | PV_RIGHT_REVOKE);
    (void)say(make_rule(&t.w, &t.bob, 0, 2, PV_RULE_ALLOW, 4)); /* another statement there */
    assert_int_equal(in_force(), 6);
}

PV_TEST(an_end_may_come_before_its_rule)
{
    struct item it = make_rule(&t.w, &t.bob, 0, 1, PV_RULE_ALLOW, 1);
    (void)say(make_end(&t.w, &t.w.creator, t.bob.pk, hash_of(&it), NULL, 0));
    (void)say(it);
    assert_int_equal(in_force(), 0);
}

/* A removal or an end of rights ends what comes after it, not what was said before. */
PV_TEST(rules_of_a_former_admin_stay_as_they_were)
{
    (void)say(make_rule(&t.w, &t.bob, 0, 1, PV_RULE_DENY, 1));
    (void)say(make_end(&t.w, &t.w.root, t.bob.pk, hash_of(&t.grant), NULL, 0));
    (void)say(make_rule(&t.w, &t.bob, 1, 1, PV_RULE_ALLOW, 2));
    assert_int_equal(in_force(), 1);

    struct keys erin = keys_of(5);
    (void)say(make_admin(&t.w, &t.w.root, &erin, PV_RIGHT_REVOKE));
    (void)say(make_rule(&t.w, &erin, 0, 1, PV_RULE_DENY, 4));
    (void)say(make_revocation(&t.w, &t.w.root, PV_REVOKE_NODE, erin.pk, NULL, 0));
    (void)say(make_rule(&t.w, &erin, 1, 1, PV_RULE_ALLOW, 8));
    assert_int_equal(in_force(), 5);
}

enum {
    SAID = 128, /* by bob, in and out of office, and the end between */
    ORDERS = 60,
};

/* The coordinator refuses it: its signer is out of office. */
static struct item unordered(struct item it)
{
    it.r_len = 0;
    return it;
}

static struct item said[SAID];
static size_t n_said;

static void put(struct item it)
{
    assert_true(n_said < SAID);
    said[n_said++] = it;
}

/* Of each kind bob says one thing twice in office, and then so much that it would have all places
 * of its own, if they were given to whatever is newest. */
static void bob_talks(void)
{
    n_said = 0;
    for (uint16_t seq = 0; seq < 2; seq++) {
        put(make_rule(&t.w, &t.bob, 0, seq, PV_RULE_DENY, (uint16_t)(1 + seq)));
        put(make_rule(&t.w, &t.bob, 1, seq, PV_RULE_DENY, 4));
        put(make_route(&t.w, &t.bob, 0, seq, &t.carol, (uint8_t)(1 + seq)));
        put(make_place(&t.w, &t.bob, &t.carol, seq == 0 ? "cara" : "carla", 7, 1 + seq));
    }
    put(make_end(&t.w, &t.w.root, t.bob.pk, hash_of(&t.grant), NULL, 0));
    for (uint16_t seq = 2; seq < 5; seq++) {
        put(unordered(make_rule(&t.w, &t.bob, 0, seq, PV_RULE_NONE, 0)));
        put(unordered(make_rule(&t.w, &t.bob, 1, seq, PV_RULE_ALLOW, 8)));
        put(unordered(make_route(&t.w, &t.bob, 0, seq, &t.carol, 4)));
    }
    for (uint64_t i = 0; i < PV_ROSTER_MAX_SELF + 2; i++)
        put(unordered(make_place(&t.w, &t.bob, &t.carol, "nobody", 9, 3 + i)));
}

static void assert_as_in_office(void)
{
    assert_int_equal(in_force(), 6);
    const struct pv_roster_entry *route = pv_roster_next_route(t.r, NULL);
    assert_non_null(route);
    assert_int_equal(route->st.u.route.prefix.base.ip[2], 2);
    assert_null(pv_roster_next_route(t.r, route));
    assert_string_equal(pv_roster_by_node(t.r, t.carol.pk)->name, "carla");
}

/* By gossip, in any order and in batches of any size: all rosters agree in the end, whether they
 * heard of the end first or last. */
PV_TEST(a_former_admin_takes_nothing_back)
{
    struct test_rng rng = {.state = 5};
    uint8_t head[PV_STATEMENT_HASH_LEN], first[PV_STATEMENT_HASH_LEN];
    bob_talks();
    for (size_t i = 0; i < ORDERS; i++) {
        if (i > 0) {
            uint64_t n = t.w.n, time = t.w.time;
            test_end(t.r);
            (void)start(state);
            t.w.n = n;
            t.w.time = time;
        }
        for (size_t j = n_said; j > 1 && i > 0; j--) {
            size_t k = (size_t)(test_rng_next(&rng) % j);
            struct item it = said[j - 1];
            said[j - 1] = said[k];
            said[k] = it;
        }
        for (size_t j = 0; j < n_said; j++) {
            enum pv_roster_added added;
            int status = pv_roster_load(t.r, pv_view(said[j].s.raw, said[j].s.len), NULL,
                                        pv_view(said[j].r, said[j].r_len), &added);
            assert_true(status == PV_OK || status == PV_ERR_REPLAY);
            if (test_rng_next(&rng) % 4 == 0)
                (void)settle(t.r);
        }
        (void)settle(t.r);
        assert_as_in_office();
        pv_roster_head(t.r, head);
        if (i == 0)
            memcpy(first, head, sizeof(first));
        assert_memory_equal(head, first, sizeof(head));
    }
}

/* Until the coordinator has put a replacement in order both are kept; then the first one leaves. */
PV_TEST(a_replacement_is_there_before_its_receipt)
{
    (void)say(make_rule(&t.w, &t.bob, 0, 1, PV_RULE_DENY, 1));
    size_t size = pv_roster_size(t.r);
    struct item it = make_rule(&t.w, &t.bob, 0, 2, PV_RULE_ALLOW, 2);
    (void)say(unordered(it));
    assert_int_equal(in_force(), 2);
    assert_int_equal(pv_roster_size(t.r), size + 1);
    struct pv_st_slot slot;
    assert_ok(pv_roster_free_slot(t.r, t.bob.pk, PV_ST_RULE, &slot));
    assert_int_equal(slot.number, 1);
    (void)say(it);
    assert_int_equal(in_force(), 2);
    assert_int_equal(pv_roster_size(t.r), size);
    (void)say(unordered(make_rule(&t.w, &t.bob, 0, 3, PV_RULE_NONE, 0)));
    assert_int_equal(in_force(), 0);
    assert_ok(pv_roster_free_slot(t.r, t.bob.pk, PV_ST_RULE, &slot));
    assert_int_equal(slot.number, 0);
    assert_int_equal(slot.seq, 4);
}

PV_TEST(tags_are_listed_while_they_are_set)
{
    const struct pv_roster_entry *e;
    (void)say(make_tag(&t.w, &t.w.creator, 0, 1, &t.carol, "guest"));
    e = pv_roster_next_rule(t.r, NULL);
    assert_non_null(e);
    assert_int_equal(e->st.type, PV_ST_TAG);
    assert_memory_equal(e->st.u.tag.node, t.carol.pk, PV_SIGN_PK_LEN);
    assert_null(pv_roster_next_rule(t.r, e));
    (void)say(make_tag(&t.w, &t.w.creator, 0, 2, NULL, "none"));
    assert_null(pv_roster_next_rule(t.r, NULL));
}

PV_TEST(a_free_slot_is_one_in_which_nothing_is_in_force)
{
    struct pv_st_slot slot;
    assert_ok(pv_roster_free_slot(t.r, t.bob.pk, PV_ST_RULE, &slot));
    assert_int_equal(slot.number, 0);
    assert_int_equal(slot.seq, 0);
    struct item it = say(make_rule(&t.w, &t.bob, 0, 5, PV_RULE_ALLOW, 1));
    assert_ok(pv_roster_free_slot(t.r, t.bob.pk, PV_ST_RULE, &slot));
    assert_int_equal(slot.number, 1);
    assert_ok(pv_roster_free_slot(t.r, t.bob.pk, PV_ST_TAG, &slot));
    assert_int_equal(slot.number, 0);
    (void)say(make_end(&t.w, &t.w.creator, t.bob.pk, hash_of(&it), NULL, 0));
    assert_ok(pv_roster_free_slot(t.r, t.bob.pk, PV_ST_RULE, &slot));
    assert_int_equal(slot.number, 0);
    assert_int_equal(slot.seq, 6);
    for (uint16_t i = 0; i < PV_RULE_SLOTS; i++) {
        assert_ok(pv_roster_free_slot(t.r, t.bob.pk, PV_ST_RULE, &slot));
        assert_int_equal(slot.number, i);
        (void)say(make_rule(&t.w, &t.bob, slot.number, slot.seq, PV_RULE_DENY, 1));
    }
    assert_int_equal(pv_roster_free_slot(t.r, t.bob.pk, PV_ST_RULE, &slot), PV_ERR_LIMIT);
}

static unsigned allowed(void)
{
    unsigned sum = 0;
    for (const struct pv_roster_entry *e = NULL; (e = pv_roster_next_route(t.r, e)) != NULL;) {
        assert_int_equal(e->st.type, PV_ST_ROUTE);
        assert_memory_equal(e->st.u.route.node, t.carol.pk, PV_SIGN_PK_LEN);
        sum += e->st.u.route.prefix.base.ip[2];
    }
    return sum;
}

/* Like tags: in slots, by who may remove, ended by name; and neither listed among the other. */
PV_TEST(routes_are_allowed_as_tags_are_set)
{
    enum pv_roster_added added;
    struct item it = say(make_route(&t.w, &t.bob, 0, 1, &t.carol, 1));
    (void)say(make_route(&t.w, &t.w.creator, 0, 1, &t.carol, 2));
    assert_int_equal(allowed(), 3);
    assert_null(pv_roster_next_rule(t.r, NULL));
    struct item own = make_route(&t.w, &t.carol, 0, 1, &t.carol, 4);
    assert_ok(add_status(t.r, &own, &added));
    assert_int_equal(added, PV_ROSTER_ORPHAN);
    (void)say(make_route(&t.w, &t.w.creator, 0, 2, NULL, 0));
    assert_int_equal(allowed(), 1);
    (void)say(make_end(&t.w, &t.w.creator, t.bob.pk, hash_of(&it), NULL, 0));
    assert_int_equal(allowed(), 0);
    struct pv_st_slot slot;
    assert_ok(pv_roster_free_slot(t.r, t.bob.pk, PV_ST_ROUTE, &slot));
    assert_int_equal(slot.number, 0);
    assert_int_equal(slot.seq, 2);
}

/* A permission for this node to carry 10.66.0.ip alone. */
static struct item make_carried(const struct keys *signer, uint16_t number, const struct keys *by,
                                uint8_t ip, uint64_t time)
{
    struct pv_statement st = {.type = PV_ST_ROUTE};
    st.u.route = (struct pv_st_route){
        .slot = {.number = number, .seq = 1},
        .kind = PV_ROUTE_ALLOW,
        .prefix = {.base = pv_addr4(10, 66, 0, ip, 0), .bits = 32},
        .time = time,
    };
    memcpy(st.u.route.node, by->pk, sizeof(st.u.route.node));
    return make_statement(&t.w, &st, signer);
}

static const struct pv_member *gateway_of(const struct keys *k)
{
    return pv_roster_gateway(t.r, pv_roster_by_node(t.r, k->pk));
}

/* Of two words the first one counts, whatever came first here. */
PV_TEST(an_admins_word_names_the_gateway_of_a_phone)
{
    const struct pv_member *named = NULL;
    struct keys phone = keys_of(9);
    assert_null(gateway_of(&t.carol));
    (void)say(make_carried(&t.bob, 6, &t.carol, 9, T0 - 1)); /* who had the address before */
    (void)say(make_member(&t.w, &t.bob, &phone, "phone", 9));
    assert_null(gateway_of(&phone));
    struct item late = say(make_carried(&t.bob, 8, &t.bob, 9, T0 + 5));
    assert_string_equal(gateway_of(&phone)->name, "bob");
    (void)say(make_carried(&t.bob, 7, &t.carol, 9, T0 + 4));
    assert_string_equal(gateway_of(&phone)->name, "carol");
    const struct pv_roster_entry *e = pv_roster_find(t.r, hash_of(&late));
    assert_string_equal(pv_roster_names_gateway(t.r, &e->st, &named)->name, "carol");
    assert_string_equal(named->name, "phone");
    struct item other = make_carried(&t.bob, 9, &t.bob, 8, T0); /* nobody is there */
    (void)say(other);
    assert_null(pv_roster_names_gateway(t.r, &pv_roster_find(t.r, hash_of(&other))->st, &named));
    (void)say(make_revocation(&t.w, &t.w.root, PV_REVOKE_NODE, t.carol.pk, NULL, 0));
    assert_string_equal(gateway_of(&phone)->name, "bob");
    (void)say(make_revocation(&t.w, &t.w.root, PV_REVOKE_NODE, phone.pk, NULL, 0));
    assert_null(pv_roster_names_gateway(t.r, &e->st, &named));
}

/* An admin may remove another one's phone, and not have it carried elsewhere: by a time of its own
 * choice, or by ending what the other one said. */
PV_TEST(only_who_let_a_phone_in_names_its_gateway)
{
    struct keys phone = keys_of(9);
    (void)say(make_member(&t.w, &t.w.creator, &phone, "phone", 9));
    for (uint16_t i = 0; i < 8; i++)
        (void)say(make_carried(&t.bob, i, &t.carol, 9, T0));
    assert_null(gateway_of(&phone));
    struct item it = say(make_carried(&t.w.creator, 1, &t.w.creator, 9, T0 + 1));
    assert_memory_equal(gateway_of(&phone)->node, t.w.creator.pk, PV_SIGN_PK_LEN);
    (void)say(make_end(&t.w, &t.bob, t.w.creator.pk, hash_of(&it), NULL, 0));
    assert_null(gateway_of(&phone));
}

/* A phone is known by what was said of it, also when an admin said that again for one who is gone.
 */
PV_TEST(a_phone_whose_gateway_is_gone_has_lost_it)
{
    struct keys phone = keys_of(9);
    (void)say(make_member(&t.w, &t.bob, &phone, "phone", 9));
    const struct pv_member *m = pv_roster_by_node(t.r, phone.pk);
    assert_null(pv_roster_lost_gateway(t.r, m));
    (void)say(make_carried(&t.bob, 7, &t.carol, 9, T0 - 1)); /* who had the address before */
    (void)say(make_carried(&t.w.creator, 7, &t.carol, 9, T0 + 4));
    assert_null(pv_roster_lost_gateway(t.r, m)); /* of one that is there nobody says it is gone */
    (void)say(make_revocation(&t.w, &t.w.root, PV_REVOKE_NODE, t.carol.pk, NULL, 0));
    assert_memory_equal(pv_roster_lost_gateway(t.r, m), t.carol.pk, PV_SIGN_PK_LEN);
    (void)say(make_carried(&t.bob, 8, &t.bob, 9, T0 + 5));
    assert_string_equal(gateway_of(&phone)->name, "bob");
    assert_null(pv_roster_lost_gateway(t.r, m));
}

/* An admin who may remove machines may not have another speak for them. */
PV_TEST(nobody_is_a_phone_that_speaks_for_itself)
{
    struct keys invite = keys_of(30), dave = keys_of(31);
    (void)say(make_invite(&t.w, &t.w.creator, &invite, 1));
    (void)say(make_member(&t.w, &invite, &dave, "dave", 11));
    (void)say(make_carried(&t.bob, 1, &t.bob, 11, T0)); /* by an invite */
    assert_null(gateway_of(&dave));
    (void)say(make_carried(&t.w.creator, 2, &t.carol, 5, T0)); /* an admin */
    assert_null(gateway_of(&t.bob));
    const struct pv_member *creator = pv_roster_by_node(t.r, t.w.creator.pk);
    (void)say(make_carried(&t.bob, 3, &t.bob, creator->ip4.ip[3], T0));
    assert_null(gateway_of(&t.w.creator));
    (void)say(make_carried(&t.w.creator, 4, &t.carol, 6, T0)); /* by itself */
    assert_null(gateway_of(&t.carol));
    (void)say(make_carried(&t.w.creator, 5, &t.bob, 6, T0));
    assert_string_equal(gateway_of(&t.carol)->name, "bob");
    (void)say(make_card(&t.w, &t.carol, 9, 0, PV_ABLE_PQ)); /* it has a p2pvpnd */
    assert_null(gateway_of(&t.carol));
}

/* One of each type that stands in a slot, of slot 0 of the creator. */
static struct item make_slotted(uint8_t type)
{
    if (type == PV_ST_ROUTE)
        return make_route(&t.w, &t.w.creator, 0, 1, &t.carol, 1);
    if (type == PV_ST_TAG)
        return make_tag(&t.w, &t.w.creator, 0, 1, &t.carol, "guest");
    if (type != PV_ST_RULE)
        fail_msg("no statement of type %u is made here", type);
    return make_rule(&t.w, &t.w.creator, 0, 1, PV_RULE_ALLOW, 1);
}

static bool next_is(const struct pv_roster_entry *e, uint8_t type)
{
    return e != NULL && e->st.type == type;
}

/* A type of which a list knows nothing must not come out of it as one of another type. */
PV_TEST(each_type_in_a_slot_comes_into_force_in_its_own_list)
{
    static const uint8_t types[] = {
#define NUMBER(name, number) number,
        PV_STATEMENT_TYPES(NUMBER)
#undef NUMBER
    };
    struct pv_made empty;
    for (size_t i = 0; i < PV_ARRAY_LEN(types); i++) {
        const enum pv_kind_list list = pv_kind_of(types[i])->list;
        if (pv_kind_of(types[i])->does != PV_DOES_SLOT) {
            assert_int_equal(list, PV_LIST_NONE);
            continue;
        }
        struct item it = say(make_slotted(types[i]));
        const struct pv_roster_entry *e = pv_roster_find(t.r, hash_of(&it));
        assert_true(pv_roster_in_force(e));
        assert_int_equal(next_is(pv_roster_next_rule(t.r, NULL), types[i]), list == PV_LIST_RULES);
        assert_int_equal(next_is(pv_roster_next_route(t.r, NULL), types[i]),
                         list == PV_LIST_ROUTES);
        assert_ok(pv_make_slot_empty(&e->st, t.w.creator.sk, T0, &empty));
        struct item gone = item_of(&t.w, &empty);
        (void)say(gone);
        assert_null(pv_roster_next_rule(t.r, NULL));
        assert_null(pv_roster_next_route(t.r, NULL));
    }
}
