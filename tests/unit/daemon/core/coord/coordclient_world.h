/* SPDX-License-Identifier: MIT */
/* coordclient_world.h - the coordinator client against scripted servers, in virtual time. */
#pragma once

#include <stdio.h>

#include "crypto/ct.h"
#include "crypto/dh.h"
#include "crypto/sign.h"
#include "daemon/core/coord/coordclient.h"
#include "daemon/core/coord/coordwait.h"
#include "proto/control/control.h"
#include "tests/unit/test_util.h"

enum {
    MAX_STREAMS = 64
};

/* The behaviour of a server at an address. */
enum behaviour {
    SERVES,  /* speaks the protocol */
    HANGS,   /* the connection never comes up */
    REFUSES, /* the connection is refused */
    MUTE,    /* accepts, and says nothing */
    EARLIER, /* serves who begins as every version did, and closes on others, as it then did */
    PAUSES,  /* nothing comes up, and what is up waits, as TCP does while a link is down */
};

struct stream {
    uint32_t sid; /* 0 = slot unused */
    struct pv_addr addr;
    bool tls;
    struct pv_control *server;
    bool open;
};

struct world {
    struct test_rng seed;
    struct pv_rng rng;
    uint8_t sign_sk[PV_SIGN_SK_LEN], sign_pk[PV_SIGN_PK_LEN];
    uint8_t dh_sk[32], dh_pk[32];
    uint8_t coord_sk[PV_SIGN_SK_LEN], coord_pk[PV_SIGN_PK_LEN], coord_dh[32];
    enum behaviour behaviours[8]; /* by the last byte of the address */
    struct pv_coordclient *client;
    struct pv_streams shell; /* what it is asked for */
    struct pv_fifo events;
    pv_ns now;
    struct stream streams[MAX_STREAMS];
    size_t n_opened, n_closed;
    struct pv_ctl_msg *request; /* the newest at any server, owned */
    struct stream *requester;
    bool silent;                   /* servers do not answer */
    uint8_t home;                  /* the last byte of the only one that is; 0: all are */
    bool tells;                    /* the others say 192.0.2.7 */
    enum pv_ctl_error hello_error; /* answer to hello, PV_CTL_E_NONE: welcome */
    size_t n_hellos, n_pings;
    struct pv_coordclient_event last[6]; /* newest of each type */
    size_t n_events[6];
};

static inline struct pv_addr addr_of(uint8_t i)
{
    return pv_addr4(192, 0, 2, i, 3478);
}

static inline void world_free(void *ctx)
{
    struct world *w = ctx;
    pv_coordclient_free(w->client);
    pv_streams_done(&w->shell);
    for (size_t i = 0; i < MAX_STREAMS; i++)
        pv_control_free(w->streams[i].server);
    for (size_t i = 0; i < PV_ARRAY_LEN(w->last); i++)
        pv_ctl_msg_free(w->last[i].msg);
    pv_ctl_msg_free(w->request);
    free(w);
}

static inline struct world *world_make(void)
{
    struct world *w = calloc(1, sizeof(*w));
    uint8_t seed[32];
    assert_non_null(w);
    test_defer(world_free, w);
    w->rng = test_rng_make(&w->seed, 1);
    pv_rng_fill(&w->rng, seed, sizeof(seed));
    pv_sign_keypair(seed, w->sign_sk, w->sign_pk);
    pv_dh_keypair(&w->rng, w->dh_sk, w->dh_pk);
    pv_rng_fill(&w->rng, seed, sizeof(seed));
    pv_sign_keypair(seed, w->coord_sk, w->coord_pk);
    pv_sign_sk_to_dh(w->coord_sk, w->coord_dh);
    w->now = PV_S(1000);
    struct pv_coordclient_config cfg = {.rng = w->rng,
                                        .sign_sk = w->sign_sk,
                                        .sign_pk = w->sign_pk,
                                        .dh_sk = w->dh_sk,
                                        .streams = &w->shell,
                                        .kind = PV_STREAM_COORD,
                                        .events = &w->events};
    assert_int_equal(pv_coordclient_new(&w->client, &cfg), PV_OK);
    return w;
}

static inline struct stream *by_sid(struct world *w, uint32_t sid)
{
    for (size_t i = 0; i < MAX_STREAMS; i++) {
        if (w->streams[i].sid == sid && sid != 0)
            return &w->streams[i];
    }
    return NULL;
}

