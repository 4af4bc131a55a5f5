/* SPDX-License-Identifier: MIT */

#include "base/bytes.h"
#include "crypto/ct.h"
#include "proto/wireguard/cookie.h"
#include "proto/wireguard/session.h"
#include "tests/unit/counts.h"

/* --- two nodes with a session ---------------------------------------------------------------- */

/* Between them are a lossy wire and a pretended fast path, in virtual time. */

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
    int last_status;      /* of the last _handle_ call */
    bool has_keys, tries; /* when somebody looked last */
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
    assert_ok(pv_session_new(&s, &cfg));
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
    struct world *w = test_alloc(sizeof(*w));
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
        assert_ok(pv_cookie_checker_new(&w->n[i].checker, &w->rng));
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

/* A message of the session goes to node `to`. */
static inline void w_post(struct world *w, int to, const struct pv_session_transmit *tx)
{
    struct w_packet *p = w_put(w, to);
    p->via = tx->via;
    p->len = tx->len;
    memcpy(p->msg, tx->msg, tx->len);
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
            if (!w->no_messages)
                w_post(w, 1 - i, &tx);
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
    assert_ok(pv_wgmsg_type(msg, &type));
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

static inline void w_reach_both(struct world *w, enum pv_session_reach reach)
{
    w_reach(w, 0, reach);
    w_reach(w, 1, reach);
}

static inline bool has_keys(const struct world *w, int i)
{
    return pv_session_has_keys(w->n[i].session, w->now);
}

static inline void w_want_for(struct world *w, int i, pv_ns duration)
{
    w_want(w, i);
    w_run(w, duration);
}

/* A complete handshake begun by node i. */
static inline void w_connect(struct world *w, int i)
{
    w_want_for(w, i, PV_MS(200));
    assert_true(has_keys(w, 0) && has_keys(w, 1));
}

static const struct w_options MEMBERS = {.members = true};
static const struct w_options REPEATING = {.members = true, .repeat = true};
static const struct w_options STATIC = {.members = false};

/* Does node i get a packet through to the other? */
static bool reaches(struct world *w, int i)
{
    unsigned before = w->n[1 - i].data_in;
    if (!w_send(w, i, false))
        return false;
    w_run(w, w->delay + PV_MS(1));
    return w->n[1 - i].data_in == before + 1;
}

static bool both_reach(struct world *w)
{
    return reaches(w, 0) && reaches(w, 1);
}

static const char *const WAYS[] = {"nowhere", "signal", "both", "udp", NULL};

static const struct test_count COUNTS[] = {
    TEST_COUNT(w_node, msg1, "msg1"),
    TEST_COUNT(w_node, msg2, "msg2"),
    TEST_COUNT(w_node, cookies, "cookies"),
    TEST_COUNT(w_node, done, "done"),
    TEST_COUNT(w_node, done_initiator, "done_initiator"),
    TEST_COUNT(w_node, give_ups, "give_ups"),
    TEST_COUNT(w_node, keepalives, "keepalives"),
    TEST_COUNT(w_node, data_in, "data_in"),
    TEST_COUNT(w_node, indices, "indices"),
    TEST_COUNT_WORDS(w_node, last_tx.via, "via", WAYS),
    TEST_COUNT_WORDS(w_node, has_keys, "has_keys", TEST_NO_YES),
    TEST_COUNT_WORDS(w_node, tries, "tries", TEST_NO_YES),
};

static const struct w_node *w_look(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        w->n[i].has_keys = has_keys(w, i);
        w->n[i].tries = pv_session_is_trying(w->n[i].session);
    }
    return w->n;
}

/* The nodes have counted this, and are this; node 0 first. */
#define expect(text) assert_counts(COUNTS, w_look(w), 2, text)

/* That much later. */
#define after(duration, text) \
    do {                      \
        w_run(w, duration);   \
        expect(text);         \
    } while (0)

/* That much after node i wanted a session. */
#define wanted(i, duration, text)   \
    do {                            \
        w_want_for(w, i, duration); \
        expect(text);               \
    } while (0)

PV_TEST(a_handshake_gives_both_sides_the_same_keys)
{
    for (int i = 0; i < 2; i++) {
        struct world *w = w_new(MEMBERS);
        w_connect(w, i);
        assert_int_equal(w->n[i].msg1, 1);
        assert_int_equal(w->n[1 - i].msg2, 1);
        assert_int_equal(w->n[i].keepalives, 1); /* the initiator proves the keys at once */
        expect("done 1");
        assert_int_equal(w->n[i].done_initiator, 1);
        assert_int_equal(w->n[1 - i].done_initiator, 0);
        assert_true(both_reach(w));
        expect("indices 1");
        assert_false(pv_session_is_trying(w->n[i].session));
        test_end(w);
    }
}

PV_TEST(the_responder_does_not_send_before_the_keys_are_proven)
{
    struct world *w = w_new(MEMBERS);
    w->delay = PV_MS(100);
    wanted(0, PV_MS(150), "msg2 - 1"); /* message 2 is under way */
    assert_int_equal(w->n[1].use, 0);
    expect("has_keys - no");
    w_run(w, PV_MS(100)); /* so is the keepalive */
    assert_int_equal(w->n[1].use, 0);
    w_run(w, PV_MS(100));
    assert_int_not_equal(w->n[1].use, 0);
}

PV_TEST(a_lost_message_is_retried_after_5_s_and_jitter)
{
    struct world *w = w_new(MEMBERS);
    w->loss = 100;
    w_want(w, 0);
    pv_ns first = w->n[0].last_msg1;
    after(PV_S(5) - 1, "msg1 1 -");
    after(PV_SESSION_JITTER + 1, "msg1 2 -");
    assert_true(w->n[0].last_msg1 - first >= PV_S(5));
    w->loss = 0;
    after(PV_S(6), "msg1 3 -");
    assert_true(both_reach(w));
}

PV_TEST(an_attempt_ends_after_90_s)
{
    struct world *w = w_new(STATIC);
    w->loss = 100;
    wanted(0, PV_S(90) - 1, "give_ups 0 -");
    after(1, "give_ups 1 -, msg1 17..18 -, indices 0 -");
    unsigned sent = w->n[0].msg1;
    w_run(w, PV_S(600));
    assert_int_equal(w->n[0].msg1, sent);
    expect("give_ups 1 -");
    w_want(w, 0); /* and may begin again */
    assert_int_equal(w->n[0].msg1, sent + 1);
}

PV_TEST(an_attempt_that_nobody_needs_any_more_ends_without_a_word)
{
    struct world *w = w_new(STATIC);
    pv_session_cancel(w->n[0].session); /* nothing is under way */
    w->loss = 100;
    w_want_for(w, 0, PV_S(12));
    unsigned sent = w->n[0].msg1;
    assert_true(sent >= 2 && pv_session_is_trying(w->n[0].session));
    pv_session_cancel(w->n[0].session);
    expect("tries no -");
    w_run(w, PV_S(200));
    assert_int_equal(w->n[0].msg1, sent);
}

PV_TEST(a_wish_during_an_attempt_lengthens_it)
{
    struct world *w = w_new(STATIC);
    w->loss = 100;
    w_want_for(w, 0, PV_S(60));
    wanted(0, PV_S(89), "give_ups 0 -");
    after(PV_S(2), "give_ups 1 -");
}

PV_TEST(when_messages_of_members_cross_the_lower_identity_wins)
{
    struct world *w = w_new(MEMBERS);
    w_want(w, 0);
    w_want_for(w, 1, PV_MS(21));
    assert_int_equal(w->n[0].last_status, PV_ERR_REFUSED);
    after(PV_MS(200), "done 1, done_initiator 1 0, indices 1");
    w_run(w, PV_S(20));           /* nothing goes on */
    expect("msg1 2 1, msg2 - 1"); /* the second one in case the first was lost */
}

PV_TEST(a_lost_message_of_the_lower_identity_is_repeated_when_they_cross)
{
    struct world *w = w_new(MEMBERS);
    w->loss = 100;
    w_want(w, 0);
    struct pv_session_transmit first = w->n[0].last_tx;
    w->loss = 0;
    w_want_for(w, 1, PV_MS(200));
    assert_false(w->n[0].last_tx.took_index);
    assert_memory_equal(first.msg, w->n[0].last_tx.msg, first.len);
    expect("done_initiator 1 -, done - 1");
}

