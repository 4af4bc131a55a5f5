/* SPDX-License-Identifier: MIT */
/* How another transport key comes into use: in which order the disk, the roster and the packets
 * hear of it, what a start makes of each moment, and when it happens by itself. */
#include "daemon/core/admin/admin.h"
#include "daemon/core/coord/coordclient.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/rostersync_part.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/terms/rotation.h"
#include "tests/unit/daemon/core/client/fake_client.h"

#define DAY 86400

static struct fake_peers x;
static struct pv_peer *bob;
static uint32_t client;
static unsigned n_told, n_hurried;
static bool bob_knows, refuses;

/* --- what stands in for the parts around ------------------------------------------------------ */

size_t pv_membership_add(struct pv_node *n, const struct pv_ctl_item *items, size_t n_items,
                         pv_ns now)
{
    enum pv_roster_added added;
    if (refuses)
        return n_items;
    for (size_t i = 0; i < n_items; i++)
        assert_ok(pv_roster_add(n->roster, items[i].statement, items[i].receipt, &added));
    (void)settle(n->roster);
    pv_node_raise(n, PV_FACT_ROSTER | PV_FACT_STATEMENTS);
    return 0;
}

void pv_admin_answer_when_told(struct pv_node *n, uint64_t handle, pv_ns now)
{
    n_told++;
    pv_ctlsrv_done(n->ctl, handle);
}

void pv_rostersync_hurry(struct pv_node *n, pv_ns now)
{
    n_hurried++;
}

bool pv_rostersync_member_knows(const struct pv_node *n, const struct pv_peer *p)
{
    return p == bob && bob_knows;
}

/* --- a node ----------------------------------------------------------------------------------- */

static struct pv_identity *id;

static void init(void)
{
    n_told = n_hurried = 0;
    bob_knows = refuses = false;
    fake_peers_init(&x, &pv_part_rotation);
    id = &x.f.identity;
    fake_node_enter(&x.f);
    /* The statements that alice made when she created the network. */
    memcpy(id->dh_pk, pv_node_self(&x.f.node)->transport, sizeof(id->dh_pk));
    bob = fake_peers_member(&x, 7, "bob", 7);
    x.f.node.coord = (struct pv_coordclient *)&x; /* it is only handed on */
    x.f.cfg.rotate_s = 30 * DAY;
}

static void begin(void)
{
    fake_node_start(&x.f);
    fake_peers_settle(&x);
    client = fake_client_open(&x);
}

void test_before_each(void)
{
    init();
    begin();
}

void test_after_each(void)
{
    x.f.node.coord = NULL;
}

/* As after a crash: keys as they are in the identity, the roster as it is. */
static void restart(void)
{
    pv_part_free(&pv_part_rotation, x.f.self);
    fake_node_start(&x.f);
    fake_peers_settle(&x);
}

static uint8_t kept[64]; /* what the store was given beside keys */
static struct pv_saved_meta meta;

/* The next job about keys; NULL: there is none. Others are done at once. */
static struct pv_job *next_job(void)
{
    struct pv_job *job;
    while ((job = fake_node_job(&x.f)) != NULL && job->kind == PV_JOB_SET_META) {
        struct pv_job_result ok = {.status = PV_OK};
        assert_true(job->u.set_meta.len <= sizeof(kept));
        memcpy(kept, job->u.set_meta.value, job->u.set_meta.len);
        memcpy(meta.name, job->u.set_meta.name, sizeof(meta.name));
        meta.value = pv_view(kept, job->u.set_meta.len);
        x.f.saved.meta = &meta;
        x.f.saved.n_meta = 1;
        fake_node_answer(&x.f, job, &ok);
    }
    return job;
}

static struct pv_job *keys_job(size_t n)
{
    struct pv_job *job = next_job();
    assert_non_null(job);
    assert_int_equal(job->kind, PV_JOB_SAVE_KEYS);
    assert_int_equal(job->u.keys.n, n);
    return job;
}

