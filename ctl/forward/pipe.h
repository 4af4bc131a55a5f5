/* SPDX-License-Identifier: MIT */
/*
 * pipe.h - one connection between two commands on two machines, by a network that exists for it
 * alone.
 *
 * The first command creates the network, the second joins it. Beside the connection there is a
 * second one, the pulse, which is made first: each end says every second that it is there, and once
 * that it has taken all, or that its program failed. The kernel ends the pulse of an end that dies.
 * Where that is lost with its p2pvpnd or its machine, the other one has been silent for a while,
 * and the coordinator says that it is not there: so it is known within PV_PIPE_DEAD_S, however much
 * is still on its way. A silence that nobody explains, such as a path that fails or a machine that
 * stands still, is borne for PV_PIPE_LOST_S (adr/0097).
 */
#pragma once

#include <sys/types.h>

#include "ctl/forward/overlay.h"
#include "ctl/forward/twoway.h"

enum {
    PV_PIPE_PORT = 2049, /* ours: of the overlay, at the first command's node */
    PV_PIPE_DEAD_S = 5,  /* until an end knows that the other one's process is dead */
    PV_PIPE_LOST_S = 30, /* ours: of silence, which is as long as a path is kept without consent */
    PV_PIPE_CONNECT_S = 60, /* ours: until the second has met the first */
};

/* Waits for the second command, and connects both. 0 or an exit code. fds: data, pulse. */
PV_MUST_CHECK int pv_pipe_accept(struct pv_overlay *o, int ret_fds[static 2]);
PV_MUST_CHECK int pv_pipe_connect(struct pv_overlay *o, const char *host, int ret_fds[static 2]);
/* The program that has an end's bytes. */
struct pv_pipe_program {
    pid_t pid;  /* 0: none */
    bool ended; /* it was waited for */
    int status; /* then, of wait(2) */
};

/* Carries bytes between `local` and the other command until both have ended and taken all; of a
 * program its exit code says whether it has. Closes all of these. The exit code; 0, too, where the
 * program here failed, which says so itself. */
int pv_pipe_carry(struct pv_overlay *o, struct pv_twoway_end local, struct pv_pipe_program *program,
                  const int fds[static 2]);