PV_TEST(the_lower_identity_answers_when_its_own_messages_do_not_arrive)
{
    struct world *w = w_new(MEMBERS);
    w->cut[1] = true; /* node 1 can send but not receive */
    w_want_for(w, 0, PV_S(1));
    wanted(1, PV_S(4), "msg2 0 -");
    w_run(w, PV_S(2)); /* 5 s after the first message the retry of node 1 is answered */
    assert_true(w->n[0].msg2 > 0);
    w->cut[1] = false;
    w_run(w, PV_S(11));
    assert_true(both_reach(w));
}

/* Node 0 keeps its own message 1 when the other's are let through after 5 s, and that is slow. By
 * then the other's handshake is proven; node 1 heard of a new gen meanwhile and wants other keys.
 */
PV_TEST(an_answer_to_a_message_that_crossed_is_taken_after_the_keys_were_proven)
{
    struct world *w = w_new(MEMBERS);
    w->no_messages = true;
    w_want_for(w, 0, PV_MS(4990));
    w->no_messages = false;
    w->delay = PV_S(1); /* as a signal through the coordinator */
    after(PV_MS(350), "msg1 2 -");
    w->delay = PV_MS(20);
    w_connect(w, 1);
    expect("msg2 1 -, tries no -");

    struct w_packet *slow = w_next_packet(w);
    assert_non_null(slow);
    w->now = slow->due;
    pv_session_peer_new_gen(w->n[1].session);
    pv_session_want(w->n[1].session, w->now); /* what comes with the gen is before one of its own */
    w_deliver(w, slow);
    w_drain(w, 1);
    expect("msg2 - 1, msg1 - 1");
    after(PV_MS(200), "done - 2, tries - no, indices 2");
}

PV_TEST(a_message_that_nobody_answered_is_forgotten_after_the_keys_were_proven)
{
    struct world *w = w_new(MEMBERS);
    w->no_messages = true;
    wanted(0, PV_MS(5400), "msg1 2 -");
    w->no_messages = false;
    w_connect(w, 1);
    expect("tries no -, indices 2 -");
    after(PV_S(6), "indices 1 -, msg1 2 -");
}

/* Not even by a node that wants other keys meanwhile and has no way to say so. */
PV_TEST(a_message_that_nobody_answered_is_forgotten_while_other_keys_are_wanted)
{
    struct world *w = w_new(MEMBERS);
    w->no_messages = true;
    w_want_for(w, 0, PV_MS(5400));
    w->no_messages = false;
    w_connect(w, 1);
    expect("indices 2 -");
    w_reach(w, 0, PV_SESSION_NOWHERE);
    wanted(0, PV_S(6), "indices 1 -, msg1 2 -");
}

PV_TEST(crossing_messages_of_static_peers_resolve_by_retry)
{
    struct world *w = w_new(STATIC);
    w_want(w, 0);
    wanted(1, PV_S(1), "msg2 1");
    w_run(w, PV_S(20));
    assert_true(both_reach(w));
    expect("tries no");
}

/* Runs with a packet from each side in flow (or none) every half second. */
static void flow(struct world *w, pv_ns duration, bool from0, bool from1)
{
    for (pv_ns t = 0; t < duration; t += PV_MS(500)) {
        if (from0 && !w_send(w, 0, false))
            w_want(w, 0);
        if (from1 && !w_send(w, 1, false))
            w_want(w, 1);
        w_run(w, PV_MS(500));
    }
}

PV_TEST(the_initiator_rekeys_at_120_s_when_it_sends)
{
    struct world *w = w_new(MEMBERS);
    w_connect(w, 0);
    pv_ns start = w->n[0].last_msg1;
    flow(w, PV_S(119), true, true);
    expect("msg1 1 -");
    flow(w, PV_S(3), true, true);
    expect("msg1 2 -");
    expect("msg1 - 0"); /* the responder does not */
    assert_true(w->n[0].last_msg1 - start >= PV_S(120));
    expect("done 2, indices 2 -"); /* current and previous */
    flow(w, PV_S(600), true, true);
    expect("done 6..7 -");
    assert_int_equal(w->n[0].give_ups + w->n[1].give_ups, 0);
}

PV_TEST(packets_under_the_former_keys_are_still_taken_during_a_rekey)
{
    struct world *w = w_new(MEMBERS);
    w_connect(w, 0);
    uint32_t old = w->n[0].use;
    w_want_for(w, 1, PV_S(6));
    assert_int_not_equal(w->n[0].use, old);
    assert_non_null(w_find_key(&w->n[0], old));
    w->n[1].use = w->n[1].keys[0].index; /* a packet that was overtaken */
    assert_true(reaches(w, 1));
}

PV_TEST(an_initiator_that_only_receives_rekeys_at_165_s)
{
    struct world *w = w_new(MEMBERS);
    w_connect(w, 0);
    pv_ns born = w->n[0].keys[0].born;
    while (w->now < born + PV_S(170) && w->n[0].msg1 == 1) {
        /* Only node 1 sends; what node 0 sends itself would rekey at 120 s. */
        struct w_node *n = &w->n[0];
        n->seen.any_received = n->seen.data_received = w->now;
        pv_session_note_traffic(n->session, &n->seen, w->now);
        w->n[0].use = 0; /* its keepalives get lost before they are sealed */
        w_run(w, PV_MS(500));
    }
    expect("msg1 2 -");
    assert_in_range(w->n[0].last_msg1, born + PV_S(165), born + PV_S(166));
}

/* The responder's keys are older than the initiator's by the way of its answer. */
PV_TEST(packets_sent_with_keys_near_their_end_arrive)
{
    struct world *w = w_new(MEMBERS);
    w->delay = PV_S(2);
    w_want_for(w, 0, PV_S(7));
    w->no_messages = true;
    w_run(w, PV_S(160));
    unsigned sent[2] = {0, 0};
    while (has_keys(w, 0) || has_keys(w, 1)) {
        for (int i = 0; i < 2; i++) {
            if (has_keys(w, i) && w_send(w, i, false))
                sent[i]++;
        }
        w_run(w, PV_MS(100));
    }
    w_run(w, PV_S(2));
    assert_true(sent[0] > 0 && sent[1] > 0);
    assert_int_equal(w->n[1].data_in, sent[0]);
    assert_int_equal(w->n[0].data_in, sent[1]);
}

PV_TEST(keys_are_void_after_180_s_and_all_memory_of_them_after_540_s)
{
    struct world *w = w_new(MEMBERS);
    w_connect(w, 0);
    after(PV_S(174), "has_keys yes -");
    after(PV_S(2), "has_keys no -, indices 1 -");
    after(PV_S(5), "indices 0");
    for (size_t k = 0; k < W_KEYS; k++)
        assert_false(w->n[0].keys[k].used || w->n[1].keys[k].used);
    w_run(w, PV_S(360));
    assert_int_equal(pv_session_next_timeout(w->n[0].session), PV_NEVER);
    assert_int_equal(pv_session_next_timeout(w->n[1].session), PV_NEVER);
    w_connect(w, 1); /* the other way round */
    assert_true(reaches(w, 0));
}

/* Message 1 of node 0, caught before it leaves. */
static struct w_packet catch_msg1(struct world *w)
{
    w_want(w, 0);
    struct w_packet *p = w_next_packet(w);
    assert_non_null(p);
    struct w_packet copy = *p;
    p->used = false;
    return copy;
}

PV_TEST(a_replayed_message_1_is_refused)
{
    struct world *w = w_new(MEMBERS);
    struct w_packet old = catch_msg1(w);
    after(PV_S(6), "has_keys yes -");                          /* the retry is answered */
    assert_int_equal(w_initiation(w, 1, &old), PV_ERR_REPLAY); /* older than the greatest */
    w_run(w, PV_S(5));
    struct w_packet again = catch_msg1(w);
    assert_ok(w_initiation(w, 1, &again));
    w_run(w, PV_S(1));
    assert_int_equal(w_initiation(w, 1, &again), PV_ERR_REPLAY);
    expect("msg2 - 2");
}

