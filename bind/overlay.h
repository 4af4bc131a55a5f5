/* SPDX-License-Identifier: MIT */
/*
 * overlay.h - the node's side of chat/node.h: answers by the daemon's own tables, and does what
 * chat asks for. It knows nothing of chat but that header.
 */
#pragma once

#include "chat/node.h"
#include "daemon/core/node/node.h"

struct pv_bind_overlay {
    struct pv_node *node;         /* borrowed */
    struct pv_overlay overlay;    /* given to chat; its node is this struct */
    struct pv_overlay_told told;  /* of chat, which the caller fills */
    struct pv_overlay_own own;    /* the last answer */
    enum pv_stream_kind kinds[3]; /* of the daemon's streams, by chat's kinds */
};

/* Fills the struct but for told. b stays where it is. */
void pv_bind_overlay_init(struct pv_bind_overlay *b, struct pv_node *node);
/* Has the boxes that the coordinator keeps told to chat; false: no longer. */
void pv_bind_overlay_collect(struct pv_bind_overlay *b, bool on);

/* Tell chat of facts of the daemon (node/facts.h). */
void pv_bind_tell_facts(const struct pv_bind_overlay *b, unsigned facts, pv_ns now);
void pv_bind_tell_peer(const struct pv_bind_overlay *b, const struct pv_peer *p, unsigned facts,
                       pv_ns now);
/* The peer as chat knows it. */
void pv_bind_member_of(const struct pv_bind_overlay *b, const struct pv_peer *p,
                       struct pv_overlay_member *ret_member);
