/* SPDX-License-Identifier: MIT */
/*
 * bytes.c - the sticky reader and writer of binary formats. Every read is checked here and nowhere
 * else, so that parsers can be written straight down and a forgotten check is impossible.
 */
#include "base/bytes.h"

#include <string.h>

/* The next len bytes; NULL once anything has failed, so that later reads give zeros instead of
 * bytes at wrong places. */
static const uint8_t *take_bytes(struct pv_reader *r, size_t len)
{
    if (r->status != PV_OK)
        return NULL;
    if (r->rest.len < len) {
        r->status = PV_ERR_TRUNCATED;
        return NULL;
    }
    const uint8_t *p = r->rest.ptr;
    r->rest.ptr += len;
    r->rest.len -= len;
    return p;
}

uint8_t pv_get_u8(struct pv_reader *r)
{
    const uint8_t *p = take_bytes(r, 1);
    return p == NULL ? 0 : p[0];
}

uint16_t pv_get_u16(struct pv_reader *r)
{
    const uint8_t *p = take_bytes(r, 2);
    return p == NULL ? 0 : pv_load_be16(p);
}

uint32_t pv_get_u32(struct pv_reader *r)
{
    const uint8_t *p = take_bytes(r, 4);
    return p == NULL ? 0 : pv_load_be32(p);
}

uint64_t pv_get_u64(struct pv_reader *r)
{
    const uint8_t *p = take_bytes(r, 8);
    return p == NULL ? 0 : pv_load_be64(p);
}

/* Zero bytes can always be read, also at the end of the input. */
struct pv_view pv_get_bytes(struct pv_reader *r, size_t len)
{
    if (len == 0)
        return pv_view(r->rest.ptr, 0);
    const uint8_t *p = take_bytes(r, len);
    return p == NULL ? pv_view(NULL, 0) : pv_view(p, len);
}

/* The limit is the field's own and comes from the caller: a length from the wire is never trusted
 * to be reasonable. */
struct pv_view pv_get_view16(struct pv_reader *r, size_t max)
{
    size_t len = pv_get_u16(r);
    if (len > max)
        pv_reader_fail(r, PV_ERR_MALFORMED);
    if (r->status != PV_OK)
        return pv_view(NULL, 0);
    return pv_get_bytes(r, len);
}

/* Zeroed on failure: callers look at the status only at the end and must not copy stale bytes
 * meanwhile. */
void pv_get_copy(struct pv_reader *r, void *dst, size_t len)
{
    const uint8_t *p = take_bytes(r, len);
    if (p == NULL)
        memset(dst, 0, len);
    else
        memcpy(dst, p, len);
}

void pv_reader_fail(struct pv_reader *r, int status)
{
    if (r->status == PV_OK)
        r->status = status;
}

/* Trailing bytes are an error, or one message would have many encodings. */
int pv_reader_end(const struct pv_reader *r)
{
    if (r->status != PV_OK)
        return r->status;
    return r->rest.len == 0 ? PV_OK : PV_ERR_MALFORMED;
}

/* Room for len bytes; NULL once anything has failed. A writer never writes part of a field. */
static uint8_t *take_room(struct pv_writer *w, size_t len)
{
    if (w->status != PV_OK)
        return NULL;
    if (w->cap - w->len < len) {
        w->status = PV_ERR_NO_SPACE;
        return NULL;
    }
    uint8_t *p = w->buf + w->len;
    w->len += len;
    return p;
}

void pv_put_u8(struct pv_writer *w, uint8_t v)
{
    uint8_t *p = take_room(w, 1);
    if (p != NULL)
        p[0] = v;
}

void pv_put_u16(struct pv_writer *w, uint16_t v)
{
    uint8_t *p = take_room(w, 2);
    if (p != NULL)
        pv_store_be16(p, v);
}

void pv_put_u32(struct pv_writer *w, uint32_t v)
{
    uint8_t *p = take_room(w, 4);
    if (p != NULL)
        pv_store_be32(p, v);
}

void pv_put_u64(struct pv_writer *w, uint64_t v)
{
    uint8_t *p = take_room(w, 8);
    if (p != NULL)
        pv_store_be64(p, v);
}

void pv_put_bytes(struct pv_writer *w, const void *src, size_t len)
{
    uint8_t *p = take_room(w, len);
    if (p != NULL && len > 0)
        memcpy(p, src, len);
}

void pv_put_view16(struct pv_writer *w, struct pv_view v)
{
    if (v.len > UINT16_MAX) {
        if (w->status == PV_OK)
            w->status = PV_ERR_NO_SPACE;
        return;
    }
    pv_put_u16(w, (uint16_t)v.len);
    pv_put_bytes(w, v.ptr, v.len);
}
