/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "proto/group/querier.h"
#include "tests/unit/proto/group/group_packets.h"
#include "tests/unit/test_util.h"

static struct pv_querier *started(pv_ns now)
{
    static struct pv_querier q;
    pv_querier_init(&q);
    pv_querier_start(&q, now);
    pv_querier_handle_timeout(&q, now);
    return &q;
}

static void hear(struct pv_querier *q, struct group_packet p, pv_ns now)
{
    assert_int_equal(pv_querier_hear(q, pv_view(p.bytes, p.len), now), PV_OK);
}

static bool wants(const struct pv_querier *q, const char *group)
{
    struct pv_group g = group_named(group);
    for (size_t i = 0; i < q->n; i++) {
        if (pv_group_equal(&q->groups[i].group, &g))
            return true;
    }
    return false;
}

/* The versions of the questions that wait, in order: "46". */
static const char *questions(struct pv_querier *q)
{
    static char text[8];
    uint8_t buf[PV_GROUPMSG_QUERY_MAX];
    size_t len, n = 0;
    while (n < 7 && pv_querier_poll(q, buf, &len))
        text[n++] = (char)('0' + (buf[0] >> 4));
    text[n] = '\0';
    return text;
}

PV_TEST(it_asks_twice_and_then_every_two_minutes)
{
    struct pv_querier *q = started(PV_S(1));
    assert_string_equal(questions(q), "46");
    assert_int_equal(pv_querier_next_timeout(q), PV_S(1) + PV_QUERIER_STARTUP);
    pv_querier_handle_timeout(q, PV_S(5));
    assert_string_equal(questions(q), "");
    for (int i = 0; i < 3; i++) {
        pv_ns at = pv_querier_next_timeout(q);
        pv_querier_handle_timeout(q, at);
        assert_string_equal(questions(q), "46");
        assert_int_equal(pv_querier_next_timeout(q), at + PV_QUERIER_INTERVAL);
    }
    pv_querier_stop(q);
    assert_int_equal(pv_querier_next_timeout(q), PV_NEVER);
    pv_querier_handle_timeout(q, PV_S(9999));
    assert_string_equal(questions(q), "");
}

PV_TEST(a_reported_group_is_wanted_until_it_is_left)
{
    struct pv_querier *q = started(PV_S(1));
    uint64_t changes = q->changes;
    hear(q, group_report(TO_EX, "239.1.1.1", 0), PV_S(2));
    hear(q, group_report(IS_EX, "ff05::c", 0), PV_S(2));
    hear(q, group_old(0x16, "224.0.0.251"), PV_S(2));
    assert_int_equal(q->n, 3);
    assert_int_equal(q->changes, changes + 3);
    hear(q, group_report(IS_EX, "239.1.1.1", 0), PV_S(3)); /* again */
    assert_int_equal(q->changes, changes + 3);
    hear(q, group_report(TO_IN, "239.1.1.1", 0), PV_S(4));
    hear(q, group_old(0x17, "224.0.0.251"), PV_S(4));
    hear(q, group_old(0x17, "224.0.0.9"), PV_S(4)); /* was never there */
    assert_int_equal(q->n, 1);
    assert_true(wants(q, "ff05::c"));
    assert_int_equal(q->changes, changes + 5);
    /* In order, whatever the order of the reports. */
    hear(q, group_report(IS_EX, "ff05::b", 0), PV_S(5));
    hear(q, group_report(IS_EX, "239.0.0.1", 0), PV_S(5));
    for (size_t i = 1; i < q->n; i++)
        assert_true(pv_group_compare(&q->groups[i - 1].group, &q->groups[i].group) < 0);
}

PV_TEST(groups_of_everybody_and_nobody_do_not_count)
{
    static const char *const none[] = {"224.0.0.1", "ff02::1", "ff02::1:ff00:7", "ff01::5",
                                       "224.0.0.22"};
    struct pv_querier *q = started(PV_S(1));
    for (size_t i = 0; i < PV_ARRAY_LEN(none); i++)
        hear(q, group_report(IS_EX, none[i], 0), PV_S(2));
    assert_int_equal(q->n, 0);
}

PV_TEST(silence_ends_a_group)
{
    struct pv_querier *q = started(PV_S(1));
    hear(q, group_report(IS_EX, "239.1.1.1", 0), PV_S(2));
    hear(q, group_report(IS_EX, "239.1.1.2", 0), PV_S(100));
    pv_querier_handle_timeout(q, PV_S(2) + PV_QUERIER_LIFETIME - 1);
    assert_int_equal(q->n, 2);
    pv_querier_handle_timeout(q, PV_S(2) + PV_QUERIER_LIFETIME);
    assert_int_equal(q->n, 1);
    assert_true(wants(q, "239.1.1.2"));
}

PV_TEST(a_group_in_doubt_is_asked_about)
{
    struct pv_querier *q = started(PV_S(1));
    questions(q);
    hear(q, group_report(IS_IN, "239.1.1.1", 2), PV_S(2));
    hear(q, group_report(IS_IN, "239.1.1.2", 2), PV_S(2));
    hear(q, group_report(BLOCK, "239.1.1.9", 1), PV_S(3)); /* was never there */
    assert_string_equal(questions(q), "");
    hear(q, group_report(BLOCK, "239.1.1.1", 1), PV_S(3));
    assert_string_equal(questions(q), "4");
    hear(q, group_report(BLOCK, "239.1.1.2", 2), PV_S(3));
    assert_string_equal(questions(q), "4");
    hear(q, group_report(IS_IN, "239.1.1.1", 1), PV_S(4)); /* it still wants one source */
    pv_querier_handle_timeout(q, PV_S(3) + PV_QUERIER_DOUBT);
    assert_true(wants(q, "239.1.1.1"));
    assert_false(wants(q, "239.1.1.2"));

    /* Two at once: everything is asked. */
    hear(q, group_report(IS_IN, "239.1.1.3", 1), PV_S(9));
    hear(q, group_report(BLOCK, "239.1.1.1", 1), PV_S(10));
    hear(q, group_report(BLOCK, "239.1.1.3", 1), PV_S(10));
    pv_querier_handle_timeout(q, PV_S(10));
    assert_string_equal(questions(q), "464");
}

PV_TEST(there_is_a_limit)
{
    struct pv_querier *q = started(PV_S(1));
    for (unsigned i = 0; i < PV_QUERIER_MAX + 10; i++) {
        char group[32];
        snprintf(group, sizeof(group), "239.2.%u.%u", i / 100, i % 100);
        hear(q, group_report(IS_EX, group, 0), PV_S(2));
    }
    assert_int_equal(q->n, PV_QUERIER_MAX);
    assert_int_equal(q->refused, 10);
    pv_querier_handle_timeout(q, PV_S(2) + PV_QUERIER_LIFETIME); /* all were given up */
    assert_int_equal(q->n, 0);
    assert_int_equal(q->refused, 0);
    pv_querier_stop(q);
    assert_int_equal(q->n, 0);
    /* A report that comes late, after the interface went, counts for nothing. */
    hear(q, group_report(IS_EX, "239.1.1.1", 0), PV_S(3));
    assert_int_equal(q->n, 0);
}
