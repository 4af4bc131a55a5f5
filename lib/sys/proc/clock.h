/* SPDX-License-Identifier: MIT */
/*
 * clock.h - the readings of time the programs need. Any thread.
 *
 * Event-loop code does not call pv_clock_now(): it gets `now` from sys/proc/loop, read once a turn.
 */
#pragma once

#include "base/pv.h"

/* CLOCK_BOOTTIME: runs on while the machine sleeps, never jumps. */
pv_ns pv_clock_now(void);
/* The milliseconds that poll() may sleep from now to deadline, rounded up, since a wait of none
 * before it would spin; -1, for ever: PV_NEVER. */
int pv_poll_ms(pv_ns deadline, pv_ns now);
/* Microseconds since 1970, UTC. May jump either way: only for what is shown, stored or signed. */
uint64_t pv_clock_wall_us(void);
/* BOOTTIME - MONOTONIC: how long the machine has slept since it booted. Growth by more than a
 * second between two looks means that it was suspended in between. */
pv_ns pv_clock_slept(void);
/* Processor time that the calling thread has used. A system call, unlike the others. */
pv_ns pv_clock_thread(void);
