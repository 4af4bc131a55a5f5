/* SPDX-License-Identifier: MIT */
/*
 * outbuf.h - what a stream machine has still to write: a byte queue with a limit. Bytes written or
 * dropped are wiped, because replies may carry secrets. A zeroed struct is empty.
 */
#pragma once

#include "base/pv.h"

/* Fields belong to outbuf.c. */
struct pv_outbuf {
    uint8_t *buf; /* cap bytes, owned; off..len is waiting */
    size_t off, len, cap;
};

/* Appends. PV_ERR_LIMIT when more than max bytes would wait; PV_ERR_NOMEM; nothing is appended. */
PV_MUST_CHECK int pv_outbuf_put(struct pv_outbuf *b, struct pv_view bytes, size_t max);
/* The waiting bytes, oldest first; valid until the next call. */
struct pv_view pv_outbuf_view(const struct pv_outbuf *b);
/* Removes the first n bytes, which were written; returns how many of them had been waiting. */
size_t pv_outbuf_wrote(struct pv_outbuf *b, size_t n);
/* Drops everything and frees the memory. */
void pv_outbuf_done(struct pv_outbuf *b);
