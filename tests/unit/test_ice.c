/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "../sim/ice_world.h"
#include "proto/ice.h"
#include "proto/stun.h"

static struct w_world w; /* too large for the stack */

/* Two hosts behind a NAT each; the second may have another interface straight to the internet. */
static void two_nats(uint64_t seed)
{
    w_init(&w, seed);
    for (uint8_t i = 0; i < 2; i++) {
        int nat = w_add_nat(&w, W_INTERNET, pv_addr4(203, 0, 113, (uint8_t)(i + 1), 0), W_APDF);
        w_add_if(&w, i, nat, pv_addr4(192, 168, (uint8_t)(i + 1), 10, (uint16_t)(5000 + i)), 65000);
    }
}

static void meet(bool foreign)
{
    for (int i = 0; i < 2; i++)
        w_start(&w, i, foreign);
    w_describe(&w, 0);
    w_describe(&w, 1);
}

/* Two hosts with two addresses each, all in the internet: four pairs, all good. */
static void two_homes(uint64_t seed)
{
    w_init(&w, seed);
    for (uint8_t i = 0; i < 2; i++) {
        w_add_if(&w, i, W_INTERNET, pv_addr4(198, 51, 100, (uint8_t)(i + 1), 5000), 65000);
        w_add_if(&w, i, W_INTERNET, pv_addr4(203, 0, 113, (uint8_t)(i + 1), 6000), 64000);
    }
}

static void data_both_ways(pv_ns every)
{
    for (int i = 0; i < 2; i++) {
        w.hosts[i].sends_data = true;
        w.hosts[i].data_every = every;
        w.hosts[i].next_data = w.now;
        w.hosts[i].next_note = w.now;
    }
}

static struct pv_ice_path path_of(int host)
{
    struct pv_ice_path p = {0};
    assert_int_equal(pv_ice_selected(w.hosts[host].agent, &p), PV_OK);
    return p;
}

static void assert_state(int host, enum pv_ice_state state)
{
    if (pv_ice_state(w.hosts[host].agent) != state) {
        w_print(&w);
        fail_msg("host %d is %s", host, pv_ice_state_name(pv_ice_state(w.hosts[host].agent)));
    }
}

/* --- credentials, priorities --------------------------------------------------------------- */

static void priorities_are_those_of_the_rfc(void **state)
{
    (void)state;
    assert_int_equal(pv_ice_priority(PV_ICE_HOST, 65535), 0x7effffff);
    assert_int_equal(pv_ice_priority(PV_ICE_PRFLX, 1), 0x6e0001ff);
    assert_int_equal(pv_ice_priority(PV_ICE_RELAY, 0), 0x000000ff);
}

