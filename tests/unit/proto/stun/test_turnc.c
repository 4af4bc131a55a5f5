/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "proto/stun/turnc.h"
#include "tests/unit/test_util.h"

/* A client and what a server at the other end would see. */
struct fixture {
    struct test_rng seed;
    struct pv_rng rng;
    struct pv_turnc *c;
    struct pv_turnc_config cfg;
    uint8_t key[PV_MD5_LEN];
    uint8_t req[PV_TURNC_MTU];
    struct pv_stun_msg msg;
    struct pv_addr relayed, mapped, peer;
    struct pv_addr alternate; /* of the next answer; PV_AF_NONE = none */
    bool nowhere_first;       /* an address that is none stands before it */
    bool knows_phone_ports;   /* the server does; */
    int phone_port_code;      /* answers so, -1: by f.phone port */
    struct pv_addr phone_port;
    uint8_t range[4]; /* of ports, as it tells it */
    uint16_t range_len;
    pv_ns now;
};

/* Of the test that runs. */
static struct fixture the_fixture;
static struct fixture *const f = &the_fixture;

static void free_client(void *ctx)
{
    pv_turnc_free(ctx);
}

static void setup(void)
{
    uint8_t coord[32] = {1}, own[32] = {2}, other[32] = {3};
    memset(f, 0, sizeof(*f));
    f->rng = test_rng_make(&f->seed, 7);
    f->now = PV_S(1);
    f->cfg = (struct pv_turnc_config){.server = pv_addr4(192, 0, 2, 1, 3478),
                                      .user = "u",
                                      .password = "p",
                                      .realm = "r",
                                      .nonce = "n0",
                                      .ipv6 = true};
    f->relayed = pv_turn_virtual_addr(coord, own);
    f->peer = pv_turn_virtual_addr(coord, other);
    f->mapped = pv_addr4(203, 0, 113, 1, 4000);
    assert_ok(pv_turn_key("u", "r", "p", f->key));
    assert_ok(pv_turnc_new(&f->c, &f->rng));
    test_defer(free_client, f->c);
}

static void start(void)
{
    setup();
    assert_ok(pv_turnc_start(f->c, &f->cfg, f->now));
}

/* Is there a request now? Decoded into f->msg. */
static bool next_request(void)
{
    size_t len;
    pv_turnc_handle_timeout(f->c, f->now);
    if (pv_turnc_poll_transmit(f->c, f->req, sizeof(f->req), &len) != PV_OK)
        return false;
    assert_ok(pv_stun_decode(pv_view(f->req, len), &f->msg));
    assert_ok(pv_stun_check_fingerprint(&f->msg));
    return true;
}

static void expect(uint16_t method, const char *nonce)
{
    struct pv_view v;
    assert_true(next_request());
    assert_int_equal(f->msg.cls, PV_STUN_REQUEST);
    assert_int_equal(f->msg.method, method);
    assert_ok(pv_stun_find(&f->msg, PV_STUN_ATTR_NONCE, &v));
    assert_true(pv_view_equal(v, pv_view(nonce, strlen(nonce))));
    assert_ok(pv_stun_check_integrity(&f->msg, pv_view(f->key, sizeof(f->key))));
}

/* Answers f->msg: error 0 is success. */
static int answer(unsigned error, const char *nonce)
{
    uint8_t buf[512];
    struct pv_stun_writer w;
    size_t len;
    pv_stun_write_answer(&w, buf, sizeof(buf), error == 0 ? PV_STUN_SUCCESS : PV_STUN_ERROR,
                         &f->msg);
    if (error != 0)
        pv_stun_put_error(&w, error, "");
    if (f->alternate.family != PV_AF_NONE)
        pv_stun_put_addr(&w, PV_STUN_ATTR_ALTERNATE_SERVER, &f->alternate);
    if (error == 0 && f->msg.method == PV_TURN_ALLOCATE) {
        if (f->nowhere_first)
            pv_stun_put_xor_addr(&w, PV_TURN_ATTR_XOR_RELAYED_ADDRESS,
                                 &(struct pv_addr){.family = PV_AF_INET});
        pv_stun_put_xor_addr(&w, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &f->relayed);
        pv_stun_put_xor_addr(&w, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &f->mapped);
        pv_stun_put_u32(&w, PV_TURN_ATTR_LIFETIME, 600);
    }
    if (error == 0 && f->knows_phone_ports && pv_stun_has(&f->msg, PV_TURN_ATTR_PHONE_PORT)) {
        const uint8_t code[4] = {0, 0, (uint8_t)(f->phone_port_code / 100),
                                 (uint8_t)(f->phone_port_code % 100)};
        if (f->phone_port_code < 0)
            pv_stun_put_xor_addr(&w, PV_TURN_ATTR_PHONE_PORT, &f->phone_port);
        else
            pv_stun_put(&w, PV_TURN_ATTR_PHONE_PORT, pv_view(code, sizeof(code)));
        if (f->range_len > 0)
            pv_stun_put(&w, PV_TURN_ATTR_PORT_RANGE, pv_view(f->range, f->range_len));
    }
    if (nonce != NULL) {
        pv_stun_put(&w, PV_STUN_ATTR_REALM, pv_view("r", 1));
        pv_stun_put(&w, PV_STUN_ATTR_NONCE, pv_view(nonce, strlen(nonce)));
    }
    if (error != PV_TURN_E_STALE_NONCE && error != PV_STUN_E_UNAUTHENTICATED)
        pv_stun_put_integrity(&w, pv_view(f->key, sizeof(f->key)));
    pv_stun_put_fingerprint(&w);
    assert_ok(pv_stun_write_end(&w, &len));
    return pv_turnc_handle_input(f->c, &f->cfg.server, pv_view(buf, len), f->now);
}

