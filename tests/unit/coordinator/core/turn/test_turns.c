/* SPDX-License-Identifier: MIT */
/* The relay of members, and what is common to all users: credentials, nonces, limits. */

#include "coordinator/core/turn/turns.h"
#include "turn_world.h"

static size_t wireguard(uint8_t type, uint8_t buf[static 148]);

/* --- static users: their sockets ------------------------------------------------------------- */

static const struct pv_turns_user USERS[] = {{"alice", "secret"}, {"bob", "other"}};

static inline struct pv_turns_config config(void)
{
    return (struct pv_turns_config){.users = USERS, .n_users = 2};
}

static inline struct tw *static_users(void)
{
    const struct pv_turns_config cfg = config();
    return tw_new_with(&cfg);
}

static inline void become_bob(struct tw_client *c)
{
    snprintf(c->user, sizeof(c->user), "bob");
    snprintf(c->password, sizeof(c->password), "other");
}

static inline struct tw_client alice(uint8_t host)
{
    struct tw_client c = tw_client(host, 5000);
    snprintf(c.user, sizeof(c.user), "alice");
    snprintf(c.password, sizeof(c.password), "secret");
    snprintf(c.nonce, sizeof(c.nonce), "none yet");
    return c;
}

/* Does what the server asks for its sockets: ports in use are those below `free_from`. Returns how
 * many were opened; *last is the last one. The answer, if one came, is w->out. */
static inline unsigned open_sockets(struct tw *w, int status, struct pv_turns_socket *last)
{
    struct pv_turns_socket op;
    unsigned opened = 0;
    while (pv_turns_poll_socket(w->turns, &op) == PV_OK) {
        size_t n = 0;
        if (!op.open)
            continue;
        pv_turns_opened(w->turns, op.sock, status, w->now);
        const struct pv_turns_out *out = pv_turns_out(w->turns, &n);
        opened++;
        *last = op;
        if (n > 0) {
            w->out = out[0];
            assert_ok(pv_stun_decode(w->out.data, &w->msg));
        }
    }
    return opened;
}

/* Sockets that the server wants closed. */
static inline unsigned closed_sockets(struct tw *w)
{
    struct pv_turns_socket op;
    unsigned n = 0;
    while (pv_turns_poll_socket(w->turns, &op) == PV_OK) {
        assert_false(op.open);
        n++;
    }
    return n;
}

/* Allocates by the request that was begun; the code of the final answer. */
static inline int finish_allocate(struct tw *w, struct tw_client *c, int status,
                                  struct pv_turns_socket *sock)
{
    int code = tw_request(w, c);
    if (code != -1)
        return code;
    assert_true(open_sockets(w, status, sock) > 0);
    return tw_code(w, true);
}

static inline int allocate(struct tw *w, struct tw_client *c, struct pv_turns_socket *sock)
{
    tw_begin_allocate(w, 0);
    return finish_allocate(w, c, PV_OK, sock);
}

/* A datagram of a peer at a relay socket; true when one goes to the client. */
static inline bool from_peer(struct tw *w, const struct pv_turns_socket *sock,
                             const struct pv_addr *peer, const char *text)
{
    struct tw_client c = {.src = *peer, .sock = sock->sock};
    return tw_in(w, &c, text, strlen(text));
}

static const struct pv_addr PHONE = {.family = PV_AF_INET, .port = 51820, .ip = {203, 0, 113, 9}};
static const struct pv_addr PEER = {.family = PV_AF_INET, .port = 7000, .ip = {203, 0, 113, 9}};

/* --- one round trip ------------------------------------------------------------------------ */

PV_TEST(a_member_allocates_in_one_round_trip)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_client(1, 40001);
    struct pv_turnauth_key key;
    struct pv_addr got;
    uint32_t lifetime = 0;
    tw_online(w, &a, TW_NET, 1);
    tw_begin_allocate(w, 6);
    assert_int_equal(tw_try(w, &a), 0);
    assert_true(pv_addr_equal(&w->out.dst, &a.src));
    assert_true(pv_addr_equal_ip(&w->out.local, &a.local));
    struct pv_addr want = tw_virtual(1);
    got = tw_relayed(w);
    assert_true(pv_addr_equal(&got, &want));
    assert_ok(pv_stun_get_xor_addr(&w->msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &got));
    assert_true(pv_addr_equal(&got, &a.src));
    assert_ok(pv_stun_get_u32(&w->msg, PV_TURN_ATTR_LIFETIME, &lifetime));
    assert_int_equal(lifetime, 600);
    assert_ok(pv_turnauth_key(a.user, a.password, &key));
    assert_ok(pv_stun_check_integrity(&w->msg, pv_view(key.md5, 16)));
}

PV_TEST(data_passes_before_and_after_channels_are_bound)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_member(w, 1), b = tw_member(w, 2);

    assert_true(tw_send(w, &a, &b.virt, "hello", false)); /* no permission, no channel */
    assert_true(pv_addr_equal(&w->out.dst, &b.src));
    tw_assert_data(w, &a.virt, "hello");

    assert_int_equal(tw_bind(w, &a, 0x4001, &b.virt), 0); /* the sender's alone */
    assert_true(tw_channel_data(w, &a, 0x4001, "two"));
    tw_assert_data(w, &a.virt, "two");
    assert_true(tw_send(w, &b, &a.virt, "back", false));
    tw_assert_channel(w, 0x4001, "back");

    assert_int_equal(tw_bind(w, &b, 0x4abc, &a.virt), 0); /* both */
    assert_true(tw_channel_data(w, &a, 0x4001, "three"));
    assert_true(pv_addr_equal(&w->out.dst, &b.src));
    tw_assert_channel(w, 0x4abc, "three");
    assert_ptr_equal(w->out.data.ptr, w->buf[0]); /* rewritten where it lay */
    assert_true(tw_channel_data(w, &b, 0x4abc, "four"));
    assert_true(pv_addr_equal(&w->out.dst, &a.src));
    tw_assert_channel(w, 0x4001, "four");
    assert_true(tw_channel_data(w, &b, 0x4abc, "")); /* no data is data */
    tw_assert_channel(w, 0x4001, "");

    assert_int_equal(tw_permit(w, &a, &b.virt, 1), 0); /* not needed, answered */
}

PV_TEST(padding_of_channel_data_is_not_passed_on)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_member(w, 1), b = tw_member(w, 2);
    const uint8_t padded[] = {0x40, 0x01, 0, 5, 'h', 'e', 'l', 'l', 'o', 0, 0, 0};
    tw_bind_both(w, &a, &b);
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
    struct tw_client a = tw_member(w, 1), b = tw_member(w, 2);
    tw_bind_both(w, &a, &b);
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
    struct tw_client a = tw_member(w, 1), b = tw_member(w, 2);
    uint8_t pk[32];
    tw_bind_both(w, &a, &b);
    tw_node(2, pk);
    struct tw_client former = b;
    b.src = pv_addr4(203, 0, 113, 78, 1234); /* and no way around by where it was before */
    assert_int_equal(tw_allocate(w, &b, 6), 0);
    pv_turns_gone(w->turns, TW_NET, pk);
    assert_false(tw_channel_data(w, &former, 0x4002, "from where I was"));
    assert_false(tw_channel_data(w, &b, 0x4002, "still here"));
    assert_false(tw_channel_data(w, &a, 0x4001, "to nobody"));
    assert_false(tw_send(w, &a, &b.virt, "to nobody", false));
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
        assert_ok(pv_stun_get_u32(&w->msg, PV_TURN_ATTR_LIFETIME, &got));
        assert_int_equal(got, rows[i][1]);
    }
    assert_int_equal(tw_refresh(w, &a, 0), 0);
    assert_int_equal(tw_refresh(w, &a, 0), PV_TURN_E_ALLOCATION_MISMATCH);
    assert_int_equal(tw_allocate(w, &a, 6), 0);
}

