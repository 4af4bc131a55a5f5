/* SPDX-License-Identifier: MIT */
/*
 * starter.h - a process that runs p2pvpn-chatd beside a p2pvpnd that no service manager runs, and
 * starts it again when it has ended, later and later. It ends with p2pvpnd, and chat with it. It
 * opens nothing and reads nothing but the end of p2pvpnd's socket, and a byte that asks for a new
 * start.
 */
#pragma once

#include <sys/types.h>

#include "base/pv.h"

struct pv_starter {
    int fd; /* -1: there is none */
    pid_t pid;
};

#define PV_STARTER_NONE ((struct pv_starter){.fd = -1, .pid = -1})

/* Forks, before there are keys, threads and descriptors; nothing is started yet. The process keeps
 * root's rights and runs the first program that it is told: pv_starter_start() or pv_starter_stop()
 * has to follow before this process gives up its own rights. -errno. */
PV_MUST_CHECK int pv_starter_fork(struct pv_starter *s);
/* Starts the program with these arguments; argv[0] is its name. In the end the sockets are removed,
 * if nobody listens there. Both lists end with NULL. -errno, PV_ERR_LIMIT: they are too long. */
PV_MUST_CHECK int pv_starter_start(const struct pv_starter *s, const char *program,
                                   const char *const *argv, const char *const *sockets);
/* Has chat start anew, since the settings were read again. */
void pv_starter_again(const struct pv_starter *s);
/* Ends chat, and waits for that a few seconds. */
void pv_starter_stop(struct pv_starter *s);
/* The p2pvpn-chatd in this program, beside it, or in the place where packages have it, into path
 * (PATH_MAX bytes). Returns false if there is none. */
bool pv_starter_find(char *ret_path);
