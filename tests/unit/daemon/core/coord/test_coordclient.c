/* SPDX-License-Identifier: MIT */
/* The coordinator client against scripted servers, in virtual time. */
#include "crypto/ct.h"
#include "crypto/dh.h"
#include "crypto/sign.h"
#include "daemon/core/coord/coordclient.h"
#include "daemon/core/coord/coordpulse.h"
#include "daemon/core/coord/coordwait.h"
#include "proto/control/control.h"
#include "tests/unit/counts.h"

/* --- scripted servers ------------------------------------------------------------------------ */

enum {
    MAX_STREAMS = 64
};

/* The behaviour of a server at an address. */
enum behaviour {
    SERVES,   /* speaks the protocol */
    HANGS,    /* the connection never comes up */
    REFUSES,  /* the connection is refused */
    MUTE,     /* accepts, and says nothing */
    FILTERED, /* a box on the way closes what is not TLS */
    PAUSES,   /* nothing comes up, and what is up waits, as TCP does while a link is down */
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
    enum behaviour behaviours[8];     /* by the last byte of the address */
    struct pv_connect_answer proxy;   /* of each proxy; ASKED: it never answers */
    char asked[4][PV_CONNECT_AT_BUF]; /* what proxies were asked for, the first ones */
    size_t n_asked;
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
    enum pv_coordclient_state state; /* of the client, when a test looked last, */
    uint8_t at;                      /* the last byte of its address, 255 without one, */
    bool dropped, tls;               /* and what else it is */
};

static struct world *w; /* of the test that runs */

static inline struct pv_addr addr_of(uint8_t i)
{
    return pv_addr4(192, 0, 2, i, 3478);
}

static inline void world_free(void *ctx)
{
    w = ctx;
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
    w = calloc(1, sizeof(*w));
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
    assert_ok(pv_coordclient_new(&w->client, &cfg));
    return w;
}

/* The next operation, with the client's own id of the stream. */
static inline int next_op(struct pv_stream_op *ret_op)
{
    int r = pv_streams_next_op(&w->shell, ret_op);
    if (r == PV_OK)
        ret_op->sid = pv_sid_local(ret_op->sid);
    return r;
}

static inline struct stream *by_sid(uint32_t sid)
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
    assert_ok(pv_ctl_build(&msg, text, sizeof(text), &len));
    assert_ok(pv_control_send(s->server, pv_view(text, len)));
}

static inline struct pv_ctl_msg answer_to(const struct pv_ctl_msg *req, enum pv_ctl_type type)
{
    return (struct pv_ctl_msg){.kind = PV_CTL_ANSWER, .type = type, .id = req->id};
}

/* Another coordinator than the one with this address is the home. */
static inline bool is_elsewhere(const struct stream *s)
{
    return w->home != 0 && s->addr.ip[3] != w->home;
}

static inline struct pv_ctl_failure moved_to(void)
{
    static const char *const nowhere[] = {"192.0.2.7:3478"};
    return (struct pv_ctl_failure){
        .error = PV_CTL_E_MOVED, .message = "there", .n_to = w->tells ? 1 : 0, .to = nowhere};
}

static inline void server_hello(struct stream *s, const struct pv_ctl_msg *req)
{
    uint8_t hash[PV_CONTROL_HASH_LEN], remote[32];
    w->n_hellos++;
    assert_ok(pv_control_handshake_hash(s->server, hash));
    assert_ok(pv_control_remote_static(s->server, remote));
    assert_memory_equal(remote, w->dh_pk, 32);
    assert_memory_equal(req->u.hello.node, w->sign_pk, 32);
    assert_ok(pv_ctl_hello_verify(&req->u.hello, hash));
    struct pv_ctl_msg m = answer_to(req, PV_CTL_WELCOME);
    m.u.welcome.time_us = 1700000000000000;
    if (is_elsewhere(s)) {
        m = answer_to(req, PV_CTL_ERROR);
        m.u.failure = moved_to();
    } else if (w->hello_error != PV_CTL_E_NONE) {
        m = answer_to(req, PV_CTL_ERROR);
        m.u.failure.error = w->hello_error;
        m.u.failure.message = "no";
    }
    server_send(s, m);
}

static inline void serve(struct stream *s, struct pv_view text)
{
    struct pv_ctl_msg *req;
    assert_ok(pv_ctl_parse(text, &req));
    w->n_pings += req->type == PV_CTL_PING;
    if (!w->silent && req->type == PV_CTL_HELLO)
        server_hello(s, req);
    if (!w->silent && req->type == PV_CTL_PING)
        server_send(s, answer_to(req, PV_CTL_PONG));
    pv_ctl_msg_free(w->request);
    w->request = req;
    w->requester = s;
}

/* The proxy at the stream's address answers, where there is one; false: it opens no way. */
static inline bool is_let_through(const struct pv_stream_op *op)
{
    const struct pv_connect_answer asked = {.state = PV_CONNECT_ASKED};
    if (op->to[0] == '\0')
        return true;
    if (w->n_asked < PV_ARRAY_LEN(w->asked))
        memcpy(w->asked[w->n_asked++], op->to, sizeof(op->to));
    pv_coordclient_proxied(w->client, op->sid, &asked, w->now);
    if (w->proxy.state == PV_CONNECT_ASKED)
        return false;
    pv_coordclient_proxied(w->client, op->sid, &w->proxy, w->now);
    if (w->proxy.state == PV_CONNECT_OPEN)
        return true;
    *by_sid(op->sid) = (struct stream){.sid = 0};
    pv_coordclient_closed(w->client, op->sid, PV_ERR_REFUSED, w->now);
    return false;
}

static inline void open_stream(const struct pv_stream_op *op)
{
    enum behaviour b = w->behaviours[op->addr.ip[3]];
    struct stream *s = NULL;
    w->n_opened++;
    assert_null(by_sid(op->sid));
    if (b == REFUSES) {
        pv_coordclient_closed(w->client, op->sid, -111, w->now);
        return;
    }
    for (size_t i = 0; i < MAX_STREAMS && s == NULL; i++)
        s = w->streams[i].sid == 0 ? &w->streams[i] : NULL;
    assert_non_null(s);
    *s = (struct stream){.sid = op->sid, .addr = op->addr, .tls = op->tls};
    if (b == HANGS || b == PAUSES || !is_let_through(op))
        return;
    assert_ok(pv_control_new_server(&s->server, w->coord_dh, NULL, &w->rng));
    s->open = true;
    pv_coordclient_connected(w->client, s->sid, w->now);
}

static inline void drop_stream(struct stream *s)
{
    pv_control_free(s->server);
    *s = (struct stream){0};
}

/* The server's side closes. */
static inline void hang_up(struct stream *s)
{
    uint32_t sid = s->sid;
    drop_stream(s);
    pv_coordclient_closed(w->client, sid, PV_ERR_CLOSED, w->now);
}

