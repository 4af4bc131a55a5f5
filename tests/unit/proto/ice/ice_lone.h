/* SPDX-License-Identifier: MIT */
/*
 * ice_lone.h - one ICE agent with one address, whose other side a test plays by hand: requests and
 * answers as the test wants them.
 */
#pragma once

#include "proto/ice/ice.h"
#include "proto/stun/stun.h"
#include "tests/unit/test_util.h"

static inline struct pv_ice_cand host_cand(struct pv_addr a)
{
    return (struct pv_ice_cand){.type = PV_ICE_HOST,
                                .addr = a,
                                .priority = pv_ice_priority(PV_ICE_HOST, 65000),
                                .carrier = {.local = a}};
}

struct lone {
    struct test_rng seed;
    struct pv_rng rng;
    struct pv_ice_agent *agent;
    struct pv_ice_creds mine, theirs;
    struct pv_addr local, remote;
    pv_ns now;
    uint16_t answers_on;       /* the socket on which answer() comes in; 0: the one that asked */
    struct pv_addr silent;     /* checks that go there are not answered */
    uint32_t nomination;       /* the newest that its checks carried */
    struct pv_ice_transmit tx; /* taken last, */
    struct pv_stun_msg msg;    /* and what it says */
};

/* Of an agent. DESCRIBED: the other side has told it of its one address. */
enum {
    CONTROLLING = 1,
    FOREIGN = 2,
    DESCRIBED = 4,
};

static inline void lone_free(void *ctx)
{
    struct lone *l = ctx;
    pv_ice_free(l->agent);
    free(l);
}

/* One agent, one pair; the test plays the other side. */
static inline struct lone *lone_beside(struct pv_bucket_table *blind, unsigned flags)
{
    struct lone *l = test_alloc(sizeof(*l));
    l->now = PV_S(10);
    l->rng = test_rng_make(&l->seed, 11);
    l->local = pv_addr4(192, 0, 2, 1, 1000);
    l->remote = pv_addr4(192, 0, 2, 2, 2000);
    struct pv_ice_config cfg = {.controlling = flags & CONTROLLING,
                                .foreign = flags & FOREIGN,
                                .rng = l->rng,
                                .blind = blind};
    pv_ice_make_creds(&l->rng, &cfg.local);
    l->mine = cfg.local;
    pv_ice_make_creds(&l->rng, &l->theirs);
    assert_ok(pv_ice_new(&l->agent, &cfg, l->now));
    test_defer(lone_free, l);
    const struct pv_ice_cand own = host_cand(l->local), theirs = host_cand(l->remote);
    pv_ice_set_local(l->agent, &own, 1, l->now);
    if ((flags & DESCRIBED) != 0)
        assert_ok(pv_ice_set_remote(l->agent, &l->theirs, &theirs, 1, l->now));
    return l;
}

static inline struct lone *lone_new(unsigned flags)
{
    return lone_beside(NULL, flags);
}

static inline void describe(struct lone *l, const struct pv_ice_cand *theirs, size_t n)
{
    assert_ok(pv_ice_set_remote(l->agent, &l->theirs, theirs, n, l->now));
}

/* --- what it uses ---------------------------------------------------------------------------- */

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

/* Is the path to this address the one in use? */
static inline bool uses(const struct lone *l, const struct pv_addr *remote)
{
    struct pv_ice_path path;
    return pv_ice_selected(l->agent, &path) == PV_OK && pv_addr_equal(&path.remote, remote);
}

/* --- the other side's requests --------------------------------------------------------------- */

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
    struct pv_stun_writer sw;
    size_t len;
    const char *username = PV_STR("%s:%s", q->to, q->from);
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

/* A check of the peer from there. */
static inline void check_from(struct lone *l, const struct pv_addr *src)
{
    const struct req q = good_request(l);
    assert_ok(send_request(l, &q, src));
}

/* One that nominates the pair. */
static inline void nominate(struct lone *l, uint32_t nomination, const struct pv_addr *src)
{
    struct req q = good_request(l);
    q.nomination = nomination;
    assert_ok(send_request(l, &q, src));
}

/* --- its requests, and the other side's answers ---------------------------------------------- */

/* Takes the next datagram and decodes it: l->tx and l->msg. */
static inline int next_msg(struct lone *l)
{
    int r = pv_ice_poll_transmit(l->agent, &l->tx);
    if (r == PV_OK)
        assert_ok(pv_stun_decode(pv_view(l->tx.buf, l->tx.len), &l->msg));
    return r;
}

static inline void tick(struct lone *l)
{
    pv_ice_handle_timeout(l->agent, l->now);
}

/* Takes the check that is due now. */
static inline void take_check(struct lone *l)
{
    tick(l);
    assert_ok(next_msg(l));
}

static inline unsigned drain(struct lone *l)
{
    unsigned n = 0;
    while (pv_ice_poll_transmit(l->agent, &l->tx) == PV_OK)
        n++;
    return n;
}

/* An answer to the request, which says that it came from `mapped`; its length. */
static inline size_t write_answer(const struct pv_stun_msg *request, struct pv_addr mapped,
                                  const char *pwd, uint8_t *buf, size_t cap)
{
    struct pv_stun_writer sw;
    size_t len;
    pv_stun_write_answer(&sw, buf, cap, PV_STUN_SUCCESS, request);
    pv_stun_put_xor_addr(&sw, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped);
    pv_stun_put_integrity(&sw, pv_view(pwd, strlen(pwd)));
    pv_stun_put_fingerprint(&sw);
    assert_ok(pv_stun_write_end(&sw, &len));
    return len;
}

/* Answers the request in tx as the other side would, seeing us at `mapped`. */
static inline int answer(struct lone *l, const struct pv_ice_transmit *tx,
                         const struct pv_addr *src, struct pv_addr mapped, const char *pwd)
{
    uint8_t buf[256];
    struct pv_stun_msg msg;
    struct pv_ice_carrier c = {.local = l->local, .sock = l->answers_on};
    assert_ok(pv_stun_decode(pv_view(tx->buf, tx->len), &msg));
    size_t len = write_answer(&msg, mapped, pwd, buf, sizeof(buf));
    return pv_ice_handle_input(l->agent, &c, src, pv_view(buf, len), l->now);
}

/* The request in tx went to its peer's one address, which answers it. */
static inline void answer_check(struct lone *l, const struct pv_ice_transmit *tx)
{
    assert_ok(answer(l, tx, &l->remote, l->local, l->theirs.pwd));
}

/* Answers the checks that go to this address, and no others; how many. */
static inline unsigned answer_at(struct lone *l, const struct pv_addr *there)
{
    unsigned n = 0;
    while (next_msg(l) == PV_OK) {
        if (l->msg.cls != PV_STUN_REQUEST || !pv_addr_equal(&l->tx.dst, there))
            continue;
        assert_ok(answer(l, &l->tx, there, l->local, l->theirs.pwd));
        n++;
    }
    return n;
}
