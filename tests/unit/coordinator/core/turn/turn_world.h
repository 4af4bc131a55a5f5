/* SPDX-License-Identifier: MIT */
/*
 * turn_world.h - a TURN server and clients that write requests to it by hand, in virtual time.
 */
#pragma once

#include <malloc.h>

#include "base/bytes.h"
#include "coordinator/core/turn/turns.h"
#include "proto/stun/stun.h"
#include "proto/stun/turn.h"
#include "tests/unit/test_util.h"
#include "turn_counts.h"

static const uint8_t TW_COORD_PK[32] = {0xc0, 0x0d};
static const uint8_t TW_NET[16] = {1, 2, 3};
static const uint8_t TW_NET2[16] = {9, 9, 9};

struct tw {
    struct test_rng rng_state;
    struct pv_rng rng;
    struct pv_stuns *stuns;
    struct pv_turns_config cfg;
    struct pv_turns *turns;
    pv_ns now;
    uint32_t next_id;
    uint32_t serial; /* of the last welcome */
    uint8_t buf[PV_TURNS_BATCH][PV_TURNS_DATAGRAM_MAX];
    uint8_t request[1024]; /* the last one that was written */
    struct pv_stun_writer sw;
    struct pv_turns_out out; /* the last answer */
    struct pv_stun_msg msg;  /* of it, if it is STUN */
};

struct tw_client {
    struct pv_addr src;
    struct pv_addr local;
    uint32_t sock;
    uint64_t stream;
    char user[80];
    char password[80];
    char nonce[80];
    bool sha256;         /* with PASSWORD-ALGORITHM(S) and MESSAGE-INTEGRITY-SHA256 */
    bool userhash;       /* USERHASH for USERNAME */
    struct pv_addr virt; /* tw_member(): its relayed address */
};

static inline void tw_free(void *ctx)
{
    struct tw *w = ctx;
    pv_turns_free(w->turns);
    pv_stuns_free(w->stuns);
    free(w);
}

static inline struct tw *tw_new_with(const struct pv_turns_config *cfg)
{
    struct tw *w = test_alloc(sizeof(*w));
    test_defer(tw_free, w);
    w->rng = test_rng_make(&w->rng_state, 7);
    w->cfg = *cfg;
    w->cfg.enabled = true;
    w->cfg.coordinator_pk = TW_COORD_PK;
    w->now = PV_S(1000);
    assert_ok(pv_stuns_new(&w->stuns, &w->rng));
    assert_ok(pv_turns_new(&w->turns, &w->cfg, w->stuns, &w->rng));
    return w;
}

static inline struct tw *tw_new(void)
{
    return tw_new_with(&(struct pv_turns_config){0});
}

static inline struct tw_client tw_client(uint8_t host, uint16_t port)
{
    return (struct tw_client){.src = pv_addr4(198, 51, 100, host, port),
                              .local = pv_addr4(192, 0, 2, 1, 0)};
}

/* One datagram in; true when one comes out (w->out, and w->msg when it is STUN). */
static inline bool tw_in(struct tw *w, const struct tw_client *c, const void *data, size_t len)
{
    size_t n = 0;
    struct pv_turns_in in = {.src = c->src,
                             .local = c->local,
                             .sock = c->sock,
                             .stream = c->stream,
                             .ptr = w->buf[0],
                             .len = len};
    assert_true(len <= sizeof(w->buf[0]));
    memcpy(w->buf[0], data, len);
    assert_int_equal(pv_turns_batch(w->turns, &in, 1, w->now), 1);
    const struct pv_turns_out *out = pv_turns_out(w->turns, &n);
    if (n == 0)
        return false;
    assert_int_equal(n, 1);
    w->out = out[0];
    if (w->out.data.len >= 20 && w->out.data.ptr[0] < 4 && w->out.sock < PV_TURNS_RELAY0)
        assert_ok(pv_stun_decode(w->out.data, &w->msg));
    return true;
}

#if defined(__SANITIZE_ADDRESS__)
size_t __sanitizer_get_current_allocated_bytes(void); /* gcc has no header for it */
#endif

/* Bytes on the heap. */
static inline size_t heap_bytes(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return __sanitizer_get_current_allocated_bytes();
#else
    return mallinfo2().uordblks;
#endif
}

/* --- requests ------------------------------------------------------------------------------ */

/* The next request, to be written by w->sw into w->request. */
static inline void tw_begin(struct tw *w, uint16_t method)
{
    uint8_t txid[PV_STUN_TXID_LEN] = {'t', 'w'};
    pv_store_be32(txid + 8, ++w->next_id);
    pv_stun_write_begin(&w->sw, w->request, sizeof(w->request), PV_STUN_REQUEST, method, txid);
}

static inline struct pv_view tw_text(const char *text)
{
    return pv_view(text, strlen(text));
}

