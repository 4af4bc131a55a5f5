/* SPDX-License-Identifier: MIT */
/*
 * chatraw.h - p2pvpnctl chat --raw PEER: a conversation for scripts, nothing but lines.
 */
#ifndef PV_CHATRAW_H
#define PV_CHATRAW_H

#include "ctl/lib/cli.h"

/* Prints what the peer of cli->args.word[0] says, also what is unread, and sends the lines of the
 * input. Ends with the input when lines were sent, and with --timeout (code 3; 0 when something was
 * printed). Connected. Returns an exit code. */
int pv_chatraw(struct pv_cli *cli);

#endif /* PV_CHATRAW_H */
