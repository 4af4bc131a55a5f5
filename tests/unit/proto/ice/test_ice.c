/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "ice_lone.h"
#include "proto/ice/ice.h"

/* --- checks on the wire ----------------------------------------------------------------------- */

PV_TEST(checks_are_sent_at_0_20_60_140_300_620_and_doubling)
{
    static const unsigned AT_MS[] = {0, 20, 60, 140, 300, 620, 1260, 2540};
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    lone_begin(&l, true, false, true);
    pv_ns begin = l.now;

    for (size_t i = 0; i < PV_ARRAY_LEN(AT_MS); i++) {
        l.now = begin + PV_MS(AT_MS[i]);
        assert_true(pv_ice_next_timeout(l.agent) == l.now);
        if (l.now > begin) {
            pv_ice_handle_timeout(l.agent, l.now - 1);
            assert_int_equal(drain(&l), 0);
        }
        pv_ice_handle_timeout(l.agent, l.now);
        assert_ok(next_msg(&l, &tx, &msg));
        assert_ok(pv_stun_check_integrity(&msg, pv_view(l.theirs.pwd, strlen(l.theirs.pwd))));
        assert_ok(pv_stun_check_fingerprint(&msg));
        assert_true(pv_addr_equal(&tx.dst, &l.remote));
        assert_true(tx.len <= 128);
        assert_int_equal(drain(&l), 0);
    }
    pv_ice_handle_timeout(l.agent, begin + PV_MS(5100));
    assert_int_equal(drain(&l), 0);
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_CHECKING);
    pv_ice_handle_timeout(l.agent, begin + PV_S(10));
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_FAILED);
    assert_true(pv_ice_next_timeout(l.agent) == PV_NEVER);
}

PV_TEST(foreign_agents_are_checked_by_the_rfcs_timers)
{
    static const unsigned AT_MS[] = {0, 500, 1500, 3500, 7500, 15500, 31500};
    struct lone l;
    lone_begin(&l, true, true, true);
    pv_ns begin = l.now;
    for (size_t i = 0; i < PV_ARRAY_LEN(AT_MS); i++) {
        assert_true(pv_ice_next_timeout(l.agent) == begin + PV_MS(AT_MS[i]));
        l.now = begin + PV_MS(AT_MS[i]);
        pv_ice_handle_timeout(l.agent, l.now);
        assert_int_equal(drain(&l), 1);
    }
    pv_ice_handle_timeout(l.agent, begin + PV_MS(39499));
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_CHECKING);
    pv_ice_handle_timeout(l.agent, begin + PV_MS(39500));
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_FAILED);
}

PV_TEST(a_request_is_answered_only_when_it_is_authentic)
{
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct pv_addr seen;
    lone_begin(&l, true, false, false);
    struct req q = good_request(&l);

    struct req bad = q;
    bad.pwd = l.theirs.pwd;
    assert_int_equal(send_request(&l, &bad, &l.remote), PV_ERR_AUTH);
    bad = q;
    bad.no_integrity = true;
    assert_int_equal(send_request(&l, &bad, &l.remote), PV_ERR_AUTH);
    bad = q;
    bad.to = l.theirs.ufrag;
    assert_int_equal(send_request(&l, &bad, &l.remote), PV_ERR_AUTH);
    assert_int_equal(drain(&l), 0);

    assert_ok(send_request(&l, &q, &l.remote));
    assert_ok(next_msg(&l, &tx, &msg));
    assert_int_equal(msg.cls, PV_STUN_SUCCESS);
    assert_ok(pv_stun_check_integrity(&msg, pv_view(l.mine.pwd, strlen(l.mine.pwd))));
    assert_ok(pv_stun_get_xor_addr(&msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &seen));
    assert_true(pv_addr_equal(&seen, &l.remote));
    assert_true(pv_addr_equal(&tx.dst, &l.remote));
    assert_int_equal(drain(&l), 0); /* no description yet: nothing can be checked */
}

PV_TEST(every_truncation_of_a_request_is_dropped)
{
    struct lone l;
    uint8_t buf[256];
    struct pv_ice_carrier c = {0};
    lone_begin(&l, true, false, true);
    drain(&l);
    struct req q = good_request(&l);
    size_t len = write_request(&q, buf, sizeof(buf));
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *exact = malloc(cut + (cut == 0));
        assert_non_null(exact);
        memcpy(exact, buf, cut);
        char ufrag[PV_ICE_UFRAG_MAX + 1];
        assert_int_equal(pv_ice_handle_input(l.agent, &c, &l.remote, pv_view(exact, cut), l.now),
                         PV_ERR_TRUNCATED);
        assert_int_equal(pv_ice_request_ufrag(pv_view(exact, cut), ufrag), PV_ERR_NOT_FOUND);
        free(exact);
    }
    char ufrag[PV_ICE_UFRAG_MAX + 1];
    assert_ok(pv_ice_request_ufrag(pv_view(buf, len), ufrag));
    assert_string_equal(ufrag, l.mine.ufrag);
    assert_int_equal(drain(&l), 0);
}

PV_TEST(faulty_requests_get_the_errors_of_the_rfc)
{
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct pv_view v;
    unsigned code;
    lone_begin(&l, true, false, true);
    drain(&l);

    struct req q = good_request(&l);
    q.no_priority = true;
    assert_ok(send_request(&l, &q, &l.remote));
    assert_ok(next_msg(&l, &tx, &msg));
    assert_ok(pv_stun_get_error(&msg, &code));
    assert_int_equal(code, 400);

    q = good_request(&l);
    q.unknown = 0x7f01;
    assert_ok(send_request(&l, &q, &l.remote));
    assert_ok(next_msg(&l, &tx, &msg));
    assert_ok(pv_stun_get_error(&msg, &code));
    assert_int_equal(code, 420);
    assert_ok(pv_stun_find(&msg, PV_STUN_ATTR_UNKNOWN_ATTRIBUTES, &v));
    assert_int_equal(pv_load_be16(v.ptr), 0x7f01);
    assert_int_equal(drain(&l), 0);
}

/* The other side of l as an agent. */
static struct pv_ice_agent *make_other(struct lone *l)
{
    struct pv_ice_config cfg = {.rng = l->rng, .local = l->theirs};
    struct pv_ice_agent *other;
    struct pv_ice_cand host = {.type = PV_ICE_HOST,
                               .addr = l->remote,
                               .priority = pv_ice_priority(PV_ICE_HOST, 65000),
                               .carrier = {.local = l->remote}};
    assert_ok(pv_ice_new(&other, &cfg, l->now));
    test_defer(lone_free, other);
    pv_ice_set_local(other, &host, 1, l->now);
    host.addr = l->local;
    assert_ok(pv_ice_set_remote(other, &l->mine, &host, 1, l->now));
    return other;
}

PV_TEST(a_check_carries_nothing_that_another_agent_refuses)
{
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct pv_view unknown;
    lone_begin(&l, true, false, true);
    struct pv_ice_agent *other = make_other(&l);
    const struct pv_ice_carrier at = {.local = l.remote};
    pv_ice_handle_timeout(l.agent, l.now);
    assert_ok(next_msg(&l, &tx, &msg));
    assert_ok(pv_ice_handle_input(other, &at, &l.local, pv_view(tx.buf, tx.len), l.now));
    do {
        assert_ok(pv_ice_poll_transmit(other, &tx));
        assert_ok(pv_stun_decode(pv_view(tx.buf, tx.len), &msg));
    } while (msg.cls == PV_STUN_REQUEST);
    if (pv_stun_find(&msg, PV_STUN_ATTR_UNKNOWN_ATTRIBUTES, &unknown) == PV_OK && unknown.len >= 2)
        fail_msg("a check is answered by 420: known[] of ice_check.c lacks attribute 0x%02x%02x",
                 unknown.ptr[0], unknown.ptr[1]);
    assert_int_equal(msg.cls, PV_STUN_SUCCESS);
}

PV_TEST(the_ufrag_is_found_only_within_its_bounds)
{
    char ufrag[PV_ICE_UFRAG_MAX + 1];
    char longest[PV_ICE_UFRAG_MAX + 2];
    uint8_t buf[256];
    memset(longest, 'x', sizeof(longest));
    longest[PV_ICE_UFRAG_MAX + 1] = '\0';
    struct req q = {.to = longest, .from = "abcd", .pwd = "p"};
    size_t len = write_request(&q, buf, sizeof(buf));
    assert_int_equal(pv_ice_request_ufrag(pv_view(buf, len), ufrag), PV_ERR_NOT_FOUND);
    longest[PV_ICE_UFRAG_MAX] = '\0';
    len = write_request(&q, buf, sizeof(buf));
    assert_ok(pv_ice_request_ufrag(pv_view(buf, len), ufrag));
    assert_string_equal(ufrag, longest);
    q.to = "";
    len = write_request(&q, buf, sizeof(buf));
    assert_int_equal(pv_ice_request_ufrag(pv_view(buf, len), ufrag), PV_ERR_NOT_FOUND);
}

