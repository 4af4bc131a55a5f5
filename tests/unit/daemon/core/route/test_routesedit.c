/* SPDX-License-Identifier: MIT */
/* Offers to carry, of this node, and permissions to carry, of an admin, by command. */
#include "daemon/core/admin/admin.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/route/routes.h"
#include "daemon/core/route/routesedit.h"
#include "tests/unit/daemon/core/fake_ctl.h"
#include "tests/unit/daemon/core/fake_membership.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers peers;
static struct fake_node *const node = &peers.f;
static uint32_t client;
static void *routes; /* the part */
static bool is_admin;

/* --- what stands in for other parts ----------------------------------------------------------- */

bool pv_admin_may_sign(struct pv_node *n, const char *what, uint8_t rights, uint64_t handle)
{
    assert_int_equal(rights, PV_RIGHT_REVOKE);
    if (!is_admin)
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_REFUSED, "no admin");
    return is_admin;
}

void pv_admin_answer_when_told(struct pv_node *n, uint64_t handle, pv_ns now)
{
    pv_ctlsrv_done(n->ctl, handle);
}

void pv_admin_answer_with(struct pv_node *n, uint64_t handle, const struct pv_ctlapi_told *told,
                          pv_ns now)
{
    pv_admin_answer_when_told(n, handle, now);
}

/* --- the scene -------------------------------------------------------------------------------- */

void test_before_each(void)
{
    is_admin = true;
    fake_peers_init(&peers, &pv_part_routesedit);
    fake_node_enter(node);
    assert_ok(pv_part_make(&pv_part_routes, &node->node, &node->cfg, node->now, &routes));
    node->node.parts[0] = (struct pv_part_slot){.part = &pv_part_routes, .self = routes};
    node->node.n_parts = 1;
    fake_node_start(node);
    (void)fake_peers_member(&peers, 7, "bob", 7);
    fake_peers_settle(&peers);
    client = fake_ctl_open(node);
}

void test_after_each(void)
{
    node->node.n_parts = 0;
    pv_part_free(&pv_part_routes, routes);
}

/* The answer to a command about that prefix has this text. */
static void says(const char *cmd, const char *peer, const char *prefix, const char *text)
{
    bool both = peer[0] != '\0';
    fake_ctl_say(node, client,
                 PV_STR("{\"id\":1,\"cmd\":\"%s\",%s%s%s\"prefix\":\"%s\"}", cmd,
                        both ? "\"peer\":\"" : "", peer, both ? "\"," : "", prefix));
    const char *reply = fake_ctl_reply(node, client);
    if (!test_has(reply, text))
        fail_msg("%s %s %s: no \"%s\" in %s", cmd, peer, prefix, text, reply);
}

static bool offers(const struct keys *who, const char *text)
{
    struct pv_offer o;
    struct pv_prefix p = test_prefix(text);
    return pv_routes_is_offered(&node->node, who->pk, &p, &o);
}

static bool may_carry(const struct keys *who, const char *text)
{
    struct pv_prefix p = test_prefix(text);
    return pv_routes_is_allowed(&node->node, who->pk, &p);
}

/* --- tests ------------------------------------------------------------------------------------ */

PV_TEST(an_admin_that_offers_allows_itself_and_withdraws_the_offer_alone)
{
    const struct keys *alice = &node->world.creator;
    says("route_offer", "", "192.168.7.0/24", "\"ok\":true");
    assert_true(offers(alice, "192.168.7.0/24") && may_carry(alice, "192.168.7.0/24"));
    says("route_withdraw", "", "192.168.8.0/24", "does not offer");
    says("route_withdraw", "", "192.168.7.0/24", "\"ok\":true");
    assert_false(offers(alice, "192.168.7.0/24"));
    assert_true(may_carry(alice, "192.168.7.0/24"));
}

PV_TEST(an_exit_is_both_default_routes)
{
    const struct keys *alice = &node->world.creator;
    says("route_offer", "", "default", "\"ok\":true");
    assert_true(offers(alice, "0.0.0.0/0") && offers(alice, "::/0"));
    says("route_withdraw", "", "default", "\"ok\":true");
    assert_false(offers(alice, "0.0.0.0/0") || offers(alice, "::/0"));
}

/* A node that carries everything uses nobody for it. */
PV_TEST(a_node_that_uses_an_exit_is_none)
{
    struct pv_routeuse use = {.exit = true};
    uint8_t bytes[PV_ROUTEUSE_BYTES];
    memcpy(use.exit_pk, keys_of(7).pk, sizeof(use.exit_pk));
    struct pv_saved_meta meta = {.name = "routes"};
    meta.value = pv_view(bytes, pv_routeuse_encode(&use, bytes));
    node->saved = (struct pv_saved){.meta = &meta, .n_meta = 1};
    assert_ok(pv_part_routes.restore(routes, &node->cfg, node->now));
    says("route_offer", "", "default",
         "all of this machine goes by bob: `sudo p2pvpnctl exit off`");
    says("route_offer", "", "192.168.7.0/24", "\"ok\":true");
}

PV_TEST(a_member_may_carry_what_an_admin_allows_until_it_is_denied)
{
    const struct keys bob = keys_of(7);
    says("route_allow", "bob", "10.1.0.0/16", "\"ok\":true");
    assert_true(may_carry(&bob, "10.1.0.0/16"));
    says("route_allow", "nobody", "10.1.0.0/16", "nobody is called nobody");
    says("route_deny", "bob", "10.2.0.0/16", "nobody allowed bob");
    says("route_deny", "bob", "10.1.0.0/16", "\"ok\":true");
    assert_false(may_carry(&bob, "10.1.0.0/16"));
}

/* It would carry again as soon as it comes back by its token. */
PV_TEST(a_permission_of_a_member_that_left_is_taken_back)
{
    const struct keys bob = keys_of(7);
    says("route_allow", "bob", "10.1.0.0/16", "\"ok\":true");
    fake_node_add(node, make_leave(&node->world, &bob, 1));
    says("route_deny", "bob", "10.1.0.0/16", "\"ok\":true");
    says("route_deny", "bob", "10.1.0.0/16", "nobody allowed bob");
    says("route_allow", "bob", "10.1.0.0/16", "bob left the network: it can join again");
    says("route_deny", "nobody", "10.1.0.0/16", "nobody is called nobody");
}

PV_TEST(a_node_that_may_not_is_told_so)
{
    is_admin = false;
    says("route_allow", "bob", "10.1.0.0/16", "no admin");
    says("route_deny", "bob", "10.1.0.0/16", "no admin");
    node->node.given.inside = 1; /* p2pvpnd --user */
    says("route_offer", "", "192.168.7.0/24", "carries nothing for others");
    assert_false(offers(&node->world.creator, "192.168.7.0/24"));
}

/* The overlay's own addresses go by the overlay, whatever anybody carries. */
PV_TEST(the_networks_own_range_is_nobodys_to_carry)
{
    says("route_offer", "", "10.66.0.0/16", "\"ok\":false");
    says("route_allow", "bob", "10.66.0.0/16", "\"ok\":false");
    assert_false(offers(&node->world.creator, "10.66.0.0/16"));
    says("route_offer", "", "192.168.7.300/24", "\"ok\":false");
}
