/* SPDX-License-Identifier: MIT */
/* Part "routes": what offers, permissions and wishes make of prefixes; what host and packet threads
 * are told. */

#include "daemon/core/packets/fp_state.h"
#include "daemon/core/route/routes.h"
#include "tests/unit/daemon/core/client/fake_client.h"

enum {
    BOB = 7,
    CAROL = 8,
};

static struct fake_peers x;
static struct pv_peer *bob, *carol;
static uint32_t client;
static uint16_t slot;
static uint64_t serial;

void test_before_each(void)
{
    fake_peers_init(&x, &pv_part_routes);
    slot = 0;
    serial = 100;
    fake_node_enter(&x.f);
    bob = fake_peers_member(&x, BOB, "bob", 7);
    carol = fake_peers_member(&x, CAROL, "carol", 8);
    struct pv_fp_interface iface = {.mtu = 1420};
    iface.nets[0] = test_prefix("10.66.0.0/16");
    assert_ok(pv_fp_builder_set_interface(x.f.node.fp, &iface));
    fake_node_start(&x.f);
    client = fake_client_open(&x);
    fake_peers_settle(&x);
}

static void told(struct item it)
{
    fake_node_add(&x.f, it);
    fake_peers_settle(&x);
}

/* Alice, the admin, says that the node may carry the prefix. Returns the slot. */
static uint16_t allow(const uint8_t *pk, const char *text)
{
    struct pv_statement st = {.type = PV_ST_ROUTE};
    st.u.route = (struct pv_st_route){.slot = {.number = slot, .seq = 1},
                                      .kind = PV_ROUTE_ALLOW,
                                      .prefix = test_prefix(text),
                                      .time = T0};
    memcpy(st.u.route.node, pk, PV_SIGN_PK_LEN);
    told(make_statement(&x.f.world, &st, &x.f.world.creator));
    return slot++;
}

static void take_back(uint16_t number)
{
    told(make_route(&x.f.world, &x.f.world.creator, number, 2, NULL, 0));
}

/* The node says that it carries these, separated by blanks; "" = nothing. */
static void offer_by(const struct keys *node, const char *list, uint8_t flags)
{
    struct pv_statement st = {.type = PV_ST_CARD};
    struct pv_offer offers[PV_OFFERS_MAX];
    uint8_t bytes[PV_OFFERS_MAX * PV_OFFER_BYTES];
    struct pv_writer w = pv_writer(bytes, sizeof(bytes));
    char copy[PV_OFFERS_MAX * 20];
    size_t n = 0;
    snprintf(copy, sizeof(copy), "%s", list);
    char *rest = copy;
    for (char *one; (one = strtok_r(rest, " ", &rest)) != NULL;)
        offers[n++] = (struct pv_offer){.prefix = test_prefix(one), .flags = flags};
    pv_offerlist_put(&w, offers, n);
    st.u.card.serial = ++serial;
    st.u.card.offers = pv_view(bytes, w.len);
    told(make_statement(&x.f.world, &st, node));
}

static void offer(unsigned seed, const char *list, uint8_t flags)
{
    const struct keys k = keys_of(seed);
    offer_by(&k, list, flags);
}

/* The plan that was handed to the host last; jobs before it end well. */
static struct pv_netplan plan;
static bool new_plan(void)
{
    bool any = false;
    for (struct pv_job *job; (job = fake_node_job(&x.f)) != NULL;) {
        struct pv_job_result done = {.status = PV_OK};
        if (job->kind == PV_JOB_NETPLAN) {
            plan = *job->u.netplan;
            any = true;
        }
        fake_node_answer(&x.f, job, &done);
    }
    return any;
}

/* "10.1.0.0/16 10.2.0.0/16": what the last plan uses. */
static const char *used(void)
{
    static char text[400];
    (void)new_plan();
    text[0] = '\0';
    for (size_t i = 0; i < plan.n_used; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof(text) - len, "%s%s", i == 0 ? "" : " ",
                 PV_PREFIX_STR(&plan.used[i].prefix));
    }
    return text;
}

