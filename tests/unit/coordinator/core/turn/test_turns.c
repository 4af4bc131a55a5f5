/* SPDX-License-Identifier: MIT */
/* The relay of members, and what is common to all users: credentials, nonces, limits. */
#include "turn_static.h"
#include "turn_world.h"

/* --- one round trip ------------------------------------------------------------------------ */

PV_TEST(a_member_allocates_in_one_round_trip)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_client(1, 40001);
    struct pv_turnauth_key key;
    struct pv_addr got;
    uint32_t lifetime = 0;
    uint8_t buf[512];
    struct pv_stun_writer sw;
    tw_online(w, &a, TW_NET, 1);
    tw_begin(w, &sw, buf, sizeof(buf), PV_TURN_ALLOCATE);
    tw_put_transport(&sw);
    pv_stun_put_u32(&sw, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
    size_t len = tw_sign(&a, &sw);
    assert_int_equal(tw_code(w, tw_in(w, &a, buf, len)), 0);
    assert_true(pv_addr_equal(&w->out.dst, &a.src));
    assert_true(pv_addr_equal_ip(&w->out.local, &a.local));
    struct pv_addr want = tw_virtual(1);
    assert_int_equal(pv_stun_get_xor_addr(&w->msg, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &got), PV_OK);
    assert_true(pv_addr_equal(&got, &want));
    assert_int_equal(pv_stun_get_xor_addr(&w->msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &got), PV_OK);
    assert_true(pv_addr_equal(&got, &a.src));
    assert_int_equal(pv_stun_get_u32(&w->msg, PV_TURN_ATTR_LIFETIME, &lifetime), PV_OK);
    assert_int_equal(lifetime, 600);
    assert_int_equal(pv_turnauth_key(a.user, a.password, &key), PV_OK);
    assert_int_equal(pv_stun_check_integrity(&w->msg, pv_view(key.md5, 16)), PV_OK);
}

PV_TEST(data_passes_before_and_after_channels_are_bound)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_member(w, 1);
    struct tw_client b = tw_member(w, 2);
    struct pv_addr va = tw_virtual(1);
    struct pv_addr vb = tw_virtual(2);

    assert_true(tw_send(w, &a, &vb, "hello", false)); /* no permission, no channel */
    assert_true(pv_addr_equal(&w->out.dst, &b.src));
    tw_assert_data(w, &va, "hello");

    assert_int_equal(tw_bind(w, &a, 0x4001, &vb), 0); /* the sender's alone */
    assert_true(tw_channel_data(w, &a, 0x4001, "two"));
    tw_assert_data(w, &va, "two");
    assert_true(tw_send(w, &b, &va, "back", false));
    tw_assert_channel(w, 0x4001, "back");

    assert_int_equal(tw_bind(w, &b, 0x4abc, &va), 0); /* both */
    assert_true(tw_channel_data(w, &a, 0x4001, "three"));
    assert_true(pv_addr_equal(&w->out.dst, &b.src));
    tw_assert_channel(w, 0x4abc, "three");
    assert_ptr_equal(w->out.data.ptr, w->buf[0]); /* rewritten where it lay */
    assert_true(tw_channel_data(w, &b, 0x4abc, "four"));
    assert_true(pv_addr_equal(&w->out.dst, &a.src));
    tw_assert_channel(w, 0x4001, "four");
    assert_true(tw_channel_data(w, &b, 0x4abc, "")); /* no data is data */
    tw_assert_channel(w, 0x4001, "");

    assert_int_equal(tw_permit(w, &a, &vb, 1), 0); /* not needed, answered */
}

PV_TEST(padding_of_channel_data_is_not_passed_on)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_member(w, 1);
    struct tw_client b = tw_member(w, 2);
    struct pv_addr va = tw_virtual(1);
    struct pv_addr vb = tw_virtual(2);
    const uint8_t padded[] = {0x40, 0x01, 0, 5, 'h', 'e', 'l', 'l', 'o', 0, 0, 0};
    assert_int_equal(tw_bind(w, &a, 0x4001, &vb), 0);
    assert_int_equal(tw_bind(w, &b, 0x4002, &va), 0);
    assert_true(tw_in(w, &a, padded, sizeof(padded)));
    tw_assert_channel(w, 0x4002, "hello");
    for (size_t len = 0; len < 9; len++) /* shorter than it says */
        assert_false(tw_in(w, &a, padded, len));
}

PV_TEST(members_of_another_network_are_out_of_reach)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_member(w, 1);
    struct tw_client b = tw_client(2, 40002);
    struct pv_addr vb = tw_virtual(2);
    tw_online(w, &b, TW_NET2, 2);
    assert_int_equal(tw_allocate(w, &b, 6), 0);
    assert_false(tw_send(w, &a, &vb, "hello", false));
    assert_int_equal(tw_bind(w, &a, 0x4001, &vb), 0); /* bound to nobody */
    assert_false(tw_channel_data(w, &a, 0x4001, "hello"));
    /* The same node in the first network is another allocation. */
    struct tw_client b1 = tw_client(2, 50002);
    tw_online(w, &b1, TW_NET, 2);
    assert_int_equal(tw_allocate(w, &b1, 6), 0);
    assert_true(tw_channel_data(w, &a, 0x4001, "hello"));
    assert_true(pv_addr_equal(&w->out.dst, &b1.src));
}