PV_TEST(a_message_2_that_nobody_waits_for_is_refused)
{
    struct world *w = w_new(MEMBERS);
    struct pv_session_event e;
    w_want_for(w, 0, w->delay + PV_MS(1));
    const struct w_packet *p = w_next_packet(w);
    assert_non_null(p);
    const struct w_packet answer = *p;
    assert_int_equal(answer.len, PV_WGMSG_RESPONSE_LEN);
    w_run(w, PV_MS(200));
    for (int i = 0; i < 2; i++) {
        struct pv_session *s = w->n[i].session;
        assert_true(pv_session_has_keys(s, w->now));
        assert_int_equal(pv_session_handle_response(s, pv_view(answer.msg, answer.len), w->now),
                         PV_ERR_STATE);
        assert_int_equal(pv_session_poll_event(s, &e), PV_ERR_AGAIN);
    }
}

PV_TEST(fifty_messages_1_a_second_are_accepted_and_no_more)
{
    struct world *w = w_new(MEMBERS);
    struct w_node *n = &w->n[0];
    unsigned accepted = 0;
    struct pv_wg_remote remote;
    uint8_t psk[32] = {0};
    assert_ok(pv_wg_remote_init(&remote, &n->dev, w->n[1].dev.keys.pk, psk));
    for (unsigned ms = 0; ms < 1000; ms++) {
        struct pv_wg_pending pending = {.local_index = ms};
        struct w_packet p = {.len = PV_WGMSG_INITIATION_LEN, .via = PV_SESSION_BY_UDP};
        uint8_t tai64n[PV_TAI64N_LEN] = {0x40};
        pv_store_be32(tai64n + 8, ms);
        assert_ok(pv_wgmsg_initiate(&pending, &n->dev, &remote, &w->rng, tai64n, p.msg));
        int r = w_initiation(w, 1, &p);
        assert_true(r == PV_OK || r == PV_ERR_LIMIT);
        accepted += r == PV_OK ? 1u : 0u;
        w->now += PV_MS(1);
    }
    assert_int_equal(accepted, 50);
}

PV_TEST(under_load_a_cookie_is_asked_and_the_retry_carries_it)
{
    struct world *w = w_new(MEMBERS);
    w->n[1].under_load = true;
    wanted(0, PV_S(4), "cookies - 1, msg2 - 0");
    assert_ok(w->n[0].last_status);
    after(PV_S(2), "msg1 2 -, cookies - 1, msg2 - 1");
    assert_true(both_reach(w));
}

PV_TEST(with_different_psks_no_handshake_is_ever_done)
{
    struct world *w = w_new((struct w_options){.other_psk = true});
    w_want_for(w, 0, PV_S(30));
    assert_int_equal(w->n[0].last_status, PV_ERR_AUTH);
    assert_true(w->n[1].msg2 > 2);
    assert_int_equal(w->n[0].done + w->n[1].done, 0);
    after(PV_S(300), "give_ups 1 -");
    assert_int_equal(w->n[0].indices + w->n[1].indices, 0);
}

PV_TEST(timestamps_grow_when_the_clock_is_set_back)
{
    struct world *w = w_new(MEMBERS);
    w_connect(w, 0);
    w->n[0].stamp_us = 5; /* 1970 */
    w_run(w, PV_S(5));
    wanted(0, PV_S(1), "msg2 - 2, done 2 -");
}

PV_TEST(an_older_static_key_of_the_peer_or_of_ours_still_works)
{
    struct world *w = w_new(MEMBERS);
    struct pv_wg_device fresh;
    uint8_t sk[32], psk[32] = {0}, tai64n[PV_TAI64N_LEN] = {0x41};
    pv_rng_fill(&w->rng, sk, sizeof(sk));
    pv_wg_device_init(&fresh, test_keep_key(sk));

    /* Node 0 uses another key than node 1's session was made for; node 1's owner accepts it. */
    struct pv_wg_remote to1;
    struct pv_wg_pending pending = {.local_index = 9};
    struct w_packet p = {.len = PV_WGMSG_INITIATION_LEN, .via = PV_SESSION_BY_UDP};
    assert_ok(pv_wg_remote_init(&to1, &fresh, w->n[1].dev.keys.pk, psk));
    assert_ok(pv_wgmsg_initiate(&pending, &fresh, &to1, &w->rng, tai64n, p.msg));
    assert_ok(w_initiation(w, 1, &p));
    w_drain(w, 1);
    struct pv_wg_keys keys;
    struct pv_view msg2 = pv_view(w->n[1].last_tx.msg, PV_WGMSG_RESPONSE_LEN);
    assert_true(pv_wgmsg_mac1_ok(&fresh, msg2));
    assert_ok(pv_wgmsg_read_response(&pending, &fresh, &to1, msg2, &keys));

    /* A message made for a former key of node 1. */
    w->n[1].old_dev = fresh;
    tai64n[0] = 0x42;
    w->now += PV_S(1);
    assert_ok(pv_wg_remote_init(&to1, &w->n[0].dev, fresh.keys.pk, psk));
    assert_ok(pv_wgmsg_initiate(&pending, &w->n[0].dev, &to1, &w->rng, tai64n, p.msg));
    assert_ok(w_initiation(w, 1, &p));
    w_drain(w, 1);
    msg2 = pv_view(w->n[1].last_tx.msg, PV_WGMSG_RESPONSE_LEN);
    assert_ok(pv_wgmsg_read_response(&pending, &w->n[0].dev, &to1, msg2, &keys));
}

PV_TEST(a_remote_key_of_small_order_makes_no_session)
{
    struct world *w = w_new(MEMBERS);
    struct pv_session_config cfg = {.device = &w->n[0].dev, .rng = w->rng};
    struct pv_session *s = NULL;
    assert_int_equal(pv_session_new(&s, &cfg), PV_ERR_AUTH);
    assert_null(s);
    assert_null(pv_session_free(NULL));
}

PV_TEST(an_owner_that_does_not_drain_loses_nothing)
{
    struct world *w = w_new(MEMBERS);
    w_connect(w, 0);
    struct w_node *n = &w->n[1];
    unsigned keys = 0, gone = 0;
    w_run(w, PV_S(6));
    for (int i = 0; i < 100; i++) { /* handshakes whose events nobody polls */
        struct pv_session_transmit tx;
        struct w_packet p = catch_msg1(w);
        w->n[0].stamp_us += 6000000;
        if (w_initiation(w, 1, &p) == PV_OK &&
            pv_session_poll_transmit(n->session, 0x70000 + (uint32_t)i, 0, w->now, &tx) == PV_OK)
            keys++;
        w->now += PV_S(6);
        pv_session_handle_timeout(w->n[0].session, w->now);
        pv_session_handle_timeout(n->session, w->now);
    }
    struct pv_session_event e;
    while (pv_session_poll_event(n->session, &e) == PV_OK)
        gone += e.type == PV_SESSION_INDEX_GONE ? 1u : 0u;
    assert_true(keys >= 5 && keys < 100);
    assert_int_equal(gone, keys - 3); /* each replaced the third before it */
}

/* A peer that has our answer sends with its keys, and begins anew at once: when its message 1
 * overtakes the data, these keys must be there still. */
PV_TEST(keys_of_the_answer_before_are_received_with)
{
    struct world *w = w_new(MEMBERS);
    struct w_node *n = &w->n[1];
    struct pv_session_event e;
    const uint32_t first = 0x70000;
    unsigned keys = 0;
    for (uint32_t i = 0; i < 4; i++) {
        struct pv_session_transmit tx;
        struct w_packet p = catch_msg1(w);
        w->n[0].stamp_us += 6000000;
        assert_ok(w_initiation(w, 1, &p));
        assert_ok(pv_session_poll_transmit(n->session, first + i, 0, w->now, &tx));
        while (pv_session_poll_event(n->session, &e) == PV_OK) {
            keys += e.type == PV_SESSION_KEYS ? 1u : 0u;
            /* The fourth answer takes the place of the first. */
            assert_true(e.type != PV_SESSION_INDEX_GONE || (i == 3 && e.index == first));
        }
        w->now += PV_S(6);
        pv_session_handle_timeout(w->n[0].session, w->now);
        pv_session_handle_timeout(n->session, w->now);
    }
    assert_int_equal(keys, 4);
}

/* Both sides send now and then over a bad wire for an hour: it never stays silent, and all that
 * arrives was sealed with keys both have (w_deliver asserts it). */
