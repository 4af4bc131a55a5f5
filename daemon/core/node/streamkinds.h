/* SPDX-License-Identifier: MIT */
/* streamkinds.h - the kinds of byte streams that p2pvpnd has (base/streams.h). */
#pragma once

#include "base/streams.h"

/*
 * Every kind in one row. Enumerators are made from these rows, and test_engine_tables asks for a
 * part that takes each.
 *
 *   COORD  TCP to a coordinator, opened by the engine
 *   CHAT   TCP 2047 on the overlay, opened or accepted; bound to the TUN
 *   CTL    the unix socket, accepted
 *   FILE   TCP 2048 on the overlay, accepted; bound to the TUN
 *   SCOUT  TCP to a coordinator that is visited beside it, opened by the engine
 */
#define PV_STREAM_ROWS(X) X(CTL) X(COORD) X(CHAT) X(FILE) X(SCOUT)

#define PV_STREAM_ENUMERATOR(name) PV_STREAM_##name,
enum pv_stream_kind {
    PV_STREAM_ROWS(PV_STREAM_ENUMERATOR) PV_STREAM_KINDS,
};
_Static_assert((int)PV_STREAM_CTL == (int)PV_STREAM_OF_CTL, "the control server counts on it");

/* Ours: the shell ends a stream of kind COORD on which data was not acknowledged by the other
 * kernel for so long. A program that pauses has its kernel answer, a NAT that forgot answers
 * nothing (adr/0088). */
#define PV_STREAM_UNACKED PV_S(5)

/* The other end of an accepted stream. */
struct pv_stream_peer {
    struct pv_addr remote; /* CHAT, FILE */
    struct pv_addr local;  /* CHAT, FILE */
    uint32_t uid;          /* CTL: SO_PEERCRED */
    bool may_change;       /* CTL: root; others in the socket's group may read and chat */
};