PV_TEST(a_flood_of_authentic_requests_is_bounded)
{
    struct lone l;
    unsigned answered = 0;
    lone_begin(&l, true, false, false);
    struct req q = good_request(&l);
    for (int i = 0; i < 1000; i++) {
        (void)!send_request(&l, &q, &l.remote);
        answered += drain(&l);
    }
    assert_int_equal(answered, 100);
    for (int i = 0; i < 20; i++) { /* not drained: the queue is bounded */
        l.now += PV_S(1);
        assert_ok(send_request(&l, &q, &l.remote));
    }
    assert_int_equal(drain(&l), 16);
}

PV_TEST(answers_count_only_from_the_pair_with_its_secret)
{
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_ice_transmit copy;
    struct pv_stun_msg msg;
    struct pv_addr stranger = pv_addr4(192, 0, 2, 3, 2000);
    struct pv_ice_path path;
    lone_begin(&l, false, false, true);
    pv_ice_handle_timeout(l.agent, l.now);
    assert_ok(next_msg(&l, &tx, &msg));
    l.now += PV_MS(7);

    assert_int_equal(answer(&l, &tx, &stranger, l.local, l.theirs.pwd), PV_ERR_NOT_FOUND);
    stranger = l.remote;
    stranger.port++;
    assert_int_equal(answer(&l, &tx, &stranger, l.local, l.theirs.pwd), PV_ERR_NOT_FOUND);
    l.answers_on = 3; /* RFC 8445 s7.2.5.2.1: where it was asked from */
    assert_int_equal(answer(&l, &tx, &l.remote, l.local, l.theirs.pwd), PV_ERR_NOT_FOUND);
    l.answers_on = 0;
    assert_int_equal(answer(&l, &tx, &l.remote, l.local, l.mine.pwd), PV_ERR_AUTH);
    copy = tx;
    copy.buf[19] ^= 1;
    assert_int_equal(answer(&l, &copy, &l.remote, l.local, l.theirs.pwd), PV_ERR_NOT_FOUND);
    copy = tx;
    copy.buf[9] ^= 1; /* a transmission that was not sent */
    assert_int_equal(answer(&l, &copy, &l.remote, l.local, l.theirs.pwd), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_ice_selected(l.agent, &path), PV_ERR_NOT_FOUND);

    assert_ok(answer(&l, &tx, &l.remote, l.local, l.theirs.pwd));
    assert_ok(pv_ice_selected(l.agent, &path));
    assert_true(path.rtt == PV_MS(7));
    assert_int_equal(path.answers, 1);
    l.now += PV_MS(50);
    assert_ok(answer(&l, &tx, &l.remote, l.local, l.theirs.pwd));
    assert_ok(pv_ice_selected(l.agent, &path));
    assert_int_equal(path.answers, 1); /* a duplicate changes nothing */
    assert_true(path.rtt == PV_MS(7));
}

PV_TEST(a_check_before_the_description_is_answered_and_honoured_later)
{
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct pv_ice_event ev;
    lone_begin(&l, false, false, false);
    struct req q = good_request(&l);
    q.nomination = 5;
    assert_ok(send_request(&l, &q, &l.remote));
    q.nomination = 0; /* an older one, delayed */
    assert_ok(send_request(&l, &q, &l.remote));
    assert_int_equal(drain(&l), 2);
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_NEW);

    /* The description lists no address at all. */
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, NULL, 0, l.now));
    assert_ok(next_msg(&l, &tx, &msg));
    assert_true(pv_addr_equal(&tx.dst, &l.remote));
    assert_ok(answer(&l, &tx, &l.remote, l.local, l.theirs.pwd));
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_COMPLETED);
    assert_ok(pv_ice_poll_event(l.agent, &ev));
    assert_int_equal(ev.type, PV_ICE_EV_SELECTED);
    assert_int_equal(ev.path.remote_type, PV_ICE_PRFLX);
}

PV_TEST(checks_for_other_credentials_of_the_peer_move_nothing)
{
    struct lone l;
    struct pv_addr elsewhere = pv_addr4(192, 0, 2, 77, 7);
    lone_begin(&l, false, false, true);
    pv_ice_handle_timeout(l.agent, l.now);
    drain(&l);
    struct req q = good_request(&l);
    q.from = "older";
    for (uint16_t i = 0; i < 100; i++) {
        elsewhere.port = (uint16_t)(i + 1);
        l.now += PV_MS(20);
        assert_ok(send_request(&l, &q, &elsewhere));
        (void)drain(&l);
    }
    struct pv_ice_path paths[4];
    assert_int_equal(pv_ice_paths(l.agent, paths, 4), 1);
}

/* --- nomination ------------------------------------------------------------------------------- */

PV_TEST(the_controlled_side_follows_the_highest_counter)
{
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct pv_ice_path path;
    struct pv_addr other = pv_addr4(192, 0, 2, 9, 9000);
    lone_begin(&l, false, false, true);
    pv_ice_handle_timeout(l.agent, l.now);
    assert_ok(next_msg(&l, &tx, &msg));
    assert_ok(answer(&l, &tx, &l.remote, l.local, l.theirs.pwd));
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_CONNECTED);

    struct req q = good_request(&l);
    q.nomination = 7;
    assert_ok(send_request(&l, &q, &l.remote));
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_COMPLETED);

    /* Lower and equal counters elsewhere move nothing, nor does one of more than 24 bits. */
    const uint32_t REFUSED[] = {6, 7, 0x1000000};
    for (size_t i = 0; i < PV_ARRAY_LEN(REFUSED); i++) {
        q.nomination = REFUSED[i];
        assert_ok(send_request(&l, &q, &other));
        while (next_msg(&l, &tx, &msg) == PV_OK)
            if (msg.cls == PV_STUN_REQUEST && pv_addr_equal(&tx.dst, &other))
                assert_ok(answer(&l, &tx, &other, l.local, l.theirs.pwd));
        assert_ok(pv_ice_selected(l.agent, &path));
        assert_true(pv_addr_equal(&path.remote, &l.remote));
    }
    q.nomination = 0xffffff;
    assert_ok(send_request(&l, &q, &other));
    assert_ok(pv_ice_selected(l.agent, &path));
    assert_true(pv_addr_equal(&path.remote, &other));
}

PV_TEST(a_nominated_pair_is_used_once_it_is_proven)
{
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct pv_ice_path path;
    struct pv_addr other = pv_addr4(192, 0, 2, 9, 9000);
    lone_begin(&l, false, false, true);
    pv_ice_handle_timeout(l.agent, l.now);
    assert_ok(next_msg(&l, &tx, &msg));
    struct pv_ice_transmit first = tx;

    struct req q = good_request(&l);
    q.nomination = 1;
    assert_ok(send_request(&l, &q, &other));
    struct pv_ice_transmit triggered = {0};
    while (next_msg(&l, &tx, &msg) == PV_OK)
        if (msg.cls == PV_STUN_REQUEST && pv_addr_equal(&tx.dst, &other))
            triggered = tx;
    assert_true(triggered.len > 0);

    /* Another pair is proven first and used meanwhile, without a word to the other side. */
    assert_ok(answer(&l, &first, &l.remote, l.local, l.theirs.pwd));
    assert_ok(pv_ice_selected(l.agent, &path));
    assert_true(pv_addr_equal(&path.remote, &l.remote));
    assert_int_equal(drain(&l), 0);
    assert_ok(answer(&l, &triggered, &other, l.local, l.theirs.pwd));
    assert_ok(pv_ice_selected(l.agent, &path));
    assert_true(pv_addr_equal(&path.remote, &other));
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_COMPLETED);
}

/* Drives a controlling agent for `time`; requests to `to` are answered after `delay` if wanted.
 * Returns the highest nomination seen on the way there. */
static uint32_t play(struct lone *l, pv_ns time, const struct pv_addr *to, pv_ns delay,
                     struct pv_addr mapped)
{
    struct pv_ice_transmit tx;
    struct pv_ice_transmit held = {0};
    struct pv_stun_msg msg;
    pv_ns due = PV_NEVER;
    uint32_t highest = 0;

