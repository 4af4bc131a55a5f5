/* SPDX-License-Identifier: MIT */
/* The way to a TURN server: by UDP, by a stream, and from one to the other. */

#include "base/bytes.h"
#include "crypto/ct.h"
#include "daemon/core/relay/relayaddrs.h"
#include "daemon/core/relay/relayway.h"
#include "tests/unit/test_util.h"

/* --- a way, and its server ------------------------------------------------------------------- */

enum {
    VIA = 3,
};

/* The relay, the last request it sent and how, and what a server would answer. */
struct fixture {
    struct test_rng seed;
    struct pv_rng rng;
    struct pv_relayway *r;
    struct pv_relayway_config cfg;
    uint8_t key[PV_MD5_LEN];
    uint8_t req[PV_TURNC_MTU];
    uint16_t stream; /* it went by; 0 = UDP */
    struct pv_stun_msg msg;
    struct pv_addr relayed, peer;
    unsigned n_ways;   /* told by ways() */
    const char *words; /* told last of why it is not reached */
    pv_ns now;
};

/* Of the test that runs. */
static struct fixture the_fixture;
static struct fixture *const f = &the_fixture;

static inline void free_way(void *ctx)
{
    pv_relayway_free(ctx);
}

static inline void setup(bool stock)
{
    uint8_t coord[32] = {1}, own[32] = {2}, other[32] = {3};
    memset(f, 0, sizeof(*f));
    f->rng = test_rng_make(&f->seed, 7);
    f->now = PV_S(1);
    f->cfg = (struct pv_relayway_config){
        .turn = {.server = pv_addr4(192, 0, 2, 1, 3478),
                 .user = "u",
                 .password = "p",
                 .realm = "r",
                 .nonce = "n0",
                 .ipv6 = !stock,
                 .permissions = stock},
        .udp = true,
        .keep = stock,
        .to = {.addr = pv_addr4(192, 0, 2, 1, 443), .tls = true},
    };
    f->relayed = stock ? pv_addr4(192, 0, 2, 1, 50000) : pv_turn_virtual_addr(coord, own);
    f->peer = stock ? pv_addr4(203, 0, 113, 9, 999) : pv_turn_virtual_addr(coord, other);
    assert_ok(pv_turn_key("u", "r", "p", f->key));
    assert_ok(pv_relayway_new(&f->r, VIA, &f->rng));
    test_defer(free_way, f->r);
}

static inline bool next_request(void)
{
    struct pv_relayway_message m = {.buf = f->req, .cap = sizeof(f->req)};
    pv_relayway_handle_timeout(f->r, f->now);
    if (pv_relayway_poll_transmit(f->r, &m) != PV_OK)
        return false;
    f->stream = m.stream;
    assert_ok(pv_stun_decode(pv_view(f->req, m.len), &f->msg));
    return true;
}

static inline void expect(uint16_t method, uint16_t stream)
{
    assert_true(next_request());
    assert_int_equal(f->msg.method, method);
    assert_int_equal(f->stream, stream);
}

/* Success, by the way the request went. */
static inline void answer(void)
{
    uint8_t buf[512];
    struct pv_stun_writer w;
    size_t len;
    struct pv_carrier from = {.kind = PV_CARRIER_UDP, .remote = f->cfg.turn.server};
    if (f->stream != 0)
        from = (struct pv_carrier){.kind = PV_CARRIER_STREAM, .sock = f->stream};
    pv_stun_write_answer(&w, buf, sizeof(buf), PV_STUN_SUCCESS, &f->msg);
    if (f->msg.method == PV_TURN_ALLOCATE)
        pv_stun_put_xor_addr(&w, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &f->relayed);
    pv_stun_put_integrity(&w, pv_view(f->key, sizeof(f->key)));
    pv_stun_put_fingerprint(&w);
    assert_ok(pv_stun_write_end(&w, &len));
    assert_ok(pv_relayway_handle_input(f->r, &from, pv_view(buf, len), f->now));
}

static inline void take_event(void *owner, uint16_t via, const struct pv_relayway_event *ev)
{
    assert_int_equal(via, VIA);
    f->n_ways += ev->type == PV_RELAYWAY_EV_WAY;
    if (ev->type == PV_RELAYWAY_EV_ERROR)
        f->words = pv_relayway_error(f->r);
}

