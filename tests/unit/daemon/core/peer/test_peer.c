/* SPDX-License-Identifier: MIT */
/*
 * Peers without an engine: limits and turns, retries, goodbyes, and descriptions that are wrong.
 * Whole meetings are in tests/sim.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "crypto/ct.h"
#include "crypto/dh.h"
#include "daemon/core/peer/peer_int.h"
#include "proto/stun/demux.h"
#include "tests/unit/test_util.h"

enum {
    MAX_PEERS = 64,
};

/* A node: its environment and its peers; the first is the other node. */
struct node {
    struct test_rng seed;
    struct pv_peer_env env;
    uint8_t pk[32];
    uint8_t dh_sk[32], dh_pk[32];
    struct pv_wg_device device;
    struct pv_addr addr;
    struct pv_peer *peers[MAX_PEERS];
    size_t n_peers;
    size_t n_descs; /* descriptions sent */
    struct pv_desc last;
};

struct world {
    pv_ns now;
    struct node n[2];
    bool no_signals;  /* descriptions are lost */
    bool no_network;  /* datagrams are lost */
    size_t datagrams; /* sent */
};

static void make_node(struct world *w, int i)
{
    struct node *n = &w->n[i];
    struct pv_peer_env *env = &n->env;
    env->rng = test_rng_make(&n->seed, 7 + (uint64_t)i);
    pv_rng_fill(&env->rng, n->pk, sizeof(n->pk));
    n->pk[0] = (uint8_t)i; /* the first has the lower identity key */
    pv_dh_keypair(&env->rng, n->dh_sk, n->dh_pk);
    pv_wg_device_init(&n->device, n->dh_sk);
    n->addr = pv_addr4(192, 0, 2, (uint8_t)(1 + i), 4000);
    env->own_pk = n->pk;
    env->device = &n->device;
    env->mtu = 1420;
    env->wall_us = UINT64_C(1800000000000000);
    env->wall_at = w->now;
    env->signalling = true;
    env->gen.safe = env->tai.safe = UINT64_MAX; /* marks are on disk */
    env->n_locals = 1;
    env->locals[0] = (struct pv_ice_cand){
        .type = PV_ICE_HOST,
        .addr = n->addr,
        .priority = pv_ice_priority(PV_ICE_HOST, 65535),
        .foundation = 1,
        .carrier = {.kind = PV_ICE_CARRIER_UDP, .local = n->addr},
    };
    assert_int_equal(pv_fp_builder_new(&env->fp, &env->rng), PV_OK);
    env->index_map = pv_map_make(&env->rng, PV_PEER_MAX_INDICES);
    env->ufrag_map = pv_map_make(&env->rng, PV_PEER_MAX);
}

static struct pv_peer *add_peer(struct world *w, int i, const uint8_t *pk, const uint8_t *transport)
{
    struct node *n = &w->n[i];
    struct pv_peer *p;
    assert_true(n->n_peers < MAX_PEERS);
    assert_int_equal(pv_peer_new_member(&p, &n->env, pk, transport), PV_OK);
    n->peers[n->n_peers++] = p;
    return p;
}

static void free_world(void *ctx)
{
    struct world *w = ctx;
    for (int i = 0; i < 2; i++) {
        struct node *n = &w->n[i];
        while (n->n_peers > 0)
            pv_peer_free(n->peers[--n->n_peers]);
        assert_null(n->env.indices);
        assert_null(n->env.ufrags);
        assert_int_equal(n->env.n_reaching, 0);
        pv_fp_builder_free(n->env.fp);
    }
    free(w);
}

static struct world *make_world(void)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    test_defer(free_world, w);
    w->now = PV_S(1000);
    make_node(w, 0);
    make_node(w, 1);
    for (int i = 0; i < 2; i++)
        add_peer(w, i, w->n[1 - i].pk, w->n[1 - i].dh_pk);
    return w;
}

