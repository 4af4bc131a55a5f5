/* SPDX-License-Identifier: MIT */
/* Rosters that differ, a network that loses, delays and doubles, virtual time. */
#include "daemon/core/member/rostersync.h"
#include "tests/unit/proto/roster/longest_card.h"
#include "tests/unit/proto/roster/roster_fixture.h"

enum {
    MAX_NODES = 6,
    MAX_FLYING = 4096
};

struct net;

struct node {
    struct net *net;
    uint8_t pk[32];
    struct pv_roster *roster;
    struct pv_rostersync *sync;
    struct pv_rostersync_peer peers[MAX_NODES];
    size_t agrees, disagrees, sent_bytes, sent_messages, digests;
    bool deaf; /* receives nothing */
};

struct flying {
    pv_ns at;
    size_t from, to, len;
    uint8_t *body;
};

struct net {
    struct world w;
    pv_ns now;
    unsigned loss; /* percent */
    bool doubles;
    size_t n_nodes, n_flying;
    struct node nodes[MAX_NODES];
    struct flying flying[MAX_FLYING];
};

static void net_free(void *ctx)
{
    struct net *net = ctx;
    for (size_t i = 0; i < net->n_nodes; i++) {
        pv_rostersync_free(net->nodes[i].sync);
    }
    for (size_t i = 0; i < net->n_flying; i++)
        free(net->flying[i].body);
    free(net);
}

static void fly(void *owner, struct pv_rostersync_peer *p, struct pv_view body)
{
    struct node *n = owner;
    struct net *net = n->net;
    size_t to = (size_t)(p - n->peers);
    n->sent_bytes += body.len;
    n->sent_messages++;
    n->digests += body.ptr[0] == 1;
    unsigned copies = net->doubles ? 2 : 1;
    struct pv_rng rng = world_rng(&net->w);
    for (unsigned i = 0; i < copies; i++) {
        if (net->nodes[to].deaf || pv_rng_below(&rng, 100) < net->loss)
            continue;
        assert_true(net->n_flying < MAX_FLYING);
        struct flying *f = &net->flying[net->n_flying++];
        *f = (struct flying){.from = (size_t)(n - net->nodes), .to = to, .len = body.len};
        f->body = malloc(body.len);
        f->at = net->now + PV_MS(10 + pv_rng_below(&rng, 60));
        assert_non_null(f->body);
        memcpy(f->body, body.ptr, body.len);
    }
}

static void note_outcome(void *owner, struct pv_rostersync_peer *p,
                         enum pv_rostersync_outcome outcome, pv_ns now)
{
    struct node *n = owner;
    n->agrees += outcome == PV_ROSTERSYNC_AGREES;
    n->disagrees += outcome == PV_ROSTERSYNC_DISAGREES;
}

static struct net *net_make(size_t n_nodes, unsigned loss)
{
    struct net *net = calloc(1, sizeof(*net));
    assert_non_null(net);
    test_defer(net_free, net);
    net->w = world_make(1);
    net->now = PV_S(100);
    net->loss = loss;
    net->n_nodes = n_nodes;
    struct world first = net->w;
    for (size_t i = 0; i < n_nodes; i++) {
        struct node *n = &net->nodes[i];
        struct pv_rostersync_config cfg = {
            .own = n->pk, .rng = world_rng(&net->w), .send = fly, .tell = note_outcome, .owner = n};
        struct world same = first;
        n->net = net;
        memset(n->pk, (int)(0x10 * (i + 1)), sizeof(n->pk));
        n->roster = roster_of(&same);
        net->w.n = same.n;
        net->w.time = same.time;
        assert_ok(pv_rostersync_new(&n->sync, &cfg));
        pv_rostersync_set_roster(n->sync, n->roster);
    }
    return net;
}

/* In-band messages of node i reach node j. */
static int bring_up(struct net *net, size_t i, size_t j)
{
    struct node *n = &net->nodes[i];
    return pv_rostersync_peer_up(n->sync, &n->peers[j], net->nodes[j].pk, net->now);
}