/* Can data be sent? */
static bool is_up(void)
{
    uint8_t buf[128];
    size_t len;
    return pv_turnc_wrap(f->c, &f->peer, pv_view("x", 1), buf, sizeof(buf), &len) == PV_OK;
}

static struct pv_turnc_event event(void)
{
    struct pv_turnc_event ev;
    assert_ok(pv_turnc_poll_event(f->c, &ev));
    return ev;
}

static void no_event(void)
{
    struct pv_turnc_event ev;
    assert_int_equal(pv_turnc_poll_event(f->c, &ev), PV_ERR_AGAIN);
}

/* It asks for this with that nonce, and gets it; */
static void grant(uint16_t method, const char *nonce)
{
    expect(method, nonce);
    assert_ok(answer(0, NULL));
}

/* which it tells; */
static void grant_and_hear(uint16_t method, const char *nonce, enum pv_turnc_event_type type)
{
    grant(method, nonce);
    assert_int_equal(event().type, type);
}

/* or it does not get it. next: the server's nonce from now on; NULL: the same. */
static void refuse(uint16_t method, const char *nonce, unsigned error, const char *next)
{
    expect(method, nonce);
    assert_ok(answer(error, next));
}

static void up(void)
{
    start();
    grant_and_hear(PV_TURN_ALLOCATE, "n0", PV_TURNC_UP);
    no_event();
}

static void bind_peer(void)
{
    assert_ok(pv_turnc_bind(f->c, &f->peer, f->now));
    grant_and_hear(PV_TURN_CHANNEL_BIND, "n0", PV_TURNC_CHANNEL);
}

PV_TEST(credentials_of_welcome_allocate_in_one_round_trip)
{
    uint32_t v;
    start();
    assert_true(pv_turnc_next_timeout(f->c) <= f->now);
    expect(PV_TURN_ALLOCATE, "n0");
    assert_ok(pv_stun_get_u32(&f->msg, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY, &v));
    assert_int_equal(v, 0x02000000);
    assert_ok(pv_stun_get_u32(&f->msg, PV_TURN_ATTR_REQUESTED_TRANSPORT, &v));
    assert_int_equal(v, 0x11000000);
    assert_false(next_request());
    assert_false(is_up());
    assert_ok(answer(0, NULL));
    assert_true(is_up());
    struct pv_turnc_event ev = event();
    assert_int_equal(ev.type, PV_TURNC_UP);
    assert_true(pv_addr_equal(&ev.relayed, &f->relayed));
    assert_true(pv_addr_equal(&ev.mapped, &f->mapped));
    no_event();
    assert_int_equal(answer(0, NULL), PV_ERR_NOT_FOUND); /* a duplicate */
}

PV_TEST(without_realm_and_nonce_it_asks_first)
{
    setup();
    f->cfg.nonce[0] = f->cfg.realm[0] = '\0';
    assert_ok(pv_turnc_start(f->c, &f->cfg, f->now));
    assert_true(next_request());
    assert_false(pv_stun_has(&f->msg, PV_STUN_ATTR_USERNAME));
    assert_ok(answer(PV_STUN_E_UNAUTHENTICATED, "n1"));
    grant_and_hear(PV_TURN_ALLOCATE, "n1", PV_TURNC_UP);
}

PV_TEST(a_lost_request_is_repeated_and_given_up_in_the_end)
{
    start();
    unsigned sends = 0;
    uint8_t first[PV_STUN_TXID_LEN] = {0};
    while (f->now < PV_S(16)) {
        if (next_request()) {
            if (sends++ == 0)
                memcpy(first, f->msg.txid, sizeof(first));
            assert_memory_equal(first, f->msg.txid, sizeof(first));
            assert_true(pv_turnc_next_timeout(f->c) > f->now);
        }
        f->now = pv_turnc_next_timeout(f->c);
    }
    assert_int_equal(sends, PV_TURNC_MAX_SENDS);
    pv_turnc_handle_timeout(f->c, f->now);
    struct pv_turnc_event ev = event();
    assert_int_equal(ev.type, PV_TURNC_DOWN);
    assert_int_equal(ev.status, PV_ERR_TIMEOUT);
    f->now = pv_turnc_next_timeout(f->c); /* and it tries again */
    assert_true(f->now < PV_S(20));
    expect(PV_TURN_ALLOCATE, "n0");
}

