/* SPDX-License-Identifier: MIT */
/*
 * complete.h - the words that may stand where the cursor of a shell is: commands, flags, words of a
 * command's usage, and names that p2pvpnd knows now.
 */
#pragma once

#include "ctl/lib/cli.h"

/* Prints a line for each word that may take the place of the last of n (behind "p2pvpnctl"): the
 * word, and behind a tab what it is, if that can be said. Nothing where a file's name or something
 * free belongs. p2pvpnd is given a second; nothing it says is printed but what looks like a name,
 * a room, a number or an id, and descriptions without control characters. */
void pv_complete(struct pv_cli *cli, char *const *words, int n);
