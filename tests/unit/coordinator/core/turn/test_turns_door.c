/* SPDX-License-Identifier: MIT */
/* Doors of members: who gets one and where, what passes, and what floods do. */
#include "coordinator/core/turn/turns_int.h"
#include "turn_static.h"

static const uint8_t OUTSIDE[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 9};

static struct pv_turns_config with_doors(uint32_t n)
{
    return (struct pv_turns_config){.doors = n};
}

/* --- asking ---------------------------------------------------------------------------------- */

static int ask(struct tw *w, struct tw_client *c, uint16_t method, bool want)
{
    uint8_t buf[512];
    struct pv_stun_writer sw;
    tw_begin(w, &sw, buf, sizeof(buf), method);
    if (method == PV_TURN_ALLOCATE) {
        tw_put_transport(&sw);
        pv_stun_put_u32(&sw, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
    }
    if (want)
        pv_stun_put(&sw, PV_TURN_ATTR_DOOR, pv_view(NULL, 0));
    return tw_request(w, c, &sw);
}

/* The code in the last answer, 0: it is being opened; -1: an address, -2: it says nothing. */
static int door_code(const struct tw *w)
{
    struct pv_view v;
    if (pv_stun_find(&w->msg, PV_TURN_ATTR_DOOR, &v) < 0)
        return -2;
    return v.len == 4 ? v.ptr[2] * 100 + v.ptr[3] : -1;
}

/* Refreshes with the wish and has the sockets opened with this status. */
static int wish(struct tw *w, struct tw_client *c, int status, struct pv_turns_socket *sock)
{
    assert_int_equal(ask(w, c, PV_TURN_REFRESH, true), 0);
    int code = door_code(w);
    open_sockets(w, status, sock);
    return code;
}

/* A member with an open door. */
static struct tw_client with_door(struct tw *w, uint8_t i, struct pv_turns_socket *sock)
{
    struct tw_client c = tw_member(w, i);
    assert_int_equal(wish(w, &c, PV_OK, sock), 0);
    assert_int_equal(wish(w, &c, PV_OK, sock), -1);
    return c;
}

static uint64_t stat(const struct tw *w, enum pv_relaystat what)
{
    return pv_relaystat_get(pv_turns_counters(w->turns), what);
}

PV_TEST(there_are_no_doors_unless_the_operator_allows_them)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_member(w, 1);
    struct pv_turns_socket sock;
    assert_int_equal(wish(w, &a, PV_OK, &sock), PV_TURN_E_FORBIDDEN);
    assert_int_equal(tc_sockets(w->turns), 0);
}

PV_TEST(a_door_is_told_once_it_is_open)
{
    const struct pv_turns_config cfg = with_doors(4);
    struct tw *w = tw_new_with(&cfg);
    struct tw_client a = tw_member(w, 1);
    struct pv_turns_socket sock;
    struct pv_addr shown;
    assert_int_equal(ask(w, &a, PV_TURN_REFRESH, false), 0);
    assert_int_equal(door_code(w), -2); /* not asked, not told */
    assert_int_equal(wish(w, &a, PV_OK, &sock), 0);
    assert_int_equal(wish(w, &a, PV_OK, &sock), -1);
    assert_int_equal(pv_stun_get_xor_addr(&w->msg, PV_TURN_ATTR_DOOR, &shown), PV_OK);
    assert_true(pv_addr_equal_ip(&shown, &a.local));
    assert_int_equal(shown.port, sock.addr.port);
    assert_in_range(shown.port, 49152, 65535);
    assert_int_equal(stat(w, PV_RELAYSTAT_DOORS), 1);
}