static inline bool serves(const struct stream *s)
{
    enum behaviour b = w->behaviours[s->addr.ip[3]];
    return b == SERVES || b == FILTERED;
}

static inline bool is_filtered(const struct stream *s)
{
    return w->behaviours[s->addr.ip[3]] == FILTERED && !s->tls;
}

static inline bool to_server(struct stream *s)
{
    struct pv_view out = pv_coordclient_out(w->client, s->sid), text;
    if (!s->open || out.len == 0 || w->behaviours[s->addr.ip[3]] == PAUSES)
        return false;
    if (is_filtered(s)) {
        hang_up(s);
        return true;
    }
    if (serves(s)) {
        size_t used = 0;
        while (used < out.len) {
            size_t n;
            int r = pv_control_handle_bytes(s->server, pv_view(out.ptr + used, out.len - used), &n);
            if (r != PV_OK) {
                hang_up(s);
                return true;
            }
            used += n;
            while (pv_control_poll_message(s->server, &text) == PV_OK)
                serve(s, text);
        }
    }
    pv_coordclient_wrote(w->client, s->sid, out.len, w->now);
    return true;
}

static inline bool to_client(struct stream *s)
{
    struct pv_view out = s->server == NULL ? pv_view(NULL, 0) : pv_control_out(s->server);
    uint8_t copy[70000];
    if (out.len == 0 || !serves(s))
        return false;
    size_t n = out.len < sizeof(copy) ? out.len : sizeof(copy);
    memcpy(copy, out.ptr, n);
    pv_control_wrote(s->server, n);
    pv_coordclient_handle_bytes(w->client, s->sid, pv_view(copy, n), w->now);
    return true;
}

/* Moves bytes and operations until nothing moves. */
static inline void pump(void)
{
    bool moved = true;
    while (moved) {
        struct pv_stream_op op;
        struct pv_coordclient_event ev;
        moved = false;
        while (next_op(&op) == PV_OK) {
            moved = true;
            struct stream *s = by_sid(op.sid);
            if (op.type == PV_STREAM_OPEN) {
                open_stream(&op);
            } else if (s != NULL) {
                w->n_closed++;
                drop_stream(s);
            }
        }
        for (size_t i = 0; i < MAX_STREAMS; i++) {
            if (w->streams[i].sid != 0)
                moved = to_server(&w->streams[i]) || moved;
            if (w->streams[i].sid != 0)
                moved = to_client(&w->streams[i]) || moved;
        }
        while (pv_fifo_take(&w->events, &ev) == PV_OK) {
            pv_ctl_msg_free(w->last[ev.type].msg);
            w->last[ev.type] = ev;
            w->n_events[ev.type]++;
        }
    }
}

/* Lets time pass, waking the client exactly when it asks to. */
static inline void pass(pv_ns time)
{
    pv_ns end = w->now + time;
    pump();
    for (;;) {
        pv_ns at = pv_coordclient_next_timeout(w->client);
        if (at > end)
            break;
        w->now = at > w->now ? at : w->now;
        pv_coordclient_handle_timeout(w->client, w->now);
        pump();
    }
    w->now = end;
}

static inline void start(uint8_t n_addrs)
{
    struct pv_coordclient_target target = {.role = PV_CTL_MEMBER, .has_network = true};
    struct pv_coordclient_addr addrs[8] = {{.tls = false}};
    memcpy(target.coordinator, w->coord_pk, sizeof(target.coordinator));
    for (uint8_t i = 0; i < n_addrs; i++)
        addrs[i] = (struct pv_coordclient_addr){.addr = addr_of(i), .tls = i > 3};
    assert_ok(pv_coordclient_start(w->client, &target, addrs, n_addrs, w->now));
}

/* One address, and a guess beside it. */
static inline void start_guessing(void)
{
    struct pv_coordclient_target target = {.role = PV_CTL_APPLICANT, .has_network = true};
    const struct pv_coordclient_addr addrs[] = {{.addr = addr_of(0)},
                                                {.addr = addr_of(1), .tls = true, .guess = true}};
    memcpy(target.coordinator, w->coord_pk, sizeof(target.coordinator));
    assert_ok(pv_coordclient_start(w->client, &target, addrs, PV_ARRAY_LEN(addrs), w->now));
}

static inline struct stream *the_stream(void)
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

/* --- what has happened ----------------------------------------------------------------------- */

static const char *const STATES[] = {"stopped", "connecting", "hello", "online", "waiting", NULL};

static const struct test_count COUNTS[] = {
    TEST_COUNT(world, n_opened, "opened"),
    TEST_COUNT(world, n_closed, "closed"),
    TEST_COUNT(world, n_hellos, "hellos"),
    TEST_COUNT(world, n_pings, "pings"),
    TEST_COUNT(world, n_events[PV_COORDCLIENT_EV_ONLINE], "online"),
    TEST_COUNT(world, n_events[PV_COORDCLIENT_EV_REFUSED], "refused"),
    TEST_COUNT(world, n_events[PV_COORDCLIENT_EV_AWAY], "away"),
    TEST_COUNT(world, n_events[PV_COORDCLIENT_EV_OFFLINE], "offline"),
    TEST_COUNT(world, n_events[PV_COORDCLIENT_EV_ANSWER], "answer"),
    TEST_COUNT(world, n_events[PV_COORDCLIENT_EV_PUSH], "push"),
    TEST_COUNT_WORDS(world, state, "state", STATES),
    TEST_COUNT(world, at, "at"),
    TEST_COUNT_WORDS(world, dropped, "dropped", TEST_NO_YES),
    TEST_COUNT_WORDS(world, tls, "tls", TEST_NO_YES),
};

static const struct world *look(void)
{
    const struct pv_addr *at = pv_coordclient_addr(w->client);
    w->state = pv_coordclient_state(w->client);
    w->at = at == NULL ? 255 : at->ip[3];
    w->dropped = pv_coordclient_is_dropped(w->client);
    w->tls = pv_coordclient_is_tls(w->client);
    return w;
}

#define expect(text) assert_counts(COUNTS, look(), 1, text)

/* That much later. */
#define after(time, text) \
    do {                  \
        pass(time);       \
        expect(text);     \
    } while (0)

/* How long it takes until the client tries once more. */
static pv_ns time_to_next_attempt(void)
{
    size_t opened = w->n_opened;
    pv_ns begin = w->now;
    while (w->n_opened == opened)
        pass(PV_MS(10));
    return w->now - begin;
}

/* A client that was refused that long waits until it tries again; now it would be served. */
static void wait_after_refusals(pv_ns time)
{
    w->behaviours[0] = REFUSES;
    start(1);
    pass(time);
    while (pv_coordclient_state(w->client) != PV_COORDCLIENT_WAITING)
        pass(PV_MS(1));
    w->behaviours[0] = SERVES;
}

/* --- connecting ------------------------------------------------------------------------------ */

