/* SPDX-License-Identifier: MIT */
/* When which coordinator is visited. The results of a visit are in sim/moves. */
#include "daemon/core/member/membership.h"
#include "daemon/core/member/scout.h"
#include "tests/unit/daemon/core/member/fake_coord.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers peers;
static struct fake_node *const node = &peers.f;
static struct keys other; /* a second coordinator */

/* Stands in for membership.c: no welcome comes here. */
size_t pv_membership_add(struct pv_node *n, const struct pv_ctl_item *items, size_t n_items,
                         pv_ns now)
{
    return n_items;
}

void test_before_each(void)
{
    fake_peers_init(&peers, &pv_part_scout);
    fake_coord_init();
    other = keys_of(77);
    fake_node_start(node);
    fake_node_enter(node);
    fake_node_settle(node);
}

/* A record of root's with these, at 192.0.2.9 and 192.0.2.7, in this order. */
static void say(uint64_t seq, const uint8_t *first, const uint8_t *second)
{
    uint8_t list[512];
    struct pv_made_long made;
    struct pv_hostport at9 = {.host = "192.0.2.9", .port = 3478};
    struct pv_hostport at7 = {.host = "192.0.2.7", .port = 3478};
    struct pv_writer w = pv_writer(list, sizeof(list));
    pv_coordlist_put(&w, first, &at9, 1);
    if (second != NULL)
        pv_coordlist_put(&w, second, &at7, 1);
    assert_ok(pv_make_coordinators(node->world.created.network_id,
                                   pv_signer_sk(node->world.root.sk), seq, pv_view(list, w.len),
                                   &made));
    struct item it = {.s.len = made.len};
    memcpy(it.s.raw, made.raw, made.len);
    fake_node_add(node, it);
    fake_node_raise(node, PV_FACT_STATEMENTS);
}

static void online_at(const uint8_t *pk)
{
    memcpy(node->node.coord_info.pk, pk, PV_SIGN_PK_LEN);
    node->node.online = node->node.coord_info.as_member = true;
    fake_node_raise(node, PV_FACT_ONLINE);
}

/* How long until the next visit begins; PV_NEVER: none does within so long. */
static pv_ns next_visit(pv_ns within, uint8_t *ret_last)
{
    pv_ns begin = node->now;
    struct pv_stream_op op;
    while (node->now < begin + within) {
        fake_node_wait(node, PV_MS(100));
        while (pv_streams_next_op(&node->node.streams, &op) == PV_OK) {
            assert_int_equal(op.kind, PV_STREAM_SCOUT);
            *ret_last = op.addr.ip[3];
            if (op.type == PV_STREAM_OPEN)
                return node->now - begin;
        }
    }
    return PV_NEVER;
}

PV_TEST(nobody_is_visited_where_all_is_known)
{
    uint8_t last;
    online_at(node->world.coordinator.pk);
    assert_true(pv_part_scout.next_timeout(node->self) == PV_NEVER);
    assert_true(next_visit(PV_S(100), &last) == PV_NEVER);
}

PV_TEST(a_preferred_one_is_visited_every_minute_for_a_moment)
{
    struct pv_stream_op op;
    uint8_t last = 0;
    say(5, other.pk, node->world.coordinator.pk);
    assert_true(next_visit(PV_S(100), &last) == PV_NEVER); /* this node is not online */
    online_at(node->world.coordinator.pk);
    for (int i = 0; i < 5; i++) {
        pv_ns waited = next_visit(PV_S(100), &last);
        assert_true(waited >= PV_SCOUT_HOME / 2 && waited <= PV_SCOUT_HOME + PV_S(1));
        assert_true(last == 9);
        fake_node_wait(node, PV_SCOUT_LIMIT);
        assert_ok(pv_streams_next_op(&node->node.streams, &op));
        assert_int_equal(op.type, PV_STREAM_CLOSE);
    }
    /* The one in use is not visited, whatever its place. */
    online_at(other.pk);
    for (int i = 0; i < 3; i++) {
        assert_true(next_visit(PV_S(3700), &last) != PV_NEVER);
        assert_int_not_equal(last, 9);
    }
}

PV_TEST(one_of_before_is_visited_soon_and_then_more_and_more_rarely)
{
    uint8_t last = 0;
    pv_ns before = 0;
    for (unsigned i = 0; i < 3; i++)
        fake_node_member(node, 60 + i, (const char *[]){"bob", "carol", "dave"}[i],
                         (uint16_t)(7 + i));
    say(5, other.pk, NULL);
    online_at(other.pk);
    pv_ns waited = next_visit(PV_S(3700), &last);
    assert_true(waited <= 5 * PV_SCOUT_TELL + PV_S(1));
    for (int i = 0; i < 14; i++) {
        waited = next_visit(PV_S(3800), &last);
        assert_true(waited != PV_NEVER && waited <= PV_SCOUT_TELL_LAST + PV_SCOUT_LIMIT + PV_S(1));
        assert_true(i < 3 || i > 6 || waited > PV_S(60));
        before = waited;
    }
    assert_true(before >= PV_SCOUT_TELL_LAST / 2);
    /* Another record may find it there again, when the visit under way has ended. */
    say(6, other.pk, NULL);
    assert_true(next_visit(PV_S(100), &last) <= PV_SCOUT_LIMIT + 5 * PV_SCOUT_TELL + PV_S(1));
}

