/* SPDX-License-Identifier: MIT */
/* Members found again without the coordinator: whom to try, when and where; what is stored. */
#include "daemon/core/peer/recall.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

enum {
    MEMBERS_MAX = 120,
};

static struct fake_peers x;
static struct pv_peer *member[MEMBERS_MAX];
static unsigned n_members;

void test_before_each(void)
{
    fake_peers_init(&x, &pv_part_recall);
    fake_node_enter(&x.f);
    x.f.node.coord_info.as_member = x.f.node.online = true;
    n_members = 0;
}

static void add_members(unsigned n)
{
    for (; n_members < n; n_members++) {
        member[n_members] = fake_peers_member(&x, 1 + n_members, PV_STR("m%u", n_members),
                                              (uint16_t)(2 + n_members));
    }
}

static void begin(unsigned n)
{
    add_members(n);
    fake_node_start(&x.f);
    fake_peers_settle(&x);
}

static struct pv_addr addr(unsigned i)
{
    return pv_addr4(203, 0, 113, (uint8_t)(1 + i % 250), (uint16_t)(1000 + i));
}

static unsigned number_of(const struct pv_addr *a)
{
    return a->port - 1000u;
}

/* An address that the store had. */
static void load(unsigned i, struct pv_addr a, uint64_t seen_s)
{
    struct pv_saved_endpoint e = {.addr = {.addr = a, .seen_s = seen_s}};
    memcpy(e.node, pv_peer_pk(member[i]), sizeof(e.node));
    x.f.saved.endpoints = &e;
    x.f.saved.n_endpoints = 1;
    assert_ok(pv_part_recall.restore(x.f.self, &x.f.cfg, x.f.now));
    x.f.saved.n_endpoints = 0;
}

static void coordinator(bool there)
{
    x.f.node.online = there;
    pv_node_raise(&x.f.node, there ? PV_FACT_ONLINE : PV_FACT_OFFLINE);
    fake_peers_settle(&x);
}

static void look_at(unsigned i)
{
    pv_part_recall.on_peer(x.f.self, member[i], 0, x.f.now);
}

static void want(unsigned i)
{
    member[i]->wanted_at = x.f.now;
    look_at(i);
    member[i]->wanted_at = 0;
}

static void set_path(unsigned i, const struct pv_addr *a)
{
    fake_peers_path(&x, member[i], a);
}

/* A datagram that leaves now: the number of its address; -1: none does. */
static int take_trial(void)
{
    struct pv_engine_transmit tx;
    if (!pv_part_recall.poll_transmit(x.f.self, &tx))
        return -1;
    assert_int_equal(tx.len, PV_WGMSG_INITIATION_LEN);
    assert_false(tx.router);
    return (int)number_of(&tx.dst);
}

/* The next job, and whose addresses it stores; false: there is none. It ends with status. */
static bool take_store(int status, struct pv_job_put_endpoints *ret_put)
{
    struct pv_job *job = fake_node_job(&x.f);
    if (job == NULL)
        return false;
    assert_int_equal(job->kind, PV_JOB_PUT_ENDPOINTS);
    *ret_put = job->u.put_endpoints;
    fake_node_answer(&x.f, job, &(struct pv_job_result){.status = status, .error = "disk full"});
    return true;
}

static bool is_of(const struct pv_job_put_endpoints *put, const uint8_t *pk)
{
    return memcmp(put->node, pk, sizeof(put->node)) == 0;
}

/* Runs to the next datagram until then, and gives its number; -1: none leaves. */
static int next_trial(pv_ns until)
{
    struct pv_job_put_endpoints put;
    for (unsigned steps = 0; steps < 10000; steps++) {
        int number = take_trial();
        if (number >= 0)
            return number;
        while (take_store(PV_OK, &put))
            continue;
        pv_ns next = pv_part_recall.next_timeout(x.f.self);
        if (next > until)
            return -1;
        x.f.now = next > x.f.now ? next : x.f.now;
        fake_node_settle(&x.f);
    }
    fail_msg("the machine spins");
    return -1;
}