void test_before_each(void)
{
    w = world_make();
}

PV_TEST(it_connects_says_hello_and_is_online)
{
    uint8_t hash[PV_CTL_HASH_LEN];
    expect("state stopped");
    assert_int_equal(pv_coordclient_handshake_hash(w->client, hash), PV_ERR_STATE);
    start(1);
    after(PV_MS(1), "online 1");
    assert_int_equal(w->last[PV_COORDCLIENT_EV_ONLINE].msg->u.welcome.time_us, 1700000000000000);
    expect("state online");
    assert_true(
        pv_addr_equal(pv_coordclient_addr(w->client),
                      &(struct pv_addr){.family = PV_AF_INET, .port = 3478, .ip = {192, 0, 2, 0}}));
    assert_ok(pv_coordclient_handshake_hash(w->client, hash));
    expect("hellos 1");
}

PV_TEST(addresses_are_tried_250_ms_apart_and_the_first_proven_one_wins)
{
    w->behaviours[0] = HANGS;
    w->behaviours[1] = MUTE; /* accepts the connection: not enough to win */
    w->behaviours[2] = SERVES;
    start(4);
    after(PV_MS(499), "opened 2, hellos 0");
    after(PV_MS(2), "opened 3, closed 2, state online");
    assert_int_equal(the_stream()->addr.ip[3], 2);
    after(PV_S(5), "opened 3"); /* the fourth is not tried any more */
}

PV_TEST(a_refused_address_is_followed_by_the_next_at_once)
{
    w->behaviours[0] = w->behaviours[1] = REFUSES;
    start(3);
    after(PV_MS(1), "state online");
}

PV_TEST(attempts_go_on_with_growing_jittered_pauses)
{
    pv_ns longest = 0, shortest = PV_NEVER;
    w->behaviours[0] = REFUSES;
    start(1);
    pump();
    for (unsigned i = 0; i < 60; i++) {
        pv_ns pause = time_to_next_attempt();
        longest = pause > longest ? pause : longest;
        if (i > 0)
            shortest = pv_min_ns(shortest, pause);
    }
    assert_true(shortest >= PV_MS(480));
    assert_true(longest <= PV_S(31));
    assert_true(longest >= PV_S(10));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], w->n_opened);
}

PV_TEST(while_somebody_waits_the_pauses_stay_short)
{
    pv_ns longest = 0;
    w->behaviours[0] = REFUSES;
    start(1);
    after(PV_S(120), "state waiting"); /* by now it takes its time */
    pv_ns until = w->now + PV_S(100);
    pv_coordclient_hurry(w->client, until, w->now);
    pv_coordclient_hurry(w->client, until - PV_S(50), w->now); /* the later one counts */
    while (w->now < until - PV_COORDWAIT_HURRY)
        assert_true(time_to_next_attempt() <= PV_COORDWAIT_HURRY + PV_MS(20));
    for (unsigned i = 0; i < 30; i++) { /* and then again */
        pv_ns pause = time_to_next_attempt();
        longest = pause > longest ? pause : longest;
    }
    assert_true(longest > PV_S(10));
}

PV_TEST(a_round_that_hangs_ends_after_ten_seconds)
{
    w->behaviours[0] = HANGS;
    w->behaviours[1] = MUTE;
    start(2);
    after(PV_MS(9999), "offline 0");
    after(PV_MS(2), "offline 1, closed 2");
}

/* A coordinator that starts again refuses where TLS goes, and a firewall swallows the rest: who
 * waited for that would be away for ten seconds. */
PV_TEST(a_round_that_is_refused_does_not_wait_for_what_hangs)
{
    w->behaviours[0] = HANGS;
    w->behaviours[1] = REFUSES;
    start(2);
    after(PV_COORDWAIT_OTHERS, "offline 0");
    after(PV_MS(300), "offline 1");
    assert_has(w->last[PV_COORDCLIENT_EV_OFFLINE].why.text, "refuses the connection");
    char tried[PV_COORDCLIENT_TRIED_BUF];
    pv_coordclient_tried(w->client, tried);
    assert_string_equal(tried, " (tried 192.0.2.0:3478 and 1 more)");
    w->behaviours[1] = SERVES;
    after(PV_S(2), "online 1");
}

/* A coordinator at home has the LAN's address in the record, too, which may come first and means
 * nothing elsewhere. */
PV_TEST(a_public_address_is_named_before_a_private_one)
{
    struct pv_coordclient_addr addrs[4] = {{.addr = pv_addr4(192, 168, 1, 3, 3478)},
                                           {.addr = pv_addr4(10, 0, 0, 3, 3478)},
                                           {.addr = addr_of(1)},
                                           {.addr = addr_of(1), .tls = true}};
    char tried[PV_COORDCLIENT_TRIED_BUF];
    pv_coordclient_set_addrs(w->client, addrs, 1, w->now);
    assert_string_equal(pv_coordclient_tried(w->client, tried), " (tried 192.168.1.3:3478)");
    pv_coordclient_set_addrs(w->client, addrs, 4, w->now);
    assert_string_equal(pv_coordclient_tried(w->client, tried),
                        " (tried 192.0.2.1:3478 and 2 more)");
}

PV_TEST(one_that_refuses_is_tried_again_while_others_hang)
{
    w->behaviours[0] = w->behaviours[2] = HANGS;
    w->behaviours[1] = REFUSES;
    start(3);
    pass(PV_MS(501));
    assert_int_equal(w->n_opened, 3);
    pass(PV_COORDWAIT_MIN);
    assert_int_equal(w->n_opened, 4);
    w->behaviours[1] = SERVES;
    pass(PV_COORDWAIT_MIN + PV_MS(1));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_ONLINE], 1);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 0);
    assert_int_equal(the_stream()->addr.ip[3], 1);
    assert_int_equal(w->n_opened, 5);
}

PV_TEST(only_what_goes_through_tls_gets_through)
{
    for (size_t i = 0; i < 4; i++)
        w->behaviours[i] = HANGS;
    start(5);
    after(PV_S(1) + PV_MS(1), "online 1"); /* four that hang, a quarter of a second each */
    assert_true(the_stream()->tls);
    expect("tls yes");
}

PV_TEST(where_it_is_closed_without_a_byte_tls_is_tried_at_once)
{
    struct pv_stream_op op;
    w->behaviours[0] = FILTERED;
    w->behaviours[1] = HANGS;
    start(2);
    pv_coordclient_handle_timeout(w->client, w->now);
    assert_ok(next_op(&op));
    assert_false(op.tls);
    open_stream(&op);
    assert_true(to_server(by_sid(op.sid)));
    assert_null(by_sid(op.sid)); /* closed */
    pv_coordclient_handle_timeout(w->client, w->now);
    assert_ok(next_op(&op));
    assert_true(op.tls);
    assert_int_equal(op.addr.ip[3], 0);
    assert_int_equal(op.addr.port, 3478);
    open_stream(&op);
    after(PV_MS(1), "online 1, offline 0, tls yes");
    /* Each time anew, and no oftener. */
    size_t opened = w->n_opened;
    hang_up(the_stream());
    after(PV_S(2), "online 2");
    assert_int_equal(w->n_opened, opened + 2);
}