static void credentials_outside_the_bounds_are_refused(void **state)
{
    (void)state;
    struct test_rng seed;
    struct pv_ice_config cfg = {.rng = test_rng_make(&seed, 3)};
    struct pv_ice_agent *agent = NULL;
    pv_ice_make_creds(&cfg.rng, &cfg.local);
    assert_int_equal(strlen(cfg.local.ufrag), PV_ICE_UFRAG_LEN);
    assert_int_equal(strlen(cfg.local.pwd), PV_ICE_PWD_LEN);
    assert_int_equal(pv_ice_new(&agent, &cfg, 1), PV_OK);

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

/* --- checks on the wire -------------------------------------------------------------------- */

struct lone {
    struct test_rng seed;
    struct pv_rng rng;
    struct pv_ice_agent *agent;
    struct pv_ice_creds mine, theirs;
    struct pv_addr local, remote;
    pv_ns now;
};

/* One agent, one pair; the test plays the other side. */
static void lone_begin(struct lone *l, bool controlling, bool foreign, bool described)
{
    l->rng = test_rng_make(&l->seed, 11);
    l->now = PV_S(10);
    l->local = pv_addr4(192, 0, 2, 1, 1000);
    l->remote = pv_addr4(192, 0, 2, 2, 2000);
    struct pv_ice_config cfg = {.controlling = controlling, .foreign = foreign, .rng = l->rng};
    pv_ice_make_creds(&l->rng, &cfg.local);
    l->mine = cfg.local;
    pv_ice_make_creds(&l->rng, &l->theirs);
    assert_int_equal(pv_ice_new(&l->agent, &cfg, l->now), PV_OK);
    struct pv_ice_cand host = {.type = PV_ICE_HOST,
                               .addr = l->local,
                               .priority = pv_ice_priority(PV_ICE_HOST, 65000),
                               .carrier = {.local = l->local}};
    pv_ice_set_local(l->agent, &host, 1, l->now);
    host.addr = l->remote;
    if (described)
        assert_int_equal(pv_ice_set_remote(l->agent, &l->theirs, &host, 1, l->now), PV_OK);
}

struct req {
    const char *to, *from, *pwd;
    bool no_priority, controlling, controlled, use_candidate, no_integrity;
    uint32_t nomination;
    uint16_t unknown;
    uint64_t tie;
};

static size_t write_request(const struct req *q, uint8_t *buf, size_t cap)
{
    static uint8_t serial;
    uint8_t txid[PV_STUN_TXID_LEN] = {++serial, 0xaa};
    char username[80];
    struct pv_stun_writer sw;
    size_t len;
    snprintf(username, sizeof(username), "%s:%s", q->to, q->from);
    pv_stun_write_begin(&sw, buf, cap, PV_STUN_REQUEST, PV_STUN_BINDING, txid);
    pv_stun_put(&sw, PV_STUN_ATTR_USERNAME, pv_view(username, strlen(username)));
    if (!q->no_priority)
        pv_stun_put_u32(&sw, PV_STUN_ATTR_PRIORITY, pv_ice_priority(PV_ICE_PRFLX, 65000));
    if (q->controlling)
        pv_stun_put_u64(&sw, PV_STUN_ATTR_ICE_CONTROLLING, q->tie);
    if (q->controlled)
        pv_stun_put_u64(&sw, PV_STUN_ATTR_ICE_CONTROLLED, q->tie);
    if (q->use_candidate)
        pv_stun_put(&sw, PV_STUN_ATTR_USE_CANDIDATE, pv_view(NULL, 0));
    if (q->nomination != 0)
        pv_stun_put_u32(&sw, PV_STUN_ATTR_NOMINATION, q->nomination);
    if (q->unknown != 0)
        pv_stun_put_u32(&sw, q->unknown, 0);
    if (!q->no_integrity)
        pv_stun_put_integrity(&sw, pv_view(q->pwd, strlen(q->pwd)));
    pv_stun_put_fingerprint(&sw);
    assert_int_equal(pv_stun_write_end(&sw, &len), PV_OK);
    return len;
}

static struct req good_request(const struct lone *l)
{
    return (struct req){.to = l->mine.ufrag, .from = l->theirs.ufrag, .pwd = l->mine.pwd};
}

static int send_request(struct lone *l, const struct req *q, const struct pv_addr *src)
{
    uint8_t buf[256];
    struct pv_ice_carrier c = {.local = l->local};
    size_t len = write_request(q, buf, sizeof(buf));
    return pv_ice_handle_input(l->agent, &c, src, pv_view(buf, len), l->now);
}

/* Takes the next datagram and decodes it into *ret_msg (views into *tx). */
static int next_msg(struct lone *l, struct pv_ice_transmit *tx, struct pv_stun_msg *ret_msg)
{
    int r = pv_ice_poll_transmit(l->agent, tx);
    if (r == PV_OK)
        assert_int_equal(pv_stun_decode(pv_view(tx->buf, tx->len), ret_msg), PV_OK);
    return r;
}

static unsigned drain(struct lone *l)
{
    struct pv_ice_transmit tx;
    unsigned n = 0;
    while (pv_ice_poll_transmit(l->agent, &tx) == PV_OK)
        n++;
    return n;
}

/* Answers the request in tx as the other side would, seeing us at `mapped`. */
static int answer(struct lone *l, const struct pv_ice_transmit *tx, const struct pv_addr *src,
                  struct pv_addr mapped, const char *pwd)
{
    uint8_t buf[256];
    struct pv_stun_msg msg;
    struct pv_stun_writer sw;
    struct pv_ice_carrier c = {.local = l->local};
    size_t len;
    assert_int_equal(pv_stun_decode(pv_view(tx->buf, tx->len), &msg), PV_OK);
    pv_stun_write_answer(&sw, buf, sizeof(buf), PV_STUN_SUCCESS, &msg);
    pv_stun_put_xor_addr(&sw, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped);
    pv_stun_put_integrity(&sw, pv_view(pwd, strlen(pwd)));
    pv_stun_put_fingerprint(&sw);
    assert_int_equal(pv_stun_write_end(&sw, &len), PV_OK);
    return pv_ice_handle_input(l->agent, &c, src, pv_view(buf, len), l->now);
}

static void checks_are_sent_at_0_20_60_140_300_620_and_doubling(void **state)
{
    (void)state;
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
        assert_int_equal(next_msg(&l, &tx, &msg), PV_OK);
        assert_int_equal(pv_stun_check_integrity(&msg, pv_view(l.theirs.pwd, strlen(l.theirs.pwd))),
                         PV_OK);
        assert_int_equal(pv_stun_check_fingerprint(&msg), PV_OK);
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
    pv_ice_free(l.agent);
}

static void foreign_agents_are_checked_by_the_rfcs_timers(void **state)
{
    (void)state;
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
    pv_ice_free(l.agent);
}

static void a_request_is_answered_only_when_it_is_authentic(void **state)
{
    (void)state;
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

    assert_int_equal(send_request(&l, &q, &l.remote), PV_OK);
    assert_int_equal(next_msg(&l, &tx, &msg), PV_OK);
    assert_int_equal(msg.cls, PV_STUN_SUCCESS);
    assert_int_equal(pv_stun_check_integrity(&msg, pv_view(l.mine.pwd, strlen(l.mine.pwd))), PV_OK);
    assert_int_equal(pv_stun_get_xor_addr(&msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &seen), PV_OK);
    assert_true(pv_addr_equal(&seen, &l.remote));
    assert_true(pv_addr_equal(&tx.dst, &l.remote));
    assert_int_equal(drain(&l), 0); /* no description yet: nothing can be checked */
    pv_ice_free(l.agent);
}

static void every_truncation_of_a_request_is_dropped(void **state)
{
    (void)state;
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
    assert_int_equal(pv_ice_request_ufrag(pv_view(buf, len), ufrag), PV_OK);
    assert_string_equal(ufrag, l.mine.ufrag);
    assert_int_equal(drain(&l), 0);
    pv_ice_free(l.agent);
}

static void faulty_requests_get_the_errors_of_the_rfc(void **state)
{
    (void)state;
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct pv_view v;
    unsigned code;
    lone_begin(&l, true, false, true);
    drain(&l);

    struct req q = good_request(&l);
    q.no_priority = true;
    assert_int_equal(send_request(&l, &q, &l.remote), PV_OK);
    assert_int_equal(next_msg(&l, &tx, &msg), PV_OK);
    assert_int_equal(pv_stun_get_error(&msg, &code), PV_OK);
    assert_int_equal(code, 400);

    q = good_request(&l);
    q.unknown = 0x7f01;
    assert_int_equal(send_request(&l, &q, &l.remote), PV_OK);
    assert_int_equal(next_msg(&l, &tx, &msg), PV_OK);
    assert_int_equal(pv_stun_get_error(&msg, &code), PV_OK);
    assert_int_equal(code, 420);
    assert_int_equal(pv_stun_find(&msg, PV_STUN_ATTR_UNKNOWN_ATTRIBUTES, &v), PV_OK);
    assert_int_equal(pv_load_be16(v.ptr), 0x7f01);
    assert_int_equal(drain(&l), 0);
    pv_ice_free(l.agent);
}

static void the_ufrag_is_found_only_within_its_bounds(void **state)
{
    (void)state;
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
    assert_int_equal(pv_ice_request_ufrag(pv_view(buf, len), ufrag), PV_OK);
    assert_string_equal(ufrag, longest);
    q.to = "";
    len = write_request(&q, buf, sizeof(buf));
    assert_int_equal(pv_ice_request_ufrag(pv_view(buf, len), ufrag), PV_ERR_NOT_FOUND);
}

static void a_flood_of_authentic_requests_is_bounded(void **state)
{
    (void)state;
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
        assert_int_equal(send_request(&l, &q, &l.remote), PV_OK);
    }
    assert_int_equal(drain(&l), 16);
    pv_ice_free(l.agent);
}

