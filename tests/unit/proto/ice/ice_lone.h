/* SPDX-License-Identifier: MIT */
/*
 * ice_lone.h - one ICE agent with one address, whose other side a test plays by hand: requests and
 * answers as the test wants them.
 */
#pragma once

#include "proto/ice/ice.h"
#include "proto/stun/stun.h"
#include "tests/unit/test_util.h"

struct lone {
    struct test_rng seed;
    struct pv_rng rng;
    struct pv_ice_agent *agent;
    struct pv_ice_creds mine, theirs;
    struct pv_addr local, remote;
    pv_ns now;
    uint16_t answers_on;   /* the socket on which answer() comes in; 0: the one that asked */
    struct pv_addr silent; /* checks that go there are not answered */
    uint32_t nomination;   /* the newest that its checks carried */
};

/* One agent, one pair; the test plays the other side. */
static inline void lone_free(void *ctx)
{
    pv_ice_free(ctx);
}

static inline void lone_begin_beside(struct lone *l, struct pv_bucket_table *blind,
                                     bool controlling, bool foreign, bool described)
{
    *l = (struct lone){.now = PV_S(10)};
    l->rng = test_rng_make(&l->seed, 11);
    l->local = pv_addr4(192, 0, 2, 1, 1000);
    l->remote = pv_addr4(192, 0, 2, 2, 2000);
    struct pv_ice_config cfg = {
        .controlling = controlling, .foreign = foreign, .rng = l->rng, .blind = blind};
    pv_ice_make_creds(&l->rng, &cfg.local);
    l->mine = cfg.local;
    pv_ice_make_creds(&l->rng, &l->theirs);
    assert_ok(pv_ice_new(&l->agent, &cfg, l->now));
    test_defer(lone_free, l->agent);
    struct pv_ice_cand host = {.type = PV_ICE_HOST,
                               .addr = l->local,
                               .priority = pv_ice_priority(PV_ICE_HOST, 65000),
                               .carrier = {.local = l->local}};
    pv_ice_set_local(l->agent, &host, 1, l->now);
    host.addr = l->remote;
    if (described)
        assert_ok(pv_ice_set_remote(l->agent, &l->theirs, &host, 1, l->now));
}

static inline void lone_begin(struct lone *l, bool controlling, bool foreign, bool described)
{
    lone_begin_beside(l, NULL, controlling, foreign, described);
}

struct req {
    const char *to, *from, *pwd;
    bool no_priority, controlling, controlled, use_candidate, no_integrity;
    uint32_t nomination;
    uint16_t unknown;
    uint64_t tie;
};

static inline size_t write_request(const struct req *q, uint8_t *buf, size_t cap)
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
    assert_ok(pv_stun_write_end(&sw, &len));
    return len;
}

static inline struct req good_request(const struct lone *l)
{
    return (struct req){.to = l->mine.ufrag, .from = l->theirs.ufrag, .pwd = l->mine.pwd};
}

static inline int send_request(struct lone *l, const struct req *q, const struct pv_addr *src)
{
    uint8_t buf[256];
    struct pv_ice_carrier c = {.local = l->local};
    size_t len = write_request(q, buf, sizeof(buf));
    return pv_ice_handle_input(l->agent, &c, src, pv_view(buf, len), l->now);
}

/* Takes the next datagram and decodes it into *ret_msg (views into *tx). */
static inline int next_msg(struct lone *l, struct pv_ice_transmit *tx, struct pv_stun_msg *ret_msg)
{
    int r = pv_ice_poll_transmit(l->agent, tx);
    if (r == PV_OK)
        assert_ok(pv_stun_decode(pv_view(tx->buf, tx->len), ret_msg));
    return r;
}

static inline unsigned drain(struct lone *l)
{
    struct pv_ice_transmit tx;
    unsigned n = 0;
    while (pv_ice_poll_transmit(l->agent, &tx) == PV_OK)
        n++;
    return n;
}

/* Answers the request in tx as the other side would, seeing us at `mapped`. */
static inline int answer(struct lone *l, const struct pv_ice_transmit *tx,
                         const struct pv_addr *src, struct pv_addr mapped, const char *pwd)
{
    uint8_t buf[256];
    struct pv_stun_msg msg;
    struct pv_stun_writer sw;
    struct pv_ice_carrier c = {.local = l->local, .sock = l->answers_on};
    size_t len;
    assert_ok(pv_stun_decode(pv_view(tx->buf, tx->len), &msg));
    pv_stun_write_answer(&sw, buf, sizeof(buf), PV_STUN_SUCCESS, &msg);
    pv_stun_put_xor_addr(&sw, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped);
    pv_stun_put_integrity(&sw, pv_view(pwd, strlen(pwd)));
    pv_stun_put_fingerprint(&sw);
    assert_ok(pv_stun_write_end(&sw, &len));
    return pv_ice_handle_input(l->agent, &c, src, pv_view(buf, len), l->now);
}

/* Is there a valid pair with this other end? */
static inline bool is_proven(const struct lone *l, const struct pv_addr *remote)
{
    struct pv_ice_path paths[PV_ICE_MAX_PAIRS];
    size_t n = pv_ice_paths(l->agent, paths, PV_ARRAY_LEN(paths));
    for (size_t i = 0; i < n; i++) {
        if (paths[i].valid && pv_addr_equal(&paths[i].remote, remote))
            return true;
    }
    return false;
}
