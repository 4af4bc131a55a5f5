/* SPDX-License-Identifier: MIT */
/* One of several coordinators: what its control half makes of networks that come and go. */
#include "coordinator/core/member/home.h"
#include "tests/unit/coordinator/core/coord_world.h"

/* A coordinator that shares its store, and has made a network. */
static struct cw *shared(uint64_t seed)
{
    struct cw *w = cw_new(seed);
    w->cfg.homes = true;
    cw_start(w);
    cw_create(w);
    return w;
}

/* The store's word on all homes: there are none. */
static bool hear_of_none(struct cw *w, pv_ns asked_at)
{
    struct pv_coord_home none[1];
    return pv_coord_homes_are(w->coord, none, 0, asked_at, w->now);
}

/* The store was asked before it had the network, and its answer comes when the core has it. */
PV_TEST(a_list_that_is_older_than_a_network_does_not_end_it)
{
    struct cw *w = cw_new(1);
    w->cfg.homes = true;
    cw_start(w);
    const pv_ns asked_at = w->now;
    cw_sleep(w, PV_MS(100));
    cw_create(w);
    struct cw_client *alice = cw_member(w, &w->alice);
    assert_false(hear_of_none(w, asked_at));
    cw_pump(w);
    assert_false(alice->closed);
    assert_int_equal(pv_coord_n_homes(w->coord), 1);

    cw_sleep(w, PV_MS(100));
    assert_true(hear_of_none(w, w->now)); /* another has it since */
    cw_pump(w);
    assert_true(alice->closed);
    assert_int_equal(pv_coord_n_homes(w->coord), 0);
}

/* Knocks as alice for a network that another coordinator has; what the store is asked then. */
static struct pv_storeop *knock(struct cw *w)
{
    struct cw_client *c = cw_connect(w, &w->alice);
    cw_pump(w);
    struct pv_ctl_msg m = cw_hello(c, &w->alice, w->created.network_id, PV_CTL_MEMBER);
    m.u.hello.moved = true;
    (void)cw_send(c, m);
    cw_pump(w);
    assert_int_equal(w->n_jobs, 1);
    w->n_jobs = 0;
    return w->jobs[0];
}

/* A node that was told where the home is, twice, and knocks again, pleads, and the store learns who
 * it is.
 */
PV_TEST(a_node_that_cannot_get_there_pleads_by_name)
{
    struct cw *w = cw_new(4);
    w->cfg.homes = w->hold_jobs = true;
    cw_start(w);
    cw_make_network(w);
    struct pv_home_answer there = {.verdict = PV_HOME_THERE, .n_to = 1, .to = {"192.0.2.1:3478"}};
    for (unsigned told = 0; told < 3; told++) {
        struct pv_storeop *op = knock(w);
        const struct pv_storeop_result res = {.id = op->id, .home = &there};
        assert_int_equal(op->kind, PV_STOREOP_HOME);
        assert_int_equal(op->pleads, told == 2);
        if (told == 2)
            assert_memory_equal(op->node, w->alice.id.pk, sizeof(op->node));
        pv_storeop_free(op);
        pv_coord_handle_job(w->coord, &res, w->now);
        cw_pump(w);
    }
}

/* Where there is room for one network, a second is to go elsewhere; when nobody else lives, who
 * knocks is told. */
PV_TEST(a_coordinator_without_room_takes_no_network)
{
    struct cw *w = cw_new(5);
    w->cfg.homes = true;
    w->cfg.limits.networks = 1;
    cw_start(w);
    cw_create(w);
    struct pv_home_answer answer = {.verdict = PV_HOME_TAKE, .fence = 1, .epoch = 9};
    cw_make_network(w); /* another one, which the store has */
    w->hold_jobs = true;
    struct pv_storeop *op = knock(w);
    assert_true(op->draining);
    const struct pv_storeop_result res = {.id = op->id, .home = &answer};
    pv_coord_handle_job(w->coord, &res, w->now);
    cw_pump(w);
    struct pv_ctl_msg *m = cw_take_push(w->clients[w->n_clients - 1], PV_CTL_BYE);
    assert_int_equal(m->u.failure.error, PV_CTL_E_FULL);
    assert_int_equal(pv_coord_n_homes(w->coord), 1);
    pv_ctl_msg_free(m);
    pv_storeop_free(op);
}

/* Lets the core do what is due, and counts the networks that it wants to give away. */
static size_t leaves(struct cw *w)
{
    w->hold_jobs = true;
    w->now += PV_S(1);
    pv_coord_set_wall(w->coord, CW_WALL * UINT64_C(1000000) + w->now / 1000, w->now);
    pv_coord_handle_timeout(w->coord, w->now);
    cw_pump(w);
    for (size_t i = 0; i < w->n_jobs; i++)
        assert_int_equal(w->jobs[i]->kind, PV_STOREOP_LEAVE);
    return w->n_jobs;
}

/* The last of the others ends while this one drains: who would be sent away would come back. */
PV_TEST(a_coordinator_that_drains_alone_keeps_its_networks)
{
    struct cw *w = shared(3);
    struct cw_client *alice = cw_member(w, &w->alice);
    pv_coord_balance(w->coord, UINT64_MAX, w->now);
    pv_coord_drain(w->coord, true);
    assert_int_equal(leaves(w), 0);
    cw_ask_ok(w, alice, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
    pv_coord_balance(w->coord, 0, w->now);
    assert_int_equal(leaves(w), 1);
}

/* One of a few networks goes, some of many: thousands would take hours else. Small ones first. */
PV_TEST(the_more_there_are_the_more_are_given_at_once)
{
    enum {
        MANY = 70
    };
    uint8_t busy[PV_NETWORK_ID_LEN];
    struct cw *w = shared(4);
    memcpy(busy, w->created.network_id, sizeof(busy));
    (void)cw_member(w, &w->alice);
    cw_create(w);
    pv_coord_balance(w->coord, 0, w->now);
    assert_int_equal(leaves(w), 1);
    assert_memory_not_equal(w->jobs[0]->copy.network, busy, sizeof(busy));
    pv_coord_balance(w->coord, 0, w->now); /* a second later: not yet */
    assert_int_equal(leaves(w), 1);
    w->hold_jobs = false;
    while (pv_coord_n_homes(w->coord) < MANY)
        cw_create(w);
    cw_sleep(w, PV_S(3));
    pv_coord_balance(w->coord, 2, w->now);
    assert_int_equal(leaves(w), 1 + 2);
}

/* A network that rests, and whose pages are kept, is dropped: nothing points to it when its memory
 * is freed. */
PV_TEST(a_network_that_ends_leaves_nothing_behind)
{
    struct cw *w = shared(2);
    struct cw_client *alice = cw_member(w, &w->alice);
    cw_ask_ok(w, alice, (struct pv_ctl_msg){.type = PV_CTL_PULL}, PV_CTL_STATEMENTS);
    (void)cw_send(alice, (struct pv_ctl_msg){.type = PV_CTL_PING});
    (void)cw_to_coord(w, alice);
    pv_coord_bill(w->coord, PV_S(60), w->now);
    assert_true(pv_coord_rests(w->coord));
    assert_int_equal(pv_coord_drop_begin(w->coord, w->created.network_id), PV_OK);
    pv_coord_drop_end(w->coord, w->created.network_id, true, w->now);
    assert_false(pv_coord_rests(w->coord));
    cw_pump(w);
    cw_sleep(w, PV_S(11)); /* it is freed */
    pv_coord_idle(w->coord, w->now);
    cw_create(w);
    (void)cw_member(w, &w->alice);
}