static inline void server_send(struct stream *s, struct pv_ctl_msg msg)
{
    static uint8_t text[PV_CTL_TEXT_MAX];
    size_t len;
    assert_int_equal(pv_ctl_build(&msg, text, sizeof(text), &len), PV_OK);
    assert_int_equal(pv_control_send(s->server, pv_view(text, len)), PV_OK);
}

static inline struct pv_ctl_msg answer_to(const struct pv_ctl_msg *req, enum pv_ctl_type type)
{
    return (struct pv_ctl_msg){.kind = PV_CTL_ANSWER, .type = type, .id = req->id};
}

/* Another coordinator than the one with this address is the home. */
static inline bool is_elsewhere(const struct world *w, const struct stream *s)
{
    return w->home != 0 && s->addr.ip[3] != w->home;
}

static inline struct pv_ctl_failure moved_to(const struct world *w)
{
    static const char *const nowhere[] = {"192.0.2.7:3478"};
    return (struct pv_ctl_failure){
        .error = PV_CTL_E_MOVED, .message = "there", .n_to = w->tells ? 1 : 0, .to = nowhere};
}

static inline void server_hello(struct world *w, struct stream *s, const struct pv_ctl_msg *req)
{
    uint8_t hash[PV_CONTROL_HASH_LEN], remote[32];
    w->n_hellos++;
    assert_int_equal(pv_control_handshake_hash(s->server, hash), PV_OK);
    assert_int_equal(pv_control_remote_static(s->server, remote), PV_OK);
    assert_memory_equal(remote, w->dh_pk, 32);
    assert_memory_equal(req->u.hello.node, w->sign_pk, 32);
    assert_int_equal(pv_ctl_hello_verify(&req->u.hello, hash), PV_OK);
    struct pv_ctl_msg m = answer_to(req, PV_CTL_WELCOME);
    m.u.welcome.time_us = 1700000000000000;
    if (is_elsewhere(w, s)) {
        m = answer_to(req, PV_CTL_ERROR);
        m.u.failure = moved_to(w);
    } else if (w->hello_error != PV_CTL_E_NONE) {
        m = answer_to(req, PV_CTL_ERROR);
        m.u.failure.error = w->hello_error;
        m.u.failure.message = "no";
    }
    server_send(s, m);
}

static inline void serve(struct world *w, struct stream *s, struct pv_view text)
{
    struct pv_ctl_msg *req;
    assert_int_equal(pv_ctl_parse(text, &req), PV_OK);
    w->n_pings += req->type == PV_CTL_PING;
    if (!w->silent && req->type == PV_CTL_HELLO)
        server_hello(w, s, req);
    if (!w->silent && req->type == PV_CTL_PING)
        server_send(s, answer_to(req, PV_CTL_PONG));
    pv_ctl_msg_free(w->request);
    w->request = req;
    w->requester = s;
}

static inline void open_stream(struct world *w, const struct pv_stream_op *op)
{
    enum behaviour b = w->behaviours[op->addr.ip[3]];
    struct stream *s = NULL;
    w->n_opened++;
    assert_null(by_sid(w, op->sid));
    if (b == REFUSES) {
        pv_coordclient_closed(w->client, op->sid, -111, w->now);
        return;
    }
    for (size_t i = 0; i < MAX_STREAMS && s == NULL; i++)
        s = w->streams[i].sid == 0 ? &w->streams[i] : NULL;
    assert_non_null(s);
    *s = (struct stream){.sid = op->sid, .addr = op->addr, .tls = op->tls};
    if (b == HANGS || b == PAUSES)
        return;
    assert_int_equal(pv_control_new_server(&s->server, w->coord_dh, NULL, &w->rng), PV_OK);
    s->open = true;
    pv_coordclient_connected(w->client, s->sid);
}

static inline void drop_stream(struct stream *s)
{
    pv_control_free(s->server);
    *s = (struct stream){0};
}

/* The server's side closes. */
static inline void hang_up(struct world *w, struct stream *s)
{
    uint32_t sid = s->sid;
    drop_stream(s);
    pv_coordclient_closed(w->client, sid, PV_ERR_CLOSED, w->now);
}

static inline bool serves(const struct world *w, const struct stream *s)
{
    enum behaviour b = w->behaviours[s->addr.ip[3]];
    return b == SERVES || b == EARLIER;
}

/* The behaviour of a version that knows one preamble. */
static inline bool closes_on(const struct world *w, const struct stream *s, struct pv_view begin)
{
    return w->behaviours[s->addr.ip[3]] == EARLIER &&
           pv_control_state(s->server) == PV_CONTROL_OPENING &&
           (begin.len < 9 || memcmp(begin.ptr, "P2PVPN/1\n", 9) != 0);
}

