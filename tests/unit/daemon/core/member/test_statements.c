/* SPDX-License-Identifier: MIT */
/* The coordinator's log: how it is asked for, page by page, and what this node brings to it. */
#include "daemon/core/member/membership.h"
#include "daemon/core/member/puts.h"
#include "daemon/core/parts.h"
#include "tests/unit/daemon/core/fake_membership.h"
#include "tests/unit/daemon/core/member/fake_coord.h"

static struct fake_node node;
static struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
static unsigned n_moved; /* how often it was told that the cursor has moved */

void pv_membership_cursor_moved(struct pv_node *n, pv_ns now)
{
    n_moved++;
}

void test_before_each(void)
{
    fake_node_init(&node, &pv_part_statements);
    fake_coord_init();
    fake_node_enter(&node);
    fake_node_start(&node);
    fake_membership.given = n_moved = 0;
}

static void come_online(void)
{
    const struct pv_ctl_msg welcome = {.kind = PV_CTL_ANSWER, .type = PV_CTL_WELCOME};
    node.node.online = true;
    pv_part_statements.on_push(node.self, &welcome, node.now);
}

static struct pv_ctl_msg page(enum pv_ctl_kind kind, size_t n, bool more, uint64_t have)
{
    struct pv_ctl_msg msg = {.kind = kind, .type = PV_CTL_STATEMENTS};
    msg.u.statements = (struct pv_ctl_statements){
        .n = n, .items = items, .more = more, .have = {.epoch = T0, .n = have}};
    return msg;
}

/* The request for a page behind have, and the tag of its answer. */
static uint64_t expect_pull(uint64_t have)
{
    uint64_t tag;
    struct pv_ctl_msg *msg = fake_coord_take(PV_CTL_PULL, &tag);
    uint64_t asked = msg->u.pull.n;
    pv_ctl_msg_free(msg);
    assert_int_equal(asked, have);
    return tag;
}

static void answer(uint64_t tag, struct pv_ctl_msg msg)
{
    pv_part_statements.on_answer(node.self, tag, &msg, node.now);
}

/* The last page says that the coordinator has these statements: the same, or others. */
static struct pv_ctl_msg last_page(size_t n, uint64_t have, bool same_head)
{
    struct pv_ctl_msg msg = page(PV_CTL_ANSWER, n, false, have);
    msg.u.statements.has_head = true;
    pv_roster_head(node.node.roster, msg.u.statements.head);
    pv_roster_members(node.node.roster, msg.u.statements.members);
    msg.u.statements.head[0] ^= same_head ? 0 : 1;
    return msg;
}

static struct item bob(void)
{
    const struct keys k = keys_of(7);
    return make_member(&node.world, &node.world.creator, &k, "bob", 7);
}

static struct pv_ctl_item shown(const struct item *it)
{
    return (struct pv_ctl_item){.statement = pv_view(it->s.raw, it->s.len),
                                .receipt = pv_view(it->r, it->r_len)};
}

/* Everything that this node's roster has, as the coordinator lists it; how many. */
static size_t list_all(void)
{
    size_t n = 0;
    for (const struct pv_roster_entry *x = pv_roster_next_entry(node.node.roster, NULL); x != NULL;
         x = pv_roster_next_entry(node.node.roster, x))
        items[n++] = (struct pv_ctl_item){.statement = x->st.raw, .receipt = x->receipt};
    return n;
}

PV_TEST(pages_are_asked_for_until_the_last)
{
    const struct item it = bob();
    fake_coord.cursor = (struct pv_ctl_cursor){.epoch = T0, .n = 9};
    come_online();
    items[0] = shown(&it);
    answer(expect_pull(9), page(PV_CTL_ANSWER, 1, true, 10));
    assert_int_equal(pv_roster_count(node.node.roster), 2);
    answer(expect_pull(10), last_page(0, 10, true));
    assert_int_equal(fake_coord.n, 0);
    assert_int_equal(fake_coord.cursor.n, 10);
    assert_int_equal(n_moved, 1);
}

static void take_receipt(uint64_t tag)
{
    const struct pv_ctl_result result = {.error = PV_CTL_E_NONE};
    struct pv_ctl_msg receipts = {.kind = PV_CTL_ANSWER, .type = PV_CTL_RECEIPTS};
    receipts.u.receipts.n = 1;
    receipts.u.receipts.results = &result;
    answer(tag, receipts);
}

