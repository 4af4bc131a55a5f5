/* SPDX-License-Identifier: MIT */
/*
 * streams.h - byte streams between a program's shell and its machines: ids, and what the shell is
 * to do with them. One space of stream ids serves all kinds: the upper bits of an id are the kind,
 * the rest is the id that the machine gave.
 *
 * A machine that has streams asks for what it wants where it wants it: one to be opened or closed
 * (pv_streams_open(), pv_streams_close()), and one that has bytes to be written or takes more
 * (pv_streams_wake()). The shell takes both in the order in which they were asked for.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

/* Kinds are numbers of the program, below 16. */
enum {
    PV_STREAM_OF_CTL = 0, /* the unix socket, accepted: in every program */
};

enum {
    PV_STREAM_KIND_SHIFT = 28, /* ours: no machine has 2^28 streams in one life of the daemon */
    PV_STREAM_TO_BUF = 264,    /* "HOST:PORT" with the longest name (253), and the NUL */
};
#define PV_STREAM_LOCAL_MASK (((uint32_t)1 << PV_STREAM_KIND_SHIFT) - 1)

/* The engine's id of a machine's stream, and back. */
static inline uint32_t pv_sid(unsigned kind, uint32_t local)
{
    return (uint32_t)kind << PV_STREAM_KIND_SHIFT | (local & PV_STREAM_LOCAL_MASK);
}
static inline uint32_t pv_sid_local(uint32_t sid)
{
    return sid & PV_STREAM_LOCAL_MASK;
}
static inline unsigned pv_sid_kind(uint32_t sid)
{
    return sid >> PV_STREAM_KIND_SHIFT;
}

enum pv_stream_op_type {
    PV_STREAM_OPEN,  /* connect to addr; answer by connected or closed */
    PV_STREAM_CLOSE, /* write what stream_out() still gives, then close; no closed() comes back */
};
struct pv_stream_op {
    enum pv_stream_op_type type;
    uint32_t sid;
    unsigned kind;
    struct pv_addr addr;       /* OPEN: where to; with `to` the address of an HTTP proxy */
    char to[PV_STREAM_TO_BUF]; /* OPEN: "HOST:PORT" that the proxy is asked for; "": no proxy */
    bool tls;             /* OPEN: inside TLS, whoever the server is; connected when that is up */
    struct pv_addr local; /* OPEN: own address to bind; PV_AF_NONE: any */
};

/* A stream's place among those that the shell shall look at, in the struct of whoever has the
 * stream; zeroed: it does not wait. */
struct pv_stream_turn {
    struct pv_stream_turn *prev, *next;
    uint32_t sid;
    bool waits;
};

/* Zeroed: nothing waits. */
struct pv_streams {
    struct pv_stream_op *ops;
    size_t n_ops, cap;
    struct pv_stream_turn *turns;
};

/* Frees what nobody took. No turn may wait any more that outlives this. */
void pv_streams_done(struct pv_streams *s);

/* op->sid is the machine's own. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_streams_open(struct pv_streams *s, const struct pv_stream_op *op);
/* One that the shell was not told of yet is not opened; else it is closed. Without memory for that
 * it stays open at the shell, where what comes of it leads nowhere, until its other end closes it.
 */
void pv_streams_close(struct pv_streams *s, unsigned kind, uint32_t local);
/* Has the shell look at a stream: it has output, or became full, or is full no more. It does so
 * once, however often it is asked for until then. */
void pv_streams_wake(struct pv_streams *s, struct pv_stream_turn *turn, unsigned kind,
                     uint32_t local);
/* The stream ends: its turn does not wait any more. */
void pv_streams_forget(struct pv_streams *s, struct pv_stream_turn *turn);

/* For the shell, its sid as streams of the engine have it; PV_ERR_AGAIN: there is none. */
PV_MUST_CHECK int pv_streams_next_op(struct pv_streams *s, struct pv_stream_op *ret_op);
PV_MUST_CHECK int pv_streams_next_turn(struct pv_streams *s, uint32_t *ret_sid);