/* A datagram of node i arrives at the other. */
static void deliver(struct world *w, int i, const struct pv_peer_transmit *tx)
{
    struct node *to = &w->n[1 - i];
    struct pv_peer *p = to->peers[0];
    const struct pv_carrier from = {
        .kind = PV_CARRIER_UDP, .local = to->addr, .remote = w->n[i].addr};
    struct pv_view data = pv_view(tx->buf, tx->len);
    struct pv_wg_initiation in;
    w->datagrams++;
    if (w->no_network || p == NULL || !pv_addr_equal(&tx->dst, &to->addr))
        return;
    switch (pv_demux(data)) {
    case PV_DEMUX_STUN:
        (void)!pv_peer_handle_stun(p, &from, data, w->now);
        break;
    case PV_DEMUX_WG_INITIATION:
        if (pv_wgmsg_identify(&to->device, data, &in) == PV_OK)
            (void)!pv_peer_handle_initiation(p, &in, &from, w->now);
        break;
    case PV_DEMUX_WG_RESPONSE:
        (void)!pv_peer_handle_reply(p, PV_WGMSG_RESPONSE, data, &from, w->now);
        break;
    default:
        fail_msg("a datagram that no peer sends");
    }
}

static bool pump_node(struct world *w, int i)
{
    struct node *n = &w->n[i];
    bool any = false;
    for (size_t k = 0; k < n->n_peers; k++) {
        struct pv_peer *p = n->peers[k];
        struct pv_peer_transmit tx;
        struct pv_desc desc;
        pv_peer_settle(p, w->now);
        while (n->env.signalling && pv_peer_take_desc(p, w->now, &desc)) {
            any = true;
            n->n_descs++;
            n->last = desc;
            if (k == 0 && !w->no_signals && w->n[1 - i].n_peers > 0)
                pv_peer_handle_desc(w->n[1 - i].peers[0], &desc, w->now);
        }
        while (pv_peer_poll_transmit(p, &tx) == PV_OK) {
            any = true;
            deliver(w, i, &tx);
        }
    }
    return any;
}

static void pump(struct world *w)
{
    unsigned rounds = 0;
    while (pump_node(w, 0) | pump_node(w, 1))
        assert_true(++rounds < 1000); /* they come to rest */
}

static void pass(struct world *w, pv_ns time)
{
    pv_ns end = w->now + time;
    pump(w);
    for (;;) {
        pv_ns next = PV_NEVER;
        for (int i = 0; i < 2; i++) {
            for (size_t k = 0; k < w->n[i].n_peers; k++)
                next = pv_min_ns(next, pv_peer_next_timeout(w->n[i].peers[k]));
        }
        if (next > end)
            break;
        w->now = next > w->now ? next : w->now + PV_US(1);
        for (int i = 0; i < 2; i++) {
            for (size_t k = 0; k < w->n[i].n_peers; k++) {
                if (pv_peer_next_timeout(w->n[i].peers[k]) <= w->now)
                    pv_peer_handle_timeout(w->n[i].peers[k], w->now);
            }
        }
        pump(w);
    }
    w->now = end;
}

static bool is_up(const struct world *w, int i)
{
    const struct pv_peer *p = w->n[i].peers[0];
    return p->state == PV_PEER_UP && pv_peer_has_path(p) && p->session != NULL;
}

static void want(struct world *w, int i)
{
    pv_peer_want(w->n[i].peers[0], "a test", w->now);
    pump(w);
}

/* --- meeting ------------------------------------------------------------------------------- */

static void a_wish_makes_a_path_and_keys_on_both_sides(void **state)
{
    (void)state;
    struct world *w = make_world();
    want(w, 0);
    pass(w, PV_S(1));
    assert_true(is_up(w, 0));
    assert_true(is_up(w, 1));
    assert_true(pv_session_has_keys(w->n[0].peers[0]->session, w->now));
    assert_int_equal(w->n[0].env.n_reaching, 0);
    assert_true((w->n[0].peers[0]->due & PV_PEER_DUE_KEEPALIVE) !=
                0); /* proves the keys to the responder */
}

