/* SPDX-License-Identifier: MIT */
/* The statements that the user signs: who may, what becomes of it, and what the client hears and
 * when. */
#include "daemon/core/admin/admin.h"
#include "daemon/core/member/invite.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/owed.h"
#include "daemon/core/member/rostersync_part.h"
#include "tests/unit/daemon/core/client/fake_client.h"
#include "tests/unit/daemon/core/fake_membership.h"
#include "tests/unit/daemon/core/member/fake_coord.h"

#define REMOVE_BOB "\"cmd\":\"remove\",\"peer\":\"bob\""

static struct fake_peers x;
static struct pv_peer *bob;
static struct keys door; /* the invite that let bob in, and lets in one more */
static uint32_t client;

/* The stand-in for the other parts of the folder is told, and says. */
static struct {
    struct pv_owed_told says;
    unsigned told_owed, told_gossip, left;
    bool unsaved;
} others;

bool pv_membership_is_stored(const struct pv_node *n)
{
    return !others.unsaved;
}

void pv_membership_leave(struct pv_node *n, pv_ns now)
{
    pv_peers_drop_members(n->peers, now);
    n->roster = NULL; /* the test's world frees it */
    n->removed = false;
    others.left++;
}

void pv_owed_hurry(struct pv_node *n, pv_ns now)
{
    others.told_owed++;
}

void pv_owed_told(const struct pv_node *n, struct pv_owed_told *ret_told)
{
    *ret_told = others.says;
}

void pv_rostersync_hurry(struct pv_node *n, pv_ns now)
{
    others.told_gossip++;
}

void test_before_each(void)
{
    memset(&others, 0, sizeof(others));
    others.says = (struct pv_owed_told){.coordinator = "silent", .online = 2, .know = 1};
    fake_peers_init(&x, &pv_part_admin);
    fake_coord_init();
    fake_node_enter(&x.f);
    const struct keys k = keys_of(7);
    door = keys_of(50);
    fake_node_add(&x.f, make_invite(&x.f.world, &x.f.world.creator, &door, 2));
    fake_node_add(&x.f, make_member(&x.f.world, &door, &k, "bob", 7));
    const struct pv_member *m = pv_roster_by_name(x.f.node.roster, "bob");
    assert_non_null(m);
    assert_ok(pv_peers_add_member(x.f.node.peers, m, x.f.now));
    bob = pv_peers_by_pk(x.f.node.peers, m->node);
    x.f.node.online = true;
    fake_node_start(&x.f);
    client = fake_client_open(&x);
}

static void ask(const char *fields)
{
    fake_client_ask(&x, client, fields);
}

static void show_reply(void)
{
    assert_shows("", fake_client_read(&x, client));
}

/* The client asks for this, and the answer says that. */
static void show_answer(const char *fields)
{
    ask(fields);
    assert_shows(fields, fake_client_read(&x, client));
}

static void expect_nothing(void)
{
    assert_string_equal(fake_client_read(&x, client), "");
}

static bool is_member(const char *name)
{
    return pv_roster_by_name(x.f.node.roster, name) != NULL;
}

static struct pv_roster_invite door_now(void)
{
    struct pv_roster_invite inv;
    assert_ok(pv_roster_invite(x.f.node.roster, door.pk, &inv));
    return inv;
}

/* --- who may ---------------------------------------------------------------------------------- */

static const char *const of_admins[] = {"\"cmd\":\"invite\",\"uses\":1,\"expires\":60", REMOVE_BOB,
                                        "\"cmd\":\"invite_revoke\",\"invite\":\"x\""};

PV_TEST(only_an_admin_signs)
{
    const struct keys other = keys_of(7);
    memcpy(x.f.identity.sign_pk, other.pk, sizeof(other.pk));
    for (size_t i = 0; i < PV_ARRAY_LEN(of_admins); i++) {
        show_answer(of_admins[i]);
    }
    assert_true(is_member("bob"));
}

PV_TEST(a_node_that_is_down_signs_nothing)
{
    x.f.node.up = false;
    for (size_t i = 0; i < PV_ARRAY_LEN(of_admins); i++) {
        show_answer(of_admins[i]);
    }
    assert_true(is_member("bob"));
}

/* --- invites ---------------------------------------------------------------------------------- */

