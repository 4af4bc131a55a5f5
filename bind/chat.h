/* SPDX-License-Identifier: MIT */
/*
 * chat.h - chat in the process of p2pvpnd: the engine's part that makes chat, tells it what happens
 * (overlay.h), and gives its jobs and files to the shell as orders. The program and the simulator
 * bind the two by this; nothing else of the daemon knows chat.
 */
#pragma once

#include "chat/core/engine.h"
#include "daemon/core/node/part.h"

extern const struct pv_part pv_bind_chat; /* struct pv_engine_config.app */

/* Its struct pv_engine_config.app_config; NULL: defaults. */
struct pv_bind_chat_config {
    struct pv_chat_given given;
    const struct pv_auto_accept *auto_accept;
    size_t n_auto_accept;
    /* The parts to make, for tests; NULL: all. */
    const struct pv_chatpart *const *parts;
    size_t n_parts;
};

/* An order of the part to the shell (PV_ORDER_PART). */
struct pv_bind_order {
    struct pv_chatop *job;          /* for the store; the taker's. NULL: it is a file's */
    const struct pv_files_op *file; /* until the next call into the engine */
};

/* The shell's report to the part (pv_engine_report()). */
struct pv_bind_report {
    struct pv_chatqueue_result *result; /* of a job; what it owns is taken. NULL: file */
    const struct pv_files_report *file;
};

/* The chat that the part has made; NULL: none. For tests. */
struct pv_chat *pv_bind_chat_of(const struct pv_node *n);
