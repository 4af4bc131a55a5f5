/* SPDX-License-Identifier: MIT */
/* The TURN server for stock clients: relay sockets, permissions, quotas. */
#include "turn_static.h"

/* --- allocating ---------------------------------------------------------------------------- */

PV_TEST(a_stock_client_allocates_and_relays)
{
    struct pv_turns_config cfg = config();
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1);
    struct pv_turns_socket sock = {.sock = 0};
    struct pv_addr relayed;
    assert_int_equal(allocate(w, &c, &sock), 0);
    assert_true(sock.addr.port >= 49152);
    assert_int_equal(pv_stun_get_xor_addr(&w->msg, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &relayed),
                     PV_OK);
    assert_true(pv_addr_equal(&relayed, &sock.addr));
    assert_true(pv_addr_equal_ip(&relayed, &c.local));

    assert_false(tw_send(w, &c, &PEER, "no permission", false));
    assert_false(from_peer(w, &sock, &PEER, "no permission"));
    assert_int_equal(tw_permit(w, &c, &PEER, 1), 0);
    assert_true(tw_send(w, &c, &PEER, "out", false));
    assert_int_equal(w->out.sock, sock.sock);
    assert_true(pv_addr_equal(&w->out.dst, &PEER));
    assert_true(pv_view_equal(w->out.data, tw_text("out")));
    assert_false(w->out.df);
    assert_true(tw_send(w, &c, &PEER, "out", true));
    assert_true(w->out.df);
    assert_true(from_peer(w, &sock, &PEER, "in"));
    assert_true(pv_addr_equal(&w->out.dst, &c.src));
    assert_int_equal(w->out.sock, c.sock);
    tw_assert_data(w, &PEER, "in");
    struct pv_addr other_port = PEER;
    other_port.port++;
    assert_true(from_peer(w, &sock, &other_port, "in")); /* permissions know no ports */
    struct pv_addr other = pv_addr4(203, 0, 113, 10, 7000);
    assert_false(from_peer(w, &sock, &other, "in"));

    assert_int_equal(tw_bind(w, &c, 0x7278, &PEER), 0); /* RFC 5766 clients go that high */
    assert_true(from_peer(w, &sock, &PEER, "in"));
    assert_int_equal(pv_load_be16(w->out.data.ptr), 0x7278);
    const struct pv_relaystats *stats = pv_turns_counters(w->turns);
    uint64_t of_alice[PV_RELAYSTAT_USER_N] = {0}, of_others = 0;
    for (size_t u = 0; u < PV_RELAYSTAT_USERS; u++) {
        for (size_t i = 0; i < PV_RELAYSTAT_USER_N; i++) {
            uint64_t n = pv_relaystat_get_user(stats, u, (enum pv_relaystat_user)i);
            of_alice[i] += u == 0 ? n : 0;
            of_others += u == 0 ? 0 : n;
        }
    }
    assert_int_equal(of_others, 0);
    assert_int_equal(of_alice[PV_RELAYSTAT_USER_ALLOCATIONS], 1);
    assert_int_equal(of_alice[PV_RELAYSTAT_USER_PACKETS],
                     pv_relaystat_get(stats, PV_RELAYSTAT_STATIC_PACKETS));
    assert_int_equal(of_alice[PV_RELAYSTAT_USER_BYTES],
                     pv_relaystat_get(stats, PV_RELAYSTAT_STATIC_BYTES));
}

PV_TEST(channels_carry_data_both_ways)
{
    struct pv_turns_config cfg = config();
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1);
    struct pv_turns_socket sock = {.sock = 0};
    assert_int_equal(allocate(w, &c, &sock), 0);
    assert_int_equal(tw_bind(w, &c, 0x4001, &PEER), 0); /* brings a permission */
    assert_true(tw_channel_data(w, &c, 0x4001, "out"));
    assert_int_equal(w->out.sock, sock.sock);
    assert_true(pv_view_equal(w->out.data, tw_text("out")));
    assert_true(from_peer(w, &sock, &PEER, "in"));
    tw_assert_channel(w, 0x4001, "in");
    w->now += PV_S(300);
    assert_false(tw_channel_data(w, &c, 0x4001, "out")); /* the permission ended */
    assert_false(from_peer(w, &sock, &PEER, "in"));
    assert_int_equal(tw_permit(w, &c, &PEER, 1), 0);
    assert_true(tw_channel_data(w, &c, 0x4001, "out"));
    w->now += PV_S(299);
    assert_true(tw_channel_data(w, &c, 0x4001, "out"));
}

