/* SPDX-License-Identifier: MIT */
/*
 * streamtls.c - a TCP connection read and written through TLS. TLS may have to write in order to
 * read (a handshake, a key update) and the other way round, so each call flushes what TLS has to
 * say.
 */
#include "sys/net/streamtls.h"

#include "sys/net/stream.h"

int pv_streamtls_flush(struct pv_tls *tls, int fd)
{
    int r = PV_OK;
    while (r == PV_OK && pv_tls_out(tls).len > 0) {
        size_t n = 0;
        r = pv_stream_write(fd, pv_tls_out(tls), &n);
        if (r == PV_OK)
            pv_tls_wrote(tls, n);
    }
    return r;
}

bool pv_streamtls_is_full(const struct pv_tls *tls)
{
    return pv_tls_out(tls).len > 0;
}

int pv_streamtls_read(struct pv_tls *tls, int fd, void *buf, size_t cap, size_t *ret_n)
{
    int r = pv_tls_read(tls, buf, cap, ret_n);
    while (r == PV_ERR_AGAIN) {
        size_t n = 0;
        /* buf serves as the wire's for a moment: what it gives is copied by the call after. */
        r = pv_stream_read(fd, buf, cap, &n);
        if (r < 0)
            break;
        r = pv_tls_handle_bytes(tls, pv_view(buf, n));
        if (r == PV_OK)
            r = pv_tls_read(tls, buf, cap, ret_n);
    }
    int w = pv_streamtls_flush(tls, fd); /* an alert, a handshake's answer */
    return r == PV_OK || w == PV_OK || w == PV_ERR_AGAIN ? r : w;
}

/* Bytes that TLS has taken count as written, even while the wire is full: they cannot be taken
 * back. */
int pv_streamtls_write(struct pv_tls *tls, int fd, struct pv_view data, size_t *ret_n)
{
    size_t n = 0;
    int r = pv_streamtls_flush(tls, fd);
    if (r == PV_OK)
        r = pv_tls_write(tls, data, &n);
    if (r != PV_OK)
        return r;
    r = pv_streamtls_flush(tls, fd);
    if (r != PV_OK && r != PV_ERR_AGAIN)
        return r;
    *ret_n = n; /* taken, written or not */
    return PV_OK;
}