PV_TEST(real_addresses_are_no_peers_of_members)
{
    static const uint8_t other[16] = {0xfd, 1, 2, 3, [15] = 1};
    struct tw *w = tw_new();
    struct tw_client a = tw_member(w, 1);
    struct pv_addr v4 = pv_addr4(203, 0, 113, 9, 80);
    struct pv_addr v6 = pv_addr6(other, 3478);
    assert_int_equal(tw_bind(w, &a, 0x4001, &v4), PV_TURN_E_PEER_FAMILY_MISMATCH);
    assert_int_equal(tw_bind(w, &a, 0x4001, &v6), PV_TURN_E_FORBIDDEN);
    assert_int_equal(tw_permit(w, &a, &v4, 1), PV_TURN_E_PEER_FAMILY_MISMATCH);
    assert_int_equal(tw_permit(w, &a, &v6, 1), PV_TURN_E_FORBIDDEN);
    assert_false(tw_send(w, &a, &v4, "x", false));
    assert_false(tw_send(w, &a, &v6, "x", false));
}

/* --- life of an allocation ------------------------------------------------------------------- */

PV_TEST(the_newest_allocate_moves_the_allocation_with_its_channels)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_member(w, 1);
    struct tw_client b = tw_member(w, 2);
    struct pv_addr va = tw_virtual(1);
    struct pv_addr vb = tw_virtual(2);
    assert_int_equal(tw_bind(w, &a, 0x4001, &vb), 0);
    assert_int_equal(tw_bind(w, &b, 0x4002, &va), 0);
    struct tw_client old = b;
    b.src = pv_addr4(203, 0, 113, 77, 1234); /* it roamed */
    assert_int_equal(tw_allocate(w, &b, 6), 0);
    assert_true(tw_channel_data(w, &a, 0x4001, "hi"));
    assert_true(pv_addr_equal(&w->out.dst, &b.src));
    tw_assert_channel(w, 0x4002, "hi");
    assert_true(tw_channel_data(w, &b, 0x4002, "ho"));
    tw_assert_channel(w, 0x4001, "ho");
    assert_true(tw_channel_data(w, &old, 0x4002, "under way")); /* before it heard of the move */
    tw_assert_channel(w, 0x4001, "under way");
    w->now += PV_S(6);
    assert_false(tw_channel_data(w, &old, 0x4002, "from the past"));
}

PV_TEST(revocation_ends_relayed_traffic_at_once)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_member(w, 1);
    struct tw_client b = tw_member(w, 2);
    struct pv_addr va = tw_virtual(1);
    struct pv_addr vb = tw_virtual(2);
    uint8_t pk[32];
    assert_int_equal(tw_bind(w, &a, 0x4001, &vb), 0);
    assert_int_equal(tw_bind(w, &b, 0x4002, &va), 0);
    tw_node(2, pk);
    struct tw_client former = b;
    b.src = pv_addr4(203, 0, 113, 78, 1234); /* and no way around by where it was before */
    assert_int_equal(tw_allocate(w, &b, 6), 0);
    pv_turns_gone(w->turns, TW_NET, pk);
    assert_false(tw_channel_data(w, &former, 0x4002, "from where I was"));
    assert_false(tw_channel_data(w, &b, 0x4002, "still here"));
    assert_false(tw_channel_data(w, &a, 0x4001, "to nobody"));
    assert_false(tw_send(w, &a, &vb, "to nobody", false));
    assert_int_equal(tw_allocate(w, &b, 6), PV_STUN_E_UNAUTHENTICATED);
    assert_int_equal(tc_allocations(w->turns), 1);
    assert_int_equal(tc_members(w->turns), 1);
}

PV_TEST(an_allocation_lives_with_the_control_channel_or_its_lifetime)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_member(w, 1);
    uint8_t pk[32];
    tw_node(1, pk);
    w->now += PV_S(5000); /* no refresh, but the control channel is up */
    assert_true(pv_turns_next_timeout(w->turns) == PV_NEVER);
    pv_turns_offline(w->turns, TW_NET, pk, w->now);
    assert_true(pv_turns_next_timeout(w->turns) == w->now + PV_S(PV_TURNS_GRACE_S));
    struct tw_client again = a;
    tw_online(w, &again, TW_NET, 1); /* back in time */
    assert_true(pv_turns_next_timeout(w->turns) == PV_NEVER);
    assert_int_equal(tw_refresh(w, &again, 1200), 0);
    pv_turns_offline(w->turns, TW_NET, pk, w->now);
    assert_true(pv_turns_next_timeout(w->turns) == w->now + PV_S(1200));
    w->now += PV_S(1000);
    assert_int_equal(tw_refresh(w, &again, 600), 0); /* its refreshes keep it alone */
    w->now += PV_S(599);
    pv_turns_handle_timeout(w->turns, w->now);
    assert_int_equal(tc_allocations(w->turns), 1);
    w->now += PV_S(1);
    pv_turns_handle_timeout(w->turns, w->now);
    assert_int_equal(tc_allocations(w->turns), 0);
    assert_int_equal(tc_members(w->turns), 0);
}

