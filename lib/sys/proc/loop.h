/* SPDX-License-Identifier: MIT */
/*
 * loop.h - the event loop of a control thread: libev watching descriptors, one clock reading a
 * turn, one timer.
 *
 * A turn: sleep until a descriptor is ready or the deadline is reached; read the clock once; call
 * the watchers; call the owner's turn(), which runs timeouts, moves output and returns the next
 * deadline. Time is CLOCK_BOOTTIME through a timerfd (ev_timer stands still in suspend). One
 * thread owns a loop; only pv_event_raise() on a watched eventfd may come from others.
 */
#pragma once

#include "base/pv.h"

struct pv_loop;  /* opaque */
struct pv_watch; /* opaque: one descriptor in the loop */

enum {
    PV_LOOP_READ = 1,  /* readable, closed by the peer, or an error is pending */
    PV_LOOP_WRITE = 2, /* writable, or an error is pending */
};

/* The owner's work at the end of each turn. Returns the next deadline, PV_NEVER for none; a
 * deadline in the past makes the next turn follow at once. */
struct pv_loop_owner {
    pv_ns (*turn)(void *ctx, pv_ns now);
    void *ctx;
};

PV_MUST_CHECK int pv_loop_new(struct pv_loop **ret_loop); /* -errno, PV_ERR_NOMEM */
struct pv_loop *pv_loop_free(struct pv_loop *loop);       /* all watches must be gone */

/* Watches fd (not owned, must stay open until pv_watch_free). ready: PV_LOOP_ bits. PV_ERR_NOMEM.
 */
PV_MUST_CHECK int pv_watch_new(struct pv_watch **ret_watch, struct pv_loop *loop, int fd,
                               unsigned events, void (*fn)(void *ctx, unsigned ready, pv_ns now),
                               void *ctx);
void pv_watch_set(struct pv_watch *watch, unsigned events); /* 0: watch nothing for now */
/* May be called from any callback, its own too. NULL is fine; returns NULL. */
struct pv_watch *pv_watch_free(struct pv_watch *watch);

/* Runs until pv_loop_stop(); turn() is called once before the first sleep. */
void pv_loop_run(struct pv_loop *loop, const struct pv_loop_owner *owner);
/* Ends pv_loop_run() after the present turn, its turn() included. */
void pv_loop_stop(struct pv_loop *loop);

/* How long turns took: from waking up to the end of the owner's turn(). */
struct pv_loop_stats {
    uint64_t turns;
    uint64_t slow; /* longer than PV_LOOP_SLOW */
    uint64_t hard; /* of them those in which the thread itself worked for so long */
    pv_ns busy;    /* all of them together */
    pv_ns longest; /* of this minute and the one before */
};
#define PV_LOOP_SLOW PV_MS(5) /* ours: what somebody who waits for an answer does not notice */
void pv_loop_stats(const struct pv_loop *loop, struct pv_loop_stats *ret_stats);

/* A descriptor from which signals are read instead of being delivered; blocks them in the calling
 * thread, so call it before other threads start. n signal numbers. -errno. */
PV_MUST_CHECK int pv_signals_open(const int *signals, size_t n, int *ret_fd);
/* The next signal number that arrived. PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_signals_read(int fd, int *ret_signal);
