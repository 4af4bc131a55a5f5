/* SPDX-License-Identifier: MIT */
/*
 * Rules without memory: whatever allocation of the part fails while a member comes and a rule is
 * made, nobody is let in who should not be, and a second later all is as it should be. The source
 * is included so that its allocations can be made to fail.
 */

/* clang-format off */
#include "tests/unit/no_memory.h"
#include "daemon/core/member/rules.c"
#include "tests/unit/memory_again.h"
/* clang-format on */

#include "daemon/core/packets/fp_state.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

enum {
    BOB = 7, /* seeds of the keys */
    CAROL = 8,
    AT_MOST = 50, /* allocations of the scene */
};

static struct fake_peers peers;
static unsigned named; /* how often `status` named it */
static struct fake_node *const node = &peers.f;

static bool lets_in(const struct pv_peer *p, uint16_t port)
{
    struct pv_fp_snapshot *snap;
    assert_ok(pv_fp_builder_snapshot(node->node.fp, &snap));
    const struct pv_fp_peer *x = pv_fp_snapshot_peer(snap, pv_peer_id(p));
    bool in = x->rules == NULL || pv_ruletable_look(x->rules, PV_PORTS_TCP, port).allow;
    pv_fp_snapshot_free(snap);
    return in;
}

static struct pv_peer *comes(unsigned seed, const char *name, uint16_t ip)
{
    struct pv_peer *p = fake_peers_member(&peers, seed, name, ip);
    fake_peers_settle(&peers);
    return p;
}

/* A node tagged "tom" may not use port 22. */
static void deny_tagged(void)
{
    struct pv_statement st = {.type = PV_ST_RULE};
    st.u.rule.slot = (struct pv_st_slot){.number = 0, .seq = 1};
    st.u.rule.kind = PV_RULE_DENY;
    st.u.rule.place = 1;
    st.u.rule.from = (struct pv_selector){.kind = PV_SELECT_TAG, .len = 3, .value = "tom"};
    st.u.rule.ports = (struct pv_ports){.v = {{PV_PORTS_TCP, 22, 22}}, .n = 1};
    st.u.rule.time = T0;
    fake_node_add(node, make_statement(&node->world, &st, &node->world.creator));
    pv_node_raise(&node->node, PV_FACT_STATEMENTS);
    fake_peers_settle(&peers);
}

/* The n-th allocation fails from when the rule is there on. True: none was left to fail. */
static bool scene(unsigned n)
{
    const struct keys k = keys_of(BOB);
    fake_peers_init(&peers, &pv_part_rules);
    fake_node_enter(node);
    fake_node_start(node);
    fake_node_add(node, make_tag(&node->world, &node->world.creator, 0, 1, &k, "tom"));
    deny_tagged();
    countdown = n;
    const struct pv_peer *bob = comes(BOB, "bob", 7);
    assert_false(lets_in(bob, 22));
    const struct pv_peer *carol = comes(CAROL, "carol", 8);
    const struct keys c = keys_of(CAROL);
    fake_node_add(node, make_tag(&node->world, &node->world.creator, 1, 1, &c, "tom"));
    pv_node_raise(&node->node, PV_FACT_STATEMENTS);
    fake_peers_settle(&peers);
    bool clean = countdown > 0;
    countdown = 0;
    assert_false(lets_in(bob, 22));
    named += fake_node_has_problem(node, "for want of memory") ? 1 : 0;
    fake_node_wait(node, 2 * RETRY); /* remedy: free_memory */
    fake_peers_settle(&peers);
    assert_false(fake_node_has_problem(node, "for want of memory"));
    assert_false(lets_in(bob, 22));
    assert_true(lets_in(bob, 23));
    assert_false(lets_in(carol, 22));
    assert_true(lets_in(carol, 23));
    fake_node_done(node);
    return clean;
}

PV_TEST(nobody_comes_in_for_want_of_memory)
{
    unsigned n = 1;
    while (!scene(n)) {
        n++;
        assert_true(n < AT_MOST);
    }
    assert_true(n > 3 && named > 0);
}