PV_TEST(refresh_with_zero_deletes_and_other_lifetimes_have_bounds)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_member(w, 1);
    static const uint32_t rows[][2] = {
        {1, 600}, {600, 600}, {601, 601}, {3600, 3600}, {3601, 3600}};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        uint32_t got = 0;
        assert_int_equal(tw_refresh(w, &a, rows[i][0]), 0);
        assert_int_equal(pv_stun_get_u32(&w->msg, PV_TURN_ATTR_LIFETIME, &got), PV_OK);
        assert_int_equal(got, rows[i][1]);
    }
    assert_int_equal(tw_refresh(w, &a, 0), 0);
    assert_int_equal(tw_refresh(w, &a, 0), PV_TURN_E_ALLOCATION_MISMATCH);
    assert_int_equal(tw_allocate(w, &a, 6), 0);
}

PV_TEST(a_channel_ends_after_ten_minutes_unless_it_is_bound_again)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_member(w, 1);
    struct tw_client b = tw_member(w, 2);
    struct pv_addr va = tw_virtual(1);
    struct pv_addr vb = tw_virtual(2);
    assert_int_equal(tw_bind(w, &a, 0x4001, &vb), 0);
    assert_int_equal(tw_bind(w, &b, 0x4002, &va), 0);
    w->now += PV_S(300);
    assert_int_equal(tw_bind(w, &a, 0x4001, &vb), 0);
    w->now += PV_S(299);
    assert_true(tw_channel_data(w, &a, 0x4001, "x"));
    tw_assert_channel(w, 0x4002, "x");
    w->now += PV_S(1);
    assert_true(tw_channel_data(w, &a, 0x4001, "x")); /* the receiver's is gone */
    tw_assert_data(w, &va, "x");
    assert_false(tw_channel_data(w, &b, 0x4002, "x"));
    assert_int_equal(tw_bind(w, &b, 0x4fff, &va), 0);
    assert_true(tw_channel_data(w, &a, 0x4001, "x"));
    tw_assert_channel(w, 0x4fff, "x");
}

/* It may have restarted, and knows nothing of what it bound before. */
PV_TEST(a_member_may_pair_numbers_and_peers_anew)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_member(w, 1), b = tw_member(w, 2), c = tw_member(w, 3);
    struct pv_addr va = tw_virtual(1), vb = tw_virtual(2), vc = tw_virtual(3);
    assert_int_equal(tw_bind(w, &b, 0x4002, &va), 0);
    assert_int_equal(tw_bind(w, &c, 0x4003, &va), 0);
    assert_int_equal(tw_bind(w, &a, 0x4001, &vb), 0);
    assert_int_equal(tw_bind(w, &a, 0x4009, &vb), 0); /* the same peer, another number */
    assert_true(tw_channel_data(w, &a, 0x4009, "x"));
    tw_assert_channel(w, 0x4002, "x");
    assert_false(tw_channel_data(w, &a, 0x4001, "x"));
    assert_int_equal(tw_bind(w, &a, 0x4009, &vc), 0); /* the same number, another peer */
    assert_true(tw_channel_data(w, &a, 0x4009, "y"));
    tw_assert_channel(w, 0x4003, "y");
    assert_true(tw_channel_data(w, &b, 0x4002, "z")); /* a has no channel for it now */
    tw_assert_data(w, &vb, "z");
}

PV_TEST(channel_numbers_have_bounds)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_member(w, 1);
    struct pv_addr vb = tw_virtual(2);
    assert_int_equal(tw_bind(w, &a, 0x3fff, &vb), PV_STUN_E_BAD_REQUEST);
    assert_int_equal(tw_bind(w, &a, 0x5000, &vb), PV_STUN_E_BAD_REQUEST);
    assert_int_equal(tw_bind(w, &a, 0x4fff, &vb), 0);
}

PV_TEST(channels_of_one_member_have_a_limit)
{
    struct tw *w = tw_new_with(&(struct pv_turns_config){.limits = {.channels = 3}});
    struct tw_client a = tw_member(w, 1);
    for (uint8_t i = 0; i < 3; i++) {
        struct pv_addr v = tw_virtual((uint8_t)(10 + i));
        assert_int_equal(tw_bind(w, &a, (uint16_t)(0x4000 + i), &v), 0);
    }
    struct pv_addr one_more = tw_virtual(20);
    assert_int_equal(tw_bind(w, &a, 0x4100, &one_more), PV_TURN_E_NO_CAPACITY);
}

