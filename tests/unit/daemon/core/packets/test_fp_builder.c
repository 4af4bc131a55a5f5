/* SPDX-License-Identifier: MIT */
#include "daemon/core/packets/fp_builder.h"
#include "daemon/core/packets/fp_state.h"
#include "fp_util.h"
#include "tests/unit/test_util.h"

static struct fp_node *n; /* of the test that runs */

void test_before_each(void)
{
    n = test_alloc(sizeof(*n));
    fp_node_init(n, 1);
}

void test_after_each(void)
{
    fp_node_done(n);
    free(n);
}

static struct pv_fp_key_init keys_with(uint32_t local_index)
{
    return (struct pv_fp_key_init){.local_index = local_index, .remote_index = 7, .birth = 1};
}

/* Whose keys the packet threads find by this receiver index; 0 = nobody's. */
static uint32_t owner_of(uint32_t local_index)
{
    fp_publish(n);
    return pv_fp_index_find(n->snap->index, local_index);
}

PV_TEST(a_snapshot_does_not_see_later_changes)
{
    struct pv_fp_snapshot *before, *after;
    struct pv_fp_keys *keys;

    uint32_t id = fp_add_member(n, 2);
    fp_set_path(n, id, 2, 0);
    struct pv_fp_key_init k = keys_with(0x100);
    assert_ok(pv_fp_builder_add_keys(n->b, id, &k));
    assert_ok(pv_fp_builder_send_with(n->b, id, 0x100));
    assert_true(pv_fp_builder_changed(n->b));
    assert_ok(pv_fp_builder_snapshot(n->b, &before));
    assert_false(pv_fp_builder_changed(n->b));

    assert_ok(pv_fp_builder_set_path(n->b, id, NULL, 0));
    assert_ok(pv_fp_builder_set_offline(n->b, id, true));
    assert_ok(pv_fp_builder_remove_keys(n->b, id, 0x100));
    struct pv_prefix other = {.base = fp_ip4(9), .bits = 32};
    assert_ok(pv_fp_builder_set_routes(n->b, id, &other, 1));
    assert_true(pv_fp_builder_changed(n->b));
    assert_ok(pv_fp_builder_snapshot(n->b, &after));

    const struct pv_fp_peer *old = pv_fp_snapshot_peer(before, id);
    assert_int_equal(old->path.kind, PV_CARRIER_UDP);
    assert_false(old->offline);
    assert_non_null(old->send);
    assert_ptr_equal(pv_fp_snapshot_route(before, 4, fp_ip4(2).ip), old);
    assert_ptr_equal(pv_fp_snapshot_keys(before, 0x100, &keys), old);

    const struct pv_fp_peer *new = pv_fp_snapshot_peer(after, id);
    assert_int_equal(new->path.kind, PV_CARRIER_NONE);
    assert_true(new->offline);
    assert_null(new->send);
    assert_ptr_equal(new->live, old->live);
    assert_null(pv_fp_snapshot_route(after, 4, fp_ip4(2).ip));
    assert_ptr_equal(pv_fp_snapshot_route(after, 4, fp_ip4(9).ip), new);
    assert_null(pv_fp_snapshot_keys(after, 0x100, &keys));
    pv_fp_snapshot_free(before);
    pv_fp_snapshot_free(after);
}

PV_TEST(groups_replace_those_before)
{
    struct pv_fp_group groups[2] = {
        {.group = pv_group_of(4, (const uint8_t[4]){239, 1, 1, 1}), .n = 1},
        {.group = pv_group_broadcast(), .first = 1, .n = 2}};
    const uint32_t ids[3] = {7, 8, 9};
    struct pv_fp_snapshot *before, *after;

    assert_ok(pv_fp_builder_set_groups(n->b, groups, 2, ids, 3));
    assert_ok(pv_fp_builder_snapshot(n->b, &before));
    assert_ok(pv_fp_builder_set_groups(n->b, groups, 2, ids, 3));
    assert_false(pv_fp_builder_changed(n->b));

    /* A wrong list changes nothing. */
    struct pv_fp_group wrong[2] = {groups[1], groups[0]};
    assert_int_equal(pv_fp_builder_set_groups(n->b, wrong, 2, ids, 3), PV_ERR_MALFORMED);
    wrong[0] = groups[0];
    wrong[1] = groups[0];
    assert_int_equal(pv_fp_builder_set_groups(n->b, wrong, 2, ids, 3), PV_ERR_MALFORMED);
    assert_int_equal(pv_fp_builder_set_groups(n->b, groups, 2, ids, 2), PV_ERR_LIMIT);
    wrong[0].n = PV_FP_MAX_COPIES + 1;
    assert_int_equal(pv_fp_builder_set_groups(n->b, wrong, 1, ids, 3), PV_ERR_LIMIT);
    assert_false(pv_fp_builder_changed(n->b));

    groups[0].wakes = true;
    assert_ok(pv_fp_builder_set_groups(n->b, groups, 1, ids + 1, 1));
    assert_ok(pv_fp_builder_snapshot(n->b, &after));
    const struct pv_fp_group *g = pv_fp_snapshot_group(before, &groups[1].group);
    assert_non_null(g);
    assert_int_equal(before->groups->peers[g->first], 8);
    assert_null(pv_fp_snapshot_group(after, &groups[1].group));
    g = pv_fp_snapshot_group(after, &groups[0].group);
    assert_non_null(g);
    assert_true(g->wakes);
    assert_int_equal(after->groups->peers[g->first], 8);
    pv_fp_snapshot_free(before);
    pv_fp_snapshot_free(after);
}

