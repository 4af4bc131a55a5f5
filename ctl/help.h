/* SPDX-License-Identifier: MIT */
/*
 * help.h - what p2pvpnctl says of itself: all commands in groups, or one of them.
 */
#pragma once

#include <stdio.h>

#include "ctl/lib/cli.h"

/* A heading of the overview and the commands below it, as a user looks for them. */
struct pv_help_group {
    const char *title;
    const char *commands; /* names, with blanks between */
};
extern const struct pv_help_group pv_help_groups[]; /* ends with a NULL title */

extern const char pv_help_flags[]; /* what options of every command mean, a line each */
/* The words of a text about the flag --name, in its line, "  -n, --net NAME     the node", and in
 * lines below that begin where these words do, into buf; returns buf, "" where it says nothing. */
const char *pv_help_of_flag(const char *text, const char *name, char *buf, size_t cap);

/* The commands that a newcomer needs, in sixteen lines at most. The exit code. */
int pv_help_first(struct pv_cli *cli);
/* All commands by groups, the flags that every command has, and the exit codes. */
void pv_help_overview(FILE *out);
/* One command: its usage, details and an example. */
void pv_help_command(const struct pv_command *c, FILE *out);
