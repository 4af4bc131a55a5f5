/* SPDX-License-Identifier: MIT */
/*
 * stunconn.h - STUN and TURN by a stream (RFC 8489 s6.2.2, RFC 8656 s12.5): cuts messages out of
 * the bytes, one at a time, and queues what is to be written.
 *
 * It does not answer anything itself (stuns.h and turns.h do) and sets no time limit: its
 * connection ends with the time that every connection has for its hello, unless it relays. One
 * thread.
 */
#pragma once

#include "base/pv.h"
#include "coordinator/core/turn/stuns.h"
#include "proto/stun/linewait.h"

enum {
    PV_STUNCONN_MESSAGE_MAX = 2052,    /* ours: bytes of a message; UDP takes 2048 of data */
    PV_STUNCONN_OUT_MAX = 128 * 1024,  /* bytes not written yet, DESIGN 7; full: dropped */
    PV_STUNCONN_OUT_PAUSE = 32 * 1024, /* ours: with more unwritten the stream is not read on */
};

struct pv_stunconn {                     /* zeroed at first; pv_stunconn_done() at last */
    uint8_t in[PV_STUNCONN_MESSAGE_MAX]; /* the message that is being received */
    size_t in_len;                       /* bytes of it that have come */
    size_t too_long;                     /* bytes still to come of a message that is passed over */
    uint8_t *out;                        /* owned: out_at..out_len are to be written */
    size_t out_at, out_len, out_cap;
    struct pv_linewait wait; /* how much the line takes in 50 ms */
};
void pv_stunconn_done(struct pv_stunconn *s);

/*
 * Takes bytes up to the end of one message, STUN or ChannelData with its padding; *ret_used of
 * them. PV_OK: *ret_message is whole, without padding, at s->in, which may be written to, until
 * pv_stunconn_next(). PV_ERR_AGAIN: more bytes are needed, all of data was taken. PV_ERR_LIMIT: a
 * message longer than PV_STUNCONN_MESSAGE_MAX begins; going on with the rest passes it over, as UDP
 * drops it. PV_ERR_MALFORMED: neither; the stream is lost.
 */
PV_MUST_CHECK int pv_stunconn_handle_bytes(struct pv_stunconn *s, struct pv_view data,
                                           size_t *ret_used, struct pv_view *ret_message);
/* The message has been looked at. */
void pv_stunconn_next(struct pv_stunconn *s);

/* Queues a message, padded to a multiple of 4. PV_ERR_LIMIT: PV_STUNCONN_OUT_MAX bytes wait; data
 * of a peer is refused sooner, when more waits than the line takes in 50 ms (base/linewait.h).
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_stunconn_put(struct pv_stunconn *s, struct pv_view message);
/* Bytes to be written; valid until the next put or wrote. */
struct pv_view pv_stunconn_out(const struct pv_stunconn *s);
void pv_stunconn_wrote(struct pv_stunconn *s, size_t n, pv_ns now);
/* Returns true if so much is unwritten that nothing more should be read. */
bool pv_stunconn_is_slow(const struct pv_stunconn *s);