PV_TEST(a_channel_ends_after_ten_minutes_unless_it_is_bound_again)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_member(w, 1), b = tw_member(w, 2);
    tw_bind_both(w, &a, &b);
    w->now += PV_S(300);
    assert_int_equal(tw_bind(w, &a, 0x4001, &b.virt), 0);
    w->now += PV_S(299);
    assert_true(tw_channel_data(w, &a, 0x4001, "x"));
    tw_assert_channel(w, 0x4002, "x");
    w->now += PV_S(1);
    assert_true(tw_channel_data(w, &a, 0x4001, "x")); /* the receiver's is gone */
    tw_assert_data(w, &a.virt, "x");
    assert_false(tw_channel_data(w, &b, 0x4002, "x"));
    assert_int_equal(tw_bind(w, &b, 0x4fff, &a.virt), 0);
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

/* How many of 600 messages of 400 bytes pass at once, which two members send in turns. */
static size_t count_passed(struct tw *w, struct tw_client *a, struct tw_client *b,
                           const struct tw_client *to)
{
    static char text[401];
    size_t passed = 0;
    memset(text, 'x', 400);
    for (int i = 0; i < 600; i++)
        passed += tw_send(w, i % 2 == 0 ? a : b, &to->virt, text, false) ? 1 : 0;
    return passed;
}

PV_TEST(bandwidth_has_a_limit)
{
    struct tw *w = tw_new_with(&(struct pv_turns_config){.policy = {.bandwidth = 65536}});
    struct tw_client a = tw_member(w, 1), b = tw_member(w, 2);
    assert_int_equal(count_passed(w, &a, &a, &b), 65536 / 400);
    w->now += PV_S(1);
    assert_true(tw_send(w, &a, &b.virt, "again", false));

    /* Nor do two together get more to one than its share. */
    w->now += PV_S(1);
    struct tw_client c = tw_member(w, 3);
    assert_int_equal(count_passed(w, &a, &c, &b), 65536 / 400);
}

/* --- credentials --------------------------------------------------------------------------- */

/* Strangers of many networks use up all answers to requests that nobody has signed; a member's
 * nonce expires meanwhile, and it goes on. */
PV_TEST(a_member_is_answered_while_strangers_flood)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_client(1, 40001), stranger = tw_client(1, 4);
    size_t len = 0;
    tw_online(w, &a, TW_NET, 1);
    assert_int_equal(tw_allocate(w, &a, 6), 0);
    tw_begin_allocate(w, 0);
    assert_ok(pv_stun_write_end(&w->sw, &len));
    unsigned answered = 0;
    for (unsigned i = 0; i < 2 * PV_STUNS_TOTAL_BURST; i++) {
        stranger.src = pv_addr4(11, (uint8_t)(i >> 8), (uint8_t)i, 1, 9);
        answered += tw_in(w, &stranger, w->request, len) ? 1 : 0;
    }
    assert_int_equal(answered, PV_STUNS_TOTAL_BURST);
    a.nonce[0] ^= 1; /* as good as one of an hour ago */
    tw_begin(w, PV_TURN_REFRESH);
    len = tw_sign(&a, &w->sw);
    for (unsigned i = 0; i < PV_STUNS_MEMBER_BURST; i++)
        assert_int_equal(tw_code(w, tw_in(w, &a, w->request, len)), PV_TURN_E_STALE_NONCE);
    assert_int_equal(tw_code(w, tw_in(w, &a, w->request, len)), -1); /* it, too, has a limit */
}

PV_TEST(the_nonce_of_welcome_is_good_for_one_allocate)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_client(1, 40001);
    tw_online(w, &a, TW_NET, 1);
    struct tw_client first = a;
    tw_begin(w, PV_TURN_REFRESH); /* it is no Refresh's */
    size_t len = tw_sign(&a, &w->sw);
    assert_int_equal(tw_code(w, tw_in(w, &a, w->request, len)), PV_TURN_E_STALE_NONCE);

    tw_begin_allocate(w, 6);
    len = tw_sign(&a, &w->sw);
    assert_int_equal(tw_code(w, tw_in(w, &a, w->request, len)), 0);
    assert_int_equal(tw_code(w, tw_in(w, &a, w->request, len)),
                     0); /* repeated: the answer was lost */

    /* A thief who saw it cannot take the allocation away. */
    struct tw_client thief = tw_client(66, 666);
    assert_int_equal(tw_code(w, tw_in(w, &thief, w->request, len)), PV_TURN_E_STALE_NONCE);
    /* From its own 5-tuple it goes on. */
    tw_begin(w, PV_TURN_REFRESH);
    len = tw_sign(&first, &w->sw);
    assert_int_equal(tw_code(w, tw_in(w, &first, w->request, len)), 0);
    /* A new welcome ends it. */
    tw_online(w, &a, TW_NET, 1);
    tw_begin(w, PV_TURN_REFRESH);
    len = tw_sign(&first, &w->sw);
    assert_int_equal(tw_code(w, tw_in(w, &first, w->request, len)), PV_TURN_E_STALE_NONCE);
    tw_begin_allocate(w, 6); /* nor does it allocate again */
    assert_int_equal(tw_try(w, &first), PV_TURN_E_STALE_NONCE);
}

PV_TEST(nonces_expire)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_client(1, 40001);
    tw_online(w, &a, TW_NET, 1);
    w->now += PV_S(PV_TURNAUTH_WELCOME_S);
    tw_begin_allocate(w, 6);
    struct pv_stun_writer sw2 = w->sw;
    size_t len = tw_sign(&a, &w->sw);
    assert_int_equal(tw_code(w, tw_in(w, &a, w->request, len)), PV_TURN_E_STALE_NONCE);
    tw_take_nonce(w, &a);
    len = tw_sign(&a, &sw2);
    assert_int_equal(tw_code(w, tw_in(w, &a, w->request, len)), 0);
    w->now += PV_S(PV_TURNAUTH_SOURCE_S) - 1;
    tw_begin(w, PV_TURN_REFRESH);
    sw2 = w->sw;
    len = tw_sign(&a, &w->sw);
    assert_int_equal(tw_code(w, tw_in(w, &a, w->request, len)), 0);
    w->now += 1;
    assert_int_equal(tw_code(w, tw_in(w, &a, w->request, len)), PV_TURN_E_STALE_NONCE);
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
        assert_ok(pv_turnauth_check(&auth, pv_view(text, len), &src, PV_S(5), &got));
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
    size_t len = 0;
    unsigned answers = 0;
    tw_begin_allocate(w, 0);
    pv_stun_put_fingerprint(&w->sw);
    assert_ok(pv_stun_write_end(&w->sw, &len));
    assert_int_equal(tw_code(w, tw_in(w, &c, w->request, len)), PV_STUN_E_UNAUTHENTICATED);
    assert_true(w->out.data.len <= PV_TURNS_UNAUTH_MAX);
    assert_true(pv_stun_has(&w->msg, PV_STUN_ATTR_REALM));
    assert_true(pv_stun_has(&w->msg, PV_STUN_ATTR_NONCE));
    assert_true(pv_stun_has(&w->msg, PV_STUN_ATTR_PASSWORD_ALGORITHMS));
    assert_ok(pv_stun_check_fingerprint(&w->msg));
    for (int i = 0; i < 1000; i++) {
        c.src.port++;
        answers += tw_in(w, &c, w->request, len) ? 1 : 0;
    }
    assert_int_equal(answers, PV_STUNS_SOURCE_BURST - 1);
    assert_false(pv_stuns_may_answer(w->stuns, &c.src, w->now)); /* Binding answers too */
}

/* A request of a client that nobody has signed, with so many bytes of PADDING (0: without) and, if
 * asked, FINGERPRINT; *ret_len: its length. The code of the answer; -1: there is none. */
