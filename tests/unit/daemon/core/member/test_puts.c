/* SPDX-License-Identifier: MIT */
/* Statements on their way to the coordinator: what is sent, and how a put ends. */
#include "daemon/core/member/puts.h"
#include "tests/unit/daemon/core/member/fake_coord.h"

static const struct pv_part owner = {.name = "owner"};
static struct fake_node node;
static struct pv_puts under_way;

void test_before_each(void)
{
    fake_node_init(&node, &owner);
    fake_coord_init();
    fake_node_enter(&node);
    pv_puts_init(&under_way, &node.node, &owner);
}

void test_after_each(void)
{
    pv_puts_done(&under_way);
}

/* A put of n invites of alice's. */
static struct pv_put *put_of(size_t n)
{
    struct pv_put *put = pv_put_new(n);
    assert_non_null(put);
    for (size_t i = 0; i < n; i++) {
        const struct keys invite = keys_of(50 + (unsigned)i);
        const struct item it = make_invite(&node.world, &node.world.creator, &invite, 1);
        pv_put_add(put, pv_view(it.s.raw, it.s.len));
    }
    assert_int_equal(put->n, n);
    pv_put_add(put, pv_view("no room", 7));
    assert_int_equal(put->n, n);
    return put;
}

/* Sends it, looks at the request, and gives the tag of the answer. */
static uint64_t send_it(struct pv_put *put)
{
    uint64_t tag;
    size_t n = put->n;
    assert_int_equal(pv_puts_send(&under_way, put), PV_CTL_E_NONE);
    struct pv_ctl_msg *msg = fake_coord_take(PV_CTL_PUT, &tag);
    assert_int_equal(msg->u.put.n, n);
    for (size_t i = 0; i < n; i++)
        assert_memory_equal(msg->u.put.items[i].statement.ptr, put->statements[i].raw,
                            put->statements[i].len);
    pv_ctl_msg_free(msg);
    return tag;
}

PV_TEST(a_put_ends_with_the_receipts_of_what_was_taken)
{
    static const uint8_t receipt[PV_RECEIPT_LEN] = {1};
    const struct pv_ctl_result results[] = {
        {.receipt = pv_view(receipt, sizeof(receipt))},
        {.error = PV_CTL_E_LIMIT},
        {.error = PV_CTL_E_STORAGE},
        {.receipt = pv_view(receipt, sizeof(receipt))},
    };
    struct pv_ctl_msg msg = {.kind = PV_CTL_ANSWER, .type = PV_CTL_RECEIPTS};
    struct pv_put_result result;
    struct pv_put *put = put_of(4);
    uint64_t tag = send_it(put);
    msg.u.receipts.n = 4;
    msg.u.receipts.results = results;
    assert_ptr_equal(pv_puts_take(&under_way, tag, &msg, &result), put);
    assert_int_equal(result.error, PV_CTL_E_LIMIT); /* the first refusal */
    assert_int_equal(result.n_items, 2);
    assert_memory_equal(result.items[1].statement.ptr, put->statements[3].raw,
                        put->statements[3].len);
    assert_null(pv_puts_take(&under_way, tag, &msg, &result)); /* once */
    pv_put_free(put);
}

PV_TEST(more_receipts_than_statements_are_not_looked_at)
{
    const struct pv_ctl_result results[3] = {{.error = PV_CTL_E_NONE}};
    struct pv_ctl_msg msg = {.kind = PV_CTL_ANSWER, .type = PV_CTL_RECEIPTS};
    struct pv_put_result result;
    struct pv_put *put = put_of(1);
    uint64_t tag = send_it(put);
    msg.u.receipts.n = 3;
    msg.u.receipts.results = results;
    assert_ptr_equal(pv_puts_take(&under_way, tag, &msg, &result), put);
    assert_int_equal(result.n_items, 1);
    pv_put_free(put);
}

PV_TEST(an_answer_of_another_type_is_a_refusal)
{
    static const struct {
        struct pv_ctl_msg msg;
        enum pv_ctl_error error;
        const char *why;
    } rows[] = {
        {{.type = PV_CTL_ERROR, .u.failure = {.error = PV_CTL_E_BUSY}}, PV_CTL_E_BUSY, "as said"},
        {{.type = PV_CTL_PONG}, PV_CTL_E_BAD_REQUEST, "no answer to a put"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_put_result result;
        struct pv_put *put = put_of(1);
        uint64_t tag = send_it(put);
        assert_ptr_equal(pv_puts_take(&under_way, tag, &rows[i].msg, &result), put);
        assert_int_equal(result.error, rows[i].error);
        assert_int_equal(result.n_items, 0);
        pv_put_free(put);
    }
}

PV_TEST(two_puts_may_be_answered_in_any_order)
{
    const struct pv_ctl_msg msg = {.type = PV_CTL_ERROR, .u.failure = {.error = PV_CTL_E_BUSY}};
    struct pv_put_result result;
    struct pv_put *a = put_of(1), *b = put_of(1);
    uint64_t tag_a = send_it(a), tag_b = send_it(b);
    assert_ptr_equal(pv_puts_take(&under_way, tag_b, &msg, &result), b);
    assert_ptr_equal(pv_puts_take(&under_way, tag_a, &msg, &result), a);
    pv_put_free(a);
    pv_put_free(b);
}

PV_TEST(a_lost_connection_ends_all)
{
    struct pv_put *a = put_of(1), *b = put_of(1);
    uint64_t tag = send_it(a);
    (void)send_it(b);
    assert_ptr_equal(pv_puts_take_lost(&under_way), b);
    assert_ptr_equal(pv_puts_take_lost(&under_way), a);
    assert_null(pv_puts_take_lost(&under_way));
    /* An answer that comes nevertheless finds nobody. */
    const struct pv_ctl_msg msg = {.type = PV_CTL_RECEIPTS};
    struct pv_put_result result;
    assert_null(pv_puts_take(&under_way, tag, &msg, &result));
    pv_put_free(a);
    pv_put_free(b);
}

PV_TEST(a_put_that_cannot_be_sent_stays_the_callers)
{
    struct pv_put *put = put_of(1);
    fake_coord.status = PV_ERR_STATE;
    assert_int_equal(pv_puts_send(&under_way, put), PV_CTL_E_OFFLINE);
    fake_coord.status = PV_ERR_LIMIT;
    assert_int_equal(pv_puts_send(&under_way, put), PV_CTL_E_LIMIT);
    assert_null(pv_puts_take_lost(&under_way));
    pv_put_free(put);
    put = put_of(PV_CTL_ITEMS_MAX + 1);
    assert_int_equal(pv_puts_send(&under_way, put), PV_CTL_E_LIMIT);
    pv_put_free(put);
}

PV_TEST(a_statement_that_the_roster_has_goes_with_its_receipt)
{
    const struct keys invite = keys_of(50);
    struct item it = make_invite(&node.world, &node.world.creator, &invite, 1);
    struct pv_put *put = pv_put_new(1);
    uint64_t tag;
    pv_put_add(put, pv_view(it.s.raw, it.s.len));
    fake_node_add(&node, it);
    assert_int_equal(pv_puts_send(&under_way, put), PV_CTL_E_NONE);
    struct pv_ctl_msg *msg = fake_coord_take(PV_CTL_PUT, &tag);
    assert_int_equal(msg->u.put.items[0].receipt.len, it.r_len);
    pv_ctl_msg_free(msg);
}
