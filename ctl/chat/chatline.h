/* SPDX-License-Identifier: MIT */
/*
 * chatline.h - the conversation of p2pvpnctl chat: lines in, lines out, on a terminal or a pipe.
 */
#ifndef PV_CHATLINE_H
#define PV_CHATLINE_H

#include <jansson.h>

#include "ctl/lib/cli.h"

/* Options of the command chat, by place. */
enum {
    PV_CHAT_LINES,
    PV_CHAT_RAW,
};

/* The name of a peer, whatever it was called by ("" when only its address is known). 0 or an exit
 * code. */
PV_MUST_CHECK int pv_chat_peer_name(struct pv_cli *cli, const char *peer,
                                    char ret_name[static PV_NAME_BUF]);
/* The command chat. */
int pv_chatline(struct pv_cli *cli);
/* One message on cli->out: "[14:20] pi: text", or with its receiver and state. */
void pv_chat_print(struct pv_cli *cli, const json_t *msg, bool with_receiver);

#endif /* PV_CHATLINE_H */