static void nothing_is_sent_without_a_wish(void **state)
{
    (void)state;
    struct world *w = make_world();
    pv_peer_set_presence(w->n[0].peers[0], PV_PRESENCE_ONLINE, 1, w->now);
    pv_peer_env_changed(w->n[0].peers[0], true, w->now);
    pass(w, PV_S(600));
    assert_int_equal(w->n[0].n_descs + w->datagrams, 0);
}

static void a_peer_that_is_offline_is_reached_when_it_comes(void **state)
{
    (void)state;
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    pv_peer_set_presence(p, PV_PRESENCE_OFFLINE, 0, w->now);
    want(w, 0);
    pass(w, PV_S(10));
    assert_int_equal(p->state, PV_PEER_IDLE);
    assert_int_equal(w->n[0].n_descs, 0);
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 5, w->now);
    pass(w, PV_S(1));
    assert_true(is_up(w, 0));
}

static void nobody_waits_a_minute_for_a_peer_to_come(void **state)
{
    (void)state;
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    pv_peer_set_presence(p, PV_PRESENCE_OFFLINE, 0, w->now);
    want(w, 0);
    pass(w, PV_PEER_WANTED_FOR);
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 5, w->now);
    pass(w, PV_S(1));
    assert_int_equal(p->state, PV_PEER_IDLE);
}

/* --- failing and trying again ---------------------------------------------------------------- */

static void attempts_end_after_30_s_and_come_back_ever_slower(void **state)
{
    (void)state;
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    static const unsigned pauses[] = {5, 35, 60, 60};
    w->no_network = w->no_signals = true;
    want(w, 0);
    for (size_t i = 0; i < PV_ARRAY_LEN(pauses); i++) {
        pv_ns begun = w->now;
        assert_int_equal(p->state, PV_PEER_REACHING);
        assert_true(p->deadline == begun + PV_PEER_REACH_TIME);
        pass(w, PV_PEER_REACH_TIME - 1);
        assert_int_equal(p->state, PV_PEER_REACHING);
        pass(w, 1);
        assert_int_equal(p->state, PV_PEER_FAILED);
        pass(w, PV_S(pauses[i]) - 1);
        assert_int_equal(p->state, PV_PEER_FAILED);
        p->wanted_at = w->now; /* by packets, which do not begin an attempt */
        pass(w, 1);
    }
    w->no_network = w->no_signals = false;
    pass(w, PV_S(9)); /* descriptions are repeated every 8 s at least */
    assert_int_equal(p->state, PV_PEER_UP);
    assert_int_equal(p->retry, PV_PEER_RETRY_FIRST);
}

static void checks_that_all_failed_are_followed_by_silence(void **state)
{
    (void)state;
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    w->no_network = true; /* descriptions arrive, checks do not */
    want(w, 0);
    pass(w, PV_S(12));
    assert_int_equal(p->state, PV_PEER_FAILED);
    assert_int_equal(w->n[1].peers[0]->state, PV_PEER_FAILED);
    size_t sent = w->datagrams;
    for (unsigned i = 0; i < 30; i++) {
        want(w, 0); /* packets go on asking */
        pass(w, PV_S(1));
        assert_int_equal(w->datagrams, sent);
    }
    w->no_network = false;
    pass(w, PV_S(6));
    assert_int_equal(p->state, PV_PEER_UP);
}

static void without_a_wish_a_failed_attempt_is_the_last(void **state)
{
    (void)state;
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    w->no_network = w->no_signals = true;
    want(w, 0);
    pass(w, PV_S(600));
    assert_int_equal(p->state, PV_PEER_IDLE);
    size_t sent = w->datagrams + w->n[0].n_descs;
    assert_in_range(w->n[0].n_descs, 5, 150); /* the session repeats itself for 90 s */
    pass(w, PV_S(600));
    assert_int_equal(w->datagrams + w->n[0].n_descs, sent);
}

/* A relay that went away leaves a peer that is up without a path. A wish begins nothing as long as
 * the agent trusts what it chose, for the relay may be back at once. */