/* Takes all events; how many said that the way is another. */
static inline unsigned ways(void)
{
    f->n_ways = 0;
    (void)pv_relayway_speak(f->r, take_event, NULL, f->now);
    return f->n_ways;
}

static inline uint16_t opened(void)
{
    struct pv_relaystream_op op;
    pv_relayway_handle_timeout(f->r, f->now);
    if (pv_relayway_poll_op(f->r, &op) != PV_OK)
        return 0;
    assert_true(op.open && op.to.tls && op.to.addr.port == 443);
    assert_int_equal(pv_relayway_of_stream(op.stream), VIA);
    return op.stream;
}

static inline bool closed(uint16_t stream)
{
    struct pv_relaystream_op op;
    return pv_relayway_poll_op(f->r, &op) == PV_OK && !op.open && op.stream == stream;
}

/* Requests meanwhile are not answered. */
static inline void sleep_until_due(void)
{
    while (next_request())
        continue;
    (void)ways();
    pv_ns next = pv_relayway_next_timeout(f->r);
    assert_true(next != PV_NEVER);
    f->now = next > f->now ? next : f->now;
    pv_relayway_handle_timeout(f->r, f->now);
}

/* It asks for this by that stream (0: by UDP), and gets it. */
static inline void grant(uint16_t method, uint16_t stream)
{
    expect(method, stream);
    answer();
}

/* The stream is there, and with it the allocation; how many ways it told. */
static inline unsigned connect(uint16_t stream)
{
    pv_relayway_connected(f->r, stream, f->now);
    grant(PV_TURN_ALLOCATE, stream);
    return ways();
}

static inline void up_by_udp(bool stock)
{
    setup(stock);
    assert_ok(pv_relayway_start(f->r, &f->cfg, f->now));
    grant(PV_TURN_ALLOCATE, 0);
    assert_int_equal(ways(), 1);
    assert_int_equal(pv_relayway_way(f->r), PV_RELAYWAY_UDP);
    assert_string_equal(pv_relayway_transport(f->r), "udp");
}

static inline uint16_t up_by_stream(bool stock)
{
    up_by_udp(stock);
    pv_relayway_set_blocked(f->r, true, f->now);
    uint16_t stream = opened();
    assert_int_not_equal(stream, 0);
    pv_relayway_connected(f->r, stream, f->now);
    expect(PV_TURN_ALLOCATE, stream);
    assert_int_equal(pv_relayway_way(f->r),
                     PV_RELAYWAY_UDP); /* as long as nothing better is there */
    answer();
    assert_int_equal(ways(), 1);
    assert_int_equal(pv_relayway_way(f->r), PV_RELAYWAY_STREAM);
    assert_string_equal(pv_relayway_transport(f->r), "tls");
    return stream;
}

PV_TEST(a_members_channel_goes_from_udp_to_the_stream_and_back)
{
    struct pv_carrier c;
    up_by_udp(false);
    assert_ok(pv_relayway_bind(f->r, &f->peer, f->now));
    expect(PV_TURN_CHANNEL_BIND, 0);
    assert_false(pv_relayway_carrier(f->r, &f->peer, &c));
    answer();
    assert_true(pv_relayway_carrier(f->r, &f->peer, &c));
    assert_int_equal(c.kind, PV_CARRIER_CHANNEL);
    assert_int_equal(c.via, VIA);

    pv_relayway_set_blocked(f->r, true, f->now);
    uint16_t stream = opened();
    (void)connect(stream);
    assert_true(pv_relayway_carrier(f->r, &f->peer, &c)); /* it moved with the allocation */
    assert_int_equal(c.kind, PV_CARRIER_STREAM);
    assert_int_equal(c.sock, stream);
    assert_int_equal(pv_relayway_fp_way(f->r).stream, stream);
    grant(PV_TURN_CHANNEL_BIND, stream);

    pv_relayway_set_blocked(f->r, false, f->now);
    expect(PV_TURN_ALLOCATE, 0);
    assert_int_equal(pv_relayway_way(f->r), PV_RELAYWAY_STREAM);
    answer();
    (void)ways();
    assert_int_equal(pv_relayway_way(f->r), PV_RELAYWAY_UDP);
    grant(PV_TURN_CHANNEL_BIND, 0);
    assert_false(closed(stream)); /* what is under way in it may still come */
    f->now += PV_RELAYSTREAM_LINGER;
    pv_relayway_handle_timeout(f->r, f->now);
    assert_true(closed(stream));
    assert_int_equal(pv_relayway_way(f->r), PV_RELAYWAY_UDP);
    assert_int_equal(pv_relayway_fp_way(f->r).stream, 0);
}

