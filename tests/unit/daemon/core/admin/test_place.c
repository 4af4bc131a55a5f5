/* SPDX-License-Identifier: MIT */
/* Names and addresses that a node says of itself: the answer says what came of it. */
#include "daemon/core/admin/admin.h"
#include "daemon/core/admin/ending.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/owed.h"
#include "daemon/core/parts.h"
#include "proto/local/ctlapi.h"
#include "tests/unit/daemon/core/fake_ctl.h"
#include "tests/unit/daemon/core/fake_membership.h"

static struct fake_node node;
static uint32_t client;
static unsigned n_answered;
static bool is_pending; /* what was answered last holds only with a receipt */

/* --- what stands in for other parts ----------------------------------------------------------- */

void pv_admin_answer_when_told(struct pv_node *n, uint64_t handle, pv_ns now)
{
    n_answered++;
    pv_ctlsrv_done(n->ctl, handle);
}

/* Rules, which share a file with what place asks for, are not made here. */
void pv_admin_answer_with(struct pv_node *n, uint64_t handle, const struct pv_ctlapi_told *told,
                          pv_ns now)
{
    is_pending = told->pending;
    pv_admin_answer_when_told(n, handle, now);
}

int pv_ending_revoke(struct pv_node *n, struct pv_signer by, enum pv_st_revoked_kind kind,
                     const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now)
{
    return PV_ERR_UNSUPPORTED;
}

int pv_ending_invite_of(struct pv_node *n, const struct pv_member *m, bool keep,
                        struct pv_ctlapi_told *told, pv_ns now)
{
    return PV_ERR_UNSUPPORTED;
}

static const struct pv_st_place *wish; /* what the coordinator has not heard of */

const struct pv_st_place *pv_owed_wish(const struct pv_node *n)
{
    return wish;
}

bool pv_admin_may_sign(struct pv_node *n, const char *what, uint8_t rights, uint64_t handle)
{
    return true;
}

int pv_ending_remove(struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now)
{
    return PV_ERR_REFUSED;
}

/* --- the world -------------------------------------------------------------------------------- */

void test_before_each(void)
{
    fake_node_init(&node, &pv_part_place);
    n_answered = 0;
    wish = NULL;
    client = fake_ctl_open(&node);
    fake_node_start(&node);
    fake_node_enter(&node);
    fake_node_member(&node, 60, "bob", 7);
    node.node.up = true;
    fake_node_settle(&node);
}

static const char *run_line(const char *line)
{
    fake_ctl_say(&node, client, line);
    return fake_ctl_reply(&node, client);
}

static bool renames(unsigned i)
{
    const char *name = PV_STR("n%u", i);
    const char *reply =
        run_line(PV_STR("{\"id\":1,\"cmd\":\"rename\",\"peer\":\"\",\"name\":\"%s\"}", name));
    bool ok = strstr(reply, "\"ok\":true") != NULL;
    bool is = strcmp(pv_node_self(&node.node)->name, name) == 0;
    assert_int_equal(ok, is);
    assert_true(ok || strstr(reply, "the last number there is") != NULL);
    return ok;
}

PV_TEST(a_new_name_and_address_are_in_force_when_it_says_so)
{
    assert_true(renames(1) && renames(2));
    assert_false(is_pending);
    const char *said = run_line(test_given("address_set peer address"));
    assert_has(said, "another member's");
    said = run_line(test_given("address_set peer address 2"));
    assert_has(said, "the first and the last are nobody's");
    said = run_line(test_given("rename peer bob"));
    assert_has(said, "is taken");
    said = run_line(test_given("rename peer home"));
    assert_has(said, "that of the network");
    assert_int_equal(n_answered, 2);
}

/* A rename says the address again, and lets go of nothing. */
PV_TEST(an_address_in_use_is_another_members_after_a_rename)
{
    const struct keys bob = keys_of(60);
    struct item place = make_place(&node.world, &node.world.creator, &bob, "robert", 7, 1);
    receipt_at(&node.world, &place, node.world.epoch, node.world.n++,
               pv_node_wall_s(&node.node, node.now));
    fake_node_add(&node, place);
    fake_node_settle(&node);
    const char *said = run_line(test_given("address_set peer address"));
    assert_has(said, "another member's");
    assert_lacks(said, "until lately");
}