static void answer(struct pv_job *job, int status)
{
    struct pv_job_result result = {.status = status};
    if (status != PV_OK)
        snprintf(result.error, sizeof(result.error), "disk full: free some space");
    fake_node_answer(&x.f, job, &result);
    fake_peers_settle(&x);
}

static const char *ask(bool statics)
{
    fake_client_ask(&x, client,
                    statics ? "'cmd':'key_rotate','statics':true" : "'cmd':'key_rotate'");
    return fake_client_read(&x, client);
}

static const uint8_t *announced(void)
{
    return pv_node_self(&x.f.node)->transport;
}

static size_t n_statements(void)
{
    return pv_roster_size(x.f.node.roster);
}

/* A whole change. n: keys on the disk, then. */
static void change(size_t n)
{
    (void)ask(false);
    struct pv_job *job = next_job();
    assert_non_null(job);
    answer(job, PV_OK);
    answer(keys_job(n), PV_OK);
    assert_null(next_job());
}

/* Days of the wall clock; the part looks at it every ten minutes. */
static void pass(unsigned days)
{
    x.f.node.wall.us += (uint64_t)days * DAY * 1000000;
    fake_node_wait(&x.f, PV_ROTATION_LOOK + 2 * PV_ROTATION_QUIET);
    fake_peers_settle(&x);
}

/* --- the steps -------------------------------------------------------------------------------- */

PV_TEST(a_key_is_on_the_disk_before_anybody_hears_of_it)
{
    uint8_t old[32], old_sk[32];
    size_t before = n_statements();
    memcpy(old, id->dh_pk, 32);
    memcpy(old_sk, id->dh_sk, 32);
    assert_string_equal(ask(false), "");
    struct pv_job *job = keys_job(2);
    assert_memory_equal(job->u.keys.keys[0].sk, old_sk, 32);
    assert_int_equal(job->u.keys.keys[1].replaced_s, 0);
    assert_int_equal(n_statements(), before);
    assert_memory_equal(announced(), old, 32);
    assert_non_null(x.f.node.keys.next); /* it is answered already */
    assert_ptr_equal(x.f.node.keys.next->keys.sk, id->others[0].sk);

    answer(job, PV_OK);
    assert_int_equal(n_statements(), before + 1);
    assert_memory_not_equal(announced(), old, 32);
    assert_memory_equal(announced(), id->dh_pk, 32);
    assert_memory_equal(x.f.node.keys.device->keys.pk, id->dh_pk, 32);
    assert_ptr_equal(x.f.node.keys.device->keys.sk, id->dh_sk);
    assert_null(x.f.node.keys.next);
    assert_int_equal(x.f.node.keys.n_former, 1);
    assert_memory_equal(x.f.node.keys.former[0]->keys.sk, old_sk, 32);
    assert_int_equal(n_told, 1);
    assert_has(fake_client_read(&x, client), "'ok':true");

    job = keys_job(2);
    assert_memory_equal(job->u.keys.keys[0].sk, id->dh_sk, 32);
    assert_memory_equal(job->u.keys.keys[1].sk, old_sk, 32);
    assert_int_equal(job->u.keys.keys[1].replaced_s, pv_node_wall_s(&x.f.node, x.f.now));
    answer(job, PV_OK);
}

PV_TEST(a_key_that_cannot_be_stored_is_told_to_nobody)
{
    uint8_t old[32];
    size_t before = n_statements();
    memcpy(old, id->dh_pk, 32);
    (void)ask(false);
    answer(keys_job(2), PV_ERR_NO_SPACE);
    assert_has(fake_client_read(&x, client), "key rotate: disk full: free some space");
    assert_int_equal(n_statements(), before);
    assert_memory_equal(id->dh_pk, old, 32);
    assert_false(id->others[0].used);
    assert_null(x.f.node.keys.next);
    assert_true(pv_ct_is_zero(&id->others[0], sizeof(id->others[0])));
    change(2); /* later it can */
}

PV_TEST(the_second_of_two_commands_at_once_is_refused)
{
    (void)ask(false);
    assert_has(ask(false), "another change is under way");
    answer(keys_job(2), PV_OK);
    answer(keys_job(2), PV_OK);
    change(3);
}

