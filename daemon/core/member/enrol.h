/* SPDX-License-Identifier: MIT */
/*
 * enrol.h - the part that brings this node from nothing to a member with an interface: `create` and
 * `join` (DESIGN 3). It connects as an applicant, asks the coordinator step by step, stores the
 * membership before it enters it, and answers the user when the interface is up and the coordinator
 * has told of the members.
 *
 *   create: ROOT (secret on disk) --> CONNECT --> CREATE --+
 *   join:   CONNECT --> FETCH --> JOIN --> REGISTER -------+--> SAVE --> IFACE
 *   create:                                    IFACE --> INVITE (the first token) --> done
 *   join:                                      IFACE --> LIST (all members) --> done
 *
 * A connection that is lost in an applicant's step leads back to CONNECT: what was asked is asked
 * again. In those steps the user's time runs (30 s, or as the command says), a refusal of the
 * coordinator ends the attempt, and so does the client that goes away; nothing is left behind then.
 * From SAVE on membership is certain, and what fails is only told.
 */
#pragma once

#include "daemon/core/node/part.h"
#include "proto/control/ctlmsg.h"
#include "proto/local/ctlcmd.h"

#define PV_ENROL_TIME   PV_S(30) /* DESIGN 3: an applicant has 30 s */
#define PV_ENROL_LISTED PV_S(5)  /* ours: who joined is one whether the members are known or not */
#define PV_ENROL_ANSWER PV_S(9)  /* ours: from whom nothing was heard by then nothing comes */

extern const struct pv_part pv_part_enrol;