PV_TEST(a_door_has_the_same_port_after_every_restart)
{
    const struct pv_turns_config cfg = with_doors(4);
    struct pv_turns_socket first, again, other;
    struct tw *w = tw_new_with(&cfg);
    with_door(w, 1, &first);
    with_door(w, 2, &other);
    assert_int_not_equal(first.addr.port, other.addr.port);
    struct tw *restarted = tw_new_with(&cfg);
    restarted->rng_state.state += 77; /* nothing is drawn */
    struct pv_turns_config elsewhere = cfg;
    elsewhere.door_key[0] = 1; /* nobody can say what another coordinator's ports are */
    struct tw *another = tw_new_with(&elsewhere);
    with_door(another, 1, &other);
    assert_int_not_equal(other.addr.port, first.addr.port);
    with_door(restarted, 2, &other);
    struct tw_client a = with_door(restarted, 1, &again);
    assert_int_equal(again.addr.port, first.addr.port);
    /* The member restarts: its allocation moves, and so does what is behind the door. */
    a.src.port++;
    tw_online(restarted, &a, TW_NET, 1);
    assert_int_equal(ask(restarted, &a, PV_TURN_ALLOCATE, true), 0);
    assert_int_equal(door_code(restarted), -1);
    /* It is gone for long. */
    uint8_t pk[32];
    tw_node(1, pk);
    pv_turns_offline(restarted->turns, TW_NET, pk, restarted->now);
    restarted->now += PV_S(1000);
    pv_turns_handle_timeout(restarted->turns, restarted->now);
    assert_int_equal(closed_sockets(restarted), 1);
    assert_int_equal(stat(restarted, PV_RELAYSTAT_DOORS), 1);
    with_door(restarted, 1, &again);
    assert_int_equal(again.addr.port, first.addr.port);
}

PV_TEST(a_port_in_use_gives_way_to_the_next_and_in_the_end_to_an_error)
{
    const struct pv_turns_config cfg = with_doors(4);
    struct tw *w = tw_new_with(&cfg);
    struct tw_client a = tw_member(w, 1);
    struct pv_turns_socket op, next;
    assert_int_equal(ask(w, &a, PV_TURN_REFRESH, true), 0);
    assert_int_equal(pv_turns_poll_socket(w->turns, &op), PV_OK);
    pv_turns_opened(w->turns, op.sock, PV_ERR_EXISTS, w->now);
    assert_int_equal(open_sockets(w, PV_OK, &next), 1);
    assert_int_not_equal(next.addr.port, op.addr.port);
    assert_int_equal(wish(w, &a, PV_OK, &next), -1);

    struct tw_client b = tw_member(w, 2);
    assert_int_equal(wish(w, &b, PV_ERR_EXISTS, &op), 0);
    assert_int_equal(wish(w, &b, PV_OK, &op), PV_TURN_E_NO_CAPACITY); /* told once */
    assert_int_equal(wish(w, &b, PV_OK, &op), 0);                     /* and tried again */
    assert_int_equal(wish(w, &b, PV_OK, &op), -1);
}

PV_TEST(doors_are_limited_for_a_network_and_in_all)
{
    struct pv_turns_config cfg = with_doors(3);
    cfg.doors_per_net = 2;
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket sock;
    struct tw_client a = with_door(w, 1, &sock);
    with_door(w, 2, &sock);
    struct tw_client c = tw_member(w, 3);
    assert_int_equal(wish(w, &c, PV_OK, &sock), PV_TURN_E_QUOTA_REACHED);
    for (uint8_t i = 4; i < 6; i++) {
        struct tw_client d = tw_client(i, 40000);
        tw_online(w, &d, TW_NET2, i);
        assert_int_equal(tw_allocate(w, &d, 6), 0);
        assert_int_equal(wish(w, &d, PV_OK, &sock), i == 4 ? 0 : PV_TURN_E_NO_CAPACITY);
    }
    /* A member that asks no more gives it up. */
    assert_int_equal(ask(w, &a, PV_TURN_REFRESH, false), 0);
    assert_int_equal(closed_sockets(w), 1);
    assert_int_equal(wish(w, &c, PV_OK, &sock), 0);
}