static void answers_count_only_from_the_pair_with_its_secret(void **state)
{
    (void)state;
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_ice_transmit copy;
    struct pv_stun_msg msg;
    struct pv_addr stranger = pv_addr4(192, 0, 2, 3, 2000);
    struct pv_ice_path path;
    lone_begin(&l, false, false, true);
    pv_ice_handle_timeout(l.agent, l.now);
    assert_int_equal(next_msg(&l, &tx, &msg), PV_OK);
    l.now += PV_MS(7);

    assert_int_equal(answer(&l, &tx, &stranger, l.local, l.theirs.pwd), PV_ERR_NOT_FOUND);
    assert_int_equal(answer(&l, &tx, &l.remote, l.local, l.mine.pwd), PV_ERR_AUTH);
    copy = tx;
    copy.buf[19] ^= 1;
    assert_int_equal(answer(&l, &copy, &l.remote, l.local, l.theirs.pwd), PV_ERR_NOT_FOUND);
    copy = tx;
    copy.buf[9] ^= 1; /* a transmission that was not sent */
    assert_int_equal(answer(&l, &copy, &l.remote, l.local, l.theirs.pwd), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_ice_selected(l.agent, &path), PV_ERR_NOT_FOUND);

    assert_int_equal(answer(&l, &tx, &l.remote, l.local, l.theirs.pwd), PV_OK);
    assert_int_equal(pv_ice_selected(l.agent, &path), PV_OK);
    assert_true(path.rtt == PV_MS(7));
    assert_int_equal(path.answers, 1);
    l.now += PV_MS(50);
    assert_int_equal(answer(&l, &tx, &l.remote, l.local, l.theirs.pwd), PV_OK);
    assert_int_equal(pv_ice_selected(l.agent, &path), PV_OK);
    assert_int_equal(path.answers, 1); /* a duplicate changes nothing */
    assert_true(path.rtt == PV_MS(7));
    pv_ice_free(l.agent);
}

static void a_check_before_the_description_is_answered_and_honoured_later(void **state)
{
    (void)state;
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct pv_ice_event ev;
    lone_begin(&l, false, false, false);
    struct req q = good_request(&l);
    q.nomination = 5;
    assert_int_equal(send_request(&l, &q, &l.remote), PV_OK);
    q.nomination = 0; /* an older one, delayed */
    assert_int_equal(send_request(&l, &q, &l.remote), PV_OK);
    assert_int_equal(drain(&l), 2);
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_NEW);

    /* The description lists no address at all. */
    assert_int_equal(pv_ice_set_remote(l.agent, &l.theirs, NULL, 0, l.now), PV_OK);
    assert_int_equal(next_msg(&l, &tx, &msg), PV_OK);
    assert_true(pv_addr_equal(&tx.dst, &l.remote));
    assert_int_equal(answer(&l, &tx, &l.remote, l.local, l.theirs.pwd), PV_OK);
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_COMPLETED);
    assert_int_equal(pv_ice_poll_event(l.agent, &ev), PV_OK);
    assert_int_equal(ev.type, PV_ICE_EV_SELECTED);
    assert_int_equal(ev.path.remote_type, PV_ICE_PRFLX);
    pv_ice_free(l.agent);
}

static void checks_for_other_credentials_of_the_peer_move_nothing(void **state)
{
    (void)state;
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
        assert_int_equal(send_request(&l, &q, &elsewhere), PV_OK);
        (void)drain(&l);
    }
    struct pv_ice_path paths[4];
    assert_int_equal(pv_ice_paths(l.agent, paths, 4), 1);
    pv_ice_free(l.agent);
}

/* --- nomination ---------------------------------------------------------------------------- */

static void the_controlled_side_follows_the_highest_counter(void **state)
{
    (void)state;
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct pv_ice_path path;
    struct pv_addr other = pv_addr4(192, 0, 2, 9, 9000);
    lone_begin(&l, false, false, true);
    pv_ice_handle_timeout(l.agent, l.now);
    assert_int_equal(next_msg(&l, &tx, &msg), PV_OK);
    assert_int_equal(answer(&l, &tx, &l.remote, l.local, l.theirs.pwd), PV_OK);
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_CONNECTED);

    struct req q = good_request(&l);
    q.nomination = 7;
    assert_int_equal(send_request(&l, &q, &l.remote), PV_OK);
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_COMPLETED);

    /* Lower and equal counters elsewhere move nothing, nor does one of more than 24 bits. */
    const uint32_t REFUSED[] = {6, 7, 0x1000000};
    for (size_t i = 0; i < PV_ARRAY_LEN(REFUSED); i++) {
        q.nomination = REFUSED[i];
        assert_int_equal(send_request(&l, &q, &other), PV_OK);
        while (next_msg(&l, &tx, &msg) == PV_OK)
            if (msg.cls == PV_STUN_REQUEST && pv_addr_equal(&tx.dst, &other))
                assert_int_equal(answer(&l, &tx, &other, l.local, l.theirs.pwd), PV_OK);
        assert_int_equal(pv_ice_selected(l.agent, &path), PV_OK);
        assert_true(pv_addr_equal(&path.remote, &l.remote));
    }
    q.nomination = 0xffffff;
    assert_int_equal(send_request(&l, &q, &other), PV_OK);
    assert_int_equal(pv_ice_selected(l.agent, &path), PV_OK);
    assert_true(pv_addr_equal(&path.remote, &other));
    pv_ice_free(l.agent);
}

