/* SPDX-License-Identifier: MIT */
/* The TURN server for stock clients: whom it relays to, and whom not. */
#include "turn_static.h"

PV_TEST(forbidden_peers_are_refused_everywhere)
{
    static const char *const rows[] = {"127.0.0.1", "10.0.0.1", "169.254.169.254",
                                       "192.0.2.1", "0.0.0.0",  "224.0.0.1"};
    struct pv_turns_config cfg = config();
    struct pv_addr own = pv_addr4(192, 0, 2, 1, 0);
    cfg.own = &own;
    cfg.n_own = 1;
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1);
    struct pv_turns_socket sock;
    assert_int_equal(allocate(w, &c, &sock), 0);
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_addr bad;
        assert_int_equal(pv_addr_parse_ip(rows[i], &bad), PV_OK);
        bad.port = 80;
        const struct pv_addr both[] = {PEER, bad};
        assert_int_equal(tw_permit(w, &c, both, 2), PV_TURN_E_FORBIDDEN);
        assert_int_equal(tw_bind(w, &c, 0x4001, &bad), PV_TURN_E_FORBIDDEN);
        assert_false(tw_send(w, &c, &bad, "x", false));
    }
    assert_false(tw_send(w, &c, &PEER, "x", false)); /* one bad one spoils all of a request */
    assert_int_equal(tw_permit(w, &c, NULL, 0), PV_STUN_E_BAD_REQUEST);
    struct pv_addr v6 = tw_virtual(1);
    assert_int_equal(tw_permit(w, &c, &v6, 1), PV_TURN_E_PEER_FAMILY_MISMATCH);
}

PV_TEST(no_ipv6_clothes_lead_a_peer_inside)
{
    /* 10.0.0.1, mapped, translated, compatible, by NAT64, 6to4, Teredo (client, server), ISATAP;
     * and what is inside by itself. */
    static const char *const rows[] = {
        "::ffff:10.0.0.1",
        "::ffff:0:10.0.0.1",
        "::10.0.0.1",
        "64:ff9b::10.0.0.1",
        "2002:a00:1::1",
        "2001:0:808:808::f5ff:fffe",
        "2001:0:a00:1::",
        "2001:db8:1:2:0:5efe:10.0.0.1",
        "64:ff9b:1::8.8.8.8",
        "::1",
        "fe80::1",
        "fd00::1",
        "ff0e::1",
        "2001:db8::1",
    };
    struct pv_turns_config cfg = config();
    struct pv_addr own, good;
    assert_int_equal(pv_addr_parse_ip("2001:db8::1", &own), PV_OK);
    assert_int_equal(pv_addr_parse_ip("2001:db8:9::1", &good), PV_OK);
    cfg.own = &own;
    cfg.n_own = 1;
    cfg.relay_other[1] = own;
    good.port = 80;
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1);
    struct pv_turns_socket sock;
    struct pv_stun_writer sw;
    uint8_t buf[512];
    begin_allocate(w, &sw, buf, sizeof(buf));
    pv_stun_put_u32(&sw, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
    assert_int_equal(finish_allocate(w, &c, &sw, PV_OK, &sock), 0);
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_addr bad;
        assert_int_equal(pv_addr_parse_ip(rows[i], &bad), PV_OK);
        assert_int_equal(bad.family, PV_AF_INET6);
        bad.port = 80;
        const struct pv_addr both[] = {good, bad};
        assert_int_equal(tw_permit(w, &c, both, 2), PV_TURN_E_FORBIDDEN);
        assert_int_equal(tw_bind(w, &c, 0x4001, &bad), PV_TURN_E_FORBIDDEN);
        assert_false(tw_send(w, &c, &bad, "x", false));
        assert_false(tw_send(w, &c, &good, "x", false)); /* one bad one spoils the request */
    }
    assert_int_equal(tw_permit(w, &c, &good, 1), 0);
    assert_true(tw_send(w, &c, &good, "x", false));
}