PV_TEST(a_lower_limit_closes_doors_when_their_members_ask_next)
{
    const struct pv_turns_config cfg = with_doors(2);
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_policy policy = {.doors = 1};
    struct pv_turns_socket sock;
    struct tw_client a = with_door(w, 1, &sock);
    struct tw_client b = with_door(w, 2, &sock);
    pv_turns_set_policy(w->turns, &policy);
    assert_int_equal(wish(w, &a, PV_OK, &sock), PV_TURN_E_NO_CAPACITY);
    assert_int_equal(wish(w, &b, PV_OK, &sock), -1);
    assert_int_equal(stat(w, PV_RELAYSTAT_DOORS), 1);
    policy.doors = 0;
    pv_turns_set_policy(w->turns, &policy);
    assert_int_equal(wish(w, &b, PV_OK, &sock), PV_TURN_E_FORBIDDEN);
    assert_int_equal(tc_sockets(w->turns), 0);
}

PV_TEST(a_removed_member_has_no_door)
{
    const struct pv_turns_config cfg = with_doors(2);
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket sock;
    uint8_t pk[32];
    with_door(w, 1, &sock);
    tw_node(1, pk);
    pv_turns_gone(w->turns, TW_NET, pk);
    assert_int_equal(closed_sockets(w), 1);
    assert_int_equal(tc_sockets(w->turns), 0);
}

/* --- data ------------------------------------------------------------------------------------ */

/* A message of WireGuard's of that type, in its shortest form. */
static size_t wireguard(uint8_t type, uint8_t buf[static 148])
{
    static const size_t lens[] = {[1] = 148, [2] = 92, [3] = 64, [4] = 32};
    memset(buf, 0, 148);
    buf[0] = type;
    return lens[type];
}

static bool at_door(struct tw *w, const struct pv_turns_socket *door, const struct pv_addr *from,
                    uint8_t type)
{
    uint8_t buf[148];
    const struct tw_client c = {.src = *from, .sock = door->sock};
    return tw_in(w, &c, buf, wireguard(type, buf));
}

static bool out_by_channel(struct tw *w, const struct tw_client *c, uint16_t number, uint8_t type)
{
    uint8_t buf[4 + 148];
    size_t len = wireguard(type, buf + 4);
    pv_turn_channel_header(buf, number, (uint16_t)len);
    return tw_in(w, c, buf, 4 + len);
}

static bool out_by_send(struct tw *w, const struct tw_client *c, const struct pv_addr *to,
                        uint8_t type, size_t len)
{
    static const uint8_t txid[PV_STUN_TXID_LEN] = {1};
    uint8_t data[1400] = {0}, buf[1500];
    size_t n = 0;
    size_t least = wireguard(type, data);
    assert_int_equal(pv_turn_indication_build(PV_TURN_SEND, txid, to,
                                              pv_view(data, len == 0 ? least : len), buf,
                                              sizeof(buf), &n),
                     PV_OK);
    return tw_in(w, c, buf, n);
}

PV_TEST(messages_of_wireguard_pass_both_ways)
{
    const struct pv_turns_config cfg = with_doors(1);
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket door;
    const struct pv_addr phone = pv_addr4(203, 0, 113, 9, 51820);
    struct tw_client a = with_door(w, 1, &door);
    struct pv_addr got;
    struct pv_view data;
    uint16_t number = 0;
    assert_true(at_door(w, &door, &phone, 1)); /* a stranger */
    assert_true(pv_addr_equal(&w->out.dst, &a.src));
    assert_int_equal(pv_turn_indication_parse(w->out.data, PV_TURN_DATA, &got, &data), PV_OK);
    assert_true(pv_addr_equal(&got, &phone));
    assert_int_equal(data.len, 148);
    assert_true(out_by_send(w, &a, &phone, 2, 0));
    assert_true(pv_addr_equal(&w->out.dst, &phone));
    assert_int_equal(w->out.sock, door.sock);
    assert_int_equal(w->out.data.len, 92);

    assert_int_equal(tw_bind(w, &a, 0x4001, &phone), 0); /* a guest */
    assert_true(at_door(w, &door, &phone, 4));
    assert_int_equal(pv_turn_channel_parse(w->out.data, &number, &data), PV_OK);
    assert_int_equal(number, 0x4001);
    assert_int_equal(data.len, 32);
    assert_true(out_by_channel(w, &a, 0x4001, 4));
    assert_true(pv_addr_equal(&w->out.dst, &phone));
    assert_int_equal(w->out.data.len, 32);
    assert_int_equal(stat(w, PV_RELAYSTAT_DOOR_PACKETS), 4);
    assert_int_equal(stat(w, PV_RELAYSTAT_DOOR_BYTES), 148 + 92 + 32 + 32);
}

