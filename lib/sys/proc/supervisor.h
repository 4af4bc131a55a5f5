/* SPDX-License-Identifier: MIT */
/*
 * supervisor.h - tells systemd that the program is ready, alive and ending.
 *
 * The protocol is one datagram of text to the unix socket that NOTIFY_SOCKET names (sd_notify(3)),
 * so nothing of libsystemd is needed. Without a supervisor every call does nothing. One thread.
 */
#pragma once

#include "sys/proc/loop.h"

struct pv_supervisor {
    int fd;    /* connected to the supervisor; -1: there is none */
    int timer; /* half the time after which it takes us for dead; -1: it does not ask */
    struct pv_watch *watch;
};

#define PV_SUPERVISOR_NONE ((struct pv_supervisor){.fd = -1, .timer = -1})

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID (sd_notify(3), sd_watchdog_enabled(3)) and
 * takes them out of the environment: what this program starts must not speak for it. To be called
 * before rights are given up and before other threads start. A notice that does not work is left
 * out: a program that runs is better than one that says so. */
struct pv_supervisor pv_supervisor_open(void);

/* "READY=1" and, from then on, "WATCHDOG=1" from the loop as often as wanted: a loop that hangs is
 * started anew. A second call, for another loop, follows pv_supervisor_leave_loop(). NULL is
 * fine in both. */
void pv_supervisor_ready(struct pv_supervisor *s, struct pv_loop *loop);
/* "RELOADING=1": the settings are read again; what came of it, good or bad, is told by
 * pv_supervisor_reloaded(), or by pv_supervisor_ready() for a loop of its own. NULL is fine. */
void pv_supervisor_reloading(const struct pv_supervisor *s);
void pv_supervisor_reloaded(const struct pv_supervisor *s);
/* The loop is about to be freed. */
void pv_supervisor_leave_loop(struct pv_supervisor *s);
/* "STOPPING=1"; s is PV_SUPERVISOR_NONE then. */
void pv_supervisor_close(struct pv_supervisor *s);