PV_TEST(a_stale_nonce_is_followed_but_not_for_ever)
{
    start();
    refuse(PV_TURN_ALLOCATE, "n0", PV_TURN_E_STALE_NONCE, "n1");
    refuse(PV_TURN_ALLOCATE, "n1", PV_TURN_E_STALE_NONCE, "n2");
    refuse(PV_TURN_ALLOCATE, "n2", PV_TURN_E_STALE_NONCE, "n3");
    refuse(PV_TURN_ALLOCATE, "n3", PV_TURN_E_STALE_NONCE, "n4");
    assert_false(next_request());
    assert_int_equal(event().type, PV_TURNC_DOWN);
}

PV_TEST(wrong_credentials_are_told)
{
    start();
    refuse(PV_TURN_ALLOCATE, "n0", PV_STUN_E_UNAUTHENTICATED, "n0");
    struct pv_turnc_event ev = event();
    assert_int_equal(ev.type, PV_TURNC_DOWN);
    assert_int_equal(ev.status, PV_ERR_AUTH);
    assert_int_equal(ev.error, 401);
}

PV_TEST(answers_of_strangers_and_forged_ones_count_nothing)
{
    start();
    expect(PV_TURN_ALLOCATE, "n0");
    f->key[0] ^= 1;
    assert_int_equal(answer(0, NULL), PV_ERR_AUTH);
    assert_int_equal(answer(PV_TURN_E_QUOTA_REACHED, NULL), PV_ERR_AUTH);
    f->key[0] ^= 1;
    struct pv_addr real = f->cfg.server;
    f->cfg.server.port++;
    assert_int_equal(answer(0, NULL), PV_ERR_NOT_FOUND);
    f->cfg.server = real;
    f->req[10] ^= 1; /* another transaction */
    assert_int_equal(answer(0, NULL), PV_ERR_NOT_FOUND);
    f->req[10] ^= 1;
    no_event();
    assert_ok(answer(0, NULL));
}

PV_TEST(channels_are_bound_and_bound_again_in_time)
{
    uint32_t number;
    struct pv_addr peer;
    up();
    assert_ok(pv_turnc_bind(f->c, &f->peer, f->now));
    assert_ok(pv_turnc_bind(f->c, &f->peer, f->now));
    expect(PV_TURN_CHANNEL_BIND, "n0");
    assert_ok(pv_stun_get_u32(&f->msg, PV_TURN_ATTR_CHANNEL_NUMBER, &number));
    assert_int_equal(number >> 16, pv_turnc_number(f->c, &f->peer));
    assert_ok(pv_stun_get_xor_addr(&f->msg, PV_TURN_ATTR_XOR_PEER_ADDRESS, &peer));
    assert_true(pv_addr_equal(&peer, &f->peer));
    assert_false(next_request());
    assert_int_equal(pv_turnc_channel(f->c, &f->peer), 0);
    assert_ok(answer(PV_TURN_E_STALE_NONCE, "n1"));
    grant(PV_TURN_CHANNEL_BIND, "n1");
    struct pv_turnc_event ev = event();
    assert_int_equal(ev.type, PV_TURNC_CHANNEL);
    assert_int_equal(ev.channel, pv_turnc_number(f->c, &f->peer));
    assert_true(pv_addr_equal(&ev.peer, &f->peer));
    assert_int_equal(pv_turnc_channel(f->c, &f->peer), pv_turnc_number(f->c, &f->peer));
    f->now += PV_TURNC_REBIND;
    grant(PV_TURN_CHANNEL_BIND, "n1");
    no_event();
    f->now += PV_S(60);
    expect(PV_TURN_REFRESH, "n1");
    assert_true(pv_turnc_next_timeout(f->c) > f->now); /* it waits for the answer */
    assert_ok(answer(0, NULL));
    pv_turnc_unbind(f->c, &f->peer, f->now);
    assert_int_equal(pv_turnc_channel(f->c, &f->peer), 0);
    f->now += PV_TURNC_REBIND;
    assert_false(next_request());
}

PV_TEST(a_peer_that_comes_back_gets_the_channel_it_had)
{
    const struct pv_addr other = pv_addr4(192, 0, 2, 77, 7);
    up();
    bind_peer();
    pv_turnc_unbind(f->c, &f->peer, f->now);
    assert_ok(pv_turnc_bind(f->c, &other, f->now));
    assert_ok(pv_turnc_bind(f->c, &f->peer, f->now));
    assert_int_equal(pv_turnc_number(f->c, &f->peer), 0x4000);
    assert_int_equal(pv_turnc_number(f->c, &other), 0x4001);
}

