/* SPDX-License-Identifier: MIT */
/* The relayed pair of an ICE agent: who is paired, when it is used, when it is left. */
#include "ice_lone.h"
#include "proto/stun/turn.h"

static const uint8_t COORD[32] = {1}, OTHER_COORD[32] = {2}, US[32] = {3}, THEM[32] = {4};

static struct pv_ice_cand relay_cand(const uint8_t *coord, const uint8_t *node)
{
    struct pv_addr a = pv_turn_virtual_addr(coord, node);
    return (struct pv_ice_cand){.type = PV_ICE_RELAY,
                                .addr = a,
                                .priority = pv_ice_priority(PV_ICE_RELAY, 65535),
                                .carrier = {.kind = PV_ICE_CARRIER_CHANNEL, .local = a}};
}

/* An agent with a host address and a relayed one, and no description yet. */
static struct lone *relayed(unsigned flags)
{
    struct lone *l = lone_new(flags);
    const struct pv_ice_cand own[] = {host_cand(l->local), relay_cand(COORD, US)};
    pv_ice_set_local(l->agent, own, 2, l->now);
    return l;
}

/* It hears of the other side, which is there and has a relayed address at this coordinator. */
static void hear(struct lone *l, const uint8_t *coord)
{
    const struct pv_ice_cand theirs[] = {relay_cand(coord, THEM), host_cand(l->remote)};
    pv_ice_set_present(l->agent, true, l->now);
    describe(l, theirs, 2);
}

static struct lone *relayed_and_described(void)
{
    struct lone *l = relayed(CONTROLLING);
    hear(l, COORD);
    return l;
}

static bool selected(struct lone *l, enum pv_ice_carrier_kind kind)
{
    struct pv_ice_path path;
    return pv_ice_selected(l->agent, &path) == PV_OK && path.carrier.kind == kind;
}

static bool told(struct lone *l, enum pv_ice_event_type type)
{
    struct pv_ice_event ev;
    bool any = false;
    while (pv_ice_poll_event(l->agent, &ev) == PV_OK)
        any = any || ev.type == type;
    return any;
}

/* Answers the checks that are under way, direct and relayed ones as wanted. */
static void answer_checks(struct lone *l, bool direct, bool relayed)
{
    while (next_msg(l) == PV_OK) {
        bool is_relayed = l->tx.carrier.kind == PV_ICE_CARRIER_CHANNEL;
        (void)!pv_stun_get_u32(&l->msg, PV_STUN_ATTR_NOMINATION, &l->nomination);
        if (l->msg.cls != PV_STUN_REQUEST || (is_relayed ? !relayed : !direct) ||
            pv_addr_equal(&l->tx.dst, &l->silent))
            continue;
        uint8_t buf[256];
        struct pv_addr mapped = is_relayed ? pv_turn_virtual_addr(COORD, US) : l->local;
        struct pv_ice_carrier c = {.kind = l->tx.carrier.kind};
        size_t len = write_answer(&l->msg, mapped, l->theirs.pwd, buf, sizeof(buf));
        assert_ok(pv_ice_handle_input(l->agent, &c, &l->tx.dst, pv_view(buf, len), l->now));
    }
}

static void pass(struct lone *l, pv_ns time, bool direct, bool relayed)
{
    for (pv_ns end = l->now + time; l->now < end; l->now += PV_MS(10)) {
        pv_ice_handle_timeout(l->agent, l->now);
        answer_checks(l, direct, relayed);
    }
}

static bool selected_after(struct lone *l, pv_ns time, bool direct, bool relayed,
                           enum pv_ice_carrier_kind kind)
{
    pass(l, time, direct, relayed);
    return selected(l, kind);
}

PV_TEST(relay_is_paired_with_relay_of_the_same_coordinator_only)
{
    struct lone *l = relayed(CONTROLLING);
    struct pv_ice_path paths[8];
    hear(l, OTHER_COORD);
    assert_int_equal(pv_ice_paths(l->agent, paths, 8), 1);
    assert_int_equal(paths[0].carrier.kind, PV_ICE_CARRIER_UDP);
    assert_false(selected(l, PV_ICE_CARRIER_CHANNEL));
    hear(l, COORD);
    assert_int_equal(pv_ice_paths(l->agent, paths, 8), 2); /* and not each with each */
}