PV_TEST(a_repeated_allocate_gets_the_same_answer)
{
    struct pv_turns_config cfg = config();
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1);
    struct pv_turns_socket sock = {.sock = 0};
    struct pv_stun_writer sw;
    struct pv_addr first, again;
    uint8_t buf[512];
    begin_allocate(w, &sw, buf, sizeof(buf));
    assert_int_equal(tw_request(w, &c, &sw), -1);
    size_t len = PV_STUN_HEADER_LEN + (size_t)pv_load_be16(buf + 2);
    assert_false(tw_in(w, &c, buf, len)); /* while the socket is being opened */
    assert_int_equal(open_sockets(w, PV_OK, &sock), 1);
    assert_int_equal(tw_code(w, true), 0);
    assert_int_equal(pv_stun_get_xor_addr(&w->msg, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &first), 0);
    assert_int_equal(tw_code(w, tw_in(w, &c, buf, len)), 0);
    assert_int_equal(pv_stun_get_xor_addr(&w->msg, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &again), 0);
    assert_true(pv_addr_equal(&first, &again));
    assert_int_equal(allocate(w, &c, &sock), PV_TURN_E_ALLOCATION_MISMATCH); /* a new one */
    assert_int_equal(tc_sockets(w->turns), 1);
}

PV_TEST(sha256_and_userhash_are_used_where_the_client_offers_them)
{
    struct pv_turns_config cfg = config();
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1);
    struct pv_turns_socket sock = {.sock = 0};
    struct pv_turnauth_key key;
    c.sha256 = true;
    c.userhash = true;
    assert_int_equal(allocate(w, &c, &sock), 0);
    assert_int_equal(pv_turnauth_key("alice", "secret", &key), PV_OK);
    assert_int_equal(pv_stun_check_integrity_sha256(&w->msg, pv_view(key.sha256, 32)), PV_OK);
    assert_false(pv_stun_has(&w->msg, PV_STUN_ATTR_MESSAGE_INTEGRITY));
    assert_int_equal(tw_refresh(w, &c, 600), 0);
    assert_int_equal(pv_stun_check_integrity_sha256(&w->msg, pv_view(key.sha256, 32)), PV_OK);
    c.sha256 = false; /* the same user, the old way */
    assert_int_equal(tw_refresh(w, &c, 600), 0);
    assert_int_equal(pv_stun_check_integrity(&w->msg, pv_view(key.md5, 16)), PV_OK);
}

PV_TEST(half_an_algorithm_is_a_bad_request)
{
    static const uint8_t md5_only[4] = {0, 1, 0, 0};
    static const uint8_t offered[8] = {0, 2, 0, 0, 0, 1, 0, 0};
    static const uint8_t third[4] = {0, 3, 0, 0};
    struct pv_turns_config cfg = config();
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1);
    struct pv_stun_writer sw;
    uint8_t buf[512];
    const struct {
        struct pv_view list, one;
    } rows[] = {
        {pv_view(offered, 8), pv_view(NULL, 0)},
        {pv_view(NULL, 0), pv_view(offered, 4)},
        {pv_view(md5_only, 4), pv_view(md5_only, 4)}, /* not what was offered: bid down */
        {pv_view(offered, 8), pv_view(third, 4)},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        begin_allocate(w, &sw, buf, sizeof(buf));
        if (rows[i].list.len > 0)
            pv_stun_put(&sw, PV_STUN_ATTR_PASSWORD_ALGORITHMS, rows[i].list);
        if (rows[i].one.len > 0)
            pv_stun_put(&sw, PV_STUN_ATTR_PASSWORD_ALGORITHM, rows[i].one);
        assert_int_equal(tw_request(w, &c, &sw), PV_STUN_E_BAD_REQUEST);
        assert_true(w->out.data.len <= PV_TURNS_UNAUTH_MAX);
    }
}

