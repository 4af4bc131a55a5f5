/* SPDX-License-Identifier: MIT */
/*
 * relayway_world.h - a way to a relay, and the server, for tests of daemon/core/relay/relayway.h.
 */
#pragma once

#include "base/bytes.h"
#include "crypto/ct.h"
#include "daemon/core/relay/relayway.h"
#include "tests/unit/test_util.h"

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

static inline void free_way(void *ctx)
{
    pv_relayway_free(ctx);
}

static inline void setup(struct fixture *f, bool stock)
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
    assert_int_equal(pv_turn_key("u", "r", "p", f->key), PV_OK);
    assert_int_equal(pv_relayway_new(&f->r, VIA, &f->rng), PV_OK);
    test_defer(free_way, f->r);
}

static inline bool next_request(struct fixture *f)
{
    struct pv_relayway_message m = {.buf = f->req, .cap = sizeof(f->req)};
    pv_relayway_handle_timeout(f->r, f->now);
    if (pv_relayway_poll_transmit(f->r, &m) != PV_OK)
        return false;
    f->stream = m.stream;
    assert_int_equal(pv_stun_decode(pv_view(f->req, m.len), &f->msg), PV_OK);
    return true;
}

static inline void expect(struct fixture *f, uint16_t method, uint16_t stream)
{
    assert_true(next_request(f));
    assert_int_equal(f->msg.method, method);
    assert_int_equal(f->stream, stream);
}

/* Success, by the way the request went. */
static inline void answer(struct fixture *f)
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
    assert_int_equal(pv_stun_write_end(&w, &len), PV_OK);
    assert_int_equal(pv_relayway_handle_input(f->r, &from, pv_view(buf, len), f->now), PV_OK);
}

static inline void take_event(void *owner, uint16_t via, const struct pv_relayway_event *ev)
{
    struct fixture *f = owner;
    assert_int_equal(via, VIA);
    f->n_ways += ev->type == PV_RELAYWAY_EV_WAY;
    if (ev->type == PV_RELAYWAY_EV_ERROR)
        f->words = pv_relayway_error(f->r);
}

/* Takes all events; how many said that the way is another. */
static inline unsigned ways(struct fixture *f)
{
    f->n_ways = 0;
    (void)pv_relayway_speak(f->r, take_event, f, f->now);
    return f->n_ways;
}

static inline uint16_t opened(struct fixture *f)
{
    struct pv_relaystream_op op;
    pv_relayway_handle_timeout(f->r, f->now);
    if (pv_relayway_poll_op(f->r, &op) != PV_OK)
        return 0;
    assert_true(op.open && op.to.tls && op.to.addr.port == 443);
    assert_int_equal(pv_relayway_of_stream(op.stream), VIA);
    return op.stream;
}

static inline bool closed(struct fixture *f, uint16_t stream)
{
    struct pv_relaystream_op op;
    return pv_relayway_poll_op(f->r, &op) == PV_OK && !op.open && op.stream == stream;
}

/* Requests meanwhile are not answered. */
static inline void sleep_until_due(struct fixture *f)
{
    while (next_request(f))
        continue;
    (void)ways(f);
    pv_ns next = pv_relayway_next_timeout(f->r);
    assert_true(next != PV_NEVER);
    f->now = next > f->now ? next : f->now;
    pv_relayway_handle_timeout(f->r, f->now);
}

static inline void up_by_udp(struct fixture *f, bool stock)
{
    setup(f, stock);
    assert_int_equal(pv_relayway_start(f->r, &f->cfg, f->now), PV_OK);
    expect(f, PV_TURN_ALLOCATE, 0);
    answer(f);
    assert_int_equal(ways(f), 1);
    assert_int_equal(pv_relayway_way(f->r), PV_RELAYWAY_UDP);
    assert_string_equal(pv_relayway_transport(f->r), "udp");
}

static inline uint16_t up_by_stream(struct fixture *f, bool stock)
{
    up_by_udp(f, stock);
    pv_relayway_set_blocked(f->r, true, f->now);
    uint16_t stream = opened(f);
    assert_int_not_equal(stream, 0);
    pv_relayway_connected(f->r, stream, f->now);
    expect(f, PV_TURN_ALLOCATE, stream);
    assert_int_equal(pv_relayway_way(f->r),
                     PV_RELAYWAY_UDP); /* as long as nothing better is there */
    answer(f);
    assert_int_equal(ways(f), 1);
    assert_int_equal(pv_relayway_way(f->r), PV_RELAYWAY_STREAM);
    assert_string_equal(pv_relayway_transport(f->r), "tls");
    return stream;
}
