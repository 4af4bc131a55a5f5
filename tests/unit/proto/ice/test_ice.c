/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "ice_lone.h"
#include "proto/ice/ice.h"

/* --- checks on the wire ----------------------------------------------------------------------- */

PV_TEST(checks_are_sent_at_0_20_60_140_300_620_and_doubling)
{
    struct lone *l = lone_new(CONTROLLING | DESCRIBED);
    static const unsigned AT_MS[] = {0, 20, 60, 140, 300, 620, 1260, 2540};
    pv_ns begin = l->now;

    for (size_t i = 0; i < PV_ARRAY_LEN(AT_MS); i++) {
        l->now = begin + PV_MS(AT_MS[i]);
        assert_true(pv_ice_next_timeout(l->agent) == l->now);
        if (l->now > begin) {
            pv_ice_handle_timeout(l->agent, l->now - 1);
            assert_int_equal(drain(l), 0);
        }
        take_check(l);
        assert_ok(pv_stun_check_integrity(&l->msg, pv_view(l->theirs.pwd, strlen(l->theirs.pwd))));
        assert_ok(pv_stun_check_fingerprint(&l->msg));
        assert_true(pv_addr_equal(&l->tx.dst, &l->remote));
        assert_true(l->tx.len <= 128);
        assert_int_equal(drain(l), 0);
    }
    pv_ice_handle_timeout(l->agent, begin + PV_MS(5100));
    assert_int_equal(drain(l), 0);
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_CHECKING);
    pv_ice_handle_timeout(l->agent, begin + PV_S(10));
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_FAILED);
    assert_true(pv_ice_next_timeout(l->agent) == PV_NEVER);
}

PV_TEST(foreign_agents_are_checked_by_the_rfcs_timers)
{
    struct lone *l = lone_new(CONTROLLING | FOREIGN | DESCRIBED);
    static const unsigned AT_MS[] = {0, 500, 1500, 3500, 7500, 15500, 31500};
    pv_ns begin = l->now;
    for (size_t i = 0; i < PV_ARRAY_LEN(AT_MS); i++) {
        assert_true(pv_ice_next_timeout(l->agent) == begin + PV_MS(AT_MS[i]));
        l->now = begin + PV_MS(AT_MS[i]);
        tick(l);
        assert_int_equal(drain(l), 1);
    }
    pv_ice_handle_timeout(l->agent, begin + PV_MS(39499));
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_CHECKING);
    pv_ice_handle_timeout(l->agent, begin + PV_MS(39500));
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_FAILED);
}

PV_TEST(a_request_is_answered_only_when_it_is_authentic)
{
    struct lone *l = lone_new(CONTROLLING);
    struct pv_addr seen;
    struct req q = good_request(l);

    struct req bad = q;
    bad.pwd = l->theirs.pwd;
    assert_int_equal(send_request(l, &bad, &l->remote), PV_ERR_AUTH);
    bad = q;
    bad.no_integrity = true;
    assert_int_equal(send_request(l, &bad, &l->remote), PV_ERR_AUTH);
    bad = q;
    bad.to = l->theirs.ufrag;
    assert_int_equal(send_request(l, &bad, &l->remote), PV_ERR_AUTH);
    assert_int_equal(drain(l), 0);

    assert_ok(send_request(l, &q, &l->remote));
    assert_ok(next_msg(l));
    assert_int_equal(l->msg.cls, PV_STUN_SUCCESS);
    assert_ok(pv_stun_check_integrity(&l->msg, pv_view(l->mine.pwd, strlen(l->mine.pwd))));
    assert_ok(pv_stun_get_xor_addr(&l->msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &seen));
    assert_true(pv_addr_equal(&seen, &l->remote));
    assert_true(pv_addr_equal(&l->tx.dst, &l->remote));
    assert_int_equal(drain(l), 0); /* no description yet: nothing can be checked */
}

PV_TEST(every_truncation_of_a_request_is_dropped)
{
    struct lone *l = lone_new(CONTROLLING | DESCRIBED);
    char ufrag[PV_ICE_UFRAG_MAX + 1];
    uint8_t buf[256];
    struct pv_ice_carrier c = {0};
    drain(l);
    struct req q = good_request(l);
    size_t len = write_request(&q, buf, sizeof(buf));
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *exact = malloc(cut + (cut == 0));
        assert_non_null(exact);
        memcpy(exact, buf, cut);
        assert_int_equal(pv_ice_handle_input(l->agent, &c, &l->remote, pv_view(exact, cut), l->now),
                         PV_ERR_TRUNCATED);
        assert_int_equal(pv_ice_request_ufrag(pv_view(exact, cut), ufrag), PV_ERR_NOT_FOUND);
        free(exact);
    }
    assert_ok(pv_ice_request_ufrag(pv_view(buf, len), ufrag));
    assert_string_equal(ufrag, l->mine.ufrag);
    assert_int_equal(drain(l), 0);
}

/* Sends it, and says by which error it is answered. */
static unsigned error_of(struct lone *l, const struct req *q)
{
    unsigned code;
    assert_ok(send_request(l, q, &l->remote));
    assert_ok(next_msg(l));
    assert_ok(pv_stun_get_error(&l->msg, &code));
    return code;
}

PV_TEST(faulty_requests_get_the_errors_of_the_rfc)
{
    struct lone *l = lone_new(CONTROLLING | DESCRIBED);
    struct pv_view v;
    drain(l);
    struct req q = good_request(l);
    q.no_priority = true;
    assert_int_equal(error_of(l, &q), 400);
    q = good_request(l);
    q.unknown = 0x7f01;
    assert_int_equal(error_of(l, &q), 420);
    assert_ok(pv_stun_find(&l->msg, PV_STUN_ATTR_UNKNOWN_ATTRIBUTES, &v));
    assert_int_equal(pv_load_be16(v.ptr), 0x7f01);
    assert_int_equal(drain(l), 0);
}

static void free_agent(void *agent)
{
    pv_ice_free(agent);
}

/* The other side of l as an agent. */
static struct pv_ice_agent *make_other(struct lone *l)
{
    struct pv_ice_config cfg = {.rng = l->rng, .local = l->theirs};
    struct pv_ice_agent *other;
    const struct pv_ice_cand own = host_cand(l->remote), host = host_cand(l->local);
    assert_ok(pv_ice_new(&other, &cfg, l->now));
    test_defer(free_agent, other);
    pv_ice_set_local(other, &own, 1, l->now);
    assert_ok(pv_ice_set_remote(other, &l->mine, &host, 1, l->now));
    return other;
}