static uint64_t invite(void)
{
    uint64_t tag;
    ask("'cmd':'invite','uses':3,'expires':60");
    expect_nothing(); /* a token is worth nothing before the coordinator knows it */
    pv_ctl_msg_free(fake_coord_take(PV_CTL_PUT, &tag));
    return tag;
}

static void answer(uint64_t tag, const struct pv_ctl_msg *msg)
{
    pv_part_admin.on_answer(x.f.self, tag, msg, x.f.now);
    fake_peers_settle(&x);
}

PV_TEST(an_invite_is_told_when_the_coordinator_has_it)
{
    const struct pv_ctl_result result = {.error = PV_CTL_E_NONE};
    const struct pv_ctl_msg msg = {
        .kind = PV_CTL_ANSWER, .type = PV_CTL_RECEIPTS, .u.receipts = {.n = 1, .results = &result}};
    answer(invite(), &msg);
    show_reply();
}

/* `invite revoke` would take it for a flag. One key in 64 begins so. */
PV_TEST(no_id_of_an_invite_begins_with_a_hyphen)
{
    const struct pv_invite_terms terms = {.uses = 1, .expires_s = 60};
    for (unsigned i = 0; i < 500; i++) {
        struct pv_put *put;
        assert_ok(pv_invite_make(&x.f.node, pv_node_signer(&x.f.node), &terms, x.f.now, &put));
        assert_int_not_equal(PV_KEY_STR(put->invite)[0], '-');
        pv_put_free(put);
    }
}

PV_TEST(an_invite_that_is_refused_or_lost_is_not_told)
{
    const struct pv_ctl_msg no = {
        .kind = PV_CTL_ANSWER, .type = PV_CTL_ERROR, .u.failure.error = PV_CTL_E_LIMIT};
    answer(invite(), &no);
    show_reply();
    (void)invite();
    fake_node_raise(&x.f, PV_FACT_OFFLINE);
    show_reply();
}

PV_TEST(without_the_coordinator_nobody_is_invited)
{
    x.f.node.online = false;
    show_answer("'cmd':'invite','uses':1,'expires':60");
    memcpy(x.f.node.coord_info.error, "no route", 9);
    show_answer("'cmd':'invite','uses':1,'expires':60");
    x.f.node.coord_info.unserved = true;
    show_answer("'cmd':'invite','uses':1,'expires':60");
    assert_int_equal(fake_coord.n, 0);
}

PV_TEST(the_list_has_every_invite)
{
    show_answer("'cmd':'invite_list'");
    assert_has(fake_ctl_output, "'expired':false,'revoked':false");
}

/* The clock of this machine stands still here, as one without a battery does. */
PV_TEST(the_list_judges_by_the_coordinators_clock)
{
    x.f.node.coord_info.clock = (struct pv_wall){.us = UINT64_C(32503680000000000), .at = x.f.now};
    show_answer("'cmd':'invite_list'");
}

/* A token that was stolen is seen by whom it let in, so these are named whatever became of them. */
PV_TEST(the_list_names_each_that_an_invite_let_in_once_and_nobody_who_waits)
{
    struct world *w = &x.f.world;
    const struct keys k = keys_of(7), gate = keys_of(51), asks = keys_of(52), other = keys_of(53);
    fake_node_add(&x.f, make_terms(w, &w->creator, &gate, PV_INVITE_APPROVAL, 0));
    fake_node_add(&x.f, make_member(w, &gate, &asks, "pi", 9));
    struct pv_st_member again = member_fields(&k, "bob", 7, 1);
    fake_node_add(&x.f, make_member_f(w, &door, &k, &again));
    show_answer("'cmd':'invite_list'");
    assert_lacks(fake_ctl_output, "'pi'");
    fake_node_add(&x.f, make_invite(w, &w->creator, &other, 1));
    again.serial = 2;
    fake_node_add(&x.f, make_member_f(w, &other, &k, &again));
    show_answer("'cmd':'invite_list'");
    assert_lacks(fake_ctl_output, "['bob','bob']");
    fake_node_add(&x.f, make_leave(w, &k, 3));
    fake_node_add(&x.f, make_admission(w, &w->creator, &asks));
    show_answer("'cmd':'invite_list'");
    assert_has(fake_ctl_output, "'members':['pi']");
    fake_node_add(&x.f, make_revocation(w, &w->creator, PV_REVOKE_NODE, asks.pk, NULL, 0));
    show_answer("'cmd':'invite_list'");
}