PV_TEST(a_change_goes_on_without_its_client)
{
    (void)ask(false);
    fake_client_leave(&x, client);
    answer(keys_job(2), PV_OK);
    assert_memory_equal(announced(), id->dh_pk, 32);
    assert_int_equal(n_told, 0);
    assert_int_equal(n_hurried, 1);
    answer(keys_job(2), PV_OK);
}

PV_TEST(three_former_keys_are_answered_and_the_oldest_gives_way)
{
    uint8_t sk[5][32];
    for (size_t i = 0; i < 5; i++) {
        memcpy(sk[i], id->dh_sk, 32);
        x.f.node.wall.us += 60 * 1000000; /* one a minute */
        change(i < 3 ? i + 2 : 4);
    }
    assert_int_equal(x.f.node.keys.n_former, 3);
    for (size_t i = 0; i < 3; i++)
        assert_memory_equal(x.f.node.keys.former[i]->keys.sk, sk[4 - i], 32); /* the newest first */
}

PV_TEST(a_statement_that_is_not_taken_is_tried_again)
{
    uint8_t old[32];
    memcpy(old, id->dh_pk, 32);
    (void)ask(false);
    refuses = true;
    answer(keys_job(2), PV_OK);
    assert_has(fake_client_read(&x, client), "it is tried again");
    assert_memory_equal(announced(), old, 32);
    refuses = false;
    fake_node_wait(&x.f, 2 * PV_ROTATION_LOOK);
    assert_memory_not_equal(announced(), old, 32);
    assert_memory_equal(announced(), id->dh_pk, 32);
}

/* However often it is asked for: a former key that peers still use does not give way to it. */
PV_TEST(a_key_that_is_not_taken_gets_no_second_one_beside_it)
{
    change(2);
    uint8_t next[32], former[32];
    memcpy(former, x.f.node.keys.former[0]->keys.sk, 32);
    (void)ask(false);
    refuses = true;
    answer(keys_job(3), PV_OK);
    assert_has(fake_client_read(&x, client), "it is tried again");
    memcpy(next, x.f.node.keys.next->keys.pk, 32);
    for (unsigned i = 0; i < 4; i++) {
        (void)ask(false);
        assert_null(next_job());
        fake_peers_settle(&x);
        assert_memory_equal(x.f.node.keys.next->keys.pk, next, 32);
    }
    assert_int_equal(x.f.node.keys.n_former, 1);
    assert_memory_equal(x.f.node.keys.former[0]->keys.sk, former, 32);
    refuses = false;
    (void)ask(false);
    fake_peers_settle(&x);
    answer(keys_job(3), PV_OK);
    assert_memory_equal(announced(), next, 32);
    assert_null(x.f.node.keys.next);
}

/* --- starts ----------------------------------------------------------------------------------- */

PV_TEST(a_start_goes_on_with_a_key_that_was_to_be_announced)
{
    (void)ask(false);
    pv_job_free(keys_job(2)); /* it was done, and the power went */
    uint8_t next[32];
    memcpy(next, id->others[0].pk, 32);
    restart();
    assert_memory_equal(announced(), next, 32);
    assert_memory_equal(id->dh_pk, next, 32);
}

/* Others were told, the file is as before. */
PV_TEST(a_start_uses_the_key_that_the_roster_names)
{
    uint8_t new_pk[32], new_sk[32];
    (void)ask(false);
    answer(keys_job(2), PV_OK);
    pv_job_free(next_job());
    memcpy(new_pk, id->dh_pk, 32);
    memcpy(new_sk, id->dh_sk, 32);
    memcpy(id->dh_pk, id->others[0].pk, 32);
    memcpy(id->dh_sk, id->others[0].sk, 32);
    memcpy(id->others[0].pk, new_pk, 32);
    memcpy(id->others[0].sk, new_sk, 32);
    id->others[0].replaced_s = 0;
    size_t before = n_statements();
    restart();
    assert_memory_equal(id->dh_pk, new_pk, 32);
    assert_int_equal(n_statements(), before); /* it is announced already */
    assert_int_equal(x.f.node.keys.n_former, 1);
    struct pv_job *job = keys_job(2);
    assert_memory_equal(job->u.keys.keys[0].sk, new_sk, 32);
    answer(job, PV_OK);
}