static void connect_all(struct net *net)
{
    for (size_t i = 0; i < net->n_nodes; i++) {
        for (size_t j = 0; j < net->n_nodes; j++) {
            if (i != j)
                assert_ok(bring_up(net, i, j));
        }
    }
}

static void drain(struct net *net)
{
    for (size_t i = 0; i < net->n_nodes; i++) {
        pv_rostersync_run(net->nodes[i].sync, net->now);
        settle(net->nodes[i].roster);
    }
}

static bool all_agree(struct net *net)
{
    for (size_t i = 1; i < net->n_nodes; i++) {
        if (!same_head(net->nodes[0].roster, net->nodes[i].roster))
            return false;
    }
    return true;
}

static pv_ns next_moment(const struct net *net)
{
    pv_ns at = PV_NEVER;
    for (size_t i = 0; i < net->n_nodes; i++)
        at = pv_min_ns(at, pv_rostersync_next_timeout(net->nodes[i].sync));
    for (size_t i = 0; i < net->n_flying; i++)
        at = pv_min_ns(at, net->flying[i].at);
    return at;
}

/* Runs until nothing is left to do or the time is over; gives the time when all first agreed. */
static pv_ns run(struct net *net, pv_ns time)
{
    pv_ns end = net->now + time, agreed = all_agree(net) ? net->now : PV_NEVER;

    drain(net);
    for (;;) {
        pv_ns at = next_moment(net);
        if (at > end)
            break;
        net->now = at > net->now ? at : net->now;
        for (size_t i = 0; i < net->n_flying;) {
            struct flying f = net->flying[i];
            if (f.at > net->now) {
                i++;
                continue;
            }
            net->flying[i] = net->flying[--net->n_flying];
            assert_ok(pv_rostersync_handle(net->nodes[f.to].sync, &net->nodes[f.to].peers[f.from],
                                           pv_view(f.body, f.len), net->now));
            free(f.body);
        }
        for (size_t i = 0; i < net->n_nodes; i++)
            pv_rostersync_handle_timeout(net->nodes[i].sync, net->now);
        drain(net);
        if (agreed == PV_NEVER && all_agree(net))
            agreed = net->now;
    }
    net->now = end;
    return agreed;
}

/* Gives n members, each with its own invite, to the nodes that mask names. */
static void give_members(struct net *net, unsigned first, unsigned n, unsigned mask)
{
    for (unsigned i = first; i < first + n; i++) {
        struct keys invite = keys_of(20000 + i), node = keys_of(40000 + i);
        const char *name = PV_STR("n%u", i);
        struct item inv = make_invite(&net->w, &net->w.creator, &invite, 1);
        struct item mem = make_member(&net->w, &invite, &node, name, (uint16_t)(1 + i));
        for (size_t k = 0; k < net->n_nodes; k++) {
            if ((mask & (1u << k)) == 0)
                continue;
            add(net->nodes[k].roster, &inv);
            add(net->nodes[k].roster, &mem);
        }
    }
    for (size_t k = 0; k < net->n_nodes; k++)
        settle(net->nodes[k].roster);
}

/* --- tests ----------------------------------------------------------------------------------- */

PV_TEST(peers_that_agree_exchange_head_and_members_and_are_silent)
{
    struct net *net = net_make(2, 0);
    connect_all(net);
    run(net, PV_S(600));
    /* The driver's head and state, which the other answers. */
    assert_int_equal(net->nodes[0].sent_messages + net->nodes[1].sent_messages, 3);
    assert_int_equal(next_moment(net), PV_NEVER);
}

