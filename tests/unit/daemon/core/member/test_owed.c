/* SPDX-License-Identifier: MIT */
/* The statements for which the coordinator owes a receipt: told at once, told again, and who knows
 * meanwhile. */
#include "daemon/core/member/membership.h"
#include "daemon/core/member/owed.h"
#include "daemon/core/member/rostersync_part.h"
#include "daemon/core/member/signals.h"
#include "tests/unit/daemon/core/fake_membership.h"
#include "tests/unit/daemon/core/member/fake_coord.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers x;
static struct pv_peer *bob;
static bool bob_knows;
static unsigned n_told; /* signals about what is spread */
static uint8_t last_told;

/* Stands in for rostersync_part.c. */
bool pv_rostersync_member_knows(const struct pv_node *n, const struct pv_peer *p)
{
    return p == bob && bob_knows;
}

/* Stands in for signals.c. */
void pv_signals_tell(struct pv_node *n, struct pv_peer *p,
                     const struct pv_roster_entry *const *entries, size_t count, pv_ns now)
{
    n_told++;
    last_told = entries[count - 1]->st.type;
}

void test_before_each(void)
{
    n_told = 0;
    bob_knows = false;
    fake_peers_init(&x, &pv_part_owed);
    fake_coord_init();
    fake_node_enter(&x.f);
    bob = fake_peers_member(&x, 7, "bob", 7);
    fake_node_start(&x.f);
    fake_peers_settle(&x);
}

static void go_online(bool online)
{
    x.f.node.online = online;
    fake_node_raise(&x.f, online ? PV_FACT_ONLINE : PV_FACT_OFFLINE);
}

/* A statement that no coordinator has stored. */
static void add_unstored(struct item it)
{
    it.r_len = 0;
    add(x.f.node.roster, &it);
    (void)settle(x.f.node.roster);
    fake_node_raise(&x.f, PV_FACT_STATEMENTS);
}

static struct item removal_of(unsigned seed)
{
    const struct keys k = keys_of(seed);
    return make_revocation(&x.f.world, &x.f.world.creator, PV_REVOKE_NODE, k.pk, NULL, 0);
}