PV_TEST(bandwidth_has_a_limit)
{
    struct tw *w = tw_new_with(&(struct pv_turns_config){.limits = {.bandwidth = 65536}});
    struct tw_client a = tw_member(w, 1);
    struct tw_client b = tw_member(w, 2);
    struct pv_addr vb = tw_virtual(2);
    static char text[401];
    size_t passed = 0;
    (void)b;
    memset(text, 'x', 400);
    for (int i = 0; i < 200; i++)
        passed += tw_send(w, &a, &vb, text, false) ? 1 : 0;
    assert_int_equal(passed, 65536 / 400);
    w->now += PV_S(1);
    assert_true(tw_send(w, &a, &vb, text, false));

    /* Nor do two together get more to one than its share. */
    w->now += PV_S(1);
    struct tw_client c = tw_member(w, 3);
    passed = 0;
    for (int i = 0; i < 200; i++)
        passed += tw_send(w, i % 2 == 0 ? &a : &c, &vb, text, false) ? 1 : 0;
    assert_int_equal(passed, 65536 / 400);
}

/* --- credentials --------------------------------------------------------------------------- */

/* Strangers of many networks use up all answers to requests that nobody has signed; a member's
 * nonce expires meanwhile, and it goes on. */
PV_TEST(a_member_is_answered_while_strangers_flood)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_client(1, 40001), stranger = tw_client(1, 4);
    struct pv_stun_writer sw;
    uint8_t buf[512];
    size_t len = 0;
    tw_online(w, &a, TW_NET, 1);
    assert_int_equal(tw_allocate(w, &a, 6), 0);
    tw_begin(w, &sw, buf, sizeof(buf), PV_TURN_ALLOCATE);
    tw_put_transport(&sw);
    assert_int_equal(pv_stun_write_end(&sw, &len), PV_OK);
    unsigned answered = 0;
    for (unsigned i = 0; i < 2 * PV_STUNS_TOTAL_BURST; i++) {
        stranger.src = pv_addr4(11, (uint8_t)(i >> 8), (uint8_t)i, 1, 9);
        answered += tw_in(w, &stranger, buf, len) ? 1 : 0;
    }
    assert_int_equal(answered, PV_STUNS_TOTAL_BURST);
    a.nonce[0] ^= 1; /* as good as one of an hour ago */
    tw_begin(w, &sw, buf, sizeof(buf), PV_TURN_REFRESH);
    len = tw_sign(&a, &sw);
    for (unsigned i = 0; i < PV_STUNS_MEMBER_BURST; i++)
        assert_int_equal(tw_code(w, tw_in(w, &a, buf, len)), PV_TURN_E_STALE_NONCE);
    assert_int_equal(tw_code(w, tw_in(w, &a, buf, len)), -1); /* it, too, has a limit */
}