static unsigned trials_until(pv_ns until)
{
    unsigned n = 0;
    while (next_trial(until) >= 0)
        n++;
    x.f.now = until;
    return n;
}

static size_t known(unsigned i)
{
    const struct pv_recall_addr *addrs;
    return pv_recall_addrs(member[i], &addrs);
}

PV_TEST(trials_leave_at_0_1_3_5_and_then_every_15_seconds)
{
    static const unsigned at[] = {0, 1, 3, 5, 20, 35, 50};
    begin(1);
    load(0, addr(1), 10);
    load(0, addr(2), 30);
    load(0, addr(3), 20);
    pv_ns t0 = x.f.now;
    coordinator(false);
    for (size_t i = 0; i < PV_ARRAY_LEN(at); i++) {
        assert_int_equal(next_trial(t0 + PV_S(1000)), 2); /* newest first */
        assert_int_equal(x.f.now, t0 + PV_RECALL_GRACE + PV_S(at[i]));
        assert_int_equal(take_trial(), 3);
        assert_int_equal(take_trial(), 1);
        assert_int_equal(take_trial(), -1);
    }
}

PV_TEST(nobody_is_tried_while_the_coordinator_is_there)
{
    begin(1);
    load(0, addr(1), 10);
    want(0);
    assert_int_equal(trials_until(x.f.now + PV_S(900)), 0);
    assert_int_equal(fake_node_status(&x.f)->s.away_since_s, 0);
    coordinator(false);
    assert_int_not_equal(fake_node_status(&x.f)->s.away_since_s, 0);
    x.f.now += PV_RECALL_GRACE / 2;
    coordinator(true); /* it answered in time */
    assert_int_equal(trials_until(x.f.now + PV_S(900)), 0);
    assert_int_equal(pv_part_recall.next_timeout(x.f.self), PV_NEVER);
    assert_int_equal(fake_node_status(&x.f)->s.away_since_s, 0);
}

PV_TEST(nothing_is_missed_when_the_network_is_down)
{
    begin(1);
    load(0, addr(1), 10);
    x.f.node.up = false;
    coordinator(false);
    assert_int_equal(trials_until(x.f.now + PV_S(60)), 0);
    assert_int_equal(fake_node_status(&x.f)->s.away_since_s, 0);
}

PV_TEST(a_member_that_is_reached_is_left_alone_until_its_path_is_gone)
{
    const struct pv_addr a = addr(1);
    begin(1);
    set_path(0, &a);
    set_path(0, NULL);
    coordinator(false);
    assert_int_equal(next_trial(x.f.now + PV_S(1)), 1);
    assert_true(pv_recall_is_trying(member[0]));
    set_path(0, &a);
    want(0);
    assert_false(pv_recall_is_trying(member[0]));
    assert_int_equal(trials_until(x.f.now + PV_S(900)), 0);
    set_path(0, NULL);
    pv_ns gone = x.f.now;
    assert_int_equal(next_trial(gone + PV_S(2)), 1);
    assert_in_range(x.f.now, gone, gone + PV_S(1));
}

PV_TEST(trying_ends_after_ten_minutes_and_a_wish_or_a_move_begins_it_anew)
{
    begin(1);
    load(0, addr(1), 10);
    pv_ns t0 = x.f.now, last = 0;
    unsigned n = 0;
    coordinator(false);
    while (next_trial(t0 + PV_S(5000)) >= 0) {
        last = x.f.now;
        n++;
    }
    assert_in_range(last, t0 + PV_RECALL_FOR - PV_RECALL_EVERY, t0 + PV_RECALL_FOR);
    assert_in_range(n, 40, 45);
    x.f.now = t0 + PV_S(5000);
    want(0);
    assert_int_equal(next_trial(t0 + PV_S(5001)), 1);
    assert_int_equal(x.f.now, t0 + PV_S(5000));
    trials_until(t0 + PV_S(9000));
    fake_node_raise(&x.f, PV_FACT_MOVED);
    assert_int_equal(next_trial(t0 + PV_S(9001)), 1);
    assert_int_equal(x.f.now, t0 + PV_S(9000));
}

