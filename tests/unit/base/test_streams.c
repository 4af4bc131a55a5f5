/* SPDX-License-Identifier: MIT */
#include "daemon/core/node/streamkinds.h"
#include "tests/unit/test_util.h"

static struct pv_streams s;

void test_before_each(void)
{
    s = (struct pv_streams){0};
}

void test_after_each(void)
{
    pv_streams_done(&s);
}

static void open_one(enum pv_stream_kind kind, uint32_t local)
{
    const struct pv_stream_op op = {
        .type = PV_STREAM_OPEN, .kind = kind, .sid = local, .addr = pv_addr4(192, 0, 2, 7, 1)};
    assert_ok(pv_streams_open(&s, &op));
}

static void assert_op(enum pv_stream_op_type type, enum pv_stream_kind kind, uint32_t local)
{
    struct pv_stream_op op;
    assert_ok(pv_streams_next_op(&s, &op));
    assert_int_equal(op.type, type);
    assert_int_equal(op.kind, kind);
    assert_int_equal(op.sid, pv_sid(kind, local));
    assert_int_equal(op.addr.port, type == PV_STREAM_OPEN ? 1 : 0);
}

static void assert_no_op(void)
{
    struct pv_stream_op op;
    assert_int_equal(pv_streams_next_op(&s, &op), PV_ERR_AGAIN);
}

static void assert_turn(uint32_t sid)
{
    uint32_t got = 0;
    assert_ok(pv_streams_next_turn(&s, &got));
    assert_int_equal(got, sid);
}

static void assert_no_turn(void)
{
    uint32_t sid;
    assert_int_equal(pv_streams_next_turn(&s, &sid), PV_ERR_AGAIN);
}

PV_TEST(operations_come_in_the_order_in_which_they_were_asked_for)
{
    for (uint32_t i = 1; i <= 20; i++)
        open_one(i % 2 == 0 ? PV_STREAM_APP1 : PV_STREAM_COORD, i);
    for (uint32_t i = 1; i <= 20; i++)
        assert_op(PV_STREAM_OPEN, i % 2 == 0 ? PV_STREAM_APP1 : PV_STREAM_COORD, i);
    pv_streams_close(&s, PV_STREAM_CTL, 3);
    open_one(PV_STREAM_SCOUT, 4);
    assert_op(PV_STREAM_CLOSE, PV_STREAM_CTL, 3);
    assert_op(PV_STREAM_OPEN, PV_STREAM_SCOUT, 4);
    assert_no_op();
}

PV_TEST(a_stream_that_the_shell_was_not_told_of_is_not_opened)
{
    open_one(PV_STREAM_COORD, 1);
    open_one(PV_STREAM_APP1, 2); /* another kind's stream of the same number stays */
    open_one(PV_STREAM_COORD, 2);
    pv_streams_close(&s, PV_STREAM_COORD, 2);
    assert_op(PV_STREAM_OPEN, PV_STREAM_COORD, 1);
    assert_op(PV_STREAM_OPEN, PV_STREAM_APP1, 2);
    assert_no_op();
    pv_streams_close(&s, PV_STREAM_COORD, 1); /* the shell has opened this one */
    assert_op(PV_STREAM_CLOSE, PV_STREAM_COORD, 1);
    assert_no_op();
}

PV_TEST(a_stream_has_its_turn_once_and_behind_those_that_wait)
{
    struct pv_stream_turn a = {0}, b = {0};
    assert_no_turn();
    pv_streams_wake(&s, &a, PV_STREAM_CTL, 1);
    pv_streams_wake(&s, &b, PV_STREAM_APP2, 1);
    pv_streams_wake(&s, &a, PV_STREAM_CTL, 1);
    assert_turn(pv_sid(PV_STREAM_CTL, 1));
    pv_streams_wake(&s, &a, PV_STREAM_CTL, 1); /* more to write */
    assert_turn(pv_sid(PV_STREAM_APP2, 1));
    assert_turn(pv_sid(PV_STREAM_CTL, 1));
    assert_no_turn();
}

PV_TEST(a_stream_that_ended_has_no_turn)
{
    struct pv_stream_turn t[4] = {{0}};
    for (size_t gone = 0; gone < PV_ARRAY_LEN(t); gone++) {
        for (uint32_t i = 0; i < PV_ARRAY_LEN(t) - 1; i++)
            pv_streams_wake(&s, &t[i], PV_STREAM_APP1, i);
        pv_streams_forget(&s, &t[gone]); /* the last of them does not wait */
        pv_streams_wake(&s, &t[3], PV_STREAM_APP1, 3);
        for (uint32_t i = 0; i < PV_ARRAY_LEN(t); i++) {
            if (i != gone || i == 3)
                assert_turn(pv_sid(PV_STREAM_APP1, i));
        }
        assert_no_turn();
    }
}
