/* SPDX-License-Identifier: MIT */
/* Peers without an engine: descriptions that are old, wrong or of no use, and datagrams that nobody
 * asked for. */
#include "peer_world.h"
#include "tests/unit/kem_double.h"

/* --- descriptions ---------------------------------------------------------------------------- */

/* A peer that takes it drops its own message 1 for it, and then neither gets an answer that it can
 * use. */
PV_TEST(a_description_holds_no_handshake_that_was_given_up)
{
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

/* The description that node 1 would send now, taken without being delivered. */
static struct pv_desc describe(struct world *w)
{
    w->no_signals = true;
    want(w, 1);
    w->no_signals = false;
    assert_true(w->n[1].n_descs > 0);
    return w->n[1].last;
}

PV_TEST(the_relayed_count_outlives_the_peer)
{
    struct world *w = make_world();
    struct node *n = &w->n[1];
    struct pv_peer_relayed sum = {.tx = 1};
    assert_int_equal(pv_fp_builder_use_peer(n->node.fp, n->peers[0]->id), PV_OK);
    struct pv_fp_live *live = pv_fp_builder_live(n->node.fp, n->peers[0]->id);
    assert_non_null(live);
    atomic_store(&live->tx_relayed[2], 5);
    atomic_store(&live->rx_relayed[2], 7);
    pv_peer_add_relayed(n->peers[0], 2, &sum);
    assert_int_equal(sum.tx, 6);
    assert_int_equal(sum.rx, 7);
    pv_peer_free(n->peers[--n->n_peers]);
    assert_int_equal(n->node.common->relayed_gone[2].tx, 5);
    assert_int_equal(n->node.common->relayed_gone[2].rx, 7);
    assert_int_equal(n->node.common->relayed_gone[0].tx, 0);
}

/* A former life had no room on its disk for its mark and used numbers above it. This one begins at
 * the same mark, but can store the next. */
PV_TEST(a_generation_too_low_is_renumbered_once_its_mark_is_stored)
{
    enum {
        MARK = 1000, /* µs */
    };
    struct world *w = make_world();
    struct pv_highwater *gen = &w->n[0].node.common->gen;
    *gen = pv_highwater_load(MARK, 0);
    w->n[1].peers[0]->descx.theirs = (struct pv_descx_id){.gen = MARK + 50, .rev = 1};
    want(w, 0);
    assert_int_equal(w->n[0].last.gen, MARK + 1);
    pass(w, PV_S(1));
    assert_false(is_up(w, 1));
    pv_highwater_stored(gen, w->n[0].node.wall.us + PV_HIGHWATER_AHEAD_US);
    pass(w, PV_S(3));
    assert_true(w->n[0].last.gen > MARK + 50);
    assert_true(is_up(w, 0));
    assert_true(is_up(w, 1));
}

PV_TEST(old_descriptions_change_nothing)
{
    struct world *w = make_world();
    struct pv_desc d = describe(w);
    struct pv_peer *p = w->n[0].peers[0];
    pv_peer_handle_desc(p, &d, w->now);
    pass(w, PV_S(1));
    assert_true(is_up(w, 0));
    struct pv_desc old = d;
    old.gen--;
    old.rev = 99;
    pv_ice_make_creds(&w->n[1].node.rng, &old.creds);
    old.wg_len = 0;
    pv_peer_handle_desc(p, &old, w->now);
    pass(w, PV_S(1));
    assert_true(is_up(w, 0));
    assert_string_equal(p->remote->creds.ufrag, d.creds.ufrag);
}

/* Node 0 hears that node 1 came online anew, and so repeats what it says; before that leaves, what
 * it says changes. */
static void repeat_behind(struct world *w)
{
    pv_peer_set_presence(w->n[0].peers[0], PV_PRESENCE_ONLINE, w->now, w->now);
}

PV_TEST(candidates_that_change_behind_a_repetition_arrive)
{
    struct world *w = make_world();
    struct pv_node_ways *ways = &w->n[0].node.ways;
    want(w, 0);
    pass(w, PV_S(1));
    assert_true(is_up(w, 0) && is_up(w, 1));
    repeat_behind(w);
    ways->locals[1] = ways->locals[0];
    ways->locals[1].addr.port++;
    ways->n_locals = 2;
    pv_peer_node_changed(w->n[0].peers[0], true, w->now);
    pass(w, PV_S(1));
    assert_int_equal(w->n[1].peers[0]->remote->n_cands, 2);
    repeat_behind(w);
    ways->caps = PV_DESC_CAP_NO_UDP;
    pv_peer_describe(w->n[0].peers[0]);
    pass(w, PV_S(1));
    assert_int_equal(w->n[1].peers[0]->remote->caps, PV_DESC_CAP_NO_UDP);
}

/* Nobody describes a dormant path whose candidates changed, until it is used. Where the other side
 * is the one that uses it, the acknowledgement is the first to say them. */
PV_TEST(candidates_that_change_while_a_path_is_dormant_arrive_with_its_use)
{
    struct world *w = make_world();
    struct pv_node_ways *ways = &w->n[0].node.ways;
    want(w, 0);
    pass(w, PV_S(700));
    assert_int_equal(pv_ice_state(w->n[0].peers[0]->ice), PV_ICE_DORMANT);
    ways->locals[1] = ways->locals[0];
    ways->locals[1].addr.port++;
    ways->n_locals = 2;
    ways->caps = PV_DESC_CAP_GROUPS;
    pv_peer_node_changed(w->n[0].peers[0], true, w->now);
    pass(w, PV_S(1));
    assert_int_equal(w->n[1].peers[0]->remote->n_cands, 1);
    want(w, 1);
    pass(w, PV_S(1));
    assert_int_equal(w->n[1].peers[0]->remote->n_cands, 2);
    assert_int_equal(w->n[1].peers[0]->remote->caps, PV_DESC_CAP_GROUPS);
}

/* The offer crosses a change of the one that answers, and comes while that one repeats itself. */
PV_TEST(an_answer_behind_a_repetition_arrives)
{
    struct world *w = make_world();
    for (int i = 0; i < 2; i++) {
        w->n[i].node.given.kem = &kem_double;
        w->n[i].node.given.pq = PV_PQ_ON;
        w->n[i].node.ways.caps = PV_DESC_CAP_PQ;
    }
    want(w, 0);
    pass(w, PV_S(1));
    struct pv_peer *p = w->n[1].peers[0]; /* the higher key: it offers */
    uint32_t before = pv_pqx_say(p->agreed.x)->have;
    assert_int_not_equal(before, 0);
    struct pv_desc offer, change;
    pv_peer_begin(p, "a test", w->now);
    assert_true(pv_peer_take_desc(p, w->now, &offer));
    assert_int_equal(offer.pq->kind, PV_DESC_PQ_OFFER);
    pv_peer_describe(w->n[0].peers[0]);
    assert_true(pv_peer_take_desc(w->n[0].peers[0], w->now, &change));
    pv_peer_handle_desc(p, &change, w->now);
    repeat_behind(w);
    pv_peer_handle_desc(w->n[0].peers[0], &offer, w->now);
    pass(w, PV_S(10));
    assert_int_not_equal(pv_pqx_say(p->agreed.x)->have, before);
}

/* Costs of ChaCha20 and AES; 0 = a version that tells none. */
PV_TEST(two_members_use_the_suite_that_costs_both_together_the_least)
{
    static const struct {
        uint32_t cost[2][PV_SUITES];
        bool aes[2]; /* the word for older versions */
        enum pv_suite suite;
    } rows[] = {
        {{{600, 700}, {2000, 300}}, {false, true}, PV_SUITE_AES},
        {{{600, 900}, {700, 500}}, {false, true}, PV_SUITE_CHACHA},
        {{{600, 600}, {600, 600}}, {true, true}, PV_SUITE_AES},
        {{{0, 0}, {2000, 300}}, {true, true}, PV_SUITE_AES},
        {{{0, 0}, {2000, 300}}, {false, true}, PV_SUITE_CHACHA},
        {{{600, 700}, {0, 0}}, {false, true}, PV_SUITE_CHACHA},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct world *w = make_world();
        for (int k = 0; k < 2; k++) {
            memcpy(w->n[k].node.ways.cost, rows[i].cost[k], sizeof(rows[i].cost[k]));
            w->n[k].node.ways.caps = rows[i].aes[k] ? PV_DESC_CAP_AES : 0;
        }
        want(w, 0);
        pass(w, PV_S(20));
        for (int k = 0; k < 2; k++)
            if (pv_session_suite(w->n[k].peers[0]->session) != rows[i].suite)
                fail_msg("row %zu, node %d: %s", i, k,
                         pv_suite_name(pv_session_suite(w->n[k].peers[0]->session)));
    }
}

PV_TEST(a_handshake_for_somebody_else_is_not_taken)
{
    struct world *w = make_world();
    struct pv_desc d = describe(w);
    struct pv_peer *p = w->n[0].peers[0];
    assert_int_equal(d.wg_len, PV_WGMSG_INITIATION_LEN);
    /* Node 1 as another member than the one who seals the description. */
    uint8_t sk[32], pk[32], transport[32];
    pv_dh_keypair(&w->n[0].node.rng, sk, transport);
    pv_rng_fill(&w->n[0].node.rng, pk, sizeof(pk));
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

PV_TEST(descriptions_without_use_do_no_harm)
{
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

PV_TEST(two_wishes_at_once_make_one_session)
{
    struct world *w = make_world();
    pv_peer_want(w->n[0].peers[0], "a test", w->now);
    pv_peer_want(w->n[1].peers[0], "a test", w->now);
    pass(w, PV_S(1));
    assert_true(is_up(w, 0));
    assert_true(is_up(w, 1));
    assert_true(pv_session_has_keys(w->n[0].peers[0]->session, w->now));
}

/* --- datagrams ----------------------------------------------------------------------------- */

PV_TEST(an_initiation_out_of_the_blue_is_answered_to_its_source)
{
    struct world *w = make_world();
    w->n[0].node.common->signalling = w->n[1].node.common->signalling = false;
    struct pv_peer *p = w->n[1].peers[0];
    const struct pv_carrier from = {
        .kind = PV_CARRIER_UDP, .local = w->n[1].addr, .remote = w->n[0].addr};
    /* The first message of a node that starts without a coordinator. */
    struct pv_session *s;
    struct pv_session_config cfg = {
        .device = &w->n[0].device, .member = true, .lower_identity = true, .rng = w->n[0].node.rng};
    memcpy(cfg.remote_pk, w->n[1].dh_pk, 32);
    assert_int_equal(pv_session_new(&s, &cfg), PV_OK);
    pv_session_set_reach(s, PV_SESSION_BY_UDP, w->now);
    pv_session_want(s, w->now);
    struct pv_session_transmit tx;
    assert_int_equal(pv_session_poll_transmit(s, 55, w->n[0].node.wall.us, w->now, &tx), PV_OK);
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

PV_TEST(a_path_on_trial_is_not_relayed_because_the_last_one_was)
{
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    const struct pv_carrier there = {.kind = PV_CARRIER_UDP, .remote = w->n[1].addr};
    p->relay.far = true;
    pv_peer_proven_at(p, &there, w->now);
    assert_int_equal(p->path_state, PV_PATH_STATE_TRIAL);
    assert_true(pv_peer_is_direct(p));
}

PV_TEST(stun_for_a_peer_without_an_agent_is_dropped)
{
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

PV_TEST(all_indices_of_a_peer_are_one_workers)
{
    enum {
        WORKERS = 3,
        EACH = 4
    };
    struct world *w = make_world();
    struct node *n = &w->n[0];
    unsigned of_worker[WORKERS] = {0};
    n->node.given.workers = WORKERS;
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