PV_TEST(a_check_carries_nothing_that_another_agent_refuses)
{
    struct lone *l = lone_new(CONTROLLING | DESCRIBED);
    struct pv_view unknown;
    struct pv_ice_agent *other = make_other(l);
    const struct pv_ice_carrier at = {.local = l->remote};
    take_check(l);
    assert_ok(pv_ice_handle_input(other, &at, &l->local, pv_view(l->tx.buf, l->tx.len), l->now));
    do {
        assert_ok(pv_ice_poll_transmit(other, &l->tx));
        assert_ok(pv_stun_decode(pv_view(l->tx.buf, l->tx.len), &l->msg));
    } while (l->msg.cls == PV_STUN_REQUEST);
    if (pv_stun_find(&l->msg, PV_STUN_ATTR_UNKNOWN_ATTRIBUTES, &unknown) == PV_OK &&
        unknown.len >= 2)
        fail_msg("ice_check.c: known[] lacks 0x%02x%02x", unknown.ptr[0], unknown.ptr[1]);
    assert_int_equal(l->msg.cls, PV_STUN_SUCCESS);
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
    struct lone *l = lone_new(CONTROLLING);
    unsigned answered = 0;
    struct req q = good_request(l);
    for (int i = 0; i < 1000; i++) {
        (void)!send_request(l, &q, &l->remote);
        answered += drain(l);
    }
    assert_int_equal(answered, 100);
    for (int i = 0; i < 20; i++) { /* not drained: the queue is bounded */
        l->now += PV_S(1);
        assert_ok(send_request(l, &q, &l->remote));
    }
    assert_int_equal(drain(l), 16);
}

PV_TEST(answers_count_only_from_the_pair_with_its_secret)
{
    struct lone *l = lone_new(DESCRIBED);
    struct pv_ice_transmit copy;
    struct pv_addr stranger = pv_addr4(192, 0, 2, 3, 2000);
    struct pv_ice_path path;
    take_check(l);
    l->now += PV_MS(7);

    assert_int_equal(answer(l, &l->tx, &stranger, l->local, l->theirs.pwd), PV_ERR_NOT_FOUND);
    stranger = l->remote;
    stranger.port++;
    assert_int_equal(answer(l, &l->tx, &stranger, l->local, l->theirs.pwd), PV_ERR_NOT_FOUND);
    l->answers_on = 3; /* RFC 8445 s7.2.5.2.1: where it was asked from */
    assert_int_equal(answer(l, &l->tx, &l->remote, l->local, l->theirs.pwd), PV_ERR_NOT_FOUND);
    l->answers_on = 0;
    assert_int_equal(answer(l, &l->tx, &l->remote, l->local, l->mine.pwd), PV_ERR_AUTH);
    copy = l->tx;
    copy.buf[19] ^= 1;
    assert_int_equal(answer(l, &copy, &l->remote, l->local, l->theirs.pwd), PV_ERR_NOT_FOUND);
    copy = l->tx;
    copy.buf[9] ^= 1; /* a transmission that was not sent */
    assert_int_equal(answer(l, &copy, &l->remote, l->local, l->theirs.pwd), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_ice_selected(l->agent, &path), PV_ERR_NOT_FOUND);

    answer_check(l, &l->tx);
    assert_ok(pv_ice_selected(l->agent, &path));
    assert_true(path.rtt == PV_MS(7));
    assert_int_equal(path.answers, 1);
    l->now += PV_MS(50);
    answer_check(l, &l->tx);
    assert_ok(pv_ice_selected(l->agent, &path));
    assert_int_equal(path.answers, 1); /* a duplicate changes nothing */
    assert_true(path.rtt == PV_MS(7));
}

PV_TEST(a_check_before_the_description_is_answered_and_honoured_later)
{
    struct lone *l = lone_new(0);
    struct pv_ice_event ev;
    nominate(l, 5, &l->remote);
    check_from(l, &l->remote); /* an older one, delayed */
    assert_int_equal(drain(l), 2);
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_NEW);

    /* The description lists no address at all. */
    describe(l, NULL, 0);
    assert_ok(next_msg(l));
    assert_true(pv_addr_equal(&l->tx.dst, &l->remote));
    answer_check(l, &l->tx);
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_COMPLETED);
    assert_ok(pv_ice_poll_event(l->agent, &ev));
    assert_int_equal(ev.type, PV_ICE_EV_SELECTED);
    assert_int_equal(ev.path.remote_type, PV_ICE_PRFLX);
}

PV_TEST(checks_for_other_credentials_of_the_peer_move_nothing)
{
    struct lone *l = lone_new(DESCRIBED);
    struct pv_addr elsewhere = pv_addr4(192, 0, 2, 77, 7);
    tick(l);
    drain(l);
    struct req q = good_request(l);
    q.from = "older";
    for (uint16_t i = 0; i < 100; i++) {
        elsewhere.port = (uint16_t)(i + 1);
        l->now += PV_MS(20);
        assert_ok(send_request(l, &q, &elsewhere));
        (void)drain(l);
    }
    struct pv_ice_path paths[4];
    assert_int_equal(pv_ice_paths(l->agent, paths, 4), 1);
}

/* --- nomination ------------------------------------------------------------------------------- */

PV_TEST(the_controlled_side_follows_the_highest_counter)
{
    struct lone *l = lone_new(DESCRIBED);
    struct pv_addr other = pv_addr4(192, 0, 2, 9, 9000);
    take_check(l);
    answer_check(l, &l->tx);
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_CONNECTED);

    nominate(l, 7, &l->remote);
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_COMPLETED);

    /* Lower and equal counters elsewhere move nothing, nor does one of more than 24 bits. */
    const uint32_t REFUSED[] = {6, 7, 0x1000000};
    for (size_t i = 0; i < PV_ARRAY_LEN(REFUSED); i++) {
        nominate(l, REFUSED[i], &other);
        (void)answer_at(l, &other);
        assert_true(uses(l, &l->remote));
    }
    nominate(l, 0xffffff, &other);
    assert_true(uses(l, &other));
}