PV_TEST(the_relayed_pair_is_used_before_its_check_is_answered)
{
    struct lone *l = relayed(0);
    hear(l, COORD);
    assert_true(told(l, PV_ICE_EV_SELECTED));
    assert_true(selected(l, PV_ICE_CARRIER_CHANNEL));
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_CHECKING);
    struct pv_ice_transmit tx; /* its check leaves among the first */
    bool checked = false;
    for (unsigned i = 0; i < 4 && pv_ice_poll_transmit(l->agent, &tx) == PV_OK; i++)
        checked = checked || tx.carrier.kind == PV_ICE_CARRIER_CHANNEL;
    assert_true(checked);
}

PV_TEST(of_a_peer_that_may_be_away_it_has_to_be_proven)
{
    struct lone *l = relayed(0);
    struct pv_ice_cand theirs = relay_cand(COORD, THEM);
    assert_ok(pv_ice_set_remote(l->agent, &l->theirs, &theirs, 1, l->now));
    assert_false(selected(l, PV_ICE_CARRIER_CHANNEL));
    pv_ice_set_present(l->agent, true, l->now);
    assert_true(selected(l, PV_ICE_CARRIER_CHANNEL));
    pass(l, PV_S(6), false, false); /* it is not there */
    assert_false(selected(l, PV_ICE_CARRIER_CHANNEL));
    struct pv_ice_cand own = relay_cand(COORD, US);
    pv_ice_set_local(l->agent, &own, 1, l->now);
    assert_false(selected(l, PV_ICE_CARRIER_CHANNEL));
    pv_ice_kick(l->agent, l->now);
    assert_true(selected_after(l, PV_S(1), false, true, PV_ICE_CARRIER_CHANNEL));
}

PV_TEST(a_proven_direct_pair_takes_over)
{
    struct lone *l = relayed_and_described();
    assert_true(selected_after(l, PV_MS(500), false, true, PV_ICE_CARRIER_CHANNEL));
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_COMPLETED);
    assert_true(selected_after(l, PV_S(5), true, true, PV_ICE_CARRIER_UDP));
}

PV_TEST(a_dying_direct_path_gives_way_to_the_relay_within_a_second)
{
    struct lone *l = relayed_and_described();
    assert_true(selected_after(l, PV_S(2), true, true, PV_ICE_CARRIER_UDP));
    pv_ns died = l->now;
    pv_ns heard = died;
    while (selected(l, PV_ICE_CARRIER_UDP)) {
        assert_true(l->now < died + PV_S(1));
        pv_ice_note_traffic(l->agent, l->now, heard, l->now);
        pass(l, PV_MS(100), false, true);
    }
    assert_true(selected(l, PV_ICE_CARRIER_CHANNEL));
}

/* Its NAT is closed until it has our description. */
PV_TEST(a_path_without_an_answer_since_the_peer_began_anew_is_not_held_down)
{
    struct lone *l = relayed(CONTROLLING);
    hear(l, OTHER_COORD);
    assert_true(selected_after(l, PV_S(2), true, false, PV_ICE_CARRIER_UDP));
    pv_ice_make_creds(&l->rng, &l->theirs);
    hear(l, OTHER_COORD);
    pass(l, PV_S(3), false, false);
    hear(l, COORD); /* the relay comes later */
    for (unsigned i = 0; i < 600 && selected(l, PV_ICE_CARRIER_UDP); i++) {
        pv_ice_note_traffic(l->agent, l->now, 0, l->now);
        pass(l, PV_MS(10), false, false);
    }
    assert_true(selected(l, PV_ICE_CARRIER_CHANNEL));
    pass(l, PV_S(1), false, true);
    pv_ice_try_others(l->agent, l->now);
    assert_true(selected_after(l, PV_S(1), true, true, PV_ICE_CARRIER_UDP));
}

/* Somebody wants the peer, and data follows when there are keys again: NATs may have forgotten the
 * path meanwhile, and one end gives it up a moment before both are open. */
