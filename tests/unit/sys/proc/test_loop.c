/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"
#include "sys/proc/event.h"
#include "sys/proc/loop.h"
#include "tests/unit/test_util.h"

struct world {
    struct pv_loop *loop;
    struct pv_watch *watch;
    int fd;
    unsigned turns, calls;
    unsigned stop_after; /* turns */
    pv_ns first, last, deadline;
};

static pv_ns turn(void *ctx, pv_ns now)
{
    struct world *w = ctx;
    if (w->turns++ == 0)
        w->first = now;
    w->last = now;
    if (w->turns >= w->stop_after)
        pv_loop_stop(w->loop);
    return w->deadline == PV_NEVER ? PV_NEVER : w->first + w->deadline;
}

static void on_event(void *ctx, unsigned ready, pv_ns now)
{
    struct world *w = ctx;
    assert_int_equal(ready, PV_LOOP_READ);
    assert_true(now >= w->last);
    pv_event_clear(w->fd);
    w->calls++;
    w->watch = pv_watch_free(w->watch); /* freeing inside the callback is allowed */
}

PV_TEST(the_timer_wakes_the_loop_at_the_deadline)
{
    struct world w = {.stop_after = 2, .deadline = PV_MS(5)};
    struct pv_loop_owner owner = {turn, &w};
    assert_ok(pv_loop_new(&w.loop));
    pv_loop_run(w.loop, &owner);
    assert_true(w.last - w.first >= PV_MS(5));
    pv_loop_free(w.loop);
}

/* The turn's own time; a test that is not given a processor measures more, never less. */
static pv_ns slow_turn(void *ctx, pv_ns now)
{
    const struct world *w = ctx;
    pv_ns until = pv_clock_thread() + PV_LOOP_SLOW + PV_US(10);
    while (w->turns == 1 && pv_clock_thread() < until)
        continue;
    return turn(ctx, now);
}

/* It waits for something, and works no more than any other. */
static pv_ns sleepy_turn(void *ctx, pv_ns now)
{
    const struct world *w = ctx;
    while (w->turns == 1 && pv_clock_now() < now + PV_LOOP_SLOW + PV_US(10))
        (void)poll(NULL, 0, 1);
    return turn(ctx, now);
}

PV_TEST(the_loop_knows_its_slow_turns)
{
    struct world w = {.stop_after = 3, .deadline = 0};
    struct pv_loop_owner owner = {slow_turn, &w};
    struct pv_loop_stats stats;
    assert_ok(pv_loop_new(&w.loop));
    pv_loop_run(w.loop, &owner);
    pv_loop_stats(w.loop, &stats);
    assert_int_equal(stats.turns, 3);
    assert_true(stats.slow >= 1);
    assert_int_equal(stats.hard, 1);
    assert_true(stats.longest > PV_LOOP_SLOW);
    assert_true(stats.busy >= stats.longest);
    pv_loop_free(w.loop);
    w = (struct world){.stop_after = 3, .deadline = 0};
    owner.turn = sleepy_turn;
    assert_ok(pv_loop_new(&w.loop));
    pv_loop_run(w.loop, &owner);
    pv_loop_stats(w.loop, &stats);
    assert_true(stats.slow >= 1);
    assert_int_equal(stats.hard, 0);
    pv_loop_free(w.loop);
}

PV_TEST(a_deadline_in_the_past_makes_a_turn_at_once)
{
    struct world w = {.stop_after = 4, .deadline = 0};
    struct pv_loop_owner owner = {turn, &w};
    assert_ok(pv_loop_new(&w.loop));
    pv_loop_run(w.loop, &owner);
    assert_int_equal(w.turns, 4);
    pv_loop_free(w.loop);
}

PV_TEST(a_raised_event_calls_its_watcher_once)
{
    struct world w = {.stop_after = 2, .deadline = PV_NEVER};
    struct pv_loop_owner owner = {turn, &w};
    assert_ok(pv_loop_new(&w.loop));
    assert_ok(pv_event_open(&w.fd));
    assert_ok(pv_watch_new(&w.watch, w.loop, w.fd, PV_LOOP_READ, on_event, &w));
    pv_event_raise(w.fd);
    pv_event_raise(w.fd);
    pv_loop_run(w.loop, &owner);
    assert_int_equal(w.calls, 1);
    assert_null(w.watch);
    close(w.fd);
    pv_loop_free(w.loop);
}

PV_TEST(signals_are_read_instead_of_delivered)
{
    const int signals[] = {SIGUSR1, SIGHUP};
    int fd = -1, signo = 0;
    assert_ok(pv_signals_open(signals, 2, &fd));
    assert_int_equal(pv_signals_read(fd, &signo), PV_ERR_AGAIN);
    assert_int_equal(raise(SIGHUP), 0);
    assert_ok(pv_signals_read(fd, &signo));
    assert_int_equal(signo, SIGHUP);
    close(fd);
}

PV_TEST(the_clocks_go_forward_and_entropy_differs)
{
    pv_ns a = pv_clock_now();
    assert_true(pv_clock_now() >= a);
    assert_true(pv_clock_wall_us() > 1600000000000000u);
    assert_true(pv_clock_slept() <= pv_clock_now());
    struct pv_rng rng = pv_entropy();
    assert_true(pv_rng_u64(&rng) != pv_rng_u64(&rng));
}
