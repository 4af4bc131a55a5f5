/* SPDX-License-Identifier: MIT */
/*
 * ring.c - a ring of records for one writer and one reader on different threads. Positions only
 * grow, so full and empty need no extra flag. A record never wraps: where it does not fit before
 * the end, a SKIP mark sends the reader to the start, so that records can be read in place.
 */
#include "base/ring.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    RING_MIN = 4 << 10,  /* bytes */
    RING_MAX = 64 << 20, /* bytes */
    HEADER = 8,          /* bytes before each record: its length, padded to keep alignment */
};
static const uint32_t SKIP = UINT32_MAX; /* "the rest up to the end is unused" */

/* Positions count bytes ever written and read; the offset is position mod size. */
struct pv_ring {
    size_t size; /* a power of two */
    uint8_t *data;
    _Alignas(64) _Atomic uint64_t tail; /* written by the writer */
    _Alignas(64) _Atomic uint64_t head; /* written by the reader */
};

int pv_ring_new(struct pv_ring **ret_ring, size_t bytes)
{
    size_t size = RING_MIN;
    if (bytes > RING_MAX)
        return PV_ERR_LIMIT;
    while (size < bytes)
        size *= 2;
    struct pv_ring *ring = aligned_alloc(64, sizeof(*ring));
    uint8_t *data = aligned_alloc(64, size);
    if (ring == NULL || data == NULL) {
        free(ring);
        free(data);
        return PV_ERR_NOMEM;
    }
    ring->size = size;
    ring->data = data;
    atomic_init(&ring->tail, 0);
    atomic_init(&ring->head, 0);
    *ret_ring = ring;
    return PV_OK;
}

/* The records may hold packets of the user: wiped, as far as the ring was ever written. */
struct pv_ring *pv_ring_free(struct pv_ring *ring)
{
    if (ring != NULL) {
        uint64_t written = atomic_load(&ring->tail);
        explicit_bzero(ring->data, written < ring->size ? (size_t)written : ring->size);
        free(ring->data);
        free(ring);
    }
    return NULL;
}

static void store_len(uint8_t *at, uint32_t len)
{
    memcpy(at, &len, sizeof(len));
}

static uint32_t load_len(const uint8_t *at)
{
    uint32_t len;
    memcpy(&len, at, sizeof(len));
    return len;
}

/* Padded to 8 bytes, so that every header is aligned. */
static size_t record_size(size_t len)
{
    return HEADER + ((len + 7) & ~(size_t)7);
}

/* A record may take at most half of the ring: otherwise a skip could make it never fit, however
 * empty the ring is. */
int pv_ring_push(struct pv_ring *ring, struct pv_view head, struct pv_view body,
                 bool *ret_was_empty)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t reader = atomic_load_explicit(&ring->head, memory_order_acquire);

    if (head.len > ring->size || body.len > ring->size)
        return PV_ERR_LIMIT;
    size_t need = record_size(head.len + body.len);
    if (need > ring->size / 2)
        return PV_ERR_LIMIT;
    size_t at = tail & (ring->size - 1);
    size_t skip = need > ring->size - at ? ring->size - at : 0;
    if (skip + need > ring->size - (size_t)(tail - reader))
        return PV_ERR_NO_SPACE;
    if (skip > 0) {
        store_len(ring->data + at, SKIP);
        at = 0;
    }
    uint8_t *p = ring->data + at;
    store_len(p, (uint32_t)(head.len + body.len));
    if (head.len > 0)
        memcpy(p + HEADER, head.ptr, head.len);
    if (body.len > 0)
        memcpy(p + HEADER + head.len, body.ptr, body.len);
    /* Store tail, then load head; the reader stores head, then loads tail. With both sequentially
     * consistent at least one of the two sees the other: no wake-up is lost. */
    atomic_store_explicit(&ring->tail, tail + skip + need, memory_order_seq_cst);
    reader = atomic_load_explicit(&ring->head, memory_order_seq_cst);
    if (ret_was_empty != NULL)
        *ret_was_empty = reader == tail;
    return PV_OK;
}

size_t pv_ring_room(const struct pv_ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t reader = atomic_load_explicit(&ring->head, memory_order_acquire);
    return ring->size - (size_t)(tail - reader);
}

int pv_ring_peek(struct pv_ring *ring, struct pv_view *ret_record)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_seq_cst);
    size_t at = head & (ring->size - 1);

    if (head == tail)
        return PV_ERR_AGAIN;
    /* A skip is published together with the record behind it, so there is one. The head moves only
     * in pop: a writer that finds it at its old tail knows that this record is new to us. */
    if (load_len(ring->data + at) == SKIP)
        at = 0;
    const uint8_t *p = ring->data + at;
    *ret_record = pv_view(p + HEADER, load_len(p));
    return PV_OK;
}

void pv_ring_pop(struct pv_ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    size_t at = head & (ring->size - 1);

    if (load_len(ring->data + at) == SKIP) {
        head += ring->size - at;
        at = 0;
    }
    head += record_size(load_len(ring->data + at));
    atomic_store_explicit(&ring->head, head, memory_order_seq_cst);
}
