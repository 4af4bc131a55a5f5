/* SPDX-License-Identifier: MIT */
/* A membership with a lifetime: when it is renewed, how often, and whose end is told. */
#include "daemon/core/member/membership.h"
#include "daemon/core/parts.h"
#include "tests/unit/daemon/core/fake_membership.h"
#include "tests/unit/daemon/core/fake_node.h"

enum {
    DAY = 86400,
    LIFETIME = 90 * DAY,
};

static struct fake_node f;
static struct keys guest;

static uint64_t clock_s(void)
{
    return (uint64_t)T0 + (f.now - PV_S(1000)) / PV_S(1);
}

/* This node joined by an invite with that lifetime. */
static void join(uint32_t lifetime)
{
    fake_node_enter(&f);
    fake_node_add(&f, make_terms(&f.world, &f.world.creator, &guest, 0, lifetime));
    struct pv_st_member m = member_fields(&f.world.creator, "alice", 9, 1);
    fake_node_add(&f, make_member_f(&f.world, &guest, &f.world.creator, &m));
    fake_node_settle(&f);
}

void test_before_each(void)
{
    fake_membership.given = 0;
    guest = keys_of(31);
    fake_node_init(&f, &pv_part_renewal);
    fake_node_start(&f);
}

static void wait_days(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        fake_node_wait(&f, PV_S(DAY));
}

/* How often a membership was given by then. */
static size_t given_after(unsigned days)
{
    wait_days(days);
    return fake_membership.given;
}

/* The coordinator stores what has no receipt, by its clock, which is right. */
static void coordinator_stores(void)
{
    struct item items[8];
    size_t n = 0;
    for (const struct pv_roster_entry *e = pv_roster_next_entry(f.node.roster, NULL); e != NULL;
         e = pv_roster_next_entry(f.node.roster, e)) {
        if (e->st.type != PV_ST_TRANSPORT || e->receipt.len > 0)
            continue;
        items[n].s.len = e->st.raw.len;
        memcpy(items[n++].s.raw, e->st.raw.ptr, e->st.raw.len);
    }
    f.world.time = clock_s();
    for (size_t i = 0; i < n; i++) {
        receipt_next(&f.world, &items[i]);
        add(f.node.roster, &items[i]);
    }
    (void)settle(f.node.roster);
    fake_node_raise(&f, PV_FACT_STATEMENTS | PV_FACT_ROSTER);
}

PV_TEST(a_third_before_the_end_it_is_renewed_once)
{
    join(LIFETIME);
    assert_int_equal(given_after(50), 0);
    assert_int_equal(given_after(11), 1);
    wait_days(20); /* nobody takes it: another one would not help */
    assert_int_equal(fake_membership.given, 1);
    coordinator_stores();
    assert_int_equal(pv_roster_by_node(f.node.roster, f.identity.sign_pk)->expires,
                     clock_s() + LIFETIME);
    assert_int_equal(given_after(50), 1);
    assert_int_equal(given_after(11), 2);
}

/* A key that was replaced before the coordinator heard of it never gets a receipt. */
PV_TEST(a_key_that_nobody_stored_stops_no_renewal)
{
    join(LIFETIME);
    for (uint8_t i = 0; i < 2; i++) {
        struct pv_made key;
        struct pv_st_transport st = {
            .serial = pv_roster_next_serial(f.node.roster, f.identity.sign_pk), .time = clock_s()};
        memset(st.transport, 0x40 + i, sizeof(st.transport));
        assert_ok(
            pv_make_transport(pv_roster_network_id(f.node.roster), f.identity.sign_sk, &st, &key));
        struct item item = item_of(&f.world, &key);
        if (i == 0)
            item.r_len = 0;
        add(f.node.roster, &item);
    }
    (void)settle(f.node.roster);
    fake_node_raise(&f, PV_FACT_STATEMENTS | PV_FACT_ROSTER);
    assert_int_equal(fake_membership.given, 0);
    assert_int_equal(given_after(61), 1);
}

PV_TEST(a_member_that_came_by_a_plain_invite_never_renews)
{
    fake_node_enter(&f);
    fake_node_settle(&f);
    assert_int_equal(given_after(400), 0);
    assert_int_equal(fake_node_status(&f)->s.expires_s, 0);
}

PV_TEST(a_node_that_is_down_is_not_in_use)
{
    f.node.up = false;
    join(LIFETIME);
    assert_int_equal(given_after(80), 0);
    f.node.up = true;
    fake_node_raise(&f, PV_FACT_UP);
    assert_int_equal(fake_membership.given, 1);
}

/* Switched on after half a year: its own roster knows nothing of that time, but the coordinator's
 * clock does. */