PV_TEST(an_hour_over_a_bad_wire_ends_with_a_working_session)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct world *w = w_new((struct w_options){.members = seed % 2 == 0, .seed = seed});
        w->loss = 30;
        for (int i = 0; i < 1200; i++) {
            int from = (int)pv_rng_below(&w->rng, 2);
            w->delay = PV_MS(5 + pv_rng_below(&w->rng, 300));
            if (!w_send(w, from, false))
                w_want(w, from);
            w_run(w, PV_MS(pv_rng_below(&w->rng, 6000)));
        }
        w->loss = 0;
        w->delay = PV_MS(20);
        w_want(w, 0);
        w_want_for(w, 1, PV_S(20));
        assert_true(both_reach(w));
        assert_true(w->n[0].indices <= 4 && w->n[1].indices <= 4);
        assert_true(w->n[0].done > 20);
        test_end(w);
    }
}

/* --- traffic timers, and messages while there is no path ------------------------------------- */

/* The tests here count keepalives beyond the one that proves the keys. */
static struct world *connected(struct w_options o)
{
    struct world *w = w_new(o);
    w_connect(w, 0);
    w->n[0].keepalives = 0;
    w->n[1].keepalives = 0;
    return w;
}

PV_TEST(one_keepalive_answers_data_after_10_s)
{
    struct world *w = connected(MEMBERS);
    assert_true(w_send(w, 0, false));
    w_run(w, w->delay);
    after(PV_S(10) - 1, "keepalives - 0");
    after(1, "keepalives - 1");
    w_run(w, PV_S(60)); /* a keepalive is not answered */
    assert_int_equal(w->n[0].keepalives + w->n[1].keepalives, 1);
    expect("msg1 1 -");
}

PV_TEST(data_the_other_way_saves_the_keepalive)
{
    struct world *w = connected(MEMBERS);
    assert_true(w_send(w, 0, false));
    w_run(w, PV_S(9));
    assert_true(w_send(w, 1, false));
    after(PV_S(9), "keepalives - 0");
    after(PV_S(2), "keepalives 1 -"); /* now node 0 owes one */
}

PV_TEST(silence_after_data_begins_a_handshake_after_15_s)
{
    struct world *w = connected(MEMBERS);
    w->cut[1] = true;
    pv_ns first = w->now;
    for (int i = 0; i < 20; i++) { /* later packets do not push it back */
        (void)!w_send(w, 0, false);
        w_run(w, PV_S(1));
    }
    expect("msg1 2 -");
    assert_in_range(w->n[0].last_msg1, first + PV_S(15), first + PV_S(15) + PV_SESSION_JITTER);
    w->cut[1] = false;
    after(PV_S(6), "done 2 -");
}

PV_TEST(an_answer_in_time_begins_nothing)
{
    struct world *w = connected(MEMBERS);
    for (int i = 0; i < 8; i++) {
        assert_true(w_send(w, 0, false));
        w_run(w, PV_S(14)); /* the keepalive after 10 s is answer enough */
    }
    expect("msg1 1 -");
}

PV_TEST(without_a_path_both_timers_stand_still)
{
    struct world *w = connected(MEMBERS);
    w->loss = 100;
    assert_true(w_send(w, 0, false)); /* unheard after 15 s */
    w->n[1].seen.data_received = w->n[1].seen.any_received = w->now + 1;
    pv_session_note_traffic(w->n[1].session, &w->n[1].seen, w->now + 1); /* owes after 10 s */
    w_run(w, PV_S(5));
    w_reach(w, 0, PV_SESSION_NOWHERE);
    w_reach(w, 1, PV_SESSION_BY_SIGNAL);
    after(PV_S(50), "msg1 1 -, keepalives - 0");
    w_reach_both(w, PV_SESSION_BY_UDP);
    after(PV_S(4), "keepalives - 0");
    after(PV_S(2), "keepalives - 1, msg1 1 -"); /* 5 + 5 s */
    after(PV_S(5), "msg1 2 -");                 /* 5 + 10 s */
}

PV_TEST(persistent_keepalives_begin_at_once_and_never_give_up)
{
    struct world *w = w_new((struct w_options){.persistent = 25});
    after(PV_S(1), "done 1 -"); /* nobody had asked for it */
    unsigned before = w->n[0].keepalives;
    w_run(w, PV_S(100));
    assert_in_range(w->n[0].keepalives - before, 3, 4);
    w_run(w, PV_S(600)); /* keys are renewed on the way */
    assert_true(w->n[0].done >= 5);
    expect("has_keys yes -");
    w->loss = 100;
    w_run(w, PV_S(1000));
    w->loss = 0;
    after(PV_S(40), "has_keys yes -");
}

PV_TEST(nothing_is_sent_to_a_peer_that_cannot_be_reached)
{
    struct world *w = w_new(MEMBERS);
    w_reach(w, 0, PV_SESSION_NOWHERE);
    wanted(0, PV_S(300), "msg1 0 -, give_ups 0 -");
    w_reach(w, 0, PV_SESSION_BY_UDP);
    expect("msg1 1 -");
    after(PV_S(1), "done 1 -");
}

PV_TEST(messages_by_signal_make_keys_before_there_is_a_path)
{
    struct world *w = w_new(MEMBERS);
    w_reach_both(w, PV_SESSION_BY_SIGNAL);
    w_want(w, 0);
    expect("via signal -");
    w_run(w, PV_S(2));
    expect("via - signal, has_keys yes -, keepalives 0 -, done - 0");

    /* The responder finds the path first and has data: it waits for the proof. */
    w_reach(w, 1, PV_SESSION_BY_UDP);
    wanted(1, PV_MS(100), "msg1 - 0");
    w_reach(w, 0, PV_SESSION_BY_UDP);
    expect("keepalives 1 -");
    after(PV_MS(100), "done - 1");
    after(PV_S(20), "msg1 1 0");
}

PV_TEST(a_responder_that_waits_in_vain_for_the_proof_begins_itself)
{
    struct world *w = w_new(MEMBERS);
    w_reach_both(w, PV_SESSION_BY_SIGNAL);
    w_want_for(w, 0, PV_S(2));
    w_reach(w, 1, PV_SESSION_BY_UDP);
    wanted(1, PV_MS(999), "msg1 - 0");
    after(PV_MS(100), "msg1 - 1, done - 1");
}

PV_TEST(a_responder_whose_path_is_silent_does_not_wait_for_ever)
{
    struct world *w = w_new(MEMBERS);
    w_reach_both(w, PV_SESSION_BY_SIGNAL);
    w_want_for(w, 0, PV_S(2));
    w_reach(w, 1, PV_SESSION_BY_UDP);
    w_want_for(w, 1, PV_MS(500));
    w_reach(w, 1, PV_SESSION_BY_BOTH); /* without keys nothing is heard on it */
    after(PV_MS(499), "msg1 - 0");
    after(PV_MS(100), "msg1 - 1, via - signal");
    after(PV_S(2), "done - 1");
}

PV_TEST(keys_are_proved_over_a_silent_path_and_again_when_it_is_heard)
{
    struct world *w = w_new(REPEATING);
    w_reach(w, 0, PV_SESSION_BY_BOTH);
    w_reach(w, 1, PV_SESSION_BY_SIGNAL);
    w_want(w, 0);
    expect("via signal -");
    while (w->n[0].done == 0)
        w_run(w, PV_MS(10));
    w->loss = 100;
    w_run(w, PV_MS(10));
    unsigned before = w->n[0].keepalives;
    assert_true(before > 0);
    expect("msg1 1 -");
    w_reach(w, 0, PV_SESSION_BY_UDP);
    assert_int_equal(w->n[0].keepalives, before + 1);
}

PV_TEST(a_message_lost_as_signal_is_repeated_when_the_path_begins)
{
    struct world *w = w_new(MEMBERS);
    w->loss = 100;
    w_reach(w, 0, PV_SESSION_BY_SIGNAL);
    w_want(w, 0);
    struct pv_session_transmit first = w->n[0].last_tx;
    w_run(w, PV_S(1));
    w->loss = 0;
    w_reach(w, 0, PV_SESSION_BY_UDP);
    expect("msg1 2 -, via udp -");
    assert_false(w->n[0].last_tx.took_index);
    assert_memory_equal(first.msg, w->n[0].last_tx.msg, first.len);
    after(PV_MS(100), "done 1");
}