PV_TEST(numbers_that_were_given_up_are_remembered_for_a_while)
{
    struct pv_turnc_past past = {.next = 0};
    const struct pv_addr peer = pv_addr4(192, 0, 2, 1, 1);
    assert_int_equal(pv_turnc_past_take(&past, &peer, 5), 0);
    assert_false(pv_turnc_past_has(&past, 0x4000, 5));
    pv_turnc_past_add(&past, &peer, 0x4000, 5);
    assert_true(pv_turnc_past_has(&past, 0x4000, 5 + PV_TURNC_PAST_FOR - 1));
    assert_false(pv_turnc_past_has(&past, 0x4000, 5 + PV_TURNC_PAST_FOR));
    assert_int_equal(pv_turnc_past_take(&past, &peer, 6), 0x4000);
    assert_int_equal(pv_turnc_past_take(&past, &peer, 6), 0);
    pv_turnc_past_add(&past, &peer, 0x4000, 5);
    assert_int_equal(pv_turnc_past_take(&past, &peer, 5 + PV_TURNC_PAST_FOR), 0);
    pv_turnc_past_add(&past, &peer, 0x4000, 5);
    for (unsigned i = 0; i < PV_TURNC_PAST_MAX; i++) {
        const struct pv_addr more = pv_addr4(192, 0, 3, (uint8_t)i, 1);
        pv_turnc_past_add(&past, &more, (uint16_t)(0x4001 + i), 5);
    }
    assert_int_equal(pv_turnc_past_take(&past, &peer, 6), 0);
}

PV_TEST(a_kick_ends_the_wait_for_a_server)
{
    up();
    pv_turnc_kick(f->c, f->now); /* nothing waits */
    assert_false(next_request());
    pv_turnc_moved(f->c, f->now);
    while (is_up()) {
        (void)next_request();
        f->now = pv_turnc_next_timeout(f->c) > f->now ? pv_turnc_next_timeout(f->c) : f->now + 1;
        pv_turnc_handle_timeout(f->c, f->now);
    }
    assert_int_equal(event().type, PV_TURNC_DOWN);
    assert_false(next_request());
    pv_turnc_kick(f->c, f->now);
    expect(PV_TURN_ALLOCATE, "n0");
}

PV_TEST(a_moved_client_allocates_anew_and_keeps_its_channels)
{
    up();
    bind_peer();
    pv_turnc_moved(f->c, f->now);
    expect(PV_TURN_ALLOCATE, "n0");
    assert_int_equal(pv_turnc_channel(f->c, &f->peer), pv_turnc_number(f->c, &f->peer));
    assert_true(is_up());
    assert_ok(answer(PV_TURN_E_STALE_NONCE, "n7"));
    grant_and_hear(PV_TURN_ALLOCATE, "n7", PV_TURNC_UP);
    no_event();
    assert_false(next_request());
}

PV_TEST(a_server_that_forgot_us_is_asked_for_all_again)
{
    up();
    assert_ok(pv_turnc_bind(f->c, &f->peer, f->now));
    grant(PV_TURN_CHANNEL_BIND, "n0");
    assert_int_equal(event().channel, pv_turnc_number(f->c, &f->peer));
    f->now += PV_S(300);
    refuse(PV_TURN_REFRESH, "n0", PV_TURN_E_ALLOCATION_MISMATCH, NULL);
    assert_int_equal(event().channel, 0); /* not usable for now */
    grant_and_hear(PV_TURN_ALLOCATE, "n0", PV_TURNC_UP);
    grant(PV_TURN_CHANNEL_BIND, "n0");
    assert_int_equal(event().channel, pv_turnc_number(f->c, &f->peer));
}

PV_TEST(new_credentials_keep_the_channels_and_bind_them_again)
{
    up();
    assert_ok(pv_turnc_bind(f->c, &f->peer, f->now));
    grant(PV_TURN_CHANNEL_BIND, "n0");
    assert_int_equal(event().channel, pv_turnc_number(f->c, &f->peer));
    f->cfg.nonce[1] = '5';
    assert_ok(pv_turnc_start(f->c, &f->cfg, f->now));
    no_event();
    grant_and_hear(PV_TURN_ALLOCATE, "n5", PV_TURNC_UP);
    assert_int_equal(pv_turnc_channel(f->c, &f->peer), pv_turnc_number(f->c, &f->peer));
    grant(PV_TURN_CHANNEL_BIND, "n5");
    no_event();
    assert_int_equal(pv_turnc_channel_before(f->c, &f->peer), 0);
    f->cfg.server.port++; /* another server knows nothing */
    assert_ok(pv_turnc_start(f->c, &f->cfg, f->now));
    assert_int_equal(event().channel, 0);
    assert_int_equal(pv_turnc_channel_before(f->c, &f->peer), pv_turnc_number(f->c, &f->peer));
    f->cfg.server.port++; /* the last one never bound it */
    assert_ok(pv_turnc_start(f->c, &f->cfg, f->now));
    assert_int_equal(pv_turnc_channel_before(f->c, &f->peer), 0);
}

