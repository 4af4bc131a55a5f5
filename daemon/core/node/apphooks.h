/* SPDX-License-Identifier: MIT */
/*
 * apphooks.h - what clients of the daemon hear of the program that runs over the overlay in this
 * process, when they ask about a peer or the node.
 *
 * The program's part fills the table and puts it into the node. Without a table the daemon answers
 * without the program. Nothing else of the daemon calls it.
 */
#pragma once

#include "base/pv.h"
#include "proto/local/ctlcmd.h"

struct pv_node;
struct pv_peer;

/* Messages that nobody here has read, and messages that wait for members. */
struct pv_app_counts {
    uint64_t unread, queued;
};

/* The messages are counted; counts is NULL if the store failed or is slow. */
typedef void pv_app_counted(void *self, uint64_t tag, const struct pv_app_counts *counts,
                            pv_ns now);

struct pv_app_hooks {
    /* Returns true if messages to the peer wait although it is there, and says why in a sentence.
     */
    bool (*held)(const struct pv_node *n, const struct pv_peer *p,
                 char ret_why[static PV_CTLAPI_ERROR_BUF]);
    /* Returns true if the text, which names no peer, names a room. */
    bool (*is_room)(const struct pv_node *n, const char *text);
    /* Counts messages and calls done once, after 2 s at the latest. Returns false if done will not
     * be called. */
    bool (*count)(struct pv_node *n, pv_app_counted *done, void *self, uint64_t tag, pv_ns now);
};