/* No coordinator has put it in order. */
static void remove_bob(void)
{
    struct pv_st_revocation what = {.kind = PV_REVOKE_NODE, .time = T0};
    struct pv_made_long made;
    size_t iter = 0;
    fake_node_member(node, 60, "bob", 7);
    memcpy(what.pk, pv_roster_by_name(node->node.roster, "bob")->node, sizeof(what.pk));
    assert_ok(pv_make_revocation(node->node.roster, pv_signer_sk(node->world.root.sk), &what, &iter,
                                 &made));
    struct item it = {.s.len = made.len};
    memcpy(it.s.raw, made.raw, made.len);
    fake_node_add(node, it);
    fake_node_raise(node, PV_FACT_STATEMENTS);
}

PV_TEST(one_whose_receipt_the_record_has_is_not_visited)
{
    struct pv_receipt receipt = {.time = T0, .n = 900};
    uint8_t raw[PV_RECEIPT_LEN], last;
    enum pv_roster_added added;
    say(5, other.pk, NULL);
    const struct pv_roster_entry *e = pv_roster_coordinators_record(node->node.roster);
    memcpy(receipt.network_id, node->world.created.network_id, PV_NETWORK_ID_LEN);
    memcpy(receipt.hash, e->st.hash, sizeof(receipt.hash));
    assert_ok(pv_receipt_make(&receipt, node->world.coordinator.sk, raw));
    assert_ok(pv_roster_add(node->node.roster, e->st.raw, pv_view(raw, sizeof(raw)), &added));
    (void)settle(node->node.roster);
    online_at(other.pk);
    assert_true(next_visit(PV_S(3700), &last) == PV_NEVER);
    remove_bob();
    assert_true(next_visit(PV_S(100), &last) <= 3 * PV_SCOUT_TELL + PV_S(1));
    assert_int_not_equal(last, 9);
}

PV_TEST(a_node_that_is_visiting_another_way_or_down_visits_nobody)
{
    uint8_t last;
    say(5, other.pk, NULL);
    online_at(other.pk);
    node->node.coord_info.visiting = true;
    assert_true(next_visit(PV_S(100), &last) == PV_NEVER);
    node->node.coord_info.visiting = node->node.up = false;
    fake_node_raise(node, PV_FACT_UP);
    assert_true(next_visit(PV_S(100), &last) == PV_NEVER);
}

/* The connection in use is lost in the middle of a visit: that may be its next place. */
PV_TEST(a_visit_ends_with_the_connection_in_use)
{
    struct pv_stream_op op;
    uint8_t last;
    say(5, other.pk, NULL);
    online_at(other.pk);
    assert_true(next_visit(PV_S(100), &last) != PV_NEVER);
    node->node.online = false;
    fake_node_raise(node, PV_FACT_OFFLINE);
    assert_ok(pv_streams_next_op(&node->node.streams, &op));
    assert_int_equal(op.type, PV_STREAM_CLOSE);
    node->node.online = true;
    node->node.up = false;
    fake_node_raise(node, PV_FACT_ONLINE | PV_FACT_UP);
    assert_true(pv_part_scout.next_timeout(node->self) == PV_NEVER);
}

/* Those of the list are being tried, so a visit there would meet the other connection. */
PV_TEST(a_node_that_reaches_none_of_the_list_asks_the_others)
{
    uint8_t last = 0;
    say(5, other.pk, NULL);
    online_at(other.pk);
    node->node.online = false;
    fake_node_raise(node, PV_FACT_OFFLINE);
    for (int i = 0; i < 5; i++) {
        assert_true(next_visit(PV_S(700), &last) != PV_NEVER);
        assert_int_not_equal(last, 9);
    }
    /* One that does not know this node may know of another list all the same. */
    node->node.coord_info.standing = PV_COORD_UNKNOWN;
    fake_node_raise(node, PV_FACT_COORDINATOR);
    bool asked = false;
    for (int i = 0; i < 20 && !asked; i++)
        asked = next_visit(PV_S(3700), &last) != PV_NEVER && last == 9;
    assert_true(asked);
    node->node.removed = true;
    fake_node_raise(node, PV_FACT_UP);
    assert_true(pv_part_scout.next_timeout(node->self) == PV_NEVER);
}

PV_TEST(names_are_looked_up_for_a_visit)
{
    uint8_t list[512];
    struct pv_made_long made;
    struct pv_stream_op op;
    struct pv_hostport hp = {.host = "coord.example", .port = 3478};
    struct pv_writer w = pv_writer(list, sizeof(list));
    struct pv_job_result found = {.status = PV_OK, .n_addrs = 1};
    pv_coordlist_put(&w, other.pk, &hp, 1);
    assert_ok(pv_make_coordinators(node->world.created.network_id,
                                   pv_signer_sk(node->world.root.sk), 5, pv_view(list, w.len),
                                   &made));
    struct item it = {.s.len = made.len};
    memcpy(it.s.raw, made.raw, made.len);
    fake_node_add(node, it);
    online_at(node->world.coordinator.pk);
    struct pv_job *job = NULL;
    for (int i = 0; i < 1000 && job == NULL; i++) {
        fake_node_wait(node, PV_MS(100));
        job = fake_node_job(node);
    }
    assert_non_null(job);
    assert_int_equal(job->kind, PV_JOB_RESOLVE);
    found.addrs[0] = pv_addr4(192, 0, 2, 5, 3478);
    fake_node_answer(node, job, &found);
    fake_node_wait(node, PV_MS(100));
    assert_ok(pv_streams_next_op(&node->node.streams, &op));
    assert_true(pv_addr_equal(&op.addr, &found.addrs[0]));
}
