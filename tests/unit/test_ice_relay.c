/* SPDX-License-Identifier: MIT */
/* The relayed pair of an ICE agent: who is paired, when it is used, when it is left. */
#include "crypto/ct.h"
#include "ice_lone.h"
#include "proto/turn.h"

static const uint8_t COORD[32] = {1}, OTHER_COORD[32] = {2}, US[32] = {3}, THEM[32] = {4};

static struct pv_ice_cand relay_cand(const uint8_t *coord, const uint8_t *node)
{
    struct pv_addr a = pv_turn_virtual_addr(coord, node);
    return (struct pv_ice_cand){.type = PV_ICE_RELAY,
                                .addr = a,
                                .priority = pv_ice_priority(PV_ICE_RELAY, 65535),
                                .carrier = {.kind = PV_ICE_CARRIER_CHANNEL, .local = a}};
}

static struct pv_ice_cand host_cand(struct pv_addr a)
{
    return (struct pv_ice_cand){.type = PV_ICE_HOST,
                                .addr = a,
                                .priority = pv_ice_priority(PV_ICE_HOST, 65000),
                                .carrier = {.local = a}};
}

/* An agent with a host address and a relayed one, and no description yet. */
static void begin(struct lone *l, bool controlling)
{
    lone_begin(l, controlling, false, false);
    struct pv_ice_cand own[2] = {host_cand(l->local), relay_cand(COORD, US)};
    pv_ice_set_local(l->agent, own, 2, l->now);
}

static void describe(struct lone *l, const uint8_t *coord, bool with_host)
{
    struct pv_ice_cand theirs[2] = {relay_cand(coord, THEM), host_cand(l->remote)};
    pv_ice_set_present(l->agent, true, l->now);
    assert_int_equal(pv_ice_set_remote(l->agent, &l->theirs, theirs, with_host ? 2 : 1, l->now),
                     PV_OK);
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
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    while (next_msg(l, &tx, &msg) == PV_OK) {
        bool is_relayed = tx.carrier.kind == PV_ICE_CARRIER_CHANNEL;
        if (msg.cls != PV_STUN_REQUEST || (is_relayed ? !relayed : !direct))
            continue;
        uint8_t buf[256];
        struct pv_stun_writer w;
        struct pv_addr mapped = is_relayed ? pv_turn_virtual_addr(COORD, US) : l->local;
        struct pv_ice_carrier c = {.kind = tx.carrier.kind};
        size_t len;
        pv_stun_write_answer(&w, buf, sizeof(buf), PV_STUN_SUCCESS, &msg);
        pv_stun_put_xor_addr(&w, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped);
        pv_stun_put_integrity(&w, pv_view(l->theirs.pwd, strlen(l->theirs.pwd)));
        pv_stun_put_fingerprint(&w);
        assert_int_equal(pv_stun_write_end(&w, &len), PV_OK);
        assert_int_equal(pv_ice_handle_input(l->agent, &c, &tx.dst, pv_view(buf, len), l->now),
                         PV_OK);
    }
}

static void pass(struct lone *l, pv_ns time, bool direct, bool relayed)
{
    for (pv_ns end = l->now + time; l->now < end; l->now += PV_MS(10)) {
        pv_ice_handle_timeout(l->agent, l->now);
        answer_checks(l, direct, relayed);
    }
}

static void relay_is_paired_with_relay_of_the_same_coordinator_only(void **state)
{
    (void)state;
    struct lone l;
    struct pv_ice_path paths[8];
    begin(&l, true);
    describe(&l, OTHER_COORD, true);
    assert_int_equal(pv_ice_paths(l.agent, paths, 8), 1);
    assert_int_equal(paths[0].carrier.kind, PV_ICE_CARRIER_UDP);
    assert_false(selected(&l, PV_ICE_CARRIER_CHANNEL));
    describe(&l, COORD, true);
    assert_int_equal(pv_ice_paths(l.agent, paths, 8), 2); /* and not each with each */
    pv_ice_free(l.agent);
}

static void the_relayed_pair_is_used_before_its_check_is_answered(void **state)
{
    (void)state;
    struct lone l;
    begin(&l, false);
    describe(&l, COORD, true);
    assert_true(told(&l, PV_ICE_EV_SELECTED));
    assert_true(selected(&l, PV_ICE_CARRIER_CHANNEL));
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_CHECKING);
    struct pv_ice_transmit tx; /* its check leaves among the first */
    bool checked = false;
    for (unsigned i = 0; i < 4 && pv_ice_poll_transmit(l.agent, &tx) == PV_OK; i++)
        checked = checked || tx.carrier.kind == PV_ICE_CARRIER_CHANNEL;
    assert_true(checked);
    pv_ice_free(l.agent);
}