PV_TEST(the_nonce_of_welcome_is_good_for_one_allocate)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_client(1, 40001);
    uint8_t buf[512];
    struct pv_stun_writer sw;
    tw_online(w, &a, TW_NET, 1);
    struct tw_client first = a;
    tw_begin(w, &sw, buf, sizeof(buf), PV_TURN_REFRESH); /* it is no Refresh's */
    size_t len = tw_sign(&a, &sw);
    assert_int_equal(tw_code(w, tw_in(w, &a, buf, len)), PV_TURN_E_STALE_NONCE);

    tw_begin(w, &sw, buf, sizeof(buf), PV_TURN_ALLOCATE);
    tw_put_transport(&sw);
    pv_stun_put_u32(&sw, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
    len = tw_sign(&a, &sw);
    assert_int_equal(tw_code(w, tw_in(w, &a, buf, len)), 0);
    assert_int_equal(tw_code(w, tw_in(w, &a, buf, len)), 0); /* repeated: the answer was lost */

    /* A thief who saw it cannot take the allocation away. */
    struct tw_client thief = tw_client(66, 666);
    assert_int_equal(tw_code(w, tw_in(w, &thief, buf, len)), PV_TURN_E_STALE_NONCE);
    /* From its own 5-tuple it goes on. */
    tw_begin(w, &sw, buf, sizeof(buf), PV_TURN_REFRESH);
    len = tw_sign(&first, &sw);
    assert_int_equal(tw_code(w, tw_in(w, &first, buf, len)), 0);
    /* A new welcome ends it. */
    tw_online(w, &a, TW_NET, 1);
    len = 0;
    tw_begin(w, &sw, buf, sizeof(buf), PV_TURN_REFRESH);
    len = tw_sign(&first, &sw);
    assert_int_equal(tw_code(w, tw_in(w, &first, buf, len)), PV_TURN_E_STALE_NONCE);
    tw_begin(w, &sw, buf, sizeof(buf), PV_TURN_ALLOCATE); /* nor does it allocate again */
    tw_put_transport(&sw);
    pv_stun_put_u32(&sw, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
    len = tw_sign(&first, &sw);
    assert_int_equal(tw_code(w, tw_in(w, &first, buf, len)), PV_TURN_E_STALE_NONCE);
}

PV_TEST(nonces_expire)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_client(1, 40001);
    uint8_t buf[512];
    struct pv_stun_writer sw;
    tw_online(w, &a, TW_NET, 1);
    w->now += PV_S(PV_TURNAUTH_WELCOME_S);
    tw_begin(w, &sw, buf, sizeof(buf), PV_TURN_ALLOCATE);
    tw_put_transport(&sw);
    pv_stun_put_u32(&sw, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
    struct pv_stun_writer sw2 = sw;
    size_t len = tw_sign(&a, &sw);
    assert_int_equal(tw_code(w, tw_in(w, &a, buf, len)), PV_TURN_E_STALE_NONCE);
    tw_take_nonce(w, &a);
    len = tw_sign(&a, &sw2);
    assert_int_equal(tw_code(w, tw_in(w, &a, buf, len)), 0);
    w->now += PV_S(PV_TURNAUTH_SOURCE_S) - 1;
    tw_begin(w, &sw, buf, sizeof(buf), PV_TURN_REFRESH);
    sw2 = sw;
    len = tw_sign(&a, &sw);
    assert_int_equal(tw_code(w, tw_in(w, &a, buf, len)), 0);
    w->now += 1;
    assert_int_equal(tw_code(w, tw_in(w, &a, buf, len)), PV_TURN_E_STALE_NONCE);
}

PV_TEST(a_nonce_is_bound_to_its_source)
{
    struct pv_turnauth auth;
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 1);
    char nonce[PV_TURNAUTH_NONCE_BUF];
    struct pv_turnauth_nonce got;
    struct pv_addr src = pv_addr4(198, 51, 100, 1, 1000);
    struct pv_addr port = pv_addr4(198, 51, 100, 1, 1001);
    struct pv_addr host = pv_addr4(198, 51, 100, 2, 1000);
    pv_turnauth_init(&auth, &rng);
    for (int features = 0; features < 2; features++) {
        const char *text = pv_turnauth_nonce(&auth, &src, PV_S(5), features, nonce);
        size_t len = strlen(text), from = (size_t)(text - nonce);
        assert_int_equal(pv_turnauth_check(&auth, pv_view(text, len), &src, PV_S(5), &got), PV_OK);
        assert_int_equal(pv_turnauth_check(&auth, pv_view(text, len), &port, PV_S(5), &got),
                         PV_ERR_AUTH);
        assert_int_equal(pv_turnauth_check(&auth, pv_view(text, len), &host, PV_S(5), &got),
                         PV_ERR_AUTH);
        for (size_t i = 0; i < len; i++) {
            assert_int_equal(pv_turnauth_check(&auth, pv_view(text, i), &src, PV_S(5), &got),
                             PV_ERR_AUTH);
            nonce[from + i] ^= 1;
            assert_int_equal(pv_turnauth_check(&auth, pv_view(text, len), &src, PV_S(5), &got),
                             PV_ERR_AUTH);
            nonce[from + i] ^= 1;
        }
    }
    pv_turnauth_done(&auth);
}

PV_TEST(unauthenticated_answers_are_small_and_shared)
{
    struct tw *w = tw_new();
    struct tw_client c = tw_client(1, 1000);
    uint8_t buf[512];
    struct pv_stun_writer sw;
    size_t len = 0;
    unsigned answers = 0;
    tw_begin(w, &sw, buf, sizeof(buf), PV_TURN_ALLOCATE);
    tw_put_transport(&sw);
    pv_stun_put_fingerprint(&sw);
    assert_int_equal(pv_stun_write_end(&sw, &len), PV_OK);
    assert_int_equal(tw_code(w, tw_in(w, &c, buf, len)), PV_STUN_E_UNAUTHENTICATED);
    assert_true(w->out.data.len <= PV_TURNS_UNAUTH_MAX);
    assert_true(pv_stun_has(&w->msg, PV_STUN_ATTR_REALM));
    assert_true(pv_stun_has(&w->msg, PV_STUN_ATTR_NONCE));
    assert_true(pv_stun_has(&w->msg, PV_STUN_ATTR_PASSWORD_ALGORITHMS));
    assert_int_equal(pv_stun_check_fingerprint(&w->msg), PV_OK);
    for (int i = 0; i < 1000; i++) {
        c.src.port++;
        answers += tw_in(w, &c, buf, len) ? 1 : 0;
    }
    assert_int_equal(answers, PV_STUNS_SOURCE_BURST - 1);
    assert_false(pv_stuns_may_answer(w->stuns, &c.src, w->now)); /* Binding answers too */
}

/* A request of a client that nobody has signed, with so many bytes of PADDING (0: without) and, if
 * asked, FINGERPRINT; *ret_len: its length. The code of the answer; -1: there is none. */
