/* SPDX-License-Identifier: MIT */
/*
 * stream.h - byte streams between the shell and the parts of the daemon: kinds, ids, operations.
 * One space of stream ids serves all kinds: the upper bits of an id are the kind, the rest is the
 * id that the part's own machine gave.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

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
#define PV_STREAM_ROWS(X) X(COORD) X(CHAT) X(CTL) X(FILE) X(SCOUT)

#define PV_STREAM_ENUMERATOR(name) PV_STREAM_##name,
enum pv_stream_kind {
    PV_STREAM_ROWS(PV_STREAM_ENUMERATOR) PV_STREAM_KINDS,
};

enum {
    PV_STREAM_KIND_SHIFT = 28, /* ours: no machine has 2^28 streams in one life of the daemon */
};
/* Ours: the shell ends a stream of kind COORD on which data was not acknowledged by the other
 * kernel for so long. A program that pauses has its kernel answer, a NAT that forgot answers
 * nothing (adr/0088). */
#define PV_STREAM_UNACKED    PV_S(5)
#define PV_STREAM_LOCAL_MASK (((uint32_t)1 << PV_STREAM_KIND_SHIFT) - 1)

/* The engine's id of a machine's stream, and back. */
static inline uint32_t pv_sid(enum pv_stream_kind kind, uint32_t local)
{
    return (uint32_t)kind << PV_STREAM_KIND_SHIFT | (local & PV_STREAM_LOCAL_MASK);
}
static inline uint32_t pv_sid_local(uint32_t sid)
{
    return sid & PV_STREAM_LOCAL_MASK;
}
static inline enum pv_stream_kind pv_sid_kind(uint32_t sid)
{
    return (enum pv_stream_kind)(sid >> PV_STREAM_KIND_SHIFT);
}

/* The other end of an accepted stream. */
struct pv_stream_peer {
    struct pv_addr remote; /* CHAT, FILE */
    struct pv_addr local;  /* CHAT, FILE */
    uint32_t uid;          /* CTL: SO_PEERCRED */
    bool may_change;       /* CTL: root; others in the socket's group may read and chat */
};

enum pv_stream_op_type {
    PV_STREAM_OPEN,  /* connect to addr; answer by connected or closed */
    PV_STREAM_CLOSE, /* write what stream_out() still gives, then close; no closed() comes back */
};
struct pv_stream_op {
    enum pv_stream_op_type type;
    uint32_t sid;
    enum pv_stream_kind kind;
    struct pv_addr addr; /* OPEN: where to */
    bool tls; /* OPEN COORD, SCOUT: inside TLS, whoever the server is; connected when that is up */
    struct pv_addr local; /* OPEN CHAT: own overlay address to bind */
};