PV_TEST(a_withheld_revocation_crosses_within_two_seconds)
{
    for (size_t knows = 0; knows < 2; knows++) {
        struct net *net = net_make(2, 0);
        struct keys bob = keys_of(5);
        struct item mem = make_member(&net->w, &net->w.creator, &bob, "bob", 7);
        struct item rev =
            make_revocation(&net->w, &net->w.creator, PV_REVOKE_NODE, bob.pk, NULL, 0);
        for (size_t i = 0; i < 2; i++)
            add(net->nodes[i].roster, &mem);
        add(net->nodes[knows].roster, &rev);
        for (size_t i = 0; i < 2; i++)
            settle(net->nodes[i].roster);
        connect_all(net);
        pv_ns began = net->now, agreed = run(net, PV_S(60));
        assert_true(agreed - began < PV_S(2));
        assert_null(pv_roster_by_name(net->nodes[1 - knows].roster, "bob"));
        assert_int_equal(net->nodes[0].disagrees + net->nodes[1].disagrees, 0);
        assert_true(net->nodes[0].agrees >= 1);
        /* It cost the heads, the digests, one bucket and the statement. */
        assert_true(net->nodes[0].sent_bytes + net->nodes[1].sent_bytes < 4000);
        assert_int_equal(next_moment(net), PV_NEVER);
        test_end(net);
    }
}

PV_TEST(both_sides_get_what_they_lack_also_over_a_bad_network)
{
    static const unsigned losses[] = {0, 10, 30};
    for (size_t i = 0; i < PV_ARRAY_LEN(losses); i++) {
        struct net *net = net_make(2, losses[i]);
        net->doubles = i == 1;
        give_members(net, 0, 20, 3);
        give_members(net, 20, 30, 1);
        give_members(net, 50, 30, 2);
        connect_all(net);
        pv_ns began = net->now, agreed = run(net, PV_S(300));
        assert_int_not_equal(agreed, PV_NEVER);
        assert_true(agreed - began < PV_S(losses[i] == 0 ? 10 : 200));
        assert_int_equal(pv_roster_count(net->nodes[0].roster), 81);
        assert_int_equal(pv_roster_count(net->nodes[1].roster), 81);
        test_end(net);
    }
}

PV_TEST(a_new_node_gets_everything_within_the_rate)
{
    struct net *net = net_make(2, 0);
    give_members(net, 0, 300, 2);
    connect_all(net);
    pv_ns began = net->now, agreed = run(net, PV_S(300));
    assert_int_not_equal(agreed, PV_NEVER);
    pv_ns least = net->nodes[1].sent_bytes * PV_S(1) / PV_ROSTERSYNC_RATE - PV_S(1);
    assert_true(agreed - began > least);
    assert_true(agreed - began < 2 * least + PV_S(10));
    assert_int_equal(pv_roster_count(net->nodes[0].roster), 301);
}

PV_TEST(everybody_learns_it_through_common_peers)
{
    struct net *net = net_make(MAX_NODES, 5);
    give_members(net, 0, 5, 1);
    give_members(net, 5, 5, 1u << (MAX_NODES - 1));
    connect_all(net);
    assert_int_not_equal(run(net, PV_S(300)), PV_NEVER);
    for (size_t i = 0; i < MAX_NODES; i++)
        assert_int_equal(pv_roster_count(net->nodes[i].roster), 11);
}

PV_TEST(a_change_is_announced_to_connected_peers)
{
    struct net *net = net_make(2, 0);
    connect_all(net);
    run(net, PV_S(10));
    give_members(net, 0, 1, 2);
    pv_rostersync_changed(net->nodes[1].sync, net->now);
    pv_ns began = net->now, agreed = run(net, PV_S(60));
    assert_true(agreed - began < PV_S(5));
}

PV_TEST(a_head_in_a_description_starts_the_work)
{
    for (size_t who = 0; who < 2; who++) {
        struct net *net = net_make(2, 0);
        connect_all(net);
        run(net, PV_S(10));
        give_members(net, 0, 1, 1);
        uint8_t head[32], members[32];
        pv_roster_head(net->nodes[1 - who].roster, head);
        pv_roster_members(net->nodes[1 - who].roster, members);
        pv_rostersync_head_seen(net->nodes[who].sync, &net->nodes[who].peers[1 - who], head,
                                members, net->now);
        pv_ns began = net->now, agreed = run(net, PV_S(60));
        assert_true(agreed - began < PV_S(2));
        test_end(net);
    }
}