PV_TEST(a_nominated_pair_is_used_once_it_is_proven)
{
    struct lone *l = lone_new(DESCRIBED);
    struct pv_addr other = pv_addr4(192, 0, 2, 9, 9000);
    take_check(l);
    struct pv_ice_transmit first = l->tx;

    nominate(l, 1, &other);
    struct pv_ice_transmit triggered = {0};
    while (next_msg(l) == PV_OK)
        if (l->msg.cls == PV_STUN_REQUEST && pv_addr_equal(&l->tx.dst, &other))
            triggered = l->tx;
    assert_true(triggered.len > 0);

    /* Another pair is proven first and used meanwhile, without a word to the other side. */
    answer_check(l, &first);
    assert_true(uses(l, &l->remote));
    assert_int_equal(drain(l), 0);
    assert_ok(answer(l, &triggered, &other, l->local, l->theirs.pwd));
    assert_true(uses(l, &other));
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_COMPLETED);
}

/* Addresses of a peer behind a NAT and its relay; ours is seen as MAPPED. */
static const struct pv_addr MAPPED = {.family = PV_AF_INET, .ip = {203, 0, 113, 1}, .port = 7000};
static const struct pv_ice_cand DIRECT = {
    .type = PV_ICE_SRFLX,
    .addr = {.family = PV_AF_INET, .ip = {203, 0, 113, 2}, .port = 2000},
    .priority = 200};
static const struct pv_ice_cand RELAYED = {
    .type = PV_ICE_RELAY,
    .addr = {.family = PV_AF_INET, .ip = {198, 51, 100, 1}, .port = 5000},
    .priority = 100};

static struct lone *lone_facing(const struct pv_ice_cand *theirs, size_t n)
{
    struct lone *l = lone_new(CONTROLLING);
    describe(l, theirs, n);
    return l;
}

/* Drives a controlling agent for `time`; requests to `to` are answered after `delay` if wanted.
 * Returns the highest nomination seen on the way there. */
static uint32_t play(struct lone *l, pv_ns time, const struct pv_addr *to, pv_ns delay,
                     struct pv_addr mapped)
{
    struct pv_ice_transmit held = {0};
    pv_ns due = PV_NEVER;
    uint32_t highest = 0;

    for (pv_ns end = l->now + time; l->now < end; l->now += PV_MS(1)) {
        tick(l);
        while (next_msg(l) == PV_OK) {
            uint32_t n = 0;
            if (l->msg.cls != PV_STUN_REQUEST || !pv_addr_equal(&l->tx.dst, to))
                continue;
            (void)!pv_stun_get_u32(&l->msg, PV_STUN_ATTR_NOMINATION, &n);
            highest = n > highest ? n : highest;
            if (due == PV_NEVER && delay != PV_NEVER) {
                held = l->tx;
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

/* As most do: the answers come after 5 ms. */
static uint32_t answer_for(struct lone *l, pv_ns time, const struct pv_addr *to)
{
    return play(l, time, to, PV_MS(5), MAPPED);
}

PV_TEST(a_late_answer_to_the_check_before_does_not_end_a_nomination)
{
    struct lone *l = lone_new(CONTROLLING | DESCRIBED);
    struct pv_ice_transmit first, second;
    uint32_t n = 0;
    take_check(l);
    first = l->tx;
    l->now += PV_MS(20);
    take_check(l);
    second = l->tx;
    answer_check(l, &first);
    assert_ok(next_msg(l)); /* lost on its way */
    assert_ok(pv_stun_get_u32(&l->msg, PV_STUN_ATTR_NOMINATION, &n));
    assert_int_equal(n, 1);
    answer_check(l, &second);
    l->now += PV_MS(25);
    take_check(l); /* again */
    assert_ok(pv_stun_get_u32(&l->msg, PV_STUN_ATTR_NOMINATION, &n));
    answer_check(l, &l->tx);
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_COMPLETED);
}

PV_TEST(an_abandoned_nomination_is_followed_by_a_newer_one)
{
    struct pv_ice_cand cands[2] = {
        {.type = PV_ICE_SRFLX, .addr = pv_addr4(203, 0, 113, 2, 2000), .priority = 100},
        {.type = PV_ICE_HOST, .addr = pv_addr4(192, 168, 7, 7, 2000), .priority = 200},
    };
    struct lone *l = lone_facing(cands, 1);
    assert_int_equal(answer_for(l, PV_S(1), &cands[0].addr), 1);
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_COMPLETED);

    /* The better pair answers its first check, and is silent once it is nominated. */
    describe(l, cands, 2);
    (void)play(l, PV_MS(3), &cands[1].addr, PV_MS(2), l->local);
    assert_int_equal(play(l, PV_MS(5), &cands[1].addr, PV_NEVER, l->local), 2);
    uint32_t newer = answer_for(l, PV_S(7), &cands[0].addr);
    assert_int_equal(newer, 3);
    assert_true(uses(l, &cands[0].addr));
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_COMPLETED);
}

/* The peer fell back to a relay, so the pair before is held down, unless it was our NAT's binding
 * that had ended: then it has another one now. */
PV_TEST(a_pair_with_another_binding_is_not_held_down_for_the_one_before)
{
    const struct pv_addr mapped[] = {pv_addr4(203, 0, 113, 1, 7000),
                                     pv_addr4(203, 0, 113, 1, 7001)};
    const struct pv_ice_cand cands[] = {DIRECT, RELAYED};
    for (size_t i = 0; i < PV_ARRAY_LEN(mapped); i++) {
        struct lone *l = lone_facing(cands, 2);
        assert_int_equal(play(l, PV_MS(500), &cands[0].addr, PV_MS(5), mapped[0]), 1);
        (void)play(l, PV_S(1), &cands[1].addr, PV_MS(5), mapped[0]);
        assert_true(is_proven(l, &cands[1].addr));

        nominate(l, 1, &cands[1].addr);
        assert_int_equal(play(l, PV_MS(100), &cands[1].addr, PV_MS(5), mapped[0]), 2);
        assert_true(uses(l, &cands[1].addr));

        pv_ice_kick(l->agent, l->now);
        (void)play(l, PV_MS(300), &cands[0].addr, PV_MS(5), mapped[i]);
        assert_true(uses(l, &cands[i == 0 ? 1 : 0].addr));
    }
}

/* As talk begins after a rest, one end may give the path up just before the NATs are open again,
 * and before any of it has come to the other end. */
PV_TEST(a_pair_given_up_by_the_peer_as_talk_begins_is_not_held_down)
{
    const struct pv_ice_cand cands[] = {DIRECT, RELAYED};
    const pv_ns rests[] = {PV_S(1), PV_S(8), PV_S(8)};
    const bool talks[] = {true, true, false};
    for (size_t i = 0; i < PV_ARRAY_LEN(rests); i++) {
        struct lone *l = lone_facing(cands, 2);
        assert_int_equal(answer_for(l, PV_MS(500), &cands[0].addr), 1);
        answer_for(l, PV_S(1), &cands[1].addr);
        pv_ice_note_traffic(l->agent, l->now, l->now, l->now);
        answer_for(l, rests[i], &cands[0].addr);
        if (talks[i])
            pv_ice_note_traffic(l->agent, l->now, l->now - rests[i], l->now);
        answer_for(l, PV_MS(50), &cands[0].addr);

        nominate(l, 1, &cands[1].addr);
        assert_int_equal(answer_for(l, PV_MS(100), &cands[1].addr), 2);
        answer_for(l, PV_S(1), &cands[0].addr);
        assert_true(uses(l, &cands[i == 0 ? 1 : 0].addr));
    }
}

/* NATs have forgotten it since its last answer, which came a moment ago. */
PV_TEST(a_pair_given_up_by_the_peer_as_talk_begins_has_to_answer_anew)
{
    struct pv_addr other = pv_addr4(203, 0, 113, 2, 2001);
    const struct pv_ice_cand cands[] = {DIRECT, RELAYED};
    struct lone *l = lone_facing(cands, 2);
    assert_int_equal(answer_for(l, PV_MS(500), &cands[0].addr), 1);
    answer_for(l, PV_S(1), &cands[1].addr);
    pv_ice_note_traffic(l->agent, l->now, l->now, l->now);
    answer_for(l, PV_S(8), &cands[0].addr);

    nominate(l, 1, &cands[1].addr);
    assert_int_equal(answer_for(l, PV_MS(100), &cands[1].addr), 2);
    check_from(l, &other);
    assert_int_equal(answer_for(l, PV_MS(100), &other), 3);
    assert_true(uses(l, &other));
}

PV_TEST(a_pair_whose_nomination_nobody_confirms_gives_way_to_one_that_answers)
{
    struct pv_ice_cand cands[2] = {
        DIRECT,
        {.type = PV_ICE_SRFLX, .addr = pv_addr4(203, 0, 113, 2, 2001), .priority = 100},
    };
    struct lone *l = lone_facing(cands, 1);
    (void)play(l, PV_MS(3), &cands[0].addr, PV_MS(2), MAPPED);
    assert_int_equal(play(l, PV_MS(5), &cands[0].addr, PV_NEVER, MAPPED), 1);
    describe(l, cands, 2);
    assert_int_equal(answer_for(l, PV_MS(150), &cands[1].addr), 0); /* not at once */
    assert_int_equal(answer_for(l, PV_MS(700), &cands[1].addr), 2);
    assert_true(uses(l, &cands[1].addr));
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_COMPLETED);
}