static void revoke_door(void)
{
    ask(PV_STR("\"cmd\":\"invite_revoke\",\"invite\":\"%s\"", PV_KEY_STR(door.pk)));
}

PV_TEST(an_invite_ends_here_at_once_and_the_client_hears_who_knows)
{
    revoke_door();
    assert_true(door_now().revoked);
    assert_int_equal(others.told_owed, 1);
    assert_int_equal(others.told_gossip, 1);
    expect_nothing();
    others.says =
        (struct pv_owed_told){.coordinator = "stored", .online = 4, .know = 4, .done = true};
    fake_peers_settle(&x);
    show_reply();
}

PV_TEST(an_invite_that_does_not_exist_cannot_end)
{
    show_answer("'cmd':'invite_revoke','invite':'xyz'");
    door = keys_of(51);
    revoke_door();
    show_reply();
    assert_int_equal(others.told_owed, 0);
}

/* --- removing --------------------------------------------------------------------------------- */

static void remove_with_the_door(void)
{
    ask(REMOVE_BOB);
    assert_false(is_member("bob"));
    assert_true(door_now().revoked);
    others.says.done = true;
    fake_peers_settle(&x);
    show_reply();
}

PV_TEST(a_member_that_is_removed_cannot_come_back_by_the_same_token)
{
    remove_with_the_door();
}

/* It has that token still. */
PV_TEST(the_invite_by_which_a_member_came_before_goes_too)
{
    struct world *w = &x.f.world;
    const struct keys k = keys_of(7), other = keys_of(53);
    fake_node_add(&x.f, make_invite(w, &w->creator, &other, 1));
    struct pv_st_member again = member_fields(&k, "bob", 7, 2);
    fake_node_add(&x.f, make_member_f(w, &other, &k, &again));
    remove_with_the_door();
}

/* The coordinator looks at its own clock, by which the invite is open. */
PV_TEST(a_clock_that_is_ahead_leaves_no_invite_open)
{
    x.f.node.wall.us += 365ull * 86400 * 1000000;
    ask(REMOVE_BOB);
    assert_false(is_member("bob"));
    assert_true(door_now().revoked);
}

/* Anybody can make a key that begins as that of a machine that has gone. */
PV_TEST(a_short_key_that_two_machines_have_removes_neither)
{
    const struct keys gone = keys_of(952);
    fake_node_member(&x.f, 952, "kid", 8);
    fake_node_add(&x.f, make_leave(&x.f.world, &gone, 1));
    (void)fake_peers_member(&x, 1133, "evil", 9);
    show_answer(PV_STR("'cmd':'remove','peer':'key:%.4s'", PV_KEY_STR(gone.pk)));
    assert_true(is_member("evil"));
}

PV_TEST(the_invite_stays_where_the_user_says_so)
{
    ask(REMOVE_BOB ",'keep_invite':true");
    assert_false(is_member("bob"));
    assert_false(door_now().revoked);
    others.says.done = true;
    fake_peers_settle(&x);
    show_reply();
}

PV_TEST(nobody_hears_of_a_removal_that_is_not_on_the_disk)
{
    others.says.done = others.unsaved = true;
    ask(REMOVE_BOB);
    fake_peers_settle(&x);
    expect_nothing();
    others.unsaved = false;
    fake_peers_settle(&x);
    show_reply();
}

PV_TEST(a_full_disk_is_told_after_three_seconds)
{
    others.says = (struct pv_owed_told){.coordinator = "stored", .done = true};
    others.unsaved = true;
    memcpy(x.f.node.store.error, "disk full", 10);
    ask(REMOVE_BOB);
    fake_node_wait(&x.f, PV_S(3) - PV_MS(1));
    expect_nothing();
    fake_node_wait(&x.f, PV_MS(1));
    show_reply();
    assert_has(fake_ctl_output, "'ok':true");
    assert_has(fake_ctl_output, "'code':1");
}