PV_TEST(nothing_but_wireguard_passes)
{
    const struct pv_turns_config cfg = with_doors(1);
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket door;
    const struct pv_addr phone = pv_addr4(203, 0, 113, 9, 51820);
    struct tw_client a = with_door(w, 1, &door);
    const struct tw_client there = {.src = phone, .sock = door.sock};
    static const uint8_t bad[][148] = {[0] = {0},          [1] = {5},          [2] = {1, 1},
                                       [3] = {1, 0, 0, 1}, [4] = {4, 0, 0, 1}, [5] = {4, 0, 1}};
    uint8_t buf[148];
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++)
        assert_false(tw_in(w, &there, bad[i], sizeof(bad[i])));
    for (uint8_t type = 1; type <= 4; type++) {
        size_t len = wireguard(type, buf);
        assert_false(tw_in(w, &there, buf, len - 1));
        assert_int_equal(tw_in(w, &there, buf, len + 0), true);
        assert_int_equal(type == 4, tw_in(w, &there, buf, len == 148 ? 147 : len + 1));
    }
    assert_false(from_peer(w, &door, &phone, "")); /* empty, text, STUN */
    assert_false(from_peer(w, &door, &phone, "hello"));
    size_t len = 0;
    struct pv_stun_writer sw;
    tw_begin(w, &sw, buf, sizeof(buf), PV_STUN_BINDING);
    assert_int_equal(pv_stun_write_end(&sw, &len), PV_OK);
    assert_false(tw_in(w, &there, buf, len));
    /* And nothing else leaves. */
    assert_int_equal(tw_bind(w, &a, 0x4001, &phone), 0);
    assert_false(tw_send(w, &a, &phone, "hello", false));
    assert_false(tw_channel_data(w, &a, 0x4001, "hello"));
    assert_true(stat(w, PV_RELAYSTAT_DROP_DOOR_FOREIGN) >= 15);
}

PV_TEST(without_a_door_real_addresses_are_no_peers)
{
    const struct pv_turns_config cfg = with_doors(1);
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket door;
    const struct pv_addr phone = pv_addr4(203, 0, 113, 9, 51820);
    const struct pv_addr phone6 = pv_addr6(OUTSIDE, 51820);
    const struct pv_addr inside = pv_addr4(10, 1, 2, 3, 51820);
    struct tw_client b = tw_member(w, 2);
    assert_int_equal(tw_bind(w, &b, 0x4001, &phone), PV_TURN_E_PEER_FAMILY_MISMATCH);
    assert_false(out_by_send(w, &b, &phone, 4, 0));
    struct tw_client a = with_door(w, 1, &door);
    assert_int_equal(tw_bind(w, &a, 0x4001, &phone), 0);
    assert_int_equal(tw_bind(w, &a, 0x4002, &phone6), PV_TURN_E_FORBIDDEN); /* another family */
    assert_int_not_equal(tw_bind(w, &a, 0x4003, &inside), 0);               /* a private network */
    assert_false(at_door(w, &door, &inside, 1));
    assert_false(out_by_send(w, &a, &inside, 4, 0));
    /* It gives the door up: what is bound leads nowhere. */
    assert_int_equal(ask(w, &a, PV_TURN_REFRESH, false), 0);
    assert_false(out_by_channel(w, &a, 0x4001, 4));
    assert_int_equal(closed_sockets(w), 1);
}