PV_TEST(a_relay_whose_nomination_nobody_confirms_gives_way_to_a_direct_pair)
{
    const struct pv_ice_cand cands[] = {RELAYED, DIRECT};
    struct lone *l = lone_facing(cands, 1);
    (void)play(l, PV_MS(3), &cands[0].addr, PV_MS(2), MAPPED);
    assert_int_equal(play(l, PV_MS(5), &cands[0].addr, PV_NEVER, MAPPED), 1);
    describe(l, cands, 2);
    assert_int_equal(answer_for(l, PV_MS(700), &cands[1].addr), 2);
    assert_true(uses(l, &cands[1].addr));
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_COMPLETED);
}

/* A relay that the peer fell back to answers at last, long after both agreed on a better pair. */
PV_TEST(a_fall_back_is_not_followed_after_a_newer_nomination)
{
    struct pv_ice_cand cands[3] = {
        DIRECT,
        RELAYED,
        {.type = PV_ICE_HOST, .addr = pv_addr4(192, 0, 2, 9, 2000), .priority = 300},
    };
    struct lone *l = lone_facing(cands, 2);
    assert_int_equal(answer_for(l, PV_S(1), &cands[0].addr), 1);
    nominate(l, 1, &cands[1].addr); /* our checks do not get there */
    describe(l, cands, 3);
    assert_int_equal(play(l, PV_S(10), &cands[2].addr, PV_MS(5), l->local), 2);
    check_from(l, &cands[1].addr);
    assert_int_equal(answer_for(l, PV_S(1), &cands[1].addr), 0);
    assert_true(is_proven(l, &cands[1].addr));
    assert_true(uses(l, &cands[2].addr));
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_COMPLETED);
}

/* Neither confirms anything: the peer is gone, or its line is. */
PV_TEST(two_pairs_that_have_fallen_silent_are_not_nominated_in_turn)
{
    const struct pv_ice_cand cands[] = {DIRECT, RELAYED};
    struct lone *l = lone_facing(cands, 2);
    (void)play(l, PV_MS(3), &cands[0].addr, PV_MS(2), MAPPED);
    answer_for(l, PV_MS(150), &cands[1].addr);
    assert_true(is_proven(l, &cands[0].addr) && is_proven(l, &cands[1].addr));
    uint32_t highest = 0;
    unsigned sent = 0;
    for (pv_ns end = l->now + PV_S(60); l->now < end; l->now += PV_MS(10)) {
        tick(l);
        while (next_msg(l) == PV_OK) {
            (void)!pv_stun_get_u32(&l->msg, PV_STUN_ATTR_NOMINATION, &highest);
            sent++;
        }
    }
    assert_true(highest <= 3);
    assert_true(sent <= 60);
    assert_int_not_equal(pv_ice_state(l->agent), PV_ICE_COMPLETED);
}

/* As one that opens many ports of its NAT in an attempt is, each of which we see. */
PV_TEST(a_nominated_pair_is_kept_while_the_peer_is_seen_at_many_other_addresses)
{
    struct lone *l = lone_new(DESCRIBED);
    struct pv_ice_path path;
    struct pv_ice_transmit check = {.len = 0};
    struct pv_addr settled = pv_addr4(203, 0, 113, 2, 30000);
    struct req q = good_request(l);
    q.nomination = 5;
    assert_int_equal(send_request(l, &q, &settled), PV_OK);
    while (next_msg(l) == PV_OK)
        check =
            l->msg.cls == PV_STUN_REQUEST && pv_addr_equal(&l->tx.dst, &settled) ? l->tx : check;
    assert_true(check.len > 0);
    q.nomination = 0;
    for (uint16_t i = 1; i <= 2 * PV_ICE_MAX_REMOTE; i++) {
        struct pv_addr other = pv_addr4(203, 0, 113, 2, (uint16_t)(30000 + i));
        l->now += PV_MS(1);
        tick(l);
        assert_int_equal(send_request(l, &q, &other), PV_OK);
        (void)drain(l);
    }
    assert_int_equal(answer(l, &check, &settled, l->local, l->theirs.pwd), PV_OK);
    assert_int_equal(pv_ice_selected(l->agent, &path), PV_OK);
    assert_true(pv_addr_equal(&path.remote, &settled));
}

