/* SPDX-License-Identifier: MIT */
/* Users' keys are announced, and sshd is told whose key opens an account. */
#include "daemon/core/member/card.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/rules.h"
#include "daemon/core/parts.h"
#include "proto/roster/sshkeys.h"
#include "tests/unit/daemon/core/client/fake_client.h"
#include "tests/unit/daemon/core/fake_membership.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

#define OURS    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIYvH9vbTs6dZ14MLFQ2kTZWdI57QZJFOQPaIiiOVdZG"
#define ANOTHER "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJx5F0vUl91DoFWX70GpFUMWjZUhF+I+eMlQq+vP3Umr"
#define PRINT   "SHA256:pbh1pwyeKH8oWQ/U+J2QbgJqGGijlKGU0SmIRLSUYB0" /* of ANOTHER */

static struct fake_peers x;
static uint32_t client;

/* Stands in for the part of that name. */
static struct pv_policy *policy;
static bool known;

const struct pv_policy *pv_rules_policy(const struct pv_node *n)
{
    return policy;
}

bool pv_rules_are_known(const struct pv_node *n)
{
    return known;
}

static struct pv_sshkeys shown; /* on the card */

void pv_card_set_sshkeys(struct pv_node *n, const struct pv_sshkeys *keys, pv_ns now)
{
    assert_int_equal(keys->use, PV_SSHKEYS_LOGIN);
    shown = *keys;
}

static void end_policy(void *arg)
{
    policy = pv_policy_free(policy);
}

void test_before_each(void)
{
    known = true;
    fake_peers_init(&x, &pv_part_logins);
    assert_ok(pv_policy_new(&policy));
    test_defer(end_policy, NULL);
}

static void begin(void)
{
    fake_node_start(&x.f);
    client = fake_client_open(&x);
    fake_node_enter(&x.f);
    fake_node_settle(&x.f);
}

static void allow(const char *what)
{
    struct pv_policy_rule r = {.place = 1, .allow = true};
    assert_ok(pv_logins_parse(what, &r.ports, &r.logins));
    assert_ok(pv_policy_add(policy, &r));
    pv_policy_finish(policy);
}

static const char *ask(const char *what)
{
    fake_client_ask(&x, client, what);
    return fake_client_read(&x, client);
}

static bool opens(const char *account, const char *print)
{
    return test_has(
        ask(PV_STR("'cmd':'ssh_authorized_keys','account':'%s','print':'%s'", account, print)),
        ANOTHER);
}

static void member_says(unsigned seed, const char *lines)
{
    struct pv_made_long made;
    enum pv_roster_added added;
    struct pv_sshkeys keys = {.use = PV_SSHKEYS_LOGIN};
    assert_int_equal(pv_sshkeys_read(&keys, pv_view(lines, strlen(lines))), 0);
    const struct pv_card says = {.loginkeys = pv_sshkeys_view(&keys)};
    assert_ok(pv_make_card(x.f.node.roster, keys_of(seed).sk, &says, T0, &made));
    assert_ok(pv_roster_add(x.f.node.roster, pv_made_long_view(&made), pv_view(NULL, 0), &added));
    (void)settle(x.f.node.roster);
}

PV_TEST(an_account_is_open_by_a_rule_and_a_key)
{
    begin();
    (void)fake_peers_member(&x, 7, "bob", 7);
    member_says(7, OURS "\n" ANOTHER);
    allow("ssh:ada");
    assert_true(opens("ada", PRINT));
    assert_false(opens("root", PRINT));
    assert_false(opens("ad", PRINT));
    assert_false(opens("ada", "SHA256:x"));
    known = false; /* a rule that denies it may be missing */
    assert_false(opens("ada", PRINT));
    known = true;
    member_says(7, OURS);
    assert_false(opens("ada", PRINT));
}

PV_TEST(no_account_is_open_without_a_rule)
{
    begin();
    (void)fake_peers_member(&x, 7, "bob", 7);
    member_says(7, ANOTHER);
    pv_policy_finish(policy);
    assert_false(opens("ada", PRINT));
    policy = pv_policy_free(policy);
    assert_false(opens("ada", PRINT));
}

PV_TEST(a_removed_member_opens_nothing)
{
    begin();
    (void)fake_peers_member(&x, 7, "bob", 7);
    member_says(7, ANOTHER);
    allow("ssh:ada");
    assert_true(opens("ada", PRINT));
    const struct keys bob = keys_of(7);
    fake_node_add(&x.f, make_leave(&x.f.world, &bob, 9));
    assert_false(opens("ada", PRINT));
}