static void a_wish_without_a_carrier_begins_anew_when_the_choice_is_suspect(void **state)
{
    (void)state;
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    want(w, 0);
    pass(w, PV_S(1));
    assert_true(is_up(w, 0));
    pv_peer_use_path(p, NULL, w->now);
    want(w, 0);
    assert_int_equal(p->state, PV_PEER_UP);
    w->no_network = w->no_signals = true;
    pv_ice_kick(p->ice, w->now); /* as data does that gets no answer */
    for (unsigned i = 0; i < 100 && pv_ice_state(p->ice) != PV_ICE_CHECKING; i++)
        pass(w, PV_MS(100));
    assert_int_equal(pv_ice_state(p->ice), PV_ICE_CHECKING);
    assert_int_equal(p->state, PV_PEER_UP);
    assert_int_equal(pv_peer_path_state(p), PV_PATH_STATE_NONE);
    want(w, 0);
    assert_int_equal(p->state, PV_PEER_REACHING);
}

static void another_network_is_news_for_a_failed_peer(void **state)
{
    (void)state;
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    w->no_network = true;
    want(w, 0);
    pass(w, PV_PEER_REACH_TIME + PV_S(1));
    assert_int_equal(p->state, PV_PEER_FAILED);
    w->no_network = false;
    pv_peer_env_changed(p, true, w->now);
    pass(w, PV_S(1));
    assert_int_equal(p->state, PV_PEER_UP);
}

/* --- limits -------------------------------------------------------------------------------- */

static size_t count(const struct world *w, enum pv_peer_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n[0].n_peers; i++)
        n += w->n[0].peers[i]->state == state ? 1 : 0;
    return n;
}

static void crowd(struct world *w, size_t n)
{
    for (size_t i = w->n[0].n_peers; i < n; i++) {
        uint8_t pk[32], sk[32], transport[32];
        pv_rng_fill(&w->n[0].env.rng, pk, sizeof(pk));
        pv_dh_keypair(&w->n[0].env.rng, sk, transport);
        add_peer(w, 0, pk, transport);
    }
    for (size_t i = 0; i < n; i++)
        pv_peer_want(w->n[0].peers[i], "a test", w->now);
    pump(w);
}

static void twenty_attempts_begin_a_second_and_32_run_at_once(void **state)
{
    (void)state;
    struct world *w = make_world();
    w->no_signals = w->no_network = true;
    crowd(w, 60);
    assert_int_equal(count(w, PV_PEER_REACHING), PV_PEER_NEW_PER_S);
    pass(w, PV_S(2));
    assert_int_equal(count(w, PV_PEER_REACHING), PV_PEER_MAX_REACHING);
    assert_int_equal(w->n[0].env.n_reaching, PV_PEER_MAX_REACHING);
    pass(w, PV_PEER_REACH_TIME);
    assert_in_range(count(w, PV_PEER_REACHING), 20, PV_PEER_MAX_REACHING); /* the others' turn */
}

static bool asks_for_path(struct pv_peer *p)
{
    return !atomic_load(&pv_fp_builder_live(p->env->fp, p->id)->asked_path);
}

/* What a worker does when the first packet waits. */
static void ask_for_path(struct world *w, struct pv_peer *p)
{
    const struct pv_fp_punt punt = {.kind = PV_FP_PUNT_NEED_PATH, .peer = p->id};
    atomic_store(&pv_fp_builder_live(p->env->fp, p->id)->asked_path, true);
    pv_peer_handle_punt(p, &punt, w->now);
    pump(w);
}

static void packets_may_ask_again_whenever_nothing_is_under_way(void **state)
{
    (void)state;
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    w->no_network = true;
    ask_for_path(w, p);
    assert_int_equal(p->state, PV_PEER_REACHING);
    assert_false(asks_for_path(p));
    pv_peer_goodbye(p, w->now); /* in the middle of it */
    assert_true(asks_for_path(p));
    ask_for_path(w, p); /* a packet that was on its way; it is offline */
    assert_int_equal(p->state, PV_PEER_IDLE);
    assert_true(asks_for_path(p));
    pass(w, PV_S(100));
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 9, w->now);
    assert_int_equal(p->state, PV_PEER_IDLE); /* nobody waits any more */
    ask_for_path(w, p);
    assert_int_equal(p->state, PV_PEER_REACHING);
    pass(w, PV_PEER_REACH_TIME);
    assert_int_equal(p->state, PV_PEER_FAILED);
    assert_true(asks_for_path(p));
}

