/* SPDX-License-Identifier: MIT */
/* A TURN server that is left and still relays: sent to until the peer has left it too, and heard a
 * little longer. */
#include "tests/unit/daemon/core/relay/relayway_world.h"

/* Up by UDP with a channel to the peer; then the coordinator's successor is started, to which the
 * coordinator gave the network. Returns the server that was left. */
static struct pv_addr leave_for_another(struct fixture *f)
{
    up_by_udp(f, false);
    assert_int_equal(pv_relayway_bind(f->r, &f->peer, f->now), PV_OK);
    expect(f, PV_TURN_CHANNEL_BIND, 0);
    answer(f);
    (void)ways(f);
    const struct pv_addr left = f->cfg.turn.server;
    assert_true(pv_relayway_can_hold(f->r));
    f->cfg.turn.server = f->cfg.to.addr = pv_addr4(192, 0, 2, 2, 3478);
    f->cfg.held = true;
    assert_int_equal(pv_relayway_start(f->r, &f->cfg, f->now), PV_OK);
    return left;
}

static bool goes_through(struct fixture *f, const struct pv_addr *peer,
                         const struct pv_addr *server)
{
    struct pv_carrier c;
    return pv_relayway_carrier(f->r, peer, &c) && c.kind == PV_CARRIER_CHANNEL &&
           c.channel == pv_relayway_number(f->r, peer) && pv_addr_equal(&c.relay, server);
}

PV_TEST(the_server_that_is_left_carries_until_the_peer_has_left_it_too)
{
    struct fixture f;
    struct pv_addr left = leave_for_another(&f), late = f.peer;
    uint16_t number = pv_relayway_number(f.r, &f.peer);
    late.ip[15] ^= 1;
    assert_true(goes_through(&f, &f.peer, &left)); /* before the new one has said anything */
    expect(&f, PV_TURN_ALLOCATE, 0);
    answer(&f);
    expect(&f, PV_TURN_CHANNEL_BIND, 0);
    answer(&f);
    /* A peer that had no channel at the former server does not wait. */
    assert_int_equal(pv_relayway_bind(f.r, &late, f.now), PV_OK);
    expect(&f, PV_TURN_CHANNEL_BIND, 0);
    answer(&f);
    (void)ways(&f);
    assert_true(goes_through(&f, &late, &f.cfg.turn.server));
    assert_int_equal(pv_relayway_number(f.r, &f.peer), number);

    f.now += PV_RELAYHOLD_SEND - 1;
    pv_relayway_handle_timeout(f.r, f.now);
    assert_int_equal(ways(&f), 0);
    assert_true(goes_through(&f, &f.peer, &left));
    assert_int_equal(pv_relayway_next_timeout(f.r), f.now + 1);
    f.now++;
    pv_relayway_handle_timeout(f.r, f.now);
    assert_int_equal(ways(&f), 1); /* paths follow */
    assert_true(goes_through(&f, &f.peer, &f.cfg.turn.server));
    struct pv_fp_relay_way fp = pv_relayway_fp_way(f.r);
    assert_true(pv_addr_equal(&fp.former, &left)); /* the peer may still use it */

    f.now += PV_RELAYHOLD_RECEIVE;
    pv_relayway_handle_timeout(f.r, f.now);
    fp = pv_relayway_fp_way(f.r);
    assert_int_equal(fp.former.family, PV_AF_NONE);
    assert_int_equal(ways(&f), 0);
}

PV_TEST(a_server_that_is_left_is_not_held_for_ever)
{
    struct fixture f;
    struct pv_carrier c;
    struct pv_addr left = leave_for_another(&f);
    const pv_ns end = f.now + PV_RELAYHOLD_MOST;
    while (f.now < end) { /* the new one says nothing */
        assert_true(goes_through(&f, &f.peer, &left));
        sleep_until_due(&f);
    }
    assert_false(pv_relayway_carrier(f.r, &f.peer, &c));
}

/* A path that is suspect may be so because the former server ended after all. */
PV_TEST(a_server_that_is_left_and_silent_is_not_sent_to)
{
    struct fixture f;
    struct pv_addr left = leave_for_another(&f);
    expect(&f, PV_TURN_ALLOCATE, 0);
    answer(&f);
    expect(&f, PV_TURN_CHANNEL_BIND, 0);
    answer(&f);
    (void)ways(&f);
    pv_relayway_suspect(f.r, &f.peer, f.now);
    assert_int_equal(ways(&f), 1);
    assert_true(goes_through(&f, &f.peer, &f.cfg.turn.server));
    struct pv_fp_relay_way fp = pv_relayway_fp_way(f.r);
    assert_true(pv_addr_equal(&fp.former, &left));
}

