/* SPDX-License-Identifier: MIT */
/* Facts: told to every part in order, with what follows from them, and never for ever. */
#include "daemon/core/deliver.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers peers;
static struct fake_node *const node = &peers.f;
static struct pv_peer *bob;
static unsigned left; /* how often the first part still causes what the other hears */
static char heard[64];
static unsigned n_lines, n_turns;

static void note(char who)
{
    size_t n = strlen(heard);
    n_turns++;
    if (n + 1 < sizeof(heard))
        heard[n] = who;
}

static void first_facts(void *part, unsigned facts, pv_ns now)
{
    note((facts & PV_FACT_UP) != 0 ? 'U' : 'f');
    if (left > 0) {
        left--;
        pv_node_raise(&node->node, PV_FACT_LINKS);
    }
}

static void first_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    note('p');
    if (left > 0) {
        left--;
        pv_peers_touch(node->node.peers, p, now);
    }
}

static void second_facts(void *part, unsigned facts, pv_ns now)
{
    note('2');
}

static const struct pv_part first = {
    .name = "first", .on_facts = first_facts, .on_peer = first_peer};
static const struct pv_part second = {.name = "second", .on_facts = second_facts};

static void count_line(void *ctx, enum pv_log_level level, const char *line)
{
    n_lines += strstr(line, "facts do not end") != NULL;
}
static const struct pv_log errors = {.level = PV_LOG_ERROR, .sink = count_line};

void test_before_each(void)
{
    fake_peers_init(&peers, &first);
    fake_node_enter(node);
    bob = fake_peers_member(&peers, 7, "bob", 7);
    fake_peers_settle(&peers);
    node->node.parts[0] = (struct pv_part_slot){.part = &first};
    node->node.parts[1] = (struct pv_part_slot){.part = &second};
    node->node.n_parts = 2;
    node->node.log = &errors;
    left = n_lines = n_turns = 0;
    memset(heard, 0, sizeof(heard));
}

PV_TEST(every_part_hears_and_then_what_follows)
{
    left = 1;
    pv_node_raise(&node->node, PV_FACT_UP);
    assert_true(pv_deliver(&node->node, node->now));
    assert_string_equal(heard, "U2f2");
    assert_int_equal(n_lines, 0);
}

PV_TEST(the_node_comes_before_its_peers)
{
    pv_peers_touch(node->node.peers, bob, node->now);
    pv_node_raise(&node->node, PV_FACT_UP);
    assert_true(pv_deliver(&node->node, node->now));
    assert_string_equal(heard, "U2p");
}

PV_TEST(facts_that_never_end_are_left_for_the_next_call)
{
    left = 1000000;
    pv_node_raise(&node->node, PV_FACT_UP);
    assert_false(pv_deliver(&node->node, node->now));
    assert_int_equal(n_lines, 1);
    assert_in_range(n_turns, 2, 1000);
    left = 0;
    assert_true(pv_deliver(&node->node, node->now));
}

PV_TEST(a_peer_that_is_touched_for_ever_is_left_for_the_next_call)
{
    left = 1000000;
    pv_peers_touch(node->node.peers, bob, node->now);
    assert_false(pv_deliver(&node->node, node->now));
    assert_int_equal(n_lines, 1);
    assert_in_range(n_turns, 2, 1000);
    left = 0;
    assert_true(pv_deliver(&node->node, node->now));
    assert_false(pv_peers_has_news(node->node.peers));
}
