/* SPDX-License-Identifier: MIT */
/* One connection's bytes, plain or through TLS. Whether it is TLS is seen at its first byte, so
 * each port speaks both. */
#include "coordinator/peerio.h"

#include <unistd.h>

#include "coordinator/core/sniff.h"
#include "proto/stun/turnframe.h"
#include "sys/net/stream.h"
#include "sys/net/streamtls.h"

enum {
    WIRE_MAX = 32 * 1024, /* bytes of TLS a read; with a record begun before it is < READ_MAX */
    WRITE_MAX = 65536,    /* bytes in TLS before the kernel has to take some: they wait twice */
};

/* The close_notify of TLS (RFC 8446 s6.1) tells the other side that nothing was cut off. */
void pv_peerio_done(struct pv_peerio *io)
{
    pv_tlsgate_leave(io->gate, &io->pass);
    if (io->tls != NULL) {
        pv_tls_close(io->tls);
        (void)!pv_peerio_flush(io);
        io->tls = pv_tls_free(io->tls);
    }
    if (io->fd >= 0)
        close(io->fd);
    io->fd = -1;
}

/* The gate is asked first: a handshake costs far more than the bytes that ask for it. */
static int begin_tls(struct pv_peerio *io, struct pv_tls_ctx *ctx, pv_ns now)
{
    if (ctx == NULL)
        return PV_ERR_UNSUPPORTED;
    if (!pv_tlsgate_enter(io->gate, &io->pass, &io->source, io->regular, now))
        return PV_ERR_LIMIT;
    return pv_tls_new_server(&io->tls, ctx);
}

/* Decrypts n bytes of the wire, which are in buf, and returns everything that they hold: TLS must
 * keep nothing, as the loop would not see it as readable. */
static int through_tls(struct pv_peerio *io, uint8_t *buf, size_t n, size_t cap, size_t *ret_n)
{
    size_t len = 0;
    int r = pv_tls_handle_bytes(io->tls, pv_view(buf, n));
    while (r == PV_OK && len < cap) {
        size_t got = 0;
        r = pv_tls_read(io->tls, buf + len, cap - len, &got);
        len += r == PV_OK ? got : 0;
    }
    if (pv_tls_is_ready(io->tls))
        pv_tlsgate_leave(io->gate, &io->pass);
    if (len > 0 && !io->inner_begun) {
        io->inner_begun = true;
        io->stun = pv_sniff(buf[0]) == PV_SNIFF_STUN;
        if (io->stun)
            pv_stream_set_shallow(io->fd);
    }
    if (len > 0) { /* an end behind it comes up again with the next read */
        *ret_n = len;
        return PV_OK;
    }
    return r;
}

/* Until its first byte has come, a connection is read as if it were TLS: few enough bytes that all
 * of them can be decrypted into the same buffer. */
int pv_peerio_read(struct pv_peerio *io, struct pv_tls_ctx *ctx, void *buf, size_t cap,
                   size_t *ret_n, pv_ns now)
{
    size_t n = 0;
    bool plain = io->begun && io->tls == NULL;
    int r = pv_stream_read(io->fd, buf, plain ? cap : WIRE_MAX, &n);
    if (r < 0)
        return r;
    if (!io->begun) {
        io->begun = true;
        enum pv_sniff kind = pv_sniff(*(const uint8_t *)buf);
        if (kind == PV_SNIFF_TLS)
            r = begin_tls(io, ctx, now);
        else if (kind == PV_SNIFF_STUN)
            pv_stream_set_shallow(io->fd);
        if (r < 0)
            return r;
    }
    if (io->tls != NULL)
        return through_tls(io, buf, n, cap, ret_n);
    *ret_n = n;
    return PV_OK;
}

/* Plain connections have nothing of their own to write. */
int pv_peerio_flush(struct pv_peerio *io)
{
    int r = io->tls == NULL ? PV_OK : pv_streamtls_flush(io->tls, io->fd);
    io->full = r == PV_ERR_AGAIN;
    return r;
}

/* Returns the length of the STUN or TURN message that data begins with. */
static size_t message_len(struct pv_view data)
{
    size_t len = 0, frame = 0;
    int r = pv_turnframe_len(data, &len, &frame);
    return r == PV_OK && frame < data.len ? frame : data.len;
}

/* There are clients of TURN (coturn's) that take a record for a message; a p2pvpnd gets full
 * records, of which each costs a seal and a system call of its own. The kernel has to take the
 * bytes in TLS before more are put there, or they would be stored twice. */
int pv_peerio_write(struct pv_peerio *io, struct pv_view data, bool joined, size_t *ret_n)
{
    if (io->tls == NULL) {
        int r = pv_stream_write(io->fd, data, ret_n);
        io->full = r == PV_ERR_AGAIN;
        return r;
    }
    if (pv_tls_out(io->tls).len >= WRITE_MAX) {
        int r = pv_peerio_flush(io);
        if (r < 0)
            return r;
    }
    size_t n = io->stun && !joined ? message_len(data) : data.len;
    return pv_tls_write(io->tls, pv_view(data.ptr, n < WRITE_MAX ? n : WRITE_MAX), ret_n);
}