PV_TEST(a_door_reopened_knows_its_guests_when_they_are_bound_again)
{
    const struct pv_turns_config cfg = with_doors(1);
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket door;
    const struct pv_addr phone = pv_addr4(203, 0, 113, 9, 51820);
    struct tw_client a = with_door(w, 1, &door);
    assert_int_equal(tw_bind(w, &a, 0x4001, &phone), 0);
    assert_int_equal(ask(w, &a, PV_TURN_REFRESH, false), 0);
    assert_int_equal(closed_sockets(w), 1);
    assert_int_equal(wish(w, &a, PV_OK, &door), 0);
    assert_int_equal(tw_bind(w, &a, 0x4001, &phone), 0);
    assert_true(at_door(w, &door, &phone, 4));
    assert_int_equal(w->out.data.ptr[0], 0x40); /* by the channel */
    w->now += PV_S(601);
    assert_int_equal(ask(w, &a, PV_TURN_REFRESH, true), 0);
    assert_true(at_door(w, &door, &phone, 4));
    assert_int_equal(w->out.data.ptr[0], 0); /* a stranger again */
}

/* Its process knows no channel of before, and would drop what comes by one. */
PV_TEST(a_member_that_restarted_hears_its_guests_until_it_binds_them_again)
{
    const struct pv_turns_config cfg = with_doors(1);
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket door;
    const struct pv_addr phone = pv_addr4(203, 0, 113, 9, 51820);
    struct tw_client a = with_door(w, 1, &door);
    assert_int_equal(tw_bind(w, &a, 0x4001, &phone), 0);
    assert_true(at_door(w, &door, &phone, 4));
    assert_int_equal(w->out.data.ptr[0], 0x40); /* by the channel */
    assert_int_equal(ask(w, &a, PV_TURN_ALLOCATE, true), 0);
    assert_true(at_door(w, &door, &phone, 1));
    assert_int_equal(w->out.data.ptr[0], 0); /* an indication */
    assert_int_equal(tw_bind(w, &a, 0x4007, &phone), 0);
    assert_true(at_door(w, &door, &phone, 4));
    assert_int_equal(w->out.data.ptr[0], 0x40);
}

/* --- floods ---------------------------------------------------------------------------------- */

PV_TEST(a_source_that_floods_leaves_room_for_others_and_guests)
{
    const struct pv_turns_config cfg = with_doors(1);
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket door;
    const struct pv_addr phone = pv_addr4(203, 0, 113, 9, 51820);
    const struct pv_addr guest = pv_addr4(198, 18, 7, 9, 51820);
    struct tw_client a = with_door(w, 1, &door);
    unsigned passed = 0;
    assert_int_equal(tw_bind(w, &a, 0x4001, &guest), 0);
    for (unsigned i = 0; i < 10000; i++) {
        const struct pv_addr evil = pv_addr4(203, 0, 114, (uint8_t)i, (uint16_t)(i + 1));
        passed += at_door(w, &door, &evil, 4) ? 1 : 0;
    }
    assert_int_equal(passed, PV_TURNS_DOOR_SOURCE_BURST);
    assert_true(at_door(w, &door, &phone, 1));
    /* Many sources: strangers wait, the guest does not. */
    for (unsigned i = 0; i < 10000; i++) {
        const struct pv_addr evil = pv_addr4(11, (uint8_t)(i >> 8), (uint8_t)i, 1, 9);
        passed += at_door(w, &door, &evil, 4) ? 1 : 0;
        assert_true(at_door(w, &door, &guest, 4));
    }
    assert_int_equal(passed + 1, PV_TURNS_DOOR_BURST);
    assert_false(at_door(w, &door, &phone, 1));
    w->now += PV_S(1);
    assert_true(at_door(w, &door, &phone, 1));
}

PV_TEST(a_flood_at_one_door_leaves_the_others_their_share)
{
    struct pv_turns_config cfg = with_doors(2);
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket one, two;
    const struct pv_addr phone = pv_addr4(203, 0, 113, 9, 51820);
    with_door(w, 1, &one);
    struct tw_client b = with_door(w, 2, &two);
    for (unsigned s = 0; s < 60; s++) {
        for (unsigned i = 0; i < 1000; i++) {
            const struct pv_addr evil = pv_addr4((uint8_t)(11 + s), (uint8_t)i, (uint8_t)s, 1, 9);
            (void)!at_door(w, &one, &evil, 1);
        }
        assert_true(at_door(w, &two, &phone, 1));
        assert_true(pv_addr_equal(&w->out.dst, &b.src));
        w->now += PV_S(1);
    }
}

