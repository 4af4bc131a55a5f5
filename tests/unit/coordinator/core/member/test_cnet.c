/* SPDX-License-Identifier: MIT */
/* One network of a coordinator: names that many machines ask for. */
#include "coordinator/core/member/cnet.h"
#include "tests/unit/proto/roster/roster_fixture.h"

enum {
    IMAGES = 1200, /* machines of one image: more than there once were numbers for */
};

static struct pv_cnet *net;

static void free_net(void *ctx)
{
    net = pv_cnet_free(net);
}

static void take(const struct item *it, uint64_t n)
{
    const struct pv_cnet_row row = {.at = {.epoch = T0, .n = n},
                                    .statement = pv_view(it->s.raw, it->s.len),
                                    .receipt = pv_view(it->r, it->r_len),
                                    .verified = true};
    assert_ok(pv_cnet_take(net, &row));
}

static void settle_net(void)
{
    static const struct pv_log silent;
    while (pv_cnet_settle(net, 8192, &silent) != PV_OK)
        ;
}

static struct world make_net(const struct keys *invite)
{
    struct world w = world_make(1);
    struct pv_rng rng = world_rng(&w);
    const struct item items[] = {item_of(&w, &w.created.network), item_of(&w, &w.created.admin),
                                 item_of(&w, &w.created.member),
                                 item_of_long(&w, &w.created.coordinators),
                                 make_invite(&w, &w.creator, invite, 2 * IMAGES)};
    assert_ok(pv_cnet_new(&net, pv_view(items[0].s.raw, items[0].s.len), true, &rng));
    test_defer(free_net, NULL);
    for (size_t i = 0; i < PV_ARRAY_LEN(items); i++)
        take(&items[i], i + 1);
    settle_net();
    return w;
}

/* The name that a new machine gets which asks for this one. */
static struct pv_ctl_reservation reserve(const struct keys *node, const struct keys *invite,
                                         const char *asked, pv_ns now)
{
    struct pv_ctl_reservation got;
    struct pv_ctl_join join = {.name = ""};
    memcpy(join.node, node->pk, sizeof(join.node));
    memcpy(join.invite, invite->pk, sizeof(join.invite));
    snprintf(join.name, sizeof(join.name), "%s", asked);
    assert_int_equal(pv_cnet_join(net, &join, T0 + 10, now, &got), PV_CTL_E_NONE);
    return got;
}

/* Gives the node what was reserved for it. */
static void make_member_of(struct world *w, const struct keys *node, const struct keys *invite,
                           const struct pv_ctl_reservation *r, uint64_t n)
{
    struct pv_st_member f = member_fields(node, r->name, pv_load_be16(r->ip4 + 2), r->serial);
    memcpy(f.ip4, r->ip4, sizeof(f.ip4));
    struct item it = make_member_f(w, invite, node, &f);
    take(&it, n);
    settle_net();
}

PV_TEST(machines_of_one_image_all_get_a_name)
{
    const struct keys invite = keys_of(50);
    struct world w = make_net(&invite);
    for (unsigned i = 0; i < IMAGES; i++) {
        const struct keys node = keys_of(10000 + i);
        /* Each comes a minute after the one before, so that its address is free by then. */
        struct pv_ctl_reservation r = reserve(&node, &invite, "raspberrypi", PV_S(100 * (i + 1)));
        assert_string_equal(r.name, PV_STR(i == 0 ? "raspberrypi" : "raspberrypi-%u", i + 1));
        make_member_of(&w, &node, &invite, &r, 100 + i);
    }
    assert_int_equal(pv_roster_count(net->roster), IMAGES + 1);
}

/* A name may be so long that numbers shorten it. */
PV_TEST(numbers_fit_the_longest_name)
{
    const struct keys invite = keys_of(50), node = keys_of(9), other = keys_of(8);
    struct world w = make_net(&invite);
    char asked[PV_NAME_BUF];
    memset(asked, 'x', PV_NAME_MAX);
    asked[PV_NAME_MAX] = '\0';
    struct pv_ctl_reservation r = reserve(&node, &invite, asked, PV_S(1));
    assert_string_equal(r.name, asked);
    make_member_of(&w, &node, &invite, &r, 100);
    r = reserve(&other, &invite, asked, PV_S(100));
    asked[PV_NAME_MAX - 2] = '-';
    asked[PV_NAME_MAX - 1] = '2';
    assert_string_equal(r.name, asked);
    /* The network's own name is nobody's. */
    const struct keys third = keys_of(7);
    r = reserve(&third, &invite, "home", PV_S(200));
    assert_string_equal(r.name, "home-2");
}

