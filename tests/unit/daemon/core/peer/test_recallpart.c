/* SPDX-License-Identifier: MIT */
/* Members found again without the coordinator: what is kept, when addresses are tried. */
#include "daemon/core/peer/recall_part.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers x;
static struct pv_saved_endpoint saved[2];
static const struct pv_addr bobs = {.family = PV_AF_INET, .ip = {198, 51, 100, 7}, .port = 4000};

static int start(void **state)
{
    fake_peers_init(&x, &pv_part_recall);
    fake_node_enter(&x.f);
    x.f.node.coord_info.as_member = x.f.node.online = true;
    return 0;
}

static int stop(void **state)
{
    fake_peers_done(&x);
    return 0;
}

PV_TEST_WORLD(start, stop);

static void wait_for(pv_ns t)
{
    fake_node_wait(&x.f, t);
    fake_peers_settle(&x);
}

static void coordinator(bool there)
{
    x.f.node.online = there;
    pv_node_raise(&x.f.node, there ? PV_FACT_ONLINE : PV_FACT_OFFLINE);
    fake_peers_settle(&x);
}

/* Datagrams that leave for that address, and no other. */
static unsigned trials_at(const struct pv_addr *addr)
{
    struct pv_engine_transmit tx;
    unsigned n = 0;
    for (; pv_part_recall.poll_transmit(x.f.self, &tx); n++) {
        assert_true(pv_addr_equal(&tx.dst, addr));
        assert_int_equal(tx.len, PV_WGMSG_INITIATION_LEN);
        assert_false(tx.router);
    }
    return n;
}

/* The next job stores n addresses of bob's; it ends with status. */
static void expect_stored(const uint8_t *pk, size_t n, int status)
{
    struct pv_job *job = fake_node_job(&x.f);
    assert_non_null(job);
    assert_int_equal(job->kind, PV_JOB_PUT_ENDPOINTS);
    assert_memory_equal(job->u.put_endpoints.node, pk, 32);
    assert_int_equal(job->u.put_endpoints.n, n);
    fake_node_answer(&x.f, job, &(struct pv_job_result){.status = status, .error = "disk full"});
    fake_peers_settle(&x);
}

static struct pv_peer *start_with_bob(void)
{
    fake_node_start(&x.f);
    struct pv_peer *bob = fake_peers_member(&x, 1, "bob", 2);
    fake_peers_settle(&x);
    return bob;
}

PV_TEST(a_lost_member_is_tried_while_the_coordinator_is_away)
{
    struct pv_peer *bob = start_with_bob();
    fake_peers_path(&x, bob, &bobs);
    fake_peers_path(&x, bob, NULL);
    wait_for(PV_S(60));
    assert_int_equal(trials_at(&bobs), 0);
    assert_int_equal(fake_node_status(&x.f)->s.away_since_s, 0);

    coordinator(false);
    assert_int_not_equal(fake_node_status(&x.f)->s.away_since_s, 0);
    assert_int_equal(trials_at(&bobs), 0); /* the coordinator gets a moment to come back */
    wait_for(PV_RECALL_GRACE + PV_MS(1));
    assert_int_equal(trials_at(&bobs), 1);
    assert_true(pv_recall_is_trying(pv_recall_of(&x.f.node), pv_peer_pk(bob)));

    fake_peers_path(&x, bob, &bobs);
    wait_for(PV_S(60));
    assert_int_equal(trials_at(&bobs), 0);

    fake_peers_path(&x, bob, NULL);
    coordinator(true);
    trials_at(&bobs); /* sent before it was back */
    wait_for(PV_S(60));
    assert_int_equal(trials_at(&bobs), 0);
    assert_int_equal(fake_node_status(&x.f)->s.away_since_s, 0);
}

PV_TEST(nothing_is_missed_when_the_network_is_down)
{
    struct pv_peer *bob = start_with_bob();
    fake_peers_path(&x, bob, &bobs);
    fake_peers_path(&x, bob, NULL);
    x.f.node.up = false;
    coordinator(false);
    wait_for(PV_S(60));
    assert_int_equal(trials_at(&bobs), 0);
    assert_int_equal(fake_node_status(&x.f)->s.away_since_s, 0);
}

PV_TEST(addresses_are_stored_and_again_after_a_failure)
{
    struct pv_peer *bob = start_with_bob();
    uint8_t pk[32];
    memcpy(pk, pv_peer_pk(bob), sizeof(pk));
    fake_peers_path(&x, bob, &bobs);
    wait_for(PV_RECALL_STORE);
    expect_stored(pk, 1, PV_ERR_NO_SPACE);
    assert_true(x.f.node.store.failed);
    assert_null(fake_node_job(&x.f)); /* until the store's part says so */
    fake_node_raise(&x.f, PV_FACT_STORE);
    wait_for(PV_RECALL_STORE);
    expect_stored(pk, 1, PV_OK);

    pv_part_recall.on_member_gone(x.f.self, pk, x.f.now);
    pv_peers_drop(x.f.node.peers, bob, x.f.now);
    wait_for(PV_RECALL_STORE);
    expect_stored(pk, 0, PV_OK);
}

PV_TEST(stored_addresses_of_nobody_are_removed)
{
    const struct keys bob = keys_of(1), gone = keys_of(2);
    memcpy(saved[0].node, bob.pk, 32);
    memcpy(saved[1].node, gone.pk, 32);
    saved[0].addr = saved[1].addr = (struct pv_recall_addr){.addr = bobs, .seen_s = T0};
    x.f.saved.endpoints = saved;
    x.f.saved.n_endpoints = 2;
    struct pv_recall_item item;
    fake_peers_member(&x, 1, "bob", 2); /* the roster is there before facts are told */
    fake_node_start(&x.f);
    fake_peers_settle(&x);
    wait_for(PV_RECALL_STORE);
    pv_recall_get(pv_recall_of(&x.f.node), bob.pk, &item);
    assert_int_equal(item.n, 1);
    expect_stored(gone.pk, 0, PV_OK);
    coordinator(false);
    wait_for(PV_RECALL_GRACE + PV_MS(1));
    assert_int_equal(trials_at(&bobs), 1);
}

PV_TEST(a_node_that_leaves_the_network_forgets_all)
{
    struct pv_peer *bob = start_with_bob();
    uint8_t pk[32];
    struct pv_recall_item item;
    memcpy(pk, pv_peer_pk(bob), sizeof(pk));
    fake_peers_path(&x, bob, &bobs);
    pv_peers_drop_members(x.f.node.peers, x.f.now);
    test_end(x.f.node.roster);
    x.f.node.roster = NULL;
    fake_node_raise(&x.f, PV_FACT_NETWORK);
    pv_recall_get(pv_recall_of(&x.f.node), pk, &item);
    assert_int_equal(item.n, 0);
}

PV_TEST(the_word_of_peers_is_void_once_a_server_can_tell)
{
    fake_node_start(&x.f);
    x.f.node.ways.told[1] = (struct pv_told){.peer = 3, .local = bobs, .mapped = bobs};
    pv_node_raise(&x.f.node, PV_FACT_ONLINE);
    unsigned facts = x.f.node.facts;
    x.f.node.facts = 0;
    pv_part_recall.on_facts(x.f.self, facts, x.f.now);
    assert_int_equal(x.f.node.ways.told[1].peer, 0);
    assert_int_equal(x.f.node.facts, PV_FACT_TOLD);
}