static const struct pv_st_place *newest(void)
{
    const struct pv_st_place *best = NULL;
    for (const struct pv_roster_entry *e = pv_roster_next_entry(node.node.roster, NULL); e != NULL;
         e = pv_roster_next_entry(node.node.roster, e)) {
        if (e->st.type == PV_ST_PLACE && (best == NULL || e->st.u.place.serial > best->serial))
            best = &e->st.u.place;
    }
    return best;
}

PV_TEST(an_order_keeps_the_one_that_waits_for_the_coordinator)
{
    static const struct pv_st_place asked = {.name = "bert", .ip4 = {10, 66, 0, 99}};
    wish = &asked;
    (void)run_line(test_given("rename peer bart"));
    assert_string_equal(newest()->name, "bart");
    assert_int_equal(newest()->ip4[3], 99);
    assert_string_equal(pv_node_self(&node.node)->name, "bart"); /* whatever becomes of the rest */
    (void)run_line(test_given("address_set peer address 3"));
    assert_string_equal(newest()->name, "bert");
    assert_int_equal(newest()->ip4[3], 98);
}

/* The coordinator is away: orders that hold with its receipt only push out none that holds. */
PV_TEST(a_name_outlives_many_orders_that_wait_for_the_coordinator)
{
    const struct pv_st_place asked = {.name = "server", .ip4 = {10, 66, 0, 99}};
    assert_has(run_line(test_given("rename peer server")), "\"ok\":true");
    for (unsigned i = 0; i < 2 * PV_ROSTER_MAX_SELF; i++) {
        (void)run_line(test_given("address_set peer address 4"));
        assert_string_equal(pv_node_self(&node.node)->name, "server");
    }
    wish = &asked;
    for (unsigned i = 0; i < 2 * PV_ROSTER_MAX_SELF; i++) {
        (void)run_line(test_given("rename peer server"));
        assert_string_equal(pv_node_self(&node.node)->name, "server");
    }
}

/* Of two statements with the last number one wins by its hash: whoever says another one hears
 * whether it did. */
PV_TEST(the_last_number_is_told)
{
    unsigned yes = 0;
    const struct pv_member *self = pv_node_self(&node.node);
    struct pv_st_place last = {.serial = UINT64_MAX, .name = "last", .time = T0};
    struct pv_made made;
    memcpy(last.node, self->node, sizeof(last.node));
    memcpy(last.ip4, self->ip4.ip, sizeof(last.ip4));
    assert_ok(pv_make_place(pv_roster_network_id(node.node.roster),
                            pv_signer_sk(node.identity.sign_sk), &last, &made));
    const struct pv_ctl_item item = {.statement = pv_made_view(&made)};
    assert_int_equal(pv_membership_add(&node.node, &item, 1, node.now), 0);
    for (unsigned i = 0; i < 32; i++)
        yes += renames(i) ? 1 : 0;
    assert_true(yes < 32);
}

/* To the next address a node that asks the coordinator goes with its receipt; to that of a machine
 * that is gone it does not go at all. */
PV_TEST(an_address_of_a_machine_that_is_gone_rests)
{
    struct keys bob = keys_of(60);
    struct item gone =
        make_revocation(&node.world, &node.world.creator, PV_REVOKE_NODE, bob.pk, NULL, 0);
    receipt_at(&node.world, &gone, node.world.epoch, node.world.n++,
               pv_node_wall_s(&node.node, node.now));
    fake_node_add(&node, gone);
    fake_node_settle(&node);
    const char *said = run_line(test_given("address_set peer address"));
    assert_has(said, "given to nobody for 30 days more");
    said = run_line(test_given("address_set peer address 5"));
    assert_has(said, "'ok':true");
    assert_int_equal(n_answered, 1);
    assert_true(is_pending);
}
