/* SPDX-License-Identifier: MIT */
/* Invites with conditions: members that expire unless they are heard of, and newcomers that wait
 * for an admin's word, whatever the coordinator says. */
#include "roster_fixture.h"

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
    struct item invite = make_terms(&n.w, &n.w.creator, &n.guest, flags, lifetime);
    add(n.r, &invite);
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
    struct item it = make_invite(&n->w, &n->w.creator, &other, 1);
    add(n->r, &it);
}

static void renew(struct net *n, const struct keys *k)
{
    struct pv_made m;
    assert_int_equal(pv_make_renewal(n->r, k->sk, n->w.time, &m), PV_OK);
    struct item it = item_of(&n->w, &m);
    add(n->r, &it);
}

static void bob_joins(struct net *n)
{
    struct item it = make_member(&n->w, &n->guest, &n->bob, "bob", 7);
    add(n->r, &it);
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
    struct item carol = make_member_f(&n.w, &n.w.creator, &n.carol, &f);
    add(n.r, &carol);
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

/* By a coordinator that only an admin names nobody's time is over, and without receipts it stands
 * still. */
PV_TEST(nobody_expires_by_the_clock_of_a_stranger)
{
    struct net n = net_make(0, LIFETIME);
    struct keys second = keys_of(60);
    struct pv_statement st = {.type = PV_ST_COORDINATORS, .u.coordinators.seq = 0};
    struct pv_hostport hp = {.host = "192.0.2.9", .port = 3478};
    uint8_t list[128];
    bob_joins(&n);
    struct pv_writer w = pv_writer(list, sizeof(list));
    pv_coordlist_put(&w, second.pk, &hp, 1);
    st.u.coordinators.list = pv_written(&w);
    struct item record = make_statement(&n.w, &st, &n.w.creator);
    add(n.r, &record);
    settle(n.r);
    uint64_t before = pv_roster_time(n.r);
    n.w.coordinator = second;
    time_passes(&n, 10 * (uint64_t)LIFETIME);
    assert_int_equal(state_of(&n, &n.bob), PV_MEMBER_ACTIVE);
    assert_int_equal(pv_roster_time(n.r), before);
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
    struct item record = make_statement(&n.w, &st, &n.w.root);
    add(n.r, &record);
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
    assert_int_equal(pv_make_revocation(n.r, pv_signer_sk(n.w.creator.sk), &what, &iter, &made),
                     PV_OK);
    struct item it = item_of_long(&n.w, &made);
    add(n.r, &it);
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
    struct item thief = make_member(&n.w, &n.guest, &n.carol, "carol", 8);
    add(n.r, &thief);
    struct item rotated = make_statement(&n.w, &st, &n.bob);
    add(n.r, &rotated);
    struct item stolen = make_statement(&n.w, &st, &n.carol);
    add(n.r, &stolen);
    settle(n.r);
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
        struct item it = make_statement(&n.w, &st, &n.bob);
        add(n.r, &it);
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

    struct item yes = make_admission(&n.w, &n.w.creator, &n.bob);
    add(n.r, &yes);
    h = settle(n.r);
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
        assert_int_equal(add_status(n.r, &forged, &added), PV_OK);
        assert_int_equal(added, PV_ROSTER_ORPHAN);
    }
    assert_int_equal(state_of(&n, &n.bob), PV_MEMBER_WAITING);
}

PV_TEST(a_denied_one_is_out_and_frees_the_name)
{
    struct net n = net_make(PV_INVITE_APPROVAL, 0);
    bob_joins(&n);
    settle(n.r);
    struct item no = make_revocation(&n.w, &n.w.creator, PV_REVOKE_NODE, n.bob.pk, NULL, 0);
    add(n.r, &no);
    assert_int_equal(state_of(&n, &n.bob), PV_MEMBER_REVOKED);
    assert_true(pv_roster_name_is_free(n.r, "bob", n.carol.pk));
    struct item yes = make_admission(&n.w, &n.w.creator, &n.bob);
    add(n.r, &yes);
    assert_int_equal(state_of(&n, &n.bob), PV_MEMBER_REVOKED);
}