static inline bool to_server(struct world *w, struct stream *s)
{
    struct pv_view out = pv_coordclient_out(w->client, s->sid), text;
    if (!s->open || out.len == 0 || w->behaviours[s->addr.ip[3]] == PAUSES)
        return false;
    if (closes_on(w, s, out)) {
        hang_up(w, s);
        return true;
    }
    if (serves(w, s)) {
        size_t used = 0;
        while (used < out.len) {
            size_t n;
            int r = pv_control_handle_bytes(s->server, pv_view(out.ptr + used, out.len - used), &n);
            if (r != PV_OK) {
                hang_up(w, s);
                return true;
            }
            used += n;
            while (pv_control_poll_message(s->server, &text) == PV_OK)
                serve(w, s, text);
        }
    }
    pv_coordclient_wrote(w->client, s->sid, out.len);
    return true;
}

static inline bool to_client(struct world *w, struct stream *s)
{
    struct pv_view out = s->server == NULL ? pv_view(NULL, 0) : pv_control_out(s->server);
    uint8_t copy[70000];
    if (out.len == 0 || !serves(w, s))
        return false;
    size_t n = out.len < sizeof(copy) ? out.len : sizeof(copy);
    memcpy(copy, out.ptr, n);
    pv_control_wrote(s->server, n);
    pv_coordclient_handle_bytes(w->client, s->sid, pv_view(copy, n), w->now);
    return true;
}

/* Moves bytes and operations until nothing moves. */
static inline void pump(struct world *w)
{
    bool moved = true;
    while (moved) {
        struct pv_stream_op op;
        struct pv_coordclient_event ev;
        moved = false;
        while (pv_streams_next_op(&w->shell, &op) == PV_OK) {
            moved = true;
            struct stream *s = by_sid(w, op.sid);
            if (op.type == PV_STREAM_OPEN) {
                open_stream(w, &op);
            } else if (s != NULL) {
                w->n_closed++;
                drop_stream(s);
            }
        }
        for (size_t i = 0; i < MAX_STREAMS; i++) {
            if (w->streams[i].sid != 0)
                moved = to_server(w, &w->streams[i]) || moved;
            if (w->streams[i].sid != 0)
                moved = to_client(w, &w->streams[i]) || moved;
        }
        while (pv_fifo_take(&w->events, &ev) == PV_OK) {
            pv_ctl_msg_free(w->last[ev.type].msg);
            w->last[ev.type] = ev;
            w->n_events[ev.type]++;
        }
    }
}

/* Lets time pass, waking the client exactly when it asks to. */
static inline void pass(struct world *w, pv_ns time)
{
    pv_ns end = w->now + time;
    pump(w);
    for (;;) {
        pv_ns at = pv_coordclient_next_timeout(w->client);
        if (at > end)
            break;
        w->now = at > w->now ? at : w->now;
        pv_coordclient_handle_timeout(w->client, w->now);
        pump(w);
    }
    w->now = end;
}

static inline void start(struct world *w, uint8_t n_addrs)
{
    struct pv_coordclient_target target = {.role = PV_CTL_MEMBER, .has_network = true};
    struct pv_coordclient_addr addrs[8];
    memcpy(target.coordinator, w->coord_pk, sizeof(target.coordinator));
    for (uint8_t i = 0; i < n_addrs; i++)
        addrs[i] = (struct pv_coordclient_addr){.addr = addr_of(i), .tls = i > 3};
    assert_int_equal(pv_coordclient_start(w->client, &target, addrs, n_addrs, w->now), PV_OK);
}

/* One address, and a guess beside it. */
static inline void start_guessing(struct world *w)
{
    struct pv_coordclient_target target = {.role = PV_CTL_GUEST, .has_network = true};
    const struct pv_coordclient_addr addrs[] = {{.addr = addr_of(0)},
                                                {.addr = addr_of(1), .tls = true, .guess = true}};
    memcpy(target.coordinator, w->coord_pk, sizeof(target.coordinator));
    assert_int_equal(pv_coordclient_start(w->client, &target, addrs, PV_ARRAY_LEN(addrs), w->now),
                     PV_OK);
}

static inline struct stream *the_stream(struct world *w)
{
    struct stream *s = NULL;
    for (size_t i = 0; i < MAX_STREAMS; i++) {
        if (w->streams[i].sid == 0)
            continue;
        assert_null(s);
        s = &w->streams[i];
    }
    assert_non_null(s);
    return s;
}
