/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <unistd.h>

#include "sys/proc/clock.h"
#include "sys/proc/event.h"
#include "sys/proc/poller.h"
#include "tests/unit/test_util.h"

PV_TEST(bytes_to_read_are_told_until_it_is_read)
{
    struct pv_poller *p = NULL;
    int fds[2];
    uint32_t tags[4];
    assert_ok(pv_poller_new(&p));
    for (int i = 0; i < 2; i++) {
        assert_ok(pv_event_open(&fds[i]));
        assert_ok(pv_poller_add(p, fds[i], 70 + (uint32_t)i));
    }
    assert_true(pv_poller_add(p, fds[0], 9) < 0); /* it is there */
    assert_int_equal(pv_poller_wait(p, 0, tags, 4), 0);
    pv_event_raise(fds[1]);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(pv_poller_wait(p, PV_NEVER, tags, 4), 1);
        assert_int_equal(tags[0], 71);
    }
    pv_event_raise(fds[0]);
    assert_int_equal(pv_poller_wait(p, PV_NEVER, tags, 1), 1); /* no more than there is room for */
    assert_int_equal(pv_poller_wait(p, PV_NEVER, tags, 4), 2);
    pv_poller_del(p, fds[0]);
    pv_event_clear(fds[1]);
    assert_int_equal(pv_poller_wait(p, 0, tags, 4), 0);
    for (int i = 0; i < 2; i++)
        close(fds[i]);
    pv_poller_free(p);
}

PV_TEST(the_milliseconds_of_poll_are_rounded_up_and_have_ends)
{
    const pv_ns now = PV_S(7);
    assert_int_equal(pv_poll_ms(now - 1, now), 0);
    assert_int_equal(pv_poll_ms(now, now), 0);
    assert_int_equal(pv_poll_ms(now + 1, now), 1);
    assert_int_equal(pv_poll_ms(now + PV_MS(1), now), 1);
    assert_int_equal(pv_poll_ms(now + PV_MS(1) + 1, now), 2);
    assert_int_equal(pv_poll_ms(PV_NEVER - 1, now), INT_MAX);
    assert_int_equal(pv_poll_ms(PV_NEVER, now), -1);
}

PV_TEST(a_wait_lasts_at_least_as_long_as_asked)
{
    struct pv_poller *p = NULL;
    uint32_t tag;
    assert_ok(pv_poller_new(&p));
    pv_ns began = pv_clock_now();
    assert_int_equal(pv_poller_wait(p, PV_MS(5) + 1, &tag, 1), 0);
    assert_true(pv_clock_now() - began >= PV_MS(5));
    pv_poller_free(p);
}