PV_TEST(of_our_own_former_addresses_the_latest_are_described)
{
    struct lone *l = lone_new(CONTROLLING | DESCRIBED);
    struct pv_ice_cand got[PV_ICE_MAX_LOCAL];
    enum {
        TIMES = 20,
        SEEN = 4
    };
    for (uint16_t i = 0; i < TIMES; i++) { /* our NAT forgets between two talks */
        pv_ice_kick(l->agent, l->now);
        (void)play(l, PV_S(1), &l->remote, PV_MS(5),
                   pv_addr4(203, 0, 113, 1, (uint16_t)(7000 + i)));
    }
    assert_int_equal(pv_ice_locals(l->agent, got, PV_ARRAY_LEN(got)), 1 + SEEN);
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
    struct pv_ice_cand cands[ADDRS];
    struct pv_ice_event ev;
    unsigned changed = 0, first = 0;
    for (uint8_t i = 0; i < ADDRS; i++)
        cands[i] = (struct pv_ice_cand){
            .type = PV_ICE_SRFLX, .addr = pv_addr4(203, 0, 113, 2 + i, 2000), .priority = 200 + i};
    struct lone *l = lone_facing(cands, ADDRS);
    for (unsigned ms = 0; ms < MINUTES * 60000; ms += 5, l->now += PV_MS(5)) {
        tick(l);
        if (ms % 100 == 0)
            pv_ice_note_traffic(l->agent, l->now, l->now, l->now);
        if (ms % 15000 == 10000)
            pv_ice_kick(l->agent, l->now);
        while (next_msg(l) == PV_OK) {
            struct pv_ice_transmit held = l->tx;
            unsigned k = 0;
            while (k + 1 < ADDRS && !pv_addr_equal(&held.dst, &cands[k].addr))
                k++;
            l->now += PV_MS(1);
            if (l->msg.cls == PV_STUN_REQUEST)
                (void)!answer(l, &held, &cands[k].addr,
                              pv_addr4(203, 0, 113, 1, (uint16_t)(7000 + k)), l->theirs.pwd);
        }
        while (pv_ice_poll_event(l->agent, &ev) == PV_OK)
            changed += ev.type == PV_ICE_EV_CANDIDATES_CHANGED;
        if (ms == 5000)
            first = changed;
    }
    assert_true(first > 0);
    assert_int_equal(changed, first);
}

PV_TEST(a_path_that_turns_round_in_a_shared_nat_is_the_last_resort)
{
    struct pv_ice_cand cands[2] = {
        {.type = PV_ICE_SRFLX, .addr = pv_addr4(203, 0, 113, 1, 2000), .priority = 100},
        {.type = PV_ICE_HOST, .addr = pv_addr4(192, 168, 7, 7, 2000), .priority = 200},
    };
    struct lone *l = lone_facing(cands, 1);
    assert_int_equal(play(l, PV_S(1), &cands[0].addr, PV_MS(1), MAPPED), 1);
    describe(l, cands, 2);
    (void)play(l, PV_S(1), &cands[1].addr, PV_MS(300), l->local); /* slow, but on the LAN */
    assert_true(uses(l, &cands[1].addr));
}

PV_TEST(a_use_candidate_counts_once_the_pair_is_proven)
{
    struct lone *l = lone_new(FOREIGN | DESCRIBED);
    take_check(l);
    struct req q = good_request(l);
    q.use_candidate = true;
    assert_ok(send_request(l, &q, &l->remote));
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_CHECKING);
    answer_check(l, &l->tx);
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_COMPLETED);
}

PV_TEST(a_nominated_pair_that_fails_gives_way_with_a_notice)
{
    struct lone *l = lone_new(DESCRIBED);
    uint32_t counter = 0;
    struct pv_addr other = pv_addr4(192, 0, 2, 9, 9000);
    take_check(l);
    answer_check(l, &l->tx);
    nominate(l, 3, &other); /* which then never answers */
    for (pv_ns end = l->now + PV_S(6); l->now < end; l->now += PV_MS(10)) {
        tick(l);
        while (next_msg(l) == PV_OK)
            if (pv_addr_equal(&l->tx.dst, &l->remote))
                (void)!pv_stun_get_u32(&l->msg, PV_STUN_ATTR_NOMINATION, &counter);
    }
    assert_int_equal(counter, 3);
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_CONNECTED);
}

PV_TEST(a_path_in_use_outlives_its_place_in_the_description)
{
    struct lone *l = lone_new(DESCRIBED);
    struct pv_ice_path paths[4];
    struct pv_ice_cand other = {.type = PV_ICE_HOST,
                                .addr = pv_addr4(192, 0, 2, 9, 9000),
                                .priority = pv_ice_priority(PV_ICE_HOST, 1)};
    take_check(l);
    answer_check(l, &l->tx);
    describe(l, &other, 1);
    assert_int_equal(pv_ice_paths(l->agent, paths, 4), 2);
    assert_true(paths[0].selected && paths[0].valid);
    assert_true(pv_addr_equal(&paths[0].remote, &l->remote));
    assert_int_equal(paths[0].remote_type, PV_ICE_PRFLX);
    assert_false(is_proven(l, &other.addr));

    /* The unused one goes with the next description that does not list it. */
    describe(l, NULL, 0);
    assert_int_equal(pv_ice_paths(l->agent, paths, 4), 1);
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
        unsigned code, role = ROWS[i].controlling ? CONTROLLING : 0;
        struct lone *l = lone_new(role | (ROWS[i].foreign ? FOREIGN : 0) | DESCRIBED);
        (void)drain(l);
        struct req q = good_request(l);
        q.controlling = ROWS[i].controlling;
        q.controlled = !ROWS[i].controlling;
        q.tie = ROWS[i].we_win ? 0 : UINT64_MAX;
        assert_ok(send_request(l, &q, &l->remote));
        assert_ok(next_msg(l));
        bool got_487 = l->msg.cls == PV_STUN_ERROR && pv_stun_get_error(&l->msg, &code) == PV_OK &&
                       code == PV_STUN_E_ROLE_CONFLICT;
        assert_int_equal(got_487, ROWS[i].answered_487);

        l->now += PV_S(1);
        take_check(l);
        bool now_controlling = pv_stun_has(&l->msg, PV_STUN_ATTR_ICE_CONTROLLING);
        assert_int_equal(now_controlling == ROWS[i].controlling, ROWS[i].stays);
        test_end(l);
    }
}

