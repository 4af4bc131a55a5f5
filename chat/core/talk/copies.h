/* SPDX-License-Identifier: MIT */
/*
 * copies.h - the part that has sealed copies of messages kept by the coordinator for members that
 * are away ([chat] store), and collects those that were kept for this node (docs/PROTOCOL-PEERS.md
 * "Stored copies").
 *
 * One message after another of one receiver goes there, so that order is kept; what comes back is
 * opened here and given to chatlink; and once that is on disk the coordinator may forget its copy.
 * A copy and the message itself are one: whichever comes second is known.
 */
#pragma once

#include "chat/core/base/chatpart.h"

extern const struct pv_chatpart pv_chatpart_copies;

/* The message of the copy that came with this number is on disk (PV_OK), or is not: status says
 * why. */
void pv_copies_committed(struct pv_chat *n, uint64_t number, int status, pv_ns now);
/* A message for the member pk was stored. */
void pv_copies_queued(struct pv_chat *n, const uint8_t *pk);