PV_TEST(setting_what_is_so_changes_nothing)
{
    uint32_t id = fp_add_member(n, 2);

    fp_set_path(n, id, 2, 1400);
    assert_ok(pv_fp_builder_set_offline(n->b, id, true));
    fp_publish(n);
    fp_set_path(n, id, 2, 1400);
    assert_ok(pv_fp_builder_set_offline(n->b, id, true));
    assert_ok(pv_fp_builder_take_discovery(n->b, id, true));
    assert_ok(pv_fp_builder_set_groups(n->b, NULL, 0, NULL, 0));
    assert_false(pv_fp_builder_changed(n->b));
    fp_set_path(n, id, 2, 1401);
    assert_true(pv_fp_builder_changed(n->b));
    fp_publish(n);
    struct pv_carrier c = fp_carrier(2);
    c.local = fp_ip4(7); /* where to send from is part of it */
    assert_ok(pv_fp_builder_set_path(n->b, id, &c, 1401));
    assert_true(pv_fp_builder_changed(n->b));
}

PV_TEST(snapshots_outlive_the_builder_and_each_other)
{
    struct pv_fp_snapshot *s[3];

    uint32_t id = fp_add_member(n, 2);
    struct pv_fp_key_init k = keys_with(0x100);
    assert_ok(pv_fp_builder_add_keys(n->b, id, &k));
    for (size_t i = 0; i < 3; i++) {
        fp_set_path(n, id, 2 + (uint32_t)i, 0);
        assert_ok(pv_fp_builder_snapshot(n->b, &s[i]));
    }
    assert_ok(pv_fp_builder_remove_peer(n->b, id));
    n->b = pv_fp_builder_free(n->b);
    pv_fp_snapshot_free(s[1]);
    assert_int_equal(pv_fp_snapshot_peer(s[0], id)->keys[0]->remote_index, 7);
    pv_fp_snapshot_free(s[0]);
    assert_int_equal(pv_fp_snapshot_peer(s[2], id)->keys[0]->refs, 1);
    pv_fp_snapshot_free(s[2]);
    pv_fp_snapshot_free(NULL);
}

PV_TEST(a_part_that_did_not_change_is_shared)
{
    struct pv_fp_snapshot *a, *b;
    uint32_t first = 0, last = 0;

    for (uint32_t i = 0; i < 2 * PV_FP_CHUNK; i++) {
        last = fp_add_member(n, 2 + i);
        first = i == 0 ? last : first;
    }
    assert_ok(pv_fp_builder_snapshot(n->b, &a));
    fp_set_path(n, last, 1, 0);
    assert_ok(pv_fp_builder_snapshot(n->b, &b));
    assert_ptr_equal(a->chunks[0], b->chunks[0]);
    assert_ptr_not_equal(a->chunks[1], b->chunks[1]);
    assert_ptr_equal(a->routes, b->routes);
    assert_ptr_equal(a->index, b->index);
    pv_fp_snapshot_free(a);
    pv_fp_snapshot_free(b);
}

