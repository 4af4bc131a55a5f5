/* SPDX-License-Identifier: MIT */
/*
 * chatmsg.h - what all ways to chat share: a message on a line, the name of a peer or room, and
 * lines of the input.
 */
#pragma once

#include "chat/proto/chat.h"
#include "ctl/lib/cli.h"

/* One message on cli->out: "[14:20] pi: text", or with its receiver and state. */
void pv_chat_print(struct pv_cli *cli, const json_t *msg, bool with_receiver);

/* The other side of a conversation. A name may become another machine's, or another room's, while
 * lines are typed for the one that had it: they go to the address. */
struct pv_chat_place {
    char name[PV_NAME_BUF];           /* "pi", "#crew" */
    char address[PV_CTLAPI_PEER_BUF]; /* a machine's key, or what p2pvpnd calls a room for good */
    double another_since;             /* as in `peers`; 0: the name was no other machine's */
    char former[PV_KEY_TEXT_BUF];     /* then: the key of the machine that had it */
};
/* The peer or room that is called so. Asked before a conversation, so that a wrong name is told
 * before anything is typed. 0 or an exit code. */
PV_MUST_CHECK int pv_chat_find_place(struct pv_cli *cli, const char *word,
                                     struct pv_chat_place *ret_place);
/* Says why a line for the place was refused. */
void pv_chat_complain_of_line(struct pv_cli *cli, const struct pv_chat_place *place,
                              const struct pv_ctlapi_reply *reply);

/* Does what is printed on cli->out still get anywhere? False once the reader of a pipe has gone,
 * the terminal was hung up, or a write has failed. poll() of that descriptor, without events, wakes
 * whoever waits for it. */
bool pv_chat_is_heard(struct pv_cli *cli);

/* Text of the input up to a newline. Zeroed at first. */
struct pv_chat_input {
    size_t len;                        /* bytes of line, without the NUL */
    bool too_long;                     /* some bytes of the line found no room */
    char line[PV_CHAT_TEXT_MAX + 256]; /* "send NAME " before the longest text too */
};
/* Reads what is there without waiting, at most one line, so that requests do not pile up. PV_OK: in
 * holds a line; PV_ERR_AGAIN: no whole line is there; PV_ERR_CLOSED: the input has ended, and in
 * holds what stood behind the last newline. */
PV_MUST_CHECK int pv_chat_input_read(struct pv_chat_input *in, int fd);
/* Forgets the line. */
void pv_chat_input_next(struct pv_chat_input *in);