static int ask_unsigned(struct tw *w, const struct tw_client *c, uint16_t method, uint16_t padding,
                        bool fp, size_t *ret_len)
{
    uint8_t buf[512];
    struct pv_stun_writer sw;
    tw_begin(w, &sw, buf, sizeof(buf), method);
    if (padding > 0)
        pv_stun_put_padding(&sw, (uint16_t)(padding - 4));
    if (fp)
        pv_stun_put_fingerprint(&sw);
    assert_int_equal(pv_stun_write_end(&sw, ret_len), PV_OK);
    return tw_in(w, c, buf, *ret_len) ? tw_code(w, true) : -1;
}

/* An Allocate as the simplest clients write it, 28 bytes, is offered what there was before RFC
 * 8489; a request without any attribute is no client's. */
PV_TEST(no_unsigned_answer_is_longer_than_three_times_its_request)
{
    struct tw *w = tw_new();
    struct tw_client c = tw_client(1, 1000);
    size_t len = 0;
    for (unsigned i = 0; i < 2 * 8; i++) {
        uint16_t padding = (uint16_t)(i / 2 * 4);
        size_t fp = i % 2 == 0 ? 0 : 8;
        int code = ask_unsigned(w, &c, PV_TURN_ALLOCATE, padding, i % 2 == 1, &len);
        size_t most = PV_STUNS_GAIN * len - fp;
        c.src.port++;
        if (most < PV_TURNS_UNAUTH_PLAIN) {
            assert_int_equal(code, -1);
            continue;
        }
        assert_int_equal(code, PV_STUN_E_UNAUTHENTICATED);
        bool features = most >= PV_TURNS_UNAUTH_FEATURES;
        assert_int_equal(w->out.data.len,
                         fp + (features ? PV_TURNS_UNAUTH_FEATURES : PV_TURNS_UNAUTH_PLAIN));
        assert_int_equal(pv_stun_has(&w->msg, PV_STUN_ATTR_PASSWORD_ALGORITHMS), features);
        assert_true(w->out.data.len <= PV_STUNS_GAIN * len);
    }
    c.stream = 5; /* nobody forges the source of a connection */
    assert_int_equal(ask_unsigned(w, &c, PV_TURN_ALLOCATE, 0, false, &len),
                     PV_STUN_E_UNAUTHENTICATED);
    assert_int_equal(w->out.data.len, PV_TURNS_UNAUTH_FEATURES);
}

PV_TEST(wrong_credentials_are_refused)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_client(1, 40001);
    tw_online(w, &a, TW_NET, 1);
    struct tw_client bad = a;
    bad.password[0] ^= 1;
    assert_int_equal(tw_allocate(w, &bad, 6), PV_STUN_E_UNAUTHENTICATED);
    bad = a;
    bad.user[0] = bad.user[0] == 'A' ? 'B' : 'A';
    assert_int_equal(tw_allocate(w, &bad, 6), PV_STUN_E_UNAUTHENTICATED);
    assert_int_equal(tw_allocate(w, &a, 6), 0);
    /* Another member at the same 5-tuple: the allocation there is not its own. */
    struct tw_client b = a;
    tw_online(w, &b, TW_NET, 2);
    assert_int_equal(tw_allocate(w, &b, 6), PV_TURN_E_ALLOCATION_MISMATCH);
    assert_int_equal(tw_refresh(w, &b, 600), PV_TURN_E_WRONG_CREDENTIALS);
}

PV_TEST(a_member_gets_no_real_address)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_client(1, 40001);
    tw_online(w, &a, TW_NET, 1);
    assert_int_equal(tw_allocate(w, &a, 0), PV_TURN_E_FAMILY_NOT_SUPPORTED);
    assert_int_equal(tw_allocate(w, &a, 4), PV_TURN_E_FAMILY_NOT_SUPPORTED);
    assert_int_equal(tw_allocate(w, &a, 6), 0);
}

PV_TEST(a_disabled_relay_says_nothing)
{
    struct tw *w = tw_new();
    struct tw_client c = tw_client(1, 1000);
    struct pv_turns *off = NULL;
    struct pv_turns_config cfg = {.coordinator_pk = TW_COORD_PK};
    assert_int_equal(pv_turns_new(&off, &cfg, w->stuns, &w->rng), PV_OK);
    assert_int_equal(pv_turns_online(off, TW_NET, TW_COORD_PK, 1), PV_ERR_UNSUPPORTED);
    struct pv_turns *on = w->turns;
    w->turns = off;
    snprintf(c.user, sizeof(c.user), "x");
    assert_int_equal(tw_allocate(w, &c, 0), -1);
    w->turns = on;
    pv_turns_free(off);
}

/* --- size ---------------------------------------------------------------------------------- */