PV_TEST(a_door_is_no_way_to_send_to_strangers)
{
    const struct pv_turns_config cfg = with_doors(1);
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket door;
    const struct pv_addr victim = pv_addr4(203, 0, 113, 9, 51820);
    struct tw_client a = with_door(w, 1, &door);
    size_t bytes = 0;
    /* A minute of sending, with a channel and without: what has not sent gets a trickle. */
    assert_int_equal(tw_bind(w, &a, 0x4001, &victim), 0);
    for (unsigned i = 0; i < 60000; i++) {
        w->now += PV_MS(1);
        bytes += out_by_send(w, &a, &victim, 4, 1296) ? 1296 : 0;
        bytes += out_by_channel(w, &a, 0x4001, 1) ? 148 : 0;
    }
    assert_in_range(bytes, 1, PV_TURNS_DOOR_KNOCK_BURST + 61 * PV_TURNS_DOOR_KNOCK_RATE);
    /* One that has spoken gets all, until it is silent for as long as a permission lasts. */
    assert_true(at_door(w, &door, &victim, 4));
    for (unsigned i = 0; i < 1000; i++)
        assert_true(out_by_channel(w, &a, 0x4001, 1));
    w->now += PV_TURN_PERMISSION_TIME;
    bytes = 0;
    for (unsigned i = 0; i < 1000; i++)
        bytes += out_by_channel(w, &a, 0x4001, 1) ? 148 : 0;
    assert_in_range(bytes, 1, PV_TURNS_DOOR_KNOCK_BURST);
}

PV_TEST(bandwidth_holds_at_doors_too)
{
    struct pv_turns_config cfg = with_doors(1);
    cfg.limits.bandwidth = 100000;
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket door;
    const struct pv_addr phone = pv_addr4(203, 0, 113, 9, 51820);
    struct tw_client a = with_door(w, 1, &door);
    unsigned in = 0, out = 0;
    assert_int_equal(tw_bind(w, &a, 0x4001, &phone), 0);
    for (unsigned i = 0; i < 10000; i++) {
        in += at_door(w, &door, &phone, 1) ? 1 : 0;
        out += out_by_channel(w, &a, 0x4001, 1) ? 1 : 0;
    }
    assert_int_equal(in, 100000 / 148);
    assert_int_equal(out, 100000 / 148);
    assert_true(stat(w, PV_RELAYSTAT_DROP_BANDWIDTH) > 0);
}

/* Numbers of sockets come round: what belonged to a door that is closed must not be found at the
 * next one with its number. */
PV_TEST(a_channel_ends_at_the_door_that_it_was_bound_for)
{
    struct pv_turns_config cfg = with_doors(3);
    cfg.limits.relays = 12;
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket door, door_b, other;
    const struct pv_addr phone = pv_addr4(203, 0, 113, 9, 51820);
    struct tw_client a = with_door(w, 1, &door);
    assert_int_equal(tw_bind(w, &a, 0x4007, &phone), 0);
    assert_int_equal(ask(w, &a, PV_TURN_REFRESH, false), 0);
    assert_int_equal(closed_sockets(w), 1);
    for (int i = 0; i < 11; i++) {
        w->now += PV_S(1);
        assert_int_equal(wish(w, &a, PV_OK, &other), 0);
        assert_int_equal(ask(w, &a, PV_TURN_REFRESH, false), 0);
        assert_int_equal(closed_sockets(w), 1);
    }
    (void)with_door(w, 2, &door_b);
    assert_int_equal(door_b.sock, door.sock);
    unsigned passed = 0;
    for (int i = 0; i < 1000; i++)
        passed += at_door(w, &door_b, &phone, 1);
    assert_in_range(passed, 1, PV_TURNS_DOOR_SOURCE_BURST);
}