/* The put that was sent has n statements, and none of them a receipt; its tag. */
static uint64_t expect_put(size_t n)
{
    uint64_t tag;
    struct pv_ctl_msg *msg = fake_coord_take(PV_CTL_PUT, &tag);
    assert_int_equal(msg->u.put.n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(msg->u.put.items[i].receipt.len, 0);
    pv_ctl_msg_free(msg);
    return tag;
}

static void answer(uint64_t tag, const struct pv_ctl_msg *msg)
{
    pv_part_owed.on_answer(x.f.self, tag, msg, x.f.now);
    fake_node_settle(&x.f);
}

/* The coordinator has stored these, in the order of the put. */
static void answer_stored(uint64_t tag, const struct item *items, size_t n)
{
    struct pv_ctl_result results[PV_CTL_ITEMS_MAX] = {{.error = PV_CTL_E_NONE}};
    struct pv_ctl_msg msg = {.kind = PV_CTL_ANSWER, .type = PV_CTL_RECEIPTS};
    for (size_t i = 0; i < n; i++)
        results[i].receipt = pv_view(items[i].r, PV_RECEIPT_LEN);
    msg.u.receipts.n = n;
    msg.u.receipts.results = results;
    answer(tag, &msg);
}

static void answer_refused(uint64_t tag, enum pv_ctl_error error)
{
    const struct pv_ctl_msg msg = {
        .kind = PV_CTL_ANSWER, .type = PV_CTL_ERROR, .u.failure.error = error};
    answer(tag, &msg);
}

static struct pv_owed_told told(void)
{
    struct pv_owed_told t;
    pv_owed_told(&x.f.node, &t);
    return t;
}

PV_TEST(nothing_is_owed_of_what_has_a_receipt)
{
    go_online(true);
    fake_node_add(&x.f, removal_of(50));
    fake_node_raise(&x.f, PV_FACT_STATEMENTS);
    assert_int_equal(fake_coord.n, 0);
    assert_string_equal(told().coordinator, "stored");
    assert_true(told().done);
}

PV_TEST(a_removal_is_put_when_the_coordinator_is_there_and_ends_with_its_receipt)
{
    const struct item it = removal_of(7);
    add_unstored(it);
    assert_int_equal(fake_coord.n, 0);
    assert_string_equal(told().coordinator, "away");
    assert_true(told().done); /* nobody is there who could answer */
    go_online(true);
    assert_string_equal(told().coordinator, "silent");
    assert_false(told().done);
    answer_stored(expect_put(1), &it, 1);
    assert_string_equal(told().coordinator, "stored");
    fake_node_wait(&x.f, PV_S(600));
    assert_int_equal(fake_coord.n, 0);
}

PV_TEST(a_leave_is_owed_like_a_removal)
{
    const struct keys k = keys_of(7);
    go_online(true);
    add_unstored(make_leave(&x.f.world, &k, 1));
    (void)expect_put(1);
    fake_node_wait(&x.f, PV_S(5));
    fake_node_show_problems(&x.f);
}

/* A node that does not reach the coordinator itself is renewed by whoever does. */
PV_TEST(the_renewal_of_another_is_owed_until_a_newer_key_holds)
{
    const struct keys k = keys_of(7);
    struct pv_statement st = {.type = PV_ST_TRANSPORT, .u.transport = {.serial = 3, .time = T0}};
    memcpy(st.u.transport.transport, pv_roster_by_name(x.f.node.roster, "bob")->transport,
           PV_DH_LEN);
    go_online(true);
    add_unstored(make_statement(&x.f.world, &st, &k));
    (void)expect_put(1);
    fake_node_wait(&x.f, PV_S(5));
    assert_true(fake_node_has_problem(&x.f, "has not stored that bob is still there"));
    st.u.transport.serial = 4;
    st.u.transport.transport[0] ^= 1;
    fake_node_add(&x.f, make_statement(&x.f.world, &st, &k));
    fake_node_raise(&x.f, PV_FACT_STATEMENTS);
    assert_string_equal(told().coordinator, "stored");
}

/* It holds with the receipt only, so there is nothing else that would bring it one. */
PV_TEST(an_address_that_this_node_wishes_is_owed_until_it_has_it)
{
    const struct keys *own = &x.f.world.creator;
    char name[PV_NAME_BUF];
    snprintf(name, sizeof(name), "%s", pv_node_self(&x.f.node)->name);
    uint64_t serial = pv_roster_next_serial(x.f.node.roster, own->pk);
    const struct item wish = make_place(&x.f.world, own, own, name, 55, serial);
    go_online(true);
    add_unstored(wish);
    assert_string_equal(told().coordinator, "silent");
    answer_stored(expect_put(1), &wish, 1);
    assert_int_equal(pv_node_self(&x.f.node)->ip4.ip[3], 55);
    assert_string_equal(told().coordinator, "stored");
    /* There another name needs one, too. */
    const struct item renamed = make_place(&x.f.world, own, own, "other", 55, serial + 1);
    add_unstored(renamed);
    assert_string_equal(told().coordinator, "silent");
    answer_stored(expect_put(1), &renamed, 1);
    assert_string_equal(pv_node_self(&x.f.node)->name, "other");
    assert_string_equal(told().coordinator, "stored");
    /* The newest one counts, and none for what is another's. */
    add_unstored(make_place(&x.f.world, own, own, name, 56, serial + 2));
    const uint64_t asked = expect_put(1);
    add_unstored(make_place(&x.f.world, own, own, name, 7, serial + 3)); /* bob's */
    assert_string_equal(told().coordinator, "stored");
    add_unstored(make_place(&x.f.world, own, own, "bob", 55, serial + 4));
    assert_string_equal(told().coordinator, "stored");
    /* A name is said alone before another address is asked for with it, which may be refused. */
    const struct item both[] = {make_place(&x.f.world, own, own, "third", 55, serial + 5),
                                make_place(&x.f.world, own, own, "third", 57, serial + 6)};
    add_unstored(both[0]);
    add_unstored(both[1]);
    answer_refused(asked, PV_CTL_E_TAKEN);
    fake_node_wait(&x.f, PV_S(2));
    struct pv_ctl_result results[] = {{.receipt = pv_view(both[0].r, PV_RECEIPT_LEN)},
                                      {.error = PV_CTL_E_TAKEN}};
    const struct pv_ctl_msg msg = {
        .kind = PV_CTL_ANSWER, .type = PV_CTL_RECEIPTS, .u.receipts = {.n = 2, .results = results}};
    answer(expect_put(2), &msg);
    assert_string_equal(pv_node_self(&x.f.node)->name, "third");
    assert_int_equal(pv_node_self(&x.f.node)->ip4.ip[3], 55);
    assert_string_equal(told().coordinator, pv_ctl_error_word(PV_CTL_E_TAKEN));
}

/* The same statement would be refused for ever. */
/* The next order asks for it, too, unless the coordinator said no. */
PV_TEST(a_wish_lasts_until_the_coordinator_says_no)
{
    const struct keys *own = &x.f.world.creator;
    uint64_t serial = pv_roster_next_serial(x.f.node.roster, own->pk);
    add_unstored(make_place(&x.f.world, own, own, "other", 55, serial));
    assert_int_equal(pv_owed_wish(&x.f.node)->ip4[3], 55);
    go_online(true);
    fake_node_wait(&x.f, PV_S(5));
    assert_string_equal(told().coordinator, "silent");
    assert_non_null(pv_owed_wish(&x.f.node));
    go_online(false);
    assert_non_null(pv_owed_wish(&x.f.node));
    (void)expect_put(1); /* lost with the connection */
    go_online(true);
    answer_refused(expect_put(1), PV_CTL_E_STORAGE);
    assert_non_null(pv_owed_wish(&x.f.node));
    fake_node_wait(&x.f, PV_S(2));
    answer_refused(expect_put(1), PV_CTL_E_TAKEN);
    assert_null(pv_owed_wish(&x.f.node));
    go_online(false);
    assert_null(pv_owed_wish(&x.f.node));
    /* Another one does, whatever was said before it. */
    add_unstored(make_place(&x.f.world, own, own, "other", 56,
                            pv_roster_next_serial(x.f.node.roster, own->pk)));
    assert_int_equal(pv_owed_wish(&x.f.node)->ip4[3], 56);
}

PV_TEST(a_removal_by_a_removed_admin_is_not_owed)
{
    const struct keys carol = keys_of(8), dave = keys_of(9);
    fake_node_member(&x.f, 8, "carol", 8);
    fake_node_add(&x.f, make_admin(&x.f.world, &x.f.world.root, &carol, PV_RIGHT_REVOKE));
    add_unstored(make_revocation(&x.f.world, &carol, PV_REVOKE_NODE, dave.pk, NULL, 0));
    assert_string_equal(told().coordinator, "away");
    fake_node_add(&x.f, removal_of(8));
    go_online(true);
    assert_int_equal(fake_coord.n, 0);
    assert_string_equal(told().coordinator, "stored");
}

PV_TEST(a_refusal_is_named_and_asked_again_ever_more_rarely)
{
    static const unsigned waits_s[] = {2, 4, 8, 16, 32, 64, 128, 256, 256};
    go_online(true);
    add_unstored(removal_of(7));
    for (size_t i = 0; i < PV_ARRAY_LEN(waits_s); i++) {
        answer_refused(expect_put(1), PV_CTL_E_LIMIT);
        assert_string_equal(told().coordinator, "limit");
        assert_true(told().done);
        fake_node_show_problems(&x.f);
        fake_node_wait(&x.f, PV_S(waits_s[i]) - PV_MS(1));
        fake_node_raise(&x.f, PV_FACT_STATEMENTS); /* no news is worth another attempt */
        assert_int_equal(fake_coord.n, 0);
        fake_node_wait(&x.f, PV_MS(1));
    }
    (void)expect_put(1);
}

/* Its database may be back any moment, and a removal does not wait long then. */
PV_TEST(a_coordinator_that_cannot_store_now_is_asked_each_second)
{
    const struct item it = removal_of(7);
    go_online(true);
    add_unstored(it);
    for (int i = 0; i < 300; i++) {
        answer_refused(expect_put(1), PV_CTL_E_STORAGE);
        fake_node_show_problems(&x.f);
        assert_int_equal(fake_coord.n, 0);
        fake_node_wait(&x.f, PV_S(1));
    }
    answer_stored(expect_put(1), &it, 1);
    assert_string_equal(told().coordinator, "stored");
}

/* A tag's refusal for good is no reason for a removal to wait for minutes. */
PV_TEST(a_new_statement_goes_at_once_though_an_older_one_was_refused)
{
    go_online(true);
    add_unstored(removal_of(50));
    for (unsigned i = 0; i < 5; i++) {
        answer_refused(expect_put(1), PV_CTL_E_LIMIT);
        fake_node_wait(&x.f, PV_S(2u << i));
    }
    answer_refused(expect_put(1), PV_CTL_E_LIMIT);
    add_unstored(removal_of(7));
    answer_refused(expect_put(2), PV_CTL_E_LIMIT);
    fake_node_raise(&x.f, PV_FACT_STATEMENTS); /* nothing is new */
    assert_int_equal(fake_coord.n, 0);
}

/* More is owed than a message carries: the removal is among the first, though it came last. */
PV_TEST(a_removal_goes_before_all_else)
{
    uint64_t tag;
    bool found = false;
    const struct item removal = removal_of(7);
    for (unsigned i = 0; i < 20; i++) {
        const struct keys k = keys_of(50 + i);
        add_unstored(make_admin(&x.f.world, &x.f.world.root, &k, PV_RIGHT_INVITE));
    }
    add_unstored(removal);
    go_online(true);
    struct pv_ctl_msg *msg = fake_coord_take(PV_CTL_PUT, &tag);
    assert_int_equal(msg->u.put.n, 16);
    for (size_t i = 0; i < msg->u.put.n; i++)
        found =
            found || (msg->u.put.items[i].statement.len == removal.s.len &&
                      memcmp(msg->u.put.items[i].statement.ptr, removal.s.raw, removal.s.len) == 0);
    pv_ctl_msg_free(msg);
    assert_true(found);
}

PV_TEST(a_receipt_that_comes_after_a_long_silence_counts)
{
    const struct item it = removal_of(7);
    go_online(true);
    add_unstored(it);
    uint64_t first = expect_put(1);
    fake_node_wait(&x.f, PV_S(5) - PV_MS(1));
    assert_false(told().done);
    fake_node_wait(&x.f, PV_MS(1));
    assert_string_equal(told().coordinator, "silent");
    assert_true(told().done); /* nobody waits for it any longer */
    assert_int_equal(fake_coord.n, 0);
    fake_node_wait(&x.f, PV_S(2));
    (void)expect_put(1);
    answer_stored(first, &it, 1);
    assert_string_equal(told().coordinator, "stored");
    assert_false(fake_node_has_problem(&x.f, "has not stored"));
}

PV_TEST(a_new_connection_is_asked_at_once)
{
    go_online(true);
    add_unstored(removal_of(7));
    for (unsigned i = 0; i < 5; i++) {
        answer_refused(expect_put(1), PV_CTL_E_BUSY);
        fake_node_wait(&x.f, PV_S(2u << i));
    }
    (void)expect_put(1); /* lost with the connection */
    go_online(false);
    assert_int_equal(pv_part_owed.next_timeout(x.f.self), PV_NEVER);
    go_online(true);
    answer_refused(expect_put(1), PV_CTL_E_BUSY);
    fake_node_wait(&x.f, PV_S(2)); /* and is believed patiently anew */
    (void)expect_put(1);
}

PV_TEST(more_than_one_message_carries_goes_in_several)
{
    enum {
        N = 20,
        FIRST = 16
    };
    struct item items[N];
    for (unsigned i = 0; i < N; i++) {
        items[i] = removal_of(50 + i);
        add_unstored(items[i]);
    }
    go_online(true);
    uint64_t tag = expect_put(FIRST);
    assert_int_equal(fake_coord.n, 0); /* one at a time */
    /* Receipts for all that was sent, in whatever order the roster has them. */
    struct pv_ctl_result results[FIRST] = {{.error = PV_CTL_E_NONE}};
    struct pv_ctl_msg msg = {.kind = PV_CTL_ANSWER, .type = PV_CTL_RECEIPTS};
    size_t n = 0;
    for (const struct pv_roster_entry *e = pv_roster_next_entry(x.f.node.roster, NULL); e != NULL;
         e = pv_roster_next_entry(x.f.node.roster, e)) {
        for (size_t i = 0; i < N && e->receipt.len == 0 && n < FIRST; i++) {
            if (e->st.raw.len == items[i].s.len &&
                memcmp(e->st.raw.ptr, items[i].s.raw, items[i].s.len) == 0)
                results[n++].receipt = pv_view(items[i].r, PV_RECEIPT_LEN);
        }
    }
    assert_int_equal(n, FIRST);
    msg.u.receipts.n = n;
    msg.u.receipts.results = results;
    answer(tag, &msg);
    (void)expect_put(N - FIRST);
}

/* An answer without a receipt and without an error must not become a loop of puts. */
PV_TEST(an_answer_that_settles_nothing_is_waited_out)
{
    const struct pv_ctl_msg msg = {.kind = PV_CTL_ANSWER, .type = PV_CTL_RECEIPTS};
    go_online(true);
    add_unstored(removal_of(7));
    answer(expect_put(1), &msg);
    assert_int_equal(fake_coord.n, 0);
    fake_node_wait(&x.f, PV_S(2));
    (void)expect_put(1);
}

PV_TEST(members_that_are_there_are_waited_for_until_they_know)
{
    const struct pv_addr at = pv_addr4(192, 0, 2, 7, 4711);
    assert_int_equal(told().online, 0);
    fake_peers_path(&x, bob, &at);
    assert_int_equal(told().online, 1);
    assert_int_equal(told().know, 0);
    assert_true(told().done); /* nothing in-band reaches it */
    pv_peer_set_in_sync(bob, true);
    assert_false(told().done);
    bob_knows = true;
    assert_int_equal(told().know, 1);
    assert_true(told().done);
}

PV_TEST(a_hurry_counts_what_the_facts_have_not_told_yet)
{
    struct item it = removal_of(7);
    x.f.node.online = true;
    it.r_len = 0;
    add(x.f.node.roster, &it);
    (void)settle(x.f.node.roster);
    assert_string_equal(told().coordinator, "stored");
    pv_owed_hurry(&x.f.node, x.f.now);
    (void)expect_put(1);
    assert_string_equal(told().coordinator, "silent");
    pv_owed_hurry(&x.f.node, x.f.now); /* it is under way */
    assert_int_equal(fake_coord.n, 0);
}

PV_TEST(nobody_waits_for_a_phone_to_know)
{
    const struct pv_addr at = pv_addr4(192, 0, 2, 7, 4711);
    fake_peers_path(&x, bob, &at);
    pv_peer_set_by(bob, 1); /* another member carries it */
    assert_int_equal(told().online, 0);
}

/* --- to members ------------------------------------------------------------------------------ */

static void be_there(struct pv_peer *p)
{
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 1, x.f.now);
    fake_peers_settle(&x);
}