PV_TEST(a_key_that_members_know_and_nobody_has_is_replaced_at_once)
{
    memset(id->dh_pk, 0x55, sizeof(id->dh_pk));
    restart();
    fake_node_wait(&x.f, PV_MS(10));
    answer(keys_job(2), PV_OK);
    assert_memory_equal(announced(), id->dh_pk, 32);
    answer(keys_job(2), PV_OK);
}

/* --- time ------------------------------------------------------------------------------------- */

PV_TEST(a_former_key_is_wiped_after_15_days)
{
    x.f.cfg.rotate_s = 0;
    restart();
    change(2);
    pass(14);
    assert_int_equal(x.f.node.keys.n_former, 1);
    assert_null(next_job());
    pass(1);
    assert_int_equal(x.f.node.keys.n_former, 0);
    assert_true(pv_ct_is_zero(&id->others[0], sizeof(id->others[0])));
    answer(keys_job(1), PV_OK);
}

PV_TEST(a_clock_that_was_wrong_keeps_no_key_for_ever)
{
    x.f.cfg.rotate_s = 0;
    restart();
    x.f.node.wall.us += UINT64_C(3000) * DAY * 1000000;
    change(2);
    x.f.node.wall.us -= UINT64_C(3000) * DAY * 1000000;
    fake_node_wait(&x.f, PV_ROTATION_LOOK);
    answer(keys_job(2), PV_OK);
    assert_int_equal(id->others[0].replaced_s, pv_node_wall_s(&x.f.node, x.f.now));
    pass(16);
    assert_int_equal(x.f.node.keys.n_former, 0);
}

/* Is a key made by itself now? Ends it. */
static bool is_made(void)
{
    struct pv_job *job = next_job();
    if (job == NULL)
        return false;
    assert_int_equal(job->kind, PV_JOB_SAVE_KEYS);
    answer(job, PV_OK);
    return true;
}

PV_TEST(a_key_is_replaced_between_27_and_33_days_old)
{
    x.f.node.online = true;
    pass(26);
    assert_false(is_made());
    pass(8);
    assert_true(is_made());
    assert_memory_equal(announced(), id->dh_pk, 32);
}

PV_TEST(without_the_coordinator_it_waits_a_week)
{
    pass(33);
    assert_false(is_made());
    pass(8);
    assert_true(is_made());
}

PV_TEST(a_node_that_was_off_waits_a_moment_at_its_start)
{
    x.f.node.online = true;
    x.f.node.wall.us += UINT64_C(100) * DAY * 1000000;
    restart();
    fake_node_wait(&x.f, PV_ROTATION_QUIET - PV_S(1));
    assert_false(is_made());
    fake_node_wait(&x.f, PV_ROTATION_LOOK + PV_ROTATION_QUIET);
    assert_true(is_made());
}

PV_TEST(nothing_happens_by_itself_where_it_is_not_wanted)
{
    x.f.node.online = true;
    x.f.cfg.rotate_s = 0;
    restart();
    pass(100);
    assert_false(is_made());
    x.f.cfg.rotate_s = 30 * DAY;
    x.f.cfg.key_given = true;
    restart();
    pass(100);
    assert_false(is_made());
    x.f.cfg.key_given = false;
    x.f.node.up = false;
    restart();
    pass(100);
    assert_false(is_made());
}

PV_TEST(status_says_how_old_the_key_is_and_when_it_is_replaced)
{
    const struct pv_statuspage *st = fake_node_status(&x.f);
    uint64_t issued = pv_node_self(&x.f.node)->issued;
    assert_int_equal(st->s.wg_key_since_s, issued);
    assert_true(st->s.wg_key_until_s >= issued + 27 * DAY &&
                st->s.wg_key_until_s <= issued + 33 * DAY);
    pass(3);
    change(2);
    st = fake_node_status(&x.f);
    assert_int_equal(st->s.wg_key_since_s, pv_node_wall_s(&x.f.node, x.f.now));
    x.f.cfg.rotate_s = 0;
    restart();
    assert_int_equal(fake_node_status(&x.f)->s.wg_key_until_s, 0);
}