/* The NAT may have forgotten it, and a handshake over it would be repeated for 90 s. */
static void packets_that_wait_for_keys_wake_a_dormant_path(void **state)
{
    (void)state;
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    const struct pv_fp_punt punt = {.kind = PV_FP_PUNT_NEED_KEYS};
    want(w, 0);
    pass(w, PV_S(700));
    assert_int_equal(p->state, PV_PEER_UP);
    assert_int_equal(pv_ice_state(p->ice), PV_ICE_DORMANT);
    w->no_network = true;
    pv_peer_handle_punt(p, &punt, w->now);
    assert_int_not_equal(pv_ice_state(p->ice), PV_ICE_DORMANT);
}

static void who_wants_to_reach_us_needs_no_turn(void **state)
{
    (void)state;
    struct world *w = make_world();
    w->no_signals = w->no_network = true;
    struct pv_peer *first = w->n[0].peers[0];
    w->n[0].n_peers = 0; /* aside, so that it is not wanted with the crowd */
    crowd(w, 50);
    pass(w, PV_S(2));
    assert_int_equal(w->n[0].env.n_reaching, PV_PEER_MAX_REACHING);
    struct pv_peer *other = w->n[0].peers[0];
    w->n[0].peers[0] = first;
    w->no_signals = w->no_network = false;
    want(w, 1);
    pass(w, PV_S(1));
    assert_true(is_up(w, 0));
    pv_peer_free(other);
}

/* --- goodbye ------------------------------------------------------------------------------- */

static void a_goodbye_ends_the_path_at_once_and_a_return_is_noticed(void **state)
{
    (void)state;
    struct world *w = make_world();
    want(w, 0);
    pass(w, PV_S(1));
    struct pv_peer *p = w->n[0].peers[0];
    pv_peer_goodbye(p, w->now);
    assert_int_equal(p->state, PV_PEER_IDLE);
    assert_false(pv_peer_has_path(p));
    assert_int_equal(p->presence, PV_PRESENCE_OFFLINE);
    assert_null(w->n[0].env.ufrags);
    pv_peer_goodbye(p, w->now); /* twice is as good as once */
    want(w, 0);
    assert_int_equal(p->state, PV_PEER_IDLE);
    /* It comes back as another life. */
    pv_peer_free(w->n[1].peers[0]);
    w->n[1].n_peers = 0;
    add_peer(w, 1, w->n[0].pk, w->n[0].dh_pk);
    w->n[1].env.wall_us += 1000000;
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 77, w->now);
    pass(w, PV_S(1));
    assert_true(is_up(w, 0));
    assert_true(is_up(w, 1));
}

static void a_restart_is_noticed_by_the_new_connection(void **state)
{
    (void)state;
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 1, w->now);
    want(w, 0);
    pass(w, PV_S(1));
    pv_peer_free(w->n[1].peers[0]);
    w->n[1].n_peers = 0;
    pass(w, PV_S(2));
    add_peer(w, 1, w->n[0].pk, w->n[0].dh_pk);
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 2, w->now);
    pass(w, PV_MS(500));
    assert_true(is_up(w, 0));
    assert_true(is_up(w, 1));
    assert_true(pv_session_has_keys(w->n[1].peers[0]->session, w->now) ||
                pv_session_has_keys(p->session, w->now));
}

/* --- descriptions ---------------------------------------------------------------------------- */

/* Who takes it drops its own message 1 for it, and then neither gets an answer that it can use. */
static void a_description_holds_no_handshake_that_was_given_up(void **state)
{
    (void)state;
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    w->no_signals = true;
    want(w, 0);
    const struct pv_desc old = w->n[0].last;
    assert_true(old.wg_len > 0);
    pv_peer_goodbye(p, w->now);
    pass(w, PV_MS(100));
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 5, w->now);
    want(w, 0);
    const struct pv_desc *now = &w->n[0].last;
    assert_int_not_equal(now->gen, old.gen);
    assert_true(now->wg_len == 0 || memcmp(now->wg, old.wg, now->wg_len) != 0);
}

