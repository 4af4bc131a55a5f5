/* SPDX-License-Identifier: MIT */
/*
 * notify.h - runs one configured program for each message: without a shell, with the rights of the
 * program's owner, one at a time.
 *
 * A process of its own, forked by the helper before any packet is read: it alone keeps the right to
 * become another user, and it runs nothing but the command it was given then. The daemon asks over
 * a socketpair; a call blocks until the program has ended, PV_NOTIFY_TIMEOUT_S at most.
 *
 * The program gets the text on standard input and, in its environment, PATH, P2PVPN_FROM,
 * P2PVPN_TO, P2PVPN_ROOM ("" = none), P2PVPN_ID and P2PVPN_TIME (Unix seconds, the sender's claim).
 * Its standard output goes nowhere, its standard error where the daemon's goes. It runs as the
 * owner and group of its file, without other groups, and cannot gain rights (no_new_privs).
 */
#pragma once

#include <sys/types.h>

#include "base/pv.h"

enum {
    PV_NOTIFY_COMMAND_MAX = 200, /* bytes, with the NUL */
    PV_NOTIFY_WORDS_MAX = 16,    /* program and arguments */
    PV_NOTIFY_WORD_MAX = 80,     /* bytes of a name, id or time, with the NUL */
    PV_NOTIFY_TEXT_MAX = 16384,  /* bytes */
    PV_NOTIFY_ERROR_MAX = 240,   /* bytes, with the NUL */
    PV_NOTIFY_TIMEOUT_S = 30,    /* then the program and what it started in its group are killed */
};

/* One message. */
struct pv_notify_message {
    char from[PV_NOTIFY_WORD_MAX], to[PV_NOTIFY_WORD_MAX], room[PV_NOTIFY_WORD_MAX];
    char id[PV_NOTIFY_WORD_MAX], time[PV_NOTIFY_WORD_MAX];
    uint32_t text_len;
    char text[PV_NOTIFY_TEXT_MAX];
};

/* "PROGRAM ARG...", separated by blanks; PROGRAM is an absolute path. */
bool pv_notify_command_is_valid(const char *command);

/* The life of the process: serves the other end of fd until it is closed, or its parent, the
 * helper, ends. */
void pv_notify_serve(int fd, pid_t helper, const char *command);

/* Asks for one run and waits for its end. PV_OK: it ended with code 0. Else why, in ret_error:
 * PV_ERR_CLOSED (the process is gone, or fd was shut down), PV_ERR_TIMEOUT, PV_ERR_REFUSED (the
 * file, or what leads to it, may be changed by others than root and its owner, or is no program),
 * PV_ERR_STATE (another code, or a signal). */
PV_MUST_CHECK int pv_notify_run(int fd, const struct pv_notify_message *msg,
                                char ret_error[static PV_NOTIFY_ERROR_MAX]);