PV_TEST(a_client_waits_three_seconds_to_hear_who_knows)
{
    ask(REMOVE_BOB);
    fake_node_wait(&x.f, PV_S(3) - PV_MS(1));
    expect_nothing();
    fake_node_wait(&x.f, PV_MS(1));
    show_reply();
    assert_int_equal(pv_part_admin.next_timeout(x.f.self), PV_NEVER);
}

PV_TEST(when_too_many_wait_the_oldest_hears_at_once)
{
    enum {
        PLACES = 16
    };
    const uint32_t first = client;
    /* Each invite that ends has a waiting client; the one who came first is the client above. */
    for (unsigned i = 0; i < PLACES; i++) {
        door = keys_of(60 + i);
        fake_node_add(&x.f, make_invite(&x.f.world, &x.f.world.creator, &door, 1));
        revoke_door();
        expect_nothing();
        if (i == 0)
            client = fake_client_open(&x);
    }
    door = keys_of(50);
    revoke_door();
    expect_nothing();
    const uint32_t others_client = client;
    client = first;
    show_reply();
    /* Nobody else was forgotten over it. */
    others.says.done = true;
    fake_peers_settle(&x);
    client = others_client;
    (void)fake_client_read(&x, client);
    unsigned n = 0;
    for (const char *at = fake_ctl_output; (at = strstr(at, "\"ok\":true")) != NULL; at++)
        n++;
    assert_int_equal(n, PLACES);
}

PV_TEST(nobody_is_answered_who_went_away)
{
    ask(REMOVE_BOB);
    fake_client_leave(&x, client);
    assert_int_equal(pv_part_admin.next_timeout(x.f.self), PV_NEVER);
    assert_false(is_member("bob")); /* done is done */
}

/* --- admins ----------------------------------------------------------------------------------- */

#define GRANT_BOB "\"cmd\":\"admin_grant\",\"peer\":\"bob\""

static void give_root(void)
{
    fake_node_give_root(&x.f, false);
}

static uint8_t rights_of_bob(void)
{
    return pv_roster_by_name(x.f.node.roster, "bob")->rights;
}

PV_TEST(a_holder_of_the_root_key_makes_admins)
{
    give_root();
    ask(GRANT_BOB);
    assert_int_equal(rights_of_bob(), PV_RIGHT_INVITE | PV_RIGHT_REVOKE);
    assert_int_equal(others.told_owed, 1);
    assert_int_equal(others.told_gossip, 1);
    others.says.done = true;
    fake_peers_settle(&x);
    show_reply();
    ask(GRANT_BOB); /* once more: nothing new, and an answer */
    fake_peers_settle(&x);
    show_reply();
}

PV_TEST(an_admin_without_the_root_key_makes_none)
{
    show_answer(GRANT_BOB);
    fake_node_give_root(&x.f, true);
    show_answer(GRANT_BOB);
    assert_int_equal(rights_of_bob(), 0);
}

PV_TEST(root_itself_signs_an_invite_for_admins)
{
    uint64_t tag;
    struct pv_statement st;
    show_answer("'cmd':'invite','admin':true");
    give_root();
    ask("'cmd':'invite','admin':true");
    struct pv_ctl_msg *msg = fake_coord_take(PV_CTL_PUT, &tag);
    assert_ok(pv_statement_decode(msg->u.put.items[0].statement, &st));
    assert_int_equal(st.type, PV_ST_INVITE);
    assert_memory_equal(st.signer, x.f.world.root.pk, sizeof(st.signer));
    pv_ctl_msg_free(msg);
}

PV_TEST(an_invite_says_how_long_members_stay)
{
    uint64_t tag;
    struct pv_statement st;
    ask("'cmd':'invite','member_for':7776000");
    struct pv_ctl_msg *msg = fake_coord_take(PV_CTL_PUT, &tag);
    assert_ok(pv_statement_decode(msg->u.put.items[0].statement, &st));
    assert_int_equal(st.type, PV_ST_INVITE);
    assert_int_equal(st.u.invite.lifetime, 7776000);
    assert_int_equal(st.u.invite.flags, 0);
    pv_ctl_msg_free(msg);
    give_root();
    show_answer(test_given("invite member_for admin"));
}