PV_TEST(after_a_long_absence_the_coordinators_clock_counts)
{
    join(LIFETIME);
    f.node.wall = (struct pv_wall){.us = 1, .at = f.now}; /* its battery is empty */
    fake_node_raise(&f, PV_FACT_ROSTER);
    assert_int_equal(fake_membership.given, 0);
    f.node.coord_info.clock =
        (struct pv_wall){.us = (uint64_t)(T0 + 180 * DAY) * 1000000, .at = f.now};
    fake_node_raise(&f, PV_FACT_ONLINE);
    assert_int_equal(fake_membership.given, 1);
}

/* A coordinator that gives receipts of long ago: no end is reached by renewing, and not in a hurry.
 */
PV_TEST(a_renewal_that_does_not_help_is_not_repeated_in_a_loop)
{
    join(LIFETIME);
    f.node.coord_info.clock =
        (struct pv_wall){.us = (uint64_t)(T0 + 180 * DAY) * 1000000, .at = f.now};
    fake_node_raise(&f, PV_FACT_ONLINE);
    for (unsigned i = 0; i < 24 * 60; i++) {
        fake_node_wait(&f, PV_S(60));
        coordinator_stores();
    }
    assert_in_range(fake_membership.given, 2, 12);
}

/* --- what it says ----------------------------------------------------------------------------- */

PV_TEST(a_node_is_warned_fourteen_days_before)
{
    join(LIFETIME);
    assert_int_equal(fake_node_status(&f)->s.expires_s,
                     pv_roster_by_node(f.node.roster, f.identity.sign_pk)->expires);
    wait_days(75);
    assert_false(fake_node_has_problem(&f, "membership ends"));
    wait_days(2);
    assert_true(fake_node_has_problem(&f, "this node's membership ends in 13d"));
    assert_true(fake_node_has_problem(&f, "reach the coordinator"));
    coordinator_stores(); /* remedy: renew */
    assert_false(fake_node_has_problem(&f, "membership ends"));
}

PV_TEST(of_a_short_membership_the_last_quarter_is_told)
{
    join(4 * DAY);
    wait_days(2);
    assert_false(fake_node_has_problem(&f, "membership ends"));
    fake_node_wait(&f, PV_S(DAY + 60));
    assert_true(fake_node_has_problem(&f, "this node's membership ends in 23h"));
}

/* Others renew themselves: of whom an admin is told were away for long. */
PV_TEST(an_admin_is_told_of_machines_that_are_about_to_go)
{
    static const char *const names[] = {"bob", "carol", "dave", "erin"};
    fake_node_enter(&f);
    fake_node_add(&f, make_terms(&f.world, &f.world.creator, &guest, 0, LIFETIME));
    for (unsigned i = 0; i < PV_ARRAY_LEN(names); i++) {
        const struct keys k = keys_of(60 + i);
        fake_node_add(&f, make_member(&f.world, &guest, &k, names[i], (uint16_t)(20 + i)));
    }
    fake_node_settle(&f);
    wait_days(60);
    assert_false(fake_node_has_problem(&f, "memberships end"));
    wait_days(20);
    assert_true(fake_node_has_problem(&f, "bob's in 10d"));
    assert_true(fake_node_has_problem(&f, "and those of 1 more"));
    /* They are switched on, and renew themselves. remedy: switch_them_on */
    f.world.time = clock_s();
    for (unsigned i = 0; i < PV_ARRAY_LEN(names); i++) {
        const struct keys k = keys_of(60 + i);
        struct pv_statement st = {.type = PV_ST_TRANSPORT};
        st.u.transport = (struct pv_st_transport){.serial = 2, .time = clock_s()};
        memset(st.u.transport.transport, (int)(i + 1), sizeof(st.u.transport.transport));
        fake_node_add(&f, make_statement(&f.world, &st, &k));
    }
    fake_node_settle(&f);
    assert_false(fake_node_has_problem(&f, "memberships end"));
}

/* Here nobody else is there to tell it the time: it says so of itself once others did. */
PV_TEST(a_member_that_has_expired_is_told_what_it_needs)
{
    join(LIFETIME);
    f.world.time = T0 + 100 * DAY;
    const struct keys other = keys_of(77);
    fake_node_add(&f, make_invite(&f.world, &f.world.creator, &other, 1));
    fake_node_settle(&f);
    assert_int_equal(fake_membership.given, 1);
    assert_true(fake_node_has_problem(&f, "this node's membership has expired"));
    f.now += PV_S(100 * DAY);
    coordinator_stores(); /* remedy: reach_to_renew */
    assert_false(fake_node_has_problem(&f, "expired"));
}