/* Whom the packet threads send this address to; NULL: nobody. */
static const struct pv_peer *goes_to(const char *ip)
{
    struct pv_fp_snapshot *snap;
    struct pv_addr a = test_ip(ip);
    assert_ok(pv_fp_builder_snapshot(x.f.node.fp, &snap));
    uint32_t owner = pv_fp_snapshot_owner(snap, a.family == PV_AF_INET ? 4 : 6, a.ip);
    size_t i = (size_t)owner - PV_FP_OWNER_CARRIED;
    uint32_t id = owner >= PV_FP_OWNER_CARRIED && i < snap->routes->n_carried
                      ? snap->routes->carried[i].ids[0]
                      : 0;
    pv_fp_snapshot_free(snap);
    return id == 0 ? NULL : pv_peers_by_id(x.f.node.peers, id);
}

static bool is_here(const char *ip)
{
    struct pv_fp_snapshot *snap;
    struct pv_addr a = test_ip(ip);
    assert_ok(pv_fp_builder_snapshot(x.f.node.fp, &snap));
    bool here = pv_fp_snapshot_owner(snap, 4, a.ip) == PV_FP_OWNER_HERE;
    pv_fp_snapshot_free(snap);
    return here;
}

static void ask(const char *fields)
{
    fake_client_ask(&x, client, fields);
    (void)fake_client_read(&x, client);
}

static void show_reply(void)
{
    assert_shows("", fake_ctl_output);
}

/* The client asks for this, and the answer says that. */
static void show_answer(const char *fields)
{
    ask(fields);
    show_reply();
}

static void be_online(struct pv_peer *p, bool online)
{
    pv_peer_set_presence(p, online ? PV_PRESENCE_ONLINE : PV_PRESENCE_OFFLINE, 1, x.f.now);
    pv_peers_touch(x.f.node.peers, p, x.f.now);
    fake_peers_settle(&x);
    fake_node_wait(&x.f, PV_MS(1));
    fake_peers_settle(&x);
}

/* Of the exit, as `status` has it. */
static const json_t *exit_value(const char *key)
{
    return json_object_get(fake_node_value(&x.f, PV_STATUS_ROUTES, "exit"), key);
}

PV_TEST(the_host_gets_a_plan_at_the_start)
{
    assert_true(new_plan());
    assert_string_equal(plan.ifname, "pv0");
    assert_string_equal(used(), "");
    assert_int_equal(plan.overlay4.bits, 16);
    assert_false(plan.exit);
    fake_node_raise(&x.f, PV_FACT_ROSTER | PV_FACT_STATEMENTS);
    assert_false(new_plan()); /* the same once more is none */
}

PV_TEST(offer_and_permission_are_both_needed)
{
    offer(BOB, "192.168.1.0/24", PV_OFFER_AUTO);
    assert_string_equal(used(), "");
    assert_null(goes_to("192.168.1.7"));
    show_answer("'cmd':'routes'");
    show_reply();
    fake_node_show_problems(&x.f);

    (void)allow(pv_peer_pk(carol), "192.168.1.0/24"); /* another member */
    (void)allow(pv_peer_pk(bob), "192.168.0.0/16");   /* another prefix */
    assert_string_equal(used(), "");
    uint16_t number = allow(pv_peer_pk(bob), "192.168.1.0/24");
    assert_string_equal(used(), "192.168.1.0/24");
    assert_ptr_equal(goes_to("192.168.1.7"), bob);
    assert_null(goes_to("192.168.2.7"));
    assert_false(fake_node_has_problem(&x.f, "192.168.1.0/24"));

    offer(BOB, "", 0);
    assert_string_equal(used(), "");
    assert_null(goes_to("192.168.1.7"));
    show_answer("'cmd':'routes'");
    offer(BOB, "192.168.1.0/24", PV_OFFER_AUTO);
    assert_ptr_equal(goes_to("192.168.1.7"), bob);
    take_back(number);
    assert_string_equal(used(), "");
    assert_null(goes_to("192.168.1.7"));
}