    for (pv_ns end = l->now + time; l->now < end; l->now += PV_MS(1)) {
        pv_ice_handle_timeout(l->agent, l->now);
        while (next_msg(l, &tx, &msg) == PV_OK) {
            uint32_t n = 0;
            if (msg.cls != PV_STUN_REQUEST || !pv_addr_equal(&tx.dst, to))
                continue;
            (void)!pv_stun_get_u32(&msg, PV_STUN_ATTR_NOMINATION, &n);
            highest = n > highest ? n : highest;
            if (due == PV_NEVER && delay != PV_NEVER) {
                held = tx;
                due = l->now + delay;
            }
        }
        if (l->now >= due) {
            due = PV_NEVER;
            (void)!answer(l, &held, to, mapped, l->theirs.pwd);
        }
    }
    return highest;
}

PV_TEST(a_late_answer_to_the_check_before_does_not_end_a_nomination)
{
    struct lone l;
    struct pv_ice_transmit first, second, tx;
    struct pv_stun_msg msg;
    uint32_t n = 0;
    lone_begin(&l, true, false, true);
    pv_ice_handle_timeout(l.agent, l.now);
    assert_ok(next_msg(&l, &first, &msg));
    l.now += PV_MS(20);
    pv_ice_handle_timeout(l.agent, l.now);
    assert_ok(next_msg(&l, &second, &msg));
    assert_ok(answer(&l, &first, &l.remote, l.local, l.theirs.pwd));
    assert_ok(next_msg(&l, &tx, &msg)); /* lost on its way */
    assert_ok(pv_stun_get_u32(&msg, PV_STUN_ATTR_NOMINATION, &n));
    assert_int_equal(n, 1);
    assert_ok(answer(&l, &second, &l.remote, l.local, l.theirs.pwd));
    l.now += PV_MS(25);
    pv_ice_handle_timeout(l.agent, l.now);
    assert_ok(next_msg(&l, &tx, &msg)); /* again */
    assert_ok(pv_stun_get_u32(&msg, PV_STUN_ATTR_NOMINATION, &n));
    assert_ok(answer(&l, &tx, &l.remote, l.local, l.theirs.pwd));
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_COMPLETED);
}

PV_TEST(an_abandoned_nomination_is_followed_by_a_newer_one)
{
    struct lone l;
    struct pv_ice_path path;
    struct pv_addr mapped = pv_addr4(203, 0, 113, 1, 7000);
    struct pv_ice_cand cands[2] = {
        {.type = PV_ICE_SRFLX, .addr = pv_addr4(203, 0, 113, 2, 2000), .priority = 100},
        {.type = PV_ICE_HOST, .addr = pv_addr4(192, 168, 7, 7, 2000), .priority = 200},
    };
    lone_begin(&l, true, false, false);
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, cands, 1, l.now));
    assert_int_equal(play(&l, PV_S(1), &cands[0].addr, PV_MS(5), mapped), 1);
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_COMPLETED);

    /* The better pair answers its first check, and is silent once it is nominated. */
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, cands, 2, l.now));
    (void)play(&l, PV_MS(3), &cands[1].addr, PV_MS(2), l.local);
    assert_int_equal(play(&l, PV_MS(5), &cands[1].addr, PV_NEVER, l.local), 2);
    uint32_t newer = play(&l, PV_S(7), &cands[0].addr, PV_MS(5), mapped);
    assert_int_equal(newer, 3);
    assert_ok(pv_ice_selected(l.agent, &path));
    assert_true(pv_addr_equal(&path.remote, &cands[0].addr));
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_COMPLETED);
}

/* The peer fell back to a relay, so the pair before is held down, unless it was our NAT's binding
 * that had ended: then it has another one now. */
PV_TEST(a_pair_with_another_binding_is_not_held_down_for_the_one_before)
{
    const struct pv_addr mapped[] = {pv_addr4(203, 0, 113, 1, 7000),
                                     pv_addr4(203, 0, 113, 1, 7001)};
    struct pv_ice_cand cands[2] = {
        {.type = PV_ICE_SRFLX, .addr = pv_addr4(203, 0, 113, 2, 2000), .priority = 200},
        {.type = PV_ICE_RELAY, .addr = pv_addr4(198, 51, 100, 1, 5000), .priority = 100},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(mapped); i++) {
        struct lone l;
        struct pv_ice_path path;
        lone_begin(&l, true, false, false);
        assert_ok(pv_ice_set_remote(l.agent, &l.theirs, cands, 2, l.now));
        assert_int_equal(play(&l, PV_MS(500), &cands[0].addr, PV_MS(5), mapped[0]), 1);
        (void)play(&l, PV_S(1), &cands[1].addr, PV_MS(5), mapped[0]);
        assert_true(is_proven(&l, &cands[1].addr));

        struct req q = good_request(&l);
        q.nomination = 1;
        assert_ok(send_request(&l, &q, &cands[1].addr));
        assert_int_equal(play(&l, PV_MS(100), &cands[1].addr, PV_MS(5), mapped[0]), 2);
        assert_ok(pv_ice_selected(l.agent, &path));
        assert_true(pv_addr_equal(&path.remote, &cands[1].addr));

        pv_ice_kick(l.agent, l.now);
        (void)play(&l, PV_MS(300), &cands[0].addr, PV_MS(5), mapped[i]);
        assert_ok(pv_ice_selected(l.agent, &path));
        assert_true(pv_addr_equal(&path.remote, &cands[i == 0 ? 1 : 0].addr));
    }
}

/* As talk begins after a rest, one end may give the path up just before the NATs are open again,
 * and before any of it has come to the other end. */
PV_TEST(a_pair_given_up_by_the_peer_as_talk_begins_is_not_held_down)
{
    struct pv_addr mapped = pv_addr4(203, 0, 113, 1, 7000);
    struct pv_ice_cand cands[2] = {
        {.type = PV_ICE_SRFLX, .addr = pv_addr4(203, 0, 113, 2, 2000), .priority = 200},
        {.type = PV_ICE_RELAY, .addr = pv_addr4(198, 51, 100, 1, 5000), .priority = 100},
    };
    const pv_ns rests[] = {PV_S(1), PV_S(8), PV_S(8)};
    const bool talks[] = {true, true, false};
    for (size_t i = 0; i < PV_ARRAY_LEN(rests); i++) {
        struct lone l;
        struct pv_ice_path path;
        lone_begin(&l, true, false, false);
        assert_ok(pv_ice_set_remote(l.agent, &l.theirs, cands, 2, l.now));
        assert_int_equal(play(&l, PV_MS(500), &cands[0].addr, PV_MS(5), mapped), 1);
        (void)play(&l, PV_S(1), &cands[1].addr, PV_MS(5), mapped);
        pv_ice_note_traffic(l.agent, l.now, l.now, l.now);
        (void)play(&l, rests[i], &cands[0].addr, PV_MS(5), mapped);
        if (talks[i])
            pv_ice_note_traffic(l.agent, l.now, l.now - rests[i], l.now);
        (void)play(&l, PV_MS(50), &cands[0].addr, PV_MS(5), mapped);

        struct req q = good_request(&l);
        q.nomination = 1;
        assert_ok(send_request(&l, &q, &cands[1].addr));
        assert_int_equal(play(&l, PV_MS(100), &cands[1].addr, PV_MS(5), mapped), 2);
        (void)play(&l, PV_S(1), &cands[0].addr, PV_MS(5), mapped);
        assert_ok(pv_ice_selected(l.agent, &path));
        assert_true(pv_addr_equal(&path.remote, &cands[i == 0 ? 1 : 0].addr));
    }
}

