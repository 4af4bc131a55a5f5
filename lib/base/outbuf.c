/* SPDX-License-Identifier: MIT */
/* Bytes on their way to a client, in one block that grows. Written bytes are wiped, since answers
 * may carry tokens and keys. */
#include "base/outbuf.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEEP = 65536, /* bytes an empty queue may keep allocated */
};

/* Not realloc(): that may leave a copy behind. */
static int grow(struct pv_outbuf *b, size_t need)
{
    struct pv_view waiting = pv_outbuf_view(b);
    /* Twice the need, so that many small writes do not copy each time. */
    size_t cap = need < 512 ? 1024 : need * 2;
    uint8_t *buf = malloc(cap);
    if (buf == NULL)
        return PV_ERR_NOMEM;
    if (waiting.len > 0)
        memcpy(buf, waiting.ptr, waiting.len);
    pv_outbuf_done(b);
    *b = (struct pv_outbuf){.buf = buf, .len = waiting.len, .cap = cap};
    return PV_OK;
}

/* All or nothing: half a line would break the protocol for the rest of the connection. */
int pv_outbuf_put(struct pv_outbuf *b, struct pv_view bytes, size_t max)
{
    size_t waiting = b->len - b->off;
    if (bytes.len == 0)
        return PV_OK;
    if (bytes.len > max || waiting > max - bytes.len)
        return PV_ERR_LIMIT;
    if (b->cap - b->len < bytes.len) {
        int r = grow(b, waiting + bytes.len);
        if (r < 0)
            return r;
    }
    memcpy(b->buf + b->len, bytes.ptr, bytes.len);
    b->len += bytes.len;
    return PV_OK;
}

struct pv_view pv_outbuf_view(const struct pv_outbuf *b)
{
    if (b->off == b->len)
        return pv_view(NULL, 0);
    return pv_view(b->buf + b->off, b->len - b->off);
}

size_t pv_outbuf_wrote(struct pv_outbuf *b, size_t n)
{
    if (n > b->len - b->off)
        n = b->len - b->off;
    if (n == 0)
        return 0;
    /* At once, since a slow reader may keep the block for long. */
    explicit_bzero(b->buf + b->off, n);
    b->off += n;
    if (b->off < b->len)
        return n;
    b->off = b->len = 0;
    /* One large answer must not hold its memory for the life of the connection. */
    if (b->cap > KEEP)
        pv_outbuf_done(b);
    return n;
}

void pv_outbuf_done(struct pv_outbuf *b)
{
    if (b->off < b->len)
        explicit_bzero(b->buf + b->off, b->len - b->off);
    free(b->buf);
    *b = (struct pv_outbuf){.buf = NULL};
}
