/* SPDX-License-Identifier: MIT */
/*
 * bytes.h - reading and writing binary formats without casts: loads and stores, a sticky reader
 * and a sticky writer.
 *
 * Sticky: the first failure stays in status, later calls are no-ops (reads give 0), so callers
 * write straight-line code with one check at the end.
 */
#pragma once

#include "base/pv.h"

static inline uint16_t pv_load_be16(const uint8_t *p)
{
    return (uint16_t)((p[0] << 8) | p[1]);
}
static inline uint32_t pv_load_be32(const uint8_t *p)
{
    return ((uint32_t)p[0] << 24) | ((uint32_t)p[1] << 16) | ((uint32_t)p[2] << 8) | p[3];
}
static inline uint64_t pv_load_be64(const uint8_t *p)
{
    return ((uint64_t)pv_load_be32(p) << 32) | pv_load_be32(p + 4);
}
static inline uint32_t pv_load_le32(const uint8_t *p)
{
    return ((uint32_t)p[3] << 24) | ((uint32_t)p[2] << 16) | ((uint32_t)p[1] << 8) | p[0];
}
static inline uint64_t pv_load_le64(const uint8_t *p)
{
    return ((uint64_t)pv_load_le32(p + 4) << 32) | pv_load_le32(p);
}
static inline void pv_store_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void pv_store_be32(uint8_t *p, uint32_t v)
{
    pv_store_be16(p, (uint16_t)(v >> 16));
    pv_store_be16(p + 2, (uint16_t)v);
}
static inline void pv_store_be64(uint8_t *p, uint64_t v)
{
    pv_store_be32(p, (uint32_t)(v >> 32));
    pv_store_be32(p + 4, (uint32_t)v);
}
static inline void pv_store_le32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}
static inline void pv_store_le64(uint8_t *p, uint64_t v)
{
    pv_store_le32(p, (uint32_t)v);
    pv_store_le32(p + 4, (uint32_t)(v >> 32));
}

/* Reads big-endian fields from borrowed bytes. status: PV_OK, PV_ERR_TRUNCATED, or what
 * pv_reader_fail() put there. */
struct pv_reader {
    struct pv_view rest; /* what is still to be read */
    int status;
};

static inline struct pv_reader pv_reader(struct pv_view v)
{
    return (struct pv_reader){.rest = v, .status = PV_OK};
}
uint8_t pv_get_u8(struct pv_reader *r);
uint16_t pv_get_u16(struct pv_reader *r);
uint32_t pv_get_u32(struct pv_reader *r);
uint64_t pv_get_u64(struct pv_reader *r);
/* len bytes as a view into the input; an empty view on failure. */
struct pv_view pv_get_bytes(struct pv_reader *r, size_t len);
/* u16 length, then that many bytes; longer than max is PV_ERR_MALFORMED. */
struct pv_view pv_get_view16(struct pv_reader *r, size_t max);
/* Copies exactly len bytes to dst; dst is zeroed on failure. */
void pv_get_copy(struct pv_reader *r, void *dst, size_t len);
/* Makes the reader fail with status unless it has failed already. */
void pv_reader_fail(struct pv_reader *r, int status);
/* PV_OK when everything was read and nothing is left; trailing bytes are PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_reader_end(const struct pv_reader *r);

/* Writes big-endian fields into the caller's buffer. status: PV_OK or PV_ERR_NO_SPACE. */
struct pv_writer {
    uint8_t *buf; /* cap bytes, owned by the caller */
    size_t cap;
    size_t len; /* bytes written so far */
    int status;
};

static inline struct pv_writer pv_writer(void *buf, size_t cap)
{
    return (struct pv_writer){.buf = buf, .cap = cap, .len = 0, .status = PV_OK};
}
void pv_put_u8(struct pv_writer *w, uint8_t v);
void pv_put_u16(struct pv_writer *w, uint16_t v);
void pv_put_u32(struct pv_writer *w, uint32_t v);
void pv_put_u64(struct pv_writer *w, uint64_t v);
void pv_put_bytes(struct pv_writer *w, const void *src, size_t len);
/* u16 length, then the bytes; more than 65535 is PV_ERR_NO_SPACE. */
void pv_put_view16(struct pv_writer *w, struct pv_view v);
/* The bytes written so far, valid as long as the buffer. */
static inline struct pv_view pv_written(const struct pv_writer *w)
{
    return pv_view(w->buf, w->len);
}