PV_TEST(a_path_that_was_kicked_after_a_rest_is_not_held_down)
{
    struct lone *l = relayed_and_described();
    assert_true(selected_after(l, PV_S(30), true, true, PV_ICE_CARRIER_UDP));
    pass(l, PV_S(200), true, true);
    pv_ice_kick(l->agent, l->now);
    pass(l, PV_MS(150), false, true);
    pv_ns begun = l->now;
    for (int i = 0; i < 6; i++) {
        pv_ice_note_traffic(l->agent, l->now, 0, l->now);
        pass(l, PV_MS(100), false, true);
    }
    assert_true(selected(l, PV_ICE_CARRIER_CHANNEL));
    pv_ice_try_others(l->agent, l->now); /* their description, as they leave the relay */
    while (l->now < begun + PV_S(2)) {
        pv_ice_note_traffic(l->agent, l->now, l->now, l->now);
        pass(l, PV_MS(100), true, true);
    }
    assert_true(selected(l, PV_ICE_CARRIER_UDP));
}

PV_TEST(a_relay_that_does_not_answer_either_is_given_up)
{
    struct lone *l = relayed_and_described();
    pass(l, PV_S(20), false, false);
    assert_false(selected(l, PV_ICE_CARRIER_CHANNEL));
    assert_true(told(l, PV_ICE_EV_LOST));
}

PV_TEST(the_relayed_pair_stands_by_for_a_dormant_path)
{
    struct lone *l = relayed_and_described();
    assert_true(selected_after(l, PV_S(2), true, true, PV_ICE_CARRIER_UDP));
    pass(l, PV_S(620), true, true);
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_DORMANT);
    assert_true(selected(l, PV_ICE_CARRIER_CHANNEL));
    assert_true(pv_ice_next_timeout(l->agent) > l->now);
    pv_ice_kick(l->agent, l->now);
    assert_true(selected_after(l, PV_S(2), true, true, PV_ICE_CARRIER_UDP));
}

PV_TEST(a_lost_allocation_takes_its_pair_along)
{
    struct lone *l = relayed_and_described();
    assert_true(selected_after(l, PV_S(1), false, true, PV_ICE_CARRIER_CHANNEL));
    struct pv_ice_cand host = host_cand(l->local);
    pv_ice_set_local(l->agent, &host, 1, l->now);
    assert_false(selected(l, PV_ICE_CARRIER_CHANNEL));
    assert_true(told(l, PV_ICE_EV_LOST));
}

/* --- two relays ------------------------------------------------------------------------------ */

enum {
    FAR,  /* the coordinator's, */
    NEAR, /* and a stock server's */
    LATE_MAX = 64,
};

struct late {
    pv_ns at;
    struct pv_ice_carrier c;
    struct pv_addr from;
    uint8_t buf[256];
    size_t len;
};

/* Relays whose answers take their time. */
struct two {
    struct lone *l;
    pv_ns rtt[2];
    bool silent[2];
    pv_ns heard; /* traffic that goes by the selected one comes back by it */
    struct late late[LATE_MAX];
    size_t n_late;
};

static struct pv_ice_cand near_cand(uint16_t port)
{
    struct pv_ice_cand c = host_cand(pv_addr4(203, 0, 113, 50, port));
    c.type = PV_ICE_RELAY;
    c.priority = pv_ice_priority(PV_ICE_RELAY, 65534);
    c.carrier =
        (struct pv_ice_carrier){.kind = PV_ICE_CARRIER_CHANNEL, .sock = NEAR, .local = c.addr};
    return c;
}

static void near_is_there(struct two *t)
{
    const struct pv_ice_cand own[2] = {relay_cand(COORD, US), near_cand(50001)};
    pv_ice_set_local(t->l->agent, own, 2, t->l->now);
}

static void two_begin(struct two *t, bool with_near)
{
    *t = (struct two){.l = relayed(CONTROLLING), .rtt = {[FAR] = PV_MS(170), [NEAR] = PV_MS(10)}};
    const struct pv_ice_cand own = relay_cand(COORD, US);
    const struct pv_ice_cand theirs[2] = {relay_cand(COORD, THEM), near_cand(50002)};
    pv_ice_set_local(t->l->agent, &own, 1, t->l->now);
    if (with_near)
        near_is_there(t);
    pv_ice_set_present(t->l->agent, true, t->l->now);
    describe(t->l, theirs, 2);
}

/* The request that was taken last. */
static void answer_late(struct two *t)
{
    uint16_t via = t->l->tx.carrier.sock;
    struct pv_addr mapped = via == NEAR ? near_cand(50001).addr : pv_turn_virtual_addr(COORD, US);
    if (via > NEAR || t->silent[via])
        return;
    assert_true(t->n_late < LATE_MAX);
    struct late *a = &t->late[t->n_late++];
    *a = (struct late){.at = t->l->now + t->rtt[via], .c = t->l->tx.carrier, .from = t->l->tx.dst};
    a->len = write_answer(&t->l->msg, mapped, t->l->theirs.pwd, a->buf, sizeof(a->buf));
}

