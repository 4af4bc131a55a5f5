/* SPDX-License-Identifier: MIT */
/*
 * The builder without memory: one scenario is run again and again with the 1st, 2nd, 3rd …
 * allocation failing, until it passes clean. After each failure the state must be usable.
 * The sources are included so that their allocations can be made to fail.
 */

/* clang-format off */
#include "tests/unit/no_memory.h"
#include "daemon/core/packets/fp_builder.c"
#include "daemon/core/packets/fp_state.c"
#include "tests/unit/memory_again.h"
/* clang-format on */

#include "fp_util.h"
#include "tests/unit/test_util.h"

static bool ok(int r)
{
    assert_true(r == PV_OK || r == PV_ERR_NOMEM);
    return r == PV_OK;
}

static bool snapshot(struct pv_fp_builder *b, struct pv_fp_snapshot **snap)
{
    struct pv_fp_snapshot *made;
    if (!ok(pv_fp_builder_snapshot(b, &made)))
        return false;
    pv_fp_snapshot_free(*snap);
    *snap = made;
    return true;
}

/* Everything the control side does, stopping at the first failure. */
static bool scenario(struct pv_fp_builder *b, struct pv_fp_snapshot **snap)
{
    struct pv_fp_interface iface = {.n_own = 1, .own = {fp_ip4(1)}, .mtu = 1420};
    struct pv_carrier path = fp_carrier(2);
    struct pv_fp_carried carried = {.n = 2, .n_live = 2, .ids = {65536, 65537}};
    uint64_t seed = 1;
    struct pv_rng rng = {.fill = fp_rng_fill, .ctx = &seed};
    uint32_t id = 0;

    carried.prefix = test_prefix("192.168.1.0/24");
    iface.nets[0] = test_prefix("10.66.0.0/16");
    if (!ok(pv_fp_builder_set_interface(b, &iface)))
        return false;
    for (uint32_t i = 0; i < 70; i++) {
        struct pv_prefix route = {.base = fp_ip4(2 + i), .bits = 32};
        struct pv_fp_key_init k = {.local_index = (i + 1) << 8, .birth = 1};
        if (!ok(pv_fp_builder_add_peer(b, PV_FP_MEMBER, &id)) ||
            !ok(pv_fp_builder_set_routes(b, id, &route, 1)) ||
            !ok(pv_fp_builder_add_keys(b, id, &k)) ||
            !ok(pv_fp_builder_send_with(b, id, k.local_index)) ||
            !ok(pv_fp_builder_set_path(b, id, &path, 0)))
            return false;
        if (i % 23 == 0 && !snapshot(b, snap))
            return false;
    }
    return snapshot(b, snap) && ok(pv_fp_builder_set_offline(b, id, true)) && snapshot(b, snap) &&
           ok(pv_fp_builder_set_carried(b, &carried, 1, NULL, 0, &rng)) && snapshot(b, snap) &&
           ok(pv_fp_builder_remove_keys(b, id, 70 << 8)) && snapshot(b, snap) &&
           ok(pv_fp_builder_remove_peer(b, id)) && snapshot(b, snap) &&
           ok(pv_fp_builder_set_interface(b, &iface)) && snapshot(b, snap);
}

static void check_usable(struct pv_fp_builder *b, const struct pv_fp_snapshot *old)
{
    struct pv_fp_snapshot *snap = NULL;
    assert_true(snapshot(b, &snap));
    for (uint32_t i = 0; i < 70; i++) {
        const struct pv_fp_peer *p = pv_fp_snapshot_route(snap, 4, fp_ip4(2 + i).ip);
        uint32_t owner = pv_fp_index_find(snap->index, (i + 1) << 8);
        struct pv_fp_keys *keys;
        if (owner != 0) {
            assert_non_null(p);
            assert_int_equal(p->id, owner);
            assert_non_null(pv_fp_snapshot_keys(snap, (i + 1) << 8, &keys));
        }
        if (old != NULL)
            (void)pv_fp_snapshot_route(old, 4, fp_ip4(2 + i).ip);
    }
    pv_fp_snapshot_free(snap);
}

PV_TEST(every_allocation_may_fail)
{
    uint64_t seed = 1;
    struct pv_rng rng = {.fill = fp_rng_fill, .ctx = &seed};
    unsigned failures = 0;
    bool done = false;
    for (unsigned n = 1; !done; n++) {
        struct pv_fp_builder *b = NULL;
        struct pv_fp_snapshot *snap = NULL;
        countdown = n;
        if (ok(pv_fp_builder_new(&b, &rng))) {
            done = scenario(b, &snap);
            countdown = 0;
            check_usable(b, snap);
        }
        failures += !done;
        pv_fp_snapshot_free(snap);
        pv_fp_builder_free(b);
    }
    assert_true(failures > 150);
}