PV_TEST(messages_by_signal_carry_no_mac2)
{
    struct world *w = w_new(MEMBERS);
    w->n[1].under_load = true;
    wanted(0, PV_S(1), "cookies - 1");
    w_reach(w, 0, PV_SESSION_BY_SIGNAL);
    after(PV_S(5), "msg1 2 -, via signal -");
    assert_true(pv_ct_is_zero(w->n[0].last_tx.msg + PV_WGMSG_INITIATION_LEN - 16, 16));
    expect("cookies - 1, msg2 - 1"); /* and are never answered by a cookie */
}

PV_TEST(a_new_gen_lifts_the_limit_on_sending_once)
{
    struct world *w = w_new(MEMBERS);
    w->loss = 100;
    w_reach(w, 0, PV_SESSION_BY_SIGNAL);
    w_want_for(w, 0, PV_S(1));
    w_want(w, 0);
    expect("msg1 1 -");
    pv_session_peer_new_gen(w->n[0].session);
    w_want(w, 0);
    expect("msg1 2 -");
    wanted(0, PV_S(4), "msg1 2 -");
    after(PV_S(2), "msg1 3 -");
}

/* A message 1 of node 0 as a signal, made whatever node 0's own limits say. */
static int signal_to_node1(struct world *w)
{
    struct pv_session_transmit tx;
    struct w_packet p = {.via = PV_SESSION_BY_SIGNAL};
    w_drain(w, 0);
    pv_session_peer_new_gen(w->n[0].session);
    pv_session_want(w->n[0].session, w->now);
    w->n[0].next_index += 0x100;
    assert_ok(pv_session_poll_transmit(w->n[0].session, w->n[0].next_index, w->n[0].stamp_us,
                                       w->now, &tx));
    w->n[0].indices++;
    p.len = tx.len;
    memcpy(p.msg, tx.msg, tx.len);
    int r = w_initiation(w, 1, &p);
    w_drain(w, 1);
    return r;
}

PV_TEST(messages_1_by_signal_are_limited_and_a_new_gen_lifts_that_once)
{
    struct world *w = w_new(MEMBERS);
    w_reach_both(w, PV_SESSION_BY_SIGNAL);
    assert_ok(signal_to_node1(w));
    w->now += PV_S(1);
    assert_int_equal(signal_to_node1(w), PV_ERR_LIMIT);
    pv_session_peer_new_gen(w->n[1].session);
    assert_ok(signal_to_node1(w));
    w->now += PV_S(1);
    assert_int_equal(signal_to_node1(w), PV_ERR_LIMIT);
    w->now += PV_SESSION_SIGNAL_GAP;
    assert_ok(signal_to_node1(w));
}

PV_TEST(a_peer_that_restarted_gets_new_keys_at_once)
{
    struct world *w = connected(MEMBERS);
    /* Node 1 restarts: it has no keys and does not know. Node 0 hears of its new gen. */
    pv_session_free(w->n[1].session);
    memset(w->n[1].keys, 0, sizeof(w->n[1].keys));
    w->n[1].indices = w->n[1].use = 0;
    w->n[1].session = w_session(w, 1, 0, &MEMBERS);
    pv_session_set_reach(w->n[1].session, PV_SESSION_BY_UDP, w->now);
    pv_session_peer_new_gen(w->n[0].session);
    wanted(0, PV_MS(100), "done 2 -, has_keys - yes");
}

PV_TEST(a_message_1_that_was_lost_is_repeated_after_half_a_second_and_doubling)
{
    struct world *w = w_new(REPEATING);
    w->cut[1] = true;
    wanted(0, PV_MS(499), "msg1 1 -");
    after(PV_MS(1), "msg1 2 -");
    after(PV_MS(500), "msg1 3 -");
    after(PV_S(1), "msg1 4 -");
    after(PV_MS(1999), "msg1 4 -");
    w->cut[1] = false;
    after(PV_MS(100), "msg1 5 -, done 1");
    after(PV_S(10), "msg1 5 -"); /* and no more than that */
}

/* The other end is not there yet: it starts a second later. */
PV_TEST(a_first_message_1_to_a_static_peer_is_repeated_and_later_ones_are_not)
{
    struct world *w = w_new((struct w_options){.repeat = true});
    w->cut[1] = true;
    wanted(0, PV_MS(990), "msg1 2 -");
    w->cut[1] = false;
    after(PV_MS(100), "msg1 3 -, done 1");
    unsigned proofs = w->n[0].keepalives;
    w_run(w, PV_S(5));
    assert_int_equal(w->n[0].keepalives, proofs); /* keys are proven once, as others do */

    w = w_new((struct w_options){.repeat = true});
    w->cut[1] = true;
    wanted(0, PV_MS(4990), "msg1 5 -");
    after(PV_S(10), "msg1 7 -");
}

PV_TEST(a_message_2_that_was_lost_is_given_again_to_who_repeats)
{
    struct world *w = w_new(REPEATING);
    w->cut[0] = true;
    wanted(0, PV_MS(450), "msg2 - 1");
    w->cut[0] = false;
    after(PV_MS(200), "msg1 2 -, msg2 - 2, done 1");
}

PV_TEST(a_message_1_that_a_dead_path_took_is_repeated_by_signal)
{
    struct world *w = w_new(MEMBERS);
    w->cut[1] = true;
    wanted(0, PV_MS(100), "msg1 1 -");
    w->cut[1] = false;
    w_reach(w, 0, PV_SESSION_BY_SIGNAL);
    after(PV_MS(100), "msg1 2 -, via signal -");
    assert_true(pv_ct_is_zero(w->n[0].last_tx.msg + PV_WGMSG_INITIATION_LEN - 16, 16));
    expect("done 1 -");
}

PV_TEST(retries_that_cross_make_keys_at_once)
{
    struct world *w = w_new(MEMBERS);
    w->no_messages = true;
    w_want(w, 0);
    w_want_for(w, 1, PV_MS(4990));
    assert_int_equal(w->n[0].msg1 + w->n[1].msg1, 2);
    w->no_messages = false;
    after(PV_MS(400), "done 1, has_keys yes"); /* both try again within a third of a second */
}

static struct w_packet as_signal(const struct pv_session_transmit *tx)
{
    struct w_packet p = {.via = PV_SESSION_BY_SIGNAL, .len = tx->len};
    memcpy(p.msg, tx->msg, tx->len);
    return p;
}

/* Node 1 began anew and is given an old message 1 of node 0, whose later one is meant for a former
 * life as well: each answers the other, and drops its own. */
PV_TEST(members_that_both_give_way_have_keys_at_once_and_lose_nothing_under_way)
{
    struct world *w = w_new(MEMBERS);
    w_connect(w, 0);
    w_run(w, PV_S(6));
    w_reach_both(w, PV_SESSION_BY_SIGNAL);
    w->loss = 100;
    w_want(w, 0);
    struct w_packet old = as_signal(&w->n[0].last_tx);
    after(PV_S(5) + PV_SESSION_JITTER, "msg1 3 -");
    w_want(w, 1);
    struct w_packet other = as_signal(&w->n[1].last_tx);
    w->loss = 0;
    w->delay = PV_MS(150);
    assert_true(w_send(w, 0, false) && w_send(w, 1, false)); /* with the keys of before */
    w->delay = PV_MS(20);
    assert_ok(w_initiation(w, 1, &old));
    pv_session_peer_new_gen(w->n[0].session);
    pv_session_want(w->n[0].session, w->now);
    assert_ok(w_initiation(w, 0, &other));
    w_drain(w, 0);
    w_drain(w, 1);
    w_reach_both(w, PV_SESSION_BY_UDP);
    w_run(w, PV_MS(100));
    assert_int_equal(w->n[0].done + w->n[1].done, 4); /* other keys are in use by now */
    after(PV_MS(100), "data_in 1");
    assert_true(both_reach(w));
}

PV_TEST(keys_are_proven_again_until_the_peer_uses_them)
{
    struct world *w = w_new(REPEATING);
    wanted(0, 2 * w->delay, "done 1 -");
    w->cut[1] = true; /* the empty packet that proves them is lost, and the next */
    w_run(w, PV_MS(600));
    w->cut[1] = false;
    expect("done - 0");
    after(PV_S(1), "done - 1");
    unsigned sent = w->n[0].keepalives;
    w_run(w, PV_S(100));
    assert_in_range(w->n[0].keepalives, sent, sent + 1);
}