static void a_nominated_pair_is_used_once_it_is_proven(void **state)
{
    (void)state;
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct pv_ice_path path;
    struct pv_addr other = pv_addr4(192, 0, 2, 9, 9000);
    lone_begin(&l, false, false, true);
    pv_ice_handle_timeout(l.agent, l.now);
    assert_int_equal(next_msg(&l, &tx, &msg), PV_OK);
    struct pv_ice_transmit first = tx;

    struct req q = good_request(&l);
    q.nomination = 1;
    assert_int_equal(send_request(&l, &q, &other), PV_OK);
    struct pv_ice_transmit triggered = {0};
    while (next_msg(&l, &tx, &msg) == PV_OK)
        if (msg.cls == PV_STUN_REQUEST && pv_addr_equal(&tx.dst, &other))
            triggered = tx;
    assert_true(triggered.len > 0);

    /* Another pair is proven first and used meanwhile, without a word to the other side. */
    assert_int_equal(answer(&l, &first, &l.remote, l.local, l.theirs.pwd), PV_OK);
    assert_int_equal(pv_ice_selected(l.agent, &path), PV_OK);
    assert_true(pv_addr_equal(&path.remote, &l.remote));
    assert_int_equal(drain(&l), 0);
    assert_int_equal(answer(&l, &triggered, &other, l.local, l.theirs.pwd), PV_OK);
    assert_int_equal(pv_ice_selected(l.agent, &path), PV_OK);
    assert_true(pv_addr_equal(&path.remote, &other));
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_COMPLETED);
    pv_ice_free(l.agent);
}

static void the_controlling_side_answers_a_fall_back_with_a_new_nomination(void **state)
{
    (void)state;
    two_homes(5);
    meet(false);
    w_run(&w, PV_S(3));
    assert_true(w_agree(&w));
    data_both_ways(PV_MS(20));
    w_run(&w, PV_S(4));

    /* Only the controlled side's datagrams on this path vanish: it notices first. */
    struct pv_ice_path before = path_of(1);
    w.blocked = before.remote;
    w_run(&w, PV_S(6));
    assert_true(w_agree(&w));
    struct pv_ice_path after = path_of(1);
    assert_false(pv_addr_equal(&after.remote, &before.remote));
    assert_state(0, PV_ICE_COMPLETED);
    assert_state(1, PV_ICE_COMPLETED);
    w_done(&w);
}

/* --- roles --------------------------------------------------------------------------------- */

static void role_conflicts_are_settled_with_foreign_agents_only(void **state)
{
    (void)state;
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
        assert_int_equal(send_request(&l, &q, &l.remote), PV_OK);
        assert_int_equal(next_msg(&l, &tx, &msg), PV_OK);
        bool got_487 = msg.cls == PV_STUN_ERROR && pv_stun_get_error(&msg, &code) == PV_OK &&
                       code == PV_STUN_E_ROLE_CONFLICT;
        assert_int_equal(got_487, ROWS[i].answered_487);

        l.now += PV_S(1);
        pv_ice_handle_timeout(l.agent, l.now);
        assert_int_equal(next_msg(&l, &tx, &msg), PV_OK);
        bool now_controlling = pv_stun_has(&msg, PV_STUN_ATTR_ICE_CONTROLLING);
        assert_int_equal(now_controlling == ROWS[i].controlling, ROWS[i].stays);
        pv_ice_free(l.agent);
    }
}

static void foreign_agents_meet_with_one_nomination(void **state)
{
    (void)state;
    two_nats(4);
    meet(true);
    w_run(&w, PV_S(5));
    assert_true(w_agree(&w));
    assert_state(0, PV_ICE_COMPLETED);
    assert_state(1, PV_ICE_COMPLETED);
    assert_int_equal(w.hosts[0].selects, 1);
    unsigned before = w.hosts[0].sent;
    w_run(&w, PV_S(55));
    /* Consent goes on although nothing is sent: 8 to 13 checks and as many answers in 50 s. */
    assert_in_range(w.hosts[0].sent - before, 16, 28);
    w.cut = true;
    w_run(&w, PV_S(90));
    assert_int_equal(w.hosts[0].losts, 1);
    assert_state(0, PV_ICE_FAILED);
    w_done(&w);
}

/* --- keeping ------------------------------------------------------------------------------- */

static void a_path_in_use_is_checked_every_5_seconds(void **state)
{
    (void)state;
    two_nats(1);
    meet(false);
    w_run(&w, PV_S(8));
    data_both_ways(PV_MS(50));
    w_run(&w, PV_S(10));
    unsigned before = w.hosts[0].sent;
    w_run(&w, PV_S(70));
    /* 60 s: 10 to 15 checks and as many answers, and one more try of the pair that failed. */
    assert_in_range(w.hosts[0].sent - before, 28, 42);
    assert_int_equal(w.hosts[0].selects, 1);
    assert_int_equal(w.hosts[0].losts + w.hosts[0].doubts, 0);
    w_done(&w);
}

static void an_idle_path_is_kept_then_dormant_and_silent(void **state)
{
    (void)state;
    two_nats(2);
    meet(false);
    w_run(&w, PV_S(10));
    unsigned before = w.hosts[0].sent;
    w_run(&w, PV_S(590));
    /* 580 s: a check every 20 to 25 s and as many answers; the mapping of 60 s lives. */
    assert_in_range(w.hosts[0].sent - before, 44, 62);
    assert_state(0, PV_ICE_COMPLETED);
    w_run(&w, PV_S(640));
    assert_state(0, PV_ICE_DORMANT);
    assert_state(1, PV_ICE_DORMANT);
    assert_true(pv_ice_next_timeout(w.hosts[0].agent) == PV_NEVER);
    before = w.hosts[0].sent + w.hosts[1].sent;
    w_run(&w, PV_S(100000));
    assert_int_equal(w.hosts[0].sent + w.hosts[1].sent, before);
    assert_int_equal(w.hosts[0].losts, 0);
    w_done(&w);
}