PV_TEST(a_statement_that_the_coordinator_lacks_is_brought_to_it)
{
    uint64_t tag;
    fake_node_add(&node, bob());
    size_t n = list_all();
    const struct pv_view lacking = items[n - 1].statement;
    come_online();
    answer(expect_pull(0), last_page(0, 5, false));
    answer(expect_pull(0), last_page(n - 1, 5, false)); /* all but one */
    struct pv_ctl_msg *put = fake_coord_take(PV_CTL_PUT, &tag);
    size_t n_put = put->u.put.n;
    bool same = pv_view_equal(put->u.put.items[0].statement, lacking);
    pv_ctl_msg_free(put);
    assert_int_equal(n_put, 1);
    assert_true(same);
    /* Its receipt comes back, and is merged. */
    fake_membership.given = 0;
    take_receipt(tag);
    assert_int_equal(fake_membership.given, 1);
    assert_int_equal(fake_coord.n, 0);
}

/* Puts the list of coordinators of items, of which there are n, last. */
static void put_list_last(size_t n)
{
    for (size_t i = 0; i + 1 < n; i++) {
        const struct pv_ctl_item it = items[i];
        if (it.statement.ptr[1] != PV_ST_COORDINATORS)
            continue;
        items[i] = items[n - 1];
        items[n - 1] = it;
    }
    assert_int_equal(items[n - 1].statement.ptr[1], PV_ST_COORDINATORS);
}

/* By a list that it did not know, receipts count there that it left when they came: it is looked
 * for them once more, and not for ever. */
PV_TEST(a_coordinator_that_was_brought_a_list_is_compared_once_more)
{
    uint64_t tag;
    fake_node_add(&node, bob());
    size_t n = list_all();
    put_list_last(n);
    come_online();
    answer(expect_pull(0), last_page(0, 5, false));
    answer(expect_pull(0), last_page(n - 1, 5, false)); /* all but the list */
    pv_ctl_msg_free(fake_coord_take(PV_CTL_PUT, &tag));
    take_receipt(tag);
    answer(expect_pull(0), last_page(n - 1, 5, false)); /* it lacks it again */
    pv_ctl_msg_free(fake_coord_take(PV_CTL_PUT, &tag));
    take_receipt(tag);
    assert_int_equal(fake_coord.n, 0);
}

PV_TEST(heads_that_stay_different_are_compared_once_a_connection)
{
    size_t n = list_all();
    come_online();
    answer(expect_pull(0), last_page(0, 5, false));
    answer(expect_pull(0), last_page(n, 5, false));
    struct pv_ctl_msg push = last_page(0, 5, false);
    push.kind = PV_CTL_PUSH;
    pv_part_statements.on_push(node.self, &push, node.now);
    assert_int_equal(fake_coord.n, 0);
    come_online();
    answer(expect_pull(0), last_page(0, 5, false));
    (void)expect_pull(0); /* the whole log again */
}

/* The coordinator pushes: it has our statements, and other members. */
static void push_other_members(void)
{
    struct pv_ctl_msg push = last_page(0, 5, true);
    push.kind = PV_CTL_PUSH;
    push.u.statements.members[0] ^= 1;
    pv_part_statements.on_push(node.self, &push, node.now);
}

static void later(void)
{
    node.now = pv_part_next_timeout(&pv_part_statements, node.self);
    assert_int_not_equal(node.now, PV_NEVER);
    pv_part_handle_timeout(&pv_part_statements, node.self, node.now);
}

/* It got one of them with another receipt than this node: it is brought ours, and asked again. */
PV_TEST(a_better_receipt_is_brought_to_a_coordinator_with_other_members)
{
    uint64_t tag;
    fake_node_add(&node, bob());
    size_t n = list_all(), with = 0;
    while (with < n &&
           (items[with].receipt.len == 0 || items[with].statement.ptr[1] == PV_ST_COORDINATORS))
        with++;
    assert_true(with < n);
    const struct pv_view whose = items[with].statement;
    uint8_t worse[PV_RECEIPT_LEN];
    memcpy(worse, items[with].receipt.ptr, sizeof(worse));
    worse[PV_RECEIPT_LEN - 1] ^= 1;
    come_online();
    answer(expect_pull(0), last_page(0, 5, true));
    push_other_members();
    assert_int_equal(fake_coord.n, 0); /* at random, so that not all come at once */
    later();
    struct pv_ctl_msg other = last_page(0, 5, true);
    other.u.statements.members[0] ^= 1;
    answer(expect_pull(0), other);
    (void)list_all();
    items[with].receipt = pv_view(worse, sizeof(worse));
    struct pv_ctl_msg whole = last_page(n, 5, true);
    whole.u.statements.members[0] ^= 1;
    answer(expect_pull(0), whole);
    struct pv_ctl_msg *put = fake_coord_take(PV_CTL_PUT, &tag);
    assert_int_equal(put->u.put.n, 1);
    assert_true(pv_view_equal(put->u.put.items[0].statement, whose));
    assert_int_equal(put->u.put.items[0].receipt.len, PV_RECEIPT_LEN);
    pv_ctl_msg_free(put);
    take_receipt(tag);
    answer(expect_pull(0), last_page(0, 5, true));
    assert_int_equal(fake_coord.n, 0);
    /* It is not looked at for each push. */
    push_other_members();
    pv_ns soon = node.now;
    later();
    assert_true(node.now - soon >= PV_S(20));
}