PV_TEST(the_user_chooses)
{
    (void)allow(pv_peer_pk(bob), "192.168.1.0/24");
    (void)allow(pv_peer_pk(carol), "2001:db8::/32");
    offer(BOB, "192.168.1.0/24", 0);
    offer(CAROL, "2001:db8::/32", PV_OFFER_AUTO);
    assert_string_equal(used(), "2001:db8::/32");
    show_answer("'cmd':'routes'");
    show_reply();
    ask("'cmd':'route_use','peer':'bob'");
    assert_string_equal(used(), "192.168.1.0/24 2001:db8::/32");
    (void)fake_client_read(&x, client);
    show_reply();
    ask(test_given("route_use peer db8 /32 off"));
    assert_string_equal(used(), "192.168.1.0/24");
    show_answer("'cmd':'routes'");
    ask("'cmd':'route_use','peer':'off'");
    assert_string_equal(used(), "");
    show_answer("'cmd':'routes'");
    ask("'cmd':'route_use','peer':'all'");
    assert_string_equal(used(), "192.168.1.0/24 2001:db8::/32");
    show_answer("'cmd':'route_use','peer':'nobody'");
    show_answer("'cmd':'route_use','peer':'0.0.0.0/0'");
    const struct keys k = keys_of(BOB);
    told(make_place(&x.f.world, &x.f.world.creator, &k, "rob", 7, 1));
    assert_ok(
        pv_peers_add_member(x.f.node.peers, pv_roster_by_node(x.f.node.roster, k.pk), x.f.now));
    show_answer("'cmd':'route_use','peer':'bob'");
}

/* The choice is there after a restart. */
PV_TEST(the_choice_is_kept)
{
    struct pv_saved_meta meta = {.name = "routes"};
    uint8_t copy[PV_ROUTEUSE_BYTES];
    bool found = false;
    (void)new_plan();
    ask("'cmd':'route_use','peer':'all'");
    for (struct pv_job *job; (job = fake_node_job(&x.f)) != NULL;) {
        struct pv_job_result done = {.status = PV_OK};
        if (job->kind == PV_JOB_SET_META) {
            assert_string_equal(job->u.set_meta.name, "routes");
            memcpy(copy, job->u.set_meta.value, job->u.set_meta.len);
            meta.value = pv_view(copy, job->u.set_meta.len);
            found = true;
        }
        fake_node_answer(&x.f, job, &done);
    }
    assert_true(found);
    pv_part_free(x.f.part, x.f.self);
    x.f.saved = (struct pv_saved){.meta = &meta, .n_meta = 1};
    fake_node_start(&x.f);
    x.f.node.parts[0].self = x.f.self;
    assert_int_equal(pv_routes_use(&x.f.node)->mode, PV_ROUTEUSE_ALL);
    assert_true(new_plan());
}

PV_TEST(a_route_not_to_be_taken_over_is_not)
{
    struct pv_netplan_link lan = {.prefix = test_prefix("192.168.0.0/23"), .ifname = "eth7"};
    (void)allow(pv_peer_pk(bob), "192.168.1.0/24");
    (void)allow(pv_peer_pk(bob), "192.168.0.0/16");
    (void)allow(pv_peer_pk(bob), "10.66.7.0/24");
    (void)allow(pv_peer_pk(bob), "10.0.0.0/8");
    offer(BOB, test_given("10.0.0.0/8 10.66.7.0/24"), PV_OFFER_AUTO);
    assert_string_equal(used(), "10.0.0.0/8 192.168.0.0/16 192.168.1.0/24");
    show_answer("'cmd':'routes'");
    x.f.node.host.plan = (struct pv_netplan_host){.lan = {lan}, .n_lan = 1};
    fake_node_raise(&x.f, PV_FACT_HOSTNET);
    assert_string_equal(used(), "10.0.0.0/8 192.168.0.0/16");
    show_answer("'cmd':'routes'");
    assert_ptr_equal(goes_to("192.168.9.7"), bob);
    assert_null(goes_to("10.66.7.7"));
}

PV_TEST(an_offered_way_out_is_named_by_its_word)
{
    offer(BOB, "0.0.0.0/0", PV_OFFER_AUTO);
    assert_true(fake_node_has_problem(&x.f, "`sudo p2pvpnctl route allow bob default`"));
}

PV_TEST(this_node_carries_what_it_may)
{
    offer_by(&x.f.world.creator, "172.16.0.0/12 192.168.1.0/24", PV_OFFER_NO_NAT);
    assert_false(is_here("192.168.1.7"));
    assert_true(fake_node_has_problem(&x.f, "no admin has allowed"));
    (void)allow(x.f.identity.sign_pk, "192.168.1.0/24");
    (void)new_plan();
    assert_true(is_here("192.168.1.7"));
    assert_false(is_here("172.16.0.1"));
    assert_int_equal(plan.n_offered, 1);
    assert_false(plan.offered[0].snat);
    /* Another one that carries it, too, is not used for it. */
    (void)allow(pv_peer_pk(bob), "192.168.1.0/24");
    offer(BOB, "192.168.1.0/24", PV_OFFER_AUTO);
    assert_string_equal(used(), "");
    assert_true(is_here("192.168.1.7"));
    show_answer("'cmd':'routes'");
    x.f.node.up = false;
    fake_node_raise(&x.f, PV_FACT_UP);
    (void)new_plan();
    assert_int_equal(plan.n_offered, 0);
    assert_false(is_here("192.168.1.7"));
}

