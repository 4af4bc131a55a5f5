/* SPDX-License-Identifier: MIT */
/*
 * copies.h - the part that has sealed copies of messages kept by the coordinator for members that
 * are away ([chat] store), and collects those that were kept for this node (docs/PROTOCOL-PEERS.md
 * "Stored copies").
 *
 * One message after another of one receiver goes there, so that order is kept; what comes back is
 * opened here and given to chatlink; and once it is on disk the coordinator may forget its copy.
 * A copy and the message itself are one: whichever comes second is known.
 */
#pragma once

#include "chat/core/base/chatpart.h"

extern const struct pv_chatpart pv_chatpart_copies;

/* A message for the member pk was stored. */
void pv_copies_queued(struct pv_chat *n, const uint8_t *pk);
