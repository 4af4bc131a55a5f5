/* SPDX-License-Identifier: MIT */
/*
 * namesfile.h - the part that keeps the names file up to date: who is who, for libnss_p2pvpn
 * (docs/PROTOCOL.md "Names file"). It looks at the roster when that changed, and has the shell
 * replace the file by PV_JOB_NAMES; a node that is no member leaves no file behind.
 *
 * State:  CLEAN --roster changed--> DIRTY --gap over--> WRITING --done--> CLEAN
 *         WRITING --failed--> DIRTY, 30 s later; a change while WRITING is written after it.
 */
#ifndef PV_NAMESFILE_H
#define PV_NAMESFILE_H

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_namesfile;

#endif /* PV_NAMESFILE_H */
