/* SPDX-License-Identifier: MIT */
/*
 * stunconn.h - STUN by a stream (RFC 8489 s6.2.2): cuts requests out of the bytes and holds the
 * answer until it is written, one request at a time.
 *
 * It does not answer anything itself (stuns.h does) and sets no time limit: its connection ends
 * with the time that every connection has for its hello. Caller's memory, fixed size; one thread.
 */
#ifndef PV_STUNCONN_H
#define PV_STUNCONN_H

#include "base/pv.h"
#include "coordinator/core/stuns.h"

enum {
    PV_STUNCONN_REQUEST_MAX = 2048, /* ours: bytes of a request; UDP takes no more either */
};

struct pv_stunconn {
    uint8_t in[PV_STUNCONN_REQUEST_MAX];
    size_t in_len;
    struct pv_stuns_reply reply;
    size_t written; /* bytes of the reply */
};

/* Does a stream that begins with this byte speak STUN? The control channel begins with 'P', TLS
 * with 0x16 (RFC 7983). */
bool pv_stunconn_begins(uint8_t first);

/*
 * Takes bytes up to the end of one request; *ret_used of them. PV_OK: *ret_request is whole, valid
 * until pv_stunconn_next(). PV_ERR_AGAIN: more bytes are needed, all of data was taken.
 * PV_ERR_MALFORMED: not STUN, or too long; the stream is lost.
 */
PV_MUST_CHECK int pv_stunconn_handle_bytes(struct pv_stunconn *s, struct pv_view data,
                                           size_t *ret_used, struct pv_view *ret_request);
/* The request has been looked at: s->reply holds the answer (reply.len 0: none). */
void pv_stunconn_next(struct pv_stunconn *s);

/* What is to be written. While it is not empty, no bytes may be handed in. */
struct pv_view pv_stunconn_out(const struct pv_stunconn *s);
void pv_stunconn_wrote(struct pv_stunconn *s, size_t n);

#endif /* PV_STUNCONN_H */