/* NATs have forgotten it since its last answer, which came a moment ago. */
PV_TEST(a_pair_given_up_by_the_peer_as_talk_begins_has_to_answer_anew)
{
    struct lone l;
    struct pv_ice_path path;
    struct pv_addr mapped = pv_addr4(203, 0, 113, 1, 7000), other = pv_addr4(203, 0, 113, 2, 2001);
    struct pv_ice_cand cands[2] = {
        {.type = PV_ICE_SRFLX, .addr = pv_addr4(203, 0, 113, 2, 2000), .priority = 200},
        {.type = PV_ICE_RELAY, .addr = pv_addr4(198, 51, 100, 1, 5000), .priority = 100},
    };
    lone_begin(&l, true, false, false);
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, cands, 2, l.now));
    assert_int_equal(play(&l, PV_MS(500), &cands[0].addr, PV_MS(5), mapped), 1);
    (void)play(&l, PV_S(1), &cands[1].addr, PV_MS(5), mapped);
    pv_ice_note_traffic(l.agent, l.now, l.now, l.now);
    (void)play(&l, PV_S(8), &cands[0].addr, PV_MS(5), mapped);

    struct req q = good_request(&l);
    q.nomination = 1;
    assert_ok(send_request(&l, &q, &cands[1].addr));
    assert_int_equal(play(&l, PV_MS(100), &cands[1].addr, PV_MS(5), mapped), 2);
    q.nomination = 0;
    assert_ok(send_request(&l, &q, &other));
    assert_int_equal(play(&l, PV_MS(100), &other, PV_MS(5), mapped), 3);
    assert_ok(pv_ice_selected(l.agent, &path));
    assert_true(pv_addr_equal(&path.remote, &other));
}

PV_TEST(a_pair_whose_nomination_nobody_confirms_gives_way_to_one_that_answers)
{
    struct lone l;
    struct pv_ice_path path;
    struct pv_addr mapped = pv_addr4(203, 0, 113, 1, 7000);
    struct pv_ice_cand cands[2] = {
        {.type = PV_ICE_SRFLX, .addr = pv_addr4(203, 0, 113, 2, 2000), .priority = 200},
        {.type = PV_ICE_SRFLX, .addr = pv_addr4(203, 0, 113, 2, 2001), .priority = 100},
    };
    lone_begin(&l, true, false, false);
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, cands, 1, l.now));
    (void)play(&l, PV_MS(3), &cands[0].addr, PV_MS(2), mapped);
    assert_int_equal(play(&l, PV_MS(5), &cands[0].addr, PV_NEVER, mapped), 1);
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, cands, 2, l.now));
    assert_int_equal(play(&l, PV_MS(150), &cands[1].addr, PV_MS(5), mapped), 0); /* not at once */
    assert_int_equal(play(&l, PV_MS(700), &cands[1].addr, PV_MS(5), mapped), 2);
    assert_ok(pv_ice_selected(l.agent, &path));
    assert_true(pv_addr_equal(&path.remote, &cands[1].addr));
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_COMPLETED);
}

PV_TEST(a_relay_whose_nomination_nobody_confirms_gives_way_to_a_direct_pair)
{
    struct lone l;
    struct pv_ice_path path;
    struct pv_addr mapped = pv_addr4(203, 0, 113, 1, 7000);
    struct pv_ice_cand cands[2] = {
        {.type = PV_ICE_RELAY, .addr = pv_addr4(198, 51, 100, 1, 5000), .priority = 100},
        {.type = PV_ICE_SRFLX, .addr = pv_addr4(203, 0, 113, 2, 2000), .priority = 200},
    };
    lone_begin(&l, true, false, false);
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, cands, 1, l.now));
    (void)play(&l, PV_MS(3), &cands[0].addr, PV_MS(2), mapped);
    assert_int_equal(play(&l, PV_MS(5), &cands[0].addr, PV_NEVER, mapped), 1);
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, cands, 2, l.now));
    assert_int_equal(play(&l, PV_MS(700), &cands[1].addr, PV_MS(5), mapped), 2);
    assert_ok(pv_ice_selected(l.agent, &path));
    assert_true(pv_addr_equal(&path.remote, &cands[1].addr));
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_COMPLETED);
}

/* A relay that the peer fell back to answers at last, long after both agreed on a better pair. */
PV_TEST(a_fall_back_is_not_followed_after_a_newer_nomination)
{
    struct lone l;
    struct pv_ice_path path;
    struct pv_addr mapped = pv_addr4(203, 0, 113, 1, 7000);
    struct pv_ice_cand cands[3] = {
        {.type = PV_ICE_SRFLX, .addr = pv_addr4(203, 0, 113, 2, 2000), .priority = 200},
        {.type = PV_ICE_RELAY, .addr = pv_addr4(198, 51, 100, 1, 5000), .priority = 100},
        {.type = PV_ICE_HOST, .addr = pv_addr4(192, 0, 2, 9, 2000), .priority = 300},
    };
    lone_begin(&l, true, false, false);
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, cands, 2, l.now));
    assert_int_equal(play(&l, PV_S(1), &cands[0].addr, PV_MS(5), mapped), 1);
    struct req q = good_request(&l);
    q.nomination = 1;
    assert_ok(send_request(&l, &q, &cands[1].addr)); /* our checks do not get there */
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, cands, 3, l.now));
    assert_int_equal(play(&l, PV_S(10), &cands[2].addr, PV_MS(5), l.local), 2);
    q.nomination = 0;
    assert_ok(send_request(&l, &q, &cands[1].addr));
    assert_int_equal(play(&l, PV_S(1), &cands[1].addr, PV_MS(5), mapped), 0);
    assert_true(is_proven(&l, &cands[1].addr));
    assert_ok(pv_ice_selected(l.agent, &path));
    assert_true(pv_addr_equal(&path.remote, &cands[2].addr));
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_COMPLETED);
}

/* Neither confirms anything: the peer is gone, or its line is. */
PV_TEST(two_pairs_that_have_fallen_silent_are_not_nominated_in_turn)
{
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct pv_addr mapped = pv_addr4(203, 0, 113, 1, 7000);
    struct pv_ice_cand cands[2] = {
        {.type = PV_ICE_SRFLX, .addr = pv_addr4(203, 0, 113, 2, 2000), .priority = 200},
        {.type = PV_ICE_RELAY, .addr = pv_addr4(198, 51, 100, 1, 5000), .priority = 100},
    };
    lone_begin(&l, true, false, false);
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, cands, 2, l.now));
    (void)play(&l, PV_MS(3), &cands[0].addr, PV_MS(2), mapped);
    (void)play(&l, PV_MS(150), &cands[1].addr, PV_MS(5), mapped);
    assert_true(is_proven(&l, &cands[0].addr) && is_proven(&l, &cands[1].addr));
    uint32_t highest = 0;
    unsigned sent = 0;
    for (pv_ns end = l.now + PV_S(60); l.now < end; l.now += PV_MS(10)) {
        pv_ice_handle_timeout(l.agent, l.now);
        while (next_msg(&l, &tx, &msg) == PV_OK) {
            (void)!pv_stun_get_u32(&msg, PV_STUN_ATTR_NOMINATION, &highest);
            sent++;
        }
    }
    assert_true(highest <= 3);
    assert_true(sent <= 60);
    assert_int_not_equal(pv_ice_state(l.agent), PV_ICE_COMPLETED);
}

/* As one that opens many ports of its NAT in an attempt is, each of which we see. */
PV_TEST(a_nominated_pair_is_kept_while_the_peer_is_seen_at_many_other_addresses)
{
    struct lone l;
    struct pv_ice_path path;
    struct pv_ice_transmit tx, check = {.len = 0};
    struct pv_stun_msg msg;
    struct pv_addr settled = pv_addr4(203, 0, 113, 2, 30000);
    lone_begin(&l, false, false, true);
    struct req q = good_request(&l);
    q.nomination = 5;
    assert_int_equal(send_request(&l, &q, &settled), PV_OK);
    while (next_msg(&l, &tx, &msg) == PV_OK)
        check = msg.cls == PV_STUN_REQUEST && pv_addr_equal(&tx.dst, &settled) ? tx : check;
    assert_true(check.len > 0);
    q.nomination = 0;
    for (uint16_t i = 1; i <= 2 * PV_ICE_MAX_REMOTE; i++) {
        struct pv_addr other = pv_addr4(203, 0, 113, 2, (uint16_t)(30000 + i));
        l.now += PV_MS(1);
        pv_ice_handle_timeout(l.agent, l.now);
        assert_int_equal(send_request(&l, &q, &other), PV_OK);
        (void)drain(&l);
    }
    assert_int_equal(answer(&l, &check, &settled, l.local, l.theirs.pwd), PV_OK);
    assert_int_equal(pv_ice_selected(l.agent, &path), PV_OK);
    assert_true(pv_addr_equal(&path.remote, &settled));
}

