/* SPDX-License-Identifier: MIT */
/* Which of several members carries a prefix: who is dead, who is nearer, and who is asked. */
#include "daemon/core/route/gateways.h"
#include "tests/unit/test_util.h"

/* Three members with the ids 11, 12 and 13, which answer what they are asked after their round
 * trip, unless they are down. */
static struct {
    struct pv_gateways x;
    pv_ns now;
    bool down[3];
    pv_ns heard_at[3]; /* the answer to a question comes then; PV_NEVER */
    unsigned asked[3];
    bool traffic; /* packets go to the one in front all the time */
    bool answers; /* and come back */
} t;

void test_before_each(void)
{
    const uint32_t ids[] = {11, 12, 13};
    memset(&t, 0, sizeof(t));
    t.now = PV_S(100);
    t.traffic = t.answers = true;
    pv_gateways_set(&t.x, ids, 3);
    for (size_t i = 0; i < 3; i++) {
        t.heard_at[i] = PV_NEVER;
        t.x.g[i].seen = (struct pv_gateway_seen){.reachable = true, .rtt = PV_MS(20 + 10 * i)};
    }
}

static struct pv_fp_carried order(void)
{
    struct pv_fp_carried c = {.n = 0};
    pv_gateways_order(&t.x, &c);
    return c;
}

/* Time passes in steps of 50 ms, with a look whenever the machine wants one. */
static void pass(pv_ns by)
{
    for (pv_ns end = t.now + by; t.now < end; t.now += PV_MS(50)) {
        struct pv_fp_carried c = order();
        for (size_t i = 0; i < t.x.n; i++) {
            struct pv_gateway *g = &t.x.g[i];
            bool used = t.traffic && c.n > 0 && c.ids[0] == g->id;
            if (used)
                g->seen.last_tx = t.now;
            if (!t.down[i] && ((used && t.answers) || t.now >= t.heard_at[i])) {
                g->seen.last_rx = t.now;
                t.heard_at[i] = PV_NEVER;
            }
        }
        unsigned mask = pv_gateways_look(&t.x, t.now);
        for (size_t i = 0; i < t.x.n; i++) {
            if ((mask & 1u << i) == 0)
                continue;
            t.asked[i]++;
            if (!t.down[i])
                t.heard_at[i] = t.now + t.x.g[i].seen.rtt;
        }
    }
}

/* The peer that carries packets then. */
static uint32_t front_after(pv_ns by)
{
    pass(by);
    return t.x.front;
}

PV_TEST(the_nearest_is_in_front)
{
    t.x.g[0].seen.rtt = 0; /* not known: the farthest */
    assert_int_equal(front_after(PV_MS(50)), 12);
    assert_int_equal(order().n_live, 3);
    assert_int_equal(order().ids[0], 12);
}

PV_TEST(another_takes_over_within_three_seconds)
{
    assert_int_equal(front_after(PV_S(20)), 11);
    t.down[0] = true;
    pass(PV_S(3) - PV_MS(200)); /* the look of the packet threads comes on top */
    assert_int_equal(t.x.front, 12);
    assert_int_equal(order().n_live, 2);
    assert_int_equal(order().ids[0], 12);
    assert_true(t.asked[0] >= 3);
    t.down[0] = false; /* it is back, and nearer: that is known by asking it, and not at once */
    pass(PV_S(6));
    assert_int_equal(order().n_live, 3);
    assert_int_equal(t.x.front, 12);
    assert_int_equal(front_after(PV_S(12)), 11);
}

PV_TEST(traffic_one_way_is_no_death)
{
    pass(PV_S(1));
    t.answers = false; /* a camera's stream: nothing comes back but answers to questions */
    assert_int_equal(front_after(PV_S(30)), 11);
    assert_int_equal(order().n_live, 3);
    assert_true(t.asked[0] > 10);
}