static void make_dormant(uint64_t seed, pv_ns timeout)
{
    two_nats(seed);
    for (int i = 0; i < W_NODES; i++) {
        w.nodes[i].timeout = timeout;
        w.nodes[i].kept = true; /* by the gatherer */
    }
    meet(false);
    w_run(&w, PV_S(700));
    assert_state(0, PV_ICE_DORMANT);
    assert_state(1, PV_ICE_DORMANT);
}

static void the_peers_check_wakes_a_dormant_agent_for_a_moment_only(void **state)
{
    (void)state;
    make_dormant(3, PV_S(3600)); /* the mappings live, so one side alone gets through */
    unsigned selects = w.hosts[1].selects;
    pv_ice_kick(w.hosts[0].agent, w.now);
    w_run(&w, PV_S(701));
    assert_state(0, PV_ICE_COMPLETED);
    assert_state(1, PV_ICE_COMPLETED);
    assert_int_equal(w.hosts[1].selects, selects + 1);
    w_run(&w, PV_S(712));
    assert_state(1, PV_ICE_DORMANT); /* no traffic came */
    w_run(&w, PV_S(1400));
    assert_state(0, PV_ICE_DORMANT); /* and the two do not keep each other awake */
    assert_state(1, PV_ICE_DORMANT);
    w_done(&w);
}

static void both_kicked_a_dormant_path_is_back_within_two_round_trips(void **state)
{
    (void)state;
    make_dormant(4, PV_S(60)); /* the filters have forgotten: both sides have to send */
    pv_ns begin = w.now;
    w.hosts[0].first_path = 0;
    w.hosts[1].first_path = 0;
    pv_ice_kick(w.hosts[0].agent, w.now);
    w_run(&w, begin + PV_MS(40)); /* a signal takes a moment */
    pv_ice_kick(w.hosts[1].agent, w.now);
    w_run(&w, begin + PV_MS(400));
    assert_true(w.hosts[0].first_path != 0 && w.hosts[0].first_path - begin <= PV_MS(250));
    assert_true(w.hosts[1].first_path != 0 && w.hosts[1].first_path - begin <= PV_MS(250));
    w_run(&w, begin + PV_S(2));
    assert_true(w_agree(&w));
    w_done(&w);
}

static void traffic_wakes_a_dormant_agent(void **state)
{
    (void)state;
    make_dormant(5, PV_S(3600));
    pv_ice_note_traffic(w.hosts[0].agent, w.now, 0, w.now);
    assert_state(0, PV_ICE_CHECKING);
    w_run(&w, w.now + PV_MS(200));
    assert_state(0, PV_ICE_COMPLETED);
    w_done(&w);
}

static void consent_ends_after_30_seconds_without_an_answer(void **state)
{
    (void)state;
    two_nats(6);
    meet(false);
    w_run(&w, PV_S(3));
    /* Data keeps coming in (as if replayed by a box on the way), so silence is not noticed. */
    struct pv_ice_agent *agent = w.hosts[0].agent;
    w.cut = true;
    pv_ns begin = w.now;
    while (w.hosts[0].losts == 0 && w.now < begin + PV_S(60)) {
        pv_ice_note_traffic(agent, w.now, w.now, w.now);
        w_run(&w, w.now + PV_MS(100));
    }
    assert_in_range((w.now - begin) / PV_S(1), 25, 31);
    w_done(&w);
}

static void kicks_close_together_are_one(void **state)
{
    (void)state;
    two_nats(7);
    meet(false);
    w_run(&w, PV_S(9));
    unsigned before = w.hosts[0].sent;
    for (int i = 0; i < 20; i++) {
        pv_ice_kick(w.hosts[0].agent, w.now);
        w_run(&w, w.now + PV_MS(10));
    }
    assert_true(w.hosts[0].sent - before <= 24);
    w_done(&w);
}

/* --- dead paths ---------------------------------------------------------------------------- */

static void a_dead_path_under_traffic_is_replaced_within_a_second(void **state)
{
    (void)state;
    static const unsigned DELAYS[] = {1, 30, 60, 100};
    for (size_t d = 0; d < PV_ARRAY_LEN(DELAYS); d++) {
        for (uint64_t seed = 1; seed <= 10; seed++) {
            two_homes(seed);
            w.delay = PV_MS(DELAYS[d]);
            meet(false);
            w_run(&w, PV_S(3));
            data_both_ways(PV_MS(20));
            w_run(&w, PV_S(9) + PV_MS(w_draw(&w, 1000)));
            assert_true(w_agree(&w));
            struct pv_ice_path p = path_of(0);
            w.blocked = p.remote; /* the peer's address dies, for one direction or both */
            if (seed % 2 == 0)
                w.deaf = p.remote;
            pv_ns begin = w.now;
            w_run(&w, begin + PV_S(1) + w.delay);
            struct pv_ice_path after = path_of(0);
            struct pv_ice_path other = path_of(1);
            if (pv_addr_equal(&after.remote, &p.remote) ||
                pv_addr_equal(&other.carrier.local, &p.remote)) {
                w_print(&w);
                fail_msg("not replaced, delay %u, seed %u", DELAYS[d], (unsigned)seed);
            }
            w_run(&w, begin + PV_S(3));
            assert_true(w_agree(&w));
            for (int i = 0; i < 2; i++)
                assert_true(w.now - w.hosts[i].last_got <= PV_MS(150));
            assert_int_equal(w.hosts[0].losts + w.hosts[1].losts, 0);

            /* Alive again it is not trusted at once. */
            w.blocked = (struct pv_addr){0};
            w.deaf = w.blocked;
            unsigned selects = w.hosts[0].selects;
            w_run(&w, begin + PV_S(8));
            assert_int_equal(w.hosts[0].selects, selects);
            w_done(&w);
        }
    }
}