PV_TEST(requests_that_the_rfc_refuses_are_refused)
{
    static const struct {
        uint16_t type[2];
        uint8_t len[2];
        uint8_t value[2][8];
        int code;
        const char *why;
    } rows[] = {
        {{0}, {0}, {{0}}, PV_STUN_E_BAD_REQUEST, "no REQUESTED-TRANSPORT"},
        {{PV_TURN_ATTR_REQUESTED_TRANSPORT}, {4}, {{6}}, PV_TURN_E_TRANSPORT_NOT_SUPPORTED, "TCP"},
        {{PV_TURN_ATTR_REQUESTED_TRANSPORT}, {3}, {{17}}, PV_STUN_E_BAD_REQUEST, "short"},
        {{PV_TURN_ATTR_REQUESTED_TRANSPORT, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY},
         {4, 4},
         {{17}, {3}},
         PV_TURN_E_FAMILY_NOT_SUPPORTED,
         "family 3"},
        {{PV_TURN_ATTR_REQUESTED_TRANSPORT, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY},
         {4, 4},
         {{17}, {2}},
         PV_TURN_E_FAMILY_NOT_SUPPORTED,
         "no IPv6 here"},
        {{PV_TURN_ATTR_REQUESTED_TRANSPORT, PV_TURN_ATTR_ADDITIONAL_ADDRESS_FAMILY},
         {4, 4},
         {{17}, {1}},
         PV_STUN_E_BAD_REQUEST,
         "additional IPv4"},
        {{PV_TURN_ATTR_REQUESTED_TRANSPORT, PV_TURN_ATTR_RESERVATION_TOKEN},
         {4, 8},
         {{17}, {1}},
         PV_TURN_E_NO_CAPACITY,
         "unknown token"},
        {{PV_TURN_ATTR_REQUESTED_TRANSPORT, PV_TURN_ATTR_RESERVATION_TOKEN},
         {4, 4},
         {{17}, {1}},
         PV_STUN_E_BAD_REQUEST,
         "short token"},
        {{PV_TURN_ATTR_REQUESTED_TRANSPORT, PV_TURN_ATTR_EVEN_PORT},
         {4, 2},
         {{17}, {0}},
         PV_STUN_E_BAD_REQUEST,
         "long EVEN-PORT"},
        {{PV_TURN_ATTR_REQUESTED_TRANSPORT, 0x7abc},
         {4, 4},
         {{17}, {0}},
         PV_STUN_E_UNKNOWN_ATTRIBUTE,
         "unknown attribute"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_turns_config cfg = config();
        struct tw *w = tw_new_with(&cfg);
        struct tw_client c = alice(1);
        struct pv_stun_writer sw;
        uint8_t buf[512];
        tw_begin(w, &sw, buf, sizeof(buf), PV_TURN_ALLOCATE);
        for (size_t k = 0; k < 2 && rows[i].type[k] != 0; k++)
            pv_stun_put(&sw, rows[i].type[k], pv_view(rows[i].value[k], rows[i].len[k]));
        int code = tw_request(w, &c, &sw);
        if (code != rows[i].code)
            fail_msg("%s: %d", rows[i].why, code);
        assert_int_equal(tc_allocations(w->turns), 0);
        test_end(w);
    }
}

/* Which of several things is wrong a client is told: RFC 8656 s7.2 has an order. */
PV_TEST(of_several_errors_the_first_of_the_rfc_is_told)
{
    struct pv_turns_config cfg = config();
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1), free_one = alice(2);
    struct pv_turns_socket sock;
    struct pv_stun_writer sw;
    uint8_t buf[512];
    assert_int_equal(allocate(w, &c, &sock), 0);
    tw_begin(w, &sw, buf, sizeof(buf), PV_TURN_ALLOCATE); /* the 5-tuple before the transport */
    assert_int_equal(tw_request(w, &c, &sw), PV_TURN_E_ALLOCATION_MISMATCH);
    begin_allocate(w, &sw, buf, sizeof(buf)); /* two wishes before what one of them is */
    pv_stun_put_u32(&sw, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY, 3u << 24);
    pv_stun_put_u32(&sw, PV_TURN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
    assert_int_equal(tw_request(w, &free_one, &sw), PV_STUN_E_BAD_REQUEST);
}

PV_TEST(a_refused_channel_brings_no_permission)
{
    struct pv_turns_config cfg = config();
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1);
    struct pv_turns_socket sock;
    struct pv_addr other = PEER;
    other.ip[3]++;
    assert_int_equal(allocate(w, &c, &sock), 0);
    assert_int_equal(tw_bind(w, &c, 0x4001, &PEER), 0);
    assert_int_equal(tw_bind(w, &c, 0x4001, &other), PV_STUN_E_BAD_REQUEST);
    assert_false(tw_send(w, &c, &other, "x", false));
    assert_int_equal(tw_bind(w, &c, 0x4002, &other), 0);
    assert_true(tw_send(w, &c, &other, "x", false));
}