PV_TEST(of_two_the_one_that_is_there_carries)
{
    (void)allow(pv_peer_pk(bob), "192.168.1.0/24");
    (void)allow(pv_peer_pk(carol), "192.168.1.0/24");
    offer(BOB, "192.168.1.0/24", PV_OFFER_AUTO);
    offer(CAROL, "192.168.1.0/24", PV_OFFER_AUTO);
    assert_string_equal(used(), "192.168.1.0/24");
    be_online(carol, true);
    assert_ptr_equal(goes_to("192.168.1.7"), carol);
    be_online(bob, true);
    assert_ptr_equal(goes_to("192.168.1.7"), carol); /* as long as it is there */
    be_online(carol, false);
    assert_ptr_equal(goes_to("192.168.1.7"), bob);
    show_answer("'cmd':'routes'");
    show_reply();
    assert_false(new_plan()); /* the host sees nothing of it */
}

/* The word of gateways about themselves counts, whatever paths there are to them. */
PV_TEST(a_gateway_that_does_not_reach_it_does_not_carry)
{
    static const uint8_t on = PV_OFFER_AUTO | PV_OFFER_LINKED;
    (void)allow(pv_peer_pk(bob), "192.168.1.0/24");
    (void)allow(pv_peer_pk(carol), "192.168.1.0/24");
    be_online(bob, true);
    be_online(carol, true);
    offer(BOB, "192.168.1.0/24", on);
    offer(CAROL, "192.168.1.0/24", on);
    assert_ptr_equal(goes_to("192.168.1.7"), bob);
    offer(BOB, "192.168.1.0/24", on | PV_OFFER_AWAY);
    assert_ptr_equal(goes_to("192.168.1.7"), carol);
    show_answer("'cmd':'routes'");
    offer(BOB, "192.168.1.0/24", on);
    assert_ptr_equal(goes_to("192.168.1.7"), carol);
    /* One that may drop it is better than none. */
    offer(CAROL, "192.168.1.0/24", on | PV_OFFER_DOUBT);
    assert_ptr_equal(goes_to("192.168.1.7"), bob);
    offer(BOB, "192.168.1.0/24", on | PV_OFFER_AWAY);
    assert_ptr_equal(goes_to("192.168.1.7"), carol);
    /* Nor does it leave by another way when nobody carries it. */
    offer(CAROL, "192.168.1.0/24", on | PV_OFFER_AWAY);
    assert_string_equal(used(), "192.168.1.0/24");
}

PV_TEST(this_node_carries_what_it_reaches)
{
    const struct pv_netplan_link lan = {.prefix = test_prefix("192.168.1.0/24"), .ifname = "eth7"};
    (void)allow(x.f.identity.sign_pk, "192.168.1.0/24");
    offer_by(&x.f.world.creator, "192.168.1.0/24", 0);
    assert_true(is_here("192.168.1.7")); /* behind a router */
    (void)new_plan();
    assert_false(plan.offered[0].linked);
    offer_by(&x.f.world.creator, "192.168.1.0/24", PV_OFFER_LINKED);
    assert_false(is_here("192.168.1.7")); /* the host has not been looked at */
    assert_false(fake_node_has_problem(&x.f, "is not carried for members"));
    x.f.node.host.plan = (struct pv_netplan_host){.lan = {lan}, .n_lan = 1};
    fake_node_raise(&x.f, PV_FACT_HOSTNET);
    assert_true(is_here("192.168.1.7"));
    (void)new_plan();
    assert_true(plan.offered[0].linked);
    x.f.node.host.plan.lan[0].prefix = test_prefix("192.168.2.0/24");
    fake_node_raise(&x.f, PV_FACT_HOSTNET);
    assert_false(is_here("192.168.1.7"));
    assert_true(fake_node_has_problem(&x.f, "192.168.1.0/24 is not carried for members"));
    show_answer("'cmd':'routes'");
    (void)new_plan();
    assert_int_equal(plan.n_offered, 1); /* the host says when it is back */
    /* A router leads there now. remedy: offer_again */
    offer_by(&x.f.world.creator, "192.168.1.0/24", 0);
    assert_true(is_here("192.168.1.7"));
    assert_false(fake_node_has_problem(&x.f, "is not carried for members"));
}