PV_TEST(of_our_own_former_addresses_the_latest_are_described)
{
    struct lone l;
    struct pv_ice_cand got[PV_ICE_MAX_LOCAL];
    enum {
        TIMES = 20,
        SEEN = 4
    };
    lone_begin(&l, true, false, true);
    for (uint16_t i = 0; i < TIMES; i++) { /* our NAT forgets between two talks */
        pv_ice_kick(l.agent, l.now);
        (void)play(&l, PV_S(1), &l.remote, PV_MS(5),
                   pv_addr4(203, 0, 113, 1, (uint16_t)(7000 + i)));
    }
    assert_int_equal(pv_ice_locals(l.agent, got, PV_ARRAY_LEN(got)), 1 + SEEN);
    for (uint16_t i = 0; i < SEEN; i++)
        assert_int_equal(got[1 + i].addr.port, 7000 + TIMES - SEEN + i);
}

/* Our NAT has another mapping for each of the peer's addresses, more than are kept: those of proven
 * pairs stay. */
PV_TEST(addresses_that_are_in_use_do_not_take_turns_in_the_list)
{
    enum {
        ADDRS = 8,
        MINUTES = 3
    };
    struct lone l;
    struct pv_ice_cand cands[ADDRS];
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct pv_ice_event ev;
    unsigned changed = 0, first = 0;
    for (uint8_t i = 0; i < ADDRS; i++)
        cands[i] = (struct pv_ice_cand){
            .type = PV_ICE_SRFLX, .addr = pv_addr4(203, 0, 113, 2 + i, 2000), .priority = 200 + i};
    lone_begin(&l, true, false, false);
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, cands, ADDRS, l.now));
    for (unsigned ms = 0; ms < MINUTES * 60000; ms += 5, l.now += PV_MS(5)) {
        pv_ice_handle_timeout(l.agent, l.now);
        if (ms % 100 == 0)
            pv_ice_note_traffic(l.agent, l.now, l.now, l.now);
        if (ms % 15000 == 10000)
            pv_ice_kick(l.agent, l.now);
        while (next_msg(&l, &tx, &msg) == PV_OK) {
            struct pv_ice_transmit held = tx;
            unsigned k = 0;
            while (k + 1 < ADDRS && !pv_addr_equal(&held.dst, &cands[k].addr))
                k++;
            l.now += PV_MS(1);
            if (msg.cls == PV_STUN_REQUEST)
                (void)!answer(&l, &held, &cands[k].addr,
                              pv_addr4(203, 0, 113, 1, (uint16_t)(7000 + k)), l.theirs.pwd);
        }
        while (pv_ice_poll_event(l.agent, &ev) == PV_OK)
            changed += ev.type == PV_ICE_EV_CANDIDATES_CHANGED;
        if (ms == 5000)
            first = changed;
    }
    assert_true(first > 0);
    assert_int_equal(changed, first);
}

PV_TEST(a_path_that_turns_round_in_a_shared_nat_is_the_last_resort)
{
    struct lone l;
    struct pv_ice_path path;
    struct pv_addr mapped = pv_addr4(203, 0, 113, 1, 7000);
    struct pv_ice_cand cands[2] = {
        {.type = PV_ICE_SRFLX, .addr = pv_addr4(203, 0, 113, 1, 2000), .priority = 100},
        {.type = PV_ICE_HOST, .addr = pv_addr4(192, 168, 7, 7, 2000), .priority = 200},
    };
    lone_begin(&l, true, false, false);
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, cands, 1, l.now));
    assert_int_equal(play(&l, PV_S(1), &cands[0].addr, PV_MS(1), mapped), 1);
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, cands, 2, l.now));
    (void)play(&l, PV_S(1), &cands[1].addr, PV_MS(300), l.local); /* slow, but on the LAN */
    assert_ok(pv_ice_selected(l.agent, &path));
    assert_true(pv_addr_equal(&path.remote, &cands[1].addr));
}

PV_TEST(a_use_candidate_counts_once_the_pair_is_proven)
{
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    lone_begin(&l, false, true, true);
    pv_ice_handle_timeout(l.agent, l.now);
    assert_ok(next_msg(&l, &tx, &msg));
    struct req q = good_request(&l);
    q.use_candidate = true;
    assert_ok(send_request(&l, &q, &l.remote));
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_CHECKING);
    assert_ok(answer(&l, &tx, &l.remote, l.local, l.theirs.pwd));
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_COMPLETED);
}

PV_TEST(a_nominated_pair_that_fails_gives_way_with_a_notice)
{
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    uint32_t counter = 0;
    struct pv_addr other = pv_addr4(192, 0, 2, 9, 9000);
    lone_begin(&l, false, false, true);
    pv_ice_handle_timeout(l.agent, l.now);
    assert_ok(next_msg(&l, &tx, &msg));
    assert_ok(answer(&l, &tx, &l.remote, l.local, l.theirs.pwd));
    struct req q = good_request(&l);
    q.nomination = 3;
    assert_ok(send_request(&l, &q, &other)); /* which then never answers */
    for (pv_ns end = l.now + PV_S(6); l.now < end; l.now += PV_MS(10)) {
        pv_ice_handle_timeout(l.agent, l.now);
        while (next_msg(&l, &tx, &msg) == PV_OK)
            if (pv_addr_equal(&tx.dst, &l.remote))
                (void)!pv_stun_get_u32(&msg, PV_STUN_ATTR_NOMINATION, &counter);
    }
    assert_int_equal(counter, 3);
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_CONNECTED);
}

PV_TEST(a_path_in_use_outlives_its_place_in_the_description)
{
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct pv_ice_path paths[4];
    struct pv_ice_cand other = {.type = PV_ICE_HOST,
                                .addr = pv_addr4(192, 0, 2, 9, 9000),
                                .priority = pv_ice_priority(PV_ICE_HOST, 1)};
    lone_begin(&l, false, false, true);
    pv_ice_handle_timeout(l.agent, l.now);
    assert_ok(next_msg(&l, &tx, &msg));
    assert_ok(answer(&l, &tx, &l.remote, l.local, l.theirs.pwd));
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, &other, 1, l.now));
    assert_int_equal(pv_ice_paths(l.agent, paths, 4), 2);
    assert_true(paths[0].selected && paths[0].valid);
    assert_true(pv_addr_equal(&paths[0].remote, &l.remote));
    assert_int_equal(paths[0].remote_type, PV_ICE_PRFLX);
    assert_false(is_proven(&l, &other.addr));

    /* The unused one goes with the next description that does not list it. */
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, NULL, 0, l.now));
    assert_int_equal(pv_ice_paths(l.agent, paths, 4), 1);
}

PV_TEST(names_are_those_of_the_interface)
{
    assert_string_equal(pv_ice_cand_type_name(PV_ICE_HOST), "own");
    assert_string_equal(pv_ice_cand_type_name(PV_ICE_SRFLX), "public (STUN)");
    assert_string_equal(pv_ice_cand_type_name(PV_ICE_PRFLX), "seen by the peer");
    assert_string_equal(pv_ice_cand_type_name(PV_ICE_RELAY), "relayed");
    assert_string_equal(pv_ice_state_name(PV_ICE_DORMANT), "dormant");
}

/* --- roles ------------------------------------------------------------------------------------ */

PV_TEST(role_conflicts_are_settled_with_foreign_agents_only)
{
    static const struct {
        bool controlling, foreign, we_win;
        bool answered_487, stays;
    } ROWS[] = {
        {true, true, true, true, true},    {true, true, false, false, false},
        {false, true, true, false, false}, {false, true, false, true, true},
        {true, false, false, false, true}, {false, false, true, false, true},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(ROWS); i++) {
        struct lone l;
        struct pv_ice_transmit tx;
        struct pv_stun_msg msg;
        unsigned code;
        lone_begin(&l, ROWS[i].controlling, ROWS[i].foreign, true);
        (void)drain(&l);
        struct req q = good_request(&l);
        q.controlling = ROWS[i].controlling;
        q.controlled = !ROWS[i].controlling;
        q.tie = ROWS[i].we_win ? 0 : UINT64_MAX;
        assert_ok(send_request(&l, &q, &l.remote));
        assert_ok(next_msg(&l, &tx, &msg));
        bool got_487 = msg.cls == PV_STUN_ERROR && pv_stun_get_error(&msg, &code) == PV_OK &&
                       code == PV_STUN_E_ROLE_CONFLICT;
        assert_int_equal(got_487, ROWS[i].answered_487);

        l.now += PV_S(1);
        pv_ice_handle_timeout(l.agent, l.now);
        assert_ok(next_msg(&l, &tx, &msg));
        bool now_controlling = pv_stun_has(&msg, PV_STUN_ATTR_ICE_CONTROLLING);
        assert_int_equal(now_controlling == ROWS[i].controlling, ROWS[i].stays);
        test_end(l.agent);
    }
}

/* --- limits ----------------------------------------------------------------------------------- */

