/* SPDX-License-Identifier: MIT */
/*
 * launch.h - starting p2pvpnd in the background, for create, join and up (DESIGN 3).
 */
#pragma once

#include <limits.h>

#include <jansson.h>

#include "ctl/lib/instance.h"

enum {
    /* Bytes of a reason with the NUL: a mistake in the settings, and its file. */
    PV_LAUNCH_WHY = 560,
};

/* The started program, for the user. */
struct pv_launch {
    char program[PATH_MAX];
    char log[PV_INSTANCE_PATH_BUF + 16]; /* file its messages go to; "": systemd's journal */
    long log_size;                       /* of it before, bytes */
    int pid;
    char why[PV_LAUNCH_WHY + 128]; /* when it failed: "why: what to do" */
};

/* The p2pvpnd that goes with this program. False: there is none. */
bool pv_launch_find(char ret_program[static PATH_MAX]);
/* As a user types it: "p2pvpnd", or its path where the shell does not find it, as in /usr/sbin. */
const char *pv_launch_called(char buf[static PATH_MAX]);
/* Starts the node's service where systemd has it. Else finds p2pvpnd beside this program, in
 * ../sbin from there or in PATH, starts it detached with the node's paths, and waits until somebody
 * answers at its socket. Makes the settings file of a named node. 0, or a negative status and
 * l->why. */
PV_MUST_CHECK int pv_launch_daemon(struct pv_launch *l, const struct pv_instance *node,
                                   pv_ns deadline);

/* Does p2pvpnd, which runs, find an error in its settings (p2pvpnd --check), so that it would not
 * start with them? Such a mistake shows at its next start, perhaps after an update by night. It is
 * in dst, of cap bytes, harmless for a terminal. False also where there is no configuration file,
 * and for a user who does not own it. */
bool pv_launch_refuses_next(const struct pv_instance *node, char *dst, size_t cap);
/* Why p2pvpnd does not run: the error that it finds in the node's settings (p2pvpnd --check), else
 * the last line of its unit in the journal, as far as this user may read it. Harmless for a
 * terminal; "" where neither says anything. */
void pv_launch_why(const struct pv_instance *node, char *dst, size_t cap);

enum {
    PV_LAUNCH_LINES = 100,                      /* ours: of a log's end */
    PV_LAUNCH_FROM = PV_INSTANCE_PATH_BUF + 32, /* bytes of where it came from, with the NUL */
};
/* The last lines of p2pvpnd's log, as far as this user may read it: of its unit in the journal, or
 * of the file that it has where p2pvpnctl started it. Each is harmless for a terminal. A new
 * reference; empty where there is none; NULL without memory. */
json_t *pv_launch_log(const struct pv_instance *node, char ret_from[static PV_LAUNCH_FROM]);
/* Writes where the reason is when p2pvpnd has ended: a command that shows its log on this host, or
 * its own output where it has no log that is known here. Returns dst. */
enum {
    PV_LAUNCH_HINT = PV_LAUNCH_FROM + 48, /* bytes with the NUL */
};
const char *pv_launch_log_hint(const struct pv_instance *node, char dst[static PV_LAUNCH_HINT]);