PV_TEST(a_server_that_closes_inside_tls_too_is_left_alone_until_the_next_round)
{
    w->behaviours[0] = SERVES;
    w->coord_dh[3] ^= 1; /* another key: it closes on whatever is sealed to ours */
    start(1);
    after(PV_MS(1), "opened 2, offline 1");
    assert_has(w->last[PV_COORDCLIENT_EV_OFFLINE].why.text, "closes the connection");
    after(PV_S(1), "opened 4");
}

PV_TEST(a_guess_is_tried_beside_what_hangs)
{
    w->behaviours[0] = HANGS;
    start_guessing();
    after(PV_MS(260), "online 1");
    assert_true(the_stream()->tls);
}

PV_TEST(a_guess_keeps_nobody_waiting_and_says_nothing)
{
    w->behaviours[0] = REFUSES;
    w->behaviours[1] = MUTE; /* some web server */
    start_guessing();
    after(PV_COORDCLIENT_GUESS - PV_MS(1), "offline 0");
    after(PV_MS(300), "offline 1");
    assert_has(w->last[PV_COORDCLIENT_EV_OFFLINE].why.text, "refuses the connection");
}

/* A name that the proxy looks up, and port 443 beside it. */
static void start_proxied(enum pv_connect_state state, unsigned status)
{
    struct pv_coordclient_target target = {.role = PV_CTL_MEMBER, .has_network = true};
    struct pv_coordclient_addr addrs[] = {
        {.addr = {.port = 3478}, .via = addr_of(0), .name = "coord.example", .tls = true},
        {.addr = {.port = 443},
         .via = addr_of(0),
         .name = "coord.example",
         .tls = true,
         .guess = true}};
    w->proxy = (struct pv_connect_answer){.state = state, .status = status};
    memcpy(target.coordinator, w->coord_pk, sizeof(target.coordinator));
    assert_ok(pv_coordclient_start(w->client, &target, addrs, PV_ARRAY_LEN(addrs), w->now));
}

PV_TEST(a_proxy_is_asked_for_the_name)
{
    char place[PV_CONNECT_AT_BUF], tried[PV_COORDCLIENT_TRIED_BUF];
    start_proxied(PV_CONNECT_OPEN, 200);
    after(PV_MS(1), "online 1, tls yes, at 255");
    assert_string_equal(w->asked[0], "coord.example:3478");
    assert_int_equal(the_stream()->addr.ip[3], 0);
    const struct pv_addr proxy = addr_of(0);
    assert_true(pv_addr_equal(pv_coordclient_via(w->client), &proxy));
    assert_string_equal(pv_coordclient_place(w->client, place), "coord.example:3478");
    assert_string_equal(pv_coordclient_tried(w->client, tried), " (tried coord.example:3478)");
    assert_int_equal(pv_coordclient_proxy(w->client)->answer.state, PV_CONNECT_OPEN);
}

/* The answer about the named port counts, and not the one about the guess. */
PV_TEST(a_proxy_that_opens_no_way_is_told)
{
    static const struct {
        enum pv_connect_state answer, told;
    } rows[] = {
        {PV_CONNECT_REFUSED, PV_CONNECT_REFUSED}, {PV_CONNECT_UNREACHED, PV_CONNECT_UNREACHED},
        {PV_CONNECT_LOGIN, PV_CONNECT_LOGIN},     {PV_CONNECT_STRANGE, PV_CONNECT_STRANGE},
        {PV_CONNECT_CLOSED, PV_CONNECT_CLOSED},   {PV_CONNECT_ASKED, PV_CONNECT_SILENT},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        w->n_asked = 0;
        start_proxied(rows[i].answer, 599);
        pass(PV_COORDCLIENT_CONNECT + PV_MS(1));
        const struct pv_coordclient_proxy *proxy = pv_coordclient_proxy(w->client);
        assert_true(w->n_asked >= 2);
        assert_string_equal(w->asked[0], "coord.example:3478");
        assert_string_equal(w->asked[1], "coord.example:443");
        if (pv_coordclient_state(w->client) == PV_COORDCLIENT_WAITING) {
            assert_int_equal(proxy->answer.state, rows[i].told);
            assert_string_equal(proxy->to, "coord.example:3478");
        }
        assert_has(w->last[PV_COORDCLIENT_EV_OFFLINE].why.text, "the HTTP proxy opens no way");
    }
}

PV_TEST(a_proxy_that_is_not_reached_is_told)
{
    w->behaviours[0] = REFUSES;
    start_proxied(PV_CONNECT_OPEN, 200);
    after(PV_MS(1), "offline 1, state waiting");
    assert_int_equal(pv_coordclient_proxy(w->client)->answer.state, PV_CONNECT_DOWN);
    w->behaviours[0] = SERVES;
    after(PV_S(5), "online 1");
}

/* It says yes, and behind it nobody has the coordinator's key. */
PV_TEST(behind_an_open_proxy_the_fault_is_the_coordinators)
{
    w->coord_dh[3] ^= 1;
    start_proxied(PV_CONNECT_OPEN, 200);
    after(PV_MS(1), "offline 1");
    assert_has(w->last[PV_COORDCLIENT_EV_OFFLINE].why.text, "closes the connection");
    assert_int_equal(pv_coordclient_proxy(w->client)->answer.state, PV_CONNECT_OPEN);
}

PV_TEST(addresses_may_come_later)
{
    start(0);
    after(PV_S(100), "opened 0");
    struct pv_coordclient_addr a = {.addr = addr_of(0)};
    pv_coordclient_set_addrs(w->client, &a, 1, w->now);
    after(PV_MS(1), "state online");
}

/* Names are looked up anew while an attempt runs: for a moment there may be no address at all. */
PV_TEST(an_attempt_that_runs_outlives_a_change_of_the_addresses)
{
    const struct pv_coordclient_addr other = {.addr = addr_of(1)};
    w->behaviours[0] = HANGS;
    start(1);
    after(PV_MS(100), "opened 1");
    pv_coordclient_set_addrs(w->client, NULL, 0, w->now);
    pass(PV_MS(100));
    pv_coordclient_set_addrs(w->client, &other, 1, w->now);
    after(PV_S(60), "state online");
    assert_int_equal(w->n_closed, w->n_opened - 1); /* the one that hung was closed */
}