/* The coordinator came back, and its welcome was there before the stream. */
PV_TEST(a_request_that_left_by_udp_is_asked_again_by_the_stream)
{
    setup(false);
    pv_relayway_set_blocked(f->r, true, f->now);
    assert_ok(pv_relayway_start(f->r, &f->cfg, f->now));
    uint16_t stream = opened();
    assert_int_not_equal(stream, 0);
    expect(PV_TURN_ALLOCATE, 0); /* nobody hears it */
    f->now += PV_MS(10);
    assert_int_equal(connect(stream), 1);
    assert_int_equal(pv_relayway_way(f->r), PV_RELAYWAY_STREAM);
}

PV_TEST(a_stream_that_ends_is_made_again_ever_slower)
{
    uint16_t stream = up_by_stream(false), last = stream;
    pv_ns least = 0;
    pv_relayway_closed(f->r, stream, "closed", f->now);
    assert_int_equal(ways(), 1);
    assert_int_equal(pv_relayway_way(f->r), PV_RELAYWAY_NONE);
    for (unsigned i = 0; i < 10; i++) {
        pv_ns from = f->now;
        while ((stream = opened()) == 0)
            sleep_until_due();
        assert_int_not_equal(stream, last);
        assert_true(f->now - from >= least);
        assert_true(f->now - from <= PV_RELAYSTREAM_RETRY_MAX);
        least = i < 7 ? PV_RELAYSTREAM_RETRY_FIRST << i : least; /* half of what is doubled */
        last = stream;
        pv_relayway_closed(f->r, stream, "closed", f->now);
    }
    pv_relayway_closed(f->r, 1, "closed", f->now); /* nobody's */
    /* New credentials: the server is there, whatever it was before. */
    assert_int_equal(opened(), 0);
    assert_ok(pv_relayway_start(f->r, &f->cfg, f->now));
    assert_int_not_equal(opened(), 0);
}

PV_TEST(a_stream_that_says_nothing_is_given_up)
{
    uint16_t stream = up_by_stream(false);
    f->now += PV_RELAYWAY_KEEP_STREAM;
    expect(PV_TURN_REFRESH, stream);
    f->now += PV_MS(40);
    answer();
    assert_int_equal(pv_relayway_rtt(f->r), PV_MS(40));
    f->now += PV_RELAYWAY_KEEP_STREAM;
    expect(PV_TURN_REFRESH, stream);
    f->now += PV_TURNC_STREAM_WAIT;
    assert_false(next_request()); /* the stream repeats, we do not */
    assert_int_equal(ways(), 1);
    assert_true(closed(stream));
    assert_int_equal(pv_relayway_way(f->r), PV_RELAYWAY_NONE);
}

PV_TEST(a_connection_that_takes_too_long_is_given_up)
{
    up_by_udp(false);
    pv_relayway_set_blocked(f->r, true, f->now);
    uint16_t stream = opened();
    f->now += PV_RELAYSTREAM_CONNECT;
    pv_relayway_handle_timeout(f->r, f->now);
    assert_true(closed(stream));
}

