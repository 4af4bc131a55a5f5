/* SPDX-License-Identifier: MIT */
/*
 * session_world.h - two nodes with a session to each other, a lossy wire and a pretended fast path,
 * in virtual time; for test_session*.c.
 */
#pragma once

#include "crypto/ct.h"
#include "proto/wireguard/cookie.h"
#include "proto/wireguard/session.h"
#include "tests/unit/test_util.h"

enum {
    W_KEYS = 8,     /* a node's receive keys */
    W_WIRE = 256,   /* datagrams under way */
    W_STEPS = 20000 /* of one run: more is a machine that spins */
};

struct w_key {
    bool used, proven;
    uint32_t index;
    struct pv_wg_keys keys;
    pv_ns born;
};

struct w_node {
    struct pv_wg_device dev, old_dev;
    struct pv_session *session;
    struct pv_cookie_checker *checker;
    bool under_load;
    uint32_t next_index;
    uint32_t indices; /* taken and not gone */
    struct w_key keys[W_KEYS];
    uint32_t use; /* index to send with, 0 = none */
    struct pv_session_traffic seen;
    uint64_t stamp_us; /* wall clock passed in */
    struct pv_session_transmit last_tx;
    const struct pv_wg_device *agreed; /* of the newest handshake that was proven */
    /* counters */
    unsigned msg1, msg2, cookies, done, done_initiator, give_ups, keepalives, data_in;
    pv_ns last_msg1;
    int last_status; /* of the last _handle_ call */
};

struct w_packet {
    bool used, data;
    int to;
    pv_ns due;
    enum pv_session_reach via;
    uint32_t index;
    uint8_t key[32];
    bool empty;
    size_t len;
    uint8_t msg[PV_WGMSG_INITIATION_LEN];
};

struct world {
    struct test_rng r;
    struct pv_rng rng;
    pv_ns now;
    struct w_node n[2];
    struct w_packet wire[W_WIRE];
    pv_ns delay;
    unsigned loss;    /* per cent of datagrams */
    bool cut[2];      /* nothing arrives at that node */
    bool no_messages; /* handshake messages are lost, data goes through */
};

struct w_options {
    bool members;
    bool repeat;
    uint16_t persistent; /* of node 0 */
    bool other_psk;      /* node 1 has another one */
    enum pv_suite suite[2];
    bool strict; /* each takes its own suite only, as static peers do */
    uint64_t seed;
};

static inline struct pv_session *w_session(const struct world *w, int i, int peer,
                                           const struct w_options *o)
{
    struct pv_session_config cfg = {
        .device = &w->n[i].dev,
        .member = o->members,
        .repeat = o->repeat,
        .lower_identity = i == 0,
        .persistent_keepalive = i == 0 ? o->persistent : 0,
        .suite = o->suite[i],
        .takes = {!o->strict, !o->strict},
        .rng = w->rng,
    };
    struct pv_session *s = NULL;
    cfg.takes[o->suite[i]] = true;
    memcpy(cfg.remote_pk, w->n[peer].dev.keys.pk, 32);
    if (!o->members)
        memset(cfg.psk, 0x77, sizeof(cfg.psk));
    if (o->other_psk && i == 1)
        cfg.psk[0] ^= 1;
    assert_int_equal(pv_session_new(&s, &cfg), PV_OK);
    return s;
}

static inline void w_free(void *ctx)
{
    struct world *w = ctx;
    for (int i = 0; i < 2; i++) {
        pv_session_free(w->n[i].session);
        pv_cookie_checker_free(w->n[i].checker);
    }
    free(w);
}

/* Node 0 has the lower identity key. Both can reach each other by UDP, one way 20 ms. */
static inline struct world *w_new(struct w_options o)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    test_defer(w_free, w);
    w->rng = test_rng_make(&w->r, o.seed + 1);
    w->now = PV_S(1000);
    w->delay = PV_MS(20);
    for (int i = 0; i < 2; i++) {
        uint8_t sk[32];
        pv_rng_fill(&w->rng, sk, sizeof(sk));
        pv_wg_device_init(&w->n[i].dev, test_keep_key(sk));
        w->n[i].next_index = 0x1000 * (uint32_t)(i + 1);
        w->n[i].stamp_us = 1700000000000000u;
        assert_int_equal(pv_cookie_checker_new(&w->n[i].checker, &w->rng), PV_OK);
    }
    for (int i = 0; i < 2; i++) {
        w->n[i].session = w_session(w, i, 1 - i, &o);
        pv_session_set_reach(w->n[i].session, PV_SESSION_BY_UDP, w->now);
    }
    return w;
}