/* How many signals went out by then. */
static unsigned told_after(pv_ns time)
{
    fake_node_wait(&x.f, time);
    return n_told;
}

PV_TEST(a_member_without_a_path_is_sent_what_was_taken_away_and_is_woken)
{
    const struct item it = removal_of(50);
    be_there(bob);
    go_online(true);
    add_unstored(it);
    answer_stored(expect_put(1), &it, 1); /* a coordinator that stores may still hand nothing out */
    assert_int_equal(n_told, 0);
    assert_int_equal(told_after(PV_SPREAD_SOON), 1);
    assert_int_equal(last_told, PV_ST_REVOCATION);
    assert_false(pv_peer_is_wanted(bob, x.f.now));
    assert_int_equal(told().know, 0);
    assert_int_equal(told_after(PV_SPREAD_WAKE - PV_S(1)), 1);
    assert_false(pv_peer_is_wanted(bob, x.f.now));
    assert_int_equal(told_after(PV_S(1) + PV_SPREAD_IDLE), 2);
    assert_true(pv_peer_is_wanted(bob, x.f.now));
    pv_peer_notes(bob)->spread = x.f.node.spread; /* it has named our head */
    assert_int_equal(told().know, 1);
    assert_int_equal(told_after(PV_S(600)), 2);
    assert_int_equal(pv_part_owed.next_timeout(x.f.self), PV_NEVER);
    /* It does not know the next statement. */
    add_unstored(removal_of(51));
    assert_int_equal(told().know, 0);
    assert_int_equal(told_after(PV_SPREAD_SOON), 3);
}