/* Two relays of ours may be at one server: its address alone does not tell them apart. */
PV_TEST(a_path_by_another_relay_is_another_path)
{
    struct pv_carrier path = {.kind = PV_CARRIER_CHANNEL,
                              .channel = 0x4000,
                              .remote = pv_addr4(192, 0, 2, 2, 4000),
                              .relay = pv_addr4(192, 0, 2, 9, 3478)};
    uint32_t id = fp_add_member(n, 2);
    assert_ok(pv_fp_builder_set_path(n->b, id, &path, 0));
    fp_publish(n);
    assert_ok(pv_fp_builder_set_path(n->b, id, &path, 0));
    assert_false(pv_fp_builder_changed(n->b));
    path.via = 1;
    assert_ok(pv_fp_builder_set_path(n->b, id, &path, 0));
    assert_true(pv_fp_builder_changed(n->b));
    fp_publish(n);
    assert_int_equal(pv_fp_snapshot_peer(n->snap, id)->path.via, 1);
}

PV_TEST(ids_of_removed_peers_mean_nobody)
{
    uint32_t old = fp_add_member(n, 2), id;
    struct pv_fp_key_init k = keys_with(0x100);

    assert_int_not_equal(old, 0);
    assert_ok(pv_fp_builder_add_keys(n->b, old, &k));
    assert_int_equal(owner_of(0x100), old);
    assert_ok(pv_fp_builder_remove_peer(n->b, old));
    assert_int_equal(owner_of(0x100), 0);
    do {
        id = fp_add_member(n, 2); /* its address is free again */
        assert_int_not_equal(id, old);
        assert_ok(pv_fp_builder_remove_peer(n->b, id));
    } while (pv_fp_slot_of(id) != pv_fp_slot_of(old));
    id = fp_add_member(n, 2);
    fp_publish(n);
    assert_null(pv_fp_snapshot_peer(n->snap, old));
    assert_null(pv_fp_snapshot_peer(n->snap, 0));
    assert_null(pv_fp_snapshot_peer(n->snap, 0x1ffff));
    assert_non_null(pv_fp_snapshot_peer(n->snap, id));
    assert_null(pv_fp_builder_live(n->b, old));

    assert_int_equal(pv_fp_builder_remove_peer(n->b, old), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_fp_builder_set_path(n->b, old, NULL, 0), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_fp_builder_set_offline(n->b, old, true), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_fp_builder_set_routes(n->b, old, NULL, 0), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_fp_builder_add_keys(n->b, old, &k), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_fp_builder_send_with(n->b, old, 0), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_fp_builder_remove_keys(n->b, old, 1), PV_ERR_NOT_FOUND);
}

PV_TEST(routes_and_ranges_do_not_collide)
{
    uint32_t a = fp_add_member(n, 2), b;
    struct pv_prefix same = {.base = fp_ip4(2), .bits = 32}, net;

    assert_ok(pv_fp_builder_add_peer(n->b, PV_FP_STATIC, &b));
    assert_int_equal(pv_fp_builder_set_routes(n->b, b, &same, 1), PV_ERR_EXISTS);
    net = test_prefix("10.66.0.0/16");
    assert_int_equal(pv_fp_builder_set_routes(n->b, b, &net, 1), PV_ERR_EXISTS);
    net = test_prefix("0.0.0.0/0");
    assert_ok(pv_fp_builder_set_routes(n->b, b, &net, 1));
    fp_publish(n);
    assert_int_equal(pv_fp_snapshot_route(n->snap, 4, fp_ip4(2).ip)->id, a);
    assert_null(pv_fp_snapshot_route(n->snap, 4, fp_ip4(3).ip)); /* in the network, nobody's */
    assert_int_equal(pv_fp_snapshot_route(n->snap, 4, (const uint8_t *)"\x08\x08\x08\x08")->id, b);

    struct pv_fp_interface iface = {.n_own = 0, .mtu = 1420};
    iface.nets[0] = net; /* equals b's allowed-ips: refused, and the old ranges stay */
    assert_int_equal(pv_fp_builder_set_interface(n->b, &iface), PV_ERR_EXISTS);
    fp_publish(n);
    assert_null(pv_fp_snapshot_route(n->snap, 4, fp_ip4(3).ip));
    iface.nets[0] = (struct pv_prefix){.bits = 0};
    assert_ok(pv_fp_builder_set_interface(n->b, &iface));
    fp_publish(n);
    assert_int_equal(pv_fp_snapshot_route(n->snap, 4, fp_ip4(3).ip)->id, b);
    iface.n_own = PV_FP_MAX_OWN + 1;
    assert_int_equal(pv_fp_builder_set_interface(n->b, &iface), PV_ERR_LIMIT);
    iface.n_own = 0;
    iface.mtu = PV_FP_INNER_MAX + 1;
    assert_int_equal(pv_fp_builder_set_interface(n->b, &iface), PV_ERR_LIMIT);
}