PV_TEST(static_peers_that_are_to_repeat_nothing_repeat_nothing)
{
    struct world *w = w_new(STATIC);
    w->cut[0] = true;
    wanted(0, PV_MS(4900), "msg1 1 -, msg2 - 1");
}

PV_TEST(a_new_life_that_began_a_handshake_needs_none_of_ours)
{
    struct world *w = w_new(MEMBERS);
    w->delay = PV_MS(50);
    w_reach_both(w, PV_SESSION_BY_UDP);
    w_want_for(w, 0, PV_MS(10));
    /* Its new gen comes just before its message 1; packets wait here. */
    pv_session_peer_new_gen(w->n[1].session);
    w_run(w, PV_MS(50));
    wanted(1, PV_MS(500), "msg1 - 0, done 1");
}

/* --- preshared keys -------------------------------------------------------------------------- */

/* Two members agree on one while their session lives, and nothing is lost when another one comes.
 * Node 0 has the lower identity: it encapsulates, and learns last that the other one has the key
 * too. */

enum {
    FIRST = 0x123456,
    SECOND = 0x00abcd,
};

static void give(struct world *w, int i, uint32_t id, bool proven)
{
    uint8_t psk[PV_NOISE_PSK_LEN];
    memset(psk, (int)(id & 0xff), sizeof(psk));
    pv_session_add_psk(w->n[i].session, id, psk, proven, w->now);
}

static bool both_use(struct world *w, uint32_t id)
{
    return pv_session_psk(w->n[0].session) == id && pv_session_psk(w->n[1].session) == id;
}

PV_TEST(a_timestamp_carries_a_number)
{
    static const uint64_t times[] = {
        0, 1, PV_TAI64N_TICK - 1, PV_TAI64N_TICK, 999999999, 1700000000123456789u};
    static const uint32_t tags[] = {0, 1, 0x800000, 0xffffff};
    for (size_t i = 0; i < PV_ARRAY_LEN(times); i++) {
        uint8_t plain[PV_TAI64N_LEN], tagged[PV_TAI64N_LEN], next[PV_TAI64N_LEN];
        pv_tai64n_tagged(plain, times[i], 0);
        pv_tai64n_tagged(next, times[i] + PV_TAI64N_TICK, 0);
        for (size_t k = 0; k < PV_ARRAY_LEN(tags); k++) {
            pv_tai64n_tagged(tagged, times[i], tags[k]);
            assert_int_equal(pv_tai64n_tag(tagged), tags[k]);
            assert_true(memcmp(plain, tagged, sizeof(plain)) <= 0);
            assert_true(memcmp(tagged, next, sizeof(next)) < 0); /* the order of times stays */
        }
    }
}

PV_TEST(a_key_that_both_have_is_in_the_first_keys)
{
    for (int i = 0; i < 2; i++) {
        struct world *w = w_new(REPEATING);
        give(w, 0, FIRST, true);
        give(w, 1, FIRST, true);
        w_connect(w, i);
        assert_true(both_use(w, FIRST));
        after(PV_S(10), "done 1 -");
        test_end(w);
    }
}

/* 20 ms one way: the exchange is done when node 1 has the key, and a round trip and a half later
 * both send under it. */
PV_TEST(keys_in_use_are_replaced_within_a_round_trip_and_nothing_is_lost)
{
    for (int i = 0; i < 2; i++) {
        struct world *w = w_new(REPEATING);
        unsigned sent = 0, changed = 0;
        w_connect(w, i);
        assert_true(both_use(w, 0));
        for (unsigned ms = 0; ms < 4000; ms += 5) {
            if (ms == 100)
                give(w, 0, FIRST, false);
            if (ms == 120)
                give(w, 1, FIRST, true);
            if (changed == 0 && both_use(w, FIRST))
                changed = ms;
            sent += w_send(w, 0, false) ? 1u : 0u;
            w_run(w, PV_MS(5));
        }
        w_run(w, PV_MS(100));
        assert_in_range(changed, 160, 200);
        assert_int_equal(sent, 800);
        assert_int_equal(w->n[1].data_in, sent);
        expect("done 2 -"); /* once is enough */
        test_end(w);
    }
}

PV_TEST(a_newer_key_replaces_the_older_one)
{
    struct world *w = w_new(REPEATING);
    w_connect(w, 0);
    for (uint32_t id = 1; id <= 10; id++) {
        w_run(w, PV_S(1));
        give(w, 0, id, false);
        w_run(w, PV_MS(30));
        give(w, 1, id, true);
        w_run(w, PV_MS(300));
        assert_true(both_use(w, id));
    }
    expect("done 11 -");
}

/* Message by message is lost, however often: it heals by itself. */
PV_TEST(a_lost_message_is_made_up_for)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct w_options o = REPEATING;
        o.seed = seed;
        struct world *w = w_new(o);
        w_connect(w, (int)(seed & 1));
        w->loss = 30;
        give(w, 0, FIRST, false);
        w_run(w, PV_MS(pv_rng_below(&w->rng, 300)));
        give(w, 1, FIRST, true);
        for (int i = 0; i < 600 && !both_use(w, FIRST); i++) {
            (void)w_send(w, i & 1, false);
            w_run(w, PV_MS(100));
        }
        assert_true(both_use(w, FIRST));
        test_end(w);
    }
}

/* Node 1, whose turn it is, does not come through; node 0 waits for it, and then begins itself. */
PV_TEST(the_other_side_begins_when_the_first_does_not)
{
    struct world *w = w_new(REPEATING);
    w_connect(w, 0);
    give(w, 0, FIRST, true);
    for (int i = 0; i < 19; i++) {
        assert_true(w_send(w, 0, false));
        w_run(w, PV_MS(100));
    }
    expect("msg1 1 -");
    give(w, 1, FIRST, false); /* it has it, and does not know that node 0 knows */
    for (int i = 0; i < 10; i++) {
        assert_true(w_send(w, 0, false));
        w_run(w, PV_MS(100));
    }
    assert_true(both_use(w, FIRST));
}

/* A peer that began a new life answers without; who named the key forgets it and asks no more. */
PV_TEST(a_key_that_the_peer_lost_is_forgotten)
{
    for (int i = 0; i < 2; i++) {
        struct world *w = w_new(REPEATING);
        give(w, i, FIRST, true);
        w_connect(w, i);
        assert_true(both_use(w, 0));
        for (int k = 0; k < 100; k++) {
            assert_true(w_send(w, k & 1, false));
            w_run(w, PV_MS(200));
        }
        expect("done 1 -");
        /* Another one is agreed on, and all is well. */
        give(w, 0, SECOND, false);
        give(w, 1, SECOND, true);
        w_run(w, PV_S(6));
        assert_true(both_use(w, SECOND));
        test_end(w);
    }
}

/* Message 1 came before the exchange: the answer by signal is made with what the signal carries. */
PV_TEST(an_answer_by_signal_uses_the_key_that_goes_with_it)
{
    struct world *w = w_new(REPEATING);
    w_reach_both(w, PV_SESSION_BY_SIGNAL);
    w_want_for(w, 1, PV_MS(19));
    give(w, 0, FIRST, false);
    w_run(w, PV_MS(10)); /* message 2 is under way */
    give(w, 1, FIRST, true);
    w_run(w, PV_MS(30));
    w_reach_both(w, PV_SESSION_BY_UDP);
    w_run(w, PV_MS(100));
    assert_true(both_use(w, FIRST));
    expect("done 1 -");
    /* The first packet under it proved it: the next handshake, whoever begins, has it. */
    for (int i = 0; i < 2; i++)
        pv_session_set_suite(w->n[i].session, PV_SUITE_AES, w->now);
    after(PV_S(6), "done 2 -");
    assert_true(both_use(w, FIRST));
}

/* The other side begins anew, and its new offer replaces the one that was answered: what was made
 * with that key cannot be read there. Message 1 comes again, as it is, and is answered with the new
 * one. */
