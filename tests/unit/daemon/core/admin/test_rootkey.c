/* SPDX-License-Identifier: MIT */
/* A node that joins by an invite of root's becomes an admin where the root key is; a client is told
 * where that is, and the keeper opens what comes in. */
#include "daemon/core/admin/rootkey.h"
#include "daemon/core/member/membership.h"
#include "tests/unit/daemon/core/client/fake_client.h"
#include "tests/unit/daemon/core/fake_membership.h"

static struct fake_peers x;
static uint32_t client;
static struct keys door; /* an invite that root has signed, for two */

static int nobody_signs(void *keeper, struct pv_view body, uint8_t ret_sig[static PV_SIGN_LEN])
{
    memset(ret_sig, 0, PV_SIGN_LEN);
    return PV_ERR_CLOSED;
}

static void give_root(void)
{
    fake_node_give_root(&x.f, false);
}

void test_before_each(void)
{
    fake_peers_init(&x, &pv_part_rootkey);
    x.f.cfg.root_file = "/state/root.key";
    fake_node_enter(&x.f);
    door = keys_of(50);
    fake_node_add(&x.f, make_invite(&x.f.world, &x.f.world.root, &door, 2));
    give_root();
    fake_node_start(&x.f);
    fake_peers_settle(&x);
    client = fake_client_open(&x);
}

/* A node joins by this invite, and this node hears of it. */
static void join(const struct keys *invite, unsigned seed, const char *name)
{
    const struct keys k = keys_of(seed);
    fake_node_add(&x.f, make_member(&x.f.world, invite, &k, name, (uint16_t)seed));
    const struct pv_member *m = pv_roster_by_name(x.f.node.roster, name);
    assert_non_null(m);
    assert_ok(pv_peers_add_member(x.f.node.peers, m, x.f.now));
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
    assert_ok(pv_make_rights_end(x.f.node.roster, pv_signer_sk(x.f.world.root.sk), carol.pk, T0,
                                 &iter, &made));
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
    fake_node_give_root(&x.f, true); /* that of another network is none */
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

/* The key that a client made of a passphrase, and what it has of an export. */
#define KEY "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"
#define BOX "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static const char *ask(const char *fields)
{
    fake_client_ask(&x, client, fields);
    return fake_client_read(&x, client);
}

static const char *import(const char *key, const char *box)
{
    return ask(PV_STR("\"cmd\":\"root_import\",\"key\":\"%s\",\"box\":\"%s\"", key, box));
}

/* Another machine: the same network, no root key. This node's own rights may have ended. */
static void lose_root(bool rights)
{
    struct pv_made made;
    size_t iter = 0;
    if (!rights) {
        assert_ok(pv_make_rights_end(x.f.node.roster, pv_signer_sk(x.f.world.root.sk),
                                     x.f.world.creator.pk, T0, &iter, &made));
        fake_node_add(&x.f, item_of(&x.f.world, &made));
    }
    x.f.identity.has_root = false;
}

/* The keeper has it, or says why not. */
static const char *keep(int status)
{
    struct pv_job *job = fake_node_job(&x.f);
    struct pv_job_result result = {
        .kind = PV_JOB_KEEP_ROOT, .status = status, .error = "the disk is gone"};
    assert_non_null(job);
    assert_int_equal(job->kind, PV_JOB_KEEP_ROOT);
    assert_true(job->u.root.import);
    assert_int_equal(job->u.root.key[31], 1);
    assert_int_equal(job->u.root.box[47], 0);
    assert_memory_equal(job->u.root.pk, x.f.world.root.pk, sizeof(job->u.root.pk));
    memcpy(result.root_pk, x.f.world.root.pk, sizeof(result.root_pk));
    fake_node_answer(&x.f, job, &result);
    return fake_client_read(&x, client);
}

PV_TEST(an_export_says_where_the_key_is_and_shows_no_more)
{
    static const char cmd[] = "\"cmd\":\"root_export\"";
    assert_has(ask(cmd), "'network':'home','file':'/state/root.key'");
    assert_has(ask(cmd), PV_KEY_STR(x.f.world.root.pk));
    /* It is left over from another network, and may be the only one. */
    fake_node_give_root(&x.f, true);
    assert_has(ask(cmd), "'network':null");
    x.f.identity.has_root = false;
    assert_has(ask(cmd), "there is no root key on this machine");
}

PV_TEST(an_imported_key_is_used)
{
    lose_root(false);
    assert_int_equal(pv_roster_rights(x.f.node.roster, x.f.world.creator.pk), 0);
    assert_string_equal(import(KEY, BOX), "");
    assert_false(x.f.identity.has_root); /* not before it is on disk */
    assert_has(keep(PV_OK), "'network':'home','granted':true");
    assert_true(x.f.identity.has_root);
    assert_int_equal(pv_roster_rights(x.f.node.roster, x.f.world.creator.pk), 3);
    /* Once more: nothing to grant. */
    assert_string_equal(import(KEY, BOX), "");
    assert_has(keep(PV_OK), "'granted':false");
}

PV_TEST(a_key_that_the_keeper_does_not_take_changes_nothing)
{
    static const struct {
        int status;
        const char *says;
    } cases[] = {
        {PV_ERR_AUTH, "the passphrase is not the one"},
        {PV_ERR_REFUSED, "of another network than home"},
        {PV_ERR_EXISTS, "the root key of another network is on this machine"},
        {PV_ERR_NO_SPACE, "the disk is gone"},
    };
    lose_root(true);
    assert_has(import("x", BOX), "is no key");
    assert_has(import(KEY, "AAAA"), "no box");
    assert_null(fake_node_job(&x.f));
    for (size_t i = 0; i < PV_ARRAY_LEN(cases); i++) {
        assert_string_equal(import(KEY, BOX), "");
        assert_has(keep(cases[i].status), cases[i].says);
        assert_false(x.f.identity.has_root);
    }
    assert_string_equal(import(KEY, BOX), "");
    assert_has(import(KEY, BOX), "another one is under way");
    assert_has(keep(PV_OK), "'granted':false");
}

PV_TEST(a_keeper_that_is_gone_signs_nothing)
{
    x.f.identity.root.sign = nobody_signs;
    join(&door, 8, "carol");
    assert_int_equal(rights_of(8), 0);
}
