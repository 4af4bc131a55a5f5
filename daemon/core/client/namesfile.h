/* SPDX-License-Identifier: MIT */
/*
 * namesfile.h - the part that keeps the names files up to date: who is who, for libnss_p2pvpn
 * (docs/PROTOCOL-LOCAL.md "Names file"). It looks at the roster when that changed, and has the
 * shell replace a file by PV_JOB_NAMES; a node that is no member leaves no file behind.
 *
 * In a large network those who come are written into a small file beside the one of all, at once.
 * When they are many, or somebody else has changed, the file of all is written, after a while, and
 * the small one goes.
 *
 * State:  CLEAN --roster changed--> DIRTY --gap over--> WRITING --done--> CLEAN
 *         DIRTY --the file of all, too soon after the last--> BEHIND --its gap over--> WRITING
 *         WRITING --failed--> DIRTY, 30 s later; a change while WRITING is written after it.
 */
#pragma once

#include "daemon/core/node/part.h"

enum {
    PV_NAMESFILE_RECENT = 256, /* ours: names in the small file; smaller networks have only one */
};

extern const struct pv_part pv_part_namesfile;
