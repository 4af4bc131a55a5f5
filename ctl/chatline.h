/* SPDX-License-Identifier: MIT */
/*
 * chatline.h - the conversation of p2pvpnctl chat: lines in, lines out, on a terminal or a pipe.
 */
#ifndef PV_CHATLINE_H
#define PV_CHATLINE_H

#include <jansson.h>

#include "ctl/cli.h"

/* The command chat. */
int pv_chatline(struct pv_cli *cli);
/* One message on cli->out: "[14:20] pi: text", or with its receiver and state. */
void pv_chat_print(struct pv_cli *cli, const json_t *msg, bool with_receiver);

#endif /* PV_CHATLINE_H */