/* --- ports --------------------------------------------------------------------------------- */

PV_TEST(a_port_in_use_is_replaced_by_another)
{
    struct pv_turns_config cfg = config();
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1);
    struct pv_turns_socket sock = {.sock = 0};
    struct pv_stun_writer sw;
    uint8_t buf[512];
    begin_allocate(w, &sw, buf, sizeof(buf));
    assert_int_equal(finish_allocate(w, &c, &sw, PV_ERR_EXISTS, &sock), PV_TURN_E_NO_CAPACITY);
    assert_int_equal(tc_allocations(w->turns), 0);
    begin_allocate(w, &sw, buf, sizeof(buf));
    assert_int_equal(tw_request(w, &c, &sw), -1);
    uint16_t tried = 0;
    for (int i = 0; i < PV_TURNS_PORT_TRIES - 1; i++) {
        assert_int_equal(pv_turns_poll_socket(w->turns, &sock), PV_OK);
        assert_true(sock.open && sock.addr.port != tried);
        tried = sock.addr.port;
        pv_turns_opened(w->turns, sock.sock, PV_ERR_EXISTS, w->now);
    }
    assert_int_equal(open_sockets(w, PV_OK, &sock), 1);
    assert_int_equal(tw_code(w, true), 0);
}

PV_TEST(out_of_descriptors_is_508)
{
    struct pv_turns_config cfg = config();
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1);
    struct pv_turns_socket sock = {.sock = 0};
    struct pv_stun_writer sw;
    uint8_t buf[512];
    begin_allocate(w, &sw, buf, sizeof(buf));
    assert_int_equal(finish_allocate(w, &c, &sw, -24, &sock), PV_TURN_E_NO_CAPACITY);
    (void)closed_sockets(w);
    assert_int_equal(tc_sockets(w->turns), 0);
    assert_int_equal(tc_allocations(w->turns), 0);
}

PV_TEST(an_even_port_and_its_reserved_neighbour)
{
    static const uint8_t even = 0x00;
    static const uint8_t reserve = 0x80;
    struct pv_turns_config cfg = config();
    cfg.port_lo = 50001;
    cfg.port_hi = 50010;
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1);
    struct tw_client d = alice(2);
    struct pv_turns_socket sock = {.sock = 0}, odd = {.sock = 0};
    struct pv_stun_writer sw;
    struct pv_view token;
    struct pv_addr relayed;
    uint8_t buf[512];
    uint8_t kept[8];
    begin_allocate(w, &sw, buf, sizeof(buf));
    pv_stun_put(&sw, PV_TURN_ATTR_EVEN_PORT, pv_view(&even, 1));
    assert_int_equal(finish_allocate(w, &c, &sw, PV_OK, &sock), 0);
    assert_int_equal(sock.addr.port % 2, 0);
    assert_false(pv_stun_has(&w->msg, PV_TURN_ATTR_RESERVATION_TOKEN));
    assert_int_equal(tw_refresh(w, &c, 0), 0);
    assert_int_equal(closed_sockets(w), 1);

    begin_allocate(w, &sw, buf, sizeof(buf));
    pv_stun_put(&sw, PV_TURN_ATTR_EVEN_PORT, pv_view(&reserve, 1));
    assert_int_equal(finish_allocate(w, &c, &sw, PV_OK, &odd), 0);
    assert_int_equal(odd.addr.port % 2, 1);
    assert_true(odd.addr.port <= 50010);
    assert_int_equal(pv_stun_find(&w->msg, PV_TURN_ATTR_RESERVATION_TOKEN, &token), PV_OK);
    assert_int_equal(token.len, 8);
    memcpy(kept, token.ptr, 8);
    assert_int_equal(pv_stun_get_xor_addr(&w->msg, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &relayed), 0);
    assert_int_equal(relayed.port + 1, odd.addr.port);

    begin_allocate(w, &sw, buf, sizeof(buf));
    pv_stun_put(&sw, PV_TURN_ATTR_RESERVATION_TOKEN, pv_view(kept, 8));
    assert_int_equal(tw_request(w, &d, &sw), 0);
    assert_int_equal(pv_stun_get_xor_addr(&w->msg, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &relayed), 0);
    assert_int_equal(relayed.port, odd.addr.port);
    assert_int_equal(tw_permit(w, &d, &PEER, 1), 0);
    assert_true(from_peer(w, &odd, &PEER, "to the odd one"));
    assert_true(pv_addr_equal(&w->out.dst, &d.src));
    struct tw_client e = alice(3);
    begin_allocate(w, &sw, buf, sizeof(buf));
    pv_stun_put(&sw, PV_TURN_ATTR_RESERVATION_TOKEN, pv_view(kept, 8));
    assert_int_equal(tw_request(w, &e, &sw), PV_TURN_E_NO_CAPACITY); /* once */
}

