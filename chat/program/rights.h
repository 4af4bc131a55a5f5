/* SPDX-License-Identifier: MIT */
/*
 * rights.h - how p2pvpn-chatd gives up root's rights: its user, its state directory, and what is
 * left to it (sys/proc/sandbox.h).
 */
#pragma once

#include "sys/proc/sandbox.h"

/* Makes the state directory, mode 0700, and gives it to the user. It may be somebody else's by
 * mistake: errors of pv_dir_may_take(). -errno. */
PV_MUST_CHECK int pv_chatd_hand_over(const char *state, const struct pv_sandbox_user *user);

/* Becomes the user, without capabilities. Keeps the files in the state directory, connections to
 * unix sockets, and the calls of a program with SQLite. Before the first thread. ret_text: what is
 * in force. -errno, PV_ERR_NOMEM: the process must end. */
PV_MUST_CHECK int pv_chatd_give_up(const struct pv_sandbox_user *user, const char *state,
                                   char ret_text[static PV_SANDBOX_TEXT_MAX]);