PV_TEST(a_push_is_merged_and_moves_the_cursor)
{
    const struct item it = bob();
    items[0] = shown(&it);
    const struct pv_ctl_msg push = page(PV_CTL_PUSH, 1, false, 12);
    pv_part_statements.on_push(node.self, &push, node.now);
    assert_int_equal(pv_roster_count(node.node.roster), 2);
    assert_int_equal(fake_coord.cursor.n, 12);
    assert_int_equal(fake_coord.n, 0);
}

PV_TEST(an_applicants_welcome_asks_for_nothing)
{
    const struct pv_ctl_msg welcome = {.kind = PV_CTL_ANSWER, .type = PV_CTL_WELCOME};
    pv_part_statements.on_push(node.self, &welcome, node.now);
    assert_int_equal(fake_coord.n, 0);
}

PV_TEST(uploads_end_with_the_connection)
{
    come_online();
    answer(expect_pull(0), last_page(0, 5, false));
    answer(expect_pull(0), last_page(0, 5, false));
    assert_int_equal(fake_coord.n, 1); /* all of ours in one put */
    node.node.online = false;
    fake_node_raise(&node, PV_FACT_OFFLINE);
    fake_membership.given = 0;
    const struct pv_ctl_msg late = {.kind = PV_CTL_ANSWER, .type = PV_CTL_RECEIPTS};
    answer(fake_coord.asked[0].tag, late);
    assert_int_equal(fake_membership.given, 0);
}

/* --- a coordinator that lies ------------------------------------------------------------------ */

PV_TEST(a_listing_without_end_is_not_read_to_the_end)
{
    static const uint8_t rubbish[40] = {1, 2, 3};
    unsigned pages = 0;
    for (size_t i = 0; i < PV_CTL_ITEMS_MAX; i++)
        items[i] = (struct pv_ctl_item){.statement = pv_view(rubbish, sizeof(rubbish))};
    come_online();
    answer(expect_pull(0), last_page(0, 5, false));
    uint64_t have = 0;
    while (fake_coord.n > 0 && pages < 10000) {
        uint64_t tag = expect_pull(have++);
        answer(tag, page(PV_CTL_ANSWER, PV_CTL_ITEMS_MAX, true, have));
        pages++;
    }
    assert_int_equal(pages, PV_ROSTER_MAX_STATEMENTS / PV_CTL_ITEMS_MAX);
    assert_int_equal(node.node.reports.n, 1);
    assert_int_equal(node.node.reports.list[0].source, PV_FROM_COORDINATOR);
    /* A push that promises more begins it anew in vain. */
    const struct pv_ctl_msg push = page(PV_CTL_PUSH, 1, true, have);
    pv_part_statements.on_push(node.self, &push, node.now);
    assert_int_equal(fake_coord.n, 0);
    come_online(); /* another connection may be to an honest one */
    assert_int_equal(fake_coord.n, 1);
}

PV_TEST(a_page_that_brings_nothing_ends_the_listing)
{
    come_online();
    answer(expect_pull(0), page(PV_CTL_ANSWER, 0, true, 1));
    assert_int_equal(fake_coord.n, 0);
    assert_int_equal(node.node.reports.n, 1);
}

static void come_online_at(uint64_t epoch, uint64_t n)
{
    struct pv_ctl_msg welcome = {.kind = PV_CTL_ANSWER, .type = PV_CTL_WELCOME};
    welcome.u.welcome.have = (struct pv_ctl_cursor){.epoch = epoch, .n = n};
    node.node.online = true;
    pv_part_statements.on_push(node.self, &welcome, node.now);
}

/* No head shows that a coordinator has lost cards. */
PV_TEST(a_coordinator_whose_log_is_another_gets_this_nodes_card)
{
    struct item card = make_card(&node.world, &node.world.creator, 7, 1, 0);
    static const struct {
        uint64_t epoch, n;
        bool put;
    } rows[] = {{T0, 9, true}, {T0, 9, false}, {T0 + 1, 9, true}, {T0, 8, true}, {T0, 8, true}};
    uint64_t have = 0, tag;
    (void)learn(node.node.roster, card);
    items[0] = shown(&card);
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        come_online_at(rows[i].epoch, rows[i].n);
        answer(expect_pull(have), last_page(1, 9, true));
        have = 9;
        struct pv_ctl_msg *msg = rows[i].put ? fake_coord_take(PV_CTL_PUT, &tag) : NULL;
        assert_true(msg == NULL ||
                    (msg->u.put.n == 1 && msg->u.put.items[0].statement.len == card.s.len));
        pv_ctl_msg_free(msg);
        assert_int_equal(fake_coord.n, 0);
    }
}