PV_TEST(an_allocation_of_a_former_life_is_released_first)
{
    uint32_t lifetime;
    start();
    refuse(PV_TURN_ALLOCATE, "n0", PV_TURN_E_ALLOCATION_MISMATCH, NULL);
    expect(PV_TURN_REFRESH, "n0");
    assert_ok(pv_stun_get_u32(&f->msg, PV_TURN_ATTR_LIFETIME, &lifetime));
    assert_int_equal(lifetime, 0);
    assert_ok(answer(0, NULL));
    grant_and_hear(PV_TURN_ALLOCATE, "n0", PV_TURNC_UP);
}

static void stock_up(void)
{
    setup();
    f->cfg.permissions = true;
    assert_ok(pv_turnc_start(f->c, &f->cfg, f->now));
    grant(PV_TURN_ALLOCATE, "n0");
    assert_ok(pv_turnc_bind(f->c, &f->peer, f->now));
    grant(PV_TURN_CREATE_PERMISSION, "n0");
    grant(PV_TURN_CHANNEL_BIND, "n0");
    assert_false(next_request());
}

PV_TEST(a_stock_server_gets_permissions)
{
    stock_up();
}

/* A permission ended early: the path becomes suspect, and lives again once the channel is bound. */
PV_TEST(a_server_that_forgets_permissions_early_is_found_out)
{
    stock_up();
    f->now += PV_TURNC_SUSPECT - 1;
    pv_turnc_suspect(f->c, &f->peer, f->now);
    assert_false(next_request()); /* it has only just been bound */
    f->now += PV_S(60) - PV_TURNC_SUSPECT + 1;
    pv_turnc_suspect(f->c, &f->peer, f->now);
    expect(PV_TURN_CHANNEL_BIND, "n0");
    pv_turnc_suspect(f->c, &f->peer, f->now);
    assert_false(next_request());
    assert_ok(answer(0, NULL));
    f->now += PV_MS(100);
    pv_turnc_healed(f->c, &f->peer, f->now);
    assert_int_equal(pv_turnc_next_timeout(f->c), f->now - PV_MS(100) + PV_S(30));
    f->now = pv_turnc_next_timeout(f->c); /* half of the 60 s that it lasted */
    grant(PV_TURN_CHANNEL_BIND, "n0");
    f->now += PV_S(10);
    pv_turnc_suspect(f->c, &f->peer, f->now);
    grant(PV_TURN_CHANNEL_BIND, "n0");
    pv_turnc_healed(f->c, &f->peer, f->now);
    assert_int_equal(pv_turnc_next_timeout(f->c), f->now + PV_TURNC_REBIND_MIN);
}

PV_TEST(a_path_that_heals_for_other_reasons_teaches_nothing)
{
    for (unsigned how = 0; how < 4; how++) {
        stock_up();
        pv_ns bound = f->now;
        f->now += PV_S(60);
        if (how > 0) { /* else nothing was suspect */
            pv_turnc_suspect(f->c, &f->peer, f->now);
            expect(PV_TURN_CHANNEL_BIND, "n0");
        }
        if (how == 1) { /* the way to the server was bad, too */
            f->now += PV_TURNC_RTO;
            expect(PV_TURN_CHANNEL_BIND, "n0");
        }
        if (how == 2)
            pv_turnc_healed(f->c, &f->peer, f->now); /* before the answer */
        if (how > 0) {
            assert_ok(answer(0, NULL));
            bound = f->now;
        }
        if (how == 3)
            f->now += PV_TURNC_HEALED + 1; /* long after */
        pv_turnc_healed(f->c, &f->peer, f->now);
        f->now = bound + PV_TURNC_REBIND - 1;
        for (unsigned n = 0; n < 2; n++, f->now++) { /* not before its time, but then */
            bool again = false;
            while (next_request()) {
                again = again || f->msg.method == PV_TURN_CHANNEL_BIND;
                assert_ok(answer(0, NULL));
            }
            assert_int_equal(again, n);
        }
        test_end(f->c);
    }
}

