/* SPDX-License-Identifier: MIT */
/*
 * loop.c - the event loop of a control thread: libev for descriptors, a timerfd for deadlines. The
 * clock is read once a turn, so that everything in a turn happens at one time: machines compare
 * times of different calls, and a clock that moves between them would put effects before causes.
 */
#include "sys/proc/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <ev.h>

#include "sys/proc/clock.h"

struct pv_loop {
    struct ev_loop *ev;
    int timer_fd;
    struct ev_io timer_io;
    pv_ns armed;   /* what the timerfd is set to */
    pv_ns now;     /* valid while have_now */
    pv_ns began;   /* the thread's processor time then */
    bool have_now; /* the clock was read in this turn */
    bool stopped;
    struct pv_loop_stats stats; /* but for longest */
    pv_ns minute;               /* when this minute began */
    pv_ns longest[2];           /* of this minute, and of the one before */
};

struct pv_watch {
    struct ev_io io; /* first: libev hands back a pointer to it */
    struct pv_loop *loop;
    unsigned events;
    void (*fn)(void *ctx, unsigned ready, pv_ns now);
    void *ctx;
};

/* Read lazily: a turn that only sleeps needs no time. */
static pv_ns turn_now(struct pv_loop *loop)
{
    if (!loop->have_now) {
        loop->now = pv_clock_now();
        loop->began = pv_clock_thread();
        loop->have_now = true;
    }
    return loop->now;
}

static void on_timer(struct ev_loop *ev, struct ev_io *io, int revents)
{
    struct pv_loop *loop = ev_userdata(ev);
    uint64_t expirations;
    (void)!read(loop->timer_fd, &expirations, sizeof(expirations));
    loop->armed = PV_NEVER;
}

/* One timer for all deadlines; setting it costs a system call, so it is set only when the next
 * deadline changes. */
static void arm_timer(struct pv_loop *loop, pv_ns when)
{
    if (when == loop->armed)
        return;
    struct itimerspec its = {0};
    if (when != PV_NEVER) {
        /* Zero would disarm; a time in the past fires at once. */
        its.it_value.tv_sec = (time_t)(when / PV_S(1));
        its.it_value.tv_nsec = (long)(when % PV_S(1));
        if (when == 0)
            its.it_value.tv_nsec = 1;
    }
    timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
    loop->armed = when;
}

int pv_loop_new(struct pv_loop **ret_loop)
{
    struct pv_loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL)
        return PV_ERR_NOMEM;
    loop->armed = PV_NEVER;
    loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (loop->timer_fd < 0) {
        int r = -errno;
        free(loop);
        return r;
    }
    loop->ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    if (loop->ev == NULL) {
        close(loop->timer_fd);
        free(loop);
        return PV_ERR_NOMEM;
    }
    ev_set_userdata(loop->ev, loop);
    ev_io_init(&loop->timer_io, on_timer, loop->timer_fd, EV_READ);
    ev_io_start(loop->ev, &loop->timer_io);
    *ret_loop = loop;
    return PV_OK;
}

struct pv_loop *pv_loop_free(struct pv_loop *loop)
{
    if (loop != NULL) {
        ev_io_stop(loop->ev, &loop->timer_io);
        ev_loop_destroy(loop->ev);
        close(loop->timer_fd);
        free(loop);
    }
    return NULL;
}

static void on_ready(struct ev_loop *ev, struct ev_io *io, int revents)
{
    struct pv_watch *w = (struct pv_watch *)(void *)io;
    unsigned ready =
        ((revents & EV_READ) ? PV_LOOP_READ : 0u) | ((revents & EV_WRITE) ? PV_LOOP_WRITE : 0u);
    w->fn(w->ctx, ready, turn_now(ev_userdata(ev)));
}

static int to_ev(unsigned events)
{
    return ((events & PV_LOOP_READ) ? EV_READ : 0) | ((events & PV_LOOP_WRITE) ? EV_WRITE : 0);
}

int pv_watch_new(struct pv_watch **ret_watch, struct pv_loop *loop, int fd, unsigned events,
                 void (*fn)(void *ctx, unsigned ready, pv_ns now), void *ctx)
{
    struct pv_watch *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return PV_ERR_NOMEM;
    w->loop = loop;
    w->fn = fn;
    w->ctx = ctx;
    ev_io_init(&w->io, on_ready, fd, to_ev(events));
    w->events = events;
    if (events != 0)
        ev_io_start(loop->ev, &w->io);
    *ret_watch = w;
    return PV_OK;
}

/* libev wants a watcher stopped while its events change. */
void pv_watch_set(struct pv_watch *watch, unsigned events)
{
    if (watch->events == events)
        return;
    ev_io_stop(watch->loop->ev, &watch->io);
    ev_io_set(&watch->io, watch->io.fd, to_ev(events));
    watch->events = events;
    if (events != 0)
        ev_io_start(watch->loop->ev, &watch->io);
}

struct pv_watch *pv_watch_free(struct pv_watch *watch)
{
    if (watch != NULL) {
        ev_io_stop(watch->loop->ev, &watch->io);
        free(watch);
    }
    return NULL;
}

/* A minute in which nothing happened ends with the next turn. A slow turn has done too much, or its
 * thread had no processor: only the thread's own time tells. */
static void count_turn(struct pv_loop *loop)
{
    pv_ns end = pv_clock_now(), took = end - loop->now;
    loop->stats.turns++;
    loop->stats.busy += took;
    if (took > PV_LOOP_SLOW) {
        loop->stats.slow++;
        loop->stats.hard += pv_clock_thread() - loop->began > PV_LOOP_SLOW ? 1 : 0;
    }
    if (end - loop->minute >= PV_S(60)) {
        loop->longest[1] = end - loop->minute >= PV_S(120) ? 0 : loop->longest[0];
        loop->longest[0] = 0;
        loop->minute = end;
    }
    if (took > loop->longest[0])
        loop->longest[0] = took;
}

void pv_loop_stats(const struct pv_loop *loop, struct pv_loop_stats *ret_stats)
{
    *ret_stats = loop->stats;
    ret_stats->longest = loop->longest[0] > loop->longest[1] ? loop->longest[0] : loop->longest[1];
}

/* The owner's turn comes before the first sleep, so that what was prepared at the start is sent at
 * once. */
void pv_loop_run(struct pv_loop *loop, const struct pv_loop_owner *owner)
{
    loop->stopped = false;
    for (;;) {
        arm_timer(loop, owner->turn(owner->ctx, turn_now(loop)));
        count_turn(loop);
        loop->have_now = false;
        if (loop->stopped)
            return;
        ev_run(loop->ev, EVRUN_ONCE);
    }
}

void pv_loop_stop(struct pv_loop *loop)
{
    loop->stopped = true;
}

int pv_signals_open(const int *signals, size_t n, int *ret_fd)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < n; i++)
        sigaddset(&set, signals[i]);
    int e = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (e != 0)
        return -e;
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return PV_OK;
}

int pv_signals_read(int fd, int *ret_signal)
{
    struct signalfd_siginfo info;
    ssize_t n = read(fd, &info, sizeof(info));
    if (n != (ssize_t)sizeof(info))
        return PV_ERR_AGAIN;
    *ret_signal = (int)info.ssi_signo;
    return PV_OK;
}