PV_TEST(ten_thousand_allocations_come_and_go)
{
    struct tw *w = tw_new();
    uint8_t pk[32] = {0};
    struct tw_client served[2] = {tw_member(w, 250), tw_member(w, 251)};
    struct pv_addr to = tw_virtual(251);
    size_t before = heap_bytes();
    for (uint32_t i = 0; i < 10000; i++) {
        struct tw_client c = tw_client((uint8_t)(i >> 14), (uint16_t)i);
        c.src.ip[1] = (uint8_t)(i >> 8);
        pv_store_be32(pk, i + 1);
        tw_welcome(w, &c, TW_NET, pk);
        c.src.port = (uint16_t)(i % 60000 + 1);
        assert_int_equal(tw_allocate(w, &c, 6), 0);
        pv_turns_offline(w->turns, TW_NET, pk, w->now);
        if (i % 1000 == 0)
            assert_true(tw_send(w, &served[0], &to, "meanwhile", false));
    }
    size_t each = (heap_bytes() - before) / 10000;
    print_message("members: %zu bytes of heap an allocation\n", each);
    assert_true(each <= 2048); /* DESIGN 6 */
    assert_int_equal(tc_allocations(w->turns), 10002);
    w->now += PV_S(600);
    pv_turns_handle_timeout(w->turns, w->now);
    assert_int_equal(tc_allocations(w->turns), 2);
    assert_int_equal(tc_members(w->turns), 2);
    assert_true(tw_send(w, &served[0], &to, "after", false));
}

PV_TEST(a_batch_answers_each_of_its_datagrams)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_member(w, 1);
    struct tw_client b = tw_member(w, 2);
    struct pv_addr va = tw_virtual(1);
    struct pv_addr vb = tw_virtual(2);
    struct pv_turns_in in[PV_TURNS_BATCH + 1];
    size_t n = 0;
    assert_int_equal(tw_bind(w, &a, 0x4001, &vb), 0);
    assert_int_equal(tw_bind(w, &b, 0x4002, &va), 0);
    for (size_t i = 0; i < PV_TURNS_BATCH; i++) {
        const struct tw_client *c = i % 2 == 0 ? &a : &b;
        in[i] = (struct pv_turns_in){.src = c->src, .local = c->local, .ptr = w->buf[i], .len = 5};
        pv_turn_channel_header(w->buf[i], i % 2 == 0 ? 0x4001 : 0x4002, 1);
        w->buf[i][4] = (uint8_t)i;
    }
    in[PV_TURNS_BATCH] = in[0];
    assert_int_equal(pv_turns_batch(w->turns, in, PV_ARRAY_LEN(in), w->now), PV_TURNS_BATCH);
    const struct pv_turns_out *out = pv_turns_out(w->turns, &n);
    assert_int_equal(n, PV_TURNS_BATCH);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(out[i].data.ptr[4], (uint8_t)i);
        assert_true(pv_addr_equal(&out[i].dst, i % 2 == 0 ? &b.src : &a.src));
    }
}

PV_TEST(turn_is_told_from_binding_and_junk)
{
    uint8_t buf[64];
    struct pv_stun_writer sw;
    const uint8_t txid[12] = {0};
    static const struct {
        enum pv_stun_class cls;
        uint16_t method;
        bool turn;
    } rows[] = {
        {PV_STUN_REQUEST, PV_STUN_BINDING, false}, {PV_STUN_INDICATION, PV_STUN_BINDING, false},
        {PV_STUN_SUCCESS, PV_STUN_BINDING, false}, {PV_STUN_REQUEST, PV_TURN_ALLOCATE, true},
        {PV_STUN_INDICATION, PV_TURN_SEND, true},  {PV_STUN_REQUEST, PV_TURN_CHANNEL_BIND, true},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        size_t len = 0;
        pv_stun_write_begin(&sw, buf, sizeof(buf), rows[i].cls, rows[i].method, txid);
        assert_int_equal(pv_stun_write_end(&sw, &len), PV_OK);
        assert_int_equal(pv_turns_is_turn(pv_view(buf, len)), rows[i].turn);
        buf[4] ^= 1; /* no cookie: RFC 3489 */
        assert_false(pv_turns_is_turn(pv_view(buf, len)));
    }
    const uint8_t channel[4] = {0x40};
    assert_true(pv_turns_is_turn(pv_view(channel, 4)));
    assert_false(pv_turns_is_turn(pv_view(channel, 3)));
    const uint8_t wireguard[32] = {4};
    assert_false(pv_turns_is_turn(pv_view(wireguard, sizeof(wireguard))));
}

/* TW_NET has a limit of its own here, the others that of all. */
PV_TEST(a_network_may_have_its_own_bandwidth)
{
    struct pv_turns_net own[2] = {{.net = {0xee}, .bandwidth = 1000}, {.bandwidth = 200000}};
    memcpy(own[1].net, TW_NET, sizeof(own[1].net));
    struct tw *w = tw_new_with(&(struct pv_turns_config){
        .limits = {.bandwidth = 65536}, .nets = own, .n_nets = PV_ARRAY_LEN(own)});
    struct tw_client a = tw_member(w, 1);
    struct tw_client b = tw_member(w, 2);
    struct pv_addr vb = tw_virtual(2);
    static char text[401];
    size_t passed = 0;
    (void)b;
    memset(text, 'x', 400);
    for (int i = 0; i < 600; i++)
        passed += tw_send(w, &a, &vb, text, false) ? 1 : 0;
    assert_int_equal(passed, 200000 / 400);
}