/* 300: where it sends us is told, if we can go there. */
PV_TEST(an_alternate_server_is_told)
{
    static const struct pv_addr ok = {.family = PV_AF_INET, .port = 3478, .ip = {192, 0, 2, 7}};
    static const struct {
        struct pv_addr to;
        const char *why;
    } rows[] = {
        {{.family = PV_AF_NONE}, "no address"},
        {{.family = PV_AF_INET, .port = 0, .ip = {192, 0, 2, 7}}, "no port"},
        {{.family = PV_AF_INET, .port = 9, .ip = {127, 0, 0, 1}}, "loopback"},
        {{.family = PV_AF_INET, .port = 9, .ip = {224, 0, 0, 1}}, "multicast"},
        {{.family = PV_AF_INET, .port = 9, .ip = {255, 255, 255, 255}}, "broadcast"},
        {{.family = PV_AF_INET, .port = 9}, "unspecified"},
        {{.family = PV_AF_INET6, .port = 9, .ip = {0x20, 1}}, "the other family"},
    };
    for (size_t i = 0; i <= PV_ARRAY_LEN(rows); i++) {
        start();
        f->alternate = i < PV_ARRAY_LEN(rows) ? rows[i].to : ok;
        refuse(PV_TURN_ALLOCATE, "n0", PV_STUN_E_TRY_ALTERNATE, NULL);
        struct pv_turnc_event ev = event();
        assert_int_equal(ev.type, PV_TURNC_DOWN);
        assert_int_equal(ev.error, PV_STUN_E_TRY_ALTERNATE);
        bool told = ev.alternate.family != PV_AF_NONE;
        if (told != (i == PV_ARRAY_LEN(rows)))
            fail_msg("%s", i < PV_ARRAY_LEN(rows) ? rows[i].why : "a good one");
        if (told) {
            assert_true(pv_addr_equal(&ev.alternate, &ok));
            pv_turnc_reach(f->c, &ok, 0, f->now);
            assert_false(next_request()); /* it waits, until it is told */
            pv_turnc_kick(f->c, f->now);
            f->cfg.server = ok;
            f->alternate.family = PV_AF_NONE;
            expect(PV_TURN_ALLOCATE, "n0"); /* the same credentials */
            assert_ok(answer(0, NULL));
            assert_int_equal(event().type, PV_TURNC_UP);
        }
        test_end(f->c);
    }
}

PV_TEST(in_haste_an_address_is_given_up_soon)
{
    setup();
    f->cfg.sends = 3;
    assert_ok(pv_turnc_start(f->c, &f->cfg, f->now));
    unsigned sends = 0;
    pv_ns begun = f->now;
    struct pv_turnc_event ev;
    while (pv_turnc_poll_event(f->c, &ev) != PV_OK) {
        sends += next_request() ? 1 : 0;
        f->now = pv_turnc_next_timeout(f->c) > f->now ? pv_turnc_next_timeout(f->c) : f->now;
        pv_turnc_handle_timeout(f->c, f->now);
    }
    assert_int_equal(ev.status, PV_ERR_TIMEOUT);
    assert_int_equal(sends, 3);
    assert_int_equal(f->now - begun, PV_MS(1750));
    f->cfg.server.ip[3]++;
    pv_turnc_reach(f->c, &f->cfg.server, 3, f->now);
    pv_turnc_kick(f->c, f->now);
    grant_and_hear(PV_TURN_ALLOCATE, "n0", PV_TURNC_UP);
    pv_turnc_moved(f->c, f->now); /* once it has answered it has time */
    sends = 0;
    while (pv_turnc_poll_event(f->c, &ev) != PV_OK) {
        sends += next_request() ? 1 : 0;
        f->now = pv_turnc_next_timeout(f->c) > f->now ? pv_turnc_next_timeout(f->c) : f->now;
        pv_turnc_handle_timeout(f->c, f->now);
    }
    assert_int_equal(sends, PV_TURNC_MAX_SENDS);
}

static void expect_family(bool ipv6)
{
    uint32_t family = 0;
    expect(PV_TURN_ALLOCATE, "n0");
    int r = pv_stun_get_u32(&f->msg, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY, &family);
    assert_int_equal(r, ipv6 ? PV_OK : PV_ERR_NOT_FOUND);
    assert_int_equal(family >> 24, ipv6 ? PV_TURN_FAMILY_IPV6 : 0);
}

/* A stock server with addresses of one family only says so; one with none is not asked for ever. */
PV_TEST(a_server_of_the_other_family_is_asked_for_that)
{
    setup();
    f->cfg.permissions = true;
    f->cfg.ipv6 = false;
    f->relayed = pv_addr6((const uint8_t[16]){0x20, 0x01, 0x0d, 0xb8, [15] = 9}, 50000);
    assert_ok(pv_turnc_start(f->c, &f->cfg, f->now));
    expect_family(false);
    assert_ok(answer(PV_TURN_E_FAMILY_NOT_SUPPORTED, NULL));
    expect_family(true);
    f->nowhere_first = true; /* as coturn does */
    assert_ok(answer(0, NULL));
    struct pv_turnc_event ev = event();
    assert_int_equal(ev.type, PV_TURNC_UP);
    assert_true(pv_addr_equal(&ev.relayed, &f->relayed));
    test_end(f->c);

    setup();
    f->cfg.permissions = true;
    assert_ok(pv_turnc_start(f->c, &f->cfg, f->now));
    for (unsigned i = 0; i < 4; i++) {
        expect_family(i % 2 == 0);
        assert_ok(answer(PV_TURN_E_FAMILY_NOT_SUPPORTED, NULL));
    }
    assert_false(next_request());
    ev = event();
    assert_int_equal(ev.type, PV_TURNC_DOWN);
    assert_int_equal(ev.error, PV_TURN_E_FAMILY_NOT_SUPPORTED);
    test_end(f->c);

    start(); /* our own has virtual addresses: IPv6 or nothing */
    expect_family(true);
    assert_ok(answer(PV_TURN_E_FAMILY_NOT_SUPPORTED, NULL));
    assert_int_equal(event().type, PV_TURNC_DOWN);
}