static int ask_unsigned(struct tw *w, const struct tw_client *c, uint16_t method, uint16_t padding,
                        bool fp, size_t *ret_len)
{
    tw_begin(w, method);
    if (padding > 0)
        pv_stun_put_padding(&w->sw, (uint16_t)(padding - 4));
    if (fp)
        pv_stun_put_fingerprint(&w->sw);
    assert_ok(pv_stun_write_end(&w->sw, ret_len));
    return tw_in(w, c, w->request, *ret_len) ? tw_code(w, true) : -1;
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
    assert_ok(pv_turns_new(&off, &cfg, w->stuns, &w->rng));
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
    struct tw_client a = tw_member(w, 1), b = tw_member(w, 2);
    struct pv_turns_in in[PV_TURNS_BATCH + 1];
    size_t n = 0;
    tw_bind_both(w, &a, &b);
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
        assert_ok(pv_stun_write_end(&sw, &len));
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
    struct pv_turns_config cfg = {
        .policy = {.bandwidth = 65536,
                   .nets = {{.net = {0xee}, .bandwidth = 1000}, {.bandwidth = 200000}},
                   .n_nets = 2}};
    memcpy(cfg.policy.nets[1].net, TW_NET, sizeof(cfg.policy.nets[1].net));
    struct tw *w = tw_new_with(&cfg);
    struct tw_client a = tw_member(w, 1), b = tw_member(w, 2);
    assert_int_equal(count_passed(w, &a, &a, &b), 200000 / 400);
}

/* Members that are there have the new limits, and so have those who come. */
PV_TEST(a_policy_takes_effect_at_once)
{
    static struct pv_turns_policy policy = {.nets = {{.bandwidth = 100000}}, .n_nets = 1};
    struct tw *w = tw_new_with(&(struct pv_turns_config){.policy = {.bandwidth = 65536}});
    struct tw_client a = tw_member(w, 1), b = tw_member(w, 2);
    assert_int_equal(count_passed(w, &a, &a, &b), 65536 / 400);
    memcpy(policy.nets[0].net, TW_NET, sizeof(policy.nets[0].net));
    pv_turns_set_policy(w->turns, &policy);
    w->now += PV_S(10);
    assert_int_equal(count_passed(w, &a, &a, &b), 100000 / 400);
    policy = (struct pv_turns_policy){.bandwidth = 0};
    pv_turns_set_policy(w->turns, &policy);
    assert_int_equal(count_passed(w, &a, &a, &b), 600);
}

PV_TEST(drops_are_counted_by_their_reason)
{
    struct tw *w = tw_new_with(&(struct pv_turns_config){.policy = {.bandwidth = 65536}});
    const struct pv_relaystats *st = pv_turns_counters(w->turns);
    struct tw_client a = tw_member(w, 1), b = tw_member(w, 2);
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

/* --- stock clients: peers that are allowed and refused --------------------------------------- */

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
        struct pv_addr bad = test_ip(rows[i]);
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
    own = test_ip("2001:db8::1");
    good = test_ip("2001:db8:9::1");
    cfg.own = &own;
    cfg.n_own = 1;
    cfg.relay_other[1] = own;
    good.port = 80;
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1);
    struct pv_turns_socket sock;
    tw_begin_allocate(w, 0);
    pv_stun_put_u32(&w->sw, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
    assert_int_equal(finish_allocate(w, &c, PV_OK, &sock), 0);
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_addr bad = test_ip(rows[i]);
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
    cfg.policy.relay_public[0] = own[1]; /* behind a 1:1 NAT */
    struct tw *w = tw_new_with(&cfg);
    struct tw_client a = alice(1), b = alice(2);
    struct pv_turns_socket sock;
    struct pv_addr at[2], service, bound;
    assert_int_equal(allocate(w, &a, &sock), 0);
    at[0] = tw_relayed(w);
    assert_int_equal(tw_permit(w, &a, &own[1], 1), PV_TURN_E_FORBIDDEN); /* nobody else is here */
    assert_int_equal(tw_bind(w, &a, 0x4001, &at[0]), PV_TURN_E_FORBIDDEN);
    assert_int_equal(allocate(w, &b, &sock), 0);
    at[1] = tw_relayed(w);
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
    cfg.policy.relay_public[0] = own;
    struct tw *w = tw_new_with(&cfg);
    struct tw_client a = alice(1), b = alice(2);
    struct pv_turns_socket sock;
    struct pv_view token;
    uint8_t kept[8];
    tw_begin_allocate(w, 0);
    pv_stun_put(&w->sw, PV_TURN_ATTR_EVEN_PORT, pv_view("\x80", 1));
    assert_int_equal(finish_allocate(w, &a, PV_OK, &sock), 0);
    assert_ok(pv_stun_find(&w->msg, PV_TURN_ATTR_RESERVATION_TOKEN, &token));
    memcpy(kept, token.ptr, sizeof(kept));
    assert_int_equal(tw_permit(w, &a, &own, 1), PV_TURN_E_FORBIDDEN);
    tw_begin_allocate(w, 0);
    pv_stun_put(&w->sw, PV_TURN_ATTR_RESERVATION_TOKEN, pv_view(kept, sizeof(kept)));
    assert_int_equal(tw_request(w, &b), 0);
    assert_int_equal(tw_permit(w, &a, &own, 1), 0); /* now somebody is there */
    assert_int_equal(tw_permit(w, &b, &own, 1), 0);
    assert_int_equal(tw_refresh(w, &a, 0), 0);
    assert_int_equal(tw_permit(w, &b, &own, 1), PV_TURN_E_FORBIDDEN);
}

/* --- stock clients: allocating --------------------------------------------------------------- */

PV_TEST(a_stock_client_allocates_and_relays)
{
    struct tw *w = static_users();
    struct tw_client c = alice(1);
    struct pv_turns_socket sock = {.sock = 0};
    assert_int_equal(allocate(w, &c, &sock), 0);
    assert_true(sock.addr.port >= 49152);
    struct pv_addr relayed = tw_relayed(w);
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
    struct tw *w = static_users();
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
    struct tw *w = static_users();
    struct tw_client c = alice(1);
    struct pv_turns_socket sock = {.sock = 0};
    tw_begin_allocate(w, 0);
    assert_int_equal(tw_request(w, &c), -1);
    size_t len = PV_STUN_HEADER_LEN + (size_t)pv_load_be16(w->request + 2);
    assert_false(tw_in(w, &c, w->request, len)); /* while the socket is being opened */
    assert_int_equal(open_sockets(w, PV_OK, &sock), 1);
    assert_int_equal(tw_code(w, true), 0);
    struct pv_addr first = tw_relayed(w);
    assert_int_equal(tw_code(w, tw_in(w, &c, w->request, len)), 0);
    struct pv_addr again = tw_relayed(w);
    assert_true(pv_addr_equal(&first, &again));
    assert_int_equal(allocate(w, &c, &sock), PV_TURN_E_ALLOCATION_MISMATCH); /* a new one */
    assert_int_equal(tc_sockets(w->turns), 1);
}

PV_TEST(sha256_and_userhash_are_used_where_the_client_offers_them)
{
    struct tw *w = static_users();
    struct tw_client c = alice(1);
    struct pv_turns_socket sock = {.sock = 0};
    struct pv_turnauth_key key;
    c.sha256 = true;
    c.userhash = true;
    assert_int_equal(allocate(w, &c, &sock), 0);
    assert_ok(pv_turnauth_key("alice", "secret", &key));
    assert_ok(pv_stun_check_integrity_sha256(&w->msg, pv_view(key.sha256, 32)));
    assert_false(pv_stun_has(&w->msg, PV_STUN_ATTR_MESSAGE_INTEGRITY));
    assert_int_equal(tw_refresh(w, &c, 600), 0);
    assert_ok(pv_stun_check_integrity_sha256(&w->msg, pv_view(key.sha256, 32)));
    c.sha256 = false; /* the same user, the old way */
    assert_int_equal(tw_refresh(w, &c, 600), 0);
    assert_ok(pv_stun_check_integrity(&w->msg, pv_view(key.md5, 16)));
}

