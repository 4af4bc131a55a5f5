/* SPDX-License-Identifier: MIT */
/*
 * shell.h - what chat has done by threads: transfers of files, with the directory of received
 * files. Results are told in the loop.
 */
#pragma once

#include "base/log.h"
#include "chat/core/files/files_part.h"
#include "sys/proc/loop.h"

struct pv_chatshell; /* opaque */

enum {
    PV_CHATSHELL_STREAM =
        3, /* kind of the streams that transfers ask for, as enum pv_chat_stream */
};

/* The functions of whoever has chat and its streams. */
struct pv_chatshell_host {
    void *host;
    /* Tells chat; borrowed. */
    void (*file)(void *host, const struct pv_files_report *report, pv_ns now);
    /* Takes the descriptor of a stream out of the loop; -1: no such. */
    int (*take)(void *host, uint32_t sid);
    /* Takes fd, which goes out with the next byte of this control client. */
    void (*pass)(void *host, uint32_t sid, int fd);
    /* Connects over the overlay, and calls pv_chatshell_connected() with the stream. Not PV_OK: it
     * will not be called. */
    int (*connect)(void *host, uint32_t stream, const struct pv_addr *to, pv_ns now);
};

struct pv_chatshell_config {
    struct pv_loop *loop; /* borrowed, as all pointers here */
    const struct pv_log *log;
    const char *state; /* directory; received files wait in files/ below it; NULL: none */
    struct pv_chatshell_host host;
};

PV_MUST_CHECK int pv_chatshell_new(struct pv_chatshell **ret_shell,
                                   const struct pv_chatshell_config *cfg);
/* Starts, cancels or answers a transfer, or does what else chat wants of files. */
void pv_chatshell_file(struct pv_chatshell *shell, const struct pv_files_op *op, pv_ns now);
/* A control client passed a descriptor with its next request: fd, taken. */
void pv_chatshell_passed(struct pv_chatshell *shell, uint32_t sid, int fd, pv_ns now);
/* The stream that the host was asked for: fd, taken; -1: there is none. */
void pv_chatshell_connected(struct pv_chatshell *shell, uint32_t stream, int fd);
/* Tells how far transfers are; when to call again. */
pv_ns pv_chatshell_timeout(struct pv_chatshell *shell, pv_ns now);
/* Cancels transfers and waits for their end. Nothing is told any more. NULL is fine; returns NULL.
 */
struct pv_chatshell *pv_chatshell_free(struct pv_chatshell *shell);