/* A node with a lifetime says its key again and again, and its older statements go. */
PV_TEST(renewals_make_no_key_younger)
{
    pass(3);
    change(2);
    uint64_t since = pv_node_wall_s(&x.f.node, x.f.now);
    for (unsigned i = 0; i < 2 * PV_ROSTER_MAX_SELF; i++) {
        struct pv_made made;
        x.f.node.wall.us += UINT64_C(3600) * 1000000;
        assert_ok(pv_make_renewal(x.f.node.roster, x.f.world.creator.sk,
                                  pv_node_wall_s(&x.f.node, x.f.now), &made));
        fake_node_add(&x.f, item_of(&x.f.world, &made));
        fake_peers_settle(&x);
    }
    assert_int_equal(fake_node_status(&x.f)->s.wg_key_since_s, since);
    restart();
    assert_int_equal(fake_node_status(&x.f)->s.wg_key_since_s, since);
    assert_memory_equal(announced(), id->dh_pk, 32);
}

/* --- who knows -------------------------------------------------------------------------------- */

PV_TEST(a_peer_with_all_our_statements_knows_the_key)
{
    assert_true(pv_peer_knows_own_key(bob));
    pv_peer_want(bob, "test", x.f.now); /* it is used */
    change(2);
    assert_false(pv_peer_knows_own_key(bob));
    pv_peer_set_in_sync(bob, true);
    pv_peers_touch(x.f.node.peers, bob, x.f.now);
    fake_peers_settle(&x);
    assert_false(pv_peer_knows_own_key(bob));
    bob_knows = true;
    pv_peers_touch(x.f.node.peers, bob, x.f.now);
    fake_peers_settle(&x);
    assert_true(pv_peer_knows_own_key(bob));
    pv_peer_set_in_sync(bob, false);
}

PV_TEST(a_peer_that_was_never_used_is_met_with_the_new_key)
{
    change(2);
    assert_true(pv_peer_knows_own_key(bob));
}

/* --- refusals --------------------------------------------------------------------------------- */

PV_TEST(static_peers_are_asked_about)
{
    struct pv_static_peer conf = {.name = "phone"};
    memset(conf.public_key, 9, sizeof(conf.public_key));
    assert_ok(pv_peers_add_static(x.f.node.peers, &conf, x.f.now));
    assert_shows("ask false", ask(false));
    assert_null(next_job());
    pass(100); /* nor by itself */
    assert_null(next_job());
    assert_string_equal(ask(true), "");
    answer(keys_job(2), PV_OK);
    answer(keys_job(2), PV_OK);
    fake_node_show_problems(&x.f);
    pv_peer_note_own_key(pv_peers_next_static(x.f.node.peers, NULL)); /* remedy: give_new_key */
    assert_false(fake_node_has_problem(&x.f, "static peers"));
}

PV_TEST(a_key_of_the_configuration_is_not_replaced)
{
    x.f.cfg.key_given = true;
    restart();
    assert_has(ask(false), "private-key-file");
    uint8_t former[sizeof(id->dh_pk)];
    memcpy(former, id->dh_pk, sizeof(former));
    memset(id->dh_pk, 0x55, sizeof(id->dh_pk)); /* and then its user changed it */
    restart();
    fake_node_wait(&x.f, PV_ROTATION_LOOK);
    assert_null(next_job());
    assert_true(fake_node_has_problem(&x.f, "members know another key of this node"));
    memcpy(id->dh_pk, former, sizeof(former)); /* remedy: former_key */
    restart();
    fake_node_wait(&x.f, PV_ROTATION_LOOK);
    assert_false(fake_node_has_problem(&x.f, "members know another key of this node"));
}

PV_TEST(a_node_that_is_down_is_told_to_go_up)
{
    x.f.node.up = false;
    assert_has(ask(false), "this node is down: `sudo p2pvpnctl up`");
    assert_null(next_job());
}