PV_TEST(an_answer_whose_key_was_replaced_is_made_anew)
{
    struct world *w = w_new(REPEATING);
    w_reach_both(w, PV_SESSION_BY_SIGNAL);
    w_want(w, 1);
    struct pv_session_transmit msg1 = w->n[1].last_tx;
    w_run(w, PV_MS(19));
    give(w, 0, FIRST, false);
    after(PV_MS(5), "msg2 1 -"); /* message 2 is under way */
    give(w, 0, SECOND, false);
    w_post(w, 0, &msg1);
    w_run(w, PV_MS(30));
    assert_int_equal(w->n[1].last_status, PV_ERR_AUTH); /* of the first one */
    expect("msg2 2 -");
    give(w, 1, SECOND, true);
    w_run(w, PV_MS(30));
    w_reach_both(w, PV_SESSION_BY_UDP);
    w_run(w, PV_MS(100));
    assert_true(both_use(w, SECOND));
    /* Once: the same again is a repetition from now on. */
    w_post(w, 0, &msg1);
    after(PV_S(5), "msg2 2 -");
}

/* A message 2 over the path uses nothing that its receiver may not have. */
PV_TEST(an_answer_over_the_path_uses_no_key_that_is_not_proven)
{
    struct world *w = w_new(REPEATING);
    w_want(w, 1);
    give(w, 0, FIRST, false);
    w_run(w, PV_MS(200));
    assert_true(both_use(w, 0));
    expect("has_keys - yes");
}

PV_TEST(a_key_that_will_not_get_there_is_dropped)
{
    struct world *w = w_new(REPEATING);
    w_reach_both(w, PV_SESSION_BY_SIGNAL);
    give(w, 0, FIRST, true);
    give(w, 1, FIRST, true);
    give(w, 0, SECOND, false);
    pv_session_drop_unproven(w->n[0].session);
    w_want_for(w, 1, PV_MS(100));
    w_reach_both(w, PV_SESSION_BY_UDP);
    w_run(w, PV_MS(100));
    assert_true(both_use(w, FIRST));
}

PV_TEST(a_static_peer_has_the_key_of_its_configuration)
{
    struct world *w = w_new(STATIC);
    give(w, 0, FIRST, true);
    give(w, 1, FIRST, true);
    w_connect(w, 0);
    assert_true(both_use(w, 0));
    expect("done 1 -");
}

PV_TEST(numbers_that_are_none_are_not_taken)
{
    struct world *w = w_new(REPEATING);
    for (int i = 0; i < 2; i++) {
        give(w, i, 0, true);
        give(w, i, PV_TAI64N_TICK, true);
    }
    w_connect(w, 0);
    assert_true(both_use(w, 0));
}

/* --- static keys that change while a session carries data ------------------------------------ */

/* Node i has a second key, for its messages 1 from now on; both are answered. */
static void change_key(struct world *w, int i)
{
    uint8_t sk[32];
    pv_rng_fill(&w->rng, sk, sizeof(sk));
    pv_wg_device_init(&w->n[i].old_dev, test_keep_key(sk));
    pv_session_set_device(w->n[i].session, &w->n[i].old_dev);
}

static void tell_peer(struct world *w, int i)
{
    assert_ok(pv_session_set_remote(w->n[1 - i].session, w->n[i].old_dev.keys.pk));
}

/* Packets both ways for that long: none may be lost that the wire did not lose. */
static void talk(struct world *w, pv_ns duration)
{
    unsigned before[2] = {w->n[0].data_in, w->n[1].data_in}, sent[2] = {0};
    for (pv_ns end = w->now + duration; w->now < end;) {
        for (int i = 0; i < 2; i++)
            sent[i] += w_send(w, i, false) ? 1u : 0u;
        w_run(w, PV_MS(50));
    }
    w_run(w, PV_MS(100));
    assert_int_equal(sent[0], duration / PV_MS(50));
    for (int i = 0; i < 2 && w->loss == 0; i++)
        assert_int_equal(w->n[i].data_in - before[i], sent[1 - i]);
}

PV_TEST(sessions_go_on_and_the_next_keys_are_made_with_the_new_key)
{
    for (int who = 1; who <= 3; who++) {
        for (int initiator = 0; initiator < 2; initiator++) {
            struct world *w = w_new(REPEATING);
            w_connect(w, initiator);
            unsigned done = w->n[0].done;
            for (int i = 0; i < 2; i++)
                if ((who & (1 << i)) != 0)
                    change_key(w, i);
            for (int i = 0; i < 2; i++)
                if ((who & (1 << i)) != 0)
                    tell_peer(w, i);
            talk(w, PV_S(5));
            assert_int_equal(w->n[0].done, done); /* nothing is made anew for it */
            talk(w, PV_S(150));
            for (int i = 0; i < 2; i++) {
                assert_true(w->n[i].done > done);
                assert_ptr_equal(w->n[i].agreed,
                                 (who & (1 << i)) != 0 ? &w->n[i].old_dev : &w->n[i].dev);
            }
            test_end(w);
        }
    }
}

PV_TEST(a_peer_that_has_not_heard_of_it_is_answered_under_the_key_of_before)
{
    struct world *w = w_new(REPEATING);
    w_connect(w, 1);
    change_key(w, 0);
    talk(w, PV_S(150)); /* node 1 makes the keys, and knows the first key only */
    assert_true(w->n[1].done_initiator > 1);
    assert_ptr_equal(w->n[0].agreed, &w->n[0].dev);
    tell_peer(w, 0);
    talk(w, PV_S(150));
    assert_ptr_equal(w->n[0].agreed, &w->n[0].old_dev);
}

PV_TEST(a_change_in_the_middle_of_a_handshake_costs_nothing)
{
    for (int who = 0; who < 2; who++) {
        struct world *w = w_new(REPEATING);
        w_connect(w, 0);
        w_run(w, PV_S(6));
        w_want(w, 0); /* its message 1 is on the wire */
        change_key(w, who);
        tell_peer(w, who);
        talk(w, PV_S(2));
        expect("msg1 2 -, done 2 -");
        test_end(w);
    }
}

PV_TEST(changes_under_loss_leave_no_time_without_keys)
{
    for (unsigned seed = 0; seed < 20; seed++) {
        struct w_options o = REPEATING;
        o.seed = seed;
        struct world *w = w_new(o);
        w_connect(w, (int)seed & 1);
        w->loss = 20;
        for (int i = 0; i < 2; i++)
            change_key(w, i);
        talk(w, PV_S(1 + seed));
        for (int i = 0; i < 2; i++)
            tell_peer(w, i);
        talk(w, PV_S(300));
        w->loss = 0;
        talk(w, PV_S(130));
        assert_ptr_equal(w->n[0].agreed, &w->n[0].old_dev);
        assert_ptr_equal(w->n[1].agreed, &w->n[1].old_dev);
        test_end(w);
    }
}

PV_TEST(a_handshake_begun_with_a_wiped_key_is_begun_anew)
{
    struct world *w = w_new(REPEATING);
    w->cut[1] = true;
    wanted(0, PV_S(1), "indices 1 -");
    change_key(w, 0);
    tell_peer(w, 0);
    pv_session_forget_device(w->n[0].session, &w->n[0].dev);
    memset(&w->n[0].dev, 0, sizeof(w->n[0].dev));
    w_drain(w, 0);
    expect("indices 0 -");
    w->cut[1] = false;
    after(PV_S(6), "has_keys yes -");
    assert_ptr_equal(w->n[0].agreed, &w->n[0].old_dev);
    talk(w, PV_S(1));
}

PV_TEST(an_initiation_to_a_wiped_key_is_not_answered)
{
    struct world *w = w_new(REPEATING);
    struct pv_session_transmit tx;
    struct pv_wg_initiation in;
    pv_session_want(w->n[1].session, w->now);
    assert_ok(pv_session_poll_transmit(w->n[1].session, 7, 1, w->now, &tx));
    assert_ok(pv_wgmsg_identify(&w->n[0].dev, pv_view(tx.msg, tx.len), &in));
    assert_ok(pv_session_handle_initiation(w->n[0].session, &in, PV_SESSION_BY_UDP, w->now));
    change_key(w, 0);
    pv_session_forget_device(w->n[0].session, &w->n[0].dev);
    assert_int_equal(pv_session_poll_transmit(w->n[0].session, 8, 1, w->now, &tx), PV_ERR_AGAIN);
}