PV_TEST(a_deaf_peer_is_left_alone_without_a_report)
{
    struct net *net = net_make(2, 0);
    give_members(net, 0, 1, 1);
    connect_all(net);
    net->nodes[1].deaf = true;
    uint8_t head[32] = {1};
    pv_rostersync_head_seen(net->nodes[0].sync, &net->nodes[0].peers[1], head, head, net->now);
    run(net, PV_S(3600));
    assert_int_equal(net->nodes[0].disagrees, 0);
    assert_true(net->nodes[0].sent_messages < 120);
}

PV_TEST(equal_heads_with_other_members_are_healed_by_receipts)
{
    /* The coordinator told one of them a time outside of the invite's: there bob is no member. */
    struct net *net = net_make(2, 0);
    struct keys invite = keys_of(3), bob = keys_of(4);
    struct item inv = make_invite(&net->w, &net->w.creator, &invite, 2);
    struct item good = make_member(&net->w, &invite, &bob, "bob", 1);
    struct item late = good;
    receipt_at(&net->w, &late, T0, 900, T0 + 900000);
    for (size_t i = 0; i < 2; i++) {
        add(net->nodes[i].roster, &inv);
        add(net->nodes[i].roster, i == 0 ? &good : &late);
        settle(net->nodes[i].roster);
    }
    assert_true(same_head(net->nodes[0].roster, net->nodes[1].roster));
    assert_null(pv_roster_by_name(net->nodes[1].roster, "bob"));
    connect_all(net);
    run(net, PV_S(60));
    settle(net->nodes[1].roster);
    assert_non_null(pv_roster_by_name(net->nodes[1].roster, "bob"));
}

/* A key has few places for a kind of statements, and each side filled them with others: what gives
 * way on one side gives way on the other, so that both end with the same ones. */
PV_TEST(places_that_were_filled_differently_are_healed)
{
    enum {
        MANY = 5 * PV_ROSTER_MAX_SELF
    };
    struct net *net = net_make(2, 10);
    size_t before = pv_roster_size(net->nodes[0].roster);
    for (unsigned i = 0; i < MANY; i++) {
        struct pv_statement st = {.type = PV_ST_TRANSPORT, .u.transport.serial = i + 1};
        enum pv_roster_added added;
        memset(st.u.transport.transport, (int)i + 1, sizeof(st.u.transport.transport));
        struct item key = make_statement(&net->w, &st, &net->w.creator);
        key.r_len = 0;
        (void)add_status(net->nodes[i % 2].roster, &key, &added);
    }
    for (size_t i = 0; i < 2; i++) {
        settle(net->nodes[i].roster);
        assert_int_equal(pv_roster_size(net->nodes[i].roster), before + PV_ROSTER_MAX_SELF);
    }
    assert_false(all_agree(net));
    connect_all(net);
    assert_true(run(net, PV_S(120)) != PV_NEVER);
    assert_true(all_agree(net));
    assert_int_equal(net->nodes[0].disagrees + net->nodes[1].disagrees, 0);
    assert_true(net->nodes[0].sent_bytes + net->nodes[1].sent_bytes < 100000);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pv_roster_size(net->nodes[i].roster), before + PV_ROSTER_MAX_SELF);
}

static bool same_cards(struct net *net)
{
    uint8_t a[PV_STATEMENT_HASH_LEN], b[PV_STATEMENT_HASH_LEN];
    pv_roster_cards(net->nodes[0].roster, a);
    pv_roster_cards(net->nodes[1].roster, b);
    return memcmp(a, b, sizeof(a)) == 0;
}

/* A coordinator that keeps cards back is no use: heads are the same, and members tell each other.
 */