PV_TEST(addresses_that_cannot_be_reached_are_not_paired)
{
    struct lone l;
    struct pv_ice_path paths[8];
    static const uint8_t LL6[16] = {0xfe, 0x80, [15] = 1}, VIRTUAL[16] = {0xfd, [15] = 1};
    lone_begin(&l, true, false, false);
    struct pv_ice_cand bad[] = {
        {.type = PV_ICE_HOST, .addr = pv_addr4(127, 0, 0, 1, 5)},
        {.type = PV_ICE_HOST, .addr = pv_addr4(224, 0, 0, 1, 5)},
        {.type = PV_ICE_HOST, .addr = pv_addr4(10, 0, 0, 1, 0)},
        {.type = PV_ICE_HOST, .addr = pv_addr6(LL6, 5)},
        {.type = PV_ICE_RELAY, .addr = pv_addr6(VIRTUAL, 3478)},
        {.type = PV_ICE_HOST, .addr = l.local},
    };
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, bad, PV_ARRAY_LEN(bad), l.now));
    assert_int_equal(pv_ice_paths(l.agent, paths, 8), 0);
}

PV_TEST(tables_stop_at_their_limits)
{
    struct lone l;
    static struct pv_ice_path paths[PV_ICE_MAX_PAIRS + 1];
    struct pv_ice_cand locals[PV_ICE_MAX_LOCAL + 1];
    struct pv_ice_cand remotes[40];
    lone_begin(&l, true, false, false);
    for (size_t i = 0; i < PV_ARRAY_LEN(locals); i++) {
        struct pv_addr addr = pv_addr4(10, 0, 0, (uint8_t)(i + 1), 1000);
        locals[i] = (struct pv_ice_cand){.type = PV_ICE_HOST,
                                         .addr = addr,
                                         .priority = pv_ice_priority(PV_ICE_HOST, (uint16_t)i),
                                         .carrier = {.local = addr}};
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(remotes); i++)
        remotes[i] = (struct pv_ice_cand){.type = PV_ICE_HOST,
                                          .addr = pv_addr4(10, 1, 0, (uint8_t)(i + 1), 1000),
                                          .priority = pv_ice_priority(PV_ICE_HOST, (uint16_t)i)};

    pv_ice_set_local(l.agent, locals, PV_ARRAY_LEN(locals), l.now);
    struct pv_ice_cand got[PV_ICE_MAX_LOCAL + 1];
    assert_int_equal(pv_ice_locals(l.agent, got, PV_ARRAY_LEN(got)), PV_ICE_MAX_LOCAL);
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, remotes, PV_ARRAY_LEN(remotes), l.now));
    assert_int_equal(pv_ice_paths(l.agent, paths, PV_ARRAY_LEN(paths)), PV_ICE_MAX_PAIRS);

    pv_ice_set_local(l.agent, locals, 1, l.now);
    assert_int_equal(pv_ice_paths(l.agent, paths, PV_ARRAY_LEN(paths)), 24); /* of a description */

    /* One reflexive address is proven and must outlive the flood. */
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct pv_addr proven = pv_addr4(10, 3, 0, 1, 9);
    struct req first = good_request(&l);
    l.local = locals[0].addr;
    assert_ok(send_request(&l, &first, &proven));
    while (next_msg(&l, &tx, &msg) == PV_OK)
        if (msg.cls == PV_STUN_REQUEST && pv_addr_equal(&tx.dst, &proven))
            assert_ok(answer(&l, &tx, &proven, l.local, l.theirs.pwd));
    assert_true(is_proven(&l, &proven));
    struct req q = good_request(&l);
    for (uint16_t i = 0; i < 50; i++) { /* reflexive ones fill the rest and push each other out */
        struct pv_addr src = pv_addr4(10, 2, 0, 1, (uint16_t)(i + 1));
        l.now += PV_MS(100);
        assert_ok(send_request(&l, &q, &src));
        (void)drain(&l);
    }
    assert_int_equal(pv_ice_paths(l.agent, paths, PV_ARRAY_LEN(paths)), PV_ICE_MAX_REMOTE);
    assert_true(is_proven(&l, &proven));
}

PV_TEST(of_a_peers_former_addresses_the_latest_are_remembered)
{
    struct lone l;
    struct pv_ice_path paths[PV_ICE_MAX_PAIRS];
    lone_begin(&l, true, false, true);
    struct req q = good_request(&l);
    enum {
        TIMES = 40,
        LEARNT = 8
    };
    for (uint16_t i = 0; i < TIMES; i++) { /* its NAT forgets between two talks */
        struct pv_addr src = pv_addr4(10, 2, 0, 1, (uint16_t)(1000 + i));
        l.now += PV_S(60);
        assert_ok(send_request(&l, &q, &src));
        (void)drain(&l);
    }
    bool seen[TIMES] = {false};
    size_t n = pv_ice_paths(l.agent, paths, PV_ARRAY_LEN(paths));
    assert_int_equal(n, 1 + LEARNT);
    for (size_t i = 0; i < n; i++)
        if (!pv_addr_equal(&paths[i].remote, &l.remote))
            seen[paths[i].remote.port - 1000] = true;
    for (size_t i = 0; i < TIMES; i++)
        assert_int_equal(seen[i], i >= TIMES - LEARNT);
}

PV_TEST(until_the_peer_knows_us_only_our_own_nat_is_opened)
{
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct pv_ice_cand cands[3];
    lone_begin(&l, true, false, false);
    for (uint8_t i = 0; i < 3; i++)
        cands[i] = (struct pv_ice_cand){.type = i == 0 ? PV_ICE_HOST : PV_ICE_SRFLX,
                                        .addr = pv_addr4(192, 0, 2, (uint8_t)(2 + i), 2000),
                                        .priority = 1000u - i};
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, cands, 3, l.now));

    /* Both pairs across NATs at once, with a TTL that dies on the way. */
    for (unsigned i = 1; i <= 2; i++) {
        assert_ok(next_msg(&l, &tx, &msg));
        assert_true(pv_addr_equal(&tx.dst, &cands[i].addr));
        assert_int_equal(tx.ttl, 2);
    }
    /* Twice more each, for one may be lost. The pair without a NAT is checked as ever. */
    unsigned primers = 0;
    for (unsigned ms = 0; ms < 900; ms += 20) {
        l.now += PV_MS(20);
        pv_ice_handle_timeout(l.agent, l.now);
        while (next_msg(&l, &tx, &msg) == PV_OK) {
            bool direct = pv_addr_equal(&tx.dst, &cands[0].addr);
            assert_int_equal(tx.ttl, direct ? 0 : 2);
            primers += direct ? 0 : 1;
        }
    }
    assert_int_equal(primers, 4);
    pv_ice_set_known(l.agent, true, l.now);
    unsigned real = 0;
    while (next_msg(&l, &tx, &msg) == PV_OK) {
        assert_int_equal(tx.ttl, 0);
        real += pv_addr_equal(&tx.dst, &cands[0].addr) ? 0u : 1u;
    }
    assert_int_equal(real, 2);
}

PV_TEST(an_acknowledgement_that_never_comes_delays_checks_by_a_second)
{
    struct lone l;
    struct pv_ice_transmit tx;
    lone_begin(&l, false, false, false);
    struct pv_ice_cand c = {.type = PV_ICE_SRFLX, .addr = l.remote, .priority = 1};
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, &c, 1, l.now));
    assert_ok(pv_ice_poll_transmit(l.agent, &tx));
    assert_int_equal(tx.ttl, 2);
    for (unsigned i = 1; i <= 2; i++) {
        pv_ice_handle_timeout(l.agent, l.now + PV_MS(40 * i));
        assert_ok(pv_ice_poll_transmit(l.agent, &tx));
        assert_int_equal(tx.ttl, 2);
    }
    l.now += PV_S(1) - 1;
    pv_ice_handle_timeout(l.agent, l.now);
    assert_int_equal(pv_ice_poll_transmit(l.agent, &tx), PV_ERR_AGAIN);
    l.now += 1;
    pv_ice_handle_timeout(l.agent, l.now);
    assert_ok(pv_ice_poll_transmit(l.agent, &tx));
    assert_int_equal(tx.ttl, 0);
}

/* --- carriers -------------------------------------------------------------------------------- */