/* Its owner repeats a wish as often as it likes: that alone makes nothing due. */
PV_TEST(a_wish_that_is_repeated_at_once_leaves_the_part_at_rest)
{
    begin(PV_RECALL_AT_ONCE + 8);
    for (unsigned i = 0; i < n_members; i++)
        load(i, addr(i), 10);
    coordinator(false);
    x.f.now += PV_RECALL_GRACE;
    for (unsigned turn = 0; turn < 3; turn++) {
        for (unsigned i = 0; i < n_members; i++)
            want(i);
        fake_node_settle(&x.f);
        while (take_trial() >= 0)
            continue;
    }
    for (unsigned i = 0; i < n_members; i++)
        want(i);
    assert_true(pv_part_recall.next_timeout(x.f.self) > x.f.now);
}

/* Somebody pings every second: trials stay 15 s apart, and do not end. */
PV_TEST(wishes_that_go_on_do_not_make_more_trials)
{
    begin(1);
    load(0, addr(1), 10);
    pv_ns t0 = x.f.now;
    unsigned n = 0;
    coordinator(false);
    for (pv_ns t = t0 + PV_S(1); t < t0 + PV_S(2001); t += PV_S(1)) {
        want(0);
        n += trials_until(t);
    }
    assert_in_range(n, 130, 140);
    /* A wish after a pause is a new one. */
    trials_until(t0 + PV_S(2204));
    x.f.now = t0 + PV_S(2210);
    want(0);
    assert_int_equal(next_trial(t0 + PV_S(2300)), 1);
    assert_in_range(x.f.now, t0 + PV_S(2210), t0 + PV_S(2211));
}

PV_TEST(thirty_two_at_once_those_reached_last_first_and_all_in_turn)
{
    unsigned seen[MEMBERS_MAX] = {0}, different = 0;
    int number;
    begin(100);
    for (unsigned i = 0; i < n_members; i++)
        load(i, addr(i), 1000 + i);
    pv_ns t0 = x.f.now;
    coordinator(false);
    while ((number = next_trial(t0 + PV_S(1))) >= 0) {
        assert_true(number >= (int)n_members - PV_RECALL_AT_ONCE);
        different += seen[number]++ == 0 ? 1 : 0;
    }
    assert_int_equal(different, PV_RECALL_AT_ONCE);
    /* One that is wanted takes a place at once. */
    x.f.now = t0 + PV_S(2);
    want(3);
    bool found = false;
    while ((number = next_trial(t0 + PV_S(3))) >= 0)
        found = found || number == 3;
    assert_true(found);
    while ((number = next_trial(t0 + PV_S(200))) >= 0)
        seen[number]++;
    for (unsigned i = 0; i < n_members; i++)
        assert_true(seen[i] > 0);
}

PV_TEST(no_more_than_thirty_two_members_are_tried_in_any_second)
{
    struct test_rng draw = {.state = 9};
    begin(MEMBERS_MAX);
    for (unsigned i = 0; i < n_members; i++)
        load(i, addr(i), test_rng_next(&draw) % 1000);
    coordinator(false);
    for (unsigned step = 0; step < 120; step++) {
        unsigned m = (unsigned)(test_rng_next(&draw) % n_members);
        const struct pv_addr a = addr(m);
        switch (test_rng_next(&draw) % 4) {
        case 0:
            want(m);
            break;
        case 1:
            set_path(m, test_rng_next(&draw) % 2 == 0 ? &a : NULL);
            break;
        case 2:
            pv_part_recall.on_member_gone(x.f.self, pv_peer_pk(member[m]), x.f.now);
            break;
        default:
            if (step % 40 == 0)
                fake_node_raise(&x.f, PV_FACT_MOVED);
        }
        assert_in_range(trials_until(x.f.now + PV_S(1)), 0, 2 * PV_RECALL_AT_ONCE);
    }
}