PV_TEST(the_newest_cards_reach_a_member_with_the_same_head)
{
    for (size_t from = 0; from < 2; from++) {
        struct net *net = net_make(2, 10);
        struct item older = make_card(&net->w, &net->w.creator, 7, 1, 0);
        struct item newer = make_card(&net->w, &net->w.creator, 8, 2, PV_ABLE_PQ);
        add(net->nodes[from].roster, &newer);
        add(net->nodes[1 - from].roster, &older);
        settle(net->nodes[0].roster);
        settle(net->nodes[1].roster);
        assert_true(all_agree(net));
        connect_all(net);
        (void)run(net, PV_S(30));
        assert_true(same_cards(net));
        settle(net->nodes[1 - from].roster);
        assert_int_equal(pv_roster_card(net->nodes[1 - from].roster, net->w.creator.pk)->serial, 8);
        newer = make_card(&net->w, &net->w.creator, 9, 3, 0); /* while both are connected */
        add(net->nodes[from].roster, &newer);
        pv_rostersync_changed(net->nodes[from].sync, net->now);
        (void)run(net, PV_S(30));
        assert_true(same_cards(net));
        assert_int_equal(net->nodes[0].disagrees + net->nodes[1].disagrees, 0);
        test_end(net);
    }
}

PV_TEST(the_longest_card_reaches_a_member)
{
    struct net *net = net_make(2, 10);
    struct pv_statement st = {.type = PV_ST_CARD, .u.card = longest_card()};
    struct item card = make_statement(&net->w, &st, &net->w.creator);
    add(net->nodes[0].roster, &card);
    connect_all(net);
    (void)run(net, PV_S(30));
    assert_true(same_cards(net));
    assert_true(pv_view_equal(pv_roster_card(net->nodes[1].roster, net->w.creator.pk)->hostkeys,
                              st.u.card.hostkeys));
}

/* A card that the other one refuses is nobody's fault: each rests, and says nothing. */
PV_TEST(a_card_that_is_refused_is_not_reported)
{
    struct net *net = net_make(2, 10);
    struct item card = make_card(&net->w, &net->w.creator, 7, 1, 0);
    enum pv_roster_added added;
    card.s.raw[card.s.len - 1] ^= 1;
    assert_ok(pv_roster_load(net->nodes[0].roster, pv_view(card.s.raw, card.s.len), NULL,
                             pv_view(NULL, 0), &added));
    connect_all(net);
    (void)run(net, PV_S(120));
    assert_false(same_cards(net));
    assert_int_equal(net->nodes[0].disagrees + net->nodes[1].disagrees, 0);
}

PV_TEST(a_peer_that_keeps_differing_is_reported_and_rests)
{
    /* Each has a statement of its own, as from its disk, that the other refuses: it is forged. */
    struct net *net = net_make(2, 0);
    struct keys invite = keys_of(3);
    struct item inv = make_invite(&net->w, &net->w.creator, &invite, 2);
    for (size_t i = 0; i < 2; i++) {
        enum pv_roster_added added;
        inv.s.raw[50] = (uint8_t)i;
        assert_ok(pv_roster_load(net->nodes[i].roster, pv_view(inv.s.raw, inv.s.len), NULL,
                                 pv_view(NULL, 0), &added));
        settle(net->nodes[i].roster);
    }
    connect_all(net);
    run(net, PV_S(3600));
    assert_false(all_agree(net));
    assert_true(net->nodes[0].disagrees >= 1);
    assert_true(net->nodes[0].disagrees < 12);
    assert_true(net->nodes[0].sent_bytes + net->nodes[1].sent_bytes < 230000);
}

/* The digests that a node sends within a second, less than a round. */
static size_t count_digests(struct net *net, struct node *n)
{
    size_t before = n->digests;

    for (pv_ns end = net->now + PV_S(1); net->now < end; net->now += PV_MS(10)) {
        pv_rostersync_handle_timeout(n->sync, net->now);
        pv_rostersync_run(n->sync, net->now);
    }
    return n->digests - before;
}