PV_TEST(an_ephemeral_invite_is_one_with_half_an_hour)
{
    uint64_t tag;
    struct pv_statement st;
    ask("'cmd':'invite','ephemeral':true");
    struct pv_ctl_msg *msg = fake_coord_take(PV_CTL_PUT, &tag);
    assert_ok(pv_statement_decode(msg->u.put.items[0].statement, &st));
    assert_int_equal(st.type, PV_ST_INVITE);
    assert_int_equal(st.u.invite.lifetime, 1800);
    pv_ctl_msg_free(msg);
    give_root();
    show_answer("'cmd':'invite','ephemeral':true,'admin':true");
}

/* Nobody's peer any more, but still to be removed for good. */
/* Else `status` of everybody would name it for ever. */
PV_TEST(a_key_that_is_no_member_in_spite_of_what_it_says_can_be_removed)
{
    const struct keys late = keys_of(9);
    char said[PV_ROSTER_REFUSED];
    fake_node_add(&x.f, make_member(&x.f.world, &x.f.world.creator, &late, "bob", 9));
    assert_non_null(pv_roster_next_refused(x.f.node.roster, NULL, x.f.identity.sign_pk, said));
    ask(PV_STR("'cmd':'remove','peer':'%s'", PV_KEY_STR(late.pk)));
    assert_null(pv_roster_next_refused(x.f.node.roster, NULL, x.f.identity.sign_pk, said));
    assert_true(is_member("bob"));
    assert_int_equal(pv_roster_known(x.f.node.roster, late.pk)->state, PV_MEMBER_REVOKED);
}

PV_TEST(a_member_that_has_expired_can_be_removed)
{
    const struct keys phone = keys_of(51), eve = keys_of(52);
    fake_node_add(&x.f, make_terms(&x.f.world, &x.f.world.creator, &phone, 0, 3600));
    fake_node_add(&x.f, make_member(&x.f.world, &phone, &eve, "eve", 9));
    x.f.world.time += 7200;
    const struct keys later = keys_of(53);
    fake_node_add(&x.f, make_invite(&x.f.world, &x.f.world.creator, &later, 1));
    assert_int_equal(pv_roster_known(x.f.node.roster, eve.pk)->state, PV_MEMBER_EXPIRED);
    others.says.done = true;
    ask("'cmd':'remove','peer':'eve'");
    fake_peers_settle(&x);
    show_reply();
    assert_int_equal(pv_roster_known(x.f.node.roster, eve.pk)->state, PV_MEMBER_REVOKED);
}

#define REVOKE_BOB "\"cmd\":\"admin_revoke\",\"peer\":\"bob\""

PV_TEST(a_node_that_is_an_admin_no_more_stays_a_member)
{
    show_answer(REVOKE_BOB);
    give_root();
    ask(GRANT_BOB);
    x.f.identity.has_root = false; /* an admin's own word does it as well */
    ask(REVOKE_BOB);
    assert_int_equal(rights_of_bob(), 0);
    assert_true(is_member("bob"));
    assert_int_equal(others.told_owed, 2);
    others.says.done = true;
    fake_peers_settle(&x);
    show_reply();
    give_root();
    ask(GRANT_BOB); /* again, within the same second */
    assert_int_equal(rights_of_bob(), PV_RIGHT_INVITE | PV_RIGHT_REVOKE);
}

/* Another admin has ended the rights of the machine that made the network; its root key stands
 * above that. */
PV_TEST(the_root_key_makes_its_own_node_an_admin_again)
{
    struct pv_made made;
    size_t iter = 0;
    const uint8_t *own = x.f.world.creator.pk;
    give_root();
    assert_ok(pv_make_rights_end(x.f.node.roster, pv_signer_sk(x.f.world.creator.sk), own, T0,
                                 &iter, &made));
    fake_node_add(&x.f, item_of(&x.f.world, &made));
    show_answer(REMOVE_BOB);
    ask("'cmd':'admin_grant','peer':'alice'");
    assert_int_equal(pv_roster_rights(x.f.node.roster, own), PV_RIGHT_INVITE | PV_RIGHT_REVOKE);
    show_answer("'cmd':'admin_grant','peer':'nobody'");
    ask(REMOVE_BOB);
    assert_false(is_member("bob"));
}

/* The key that signed the one removal of a node. */
static const uint8_t *remover(void)
{
    const struct pv_roster_entry *e = NULL;
    while ((e = pv_roster_next_entry(x.f.node.roster, e)) != NULL) {
        if (e->st.type == PV_ST_REVOCATION && e->st.u.revocation.kind == PV_REVOKE_NODE)
            return e->st.signer;
    }
    fail_msg("nobody was removed");
    return NULL;
}