static void a_better_path_that_died_is_used_again_when_it_lives(void **state)
{
    (void)state;
    w_init(&w, 21);
    int nat = w_add_nat(&w, W_INTERNET, pv_addr4(203, 0, 113, 1, 0), W_APDF);
    w.nodes[nat].hairpin = true;
    for (uint8_t i = 0; i < 2; i++)
        w_add_if(&w, i, nat, pv_addr4(192, 168, 1, (uint8_t)(10 + i), 5000), 65000);
    meet(false);
    w_run(&w, PV_S(3));
    data_both_ways(PV_MS(20));
    w_run(&w, PV_S(5));
    assert_int_equal(path_of(0).remote_type, PV_ICE_HOST);
    w.blocked = path_of(0).remote;
    w_run(&w, PV_S(7));
    assert_true(w_agree(&w));
    assert_int_equal(path_of(0).remote_type, PV_ICE_SRFLX); /* the hairpin, as the last resort */
    w_run(&w, PV_S(20));
    w.blocked = (struct pv_addr){0};
    w_run(&w, PV_S(70));
    assert_true(w_agree(&w));
    assert_int_equal(path_of(0).remote_type, PV_ICE_HOST);
    assert_int_equal(w.hosts[0].losts + w.hosts[1].losts, 0);
    w_done(&w);
}

static void a_one_way_flow_costs_one_check_a_second(void **state)
{
    (void)state;
    two_nats(8);
    meet(false);
    w_run(&w, PV_S(3));
    w.hosts[0].sends_data = true;
    w.hosts[0].data_every = PV_MS(10);
    w.hosts[1].data_every = PV_MS(10);
    w.hosts[0].next_data = w.now;
    w_run(&w, PV_S(13));
    unsigned before = w.hosts[0].sent;
    w_run(&w, PV_S(33));
    assert_in_range(w.hosts[0].sent - before, 15, 40);
    assert_int_equal(w.hosts[0].doubts + w.hosts[0].losts, 0);
    assert_int_equal(w.hosts[0].selects, 1);
    w_done(&w);
}

static void the_only_path_is_doubted_before_it_is_lost(void **state)
{
    (void)state;
    two_nats(9);
    meet(false);
    w_run(&w, PV_S(3));
    data_both_ways(PV_MS(20));
    w_run(&w, PV_S(5));
    w.cut = true;
    w_run(&w, PV_S(6));
    assert_int_equal(w.hosts[0].doubts, 1);
    assert_int_equal(w.hosts[0].losts, 0);
    assert_state(0, PV_ICE_CHECKING);
    (void)path_of(0); /* still there */
    w.cut = false;
    w_run(&w, PV_S(8));
    assert_state(0, PV_ICE_COMPLETED);
    assert_true(w_agree(&w));
    assert_int_equal(w.hosts[0].losts, 0);
    w.cut = true;
    w_run(&w, PV_S(20));
    assert_int_equal(w.hosts[0].losts, 1);
    w_run(&w, PV_S(40));
    assert_state(0, PV_ICE_FAILED);
    w.cut = false;
    pv_ice_kick(w.hosts[0].agent, w.now);
    pv_ice_kick(w.hosts[1].agent, w.now);
    w_run(&w, PV_S(41));
    assert_state(0, PV_ICE_COMPLETED);
    w_done(&w);
}

static void a_nat_that_began_anew_heals_within_a_second(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        for (int which = 0; which < 2; which++) {
            two_nats(seed);
            meet(false);
            w_run(&w, PV_S(3));
            data_both_ways(PV_MS(20));
            w_run(&w, PV_S(7));
            /* This NAT gives new ports; the other one must let strangers in to hear of it. */
            w.nodes[which == 0 ? 2 : 0].filter = W_ADF;
            int nat = which == 0 ? 0 : 2;
            assert_true(w.nodes[nat].is_nat);
            w_nat_reset(&w, nat);
            pv_ns begin = w.now;
            w_run(&w, begin + PV_S(1));
            for (int i = 0; i < 2; i++) {
                if (w.now - w.hosts[i].last_got > PV_MS(150)) {
                    w_print(&w);
                    fail_msg("host %d gets nothing", i);
                }
            }
            w_run(&w, begin + PV_S(3));
            assert_true(w_agree(&w));
            w_done(&w);
        }
    }
}

/* --- candidates come and go ---------------------------------------------------------------- */

static void a_reflexive_address_is_learnt_on_both_sides(void **state)
{
    (void)state;
    w_init(&w, 12);
    int sym = w_add_nat(&w, W_INTERNET, pv_addr4(203, 0, 113, 1, 0), W_APDF);
    w.nodes[sym].per_destination = true;
    w_add_if(&w, 0, sym, pv_addr4(192, 168, 1, 10, 5000), 65000);
    int cone = w_add_nat(&w, W_INTERNET, pv_addr4(203, 0, 113, 2, 0), W_ADF);
    w_add_if(&w, 1, cone, pv_addr4(192, 168, 2, 10, 5000), 65000);
    meet(false);
    w_run(&w, PV_S(3));
    assert_true(w_agree(&w));
    assert_int_equal(path_of(0).local_type, PV_ICE_PRFLX);
    assert_int_equal(path_of(1).remote_type, PV_ICE_PRFLX);
    struct pv_ice_cand cands[PV_ICE_MAX_LOCAL];
    size_t n = pv_ice_locals(w.hosts[0].agent, cands, PV_ARRAY_LEN(cands));
    assert_int_equal(n, 3);
    assert_int_equal(cands[2].type, PV_ICE_PRFLX);
    struct pv_addr mapped = path_of(0).mapped;
    assert_true(pv_addr_equal(&cands[2].addr, &mapped));

    /* It stays when the owner repeats its list, and goes with its base. */
    pv_ice_set_local(w.hosts[0].agent, w.hosts[0].cands, w.hosts[0].n_cands, w.now);
    assert_int_equal(pv_ice_locals(w.hosts[0].agent, cands, PV_ARRAY_LEN(cands)), 3);
    pv_ice_set_local(w.hosts[0].agent, NULL, 0, w.now);
    assert_int_equal(pv_ice_locals(w.hosts[0].agent, cands, PV_ARRAY_LEN(cands)), 0);
    w_done(&w);
}

