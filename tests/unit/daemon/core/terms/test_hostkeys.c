/* SPDX-License-Identifier: MIT */
/* The host keys of this machine's sshd are announced, and those of members are told. */
#include "daemon/core/member/card.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/parts.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/roster/sshkeys.h"
#include "tests/unit/daemon/core/client/fake_client.h"
#include "tests/unit/daemon/core/fake_membership.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

#define OURS    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIYvH9vbTs6dZ14MLFQ2kTZWdI57QZJFOQPaIiiOVdZG"
#define ANOTHER "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJx5F0vUl91DoFWX70GpFUMWjZUhF+I+eMlQq+vP3Umr"

static struct fake_peers x;
static uint32_t client;
static void *card; /* the part */

static void end_card(void *arg)
{
    pv_part_free(&pv_part_card, arg);
}

void test_before_each(void)
{
    fake_membership.given = 0;
    fake_membership.refuses = false;
    fake_peers_init(&x, &pv_part_hostkeys);
}

/* Both parts run, in their order. */
static void turn(void)
{
    fake_node_settle(&x.f);
    pv_part_card.run(card, x.f.now);
}

static void begin(void)
{
    assert_ok(pv_part_make(&pv_part_card, &x.f.node, &x.f.cfg, x.f.now, &card));
    fake_node_start(&x.f);
    x.f.node.parts[1] = (struct pv_part_slot){.part = &pv_part_card, .self = card};
    x.f.node.n_parts = 2;
    test_defer(end_card, card);
    client = fake_client_open(&x);
    fake_node_enter(&x.f);
    turn();
}

/* sshd's files have this. */
static void find(const char *text)
{
    struct pv_job_result result = {.status = PV_OK, .hostkeys = pv_view(text, strlen(text))};
    struct pv_job *job = fake_node_job(&x.f);
    while (job != NULL && job->kind == PV_JOB_SET_META) {
        fake_node_answer(&x.f, job, &(struct pv_job_result){.status = PV_OK});
        job = fake_node_job(&x.f);
    }
    assert_non_null(job);
    assert_int_equal(job->kind, PV_JOB_HOSTKEYS);
    fake_node_answer(&x.f, job, &result);
    turn();
}

static const char *announced(void)
{
    static char line[PV_SSHKEY_LINE_BUF];
    struct pv_card last;
    pv_card_last(&x.f.node, &last);
    struct pv_view list = last.hostkeys, key;
    line[0] = '\0';
    if (pv_sshkeys_next(&list, &key))
        (void)pv_sshkey_format(key, line);
    assert_int_equal(list.len, 0);
    return line;
}

PV_TEST(keys_that_are_found_are_announced_once)
{
    begin();
    find(OURS " root@pi\n");
    assert_string_equal(announced(), OURS);
    assert_int_equal(fake_membership.given, 1);
    x.f.now += PV_S(61);
    turn();
    find(OURS "\n");
    assert_int_equal(fake_membership.given, 1);
}

PV_TEST(a_machine_without_sshd_says_nothing)
{
    begin();
    find("");
    assert_int_equal(fake_membership.given, 0);
}

/* Nobody waits for it: the look comes with whatever wakes the node after a minute. */
PV_TEST(another_key_is_announced_when_the_node_wakes_after_a_minute)
{
    begin();
    find(OURS "\n");
    assert_int_equal(pv_part_next_timeout(x.f.part, x.f.self), PV_NEVER);
    x.f.now += PV_S(59);
    turn();
    assert_null(fake_node_job(&x.f));
    x.f.now += PV_S(2);
    turn();
    find(ANOTHER "\n");
    assert_string_equal(announced(), ANOTHER);
    x.f.now += PV_S(61);
    turn();
    find("");
    assert_string_equal(announced(), "");
}

PV_TEST(a_refused_card_is_shown_again_a_minute_later)
{
    fake_membership.refuses = true;
    begin();
    find(OURS "\n");
    for (int i = 0; i < 10; i++)
        turn();
    assert_int_equal(fake_membership.given, 1);
    fake_membership.refuses = false;
    x.f.now += PV_S(61);
    turn();
    assert_int_equal(fake_membership.given, 2);
}

/* Keys of another place count from then on, after a restart as well, whatever the files have. */
static void announce(const char *keys)
{
    fake_client_ask(&x, client, PV_STR("'cmd':'ssh_announce','keys':'%s'", keys));
    turn();
}