PV_TEST(a_reservation_ends_after_thirty_seconds)
{
    static const uint8_t reserve = 0x80;
    struct pv_turns_config cfg = config();
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1);
    struct pv_turns_socket sock = {.sock = 0};
    struct pv_stun_writer sw;
    uint8_t buf[512];
    begin_allocate(w, &sw, buf, sizeof(buf));
    pv_stun_put(&sw, PV_TURN_ATTR_EVEN_PORT, pv_view(&reserve, 1));
    assert_int_equal(finish_allocate(w, &c, &sw, PV_OK, &sock), 0);
    w->now += PV_S(PV_TURNS_RESERVE_S) - 1;
    pv_turns_handle_timeout(w->turns, w->now);
    assert_int_equal(closed_sockets(w), 0);
    w->now += 1;
    pv_turns_handle_timeout(w->turns, w->now);
    assert_int_equal(closed_sockets(w), 1);
    assert_int_equal(tc_sockets(w->turns), 1);
    w->now += PV_S(600);
    pv_turns_handle_timeout(w->turns, w->now); /* and the allocation's own lifetime */
    assert_int_equal(closed_sockets(w), 1);
    assert_int_equal(tc_sockets(w->turns), 0);
    assert_int_equal(tc_allocations(w->turns), 0);
}