/* STUN passes by UDP, TURN does not: the stream, and UDP is left alone for a while. */
PV_TEST(udp_that_does_not_carry_turn_is_left_alone)
{
    uint16_t stream;
    setup(false);
    assert_ok(pv_relayway_start(f->r, &f->cfg, f->now));
    while ((stream = opened()) == 0) {
        while (next_request())
            assert_int_equal(f->stream, 0);
        (void)ways();
        sleep_until_due();
    }
    assert_int_equal(connect(stream), 1);
    assert_int_equal(pv_relayway_way(f->r), PV_RELAYWAY_STREAM);
    pv_ns from = f->now;
    while (!next_request() || f->msg.method != PV_TURN_ALLOCATE || f->stream != 0) {
        if (f->stream != 0 && f->msg.method == PV_TURN_REFRESH)
            answer();
        (void)ways();
        f->now = pv_relayway_next_timeout(f->r) > f->now ? pv_relayway_next_timeout(f->r) : f->now;
    }
    assert_true(f->now - from > PV_RELAYWAY_UDP_HOLD - PV_S(1) &&
                f->now - from <= PV_RELAYWAY_UDP_HOLD);
}

PV_TEST(a_stock_server_that_knows_only_streams_waits_for_one)
{
    struct pv_carrier c;
    uint8_t buf[256];
    struct pv_relayway_message m = {.buf = buf, .cap = sizeof(buf)};
    setup(true);
    f->cfg.udp = false;
    assert_ok(pv_relayway_start(f->r, &f->cfg, f->now));
    uint16_t stream = opened();
    assert_int_not_equal(stream, 0);
    assert_false(next_request());
    (void)connect(stream);
    assert_true(pv_addr_equal(pv_relayway_relayed(f->r), &f->relayed));

    /* A peer that is written to gets a permission and a channel. */
    assert_ok(pv_relayway_wrap(f->r, &f->peer, pv_view("x", 1), &m));
    assert_int_equal(m.stream, stream);
    grant(PV_TURN_CREATE_PERMISSION, stream);
    grant(PV_TURN_CHANNEL_BIND, stream);
    assert_true(pv_relayway_carrier(f->r, &f->peer, &c));
    assert_int_equal(c.kind, PV_CARRIER_STREAM);

    /* With the connection the allocation is gone, and another one is another address. */
    pv_relayway_closed(f->r, stream, "closed", f->now);
    (void)ways();
    assert_int_equal(pv_relayway_relayed(f->r)->family, PV_AF_NONE);
    assert_int_equal(pv_relayway_wrap(f->r, &f->peer, pv_view("x", 1), &m), PV_ERR_STATE);
    while ((stream = opened()) == 0)
        sleep_until_due();
    pv_relayway_connected(f->r, stream, f->now);
    f->relayed.port++;
    grant(PV_TURN_ALLOCATE, stream);
    (void)ways();
    assert_true(pv_addr_equal(pv_relayway_relayed(f->r), &f->relayed));
}

/* The words that are told, once for each reason; "" when there are none. */
static const char *told(void)
{
    f->words = "";
    (void)ways();
    return f->words;
}

PV_TEST(why_it_is_not_reached_is_told_once_in_words)
{
    setup(true);
    f->cfg.udp = false;
    assert_ok(pv_relayway_start(f->r, &f->cfg, f->now));
    for (unsigned i = 0; i < 3; i++) {
        uint16_t stream = 0;
        while ((stream = opened()) == 0)
            sleep_until_due();
        pv_relayway_closed(f->r, stream, i < 2 ? "refused" : "another name", f->now);
        assert_string_equal(told(), i == 0 ? "refused" : i == 1 ? "" : "another name");
        assert_string_equal(pv_relayway_error(f->r), i < 2 ? "refused" : "another name");
    }
    uint16_t stream = 0;
    while ((stream = opened()) == 0)
        sleep_until_due();
    f->now += PV_RELAYSTREAM_CONNECT;
    pv_relayway_handle_timeout(f->r, f->now);
    assert_string_equal(told(), "no TLS connection within 10 s");
    assert_true(closed(stream));
    while ((stream = opened()) == 0)
        sleep_until_due();
    (void)connect(stream);
    assert_string_equal(pv_relayway_error(f->r), "");
    pv_relayway_failed(f->r, "its name is not found");
    assert_string_equal(told(), "its name is not found");
    pv_relayway_stop(f->r, f->now);
    assert_string_equal(pv_relayway_error(f->r), "");
}