PV_TEST(keys_that_root_names_take_the_place_of_those_found)
{
    begin();
    find(OURS "\n");
    announce(ANOTHER);
    assert_string_equal(announced(), ANOTHER);
    assert_true(test_has(fake_client_read(&x, client), "\"found\":false"));
    struct pv_job *job = fake_node_expect(&x.f, PV_JOB_SET_META);
    uint8_t kept[1 + PV_SSHKEYS_MAX];
    const size_t len = job->u.set_meta.len;
    assert_true(len <= sizeof(kept));
    memcpy(kept, job->u.set_meta.value, len);
    const struct pv_saved_meta meta = {.name = "hostkeys", .value = pv_view(kept, len)};
    fake_node_answer(&x.f, job, &(struct pv_job_result){.status = PV_OK});
    x.f.now += PV_S(61);
    turn();
    assert_null(fake_node_job(&x.f));

    fake_node_done(&x.f);
    fake_peers_init(&x, &pv_part_hostkeys);
    x.f.saved.meta = &meta;
    x.f.saved.n_meta = 1;
    begin();
    assert_null(fake_node_job(&x.f));
    assert_string_equal(announced(), ANOTHER);

    fake_client_ask(&x, client, "'cmd':'ssh_announce'");
    find(OURS "\n");
    assert_true(test_has(fake_client_read(&x, client), "\"found\":true"));
    assert_string_equal(announced(), OURS);
}

PV_TEST(no_key_is_announced_where_root_says_none)
{
    begin();
    find(OURS "\n");
    announce("none");
    assert_string_equal(announced(), "");
    announce("* " OURS);
    assert_true(test_has(fake_client_read(&x, client), "no public host key"));
    assert_string_equal(announced(), "");
}

static bool knows(const char *host)
{
    fake_client_ask(&x, client, PV_STR("'cmd':'ssh_known_hosts','peer':'%s'", host));
    return test_has(fake_client_read(&x, client), "AAAA");
}

/* A member's card, as it came by whatever way. */
static void member_says(unsigned seed, const char *line)
{
    struct pv_made_long made;
    enum pv_roster_added added;
    struct pv_sshkeys keys = {.len = 0};
    assert_int_equal(pv_sshkeys_read(&keys, pv_view(line, strlen(line))), 0);
    const struct pv_card says = {.hostkeys = pv_sshkeys_view(&keys)};
    assert_ok(pv_make_card(x.f.node.roster, keys_of(seed).sk, &says, T0, &made));
    assert_ok(pv_roster_add(x.f.node.roster, pv_made_long_view(&made), pv_view(NULL, 0), &added));
    (void)settle(x.f.node.roster);
}

PV_TEST(a_member_is_known_by_its_names_and_addresses_and_nothing_else)
{
    begin();
    (void)fake_peers_member(&x, 7, "bob", 7);
    member_says(7, ANOTHER);
    const struct pv_member *bob = pv_roster_by_name(x.f.node.roster, "bob");
    assert_true(knows("bob"));
    assert_true(knows("BOB."));
    assert_true(knows("bob.home.p2p"));
    assert_true(knows(PV_IP_STR(&bob->ip4)));
    assert_true(knows(PV_IP_STR(&bob->ip6)));
    assert_false(knows("bob.other.p2p"));
    assert_false(knows("alice")); /* which has announced none */
    assert_false(knows("carol"));
    assert_false(knows("192.0.2.1"));
    assert_false(knows(PV_KEY_STR(bob->node)));
    assert_false(knows(PV_STR("key:%.6s", PV_KEY_STR(bob->node))));
}

/* The name of somebody who was renamed leads to whoever has it today. */
PV_TEST(a_former_name_leads_to_no_key)
{
    begin();
    (void)fake_peers_member(&x, 7, "bob", 7);
    member_says(7, ANOTHER);
    const struct keys bob = keys_of(7);
    struct pv_st_place place = {.serial = 9, .name = "robert", .time = T0};
    memcpy(place.node, bob.pk, sizeof(place.node));
    pv_store_be32(place.ip4, pv_load_be32(pv_roster_by_name(x.f.node.roster, "bob")->ip4.ip));
    struct pv_made made;
    enum pv_roster_added added;
    assert_ok(
        pv_make_place(pv_roster_network_id(x.f.node.roster), pv_signer_sk(bob.sk), &place, &made));
    assert_ok(pv_roster_add(x.f.node.roster, pv_made_view(&made), pv_view(NULL, 0), &added));
    (void)settle(x.f.node.roster);
    assert_true(knows("robert"));
    assert_false(knows("bob"));
}

PV_TEST(a_removed_member_has_no_key)
{
    begin();
    (void)fake_peers_member(&x, 7, "bob", 7);
    member_says(7, ANOTHER);
    assert_true(knows("bob"));
    const struct keys bob = keys_of(7);
    struct item gone = make_leave(&x.f.world, &bob, 9);
    fake_node_add(&x.f, gone);
    assert_false(knows("bob"));
}

void test_begin(void)
{
    json_object_seed(1);
}
