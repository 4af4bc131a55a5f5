/* SPDX-License-Identifier: MIT */
/*
 * shell.h - chat's shell in the loop of p2pvpnd: chat's threads (chat/io/shell.h) carry out the
 * orders of the part (bind/chat.h).
 */
#pragma once

#include "bind/chat.h"
#include "chat/io/shell.h"
#include "daemon/io/io_app.h"

/* Zeroed but for what the caller gives; stays where it is while the loop runs. */
struct pv_bind_shell {
    const struct pv_log *log;   /* borrowed, as all pointers here */
    struct pv_chatstore *store; /* given: used by a thread while the loop runs */
    const char *state;          /* given: directory with files/; NULL: none */
    const char *ifname;         /* given: of the interface */
    struct pv_io *io;           /* of the loop */
    struct pv_chatshell *shell; /* owned */
};

/* For struct pv_io_config. */
struct pv_io_app pv_bind_shell_app(struct pv_bind_shell *b);