/* A stock server of three addresses. */
static void start_three(bool udp, bool stream)
{
    setup(true);
    f->cfg.udp = udp;
    f->cfg.n_others = 2;
    f->cfg.others[0] = pv_addr4(192, 0, 2, 2, 3478);
    f->cfg.others[1] = pv_addr4(192, 0, 2, 3, 3478);
    if (!stream)
        f->cfg.to.addr.family = PV_AF_NONE;
    assert_ok(pv_relayway_start(f->r, &f->cfg, f->now));
}

static uint8_t server(void)
{
    return pv_relayway_server(f->r)->ip[3];
}

PV_TEST(a_dead_address_is_left_for_the_next_by_udp)
{
    start_three(true, false);
    pv_ns begun = f->now;
    assert_int_equal(server(), 1);
    while (server() != 3)
        sleep_until_due();
    assert_true(f->now - begun <= PV_S(4)); /* two addresses, less than 2 s each */
    f->cfg.turn.server = f->cfg.others[1];
    grant(PV_TURN_ALLOCATE, 0);
    assert_int_equal(ways(), 1);
    assert_int_equal(pv_relayway_way(f->r), PV_RELAYWAY_UDP);
    assert_false(pv_relayway_is_lost(f->r));
    /* It dies: the others are tried, each in its turn, and now it is time to ask for the name. */
    for (unsigned i = 0; i < 1000 && !pv_relayway_is_lost(f->r); i++)
        sleep_until_due();
    assert_true(pv_relayway_is_lost(f->r));
    const struct pv_addr now = pv_addr4(192, 0, 2, 9, 3478);
    pv_relayway_set_addrs(f->r, &now, 1, f->now);
    assert_false(pv_relayway_is_lost(f->r));
    f->cfg.turn.server = now;
    while (!next_request())
        sleep_until_due();
    answer();
    (void)ways();
    assert_int_equal(server(), 9);
    assert_int_equal(pv_relayway_way(f->r), PV_RELAYWAY_UDP);
}

/* The stream to the next address: its number. */
static uint16_t next_stream(uint8_t last)
{
    struct pv_relaystream_op op;
    for (unsigned i = 0; i < 100; i++) {
        pv_relayway_handle_timeout(f->r, f->now);
        while (pv_relayway_poll_op(f->r, &op) == PV_OK) {
            if (!op.open)
                continue;
            assert_int_equal(op.to.addr.ip[3], last);
            return op.stream;
        }
        sleep_until_due();
    }
    return 0;
}

PV_TEST(a_dead_address_is_left_for_the_next_by_a_stream)
{
    start_three(false, true);
    pv_ns begun = f->now;
    uint16_t stream = next_stream(1);
    pv_relayway_closed(f->r, stream, "refused", f->now);
    stream = next_stream(2);
    assert_int_equal(f->now, begun); /* at once */
    stream = next_stream(3);         /* the second one says nothing */
    assert_int_equal(f->now, begun + PV_RELAYSTREAM_HASTE);
    assert_string_equal(pv_relayway_error(f->r), "no TLS connection within 3 s");
    (void)connect(stream);
    assert_int_equal(pv_relayway_way(f->r), PV_RELAYWAY_STREAM);
    /* One that was of use is tried again before the others. */
    pv_relayway_closed(f->r, stream, "reset", f->now);
    (void)ways();
    stream = next_stream(3);
    pv_relayway_closed(f->r, stream, "refused", f->now);
    assert_int_not_equal(next_stream(1), 0);
}

PV_TEST(an_allocation_that_no_address_gives_by_udp_is_asked_for_by_a_stream)
{
    start_three(true, true);
    uint16_t stream = next_stream(1);
    assert_int_not_equal(stream, 0);
    assert_false(pv_relayway_is_lost(f->r));
    pv_relayway_closed(f->r, stream, "refused", f->now);
    stream = next_stream(2);
    (void)connect(stream);
    assert_int_equal(pv_relayway_way(f->r), PV_RELAYWAY_STREAM);
}