PV_TEST(a_stream_that_was_never_opened_is_not_closed)
{
    struct pv_stream_op op;
    struct pv_coordclient_target target = {.role = PV_CTL_MEMBER};
    const struct pv_coordclient_addr a = {.addr = addr_of(0)};
    memcpy(target.coordinator, w->coord_pk, sizeof(target.coordinator));
    for (unsigned i = 0; i < 100; i++) { /* up and down, and the shell has no time */
        assert_ok(pv_coordclient_start(w->client, &target, &a, 1, w->now));
        pv_coordclient_handle_timeout(w->client, w->now);
    }
    assert_ok(next_op(&op));
    assert_int_equal(op.type, PV_STREAM_OPEN);
    pv_coordclient_stop(w->client);
    assert_ok(next_op(&op));
    assert_int_equal(op.type, PV_STREAM_CLOSE);
    assert_int_equal(next_op(&op), PV_ERR_AGAIN);
}

PV_TEST(another_key_than_the_pinned_one_is_no_coordinator)
{
    w->coord_dh[5] ^= 0x40; /* the server has another key than the URL says */
    start(1);
    after(PV_MS(100), "hellos 0, online 0, offline 1");
}

PV_TEST(a_refused_hello_is_told_and_tried_again_later)
{
    w->hello_error = PV_CTL_E_REVOKED;
    start(1);
    after(PV_MS(1), "refused 1");
    assert_int_equal(w->last[PV_COORDCLIENT_EV_REFUSED].msg->u.failure.error, PV_CTL_E_REVOKED);
    expect("state waiting");
    w->hello_error = PV_CTL_E_NONE;
    after(PV_S(40), "state online");
}

/* --- staying --------------------------------------------------------------------------------- */

PV_TEST(silence_is_probed_after_ten_and_fatal_after_twenty_five_seconds)
{
    start(1);
    pass(PV_MS(1));
    after(PV_S(60), "pings 5..6, offline 0, state online");

    w->silent = true;
    after(PV_S(14), "offline 0");
    after(PV_S(12), "offline 1");
    assert_int_equal(w->last[PV_COORDCLIENT_EV_OFFLINE].status, PV_ERR_TIMEOUT);
    w->silent = false;
    after(PV_S(40), "online 2");
}

PV_TEST(a_client_that_only_listens_is_heard_of_all_the_same)
{
    start(1);
    pass(PV_S(1));
    /* Pushes come all the time, nothing is asked. */
    for (int i = 0; i < 60; i++) {
        server_send(the_stream(),
                    (struct pv_ctl_msg){.kind = PV_CTL_PUSH, .type = PV_CTL_PRESENCE});
        pass(PV_S(1));
    }
    expect("pings 5..7, offline 0");
}

PV_TEST(a_closed_connection_is_made_again_within_a_second)
{
    start(1);
    for (size_t i = 1; i <= 20; i++) {
        pass(PV_MS(1200));
        assert_int_equal(w->n_events[PV_COORDCLIENT_EV_ONLINE], i);
        pass(PV_S(10)); /* it lasts */
        hang_up(the_stream());
    }
}

PV_TEST(a_kick_makes_a_waiting_client_connect_at_once)
{
    wait_after_refusals(PV_S(100));
    pv_coordclient_kick(w->client, w->now);
    after(0, "state online");
}

PV_TEST(a_kicked_connection_must_answer_within_three_seconds)
{
    start(1);
    pass(PV_S(1));
    pv_coordclient_kick(w->client, w->now);
    after(PV_S(4), "offline 0");
    w->silent = true;
    pv_coordclient_kick(w->client, w->now);
    after(PV_MS(2999), "offline 0");
    after(PV_MS(2), "offline 1");
}

PV_TEST(a_connection_silent_after_a_kick_is_made_again_without_waiting)
{
    start(1);
    pass(PV_S(1));
    w->silent = true;
    pv_coordclient_kick(w->client, w->now);
    pv_coordclient_kick(w->client, w->now); /* one is enough */
    pass(PV_MS(2990));
    size_t opened = w->n_opened;
    expect("offline 0");
    w->silent = false;
    pv_coordclient_kick(w->client, w->now); /* lengthens nothing */
    w->silent = true;
    after(PV_MS(11), "offline 1");
    assert_int_equal(w->n_opened, opened + 1);
}

/* The time of what was under way has passed in sleep, and says nothing of the coordinator. */
PV_TEST(a_client_that_slept_while_connecting_begins_anew)
{
    static const enum behaviour before[] = {HANGS, MUTE, SERVES};
    for (size_t i = 0; i < PV_ARRAY_LEN(before); i++) {
        w = world_make();
        w->behaviours[0] = before[i];
        w->silent = true; /* no answer to its hello */
        start(1);
        pass(PV_S(1));
        assert_true(pv_coordclient_state(w->client) ==
                    (before[i] == SERVES ? PV_COORDCLIENT_HELLO : PV_COORDCLIENT_CONNECTING));
        w->now += PV_S(8 * 3600);
        w->behaviours[0] = SERVES;
        w->silent = false;
        pv_coordclient_woke(w->client, w->now);
        after(0, "state online, offline 0");
    }
}

PV_TEST(a_client_that_slept_while_waiting_or_connected_connects_at_once)
{
    wait_after_refusals(PV_S(100));
    for (int i = 0; i < 2; i++) {
        w->now += PV_S(8 * 3600);
        pv_coordclient_woke(w->client, w->now);
        after(0, "state online");
    }
}

PV_TEST(a_node_whose_address_is_gone_connects_at_once)
{
    pv_coordclient_moved(w->client, w->now); /* not started: nothing to do */
    start(1);
    after(PV_S(1), "opened 1");
    pv_coordclient_moved(w->client, w->now);
    after(PV_MS(1), "opened 2, closed 1, offline 1, state online");
    /* Also in the middle of connecting, which is no loss worth telling. */
    w->behaviours[0] = HANGS;
    pv_coordclient_moved(w->client, w->now);
    pass(PV_S(1));
    w->behaviours[0] = SERVES;
    pv_coordclient_moved(w->client, w->now);
    after(PV_MS(1), "offline 2, state online");
}

PV_TEST(a_client_that_was_replaced_does_not_push_the_other_out_at_once)
{
    start(1);
    pass(PV_S(1));
    struct stream *s = the_stream();
    server_send(s, (struct pv_ctl_msg){.kind = PV_CTL_PUSH,
                                       .type = PV_CTL_BYE,
                                       .u.failure = {PV_CTL_E_REPLACED, "a newer one"}});
    pump();
    expect("push 1");
    hang_up(the_stream());
    after(PV_S(14), "online 1");
    after(PV_S(17), "online 2");
    hang_up(the_stream()); /* an ordinary end again */
    after(PV_S(2), "online 3");
}

PV_TEST(stop_closes_and_stays_quiet)
{
    start(1);
    pass(PV_S(1));
    pv_coordclient_stop(w->client);
    after(PV_S(1000), "closed 1, opened 1");
    assert_int_equal(pv_coordclient_next_timeout(w->client), PV_NEVER);
    struct pv_ctl_msg msg = {.type = PV_CTL_LIST};
    assert_int_equal(pv_coordclient_request(w->client, &msg, 1), PV_ERR_STATE);
}