/* What node 1 would send now, taken without being delivered. */
static struct pv_desc describe(struct world *w)
{
    w->no_signals = true;
    want(w, 1);
    w->no_signals = false;
    assert_true(w->n[1].n_descs > 0);
    return w->n[1].last;
}

static void what_was_relayed_outlives_the_peer(void **state)
{
    (void)state;
    struct world *w = make_world();
    struct node *n = &w->n[1];
    struct pv_fp_live *live = pv_fp_builder_live(n->env.fp, n->peers[0]->id);
    struct pv_peer_relayed sum = {.tx = 1};
    assert_non_null(live);
    atomic_store(&live->tx_relayed[2], 5);
    atomic_store(&live->rx_relayed[2], 7);
    pv_peer_add_relayed(n->peers[0], 2, &sum);
    assert_int_equal(sum.tx, 6);
    assert_int_equal(sum.rx, 7);
    pv_peer_free(n->peers[--n->n_peers]);
    assert_int_equal(n->env.relayed_gone[2].tx, 5);
    assert_int_equal(n->env.relayed_gone[2].rx, 7);
    assert_int_equal(n->env.relayed_gone[0].tx, 0);
}

/* A former life had no room on its disk for its mark and used numbers above it. This one begins at
 * the same mark, but can store the next. */
static void a_generation_too_low_is_renumbered_once_its_mark_is_stored(void **state)
{
    enum {
        MARK = 1000, /* µs */
    };
    (void)state;
    struct world *w = make_world();
    struct pv_highwater *gen = &w->n[0].env.gen;
    *gen = pv_highwater_load(MARK);
    w->n[1].peers[0]->descx.theirs = (struct pv_descx_id){.gen = MARK + 50, .rev = 1};
    want(w, 0);
    assert_int_equal(w->n[0].last.gen, MARK + 1);
    pass(w, PV_S(1));
    assert_false(is_up(w, 1));
    pv_highwater_stored(gen, w->n[0].env.wall_us + PV_HIGHWATER_AHEAD_US);
    pass(w, PV_S(3));
    assert_true(w->n[0].last.gen > MARK + 50);
    assert_true(is_up(w, 0));
    assert_true(is_up(w, 1));
}

static void old_descriptions_change_nothing(void **state)
{
    (void)state;
    struct world *w = make_world();
    struct pv_desc d = describe(w);
    struct pv_peer *p = w->n[0].peers[0];
    pv_peer_handle_desc(p, &d, w->now);
    pass(w, PV_S(1));
    assert_true(is_up(w, 0));
    struct pv_desc old = d;
    old.gen--;
    old.rev = 99;
    pv_ice_make_creds(&w->n[1].env.rng, &old.creds);
    old.wg_len = 0;
    pv_peer_handle_desc(p, &old, w->now);
    pass(w, PV_S(1));
    assert_true(is_up(w, 0));
    assert_string_equal(p->remote.creds.ufrag, d.creds.ufrag);
}

static void a_handshake_for_somebody_else_is_not_taken(void **state)
{
    (void)state;
    struct world *w = make_world();
    struct pv_desc d = describe(w);
    struct pv_peer *p = w->n[0].peers[0];
    assert_int_equal(d.wg_len, PV_WGMSG_INITIATION_LEN);
    /* Node 1 as another member than the one who seals the description. */
    uint8_t sk[32], pk[32], transport[32];
    pv_dh_keypair(&w->n[0].env.rng, sk, transport);
    pv_rng_fill(&w->n[0].env.rng, pk, sizeof(pk));
    struct pv_peer *other = add_peer(w, 0, pk, transport);
    pv_peer_handle_desc(other, &d, w->now);
    assert_false(pv_session_has_keys(other->session, w->now));
    /* And one with a byte changed. */
    d.wg[40] ^= 1;
    pv_peer_handle_desc(p, &d, w->now);
    assert_false(pv_session_has_keys(p->session, w->now));
    pass(w, PV_S(11)); /* the honest side repeats itself */
    assert_true(is_up(w, 0));
}