PV_TEST(half_an_algorithm_is_a_bad_request)
{
    static const uint8_t md5_only[4] = {0, 1, 0, 0};
    static const uint8_t offered[8] = {0, 2, 0, 0, 0, 1, 0, 0};
    static const uint8_t third[4] = {0, 3, 0, 0};
    struct tw *w = static_users();
    struct tw_client c = alice(1);
    const struct {
        struct pv_view list, one;
    } rows[] = {
        {pv_view(offered, 8), pv_view(NULL, 0)},
        {pv_view(NULL, 0), pv_view(offered, 4)},
        {pv_view(md5_only, 4), pv_view(md5_only, 4)}, /* not what was offered: bid down */
        {pv_view(offered, 8), pv_view(third, 4)},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        tw_begin_allocate(w, 0);
        if (rows[i].list.len > 0)
            pv_stun_put(&w->sw, PV_STUN_ATTR_PASSWORD_ALGORITHMS, rows[i].list);
        if (rows[i].one.len > 0)
            pv_stun_put(&w->sw, PV_STUN_ATTR_PASSWORD_ALGORITHM, rows[i].one);
        assert_int_equal(tw_request(w, &c), PV_STUN_E_BAD_REQUEST);
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
        struct tw *w = static_users();
        struct tw_client c = alice(1);
        tw_begin(w, PV_TURN_ALLOCATE);
        for (size_t k = 0; k < 2 && rows[i].type[k] != 0; k++)
            pv_stun_put(&w->sw, rows[i].type[k], pv_view(rows[i].value[k], rows[i].len[k]));
        int code = tw_request(w, &c);
        if (code != rows[i].code)
            fail_msg("%s: %d", rows[i].why, code);
        assert_int_equal(tc_allocations(w->turns), 0);
        test_end(w);
    }
}

/* Which of several things is wrong a client is told: RFC 8656 s7.2 has an order. */
PV_TEST(of_several_errors_the_first_of_the_rfc_is_told)
{
    struct tw *w = static_users();
    struct tw_client c = alice(1), free_one = alice(2);
    struct pv_turns_socket sock;
    assert_int_equal(allocate(w, &c, &sock), 0);
    tw_begin(w, PV_TURN_ALLOCATE); /* the 5-tuple before the transport */
    assert_int_equal(tw_request(w, &c), PV_TURN_E_ALLOCATION_MISMATCH);
    tw_begin_allocate(w, 0); /* two wishes before what one of them is */
    pv_stun_put_u32(&w->sw, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY, 3u << 24);
    pv_stun_put_u32(&w->sw, PV_TURN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
    assert_int_equal(tw_request(w, &free_one), PV_STUN_E_BAD_REQUEST);
}

PV_TEST(a_refused_channel_brings_no_permission)
{
    struct tw *w = static_users();
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
    struct tw *w = static_users();
    struct tw_client c = alice(1);
    struct pv_turns_socket sock = {.sock = 0};
    tw_begin_allocate(w, 0);
    assert_int_equal(finish_allocate(w, &c, PV_ERR_EXISTS, &sock), PV_TURN_E_NO_CAPACITY);
    assert_int_equal(tc_allocations(w->turns), 0);
    tw_begin_allocate(w, 0);
    assert_int_equal(tw_request(w, &c), -1);
    uint16_t tried = 0;
    for (int i = 0; i < PV_TURNS_PORT_TRIES - 1; i++) {
        assert_ok(pv_turns_poll_socket(w->turns, &sock));
        assert_true(sock.open && sock.addr.port != tried);
        tried = sock.addr.port;
        pv_turns_opened(w->turns, sock.sock, PV_ERR_EXISTS, w->now);
    }
    assert_int_equal(open_sockets(w, PV_OK, &sock), 1);
    assert_int_equal(tw_code(w, true), 0);
}

PV_TEST(out_of_descriptors_is_508)
{
    struct tw *w = static_users();
    struct tw_client c = alice(1);
    struct pv_turns_socket sock = {.sock = 0};
    tw_begin_allocate(w, 0);
    assert_int_equal(finish_allocate(w, &c, -24, &sock), PV_TURN_E_NO_CAPACITY);
    (void)closed_sockets(w);
    assert_int_equal(tc_sockets(w->turns), 0);
    assert_int_equal(tc_allocations(w->turns), 0);
}

PV_TEST(an_even_port_and_its_reserved_neighbour)
{
    static const uint8_t even = 0x00;
    static const uint8_t reserve = 0x80;
    struct pv_turns_config cfg = config();
    cfg.policy.port_lo = 50001;
    cfg.policy.port_hi = 50010;
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1);
    struct tw_client d = alice(2);
    struct pv_turns_socket sock = {.sock = 0}, odd = {.sock = 0};
    struct pv_view token;
    uint8_t kept[8];
    tw_begin_allocate(w, 0);
    pv_stun_put(&w->sw, PV_TURN_ATTR_EVEN_PORT, pv_view(&even, 1));
    assert_int_equal(finish_allocate(w, &c, PV_OK, &sock), 0);
    assert_int_equal(sock.addr.port % 2, 0);
    assert_false(pv_stun_has(&w->msg, PV_TURN_ATTR_RESERVATION_TOKEN));
    assert_int_equal(tw_refresh(w, &c, 0), 0);
    assert_int_equal(closed_sockets(w), 1);

    tw_begin_allocate(w, 0);
    pv_stun_put(&w->sw, PV_TURN_ATTR_EVEN_PORT, pv_view(&reserve, 1));
    assert_int_equal(finish_allocate(w, &c, PV_OK, &odd), 0);
    assert_int_equal(odd.addr.port % 2, 1);
    assert_true(odd.addr.port <= 50010);
    assert_ok(pv_stun_find(&w->msg, PV_TURN_ATTR_RESERVATION_TOKEN, &token));
    assert_int_equal(token.len, 8);
    memcpy(kept, token.ptr, 8);
    struct pv_addr relayed = tw_relayed(w);
    assert_int_equal(relayed.port + 1, odd.addr.port);

    tw_begin_allocate(w, 0);
    pv_stun_put(&w->sw, PV_TURN_ATTR_RESERVATION_TOKEN, pv_view(kept, 8));
    assert_int_equal(tw_request(w, &d), 0);
    relayed = tw_relayed(w);
    assert_int_equal(relayed.port, odd.addr.port);
    assert_int_equal(tw_permit(w, &d, &PEER, 1), 0);
    assert_true(from_peer(w, &odd, &PEER, "to the odd one"));
    assert_true(pv_addr_equal(&w->out.dst, &d.src));
    struct tw_client e = alice(3);
    tw_begin_allocate(w, 0);
    pv_stun_put(&w->sw, PV_TURN_ATTR_RESERVATION_TOKEN, pv_view(kept, 8));
    assert_int_equal(tw_request(w, &e), PV_TURN_E_NO_CAPACITY); /* once */
}