/* --- talking --------------------------------------------------------------------------------- */

PV_TEST(answers_find_their_requests)
{
    start(1);
    pass(PV_S(1));
    struct pv_ctl_msg a = {.type = PV_CTL_LIST}, b = {.type = PV_CTL_PULL};
    assert_ok(pv_coordclient_request(w->client, &a, 71));
    assert_ok(pv_coordclient_request(w->client, &b, 72));
    pump();
    struct stream *s = the_stream();
    server_send(s, answer_to(&b, PV_CTL_STATEMENTS));
    pump();
    assert_int_equal(w->last[PV_COORDCLIENT_EV_ANSWER].tag, 72);
    assert_int_equal(w->last[PV_COORDCLIENT_EV_ANSWER].request, PV_CTL_PULL);
    server_send(s, answer_to(&b, PV_CTL_STATEMENTS)); /* twice: nobody waits for it */
    struct pv_ctl_msg refused = answer_to(&a, PV_CTL_ERROR);
    refused.u.failure.error = PV_CTL_E_LIMIT;
    refused.u.failure.message = "slow down";
    server_send(s, refused);
    pump();
    expect("answer 2");
    assert_int_equal(w->last[PV_COORDCLIENT_EV_ANSWER].tag, 71);
    assert_int_equal(w->last[PV_COORDCLIENT_EV_ANSWER].msg->u.failure.error, PV_CTL_E_LIMIT);
}

PV_TEST(unknown_pushes_are_ignored_and_bad_json_ends_the_connection)
{
    static const char news[] = "{\"t\":\"news\"}", bad[] = "{\"t\":";
    start(1);
    pass(PV_S(1));
    struct stream *s = the_stream();
    assert_ok(pv_control_send(s->server, pv_view(news, strlen(news))));
    pump();
    expect("push 0, offline 0");
    assert_ok(pv_control_send(s->server, pv_view(bad, strlen(bad))));
    pump();
    expect("offline 1");
}

PV_TEST(requests_without_answers_are_bounded)
{
    start(1);
    pass(PV_S(1));
    for (size_t i = 0; i <= PV_COORDCLIENT_MAX_PENDING; i++) {
        struct pv_ctl_msg msg = {.type = PV_CTL_LIST};
        assert_int_equal(pv_coordclient_request(w->client, &msg, i),
                         i < PV_COORDCLIENT_MAX_PENDING ? PV_OK : PV_ERR_LIMIT);
        pump();
    }
}

/* --- a client that is sent to the home of its network ---------------------------------------- */

PV_TEST(it_goes_round_until_one_is_the_home)
{
    w->home = 2;
    start(3);
    after(PV_S(1), "away 2, refused 0, state online, at 2");
}

/* The first of three sends it to one that is not in the list. */
static void be_sent_elsewhere(void)
{
    const struct pv_addr home = addr_of(7);
    w->home = 7;
    start(3);
    pump();
    pv_coordclient_handle_timeout(w->client, w->now);
    pump();
    expect("away 1");
    pv_coordclient_detour(w->client, &home, w->now);
}

PV_TEST(it_goes_where_it_is_sent_before_all_others)
{
    be_sent_elsewhere();
    after(PV_MS(10), "state online, at 7, hellos 2");
}

PV_TEST(where_a_former_coordinator_sent_it_counts_no_more)
{
    be_sent_elsewhere();
    w->home = 0;
    start(3);
    after(PV_MS(10), "state online, at 0");
}

PV_TEST(two_that_disagree_do_not_keep_it_running)
{
    w->home = 9;
    start(2);
    pass(PV_MS(10));
    assert_int_equal(w->n_hellos, PV_COORDDETOUR_HOPS + 1);
    expect("refused 1, state waiting");
}

PV_TEST(a_bye_that_says_moved_is_followed_at_once)
{
    start(2);
    after(PV_MS(10), "at 0");
    w->home = 1;
    w->tells = true;
    struct pv_ctl_msg bye = {.kind = PV_CTL_PUSH, .type = PV_CTL_BYE};
    bye.u.failure = moved_to();
    server_send(the_stream(), bye);
    after(PV_MS(10), "offline 1, away 1");
    assert_int_equal(w->last[PV_COORDCLIENT_EV_AWAY].msg->u.failure.n_to, 1);
    expect("online 2, at 1");
}

/* One lets it in and sends it away, again and again. How often it connects in that time. */
static size_t send_away(pv_ns time)
{
    size_t before = w->n_opened;
    for (pv_ns end = w->now + time; w->now < end && w->n_opened < before + 1000;) {
        struct pv_ctl_msg bye = {.kind = PV_CTL_PUSH, .type = PV_CTL_BYE};
        pass(PV_MS(100));
        if (pv_coordclient_state(w->client) != PV_COORDCLIENT_ONLINE)
            continue;
        bye.u.failure = moved_to();
        server_send(the_stream(), bye);
        pump();
    }
    return w->n_opened - before;
}

/* Coordinators that lie in turn, or a quarrel of theirs, must not have all members knock without a
 * pause. */
PV_TEST(a_client_let_in_and_sent_away_for_ever_takes_its_time)
{
    w->tells = true;
    start(2);
    assert_in_range(send_away(PV_S(600)), PV_COORDDETOUR_HOPS + 600 / 31,
                    PV_COORDDETOUR_HOPS + 2 + 600 / 15);
    after(PV_S(40), "state online");
    /* Once a connection lasted the next ones are left at once. */
    pass(PV_COORDDETOUR_LASTS);
    size_t before = w->n_events[PV_COORDCLIENT_EV_ONLINE];
    assert_int_equal(send_away(PV_S(1)), PV_COORDDETOUR_HOPS);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_ONLINE], before + PV_COORDDETOUR_HOPS);
}

/* --- a client that is let in and dropped, again and again ------------------------------------ */

enum {
    /* A window of half a minute is half of that on average. Twice as many leave room for chance. */
    MANY_PER_MINUTE = 8,
};

/* Each connection that is welcome is closed at once; how many are in that time. meanwhile: called
 * after each loss, or NULL. */
static size_t drop(pv_ns time, void (*meanwhile)(void))
{
    size_t before = w->n_events[PV_COORDCLIENT_EV_ONLINE];
    for (pv_ns end = w->now + time; w->now < end;) {
        pass(PV_MS(100));
        if (pv_coordclient_state(w->client) != PV_COORDCLIENT_ONLINE)
            continue;
        hang_up(the_stream());
        if (meanwhile != NULL)
            meanwhile();
    }
    return w->n_events[PV_COORDCLIENT_EV_ONLINE] - before;
}

/* Until the next connection is there. */
static pv_ns time_to_return(void)
{
    pv_ns begin = w->now;
    while (pv_coordclient_state(w->client) != PV_COORDCLIENT_ONLINE && w->now < begin + PV_S(60))
        pass(PV_MS(100));
    return w->now - begin;
}