/* How many of 600 messages of 400 bytes pass at once. */
static size_t count_passed(struct tw *w, struct tw_client *a)
{
    static char text[401];
    struct pv_addr to = tw_virtual(2);
    size_t passed = 0;
    memset(text, 'x', 400);
    for (int i = 0; i < 600; i++)
        passed += tw_send(w, a, &to, text, false) ? 1 : 0;
    return passed;
}

/* Members that are there have the new limits, and so have those who come. */
PV_TEST(a_policy_takes_effect_at_once)
{
    static struct pv_turns_policy policy = {.nets = {{.bandwidth = 100000}}, .n_nets = 1};
    struct tw *w = tw_new_with(&(struct pv_turns_config){.limits = {.bandwidth = 65536}});
    struct tw_client a = tw_member(w, 1), b = tw_member(w, 2);
    (void)b;
    assert_int_equal(count_passed(w, &a), 65536 / 400);
    memcpy(policy.nets[0].net, TW_NET, sizeof(policy.nets[0].net));
    pv_turns_set_policy(w->turns, &policy);
    w->now += PV_S(10);
    assert_int_equal(count_passed(w, &a), 100000 / 400);
    policy = (struct pv_turns_policy){.bandwidth = 0};
    pv_turns_set_policy(w->turns, &policy);
    assert_int_equal(count_passed(w, &a), 600);
}

PV_TEST(drops_are_counted_by_their_reason)
{
    struct tw *w = tw_new_with(&(struct pv_turns_config){.limits = {.bandwidth = 65536}});
    const struct pv_relaystats *st = pv_turns_counters(w->turns);
    struct tw_client a = tw_member(w, 1);
    struct tw_client b = tw_member(w, 2);
    struct tw_client stranger = tw_client(9, 9);
    struct pv_addr to = tw_virtual(2);
    static const uint8_t unbound[] = {0x40, 0x07, 0, 1, 'x'};
    static const uint8_t short_of[] = {0x40, 0x01, 0, 9, 'x'};
    static const uint8_t large[2000] = {0x40, 0x01, 0x07, 0xcc};
    assert_int_equal(tw_bind(w, &a, 0x4001, &to), 0);
    assert_true(tw_send(w, &a, &to, "hello", false));
    assert_int_equal(pv_relaystat_get(st, PV_RELAYSTAT_MEMBER_PACKETS), 1);
    assert_int_equal(pv_relaystat_get(st, PV_RELAYSTAT_MEMBER_BYTES), 5);
    assert_int_equal(pv_relaystat_get(st, PV_RELAYSTAT_MEMBER_ALLOCATIONS), 2);
    assert_int_equal(pv_relaystat_drops(st), 0);
    assert_false(tw_in(w, &stranger, unbound, sizeof(unbound)));
    assert_int_equal(pv_relaystat_get(st, PV_RELAYSTAT_DROP_NO_ALLOCATION), 1);
    assert_false(tw_in(w, &a, unbound, sizeof(unbound)));
    assert_int_equal(pv_relaystat_get(st, PV_RELAYSTAT_DROP_NO_CHANNEL), 1);
    assert_false(tw_in(w, &a, short_of, sizeof(short_of)));
    assert_int_equal(pv_relaystat_get(st, PV_RELAYSTAT_DROP_MALFORMED), 1);
    to = tw_virtual(77);
    assert_false(tw_send(w, &a, &to, "nobody", false));
    assert_int_equal(pv_relaystat_get(st, PV_RELAYSTAT_DROP_NO_PEER), 1);
    for (int i = 0; i < 40; i++)
        (void)tw_in(w, &a, large, sizeof(large));
    assert_int_equal(pv_relaystat_get(st, PV_RELAYSTAT_DROP_BANDWIDTH),
                     42 - pv_relaystat_get(st, PV_RELAYSTAT_MEMBER_PACKETS) - 1);
    uint8_t pk[32];
    tw_node(2, pk);
    pv_turns_gone(w->turns, TW_NET, pk);
    assert_int_equal(pv_relaystat_get(st, PV_RELAYSTAT_MEMBERS), 1);
    assert_int_equal(pv_relaystat_get(st, PV_RELAYSTAT_MEMBER_ALLOCATIONS), 1);
    for (int i = 0; i < PV_RELAYSTAT_N; i++)
        assert_true(strlen(pv_relaystat_row((enum pv_relaystat)i)->key) > 4);
    (void)b;
}

/* --- turns peers ----------------------------------------------------------------------------- */

/* The TURN server for stock clients: whom it relays to, and whom not. */

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

PV_TEST(an_inside_address_leads_nowhere_in_any_form_of_ipv6)
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