static inline struct w_packet *w_put(struct world *w, int to)
{
    static struct w_packet lost;
    if (pv_rng_below(&w->rng, 100) < w->loss)
        return &lost;
    for (size_t i = 0; i < W_WIRE; i++) {
        struct w_packet *p = &w->wire[i];
        if (p->used)
            continue;
        *p = (struct w_packet){.used = true, .to = to, .due = w->now + w->delay};
        return p;
    }
    fail_msg("the wire is full");
    return &lost;
}

static inline struct w_key *w_find_key(struct w_node *n, uint32_t index)
{
    for (size_t i = 0; i < W_KEYS; i++) {
        if (n->keys[i].used && n->keys[i].index == index)
            return &n->keys[i];
    }
    return NULL;
}

/* Sends a packet under the keys in use; false without any. */
static inline bool w_send(struct world *w, int from, bool empty)
{
    struct w_node *n = &w->n[from];
    struct w_key *k = n->use == 0 ? NULL : w_find_key(n, n->use);
    if (k == NULL || w->now >= k->born + PV_SESSION_SEND_FOR)
        return false;
    struct w_packet *p = w_put(w, 1 - from);
    p->data = true;
    p->empty = empty;
    p->index = k->keys.remote_index;
    memcpy(p->key, k->keys.send, 32);
    n->seen.any_sent = w->now;
    if (!empty)
        n->seen.data_sent = w->now;
    n->seen.sent++;
    pv_session_note_traffic(n->session, &n->seen, w->now);
    return true;
}

static inline void w_add_key(struct w_node *n, const struct pv_session_event *e)
{
    for (size_t i = 0; i < W_KEYS; i++) {
        struct w_key *k = &n->keys[i];
        if (k->used)
            continue;
        *k = (struct w_key){.used = true, .index = e->index, .keys = e->keys, .born = e->born};
        k->proven = e->initiator;
        return;
    }
    fail_msg("more keys than slots");
}

static inline void w_event(struct world *w, int i, struct pv_session_event *e)
{
    struct w_node *n = &w->n[i];
    struct w_key *k = w_find_key(n, e->index);
    switch (e->type) {
    case PV_SESSION_KEYS:
        assert_null(k);
        w_add_key(n, e);
        break;
    case PV_SESSION_USE:
        assert_non_null(k);
        n->use = e->index;
        break;
    case PV_SESSION_INDEX_GONE:
        assert_true(n->indices > 0);
        n->indices--;
        if (k != NULL)
            k->used = false;
        break;
    case PV_SESSION_DONE:
        n->done++;
        n->agreed = e->device;
        n->done_initiator += e->initiator ? 1u : 0u;
        break;
    case PV_SESSION_GIVE_UP:
        n->give_ups++;
        break;
    case PV_SESSION_SEND_KEEPALIVE:
        n->keepalives += w_send(w, i, true) ? 1u : 0u;
        break;
    }
}

static inline void w_drain(struct world *w, int i)
{
    struct w_node *n = &w->n[i];
    for (bool more = true; more;) {
        struct pv_session_transmit tx;
        struct pv_session_event e;
        more = false;
        while (pv_session_poll_transmit(n->session, n->next_index, n->stamp_us, w->now, &tx) ==
               PV_OK) {
            more = true;
            n->last_tx = tx;
            if (tx.took_index) {
                n->next_index += 0x100;
                n->indices++;
            }
            if (tx.type == PV_WGMSG_INITIATION) {
                n->msg1++;
                n->last_msg1 = w->now;
            } else {
                n->msg2++;
            }
            if (w->no_messages)
                continue;
            struct w_packet *p = w_put(w, 1 - i);
            p->via = tx.via;
            p->len = tx.len;
            memcpy(p->msg, tx.msg, tx.len);
        }
        while (pv_session_poll_event(n->session, &e) == PV_OK) {
            more = true;
            w_event(w, i, &e);
        }
    }
}

static inline int w_initiation(struct world *w, int i, const struct w_packet *p)
{
    struct w_node *n = &w->n[i];
    struct pv_wg_initiation in;
    struct pv_view msg = pv_view(p->msg, p->len);
    int r = pv_wgmsg_identify(&n->dev, msg, &in);
    if (r < 0)
        r = pv_wgmsg_identify(&n->old_dev, msg, &in);
    if (r < 0)
        return r;
    return pv_session_handle_initiation(n->session, &in, p->via, w->now);
}