/* The connection gets no answer until it is given up. */
static void fall_silent(void)
{
    w->silent = true;
    while (pv_coordclient_state(w->client) == PV_COORDCLIENT_ONLINE)
        pass(PV_MS(100));
    w->silent = false;
}

PV_TEST(a_client_let_in_and_dropped_for_ever_takes_its_time)
{
    start(1);
    /* A few restarts in a row are followed as each of them would be. */
    assert_in_range(drop(PV_MS(3400), NULL), PV_COORDWAIT_WELCOMES, 6);
    assert_in_range(drop(PV_S(1500), NULL), 25, 25 * MANY_PER_MINUTE);
    expect("dropped yes");
    assert_int_equal(w->last[PV_COORDCLIENT_EV_OFFLINE].why.todo.id, PV_REMEDY_tell_operator);
}

/* remedy: hybrid_or_off */
PV_TEST(a_client_that_wants_hybrid_keys_meets_one_without_when_it_need_not_have_them)
{
    start(1);
    after(PV_S(1), "state online");
    pv_coordclient_set_must_hybrid(w->client, true); /* `pq = require` */
    hang_up(the_stream());
    pass(PV_S(5));
    assert_int_equal(w->last[PV_COORDCLIENT_EV_OFFLINE].why.todo.id, PV_REMEDY_hybrid_or_off);
    assert_int_not_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
    pv_coordclient_set_must_hybrid(w->client, false); /* `pq = on` */
    after(PV_S(60), "state online");
}

/* Its operator mends that. remedy: tell_operator */
PV_TEST(a_client_that_was_dropped_is_back_soon_when_that_ends)
{
    start(1);
    drop(PV_S(1500), NULL);
    assert_true(time_to_return() <= PV_COORDWAIT_MAX + PV_S(1));
    after(PV_S(5), "dropped yes"); /* that could be one more */
    after(PV_S(6), "dropped no");
    /* An end now is a restart like any other. */
    hang_up(the_stream());
    assert_true(time_to_return() <= PV_MS(1200));
    assert_string_equal(w->last[PV_COORDCLIENT_EV_OFFLINE].why.text, "the connection was closed");
}

/* A coordinator that stays silent after its welcome is of no more use than one that closes. */
PV_TEST(a_client_that_hears_nothing_after_the_welcome_was_dropped)
{
    start(1);
    for (int i = 0; i <= PV_COORDWAIT_WELCOMES; i++) {
        assert_true(time_to_return() <= PV_S(2));
        fall_silent();
    }
    expect("dropped yes");
}

static void hurry(void)
{
    pv_coordclient_hurry(w->client, w->now + PV_S(600), w->now);
}

/* The coordinator is a server that tells this node its address: it could tell another each time. */
static void remap(void)
{
    pv_coordclient_remapped(w->client, w->now);
}

PV_TEST(neither_haste_nor_what_servers_say_shortens_the_wait)
{
    void (*const others[])(void) = {hurry, remap};
    for (size_t i = 0; i < PV_ARRAY_LEN(others); i++) {
        w = world_make();
        start(1);
        drop(PV_S(60), others[i]);
        assert_in_range(drop(PV_S(600), others[i]), 10, 10 * MANY_PER_MINUTE);
    }
}

/* It is let in, servers say that its address changed, and the connection falls silent. */
PV_TEST(silence_after_a_change_is_followed_at_once_a_few_times)
{
    start(1);
    size_t before = w->n_events[PV_COORDCLIENT_EV_ONLINE];
    for (pv_ns end = w->now + PV_S(600); w->now < end;) {
        assert_true(time_to_return() <= PV_COORDWAIT_MAX + PV_S(1));
        remap(); /* its ping is not answered */
        fall_silent();
    }
    assert_in_range(w->n_events[PV_COORDCLIENT_EV_ONLINE] - before, 10, 10 * MANY_PER_MINUTE);
}

PV_TEST(a_new_address_ends_an_ordinary_wait_but_not_a_rest)
{
    wait_after_refusals(PV_S(200));
    remap();
    after(0, "state online");
    server_send(the_stream(), (struct pv_ctl_msg){.kind = PV_CTL_PUSH,
                                                  .type = PV_CTL_BYE,
                                                  .u.failure = {PV_CTL_E_REPLACED, "a newer"}});
    pump();
    hang_up(the_stream());
    remap(); /* another machine has this one's key: that is not mended by it */
    after(PV_S(14), "state waiting");
    pv_coordclient_kick(w->client, w->now); /* a link of this machine came up */
    after(0, "state online");
}

/* --- a client whose coordinator falls silent ------------------------------------------------- */

/* Online at the first address, and a while later. */
static void be_online(uint8_t n_addrs)
{
    start(n_addrs);
    after(PV_S(5), "state online, at 0");
}

PV_TEST(a_silent_one_is_left_for_one_that_answers)
{
    be_online(2);
    w->behaviours[0] = HANGS;
    pv_coordclient_doubt(w->client, w->now);
    after(PV_MS(1999), "offline 0, opened 1");
    after(PV_MS(2), "offline 1");
    assert_int_equal(w->last[PV_COORDCLIENT_EV_OFFLINE].status, PV_ERR_TIMEOUT);
    expect("online 2, at 1");
    assert_int_equal(the_stream()->addr.ip[3], 1);
}

/* A doubt that comes a moment after its last word is not lost: the way may have died since. */
PV_TEST(a_doubt_about_a_fresh_word_has_it_asked_when_the_word_is_old)
{
    be_online(1);
    size_t pings = w->n_pings;
    pv_ns heard_at = pv_coordclient_heard_at(w->client);
    assert_true(w->now < heard_at + PV_S(7));
    pv_coordclient_doubt(w->client, heard_at + PV_S(7));
    pv_coordclient_doubt(w->client, heard_at + PV_S(9)); /* the earlier one holds */
    pass(heard_at + PV_MS(6900) - w->now);
    assert_int_equal(w->n_pings, pings);
    pass(PV_MS(200));
    assert_int_equal(w->n_pings, pings + 1);
    pass(PV_S(9)); /* answered: the next is due an interval later */
    assert_int_equal(w->n_pings, pings + 1);
    w->silent = true;
    pass(PV_S(2)); /* one is out, and a doubt asks nothing more */
    assert_int_equal(w->n_pings, pings + 2);
    pv_coordclient_doubt(w->client, w->now);
    w->silent = false;
    pass(PV_S(1));
    assert_int_equal(w->n_pings, pings + 2);
}

/* The ping that is due finds it out, too: here another was answered a moment before. */
PV_TEST(without_a_doubt_it_takes_nine_seconds_at_most)
{
    be_online(3);
    size_t pings = w->n_pings;
    pass(PV_MS(1100));
    assert_int_equal(w->n_pings, pings + 1);
    w->behaviours[0] = w->behaviours[1] = HANGS;
    after(PV_S(9), "offline 1, at 2, state online");
}