PV_TEST(an_exit_is_used_on_demand)
{
    offer(BOB, "0.0.0.0/0 ::/0", PV_OFFER_AUTO);
    show_answer("'cmd':'exit_use','peer':'bob'");
    const struct keys *self = &x.f.world.creator;
    offer_by(self, "0.0.0.0/0", 0);
    show_answer("'cmd':'exit_use','peer':'bob'");
    offer_by(self, "", 0);
    (void)allow(pv_peer_pk(bob), "0.0.0.0/0");
    (void)allow(pv_peer_pk(bob), "::/0");
    be_online(bob, true);
    ask("'cmd':'route_use','peer':'all'");
    (void)new_plan();
    assert_false(plan.exit);
    ask("'cmd':'exit_use','peer':'bob','lan':true");
    (void)new_plan();
    (void)fake_client_read(&x, client);
    show_reply();
    assert_true(plan.exit && plan.exit4 && plan.exit6 && plan.exit_lan && !plan.exit_block);
    assert_int_equal(plan.n_used, 0);
    assert_ptr_equal(goes_to("8.8.8.8"), bob);
    assert_true(json_is_true(exit_value("works")));

    be_online(bob, false); /* all goes out as before */
    (void)new_plan();
    assert_false(plan.exit);
    assert_true(fake_node_has_problem(&x.f, "the exit bob does not answer"));
    ask("'cmd':'exit_use','peer':'bob','block':true");
    (void)new_plan();
    assert_true(plan.exit && plan.exit_block && !plan.exit_lan);
    assert_true(json_is_false(exit_value("down")));
    x.f.node.removed = true; /* its user's block is not the admins' to open */
    fake_node_raise(&x.f, PV_FACT_UP);
    (void)new_plan();
    assert_true(plan.exit && plan.exit_block);
    assert_true(fake_node_has_problem(&x.f, "nothing goes out until it does"));
    x.f.node.removed = false;
    fake_node_raise(&x.f, PV_FACT_UP);
    (void)new_plan();
    x.f.node.up = false; /* which ends --block */
    assert_true(json_is_true(exit_value("down")));
    assert_false(fake_node_has_problem(&x.f, "the exit bob does not answer"));
    x.f.node.up = true;
    ask("'cmd':'exit_off'");
    (void)new_plan();
    assert_false(plan.exit || plan.exit_block);
    assert_null(goes_to("8.8.8.8"));
}

/* Nothing may go around an exit with --block, whatever has become of it. */
PV_TEST(block_stays_when_the_permission_goes)
{
    uint16_t number = allow(pv_peer_pk(bob), "0.0.0.0/0");
    offer(BOB, "0.0.0.0/0", 0);
    ask("'cmd':'exit_use','peer':'bob','block':true");
    (void)new_plan();
    assert_true(plan.exit && plan.exit4 && !plan.exit6 && plan.exit_block);
    take_back(number);
    (void)new_plan();
    assert_true(plan.exit && !plan.exit4 && !plan.exit6 && plan.exit_block);
    assert_null(goes_to("8.8.8.8"));
    assert_true(fake_node_has_problem(&x.f, "nothing goes out"));
}

/* The exit that the user chose is a machine: another one with its name is not meant. */
PV_TEST(an_exit_whose_machine_is_gone_is_called_a_former_one)
{
    (void)allow(pv_peer_pk(bob), "0.0.0.0/0");
    offer(BOB, "0.0.0.0/0", 0);
    ask("'cmd':'exit_use','peer':'bob','block':true");
    (void)new_plan();
    told(make_revocation(&x.f.world, &x.f.world.creator, PV_REVOKE_NODE, pv_peer_pk(bob), NULL, 0));
    fake_node_member(&x.f, 99, "bob", 99);
    fake_peers_settle(&x);
    assert_true(fake_node_has_problem(&x.f, "the exit bob (former, key:"));
    assert_memory_equal(json_string_value(exit_value("peer")), "bob (former, key:", 17);
    show_answer("'cmd':'routes'");
}