PV_TEST(no_more_than_two_peers_at_a_time)
{
    struct net *net = net_make(MAX_NODES, 0);
    give_members(net, 0, 2, 2);
    for (size_t j = 1; j < MAX_NODES; j++)
        assert_ok(bring_up(net, 0, j));
    uint8_t head[32] = {9};
    for (size_t j = 1; j < MAX_NODES; j++)
        pv_rostersync_head_seen(net->nodes[0].sync, &net->nodes[0].peers[j], head, head, net->now);
    size_t digests = count_digests(net, &net->nodes[0]);
    assert_int_equal(digests, PV_ROSTERSYNC_MAX_WORKING);
    /* One of them goes: the next takes its place. */
    pv_rostersync_peer_down(net->nodes[0].sync, &net->nodes[0].peers[1], net->now);
    pv_rostersync_peer_down(net->nodes[0].sync, &net->nodes[0].peers[2], net->now);
    digests += count_digests(net, &net->nodes[0]);
    assert_int_equal(digests, 2 * PV_ROSTERSYNC_MAX_WORKING);
}

/* Members that say something without end, and nothing new: the first ones in all places, and others
 * that take turns with them by agreeing for a moment. */
struct liars {
    size_t of, from, n; /* whose places, and which nodes they are */
    bool rotate;
};

static void let_lie(struct net *net, const struct liars *l)
{
    static const uint8_t want[] = {3};
    struct node *victim = &net->nodes[l->of];
    uint8_t head[65] = {0};
    for (size_t i = 0; i < l->n; i++) {
        struct pv_rostersync_peer *p = &victim->peers[l->from + i];
        if (l->rotate && p->state == PV_ROSTERSYNC_WORKING)
            pv_roster_head(victim->roster, head + 1);
        else
            memset(head + 1, (int)(net->now / PV_MS(1)) + (int)i, PV_STATEMENT_HASH_LEN);
        assert_ok(pv_rostersync_handle(victim->sync, p, pv_view(head, sizeof(head)), net->now));
        assert_ok(pv_rostersync_handle(victim->sync, p, pv_view(want, 1), net->now));
    }
}

PV_TEST(members_that_talk_without_end_keep_no_other_waiting)
{
    static const struct liars rows[] = {
        {0, 1, 2, false}, {0, 1, 4, false}, {5, 0, 2, false}, {5, 0, 4, false}, {0, 1, 4, true}};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        const struct liars *l = &rows[i];
        struct net *net = net_make(MAX_NODES, 0);
        const size_t honest = l->of == 5 ? 4 : 5;
        give_members(net, 0, 3, 1u << honest);
        for (size_t k = 0; k < l->n; k++) {
            net->nodes[l->from + k].deaf = true;
            assert_ok(bring_up(net, l->of, l->from + k));
        }
        let_lie(net, l);
        assert_ok(bring_up(net, l->of, honest));
        assert_ok(bring_up(net, honest, l->of));
        pv_ns began = net->now;
        while (!same_head(net->nodes[l->of].roster, net->nodes[honest].roster) &&
               net->now < began + PV_S(120)) {
            let_lie(net, l);
            run(net, PV_MS(300));
        }
        assert_in_range(net->now - began, 1, l->n / 2 * PV_ROSTERSYNC_TURN + PV_S(5));
        test_end(net);
    }
}

