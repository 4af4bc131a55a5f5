/* SPDX-License-Identifier: MIT */
/*
 * peerio.h - the bytes of one accepted connection, plain or through TLS as its first byte says
 * (core/sniff.h): read and write as sys/net/stream.h has them, whichever it is.
 *
 * It limits handshakes by the gate it is given; it sets no time limits itself. One thread.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "coordinator/core/tlsgate.h"
#include "sys/net/tls.h"

enum {
    /* Bytes that a read has to be able to give: with one reading of the wire no whole record is
     * left behind, so nothing waits unseen. */
    PV_PEERIO_READ_MAX = 65536,
};

struct pv_peerio { /* zeroed at first, with fd, gate, source */
    int fd;        /* owned */
    struct pv_tlsgate *gate;
    struct pv_addr source;
    bool regular; /* members came from there lately */
    bool begun;   /* the first byte has come */
    bool full;    /* the kernel takes no more: wait until it is writable */
    struct pv_tls *tls;
    bool inner_begun; /* the first byte inside TLS has come */
    bool stun;        /* that byte was STUN's */
    struct pv_tlsgate_pass pass;
};

/* Says goodbye as far as the kernel takes it, and closes. */
void pv_peerio_done(struct pv_peerio *io);

/*
 * Reads bytes of the other side, cap >= PV_PEERIO_READ_MAX; ctx is for a connection that begins
 * with TLS now (NULL: none is spoken). PV_ERR_AGAIN: nothing for now, though pv_peerio_flush() may
 * have something to do. PV_ERR_CLOSED, PV_ERR_LIMIT (the gate is shut), -errno and those of
 * pv_tls_handle_bytes(): close it.
 */
PV_MUST_CHECK int pv_peerio_read(struct pv_peerio *io, struct pv_tls_ctx *ctx, void *buf,
                                 size_t cap, size_t *ret_n, pv_ns now);
/* Takes at least one byte of data; with TLS its record leaves with pv_peerio_flush(). joined: the
 * other side reads records as one stream of bytes; else each message of STUN has a record of its
 * own. PV_ERR_AGAIN: io->full, or the handshake is not done. */
PV_MUST_CHECK int pv_peerio_write(struct pv_peerio *io, struct pv_view data, bool joined,
                                  size_t *ret_n);
/* Writes what TLS has to say. PV_OK: nothing is left; PV_ERR_AGAIN: io->full; -errno. */
PV_MUST_CHECK int pv_peerio_flush(struct pv_peerio *io);