/* Adds the credentials; returns the length. */
static inline size_t tw_sign(const struct tw_client *c, struct pv_stun_writer *sw)
{
    static const uint8_t list[8] = {0, 2, 0, 0, 0, 1, 0, 0};
    struct pv_turnauth_key key;
    uint8_t hash[PV_SHA256_LEN];
    size_t len = 0;
    assert_ok(pv_turnauth_key(c->user, c->password, &key));
    if (c->userhash) {
        assert_ok(pv_turnauth_userhash(c->user, hash));
        pv_stun_put(sw, PV_STUN_ATTR_USERHASH, pv_view(hash, sizeof(hash)));
    } else {
        pv_stun_put(sw, PV_STUN_ATTR_USERNAME, tw_text(c->user));
    }
    pv_stun_put(sw, PV_STUN_ATTR_REALM, tw_text(PV_TURNAUTH_REALM));
    pv_stun_put(sw, PV_STUN_ATTR_NONCE, tw_text(c->nonce));
    if (c->sha256) {
        pv_stun_put(sw, PV_STUN_ATTR_PASSWORD_ALGORITHMS, pv_view(list, 8));
        pv_stun_put(sw, PV_STUN_ATTR_PASSWORD_ALGORITHM, pv_view(list, 4));
        pv_stun_put_integrity_sha256(sw, pv_view(key.sha256, sizeof(key.sha256)));
    } else {
        pv_stun_put_integrity(sw, pv_view(key.md5, sizeof(key.md5)));
    }
    assert_ok(pv_stun_write_end(sw, &len));
    return len;
}

/* The code of the answer: 0 success, else its error; -1: there was none. */
static inline int tw_code(struct tw *w, bool answered)
{
    unsigned code = 0;
    if (!answered)
        return -1;
    if (w->msg.cls == PV_STUN_SUCCESS)
        return 0;
    assert_int_equal(w->msg.cls, PV_STUN_ERROR);
    assert_ok(pv_stun_get_error(&w->msg, &code));
    return (int)code;
}

/* Takes the nonce of a 401 or 438. */
static inline void tw_take_nonce(struct tw *w, struct tw_client *c)
{
    struct pv_view v;
    assert_ok(pv_stun_find(&w->msg, PV_STUN_ATTR_NONCE, &v));
    assert_true(v.len < sizeof(c->nonce));
    memcpy(c->nonce, v.ptr, v.len);
    c->nonce[v.len] = '\0';
}

/* Signs and sends the request, once. */
static inline int tw_try(struct tw *w, const struct tw_client *c)
{
    return tw_code(w, tw_in(w, c, w->request, tw_sign(c, &w->sw)));
}

/* Signs and sends the request; a stale nonce is replaced once, as clients do (but under the same
 * transaction id, which addresses are masked with). */
static inline int tw_request(struct tw *w, struct tw_client *c)
{
    struct pv_stun_writer again = w->sw;
    int code = tw_try(w, c);
    if (code != PV_TURN_E_STALE_NONCE)
        return code;
    tw_take_nonce(w, c);
    return tw_code(w, tw_in(w, c, w->request, tw_sign(c, &again)));
}