static void a_better_candidate_that_appears_later_takes_over(void **state)
{
    (void)state;
    w_init(&w, 13);
    int nat = w_add_nat(&w, W_INTERNET, pv_addr4(203, 0, 113, 1, 0), W_EIF);
    w_add_if(&w, 0, nat, pv_addr4(192, 168, 1, 10, 5000), 65000);
    w_add_if(&w, 1, W_INTERNET, pv_addr4(203, 0, 113, 2, 6000), 65000);
    meet(false);
    w_run(&w, PV_S(3));
    assert_true(w_agree(&w));
    assert_int_equal(path_of(0).local_type, PV_ICE_SRFLX);

    /* The second host plugs into the first one's LAN. */
    w_add_if(&w, 1, nat, pv_addr4(192, 168, 1, 11, 6000), 65000);
    pv_ice_set_local(w.hosts[1].agent, w.hosts[1].cands, w.hosts[1].n_cands, w.now);
    w_describe(&w, 0);
    w_run(&w, w.now + PV_MS(300));
    assert_true(w_agree(&w));
    assert_int_equal(path_of(0).local_type, PV_ICE_HOST);
    assert_int_equal(path_of(0).remote_type, PV_ICE_HOST);
    assert_int_equal(w.hosts[0].selects, 2);

    /* And leaves it: at once for its own side, by silence for the other. */
    data_both_ways(PV_MS(20));
    w_run(&w, w.now + PV_MS(500));
    pv_ice_set_local(w.hosts[1].agent, w.hosts[1].cands, 1, w.now);
    w_run(&w, w.now + PV_S(1));
    assert_true(w_agree(&w));
    assert_int_equal(path_of(0).local_type, PV_ICE_SRFLX);
    assert_int_equal(w.hosts[0].losts + w.hosts[1].losts, 0);
    w_done(&w);
}

static void without_any_base_the_path_is_lost(void **state)
{
    (void)state;
    two_nats(14);
    meet(false);
    w_run(&w, PV_S(3));
    pv_ice_set_local(w.hosts[0].agent, NULL, 0, w.now);
    w_run(&w, PV_S(4));
    assert_int_equal(w.hosts[0].losts, 1);
    struct pv_ice_path p;
    assert_int_equal(pv_ice_selected(w.hosts[0].agent, &p), PV_ERR_NOT_FOUND);
    pv_ice_set_local(w.hosts[0].agent, w.hosts[0].cands, w.hosts[0].n_cands, w.now);
    w_run(&w, PV_S(5));
    assert_state(0, PV_ICE_COMPLETED);
    w_done(&w);
}

static void addresses_that_cannot_be_reached_are_not_paired(void **state)
{
    (void)state;
    struct lone l;
    struct pv_ice_path paths[8];
    static const uint8_t LL6[16] = {0xfe, 0x80, [15] = 1};
    lone_begin(&l, true, false, false);
    struct pv_ice_cand bad[] = {
        {.type = PV_ICE_HOST, .addr = pv_addr4(127, 0, 0, 1, 5)},
        {.type = PV_ICE_HOST, .addr = pv_addr4(224, 0, 0, 1, 5)},
        {.type = PV_ICE_HOST, .addr = pv_addr4(10, 0, 0, 1, 0)},
        {.type = PV_ICE_HOST, .addr = pv_addr6(LL6, 5)},
        {.type = PV_ICE_RELAY, .addr = pv_addr4(192, 0, 2, 50, 5)},
        {.type = PV_ICE_HOST, .addr = l.local},
    };
    assert_int_equal(pv_ice_set_remote(l.agent, &l.theirs, bad, PV_ARRAY_LEN(bad), l.now), PV_OK);
    assert_int_equal(pv_ice_paths(l.agent, paths, 8), 0);
    pv_ice_free(l.agent);
}

static void tables_stop_at_their_limits(void **state)
{
    (void)state;
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
    assert_int_equal(pv_ice_set_remote(l.agent, &l.theirs, remotes, PV_ARRAY_LEN(remotes), l.now),
                     PV_OK);
    assert_int_equal(pv_ice_paths(l.agent, paths, PV_ARRAY_LEN(paths)), PV_ICE_MAX_PAIRS);

    pv_ice_set_local(l.agent, locals, 1, l.now);
    assert_int_equal(pv_ice_paths(l.agent, paths, PV_ARRAY_LEN(paths)), 24); /* of a description */
    struct req q = good_request(&l);
    for (uint16_t i = 0; i < 50; i++) { /* reflexive ones fill the rest and push each other out */
        struct pv_addr src = pv_addr4(10, 2, 0, 1, (uint16_t)(i + 1));
        l.now += PV_MS(100);
        l.local = locals[0].addr;
        assert_int_equal(send_request(&l, &q, &src), PV_OK);
        (void)drain(&l);
    }
    assert_int_equal(pv_ice_paths(l.agent, paths, PV_ARRAY_LEN(paths)), PV_ICE_MAX_REMOTE);
    pv_ice_free(l.agent);
}

/* --- restarts ------------------------------------------------------------------------------ */

