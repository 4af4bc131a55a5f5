/* SPDX-License-Identifier: MIT */
/*
 * tui.h - p2pvpnctl chat on a terminal: curses and the daemon's socket around tuimodel.h.
 */
#pragma once

#include "ctl/lib/cli.h"

/* Is there a terminal for it on both sides of cli, that can do more than lines? */
bool pv_tui_is_possible(const struct pv_cli *cli);
/* Returns true if only a description of the terminal is missing (terminfo). */
bool pv_tui_lacks_terminal(const struct pv_cli *cli);
/* Runs until the user or the daemon ends it; connected already. peer: the conversation to open,
 * or NULL. The exit code. */
int pv_tui_run(struct pv_cli *cli, const char *peer);