PV_TEST(a_network_that_pauses_ends_nothing)
{
    be_online(3);
    for (int i = 0; i < 3; i++)
        w->behaviours[i] = PAUSES;
    pv_coordclient_doubt(w->client, w->now);
    after(PV_S(15), "at 0, opened 3");
    for (int i = 0; i < 3; i++)
        w->behaviours[i] = SERVES;
    after(PV_S(60), "offline 0, opened 3");
    assert_int_equal(the_stream()->addr.ip[3], 0);
}

PV_TEST(pings_that_are_answered_cost_no_look)
{
    be_online(3);
    pv_coordclient_doubt(w->client, w->now);
    pv_coordclient_doubt(w->client, w->now);
    after(PV_S(600), "opened 1, pings 100..103");
}

/* The others send it back to a home that only paused. */
PV_TEST(a_home_that_paused_is_found_again)
{
    w->home = 2;
    start(3);
    after(PV_S(5), "at 2");
    w->behaviours[2] = PAUSES;
    pv_coordclient_doubt(w->client, w->now);
    after(PV_S(3), "offline 1");
    w->behaviours[2] = SERVES;
    after(PV_S(15), "state online, at 2");
}

PV_TEST(without_another_address_it_waits)
{
    start_guessing();
    pass(PV_S(5));
    w->behaviours[0] = PAUSES;
    pv_coordclient_doubt(w->client, w->now);
    after(PV_S(15), "opened 1");
    w->behaviours[0] = SERVES;
    after(PV_S(1), "offline 0");
}

/* The one in use may end while another is being tried. */
PV_TEST(a_look_outlives_nothing)
{
    be_online(3);
    w->behaviours[1] = w->behaviours[2] = HANGS;
    w->silent = true;
    pv_coordclient_doubt(w->client, w->now);
    after(PV_S(3), "opened 3");
    w->silent = false;
    pv_coordclient_stop(w->client);
    after(PV_S(60), "closed 3");
    start(1);
    after(PV_S(1), "state online");
}

PV_TEST(a_look_is_due_once_a_silence)
{
    struct pv_coordpulse p = {.pinged_at = PV_S(1)};
    pv_coordpulse_begin(&p, false, PV_MS(1100));
    assert_true(p.rtt == PV_MS(100));
    assert_true(pv_coordpulse_next(&p) == PV_MS(11100));
    assert_false(pv_coordpulse_take_look(&p, PV_S(11)));
    pv_coordpulse_pinged(&p, true, false, PV_S(12));
    assert_true(pv_coordpulse_next(&p) == PV_S(14));
    pv_coordpulse_pinged(&p, true, false, PV_S(13));
    assert_false(pv_coordpulse_take_look(&p, PV_MS(13999)));
    assert_true(pv_coordpulse_take_look(&p, PV_S(14)));
    assert_false(pv_coordpulse_take_look(&p, PV_S(20)));
    assert_false(pv_coordpulse_is_dead(&p, PV_S(26)));
    assert_true(pv_coordpulse_is_dead(&p, PV_MS(26100)));
    pv_coordpulse_heard(&p, PV_S(26));
    assert_false(pv_coordpulse_take_look(&p, PV_S(40)));
    pv_coordpulse_note_time(&p, 1000000, PV_S(26));
    assert_true(pv_coordpulse_time_us(&p, PV_S(28)) == 3050000);
}

/* A ping that left at begun is answered at ended; the coordinator's clock reads what it says. */
static uint64_t told(struct pv_coordpulse *p, pv_ns begun, pv_ns ended, uint64_t time_us)
{
    pv_coordpulse_pinged(p, true, false, begun);
    pv_coordpulse_answered(p, ended);
    pv_coordpulse_note_time(p, time_us, ended);
    return pv_coordpulse_time_us(p, ended);
}

/* Two nodes that agree on a time of its clock begin together also where one of them is busy. */
PV_TEST(the_answer_that_took_least_tells_the_coordinators_clock)
{
    struct pv_coordpulse p = {.pinged_at = PV_S(1)};
    pv_coordpulse_begin(&p, false, PV_MS(1600)); /* 600 ms, of which all were on the way back */
    pv_coordpulse_note_time(&p, 1000000, PV_MS(1600));
    assert_int_equal(pv_coordpulse_time_us(&p, PV_MS(1600)), 1300000);
    assert_int_equal(told(&p, PV_S(10), PV_MS(10010), 10000000 + 5000), 10010000);
    assert_int_equal(told(&p, PV_S(20), PV_MS(20400), 20000000),
                     20400000); /* all on the way back */
    assert_int_equal(told(&p, PV_S(30), PV_MS(30012), 30000000 + 7000), 30013000);
    /* A ping behind one that is out: of which the answer is nobody knows. */
    pv_coordpulse_pinged(&p, true, false, PV_S(40));
    assert_int_equal(told(&p, PV_S(41), PV_MS(41500), 40000000), 41501000);
    pv_coordpulse_answered(&p, PV_MS(41500));
    /* Its clock was set. */
    assert_int_equal(told(&p, PV_S(50), PV_MS(50400), 90000000), 90200000);
}

/* As after a kick, whose ping leaves behind one that is out. */
PV_TEST(the_round_trip_is_that_of_the_ping_which_is_answered)
{
    struct pv_coordpulse p = {.pinged_at = PV_S(1)};
    pv_coordpulse_begin(&p, false, PV_MS(1800));
    pv_coordpulse_pinged(&p, true, false, PV_S(12));
    pv_coordpulse_pinged(&p, true, false, PV_MS(12700));
    pv_coordpulse_answered(&p, PV_MS(12800));
    assert_true(p.rtt == PV_MS(800));
    assert_false(pv_coordpulse_is_due(&p, PV_S(40))); /* one is out */
    pv_coordpulse_answered(&p, PV_MS(13500));
    assert_true(p.rtt == PV_MS(800));
    assert_true(pv_coordpulse_is_due(&p, PV_S(40)));
}

/* A home that is only far must not be left. */
PV_TEST(on_a_slow_line_a_look_waits_two_round_trips)
{
    struct pv_coordpulse p = {.pinged_at = PV_S(1)};
    pv_coordpulse_begin(&p, false, PV_MS(2500)); /* a round trip of 1.5 s */
    pv_coordpulse_pinged(&p, true, false, PV_S(12));
    assert_true(pv_coordpulse_next(&p) == PV_S(15));
    /* A ping that was held up for 20 s says little of the line. */
    p = (struct pv_coordpulse){.pinged_at = PV_S(1)};
    pv_coordpulse_begin(&p, false, PV_S(21));
    pv_coordpulse_pinged(&p, true, false, PV_S(31));
    assert_true(pv_coordpulse_next(&p) == PV_S(31) + PV_COORDPULSE_SLOW);
}
