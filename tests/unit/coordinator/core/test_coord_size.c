/* SPDX-License-Identifier: MIT */
/* The cost of networks and members to a coordinator that nobody is connected to: counted is what is
 * allocated. Most networks are small, so what one costs before its members is what counts. */
#include "coord_world.h"
#include "tests/unit/heap_use.h"

enum {
    NETWORKS = 8,
    MEMBERS = 10,
    NETWORK_BYTES = 12 * 1024, /* before its members, at most */
    MEMBER_BYTES = 3 * 1024,
};

/* The bytes free again when the coordinator goes, while the world of the test stays. */
static size_t bytes_of(unsigned networks, unsigned members)
{
    struct cw *w = cw_new(1);
    cw_start(w);
    for (unsigned n = 0; n < networks; n++) {
        cw_create(w);
        struct cw_client *alice = cw_member(w, &w->alice);
        struct cw_keys invite = cw_invite(w, alice, MEMBERS);
        for (unsigned i = 1; i < members; i++) {
            struct cw_node node = cw_node_make(w);
            cw_join(w, &invite, &node, "x");
        }
        cw_hang_up(w, alice);
    }
    cw_sleep(w, PV_S(120)); /* what is kept for moments is not meant */
    cw_drop_clients(w);
    size_t before = heap_use();
    w->coord = pv_coord_free(w->coord);
    return before - heap_use();
}

PV_TEST(a_small_network_costs_little)
{
    size_t none = bytes_of(0, 0), small = bytes_of(NETWORKS, 1), full = bytes_of(NETWORKS, MEMBERS);
    assert_true(full > small && small > none);
    size_t member = (full - small) / ((MEMBERS - 1) * NETWORKS);
    size_t network = (small - none) / NETWORKS - member;
    printf("%zu bytes a network, %zu a member\n", network, member);
    assert_true(network <= NETWORK_BYTES);
    assert_true(member <= MEMBER_BYTES);
}