static void descriptions_without_use_do_no_harm(void **state)
{
    (void)state;
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    struct pv_desc d = describe(w);
    struct pv_desc bad = d;
    w->no_signals = true; /* nothing but what follows */
    bad.gen -= 1000;
    bad.n_cands = 0;
    bad.wg_len = 0;
    pv_peer_handle_desc(p, &bad, w->now);
    pass(w, PV_S(1));
    assert_int_not_equal(p->state, PV_PEER_UP);
    bad.rev++;
    bad.n_cands = PV_ICE_MAX_REMOTE; /* all of them unusable */
    for (size_t i = 0; i < bad.n_cands; i++) {
        bad.cands[i] = d.cands[0];
        bad.cands[i].addr = pv_addr4(127, 0, 0, 1, (uint16_t)(1 + i));
    }
    pv_peer_handle_desc(p, &bad, w->now);
    bad.rev++;
    memset(bad.creds.pwd, 0, sizeof(bad.creds.pwd)); /* no password */
    pv_peer_handle_desc(p, &bad, w->now);
    pump(w);
    assert_int_not_equal(p->state, PV_PEER_UP);
    pv_peer_handle_desc(p, &d, w->now);
    pass(w, PV_S(1));
    assert_true(is_up(w, 0));
}

static void two_wishes_at_once_make_one_session(void **state)
{
    (void)state;
    struct world *w = make_world();
    pv_peer_want(w->n[0].peers[0], "a test", w->now);
    pv_peer_want(w->n[1].peers[0], "a test", w->now);
    pass(w, PV_S(1));
    assert_true(is_up(w, 0));
    assert_true(is_up(w, 1));
    assert_true(pv_session_has_keys(w->n[0].peers[0]->session, w->now));
}

/* --- datagrams ----------------------------------------------------------------------------- */

static void an_initiation_out_of_the_blue_is_answered_to_its_source(void **state)
{
    (void)state;
    struct world *w = make_world();
    w->n[0].env.signalling = w->n[1].env.signalling = false;
    struct pv_peer *p = w->n[1].peers[0];
    const struct pv_carrier from = {
        .kind = PV_CARRIER_UDP, .local = w->n[1].addr, .remote = w->n[0].addr};
    /* What a node sends that starts without a coordinator. */
    struct pv_session *s;
    struct pv_session_config cfg = {
        .device = &w->n[0].device, .member = true, .lower_identity = true, .rng = w->n[0].env.rng};
    memcpy(cfg.remote_pk, w->n[1].dh_pk, 32);
    assert_int_equal(pv_session_new(&s, &cfg), PV_OK);
    pv_session_set_reach(s, PV_SESSION_BY_UDP, w->now);
    pv_session_want(s, w->now);
    struct pv_session_transmit tx;
    assert_int_equal(pv_session_poll_transmit(s, 55, w->n[0].env.wall_us, w->now, &tx), PV_OK);
    struct pv_wg_initiation in;
    assert_int_equal(pv_wgmsg_identify(&w->n[1].device, pv_view(tx.msg, tx.len), &in), PV_OK);
    assert_int_equal(pv_peer_handle_initiation(p, &in, &from, w->now), PV_OK);
    pv_peer_settle(p, w->now);
    struct pv_peer_transmit out;
    bool answered = false;
    while (pv_peer_poll_transmit(p, &out) == PV_OK) {
        if (pv_demux(pv_view(out.buf, out.len)) != PV_DEMUX_WG_RESPONSE)
            continue;
        answered = true;
        assert_true(pv_addr_equal(&out.dst, &w->n[0].addr));
        assert_int_equal(pv_session_handle_response(s, pv_view(out.buf, out.len), w->now), PV_OK);
    }
    assert_true(answered);
    pv_session_free(s);
}

static void a_path_on_trial_is_not_relayed_because_the_last_one_was(void **state)
{
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    const struct pv_carrier there = {.kind = PV_CARRIER_UDP, .remote = w->n[1].addr};
    (void)state;
    p->far_relay = true;
    pv_peer_proven_at(p, &there, w->now);
    assert_int_equal(p->path_state, PV_PATH_STATE_TRIAL);
    assert_true(pv_peer_is_direct(p));
}

