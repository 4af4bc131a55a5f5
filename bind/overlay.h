/* SPDX-License-Identifier: MIT */
/*
 * overlay.h - the node's side of chat/node.h: answers by the daemon's own tables, and does what
 * chat asks for. It knows nothing of chat but that header.
 */
#pragma once

#include "chat/node.h"
#include "daemon/core/node/node.h"

struct pv_bind_overlay {
    struct pv_node *node;        /* borrowed */
    struct pv_overlay overlay;   /* given to chat; its node is this struct */
    struct pv_overlay_told told; /* of chat, which the caller fills */
    struct pv_overlay_own own;   /* the last answer */
    size_t n_notifies;           /* runs of the user's program that wait */
};

/* The kinds of streams that chat connects: chat's own, as streams APP1 of the daemon, and those of
 * its transfers of files, as APP2. */
enum {
    PV_BIND_TALK = 1,
    PV_BIND_FETCH = 3,
};

/* Fills the struct but for told. b stays where it is. */
void pv_bind_overlay_init(struct pv_bind_overlay *b, struct pv_node *node);
/* Has the boxes that the coordinator keeps told to chat; false: no longer. */
void pv_bind_overlay_collect(struct pv_bind_overlay *b, bool on);

/* Has the shell connect, as connect() of struct pv_overlay; b is a struct pv_bind_overlay. */
PV_MUST_CHECK int pv_bind_connect(void *b, uint32_t stream, const struct pv_addr *to, pv_ns now);
/* Chat's number of a stream that was connected for it. */
uint32_t pv_bind_stream(enum pv_stream_kind kind, uint32_t local);

/* Tell chat of facts of the daemon (node/facts.h). */
void pv_bind_tell_facts(const struct pv_bind_overlay *b, unsigned facts, pv_ns now);
void pv_bind_tell_peer(const struct pv_bind_overlay *b, const struct pv_peer *p, unsigned facts,
                       pv_ns now);
/* The peer as chat knows it. */
void pv_bind_member_of(const struct pv_bind_overlay *b, const struct pv_peer *p,
                       struct pv_overlay_member *ret_member);
