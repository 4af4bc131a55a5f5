/* SPDX-License-Identifier: MIT */
/*
 * rotation.h - the part that changes this node's transport key without a lost packet: on command,
 * and by itself when the key is old (docs/PROTOCOL-PEERS.md "Key change", adr 0033).
 *
 * A change, each step after the one before is done:
 *   1. the key to come is made and written to the disk beside the others; it is answered already
 *   2. a transport key statement names it: members and coordinator are told
 *   3. it is the one in use; the one before is answered for PV_ROTATION_KEEP_S
 * What is in use follows from the roster alone, so a crash anywhere leaves a node that works and
 * goes on from there. Not here: which key a handshake is made with (peer/peer_session.c).
 */
#pragma once

#include "daemon/core/node/node.h"

enum {
    /* Ours: a former key is answered for so many seconds. Copies of messages wait for 14 days, and
     * are sealed to the key that their author knew. */
    PV_ROTATION_KEEP_S = 15 * 86400,
    /* Ours: without the coordinator a change that is due waits so many seconds for it. */
    PV_ROTATION_PATIENCE_S = 7 * 86400,
    /* Ours: a time of before that is so far in the future is the word of a clock that was wrong. */
    PV_ROTATION_CLOCK_S = 86400,
};
/* Ours: who is due at its start waits for so long, and up to twice as long: the network comes first
 * and machines that start together do not change their keys together. */
#define PV_ROTATION_QUIET PV_S(300)
#define PV_ROTATION_LOOK  PV_S(600) /* ours: how often it is looked at the ages of keys */

extern const struct pv_part pv_part_rotation;
