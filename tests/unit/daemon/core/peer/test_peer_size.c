/* SPDX-License-Identifier: MIT */
/*
 * test_peer_size.c - what a member costs that nobody uses: in networks of thousands nearly all are.
 * Counted is what is allocated, in the roster, the table of peers and the fast path's builder.
 */
#include "tests/unit/daemon/core/peer/fake_peers.h"
#include "tests/unit/heap_use.h"

enum {
    FIRST = 56, /* members before anything is counted: tables have grown for them */
    MEMBERS = 200,
    BYTES = 4736, /* of a member, at most, with what malloc() of glibc adds */
};

static const struct pv_part no_part = {.name = "none"};

static void add_members(struct fake_peers *peers, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        assert_non_null(
            fake_peers_member(peers, 100 + i, PV_STR("member-%u", i), (uint16_t)(100 + i)));
    }
}

PV_TEST(a_member_that_is_not_used_costs_little)
{
    static struct fake_peers peers;
    fake_peers_init(&peers, &no_part);
    fake_node_enter(&peers.f);
    add_members(&peers, 0, FIRST);
    size_t before = heap_use();
    add_members(&peers, FIRST, FIRST + MEMBERS);
    size_t each = (heap_use() - before) / MEMBERS;
    printf("%zu bytes a member, struct pv_peer %zu\n", each, sizeof(struct pv_peer));
    assert_true(each <= BYTES);
    fake_node_done(&peers.f);
}