/* --- limits ----------------------------------------------------------------------------------- */

PV_TEST(addresses_that_cannot_be_reached_are_not_paired)
{
    struct lone *l = lone_new(CONTROLLING);
    struct pv_ice_path paths[8];
    static const uint8_t LL6[16] = {0xfe, 0x80, [15] = 1}, VIRTUAL[16] = {0xfd, [15] = 1};
    struct pv_ice_cand bad[] = {
        {.type = PV_ICE_HOST, .addr = pv_addr4(127, 0, 0, 1, 5)},
        {.type = PV_ICE_HOST, .addr = pv_addr4(224, 0, 0, 1, 5)},
        {.type = PV_ICE_HOST, .addr = pv_addr4(10, 0, 0, 1, 0)},
        {.type = PV_ICE_HOST, .addr = pv_addr6(LL6, 5)},
        {.type = PV_ICE_RELAY, .addr = pv_addr6(VIRTUAL, 3478)},
        {.type = PV_ICE_HOST, .addr = l->local},
    };
    describe(l, bad, PV_ARRAY_LEN(bad));
    assert_int_equal(pv_ice_paths(l->agent, paths, 8), 0);
}

PV_TEST(tables_stop_at_their_limits)
{
    struct lone *l = lone_new(CONTROLLING);
    static struct pv_ice_path paths[PV_ICE_MAX_PAIRS + 1];
    struct pv_ice_cand locals[PV_ICE_MAX_LOCAL + 1];
    struct pv_ice_cand remotes[40];
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

    pv_ice_set_local(l->agent, locals, PV_ARRAY_LEN(locals), l->now);
    struct pv_ice_cand got[PV_ICE_MAX_LOCAL + 1];
    assert_int_equal(pv_ice_locals(l->agent, got, PV_ARRAY_LEN(got)), PV_ICE_MAX_LOCAL);
    describe(l, remotes, PV_ARRAY_LEN(remotes));
    assert_int_equal(pv_ice_paths(l->agent, paths, PV_ARRAY_LEN(paths)), PV_ICE_MAX_PAIRS);

    pv_ice_set_local(l->agent, locals, 1, l->now);
    assert_int_equal(pv_ice_paths(l->agent, paths, PV_ARRAY_LEN(paths)), 24); /* of a description */

    /* One reflexive address is proven and must outlive the flood. */
    struct pv_addr proven = pv_addr4(10, 3, 0, 1, 9);
    struct req first = good_request(l);
    l->local = locals[0].addr;
    assert_ok(send_request(l, &first, &proven));
    (void)answer_at(l, &proven);
    assert_true(is_proven(l, &proven));
    for (uint16_t i = 0; i < 50; i++) { /* reflexive ones fill the rest and push each other out */
        struct pv_addr src = pv_addr4(10, 2, 0, 1, (uint16_t)(i + 1));
        l->now += PV_MS(100);
        check_from(l, &src);
        (void)drain(l);
    }
    assert_int_equal(pv_ice_paths(l->agent, paths, PV_ARRAY_LEN(paths)), PV_ICE_MAX_REMOTE);
    assert_true(is_proven(l, &proven));
}

PV_TEST(of_a_peers_former_addresses_the_latest_are_remembered)
{
    struct lone *l = lone_new(CONTROLLING | DESCRIBED);
    struct pv_ice_path paths[PV_ICE_MAX_PAIRS];
    enum {
        TIMES = 40,
        LEARNT = 8
    };
    for (uint16_t i = 0; i < TIMES; i++) { /* its NAT forgets between two talks */
        struct pv_addr src = pv_addr4(10, 2, 0, 1, (uint16_t)(1000 + i));
        l->now += PV_S(60);
        check_from(l, &src);
        (void)drain(l);
    }
    bool seen[TIMES] = {false};
    size_t n = pv_ice_paths(l->agent, paths, PV_ARRAY_LEN(paths));
    assert_int_equal(n, 1 + LEARNT);
    for (size_t i = 0; i < n; i++)
        if (!pv_addr_equal(&paths[i].remote, &l->remote))
            seen[paths[i].remote.port - 1000] = true;
    for (size_t i = 0; i < TIMES; i++)
        assert_int_equal(seen[i], i >= TIMES - LEARNT);
}

PV_TEST(until_the_peer_knows_us_only_our_own_nat_is_opened)
{
    struct pv_ice_cand cands[3];
    for (uint8_t i = 0; i < 3; i++)
        cands[i] = (struct pv_ice_cand){.type = i == 0 ? PV_ICE_HOST : PV_ICE_SRFLX,
                                        .addr = pv_addr4(192, 0, 2, (uint8_t)(2 + i), 2000),
                                        .priority = 1000u - i};
    struct lone *l = lone_facing(cands, 3);

    /* Both pairs across NATs at once, with a TTL that dies on the way. */
    for (unsigned i = 1; i <= 2; i++) {
        assert_ok(next_msg(l));
        assert_true(pv_addr_equal(&l->tx.dst, &cands[i].addr));
        assert_int_equal(l->tx.ttl, 2);
    }
    /* Twice more each, for one may be lost. The pair without a NAT is checked as ever. */
    unsigned primers = 0;
    for (unsigned ms = 0; ms < 900; ms += 20) {
        l->now += PV_MS(20);
        tick(l);
        while (next_msg(l) == PV_OK) {
            bool direct = pv_addr_equal(&l->tx.dst, &cands[0].addr);
            assert_int_equal(l->tx.ttl, direct ? 0 : 2);
            primers += direct ? 0 : 1;
        }
    }
    assert_int_equal(primers, 4);
    pv_ice_set_known(l->agent, true, l->now);
    unsigned real = 0;
    while (next_msg(l) == PV_OK) {
        assert_int_equal(l->tx.ttl, 0);
        real += pv_addr_equal(&l->tx.dst, &cands[0].addr) ? 0u : 1u;
    }
    assert_int_equal(real, 2);
}