PV_TEST(a_statement_that_is_not_ours_or_harms_nobody_is_not_spread)
{
    const struct keys carol = keys_of(8);
    be_there(bob);
    fake_node_member(&x.f, 8, "carol", 8);
    fake_node_add(&x.f, make_admin(&x.f.world, &x.f.world.root, &carol, PV_RIGHT_REVOKE));
    go_online(true);
    const struct keys k = keys_of(50);
    add_unstored(make_revocation(&x.f.world, &carol, PV_REVOKE_NODE, k.pk, NULL, 0));
    add_unstored(make_place(&x.f.world, &x.f.world.creator, &carol, "other", 9, 2));
    assert_int_equal(told_after(PV_S(60)), 0);
}

/* Thousands of members: some signals and paths at a time, and those that are away cost nothing. */
PV_TEST(many_members_are_told_and_woken_a_few_at_a_time)
{
    enum {
        MANY = 100
    };
    struct pv_peer *peers[MANY];
    unsigned wanted = 0;
    for (unsigned i = 0; i < MANY; i++) {
        peers[i] = fake_peers_member(&x, 100 + i, PV_STR("m%u", i), (uint16_t)(100 + i));
        pv_peer_set_presence(peers[i], i < 80 ? PV_PRESENCE_ONLINE : PV_PRESENCE_OFFLINE, 1,
                             x.f.now);
    }
    pv_peer_set_presence(bob, PV_PRESENCE_OFFLINE, 1, x.f.now);
    fake_peers_settle(&x);
    go_online(true);
    add_unstored(removal_of(50));
    assert_int_equal(told_after(PV_SPREAD_SOON), PV_SPREAD_SIGNALS);
    assert_int_equal(told_after(4 * PV_SPREAD_TICK), 80);
    fake_node_wait(&x.f, PV_SPREAD_WAKE + PV_S(5));
    for (unsigned i = 0; i < MANY; i++)
        wanted += pv_peer_is_wanted(peers[i], x.f.now) ? 1 : 0;
    assert_int_equal(wanted, PV_SPREAD_WOKEN);
    assert_true(fake_node_has_problem(&x.f, "80 of 80 members online lack it and are told"));
}