PV_TEST(another_socket_is_a_base_for_the_pairs_the_peer_makes)
{
    struct lone l;
    struct pv_ice_path paths[8];
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    uint8_t buf[256];
    lone_begin(&l, true, false, true);
    (void)drain(&l);
    struct pv_ice_carrier extra = {.sock = 7, .local = l.local};
    extra.local.port = 5555;
    const struct pv_addr from = pv_addr4(192, 0, 2, 2, 3333);
    struct req q = good_request(&l);
    size_t len = write_request(&q, buf, sizeof(buf));
    assert_int_equal(pv_ice_handle_input(l.agent, &extra, &from, pv_view(buf, len), l.now),
                     PV_ERR_NOT_FOUND);

    assert_ok(pv_ice_add_carrier(l.agent, &extra, l.now));
    assert_ok(pv_ice_add_carrier(l.agent, &extra, l.now)); /* again: the same one */
    assert_int_equal(pv_ice_paths(l.agent, paths, 8), 1);
    struct pv_ice_cand locals[4];
    assert_int_equal(pv_ice_locals(l.agent, locals, 4), 1); /* it is not offered */
    len = write_request(&q, buf, sizeof(buf));
    assert_ok(pv_ice_handle_input(l.agent, &extra, &from, pv_view(buf, len), l.now));
    assert_int_equal(pv_ice_paths(l.agent, paths, 8), 2);
    bool checked = false;
    while (next_msg(&l, &tx, &msg) == PV_OK)
        checked |= msg.cls == PV_STUN_REQUEST && tx.carrier.sock == 7;
    assert_true(checked);

    /* It stays while its address does, and goes with its socket. */
    struct pv_ice_cand host = {.type = PV_ICE_HOST,
                               .addr = l.local,
                               .priority = pv_ice_priority(PV_ICE_HOST, 65000),
                               .carrier = {.local = l.local}};
    pv_ice_set_local(l.agent, &host, 1, l.now);
    size_t n = pv_ice_paths(l.agent, paths, 8);
    pv_ice_drop_carrier(l.agent, 7, l.now);
    assert_int_equal(pv_ice_paths(l.agent, paths, 8), n - 1);
    assert_ok(pv_ice_add_carrier(l.agent, &extra, l.now));
    host.addr = host.carrier.local = pv_addr4(192, 0, 2, 77, 1000);
    pv_ice_set_local(l.agent, &host, 1, l.now);
    len = write_request(&q, buf, sizeof(buf));
    assert_int_equal(pv_ice_handle_input(l.agent, &extra, &from, pv_view(buf, len), l.now),
                     PV_ERR_NOT_FOUND);
}

/* Answers everything that leaves from this socket; returns the highest NOMINATION seen there. */
static uint32_t answer_from(struct lone *l, uint16_t sock)
{
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    uint32_t highest = 0;
    while (next_msg(l, &tx, &msg) == PV_OK) {
        uint32_t nomination = 0;
        if (msg.cls != PV_STUN_REQUEST || tx.carrier.sock != sock)
            continue;
        (void)!pv_stun_get_u32(&msg, PV_STUN_ATTR_NOMINATION, &nomination);
        highest = nomination > highest ? nomination : highest;
        uint8_t buf[256];
        struct pv_stun_writer sw;
        struct pv_ice_carrier c = tx.carrier;
        size_t len;
        pv_stun_write_answer(&sw, buf, sizeof(buf), PV_STUN_SUCCESS, &msg);
        pv_stun_put_xor_addr(&sw, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &c.local);
        pv_stun_put_integrity(&sw, pv_view(l->theirs.pwd, strlen(l->theirs.pwd)));
        pv_stun_put_fingerprint(&sw);
        assert_ok(pv_stun_write_end(&sw, &len));
        assert_ok(pv_ice_handle_input(l->agent, &c, &tx.dst, pv_view(buf, len), l->now));
    }
    return highest;
}

PV_TEST(a_retiring_socket_serves_until_another_pair_is_proven)
{
    for (int controlling = 0; controlling <= 1; controlling++) {
        struct lone l;
        struct pv_ice_path path;
        lone_begin(&l, controlling, false, true);
        pv_ice_handle_timeout(l.agent, l.now);
        (void)answer_from(&l, 0);
        if (!controlling) { /* the peer nominates the pair */
            struct req q = good_request(&l);
            q.nomination = 4;
            assert_ok(send_request(&l, &q, &l.remote));
        }
        (void)answer_from(&l, 0);
        assert_int_equal(pv_ice_state(l.agent), PV_ICE_COMPLETED);

        struct pv_ice_cand host = {.type = PV_ICE_HOST,
                                   .addr = l.local,
                                   .priority = pv_ice_priority(PV_ICE_HOST, 65000),
                                   .carrier = {.sock = 9, .local = l.local}};
        host.addr.port = host.carrier.local.port = 1001;
        l.now += PV_S(1);
        pv_ice_retire_carrier(l.agent, 0, PV_AF_INET, l.now);
        pv_ice_set_local(l.agent, &host, 1, l.now);
        assert_ok(pv_ice_selected(l.agent, &path));
        assert_int_equal(path.carrier.sock, 0);
        assert_true(path.valid);
        struct pv_ice_cand locals[4];
        assert_int_equal(pv_ice_locals(l.agent, locals, 4), 1); /* only the new one is offered */

        pv_ice_handle_timeout(l.agent, l.now);
        uint32_t told = answer_from(&l, 9);
        assert_ok(pv_ice_selected(l.agent, &path));
        assert_int_equal(path.carrier.sock, 9);
        assert_true(told >= (controlling ? 2 : 4)); /* a new nomination, or a notice of the last */
        pv_ice_drop_carrier(l.agent, 0, l.now);
        assert_int_equal(pv_ice_paths(l.agent, &path, 1), 1);
        assert_ok(pv_ice_selected(l.agent, &path));
        assert_int_equal(path.carrier.sock, 9);
        test_end(l.agent);
    }
}

/* --- credentials and priorities -------------------------------------------------------------- */

PV_TEST(priorities_are_those_of_the_rfc)
{
    assert_int_equal(pv_ice_priority(PV_ICE_HOST, 65535), 0x7effffff);
    assert_int_equal(pv_ice_priority(PV_ICE_PRFLX, 1), 0x6e0001ff);
    assert_int_equal(pv_ice_priority(PV_ICE_RELAY, 0), 0x000000ff);
}

PV_TEST(credentials_outside_the_bounds_are_refused)
{
    struct test_rng seed;
    struct pv_ice_config cfg = {.rng = test_rng_make(&seed, 3)};
    struct pv_ice_agent *agent = NULL;
    pv_ice_make_creds(&cfg.rng, &cfg.local);
    assert_int_equal(strlen(cfg.local.ufrag), PV_ICE_UFRAG_LEN);
    assert_int_equal(strlen(cfg.local.pwd), PV_ICE_PWD_LEN);
    assert_ok(pv_ice_new(&agent, &cfg, 1));

    const struct {
        size_t ufrag, pwd;
        int status;
    } ROWS[] = {{4, 22, PV_OK},
                {3, 22, PV_ERR_MALFORMED},
                {4, 21, PV_ERR_MALFORMED},
                {PV_ICE_UFRAG_MAX, PV_ICE_PWD_MAX, PV_OK},
                {PV_ICE_UFRAG_MAX + 1, 22, PV_ERR_MALFORMED},
                {4, PV_ICE_PWD_MAX + 1, PV_ERR_MALFORMED}};
    for (size_t i = 0; i < PV_ARRAY_LEN(ROWS); i++) {
        struct pv_ice_creds c;
        memset(&c, 0, sizeof(c));
        memset(c.ufrag, 'a', ROWS[i].ufrag); /* one over leaves no NUL */
        memset(c.pwd, 'b', ROWS[i].pwd);
        assert_int_equal(pv_ice_restart(agent, &c, 1), ROWS[i].status);
        assert_int_equal(pv_ice_set_remote(agent, &c, NULL, 0, 1), ROWS[i].status);
    }
    struct pv_ice_creds colon = cfg.local;
    colon.ufrag[2] = ':';
    assert_int_equal(pv_ice_restart(agent, &colon, 1), PV_ERR_MALFORMED);
    pv_ice_free(agent);
    assert_null(pv_ice_free(NULL));
}

/* --- somebody else's address, named as one's own (RFC 8445 s19.5.1) -------------------------- */

/* Traffic to it is paced, bounded, small, and ends when nobody answers. And an address known only
 * from where data came. */

static struct pv_addr victim(uint16_t port)
{
    return pv_addr4(198, 51, 100, 66, port);
}