PV_TEST(two_clients_meet_on_their_relays_and_reach_nothing_else_here)
{
    struct pv_turns_config cfg = config();
    struct pv_addr own[2] = {pv_addr4(192, 0, 2, 1, 0), pv_addr4(203, 0, 113, 1, 0)};
    cfg.own = own;
    cfg.n_own = 2;
    cfg.relay_public[0] = own[1]; /* behind a 1:1 NAT */
    struct tw *w = tw_new_with(&cfg);
    struct tw_client a = alice(1), b = alice(2);
    struct pv_turns_socket sock;
    struct pv_addr at[2], service, bound;
    assert_int_equal(allocate(w, &a, &sock), 0);
    assert_int_equal(pv_stun_get_xor_addr(&w->msg, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &at[0]), 0);
    assert_int_equal(tw_permit(w, &a, &own[1], 1), PV_TURN_E_FORBIDDEN); /* nobody else is here */
    assert_int_equal(tw_bind(w, &a, 0x4001, &at[0]), PV_TURN_E_FORBIDDEN);
    assert_int_equal(allocate(w, &b, &sock), 0);
    assert_int_equal(pv_stun_get_xor_addr(&w->msg, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &at[1]), 0);
    bound = sock.addr;
    service = at[1];
    service.port = 3478;

    /* Indications one way, a channel the other; both need the other's permission. */
    assert_int_equal(tw_permit(w, &a, &at[1], 1), 0);
    assert_false(tw_send(w, &a, &at[1], "no permission", false));
    assert_int_equal(tw_bind(w, &b, 0x4001, &at[0]), 0);
    assert_true(tw_send(w, &a, &at[1], "ping", false));
    tw_assert_channel(w, 0x4001, "ping");
    assert_true(pv_addr_equal(&w->out.dst, &b.src));
    assert_true(tw_channel_data(w, &b, 0x4001, "pong"));
    tw_assert_data(w, &at[1], "pong");
    assert_true(pv_addr_equal(&w->out.dst, &a.src));

    /* The permission knows no ports, so a service at the same address has to be refused by each
     * packet; a channel to it is refused at once, and so is where the socket is really bound. */
    assert_false(tw_send(w, &a, &service, "service", false));
    assert_int_equal(tw_bind(w, &a, 0x4002, &service), PV_TURN_E_FORBIDDEN);
    assert_int_equal(tw_bind(w, &a, 0x4003, &bound), PV_TURN_E_FORBIDDEN);
    assert_int_equal(tw_permit(w, &a, &own[0], 1), PV_TURN_E_FORBIDDEN);
    /* Nothing is there any more once the other has gone. */
    assert_int_equal(tw_refresh(w, &b, 0), 0);
    assert_false(tw_send(w, &a, &at[1], "gone", false));
    assert_int_equal(tw_permit(w, &a, &at[1], 1), PV_TURN_E_FORBIDDEN);
}

PV_TEST(a_reservation_is_nobodys_relayed_address)
{
    struct pv_turns_config cfg = config();
    struct pv_addr own = pv_addr4(203, 0, 113, 1, 0);
    cfg.own = &own;
    cfg.n_own = 1;
    cfg.relay_public[0] = own;
    struct tw *w = tw_new_with(&cfg);
    struct tw_client a = alice(1), b = alice(2);
    struct pv_turns_socket sock;
    struct pv_stun_writer sw;
    struct pv_view token;
    uint8_t buf[512], kept[8];
    begin_allocate(w, &sw, buf, sizeof(buf));
    pv_stun_put(&sw, PV_TURN_ATTR_EVEN_PORT, pv_view("\x80", 1));
    assert_int_equal(finish_allocate(w, &a, &sw, PV_OK, &sock), 0);
    assert_int_equal(pv_stun_find(&w->msg, PV_TURN_ATTR_RESERVATION_TOKEN, &token), PV_OK);
    memcpy(kept, token.ptr, sizeof(kept));
    assert_int_equal(tw_permit(w, &a, &own, 1), PV_TURN_E_FORBIDDEN);
    begin_allocate(w, &sw, buf, sizeof(buf));
    pv_stun_put(&sw, PV_TURN_ATTR_RESERVATION_TOKEN, pv_view(kept, sizeof(kept)));
    assert_int_equal(tw_request(w, &b, &sw), 0);
    assert_int_equal(tw_permit(w, &a, &own, 1), 0); /* now somebody is there */
    assert_int_equal(tw_permit(w, &b, &own, 1), 0);
    assert_int_equal(tw_refresh(w, &a, 0), 0);
    assert_int_equal(tw_permit(w, &b, &own, 1), PV_TURN_E_FORBIDDEN);
}
