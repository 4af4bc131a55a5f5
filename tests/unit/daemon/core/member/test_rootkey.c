/* SPDX-License-Identifier: MIT */
/* Who joins by an invite of root's becomes an admin where the root key is. */
#include "daemon/core/member/membership.h"
#include "daemon/core/member/rootkey.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers x;
static struct keys door; /* an invite that root has signed, for two */

/* Stands in for membership.c. */
size_t pv_membership_add(struct pv_node *n, const struct pv_ctl_item *items, size_t n_items,
                         pv_ns now)
{
    size_t refused = 0;
    enum pv_roster_added added;
    (void)now;
    for (size_t i = 0; i < n_items; i++)
        refused += pv_roster_add(n->roster, items[i].statement, items[i].receipt, &added) != PV_OK;
    (void)settle(n->roster);
    return refused;
}

static void give_root(void)
{
    memcpy(x.f.identity.root_seed, x.f.world.root.sk, sizeof(x.f.identity.root_seed));
    x.f.identity.has_root = true;
}

static int start(void **state)
{
    (void)state;
    fake_peers_init(&x, &pv_part_rootkey);
    fake_node_enter(&x.f);
    door = keys_of(50);
    fake_node_add(&x.f, make_invite(&x.f.world, &x.f.world.root, &door, 2));
    give_root();
    fake_node_start(&x.f);
    fake_peers_settle(&x);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fake_peers_done(&x);
    return 0;
}

/* A node joins by this invite, and this node hears of it. */
static void join(const struct keys *invite, unsigned seed, const char *name)
{
    const struct keys k = keys_of(seed);
    fake_node_add(&x.f, make_member(&x.f.world, invite, &k, name, (uint16_t)seed));
    const struct pv_member *m = pv_roster_by_name(x.f.node.roster, name);
    assert_non_null(m);
    assert_int_equal(pv_peers_add_member(x.f.node.peers, m, x.f.now), PV_OK);
    fake_peers_settle(&x);
}

static uint8_t rights_of(unsigned seed)
{
    const struct keys k = keys_of(seed);
    return pv_roster_rights(x.f.node.roster, k.pk);
}

static void who_joins_by_an_invite_of_roots_becomes_an_admin(void **state)
{
    (void)state;
    const struct keys plain = keys_of(51);
    fake_node_add(&x.f, make_invite(&x.f.world, &x.f.world.creator, &plain, 2));
    join(&plain, 7, "bob");
    assert_int_equal(rights_of(7), 0);
    join(&door, 8, "carol");
    assert_int_equal(rights_of(8), PV_RIGHT_INVITE | PV_RIGHT_REVOKE);
}

/* Its rights were ended since: the token does not bring them back. */
static void nobody_becomes_an_admin_twice_by_one_token(void **state)
{
    (void)state;
    const struct keys carol = keys_of(8);
    struct pv_made made;
    size_t iter = 0;
    join(&door, 8, "carol");
    assert_int_equal(
        pv_make_rights_end(x.f.node.roster, x.f.world.root.sk, carol.pk, T0, &iter, &made), PV_OK);
    fake_node_add(&x.f, item_of(&x.f.world, &made));
    fake_node_raise(&x.f, PV_FACT_ONLINE);
    fake_peers_settle(&x);
    assert_int_equal(rights_of(8), 0);
}

static void a_coordinator_that_lets_in_more_makes_no_admins_of_them(void **state)
{
    (void)state;
    x.f.identity.has_root = false;
    join(&door, 7, "bob");
    join(&door, 8, "carol");
    join(&door, 9, "dave");
    give_root();
    fake_node_raise(&x.f, PV_FACT_ONLINE);
    fake_peers_settle(&x);
    assert_int_equal(rights_of(7) | rights_of(8) | rights_of(9), 0);
}

static void who_came_while_the_root_key_was_away_becomes_one_when_it_is_back(void **state)
{
    (void)state;
    x.f.identity.root_seed[0] ^= 1; /* that of another network is none */
    join(&door, 7, "bob");
    assert_int_equal(rights_of(7), 0);
    give_root();
    fake_node_raise(&x.f, PV_FACT_ONLINE);
    fake_peers_settle(&x);
    assert_int_equal(rights_of(7), PV_RIGHT_INVITE | PV_RIGHT_REVOKE);
}

static void a_revoked_invite_makes_none(void **state)
{
    (void)state;
    const struct keys bob = keys_of(7);
    x.f.identity.has_root = false;
    join(&door, 7, "bob");
    fake_node_add(&x.f, make_revocation(&x.f.world, &x.f.world.creator, PV_REVOKE_INVITE, door.pk,
                                        bob.pk, 1));
    give_root();
    fake_node_raise(&x.f, PV_FACT_ONLINE);
    fake_peers_settle(&x);
    assert_non_null(pv_roster_by_name(x.f.node.roster, "bob"));
    assert_int_equal(rights_of(7), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_joins_by_an_invite_of_roots_becomes_an_admin, start,
                                        stop),
        cmocka_unit_test_setup_teardown(nobody_becomes_an_admin_twice_by_one_token, start, stop),
        cmocka_unit_test_setup_teardown(a_coordinator_that_lets_in_more_makes_no_admins_of_them,
                                        start, stop),
        cmocka_unit_test_setup_teardown(
            who_came_while_the_root_key_was_away_becomes_one_when_it_is_back, start, stop),
        cmocka_unit_test_setup_teardown(a_revoked_invite_makes_none, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