/* Refuses with a 300 to 192.0.2.to. */
static void send_on(uint8_t to)
{
    uint8_t buf[256];
    struct pv_stun_writer w;
    size_t len;
    struct pv_addr alternate = pv_addr4(192, 0, 2, to, 3478);
    struct pv_carrier from = {.kind = PV_CARRIER_UDP, .remote = *pv_relayway_server(f->r)};
    if (f->stream != 0)
        from = (struct pv_carrier){.kind = PV_CARRIER_STREAM, .sock = f->stream};
    pv_stun_write_answer(&w, buf, sizeof(buf), PV_STUN_ERROR, &f->msg);
    pv_stun_put_error(&w, PV_STUN_E_TRY_ALTERNATE, "");
    pv_stun_put_addr(&w, PV_STUN_ATTR_ALTERNATE_SERVER, &alternate);
    assert_ok(pv_stun_write_end(&w, &len));
    assert_ok(pv_relayway_handle_input(f->r, &from, pv_view(buf, len), f->now));
}

PV_TEST(a_server_that_sends_us_on_is_obeyed)
{
    setup(true);
    assert_ok(pv_relayway_start(f->r, &f->cfg, f->now));
    expect(PV_TURN_ALLOCATE, 0);
    send_on(40);
    assert_string_equal(told(), "");
    assert_int_equal(server(), 40);
    expect(PV_TURN_ALLOCATE, 0);
    send_on(1); /* in a circle */
    assert_int_equal(strncmp(told(), "it refuses an allocation: it sends us", 37), 0);
    assert_int_equal(server(), 40);
    f->cfg.turn.server = *pv_relayway_server(f->r);
    while (!next_request())
        sleep_until_due();
    answer();
    (void)ways();
    assert_int_equal(pv_relayway_way(f->r), PV_RELAYWAY_UDP);
    test_end(f->r);

    setup(true); /* by the same transport */
    f->cfg.udp = false;
    assert_ok(pv_relayway_start(f->r, &f->cfg, f->now));
    uint16_t stream = opened();
    pv_relayway_connected(f->r, stream, f->now);
    expect(PV_TURN_ALLOCATE, stream);
    send_on(41);
    (void)ways();
    stream = next_stream(41);
    (void)connect(stream);
    assert_int_equal(pv_relayway_way(f->r), PV_RELAYWAY_STREAM);
}

PV_TEST(an_allocation_that_nothing_gets_through_to_is_not_reached)
{
    up_by_udp(false);
    assert_true(pv_relayway_is_reached(f->r));
    pv_relayway_set_blocked(f->r, true, f->now);
    uint16_t stream = opened();
    pv_relayway_closed(f->r, stream, "refused", f->now);
    assert_int_equal(pv_relayway_way(f->r), PV_RELAYWAY_UDP); /* nothing better is there */
    assert_false(pv_relayway_is_reached(f->r));
    pv_relayway_set_blocked(f->r, false, f->now);
    assert_true(pv_relayway_is_reached(f->r));
}

PV_TEST(channels_nobody_uses_are_given_up)
{
    uint8_t buf[256];
    struct pv_relayway_message m = {.buf = buf, .cap = sizeof(buf)};
    up_by_udp(true);
    for (unsigned i = 0; i < PV_RELAYUSES_MAX + 10; i++) { /* bounded: the oldest gives way */
        struct pv_addr peer = pv_addr4(203, 0, 113, 9, (uint16_t)(1000 + i));
        assert_ok(pv_relayway_wrap(f->r, &peer, pv_view("x", 1), &m));
    }
    struct pv_addr first = pv_addr4(203, 0, 113, 9, 1000);
    struct pv_addr last = pv_addr4(203, 0, 113, 9, 1000 + PV_RELAYUSES_MAX + 9);
    assert_int_equal(pv_relayway_number(f->r, &first), 0);
    assert_int_not_equal(pv_relayway_number(f->r, &last), 0);
    while (f->now < PV_S(1) + PV_RELAYUSES_UNUSED + PV_RELAYWAY_KEEP_UDP) {
        while (next_request())
            answer();
        (void)ways();
        sleep_until_due();
    }
    assert_int_equal(pv_relayway_number(f->r, &last), 0);
}