static uint16_t two_selected(struct two *t)
{
    struct pv_ice_path path;
    assert_ok(pv_ice_selected(t->l->agent, &path));
    return path.carrier.sock;
}

/* Traffic all the time. */
static void two_pass(struct two *t, pv_ns time)
{
    for (pv_ns end = t->l->now + time; t->l->now < end; t->l->now += PV_MS(10)) {
        if (!t->silent[two_selected(t)])
            t->heard = t->l->now;
        pv_ice_note_traffic(t->l->agent, t->l->now, t->heard, t->l->now);
        tick(t->l);
        while (next_msg(t->l) == PV_OK)
            if (t->l->msg.cls == PV_STUN_REQUEST && t->l->tx.carrier.kind == PV_ICE_CARRIER_CHANNEL)
                answer_late(t);
        for (size_t i = 0; i < t->n_late;) {
            if (t->late[i].at > t->l->now) {
                i++;
                continue;
            }
            (void)!pv_ice_handle_input(t->l->agent, &t->late[i].c, &t->late[i].from,
                                       pv_view(t->late[i].buf, t->late[i].len), t->l->now);
            t->late[i] = t->late[--t->n_late];
        }
    }
}

static uint16_t two_used_after(struct two *t, pv_ns time)
{
    two_pass(t, time);
    return two_selected(t);
}

PV_TEST(of_two_relays_the_nearer_one_is_used)
{
    static struct two t;
    two_begin(&t, true);
    assert_int_equal(two_used_after(&t, PV_MS(500)), NEAR);
    assert_int_equal(two_used_after(&t, PV_S(60)), NEAR);
}

PV_TEST(a_nearer_relay_that_comes_later_takes_over)
{
    static struct two t;
    two_begin(&t, false);
    assert_int_equal(two_used_after(&t, PV_S(5)), FAR);
    near_is_there(&t);
    two_pass(&t, PV_S(20)); /* measured often enough for a change not to be a whim */
    assert_int_equal(two_selected(&t), NEAR);
}

PV_TEST(a_relay_hardly_nearer_is_no_reason_to_change)
{
    static struct two t;
    two_begin(&t, false);
    t.rtt[NEAR] = PV_MS(140);
    two_pass(&t, PV_S(5));
    near_is_there(&t);
    assert_int_equal(two_used_after(&t, PV_S(120)), FAR);
}

PV_TEST(the_nearer_relay_falls_silent_and_comes_back)
{
    static struct two t;
    two_begin(&t, true);
    two_pass(&t, PV_S(20));
    t.silent[NEAR] = true;
    assert_int_equal(two_used_after(&t, PV_S(1)), FAR);
    assert_int_equal(two_used_after(&t, PV_S(3)), FAR);
    t.silent[NEAR] = false;
    assert_int_equal(two_used_after(&t, PV_S(40)), NEAR);
}

/* A NAT has forgotten the path while it rested, and the peer has another address now: it falls back
 * to the relay, and its checks come from there. */
PV_TEST(a_pair_that_the_peer_left_after_a_rest_has_to_be_proven_again)
{
    struct lone *l = relayed_and_described();
    uint8_t buf[256];
    struct pv_addr moved = pv_addr4(192, 0, 2, 2, 2999), them = pv_turn_virtual_addr(COORD, THEM);
    const struct pv_ice_carrier relay = {.kind = PV_ICE_CARRIER_CHANNEL};
    pass(l, PV_S(1), true, true);
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_COMPLETED);
    assert_true(selected(l, PV_ICE_CARRIER_UDP));

    l->now += PV_ICE_SURE_FOR + PV_S(1);
    l->silent = l->remote;
    struct req q = good_request(l);
    assert_ok(send_request(l, &q, &moved));
    q.nomination = l->nomination;
    size_t len = write_request(&q, buf, sizeof(buf));
    assert_ok(pv_ice_handle_input(l->agent, &relay, &them, pv_view(buf, len), l->now));
    pass(l, PV_MS(300), true, true);
    assert_true(uses(l, &moved));
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_COMPLETED);
}