PV_TEST(a_single_answer_may_be_lost)
{
    pass(PV_S(1));
    t.answers = false;
    pass(PV_MS(600));
    t.heard_at[0] = PV_NEVER; /* the answer to the first question */
    assert_int_equal(front_after(PV_S(10)), 11);
    assert_int_equal(order().n_live, 3);
}

PV_TEST(nobody_is_asked_without_traffic)
{
    pass(PV_S(1));
    t.traffic = false;
    pass(PV_S(6));
    memset(t.asked, 0, sizeof(t.asked));
    t.down[0] = t.down[1] = true;
    pass(PV_S(600));
    assert_int_equal(t.asked[0] + t.asked[1] + t.asked[2], 0);
    assert_int_equal(pv_gateways_next(&t.x, t.now), PV_NEVER);
}

PV_TEST(a_gateway_that_is_unreachable_is_behind)
{
    pass(PV_S(1));
    t.x.g[0].seen.reachable = false;
    assert_int_equal(front_after(PV_MS(50)), 12);
    assert_int_equal(order().ids[2], 11);
    t.x.g[1].seen.reachable = t.x.g[2].seen.reachable = false;
    pass(PV_MS(50));
    assert_int_equal(order().n_live, 0);
    assert_int_equal(order().n, 3);
    assert_int_equal(t.x.front, 12); /* somebody has to be */
}

PV_TEST(a_nearer_one_takes_over_after_a_while)
{
    pass(PV_S(1));
    t.x.g[0].seen.rtt = PV_MS(36);
    assert_int_equal(front_after(PV_S(30)), 11); /* 30 ms are not a quarter less than 36 */
    t.x.g[0].seen.rtt = PV_MS(60);
    assert_int_equal(front_after(PV_S(9)), 11);
    t.x.g[0].seen.rtt = PV_MS(20); /* it was a moment */
    pass(PV_S(2));
    t.x.g[0].seen.rtt = PV_MS(60);
    assert_int_equal(front_after(PV_S(9)), 11);
    assert_int_equal(front_after(PV_S(2)), 12);
    t.x.g[0].seen.rtt = PV_MS(1); /* and back as carefully */
    assert_int_equal(front_after(PV_S(9)), 12);
    assert_int_equal(front_after(PV_S(2)), 11);
}

PV_TEST(a_gateway_that_stays_is_remembered)
{
    const uint32_t ids[] = {13, 11}, one[] = {12};
    pass(PV_S(1));
    t.down[0] = true;
    pass(PV_S(4));
    assert_true(t.x.g[0].dead);
    pv_gateways_set(&t.x, ids, 2);
    assert_true(t.x.g[1].dead);
    assert_int_equal(t.x.front, 0);
    (void)pv_gateways_look(&t.x, t.now);
    assert_int_equal(t.x.front, 13);
    pv_gateways_set(&t.x, one, 1);
    assert_false(t.x.g[0].dead);
    pv_gateways_set(&t.x, one, 0);
    assert_int_equal(pv_gateways_look(&t.x, t.now), 0);
    assert_int_equal(order().n, 0);
}

/* One that has no stand-by is watched when the caller wants that, and asked until it is back. */
PV_TEST(an_exit_that_died_is_asked_until_it_is_back)
{
    const uint32_t one[] = {11};
    pv_gateways_set(&t.x, one, 1);
    pass(PV_S(1));
    t.down[0] = true;
    pass(PV_S(5));
    assert_false(t.x.g[0].dead); /* it does not matter: there is nobody else */
    t.x.alone_too = true;
    pass(PV_S(5));
    assert_true(t.x.g[0].dead);
    t.traffic = false;
    pass(PV_S(60));
    assert_true(t.x.g[0].dead);
    assert_true(pv_gateways_next(&t.x, t.now) <= t.now + PV_GATEWAYS_BACK);
    t.down[0] = false;
    pass(PV_S(6));
    assert_false(t.x.g[0].dead);
    assert_int_equal(order().n_live, 1);
}