PV_TEST(stopping_closes_and_forgets)
{
    struct pv_carrier c;
    uint16_t stream = up_by_stream(false);
    pv_relayway_stop(f->r, f->now);
    assert_true(closed(stream));
    assert_false(pv_relayway_is_on(f->r));
    assert_false(pv_relayway_carrier(f->r, &f->peer, &c));
    assert_int_equal(pv_relayway_next_timeout(f->r), PV_NEVER);
    assert_int_equal(pv_relayway_server(f->r)->family, PV_AF_NONE);
}

/* --- a server that is left and still relays -------------------------------------------------- */

/* It is sent to until the peer has left it too, and heard a little longer. */

/* Up by UDP with a channel to the peer; then the coordinator's successor is started, to which the
 * coordinator gave the network. Returns the server that was left. */
static struct pv_addr leave_for_another(void)
{
    up_by_udp(false);
    assert_ok(pv_relayway_bind(f->r, &f->peer, f->now));
    grant(PV_TURN_CHANNEL_BIND, 0);
    (void)ways();
    const struct pv_addr left = f->cfg.turn.server;
    assert_true(pv_relayway_can_hold(f->r));
    f->cfg.turn.server = f->cfg.to.addr = pv_addr4(192, 0, 2, 2, 3478);
    f->cfg.held = true;
    assert_ok(pv_relayway_start(f->r, &f->cfg, f->now));
    return left;
}

static bool goes_through(const struct pv_addr *peer, const struct pv_addr *server)
{
    struct pv_carrier c;
    return pv_relayway_carrier(f->r, peer, &c) && c.kind == PV_CARRIER_CHANNEL &&
           c.channel == pv_relayway_number(f->r, peer) && pv_addr_equal(&c.relay, server);
}

PV_TEST(the_server_that_is_left_carries_until_the_peer_has_left_it_too)
{
    struct pv_addr left = leave_for_another(), late = f->peer;
    uint16_t number = pv_relayway_number(f->r, &f->peer);
    late.ip[15] ^= 1;
    assert_true(goes_through(&f->peer, &left)); /* before the new one has said anything */
    grant(PV_TURN_ALLOCATE, 0);
    grant(PV_TURN_CHANNEL_BIND, 0);
    /* A peer that had no channel at the former server does not wait. */
    assert_ok(pv_relayway_bind(f->r, &late, f->now));
    grant(PV_TURN_CHANNEL_BIND, 0);
    (void)ways();
    assert_true(goes_through(&late, &f->cfg.turn.server));
    assert_int_equal(pv_relayway_number(f->r, &f->peer), number);

    f->now += PV_RELAYHOLD_SEND - 1;
    pv_relayway_handle_timeout(f->r, f->now);
    assert_int_equal(ways(), 0);
    assert_true(goes_through(&f->peer, &left));
    assert_int_equal(pv_relayway_next_timeout(f->r), f->now + 1);
    f->now++;
    pv_relayway_handle_timeout(f->r, f->now);
    assert_int_equal(ways(), 1); /* paths follow */
    assert_true(goes_through(&f->peer, &f->cfg.turn.server));
    struct pv_fp_relay_way fp = pv_relayway_fp_way(f->r);
    assert_true(pv_addr_equal(&fp.former, &left)); /* the peer may still use it */

    f->now += PV_RELAYHOLD_RECEIVE;
    pv_relayway_handle_timeout(f->r, f->now);
    fp = pv_relayway_fp_way(f->r);
    assert_int_equal(fp.former.family, PV_AF_NONE);
    assert_int_equal(ways(), 0);
}

PV_TEST(a_server_that_is_left_is_not_held_for_ever)
{
    struct pv_carrier c;
    struct pv_addr left = leave_for_another();
    const pv_ns end = f->now + PV_RELAYHOLD_MOST;
    while (f->now < end) { /* the new one says nothing */
        assert_true(goes_through(&f->peer, &left));
        sleep_until_due();
    }
    assert_false(pv_relayway_carrier(f->r, &f->peer, &c));
}