PV_TEST(a_reservation_ends_after_thirty_seconds)
{
    static const uint8_t reserve = 0x80;
    struct tw *w = static_users();
    struct tw_client c = alice(1);
    struct pv_turns_socket sock = {.sock = 0};
    tw_begin_allocate(w, 0);
    pv_stun_put(&w->sw, PV_TURN_ATTR_EVEN_PORT, pv_view(&reserve, 1));
    assert_int_equal(finish_allocate(w, &c, PV_OK, &sock), 0);
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
    struct pv_addr peer6 = pv_addr6(far6, 9);
    tw_begin_allocate(w, 0);
    pv_stun_put_u32(&w->sw, PV_TURN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
    assert_int_equal(tw_request(w, &c), -1);
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
    tw_begin(w, PV_TURN_REFRESH);
    pv_stun_put_u32(&w->sw, PV_TURN_ATTR_LIFETIME, 0);
    pv_stun_put_u32(&w->sw, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
    assert_int_equal(tw_request(w, &c), 0);
    assert_int_equal(closed_sockets(w), 1);
    assert_false(tw_send(w, &c, &peer6, "six", false));
    assert_true(tw_send(w, &c, &PEER, "four", false));
    assert_int_equal(tw_permit(w, &c, &peer6, 1), PV_TURN_E_PEER_FAMILY_MISMATCH);
    tw_begin(w, PV_TURN_REFRESH);
    pv_stun_put_u32(&w->sw, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
    assert_int_equal(tw_request(w, &c), PV_TURN_E_PEER_FAMILY_MISMATCH);
}

PV_TEST(half_of_two_families_is_said_to_be_missing)
{
    static const uint16_t numbers[][2] = {
        {PV_TURN_ATTR_ADDITIONAL_ADDRESS_FAMILY, PV_TURN_ATTR_ADDRESS_ERROR_CODE},
        {PV_TURN_ATTR_ADDITIONAL_ADDRESS_FAMILY_OLD, PV_TURN_ATTR_ADDRESS_ERROR_CODE_OLD},
    };
    struct tw *w = static_users();
    for (size_t i = 0; i < PV_ARRAY_LEN(numbers); i++) {
        struct tw_client c = alice((uint8_t)(i + 1));
        struct pv_turns_socket sock;
        struct pv_view error;
        tw_begin_allocate(w, 0);
        pv_stun_put_u32(&w->sw, numbers[i][0], 2u << 24);
        assert_int_equal(finish_allocate(w, &c, PV_OK, &sock), 0);
        assert_ok(pv_stun_find(&w->msg, numbers[i][1], &error));
        assert_int_equal(error.ptr[0], PV_TURN_FAMILY_IPV6);
        assert_int_equal(error.ptr[2] * 100 + error.ptr[3], PV_TURN_E_FAMILY_NOT_SUPPORTED);
    }
}

PV_TEST(the_public_address_of_a_nat_is_what_clients_are_told)
{
    struct pv_turns_config cfg = config();
    cfg.relay_bind[0] = pv_addr4(10, 0, 0, 5, 0);
    cfg.policy.relay_public[0] = pv_addr4(203, 0, 113, 200, 0);
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1);
    struct pv_turns_socket sock = {.sock = 0};
    assert_int_equal(allocate(w, &c, &sock), 0);
    assert_true(pv_addr_equal_ip(&sock.addr, &cfg.relay_bind[0]));
    struct pv_addr relayed = tw_relayed(w);
    assert_true(pv_addr_equal_ip(&relayed, &cfg.policy.relay_public[0]));
    assert_int_equal(relayed.port, sock.addr.port);
}

/* --- what is refused ----------------------------------------------------------------------- */

PV_TEST(quotas_have_their_answers)
{
    struct pv_turns_config cfg = config();
    cfg.limits = (struct pv_turns_limits){.relays = 4, .permissions = 2};
    cfg.policy.per_user = 3;
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket sock = {.sock = 0};
    struct tw_client c[5];
    for (uint8_t i = 0; i < 5; i++)
        c[i] = alice((uint8_t)(i + 1));
    for (int i = 0; i < 3; i++)
        assert_int_equal(allocate(w, &c[i], &sock), 0);
    assert_int_equal(allocate(w, &c[3], &sock), PV_TURN_E_QUOTA_REACHED);
    become_bob(&c[3]);
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
    tw_begin_allocate(w, 0);
    pv_stun_put(&w->sw, PV_TURN_ATTR_EVEN_PORT, pv_view(&reserve, 1));
    int code = finish_allocate(w, c, PV_OK, &odd);
    if (code != 0)
        return code;
    assert_int_equal(tw_refresh(w, c, 0), 0);
    assert_int_equal(closed_sockets(w), 1);
    return 0;
}

PV_TEST(reserved_ports_count_and_are_limited)
{
    struct pv_turns_config cfg = config();
    cfg.limits = (struct pv_turns_limits){.relays = 64};
    cfg.policy.per_user = 4;
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
    cfg.limits = (struct pv_turns_limits){.relays = 256};
    cfg.policy.per_user = 128;
    struct tw *w = tw_new_with(&cfg);
    struct tw_client c = alice(1);
    for (int i = 0; i < 32; i++)
        assert_int_equal(reserve_and_leave(w, &c), 0);
    assert_int_equal(reserve_and_leave(w, &c), PV_TURN_E_QUOTA_REACHED);
}

PV_TEST(each_user_finds_its_part_of_the_sockets)
{
    struct pv_turns_config cfg = config();
    cfg.limits = (struct pv_turns_limits){.relays = 16};
    cfg.policy.per_user = 100;
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket sock;
    size_t got[2] = {0};
    for (uint8_t i = 0; i < 40; i++) {
        struct tw_client c = alice(i);
        if (i >= 20) {
            become_bob(&c);
        }
        w->now += PV_MS(20);
        int code = allocate(w, &c, &sock);
        assert_true(code == 0 || code == PV_TURN_E_NO_CAPACITY);
        got[i / 20] += code == 0 ? 1 : 0;
    }
    assert_int_equal(got[0], 12);
    assert_int_equal(got[1], 4);
}

PV_TEST_WHOLE(ten_thousand_allocations_are_abandoned_and_nothing_stays)
{
    enum {
        N = 10000
    };
    struct pv_turns_config cfg = config();
    cfg.limits = (struct pv_turns_limits){.relays = 2 * N};
    cfg.policy.per_user = N;
    cfg.policy.port_lo = 20000;
    cfg.policy.port_hi = 65535;
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
    struct tw *w = static_users();
    struct tw_client a = alice(1);
    struct tw_client b = alice(1); /* the same 5-tuple */
    struct pv_turns_socket sock = {.sock = 0};
    assert_int_equal(allocate(w, &a, &sock), 0);
    become_bob(&b);
    assert_int_equal(tw_refresh(w, &b, 0), PV_TURN_E_WRONG_CREDENTIALS);
    assert_int_equal(tw_permit(w, &b, &PEER, 1), PV_TURN_E_WRONG_CREDENTIALS);
    assert_int_equal(tw_refresh(w, &a, 0), 0);
    assert_int_equal(tw_refresh(w, &a, 600), PV_TURN_E_ALLOCATION_MISMATCH);
}

PV_TEST(a_closed_stream_ends_its_allocation)
{
    struct tw *w = static_users();
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

/* --- phone ports of members ------------------------------------------------------------------- */

static const uint8_t OUTSIDE[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 9};

static struct pv_turns_config with_phone_ports(uint32_t n)
{
    return (struct pv_turns_config){.policy = {.phone_ports = n}};
}

static struct tw *phone_ports(uint32_t n)
{
    const struct pv_turns_config cfg = with_phone_ports(n);
    return tw_new_with(&cfg);
}

/* --- asking ---------------------------------------------------------------------------------- */

static int ask(struct tw *w, struct tw_client *c, uint16_t method, bool want)
{
    if (method == PV_TURN_ALLOCATE)
        tw_begin_allocate(w, 6);
    else
        tw_begin(w, method);
    if (want)
        pv_stun_put(&w->sw, PV_TURN_ATTR_PHONE_PORT, pv_view(NULL, 0));
    return tw_request(w, c);
}

/* The code in the last answer, 0: it is being opened; -1: an address, -2: it says nothing. */
static int phone_port_code(const struct tw *w)
{
    struct pv_view v;
    if (pv_stun_find(&w->msg, PV_TURN_ATTR_PHONE_PORT, &v) < 0)
        return -2;
    return v.len == 4 ? v.ptr[2] * 100 + v.ptr[3] : -1;
}

/* Refreshes with the wish and has the sockets opened with this status. */
static int wish(struct tw *w, struct tw_client *c, int status, struct pv_turns_socket *sock)
{
    assert_int_equal(ask(w, c, PV_TURN_REFRESH, true), 0);
    int code = phone_port_code(w);
    open_sockets(w, status, sock);
    return code;
}

/* A member with an open phone port. */
static struct tw_client with_phone_port(struct tw *w, uint8_t i, struct pv_turns_socket *sock)
{
    struct tw_client c = tw_member(w, i);
    assert_int_equal(wish(w, &c, PV_OK, sock), 0);
    assert_int_equal(wish(w, &c, PV_OK, sock), -1);
    return c;
}

static uint64_t stat_of(const struct tw *w, enum pv_relaystat what)
{
    return pv_relaystat_get(pv_turns_counters(w->turns), what);
}

PV_TEST(there_are_no_phone_ports_unless_the_operator_allows_them)
{
    struct tw *w = tw_new();
    struct tw_client a = tw_member(w, 1);
    struct pv_turns_socket sock;
    assert_int_equal(wish(w, &a, PV_OK, &sock), PV_TURN_E_FORBIDDEN);
    assert_int_equal(tc_sockets(w->turns), 0);
}

PV_TEST(a_phone_port_is_told_once_it_is_open)
{
    struct tw *w = phone_ports(4);
    struct tw_client a = tw_member(w, 1);
    static const uint8_t range[] = {0xC0, 0x00, 0xFF, 0xFF}; /* 49152-65535 */
    struct pv_turns_socket sock;
    struct pv_addr shown;
    struct pv_view v;
    assert_int_equal(ask(w, &a, PV_TURN_REFRESH, false), 0);
    assert_int_equal(phone_port_code(w), -2); /* not asked, not told */
    assert_int_equal(wish(w, &a, PV_OK, &sock), 0);
    assert_false(pv_stun_has(&w->msg, PV_TURN_ATTR_PORT_RANGE));
    assert_int_equal(wish(w, &a, PV_OK, &sock), -1);
    assert_ok(pv_stun_get_xor_addr(&w->msg, PV_TURN_ATTR_PHONE_PORT, &shown));
    assert_true(pv_addr_equal_ip(&shown, &a.local));
    assert_int_equal(shown.port, sock.addr.port);
    assert_in_range(shown.port, 49152, 65535);
    assert_ok(pv_stun_find(&w->msg, PV_TURN_ATTR_PORT_RANGE, &v));
    assert_true(pv_view_equal(v, pv_view(range, sizeof(range))));
    assert_int_equal(stat_of(w, PV_RELAYSTAT_PHONE_PORTS), 1);
}

PV_TEST(a_phone_port_has_the_same_port_after_every_restart)
{
    const struct pv_turns_config cfg = with_phone_ports(4);
    struct pv_turns_socket first, again, other;
    struct tw *w = tw_new_with(&cfg);
    with_phone_port(w, 1, &first);
    with_phone_port(w, 2, &other);
    assert_int_not_equal(first.addr.port, other.addr.port);
    struct tw *restarted = tw_new_with(&cfg);
    restarted->rng_state.state += 77; /* nothing is drawn */
    struct pv_turns_config elsewhere = cfg;
    elsewhere.phone_port_key[0] = 1; /* nobody can say what another coordinator's ports are */
    struct tw *another = tw_new_with(&elsewhere);
    with_phone_port(another, 1, &other);
    assert_int_not_equal(other.addr.port, first.addr.port);
    with_phone_port(restarted, 2, &other);
    struct tw_client a = with_phone_port(restarted, 1, &again);
    assert_int_equal(again.addr.port, first.addr.port);
    /* The member restarts: its allocation moves, and so does what is behind the phone port. */
    a.src.port++;
    tw_online(restarted, &a, TW_NET, 1);
    assert_int_equal(ask(restarted, &a, PV_TURN_ALLOCATE, true), 0);
    assert_int_equal(phone_port_code(restarted), -1);
    /* It is gone for long. */
    uint8_t pk[32];
    tw_node(1, pk);
    pv_turns_offline(restarted->turns, TW_NET, pk, restarted->now);
    restarted->now += PV_S(1000);
    pv_turns_handle_timeout(restarted->turns, restarted->now);
    assert_int_equal(closed_sockets(restarted), 1);
    assert_int_equal(stat_of(restarted, PV_RELAYSTAT_PHONE_PORTS), 1);
    with_phone_port(restarted, 1, &again);
    assert_int_equal(again.addr.port, first.addr.port);
}

PV_TEST(a_port_in_use_gives_way_to_the_next_and_in_the_end_to_an_error)
{
    struct tw *w = phone_ports(4);
    struct tw_client a = tw_member(w, 1);
    struct pv_turns_socket op, next;
    assert_int_equal(ask(w, &a, PV_TURN_REFRESH, true), 0);
    assert_ok(pv_turns_poll_socket(w->turns, &op));
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

PV_TEST(phone_ports_are_limited_for_a_network_and_in_all)
{
    struct pv_turns_config cfg = with_phone_ports(3);
    cfg.policy.phone_ports_per_net = 2;
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket sock;
    struct tw_client a = with_phone_port(w, 1, &sock);
    with_phone_port(w, 2, &sock);
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

PV_TEST(a_lower_limit_closes_phone_ports_when_their_members_ask_next)
{
    struct tw *w = phone_ports(2);
    struct pv_turns_policy policy = {.phone_ports = 1};
    struct pv_turns_socket sock;
    struct tw_client a = with_phone_port(w, 1, &sock);
    struct tw_client b = with_phone_port(w, 2, &sock);
    pv_turns_set_policy(w->turns, &policy);
    assert_int_equal(wish(w, &a, PV_OK, &sock), PV_TURN_E_NO_CAPACITY);
    assert_int_equal(wish(w, &b, PV_OK, &sock), -1);
    assert_int_equal(stat_of(w, PV_RELAYSTAT_PHONE_PORTS), 1);
    policy.phone_ports = 0;
    pv_turns_set_policy(w->turns, &policy);
    assert_int_equal(wish(w, &b, PV_OK, &sock), PV_TURN_E_FORBIDDEN);
    assert_int_equal(tc_sockets(w->turns), 0);
}

PV_TEST(a_removed_member_has_no_phone_port)
{
    struct tw *w = phone_ports(2);
    struct pv_turns_socket sock;
    uint8_t pk[32];
    with_phone_port(w, 1, &sock);
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

static bool at_phone_port(struct tw *w, const struct pv_turns_socket *phone_port,
                          const struct pv_addr *from, uint8_t type)
{
    uint8_t buf[148];
    const struct tw_client c = {.src = *from, .sock = phone_port->sock};
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
    assert_ok(pv_turn_indication_build(
        PV_TURN_SEND, txid, to, pv_view(data, len == 0 ? least : len), buf, sizeof(buf), &n));
    return tw_in(w, c, buf, n);
}

PV_TEST(messages_of_wireguard_pass_both_ways)
{
    struct tw *w = phone_ports(1);
    struct pv_turns_socket phone_port;
    struct tw_client a = with_phone_port(w, 1, &phone_port);
    struct pv_addr got;
    struct pv_view data;
    uint16_t number = 0;
    assert_true(at_phone_port(w, &phone_port, &PHONE, 1)); /* a stranger */
    assert_true(pv_addr_equal(&w->out.dst, &a.src));
    assert_ok(pv_turn_indication_parse(w->out.data, PV_TURN_DATA, &got, &data));
    assert_true(pv_addr_equal(&got, &PHONE));
    assert_int_equal(data.len, 148);
    assert_true(out_by_send(w, &a, &PHONE, 2, 0));
    assert_true(pv_addr_equal(&w->out.dst, &PHONE));
    assert_int_equal(w->out.sock, phone_port.sock);
    assert_int_equal(w->out.data.len, 92);

    assert_int_equal(tw_bind(w, &a, 0x4001, &PHONE), 0); /* a phone */
    assert_true(at_phone_port(w, &phone_port, &PHONE, 4));
    assert_ok(pv_turn_channel_parse(w->out.data, &number, &data));
    assert_int_equal(number, 0x4001);
    assert_int_equal(data.len, 32);
    assert_true(out_by_channel(w, &a, 0x4001, 4));
    assert_true(pv_addr_equal(&w->out.dst, &PHONE));
    assert_int_equal(w->out.data.len, 32);
    assert_int_equal(stat_of(w, PV_RELAYSTAT_PHONE_PORT_PACKETS), 4);
    assert_int_equal(stat_of(w, PV_RELAYSTAT_PHONE_PORT_BYTES), 148 + 92 + 32 + 32);
}

PV_TEST(nothing_but_wireguard_passes)
{
    struct tw *w = phone_ports(1);
    struct pv_turns_socket phone_port;
    struct tw_client a = with_phone_port(w, 1, &phone_port);
    const struct tw_client there = {.src = PHONE, .sock = phone_port.sock};
    static const uint8_t bad[][148] = {[0] = {0},          [1] = {5},          [2] = {1, 1},
                                       [3] = {1, 0, 0, 1}, [4] = {4, 0, 0, 1}, [5] = {4, 0, 1}};
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++)
        assert_false(tw_in(w, &there, bad[i], sizeof(bad[i])));
    for (uint8_t type = 1; type <= 4; type++) {
        size_t len = wireguard(type, w->request);
        assert_false(tw_in(w, &there, w->request, len - 1));
        assert_int_equal(tw_in(w, &there, w->request, len + 0), true);
        assert_int_equal(type == 4, tw_in(w, &there, w->request, len == 148 ? 147 : len + 1));
    }
    assert_false(from_peer(w, &phone_port, &PHONE, "")); /* empty, text, STUN */
    assert_false(from_peer(w, &phone_port, &PHONE, "hello"));
    size_t len = 0;
    tw_begin(w, PV_STUN_BINDING);
    assert_ok(pv_stun_write_end(&w->sw, &len));
    assert_false(tw_in(w, &there, w->request, len));
    /* And nothing else leaves. */
    assert_int_equal(tw_bind(w, &a, 0x4001, &PHONE), 0);
    assert_false(tw_send(w, &a, &PHONE, "hello", false));
    assert_false(tw_channel_data(w, &a, 0x4001, "hello"));
    assert_true(stat_of(w, PV_RELAYSTAT_DROP_PHONE_PORT_FOREIGN) >= 15);
}

PV_TEST(without_a_phone_port_real_addresses_are_no_peers)
{
    struct tw *w = phone_ports(1);
    struct pv_turns_socket phone_port;
    const struct pv_addr phone6 = pv_addr6(OUTSIDE, 51820);
    const struct pv_addr inside = pv_addr4(10, 1, 2, 3, 51820);
    struct tw_client b = tw_member(w, 2);
    assert_int_equal(tw_bind(w, &b, 0x4001, &PHONE), PV_TURN_E_PEER_FAMILY_MISMATCH);
    assert_false(out_by_send(w, &b, &PHONE, 4, 0));
    struct tw_client a = with_phone_port(w, 1, &phone_port);
    assert_int_equal(tw_bind(w, &a, 0x4001, &PHONE), 0);
    assert_int_equal(tw_bind(w, &a, 0x4002, &phone6), PV_TURN_E_FORBIDDEN); /* another family */
    assert_int_not_equal(tw_bind(w, &a, 0x4003, &inside), 0);               /* a private network */
    assert_false(at_phone_port(w, &phone_port, &inside, 1));
    assert_false(out_by_send(w, &a, &inside, 4, 0));
    /* It gives the phone port up: what is bound leads nowhere. */
    assert_int_equal(ask(w, &a, PV_TURN_REFRESH, false), 0);
    assert_false(out_by_channel(w, &a, 0x4001, 4));
    assert_int_equal(closed_sockets(w), 1);
}

PV_TEST(a_phone_port_reopened_knows_its_phones_when_they_are_bound_again)
{
    struct tw *w = phone_ports(1);
    struct pv_turns_socket phone_port;
    struct tw_client a = with_phone_port(w, 1, &phone_port);
    assert_int_equal(tw_bind(w, &a, 0x4001, &PHONE), 0);
    assert_int_equal(ask(w, &a, PV_TURN_REFRESH, false), 0);
    assert_int_equal(closed_sockets(w), 1);
    assert_int_equal(wish(w, &a, PV_OK, &phone_port), 0);
    assert_int_equal(tw_bind(w, &a, 0x4001, &PHONE), 0);
    assert_true(at_phone_port(w, &phone_port, &PHONE, 4));
    assert_int_equal(w->out.data.ptr[0], 0x40); /* by the channel */
    w->now += PV_S(601);
    assert_int_equal(ask(w, &a, PV_TURN_REFRESH, true), 0);
    assert_true(at_phone_port(w, &phone_port, &PHONE, 4));
    assert_int_equal(w->out.data.ptr[0], 0); /* a stranger again */
}

/* Its process knows no channel of before, and would drop what comes by one. */
PV_TEST(a_member_that_restarted_hears_its_phones_until_it_binds_them_again)
{
    struct tw *w = phone_ports(1);
    struct pv_turns_socket phone_port;
    struct tw_client a = with_phone_port(w, 1, &phone_port);
    assert_int_equal(tw_bind(w, &a, 0x4001, &PHONE), 0);
    assert_true(at_phone_port(w, &phone_port, &PHONE, 4));
    assert_int_equal(w->out.data.ptr[0], 0x40); /* by the channel */
    assert_int_equal(ask(w, &a, PV_TURN_ALLOCATE, true), 0);
    assert_true(at_phone_port(w, &phone_port, &PHONE, 1));
    assert_int_equal(w->out.data.ptr[0], 0); /* an indication */
    assert_int_equal(tw_bind(w, &a, 0x4007, &PHONE), 0);
    assert_true(at_phone_port(w, &phone_port, &PHONE, 4));
    assert_int_equal(w->out.data.ptr[0], 0x40);
}

/* --- floods ---------------------------------------------------------------------------------- */

PV_TEST(a_source_that_floods_leaves_room_for_others_and_phones)
{
    struct tw *w = phone_ports(1);
    struct pv_turns_socket phone_port;
    const struct pv_addr phone = pv_addr4(198, 18, 7, 9, 51820);
    struct tw_client a = with_phone_port(w, 1, &phone_port);
    unsigned passed = 0;
    assert_int_equal(tw_bind(w, &a, 0x4001, &phone), 0);
    for (unsigned i = 0; i < 10000; i++) {
        const struct pv_addr evil = pv_addr4(203, 0, 114, (uint8_t)i, (uint16_t)(i + 1));
        passed += at_phone_port(w, &phone_port, &evil, 4) ? 1 : 0;
    }
    assert_int_equal(passed, PV_TURNS_PHONE_PORT_SOURCE_BURST);
    assert_true(at_phone_port(w, &phone_port, &PHONE, 1));
    /* Many sources: strangers wait, the phone does not. */
    for (unsigned i = 0; i < 10000; i++) {
        const struct pv_addr evil = pv_addr4(11, (uint8_t)(i >> 8), (uint8_t)i, 1, 9);
        passed += at_phone_port(w, &phone_port, &evil, 4) ? 1 : 0;
        assert_true(at_phone_port(w, &phone_port, &phone, 4));
    }
    assert_int_equal(passed + 1, PV_TURNS_PHONE_PORT_BURST);
    assert_false(at_phone_port(w, &phone_port, &PHONE, 1));
    w->now += PV_S(1);
    assert_true(at_phone_port(w, &phone_port, &PHONE, 1));
}

PV_TEST(a_flood_at_one_phone_port_leaves_the_others_their_share)
{
    struct tw *w = phone_ports(2);
    struct pv_turns_socket one, two;
    with_phone_port(w, 1, &one);
    struct tw_client b = with_phone_port(w, 2, &two);
    for (unsigned s = 0; s < 60; s++) {
        for (unsigned i = 0; i < 1000; i++) {
            const struct pv_addr evil = pv_addr4((uint8_t)(11 + s), (uint8_t)i, (uint8_t)s, 1, 9);
            (void)!at_phone_port(w, &one, &evil, 1);
        }
        assert_true(at_phone_port(w, &two, &PHONE, 1));
        assert_true(pv_addr_equal(&w->out.dst, &b.src));
        w->now += PV_S(1);
    }
}

PV_TEST(a_phone_port_is_no_way_to_send_to_strangers)
{
    struct tw *w = phone_ports(1);
    struct pv_turns_socket phone_port;
    const struct pv_addr victim = pv_addr4(203, 0, 113, 9, 51820);
    struct tw_client a = with_phone_port(w, 1, &phone_port);
    size_t bytes = 0;
    /* A minute of sending, with a channel and without: what has not sent gets a trickle. */
    assert_int_equal(tw_bind(w, &a, 0x4001, &victim), 0);
    for (unsigned i = 0; i < 60000; i++) {
        w->now += PV_MS(1);
        bytes += out_by_send(w, &a, &victim, 4, 1296) ? 1296 : 0;
        bytes += out_by_channel(w, &a, 0x4001, 1) ? 148 : 0;
    }
    assert_in_range(bytes, 1,
                    PV_TURNS_PHONE_PORT_KNOCK_BURST + 61 * PV_TURNS_PHONE_PORT_KNOCK_RATE);
    /* One that has spoken gets all, until it is silent for as long as a permission lasts. */
    assert_true(at_phone_port(w, &phone_port, &victim, 4));
    for (unsigned i = 0; i < 1000; i++)
        assert_true(out_by_channel(w, &a, 0x4001, 1));
    w->now += PV_TURN_PERMISSION_TIME;
    bytes = 0;
    for (unsigned i = 0; i < 1000; i++)
        bytes += out_by_channel(w, &a, 0x4001, 1) ? 148 : 0;
    assert_in_range(bytes, 1, PV_TURNS_PHONE_PORT_KNOCK_BURST);
}

PV_TEST(bandwidth_holds_at_phone_ports_too)
{
    struct pv_turns_config cfg = with_phone_ports(1);
    cfg.policy.bandwidth = 100000;
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket phone_port;
    struct tw_client a = with_phone_port(w, 1, &phone_port);
    unsigned in = 0, out = 0;
    assert_int_equal(tw_bind(w, &a, 0x4001, &PHONE), 0);
    for (unsigned i = 0; i < 10000; i++) {
        in += at_phone_port(w, &phone_port, &PHONE, 1) ? 1 : 0;
        out += out_by_channel(w, &a, 0x4001, 1) ? 1 : 0;
    }
    assert_int_equal(in, 100000 / 148);
    assert_int_equal(out, 100000 / 148);
    assert_true(stat_of(w, PV_RELAYSTAT_DROP_BANDWIDTH) > 0);
}

/* Numbers of sockets come round: what belonged to a phone port that is closed must not be found at
 * the next one with its number. */
PV_TEST(a_channel_ends_at_the_phone_port_that_it_was_bound_for)
{
    struct pv_turns_config cfg = with_phone_ports(3);
    cfg.limits.relays = 12;
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket phone_port, phone_port_b, other;
    struct tw_client a = with_phone_port(w, 1, &phone_port);
    assert_int_equal(tw_bind(w, &a, 0x4007, &PHONE), 0);
    assert_int_equal(ask(w, &a, PV_TURN_REFRESH, false), 0);
    assert_int_equal(closed_sockets(w), 1);
    for (int i = 0; i < 11; i++) {
        w->now += PV_S(1);
        assert_int_equal(wish(w, &a, PV_OK, &other), 0);
        assert_int_equal(ask(w, &a, PV_TURN_REFRESH, false), 0);
        assert_int_equal(closed_sockets(w), 1);
    }
    (void)with_phone_port(w, 2, &phone_port_b);
    assert_int_equal(phone_port_b.sock, phone_port.sock);
    unsigned passed = 0;
    for (int i = 0; i < 1000; i++)
        passed += at_phone_port(w, &phone_port_b, &PHONE, 1);
    assert_in_range(passed, 1, PV_TURNS_PHONE_PORT_SOURCE_BURST);
}

/* One member has a share of the table, and takes nothing from others however often it binds. */
PV_TEST(channels_of_one_member_leave_room_for_phones_of_others)
{
    struct tw *w = phone_ports(4);
    struct pv_turns_socket phone_port, again, phone_port_b;
    struct tw_client a = with_phone_port(w, 1, &phone_port),
                     b = with_phone_port(w, 2, &phone_port_b);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 2 * PV_TURNS_PHONE_PORT_PEERS; i++) {
            const struct pv_addr p = pv_addr4(11, 1, (uint8_t)(i >> 8), (uint8_t)i, 9);
            assert_int_equal(tw_bind(w, &a, (uint16_t)(0x4000 + i), &p), 0);
        }
        assert_int_equal(pv_turns_phone_port_peers(w->turns), PV_TURNS_PHONE_PORT_PEERS);
        assert_int_equal(ask(w, &a, PV_TURN_REFRESH, false), 0);
        assert_int_equal(pv_turns_phone_port_peers(w->turns), 0);
        assert_int_equal(wish(w, &a, PV_OK, &again), 0);
    }
    assert_int_equal(tw_bind(w, &b, 0x4001, &PHONE), 0);
    unsigned passed = 0;
    for (int i = 0; i < 1000; i++)
        passed += at_phone_port(w, &phone_port_b, &PHONE, 4);
    assert_int_equal(passed, 1000);
}

/* Each phone port has its own share: no number of phone ports that are flooded takes another's. */
PV_TEST(floods_at_many_phone_ports_leave_one_that_is_not_flooded_its_share)
{
    struct pv_turns_config cfg = with_phone_ports(40);
    cfg.policy.phone_ports_per_net = 40;
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket evil[32], other;
    for (uint8_t i = 0; i < 32; i++)
        (void)with_phone_port(w, (uint8_t)(i + 1), &evil[i]);
    (void)with_phone_port(w, 100, &other);
    for (unsigned i = 0; i < 32 * 1000; i++) {
        const struct pv_addr e = pv_addr4(11, (uint8_t)(i >> 8), (uint8_t)i, 1, 9);
        (void)!at_phone_port(w, &evil[i % 32], &e, 4);
    }
    assert_true(at_phone_port(w, &other, &PHONE, 1));
}

/* Strangers pay by length, or a few long messages would fill a small bandwidth. */
PV_TEST(strangers_at_a_phone_port_leave_its_member_the_bandwidth)
{
    struct pv_turns_config cfg = with_phone_ports(1);
    cfg.policy.bandwidth = 65536;
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket phone_port;
    (void)with_phone_port(w, 1, &phone_port);
    uint8_t big[1480] = {4};
    size_t passed = 0;
    for (unsigned ms = 0; ms < 20000; ms++) {
        struct tw_client s = {.sock = phone_port.sock,
                              .src = pv_addr4(11, (uint8_t)(ms >> 8), (uint8_t)ms, 1, 9)};
        w->now += PV_MS(1);
        passed += tw_in(w, &s, big, sizeof(big)) ? sizeof(big) : 0;
    }
    assert_in_range(passed, 1, 20 * 65536 / 4);
}

PV_TEST(phone_ports_leave_static_users_most_of_the_sockets)
{
    struct pv_turns_config cfg = with_phone_ports(8);
    cfg.policy.phone_ports_per_net = 8;
    cfg.limits.relays = 8;
    struct tw *w = tw_new_with(&cfg);
    struct pv_turns_socket sock;
    for (uint8_t i = 1; i <= 2; i++)
        (void)with_phone_port(w, i, &sock);
    struct tw_client c = tw_member(w, 3);
    assert_int_equal(wish(w, &c, PV_OK, &sock), PV_TURN_E_NO_CAPACITY);
}

PV_TEST(a_member_that_opens_phone_port_after_phone_port_waits)
{
    struct tw *w = phone_ports(4);
    struct pv_turns_socket sock;
    struct tw_client a = tw_member(w, 1);
    for (unsigned i = 0; i < PV_TURNS_PHONE_PORT_OPENS; i++) {
        assert_int_equal(wish(w, &a, PV_OK, &sock), 0);
        assert_int_equal(ask(w, &a, PV_TURN_REFRESH, false), 0);
        (void)closed_sockets(w);
    }
    assert_int_equal(wish(w, &a, PV_OK, &sock), PV_TURN_E_NO_CAPACITY);
    w->now += PV_S(1);
    assert_int_equal(wish(w, &a, PV_OK, &sock), 0);
}