/* A node that asked for a name that is taken asks for another one, or for the same when its owner
 * is gone.
 */
PV_TEST(a_node_that_joins_again_may_ask_for_another_name)
{
    const struct keys invite = keys_of(50), owner = keys_of(9), node = keys_of(8);
    struct world w = make_net(&invite);
    struct pv_ctl_reservation r = reserve(&owner, &invite, "laptop", PV_S(1)), first;
    make_member_of(&w, &owner, &invite, &r, 100);
    first = reserve(&node, &invite, "laptop", PV_S(100));
    assert_string_equal(first.name, "laptop-2");
    r = reserve(&node, &invite, "laptop", PV_S(101));
    assert_memory_equal(&r, &first, sizeof(r));
    r = reserve(&node, &invite, "pi", PV_S(102));
    assert_string_equal(r.name, "pi");
    assert_memory_equal(r.ip4, first.ip4, sizeof(r.ip4));
    const struct keys other = keys_of(7);
    r = reserve(&other, &invite, "laptop", PV_S(103));
    assert_string_equal(r.name, "laptop-2");
    r = reserve(&node, &invite, "laptop", PV_S(104));
    assert_string_equal(r.name, "laptop-3");
    /* The other one lets its name go; a minute later so has the coordinator. */
    r = reserve(&node, &invite, "laptop", PV_S(103 + PV_COORD_RESERVE_S));
    assert_string_equal(r.name, "laptop-2");
}

static enum pv_ctl_error judge(const struct item *it)
{
    enum pv_cnet_known known;
    return pv_cnet_judge(net, pv_view(it->s.raw, it->s.len), pv_view(it->r, it->r_len), T0 + 100,
                         &known);
}

/* Two admins, each in a piece of the network where no coordinator is that root names: one removes
 * the other, who removes a third machine. Members to whom both count have told each other already.
 */
PV_TEST(the_word_of_a_removed_admin_is_taken_while_no_order_is_known)
{
    const struct keys invite = keys_of(50), bob = keys_of(51), dave = keys_of(52),
                      carol = keys_of(53);
    struct world w = make_net(&invite);
    struct item admins[] = {make_admin(&w, &w.root, &bob, PV_RIGHT_INVITE | PV_RIGHT_REVOKE),
                            make_admin(&w, &w.root, &dave, PV_RIGHT_INVITE | PV_RIGHT_REVOKE)};
    struct item ordered = make_revocation(&w, &bob, PV_REVOKE_NODE, dave.pk, NULL, 0);
    struct item end = bare(ordered), rule = make_rule(&w, &dave, 0, 1, PV_RULE_DENY, 22);
    struct item late = make_revocation(&w, &dave, PV_REVOKE_NODE, carol.pk, NULL, 0);
    struct item by_bob = make_revocation(&w, &bob, PV_REVOKE_NODE, carol.pk, NULL, 0);
    struct item by_root = make_revocation(&w, &w.root, PV_REVOKE_NODE, bob.pk, NULL, 0);
    rule = bare(rule);
    late = bare(late);
    by_bob = bare(by_bob);
    by_root = bare(by_root);
    take(&admins[0], 10);
    take(&admins[1], 11);
    take(&end, 12);
    settle_net();
    assert_int_equal(judge(&late), PV_CTL_E_NONE);
    assert_int_equal(judge(&rule), PV_CTL_E_NOT_ALLOWED);
    /* Nobody speaks after root's word. */
    assert_int_equal(judge(&by_bob), PV_CTL_E_NONE);
    take(&by_root, 13);
    settle_net();
    assert_int_equal(judge(&by_bob), PV_CTL_E_NOT_ALLOWED);
    /* The order is known, and the end came first. */
    take(&ordered, 12);
    settle_net();
    assert_int_equal(judge(&late), PV_CTL_E_NOT_ALLOWED);
}
