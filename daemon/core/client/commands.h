/* SPDX-License-Identifier: MIT */
/*
 * commands.h - the part that serves the control socket: it reads requests, finds the part that has
 * the command in its table (part.h), and has it run when what the command needs is there. When a
 * client goes, every part that may still answer it is told.
 */
#pragma once

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_commands;