PV_TEST(an_address_that_is_none_is_no_allocation)
{
    start();
    f->relayed = (struct pv_addr){.family = PV_AF_INET};
    grant_and_hear(PV_TURN_ALLOCATE, "n0", PV_TURNC_DOWN);
}

PV_TEST(data_goes_by_indication_until_there_is_a_channel)
{
    uint8_t buf[256];
    size_t len;
    uint16_t number;
    struct pv_addr peer;
    struct pv_view data;
    start();
    assert_int_equal(pv_turnc_wrap(f->c, &f->peer, pv_view("hi", 2), buf, sizeof(buf), &len),
                     PV_ERR_STATE);
    test_end(f->c);
    up();
    assert_ok(pv_turnc_wrap(f->c, &f->peer, pv_view("hi", 2), buf, sizeof(buf), &len));
    assert_ok(pv_turn_indication_parse(pv_view(buf, len), PV_TURN_SEND, &peer, &data));
    assert_true(pv_addr_equal(&peer, &f->peer));
    assert_ok(pv_turnc_bind(f->c, &f->peer, f->now));
    grant(PV_TURN_CHANNEL_BIND, "n0");
    assert_int_equal(pv_turnc_wrap(f->c, &f->peer, pv_view("hi", 2), buf, 5, &len),
                     PV_ERR_NO_SPACE);
    assert_ok(pv_turnc_wrap(f->c, &f->peer, pv_view("hi", 2), buf, 6, &len));
    assert_int_equal(len, 6);
    assert_ok(pv_turn_channel_parse(pv_view(buf, len), &number, &data));
    assert_int_equal(number, pv_turnc_channel(f->c, &f->peer));
    assert_true(pv_view_equal(data, pv_view("hi", 2)));
}

PV_TEST(the_table_of_channels_has_a_limit)
{
    up();
    struct pv_addr peer = f->peer;
    for (unsigned i = 0; i < PV_TURNC_MAX_CHANNELS; i++) {
        pv_store_be16(peer.ip + 14, (uint16_t)i);
        assert_ok(pv_turnc_bind(f->c, &peer, f->now));
    }
    pv_store_be16(peer.ip + 14, PV_TURNC_MAX_CHANNELS);
    assert_int_equal(pv_turnc_bind(f->c, &peer, f->now), PV_ERR_LIMIT);
}

/* A server refuses another number for ten minutes. */
PV_TEST(a_peer_that_comes_back_gets_the_number_it_had)
{
    up();
    for (uint16_t i = 0; i < 50; i++) {
        struct pv_addr peer = f->peer, other = f->peer;
        pv_store_be16(peer.ip + 14, i);
        pv_store_be16(other.ip + 14, (uint16_t)(i + 1000));
        assert_ok(pv_turnc_bind(f->c, &peer, f->now));
        uint16_t number = pv_turnc_number(f->c, &peer);
        pv_turnc_unbind(f->c, &peer, f->now);
        assert_ok(pv_turnc_bind(f->c, &other, f->now));
        assert_int_not_equal(pv_turnc_number(f->c, &other), number);
        assert_ok(pv_turnc_bind(f->c, &peer, f->now));
        assert_int_equal(pv_turnc_number(f->c, &peer), number);
    }
}

/* --- phone ports ------------------------------------------------------------------------------ */

static bool asks_for_phone_port(uint16_t method)
{
    expect(method, "n0");
    return pv_stun_has(&f->msg, PV_TURN_ATTR_PHONE_PORT);
}

PV_TEST(a_phone_port_is_asked_for_until_it_is_open)
{
    up();
    f->knows_phone_ports = true;
    f->phone_port = pv_addr4(192, 0, 2, 1, 50123);
    pv_turnc_want_phone_port(f->c, true, f->now);
    assert_true(asks_for_phone_port(PV_TURN_REFRESH));
    assert_ok(answer(0, NULL)); /* it is being opened */
    assert_int_equal(pv_turnc_phone_port(f->c)->state, PV_TURNC_PHONE_PORT_UNKNOWN);
    assert_false(next_request());
    f->now += PV_TURNC_PHONE_PORT_WAIT;
    assert_true(asks_for_phone_port(PV_TURN_REFRESH));
    f->phone_port_code = -1;
    f->phone_port = pv_addr4(127, 0, 0, 1, 50123);
    assert_ok(answer(0, NULL)); /* no stranger finds that */
    assert_int_equal(pv_turnc_phone_port(f->c)->state, PV_TURNC_PHONE_PORT_UNKNOWN);
    f->now += 2 * PV_TURNC_PHONE_PORT_WAIT;
    assert_true(asks_for_phone_port(PV_TURN_REFRESH));
    f->phone_port = pv_addr4(192, 0, 2, 1, 50123);
    assert_ok(answer(0, NULL));
    assert_int_equal(pv_turnc_phone_port(f->c)->state, PV_TURNC_PHONE_PORT_OPEN);
    assert_true(pv_addr_equal(&pv_turnc_phone_port(f->c)->addr, &f->phone_port));
    f->now += PV_S(250);
    assert_false(next_request());
    f->now += PV_S(50);
    assert_true(asks_for_phone_port(PV_TURN_REFRESH)); /* as usual, and it is kept */
    assert_ok(answer(0, NULL));
    pv_turnc_moved(f->c, f->now);
    assert_true(asks_for_phone_port(PV_TURN_ALLOCATE));
    assert_ok(answer(0, NULL));
    assert_int_equal(pv_turnc_phone_port(f->c)->state, PV_TURNC_PHONE_PORT_OPEN);
    pv_turnc_want_phone_port(f->c, false, f->now);
    assert_int_equal(pv_turnc_phone_port(f->c)->state, PV_TURNC_PHONE_PORT_UNKNOWN);
    assert_false(asks_for_phone_port(PV_TURN_REFRESH));
    assert_ok(answer(0, NULL));
    assert_false(next_request());
}