PV_TEST(a_node_that_leaves_the_network_uses_nothing)
{
    (void)allow(pv_peer_pk(bob), "192.168.1.0/24");
    offer(BOB, "192.168.1.0/24", PV_OFFER_AUTO);
    assert_string_equal(used(), "192.168.1.0/24");
    x.f.node.up = false;
    fake_node_raise(&x.f, PV_FACT_UP);
    assert_string_equal(used(), "");
    assert_null(goes_to("192.168.1.7"));
    x.f.node.up = true;
    fake_node_raise(&x.f, PV_FACT_UP);
    assert_string_equal(used(), "192.168.1.0/24");
    told(make_revocation(&x.f.world, &x.f.world.creator, PV_REVOKE_NODE, pv_peer_pk(bob), NULL, 0));
    assert_string_equal(used(), "");
    assert_null(goes_to("192.168.1.7"));
}

/* It holds, and the next start would know nothing of it. */
PV_TEST(a_choice_that_the_disk_does_not_take_is_told)
{
    (void)allow(pv_peer_pk(bob), "0.0.0.0/0");
    offer(BOB, "0.0.0.0/0", 0);
    be_online(bob, true);
    (void)new_plan();
    ask("'cmd':'exit_use','peer':'bob','block':true");
    for (struct pv_job *job; (job = fake_node_job(&x.f)) != NULL;) {
        struct pv_job_result done = {.status = PV_OK};
        if (job->kind == PV_JOB_SET_META) {
            done.status = PV_ERR_NO_SPACE;
            snprintf(done.error, sizeof(done.error), "store: disk full");
        } else if (job->kind == PV_JOB_NETPLAN) {
            assert_true(job->u.netplan->exit && job->u.netplan->exit_block);
        }
        fake_node_answer(&x.f, job, &done);
    }
    (void)fake_client_read(&x, client);
    show_reply();
    show_reply();
    show_reply();
}

/* The client hears it, and the host gets a plan without the exit. */
/* The host cannot set the plan that is handed to it next; jobs before it end well. */
static void refuse_plan(void)
{
    struct pv_job_result done = {.status = PV_OK}, failed = {.status = PV_ERR_REFUSED};
    struct pv_job *job;
    snprintf(failed.error, sizeof(failed.error), "routes: nft is missing: install nftables");
    while ((job = fake_node_job(&x.f)) != NULL && job->kind != PV_JOB_NETPLAN)
        fake_node_answer(&x.f, job, &done);
    assert_non_null(job);
    fake_node_answer(&x.f, job, &failed);
}

/* The choice of before stands: the command failed. */
PV_TEST(an_exit_that_the_host_refuses_is_not_chosen)
{
    (void)allow(pv_peer_pk(bob), "0.0.0.0/0");
    offer(BOB, "0.0.0.0/0", 0);
    be_online(bob, true);
    (void)new_plan();
    ask("'cmd':'exit_use','peer':'bob','block':true");
    assert_string_equal(fake_ctl_output, "");
    refuse_plan();
    (void)fake_client_read(&x, client);
    show_reply();
    assert_true(new_plan());
    assert_false(plan.exit);
    assert_true(json_is_null(fake_node_value(&x.f, PV_STATUS_ROUTES, "exit")));
    show_answer("'cmd':'routes'");
    assert_false(fake_node_has_problem(&x.f, "install nftables"));
}

/* As where another VPN was started: nothing of the plan changes for that, since the host tries
 * again by itself, and does not open what is blocked. */
PV_TEST(an_exit_that_the_host_cannot_use_is_said)
{
    (void)allow(pv_peer_pk(bob), "0.0.0.0/0");
    offer(BOB, "0.0.0.0/0", 0);
    be_online(bob, true);
    for (size_t block = 0; block < 2; block++) {
        ask(block ? "'cmd':'exit_use','peer':'bob','block':true" : "'cmd':'exit_use','peer':'bob'");
        (void)new_plan();
        assert_true(plan.exit && plan.exit4 && plan.exit_asked);
        assert_true(json_is_true(exit_value("works")));
        x.f.node.host.plan.exit_refused = true;
        snprintf(x.f.node.host.plan.fault, sizeof(x.f.node.host.plan.fault), "stop that VPN");
        fake_node_raise(&x.f, PV_FACT_HOSTNET);
        assert_false(new_plan());
        assert_true(json_is_true(exit_value("refused")));
        assert_true(json_is_false(exit_value("works")));
        assert_true(fake_node_has_problem(&x.f, "stop that VPN"));
        assert_int_equal(fake_node_has_problem(&x.f, "nothing goes out until it can"), block);
        assert_false(fake_node_has_problem(&x.f, "does not answer"));
        show_answer("'cmd':'routes'");
        assert_true(fake_node_has_metric(&x.f, "p2pvpn_routes_used 0"));
        x.f.node.host.plan.exit_refused = false;
        x.f.node.host.plan.fault[0] = '\0';
        fake_node_raise(&x.f, PV_FACT_HOSTNET);
        assert_true(json_is_true(exit_value("works")));
    }
}