PV_TEST(an_admin_is_removed_by_the_root_key_where_it_is)
{
    give_root();
    ask(GRANT_BOB);
    ask(REMOVE_BOB);
    assert_false(is_member("bob"));
    assert_memory_equal(remover(), x.f.world.root.pk, PV_SIGN_PK_LEN);
}

PV_TEST(a_member_is_removed_by_the_admins_own_key)
{
    give_root();
    ask(REMOVE_BOB);
    assert_false(is_member("bob"));
    assert_memory_equal(remover(), x.f.world.creator.pk, PV_SIGN_PK_LEN);
}

/* Bob as an admin has made an invite that is open; he knows its token. */
static struct keys invite_of_bob(void)
{
    struct keys k = keys_of(7), inv = keys_of(51);
    give_root();
    ask(GRANT_BOB);
    fake_node_add(&x.f, make_invite(&x.f.world, &k, &inv, 2));
    return inv;
}

static void expect_invite_of_bob(const struct keys *inv, const char *answer, bool revoked)
{
    struct pv_roster_invite now;
    others.says.done = true;
    fake_peers_settle(&x);
    show_reply();
    assert_ok(pv_roster_invite(x.f.node.roster, inv->pk, &now));
    assert_int_equal(now.revoked, revoked);
}

PV_TEST(open_invites_of_a_former_admin_are_revoked)
{
    struct keys inv = invite_of_bob();
    ask(REVOKE_BOB);
    expect_invite_of_bob(&inv, "\"invites\":{\"open\":1,\"revoked\":true}", true);
}

/* Root signs them, so whose they are is not to be seen: each may be in the hands of who goes. */
static void expect_no_invite_for_admins(const char *asked)
{
    struct pv_roster_invite now;
    struct keys inv = keys_of(52);
    give_root();
    ask(GRANT_BOB);
    fake_node_add(&x.f, make_invite(&x.f.world, &x.f.world.root, &inv, 2));
    ask(asked);
    others.says.done = true;
    fake_peers_settle(&x);
    show_reply();
    assert_ok(pv_roster_invite(x.f.node.roster, inv.pk, &now));
    assert_true(now.revoked);
}

PV_TEST(open_invites_for_admins_end_with_the_rights_of_one)
{
    expect_no_invite_for_admins(REVOKE_BOB);
}

PV_TEST(open_invites_for_admins_end_with_an_admin_that_is_removed)
{
    expect_no_invite_for_admins(REMOVE_BOB);
}

PV_TEST(open_invites_for_admins_outlive_a_member_without_rights)
{
    struct pv_roster_invite now;
    struct keys inv = keys_of(52);
    give_root();
    fake_node_add(&x.f, make_invite(&x.f.world, &x.f.world.root, &inv, 2));
    ask(REMOVE_BOB);
    assert_ok(pv_roster_invite(x.f.node.roster, inv.pk, &now));
    assert_false(now.revoked);
}

PV_TEST(open_invites_of_a_former_admin_stay_where_the_user_says_so)
{
    struct keys inv = invite_of_bob();
    ask(REVOKE_BOB ",'keep_invite':true");
    expect_invite_of_bob(&inv, "\"invites\":{\"open\":1,\"revoked\":false}", false);
}

/* --- leaving ---------------------------------------------------------------------------------- */

/* The store has to forget the network now; it does, or does not. */
static void forget(enum pv_job_forget what, int status)
{
    struct pv_job *job = fake_node_job(&x.f);
    struct pv_job_result result = {.status = status, .error = "the disk is gone"};
    assert_non_null(job);
    assert_int_equal(job->kind, PV_JOB_FORGET_NETWORK);
    assert_int_equal(job->u.forget, what);
    assert_int_equal(others.left, 1);
    expect_nothing(); /* not before it is done */
    fake_node_answer(&x.f, job, &result);
}

PV_TEST(the_only_admin_does_not_leave_others_behind)
{
    show_answer("'cmd':'leave'");
    assert_true(is_member("alice"));
    assert_null(fake_node_job(&x.f));
    give_root();
    show_answer("'cmd':'leave'");
    ask(GRANT_BOB);
    ask("'cmd':'leave'");
    assert_false(is_member("alice"));
}

