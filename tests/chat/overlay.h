/* SPDX-License-Identifier: MIT */
/* overlay.h - the overlay of the world (world.h), as the machines see it. For world.c alone. */
#pragma once

#include "tests/chat/world.h"

struct pv_overlay overlay_of(struct world_node *n);
const struct pv_overlay_own *overlay_own(const void *node);
void overlay_begin(void);
void overlay_end(void);
void overlay_started(struct world_node *n);
void overlay_killed(struct world_node *n);
/* Of a machine's own stream: write what it has; close it. */
void overlay_write(struct world_node *n, uint32_t sid);
void overlay_close(struct world_node *n, uint32_t sid);
/* Carries out an operation of chat's about a file. */
void overlay_file(struct world_node *n, const struct pv_files_op *op);
pv_ns overlay_next(void);
void overlay_turn(void); /* does what is due */

/* The machine's chat, told the wall clock. */
struct pv_chat *world_chat(struct world_node *n);
/* After a call into a machine's chat: carries out what it wants. */
void world_settle(struct world_node *n);