static inline void w_message(struct world *w, const struct w_packet *p)
{
    struct w_node *n = &w->n[p->to];
    struct pv_view msg = pv_view(p->msg, p->len);
    struct pv_addr src = pv_addr4(192, 0, 2, (uint8_t)(1 + p->to), 1000);
    uint8_t type = 0;
    assert_int_equal(pv_wgmsg_type(msg, &type), PV_OK);
    if (type == PV_WGMSG_COOKIE) {
        n->last_status = pv_session_handle_cookie(n->session, msg, w->now);
        return;
    }
    if (p->via == PV_SESSION_BY_UDP) {
        const struct pv_wg_device *dev = pv_wgmsg_mac1_ok(&n->old_dev, msg) ? &n->old_dev : &n->dev;
        enum pv_cookie_verdict v =
            pv_cookie_check(n->checker, dev, msg, &src, n->under_load, w->now);
        if (v == PV_COOKIE_REPLY) {
            struct w_packet *c = w_put(w, 1 - p->to);
            c->via = PV_SESSION_BY_UDP;
            c->len = PV_WGMSG_COOKIE_LEN;
            pv_cookie_reply(n->checker, dev, msg, &src, w->now, c->msg);
            n->cookies++;
        }
        if (v != PV_COOKIE_ACCEPT)
            return;
    }
    n->last_status = type == PV_WGMSG_INITIATION
                         ? w_initiation(w, p->to, p)
                         : pv_session_handle_response(n->session, msg, w->now);
}

static inline void w_deliver(struct world *w, struct w_packet *p)
{
    struct w_node *n = &w->n[p->to];
    p->used = false;
    if (w->cut[p->to])
        return;
    if (!p->data) {
        struct w_packet copy = *p;
        w_message(w, &copy);
        return;
    }
    struct w_key *k = w_find_key(n, p->index);
    if (k == NULL || w->now >= k->born + PV_SESSION_REJECT_AFTER)
        return;
    assert_memory_equal(k->keys.recv, p->key, 32); /* both sides made the same keys */
    n->seen.any_received = w->now;
    if (!p->empty) {
        n->seen.data_received = w->now;
        n->data_in++;
    }
    uint32_t index = k->index;
    bool proven = k->proven;
    k->proven = true;
    if (!proven)
        pv_session_confirm(n->session, index, w->now);
    pv_session_note_traffic(n->session, &n->seen, w->now);
}

static inline struct w_packet *w_next_packet(struct world *w)
{
    struct w_packet *first = NULL;
    for (size_t i = 0; i < W_WIRE; i++) {
        struct w_packet *p = &w->wire[i];
        if (p->used && (first == NULL || p->due < first->due))
            first = p;
    }
    return first;
}

/* Runs until that much time has passed. */
static inline void w_run(struct world *w, pv_ns duration)
{
    pv_ns end = w->now + duration;
    for (unsigned step = 0;; step++) {
        if (step > W_STEPS)
            fail_msg("a machine spins at %llu ms", (unsigned long long)(w->now / PV_MS(1)));
        w_drain(w, 0);
        w_drain(w, 1);
        struct w_packet *p = w_next_packet(w);
        pv_ns next = p == NULL ? PV_NEVER : p->due;
        for (int i = 0; i < 2; i++)
            next = pv_min_ns(next, pv_session_next_timeout(w->n[i].session));
        if (next > end)
            break;
        if (next > w->now)
            w->now = next;
        if (p != NULL && p->due <= w->now)
            w_deliver(w, p);
        for (int i = 0; i < 2; i++)
            pv_session_handle_timeout(w->n[i].session, w->now);
    }
    w->now = end;
    for (int i = 0; i < 2; i++) {
        w->n[i].stamp_us += duration / 1000;
        pv_session_handle_timeout(w->n[i].session, end);
        w_drain(w, i);
    }
}

static inline void w_want(struct world *w, int i)
{
    pv_session_want(w->n[i].session, w->now);
    w_drain(w, i);
}

static inline void w_reach(struct world *w, int i, enum pv_session_reach reach)
{
    pv_session_set_reach(w->n[i].session, reach, w->now);
    w_drain(w, i);
}

/* A complete handshake begun by node i. */
static inline void w_connect(struct world *w, int i)
{
    w_want(w, i);
    w_run(w, PV_MS(200));
    assert_true(pv_session_has_keys(w->n[0].session, w->now));
    assert_true(pv_session_has_keys(w->n[1].session, w->now));
}