/* The range goes into the words for the operator's firewall: only one that has the port counts. */
PV_TEST(takes_the_range_of_ports_from_the_server)
{
    static const struct {
        uint16_t len, said_lo, said_hi, lo, hi;
    } rows[] = {
        {0, 0, 0, 50123, 50123},         {4, 50000, 50999, 50000, 50999},
        {4, 50123, 50123, 50123, 50123}, {2, 50000, 50999, 50123, 50123},
        {4, 51000, 51999, 50123, 50123}, {4, 40000, 50000, 50123, 50123},
        {4, 50999, 50000, 50123, 50123},
    };
    up();
    f->knows_phone_ports = true;
    f->phone_port_code = -1;
    f->phone_port = pv_addr4(192, 0, 2, 1, 50123);
    pv_turnc_want_phone_port(f->c, true, f->now);
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        f->range_len = rows[i].len;
        pv_store_be16(f->range, rows[i].said_lo);
        pv_store_be16(f->range + 2, rows[i].said_hi);
        assert_true(asks_for_phone_port(PV_TURN_REFRESH));
        assert_ok(answer(0, NULL));
        assert_int_equal(pv_turnc_phone_port(f->c)->state, PV_TURNC_PHONE_PORT_OPEN);
        assert_int_equal(pv_turnc_phone_port(f->c)->port_lo, rows[i].lo);
        assert_int_equal(pv_turnc_phone_port(f->c)->port_hi, rows[i].hi);
        pv_turnc_refresh(f->c, f->now);
    }
}

PV_TEST(a_wish_for_a_phone_port_outlives_the_request_under_way_and_the_server)
{
    start();
    f->knows_phone_ports = true;
    f->phone_port_code = -1;
    f->phone_port = pv_addr4(192, 0, 2, 1, 50123);
    assert_false(asks_for_phone_port(PV_TURN_ALLOCATE));
    pv_turnc_want_phone_port(f->c, true, f->now);
    assert_ok(answer(0, NULL));
    assert_true(asks_for_phone_port(PV_TURN_REFRESH));
    assert_ok(answer(0, NULL));
    assert_int_equal(pv_turnc_phone_port(f->c)->state, PV_TURNC_PHONE_PORT_OPEN);
    f->cfg.server.port++;
    assert_ok(pv_turnc_start(f->c, &f->cfg, f->now));
    assert_int_equal(pv_turnc_phone_port(f->c)->state, PV_TURNC_PHONE_PORT_UNKNOWN);
    assert_true(asks_for_phone_port(PV_TURN_ALLOCATE));
}

PV_TEST(a_server_says_why_there_is_no_phone_port)
{
    up();
    pv_turnc_want_phone_port(f->c, true, f->now);
    assert_true(asks_for_phone_port(PV_TURN_REFRESH));
    assert_ok(answer(0, NULL)); /* as coturn does */
    assert_int_equal(pv_turnc_phone_port(f->c)->state, PV_TURNC_PHONE_PORT_UNSUPPORTED);
    f->knows_phone_ports = true;
    f->phone_port_code = 486;
    f->now += PV_S(300);
    assert_true(asks_for_phone_port(PV_TURN_REFRESH));
    assert_ok(answer(0, NULL));
    assert_int_equal(pv_turnc_phone_port(f->c)->state, PV_TURNC_PHONE_PORT_REFUSED);
    assert_int_equal(pv_turnc_phone_port(f->c)->error, 486);
    assert_false(next_request());
}

PV_TEST(a_stopped_client_is_silent)
{
    up();
    assert_ok(pv_turnc_bind(f->c, &f->peer, f->now));
    pv_turnc_stop(f->c);
    assert_int_equal(event().type, PV_TURNC_DOWN);
    assert_false(next_request());
    assert_true(pv_turnc_next_timeout(f->c) == PV_NEVER);
}
