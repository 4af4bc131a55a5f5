/* SPDX-License-Identifier: MIT */
/*
 * chatcmds.h - the commands of this folder: messages, rooms and files.
 */
#pragma once

#include "ctl/lib/cli.h"

/* One group each; the last row has a NULL name. */
extern const struct pv_command pv_cmds_chat[];
extern const struct pv_command pv_cmds_files[];
extern const struct pv_command pv_cmds_room[];