PV_TEST(a_server_that_is_left_is_not_sent_to_without_udp)
{
    struct fixture f;
    struct pv_carrier c;
    (void)leave_for_another(&f);
    pv_relayway_set_blocked(f.r, true, f.now);
    assert_false(pv_relayway_carrier(f.r, &f.peer, &c));
    pv_relayway_stop(f.r, f.now);
    assert_false(pv_relayway_can_hold(f.r));
    struct pv_fp_relay_way fp = pv_relayway_fp_way(f.r);
    assert_int_equal(fp.former.family, PV_AF_NONE);
}

/* Up by a stream with a channel to the peer, then started elsewhere; returns the former stream. */
static uint16_t leave_by_stream(struct fixture *f, bool held)
{
    uint16_t stream = up_by_stream(f, false);
    assert_int_equal(pv_relayway_bind(f->r, &f->peer, f->now), PV_OK);
    expect(f, PV_TURN_CHANNEL_BIND, stream);
    answer(f);
    (void)ways(f);
    f->cfg.turn.server = pv_addr4(192, 0, 2, 2, 3478);
    f->cfg.to.addr = pv_addr4(192, 0, 2, 2, 443);
    f->cfg.held = held;
    assert_true(pv_relayway_can_hold(f->r));
    assert_int_equal(pv_relayway_start(f->r, &f->cfg, f->now), PV_OK);
    return stream;
}

static bool streams_by(struct fixture *f, uint16_t stream)
{
    struct pv_carrier c;
    return pv_relayway_carrier(f->r, &f->peer, &c) && c.kind == PV_CARRIER_STREAM &&
           c.sock == stream;
}

static uint16_t up_again_by_stream(struct fixture *f)
{
    uint16_t stream = opened(f);
    assert_int_not_equal(stream, 0);
    while (next_request(f))
        continue; /* by UDP, where nothing answers */
    pv_relayway_connected(f->r, stream, f->now);
    expect(f, PV_TURN_ALLOCATE, stream);
    answer(f);
    expect(f, PV_TURN_CHANNEL_BIND, stream);
    answer(f);
    (void)ways(f);
    return stream;
}

PV_TEST(a_stream_to_the_server_that_is_left_carries_beside_the_new_one)
{
    struct fixture f;
    uint16_t former = leave_by_stream(&f, true);
    assert_true(streams_by(&f, former));
    uint16_t stream = up_again_by_stream(&f);
    assert_true(streams_by(&f, former));
    struct pv_fp_relay_way fp = pv_relayway_fp_way(f.r);
    assert_int_equal(fp.stream, stream);
    assert_int_equal(fp.former_stream, former);
    f.now += PV_RELAYHOLD_SEND;
    pv_relayway_handle_timeout(f.r, f.now);
    assert_int_equal(ways(&f), 1);
    assert_true(streams_by(&f, stream));
    assert_false(closed(&f, former));
    f.now += PV_RELAYHOLD_RECEIVE;
    pv_relayway_handle_timeout(f.r, f.now);
    assert_true(closed(&f, former));
    assert_int_equal(pv_relayway_fp_way(f.r).former_stream, 0);
    assert_true(streams_by(&f, stream));
}

PV_TEST(a_stream_to_the_server_that_is_left_may_end_before)
{
    struct fixture f;
    uint16_t former = leave_by_stream(&f, true);
    uint16_t stream = up_again_by_stream(&f);
    pv_relayway_closed(f.r, former, "reset", f.now);
    assert_int_equal(ways(&f), 1);
    assert_true(streams_by(&f, stream));
    assert_int_equal(pv_relayway_fp_way(f.r).former.family, PV_AF_NONE);
}

/* Requests to the new server would go to the former one. */
PV_TEST(a_stream_to_a_server_that_is_gone_is_closed)
{
    struct fixture f;
    struct pv_carrier c;
    uint16_t former = leave_by_stream(&f, false);
    assert_true(closed(&f, former));
    assert_false(pv_relayway_carrier(f.r, &f.peer, &c));
    assert_true(streams_by(&f, up_again_by_stream(&f)));
}