static void of_a_peer_that_may_be_away_it_has_to_be_proven(void **state)
{
    (void)state;
    struct lone l;
    begin(&l, false);
    struct pv_ice_cand theirs = relay_cand(COORD, THEM);
    assert_int_equal(pv_ice_set_remote(l.agent, &l.theirs, &theirs, 1, l.now), PV_OK);
    assert_false(selected(&l, PV_ICE_CARRIER_CHANNEL));
    pv_ice_set_present(l.agent, true, l.now);
    assert_true(selected(&l, PV_ICE_CARRIER_CHANNEL));
    pass(&l, PV_S(6), false, false); /* it is not there */
    assert_false(selected(&l, PV_ICE_CARRIER_CHANNEL));
    struct pv_ice_cand own = relay_cand(COORD, US);
    pv_ice_set_local(l.agent, &own, 1, l.now);
    assert_false(selected(&l, PV_ICE_CARRIER_CHANNEL));
    pv_ice_kick(l.agent, l.now);
    pass(&l, PV_S(1), false, true);
    assert_true(selected(&l, PV_ICE_CARRIER_CHANNEL));
    pv_ice_free(l.agent);
}

static void a_proven_direct_pair_takes_over(void **state)
{
    (void)state;
    struct lone l;
    begin(&l, true);
    describe(&l, COORD, true);
    pass(&l, PV_MS(500), false, true);
    assert_true(selected(&l, PV_ICE_CARRIER_CHANNEL));
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_COMPLETED);
    pass(&l, PV_S(5), true, true);
    assert_true(selected(&l, PV_ICE_CARRIER_UDP));
    pv_ice_free(l.agent);
}

static void a_dying_direct_path_gives_way_to_the_relay_within_a_second(void **state)
{
    (void)state;
    struct lone l;
    begin(&l, true);
    describe(&l, COORD, true);
    pass(&l, PV_S(2), true, true);
    assert_true(selected(&l, PV_ICE_CARRIER_UDP));
    pv_ns died = l.now;
    pv_ns heard = died;
    while (selected(&l, PV_ICE_CARRIER_UDP)) {
        assert_true(l.now < died + PV_S(1));
        pv_ice_note_traffic(l.agent, l.now, heard, l.now);
        pass(&l, PV_MS(100), false, true);
    }
    assert_true(selected(&l, PV_ICE_CARRIER_CHANNEL));
    pv_ice_free(l.agent);
}

static void a_relay_that_does_not_answer_either_is_given_up(void **state)
{
    (void)state;
    struct lone l;
    begin(&l, true);
    describe(&l, COORD, true);
    pass(&l, PV_S(20), false, false);
    assert_false(selected(&l, PV_ICE_CARRIER_CHANNEL));
    assert_true(told(&l, PV_ICE_EV_LOST));
    pv_ice_free(l.agent);
}

static void the_relayed_pair_stands_by_for_a_dormant_path(void **state)
{
    (void)state;
    struct lone l;
    begin(&l, true);
    describe(&l, COORD, true);
    pass(&l, PV_S(2), true, true);
    assert_true(selected(&l, PV_ICE_CARRIER_UDP));
    pass(&l, PV_S(620), true, true);
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_DORMANT);
    assert_true(selected(&l, PV_ICE_CARRIER_CHANNEL));
    assert_true(pv_ice_next_timeout(l.agent) > l.now);
    pv_ice_kick(l.agent, l.now);
    pass(&l, PV_S(2), true, true);
    assert_true(selected(&l, PV_ICE_CARRIER_UDP));
    pv_ice_free(l.agent);
}

static void a_lost_allocation_takes_its_pair_along(void **state)
{
    (void)state;
    struct lone l;
    begin(&l, true);
    describe(&l, COORD, true);
    pass(&l, PV_S(1), false, true);
    assert_true(selected(&l, PV_ICE_CARRIER_CHANNEL));
    struct pv_ice_cand host = host_cand(l.local);
    pv_ice_set_local(l.agent, &host, 1, l.now);
    assert_false(selected(&l, PV_ICE_CARRIER_CHANNEL));
    assert_true(told(&l, PV_ICE_EV_LOST));
    pv_ice_free(l.agent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relay_is_paired_with_relay_of_the_same_coordinator_only),
        cmocka_unit_test(the_relayed_pair_is_used_before_its_check_is_answered),
        cmocka_unit_test(of_a_peer_that_may_be_away_it_has_to_be_proven),
        cmocka_unit_test(a_proven_direct_pair_takes_over),
        cmocka_unit_test(a_dying_direct_path_gives_way_to_the_relay_within_a_second),
        cmocka_unit_test(a_relay_that_does_not_answer_either_is_given_up),
        cmocka_unit_test(the_relayed_pair_stands_by_for_a_dormant_path),
        cmocka_unit_test(a_lost_allocation_takes_its_pair_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