PV_TEST(the_last_four_addresses_are_kept_and_stored_a_few_seconds_apart)
{
    struct pv_job_put_endpoints put;
    begin(1);
    for (unsigned i = 0; i < 6; i++) {
        const struct pv_addr a = addr(i);
        set_path(0, &a);
        assert_int_equal(take_store(PV_OK, &put), i == 0); /* the first one at once */
    }
    fake_node_wait(&x.f, PV_RECALL_STORE);
    assert_true(take_store(PV_OK, &put));
    assert_true(is_of(&put, pv_peer_pk(member[0])));
    assert_int_equal(put.n, PV_RECALL_ADDRS);
    for (unsigned i = 0; i < PV_RECALL_ADDRS; i++)
        assert_int_equal(number_of(&put.addrs[i].addr), 5 - i);
    assert_false(take_store(PV_OK, &put));
    /* It goes to and fro: an order that changes is stored, but not at once. */
    const struct pv_addr a = addr(3);
    pv_ns stored = x.f.now;
    set_path(0, &a);
    assert_false(take_store(PV_OK, &put));
    assert_int_equal(pv_part_recall.next_timeout(x.f.self), stored + PV_RECALL_STORE);
    fake_node_wait(&x.f, PV_RECALL_STORE);
    assert_true(take_store(PV_OK, &put));
    assert_int_equal(number_of(&put.addrs[0].addr), 3);
    assert_int_equal(put.n, PV_RECALL_ADDRS);
    /* The same address again: only the time is newer. */
    stored = x.f.now;
    set_path(0, NULL);
    set_path(0, &a);
    assert_int_equal(pv_part_recall.next_timeout(x.f.self), stored + PV_RECALL_REFRESH);
}

PV_TEST(a_member_that_is_gone_is_forgotten_on_disk_too)
{
    struct pv_job_put_endpoints put;
    uint8_t pk[PV_SIGN_PK_LEN];
    begin(1);
    load(0, addr(1), 10);
    memcpy(pk, pv_peer_pk(member[0]), sizeof(pk));
    coordinator(false);
    assert_int_equal(next_trial(x.f.now + PV_S(100)), 1);
    pv_part_recall.on_member_gone(x.f.self, pk, x.f.now);
    const struct pv_addr a = addr(2);
    set_path(0, &a);                                   /* its path is the last to hear of it */
    pv_peers_drop(x.f.node.peers, member[0], x.f.now); /* before the store is told */
    fake_node_settle(&x.f);
    assert_true(take_store(PV_OK, &put));
    assert_true(is_of(&put, pk));
    assert_int_equal(put.n, 0);
    assert_false(take_store(PV_OK, &put));
    assert_int_equal(trials_until(x.f.now + PV_S(900)), 0);
    pv_part_recall.on_member_gone(x.f.self, pk, x.f.now); /* nothing is known of it */
    fake_node_settle(&x.f);
    assert_false(take_store(PV_OK, &put));
}

PV_TEST(a_node_that_leaves_the_network_forgets_all)
{
    struct pv_job_put_endpoints put;
    uint8_t pk[PV_SIGN_PK_LEN];
    begin(1);
    load(0, addr(1), 10);
    memcpy(pk, pv_peer_pk(member[0]), sizeof(pk));
    pv_part_recall.on_member_gone(x.f.self, pk, x.f.now);
    pv_peers_drop_members(x.f.node.peers, x.f.now);
    test_end(x.f.node.roster);
    x.f.node.roster = NULL;
    fake_node_raise(&x.f, PV_FACT_NETWORK);
    assert_false(take_store(PV_OK, &put)); /* the store forgets it by itself */
    assert_int_equal(pv_part_recall.next_timeout(x.f.self), PV_NEVER);
}

