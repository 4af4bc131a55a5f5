/* SPDX-License-Identifier: MIT */
/*
 * run.h - p2pvpnctl as a function: arguments in, exit code out. main.c calls it, and so do tests.
 */
#pragma once

#include <stdio.h>

/* Runs one command line; argv[0] is skipped. Returns the exit code. Secrets among the arguments
 * are overwritten. */
int pv_cli_run(int argc, char **argv, FILE *in, FILE *out, FILE *err);