/* A coordinator dates the claim of a friend back: the friend comes in order when it is admitted. */
PV_TEST(a_node_admitted_later_takes_no_name)
{
    struct net n = net_make(PV_INVITE_APPROVAL, 0);
    struct keys open = keys_of(33);
    struct item invite = make_invite(&n.w, &n.w.creator, &open, 5);
    add(n.r, &invite);
    struct item carol = make_member(&n.w, &open, &n.carol, "bob", 9);
    add(n.r, &carol);
    struct item bob = make_member(&n.w, &n.guest, &n.bob, "bob", 7);
    receipt_at(&n.w, &bob, T0 - 9, 1, T0 - 100);
    add(n.r, &bob);
    struct item yes = make_admission(&n.w, &n.w.creator, &n.bob);
    add(n.r, &yes);
    settle(n.r);
    assert_memory_equal(pv_roster_by_name(n.r, "bob")->node, n.carol.pk, PV_SIGN_PK_LEN);
}

/* The admin that admitted is removed: whom the removal names stays, and that is everybody whom it
 * let in. */
PV_TEST(a_member_that_was_admitted_outlives_the_admin)
{
    struct net n = net_make(PV_INVITE_APPROVAL, 0);
    struct keys admin = keys_of(50);
    struct item grant = make_admin(&n.w, &n.w.root, &admin, 3);
    add(n.r, &grant);
    struct item member = make_member(&n.w, &n.w.creator, &admin, "dora", 3);
    add(n.r, &member);
    bob_joins(&n);
    struct item yes = make_admission(&n.w, &admin, &n.bob);
    add(n.r, &yes);
    settle(n.r);
    assert_true(pv_roster_rests_on(n.r, pv_roster_by_name(n.r, "bob"), admin.pk, 0));
    struct pv_st_revocation what = {.kind = PV_REVOKE_NODE, .time = T0};
    struct pv_made_long made;
    size_t iter = 0;
    memcpy(what.pk, admin.pk, sizeof(what.pk));
    assert_int_equal(pv_make_revocation(n.r, pv_signer_sk(n.w.creator.sk), &what, &iter, &made),
                     PV_OK);
    struct item it = item_of_long(&n.w, &made);
    add(n.r, &it);
    assert_int_equal(state_of(&n, &n.bob), PV_MEMBER_ACTIVE);
    /* Its admissions afterwards have no effect. */
    struct item carol = make_member(&n.w, &n.guest, &n.carol, "carol", 8);
    add(n.r, &carol);
    struct item late = make_admission(&n.w, &admin, &n.carol);
    add(n.r, &late);
    assert_int_equal(state_of(&n, &n.carol), PV_MEMBER_WAITING);
}

/* A later version's condition takes part of a permission away: who does not know it admits nobody.
 */
PV_TEST(an_unknown_condition_admits_nobody)
{
    struct net n = net_make(PV_INVITE_APPROVAL | 0x40, 0);
    bob_joins(&n);
    struct item yes = make_admission(&n.w, &n.w.creator, &n.bob);
    add(n.r, &yes);
    assert_int_equal(settle(n.r).refused, 1);
    assert_int_equal(state_of(&n, &n.bob), PV_MEMBER_NONE);
}

/* The same invite has one form: without conditions it is a type 3. */
PV_TEST(conditions_that_are_none_have_no_form)
{
    struct net n = net_make(PV_INVITE_APPROVAL, 0);
    struct pv_statement st = {.type = PV_ST_CONDITIONAL, .u.invite = {.not_after = T0, .uses = 1}};
    struct pv_made_long m;
    const uint8_t *sk = n.w.creator.sk;
    assert_int_equal(pv_statement_make(&st, pv_signer_sk(sk), NULL, m.raw, sizeof(m.raw), &m.len),
                     PV_ERR_MALFORMED);
    st.u.invite.lifetime = 1;
    assert_int_equal(pv_statement_make(&st, pv_signer_sk(sk), NULL, m.raw, sizeof(m.raw), &m.len),
                     PV_OK);
    st.u.invite.uses = 0;
    assert_int_equal(pv_statement_make(&st, pv_signer_sk(sk), NULL, m.raw, sizeof(m.raw), &m.len),
                     PV_ERR_MALFORMED);
}

/* A node that waited longer than the lifetime is a member from the admission on. */
PV_TEST(an_admission_counts_as_a_sign_of_life)
{
    struct net n = net_make(PV_INVITE_APPROVAL, LIFETIME);
    bob_joins(&n);
    time_passes(&n, 2 * (uint64_t)LIFETIME);
    assert_int_equal(state_of(&n, &n.bob), PV_MEMBER_WAITING);
    struct item yes = make_admission(&n.w, &n.w.creator, &n.bob);
    add(n.r, &yes);
    assert_int_equal(state_of(&n, &n.bob), PV_MEMBER_ACTIVE);
}