PV_TEST(an_acknowledgement_that_never_comes_delays_checks_by_a_second)
{
    struct lone *l = lone_new(0);
    struct pv_ice_transmit tx;
    struct pv_ice_cand c = {.type = PV_ICE_SRFLX, .addr = l->remote, .priority = 1};
    describe(l, &c, 1);
    assert_ok(pv_ice_poll_transmit(l->agent, &tx));
    assert_int_equal(tx.ttl, 2);
    for (unsigned i = 1; i <= 2; i++) {
        pv_ice_handle_timeout(l->agent, l->now + PV_MS(40 * i));
        assert_ok(pv_ice_poll_transmit(l->agent, &tx));
        assert_int_equal(tx.ttl, 2);
    }
    l->now += PV_S(1) - 1;
    tick(l);
    assert_int_equal(pv_ice_poll_transmit(l->agent, &tx), PV_ERR_AGAIN);
    l->now += 1;
    tick(l);
    assert_ok(pv_ice_poll_transmit(l->agent, &tx));
    assert_int_equal(tx.ttl, 0);
}

/* --- carriers -------------------------------------------------------------------------------- */

PV_TEST(another_socket_is_a_base_for_the_pairs_the_peer_makes)
{
    struct lone *l = lone_new(CONTROLLING | DESCRIBED);
    struct pv_ice_path paths[8];
    uint8_t buf[256];
    (void)drain(l);
    struct pv_ice_carrier extra = {.sock = 7, .local = l->local};
    extra.local.port = 5555;
    const struct pv_addr from = pv_addr4(192, 0, 2, 2, 3333);
    struct req q = good_request(l);
    size_t len = write_request(&q, buf, sizeof(buf));
    assert_int_equal(pv_ice_handle_input(l->agent, &extra, &from, pv_view(buf, len), l->now),
                     PV_ERR_NOT_FOUND);

    assert_ok(pv_ice_add_carrier(l->agent, &extra, l->now));
    assert_ok(pv_ice_add_carrier(l->agent, &extra, l->now)); /* again: the same one */
    assert_int_equal(pv_ice_paths(l->agent, paths, 8), 1);
    struct pv_ice_cand locals[4];
    assert_int_equal(pv_ice_locals(l->agent, locals, 4), 1); /* it is not offered */
    len = write_request(&q, buf, sizeof(buf));
    assert_ok(pv_ice_handle_input(l->agent, &extra, &from, pv_view(buf, len), l->now));
    assert_int_equal(pv_ice_paths(l->agent, paths, 8), 2);
    bool checked = false;
    while (next_msg(l) == PV_OK)
        checked |= l->msg.cls == PV_STUN_REQUEST && l->tx.carrier.sock == 7;
    assert_true(checked);

    /* It stays while its address does, and goes with its socket. */
    struct pv_ice_cand host = host_cand(l->local);
    pv_ice_set_local(l->agent, &host, 1, l->now);
    size_t n = pv_ice_paths(l->agent, paths, 8);
    pv_ice_drop_carrier(l->agent, 7, l->now);
    assert_int_equal(pv_ice_paths(l->agent, paths, 8), n - 1);
    assert_ok(pv_ice_add_carrier(l->agent, &extra, l->now));
    host.addr = host.carrier.local = pv_addr4(192, 0, 2, 77, 1000);
    pv_ice_set_local(l->agent, &host, 1, l->now);
    len = write_request(&q, buf, sizeof(buf));
    assert_int_equal(pv_ice_handle_input(l->agent, &extra, &from, pv_view(buf, len), l->now),
                     PV_ERR_NOT_FOUND);
}

/* Answers everything that leaves from this socket; returns the highest NOMINATION seen there. */
static uint32_t answer_from(struct lone *l, uint16_t sock)
{
    uint32_t highest = 0;
    while (next_msg(l) == PV_OK) {
        uint32_t nomination = 0;
        if (l->msg.cls != PV_STUN_REQUEST || l->tx.carrier.sock != sock)
            continue;
        (void)!pv_stun_get_u32(&l->msg, PV_STUN_ATTR_NOMINATION, &nomination);
        highest = nomination > highest ? nomination : highest;
        uint8_t buf[256];
        struct pv_ice_carrier c = l->tx.carrier;
        size_t len = write_answer(&l->msg, c.local, l->theirs.pwd, buf, sizeof(buf));
        assert_ok(pv_ice_handle_input(l->agent, &c, &l->tx.dst, pv_view(buf, len), l->now));
    }
    return highest;
}

PV_TEST(a_retiring_socket_serves_until_another_pair_is_proven)
{
    for (int controlling = 0; controlling <= 1; controlling++) {
        struct lone *l = lone_new((controlling ? CONTROLLING : 0) | DESCRIBED);
        struct pv_ice_path path;
        tick(l);
        (void)answer_from(l, 0);
        if (!controlling)
            nominate(l, 4, &l->remote);
        (void)answer_from(l, 0);
        assert_int_equal(pv_ice_state(l->agent), PV_ICE_COMPLETED);

        struct pv_ice_cand host = host_cand(l->local);
        host.carrier.sock = 9;
        host.addr.port = host.carrier.local.port = 1001;
        l->now += PV_S(1);
        pv_ice_retire_carrier(l->agent, 0, PV_AF_INET, l->now);
        pv_ice_set_local(l->agent, &host, 1, l->now);
        assert_ok(pv_ice_selected(l->agent, &path));
        assert_int_equal(path.carrier.sock, 0);
        assert_true(path.valid);
        struct pv_ice_cand locals[4];
        assert_int_equal(pv_ice_locals(l->agent, locals, 4), 1); /* only the new one is offered */

        pv_ice_handle_timeout(l->agent, l->now);
        uint32_t told = answer_from(l, 9);
        assert_ok(pv_ice_selected(l->agent, &path));
        assert_int_equal(path.carrier.sock, 9);
        assert_true(told >= (controlling ? 2 : 4)); /* a new nomination, or a notice of the last */
        pv_ice_drop_carrier(l->agent, 0, l->now);
        assert_int_equal(pv_ice_paths(l->agent, &path, 1), 1);
        assert_ok(pv_ice_selected(l->agent, &path));
        assert_int_equal(path.carrier.sock, 9);
        test_end(l);
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
    describe(l, cands, PV_ARRAY_LEN(cands));
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
        tick(l);
    }
    l->now = end;
    return n;
}