PV_TEST(messages_of_an_attempt_are_counted)
{
    struct world *w = w_new(REPEATING);
    w->cut[0] = w->cut[1] = true;
    assert_int_equal(pv_session_tries(w->n[0].session), 0);
    w_want(w, 0);
    assert_int_equal(pv_session_tries(w->n[0].session), 1);
    w_run(w, PV_S(6));
    assert_int_equal(pv_session_tries(w->n[0].session), 2);
    w_run(w, PV_S(100)); /* given up */
    assert_int_equal(pv_session_tries(w->n[0].session), 0);
    w_want(w, 0);
    assert_int_equal(pv_session_tries(w->n[0].session), 1);
}

PV_TEST(a_key_of_small_order_changes_nothing)
{
    struct world *w = w_new(REPEATING);
    const uint8_t zero[32] = {0};
    assert_int_equal(pv_session_set_remote(w->n[0].session, zero), PV_ERR_AUTH);
    w_connect(w, 0);
}

/* --- message 1 without a path, for addresses of before --------------------------------------- */

static struct world *apart(void)
{
    struct world *w = w_new(REPEATING);
    w_reach_both(w, PV_SESSION_NOWHERE);
    return w;
}

/* A trial of node i; it arrives when it may. */
static int trial(struct world *w, int i, struct pv_session_transmit *ret_tx)
{
    struct w_node *n = &w->n[i];
    int r = pv_session_trial(n->session, n->next_index, n->stamp_us, w->now, ret_tx);
    if (r != PV_OK)
        return r;
    if (ret_tx->took_index) {
        n->next_index += 0x100;
        n->indices++;
    }
    n->msg1++;
    w_post(w, 1 - i, ret_tx);
    return PV_OK;
}

PV_TEST(a_trial_is_answered_and_makes_keys)
{
    struct world *w = apart();
    struct pv_session_transmit tx;
    assert_ok(trial(w, 0, &tx));
    assert_int_equal(tx.type, PV_WGMSG_INITIATION);
    after(PV_S(1), "msg2 - 1, has_keys yes -");
    /* With the path that the answer shows they are proven at once. */
    pv_session_set_reach(w->n[0].session, PV_SESSION_BY_UDP, w->now);
    after(PV_S(1), "has_keys - yes");
    assert_int_equal(w->n[0].done + w->n[1].done, 2);
}

PV_TEST(within_five_seconds_the_same_message_is_given_again)
{
    struct world *w = apart();
    struct pv_session_transmit first, second;
    w->no_messages = true;
    w->cut[1] = true;
    assert_ok(trial(w, 0, &first));
    after(PV_S(3), "msg1 1 -"); /* the session repeats nothing by itself */
    assert_ok(trial(w, 0, &second));
    assert_false(second.took_index);
    assert_memory_equal(first.msg, second.msg, PV_WGMSG_INITIATION_LEN);
    after(PV_S(17), "msg1 2 -");
    assert_ok(trial(w, 0, &second));
    assert_true(second.took_index);
    assert_memory_not_equal(first.msg, second.msg, PV_WGMSG_INITIATION_LEN);
    after(PV_S(200), "indices 0 -"); /* given up, nothing is left behind */
}

PV_TEST(a_trial_under_load_comes_back_with_the_cookie)
{
    struct world *w = apart();
    struct pv_session_transmit first, second;
    w->n[1].under_load = true;
    assert_ok(trial(w, 0, &first));
    after(PV_S(1), "cookies - 1, msg2 - 0");
    assert_ok(trial(w, 0, &second));
    assert_memory_equal(first.msg, second.msg, PV_WGMSG_INITIATION_LEN - 16);
    assert_memory_not_equal(first.msg, second.msg, PV_WGMSG_INITIATION_LEN); /* mac2 */
    after(PV_S(1), "cookies - 1, has_keys yes -");
}

PV_TEST(trials_that_cross_make_one_session)
{
    struct world *w = apart();
    struct pv_session_transmit tx;
    assert_ok(trial(w, 0, &tx));
    assert_ok(trial(w, 1, &tx));
    w_run(w, PV_S(1));
    /* The lower identity's stands: the other side answered, and tries no more. */
    expect("has_keys yes -, msg2 0 1");
    assert_int_equal(trial(w, 1, &tx), PV_ERR_AGAIN);
}

/* The answer to the peer's message was lost: one's own next trial repeats it. */
PV_TEST(a_trial_repeats_the_answer_to_the_peers_own)
{
    struct world *w = apart();
    struct pv_session_transmit tx;
    w->cut[0] = true;
    assert_ok(trial(w, 0, &tx));
    assert_ok(trial(w, 1, &tx));
    after(PV_S(1), "msg2 - 1, has_keys no -");
    w->cut[0] = false;
    assert_int_equal(trial(w, 1, &tx), PV_ERR_AGAIN);
    after(PV_S(1), "msg2 - 2, has_keys yes -");
}

/* --- suites: which one a session speaks, and how it changes to the other --------------------- */

static bool both_speak(struct world *w, enum pv_suite suite)
{
    for (int i = 0; i < 2; i++) {
        struct w_node *n = &w->n[i];
        const struct w_key *k = w_find_key(n, n->use);
        if (k == NULL || k->keys.suite != suite || pv_session_suite(n->session) != suite)
            return false;
    }
    return true;
}

PV_TEST(the_initiator_chooses_the_suite)
{
    for (int i = 0; i < 2; i++) {
        struct w_options o = MEMBERS;
        o.suite[0] = o.suite[1] = PV_SUITE_AES;
        struct world *w = w_new(o);
        w_connect(w, i);
        assert_true(both_speak(w, PV_SUITE_AES));
        assert_int_equal(w->n[i].last_tx.msg[3], 1);
        test_end(w);
    }
}

PV_TEST(members_that_learn_of_aes_change_over_without_losing_a_packet)
{
    for (int i = 0; i < 2; i++) {
        struct world *w = w_new(MEMBERS);
        unsigned sent = 0;
        w_connect(w, i);
        assert_true(both_speak(w, PV_SUITE_CHACHA));
        for (int k = 0; k < 2; k++)
            pv_session_set_suite(w->n[k].session, PV_SUITE_AES, w->now);
        for (int ms = 0; ms < 7000; ms += 10) {
            sent += w_send(w, 0, false) ? 1u : 0u;
            w_run(w, PV_MS(10));
        }
        w_run(w, PV_MS(100));
        assert_int_equal(sent, 700);
        assert_int_equal(w->n[1].data_in, sent);
        assert_true(both_speak(w, PV_SUITE_AES));
        expect("done 2 -"); /* once is enough */
        after(PV_S(30), "done 2 -");
        test_end(w);
    }
}

PV_TEST(a_change_that_came_before_the_first_keys_is_made_up_for)
{
    struct w_options o = MEMBERS;
    o.suite[0] = PV_SUITE_AES; /* node 1 has not heard of it, and begins */
    struct world *w = w_new(o);
    w_connect(w, 1);
    w_run(w, PV_S(7));
    assert_true(both_speak(w, PV_SUITE_AES));
}

PV_TEST(static_peers_refuse_the_suite_that_is_not_theirs)
{
    struct w_options o = {.strict = true, .suite = {PV_SUITE_AES, PV_SUITE_CHACHA}};
    struct world *w = w_new(o);
    for (int i = 0; i < 2; i++) {
        w_want_for(w, i, PV_S(2));
        assert_int_equal(w->n[1 - i].last_status, PV_ERR_UNSUPPORTED);
        assert_false(has_keys(w, 1 - i));
    }
}

/* DESIGN 7: after 2^26 messages; ChaCha20-Poly1305 goes on. */
PV_TEST(keys_of_aes_are_replaced_after_2_to_the_26_messages)
{
    for (int suite = 0; suite < PV_SUITES; suite++) {
        struct w_options o = MEMBERS;
        o.suite[0] = o.suite[1] = (enum pv_suite)suite;
        struct world *w = w_new(o);
        w_connect(w, 0);
        w_run(w, PV_S(6));
        unsigned before = w->n[0].done;
        w->n[0].seen.sent += PV_SESSION_REKEY_MESSAGES_AES - 3;
        assert_true(w_send(w, 0, false));
        w_run(w, PV_S(1));
        assert_int_equal(w->n[0].done, before);
        for (int k = 0; k < 3; k++)
            assert_true(w_send(w, 0, false));
        w_run(w, PV_S(1));
        assert_int_equal(w->n[0].done, before + (suite == PV_SUITE_AES ? 1u : 0u));
        test_end(w);
    }
}
