/* SPDX-License-Identifier: MIT */
/* streamkinds.h - the kinds of byte streams that p2pvpnd has (base/streams.h). */
#pragma once

#include "base/streams.h"

/*
 * Every kind in one row. Enumerators are made from these rows, and test_engine_tables asks for a
 * part that takes each.
 *
 *   CTL    the unix socket, accepted
 *   APP1   TCP on the overlay at the first port of the program that runs over it (part.h); opened
 *          or accepted, and bound to the TUN
 *   APP2   the same at its second port
 *   COORD  TCP to a coordinator, opened by the engine
 *   SCOUT  TCP to a coordinator that is visited beside it, opened by the engine
 */
#define PV_STREAM_ROWS(X) X(CTL) X(APP1) X(APP2) X(COORD) X(SCOUT)

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
    struct pv_addr remote; /* APP1, APP2 */
    struct pv_addr local;  /* APP1, APP2 */
    uint32_t uid;          /* CTL: SO_PEERCRED */
    bool may_change;       /* CTL: root; others in the socket's group may read and chat */
};
