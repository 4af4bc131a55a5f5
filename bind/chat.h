/* SPDX-License-Identifier: MIT */
/*
 * chat.h - chat in the process of p2pvpnd: the engine's part that makes chat, tells it what happens
 * (overlay.h), and gives its files to the shell as orders. The program and the simulator
 * bind the two by this; nothing else of the daemon knows chat.
 */
#pragma once

#include "chat/core/engine.h"
#include "daemon/core/node/part.h"

extern const struct pv_part pv_bind_chat; /* struct pv_engine_config.app */

/* Its struct pv_engine_config.app_config. */
struct pv_bind_chat_config {
    struct pv_chat_given given;
    const struct pv_auto_accept *auto_accept;
    size_t n_auto_accept;
    struct pv_chat_store *store; /* borrowed; called in the engine's thread */
    /* The parts to make, for tests; NULL: all. */
    const struct pv_chatpart *const *parts;
    size_t n_parts;
};

/* An order of the part to the shell (PV_ORDER_PART): struct pv_files_op, until the next call into
 * the engine. A report of the shell to the part (pv_engine_report()): struct pv_files_report. */

/* The chat that the part has made; NULL: none. For tests. */
struct pv_chat *pv_bind_chat_of(const struct pv_node *n);
