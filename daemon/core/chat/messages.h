/* SPDX-License-Identifier: MIT */
/*
 * messages.h - the part that serves the commands about messages: send, inbox, history. A message to
 * a room goes to rooms, any other to chatlink; what was said comes from the store, whoever said it
 * where.
 */
#pragma once

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_messages;