/* An Allocate; family: 4, 6 or 0. */
static inline void tw_begin_allocate(struct tw *w, int family)
{
    tw_begin(w, PV_TURN_ALLOCATE);
    pv_stun_put_u32(&w->sw, PV_TURN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
    if (family != 0)
        pv_stun_put_u32(&w->sw, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY,
                        (family == 6 ? 2u : 1u) << 24);
}

static inline int tw_allocate(struct tw *w, struct tw_client *c, int family)
{
    tw_begin_allocate(w, family);
    return tw_request(w, c);
}

static inline int tw_refresh(struct tw *w, struct tw_client *c, uint32_t lifetime)
{
    tw_begin(w, PV_TURN_REFRESH);
    pv_stun_put_u32(&w->sw, PV_TURN_ATTR_LIFETIME, lifetime);
    return tw_request(w, c);
}

static inline int tw_bind(struct tw *w, struct tw_client *c, uint16_t number,
                          const struct pv_addr *peer)
{
    tw_begin(w, PV_TURN_CHANNEL_BIND);
    pv_stun_put_u32(&w->sw, PV_TURN_ATTR_CHANNEL_NUMBER, (uint32_t)number << 16);
    pv_stun_put_xor_addr(&w->sw, PV_TURN_ATTR_XOR_PEER_ADDRESS, peer);
    return tw_request(w, c);
}

static inline int tw_permit(struct tw *w, struct tw_client *c, const struct pv_addr *peers,
                            size_t n)
{
    tw_begin(w, PV_TURN_CREATE_PERMISSION);
    for (size_t i = 0; i < n; i++)
        pv_stun_put_xor_addr(&w->sw, PV_TURN_ATTR_XOR_PEER_ADDRESS, &peers[i]);
    return tw_request(w, c);
}

static inline bool tw_send(struct tw *w, const struct tw_client *c, const struct pv_addr *peer,
                           const char *text, bool df)
{
    uint8_t buf[512];
    uint8_t txid[12] = {1};
    struct pv_stun_writer sw;
    size_t len = 0;
    pv_stun_write_begin(&sw, buf, sizeof(buf), PV_STUN_INDICATION, PV_TURN_SEND, txid);
    pv_stun_put_xor_addr(&sw, PV_TURN_ATTR_XOR_PEER_ADDRESS, peer);
    pv_stun_put(&sw, PV_TURN_ATTR_DATA, tw_text(text));
    if (df)
        pv_stun_put(&sw, PV_TURN_ATTR_DONT_FRAGMENT, pv_view(NULL, 0));
    assert_ok(pv_stun_write_end(&sw, &len));
    return tw_in(w, c, buf, len);
}

static inline bool tw_channel_data(struct tw *w, const struct tw_client *c, uint16_t number,
                                   const char *text)
{
    uint8_t buf[512];
    pv_turn_channel_header(buf, number, (uint16_t)strlen(text));
    memcpy(buf + 4, text, strlen(text));
    return tw_in(w, c, buf, 4 + strlen(text));
}

/* The last output is ChannelData of that number and text. */
static inline void tw_assert_channel(const struct tw *w, uint16_t number, const char *text)
{
    uint16_t got = 0;
    struct pv_view data;
    assert_ok(pv_turn_channel_parse(w->out.data, &got, &data));
    assert_int_equal(got, number);
    assert_true(pv_view_equal(data, tw_text(text)));
    assert_int_equal(w->out.data.len, 4 + data.len);
}

/* The last output is a Data indication of that peer and text. */
static inline void tw_assert_data(const struct tw *w, const struct pv_addr *peer, const char *text)
{
    struct pv_addr got;
    struct pv_view data;
    assert_ok(pv_turn_indication_parse(w->out.data, PV_TURN_DATA, &got, &data));
    assert_true(pv_addr_equal(&got, peer));
    assert_true(pv_view_equal(data, tw_text(text)));
}

/* The relayed address of the last answer. */
static inline struct pv_addr tw_relayed(const struct tw *w)
{
    struct pv_addr a;
    assert_ok(pv_stun_get_xor_addr(&w->msg, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &a));
    return a;
}

/* --- members ------------------------------------------------------------------------------- */

static inline void tw_node(uint8_t i, uint8_t pk[static 32])
{
    memset(pk, i, 32);
}

static inline struct pv_addr tw_virtual(uint8_t i)
{
    uint8_t pk[32];
    tw_node(i, pk);
    return pv_turn_virtual_addr(TW_COORD_PK, pk);
}

/* A member's control channel comes up, and the relay says this of it: the client has what welcome
 * gives. */
static inline void tw_welcome_as(struct tw *w, struct tw_client *c, const uint8_t *net,
                                 const uint8_t *pk, int status)
{
    struct pv_turnauth_creds creds;
    uint8_t who[48];
    memcpy(who, net, 16);
    memcpy(who + 16, pk, 32);
    assert_int_equal(pv_turns_online(w->turns, net, pk, ++w->serial), status);
    pv_turnauth_welcome(pv_turns_auth(w->turns), pv_view(who, sizeof(who)), w->serial, w->now,
                        &creds);
    snprintf(c->user, sizeof(c->user), "%s", creds.user);
    snprintf(c->password, sizeof(c->password), "%s", creds.password);
    snprintf(c->nonce, sizeof(c->nonce), "%s", creds.nonce);
}

static inline void tw_welcome(struct tw *w, struct tw_client *c, const uint8_t *net,
                              const uint8_t *pk)
{
    tw_welcome_as(w, c, net, pk, PV_OK);
}

/* The same of node i. */
static inline void tw_online(struct tw *w, struct tw_client *c, const uint8_t *net, uint8_t i)
{
    uint8_t pk[32];
    tw_node(i, pk);
    tw_welcome(w, c, net, pk);
}

/* A member with an allocation. */
static inline struct tw_client tw_member(struct tw *w, uint8_t i)
{
    struct tw_client c = tw_client(i, (uint16_t)(40000 + i));
    c.virt = tw_virtual(i);
    tw_online(w, &c, TW_NET, i);
    assert_int_equal(tw_allocate(w, &c, 6), 0);
    return c;
}

/* Each of two members binds a channel to the other: 0x4001 is a's, 0x4002 is b's. */
static inline void tw_bind_both(struct tw *w, struct tw_client *a, struct tw_client *b)
{
    assert_int_equal(tw_bind(w, a, 0x4001, &b->virt), 0);
    assert_int_equal(tw_bind(w, b, 0x4002, &a->virt), 0);
}