/* "used" is what a packet would do, and not what was set. */
PV_TEST(an_exit_whose_packets_go_elsewhere_is_not_used)
{
    (void)allow(pv_peer_pk(bob), "0.0.0.0/0");
    offer(BOB, "0.0.0.0/0", 0);
    be_online(bob, true);
    ask("'cmd':'exit_use','peer':'bob'");
    (void)new_plan();
    assert_true(json_is_false(exit_value("beside")));
    show_answer("'cmd':'routes'");
    x.f.node.host.plan.overlaps[0] = (struct pv_netplan_overlap){.used = test_prefix("0.0.0.0/0"),
                                                                 .other.ifname = "eth0",
                                                                 .taken = true,
                                                                 .table = 220,
                                                                 .rule = 219};
    x.f.node.host.plan.n_overlaps = 1;
    fake_node_raise(&x.f, PV_FACT_HOSTNET);
    assert_false(new_plan());
    assert_true(json_is_false(exit_value("works")));
    assert_true(json_is_true(exit_value("beside")));
    assert_true(fake_node_has_problem(&x.f, "the exit bob is not used: programs' packets to the "
                                            "internet leave by eth0: rule 219 looks into table "
                                            "220"));
    assert_false(fake_node_has_problem(&x.f, "does not answer"));
    show_answer("'cmd':'routes'");
    x.f.node.host.plan.n_overlaps = 0;
    assert_true(json_is_true(exit_value("works")));
}

/* Where nobody waits for an answer the whole plan is tried again. */
PV_TEST(a_plan_that_the_host_does_not_set_is_said)
{
    (void)allow(pv_peer_pk(bob), "0.0.0.0/0");
    (void)allow(pv_peer_pk(bob), "192.168.1.0/24");
    offer(BOB, "0.0.0.0/0 192.168.1.0/24", 0);
    be_online(bob, true);
    ask("'cmd':'exit_use','peer':'bob','block':true");
    (void)new_plan();
    (void)fake_client_read(&x, client);
    ask("'cmd':'route_use','peer':'all'");
    refuse_plan();
    fake_peers_settle(&x);
    assert_true(fake_node_has_problem(&x.f, "install nftables"));
    fake_node_wait(&x.f, PV_S(30));
    assert_true(new_plan());
    assert_true(plan.exit && plan.exit_block && !plan.exit_asked && plan.n_used == 1);
    assert_false(fake_node_has_problem(&x.f, "install nftables"));
}

/* 17 members offer 16 networks each, and the admin allows all but one more than there is room for.
 */
PV_TEST(prefixes_beyond_the_limit_are_named_until_an_admin_denies_some)
{
    uint16_t last = 0;
    for (unsigned m = 0; m * PV_OFFERS_MAX <= PV_ROUTES_MAX; m++) {
        char list[PV_OFFERS_MAX * 20];
        struct pv_text text = pv_text_in(list, sizeof(list));
        (void)fake_peers_member(&x, 50 + m, PV_STR("gateway%u", m), (uint16_t)(50 + m));
        for (unsigned i = 0; i < PV_OFFERS_MAX; i++)
            pv_text_add(&text, "%s10.%u.%u.0/24", i == 0 ? "" : " ", 100 + m, i);
        offer(50 + m, list, 0);
        for (unsigned i = 0; i < PV_OFFERS_MAX && m * PV_OFFERS_MAX + i <= PV_ROUTES_MAX; i++)
            last = allow(keys_of(50 + m).pk, PV_STR("10.%u.%u.0/24", 100 + m, i));
    }
    assert_true(fake_node_has_problem(&x.f, "more prefixes than this node looks at (256)"));
    take_back(last); /* remedy: deny_routes */
    assert_false(fake_node_has_problem(&x.f, "more prefixes"));
}