/* All the candidates a description may have, all of them the victim's. */
static void name_victim(struct lone *l, uint16_t first_port)
{
    struct pv_ice_cand cands[PV_ICE_MAX_REMOTE];
    memset(cands, 0, sizeof(cands));
    for (uint8_t i = 0; i < PV_ICE_MAX_REMOTE; i++)
        cands[i] = (struct pv_ice_cand){.type = PV_ICE_SRFLX,
                                        .addr = victim((uint16_t)(first_port + i)),
                                        .priority = pv_ice_priority(PV_ICE_SRFLX, 60000),
                                        .foundation = i,
                                        .base = i};
    assert_ok(pv_ice_set_remote(l->agent, &l->theirs, cands, PV_ARRAY_LEN(cands), l->now));
}

/* Until then: packets sent to the victim. Each is a small check. */
static unsigned run_until(struct lone *l, pv_ns end)
{
    unsigned n = 0;
    for (;;) {
        struct pv_ice_transmit tx;
        while (pv_ice_poll_transmit(l->agent, &tx) == PV_OK) {
            struct pv_addr v = victim(0);
            assert_true(pv_addr_equal_ip(&tx.dst, &v));
            assert_true(tx.len <= 128);
            n++;
        }
        pv_ns next = pv_ice_next_timeout(l->agent);
        if (next > end)
            break;
        l->now = next > l->now ? next : l->now;
        pv_ice_handle_timeout(l->agent, l->now);
    }
    l->now = end;
    return n;
}

PV_TEST(a_victim_gets_a_few_checks_and_then_silence)
{
    struct lone l;
    lone_begin(&l, true, false, false);
    name_victim(&l, 5000);
    pv_ice_set_known(l.agent, true, l.now);
    unsigned in_10s = run_until(&l, l.now + PV_S(15));
    assert_in_range(in_10s, PV_ICE_MAX_REMOTE, 10 * PV_ICE_MAX_REMOTE);
    assert_int_equal(run_until(&l, l.now + PV_S(600)), 0);
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_FAILED);
}

/* New candidates all the time: a pair's first check every 20 ms (Ta), each repeated four times
 * before the next description, whatever is asked for. */
PV_TEST(naming_ever_new_ports_of_a_victim_is_paced)
{
    struct lone l;
    unsigned n = 0;
    lone_begin(&l, true, false, false);
    for (uint16_t round = 0; round < 300; round++) {
        name_victim(&l, (uint16_t)(5000 + 40 * round));
        pv_ice_set_known(l.agent, true, l.now);
        n += run_until(&l, l.now + PV_MS(200));
    }
    assert_true(n <= 60 * 250); /* one minute; the descriptions weigh about as much */
    assert_in_range(run_until(&l, l.now + PV_S(15)), 0, 10 * PV_ICE_MAX_REMOTE);
    assert_int_equal(run_until(&l, l.now + PV_S(600)), 0);
}

static void table_free(void *ctx)
{
    pv_bucket_table_free(ctx);
}

/* Several of them, all the time: what all agents of a node send there has one budget. Another
 * network's is not touched, and where somebody has answered there is none. */
PV_TEST(members_that_name_one_victim_share_what_is_sent_there)
{
    struct lone l[3];
    struct pv_bucket_table *blind;
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 12);
    unsigned n = 0;
    assert_int_equal(pv_bucket_table_new(&blind, PV_ICE_BLIND_NETWORKS, PV_ICE_BLIND_A_SECOND,
                                         PV_ICE_BLIND_AT_ONCE, &rng),
                     PV_OK);
    test_defer(table_free, blind);
    for (unsigned i = 0; i < 3; i++)
        lone_begin_beside(&l[i], blind, true, false, i == 2);
    for (uint16_t round = 0; round < 300; round++) {
        for (unsigned i = 0; i < 2; i++) {
            name_victim(&l[i], (uint16_t)(5000 + 40 * round));
            pv_ice_set_known(l[i].agent, true, l[i].now);
            n += run_until(&l[i], l[i].now + PV_MS(200));
        }
    }
    assert_in_range(n, PV_ICE_BLIND_AT_ONCE, PV_ICE_BLIND_AT_ONCE + 60 * PV_ICE_BLIND_A_SECOND + 1);

    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct lone *honest = &l[2];
    honest->now = l[0].now;
    pv_ice_handle_timeout(honest->agent, honest->now);
    assert_int_equal(next_msg(honest, &tx, &msg), PV_OK);
    assert_int_equal(answer(honest, &tx, &honest->remote, honest->local, honest->theirs.pwd),
                     PV_OK);
    while (pv_bucket_table_take(blind, &honest->remote, 1, honest->now))
        continue;
    pv_ns next = pv_ice_next_timeout(honest->agent);
    honest->now = next > honest->now ? next : honest->now;
    pv_ice_handle_timeout(honest->agent, honest->now);
    while (pv_bucket_table_take(blind, &honest->remote, 1, honest->now))
        continue;
    assert_int_equal(next_msg(honest, &tx, &msg), PV_OK);
}

PV_TEST(an_address_known_from_data_gets_three_times_what_came)
{
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct pv_addr stray = pv_addr4(192, 0, 2, 99, 99);
    struct pv_ice_carrier c = {0};
    lone_begin(&l, true, false, true);
    pv_ice_handle_timeout(l.agent, l.now);
    assert_ok(next_msg(&l, &tx, &msg));
    assert_ok(answer(&l, &tx, &l.remote, l.local, l.theirs.pwd));
    (void)drain(&l);

    size_t got = 0;
    pv_ns begin = l.now;
    pv_ice_note_stray(l.agent, &c, &stray, 32, l.now);
    while (l.now < begin + PV_S(8)) {
        pv_ice_handle_timeout(l.agent, l.now);
        while (next_msg(&l, &tx, &msg) == PV_OK)
            if (pv_addr_equal(&tx.dst, &stray))
                got += tx.len + 28;
        l.now += PV_MS(10);
    }
    assert_in_range(got, 1, 3 * (32 + 28));

    /* It answers the next time, and is known then. */
    pv_ice_note_stray(l.agent, &c, &stray, 100, l.now);
    bool asked = false;
    while (next_msg(&l, &tx, &msg) == PV_OK) {
        if (pv_addr_equal(&tx.dst, &stray)) {
            assert_ok(answer(&l, &tx, &stray, l.local, l.theirs.pwd));
            asked = true;
        }
    }
    assert_true(asked);
    assert_true(is_proven(&l, &stray));
}

/* --- a host with IPv6 alone --------------------------------------------------------------------
 */

/* The NAT64 leads to the addresses of IPv4 that the peer lists, but for those of other networks,
 * and the peer hears of its own. */
PV_TEST(candidates_of_ipv4_are_reached_by_a_nat64)
{
    struct lone l;
    lone_begin(&l, true, false, false);
    const struct pv_prefix prefix = test_prefix("64:ff9b::/96");
    const struct pv_addr there = test_addr("[64:ff9b::c633:6402]:2000");
    l.local = test_addr("[2001:db8::1]:1000");
    const struct pv_ice_cand own = {.type = PV_ICE_HOST,
                                    .addr = l.local,
                                    .priority = pv_ice_priority(PV_ICE_HOST, 65000),
                                    .carrier = {.local = l.local}};
    const struct pv_ice_cand theirs[] = {
        {.type = PV_ICE_SRFLX, .addr = pv_addr4(198, 51, 100, 2, 2000), .priority = 2},
        {.type = PV_ICE_HOST, .addr = pv_addr4(192, 168, 1, 2, 2000), .priority = 3}};
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct pv_addr mapped;
    unsigned sent = 0;
    pv_ice_set_local(l.agent, &own, 1, l.now);
    assert_true(pv_ice_set_nat64(l.agent, &prefix));
    assert_false(pv_ice_set_nat64(l.agent, &prefix));
    assert_ok(pv_ice_set_remote(l.agent, &l.theirs, theirs, 2, l.now));
    for (unsigned i = 0; i < 50; i++, l.now += PV_MS(20)) {
        pv_ice_handle_timeout(l.agent, l.now);
        for (; next_msg(&l, &tx, &msg) == PV_OK; sent++)
            assert_true(pv_addr_equal(&tx.dst, &there));
    }
    assert_true(sent > 0);
    const struct req q = good_request(&l);
    assert_ok(send_request(&l, &q, &there));
    assert_ok(next_msg(&l, &tx, &msg));
    assert_true(pv_addr_equal(&tx.dst, &there));
    assert_ok(pv_stun_get_xor_addr(&msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped));
    assert_true(pv_addr_equal(&mapped, &theirs[0].addr));
}
