/* SPDX-License-Identifier: MIT */
/*
 * private.h - a p2pvpnd --user for the life of one command: its files are in a directory of their
 * own in memory, and a process of p2pvpnctl's beside it ends it and removes them, also when the
 * command is killed.
 */
#pragma once

#include <sys/types.h>

#include "ctl/lib/cli.h"

enum {
    PV_PRIVATE_DIR = 200, /* bytes of the directory's path with the NUL */
};

struct pv_private {
    char dir[PV_PRIVATE_DIR];
    pid_t keeper; /* 0: it does not run */
    int keep;     /* closed: it ends */
};

/* Starts it and has cli mean it from now on. secret: what this process alone is to know; the other
 * one forgets it. 0, or an exit code, and the user has been told. */
PV_MUST_CHECK int pv_private_start(struct pv_private *p, struct pv_cli *cli,
                                   struct pv_ctlapi_request *secret);
/* Ends it; wait: until nothing of it is left, which takes an ephemeral member up to 4 s. */
void pv_private_end(struct pv_private *p, struct pv_cli *cli, bool wait);