PV_TEST(two_families_in_one_allocation)
{
    static const uint8_t own6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    static const uint8_t far6[16] = {0x20, 0x01, 0x0d, 0xb8, 9, [15] = 1};
    struct pv_turns_config cfg = config();
    cfg.relay_other[1] = pv_addr6(own6, 0);
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1);
    struct pv_turns_socket six = {.sock = 0};
    struct pv_stun_writer sw;
    uint8_t buf[512];
    struct pv_addr peer6 = pv_addr6(far6, 9);
    begin_allocate(w, &sw, buf, sizeof(buf));
    pv_stun_put_u32(&sw, PV_TURN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
    assert_int_equal(tw_request(w, &c, &sw), -1);
    assert_int_equal(open_sockets(w, PV_OK, &six), 2);
    assert_int_equal(tw_code(w, true), 0);
    unsigned n = 0;
    for (size_t i = 0; i < w->msg.n_attrs; i++)
        n += w->msg.attrs[i].type == PV_TURN_ATTR_XOR_RELAYED_ADDRESS ? 1 : 0;
    assert_int_equal(n, 2);
    const struct pv_addr both[] = {PEER, peer6};
    assert_int_equal(tw_permit(w, &c, both, 2), 0);
    assert_true(tw_send(w, &c, &peer6, "six", false));
    assert_int_equal(w->out.sock, six.sock);
    assert_true(tw_send(w, &c, &PEER, "four", false));
    assert_int_not_equal(w->out.sock, six.sock);
    /* Half of it goes. */
    tw_begin(w, &sw, buf, sizeof(buf), PV_TURN_REFRESH);
    pv_stun_put_u32(&sw, PV_TURN_ATTR_LIFETIME, 0);
    pv_stun_put_u32(&sw, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
    assert_int_equal(tw_request(w, &c, &sw), 0);
    assert_int_equal(closed_sockets(w), 1);
    assert_false(tw_send(w, &c, &peer6, "six", false));
    assert_true(tw_send(w, &c, &PEER, "four", false));
    assert_int_equal(tw_permit(w, &c, &peer6, 1), PV_TURN_E_PEER_FAMILY_MISMATCH);
    tw_begin(w, &sw, buf, sizeof(buf), PV_TURN_REFRESH);
    pv_stun_put_u32(&sw, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
    assert_int_equal(tw_request(w, &c, &sw), PV_TURN_E_PEER_FAMILY_MISMATCH);
}

PV_TEST(half_of_two_families_is_said_to_be_missing)
{
    static const uint16_t numbers[][2] = {
        {PV_TURN_ATTR_ADDITIONAL_ADDRESS_FAMILY, PV_TURN_ATTR_ADDRESS_ERROR_CODE},
        {PV_TURN_ATTR_ADDITIONAL_ADDRESS_FAMILY_OLD, PV_TURN_ATTR_ADDRESS_ERROR_CODE_OLD},
    };
    struct pv_turns_config cfg = config();
    struct tw *w = tw_new_with(&cfg);
    for (size_t i = 0; i < PV_ARRAY_LEN(numbers); i++) {
        struct tw_client c = alice((uint8_t)(i + 1));
        struct pv_turns_socket sock;
        struct pv_stun_writer sw;
        struct pv_view error;
        uint8_t buf[512];
        begin_allocate(w, &sw, buf, sizeof(buf));
        pv_stun_put_u32(&sw, numbers[i][0], 2u << 24);
        assert_int_equal(finish_allocate(w, &c, &sw, PV_OK, &sock), 0);
        assert_int_equal(pv_stun_find(&w->msg, numbers[i][1], &error), PV_OK);
        assert_int_equal(error.ptr[0], PV_TURN_FAMILY_IPV6);
        assert_int_equal(error.ptr[2] * 100 + error.ptr[3], PV_TURN_E_FAMILY_NOT_SUPPORTED);
    }
}

PV_TEST(the_public_address_of_a_nat_is_what_clients_are_told)
{
    struct pv_turns_config cfg = config();
    cfg.relay_bind[0] = pv_addr4(10, 0, 0, 5, 0);
    cfg.relay_public[0] = pv_addr4(203, 0, 113, 200, 0);
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1);
    struct pv_turns_socket sock = {.sock = 0};
    struct pv_addr relayed;
    assert_int_equal(allocate(w, &c, &sock), 0);
    assert_true(pv_addr_equal_ip(&sock.addr, &cfg.relay_bind[0]));
    assert_int_equal(pv_stun_get_xor_addr(&w->msg, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &relayed), 0);
    assert_true(pv_addr_equal_ip(&relayed, &cfg.relay_public[0]));
    assert_int_equal(relayed.port, sock.addr.port);
}

/* --- what is refused ----------------------------------------------------------------------- */

PV_TEST(quotas_have_their_answers)
{
    struct pv_turns_config cfg = config();
    cfg.limits = (struct pv_turns_limits){.relays = 4, .per_user = 3, .permissions = 2};
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket sock = {.sock = 0};
    struct tw_client c[5];
    for (uint8_t i = 0; i < 5; i++)
        c[i] = alice((uint8_t)(i + 1));
    for (int i = 0; i < 3; i++)
        assert_int_equal(allocate(w, &c[i], &sock), 0);
    assert_int_equal(allocate(w, &c[3], &sock), PV_TURN_E_QUOTA_REACHED);
    snprintf(c[3].user, sizeof(c[3].user), "bob");
    snprintf(c[3].password, sizeof(c[3].password), "other");
    assert_int_equal(allocate(w, &c[3], &sock), 0);
    c[4] = c[3];
    c[4].src.port++;
    assert_int_equal(allocate(w, &c[4], &sock), PV_TURN_E_NO_CAPACITY); /* relay sockets */
    struct pv_addr peers[3] = {PEER, PEER, PEER};
    peers[1].ip[3]++;
    peers[2].ip[3] = 77;
    assert_int_equal(tw_permit(w, &c[0], peers, 3), PV_TURN_E_NO_CAPACITY);
    assert_int_equal(tw_permit(w, &c[0], peers, 2), 0);
    assert_int_equal(tw_permit(w, &c[0], peers, 2), 0);
    assert_int_equal(tw_permit(w, &c[0], &peers[2], 1), PV_TURN_E_NO_CAPACITY);
    assert_int_equal(tw_bind(w, &c[0], 0x4001, &peers[2]), PV_TURN_E_NO_CAPACITY);
    w->now += PV_S(300);
    assert_int_equal(tw_permit(w, &c[0], &peers[2], 1), 0);
}

/* Allocates with EVEN-PORT and R, then gives the allocation up; what was reserved stays. */
static int reserve_and_leave(struct tw *w, struct tw_client *c)
{
    static const uint8_t reserve = 0x80;
    struct pv_turns_socket odd = {.sock = 0};
    struct pv_stun_writer sw;
    uint8_t buf[512];
    begin_allocate(w, &sw, buf, sizeof(buf));
    pv_stun_put(&sw, PV_TURN_ATTR_EVEN_PORT, pv_view(&reserve, 1));
    int code = finish_allocate(w, c, &sw, PV_OK, &odd);
    if (code != 0)
        return code;
    assert_int_equal(tw_refresh(w, c, 0), 0);
    assert_int_equal(closed_sockets(w), 1);
    return 0;
}

PV_TEST(reserved_ports_count_and_are_limited)
{
    struct pv_turns_config cfg = config();
    cfg.limits = (struct pv_turns_limits){.relays = 64, .per_user = 4};
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket sock;
    struct tw_client c[5];
    for (uint8_t i = 0; i < 5; i++)
        c[i] = alice((uint8_t)(i + 1));
    assert_int_equal(reserve_and_leave(w, &c[0]), 0);
    assert_int_equal(reserve_and_leave(w, &c[0]), 0);
    assert_int_equal(reserve_and_leave(w, &c[0]), PV_TURN_E_QUOTA_REACHED);
    assert_int_equal(tc_sockets(w->turns), 2);
    assert_int_equal(allocate(w, &c[1], &sock), 0);
    assert_int_equal(allocate(w, &c[2], &sock), 0);
    assert_int_equal(allocate(w, &c[3], &sock), PV_TURN_E_QUOTA_REACHED); /* 2 + 2 */
    w->now += PV_S(PV_TURNS_RESERVE_S);
    pv_turns_handle_timeout(w->turns, w->now);
    assert_int_equal(closed_sockets(w), 2);
    assert_int_equal(allocate(w, &c[3], &sock), 0);
    assert_int_equal(tw_refresh(w, &c[3], 0), 0);
    assert_int_equal(closed_sockets(w), 1);
    assert_int_equal(reserve_and_leave(w, &c[0]), 0);
}

PV_TEST(many_clients_of_one_user_may_each_reserve_a_port)
{
    struct pv_turns_config cfg = config();
    cfg.limits = (struct pv_turns_limits){.relays = 256, .per_user = 128};
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1);
    for (int i = 0; i < 32; i++)
        assert_int_equal(reserve_and_leave(w, &c), 0);
    assert_int_equal(reserve_and_leave(w, &c), PV_TURN_E_QUOTA_REACHED);
}