/* A path that is suspect may be so because the former server ended after all. */
PV_TEST(a_server_that_is_left_and_silent_is_not_sent_to)
{
    struct pv_addr left = leave_for_another();
    grant(PV_TURN_ALLOCATE, 0);
    grant(PV_TURN_CHANNEL_BIND, 0);
    (void)ways();
    pv_relayway_suspect(f->r, &f->peer, f->now);
    assert_int_equal(ways(), 1);
    assert_true(goes_through(&f->peer, &f->cfg.turn.server));
    struct pv_fp_relay_way fp = pv_relayway_fp_way(f->r);
    assert_true(pv_addr_equal(&fp.former, &left));
}

PV_TEST(a_server_that_is_left_is_not_sent_to_without_udp)
{
    struct pv_carrier c;
    (void)leave_for_another();
    pv_relayway_set_blocked(f->r, true, f->now);
    assert_false(pv_relayway_carrier(f->r, &f->peer, &c));
    pv_relayway_stop(f->r, f->now);
    assert_false(pv_relayway_can_hold(f->r));
    struct pv_fp_relay_way fp = pv_relayway_fp_way(f->r);
    assert_int_equal(fp.former.family, PV_AF_NONE);
}

/* Up by a stream with a channel to the peer, then started elsewhere; returns the former stream. */
static uint16_t leave_by_stream(bool held)
{
    uint16_t stream = up_by_stream(false);
    assert_ok(pv_relayway_bind(f->r, &f->peer, f->now));
    grant(PV_TURN_CHANNEL_BIND, stream);
    (void)ways();
    f->cfg.turn.server = pv_addr4(192, 0, 2, 2, 3478);
    f->cfg.to.addr = pv_addr4(192, 0, 2, 2, 443);
    f->cfg.held = held;
    assert_true(pv_relayway_can_hold(f->r));
    assert_ok(pv_relayway_start(f->r, &f->cfg, f->now));
    return stream;
}

static bool streams_by(uint16_t stream)
{
    struct pv_carrier c;
    return pv_relayway_carrier(f->r, &f->peer, &c) && c.kind == PV_CARRIER_STREAM &&
           c.sock == stream;
}

static uint16_t up_again_by_stream(void)
{
    uint16_t stream = opened();
    assert_int_not_equal(stream, 0);
    while (next_request())
        continue; /* by UDP, where nothing answers */
    pv_relayway_connected(f->r, stream, f->now);
    grant(PV_TURN_ALLOCATE, stream);
    grant(PV_TURN_CHANNEL_BIND, stream);
    (void)ways();
    return stream;
}

PV_TEST(a_stream_to_the_server_that_is_left_carries_beside_the_new_one)
{
    uint16_t former = leave_by_stream(true);
    assert_true(streams_by(former));
    uint16_t stream = up_again_by_stream();
    assert_true(streams_by(former));
    struct pv_fp_relay_way fp = pv_relayway_fp_way(f->r);
    assert_int_equal(fp.stream, stream);
    assert_int_equal(fp.former_stream, former);
    f->now += PV_RELAYHOLD_SEND;
    pv_relayway_handle_timeout(f->r, f->now);
    assert_int_equal(ways(), 1);
    assert_true(streams_by(stream));
    assert_false(closed(former));
    f->now += PV_RELAYHOLD_RECEIVE;
    pv_relayway_handle_timeout(f->r, f->now);
    assert_true(closed(former));
    assert_int_equal(pv_relayway_fp_way(f->r).former_stream, 0);
    assert_true(streams_by(stream));
}

PV_TEST(a_stream_to_the_server_that_is_left_may_end_before)
{
    uint16_t former = leave_by_stream(true);
    uint16_t stream = up_again_by_stream();
    pv_relayway_closed(f->r, former, "reset", f->now);
    assert_int_equal(ways(), 1);
    assert_true(streams_by(stream));
    assert_int_equal(pv_relayway_fp_way(f->r).former.family, PV_AF_NONE);
}

/* Requests to the new server would go to the former one. */
PV_TEST(a_stream_to_a_server_that_is_gone_is_closed)
{
    struct pv_carrier c;
    uint16_t former = leave_by_stream(false);
    assert_true(closed(former));
    assert_false(pv_relayway_carrier(f->r, &f->peer, &c));
    assert_true(streams_by(up_again_by_stream()));
}
