/* SPDX-License-Identifier: MIT */
/*
 * chatpaths.h - the sockets of chat, beside the control socket of its p2pvpnd: for
 * /run/p2pvpn/work.sock they are /run/p2pvpn/work.chat, where p2pvpn-chatd listens to p2pvpnctl,
 * and work.node, where p2pvpnd listens to p2pvpn-chatd. Pure.
 */
#pragma once

#include "base/pv.h"

/* The user that p2pvpn-chatd becomes, where the package has made it. */
#define PV_CHATPATH_USER "p2pvpn-chat"

enum pv_chatpath {
    PV_CHATPATH_CONTROL,
    PV_CHATPATH_NODE,
    /* Of a p2pvpn-chatd that a unit runs as a user of its own, who cannot make a socket beside
     * p2pvpnd's: /run/p2pvpn-chat/work.chat. */
    PV_CHATPATH_UNIT,
};

/* PV_ERR_NO_SPACE: the path is longer than cap bytes. PV_ERR_NOT_FOUND: UNIT of a p2pvpnd that no
 * unit runs. */
PV_MUST_CHECK int pv_chatpath(const char *control, enum pv_chatpath which, char *ret_path,
                              size_t cap);
