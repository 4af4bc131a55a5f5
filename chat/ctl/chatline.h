/* SPDX-License-Identifier: MIT */
/*
 * chatline.h - the conversation of p2pvpnctl chat line by line, on a terminal or a pipe.
 */
#pragma once

#include "ctl/lib/cli.h"

/* Shows what comes in and sends what is typed, to the peer of cli->args.word[0] if there is one,
 * until the input ends. Connected. Returns an exit code. */
int pv_chatline(struct pv_cli *cli);