PV_TEST(malformed_bodies_are_dropped)
{
    struct net *net = net_make(2, 0);
    connect_all(net);
    uint8_t head[32] = {1}, body[2048];
    pv_rostersync_head_seen(net->nodes[0].sync, &net->nodes[0].peers[1], head, head, net->now);
    static const struct {
        uint8_t op;
        size_t len; /* body after the op */
        int status;
        const char *why;
    } rows[] = {
        {0, 63, PV_ERR_MALFORMED, "short head"},
        {0, 65, PV_ERR_MALFORMED, "long head"},
        {1, 1023, PV_ERR_MALFORMED, "few digests"},
        {1, 1025, PV_ERR_MALFORMED, "many digests"},
        {2, 0, PV_ERR_MALFORMED, "no bucket"},
        {2, 1, PV_OK, "an empty bucket"},
        {2, 8, PV_ERR_MALFORMED, "half a prefix"},
        {2, 17, PV_ERR_MALFORMED, "not ascending"},
        {3, 7, PV_ERR_MALFORMED, "half a prefix"},
        {3, 8, PV_OK, "a prefix"},
        {4, 1, PV_ERR_MALFORMED, "half a length"},
        {4, 3, PV_ERR_MALFORMED, "no receipt length"},
        {4, 4, PV_OK, "an empty statement"},
        {5, 96, PV_ERR_MALFORMED, "half a state"},
        {5, 97, PV_OK, "a state"},
        {6, 1023, PV_ERR_MALFORMED, "few digests"},
        {9, 9, PV_ERR_MALFORMED, "an unknown op"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        memset(body, 0, sizeof(body));
        body[0] = rows[i].op;
        int r = pv_rostersync_handle(net->nodes[0].sync, &net->nodes[0].peers[1],
                                     pv_view(body, 1 + rows[i].len), net->now);
        if (r != rows[i].status)
            fail_msg("%s: %d", rows[i].why, r);
    }
    assert_int_equal(pv_rostersync_handle(net->nodes[0].sync, &net->nodes[0].peers[1],
                                          pv_view(body, 0), net->now),
                     PV_ERR_MALFORMED);
    memset(body, 2, 2);
    body[1] = 7; /* prefixes of another bucket */
    assert_int_equal(pv_rostersync_handle(net->nodes[0].sync, &net->nodes[0].peers[1],
                                          pv_view(body, 10), net->now),
                     PV_ERR_MALFORMED);
    struct pv_rostersync_peer stranger = {.up = false};
    assert_int_equal(
        pv_rostersync_handle(net->nodes[0].sync, &stranger, pv_view(body, 1), net->now),
        PV_ERR_NOT_FOUND);
}

/* Its budget, and what waits to be sent, hold up nothing: it is not up any more when they end. */
PV_TEST(one_that_leaves_hears_our_head_at_once)
{
    struct net *net = net_make(2, 0);
    struct pv_rostersync *s = net->nodes[0].sync;
    pv_rostersync_last_word(s, &net->nodes[0].peers[1]); /* not up: nothing */
    assert_int_equal(net->nodes[0].sent_messages, 0);
    connect_all(net);
    run(net, PV_S(10));
    give_members(net, 0, 2, 3);
    assert_false(pv_rostersync_knows(net->nodes[1].sync, &net->nodes[1].peers[0]));
    net->nodes[0].peers[1].send_at = PV_NEVER;
    pv_rostersync_last_word(s, &net->nodes[0].peers[1]);
    pv_rostersync_peer_down(s, &net->nodes[0].peers[1], net->now);
    assert_int_equal(net->n_flying, 1);
    assert_ok(pv_rostersync_handle(net->nodes[1].sync, &net->nodes[1].peers[0],
                                   pv_view(net->flying[0].body, net->flying[0].len), net->now));
    assert_true(pv_rostersync_knows(net->nodes[1].sync, &net->nodes[1].peers[0]));
}

PV_TEST(leaving_the_network_forgets_all)
{
    struct net *net = net_make(2, 0);
    give_members(net, 0, 3, 1);
    connect_all(net);
    pv_rostersync_set_roster(net->nodes[0].sync, NULL);
    pv_rostersync_run(net->nodes[0].sync, net->now);
    assert_int_equal(net->nodes[0].sent_messages, 0);
    assert_int_equal(pv_rostersync_next_timeout(net->nodes[0].sync), PV_NEVER);
    assert_int_equal(bring_up(net, 0, 1), PV_ERR_STATE);
}