PV_TEST(each_user_finds_its_part_of_the_sockets)
{
    struct pv_turns_config cfg = config();
    cfg.limits = (struct pv_turns_limits){.relays = 16, .per_user = 100};
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket sock;
    size_t got[2] = {0};
    for (uint8_t i = 0; i < 40; i++) {
        struct tw_client c = alice(i);
        if (i >= 20) {
            snprintf(c.user, sizeof(c.user), "bob");
            snprintf(c.password, sizeof(c.password), "other");
        }
        w->now += PV_MS(20);
        int code = allocate(w, &c, &sock);
        assert_true(code == 0 || code == PV_TURN_E_NO_CAPACITY);
        got[i / 20] += code == 0 ? 1 : 0;
    }
    assert_int_equal(got[0], 12);
    assert_int_equal(got[1], 4);
}

PV_TEST(ten_thousand_allocations_are_abandoned_and_nothing_stays)
{
    enum {
        N = 10000
    };
    struct pv_turns_config cfg = config();
    cfg.limits = (struct pv_turns_limits){.relays = 2 * N, .per_user = N};
    cfg.port_lo = 20000;
    cfg.port_hi = 65535;
    struct tw *w = tw_new_with(&cfg);
    struct tw_client served[2] = {tw_member(w, 250), tw_member(w, 251)};
    struct pv_addr to = tw_virtual(251);
    for (int round = 0; round < 2; round++) {
        size_t before = heap_bytes();
        for (uint32_t i = 0; i < N; i++) {
            struct tw_client c = alice((uint8_t)(i >> 8));
            struct pv_turns_socket sock;
            struct pv_addr peer = PEER;
            c.src.ip[2] = (uint8_t)i; /* another source network for each 256th */
            peer.ip[3] = (uint8_t)i;
            w->now += PV_MS(20); /* unauthenticated answers have a rate */
            assert_int_equal(allocate(w, &c, &sock), 0);
            assert_int_equal(tw_bind(w, &c, 0x4000, &peer), 0);
            if (i % 500 == 0)
                assert_true(tw_send(w, &served[0], &to, "meanwhile", false));
        }
        assert_int_equal(tc_allocations(w->turns), N + 2);
        assert_int_equal(tc_sockets(w->turns), N);
        /* DESIGN 6, here with a permission and a channel each. */
        size_t each = (heap_bytes() - before) / N;
        print_message("static users: %zu bytes of heap an allocation\n", each);
        assert_true(each <= 2048);
        struct tw_client late = alice(99);
        struct pv_turns_socket sock;
        assert_int_equal(allocate(w, &late, &sock), PV_TURN_E_QUOTA_REACHED);
        /* Nobody refreshes them. */
        w->now += PV_S(PV_TURNS_LIFETIME_S);
        pv_turns_handle_timeout(w->turns, w->now);
        assert_int_equal(closed_sockets(w), N);
        assert_int_equal(tc_allocations(w->turns), 2);
        assert_int_equal(tc_sockets(w->turns), 0);
        /* The array of timers keeps its size, once. */
        assert_true(heap_bytes() < before + (round == 0 ? 512 * 1024 : 4096));
        assert_true(tw_send(w, &served[0], &to, "after", false));
    }
}