/* Its only admin has gone, and this node has no rights. */
PV_TEST(a_network_without_an_admin_says_so_and_the_remedy)
{
    static const char problem[] = "the network has no admin any more, and nobody can invite or "
                                  "remove: ";
    assert_false(fake_node_has_problem(&x.f, problem));
    memcpy(x.f.identity.sign_pk, keys_of(7).pk, sizeof(x.f.identity.sign_pk));
    assert_false(fake_node_has_problem(&x.f, problem));
    fake_node_add(&x.f, make_leave(&x.f.world, &x.f.world.creator, 2));
    assert_true(fake_node_has_problem(&x.f, problem));
    for (size_t i = 0; i < PV_ARRAY_LEN(of_admins); i++)
        show_answer(of_admins[i]);
    give_root();
    fake_node_show_problems(&x.f);
}

PV_TEST(a_network_without_others_is_left_at_once)
{
    ask(REMOVE_BOB);
    ask("'cmd':'leave'");
    assert_false(is_member("alice"));
}

PV_TEST(the_root_key_goes_only_when_it_is_named)
{
    ask(test_given("leave forget delete_root last"));
    others.says.done = true;
    fake_peers_settle(&x);
    forget(PV_FORGET_ROOT, PV_OK);
}

PV_TEST(a_leave_is_told_to_others_before_this_node_forgets)
{
    ask("'cmd':'leave','last':true");
    assert_false(is_member("alice"));
    assert_int_equal(others.told_owed, 1);
    assert_int_equal(others.told_gossip, 1);
    assert_int_equal(others.left, 0);
    others.says =
        (struct pv_owed_told){.coordinator = "stored", .online = 1, .know = 1, .done = true};
    fake_peers_settle(&x);
    forget(PV_FORGET_NETWORK, PV_OK);
    show_reply();
    assert_false(x.f.node.keys.forgotten);
}

/* The other machine with these keys would leave, too. */
static void expect_silence(const char *command, enum pv_job_forget what)
{
    ask(command);
    assert_int_equal(others.told_owed, 0);
    assert_int_equal(others.told_gossip, 0);
    forget(what, PV_OK);
    show_reply();
    assert_int_equal(x.f.node.keys.forgotten, what == PV_FORGET_KEYS);
}

PV_TEST(a_copy_tells_nobody_that_it_forgets)
{
    expect_silence("'cmd':'leave','forget':true,'copy':true", PV_FORGET_KEYS);
}

PV_TEST(a_node_whose_keys_were_seen_twice_says_no_leave)
{
    x.f.node.coord_info.keys_twice = true;
    show_answer("'cmd':'leave'"); /* the only admin */
    expect_silence("'cmd':'leave','last':true", PV_FORGET_NETWORK);
}

PV_TEST(a_leave_that_another_machine_said_is_a_problem)
{
    static const char problem[] = "this node left the network, and not by a command here";
    assert_false(fake_node_has_problem(&x.f, problem));
    fake_node_add(&x.f, make_leave(&x.f.world, &x.f.world.creator, 2));
    assert_true(fake_node_has_problem(&x.f, problem));
    show_answer("'cmd':'invite','uses':1,'expires':60");
}

/* A phone of alice, this node, which that machine carries. */
static void carry_phone(const uint8_t *by)
{
    struct pv_statement st = {.type = PV_ST_ROUTE};
    (void)fake_peers_member(&x, 9, "phone", 9);
    st.u.route = (struct pv_st_route){.slot = {.number = 0, .seq = 1},
                                      .kind = PV_ROUTE_ALLOW,
                                      .prefix = {.base = pv_addr4(10, 66, 0, 9, 0), .bits = 32},
                                      .time = T0};
    memcpy(st.u.route.node, by, PV_SIGN_PK_LEN);
    fake_node_add(&x.f, make_statement(&x.f.world, &st, &x.f.world.creator));
    others.says.done = true;
}

PV_TEST(a_leave_names_the_phones_that_have_no_gateway_then)
{
    carry_phone(x.f.identity.sign_pk);
    ask("'cmd':'leave','last':true");
    fake_peers_settle(&x);
    forget(PV_FORGET_NETWORK, PV_OK);
    show_reply();
}