/* What this machine announces opens nothing here: whoever has the key is somebody's local user. */
PV_TEST(a_machine_does_not_log_in_to_itself)
{
    struct pv_made_long made;
    enum pv_roster_added added;
    struct pv_sshkeys keys = {.use = PV_SSHKEYS_LOGIN};
    begin();
    allow("ssh:ada");
    assert_int_equal(pv_sshkeys_read(&keys, pv_view(ANOTHER, strlen(ANOTHER))), 0);
    const struct pv_card says = {.loginkeys = pv_sshkeys_view(&keys)};
    assert_ok(pv_make_card(x.f.node.roster, x.f.node.identity->sign_sk, &says, T0, &made));
    assert_ok(pv_roster_add(x.f.node.roster, pv_made_long_view(&made), pv_view(NULL, 0), &added));
    (void)settle(x.f.node.roster);
    assert_false(opens("ada", PRINT));
}

/* As many as fit on the cards of 530 members; the last one's is asked for. */
PV_TEST(one_of_ten_thousand_keys_is_found)
{
    enum {
        MEMBERS = 530,
        KEYS = PV_SSHKEYS_MAX / 53,
    };
    static struct pv_sshkeys keys;
    begin();
    allow("ssh:ada");
    (void)fake_peers_member(&x, 7, "bob", 7);
    member_says(7, ANOTHER);
    for (unsigned m = 0; m < MEMBERS; m++) {
        struct pv_made_long made;
        enum pv_roster_added added;
        const unsigned seed = 1000 + m;
        (void)fake_peers_member(&x, seed, PV_STR("m%u", m), (uint16_t)(100 + m));
        keys = (struct pv_sshkeys){.use = PV_SSHKEYS_LOGIN};
        for (unsigned i = 0; i < KEYS; i++) {
            uint8_t key[51] = "\0\0\0\13ssh-ed25519\0\0\0\40", *at = keys.list + keys.len;
            pv_store_be32(key + 19, i);
            pv_store_be32(key + 23, m);
            pv_store_be16(at, sizeof(key));
            memcpy(at + 2, key, sizeof(key));
            keys.len += 2 + sizeof(key);
        }
        const struct pv_card says = {.loginkeys = pv_sshkeys_view(&keys)};
        assert_ok(pv_make_card(x.f.node.roster, keys_of(seed).sk, &says, T0, &made));
        assert_ok(
            pv_roster_add(x.f.node.roster, pv_made_long_view(&made), pv_view(NULL, 0), &added));
    }
    (void)settle(x.f.node.roster);
    assert_true(MEMBERS * KEYS >= 10000);
    assert_true(opens("ada", PRINT));
    assert_false(opens("ada", "SHA256:x"));
}

PV_TEST(keys_are_announced_and_kept)
{
    begin();
    assert_int_equal(shown.len, 0);
    assert_true(test_has(ask("'cmd':'ssh_keys_add','keys':'" ANOTHER " x\\n" OURS "'"), OURS));
    fake_node_settle(&x.f);
    assert_int_equal(shown.len, 2 * 53);
    struct pv_job *job = fake_node_expect(&x.f, PV_JOB_SET_META);
    uint8_t kept[PV_SSHKEYS_MAX];
    const size_t len = job->u.set_meta.len;
    assert_int_equal(len, 2 * 53);
    memcpy(kept, job->u.set_meta.value, len);
    fake_node_answer(&x.f, job, &(struct pv_job_result){.status = PV_OK});
    assert_true(test_has(ask("'cmd':'ssh_keys_add','keys':'no-pty " OURS "'"), "no public key"));
    assert_true(test_has(ask("'cmd':'ssh_keys_remove','keys':'x'"), "no public key"));
    assert_false(test_has(ask("'cmd':'ssh_keys_remove','keys':'" ANOTHER "'"), ANOTHER));
    assert_true(test_has(ask("'cmd':'ssh_keys'"), OURS));
    assert_false(test_has(ask("'cmd':'ssh_keys_remove','keys':'all'"), OURS));

    const struct pv_saved_meta meta = {.name = "loginkeys", .value = pv_view(kept, len)};
    fake_node_done(&x.f);
    fake_peers_init(&x, &pv_part_logins);
    x.f.saved.meta = &meta;
    x.f.saved.n_meta = 1;
    begin();
    assert_int_equal(shown.len, 2 * 53);
}

void test_begin(void)
{
    json_object_seed(1);
}
