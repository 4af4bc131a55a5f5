/* SPDX-License-Identifier: MIT */
/* A node that joins by an invite of root's becomes an admin where the root key is; the key goes out
 * and comes in sealed. */
#include "daemon/core/admin/rootkey.h"
#include "daemon/core/member/membership.h"
#include "proto/roster/paperkey.h"
#include "tests/unit/daemon/core/client/fake_client.h"

static struct fake_peers x;
static uint32_t client;
static struct keys door; /* an invite that root has signed, for two */

/* Stands in for membership.c. */
size_t pv_membership_add(struct pv_node *n, const struct pv_ctl_item *items, size_t n_items,
                         pv_ns now)
{
    (void)now;
    return fake_node_take(n, items, n_items);
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
    client = fake_client_open(&x);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fake_peers_done(&x);
    return 0;
}

PV_TEST_WORLD(start, stop);

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

PV_TEST(a_node_that_joins_by_an_invite_of_roots_becomes_an_admin)
{
    const struct keys plain = keys_of(51);
    fake_node_add(&x.f, make_invite(&x.f.world, &x.f.world.creator, &plain, 2));
    join(&plain, 7, "bob");
    assert_int_equal(rights_of(7), 0);
    join(&door, 8, "carol");
    assert_int_equal(rights_of(8), PV_RIGHT_INVITE | PV_RIGHT_REVOKE);
}

/* Its rights were ended since: the token does not bring them back. */
PV_TEST(nobody_becomes_an_admin_twice_by_one_token)
{
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

PV_TEST(a_coordinator_that_lets_in_more_makes_no_admins_of_them)
{
    x.f.identity.has_root = false;
    join(&door, 7, "bob");
    join(&door, 8, "carol");
    join(&door, 9, "dave");
    give_root();
    fake_node_raise(&x.f, PV_FACT_ONLINE);
    fake_peers_settle(&x);
    assert_int_equal(rights_of(7) | rights_of(8) | rights_of(9), 0);
}

PV_TEST(a_node_that_came_while_the_root_key_was_away_becomes_one_when_it_is_back)
{
    x.f.identity.root_seed[0] ^= 1; /* that of another network is none */
    join(&door, 7, "bob");
    assert_int_equal(rights_of(7), 0);
    give_root();
    fake_node_raise(&x.f, PV_FACT_ONLINE);
    fake_peers_settle(&x);
    assert_int_equal(rights_of(7), PV_RIGHT_INVITE | PV_RIGHT_REVOKE);
}

PV_TEST(a_revoked_invite_makes_none)
{
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

/* --- export and import ------------------------------------------------------------------------ */

/* The key that a client made of a passphrase. */
#define KEY   "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"
#define OTHER "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI"

static char box[128]; /* as an export gave it out */

static const char *ask(const char *cmd, const char *key, const char *sealed)
{
    char fields[512];
    snprintf(fields, sizeof(fields), "\"cmd\":\"%s\",\"key\":\"%s\"%s%s%s", cmd, key,
             sealed == NULL ? "" : ",\"box\":\"", sealed == NULL ? "" : sealed,
             sealed == NULL ? "" : "\"");
    fake_client_ask(&x, client, fields);
    return fake_client_read(&x, client);
}

static void export_it(void)
{
    const char *at = strstr(ask("root_export", KEY, NULL), "\"box\":\"");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "\"box\":\"%127[^\"]", box), 1);
}

/* Another machine: the same network, no root key. This node's own rights may have ended. */
static void lose_root(bool rights)
{
    struct pv_made made;
    size_t iter = 0;
    if (!rights) {
        assert_int_equal(pv_make_rights_end(x.f.node.roster, x.f.world.root.sk,
                                            x.f.world.creator.pk, T0, &iter, &made),
                         PV_OK);
        fake_node_add(&x.f, item_of(&x.f.world, &made));
    }
    x.f.identity.has_root = false;
    memset(x.f.identity.root_seed, 0, sizeof(x.f.identity.root_seed));
}

/* The disk takes the key, or does not. */
static const char *save(int status)
{
    struct pv_job *job = fake_node_job(&x.f);
    struct pv_job_result result = {.status = status, .error = "the disk is gone"};
    assert_non_null(job);
    assert_int_equal(job->kind, PV_JOB_SAVE_ROOT);
    assert_memory_equal(job->u.root_seed, x.f.world.root.sk, sizeof(job->u.root_seed));
    assert_false(x.f.identity.has_root); /* not before it is on disk */
    fake_node_answer(&x.f, job, &result);
    return fake_client_read(&x, client);
}

PV_TEST(an_exported_key_is_usable_where_it_is_imported)
{
    export_it();
    lose_root(false);
    assert_int_equal(pv_roster_rights(x.f.node.roster, x.f.world.creator.pk), 0);
    assert_non_null(strstr(ask("root_export", KEY, NULL), "there is no root key on this machine"));
    assert_string_equal(ask("root_import", KEY, box), "");
    assert_non_null(strstr(save(PV_OK), "\"network\":\"home\",\"granted\":true"));
    assert_true(x.f.identity.has_root);
    assert_int_equal(pv_roster_rights(x.f.node.roster, x.f.world.creator.pk), 3);
    /* Once more: nothing to write, nothing to grant. */
    assert_non_null(strstr(ask("root_import", KEY, box), "\"granted\":false"));
    assert_null(fake_node_job(&x.f));
}

PV_TEST(a_key_that_cannot_be_opened_changes_nothing)
{
    export_it();
    lose_root(true);
    assert_non_null(strstr(ask("root_import", OTHER, box), "the passphrase is not the one"));
    assert_non_null(strstr(ask("root_import", "x", box), "is no key"));
    assert_non_null(strstr(ask("root_import", KEY, "AAAA"), "\"ok\":false"));
    assert_null(fake_node_job(&x.f));
    assert_false(x.f.identity.has_root);
    assert_string_equal(ask("root_import", KEY, box), "");
    assert_non_null(strstr(ask("root_import", KEY, box), "another one is under way"));
    assert_non_null(strstr(save(PV_ERR_NO_SPACE), "the disk is gone"));
    assert_false(x.f.identity.has_root);
}

PV_TEST(the_key_of_another_network_is_not_mistaken)
{
    export_it();
    x.f.identity.root_seed[0] ^= 1;
    assert_non_null(
        strstr(ask("root_import", KEY, box), "the root key of another network is on this machine"));
    const char *other =
        ask("root_export", KEY, NULL); /* it is left over, and may be the only one */
    assert_non_null(strstr(other, "\"network\":null"));
    assert_int_equal(sscanf(strstr(other, "\"box\":\""), "\"box\":\"%127[^\"]", box), 1);
    lose_root(true);
    assert_non_null(strstr(ask("root_import", KEY, box), "of another network than home"));
    assert_null(fake_node_job(&x.f));
}