PV_TEST(one_user_does_not_touch_anothers_allocation)
{
    struct pv_turns_config cfg = config();
    struct tw *w = tw_new_with(&cfg);
    struct tw_client a = alice(1);
    struct tw_client b = alice(1); /* the same 5-tuple */
    struct pv_turns_socket sock = {.sock = 0};
    assert_int_equal(allocate(w, &a, &sock), 0);
    snprintf(b.user, sizeof(b.user), "bob");
    snprintf(b.password, sizeof(b.password), "other");
    assert_int_equal(tw_refresh(w, &b, 0), PV_TURN_E_WRONG_CREDENTIALS);
    assert_int_equal(tw_permit(w, &b, &PEER, 1), PV_TURN_E_WRONG_CREDENTIALS);
    assert_int_equal(tw_refresh(w, &a, 0), 0);
    assert_int_equal(tw_refresh(w, &a, 600), PV_TURN_E_ALLOCATION_MISMATCH);
}

PV_TEST(a_closed_stream_ends_its_allocation)
{
    struct pv_turns_config cfg = config();
    struct tw *w = tw_new_with(&cfg);
    struct tw_client a = alice(1);
    struct pv_turns_socket sock = {.sock = 0};
    a.stream = 77;
    assert_int_equal(allocate(w, &a, &sock), 0);
    assert_int_equal(w->out.stream, 77);
    assert_int_equal(tw_bind(w, &a, 0x4001, &PEER), 0);
    assert_true(from_peer(w, &sock, &PEER, "in"));
    assert_int_equal(w->out.stream, 77);
    pv_turns_stream_closed(w->turns, 77);
    assert_false(from_peer(w, &sock, &PEER, "in"));
    assert_int_equal(closed_sockets(w), 1);
    assert_int_equal(tc_allocations(w->turns), 0);
}