static void after_a_restart_old_checks_are_refused_and_the_path_stays(void **state)
{
    (void)state;
    two_nats(15);
    meet(false);
    w_run(&w, PV_S(3));
    struct pv_ice_creds fresh;
    struct pv_rng rng = w_rng(&w);
    struct pv_ice_creds old = w.hosts[1].creds;
    pv_ice_make_creds(&rng, &fresh);
    assert_int_equal(pv_ice_restart(w.hosts[1].agent, &fresh, w.now), PV_OK);
    w.hosts[1].creds = fresh;
    (void)path_of(1);
    assert_state(1, PV_ICE_CHECKING);

    uint8_t buf[256];
    struct req q = {.to = old.ufrag, .from = w.hosts[0].creds.ufrag, .pwd = old.pwd};
    size_t len = write_request(&q, buf, sizeof(buf));
    struct pv_ice_carrier c = {.local = w.hosts[1].cands[0].addr};
    struct pv_addr src = path_of(1).remote;
    assert_int_equal(pv_ice_handle_input(w.hosts[1].agent, &c, &src, pv_view(buf, len), w.now),
                     PV_ERR_AUTH);

    w_run(&w, w.now + PV_MS(50));
    w_describe(&w, 0);
    w_run(&w, w.now + PV_MS(300));
    assert_true(w_agree(&w));
    assert_state(0, PV_ICE_COMPLETED);
    assert_state(1, PV_ICE_COMPLETED);
    assert_int_equal(w.hosts[0].losts + w.hosts[1].losts, 0);
    w_done(&w);
}

static void a_peer_that_lost_its_memory_is_met_again(void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++) {
        two_nats(16);
        meet(false);
        w_run(&w, PV_S(3));
        w.hosts[which].agent = pv_ice_free(w.hosts[which].agent);
        w_start(&w, which, false);
        w_describe(&w, which);
        w_run(&w, w.now + PV_MS(60));
        w_describe(&w, 1 - which);
        w_run(&w, w.now + PV_MS(400));
        assert_true(w_agree(&w));
        assert_state(0, PV_ICE_COMPLETED);
        assert_state(1, PV_ICE_COMPLETED);
        w_done(&w);
    }
}

/* --- stray data ---------------------------------------------------------------------------- */

static void an_address_known_from_data_gets_three_times_what_came(void **state)
{
    (void)state;
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct pv_addr stray = pv_addr4(192, 0, 2, 99, 99);
    struct pv_ice_carrier c = {0};
    lone_begin(&l, true, false, true);
    pv_ice_handle_timeout(l.agent, l.now);
    assert_int_equal(next_msg(&l, &tx, &msg), PV_OK);
    assert_int_equal(answer(&l, &tx, &l.remote, l.local, l.theirs.pwd), PV_OK);
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
            assert_int_equal(answer(&l, &tx, &stray, l.local, l.theirs.pwd), PV_OK);
            asked = true;
        }
    }
    assert_true(asked);
    assert_true(pv_ice_is_valid_remote(l.agent, &stray));
    pv_ice_free(l.agent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(priorities_are_those_of_the_rfc),
        cmocka_unit_test(credentials_outside_the_bounds_are_refused),
        cmocka_unit_test(checks_are_sent_at_0_20_60_140_300_620_and_doubling),
        cmocka_unit_test(foreign_agents_are_checked_by_the_rfcs_timers),
        cmocka_unit_test(a_request_is_answered_only_when_it_is_authentic),
        cmocka_unit_test(every_truncation_of_a_request_is_dropped),
        cmocka_unit_test(faulty_requests_get_the_errors_of_the_rfc),
        cmocka_unit_test(the_ufrag_is_found_only_within_its_bounds),
        cmocka_unit_test(a_flood_of_authentic_requests_is_bounded),
        cmocka_unit_test(answers_count_only_from_the_pair_with_its_secret),
        cmocka_unit_test(a_check_before_the_description_is_answered_and_honoured_later),
        cmocka_unit_test(checks_for_other_credentials_of_the_peer_move_nothing),
        cmocka_unit_test(the_controlled_side_follows_the_highest_counter),
        cmocka_unit_test(a_nominated_pair_is_used_once_it_is_proven),
        cmocka_unit_test(the_controlling_side_answers_a_fall_back_with_a_new_nomination),
        cmocka_unit_test(role_conflicts_are_settled_with_foreign_agents_only),
        cmocka_unit_test(foreign_agents_meet_with_one_nomination),
        cmocka_unit_test(a_path_in_use_is_checked_every_5_seconds),
        cmocka_unit_test(an_idle_path_is_kept_then_dormant_and_silent),
        cmocka_unit_test(the_peers_check_wakes_a_dormant_agent_for_a_moment_only),
        cmocka_unit_test(both_kicked_a_dormant_path_is_back_within_two_round_trips),
        cmocka_unit_test(traffic_wakes_a_dormant_agent),
        cmocka_unit_test(consent_ends_after_30_seconds_without_an_answer),
        cmocka_unit_test(kicks_close_together_are_one),
        cmocka_unit_test(a_dead_path_under_traffic_is_replaced_within_a_second),
        cmocka_unit_test(a_better_path_that_died_is_used_again_when_it_lives),
        cmocka_unit_test(a_one_way_flow_costs_one_check_a_second),
        cmocka_unit_test(the_only_path_is_doubted_before_it_is_lost),
        cmocka_unit_test(a_nat_that_began_anew_heals_within_a_second),
        cmocka_unit_test(a_reflexive_address_is_learnt_on_both_sides),
        cmocka_unit_test(a_better_candidate_that_appears_later_takes_over),
        cmocka_unit_test(without_any_base_the_path_is_lost),
        cmocka_unit_test(addresses_that_cannot_be_reached_are_not_paired),
        cmocka_unit_test(tables_stop_at_their_limits),
        cmocka_unit_test(after_a_restart_old_checks_are_refused_and_the_path_stays),
        cmocka_unit_test(a_peer_that_lost_its_memory_is_met_again),
        cmocka_unit_test(an_address_known_from_data_gets_three_times_what_came),
    };
    if (pv_crypto_init() < 0)
        return 1;
    return cmocka_run_group_tests_name("ice", tests, NULL, NULL);
}