PV_TEST(a_victim_gets_a_few_checks_and_then_silence)
{
    struct lone *l = lone_new(CONTROLLING);
    name_victim(l, 5000);
    pv_ice_set_known(l->agent, true, l->now);
    unsigned in_10s = run_until(l, l->now + PV_S(15));
    assert_in_range(in_10s, PV_ICE_MAX_REMOTE, 10 * PV_ICE_MAX_REMOTE);
    assert_int_equal(run_until(l, l->now + PV_S(600)), 0);
    assert_int_equal(pv_ice_state(l->agent), PV_ICE_FAILED);
}

/* New candidates all the time: a pair's first check every 20 ms (Ta), each repeated four times
 * before the next description, whatever is asked for. */
PV_TEST(naming_ever_new_ports_of_a_victim_is_paced)
{
    struct lone *l = lone_new(CONTROLLING);
    unsigned n = 0;
    for (uint16_t round = 0; round < 300; round++) {
        name_victim(l, (uint16_t)(5000 + 40 * round));
        pv_ice_set_known(l->agent, true, l->now);
        n += run_until(l, l->now + PV_MS(200));
    }
    assert_true(n <= 60 * 250); /* one minute; the descriptions weigh about as much */
    assert_in_range(run_until(l, l->now + PV_S(15)), 0, 10 * PV_ICE_MAX_REMOTE);
    assert_int_equal(run_until(l, l->now + PV_S(600)), 0);
}

static void table_free(void *ctx)
{
    pv_bucket_table_free(ctx);
}

/* Several of them, all the time: what all agents of a node send there has one budget. Another
 * network's is not touched, and where somebody has answered there is none. */
PV_TEST(members_that_name_one_victim_share_what_is_sent_there)
{
    struct lone *l[3];
    struct pv_bucket_table *blind;
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 12);
    unsigned n = 0;
    assert_int_equal(pv_bucket_table_new(&blind, PV_ICE_BLIND_NETWORKS, PV_ICE_BLIND_A_SECOND,
                                         PV_ICE_BLIND_AT_ONCE, &rng),
                     PV_OK);
    test_defer(table_free, blind);
    for (unsigned i = 0; i < 3; i++)
        l[i] = lone_beside(blind, CONTROLLING | (i == 2 ? DESCRIBED : 0));
    for (uint16_t round = 0; round < 300; round++) {
        for (unsigned i = 0; i < 2; i++) {
            name_victim(l[i], (uint16_t)(5000 + 40 * round));
            pv_ice_set_known(l[i]->agent, true, l[i]->now);
            n += run_until(l[i], l[i]->now + PV_MS(200));
        }
    }
    assert_in_range(n, PV_ICE_BLIND_AT_ONCE, PV_ICE_BLIND_AT_ONCE + 60 * PV_ICE_BLIND_A_SECOND + 1);

    struct lone *honest = l[2];
    honest->now = l[0]->now;
    take_check(honest);
    answer_check(honest, &honest->tx);
    while (pv_bucket_table_take(blind, &honest->remote, 1, honest->now))
        continue;
    pv_ns next = pv_ice_next_timeout(honest->agent);
    honest->now = next > honest->now ? next : honest->now;
    tick(honest);
    while (pv_bucket_table_take(blind, &honest->remote, 1, honest->now))
        continue;
    assert_ok(next_msg(honest));
}

PV_TEST(an_address_known_from_data_gets_three_times_what_came)
{
    struct lone *l = lone_new(CONTROLLING | DESCRIBED);
    struct pv_addr stray = pv_addr4(192, 0, 2, 99, 99);
    struct pv_ice_carrier c = {0};
    take_check(l);
    answer_check(l, &l->tx);
    (void)drain(l);

    size_t got = 0;
    pv_ns begin = l->now;
    pv_ice_note_stray(l->agent, &c, &stray, 32, l->now);
    while (l->now < begin + PV_S(8)) {
        tick(l);
        while (next_msg(l) == PV_OK)
            if (pv_addr_equal(&l->tx.dst, &stray))
                got += l->tx.len + 28;
        l->now += PV_MS(10);
    }
    assert_in_range(got, 1, 3 * (32 + 28));

    /* It answers the next time, and is known then. */
    pv_ice_note_stray(l->agent, &c, &stray, 100, l->now);
    bool asked = false;
    while (next_msg(l) == PV_OK) {
        if (pv_addr_equal(&l->tx.dst, &stray)) {
            assert_ok(answer(l, &l->tx, &stray, l->local, l->theirs.pwd));
            asked = true;
        }
    }
    assert_true(asked);
    assert_true(is_proven(l, &stray));
}

/* --- a host with IPv6 alone --------------------------------------------------------------------
 */

/* The NAT64 leads to the addresses of IPv4 that the peer lists, but for those of other networks,
 * and the peer hears of its own. */
PV_TEST(candidates_of_ipv4_are_reached_by_a_nat64)
{
    struct lone *l = lone_new(CONTROLLING);
    const struct pv_prefix prefix = test_prefix("64:ff9b::/96");
    const struct pv_addr there = test_addr("[64:ff9b::c633:6402]:2000");
    l->local = test_addr("[2001:db8::1]:1000");
    const struct pv_ice_cand own = host_cand(l->local);
    const struct pv_ice_cand theirs[] = {
        {.type = PV_ICE_SRFLX, .addr = pv_addr4(198, 51, 100, 2, 2000), .priority = 2},
        {.type = PV_ICE_HOST, .addr = pv_addr4(192, 168, 1, 2, 2000), .priority = 3}};
    struct pv_addr mapped;
    unsigned sent = 0;
    pv_ice_set_local(l->agent, &own, 1, l->now);
    assert_true(pv_ice_set_nat64(l->agent, &prefix));
    assert_false(pv_ice_set_nat64(l->agent, &prefix));
    describe(l, theirs, 2);
    for (unsigned i = 0; i < 50; i++, l->now += PV_MS(20)) {
        tick(l);
        for (; next_msg(l) == PV_OK; sent++)
            assert_true(pv_addr_equal(&l->tx.dst, &there));
    }
    assert_true(sent > 0);
    const struct req q = good_request(l);
    assert_ok(send_request(l, &q, &there));
    assert_ok(next_msg(l));
    assert_true(pv_addr_equal(&l->tx.dst, &there));
    assert_ok(pv_stun_get_xor_addr(&l->msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped));
    assert_true(pv_addr_equal(&mapped, &theirs[0].addr));
}