/* One member has a share of the table, and takes nothing from others however often it binds. */
PV_TEST(channels_of_one_member_leave_room_for_guests_of_others)
{
    struct pv_turns_config cfg = with_doors(4);
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket door, again, door_b;
    struct tw_client a = with_door(w, 1, &door), b = with_door(w, 2, &door_b);
    const struct pv_addr phone = pv_addr4(203, 0, 113, 9, 51820);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 2 * PV_TURNS_DOOR_PEERS; i++) {
            const struct pv_addr p = pv_addr4(11, 1, (uint8_t)(i >> 8), (uint8_t)i, 9);
            assert_int_equal(tw_bind(w, &a, (uint16_t)(0x4000 + i), &p), 0);
        }
        assert_int_equal(w->turns->door_peers.n, PV_TURNS_DOOR_PEERS);
        assert_int_equal(ask(w, &a, PV_TURN_REFRESH, false), 0);
        assert_int_equal(w->turns->door_peers.n, 0);
        assert_int_equal(wish(w, &a, PV_OK, &again), 0);
    }
    assert_int_equal(tw_bind(w, &b, 0x4001, &phone), 0);
    unsigned passed = 0;
    for (int i = 0; i < 1000; i++)
        passed += at_door(w, &door_b, &phone, 4);
    assert_int_equal(passed, 1000);
}

/* Each door has its own share: no number of doors that are flooded takes another's. */
PV_TEST(floods_at_many_doors_leave_one_that_is_not_flooded_its_share)
{
    struct pv_turns_config cfg = with_doors(40);
    cfg.doors_per_net = 40;
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket evil[32], other;
    const struct pv_addr phone = pv_addr4(203, 0, 113, 9, 51820);
    for (uint8_t i = 0; i < 32; i++)
        (void)with_door(w, (uint8_t)(i + 1), &evil[i]);
    (void)with_door(w, 100, &other);
    for (unsigned i = 0; i < 32 * 1000; i++) {
        const struct pv_addr e = pv_addr4(11, (uint8_t)(i >> 8), (uint8_t)i, 1, 9);
        (void)!at_door(w, &evil[i % 32], &e, 4);
    }
    assert_true(at_door(w, &other, &phone, 1));
}

/* Strangers pay by length, or a few long messages would fill a small bandwidth. */
PV_TEST(strangers_at_a_door_leave_its_member_the_bandwidth)
{
    struct pv_turns_config cfg = with_doors(1);
    cfg.limits.bandwidth = 65536;
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket door;
    (void)with_door(w, 1, &door);
    uint8_t big[1480] = {4};
    size_t passed = 0;
    for (unsigned ms = 0; ms < 20000; ms++) {
        struct tw_client s = {.sock = door.sock,
                              .src = pv_addr4(11, (uint8_t)(ms >> 8), (uint8_t)ms, 1, 9)};
        w->now += PV_MS(1);
        passed += tw_in(w, &s, big, sizeof(big)) ? sizeof(big) : 0;
    }
    assert_in_range(passed, 1, 20 * 65536 / 4);
}

PV_TEST(doors_leave_static_users_most_of_the_sockets)
{
    struct pv_turns_config cfg = with_doors(8);
    cfg.doors_per_net = 8;
    cfg.limits.relays = 8;
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket sock;
    for (uint8_t i = 1; i <= 2; i++)
        (void)with_door(w, i, &sock);
    struct tw_client c = tw_member(w, 3);
    assert_int_equal(wish(w, &c, PV_OK, &sock), PV_TURN_E_NO_CAPACITY);
}

PV_TEST(a_member_that_opens_door_after_door_waits)
{
    const struct pv_turns_config cfg = with_doors(4);
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket sock;
    struct tw_client a = tw_member(w, 1);
    for (unsigned i = 0; i < PV_TURNS_DOOR_OPENS; i++) {
        assert_int_equal(wish(w, &a, PV_OK, &sock), 0);
        assert_int_equal(ask(w, &a, PV_TURN_REFRESH, false), 0);
        (void)closed_sockets(w);
    }
    assert_int_equal(wish(w, &a, PV_OK, &sock), PV_TURN_E_NO_CAPACITY);
    w->now += PV_S(1);
    assert_int_equal(wish(w, &a, PV_OK, &sock), 0);
}