PV_TEST(an_address_that_failed_to_be_stored_is_stored_again)
{
    struct pv_job_put_endpoints put;
    begin(2);
    for (unsigned i = 0; i < 2; i++) {
        const struct pv_addr a = addr(i);
        set_path(i, &a);
        assert_true(take_store(i == 0 ? PV_ERR_NO_SPACE : PV_OK, &put));
    }
    assert_true(x.f.node.store.failed);
    assert_false(take_store(PV_OK, &put)); /* until the store's part says so */
    fake_node_raise(&x.f, PV_FACT_STORE);
    assert_true(take_store(PV_OK, &put) && take_store(PV_OK, &put));
    assert_false(take_store(PV_OK, &put));
    /* Their peers leave nothing behind: neither a trial nor a store. */
    pv_node_raise(&x.f.node, PV_FACT_STORE);
    unsigned facts = x.f.node.facts;
    x.f.node.facts = 0;
    pv_part_recall.on_facts(x.f.self, facts, x.f.now);
    pv_peers_drop(x.f.node.peers, member[0], x.f.now);
    pv_peers_drop(x.f.node.peers, member[1], x.f.now);
    coordinator(false);
    assert_false(take_store(PV_OK, &put));
    assert_int_equal(trials_until(x.f.now + PV_S(900)), 0);
    assert_int_equal(pv_part_recall.next_timeout(x.f.self), PV_NEVER);
}

PV_TEST(stored_addresses_of_nobody_are_removed)
{
    static struct pv_saved_endpoint saved[2];
    struct pv_job_put_endpoints put;
    const struct keys gone = keys_of(77);
    add_members(1);
    memcpy(saved[0].node, pv_peer_pk(member[0]), 32);
    memcpy(saved[1].node, gone.pk, 32);
    saved[0].addr = saved[1].addr = (struct pv_recall_addr){.addr = addr(1), .seen_s = T0};
    x.f.saved.endpoints = saved;
    x.f.saved.n_endpoints = 2;
    begin(1);
    assert_int_equal(known(0), 1);
    assert_true(take_store(PV_OK, &put));
    assert_true(is_of(&put, gone.pk));
    assert_int_equal(put.n, 0);
    coordinator(false);
    assert_int_equal(next_trial(x.f.now + PV_S(1)), 1);
}

PV_TEST(limits_hold_and_unusable_addresses_are_ignored)
{
    begin(2);
    for (unsigned i = 0; i < 9; i++)
        load(1, addr(i), i);
    assert_int_equal(known(1), PV_RECALL_ADDRS);
    load(0, pv_addr4(203, 0, 113, 5, 0), 9);  /* no port */
    load(0, pv_addr4(224, 0, 0, 1, 4000), 9); /* multicast */
    load(0, (struct pv_addr){.family = PV_AF_NONE}, 9);
    assert_int_equal(known(0), 0);
    load(0, addr(0), 9);
    load(0, addr(0), 9); /* twice */
    assert_int_equal(known(0), 1);
}

PV_TEST(the_word_of_peers_is_void_once_a_server_can_tell)
{
    const struct pv_addr a = addr(1);
    begin(0);
    x.f.node.ways.told[1] = (struct pv_told){.peer = 3, .local = a, .mapped = a};
    pv_node_raise(&x.f.node, PV_FACT_ONLINE);
    unsigned facts = x.f.node.facts;
    x.f.node.facts = 0;
    pv_part_recall.on_facts(x.f.self, facts, x.f.now);
    assert_int_equal(x.f.node.ways.told[1].peer, 0);
    assert_int_equal(x.f.node.facts, PV_FACT_TOLD);
}
