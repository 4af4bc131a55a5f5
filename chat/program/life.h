/* SPDX-License-Identifier: MIT */
/*
 * life.h - the loop of p2pvpn-chatd: chat (chat/core/engine.h) between its control clients, the
 * node, its database and its threads. Decides nothing that chat can decide.
 *
 * Chat is made when the node has told who it is, and made anew when the node has another key: what
 * chat holds is of one node.
 */
#pragma once

#include "chat/program/chatset.h"
#include "sys/helper/usher.h"
#include "sys/proc/supervisor.h"

struct pv_chatlife_config {
    const struct pv_log *log; /* borrowed, as all pointers here */
    const struct pv_chatset *set;
    const char *fault; /* what is wrong with the settings, for `status`; "": nothing */
    const char *state; /* directory of chat.db and files/ */
    const char *node;  /* path of the node's socket */
    const char *flag;  /* of p2pvpnctl that means the node, "-n work"; "": none */
    bool own;          /* of p2pvpnd --user */
    struct pv_usher *usher;
    int signals_fd; /* of pv_signals_open(): SIGTERM, SIGINT, SIGHUP */
    struct pv_supervisor *supervisor;
};

/* Runs until a signal. PV_OK; PV_ERR_CLOSED: the usher has ended; PV_ERR_NOMEM, -errno. */
PV_MUST_CHECK int pv_chatlife_run(const struct pv_chatlife_config *cfg);
