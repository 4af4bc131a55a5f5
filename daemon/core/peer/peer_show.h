/* SPDX-License-Identifier: MIT */
/*
 * peer_show.h - a peer as control clients are shown it (`peers`, `ping`, metrics), and the peer
 * that a client names. The shown texts point into the peer: use it before the next call that
 * changes it.
 */
#pragma once

#include "daemon/core/node/node.h"
#include "daemon/core/peer/peer.h"

struct pv_ctlapi_path;
struct pv_ctlapi_peer;

/* Its path: kind, ends, round trip, loss, size. */
void pv_peer_show_path(struct pv_peer *p, struct pv_ctlapi_path *ret_path);
/* All that `peers` says of it. A static peer, of which no coordinator tells, counts as online while
 * something authenticated came from it within the life of a session. */
void pv_peer_show(struct pv_peer *p, struct pv_ctlapi_peer *ret_peer, pv_ns now);

/* The peer that text names (pv_peers_find()). NULL: handle was answered with an error that says
 * why; what: the command, which begins the sentence. needs: PV_NEEDS_PEER, _MEMBER or _NODE. */
struct pv_peer *pv_peer_need(struct pv_node *n, const char *text, const char *what,
                             enum pv_command_needs needs, uint64_t handle);
/* Text names no other member. Answers handle where something is known of who was called so, or
 * will be: it was renamed, left, waits, ...; false: it does not, as nothing is. */
bool pv_peer_fail_known(struct pv_node *n, const char *text, const char *what, uint64_t handle);