static void stun_for_a_peer_without_an_agent_is_dropped(void **state)
{
    (void)state;
    struct world *w = make_world();
    const struct pv_carrier from = {.kind = PV_CARRIER_UDP, .remote = w->n[1].addr};
    uint8_t junk[20] = {0, 1};
    assert_int_equal(
        pv_peer_handle_stun(w->n[0].peers[0], &from, pv_view(junk, sizeof(junk)), w->now),
        PV_ERR_NOT_FOUND);
    assert_int_equal(pv_peer_handle_reply(w->n[0].peers[0], PV_WGMSG_RESPONSE,
                                          pv_view(junk, sizeof(junk)), &from, w->now),
                     PV_ERR_STATE);
}

static void all_indices_of_a_peer_are_one_workers(void **state)
{
    enum {
        WORKERS = 3,
        EACH = 4
    };
    struct world *w = make_world();
    struct node *n = &w->n[0];
    unsigned of_worker[WORKERS] = {0};
    (void)state;
    n->env.workers = WORKERS;
    for (uint8_t i = 1; i < WORKERS * EACH; i++) {
        uint8_t pk[32] = {9, i};
        add_peer(w, 0, pk, n->dh_pk);
    }
    for (size_t i = 0; i < n->n_peers; i++) {
        uint8_t worker = (uint8_t)pv_peer_fresh_index(n->peers[i]);
        assert_true(worker < WORKERS);
        of_worker[worker]++;
        for (unsigned k = 0; k < 20; k++)
            assert_int_equal((uint8_t)pv_peer_fresh_index(n->peers[i]), worker);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(of_worker[i], EACH);
}

int main(void)
{
    if (pv_crypto_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wish_makes_a_path_and_keys_on_both_sides),
        cmocka_unit_test(nothing_is_sent_without_a_wish),
        cmocka_unit_test(a_peer_that_is_offline_is_reached_when_it_comes),
        cmocka_unit_test(nobody_waits_a_minute_for_a_peer_to_come),
        cmocka_unit_test(attempts_end_after_30_s_and_come_back_ever_slower),
        cmocka_unit_test(checks_that_all_failed_are_followed_by_silence),
        cmocka_unit_test(a_wish_without_a_carrier_begins_anew_when_the_choice_is_suspect),
        cmocka_unit_test(without_a_wish_a_failed_attempt_is_the_last),
        cmocka_unit_test(another_network_is_news_for_a_failed_peer),
        cmocka_unit_test(twenty_attempts_begin_a_second_and_32_run_at_once),
        cmocka_unit_test(packets_may_ask_again_whenever_nothing_is_under_way),
        cmocka_unit_test(packets_that_wait_for_keys_wake_a_dormant_path),
        cmocka_unit_test(who_wants_to_reach_us_needs_no_turn),
        cmocka_unit_test(a_goodbye_ends_the_path_at_once_and_a_return_is_noticed),
        cmocka_unit_test(a_restart_is_noticed_by_the_new_connection),
        cmocka_unit_test(what_was_relayed_outlives_the_peer),
        cmocka_unit_test(a_description_holds_no_handshake_that_was_given_up),
        cmocka_unit_test(a_generation_too_low_is_renumbered_once_its_mark_is_stored),
        cmocka_unit_test(old_descriptions_change_nothing),
        cmocka_unit_test(a_handshake_for_somebody_else_is_not_taken),
        cmocka_unit_test(descriptions_without_use_do_no_harm),
        cmocka_unit_test(two_wishes_at_once_make_one_session),
        cmocka_unit_test(an_initiation_out_of_the_blue_is_answered_to_its_source),
        cmocka_unit_test(a_path_on_trial_is_not_relayed_because_the_last_one_was),
        cmocka_unit_test(stun_for_a_peer_without_an_agent_is_dropped),
        cmocka_unit_test(all_indices_of_a_peer_are_one_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