PV_TEST(a_removal_names_the_phones_that_have_no_gateway_then)
{
    carry_phone(pv_peer_pk(bob));
    ask(REMOVE_BOB);
    fake_peers_settle(&x);
    show_reply();
}

/* The coordinator hangs up once it has stored the leave, and nobody says any more who is online. */
PV_TEST(a_leave_names_those_who_were_online)
{
    ask("'cmd':'leave','last':true");
    fake_peers_settle(&x);
    others.says = (struct pv_owed_told){.coordinator = "stored", .done = true};
    fake_peers_settle(&x);
    forget(PV_FORGET_NETWORK, PV_OK);
    show_reply();
    assert_has(fake_ctl_output, "'orphaned':true");
}

PV_TEST(the_client_of_a_leave_need_not_wait_for_it)
{
    ask("'cmd':'leave','last':true");
    fake_client_leave(&x, client);
    client = fake_client_open(&x);
    forget(PV_FORGET_NETWORK, PV_OK);
}

PV_TEST(a_node_that_can_tell_nobody_leaves_only_by_force)
{
    x.f.node.online = false;
    show_answer("'cmd':'leave','last':true");
    assert_true(is_member("alice"));
    ask("'cmd':'leave','forget':true,'last':true");
    assert_false(is_member("alice"));
    fake_node_wait(&x.f, PV_S(3));
    forget(PV_FORGET_KEYS, PV_OK);
    assert_true(x.f.node.keys.forgotten);
    show_reply();
}

PV_TEST(a_member_that_is_reached_is_enough_to_leave)
{
    const struct pv_addr at = pv_addr4(192, 0, 2, 7, 4711);
    x.f.node.online = false;
    fake_peers_path(&x, bob, &at);
    ask("'cmd':'leave','last':true");
    assert_false(is_member("alice"));
    expect_nothing();
}

PV_TEST(a_node_that_is_no_member_any_more_tells_nobody)
{
    x.f.node.removed = true;
    ask("'cmd':'leave','last':true");
    assert_int_equal(others.told_owed, 0);
    forget(PV_FORGET_NETWORK, PV_OK);
    show_reply();
}

/* It was off when an admin removed it. */
PV_TEST(a_node_that_the_coordinator_lets_in_no_more_has_left_a_network_that_removed_it)
{
    x.f.node.coord_info.standing = PV_COORD_DENIED;
    x.f.node.online = false;
    ask("'cmd':'leave'"); /* the only admin: its word alone takes no network from its members */
    show_reply();
    ask("'cmd':'leave','last':true");
    assert_int_equal(others.told_owed, 0);
    forget(PV_FORGET_NETWORK, PV_OK);
    show_reply();
}

/* A coordinator may be mistaken, or lie. */
PV_TEST(a_member_that_is_reached_is_told_whatever_the_coordinator_says)
{
    const struct pv_addr at = pv_addr4(192, 0, 2, 7, 4711);
    x.f.node.coord_info.standing = PV_COORD_DENIED;
    x.f.node.online = false;
    fake_peers_path(&x, bob, &at);
    ask("'cmd':'leave','last':true");
    assert_false(is_member("alice"));
    expect_nothing();
}

PV_TEST(a_network_that_the_disk_still_has_is_forgotten_by_the_next_leave)
{
    x.f.node.removed = true;
    ask("'cmd':'leave'");
    forget(PV_FORGET_NETWORK, PV_ERR_NO_SPACE);
    show_reply();
    others.left = 0;
    ask("'cmd':'leave'");
    forget(PV_FORGET_NETWORK, PV_OK);
    show_reply();
    ask("'cmd':'leave'");
    assert_null(fake_node_job(&x.f));
    show_reply();
}

PV_TEST(keys_are_forgotten_without_a_network_too)
{
    pv_membership_leave(&x.f.node, x.f.now);
    others.left = 0;
    ask("'cmd':'leave','last':true");
    assert_null(fake_node_job(&x.f));
    show_reply();
    ask("'cmd':'leave','forget':true,'last':true");
    forget(PV_FORGET_KEYS, PV_ERR_NO_SPACE);
    show_reply();
    assert_false(x.f.node.keys.forgotten);
}
