/* SPDX-License-Identifier: MIT */
/*
 * commands.h - the subcommands of p2pvpn-coordinator that look after a coordinator's state. Each
 * prints its answer, or one line on stderr that says what to do.
 */
#ifndef PV_COORD_COMMANDS_H
#define PV_COORD_COMMANDS_H

#include "coordinator/settings/settings.h"

enum {
    PV_COORDEXIT_DONE = 0,
    PV_COORDEXIT_FAILED = 1,
    PV_COORDEXIT_USAGE = 2,
    PV_COORDEXIT_PERMISSION = 5,
    PV_COORDEXIT_UNKNOWN = 6, /* no such network */
    PV_COORDEXIT_NOT_RUNNING = 8,
};

/* Prints one line on stderr; returns PV_COORDEXIT_FAILED, so that it can end a function. */
int pv_coord_print_error(const char *error);

/* Does what set->action asks for, which is one of these: NETWORKS, DROP, SECRET (whose URL the
 * caller prints), BACKUP, RESTORE. */
int pv_coord_command(struct pv_coordset *set);

#endif /* PV_COORD_COMMANDS_H */