PV_TEST(keys_have_unique_indices_and_few_slots)
{
    uint32_t a = fp_add_member(n, 2), b = fp_add_member(n, 3);

    for (uint32_t i = 0; i < PV_FP_KEYS_PER_PEER; i++) {
        struct pv_fp_key_init k = keys_with(0x100 + i);
        assert_ok(pv_fp_builder_add_keys(n->b, a, &k));
    }
    struct pv_fp_key_init k = keys_with(0x200);
    assert_int_equal(pv_fp_builder_add_keys(n->b, a, &k), PV_ERR_LIMIT);
    k = keys_with(0x100);
    assert_int_equal(pv_fp_builder_add_keys(n->b, b, &k), PV_ERR_EXISTS);
    k = keys_with(0);
    assert_int_equal(pv_fp_builder_add_keys(n->b, b, &k), PV_ERR_EXISTS);
    assert_int_equal(pv_fp_builder_send_with(n->b, b, 0x100), PV_ERR_NOT_FOUND);
    assert_ok(pv_fp_builder_remove_keys(n->b, b, 0x100)); /* not b's: stays */
    assert_int_equal(owner_of(0x100), a);
    assert_ok(pv_fp_builder_send_with(n->b, a, 0x100));
    assert_ok(pv_fp_builder_remove_keys(n->b, a, 0x100));
    fp_publish(n);
    assert_null(pv_fp_snapshot_peer(n->snap, a)->send);
}

/* A generator that gives these values one after the other. */
struct feed {
    const uint32_t *next;
};

static void feed_fill(void *ctx, uint8_t *dst, size_t len)
{
    struct feed *f = ctx;
    assert_int_equal(len, 4);
    memcpy(dst, f->next++, 4);
}

PV_TEST(indices_name_their_worker_and_are_never_the_cookie)
{
    uint32_t a = fp_add_member(n, 2);
    struct pv_fp_key_init k = keys_with(0x80000042);
    assert_ok(pv_fp_builder_add_keys(n->b, a, &k));

    static const uint32_t cookie[] = {PV_FP_COOKIE, 0x00000099, 0x800000ff, 0x12345678};
    struct feed f = {cookie};
    struct pv_rng rng = {.fill = feed_fill, .ctx = &f};
    assert_int_equal(pv_fp_builder_draw_index(n->b, &rng, 0x42), 0x12345642);
    assert_ptr_equal(f.next, cookie + 4); /* the cookie, zero and one in use were passed over */

    static const uint32_t swapped[] = {0x42a41299, 0x42a41300};
    f.next = swapped;
    assert_int_equal(pv_fp_builder_draw_index(n->b, &rng, 0x21), 0x42a41321);
}

PV_TEST(a_large_network_is_built_and_taken_down)
{
    enum {
        PEERS = 3000
    };
    static uint32_t ids[PEERS];

    for (uint32_t i = 0; i < PEERS; i++) {
        ids[i] = fp_add_member(n, 2 + i);
        struct pv_fp_key_init k = keys_with((i + 1) << 8);
        assert_ok(pv_fp_builder_add_keys(n->b, ids[i], &k));
        if (i % 500 == 0)
            fp_publish(n);
    }
    fp_publish(n);
    for (uint32_t i = 0; i < PEERS; i++) {
        struct pv_fp_keys *keys;
        assert_int_equal(pv_fp_snapshot_route(n->snap, 4, fp_ip4(2 + i).ip)->id, ids[i]);
        assert_int_equal(pv_fp_snapshot_route(n->snap, 6, fp_ip6(2 + i).ip)->id, ids[i]);
        assert_int_equal(pv_fp_snapshot_keys(n->snap, (i + 1) << 8, &keys)->id, ids[i]);
        assert_int_equal(keys->local_index, (i + 1) << 8);
    }
    for (uint32_t i = 0; i < PEERS; i += 2)
        assert_ok(pv_fp_builder_remove_peer(n->b, ids[i]));
    fp_publish(n);
    for (uint32_t i = 0; i < PEERS; i++) {
        struct pv_fp_keys *keys;
        bool there = i % 2 == 1;
        assert_int_equal(pv_fp_snapshot_route(n->snap, 4, fp_ip4(2 + i).ip) != NULL, there);
        assert_int_equal(pv_fp_snapshot_keys(n->snap, (i + 1) << 8, &keys) != NULL, there);
    }
}
